package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley/internal/urls"
)

// FromRoundTripper sends through rt, be it an *http.Transport or anything around one.
// nil means [http.DefaultTransport].
//
// What a request says of its message and its timeouts holds: Response and Read exactly,
// Pool, Connect and Write as far as rt tells of its progress by [httptrace]. Settings
// that rt has no means for fail the request, with an error that matches
// [errors.ErrUnsupported]: a header order, a target, a dialer, TLS settings for an https
// URL, a proxy other than that of the environment, a limit of the wait for 100
// Continue. WithoutProxy is honoured by an *http.Transport that has none.
//
// A removed User-Agent stays removed. Where a request does not ask for a content
// coding, rt is asked for none (Accept-Encoding: identity), as an *http.Transport
// would decode by itself.
//
// Errors are *[Error] with kind, phase and Sent as far as they can be told, which is
// [MaybeSent] where rt says nothing; what rt returned stays reachable.
func FromRoundTripper(rt http.RoundTripper) Transport {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return &roundTripperTransport{rt}
}

type roundTripperTransport struct{ rt http.RoundTripper }

// CloseIdleConnections closes those of the http.RoundTripper.
func (t *roundTripperTransport) CloseIdleConnections() {
	if c, ok := t.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// String names the type; there may be secrets within.
func (t *roundTripperTransport) String() string { return fmt.Sprintf("<Transport through %T>", t.rt) }

// Format prints String for all verbs.
func (t *roundTripperTransport) Format(s fmt.State, verb rune) { printSafe(s, verb, t.String()) }

// Send makes an http.Request, and a response of the http.Response.
func (t *roundTripperTransport) Send(ctx context.Context, req *Request) (*Response, error) {
	if err := checkSend(ctx, req); err != nil {
		return nil, err
	}
	f := &roundTrip{handover: newHandover(ctx, req), rt: t.rt}
	err := checkRequest(req)
	if err == nil {
		err = t.check(req)
	}
	if err == nil {
		f.out, err = newOutgoing(req)
	}
	if err != nil {
		return nil, f.fail(PhaseRequest, NotSent, err)
	}
	if f.out.expect && req.ExpectTimeout != 0 {
		return nil, f.fail(PhaseRequest, NotSent, cannotHonour("WithExpectTimeout", "an http.RoundTripper", "an http.Transport has ExpectContinueTimeout"))
	}
	if ctx.Err() != nil {
		return nil, f.fail(PhasePool, NotSent, contextError(ctx))
	}
	return f.send()
}

// check refuses what the http.RoundTripper would ignore.
func (t *roundTripperTransport) check(req *Request) error {
	var names []string
	if req.Target != "" {
		names = append(names, "WithTarget")
	}
	if len(req.HeaderOrder) > 0 {
		names = append(names, "WithHeaderOrder")
	}
	if own := req.connectionSettings(); own != "" {
		if own != "a proxy" || !req.goesDirectly() || !hasNoProxy(t.rt) {
			names = append(names, own)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return cannotHonour(strings.Join(names, ", "), "an http.RoundTripper", "set it there, or use a Pool")
}

// goesDirectly reports whether a request was told to use no proxy.
func (r *Request) goesDirectly() bool {
	p := r.Proxy.at(r.URL)
	return p != nil && p.env == nil && p.choose == nil && p.fixed.direct()
}

func hasNoProxy(rt http.RoundTripper) bool {
	t, ok := rt.(*http.Transport)
	return ok && t.Proxy == nil
}

// roundTrip is one exchange through an http.RoundTripper.
type roundTrip struct {
	*handover
	rt      http.RoundTripper
	out     *outgoing
	cancel  context.CancelCauseFunc
	stop    func() // of Total
	release func()
	unwatch func() bool

	mu   sync.Mutex
	body *source // of the last try
	conn net.Conn
	in   *roundTripBody
}

// send carries the exchange out up to the head of the answer.
func (f *roundTrip) send() (*Response, error) {
	f.ctx, f.stop, f.release = limitSelf(f.ctx, f.req)
	inner, cancel := context.WithCancelCause(f.ctx)
	f.cancel = cancel
	f.watch.end = f
	// http.Transport waits for a body that waits, whatever its context says.
	f.unwatch = context.AfterFunc(inner, func() { f.source().Close() })
	returned := false
	defer func() {
		if !returned { // a panic
			f.finish()
		}
	}()
	hr, err := f.request(inner)
	if err != nil {
		returned = true
		f.finish()
		return nil, f.fail(PhaseRequest, NotSent, err)
	}
	f.watch.sending(PhaseResponse)
	hresp, err := f.roundTrip(hr)
	if err == nil && hresp == nil {
		err = errNoResponse
	}
	if err == nil {
		err = f.watch.headCame()
	}
	returned = true
	if err != nil {
		if hresp != nil && hresp.Body != nil {
			hresp.Body.Close() // of no use without a response
		}
		failure := f.failure(f.watch.reached(), err)
		f.finish()
		return nil, failure
	}
	f.stop()
	return f.respond(hresp), nil
}

// interrupt ends the exchange because of a limit.
func (f *roundTrip) interrupt(why error) {
	f.cancel(why)
	f.mu.Lock()
	in := f.in
	f.mu.Unlock()
	if in != nil {
		in.rc.Close() // for those whose bodies do not follow the context
	}
}

// finish frees what the exchange holds.
func (f *roundTrip) finish() {
	f.watch.stop()
	f.unwatch()
	f.cancel(context.Canceled)
	f.release()
	f.source().Close()
}

func (f *roundTrip) source() *source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.body
}

// request makes the http.Request.
func (f *roundTrip) request(ctx context.Context) (*http.Request, error) {
	u := *withoutUser(f.req.URL)
	if f.req.Method == http.MethodConnect {
		u = url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: f.out.head.Target}
	} else if urls.Target(&u) != u.RequestURI() {
		fixed, err := urls.Settle(&u) // written by hand
		if err != nil {
			return nil, urlError(err)
		}
		u = *fixed
	}
	o := f.out
	hr := (&http.Request{
		Method: f.req.Method, URL: &u, Host: o.head.Host, Header: o.header, ContentLength: o.size,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Close: endsConnection(o.header),
	}).WithContext(httptrace.WithClientTrace(ctx, f.trace()))
	f.fillHeader(hr.Header)
	if o.size < 0 {
		hr.TransferEncoding = []string{"chunked"}
	}
	if len(f.req.Trailers) > 0 {
		hr.Trailer = make(http.Header)
		for _, t := range f.req.Trailers {
			hr.Trailer[textproto.CanonicalMIMEHeaderKey(t.Name)] = nil
		}
	}
	open := func() (*source, error) {
		return o.open(f.req, &f.watch, func() error {
			values, err := checkTrailers(f.req)
			for name, v := range values {
				hr.Trailer[name] = v
			}
			return err
		})
	}
	body, err := open()
	if err != nil || body == nil {
		return hr, err
	}
	f.body, hr.Body = body, body
	if f.req.Body == nil || f.req.Body.Replayable() {
		hr.GetBody = func() (io.ReadCloser, error) {
			again, err := open()
			if err != nil {
				return nil, err
			}
			f.mu.Lock()
			f.body = again
			f.mu.Unlock()
			return again, nil
		}
	}
	return hr, nil
}

// fillHeader says what net/http would otherwise decide by itself.
func (f *roundTrip) fillHeader(h http.Header) {
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // which is how it is told to send none
	}
	if h["Accept-Encoding"] != nil || h["Range"] != nil || f.req.Method == http.MethodHead {
		return // where it asks for no coding by itself
	}
	if t, ok := f.rt.(*http.Transport); !ok || !t.DisableCompression {
		h["Accept-Encoding"] = []string{"identity"}
	}
}

// trace follows what the http.RoundTripper tells of its progress. What it tells of a
// dial may be about one that has been given up for another connection.
func (f *roundTrip) trace() *httptrace.ClientTrace {
	w := &f.watch
	dialling := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.asked && !w.connected && w.phase != PhaseConnect && !w.beyond {
			w.beginLocked(PhaseConnect, 0)
		}
	}
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked, w.connected = true, false
			w.beginLocked(PhasePool, 0)
		},
		DNSStart:          func(httptrace.DNSStartInfo) { dialling() },
		ConnectStart:      func(string, string) { dialling() },
		TLSHandshakeStart: dialling,
		GotConn: func(info httptrace.GotConnInfo) {
			w.mu.Lock()
			w.connected = true
			w.beginLocked(PhaseWrite, 0)
			w.mu.Unlock()
			f.mu.Lock()
			f.conn = info.Conn
			f.mu.Unlock()
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { w.sending(PhaseResponse) },
		GotFirstResponseByte: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.answering = true
		},
	}
}

// interim is a 1xx answer.
type interim struct {
	status int
	header http.Header
}

// result is what RoundTrip returned on a goroutine of its own.
type result struct {
	resp     *http.Response
	err      error
	panicked any
}

// errGoexit is what is said of a function that left its goroutine for good.
var errGoexit = errors.New("it ended its goroutine")

// roundTrip calls the http.RoundTripper. Where 1xx answers are wanted that is done on a
// goroutine of its own, so that they can be told on that of the caller.
func (f *roundTrip) roundTrip(hr *http.Request) (*http.Response, error) {
	if f.req.OnInformational == nil {
		return f.rt.RoundTrip(hr)
	}
	interims, done, over := make(chan interim), make(chan result), make(chan struct{})
	defer close(over)
	seen := 0
	hr = hr.WithContext(httptrace.WithClientTrace(hr.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if seen++; seen > MaxInformational {
				return because(ErrRemoteProtocol, fmt.Errorf("more than %d informational responses", MaxInformational))
			}
			select {
			case interims <- interim{status, http.Header(header)}:
			case <-over:
			}
			return nil
		},
	}))
	go func() {
		r := result{err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				r = result{panicked: v}
			}
			select {
			case done <- r:
			case <-over:
				if r.resp != nil && r.resp.Body != nil {
					r.resp.Body.Close() // nobody wants it any more
				}
			}
		}()
		r.resp, r.err = f.rt.RoundTrip(hr)
	}()
	for {
		select {
		case i := <-interims:
			f.req.OnInformational(i.status, i.header)
		case r := <-done:
			if r.panicked != nil {
				panic(r.panicked)
			}
			return r.resp, r.err
		}
	}
}
