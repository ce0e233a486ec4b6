package connpool

import "time"

// scheduleLocked has the origin looked at when something may expire at due. A look that is planned for earlier
// stays: it will find out when the next one is needed. That keeps the pool's lock and timer out of most releases.
func (o *origin[K, C]) scheduleLocked(due, now instant) {
	if due == never || o.dueAt != 0 && o.dueAt <= due {
		return
	}
	o.dueAt = due
	p := o.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due.set(o, int64(due))
	p.armLocked(now)
}

// armLocked sets the timer for the first origin to look at. It is called with Pool.mu held.
func (p *Pool[K, C]) armLocked(now instant) {
	o := p.due.min()
	if o == nil {
		if p.armedAt != 0 {
			p.armedAt = 0
			p.timer.Stop()
		}
		return
	}
	at := instant(p.due.key(o))
	if p.armedAt != 0 && p.armedAt <= at {
		return
	}
	p.armedAt = at
	wait := time.Duration(max(at-now, 0))
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.expire)
	} else {
		p.timer.Reset(wait)
	}
}

// expire is what the timer does: it looks at every origin whose time has come.
func (p *Pool[K, C]) expire() {
	var wk work[K, C]
	now := p.now()
	p.mu.Lock()
	p.armedAt = 0
	for {
		o := p.due.min()
		if o == nil || instant(p.due.key(o)) > now {
			break
		}
		p.due.remove(o)
		p.mu.Unlock()
		o.mu.Lock()
		if !o.dead {
			o.dueAt = 0
			o.expireLocked(now, &wk)
		}
		o.mu.Unlock()
		p.mu.Lock()
	}
	p.armLocked(now)
	p.mu.Unlock()
	p.finish(&wk)
}

// expireLocked takes out the idle connections whose time has come and plans the next look.
func (o *origin[K, C]) expireLocked(now instant, wk *work[K, C]) {
	l := o.pool.limits.Load()
	next := never
	rank := 0
	for n := o.idle.head; n != nil; rank++ {
		e := n.value
		n = n.next
		due, why := e.dueLocked(l, rank)
		if due <= now {
			o.idle.remove(&e.pos)
			o.closeLocked(e, why, wk)
			continue
		}
		next = min(next, due)
	}
	o.scheduleLocked(next, now)
}
