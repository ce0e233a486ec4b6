package parleytest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/seed-0474a412/parley"
)

// The bounds of what a Mock and a Server remember.
const (
	MaxCalls     = 1000    // of requests, the latest
	MaxCallBytes = 1 << 20 // of the body of one; what is beyond is read, but not kept
)

// maxHistory bounds the bodies of all calls together; the oldest are forgotten first.
const maxHistory = 64 << 20

// Call is a request that a [Mock] or a server has seen. It is a copy: nothing that happens
// to it changes anything.
type Call struct {
	Method string
	URL    *url.URL
	Header http.Header // with Host where that is not the URL's
	// Body is what was read of the body, up to MaxCallBytes. Answers that are made by this
	// package read all of it first; a handler of the caller's own that answers without
	// reading gets the rest of it recorded if its length was known beforehand.
	Body      []byte
	Truncated bool              // the body is longer than Body
	At        time.Time         // when it came
	Values    map[string]string // of the placeholders of the route
	Route     string            // the route that answered: "GET https://api.example.com/*"; "": none

	route  *Route
	listed bool // in the history
}

// JSON decodes the body.
func (c *Call) JSON(v any) error { return json.Unmarshal(c.Body, v) }

// newCall copies the head of a request.
func newCall(req *parley.Request) *Call {
	u := *req.URL
	h := maps.Clone(req.Header)
	for name := range h {
		h[name] = slices.Clone(h[name])
	}
	if h == nil {
		h = make(http.Header)
	}
	if req.Host != "" {
		h["Host"] = []string{req.Host}
	}
	return &Call{Method: req.Method, URL: &u, Header: h, At: time.Now()}
}

// clone copies a call.
func (c *Call) clone() *Call {
	out := *c
	u := *c.URL
	out.URL, out.Header, out.Body, out.Values = &u, c.Header.Clone(), bytes.Clone(c.Body), maps.Clone(c.Values)
	return &out
}

// history holds the latest calls.
type history struct {
	mu    sync.Mutex
	calls []*Call
	bytes int
}

func (h *history) add(c *Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls, c.listed = append(h.calls, c), true
	h.bytes += len(c.Body)
	h.forgetLocked()
}

func (h *history) forgetLocked() {
	for len(h.calls) > MaxCalls || h.bytes > maxHistory {
		h.bytes -= len(h.calls[0].Body)
		h.calls[0].listed, h.calls[0] = false, nil
		h.calls = h.calls[1:]
	}
}

// keep adds to the body of a call.
func (h *history) keep(c *Call, p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := min(MaxCallBytes-len(c.Body), len(p))
	c.Truncated = c.Truncated || room < len(p)
	c.Body = append(c.Body, p[:room]...)
	if c.listed {
		h.bytes += room
		h.forgetLocked()
	}
}

// reset forgets the body of a call, which is read from its beginning again.
func (h *history) reset(c *Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.listed {
		h.bytes -= len(c.Body)
	}
	c.Body, c.Truncated = nil, false
}

// list gives copies of the calls that are wanted.
func (h *history) list(wanted func(*Call) bool) []*Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*Call
	for _, c := range h.calls {
		if wanted(c) {
			out = append(out, c.clone())
		}
	}
	return out
}

// copyOf gives a copy of a call that may still be read.
func (h *history) copyOf(c *Call) *Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.clone()
}

// tapBody is the body of a request, of which is kept what is read. What it stands for is
// opened only once somebody reads, so that a request which fails unread can be sent again.
type tapBody struct {
	parley.Body
	history *history
	call    *Call
}

func (b *tapBody) Open() (io.ReadCloser, error) { return &tapReader{body: b}, nil }

type tapReader struct {
	body *tapBody

	mu     sync.Mutex
	from   io.ReadCloser // nil: not opened
	closed bool
}

func (r *tapReader) open() (io.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, io.ErrClosedPipe
	case r.from != nil:
		return r.from, nil
	}
	from, err := r.body.Body.Open()
	if err != nil {
		return nil, err
	}
	r.body.history.reset(r.body.call)
	r.from = from
	return from, nil
}

func (r *tapReader) Read(p []byte) (int, error) {
	from, err := r.open()
	if err != nil {
		return 0, err
	}
	n, err := from.Read(p)
	r.body.history.keep(r.body.call, p[:n])
	return n, err
}

// Close closes what was opened; it may be called during a Read.
func (r *tapReader) Close() error {
	r.mu.Lock()
	closed, from := r.closed, r.from
	r.closed = true
	r.mu.Unlock()
	if closed || from == nil {
		return nil
	}
	return from.Close()
}
