package parley

import (
	"fmt"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// plan is how a request goes on the wire. Its head stands encoded in the exchange's
// buffers.
type plan struct {
	inline bool   // data, if any, goes with the head
	data   []byte // the whole body, where it is in memory
	size   int64  // of the body; -1: chunked
	expect bool   // wait for 100 Continue
}

// plan works out the framing, and checks and encodes the head: nothing of a
// malformed request is ever written.
func (x *exchange) plan(via route, login string) (p plan, err error) {
	req := x.req
	x.buf = bufferPool.Get().(*buffers)
	h := &x.buf.req
	*h = h1.RequestHead{Method: req.Method, Target: req.Target, Host: req.Host, Order: req.HeaderOrder}
	if b := req.block; b != nil && b.encoded != nil && sameMap(b.header, req.Header) {
		h.Block = b.encoded
	} else {
		h.Header = canonical(req.Header)
	}
	via.proxyFields(req, h, login)
	x.closes = endsConnection(h.Header)
	err = p.frame(req, h)
	if err == nil {
		p.address(req, h, via.forwards(req.URL.Scheme))
		x.buf.out, err = h1.AppendRequestHead(x.buf.out[:0], h)
	}
	if err != nil {
		x.buf.free()
		x.buf = nil
		return p, because(ErrInvalidHeader, err)
	}
	return p, nil
}

// endsConnection reports whether no other request may follow: the caller asks for
// the connection to be closed (RFC 9112, section 9.6), or proves who he is by a
// scheme that holds for the connection.
func endsConnection(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Connection"], "close") || provesForConnection(h)
}

// address fills in where the request goes (RFC 9112, section 3.2); absolute says that
// it goes to a proxy, which is to know the server.
func (p *plan) address(req *Request, h *h1.RequestHead, absolute bool) {
	if h.Host == "" {
		if v := h.Header["Host"]; len(v) > 0 {
			h.Host = v[0]
		} else {
			h.Host = urls.HostHeader(req.URL)
		}
	}
	switch {
	case h.Target != "":
	case req.Method == http.MethodConnect:
		h.Target = urls.HostPort(req.URL)
	default:
		h.Target = urls.Target(req.URL)
	}
	if !absolute || req.Method == http.MethodConnect {
		return
	}
	switch server := "http://" + urls.HostHeader(req.URL); {
	case strings.HasPrefix(h.Target, "/"):
		h.Target = server + h.Target
	case h.Target == "*": // RFC 9112, section 3.2.4
		h.Target = server
	}
}

// frame decides how the body is delimited (RFC 9112, section 6). What the caller
// wrote of it in the header is checked and never sent as it is.
func (p *plan) frame(req *Request, h *h1.RequestHead) error {
	chunked, announced, err := framingHeaders(h.Header)
	if err != nil {
		return err
	}
	for _, t := range req.Trailers {
		h.Trailer = append(h.Trailer, t.Name)
	}
	if req.Body != nil {
		p.size = req.Body.Size()
		p.data = req.content()
	}
	switch {
	case chunked || len(req.Trailers) > 0:
		p.size = -1
	case p.size < 0:
		p.size = announced
	case announced >= 0 && announced != p.size:
		return &h1.FieldError{Name: "Content-Length", What: "does not match the length of the body; leave it out"}
	}
	switch {
	case p.size < 0:
		h.Framing = h1.ChunkedBody
	case p.size > 0 || bodyExpected(req.Method):
		h.Framing, h.ContentLength = h1.LengthBody, p.size
	}
	if v := h.Header["Expect"]; len(v) > 0 && strings.EqualFold(v[0], "100-continue") {
		p.expect, h.ExpectContinue = p.size != 0, p.size != 0
		if !p.expect {
			// Without content it must not be sent (RFC 9110, section 10.1.1).
			h.Header = h.Header.Clone()
			delete(h.Header, "Expect")
		}
	}
	p.inline = p.size == 0 || p.size > 0 && p.data != nil && len(p.data) <= maxInline && !p.expect
	return nil
}

// bodyExpected reports whether a request without content announces that it has
// none (RFC 9110, section 8.6).
func bodyExpected(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch || method == methodQuery
}

// framingHeaders reads what the caller's header says of the body: whether it is to
// be sent in chunks, and its length, or -1.
func framingHeaders(h http.Header) (chunked bool, length int64, err error) {
	length = -1
	if h == nil {
		return false, length, nil
	}
	if v := h["Transfer-Encoding"]; len(v) > 0 {
		if len(v) > 1 || !strings.EqualFold(v[0], "chunked") {
			return false, 0, &h1.FieldError{Name: "Transfer-Encoding", What: "is chosen by the client: only chunked can be asked for"}
		}
		chunked = true
	}
	if v := h["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseUint(v[0], 10, 63) // digits alone
		if len(v) > 1 || err != nil {
			return false, 0, &h1.FieldError{Name: "Content-Length", What: "is not one length"}
		}
		length = int64(n)
	}
	return chunked, length, nil
}

// sameMap reports whether a and b are the same map, not only equal.
func sameMap(a, b http.Header) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// trailerHeader calls for the values of the trailers.
func trailerHeader(trailers []Trailer) http.Header {
	h := make(http.Header, len(trailers))
	for _, t := range trailers {
		name := textproto.CanonicalMIMEHeaderKey(t.Name)
		h[name] = append(slices.Clip(h[name]), t.Value())
	}
	return h
}

// lengthError is a body that does not have the length that it announced.
func lengthError(format string, args ...any) error {
	return &sourceError{&cause{kind: ErrLocalProtocol, err: fmt.Errorf(format, args...)}}
}
