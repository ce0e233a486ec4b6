package connpool

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// warming collects what comes of the dials of one Warm.
type warming struct {
	running sync.WaitGroup
	mu      sync.Mutex
	made    int
	err     error // of the first that failed
}

func (wm *warming) ended(err error) {
	wm.mu.Lock()
	if err == nil {
		wm.made++
	} else if wm.err == nil {
		wm.err = err
	}
	wm.mu.Unlock()
	wm.running.Done()
}

func (wm *warming) read() (int, error) {
	wm.mu.Lock()
	defer wm.mu.Unlock()
	return wm.made, wm.err
}

// Warm dials for the origin key ahead of need, as many at once as are missing from n idle connections that pass Check
// and as the limits leave slots for that nobody waits for, and waits until these dials have ended. It makes no room by
// closing others. Requests that come meanwhile may take the connections.
//
// It gives how many of the n there are: those that were idle, and those that were made. The error is that of the first
// dial that failed, ErrClosed, or one that matches the context's error and its cause; the dials then go on, and their
// connections are pooled. Of want only Connect counts.
func (p *Pool[K, C]) Warm(ctx context.Context, key K, n int, want Want) (int, error) {
	if ctx.Err() != nil {
		return 0, contextError(ctx)
	}
	if p.cfg.Check != nil {
		p.sift(key, n)
	}
	var o *origin[K, C]
	for {
		var err error
		if o, err = p.lookup(key); err != nil {
			return 0, err
		}
		o.mu.Lock()
		if !o.dead {
			break
		}
		o.mu.Unlock()
	}
	wm := new(warming)
	idle := o.warmLocked(ctx, n, want, wm)
	empty := o.emptyLocked()
	o.mu.Unlock()
	if empty {
		p.remove(o)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		wm.running.Wait()
	}()
	select {
	case <-done:
		made, err := wm.read()
		if err != nil && p.closed.Load() {
			err = ErrClosed
		}
		return idle + made, err
	case <-ctx.Done():
		made, _ := wm.read()
		return idle + made, contextError(ctx)
	}
}

// warmLocked starts the dials, and gives how many connections were idle already, up to n.
func (o *origin[K, C]) warmLocked(ctx context.Context, n int, want Want, wm *warming) (idle int) {
	p := o.pool
	if p.closed.Load() {
		wm.err = ErrClosed
		return 0
	}
	l := p.limits.Load()
	now := p.now()
	for node := o.idle.head; node != nil && idle < n; node = node.next {
		e := node.value
		due, _ := e.dueLocked(l, idle)
		if now < due && e.wornLocked(l, now) == 0 && e.Conn.Capacity() > 0 {
			idle++
		}
	}
	for range n - idle {
		if !o.reserveLocked(l) {
			break
		}
		d := &dial[K, C]{origin: o, ctx: ctx, warming: wm}
		if want.Connect > 0 {
			d.deadline = now.after(want.Connect)
		}
		wm.running.Add(1)
		o.orphans.pushBack(d.startLocked(now))
	}
	return idle
}

// sift looks at n of the idle connections of key as one does who is about to use them, and closes those that fail their
// check. They count as lent meanwhile, and go on being idle where they were afterwards.
func (p *Pool[K, C]) sift(key K, n int) {
	p.mapMu.RLock()
	o := p.origins[key]
	p.mapMu.RUnlock()
	if o == nil {
		return
	}
	now := p.now()
	var taken []*Entry[K, C]
	o.mu.Lock()
	for len(taken) < n && o.idle.n > 0 {
		e := o.idle.popFront()
		o.lendLocked(e, now, false)
		e.checking.Store(true)
		taken = append(taken, e)
	}
	o.mu.Unlock()
	for _, e := range slices.Backward(taken) { // as they came, so that they keep their order
		why := Reason(0)
		idle := max(time.Duration(now-e.idleAt), 0) // which nobody changes while it is lent
		if ok, reason := p.cfg.Check(e.Conn, idle, false); !ok {
			why = cmp.Or(reason, ReasonError)
		}
		e.checking.Store(false)
		p.putBack(e, why)
	}
	var wk work[K, C]
	o.mu.Lock()
	o.expireLocked(p.now(), &wk) // what is planned for them has to be planned anew
	o.mu.Unlock()
	p.finish(&wk)
}

// putBack ends a loan that was none of a request, for a reason not to lend the connection again if why is not 0.
func (p *Pool[K, C]) putBack(e *Entry[K, C], why Reason) {
	o := e.origin
	var wk work[K, C]
	o.mu.Lock()
	idleAt := e.idleAt
	e.requests.Add(-1)
	o.endLoanLocked(e, why, p.now(), &wk)
	if e.state == stateIdle {
		o.idle.remove(&e.pos)
		e.idleAt = idleAt
		mark := o.idle.head
		for mark != nil && mark.value.idleAt > idleAt {
			mark = mark.next
		}
		o.idle.insertBefore(&e.pos, mark)
	}
	o.mu.Unlock()
	p.finish(&wk)
}
