package connpool

// needLocked tells the pool how many dials only the total limit keeps this origin from, and who waits for the first.
func (o *origin[K, C]) needLocked(l *Limits, wk *work[K, C]) {
	p := o.pool
	need, seq := 0, uint64(0)
	if l.Total > 0 && o.unbound > 0 && !p.closed.Load() && !o.holdsLocked(p.now()) {
		need = o.unbound
		if l.Hard > 0 {
			need = max(0, min(need, l.Hard-o.slots))
		}
	}
	if need > 0 {
		seq = o.firstUnboundLocked().seq
		wk.balance = true
	}
	if need == o.need && seq == o.needSeq {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.need += need - o.need
	o.need, o.needSeq = need, seq
	if need > 0 {
		p.needs.set(o, int64(seq))
	} else {
		p.needs.remove(o)
	}
	p.needy.Store(int64(len(p.needs.items)))
}

func (o *origin[K, C]) firstUnboundLocked() *waiter[K, C] {
	n := o.waiters.head
	for !n.value.queued {
		n = n.next
	}
	return n.value
}

// yieldsTo tells whether a connection of o that has become free is to be closed for another origin's waiter, because
// that one came before number seq, the first of o's own. If so, the caller closes it with Entry.making set.
func (p *Pool[K, C]) yieldsTo(o *origin[K, C], seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.needs.min()
	if first == nil || first == o || uint64(p.needs.key(first)) > seq || p.making >= p.need {
		return false
	}
	p.making++
	return true
}

// rebalance gives the slots that the total limit leaves to the waiters who need one, in the order of their coming
// over all origins, and makes room for them by closing the idlest idle connections. No lock may be held.
func (p *Pool[K, C]) rebalance() {
	for {
		p.mu.Lock()
		o := p.needs.min()
		if o == nil {
			p.mu.Unlock()
			return
		}
		if total := p.limits.Load().Total; total <= 0 || p.used.Load() < int64(total) {
			p.used.Add(1)
			p.mu.Unlock()
			p.grant(o)
			continue
		}
		if p.making >= p.need {
			p.mu.Unlock() // enough is on its way, and whoever makes it comes back here
			return
		}
		p.making++
		p.mu.Unlock()
		var wk work[K, C]
		if e := p.takeIdlest(ReasonMadeRoom); e != nil {
			e.making = true
			p.closeOne(e, &wk) // and what is left to balance is done here
			continue
		}
		p.mu.Lock()
		p.making--
		idle := p.idlest.min() != nil // since the look: whoever pooled it may have relied on this one
		p.mu.Unlock()
		if !idle {
			return
		}
	}
}

// grant uses a slot that has been counted in Pool.used already for the first waiter of o without a dial.
func (p *Pool[K, C]) grant(o *origin[K, C]) {
	var wk work[K, C]
	now := p.now()
	o.mu.Lock()
	l := p.limits.Load()
	if o.unbound > 0 && (l.Hard <= 0 || o.slots < l.Hard) {
		o.slots++
		o.dialLocked(o.firstUnboundLocked(), now)
	} else {
		p.used.Add(-1)
	}
	o.needLocked(l, &wk)
	o.mu.Unlock()
}

// rankLocked enters o among those who have idle connections, by its idlest one. Nothing is done when that one is
// lent: takeIdlest finds out.
func (o *origin[K, C]) rankLocked(idlest *Entry[K, C]) {
	p := o.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	o.ranked = idlest != nil
	if idlest == nil {
		p.idlest.remove(o)
	} else {
		p.idlest.set(o, int64(idlest.idleAt))
	}
}

// takeIdlest takes the idlest idle connection of all origins, to be closed for the reason why; nil if there is none.
// An origin's idlest connection only ever becomes less idle, so that an origin found at the head of the heap with the
// key it is there for is the right one, and the others are put where they belong.
func (p *Pool[K, C]) takeIdlest(why Reason) *Entry[K, C] {
	for {
		p.mu.Lock()
		o := p.idlest.min()
		if o == nil {
			p.mu.Unlock()
			return nil
		}
		key := p.idlest.key(o)
		p.mu.Unlock()
		o.mu.Lock()
		e := o.idle.back()
		if e == nil || int64(e.idleAt) > key {
			o.rankLocked(e)
			o.mu.Unlock()
			continue
		}
		var wk work[K, C]
		o.idle.remove(&e.pos)
		o.closeLocked(e, why, &wk)
		o.mu.Unlock()
		return wk.closing.popFront()
	}
}
