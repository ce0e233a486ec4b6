package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// teller tells those who want to know what happens before the head of an answer comes.
// net/http knows it on goroutines that serve all requests of the connection, and partly
// with locks held; what it says is told on the goroutine of the caller or of the body.
type teller struct {
	s      *stream
	ctx    context.Context        // of the stream
	trace  *httptrace.ClientTrace // of the user; nil: none
	events chan func() error
	seen   int // 1xx answers

	wrote  chan struct{} // closed when the header has been sent; nil without a trace
	header sync.Mutex    // held while the header is told, so that nothing overtakes it
	mu     sync.Mutex
	fields []headerField // sent, and not told yet
	sent   bool          // the same of the whole header
}

type headerField struct {
	name   string
	values []string
}

func newTeller(ctx context.Context, s *stream) *teller {
	// There is room for all that can come, so that the connection waits for nobody.
	return &teller{ctx: ctx, s: s, trace: s.trace, events: make(chan func() error, MaxInformational+1)}
}

// hooks is what net/http is to call.
func (t *teller) hooks() *httptrace.ClientTrace {
	hooks := &httptrace.ClientTrace{
		GotFirstResponseByte: func() { t.events <- t.firstByte },
		Got1xxResponse:       t.interim,
	}
	if t.trace == nil {
		return hooks
	}
	if t.trace.WroteHeaderField != nil {
		hooks.WroteHeaderField = func(name string, values []string) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.fields = append(t.fields, headerField{name, values})
		}
	}
	t.wrote = make(chan struct{})
	hooks.WroteHeaders = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sent = true
		close(t.wrote)
	}
	hooks.WroteRequest = func(info httptrace.WroteRequestInfo) {
		t.tellHeader()
		t.tellWritten(info.Err)
	}
	return hooks
}

// tellHeader tells of the header, once it has been sent.
func (t *teller) tellHeader() {
	if t.trace == nil {
		return
	}
	t.header.Lock()
	defer t.header.Unlock()
	t.mu.Lock()
	fields, sent := t.fields, t.sent
	t.fields, t.sent = nil, false
	t.mu.Unlock()
	for _, f := range fields {
		t.trace.WroteHeaderField(f.name, f.values)
	}
	if sent && t.trace.WroteHeaders != nil {
		t.trace.WroteHeaders()
	}
}

// tellWritten tells how sending the request went. A body that the server had no use for,
// having been asked, went well.
func (t *teller) tellWritten(err error) {
	if g := t.s.gate; g != nil && !g.isOpen() {
		err = nil
	}
	if wrong := t.s.body.failure(); err != nil && wrong != nil {
		err = wrong
	}
	if err != nil && t.s.x.ctx.Err() != nil {
		err = contextError(t.s.x.ctx)
	}
	tellWritten(t.trace, t.s.x.ctx, err)
}

func (t *teller) firstByte() error {
	x := t.s.x
	x.began = true
	if t.wrote != nil {
		// The answer may be here before net/http has said that the header is gone.
		select {
		case <-t.wrote:
		case <-t.ctx.Done():
		}
	}
	t.tellHeader()
	if t.trace != nil && t.trace.GotFirstResponseByte != nil {
		x.rec.first = sock.Now()
		t.trace.GotFirstResponseByte()
	}
	return nil
}

// interim is told of a 1xx answer.
func (t *teller) interim(status int, header textproto.MIMEHeader) error {
	if t.seen++; t.seen > MaxInformational {
		return because(ErrRemoteProtocol, fmt.Errorf("more than %d informational responses", MaxInformational))
	}
	first := t.seen == 1
	t.events <- func() error { return t.tellInterim(first, status, http.Header(header)) }
	return nil
}

func (t *teller) tellInterim(first bool, status int, header http.Header) error {
	s := t.s
	for _, name := range ofConnection {
		delete(header, name)
	}
	if t.trace != nil {
		if err := tell1xx(t.trace, status == http.StatusContinue && s.gate != nil && !s.gate.isOpen(), status, header); err != nil {
			return err
		}
	}
	if status == http.StatusContinue && s.gate != nil {
		s.gate.open()
	}
	if tell := s.x.req.OnInformational; tell != nil {
		tell(status, header)
	}
	return nil
}

// roundTrip sends the request on a goroutine of its own, and tells meanwhile.
func (t *teller) roundTrip(hr *http.Request) (*http.Response, error) {
	done := make(chan result, 1)
	go func() {
		var r result
		r.resp, r.err = t.s.conn.RoundTrip(hr)
		done <- r
	}()
	for {
		select {
		case tell := <-t.events:
			if err := tell(); err != nil {
				t.s.life.interrupt(err)
				if r := <-done; r.resp != nil {
					r.resp.Body.Close()
				}
				return nil, err
			}
		case r := <-done:
			if err := t.rest(); err != nil && r.err == nil {
				r.resp.Body.Close()
				return nil, err
			}
			return r.resp, r.err
		}
	}
}

// rest tells what has come before the end.
func (t *teller) rest() error {
	for {
		select {
		case tell := <-t.events:
			if err := tell(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// gate holds a body back until the server asks for it, or has had time enough to (RFC
// 9110, section 10.1.1).
type gate struct {
	io.ReadCloser
	s     *stream
	limit time.Duration // less than zero: none

	ways   sync.Once     // for the first Read
	passes chan struct{} // closed when the body may go
	quits  chan struct{} // closed when it must not
	once   struct{ pass, quit sync.Once }
}

func newGate(body io.ReadCloser, limit time.Duration, s *stream) *gate {
	if limit == 0 {
		limit = DefaultExpectTimeout
	}
	return &gate{ReadCloser: body, s: s, limit: limit, passes: make(chan struct{}), quits: make(chan struct{})}
}

// errGateShut ends a body that must not go.
var errGateShut = errors.New("upload stopped")

func (g *gate) Read(p []byte) (int, error) {
	g.ways.Do(g.wait)
	if !g.isOpen() {
		return 0, errGateShut
	}
	return g.ReadCloser.Read(p)
}

func (g *gate) wait() {
	if t := g.s.tell; t != nil {
		t.tellHeader()
		if t.trace != nil && t.trace.Wait100Continue != nil {
			t.trace.Wait100Continue()
		}
	}
	var late <-chan time.Time
	if g.limit > 0 {
		timer := time.NewTimer(g.limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-g.passes:
	case <-late:
		g.open()
	case <-g.quits:
	}
}

func (g *gate) open() { g.once.pass.Do(func() { close(g.passes) }) }

func (g *gate) isOpen() bool {
	select {
	case <-g.passes:
		return true
	default:
		return false
	}
}

// answered is told of the final answer. One that takes the request lets the body go, which
// the server may or may not read; with any other net/http closes the body.
func (g *gate) answered(status int) {
	if status < 300 {
		g.open()
	}
}

// Close ends the wait, too.
func (g *gate) Close() error {
	g.once.quit.Do(func() { close(g.quits) })
	return g.ReadCloser.Close()
}
