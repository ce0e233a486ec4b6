package parley_test

// The security cases on TLS; those on pins and resumption are in tls_option_test.go too.
// S101, S105 and S106 are run by HTTP/2 in security_matrix_test.go.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// requireRefused checks that no server got a request since TLS was not as it should.
func requireRefused(t testing.TB, err error, why string) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e, why)
	require.ErrorIs(t, err, parley.ErrTLS, why)
	require.Equal(t, parley.NotSent, e.Sent, why)
}

// redirector is a server without TLS that leads to https://a.test/there.
func redirector(t testing.TB) *wiretest.Server {
	t.Helper()
	return wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: https://a.test/there\r\nContent-Length: 0\r\n\r\n"
	}))
}

// everyWay gives the ways to https://a.test, at server, and http://away.test, which leads
// there: none of them is verified by anything but the option that a test adds.
func everyWay(t testing.TB, server *wiretest.Server) map[string][]parley.RequestOption {
	t.Helper()
	proxyCA := wiretest.NewAuthority(t)
	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr(), "away.test:80": redirector(t).Addr()})
	plain, secure := wiretest.NewProxy(t, names, ""), wiretest.NewProxyTLS(t, proxyCA.Server(t), names, "")
	return map[string][]parley.RequestOption{
		"HTTP proxy":  {parley.WithProxy(plain.URL())},
		"HTTPS proxy": {parley.WithProxy(secure.URL()), parley.WithProxyTLSConfig(proxyCA.Trusted())},
		"SOCKS proxy": {parley.WithProxy(withLogin(plain.Server, "socks5h", ""))},
	}
}

// eachWay calls test for the direct way and those through proxies.
func eachWay(t *testing.T, cfg *tls.Config, test func(t *testing.T, server *wiretest.Server, get func(url string, opts ...parley.RequestOption) (*parley.Response, error))) {
	t.Helper()
	server := wiretest.ServeTLS(t, asServed(t, cfg), wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr(), "away.test:80": redirector(t).Addr()})
	direct := newSession(t, parley.WithDialer(names))
	t.Run("direct", func(t *testing.T) {
		test(t, server, func(url string, opts ...parley.RequestOption) (*parley.Response, error) {
			return direct.Get(t.Context(), url, opts...)
		})
	})
	client := newSession(t)
	for name, way := range everyWay(t, server) {
		t.Run(name, func(t *testing.T) {
			test(t, server, func(url string, opts ...parley.RequestOption) (*parley.Response, error) {
				return client.Get(t.Context(), url, append(opts, way...)...)
			})
		})
	}
}

func TestS101_EveryHandshakeIsVerified(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	issue := func(change func(*x509.Certificate), names ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, change, names...)}}
	}
	roots := parley.WithRootCAs(rootsOf(t, ca))
	for rule, cfg := range map[string]*tls.Config{
		"unknown authority": wiretest.NewAuthority(t).Server(t, "a.test"),
		"wrong name":        issue(nil, "b.test"),
		"expired":           issue(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) }, "a.test"),
		"not yet valid":     issue(func(c *x509.Certificate) { c.NotBefore = c.NotAfter.Add(-time.Second) }, "a.test"),
		"for clients":       issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "a.test"),
	} {
		t.Run(rule, func(t *testing.T) {
			eachWay(t, cfg, func(t *testing.T, server *wiretest.Server, get func(string, ...parley.RequestOption) (*parley.Response, error)) {
				for _, url := range []string{"https://a.test/", "http://away.test/", "https://a.test/"} {
					_, err := get(url, roots)
					requireRefused(t, err, url)
				}
				requireUnread(t, server)
			})
		})
	}
}

// naming is a certificate by its names, and a host that it may be for.
type naming struct {
	change func(*x509.Certificate)
	host   string
	ok     bool
}

func withNames(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil }
}

// withRawName gives a certificate a name that x509 would not write.
func withRawName(t testing.TB, name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = nil, nil
		value, err := asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 2, Bytes: []byte(name)}})
		require.NoError(t, err)
		c.ExtraExtensions = append(c.ExtraExtensions, pkixExtension(value))
	}
}

func TestS102_NamesAreThoseOfTheAlternativeNames(t *testing.T) {
	t.Parallel()
	requireNames(t, map[string]naming{
		"the name":                     {withNames("a.test"), "a.test", true},
		"only a common name":           {withNames(), "a.test", false},
		"a common name within another": {func(c *x509.Certificate) { withNames()(c); c.Subject.Organization = []string{"x,CN=a.test"} }, "a.test", false},
		"a name of another script":     {withRawName(t, "а.test"), "a.test", false},
	})
}

func TestS103_NamesMatchAsWholeLabelsAndAddressesAsAddresses(t *testing.T) {
	t.Parallel()
	requireNames(t, map[string]naming{
		"a NUL in the name":               {withRawName(t, "a.test\x00.evil.test"), "a.test", false},
		"an address as a name":            {withNames("127.0.0.1"), "127.0.0.1", false},
		"a wildcard for an address":       {withRawName(t, "*.0.0.1"), "127.0.0.1", false},
		"a wildcard":                      {withNames("*.a.test"), "x.a.test", true},
		"a wildcard for nothing":          {withNames("*.a.test"), "a.test", false},
		"a wildcard across labels":        {withNames("*.test"), "x.a.test", false},
		"a wildcard alone":                {withRawName(t, "*"), "a.test", false},
		"a wildcard in a label":           {withRawName(t, "x*.test"), "xy.test", false},
		"two wildcards":                   {withRawName(t, "*.*.test"), "x.a.test", false},
		"a wildcard in punycode":          {withRawName(t, "xn--*.test"), "xn--bcher-kva.test", false},
		"a dot at the end of the request": {withNames("a.test"), "a.test.", true},
	})
}

func requireNames(t *testing.T, rules map[string]naming) {
	t.Helper()
	ca := wiretest.NewAuthority(t)
	for rule, c := range rules {
		t.Run(rule, func(t *testing.T) {
			cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, c.change, "a.test")}}
			server := wiretest.ServeTLS(t, cfg, wiretest.Echo())
			dialer := parley.DialerFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, server.Addr())
			})
			client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), parley.WithDialer(dialer))
			_, err := client.Get(t.Context(), "https://"+c.host+"/")
			if c.ok {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, rule)
			requireUnread(t, server)
		})
	}
}

func TestS104_RootsReplaceTheSystems(t *testing.T) {
	one, two := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, two.Server(t), wiretest.Echo())
	t.Setenv("SSL_CERT_FILE", rootsOf(t, two))
	textOf(t, newSession(t), server.URL())
	for rule, roots := range map[string]parley.ClientOption{
		"roots of a file":   parley.WithRootCAs(rootsOf(t, one)),
		"roots of a config": parley.WithTLSConfig(one.Trusted()),
		"no roots at all":   parley.WithTLSConfig(&tls.Config{RootCAs: x509.NewCertPool()}),
	} {
		_, err := newSession(t, roots).Get(t.Context(), server.URL())
		requireRefused(t, err, rule)
	}
	_, err := parley.New(parley.WithRootCAs(fileOf(t, "empty.pem")))
	require.ErrorContains(t, err, "empty.pem")
	require.Equal(t, 1, strings.Count(server.Text(), "GET "))
}

func TestS105_S106_SettingsHoldOnEveryWay(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cfg := ca.Server(t, "a.test")
	cfg.ClientAuth, cfg.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	certificate := parley.WithClientCert(fileOf(t, "pair.pem", cert, key), "")
	roots, others := parley.WithRootCAs(rootsOf(t, ca)), parley.WithRootCAs(rootsOf(t, wiretest.NewAuthority(t)))
	veto := errors.New("vetoed")
	var called atomic.Int32
	vetoing := ca.Trusted()
	vetoing.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	vetoing.VerifyConnection = func(tls.ConnectionState) error { called.Add(1); return veto }
	modern := ca.Trusted()
	modern.MinVersion = tls.VersionTLS13
	eachWay(t, cfg, func(t *testing.T, server *wiretest.Server, get func(string, ...parley.RequestOption) (*parley.Response, error)) {
		for range 2 {
			resp, err := get("https://a.test/", certificate, roots)
			require.NoError(t, err)
			require.Equal(t, uint16(tls.VersionTLS12), resp.TLS.Version)
			for rule, opts := range map[string][]parley.RequestOption{
				"no certificate": {roots},
				"other roots":    {certificate, others},
				"system's roots": {certificate},
				"least version":  {certificate, parley.WithTLSConfig(modern)},
			} {
				_, err := get("https://a.test/refused", opts...)
				requireRefused(t, err, rule)
			}
			before := called.Load()
			_, err = get("https://a.test/refused", certificate, parley.WithTLSConfig(vetoing))
			requireRefused(t, err, "callback")
			require.ErrorIs(t, err, veto)
			require.Equal(t, before+1, called.Load())
			// After a redirect all but the certificate, which stays behind, holds as well.
			_, err = get("http://away.test/", certificate, others)
			requireRefused(t, err, "roots after a redirect")
			_, err = get("http://away.test/", parley.WithTLSConfig(vetoing))
			requireRefused(t, err, "callback after a redirect")
		}
		require.NotContains(t, server.Text(), "refused")
		require.NotContains(t, server.Text(), "there")
	})
}

func TestS106_CallbackOutlivesDerivingAndResuming(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	var refuse atomic.Bool
	cfg := ca.Trusted()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	cfg.VerifyConnection = func(tls.ConnectionState) error {
		if refuse.Load() {
			return errors.New("vetoed")
		}
		return nil
	}
	client := newSession(t, parley.WithTLSConfig(cfg))
	derived := derive(t, client, parley.WithVerify(true))
	for range 2 {
		for _, c := range []*parley.Client{client, derived} {
			refuse.Store(false)
			textOf(t, c, server.URL())
			textOf(t, c, server.URL(), parley.WithVerify(false))
			c.Pool().CloseIdle()
			refuse.Store(true)
			_, err := c.Get(t.Context(), server.URL()+"/refused")
			requireRefused(t, err, "callback")
			_, err = c.Get(t.Context(), server.URL()+"/refused", parley.WithVerify(false))
			requireRefused(t, err, "callback without verification")
		}
	}
	require.NotContains(t, server.Text(), "refused")
}

func TestS108_NothingButTheSwitchSwitchesVerificationOff(t *testing.T) {
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	for _, name := range []string{"GODEBUG_X509", "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY", "CURL_INSECURE", "SSL_VERIFY"} {
		t.Setenv(name, "0")
	}
	for rule, opts := range map[string][]parley.ClientOption{
		"nothing said":            nil,
		"a nil config":            {parley.WithTLSConfig(nil)},
		"an empty config":         {parley.WithTLSConfig(&tls.Config{})},
		"a partly filled config":  {parley.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13})},
		"verification for a word": {parley.WithVerify(true)},
		"proxies' own":            {parley.WithProxyTLSConfig(&tls.Config{InsecureSkipVerify: true})},
	} {
		client := newSession(t, opts...)
		_, err := client.Get(t.Context(), server.URL())
		requireRefused(t, err, rule)
		req, err := client.NewRequest("GET", server.URL())
		require.NoError(t, err)
		e, err := client.Explain(req)
		require.NoError(t, err)
		require.NotContains(t, e.TLS.Value, "not verified")
		req, err = client.NewRequest("GET", server.URL(), parley.WithVerify(false))
		require.NoError(t, err)
		e, err = client.Explain(req)
		require.NoError(t, err)
		require.Contains(t, e.TLS.Value, "not verified", "an audit sees it")
	}
	requireUnread(t, server)
}

func TestS109_ProxyAndServerAreVerifiedEachByItsOwn(t *testing.T) {
	t.Parallel()
	ca, other := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t, "a.test"), wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr()})
	for rule, proxyTLS := range map[string]*tls.Config{
		"unknown authority": other.Server(t, "p.test"),
		"wrong name":        {Certificates: []tls.Certificate{ca.Certificate(t, "q.test")}},
	} {
		t.Run(rule, func(t *testing.T) {
			p := wiretest.NewProxyTLS(t, proxyTLS, names, "")
			client := newSession(t, parley.WithProxy("https://p.test"), parley.WithRootCAs(rootsOf(t, ca)),
				parley.WithDialer(wiretest.NewNames(map[string]string{"p.test:443": p.Addr()})))
			for _, opts := range [][]parley.RequestOption{
				nil,
				{parley.WithVerify(false)},
				{parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true})},
				{parley.WithProxyTLSConfig(ca.Trusted())},
			} {
				_, err := client.Get(t.Context(), "https://a.test/", opts...)
				requireRefused(t, err, "proxy")
				require.ErrorIs(t, err, parley.ErrProxy)
			}
			requireUnread(t, p.Server)
			_, err := client.Get(t.Context(), "https://a.test/", parley.WithRootCAs(rootsOf(t, other)),
				parley.WithProxyTLSConfig(&tls.Config{InsecureSkipVerify: true}))
			requireRefused(t, err, "server")
			require.NotErrorIs(t, err, parley.ErrProxy)
			require.Equal(t, "/", textOf(t, client, "https://a.test/", parley.WithProxyTLSConfig(&tls.Config{InsecureSkipVerify: true})))
		})
	}
}

func TestS110_CertificateOfManyNamesMakesNoLongError(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	many := ca.Issue(t, func(c *x509.Certificate) {
		c.DNSNames = nil
		for i := range 20000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("h%d.example.test", i))
		}
	}, "a.test")
	server := wiretest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{many}}, wiretest.Echo())
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:443": server.Addr()})))
	start := time.Now()
	_, err := client.Get(t.Context(), "https://a.test/")
	require.Less(t, time.Since(start), 10*time.Second)
	require.ErrorIs(t, err, parley.ErrTLS)
	require.Less(t, len(err.Error()), 1<<10)
}

func TestS111_PeersThatStopAfterTheHandshakeCostOneRequest(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	for rule, c := range map[string]struct {
		script func(*wiretest.Conn)
		kind   error
	}{
		"silent":                 {(*wiretest.Conn).Hold, parley.ErrResponseTimeout},
		"gone without a goodbye": {(*wiretest.Conn).Cut, parley.ErrNetwork},
	} {
		t.Run(rule, func(t *testing.T) {
			bad := wiretest.ServeTLS(t, ca.Server(t), c.script)
			good := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
			client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), parley.WithTimeouts(parley.Timeouts{Response: 50 * time.Millisecond}))
			_, err := client.Get(t.Context(), bad.URL())
			require.ErrorIs(t, err, c.kind)
			require.Equal(t, "/", textOf(t, client, good.URL(), parley.WithTimeouts(parley.Timeouts{Response: 5 * time.Second})))
		})
	}
}

// requireUnread checks that no byte of plain text reached a server.
func requireUnread(t testing.TB, s *wiretest.Server) {
	t.Helper()
	require.Empty(t, strings.ReplaceAll(s.Text(), "\x00", ""))
}
