package parley

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/memconn"
)

// hijackBuffer is how far either end of a hijacked connection may be ahead of the other.
const hijackBuffer = 64 << 10

var errHijackLate = errors.New("the connection cannot be hijacked: the response has begun or ended")

// Hijack lets the handler speak for itself from here on, as [http.Hijacker] says, on a
// connection within the process. The head that it has chosen goes ahead; what it has written
// and not flushed is lost, as with the server of net/http. The connection is the handler's,
// who closes it. Whatever it writes is read as a server's
// answer is, so that what is malformed is as over a network.
func (w *handlerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.near != nil:
		return nil, nil, http.ErrHijacked
	case w.broken != nil:
		return nil, nil, errResponseOver
	case w.settled || w.done:
		return nil, nil, errHijackLate
	}
	said := w.saidLocked()
	w.near, w.far = memconn.Pipe(hijackBuffer+len(said), w.local, w.remote)
	if _, err := w.near.Write(said); err != nil { // there is room for it
		return nil, nil, err
	}
	w.buf = nil
	w.writing.stop()
	w.reading.stop()
	w.settleLocked()
	return w.near, bufio.NewReadWriter(bufio.NewReader(w.near), bufio.NewWriter(w.near)), nil
}

// saidLocked gives the head that the handler has chosen before it hijacked the connection,
// as it is on the wire.
func (w *handlerWriter) saidLocked() []byte {
	if w.status == 0 {
		return nil
	}
	h := w.chosen
	if _, dated := h["Date"]; !dated {
		h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	chunked := w.hasBodyLocked() && w.declared < 0 && !switched(w.method, w.status)
	if delete(h, "Transfer-Encoding"); chunked {
		h["Transfer-Encoding"] = []string{"chunked"}
	}
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + statusLine(w.status) + "\r\n")
	_ = h.Write(&out) // which never fails
	out.WriteString("\r\n")
	return out.Bytes()
}

// hijacked gives the client's end of a connection that the handler has hijacked; nil if it
// has not.
func (w *handlerWriter) hijacked() *memconn.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.far
}

// ofHandler gives the handler's end of it.
func (w *handlerWriter) ofHandler() *memconn.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.near
}

// handOver makes the client's end the caller's, unless the exchange has ended.
func (w *handlerWriter) handOver() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	w.handed = true
	return nil
}

// ended gives what ended the response from either side; nil if nothing did.
func (w *handlerWriter) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	return w.err
}

// rawAnswer is what a handler writes by itself.
type rawAnswer struct {
	conn *memconn.Conn
	br   *bufio.Reader
	head h1.ResponseHead
	body h1.Body
}

// readRaw reads the head of the answer on a hijacked connection.
func (x *handling) readRaw(conn *memconn.Conn) error {
	x.body.Close() // over a network what is left of it would come as bytes of the connection
	x.raw = &rawAnswer{conn: conn, br: bufio.NewReader(conn)}
	told := func(status int, header http.Header) error {
		x.tell(interim{status, header})
		return x.w.ended()
	}
	if err := h1.ReadResponse(x.raw.br, x.req.Method, headLimits, &x.raw.head, told); err != nil {
		return x.rawError(err)
	}
	if switched(x.req.Method, x.raw.head.StatusCode) {
		return x.w.handOver()
	}
	return nil
}

// rawError says why an answer cannot be read.
func (x *handling) rawError(err error) error {
	if why := x.w.ended(); why != nil {
		return why
	}
	var malformed *h1.ParseError
	switch {
	case errors.As(err, &malformed):
		return because(ErrRemoteProtocol, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errAborted
	}
	return err
}

// respondRaw makes the response of the head.
func (x *handling) respondRaw() *Response {
	h := &x.raw.head
	x.resp = &Response{
		StatusCode: h.StatusCode, Status: h.Status, Proto: h.Proto, Header: h.Header, ContentLength: h.ContentLength,
		Body: x, Request: x.req, TLS: x.in.TLS, rec: &x.rec,
	}
	switch {
	case switched(x.req.Method, h.StatusCode):
		ahead, _ := x.raw.br.Peek(x.raw.br.Buffered()) // that much is there
		x.resp.Body = &upgraded{Conn: x.raw.conn, left: slices.Clone(ahead)}
		x.complete()
	case h.Framing == h1.NoBody, h.Framing == h1.LengthBody && h.ContentLength == 0:
		x.resp.Body = http.NoBody
		x.complete()
		x.w.breakOff(errBodyClosed)
	default:
		x.raw.body.Reset(x.raw.br, h, headLimits)
	}
	return x.resp
}

// readMore reads what the handler writes, by the one way or the other.
func (x *handling) readMore(p []byte) (int, error) {
	if x.raw == nil {
		return x.w.read(p)
	}
	n, err := x.raw.body.Read(p)
	if err != nil && err != io.EOF {
		err = x.rawError(err)
	}
	return n, err
}

// readAll ends an exchange whose body was read to its end.
func (x *handling) readAll() {
	if x.raw == nil {
		x.resp.Trailer = x.w.trailers()
	} else {
		x.resp.Trailer = x.raw.body.Trailer()
	}
	x.complete()
	if x.raw != nil {
		x.w.breakOff(errBodyClosed) // a connection that was hijacked serves one request
	}
}
