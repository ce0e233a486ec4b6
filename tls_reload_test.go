package parley_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Files are looked at once a second: these tests wait for that.

func TestTLS_aClientCertificateIsRenewedWithItsFile(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := mutual(t, ca)
	certOf, keyOf := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	install := func(name string) {
		cert, key := wiretest.PairPEM(t, ca.Certificate(t, name))
		require.NoError(t, os.WriteFile(certOf, cert, 0o600))
		require.NoError(t, os.WriteFile(keyOf, key, 0o600))
	}
	install("one")
	client := newSession(t, parley.WithRootCAs(rootsOf(t, ca)), parley.WithClientCert(certOf, keyOf))
	require.Equal(t, "one", textOf(t, client, server.URL()))
	require.Equal(t, "one", textOf(t, client, server.URL()))
	require.Equal(t, 1, server.Accepted())
	install("two")
	wiretest.Eventually(t, func() bool { return textOf(t, client, server.URL()) == "two" }, "the new certificate is shown")
	for range 3 {
		require.Equal(t, "two", textOf(t, client, server.URL()), "connections of the old one serve no more")
	}
	require.Equal(t, 2, server.Accepted())
	explained := func() string {
		req, err := client.NewRequest("GET", server.URL())
		require.NoError(t, err)
		e, err := client.Explain(req)
		require.NoError(t, err)
		return e.TLS.Value
	}
	require.NotContains(t, explained(), "changed")
	require.NoError(t, os.WriteFile(keyOf, []byte("SECRET"), 0o600))
	wiretest.Eventually(t, func() bool {
		require.Equal(t, "two", textOf(t, client, server.URL()))
		return strings.Contains(explained(), "its files have changed since they were read, but ")
	}, "a broken file is told of")
	require.Contains(t, explained(), "holds no private key")
	require.NotContains(t, explained(), "SECRET")
	require.Equal(t, 2, server.Accepted(), "the old one stays in use")
	install("three")
	wiretest.Eventually(t, func() bool { return textOf(t, client, server.URL()) == "three" }, "it is whole again")
	require.NotContains(t, explained(), "changed")
}

func TestTLS_rootsAreReadAgainWithTheirFile(t *testing.T) {
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), c.NotBefore }
	one, two := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, one.Server(t), wiretest.Echo())
	expired := wiretest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{one.Issue(t, past, "127.0.0.1")}}, wiretest.Echo())
	path, ofEnv := rootsOf(t, one), rootsOf(t, one)
	t.Setenv("REQUESTS_CA_BUNDLE", ofEnv)
	byOption, byEnv := newSession(t, parley.WithRootCAs(path)), newSession(t)
	for _, c := range []*parley.Client{byOption, byEnv} {
		textOf(t, c, server.URL())
		_, err := c.Get(t.Context(), expired.URL())
		require.NotContains(t, err.Error(), "changed")
	}
	require.NoError(t, os.WriteFile(path, two.PEM(), 0o600))
	require.NoError(t, os.Remove(ofEnv))
	wiretest.Eventually(t, func() bool {
		_, err := byOption.Get(t.Context(), server.URL())
		return err != nil
	}, "whom the new roots do not know is refused")
	_, err := byOption.Get(t.Context(), server.URL())
	requireUntrusted(t, err)
	wiretest.Eventually(t, func() bool {
		textOf(t, byEnv, server.URL())
		_, err = byEnv.Get(t.Context(), expired.URL())
		requireRefused(t, err, "expired")
		return strings.Contains(err.Error(), "its files have changed since they were read, but ")
	}, "what may be the reason is told")
}
