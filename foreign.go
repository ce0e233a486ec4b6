package parley

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sock"
)

// outgoing is a request that goes to code which does not speak HTTP/1.1 as this
// package does: checked and framed as the pool would.
type outgoing struct {
	plan
	head   h1.RequestHead
	header http.Header // a copy, without what frames the message, Host and what is for a proxy
}

func newOutgoing(req *Request) (*outgoing, error) {
	o := &outgoing{head: h1.RequestHead{Method: req.Method, Target: req.Target, Host: req.Host, Header: canonical(req.Header)}}
	err := o.frame(req, &o.head)
	if err == nil {
		o.address(req, &o.head, false)
		_, err = h1.AppendRequestHead(nil, &o.head)
	}
	if err != nil {
		return nil, because(ErrInvalidHeader, err)
	}
	if o.header = maps.Clone(o.head.Header); o.header == nil {
		o.header = make(http.Header)
	}
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		delete(o.header, name)
	}
	if req.Method != http.MethodConnect {
		delete(o.header, proxyAuthorization)
	}
	if o.expect {
		o.header["Expect"] = []string{"100-continue"}
	}
	return o, nil
}

// open gives the body for one try, nil if there is none.
func (o *outgoing) open(req *Request, w *watch, ended func() error) (*source, error) {
	var rc io.ReadCloser
	switch {
	case o.size == 0:
		return nil, nil
	case o.data != nil:
		rc = io.NopCloser(bytes.NewReader(o.data))
	case req.Body != nil:
		var err error
		if rc, err = req.open(o.size, false); err != nil {
			return nil, err
		}
	default:
		rc = http.NoBody
	}
	return newSource(rc, o.size, w, ended), nil
}

// checkTrailers gives the trailers of a request once its body has ended.
func checkTrailers(req *Request) (http.Header, error) {
	h := trailerHeader(req.Trailers)
	for name, values := range h {
		for _, v := range values {
			if err := h1.CheckField(name, v); err != nil {
				return nil, because(ErrInvalidHeader, err)
			}
		}
	}
	return h, nil
}

// handover is an exchange that is handed over to somebody else's code.
type handover struct {
	ctx   context.Context // the caller's, under Total where no session sees to that
	req   *Request
	rec   record
	watch watch
}

func newHandover(ctx context.Context, req *Request) *handover {
	x := &handover{ctx: ctx, req: req, rec: record{call: req.call, entered: sock.Now()}}
	if x.rec.call == nil {
		x.rec.call = &callRecord{began: x.rec.entered}
	}
	x.rec.attempt, x.rec.waited = x.rec.call.attempts.Add(1), x.rec.entered
	limit := req.Timeouts.over(defaultTimeouts)
	x.watch.limit, x.watch.ties = &limit, true
	x.watch.alarm = &alarm{alone: true}
	return x
}

// fail makes an error of the exchange.
func (x *handover) fail(phase Phase, sent Sent, err error) *Error {
	return &Error{
		Op: "send", Method: x.req.Method, URL: withoutUser(x.req.URL), Phase: phase, Sent: sent,
		Attempt: int(x.rec.attempt), Elapsed: x.rec.since(), Limit: totalOf(err), Err: err,
	}
}

// ended gives the error of an exchange that was ended from this side, be it by a
// limit, by its context or by the body of the request; nil if it was not. err is what
// the other side made of it.
func (x *handover) ended(phase Phase, body *source, err error) *Error {
	if late := x.watch.passed(); late != nil {
		if own := (*lateError)(nil); errors.As(err, &own) {
			err = nil
		}
		_, kind := x.watch.limit.limitOf(late.phase)
		e := x.fail(late.phase, x.watch.sent(), timedOut(kind, late.limit, err))
		e.Limit = late.limit
		return e
	}
	if x.ctx.Err() != nil {
		why := contextError(x.ctx)
		if err != nil && !errors.Is(err, x.ctx.Err()) && !errors.Is(err, context.Cause(x.ctx)) {
			why = fmt.Errorf("%w: %w", why, err)
		}
		return x.fail(phase, x.watch.sent(), why)
	}
	var wrong *sourceError
	if errors.As(body.failure(), &wrong) {
		sent := x.watch.sent()
		return x.fail(PhaseWrite, sent, wrong.err)
	}
	return nil
}

// connectionSettings names what of a request's settings only a transport which makes
// the connections itself can honour; "" if there is none. Proxies and roots of the
// environment are not among them: they are a default.
func (r *Request) connectionSettings() string {
	var names []string
	add := func(name string, said bool) {
		if said {
			names = append(names, name)
		}
	}
	add("WithDialer", r.dialerFor() != nil)
	names = append(names, r.way().names(net.JoinHostPort(r.URL.Hostname(), portOf(r)))...)
	if r.URL.Scheme == "https" {
		add("WithTLSConfig", r.TLSConfig != nil)
		if said := r.security; said != nil {
			add("WithVerify", said.verify != unsaid)
			add("WithRootCAs", said.roots != nil)
			add("WithClientCert", said.cert != nil)
			add("WithMinTLSVersion", said.least != 0)
			add("WithServerName", said.name != "")
			add("WithPublicKeyPins", said.pins != nil && len(said.pins.pins) > 0)
			add("WithKeyLogFile", said.keyLog != nil && said.keyLog.path != "")
		}
	}
	add("WithProxyTLSConfig", r.security != nil && r.security.proxy != nil)
	if said := r.proxyFields(); said != nil {
		add("WithProxyHeader", len(said.fields) > 0)
		add("WithProxyDigest", said.digest == yes)
	}
	p := r.Proxy.at(r.URL)
	add("a proxy", p != nil && p.env == nil)
	return strings.Join(names, ", ")
}

// cannotHonour is the error of a request with settings that its transport has no
// means for. It matches errors.ErrUnsupported.
func cannotHonour(settings, transport, advice string) error {
	return fmt.Errorf("%w: %s cannot be had through %s: %s: %w", errInvalidOption, settings, transport, advice, errors.ErrUnsupported)
}
