package parleytest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley"
)

// Send answers a request: see [Mock].
func (m *Mock) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	if ctx == nil || req == nil || req.URL == nil {
		return parley.HandlerTransport(http.NotFoundHandler()).Send(ctx, req) // says what is wrong
	}
	a := &answering{mock: m, req: req, call: newCall(req)}
	out := req.Clone()
	if req.Body != nil {
		out.Body = &tapBody{Body: req.Body, history: &m.history, call: a.call}
	}
	if r := m.passing(a.call); r != nil {
		a.took(r)
		return a.answered(r.passesTo().Send(ctx, out))
	}
	resp, err := parley.HandlerTransport(http.HandlerFunc(a.serve)).Send(ctx, out)
	if err != nil {
		if to := a.through.Load(); to != nil && errors.Is(err, parley.ErrPeerClosed) {
			return a.passOn(ctx, *to)
		}
		return nil, a.explain(ctx, err)
	}
	if resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols && req.Method != http.MethodConnect {
		resp.Body = &answerBody{resp.Body, ctx, a}
	}
	return a.answered(resp, nil)
}

// answered gives a response the request as it was made.
func (a *answering) answered(resp *parley.Response, err error) (*parley.Response, error) {
	if err == nil && resp != nil {
		resp.Request = a.req
	}
	return resp, err
}

// answering is one request that a mock answers. It runs as a handler, so that everything
// about the exchange is done where it is done for handlers.
type answering struct {
	mock    *Mock
	req     *parley.Request
	call    *Call
	fault   atomic.Pointer[fault]            // why the handler broke the answer off; nil: not as a fault
	through atomic.Pointer[parley.Transport] // to which the request passes
}

// answeringKey is the key of the context under which a handler's request has its answering.
type answeringKey struct{}

// took notes which route has taken the request.
func (a *answering) took(r *Route) {
	values := r.pattern.values(a.req.URL)
	h := &a.mock.history
	h.mu.Lock()
	a.call.route, a.call.Route, a.call.Values = r, r.text, values
	h.mu.Unlock()
	h.add(a.call)
}

// serve is the handler.
func (a *answering) serve(w http.ResponseWriter, r *http.Request) {
	defer a.mock.panics.note(r.Method, r.URL.Path)
	ahead := &aheadBody{from: r.Body}
	r = r.WithContext(context.WithValue(r.Context(), answeringKey{}, a))
	r.Body = ahead
	route, n, err := a.mock.choose(a.call, ahead.readAhead)
	switch {
	case errors.Is(err, ErrUnexpected):
		a.mock.history.add(a.call)
		a.mock.noteUnexpected(strings.TrimPrefix(err.Error(), ErrUnexpected.Error()+": "))
		a.breakOff(&fault{phase: parley.PhaseRequest, sent: parley.NotSent, err: err})
	case err != nil: // of the body, as the transport knows
		panic(http.ErrAbortHandler)
	}
	a.took(route)
	if to := route.passesTo(); to != nil {
		a.through.Store(&to)
		panic(http.ErrAbortHandler)
	}
	for name, value := range a.call.Values {
		r.SetPathValue(name, value)
	}
	aw := &answerWriter{ResponseWriter: w, before: func() {
		if r.ContentLength > 0 && r.ContentLength <= MaxCallBytes && r.Header.Get("Expect") == "" {
			_ = ahead.readAhead() // an error of the body is the transport's to see
		}
	}}
	route.answer(n).ServeHTTP(aw, r)
	aw.begin()
}

// breakOff ends the handler with a fault.
func (a *answering) breakOff(f *fault) {
	a.fault.Store(f)
	panic(http.ErrAbortHandler)
}

func (m *Mock) noteUnexpected(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missed++; len(m.unexpected) < maxReports {
		m.unexpected = append(m.unexpected, text)
	}
}

// passOn sends a request on whose body was read to find its route.
func (a *answering) passOn(ctx context.Context, to parley.Transport) (*parley.Response, error) {
	out := a.req.Clone()
	if seen := a.mock.history.copyOf(a.call); a.req.Body != nil && !a.req.Body.Replayable() && !seen.Truncated {
		out.Body = parley.BytesBody(seen.Body, "")
	}
	return a.answered(to.Send(ctx, out))
}

// explain makes the error of a fault of that of a handler which broke off.
func (a *answering) explain(ctx context.Context, err error) error {
	var e *parley.Error
	f := a.fault.Load()
	if f == nil || !errors.As(err, &e) || !errors.Is(err, parley.ErrPeerClosed) {
		return err
	}
	out := *e
	out.Phase, out.Sent, out.Limit, out.Err = f.phase, f.sent, f.limit, f.err
	if e.Phase == parley.PhaseRead { // the head has come
		out.Phase, out.Sent = parley.PhaseRead, parley.Answering
	}
	if f.waits {
		a.wait(ctx, &out)
	}
	return &out
}

// wait lets the limit of a phase pass before the error that says so. The context may end
// before.
func (a *answering) wait(ctx context.Context, e *parley.Error) {
	began := time.Now()
	limit := limitOf(a.req.Timeouts, e.Phase)
	waits := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if limit >= 0 {
			pause(r.Context(), limit)
		} else {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	})
	blank, err := parley.NewRequest(http.MethodGet, "http://mock.invalid/", parley.WithTimeouts(parley.Timeouts{
		Response: parley.NoTimeout, Total: a.req.Timeouts.Total,
	}))
	if err == nil {
		_, err = parley.HandlerTransport(waits).Send(ctx, blank)
	}
	e.Elapsed += time.Since(began)
	var early *parley.Error
	if errors.As(err, &early) && !errors.Is(err, parley.ErrPeerClosed) {
		e.Err, e.Limit = early.Err, early.Limit
		return
	}
	e.Limit = max(limit, 0)
	e.Err = fmt.Errorf("%w after %v", e.Err, limit)
}

// limitOf gives the limit of a phase; below 0: none.
func limitOf(t parley.Timeouts, phase parley.Phase) time.Duration {
	given, usual := t.Response, parley.DefaultResponseTimeout
	switch phase {
	case parley.PhasePool:
		given, usual = t.Pool, parley.DefaultPoolTimeout
	case parley.PhaseConnect:
		given, usual = t.Connect, parley.DefaultConnectTimeout
	case parley.PhaseWrite:
		given, usual = t.Write, parley.DefaultWriteTimeout
	}
	if given == 0 {
		return usual
	}
	return given
}

// answerBody is the body of an answer, which a fault may end.
type answerBody struct {
	io.ReadCloser
	ctx context.Context
	a   *answering
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.a.explain(b.ctx, err)
	}
	return n, err
}

// aheadBody is the body of a request, some of which may be read ahead of the handler.
type aheadBody struct {
	mu    sync.Mutex
	from  io.ReadCloser
	ahead bytes.Buffer
}

// readAhead reads the rest of the body, up to what is kept of one.
func (b *aheadBody) readAhead() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := io.Copy(&b.ahead, io.LimitReader(b.from, int64(MaxCallBytes+1-b.ahead.Len())))
	return err
}

func (b *aheadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ahead.Len() > 0 {
		return b.ahead.Read(p)
	}
	return b.from.Read(p)
}

func (b *aheadBody) Close() error { return b.from.Close() }

// answerWriter calls a function before the answer begins.
type answerWriter struct {
	http.ResponseWriter
	before func()
	once   sync.Once
}

func (w *answerWriter) begin() { w.once.Do(w.before) }

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 {
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

func (w *answerWriter) Flush() { _ = w.FlushError() } // has no other way to fail

func (w *answerWriter) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.once.Do(func() {}) // what follows is no answer
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
