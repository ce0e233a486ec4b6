package parley

import (
	"io"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/sock"
)

const (
	// maxDrain is how many raw bytes of an unread body are worth reading to keep
	// its connection, and drainWait for how long.
	maxDrain  = 2 << 10
	drainWait = 50 * time.Millisecond
	// maxRefusal is the same for a refusal that is answered at once: proxies explain
	// themselves at length, and another connection costs more.
	maxRefusal = 64 << 10
)

// Read reads the body.
func (x *exchange) Read(p []byte) (int, error) {
	n, tell, err := x.read(p)
	if tell != nil {
		tell()
	}
	return n, err
}

// read reads, and gives what [exchange.end] does.
func (x *exchange) read(p []byte) (n int, tell func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return 0, nil, x.lastError()
	}
	if len(p) == 0 {
		return 0, nil, nil
	}
	n, err = x.buf.body.Read(p)
	if err == nil {
		return n, nil, nil
	}
	if err == io.EOF {
		x.resp.Trailer = x.buf.body.Trailer()
		x.rec.ended = x.rec.answered
		if x.reread {
			x.rec.ended = sock.Now()
		}
		x.err = io.EOF
		return n, x.end(0), io.EOF
	}
	if x.closing.Load() {
		x.err = errBodyClosed
	} else {
		x.err = x.failRead(err)
	}
	x.end(connpool.ReasonError)
	return n, nil, x.lastError()
}

// lastError is what reads get from now on.
func (x *exchange) lastError() error {
	if x.err == errBodyClosed {
		return x.resp.closedError()
	}
	return x.err
}

// Close ends the exchange: see [Response.Close]. It may be called during a Read,
// which it ends.
func (x *exchange) Close() error {
	x.discard(maxDrain)
	return nil
}

// discard is Close that reads no more than limit bytes.
func (x *exchange) discard(limit int) {
	first := !x.closing.Swap(true)
	if !x.mu.TryLock() {
		if first {
			x.interrupt()
		}
		x.mu.Lock()
	}
	tell := x.closeLocked(limit)
	x.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// closeLocked closes, and gives what [exchange.end] does.
func (x *exchange) closeLocked(limit int) (tell func()) {
	if x.ended {
		if x.err == io.EOF {
			x.err = errBodyClosed
		}
		return nil
	}
	reason := connpool.ReasonNotReusable
	x.conn().sock.ReadBy(sock.Now() + drainWait)
	if done, err := x.buf.body.Drain(limit); err == nil && done {
		reason = 0
	}
	x.err = errBodyClosed
	return x.end(reason)
}

// abandon ends the exchange of a call that will not return.
func (x *exchange) abandon() {
	if x.stream != nil {
		x.stream.abandon()
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended && x.entry != nil {
		x.err = errBodyClosed
		x.end(connpool.ReasonError)
	}
}

// interrupt lets a read that waits return. The loan tells a connection that has
// meanwhile gone to another exchange.
func (x *exchange) interrupt() { x.entry.Conn.sock.Interrupt(x.loan, sock.ErrInterrupted) }

// letGo ends everything that goes on for the exchange except its loan of the
// connection, and reports whether the connection is untouched. complete says that
// the response has come to its end.
func (x *exchange) letGo(complete bool) (clean bool) {
	clean = x.stop == nil || x.stop()
	x.stop = nil
	if x.up != nil && !x.up.finish(complete) {
		clean = false
		x.interrupt()
	}
	c := x.conn()
	c.user.end()
	return c.sock.End(x.loan) && clean
}

// end gives the connection back, for reason 0 to be used again if nothing speaks
// against it. It is called once, with mu held or before anybody else can know x. What
// it gives is to be called once mu is free; nil where nobody wants to know.
func (x *exchange) end(reason connpool.Reason) (tell func()) {
	x.ended = true
	if x.cleanup != nil {
		x.cleanup.Stop()
	}
	clean := x.letGo(reason == 0)
	head := &x.buf.head
	surplus := x.buf.br.Buffered() > 0
	hint := head.IdleTimeout
	keep := reason == 0 && clean && head.KeepAlive && !x.closes && !surplus
	e, b, trace := x.entry, x.buf, x.buf.trace
	x.buf = nil
	b.free()
	if held := e.Conn.held; held != nil {
		held.released(keep, reason)
		return nil
	}
	switch {
	case keep:
		if hint > 0 {
			e.LimitIdle(idleLimit(hint))
		}
		freed := x.rec.ended
		if freed == 0 || !x.rec.call.full || !x.rec.call.direct {
			freed = sock.Now() // the caller may have kept the response for a while
		}
		closed := x.pool.conns.ReleaseAt(e, sock.Time(freed))
		if trace != nil && trace.PutIdleConn != nil {
			tell = func() { trace.PutIdleConn(notIdle(closed)) }
		}
	case reason == 0 && surplus:
		x.pool.conns.Discard(e, connpool.ReasonUnexpected)
	case reason == 0:
		x.pool.conns.Discard(e, connpool.ReasonNotReusable)
	default:
		x.pool.conns.Discard(e, reason)
	}
	return tell
}

// idleLimit is how long a connection may be idle whose server says that it waits
// for hint: less, so that a request does not meet a server about to close.
func idleLimit(hint time.Duration) time.Duration {
	return max(hint-min(hint/4, time.Second), time.Millisecond)
}
