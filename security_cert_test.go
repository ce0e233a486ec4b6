package parley_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// pkixExtension is the extension of alternative names with the value given.
func pkixExtension(value []byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}
}

func TestS187_ClientCertificateIsForItsOrigins(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	a, b := mutual(t, ca, "a.test"), mutual(t, ca, "b.test", "c.test")
	away := ca.Server(t, "away.test")
	away.ClientAuth = tls.RequestClientCert
	seen := make(chan string, 100)
	redirecting := wiretest.ServeTLS(t, away, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		who := "nobody"
		if certs := c.TLS.PeerCertificates; len(certs) > 0 {
			who = certs[0].Subject.CommonName
		}
		seen <- who
		return "HTTP/1.1 307 Away\r\nLocation: https://" + r.URL.Path[1:] + "/\r\nContent-Length: 0\r\n\r\n"
	}))
	names := wiretest.NewNames(map[string]string{
		"a.test:443": a.Addr(), "b.test:443": b.Addr(), "c.test:443": b.Addr(), "away.test:443": redirecting.Addr(),
	})
	cert, key := wiretest.PairPEM(t, ca.Certificate(t, "client"))
	ofFile := parley.WithClientCert(fileOf(t, "pair.pem", cert, key), "")
	ofConfig := ca.Trusted()
	ofConfig.Certificates = []tls.Certificate{ca.Certificate(t, "client")}
	byCallback := ca.Trusted()
	byCallback.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &ofConfig.Certificates[0], nil
	}
	trusting := parley.WithTLSConfig(ca.Trusted())
	byFunction := parley.WithClientCertFunc(byCallback.GetClientCertificate)
	for way, opt := range map[string]parley.Option{
		"option": parley.WithOptions(trusting, ofFile), "config": parley.WithTLSConfig(ofConfig), "callback": parley.WithTLSConfig(byCallback),
		"memory": parley.WithOptions(trusting, parley.WithClientCertificate(ofConfig.Certificates[0])), "PEM": parley.WithOptions(trusting, parley.WithClientCertPEM(cert, key)),
		"function": parley.WithOptions(trusting, byFunction),
	} {
		t.Run(way, func(t *testing.T) {
			based := newSession(t, parley.WithDialer(names), parley.WithBaseURL("https://a.test"), parley.WithTrustedOrigins("https://c.test"), opt)
			require.Equal(t, "client", textOf(t, based, "/"))
			require.Equal(t, "client", textOf(t, based, "https://c.test/"), "a trusted origin")
			require.Equal(t, "nobody", textOf(t, based, "https://b.test/"), "another origin")
			require.Equal(t, "client", textOf(t, based, "https://b.test/", ofFile), "the request's word")
			require.Equal(t, "client", textOf(t, based, "https://b.test/", parley.WithTLSConfig(ofConfig)), "the request's word")
			require.Equal(t, "nobody", textOf(t, based, "https://b.test/"))
			require.Equal(t, "client", textOf(t, based, "/"))
			prepared, err := parley.NewRequest("GET", "https://b.test/")
			require.NoError(t, err)
			require.Equal(t, "nobody", sentText(t, based, prepared))
			prepared, err = parley.NewRequest("GET", "https://b.test/", parley.WithTLSConfig(byCallback))
			require.NoError(t, err)
			require.Equal(t, "client", sentText(t, based, prepared))

			free := newSession(t, parley.WithDialer(names), opt)
			require.Equal(t, "client", textOf(t, free, "https://a.test/"), "without a base URL it is for whatever is asked for")
			require.Equal(t, "client", textOf(t, free, "https://b.test/"))
			require.Equal(t, "nobody", textOf(t, free, "https://away.test/b.test"), "but not for where a redirect leads")
			require.Equal(t, "client", <-seen)

			home := newSession(t, parley.WithDialer(names), parley.WithBaseURL("https://away.test"), parley.WithTrustedOrigins("https://c.test"), opt)
			require.Equal(t, "nobody", textOf(t, home, "/b.test"))
			require.Equal(t, "client", <-seen)
			require.Equal(t, "client", textOf(t, home, "/c.test"), "a trusted origin is none to leave for")
			require.Equal(t, "client", <-seen)
			plain := newSession(t, parley.WithDialer(names), trusting)
			require.Equal(t, "nobody", textOf(t, plain, "https://away.test/b.test", opt))
			require.Equal(t, "client", <-seen)
		})
	}
}

// sentText sends a prepared request and gives the body.
func sentText(t testing.TB, c *parley.Client, req *parley.Request) string {
	t.Helper()
	resp, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	return text
}

func TestS021_VerificationSwitchedOffMarksNothing(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	client := newSession(t)
	for range 2 {
		require.Equal(t, "/open", textOf(t, client, server.URL()+"/open", parley.WithVerify(false)))
		_, err := client.Get(t.Context(), server.URL()+"/refused")
		requireUntrusted(t, err)
		_, err = derive(t, client, parley.WithRootCAs(rootsOf(t, wiretest.NewAuthority(t)))).Get(t.Context(), server.URL()+"/refused")
		requireUntrusted(t, err)
	}
	require.NotContains(t, server.Text(), "refused")
	require.Contains(t, server.Received()[0], "/open HTTP/1.1\r\n", "the unverified connection serves its like")
}
