package parley

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// HandlerConfig configures a transport that runs an [http.Handler].
type HandlerConfig struct {
	// Handler answers the requests; nil is an error.
	Handler http.Handler
	// PassPanics lets a panic of the handler go on where the response is waited for:
	// in Send, or in the Read of its body. [http.ErrAbortHandler] stays a broken
	// response. A panic after the response has ended is dropped, with or without it.
	PassPanics bool
	// RemoteAddr is what the handler sees as the client's address. Default
	// "192.0.2.1:1234", which is nobody's (RFC 5737).
	RemoteAddr string
}

// HandlerTransport runs h for each request, in the same process and without sockets:
// [NewHandlerTransport] with the defaults. With a nil h every request fails.
func HandlerTransport(h http.Handler) Transport {
	return &handlerTransport{HandlerConfig{Handler: h, RemoteAddr: defaultRemoteAddr}}
}

// NewHandlerTransport gives a [Transport] that runs a handler for each request, on a
// goroutine of its own, as the server of net/http would for a client that speaks
// HTTP/1.1: a status of 200 where none is set, the content type guessed from the first
// bytes, Date and Content-Length added, trailers, informational answers, nothing after
// the head of an answer to HEAD or with status 204 or 304, an answer shorter than its
// Content-Length broken off. Answers stream as the handler writes and flushes them,
// while it may still read the request. [http.ResponseController] has all that it has there:
// Flush, the deadlines, EnableFullDuplex, which is the rule, and Hijack.
//
// A handler that hijacks its connection ([http.Hijacker]), as those for WebSockets do, gets
// one end of a connection in memory, and writes its answer by itself. A 101, or a 2xx to
// CONNECT, hands the other end to the caller: [Response.Conn]. Both have deadlines and may
// be closed by halves (CloseWrite), and each may be 64 KiB ahead of the other. Neither the
// call's context nor its timeouts hold any more, and who has an end closes it.
//
// The context of the handler's request ends with that of the call, when the response is
// closed before its end, and when the handler returns; it holds none of the caller's
// values, as over a network. The handler's goroutine ends when the handler returns: one
// that ignores its context goes on for as long as it likes. For https URLs it sees a TLS
// connection, without certificates, to the URL's host or the name of [WithServerName].
//
// All timeouts hold but Pool and Connect, as there is nothing to connect; nor do a
// dialer, a proxy, an order of headers or TLS settings mean anything, except that
// client certificates and pinned public keys fail the request, with an error that matches
// [errors.ErrUnsupported]: the handler would look for the former, and nothing here
// could show that it has the latter.
//
// A panic of the handler is an error that matches ErrPeerClosed, with a *[HandlerPanic]
// in it.
func NewHandlerTransport(cfg HandlerConfig) (Transport, error) {
	if cfg.Handler == nil {
		return nil, errNoHandler
	}
	if cfg.RemoteAddr == "" {
		cfg.RemoteAddr = defaultRemoteAddr
	}
	return &handlerTransport{cfg}, nil
}

const defaultRemoteAddr = "192.0.2.1:1234"

var errNoHandler = failed("a handler transport needs a handler, not nil")

// WithHandler sends all requests to h, in the same process: [WithTransport] with a
// [HandlerTransport].
func WithHandler(h http.Handler) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if h == nil {
			return failed("WithHandler needs a handler")
		}
		c.transport = HandlerTransport(h)
		return nil
	})
}

// HandlerPanic is a panic of a handler, found with [errors.As] in the error of its call.
type HandlerPanic struct {
	Value any
	Stack []byte // of the handler's goroutine
}

// Error names the value.
func (p *HandlerPanic) Error() string {
	return "the handler panicked: " + quoteBad(fmt.Sprint(p.Value), 256)
}

// Unwrap gives the value if it is an error.
func (p *HandlerPanic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

type handlerTransport struct{ cfg HandlerConfig }

// String names the type of the handler; there may be secrets within.
func (t *handlerTransport) String() string { return fmt.Sprintf("<Transport to %T>", t.cfg.Handler) }

// Format prints String for all verbs.
func (t *handlerTransport) Format(s fmt.State, verb rune) { printSafe(s, verb, t.String()) }

// Send runs the handler.
func (t *handlerTransport) Send(ctx context.Context, req *Request) (*Response, error) {
	if err := checkSend(ctx, req); err != nil {
		return nil, err
	}
	x := &handling{handover: newHandover(ctx, req), passes: t.cfg.PassPanics}
	err := checkRequest(req)
	if err == nil {
		err = t.check(req)
	}
	if err == nil {
		x.out, err = newOutgoing(req)
	}
	if err == nil && ctx.Err() != nil {
		return nil, x.fail(PhasePool, NotSent, contextError(ctx))
	}
	if err == nil {
		err = x.prepare(t.cfg.RemoteAddr)
	}
	if err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	return x.send(t.cfg.Handler)
}

func (t *handlerTransport) check(req *Request) error {
	if t.cfg.Handler == nil {
		return errNoHandler
	}
	if req.URL.Scheme != "https" {
		return nil
	}
	said := req.security
	if said != nil && said.cert != nil || identifies(req.TLSConfig) && (said == nil || !said.anonymous) {
		return cannotHonour("a client certificate", "a handler transport", "there is no connection to present it on")
	}
	if said != nil && said.pins != nil && len(said.pins.pins) > 0 {
		return cannotHonour("WithPublicKeyPins", "a handler transport", "it has no key to show")
	}
	return nil
}

// handling is one request that a handler answers.
type handling struct {
	*handover
	passes  bool
	out     *outgoing
	in      *http.Request // as the handler sees it
	body    *source       // of the request; nil: none
	w       *handlerWriter
	cancel  context.CancelFunc // of the handler's context
	unwatch func() bool        // ends the watch over the caller's context
	stop    func()             // of Total
	release func()
	resp    *Response
	raw     *rawAnswer // of a handler that has hijacked its connection; nil: it has not

	reading sync.Mutex // of the one that reads
	err     error      // what every further Read gives
}

// handlerAddr is an address of a connection that is none.
type handlerAddr string

func (a handlerAddr) Network() string { return "tcp" }
func (a handlerAddr) String() string  { return string(a) }

// prepare makes the request that the handler sees.
func (x *handling) prepare(remote string) error {
	head, req := &x.out.head, x.req
	u, err := url.ParseRequestURI(head.Target)
	if req.Method == http.MethodConnect && !strings.HasPrefix(head.Target, "/") {
		u, err = &url.URL{Host: head.Target}, nil
	}
	if err != nil {
		return because(ErrInvalidURL, err)
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(handlerAddr(urls.HostPort(req.URL)))))
	x.cancel = cancel
	x.in = (&http.Request{
		Method: req.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: x.out.header.Clone(), Body: http.NoBody, ContentLength: x.out.size, Host: head.Host,
		RemoteAddr: remote, RequestURI: head.Target, TLS: tlsStateOf(req), Close: endsConnection(x.out.header),
	}).WithContext(ctx)
	if u.Host != "" && req.Method != http.MethodConnect { // RFC 9112, section 3.2.2
		x.in.Host = u.Host
	}
	switch {
	case x.out.size < 0:
		x.in.TransferEncoding = []string{"chunked"}
	case x.out.size > 0 || bodyExpected(req.Method):
		x.in.Header["Content-Length"] = []string{strconv.FormatInt(x.out.size, 10)}
	}
	for _, t := range req.Trailers {
		if x.in.Trailer == nil {
			x.in.Trailer = make(http.Header)
		}
		x.in.Trailer[textproto.CanonicalMIMEHeaderKey(t.Name)] = nil
	}
	if x.body, err = x.out.open(req, &x.watch, x.bodyEnded); err != nil {
		cancel()
		return err
	}
	if x.body != nil {
		x.in.Body = &handlerBody{source: x.body, x: x}
	}
	return nil
}

// bodyEnded gives the handler the trailers.
func (x *handling) bodyEnded() error {
	values, err := checkTrailers(x.req)
	for name, v := range values {
		x.in.Trailer[name] = v
	}
	return err
}

// handlerBody is the body of the request as the handler reads it.
type handlerBody struct {
	*source
	x *handling
}

// Read says first that the body may come (RFC 9110, section 10.1.1).
func (b *handlerBody) Read(p []byte) (int, error) {
	if b.x.out.expect {
		b.x.w.goOn()
	}
	n, err := b.source.Read(p)
	if wrong := b.failure(); wrong != nil && !b.x.w.readLate() {
		b.x.w.breakOff(wrong) // whatever the handler makes of it
	}
	switch {
	case err == nil || err == io.EOF:
	case b.x.w.readLate():
		err = os.ErrDeadlineExceeded
	case err == errBodyClosed:
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

// tlsStateOf is the TLS connection of an https URL; nil for others.
func tlsStateOf(req *Request) *tls.ConnectionState {
	if req.URL.Scheme != "https" {
		return nil
	}
	name := req.URL.Hostname()
	if cfg := req.TLSConfig; cfg != nil {
		name = cmp.Or(cfg.ServerName, name)
	}
	if said := req.security; said != nil {
		name = cmp.Or(said.name, name)
	}
	return &tls.ConnectionState{
		Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		NegotiatedProtocol: "http/1.1", ServerName: name,
	}
}

// send runs the handler up to the head of its answer.
func (x *handling) send(h http.Handler) (*Response, error) {
	x.ctx, x.stop, x.release = limitSelf(x.ctx, x.req)
	x.w = newHandlerWriter(x.req.Method)
	x.w.local, x.w.remote, x.w.body = handlerAddr(urls.HostPort(x.req.URL)), handlerAddr(x.in.RemoteAddr), x.body
	x.watch.end = x.w
	x.unwatch = context.AfterFunc(x.ctx, func() { x.w.breakOff(contextError(x.ctx)) })
	x.watch.sending(PhaseResponse)
	if x.body != nil {
		x.watch.sending(PhaseWrite)
	}
	go x.serve(h)
	returned := false
	defer func() {
		if !returned { // a panic of OnInformational, or one that is passed on
			x.finish(errBodyClosed)
		}
	}()
	for {
		select {
		case i := <-x.w.interims:
			x.tell(i)
			continue
		case <-x.w.ready:
		}
		break
	}
	// Those that came before the head are told before it.
	for i, more := x.w.nextInterim(); more; i, more = x.w.nextInterim() {
		x.tell(i)
	}
	err := x.w.failedBeforeHead()
	if far := x.w.hijacked(); err == nil && far != nil {
		err = x.readRaw(far)
	}
	if err == nil {
		err = x.watch.headCame()
	}
	if err != nil {
		x.passOn(err)
		failure := x.failure(PhaseResponse, err)
		returned = true
		x.finish(errBodyClosed)
		return nil, failure
	}
	returned = true
	x.stop()
	return x.respond(), nil
}

// tell shows an informational answer to who wants to know.
func (x *handling) tell(i interim) {
	if t := httptrace.ContextClientTrace(x.ctx); t != nil {
		if err := tell1xx(t, i.status == http.StatusContinue, i.status, i.header); err != nil {
			x.w.breakOff(err)
			return
		}
	}
	if x.req.OnInformational != nil {
		x.req.OnInformational(i.status, i.header)
	}
}

// serve is the handler's goroutine.
func (x *handling) serve(h http.Handler) {
	err := errHandlerExit
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			err = errAborted
		} else if v != nil {
			err = &HandlerPanic{Value: v, Stack: debug.Stack()}
		}
		x.body.Close()
		x.w.finish(err)
		x.cancel()
	}()
	h.ServeHTTP(x.w, x.in)
	err = nil
}

var errHandlerExit = errors.New("the handler ended its goroutine")

// errAborted is a response that the handler broke off.
var errAborted = errors.New("the handler broke off the response")

// passOn panics in the handler's place where that is asked for.
func (x *handling) passOn(err error) {
	var p *HandlerPanic
	if x.passes && errors.As(err, &p) && x.watch.passed() == nil && x.ctx.Err() == nil {
		panic(p.Value)
	}
}

// failure gives what ended the exchange its kind.
func (x *handling) failure(phase Phase, err error) *Error {
	if e := x.ended(phase, x.body, err); e != nil {
		return e
	}
	sent := MaybeSent
	if phase == PhaseRead {
		sent = Answering
	}
	var told *sourceError // by a hook
	switch {
	case errors.As(err, &told):
		err = told.err
	case errors.Is(err, ErrRemoteProtocol):
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = because(ErrRead, err)
	case err == errAborted:
		err = &cause{kind: ErrPeerClosed, detail: "before the response was complete", err: fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)}
	default:
		err = because(ErrPeerClosed, err)
	}
	return x.fail(phase, sent, err)
}

// finish ends the exchange; why is what the handler's writes fail with from now on.
func (x *handling) finish(why error) {
	x.watch.stop()
	x.unwatch()
	x.body.Close()
	x.w.breakOff(why)
	x.cancel()
	x.release()
}

// complete ends an exchange whose response has come to its end. The handler may go on.
func (x *handling) complete() {
	x.rec.ended = sock.Now()
	x.watch.stop()
	x.unwatch()
	x.body.Close()
	x.release()
}

// respond makes the response.
func (x *handling) respond() *Response {
	x.rec.answered = sock.Now()
	if x.raw != nil {
		return x.respondRaw()
	}
	status, header, length := x.w.head()
	x.resp = &Response{
		StatusCode: status, Status: statusLine(status), Proto: "HTTP/1.1", Header: header,
		ContentLength: length, Body: x, Request: x.req, TLS: x.in.TLS, rec: &x.rec,
	}
	if !x.w.hasBody() || length == 0 {
		x.resp.Body = http.NoBody
		x.complete()
	}
	return x.resp
}

// statusLine is the status of an answer that nobody has written one for.
func statusLine(status int) string { return fmt.Sprintf("%03d %s", status, statusText(status)) }

// statusText is what the server of net/http calls a status.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "status code " + strconv.Itoa(status)
}

// Read gives what the handler writes.
func (x *handling) Read(p []byte) (int, error) {
	x.reading.Lock()
	defer x.reading.Unlock()
	if x.err != nil || len(p) == 0 {
		return 0, x.lastError()
	}
	x.watch.begin(PhaseRead)
	n, err := x.readMore(p)
	x.watch.begin("")
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		x.err = io.EOF
		x.readAll()
	case err == errBodyClosed:
		x.err = errBodyClosed
		x.finish(errBodyClosed)
	default:
		failure := x.failure(PhaseRead, err)
		x.err = failure
		x.finish(errBodyClosed)
		x.passOn(err)
	}
	return n, x.lastError()
}

func (x *handling) lastError() error {
	if x.err == errBodyClosed {
		return x.resp.closedError()
	}
	return x.err
}

// Close ends the exchange, also a Read that goes on, and the handler's context with it.
// What the handler has written already is as good as read if it is all.
func (x *handling) Close() error {
	x.w.breakOff(errBodyClosed)
	x.reading.Lock()
	defer x.reading.Unlock()
	if x.err == nil {
		x.finish(errBodyClosed)
	}
	if x.err == nil || x.err == io.EOF {
		x.err = errBodyClosed
	}
	return nil
}
