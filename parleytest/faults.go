package parleytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-0474a412/parley"
)

// fault is how a call is to fail.
type fault struct {
	phase parley.Phase
	sent  parley.Sent
	limit time.Duration
	err   error
	waits bool // the limit of the phase passes before
}

// Fail is an answer of a [Mock] that is an error, at once: one of parley's kinds, as in
// Fail(parley.ErrConnect), or any other. Phase and Sent of the *[parley.Error] are those
// that the kind has over a network; to say them differently give a *parley.Error:
//
//	parleytest.Fail(&parley.Error{Phase: parley.PhaseWrite, Sent: parley.NotSent, Err: parley.ErrWrite})
//
// A handler of one's own may call it (Fail(err).ServeHTTP(w, r)), also when it has written
// some of the answer: what was flushed is read first, then comes the error.
//
// With a server of net/http it breaks the connection off, whatever err is.
func Fail(err error) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		breakOff(r, faultOf(err))
	})
}

// breakOff ends a handler with a fault, or by breaking off the connection.
func breakOff(r *http.Request, f *fault) {
	if a, ok := r.Context().Value(answeringKey{}).(*answering); ok {
		a.breakOff(f)
	}
	panic(http.ErrAbortHandler)
}

// faultOf gives an error the place that it has over a network.
func faultOf(err error) *fault {
	if e, ok := err.(*parley.Error); ok && e != nil {
		return &fault{phase: e.Phase, sent: e.Sent, limit: e.Limit, err: e.Err}
	}
	if err == nil {
		err = errors.New("parleytest: Fail(nil): there is no error to fail with")
	}
	f := &fault{phase: parley.PhaseResponse, sent: parley.MaybeSent, err: err}
	for _, k := range []struct {
		kind  error
		phase parley.Phase
		sent  parley.Sent
	}{
		{parley.ErrPoolTimeout, parley.PhasePool, parley.NotSent},
		{parley.ErrConnect, parley.PhaseConnect, parley.NotSent},
		{parley.ErrConnectTimeout, parley.PhaseConnect, parley.NotSent},
		{parley.ErrTLS, parley.PhaseConnect, parley.NotSent},
		{parley.ErrProxy, parley.PhaseConnect, parley.NotSent},
		{parley.ErrLocalProtocol, parley.PhaseRequest, parley.NotSent},
		{parley.ErrInvalidURL, parley.PhaseRequest, parley.NotSent},
		{parley.ErrUnsupportedProtocol, parley.PhaseRequest, parley.NotSent},
		{parley.ErrWrite, parley.PhaseWrite, parley.MaybeSent},
		{parley.ErrWriteTimeout, parley.PhaseWrite, parley.MaybeSent},
		{parley.ErrRemoteProtocol, parley.PhaseResponse, parley.Answering},
		{parley.ErrReadTimeout, parley.PhaseRead, parley.Answering},
		{parley.ErrTooSlow, parley.PhaseRead, parley.Answering},
	} {
		if errors.Is(err, k.kind) {
			f.phase, f.sent = k.phase, k.sent
			break
		}
	}
	return f
}

// Timeout is an answer that never comes: the call waits in that phase until the request's
// limit for it has passed (see [parley.Timeouts]), and fails as it would over a network; or
// until its context ends. The phases are Pool, Connect, Write, Response and Read, which
// has a head before; other ones fail the call at once. In a bubble of testing/synctest it
// takes no time.
//
// A server of net/http can let a client wait for the response or the body alone: the
// phases before Response are as Response there.
func Timeout(phase parley.Phase) http.Handler {
	kinds := map[parley.Phase]error{
		parley.PhasePool:    parley.ErrPoolTimeout,
		parley.PhaseConnect: parley.ErrConnectTimeout,
		parley.PhaseWrite:   parley.ErrWriteTimeout,
	}
	switch kind, known := kinds[phase], phase == parley.PhaseResponse; {
	case phase == parley.PhaseRead:
		return Stall(0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	case known:
		return http.HandlerFunc(hold)
	case kind == nil:
		return Fail(fmt.Errorf("parleytest: Timeout(%q): this phase has no limit", phase))
	default:
		f := *faultOf(kind)
		f.waits = true
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := r.Context().Value(answeringKey{}).(*answering); ok {
				breakOff(r, &f)
			}
			hold(w, r)
		})
	}
}

// hold reads the request and then waits until the client is gone.
func hold(_ http.ResponseWriter, r *http.Request) {
	readAll(r) // else a server does not see the client go
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// readAll reads the rest of a request, so that it is in the history.
func readAll(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // how it ends is the transport's to see
}

// After gives the answer of h after a delay, or none if the request has ended before. In a
// bubble of testing/synctest it takes no time.
func After(delay time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pause(r.Context(), delay) {
			h.ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	})
}

// pause waits, and reports whether the context goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Cut breaks the answer of h off when n bytes of its content have been sent, or at its end
// if it has no more: reading the body fails with [parley.ErrRead] and
// [io.ErrUnexpectedEOF]. An answer that can have no content comes as it is.
func Cut(n int, h http.Handler) http.Handler {
	err := fmt.Errorf("%w: %w", parley.ErrRead, io.ErrUnexpectedEOF)
	return shortened(n, h, Fail(err).ServeHTTP)
}

// Stall sends n bytes of the content of h, or all if it has no more, and then nothing
// until the client has gone: reading the body runs into [parley.Timeouts].Read. An answer
// that can have no content comes as it is.
func Stall(n int, h http.Handler) http.Handler { return shortened(n, h, hold) }

// shortened runs h until it has written n bytes, and then end, which does not return.
func shortened(n int, h http.Handler, end http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &shortWriter{ResponseWriter: w, left: int64(n), bare: r.Method == http.MethodHead, end: func() {
			_ = http.NewResponseController(w).Flush() // fails if the client is gone, which end sees
			end(w, r)
		}}
		h.ServeHTTP(sw, r)
		if !sw.bare {
			sw.end()
		}
	})
}

// shortWriter takes some bytes and then ends the handler.
type shortWriter struct {
	http.ResponseWriter
	left  int64
	begun bool // the status has been chosen
	bare  bool // there can be no content
	end   func()
}

// Unwrap is for http.ResponseController.
func (w *shortWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader keeps a length to itself that would make the answer complete.
func (w *shortWriter) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun = true
		w.bare = w.bare || status == http.StatusNoContent || status == http.StatusNotModified
		length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
		if err == nil && length <= w.left && !w.bare {
			w.Header().Del("Content-Length")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *shortWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.bare {
		return w.ResponseWriter.Write(p)
	}
	n, err := w.ResponseWriter.Write(p[:min(w.left, int64(len(p)))])
	w.left -= int64(n)
	if err == nil && n < len(p) {
		w.end()
	}
	return n, err
}

func (w *shortWriter) Flush() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // has no other way to fail
}
