package parley

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// AfterBody calls f once, when the body has been read to its end, has failed or is
// closed; at once where there is none or it is in memory already. err is what reading it
// failed with, nil where it ended or was closed. After a 101 or a CONNECT that succeeded
// it is the end of the connection, also of the one that [Response.Conn] gives.
//
// It is for middleware that accounts for what a response holds on to, and must be called
// before the response is passed on. f runs where the body is read or closed, before that
// returns. Of several functions the one that was set first is called first.
func (r *Response) AfterBody(f func(err error)) {
	if r.loaded || r.failed != nil || r.Body == nil || r.Body == http.NoBody {
		f(r.failed)
		return
	}
	r.Body = hookBody(r.Body, f)
}

// afterBody calls f once, when the body has ended or is closed.
func afterBody(body io.ReadCloser, f func()) io.ReadCloser {
	return hookBody(body, func(error) { f() })
}

// hookBody calls f once, when the body has ended, failed or is closed: see
// [Response.AfterBody].
func hookBody(body io.ReadCloser, f func(err error)) io.ReadCloser {
	return (&hookedBody{ReadCloser: body, f: f}).writable()
}

// writable gives the body with the Write that the one beneath may have.
func (b *hookedBody) writable() io.ReadCloser {
	if w, ok := b.ReadCloser.(io.Writer); ok {
		return struct {
			*hookedBody
			io.Writer
		}{b, w}
	}
	return b
}

type hookedBody struct {
	io.ReadCloser
	f    func(err error)
	once sync.Once
}

func (b *hookedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended(err)
	}
	return n, err
}

func (b *hookedBody) Close() error {
	err := b.ReadCloser.Close()
	b.ended(nil)
	return err
}

// ended tells how the body ended. That somebody closed it is no failure.
func (b *hookedBody) ended(err error) {
	b.once.Do(func() {
		if err == io.EOF || errors.Is(err, errBodyClosed) {
			err = nil
		}
		b.f(err)
	})
}
