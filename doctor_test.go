package parley_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestDoctor_whatFiguresPointTo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	limits := parley.PoolLimits{Soft: 2, Hard: 8, IdleTimeout: time.Minute, SurplusIdle: time.Second}
	row := func(change func(*parley.OriginStats)) parley.PoolStats {
		o := parley.OriginStats{Origin: "https://a.test:443"}
		change(&o)
		return parley.PoolStats{Origins: []parley.OriginStats{o}}
	}
	closed := func(why string, n, single int64) func(*parley.OriginStats) {
		return func(o *parley.OriginStats) {
			o.Closed, o.Single, o.Peak, o.Dials = map[string]int64{why: n, "pool closed": 500}, single, 40, n
		}
	}
	for name, test := range map[string]struct {
		stats parley.PoolStats
		want  []string // parts of the texts, in their order
	}{
		"nothing":             {parley.PoolStats{}, nil},
		"an origin in health": {row(func(o *parley.OriginStats) { o.Dials, o.Reuses, o.Waits = 100, 10_000, 3 }), nil},
		"connections used once": {
			row(closed("surplus idle", 120, 100)),
			[]string{"83 % of 120 connections to https://a.test:443 were closed after one use, mostly for: surplus idle; soft limit 2, and up to 40 in use at once. Raise PoolLimits.Soft towards 40, or SurplusIdle above 1s."},
		},
		"used more than once":       {row(closed("surplus idle", 120, 59)), nil},
		"too few to tell":           {row(closed("surplus idle", 19, 19)), nil},
		"ended by one of the peers": {row(closed("not reusable", 20, 20)), []string{"100 % of 20 connections to https://a.test:443 were closed after one use, mostly for: not reusable. The server or the requests say"}},
		"for other reasons":         {row(closed("made room for another origin", 30, 20)), []string{"67 % of 30"}},
		"waits": {
			row(func(o *parley.OriginStats) {
				o.Waits, o.WaitTime, o.PoolTimeouts, o.Waiting, o.Active = 3, 6*time.Second, 1, 2, 8
			}),
			[]string{"3 requests waited for one of 8 connections to https://a.test:443, 2s on average; 1 gave up; 2 are waiting now, with 8 in use. Raise PoolLimits.Hard"},
		},
		"a connection that somebody has forgotten": {
			row(func(o *parley.OriginStats) { o.Oldest = now.Add(-time.Hour) }),
			[]string{"A connection to https://a.test:443 has been in use for 1h0m0s"},
		},
		"with the request that has it": {
			row(func(o *parley.OriginStats) { o.Oldest, o.OldestRequest = now.Add(-time.Hour), "GET https://a.test/log" }),
			[]string{"A connection to https://a.test:443 has been in use for 1h0m0s, by GET https://a.test/log. If that is no event stream"},
		},
		"one that is in use": {row(func(o *parley.OriginStats) { o.Oldest = now.Add(-time.Minute) }), nil},
		"servers that hang up": {
			row(func(o *parley.OriginStats) {
				o.Dials, o.Closed = 20, map[string]int64{"peer closed while idle": 3, "replaced": 2}
			}),
			[]string{"5 of 20 connections to https://a.test:443 were closed by the server while they were idle, or as a request came. Set PoolLimits.IdleTimeout"},
		},
		"bytes that nobody asked for": {
			row(func(o *parley.OriginStats) { o.Closed = map[string]int64{"unexpected data while idle": 1} }),
			[]string{"1 idle connection to https://a.test:443 received bytes"},
		},
		"dials that fail":              {row(func(o *parley.OriginStats) { o.Dials, o.DialErrors = 50, 5 }), []string{"5 of 50 dials to https://a.test:443 failed"}},
		"dials that fail now and then": {row(func(o *parley.OriginStats) { o.Dials, o.DialErrors = 51, 5 }), nil},
		"responses that nobody closed": {
			parley.PoolStats{Leaked: 9, Leaks: map[string]int64{"http://a.test/1": 1, "http://a.test/2": 5, "http://a.test/3": 2, "http://a.test/4": 1}},
			[]string{"9 responses were dropped without being closed, from http://a.test/2, http://a.test/3, http://a.test/1, …."},
		},
		"timeouts": {
			parley.PoolStats{Timeouts: map[parley.Phase]int64{parley.PhaseResponse: 5, parley.PhaseRead: 4, parley.PhaseWrite: 7, parley.PhasePool: 9}},
			[]string{"7 requests were ended by the write timeout", "5 requests were ended by the response timeout"},
		},
		"requests sent twice": {
			parley.PoolStats{PoolCounts: parley.PoolCounts{Dials: 10, Reuses: 90}, Replays: 5},
			[]string{"5 of 100 requests were sent again, since"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := parley.Diagnose(test.stats, limits, now)
			require.Len(t, got, len(test.want), "%v", got)
			for i, want := range test.want {
				require.Contains(t, got[i].String(), want)
				require.NotEmpty(t, got[i].Advice)
			}
		})
	}
}

func TestDoctor_findsALowSoftLimit(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	together := make(chan struct{})
	var arrived, all sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		<-together
	}))
	defer s.Close()
	c := newSession(t, parley.WithBaseURL(s.URL), parley.WithPoolLimits(parley.PoolLimits{Soft: 1, SurplusIdle: time.Nanosecond}))
	require.Empty(t, c.Doctor())
	require.Equal(t, parley.PoolLimits{
		Soft: 1, Hard: parley.DefaultHardLimit, IdleTimeout: parley.DefaultIdleTimeout, SurplusIdle: time.Nanosecond, MaxAge: parley.DefaultMaxAge,
	}, c.Pool().Limits())
	arrived.Add(40)
	for range 40 {
		all.Go(func() {
			if _, err := c.Get(context.Background(), ""); err != nil {
				t.Error(err)
			}
		})
	}
	arrived.Wait()
	close(together)
	all.Wait()
	wiretest.Eventually(t, func() bool { return c.Stats().Closed["surplus idle"] == 39 }, "all but one are closed")
	findings := c.Doctor()
	require.Len(t, findings, 1)
	require.Equal(t, s.URL, findings[0].Origin)
	require.Contains(t, findings[0].Text, "100 % of 39 connections to "+s.URL+" were closed after one use, mostly for: surplus idle; soft limit 1, and up to 40 in use at once")
}

func TestDoctor_withoutAPool(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithHandler(http.NotFoundHandler()))
	require.Nil(t, c.Doctor())
}

func TestLatency_isMeasuredOnRequest(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := newSession(t, parley.WithBaseURL(s.URL()))
	ask := func() {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
	}
	ask()
	require.Zero(t, c.Stats().Origins[0].Latency)
	c.Pool().MeasureLatency()
	c.Pool().MeasureLatency()
	for range 10 {
		ask()
	}
	l := c.Stats().Origins[0].Latency
	require.EqualValues(t, 10, l.Count)
	require.Positive(t, l.P50)
	require.LessOrEqual(t, l.P50, l.P90)
	require.LessOrEqual(t, l.P90, l.P99)
	require.LessOrEqual(t, l.P99, l.Max)
}
