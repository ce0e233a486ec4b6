package h1

import (
	"net/http"
	"strconv"
	"strings"
)

// Framing says how the end of a message body is found (RFC 9112 section 6).
type Framing uint8

// The framings. The zero value means that there is no body.
const (
	NoBody      Framing = iota // nothing follows the head
	LengthBody                 // Content-Length bytes
	ChunkedBody                // chunks up to an empty one, then trailers
	CloseBody                  // everything until the connection closes; responses only
)

// RequestHead is what AppendRequestHead writes. The zero value is not a valid
// request: Method and Target are needed.
type RequestHead struct {
	// Method is a token such as GET; its case matters.
	Method string

	// Target is the request-target in the form that is to be sent (RFC 9112
	// section 3.2): origin-form, absolute-form (for proxies; without user
	// information), authority-form with port (CONNECT only) or "*". It has no
	// fragment and is already percent-encoded.
	Target string

	// Host is the value of the Host line: host[:port]. It may be empty with an
	// origin-form or "*" target only, for URIs without authority.
	Host string

	// Block holds header lines made by AppendHeader. They are written after
	// Host as they are.
	Block []byte

	// Header holds further header lines. Host, Content-Length,
	// Transfer-Encoding and Trailer in it are checked but not written;
	// Connection must be a list of tokens; Expect gives way to ExpectContinue.
	Header http.Header

	// Order gives names their place and spelling: those named come first, in
	// this order, then the others sorted. It holds for Header and for the lines
	// made from the fields below, which otherwise come last. Host is always
	// the first line, only its spelling can be chosen. Block is not affected.
	Order []string

	// Framing announces the body. LengthBody with a ContentLength of 0 writes
	// "Content-Length: 0". CloseBody is an error, and so is any body with
	// CONNECT.
	Framing       Framing
	ContentLength int64

	// Trailer names the fields that will follow a chunked body.
	Trailer []string

	Close          bool // "Connection: close"
	ExpectContinue bool // "Expect: 100-continue"
}

// AppendRequestHead appends the request line and header lines of h, with the
// empty line at their end. On error, a *FieldError, it returns dst unchanged.
func AppendRequestHead(dst []byte, h *RequestHead) ([]byte, error) {
	if err := h.check(); err != nil {
		return dst, err
	}
	b := append(dst, h.Method...)
	b = append(b, ' ')
	b = append(b, h.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, h.spelling("Host"), h.Host)
	b = append(b, h.Block...)
	w := fieldWriter{head: h}
	b, err := w.append(b, h.Header, h.Order)
	if err != nil {
		return dst, err
	}
	return append(b, "\r\n"...), nil
}

// check refuses everything outside Header that may not be written.
func (h *RequestHead) check() error {
	if h.Method == "" {
		return &FieldError{Pos: -1, What: "empty method"}
	}
	if n := tokenLen(h.Method); n < len(h.Method) {
		return &FieldError{Pos: n, What: "method is not a token"}
	}
	if err := checkTarget(h.Method, h.Target); err != nil {
		return err
	}
	if h.Host == "" {
		if h.Target[0] != '/' && h.Target != "*" {
			return &FieldError{Name: "Host", Pos: -1, What: "empty although the target has an authority"}
		}
	} else if !ValidHost(h.Host) {
		return &FieldError{Name: "Host", Pos: -1, What: "not a host with an optional port"}
	}
	return h.checkFraming()
}

func (h *RequestHead) checkFraming() error {
	switch h.Framing {
	case NoBody, ChunkedBody:
	case LengthBody:
		if h.ContentLength < 0 {
			return &FieldError{Name: "Content-Length", Pos: -1, What: "negative"}
		}
	default:
		return &FieldError{Pos: -1, What: "a request body needs a length or chunks"}
	}
	if h.Framing != NoBody && h.Method == http.MethodConnect {
		return &FieldError{Pos: -1, What: "a CONNECT request has no body"}
	}
	if len(h.Trailer) > 0 && h.Framing != ChunkedBody {
		return &FieldError{Name: "Trailer", Pos: -1, What: "trailers need a chunked body"}
	}
	for _, name := range h.Trailer {
		if err := checkTrailerName(name); err != nil {
			return err
		}
	}
	return nil
}

// checkTarget accepts the four forms of RFC 9112 section 3.2, and bytes 0x21
// to 0x7e without '#' in them.
func checkTarget(method, target string) error {
	if target == "" {
		return &FieldError{Pos: -1, What: "empty request-target"}
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return &FieldError{Pos: i, What: "byte not allowed in the request-target"}
		}
	}
	if method == http.MethodConnect {
		if n := hostLen(target); n == 0 || n+1 >= len(target) || !validPort(target[n:]) {
			return &FieldError{Pos: -1, What: "request-target of CONNECT is not host:port"}
		}
		return nil
	}
	if target[0] == '/' || target == "*" {
		return nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !validScheme(scheme) {
		return &FieldError{Pos: -1, What: "request-target is neither a path nor an absolute URI"}
	}
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	if !ValidHost(rest) {
		return &FieldError{Pos: -1, What: "request-target has no valid host"}
	}
	return nil
}

func validScheme(s string) bool {
	if s == "" || !isAlpha(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// spelling returns name as Order spells it.
func (h *RequestHead) spelling(name string) string {
	for _, o := range h.Order {
		if equalFold(o, name) {
			return o
		}
	}
	return name
}

// The lines that a fieldWriter makes itself, in the order in which they are
// written unless Order says otherwise.
var engineNames = [...]string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Expect"}

const (
	engineConnection = 3
	engineExpect     = 4
)

// appendEngine appends the i-th of the engine's own lines if h calls for it.
func (h *RequestHead) appendEngine(b []byte, i int, name string) []byte {
	switch i {
	case 0:
		if h.Framing == LengthBody {
			b = append(append(b, name...), ": "...)
			b = strconv.AppendInt(b, h.ContentLength, 10)
			b = append(b, "\r\n"...)
		}
	case 1:
		if h.Framing == ChunkedBody {
			b = appendField(b, name, "chunked")
		}
	case 2:
		if len(h.Trailer) > 0 {
			b = append(append(b, name...), ": "...)
			for j, t := range h.Trailer {
				if j > 0 {
					b = append(b, ", "...)
				}
				b = append(b, t...)
			}
			b = append(b, "\r\n"...)
		}
	case engineConnection:
		if h.Close {
			b = appendField(b, name, "close")
		}
	case engineExpect:
		if h.ExpectContinue {
			b = appendField(b, name, "100-continue")
		}
	}
	return b
}
