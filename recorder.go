package parley

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/har"
)

// DefaultRecorded is how many calls a [Recorder] keeps where nothing else is said.
const DefaultRecorded = 100

// Recorder is a flight recorder: it keeps the last calls, and apart from them the last that
// failed, so that a flood of calls that went well does not wash away what is looked for.
// A call failed if it has no answer, or one with a status of 400 or more, or if reading its
// body failed. Give it to sessions or requests with [WithRecorder]. Bodies are not kept,
// headers of which a value is long only in part, and what may be a secret is hidden: see
// [WithRedaction]. Make one with [NewRecorder]; it is safe for concurrent use.
type Recorder struct {
	mu           sync.Mutex
	last, failed ring
	total, bad   uint64
}

// NewRecorder makes a recorder that keeps the last n calls and the last n that failed; 100
// for an n of 0 or less.
func NewRecorder(n int) *Recorder {
	if n <= 0 {
		n = DefaultRecorded
	}
	return &Recorder{last: ring{size: n}, failed: ring{size: n}}
}

// WithRecorder keeps calls in r, each once it is over: see [WithLogger] for when that is.
// Several sessions may share one. nil takes back what was said before.
func WithRecorder(r *Recorder) Option {
	if r == nil {
		return seeBy(recorderSeer, nil)
	}
	return seeBy(recorderSeer, recordWatcher{r})
}

// RecordedCall is a call as a [Recorder] keeps it. It must not be changed.
type RecordedCall struct {
	Start     time.Time         `json:"start"`
	Duration  time.Duration     `json:"duration"` // in nanoseconds where it is JSON
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Route     string            `json:"route,omitempty"`      // see Request.Route
	RequestID string            `json:"request_id,omitempty"` // see WithRequestID
	Status    int               `json:"status,omitempty"`     // 0: there is no answer
	Error     string            `json:"error,omitempty"`      // "": it did not fail
	Tries     int               `json:"tries"`                // requests that it took: redirects, challenges and further tries too
	Sent      int64             `json:"sent"`                 // bytes of bodies, of all its requests
	Received  int64             `json:"received"`
	Requests  []RecordedRequest `json:"requests"` // in their order, no more than 32

	number uint64 // among all calls of the recorder
}

// Failed reports whether the call has no answer, or one with a status of 400 or more, or
// failed in reading it.
func (c *RecordedCall) Failed() bool { return c.Error != "" || c.Status >= 400 }

// String gives one line: when, what and how it ended.
func (c *RecordedCall) String() string {
	var b strings.Builder
	b.WriteString(c.Start.Format("2006-01-02 15:04:05.000 "))
	switch {
	case c.Error == "":
		fmt.Fprintf(&b, "%s %s: %d", c.Method, c.URL, c.Status)
	case strings.HasPrefix(c.Error, c.Method+" "):
		b.WriteString(c.Error) // which begins with method and URL
	default:
		fmt.Fprintf(&b, "%s %s: %s", c.Method, c.URL, c.Error)
	}
	fmt.Fprintf(&b, " in %v", rounded(c.Duration))
	if c.Tries != 1 {
		fmt.Fprintf(&b, ", %d tries", c.Tries)
	}
	if c.RequestID != "" {
		fmt.Fprintf(&b, ", id %s", c.RequestID)
	}
	return b.String()
}

// RecordedRequest is one request of a call, with what came of it.
type RecordedRequest struct {
	Start          time.Time     `json:"start"`
	Duration       time.Duration `json:"duration"`
	Method         string        `json:"method"`
	URL            string        `json:"url"`
	RequestHeader  http.Header   `json:"request_header"`
	Status         int           `json:"status,omitempty"` // 0: no answer came
	Proto          string        `json:"proto,omitempty"`
	ResponseHeader http.Header   `json:"response_header,omitempty"`
	Error          string        `json:"error,omitempty"`
	Reused         bool          `json:"reused"` // the connection had served before
	RemoteAddr     string        `json:"remote_addr,omitempty"`
	Sent           int64         `json:"sent"` // bytes of the body
	Received       int64         `json:"received"`

	entry har.Entry
}

// ring keeps the last size calls.
type ring struct {
	calls []RecordedCall
	next  int // where the oldest is, once there are size
	size  int
}

func (r *ring) add(c *RecordedCall) {
	if len(r.calls) < r.size {
		r.calls = append(r.calls, *c)
		return
	}
	r.calls[r.next] = *c
	r.next = (r.next + 1) % r.size
}

// list gives the calls, the oldest first.
func (r *ring) list() []RecordedCall {
	return slices.Concat(r.calls[r.next:], r.calls[:r.next])
}

// recordWatcher fills a Recorder.
type recordWatcher struct{ into *Recorder }

func (w recordWatcher) wants(context.Context) wish { return wish{call: true, fields: true} }
func (w recordWatcher) sending(*sighting)          {}
func (w recordWatcher) ended(*sighting)            {}

func (w recordWatcher) called(_ context.Context, c *callSight) {
	call := c.recorded()
	r := w.into
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	call.number = r.total
	r.last.add(call)
	if call.Failed() {
		r.bad++
		r.failed.add(call)
	}
}

// recorded gives what was seen of a call, in memory that is bounded.
func (c *callSight) recorded() *RecordedCall {
	out := &RecordedCall{
		Start: c.start, Duration: c.elapsed, Method: quoteBad(strings.Clone(c.req.Method), 32),
		URL: cut(c.how.redaction.url(c.req.URL), maxLoggedURL), Route: quoteBad(strings.Clone(c.req.Route()), 256), RequestID: cut(strings.Clone(c.id), 256),
	}
	out.Tries, out.Sent, out.Received = c.count()
	if c.resp != nil {
		out.Status = c.resp.StatusCode
	}
	if c.err != nil {
		out.Error = quoteBad(c.err.Error(), maxErrorText)
	}
	c.mu.Lock()
	seen := slices.Clone(c.seen)
	c.mu.Unlock()
	for _, s := range seen {
		out.Requests = append(out.Requests, s.recorded())
	}
	return out
}

func (s *sighting) recorded() RecordedRequest {
	entry := s.entry(0)
	entry.Request.URL = cut(entry.Request.URL, maxLoggedURL)
	entry.Request.QueryString = queryPairs(entry.Request.URL)
	entry.Request.Headers, entry.Response.Headers = shortened(entry.Request.Headers), shortened(entry.Response.Headers)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := RecordedRequest{
		Start: s.start, Duration: s.took, Method: quoteBad(entry.Request.Method, 32), URL: entry.Request.URL,
		RequestHeader: headerOf(entry.Request.Headers), Status: s.status, Proto: s.proto,
		Error: entry.Response.Error, Reused: s.timing.Reused, Sent: s.up.total, Received: s.down.total, entry: entry,
	}
	if s.status != 0 {
		out.ResponseHeader = headerOf(entry.Response.Headers)
	}
	if a := s.timing.RemoteAddr; a != nil {
		out.RemoteAddr = a.String()
	}
	return out
}

// The bounds of what a Recorder keeps of a head.
const (
	maxRecordedFields = 64
	maxRecordedText   = 256
)

// shortened gives the first of the fields, and the beginnings of their values.
func shortened(fields []har.Pair) []har.Pair {
	fields = slices.Clone(fields[:min(len(fields), maxRecordedFields)])
	for i, f := range fields {
		fields[i].Value = strings.Clone(cut(f.Value, maxRecordedText))
	}
	return fields
}

func headerOf(fields []har.Pair) http.Header {
	out := make(http.Header, len(fields))
	for _, f := range fields {
		out.Add(f.Name, f.Value)
	}
	return out
}

// Calls gives the last calls, the oldest first.
func (r *Recorder) Calls() []RecordedCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.list()
}

// Failed gives the last calls that failed, the oldest first, also those that are no longer
// among the last.
func (r *Recorder) Failed() []RecordedCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed.list()
}

// Reset forgets all calls.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.failed = ring{size: r.last.size}, ring{size: r.failed.size}
	r.total, r.bad = 0, 0
}

// String gives a line for each of the last calls that failed, then one for each of the last.
func (r *Recorder) String() string {
	r.mu.Lock()
	last, failed, total, bad := r.last.list(), r.failed.list(), r.total, r.bad
	r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d calls, %d failed\n", total, bad)
	group := func(title string, calls []RecordedCall) {
		if len(calls) > 0 {
			fmt.Fprintf(&b, "the last %d%s:\n", len(calls), title)
		}
		for i := range calls {
			b.WriteString("  " + calls[i].String() + "\n")
		}
	}
	group(" that failed", failed)
	group("", last)
	return b.String()
}

// Format prints String for all verbs.
func (r *Recorder) Format(s fmt.State, verb rune) { printSafe(s, verb, r.String()) }

// MarshalJSON gives {"total", "failures", "failed", "last"}: how many calls there were and
// how many failed, and those that are kept, as arrays of [RecordedCall].
func (r *Recorder) MarshalJSON() ([]byte, error) {
	r.mu.Lock()
	out := struct {
		Total    uint64         `json:"total"`
		Failures uint64         `json:"failures"`
		Failed   []RecordedCall `json:"failed"`
		Last     []RecordedCall `json:"last"`
	}{r.total, r.bad, append([]RecordedCall{}, r.failed.list()...), append([]RecordedCall{}, r.last.list()...)}
	r.mu.Unlock()
	return json.Marshal(out)
}

// WriteHAR writes the requests of all calls that are kept as an HTTP archive without
// bodies: see [HAR] for one with them.
func (r *Recorder) WriteHAR(w io.Writer) error {
	r.mu.Lock()
	last, failed := r.last.list(), r.failed.list()
	r.mu.Unlock()
	entries := []har.Entry{}
	add := func(calls []RecordedCall) {
		for _, c := range calls {
			for _, request := range c.Requests {
				entries = append(entries, request.entry)
			}
		}
	}
	// What failed is among the last too unless it is older than all of them.
	if len(last) > 0 {
		failed = slices.DeleteFunc(failed, func(c RecordedCall) bool { return c.number >= last[0].number })
	}
	add(failed)
	add(last)
	_, err := writeHAR(w, entries, 0)
	return err
}
