package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// hedged runs f in a bubble with a session that hedges after a second. The n-th request,
// from 0, is answered by answer.
func hedged(t *testing.T, p parley.RetryPolicy, answer func(n int, w http.ResponseWriter, r *http.Request), f func(t *testing.T, c *parley.Client)) (requests int) {
	t.Helper()
	var n atomic.Int32
	synctest.Test(t, func(t *testing.T) {
		p.Hedge, p.Backoff = time.Second, -1
		c, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithRetry(p),
			parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer(int(n.Add(1))-1, w, r)
			})))
		require.NoError(t, err)
		f(t, c)
		synctest.Wait()
		require.NoError(t, c.Close())
	})
	return int(n.Load())
}

// after answers with text when d has passed, unless the request is cancelled.
func after(d time.Duration, w http.ResponseWriter, r *http.Request, text string) (cancelled bool) {
	select {
	case <-r.Context().Done():
		return true
	case <-time.After(d):
	}
	_, err := io.WriteString(w, text)
	return err != nil
}

func TestHedge_aSlowAnswerIsOvertaken(t *testing.T) {
	t.Parallel()
	var cancelled atomic.Bool
	n := hedged(t, parley.RetryPolicy{}, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			cancelled.Store(after(time.Hour, w, r, "slow"))
		} else {
			after(500*time.Millisecond, w, r, "fast")
		}
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "fast", text)
		require.Equal(t, 1500*time.Millisecond, time.Since(began))
		require.Len(t, resp.Tries, 1)
		require.True(t, resp.Tries[0].Hedged)
	})
	require.Equal(t, 2, n)
	require.True(t, cancelled.Load(), "the loser")
}

func TestHedge_theFirstMayStillWin(t *testing.T) {
	t.Parallel()
	n := hedged(t, parley.RetryPolicy{}, func(n int, w http.ResponseWriter, r *http.Request) {
		after([]time.Duration{2 * time.Second, time.Hour}[n], w, r, "first")
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "first", text)
	})
	require.Equal(t, 2, n)
}

func TestHedge_aPromptAnswerIsEnough(t *testing.T) {
	t.Parallel()
	n := hedged(t, parley.RetryPolicy{}, func(_ int, w http.ResponseWriter, r *http.Request) {
		after(900*time.Millisecond, w, r, "prompt")
	}, func(t *testing.T, c *parley.Client) {
		for range 3 {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			require.False(t, resp.Tries[0].Hedged)
		}
	})
	require.Equal(t, 3, n)
}

func TestHedge_aStreamGoesOnWhenTheOtherIsGone(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	hedged(t, parley.RetryPolicy{}, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			<-r.Context().Done()
			ended.Store(true)
			return
		}
		for range 5 {
			if _, err := io.WriteString(w, "piece "); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
		}
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.True(t, ended.Load())
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "piece piece piece piece piece ", string(got))
		require.NoError(t, resp.Close())
	})
}

func TestHedge_failuresWaitForTheOther(t *testing.T) {
	t.Parallel()
	n := hedged(t, parley.RetryPolicy{Tries: 1}, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 0:
			after(2*time.Second, w, r, "late, but good")
		case 1:
			w.WriteHeader(503)
		}
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "late, but good", text)
	})
	require.Equal(t, 2, n)
	// Where both fail, an answer says more than a failure, and the next try is as any other.
	n = hedged(t, parley.RetryPolicy{Tries: 2}, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 0:
			time.Sleep(2 * time.Second)
			panic(http.ErrAbortHandler)
		case 1:
			w.WriteHeader(503)
		default:
			after(0, w, r, "good")
		}
	}, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Len(t, resp.Tries, 2)
		require.Equal(t, 503, resp.Tries[0].Response.StatusCode)
	})
	require.Equal(t, 3, n)
}

// TestHedge_notSentIsSaidOfBoth shows that the server can have seen a request if it can have
// seen one of the two.
func TestHedge_notSentIsSaidOfBoth(t *testing.T) {
	t.Parallel()
	maybe, not := parley.MaybeSent, parley.NotSent
	for name, turns := range map[string][]parley.Sent{"the first": {maybe, not}, "the second": {not, maybe}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int32
				second := make(chan struct{})
				c := newSession(t, parley.WithRetry(parley.RetryPolicy{Tries: 1, Hedge: time.Second}),
					parley.WithTransport(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
						at := n.Add(1)
						if at == 2 {
							close(second)
						}
						<-second
						time.Sleep(time.Duration(at) * time.Millisecond) // the second fails last
						return nil, &parley.Error{Method: req.Method, URL: req.URL, Sent: turns[at-1], Err: parley.ErrConnect}
					})))
				_, err := c.Get(t.Context(), "http://a.test/")
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, maybe, e.Sent)
			})
		})
	}
}

func TestHedge_onlyWhatIsSafe(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(t *testing.T, c *parley.Client) error{
		"POST": func(t *testing.T, c *parley.Client) error { _, err := c.Post(t.Context(), "x"); return err },
		"PUT":  func(t *testing.T, c *parley.Client) error { _, err := c.Put(t.Context(), "x"); return err },
		"a body that is read once": func(t *testing.T, c *parley.Client) error {
			_, err := c.Query(t.Context(), "x", parley.WithReader(inParts("a", "b")))
			return err
		},
	} {
		n := hedged(t, parley.RetryPolicy{AnyMethod: true}, func(_ int, w http.ResponseWriter, r *http.Request) {
			after(5*time.Second, w, r, "slow")
		}, func(t *testing.T, c *parley.Client) { require.NoError(t, send(t, c), name) })
		require.Equal(t, 1, n, name)
	}
}

func TestHedge_countsInTheBudget(t *testing.T) {
	t.Parallel()
	n := hedged(t, parley.RetryPolicy{Budget: &parley.RetryBudget{Burst: 3, Share: -1}}, func(_ int, w http.ResponseWriter, r *http.Request) {
		after(5*time.Second, w, r, "slow")
	}, func(t *testing.T, c *parley.Client) {
		for range 10 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
	})
	require.Equal(t, 13, n)
}

func TestHedge_endsWithItsContext(t *testing.T) {
	t.Parallel()
	var ended atomic.Int32
	hedged(t, parley.RetryPolicy{}, func(_ int, _ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended.Add(1)
	}, func(t *testing.T, c *parley.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Get(ctx, "x")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	require.EqualValues(t, 2, ended.Load())
}

func TestHedge_aPanicIsTheCallers(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	c, err := parley.New(parley.WithRetry(parley.RetryPolicy{Hedge: time.Hour}),
		parley.WithTransport(parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { panic(boom) })))
	require.NoError(t, err)
	require.PanicsWithValue(t, boom, func() { c.Get(t.Context(), "http://a.test/") })
	require.NoError(t, c.Close())
}
