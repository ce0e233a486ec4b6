package integration

import (
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

// squid starts Squid with testdata/squid.conf and some schemes for passwords, "Basic" and
// "Digest". Only it knows the host site.test.
func squid(t *testing.T, o *origin, schemes ...string) *peer.Peer {
	t.Helper()
	sum := md5.Sum([]byte(password))
	return peer.Start(t, peer.Program{
		Command: "squid",
		Package: "squid",
		Args:    []string{"-N", "-f", "{{dir}}/squid.conf"},
		Files: o.files(t, map[string]string{
			"squid.conf": config(t, "squid.conf"),
			"hosts":      "127.0.0.1 site.test\n",
			"users":      user + ":" + hex.EncodeToString(sum[:]) + "\n",
			"digests":    digestLines(user, password, "the gate"),
		}),
		Values: map[string]bool{"Basic": slices.Contains(schemes, "Basic"), "Digest": slices.Contains(schemes, "Digest")},
	})
}

// through is the option for a proxy at a port, with a login if there is one.
func through(scheme string, p *peer.Peer, port string, login *url.Userinfo) parley.Option {
	return parley.WithProxy((&url.URL{Scheme: scheme, Host: p.Addr(port), User: login}).String())
}

// throughProxy adds to a way what leads through a proxy, a tunnel for https.
func (w way) throughProxy(scheme string, p *peer.Peer, port string, login *url.Userinfo) way {
	w.opts = append(w.opts, through(scheme, p, port, login))
	w.curl = append(w.curl, "--proxy", scheme+"://"+p.Addr(port))
	if login != nil {
		w.curl = append(w.curl, "--proxy-user", user+":"+password)
	}
	w.speaks = []string{"http/1.1"}
	if w.secure() {
		w.speaks, w.trailers = []string{"h2", "http/1.1"}, "both"
	}
	return w
}

// logOf gives the lines of a peer's log.
func logOf(p *peer.Peer, name string) func(t *testing.T) []string {
	return func(t *testing.T) []string { return p.Lines(t, name) }
}

func squidWays(t *testing.T, o *origin) []way {
	p := squid(t, o, "Basic")
	login := url.UserPassword(user, password)
	log := logOf(p, "access.log")
	forward := way{base: o.at("http", "site.test"), shown: `^PUT http://site\.test:\d+/large 200 user=`, log: log}
	tunnel := way{base: o.at("https", "site.test"), shown: `^CONNECT site\.test:\d+ 200 user=`, log: log}
	var ways []way
	for name, base := range map[string]way{"forwarding": forward, "a tunnel": tunnel} {
		open, guarded, secured := base, base, base
		open.name, open.shown = name, base.shown+"-"
		guarded.name, guarded.shown = name+", with a password", base.shown+user
		secured.name, secured.shown = name+", over TLS", base.shown+"-"
		secured.opts = []parley.ClientOption{parley.WithProxyTLSConfig(o.authority.Trusted())}
		ways = append(ways, open.throughProxy("http", p, "open", nil), guarded.throughProxy("http", p, "guarded", login), secured.throughProxy("https", p, "tls", nil))
	}
	return ways
}

// squidDigestWays are those where the password is proven and not shown.
func squidDigestWays(t *testing.T, o *origin) []way {
	only, both := squid(t, o, "Digest"), squid(t, o, "Digest", "Basic")
	login := url.UserPassword(user, password)
	var ways []way
	for _, scheme := range []string{"http", "https"} {
		shown := map[string]string{"http": `^PUT http://site\.test:\d+/large 200 user=Aladdin`, "https": `^CONNECT site\.test:\d+ 200 user=Aladdin`}[scheme]
		for _, w := range []way{
			way{name: "where it wants no other", log: logOf(only, "access.log"), base: o.at(scheme, "site.test")}.throughProxy("http", only, "guarded", login),
			way{name: "where it is preferred", log: logOf(both, "access.log"), base: o.at(scheme, "site.test"), opts: []parley.ClientOption{parley.WithProxyDigest(true)}}.throughProxy("http", both, "guarded", login),
		} {
			w.costly = scheme == "https" // a refused CONNECT ends its connection
			w.name, w.shown, w.curl = scheme+", "+w.name, shown, append(w.curl, "--proxy-digest")
			ways = append(ways, w)
		}
	}
	return ways
}

func TestSquidRefuses(t *testing.T) {
	o := newOrigin(t)
	p := squid(t, o, "Basic")
	plain, secure := o.at("http", "site.test"), o.at("https", "site.test")
	tests := []struct {
		name   string
		way    parley.ClientOption
		url    string
		status int
		tunnel bool
	}{
		{"without a password", through("http", p, "guarded", nil), plain, 407, false},
		{"with a wrong password", through("http", p, "guarded", url.UserPassword(user, "simsim")), plain, 407, false},
		{"a tunnel without a password", through("http", p, "guarded", nil), secure, 407, true},
		{"a tunnel with a wrong password", through("http", p, "guarded", url.UserPassword(user, "simsim")), secure, 407, true},
		{"a host that it forbids", through("http", p, "open", nil), "http://forbidden.test", 403, false},
		{"a tunnel to a host that it forbids", through("http", p, "open", nil), "https://forbidden.test", 403, true},
		{"a host that it does not find", through("http", p, "open", nil), "http://site.test:9", 503, false},
		{"a tunnel to a host that it does not find", through("http", p, "open", nil), "https://site.test:9", 503, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := session(t, o.trust(), tt.way, parley.WithHeader("X-Api-Key", "secret"), parley.WithBearerToken("secret"))
			resp, err := c.Get(t.Context(), tt.url)
			if !tt.tunnel {
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				return
			}
			require.ErrorIs(t, err, parley.ErrProxy)
			var refusal *parley.ProxyError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, tt.status, refusal.StatusCode)
			require.NotEmpty(t, refusal.Header.Get("X-Squid-Error"))
			require.NotContains(t, err.Error(), "simsim")
		})
	}
	t.Run("TLS that is not trusted", func(t *testing.T) {
		_, err := session(t, o.trust(), through("https", p, "tls", nil)).Get(t.Context(), plain)
		require.ErrorIs(t, err, parley.ErrTLS)
		require.ErrorIs(t, err, parley.ErrProxy)
	})
}

func TestSquidIsOneOriginForWhatItForwards(t *testing.T) {
	o := newOrigin(t)
	p := squid(t, o, "Basic")
	c := session(t, through("http", p, "open", nil))
	for _, host := range []string{"site.test", "127.0.0.1", "site.test"} {
		resp, err := c.Get(t.Context(), o.at("http", host)+"/hello")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, resp.Header.Get("Via"), "squid")
	}
	require.EqualValues(t, 1, c.Stats().Dials)
}
