package parleytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/coding"
)

// closeWait bounds how long the rest of an answer is read that is closed before its end:
// redirects and failed tries are closed unread, and belong in the file.
const closeWait = time.Second

// taping is a request on its way over the network.
type taping struct {
	limit int64         // of each body
	room  *atomic.Int64 // for all bodies of the cassette
	own   parley.Body   // of the request; nil: none

	mu       sync.Mutex
	rec      *Recording
	up, down bytes.Buffer
	sentAll  bool // of the body of the request
	sends    int  // how often that was opened
	ending   bool // nothing is added any more
	over     bool
	problem  string // why the test cannot pass; "": nothing
	note     string // why there is nothing to record, though nothing is wrong
}

// record sends a request through next and keeps what comes of it.
func (c *Cassette) record(ctx context.Context, req *parley.Request, next parley.Transport) (*parley.Response, error) {
	if ctx == nil || req == nil || req.URL == nil {
		return next.Send(ctx, req) // says what is wrong
	}
	t, err := c.begin(req)
	if err != nil {
		return nil, err
	}
	out := req.Clone()
	if req.Body != nil {
		out.Body = &tapedSource{req.Body, t}
	}
	resp, err := next.Send(ctx, out)
	if err != nil || resp == nil {
		t.stop("", fmt.Sprintf("it failed: %v", err))
		return resp, err
	}
	resp.Request = req
	t.answered(resp)
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols, req.Method == http.MethodConnect && resp.StatusCode/100 == 2:
		t.stop("a connection that changes hands cannot be recorded", "")
	case resp.Body == nil || resp.Body == http.NoBody:
		t.finish(resp)
	default:
		resp.Body = &tapedAnswer{ReadCloser: resp.Body, ctx: ctx, resp: resp, t: t}
	}
	return resp, nil
}

// begin takes a place in the file.
func (c *Cassette) begin(req *parley.Request) (*taping, error) {
	call := newCall(req)
	t := &taping{limit: c.cfg.MaxBodyBytes, room: &c.room, own: req.Body}
	t.rec = &Recording{Method: call.Method, URL: call.URL, RequestHeader: call.Header}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, fmt.Errorf("parleytest: cassette %s has ended with its test", c.path)
	}
	c.taping = append(c.taping, t)
	return t, nil
}

// stop ends it without a recording.
func (t *taping) stop(problem, note string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		t.ending, t.over, t.problem, t.note = true, true, problem, note
	}
}

// answered notes the head of the answer.
func (t *taping) answered(resp *parley.Response) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, reason, _ := strings.Cut(resp.Status, " ")
	t.rec.Status, t.rec.Header = resp.StatusCode, keptFields(resp.Header)
	t.rec.reason, t.rec.proto = strings.Clone(reason), strings.Clone(resp.Proto)
}

// keptFields copies a header of an answer.
func keptFields(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		for _, v := range values {
			out.Add(strings.Clone(name), strings.Clone(v))
		}
	}
	return out
}

func (t *taping) received(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keepLocked(&t.down, p)
}

// keepLocked adds to what came of a body, and one byte beyond the limit.
func (t *taping) keepLocked(b *bytes.Buffer, p []byte) {
	p = p[:min(int64(len(p)), max(t.limit+1-int64(b.Len()), 0))]
	if t.ending {
		return
	}
	if t.room.Add(-int64(len(p))) < 0 {
		t.problem = "the bodies of all requests and answers together are too large: see CassetteConfig.MaxBytes"
		return
	}
	b.Write(p)
}

func (t *taping) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(t.down.Len()) > t.limit
}

// finish notes that the answer has come to its end.
func (t *taping) finish(resp *parley.Response) {
	t.mu.Lock()
	if t.ending {
		t.mu.Unlock()
		return
	}
	t.ending = true
	t.rec.Trailer = keptFields(resp.Trailer)
	// It may have been answered before its body had been sent.
	partly := t.own != nil && !t.sentAll && int64(t.up.Len()) != t.own.Size()
	t.mu.Unlock()
	var whole []byte
	var err error
	if partly && t.own.Replayable() {
		whole, err = readBody(t.own, t.limit+1)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	switch {
	case err != nil:
		t.problem = fmt.Sprintf("reading the body of the request again: %v", err)
	case whole != nil:
		t.up.Reset()
		t.up.Write(whole)
	default:
		t.rec.incomplete = partly
	}
}

// readBody reads a body from its beginning, up to a limit.
func readBody(body parley.Body, limit int64) ([]byte, error) {
	rc, err := body.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(rc, limit))
	if closeErr := rc.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

// result gives the recording, or says what is in its way.
func (t *taping) result() (r *Recording, problem, note string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.over && t.rec.Status == 0:
		return nil, "it is still waiting for its answer at the end of the test", ""
	case !t.over:
		return nil, "its answer was neither read to its end nor closed", ""
	case t.problem != "" || t.note != "":
		return nil, t.problem, t.note
	}
	if err := t.settle(); err != nil {
		return nil, err.Error(), ""
	}
	return t.rec, "", ""
}

// settle puts the bodies in the form in which they are kept.
func (t *taping) settle() error {
	var err error
	if t.rec.RequestBody, err = t.plain("request", t.rec.RequestHeader, t.up.Bytes()); err != nil {
		return err
	}
	t.rec.RequestHeader.Del("Content-Length")
	if t.rec.Method == http.MethodHead || t.rec.Status == http.StatusNotModified {
		return nil // its header is about content that is not there
	}
	coded := t.down.Bytes()
	if t.rec.Status == http.StatusPartialContent && len(codingsOf(t.rec.Header)) > 0 {
		return errors.New("a part of a coded answer cannot be decoded: ask for identity in Accept-Encoding")
	}
	t.rec.Body, err = t.plain("answer", t.rec.Header, coded)
	return err
}

// plain undoes the codings of a body within the limit.
func (t *taping) plain(what string, h http.Header, body []byte) ([]byte, error) {
	tooLarge := fmt.Errorf("the body of the %s is larger than %d bytes: see CassetteConfig.MaxBodyBytes", what, t.limit)
	if int64(len(body)) > t.limit {
		return nil, tooLarge
	}
	names := codingsOf(h)
	if len(names) == 0 || len(body) == 0 || t.rec.incomplete && what == "request" {
		return body, nil
	}
	plain, err := decoded(names, body, t.limit)
	if err != nil {
		return nil, fmt.Errorf("the body of the %s cannot be decoded, and could not be redacted: %w", what, err)
	}
	if int64(len(plain)) > t.limit {
		return nil, tooLarge
	}
	h.Del("Content-Encoding")
	dropDigests(h)
	return plain, nil
}

// dropDigests takes away what was said of a body that has changed.
func dropDigests(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest"} {
		h.Del(name)
	}
}

// codingsOf gives the content codings in the order in which they were applied.
func codingsOf(h http.Header) []string {
	var names []string
	for _, line := range h.Values("Content-Encoding") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.ToLower(strings.Trim(name, " \t")); name != "" && name != "identity" {
				names = append(names, strings.TrimPrefix(name, "x-"))
			}
		}
	}
	return names
}

// maxCassetteCodings is how many codings may be on top of each other, as with parley.
const maxCassetteCodings = 4

// decoded gives no more than one byte beyond the limit.
func decoded(names []string, body []byte, limit int64) ([]byte, error) {
	if len(names) > maxCassetteCodings {
		return nil, fmt.Errorf("more than %d content codings", maxCassetteCodings)
	}
	for i := len(names) - 1; i >= 0; i-- {
		open := coding.Lookup(names[i])
		if open == nil {
			return nil, fmt.Errorf("the content coding %s is not known", quoted(names[i]))
		}
		r, err := open(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		body, err = io.ReadAll(io.LimitReader(r, limit+1))
		if closeErr := r.Close(); err == nil && int64(len(body)) <= limit {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		if int64(len(body)) > limit {
			return body, nil
		}
	}
	return body, nil
}

// tapedSource is the body of a request, of which is kept what is sent.
type tapedSource struct {
	parley.Body
	t *taping
}

func (b *tapedSource) Open() (io.ReadCloser, error) {
	rc, err := b.Body.Open()
	if err != nil {
		return nil, err
	}
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if b.t.sends++; !b.t.ending {
		b.t.up.Reset()
		b.t.sentAll = false
	}
	return &tapedReader{rc, b.t, b.t.sends}, nil
}

type tapedReader struct {
	io.ReadCloser
	t    *taping
	send int
}

func (r *tapedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if r.send == r.t.sends && n <= len(p) {
		r.t.keepLocked(&r.t.up, p[:max(n, 0)])
		r.t.sentAll = r.t.sentAll || err == io.EOF && !r.t.ending
	}
	return n, err
}

// tapedAnswer is the body of an answer, of which is kept what is read.
type tapedAnswer struct {
	io.ReadCloser
	ctx  context.Context
	resp *parley.Response
	t    *taping

	reading  sync.Mutex
	ended    bool // under reading
	draining bool // likewise
	once     sync.Once
}

func (b *tapedAnswer) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.read(p)
}

// read is Read under the lock.
func (b *tapedAnswer) read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.ended {
		b.t.received(p[:n])
	}
	switch {
	case err == nil || b.ended || err != io.EOF && b.draining:
	case err == io.EOF:
		b.ended = true
		b.t.finish(b.resp)
	default:
		b.ended = true
		b.t.stop("", fmt.Sprintf("reading its answer failed: %v", err))
	}
	return n, err
}

// Close reads the rest first, if nobody else is reading and it comes soon.
func (b *tapedAnswer) Close() error {
	b.once.Do(func() {
		if b.reading.TryLock() {
			b.drain()
			b.reading.Unlock()
		}
		switch {
		case b.ctx.Err() != nil:
			b.t.stop("", "the call was cancelled")
		case b.t.full():
			b.t.finish(b.resp) // which fails the test as it should
		}
		b.t.stop("its answer was closed before its end, which did not come: read it to its end", "")
	})
	return b.ReadCloser.Close()
}

// drain reads the rest, under the lock.
func (b *tapedAnswer) drain() {
	b.draining = true
	timer := time.AfterFunc(closeWait, func() { b.ReadCloser.Close() }) // Close will say it again
	defer timer.Stop()
	for buf := make([]byte, 32<<10); !b.ended && b.ctx.Err() == nil && !b.t.full(); {
		if _, err := b.read(buf); err != nil {
			return
		}
	}
}
