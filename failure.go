package parley

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sock"
)

// failure is why an exchange did not lead to a response.
type failure struct {
	err    *Error
	reason connpool.Reason
	broken bool // the connection failed, not a limit, the caller or HTTP
	// misdirected: the connection is the wrong one for the request. There is no err.
	misdirected bool

	// Of HTTP/2 alone.
	refused bool // the server has not acted on the request and says so
	left    bool // as it takes no more on the connection, which others had shared
	http1   bool // it wants HTTP/1.1 for it
}

// maxRefusals is how often a request is sent again that came too late for a connection: as
// many as n requests at once can need where a connection takes n/32 of them.
const maxRefusals = 32

// refusedAgain reports whether a request that was refused a number of times before may be
// sent again. Where a server takes some requests and no more on a connection each one
// takes up some of those that wait (RFC 9113, section 6.8); any other refusal is likely to
// be repeated.
func (f *failure) refusedAgain(before int) bool {
	return f.refused && (before == 0 || f.left && before < maxRefusals)
}

func (x *exchange) failWrite(err error) *failure {
	f := &failure{reason: connpool.ReasonError, broken: broken(err)}
	f.err = x.failIO(PhaseWrite, x.sent(), err)
	return f
}

// sent tells whether the peer can have seen the request. While an upload goes on
// its next write may be on its way, counted or not.
func (x *exchange) sent() Sent {
	uploads := false
	if x.up != nil {
		_, ended := x.up.result()
		uploads = !ended
	}
	switch {
	case x.began:
		return Answering
	case x.wrote || uploads || x.conn().sock.Written() > 0:
		return MaybeSent
	}
	return NotSent
}

// broken tells a failing connection from limits, cancellation and malformed data.
func broken(err error) bool {
	var malformed *h1.ParseError
	var source *sourceError
	return !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, sock.ErrCancelled) &&
		!errors.Is(err, sock.ErrInterrupted) && !errors.As(err, &malformed) && !errors.As(err, &source)
}

// failAcquire makes the error of a request that got no connection.
func (x *exchange) failAcquire(key connKey, got connpool.Got, err error) *Error {
	phase, limit, err := x.pool.acquireError(x.ctx, key, *x.limit, got, x.req.security.noteStale(err))
	if limit > 0 {
		x.pool.countTimeout(phase)
	}
	sent := NotSent
	if x.wrote {
		sent = MaybeSent
	}
	e := x.fail(phase, sent, err)
	e.Limit = max(e.Limit, limit)
	return e
}

// failRead makes the error of a body that could not be read. If the upload that went
// on beside it failed by itself, that is why.
func (x *exchange) failRead(err error) *Error {
	if errors.Is(err, sock.ErrWriteLate) {
		return x.failIO(PhaseWrite, Answering, err)
	}
	if x.up != nil {
		var source *sourceError
		upErr, _ := x.up.result()
		if errors.Is(upErr, os.ErrDeadlineExceeded) || errors.As(upErr, &source) {
			return x.failIO(PhaseWrite, Answering, upErr)
		}
	}
	return x.failIO(PhaseRead, Answering, err)
}

// failIO makes an *Error of a failed read or write.
func (x *exchange) failIO(phase Phase, sent Sent, err error) *Error {
	limit := time.Duration(0)
	var malformed *h1.ParseError
	var source *sourceError
	switch {
	case errors.As(err, &source):
		err = source.err
	case errors.Is(err, sock.ErrCancelled):
		err = contextError(x.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		limit, err = x.phaseLimit(phase, err)
		x.pool.countTimeout(phase)
	case errors.As(err, &malformed):
		err = because(ErrRemoteProtocol, err)
	case refusedByPeer(err):
		err = x.req.security.noteStale(because(ErrTLS, explainTLS(x.req.URL.Hostname(), "WithRootCAs", err)))
	case phase == PhaseWrite:
		err = because(ErrWrite, orClosed(err))
	case errors.Is(err, io.EOF) || phase == PhaseResponse && errors.Is(err, io.ErrUnexpectedEOF):
		err = &cause{kind: ErrPeerClosed, detail: "before the response was complete", err: io.ErrUnexpectedEOF}
	case phase == PhaseResponse:
		err = because(ErrRead, orClosed(err))
	default:
		err = because(ErrRead, err)
	}
	e := x.fail(phase, sent, err)
	e.Limit = max(e.Limit, limit)
	return e
}

// orClosed marks the error of a connection that the peer reset instead of answering.
func orClosed(err error) error {
	if isReset(err) {
		return because(ErrPeerClosed, err)
	}
	return err
}

func isReset(err error) bool {
	return slices.ContainsFunc(resets, func(e error) bool { return errors.Is(err, e) })
}

func (x *exchange) phaseLimit(phase Phase, err error) (time.Duration, error) {
	switch phase {
	case PhaseWrite:
		return x.limit.Write, timedOut(ErrWriteTimeout, x.limit.Write, err)
	case PhaseResponse:
		return x.limit.Response, timedOut(ErrResponseTimeout, x.limit.Response, err)
	default:
		return x.limit.Read, timedOut(ErrReadTimeout, x.limit.Read, err)
	}
}

func (x *exchange) fail(phase Phase, sent Sent, err error) *Error {
	return &Error{
		Op: "send", Method: x.req.Method, URL: withoutUser(x.req.URL), Phase: phase, Sent: sent,
		Attempt: int(x.rec.attempt), Elapsed: x.rec.since(), Limit: totalOf(err), Err: err,
	}
}
