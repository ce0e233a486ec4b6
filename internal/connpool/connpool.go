// Package connpool is the pooling algorithm of an HTTP client: limits for each origin and over all of them, FIFO
// waiters, last-in first-out idle connections, expiry, and connections that serve several borrowers at once. It is
// generic over the key that names an origin and over the connection, and knows neither HTTP nor sockets.
//
// Ownership is strict. A connection is owned by the pool (idle), by its borrowers (lent), or by nobody any more
// (closed or hijacked). Acquire lends it; Release, Discard, Replace and Hijack end a loan, exactly one of them for
// each Acquire or Replace that succeeded.
//
// Every connection holds a slot of its origin from the start of its dial until Config.Close has returned, so that
// there are at no moment more sockets than slots.
package connpool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by Acquire and Replace once the pool is closed.
var ErrClosed = errors.New("connection pool is closed")

// Conn is what a pool lends.
type Conn interface {
	comparable
	// Capacity is how many borrowers the connection can serve at once at this moment: 1 for HTTP/1.1. It may change,
	// also downwards; 0 or less means that the connection must not be lent again. It is called with a lock of the pool
	// held, hence must be cheap, must not block and must not call the pool. When it grows, or falls to 0 while the
	// connection is idle, the connection's owner calls Pool.Wake.
	Capacity() int
}

// Config is what a pool is made of. Dial and Close are required.
type Config[K comparable, C Conn] struct {
	// Dial makes a connection. It runs on a goroutine of its own. Its context has the values of the request for which
	// the dial was started, a deadline if that request's Want.Connect said so, and ends when the pool is closed; it does
	// not end with the request, since a dial whose requester gave up is finished and its connection pooled.
	Dial func(ctx context.Context, key K) (C, error)
	// Opened, if not nil, is told of each new connection before anybody can borrow it, on the dial's goroutine: the place
	// for a connection to learn its Entry, which Wake asks for.
	Opened func(e *Entry[K, C])
	// Close closes a connection. It is called exactly once for each connection that Dial returned and that was not
	// hijacked, on whichever goroutine caused it, never with a lock held. The slot is free when it has returned.
	Close func(c C, why Reason)
	// Check, if not nil, is asked before an idle connection is lent again, without a lock: idle is how long it has been
	// idle, strict is Want.Strict of the request. If ok is false the connection is closed for the reason why.
	Check func(c C, idle time.Duration, strict bool) (ok bool, why Reason)
	// Sharing, if not nil, says whether the connections of a key serve several borrowers. It is asked with a lock of the
	// pool held, when a key is met and after each of its dials, hence must be cheap and must not call the pool. Where it
	// is nil none does.
	Sharing func(key K) Sharing
	// Growing, if not nil, tells of a connection whose capacity is about to be known: requests wait for it instead of
	// dialling. It is called as Conn.Capacity is.
	Growing func(c C) bool
	// Limits are the first limits; SetLimits changes them.
	Limits Limits
}

// Sharing says whether the connections of a key serve several borrowers at once.
type Sharing uint8

// What is known of a key.
const (
	ShareNever  Sharing = iota // each request that finds no connection dials
	ShareMaybe                 // while the first dial lasts, the others wait a moment to see what comes of it
	ShareAlways                // while a dial lasts, the others wait for its connection
)

// sharePatience is how long requests wait for what another's dial shows under ShareMaybe. A handshake with a server on
// the same continent is over by then; one that takes longer is not worth holding up all others.
const sharePatience = 250 * time.Millisecond

// Limits bound a pool. The zero value bounds nothing.
type Limits struct {
	// Soft is how many idle connections of an origin are worth keeping: those above it, the idlest ones, linger for
	// SurplusIdle only. 0 keeps none beyond SurplusIdle, less than 0 means that none is ever surplus.
	Soft int
	// Hard bounds the connections of one origin, those being dialled or closed included; 0 or less: no bound.
	Hard int
	// Total bounds the connections of all origins together in the same way; 0 or less: no bound.
	Total int
	// IdleTimeout is how long a connection may be idle before it is closed; 0 or less: for ever.
	IdleTimeout time.Duration
	// SurplusIdle is the same for idle connections above Soft, if it is shorter; 0 or less: as IdleTimeout.
	SurplusIdle time.Duration
	// MaxAge retires a connection once it is free, counted from the end of its dial and shortened for each connection
	// by a random part of up to a tenth, so that connections born together do not die together; 0 or less: never.
	MaxAge time.Duration
	// MaxRequests retires a connection after so many loans; 0 or less: never.
	MaxRequests int
}

// Want says what one Acquire or Replace accepts.
type Want struct {
	// Wait bounds the time that the request waits for a connection while no dial is under way for it; 0 or less: no
	// bound. Passing it is a *WaitError.
	Wait time.Duration
	// Connect bounds a dial that is started for this request; 0 or less: no bound. A dial in flight that may last
	// longer than this is not taken over from another request.
	Connect time.Duration
	// Strict is handed to Config.Check.
	Strict bool
	// Now is the time, for callers that have just read it; zero if they have not. It must have a monotonic clock
	// reading.
	Now time.Time
}

// Got says how a connection was come by.
type Got struct {
	// Reused is false only for a connection that came straight from its dial. Only a reused connection can have been
	// closed by its peer for being idle.
	Reused bool
	// Waited is how long the request waited without a dial under way for it.
	Waited time.Duration
	// Dialing is how long the request waited while a dial was under way for it.
	Dialing time.Duration
	// Idle is how long the connection had been idle; 0 if it was handed over or shared.
	Idle time.Duration
}

// Pool lends connections to any number of goroutines. Make one with New. A pool has no goroutines but those of the
// dials in flight, and one timer, which is set only while connections are idle (or were, when it was last set).
type Pool[K comparable, C Conn] struct {
	cfg    Config[K, C]
	epoch  time.Time
	limits atomic.Pointer[Limits]
	closed atomic.Bool // set once, before any origin is told
	ctx    context.Context
	cancel context.CancelCauseFunc

	used     atomic.Int64  // slots taken over all origins
	sequence atomic.Uint64 // numbers waiters in the order of their coming
	waiting  atomic.Int64  // waiters without a dial over all origins
	needy    atomic.Int64  // length of needs: read without the lock by every Release
	spare    sync.Pool     // of *waiter

	// Locks are taken in this order: mapMu, then one origin's mu, then mu. No two origins are locked at once.
	mapMu   sync.RWMutex
	origins map[K]*origin[K, C]
	gone    Counters // of the origins that were removed

	mu      sync.Mutex
	needs   originHeap[K, C] // origins that only the total limit keeps from dialling, by their first such waiter
	need    int              // dials that the origins in needs would start
	making  int              // connections being closed to make room for those
	idlest  originHeap[K, C] // origins by a lower bound of when their idlest connection became idle
	due     originHeap[K, C] // origins by the time at which something may expire
	timer   *time.Timer
	armedAt instant // what timer is set to; 0: not set
}

// instant is a time: nanoseconds of the monotonic clock since the pool was made. Reading it is cheaper than time.Now.
type instant int64

// New makes a pool. It starts nothing.
func New[K comparable, C Conn](cfg Config[K, C]) *Pool[K, C] {
	p := &Pool[K, C]{
		cfg:     cfg,
		epoch:   time.Now().Add(-1), // no instant is 0
		origins: make(map[K]*origin[K, C]),
		needs:   originHeap[K, C]{kind: byNeed},
		idlest:  originHeap[K, C]{kind: byIdle},
		due:     originHeap[K, C]{kind: byDue},
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	limits := cfg.Limits
	p.limits.Store(&limits)
	return p
}

func (p *Pool[K, C]) now() instant { return instant(time.Since(p.epoch)) }

// at is the instant of a time that a caller has read already, and now if it has not. Such times may be a little late,
// and so come out of order.
func (p *Pool[K, C]) at(t time.Time) instant {
	if t.IsZero() {
		return p.now()
	}
	return instant(t.Sub(p.epoch))
}

// lookup finds the origin of key, and makes it if it is not there and the pool is not closed.
func (p *Pool[K, C]) lookup(key K) (*origin[K, C], error) {
	p.mapMu.RLock()
	o := p.origins[key]
	p.mapMu.RUnlock()
	if o != nil {
		return o, nil
	}
	p.mapMu.Lock()
	defer p.mapMu.Unlock()
	if p.closed.Load() {
		return nil, ErrClosed
	}
	if o = p.origins[key]; o == nil {
		o = &origin[K, C]{pool: p, key: key}
		o.learnLocked()
		p.origins[key] = o
	}
	return o, nil
}

// remove takes an origin with nothing left out of the map; its counters live on in the totals.
func (p *Pool[K, C]) remove(o *origin[K, C]) {
	p.mapMu.Lock()
	defer p.mapMu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead || !o.emptyLocked() {
		return
	}
	o.dead = true
	delete(p.origins, o.key)
	p.gone.add(&o.counters)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idlest.remove(o)
	p.due.remove(o)
	p.armLocked(p.now())
}

// snapshot lists the origins of this moment, and the counters of those that were gone by then.
func (p *Pool[K, C]) snapshot() ([]*origin[K, C], Counters) {
	p.mapMu.RLock()
	defer p.mapMu.RUnlock()
	all := make([]*origin[K, C], 0, len(p.origins))
	for _, o := range p.origins {
		all = append(all, o)
	}
	return all, p.gone
}

// work is what has to be done after an origin's lock was let go.
type work[K comparable, C Conn] struct {
	closing list[Entry[K, C]] // to be closed
	balance bool              // somebody waits for the total limit, and something may have changed for them
	empty   *origin[K, C]     // has nothing left
}

func (wk *work[K, C]) any() bool { return wk.closing.head != nil || wk.balance || wk.empty != nil }

// finish does the work. No lock may be held.
func (p *Pool[K, C]) finish(wk *work[K, C]) {
	for e := wk.closing.popFront(); e != nil; e = wk.closing.popFront() {
		p.closeOne(e, wk)
	}
	p.tidy(wk)
	if wk.balance {
		wk.balance = false
		p.rebalance()
	}
}

// closeOne closes a connection and frees its slot. Whoever can use the slot may be another origin: see wk.balance.
func (p *Pool[K, C]) closeOne(e *Entry[K, C], wk *work[K, C]) {
	p.cfg.Close(e.Conn, e.why)
	o := e.origin
	o.mu.Lock()
	o.goneLocked(e)
	o.freeSlotLocked()
	if e.making {
		p.mu.Lock()
		p.making--
		p.mu.Unlock()
	}
	o.settleLocked(p.now(), wk)
	o.mu.Unlock()
	wk.balance = wk.balance || p.needy.Load() > 0
	p.tidy(wk)
}

// tidy removes the origin that has nothing left, if any: the part of finish that a loop over origins does for each.
func (p *Pool[K, C]) tidy(wk *work[K, C]) {
	if o := wk.empty; o != nil {
		wk.empty = nil
		p.remove(o)
	}
}
