package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// A URL below the base goes to a server and, said by it, comes back as it was.
func FuzzBalancedBase_thereAndBack(f *testing.F) {
	for _, path := range []string{"", "users/7?a=b", "a%2Fb/%7e//x;y", "%", "..%2f", "\\x", "ü?ü#ü"} {
		f.Add("/v1", "/app/", path)
		f.Add("", "", path)
		f.Add("/a%2Fb", "/v1", path)
	}
	f.Fuzz(func(t *testing.T, basePath, serverPath, ref string) {
		base, err := newBalancedBase("http://logical.test" + basePath)
		if err != nil {
			return
		}
		server, err := newEntry(Server{URL: "http://s0.test:8080" + serverPath}, base, false)
		if err != nil {
			return
		}
		req, err := parley.NewRequest(http.MethodGet, strings.TrimSuffix(base.String(), "/")+"/"+ref)
		if err != nil {
			return
		}
		before := req.URL.String()
		sent, err := server.rewritten(req, base)
		if err != nil { // it has climbed out of the base
			_, below := base.below(req.URL)
			require.False(t, below)
			return
		}
		require.Equal(t, before, req.URL.String(), "the request is not modified")
		require.Equal(t, "s0.test:8080", sent.URL.Host)
		require.True(t, strings.HasPrefix(sent.URL.EscapedPath(), server.base.path+"/"), "%s leaves the base", sent.URL)
		rest, ok := server.base.below(sent.URL)
		require.True(t, ok)
		back, err := base.moved(sent.URL, anyPath, rest)
		require.NoError(t, err)
		require.Equal(t, req.URL.EscapedPath(), back.EscapedPath())
		require.Equal(t, req.URL.RawQuery, back.RawQuery)
	})
}

// Whatever a server says, only targets of links that lead to servers change.
func FuzzTranslateLinks(f *testing.F) {
	for _, line := range []string{
		`<http://s0.test/x>; rel=next`, `<a>, <b>; t="<c>"`, `"`, `<`, `"\"<x>"<y>`, `<<>>`, ``,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		require.Equal(t, line, translateLinks(line, func(target string) string { return target }))
		if strings.Contains(line, "\x01") {
			return
		}
		marked := translateLinks(line, func(target string) string { return "\x01" + target + "\x01" })
		require.Equal(t, line, strings.ReplaceAll(marked, "\x01", ""), "nothing else changes")
	})
}

// References that are not those of servers stay, and none becomes one with credentials.
func FuzzTranslate(f *testing.F) {
	base, err := newBalancedBase("http://logical.test/v1")
	require.NoError(f, err)
	server, err := newBalancedBase("http://s0.test/app")
	require.NoError(f, err)
	sent, err := url.Parse("http://s0.test/app/some/thing?x")
	require.NoError(f, err)
	for _, ref := range []string{"http://s0.test/app/x", "x", "/app", "//u:p@s0.test/app/", "http://[", "\\\\evil.test", "HTTP://S0.TEST:80/app/../x"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		got := base.translate(ref, sent, false, server.below)
		if got == ref {
			return
		}
		u, err := url.Parse(got)
		require.NoError(t, err)
		switch {
		case u.Host == "logical.test":
			require.True(t, strings.HasPrefix(u.EscapedPath()+"/", "/v1/"), got)
			require.Nil(t, u.User)
		default:
			require.Equal(t, "s0.test", u.Host, got)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"", "0", "120", "-1", "1.5", "99999999999999999999", "Mon, 02 Jan 2036 15:04:05 GMT", " 1"} {
		f.Add(v)
	}
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, v string) {
		wait, ok := retryAfter(http.Header{"Retry-After": {v}}, now)
		require.GreaterOrEqual(t, wait, time.Duration(0))
		require.True(t, ok || wait == 0)
	})
}
