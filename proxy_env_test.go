package parley_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// explainedProxy gives the proxy of a request to url and its source.
func explainedProxy(t testing.TB, c *parley.Client, url string, opts ...parley.RequestOption) (value, source, key string) {
	t.Helper()
	req, err := c.NewRequest("GET", url, opts...)
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	return e.Proxy.Value, string(e.Proxy.Source), e.PoolKey
}

func TestProxyEnv_chosenByVariables(t *testing.T) {
	for rule, c := range map[string]struct {
		env         map[string]string
		http, https string // the proxies of both schemes
	}{
		"nothing set":              {nil, "none", "none"},
		"one for each scheme":      {map[string]string{"HTTP_PROXY": "http://one.test", "HTTPS_PROXY": "https://two.test:1"}, "http://one.test:80 of HTTP_PROXY", "https://two.test:1 of HTTPS_PROXY"},
		"lower case":               {map[string]string{"http_proxy": "one.test:3128", "https_proxy": "socks5h://two.test"}, "http://one.test:3128 of http_proxy", "socks5h://two.test:1080 of https_proxy"},
		"lower case wins":          {map[string]string{"HTTP_PROXY": "http://upper.test", "http_proxy": "http://lower.test"}, "http://lower.test:80 of http_proxy", "none"},
		"empty values are none":    {map[string]string{"HTTP_PROXY": "", "https_proxy": " ", "ALL_PROXY": ""}, "none", "none"},
		"empty gives way":          {map[string]string{"http_proxy": "", "HTTP_PROXY": "http://upper.test"}, "http://upper.test:80 of HTTP_PROXY", "none"},
		"all stands in":            {map[string]string{"ALL_PROXY": "socks5://all.test", "HTTPS_PROXY": "http://two.test"}, "socks5://all.test:1080 of ALL_PROXY", "http://two.test:80 of HTTPS_PROXY"},
		"all in lower case":        {map[string]string{"all_proxy": "http://u:SECRET@all.test"}, "http://all.test:80 of all_proxy", "http://all.test:80 of all_proxy"},
		"none excludes everything": {map[string]string{"ALL_PROXY": "http://all.test", "NO_PROXY": "*"}, "none", "none"},
	} {
		t.Run(rule, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			client := newSession(t)
			byHTTP, _, _ := explainedProxy(t, client, "http://x.test/")
			byHTTPS, _, _ := explainedProxy(t, client, "https://x.test/")
			require.Equal(t, []string{c.http, c.https}, []string{byHTTP, byHTTPS})
			none, source, _ := explainedProxy(t, newSession(t, parley.WithEnv(false)), "http://x.test/")
			require.Equal(t, []string{"none", "default"}, []string{none, source})
		})
	}
}

func TestProxyEnv_explainNamesTheSource(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://u:SECRET@env.test")
	t.Setenv("NO_PROXY", "direct.test")
	client := newSession(t)
	session := newSession(t, parley.WithProxy("http://u:SECRET@session.test"))
	derived := derive(t, session, parley.WithoutProxy())
	byFunction := parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { panic("not to be called") })
	for _, c := range []struct {
		client             *parley.Client
		url                string
		opts               []parley.RequestOption
		value, source, key string
	}{
		{client, "http://a.test/", nil, "http://env.test:80 of HTTP_PROXY", "environment", "http://* via http://env.test:80"},
		{client, "http://direct.test/", nil, "none", "environment", "http://direct.test:80"},
		{client, "http://a.test/", []parley.RequestOption{parley.WithoutProxy()}, "none", "request", "http://a.test:80"},
		{session, "https://a.test/", nil, "http://session.test:80", "session", "https://a.test:443 via http://session.test:80"},
		{derived, "https://a.test/", nil, "none", "derived session", "https://a.test:443"},
		{session, "http://a.test/", []parley.RequestOption{parley.WithProxy("socks5://r.test")}, "socks5://r.test:1080", "request", "http://a.test:80 via socks5://r.test:1080"},
	} {
		value, source, key := explainedProxy(t, c.client, c.url, c.opts...)
		require.Equal(t, []string{c.value, c.source, c.key}, []string{value, source, key})
	}
	value, source, key := explainedProxy(t, client, "http://a.test/", byFunction)
	require.Contains(t, value, "chosen by ")
	require.Equal(t, "request", source)
	require.Contains(t, key, "via the proxy that the function chooses")
}

func TestProxyEnv_isReadOnceByNew(t *testing.T) {
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "user:secret")
	t.Setenv("ALL_PROXY", withLogin(p.Server, "http", "user:secret"))
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()))
	t.Setenv("ALL_PROXY", "http://[bad")
	require.Equal(t, "a.test/x", textOf(t, client, "http://a.test/x"))
	require.Equal(t, "a.test/x", textOf(t, derive(t, client), "https://a.test/x"))
	require.Equal(t, []string{"GET http://a.test/x", "CONNECT a.test:443"}, p.Asked())
	// What names no proxy of its own and is not the session's goes the direct way.
	server := wiretest.Serve(t, wiretest.Echo())
	req, err := parley.NewRequest("GET", server.URL())
	require.NoError(t, err)
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	resp, err := pool.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
}

func TestProxyEnv_formsOfWhatNeedsNoProxy(t *testing.T) {
	t.Setenv("ALL_PROXY", "socks5h://p.test")
	for _, c := range []struct {
		rules           string
		direct, proxied []string
	}{
		{"", nil, []string{"http://a.test/", "http://10.1.2.3/", "http://[2001:db8::1]/"}},
		{" , \t,,", nil, []string{"http://a.test/"}},
		{"*", []string{"http://a.test/", "https://10.1.2.3:81/", "http://[2001:db8::1]/"}, nil},
		{"b.test, *", []string{"http://a.test/"}, nil},
		{"a.test", []string{"http://a.test/", "https://a.test:8443/", "http://x.y.a.test/"}, []string{"http://ba.test/", "http://a.test.evil/", "http://test/"}},
		{"a.test.", []string{"http://a.test/", "http://a.test./"}, []string{"http://b.test/"}},
		{".a.test", []string{"http://x.a.test/"}, []string{"http://a.test/", "http://xa.test/"}},
		{"*.a.test", []string{"http://x.a.test/"}, []string{"http://a.test/", "http://xa.test/"}},
		{".a.test.", []string{"http://x.a.test/"}, []string{"http://a.test/"}},
		{"A.TEST", []string{"http://a.test/"}, nil},
		{"a.test:80", []string{"http://a.test/", "http://a.test:80/", "http://x.a.test/", "https://a.test:80/"}, []string{"https://a.test/", "http://a.test:81/"}},
		{"a.test.:80", []string{"http://a.test/"}, []string{"http://a.test:81/"}},
		{".a.test:443", []string{"https://x.a.test/"}, []string{"http://x.a.test/", "https://a.test/"}},
		{"*.a.test:443", []string{"https://x.a.test/"}, []string{"http://x.a.test/"}},
		{"10.1.2.3", []string{"http://10.1.2.3/", "https://10.1.2.3:81/", "http://[::ffff:10.1.2.3]/"}, []string{"http://10.1.2.4/", "http://10.1.2.3.test/"}},
		{"10.1.2.3:81", []string{"http://10.1.2.3:81/"}, []string{"http://10.1.2.3/"}},
		{"10.1.0.0/16", []string{"http://10.1.2.3/", "https://10.1.255.255:81/"}, []string{"http://10.2.0.0/", "http://a.test/"}},
		{"10.1.2.3/32 a.test\t192.168.0.0/16", []string{"http://10.1.2.3/", "http://a.test/", "http://192.168.7.7/"}, []string{"http://10.1.2.4/"}},
		{"2001:db8::1", []string{"http://[2001:db8::1]/", "http://[2001:db8:0:0::1]:81/"}, []string{"http://[2001:db8::2]/"}},
		{"[2001:db8::1]", []string{"http://[2001:db8::1]/"}, []string{"http://[2001:db8::2]/"}},
		{"[2001:db8::1]:81", []string{"http://[2001:db8::1]:81/"}, []string{"http://[2001:db8::1]/"}},
		{"2001:db8::/32", []string{"http://[2001:db8:ffff::1]/"}, []string{"http://[2001:db9::1]/"}},
		{"[2001:db8::]/32", []string{"http://[2001:db8:ffff::1]/"}, []string{"http://[2001:db9::1]/"}},
		{"::ffff:10.1.2.3", []string{"http://10.1.2.3/"}, []string{"http://10.1.2.4/"}},
		{"::ffff:10.1.0.0/112", []string{"http://10.1.2.3/", "http://[::ffff:10.1.2.3]/"}, []string{"http://10.2.2.3/"}},
		{"10.1.0.0/99, a.test", []string{"http://a.test/"}, []string{"http://10.1.0.0/"}},
	} {
		t.Run(c.rules, func(t *testing.T) {
			t.Setenv("NO_PROXY", c.rules)
			client := newSession(t)
			for _, url := range c.direct {
				value, _, _ := explainedProxy(t, client, url)
				require.Equal(t, "none", value, url)
			}
			for _, url := range c.proxied {
				value, _, _ := explainedProxy(t, client, url)
				require.Equal(t, "socks5h://p.test:1080 of ALL_PROXY", value, url)
			}
		})
	}
	t.Setenv("NO_PROXY", "a.test")
	t.Setenv("no_proxy", "b.test")
	value, _, _ := explainedProxy(t, newSession(t), "http://a.test/")
	require.NotEqual(t, "none", value, "lower case wins")
}
