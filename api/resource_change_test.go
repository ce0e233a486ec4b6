package api_test

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func TestResource_Exists(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(r.URL.Query().Get("status"))
		if err != nil || r.Method != http.MethodHead {
			t.Error(r.Method, err)
		}
		w.WriteHeader(status)
	})
	r := api.NewResource(c)
	for status, want := range map[int]string{200: "true", 204: "true", 404: "false", 410: "false", 304: "error", 401: "error", 405: "error", 500: "error"} {
		exists, err := r.Exists(t.Context(), parley.WithQuery("status", strconv.Itoa(status)))
		if want == "error" {
			require.ErrorAs(t, err, new(*parley.StatusError), status)
			require.False(t, exists)
			continue
		}
		require.NoError(t, err, status)
		require.Equal(t, want, strconv.FormatBool(exists), status)
	}
}

func TestResource_Create(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			serveJSON(w, `"`+r.URL.String()+" "+r.Header.Get("Authorization")+`"`)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch string(body) {
		case `{"name":"x"}`:
			w.Header().Set("Location", "/v1/things/1%2F2?v=1#top")
			w.WriteHeader(http.StatusCreated)
		case "name=x":
			w.Header().Set("Location", "../things/2")
			w.WriteHeader(http.StatusSeeOther)
		case "3":
			w.Header().Set("Location", "gopher://x")
			w.WriteHeader(http.StatusCreated)
		}
	})
	r := api.NewResource(c, parley.WithBearerToken("t")).Suffix("/").At("things")
	for _, tt := range []struct {
		v    any
		opts []parley.RequestOption
		want string
	}{
		{map[string]string{"name": "x"}, nil, "/v1/things/1%2F2?v=1"},
		{nil, []parley.RequestOption{parley.WithForm(map[string]string{"name": "x"})}, "/v1/things/2"},
	} {
		created, err := r.Create(t.Context(), tt.v, tt.opts...)
		require.NoError(t, err)
		got, err := created.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, tt.want+" Bearer t", got, "where the server says, with the options of the resource, without its suffix")
	}
	created, err := r.Create(t.Context(), map[string]string{"name": "x"})
	require.NoError(t, err)
	below, err := created.At("parts").URL()
	require.NoError(t, err)
	require.Equal(t, "/v1/things/1%2F2/parts?v=1", below.RequestURI())

	_, err = r.Create(t.Context(), 2)
	require.ErrorIs(t, err, http.ErrNoLocation)
	_, err = r.Create(t.Context(), 3)
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	_, err = r.Create(t.Context(), func() {})
	require.ErrorAs(t, err, new(*parley.Error))
}

// What a server names on another origin gets neither the session's values nor those of the
// resource, with a base URL and without one, nor does what another server leads back to.
func TestResource_Create_onAnotherOrigin(t *testing.T) {
	t.Parallel()
	answers := func(location string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusCreated)
				return
			}
			if r.URL.Path == "/file" {
				return
			}
			serveJSON(w, `["`+r.Method+" "+r.Host+r.URL.Path+`","`+r.Header.Get("Authorization")+r.Header.Get("X-Key")+r.Header.Get("X-Own")+`"]`)
		}
	}
	handler := parley.WithHandler(resourceHosts{
		"a.test": answers("http://b.test/new"), "b.test": answers("http://a.test/back"),
		"c.test": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://b.test/moved", http.StatusTemporaryRedirect)
		},
	})
	values := parley.WithOptions(parley.WithBearerToken("t"), parley.WithHeader("X-Key", "k"))
	based := resourceClient(t, handler, parley.WithBaseURL("http://a.test"), values)
	bare := resourceClient(t, handler, values)
	trusting := resourceClient(t, handler, parley.WithBaseURL("http://a.test"), parley.WithTrustedOrigins("http://b.test"), values)
	for rule, tt := range map[string]struct {
		r          *api.Resource
		want, sent string
	}{
		"a session with a base URL":     {api.NewResource(based), "b.test/new", ""},
		"the options of the resource":   {api.NewResource(based, parley.WithHeader("X-Own", "o")), "b.test/new", ""},
		"a session without a base URL":  {api.NewResource(bare).Join("http://a.test"), "b.test/new", ""},
		"another server names the base": {api.NewResource(based).Join("http://b.test"), "a.test/back", ""},
		"a redirect led away and back":  {api.NewResource(bare).Join("http://c.test"), "a.test/back", ""},
		"an origin that is trusted":     {api.NewResource(trusting, parley.WithHeader("X-Own", "o")), "b.test/new", "Bearer tko"},
	} {
		t.Run(rule, func(t *testing.T) {
			created, err := tt.r.Create(t.Context(), 1)
			require.NoError(t, err)
			got, err := created.Get(t.Context())
			require.NoError(t, err)
			require.Equal(t, []any{"GET " + tt.want, tt.sent}, got)
			got, err = created.At("below").With(parley.WithHeader("X-Own", "mine")).Delete(t.Context())
			require.NoError(t, err)
			require.Equal(t, "DELETE "+tt.want+"/below", got.([]any)[0])
			require.Contains(t, got.([]any)[1], "mine", "what is said of the new resource goes with it")
			resp, err := created.Stream(t.Context(), http.MethodPut, parley.WithText("x"))
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			for _, wrong := range []parley.RequestOption{nil, parley.WithHeader("a b", "")} {
				_, err = created.Get(t.Context(), wrong)
				require.ErrorAs(t, err, new(*parley.Error))
				_, err = created.Stream(t.Context(), http.MethodGet, wrong)
				require.ErrorAs(t, err, new(*parley.Error))
			}
			_, err = created.Join("x\n").Get(t.Context())
			require.ErrorIs(t, err, parley.ErrInvalidURL)
			_, err = created.Download(t.Context(), t.TempDir())
			require.ErrorContains(t, err, "Join its URL")
			u, err := created.URL()
			require.NoError(t, err)
			require.Equal(t, "http://"+tt.want, u.String())
			_, err = created.Join("http://" + u.Host + "/file").Get(t.Context())
			require.NoError(t, err)
		})
	}
}

// What comes of a resource that a server named on another origin is as that is.
func TestResource_Create_belowAnotherOrigin(t *testing.T) {
	t.Parallel()
	creates := func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "b.test" && r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s got what is not for it", r.Method, r.URL)
		}
		w.Header().Set("Location", "http://b.test/"+r.Host)
		w.WriteHeader(http.StatusCreated)
	}
	c := resourceClient(t, parley.WithBearerToken("t"), parley.WithHandler(resourceHosts{"a.test": creates, "b.test": creates}))
	r := api.NewResource(c).Join("http://a.test")
	for range 3 {
		var err error
		r, err = r.Create(t.Context(), 1)
		require.NoError(t, err)
	}
}

func TestResource_Update(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, r.Method+" "+r.Header.Get("Content-Type")+" "+string(body))
	})
	r := api.NewResource(c)
	got, err := r.Update(t.Context(), map[string]any{"name": "x"})
	require.NoError(t, err)
	require.Equal(t, `PATCH application/json {"name":"x"}`, got)
	got, err = r.Update(t.Context(), map[string]any{"name": nil}, api.WithMergePatch())
	require.NoError(t, err)
	require.Equal(t, `PATCH application/merge-patch+json {"name":null}`, got)
}
