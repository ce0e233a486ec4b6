package parley

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// MaxMergedBytes is how large a body may be on the wire that [WithMergedGets] gives to
// several calls.
const MaxMergedBytes = 4 << 20

// WithMergedGets(true) sends one request for all calls that ask for the same at the same
// time, and gives each its own copy of the answer. By default every call has its own.
//
// Merged are GETs whose calls read the whole body ([Client.Get], not [Client.Stream]) and
// which agree in everything: the URL, every header, timeouts, and all that tells
// connections apart, such as proxy, dialer and TLS settings. Never merged are requests
// that bear credentials, be it Authorization, Cookie, a client certificate or any header
// that is not known to be harmless (those that [Client.Explain] shows in clear), since
// their answers may be for one user alone; nor those with a body, a trace
// ([net/http/httptrace]), a function that chooses the proxy, [WithMinThroughput],
// [WithDownloadProgress] or [WithInformational].
//
// An answer that has Set-Cookie, "Cache-Control: private" or no-store, or "Vary: *", or
// is larger than 4 MiB ([MaxMergedBytes]), goes to one call; the others then send their
// own. A call that has ended neither ends nor fails those that it was merged with: the
// request goes on as long as one waits for it, under the phases of [Timeouts], and each
// call under its own context and Total. The request has the values of the context of the
// call that came first. Once a POST or another method that is not safe has been answered
// by an origin, later calls are not merged with a GET that began before that.
//
// [Timing].Merged tells of an answer that is another call's. Calls of different sessions
// are never merged.
func WithMergedGets(on bool) Option {
	return option(func(s *settings) error {
		s.conduct.limits.merge = chosen(on)
		return nil
	})
}

// flights are the requests of a session that calls may join.
type flights struct {
	mu   sync.Mutex
	open map[flightKey]*flight // nil until there is one
}

// flightKey is all in which requests have to agree to be merged.
type flightKey struct {
	origin, target, host string
	header, order        string
	timeouts             Timeouts // without Total
	tls                  *tls.Config
	security             *security
	proxy                *Proxy
	dialer               *dialerBox
	way                  way
	http2                http2Said
	attrs                *attribute
}

// flight is one request for several calls.
type flight struct {
	call   *callRecord   // of the request
	done   chan struct{} // closed when the last fields are there
	cancel context.CancelCauseFunc

	// Guarded by flights.mu.
	calls    []*callRecord // that have joined
	callers  int           // of these, those that wait
	finished bool
	claimed  bool // resp has gone to a call, or is closed

	resp     *Response
	content  []byte // the body, if it may be shared
	shared   bool
	err      error
	panicked any
}

var errFlightEnded = errors.New("the transport ended its goroutine")

// send sends a request, or joins one that is under way.
func (f *flights) send(ctx context.Context, req *Request, next TransportFunc) (*Response, error) {
	key, ok := flightOf(ctx, req)
	if !ok {
		if !safe(req.Method) {
			defer f.forget(req.origin())
		}
		return next(ctx, req)
	}
	fl, joined := f.join(ctx, key, req, next)
	if fl == nil {
		return next(ctx, req)
	}
	select {
	case <-fl.done:
	case <-ctx.Done():
		f.leave(key, fl)
		err := contextError(ctx)
		return nil, &Error{
			Op: "send", Method: req.Method, URL: withoutUser(req.URL), Phase: PhaseResponse,
			Elapsed: req.call.since(), Limit: totalOf(err), Err: err,
		}
	}
	req.call.holds.addAll(&fl.call.holds)
	switch {
	case fl.panicked != nil:
		panic(fl.panicked)
	case fl.err != nil:
		return nil, fl.failure(req)
	case fl.shared:
		return fl.copyFor(req, joined), nil
	case f.claim(fl):
		return fl.handOver(ctx, req, joined), nil
	}
	return next(ctx, req)
}

// join gives the request that is under way for key, or sends it. It gives nil for a call
// that has joined already: what it sends beside is to overtake that (see
// [RetryPolicy].Hedge).
func (f *flights) join(ctx context.Context, key flightKey, req *Request, next TransportFunc) (fl *flight, joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.open[key]; fl != nil {
		if slices.Contains(fl.calls, req.call) {
			return nil, false
		}
		fl.calls = append(fl.calls, req.call)
		fl.callers++
		return fl, true
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	fl = &flight{
		call: &callRecord{began: sock.Now(), full: true}, done: make(chan struct{}), cancel: cancel,
		calls: []*callRecord{req.call}, callers: 1, err: errFlightEnded,
	}
	if f.open == nil {
		f.open = make(map[flightKey]*flight)
	}
	f.open[key] = fl
	shared := *req
	shared.call = fl.call
	go f.run(own, key, fl, &shared, next)
	return fl, false
}

// run sends the request. It ends with the request, which ends when nobody waits for it.
func (f *flights) run(ctx context.Context, key flightKey, fl *flight, req *Request, next TransportFunc) {
	defer func() {
		fl.panicked = recover() // it goes on where the calls were made
		f.mu.Lock()
		f.removeLocked(key, fl)
		fl.finished = true
		orphan := (fl.callers == 0 || fl.panicked != nil) && fl.orphanLocked()
		f.mu.Unlock()
		if orphan {
			fl.resp.Close() // nobody sees it
		}
		if fl.resp == nil || fl.shared || orphan {
			fl.cancel(nil)
		}
		close(fl.done)
	}()
	resp, err := next(ctx, req)
	if err != nil {
		fl.err = err
		return
	}
	fl.load(req, resp)
}

// load reads the body of an answer that may be shared.
func (fl *flight) load(req *Request, resp *Response) {
	resp.record(req) // there is one from here on
	fl.resp, fl.err = resp, nil
	if switched(req.Method, resp.StatusCode) || !shareable(resp.Header) {
		return
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, MaxMergedBytes+1))
	switch {
	case err != nil:
		resp.Close() // that it could not be closed adds nothing to why it is given up
		fl.resp, fl.err = nil, err
	case len(content) > MaxMergedBytes:
		resp.Body = &prefixedBody{resp.Body, io.MultiReader(bytes.NewReader(content), resp.Body)}
	default:
		resp.Close()
		fl.content, fl.shared = content, true
	}
}

// prefixedBody is a body of which something was read ahead.
type prefixedBody struct {
	io.Closer
	io.Reader
}

// shareable reports whether an answer may go to several calls (RFC 9111, sections 3 and
// 5.2.2; RFC 9110, section 12.5.5).
func shareable(h http.Header) bool {
	if len(h["Set-Cookie"]) > 0 {
		return false
	}
	has := func(name string, values ...string) bool {
		for _, line := range h[name] {
			for part := range strings.SplitSeq(line, ",") {
				part, _, _ = strings.Cut(part, "=")
				if slices.Contains(values, strings.ToLower(strings.Trim(part, " \t"))) {
					return true
				}
			}
		}
		return false
	}
	return !has("Cache-Control", "private", "no-store") && !has("Vary", "*")
}

// leave is for a call that does not wait any more. The last one ends the request.
func (f *flights) leave(key flightKey, fl *flight) {
	f.mu.Lock()
	fl.callers--
	last := fl.callers == 0
	if last {
		f.removeLocked(key, fl)
	}
	orphan := last && fl.finished && fl.orphanLocked()
	f.mu.Unlock()
	if orphan {
		fl.resp.Close() // nobody sees it
	}
	if last {
		fl.cancel(context.Canceled)
	}
}

// orphanLocked reports whether there is an answer that somebody has to close, and leaves
// it to whoever asks.
func (fl *flight) orphanLocked() bool {
	if fl.resp == nil || fl.shared || fl.claimed {
		return false
	}
	fl.claimed = true
	return true
}

// claim takes an answer that only one call may have, and reports whether it is there.
func (f *flights) claim(fl *flight) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fl.orphanLocked()
}

func (f *flights) removeLocked(key flightKey, fl *flight) {
	if f.open[key] == fl {
		delete(f.open, key)
	}
}

// forget lets no further call join what is under way to an origin.
func (f *flights) forget(origin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.open {
		if key.origin == origin {
			delete(f.open, key)
		}
	}
}

// failure gives a call the error of its own.
func (fl *flight) failure(req *Request) error {
	e, ok := fl.err.(*Error)
	if !ok {
		return fl.err
	}
	own := *e
	own.Elapsed = req.call.since()
	return &own
}

// copyFor gives a call an answer of its own.
func (fl *flight) copyFor(req *Request, joined bool) *Response {
	r := fl.resp
	resp := &Response{
		StatusCode: r.StatusCode, Status: r.Status, Proto: r.Proto, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(),
		ContentLength: r.ContentLength, Body: http.NoBody, TLS: r.TLS,
	}
	rec := *r.rec
	resp.rec = &rec
	resp.belongTo(req, joined)
	if len(fl.content) > 0 {
		resp.Body = &sharedBody{resp: resp, content: fl.content}
	}
	return resp
}

// belongTo makes an answer that of a call.
func (r *Response) belongTo(req *Request, joined bool) {
	r.Request, r.rec.call, r.rec.merged = req, req.call, joined
}

// sharedBody reads content that others read too.
type sharedBody struct {
	resp    *Response
	content []byte
	at      int // less than 0: closed
}

func (b *sharedBody) Read(p []byte) (int, error) {
	switch {
	case b.at < 0:
		return 0, b.resp.closedError()
	case b.at == len(b.content):
		return 0, io.EOF
	}
	n := copy(p, b.content[b.at:])
	b.at += n
	return n, nil
}

func (b *sharedBody) Close() error {
	b.at = -1
	return nil
}

// handOver gives one call the answer itself. From here on it lasts as long as the call.
func (fl *flight) handOver(ctx context.Context, req *Request, joined bool) *Response {
	resp := fl.resp
	resp.belongTo(req, joined)
	if resp.Body == http.NoBody {
		fl.cancel(nil)
		return resp
	}
	stop := context.AfterFunc(ctx, func() { fl.cancel(context.Cause(ctx)) })
	resp.Body = afterBody(&claimedBody{resp.Body, ctx}, func() {
		stop()
		fl.cancel(nil)
	})
	return resp
}

// claimedBody is read under a context of its own, whose end is told as that of the call's.
type claimedBody struct {
	io.ReadCloser
	ctx context.Context
}

func (b *claimedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = withCause(err, func(error) error { return contextError(b.ctx) })
	}
	return n, err
}

// flightOf gives the key of a request that may be merged.
func flightOf(ctx context.Context, req *Request) (key flightKey, ok bool) {
	c := req.conduct
	switch {
	case req.Method != http.MethodGet, req.call == nil, !req.call.full, // a stream is read by one
		req.Body != nil, len(req.Trailers) > 0, req.OnInformational != nil,
		c.pace.wanted(), c.sending.download != nil && *c.sending.download != nil, c.proxyHeader != nil,
		identifies(req.TLSConfig), req.security != nil && req.security.cert != nil,
		httptrace.ContextClientTrace(ctx) != nil:
		return flightKey{}, false
	}
	if p := req.Proxy.at(req.URL); p != nil && p.choose != nil {
		return flightKey{}, false
	}
	header, ok := harmlessHeader(req.Header)
	if !ok {
		return flightKey{}, false
	}
	attrs := req.attrs
	for attrs != nil && attrs.key == (routeKey{}) { // is not for transports
		attrs = attrs.next
	}
	key = flightKey{
		origin: req.origin(), target: req.Target, host: req.Host, header: header, order: strings.Join(req.HeaderOrder, "\n"),
		timeouts: req.Timeouts, tls: req.TLSConfig, security: req.security, proxy: req.Proxy,
		dialer: c.dialer, way: c.way, http2: c.http2, attrs: attrs,
	}
	key.timeouts.Total = 0
	if key.target == "" {
		key.target = urls.Target(req.URL)
	}
	return key, true
}

// harmlessHeader gives a header in one form, unless it has a field that may bear
// credentials.
func harmlessHeader(h http.Header) (text string, ok bool) {
	names := make([]string, 0, len(h))
	for name := range h {
		if !shown(name) {
			return "", false
		}
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		for _, v := range h[name] {
			fmt.Fprintf(&b, "%s:%d:%s\n", name, len(v), v) // what a field holds cannot look like another one
		}
	}
	return b.String(), true
}
