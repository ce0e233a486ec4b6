package aimd_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/aimd"
)

// take acquires a slot that must be there.
func take(t *testing.T, g *aimd.Gates[string]) *aimd.Slot {
	t.Helper()
	s, err := g.Acquire(t.Context(), "a", 0)
	require.NoError(t, err)
	require.Zero(t, s.Waited)
	return s
}

func stats(g *aimd.Gates[string]) (s aimd.Stats) {
	for _, s = range g.All(func(k string) string { return k }) {
		return s
	}
	return s
}

func TestGates_theLimitGrowsByOneForALimitOfAnswers(t *testing.T) {
	t.Parallel()
	g := aimd.New[string](aimd.Limits{Min: 1, Initial: 4, Max: 6})
	for want := 4; want <= 6; want++ {
		require.Equal(t, want, g.Limit("a"))
		for range want + 1 { // 1/L for each, and L grows meanwhile
			slots := []*aimd.Slot{take(t, g), take(t, g), take(t, g)}
			slots[0].Answered(time.Second)
			for _, s := range slots {
				s.Release()
			}
		}
	}
	require.Equal(t, 6, g.Limit("a"), "and not beyond the most")
	require.Equal(t, 4, g.Limit("of another key"))
}

func TestGates_aLimitThatIsNotUsedDoesNotGrow(t *testing.T) {
	t.Parallel()
	g := aimd.New[string](aimd.Limits{Min: 1, Initial: 4, Max: 100})
	for range 1000 {
		s := take(t, g)
		s.Answered(time.Second)
		s.Release()
	}
	require.Equal(t, 4, g.Limit("a"))
}

func TestGates_theLimitShrinksOnceForAllThatWereUnderWay(t *testing.T) {
	t.Parallel()
	g := aimd.New[string](aimd.Limits{Min: 3, Initial: 10, Max: 100})
	for _, want := range []int{7, 4, 3, 3} { // 10, 7, 4.9, 3.43, 3
		slots := []*aimd.Slot{take(t, g), take(t, g), take(t, g)}
		for _, s := range slots {
			s.Overloaded()
			s.Release()
			s.Release() // once more does nothing
		}
		require.Equal(t, want, g.Limit("a"))
		require.Zero(t, stats(g).Used)
	}
}

func TestGates_latencyCountsAgainstTheUsual(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tolerance float64
		slow      time.Duration
		shrinks   bool
	}{
		"slower than is tolerated": {2, 300 * time.Millisecond, true},
		"a little slower":          {2, 150 * time.Millisecond, false},
		"latency does not count":   {0, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := aimd.New[string](aimd.Limits{Min: 1, Initial: 10, Max: 10, Tolerance: test.tolerance})
			answer := func(n int, latency time.Duration) {
				for range n {
					s := take(t, g)
					s.Answered(latency)
					s.Release()
				}
			}
			answer(100, 100*time.Millisecond)
			require.InDelta(t, float64(100*time.Millisecond), float64(stats(g).Usual), float64(time.Microsecond))
			answer(12, test.slow)
			require.Equal(t, test.shrinks, g.Limit("a") < 10)
		})
	}
}

func TestGates_oneSlowAnswerIsNoOverload(t *testing.T) {
	t.Parallel()
	g := aimd.New[string](aimd.Limits{Min: 1, Initial: 10, Max: 10, Tolerance: 2})
	for i := range 100 {
		s := take(t, g)
		latency := 100 * time.Millisecond
		if i == 50 {
			latency = 900 * time.Millisecond
		}
		s.Answered(latency)
		s.Release()
	}
	require.Equal(t, 10, g.Limit("a"))
}

func TestGates_waitingEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wait    time.Duration
		timeout time.Duration
		want    func(t *testing.T, err error, took time.Duration)
	}{
		"by its bound": {time.Second, time.Hour, func(t *testing.T, err error, took time.Duration) {
			full := (*aimd.FullError)(nil)
			require.ErrorAs(t, err, &full)
			require.Equal(t, aimd.FullError{After: time.Second, Used: 1, Limit: 1}, *full)
			require.Equal(t, "after 1s: 1 of 1 in use, 0 waiting", err.Error())
			require.Equal(t, time.Second, took)
		}},
		"by its context": {0, time.Minute, func(t *testing.T, err error, took time.Duration) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Minute, took)
		}},
		"before it begins": {0, -1, func(t *testing.T, err error, took time.Duration) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Zero(t, took)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := aimd.New[string](aimd.Limits{Min: 1, Initial: 1, Max: 1})
				held := take(t, g)
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				began := time.Now()
				_, err := g.Acquire(ctx, "a", test.wait)
				test.want(t, err, time.Since(began))
				require.Zero(t, stats(g).Waiting)
				held.Release()
				take(t, g).Release()
			})
		})
	}
}

func TestGates_unusedKeysAreForgotten(t *testing.T) {
	t.Parallel()
	g := aimd.New[int](aimd.Limits{Min: 1, Initial: 1, Max: 1})
	held, err := g.Acquire(t.Context(), 0, 0)
	require.NoError(t, err)
	for key := range 5000 {
		s, err := g.Acquire(t.Context(), key+1, 0)
		require.NoError(t, err)
		s.Release()
	}
	n, seen := 0, false
	for key := range g.All(strconv.Itoa) {
		n++
		seen = seen || key == 0
		if n > 2000 {
			break
		}
	}
	require.LessOrEqual(t, n, 1001)
	require.True(t, seen, "what is in use is not")
	held.Release()
}

// Whatever happens in whatever order: never more slots than there may be, the limit within its bounds, the first come is the first served among those
// that stay, and in the end nothing is left.
func TestGates_property(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { drive(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func drive(t *testing.T, random *rand.Rand) {
	limits := aimd.Limits{Min: 1 + random.IntN(2), Initial: 2 + random.IntN(4), Max: 6 + random.IntN(6), Tolerance: 2}
	fixed := random.IntN(2) == 0
	if fixed {
		limits.Min, limits.Max = limits.Initial, limits.Initial
	}
	g := aimd.New[string](limits)
	var mu sync.Mutex
	var waiting, served []int // in the order in which they came, and were served
	var wg sync.WaitGroup
	for n := range 200 {
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
		hold, fate := time.Duration(random.IntN(40))*time.Millisecond, random.IntN(10)
		wait, life := time.Duration(1+random.IntN(100))*time.Millisecond, time.Duration(1+random.IntN(150))*time.Millisecond
		mu.Lock()
		waiting = append(waiting, n)
		mu.Unlock()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), life)
			defer cancel()
			s, err := g.Acquire(ctx, "a", wait)
			mu.Lock()
			waiting = slices.DeleteFunc(waiting, func(m int) bool { return m == n })
			if err == nil {
				served = append(served, n)
			}
			mu.Unlock()
			if err != nil {
				if full := (*aimd.FullError)(nil); !errors.As(err, &full) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				return
			}
			defer s.Release()
			time.Sleep(hold)
			if fate == 0 {
				s.Overloaded()
			} else if fate < 8 { // else it failed, and says nothing
				s.Answered(hold)
			}
		})
		synctest.Wait() // so that who came first has asked first
		now := stats(g)
		require.LessOrEqual(t, now.Used, limits.Max)
		require.True(t, !fixed || now.Used <= now.Limit, "%+v", now)
		require.GreaterOrEqual(t, now.Limit, limits.Min)
		require.LessOrEqual(t, now.Limit, limits.Max)
		if now.Waiting > 0 {
			require.GreaterOrEqual(t, now.Used, now.Limit, "nobody waits for what is there")
		}
	}
	wg.Wait()
	require.True(t, inOrder(served), "%v", served)
	now := stats(g)
	require.Zero(t, now.Used)
	require.Zero(t, now.Waiting)
	require.Empty(t, waiting)
	require.NotEmpty(t, served)
}

// inOrder reports whether nobody was served before somebody who came earlier and was
// served later. Those that were served at one moment may have written themselves down in
// any order, as far as that many can be.
func inOrder(served []int) bool {
	const atOnce = 12 // the largest limit
	for i, n := range served {
		for _, later := range served[min(i+atOnce, len(served)):] {
			if later < n {
				return false
			}
		}
	}
	return true
}

func TestGates_firstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := aimd.New[string](aimd.Limits{Min: 1, Initial: 1, Max: 1})
		held := take(t, g)
		var served []int
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 1 { // gives up in the middle of the queue
					time.AfterFunc(time.Millisecond, cancel)
				}
				defer cancel()
				s, err := g.Acquire(ctx, "a", 0)
				if err != nil {
					return
				}
				served = append(served, n) // one at a time
				time.Sleep(time.Millisecond)
				s.Release()
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Millisecond)
		held.Release()
		wg.Wait()
		require.Equal(t, []int{0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18}, served)
	})
}
