package parley

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/seed-0474a412/parley/internal/lines"
)

// DefaultMaxItemBytes bounds a single item where [WithMaxItemBytes] says nothing else.
const DefaultMaxItemBytes = 1 << 20

// maxChunk bounds the pieces of [Response.Chunks].
const maxChunk = 1 << 20

// Chunks reads the body in pieces of at most n bytes, and of at most 1 MiB, as they
// arrive. A piece is valid until the next step. Leaving the loop closes a streamed
// response; over a body that has been read whole one can loop again.
func (r *Response) Chunks(n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		body, end := r.source()
		defer end()
		if n <= 0 {
			yield(nil, failed("Chunks needs a size above 0, not %d", n))
			return
		}
		buf := make([]byte, min(n, maxChunk))
		for {
			got, err := body.Read(buf)
			if got > 0 && !yield(buf[:got], nil) {
				return
			}
			if err != nil {
				if err != io.EOF {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// source gives what a loop reads and how it ends: the stream from where it stands,
// or a body in memory from its beginning.
func (r *Response) source() (body io.Reader, end func() error) {
	if r.loaded {
		return bytes.NewReader(r.content), func() error { return nil }
	}
	return r.Body, r.Close
}

// itemKey is the attribute under which a request carries WithMaxItemBytes.
type itemKey struct{}

// WithMaxItemBytes bounds what the loops over a body hold in memory at a time: a line of
// [Response.Lines], a value of [JSONLines], an element of [JSONArray], an event of
// [Response.Events] and [Client.Events], the header of a part of [Response.Parts], the value
// that [ResponsePart.JSON] decodes. A larger one ends the loop with ErrBodyTooLarge. Default
// 1 MiB ([DefaultMaxItemBytes]); 0 or less is the default.
func WithMaxItemBytes(n int) Option {
	return option(func(s *settings) error {
		s.attrs = &attribute{itemKey{}, n, s.attrs}
		return nil
	})
}

// maxItem gives what WithMaxItemBytes says, or the default.
func (a *attribute) maxItem() int {
	if n, _ := a.get(itemKey{}).(int); n > 0 {
		return n
	}
	return DefaultMaxItemBytes
}

func (r *Response) maxItem() int {
	if r.Request == nil {
		return DefaultMaxItemBytes
	}
	return r.Request.attrs.maxItem()
}

// itemTooLarge is the error about an item beyond the limit.
func (r *Response) itemTooLarge(what string) error {
	err := fmt.Errorf("%s is longer than %d bytes (WithMaxItemBytes)", what, r.maxItem())
	return r.fail("read", PhaseRead, because(ErrBodyTooLarge, err))
}

// Lines reads the body line by line, without the line ends LF, CRLF or CR, as they
// arrive. A last line without an end counts. A line longer than 1 MiB, or what
// [WithMaxItemBytes] says, is ErrBodyTooLarge. Leaving the loop closes a streamed
// response; over a body that has been read whole one can loop again.
func (r *Response) Lines() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		body, end := r.source()
		defer end()
		for s := lines.New(body, r.maxItem()); ; {
			line, err := s.Next()
			switch {
			case err == io.EOF:
				return
			case err == lines.ErrTooLong:
				yield("", r.itemTooLarge("a line"))
				return
			case err != nil:
				yield("", err)
				return
			case !yield(string(line), nil):
				return
			}
		}
	}
}

// maxPeek bounds what [Response.Peek] looks at.
const maxPeek = 1 << 20

// Peek gives the next n bytes of the body without consuming them: whatever reads the
// body afterwards gets them too. There are fewer where the body ends before, which is
// no error, and where it fails, which is: that error comes again where the body is read
// up to there. It waits until the bytes have come; n is at most 1 MiB. What it gives
// must not be changed.
//
// Peek is for the goroutine that reads the body, and unlike Body.Read not to be ended
// by a Close meanwhile but by the context of the call.
func (r *Response) Peek(n int) ([]byte, error) {
	if n < 0 || n > maxPeek {
		return nil, failed("Peek looks at 0 to %d bytes, not %d", maxPeek, n)
	}
	if r.loaded {
		if r.at < 0 {
			return nil, r.closedError()
		}
		rest := r.content[r.at:]
		return rest[:min(n, len(rest)):min(n, len(rest))], nil
	}
	p, ok := r.Body.(peeker)
	if !ok {
		ahead := &prefixed{rest: r.Body}
		p = ahead
		if w, ok := r.Body.(io.Writer); ok { // after an upgrade
			p = struct {
				*prefixed
				io.Writer
			}{ahead, w}
		}
		r.Body = p
	}
	return p.peek(n)
}

// peeker is a body that holds what was read ahead.
type peeker interface {
	io.ReadCloser
	peek(n int) ([]byte, error)
}
