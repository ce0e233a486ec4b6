package parley

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

const (
	// maxInline is the largest body that the caller's goroutine writes together
	// with the head. It fits the peer's receive buffer, so that a peer which answers
	// without reading cannot block it.
	maxInline = 64 << 10
	// maxJoined is up to which size head and body are one buffer.
	maxJoined = 4 << 10
	// lastWords is how long an answer is waited for after a write failed.
	lastWords = time.Second
)

// The limits of a response's head. Passing one is ErrRemoteProtocol.
const (
	MaxHeadBytes     = 1 << 20 // bytes of the head, of all 1xx heads before it, and of the trailers
	MaxHeaderLines   = 1000    // lines of a head, and of the trailers
	MaxInformational = 8       // 1xx answers before the response
)

var headLimits = h1.Limits{HeadBytes: MaxHeadBytes, HeaderCount: MaxHeaderLines, Informational: MaxInformational}

// buffers are what an exchange needs while it is in flight, and no longer.
type buffers struct {
	out  []byte
	br   *bufio.Reader
	head h1.ResponseHead
	req  h1.RequestHead
	body h1.Body
	now  time.Duration // as the connection counts, when it was last looked at

	trace *httptrace.ClientTrace // of the context, nil if it has none
}

var bufferPool = sync.Pool{New: func() any {
	return &buffers{out: make([]byte, 0, maxJoined), br: bufio.NewReaderSize(nil, 4<<10)}
}}

func (b *buffers) free() {
	b.br.Reset(nil)
	b.head, b.req, b.body, b.trace = h1.ResponseHead{}, h1.RequestHead{}, h1.Body{}, nil
	if cap(b.out) > 16<<10 {
		b.out = make([]byte, 0, maxJoined)
	}
	b.out = b.out[:0]
	bufferPool.Put(b)
}

// exchange is one request and its response on a connection. It is the response's
// Body, so that a response costs one allocation.
type exchange struct {
	resp  Response
	pool  *Pool
	req   *Request
	rec   record
	ctx   context.Context
	limit *Timeouts // nothing left to inherit

	// mu is held by whoever reads the body or ends the exchange.
	mu      sync.Mutex
	closing atomic.Bool
	loan    sock.Loan
	ended   bool  // the connection is no longer this exchange's
	wrote   bool  // an earlier try sent some of the request
	began   bool  // a byte of the response was read
	reread  bool  // the connection was read since the head
	closes  bool  // the request asks for the connection to be closed
	err     error // what later reads get

	entry   *entry
	stop    func() bool // ends the watch over ctx; nil: not watched
	buf     *buffers
	up      *upload
	cleanup *runtime.Cleanup // nil: the response is not watched
	stream  *stream          // nil: by HTTP/1.1
}

// Send sends a request on a connection of its origin, waiting for one as the limits
// demand, and returns the response with its body unread. See [Transport].
//
// A request is sent again, once, if its body can be and the connection had served
// others: where that failed before the answer began and the method is idempotent, or an Idempotency-Key is there, or
// nothing was written, and after a 421, by which a server says that it has not acted on
// what came to it this way (RFC 9110, section 15.5.20). By HTTP/2 it also is where the
// server says that it has not acted on it; again and again, but not without end, where the
// server takes no more requests on a connection that several had shared.
//
// An [httptrace.ClientTrace] in the context is told of everything that it has a hook
// for, in the order and with the meaning of [http.Transport]. A session that sends
// several requests for a call, to follow a redirect or to try again, has each of
// them told. Of the hooks:
//
//   - A dial is told to the trace of the request that started it, also where its
//     connection then serves another. DNS and Connect hooks are the dialer's to
//     call, as *[net.Dialer] does.
//   - WroteHeaderField and WroteHeaders come when the head is complete, just before
//     it is written; the names are spelled as they are sent.
//   - An error of Got1xxResponse ends the call with that error. There are no more
//     than [MaxInformational] such answers even if it takes them all.
//   - WroteRequest bears an error also where an answer of 300 or more came before
//     the body was sent, which stops it; not if the server refused a body that
//     waited for 100 Continue.
//   - PutIdleConn is called if nothing in request and response speaks against
//     another request on the connection; its error says why the pool closed it
//     all the same. By HTTP/2, where requests share connections, it is not called.
//
// Hooks are called with no lock held, so that they may use the session. They run on
// the goroutine that sends the request or reads the body, those of dialling and of
// an upload on goroutines of their own, and what they take counts as time of the
// call. A panic on the former passes to the caller, on the latter it ends the
// program.
func (p *Pool) Send(ctx context.Context, req *Request) (*Response, error) {
	if err := checkSend(ctx, req); err != nil {
		return nil, err
	}
	if limitsItself(req) {
		return sendWithin(ctx, req, p.send)
	}
	return p.send(ctx, req)
}

func (p *Pool) send(ctx context.Context, req *Request) (*Response, error) {
	x := p.newExchange(ctx, req, req.call)
	if err := checkRequest(req); err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	via, err := p.routeOf(ctx, req)
	if err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	if via.forwards(req.URL.Scheme) && req.Method != http.MethodConnect && req.Header[proxyAuthorization] == nil {
		if h := via.hop(); h.digests() {
			return x.sendThrough(via, h)
		}
	}
	return x.carry(via, "")
}

func (p *Pool) newExchange(ctx context.Context, req *Request, call *callRecord) *exchange {
	x := &exchange{pool: p, req: req, rec: record{call: call}, ctx: ctx}
	if x.rec.call == nil {
		x.rec.call = &callRecord{began: sock.Now()}
	}
	if x.limit = &req.Timeouts; !x.limit.complete() {
		limit := req.Timeouts.over(defaultTimeouts)
		x.limit = &limit
	}
	return x
}

// carry sends the request by way of via. login is what the proxy that forwards it gets
// in place of its usual credentials; "" for these.
func (x *exchange) carry(via route, login string) (*Response, error) {
	plan, err := x.plan(via, login)
	if err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	x.buf.trace = httptrace.ContextClientTrace(x.ctx)
	key := x.pool.keyOf(x.req, via)
	if err := x.pool.checkProtocol(x.req, key.proto); err != nil {
		x.giveUp()
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	returned := false
	defer func() {
		if !returned {
			x.abandon()
		}
	}()
	resp, err := x.perform(key, &plan)
	returned = true
	return resp, err
}

// perform sends the request on a connection, and on another one if the first was
// closed by the peer for being idle.
func (x *exchange) perform(key connKey, plan *plan) (*Response, error) {
	p, ctx, req := x.pool, x.ctx, x.req
	if x.buf.trace != nil {
		x.tellGetConn(key)
	}
	// The clock is looked at again where what is the user's may have taken its time.
	if x.buf.now = x.rec.call.began; !x.rec.call.direct || x.rec.call.attempts.Load() > 0 || x.buf.trace != nil {
		x.buf.now = sock.Now()
	}
	x.rec.entered = x.buf.now
	again := req.replayable()
	want := connpool.Want{
		Wait:    x.limit.Pool,
		Connect: x.limit.Connect,
		Strict:  !again || !req.repeatable(),
		Now:     sock.Time(x.buf.now),
	}
	e, got, err := p.acquire(ctx, key, want)
	for refusals := 0; ; {
		if err != nil {
			x.giveUp()
			return nil, x.failAcquire(key, got, err)
		}
		x.note(e, got)
		var failure *failure
		if e.Conn.h2 == nil {
			failure = x.run(got, plan)
		} else {
			failure = x.runStream(got, plan)
		}
		if failure == nil {
			return &x.resp, nil
		}
		if !x.repeats(failure, got, refusals, again) {
			x.endTry(failure.reason)
			return nil, failure.err
		}
		if failure.refused {
			refusals++
		}
		if x.stream == nil {
			x.letGo(false)
		}
		p.replays.Add(1)
		if x.buf.trace != nil {
			x.tellGetConn(key)
		}
		x.entry, x.stream = nil, nil // what follows ends the loan
		if failure.http1 {
			p.conns.Release(e)
			key = p.downgrade(key, req)
			e, got, err = p.acquire(ctx, key, want)
		} else {
			e, got, err = p.conns.Replace(ctx, e, connpool.ReasonReplaced, want)
		}
		if err == nil {
			got.Reused = false
		}
	}
}

// repeats reports whether a request is to be sent again after a try that failed. Its server
// may have said some times before that it had not acted on it. again says whether the body
// can be; where that alone speaks against it the failure tells so.
func (x *exchange) repeats(f *failure, got connpool.Got, refusals int, again bool) bool {
	ok := x.safeToRepeat(f, got, refusals)
	if ok && !again {
		f.err.Err = because(ErrBodyNotRewindable, f.err.Err)
	}
	return ok && again
}

func (x *exchange) safeToRepeat(f *failure, got connpool.Got, refusals int) bool {
	if f.misdirected {
		x.wrote = true
		return true
	}
	// A reused connection that fails before the first byte of an answer was most
	// likely closed by the peer for being idle.
	stale := got.Reused && !x.began && f.broken
	x.wrote = x.wrote || x.sentBy(f) != NotSent
	return (stale || f.refusedAgain(refusals)) && (!x.wrote || x.req.repeatable())
}

// misdirected reports whether an answer says that the server serves the request, but not
// on this connection, which was reused or shared: whatever the method, it was not acted
// on, and is sent again on another (RFC 9110, section 15.5.20). On a new one the answer
// stands.
func (x *exchange) misdirected(status int, got connpool.Got) bool {
	return status == http.StatusMisdirectedRequest && got.Reused && x.conn().held == nil && x.req.replayable()
}

// replayable reports whether the body can be opened again.
func (r *Request) replayable() bool { return r.Body == nil || r.Body.Replayable() }

// acquire lends a connection. The pool has looked at those that were idle, but not
// at one that is handed over from the last exchange to the next.
func (p *Pool) acquire(ctx context.Context, key connKey, want connpool.Want) (*entry, connpool.Got, error) {
	e, got, err := p.conns.Acquire(ctx, key, want)
	if err != nil || !got.Reused || got.Idle > 0 {
		return e, got, err
	}
	ok, why := checkConn(e.Conn, 0, want.Strict)
	if ok {
		return e, got, nil
	}
	waited := got.Waited
	e, got, err = p.conns.Replace(ctx, e, why, want)
	got.Waited += waited
	return e, got, err
}

// giveUp ends an exchange that has no connection.
func (x *exchange) giveUp() {
	x.buf.free()
	x.buf, x.ended = nil, true
}

// sentBy tells how far a try came that failed.
func (x *exchange) sentBy(f *failure) Sent {
	if x.stream != nil {
		return f.err.Sent
	}
	return x.sent()
}

// endTry gives the connection of a try back that failed.
func (x *exchange) endTry(reason connpool.Reason) {
	if x.stream == nil {
		x.end(reason)
		return
	}
	x.giveUp()
	x.stream.release(reason)
}

func (x *exchange) conn() *conn { return x.entry.Conn }

// note writes down how the connection was come by.
func (x *exchange) note(e *entry, got connpool.Got) {
	x.entry, x.began = e, false
	x.rec.call.live.Store(x)
	x.rec.attempt = x.rec.call.attempts.Add(1)
	if x.rec.attempt > 1 || got.Waited+got.Dialing > 0 {
		x.buf.now = sock.Now()
	}
	x.rec.waited = x.buf.now
	x.rec.reused, x.rec.facts = got.Reused, e.Conn.facts
	x.rec.first, x.rec.answered = 0, 0 // of an earlier try
}

// run sends the request on a connection and reads the head of the answer. On
// failure the connection is still the exchange's.
func (x *exchange) run(got connpool.Got, p *plan) *failure {
	c := x.conn()
	c.user.begin(x.req)
	x.loan = c.sock.Begin()
	x.stop = nil
	if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, c.cancel)
	}
	if x.buf.trace != nil {
		x.tellGotConn(got)
	}
	x.buf.br.Reset((*wire)(x))
	f := x.send(p)
	if f == nil {
		f = x.readHead()
	}
	switch {
	case f != nil:
		return f
	case x.misdirected(x.buf.head.StatusCode, got):
		x.buf.head = h1.ResponseHead{}
		return &failure{misdirected: true}
	}
	return x.respond()
}

// send writes the request, or starts what writes it.
func (x *exchange) send(p *plan) *failure {
	c := x.conn()
	x.up = nil
	if !p.inline {
		up, err := x.startUpload(p)
		if err != nil {
			x.buf.head.KeepAlive = true // nothing was done with the connection
			return &failure{err: x.fail(PhaseRequest, x.sent(), err)}
		}
		x.up = up
		return nil
	}
	data := p.data
	if t := x.buf.trace; t != nil {
		tellHead(t, x.buf.out)
		x.buf.now = sock.Now()
	}
	// These few bytes are one wait for the peer.
	c.sock.WriteBy(deadline(x.buf.now, x.limit.Write))
	out := x.buf.out
	if n := min(len(data), maxJoined-len(out)); n > 0 {
		out = append(out, data[:n]...)
		data = data[n:]
	}
	_, err := c.rw.Write(out)
	if err == nil && len(data) > 0 {
		_, err = c.rw.Write(data)
	}
	if err != nil {
		tellWritten(x.buf.trace, x.ctx, err)
		return x.writeFailed(err)
	}
	if len(out)+len(data) > maxJoined {
		x.buf.now = sock.Now() // it may have waited for the peer
	}
	x.rec.written = x.buf.now
	if t := x.buf.trace; t != nil {
		tellWritten(t, x.ctx, nil)
		x.buf.now = sock.Now()
	}
	c.sock.ReadBy(deadline(x.buf.now, x.limit.Response))
	return nil
}

// deadline is limit after now, zero for no limit.
func deadline(now, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return now + min(limit, sock.Forever)
}

// writeFailed looks whether the peer said something before it stopped reading:
// that is the answer then. Else the failure stands.
func (x *exchange) writeFailed(err error) *failure {
	if broken(err) {
		x.conn().sock.ReadBy(sock.Now() + lastWords)
		if x.parseHead() == nil {
			x.buf.head.KeepAlive = false
			return nil
		}
	}
	return x.failWrite(err)
}

// readHead reads heads until the final one. It does nothing if that was read
// already.
func (x *exchange) readHead() *failure {
	if x.buf.head.StatusCode != 0 {
		return nil
	}
	err := x.parseHead()
	if err == nil {
		return nil
	}
	if errors.Is(err, sock.ErrWriteLate) {
		return x.failWrite(err)
	}
	var uploaded bool
	if x.up != nil {
		// What stopped the upload, if something did, is why there is no answer.
		var upErr error
		if upErr, uploaded = x.up.result(); uploaded && upErr != nil {
			return x.failWrite(upErr)
		}
	}
	f := &failure{reason: connpool.ReasonError, broken: broken(err)}
	f.err = x.failIO(PhaseResponse, x.sent(), err)
	if x.up != nil && !uploaded {
		f.err.Phase = PhaseWrite
	}
	return f
}

func (x *exchange) parseHead() error {
	h := &x.buf.head
	if err := h1.ReadResponse(x.buf.br, x.req.Method, headLimits, h, x.on1xx()); err != nil {
		h.StatusCode = 0
		return err
	}
	x.rec.answered = sock.Now()
	x.reread = false
	return nil
}

// on1xx gives what is told of interim answers; nil if nobody wants to know.
func (x *exchange) on1xx() func(int, http.Header) error {
	tell, up, t := x.req.OnInformational, x.up, x.buf.trace
	waits := up != nil && up.gate != nil
	if tell == nil && !waits && t == nil {
		return nil
	}
	continued := false
	return func(status int, header http.Header) error {
		if t != nil {
			first := status == http.StatusContinue && waits && !continued
			continued = continued || first
			if err := tell1xx(t, first, status, header); err != nil {
				return err
			}
		}
		if status == http.StatusContinue && up != nil {
			up.open()
		}
		if tell != nil {
			tell(status, header)
		}
		return nil
	}
}

// wire is the connection as the parser reads it.
type wire exchange

func (w *wire) Read(p []byte) (int, error) {
	if w.began && w.rec.answered == 0 && w.rec.first == 0 {
		w.rec.first = sock.Now() // a head that does not come in one piece
	}
	n, err := w.entry.Conn.rw.Read(p)
	if n > 0 && !w.began {
		w.began = true
		if t := w.buf.trace; t != nil && t.GotFirstResponseByte != nil {
			w.rec.first = sock.Now()
			t.GotFirstResponseByte()
		}
	}
	w.reread = true
	return n, err
}

// respond makes the response of the head.
func (x *exchange) respond() *failure {
	h := &x.buf.head
	r := &x.resp
	r.StatusCode, r.Status, r.Proto = h.StatusCode, h.Status, h.Proto
	r.Header, r.ContentLength = h.Header, h.ContentLength
	r.Request, r.rec = x.req, &x.rec
	r.TLS = x.conn().state
	x.pool.measure(&x.rec, x.entry)
	if x.up != nil {
		if ended := x.up.answered(h.StatusCode); ended != 0 {
			x.rec.written = ended
		}
	}
	if switched(x.req.Method, h.StatusCode) {
		return x.upgrade()
	}
	c := x.conn()
	c.sock.ReadWithin(x.limit.Read)
	x.buf.body.Reset(x.buf.br, h, headLimits)
	if h.Framing == h1.NoBody || h.Framing == h1.LengthBody && h.ContentLength == 0 {
		r.Body = http.NoBody
		x.rec.ended = x.rec.answered
		if tell := x.end(0); tell != nil {
			tell()
		}
		return nil
	}
	r.Body = x
	if !x.rec.call.full || !x.rec.call.direct {
		x.watch()
	}
	return nil
}

// watch notices a response that is dropped without having been closed.
func (x *exchange) watch() {
	p, e, loan, stop, up, url, log := x.pool, x.entry, x.loan, x.stop, x.up, urls.Redacted(x.req.URL), x.req.logger()
	cleanup := runtime.AddCleanup(x, func(struct{}) {
		p.leaks.add(url, log)
		if stop != nil {
			stop()
		}
		if up != nil {
			up.abort()
		}
		e.Conn.sock.Interrupt(loan, sock.ErrInterrupted)
		if held := e.Conn.held; held != nil {
			held.over(errConnFailed)
		}
		p.conns.Discard(e, connpool.ReasonError)
	}, struct{}{})
	x.cleanup = &cleanup
}
