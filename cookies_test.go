package parley_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// cookieEcho answers with the cookies that it was sent. With a query it sets one,
// under the status that the path names.
func cookieEcho(_ *wiretest.Conn, r *wiretest.Request) string {
	got := strings.Join(r.Header["Cookie"], " and ")
	if r.URL.RawQuery == "" {
		return answer(got)
	}
	set, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		return ""
	}
	return strings.Replace(answer(got, "Set-Cookie: "+set), "200 OK", strings.TrimPrefix(r.URL.Path, "/")+" Status", 1)
}

func TestCookies_areKeptAndSentBack(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s)
	for _, step := range []struct{ ref, sent string }{
		{"200?a=1", ""},
		{"x", "a=1"},
		{"401?b=2", "a=1"}, // of every answer
		{"x", "a=1; b=2"},
		{"500?a=3;path=/", "a=1; b=2"},
		{"x", "a=3; b=2"},
		{"200?c=4;path=/only", "a=3; b=2"},
		{"x", "a=3; b=2"},
		{"only/here", "c=4; a=3; b=2"},
		{"200?a=;max-age=0", "a=3; b=2"},
		{"x", "b=2"},
		{`200?b="q"`, "b=2"},
		{"x", `b="q"`},
	} {
		require.Equal(t, step.sent, textOf(t, c, step.ref), step.ref)
	}
	u := c.BaseURL()
	require.Len(t, c.Jar().Cookies(u), 1, "the jar is the live one")
	c.Jar().SetCookies(u, []*http.Cookie{{Name: "by-hand", Value: "1"}})
	require.Equal(t, `b="q"; by-hand=1`, textOf(t, c, "x"))
	require.Empty(t, textOf(t, sessionTo(t, s), "x"), "another session has its own")
}

func TestCookies_ofAStreamAreKeptBeforeItIsRead(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s)
	resp, err := c.Stream(t.Context(), "GET", "200?a=1")
	require.NoError(t, err)
	require.Equal(t, "a=1", textOf(t, c, "x"))
	require.NoError(t, resp.Close())
}

func TestCookies_goByHostAndNotToStrangers(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	names := map[string]string{}
	for _, host := range []string{"example.test", "www.example.test", "b.test", "a.co.uk", "b.co.uk"} {
		names[host+":80"] = s.Addr()
	}
	c := newSession(t, parley.WithDialer(wiretest.NewNames(names)), parley.WithBaseURL("http://example.test"))
	textOf(t, c, "http://www.example.test/200?all=1;domain=example.test")
	textOf(t, c, "http://www.example.test/200?own=1")
	textOf(t, c, "http://a.co.uk/200?public=1;domain=co.uk")
	textOf(t, c, "http://b.test/200?safe=1;secure")
	require.Equal(t, "all=1", textOf(t, c, "http://example.test/x"))
	require.Equal(t, "all=1; own=1", textOf(t, c, "http://www.example.test/x"), "to another origin, too")
	require.Empty(t, textOf(t, c, "http://b.test/x"), "nor does a secure one go in clear")
	require.Empty(t, textOf(t, c, "http://b.co.uk/x"), "a public suffix has no cookies")
}

func TestCookies_withoutAJarNoneIsKept(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s, parley.WithJar(nil))
	textOf(t, c, "200?a=1")
	require.Empty(t, textOf(t, c, "x"))
	require.Nil(t, c.Jar())
	require.Equal(t, "b=2", textOf(t, c, "x", parley.WithCookie("b", "2")), "but those of options are sent")
	require.Nil(t, derive(t, c).Jar())
}

func TestCookies_ofTheCallersOwnJar(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	first, second := sessionTo(t, s, parley.WithJar(jar)), sessionTo(t, s, parley.WithJar(jar))
	require.Same(t, jar, first.Jar())
	textOf(t, first, "200?a=1")
	require.Equal(t, "a=1", textOf(t, second, "x"), "sessions may share one")
	other := derive(t, first, parley.WithJar(nil))
	require.Empty(t, textOf(t, other, "x"), "a derived session may have another")
}

func TestCookies_ofOptionsJoinTheJarsWithoutBeingStored(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s, parley.WithCookie("own", "session"))
	textOf(t, c, "200?jar=1")
	require.Equal(t, "jar=1; own=session", textOf(t, c, "x"))
	require.Equal(t, "jar=1; own=request; more=2", textOf(t, c, "x", parley.WithCookie("own", "request"), parley.WithCookie("more", "2")))
	require.Equal(t, "own=session; jar=mine", textOf(t, c, "x", parley.WithCookie("jar", "mine")), "the request's own of a name is sent")
	require.Equal(t, "jar=1; raw=1; own=session", textOf(t, c, "x", parley.WithHeader("Cookie", "raw=1")))
	require.Equal(t, "jar=1; own=session", textOf(t, c, "x"), "nothing is left of all that")
	require.Len(t, c.Jar().Cookies(c.BaseURL()), 1)
}

func TestCookies_canBeLeftOut(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s, parley.WithCookie("own", "1"))
	textOf(t, c, "200?jar=1")
	textOf(t, c, "200?also=1")
	const all = "jar=1; also=1; own=1"
	for name, test := range map[string]struct {
		opts []parley.Option
		want string
	}{
		"of an option":             {[]parley.Option{parley.WithoutCookie("own")}, "jar=1; also=1"},
		"of the jar":               {[]parley.Option{parley.WithoutCookie("jar")}, "also=1; own=1"},
		"several":                  {[]parley.Option{parley.WithoutCookie("jar"), parley.WithoutCookie("own"), parley.WithoutCookie("no")}, "also=1"},
		"all":                      {[]parley.Option{parley.WithoutHeader("cookie")}, ""},
		"all before":               {[]parley.Option{parley.WithCookie("b", "1"), parley.WithoutHeader("Cookie"), parley.WithCookie("c", "1")}, "c=1"},
		"and given again":          {[]parley.Option{parley.WithoutCookie("own"), parley.WithCookie("own", "2")}, "jar=1; also=1; own=2"},
		"given and left out again": {[]parley.Option{parley.WithCookie("jar", "2"), parley.WithoutCookie("jar")}, "also=1; own=1"},
	} {
		opt := parley.WithOptions(test.opts...)
		require.Equal(t, test.want, textOf(t, c, "x", opt), name)
		require.Equal(t, all, textOf(t, c, "x"), "%s, for one request only", name)
		d := derive(t, c, opt)
		require.Equal(t, test.want, textOf(t, d, "x"), "%s, in a derived session", name)
		req, err := parley.NewRequest("GET", s.URL()+"/x", opt)
		require.NoError(t, err)
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, test.want, text, "%s, in a request made alone", name)
	}
	d := derive(t, c, parley.WithoutHeader("Cookie"))
	textOf(t, d, "200?new=1")
	require.Equal(t, "jar=1; also=1; new=1; own=1", textOf(t, c, "x"), "a session that sends none keeps them all the same")
}
