package parley_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// afterwards asks for the connection to be closed, so that the next request has another.
var afterwards = parley.WithHeader("Connection", "close")

// handle is a key of which only signatures are known.
type handle struct{ crypto.Signer }

func TestTLS_clientCertificatesFromElsewhere(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := mutual(t, ca)
	pair := ca.Certificate(t, "client")
	cert, key := wiretest.PairPEM(t, pair)
	remote := tls.Certificate{Certificate: pair.Certificate, PrivateKey: handle{pair.PrivateKey.(crypto.Signer)}}
	roots := parley.WithRootCAs(rootsOf(t, ca))
	var asked atomic.Int32
	for rule, opt := range map[string]parley.Option{
		"a tls.Certificate":   parley.WithClientCertificate(pair),
		"a key in hardware":   parley.WithClientCertificate(remote),
		"PEM":                 parley.WithClientCertPEM(cert, key),
		"PEM of both":         parley.WithClientCertPEM(bytes.Join([][]byte{key, cert}, nil), nil),
		"the last word of it": parley.WithOptions(parley.WithClientCert(fileOf(t, "x.pem", wiretestPair(t, ca, "other")...), ""), parley.WithClientCertificate(pair)),
		"a function": parley.WithClientCertFunc(func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Add(1)
			return &pair, info.Context().Err()
		}),
	} {
		for range 2 {
			require.Equal(t, "client", textOf(t, newSession(t, roots, opt), server.URL(), afterwards), rule)
			require.Equal(t, "client", textOf(t, newSession(t, roots), server.URL(), opt), rule)
		}
	}
	require.Equal(t, int32(4), asked.Load())
}

// wiretestPair gives certificate and key of a new certificate.
func wiretestPair(t testing.TB, ca *wiretest.Authority, name string) [][]byte {
	t.Helper()
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, name))
	return [][]byte{cert, key}
}

func TestTLS_aFunctionForCertificatesIsAskedInEachHandshake(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := mutual(t, ca)
	var next atomic.Pointer[tls.Certificate]
	var fails atomic.Bool
	refusal := errors.New("no certificate today")
	choose := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if fails.Load() {
			return nil, refusal
		}
		return next.Load(), nil
	}
	opt := parley.WithClientCertFunc(choose)
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), opt)
	for _, name := range []string{"one", "two"} {
		pair := ca.Certificate(t, name)
		next.Store(&pair)
		require.Equal(t, name, textOf(t, client, server.URL(), afterwards))
	}
	next.Store(nil)
	require.Equal(t, "nobody", textOf(t, client, server.URL(), afterwards))
	fails.Store(true)
	_, err := client.Get(t.Context(), server.URL())
	requireRefused(t, err, "an error of the function")
	require.ErrorIs(t, err, refusal)
	fails.Store(false)

	before := server.Accepted()
	for range 2 {
		textOf(t, client, server.URL())
		textOf(t, client, server.URL(), opt)
		textOf(t, client, server.URL(), parley.WithClientCertFunc(choose))
	}
	require.Equal(t, 3, server.Accepted()-before, "an option is one identity, another of the same function is another")
}

func TestTLS_optionsThatAreNoGoodFailAtOnce(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	pair, other := ca.Certificate(t, "client"), ca.Certificate(t, "other")
	cert, key := wiretest.PairPEM(t, pair)
	const pin = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for rule, c := range map[string]struct {
		option parley.Option
		text   string
	}{
		"no certificate":            {parley.WithClientCertificate(tls.Certificate{PrivateKey: pair.PrivateKey}), "WithClientCertificate: there is no certificate"},
		"a broken certificate":      {parley.WithClientCertificate(tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: pair.PrivateKey}), "broken"},
		"no key":                    {parley.WithClientCertificate(tls.Certificate{Certificate: pair.Certificate}), "crypto.Signer"},
		"the key of another":        {parley.WithClientCertificate(tls.Certificate{Certificate: pair.Certificate, PrivateKey: other.PrivateKey}), "another certificate"},
		"PEM without a key":         {parley.WithClientCertPEM(cert, nil), "WithClientCertPEM: the PEM given holds no private key"},
		"PEM without a certificate": {parley.WithClientCertPEM(nil, key), "WithClientCertPEM"},
		"no function":               {parley.WithClientCertFunc(nil), "WithClientCertFunc: it needs a function"},
		"no version":                {parley.WithMinTLSVersion(3), "tls.VersionTLS10 to tls.VersionTLS13, not 0x0003"},
		"version of SSL":            {parley.WithMinTLSVersion(0x0300), "not 0x0300"},
		"a version to come":         {parley.WithMinTLSVersion(tls.VersionTLS13 + 1), "WithMinTLSVersion"},
		"no name":                   {parley.WithServerName(""), "WithServerName"},
		"a malformed name":          {parley.WithServerName("a test"), "WithServerName"},
		"a URL for a name":          {parley.WithServerName("https://a.test"), "WithServerName"},
		"a pin without algorithm":   {parley.WithPublicKeyPins(pin, "AAAA"), "begins with sha256/"},
		"a pin by SHA-1":            {parley.WithPublicKeyPins("sha1/AAAA"), "begins with sha256/"},
		"a pin that is too short":   {parley.WithPublicKeyPins("sha256/AAAA"), "32 bytes in Base64"},
		"a pin that is no Base64":   {parley.WithPublicKeyPins(strings.Replace(pin, "A", "!", 1)), "sha256/"},
		"a pin with loose bits":     {parley.WithPublicKeyPins(strings.Replace(pin, "A=", "B=", 1)), "32 bytes in Base64"},
		"a file in no directory":    {parley.WithKeyLogFile(filepath.Join(t.TempDir(), "no", "keys")), "WithKeyLogFile"},
		"a directory for a file":    {parley.WithKeyLogFile(t.TempDir()), "WithKeyLogFile"},
	} {
		t.Run(rule, func(t *testing.T) {
			_, byNew := parley.New(c.option)
			_, byRequest := parley.NewRequest("GET", "https://a.test/", c.option)
			require.ErrorContains(t, byNew, c.text)
			require.ErrorContains(t, byRequest, c.text)
		})
	}
}

func TestTLS_leastVersion(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cfg := ca.Server(t)
	cfg.MaxVersion = tls.VersionTLS12
	old := wiretest.ServeTLS(t, cfg, wiretest.Echo())
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)))
	strict := derive(t, client, parley.WithMinTLSVersion(tls.VersionTLS13))
	textOf(t, client, old.URL())
	_, err := client.Get(t.Context(), old.URL()+"/refused", parley.WithMinTLSVersion(tls.VersionTLS13))
	requireRefused(t, err, "a request's word")
	_, err = strict.Get(t.Context(), old.URL()+"/refused")
	requireRefused(t, err, "a session's word")
	textOf(t, strict, old.URL(), parley.WithMinTLSVersion(tls.VersionTLS12))
	textOf(t, client, old.URL())
	require.NotContains(t, old.Text(), "refused")
	require.Equal(t, 4, old.Accepted(), "one that says 1.2 shares no connection with one that says nothing")

	ancient := ca.Server(t)
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	server := wiretest.ServeTLS(t, ancient, wiretest.Echo())
	_, err = client.Get(t.Context(), server.URL())
	requireRefused(t, err, "TLS 1.0")
	textOf(t, client, server.URL(), parley.WithMinTLSVersion(tls.VersionTLS10))
}

func TestTLS_serverNameIsAskedForAndVerified(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, "inner.test")}}
	server := wiretest.ServeTLS(t, cfg, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/away" {
			return "HTTP/1.1 307 Away\r\nLocation: https://b.test/\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(c.TLS.ServerName + " " + r.Host)
	}))
	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr(), "b.test:443": server.Addr(), "c.test:443": server.Addr()})
	client := newSession(t, parley.WithDialer(names), parley.WithRootCAs(rootsOf(t, ca)))
	_, err := client.Get(t.Context(), "https://a.test/")
	requireRefused(t, err, "its own name")
	named := parley.WithServerName("Inner.test.")
	require.Equal(t, "inner.test a.test", textOf(t, client, "https://a.test/", named))
	_, err = client.Get(t.Context(), "https://a.test/", parley.WithServerName("other.test"))
	requireRefused(t, err, "another name")
	require.ErrorContains(t, err, "a.test as other.test: its certificate is for inner.test, not for this name")
	_, err = client.Get(t.Context(), "https://a.test/away", named)
	requireRefused(t, err, "it stays behind where a redirect leaves the origin")
	require.ErrorContains(t, err, ": b.test: ")

	based := derive(t, client, parley.WithBaseURL("https://a.test"), parley.WithTrustedOrigins("https://c.test"), named)
	require.Equal(t, "inner.test a.test", textOf(t, based, "/"))
	require.Equal(t, "inner.test c.test", textOf(t, based, "https://c.test/"))
	_, err = based.Get(t.Context(), "https://b.test/")
	requireRefused(t, err, "it is for the session's own origins")
	require.Equal(t, "inner.test b.test", textOf(t, based, "https://b.test/", named))
	ofConfig := ca.Trusted()
	ofConfig.ServerName = "other.test"
	require.Equal(t, "inner.test a.test", textOf(t, based, "/", parley.WithTLSConfig(ofConfig)), "the option changes a copy of the config")
}

// pinFor gives the pin of a certificate's key.
func pinFor(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	require.NoError(t, err)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestS107_PinsHoldForTheVerifiedChain(t *testing.T) {
	t.Parallel()
	ca, stranger := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	leaf, unrelated := ca.Certificate(t, "pinned.test"), stranger.Certificate(t, "unrelated.test")
	authority := pinFor(t, tls.Certificate{Certificate: [][]byte{ca.Raw()}})
	good, bad := pinFor(t, leaf), pinFor(t, unrelated)
	chain := leaf
	chain.Certificate = append(chain.Certificate[:1:1], unrelated.Certificate[0]) // sent along, but no part of what is verified
	server := wiretest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{chain}}, wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"pinned.test:443": server.Addr()})
	client := newSession(t, parley.WithDialer(names), parley.WithRootCAs(rootsOf(t, ca)))
	open := parley.WithVerify(false)
	for rule, c := range map[string]struct {
		opts []parley.RequestOption
		ok   bool
	}{
		"the server's":                         {[]parley.RequestOption{parley.WithPublicKeyPins(good)}, true},
		"as curl writes it":                    {[]parley.RequestOption{parley.WithPublicKeyPins(strings.Replace(good, "/", "//", 1))}, true},
		"the authority's":                      {[]parley.RequestOption{parley.WithPublicKeyPins(authority)}, true},
		"one of several":                       {[]parley.RequestOption{parley.WithPublicKeyPins(bad, good)}, true},
		"none after some":                      {[]parley.RequestOption{parley.WithPublicKeyPins(bad), parley.WithPublicKeyPins()}, true},
		"another's":                            {[]parley.RequestOption{parley.WithPublicKeyPins(bad)}, false},
		"unverified, the server's":             {[]parley.RequestOption{open, parley.WithPublicKeyPins(good)}, true},
		"unverified, another's":                {[]parley.RequestOption{open, parley.WithPublicKeyPins(bad)}, false},
		"unverified, the authority's":          {[]parley.RequestOption{open, parley.WithPublicKeyPins(authority)}, false},
		"unverified by a config":               {[]parley.RequestOption{parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), parley.WithPublicKeyPins(bad)}, false},
		"the right one, but of no known roots": {[]parley.RequestOption{parley.WithRootCAs(rootsOf(t, stranger)), parley.WithPublicKeyPins(good)}, false},
	} {
		t.Run(rule, func(t *testing.T) {
			for _, url := range []string{"https://pinned.test/", "https://PINNED.test./", "https://pinned.test:443/"} {
				for range 2 {
					path := map[bool]string{true: "/", false: "/refused"}[c.ok]
					_, err := client.Get(t.Context(), url+path, append(c.opts, afterwards)...)
					if c.ok {
						require.NoError(t, err)
						continue
					}
					requireRefused(t, err, rule)
					if !strings.Contains(rule, "roots") {
						require.ErrorIs(t, err, parley.ErrPublicKeyPin)
						require.ErrorContains(t, err, good)
					}
				}
			}
		})
	}
	require.NotContains(t, server.Text(), "refused")
}

func TestS106_PinsAreAskedOfResumedSessionsToo(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	leaf := ca.Certificate(t, "127.0.0.1")
	server := wiretest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{leaf}}, wiretest.Echo())
	var refuse atomic.Bool
	cfg := ca.Trusted()
	cfg.VerifyConnection = func(tls.ConnectionState) error {
		if refuse.Load() {
			return errors.New("vetoed")
		}
		return nil
	}
	client := newSession(t, parley.WithTLSConfig(cfg), parley.WithPublicKeyPins(pinFor(t, leaf)))
	for i := range 2 {
		resp, err := client.Get(t.Context(), server.URL(), afterwards)
		require.NoError(t, err)
		require.Equal(t, i > 0, resp.TLS.DidResume)
	}
	_, err := client.Get(t.Context(), server.URL()+"/refused", afterwards, parley.WithPublicKeyPins(pinFor(t, ca.Certificate(t, "x"))))
	require.ErrorIs(t, err, parley.ErrPublicKeyPin)
	refuse.Store(true)
	_, err = client.Get(t.Context(), server.URL()+"/refused")
	requireRefused(t, err, "the config's own check holds beside the pins")
	require.NotContains(t, server.Text(), "refused")
}

func TestS105_PinsAndVersionsHoldOnEveryWay(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	leaf := ca.Certificate(t, "a.test")
	roots := parley.WithRootCAs(rootsOf(t, ca))
	good, bad := parley.WithPublicKeyPins(pinFor(t, leaf)), parley.WithPublicKeyPins(pinFor(t, ca.Certificate(t, "x")))
	cfg := &tls.Config{Certificates: []tls.Certificate{leaf}, MaxVersion: tls.VersionTLS12}
	eachWay(t, cfg, func(t *testing.T, server *wiretest.Server, get func(string, ...parley.RequestOption) (*parley.Response, error)) {
		for _, url := range []string{"https://a.test/", "http://away.test/"} {
			_, err := get(url, roots, good)
			require.NoError(t, err)
			before := strings.Count(server.Text(), "GET ")
			_, err = get(url, roots, bad)
			requireRefused(t, err, url)
			require.ErrorIs(t, err, parley.ErrPublicKeyPin)
			_, err = get(url, roots, parley.WithMinTLSVersion(tls.VersionTLS13))
			requireRefused(t, err, url)
			require.Equal(t, before, strings.Count(server.Text(), "GET "))
		}
	})
}

func TestTLS_sessionsAreResumedForEqualSettingsAlone(t *testing.T) {
	t.Parallel()
	ca, second := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := mutual(t, ca)
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)))
	resumed := func(client *parley.Client, opts ...parley.RequestOption) bool {
		resp, err := client.Get(t.Context(), server.URL(), append(opts, afterwards)...)
		require.NoError(t, err)
		return resp.TLS.DidResume
	}
	pair := ca.Certificate(t, "client")
	for rule, opts := range map[string][]parley.RequestOption{
		"nothing":       nil,
		"roots":         {parley.WithRootCAs(rootsOf(t, ca, second))},
		"verification":  {parley.WithVerify(false)},
		"certificate":   {parley.WithClientCertificate(pair)},
		"another":       {parley.WithClientCertificate(ca.Certificate(t, "other"))},
		"least version": {parley.WithMinTLSVersion(tls.VersionTLS13)},
		"pins":          {parley.WithPublicKeyPins(pinFor(t, tls.Certificate{Certificate: [][]byte{ca.Raw()}}))},
		"a config":      {parley.WithTLSConfig(ca.Trusted())},
	} {
		require.False(t, resumed(client, opts...), rule)
		require.True(t, resumed(client, opts...), rule)
	}
	require.False(t, resumed(newSession(t, parley.WithRootCAs(rootsOf(t, ca)))), "a pool has its own sessions")
	for rule, change := range map[string]func(*tls.Config){
		"switched off": func(c *tls.Config) { c.SessionTicketsDisabled = true },
		"a callback that would not be asked": func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		},
		"certificates by callback": func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		},
	} {
		cfg := ca.Trusted()
		change(cfg)
		for range 2 {
			require.False(t, resumed(client, parley.WithTLSConfig(cfg)), rule)
		}
	}
}

func TestTLS_keyLogHasTheSecretsOfAskedForConnections(t *testing.T) {
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	dir := t.TempDir()
	path, ofEnv := filepath.Join(dir, "keys"), filepath.Join(dir, "env")
	t.Setenv("SSLKEYLOGFILE", ofEnv)
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)))
	textOf(t, client, server.URL())
	logged := parley.WithKeyLogFile(path)
	info, err := os.Stat(path)
	require.NoError(t, err, "it can be written to, or the option fails")
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	textOf(t, client, server.URL(), logged, parley.WithKeyLogFile(""))
	require.Zero(t, info.Size())
	var running sync.WaitGroup
	const requests = 8
	for range requests {
		running.Go(func() {
			resp, err := client.Get(t.Context(), server.URL(), logged, afterwards)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		})
	}
	running.Wait()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		require.Regexp(t, `^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]+\n$`, line)
	}
	require.Equal(t, requests, strings.Count(string(data), "CLIENT_TRAFFIC_SECRET_0 "))
	require.NoFileExists(t, ofEnv, "the environment alone asks for nothing")

	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr()})
	p := wiretest.NewProxyTLS(t, ca.Server(t), names, "")
	both := filepath.Join(dir, "both")
	textOf(t, client, "https://a.test/", parley.WithVerify(false), parley.WithProxy(p.URL()),
		parley.WithProxyTLSConfig(ca.Trusted()), parley.WithKeyLogFile(both))
	data, err = os.ReadFile(both)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(data), "CLIENT_TRAFFIC_SECRET_0 "), "of the proxy and of the server")

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = client.Get(t.Context(), server.URL()+"/refused", logged)
	requireRefused(t, err, "secrets that cannot be written")
	require.NotContains(t, server.Text(), "refused")
}

func TestTLS_explainTellsTheRareSettings(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	pair := ca.Certificate(t, "client")
	path := filepath.Join(t.TempDir(), "keys")
	client := newSession(t, parley.WithEnv(false), parley.WithBaseURL("https://a.test"), parley.WithMinTLSVersion(tls.VersionTLS13), parley.WithServerName("b.test"),
		parley.WithPublicKeyPins(pinFor(t, pair), pinFor(t, ca.Certificate(t, "x"))), parley.WithKeyLogFile(path), parley.WithClientCertificate(pair))
	const common = ", at least TLS 1.3"
	rest := ", pinned public keys: 2, secrets go to " + path
	for _, c := range []struct {
		url           string
		opts          []parley.RequestOption
		value, source string
	}{
		{"/", nil, "verified by the system's roots, client certificate of memory" + common + ", server name b.test" + rest, "session"},
		{"https://other.test/", nil, "verified by the system's roots" + common + rest, "session"},
		{"/", []parley.RequestOption{parley.WithServerName("c.test"), parley.WithPublicKeyPins(), parley.WithKeyLogFile("")},
			"verified by the system's roots, client certificate of memory" + common + ", server name c.test", "request"},
	} {
		req, err := client.NewRequest("GET", c.url, c.opts...)
		require.NoError(t, err)
		e, err := client.Explain(req)
		require.NoError(t, err)
		require.Equal(t, []string{c.value, c.source}, []string{e.TLS.Value, string(e.TLS.Source)})
		require.Contains(t, e.PoolKey, "with TLS settings of its own")
	}
}
