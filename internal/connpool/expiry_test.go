package connpool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIdleConnectionsAboveSoftLingerForSurplusIdle(t *testing.T) {
	const idle, surplus = 90 * time.Second, time.Second
	for _, c := range []struct{ soft, idle, kept int }{
		{-1, 5, 5}, {0, 1, 0}, {0, 3, 0}, {3, 2, 2}, {3, 3, 3}, {3, 4, 3}, {3, 9, 3},
	} {
		t.Run(fmt.Sprintf("%d idle, soft %d", c.idle, c.soft), func(t *testing.T) {
			bubble(t, Limits{Soft: c.soft, IdleTimeout: idle, SurplusIdle: surplus}, func(t *testing.T, r *rig) {
				r.idle("a", c.idle)
				time.Sleep(surplus - 1)
				synctest.Wait()
				require.Equal(t, c.idle, r.Stats().Idle)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				s := r.Stats()
				require.Equal(t, c.kept, s.Idle)
				require.EqualValues(t, c.idle-c.kept, s.Closed[ReasonSurplusIdle])
				for id := 1; id <= c.idle-c.kept; id++ {
					require.Len(t, r.closes(id), 1, "the idlest go")
				}
				time.Sleep(idle - surplus - 1)
				synctest.Wait()
				require.Equal(t, c.kept, r.Stats().Idle)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				require.EqualValues(t, c.kept, r.Stats().Closed[ReasonIdleTimeout])
				require.Empty(t, r.Stats().Origins)
				r.emptied()
			})
		})
	}
}

func TestWithoutSurplusIdleSurplusConnectionsAreAsTheOthers(t *testing.T) {
	bubble(t, Limits{Soft: 1, IdleTimeout: time.Minute}, func(t *testing.T, r *rig) {
		r.idle("a", 3)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		require.Equal(t, 3, r.Stats().Idle)
	})
}

func TestAConnectionIdleForLongGoesAtOnceWhenItBecomesSurplus(t *testing.T) {
	bubble(t, Limits{Soft: 1, IdleTimeout: time.Hour, SurplusIdle: time.Second}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		time.Sleep(time.Minute)
		first, second := r.get("a"), r.get("a")
		r.Release(first)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, r.Stats().Idle)
		r.Release(second)
		require.Equal(t, []Reason{ReasonSurplusIdle}, r.closes(first.Conn.id))
		require.Equal(t, 1, r.Stats().Idle)
	})
}

func TestNoIdleTimeoutMeansForEver(t *testing.T) {
	for _, l := range []Limits{{}, {Soft: -1}, {Soft: 5, SurplusIdle: time.Second}, {IdleTimeout: 1<<63 - 1}} {
		bubble(t, l, func(t *testing.T, r *rig) {
			r.idle("a", 3)
			time.Sleep(1000 * time.Hour)
			synctest.Wait()
			require.Equal(t, 3, r.Stats().Idle)
		})
	}
}

func TestLimitIdleShortensTheIdleTime(t *testing.T) {
	for _, c := range []struct {
		name string
		hint time.Duration
		lasts,
		other time.Duration
	}{
		{"shorter", 5 * time.Second, 5 * time.Second, 0},
		{"longer", 2 * time.Minute, time.Minute, 0},
		{"none", 0, time.Minute, 0},
		{"less than none", -1, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Limits{Soft: -1, IdleTimeout: time.Minute}, func(t *testing.T, r *rig) {
				e := r.get("a")
				e.LimitIdle(c.hint)
				r.Release(e)
				time.Sleep(c.lasts - 1)
				require.Empty(t, r.closes(1))
				time.Sleep(time.Nanosecond)
				require.Equal(t, []Reason{ReasonIdleTimeout}, r.closes(1))
			})
		})
	}
}

func TestUseRenewsTheIdleTime(t *testing.T) {
	bubble(t, Limits{Soft: 1, IdleTimeout: time.Minute}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		for range 5 {
			time.Sleep(time.Minute - 1)
			r.Release(r.get("a"))
		}
		require.Empty(t, r.closes(1))
		require.EqualValues(t, 1, r.Stats().Dials)
		time.Sleep(time.Minute)
		require.Len(t, r.closes(1), 1)
	})
}

func TestALentConnectionNeverExpires(t *testing.T) {
	bubble(t, Limits{IdleTimeout: time.Second, SurplusIdle: time.Second, MaxAge: time.Second},
		func(t *testing.T, r *rig) {
			r.idle("a", 1)
			e := r.get("a")
			time.Sleep(time.Hour)
			require.Empty(t, r.closes(1))
			r.Release(e)
			require.Equal(t, []Reason{ReasonMaxAge}, r.closes(1))
		})
}

func TestWhatExpiredIsNotLentThoughTheTimerIsLate(t *testing.T) {
	bubble(t, Limits{Soft: -1, IdleTimeout: time.Minute, Hard: 1}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		r.Pool.mu.Lock()
		r.timer.Stop()
		r.Pool.mu.Unlock()
		time.Sleep(time.Minute)
		a := r.start(1, "a", Want{})
		require.Equal(t, 2, a.conn(t).id)
		require.Equal(t, []Reason{ReasonIdleTimeout}, r.closes(1))
	})
}

func TestTheTimerIsSetOnlyForIdleConnections(t *testing.T) {
	bubble(t, Limits{Soft: -1, IdleTimeout: time.Minute}, func(t *testing.T, r *rig) {
		armed := func() bool {
			r.Pool.mu.Lock()
			defer r.Pool.mu.Unlock()
			return r.armedAt != 0
		}
		e := r.get("a")
		require.False(t, armed(), "a connection is lent")
		r.Release(e)
		require.True(t, armed())
		e = r.get("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.False(t, armed(), "it was set for one that is lent now, and was not set again")
		r.Release(e)
		require.True(t, armed())
		r.CloseIdle()
		require.False(t, armed(), "the origin is gone")
	})
}

func TestCloseIdleClosesWhatIsIdle(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.idle("a", 2)
		r.idle("b", 1)
		r.CloseIdle()
		s := r.Stats()
		require.EqualValues(t, 3, s.Closed[ReasonCloseIdle])
		require.Zero(t, s.Idle)
		r.Release(e)
		require.Equal(t, 1, r.Stats().Idle, "the pool goes on")
	})
}
