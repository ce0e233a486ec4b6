package parley

import (
	"context"
	"net/url"
	"sync"
	"time"
)

// lifeline is what net/http and timers hold of a try by HTTP/2. It knows nothing of the
// stream, so that a response which is dropped can be noticed although the try goes on.
//
// It is the context of the try: it ends with that of the exchange, or when it is
// interrupted, and has no values, as net/http calls traces with its locks held. A try that
// came to its end needs not be told.
type lifeline struct {
	watch  watch
	limit  Timeouts        // of the watch: the request may be changed once its answer is there
	outer  context.Context // of the exchange
	target url.URL         // of the request
	unheed func() bool     // ends the watch over outer; nil: that cannot end

	done  chan struct{}
	mu    sync.Mutex
	err   error  // of the context
	cause error  // why it ended
	last  func() // runs on a goroutine of its own when it ends; nil: nothing does
}

func newLifeline(ctx context.Context, limit *Timeouts, a *alarm) *lifeline {
	l := &lifeline{limit: *limit, outer: ctx, done: make(chan struct{})}
	l.watch.limit, l.watch.end, l.watch.alarm = &l.limit, l, a
	if ctx.Done() != nil {
		l.unheed = context.AfterFunc(ctx, func() { l.interrupt(context.Cause(ctx)) })
	}
	return l
}

// interrupt ends the try.
func (l *lifeline) interrupt(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	if l.err = l.outer.Err(); l.err == nil {
		l.err = context.Canceled
	}
	l.cause = why
	close(l.done)
	if l.last != nil {
		go l.last()
	}
}

// atEnd lets f run when the try is interrupted; nil: nothing.
func (l *lifeline) atEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = f; f != nil && l.err != nil {
		go f()
	}
}

// over says why the try was ended; nil: it was not.
func (l *lifeline) over() error {
	if l.outer.Err() != nil {
		return context.Cause(l.outer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// finish ends all watches.
func (l *lifeline) finish() {
	l.watch.stop()
	if l.unheed != nil {
		l.unheed()
	}
	l.atEnd(nil)
}

// Deadline, Done, Err and Value are those of a context.

func (l *lifeline) Deadline() (time.Time, bool) { return l.outer.Deadline() }

func (l *lifeline) Done() <-chan struct{} { return l.done }

func (l *lifeline) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *lifeline) Value(any) any { return nil }
