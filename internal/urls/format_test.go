package urls

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHostForms(t *testing.T) {
	tests := []struct{ raw, hostPort, header string }{
		{"http://a.test/", "a.test:80", "a.test"},
		{"https://a.test/", "a.test:443", "a.test"},
		{"http://a.test:8080/", "a.test:8080", "a.test:8080"},
		{"http://a.test:443/", "a.test:443", "a.test:443"},
		{"https://a.test:443/", "a.test:443", "a.test"},
		{"http://127.0.0.1/", "127.0.0.1:80", "127.0.0.1"},
		{"http://[::1]/", "[::1]:80", "[::1]"},
		{"http://[::1]:81/", "[::1]:81", "[::1]:81"},
		{"http://[fe80::1%25eth0]/", "[fe80::1%eth0]:80", "[fe80::1]"},
		{"http://[fe80::1%25eth0]:81/", "[fe80::1%eth0]:81", "[fe80::1]:81"},
	}
	for _, test := range tests {
		u, err := Parse(test.raw)
		require.NoError(t, err)
		require.Equal(t, test.hostPort, HostPort(u), test.raw)
		require.Equal(t, test.header, HostHeader(u), test.raw)
	}
	byHand := &url.URL{Scheme: "http", Host: "a.test:"}
	require.Equal(t, "a.test:80", HostPort(byHand))
	require.Equal(t, "a.test", HostHeader(byHand))
	byHand = &url.URL{Scheme: "https", Host: "[::1]:443"}
	require.Equal(t, "[::1]:443", HostPort(byHand))
	require.Equal(t, "[::1]", HostHeader(byHand))
}

func TestSameOrigin(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"http://a.test/x", "http://a.test/y?z", true},
		{"http://a.test", "http://a.test:80", true},
		{"http://u:p@a.test", "http://a.test", true},
		{"https://a.test", "https://a.test:443", true},
		{"http://a.test", "https://a.test", false},
		{"http://a.test:443", "https://a.test:443", false},
		{"http://a.test", "http://b.test", false},
		{"http://a.test", "http://sub.a.test", false},
		{"http://a.test", "http://a.test:8080", false},
		{"http://A.test", "http://a.TEST:80", true},
		{"HTTP://a.test", "http://a.test:80", true},
		{"http://[::1]", "http://[::1]:80", true},
		{"http://[::1]", "http://[::2]", false},
	}
	for _, test := range tests {
		a, err := url.Parse(test.a)
		require.NoError(t, err)
		b, err := url.Parse(test.b)
		require.NoError(t, err)
		require.Equal(t, test.want, SameOrigin(a, b), "%s %s", test.a, test.b)
		require.Equal(t, test.want, SameOrigin(b, a), "%s %s", test.b, test.a)
	}
	u := &url.URL{Scheme: "http", Host: "a.test"}
	require.False(t, SameOrigin(nil, u))
	require.False(t, SameOrigin(u, nil))
	require.False(t, SameOrigin(&url.URL{Scheme: "http"}, &url.URL{Scheme: "http"}), "no host, no origin")
}

func TestRedacted(t *testing.T) {
	tests := []struct {
		name string
		u    *url.URL
		want string
	}{
		{"nil", nil, ""},
		{"nothing to hide", &url.URL{Scheme: "http", Host: "a.test", Path: "/p"}, "http://a.test/p"},
		{"query and fragment", &url.URL{Scheme: "http", Host: "a.test", Path: "/p", RawQuery: "key=SECRET", Fragment: "SECRET"}, "http://a.test/p?..."},
		{"user information", &url.URL{Scheme: "http", User: url.UserPassword("SECRET", "SECRET"), Host: "a.test:81", Path: "/"}, "http://a.test:81/"},
		{"user information in the host", &url.URL{Scheme: "http", Host: "me:SECRET@a.test", Path: "/"}, "http://a.test/"},
		{"an opaque URL", &url.URL{Scheme: "http", Opaque: "//me:SECRET@a.test"}, "http:..."},
		{"a path without its slash", &url.URL{Scheme: "http", Host: "a.test", Path: "p"}, "http://a.test/p"},
		{"no path", &url.URL{Scheme: "http", Host: "a.test"}, "http://a.test"},
		{"a path alone", &url.URL{Path: "/p"}, "/p"},
		{"unprintable bytes", &url.URL{Scheme: "h\n", Host: "a\x00é", Path: "/ \r"}, "h%0A://a%00%C3%A9/%20%0D"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, Redacted(test.u)) })
	}
	long := Redacted(&url.URL{Scheme: "http", Host: "a.test", Path: "/" + strings.Repeat("\x01", MaxBytes)})
	require.Len(t, long, maxRedacted+len("..."))
	require.True(t, strings.HasSuffix(long, "..."))
}

func TestTarget(t *testing.T) {
	tests := []struct {
		name string
		u    url.URL
		want string
	}{
		{"no path", url.URL{}, "/"},
		{"a path", url.URL{Path: "/p"}, "/p"},
		{"a query without path", url.URL{RawQuery: "a"}, "/?a"},
		{"an empty query", url.URL{Path: "/p", ForceQuery: true}, "/p?"},
		{"a path without its slash", url.URL{Path: "p", RawQuery: "q"}, "/p?q"},
		{"a raw path", url.URL{Path: "/a/b", RawPath: "/a%2fb"}, "/a%2fb"},
		{"a raw path that is not the path's", url.URL{Path: "/a b", RawPath: "/x"}, "/a%20b"},
		{"a raw path with illegal bytes", url.URL{Path: "/a b", RawPath: "/a b"}, "/a%20b"},
		{"a star", url.URL{Path: "*"}, "/*"},
		{"illegal bytes in the path", url.URL{Path: "/a b\r\n\x00é#?"}, "/a%20b%0D%0A%00%C3%A9%23%3F"},
		{"illegal bytes in the query", url.URL{Path: "/", RawQuery: "a b\r\n\x00é#\x7f"}, "/?a%20b%0D%0A%00%C3%A9%23%7F"},
		{"an opaque part is ignored", url.URL{Opaque: "//b.test/x", Path: "/p"}, "/p"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, Target(&test.u))
			require.Equal(t, "x"+test.want, string(AppendTarget([]byte("x"), &test.u)))
			requireTargetBytes(t, test.want)
		})
	}
}
