package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-0474a412/parley"
)

// AwaitPolicy says how [Resource.Await] waits. Zero fields mean the defaults.
type AwaitPolicy struct {
	// Interval is the wait before the first poll, where the server does not say how long
	// to wait (Retry-After). It grows by half with each poll. Default 1 s.
	Interval time.Duration
	// MinInterval and MaxInterval bound every wait, whatever the server says of it.
	// Defaults 100 ms and 1 minute.
	MinInterval, MaxInterval time.Duration
	// MaxTime bounds the waiting as a whole; the last poll is made when it is over. Default
	// 30 minutes; negative: the context alone bounds it.
	MaxTime time.Duration
	// MaxPolls bounds the number of polls. 0: MaxTime alone bounds it.
	MaxPolls int
	// Status looks at an answer and says whether the work is done, for servers that tell so
	// in the content:
	//
	//	func(resp *parley.Response) (done bool, result string, err error) {
	//		var job struct{ Status, Result string }
	//		if err := resp.JSON(&job); err != nil {
	//			return false, "", err
	//		}
	//		if job.Status == "Failed" {
	//			return false, "", errors.New("the job failed")
	//		}
	//		return job.Status == "Succeeded", job.Result, nil
	//	}
	//
	// result is the URL of what came of it, which is fetched then, or "" if the answer
	// itself is the result. An err ends the waiting and is returned as it is. Status is not
	// asked of a 202 without content, nor of what is no success. nil: everything but a 202
	// is the result.
	Status func(resp *parley.Response) (done bool, result string, err error)
}

// The defaults of [AwaitPolicy].
const (
	DefaultAwaitInterval    = time.Second
	DefaultAwaitMinInterval = 100 * time.Millisecond
	DefaultAwaitMaxInterval = time.Minute
	DefaultAwaitMaxTime     = 30 * time.Minute
)

// awaitKey is the attribute under which a request carries its policy.
type awaitKey struct{}

// WithAwaitPolicy says how [Resource.Await] waits.
func WithAwaitPolicy(p AwaitPolicy) parley.Option { return parley.WithAttribute(awaitKey{}, p) }

// awaitPolicyOf gives the policy of a request with its defaults filled in.
func awaitPolicyOf(req *parley.Request) (AwaitPolicy, error) {
	p, _ := req.Attribute(awaitKey{}).(AwaitPolicy)
	bad := min(p.Interval, p.MinInterval, p.MaxInterval) < 0 || p.MaxPolls < 0
	p.Interval = cmp.Or(p.Interval, DefaultAwaitInterval)
	p.MinInterval = cmp.Or(p.MinInterval, DefaultAwaitMinInterval)
	p.MaxInterval = cmp.Or(p.MaxInterval, max(DefaultAwaitMaxInterval, p.MinInterval))
	p.MaxTime = cmp.Or(p.MaxTime, DefaultAwaitMaxTime)
	if bad || p.MinInterval > p.MaxInterval {
		return p, fmt.Errorf("WithAwaitPolicy: intervals and MaxPolls must not be negative, and MinInterval (%v) not above MaxInterval (%v)", p.MinInterval, p.MaxInterval)
	}
	return p, nil
}

// NotDoneError is what waiting ends with when a bound of [AwaitPolicy] is reached. The work
// may go on: Join and Await with GET wait for it again at Monitor. It matches
// [parley.ErrTimeout].
type NotDoneError struct {
	Monitor *url.URL // what would have been polled next
	Polls   int
	Elapsed time.Duration
}

// Error tells how long it took, and where, without the query.
func (e *NotDoneError) Error() string {
	u := *e.Monitor
	u.RawQuery = ""
	return fmt.Sprintf("not done after %d polls and %v: %s", e.Polls, e.Elapsed, u.Redacted())
}

// Unwrap gives ErrTimeout.
func (e *NotDoneError) Unwrap() error { return parley.ErrTimeout }

// Await sends a request that may take the server longer than one answer, waits until its
// work is done, and gives the content of the result, as [Resource.Get] does. While answers
// are 202 (or [AwaitPolicy].Status says so), it polls with GET what Operation-Location names,
// or Location, or, where nothing is named, the resource itself, but that a POST without
// either is an error ([http.ErrNoLocation]). Redirects are followed as in every call, so
// that a 303 leads to the result. Where a DELETE was accepted and nothing is named, the end
// is that the resource is gone (404 or 410).
//
// Between polls it waits as long as Retry-After says, else for a growing while: see
// [WithAwaitPolicy]. A poll that is answered 429 or 503 with Retry-After is made again. What
// else is no success ends the waiting; an end of ctx does at once.
//
// Polls bear the options of the call, without its body, as far as they may go where the
// server leads: see [parley.Client.NewRequestFrom]. A timeout among them is for each poll.
func (r *Resource) Await(ctx context.Context, method string, opts ...parley.RequestOption) (any, error) {
	return Await[any](ctx, r, method, opts...)
}

// Await is [Resource.Await] for a result of a type that is known: see [Get].
func Await[T any](ctx context.Context, r *Resource, method string, opts ...parley.RequestOption) (T, error) {
	var none T
	resp, err := r.await(ctx, method, opts)
	if resp == nil {
		return none, err
	}
	return contentOf[T](resp, err)
}

// await gives the result; nil without an error if it is that there is nothing any more.
func (r *Resource) await(ctx context.Context, method string, opts []parley.RequestOption) (*parley.Response, error) {
	req, err := r.newRequest(method, opts)
	if err != nil {
		return nil, err
	}
	w := &waiting{method: req.Method, began: time.Now()}
	if w.policy, err = awaitPolicyOf(req); err != nil {
		return nil, r.failed(err).unsent(method, opts)
	}
	w.interval = w.policy.Interval
	for {
		resp, err := r.client.Fetch(ctx, req)
		if err != nil {
			return nil, err
		}
		if w.deleting() && saysGone(resp.Err()) {
			return nil, nil
		}
		done, next, err := w.look(resp)
		switch {
		case done && next == "", err != nil:
			return resp, err
		case !done:
			err = w.pause(ctx, resp, next)
		}
		if err == nil {
			req, err = r.client.NewRequestFrom(resp, next)
		}
		if err != nil {
			return nil, err
		}
		if done {
			return succeeded(r.client.Fetch(ctx, req))
		}
	}
}

// waiting is one call of Await.
type waiting struct {
	policy   AwaitPolicy
	method   string // of the first request
	began    time.Time
	interval time.Duration
	polls    int
	monitor  bool // the server has named what is polled
}

// look says whether the work is done, and what is to be fetched next; "" for nothing.
func (w *waiting) look(resp *parley.Response) (done bool, next string, err error) {
	if _, err := succeeded(resp, nil); err != nil {
		if w.polls > 0 && saysBusy(resp) {
			return false, resp.Request.URL.String(), nil
		}
		return false, "", err
	}
	done = resp.StatusCode != http.StatusAccepted && !w.deleting()
	if content, err := resp.Bytes(); w.policy.Status != nil && (done || len(content) > 0 || err != nil) {
		if done, next, err = w.policy.Status(resp); done || err != nil {
			return done, next, err
		}
	}
	if done {
		return true, "", nil
	}
	next, err = w.where(resp)
	return false, next, err
}

// deleting reports whether it is the resource itself that is polled until it is gone.
func (w *waiting) deleting() bool {
	return w.method == http.MethodDelete && w.polls > 0 && !w.monitor
}

// saysBusy reports whether a server asks to come again later.
func saysBusy(resp *parley.Response) bool {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return false
	}
	_, ok := retryAfter(resp.Header, time.Now())
	return ok
}

// where gives the URL to poll.
func (w *waiting) where(resp *parley.Response) (string, error) {
	ref := resp.Header.Get("Operation-Location")
	if ref == "" && (resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusCreated) {
		ref = resp.Header.Get("Location")
	}
	if ref != "" {
		w.monitor = true
		return ref, nil
	}
	if w.polls == 0 && w.method == http.MethodPost {
		return "", answerError("await", resp, fmt.Errorf("the answer to a POST names nothing to poll: %w", http.ErrNoLocation))
	}
	return resp.Request.URL.String(), nil
}

// pause waits for the time of the next poll.
func (w *waiting) pause(ctx context.Context, resp *parley.Response, next string) error {
	wait, said := retryAfter(resp.Header, time.Now())
	if !said {
		wait = w.interval
		w.interval = min(w.interval+w.interval/2, w.policy.MaxInterval)
	}
	wait = min(max(wait, w.policy.MinInterval), w.policy.MaxInterval)
	elapsed := time.Since(w.began)
	if left := w.policy.MaxTime - elapsed; w.policy.MaxTime > 0 {
		if wait = min(wait, left); left <= 0 {
			return w.notDone(resp, next, elapsed)
		}
	}
	if w.policy.MaxPolls > 0 && w.polls >= w.policy.MaxPolls {
		return w.notDone(resp, next, elapsed)
	}
	w.polls++
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	return w.failed(resp, contextError(ctx))
}

func (w *waiting) notDone(resp *parley.Response, next string, elapsed time.Duration) error {
	e := &NotDoneError{Monitor: resp.Request.URL, Polls: w.polls, Elapsed: elapsed}
	if u, err := resp.Request.URL.Parse(next); err == nil {
		e.Monitor = u
	}
	return w.failed(resp, e)
}

// failed is an error about the waiting.
func (w *waiting) failed(resp *parley.Response, err error) error {
	e := answerError("await", resp, err)
	e.Elapsed = time.Since(w.began)
	return e
}
