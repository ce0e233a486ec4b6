package urls

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func newBase(t testing.TB, raw string) *Base {
	t.Helper()
	u, err := Parse(raw)
	require.NoError(t, err)
	b, err := NewBase(u)
	require.NoError(t, err)
	return b
}

func TestJoin(t *testing.T) {
	const base = "http://a.test/api/v1"
	tests := []struct{ name, base, ref, want string }{
		{"a name", base, "users", "http://a.test/api/v1/users"},
		{"a slash before", base, "/users", "http://a.test/api/v1/users"},
		{"a dot segment before", base, "./users", "http://a.test/api/v1/users"},
		{"nothing is the base", base, "", "http://a.test/api/v1"},
		{"nothing is the base with its slash", base + "/", "", "http://a.test/api/v1/"},
		{"a slash is the base as a directory", base, "/", "http://a.test/api/v1/"},
		{"a dot is the base as a directory", base, ".", "http://a.test/api/v1/"},
		{"a slash does not double", base + "/", "/users", "http://a.test/api/v1/users"},
		{"a slash at the end stays", base + "/", "users/", "http://a.test/api/v1/users/"},
		{"a host alone", "http://a.test", "users", "http://a.test/users"},
		{"a host and nothing", "http://a.test", "", "http://a.test/"},
		{"a host and a slash", "http://a.test", "/users/", "http://a.test/users/"},
		{"double slashes inside stay", base, "users//list", "http://a.test/api/v1/users//list"},
		{"double slashes at the end stay", base, "users//", "http://a.test/api/v1/users//"},
		{"double slashes of the base stay", base + "//", "users", "http://a.test/api/v1//users"},
		{"dot segments are resolved below the base", base, "users/../groups/./x/..", "http://a.test/api/v1/groups/"},
		{"up to the base itself", base, "users/..", "http://a.test/api/v1/"},
		{"encoded dot segments are resolved", base, "users/%2E%2e/x", "http://a.test/api/v1/x"},
		{"dot names are no dot segments", base, ".well-known/..x", "http://a.test/api/v1/.well-known/..x"},
		{"an encoded slash keeps a segment one", base, "..%2fx", "http://a.test/api/v1/..%2fx"},
		{"an absolute URL", base, "http://b.test/other", "http://b.test/other"},
		{"another scheme of the same host", base, "https://a.test/x", "https://a.test/x"},
		{"an absolute URL of the same origin", base, "HTTP://A.TEST:80/x", "http://a.test/x"},
		{"a query", base, "users?page=2", "http://a.test/api/v1/users?page=2"},
		{"a query alone", base, "?page=2", "http://a.test/api/v1?page=2"},
		{"an empty query", base, "users?", "http://a.test/api/v1/users?"},
		{"the query of the base", base + "?key=1", "users", "http://a.test/api/v1/users?key=1"},
		{"the query of the base with nothing", base + "?key=1", "", "http://a.test/api/v1?key=1"},
		{"both queries", base + "?key=1", "users?page=2", "http://a.test/api/v1/users?key=1&page=2"},
		{"the reference's value replaces the base's", base + "?k=1&b=2&k=3", "users?k=9", "http://a.test/api/v1/users?b=2&k=9"},
		{"keys are compared decoded", base + "?a%20b=1&c=2", "users?a+b=9", "http://a.test/api/v1/users?c=2&a+b=9"},
		{"an empty query leaves that of the base", base + "?key=1", "users?", "http://a.test/api/v1/users?key=1"},
		{"an absolute URL has no query of the base", base + "?key=1", "http://a.test/x?y", "http://a.test/x?y"},
		{"an empty query of the base stays", base + "?", "users", "http://a.test/api/v1/users?"},
		{"an empty query of the base goes with a real one", base + "?", "users?a", "http://a.test/api/v1/users?a"},
		{"a fragment stays", base, "users#top", "http://a.test/api/v1/users#top"},
		{"a fragment alone", base, "#top", "http://a.test/api/v1#top"},
		{"the fragment of the base goes", base + "#f", "users", "http://a.test/api/v1/users"},
		{"a colon after a dot segment", base, "./users:search", "http://a.test/api/v1/users:search"},
		{"a colon after a slash", base, "/users:search", "http://a.test/api/v1/users:search"},
		{"a colon in a later segment", base, "users/a:b", "http://a.test/api/v1/users/a:b"},
		{"a colon in the query", base, "users?t=10:30", "http://a.test/api/v1/users?t=10:30"},
		{"other scripts", base, "café/中", "http://a.test/api/v1/caf%C3%A9/%E4%B8%AD"},
		{"escapes stay", base, "a%2fb%c3%a9", "http://a.test/api/v1/a%2fb%c3%a9"},
		{"stray percent signs", base, "100%/x%zz", "http://a.test/api/v1/100%25/x%25zz"},
		{"a plus sign", base, "a+b", "http://a.test/api/v1/a+b"},
		{"unsafe characters", base, "a|b[c]{d}^\"e\"<f>", "http://a.test/api/v1/a%7Cb%5Bc%5D%7Bd%7D%5E%22e%22%3Cf%3E"},
		{"a backslash inside", base, `a\b`, "http://a.test/api/v1/a%5Cb"},
		{"an at sign", base, "@me", "http://a.test/api/v1/@me"},
		{"what net/url would escape", base, "a(b)!*'", "http://a.test/api/v1/a(b)!*'"},
		{"a base that net/url would escape", "http://a.test/a(b)", "c", "http://a.test/a(b)/c"},
		{"a base with an encoded slash", "http://a.test/a%2f", "c", "http://a.test/a%2f/c"},
		{"a base with a plain escape", "http://a.test/a%20b", "c(", "http://a.test/a%20b/c("},
		{"a port", "http://a.test:8080/api", "users", "http://a.test:8080/api/users"},
		{"user information of the base", "http://u:p@a.test/api", "users", "http://u:p@a.test/api/users"},
		{"an absolute URL has no user information of the base", "http://u:p@a.test/api", "http://a.test/x", "http://a.test/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBase(t, test.base)
			before := *b.URL()
			dst := url.URL{Scheme: "old", User: url.User("old"), Fragment: "old", Opaque: "old"}
			same, err := b.JoinInto(&dst, test.ref)
			require.NoError(t, err)
			require.Equal(t, test.want, dst.String())
			require.Equal(t, SameOrigin(b.URL(), &dst), same)
			require.Equal(t, before, *b.URL(), "the base must not change")
			requireConsistent(t, &dst)
		})
	}
}

func TestJoinRefuses(t *testing.T) {
	tests := []struct{ name, ref string }{
		{"two slashes", "//b.test/x"},
		{"three slashes", "///b.test"},
		{"a backslash", `\b.test`},
		{"two backslashes", `\\b.test`},
		{"a slash and a backslash", `/\b.test`},
		{"climbing", "../users"},
		{"climbing alone", ".."},
		{"climbing far", "../../../../users"},
		{"climbing after a slash", "/../users"},
		{"climbing out of a segment", "users/../../x"},
		{"climbing and coming back", "../v1/users"},
		{"climbing encoded", "%2e%2e/x"},
		{"climbing half encoded", ".%2E/x"},
		{"climbing behind a dot", "./..//x"},
		{"an address without a scheme", "127.0.0.1:8080/x"},
		{"a colon first", ":x"},
		{"a colon after an escape", "%41:x"},
		{"a leading space", " users"},
		{"a trailing space", "users "},
		{"a control byte", "users\r\nX: 1"},
		{"a bad absolute URL", "http://b test/"},
		{"a scheme without a host", "http:users"},
		{"too long", strings.Repeat("a", MaxBytes+1)},
		{"too long once joined", strings.Repeat("a", MaxBytes)},
	}
	b := newBase(t, "http://me:SECRET@a.test/api/v1?key=SECRET")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dst := url.URL{Host: "unchanged"}
			_, err := b.JoinInto(&dst, test.ref)
			var invalid *Error
			require.ErrorAs(t, err, &invalid)
			require.NotContains(t, err.Error(), "SECRET")
			require.Equal(t, url.URL{Host: "unchanged"}, dst)
		})
	}
	for _, ref := range []string{"users:search", "a:b", "mailto:x", "localhost:8080/x", "ftp://b.test/"} {
		_, err := b.JoinInto(new(url.URL), ref)
		require.ErrorAs(t, err, new(*SchemeError), ref)
	}
}

func TestJoinWithoutBase(t *testing.T) {
	var b *Base
	var dst url.URL
	same, err := b.JoinInto(&dst, "http://a.test/x")
	require.NoError(t, err)
	require.True(t, same)
	require.Equal(t, "http://a.test/x", dst.String())
	for _, ref := range []string{"", "users", "/users", "//a.test/x", "users:search", "?x", "#x"} {
		_, err := b.JoinInto(&dst, ref)
		require.Error(t, err, ref)
	}
}

func TestPlainAndFullJoinAgree(t *testing.T) {
	bases := []string{
		"http://a.test", "https://a.test:8443/api/v1", "http://a.test/api/v1/", "http://u@a.test/a(b)/%20?k=1&a=2",
		"http://a.test/a%2f?", "http://a.test/é//?a",
	}
	refs := []string{"users", "/users", "users?", "users?a=1", "users?k=%6b&x", "a(b)", "a//b?c?d", "x.y", "%zz", "./x", ""}
	for _, base := range bases {
		for _, ref := range refs {
			b := newBase(t, base)
			var plain, full url.URL
			_, err := b.joinFull(&full, ref)
			require.NoError(t, err)
			if b.joinPlain(&plain, ref) {
				require.Equal(t, full, plain, "%s with %s", base, ref)
			}
			requireConsistent(t, &full)
		}
	}
}

func TestNewBase(t *testing.T) {
	_, err := NewBase(nil)
	require.ErrorAs(t, err, new(*Error))
	_, err = NewBase(&url.URL{Path: "/x"})
	require.ErrorAs(t, err, new(*Error))
	_, err = NewBase(&url.URL{Scheme: "ftp", Host: "a.test"})
	require.ErrorAs(t, err, new(*SchemeError))

	b, err := NewBase(&url.URL{Scheme: "HTTP", Host: "A.Test:80", Path: "v1/é"})
	require.NoError(t, err, "a URL made by hand is made canonical")
	require.Equal(t, "http://a.test/v1/%C3%A9", b.URL().String())
	b.URL().Host = "b.test"
	require.Equal(t, "a.test", b.URL().Host, "URL returns a copy")
}

func TestResolve(t *testing.T) {
	const base = "http://a.test/dir/sub/start?old=1#old"
	tests := []struct{ name, ref, want string }{
		{"a name", "next", "http://a.test/dir/sub/next"},
		{"a dot segment", "./next", "http://a.test/dir/sub/next"},
		{"climbing", "../next", "http://a.test/dir/next"},
		{"climbing too far ends at the root", "../../../../next", "http://a.test/next"},
		{"climbing encoded", "%2e%2e/next", "http://a.test/dir/next"},
		{"a path", "/next", "http://a.test/next"},
		{"a query", "?q=2", "http://a.test/dir/sub/start?q=2"},
		{"an empty query", "?", "http://a.test/dir/sub/start?"},
		{"a fragment", "#x", "http://a.test/dir/sub/start?old=1#x"},
		{"nothing", "", "http://a.test/dir/sub/start?old=1"},
		{"another host", "//b.test/next", "http://b.test/next"},
		{"a whole URL", "https://b.test:443/next", "https://b.test/next"},
		{"a whole URL in upper case", "HTTP://B.TEST/Next", "http://b.test/Next"},
		{"a whole URL without a path", "http://b.test?q=1", "http://b.test/?q=1"},
		{"dot segments of a whole URL", "http://b.test/x/../y/./z", "http://b.test/y/z"},
		{"a fragment of its own", "/next#own", "http://a.test/next#own"},
		{"spaces inside", "/a b?q=c d", "http://a.test/a%20b?q=c%20d"},
		{"spaces and tabs around", " \t /next\t ", "http://a.test/next"},
		{"other scripts", "/café?q=ü", "http://a.test/caf%C3%A9?q=%C3%BC"},
		{"escapes stay", "/a%2Fb%20c%7e?x=%26", "http://a.test/a%2Fb%20c%7e?x=%26"},
		{"stray percent signs", "/a%zz%", "http://a.test/a%25zz%25"},
		{"an international host", "http://bücher.test/next", "http://xn--bcher-kva.test/next"},
		{"backslashes are no slashes", `/\b.test/x`, "http://a.test/%5Cb.test/x"},
		{"leading backslashes are no slashes", `\\b.test\x`, "http://a.test/dir/sub/%5C%5Cb.test%5Cx"},
		{"user information of its own", "http://u:p@b.test/next", "http://u:p@b.test/next"},
	}
	u, err := Parse(base)
	require.NoError(t, err)
	before := *u
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Resolve(u, test.ref)
			require.NoError(t, err)
			require.Equal(t, test.want, got.String())
			require.Equal(t, before, *u)
			requireConsistent(t, got)
		})
	}
}

// The examples of RFC 3986, section 5.4, but for those that need another scheme.
func TestResolveExamplesOfRFC3986(t *testing.T) {
	base, err := Parse("http://a/b/c/d;p?q")
	require.NoError(t, err)
	for ref, want := range map[string]string{
		"g": "http://a/b/c/g", "./g": "http://a/b/c/g", "g/": "http://a/b/c/g/", "/g": "http://a/g", "//g": "http://g/",
		"?y": "http://a/b/c/d;p?y", "g?y": "http://a/b/c/g?y", "#s": "http://a/b/c/d;p?q#s", "g#s": "http://a/b/c/g#s",
		"g?y#s": "http://a/b/c/g?y#s", ";x": "http://a/b/c/;x", "g;x": "http://a/b/c/g;x", "g;x?y#s": "http://a/b/c/g;x?y#s",
		"": "http://a/b/c/d;p?q", ".": "http://a/b/c/", "./": "http://a/b/c/", "..": "http://a/b/", "../": "http://a/b/",
		"../g": "http://a/b/g", "../..": "http://a/", "../../": "http://a/", "../../g": "http://a/g", "../../../g": "http://a/g",
		"../../../../g": "http://a/g", "/./g": "http://a/g", "/../g": "http://a/g", "g.": "http://a/b/c/g.", ".g": "http://a/b/c/.g",
		"g..": "http://a/b/c/g..", "..g": "http://a/b/c/..g", "./../g": "http://a/b/g", "./g/.": "http://a/b/c/g/",
		"g/./h": "http://a/b/c/g/h", "g/../h": "http://a/b/c/h", "g;x=1/./y": "http://a/b/c/g;x=1/y", "g;x=1/../y": "http://a/b/c/y",
		"g?y/./x": "http://a/b/c/g?y/./x", "g?y/../x": "http://a/b/c/g?y/../x", "g#s/./x": "http://a/b/c/g#s/./x", "g#s/../x": "http://a/b/c/g#s/../x",
	} {
		got, err := Resolve(base, ref)
		require.NoError(t, err, ref)
		require.Equal(t, want, got.String(), ref)
	}
}

func TestResolveRefuses(t *testing.T) {
	base, err := Parse("http://a.test/dir/start")
	require.NoError(t, err)
	for _, ref := range []string{
		"http://", "http:next", "https:/y", "//", "///x", "http://b.test:abc/next", "http://[::1/next", "//b test/",
		"/a\tb", "/a\r\nX: 1", "/a\x00", "1:x", strings.Repeat("a", MaxBytes+1), strings.Repeat(" ", MaxBytes+1), strings.Repeat("é", MaxBytes/3),
	} {
		_, err := Resolve(base, ref)
		require.ErrorAs(t, err, new(*Error), "%.40q", ref)
	}
	_, err = Resolve(nil, "/x")
	require.ErrorAs(t, err, new(*Error))
	_, err = Resolve(new(url.URL), "/x")
	require.ErrorAs(t, err, new(*Error))
}

func TestResolveAgainstURLMadeByHand(t *testing.T) {
	base := &url.URL{Scheme: "http", Host: "a.test", RawQuery: "a b\r\n", Path: "x y/z"}
	for ref, want := range map[string]string{"": "/x%20y/z?a%20b%0D%0A", "q": "/x%20y/q", "?": "/x%20y/z?"} {
		got, err := Resolve(base, ref)
		require.NoError(t, err)
		require.Equal(t, want, Target(got))
		requireConsistent(t, got)
	}
}
