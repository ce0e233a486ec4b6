package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// retrying is one request under its policy.
type retrying struct {
	policy *RetryPolicy
	budget *RetryBudget
	next   Transport
	req    *Request
	tries  []Try
	began  time.Duration // as package sock counts; zero: the call tells
}

// run tries until an answer or a failure is the caller's.
func (r *retrying) run(ctx context.Context) (*Response, error) {
	if r.req.call == nil {
		r.began = sock.Now()
	} else {
		r.began = r.req.call.began
	}
	for {
		start, held := sock.Now(), r.held()
		resp, hedged, err := r.once(ctx)
		t := Try{
			Number: len(r.tries) + 1, Request: r.req, Response: resp, Err: err,
			Start: start - r.began, Took: sock.Now() - start, Hedged: hedged,
			Holds: r.heldSince(held),
		}
		useful := r.judge(ctx, &t)
		r.tries = append(r.tries, t)
		if f := r.policy.OnTry; f != nil {
			f(ctx, t)
		}
		switch {
		case t.Again:
		case err != nil:
			return nil, r.fail(err, useful)
		default:
			resp.Tries = r.tries
			return resp, nil
		}
		if resp != nil {
			resp.Close() // what it says is not needed; a little is drained, so that the connection can be used again
		}
		if err := wait(ctx, t.Wait); err != nil {
			return nil, r.interrupted(ctx)
		}
	}
}

// held gives how far the call's list of holds has come.
func (r *retrying) held() *holdEntry {
	if r.req.call == nil {
		return nil
	}
	return r.req.call.holds.last.Load()
}

// heldSince gives what has come to that list since; nothing for a request that belongs to
// no call.
func (r *retrying) heldSince(mark *holdEntry) []Hold {
	if r.req.call == nil {
		return nil
	}
	return r.req.call.holds.since(mark)
}

// judge says of a try whether another one follows, and why. useful tells whether another
// one would be of use if only it were allowed.
func (r *retrying) judge(ctx context.Context, t *Try) (useful bool) {
	v := r.policy.verdict(ctx, t)
	t.Again, t.Wait, t.Reason = v.again, v.wait, v.reason
	if f := r.policy.Judge; f != nil {
		f(ctx, t)
		if t.Wait = max(t.Wait, 0); t.Again != v.again {
			t.Reason = "the policy's Judge says so"
		}
	}
	if !t.Again {
		return v.useful
	}
	refused, due := "", max(t.Wait, t.serverWait())
	switch {
	case ctx.Err() != nil:
		refused = "the context has ended"
	case r.policy.Tries > 0 && t.Number >= r.policy.Tries:
		refused = fmt.Sprintf("%d of %d", t.Number, r.policy.Tries)
	case !canSendAgain(r.req.Body):
		refused = "the body cannot be sent again"
		if t.Err != nil {
			t.Err = withCause(t.Err, func(err error) error { return because(ErrBodyNotRewindable, err) })
		}
	case due >= r.req.timeLeft(ctx):
		refused = fmt.Sprintf("the deadline comes before a wait of %v ends", due.Round(time.Millisecond))
	case !r.budget.withdraw():
		refused = "the retry budget is spent"
	}
	if refused != "" {
		t.Again, t.Wait, t.Reason = false, 0, refused
	}
	return true
}

// serverWait tells how long the server would have another try wait, by what it has said
// of its limits.
func (t *Try) serverWait() (due time.Duration) {
	if t.Response == nil || t.Response.Request == nil || t.Response.Request.conduct == nil {
		return 0
	}
	due, _ = t.Response.Request.conduct.limits.serverWait(t.Response.Request) // as it was sent, with its credentials
	return due
}

// timeLeft is how long the call may still last.
func (r *Request) timeLeft(ctx context.Context) time.Duration {
	left := time.Duration(math.MaxInt64)
	if due, ok := ctx.Deadline(); ok {
		left = time.Until(due)
	}
	if r.call != nil && r.call.due != 0 {
		left = min(left, r.call.due-sock.Now())
	}
	return left
}

// fail gives the error of the call.
func (r *retrying) fail(err error, useful bool) error {
	if !useful && len(r.tries) == 1 {
		return err
	}
	last := r.tries[len(r.tries)-1].Err // with what was found out since
	err = withCause(last, func(err error) error { return &RetryError{Tries: r.tries, Err: err} })
	return withSent(err, r.sent())
}

// sent tells whether the server can have seen the request by any of its tries.
func (r *retrying) sent() Sent {
	all := NotSent
	for i := range r.tries {
		one := Answering
		if r.tries[i].Response == nil {
			one = sentOf(r.tries[i].Err)
		}
		all = all.or(one)
	}
	return all
}

// sentOf gives what a failure says of it.
func sentOf(err error) Sent {
	var e *Error
	if errors.As(err, &e) {
		return e.Sent
	}
	return MaybeSent
}

// withSent gives err with what its *Error, if it has one, says of it changed.
func withSent(err error, sent Sent) error {
	var e *Error
	if !errors.As(err, &e) || e.Sent == sent {
		return err
	}
	changed := *e
	changed.Sent = sent
	if err != error(e) {
		changed.Err = err // middleware has put something around it
	}
	return &changed
}

// interrupted gives the error of a call whose context ended while it waited.
func (r *retrying) interrupted(ctx context.Context) error {
	last := &r.tries[len(r.tries)-1]
	last.Again, last.Reason = false, "the context ended during the wait for another"
	ended := contextError(ctx)
	e := &Error{
		Op: "send", Method: r.req.Method, URL: withoutUser(r.req.URL), Phase: PhaseRetry, Sent: r.sent(),
		Attempt: last.Number, Elapsed: sock.Now() - r.began, Limit: totalOf(ended), Err: &RetryError{Tries: r.tries, Err: ended},
	}
	if failed := (*Error)(nil); errors.As(last.Err, &failed) {
		e.Attempt = failed.Attempt
	} else if last.Response != nil {
		e.Attempt = max(e.Attempt, last.Response.Timing().Attempt)
	}
	return e
}

// withCause gives err with what it says of the cause changed, as an *Error if it is one.
func withCause(err error, change func(error) error) error {
	e, ok := err.(*Error)
	if !ok || e.Err == nil {
		return change(err)
	}
	changed := *e
	changed.Err = change(e.Err)
	return &changed
}

// wait returns when d has passed, or the error of a context that ends before.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict is what a policy thinks of a try.
type verdict struct {
	useful bool // another try may mend it
	again  bool // and nothing in the request speaks against one
	wait   time.Duration
	reason string
}

func (p *RetryPolicy) verdict(ctx context.Context, t *Try) verdict {
	var v verdict
	sent := Answering
	if t.Err != nil {
		v.useful, sent, v.reason = p.mayMend(ctx, t.Err)
	} else if v.useful = slices.Contains(p.Statuses, t.Response.StatusCode); v.useful {
		v.reason = "status " + quoteBad(t.Response.Status, 64)
	} else {
		v.reason = "it was answered"
	}
	if !v.useful {
		return v
	}
	if sent != NotSent && !p.AnyMethod && !t.Request.repeatable() {
		v.reason = quoteBad(t.Request.Method, 32) + " is not idempotent and has no Idempotency-Key"
		return v
	}
	v.wait = p.backoff(t.Number)
	if t.Response != nil && p.MaxRetryAfter >= 0 {
		asked := retryAfter(t.Response.Header.Get("Retry-After"), time.Now(), math.MaxInt64)
		if asked > p.MaxRetryAfter {
			v.reason = fmt.Sprintf("the server asks for a wait of more than %v", p.MaxRetryAfter)
			return v
		}
		v.wait += asked
	}
	v.again = true
	return v
}

// mayMend reports whether another try may mend what one failed with, and whether the
// server can have seen the request.
func (p *RetryPolicy) mayMend(ctx context.Context, err error) (useful bool, sent Sent, reason string) {
	const never = "another try would not mend it"
	var e *Error
	var dns *net.DNSError
	var refused *ProxyError
	switch {
	case ctx.Err() != nil:
		return false, MaybeSent, "the context has ended"
	case !errors.As(err, &e):
		return false, MaybeSent, "the failure is none of the network's"
	case errors.As(err, &refused):
		return slices.Contains(p.Statuses, refused.StatusCode), e.Sent, fmt.Sprintf("the proxy's status %d", refused.StatusCode)
	case errors.As(err, &dns) && dns.IsNotFound:
		return false, e.Sent, "the name does not exist"
	case slices.ContainsFunc(lasting, func(kind error) bool { return errors.Is(err, kind) }):
		return false, e.Sent, never
	case errors.Is(err, ErrTLS):
		// Only if the connection broke: what was said in the handshake stays as it is. An
		// earlier connection may have failed after the request was sent.
		broken := e.Phase == PhaseConnect && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err))
		return broken, e.Sent, "the connection broke in the handshake"
	case errors.Is(err, ErrNetwork), errors.Is(err, ErrTimeout):
		return true, e.Sent, failureName(err)
	}
	return false, e.Sent, never
}

// lasting are kinds of failures of the network, or of the session, that last.
var lasting = []error{
	ErrPoolTimeout, ErrLimited, ErrTotalTimeout, ErrAddressRefused, ErrConnClosed, ErrClientClosed,
	ErrProtocol, ErrAuth, ErrBodyNotRewindable, context.Canceled,
}

// failureName gives the narrowest kind of a failure of the network.
func failureName(err error) string {
	for _, kind := range []error{
		ErrConnectTimeout, ErrWriteTimeout, ErrResponseTimeout, ErrReadTimeout, ErrTooSlow,
		ErrConnect, ErrPeerClosed, ErrRead, ErrWrite,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return ErrNetwork.Error()
}

// repeatable reports whether a request may be sent again after the server may have acted
// on it: by its method, or as its key tells the server that it is the same one.
func (r *Request) repeatable() bool {
	return idempotent(r.Method) || len(r.Header[idempotencyKey]) > 0
}

// safe reports whether a method asks for nothing but an answer (RFC 9110, section 9.2.1;
// for QUERY RFC 10008, section 2).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, methodQuery:
		return true
	}
	return false
}
