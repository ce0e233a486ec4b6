package parley

import (
	"io"
	"sync"
)

// open opens the body of the request, of which size bytes (-1: as many as there are) will
// be sent. For a try that waits for leave to send it, what can be read once only is opened
// by the first Read, so that it can still be sent if it was never asked for.
func (r *Request) open(size int64, waits bool) (io.ReadCloser, error) {
	body, err := r.openPlain(waits)
	if err != nil {
		return nil, err
	}
	if m := r.meterUpload(size); m != nil {
		return &meteredBody{body, m, filesIn(body)}, nil
	}
	return body, nil
}

// content gives the body where it needs no reader; nil where it does, also because
// somebody wants to know how its sending goes on.
func (r *Request) content() []byte {
	if c := r.conduct; c != nil && c.sending.upload != nil && *c.sending.upload != nil {
		return nil
	}
	return contentOf(r.Body)
}

func (r *Request) openPlain(waits bool) (io.ReadCloser, error) {
	if waits && !r.Body.Replayable() && untouched(r.Body) {
		return &lateBody{body: r.Body}, nil
	}
	return r.Body.Open()
}

// lateBody is a body that is opened when it is read.
type lateBody struct {
	body Body

	mu     sync.Mutex
	opened io.ReadCloser // nil: not yet
	closed bool
}

func (b *lateBody) Read(p []byte) (int, error) {
	r, err := b.open()
	if err != nil {
		return 0, err
	}
	return r.Read(p)
}

func (b *lateBody) open() (_ io.Reader, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errStopped
	case b.opened == nil:
		b.opened, err = b.body.Open()
	}
	return b.opened, err
}

func (b *lateBody) Close() error {
	b.mu.Lock()
	opened := b.opened
	b.closed = true
	b.mu.Unlock()
	if opened == nil {
		return nil
	}
	return opened.Close()
}
