package parley

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxLine bounds one line of [Response.Lines].
const maxLine = 1 << 20

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

// Lines reads the body line by line, without the line ends LF, CRLF or CR, as they
// arrive. A last line without an end counts. A line longer than 1 MiB is
// ErrBodyTooLarge. Leaving the loop closes a streamed response; over a body that
// has been read whole one can loop again.
func (r *Response) Lines() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		body, end := r.source()
		defer end()
		s := lineScanner{r: body}
		for {
			line, err := s.next()
			switch {
			case err == io.EOF:
				return
			case errors.Is(err, ErrBodyTooLarge):
				yield("", r.fail("read", PhaseRead, err))
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

var errLineTooLong = because(ErrBodyTooLarge, fmt.Errorf("a line is longer than %d bytes", maxLine))

// lineScanner cuts a stream into lines.
type lineScanner struct {
	r       io.Reader
	buf     []byte
	start   int // of what has not been given out
	scanned int // up to here no line end was found
	skipLF  bool
	err     error
}

// next gives the next line, valid until the call after it.
func (s *lineScanner) next() ([]byte, error) {
	for {
		if s.skipLF && s.start < len(s.buf) {
			if s.buf[s.start] == '\n' {
				s.start++
			}
			s.skipLF = false
		}
		s.scanned = max(s.scanned, s.start)
		if i := bytes.IndexAny(s.buf[s.scanned:], "\r\n"); i >= 0 {
			end := s.scanned + i
			line := s.buf[s.start:end]
			if len(line) > maxLine {
				return nil, errLineTooLong
			}
			// The LF of a CRLF may not have come yet; a line is given out without
			// waiting for it.
			s.skipLF = s.buf[end] == '\r'
			s.start, s.scanned = end+1, end+1
			return line, nil
		}
		s.scanned = len(s.buf)
		if s.err != nil {
			return s.last()
		}
		if s.scanned-s.start > maxLine {
			return nil, errLineTooLong
		}
		s.fill()
	}
}

// last gives what stands after the last line end.
func (s *lineScanner) last() ([]byte, error) {
	if s.err == io.EOF && s.start < len(s.buf) {
		line := s.buf[s.start:]
		s.start = len(s.buf)
		return line, nil
	}
	return nil, s.err
}

func (s *lineScanner) fill() {
	if s.start > 0 {
		n := copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:n]
		s.scanned -= s.start
		s.start = 0
	}
	if len(s.buf) == cap(s.buf) {
		grown := make([]byte, len(s.buf), max(4096, 2*cap(s.buf)))
		copy(grown, s.buf)
		s.buf = grown
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	s.err = err
}
