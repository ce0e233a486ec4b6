package parley_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// fileOf writes a file for the test.
func fileOf(t testing.TB, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, bytes.Join(parts, nil), 0o600))
	return path
}

// rootsOf writes the certificates of authorities to a file.
func rootsOf(t testing.TB, authorities ...*wiretest.Authority) string {
	t.Helper()
	var parts [][]byte
	for _, a := range authorities {
		parts = append(parts, []byte("a comment\n"), a.PEM())
	}
	return fileOf(t, "roots.pem", parts...)
}

func TestTLS_rootsOfAFileOrDirectory(t *testing.T) {
	t.Parallel()
	one, two := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, one.Server(t), wiretest.Echo())
	both := rootsOf(t, two, one)
	dir := filepath.Dir(rootsOf(t, one))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("no certificate"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "below"), 0o700))
	client := newSession(t)
	for _, path := range []string{both, dir, rootsOf(t, one)} {
		require.Equal(t, "/", textOf(t, newSession(t, parley.WithRootCAs(path)), server.URL()))
		require.Equal(t, "/", textOf(t, client, server.URL(), parley.WithRootCAs(path)))
	}
	_, err := client.Get(t.Context(), server.URL(), parley.WithRootCAs(rootsOf(t, two)))
	requireUntrusted(t, err)
	_, err = client.Get(t.Context(), server.URL())
	requireUntrusted(t, err)
}

// Whoever wants to know with whom a request went sees it on the response, whatever way it
// took.
func TestTLS_theResponseShowsTheServersCertificate(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	roots := parley.WithRootCAs(rootsOf(t, ca))
	shown := func(t *testing.T, resp *parley.Response) {
		require.Equal(t, uint16(tls.VersionTLS13), resp.TLS.Version)
		require.Contains(t, resp.TLS.PeerCertificates[0].DNSNames, "a.test")
		require.Len(t, resp.TLS.VerifiedChains, 1)
		require.Equal(t, ca.Raw(), resp.TLS.VerifiedChains[0][1].Raw)
	}
	eachWay(t, ca.Server(t, "a.test"), func(t *testing.T, server *wiretest.Server, get func(string, ...parley.RequestOption) (*parley.Response, error)) {
		for range 2 { // the second time on a connection that is there
			resp, err := get("https://a.test/", roots)
			require.NoError(t, err)
			shown(t, resp)
			resp, err = get("http://away.test/", roots)
			require.NoError(t, err)
			shown(t, resp)
			require.Nil(t, resp.History[0].TLS, "the hop without TLS had none")
		}
		rt := &http.Transport{TLSClientConfig: ca.Trusted(), DialContext: wiretest.NewNames(map[string]string{"a.test:443": server.Addr()}).DialContext}
		t.Cleanup(rt.CloseIdleConnections)
		resp, err := newSession(t, parley.WithTransport(parley.FromRoundTripper(rt))).Get(t.Context(), "https://a.test/")
		require.NoError(t, err)
		shown(t, resp)
	})
}

func TestTLS_filesThatAreNoGoodFailAtOnce(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	_, other := wiretest.PairPEM(t, ca.Certificate(t, "other"))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("SECRET")})
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("SECRET")})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("SECRET")})
	missing := filepath.Join(t.TempDir(), "missing.pem")
	good, goodKey := fileOf(t, "good.pem", cert), fileOf(t, "good.key", key)
	for rule, c := range map[string]struct {
		option parley.Option
		texts  []string
	}{
		"no such roots":           {parley.WithRootCAs(missing), []string{"WithRootCAs", "missing.pem"}},
		"roots of an empty path":  {parley.WithRootCAs(""), []string{"WithRootCAs"}},
		"an empty file":           {parley.WithRootCAs(fileOf(t, "empty.pem")), []string{"empty.pem", "no certificate"}},
		"a key in place of roots": {parley.WithRootCAs(goodKey), []string{"good.key", "no certificate"}},
		"an empty directory":      {parley.WithRootCAs(t.TempDir()), []string{"no certificate"}},
		"a broken root":           {parley.WithRootCAs(fileOf(t, "bad.pem", ca.PEM(), broken)), []string{"bad.pem", "certificate 2"}},
		"roots that are cut off":  {parley.WithRootCAs(fileOf(t, "cut.pem", ca.PEM(), ca.PEM()[:200])), []string{"cut.pem", "1 of 2"}},
		"no such certificate":     {parley.WithClientCert(missing, goodKey), []string{"WithClientCert", "missing.pem"}},
		"no such key":             {parley.WithClientCert(good, missing), []string{"missing.pem"}},
		"no key in the file":      {parley.WithClientCert(good, ""), []string{"good.pem", "no private key"}},
		"a key of another":        {parley.WithClientCert(good, fileOf(t, "other.key", other)), []string{"good.pem", "other.key"}},
		"an encrypted key":        {parley.WithClientCert(good, fileOf(t, "enc.key", encrypted)), []string{"enc.key", "encrypted", "openssl pkey"}},
		"an old encrypted key":    {parley.WithClientCert(good, fileOf(t, "old.key", legacy)), []string{"old.key", "encrypted", "openssl pkey"}},
		"a broken certificate":    {parley.WithClientCert(fileOf(t, "bad.pem", broken), goodKey), []string{"bad.pem"}},
	} {
		t.Run(rule, func(t *testing.T) {
			_, byNew := parley.New(c.option)
			_, byRequest := parley.NewRequest("GET", "https://a.test/", c.option)
			for _, err := range []error{byNew, byRequest} {
				require.Error(t, err)
				for _, text := range c.texts {
					require.ErrorContains(t, err, text)
				}
				require.NotContains(t, err.Error(), "SECRET")
			}
		})
	}
}

// mutual starts a server that answers with the name of the client's certificate.
func mutual(t testing.TB, ca *wiretest.Authority, names ...string) *wiretest.Server {
	t.Helper()
	cfg := ca.Server(t, names...)
	cfg.ClientAuth = tls.RequestClientCert
	return wiretest.ServeTLS(t, cfg, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if certs := c.TLS.PeerCertificates; len(certs) > 0 {
			return wiretest.OK(certs[0].Subject.CommonName)
		}
		return wiretest.OK("nobody")
	}))
}

func TestTLS_clientCertificateOfOneFileOrTwo(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := mutual(t, ca)
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	one, two := fileOf(t, "both.pem", key, cert), fileOf(t, "cert.pem", cert)
	twoKey := fileOf(t, "key.pem", key)
	client := newSession(t, parley.WithTLSConfig(ca.Trusted()))
	require.Equal(t, "nobody", textOf(t, client, server.URL()))
	require.Equal(t, "client", textOf(t, client, server.URL(), parley.WithClientCert(one, "")))
	require.Equal(t, "client", textOf(t, client, server.URL(), parley.WithClientCert(two, twoKey)))
	require.Equal(t, "nobody", textOf(t, client, server.URL()))
	session := derive(t, client, parley.WithClientCert(two, twoKey))
	require.Equal(t, "client", textOf(t, session, server.URL()))
	other := ca.Trusted()
	other.Certificates = []tls.Certificate{ca.Certificate(t, "of the config")}
	require.Equal(t, "of the config", textOf(t, client, server.URL(), parley.WithTLSConfig(other)))
	require.Equal(t, "client", textOf(t, session, server.URL(), parley.WithTLSConfig(other)), "the option changes a copy of the config")
}

func TestTLS_equalSettingsShareConnections(t *testing.T) {
	t.Parallel()
	ca, second := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := mutual(t, ca)
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	otherCert, otherKey := wiretest.PairPEM(t, ca.Certificate(t, "other"))
	base := ca.Trusted()
	client := newSession(t)
	ways := []func() []parley.RequestOption{
		func() []parley.RequestOption { return []parley.RequestOption{parley.WithVerify(false)} },
		func() []parley.RequestOption { return []parley.RequestOption{parley.WithRootCAs(rootsOf(t, ca))} },
		func() []parley.RequestOption {
			return []parley.RequestOption{parley.WithRootCAs(rootsOf(t, ca, second))}
		},
		func() []parley.RequestOption {
			return []parley.RequestOption{parley.WithRootCAs(rootsOf(t, ca)), parley.WithClientCert(fileOf(t, "c", cert, key), "")}
		},
		func() []parley.RequestOption {
			return []parley.RequestOption{parley.WithRootCAs(rootsOf(t, ca)), parley.WithClientCert(fileOf(t, "c", otherCert, otherKey), "")}
		},
		func() []parley.RequestOption { return []parley.RequestOption{parley.WithTLSConfig(base)} },
		func() []parley.RequestOption {
			return []parley.RequestOption{parley.WithTLSConfig(base), parley.WithVerify(false)}
		},
		func() []parley.RequestOption {
			return []parley.RequestOption{parley.WithTLSConfig(base), parley.WithRootCAs(rootsOf(t, ca))}
		},
	}
	for range 3 {
		for _, way := range ways {
			textOf(t, client, server.URL(), way()...)
		}
	}
	require.Equal(t, len(ways), server.Accepted(), "one connection for each kind of settings, by content")
}

func TestTLS_verificationByTheLastWord(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	open := newSession(t, parley.WithVerify(false))
	textOf(t, open, server.URL())
	_, err := open.Get(t.Context(), server.URL(), parley.WithVerify(true))
	requireUntrusted(t, err)
	_, err = derive(t, open, parley.WithVerify(true)).Get(t.Context(), server.URL())
	requireUntrusted(t, err)
	_, err = open.Get(t.Context(), server.URL(), parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), parley.WithVerify(true))
	requireUntrusted(t, err)
	textOf(t, open, server.URL(), parley.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13}))
	textOf(t, newSession(t, parley.WithVerify(false), parley.WithRootCAs(rootsOf(t, wiretest.NewAuthority(t)))), server.URL())
	req, err := parley.NewRequest("GET", server.URL(), parley.WithVerify(true))
	require.NoError(t, err)
	_, err = open.Send(t.Context(), req)
	requireUntrusted(t, err)
	req, err = parley.NewRequest("GET", server.URL(), parley.WithRootCAs(rootsOf(t, ca)))
	require.NoError(t, err)
	resp, err := newSession(t).Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
}

func TestTLS_errorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	past := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	issue := func(change func(*x509.Certificate), names ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, change, names...)}}
	}
	for rule, c := range map[string]struct {
		cfg   *tls.Config
		texts []string
		as    any
	}{
		"expired":           {issue(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.AddDate(-1, 0, 0), past }, "a.test"), []string{"expired on 2020-01-02 03:04:05"}, new(x509.CertificateInvalidError)},
		"not yet valid":     {issue(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.AddDate(80, 0, 0), past.AddDate(90, 0, 0) }, "a.test"), []string{"not valid before 2100-01-02"}, new(x509.CertificateInvalidError)},
		"another name":      {issue(nil, "b.test", "c.test", "127.0.0.2"), []string{"for b.test, c.test, 127.0.0.2, not for this name"}, new(x509.HostnameError)},
		"no name":           {issue(func(c *x509.Certificate) { c.DNSNames = nil }, "a.test"), []string{"no name at all"}, new(x509.HostnameError)},
		"unknown authority": {wiretest.NewAuthority(t).Server(t, "a.test"), []string{"unknown authority, CN=authority", "WithRootCAs"}, new(x509.UnknownAuthorityError)},
		"wrong use":         {issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "a.test"), []string{"not valid: "}, new(x509.CertificateInvalidError)},
		"no version in common": {&tls.Config{MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10, Certificates: ca.Server(t).Certificates},
			[]string{"it refused the handshake"}, nil},
	} {
		t.Run(rule, func(t *testing.T) {
			server := wiretest.ServeTLS(t, c.cfg, wiretest.Echo())
			client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:443": server.Addr()})))
			_, err := client.Get(t.Context(), "https://a.test/")
			require.ErrorIs(t, err, parley.ErrTLS)
			require.ErrorContains(t, err, "TLS failed: a.test: ")
			for _, text := range c.texts {
				require.ErrorContains(t, err, text)
			}
			if c.as != nil {
				require.ErrorAs(t, err, c.as)
			}
			requireUnread(t, server)
		})
	}
	t.Run("no TLS there", func(t *testing.T) {
		clear := wiretest.Serve(t, func(c *wiretest.Conn) {
			if _, err := c.Reader.Peek(1); err == nil {
				c.Say("HTTP/1.1 400 Bad Request\r\n\r\n")
				c.Rest()
			}
		})
		_, err := newSession(t).Get(t.Context(), "https://"+clear.Addr())
		require.ErrorIs(t, err, parley.ErrTLS)
		require.ErrorContains(t, err, "is it an http:// URL?")
	})
	t.Run("a client certificate is demanded", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := ca.Server(t)
			cfg.ClientAuth, cfg.MaxVersion = tls.RequireAnyClientCert, version
			server := wiretest.ServeTLS(t, cfg, wiretest.Echo())
			_, err := newSession(t, parley.WithRootCAs(rootsOf(t, ca))).Get(t.Context(), server.URL())
			require.ErrorIs(t, err, parley.ErrTLS)
			require.ErrorContains(t, err, "certificate")
		}
	})
}

func TestTLSEnv_rootsOfVariables(t *testing.T) {
	ca, other := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	good, bad := rootsOf(t, ca), rootsOf(t, other)
	for rule, c := range map[string]struct {
		env     map[string]string
		options []parley.ClientOption
		trusted bool
	}{
		"REQUESTS_CA_BUNDLE":                   {map[string]string{"REQUESTS_CA_BUNDLE": good}, nil, true},
		"a directory":                          {map[string]string{"REQUESTS_CA_BUNDLE": filepath.Dir(good)}, nil, true},
		"CURL_CA_BUNDLE":                       {map[string]string{"CURL_CA_BUNDLE": good}, nil, true},
		"the first of both":                    {map[string]string{"CURL_CA_BUNDLE": good, "REQUESTS_CA_BUNDLE": bad}, nil, false},
		"SSL_CERT_FILE":                        {map[string]string{"SSL_CERT_FILE": good}, nil, true},
		"SSL_CERT_DIR":                         {map[string]string{"SSL_CERT_DIR": filepath.Dir(bad) + string(filepath.ListSeparator) + filepath.Dir(good)}, nil, true},
		"a bundle replaces what others add":    {map[string]string{"SSL_CERT_FILE": good, "REQUESTS_CA_BUNDLE": bad}, nil, false},
		"empty values are none":                {map[string]string{"REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": " "}, nil, false},
		"roots by option win":                  {map[string]string{"REQUESTS_CA_BUNDLE": good}, []parley.ClientOption{parley.WithRootCAs(bad)}, false},
		"the other way round too":              {map[string]string{"REQUESTS_CA_BUNDLE": bad}, []parley.ClientOption{parley.WithRootCAs(good)}, true},
		"roots of a config win":                {map[string]string{"REQUESTS_CA_BUNDLE": good}, []parley.ClientOption{parley.WithTLSConfig(other.Trusted())}, false},
		"a config without roots has these":     {map[string]string{"REQUESTS_CA_BUNDLE": good}, []parley.ClientOption{parley.WithTLSConfig(&tls.Config{})}, true},
		"verification switched off is off":     {map[string]string{"REQUESTS_CA_BUNDLE": bad}, []parley.ClientOption{parley.WithVerify(false)}, true},
		"without the environment it is not on": {map[string]string{"REQUESTS_CA_BUNDLE": good}, []parley.ClientOption{parley.WithEnv(false)}, false},
	} {
		t.Run(rule, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			_, err := newSession(t, c.options...).Get(t.Context(), server.URL())
			if c.trusted {
				require.NoError(t, err)
			} else {
				requireUntrusted(t, err)
			}
		})
	}
}

func TestTLSEnv_switchingVerificationOffWinsOverABundle(t *testing.T) {
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	t.Setenv("REQUESTS_CA_BUNDLE", rootsOf(t, wiretest.NewAuthority(t)))
	client := newSession(t)
	textOf(t, client, server.URL(), parley.WithVerify(false))
	_, err := client.Get(t.Context(), server.URL())
	requireUntrusted(t, err)
	textOf(t, newSession(t, parley.WithVerify(false)), server.URL())
}

func TestTLSEnv_aMissingFileFailsNew(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, missing)
			_, err := parley.New()
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, "missing.pem")
			require.ErrorContains(t, err, "WithEnv(false)")
			newSession(t, parley.WithEnv(false))
		})
	}
}

func TestTLSEnv_explainTellsTheRoots(t *testing.T) {
	ca := wiretest.NewAuthority(t)
	bundle, own := rootsOf(t, ca), rootsOf(t, ca)
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	pair := fileOf(t, "pair.pem", cert, key)
	t.Setenv("REQUESTS_CA_BUNDLE", bundle)
	client := newSession(t, parley.WithBaseURL("https://a.test"), parley.WithClientCert(pair, ""))
	derived := derive(t, client, parley.WithVerify(false))
	for _, c := range []struct {
		client        *parley.Client
		url           string
		opts          []parley.RequestOption
		value, source string
	}{
		{newSession(t), "https://a.test", nil, "verified by the roots of " + bundle, "environment"},
		{newSession(t, parley.WithEnv(false)), "https://a.test", nil, "verified by the system's roots", "default"},
		{newSession(t), "http://a.test", nil, "none", "default"},
		{client, "/", nil, "verified by the roots of " + bundle + ", client certificate of " + pair, "session"},
		{client, "https://b.test/", nil, "verified by the roots of " + bundle, "environment"},
		{derived, "/", nil, "not verified, client certificate of " + pair, "derived session"},
		{client, "/", []parley.RequestOption{parley.WithRootCAs(own)}, "verified by the roots of " + own + ", client certificate of " + pair, "request"},
		{newSession(t), "https://a.test", []parley.RequestOption{parley.WithTLSConfig(ca.Trusted())}, "verified by roots of a tls.Config, a tls.Config", "request"},
	} {
		req, err := c.client.NewRequest("GET", c.url, c.opts...)
		require.NoError(t, err)
		e, err := c.client.Explain(req)
		require.NoError(t, err)
		require.Equal(t, []string{c.value, c.source}, []string{e.TLS.Value, string(e.TLS.Source)})
		require.False(t, strings.Contains(e.String(), "PRIVATE"))
	}
}
