package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// resolver answers from a function and counts what it is asked.
type resolver struct {
	mu     sync.Mutex
	asked  map[string]int
	answer func(ctx context.Context, host string) ([]netip.Addr, error)
}

func newResolver(answer func(ctx context.Context, host string) ([]netip.Addr, error)) *resolver {
	return &resolver{asked: make(map[string]int), answer: answer}
}

func (r *resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" {
		return nil, fmt.Errorf("asked for %s", network)
	}
	r.mu.Lock()
	r.asked[host]++
	r.mu.Unlock()
	return r.answer(ctx, host)
}

func (r *resolver) count(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[host]
}

// always answers with the same addresses.
func always(texts ...string) func(context.Context, string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return func(context.Context, string) ([]netip.Addr, error) { return all, nil }
}

func TestCachedResolver_keepsAnswers(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", Name: "a.test", IsNotFound: true}
	addresses := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for name, c := range map[string]struct {
		ttl  time.Duration
		err  error
		kept time.Duration
	}{
		"for as long as it was told":                      {3 * time.Second, nil, 3 * time.Second},
		"for a minute unless it was told":                 {0, nil, parley.DefaultResolverTTL},
		"not at all":                                      {-1, nil, 0},
		"that there is no such name, for 5 s":             {time.Hour, notFound, 5 * time.Second},
		"that there is no such name, for less if so told": {time.Second, notFound, time.Second},
		"no other failure":                                {time.Hour, &net.DNSError{Err: "timeout", IsTimeout: true}, 0},
		"no failure of another kind":                      {time.Hour, errors.New("broken"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newResolver(func(context.Context, string) ([]netip.Addr, error) {
					if c.err != nil {
						return nil, c.err
					}
					return addresses, nil
				})
				cache := parley.CachedResolver(r, c.ttl)
				ask := func() {
					got, err := cache.LookupNetIP(t.Context(), "ip", "a.test")
					require.Equal(t, c.err, err)
					if err == nil {
						require.Equal(t, addresses, got)
						got[0] = netip.Addr{} // the caller's own
					}
				}
				ask()
				if c.kept > 0 {
					time.Sleep(c.kept - time.Nanosecond)
					ask()
					require.Equal(t, 1, r.count("a.test"))
					time.Sleep(time.Nanosecond)
				}
				ask()
				require.Equal(t, 2, r.count("a.test"))
				cache.Clear()
				ask()
				require.Equal(t, 3, r.count("a.test"))
			})
		})
	}
}

func TestCachedResolver_asksOnceForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var value any
		r := newResolver(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			value = ctx.Value(key{})
			select {
			case <-time.After(time.Minute):
				return always("192.0.2.1")(ctx, "")
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		cache := parley.CachedResolver(r, time.Hour)
		impatient, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "first"), time.Second)
		defer cancel()
		results := make(chan error, 5)
		ask := func(ctx context.Context) {
			_, err := cache.LookupNetIP(ctx, "ip", "a.test")
			results <- err
		}
		go ask(impatient)
		synctest.Wait()
		for range 4 {
			go ask(t.Context())
		}
		require.ErrorIs(t, <-results, context.DeadlineExceeded)
		for range 4 {
			require.NoError(t, <-results, "that the first gave up is his own affair")
		}
		require.Equal(t, 1, r.count("a.test"))
		require.Equal(t, "first", value)
	})
}

func TestCachedResolver_asksForNobodyNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		r := newResolver(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it takes its time to end
			ended.Add(1)
			return nil, ctx.Err()
		})
		cache := parley.CachedResolver(r, time.Hour)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := cache.LookupNetIP(ctx, "ip", "a.test")
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 2, r.count("a.test"), "a question given up is not waited for")
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 2, ended.Load())
	})
}

func TestCachedResolver_isBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResolver(always("192.0.2.1"))
		cache := parley.CachedResolver(r, time.Hour)
		ask := func(n int) {
			_, err := cache.LookupNetIP(t.Context(), "ip", fmt.Sprintf("h%d.test", n))
			require.NoError(t, err)
		}
		for n := range 1024 {
			ask(n)
			time.Sleep(time.Nanosecond)
		}
		ask(0)
		require.Equal(t, 1, r.count("h0.test"))
		ask(1024)
		ask(1)
		require.Equal(t, 1, r.count("h1.test"))
		ask(0)
		require.Equal(t, 2, r.count("h0.test"), "the oldest made room")
	})
}

func TestCachedResolver_withoutOneAsksTheSystem(t *testing.T) {
	t.Parallel()
	got, err := parley.CachedResolver(nil, 0).LookupNetIP(t.Context(), "ip", "127.0.0.1")
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "127.0.0.1", got[0].Unmap().String())
}
