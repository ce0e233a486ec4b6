package parley_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func passOn(next parley.Transport) parley.Transport { return next }

func approve(context.Context, *parley.Redirect) error { return nil }

// explained gives the settings of a list by name.
func explained(settings []parley.Setting) map[string]string {
	out := make(map[string]string)
	for _, s := range settings {
		out[s.Name] += fmt.Sprintf("%s (%s)", s.Value, s.Source)
	}
	return out
}

func TestExplain_namesTheSourceOfEveryValue(t *testing.T) {
	t.Parallel()
	root := newSession(t,
		parley.WithBaseURL("https://a.test/v1?base=1"), parley.WithEnv(false),
		parley.WithHeader("Accept-Language", "de"), parley.WithHeader("X-Key", "SECRET"),
		parley.WithQuery("page", "1"), parley.WithCookie("theme", "dark"),
		parley.WithTimeouts(parley.Timeouts{Read: 7 * time.Second}), parley.WithBasicAuth("u", "SECRET"),
		parley.WithMiddleware(passOn))
	derived, err := root.With(parley.WithHeader("Accept-Language", "fr"), parley.WithQuery("size", "9"), parley.WithMaxRedirects(3), parley.WithCharset("latin1"))
	require.NoError(t, err)
	here, err := url.Parse("https://a.test/")
	require.NoError(t, err)
	root.Jar().SetCookies(here, []*http.Cookie{{Name: "sid", Value: "SECRET"}})
	req, err := derived.NewRequest("POST", "users/{user}", parley.WithPath("user", "7"), parley.WithQuery("q", "SECRET"),
		parley.WithHeader("Accept", "text/plain"), parley.WithCookie("once", "SECRET"), parley.WithText("hello"),
		parley.WithTimeouts(parley.Timeouts{Write: time.Second}), parley.WithMaxBodyBytes(100),
		parley.WithRequestHook(func(context.Context, *parley.Request) error { return nil }), parley.WithRedirectPolicy(approve))
	require.NoError(t, err)

	e, err := derived.Explain(req)
	require.NoError(t, err)
	require.Equal(t, "POST", e.Method)
	require.Equal(t, "https://a.test/v1/users/7", e.URL.String())
	require.Equal(t, "/v1/users/{user}", e.Route)
	require.Equal(t, map[string]string{
		"Host": "a.test (session)", "Accept": "text/plain (request)", "Accept-Encoding": "gzip, deflate, br, zstd (default)",
		"Accept-Language": "fr (derived session)", "User-Agent": "parley/0.1.0 (default)", "X-Key": "[hidden] (session)",
		"Content-Type": "text/plain; charset=utf-8 (request)",
	}, explained(e.Headers))
	require.Equal(t, map[string]string{
		"base": "[hidden] (session)", "page": "[hidden] (session)", "size": "[hidden] (derived session)", "q": "[hidden] (request)",
	}, explained(e.Params))
	require.Equal(t, map[string]string{
		"theme": "[hidden] (session)", "once": "[hidden] (request)", "sid": "[hidden] (jar)",
	}, explained(e.Cookies))
	require.Equal(t, map[string]string{
		"Pool": "5s (default)", "Connect": "5s (default)", "Write": "1s (request)", "Response": "30s (default)",
		"Read": "7s (session)", "Total": "none (default)",
	}, explained(e.Timeouts))
	require.Equal(t, map[string]string{
		"Redirects": "at most 3 (derived session)", "RedirectPolicy": "parley_test.approve (request)",
		"Decompression": "decoded (default)", "MaxBodyBytes": "100 (request)", "Charset": "windows-1252 (derived session)", "Body": "5 bytes (request)",
	}, explained(e.Settings))
	require.Equal(t, parley.Setting{Name: "Auth", Value: "<Basic auth>", Source: parley.SourceSession}, e.Auth)
	require.Equal(t, "https://a.test:443", e.PoolKey)
	require.Equal(t, []string{
		"middleware parley_test.passOn", "hooks: 1 before, 0 after", "redirects", "auth", "decoding", "cookies", "pool",
	}, e.Layers)

	asJSON, err := json.Marshal(e)
	require.NoError(t, err)
	for _, text := range []string{e.String(), fmt.Sprintf("%v %+v %#v", e, e, &e), string(asJSON)} {
		require.NotContains(t, text, "SECRET")
	}
	require.Zero(t, root.Stats().Dials, "nothing is sent")
}

func TestExplain_tellsWhoARequestComesFrom(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "netrc")
	require.NoError(t, os.WriteFile(file, []byte("machine n.test login u password SECRET\n"), 0o600))
	t.Setenv("NETRC", file)
	token := parley.AuthFunc(func(context.Context, *parley.Request) error { return nil })
	for name, x := range map[string]struct {
		session []parley.ClientOption
		url     string
		request []parley.RequestOption
		want    parley.Setting
	}{
		"nobody":  {url: "http://a.test/", want: parley.Setting{Value: "none", Source: parley.SourceDefault}},
		"netrc":   {url: "http://n.test/", want: parley.Setting{Value: "<Basic auth>", Source: parley.SourceEnvironment}},
		"the URL": {url: "http://me:SECRET@a.test/", want: parley.Setting{Value: "<Basic auth>", Source: parley.SourceRequest}},
		"the base URL": {session: []parley.ClientOption{parley.WithBaseURL("http://me:SECRET@a.test/")}, url: "x",
			want: parley.Setting{Value: "<Basic auth>", Source: parley.SourceSession}},
		"the session": {session: []parley.ClientOption{parley.WithAuth(token)}, url: "http://n.test/",
			want: parley.Setting{Value: "<AuthFunc>", Source: parley.SourceSession}},
		"the request": {session: []parley.ClientOption{parley.WithBasicAuth("u", "p")}, url: "http://a.test/",
			request: []parley.RequestOption{parley.WithBearerToken("SECRET")}, want: parley.Setting{Value: "<Bearer auth>", Source: parley.SourceRequest}},
		"nobody, on request": {session: []parley.ClientOption{parley.WithBasicAuth("u", "p")}, url: "http://n.test/",
			request: []parley.RequestOption{parley.WithoutAuth()}, want: parley.Setting{Value: "none", Source: parley.SourceRequest}},
		"a header": {session: []parley.ClientOption{parley.WithBasicAuth("u", "p")}, url: "http://n.test/",
			request: []parley.RequestOption{parley.WithHeader("Authorization", "SECRET")}, want: parley.Setting{Value: "Authorization header", Source: parley.SourceRequest}},
		"a header of the session": {session: []parley.ClientOption{parley.WithHeader("Authorization", "SECRET")}, url: "http://n.test/",
			want: parley.Setting{Value: "Authorization header", Source: parley.SourceSession}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSession(t, x.session...)
			req, err := c.NewRequest("GET", x.url, x.request...)
			require.NoError(t, err)
			e, err := c.Explain(req)
			require.NoError(t, err)
			x.want.Name = "Auth"
			require.Equal(t, x.want, e.Auth)
		})
	}
}

func TestExplain_mergesARequestThatWasMadeAlone(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithHeader("X-Mine", "1"))
	req, err := parley.NewRequest("GET", "http://a.test/{x}", parley.WithPath("x", "1"))
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	require.Equal(t, "[hidden] (session)", explained(e.Headers)["X-Mine"])
	require.Equal(t, "/{x}", e.Route)
	require.Empty(t, req.Header, "the request is as it was")
}

func TestExplain_refusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	c := newSession(t)
	_, err := c.Explain(nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	_, err = c.Explain(&parley.Request{Method: "GET"})
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}

func TestRoute_isTheTemplateOfThePath(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test/v1/"), parley.WithPath("org", "me"))
	for name, x := range map[string]struct {
		url  string
		opts []parley.RequestOption
		want string
	}{
		"below the base":       {"users/{user}?x={no}#f", []parley.RequestOption{parley.WithPath("user", "7")}, "/v1/users/{user}"},
		"with a slash before":  {"/users/{user}", []parley.RequestOption{parley.WithPath("user", "7")}, "/v1/users/{user}"},
		"of an absolute URL":   {"http://b.test/{org}/x", nil, "/{org}/x"},
		"without placeholders": {"users/7", nil, ""},
		"as it was given":      {"users/7", []parley.RequestOption{parley.WithRoute("a user")}, "a user"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := c.NewRequest("GET", x.url, x.opts...)
			require.NoError(t, err)
			require.Equal(t, x.want, req.Route())
		})
	}
}
