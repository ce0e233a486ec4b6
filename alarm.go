package parley

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// alarm is one timer for the limits of many exchanges. Limits are lifted and renewed far
// more often than they pass, so it is left as it is when the one that it was set for is
// lifted: when it rings for nothing it looks for the next.
type alarm struct {
	// next is when it rings, as package sock counts; 0: it is not set. It is changed
	// under mu.
	next  atomic.Int64
	alone bool // it is for one exchange

	mu    sync.Mutex
	timer *time.Timer
	first *watch // of those that have had a limit and have not been stopped
}

// set lets the alarm ring at due, or before. It is called with the lock of w held.
func (a *alarm) set(w *watch, due time.Duration) {
	if w.listed && a.rings(due) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !w.listed {
		w.listed = true
		if w.after = a.first; w.after != nil {
			w.after.before = w
		}
		a.first = w
	}
	a.setLocked(due)
}

// rings reports whether the alarm rings at due, or before.
func (a *alarm) rings(due time.Duration) bool {
	next := a.next.Load()
	return next != 0 && next <= int64(due)
}

func (a *alarm) setLocked(due time.Duration) {
	if a.rings(due) {
		return
	}
	a.next.Store(int64(due))
	wait := due - sock.Now()
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.ring)
		return
	}
	a.timer.Reset(wait)
}

// leave forgets w, whose lock is held. One that was for w alone is stopped, so that
// a timer does not outlive each exchange.
func (a *alarm) leave(w *watch) {
	if !w.listed {
		return
	}
	w.listed = false
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.before != nil {
		w.before.after = w.after
	} else {
		a.first = w.after
	}
	if w.after != nil {
		w.after.before = w.before
	}
	w.before, w.after = nil, nil
	if a.alone && a.timer != nil {
		a.timer.Stop()
		a.next.Store(0)
	}
}

// ring ends the exchanges whose limits have passed. A limit that begins meanwhile finds
// the alarm not set, or is seen here.
func (a *alarm) ring() {
	a.mu.Lock()
	a.next.Store(0)
	var all []*watch
	for w := a.first; w != nil; w = w.after {
		all = append(all, w)
	}
	a.mu.Unlock()
	next := time.Duration(0)
	for _, w := range all {
		if due := w.look(); due != 0 && (next == 0 || due < next) {
			next = due
		}
	}
	if next == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setLocked(next)
}
