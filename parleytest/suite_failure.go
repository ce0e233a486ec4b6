package parleytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley"
)

// trackedBody is a body that knows how often it was opened and closed.
type trackedBody struct {
	content func() io.Reader
	size    int64
	once    bool // cannot be opened again

	opened, closed, twice atomic.Int64
}

func (b *trackedBody) Size() int64         { return b.size }
func (b *trackedBody) ContentType() string { return "" }
func (b *trackedBody) Replayable() bool    { return !b.once }
func (b *trackedBody) Open() (io.ReadCloser, error) {
	if n := b.opened.Add(1); b.once && n > 1 {
		return nil, parley.ErrBodyNotRewindable
	}
	return &trackedReader{Reader: b.content(), body: b}, nil
}

type trackedReader struct {
	io.Reader
	body   *trackedBody
	closed atomic.Bool
}

func (r *trackedReader) Close() error {
	if r.closed.Swap(true) {
		r.body.twice.Add(1)
		return nil
	}
	r.body.closed.Add(1)
	if c, ok := r.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// closedOnce waits until every reader has been closed.
func (r *rig) closedOnce(what string, b *trackedBody) {
	r.Helper()
	r.eventually(what+": the body of the request is closed", func() bool { return b.closed.Load() == b.opened.Load() })
	equal(r, what+": readers closed more than once", b.twice.Load(), 0)
}

// endless is a reader that waits until it is closed.
type endless struct {
	once  sync.Once
	ended chan struct{}
}

func newEndless() *endless { return &endless{ended: make(chan struct{})} }

func (e *endless) Read([]byte) (int, error) {
	<-e.ended
	return 0, io.ErrClosedPipe
}

func (e *endless) Close() error {
	e.once.Do(func() { close(e.ended) })
	return nil
}

// text is a body of known size.
func text(s string) *trackedBody {
	return &trackedBody{content: func() io.Reader { return strings.NewReader(s) }, size: int64(len(s))}
}

// waiting is a body that gives something and then waits until it is closed.
func waiting() *trackedBody {
	return &trackedBody{once: true, size: -1, content: func() io.Reader {
		e := newEndless()
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader("begin"), e), e}
	}}
}

// holds answers nothing, or no more than a beginning, until the peer is gone.
func holds(begin string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if begin != "" {
			io.WriteString(w, begin)
			http.NewResponseController(w).Flush()
		}
		<-q.Context().Done()
	})
}

func requestBodiesAreClosedOnce(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/read":
			io.Copy(w, q.Body)
		case "/early":
			http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case "/break":
			panic(http.ErrAbortHandler)
		case "/hold":
			io.Copy(io.Discard, q.Body)
			<-q.Context().Done()
		}
	})
	body := text("content")
	equal(r, "the body", r.read(r.send(r.request("POST", "/read", parley.WithBody(body)))), "content")
	r.closedOnce("an answer that was read", body)

	body = waiting()
	r.close(r.send(r.request("POST", "/early", parley.WithBody(body))))
	r.closedOnce("an early answer", body)

	body = text("content")
	r.fails(r.ctx, r.request("POST", "/break", parley.WithBody(body)), parley.ErrNetwork)
	r.closedOnce("a connection that breaks", body)

	body = waiting()
	ctx, cancel := context.WithTimeout(r.ctx, short)
	defer cancel()
	r.fails(ctx, r.request("POST", "/hold", parley.WithBody(body)), context.DeadlineExceeded)
	r.closedOnce("a context that ends", body)

	body = text("content")
	req := r.request("POST", "/read", parley.WithBody(body))
	req.Header["Bad Name"] = []string{"x"}
	r.fails(r.ctx, req, parley.ErrInvalidHeader)
	r.closedOnce("a request that cannot be sent", body)
}

func bodiesThatFail(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	mine := errors.New("my own error")
	failing := &trackedBody{size: -1, content: func() io.Reader { return io.MultiReader(strings.NewReader("ab"), broken{mine}) }}
	// The answer may have begun when the body fails.
	resp, err := r.transport.Send(r.ctx, r.request("POST", "/x", parley.WithBody(failing)))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close() // how it ends after an error makes no difference
	}
	r.judge(err, mine)
	r.closedOnce("a body that fails", failing)

	for what, size := range map[string]int64{"shorter than announced": 9, "longer than announced": 3} {
		lying := text("12345")
		lying.size = size
		resp, err := r.transport.Send(r.ctx, r.request("POST", "/x", parley.WithBody(lying)))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close() // how it ends after an error makes no difference
		}
		if err != nil || what == "shorter than announced" {
			r.judge(err, parley.ErrLocalProtocol)
		}
		r.closedOnce("a body "+what, lying)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func readingAfterTheEnd(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.Copy(w, &pattern{size: 100_000}) })
	resp := r.send(r.request("GET", "/x"))
	if _, err := io.ReadAll(resp.Body); err != nil {
		r.Fatalf("reading the body: %v", err)
	}
	for range 2 {
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			r.Errorf("Read after the end: %d %v, should be io.EOF", n, err)
		}
	}
	r.close(resp)
	r.close(resp)
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		r.Errorf("Read after Close: %v, should be an error of its own", err)
	}
	resp = r.send(r.request("GET", "/x"))
	r.close(resp)
	if _, err := io.ReadAll(resp.Body); err == nil {
		r.Error("a body that was closed unread came to an orderly end")
	}
}

func closeEndsARead(r *rig) {
	r.handler = holds("begin")
	resp := r.send(r.request("GET", "/x"))
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begin"))); err != nil {
		r.Fatalf("reading the beginning: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := resp.Body.Read(make([]byte, 1))
		ended <- err
	}()
	time.Sleep(time.Millisecond) // most likely it waits by now; if not, the rule is the same
	r.close(resp)
	select {
	case err := <-ended:
		if err == nil || err == io.EOF {
			r.Errorf("the Read that was ended: %v", err)
		}
	case <-time.After(patience):
		r.Error("the Read goes on")
	}
}

func contextEndedBefore(r *rig) {
	var reached atomic.Bool
	r.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	equal(r, "Sent", r.fails(ctx, r.request("GET", "/x"), context.Canceled).Sent, parley.NotSent)
	ctx, cancel = context.WithDeadline(r.ctx, time.Now().Add(-time.Second))
	defer cancel()
	equal(r, "Sent", r.fails(ctx, r.request("GET", "/x"), context.DeadlineExceeded, parley.ErrTimeout).Sent, parley.NotSent)
	equal(r, "the request arrived", reached.Load(), false)
}

func contextEndsTheHead(r *rig) {
	arrived := make(chan struct{}, 1)
	gone := make(chan struct{}, 1)
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		arrived <- struct{}{}
		<-q.Context().Done()
		gone <- struct{}{}
	})
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	equal(r, "Sent", r.fails(ctx, r.request("GET", "/x"), context.Canceled).Sent, parley.MaybeSent)
	<-gone

	ctx, cancel = context.WithTimeout(r.ctx, short)
	defer cancel()
	e := r.fails(ctx, r.request("GET", "/x"), context.DeadlineExceeded, parley.ErrTimeout)
	equal(r, "Timeout", e.Timeout(), true)
	<-arrived
	<-gone
}

func contextEndsTheBody(r *rig) {
	r.handler = holds("begin")
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	resp, err := r.transport.Send(ctx, r.request("GET", "/x"))
	if err != nil {
		r.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begin"))); err != nil {
		r.Fatalf("reading the beginning: %v", err)
	}
	time.AfterFunc(short/10, cancel)
	equal(r, "Sent", r.readFails(resp, context.Canceled).Sent, parley.Answering)
}

func timeoutsOfThePhases(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		holds(strings.TrimPrefix(q.URL.Path, "/")).ServeHTTP(w, q)
	})
	limit := func(t parley.Timeouts) parley.RequestOption { return parley.WithTimeouts(t) }
	e := r.fails(r.ctx, r.request("GET", "/", limit(parley.Timeouts{Response: short})), parley.ErrResponseTimeout, parley.ErrTimeout, os.ErrDeadlineExceeded)
	equal(r, "Sent", e.Sent, parley.MaybeSent)
	equal(r, "Phase", e.Phase, parley.PhaseResponse)
	equal(r, "Limit", e.Limit, short)
	equal(r, "Timeout", e.Timeout(), true)
	e = r.fails(r.ctx, r.request("GET", "/", limit(parley.Timeouts{Total: short})), parley.ErrTotalTimeout, parley.ErrTimeout, os.ErrDeadlineExceeded)
	equal(r, "Limit", e.Limit, short)
	resp := r.send(r.request("GET", "/begin", limit(parley.Timeouts{Read: short})))
	e = r.readFails(resp, parley.ErrReadTimeout, parley.ErrTimeout, os.ErrDeadlineExceeded)
	equal(r, "Sent", e.Sent, parley.Answering)
	equal(r, "Phase", e.Phase, parley.PhaseRead)
	equal(r, "Limit", e.Limit, short)
}

func connectionsThatBreak(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/body":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begin")
			http.NewResponseController(w).Flush()
		case "/chunks":
			io.WriteString(w, "begin")
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	e := r.fails(r.ctx, r.request("POST", "/head"), parley.ErrNetwork)
	if e.Sent == parley.NotSent {
		r.Error("a request that was read by the server counts as not sent")
	}
	for _, path := range []string{"/body", "/chunks"} {
		resp := r.send(r.request("POST", path))
		equal(r, path+": Sent", r.readFails(resp, parley.ErrNetwork).Sent, parley.Answering)
	}
}

func requestsThatCannotBeSent(r *rig) {
	var reached atomic.Bool
	r.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	with := func(change func(*parley.Request)) *parley.Request {
		req := r.request("POST", "/x", parley.WithText("abc"))
		change(req)
		return req
	}
	for what, c := range map[string]struct {
		req  *parley.Request
		kind error
	}{
		"no URL":             {with(func(q *parley.Request) { q.URL = nil }), parley.ErrInvalidURL},
		"another scheme":     {with(func(q *parley.Request) { q.URL = &url.URL{Scheme: "ftp", Host: "a.test"} }), parley.ErrUnsupportedProtocol},
		"no host":            {with(func(q *parley.Request) { q.URL = &url.URL{Scheme: "http", Path: "/x"} }), parley.ErrInvalidURL},
		"a malformed method": {with(func(q *parley.Request) { q.Method = "GET /y" }), parley.ErrInvalidHeader},
		"a malformed name":   {with(func(q *parley.Request) { q.Header["X Y"] = []string{"z"} }), parley.ErrInvalidHeader},
		"a split header":     {with(func(q *parley.Request) { q.Header["X"] = []string{"a\r\nY: b"} }), parley.ErrInvalidHeader},
		"a wrong length":     {with(func(q *parley.Request) { q.Header["Content-Length"] = []string{"7"} }), parley.ErrLocalProtocol},
	} {
		e := r.fails(r.ctx, c.req, c.kind)
		equal(r, what+": Sent", e.Sent, parley.NotSent)
	}
	equal(r, "a request arrived", reached.Load(), false)
}

// upgradesAreConnections asks for another protocol. A transport that has no connection to
// hand over says so, in the one way or the other.
func upgradesAreConnections(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			r.Errorf("the handler cannot take its connection: %v", err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
		io.Copy(conn, rw)
	})
	req := r.request("GET", "/x", parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	resp, err := r.transport.Send(ctx, req)
	if err != nil {
		r.judge(err)
		return
	}
	defer resp.Close()
	equal(r, "status", resp.StatusCode, http.StatusSwitchingProtocols)
	conn, err := resp.Conn()
	if err != nil {
		r.judge(err, parley.ErrProtocol)
		return
	}
	defer conn.Close()
	cancel() // it is the caller's
	if _, err := io.WriteString(conn, " there"); err != nil {
		r.Fatalf("writing: %v", err)
	}
	text := make([]byte, len("hello there"))
	if _, err := io.ReadFull(conn, text); err != nil {
		r.Fatalf("reading: %v", err)
	}
	equal(r, "what was said", string(text), "hello there")
}
