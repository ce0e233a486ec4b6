package parley_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Whatever is said of dialling tells connections apart, over one pool.
func TestS029_DiallingSeparatesConnections(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		return wiretest.OK(host)
	}))
	target := "http://a.test:" + portOf(t, server.Addr()) + "/"
	here := parley.WithResolver(newResolver(always("127.0.0.1")))
	allow := func(context.Context, string, netip.AddrPort) error { return nil }
	ways := map[string][]parley.ClientOption{
		"one resolver":        {here},
		"another resolver":    {parley.WithResolver(newResolver(always("127.0.0.1")))},
		"a fixed address":     {parley.WithResolve("a.test:*", "127.0.0.1")},
		"other fixed address": {parley.WithResolve("a.test:*", server.Addr())},
		"a guard":             {here, parley.WithDialGuard(allow)},
		"another guard":       {here, parley.WithDialGuard(allow)},
	}
	if runtime.GOOS == "linux" { // which has all of 127.0.0.0/8 on its loopback
		ways["from 127.0.0.2"] = []parley.ClientOption{here, parley.WithLocalAddr("127.0.0.2")}
		ways["from 127.0.0.3"] = []parley.ClientOption{here, parley.WithLocalAddr("127.0.0.3")}
	}
	if runtime.GOOS != "windows" {
		for _, name := range []string{"one socket", "another socket"} {
			path := newSocket(t)
			wiretest.ServeUnix(t, path, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK(name) }))
			ways[name] = []parley.ClientOption{parley.WithUnixSocket(path)}
		}
	}
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	sessions := make(map[string]*parley.Client)
	for name, opts := range ways {
		sessions[name] = newSession(t, append([]parley.ClientOption{parley.WithTransport(pool)}, opts...)...)
	}
	for range 2 {
		for name, session := range sessions {
			got := textOf(t, session, target)
			switch address, from := strings.CutPrefix(name, "from "); {
			case from:
				require.Equal(t, address, got)
			case strings.HasSuffix(name, "socket"):
				require.Equal(t, name, got)
			default:
				require.Equal(t, "127.0.0.1", got)
			}
		}
	}
	require.EqualValues(t, len(ways), pool.Stats().Dials, "each its own, used again")
}

// publicOnly makes a session that may only go to public addresses and knows names by r.
func publicOnly(t testing.TB, r parley.Resolver, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	return newSession(t, append([]parley.ClientOption{
		parley.WithEnv(false), parley.WithDialGuard(parley.PublicAddressesOnly()), parley.WithResolver(r),
	}, opts...)...)
}

// requireAddressRefused checks that nothing was connected to.
func requireAddressRefused(t testing.TB, err error, what string) {
	t.Helper()
	require.ErrorIs(t, err, parley.ErrAddressRefused, what)
	require.ErrorIs(t, err, parley.ErrConnect, what)
	requireNotSent(t, err)
}

func TestS132_AddressesThatAreNotPublicAreRefused(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	port := portOf(t, server.Addr())
	client := publicOnly(t, &net.Resolver{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::]", "[fe80::1%25lo]", "169.254.169.254", "100.64.0.1",
	} {
		for _, r := range []parley.Option{parley.WithResolver(&net.Resolver{}), parley.WithResolver(newResolver(always("127.0.0.1")))} {
			_, err := client.Get(t.Context(), "http://"+host+":"+port+"/", r)
			requireAddressRefused(t, err, host)
		}
	}
	_, err := client.Get(t.Context(), "http://a.test:80/", parley.WithResolve("a.test:80", server.Addr()))
	requireAddressRefused(t, err, "a fixed address")
	require.Zero(t, server.Accepted())
	require.Equal(t, "/", textOf(t, newSession(t), server.URL()), "without a guard it is reached")
}

func TestPublicAddressesOnly_judges(t *testing.T) {
	t.Parallel()
	guard := parley.PublicAddressesOnly()
	for refused, addresses := range map[bool]string{
		true: `0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255
			192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1
			240.0.0.1 255.255.255.255 168.63.129.16
			:: ::1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8
			100::1 2001::1 2001:2::1 2001:10::1 2001:db8::1 2002:808:808:: 2002:a00:1:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
			fe80::1 fe80::1%eth0 fec0::1 ff02::1 2a00:1450::1%eth0`,
		false: `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.1.1 223.255.255.255
			::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2620:0:ccc::2`,
	} {
		for _, text := range strings.Fields(addresses) {
			err := guard(t.Context(), "tcp", netip.AddrPortFrom(netip.MustParseAddr(text), 80))
			require.Equal(t, refused, err != nil, text)
		}
	}
	require.Error(t, guard(t.Context(), "tcp", netip.AddrPort{}))
}

// What counts is the address that is dialled, whatever the name was good for before.
func TestS132_NamesThatChangeTheirMind(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	port := portOf(t, server.Addr())
	var asked atomic.Int32
	r := newResolver(func(context.Context, string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return always("192.0.2.1")(nil, "")
		}
		return always("127.0.0.1")(nil, "")
	})
	var mu sync.Mutex
	var judged []string
	secret := errors.New("not there")
	guard := parley.WithDialGuard(func(_ context.Context, network string, addr netip.AddrPort) error {
		mu.Lock()
		defer mu.Unlock()
		judged = append(judged, network+" "+addr.String())
		if addr.Addr().IsLoopback() {
			return secret
		}
		return syscall.EHOSTUNREACH // that it may be dialled is not what this is about
	})
	client := newSession(t, guard, parley.WithResolver(r))
	for range 2 {
		_, err := client.Get(t.Context(), "http://a.test:"+port+"/")
		requireAddressRefused(t, err, "a.test")
	}
	_, err := client.Get(t.Context(), "http://a.test:"+port+"/")
	require.ErrorIs(t, err, secret)
	require.Equal(t, []string{"tcp 192.0.2.1:" + port, "tcp 127.0.0.1:" + port, "tcp 127.0.0.1:" + port}, judged)
	require.Zero(t, server.Accepted())
}

// Those addresses of a name that are allowed are used.
func TestS132_OnlyTheAllowedAddressesOfAName(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback")
	}
	server := wiretest.Serve(t, telling("server"))
	port := portOf(t, server.Addr())
	client := newSession(t, parley.WithResolver(newResolver(always("127.0.0.2", "::1", "127.0.0.1"))),
		parley.WithDialGuard(func(_ context.Context, _ string, addr netip.AddrPort) error {
			if addr.Addr() != netip.MustParseAddr("127.0.0.1") {
				return errors.New("no")
			}
			return nil
		}))
	resp, err := client.Get(t.Context(), "http://a.test:"+port+"/")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:"+port, resp.Timing().RemoteAddr.String())
}

func TestS132_RedirectsAreJudgedToo(t *testing.T) {
	t.Parallel()
	inner := wiretest.Serve(t, wiretest.Echo())
	to := ""
	outer := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n"
	}))
	outside := netip.MustParseAddrPort(outer.Addr())
	public := parley.PublicAddressesOnly()
	client := newSession(t, parley.WithResolver(newResolver(always("127.0.0.1"))),
		parley.WithDialGuard(func(ctx context.Context, network string, addr netip.AddrPort) error {
			if addr == outside { // plays a public one
				return nil
			}
			return public(ctx, network, addr)
		}))
	for _, to = range []string{inner.URL(), "http://a.test:" + portOf(t, inner.Addr()) + "/"} {
		_, err := client.Get(t.Context(), outer.URL())
		requireAddressRefused(t, err, to)
	}
	require.Zero(t, inner.Accepted())
	require.Equal(t, 1, outer.Accepted())
}

func TestS132_NoUnixSocketPassesAGuard(t *testing.T) {
	t.Parallel()
	path := newSocket(t)
	server := wiretest.ServeUnix(t, path, telling("socket"))
	guard := parley.WithDialGuard(func(context.Context, string, netip.AddrPort) error { return nil })
	_, err := newSession(t, guard).Get(t.Context(), socketURL(path, "/"))
	requireAddressRefused(t, err, "by its URL")
	_, err = newSession(t, guard, parley.WithUnixSocket(path)).Get(t.Context(), "http://a.test/")
	requireAddressRefused(t, err, "by an option")
	require.Zero(t, server.Accepted())
}

// The dialer's own check is asked as well.
func TestS132_GuardAndTheDialersOwnCheck(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, telling("server"))
	own := errors.New("the dialer's own")
	allow := parley.WithDialGuard(func(context.Context, string, netip.AddrPort) error { return nil })
	refuse := func(string, string, syscall.RawConn) error { return own }
	for _, d := range []*net.Dialer{
		{Control: refuse},
		{ControlContext: func(_ context.Context, network, address string, c syscall.RawConn) error {
			return refuse(network, address, c)
		}},
	} {
		_, err := newSession(t, allow, parley.WithDialer(d)).Get(t.Context(), server.URL())
		require.ErrorIs(t, err, own)
		require.NotErrorIs(t, err, parley.ErrAddressRefused)
	}
	require.Zero(t, server.Accepted())
	require.Equal(t, "server "+server.Addr()+" /", textOf(t, newSession(t, allow), server.URL()))
}

func TestS132_ProxiesAreJudgedToo(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, telling("server"))
	proxy := wiretest.NewProxy(t, wiretest.NewNames(map[string]string{"a.test:80": server.Addr()}), "")
	r := newResolver(always("127.0.0.1"))
	strict := publicOnly(t, r)
	for _, scheme := range []string{"http", "socks5", "socks5h"} {
		_, err := strict.Get(t.Context(), "http://a.test/", parley.WithProxy(scheme+"://"+proxy.Addr()))
		requireAddressRefused(t, err, scheme)
		require.ErrorIs(t, err, parley.ErrProxy)
	}
	require.Zero(t, proxy.Accepted())

	there := netip.MustParseAddrPort(proxy.Addr())
	public := parley.PublicAddressesOnly()
	allowing := newSession(t, parley.WithResolver(r), parley.WithDialGuard(func(ctx context.Context, network string, addr netip.AddrPort) error {
		if addr == there {
			return nil
		}
		return public(ctx, network, addr)
	}))
	require.Equal(t, "server a.test /", textOf(t, allowing, "http://a.test/", parley.WithProxy("http://"+proxy.Addr())), "it resolves the name")
	byFunction := parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { return url.Parse("http://" + proxy.Addr()) })
	for what, opt := range map[string]parley.RequestOption{
		"http": parley.WithProxy("http://" + proxy.Addr()), "by function": byFunction,
		"socks5": parley.WithProxy("socks5://" + proxy.Addr()), "socks5h": parley.WithProxy("socks5h://" + proxy.Addr()),
	} {
		for _, target := range []string{"http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "https://10.0.0.1/", "http://[fe80::1%25lo]/"} {
			_, err := allowing.Get(t.Context(), target, opt)
			requireAddressRefused(t, err, what+" to "+target)
		}
	}
	_, err := allowing.Get(t.Context(), "http://a.test/", parley.WithProxy("socks5://"+proxy.Addr()))
	requireAddressRefused(t, err, "a name that is looked up here")
	require.Equal(t, []string{"GET http://a.test/"}, proxy.Asked())
}
