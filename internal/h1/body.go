package h1

import (
	"bufio"
	"io"
	"net/http"
)

// A Body reads the body of one response. The zero value is an empty body.
// It is not safe for concurrent use.
type Body struct {
	br      *bufio.Reader
	left    int64 // bytes left of the body (LengthBody) or of the chunk (ChunkedBody)
	err     error // what every further Read returns; io.EOF after the proper end
	chunks  chunkState
	trailer http.Header
	framing Framing
}

// Reset makes b the body that follows the head h in br. Only the trailer
// section is bounded by lim: the body's own bytes are for the caller to count.
func (b *Body) Reset(br *bufio.Reader, h *ResponseHead, lim Limits) {
	*b = Body{br: br, framing: h.Framing}
	switch h.Framing {
	case LengthBody:
		b.left = h.ContentLength
		if b.left == 0 {
			b.err = io.EOF
		}
	case ChunkedBody:
		b.chunks.lim = lim.orDefaults()
	}
}

// Done reports whether the body was read to its proper end, so that the next
// byte of the connection, if any, belongs to the next message.
func (b *Body) Done() bool {
	return b.framing == NoBody || b.err == io.EOF
}

// Trailer returns the fields that came after a chunked body, without those
// that may not stand there; nil before the end and if there are none.
func (b *Body) Trailer() http.Header {
	return b.trailer
}

// Read reads body bytes. It returns io.EOF at the proper end only, together
// with the last bytes where that end is known without waiting;
// io.ErrUnexpectedEOF if the connection ended before; a *ParseError for
// malformed chunks, possibly with the bytes before them. Other errors of the
// reader underneath come back unchanged, and Read may be called again after
// those that pass, such as timeouts. It waits at most until there is something
// to return.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	switch b.framing {
	case ChunkedBody:
		return b.readChunked(p)
	case LengthBody:
		return b.readLength(p)
	case CloseBody:
		n, err := b.br.Read(p)
		if err == io.EOF {
			b.err = io.EOF
		}
		return n, err
	}
	return 0, io.EOF
}

func (b *Body) readLength(p []byte) (int, error) {
	n, err := b.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 {
		b.err = io.EOF
		return n, io.EOF
	}
	return n, b.cut(err)
}

func (b *Body) readChunked(p []byte) (int, error) {
	for len(p) > 0 {
		if b.br.Buffered() == 0 {
			room := int(min(int64(len(p)), b.left))
			if b.chunks.phase == inData && room >= b.br.Size() {
				n, err := b.br.Read(p[:room]) // past the buffer
				b.tookData(n)
				return n, b.cut(err)
			}
			if _, err := b.br.Peek(1); err != nil {
				return 0, b.cut(err)
			}
		}
		if n, err := b.readBuffered(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// readBuffered takes in what is buffered, framing and as much data as fits p,
// and returns how much data there was.
func (b *Body) readBuffered(p []byte) (n int, err error) {
	in, _ := b.br.Peek(b.br.Buffered()) // cannot fail
	used := 0
	for used < len(in) && err == nil {
		var m int
		if b.chunks.phase == inData {
			m = copy(p[n:], in[used:used+int(min(int64(len(in)-used), b.left))])
			if m == 0 {
				break // no room
			}
			n += m
			b.tookData(m)
		} else {
			m, err = b.feed(in[used:])
		}
		used += m
	}
	discardBuffered(b.br, used)
	return n, err
}

// feed takes in framing and returns how many bytes of in that were. Its error
// lasts; at the end of the body it is io.EOF.
func (b *Body) feed(in []byte) (n int, err error) {
	n, err = b.chunks.feed(in)
	switch {
	case err != nil:
		b.err = err
	case b.chunks.phase == ended:
		b.trailer = b.chunks.trailer
		b.err = io.EOF
	case b.chunks.phase == inData:
		b.left = b.chunks.size
	}
	return n, b.err
}

// tookData counts n bytes of a chunk as read.
func (b *Body) tookData(n int) {
	b.left -= int64(n)
	if b.left == 0 {
		b.chunks.phase = dataCR
	}
}

// cut makes an end of the connection within the body a lasting error.
func (b *Body) cut(err error) error {
	if err == io.EOF {
		b.err = io.ErrUnexpectedEOF
		return b.err
	}
	return err
}

// Drain drops what is left of the body if that takes at most limit bytes of
// the connection, framing included, and reports whether the end was reached.
// It reads nothing where it is clear beforehand that the limit does not do.
// With a limit of no more than is buffered it does not wait.
func (b *Body) Drain(limit int) (bool, error) {
	for !b.Done() {
		if b.err != nil {
			return false, b.err
		}
		known := b.framing == LengthBody || b.chunks.phase == inData
		if limit <= 0 || b.framing == CloseBody || known && b.left > int64(limit) {
			return false, nil
		}
		if b.br.Buffered() == 0 {
			if _, err := b.br.Peek(1); err != nil {
				return false, b.cut(err)
			}
		}
		n := min(limit, b.br.Buffered())
		if known {
			n = int(min(int64(n), b.left))
			discardBuffered(b.br, n)
			b.dropped(n)
		} else {
			in, _ := b.br.Peek(n) // buffered, cannot fail
			var err error
			n, err = b.feed(in)
			discardBuffered(b.br, n)
			if err != nil && err != io.EOF {
				return false, err
			}
		}
		limit -= n
	}
	return true, nil
}

// dropped counts n bytes of the body as read.
func (b *Body) dropped(n int) {
	if b.framing == ChunkedBody {
		b.tookData(n)
		return
	}
	b.left -= int64(n)
	if b.left == 0 {
		b.err = io.EOF
	}
}
