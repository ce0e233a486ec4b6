package parley_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestQuery_asksByItsContent(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare)
	_, err := c.Query(t.Context(), "search", parley.WithText("q=1"))
	require.NoError(t, err)
	_, err = c.Query(t.Context(), "search")
	require.NoError(t, err)
	_, err = parley.Query(t.Context(), s.URL()+"/search", bare, parley.WithText("q=2"))
	require.NoError(t, err)
	_, err = c.Request(t.Context(), "query", "search", parley.WithText("q=3"))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"QUERY /search HTTP/1.1\r\nHost: " + s.Addr() + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nq=1" +
			"QUERY /search HTTP/1.1\r\nHost: " + s.Addr() + "\r\nContent-Length: 0\r\n\r\n" +
			"QUERY /search HTTP/1.1\r\nHost: " + s.Addr() + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nq=3",
		"QUERY /search HTTP/1.1\r\nHost: " + s.Addr() + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nq=2",
	}, s.Received())
}

// RFC 10008, section 2.5.
func TestQuery_staysAQueryThroughRedirectsBut303(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{301: "QUERY", 302: "QUERY", 303: "GET", 307: "QUERY", 308: "QUERY"} {
		var asked []string
		s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			asked = append(asked, r.Method+" "+r.RequestURI+" "+string(r.Content))
			if len(asked) == 1 {
				return fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", status)
			}
			return wiretest.OK("")
		}))
		_, err := sessionTo(t, s).Query(t.Context(), "here", parley.WithText("q"))
		require.NoError(t, err, status)
		content := " q"
		if want == "GET" {
			content = " "
		}
		require.Equal(t, []string{"QUERY /here q", want + " /there" + content}, asked, status)
	}
}

// It is idempotent: a connection that was closed for being idle is no reason to fail.
func TestQuery_isSentAgainOnAConnectionThatWentStale(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		first := served.Add(1) == 1
		for n := 0; ; n++ {
			r, err := c.ReadRequest()
			if err != nil || first && n == 1 {
				c.Reset() // after it was read
				return
			}
			c.Say(wiretest.OK(string(r.Content)))
		}
	})
	c := sessionTo(t, s)
	for range 2 {
		resp, err := c.Query(t.Context(), "x", parley.WithText("q"))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "q", text)
	}
	require.EqualValues(t, 1, c.Stats().Replays)
}
