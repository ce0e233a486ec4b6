package connpool

import (
	"context"
	"errors"
	"time"
)

// dial is a dial in flight. It is bound to one waiter, who gets its error if it fails, or it is an orphan: its
// requester gave up, or got a freed connection. Its connection goes to whoever is first.
type dial[K comparable, C Conn] struct {
	origin    *origin[K, C]
	ctx       context.Context // of the request that started it
	deadline  instant         // 0: none
	pos       node[dial[K, C]]
	waiter    *waiter[K, C] // guarded by origin.mu, as is the next
	exclusive bool          // of a Replace: its connection goes to its waiter
	warming   *warming      // of a Warm: wants to know what came of it
}

// dialLocked starts a dial for w in a slot that has been taken for it.
func (o *origin[K, C]) dialLocked(w *waiter[K, C], now instant) *dial[K, C] {
	d := &dial[K, C]{origin: o, ctx: w.ctx, exclusive: w.replacer}
	if w.want.Connect > 0 {
		d.deadline = now.after(w.want.Connect)
	}
	d.startLocked(now)
	o.bindToLocked(w, d, now)
	return d
}

// startLocked starts the dial, and gives its place in a list.
func (d *dial[K, C]) startLocked(now instant) *node[dial[K, C]] {
	o := d.origin
	d.pos.value = d
	o.dialBegunLocked(now)
	o.counters.Dials++
	go o.pool.run(d)
	return &d.pos
}

// orphanFor finds a dial in flight for w that ends within the time that w allows a dial.
func (o *origin[K, C]) orphanFor(w *waiter[K, C], now instant) *dial[K, C] {
	for n := o.orphans.head; n != nil; n = n.next {
		d := n.value
		if w.want.Connect <= 0 || d.deadline != 0 && d.deadline <= now.after(w.want.Connect) {
			return d
		}
	}
	return nil
}

// adoptLocked binds an orphan to w.
func (o *origin[K, C]) adoptLocked(w *waiter[K, C], d *dial[K, C], now instant) {
	o.orphans.remove(&d.pos)
	o.bindToLocked(w, d, now)
}

func (o *origin[K, C]) bindToLocked(w *waiter[K, C], d *dial[K, C], now instant) {
	d.waiter, w.dial = w, d
	if w.queued {
		w.stopLocked(o, now)
	}
}

// orphanLocked takes the dial from its waiter, if it has one. The dial is then in o.orphans.
func (o *origin[K, C]) orphanLocked(w *waiter[K, C]) {
	d := w.dial
	if d == nil {
		return
	}
	w.dial, d.waiter = nil, nil
	d.exclusive = false
	o.orphans.pushBack(&d.pos)
}

// run does the dial and hands out its result.
func (p *Pool[K, C]) run(d *dial[K, C]) {
	var c C
	err := errDialEnded // what stands if Dial ends the goroutine instead of returning
	defer func() { p.settle(d, c, err) }()
	c, err = p.dial(d)
}

// settle gives what came of a dial to whom it is due.
func (p *Pool[K, C]) settle(d *dial[K, C], c C, err error) {
	o := d.origin
	var e *Entry[K, C]
	if err == nil {
		e = newEntry(o, c, p.now())
		if p.cfg.Opened != nil {
			p.cfg.Opened(e)
		}
	}
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	o.dialEndedLocked(err != nil)
	if d.waiter == nil {
		o.orphans.remove(&d.pos)
	}
	if err != nil {
		o.failedLocked(d, err, now)
		o.freeSlotLocked()
		o.settleLocked(now, &wk)
		wk.balance = wk.balance || p.needy.Load() > 0
	} else {
		o.dialedLocked(d, e, now, &wk)
	}
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
	if d.warming != nil {
		d.warming.ended(err)
	}
}

var errDialEnded = errors.New("the dialer ended its goroutine")

// dial calls Config.Dial under a context that has the requester's values but the pool's lifetime.
func (p *Pool[K, C]) dial(d *dial[K, C]) (C, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(d.ctx))
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(ErrClosed) })()
	if d.deadline != 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, p.epoch.Add(time.Duration(d.deadline)))
		defer stop()
	}
	return p.cfg.Dial(ctx, d.origin.key)
}

// failedLocked hands a dial's error to the one waiter it is bound to, if there still is one.
func (o *origin[K, C]) failedLocked(d *dial[K, C], err error, now instant) {
	o.counters.DialErrors++
	w := d.waiter
	if w == nil {
		return
	}
	d.waiter, w.dial = nil, nil
	if o.pool.closed.Load() {
		err = ErrClosed
	}
	o.endLocked(w, nil, false, err, now)
}

// dialedLocked hands out a new connection: to the waiter of Replace that it was dialled for, else to the first in the
// queue, else to the pool.
func (o *origin[K, C]) dialedLocked(d *dial[K, C], e *Entry[K, C], now instant, wk *work[K, C]) {
	p := o.pool
	e.ageLocked(p.limits.Load())
	w := d.waiter
	if w != nil {
		d.waiter, w.dial = nil, nil
		if !d.exclusive {
			w.startLocked(o, now)
			w = o.waiters.front()
		}
	} else {
		w = o.waiters.front()
	}
	if w == nil {
		o.freeLocked(e, now, wk)
		return
	}
	o.deliverLocked(w, e, now, false)
	if e.Conn.Capacity() > 1 {
		o.openLocked(e)
	}
	o.settleLocked(now, wk)
}
