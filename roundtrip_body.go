package parley

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// ofConnection are headers that have no meaning in HTTP/2 (RFC 9113, section 8.2.2), and
// would have one for whoever sends them on by HTTP/1.1.
var ofConnection = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

// respond makes the response.
func (f *roundTrip) respond(hr *http.Response) *Response {
	f.rec.answered = sock.Now()
	resp := &Response{
		StatusCode: hr.StatusCode, Status: cmp.Or(hr.Status, statusLine(hr.StatusCode)), Proto: hr.Proto, Header: hr.Header,
		ContentLength: hr.ContentLength, Body: hr.Body, Request: f.req, TLS: hr.TLS,
		Uncompressed: hr.Uncompressed, rec: &f.rec,
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	if hr.ProtoMajor >= 2 {
		for _, name := range ofConnection {
			delete(resp.Header, name)
		}
	}
	if hr.Body == nil || hr.Body == http.NoBody {
		resp.Body = http.NoBody
		f.rec.ended = f.rec.answered
		f.finish()
		return resp
	}
	body := &roundTripBody{f: f, rc: hr.Body, from: hr, resp: resp}
	if switched(f.req.Method, hr.StatusCode) {
		f.watch.stop()
		resp.Body = newUpgradedBody(body)
		return resp
	}
	f.mu.Lock()
	f.in = body
	f.mu.Unlock()
	resp.Body = body
	return resp
}

// roundTripBody is the body of a response of an http.RoundTripper.
type roundTripBody struct {
	f    *roundTrip
	rc   io.ReadCloser
	from *http.Response
	resp *Response

	mu      sync.Mutex // of the one that reads
	err     error      // what every further Read gives
	closing atomic.Bool
}

func (b *roundTripBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.lastError()
	}
	b.f.watch.begin(PhaseRead)
	n, err := b.rc.Read(p)
	b.f.watch.begin("")
	switch {
	case err == nil:
		return n, nil
	case b.closing.Load():
		b.err = errBodyClosed
	case err == io.EOF && b.f.watch.passed() == nil:
		b.err = io.EOF
		b.resp.Trailer = trailersOf(b.from)
		b.f.rec.ended = sock.Now()
	default:
		b.err = b.f.failure(PhaseRead, err)
	}
	b.f.finish()
	return n, b.lastError()
}

func (b *roundTripBody) lastError() error {
	if b.err == errBodyClosed {
		return b.resp.closedError()
	}
	return b.err
}

// Close reads what little is left of a body, so that the connection can be used again,
// and ends a Read that goes on.
func (b *roundTripBody) Close() error {
	if b.closing.Swap(true) {
		return nil
	}
	if !b.mu.TryLock() {
		err := b.rc.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.shut()
		return err
	}
	defer b.mu.Unlock()
	if b.err == nil {
		late := time.AfterFunc(drainWait, func() { b.rc.Close() })
		_, err := io.CopyN(io.Discard, b.rc, maxDrain+1)
		if !late.Stop() || err != io.EOF {
			b.f.cancel(context.Canceled)
		}
	}
	err := b.rc.Close()
	b.shut()
	return err
}

func (b *roundTripBody) shut() {
	if b.err == nil || b.err == io.EOF {
		b.err = errBodyClosed
	}
	b.f.finish()
}

// trailersOf gives the trailers that have come.
func trailersOf(resp *http.Response) http.Header {
	var out http.Header
	for name, values := range resp.Trailer {
		if values != nil {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = values
		}
	}
	return out
}

// newUpgradedBody is what follows a 101 or a CONNECT that succeeded: without limits,
// and a connection if the http.RoundTripper lets it be written.
func newUpgradedBody(b *roundTripBody) io.ReadCloser {
	ending := &hookedBody{ReadCloser: b.rc, f: func(error) { b.f.finish() }}
	w, ok := b.rc.(io.ReadWriteCloser)
	if !ok {
		return ending
	}
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return &foreignConn{ReadWriteCloser: struct {
		io.ReadCloser
		io.Writer
	}{ending, w}, beneath: b.f.conn}
}
