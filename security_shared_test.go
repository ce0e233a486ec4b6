package parley_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// bothByTLS runs a test with a server of TLS that answers by HTTP/1.1, and with one that
// chooses HTTP/2.
func bothByTLS(t *testing.T, f func(t *testing.T, proto string, ca *wiretest.Authority, cfg *tls.Config)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			ca := wiretest.NewAuthority(t)
			cfg := ca.Server(t, "a.test", "b.test")
			if proto == "HTTP/2.0" {
				cfg = ca.ServerHTTP2(t, "a.test", "b.test")
			}
			f(t, proto, ca, cfg)
		})
	}
}

func TestS177_HostsShareNoConnection(t *testing.T) {
	t.Parallel()
	bothByTLS(t, func(t *testing.T, proto string, ca *wiretest.Authority, cfg *tls.Config) {
		s := wiretest.ServeTLS(t, cfg, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
			return wiretest.OK(fmt.Sprint(r.Host, " as ", c.TLS.ServerName))
		}))
		names := wiretest.NewNames(map[string]string{"a.test:443": s.Addr(), "b.test:443": s.Addr(), "a.test:8443": s.Addr()})
		c := newSession(t, parley.WithDialer(names), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false))
		for range 2 {
			for _, authority := range []string{"a.test", "b.test", "a.test:8443"} {
				host, _, _ := strings.Cut(authority, ":")
				resp, err := c.Get(t.Context(), "https://"+authority)
				require.Equal(t, authority+" as "+host, bodyText(t, resp, err))
				require.Equal(t, proto, resp.Proto)
			}
		}
		require.Equal(t, 3, s.Accepted(), "one certificate and one address do not make one server")
	})
}

func TestS177_OtherSettingsShareNoConnection(t *testing.T) {
	t.Parallel()
	bothByTLS(t, func(t *testing.T, proto string, ca *wiretest.Authority, cfg *tls.Config) {
		cfg.ClientAuth = tls.RequestClientCert
		s := wiretest.ServeTLS(t, cfg, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
			who := "nobody"
			if certs := c.TLS.PeerCertificates; len(certs) > 0 {
				who = certs[0].Subject.CommonName
			}
			return wiretest.OK(fmt.Sprintf("%d %s", c.Index, who))
		}))
		names := wiretest.NewNames(map[string]string{"a.test:443": s.Addr()})
		tunnels := wiretest.NewProxy(t, names, "u:p")
		names.Lead(tunnels.Addr(), tunnels.Addr())
		proxy := parley.WithProxy("http://u:p@" + tunnels.Addr())
		as := func(name string) parley.RequestOption {
			own := ca.Trusted()
			own.Certificates = []tls.Certificate{ca.Certificate(t, name)}
			return parley.WithTLSConfig(own)
		}
		one, two := as("one"), as("two")
		unverified := parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true})
		c := newSession(t, parley.WithDialer(names), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false))
		for range 2 {
			for _, test := range []struct {
				want string
				opts []parley.RequestOption
			}{
				{"0 nobody", nil},
				{"1 one", []parley.RequestOption{one}},
				{"2 two", []parley.RequestOption{two}},
				{"3 nobody", []parley.RequestOption{unverified}},
				{"4 nobody", []parley.RequestOption{proxy}},
				{"5 one", []parley.RequestOption{proxy, one}},
			} {
				resp, err := c.Get(t.Context(), "https://a.test", test.opts...)
				require.Equal(t, test.want, bodyText(t, resp, err))
				require.Equal(t, proto, resp.Proto)
			}
		}
		require.Equal(t, 6, s.Accepted())
	})
}

// misdirected is a server that turns away what does not come first on a connection, and,
// where it always does, all but the first request.
func misdirected(always bool) func(*wiretest.Conn) {
	var mu sync.Mutex
	seen := map[int]int{}
	return wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		mu.Lock()
		defer mu.Unlock()
		if seen[c.Index]++; seen[c.Index] > 1 || always && c.Index > 0 {
			return "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 5\r\nSet-Cookie: turned=away\r\n\r\nwrong"
		}
		return wiretest.OK(fmt.Sprintf("%s %s", r.Method, r.Content))
	})
}

func TestS177_AMisdirectedRequestIsSentAgainOnAnotherConnectionOnce(t *testing.T) {
	t.Parallel()
	bothByTLS(t, func(t *testing.T, proto string, ca *wiretest.Authority, cfg *tls.Config) {
		for name, test := range map[string]struct {
			method string
			always bool
			opts   []parley.RequestOption
			want   string // "" for a 421
			conns  int
		}{
			"GET":                          {"GET", false, nil, "GET ", 2},
			"POST":                         {"POST", false, []parley.RequestOption{parley.WithText("content")}, "POST content", 2},
			"POST of many bytes":           {"POST", false, []parley.RequestOption{parley.WithBytes(make([]byte, 100<<10))}, "POST " + string(make([]byte, 100<<10)), 2},
			"a second 421 is the answer":   {"GET", true, nil, "", 2},
			"a body that is gone stays so": {"POST", false, []parley.RequestOption{parley.WithReader(io.MultiReader(strings.NewReader("content")))}, "", 1},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := wiretest.ServeTLS(t, cfg, misdirected(test.always))
				c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false))
				require.Equal(t, "GET ", textOf(t, c, ""))
				resp, err := c.Request(t.Context(), test.method, "", test.opts...)
				require.NoError(t, err)
				require.Equal(t, proto, resp.Proto)
				text, err := resp.Text()
				require.NoError(t, err)
				if test.want == "" {
					require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
					require.Equal(t, "wrong", text)
				} else {
					require.Equal(t, test.want, text)
					require.Empty(t, c.Jar().Cookies(resp.Request.URL))
				}
				require.Equal(t, test.conns, s.Accepted())
				require.EqualValues(t, test.conns-1, c.Stats().Replays)
				requireNoneActive(t, c)
			})
		}
	})
}

// A new connection has served nobody else: its 421 is the answer.
func TestS177_ANewConnectionIsNotReplaced(t *testing.T) {
	t.Parallel()
	bothByTLS(t, func(t *testing.T, _ string, ca *wiretest.Authority, cfg *tls.Config) {
		s := wiretest.ServeTLS(t, cfg, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"
		}))
		c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false))
		resp, err := c.Get(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
		require.Equal(t, 1, s.Accepted())
	})
}

// Whoever is turned away leaves the connection; those who are served there go on.
func TestS177_AMisdirectedStreamLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	goOn := make(chan struct{})
	s := wiretest.ServeTLS(t, ca.ServerHTTP2(t), wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/stays" {
			<-goOn
		} else if c.Index == 0 && r.URL.Path != "/first" {
			return "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(r.URL.Path)
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false))
	require.Equal(t, "/first", textOf(t, c, "first"))
	var all sync.WaitGroup
	get := func(path string) {
		resp, err := c.Get(t.Context(), path)
		if assert.NoError(t, err) {
			text, err := resp.Text()
			assert.NoError(t, err)
			assert.Equal(t, path, text)
		}
	}
	all.Go(func() { get("/stays") })
	wiretest.Eventually(t, func() bool { return c.Stats().Active == 1 && strings.Contains(s.Text(), "/stays") }, "one request is served")
	for range 5 {
		all.Go(func() { get("/moves") })
	}
	wiretest.Eventually(t, func() bool {
		seen := s.Received()
		return len(seen) == 2 && strings.Count(seen[1], "/moves") == 5
	}, "all are served elsewhere")
	close(goOn)
	all.Wait()
	require.Equal(t, 2, s.Accepted())
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 1 }, "the first connection has left the pool")
}
