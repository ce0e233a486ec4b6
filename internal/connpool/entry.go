package connpool

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

type state uint8

const (
	stateLent    state = iota + 1 // has borrowers, is in origin.lent
	stateIdle                     // is in origin.idle
	stateClosing                  // belongs to whoever calls Close
	stateGone                     // closed or hijacked
)

// Entry is a connection in a pool: one for each connection, the same for each of its borrowers.
type Entry[K comparable, C Conn] struct {
	// Conn is the connection.
	Conn C

	origin    *origin[K, C]
	born      instant
	idleLimit atomic.Int64 // nanoseconds; 0: none
	requests  atomic.Int64
	checking  atomic.Bool // lent to one who still checks it: not to be shared
	awaited   atomic.Bool // somebody waits for the end of that

	// The rest is guarded by origin.mu, once the entry has been published.
	pos       node[Entry[K, C]]
	state     state
	open      bool   // is in origin.open
	making    bool   // closed for the needs of another origin, see Pool.making
	why       Reason // while lent: to be closed for this when the last borrower ends
	borrowers int
	lentAt    instant
	idleAt    instant
	expires   instant // by MaxAge; 0: never
	jitter    float64 // part of MaxAge that this connection goes without
}

func newEntry[K comparable, C Conn](o *origin[K, C], c C, now instant) *Entry[K, C] {
	e := &Entry[K, C]{Conn: c, origin: o, born: now, jitter: rand.Float64() / 10}
	e.pos.value = e
	return e
}

// Key is the key of the connection's origin.
func (e *Entry[K, C]) Key() K { return e.origin.key }

// Created is when the connection's dial ended.
func (e *Entry[K, C]) Created() time.Time { return e.origin.pool.epoch.Add(time.Duration(e.born)) }

// Requests is how many times the connection has been lent, the present loans included.
func (e *Entry[K, C]) Requests() int { return int(e.requests.Load()) }

// LimitIdle lets the connection be idle for d at most, if that is less than the pool's own limits say: what a server's
// Keep-Alive header hints at. It is called by a borrower before Release and holds until it is called again; 0 or less
// lifts it.
func (e *Entry[K, C]) LimitIdle(d time.Duration) { e.idleLimit.Store(int64(max(d, 0))) }

// ageLocked sets when the connection is too old.
func (e *Entry[K, C]) ageLocked(l *Limits) {
	e.expires = 0
	if l.MaxAge > 0 {
		e.expires = e.born.after(l.MaxAge - time.Duration(float64(l.MaxAge)*e.jitter))
	}
}

// wornLocked tells whether the connection must not be lent again at all, and why.
func (e *Entry[K, C]) wornLocked(l *Limits, now instant) Reason {
	switch {
	case e.why != 0:
		return e.why
	case e.expires != 0 && now >= e.expires:
		return ReasonMaxAge
	case l.MaxRequests > 0 && e.requests.Load() >= int64(l.MaxRequests):
		return ReasonMaxRequests
	}
	return 0
}

// never is later than every other instant.
const never = instant(math.MaxInt64)

// after is the instant d later.
func (i instant) after(d time.Duration) instant {
	if d >= time.Duration(never-i) {
		return never
	}
	return i + instant(d)
}

// dueLocked is when an idle connection with rank others less idle has to be closed, and for what.
func (e *Entry[K, C]) dueLocked(l *Limits, rank int) (instant, Reason) {
	due, why := never, Reason(0)
	until := func(at instant, r Reason) {
		if at < due {
			due, why = at, r
		}
	}
	if l.IdleTimeout > 0 {
		until(e.idleAt.after(l.IdleTimeout), ReasonIdleTimeout)
	}
	if hint := e.idleLimit.Load(); hint > 0 {
		until(e.idleAt.after(time.Duration(hint)), ReasonIdleTimeout)
	}
	if l.SurplusIdle > 0 && l.Soft >= 0 && rank >= l.Soft {
		until(e.idleAt.after(l.SurplusIdle), ReasonSurplusIdle)
	}
	if e.expires != 0 {
		until(e.expires, ReasonMaxAge)
	}
	return due, why
}
