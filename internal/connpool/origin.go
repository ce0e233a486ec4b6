package connpool

import (
	"sync"
	"time"
)

// origin is all that the pool knows of one key.
type origin[K comparable, C Conn] struct {
	pool *Pool[K, C]
	key  K

	mu        sync.Mutex
	dead      bool // out of the map: look it up again
	slots     int  // connections lent, idle, being dialled and being closed
	dialing   int
	closing   int
	borrowers int
	unbound   int // waiters without a dial
	idle      list[Entry[K, C]]
	lent      list[Entry[K, C]] // the longest lent first
	open      []*Entry[K, C]    // lent ones that may serve further borrowers
	waiters   list[waiter[K, C]]
	replacers list[waiter[K, C]] // those of Replace, each bound to a dial whose connection nobody else can take
	orphans   list[dial[K, C]]   // dials in flight that are bound to no waiter
	counters  Counters
	peak      int // connections lent at once, at most

	sharing  Sharing
	patience instant     // until when requests wait for a dial under ShareMaybe; 0: none has begun
	hold     *time.Timer // set while they do
	hasty    bool        // the last dial failed, and some who waited for it have yet to be served

	// What the pool's heaps have been told, so that they need not be asked.
	need    int    // dials that only the total limit forbids
	needSeq uint64 // the number of the first waiter who wants one
	dueAt   instant
	ranked  bool // is in Pool.idlest

	places [heapKinds]place // guarded by Pool.mu
}

func (o *origin[K, C]) emptyLocked() bool {
	return o.slots == 0 && o.waiters.n == 0 && o.replacers.n == 0
}

// reserveLocked takes a slot for a dial, if the limits allow it and nobody else is waiting for the total limit.
func (o *origin[K, C]) reserveLocked(l *Limits) bool {
	if l.Hard > 0 && o.slots >= l.Hard {
		return false
	}
	p := o.pool
	if l.Total > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.needs.min() != nil || p.used.Load() >= int64(l.Total) {
			return false
		}
	}
	o.takeSlotLocked()
	return true
}

func (o *origin[K, C]) takeSlotLocked() {
	o.slots++
	o.pool.used.Add(1)
}

func (o *origin[K, C]) freeSlotLocked() {
	o.slots--
	o.pool.used.Add(-1)
}

// lendLocked begins a loan of a connection that is in no list, or is lent already.
func (o *origin[K, C]) lendLocked(e *Entry[K, C], now instant, reused bool) {
	if e.borrowers == 0 {
		e.state = stateLent
		e.lentAt = now
		o.lent.pushBack(&e.pos)
		o.peak = max(o.peak, o.lent.n)
	}
	e.borrowers++
	o.borrowers++
	e.requests.Add(1)
	if reused {
		o.counters.Reuses++
	}
}

// returnLocked ends a loan, and tells whether it was the last one; the connection is then in no list.
func (o *origin[K, C]) returnLocked(e *Entry[K, C]) (last bool) {
	e.borrowers--
	o.borrowers--
	if e.borrowers > 0 {
		return false
	}
	o.lent.remove(&e.pos)
	o.shutLocked(e)
	return true
}

// openLocked notes that a lent connection may serve more borrowers.
func (o *origin[K, C]) openLocked(e *Entry[K, C]) {
	if !e.open && !e.checking.Load() && e.why == 0 {
		e.open = true
		o.open = append(o.open, e)
	}
}

// shutLocked takes the note back.
func (o *origin[K, C]) shutLocked(e *Entry[K, C]) {
	if !e.open {
		return
	}
	e.open = false
	last := len(o.open) - 1
	for i, other := range o.open {
		if other == e {
			o.open[i] = o.open[last]
			break
		}
	}
	o.open[last] = nil
	o.open = o.open[:last]
}

// roomLocked finds a lent connection that can serve one more borrower.
func (o *origin[K, C]) roomLocked(l *Limits, now instant) *Entry[K, C] {
	for len(o.open) > 0 {
		e := o.open[len(o.open)-1]
		capacity := e.Conn.Capacity()
		why := e.wornLocked(l, now)
		if why == 0 && capacity <= 0 {
			why = ReasonRetired
		}
		if why == 0 && capacity > e.borrowers {
			return e
		}
		e.why = why // if it is merely full, the end of a loan or Wake opens it again
		o.shutLocked(e)
	}
	return nil
}

// popIdleLocked takes the connection that was idle last and may be lent again, with its capacity. Those that may not
// are put into wk.
func (o *origin[K, C]) popIdleLocked(l *Limits, now instant, wk *work[K, C]) (*Entry[K, C], int) {
	for {
		e := o.idle.popFront()
		if e == nil {
			return nil, 0
		}
		if due, why := e.dueLocked(l, 0); now >= due {
			o.closeLocked(e, why, wk)
			continue
		}
		if why := e.wornLocked(l, now); why != 0 {
			o.closeLocked(e, why, wk)
			continue
		}
		capacity := e.Conn.Capacity()
		if capacity <= 0 {
			o.closeLocked(e, ReasonRetired, wk)
			continue
		}
		return e, capacity
	}
}

// pushIdleLocked pools a connection that is in no list.
func (o *origin[K, C]) pushIdleLocked(e *Entry[K, C], l *Limits, now instant) {
	e.state = stateIdle
	e.idleAt = now
	o.idle.pushFront(&e.pos)
	due, _ := e.dueLocked(l, 0)
	if l.Soft >= 0 && o.idle.n > l.Soft && l.SurplusIdle > 0 {
		// One more is surplus. None of the surplus ones became idle before the last one.
		due = min(due, o.idle.back().idleAt.after(l.SurplusIdle))
	}
	o.scheduleLocked(due, now)
	if l.Total > 0 && !o.ranked {
		o.rankLocked(o.idle.back())
	}
}

// closeLocked gives a connection that is in no list to whoever does wk.
func (o *origin[K, C]) closeLocked(e *Entry[K, C], why Reason, wk *work[K, C]) {
	e.state = stateClosing
	e.why = why
	o.closing++
	wk.closing.pushBack(&e.pos)
}

// goneLocked is the end of a connection whose Close has returned. It leaves the slot.
func (o *origin[K, C]) goneLocked(e *Entry[K, C]) {
	e.state = stateGone
	o.closing--
	o.counters.closed(e.why)
	if e.requests.Load() <= 1 {
		o.counters.Single++
	}
}

// freeLocked decides what becomes of a connection whose last loan has ended and which is in no list.
func (o *origin[K, C]) freeLocked(e *Entry[K, C], now instant, wk *work[K, C]) {
	p := o.pool
	l := p.limits.Load()
	why := e.wornLocked(l, now)
	capacity := e.Conn.Capacity()
	switch {
	case why != 0:
	case p.closed.Load():
		why = ReasonPoolClosed
	case capacity <= 0:
		why = ReasonRetired
	case l.Hard > 0 && o.slots > l.Hard, l.Total > 0 && p.used.Load() > int64(l.Total):
		why = ReasonLimits
	}
	if why != 0 {
		o.closeLocked(e, why, wk)
		return
	}
	w := o.waiters.front()
	if w == nil {
		o.pushIdleLocked(e, l, now)
		if p.needy.Load() > 0 {
			wk.balance = true
		}
		return
	}
	if p.needy.Load() > 0 && p.yieldsTo(o, w.seq) {
		e.making = true
		o.closeLocked(e, ReasonMadeRoom, wk)
		return
	}
	o.deliverLocked(w, e, now, true)
	if capacity > 1 {
		o.openLocked(e)
	}
	o.settleLocked(now, wk)
}

// settleLocked gives the waiters what there is for them, in their order: room on lent connections, dials in flight
// that lost their requester, and new dials. It is called whenever one of these, a slot or a waiter was added.
//
// After it, if somebody waits then there is no room on any connection that the pool knows of, and none is idle: who
// finds an idle connection does not wait, and a connection that becomes free while somebody waits does not become idle.
func (o *origin[K, C]) settleLocked(now instant, wk *work[K, C]) {
	l := o.pool.limits.Load()
	for o.waiters.n > 0 {
		e := o.roomLocked(l, now)
		if e == nil {
			break
		}
		o.deliverLocked(o.waiters.front(), e, now, true)
	}
	o.bindLocked(l, now)
	o.needLocked(l, wk)
	if o.emptyLocked() {
		wk.empty = o
	}
}

// bindLocked sees to it that the first waiters who can have a dial have one.
func (o *origin[K, C]) bindLocked(l *Limits, now instant) {
	for n := o.waiters.head; n != nil && o.unbound > 0; n = n.next {
		w := n.value
		if w.dial != nil {
			continue
		}
		if d := o.orphanFor(w, now); d != nil {
			o.adoptLocked(w, d, now)
		} else if o.holdsLocked(now) {
			return
		} else if o.reserveLocked(l) {
			o.dialLocked(w, now)
		} else if o.orphans.n == 0 {
			return
		}
	}
}
