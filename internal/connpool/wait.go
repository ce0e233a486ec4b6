package connpool

import (
	"context"
	"fmt"
	"time"
)

// WaitError is the error of a request that waited for Want.Wait without a connection becoming free for it. The counts
// are those of the moment at which it gave up.
type WaitError struct {
	// Waited is how long the request waited.
	Waited time.Duration
	// Limit is the limit that was reached, and Total tells that it was the one over all origins.
	Limit int
	Total bool
	// Active, Idle, Dialing and Waiting are those of the request's origin, as in Gauges; the request is among the
	// waiting ones.
	Active, Idle, Dialing, Waiting int
	// TotalOpen counts the connections of all origins, those being dialled or closed included, and TotalWaiting the
	// requests waiting for one. Both are 0 unless Total is set.
	TotalOpen, TotalWaiting int
}

// Error says what was waited for and what the pool was busy with.
func (e *WaitError) Error() string {
	if e.Total {
		return fmt.Sprintf("pool timeout after %v: %d of %d connections to all origins open, %d waiting",
			e.Waited, e.TotalOpen, e.Limit, e.TotalWaiting)
	}
	return fmt.Sprintf("pool timeout after %v: %d of %d connections in use (%d being dialled), %d waiting",
		e.Waited, e.Active+e.Dialing, e.Limit, e.Dialing, e.Waiting)
}

// Timeout tells that the error is a timeout.
func (e *WaitError) Timeout() bool { return true }

// waiter is a request that waits for a connection. Its fields are guarded by origin.mu until it has ended, and belong
// to the request from then on.
type waiter[K comparable, C Conn] struct {
	ctx      context.Context
	want     Want
	seq      uint64
	pos      node[waiter[K, C]]
	replacer bool        // of Replace: in origin.replacers, else in origin.waiters
	queued   bool        // has no dial and its time runs
	counted  bool        // in Counters.Waits
	dial     *dial[K, C] // in flight for it
	began    instant
	since    instant       // began to be queued
	waited   time.Duration // was queued before
	timer    *time.Timer   // nil: no bound
	spare    *time.Timer   // a stopped timer to use

	ended bool
	ready chan struct{} // has capacity for the one signal that it has ended
	entry *Entry[K, C]
	got   Got
	err   error
}

func (p *Pool[K, C]) newWaiter(ctx context.Context, want Want, now instant) *waiter[K, C] {
	w, _ := p.spare.Get().(*waiter[K, C])
	if w == nil {
		w = &waiter[K, C]{ready: make(chan struct{}, 1)}
		w.pos.value = w
	}
	w.ctx, w.want, w.began = ctx, want, now
	return w
}

// recycle keeps a waiter that has ended and was received for the next request.
func (p *Pool[K, C]) recycle(w *waiter[K, C]) {
	timer := w.spare
	if w.timer != nil {
		timer = w.timer
		timer.Stop()
	}
	*w = waiter[K, C]{ready: w.ready, spare: timer}
	w.pos.value = w
	p.spare.Put(w)
}

// startLocked lets the waiter's time run: it has no dial.
func (w *waiter[K, C]) startLocked(o *origin[K, C], now instant) {
	w.queued = true
	w.since = now
	o.unbound++
	o.pool.waiting.Add(1)
	if w.timer != nil {
		w.timer.Reset(w.want.Wait - w.waited)
	}
}

// stopLocked stops it.
func (w *waiter[K, C]) stopLocked(o *origin[K, C], now instant) {
	w.queued = false
	w.waited += time.Duration(now - w.since)
	o.unbound--
	o.pool.waiting.Add(-1)
	if w.timer != nil {
		w.timer.Stop()
	}
}

// armLocked gives the waiter what it needs to sleep. At most a dial has been found for it until now: had there been a
// connection, it would not have become a waiter.
func (w *waiter[K, C]) armLocked(o *origin[K, C]) {
	if w.queued {
		w.countLocked(o)
	}
	if w.want.Wait <= 0 || w.replacer {
		return
	}
	if w.timer = w.spare; w.timer == nil {
		w.timer = time.NewTimer(w.want.Wait)
	} else {
		w.timer.Reset(w.want.Wait)
	}
	if !w.queued {
		w.timer.Stop() // until it loses its dial
	}
}

func (w *waiter[K, C]) countLocked(o *origin[K, C]) {
	if !w.counted {
		w.counted = true
		o.counters.Waits++
	}
}

// enqueueLocked puts w at the end of the queue, or at its front if it came before all others.
func (o *origin[K, C]) enqueueLocked(w *waiter[K, C], first bool, now instant) {
	if o.waiters.n == 0 {
		o.hasty = false
	}
	if first {
		o.waiters.pushFront(&w.pos) // with number 0
	} else {
		w.seq = o.pool.sequence.Add(1)
		o.waiters.pushBack(&w.pos)
	}
	w.startLocked(o, now)
}

// leaveLocked takes w out of the queue. Its dial becomes an orphan: the caller settles.
func (o *origin[K, C]) leaveLocked(w *waiter[K, C], now instant) {
	if w.replacer {
		o.replacers.remove(&w.pos)
	} else {
		o.waiters.remove(&w.pos)
	}
	if w.queued {
		w.stopLocked(o, now)
	}
	o.orphanLocked(w)
	if w.waited > 0 {
		w.countLocked(o)
		o.counters.WaitTime += w.waited
	}
	w.ended = true
}

// deliverLocked lends e to w.
func (o *origin[K, C]) deliverLocked(w *waiter[K, C], e *Entry[K, C], now instant, reused bool) {
	o.lendLocked(e, now, reused)
	o.endLocked(w, e, reused, nil, now)
}

// endLocked gives w its result.
func (o *origin[K, C]) endLocked(w *waiter[K, C], e *Entry[K, C], reused bool, err error, now instant) {
	o.leaveLocked(w, now)
	w.entry, w.err = e, err
	// Times that callers have read may come out of order.
	waited := max(w.waited, 0)
	w.got = Got{Reused: reused, Waited: waited, Dialing: max(time.Duration(now-w.began)-waited, 0)}
	w.ready <- struct{}{}
}

// await waits until w has ended, by its result, by its context or by its bound.
func (p *Pool[K, C]) await(o *origin[K, C], w *waiter[K, C]) (*Entry[K, C], Got, error) {
	var expired <-chan time.Time
	if w.timer != nil {
		expired = w.timer.C
	}
	for {
		select {
		case <-w.ready:
			e, got, err := w.entry, w.got, w.err
			p.recycle(w)
			return e, got, err
		case <-w.ctx.Done():
			got, err := p.giveUp(o, w), contextError(w.ctx)
			p.recycle(w)
			return nil, got, err
		case <-expired:
			if err := p.expireWaiter(o, w); err != nil {
				got := Got{Waited: err.Waited}
				p.recycle(w)
				return nil, got, err
			}
		}
	}
}

// giveUp ends w for its context. What it had been given at this very moment is passed on.
func (p *Pool[K, C]) giveUp(o *origin[K, C], w *waiter[K, C]) Got {
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	if !w.ended {
		o.leaveLocked(w, now)
		o.settleLocked(now, &wk)
	} else {
		<-w.ready
		if e := w.entry; e != nil {
			e.requests.Add(-1)
			if w.got.Reused {
				o.counters.Reuses--
			}
			o.endLoanLocked(e, 0, now, &wk)
		}
	}
	got := Got{Waited: w.waited, Dialing: time.Duration(now-w.began) - w.waited}
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
	return got
}

// expireWaiter ends w if its bound has passed and it has neither a result nor a dial.
func (p *Pool[K, C]) expireWaiter(o *origin[K, C], w *waiter[K, C]) *WaitError {
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	if w.ended || !w.queued {
		o.mu.Unlock()
		return nil
	}
	if left := w.want.Wait - w.waited - time.Duration(now-w.since); left > 0 {
		w.timer.Reset(left)
		o.mu.Unlock()
		return nil
	}
	if o.holdsLocked(now) && o.reserveLocked(p.limits.Load()) {
		o.dialLocked(w, now) // it has waited long enough for somebody else's
		o.mu.Unlock()
		return nil
	}
	err := o.waitErrorLocked(w, now)
	o.leaveLocked(w, now)
	o.counters.WaitTimeouts++
	o.settleLocked(now, &wk)
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
	return err
}

func (o *origin[K, C]) waitErrorLocked(w *waiter[K, C], now instant) *WaitError {
	p := o.pool
	l := p.limits.Load()
	err := &WaitError{
		Waited: w.waited + time.Duration(now-w.since), Limit: l.Hard,
		Active: o.lent.n, Idle: o.idle.n, Dialing: o.dialing, Waiting: o.unbound,
	}
	if l.Total > 0 && (l.Hard <= 0 || o.slots < l.Hard) {
		err.Total, err.Limit = true, l.Total
		err.TotalOpen, err.TotalWaiting = int(p.used.Load()), int(p.waiting.Load())
	}
	return err
}

// contextError is an error that matches both what ended the context and why.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
