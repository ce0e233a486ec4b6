package urls

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"http://a.test/p?q=1#f", "HTTPS://u:p%40@A.Test.:0443//a/../%2e./b", "http://[fe80::1%25eth0]:81/", "http://é.test/é?é#é",
		"http://a.test:81@evil.test/", "http://xn--bcher-kva.test", "http://127.1", "http://a.test/%zz?%", "ftp://a", "http:x",
		"http://a.test?", "http://a.test/!(x)'*;,=%2F", `http://a\b@c`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var full url.URL
		fullErr := parseFull(&full, raw)
		u, err := Parse(raw)
		if err != nil {
			require.Error(t, fullErr)
			if len(err.Error()) > 500 {
				t.Fatalf("long error for %q", raw)
			}
			return
		}
		require.NoError(t, fullErr)
		require.Equal(t, &full, u, "the plain and the full parser")
		requireConsistent(t, u)

		host, err := CanonicalHost(u.Hostname())
		require.NoError(t, err)
		require.Equal(t, u.Hostname(), host)
		if unicode, err := lookup.ToUnicode(host); err == nil && !strings.Contains(host, ":") {
			again, err := CanonicalHost(unicode)
			require.NoError(t, err)
			require.Equal(t, host, again, "the international form of a host")
		}
		if standard, err := url.Parse(raw); err == nil {
			// One view of where the authority ends.
			host, err := CanonicalHost(standard.Hostname())
			require.NoError(t, err)
			require.Equal(t, host, u.Hostname())
		}
		redacted := Redacted(u)
		require.LessOrEqual(t, len(redacted), maxRedacted+len("..."))
		require.True(t, SameOrigin(u, u))
	})
}

func FuzzJoinInto(f *testing.F) {
	for _, base := range []string{"http://a.test", "https://u:p@a.test:8443/api/v1?key=1&b", "http://[::1]/a(b)//%2f/?"} {
		for _, ref := range []string{
			"", "users", "/users/?key=2", "./a:b", "//b", `\b`, "a/../..", "%2e%2E/x", "http://b.test/x", "?b&b", "#f", "a b%", ".//x", "x/..//y",
		} {
			f.Add(base, ref)
		}
	}
	f.Fuzz(func(t *testing.T, rawBase, ref string) {
		parsed, err := Parse(rawBase)
		if err != nil {
			return
		}
		b, err := NewBase(parsed)
		require.NoError(t, err)
		var full, u url.URL
		fullSame, fullErr := b.joinFull(&full, ref)
		same, err := b.JoinInto(&u, ref)
		require.Equal(t, fullErr == nil, err == nil, "the plain and the full join")
		if err != nil {
			return
		}
		require.Equal(t, full, u, "the plain and the full join")
		require.Equal(t, fullSame, same)
		requireConsistent(t, &u)
		base := b.URL()
		require.Equal(t, same, SameOrigin(base, &u))
		if _, _, absolute := splitScheme(ref); absolute {
			return
		}
		require.True(t, same)
		require.Equal(t, base.User, u.User)
		path, below := u.EscapedPath(), base.EscapedPath()
		if path != below && !strings.HasPrefix(path, strings.TrimSuffix(below, "/")+"/") {
			t.Fatalf("%q with %q left the base: %q", rawBase, ref, path)
		}
		if hasDots(path) {
			t.Fatalf("dot segments in %q", path)
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, ref := range []string{"", "x", "/x/../y", "//b.test/x", "?q", "#f", "http://u@b.test", `/\b`, "  x\t", "..//x", "a:b"} {
		f.Add("http://u:p@a.test/d/e?q", ref)
	}
	f.Fuzz(func(t *testing.T, rawBase, ref string) {
		base, err := Parse(rawBase)
		if err != nil {
			return
		}
		u, err := Resolve(base, ref)
		if err != nil {
			return
		}
		requireConsistent(t, u)
		if u.Host != base.Host && u.User != nil && !strings.Contains(ref, "@") {
			t.Fatalf("%q with %q took user information along", rawBase, ref)
		}
		// On plain references the standard library resolves alike.
		standard, err := url.Parse(strings.Trim(ref, " \t"))
		if err != nil || strings.ContainsAny(ref, "%") {
			return
		}
		host, err := CanonicalHost(base.ResolveReference(standard).Hostname())
		require.NoError(t, err)
		require.Equal(t, host, u.Hostname())
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("users/{a}/x{b}?{a}", "ada", "..")
	f.Add("http://{a}.test/{a}", "//evil.test", "\r\n")
	f.Add("{a}{b}", ".", ".")
	f.Add("{a}://{b}", "http", "evil.test")
	f.Fuzz(func(t *testing.T, ref, first, second string) {
		expanded, used, err := Expand(ref, []Param{{"a", first}, {"b", second}})
		if err != nil {
			require.Empty(t, expanded)
			return
		}
		if len(used) == 0 {
			require.Equal(t, ref, expanded)
			return
		}
		// Values change no structure: the same reference with harmless
		// values has as many segments, and the same query.
		harmless, _, err := Expand(ref, []Param{{"a", "x"}, {"b", "y"}})
		require.NoError(t, err)
		path, query, hasQuery, fragment := splitTail(expanded)
		path2, query2, hasQuery2, fragment2 := splitTail(harmless)
		require.Equal(t, strings.Count(path2, "/"), strings.Count(path, "/"))
		require.Equal(t, []any{query2, hasQuery2, fragment2}, []any{query, hasQuery, fragment})
		scheme, _, absolute := splitScheme(expanded)
		scheme2, _, absolute2 := splitScheme(harmless)
		require.Equal(t, []any{scheme2, absolute2}, []any{scheme, absolute})

		b := newBase(t, "http://a.test/v1")
		var u, u2 url.URL
		_, err = b.JoinInto(&u, expanded)
		_, err2 := b.JoinInto(&u2, harmless)
		if err != nil {
			return // longer, at most
		}
		require.NoError(t, err2)
		require.Equal(t, u2.Host, u.Host)
		require.Equal(t, strings.Count(u2.EscapedPath(), "/"), strings.Count(u.EscapedPath(), "/"))
		requireConsistent(t, &u)
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("a=1&b=2&&c", "a", "v")
	f.Add("a%20b=1&a+b=2&", "a b", "c d")
	f.Add("%zz&%", "%zz", "")
	f.Fuzz(func(t *testing.T, raw, key, value string) {
		added := AppendQuery(raw, []Param{{key, value}}, Plus)
		require.True(t, strings.HasPrefix(added, raw))
		require.True(t, HasKey(added, key))
		removed := RemoveKeys(added, key)
		require.False(t, HasKey(removed, key))
		require.Equal(t, RemoveKeys(removed, key), removed)
		if !HasKey(raw, key) {
			require.Equal(t, strings.TrimSuffix(raw, "&"), removed)
		}
		many := make([]string, 0, fewKeys+2)
		for i := range fewKeys + 1 {
			many = append(many, key+strings.Repeat("x", i+len(added)))
		}
		require.Equal(t, removed, RemoveKeys(added, append(many, key)...), "few keys and many")
		last := added
		if raw != "" {
			last = added[len(raw):]
		}
		last = strings.TrimPrefix(last, "&")
		requireTargetBytes(t, last)
	})
}
