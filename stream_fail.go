package parley

import (
	"errors"
	"io"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h2"
)

// failure gives an error of net/http its kind, phase and Sent.
func (s *stream) failure(phase Phase, err error) *failure {
	x := s.x
	f := &failure{reason: connpool.ReasonError}
	sent := MaybeSent
	if x.began || phase == PhaseRead {
		sent = Answering
	}
	if f.err = s.ownFailure(phase, sent, err); f.err != nil {
		return f
	}
	if errors.Is(err, ErrRemoteProtocol) { // of the head, which has come
		f.err = x.fail(phase, Answering, err)
		return f
	}
	kind := h2.KindOf(err)
	if sent == MaybeSent && (kind == h2.Unsent || kind == h2.HTTP1) {
		f.refused = true
		f.left = kind == h2.Unsent && s.conn.carried.Load() > 1 && !errors.As(err, new(h2.StreamError))
		f.http1 = kind == h2.HTTP1 && s.entry.Key().proto == protoALPN
	}
	if sent == MaybeSent && !x.wrote && (f.refused || kind == h2.TooLarge) {
		sent = NotSent
	}
	f.broken = kind == h2.Other || kind == h2.Closed || kind == h2.Lost || kind == h2.Broken
	f.err = x.fail(phase, sent, kindOfStream(kind, err))
	return f
}

// ownFailure gives the error of a try that was ended from this side, be it by a limit, by
// its context, by a hook or by the body of the request; nil if it was not.
func (s *stream) ownFailure(phase Phase, sent Sent, err error) *Error {
	x := s.x
	if late := s.watch.passed(); late != nil {
		x.pool.countTimeout(late.phase)
		_, kind := s.watch.limit.limitOf(late.phase)
		e := x.fail(late.phase, sent, timedOut(kind, late.limit, nil))
		e.Limit = late.limit
		return e
	}
	if x.ctx.Err() != nil {
		return x.fail(phase, sent, contextError(x.ctx))
	}
	var wrong *sourceError
	if errors.As(err, &wrong) || errors.As(s.body.failure(), &wrong) {
		return x.fail(PhaseWrite, sent, wrong.err)
	}
	return nil
}

// kindOfStream wraps an error of net/http.
func kindOfStream(kind h2.Kind, err error) error {
	err = h2.Brief(err)
	switch kind {
	case h2.HTTP1:
		return because(ErrUnsupportedProtocol, err)
	case h2.Unsent, h2.Reset, h2.Closed:
		return because(ErrPeerClosed, err)
	case h2.Broken:
		return &cause{kind: ErrPeerClosed, detail: "while another request was sent", err: io.ErrUnexpectedEOF}
	case h2.Malformed:
		return because(ErrRemoteProtocol, err)
	case h2.TooLarge:
		return because(ErrLocalProtocol, err)
	case h2.Other:
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &cause{kind: ErrPeerClosed, detail: "before the response was complete", err: io.ErrUnexpectedEOF}
		}
	}
	return because(ErrRead, orClosed(err))
}
