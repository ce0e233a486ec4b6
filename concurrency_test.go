package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// exactly is a limit that does not move.
func exactly(n int) parley.ClientOption {
	return parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Min: n, Initial: n, Max: n})
}

func TestConcurrency_noMoreThanTheLimitAtOnceForEachOrigin(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Second)
		now.Add(-1)
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		waited := map[time.Duration]int{}
		for range 9 {
			for _, url := range []string{"http://a.test/", "http://b.test/"} {
				all.Go(func() {
					resp, err := c.Get(t.Context(), url)
					require.NoError(t, err)
					mu.Lock()
					defer mu.Unlock()
					for _, h := range resp.Holds() {
						require.Contains(t, h.Reason, "3 requests at once to http://")
						waited[h.Wait]++
					}
				})
			}
		}
		all.Wait()
		require.Equal(t, 3*time.Second, time.Since(began))
		require.EqualValues(t, 6, most.Load())
		require.Equal(t, map[time.Duration]int{time.Second: 6, 2 * time.Second: 6}, waited)
		rows := c.Concurrency()
		require.Len(t, rows, 2)
		require.Equal(t, parley.OriginConcurrency{Origin: "http://a.test:80", Limit: 3, Recent: time.Second, Usual: time.Second}, rows[0])
		require.Equal(t, "http://b.test:80", rows[1].Origin)
	}, exactly(3))
	require.Nil(t, newSession(t).Concurrency())
}

func TestConcurrency_aPlaceIsTakenUntilTheBodyEndsOrIsClosed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(t *testing.T, resp *parley.Response)
		free bool
	}{
		"not read": {func(*testing.T, *parley.Response) {}, false},
		"read to its end": {func(t *testing.T, resp *parley.Response) {
			_, err := io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
		}, true},
		"closed": {func(t *testing.T, resp *parley.Response) { require.NoError(t, resp.Close()) }, true},
		"closed twice": {func(t *testing.T, resp *parley.Response) {
			require.NoError(t, resp.Close())
			require.NoError(t, resp.Close())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", 100)) // the reader may be gone
			}, func(t *testing.T, c *parley.Client) {
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				test.end(t, resp)
				began := time.Now()
				_, err = c.Get(t.Context(), "y")
				if test.free {
					require.NoError(t, err)
					require.Zero(t, time.Since(began))
					return
				}
				require.ErrorIs(t, err, parley.ErrPoolTimeout)
				require.ErrorIs(t, err, parley.ErrLimited)
				require.Equal(t, parley.DefaultPoolTimeout, time.Since(began))
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.PhaseLimit, e.Phase)
				require.Equal(t, parley.NotSent, e.Sent)
				require.Equal(t, parley.DefaultPoolTimeout, e.Limit)
				require.EqualError(t, err, "GET http://a.test/y: limit: pool timeout after 5s: 1 of 1 requests at once to http://a.test:80 under way, 0 waiting: held back by a limit")
				require.NoError(t, resp.Close())
				require.Zero(t, c.Concurrency()[0].Active)
			}, exactly(1))
		})
	}
}

func TestConcurrency_aPlaceIsGivenBackWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		opts   []parley.RequestOption
		panics bool
	}{
		"no content":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, nil, false},
		"a failure":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, false},
		"a request that fails": {welcoming, []parley.RequestOption{parley.WithTarget("a b")}, false},
		"a passed timeout":     {afterAMinute, nil, false},
		"a redirect":           {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://b.test/", http.StatusFound) }, []parley.RequestOption{parley.WithMaxRedirects(3)}, false},
		"a body that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half") // the reader may be gone
		}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, test.answer, func(t *testing.T, c *parley.Client) {
				_, _ = c.Get(t.Context(), "x", test.opts...) // failed or not
				for _, row := range c.Concurrency() {
					require.Zero(t, row.Active, row.Origin)
				}
			}, exactly(1))
		})
	}
	t.Run("a panic", func(t *testing.T) {
		t.Parallel()
		c := newSession(t, exactly(1), parley.WithTransport(parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { panic("no") })))
		require.Panics(t, func() { _, _ = c.Get(t.Context(), "http://a.test/") })
		require.Zero(t, c.Concurrency()[0].Active)
	})
}

func TestConcurrency_aPlaceOfADroppedResponseIsGivenBack(t *testing.T) {
	s := wiretest.Serve(t, wiretest.Echo())
	c := newSession(t, parley.WithBaseURL(s.URL()), exactly(1))
	resp, err := c.Stream(t.Context(), "POST", "x", parley.WithText("something"))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	resp = nil
	require.Eventually(t, func() bool {
		runtime.GC()
		return c.Concurrency()[0].Active == 0
	}, guard, time.Millisecond)
	require.Nil(t, resp)
}

// afterAMinute answers after a minute, if that is waited for.
func afterAMinute(w http.ResponseWriter, r *http.Request) { after(time.Minute, w, r, "") }

func TestConcurrency_theLimitFollowsWhatHappens(t *testing.T) {
	t.Parallel()
	refuse := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		opts   []parley.RequestOption
		limit  int
	}{
		"200":                    {welcoming, nil, 10},
		"404":                    {refuse(404), nil, 10},
		"500 is no overload":     {refuse(500), nil, 10},
		"429":                    {refuse(429), nil, 7},
		"503":                    {refuse(503), nil, 7},
		"no answer in time":      {afterAMinute, nil, 7},
		"nor before the call":    {afterAMinute, []parley.RequestOption{parley.WithTimeout(time.Second)}, 7},
		"a broken one":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, 10},
		"what could not be sent": {welcoming, []parley.RequestOption{parley.WithTarget("a b")}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, test.answer, func(t *testing.T, c *parley.Client) {
				_, _ = c.Get(t.Context(), "x", test.opts...) // failed or not
				require.Equal(t, test.limit, c.Concurrency()[0].Limit)
			}, parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{}))
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		inBubble(t, afterAMinute, func(t *testing.T, c *parley.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := c.Get(ctx, "x")
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 10, c.Concurrency()[0].Limit)
		}, parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{}))
	})
}

// The server takes 8 at once and gets slow beyond. The session does not know, and finds
// out: it gets to where all are served without having to be told.
func TestConcurrency_findsWhatAServerCanTake(t *testing.T) {
	t.Parallel()
	const capacity = 8
	var now, refused atomic.Int32
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		if n > capacity {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}, func(t *testing.T, c *parley.Client) {
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				for range 50 {
					_, err := c.Get(t.Context(), "x", parley.WithTimeouts(parley.Timeouts{Pool: parley.NoTimeout}))
					require.NoError(t, err)
				}
			})
		}
		all.Wait()
		limit := c.Concurrency()[0].Limit
		require.GreaterOrEqual(t, limit, capacity/2)
		require.LessOrEqual(t, limit, capacity+2)
		require.Less(t, int(refused.Load()), 200, "of 2,000, where all at once would have had most of them refused")
	}, parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{}))
}

func TestConcurrency_aWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, r *http.Request) { after(20*time.Second, w, r, "") }, func(t *testing.T, c *parley.Client) {
		var all sync.WaitGroup
		all.Go(func() {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		})
		time.Sleep(time.Second)
		for _, opts := range [][]parley.RequestOption{{parley.WithTimeout(time.Second)}, {parley.WithTimeouts(parley.Timeouts{Pool: parley.NoTimeout, Total: 10 * time.Second})}} {
			_, err := c.Get(t.Context(), "x", opts...)
			require.ErrorIs(t, err, parley.ErrTotalTimeout)
			require.False(t, errors.Is(err, parley.ErrLimited))
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.PhaseLimit, e.Phase)
			require.NotZero(t, e.Limit)
		}
		all.Wait()
	}, exactly(1))
}

// An upgraded connection is no request any more.
func TestConcurrency_anUpgradeTakesNoPlace(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()), exactly(1))
	resp, err := c.Stream(t.Context(), "GET", "x", parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "x"))
	require.NoError(t, err)
	conn, err := resp.Conn()
	require.NoError(t, err)
	require.Zero(t, c.Concurrency()[0].Active)
	require.NoError(t, conn.Close())
}
