package integration

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// nginxTLS starts nginx with testdata/nginx-tls.conf and gives a session that knows it
// as site.test, by http and https, with what else it needs for that.
func nginxTLS(t *testing.T, opts ...parley.ClientOption) (*parley.Client, *wiretest.Names) {
	t.Helper()
	authority := wiretest.NewAuthority(t)
	cert := authority.Certificate(t, "site.test")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	p := peer.Start(t, peer.Program{
		Command: "nginx",
		Package: "nginx",
		Args:    []string{"-e", "{{dir}}/error.log", "-p", "{{dir}}", "-c", "{{dir}}/nginx.conf"},
		Files: map[string]string{
			"nginx.conf": config(t, "nginx-tls.conf"),
			"cert.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
			"key.pem":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		},
	})
	names := wiretest.NewNames(map[string]string{"site.test:80": p.Addr("plain"), "site.test:443": p.Addr("tls"), "liar.test:443": p.Addr("tls")})
	return session(t, append([]parley.ClientOption{parley.WithDialer(names), parley.WithTLSConfig(authority.Trusted())}, opts...)...), names
}

func TestNginxWithTLS(t *testing.T) {
	c, names := nginxTLS(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 4, Hard: 4}))
	require.NoError(t, crowd(t, c, 20, 300, "https://site.test/hello", "hello"))
	resp, err := c.Get(t.Context(), "https://site.test/hello")
	require.NoError(t, err)
	require.Equal(t, "site.test", resp.TLS.ServerName)

	_, err = c.Get(t.Context(), "https://liar.test/hello")
	require.ErrorIs(t, err, parley.ErrTLS, "the certificate is for another name")
	stranger := session(t, parley.WithDialer(names))
	_, err = stranger.Get(t.Context(), "https://site.test/hello")
	require.ErrorIs(t, err, parley.ErrTLS, "the authority is not trusted")
}

func TestNginxBetweenHTTPAndHTTPS(t *testing.T) {
	c, _ := nginxTLS(t, parley.WithBaseURL("https://site.test"), parley.WithBasicAuth(user, password))
	show := func(resp *parley.Response, err error) string {
		t.Helper()
		text, err := parley.As[string](resp, err)
		require.NoError(t, err)
		return text
	}
	const login = "Basic QWxhZGRpbjpvcGVuOiBzZXNhbWU="
	require.Equal(t, "auth=["+login+"] cookie=[__Host-id=1; both=2]", show(c.Get(t.Context(), "cookies/set")))
	require.Equal(t, "auth=[] cookie=[both=2]", show(c.Get(t.Context(), "to-plain")), "readable to anybody on the way")
	require.Equal(t, "auth=[] cookie=[__Host-id=1; both=2]", show(c.Get(t.Context(), "http://site.test/to-tls")))
	_, err := c.Post(t.Context(), "body-to-plain", parley.WithText("tea"))
	require.ErrorIs(t, err, parley.ErrInsecureRedirect)
}
