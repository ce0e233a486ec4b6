package parley_test

// Tests named TestSnnn_ hold the project's security cases. Of the sections on
// reuse, targets, timeouts and errors these have no test, since what they are about
// is not there (yet):
//
//	S029 interfaces are not offered: WithLocalAddr names one of their addresses
//	S034 is in security_merged_test.go; there is no cache
//	S122 to S129 Locations are in security_redirect_test.go under S122
//	S033, S160, S197 of tries are in retry_test.go and retry_time_test.go, S197 of limits in serverlimit_test.go; S160 of CONNECT is under S159
//	S150 not offered: a token is opaque, nothing parses it
//	S160, S161, S166 by HTTP/2 are in security_streams_test.go and security_time_test.go
//	S166 ALPN: what a server chooses is one of the names offered, else crypto/tls fails
//	     without quoting it
//	S179, S180, S200 not offered: HSTS

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// guard is how long any test of these files may take.
const guard = 10 * time.Second

// newSession makes a session that ends with the test, and sets the guard.
func newSession(t testing.TB, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	wiretest.Guard(t, guard)
	c, err := parley.New(asSpoken(t, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// derive makes a session of another that ends with the test.
func derive(t testing.TB, c *parley.Client, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	d, err := c.With(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// textOf gets url and gives the body.
func textOf(t testing.TB, c *parley.Client, url string, opts ...parley.RequestOption) string {
	t.Helper()
	resp, err := c.Get(t.Context(), url, opts...)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	return text
}

// requireNoneActive waits until no connection is in use, being made or waited for.
func requireNoneActive(t testing.TB, c *parley.Client) {
	t.Helper()
	wiretest.Eventually(t, func() bool {
		s := c.Stats()
		return s.Active == 0 && s.Waiting == 0 && s.Dialing == 0
	}, "no connection is active")
}

func TestS020_ClientCertificateSeparatesConnections(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cfg := ca.Server(t)
	cfg.ClientAuth = tls.RequestClientCert
	server := wiretest.ServeTLS(t, cfg, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		name := "nobody"
		if certs := c.TLS.PeerCertificates; len(certs) > 0 {
			name = certs[0].Subject.CommonName
		}
		return wiretest.OK(fmt.Sprintf("%s on %d", name, c.Index))
	}))
	client := newSession(t)
	as := func(names ...string) *tls.Config {
		cfg := ca.Trusted()
		if len(names) > 0 {
			cfg.Certificates = []tls.Certificate{ca.Certificate(t, names...)}
		}
		return cfg
	}
	one, two, none := as("one"), as("two"), as()
	for _, step := range []struct {
		cfg  *tls.Config
		want string
	}{{one, "one on 0"}, {two, "two on 1"}, {none, "nobody on 2"}, {one, "one on 0"}} {
		require.Equal(t, step.want, textOf(t, client, server.URL(), parley.WithTLSConfig(step.cfg)))
	}
	require.Equal(t, 3, server.Accepted())
}

func TestS021_UnverifiedConnectionNeverServesVerifiedRequest(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	client := newSession(t)
	unverified := &tls.Config{InsecureSkipVerify: true}
	require.Equal(t, "/first", textOf(t, client, server.URL()+"/first", parley.WithTLSConfig(unverified)))
	require.Equal(t, 1, client.Stats().Idle)

	for name, opts := range map[string][]parley.RequestOption{
		"by the system's roots": nil,
		"by roots without it":   {parley.WithTLSConfig(wiretest.NewAuthority(t).Trusted())},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Get(t.Context(), server.URL()+"/second", opts...)
			requireUntrusted(t, err)
		})
	}
	require.NotContains(t, server.Text(), "/second")
	require.Equal(t, "/third", textOf(t, client, server.URL()+"/third", parley.WithTLSConfig(unverified)))
	require.Contains(t, server.Received()[0], "/third", "the kept connection serves requests like its first")
}

// requireUntrusted checks that the certificate was refused before anything was sent.
func requireUntrusted(t testing.TB, err error) {
	t.Helper()
	var e *parley.Error
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, parley.ErrTLS)
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, parley.PhaseConnect, e.Phase)
	require.Equal(t, parley.NotSent, e.Sent)
}

func TestS022_EveryTLSSettingSeparatesConnections(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t, "other.test"), wiretest.Echo())
	for name, change := range map[string]func(*tls.Config){
		"roots that hold the same authority": func(c *tls.Config) { c.RootCAs = ca.Roots() },
		"least version":                      func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		"greatest version":                   func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"cipher suites":                      func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256} },
		"curves":                             func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
		"protocols":                          func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"server name":                        func(c *tls.Config) { c.ServerName = "other.test" },
		"check of the peer": func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		},
		"check of the connection": func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return nil } },
		"verification":            func(c *tls.Config) { c.InsecureSkipVerify = true },
		"session tickets":         func(c *tls.Config) { c.SessionTicketsDisabled = true },
		"nothing but the pointer": func(*tls.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			client := newSession(t)
			first := ca.Trusted()
			second := first.Clone()
			change(second)
			before := server.Accepted()
			for range 2 {
				require.Equal(t, "/", textOf(t, client, server.URL(), parley.WithTLSConfig(first)))
				require.Equal(t, "/", textOf(t, client, server.URL(), parley.WithTLSConfig(second)))
			}
			require.Equal(t, 2, server.Accepted()-before)
		})
	}
}

func TestS022_ConnectionDoesNotOutliveTrust(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	t.Run("other roots refuse the server although a connection is idle", func(t *testing.T) {
		client := newSession(t, parley.WithTLSConfig(ca.Trusted()))
		textOf(t, client, server.URL())
		_, err := client.Get(t.Context(), server.URL()+"/refused", parley.WithTLSConfig(wiretest.NewAuthority(t).Trusted()))
		requireUntrusted(t, err)
		require.NotContains(t, server.Text(), "/refused")
	})
	t.Run("a session derived with other roots refuses it too", func(t *testing.T) {
		client := newSession(t, parley.WithTLSConfig(ca.Trusted()))
		textOf(t, client, server.URL())
		strict := derive(t, client, parley.WithTLSConfig(wiretest.NewAuthority(t).Trusted()))
		_, err := strict.Get(t.Context(), server.URL()+"/refused")
		requireUntrusted(t, err)
		require.NotContains(t, server.Text(), "/refused")
	})
	t.Run("a change made after the first use has no effect", func(t *testing.T) {
		client := newSession(t)
		cfg := wiretest.NewAuthority(t).Trusted()
		_, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(cfg))
		requireUntrusted(t, err)
		cfg.InsecureSkipVerify = true
		_, err = client.Get(t.Context(), server.URL(), parley.WithTLSConfig(cfg))
		requireUntrusted(t, err)
	})
	t.Run("a configuration in the memory of an earlier one is another", func(t *testing.T) {
		client := newSession(t)
		strict := wiretest.NewAuthority(t).Roots()
		for range 4 {
			textOf(t, client, server.URL(), parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))
			runtime.GC()
			_, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(&tls.Config{RootCAs: strict}))
			requireUntrusted(t, err)
			runtime.GC()
		}
	})
}

func TestS023_TLSRequestNeverGoesInClear(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	clear := wiretest.Serve(t, wiretest.Echo())
	secure := wiretest.ServeTLS(t, ca.Server(t, "a.test"), wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"a.test:8443": clear.Addr()})
	client := newSession(t, parley.WithDialer(names), parley.WithTLSConfig(ca.Trusted()))

	require.Equal(t, "/clear", textOf(t, client, "http://a.test:8443/clear"))
	require.Equal(t, 1, client.Stats().Idle)
	names.Lead("a.test:8443", secure.Addr())
	resp, err := client.Get(t.Context(), "https://a.test:8443/secret")
	require.NoError(t, err)
	require.NotNil(t, resp.TLS)
	require.True(t, resp.TLS.HandshakeComplete)
	require.Equal(t, 1, secure.Accepted())
	require.NotContains(t, clear.Text(), "secret")

	require.Equal(t, "/again", textOf(t, client, "http://a.test:8443/again"))
	require.Equal(t, []int{1, 1}, []int{clear.Accepted(), secure.Accepted()}, "both connections are kept")
	require.NotContains(t, secure.Text(), "again")
}

func TestS028_ZoneSeparatesConnections(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(r.Host) }))
	names := wiretest.NewNames(map[string]string{
		"[fe80::1%eth0]:80": server.Addr(), "[fe80::1%eth1]:80": server.Addr(), "[fe80::1%eth1]:81": server.Addr(),
	})
	client := newSession(t, parley.WithDialer(names))
	for range 2 {
		require.Equal(t, "[fe80::1]", textOf(t, client, "http://[fe80::1%25eth0]/"))
		require.Equal(t, "[fe80::1]", textOf(t, client, "http://[fe80::1%25eth1]/"))
		require.Equal(t, "[fe80::1]:81", textOf(t, client, "http://[fe80::1%25eth1]:81/"))
	}
	require.Equal(t, []string{"[fe80::1%eth0]:80", "[fe80::1%eth1]:80", "[fe80::1%eth1]:81"}, names.Asked())
}

func TestS029_DialerSeparatesConnections(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		return wiretest.OK(host)
	}))
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	from := func(ip string) *parley.Client {
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return newSession(t, parley.WithTransport(pool), parley.WithDialer(d))
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback")
	}
	two, three, plain := from("127.0.0.2"), from("127.0.0.3"), newSession(t, parley.WithTransport(pool))
	for range 2 {
		require.Equal(t, "127.0.0.2", textOf(t, two, server.URL()))
		require.Equal(t, "127.0.0.3", textOf(t, three, server.URL()))
		require.Equal(t, "127.0.0.1", textOf(t, plain, server.URL()))
	}
	require.Equal(t, 3, server.Accepted())
	same := derive(t, two, parley.WithHeader("X-Other", "value"))
	require.Equal(t, "127.0.0.2", textOf(t, same, server.URL()))
	require.Equal(t, 3, server.Accepted(), "a derived session keeps the dialer's identity")
}

// connectionAuths are ways to send credentials of a scheme that holds for the
// connection.
func connectionAuths(t *testing.T, value string) []parley.Auth {
	key, err := parley.APIKeyHeader("Authorization", value)
	require.NoError(t, err)
	set := parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
		req.Header.Set("Authorization", value)
		return nil
	})
	return []parley.Auth{key, set, parley.CombineAuth(set)}
}

func TestS026_CredentialsOfAConnectionEndWithTheRequest(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Authorization", "Proxy-Authorization"} {
		for _, value := range []string{"NTLM dGVzdA==", "negotiate dGVzdA==", "Negotiate"} {
			server := wiretest.Serve(t, wiretest.Echo())
			client := newSession(t, parley.WithBaseURL(server.URL()))
			if header == "Proxy-Authorization" { // which goes to proxies alone
				client = newSession(t, parley.WithBaseURL("http://a.test"), parley.WithProxy(server.URL()))
			}
			textOf(t, client, "")
			require.Equal(t, 1, server.Accepted())
			textOf(t, client, "", parley.WithHeader(header, value))
			require.Equal(t, 1, server.Accepted(), "it may be sent on a connection that is there")
			textOf(t, client, "")
			require.Equal(t, 2, server.Accepted(), "%s: %s: the next request has nothing of it", header, value)
			textOf(t, client, "", parley.WithHeader(header, "Basic dGVzdA=="))
			textOf(t, client, "")
			require.Equal(t, 2, server.Accepted(), "other schemes are of the request alone")

			if header == "Authorization" {
				before := server.Accepted()
				for _, auth := range connectionAuths(t, value) {
					textOf(t, client, "", parley.WithAuth(auth))
					textOf(t, client, "")
					require.Equal(t, before+1, server.Accepted(), "%v", auth)
					session := derive(t, client, parley.WithAuth(auth))
					textOf(t, session, "")
					textOf(t, session, "")
					require.Equal(t, before+2, server.Accepted(), "%v of a session", auth)
					textOf(t, client, "")
					before += 3
				}
				server = wiretest.Serve(t, wiretest.Echo())
				client = newSession(t, parley.WithBaseURL(server.URL()))
				textOf(t, client, "", parley.WithHeader(header, value))
				textOf(t, client, "")
			}
			session := derive(t, client, parley.WithHeader(header, value))
			textOf(t, session, "")
			textOf(t, session, "")
			require.Equal(t, 3, server.Accepted(), "a session's header counts as well")
		}
	}
}

func TestS030_ClearedCredentialsAreGoneAtOnce(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(strings.Join(r.Header["Authorization"], "|") + ";" + strings.Join(r.Header["Cookie"], "|"))
	}))
	userURL := strings.Replace(server.URL(), "http://", "http://user:secret@", 1)
	const basic = "Basic dXNlcjpzZWNyZXQ="
	client := newSession(t, parley.WithBaseURL(userURL), parley.WithCookie("a", "1"))
	without := derive(t, client, parley.WithoutCookie("a"), parley.WithBaseURL(server.URL()))
	for _, step := range []struct {
		rule   string
		client *parley.Client
		opts   []parley.RequestOption
		want   string
	}{
		{"the base URL's credentials and the session's cookie", client, nil, basic + ";a=1"},
		{"both cleared for a request", client, []parley.RequestOption{parley.WithoutHeader("authorization"), parley.WithoutCookie("a")}, ";"},
		{"back for the next", client, nil, basic + ";a=1"},
		{"both cleared in a derived session", without, nil, ";"},
		{"credentials for one request", without, []parley.RequestOption{parley.WithHeader("Authorization", "Bearer t"), parley.WithCookie("b", "2")}, "Bearer t;b=2"},
		{"are not kept for the next", without, nil, ";"},
	} {
		require.Equal(t, step.want, textOf(t, step.client, "", step.opts...), step.rule)
	}
	require.Equal(t, 1, server.Accepted(), "all of it on one connection")
}

func TestS031_TicketsDoNotCrossIdentities(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	serverCfg := ca.Server(t)
	serverCfg.ClientAuth = tls.RequestClientCert
	server := wiretest.ServeTLS(t, serverCfg, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		name := "nobody"
		if certs := c.TLS.PeerCertificates; len(certs) > 0 {
			name = certs[0].Subject.CommonName
		}
		return wiretest.OK(name)
	}))
	get := func(t *testing.T, client *parley.Client, cfg *tls.Config) (string, bool) {
		t.Helper()
		resp, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(cfg), parley.WithHeader("Connection", "close"))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		return text, resp.TLS.DidResume
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		// The configurations share one cache, as those do that are cloned from one.
		first := ca.Trusted()
		first.MaxVersion = version
		first.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		first.Certificates = []tls.Certificate{ca.Certificate(t, "one")}
		t.Run(tls.VersionName(version)+" other client certificate", func(t *testing.T) {
			client := newSession(t)
			get(t, client, first)
			_, resumed := get(t, client, first)
			require.True(t, resumed, "the same configuration resumes its own session")
			second := first.Clone()
			second.Certificates = []tls.Certificate{ca.Certificate(t, "two")}
			name, resumed := get(t, client, second)
			require.False(t, resumed)
			require.Equal(t, "two", name)
		})
		t.Run(tls.VersionName(version)+" no client certificate", func(t *testing.T) {
			client := newSession(t)
			get(t, client, first)
			second := first.Clone()
			second.Certificates = nil
			name, resumed := get(t, client, second)
			require.False(t, resumed)
			require.Equal(t, "nobody", name)
		})
		t.Run(tls.VersionName(version)+" other roots", func(t *testing.T) {
			client := newSession(t)
			get(t, client, first)
			second := first.Clone()
			second.RootCAs = wiretest.NewAuthority(t).Roots()
			_, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(second))
			requireUntrusted(t, err)
		})
		t.Run(tls.VersionName(version)+" check of the peer", func(t *testing.T) {
			client := newSession(t)
			get(t, client, first)
			refusal := errors.New("not this one")
			second := first.Clone()
			second.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return refusal }
			_, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(second))
			require.ErrorIs(t, err, refusal)
			require.ErrorIs(t, err, parley.ErrTLS)
		})
		t.Run(tls.VersionName(version)+" session without verification", func(t *testing.T) {
			client := newSession(t)
			second := wiretest.NewAuthority(t).Trusted()
			second.MaxVersion, second.InsecureSkipVerify = version, true
			second.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			get(t, client, second)
			third := second.Clone()
			third.InsecureSkipVerify = false
			_, err := client.Get(t.Context(), server.URL(), parley.WithTLSConfig(third))
			requireUntrusted(t, err)
		})
	}
}

// A server that drops every request on a connection's second use makes every client
// send again. Each body still arrives whole, once and as nobody else's.
func TestS033_ReplayedBodiesStayApart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	answered := map[string]int{}
	server := wiretest.Serve(t, func(c *wiretest.Conn) {
		for n := 0; ; n++ {
			r, err := c.ReadRequest()
			if err != nil || n > 0 {
				return // received, and not answered
			}
			id, rest, _ := strings.Cut(string(r.Content), ".")
			if strings.Trim(rest, id) != "" || !strings.HasPrefix(r.RequestURI, "/"+id+"/") {
				id = fmt.Sprintf("a mixed body: %.40q at %s", r.Content, r.RequestURI)
			}
			mu.Lock()
			answered[r.RequestURI]++
			mu.Unlock()
			if !c.Say(wiretest.OK(id)) {
				return
			}
		}
	})
	client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 16}), parley.WithPhaseTimeout(guard))
	const workers, rounds = 50, 4
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			id := fmt.Sprintf("%04d", i)
			// Small bodies go with the head, large ones from a goroutine of their own.
			content := []byte(id + "." + strings.Repeat(id, 1+i%2*20_000))
			for round := range rounds {
				var body parley.RequestOption = parley.WithBytes(content)
				if round%2 == 1 {
					body = parley.WithReader(bytes.NewReader(content))
				}
				resp, err := client.Put(t.Context(), fmt.Sprintf("%s/%s/%d", server.URL(), id, round), body)
				if err != nil {
					t.Errorf("request %s, %d: %v", id, round, err)
					return
				}
				if text, err := resp.Text(); err != nil || text != id {
					t.Errorf("request %s, %d got %q, %v", id, round, text, err)
				}
			}
		})
	}
	running.Wait()
	require.Len(t, answered, workers*rounds)
	for uri, n := range answered {
		require.Equal(t, 1, n, uri)
	}
	require.Positive(t, client.Stats().Replays)
	requireNoneActive(t, client)
}

func TestS035_UpgradedConnectionLeavesThePool(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			if r.Header.Get("Upgrade") == "" {
				c.Say(wiretest.OK(fmt.Sprint("conn ", c.Index)))
				continue
			}
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")
			word := make([]byte, 4)
			if _, err := io.ReadFull(c.Reader, word); err == nil {
				c.Say(string(word))
			}
			return // the server ends the upgraded connection
		}
	})
	client := newSession(t)
	resp, err := client.Get(t.Context(), server.URL(), parley.WithHeader("Connection", "upgrade"), parley.WithHeader("Upgrade", "echo"))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	raw, ok := resp.Body.(io.ReadWriteCloser)
	require.True(t, ok)
	_, err = io.WriteString(raw, "ping")
	require.NoError(t, err)
	all, err := io.ReadAll(raw)
	require.NoError(t, err)
	require.Equal(t, "helloping", string(all))
	require.Zero(t, client.Stats().Active+client.Stats().Idle, "the pool knows of it no more")

	for range 10 {
		require.Equal(t, "conn 1", textOf(t, client, server.URL()))
	}
	wiretest.Eventually(t, func() bool {
		_, err := io.WriteString(raw, "SECRET")
		return err != nil
	}, "writing to the connection that ended fails")
	require.NoError(t, resp.Close())
	_, err = raw.Write([]byte("SECRET"))
	require.Error(t, err)
	require.NotContains(t, server.Text(), "SECRET")
	require.Equal(t, 2, server.Accepted())
}
