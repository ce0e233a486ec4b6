package connpool

import "time"

// learnLocked asks what is known of the origin's connections.
func (o *origin[K, C]) learnLocked() {
	if f := o.pool.cfg.Sharing; f != nil {
		o.sharing = f(o.key)
	}
}

// holdsLocked reports whether a request should wait for what another's dial brings, rather than dial itself.
func (o *origin[K, C]) holdsLocked(now instant) bool {
	switch {
	case o.hasty:
		return false
	case o.sharing == ShareAlways:
		return o.dialing > 0 || o.growsLocked()
	case o.sharing == ShareMaybe:
		return o.dialing > 0 && o.patientLocked(now)
	}
	return false
}

// growsLocked reports whether a lent connection is about to have room: because its peer is about to say so, or because
// the one who took it out of idleness has yet to check it.
func (o *origin[K, C]) growsLocked() bool {
	grows := o.pool.cfg.Growing
	for n := o.lent.head; n != nil; n = n.next {
		e := n.value
		if e.why == 0 && (grows != nil && grows(e.Conn) || e.checkedSoonLocked()) {
			return true
		}
	}
	return false
}

// checkedSoonLocked reports whether the connection is being checked, and sees to it that the origin is settled when
// that is over.
func (e *Entry[K, C]) checkedSoonLocked() bool {
	if !e.checking.Load() {
		return false
	}
	e.awaited.Store(true)
	return e.checking.Load() // asked again: it may have ended before it was told
}

// patientLocked reports whether the first dial is still worth waiting for, and sees to it that somebody looks again
// when it is not any more.
func (o *origin[K, C]) patientLocked(now instant) bool {
	if now >= o.patience {
		return false
	}
	left := time.Duration(o.patience - now)
	switch {
	case o.hold == nil:
		o.hold = time.AfterFunc(left, o.hurry)
	default:
		o.hold.Reset(left)
	}
	return true
}

// hurry lets those dial who have waited long enough.
func (o *origin[K, C]) hurry() {
	var wk work[K, C]
	o.mu.Lock()
	if !o.dead {
		o.settleLocked(o.pool.now(), &wk)
	}
	o.mu.Unlock()
	if wk.any() {
		o.pool.finish(&wk)
	}
}

// dialBegunLocked and dialEndedLocked keep the time of patience: it is counted from the first of the dials in flight.
func (o *origin[K, C]) dialBegunLocked(now instant) {
	if o.dialing == 0 && o.sharing == ShareMaybe {
		o.patience = now.after(sharePatience)
	}
	o.dialing++
}

func (o *origin[K, C]) dialEndedLocked(failed bool) {
	o.dialing--
	o.learnLocked()
	o.hasty = failed // the others see for themselves, and at once
	if o.hold != nil {
		o.hold.Stop()
	}
}
