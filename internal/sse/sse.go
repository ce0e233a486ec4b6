// Package sse reads event streams as the HTML standard has them (section 9.2,
// "Server-sent events").
package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/lines"
)

// ErrTooLarge is a line, or an event, that is larger than allowed.
var ErrTooLarge = errors.New("event too large")

// Event is one event. Retry is the reconnection time in force, 0 if none was told.
type Event struct {
	Type  string
	Data  string
	ID    string
	Retry time.Duration
}

// Reader reads the events of one stream. Make one with [NewReader].
type Reader struct {
	lines *lines.Scanner
	limit int
	begun bool

	data  []byte // of the event that is being read, each line with an LF
	size  int    // of its data lines, as they came
	kind  string
	id    string // of the stream, as read
	last  string // of the stream, as of the last blank line
	retry time.Duration
	told  bool // retry is the server's word
}

// NewReader makes a Reader of r. Neither a line nor the data lines of an event together
// may be longer than limit bytes. id is the last event id that an earlier stream told.
func NewReader(r io.Reader, limit int, id string) *Reader {
	return &Reader{lines: lines.New(r, limit), limit: limit, id: id, last: id}
}

// LastID is the last event id that counts: that of an event which never ended does not.
func (r *Reader) LastID() string { return r.last }

// Retry is the reconnection time that the stream told last. ok is false if it told none.
func (r *Reader) Retry() (d time.Duration, ok bool) { return r.retry, r.told }

// Next gives the next event. Its errors are those of the stream, io.EOF among them, and
// ErrTooLarge. What stands after the last blank line of the stream is dropped.
func (r *Reader) Next() (Event, error) {
	for {
		line, err := r.lines.Next()
		switch {
		case err == lines.ErrTooLong:
			return Event{}, ErrTooLarge
		case err != nil:
			return Event{}, err
		case !r.lines.Ended():
			return Event{}, io.EOF
		}
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(line) == 0 {
			if e, ok := r.dispatch(); ok {
				return e, nil
			}
			continue
		}
		if err := r.field(line); err != nil {
			return Event{}, err
		}
	}
}

// dispatch ends an event. One without data is none, but its id counts.
func (r *Reader) dispatch() (Event, bool) {
	r.last = r.id
	e := Event{Type: r.kind, ID: r.id, Retry: r.retry}
	r.kind, r.size = "", 0
	if len(r.data) == 0 {
		return Event{}, false
	}
	if e.Type == "" {
		e.Type = "message"
	}
	e.Data = text(r.data[:len(r.data)-1])
	if r.data = r.data[:0]; cap(r.data) > maxKept {
		r.data = nil
	}
	return e, true
}

// maxKept is the largest buffer that is kept for the next event.
const maxKept = 64 << 10

// field takes in one line that is not blank.
func (r *Reader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		// What counts is the line, so that lines without content are bounded, too.
		if r.size += len(line) + 1; r.size > r.limit+1 {
			return ErrTooLarge
		}
		r.data = append(append(r.data, value...), '\n')
	case "event":
		r.kind = text(value)
	case "id":
		if string(value) != r.id && bytes.IndexByte(value, 0) < 0 {
			r.id = text(value)
		}
	case "retry":
		if d, ok := milliseconds(value); ok {
			r.retry, r.told = d, true
		}
	}
	return nil
}

// milliseconds reads a number of ASCII digits; one that is too large is the longest
// duration there is.
func milliseconds(digits []byte) (time.Duration, bool) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > most {
			n = most
		}
	}
	return time.Duration(n) * time.Millisecond, len(digits) > 0
}

// text decodes UTF-8, with the replacement character for what is none.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
