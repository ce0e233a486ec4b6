package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

func httpdWays(t *testing.T, o *origin) []way {
	p := peer.Start(t, peer.Program{
		Command: "apache2",
		Package: "apache2-bin",
		Args:    []string{"-d", "{{dir}}", "-f", "{{dir}}/httpd.conf", "-DFOREGROUND"},
		Files:   o.files(t, map[string]string{"httpd.conf": config(t, "httpd-front.conf")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String(), "Modules": httpdModules},
	})
	with := func(port string, speaks ...string) way {
		return way{shown: fmt.Sprintf(`^%d \S+ "PUT /large PROTO" 200`, p.Port(port)), log: logOf(p, "access.log"), speaks: speaks, trailers: "h2"}
	}
	return []way{
		atPlain(p, "plain", with("plain", "h2c", "http/1.1")),
		atSite(p, "tls", with("tls", "http/1.1")),
		atSite(p, "h2", with("h2", "h2", "http/1.1")),
	}
}

func caddyWays(t *testing.T, o *origin) []way {
	p := peer.Start(t, peer.Program{
		Command: "caddy",
		Package: "caddy",
		Args:    []string{"run", "--adapter", "caddyfile", "--config", "{{dir}}/Caddyfile"},
		Files:   o.files(t, map[string]string{"Caddyfile": config(t, "Caddyfile")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
	with := func(speaks ...string) way {
		return way{shown: `"proto":"PROTO","method":"PUT","host":"[^"]*","uri":"/large".*"status":200`, log: logOf(p, "access.log"), speaks: speaks, trailers: "down"}
	}
	return []way{
		atPlain(p, "plain", with("h2c", "http/1.1")),
		atSite(p, "tls", with("http/1.1")),
		atSite(p, "h2", with("h2", "http/1.1")),
	}
}

func h2oWays(t *testing.T, o *origin) []way {
	p := peer.Start(t, peer.Program{
		Command: "h2o",
		Package: "h2o",
		Args:    []string{"-c", "{{dir}}/h2o.conf"},
		Files:   o.files(t, map[string]string{"h2o.conf": config(t, "h2o.conf")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
	with := func(port string, speaks ...string) way {
		return way{shown: fmt.Sprintf(`^%d "PUT /large PROTO" 200`, p.Port(port)), log: logOf(p, "access.log"), speaks: speaks}
	}
	return []way{
		atPlain(p, "plain", with("plain", "h2c", "http/1.1")),
		atSite(p, "h2", with("h2", "h2", "http/1.1")),
	}
}

// httpdProxy starts Apache httpd with testdata/httpd-proxy.conf. It asks for a password at
// its ports "basic" and "digest".
func httpdProxy(t *testing.T, o *origin) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "apache2",
		Package: "apache2-bin",
		Args:    []string{"-d", "{{dir}}", "-f", "{{dir}}/httpd.conf", "-DFOREGROUND"},
		Files: o.files(t, map[string]string{
			"httpd.conf": config(t, "httpd-proxy.conf"),
			"users":      shaLine(user, password),
			"digests":    digestLines(user, password, "the gate"),
		}),
		Values: map[string]string{"Modules": httpdModules},
	})
}

func httpdProxyWays(t *testing.T, o *origin) []way {
	p := httpdProxy(t, o)
	login := url.UserPassword(user, password)
	shown := map[string]string{"http": `"PUT http://localhost:\d+/large HTTP/1\.1" 200`, "https": `"CONNECT localhost:\d+ HTTP/1\.1" 200`}
	var ways []way
	for _, scheme := range []string{"http", "https"} {
		for _, gate := range []struct {
			port, by string
			login    *url.Userinfo
			user     string
			opts     []parley.ClientOption
			curl     []string
		}{
			{"open", "http", nil, "-", nil, nil},
			{"tls", "https", nil, "-", []parley.ClientOption{parley.WithProxyTLSConfig(o.authority.Trusted())}, nil},
			{"basic", "http", login, user, nil, nil},
			{"digest", "http", login, user, nil, []string{"--proxy-digest"}},
		} {
			w := way{name: scheme + ", " + gate.port, base: o.at(scheme, "localhost"), opts: gate.opts, curl: gate.curl, log: logOf(p, "access.log")}
			w.shown = fmt.Sprintf("^%d %s user=%s$", p.Port(gate.port), shown[scheme], gate.user)
			w.costly = gate.port == "digest"
			ways = append(ways, w.throughProxy(gate.by, p, gate.port, gate.login))
		}
	}
	return ways
}

func TestHTTPDRefusesAsAProxy(t *testing.T) {
	o := newOrigin(t)
	p := httpdProxy(t, o)
	plain, secure := o.at("http", "localhost"), o.at("https", "localhost")
	wrong := url.UserPassword(user, "simsim")
	tests := []struct {
		name, port string
		login      *url.Userinfo
		url        string
		status     int
	}{
		{"Basic, without a password", "basic", nil, plain, 407},
		{"Basic, with a wrong password", "basic", wrong, plain, 407},
		{"Basic, a tunnel without a password", "basic", nil, secure, 407},
		{"Basic, a tunnel with a wrong password", "basic", wrong, secure, 407},
		{"Digest, without a password", "digest", nil, plain, 407},
		{"Digest, with a wrong password", "digest", wrong, plain, 407},
		{"Digest, a tunnel without a password", "digest", nil, secure, 407},
		{"Digest, a tunnel with a wrong password", "digest", wrong, secure, 407},
		{"a host that it does not find", "open", nil, "http://absent.test:8080", 500},
		{"a tunnel to a port that it forbids", "open", nil, "https://localhost:9", 403},
		{"a tunnel to a host that it does not find", "open", nil, "https://absent.test:8080", 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := session(t, o.trust(), through("http", p, tt.port, tt.login), parley.WithBearerToken("secret"))
			resp, err := c.Get(t.Context(), tt.url)
			if u, parseErr := url.Parse(tt.url); parseErr == nil && u.Scheme == "http" {
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				return
			}
			require.ErrorIs(t, err, parley.ErrProxy)
			var refusal *parley.ProxyError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, tt.status, refusal.StatusCode, http.StatusText(tt.status))
			require.NotContains(t, err.Error(), "simsim")
		})
	}
}
