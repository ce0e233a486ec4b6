package connpool

// Limits gives the limits of this moment.
func (p *Pool[K, C]) Limits() Limits { return *p.limits.Load() }

// SetLimits changes the limits at once. Waiting requests get what higher limits allow. Lower ones close idle
// connections in excess of them, and others as they become free; none is closed while lent. It takes time in
// proportion to the number of origins and connections.
func (p *Pool[K, C]) SetLimits(l Limits) {
	p.limits.Store(&l)
	all, _ := p.snapshot()
	var wk work[K, C]
	for _, o := range all {
		o.mu.Lock()
		o.limitLocked(p.now(), &wk)
		o.mu.Unlock()
		p.tidy(&wk)
	}
	p.finish(&wk)
	for {
		l := p.limits.Load()
		if l.Total <= 0 || p.used.Load() <= int64(l.Total) {
			break
		}
		e := p.takeIdlest(ReasonLimits)
		if e == nil {
			break
		}
		wk.closing.pushBack(&e.pos)
		p.finish(&wk)
	}
}

// limitLocked applies the limits of this moment to an origin.
func (o *origin[K, C]) limitLocked(now instant, wk *work[K, C]) {
	if o.dead {
		return
	}
	l := o.pool.limits.Load()
	for n := o.idle.head; n != nil; n = n.next {
		n.value.ageLocked(l)
	}
	for n := o.lent.head; n != nil; n = n.next {
		n.value.ageLocked(l)
	}
	for excess := o.slots - o.closing - l.Hard; l.Hard > 0 && excess > 0 && o.idle.n > 0; excess-- {
		e := o.idle.back()
		o.idle.remove(&e.pos)
		o.closeLocked(e, ReasonLimits, wk)
	}
	o.expireLocked(now, wk)
	if l.Total > 0 {
		o.rankLocked(o.idle.back())
		o.needLocked(l, wk) // and rebalance serves the origins in the order of their waiters
		return
	}
	if o.ranked {
		o.rankLocked(nil)
	}
	o.settleLocked(now, wk)
}

// CloseIdle closes the connections that are idle now.
func (p *Pool[K, C]) CloseIdle() {
	all, _ := p.snapshot()
	var wk work[K, C]
	for _, o := range all {
		o.mu.Lock()
		o.closeIdleLocked(ReasonCloseIdle, &wk)
		o.mu.Unlock()
	}
	p.finish(&wk)
}

func (o *origin[K, C]) closeIdleLocked(why Reason, wk *work[K, C]) {
	for e := o.idle.popFront(); e != nil; e = o.idle.popFront() {
		o.closeLocked(e, why, wk)
	}
}

// Close closes the pool: waiting requests fail with ErrClosed, dials are cancelled, idle connections are closed, and
// those that are lent are closed when their loans end. It waits neither for these nor for the dials. Closing twice is
// harmless. The error is always nil.
func (p *Pool[K, C]) Close() error {
	p.mapMu.Lock()
	was := p.closed.Swap(true)
	p.mapMu.Unlock()
	if was {
		return nil
	}
	p.cancel(ErrClosed)
	all, _ := p.snapshot()
	var wk work[K, C]
	for _, o := range all {
		now := p.now()
		o.mu.Lock()
		for _, queue := range []*list[waiter[K, C]]{&o.waiters, &o.replacers} {
			for w := queue.front(); w != nil; w = queue.front() {
				o.endLocked(w, nil, false, ErrClosed, now)
			}
		}
		o.closeIdleLocked(ReasonPoolClosed, &wk)
		o.settleLocked(now, &wk)
		o.mu.Unlock()
		p.tidy(&wk)
	}
	p.finish(&wk)
	p.mu.Lock()
	defer p.mu.Unlock()
	for o := p.due.min(); o != nil; o = p.due.min() {
		p.due.remove(o)
	}
	p.armLocked(p.now())
	return nil
}
