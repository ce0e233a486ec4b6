package parley_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// timed runs f in a bubble with a session whose requests are handled by answers in turn,
// and gives the moments at which they came.
func timed(t *testing.T, p parley.RetryPolicy, f func(t *testing.T, c *parley.Client), answers ...http.Handler) []time.Duration {
	t.Helper()
	var at []time.Duration
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		mock := parleytest.NewMock(t)
		mock.On("*", "*").Reply(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := len(at)
			at = append(at, time.Since(began))
			answers[min(n, len(answers)-1)].ServeHTTP(w, r)
		}))
		c := mock.Client(parley.WithBaseURL("http://a.test"), parley.WithRetry(p))
		f(t, c)
		synctest.Wait()
	})
	return at
}

// busyFor refuses with a Retry-After.
func busyFor(code int, after string) http.Handler {
	return parleytest.WithHeader("Retry-After", after, parleytest.Status(code))
}

func TestRetry_waitsGrowAndAreRandom(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 20 {
		var waits []time.Duration
		at := timed(t, parley.RetryPolicy{Tries: 6, MaxBackoff: 500 * time.Millisecond}, func(t *testing.T, c *parley.Client) {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, 503, resp.StatusCode)
			for _, try := range resp.Tries {
				waits = append(waits, try.Wait)
			}
		}, parleytest.Status(503))
		require.Len(t, at, 6)
		for i, bound := range []time.Duration{100, 200, 400, 500, 500} {
			require.Less(t, at[i+1]-at[i], bound*time.Millisecond)
			require.Equal(t, waits[i], at[i+1]-at[i])
			seen[waits[i]] = true
		}
		require.Zero(t, waits[5])
	}
	require.Greater(t, len(seen), 50)
}

func TestS197_WhatAServerAsksToWaitIsBounded(t *testing.T) {
	t.Parallel()
	for value, wait := range map[string]time.Duration{
		"3": 3 * time.Second, "30": 30 * time.Second, "0": 0, "": 0, "-5": 0, "soon": 0, "1.5": 0, "1e3": 0, " 7": 7 * time.Second,
		"31": -1, "99999999999": -1, "99999999999999999999999999": -1,
		"Sat, 01 Jan 2000 00:00:20 GMT": 20 * time.Second, // the bubble's clock starts at the year's beginning
		"Sat, 01 Jan 2000 00:10:00 GMT": -1,
		"Fri, 31 Dec 1999 00:00:00 GMT": 0,
		"Thu, 01 Jan 1970 00:00:00 GMT": 0,
	} {
		for _, code := range []int{429, 503} {
			at := timed(t, parley.RetryPolicy{}, func(t *testing.T, c *parley.Client) {
				resp, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				if wait < 0 {
					require.Equal(t, code, resp.StatusCode)
					require.Equal(t, "the server asks for a wait of more than 30s", resp.Tries[0].Reason)
				}
			}, busyFor(code, value), parleytest.Status(200))
			if wait < 0 {
				require.Len(t, at, 1, value)
				continue
			}
			require.Len(t, at, 2, value)
			require.GreaterOrEqual(t, at[1]-at[0], wait, value)
			require.Less(t, at[1]-at[0], wait+100*time.Millisecond, value)
		}
	}
	at := timed(t, parley.RetryPolicy{MaxRetryAfter: -1}, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
	}, busyFor(429, "99"), parleytest.Status(200))
	require.Less(t, at[1], 100*time.Millisecond, "where it means nothing")
}

func TestS197_TheEndOfTheContextEndsTheWait(t *testing.T) {
	t.Parallel()
	timed(t, parley.RetryPolicy{}, func(t *testing.T, c *parley.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		_, err := c.Post(ctx, "x", parley.WithHeader("Idempotency-Key", "k"))
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, err, context.Canceled)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.PhaseRetry, e.Phase)
		require.Equal(t, parley.Answering, e.Sent)
		var failed *parley.RetryError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Tries, 1)
		require.Equal(t, "the context ended during the wait for another", failed.Tries[0].Reason)
	}, busyFor(503, "20"))
}

func TestRetry_aTryThatCannotEndInTimeIsNotBegun(t *testing.T) {
	t.Parallel()
	began := time.Time{}
	deadline := func(t *testing.T, c *parley.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		resp, err := c.Get(ctx, "x")
		require.NoError(t, err, "the answer is better than a timeout")
		require.Equal(t, 503, resp.StatusCode)
		require.Contains(t, resp.Tries[0].Reason, "the deadline comes before a wait of 20")
	}
	for name, f := range map[string]func(*testing.T, *parley.Client){
		"of the context": deadline,
		"of the call": func(t *testing.T, c *parley.Client) {
			resp, err := c.Get(t.Context(), "x", parley.WithTimeout(5*time.Second))
			require.NoError(t, err)
			require.Contains(t, resp.Tries[0].Reason, "the deadline comes before a wait of 20")
		},
		"of a stream": func(t *testing.T, c *parley.Client) {
			resp, err := c.Stream(t.Context(), "GET", "x", parley.WithTimeout(5*time.Second))
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			require.Contains(t, resp.Tries[0].Reason, "the deadline comes before a wait of 20")
		},
	} {
		at := timed(t, parley.RetryPolicy{}, func(t *testing.T, c *parley.Client) {
			began = time.Now()
			f(t, c)
			require.Zero(t, time.Since(began), name)
		}, busyFor(503, "20"))
		require.Len(t, at, 1, name)
	}
}

func TestS160_TheTotalLimitCoversRetries(t *testing.T) {
	t.Parallel()
	timed(t, parley.RetryPolicy{Tries: -1, Backoff: 10 * time.Millisecond, MaxBackoff: 10 * time.Millisecond, Budget: &parley.RetryBudget{Burst: -1}}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		_, err := c.Get(t.Context(), "x", parley.WithTimeout(500*time.Millisecond))
		require.LessOrEqual(t, time.Since(began), 500*time.Millisecond)
		require.Greater(t, time.Since(began), 480*time.Millisecond, "as long as there was time for a wait")
		var failed *parley.RetryError
		require.ErrorAs(t, err, &failed)
		require.Greater(t, len(failed.Tries), 30)
		if !errors.Is(err, parley.ErrTotalTimeout) {
			require.Contains(t, failed.Tries[len(failed.Tries)-1].Reason, "the deadline comes before")
		}
	}, parleytest.After(3*time.Millisecond, parleytest.Fail(parley.ErrPeerClosed)))
}

func TestRetryBudget_isAShareOfTheRequests(t *testing.T) {
	t.Parallel()
	outage := func(b *parley.RetryBudget, requests int) int {
		at := timed(t, parley.RetryPolicy{Tries: 4, Backoff: -1, Budget: b}, func(t *testing.T, c *parley.Client) {
			for range requests {
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
			}
		}, parleytest.Status(503))
		return len(at)
	}
	require.Equal(t, 1000+100+199, outage(nil, 1000), "a burst of 100, and a fifth")
	require.Equal(t, 1000+10+499, outage(&parley.RetryBudget{Share: 0.5, Burst: 10}, 1000))
	require.Equal(t, 1000+10, outage(&parley.RetryBudget{Share: -1, Burst: 10}, 1000))
	require.Equal(t, 4000, outage(&parley.RetryBudget{Burst: -1}, 1000))

	b := new(parley.RetryBudget)
	require.Equal(t, parley.DefaultRetryBurst, b.Left())
	timed(t, parley.RetryPolicy{Tries: 3, Backoff: -1, Budget: b}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, "3 of 3", resp.Tries[2].Reason)
		require.Equal(t, parley.DefaultRetryBurst-2, b.Left())
		for range 100 {
			resp, err = c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		require.Equal(t, "the retry budget is spent", resp.Tries[len(resp.Tries)-1].Reason)
		d, err := c.With(parley.WithHeader("X", "1"))
		require.NoError(t, err)
		resp, err = d.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Len(t, resp.Tries, 1, "a derived session has the same budget")
	}, parleytest.Status(503))
	require.Equal(t, -1, (&parley.RetryBudget{Burst: -1}).Left())
}
