package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// machine is a server on a port of its own that can die and return.
type machine struct {
	served atomic.Int64

	mu      sync.Mutex
	address string // "": it is dead
	server  *http.Server
	over    chan struct{}
}

func (m *machine) start(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.served.Add(1)
		_, _ = fmt.Fprintf(w, "%s as asked", r.URL.Path)
	})}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = server.Serve(l) // until it is closed
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.address, m.server, m.over = l.Addr().String(), server, over
}

// die closes everything at once, also what is being answered.
func (m *machine) die() {
	m.mu.Lock()
	server, over := m.server, m.over
	m.address, m.server = "", nil
	m.mu.Unlock()
	if server != nil {
		_ = server.Close() // what it says of connections is of no interest
		<-over
	}
}

func (m *machine) dial(ctx context.Context) (net.Conn, error) {
	m.mu.Lock()
	address := m.address
	m.mu.Unlock()
	if address == "" { // nobody can say that its port is not somebody else's now
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// cluster is machines under the names s0.test, s1.test, …
type cluster []*machine

func newCluster(t *testing.T, n int) (cluster, []string) {
	c := make(cluster, n)
	urls := make([]string, n)
	for i := range c {
		c[i] = new(machine)
		c[i].start(t)
		t.Cleanup(c[i].die)
		urls[i] = fmt.Sprintf("http://s%d.test/v1", i)
	}
	return c, urls
}

func (c cluster) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	for i, m := range c {
		if address == fmt.Sprintf("s%d.test:80", i) {
			return m.dial(ctx)
		}
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("there is no %s", address)}
}

// counts gives how many requests each machine has answered, and begins anew.
func (c cluster) counts() []int64 {
	counts := make([]int64, len(c))
	for i, m := range c {
		counts[i] = m.served.Swap(0)
	}
	return counts
}

// load sends n requests from several goroutines and gives those that were lost.
func load(t *testing.T, c *parley.Client, n int) (lost []error) {
	t.Helper()
	var next atomic.Int64
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				resp, err := c.Get(t.Context(), "things/{id}", parley.WithPath("id", fmt.Sprint(i)))
				if err == nil {
					var text string
					if text, err = resp.Text(); err == nil && (resp.StatusCode != 200 || text != fmt.Sprintf("/v1/things/%d as asked", i)) {
						err = fmt.Errorf("%d: %s", resp.StatusCode, text)
					}
				}
				if err != nil {
					mu.Lock()
					lost = append(lost, err)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return lost
}

// loadsEvenly shows that no request is lost, and that the servers named get as many of them
// as each other, within a tenth. What the machine's scheduler does to a few milliseconds is
// not what is asked: more requests are sent, up to a number that only a bias withstands.
func loadsEvenly(t *testing.T, c *parley.Client, servers cluster, among ...int) {
	t.Helper()
	sums := make([]int64, len(servers))
	for range 60 {
		require.Empty(t, load(t, c, 450))
		total := int64(0)
		for i, n := range servers.counts() {
			sums[i] += n
			total += sums[i]
		}
		even := true
		for i, n := range sums {
			if !slices.Contains(among, i) {
				require.Zero(t, n, "a dead server has answered")
				continue
			}
			each := total / int64(len(among))
			even = even && n >= each*9/10 && n <= each*11/10
		}
		if even {
			return
		}
	}
	require.Fail(t, "the load is not even", "%v", sums)
}

// Three servers under load, one of which dies in the middle of it and returns.
func TestBalancer_noGetIsLostWhenAServerDiesAndReturns(t *testing.T) {
	t.Parallel()
	servers, urls := newCluster(t, 3)
	b := newBalancer(t, logicalBase, api.BalancerConfig{
		Servers: api.Servers(urls...), EjectFor: 20 * time.Millisecond, MaxEject: 100 * time.Millisecond,
	})
	c := balancedClient(t, b, parley.WithDialer(servers), parley.WithNetworkMiddleware(parley.Reading()))
	loadsEvenly(t, c, servers, 0, 1, 2)
	for range 2 { // dying in the middle of an answer or between two
		var death sync.WaitGroup
		death.Go(func() {
			for servers[1].served.Load() < 100 && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
			servers[1].die()
		})
		require.Empty(t, load(t, c, 450))
		death.Wait()
		servers.counts()
		loadsEvenly(t, c, servers, 0, 2)

		servers[1].start(t)
		for b.Stats()[1].Out { // a request finds that out once it is due
			require.Empty(t, load(t, c, 16))
		}
		servers.counts()
		loadsEvenly(t, c, servers, 0, 1, 2)
	}
	for _, s := range b.Stats() {
		require.Zero(t, s.Active)
	}
	require.Positive(t, b.Stats()[1].Errors)
}

// All servers die; the one that returns first is found at once.
func TestBalancer_anOutageEndsWithTheFirstServerThatIsBack(t *testing.T) {
	t.Parallel()
	servers, urls := newCluster(t, 3)
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(urls...), EjectFor: time.Hour, MaxEject: time.Hour})
	c := balancedClient(t, b, parley.WithDialer(servers))
	for _, m := range servers {
		m.die()
	}
	for range 20 {
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrConnect)
	}
	servers[2].start(t)
	for range 20 {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, "http://s2.test/v1/", api.ServedBy(resp))
	}
	require.Equal(t, int64(20), servers[2].served.Load())
}

// A server that answers late has as many requests under way as the others, and so gets
// fewer of them.
func TestBalancer_aSlowServerGetsLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(d time.Duration, n *atomic.Int64) parley.Transport {
			return parley.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n.Add(1)
				time.Sleep(d)
				_, _ = io.WriteString(w, r.URL.Path+" as asked")
			}))
		}
		var counts [3]atomic.Int64
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers("http://s0.test/v1", "http://s1.test/v1", "http://s2.test/v1")})
		c := balancedClient(t, b,
			parley.WithMount("http://s0.test", slow(10*time.Millisecond, &counts[0])),
			parley.WithMount("http://s1.test", slow(10*time.Millisecond, &counts[1])),
			parley.WithMount("http://s2.test", slow(100*time.Millisecond, &counts[2])))
		require.Empty(t, load(t, c, 1050))
		require.InEpsilon(t, 500, counts[0].Load(), 0.1)
		require.InEpsilon(t, 500, counts[1].Load(), 0.1)
		require.InDelta(t, 60, counts[2].Load(), 30)
		require.Greater(t, b.Stats()[2].Latency, 50*time.Millisecond)
	})
}

// Everything at once; the race detector looks on.
func TestBalancer_changesUnderLoad(t *testing.T) {
	t.Parallel()
	servers, urls := newCluster(t, 3)
	b := newBalancer(t, logicalBase, api.BalancerConfig{
		Servers: api.Servers(urls...), EjectFor: time.Millisecond, MaxEject: 2 * time.Millisecond,
		Choose:   func(_ *parley.Request, among []api.ServerStats) int { return len(among) - 2 },
		OnChange: func(api.ServerStats) {},
	})
	c := balancedClient(t, b, parley.WithDialer(servers), parley.WithNetworkMiddleware(parley.Reading()))
	ctx, stop := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			list := api.Servers(urls...)
			list[i%3].Weight = 1 + i%7
			if err := b.SetServers(list...); err != nil {
				t.Error(err)
			}
			b.Stats()
			time.Sleep(time.Millisecond)
		}
	})
	require.Empty(t, load(t, c, 400))
	stop()
	changing.Wait()
	for _, s := range b.Stats() {
		require.Zero(t, s.Active)
	}
}
