package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// resourceSession gives a session whose base URL is /v1 of a server, over real sockets.
func resourceSession(t testing.TB, h http.HandlerFunc, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return resourceClient(t, append([]parley.ClientOption{parley.WithBaseURL(server.URL + "/v1")}, opts...)...)
}

// resourceClient gives a session that is closed at the end.
func resourceClient(t testing.TB, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := parley.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// resourceHosts answers for the names of hosts, each by a function of its own, in the same process.
type resourceHosts map[string]http.HandlerFunc

func (h resourceHosts) ServeHTTP(w http.ResponseWriter, r *http.Request) { h[r.Host](w, r) }

// serveJSON answers with JSON as it is written.
func serveJSON(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, text)
}

func TestResource_URL(t *testing.T) {
	t.Parallel()
	based := resourceClient(t, parley.WithBaseURL("https://api.test/v1"))
	slashed := resourceClient(t, parley.WithBaseURL("https://api.test/v1/?key=1"))
	bare := resourceClient(t, parley.WithBaseURL("https://api.test"))
	none := resourceClient(t)
	of := func(c *parley.Client) *api.Resource { return api.NewResource(c) }
	for rule, tt := range map[string]struct {
		r    *api.Resource
		want string
	}{
		"the base URL itself":                           {of(based), "https://api.test/v1"},
		"segments":                                      {of(based).At("user", "repos"), "https://api.test/v1/user/repos"},
		"one after the other":                           {of(based).At("user").At("repos"), "https://api.test/v1/user/repos"},
		"a slash is a part of a segment":                {of(based).At("a/b"), "https://api.test/v1/a%2Fb"},
		"what looks escaped is not":                     {of(based).At("%2F"), "https://api.test/v1/%252F"},
		"letters of all kinds, spaces, signs":           {of(based).At("ü x", "?#&+;=@:", "{id}"), "https://api.test/v1/%C3%BC%20x/%3F%23%26%2B%3B%3D%40%3A/%7Bid%7D"},
		"three dots are a name":                         {of(based).At("..."), "https://api.test/v1/..."},
		"no segments":                                   {of(based).At(), "https://api.test/v1"},
		"a path":                                        {of(based).Join("users/1"), "https://api.test/v1/users/1"},
		"a slash before it counts for nothing":          {of(based).At("users").Join("/1"), "https://api.test/v1/users/1"},
		"a slash at its end stays":                      {of(based).Join("users/"), "https://api.test/v1/users/"},
		"and is not doubled":                            {of(based).Join("users/").At("1"), "https://api.test/v1/users/1"},
		"dots within":                                   {of(based).At("a").Join("b/../c"), "https://api.test/v1/a/c"},
		"nothing":                                       {of(based).Join(""), "https://api.test/v1"},
		"a query":                                       {of(based).Join("x?a=1#f").Join("y?b=2"), "https://api.test/v1/x/y?a=1&b=2"},
		"a query alone":                                 {of(based).Join("?a=1"), "https://api.test/v1?a=1"},
		"placeholders":                                  {of(based).Join("users/{id}").With(parley.WithPath("id", "a/b")), "https://api.test/v1/users/a%2Fb"},
		"parameters":                                    {of(based).With(parley.WithQuery("q", "1")), "https://api.test/v1?q=1"},
		"another origin":                                {of(based).Join("https://other.test/x"), "https://other.test/x"},
		"a start without a base URL":                    {of(none).Join("https://api.test/v1").At("x"), "https://api.test/v1/x"},
		"a start at an origin":                          {of(none).Join("https://API.test:443").At("x"), "https://api.test/x"},
		"a start with a query":                          {of(none).Join("https://api.test?k=1").At("x"), "https://api.test/x?k=1"},
		"a suffix":                                      {of(based).At("users").Suffix(".json"), "https://api.test/v1/users.json"},
		"a suffix goes down":                            {of(based).Suffix("/").At("users"), "https://api.test/v1/users/"},
		"a suffix is for the path":                      {of(based).Suffix("/").Join("users?page=2"), "https://api.test/v1/users/?page=2"},
		"a suffix replaces slashes":                     {of(based).Suffix(".json").Join("users//"), "https://api.test/v1/users.json"},
		"a slash for the base":                          {of(based).Suffix("/"), "https://api.test/v1/"},
		"a suffix for the base":                         {of(based).Suffix(".json").Join("?a=1"), "https://api.test/v1.json?a=1"},
		"a suffix for a base with slash and query":      {of(slashed).Suffix(".json").Join("?a=1"), "https://api.test/v1.json?key=1&a=1"},
		"a suffix makes no other host":                  {of(bare).Suffix(".json"), "https://api.test/.json"},
		"nor does it where the URL is given":            {of(none).Join("https://api.test").Suffix(".evil"), "https://api.test/.evil"},
		"a suffix for a given URL":                      {of(none).Join("https://api.test/x").Suffix("/"), "https://api.test/x/"},
		"a slash for an origin":                         {of(none).Join("https://api.test").Suffix("/"), "https://api.test/"},
		"a suffix can be taken away":                    {of(based).Suffix(".json").At("x").Suffix(""), "https://api.test/v1/x"},
		"double slashes in a given URL stay":            {of(none).Join("https://api.test//x").At("y"), "https://api.test//x/y"},
		"the way is not the segment":                    {of(based).At("a:b"), "https://api.test/v1/a%3Ab"},
		"a query of the base stays":                     {of(slashed).At("x"), "https://api.test/v1/x?key=1"},
		"a value for a key of the base's query is said": {of(slashed).At("x").With(parley.WithQuery("key", "2")), "https://api.test/v1/x?key=2"},
	} {
		t.Run(rule, func(t *testing.T) {
			u, err := tt.r.URL()
			require.NoError(t, err)
			require.Equal(t, tt.want, u.String())
		})
	}
}

func TestResource_refusesBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	based := api.NewResource(c)
	for rule, tt := range map[string]struct {
		r    *api.Resource
		kind error
	}{
		"a segment that is empty":          {based.At(""), parley.ErrInvalidURL},
		"a dot":                            {based.At("x", "."), parley.ErrInvalidURL},
		"two dots":                         {based.At("..").At("x"), parley.ErrInvalidURL},
		"climbing above the base":          {based.Join("../x"), parley.ErrInvalidURL},
		"climbing above the resource":      {based.At("a", "b").Join("../x"), parley.ErrInvalidURL},
		"climbing in disguise":             {based.At("a").Join("x/%2E%2e/.%2e/y"), parley.ErrInvalidURL},
		"two slashes":                      {based.At("a").Join("//evil.test/x"), parley.ErrInvalidURL},
		"a backslash":                      {based.At("a").Join(`\evil.test`), parley.ErrInvalidURL},
		"a slash and a backslash":          {based.At("a").Join(`/\evil.test`), parley.ErrInvalidURL},
		"a colon first":                    {based.At("a").Join("b:c"), parley.ErrUnsupportedProtocol},
		"another scheme":                   {based.Join("file:///etc/passwd"), parley.ErrUnsupportedProtocol},
		"a suffix with a query":            {based.Suffix("?x"), parley.ErrInvalidURL},
		"a suffix that climbs":             {based.Suffix("/../../x"), parley.ErrInvalidURL},
		"control bytes":                    {based.Join("a\nb"), parley.ErrInvalidURL},
		"no start":                         {api.NewResource(resourceClient(t)).At("x"), parley.ErrInvalidURL},
		"no start for a suffix":            {api.NewResource(resourceClient(t)).Suffix(".x"), parley.ErrInvalidURL},
		"no session":                       {api.NewResource(nil).At("x").Join("y").Suffix("/"), nil},
		"a placeholder that has no values": {based.Join("{x}").With(parley.WithPath("y", "1")), parley.ErrInvalidURL},
	} {
		t.Run(rule, func(t *testing.T) {
			for name, call := range resourceCalls(t, tt.r) {
				err := call(t.Context())
				require.ErrorAs(t, err, new(*parley.Error), name)
				if tt.kind != nil {
					require.ErrorIs(t, err, tt.kind, name)
				}
			}
			require.Equal(t, "<Resource ?>", tt.r.String())
		})
	}
}

// A reader that was given for the body is closed all the same.
func TestResource_closesWhatItDoesNotSend(t *testing.T) {
	t.Parallel()
	r := api.NewResource(resourceClient(t, parley.WithBaseURL("http://a.test"))).At("..")
	for name, call := range map[string]func(parley.RequestOption) error{
		"Post":   func(o parley.RequestOption) error { _, err := r.Post(t.Context(), o); return err },
		"Stream": func(o parley.RequestOption) error { _, err := r.Stream(t.Context(), "PUT", o); return err },
		"Await":  func(o parley.RequestOption) error { _, err := r.Await(t.Context(), "POST", o); return err },
	} {
		file, err := os.Open(os.DevNull)
		require.NoError(t, err)
		require.ErrorIs(t, call(parley.WithReader(file)), parley.ErrInvalidURL, name)
		require.ErrorIs(t, file.Close(), os.ErrClosed, name)
	}
}

// What is created through a Unix socket is reached through it.
func TestResource_Create_behindASocket(t *testing.T) {
	t.Parallel()
	c := resourceClient(t, parley.WithBaseURL("http+unix://%2Frun%2Fapp.sock/v1"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/things/1")
		w.WriteHeader(http.StatusCreated)
	})))
	created, err := api.NewResource(c).At("things").Create(t.Context(), 1)
	require.NoError(t, err)
	u, err := created.At("x").URL()
	require.NoError(t, err)
	require.Equal(t, "http+unix://%2Frun%2Fapp.sock/v1/things/1/x", u.String())
}

// resourceCalls are all ways to send something.
func resourceCalls(t *testing.T, r *api.Resource) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get":      func(ctx context.Context) error { _, err := r.Get(ctx); return err },
		"Stream":   func(ctx context.Context) error { _, err := r.Stream(ctx, "GET"); return err },
		"Head":     func(ctx context.Context) error { _, err := r.Head(ctx); return err },
		"Exists":   func(ctx context.Context) error { _, err := r.Exists(ctx); return err },
		"Create":   func(ctx context.Context) error { _, err := r.Create(ctx, 1); return err },
		"Update":   func(ctx context.Context) error { _, err := r.Update(ctx, 1); return err },
		"Await":    func(ctx context.Context) error { _, err := r.Await(ctx, "POST"); return err },
		"Download": func(ctx context.Context) error { _, err := r.Download(ctx, t.TempDir()); return err },
		"Authorize": func(ctx context.Context) error {
			_, err := r.Authorize(ctx, api.Grant{})
			return err
		},
		"Edit": func(ctx context.Context) error {
			_, err := api.Edit(ctx, r, func(*any) error { return nil })
			return err
		},
		"Items": func(ctx context.Context) error {
			var last error
			for _, err := range api.Items[any](ctx, r) {
				last = err
			}
			return last
		},
	}
}

// The options of a resource are meant for its origin, as a session's values are.
func TestResource_Join_leavesOptionsBehind(t *testing.T) {
	t.Parallel()
	got := map[string]http.Header{}
	echo := func(_ http.ResponseWriter, r *http.Request) { got[r.Host+r.URL.Path] = r.Header }
	handler := parley.WithHandler(resourceHosts{"a.test": echo, "b.test": echo})
	based := resourceClient(t, handler, parley.WithBaseURL("http://a.test"), parley.WithHeader("X-Session", "1"))
	r := api.NewResource(based, parley.WithBearerToken("t")).With(parley.WithHeader("X-Resource", "1"))
	for _, to := range []*api.Resource{
		r.Join("http://a.test:80/own"), r.Join("http://b.test/other"), r.Join("http://b.test").Join("http://a.test/back"),
		r.Join("http://b.test/with").With(parley.WithHeader("X-Resource", "2")),
		api.NewResource(resourceClient(t, handler), parley.WithBearerToken("t")).Join("http://b.test/start"),
	} {
		_, err := to.Get(t.Context())
		require.NoError(t, err)
	}
	for at, want := range map[string][3]string{
		"a.test/own": {"Bearer t", "1", "1"}, "b.test/other": {}, "a.test/back": {"", "1", ""}, "b.test/with": {"", "", "2"}, "b.test/start": {"Bearer t", "", ""},
	} {
		require.Equal(t, want, [3]string{got[at].Get("Authorization"), got[at].Get("X-Session"), got[at].Get("X-Resource")}, at)
	}
}

func TestResource_printsNoSecrets(t *testing.T) {
	t.Parallel()
	c := resourceClient(t, parley.WithBaseURL("https://ann:secret@api.test/v1?key=secret"))
	r := api.NewResource(c, parley.WithBearerToken("secret"), parley.WithQuery("token", "secret")).At("users")
	grant := api.Grant{ClientID: "me", ClientSecret: "secret", Params: parley.Params{{Key: "password", Value: "secret"}}}
	for _, v := range []any{r, *grantAnd(r, &grant), grant, &grant} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "secret")
		}
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		require.NotContains(t, b.String(), "secret")
	}
	require.Equal(t, "<Resource https://api.test/v1/users>", r.String())
	require.Equal(t, `<"client_credentials" grant>`, grant.String())
	require.Same(t, c, r.Client())
}

// grantAnd holds what is printed as a part of another value.
func grantAnd(r *api.Resource, g *api.Grant) *struct {
	R *api.Resource
	G api.Grant
} {
	return &struct {
		R *api.Resource
		G api.Grant
	}{r, *g}
}

func TestResource_isSharedByManyGoroutines(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) { serveJSON(w, fmt.Sprintf("%q", r.URL.Path)) })
	shared := api.NewResource(c, parley.WithHeader("X-A", "1")).Suffix("/")
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			name := fmt.Sprint(i)
			got, err := api.Get[string](t.Context(), shared.With(parley.WithHeader("X-B", name)).At("x", name))
			if err != nil || got != fmt.Sprintf(`"/v1/x/%s/"`, name) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	all.Wait()
}

func TestResource_Download(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path+r.Header.Get("X-A")) })
	path := filepath.Join(t.TempDir(), "file")
	result, err := api.NewResource(c, parley.WithHeader("X-A", "!")).At("files", "1").Suffix(".txt").Download(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, path, result.Path)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "/v1/files/1.txt!", string(content))
}

// Whatever a segment holds, the server sees it as one segment, below the base.
func FuzzResource_At(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a/b", "%2e%2e", "ü", "a b", "?x#y", `\`, "//evil.test", "http://evil.test", "a:b", "\x00\n", "\xff", "+", "{id}"} {
		f.Add(s, "x")
	}
	client, err := parley.New(parley.WithBaseURL("https://api.test/v1"))
	require.NoError(f, err)
	f.Cleanup(func() { client.Close() })
	f.Fuzz(func(t *testing.T, a, b string) {
		u, err := api.NewResource(client).At(a, b).URL()
		if err != nil {
			refused := func(s string) bool { return s == "" || s == "." || s == ".." }
			if !refused(a) && !refused(b) && len(a)+len(b) < 10_000 {
				t.Fatalf("%q, %q: %v", a, b, err)
			}
			if !errors.Is(err, parley.ErrInvalidURL) {
				t.Fatalf("%q, %q: another kind of error: %v", a, b, err)
			}
			return
		}
		segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
		if u.Host != "api.test" || u.RawQuery != "" || u.Fragment != "" || len(segments) != 3 || segments[0] != "v1" {
			t.Fatalf("%q, %q: %s", a, b, u)
		}
		for i, want := range []string{a, b} {
			if got, err := url.PathUnescape(segments[i+1]); err != nil || got != want {
				t.Fatalf("%q became %q: %v", want, segments[i+1], err)
			}
		}
	})
}
