package parley

import (
	"crypto/tls"
	"fmt"
	"net"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every field of the key tells connections apart. A field of a type that this test
// does not know fails it, so that a new one is not forgotten.
func TestS027_EveryFieldOfTheKeyCounts(t *testing.T) {
	t.Parallel()
	base := connKey{https: true, host: "a.test", port: "443", tls: &tls.Config{}, dialer: &dialerBox{&net.Dialer{}}, proxyTLS: &tls.Config{}}
	fields := reflect.TypeFor[connKey]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		t.Run(field.Name+" counts", func(t *testing.T) {
			require.False(t, base == changedKey(t, base, i), "a difference in %s goes unnoticed", field.Name)
		})
	}
	t.Run("text is compared byte for byte", func(t *testing.T) {
		upper := base
		upper.host = "A.test"
		require.False(t, base == upper)
	})
	t.Run("pointers count by identity, not by content", func(t *testing.T) {
		other := base
		other.tls = base.tls.Clone()
		require.False(t, base == other)
		other = base
		other.dialer = &dialerBox{base.dialer.Dialer}
		require.False(t, base == other)
	})
}

// Through a proxy the server is a part of the key wherever there is a tunnel to it.
func TestS027_KeyOfRequestThroughAProxy(t *testing.T) {
	t.Parallel()
	pool, err := NewPool(PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	keyOf := func(url, proxy string) connKey {
		req, err := NewRequest("GET", url, WithProxy(proxy))
		require.NoError(t, err)
		via, err := pool.routeOf(t.Context(), req)
		require.NoError(t, err)
		return pool.keyOf(req, via)
	}
	type way struct{ url, proxy string }
	for _, same := range [][2]way{
		{{"http://a.test/", "http://p.test"}, {"http://b.test:81/", "p.test:80"}},
		{{"http://a.test/", "https://u:s@p.test"}, {"http://b.test/", "https://u:s@P.test:443"}},
		{{"https://a.test/", "http://p.test"}, {"https://a.test:443/", "http://p.test"}},
		{{"http://a.test/", "socks5://p.test"}, {"http://a.test/x", "socks5://p.test:1080"}},
	} {
		require.Equal(t, keyOf(same[0].url, same[0].proxy), keyOf(same[1].url, same[1].proxy), "%v", same)
	}
	for _, different := range [][2]way{
		{{"https://a.test/", "http://p.test"}, {"https://b.test/", "http://p.test"}},
		{{"http://a.test/", "socks5://p.test"}, {"http://b.test/", "socks5://p.test"}},
		{{"http://a.test/", "socks5://p.test"}, {"http://a.test/", "socks5h://p.test"}},
		{{"http://a.test/", "http://p.test"}, {"http://a.test/", "https://p.test:80"}},
		{{"http://a.test/", "http://p.test"}, {"https://a.test/", "http://p.test"}},
		{{"http://a.test/", "http://p.test"}, {"http://a.test/", "http://u:s@p.test"}},
		{{"http://a.test/", "http://u:s@p.test"}, {"http://a.test/", "http://u:S@p.test"}},
		{{"http://a.test/", "socks5://u:s@p.test"}, {"http://a.test/", "socks5://u:S@p.test"}},
		{{"http://a.test/", "http://u:@p.test"}, {"http://a.test/", "http://p.test"}},
	} {
		require.NotEqual(t, keyOf(different[0].url, different[0].proxy), keyOf(different[1].url, different[1].proxy), "%v", different)
	}
}

// A key prints without what is secret in it, also for verbs that do not fit.
func TestS198_KeyPrintsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://user:SECRET@p.test", "socks5://user:SECRET@p.test"} {
		via, err := parseRoute(url)
		require.NoError(t, err)
		key := connKey{host: "a.test", proxy: via}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
			text := fmt.Sprintf(verb, key) + fmt.Sprintf(verb, &key) + fmt.Sprintf(verb, via.hop())
			require.NotContains(t, text, "SECRET")
			require.NotContains(t, text, "dXNlcj")
		}
	}
}

// changedKey gives key with another value in field i.
func changedKey(t *testing.T, key connKey, i int) connKey {
	switch field := reflect.TypeFor[connKey]().Field(i); field.Name {
	case "https":
		key.https = !key.https
	case "host":
		key.host += "x"
	case "port":
		key.port += "1"
	case "tls":
		key.tls = &tls.Config{}
	case "proxy":
		var err error
		key.proxy, err = parseRoute("http://p.test")
		require.NoError(t, err)
	case "proxyTLS":
		key.proxyTLS = &tls.Config{}
	case "dialer":
		key.dialer = &dialerBox{key.dialer.Dialer}
	case "way":
		key.way = key.way.with(func(d *dialling) { d.socket = "/x" })
	case "proto":
		key.proto++
	default:
		t.Fatalf("no other value known for the field %s: add one here, and fill the field in keyOf", field.Name)
	}
	return key
}

// The key of a request follows from its URL in one form, whatever was written.
func TestS027_KeyOfRequest(t *testing.T) {
	t.Parallel()
	pool, err := NewPool(PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	keyOf := func(url string) connKey {
		req, err := NewRequest("GET", url)
		require.NoError(t, err)
		return pool.keyOf(req, route{})
	}
	same := [][2]string{
		{"http://a.test/", "http://a.test:80/x?y"},
		{"https://a.test/", "https://A.TEST.:443/"},
		{"http://u:p@a.test/", "http://a.test/"}, // credentials are the request's, not the connection's
		{"http://[::1]/", "http://[0:0:0:0:0:0:0:1]:80/"},
	}
	for _, urls := range same {
		require.Equal(t, keyOf(urls[0]), keyOf(urls[1]), "%s and %s", urls[0], urls[1])
	}
	different := [][2]string{
		{"http://a.test/", "https://a.test/"},
		{"http://a.test:443/", "https://a.test:443/"},
		{"http://a.test/", "http://b.test/"},
		{"http://a.test/", "http://a.test:81/"},
		{"http://[fe80::1%25eth0]/", "http://[fe80::1%25eth1]/"},
		{"http://[fe80::1%25eth0]/", "http://[fe80::1]/"},
		{"http://[::1]/", "http://[::ffff:127.0.0.1]/"},
	}
	for _, urls := range different {
		require.NotEqual(t, keyOf(urls[0]), keyOf(urls[1]), "%s and %s", urls[0], urls[1])
	}
}
