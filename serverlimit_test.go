package parley_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// tells answers with a status and fields.
func tells(w http.ResponseWriter, status int, fields ...string) {
	for i := 0; i < len(fields); i += 2 {
		w.Header().Set(fields[i], fields[i+1])
	}
	w.WriteHeader(status)
}

// asLong tells whether a wait is what was asked for and a little more.
func asLong(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, got, want)
	require.LessOrEqual(t, got, want+min(want/10, time.Second)+time.Millisecond)
}

func TestServerLimits_requestsWaitForTheReset(t *testing.T) {
	t.Parallel()
	const none = "0"
	for name, test := range map[string]struct {
		status int
		fields []string
		wait   time.Duration
	}{
		"nothing said":                         {200, nil, 0},
		"429 with Retry-After":                 {429, []string{"Retry-After", "7"}, 7 * time.Second},
		"503 with Retry-After":                 {503, []string{"Retry-After", "7"}, 7 * time.Second},
		"403 with Retry-After":                 {403, []string{"Retry-After", "7"}, 7 * time.Second},
		"429 without":                          {429, nil, 0},
		"Retry-After of a redirect":            {301, []string{"Retry-After", "7"}, 0},
		"RateLimit":                            {200, []string{"RateLimit", `"a";r=0;t=9`}, 9 * time.Second},
		"the longest of several":               {200, []string{"RateLimit", `"a";r=0;t=9, "b";r=0;t=20, "c";r=5;t=50`}, 20 * time.Second},
		"something is left":                    {200, []string{"RateLimit", `"a";r=1;t=9`}, 0},
		"of bytes":                             {200, []string{"RateLimit", `"a";r=0;t=9;qu="content-bytes"`}, 9 * time.Second},
		"the window where no reset is said":    {200, []string{"RateLimit", `"a";r=0`, "RateLimit-Policy", `"a";q=9;w=12`}, 12 * time.Second},
		"Retry-After wins over RateLimit":      {429, []string{"RateLimit", `"a";r=0;t=9`, "Retry-After", "3"}, 3 * time.Second},
		"older fields":                         {200, []string{"RateLimit-Limit", "10", "RateLimit-Remaining", none, "RateLimit-Reset", "8"}, 8 * time.Second},
		"X fields":                             {403, []string{"X-RateLimit-Remaining", none, "X-RateLimit-Reset", "8"}, 8 * time.Second},
		"X fields with a moment":               {403, []string{"X-RateLimit-Remaining", none, "X-RateLimit-Reset", strconv.FormatInt(bubbleStart+30, 10)}, 30 * time.Second},
		"malformed fields":                     {200, []string{"RateLimit", `"a;r=0;t=9`}, 0},
		"S197: no longer than MaxWait":         {429, []string{"Retry-After", "99999999999"}, time.Minute},
		"S197: nor by RateLimit":               {200, []string{"RateLimit", `"a";r=0;t=99999999999`}, time.Minute},
		"S197: nor by a moment":                {200, []string{"X-RateLimit-Remaining", none, "X-RateLimit-Reset", "99999999999"}, time.Minute},
		"S197: nor by more than a number":      {429, []string{"Retry-After", "99999999999999999999999"}, time.Minute},
		"S197: nor by a negative one":          {429, []string{"Retry-After", "-5"}, 0},
		"S197: nor by 0":                       {429, []string{"Retry-After", "0"}, 0},
		"S197: nor by the past":                {429, []string{"Retry-After", "Fri, 31 Dec 1999 00:00:00 GMT"}, 0},
		"S197: nor by what is no time":         {429, []string{"Retry-After", "soon"}, 0},
		"S197: a remainder that is no number":  {200, []string{"X-RateLimit-Remaining", "none", "X-RateLimit-Reset", "8"}, 0},
		"S197: a negative remainder":           {200, []string{"X-RateLimit-Remaining", "-1", "X-RateLimit-Reset", "8"}, 0},
		"S197: a remainder that has no bounds": {200, []string{"RateLimit", `"a";r=999999999999999;t=9`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m *moments
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				if m.note() == 1 {
					tells(w, test.status, test.fields...)
				}
			}, func(t *testing.T, c *parley.Client) {
				m = newMoments()
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				resp, err := c.Get(t.Context(), "y")
				require.NoError(t, err)
				asLong(t, test.wait, m.all()[1])
				if test.wait == 0 {
					require.Empty(t, resp.Holds())
					return
				}
				require.Len(t, resp.Holds(), 1)
				require.Equal(t, m.all()[1], resp.Holds()[0].Wait)
				require.Contains(t, resp.Holds()[0].Reason, "the server's limit ")
			}, parley.WithServerLimits(parley.ServerLimits{}))
		})
	}
}

// bubbleStart is when the time of a bubble begins, in seconds since 1970.
const bubbleStart = 946684800

func TestServerLimits_whatIsLeftIsCountedDownBetweenAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fields []string
		again  int // how many go out right after the reset
	}{
		"how many there are in all is known":     {[]string{"RateLimit", `"a";r=4;t=10`, "RateLimit-Policy", `"a";q=3;w=10`}, 3},
		"how many there are in all is not known": {[]string{"RateLimit", `"a";r=4;t=10`}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m *moments
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				if m.note() == 1 {
					tells(w, 200, test.fields...)
					return
				}
				time.Sleep(30 * time.Second) // no answer comes that would say more
			}, func(t *testing.T, c *parley.Client) {
				m = newMoments()
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				var all sync.WaitGroup
				for range 19 {
					all.Go(func() {
						_, err := c.Get(t.Context(), "y", parley.WithPhaseTimeout(time.Hour))
						require.NoError(t, err)
					})
				}
				all.Wait()
				at := m.all()
				require.Len(t, at, 20)
				for n, d := range at {
					switch {
					case n < 5:
						require.Zero(t, d)
					case n < 5+test.again:
						asLong(t, 10*time.Second, d)
					default:
						require.Greater(t, d, 11*time.Second)
					}
				}
			}, parley.WithServerLimits(parley.ServerLimits{}))
		})
	}
}

func TestServerLimits_countForOneOriginAndOneCredential(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		url   string
		opts  []parley.RequestOption
		waits bool
	}{
		"the same":                        {"http://a.test/y", []parley.RequestOption{parley.WithBearerToken("one")}, true},
		"another path":                    {"http://a.test/z?q=1", []parley.RequestOption{parley.WithBearerToken("one")}, true},
		"another credential":              {"http://a.test/y", []parley.RequestOption{parley.WithBearerToken("two")}, false},
		"none":                            {"http://a.test/y", nil, false},
		"another port":                    {"http://a.test:81/y", []parley.RequestOption{parley.WithBearerToken("one")}, false},
		"another scheme":                  {"https://a.test/y", []parley.RequestOption{parley.WithBearerToken("one")}, false},
		"what By says counts apart":       {"http://a.test/y", []parley.RequestOption{parley.WithBearerToken("one"), parley.WithHeader("X-Part", "search")}, false},
		"with another cookie it does not": {"http://a.test/y", []parley.RequestOption{parley.WithBearerToken("one"), parley.WithCookie("a", "b")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/x" {
					tells(w, 429, "Retry-After", "7")
				}
			}, func(t *testing.T, c *parley.Client) {
				_, err := c.Get(t.Context(), "http://a.test/x", parley.WithBearerToken("one"))
				require.NoError(t, err)
				began := time.Now()
				_, err = c.Get(t.Context(), test.url, test.opts...)
				require.NoError(t, err)
				require.Equal(t, test.waits, time.Since(began) > 0)
			}, parley.WithServerLimits(parley.ServerLimits{By: func(r *parley.Request) string { return r.Header.Get("X-Part") }}))
		})
	}
}

func TestServerLimits_aWaitThatWouldOutlastTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ctx  time.Duration
		opts []parley.RequestOption
	}{
		"of the context": {5 * time.Second, nil},
		"of the call":    {time.Hour, []parley.RequestOption{parley.WithTimeout(5 * time.Second)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				n++
				tells(w, 429, "Retry-After", "7")
			}, func(t *testing.T, c *parley.Client) {
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), test.ctx)
				defer cancel()
				_, err = c.Get(ctx, "x?secret=1", append(test.opts, parley.WithRetry(parley.RetryPolicy{}))...)
				require.ErrorIs(t, err, parley.ErrLimited)
				require.NotErrorIs(t, err, parley.ErrTimeout)
				require.Zero(t, time.Since(began))
				require.Equal(t, 1, n)
				require.Regexp(t, `^GET http://a\.test/x\?…?.*: limit: held back by a limit for another 7(\.\d+)?s: the server's limit Retry-After; the deadline comes before$`, err.Error())
			}, parley.WithServerLimits(parley.ServerLimits{}))
		})
	}
}

func TestServerLimits_aWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) { tells(w, 429, "Retry-After", "7") }, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		began := time.Now()
		_, err = c.Get(ctx, "x")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 2*time.Second, time.Since(began))
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.PhaseLimit, e.Phase)
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

// Where many wait for few, or a server never has enough, a request does not wait for ever.
func TestServerLimits_MaxWaitBoundsTheWaitsOfARequestTogether(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		tells(w, 200, "RateLimit", `"a";r=0;t=8`, "RateLimit-Policy", `"a";q=1;w=8`)
	}, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		began := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		good, bad := 0, 0
		for range 10 {
			all.Go(func() {
				_, err := c.Get(t.Context(), "x")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					good++
					return
				}
				bad++
				require.ErrorIs(t, err, parley.ErrLimited)
				require.ErrorContains(t, err, "longer than the 30s that WithServerLimits allows")
			})
		}
		all.Wait()
		require.Equal(t, 10, good+bad)
		require.GreaterOrEqual(t, good, 3)
		require.LessOrEqual(t, good, 4)
		require.Less(t, time.Since(began), 40*time.Second)
	}, parley.WithServerLimits(parley.ServerLimits{MaxWait: 30 * time.Second}))
}

// With a policy both speak of the same answer, and the wait is not had twice.
func TestServerLimits_andRetries(t *testing.T) {
	t.Parallel()
	var m *moments
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		if m.note() == 1 {
			tells(w, 429, "Retry-After", "7")
		}
	}, func(t *testing.T, c *parley.Client) {
		m = newMoments()
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Len(t, resp.Tries, 2)
		require.Equal(t, 200, resp.StatusCode)
		require.GreaterOrEqual(t, m.all()[1], 7*time.Second)
		require.LessOrEqual(t, m.all()[1], 7*time.Second+100*time.Millisecond)
	}, parley.WithServerLimits(parley.ServerLimits{}), parley.WithRetry(parley.RetryPolicy{}))
}

// A try that the server's limits would hold back beyond the deadline is not begun, so that
// the answer there is stays the caller's.
func TestServerLimits_andRetriesUnderOneDeadline(t *testing.T) {
	t.Parallel()
	n := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		tells(w, 503, "RateLimit", `"a";r=0;t=20`)
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		resp, err := c.Get(t.Context(), "x", parley.WithTimeout(30*time.Second), parley.WithBearerToken("t"))
		require.NoError(t, err)
		require.Equal(t, 503, resp.StatusCode)
		asLong(t, 20*time.Second, time.Since(began))
		require.Equal(t, 2, n)
		require.Len(t, resp.Tries, 2)
		require.Len(t, resp.Tries[1].Holds, 1)
		require.Equal(t, `the server's limit a`, resp.Tries[1].Holds[0].Reason)
		require.Equal(t, "the deadline comes before a wait of 20s ends", resp.Tries[1].Reason)
	}, parley.WithServerLimits(parley.ServerLimits{}), promptly(parley.RetryPolicy{}))
}

// What waits for a place must not go out when the server has refused others meanwhile.
func TestServerLimits_aRefusalHoldsBackWhatWaitsForOtherLimits(t *testing.T) {
	t.Parallel()
	var m *moments
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		if m.note() == 1 {
			time.Sleep(time.Second)
			tells(w, 429, "Retry-After", "7")
		}
	}, func(t *testing.T, c *parley.Client) {
		m = newMoments()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
			})
		}
		all.Wait()
		at := m.all()
		require.Len(t, at, 5)
		for _, d := range at[1:] {
			asLong(t, 8*time.Second, d)
		}
		require.Zero(t, c.Concurrency()[0].Active)
	}, parley.WithServerLimits(parley.ServerLimits{}), parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Max: 1}))
}

func TestServerLimits_whatWasNotSentIsNotCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" {
			tells(w, 200, "RateLimit", `"a";r=1;t=30`)
		}
	}, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		began := time.Now()
		for range 3 {
			_, err = c.Get(t.Context(), "y", parley.WithTarget("a b"))
			require.Error(t, err)
			_, err = c.Get(t.Context(), "y", parley.WithRateLimit(limiterFunc(func(context.Context) error { return errBroken })))
			require.ErrorIs(t, err, errBroken)
		}
		_, err = c.Get(t.Context(), "y")
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		_, err = c.Get(t.Context(), "y")
		require.NoError(t, err)
		asLong(t, 30*time.Second, time.Since(began))
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

// The answers of one window come in any order, and those of the last one late.
func TestServerLimits_lateAnswersDoNotGiveMore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late": // it was answered when much was left, and took its way
			time.Sleep(2 * time.Second)
			tells(w, 200, "RateLimit", `"a";r=50;t=10`)
		case "/last":
			time.Sleep(time.Second)
			tells(w, 200, "RateLimit", `"a";r=0;t=11`)
		}
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		var all sync.WaitGroup
		for _, path := range []string{"late", "last"} {
			all.Go(func() {
				_, err := c.Get(t.Context(), path)
				require.NoError(t, err)
			})
		}
		all.Wait()
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), 12*time.Second)
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

// A server that always has some left says so with each answer.
func TestServerLimits_aBucketThatFillsUpAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) { tells(w, 200, "RateLimit", `"a";r=2;t=1`) }, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		for range 30 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(began))
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

// A server that slides its window forward gives more with time.
func TestServerLimits_aSlidingWindow(t *testing.T) {
	t.Parallel()
	left := 3
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		tells(w, 200, "RateLimit", `"a";r=`+strconv.Itoa(left)+`;t=60`)
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		for range 30 { // always a few are left
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			time.Sleep(800 * time.Millisecond)
		}
		require.Equal(t, 24*time.Second, time.Since(began))
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

func TestServerLimits_derivedSessionsShareWhatWasLearnt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, r *http.Request) { tells(w, 429, "Retry-After", "7") }, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		own, err := c.With(parley.WithServerLimits(parley.ServerLimits{}))
		require.NoError(t, err)
		shared, err := c.With(parley.WithHeader("X-A", "b"))
		require.NoError(t, err)
		began := time.Now()
		_, err = own.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		_, err = shared.Get(t.Context(), "x")
		require.NoError(t, err)
		asLong(t, 7*time.Second, time.Since(began))
	}, parley.WithServerLimits(parley.ServerLimits{}))
}

// A server that names ever new policies is remembered with a few.
func TestServerLimits_policiesAreBounded(t *testing.T) {
	t.Parallel()
	n := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		tells(w, 200, "RateLimit", `"`+strings.Repeat("x", 200)+`";r=99;t=1,"p`+strconv.Itoa(n)+`";r=`+strconv.Itoa(50-n)+`;t=30`)
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		for range 7 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		time.Sleep(40 * time.Second) // all are over, and make room
		for range 13 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		require.Equal(t, 40*time.Second, time.Since(began), "there was always something left")
	}, parley.WithServerLimits(parley.ServerLimits{}))
}
