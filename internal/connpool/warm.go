package connpool

import (
	"context"
	"sync"
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

// Warm dials for the origin key ahead of need, as many at once as are missing from n idle connections and as the limits
// leave slots for that nobody waits for, and waits until these dials have ended. It makes no room by closing others.
// Requests that come meanwhile may take the connections.
//
// It gives how many of the n there are: those that were idle, and those that were made. The error is that of the first
// dial that failed, ErrClosed, or one that matches the context's error and its cause; the dials then go on, and their
// connections are pooled. Of want only Connect counts.
func (p *Pool[K, C]) Warm(ctx context.Context, key K, n int, want Want) (int, error) {
	if ctx.Err() != nil {
		return 0, contextError(ctx)
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
