package connpool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func (r *rig) replace(number int, e *Entry[string, *fakeConn]) *attempt {
	return r.startWith(number, e.Key(), func(ctx context.Context) (*Entry[string, *fakeConn], Got, error) {
		return r.Replace(ctx, e, ReasonPeerClosed, Want{Wait: time.Nanosecond})
	})
}

func TestADiscardedConnectionIsClosedAndItsSlotServesTheNext(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		a := r.start(1, "a", Want{})
		r.Discard(e, 0)
		require.Equal(t, []Reason{ReasonError}, r.closes(1))
		require.Equal(t, 2, a.conn(t).id)
		r.Discard(a.entry, ReasonNotReusable)
		require.Equal(t, []Reason{ReasonNotReusable}, r.closes(2))
		require.Empty(t, r.Stats().Origins)
		require.EqualValues(t, 1, r.Stats().Closed[ReasonError])
	})
}

func TestReplaceDialsInTheSlotOfTheFailedConnection(t *testing.T) {
	for _, l := range []Limits{{Hard: 1}, {Total: 1}, {}} {
		bubble(t, l, func(t *testing.T, r *rig) {
			e := r.get("a")
			r.manual = true
			other := r.start(1, "a", Want{Connect: time.Hour})
			if l == (Limits{}) {
				r.finishDial(nil)
				other.conn(t)
			}
			replay := r.replace(2, e)
			require.Equal(t, []Reason{ReasonPeerClosed}, r.closes(1))
			require.Equal(t, 2, r.pending()[0].number, "the waiter cannot have the slot")
			time.Sleep(time.Second)
			replay.waits(t)
			r.finishDial(nil)
			require.False(t, replay.got.Reused)
			replay.conn(t)
			if l != (Limits{}) {
				other.waits(t)
				r.Release(replay.entry)
				other.conn(t)
			}
			r.addsUp()
		})
	}
}

func TestReplaceTakesNothingButItsOwnDial(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
		one, two := r.get("a"), r.get("a")
		r.manual = true
		replay := r.replace(1, one)
		r.Release(two)
		replay.waits(t)
		require.Equal(t, 1, r.Stats().Idle)
		r.finishDial(nil)
		require.Equal(t, 3, replay.conn(t).id)
	})
}

func TestAReplaceThatGivesUpLeavesItsDialToTheOthers(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.manual = true
		replay, other := r.replace(1, e), r.start(2, "a", Want{})
		replay.giveUp()
		require.ErrorIs(t, replay.err, context.Canceled)
		require.Len(t, r.pending(), 1)
		r.finishDial(nil)
		require.Equal(t, 2, other.conn(t).id)
		r.Release(other.entry)
		r.emptied()
	})
}

func TestAReplaceThatFailsFreesTheSlot(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.manual = true
		replay, other := r.replace(1, e), r.start(2, "a", Want{})
		r.finishDial(errDial)
		require.True(t, replay.err == errDial)
		require.Equal(t, 2, r.pending()[0].number)
		other.giveUp()
	})
}

func TestReplaceOfAContextThatHasEndedOnlyDiscards(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		_, _, err := r.Replace(canceled(), e, 0, Want{})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, []Reason{ReasonReplaced}, r.closes(1))
		require.EqualValues(t, 1, r.Stats().Dials)
	})
}

func TestAHijackedConnectionIsNotClosedAndItsSlotIsFree(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		a := r.start(1, "a", Want{})
		r.hijack(e)
		require.Equal(t, 2, a.conn(t).id)
		require.NoError(t, r.Pool.Close())
		require.Empty(t, r.closes(1))
		r.Release(a.entry)
		r.emptied()
	})
}

func TestALoanThatIsEndedTwiceIsSeenWherePossible(t *testing.T) {
	ends := map[string]func(*rig, *Entry[string, *fakeConn]){
		"released":  func(r *rig, e *Entry[string, *fakeConn]) { r.Release(e) },
		"discarded": func(r *rig, e *Entry[string, *fakeConn]) { r.Discard(e, 0) },
		"hijacked":  func(r *rig, e *Entry[string, *fakeConn]) { r.Hijack(e) },
		"replaced": func(r *rig, e *Entry[string, *fakeConn]) {
			_, _, _ = r.Replace(context.Background(), e, 0, Want{})
		},
	}
	for first, end := range ends {
		if first == "replaced" {
			continue
		}
		for second, again := range ends {
			t.Run(first+" then "+second, func(t *testing.T) {
				bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
					e := r.get("a")
					end(r, e)
					require.PanicsWithValue(t,
						"connpool: a connection was "+second+" that nobody has borrowed: its loan had been ended before",
						func() { again(r, e) })
					r.Release(r.get("a")) // no lock was left behind
				})
			})
		}
	}
	t.Run("hijacked while shared", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.capacity = 2
			e := r.get("a")
			require.Equal(t, e, r.get("a"))
			require.PanicsWithValue(t, "connpool: a connection was hijacked that others have borrowed too",
				func() { r.Hijack(e) })
			r.Release(e)
			r.Release(e)
		})
	})
}

func TestClose(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
		idle, lent := r.get("a"), r.get("a")
		r.Release(idle)
		busy := r.get("b")
		r.manual = true
		dialing, waiting := r.start(1, "b", Want{}), r.start(2, "b", Want{Wait: time.Hour})
		replay := r.replace(3, busy)

		require.NoError(t, r.Pool.Close())
		synctest.Wait()
		require.Equal(t, []Reason{ReasonPoolClosed}, r.closes(idle.Conn.id), "idle ones at once")
		require.Empty(t, r.closes(lent.Conn.id), "lent ones not yet")
		for _, a := range []*attempt{dialing, waiting, replay} {
			require.True(t, a.done.Load())
			require.ErrorIs(t, a.err, ErrClosed)
		}
		require.Empty(t, r.pending(), "dials are cancelled")
		require.NoError(t, r.Pool.Close(), "again")

		for _, key := range []string{"a", "b", "c"} {
			_, _, err := r.Acquire(context.Background(), key, Want{})
			require.ErrorIs(t, err, ErrClosed)
		}
		_, _, err := r.Replace(context.Background(), lent, 0, Want{})
		require.ErrorIs(t, err, ErrClosed)
		require.Equal(t, []Reason{ReasonReplaced}, r.closes(lent.Conn.id))
		r.emptied()
	})
}

func TestALentConnectionIsClosedWhenItsLoanEndsAfterClose(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		require.NoError(t, r.Pool.Close())
		r.Release(e)
		require.Equal(t, []Reason{ReasonPoolClosed}, r.closes(1))
		r.emptied()
	})
}

func TestCloseDuringACheckLeavesNothingBehind(t *testing.T) {
	for _, ok := range []bool{true, false} {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.idle("a", 1)
			checking := make(chan bool)
			r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, 0 }
			a := r.start(1, "a", Want{})
			require.NoError(t, r.Pool.Close())
			checking <- ok
			synctest.Wait()
			if ok {
				r.Release(a.entry)
			} else {
				require.ErrorIs(t, a.err, ErrClosed)
			}
			r.emptied()
		})
	}
}

func TestStatsShowEachOriginAndTheWhole(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
		began := time.Now()
		first := r.get("a")
		time.Sleep(time.Second)
		r.get("a")
		r.idle("b", 2)
		r.manual = true
		r.start(1, "a", Want{})
		r.start(2, "c", Want{})
		s := r.Stats()
		require.Equal(t, Gauges{Active: 2, Idle: 2, Dialing: 1, Waiting: 1, Borrowers: 2}, s.Gauges)
		require.EqualValues(t, 5, s.Dials)
		require.Len(t, s.Origins, 3)
		for _, row := range s.Origins {
			switch row.Key {
			case "a":
				require.Equal(t, Gauges{Active: 2, Waiting: 1, Borrowers: 2}, row.Gauges)
				require.WithinDuration(t, began, row.Oldest, 0)
				require.Same(t, first.Conn, row.Longest)
				require.EqualValues(t, 1, row.Waits)
			case "b":
				require.Equal(t, Gauges{Idle: 2}, row.Gauges)
				require.Zero(t, row.Oldest)
			case "c":
				require.Equal(t, Gauges{Dialing: 1}, row.Gauges)
			}
		}
		r.addsUp()
	})
}

func TestEveryReasonHasAName(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasonCount {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], "%s twice", r)
		seen[r.String()] = true
	}
	require.Equal(t, "unknown", reasonCount.String())
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.Discard(r.get("a"), 255)
		require.EqualValues(t, 1, r.Stats().Closed[ReasonError], "a reason of nobody's is an error")
	})
}
