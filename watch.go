package parley

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// watch bounds the phases of an exchange that somebody else's code carries out, and
// tells how far it came. Events may come from any goroutine, also after the end.
type watch struct {
	limit *Timeouts
	end   interrupter
	alarm *alarm
	// ties says that end holds a response. Between two limits the alarm must not hold
	// end then, or it would not be noticed that the response is dropped.
	ties bool

	mu    sync.Mutex
	phase Phase         // under its limit now; "": none is
	due   time.Duration // as package sock counts
	late  *lateError    // the limit that was passed
	over  bool          // nothing is watched any more

	listed        bool   // by the alarm
	before, after *watch // in its list, and guarded by it

	asked     bool // the transport told that it wants a connection
	connected bool // it has one
	answering bool // a byte of the answer has come
	beyond    bool // the head has come: what happens to the request is of no interest
}

// interrupter ends an exchange. It is called once at most, without a lock.
type interrupter interface{ interrupt(why error) }

// lateError says that an exchange was ended by the limit of a phase.
type lateError struct {
	phase Phase
	limit time.Duration
}

func (e *lateError) Error() string { return string(e.phase) + " timeout after " + e.limit.String() }

// limitOf gives the limit of a phase, and the error of passing it.
func (t *Timeouts) limitOf(p Phase) (time.Duration, error) {
	switch p {
	case PhasePool:
		return t.Pool, ErrPoolTimeout
	case PhaseConnect:
		return t.Connect, ErrConnectTimeout
	case PhaseWrite:
		return t.Write, ErrWriteTimeout
	case PhaseResponse:
		return t.Response, ErrResponseTimeout
	default:
		return t.Read, ErrReadTimeout
	}
}

// begin puts the exchange under the limit of a phase; "" under none.
func (w *watch) begin(p Phase) { w.beginAt(p, 0) }

// beginAt is begin for callers that have just looked at the clock, as package sock
// counts; 0 looks at it.
func (w *watch) beginAt(p Phase, now time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beginLocked(p, now)
}

func (w *watch) beginLocked(p Phase, now time.Duration) {
	if w.over {
		return
	}
	limit := time.Duration(0)
	if p != "" {
		limit, _ = w.limit.limitOf(p)
	}
	if limit <= 0 {
		if w.phase = ""; w.ties {
			w.alarm.leave(w)
		}
		return
	}
	w.phase = p
	if now == 0 {
		now = sock.Now()
	}
	w.due = deadline(now, limit)
	w.alarm.set(w, w.due)
}

// look ends the exchange if the limit that it is under has passed. It tells when to look
// again, 0 if there is no need to.
func (w *watch) look() (due time.Duration) {
	w.mu.Lock()
	if w.over || w.phase == "" {
		w.mu.Unlock()
		return 0
	}
	if due = w.due; sock.Now() < due {
		w.mu.Unlock()
		return due
	}
	limit, _ := w.limit.limitOf(w.phase)
	late := &lateError{w.phase, limit}
	w.late, w.over = late, true
	w.mu.Unlock()
	w.end.interrupt(late)
	return 0
}

// stop ends the watch.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.alarm.leave(w)
}

// passed gives the limit that ended the exchange, nil if none did.
func (w *watch) passed() *lateError {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late
}

// sent tells whether the peer can have seen the request.
func (w *watch) sent() Sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.answering || w.beyond:
		return Answering
	case w.asked && !w.connected:
		return NotSent
	}
	return MaybeSent
}

// reached gives the phase that the exchange is in, as far as is known.
func (w *watch) reached() Phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.beyond:
		return PhaseRead
	case w.asked && !w.connected:
		return PhaseConnect
	}
	return PhaseResponse
}

// headCame says that the head of the answer is there. It gives the limit that was passed
// before, a *lateError, if one was: the exchange has been ended then.
func (w *watch) headCame() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late != nil {
		return w.late
	}
	w.beyond = true
	w.beginLocked("", 0)
	return nil
}

// sending puts the request's own progress under a limit, until the head has come.
func (w *watch) sending(p Phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.beyond {
		w.beginLocked(p, 0)
	}
}

// source is the body of a request as somebody else's code reads it: of the length
// that was announced, under the limits of the watch, and closed once however often it
// is told to.
type source struct {
	rc    io.ReadCloser
	size  int64 // -1: not known
	watch *watch
	// ended is called at the body's end, before io.EOF is given out; nil: nobody is.
	ended func() error

	once sync.Once
	mu   sync.Mutex
	left int64
	shut bool
	err  error // what every further Read gives
}

func newSource(rc io.ReadCloser, size int64, w *watch, ended func() error) *source {
	return &source{rc: rc, size: size, left: size, watch: w, ended: ended}
}

// Read is for one goroutine at a time; Close may be called meanwhile.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	err, w := s.err, s.watch
	if s.shut && err == nil {
		err = s.shutErrorLocked()
	}
	s.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	w.sending("") // from here on it is the body that is waited for
	for range maxEmptyReads {
		n, err := s.rc.Read(p)
		if n < 0 || n > len(p) {
			return s.took(w, 0, errImpossibleCount)
		}
		if n > 0 || err != nil {
			return s.took(w, n, err)
		}
	}
	return s.took(w, 0, io.ErrNoProgress)
}

// took judges what the reader gave.
func (s *source) took(w *watch, n int, err error) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size >= 0 {
		if s.left -= int64(n); s.left < 0 {
			n += int(s.left)
			s.left = 0
			err = lengthError("the body is longer than the announced %d bytes", s.size)
		} else if err == io.EOF && s.left > 0 {
			err = lengthError("the body ended after %d of %d bytes", s.size-s.left, s.size)
		}
	}
	if err == io.EOF && s.ended != nil {
		if bad := s.ended(); bad != nil {
			err = &sourceError{bad}
		}
	}
	switch {
	case err == nil:
		w.sending(PhaseWrite)
		return n, nil
	case err == io.EOF:
		w.sending(PhaseResponse)
	case s.shut:
		err = s.shutErrorLocked()
	default:
		err = asSourceError(err)
	}
	s.err = err
	s.watch, s.ended = nil, nil // who keeps the body for longer keeps nothing else
	return n, err
}

// shutErrorLocked is what reads give after Close. All of a body that was read is no
// failure: who has sent it is about to look for its end.
func (s *source) shutErrorLocked() error {
	if s.size >= 0 && s.left == 0 {
		return io.EOF
	}
	return errBodyClosed
}

// failure gives what was wrong with the body itself, nil if nothing was.
func (s *source) failure() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || s.err == io.EOF || s.err == errBodyClosed {
		return nil
	}
	return s.err
}

// finished reports whether all of the body was read.
func (s *source) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == io.EOF
}

// Close lets a Read that waits return.
func (s *source) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	s.once.Do(func() { s.rc.Close() }) // what it was needed for is over, one way or the other
	return nil
}

// limitSelf is limitTotal for a request that no session has under its own limit.
func limitSelf(ctx context.Context, req *Request) (limited context.Context, stop, release func()) {
	if !limitsItself(req) {
		return ctx, func() {}, func() {}
	}
	return limitTotal(ctx, req.Timeouts.Total)
}

// limitsItself reports whether a request has a Total that no session sees to.
func limitsItself(req *Request) bool { return req.call == nil && req.Timeouts.Total > 0 }

// sendWithin sends a request under its Total, which like that of a session ends with the
// head.
func sendWithin(ctx context.Context, req *Request, send func(context.Context, *Request) (*Response, error)) (*Response, error) {
	limited, stop, release := limitTotal(ctx, req.Timeouts.Total)
	resp, err := send(limited, req)
	if err != nil || resp.Body == http.NoBody {
		release()
		return resp, err
	}
	stop()
	resp.Body = afterBody(resp.Body, release)
	return resp, nil
}
