package parley

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/seed-0474a412/parley/internal/charset"
)

// maxFirstBuffer bounds what is set aside for a body on the word of its
// Content-Length alone.
const maxFirstBuffer = 1 << 20

// Response is the answer to a request.
//
// After [Client.Get] and its sisters the body has been read: Bytes, Text, JSON and
// the others can be called in any order and again, Body reads from memory, and
// Close is not needed. After [Client.Stream] and Send, Body is the open stream:
// read it to its end or close the response, so that its connection becomes free.
//
// A Response is for one goroutine at a time, but for Close, which may be called while
// another reads from Body or ranges over Lines or Chunks, and ends that. What reads
// the body as a whole (Bytes, Text, Err, …) is ended by the context of the call.
type Response struct {
	StatusCode int
	Status     string // "200 OK"
	Proto      string // "HTTP/1.1"
	Header     http.Header
	// Trailer holds the fields that followed the body, once that has been read.
	Trailer http.Header
	// ContentLength is the announced length of Body, or -1.
	ContentLength int64
	// Body is never nil. Reading it gives *Error for every failure but io.EOF.
	Body io.ReadCloser
	// Request is what was sent; read-only.
	Request *Request
	// History holds the answers that led here, oldest first.
	History []*Response
	// TLS is nil for a connection without it; read-only.
	TLS *tls.ConnectionState
	// Tries are those of the request that led to this answer, which is that of the last
	// one; nil without a RetryPolicy. They are for reading only.
	Tries []Try
	// Uncompressed is set when a Content-Encoding has been decoded; its header and
	// Content-Length are then gone from Header.
	Uncompressed bool

	loaded  bool // content holds the whole body
	stored  bool // a jar has stored what the answer set
	rec     *record
	hop     *Request // what the session's stack had sent, for Next and NewRequestFrom; nil: Request
	content []byte
	failed  error // reading the body failed with this
	at      int   // where Body stands in content; less than 0: closed
}

// memoryReader is Body once the content is in memory.
type memoryReader Response

func (m *memoryReader) Read(p []byte) (int, error) {
	if m.at < 0 {
		return 0, (*Response)(m).closedError()
	}
	if m.at == len(m.content) {
		return 0, io.EOF
	}
	n := copy(p, m.content[m.at:])
	m.at += n
	return n, nil
}

func (m *memoryReader) Close() error {
	m.at = -1
	return nil
}

var errBodyClosed = errors.New("the response has been closed")

// closedError is what reading gives after Close.
func (r *Response) closedError() error { return r.fail("read", PhaseRead, errBodyClosed) }

// Bytes reads the body to its end, closes it, and gives its content; it must not
// be changed. A second call gives the same again. A body that was cut short is an
// error, never a shorter result. Only where neither a length nor chunks delimit a
// body is any orderly end of the connection taken for its own, over TLS also one
// without a close_notify.
func (r *Response) Bytes() ([]byte, error) {
	if r.loaded || r.failed != nil {
		return r.content, r.failed
	}
	content, err := readAll(r.Body, r.ContentLength)
	closeErr := r.Body.Close()
	if err == nil && closeErr != nil && !errors.Is(closeErr, errBodyClosed) {
		err = closeErr
	}
	if err != nil {
		r.failed = err
		return nil, err
	}
	r.setContent(content)
	return content, nil
}

func (r *Response) setContent(content []byte) {
	r.content, r.loaded = content, true
	r.at = 0
	r.Body = (*memoryReader)(r)
}

// readAll reads to the end. size is what was announced, or -1.
func readAll(r io.Reader, size int64) ([]byte, error) {
	first := int64(512)
	if size > 0 {
		first = min(size, maxFirstBuffer)
	}
	b := make([]byte, 0, first)
	for {
		if len(b) == cap(b) {
			if int64(len(b)) == size {
				// All that was announced is there: look for the end before growing.
				n, err := r.Read(make([]byte, 1))
				if n == 0 && err != nil {
					return b, notEOF(err)
				}
				if n == 0 {
					continue
				}
				return nil, fmt.Errorf("%w: more than the announced %d bytes", io.ErrUnexpectedEOF, size)
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, notEOF(err)
		}
	}
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// JSON decodes the body into v, whatever its content type: UTF-8, with or without a
// byte order mark, UTF-16 or UTF-32. A malformed body is ErrDecoding.
func (r *Response) JSON(v any) error {
	b, err := r.Bytes()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(r.unicode(b, charset.JSON), v); err != nil {
		return r.decodeError("as JSON", err)
	}
	return nil
}

// XML decodes the body into v, whatever its content type, by the charset that the
// answer or the document's declaration names. A malformed body is ErrDecoding.
func (r *Response) XML(v any) error {
	b, err := r.Bytes()
	if err != nil {
		return err
	}
	d := xml.NewDecoder(bytes.NewReader(r.unicode(b, charset.XML)))
	// The declaration names what the text was before.
	d.CharsetReader = func(_ string, decoded io.Reader) (io.Reader, error) { return decoded, nil }
	if err := d.Decode(v); err != nil {
		return r.decodeError("as XML", err)
	}
	return nil
}

func (r *Response) decodeError(format string, err error) error {
	return r.fail("decode", PhaseDecode, &cause{kind: ErrDecoding, detail: strings.TrimSpace(format), err: err})
}

// fail makes an error about the response.
func (r *Response) fail(op string, phase Phase, err error) *Error {
	e := &Error{Op: op, Phase: phase, Sent: Answering, Limit: totalOf(err), Err: err}
	if r.Request != nil {
		e.Method, e.URL = r.Request.Method, withoutUser(r.Request.URL)
	}
	if r.rec != nil {
		e.Attempt, e.Elapsed = int(r.rec.attempt), r.rec.since()
	}
	return e
}

// OK reports whether the status is below 400.
func (r *Response) OK() bool { return r.StatusCode < 400 }

// Timing tells how long the parts of the call took, and on what connection.
func (r *Response) Timing() Timing {
	t := r.rec.timing()
	if r.rec != nil {
		t.Protocol = r.Proto
	}
	return t
}

// Close ends the response. What is left of a body is read if it is no more than
// 2 KiB, so that the connection can be used again; else the connection is closed.
// Closing again does nothing.
func (r *Response) Close() error { return r.Body.Close() }

// As gives the decoded body of a response, for use around a call:
//
//	user, err := parley.As[User](client.Get(ctx, "users/1"))
//
// It returns err if there is one, then what [Response.Err] says, then decodes by
// media type ([Response.Decode]), and closes the response. An answer without content
// (204, 205, HEAD) gives the zero value.
func As[T any](resp *Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	defer resp.Close()
	if err := resp.Err(); err != nil {
		return v, err
	}
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusResetContent ||
		resp.Request != nil && resp.Request.Method == http.MethodHead {
		return v, nil
	}
	// A pointer type is decoded into a new value, so that a body of another type
	// than JSON works for it too.
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		v = reflect.New(t.Elem()).Interface().(T)
		return v, resp.Decode(v)
	}
	return v, resp.Decode(&v)
}
