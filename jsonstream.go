package parley

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/seed-0474a412/parley/internal/charset"
	"github.com/seed-0474a412/parley/internal/lines"
)

// JSONLines decodes a body that has a JSON value on each line (NDJSON, JSON Lines), one
// at a time as they arrive, for use around a call:
//
//	for entry, err := range parley.JSONLines[Entry](client.Stream(ctx, "GET", "log")) {
//
// Where err is not nil, or [Response.Err] says something, the loop has that alone. Lines
// end with LF, CRLF or CR; blank ones are skipped. A line that is not JSON, or does not
// fit T, gives ErrDecoding with its number, and a loop that does not end there goes on
// with the next one. A line longer than [WithMaxItemBytes] allows is ErrBodyTooLarge; it
// ends the loop, as what cuts the body short does. Leaving the loop closes a streamed
// response. The body must be UTF-8; a byte order mark is skipped.
func JSONLines[T any](resp *Response, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		body, end, err := resp.items(err)
		if err != nil {
			yield(none, err)
			return
		}
		defer end()
		s := lines.New(body, resp.maxItem())
		for n := 1; ; n++ {
			line, err := resp.nextJSON(s, n)
			if err != nil {
				if err != io.EOF {
					yield(none, err)
				}
				return
			}
			if line == nil {
				continue
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				if !yield(none, resp.decodeError(fmt.Sprintf("in line %d", n), err)) {
					return
				}
				continue
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// nextJSON gives line n, nil if it is blank.
func (r *Response) nextJSON(s *lines.Scanner, n int) ([]byte, error) {
	line, err := s.Next()
	if err == lines.ErrTooLong {
		return nil, r.itemTooLarge(fmt.Sprintf("line %d", n))
	}
	if err != nil {
		return nil, err
	}
	if n == 1 {
		line = charset.WithoutMark(line)
	}
	if len(bytes.Trim(line, " \t")) == 0 {
		return nil, nil
	}
	return line, nil
}

// items gives what a loop over the values of a response reads, after what the call or the
// status says.
func (r *Response) items(err error) (body io.Reader, end func() error, _ error) {
	if err != nil {
		return nil, nil, err
	}
	if err := r.Err(); err != nil {
		r.Close() // the status is what matters
		return nil, nil, err
	}
	body, end = r.source()
	return body, end, nil
}

// JSONArray decodes the elements of a JSON array, one at a time as they arrive, in memory
// that does not grow with their number. The array is the body itself, or it is found in
// it by the names of members: for {"data": {"items": [1, 2]}}
//
//	resp, err := client.Stream(ctx, "GET", "items")
//	for item, err := range parley.JSONArray[Item](resp, err, "data", "items") {
//
// Where err is not nil, or [Response.Err] says something, the loop has that alone. The
// first member of a name counts, spelled exactly so; null in the place of the array is an
// empty one, a missing member ErrDecoding. An element that does not fit T gives
// ErrDecoding with its index, and a loop that does not end there goes on with the next
// one. All else ends the loop: malformed JSON, also after the array, and a body that
// is cut short (ErrDecoding, or what reading failed with), an element longer than
// [WithMaxItemBytes] allows (ErrBodyTooLarge). Leaving the loop closes a streamed
// response. The body must be UTF-8; a byte order mark is skipped.
func JSONArray[T any](resp *Response, err error, path ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		body, end, err := resp.items(err)
		if err != nil {
			yield(none, err)
			return
		}
		defer end()
		a := newArrayReader(resp, body)
		if err = a.enter(path); err == nil {
			for index := 0; ; index++ {
				var element []byte
				if element, err = a.next(index); err != nil || element == nil {
					break
				}
				var v T
				bad := json.Unmarshal(element, &v)
				if bad != nil {
					v, bad = none, resp.decodeError(fmt.Sprintf("in element %d", index), bad)
				}
				if !yield(v, bad) {
					return
				}
			}
		}
		if err == nil {
			err = a.leave(len(path))
		}
		if err != nil {
			yield(none, err)
		}
	}
}

// maxJSONDepth bounds how deeply what stands beside an array may be nested, as package
// json does for values.
const maxJSONDepth = 10_000

// arrayReader reads the elements of one array. It is what its decoder reads from, to
// bound what that holds.
type arrayReader struct {
	resp  *Response
	body  io.Reader
	limit int64
	read  int64
	index int // of the element that is being read; -1: none is
	d     *json.Decoder
	raw   json.RawMessage
	empty bool  // null stands for the array
	err   error // of the body, or of the limit

	text, escaped, blank bool // where the body stands: see squeeze
}

func newArrayReader(resp *Response, body io.Reader) *arrayReader {
	a := &arrayReader{resp: resp, body: withoutMark(body), limit: int64(resp.maxItem()), index: -1}
	a.d = json.NewDecoder(a)
	a.d.UseNumber() // no number is too large where it is skipped
	return a
}

// Read reads from the body, without blanks after blanks, unless what the decoder holds is
// too much already: all since the value that it is at.
func (a *arrayReader) Read(p []byte) (int, error) {
	if a.read-a.d.InputOffset() > a.limit+1 { // with a comma
		return 0, a.tooLarge()
	}
	for {
		n, err := a.body.Read(p)
		if err != nil && err != io.EOF {
			a.err = err
		}
		if kept := a.squeeze(p[:n]); kept > 0 || n == 0 || err != nil {
			a.read += int64(kept)
			return kept, err
		}
	}
}

// squeeze leaves one of several blanks outside of strings. The decoder would look at all
// of them again whenever another one comes.
func (a *arrayReader) squeeze(p []byte) (kept int) {
	for _, c := range p {
		switch {
		case a.escaped:
			a.escaped = false
		case a.text:
			a.escaped, a.text = c == '\\', c != '"'
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
			if a.blank {
				continue
			}
			a.blank = true
			p[kept] = c
			kept++
			continue
		default:
			a.text = c == '"'
		}
		a.blank = false
		p[kept] = c
		kept++
	}
	return kept
}

func (a *arrayReader) tooLarge() error {
	what := "a value beside the array"
	if a.index >= 0 {
		what = fmt.Sprintf("element %d", a.index)
	}
	a.err = a.resp.itemTooLarge(what)
	return a.err
}

// fail gives an error of the decoder its kind.
func (a *arrayReader) fail(err error) error {
	if a.err != nil {
		return a.err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return a.resp.decodeError("as a JSON array", err)
}

// token gives the next token, which there must be.
func (a *arrayReader) token() (json.Token, error) {
	t, err := a.d.Token()
	if err != nil {
		return nil, a.fail(err)
	}
	return t, nil
}

// enter goes down to the array.
func (a *arrayReader) enter(path []string) error {
	for _, name := range path {
		t, err := a.token()
		if err != nil {
			return err
		}
		if t != json.Delim('{') {
			return a.fail(fmt.Errorf("what should have the member %q is not an object", quoteBad(name, 64)))
		}
		if err := a.find(name); err != nil {
			return err
		}
	}
	t, err := a.token()
	if err != nil {
		return err
	}
	a.empty = t == nil
	if !a.empty && t != json.Delim('[') {
		return a.fail(errors.New("it is none"))
	}
	return nil
}

// find skips the members of an object before the one named.
func (a *arrayReader) find(name string) error {
	for a.d.More() {
		key, err := a.token()
		if err != nil || key == name {
			return err
		}
		if err := a.skip(); err != nil {
			return err
		}
	}
	if _, err := a.token(); err != nil {
		return err
	}
	return a.fail(fmt.Errorf("there is no member %q", quoteBad(name, 64)))
}

// skip skips one value.
func (a *arrayReader) skip() error {
	for depth := 0; ; {
		t, err := a.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			if depth++; depth > maxJSONDepth {
				return a.fail(fmt.Errorf("nested more than %d deep", maxJSONDepth))
			}
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// next gives the next element, valid until the call after it; nil after the last one.
func (a *arrayReader) next(index int) ([]byte, error) {
	if a.empty {
		return nil, nil
	}
	if a.index = index; !a.d.More() {
		_, err := a.token()
		a.index = -1
		return nil, err
	}
	if err := a.d.Decode(&a.raw); err != nil {
		return nil, a.fail(err)
	}
	if int64(len(a.raw)) > a.limit {
		return nil, a.tooLarge()
	}
	return a.raw, nil
}

// leave reads the rest of the objects around the array, so that a body which was cut
// short is noticed, and its connection can be used again.
func (a *arrayReader) leave(depth int) error {
	for range depth {
		for a.d.More() {
			if _, err := a.token(); err != nil { // the name
				return err
			}
			if err := a.skip(); err != nil {
				return err
			}
		}
		if _, err := a.token(); err != nil {
			return err
		}
	}
	switch t, err := a.d.Token(); {
	case err == nil:
		return a.fail(fmt.Errorf("%v follows after its end", t))
	case err != io.EOF:
		return a.fail(err)
	}
	return nil
}

// withoutMark skips a byte order mark of UTF-8.
func withoutMark(r io.Reader) io.Reader {
	head := make([]byte, len("\uFEFF"))
	n, err := io.ReadFull(r, head)
	head = charset.WithoutMark(head[:n])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return io.MultiReader(bytes.NewReader(head), failingReader{err})
	}
	return io.MultiReader(bytes.NewReader(head), r)
}

// failingReader gives an error.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
