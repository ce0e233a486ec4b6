package parley_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// named is a transport that answers with its name.
func named(name string) parley.Transport {
	return parley.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
		fmt.Fprintf(w, "%s%v%v", name, r.Header["Authorization"], r.Header["X-Key"])
	}))
}

func TestMount_theMostSpecificPrefixCounts(t *testing.T) {
	t.Parallel()
	prefixes := []string{
		"all://", "https://", "http://a.test", "https://a.test", "https://a.test/v1", "https://a.test/v1/", "all://a.test/v1/deep",
		"https://a.test:8443", "all://b.test:*", "https://*.b.test", "https://*.deep.b.test", "http://[::1]:81", "https://C.TEST/%c3%a9", "https://*.d.test:*/x",
	}
	var opts []parley.ClientOption
	for _, p := range prefixes {
		opts = append(opts, parley.WithMount(p, named(p)))
	}
	c := newSession(t, append(opts, parley.WithTransport(named("none")))...)
	for url, want := range map[string]string{
		"http://x.test/":              "all://",
		"https://x.test/":             "https://",
		"http://a.test/v1":            "http://a.test",
		"http://a.test:81/":           "all://",
		"https://a.test":              "https://a.test",
		"https://a.test:443/x":        "https://a.test",
		"https://A.test./x":           "https://a.test",
		"https://a.test/v10":          "https://a.test",
		"https://a.test/v1":           "https://a.test/v1",
		"https://a.test/v1?x=/":       "https://a.test/v1",
		"https://a.test/v1/":          "https://a.test/v1/",
		"https://a.test/v1/x":         "https://a.test/v1/",
		"https://a.test/v1/deep":      "all://a.test/v1/deep",
		"https://a.test/v1/deeper":    "https://a.test/v1/",
		"http://a.test/v1/deep/x":     "all://a.test/v1/deep",
		"https://a.test/v1/../v2":     "https://a.test",
		"https://a.test:8443/v1":      "https://a.test:8443",
		"https://a.test:8444/v1":      "https://",
		"http://b.test:99/":           "all://b.test:*",
		"https://b.test/":             "all://b.test:*",
		"https://x.b.test/":           "https://*.b.test",
		"https://y.x.b.test/":         "https://*.b.test",
		"https://deep.b.test/":        "https://*.b.test",
		"https://x.deep.b.test/":      "https://*.deep.b.test",
		"https://x.b.test:99/":        "https://",
		"http://x.b.test/":            "all://",
		"https://evilb.test/":         "https://",
		"https://a.test.evil.test/":   "https://",
		"http://[::1]:81/x":           "http://[::1]:81",
		"https://c.test/é":            "https://C.TEST/%c3%a9",
		"https://x.d.test:77/x":       "https://*.d.test:*/x",
		"https://x.d.test:77/xy":      "https://",
		"https://user:pw@a.test/v1/x": "https://a.test/v1/",
	} {
		text := textOf(t, c, url, parley.WithoutAuth())
		require.Equal(t, want+"[][]", text, url)
	}
	plain := newSession(t, parley.WithMount("https://", named("mounted")), parley.WithTransport(named("none")))
	require.Equal(t, "none[][]", textOf(t, plain, "http://a.test"))
	require.Equal(t, "mounted[][]", textOf(t, plain, "https://a.test"))
}

func TestMount_malformedPrefixesAreErrors(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{
		"", "a.test", "//a.test", "ftp://a.test", "https//a.test", "http://user@a.test", "http://a.test/?q", "http://a.test/#f",
		"http://a.test:99999", "http://*", "http://a.*.test", "http://*a.test", "http:///x", "http://a b.test", "all://*.*.test", "http://a.test:*x",
	} {
		_, err := parley.New(parley.WithMount(prefix, named("x")))
		require.ErrorIs(t, err, parley.ErrInvalidURL, prefix)
	}
	_, err := parley.New(parley.WithMount("http://a.test", nil))
	require.Error(t, err)
}

func TestMount_aDerivedSessionAddsAndReplaces(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithMount("http://a.test", named("a")), parley.WithMount("http://b.test", named("b")))
	d := derive(t, c, parley.WithMount("http://a.test/", named("a2")), parley.WithMount("http://c.test", named("c")))
	require.Equal(t, "a2[][]", textOf(t, d, "http://a.test/x"))
	require.Equal(t, "b[][]", textOf(t, d, "http://b.test/x"))
	require.Equal(t, "c[][]", textOf(t, d, "http://c.test/x"))
	require.Equal(t, "a[][]", textOf(t, c, "http://a.test/x"), "the parent is as it was")
}

// A redirect from one mount to another, and to the pool, follows the rules of origins.
func TestMount_redirectsPassBetweenMounts(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(fmt.Sprintf("pool%v%v", r.Header["Authorization"], r.Header["X-Key"]))
	}))
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithBearerToken("t"), parley.WithHeader("X-Key", "k"),
		parley.WithDialer(wiretest.NewNames(map[string]string{"c.test:80": s.Addr()})),
		parley.WithMount("http://a.test", named("a")), parley.WithMount("http://a.test/two", named("two")), parley.WithMount("http://b.test", named("b")))
	require.Equal(t, "two[Bearer t][k]", textOf(t, c, "/?to=/two"))
	require.Equal(t, "b[][]", textOf(t, c, "/?to=http://b.test/"))
	require.Equal(t, "pool[][]", textOf(t, c, "/?to=http://c.test/"))
	require.Equal(t, "b[][]", textOf(t, c, "/two?to=http://b.test/"))
	require.Equal(t, 1, c.Stats().Idle)
	resp, err := c.HTTPClient().Get("http://a.test/two")
	require.Equal(t, "two[Bearer t][]", done(t, resp, err))
}

func TestMount_networkMiddlewareIsAbove(t *testing.T) {
	t.Parallel()
	var log []string
	c := newSession(t, parley.WithNetworkMiddleware(noting(&log, "n")), parley.WithMount("http://a.test", does(func() (*parley.Response, error) {
		log = append(log, "mounted")
		return &parley.Response{StatusCode: 200}, nil
	})))
	resp, err := c.Get(t.Context(), "http://a.test")
	require.NoError(t, err)
	require.NotNil(t, resp.Body)
	require.NotNil(t, resp.Request)
	require.Equal(t, "n > mounted n <", strings.Join(log, " "))
}

func TestMount_isExplained(t *testing.T) {
	t.Parallel()
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	c := newSession(t, parley.WithMount("https://a.test/v1", named("a")), parley.WithMount("https://b.test", pool))
	explain := func(url string) parley.Explanation {
		req, err := c.NewRequest("GET", url)
		require.NoError(t, err)
		e, err := c.Explain(req)
		require.NoError(t, err)
		return e
	}
	e := explain("https://a.test/v1/x")
	require.Equal(t, parley.SourceMount, e.Transport.Source)
	require.Contains(t, e.Transport.Value, "https://a.test/v1")
	require.Equal(t, "none: mounted at https://a.test/v1", e.PoolKey)
	require.Contains(t, e.Layers[len(e.Layers)-1], "mount https://a.test/v1")
	require.Contains(t, e.String(), "Transport: ")
	e = explain("https://b.test")
	require.Equal(t, parley.SourceMount, e.Transport.Source)
	require.Equal(t, "https://b.test:443", e.PoolKey)
	e = explain("https://a.test/v2")
	require.Equal(t, parley.Setting{Name: "Transport", Value: "pool", Source: parley.SourceDefault}, e.Transport)
	require.Equal(t, "https://a.test:443", e.PoolKey)
	require.Equal(t, "pool", e.Layers[len(e.Layers)-1])
	c = newSession(t, parley.WithTransport(named("x")))
	require.Equal(t, parley.SourceSession, explain("https://a.test").Transport.Source)
}

// rebuilt is the stack of a session, made by hand.
func rebuilt(jar http.CookieJar, auth parley.Auth, next parley.Transport) parley.Transport {
	layers := []parley.Middleware{
		parley.CallHooks(), parley.Redirects(), parley.HopHooks(), parley.Reading(),
		parley.Authenticate(auth), parley.Decoding(), parley.Cookies(jar),
	}
	for i := len(layers) - 1; i >= 0; i-- {
		next = layers[i](next)
	}
	return next
}

func TestTransport_aStackMadeByHandBehavesAsTheSessions(t *testing.T) {
	t.Parallel()
	handler := func(t *testing.T) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Method, r.URL, r.Host, r.Header["Authorization"], r.Header["Cookie"], r.Header["Accept-Encoding"], r.Header["X-Hook"])
		})
		mux.HandleFunc("/zip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, gzipped(t, "plain"))
		})
		mux.HandleFunc("/cookie", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.Redirect(w, r, "/x", http.StatusSeeOther)
		})
		mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://b.test/x", http.StatusFound)
		})
		mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
		mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "begin")
		})
		return mux
	}
	hook := func(_ context.Context, req *parley.Request) error {
		req.Header.Set("X-Hook", "1")
		return nil
	}
	tests := map[string]struct {
		method, path string
		opts         []parley.RequestOption
	}{
		"GET":                  {"GET", "x?y=1", nil},
		"POST":                 {"POST", "x", []parley.RequestOption{parley.WithText("abc")}},
		"a coding":             {"GET", "zip", nil},
		"raw":                  {"GET", "zip", []parley.RequestOption{parley.WithDecompression(false)}},
		"a coding of its own":  {"GET", "zip", []parley.RequestOption{parley.WithHeader("Accept-Encoding", "gzip")}},
		"no coding":            {"GET", "x", []parley.RequestOption{parley.WithoutHeader("Accept-Encoding")}},
		"a range":              {"GET", "x", []parley.RequestOption{parley.WithHeader("Range", "bytes=0-1")}},
		"too large":            {"GET", "zip", []parley.RequestOption{parley.WithMaxBodyBytes(2)}},
		"a cookie, a redirect": {"POST", "cookie", []parley.RequestOption{parley.WithText("abc")}},
		"another origin":       {"GET", "away", nil},
		"a loop":               {"GET", "loop", nil},
		"not following":        {"GET", "loop", []parley.RequestOption{parley.WithFollowRedirects(false)}},
		"credentials":          {"GET", "x", []parley.RequestOption{parley.WithBasicAuth("me", "other")}},
		"no credentials":       {"GET", "x", []parley.RequestOption{parley.WithoutAuth()}},
		"a hook":               {"GET", "cookie", []parley.RequestOption{parley.WithRequestHook(hook)}},
		"a hook of hops":       {"GET", "cookie", []parley.RequestOption{parley.WithHopRequestHook(hook)}},
		"a body cut short":     {"GET", "cut", nil},
	}
	for name, test := range tests {
		auth, err := parley.BearerAuth("token")
		require.NoError(t, err)
		c := newSession(t, parley.WithBaseURL("https://a.test"), parley.WithHandler(handler(t)), parley.WithAuth(auth), parley.WithoutHeader("Accept"), parley.WithoutHeader("User-Agent"))
		stack := rebuilt(parley.NewJar(), auth, parley.HandlerTransport(handler(t)))
		byHand, err := parley.NewRequest(test.method, "https://a.test/"+test.path, test.opts...)
		require.NoError(t, err)
		for range 2 { // the second time with a cookie
			want, wantErr := c.Request(t.Context(), test.method, test.path, test.opts...)
			got, gotErr := stack.Send(t.Context(), byHand)
			if wantErr != nil {
				require.Error(t, gotErr, name)
				var w, g *parley.Error
				require.ErrorAs(t, wantErr, &w)
				require.ErrorAs(t, gotErr, &g)
				require.Equal(t, []any{w.Phase, w.Sent, w.Err.Error()}, []any{g.Phase, g.Sent, g.Err.Error()}, name)
				continue
			}
			require.NoError(t, gotErr, name)
			wantBody, err := want.Bytes()
			require.NoError(t, err)
			gotBody, err := got.Bytes()
			require.NoError(t, err)
			require.Equal(t, string(wantBody), string(gotBody), name)
			require.Equal(t, want.StatusCode, got.StatusCode, name)
			require.Equal(t, without(want.Header, "Date"), without(got.Header, "Date"), name)
			require.Equal(t, len(want.History), len(got.History), name)
			require.Equal(t, want.Uncompressed, got.Uncompressed, name)
		}
	}
}
