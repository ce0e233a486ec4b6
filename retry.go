package parley

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// RetryPolicy says which requests are tried again after a failure, how often and after
// what wait: see [WithRetry]. Zero fields mean the defaults.
//
// A request is tried again if all of these hold:
//
//   - Its try failed in a way that another one may mend: no connection could be made, it
//     broke or was closed, a limit of [Timeouts] but Pool and Total passed, a proxy
//     refused with one of Statuses; or it was answered with one of Statuses. Certificates
//     that are wrong, names that do not exist, refused addresses, malformed answers and a
//     full pool are not among these.
//   - Repeating it is safe: the server cannot have seen it ([NotSent]), or its method is
//     idempotent (RFC 9110, section 9.2.2), or it bears an Idempotency-Key, or AnyMethod
//     says so.
//   - Its body can be opened again.
//   - There are tries left, the wait, also one that WithServerLimits knows of, ends before
//     the deadline of the context and Timeouts.Total, and the budget allows one more.
//
// What happened is told by [Response].Tries and, for a call that failed, by
// [RetryError].
type RetryPolicy struct {
	// Tries is how many tries a request has, the first among them. Default 3; 1: none
	// but the first; less than 0: as many as time and budget allow.
	Tries int
	// Statuses are those of answers that are worth another try, in place of 408, 425,
	// 429, 500, 502, 503 and 504. An empty list that is not nil means none.
	Statuses []int
	// AnyMethod lets requests of every method be tried again after the server may have
	// acted on them, which may then happen twice.
	AnyMethod bool

	// Backoff bounds the wait before the second try. The bound doubles with each further
	// one, up to MaxBackoff, and the wait is a random part of it, so that clients which
	// failed together do not come back together. Defaults 100 ms and 10 s; less than 0:
	// no wait.
	Backoff, MaxBackoff time.Duration
	// MaxRetryAfter bounds what a server may ask for with Retry-After (RFC 9110, section
	// 10.2.3), which is waited for before the random part. An answer that asks for more
	// is the caller's. Default 30 s; less than 0: the header means nothing.
	MaxRetryAfter time.Duration

	// Budget bounds tries beyond the first as a share of all requests; nil: one that the
	// session has for all its requests together, of the default size.
	Budget *RetryBudget

	// Hedge, if not 0, sends a second request of a safe method beside the first where
	// that has not been answered for so long. The first good answer counts, the other
	// request is cancelled. Both are one try.
	Hedge time.Duration

	// Judge, if not nil, sees each try that has ended, with what the policy thinks of it,
	// and may change Again and Wait: to try again after a 200 that bears an error, say.
	// After [Client.Get] and its sisters the body of the answer has been read, else
	// [Response.Peek] looks at it. Whatever it says, a body that cannot be opened again, the number of
	// tries, the deadline and the budget still count. It may be called by several goroutines at once.
	Judge func(ctx context.Context, t *Try)
	// OnTry, if not nil, is told of each try that has ended, with what follows. It may be
	// called by several goroutines at once.
	OnTry func(ctx context.Context, t Try)
}

// The defaults of [RetryPolicy].
const (
	DefaultTries         = 3
	DefaultBackoff       = 100 * time.Millisecond
	DefaultMaxBackoff    = 10 * time.Second
	DefaultMaxRetryAfter = 30 * time.Second
)

// retryStatuses are the statuses that are worth another try: those by which a server, or
// one before it, says that it could not do now what it may do soon.
var retryStatuses = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// Try is one try of a request under a [RetryPolicy].
type Try struct {
	Number   int       // from 1, for each hop of a call
	Request  *Request  // what was tried; read-only
	Response *Response // its answer; nil if it failed. Closed if another try followed
	Err      error     // why it failed

	Start  time.Duration // since the call began
	Took   time.Duration // until it failed, or its answer was there
	Hedged bool          // a second request was sent beside the first
	Holds  []Hold        // what held its requests back before they went out, part of Took

	Again  bool          // another try follows
	Wait   time.Duration // before that
	Reason string        // why there is another try, or why there is none
}

// RetryError is beneath the [Error] of a call that failed for good under a
// [RetryPolicy], where another try was of use: after several tries, or after one that
// must not be repeated. Find it with [errors.As].
type RetryError struct {
	Tries []Try // of the last hop, in their order
	Err   error // of the last try, or of what ended the wait for another
}

// Error tells of the number of tries, why there are no more, and the last failure.
func (e *RetryError) Error() string {
	if len(e.Tries) == 0 { // made by somebody else
		return fmt.Sprint("not tried: ", e.Err)
	}
	s := "not tried again"
	if n := len(e.Tries); n > 1 {
		s = fmt.Sprintf("tried %d times", n)
	}
	return fmt.Sprintf("%s (%s): %v", s, e.Tries[len(e.Tries)-1].Reason, e.Err)
}

// Unwrap gives Err.
func (e *RetryError) Unwrap() error { return e.Err }

// WithRetry tries requests again by a policy; without it, one is sent again only where a
// reused connection failed before the server can have answered ([Pool.Send]). Each hop of
// a redirected call has its tries, with credentials made anew for each. A call that reads
// its answer ([Client.Get] and its sisters) does so within the try, so that a body which
// is cut short counts as a failure; what [Client.Stream] leaves to be read is not sent
// for again.
//
// A request's policy takes the place of its session's as a whole.
func WithRetry(p RetryPolicy) Option {
	whole, err := p.complete()
	return option(func(s *settings) error {
		if err != nil {
			return err
		}
		s.conduct.retry = whole
		return nil
	})
}

// WithoutRetry has requests tried once, whatever their session says.
func WithoutRetry() Option { return WithRetry(RetryPolicy{Tries: 1}) }

// complete checks a policy and fills in its defaults. Its lists are copied.
func (p RetryPolicy) complete() (*RetryPolicy, error) {
	for _, status := range p.Statuses {
		if status < 200 || status > 599 {
			return nil, failed("WithRetry: %d is no status of a final answer", status)
		}
	}
	if p.Hedge < 0 {
		return nil, failed("WithRetry: Hedge must not be negative")
	}
	p.Tries = cmp.Or(p.Tries, DefaultTries)
	if p.Statuses == nil {
		p.Statuses = retryStatuses
	} else {
		p.Statuses = slices.Clone(p.Statuses)
	}
	p.Backoff = cmp.Or(p.Backoff, DefaultBackoff)
	p.MaxBackoff = max(cmp.Or(p.MaxBackoff, DefaultMaxBackoff), p.Backoff)
	p.MaxRetryAfter = cmp.Or(p.MaxRetryAfter, DefaultMaxRetryAfter)
	return &p, nil
}

// idle reports whether a policy, filled in, does nothing at all.
func (p *RetryPolicy) idle() bool {
	return p.Tries == 1 && p.Hedge == 0 && p.Judge == nil && p.OnTry == nil
}

// String tells in one line what the policy does.
func (p *RetryPolicy) String() string {
	var b strings.Builder
	switch {
	case p.Tries < 0:
		b.WriteString("any number of tries")
	case p.Tries == 1:
		b.WriteString("1 try")
	default:
		fmt.Fprintf(&b, "%d tries", p.Tries)
	}
	if p.Tries != 1 {
		fmt.Fprintf(&b, " after failures and statuses %v", p.Statuses)
		if p.AnyMethod {
			b.WriteString(" of any method")
		}
		fmt.Fprintf(&b, ", waits from %v to %v, Retry-After up to %v", max(p.Backoff, 0), max(p.MaxBackoff, 0), max(p.MaxRetryAfter, 0))
	}
	if p.Hedge > 0 {
		fmt.Fprintf(&b, ", hedged after %v", p.Hedge)
	}
	return b.String()
}

// backoff gives the wait after the given number of tries: a random part of a bound that
// doubles ("full jitter").
func (p *RetryPolicy) backoff(tries int) time.Duration {
	bound := p.Backoff
	for ; tries > 1 && bound < p.MaxBackoff; tries-- {
		bound *= 2
	}
	if bound = min(bound, p.MaxBackoff); bound <= 0 {
		return 0
	}
	return rand.N(bound)
}

// Retries gives the middleware that tries requests again by their own policy
// ([WithRetry]), or by p where they have none, for a stack made by hand; its place is
// between [Redirects] and [Authenticate]. The error is about the policy.
func Retries(p RetryPolicy) (Middleware, error) {
	whole, err := p.complete()
	if err != nil {
		return nil, err
	}
	return func(next Transport) Transport {
		layer := retryLayer{completeLayer{next}, new(RetryBudget)}
		return TransportFunc(func(ctx context.Context, req *Request) (*Response, error) {
			if own := req.retryPolicy(); own != nil {
				return layer.run(ctx, req, own)
			}
			return layer.run(ctx, req, whole)
		})
	}, nil
}

// retryPolicy gives the policy of a request, nil if it has none.
func (r *Request) retryPolicy() *RetryPolicy {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.retry
}

// retryLayer tries again by the policy of each request.
type retryLayer struct {
	next   Transport
	budget *RetryBudget // for policies that have none
}

func (l retryLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	p := req.retryPolicy()
	if p == nil || p.idle() {
		return l.next.Send(ctx, req)
	}
	return l.run(ctx, req, p)
}

func (l retryLayer) run(ctx context.Context, req *Request, p *RetryPolicy) (*Response, error) {
	r := retrying{policy: p, budget: p.Budget, next: l.next, req: req}
	if r.budget == nil {
		r.budget = l.budget
	}
	r.budget.deposit()
	return r.run(ctx)
}
