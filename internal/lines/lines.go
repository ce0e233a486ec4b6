// Package lines cuts a stream into lines that end with LF, CRLF or CR, in bounded
// memory and as the bytes arrive.
package lines

import (
	"bytes"
	"errors"
	"io"
)

// ErrTooLong is a line that is longer than allowed.
var ErrTooLong = errors.New("line too long")

// firstBuffer is how much is read at first.
const firstBuffer = 4 << 10

// Scanner cuts a stream into lines. Make one with [New].
type Scanner struct {
	r     io.Reader
	limit int
	buf   []byte

	start   int // of what has not been given out
	scanned int // up to here no line end was found
	lf      int // between scanned and here is no LF; here is one, or the end of buf
	skipLF  bool
	ended   bool // the last line that was given had an end
	err     error
}

// New makes a Scanner of r for lines of at most limit bytes, without their ends.
func New(r io.Reader, limit int) *Scanner { return &Scanner{r: r, limit: limit} }

// Ended reports whether the last line that was given had an end. The last one of a
// stream may have none.
func (s *Scanner) Ended() bool { return s.ended }

// Next gives the next line without its end, valid until the call after it. Its errors
// are those of the stream, io.EOF among them, and ErrTooLong.
func (s *Scanner) Next() ([]byte, error) {
	for {
		if s.skipLF && s.start < len(s.buf) {
			if s.buf[s.start] == '\n' {
				s.start++
			}
			s.skipLF = false
		}
		if end := s.find(); end < len(s.buf) {
			line := s.buf[s.start:end]
			if len(line) > s.limit {
				return nil, ErrTooLong
			}
			// The LF of a CRLF may not have come yet; a line is given out without
			// waiting for it.
			s.skipLF = s.buf[end] == '\r'
			s.start, s.ended = end+1, true
			return line, nil
		}
		if s.err != nil {
			return s.last()
		}
		if s.scanned-s.start > s.limit {
			return nil, ErrTooLong
		}
		s.fill()
	}
}

// find gives where the next line ends; the end of buf if that is not there yet. No byte
// is searched twice for the same line end, however many lines the buffer holds.
func (s *Scanner) find() int {
	s.scanned = max(s.scanned, s.start)
	s.lf = max(s.lf, s.scanned)
	if s.lf < len(s.buf) && s.buf[s.lf] != '\n' || s.lf == len(s.buf) {
		s.lf = indexFrom(s.buf, s.lf, '\n')
	}
	if i := bytes.IndexByte(s.buf[s.scanned:s.lf], '\r'); i >= 0 {
		s.scanned += i
	} else {
		s.scanned = s.lf
	}
	return s.scanned
}

// indexFrom gives where c is in b, from there on; len(b) if it is not.
func indexFrom(b []byte, from int, c byte) int {
	if i := bytes.IndexByte(b[from:], c); i >= 0 {
		return from + i
	}
	return len(b)
}

// last gives what stands after the last line end.
func (s *Scanner) last() ([]byte, error) {
	if s.err != io.EOF || s.start == len(s.buf) {
		return nil, s.err
	}
	line := s.buf[s.start:]
	if len(line) > s.limit {
		return nil, ErrTooLong
	}
	s.start, s.ended = len(s.buf), false
	return line, nil
}

func (s *Scanner) fill() {
	if s.start > 0 {
		n := copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:n]
		s.scanned -= s.start
		s.lf -= s.start
		s.start = 0
	}
	if len(s.buf) == cap(s.buf) {
		grown := make([]byte, len(s.buf), max(firstBuffer, 2*cap(s.buf)))
		copy(grown, s.buf)
		s.buf = grown
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	s.err = err
}
