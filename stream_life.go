package parley

import (
	"context"
	"io"
	"net/url"
	"sync"
	"sync/atomic"
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
	user   sharer          // of the connection
	unheed func() bool     // ends the watch over outer; nil: that cannot end

	done  chan struct{}
	mu    sync.Mutex
	err   error     // of the context
	cause error     // why it ended
	last  func()    // runs on a goroutine of its own when it ends; nil: nothing does
	body  io.Closer // of the response, to be closed then; nil: there is none
	conn  *http2Conn

	reading atomic.Bool // the body is being read
}

// stuckWait is how long reading may go on after a try was interrupted.
const stuckWait = 4 * drainWait

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
	if l.body != nil {
		go loosen(l, l.body)
	}
}

// answered says what is read from now on, and from where.
func (l *lifeline) answered(body io.Closer, c *http2Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body, l.conn = body, c; l.err != nil {
		go loosen(l, body)
	}
}

// loosen ends the reading of a body. By itself net/http first tells the server, and waits
// for its turn to write; also who reads may have to wait for that, to allow the server
// more. Where the server takes nothing all of the connection waits: that is closed then,
// so that nobody waits longer than he said he would.
func loosen(l *lifeline, body io.Closer) {
	time.AfterFunc(stuckWait, func() {
		if l.reading.Load() {
			l.conn.Close()
		}
	})
	body.Close()
}

// atEnd lets f run when the try is interrupted.
func (l *lifeline) atEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = f; l.err != nil {
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
	l.user.leave()
	l.watch.stop()
	if l.unheed != nil {
		l.unheed()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.body = nil, nil
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
