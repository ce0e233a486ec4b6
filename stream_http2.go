package parley

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h2"
	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// stream is one try of an exchange on a connection that speaks HTTP/2. It is the Body of
// its response.
type stream struct {
	x     *exchange
	entry *entry
	conn  *http2Conn
	trace *httptrace.ClientTrace
	life  *lifeline
	watch *watch // of life
	since int64  // when the server had last been heard of
	in    atomic.Pointer[http.Response]
	tell  *teller // nil: nobody wants to know of what comes before the head

	body    *source      // of the request; nil: none
	gate    *gate        // before the body; nil: it goes at once
	written atomic.Int64 // when the request had been sent, as package sock counts; 0: it has not

	mu      sync.Mutex // of the one that reads
	over    bool       // nothing goes on for the try any more
	given   bool       // the loan has ended
	read    bool       // somebody has asked for the body
	err     error      // what every further Read gives
	closing atomic.Bool
	cleanup *runtime.Cleanup
}

// runStream sends the request on a connection of HTTP/2 and waits for the head of the
// answer. On failure the loan is still the exchange's, and nothing else goes on.
func (x *exchange) runStream(got connpool.Got, p *plan) *failure {
	c := x.conn().h2
	s := &stream{x: x, entry: x.entry, conn: c, trace: x.buf.trace, since: c.Heard()}
	c.carried.Add(1)
	x.stream = s
	s.life = newLifeline(x.ctx, x.limit, c.alarm)
	s.life.user = sharer{borrower: borrowerOf(x.req), since: x.buf.now}
	c.users.add(&s.life.user)
	s.watch = &s.life.watch
	if s.trace != nil {
		x.tellGotConn(got)
	}
	hr, err := s.request(p)
	if err != nil {
		s.finish()
		sent := NotSent
		if x.wrote {
			sent = MaybeSent
		}
		return &failure{err: x.fail(PhaseRequest, sent, err)}
	}
	if s.body == nil {
		now := x.buf.now
		if s.trace != nil {
			now = 0 // it may have taken its time
		}
		s.watch.beginAt(PhaseResponse, now)
	} else {
		s.watch.sending(PhaseWrite)
		s.life.atEnd(weakly(s))
	}
	in, err := s.roundTrip(hr)
	if err == nil {
		s.in.Store(in)
		if err = s.life.over(); err == nil {
			err = checkHead(in)
		}
	}
	if err == nil {
		err = s.watch.headCame()
	}
	if err != nil {
		f := s.failure(PhaseResponse, err)
		s.finish()
		return f
	}
	if x.misdirected(in.StatusCode, got) {
		s.finish()
		return &failure{misdirected: true}
	}
	s.respond()
	return nil
}

// request makes the request for net/http.
func (s *stream) request(p *plan) (*http.Request, error) {
	x := s.x
	head := &x.buf.req
	to := &s.life.target
	*to = url.URL{Scheme: s.entry.Key().scheme(), Host: head.Host, Opaque: head.Target}
	if strings.HasPrefix(head.Target, "//") {
		to.Opaque = "//" + head.Host + head.Target // or it would be taken for an authority
	}
	hr := (&http.Request{
		Method: x.req.Method, URL: to, Host: head.Host, Header: x.requestHeader(), ContentLength: p.size,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(s.life)
	if len(x.req.Trailers) > 0 {
		hr.Trailer = make(http.Header)
		for _, t := range x.req.Trailers {
			hr.Trailer[textproto.CanonicalMIMEHeaderKey(t.Name)] = nil
		}
	}
	if err := s.openBody(hr, p); err != nil {
		return nil, err
	}
	if s.body == nil {
		s.written.Store(int64(x.rec.waited))
	}
	if s.trace != nil || x.req.OnInformational != nil || s.gate != nil {
		s.tell = newTeller(s.life, s)
		hr = hr.WithContext(httptrace.WithClientTrace(s.life, s.tell.hooks()))
	}
	return hr, nil
}

// openBody opens the body of the request, if it has one.
func (s *stream) openBody(hr *http.Request, p *plan) error {
	req := s.x.req
	var rc io.ReadCloser
	switch {
	case p.size == 0:
		return nil
	case p.data != nil:
		rc = io.NopCloser(bytes.NewReader(p.data))
	case req.Body == nil: // trailers alone
		rc = http.NoBody
	default:
		var err error
		if rc, err = req.open(p.size, p.expect); err != nil {
			return err
		}
	}
	if p.expect {
		s.gate = newGate(rc, req.ExpectTimeout, s)
		rc = s.gate
	}
	s.body = newSource(rc, p.size, s.watch, func() error {
		s.written.Store(int64(sock.Now()))
		if len(req.Trailers) == 0 {
			return nil
		}
		values, err := checkTrailers(req)
		for name, v := range values {
			hr.Trailer[name] = v
		}
		return err
	})
	hr.Body = s.body
	return nil
}

// weakly gives stopBodies of a stream, which it does not hold.
func weakly(s *stream) func() {
	ref := weak.Make(s)
	return func() {
		if s := ref.Value(); s != nil {
			s.stopBodies()
		}
	}
}

// stopBodies ends what net/http does not end with the context: it waits for the body of a
// request that waits, and lets the response wait for that.
func (s *stream) stopBodies() {
	s.body.Close()
	if in := s.in.Load(); in != nil {
		in.Body.Close()
	}
}

// roundTrip sends the request. What is to be told before the head comes is told here.
func (s *stream) roundTrip(hr *http.Request) (*http.Response, error) {
	if s.tell == nil {
		return s.conn.RoundTrip(hr)
	}
	return s.tell.roundTrip(hr)
}

// respond makes the response.
func (s *stream) respond() {
	x, in := s.x, s.in.Load()
	x.rec.answered = sock.Now()
	x.rec.written = time.Duration(s.written.Load())
	r := &x.resp
	r.StatusCode, r.Status, r.Proto = in.StatusCode, in.Status, "HTTP/2.0"
	r.Header, r.ContentLength = in.Header, in.ContentLength
	r.Request, r.rec, r.TLS = x.req, &x.rec, x.conn().state
	x.pool.measure(&x.rec, s.entry)
	if s.gate != nil {
		s.gate.answered(in.StatusCode)
	}
	x.giveUp() // its buffers
	empty := h2.Bodiless(in)
	switch {
	case x.req.Method == http.MethodHead, in.StatusCode == http.StatusNoContent, in.StatusCode == http.StatusNotModified:
		empty = true
	}
	if empty {
		r.Body = http.NoBody
		r.Trailer = trailersOf(in)
		x.rec.ended = x.rec.answered
		s.err = io.EOF
		s.finish()
		s.release(0)
		return
	}
	r.Body = s
	s.life.answered(in.Body, s.conn)
	if !x.rec.call.full || !x.rec.call.direct {
		s.watchLeak()
	}
}

// watchLeak notices a response that is dropped without having been closed.
func (s *stream) watchLeak() {
	p, e, conn, life, url, log := s.x.pool, s.entry, s.conn, s.life, urls.Redacted(s.x.req.URL), s.x.req.logger()
	cleanup := runtime.AddCleanup(s, func(struct{}) {
		p.leaks.add(url, log)
		life.interrupt(context.Canceled)
		life.finish()
		conn.Done()
		p.conns.Release(e)
	}, struct{}{})
	s.cleanup = &cleanup
}

// finish ends everything that goes on for the try, except for its loan. It is called with
// mu held, or before anybody else can know of s.
func (s *stream) finish() {
	if s.over {
		return
	}
	s.over = true
	in := s.in.Load()
	complete := s.err == io.EOF && (s.body == nil || s.body.finished())
	if complete {
		in.Body.Close() // waits a moment, under the limit of the last Read, until the connection has forgotten the stream
	}
	s.life.finish()
	if !complete {
		s.life.interrupt(context.Canceled)
		if in != nil {
			closeSoon(in.Body)
		}
	}
	s.body.Close()
	s.conn.Done()
}

// closeSoon closes a body that was not read to its end. What tells the server so may have
// to wait for what others write.
func closeSoon(body io.Closer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		body.Close()
	}()
	late := time.NewTimer(drainWait)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// release ends the loan, for reason 0 to use the connection again if nothing speaks
// against it.
func (s *stream) release(reason connpool.Reason) {
	if s.given {
		return
	}
	s.given = true
	if s.cleanup != nil {
		s.cleanup.Stop()
	}
	conns := s.x.pool.conns
	freed := s.x.rec.ended
	if call := s.x.rec.call; freed == 0 || !call.full || !call.direct {
		freed = sock.Now() // the caller may have kept the response for a while
	}
	switch late := s.watch.passed(); {
	case late != nil && s.conn.Heard() == s.since:
		// Nothing was heard of the server since: others had better not wait for it too.
		conns.Discard(s.entry, connpool.ReasonError)
	case s.x.closes:
		conns.Discard(s.entry, connpool.ReasonNotReusable)
	case reason != 0 && !s.conn.Usable():
		conns.Discard(s.entry, reason)
	default:
		conns.ReleaseAt(s.entry, sock.Time(freed))
	}
}

// abandon ends the exchange of a call that will not return.
func (s *stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errBodyClosed
	}
	s.finish()
	s.release(connpool.ReasonError)
	s.x.ended = true
}

// Read reads the body.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || len(p) == 0 {
		return 0, s.lastError()
	}
	now := time.Duration(0)
	if call := s.x.rec.call; !s.read && call.full && call.direct {
		now = s.x.rec.answered // just now
	}
	s.read = true
	s.watch.beginAt(PhaseRead, now)
	s.life.reading.Store(true)
	n, err := s.in.Load().Body.Read(p)
	s.life.reading.Store(false)
	if err == nil {
		s.watch.begin("")
		return n, nil
	}
	reason := connpool.Reason(0)
	switch {
	case s.closing.Load():
		s.err = errBodyClosed
	case err == io.EOF && s.watch.passed() == nil:
		s.err = s.ended()
	default:
		f := s.failure(PhaseRead, err)
		s.err, reason = f.err, f.reason
	}
	s.finish()
	s.release(reason)
	return n, s.lastError()
}

// ended is what a body's end gives.
func (s *stream) ended() error {
	x := s.x
	trailer := trailersOf(s.in.Load())
	if err := cleanLines(trailer); err != nil {
		return x.fail(PhaseRead, Answering, err)
	}
	x.resp.Trailer = trailer
	x.rec.ended = sock.Now()
	return io.EOF
}

func (s *stream) lastError() error {
	if s.err == errBodyClosed {
		return s.x.resp.closedError()
	}
	return s.err
}

// Close ends the exchange: see [Response.Close]. It may be called during a Read, which it
// ends. The connection is used again, whatever was left of the body.
func (s *stream) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	if !s.mu.TryLock() {
		s.life.interrupt(context.Canceled) // ends the Read
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.err == nil {
		late := time.AfterFunc(drainWait, func() { s.life.interrupt(context.Canceled) })
		defer late.Stop()
		if s.rest() {
			s.err = s.ended()
		}
	}
	s.finish()
	s.release(0)
	if s.err == nil || s.err == io.EOF {
		s.err = errBodyClosed
	}
	return nil
}

// rest reads what little is left of a body, so that the server is not told to stop what
// it has sent already.
func (s *stream) rest() bool {
	s.life.reading.Store(true)
	defer s.life.reading.Store(false)
	n, err := io.CopyN(io.Discard, s.in.Load().Body, maxDrain+1)
	return n <= maxDrain && err == io.EOF
}
