package parley_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// asRoundTripper is a pool as an http.RoundTripper, with s as a.test.
func asRoundTripper(t testing.TB, s *wiretest.Server) http.RoundTripper {
	t.Helper()
	wiretest.Guard(t, guard)
	pool, err := parley.NewPool(parley.PoolConfig{Dialer: wiretest.NewNames(map[string]string{"a.test:80": s.Addr(), "a.test:8080": s.Addr()})})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	return parley.AsRoundTripper(pool)
}

func httpRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return r
}

func TestAsRoundTripper_sendsWhatNetHTTPSends(t *testing.T) {
	t.Parallel()
	opaque := &url.URL{Scheme: "http", Host: "a.test", Opaque: "/raw%2fpath//x"}
	tests := map[string]struct {
		change func(*http.Request)
		method string
		body   io.Reader
		want   string
	}{
		"GET":                      {nil, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"no method":                {func(r *http.Request) { r.Method = "" }, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"a known length":           {nil, "POST", strings.NewReader("abc"), "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"},
		"no body":                  {func(r *http.Request) { r.Body = http.NoBody }, "POST", nil, "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"},
		"a length of 0 is unknown": {nil, "POST", io.MultiReader(strings.NewReader("abc")), "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		"a length of -1 too":       {func(r *http.Request) { r.ContentLength = -1 }, "POST", strings.NewReader("abc"), "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		"TransferEncoding":         {func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, "POST", strings.NewReader("abc"), "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		"Close":                    {func(r *http.Request) { r.Close = true }, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"},
		"Host":                     {func(r *http.Request) { r.Host = "b.test" }, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: b.test\r\n\r\n"},
		"an opaque URL":            {func(r *http.Request) { r.URL = opaque }, "GET", nil, "GET /raw%2fpath//x HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"dots in the path":         {func(r *http.Request) { r.URL.Path = "/a/../b" }, "GET", nil, "GET /a/../b?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"user information":         {func(r *http.Request) { r.URL.User = url.UserPassword("me", "secret") }, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"no User-Agent":            {func(r *http.Request) { r.Header["User-Agent"] = []string{""} }, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"headers that frame": {func(r *http.Request) {
			r.Header = http.Header{"Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"X"}, "Host": {"evil.test"}, "x-lower": {"1"}}
		}, "GET", nil, "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\nX-Lower: 1\r\n\r\n"},
		"trailers": {func(r *http.Request) {
			r.Trailer = http.Header{"X-T": nil}
			r.Body = closing{io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) {
				r.Trailer.Set("X-T", "late")
				return 0, io.EOF
			})), func() {}}
			r.ContentLength = -1
		}, "POST", nil, "POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: late\r\n\r\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("ok") }))
			r := httpRequest(t, test.method, "http://a.test/x?y=1", test.body)
			if test.change != nil {
				test.change(r)
			}
			before, header := *r, r.Header.Clone()
			resp, err := asRoundTripper(t, s).RoundTrip(r)
			require.NoError(t, err)
			require.Same(t, r, resp.Request)
			content, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "ok", string(content))
			require.NoError(t, resp.Body.Close())
			require.Equal(t, test.want, s.Text())
			require.Equal(t, header, r.Header, "not modified")
			require.Equal(t, before.URL, r.URL)
			require.Equal(t, before.Method, r.Method)
		})
	}
}

func TestAsRoundTripper_theResponseIsOneOfNetHTTP(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text  string
		check func(*testing.T, *http.Response)
	}{
		"a length": {answer("abc", "X-A: 1", "X-A: 2"), func(t *testing.T, r *http.Response) {
			require.Equal(t, "200 OK", r.Status)
			require.Equal(t, 200, r.StatusCode)
			require.Equal(t, "HTTP/1.1", r.Proto)
			require.True(t, r.ProtoAtLeast(1, 1))
			require.EqualValues(t, 3, r.ContentLength)
			require.Equal(t, []string{"1", "2"}, r.Header["X-A"])
			require.Empty(t, r.TransferEncoding)
			require.False(t, r.Close)
			require.Nil(t, r.Trailer)
		}},
		"chunks and trailers": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t, X-None\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nX-Unsaid: 2\r\n\r\n", func(t *testing.T, r *http.Response) {
			require.EqualValues(t, -1, r.ContentLength)
			require.Equal(t, []string{"chunked"}, r.TransferEncoding)
			require.Nil(t, r.Header["Transfer-Encoding"])
			require.Nil(t, r.Header["Trailer"])
			require.True(t, r.Close)
			require.Equal(t, http.Header{"X-T": nil, "X-None": nil}, r.Trailer, "announced")
			_, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Equal(t, http.Header{"X-T": {"1"}, "X-None": nil, "X-Unsaid": {"2"}}, r.Trailer)
		}},
		"no content": {"HTTP/1.1 204 No Content\r\n\r\n", func(t *testing.T, r *http.Response) {
			require.Zero(t, r.ContentLength)
			require.Equal(t, http.NoBody, r.Body)
		}},
		"a redirect": {"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", func(t *testing.T, r *http.Response) {
			u, err := r.Location()
			require.NoError(t, err)
			require.Equal(t, "http://a.test/y", u.String())
		}},
		"a coded body": {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", func(t *testing.T, r *http.Response) {
			require.False(t, r.Uncompressed)
			require.Equal(t, "gzip", r.Header.Get("Content-Encoding"))
		}},
		"reading after Close": {answer("abc"), func(t *testing.T, r *http.Response) {
			require.NoError(t, r.Body.Close())
			_, err := r.Body.Read(make([]byte, 1))
			require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return test.text }))
			resp, err := asRoundTripper(t, s).RoundTrip(httpRequest(t, "GET", "http://a.test/x", nil))
			require.NoError(t, err)
			defer resp.Body.Close()
			test.check(t, resp)
		})
	}
}

// The contract: "RoundTrip must always close the body, including on errors".
func TestAsRoundTripper_theBodyIsClosedWhateverHappens(t *testing.T) {
	t.Parallel()
	mine := errors.New("my own")
	tests := map[string]struct {
		next   parley.Transport
		change func(*http.Request)
		fails  bool
	}{
		"an error":           {does(func() (*parley.Response, error) { return nil, mine }), nil, true},
		"neither":            {does(func() (*parley.Response, error) { return nil, nil }), nil, true},
		"nobody reads it":    {does(func() (*parley.Response, error) { return &parley.Response{StatusCode: 200}, nil }), nil, false},
		"no URL":             {does(nil), func(r *http.Request) { r.URL = nil }, true},
		"another scheme":     {does(nil), func(r *http.Request) { r.URL.Scheme = "ftp" }, true},
		"no host":            {does(nil), func(r *http.Request) { r.URL.Host = "" }, true},
		"a handler":          {parley.HandlerTransport(http.NotFoundHandler()), nil, false},
		"a malformed header": {parley.HandlerTransport(http.NotFoundHandler()), func(r *http.Request) { r.Header["X Y"] = []string{"z"} }, true},
		"the context is over": {parley.HandlerTransport(http.NotFoundHandler()), func(r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			*r = *r.WithContext(ctx)
		}, true},
	}
	for name, test := range tests {
		var closes atomic.Int32
		r := httpRequest(t, "POST", "http://a.test/x", closing{strings.NewReader("abc"), func() { closes.Add(1) }})
		if test.change != nil {
			test.change(r)
		}
		resp, err := parley.AsRoundTripper(test.next).RoundTrip(r)
		require.Equal(t, test.fails, err != nil, name)
		if err == nil {
			require.NoError(t, resp.Body.Close())
		} else {
			require.Nil(t, resp, name)
		}
		require.EqualValues(t, 1, closes.Load(), name)
	}
	var closes atomic.Int32
	r := httpRequest(t, "POST", "http://a.test/x", closing{strings.NewReader("abc"), func() { closes.Add(1) }})
	require.Panics(t, func() {
		_, _ = parley.AsRoundTripper(does(func() (*parley.Response, error) { panic("oh") })).RoundTrip(r)
	})
	require.EqualValues(t, 1, closes.Load())
	_, err := parley.AsRoundTripper(does(nil)).RoundTrip(nil)
	require.Error(t, err)
}

// A body that can be made anew is sent again on a connection that turned out dead.
func TestAsRoundTripper_getBodyMakesARequestReplayable(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{true, false} {
		s := wiretest.Serve(t, leavesAtReuse(1, leave))
		rt := asRoundTripper(t, s)
		put := func() error {
			r := httpRequest(t, "PUT", "http://a.test/x", bytes.NewReader([]byte("abc")))
			if !again {
				r.GetBody = nil
			}
			resp, err := rt.RoundTrip(r)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			return err
		}
		require.NoError(t, put())
		require.Equal(t, again, put() == nil)
	}
}

func TestAsRoundTripper_canBeCancelled(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if r, err := c.ReadRequest(); err == nil && r.RequestURI == "/body" {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		}
		c.Hold()
	})
	rt := asRoundTripper(t, s)
	for _, path := range []string{"/head", "/body"} {
		for _, way := range []string{"context", "Cancel"} {
			r := httpRequest(t, "GET", "http://a.test"+path, nil)
			end := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			if way == "context" {
				r = r.WithContext(ctx)
				go func() { <-end; cancel() }()
			} else {
				//lint:ignore SA1019 callers may still use it
				r.Cancel = end
			}
			soon := func() { time.AfterFunc(20*time.Millisecond, func() { close(end) }) }
			if path == "/head" {
				soon()
			}
			resp, err := rt.RoundTrip(r)
			if path == "/body" {
				require.NoError(t, err)
				soon()
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			require.ErrorIs(t, err, context.Canceled, way+path)
			cancel()
		}
	}
	c := &http.Client{Transport: rt, Timeout: 30 * time.Millisecond}
	_, err := c.Get("http://a.test/head")
	var late interface{ Timeout() bool }
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())
}

func TestAsRoundTripper_bringsNoLimitsOfItsOwnForTheAnswer(t *testing.T) {
	t.Parallel()
	var got parley.Timeouts
	rt := parley.AsRoundTripper(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		got = req.Timeouts
		return &parley.Response{StatusCode: 200}, nil
	}))
	resp, err := rt.RoundTrip(httpRequest(t, "GET", "http://a.test/x", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, parley.Timeouts{Response: parley.NoTimeout, Read: parley.NoTimeout, Total: parley.NoTimeout}, got)
	require.Equal(t, "200 OK", resp.Status)
	require.Equal(t, 1, resp.ProtoMajor)
	require.NotNil(t, resp.Header)
}

// What coder/websocket and the reverse proxy of net/http need.
func TestAsRoundTripper_theBodyOfAnUpgradeCanBeWritten(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, upgrades(switching))
	c := &http.Client{Transport: asRoundTripper(t, s), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r := httpRequest(t, "GET", "http://a.test/x", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := c.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	echoes(t, resp.Body)
	require.NoError(t, resp.Body.Close())
}

func TestAsRoundTripper_closesIdleConnections(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := &http.Client{Transport: asRoundTripper(t, s)}
	get := func() {
		resp, err := c.Get("http://a.test/x")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	get()
	get()
	require.Equal(t, 1, s.Accepted())
	c.CloseIdleConnections()
	get()
	require.Equal(t, 2, s.Accepted())
}

// A server in the same process serves clients of net/http too.
func ExampleHandlerTransport() {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello, ", r.URL.Query().Get("name")) })
	client, err := parley.New(parley.WithBaseURL("https://app.test"), parley.WithHandler(mux))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), "hello", parley.WithQuery("name", "you"))
	if err != nil {
		panic(err)
	}
	text, err := resp.Text()
	fmt.Println(resp.StatusCode, text, err)
	// Output: 200 hello, you <nil>
}
