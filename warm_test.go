package parley_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestWarm_opensAheadOfNeed(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	client := newSession(t, parley.WithBaseURL(server.URL()), parley.WithPoolLimits(parley.PoolLimits{Soft: 5, Hard: 5}))
	n, err := client.Warm(t.Context(), "", 3)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	s := client.Stats()
	require.Equal(t, [3]int{0, 3, 0}, [3]int{s.Active, s.Idle, s.Dialing})
	require.EqualValues(t, 3, s.Dials)
	resp, err := client.Get(t.Context(), "x")
	require.NoError(t, err)
	require.True(t, resp.Timing().Reused)
	n, err = client.Warm(t.Context(), "other/path", 4)
	require.NoError(t, err)
	require.Equal(t, 4, n, "what is idle counts")
	require.EqualValues(t, 4, client.Stats().Dials)
	conn := openConn(t, client, "")
	n, err = client.Warm(t.Context(), "", 100)
	require.NoError(t, err)
	require.Equal(t, 4, n, "the limit holds")
	require.NoError(t, conn.Close())
	require.EqualValues(t, 5, client.Stats().Dials)
	client.CloseIdle()
	require.Zero(t, client.Stats().Idle)
	require.EqualValues(t, 4, client.Stats().Closed["idle connections closed"])
}

// What the server has closed meanwhile does not count as there.
func TestWarm_looksWhetherConnectionsAreStillThere(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	var left sync.WaitGroup
	left.Add(2)
	server := wiretest.Serve(t, func(c *wiretest.Conn) {
		if c.Index > 1 {
			wiretest.Echo()(c)
			return
		}
		defer left.Done()
		<-gone
		c.Close()
	})
	client := newSession(t, parley.WithBaseURL(server.URL()))
	n, err := client.Warm(t.Context(), "", 2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	wiretest.Eventually(t, func() bool { return server.Accepted() == 2 }, "both have been accepted")
	close(gone)
	left.Wait()
	wiretest.Eventually(t, func() bool {
		n, err := client.Warm(t.Context(), "", 2)
		return err == nil && n == 2 && server.Accepted() == 4
	}, "both have been replaced")
	require.EqualValues(t, 2, client.Stats().Closed["peer closed while idle"])
	require.Equal(t, "/x", textOf(t, client, "x"))
}

func TestWarm_failures(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	client := newSession(t, parley.WithEnv(false))
	_, err = client.Warm(t.Context(), "http://"+l.Addr().String(), 2)
	require.ErrorIs(t, err, parley.ErrConnect)
	requireNotSent(t, err)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "warm", e.Op)
	_, err = client.Warm(t.Context(), "ftp://a.test", 1)
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Warm(ended, "http://"+l.Addr().String(), 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = client.Warm(t.Context(), "http://127.0.0.1", 1, parley.WithDialGuard(parley.PublicAddressesOnly()))
	require.ErrorIs(t, err, parley.ErrAddressRefused)
	held := parley.DialerFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	_, err = client.Warm(t.Context(), "http://a.test", 2, parley.WithDialer(held), parley.WithTimeouts(parley.Timeouts{Connect: 10 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrConnectTimeout)
	require.NoError(t, client.Close())
	_, err = client.Warm(t.Context(), "http://a.test", 1)
	require.ErrorIs(t, err, parley.ErrClientClosed)
}

func TestWarm_byMounts(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	client := newSession(t, parley.WithMount(server.URL(), pool))
	n, err := client.Warm(t.Context(), server.URL(), 2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, 2, pool.Stats().Idle)
	require.Zero(t, client.Stats().Dials)
}

// Servers come and go behind one name: connections that are retired by age or by use
// spread the load over those that are there, and no request fails.
func TestPoolLimits_spreadLoadOverServersThatComeAndGo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback")
	}
	for name, limits := range map[string]parley.PoolLimits{
		"by requests": {MaxRequests: 3},
		"by age":      {MaxAge: 5 * time.Millisecond},
	} {
		one := wiretest.ServeAt(t, "127.0.0.1:0", telling("one"))
		port := portOf(t, one.Addr())
		two := wiretest.ServeAt(t, "127.0.0.2:"+port, telling("two"))
		behind := newBalanced(one.Addr())
		client := newSession(t, parley.WithPoolLimits(limits), parley.WithResolver(behind), parley.WithBaseURL("http://a.test:"+port))
		from := func(server string) {
			wiretest.Eventually(t, func() bool {
				return textOf(t, client, "x") == server+" a.test:"+port+" /x"
			}, name+": "+server+" is reached")
		}
		from("one")
		behind.are(one.Addr(), two.Addr())
		from("two") // while the first is still there
		from("one")
		behind.are(two.Addr())
		from("two")
		three := wiretest.ServeAt(t, "127.0.0.3:"+port, telling("three"))
		behind.are(three.Addr())
		from("three")
		require.NotZero(t, client.Stats().Closed["max requests"]+client.Stats().Closed["max age"], name)
	}
}

// balanced is a resolver that gives the addresses of several servers in turn.
type balanced struct {
	*resolver
	hosts []netip.Addr
	next  int
}

func newBalanced(addresses ...string) *balanced {
	b := &balanced{}
	b.resolver = newResolver(func(context.Context, string) ([]netip.Addr, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.next++
		return []netip.Addr{b.hosts[b.next%len(b.hosts)]}, nil
	})
	b.are(addresses...)
	return b
}

func (b *balanced) are(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hosts = nil
	for _, a := range addresses {
		b.hosts = append(b.hosts, netip.MustParseAddrPort(a).Addr())
	}
}
