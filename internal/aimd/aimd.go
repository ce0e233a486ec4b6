// Package aimd bounds how many things are done at once for each key, by a limit that
// grows while all goes well and shrinks when it does not (additive increase,
// multiplicative decrease). It knows nothing of HTTP.
package aimd

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/lru"
)

// Limits are the bounds of a limit. All are above 0, Min <= Initial <= Max.
type Limits struct {
	Min, Initial, Max int
	// Tolerance is how many times the usual latency the recent one may be before it
	// counts as overload; 0: latency does not count.
	Tolerance float64
}

const (
	// decrease is what a limit is multiplied with on overload, as in CUBIC (RFC 9438,
	// section 4.6).
	decrease = 0.7
	// recent and usual are how many answers the two means of the latency are taken
	// over: the one is to notice a change, the other to outlast it.
	recent = 10
	usual  = 600
	// maxGates bounds for how many keys something is remembered that nobody uses.
	maxGates = 1000
)

// Gates holds a gate for each key. It is safe for concurrent use.
type Gates[K comparable] struct {
	limits Limits

	mu    sync.Mutex
	gates *lru.Map[K, *gate]
}

// New makes Gates.
func New[K comparable](l Limits) *Gates[K] {
	return &Gates[K]{limits: l, gates: lru.New[K](maxGates, func(g *gate) bool { return g.used > 0 || g.waiters.Len() > 0 })}
}

// gate is guarded by the mutex of its Gates.
type gate struct {
	limit   float64
	used    int
	waiters list.List // of chan struct{}, closed when a slot was given
	falls   int       // how often the limit has shrunk

	answers       int // up to usual
	recent, usual float64
}

// Slot is leave to do one thing. Its methods are safe for concurrent use.
type Slot struct {
	mu       *sync.Mutex
	limits   *Limits
	gate     *gate
	falls    int // of the gate, at the beginning
	released bool
	// Waited is how long it was waited for, and Limit what the limit was.
	Waited time.Duration
	Limit  int
}

// FullError is a wait that took too long.
type FullError struct {
	After                time.Duration
	Used, Limit, Waiting int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("after %v: %d of %d in use, %d waiting", e.After, e.Used, e.Limit, e.Waiting)
}

// Acquire waits for a slot, first come, first served, at most for wait, if that is more
// than 0. The error is a *FullError or that of ctx.
func (g *Gates[K]) Acquire(ctx context.Context, key K, wait time.Duration) (*Slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	at, ok := g.gates.Get(key)
	if !ok {
		at = &gate{limit: float64(g.limits.Initial)}
		g.gates.Put(key, at)
	}
	if at.waiters.Len() == 0 && at.free() {
		at.used++
		s := g.slotLocked(at)
		g.mu.Unlock()
		return s, nil
	}
	given := make(chan struct{})
	place := at.waiters.PushBack(given)
	g.mu.Unlock()

	began := time.Now()
	var late <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case <-given:
	case <-late:
		err = &FullError{After: wait}
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-given: // perhaps at the same moment: it is taken, or passed on
		if err == nil || ctx.Err() == nil {
			s := g.slotLocked(at)
			s.Waited = time.Since(began)
			return s, nil
		}
		at.used--
	default:
		at.waiters.Remove(place)
	}
	at.serve()
	if full, ok := err.(*FullError); ok {
		full.Used, full.Limit, full.Waiting = at.used, int(at.limit), at.waiters.Len()
	}
	return nil, err
}

func (g *Gates[K]) slotLocked(at *gate) *Slot {
	return &Slot{mu: &g.mu, limits: &g.limits, gate: at, falls: at.falls, Limit: int(at.limit)}
}

func (g *gate) free() bool { return g.used < int(g.limit) }

// serve gives slots to those who wait, in their order.
func (g *gate) serve() {
	for g.waiters.Len() > 0 && g.free() {
		g.used++
		close(g.waiters.Remove(g.waiters.Front()).(chan struct{}))
	}
}

// Release gives the slot back. Releasing it again does nothing.
func (s *Slot) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	s.gate.used--
	s.gate.serve()
}

// Answered tells that what the slot was for went well, and after what latency.
func (s *Slot) Answered(latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gate
	g.answers = min(g.answers+1, usual)
	g.recent += (latency.Seconds() - g.recent) / float64(min(g.answers, recent))
	g.usual += (latency.Seconds() - g.usual) / float64(g.answers)
	if s.limits.Tolerance > 0 && g.answers >= recent && g.recent > s.limits.Tolerance*g.usual {
		s.shrinkLocked()
		return
	}
	// A limit that nobody comes near says nothing about what would be too much.
	if 2*g.used >= int(g.limit) {
		g.limit = min(g.limit+1/g.limit, float64(s.limits.Max))
		g.serve()
	}
}

// Overloaded tells that it went wrong in a way that speaks of overload.
func (s *Slot) Overloaded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrinkLocked()
}

// shrinkLocked shrinks the limit, unless that has been done since the slot was given:
// what begins before a limit shrinks knows nothing of the new one.
func (s *Slot) shrinkLocked() {
	g := s.gate
	if s.falls != g.falls {
		return
	}
	g.falls++
	g.limit = max(g.limit*decrease, float64(s.limits.Min))
	g.recent = g.usual // the new limit has another chance
}

// Stats is a snapshot of one key.
type Stats struct {
	Limit, Used, Waiting int
	Recent, Usual        time.Duration // latency
}

// All gives a snapshot of all keys that are remembered, in the order of the keys' texts.
func (g *Gates[K]) All(text func(K) string) iter.Seq2[K, Stats] {
	type row struct {
		key K
		Stats
	}
	var rows []row
	g.mu.Lock()
	for key, at := range g.gates.All() {
		rows = append(rows, row{key, at.stats()})
	}
	g.mu.Unlock()
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(text(a.key), text(b.key)) })
	return func(yield func(K, Stats) bool) {
		for _, r := range rows {
			if !yield(r.key, r.Stats) {
				return
			}
		}
	}
}

// Limit gives the limit for key as it is now.
func (g *Gates[K]) Limit(key K) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.gates.Get(key); ok {
		return int(at.limit)
	}
	return g.limits.Initial
}

func (g *gate) stats() Stats {
	in := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	return Stats{Limit: int(g.limit), Used: g.used, Waiting: g.waiters.Len(), Recent: in(g.recent), Usual: in(g.usual)}
}
