package parley_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// requests gives n requests for their numbers.
func requests(t testing.TB, c *parley.Client, n int) iter.Seq[*parley.Request] {
	return func(yield func(*parley.Request) bool) {
		for i := range n {
			req, err := c.NewRequest("GET", fmt.Sprint(i))
			require.NoError(t, err)
			if !yield(req) {
				return
			}
		}
	}
}

func TestGather_sendsAtMostTheLimitAtOnce(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{-1, 0, 1, 3, 50} {
		var now, most atomic.Int64
		s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			n := now.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			defer now.Add(-1)
			return wiretest.OK(r.RequestURI)
		}))
		c := sessionTo(t, s)
		var seen []int
		for r := range c.Gather(t.Context(), limit, requests(t, c, 20)) {
			require.NoError(t, r.Err)
			text, err := r.Response.Text()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("/", r.Index), text)
			require.Equal(t, text, r.Request.URL.Path)
			seen = append(seen, r.Index)
		}
		slices.Sort(seen)
		require.Len(t, slices.Compact(seen), 20, "each once")
		require.LessOrEqual(t, most.Load(), int64(max(limit, 1)))
		require.LessOrEqual(t, s.Accepted(), max(limit, 1))
		require.Zero(t, c.Stats().Active, "bodies have been read")
	}
}

func TestGather_givesResultsAsTheyComplete(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/0" {
			select {
			case <-release:
			case <-c.Ending():
			}
		}
		return wiretest.OK("")
	}))
	c := sessionTo(t, s)
	var order []int
	for r := range c.Gather(t.Context(), 2, requests(t, c, 5)) {
		require.NoError(t, r.Err)
		if order = append(order, r.Index); len(order) == 4 {
			close(release)
		}
	}
	require.Equal(t, []int{1, 2, 3, 4, 0}, order)
}

func TestGather_anErrorIsTheResultOfItsRequest(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/1" {
			return "this is not HTTP\r\n\r\n"
		}
		return wiretest.OK("")
	}))
	c := sessionTo(t, s)
	fails := func(yield func(*parley.Request) bool) {
		if !yield(nil) {
			return
		}
		requests(t, c, 3)(yield)
	}
	kinds := map[int]error{0: parley.ErrInvalidURL, 2: parley.ErrRemoteProtocol}
	count := 0
	for r := range c.Gather(t.Context(), 2, fails) {
		count++
		if kind := kinds[r.Index]; kind != nil {
			require.ErrorIs(t, r.Err, kind)
			require.Nil(t, r.Response)
			continue
		}
		require.NoError(t, r.Err)
		require.Equal(t, 200, r.Response.StatusCode)
	}
	require.Equal(t, 4, count)
	for range c.Gather(t.Context(), 2, requests(t, c, 0)) {
		t.Fatal("nothing gives nothing")
	}
}

func TestGather_leavingTheLoopEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI != "/0" {
			c.Hold()
		}
		return wiretest.OK("")
	}))
	c := sessionTo(t, s)
	taken, stopped := 0, false
	endless := func(yield func(*parley.Request) bool) {
		defer func() { stopped = true }()
		for r := range requests(t, c, 1000) {
			taken++
			if !yield(r) {
				return
			}
		}
	}
	for r := range c.Gather(t.Context(), 4, endless) {
		require.NoError(t, r.Err)
		require.Zero(t, r.Index)
		break
	}
	require.True(t, stopped)
	require.LessOrEqual(t, taken, 5, "requests are taken when there is room")
	wiretest.Eventually(t, func() bool { stats := c.Stats(); return stats.Active+stats.Dialing == 0 }, "nothing is under way")
}

func TestGather_aCancelledContextEndsEveryRequest(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		c.Hold()
		return ""
	}))
	c := sessionTo(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	count := 0
	started := func(yield func(*parley.Request) bool) {
		for r := range requests(t, c, 6) {
			if count++; count == 3 {
				cancel()
			}
			if !yield(r) {
				return
			}
		}
	}
	results := 0
	for r := range c.Gather(ctx, 3, started) {
		require.ErrorIs(t, r.Err, context.Canceled)
		results++
		cancel()
	}
	require.Equal(t, 6, results)
	cancel()
}
