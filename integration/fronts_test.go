package integration

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// siteAt leads https://site.test to an address.
func siteAt(address string) parley.ClientOption { return parley.WithResolve("site.test:443", address) }

func haproxyWays(t *testing.T, o *origin) []way {
	p := peer.Start(t, peer.Program{
		Command: "haproxy",
		Package: "haproxy",
		Args:    []string{"-W", "-db", "-f", "{{dir}}/haproxy.cfg"},
		Files:   o.files(t, map[string]string{"haproxy.cfg": config(t, "haproxy.cfg")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
	log := logOf(p, "output.log")
	return []way{
		{"plain", p.URL("plain"), nil, ` plain bin/(first|second) .* "PUT /large HTTP/1\.1"`, log, false},
		{"TLS", "https://site.test", []parley.ClientOption{siteAt(p.Addr("tls"))}, ` tls~ bin/(first|second) .* "PUT /large HTTP/1\.1"`, log, false},
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
	to := func(port string, more ...parley.ClientOption) []parley.ClientOption {
		return append(more, siteAt(p.Addr(port)))
	}
	const site = "https://site.test"
	return []way{
		{"TLS 1.2", site, to("tls12"), `TLSv1\.2 NONE .*"PUT /large HTTP/1\.1" 200`, log, false},
		{"TLS 1.3", site, to("tls13"), `TLSv1\.3 NONE .*"PUT /large HTTP/1\.1" 200`, log, false},
		{"TLS 1.2, with a certificate", site, to("mutual12", o.shows(t)), `TLSv1\.2 SUCCESS CN=client\.test .*"PUT /large HTTP/1\.1" 200`, log, false},
		{"TLS 1.3, with a certificate", site, to("mutual13", o.shows(t)), `TLSv1\.3 SUCCESS CN=client\.test .*"PUT /large HTTP/1\.1" 200`, log, false},
	}
}

func TestNginxVersionsAndCertificates(t *testing.T) {
	o := newOrigin(t)
	p := nginxFront(t, o)
	t.Run("a version below the least", func(t *testing.T) {
		c := session(t, o.trust(), parley.WithMinTLSVersion(tls.VersionTLS13), siteAt(p.Addr("tls12")))
		_, err := c.Get(t.Context(), "https://site.test/hello")
		require.ErrorIs(t, err, parley.ErrTLS)
	})
	for _, port := range []string{"mutual12", "mutual13"} {
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
