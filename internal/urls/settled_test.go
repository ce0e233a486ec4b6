package urls

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettled(t *testing.T) {
	for _, raw := range []string{
		"http://a.test/", "https://a.test:8443/x/y.z?q=1&r=%20", "http://10.0.0.1:81/a!b", "http://a.test/?",
	} {
		u, err := Parse(raw)
		require.NoError(t, err)
		require.True(t, Settled(u), raw)
	}
	for _, u := range []*url.URL{
		{},
		{Scheme: "HTTP", Host: "a.test", Path: "/"},
		{Scheme: "ftp", Host: "a.test", Path: "/"},
		{Scheme: "http", Path: "/"},
		{Scheme: "http", Host: "A.test", Path: "/"},
		{Scheme: "http", Host: "a.test.", Path: "/"},
		{Scheme: "http", Host: "a.test:", Path: "/"},
		{Scheme: "http", Host: "a.test:80", Path: "/"},
		{Scheme: "https", Host: "a.test:443", Path: "/"},
		{Scheme: "http", Host: "a.test:8080x", Path: "/"},
		{Scheme: "http", Host: "a b", Path: "/"},
		{Scheme: "http", Host: "u@a.test", Path: "/"},
		{Scheme: "http", Host: "[::1]", Path: "/"},
		{Scheme: "http", Host: "xn--a-.test", Path: "/"},
		{Scheme: "http", Host: "a.test"},
		{Scheme: "http", Host: "a.test", Path: "x"},
		{Scheme: "http", Host: "a.test", Path: "/a b"},
		{Scheme: "http", Host: "a.test", Path: "/a?b"},
		{Scheme: "http", Host: "a.test", Path: "/../b"},
		{Scheme: "http", Host: "a.test", Path: "/b", RawPath: "/%62"},
		{Scheme: "http", Host: "a.test", Path: "/", RawQuery: "a b"},
		{Scheme: "http", Host: "a.test", Path: "/", RawQuery: "a%2"},
		{Scheme: "http", Host: "a.test", Path: "/", Fragment: "f"},
		{Scheme: "http", Host: "a.test", Path: "/", Opaque: "o"},
		{Scheme: "http", Host: "a.test", Path: "/", User: url.User("u")},
	} {
		require.False(t, Settled(u), "%+v", *u)
	}
}

func TestSettle(t *testing.T) {
	u, err := Settle(&url.URL{Scheme: "HTTP", User: url.UserPassword("u", "p@"), Host: "A.test.:80", Path: "/a b/../c\r\n?", RawQuery: "q=1 2#\x00%zz", Fragment: "f g"})
	require.NoError(t, err)
	require.Equal(t, "http://u:p%40@a.test/c%0D%0A%3F?q=1%202%23%00%25zz#f%20g", u.String())
	for name, u := range map[string]*url.URL{
		"opaque":            {Scheme: "http", Opaque: "//b.test/", Host: "a.test"},
		"no host":           {Scheme: "http", Path: "//b.test/x"},
		"no scheme":         {Host: "a.test"},
		"host with a path":  {Scheme: "http", Host: "a.test/x@b.test"},
		"host with a break": {Scheme: "http", Host: "a.test\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Settle(u)
			require.Error(t, err)
		})
	}
}

// FuzzSettled checks that what is settled is parsed to itself.
func FuzzSettled(f *testing.F) {
	f.Add("http", "a.test:81", "/x", "", "q=1", false)
	f.Add("https", "a.test.", "/x/../y", "/%41", "q=%", true)
	f.Fuzz(func(t *testing.T, scheme, host, path, rawPath, query string, force bool) {
		u := &url.URL{Scheme: scheme, Host: host, Path: path, RawPath: rawPath, RawQuery: query, ForceQuery: force}
		if !Settled(u) {
			return
		}
		again, err := Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again)
	})
}
