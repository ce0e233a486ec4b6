// Package sock wraps a network connection so that an HTTP exchange can bound and
// cancel its reads and writes cheaply.
//
// Deadlines are kept as wishes and given to the connection only when they are
// earlier than the one it has: a read that wakes too early looks at its wish,
// moves the deadline and goes on. So a connection that serves a thousand
// requests with a limit of 30 s each has its deadline moved once in 30 s.
package sock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Why a stopped connection refuses to go on.
var (
	// ErrCancelled: the context of the exchange ended.
	ErrCancelled = errors.New("cancelled")
	// ErrInterrupted: the owner of the exchange gave it up (closed the body).
	ErrInterrupted = errors.New("interrupted")
	// ErrWriteLate: the connection takes no deadlines, and the limit of a write
	// passed. Reads get it as well.
	ErrWriteLate = fmt.Errorf("write: %w", os.ErrDeadlineExceeded)
)

// maxPiece is the most that is written under one deadline: a peer that reads
// steadily but slowly must not fail a large write.
const maxPiece = 256 << 10

// epoch is what wishes count from. Differences to it use the monotonic clock.
var epoch = time.Now()

// Now is the time as a Conn counts it: monotonic, since an arbitrary moment.
func Now() time.Duration { return time.Since(epoch) }

// Time is the moment that [Now] gave.
func Time(now time.Duration) time.Time { return epoch.Add(now) }

// Forever is the longest limit: with longer ones the clock would run over.
const Forever = 100 * 365 * 24 * time.Hour

// past is a deadline that has passed under any clock.
var past = time.Unix(1, 0)

// Loan names one period of ownership of a Conn, from [Conn.Begin] to [Conn.End].
type Loan uint32

// Conn is a net.Conn with limits. One goroutine may read while another writes;
// limits may be changed and the connection stopped from any goroutine.
type Conn struct {
	net.Conn
	raw   syscall.RawConn // nil where the connection has none
	files io.ReaderFrom   // nil: files are written like everything else
	probe probe

	// probing is the owner's alone, as is the goroutine that reads.
	probing bool
	one     [1]byte

	written atomic.Int64 // bytes written since Begin
	refuses atomic.Bool  // the connection takes no deadlines: watch closes it instead

	mu      sync.Mutex
	loan    Loan
	stopped error // set: deadlines lie in the past and are not moved any more
	muted   error // set: the same for writing alone
	free    bool  // set: deadlines are somebody else's from now on
	watch   *time.Timer
	read    direction
	write   direction
}

// direction is one of the two ways. by is the wish and set what the connection
// has, both as Now counts; zero: none.
type direction struct {
	limit   time.Duration // for each wait; 0: by stands as it is
	by      time.Duration
	set     time.Duration
	waiting bool // for the peer; kept up only where the connection takes no deadlines
}

// pending is the wish of a wait that goes on.
func (d *direction) pending() time.Duration {
	if d.waiting {
		return d.by
	}
	return 0
}

// New wraps nc.
func New(nc net.Conn) *Conn {
	c := &Conn{Conn: nc, files: filesOf(nc)}
	if s, ok := nc.(syscall.Conn); ok && canPeek {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
			c.probe.init()
		}
	}
	return c
}

// Begin starts a period of ownership without limits.
func (c *Conn) Begin() Loan {
	c.written.Store(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loan++
	c.read.limit, c.read.by = 0, 0
	c.write.limit, c.write.by = 0, 0
	return c.loan
}

// End ends the loan. It reports whether the connection was left untouched by Stop
// and may be lent again.
func (c *Conn) End(l Loan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loan != l {
		return false
	}
	c.loan++
	c.read.limit, c.read.by = 0, 0
	c.write.limit, c.write.by = 0, 0
	if c.watch != nil {
		c.watch.Stop()
	}
	return c.stopped == nil && c.muted == nil
}

// Written is how many bytes went out since Begin.
func (c *Conn) Written() int64 { return c.written.Load() }

// ReadWithin bounds each single read from now on; zero or less lifts the bound.
func (c *Conn) ReadWithin(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.limit, c.read.by = max(min(limit, Forever), 0), 0
}

// ReadBy bounds all reads from now on by one moment (as [Now] counts), also one
// that is waiting already; zero lifts the bound.
func (c *Conn) ReadBy(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.limit, c.read.by = 0, by
	c.armLocked()
}

// WriteWithin bounds each wait for the peer to take bytes; zero or less lifts
// the bound.
func (c *Conn) WriteWithin(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write.limit, c.write.by = max(min(limit, Forever), 0), 0
}

// WriteBy bounds all writes from now on by one moment (as [Now] counts); zero lifts
// the bound.
func (c *Conn) WriteBy(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write.limit, c.write.by = 0, by
}

// SetWriteDeadline bounds all writes by t, unless they are bounded by an earlier
// moment. It is for a layer above: a *tls.Conn bounds its goodbye with it, which a
// deadline that only the connection beneath knew of would not do.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	by := t.Sub(epoch)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.free {
		return c.Conn.SetWriteDeadline(t)
	}
	if d := &c.write; d.by == 0 || by < d.by {
		d.limit, d.by = 0, by
	}
	return nil
}

// Cancel stops the connection with [ErrCancelled], whoever owns it. It is meant
// for context.AfterFunc: where that cannot be stopped any more, the connection
// must not be lent again.
func (c *Conn) Cancel() {
	c.mu.Lock()
	refused := c.stopLocked(ErrCancelled)
	c.mu.Unlock()
	if refused {
		c.Conn.Close()
	}
}

// Interrupt stops the connection with why if the loan still runs.
func (c *Conn) Interrupt(l Loan, why error) {
	c.mu.Lock()
	refused := c.loan == l && c.stopLocked(why)
	c.mu.Unlock()
	if refused {
		c.Conn.Close()
	}
}

// StopWrite lets a write that waits fail with why, and all that follow, if the
// loan still runs. Reads go on; the connection is not fit for another loan. Where it
// takes no deadlines a write that waits already goes on, without a limit, so that
// what the peer says can be read.
func (c *Conn) StopWrite(l Loan, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loan != l || c.muted != nil || c.stopped != nil {
		return
	}
	c.muted = why
	c.write.limit, c.write.by = 0, 0
	if !c.refuses.Load() && c.Conn.SetWriteDeadline(past) != nil {
		c.refuses.Store(true)
	}
}

// ResumeWrite takes back StopWrite if the loan still runs. It is for an owner who
// knows that no write has failed of it.
func (c *Conn) ResumeWrite(l Loan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loan != l || c.muted == nil || c.stopped != nil {
		return
	}
	c.muted = nil
	if !c.refuses.Load() {
		c.setLocked(&c.write)
	}
}

// stopLocked is the one place that ends an exchange from outside: it moves both
// deadlines into the past, and armLocked refuses every later move. It reports
// whether the connection takes no deadlines and has to be closed instead.
func (c *Conn) stopLocked(why error) (refused bool) {
	if c.stopped != nil {
		return false
	}
	c.stopped = why
	return c.refuses.Load() || c.Conn.SetDeadline(past) != nil
}

// Release lifts every limit for good: the exchange has become something else (an
// upgrade). Deadlines that are set later are those of the connection beneath. It
// fails when it was stopped.
func (c *Conn) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loan++
	if c.stopped != nil {
		return c.stopped
	}
	c.read, c.write, c.free = direction{}, direction{}, true
	if c.watch != nil {
		c.watch.Stop()
	}
	if c.refuses.Load() {
		return nil
	}
	return c.Conn.SetDeadline(time.Time{})
}

// Read reads under the read limit. A limit that passed gives
// os.ErrDeadlineExceeded, a stopped connection what it was stopped with.
func (c *Conn) Read(p []byte) (int, error) {
	if c.probing && !c.readable() {
		return 0, errNothingYet
	}
	if err := c.begin(&c.read); err != nil {
		return 0, err
	}
	for {
		n, err := c.Conn.Read(p)
		if err == nil || n > 0 {
			c.rest(&c.read)
			return n, nil
		}
		if err = c.woken(&c.read, err); err != nil {
			return 0, err
		}
	}
}

// Write writes p in pieces, each under the write limit.
func (c *Conn) Write(p []byte) (int, error) {
	total := 0
	n := 1 // a wait that got nowhere goes on under the limit that it has
	for {
		piece := p[total:min(len(p), total+maxPiece)]
		if n > 0 {
			if err := c.begin(&c.write); err != nil {
				return total, err
			}
		}
		var err error
		n, err = c.Conn.Write(piece)
		total += n
		c.written.Add(int64(n))
		if err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
		if err == nil {
			c.rest(&c.write)
		} else {
			err = c.woken(&c.write, err)
			// A peer that took some of it in time has a limit anew for the rest.
			if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
				return total, err
			}
		}
		if total == len(p) {
			return total, nil
		}
	}
}

// begin takes the limit of a direction for the wait that follows.
func (c *Conn) begin(d *direction) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusedLocked(d); err != nil {
		return err
	}
	d.waiting = true
	if d.limit > 0 {
		d.by = Now() + d.limit
	}
	if d.by != 0 {
		c.armLocked()
	}
	return nil
}

// rest ends a wait. A deadline in the past does no harm between waits, but the timer
// in its place would close the connection.
func (c *Conn) rest(d *direction) {
	if !c.refuses.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d.waiting = false
	c.watchLocked()
}

// refusedLocked says why a direction was stopped, nil if it was not.
func (c *Conn) refusedLocked(d *direction) error {
	if c.stopped == nil && d == &c.write {
		return c.muted
	}
	return c.stopped
}

// armLocked gives the connection those wishes that end before what it has.
func (c *Conn) armLocked() {
	if c.stopped != nil {
		return
	}
	if c.refuses.Load() {
		c.watchLocked()
		return
	}
	if d := &c.read; d.by != 0 && (d.set == 0 || d.by < d.set) {
		c.setLocked(d)
	}
	if d := &c.write; d.by != 0 && c.muted == nil && (d.set == 0 || d.by < d.set) {
		c.setLocked(d)
	}
}

// setLocked moves one deadline to its wish.
func (c *Conn) setLocked(d *direction) {
	var t time.Time
	if d.by != 0 {
		t = epoch.Add(d.by)
	}
	var err error
	if d == &c.read {
		err = c.Conn.SetReadDeadline(t)
	} else {
		err = c.Conn.SetWriteDeadline(t)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.refuses.Store(true)
		c.watchLocked()
		return
	}
	d.set = d.by
}

// woken says what an error of the connection means: nil to go on, since the
// deadline that passed was an old one.
func (c *Conn) woken(d *direction, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stop := c.refusedLocked(d); stop != nil {
		return stop
	}
	if c.free || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if d.by != 0 && Now() >= d.by {
		return os.ErrDeadlineExceeded
	}
	c.setLocked(d)
	return nil
}

// watchLocked keeps a timer for connections that take no deadlines.
func (c *Conn) watchLocked() {
	next := earliest(c.read.pending(), c.write.pending())
	if next == 0 {
		if c.watch != nil {
			c.watch.Stop()
		}
		return
	}
	wait := next - Now()
	if c.watch == nil {
		c.watch = time.AfterFunc(wait, c.expire)
		return
	}
	c.watch.Reset(wait)
}

// expire closes a connection that takes no deadlines once a wish has passed.
func (c *Conn) expire() {
	c.mu.Lock()
	by := earliest(c.read.pending(), c.write.pending())
	if c.stopped != nil || by == 0 {
		c.mu.Unlock()
		return
	}
	if Now() < by {
		c.watchLocked()
		c.mu.Unlock()
		return
	}
	c.stopped = os.ErrDeadlineExceeded
	if by == c.write.pending() {
		c.stopped = ErrWriteLate
	}
	c.mu.Unlock()
	c.Conn.Close()
}

func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
