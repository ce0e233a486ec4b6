package parley

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// sight is who sees the calls of a session or a request, and how much they are told. It
// does not change once a session or a request has it.
type sight struct {
	redaction *redaction // nil: the default
	id        *requestID // nil: not said
	seers     [seerKinds]seer
}

// seer is told of calls. It is told by many goroutines at once.
type seer interface {
	// wants tells how much of a call is to be looked at.
	wants(ctx context.Context) wish
	// sending tells that a request is about to go out.
	sending(*sighting)
	// ended tells that an answer has come to its end, or will not come.
	ended(*sighting)
	// called tells that a call is over.
	called(context.Context, *callSight)
}

// wish is how much of a call somebody wants to see. The zero value is nothing.
type wish struct {
	call   bool
	fields bool  // headers too
	body   int64 // so many bytes of each body, in total no more
}

// The kinds of seers. A session or a request has one of each at most.
const (
	logSeer = iota
	dumpSeer
	recorderSeer
	harSeer
	seerKinds
)

// blind is in the place of a seer that was taken away.
type blind struct{}

func (blind) wants(context.Context) wish         { return wish{} }
func (blind) sending(*sighting)                  {}
func (blind) ended(*sighting)                    {}
func (blind) called(context.Context, *callSight) {}

// see changes what the options say of who sees calls.
func (s *settings) see(change func(*sight)) {
	var own sight
	if s.conduct.sight != nil {
		own = *s.conduct.sight
	}
	change(&own)
	s.conduct.sight = &own
}

// seeBy lets a seer see, or none of its kind where there is none.
func seeBy(kind int, by seer) Option {
	if by == nil {
		by = blind{}
	}
	return option(func(s *settings) error {
		s.see(func(how *sight) { how.seers[kind] = by })
		return nil
	})
}

// over gives s where it says something, else what was said before it.
func (s *sight) over(earlier *sight) *sight {
	switch {
	case earlier == nil || s == earlier:
		return s
	case s == nil:
		return earlier
	}
	out := *s
	out.redaction = s.redaction.over(earlier.redaction)
	if out.id == nil {
		out.id = earlier.id
	}
	for kind, by := range out.seers {
		if by == nil {
			out.seers[kind] = earlier.seers[kind]
		}
	}
	return &out
}

// sight gives who sees the request, nil if nobody does.
func (r *Request) sight() *sight {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.sight
}

func (r *Request) redaction() *redaction {
	if s := r.sight(); s != nil {
		return s.redaction
	}
	return nil
}

// maxSightings is how many requests of a call are kept for its record; those that come
// after them are counted.
const maxSightings = 32

// callSight is what is seen of one call.
type callSight struct {
	how     *sight
	ctx     context.Context
	req     *Request // of the call; read-only
	rec     *callRecord
	seers   []seer // those who want to see it
	wish    wish   // of all of them together
	id      string
	start   time.Time
	elapsed time.Duration // from the start to the end
	resp    *Response     // nil: there is none
	err     error

	mu             sync.Mutex
	seen           []*sighting
	requests       int   // that were sent
	sent, received int64 // bytes of bodies
	over           bool
	number         uint64 // in a dump; 0: none yet
}

// watch carries out a call that somebody sees.
func (s *sight) watch(ctx context.Context, k *call, carry func(context.Context, *call) (*Response, error)) (*Response, error) {
	id, err := s.identify(ctx, k)
	if err != nil {
		return nil, err
	}
	var c *callSight
	for _, by := range s.seers {
		if by == nil {
			continue
		}
		w := by.wants(ctx)
		if !w.call {
			continue
		}
		if c == nil {
			c = &callSight{how: s, ctx: ctx, req: &k.req, rec: &k.rec, id: id, start: time.Now()}
		}
		c.seers = append(c.seers, by)
		c.wish.fields = c.wish.fields || w.fields
		c.wish.body = max(c.wish.body, w.body)
	}
	if k.rec.seen = c; c == nil {
		return carry(ctx, k)
	}
	k.rec.direct = false // those who see it may take their time
	resp, err := carry(ctx, k)
	if err != nil || resp.loaded || resp.Body == http.NoBody || switched(k.req.Method, resp.StatusCode) {
		c.end(resp, err)
		return resp, err
	}
	resp.Body = &seenBody{ReadCloser: resp.Body, ended: func(err error) { c.end(resp, err) }}
	return resp, nil
}

// end tells that the call is over.
func (c *callSight) end(resp *Response, err error) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.over = true
	c.mu.Unlock()
	c.resp, c.err, c.elapsed = resp, err, c.rec.since()
	for _, by := range c.seers {
		by.called(c.ctx, c)
	}
	c.resp = nil
}

// count tells how many requests the call took and what they carried.
func (c *callSight) count() (requests int, sent, received int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.requests, int(c.rec.attempts.Load())), c.sent, c.received
}

// seenBody is the body of an answer whose reading is followed.
type seenBody struct {
	io.ReadCloser
	took  func(p []byte) // nil: nobody counts
	ended func(err error)
}

func (b *seenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && b.took != nil {
		b.took(p[:n])
	}
	if err != nil {
		b.ended(notEOF(err))
	}
	return n, err
}

func (b *seenBody) Close() error {
	err := b.ReadCloser.Close()
	b.ended(nil)
	return err
}

// sightLayer sees the requests of a call as they go out. It is next to the transport.
type sightLayer struct{ next Transport }

func (l sightLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	if req.call == nil || req.call.seen == nil {
		return l.next.Send(ctx, req)
	}
	s := req.call.seen.begin(req)
	own := *req
	if req.Body != nil {
		own.Body = &seenSource{req.Body, s}
	}
	resp, err := l.next.Send(ctx, &own)
	if resp, err = complete(req, resp, err); err != nil {
		s.end(err)
		return nil, err
	}
	if resp.Request == &own {
		resp.Request = req
	}
	s.answered(resp)
	if resp.Body == http.NoBody || switched(req.Method, resp.StatusCode) {
		s.end(nil)
		return resp, nil
	}
	resp.Body = &seenBody{resp.Body, s.received, s.end}
	return resp, nil
}

// seenSource is the body of a request whose sending is followed.
type seenSource struct {
	Body
	by *sighting
}

func (b *seenSource) inMemory() []byte { return contentOf(b.Body) }
func (b *seenSource) untouched() bool  { return untouched(b.Body) }
func (b *seenSource) discard()         { discardBody(b.Body) }

// Open begins to count anew: the body is sent once more.
func (b *seenSource) Open() (io.ReadCloser, error) {
	rc, err := b.Body.Open()
	if err != nil {
		return nil, err
	}
	return &seenReader{rc, b.by, b.by.opened(), filesIn(rc)}, nil
}

// seenReader counts what is read from the body of a request. It may be a file: see
// fileSource.
type seenReader struct {
	io.ReadCloser
	by    *sighting
	send  int        // which of the readers of that body it is
	files fileSource // nil: none
}

func (r *seenReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 && n <= len(p) {
		r.by.sent(r.send, p[:n], 0)
	}
	return n, err
}

// stretch gives no file where its content is to be seen.
func (r *seenReader) stretch() (*os.File, int64) {
	if r.files == nil || r.by.of.wish.body > 0 {
		return nil, 0
	}
	return r.files.stretch()
}

func (r *seenReader) passed(n int64) {
	r.files.passed(n)
	r.by.sent(r.send, nil, n)
}

// sighting is one request of a call, and what came of it, with only what may be shown.
type sighting struct {
	of     *callSight
	number int // in the call, from 1
	start  time.Time
	req    *Request // read-only
	url    string
	line   string  // the request line, where headers are wanted
	head   []field // likewise

	mu       sync.Mutex
	up, down capture
	sends    int       // how often the body was opened
	resp     *Response // while its body is read
	over     bool

	// Of the answer, under mu until it is over; status is 0 where none came.
	status      int
	text, proto string
	fields      []field // where headers are wanted
	location    string
	timing      Timing        // once it is over
	took        time.Duration // likewise
	err         error         // likewise
}

// begin notes that a request is about to go out.
func (c *callSight) begin(req *Request) *sighting {
	s := &sighting{of: c, start: time.Now(), req: req, url: c.how.redaction.url(req.URL)}
	if c.wish.fields {
		s.line, s.head = c.how.redaction.head(req)
	}
	s.up.expect(req.Header, c.wish.body)
	if data := contentOf(req.Body); data != nil {
		s.up.add(data)
	}
	c.mu.Lock()
	c.requests++
	s.number = c.requests
	if len(c.seen) < maxSightings {
		c.seen = append(c.seen, s)
	}
	c.mu.Unlock()
	for _, by := range c.seers {
		by.sending(s)
	}
	return s
}

// opened notes that the body is about to be read, and gives the number of that time.
func (s *sighting) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends++
	s.up.again()
	return s.sends
}

// sent notes what was read from the body the last time that it was opened: p, or as many
// bytes of a file.
func (s *sighting) sent(send int, p []byte, ofFile int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if send == s.sends && !s.over {
		s.up.add(p)
		s.up.total += ofFile
	}
}

func (s *sighting) received(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.down.add(p)
	}
}

// answered notes the head of the answer.
func (s *sighting) answered(resp *Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	redact := s.of.how.redaction
	s.resp, s.status = resp, resp.StatusCode
	s.proto, s.text = strings.Clone(resp.Proto), quoteBad(strings.Clone(reason(resp.Status)), 128)
	if s.of.wish.fields {
		s.fields = redact.answerFields(resp.Header)
	}
	if to := resp.Header.Get("Location"); to != "" {
		s.location = quoteBad(redact.ofAnswer("Location", strings.Clone(to)), maxFieldText)
	}
	s.down.expect(resp.Header, s.of.wish.body)
}

// reason gives the words after the code of a status line.
func reason(status string) string {
	_, words, _ := strings.Cut(status, " ")
	return words
}

// end notes that the answer is complete, or why it is not.
func (s *sighting) end(err error) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over, s.err = true, err
	if s.resp != nil {
		s.timing = s.resp.Timing()
		s.resp = nil
	}
	if e := (*Error)(nil); errors.As(err, &e) && e.Sent == NotSent {
		s.up.again()
	}
	s.took = time.Since(s.start)
	sent, received := s.up.total, s.down.total
	s.mu.Unlock()
	c := s.of
	c.mu.Lock()
	c.sent += sent
	c.received += received
	c.mu.Unlock()
	for _, by := range c.seers {
		by.ended(s)
	}
}
