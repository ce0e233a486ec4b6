package integration

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

func TestHTTPDAsksForAPassword(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithBasicAuth(user, password))
	require.NoError(t, crowd(t, c, 20, 200, "basic/hello.txt", "hello"))
	for _, line := range logged(t, p, 200) {
		require.Contains(t, line, ` 200 "GET /basic/hello.txt HTTP/1.1" auth=[Basic `)
	}
	resp, err := c.Get(t.Context(), "basic/hello.txt", parley.WithoutAuth())
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

func TestHTTPDRedirects(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	text, err := parley.As[string](c.Get(t.Context(), "old/hello.txt"))
	require.NoError(t, err)
	require.Equal(t, "hello", text)
	resp, err := c.Get(t.Context(), "count-down/12345678900")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, resp.History, 11)
	resp, err = c.Post(t.Context(), "body-to-other", parley.WithText("tea"))
	require.NoError(t, err)
	text, err = resp.Text()
	require.NoError(t, err)
	require.Equal(t, "tea", text)
}

// TestHTTPDNeverGetsCredentialsOfAnotherOrigin looks at what arrived, in the log of the
// server.
func TestHTTPDNeverGetsCredentialsOfAnotherOrigin(t *testing.T) {
	tests := []struct {
		path   string
		status int
		want   []string // port, request, whether there were credentials
	}{
		{"to-basic", 200, []string{"main /to-basic with", "main /basic/hello.txt with"}},
		{"to-other", 200, []string{"main /to-other with", "other /hello.txt without"}},
		{"to-other-and-back", 401, []string{"main /to-other-and-back with", "other /back without", "main /basic/hello.txt without"}},
		{"to-other-digest", 401, []string{"main /to-other-digest with", "other /digest/hello.txt without"}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			p := httpd(t)
			base, err := url.Parse(p.URL("main"))
			require.NoError(t, err)
			base.User = url.UserPassword(user, password)
			for kind, opts := range map[string][]parley.ClientOption{
				"by option":       {parley.WithBaseURL(p.URL("main")), parley.WithBasicAuth(user, password)},
				"by the base URL": {parley.WithBaseURL(base.String())},
				"by a header": {parley.WithBaseURL(p.URL("main")), parley.WithHeader("Authorization", "Basic QWxhZGRpbjpvcGVuOiBzZXNhbWU="),
					parley.WithHeader("X-Api-Key", "secret")},
			} {
				before := len(p.Lines(t, "access.log"))
				resp, err := session(t, opts...).Get(t.Context(), tt.path)
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode, kind)
				seen := logged(t, p, before+len(tt.want))[before:]
				require.ElementsMatch(t, tt.want, visits(t, p, seen), kind)
			}
		})
	}
}

func TestHTTPDSetsCookies(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for range 3 {
		_, err := parley.As[string](c.Get(t.Context(), "tracks/hello.txt"))
		require.NoError(t, err)
	}
	_, err := parley.As[string](c.Get(t.Context(), "tracked"))
	require.NoError(t, err)
	lines := logged(t, p, 5) // in their order, as they came by one connection
	require.Contains(t, lines[0], "cookie=[-]")
	require.Contains(t, lines[1], "cookie=[visitor=")
	require.Equal(t, lines[1], lines[2], "the visitor is known")
	require.Contains(t, lines[4], "rewritten=yes", "a cookie set by a redirect goes to where that leads")
}

func TestHTTPDGetsTheLoginOfNetrc(t *testing.T) {
	p := httpd(t)
	file := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(file, []byte(`machine 127.0.0.1 login `+user+` password "`+password+`"`), 0o600))
	t.Setenv("NETRC", file)
	c := session(t, parley.WithEnv(true), parley.WithBaseURL(p.URL("main")))
	text, err := parley.As[string](c.Get(t.Context(), "basic/hello.txt"))
	require.NoError(t, err)
	require.Equal(t, "hello", text)
	resp, err := c.Get(t.Context(), "basic/hello.txt", parley.WithBasicAuth(user, "simsim"))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "what is said explicitly wins")
}
