package parley

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/seed-0474a412/parley/internal/aimd"
)

// ConcurrencyPolicy bounds how many requests go to an origin at once, by a limit that is
// found by trial: see [WithAdaptiveConcurrency]. Zero fields mean the defaults.
type ConcurrencyPolicy struct {
	Min     int // the limit never falls below; default 1
	Initial int // where it begins; default 10, or the nearest that Min and Max allow
	Max     int // the limit never grows beyond; default 100, or Min or Initial if that is more
	// Tolerance is how many times the usual latency the recent one may be before the
	// limit shrinks. Default 2; less than 0: latency does not count.
	Tolerance float64
}

// The defaults of [ConcurrencyPolicy].
const (
	DefaultMinConcurrency     = 1
	DefaultInitialConcurrency = 10
	DefaultMaxConcurrency     = 100
	DefaultLatencyTolerance   = 2
)

// WithAdaptiveConcurrency bounds how many requests of the session are under way to an
// origin at once, from before a connection is looked for until the body of the answer
// has ended or is closed. For each origin the limit L follows these rules (additive
// increase, multiplicative decrease):
//
//   - An answer in good time, while at least half of L is in use: L grows by 1/L, which is
//     by one for L answers, up to Max.
//   - A 429 or 503, a passed timeout of the connection or the answer, the end of the
//     call's deadline, or a recent latency above Tolerance times the usual one: L becomes
//     0.7 L, not below Min; once for all requests that were under way then.
//
// The latency is the time from the end of a request to the head of its answer, where the
// transport tells of it. The recent one is the mean of 10 answers, in which each new one
// counts for a tenth, the usual one that of 600 (of as many as there have been, at
// first); there must have been 10. Other failures say nothing about the limit.
//
// Requests that find the limit reached wait in the order in which they came, at most
// Timeouts.Pool; passing that is both [ErrPoolTimeout] and [ErrLimited].
// [Client.Concurrency] tells the limits as they are. An event stream takes a place for as
// long as it is read. Derived sessions share the limits, unless they have the option anew.
// Beside those in use at most 1,000 origins are remembered.
func WithAdaptiveConcurrency(p ConcurrencyPolicy) ClientOption {
	return clientOption(func(c *clientConfig) error {
		whole, err := p.complete()
		if err != nil {
			return err
		}
		limits := aimd.Limits{Min: whole.Min, Initial: whole.Initial, Max: whole.Max, Tolerance: max(whole.Tolerance, 0)}
		c.conduct.limits.gates = &originGates{whole, aimd.New[string](limits)}
		return nil
	})
}

// complete checks a policy and fills in its defaults.
func (p ConcurrencyPolicy) complete() (ConcurrencyPolicy, error) {
	if p.Min < 0 || p.Initial < 0 || p.Max < 0 {
		return p, failed("WithAdaptiveConcurrency: a limit must not be negative")
	}
	if p.Tolerance > 0 && p.Tolerance <= 1 || p.Tolerance != p.Tolerance {
		return p, failed("WithAdaptiveConcurrency: Tolerance must be above 1, as latencies vary; less than 0 leaves them out")
	}
	if p.Min == 0 {
		p.Min = DefaultMinConcurrency
	}
	if p.Max == 0 {
		p.Max = max(DefaultMaxConcurrency, p.Min, p.Initial)
	}
	if p.Initial == 0 {
		p.Initial = min(max(DefaultInitialConcurrency, p.Min), p.Max)
	}
	if p.Min > p.Initial || p.Initial > p.Max {
		return p, failed("WithAdaptiveConcurrency: Min %d, Initial %d and Max %d are not in this order", p.Min, p.Initial, p.Max)
	}
	if p.Tolerance == 0 {
		p.Tolerance = DefaultLatencyTolerance
	}
	return p, nil
}

// OriginConcurrency is what [WithAdaptiveConcurrency] has found out about an origin.
type OriginConcurrency struct {
	Origin        string        // such as "https://api.example.com:443"
	Limit         int           // how many requests may be under way at once
	Active        int           // are now
	Waiting       int           // wait for one of them to end
	Recent, Usual time.Duration // latency; 0: none was measured yet
}

// Concurrency tells the limits of [WithAdaptiveConcurrency] as they are now, ordered by
// origin; nil for a session without it.
func (c *Client) Concurrency() []OriginConcurrency {
	gates := c.cfg.conduct.limits.gates
	if gates == nil {
		return nil
	}
	out := []OriginConcurrency{}
	for origin, s := range gates.All(func(origin string) string { return origin }) {
		out = append(out, OriginConcurrency{origin, s.Limit, s.Used, s.Waiting, s.Recent, s.Usual})
	}
	return out
}

// originGates are those of a session, by origin.
type originGates struct {
	policy ConcurrencyPolicy
	*aimd.Gates[string]
}

// originSlot is a place among the requests to an origin.
type originSlot struct{ *aimd.Slot }

// enter waits for a place.
func (g *originGates) enter(p *passage) (*originSlot, error) {
	origin := p.req.origin()
	limit := p.req.Timeouts.over(defaultTimeouts).Pool
	began := time.Now()
	slot, err := g.Acquire(p.ctx, origin, limit)
	reason := "requests at once to " + origin
	if err != nil {
		if waited := time.Since(began); waited >= leastHold {
			p.note(reason, waited)
		}
		if full := (*aimd.FullError)(nil); errors.As(err, &full) {
			return nil, p.fail(limit, &cause{
				kind: ErrPoolTimeout, err: ErrLimited,
				detail: fmt.Sprintf("after %v: %d of %d requests at once to %s under way, %d waiting", full.After, full.Used, full.Limit, origin, full.Waiting),
			})
		}
		return nil, p.interrupted(p.ctx)
	}
	if slot.Waited > 0 {
		p.note(fmt.Sprintf("%d %s", slot.Limit, reason), slot.Waited)
	}
	return &originSlot{slot}, nil
}

// judge tells the gate what became of the request.
func (s *originSlot) judge(resp *Response, err error, took time.Duration) {
	switch {
	case err == nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable):
		s.Overloaded()
	case err == nil:
		if r := resp.rec; r != nil && 0 < r.written && r.written < r.answered {
			took = r.answered - r.written
		}
		s.Answered(took)
	case errors.Is(err, ErrPoolTimeout): // that is this side's
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		s.Overloaded()
	}
}

// keepFor keeps the place for as long as the body lasts, also if that is never closed but
// dropped. It reports whether there is a body to keep it for.
func (s *originSlot) keepFor(req *Request, resp *Response) bool {
	if resp.Body == http.NoBody || switched(req.Method, resp.StatusCode) {
		return false
	}
	body := &hookedBody{ReadCloser: resp.Body, f: func(error) { s.Release() }}
	runtime.AddCleanup(body, (*aimd.Slot).Release, s.Slot)
	resp.Body = body.writable()
	return true
}
