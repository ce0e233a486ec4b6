package integration

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// siteAt leads https://site.test to an address.
func siteAt(address string) parley.ClientOption { return parley.WithResolve("site.test:443", address) }

// atSite completes a way to a port where a peer is https://site.test.
func atSite(p *peer.Peer, port string, w way) way {
	w.name, w.base = cmp.Or(w.name, port), "https://site.test"
	w.opts = append(w.opts, siteAt(p.Addr(port)))
	w.curl = append(w.curl, "--connect-to", "site.test:443:"+p.Addr(port))
	return w
}

// atPlain completes a way to a port where a peer speaks without TLS.
func atPlain(p *peer.Peer, port string, w way) way {
	w.name, w.base = cmp.Or(w.name, port), p.URL(port)
	return w
}

// haproxy starts HAProxy with testdata/haproxy.cfg.
func haproxy(t *testing.T, o *origin) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "haproxy",
		Package: "haproxy",
		Args:    []string{"-W", "-db", "-f", "{{dir}}/haproxy.cfg"},
		Files:   o.files(t, map[string]string{"haproxy.cfg": config(t, "haproxy.cfg")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
}

func haproxyWays(t *testing.T, o *origin) []way {
	p := haproxy(t, o)
	shown := func(front string) string {
		return ` ` + front + ` bin/(first|second) .* "PUT (https://site\.test|http://127\.0\.0\.1:\d+)?/large PROTO"`
	}
	return []way{
		atPlain(p, "plain", way{shown: shown("plain"), log: logOf(p, "output.log"), speaks: []string{"h2c", "http/1.1"}, trailers: "both"}),
		atSite(p, "tls", way{shown: shown("tls~"), log: logOf(p, "output.log"), speaks: []string{"http/1.1"}, trailers: "both"}),
		atSite(p, "h2", way{shown: shown("h2~"), log: logOf(p, "output.log"), speaks: []string{"h2", "http/1.1"}, trailers: "both"}),
	}
}

// nginxFront starts nginx with testdata/nginx-front.conf.
func nginxFront(t *testing.T, o *origin) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "nginx",
		Package: "nginx",
		Args:    []string{"-e", "{{dir}}/error.log", "-p", "{{dir}}", "-c", "{{dir}}/nginx.conf"},
		Files:   o.files(t, map[string]string{"nginx.conf": config(t, "nginx-front.conf")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
}

// shows is what shows servers the origin's user.
func (o *origin) shows(t *testing.T) parley.Option {
	t.Helper()
	return parley.WithClientCertPEM(wiretest.PairPEM(t, o.user))
}

func nginxWays(t *testing.T, o *origin) []way {
	p := nginxFront(t, o)
	log := logOf(p, "access.log")
	shown := func(port, version, user string) string {
		return fmt.Sprintf(`^%d %s %s .*"PUT /large PROTO" 200`, p.Port(port), version, user)
	}
	cert, key := o.userFiles(t)
	ways := []way{atPlain(p, "h2c", way{shown: shown("h2c", "-", "-"), log: log, speaks: []string{"h2c"}, trailers: "down"})}
	for _, front := range []struct{ name, version string }{{"12", `TLSv1\.2`}, {"13", `TLSv1\.3`}} {
		both, one := []string{"h2", "http/1.1"}, []string{"http/1.1"}
		shows, curl := []parley.ClientOption{o.shows(t)}, []string{"--cert", cert, "--key", key}
		ways = append(ways,
			atSite(p, "tls"+front.name, way{shown: shown("tls"+front.name, front.version, "NONE -"), log: log, speaks: one}),
			atSite(p, "mutual"+front.name, way{shown: shown("mutual"+front.name, front.version, `SUCCESS CN=client\.test`), log: log, speaks: one, opts: shows, curl: curl}),
			atSite(p, "h2-"+front.name, way{shown: shown("h2-"+front.name, front.version, "NONE -"), log: log, speaks: both, trailers: "down"}),
			atSite(p, "h2-mutual"+front.name, way{shown: shown("h2-mutual"+front.name, front.version, `SUCCESS CN=client\.test`), log: log, speaks: both, trailers: "down", opts: shows, curl: curl}),
		)
	}
	return ways
}

// userFiles gives the paths of the origin's user's certificate and key.
func (o *origin) userFiles(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	certPEM, keyPEM := wiretest.PairPEM(t, o.user)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, keyPEM, 0o600))
	return cert, key
}

func TestNginxVersionsAndCertificates(t *testing.T) {
	o := newOrigin(t)
	p := nginxFront(t, o)
	t.Run("a version below the least", func(t *testing.T) {
		c := session(t, o.trust(), parley.WithMinTLSVersion(tls.VersionTLS13), siteAt(p.Addr("tls12")))
		_, err := c.Get(t.Context(), "https://site.test/hello")
		require.ErrorIs(t, err, parley.ErrTLS)
	})
	for _, port := range []string{"mutual12", "mutual13", "h2-mutual12", "h2-mutual13"} {
		t.Run("no certificate, "+port, func(t *testing.T) {
			resp, err := session(t, o.trust(), siteAt(p.Addr(port))).Get(t.Context(), "https://site.test/hello")
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, "nginx says so by an answer")
			text, err := resp.Text()
			require.NoError(t, err)
			require.Contains(t, text, "No required SSL certificate was sent")
		})
		t.Run("a certificate of somebody else's, "+port, func(t *testing.T) {
			stranger := parley.WithClientCertPEM(wiretest.PairPEM(t, wiretest.NewAuthority(t).Certificate(t, "client.test")))
			resp, err := session(t, o.trust(), stranger, siteAt(p.Addr(port))).Get(t.Context(), "https://site.test/hello")
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		})
		t.Run("per request, on connections of its own, "+port, func(t *testing.T) {
			c := session(t, o.trust(), siteAt(p.Addr(port)))
			for _, want := range []int{http.StatusBadRequest, http.StatusOK, http.StatusBadRequest} {
				var opts []parley.RequestOption
				if want == http.StatusOK {
					opts = append(opts, o.shows(t))
				}
				resp, err := c.Get(t.Context(), "https://site.test/hello", opts...)
				require.NoError(t, err)
				require.Equal(t, want, resp.StatusCode)
			}
		})
	}
	t.Run("sessions are resumed", func(t *testing.T) {
		c := session(t, o.trust(), siteAt(p.Addr("tls13")))
		for range 2 {
			resp, err := c.Get(t.Context(), "https://site.test/hello", parley.WithHeader("Connection", "close"))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
		}
		wiretest.Eventually(t, func() bool { return containsMatch(p.Lines(t, "access.log"), `TLSv1\.3 NONE - r "GET /hello`) }, "a resumed session in the log")
	})
}
