package parley

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultResolverTTL is how long a [ResolverCache] keeps addresses unless it is told.
	DefaultResolverTTL = time.Minute
	// maxNegativeTTL is how long it keeps at most that a name does not exist, which
	// often is about to change.
	maxNegativeTTL = 5 * time.Second
	// maxResolved is how many names it keeps.
	maxResolved = 1024
)

// ResolverCache is a [Resolver] that remembers what another one said: see
// [CachedResolver]. It is safe for concurrent use.
type ResolverCache struct {
	resolver Resolver
	ttl      time.Duration

	mu      sync.Mutex
	known   map[resolverKey]resolved
	flights map[resolverKey]*lookup
}

type resolverKey struct{ network, host string }

// resolved is what is known of a name.
type resolved struct {
	addresses []netip.Addr
	err       error
	until     time.Time
}

// lookup is a question under way, which ends when nobody waits for it any more.
type lookup struct {
	done    chan struct{} // closed once answer is there
	answer  resolved
	waiting int // guarded by ResolverCache.mu
	cancel  context.CancelFunc
}

// CachedResolver asks r, a nil one meaning [net.DefaultResolver], and remembers the
// addresses for ttl: zero means [DefaultResolverTTL], less than zero nothing is kept. That
// a name does not exist is kept for 5 s at most, other failures are not. Up to 1,024 names
// are kept. Questions that are asked at the same time are asked of r once, with the
// values of the first asker's context; that an asker gives up changes nothing for the
// others.
//
// A resolver does not say how long its answers hold, so that ttl is how long a server that
// has moved may still be dialled at its old address.
func CachedResolver(r Resolver, ttl time.Duration) *ResolverCache {
	if r == nil {
		r = net.DefaultResolver
	}
	if ttl == 0 {
		ttl = DefaultResolverTTL
	}
	return &ResolverCache{
		resolver: r, ttl: ttl,
		known: make(map[resolverKey]resolved), flights: make(map[resolverKey]*lookup),
	}
}

// LookupNetIP gives the addresses of host. The errors are those of the resolver beneath,
// and of ctx.
func (c *ResolverCache) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	key := resolverKey{network, host}
	c.mu.Lock()
	if r, ok := c.known[key]; ok {
		if time.Now().Before(r.until) {
			c.mu.Unlock()
			return slices.Clone(r.addresses), r.err
		}
		delete(c.known, key)
	}
	l := c.flights[key]
	if l == nil {
		l = c.ask(ctx, key)
	}
	l.waiting++
	c.mu.Unlock()
	select {
	case <-l.done:
		return slices.Clone(l.answer.addresses), l.answer.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.waiting--; l.waiting == 0 {
		l.cancel()
		if c.flights[key] == l { // who comes now asks anew
			delete(c.flights, key)
		}
	}
	return nil, fmt.Errorf("lookup of %s: %w", quoteBad(host, 128), ctx.Err())
}

// Clear forgets everything.
func (c *ResolverCache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
	clear(c.flights) // they end, but are not kept
}

// ask starts a question. c.mu is held.
func (c *ResolverCache) ask(ctx context.Context, key resolverKey) *lookup {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &lookup{done: make(chan struct{}), cancel: cancel}
	l.answer.err = errResolverEnded // what stands if the resolver ends its goroutine
	c.flights[key] = l
	go func() {
		defer cancel()
		defer c.settle(key, l)
		l.answer.addresses, l.answer.err = c.resolver.LookupNetIP(ctx, key.network, key.host)
	}()
	return l
}

var errResolverEnded = errors.New("the resolver ended its goroutine")

// settle gives an answer to those who wait, and keeps it if that is worth it.
func (c *ResolverCache) settle(key resolverKey, l *lookup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(l.done)
	if c.flights[key] != l {
		return
	}
	delete(c.flights, key)
	ttl := c.ttl
	if l.answer.err != nil {
		var dns *net.DNSError
		if !errors.As(l.answer.err, &dns) || !dns.IsNotFound {
			return
		}
		ttl = min(ttl, maxNegativeTTL)
	}
	if ttl > 0 {
		c.makeRoom()
		l.answer.until = time.Now().Add(ttl)
		c.known[key] = l.answer
	}
}

// makeRoom sees to it that one more name can be kept. c.mu is held.
func (c *ResolverCache) makeRoom() {
	if len(c.known) < maxResolved {
		return
	}
	now := time.Now()
	var first resolverKey
	var soonest time.Time
	for key, r := range c.known {
		switch {
		case !now.Before(r.until):
			delete(c.known, key)
		case soonest.IsZero() || r.until.Before(soonest):
			first, soonest = key, r.until
		}
	}
	if len(c.known) >= maxResolved {
		delete(c.known, first)
	}
}
