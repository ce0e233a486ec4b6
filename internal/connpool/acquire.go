package connpool

import (
	"context"
	"sync/atomic"
	"time"
)

// Acquire lends a connection of the origin key: one with room, else the connection that was idle last and passes
// Check, else a new one, else whichever comes first of a connection that becomes free and a dial that the limits come
// to allow. Requests that have to wait are served in the order of their coming.
//
// Errors: ErrClosed, a *WaitError, the error of a dial as Dial returned it, or one that matches the context's error
// and its cause. A request that gives up leaves a dial in flight to be finished and pooled.
func (p *Pool[K, C]) Acquire(ctx context.Context, key K, want Want) (*Entry[K, C], Got, error) {
	if ctx.Err() != nil {
		return nil, Got{}, contextError(ctx)
	}
	for {
		o, err := p.lookup(key)
		if err != nil {
			return nil, Got{}, err
		}
		o.mu.Lock()
		if !o.dead {
			return p.acquire(ctx, o, want)
		}
		o.mu.Unlock()
	}
}

// Origin is a handle that saves Acquire the search for its key. It is good for as long as the pool is.
type Origin[K comparable, C Conn] struct {
	pool *Pool[K, C]
	key  K
	last atomic.Pointer[origin[K, C]] // the one that was found last
}

// Origin makes a handle for key. It costs nothing but its memory, and keeps nothing in the pool.
func (p *Pool[K, C]) Origin(key K) *Origin[K, C] { return &Origin[K, C]{pool: p, key: key} }

// Acquire is Pool.Acquire for the key of the handle.
func (h *Origin[K, C]) Acquire(ctx context.Context, want Want) (*Entry[K, C], Got, error) {
	if ctx.Err() != nil {
		return nil, Got{}, contextError(ctx)
	}
	for {
		o := h.last.Load()
		if o == nil {
			var err error
			if o, err = h.pool.lookup(h.key); err != nil {
				return nil, Got{}, err
			}
			h.last.Store(o)
		}
		o.mu.Lock()
		if !o.dead {
			return h.pool.acquire(ctx, o, want)
		}
		o.mu.Unlock()
		h.last.CompareAndSwap(o, nil)
	}
}

// acquire is called with the lock of o held, and lets it go.
func (p *Pool[K, C]) acquire(ctx context.Context, o *origin[K, C], want Want) (*Entry[K, C], Got, error) {
	if p.closed.Load() {
		o.mu.Unlock()
		return nil, Got{}, ErrClosed
	}
	now := p.at(want.Now)
	var wk work[K, C]
	e, idle := o.takeLocked(now, &wk)
	if e == nil {
		return p.wait(ctx, o, want, now, &wk)
	}
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
	if idle < 0 {
		return e, Got{Reused: true}, nil
	}
	if p.cfg.Check == nil {
		return e, Got{Reused: true, Idle: idle}, nil
	}
	return p.check(ctx, e, idle, want)
}

// takeLocked lends what is there. It passes nobody who waits: where somebody does, nothing is there (settleLocked).
// idle is how long the connection was idle, less than 0 if it was not.
func (o *origin[K, C]) takeLocked(now instant, wk *work[K, C]) (e *Entry[K, C], idle time.Duration) {
	l := o.pool.limits.Load()
	if e = o.roomLocked(l, now); e != nil {
		o.lendLocked(e, now, true)
		return e, -1
	}
	e, capacity := o.popIdleLocked(l, now, wk)
	if e == nil {
		return nil, 0
	}
	o.lendLocked(e, now, true)
	if o.pool.cfg.Check != nil {
		e.checking.Store(true)
	} else if capacity > 1 {
		o.openLocked(e)
	}
	return e, max(time.Duration(now-e.idleAt), 0)
}

// wait is the slow half of acquire: o is locked.
func (p *Pool[K, C]) wait(
	ctx context.Context, o *origin[K, C], want Want, now instant, wk *work[K, C],
) (*Entry[K, C], Got, error) {
	w := p.newWaiter(ctx, want, now)
	o.enqueueLocked(w, false, now)
	return p.sleep(o, w, now, wk)
}

// sleep settles o, which is locked, for a waiter that was queued, and waits for its result.
func (p *Pool[K, C]) sleep(
	o *origin[K, C], w *waiter[K, C], now instant, wk *work[K, C],
) (*Entry[K, C], Got, error) {
	o.settleLocked(now, wk)
	w.armLocked(o)
	o.mu.Unlock()
	if wk.any() {
		p.finish(wk)
	}
	return p.await(o, w)
}

// check asks whether a connection that was idle, and is lent now, still is what it was, and goes on with the next one
// if not.
func (p *Pool[K, C]) check(
	ctx context.Context, e *Entry[K, C], idle time.Duration, want Want,
) (*Entry[K, C], Got, error) {
	o := e.origin
	for {
		ok, why := p.cfg.Check(e.Conn, idle, want.Strict)
		if ok {
			p.checked(e)
			return e, Got{Reused: true, Idle: idle}, nil
		}
		if why == 0 {
			why = ReasonError
		}
		var wk work[K, C]
		o.mu.Lock()
		o.counters.Reuses--
		now := p.vacate(o, e, why)
		if p.closed.Load() {
			return p.refuseLocked(o, now, &wk)
		}
		next, idleNext := o.takeLocked(now, &wk)
		if next == nil {
			return p.redial(ctx, o, want, now, &wk)
		}
		o.freeSlotLocked()
		o.settleLocked(now, &wk)
		o.mu.Unlock()
		wk.balance = wk.balance || p.needy.Load() > 0
		if wk.any() {
			p.finish(&wk)
		}
		if e, idle = next, idleNext; idle < 0 {
			return e, Got{Reused: true}, nil
		}
	}
}

// checked lets others share a connection that passed its check and has room for them.
func (p *Pool[K, C]) checked(e *Entry[K, C]) {
	if e.Conn.Capacity() <= 1 {
		e.checking.Store(false)
		// Asked after the store: a Wake that came before it did nothing.
		if e.Conn.Capacity() <= 1 && !e.awaited.Load() {
			return
		}
	}
	o := e.origin
	var wk work[K, C]
	o.mu.Lock()
	e.checking.Store(false) // with the lock, so that nobody finds it neither checked soon nor open
	e.awaited.Store(false)
	if e.Conn.Capacity() > 1 {
		o.openLocked(e)
	}
	o.settleLocked(p.now(), &wk)
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
}

// redial goes on with a slot of o, which is locked, whose connection turned out to be unusable. The request came
// before all who wait now, and the slot is still its own.
func (p *Pool[K, C]) redial(
	ctx context.Context, o *origin[K, C], want Want, now instant, wk *work[K, C],
) (*Entry[K, C], Got, error) {
	w := p.newWaiter(ctx, want, now)
	o.enqueueLocked(w, true, now)
	if l := p.limits.Load(); l.Hard > 0 && o.slots > l.Hard {
		o.freeSlotLocked() // the limits were lowered
		wk.balance = p.needy.Load() > 0
	} else {
		o.dialLocked(w, now)
	}
	return p.sleep(o, w, now, wk)
}

// refuseLocked gives back a slot of o, which is locked, after the pool was closed.
func (p *Pool[K, C]) refuseLocked(o *origin[K, C], now instant, wk *work[K, C]) (*Entry[K, C], Got, error) {
	o.freeSlotLocked()
	o.settleLocked(now, wk)
	o.mu.Unlock()
	p.finish(wk)
	return nil, Got{}, ErrClosed
}

// vacate ends the only loan of a connection and closes it, but leaves its slot to the caller. The lock of o is held
// before and after, and not while the connection is closed.
func (p *Pool[K, C]) vacate(o *origin[K, C], e *Entry[K, C], why Reason) instant {
	var wk work[K, C]
	o.returnLocked(e)
	o.closeLocked(e, why, &wk)
	o.mu.Unlock()
	p.cfg.Close(e.Conn, why)
	o.mu.Lock()
	o.goneLocked(e)
	return p.now()
}

// Replace ends the loan of e, which failed, and lends a new connection in its place, so that a request can be
// replayed: the slot of e is nobody else's meanwhile, however many wait. Want.Wait does not matter. While others
// still borrow e its slot is not free, and Replace is Discard followed by Acquire.
//
// Whatever the result, the loan of e has ended. The errors are those of Acquire.
func (p *Pool[K, C]) Replace(
	ctx context.Context, e *Entry[K, C], why Reason, want Want,
) (*Entry[K, C], Got, error) {
	if why == 0 {
		why = ReasonReplaced
	}
	o := e.origin
	if ctx.Err() != nil {
		p.Discard(e, why)
		return nil, Got{}, contextError(ctx)
	}
	var wk work[K, C]
	o.mu.Lock()
	o.mustBeLent(e, "replaced")
	if e.borrowers > 1 {
		o.mu.Unlock()
		p.Discard(e, why)
		return p.Acquire(ctx, o.key, want)
	}
	if e.why != 0 {
		why = e.why
	}
	now := p.vacate(o, e, why)
	if p.closed.Load() {
		return p.refuseLocked(o, now, &wk)
	}
	w := p.newWaiter(ctx, want, now)
	w.replacer = true
	o.replacers.pushBack(&w.pos)
	o.dialLocked(w, now)
	o.mu.Unlock()
	return p.await(o, w)
}
