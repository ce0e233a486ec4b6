package parley

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sock"
)

// uploadPiece is how much of a body is read before it is written.
const uploadPiece = 64 << 10

var pieces = sync.Pool{New: func() any {
	b := make([]byte, h1.ChunkPrefix+uploadPiece+h1.ChunkSuffix)
	return &b
}}

// sourceError is a failure of what the caller brought along, such as the request's
// body, not of the connection.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// asSourceError marks a failure as that of the body.
func asSourceError(err error) error {
	if own := (*sourceError)(nil); errors.As(err, &own) {
		return err
	}
	return &sourceError{fmt.Errorf("reading the request body: %w", err)}
}

// errStopped ends an upload whose answer has come.
var errStopped = errors.New("upload stopped")

// upload writes a request with a goroutine of its own while the exchange waits for
// the answer. The goroutine ends when the body is sent, when writing fails, and,
// once it was stopped, when the body's Read returns.
type upload struct {
	conn     *conn
	loan     sock.Loan
	head     []byte // a copy: the exchange's buffers go their own way
	body     io.ReadCloser
	data     []byte // in place of body
	size     int64  // -1: chunked
	trailers []Trailer
	response time.Duration // limit for the answer, from the end of the request
	expect   time.Duration // how long to wait at the gate
	trace    *httptrace.ClientTrace
	ctx      context.Context // of the exchange

	done chan struct{} // closed when the goroutine has ended
	gate chan struct{} // closed when the body may go; nil: at once
	quit chan struct{} // closed when it must not
	once struct{ gate, quit, body sync.Once }

	mu       sync.Mutex
	headRead bool // the answer's head was read: the limit for it is of no interest
	over     bool
	err      error
	ended    time.Duration // as package sock counts
}

// startUpload opens the body and starts to write. Nothing is written if the body
// cannot be opened.
func (x *exchange) startUpload(p *plan) (*upload, error) {
	u := &upload{
		conn: x.conn(), loan: x.loan, head: bytes.Clone(x.buf.out), size: p.size,
		trailers: x.req.Trailers, response: x.limit.Response, quit: make(chan struct{}),
		done: make(chan struct{}), trace: x.buf.trace, ctx: x.ctx,
	}
	switch {
	case p.data != nil && p.size >= 0:
		u.data = p.data
	case p.data != nil:
		u.body = io.NopCloser(bytes.NewReader(p.data))
	case x.req.Body != nil:
		body, err := x.req.open(p.size, p.expect)
		if err != nil {
			return nil, err
		}
		u.body = body
	}
	if p.expect {
		u.gate = make(chan struct{})
		u.expect = x.req.ExpectTimeout
		if u.expect == 0 {
			u.expect = DefaultExpectTimeout
		}
	}
	u.conn.sock.WriteWithin(x.limit.Write)
	go u.run()
	return u, nil
}

func (u *upload) run() {
	defer close(u.done)
	var err error = &sourceError{errors.New("reading the request body ended its goroutine")}
	defer func() { u.settle(err) }()
	err = u.write()
	u.tellWritten(err)
}

// settle makes known how the upload ended.
func (u *upload) settle(err error) {
	u.closeBody()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over, u.err, u.ended = true, err, sock.Now()
	switch {
	case err == nil || errors.Is(err, errStopped):
	case broken(err):
		// The peer may have said why it reads no more.
		u.limitHeadLocked(lastWords)
	default:
		u.conn.sock.Interrupt(u.loan, err)
	}
}

// limitHeadLocked bounds the wait for the head, unless it has come.
func (u *upload) limitHeadLocked(limit time.Duration) {
	if !u.headRead && limit > 0 {
		u.conn.sock.ReadBy(deadline(sock.Now(), limit))
	}
}

// write sends head and body.
func (u *upload) write() error {
	if u.trace != nil {
		tellHead(u.trace, u.head)
	}
	if _, err := u.conn.rw.Write(u.head); err != nil {
		return err
	}
	if err := u.waitAtGate(); err != nil {
		return err
	}
	if err := u.writeBody(); err != nil {
		return err
	}
	u.mu.Lock()
	u.limitHeadLocked(u.response)
	u.mu.Unlock()
	return nil
}

// waitAtGate waits for 100 Continue as long as it should (RFC 9110, section
// 10.1.1).
func (u *upload) waitAtGate() error {
	if u.gate == nil {
		return nil
	}
	if u.trace != nil && u.trace.Wait100Continue != nil {
		u.trace.Wait100Continue()
	}
	var late <-chan time.Time
	if u.expect > 0 {
		t := time.NewTimer(u.expect)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-u.gate:
	case <-late:
		u.open()
	case <-u.quit:
		return errStopped
	}
	return nil
}

func (u *upload) writeBody() error {
	switch {
	case u.size < 0:
		return u.writeChunks()
	case u.data != nil:
		_, err := u.conn.rw.Write(u.data)
		return err
	case u.body == nil:
		return nil
	}
	return u.writeSized()
}

// writeSized sends exactly size bytes of the body.
func (u *upload) writeSized() error {
	left := u.size
	if w, ok := wholeWriter(u.body); ok && int64(w.Len()) == left {
		_, err := w.WriteTo(u.conn.rw)
		return err
	}
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	files := u.files()
	for left > 0 {
		if files != nil {
			n, err := u.sendFile(files, left)
			left -= n
			switch {
			case err != nil:
				return err
			case n > 0:
				continue
			}
		}
		n, err := u.read((*buf)[:min(left, uploadPiece)])
		if n > 0 {
			left -= int64(n)
			if _, err := u.conn.rw.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if left > 0 {
		return lengthError("the body ended after %d of %d bytes", u.size-left, u.size)
	}
	n, err := u.read((*buf)[:1])
	switch {
	case n > 0:
		return lengthError("the body is longer than the announced %d bytes", u.size)
	case err == io.EOF || err == errStopped: // all was sent
		return nil
	}
	return err
}

// writeChunks sends the body in chunks, one for each Read, and the trailers.
func (u *upload) writeChunks() error {
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	for u.body != nil {
		n, err := u.read((*buf)[h1.ChunkPrefix : h1.ChunkPrefix+uploadPiece])
		if n > 0 {
			if _, err := u.conn.rw.Write(h1.FrameChunk(*buf, n)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	last, err := h1.AppendLastChunk(nil, trailerHeader(u.trailers))
	if err != nil {
		return &sourceError{because(ErrInvalidHeader, err)}
	}
	_, err = u.conn.rw.Write(last)
	return err
}

// maxEmptyReads is how often a body may give nothing without an error, in a row.
const maxEmptyReads = 100

var errImpossibleCount = &sourceError{errors.New("the request body's Read returned an impossible count")}

// read reads from the body, until there is something or an error.
func (u *upload) read(p []byte) (int, error) {
	for range maxEmptyReads {
		select {
		case <-u.quit:
			return 0, errStopped
		default:
		}
		n, err := u.body.Read(p)
		if n < 0 || n > len(p) {
			return 0, errImpossibleCount
		}
		if err != nil && err != io.EOF {
			err = asSourceError(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, &sourceError{fmt.Errorf("reading the request body: %w", io.ErrNoProgress)}
}

// wholeWriter gives readers over memory that write all they have in one call.
func wholeWriter(body io.Reader) (interface {
	io.WriterTo
	Len() int
}, bool) {
	s, ok := body.(sourceCloser)
	if !ok {
		return nil, false
	}
	switch r := s.Reader.(type) {
	case *bytes.Reader:
		return r, true
	case *strings.Reader:
		return r, true
	}
	return nil, false
}

func (u *upload) closeBody() {
	u.once.body.Do(func() {
		if u.body != nil {
			u.body.Close() // what it was needed for is over, one way or the other
		}
	})
}

// open lets the body go.
func (u *upload) open() {
	if u.gate != nil {
		u.once.gate.Do(func() { close(u.gate) })
	}
}

// answered is told that the head of the answer was read. An answer of 300 or more,
// or one that comes before the body was begun, ends the upload. It gives the time
// at which the upload ended if it has.
func (u *upload) answered(status int) time.Duration {
	u.mu.Lock()
	u.headRead = true
	over, ended := u.over, u.ended
	u.mu.Unlock()
	if !over && (status >= 300 || u.waiting()) {
		u.abort()
	}
	return ended
}

// waiting reports whether the body waits at the gate.
func (u *upload) waiting() bool {
	if u.gate == nil {
		return false
	}
	select {
	case <-u.gate:
		return false
	default:
		return true
	}
}

// abort ends the upload without touching what is read. The body is closed, so that
// one that waits for more returns.
func (u *upload) abort() {
	u.once.quit.Do(func() { close(u.quit) })
	u.conn.sock.StopWrite(u.loan, errStopped)
	u.closeBody()
}

// result gives how the upload ended, if it has.
func (u *upload) result() (err error, ended bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err, u.over
}

// afterAnswer is how long an upload may take to notice that it is complete, once
// the whole response has come: time enough to be scheduled on a busy machine. Only an
// answer that came in full before the request did takes so long.
const afterAnswer = 100 * time.Millisecond

// finish ends the upload if it goes on still, and reports whether all was sent.
// wait gives it a moment for its last step.
func (u *upload) finish(wait bool) bool {
	if wait {
		t := time.NewTimer(afterAnswer)
		defer t.Stop()
		select {
		case <-u.done:
		case <-t.C:
		}
	}
	err, ended := u.result()
	if !ended {
		u.abort()
		return false
	}
	if err == nil {
		// It may have been stopped when there was nothing left to stop.
		u.conn.sock.ResumeWrite(u.loan)
	}
	return err == nil
}
