package parley_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// startsJob answers like a server that gives its Location for what comes of a POST.
func startsJob(location string) string {
	return "HTTP/1.1 202 Accepted\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n"
}

func TestNewRequestFrom_followsWhatAnAnswerNames(t *testing.T) {
	t.Parallel()
	s, names := bookOf(t, map[string]string{
		"a.test/start?v=1": startsJob("/jobs/1"), "a.test/jobs/1?v=1": "", "a.test/jobs/2?v=2": "",
		"a.test/away":  "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://b.test/start\r\nContent-Length: 0\r\n\r\n",
		"b.test/start": startsJob("http://a.test/back"), "a.test/back": "", "b.test/jobs/1": "",
	})
	calls := 0
	hook := parley.WithRequestHook(func(context.Context, *parley.Request) error { calls++; return nil })
	c := wireClient(t, parley.WithBaseURL("http://a.test"), parley.WithDialer(names), parley.WithQuery("v", "1"), parley.WithHeader("X-Key", "session"), hook)
	fetch := func(resp *parley.Response, ref string, opts ...parley.RequestOption) string {
		t.Helper()
		req, err := c.NewRequestFrom(resp, ref, opts...)
		require.NoError(t, err)
		resp, err = c.Fetch(t.Context(), req)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		return text
	}

	resp, err := c.Post(t.Context(), "start", parley.WithJSON(1), parley.WithBearerToken("t"), parley.WithHeader("X-Call", "call"))
	require.NoError(t, err)
	require.Equal(t, "a.test/jobs/1?v=1", fetch(resp, resp.Header.Get("Location")))
	require.Equal(t, "a.test/jobs/2?v=2", fetch(resp, "jobs/2?v=2"), "what the URL says itself wins over the session's word")
	require.Equal(t, "b.test/jobs/1", fetch(resp, "//b.test/jobs/1#x", parley.WithHeader("X-New", "new")))
	require.Equal(t, 4, calls)
	away, err := c.Put(t.Context(), "away", parley.WithoutQuery("v"), parley.WithText("x"), parley.WithHeader("X-Call", "call"))
	require.NoError(t, err)
	require.Equal(t, "a.test/back", fetch(away, away.Header.Get("Location")))

	sent := sentTo(t, s)
	job := sent["a.test/jobs/1?v=1"]
	require.Equal(t, http.MethodGet, job.Method)
	require.Equal(t, []string{"Bearer t", "session", "call", "", ""}, []string{
		job.Header.Get("Authorization"), job.Header.Get("X-Key"), job.Header.Get("X-Call"), job.Header.Get("Content-Type"), job.Header.Get("Content-Length"),
	})
	for _, foreign := range []string{"b.test/jobs/1", "a.test/back"} {
		for _, name := range []string{"Authorization", "X-Key", "X-Call"} {
			require.NotContains(t, sent[foreign].Header, name, foreign)
		}
	}
	require.Equal(t, "new", sent["b.test/jobs/1"].Header.Get("X-New"), "what is said for the new request is meant for where it goes")
}

// Without a base URL a session's values are for every URL that the program names, but not
// for those that a server does.
func TestNewRequestFrom_withoutABaseURL(t *testing.T) {
	t.Parallel()
	s, names := bookOf(t, map[string]string{"a.test/": startsJob("http://b.test/"), "b.test/": ""})
	c := wireClient(t, parley.WithDialer(names), parley.WithBearerToken("t"), parley.WithQuery("key", "secret"))
	resp, err := c.Post(t.Context(), "http://a.test", parley.WithoutQuery("key"))
	require.NoError(t, err)
	req, err := c.NewRequestFrom(resp, resp.Header.Get("Location"))
	require.NoError(t, err)
	_, err = c.Fetch(t.Context(), req)
	require.NoError(t, err)
	sent := sentTo(t, s)
	require.Equal(t, "Bearer t", sent["a.test/"].Header.Get("Authorization"))
	require.NotContains(t, sent["b.test/"].Header, "Authorization")
}

func TestNewRequestFrom_refuses(t *testing.T) {
	t.Parallel()
	_, names := bookOf(t, map[string]string{"a.test/": ""})
	c := wireClient(t, parley.WithDialer(names))
	resp, err := c.Get(t.Context(), "http://a.test")
	require.NoError(t, err)
	for ref, kind := range map[string]error{
		"http://[": parley.ErrInvalidURL, "a b\n": parley.ErrInvalidURL, "mailto:a@a.test": parley.ErrUnsupportedProtocol, "file:///etc/passwd": parley.ErrUnsupportedProtocol,
	} {
		_, err := c.NewRequestFrom(resp, ref)
		require.ErrorIs(t, err, kind, ref)
	}
	for _, none := range []*parley.Response{nil, {}} {
		_, err := c.NewRequestFrom(none, "x")
		require.ErrorIs(t, err, parley.ErrInvalidURL)
	}
	_, err = c.Fetch(t.Context(), nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}
