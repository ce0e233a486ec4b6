package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/partial"
)

// maxRestarts is how often a download begins anew because the file has changed.
const maxRestarts = 2

// errChanged says that the server has another file than the one that was begun.
var errChanged = errors.New("the file has changed on the server while it was fetched")

// run fetches the file and puts it in its place.
func (d *download) run(ctx context.Context) error {
	for restarts := 0; ; restarts++ {
		err := d.attempt(ctx)
		if !errors.Is(err, errChanged) || restarts == maxRestarts {
			return err
		}
		d.cfg.Parallel = 1 // whoever changes it so fast may be several servers
		if err := d.part.Restart(partial.Note{Key: d.key(), Total: -1}); err != nil {
			return err
		}
	}
}

func (d *download) attempt(ctx context.Context) error {
	if d.name != "" {
		if err := d.takeUp(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f, err := d.open(ctx)
	if err != nil {
		return err
	}
	d.result.Response = f.resp
	err = d.fetch(ctx, stop, f)
	f.resp.Close() // what is left of it is not wanted
	if err != nil {
		return err
	}
	return d.finish()
}

// takeUp looks for what an earlier try has left.
func (d *download) takeUp() (err error) {
	if d.part == nil && !d.cfg.Fresh {
		d.part, err = d.dir.Find(d.name, d.key())
	}
	return err
}

// inflow is a response that is being read.
type inflow struct {
	resp *Response
	at   int64 // where in the file it stands
	end  int64 // where it ends, less than zero if that is not known
}

// open gets the first response to read from, and sees to it that there is a part to write
// to which fits it.
func (d *download) open(ctx context.Context) (*inflow, error) {
	for ranges := true; ; {
		from := int64(0)
		if d.part != nil && ranges && d.part.Note().Resumable() {
			var err error
			if from, err = d.begin(); err != nil {
				return nil, err
			}
		}
		resp, err := d.ask(ctx, partial.Span{From: from, To: -1})
		if err != nil {
			return nil, err
		}
		switch {
		case resp.StatusCode == http.StatusPartialContent && from > 0:
			f, err := d.ranged(resp, partial.Span{From: from, To: -1})
			if err != nil {
				resp.Close()
				return nil, err
			}
			d.result.Resumed, err = d.held()
			return f, err
		case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && from > 0:
			resp.Close()
			ranges = false
		case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNonAuthoritativeInfo:
			again, err := d.accept(resp, ranges && from == 0)
			if err == nil && !again {
				return &inflow{resp, 0, resp.ContentLength}, nil
			}
			resp.Close()
			if err != nil {
				return nil, err
			}
		default:
			return nil, d.refuse(resp)
		}
	}
}

// begin says from where on the file is asked for. If nothing is missing that is its last
// byte: the answer tells whether it has changed.
func (d *download) begin() (int64, error) {
	total := d.part.Note().Total
	missing, err := d.part.Missing(total)
	switch {
	case err != nil:
		return 0, err
	case len(missing) > 0:
		return missing[0].From, nil
	}
	return max(total-1, 0), nil
}

// held is how many bytes there are already.
func (d *download) held() (int64, error) {
	total := d.part.Note().Total
	missing, err := d.part.Missing(total)
	if err != nil {
		return 0, err
	}
	if total < 0 {
		return missing[0].From, nil
	}
	for _, s := range missing {
		total -= s.Len()
	}
	return total, nil
}

// ask sends a request for a span, or for all of the file.
func (d *download) ask(ctx context.Context, s partial.Span) (*Response, error) {
	req := d.req.Clone()
	if d.cfg.Parallel > 1 { // the parts may have to wait for each other
		req.Timeouts.Pool = NoTimeout
	}
	if s.From > 0 || s.To >= 0 {
		to := ""
		if s.To >= 0 {
			to = strconv.FormatInt(s.To-1, 10)
		}
		note := d.part.Note()
		req.Header["Range"] = []string{"bytes=" + strconv.FormatInt(s.From, 10) + "-" + to}
		if validator := note.ETag + note.Modified; validator != "" {
			req.Header["If-Range"] = []string{validator}
		}
	}
	return d.c.Send(ctx, req)
}

// refuse makes an error of an answer that gives no content.
func (d *download) refuse(resp *Response) error {
	defer resp.Close()
	if err := resp.Err(); err != nil {
		return err
	}
	return resp.fail("download", PhaseResponse, because(ErrRemoteProtocol, fmt.Errorf("status %d is no answer with a file", resp.StatusCode)))
}

// accept begins the file with a response that has all of it. If find is true it looks
// first for what an earlier try has left of this very file; again says that this was found
// and is to be asked for.
func (d *download) accept(resp *Response, find bool) (again bool, err error) {
	note := d.noteOf(resp)
	if limit := d.req.MaxBodyBytes; limit > 0 && note.Total > limit {
		return false, resp.fail("download", PhaseResponse, tooLargeFile(limit))
	}
	d.result.Resumed = 0
	if d.name == "" {
		d.name = nameBy(resp, d.req.URL)
		if err := d.refuseExisting(); err != nil {
			return false, err
		}
		note.Key = d.key()
		if err := d.takeUp(); err != nil {
			return false, err
		}
		if d.part != nil && find && d.part.Note() == note {
			from, err := d.begin()
			return from > 0, err
		}
	}
	if d.part == nil {
		d.part, err = d.dir.Create(d.name, note)
		return false, err
	}
	return false, d.part.Restart(note)
}

func tooLargeFile(limit int64) error {
	return &cause{kind: ErrBodyTooLarge, err: fmt.Errorf("the file has more than the allowed %d bytes", limit)}
}

// noteOf says of what file a response has the content. What a server gives no ranges of is
// not worth being told from another state of it.
func (d *download) noteOf(resp *Response) partial.Note {
	note := partial.Note{Key: d.key(), Total: resp.ContentLength}
	if len(resp.Header["Content-Encoding"]) == 0 && !strings.EqualFold(resp.Header.Get("Accept-Ranges"), "none") {
		note.ETag, note.Modified = validatorOf(resp.Header)
	}
	return note
}

// validatorOf gives an entity tag or a date that tells one state of a file from every
// other (RFC 9110, section 8.8): strong ones, as If-Range demands.
func validatorOf(h http.Header) (etag, modified string) {
	if etag := h.Get("Etag"); strings.HasPrefix(etag, `"`) {
		return etag, ""
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil || h.Get("Etag") != "" {
		return "", ""
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || now.Sub(changed) < time.Second {
		return "", ""
	}
	return "", h.Get("Last-Modified")
}

// ranged checks that a 206 is the answer to a request for s.
func (d *download) ranged(resp *Response, s partial.Span) (*inflow, error) {
	note := d.part.Note()
	said, ok := resp.ContentRange()
	from, to, total := said.First, said.Last+1, said.Size
	switch {
	case !ok || to <= from: // a last byte may be the last number that there is
		return nil, resp.fail("download", PhaseResponse, because(ErrRemoteProtocol, errors.New("a part of a file without saying which")))
	case total >= 0 && note.Total >= 0 && total != note.Total:
		return nil, errChanged
	case total < 0 && s.To < 0:
		return nil, errChanged // it does not say whether there is more
	case from != s.From, s.To >= 0 && to > s.To, to != s.To && to != total && to-from < MinPartSize:
		return nil, resp.fail("download", PhaseResponse, because(ErrRemoteProtocol, fmt.Errorf("bytes %d to %d of a file, which were not asked for", from, to-1)))
	case resp.ContentLength >= 0 && resp.ContentLength != to-from:
		return nil, resp.fail("download", PhaseResponse, because(ErrRemoteProtocol, errors.New("a part of a file that has another length than it says")))
	}
	if etag, _ := validatorOf(resp.Header); etag != "" && note.ETag != "" && etag != note.ETag {
		return nil, errChanged
	}
	return &inflow{resp, from, to}, nil
}

// fetch reads all that is missing. stop ends ctx, under which f was opened.
func (d *download) fetch(ctx context.Context, stop func(), f *inflow) error {
	note := d.part.Note()
	total := note.Total
	if total < 0 && f.at > 0 { // an earlier try did not know it
		total = f.end
	}
	missing, err := d.part.Missing(total)
	if err != nil {
		return err
	}
	d.expect(f.resp)
	if total >= 0 {
		missing, err = d.cut(missing, note, f.resp)
		if err != nil {
			return err
		}
	}
	if len(missing) != 1 || missing[0].From != 0 {
		d.unheeded()
	}
	d.meter.begin(d.tell, total, d.result.Resumed)
	q := &spans{left: missing}
	workers := max(1, min(d.cfg.Parallel, len(missing)))
	var first error
	var once sync.Once
	end := func(err error) {
		if err != nil { // the others then fail for being stopped
			once.Do(func() { first = err })
			stop()
		}
	}
	var running sync.WaitGroup
	for range workers - 1 {
		running.Go(func() { end(d.work(ctx, q.back, nil)) })
	}
	end(d.work(ctx, q.front, f))
	running.Wait()
	if first == nil {
		d.meter.add(0, true)
	}
	return first
}

// cut cuts what is missing into parts, if several are to be fetched at once.
func (d *download) cut(missing []partial.Span, note partial.Note, resp *Response) ([]partial.Span, error) {
	known := resp.StatusCode == http.StatusPartialContent || strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes")
	if d.cfg.Parallel <= 1 || !known || !note.Resumable() {
		return missing, nil
	}
	var out []partial.Span
	for _, s := range missing {
		for s.Len() > d.cfg.PartSize {
			out = append(out, partial.Span{From: s.From, To: s.From + d.cfg.PartSize})
			s.From += d.cfg.PartSize
		}
		out = append(out, s)
	}
	if len(out) <= 1 {
		return missing, nil
	}
	return out, d.part.Scatter()
}

// spans is what is still to be fetched.
type spans struct {
	mu   sync.Mutex
	left []partial.Span
}

func (q *spans) front() (s partial.Span, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.left) > 0 {
		s, q.left, ok = q.left[0], q.left[1:], true
	}
	return s, ok
}

// back takes from the other end, so that the first response can be read on for long.
func (q *spans) back() (s partial.Span, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.left) - 1; n >= 0 {
		s, q.left, ok = q.left[n], q.left[:n], true
	}
	return s, ok
}

// work fetches one span after the other, from f as long as that has it, which may be nil.
func (d *download) work(ctx context.Context, next func() (partial.Span, bool), f *inflow) error {
	r := &reader{d: d, f: f, buf: make([]byte, copyBuffer)}
	defer r.close()
	for s, ok := next(); ok; s, ok = next() {
		if err := r.read(ctx, s); err != nil {
			return err
		}
		if s.To >= 0 {
			if err := d.part.Have(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// reader fetches spans, one at a time.
type reader struct {
	d   *download
	f   *inflow // nil: none is open
	buf []byte
}

func (r *reader) close() {
	if r.f != nil {
		r.f.resp.Close()
	}
}

// read fetches a span, by several requests if the server gives less than was asked for.
func (r *reader) read(ctx context.Context, s partial.Span) error {
	for at := s.From; s.To < 0 || at < s.To; {
		if r.f == nil || r.f.at != at || r.f.at == r.f.end {
			r.close()
			var err error
			if r.f, err = r.d.askPart(ctx, partial.Span{From: at, To: s.To}); err != nil {
				return err
			}
		}
		part := partial.Span{From: at, To: s.To}
		if r.f.end >= 0 && r.f.end < s.To {
			part.To = r.f.end
		}
		if err := r.d.copy(r.f, part, r.buf); err != nil || s.To < 0 {
			return err
		}
		at = part.To
	}
	return nil
}

// askPart asks for one span.
func (d *download) askPart(ctx context.Context, s partial.Span) (*inflow, error) {
	resp, err := d.ask(ctx, s)
	if err != nil {
		return nil, err
	}
	var f *inflow
	switch resp.StatusCode {
	case http.StatusPartialContent:
		f, err = d.ranged(resp, s)
	case http.StatusOK, http.StatusRequestedRangeNotSatisfiable:
		err = errChanged
	default:
		return nil, d.refuse(resp)
	}
	if err != nil {
		resp.Close()
	}
	return f, err
}

// copyBuffer is how much is read and written at once.
const copyBuffer = 256 << 10

// copy reads a span, or all up to the end if it has none. At the end of what the response
// has, it reads that, too.
func (d *download) copy(f *inflow, s partial.Span, buf []byte) error {
	limit := d.req.MaxBodyBytes
	for {
		piece := buf
		if s.To >= 0 {
			left := s.To - f.at
			if left == 0 && f.at != f.end {
				return nil
			}
			// One byte more shows what is longer than it said.
			piece = buf[:min(int64(len(buf)), max(left, 1))]
		}
		n, err := f.resp.Body.Read(piece)
		if s.To >= 0 && f.at+int64(n) > s.To {
			return f.resp.fail("download", PhaseRead, because(ErrRemoteProtocol, errors.New("a file that is longer than announced")))
		}
		if _, bad := d.part.WriteAt(piece[:n], f.at); bad != nil {
			return fmt.Errorf("write the file: %w", bad)
		}
		d.heed(piece[:n])
		d.meter.add(int64(n), false)
		f.at += int64(n)
		if limit > 0 && f.at > limit {
			return f.resp.fail("download", PhaseRead, tooLargeFile(limit))
		}
		switch {
		case err == io.EOF && s.To >= 0 && f.at < s.To:
			return f.resp.fail("download", PhaseRead, because(ErrRead, io.ErrUnexpectedEOF))
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// finish puts the file in its place.
func (d *download) finish() error {
	size, err := d.part.Size()
	if err != nil {
		return err
	}
	if total := d.part.Note().Total; total >= 0 && size != total {
		return because(ErrRemoteProtocol, fmt.Errorf("the file has %d bytes, not the announced %d", size, total))
	}
	if err := d.verify(size); err != nil {
		return err
	}
	if err := d.part.Commit(!d.cfg.NoReplace); err != nil {
		return err
	}
	d.part = nil
	d.result.Path, d.result.Size = filepath.Join(d.path, d.name), size
	return nil
}
