package integration

import (
	"context"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/armon/go-socks5"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// dante starts Dante with testdata/danted.conf. It would know users only as root does.
func dante(t *testing.T) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "danted",
		Package: "dante-server",
		Args:    []string{"-f", "{{dir}}/danted.conf", "-p", "{{dir}}/danted.pid"},
		Files:   map[string]string{"danted.conf": config(t, "danted.conf")},
	})
}

func danteWays(t *testing.T, o *origin) []way {
	p := dante(t)
	log := logOf(p, "danted.log")
	here := func(scheme string) parley.ClientOption { // nobody else knows site.test
		return parley.WithResolve(strings.TrimPrefix(o.at(scheme, "site.test"), scheme+"://"), "127.0.0.1")
	}
	shown := func(s *httptest.Server) string { // Dante writes addresses with a dot before the port
		return ` pass\(2\): tcp/connect .* ` + regexp.QuoteMeta(strings.ReplaceAll(s.Listener.Addr().String(), ":", ".")) + `$`
	}
	var ways []way
	for scheme, to := range map[string]*httptest.Server{"http": o.plain, "https": o.tls} {
		mine := way{name: scheme + ", names resolved here", base: o.at(scheme, "site.test"), opts: []parley.ClientOption{here(scheme)}, shown: shown(to), log: log}
		mine.curl = []string{"--resolve", strings.TrimPrefix(mine.base, scheme+"://") + ":127.0.0.1"}
		theirs := way{name: scheme + ", names resolved there", base: o.at(scheme, "localhost"), opts: []parley.ClientOption{onlyTo(p.Addr("socks"))}, shown: shown(to), log: log}
		for _, w := range []way{mine.throughProxy("socks5", p, "socks", nil), theirs.throughProxy("socks5h", p, "socks", nil)} {
			w.trailers = "both" // Dante sees bytes
			if !w.secure() {
				w.speaks = []string{"h2c", "http/1.1"}
			}
			ways = append(ways, w)
		}
	}
	return ways
}

// onlyTo is a dialer that reaches nothing but the proxy.
func onlyTo(address string) parley.ClientOption {
	return parley.WithDialer(wiretest.NewNames(map[string]string{address: address}))
}

func TestDanteRefuses(t *testing.T) {
	p := dante(t)
	c := session(t, through("socks5", p, "socks", nil))
	_, err := c.Get(t.Context(), "http://127.0.0.2/")
	require.ErrorIs(t, err, parley.ErrProxy, "a rule forbids it")
	_, err = c.Get(t.Context(), "http://127.0.0.1:9/")
	require.ErrorIs(t, err, parley.ErrProxy, "nobody listens there")
}

// socksServer is go-socks5, which asks for a password.
type socksServer struct {
	address string
	mu      sync.Mutex
	asked   []string // user and destination
}

// Allow notes what is asked for.
func (s *socksServer) Allow(ctx context.Context, req *socks5.Request) (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req.AuthContext.Payload["Username"]+" "+req.DestAddr.String())
	return ctx, true
}

// Resolve knows site.test alone.
func (s *socksServer) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if name != "site.test" {
		return ctx, nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return ctx, net.IPv4(127, 0, 0, 1), nil
}

func startSocks(t *testing.T) *socksServer {
	t.Helper()
	s := &socksServer{}
	server, err := socks5.New(&socks5.Config{
		Credentials: socks5.StaticCredentials{user: password}, Rules: s, Resolver: s, Logger: log.New(io.Discard, "", 0),
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
	return s
}

func socksWays(t *testing.T, o *origin) []way {
	s := startSocks(t)
	login := url.UserPassword(user, password)
	proxy := parley.WithProxy((&url.URL{Scheme: "socks5h", Host: s.address, User: login}).String())
	log := func(*testing.T) []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return append([]string(nil), s.asked...)
	}
	const shown = `^Aladdin site\.test \(127\.0\.0\.1\):\d+$`
	opts := []parley.ClientOption{proxy, onlyTo(s.address)}
	through := []string{"--proxy", "socks5h://" + s.address, "--proxy-user", user + ":" + password}
	return []way{
		{name: "http", base: o.at("http", "site.test"), opts: opts, curl: through, shown: shown, log: log, speaks: []string{"h2c", "http/1.1"}, trailers: "both"},
		{name: "https", base: o.at("https", "site.test"), opts: opts, curl: through, shown: shown, log: log, speaks: []string{"h2", "http/1.1"}, trailers: "both"},
	}
}

func TestSocksRefuses(t *testing.T) {
	o, s := newOrigin(t), startSocks(t)
	for name, proxy := range map[string]*url.URL{
		"without a password":    {Scheme: "socks5h", Host: s.address},
		"with a wrong password": {Scheme: "socks5h", Host: s.address, User: url.UserPassword(user, "simsim")},
	} {
		t.Run(name, func(t *testing.T) {
			c := session(t, parley.WithProxy(proxy.String()))
			_, err := c.Get(t.Context(), o.at("http", "site.test"))
			require.ErrorIs(t, err, parley.ErrProxy)
			require.NotContains(t, err.Error(), "simsim")
		})
	}
	t.Run("a host that it does not find", func(t *testing.T) {
		c := session(t, parley.WithProxy((&url.URL{Scheme: "socks5h", Host: s.address, User: url.UserPassword(user, password)}).String()))
		_, err := c.Get(t.Context(), "http://absent.test/")
		require.ErrorIs(t, err, parley.ErrProxy)
	})
}
