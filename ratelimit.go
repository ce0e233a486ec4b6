package parley

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/seed-0474a412/parley/internal/lru"
	"github.com/seed-0474a412/parley/internal/sock"
)

// Limiter holds requests back: Wait returns nil once one more may be sent, or an error if
// none will be before ctx ends. A *rate.Limiter of golang.org/x/time/rate is one. It
// must be safe for concurrent use.
type Limiter interface {
	Wait(ctx context.Context) error
}

// WithRateLimit has every request wait for l before it goes out, each hop, try and
// challenge of a call for itself; only where a reused connection failed a request is sent
// again without waiting. The limiters of a session and those of a request, and of several
// such options, all count, in this order.
//
// The context that l gets also ends with Timeouts.Total. Where it ends during the wait
// the call fails with its error, else an error of l is [ErrLimited]; the request was not
// sent then. [Response.Holds] tells how long requests waited.
func WithRateLimit(l Limiter) Option {
	r := &rateLimit{of: func(*Request) Limiter { return l }, name: fmt.Sprintf("%T", l)}
	return rateOption(r, isNil(l), "WithRateLimit needs a limiter")
}

// WithRateLimitFor is [WithRateLimit] with a limiter that choose names for each request
// that goes out; nil holds it back by nothing. The request is read-only, and has all that
// it is sent with. choose must be safe for concurrent use: see [LimiterPerHost].
func WithRateLimitFor(choose func(*Request) Limiter) Option {
	r := &rateLimit{of: choose}
	if choose != nil {
		r.name = "by " + funcName(choose)
	}
	return rateOption(r, choose == nil, "WithRateLimitFor needs a function")
}

// WithoutRateLimit takes back [WithRateLimit] and [WithRateLimitFor], for a request those
// of its session, for a derived session those that it would inherit.
func WithoutRateLimit() Option {
	return option(func(s *settings) error {
		s.conduct.limits.rates, s.conduct.limits.alone = nil, true
		return nil
	})
}

func rateOption(r *rateLimit, missing bool, text string) Option {
	return option(func(s *settings) error {
		if missing {
			return failed("%s", text)
		}
		s.conduct.limits.rates = joined(s.conduct.limits.rates, []*rateLimit{r})
		return nil
	})
}

// isNil also tells a nil pointer, which an interface hides.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}

// MaxLimitedHosts is for how many hosts [LimiterPerHost] keeps a limiter.
const MaxLimitedHosts = 1000

// LimiterPerHost gives a function for [WithRateLimitFor] that has a limiter for each host,
// made by newLimiter when it is first met:
//
//	parley.WithRateLimitFor(parley.LimiterPerHost(func(host string) parley.Limiter {
//		return rate.NewLimiter(10, 10)
//	}))
//
// The host is that of the URL, with its port if that is not the scheme's own. newLimiter
// may give nil, for no limit, and is called by one goroutine at a time. With more than
// 1,000 hosts ([MaxLimitedHosts]) the limiter that was not asked for the longest is
// forgotten.
func LimiterPerHost(newLimiter func(host string) Limiter) func(*Request) Limiter {
	if newLimiter == nil {
		return nil
	}
	var mu sync.Mutex
	known := lru.New[string, Limiter](MaxLimitedHosts, nil)
	return func(req *Request) Limiter {
		mu.Lock()
		defer mu.Unlock()
		l, ok := known.Get(req.URL.Host)
		if !ok {
			l = newLimiter(req.URL.Host)
			known.Put(req.URL.Host, l)
		}
		return l
	}
}

// rateLimit is a limiter of the user's, or what chooses one. Its address tells it from
// others.
type rateLimit struct {
	of   func(*Request) Limiter
	name string
}

// wait waits for the limiter that is for the request.
func (r *rateLimit) wait(p *passage) error {
	l := r.of(p.req)
	if isNil(l) {
		return nil
	}
	ctx := p.ctx
	if c := p.req.call; c != nil && c.due != 0 { // so that a limiter which knows better need not wait for it
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, sock.Time(c.due), &totalTimeout{p.req.Timeouts.Total})
		defer cancel()
	}
	began := sock.Now()
	err := l.Wait(ctx)
	if took := sock.Now() - began; took >= leastHold {
		p.note("rate limit", took)
	}
	switch {
	case err == nil:
		return nil
	case p.ctx.Err() != nil:
		return p.interrupted(p.ctx)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return p.interrupted(ctx)
	}
	return p.fail(0, because(ErrLimited, err))
}
