package parley_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestProxyFor_theMostSpecificPrefixCounts(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://env.test")
	t.Setenv("NO_PROXY", "b.test, direct.test")
	rules := []parley.ClientOption{
		parley.WithProxyFor("http://", "http://clear.test"),
		parley.WithProxyFor("all://*.corp.test:*", "socks5h://u:SECRET@jump.test"),
		parley.WithoutProxyFor("https://near.corp.test"),
		parley.WithProxyFor("https://a.test/v1", "http://path.test"),
		parley.WithProxyFor("https://b.test", "http://old.test"),
		parley.WithProxyFor("HTTPS://B.test:443", "http://new.test"),
	}
	session := newSession(t, rules...)
	based := newSession(t, append(rules, parley.WithProxyFor("https://", "http://all.test"))...)
	direct := newSession(t, append(rules, parley.WithoutProxy())...)
	under := newSession(t, append([]parley.ClientOption{parley.WithProxy("http://under.test")}, rules...)...)
	derived := derive(t, session, parley.WithProxyFor("https://c.test", "http://derived.test"))
	blind := newSession(t, append(rules, parley.WithEnv(false))...)
	for _, c := range []struct {
		client        *parley.Client
		url           string
		opts          []parley.RequestOption
		value, source string
	}{
		{session, "http://x.test/", nil, "http://clear.test:80 for http://", "session"},
		{session, "https://x.corp.test:8443/", nil, "socks5h://jump.test:1080 for all://*.corp.test:*", "session"},
		{session, "http://x.corp.test/", nil, "socks5h://jump.test:1080 for all://*.corp.test:*", "session"},
		{session, "https://near.corp.test/", nil, "none for https://near.corp.test", "session"},
		{session, "https://near.corp.test:444/", nil, "socks5h://jump.test:1080 for all://*.corp.test:*", "session"},
		{session, "https://a.test/v1/x", nil, "http://path.test:80 for https://a.test/v1", "session"},
		{session, "https://a.test/v10", nil, "http://env.test:80 of HTTPS_PROXY", "environment"},
		{session, "https://b.test/", nil, "http://new.test:80 for HTTPS://B.test:443", "session"},
		{session, "https://direct.test/", nil, "none", "environment"},
		{based, "https://x.test/", nil, "http://all.test:80 for https://", "session"},
		{direct, "https://b.test/", nil, "none", "session"},
		{under, "https://x.test/", nil, "http://under.test:80", "session"},
		{under, "https://b.test/", nil, "http://new.test:80 for HTTPS://B.test:443", "session"},
		{derived, "https://c.test/", nil, "http://derived.test:80 for https://c.test", "derived session"},
		{derived, "https://b.test/", nil, "http://new.test:80 for HTTPS://B.test:443", "session"},
		{blind, "https://x.test/", nil, "none", "default"},
		{session, "https://b.test/", []parley.RequestOption{parley.WithoutProxy()}, "none", "request"},
		{session, "https://b.test/", []parley.RequestOption{parley.WithProxyFor("https://b.test", "http://own.test")}, "http://own.test:80 for https://b.test", "request"},
		{session, "http://x.test/", []parley.RequestOption{parley.WithProxyFor("https://b.test", "http://own.test")}, "http://clear.test:80 for http://", "session"},
	} {
		value, source, key := explainedProxy(t, c.client, c.url, c.opts...)
		require.Equal(t, []string{c.value, c.source}, []string{value, source}, c.url)
		requireNoSecret(t, value+key+fmt.Sprintf("%v%+v", rules, session), "SECRET")
	}
}

func TestProxyFor_malformedOnesAreErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix, url string
		kind        error
	}{
		{"a.test", "http://p.test", parley.ErrInvalidURL},
		{"ftp://a.test", "http://p.test", parley.ErrInvalidURL},
		{"http://u:SECRET@a.test", "http://p.test", parley.ErrInvalidURL},
		{"http://a.test?q", "http://p.test", parley.ErrInvalidURL},
		{"http://", "", parley.ErrInvalidURL},
		{"http://", "ftp://u:SECRET@p.test", parley.ErrUnsupportedProtocol},
	} {
		_, err := parley.New(parley.WithProxyFor(c.prefix, c.url))
		require.ErrorIs(t, err, c.kind, "%q %q", c.prefix, c.url)
		require.ErrorContains(t, err, "WithProxyFor")
		require.NotContains(t, err.Error(), "SECRET")
	}
	req, err := parley.NewRequest("GET", "http://a.test", parley.WithProxyFor("http://", "http://p.test"))
	require.NoError(t, err)
	_, err = req.Proxy.For(nil)
	require.Error(t, err)
	u, err := req.Proxy.For(req)
	require.NoError(t, err)
	require.Equal(t, "http://p.test:80", u.String())
	_, err = parley.New(parley.WithoutProxyFor("a.test"))
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.ErrorContains(t, err, "WithoutProxyFor")
}

// Each hop of a redirect goes by its own way.
func TestProxyFor_redirectsPassBetweenProxies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: https://b.test/there\r\nContent-Length: 0\r\n\r\n"
	}))
	w.names.Lead("a.test:80", away.Addr())
	one, two := wiretest.NewProxy(t, w.names, "one:SECRET1"), wiretest.NewProxy(t, w.names, "two:SECRET2")
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()),
		parley.WithProxyFor("http://", withLogin(one.Server, "http", "one:SECRET1")),
		parley.WithProxyFor("all://b.test", withLogin(two.Server, "http", "two:SECRET2")))
	require.Equal(t, "b.test/there", textOf(t, client, "http://a.test/"))
	require.Equal(t, []string{"GET http://a.test/"}, one.Asked())
	require.Equal(t, []string{"CONNECT b.test:443"}, two.Asked())
	requireNoSecret(t, one.Text(), "two:SECRET2")
	requireNoSecret(t, two.Text(), "one:SECRET1")
}

// A transport that makes its connections by itself refuses what it cannot honour only
// where it would count.
func TestProxyFor_throughForeignTransports(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	client := newSession(t, parley.WithTransport(parley.FromRoundTripper(nil)), parley.WithProxyFor("https://", "http://p.test"))
	require.Equal(t, "/", textOf(t, client, server.URL()))
	_, err := client.Get(t.Context(), "https://a.test/")
	require.ErrorContains(t, err, "a proxy cannot be had")
	path := newSocket(t)
	wiretest.ServeUnix(t, path, wiretest.Echo())
	client = newSession(t, parley.WithUnixSocket(path), parley.WithProxyFor("https://", "http://p.test"))
	require.Equal(t, "/", textOf(t, client, "http://a.test/"))
	_, err = client.Get(t.Context(), "https://a.test/")
	require.ErrorContains(t, err, "no proxy leads to a Unix socket")
}
