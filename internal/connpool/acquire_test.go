package connpool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIdleConnectionsAreReusedLastInFirstOut(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		r.idle("a", 3)
		for _, id := range []int{3, 2, 1} {
			a := r.start(0, "a", Want{})
			require.Equal(t, id, a.conn(t).id)
			require.True(t, a.got.Reused)
		}
		require.EqualValues(t, 3, r.Stats().Reuses)
		require.EqualValues(t, 3, r.Stats().Dials)
	})
}

func TestGotTellsHowTheConnectionWasComeBy(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		r.manual = true
		first := r.start(1, "a", Want{})
		time.Sleep(3 * time.Second)
		r.finishDial(nil)
		first.conn(t)
		require.Equal(t, Got{Dialing: 3 * time.Second}, first.got)

		second := r.start(2, "a", Want{})
		time.Sleep(2 * time.Second)
		r.Release(first.entry)
		second.conn(t)
		require.Equal(t, Got{Reused: true, Waited: 2 * time.Second}, second.got)

		r.Release(second.entry)
		time.Sleep(5 * time.Second)
		third := r.start(3, "a", Want{})
		third.conn(t)
		require.Equal(t, Got{Reused: true, Idle: 5 * time.Second}, third.got)

		require.Equal(t, 3, third.entry.Requests())
		require.Equal(t, "a", third.entry.Key())
		require.Equal(t, 7*time.Second, time.Since(third.entry.Created()))
	})
}

func TestAReleasedConnectionGoesToTheFirstWaiterNeverPastIt(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		var waiters []*attempt
		for i := range 5 {
			waiters = append(waiters, r.start(i, "a", Want{}))
		}
		for _, w := range waiters {
			w.waits(t)
			r.Release(e)
			late := r.start(99, "a", Want{})
			require.Equal(t, 1, w.conn(t).id)
			late.waits(t)
			late.giveUp()
			e = w.entry
		}
	})
}

func TestAConnectionHandedToOneWhoGivesUpIsPassedOn(t *testing.T) {
	for _, next := range []string{"to the next waiter", "to the pool"} {
		t.Run(next, func(t *testing.T) {
			bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
				e := r.get("a")
				o := e.origin
				w := r.newWaiter(canceled(), Want{}, r.now())
				o.mu.Lock()
				o.enqueueLocked(w, false, r.now())
				o.mu.Unlock()
				var second *attempt
				if next == "to the next waiter" {
					second = r.start(2, "a", Want{})
				}
				r.Release(e) // the waiter has it, and its context has ended
				r.giveUp(o, w)
				if second == nil {
					require.Equal(t, 1, r.Stats().Idle)
					require.Zero(t, r.Stats().Reuses)
				} else {
					require.Equal(t, 1, second.conn(t).id)
					require.EqualValues(t, 1, r.Stats().Reuses)
					require.Equal(t, 2, second.entry.Requests())
				}
				r.addsUp()
			})
		})
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestContextErrorsMatchTheContextAndItsCause(t *testing.T) {
	cause := errors.New("the user left")
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		r.get("a")
		waiting := r.start(1, "a", Want{})
		waiting.cancel(cause)
		synctest.Wait()
		require.ErrorIs(t, waiting.err, context.Canceled)
		require.ErrorIs(t, waiting.err, cause)

		_, _, err := r.Acquire(canceled(), "b", Want{})
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, r.pending())
		require.EqualValues(t, 1, r.Stats().Dials, "a context that has ended dials nothing")
	})
}

func TestAWaitErrorIsTheStateOfThePool(t *testing.T) {
	const wait = 5 * time.Second
	t.Run("hard limit", func(t *testing.T) {
		bubble(t, Limits{Hard: 2}, func(t *testing.T, r *rig) {
			r.get("a")
			r.manual = true
			r.start(1, "a", Want{})
			r.start(2, "a", Want{})
			a := r.start(3, "a", Want{Wait: wait})
			time.Sleep(wait - 1)
			a.waits(t)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			var err *WaitError
			require.ErrorAs(t, a.err, &err)
			require.Equal(t, &WaitError{Waited: wait, Limit: 2, Active: 1, Dialing: 1, Waiting: 2}, err)
			require.True(t, err.Timeout())
			require.EqualError(t, err, "pool timeout after 5s: 2 of 2 connections in use (1 being dialled), 2 waiting")
			require.EqualValues(t, 1, r.Stats().WaitTimeouts)
		})
	})
	t.Run("total limit", func(t *testing.T) {
		bubble(t, Limits{Hard: 2, Total: 2}, func(t *testing.T, r *rig) {
			r.get("a")
			r.get("b")
			a := r.start(3, "c", Want{Wait: wait})
			time.Sleep(wait)
			synctest.Wait()
			var err *WaitError
			require.ErrorAs(t, a.err, &err)
			require.Equal(t, &WaitError{
				Waited: wait, Limit: 2, Total: true, Waiting: 1, TotalOpen: 2, TotalWaiting: 1,
			}, err)
			require.EqualError(t, err, "pool timeout after 5s: 2 of 2 connections to all origins open, 1 waiting")
			require.Len(t, r.Stats().Origins, 2, "the origin that got nothing is gone")
		})
	})
}

func TestTheWaitIsNotTheDial(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.manual = true
		a := r.start(1, "a", Want{Wait: 2 * time.Second})
		time.Sleep(time.Second)
		r.Discard(e, 0) // its slot dials for the waiter
		time.Sleep(time.Minute)
		r.finishDial(nil)
		require.Equal(t, 2, a.conn(t).id)
		require.Equal(t, Got{Waited: time.Second, Dialing: time.Minute}, a.got)
		s := r.Stats()
		require.EqualValues(t, 1, s.Waits)
		require.Equal(t, time.Second, s.WaitTime)
	})
}

func TestAnUnusableIdleConnectionIsReplacedByTheNext(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 3}, func(t *testing.T, r *rig) {
		r.idle("a", 3)
		r.conns[2].stale.Store(true)
		r.conns[1].stale.Store(true)
		a := r.start(1, "a", Want{})
		require.Equal(t, 1, a.conn(t).id)
		require.Equal(t, []Reason{ReasonPeerClosed}, r.closes(3))
		require.Equal(t, []Reason{ReasonPeerClosed}, r.closes(2))
		require.EqualValues(t, 1, r.Stats().Reuses)
		r.Release(a.entry)
		r.conns[0].stale.Store(true)
		b := r.start(2, "a", Want{})
		require.Equal(t, 4, b.conn(t).id)
		require.False(t, b.got.Reused)
		r.Release(b.entry)
		r.emptied()
	})
}

func TestWhoFindsAnUnusableConnectionKeepsItsSlotAndItsPlace(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		checking := make(chan bool)
		r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, ReasonUnexpected }
		r.manual = true
		first := r.start(1, "a", Want{})
		second := r.start(2, "a", Want{})
		checking <- false
		require.Len(t, r.pending(), 1)
		require.Equal(t, 1, r.pending()[0].number)
		r.finishDial(nil)
		require.Equal(t, 2, first.conn(t).id)
		second.waits(t)
	})
}

func TestLimitsLoweredDuringACheckCount(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		busy := r.get("a")
		r.idle("a", 1)
		checking := make(chan bool)
		r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, ReasonPeerClosed }
		a := r.start(1, "a", Want{})
		b := r.start(2, "a", Want{})
		b.conn(t)
		r.SetLimits(Limits{Soft: -1, Hard: 1, Total: 3})
		c, other := r.start(3, "a", Want{}), r.start(4, "b", Want{})
		other.waits(t)
		checking <- false
		a.waits(t)
		other.conn(t)   // the slot is in excess for one origin and serves another
		r.Release(busy) // in excess still
		require.Equal(t, []Reason{ReasonLimits}, r.closes(busy.Conn.id))
		a.waits(t)
		r.Release(b.entry)
		require.Equal(t, b.entry, func() any { a.conn(t); return a.entry }(), "it keeps its place")
		c.waits(t)
	})
}

func TestWithoutACheckIdleConnectionsAreLentAsTheyAre(t *testing.T) {
	for _, capacity := range []int64{1, 2} {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.cfg.Check = nil
			r.capacity = capacity
			r.idle("a", 1)
			time.Sleep(time.Second)
			a := r.start(1, "a", Want{})
			require.Equal(t, 1, a.conn(t).id)
			require.Equal(t, Got{Reused: true, Idle: time.Second}, a.got)
			require.EqualValues(t, 3-capacity, r.get("a").Conn.id)
		})
	}
}

func TestAWaiterWhoseTimerIsEarlyGoesOnWaiting(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		o := e.origin
		w := r.newWaiter(context.Background(), Want{Wait: 2 * time.Second}, r.now())
		o.mu.Lock()
		o.enqueueLocked(w, false, r.now())
		w.armLocked(o)
		o.mu.Unlock()
		time.Sleep(time.Second) // as when it lost its dial while its timer went off
		require.Nil(t, r.expireWaiter(o, w))
		r.Release(e)
		time.Sleep(time.Second) // as when it went off while the connection was handed over
		require.Nil(t, r.expireWaiter(o, w))
		e, got, err := r.await(o, w)
		require.NoError(t, err)
		require.Equal(t, time.Second, got.Waited)
		r.Release(e)
	})
}

func TestStrictAndIdleTimeAreHandedToCheck(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		type asked struct {
			idle   time.Duration
			strict bool
		}
		var got []asked
		r.cfg.Check = func(_ *fakeConn, idle time.Duration, strict bool) (bool, Reason) {
			got = append(got, asked{idle, strict})
			return true, 0
		}
		time.Sleep(time.Second)
		r.Release(r.start(1, "a", Want{Strict: true}).entry)
		r.Release(r.start(1, "a", Want{}).entry)
		require.Equal(t, []asked{{time.Second, true}, {0, false}}, got)
	})
}

func TestAHandleIsAsGoodAsItsKey(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		h := r.Origin("a")
		for range 3 { // the origin leaves the map each time
			e, got, err := h.Acquire(context.Background(), Want{})
			require.NoError(t, err)
			require.False(t, got.Reused)
			r.Release(e)
			e, got, err = h.Acquire(context.Background(), Want{})
			require.NoError(t, err)
			require.True(t, got.Reused)
			r.Discard(e, ReasonError)
			require.Empty(t, r.Stats().Origins)
		}
		_, _, err := h.Acquire(canceled(), Want{})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Pool.Close())
		_, _, err = h.Acquire(context.Background(), Want{})
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestALoanAllocatesNothing(t *testing.T) {
	for _, total := range []int{0, 10} {
		limits := benchLimits
		limits.Total = total
		p := benchPool(limits)
		key := keyOf(0)
		allocs := testing.AllocsPerRun(100, func() {
			e, _, err := p.Acquire(context.Background(), key, Want{Wait: time.Second, Connect: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			p.Release(e)
		})
		require.Zero(t, allocs, "with a total limit of %d", total)
		require.NoError(t, p.Close())
	}
}
