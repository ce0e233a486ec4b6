package parley

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/sock"
)

// tellGetConn says that a connection is about to be looked for.
func (x *exchange) tellGetConn(key connKey) {
	f := x.buf.trace.GetConn
	switch {
	case f == nil:
	case key.proxy.direct():
		f(key.address())
	default:
		proxy := key.proxy.hop()
		f(proxy.address())
	}
}

// tellGotConn shows the connection that was found, as its dialer made it or as the
// handshake did.
func (x *exchange) tellGotConn(got connpool.Got) {
	f := x.buf.trace.GotConn
	if f == nil {
		return
	}
	info := httptrace.GotConnInfo{Reused: got.Reused, WasIdle: got.Idle > 0, IdleTime: got.Idle}
	if c := x.conn(); c.tls != nil {
		info.Conn = c.tls
	} else {
		info.Conn = c.sock.Conn
	}
	f(info)
}

// tellHead shows the header lines of an encoded head. Lines of one name that follow
// each other are one field.
func tellHead(t *httptrace.ClientTrace, head []byte) {
	if t.WroteHeaderField != nil {
		_, lines, _ := strings.Cut(string(head), "\r\n")
		name, values := "", []string(nil)
		for line := range strings.SplitSeq(lines, "\r\n") { // ends with an empty one
			next, value, _ := strings.Cut(line, ":")
			if next != name && name != "" {
				t.WroteHeaderField(name, values)
				values = nil
			}
			name, values = next, append(values, strings.TrimSpace(value))
		}
	}
	if t.WroteHeaders != nil {
		t.WroteHeaders()
	}
}

// tellWritten says how writing the request went.
func tellWritten(t *httptrace.ClientTrace, ctx context.Context, err error) {
	if t == nil || t.WroteRequest == nil {
		return
	}
	var source *sourceError
	switch {
	case errors.As(err, &source):
		err = source.err
	case errors.Is(err, sock.ErrCancelled):
		err = contextError(ctx)
	}
	t.WroteRequest(httptrace.WroteRequestInfo{Err: err})
}

// tellWritten says how the upload went. One that the server had no use for, having
// been asked, went well.
func (u *upload) tellWritten(err error) {
	switch {
	case !errors.Is(err, errStopped):
	case u.waiting():
		err = nil
	case u.ctx.Err() != nil: // which is why it was stopped
		err = sock.ErrCancelled
	}
	tellWritten(u.trace, u.ctx, err)
}

// tell1xx shows an interim answer. continues says that it is the one which lets the
// body go.
func tell1xx(t *httptrace.ClientTrace, continues bool, status int, header http.Header) error {
	if continues && t.Got100Continue != nil {
		t.Got100Continue()
	}
	if t.Got1xxResponse == nil {
		return nil
	}
	if err := t.Got1xxResponse(status, textproto.MIMEHeader(header)); err != nil {
		return &sourceError{fmt.Errorf("Got1xxResponse: %w", err)}
	}
	return nil
}

// notIdle is the error for a connection that was closed instead of kept; nil for
// no reason.
func notIdle(closed connpool.Reason) error {
	switch closed {
	case 0:
		return nil
	case connpool.ReasonPoolClosed:
		return ErrClientClosed
	}
	return fmt.Errorf("the connection was closed: %s", closed)
}
