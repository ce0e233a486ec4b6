package parley_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestRedirect_whatFollowsToAnotherOrigin(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/here": leads(307, "/next"), "http://a.test/there": leads(307, "http://b.test/next"),
	})
	harmless := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Accept-Charset", "User-Agent", "Range", "If-Range",
		"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	}
	ofContent := []string{"Content-Type", "Content-Language", "Content-Encoding", "Content-Disposition", "Content-Md5", "Digest"}
	others := []string{
		"X-Api-Key", "Authorization", "Cookie", "Referer", "Origin", "Accept-Key", "Content-Key", "X-Content-Type",
		"Cache-Control", "From", "Forwarded", "X-Forwarded-For", "Te", "Upgrade",
	}
	all := http.Header{}
	for _, list := range [][]string{harmless, ofContent, others} {
		for _, name := range list {
			all.Set(name, "1")
		}
	}
	for _, withBody := range []bool{true, false} {
		opts := []parley.RequestOption{parley.WithHeaders(all)}
		if withBody {
			opts = append(opts, parley.WithBytes([]byte("content")))
		}
		_, err := x.client.Put(t.Context(), "http://a.test/here", opts...)
		require.NoError(t, err)
		for name := range all {
			require.Equal(t, "1", x.arrived[1].Header.Get(name), name)
		}
		x.seen()
		_, err = x.client.Put(t.Context(), "http://a.test/there", opts...)
		require.NoError(t, err)
		sent := x.seen()[1].Header
		for _, name := range harmless {
			require.Equal(t, "1", sent.Get(name), name)
		}
		for _, name := range ofContent {
			require.Equal(t, withBody, sent.Get(name) == "1", name)
		}
		for _, name := range others {
			require.Empty(t, sent.Get(name), name)
		}
	}
}

func TestRedirect_furtherHeadersMayBeNamed(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"http://a.test/1": leads(302, "http://b.test/2"), "http://b.test/2": leads(302, "http://c.test/3")}
	x := newCrossing(t, answers, parley.WithRedirectHeaders("x-trace"), parley.WithHeaders(http.Header{"X-Trace": {"1"}, "X-Other": {"1"}, "X-More": {"1"}}))
	for _, opts := range [][]parley.RequestOption{{parley.WithRedirectHeaders("X-MORE")}, nil} {
		_, err := x.client.Get(t.Context(), "http://a.test/1", opts...)
		require.NoError(t, err)
		seen := x.seen()
		require.Len(t, seen, 3)
		for _, a := range seen[1:] {
			require.Equal(t, "1", a.Header.Get("X-Trace"))
			require.Empty(t, a.Header.Get("X-Other"))
			require.Equal(t, len(opts) > 0, a.Header.Get("X-More") == "1", "the request's names join the session's")
		}
	}
	for _, name := range []string{"authorization", "COOKIE", "Cookie2", "Proxy-Authorization", "proxy-authenticate", "Host", "Www-Authenticate", "Set-Cookie"} {
		_, err := parley.New(parley.WithRedirectHeaders("X-Fine", name))
		require.ErrorContains(t, err, "WithTrustedOrigins", name)
	}
	_, err := parley.New(parley.WithRedirectHeaders("not a token"))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
}

func TestRedirect_trustedOriginsGetWhatTheSessionSends(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"http://a.test/1": leads(302, "http://b.test/2"), "http://b.test/2": leads(302, "http://a.test/3"),
		"http://a.test/3": leads(302, "http://c.test/4"), "http://c.test/4": leads(302, "http://a.test/5"), "http://a.test/5": leads(302, "http://b.test/6"),
	}
	x := newCrossing(t, answers, parley.WithBaseURL("http://a.test/"), parley.WithTrustedOrigins("http://b.test"),
		parley.WithHeader("X-Key", "SECRET"), parley.WithBasicAuth("u", "SECRET"), parley.WithCookie("c", "SECRET"))
	_, err := x.client.Get(t.Context(), "1", parley.WithHost("virtual.test"))
	require.NoError(t, err)
	seen := x.seen()
	require.Len(t, seen, 6)
	for i, a := range seen {
		has := i < 3 // what was left behind at c stays behind
		require.Equal(t, has, a.Header.Get("X-Key") == "SECRET", a)
		require.Equal(t, has, a.Header.Get("Cookie") == "c=SECRET", a)
		_, password, _ := a.BasicAuth()
		require.Equal(t, has, password == "SECRET", a)
	}
	require.Equal(t, "virtual.test", seen[0].Host)
	require.Equal(t, "b.test", seen[1].Host, "the Host header is one origin's, whoever trusts the other")
	require.Equal(t, "a.test", seen[2].Host)
}

func TestRedirect_onlyKnownOriginsTrustEachOther(t *testing.T) {
	t.Parallel()
	// There is no base URL: the session's values go everywhere, but a server that was
	// not named cannot send them on.
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "http://b.test/2"), "http://c.test/1": leads(302, "http://b.test/2")},
		parley.WithTrustedOrigins("http://b.test", "http://c.test"), parley.WithHeader("X-Key", "SECRET"))
	for origin, follows := range map[string]bool{"http://a.test": false, "http://c.test": true} {
		_, err := x.client.Get(t.Context(), origin+"/1")
		require.NoError(t, err)
		seen := x.seen()
		require.Equal(t, "SECRET", seen[0].Header.Get("X-Key"))
		require.Equal(t, follows, seen[1].Header.Get("X-Key") == "SECRET")
	}
}

func TestRedirect_fromAForeignOriginToTheBaseGetsNothing(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://b.test/1": leads(302, "http://a.test/api/2"), "http://a.test/api/2": leads(302, "/api/3")},
		parley.WithBaseURL("http://a.test/api/"), parley.WithHeader("X-Key", "SECRET"), parley.WithBearerToken("SECRET"),
		parley.WithQuery("key", "SECRET"), parley.WithCookie("c", "SECRET"))
	for name, send := range entryPoints {
		resp, err := send(t.Context(), x.client, "GET", "http://b.test/1")
		require.NoError(t, err, name)
		require.NoError(t, resp.Close())
		require.Len(t, x.seen(), 3)
	}
	for _, s := range x.servers {
		require.NotContains(t, s.Text(), "SECRET")
	}
}

func TestRedirect_cookiesOfTheJar(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/set":     leads(302, "/next", "Set-Cookie: s=new; Path=/"),
		"http://a.test/delete":  leads(302, "/next", "Set-Cookie: s=; Max-Age=0; Path=/"),
		"http://a.test/dropped": leads(302, "/next", "Set-Cookie: own=2; Path=/", "Set-Cookie: other=3; Path=/"),
	})
	cookies := func(ref string, opts ...parley.RequestOption) (sent []string) {
		for name, send := range entryPoints {
			x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "s", Value: "old", Path: "/"}, {Name: "own", MaxAge: -1, Path: "/"}, {Name: "other", MaxAge: -1, Path: "/"}})
			resp, err := send(t.Context(), x.client, "GET", ref, opts...)
			require.NoError(t, err, name)
			require.NoError(t, resp.Close())
			var now []string
			for _, a := range x.seen() {
				now = append(now, a.Header.Get("Cookie"))
			}
			if sent != nil {
				require.Equal(t, sent, now, name)
			}
			sent = now
		}
		return sent
	}
	require.Equal(t, []string{"s=old", "s=new"}, cookies("http://a.test/set"))
	require.Equal(t, []string{"s=old", ""}, cookies("http://a.test/delete"), "a stale one is not repeated")
	require.Equal(t, []string{"s=old; c=1", "s=new; c=1"}, cookies("http://a.test/set", parley.WithCookie("c", "1")))
	require.Equal(t, []string{"s=old; own=1; keep=1", "s=old; own=2; other=3; keep=1"}, cookies("http://a.test/dropped", parley.WithCookie("own", "1"), parley.WithCookie("keep", "1")))
	require.Equal(t, []string{"s=mine", "s=new"}, cookies("http://a.test/set", parley.WithHeader("Cookie", "s=mine")), "what the redirect sets counts from then on")
	require.Equal(t, []string{"s=mine; ;x", "x"}, cookies("http://a.test/delete", parley.WithHeader("Cookie", "s=mine; ;x")))
}

func TestRedirect_withoutAJarTheCallersCookieStays(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2", "Set-Cookie: c=2")}, parley.WithJar(nil))
	_, err := x.client.Get(t.Context(), "http://a.test/1", parley.WithCookie("c", "1"))
	require.NoError(t, err)
	require.Equal(t, "c=1", x.seen()[1].Header.Get("Cookie"))
}

func TestNext_byHandUntilTheEnd(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/1?key=SECRET": leads(307, "/2", "Set-Cookie: s=1; Path=/"),
		"http://a.test/2":            leads(308, "/3", "Set-Cookie: s=2; Path=/"),
		"http://a.test/3":            leads(302, "http://b.test/4"),
		"http://b.test/4":            leads(302, "http://a.test/5"),
	}, parley.WithFollowRedirects(false), parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"), parley.WithQuery("key", "SECRET"))
	for name, send := range entryPoints {
		t.Run(name, func(t *testing.T) {
			x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "s", MaxAge: -1, Path: "/"}})
			resp, err := send(t.Context(), x.client, "POST", "http://a.test/1", parley.WithText("content"))
			for {
				require.NoError(t, err)
				next, failure := resp.Next()
				require.NoError(t, resp.Close())
				if failure != nil {
					require.ErrorIs(t, failure, http.ErrNoLocation)
					break
				}
				require.Empty(t, next.Header["Authorization"])
				resp, err = x.client.Send(t.Context(), next)
			}
			require.Equal(t, 200, resp.StatusCode)
			require.Empty(t, resp.History)
			seen := x.seen()
			var way []string
			for _, a := range seen {
				way = append(way, a.String()+" "+string(a.Content)+" "+a.Header.Get("Authorization")+" "+a.Header.Get("X-Key")+" "+a.Header.Get("Cookie"))
			}
			require.Equal(t, []string{
				"POST http://a.test/1?key=SECRET content Bearer SECRET SECRET ",
				"POST http://a.test/2 content Bearer SECRET SECRET s=1",
				"POST http://a.test/3 content Bearer SECRET SECRET s=2",
				"GET http://b.test/4    ",
				"GET http://a.test/5    s=2",
			}, way)
		})
	}
}

func TestNext_ofAResponseThatIsNobodys(t *testing.T) {
	t.Parallel()
	redirect := func(req *parley.Request) *parley.Response {
		return &parley.Response{StatusCode: 302, Header: http.Header{"Location": {"/next"}}, Request: req}
	}
	_, err := redirect(nil).Next()
	require.ErrorIs(t, err, http.ErrNoLocation)
	_, err = redirect(&parley.Request{}).Next()
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	req := &parley.Request{Method: "POST", URL: &url.URL{Scheme: "http", Host: "a.test"}, Header: http.Header{"x-ODD": {"1"}, "content-TYPE": {"x"}}}
	next, err := redirect(req).Next()
	require.NoError(t, err)
	require.Equal(t, "GET http://a.test/next", next.Method+" "+next.URL.String())
	require.Equal(t, http.Header{"X-Odd": {"1"}}, next.Header)
	require.Equal(t, http.Header{"x-ODD": {"1"}, "content-TYPE": {"x"}}, req.Header)
	_, err = new(parley.Response).Next()
	require.ErrorIs(t, err, http.ErrNoLocation)
}

func TestRedirect_loginsOfNetrcAreForTheirOwnMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(path, []byte("machine a.test login a password SECRET\nmachine b.test login b password p\n"), 0o600))
	t.Setenv("NETRC", path)
	x := newCrossing(t, map[string]string{
		"http://a.test/1": leads(302, "http://b.test/2"), "http://b.test/2": leads(302, "http://c.test/3"), "http://c.test/3": leads(302, "http://a.test/4"),
	}, parley.WithEnv(true))
	for name, tt := range map[string]struct {
		opts []parley.RequestOption
		want string
	}{
		"netrc":              {nil, "a b  "}, // not to a again: c sent it there
		"none":               {[]parley.RequestOption{parley.WithoutAuth()}, "   "},
		"header removed":     {[]parley.RequestOption{parley.WithoutHeader("Authorization")}, "   "},
		"credentials of its": {[]parley.RequestOption{parley.WithBasicAuth("own", "p")}, "own b  "},
	} {
		resp, err := x.client.Get(t.Context(), "http://a.test/1", tt.opts...)
		require.NoError(t, err, name)
		require.Equal(t, "http://a.test/4", resp.Request.URL.String())
		var users []string
		for _, a := range x.seen() {
			user, _, _ := a.BasicAuth()
			users = append(users, user)
		}
		require.Equal(t, tt.want, strings.Join(users, " "), name)
	}
	require.NotContains(t, x.servers["http://b.test"].Text(), "SECRET")
}
