package cookies

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("x", maxAttributeBytes)
	for name, test := range map[string]struct {
		line string
		want Received
	}{
		"name and value":                 {"a=1", Received{Name: "a", Value: "1"}},
		"space around them":              {" \ta \t=\t 1 2 \t", Received{Name: "a", Value: "1 2"}},
		"an equals sign in the value":    {"a=b=c==", Received{Name: "a", Value: "b=c=="}},
		"quotes are part of the value":   {`a="1, 2"`, Received{Name: "a", Value: `"1, 2"`}},
		"quotes hide no semicolon":       {`a="1;Path=/x"`, Received{Name: "a", Value: `"1`, Path: `/x"`}},
		"nothing is decoded":             {"%61=%0d%0a", Received{Name: "%61", Value: "%0d%0a"}},
		"any byte beyond ASCII":          {"a=\xff\xe9", Received{Name: "a", Value: "\xff\xe9"}},
		"no value":                       {"a=", Received{Name: "a"}},
		"no name":                        {"=1", Received{Value: "1"}},
		"no equals sign":                 {"1", Received{Value: "1"}},
		"nothing":                        {"", Received{}},
		"attributes only":                {"; Secure", Received{Secure: true}},
		"attributes in any case":         {"a=1;SECURE;httponly;PATH=/p;DoMain=d.test", Received{Name: "a", Value: "1", Secure: true, HttpOnly: true, Path: "/p", Domain: "d.test"}},
		"space and tabs around them":     {"a=1; \tSecure\t;\tPath\t=\t/p\t", Received{Name: "a", Value: "1", Secure: true, Path: "/p"}},
		"a value of Secure means naught": {"a=1;Secure=no", Received{Name: "a", Value: "1", Secure: true}},
		"unknown and empty attributes":   {"a=1;;; x=y; =z;", Received{Name: "a", Value: "1"}},
		"the last of a name counts":      {"a=1; Path=/a; Path=/b; Domain=a; Domain=", Received{Name: "a", Value: "1", Path: "/b"}},
		"a path without slash is none":   {"a=1; Path=/a; Path=b", Received{Name: "a", Value: "1"}},
		"an attribute of 1024 bytes":     {"a=1; Domain=" + long, Received{Name: "a", Value: "1", Domain: long}},
		"and of one more, as if not so":  {"a=1; Domain=x; Domain=" + long + "x", Received{Name: "a", Value: "1", Domain: "x"}},
		"Max-Age":                        {"a=1; Max-Age=10", Received{Name: "a", Value: "1", HasMaxAge: true, MaxAge: 10}},
		"Max-Age of zero":                {"a=1; Max-Age=000", Received{Name: "a", Value: "1", HasMaxAge: true}},
		"a negative Max-Age":             {"a=1; Max-Age=-9999999999999999999999", Received{Name: "a", Value: "1", HasMaxAge: true}},
		"the longest Max-Age":            {"a=1; Max-Age=99999999999999999999999", Received{Name: "a", Value: "1", HasMaxAge: true, MaxAge: 400 * 24 * 3600}},
		"Max-Age that is no number":      {"a=1; Max-Age=1s; Max-Age=; Max-Age=-; Max-Age=+1; Max-Age=1.5", Received{Name: "a", Value: "1"}},
		"Max-Age with quotes":            {`a=1; Max-Age="1"`, Received{Name: "a", Value: "1"}},
		"Expires":                        {"a=1; Expires=Mon, 01-Jun-2026 12:00:00 GMT", Received{Name: "a", Value: "1", HasExpires: true, Expires: noon}},
		"Expires that is no date":        {"a=1; Expires=tomorrow; Expires=", Received{Name: "a", Value: "1"}},
		"SameSite":                       {"a=1; SameSite=sTRICT", Received{Name: "a", Value: "1", SameSite: http.SameSiteStrictMode}},
		"an unknown SameSite is none":    {"a=1; SameSite=Lax; SameSite=NoneOfYourBusiness", Received{Name: "a", Value: "1"}},
	} {
		got, err := Parse(test.line)
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
	for c := range 0x80 {
		for _, line := range []string{"x?=1", "x=?1", "x=1; Path=/?", "x=1; Foo?"} {
			_, err := Parse(strings.Replace(line, "?", string(rune(c)), 1))
			require.Equal(t, c < ' ' && c != '\t' || c == 0x7f, err != nil, "%#x in %s", c, line)
		}
	}
}

func TestFromHTTP(t *testing.T) {
	// What net/http makes of a line is taken as the line itself would have been.
	for _, line := range []string{
		"a=1", `a="1 2"`, "a=1; Domain=x.test; Path=/p; Secure; HttpOnly; SameSite=Lax", "a=1; Max-Age=10", "a=1; Max-Age=0",
		"a=1; Expires=Mon, 01 Jun 2026 12:00:00 GMT", "a=1; Expires=Mon Jun  1 12:00:00 2026", "a=1; SameSite=odd", "a=1; Path=p",
	} {
		cookie, err := http.ParseSetCookie(line)
		require.NoError(t, err, line)
		want, err := Parse(line)
		require.NoError(t, err)
		want.International = true
		got := FromHTTP(cookie)
		if got.HasMaxAge && got.MaxAge < 0 {
			got.MaxAge = 0
		}
		require.Equal(t, want, got, line)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a=1; Domain=.a.test; Path=/x; Secure; HttpOnly; SameSite=None; Max-Age=-1; Expires=Sun Nov  6 08:49:37 2094",
		"=v", "v", "__Host-a=1; Path=/; Secure", `a="x;y"`, "a=\xff", ";;;", "a=1\x01", "a=b=c; domain=co.uk",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := Parse(line)
		if err != nil {
			return
		}
		s := NewStore(roomy)
		if s.Put(&r, at(t, "https://www.a.test/x/y"), noon) != nil {
			require.True(t, s.Empty())
			return
		}
		for _, c := range listed(s, noon) {
			require.Contains(t, line, c.Name)
			require.Contains(t, line, c.Value)
			require.True(t, domainMatch("www.a.test", c.Domain))
			require.True(t, c.Domain == "www.a.test" || !c.HostOnly && c.Domain == "a.test")
			require.NoError(t, c.checkRecord(&roomy, noon), "what was taken is taken again")
			where := "https://" + c.Domain + c.Path
			if u, err := url.Parse(where); err != nil || u.EscapedPath() != c.Path {
				continue // no request has such a path
			}
			sent := header(t, s, where, noon)
			again, err := Parse(sent)
			require.NoError(t, err)
			require.Equal(t, [2]string{c.Name, c.Value}, [2]string{again.Name, again.Value}, "what is sent says the same")
		}
	})
}
