package parley_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// newSocket gives the path for a socket of the test's own.
func newSocket(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("paths of sockets are another matter there")
	}
	return filepath.Join(t.TempDir(), "s")
}

// telling answers with name, Host and path of each request.
func telling(name string) func(*wiretest.Conn) {
	return wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(name + " " + r.Host + " " + r.URL.Path)
	})
}

// socketURL writes the URL of a path at a socket.
func socketURL(socket, path string) string {
	return "http+unix://" + url.PathEscape(socket) + path
}

func TestWithUnixSocket_sendsThere(t *testing.T) {
	t.Parallel()
	path := newSocket(t)
	server := wiretest.ServeUnix(t, path, telling("socket"))
	client := newSession(t, parley.WithUnixSocket(path), parley.WithBaseURL("http://api.test/v1"))
	require.Equal(t, "socket api.test /v1/x", textOf(t, client, "x"))
	require.Equal(t, "socket api.test:81 /", textOf(t, client, "http://api.test:81/"))
	require.Equal(t, "socket api.test /v1/y", textOf(t, client, "y"))
	require.Equal(t, 2, server.Accepted())
	require.Equal(t, "http://api.test:80 over "+path, client.Stats().Origins[0].Origin)

	plain := newSession(t)
	require.Equal(t, "socket localhost /", textOf(t, plain, "http://localhost/", parley.WithUnixSocket(path)))
	require.Equal(t, "socket localhost /v1", textOf(t, plain, socketURL(path, "/v1")), "the URL can say it too")
	require.Equal(t, 3, server.Accepted(), "both ways mean the same connections")
	base := newSession(t, parley.WithBaseURL(socketURL(path, "/base")))
	require.Equal(t, "socket localhost /base/z", textOf(t, base, "z"))
	require.Contains(t, base.String(), socketURL(path, "/base"))

	_, err := plain.Get(t.Context(), socketURL(path+"x", "/"))
	require.ErrorIs(t, err, parley.ErrConnect)
	require.ErrorIs(t, err, syscall.ENOENT)
	requireNotSent(t, err)
}

// requireNotSent checks that an error is one of a request that was not sent.
func requireNotSent(t testing.TB, err error) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.NotSent, e.Sent)
}

func TestWithUnixSocket_andProxies(t *testing.T) {
	path := newSocket(t)
	wiretest.ServeUnix(t, path, telling("socket"))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	client := newSession(t, parley.WithUnixSocket(path))
	require.Equal(t, "socket a.test /", textOf(t, client, "http://a.test/"), "the environment's does not count")
	require.Equal(t, "socket localhost /", textOf(t, newSession(t), socketURL(path, "/")))
	for _, opt := range []parley.RequestOption{
		parley.WithProxy("http://127.0.0.1:1"),
		parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }),
	} {
		_, err := client.Get(t.Context(), "http://a.test/", opt)
		require.ErrorContains(t, err, "add WithoutProxy")
		requireNotSent(t, err)
	}
	require.Equal(t, "socket a.test /", textOf(t, client, "http://a.test/", parley.WithoutProxy()))
}

// A dialer or a socket of one request is no way for a server to reach others.
func TestS134_OwnDialersAndSocketsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	path := newSocket(t)
	to := map[string]string{"/other": "http://b.test/x", "/same": "/x", "/socket": socketURL(path, "/x"), "/host": "http://localhost/x"}
	redirecting := wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if location := to[r.URL.Path]; location != "" {
			return "HTTP/1.1 302 Found\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(r.Host + r.URL.Path)
	})
	server := wiretest.Serve(t, redirecting)
	wiretest.ServeUnix(t, path, redirecting)
	names := wiretest.NewNames(map[string]string{"a.test:80": server.Addr(), "b.test:80": server.Addr()})
	for name, own := range map[string]parley.Option{"dialer": parley.WithDialer(names), "socket": parley.WithUnixSocket(path)} {
		plain := newSession(t)
		require.Equal(t, "a.test/x", textOf(t, plain, "http://a.test/same", own), name)
		_, err := plain.Get(t.Context(), "http://a.test/other", own)
		require.ErrorIs(t, err, parley.ErrRedirectRefused, name)
		require.Equal(t, 302, requireRedirectError(t, err).Response.StatusCode)
		first, err := plain.Get(t.Context(), "http://a.test/other", own, parley.WithFollowRedirects(false))
		require.NoError(t, err)
		_, err = first.Next()
		require.ErrorIs(t, err, parley.ErrRedirectRefused)
		require.Equal(t, "b.test/x", textOf(t, newSession(t, own), "http://a.test/other"), "a session's is for all it sends")
	}
	require.NotContains(t, names.Asked()[:2], "b.test:80")

	client := newSession(t, parley.WithDialer(&net.Dialer{}), parley.WithResolve("a.test:80", server.Addr()))
	for _, from := range []string{"http://a.test/socket", socketURL(path, "/socket")} {
		_, err := client.Get(t.Context(), from)
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
		requireRedirectError(t, err)
	}
	require.Equal(t, "localhost/x", textOf(t, client, socketURL(path, "/same")))
}

// A link leads to a socket only where it is relative to it.
func TestS134_LinksLeadToNoSocket(t *testing.T) {
	t.Parallel()
	path := newSocket(t)
	other := newSocket(t)
	wiretest.ServeUnix(t, path, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		next := map[string]string{"/1": "/2", "/2": socketURL(other, "/x")}[r.URL.Path]
		return "HTTP/1.1 200 OK\r\nLink: <" + next + ">; rel=\"next\"\r\nContent-Length: 0\r\n\r\n"
	}))
	reached := wiretest.ServeUnix(t, other, telling("other"))
	var pages []string
	for resp, err := range newSession(t).Pages(t.Context(), socketURL(path, "/1")) {
		if err != nil {
			require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
			break
		}
		pages = append(pages, resp.Request.URL.Path)
	}
	require.Equal(t, []string{"/1", "/2"}, pages)
	require.Zero(t, reached.Accepted())
}

func TestWithResolve_dialsFixedAddresses(t *testing.T) {
	t.Parallel()
	one, two := wiretest.Serve(t, telling("one")), wiretest.Serve(t, telling("two"))
	portOne := portOf(t, one.Addr())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := l.Addr().String()
	require.NoError(t, l.Close())
	client := newSession(t,
		parley.WithResolve("a.test:80", one.Addr()),
		parley.WithResolve("A.TEST.:*", two.Addr()),
		parley.WithResolve("b.test:"+portOne, "127.0.0.1"),
		parley.WithResolve("c.test:80", dead, one.Addr()),
		parley.WithResolve("[2001:db8::1]:80", one.Addr()),
	)
	for url, want := range map[string]string{
		"http://a.test/":                 "one a.test /",
		"http://a.test:81/":              "two a.test:81 /",
		"http://b.test:" + portOne + "/": "one b.test:" + portOne + " /",
		"http://c.test/":                 "one c.test /",
		"http://[2001:db8::1]/":          "one [2001:db8::1] /",
	} {
		require.Equal(t, want, textOf(t, client, url))
	}
	require.Equal(t, "two a.test /", textOf(t, client, "http://a.test/", parley.WithResolve("a.test:80", two.Addr())), "the request's word wins")
	require.Equal(t, "one a.test /", textOf(t, client, "http://a.test/"))
	accepted := one.Accepted()
	for range 2 {
		require.Equal(t, "one d.test /", textOf(t, client, "http://d.test/", parley.WithResolve("d.test:80", one.Addr())))
	}
	require.Equal(t, accepted+1, one.Accepted(), "what is said in the same words shares connections")

	names := wiretest.NewNames(map[string]string{"192.0.2.1:80": two.Addr()})
	own := newSession(t, parley.WithDialer(names), parley.WithResolve("a.test:80", "192.0.2.1"))
	require.Equal(t, "two a.test /", textOf(t, own, "http://a.test/"), "also with a dialer of the caller's")
}

func portOf(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return port
}

func TestDiallingOptions_refuseWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]parley.ClientOption{
		"no dialer":              parley.WithDialer(nil),
		"no socket":              parley.WithUnixSocket(""),
		"NUL":                    parley.WithUnixSocket("/a\x00b"),
		"no resolver":            parley.WithResolver(nil),
		"no guard":               parley.WithDialGuard(nil),
		"local name":             parley.WithLocalAddr("localhost"),
		"local port":             parley.WithLocalAddr("127.0.0.1:80"),
		"nothing to resolve":     parley.WithResolve("", "127.0.0.1"),
		"no port":                parley.WithResolve("a.test", "127.0.0.1"),
		"port no number":         parley.WithResolve("a.test:http", "127.0.0.1"),
		"port too large":         parley.WithResolve("a.test:65536", "127.0.0.1"),
		"host no name":           parley.WithResolve("a b:80", "127.0.0.1"),
		"no address":             parley.WithResolve("a.test:80"),
		"name for address":       parley.WithResolve("a.test:80", "b.test"),
		"a zone of two words":    parley.WithResolve("a.test:80", "fe80::1%a b"),
		"socket, own dialer":     parley.WithOptions(parley.WithDialer(wiretest.NewNames(nil)), parley.WithUnixSocket("/x")),
		"guard, own dialer":      parley.WithOptions(parley.WithDialGuard(parley.PublicAddressesOnly()), parley.WithDialer(wiretest.NewNames(nil))),
		"local addr, own dialer": parley.WithOptions(parley.WithDialer(wiretest.NewNames(nil)), parley.WithLocalAddr("127.0.0.1")),
	} {
		_, err := parley.New(opt)
		require.Error(t, err, name)
		if strings.HasSuffix(name, "own dialer") {
			require.ErrorIs(t, err, errors.ErrUnsupported, name)
			require.ErrorContains(t, err, "use a *net.Dialer")
		}
	}
	client := newSession(t, parley.WithDialer(wiretest.NewNames(nil)))
	_, err := client.Get(t.Context(), "http://a.test/", parley.WithDialGuard(parley.PublicAddressesOnly()))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	requireNotSent(t, err)
	_, err = client.With(parley.WithLocalAddr("127.0.0.1"))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	pool, err := parley.NewPool(parley.PoolConfig{Dialer: wiretest.NewNames(nil)})
	require.NoError(t, err)
	defer pool.Close()
	_, err = parley.New(parley.WithTransport(pool), parley.WithLocalAddr("127.0.0.1"))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestWithResolver_looksNamesUp(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, telling("server"))
	port := portOf(t, server.Addr())
	r := newResolver(func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "a.test" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return always("::1", "::ffff:127.0.0.1")(nil, "") // nobody listens at the first
	})
	for name, opts := range map[string][]parley.ClientOption{
		"the default dialer": nil,
		"one of the caller's": {parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}))},
		"with a cache": {parley.WithResolver(parley.CachedResolver(r, 0))},
	} {
		client := newSession(t, append([]parley.ClientOption{parley.WithResolver(r)}, opts...)...)
		resp, err := client.Get(t.Context(), "http://a.test:"+port+"/")
		require.NoError(t, err, name)
		require.Equal(t, server.Addr(), resp.Timing().RemoteAddr.String())
		require.Equal(t, "server 127.0.0.1:"+port+" /", textOf(t, client, server.URL()), "an address is not looked up")
		_, err = client.Get(t.Context(), "http://b.test/")
		require.ErrorIs(t, err, parley.ErrConnect)
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)
		requireNotSent(t, err)
	}
	require.Zero(t, r.count("127.0.0.1"))
}

// A *net.Resolver is left to the dialer, which knows best what to do with it.
func TestWithResolver_ofTheSystem(t *testing.T) {
	t.Parallel()
	refused := errors.New("asked the name server")
	r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
	for _, d := range []parley.Dialer{&net.Dialer{}, parley.DialerFunc(new(net.Dialer).DialContext)} {
		_, err := newSession(t, parley.WithResolver(r), parley.WithDialer(d)).Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, parley.ErrConnect)
		require.ErrorContains(t, err, refused.Error())
	}
}

func TestDialling_throughProxies(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, telling("server"))
	to := wiretest.NewNames(map[string]string{"a.test:80": server.Addr(), "192.0.2.1:80": server.Addr(), "192.0.2.2:80": server.Addr()})
	proxy := wiretest.NewProxy(t, to, "")
	r := newResolver(always("192.0.2.1"))
	client := newSession(t, parley.WithResolver(r), parley.WithResolve("proxy.test:1", proxy.Addr()), parley.WithResolve("b.test:80", "192.0.2.2"))
	require.Equal(t, "server a.test /", textOf(t, client, "http://a.test/", parley.WithProxy("http://proxy.test:1")))
	require.Equal(t, "server a.test /", textOf(t, client, "http://a.test/", parley.WithProxy("socks5h://proxy.test:1")))
	require.Zero(t, r.count("a.test"), "the proxy resolves it")
	require.Equal(t, "server a.test /", textOf(t, client, "http://a.test/", parley.WithProxy("socks5://proxy.test:1")))
	require.Equal(t, 1, r.count("a.test"))
	require.Equal(t, "server b.test /", textOf(t, client, "http://b.test/", parley.WithProxy("socks5://proxy.test:1")))
	require.Equal(t, []string{"GET http://a.test/", "SOCKS a.test:80", "SOCKS 192.0.2.1:80", "SOCKS 192.0.2.2:80"}, proxy.Asked())
}

func TestExplain_dialling(t *testing.T) {
	t.Parallel()
	session := newSession(t, parley.WithLocalAddr("127.0.0.1"), parley.WithDialGuard(parley.PublicAddressesOnly()),
		parley.WithResolve("a.test:443", "127.0.0.1:8443", "::1"), parley.WithDialer(&net.Dialer{}))
	derived := derive(t, session, parley.WithResolver(parley.CachedResolver(nil, 0)))
	req, err := derived.NewRequest("GET", "http://a.test/", parley.WithUnixSocket("/run/x"), parley.WithResolve("b.test:*", "192.0.2.1"))
	require.NoError(t, err)
	e, err := derived.Explain(req)
	require.NoError(t, err)
	require.Equal(t, []parley.Setting{
		{Name: "Dialer", Value: "*net.Dialer", Source: parley.SourceSession},
		{Name: "UnixSocket", Value: "/run/x", Source: parley.SourceRequest},
		{Name: "Resolver", Value: "*parley.ResolverCache", Source: parley.SourceDerived},
		{Name: "Resolve", Value: "a.test:443 to 127.0.0.1:8443, ::1", Source: parley.SourceSession},
		{Name: "Resolve", Value: "b.test:* to 192.0.2.1", Source: parley.SourceRequest},
		{Name: "LocalAddr", Value: "127.0.0.1", Source: parley.SourceSession},
		{Name: "DialGuard", Value: "parley.publicOnly", Source: parley.SourceSession},
	}, e.Dialling)
	require.Equal(t, "http://a.test:80 over /run/x from 127.0.0.1", e.PoolKey)
	require.Contains(t, e.String(), "UnixSocket: /run/x (request)")
	plain := newSession(t)
	if req, err = plain.NewRequest("GET", "http+unix://%2Frun%2Fx/"); err == nil {
		e, err = plain.Explain(req)
	}
	require.NoError(t, err)
	require.Equal(t, []parley.Setting{{Name: "UnixSocket", Value: "/run/x", Source: parley.SourceRequest}}, e.Dialling)
	require.Equal(t, "localhost", e.Headers[0].Value)
}

func TestDialling_throughTransportsThatDoNotDial(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]parley.RequestOption{
		"WithUnixSocket": parley.WithUnixSocket("/x"), "WithResolver": parley.WithResolver(&net.Resolver{}),
		"WithResolve": parley.WithResolve("a.test:80", "127.0.0.1"), "WithLocalAddr": parley.WithLocalAddr("127.0.0.1"),
		"WithDialGuard": parley.WithDialGuard(parley.PublicAddressesOnly()), "WithDialer": parley.WithDialer(&net.Dialer{}),
	} {
		client := newSession(t, parley.WithTransport(parley.FromRoundTripper(http.DefaultTransport)))
		_, err := client.Get(t.Context(), "http://a.test/", opt)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.ErrorContains(t, err, name)
	}
	server := wiretest.Serve(t, wiretest.Echo())
	client := newSession(t, parley.WithTransport(parley.FromRoundTripper(nil)), parley.WithResolve("a.test:80", "127.0.0.1"))
	require.Equal(t, "/", textOf(t, client, server.URL()), "what is said of other hosts does not matter")
}
