package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestLookup_givesAddresses(t *testing.T) {
	n := &names{known: map[string][]string{
		"four.test": {"192.0.2.1"}, "six.test": {"2001:db8::1"}, "both.test": {"2001:db8::1", "192.0.2.1"},
	}}
	for in, want := range map[string]string{
		"four.test:80":        "192.0.2.1:80",
		"six.test:443":        "[2001:db8::1]:443",
		"both.test:80":        "192.0.2.1:80",
		"198.51.100.1:80":     "198.51.100.1:80",
		"[2001:db8::2]:80":    "[2001:db8::2]:80",
		"[::ffff:1.2.3.4]:80": "1.2.3.4:80",
	} {
		var times Times
		got, err := Lookup(t.Context(), ResolverOf(n.dialer()), in, &times)
		require.NoError(t, err)
		require.Equal(t, want, Best(got).String())
	}
	var dns *net.DNSError
	_, err := Lookup(t.Context(), ResolverOf(n.dialer()), "none.test:80", &Times{})
	require.ErrorAs(t, err, &dns)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Lookup(ctx, ResolverOf(n.dialer()), "four.test:80", &Times{})
	require.ErrorAs(t, err, &dns)
	for _, bad := range []string{"no port", "a.test:http", "a.test:70000"} {
		_, err = Lookup(t.Context(), ResolverOf(&net.Dialer{}), bad, &Times{})
		require.Error(t, err, bad)
	}
}

type resolverFunc func(host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return f(host)
}

func TestLookup_aResolverMaySayAnything(t *testing.T) {
	empty := resolverFunc(func(string) ([]netip.Addr, error) { return nil, nil })
	_, err := Lookup(t.Context(), empty, "a.test:80", &Times{})
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	many := resolverFunc(func(string) ([]netip.Addr, error) {
		all := slices.Repeat([]netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, 1000)
		all[0] = netip.Addr{}
		return all, nil
	})
	got, err := Lookup(t.Context(), many, "a.test:80", &Times{})
	require.NoError(t, err)
	require.Len(t, got, MaxAddresses-1)
	require.Equal(t, "192.0.2.1:80", got[0].String())
}

func addressesOf(texts ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range texts {
		out = append(out, netip.MustParseAddrPort(text))
	}
	return out
}

func TestInterleaved_familiesTakeTurns(t *testing.T) {
	four, six := "192.0.2.1:1", "[2001:db8::1]:1"
	for _, c := range [][2][]string{
		{{four, four, six, six}, {four, six, four, six}},
		{{six, four, four, four}, {six, four, four, four}},
		{{six, six, six, four}, {six, four, six, six}},
		{{four}, {four}},
	} {
		require.Equal(t, addressesOf(c[1]...), interleaved(addressesOf(c[0]...)))
	}
}

// racers is a dialer whose addresses take their time.
type racers struct {
	mu    sync.Mutex
	after map[string]time.Duration // negative: fails after so long
	asked []time.Duration
	began time.Time
	open  int
}

func (r *racers) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	r.mu.Lock()
	r.asked = append(r.asked, time.Since(r.began))
	d := r.after[address]
	r.mu.Unlock()
	select {
	case <-time.After(max(d, -d)):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d < 0 {
		return nil, errors.New("refused " + address)
	}
	r.mu.Lock()
	r.open++
	r.mu.Unlock()
	near, far := net.Pipe()
	far.Close()
	return &counted{near, r}, nil
}

type counted struct {
	net.Conn
	r *racers
}

func (c *counted) Close() error {
	c.r.mu.Lock()
	c.r.open--
	c.r.mu.Unlock()
	return c.Conn.Close()
}

func TestRace(t *testing.T) {
	const one, two, three = "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"
	ms := time.Millisecond
	for name, c := range map[string]struct {
		after map[string]time.Duration
		took  time.Duration
		asked []time.Duration
		err   string
	}{
		"the first in time wins alone":            {map[string]time.Duration{one: 100 * ms, two: 0}, 100 * ms, []time.Duration{0}, ""},
		"a slow one gets company":                 {map[string]time.Duration{one: time.Hour, two: 100 * ms}, 350 * ms, []time.Duration{0, 250 * ms}, ""},
		"where one fails the next begins at once": {map[string]time.Duration{one: -10 * ms, two: -10 * ms, three: 10 * ms}, 30 * ms, []time.Duration{0, 10 * ms, 20 * ms}, ""},
		"a late winner still wins":                {map[string]time.Duration{one: 400 * ms, two: time.Hour, three: time.Hour}, 400 * ms, []time.Duration{0, 250 * ms}, ""},
		"the first failure is told":               {map[string]time.Duration{one: -10 * ms, two: -10 * ms, three: -10 * ms}, 30 * ms, []time.Duration{0, 10 * ms, 20 * ms}, "refused " + one},
		"the context ends it":                     {map[string]time.Duration{one: time.Hour, two: time.Hour, three: time.Hour}, time.Second, []time.Duration{0, 250 * ms, 500 * ms}, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &racers{after: c.after, began: time.Now()}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var times Times
				nc, err := Race(ctx, r, addressesOf(one, two, three), &times)
				require.Equal(t, c.took, time.Since(r.began))
				require.Equal(t, c.took, times.Connect)
				require.Equal(t, c.asked, r.asked)
				if c.err != "" {
					require.EqualError(t, err, c.err)
				} else {
					require.NoError(t, err)
					require.NoError(t, nc.Close())
				}
				synctest.Wait()
				require.Zero(t, r.open, "who loses is closed")
			})
		})
	}
}

func TestRace_closesWhoComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &racers{began: time.Now()}
		deaf := dialerFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			if address == "192.0.2.1:1" {
				time.Sleep(time.Second) // does not care for its context
			}
			return r.DialContext(context.Background(), network, address)
		})
		nc, err := Race(t.Context(), deaf, addressesOf("192.0.2.1:1", "192.0.2.2:1"), &Times{})
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, r.open)
	})
}

func TestUnix_connectsToASocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of sockets are another matter there")
	}
	path := filepath.Join(t.TempDir(), "s")
	s := wiretest.ServeUnix(t, path, (*wiretest.Conn).Hold)
	var times Times
	nc, err := Unix(t.Context(), &net.Dialer{}, path, &times)
	require.NoError(t, err)
	defer nc.Close()
	require.Equal(t, path, nc.RemoteAddr().String())
	require.Positive(t, times.Connect)
	wiretest.Eventually(t, func() bool { return s.Accepted() == 1 }, "the socket was reached")
}
