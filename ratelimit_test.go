package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// inBubble runs f in a bubble with a session whose requests a handler answers, or, without
// one, what opts say.
func inBubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, c *parley.Client), opts ...parley.ClientOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts = append(opts, parley.WithBaseURL("http://a.test"))
		if h != nil {
			opts = append(opts, parley.WithHandler(h))
		}
		c, err := parley.New(opts...)
		require.NoError(t, err)
		f(t, c)
		require.NoError(t, c.Close())
		synctest.Wait()
	})
}

// moments notes when requests come.
type moments struct {
	mu    sync.Mutex
	began time.Time
	at    []time.Duration
}

func newMoments() *moments { return &moments{began: time.Now()} }

func (m *moments) note() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = append(m.at, time.Since(m.began))
	return len(m.at)
}

func (m *moments) all() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// ticker is a limiter that lets one request go every so often.
type ticker struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
	calls atomic.Int32
}

func (l *ticker) Wait(ctx context.Context) error {
	l.calls.Add(1)
	l.mu.Lock()
	at := l.next
	if now := time.Now(); at.Before(now) {
		at = now
	}
	l.next = at.Add(l.every)
	l.mu.Unlock()
	if due, ok := ctx.Deadline(); ok && due.Before(at) {
		return errors.New("would take too long")
	}
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// welcoming answers 200.
func welcoming(http.ResponseWriter, *http.Request) {}

func TestRateLimit_requestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	var m *moments
	inBubble(t, func(http.ResponseWriter, *http.Request) { m.note() }, func(t *testing.T, c *parley.Client) {
		m = newMoments()
		for n := range 4 {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			if n == 0 {
				require.Empty(t, resp.Holds())
				continue
			}
			require.Equal(t, []parley.Hold{{Reason: "rate limit", Wait: time.Second}}, resp.Holds())
			require.Equal(t, "1s: rate limit", resp.Holds()[0].String())
			require.GreaterOrEqual(t, resp.Timing().Before, time.Second)
		}
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}, m.all())
	}, parley.WithRateLimit(&ticker{every: time.Second}))
}

func TestRateLimit_everyHopTryAndChallengeCounts(t *testing.T) {
	t.Parallel()
	l := &ticker{}
	auth, err := parley.DigestAuth("me", "pw")
	require.NoError(t, err)
	n := 0
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		switch {
		case r.URL.Path == "/from":
			http.Redirect(w, r, "/to", http.StatusFound)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth"`)
			w.WriteHeader(http.StatusUnauthorized)
		case n < 4:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "from")
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.EqualValues(t, n, l.calls.Load())
		require.GreaterOrEqual(t, n, 4)
	}, parley.WithRateLimit(l), promptly(parley.RetryPolicy{}), parley.WithAuth(auth))
}

func TestRateLimit_theLimitersOfSessionAndRequestAllCount(t *testing.T) {
	t.Parallel()
	session, derived, request := &ticker{}, &ticker{}, &ticker{}
	inBubble(t, welcoming, func(t *testing.T, c *parley.Client) {
		d, err := c.With(parley.WithRateLimit(derived))
		require.NoError(t, err)
		counts := func(opts ...parley.RequestOption) [3]int32 {
			_, err := d.Get(t.Context(), "x", opts...)
			require.NoError(t, err)
			return [...]int32{session.calls.Swap(0), derived.calls.Swap(0), request.calls.Swap(0)}
		}
		require.Equal(t, [...]int32{1, 1, 0}, counts())
		require.Equal(t, [...]int32{1, 1, 1}, counts(parley.WithRateLimit(request)))
		require.Equal(t, [...]int32{0, 0, 0}, counts(parley.WithoutRateLimit()))
		require.Equal(t, [...]int32{0, 0, 1}, counts(parley.WithoutRateLimit(), parley.WithRateLimit(request)))
		require.Equal(t, [...]int32{1, 1, 0}, counts(parley.WithRateLimitFor(func(*parley.Request) parley.Limiter { return nil })))
		require.Equal(t, [...]int32{1, 1, 0}, counts(parley.WithRateLimitFor(func(*parley.Request) parley.Limiter { return (*ticker)(nil) })))
		require.NoError(t, d.Close())
	}, parley.WithRateLimit(session))
}

func TestRateLimit_aWaitEndsWithItsContextOrDeadline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limiter parley.Limiter
		opts    []parley.RequestOption
		timeout time.Duration // of the context; 0: cancelled after a second
		took    time.Duration
		kinds   []error
	}{
		"cancelled":                       {&patient{}, nil, 0, time.Second, []error{context.Canceled}},
		"the context's deadline":          {&patient{}, nil, time.Minute, time.Minute, []error{context.DeadlineExceeded, parley.ErrTotalTimeout}},
		"Timeouts.Total":                  {&patient{}, []parley.RequestOption{parley.WithTimeout(time.Minute)}, time.Hour, time.Minute, []error{parley.ErrTotalTimeout}},
		"a limiter that looks ahead":      {&ticker{every: time.Hour}, nil, time.Minute, 0, []error{parley.ErrLimited}},
		"a limiter that looks at Total":   {&ticker{every: time.Hour}, []parley.RequestOption{parley.WithTimeout(time.Minute)}, 2 * time.Hour, 0, []error{parley.ErrLimited}},
		"a limiter that fails by itself":  {limiterFunc(func(context.Context) error { return errBroken }), nil, time.Hour, 0, []error{parley.ErrLimited, errBroken}},
		"one that fails with its context": {limiterFunc(func(ctx context.Context) error { <-ctx.Done(); return errBroken }), nil, time.Minute, time.Minute, []error{parley.ErrTotalTimeout}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served := false
			inBubble(t, func(http.ResponseWriter, *http.Request) { served = true }, func(t *testing.T, c *parley.Client) {
				if l, ok := test.limiter.(*ticker); ok {
					require.NoError(t, l.Wait(t.Context())) // somebody has had the turn before
				}
				ctx, cancel := context.WithCancel(t.Context())
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), test.timeout)
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				began := time.Now()
				_, err := c.Get(ctx, "x", test.opts...)
				for _, kind := range test.kinds {
					require.ErrorIs(t, err, kind)
				}
				require.Equal(t, test.took, time.Since(began))
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.PhaseLimit, e.Phase)
				require.Equal(t, parley.NotSent, e.Sent)
				require.False(t, served)
			}, parley.WithRateLimit(test.limiter), parley.WithRetry(parley.RetryPolicy{}))
		})
	}
}

var errBroken = errors.New("broken")

type limiterFunc func(ctx context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

// patient never lets anything go.
type patient struct{}

func (*patient) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// What a limiter takes must not be taken from the time that the network has.
func TestRateLimit_waitingDoesNotCountAgainstTheTimeoutsOfPhases(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	l := limiterFunc(func(context.Context) error { time.Sleep(300 * time.Millisecond); return nil })
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithRateLimit(l))
	_, err := c.Get(t.Context(), "warm") // dials
	require.NoError(t, err)
	resp, err := c.Get(t.Context(), "x", parley.WithTimeouts(parley.Timeouts{Write: 200 * time.Millisecond, Response: 5 * time.Second}))
	require.NoError(t, err)
	require.GreaterOrEqual(t, resp.Timing().Before, 300*time.Millisecond)
	require.Less(t, resp.Timing().Response, 5*time.Second)
	require.Len(t, resp.Holds(), 1)
}

func TestRateLimit_aLimiterForEachHost(t *testing.T) {
	t.Parallel()
	made := map[string]*ticker{}
	per := parley.LimiterPerHost(func(host string) parley.Limiter {
		if host == "free.test" {
			return nil
		}
		made[host] = &ticker{every: time.Second}
		return made[host]
	})
	inBubble(t, welcoming, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		for range 3 {
			for _, u := range []string{"http://a.test/x", "https://b.test/x", "http://a.test:8080/x", "http://free.test/x"} {
				_, err := c.Get(t.Context(), u)
				require.NoError(t, err)
			}
		}
		require.Equal(t, 2*time.Second, time.Since(began), "they wait beside each other")
		require.Len(t, made, 3)
		require.EqualValues(t, 3, made["a.test:8080"].calls.Load())
		for n := range parley.MaxLimitedHosts { // one of one's own is forgotten, not kept without end
			_, err := c.Get(t.Context(), fmt.Sprintf("http://%d.test/", n))
			require.NoError(t, err)
		}
		before := made["a.test"]
		_, err := c.Get(t.Context(), "http://a.test/x")
		require.NoError(t, err)
		require.NotSame(t, before, made["a.test"])
	}, parley.WithRateLimitFor(per))
}

func TestRateLimit_usersMistakes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]parley.ClientOption{
		"WithRateLimit needs a limiter":       parley.WithRateLimit(nil),
		"WithRateLimit needs a limiter ":      parley.WithRateLimit((*ticker)(nil)),
		"WithRateLimitFor needs a function":   parley.WithRateLimitFor(nil),
		"WithRateLimitFor needs a function ":  parley.WithRateLimitFor(parley.LimiterPerHost(nil)),
		"MaxWait must not be negative":        parley.WithServerLimits(parley.ServerLimits{MaxWait: -1}),
		"must not be negative":                parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Min: -1}),
		"Tolerance must be above 1":           parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Tolerance: 0.5}),
		"Min 5, Initial 3 and Max 100":        parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Min: 5, Initial: 3}),
		"Min 200, Initial 100 and Max 100":    parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Min: 200, Max: 100}),
		"Min 1, Initial 10 and Max 5 are not": parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Initial: 10, Max: 5}),
	} {
		_, err := parley.New(o)
		require.ErrorContains(t, err, name[:len(name)-1])
	}
}

func TestLimits_areExplained(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithRateLimit(&ticker{}),
		parley.WithServerLimits(parley.ServerLimits{}), parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{}), parley.WithMergedGets(true))
	explained := func(opts ...parley.RequestOption) (lines []string, layers []string) {
		req, err := c.NewRequest("GET", "x", opts...)
		require.NoError(t, err)
		e, err := c.Explain(req)
		require.NoError(t, err)
		for _, s := range e.Settings {
			switch s.Name {
			case "RateLimit", "ServerLimits", "Concurrency", "MergedGets":
				lines = append(lines, s.String())
			}
		}
		return lines, e.Layers
	}
	lines, layers := explained()
	require.Equal(t, []string{
		"RateLimit: *parley_test.ticker (session)",
		"ServerLimits: obeyed, at most for 1m0s (session)",
		"Concurrency: 10 at once, from 1 to 100, latency up to 2 times the usual (session)",
		"MergedGets: merged while in flight (session)",
	}, lines)
	require.Contains(t, layers, "limits")
	lines, _ = explained(parley.WithRateLimit(&patient{}), parley.WithMergedGets(false))
	require.Contains(t, lines, "RateLimit: *parley_test.patient (request)")
	require.Contains(t, lines, "MergedGets: not merged (request)")
	lines, _ = explained(parley.WithoutRateLimit())
	require.Contains(t, lines, "RateLimit: none (request)")
}

func TestLimits_holdsOfATryAreToldWithIt(t *testing.T) {
	t.Parallel()
	n := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Len(t, resp.Tries, 2)
		require.Empty(t, resp.Tries[0].Holds)
		require.Equal(t, []parley.Hold{{Reason: "rate limit", Wait: time.Second}}, resp.Tries[1].Holds)
		require.Contains(t, resp.Tries[1].String(), "held back for 1s: rate limit")
	}, parley.WithRateLimit(&ticker{every: time.Second}), promptly(parley.RetryPolicy{}))
}

// A stack made by hand has no call that could remember.
func TestLimits_inAStackMadeByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, transport := range map[string]parley.Transport{
			"with a record": parley.HandlerTransport(http.HandlerFunc(welcoming)),
			"without": parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
				return &parley.Response{StatusCode: 200}, nil
			}),
		} {
			stack := parley.Limits()(transport)
			l := &ticker{every: time.Second}
			for n := range 2 {
				req, err := parley.NewRequest("GET", "http://a.test/x", parley.WithRateLimit(l), parley.WithMergedGets(true))
				require.NoError(t, err)
				resp, err := stack.Send(t.Context(), req)
				require.NoError(t, err)
				require.Len(t, resp.Holds(), n, name)
				require.NoError(t, resp.Close())
			}
			require.Empty(t, new(parley.Response).Holds())
		}
	})
}
