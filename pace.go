package parley

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// pace is what WithMinThroughput asks for; zero: nothing is said.
type pace struct {
	bytes  int64 // less than 0: any pace will do
	window time.Duration
}

func (p pace) wanted() bool { return p.bytes > 0 }

// String gives "1024 bytes in 30s".
func (p pace) String() string { return fmt.Sprintf("%d bytes in %v", p.bytes, p.window) }

// WithMinThroughput ends a response whose body crawls: while it is being read, each
// further n bytes must come within window, or reading fails with ErrTooSlow, which is
// also ErrTimeout, and the connection is closed. Time counts only while a read waits for
// the peer, not what the reader does in between; bytes count as they are on the wire,
// before decoding. The last bytes of a body need not be n, but come within window too.
// No default; with 0 bytes a request takes back what its session says.
//
// Where Timeouts.Read bounds each wait, so that one byte is enough, this bounds the
// average. Uploads need no such rule: Timeouts.Write bounds the wait for every 256 KiB.
func WithMinThroughput(n int64, window time.Duration) Option {
	return option(func(s *settings) error {
		switch {
		case n < 0 || n > 0 && window <= 0:
			return failed("WithMinThroughput needs a number of bytes and a window above 0, not %d bytes in %v", n, window)
		case n == 0:
			s.conduct.pace = pace{bytes: -1}
		default:
			s.conduct.pace = pace{n, window}
		}
		return nil
	})
}

// keepPace puts the body of an answer under the rule of its request.
func (r *Request) keepPace(resp *Response) {
	if c := r.conduct; c != nil && c.pace.wanted() && resp.Body != http.NoBody {
		resp.Body = &pacedBody{ReadCloser: resp.Body, resp: resp, pace: c.pace}
	}
}

// pacedBody bounds how long the reading of a number of bytes may wait.
type pacedBody struct {
	io.ReadCloser
	resp *Response
	pace pace

	mu     sync.Mutex
	timer  *time.Timer
	due    time.Time // when the read that waits is late; zero: none waits
	late   bool
	got    int64         // in this window
	waited time.Duration // in this window
}

func (b *pacedBody) Read(p []byte) (int, error) {
	began := b.begin()
	n, err := b.ReadCloser.Read(p)
	if b.end(began, n) {
		return n, b.tooSlow()
	}
	return n, err
}

// begin sets the timer for a read.
func (b *pacedBody) begin() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	left := b.pace.window - b.waited
	b.due = now.Add(left)
	if b.timer == nil {
		b.timer = time.AfterFunc(left, b.expire)
	} else {
		b.timer.Reset(left)
	}
	return now
}

// expire is the timer. It may be that of a read which has ended.
func (b *pacedBody) expire() {
	b.mu.Lock()
	b.late = b.late || !b.due.IsZero() && !time.Now().Before(b.due)
	late := b.late
	b.mu.Unlock()
	if late {
		b.ReadCloser.Close() // ends the read, which says why
	}
}

// end counts what a read gave and reports whether it came too late.
func (b *pacedBody) end(began time.Time, n int) (late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Stop()
	b.due = time.Time{}
	b.waited += time.Since(began)
	if b.got += int64(n); b.got >= b.pace.bytes {
		b.got, b.waited = 0, 0
	}
	return b.late
}

func (b *pacedBody) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	return err
}

func (b *pacedBody) tooSlow() error {
	err := fmt.Errorf("less than %v", b.pace)
	e := b.resp.fail("read", PhaseRead, timedOut(ErrTooSlow, 0, err))
	e.Limit = b.pace.window
	return e
}
