package cookies

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxBadRecords bounds how many records are named that could not be taken.
const maxBadRecords = 20

// recordBytes bounds a line of a file, or a record with what is around it. It leaves
// room for the largest cookie with every byte of it escaped.
func (l *Limits) recordBytes() int { return 64<<10 + 6*l.cookieBytes() }

// LineError says what is wrong with a line of a file.
type LineError struct {
	Line int // 1 for the first
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// Damage is what is wrong with a file as a whole. Errors of reading are none.
type Damage string

func (d Damage) Error() string { return string(d) }

const (
	errEmptyFile  = Damage("the file is empty: even without cookies it has a first line")
	errCutShort   = Damage("the file is cut short")
	errCutLine    = Damage("the file is cut short: its last line has no end (add a line break if the line is whole)")
	errLongRecord = Damage("the record is longer than any cookie can be") // damage in JSON only
)

// loader takes the records of a file into a store of its own, so that a file which
// turns out to be damaged leaves no trace, and one of any size fits into the limits.
type loader struct {
	staged *Store // without a limit in all: trim sees to that
	total  int
	now    time.Time
	bad    []error
	more   int // bad records that are not in bad
}

func (s *Store) loader(now time.Time) *loader {
	limits := s.Limits()
	l := &loader{total: limits.Total, now: wall(now)}
	limits.Total = -1
	l.staged = NewStore(limits)
	return l
}

// trim removes what is over the limit in all, now and then: which cookies those are is
// seen when all are in the order of their use.
func (l *loader) trim() {
	s := l.staged
	if l.total < 0 || s.count.Load() < 2*int64(l.total)+1000 {
		return
	}
	s.relist()
	s.limits.Total = l.total
	s.shedTotal()
	s.limits.Total = -1
}

// take stages a record, or notes why it is not taken. What has ended is left out.
func (l *loader) take(line int, c *Cookie) {
	limits := l.staged.limits
	if err := c.checkRecord(&limits, l.now); err != nil {
		l.refuse(line, err)
		return
	}
	if !c.Expires.IsZero() && !c.Expires.After(l.now) {
		return
	}
	t := targetOfHost(c.Domain)
	l.staged.merge(c, t.site, l.now)
	l.trim()
}

func (l *loader) refuse(line int, err error) {
	if len(l.bad) == maxBadRecords {
		l.more++
		return
	}
	l.bad = append(l.bad, &LineError{line, err})
}

// finish puts what was staged into s, and gives what could not be taken.
func (l *loader) finish(s *Store) []error {
	s.Merge(l.staged.All(l.now, nil), l.now)
	if l.more > 0 {
		return append(l.bad, fmt.Errorf("and %d more", l.more))
	}
	return l.bad
}

// lineReader gives a file line by line, or as a reader that never reads beyond the
// line that is asked for, so that whoever meets an error can name the line.
type lineReader struct {
	in   *bufio.Reader
	line int  // of what was read last
	end  bool // what was read last ended the line
	most int  // bytes of a line, or of a record
	left int  // bytes that Read may still give
}

func newLineReader(r io.Reader, limits Limits) *lineReader {
	most := limits.recordBytes()
	return &lineReader{in: bufio.NewReaderSize(r, most), end: true, most: most}
}

// record lets Read give a record more.
func (l *lineReader) record() { l.left = l.most }

// next gives a line with its end, valid until the next call, or what there is of it at
// the end of the file. A line that is too long is passed over, with errLongRecord.
func (l *lineReader) next() ([]byte, error) {
	l.line++
	text, err := l.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.in.ReadSlice('\n')
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, errCutLine
	case err != nil:
		return nil, err
	}
	return nil, errLongRecord
}

// Read gives at most the rest of a line.
func (l *lineReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongRecord
	}
	if _, err := l.in.Peek(1); err != nil {
		return 0, err
	}
	text, err := l.in.Peek(min(l.in.Buffered(), len(p), l.left))
	if err != nil {
		return 0, err
	}
	if l.end {
		l.line++
	}
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i+1]
	}
	l.end = len(text) > 0 && text[len(text)-1] == '\n'
	l.left -= len(text)
	n := copy(p, text)
	_, err = l.in.Discard(n)
	return n, err
}
