package parley_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// openEnded answers with the beginning of a body that goes on until the client has enough.
func openEnded(t *testing.T, h2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "beginning") // whether somebody still reads it is for the server to see
		if strings.HasPrefix(r.URL.Path, "/short") {
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	s.EnableHTTP2 = h2
	if h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// only gives the row of a session's only origin.
func only(t *testing.T, c *parley.Client) parley.OriginStats {
	t.Helper()
	s := c.Stats()
	require.Len(t, s.Origins, 1)
	return s.Origins[0]
}

func TestPool_namesTheOldestBorrower(t *testing.T) {
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := openEnded(t, h2)
			c := newSession(t, parley.WithBaseURL(s.URL), parley.WithVerify(false))
			ask := func(method, path string) *parley.Response {
				resp, err := c.Stream(t.Context(), method, path, parley.WithQuery("token", "SECRET"))
				require.NoError(t, err)
				return resp
			}
			begun := time.Now()
			first := ask("GET", "first")
			begunThen := time.Now()
			second := ask("POST", "second/with%20space/%2F")
			third := ask("GET", "third")
			row := only(t, c)
			require.Equal(t, "GET "+s.URL+"/first", row.OldestRequest)
			require.WithinRange(t, row.Oldest, begun.Add(-time.Millisecond), begunThen)
			require.NoError(t, third.Close())
			require.Equal(t, "GET "+s.URL+"/first", only(t, c).OldestRequest)
			require.NoError(t, first.Close())
			row = only(t, c)
			require.Equal(t, "POST "+s.URL+"/second/with%20space/%2F", row.OldestRequest)
			require.WithinRange(t, row.Oldest, begunThen.Add(-time.Millisecond), time.Now())
			fourth := ask("GET", "fourth")
			second.Request.URL.Path = "/changed" // its owner may, the answer being there
			require.Equal(t, "POST "+s.URL+"/second/with%20space/%2F", only(t, c).OldestRequest)
			require.NoError(t, second.Close())
			require.Equal(t, "GET "+s.URL+"/fourth", only(t, c).OldestRequest)
			require.NoError(t, fourth.Close())
			_, err := c.Get(t.Context(), "short")
			require.NoError(t, err)
			row = only(t, c)
			require.Empty(t, row.OldestRequest)
			require.Zero(t, row.Oldest)
		})
	}
}

// TestPool_namesNobodyWhereNobodyAsks shows a connection that somebody has, but no request.
func TestPool_namesNobodyWhereNobodyAsks(t *testing.T) {
	t.Parallel()
	s := openEnded(t, false)
	c := newSession(t, parley.WithBaseURL(s.URL))
	conn, err := c.Open(t.Context(), "")
	require.NoError(t, err)
	defer conn.Close()
	row := only(t, c)
	require.False(t, row.Oldest.IsZero())
	require.Empty(t, row.OldestRequest)
	req, err := c.NewRequest("GET", "short")
	require.NoError(t, err)
	resp, err := conn.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "GET "+s.URL+"/short", only(t, c).OldestRequest)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, only(t, c).OldestRequest)
}

// TestPool_namesTheURLNotTheProxy shows a connection that serves requests for any origin.
func TestPool_namesTheURLNotTheProxy(t *testing.T) {
	t.Parallel()
	s := openEnded(t, false)
	proxy, err := url.Parse(s.URL)
	require.NoError(t, err)
	c := newSession(t, parley.WithProxy("http://user:SECRET@"+proxy.Host))
	resp, err := c.Stream(t.Context(), "GET", "http://user:SECRET@far.test/x?token=SECRET")
	require.NoError(t, err)
	require.Equal(t, "GET http://far.test/x", only(t, c).OldestRequest)
	require.NoError(t, resp.Close())
}

// TestPool_forgetsBorrowersThatWereDropped shows that what is remembered of a request does
// not keep its response alive: it is still noticed that nobody has closed that.
func TestPool_forgetsBorrowersThatWereDropped(t *testing.T) {
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := openEnded(t, h2)
			c := newSession(t, parley.WithBaseURL(s.URL), parley.WithVerify(false))
			drop(t, c)
			wiretest.Eventually(t, func() bool {
				runtime.GC()
				return c.Stats().Leaked == 1
			}, "the response is noticed")
			wiretest.Eventually(t, func() bool { return c.Stats().Active == 0 }, "nothing is in use")
			for _, o := range c.Stats().Origins {
				require.Empty(t, o.OldestRequest)
			}
		})
	}
}
