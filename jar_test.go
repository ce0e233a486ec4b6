package parley_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// cookiesTo sends a request through a jar to a server that answers with Set-Cookie lines,
// and gives the Cookie header that it bore.
func cookiesTo(t testing.TB, jar http.CookieJar, url string, lines ...string) string {
	t.Helper()
	req, err := parley.NewRequest("GET", url)
	require.NoError(t, err)
	return cookiesWith(t, jar, req, lines...)
}

func cookiesWith(t testing.TB, jar http.CookieJar, req *parley.Request, lines ...string) (sent string) {
	t.Helper()
	server := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		require.LessOrEqual(t, len(req.Header["Cookie"]), 1)
		sent = req.Header.Get("Cookie")
		return &parley.Response{StatusCode: 200, Header: http.Header{"Set-Cookie": lines}}, nil
	})
	_, err := parley.Cookies(jar)(server).Send(t.Context(), req)
	require.NoError(t, err)
	return sent
}

// inJar gives the cookies of a jar as "name=value domain path flags".
func inJar(jar *parley.Jar) []string {
	out := []string{}
	for c := range jar.All() {
		text := c.Name + "=" + c.Value + " " + c.Domain + c.Path
		if c.HostOnly {
			text += " host-only"
		}
		if c.Secure {
			text += " secure"
		}
		out = append(out, text)
	}
	return out
}

func mustURL(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func TestJar_listsInOrder(t *testing.T) {
	var jar parley.Jar // ready to use as it is
	require.Zero(t, jar.Len())
	require.Empty(t, inJar(&jar))
	cookiesTo(t, &jar, "https://b.test/p/q", "z=1", "a=1; Path=/", "a=2; Domain=b.test; Path=/; Secure")
	cookiesTo(t, &jar, "https://a.test/", "m=1; Max-Age=60; HttpOnly; SameSite=Lax")
	require.Equal(t, []string{
		"m=1 a.test/ host-only", "a=1 b.test/ host-only", "a=2 b.test/ secure", "z=1 b.test/p host-only",
	}, inJar(&jar))
	require.Equal(t, 4, jar.Len())
	for c := range jar.All() {
		require.Equal(t, "m", c.Name)
		require.True(t, c.HttpOnly)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		require.WithinDuration(t, c.Created.Add(time.Minute), c.Expires, time.Second)
		require.False(t, c.Accessed.IsZero())
		jar.Clear() // while it is listed
		break
	}
	require.Zero(t, jar.Len())
}

func TestJar_getByName(t *testing.T) {
	jar := parley.NewJar()
	_, err := jar.Get("a", "", "")
	require.ErrorIs(t, err, parley.ErrNoCookie)
	cookiesTo(t, jar, "https://a.test/", "a=secret1", "a=secret2; Path=/x", "b=secret3")
	cookiesTo(t, jar, "https://b\u00fccher.test/", "a=secret4")
	for _, q := range [][3]string{{"b", "", ""}, {"a", "a.test", "/"}, {"a", ".A.TEST.", "/x"}, {"a", "b\u00fccher.test", ""}} {
		c, err := jar.Get(q[0], q[1], q[2])
		require.NoError(t, err, "%v", q)
		require.Equal(t, q[0], c.Name)
	}
	for _, q := range [][3]string{{"c", "", ""}, {"a", "test", ""}, {"a", "x.a.test", ""}, {"b", "", "/x"}, {"a", "..", ""}} {
		_, err := jar.Get(q[0], q[1], q[2])
		require.ErrorIs(t, err, parley.ErrNoCookie, "%v", q)
		require.Zero(t, jar.Delete(q[0], q[1], q[2]))
	}
	_, err = jar.Get("a", "a.test", "")
	require.ErrorIs(t, err, parley.ErrAmbiguousCookie)
	require.NotErrorIs(t, err, parley.ErrNoCookie)
	require.ErrorContains(t, err, "<Cookie a for a.test/> or <Cookie a for a.test/x>")
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 2, jar.Delete("a", "a.test", ""))
	require.Equal(t, 1, jar.Delete("a", "", ""))
	require.Equal(t, []string{"b=secret3 a.test/ host-only"}, inJar(jar))
}

func TestJar_set(t *testing.T) {
	jar := parley.NewJar()
	u := mustURL(t, "https://www.a.test/x/y")
	for _, c := range []*http.Cookie{
		{Name: "a", Value: "1"}, {Name: "q", Value: "1 2", Quoted: true}, {Name: "d", Value: "\u00e9", Domain: ".A.test", Path: "/", Secure: true, HttpOnly: true},
		{Name: "m", Value: "1", MaxAge: 60}, {Name: "e", Value: "1", Expires: time.Now().Add(time.Hour)}, {Name: "__Host-h", Value: "1", Secure: true, Path: "/"},
	} {
		require.NoError(t, jar.Set(u, c), c.Name)
	}
	require.Equal(t, `a=1; q="1 2"; m=1; e=1; d=é; __Host-h=1`, cookiesTo(t, jar, "https://www.a.test/x/"))
	require.NoError(t, jar.Set(u, &http.Cookie{Name: "m", MaxAge: -1}))
	require.NoError(t, jar.Set(mustURL(t, "http://b\u00fccher.test/"), &http.Cookie{Name: "i", Value: "1", Domain: "b\u00fccher.test"}))
	require.Equal(t, "i=1", cookiesTo(t, jar, "http://x.xn--bcher-kva.test/"))
	before := inJar(jar)
	for name, row := range map[string]struct {
		u *url.URL
		c *http.Cookie
	}{
		"no cookie":          {u, nil},
		"no URL":             {nil, &http.Cookie{Name: "n", Value: "SECRET"}},
		"no host":            {mustURL(t, "file:///x"), &http.Cookie{Name: "n", Value: "SECRET"}},
		"no name":            {u, &http.Cookie{Value: "SECRET"}},
		"a name":             {u, &http.Cookie{Name: "a b", Value: "SECRET"}},
		"a comma in a name":  {u, &http.Cookie{Name: "a,b", Value: "SECRET"}},
		"CR LF":              {u, &http.Cookie{Name: "n", Value: "SECRET\r\nX: 1"}},
		"a semicolon":        {u, &http.Cookie{Name: "n", Value: "SECRET;"}},
		"in quotes":          {u, &http.Cookie{Name: "n", Value: "SECRET\x7f", Quoted: true}},
		"in a path":          {u, &http.Cookie{Name: "n", Value: "SECRET", Path: "/x;y"}},
		"a path":             {u, &http.Cookie{Name: "n", Value: "SECRET", Path: "x"}},
		"a foreign domain":   {u, &http.Cookie{Name: "n", Value: "SECRET", Domain: "b.test"}},
		"a public suffix":    {mustURL(t, "https://a.co.uk"), &http.Cookie{Name: "n", Value: "SECRET", Domain: "co.uk"}},
		"Secure over http":   {mustURL(t, "http://a.test"), &http.Cookie{Name: "n", Value: "SECRET", Secure: true}},
		"over a Secure one":  {mustURL(t, "http://www.a.test"), &http.Cookie{Name: "d", Value: "SECRET"}},
		"a prefix":           {u, &http.Cookie{Name: "__Secure-n", Value: "SECRET"}},
		"too long":           {u, &http.Cookie{Name: "n", Value: strings.Repeat("SECRET", 1000)}},
		"SameSite None only": {u, &http.Cookie{Name: "n", Value: "SECRET", SameSite: http.SameSiteNoneMode}},
	} {
		err := jar.Set(row.u, row.c)
		require.ErrorIs(t, err, parley.ErrInvalidCookie, name)
		require.NotContains(t, err.Error(), "SECRET", name)
		require.Less(t, len(err.Error()), 250, name)
		if name != "a path" { // which net/http passes on as a server sent it
			jar.SetCookies(row.u, []*http.Cookie{row.c})
		}
		require.Equal(t, before, inJar(jar), name)
	}
}

func TestJar_isACookieJar(t *testing.T) {
	var jar http.CookieJar = parley.NewJar()
	u := mustURL(t, "https://www.a.test/x/y?q")
	require.Nil(t, jar.Cookies(u))
	jar.SetCookies(u, []*http.Cookie{
		{Name: "a", Value: "1"}, {Name: "q", Value: "1 2", Quoted: true}, {Name: "p", Value: "1", Path: "/x/y"}, {Name: "r", Value: "1", Path: "bad"}, {Name: "b c", Value: "1"},
	})
	require.Equal(t, []*http.Cookie{{Name: "p", Value: "1"}, {Name: "a", Value: "1"}, {Name: "q", Value: "1 2", Quoted: true}, {Name: "r", Value: "1"}}, jar.Cookies(u))
	jar.SetCookies(u, []*http.Cookie{{Name: "a", MaxAge: -1}, nil})
	jar.SetCookies(nil, []*http.Cookie{{Name: "n", Value: "1"}})
	require.Len(t, jar.Cookies(u), 3)
	require.Empty(t, jar.Cookies(nil))
}

func TestJar_clearing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jar := parley.NewJar()
		fill := func() {
			jar.Clear()
			for _, host := range []string{"a.test", "x.a.test", "y.x.a.test", "ba.test"} {
				cookiesTo(t, jar, "https://"+host, "session=1", "ends=1; Max-Age=60")
			}
		}
		fill()
		require.Equal(t, 4, jar.ClearDomain("x.a.test"))
		require.Equal(t, 2, jar.ClearDomain(".A.test."))
		require.Zero(t, jar.ClearDomain("test2"))
		require.Zero(t, jar.ClearDomain(""))
		require.Equal(t, 2, jar.Len())
		fill()
		require.Equal(t, 4, jar.ClearSession())
		require.Zero(t, jar.ClearExpired())
		time.Sleep(time.Minute)
		require.Empty(t, cookiesTo(t, jar, "https://a.test/"))
		require.Zero(t, jar.Len())
		fill()
		time.Sleep(time.Minute)
		require.Equal(t, 4, jar.ClearExpired())
		require.Equal(t, 4, jar.Len())
		jar.Clear()
		require.Zero(t, jar.Len())
	})
}

func TestJar_copy(t *testing.T) {
	jar := parley.NewJar()
	require.Zero(t, jar.Copy().Len())
	require.NoError(t, jar.SetLimits(parley.JarLimits{PerDomain: 2, PerResponse: 1}))
	cookiesTo(t, jar, "https://a.test/", "a=1", "b=1")
	cookiesTo(t, jar, "https://a.test/", "b=1; Domain=a.test; HttpOnly; Max-Age=60")
	copied := jar.Copy()
	require.Equal(t, slices.Collect(jar.All()), slices.Collect(copied.All()))
	cookiesTo(t, copied, "https://a.test/", "c=1", "d=1")
	require.Equal(t, 2, copied.Len(), "with the same limits")
	require.Equal(t, "a=1; b=1", cookiesTo(t, jar, "https://a.test/"), "which the copy does not change")
}

func TestJar_limits(t *testing.T) {
	jar := parley.NewJar()
	for name, l := range map[string]parley.JarLimits{
		"more a domain than in all":    {PerDomain: 10, Total: 5},
		"a cookie that fits no header": {CookieBytes: 100, HeaderBytes: 50},
		"over 1 MiB":                   {CookieBytes: 1<<20 + 1},
	} {
		require.ErrorContains(t, jar.SetLimits(l), "JarLimits", name)
	}
	require.NoError(t, jar.SetLimits(parley.JarLimits{CookieBytes: 10, PerDomain: 2, Total: 3, HeaderBytes: 11, PerResponse: 4}))
	cookiesTo(t, jar, "http://a.test/", "a=1234567890", "b=123456789", "c=1", "d=1", "e=1")
	require.Equal(t, []string{"c=1 a.test/ host-only", "d=1 a.test/ host-only"}, inJar(jar))
	cookiesTo(t, jar, "http://b.test/", "a=123456", "b=123456")
	require.Equal(t, "a=123456", cookiesTo(t, jar, "http://b.test/"))
	require.Equal(t, 3, jar.Len())
	require.NoError(t, jar.SetLimits(parley.JarLimits{Total: 1}))
	require.Equal(t, 1, jar.Len())
	require.NoError(t, jar.SetLimits(parley.JarLimits{CookieBytes: -1, PerDomain: -1, Total: -1, HeaderBytes: -1, PerResponse: -1}))
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("c%d=%d", i, i))
	}
	cookiesTo(t, jar, "http://c.test/", many...)
	require.Equal(t, strings.Join(many, "; "), cookiesTo(t, jar, "http://c.test/"))
}

func TestJar_printsNoValues(t *testing.T) {
	jar := parley.NewJar()
	require.Equal(t, "<Jar 0 cookies>", fmt.Sprint(jar))
	require.NoError(t, jar.Set(mustURL(t, "https://a.test"), &http.Cookie{Name: "sid", Value: secret}))
	require.Equal(t, "<Jar 1 cookies>", fmt.Sprintf("%+v", jar))
	c, err := jar.Get("sid", "", "")
	require.NoError(t, err)
	require.Equal(t, "<Cookie sid for a.test/>", fmt.Sprintf("%#v", c))
	for _, v := range []any{jar, c, &c, []parley.StoredCookie{c}, struct{ C parley.StoredCookie }{c}, struct{ J *parley.Jar }{jar}, struct{ j *parley.Jar }{jar}, jarOf{jar}} {
		requireNoLeak(t, v)
	}
}

type jarOf struct{ *parley.Jar }

func TestJar_manyAtOnce(t *testing.T) {
	jar := parley.NewJar()
	require.NoError(t, jar.SetLimits(parley.JarLimits{PerDomain: 5, Total: 40}))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 60 {
				url := fmt.Sprintf("https://%d.test/", (g+i)%20)
				cookiesTo(t, jar, url, fmt.Sprintf("c%d=%d; Max-Age=%d", i%9, i, i%3))
				jar.SetCookies(mustURL(t, url), []*http.Cookie{{Name: "s", Value: "1"}})
				switch i % 10 {
				case 0:
					jar.ClearDomain("3.test")
				case 1:
					require.LessOrEqual(t, len(inJar(jar)), 40)
				case 2:
					require.NoError(t, jar.ReadJSON(strings.NewReader(jsonOf(t, jar))))
				case 3:
					require.LessOrEqual(t, jar.Copy().Len(), 40)
				case 4:
					jar.Delete("s", "", "")
				}
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, jar.Len(), 40)
}

func jsonOf(t testing.TB, jar *parley.Jar) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, jar.WriteJSON(&b))
	return b.String()
}

func TestCookies_asMiddleware(t *testing.T) {
	var none *parley.Jar
	require.Empty(t, cookiesTo(t, nil, "http://a.test/", "a=1"))
	require.Empty(t, cookiesTo(t, none, "http://a.test/", "a=1"))
	other, err := cookiejar.New(nil)
	require.NoError(t, err)
	for name, jar := range map[string]http.CookieJar{"parley's jar": parley.NewJar(), "another": other} {
		require.Empty(t, cookiesTo(t, jar, "http://a.test/", `a="1"`, "b=2"), name)
		req, err := parley.NewRequest("GET", "http://a.test/", parley.WithCookie("b", "own"), parley.WithCookie("c", "own"))
		require.NoError(t, err)
		require.Equal(t, `a="1"; b=own; c=own`, cookiesWith(t, jar, req), name)
		require.Equal(t, "b=own; c=own", req.Header.Get("Cookie"), "the request is not changed")
		require.Equal(t, `a="1"; b=2`, cookiesTo(t, jar, "http://a.test/"), name)
	}
	broken := parley.Cookies(parley.NewJar())(does(func() (*parley.Response, error) { return nil, nil }))
	req, err := parley.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	resp, err := broken.Send(t.Context(), req)
	require.NoError(t, err)
	require.Nil(t, resp, "what another transport did wrong passes through")
}

func TestWithJar_aNilJarIsNone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	var none *parley.Jar
	c := sessionTo(t, s, parley.WithJar(none))
	require.Nil(t, c.Jar())
	textOf(t, c, "200?a=1")
	require.Empty(t, textOf(t, c, "x"))
}
