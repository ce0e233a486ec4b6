package parley

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
)

// DefaultDumpBody is a bound for bodies in dumps that shows most of what is read by people.
const DefaultDumpBody = 64 << 10

// WithDump writes what goes over the wire to w as text, for a developer to look at: each
// request with its head and body, and each answer, redirects, challenges and further tries
// among them. maxBody bounds, in bytes, what is shown of each body; 0 or less: the heads
// alone. Nothing is dumped anywhere by default, and what may be a secret is hidden: see
// [WithRedaction].
//
// Each message begins with a line that names call and request, "--> 3.1" being the first
// request of the third call and "<-- 3.1" its answer, "!!! 3.1" why there is none or why it
// broke off. A message is given to w in one Write when it is whole: a request before it is sent, or,
// where its body has to be read for that, together with what became of it; an answer when
// its body has been read to its end or closed. No two Writes of an option's calls run at a
// time; w's errors are nobody's.
//
// Heads are shown in the form of HTTP/1.1, those of answers sorted by name. Bodies are
// shown decoded; what is no text, in hexadecimal. A nil w takes back what was said before.
func WithDump(w io.Writer, maxBody int64) Option {
	if w == nil {
		return seeBy(dumpSeer, nil)
	}
	return seeBy(dumpSeer, &dumper{w: w, body: max(maxBody, 0)})
}

// dumper writes messages.
type dumper struct {
	body int64

	mu    sync.Mutex // also held while w writes: that no two do is what it is for
	w     io.Writer
	calls uint64
}

func (d *dumper) wants(context.Context) wish { return wish{call: true, fields: true, body: d.body} }

func (d *dumper) called(context.Context, *callSight) {}

// sending shows a request whose body is there.
func (d *dumper) sending(s *sighting) {
	if wholeAtOnce(s.req) {
		var b bytes.Buffer
		d.request(&b, s)
		d.write(b.Bytes())
	}
}

// wholeAtOnce reports whether all of a request is known before it is sent.
func wholeAtOnce(req *Request) bool {
	return req.Body == nil || req.Body.Size() == 0 || contentOf(req.Body) != nil
}

func (d *dumper) ended(s *sighting) {
	var b bytes.Buffer
	if !wholeAtOnce(s.req) {
		d.request(&b, s)
	}
	if s.status != 0 {
		d.answer(&b, s)
	}
	if s.err != nil {
		fmt.Fprintf(&b, "!!! %s after %v: %s\n\n", d.name(s), rounded(s.took), quoteBad(s.err.Error(), maxErrorText))
	}
	d.write(b.Bytes())
}

func (d *dumper) write(message []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.w.Write(message) // a call does not fail because nobody can read of it
}

// name gives the number of the call and that of the request in it.
func (d *dumper) name(s *sighting) string {
	c := s.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.number == 0 {
		d.mu.Lock()
		d.calls++
		c.number = d.calls
		d.mu.Unlock()
	}
	return fmt.Sprintf("%d.%d", c.number, s.number)
}

func (d *dumper) request(b *bytes.Buffer, s *sighting) {
	fmt.Fprintf(b, "--> %s %s %s at %s\n%s\n", d.name(s), quoteBad(s.req.Method, 32), s.url, s.start.Format("15:04:05.000"), s.line)
	dumpFields(b, s.head)
	s.mu.Lock()
	body := s.up.shown(s, d.body)
	s.mu.Unlock()
	d.content(b, &body)
}

func (d *dumper) answer(b *bytes.Buffer, s *sighting) {
	fmt.Fprintf(b, "<-- %s %d in %v", d.name(s), s.status, rounded(s.took))
	if a := s.timing.RemoteAddr; a != nil {
		fmt.Fprintf(b, " from %v", a)
	}
	if s.timing.Reused {
		b.WriteString(", reused")
	}
	fmt.Fprintf(b, "\n%s %d %s\n", quoteBad(s.proto, 32), s.status, s.text)
	dumpFields(b, s.fields)
	body := s.down.shown(s, d.body)
	d.content(b, &body)
}

func dumpFields(b *bytes.Buffer, fields []field) {
	for _, f := range fields {
		b.WriteString(f.name + ": " + f.value + "\n")
	}
	b.WriteByte('\n')
}

// content shows a body, followed by an empty line.
func (d *dumper) content(b *bytes.Buffer, c *content) {
	switch {
	case c.total == 0:
		return
	case c.note != "":
		fmt.Fprintf(b, "[%d bytes, %s]\n\n", c.total, c.note)
		return
	case len(c.data) == 0:
		fmt.Fprintf(b, "[%d bytes]\n\n", c.total)
		return
	case isText(c.data, c.cut):
		b.Write(c.data)
	default:
		b.WriteString(hex.Dump(c.data))
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
		b.WriteByte('\n')
	}
	switch {
	case c.cut && c.coded != "":
		fmt.Fprintf(b, "[the beginning, decoded from %s, of %d bytes]\n", c.coded, c.total)
	case c.cut:
		fmt.Fprintf(b, "[the first %d of %d bytes]\n", len(c.data), c.total)
	case c.coded != "":
		fmt.Fprintf(b, "[decoded from %s, %d bytes]\n", c.coded, c.total)
	}
	b.WriteByte('\n')
}
