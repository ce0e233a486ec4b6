package integration

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// origin is go-httpbin with what it has not, by http and by https with a certificate for
// site.test and localhost.
type origin struct {
	authority *wiretest.Authority
	server    tls.Certificate // for site.test and localhost
	user      tls.Certificate // of client.test
	plain     *httptest.Server
	tls       *httptest.Server
}

const largeSize = 4 << 20

func newOrigin(t *testing.T) *origin {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", httpbin.New(httpbin.WithMaxBodySize(largeSize)))
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, pattern(largeSize)) // the client sees what is missing
	})
	mux.HandleFunc("PUT /large", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x", sum.Sum(nil))
	})
	o := &origin{authority: wiretest.NewAuthority(t), plain: httptest.NewServer(mux), tls: httptest.NewUnstartedServer(mux)}
	o.server = o.authority.Certificate(t, "site.test", "localhost", "127.0.0.1")
	o.user = o.authority.Certificate(t, "client.test")
	o.tls.TLS = &tls.Config{Certificates: []tls.Certificate{o.server}}
	o.tls.StartTLS()
	t.Cleanup(o.plain.Close)
	t.Cleanup(o.tls.Close)
	return o
}

// at is the URL of the origin by a scheme and another name for its host.
func (o *origin) at(scheme, host string) string {
	s := o.plain
	if scheme == "https" {
		s = o.tls
	}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		panic(err) // the kernel gave the address
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// trust is what a client says of TLS to reach servers with the origin's certificate.
func (o *origin) trust() parley.Option { return parley.WithTLSConfig(o.authority.Trusted()) }

// files are those that servers need for TLS.
func (o *origin) files(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	cert, key := wiretest.PairPEM(t, o.server)
	more["cert.pem"], more["key.pem"], more["site.pem"] = string(cert), string(key), string(cert)+string(key)
	more["authority.pem"] = string(o.authority.PEM())
	return more
}

// way is one of the ways that lead to the origin.
type way struct {
	name   string
	base   string
	opts   []parley.ClientOption
	shown  string // expression for a line of some log of the peer's
	log    func(t *testing.T) []string
	costly bool // refusals on the way cost connections
}

func containsMatch(lines []string, expression string) bool {
	return slices.ContainsFunc(lines, regexp.MustCompile(expression).MatchString)
}

func TestWays(t *testing.T) {
	o := newOrigin(t)
	groups := map[string]func(t *testing.T, o *origin) []way{
		"squid": squidWays, "squid by Digest": squidDigestWays, "dante": danteWays, "go-socks5": socksWays, "haproxy": haproxyWays, "nginx": nginxWays,
	}
	for group, ways := range groups {
		t.Run(group, func(t *testing.T) {
			for _, w := range ways(t, o) {
				t.Run(w.name, func(t *testing.T) {
					t.Run("leads there", func(t *testing.T) {
						reach(t, session(t, append([]parley.ClientOption{parley.WithBaseURL(w.base), o.trust()}, w.opts...)...), w.costly)
					})
					wiretest.Eventually(t, func() bool { return containsMatch(w.log(t), w.shown) }, "a line like "+w.shown+" in the log")
				})
			}
		})
	}
}

// reach does what people do with servers. costly says that connections end now and then,
// so that they are not counted.
func reach(t *testing.T, c *parley.Client, costly bool) {
	ctx := t.Context()
	t.Run("GET", func(t *testing.T) {
		got, err := parley.As[echo](c.Get(ctx, "get", parley.WithQuery("q", "tea & cake"), parley.WithHeader("X-Key", "7")))
		require.NoError(t, err)
		require.Equal(t, []string{"tea & cake"}, got.Args["q"])
		require.Equal(t, []string{"7"}, got.Headers["X-Key"])
		for _, name := range []string{"Proxy-Authorization", "Proxy-Connection"} {
			require.NotContains(t, got.Headers, name, "that is for proxies")
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := c.Head(ctx, "get")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
	t.Run("POST", func(t *testing.T) {
		got, err := parley.As[echo](c.Post(ctx, "post", parley.WithJSON(map[string]int{"cups": 2})))
		require.NoError(t, err)
		require.Equal(t, map[string]any{"cups": 2.0}, got.JSON)
	})
	sum := sha256.New()
	_, err := io.Copy(sum, pattern(largeSize))
	require.NoError(t, err)
	want := hex.EncodeToString(sum.Sum(nil))
	t.Run("large, up", func(t *testing.T) {
		got, err := parley.As[string](c.Put(ctx, "large", parley.WithReader(pattern(largeSize))))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	t.Run("large, down", func(t *testing.T) {
		resp, err := c.Stream(ctx, http.MethodGet, "large")
		require.NoError(t, err)
		defer resp.Close()
		sum.Reset()
		_, err = io.Copy(sum, resp.Body)
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(sum.Sum(nil)))
	})
	t.Run("gzip", func(t *testing.T) {
		resp, err := c.Get(ctx, "gzip")
		require.NoError(t, err)
		require.True(t, resp.Uncompressed)
		var got struct{ Gzipped bool }
		require.NoError(t, resp.JSON(&got))
		require.True(t, got.Gzipped)
	})
	t.Run("redirects", func(t *testing.T) {
		resp, err := c.Get(ctx, "relative-redirect/3")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Len(t, resp.History, 3)
		got, err := parley.As[echo](c.Post(ctx, "redirect-to", parley.WithQuery("url", "/post"), parley.WithQuery("status_code", "307"), parley.WithText("tea")))
		require.NoError(t, err)
		require.Equal(t, "tea", got.Data)
	})
	t.Run("auth", func(t *testing.T) {
		path := "basic-auth/" + user + "/" + url.PathEscape("open: sesame")
		resp, err := c.Get(ctx, path, parley.WithBasicAuth(user, password))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		resp, err = c.Get(ctx, path, parley.WithBasicAuth(user, "simsim"))
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		digest, err := parley.DigestAuth(user, "sesame")
		require.NoError(t, err)
		resp, err = c.Get(ctx, "digest-auth/auth/"+user+"/sesame", parley.WithAuth(digest))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
	t.Run("many at once", func(t *testing.T) {
		require.NoError(t, crowd(t, c, 10, 100, "hello", "hello"))
		if stats := c.Stats(); !costly {
			require.LessOrEqual(t, stats.Dials, int64(20), "connections are kept: %+v", stats)
		}
	})
}
