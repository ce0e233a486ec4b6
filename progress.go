package parley

import (
	"io"
	"math"
	"net/http"
	"os"
	"sync"
	"time"
)

// Progress is how far the transfer of a body has come.
type Progress struct {
	Bytes int64 // so far
	Total int64 // -1: not known
	// Rate is in bytes a second: an average in which about the last two seconds count,
	// and in the last report that of the whole transfer. Zero until it can be told.
	Rate    float64
	Elapsed time.Duration // since the first byte was waited for
	Done    bool          // all of it was transferred; nothing more is reported of it
}

const (
	progressEvery  = 100 * time.Millisecond // no two reports come closer, but the last
	progressWindow = 2 * time.Second        // what Rate looks back on
)

// WithUploadProgress reports how much of the body of a request was given to its
// connection: at most ten times a second, and once more when all of it was. A body in
// memory that is written at once has that one report, a request without content none, and
// an upload that fails or is stopped no last one. Bytes are counted as they are sent, which
// is after compression; Total is the Content-Length, or -1. Where the body is sent again,
// after a redirect, a challenge or on another connection, the count begins anew.
//
// f runs on the goroutine that sends the body, which waits for it. It is never called
// twice at a time for one call, not together with what [WithDownloadProgress] was given
// either. It may be called until the response is closed, for an upload that goes on beside
// its answer. nil takes back what the session says.
func WithUploadProgress(f func(Progress)) Option {
	return option(func(s *settings) error {
		s.conduct.sending.upload = progressFunc(f)
		return nil
	})
}

// WithDownloadProgress reports how much of the body of a response has come, whoever reads
// it: at most ten times a second, and once more at its end. Bytes are counted as they
// come, which is before decoding, and Total is the Content-Length of the answer, or -1.
// Redirects that are followed and answers without content are not reported, nor is what a
// Close still reads. Where a call has several answers that are read the count begins anew
// with each.
//
// f runs on the goroutine that reads, which waits for it. For the rest see
// [WithUploadProgress].
func WithDownloadProgress(f func(Progress)) Option {
	return option(func(s *settings) error {
		s.conduct.sending.download = progressFunc(f)
		return nil
	})
}

// progressFunc gives f, or what says that there is none.
func progressFunc(f func(Progress)) *func(Progress) {
	if f == nil {
		return new(func(Progress))
	}
	return &f
}

// progress is what the reports of one call share.
type progress struct {
	mu               sync.Mutex // held while a report is made
	upload, download *meter     // of the latest transfer each way
}

// meter follows one transfer. Only the goroutine that transfers uses it.
type meter struct {
	of    *progress
	place **meter // in of
	tell  func(Progress)
	total int64

	bytes     int64
	before    int64 // of bytes: what was there before the transfer
	began     time.Time
	told      time.Time // when it was last reported, or began
	toldBytes int64
	rate      float64 // 0: not known yet
	done      bool
}

// meterUpload gives what follows the sending of a body, nil if nobody wants to know.
func (r *Request) meterUpload(total int64) *meter {
	if r.conduct == nil || r.conduct.sending.upload == nil || *r.conduct.sending.upload == nil {
		return nil
	}
	p := r.conduct.sending.shared()
	return p.meter(&p.upload, *r.conduct.sending.upload, total)
}

// meterDownload is meterUpload for the body of an answer.
func (r *Request) meterDownload(total int64) *meter {
	if r.conduct == nil || r.conduct.sending.download == nil || *r.conduct.sending.download == nil {
		return nil
	}
	p := r.conduct.sending.shared()
	return p.meter(&p.download, *r.conduct.sending.download, total)
}

// measure lets the reading of an answer's body be followed.
func (r *Request) measure(resp *Response) {
	if resp.Body == http.NoBody || r.discards(resp) {
		return
	}
	if m := r.meterDownload(resp.ContentLength); m != nil {
		resp.Body = &meteredBody{resp.Body, m, nil}
	}
}

// measured gives the conduct of one call, in which its reports are told from those of
// others; c itself where nobody wants reports.
func (c *conduct) measured() *conduct {
	if c == nil || c.sending.upload == nil && c.sending.download == nil {
		return c
	}
	own := *c
	own.sending.live = new(progress)
	return &own
}

// shared gives what the reports of the call share; for a request that goes to a transport
// without a session each transfer is a call of its own.
func (s *sending) shared() *progress {
	if s.live == nil {
		return new(progress)
	}
	return s.live
}

// meter begins a transfer. What an earlier one still does is not reported any more.
func (p *progress) meter(place **meter, tell func(Progress), total int64) *meter {
	m := &meter{of: p, place: place, tell: tell, total: max(total, -1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	*place = m
	return m
}

// start is called before bytes are waited for.
func (m *meter) start() {
	if m.began.IsZero() {
		m.began = time.Now()
		m.told = m.began
	}
}

// add counts bytes; ended says that there are no more.
func (m *meter) add(n int64, ended bool) {
	m.bytes += n
	last := ended || m.total >= 0 && m.bytes >= m.total
	now := time.Now()
	if m.done || !last && now.Sub(m.told) < progressEvery {
		return
	}
	m.done = last
	m.follow(now)
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if *m.place == m {
		m.tell(Progress{Bytes: m.bytes, Total: m.total, Rate: m.rate, Elapsed: now.Sub(m.began), Done: last})
	}
}

// follow works out the rate. Each report counts for as much of the window as it covers.
func (m *meter) follow(now time.Time) {
	since := now.Sub(m.told).Seconds()
	if whole := now.Sub(m.began).Seconds(); m.done && whole > 0 {
		m.rate = float64(m.bytes-m.before) / whole
	} else if since > 0 {
		latest := float64(m.bytes-m.toldBytes) / since
		weight := 1 - math.Exp(-since/progressWindow.Seconds())
		if m.rate == 0 {
			weight = 1
		}
		m.rate += weight * (latest - m.rate)
	}
	m.told, m.toldBytes = now, m.bytes
}

// meteredBody counts what is read from a body. It may be a file: see fileSource.
type meteredBody struct {
	io.ReadCloser
	meter *meter
	files fileSource // nil: none
}

func (b *meteredBody) Read(p []byte) (int, error) {
	b.meter.start()
	n, err := b.ReadCloser.Read(p)
	if n > 0 || err == io.EOF {
		b.meter.add(int64(n), err == io.EOF)
	}
	return n, err
}

func (b *meteredBody) stretch() (*os.File, int64) {
	if b.files == nil {
		return nil, 0
	}
	b.meter.start()
	return b.files.stretch()
}

func (b *meteredBody) passed(n int64) {
	b.files.passed(n)
	b.meter.add(n, false)
}
