package connpool

import "time"

// Release ends a loan after which the connection is fine: it goes to the first request waiting for one, or becomes
// idle, unless it has to be retired. Ending a loan twice is a bug that would lend one connection to two; where it can
// be seen, because nobody borrows the connection any more, it is a panic.
func (p *Pool[K, C]) Release(e *Entry[K, C]) { p.end(e, 0, "released", p.now()) }

// ReleaseAt is Release for callers that have just read the time: see Want.Now. It gives the reason for which the
// connection was closed, 0 if it was not.
func (p *Pool[K, C]) ReleaseAt(e *Entry[K, C], now time.Time) Reason {
	return p.end(e, 0, "released", p.at(now))
}

// Discard ends a loan after which the connection must not be lent again: it is closed for the reason why when its
// last borrower has ended. The first reason given counts; 0 is ReasonError. It panics as Release does.
func (p *Pool[K, C]) Discard(e *Entry[K, C], why Reason) {
	if why == 0 {
		why = ReasonError
	}
	p.end(e, why, "discarded", p.now())
}

func (p *Pool[K, C]) end(e *Entry[K, C], why Reason, verb string, now instant) (closed Reason) {
	o := e.origin
	var wk work[K, C]
	o.mu.Lock()
	o.mustBeLent(e, verb)
	o.endLoanLocked(e, why, now, &wk)
	if e.state == stateClosing {
		closed = e.why
	}
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
	return closed
}

// mustBeLent panics, with the lock of o let go, if nobody borrows e.
func (o *origin[K, C]) mustBeLent(e *Entry[K, C], verb string) {
	if e.borrowers > 0 {
		return
	}
	o.mu.Unlock()
	panic("connpool: a connection was " + verb + " that nobody has borrowed: its loan had been ended before")
}

// endLoanLocked ends a loan, for a reason not to lend the connection again if why is not 0.
func (o *origin[K, C]) endLoanLocked(e *Entry[K, C], why Reason, now instant, wk *work[K, C]) {
	if why != 0 && e.why == 0 {
		e.why = why
		o.shutLocked(e)
	}
	switch {
	case o.returnLocked(e):
		o.freeLocked(e, now, wk)
	case e.why == 0:
		o.openLocked(e)
		o.settleLocked(now, wk)
	}
}

// Hijack ends the only loan of a connection and takes it out of the pool for good, without Close: it is the caller's.
// Its slot is free. Hijacking a connection that others borrow too, or nobody, is a bug of the caller and panics.
func (p *Pool[K, C]) Hijack(e *Entry[K, C]) {
	o := e.origin
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	o.mustBeLent(e, "hijacked")
	if e.borrowers > 1 {
		o.mu.Unlock()
		panic("connpool: a connection was hijacked that others have borrowed too")
	}
	o.returnLocked(e)
	e.state = stateGone
	o.counters.closed(ReasonHijacked)
	o.freeSlotLocked()
	o.settleLocked(now, &wk)
	o.mu.Unlock()
	wk.balance = wk.balance || p.needy.Load() > 0
	if wk.any() {
		p.finish(&wk)
	}
}

// Wake tells the pool that the capacity of a connection has changed: waiting requests take new room, and an idle
// connection whose capacity fell to 0 is closed. The connection's owner calls it, with no lock that Capacity, Close or
// Dial want. It may call Close, and it does nothing for a connection that has left the pool.
func (p *Pool[K, C]) Wake(e *Entry[K, C]) {
	o := e.origin
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	switch {
	case e.state == stateLent:
		o.openLocked(e)
		o.settleLocked(now, &wk)
	case e.state == stateIdle && e.Conn.Capacity() <= 0:
		o.idle.remove(&e.pos)
		o.closeLocked(e, ReasonRetired, &wk)
	}
	o.mu.Unlock()
	if wk.any() {
		p.finish(&wk)
	}
}
