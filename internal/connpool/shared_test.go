package connpool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAConnectionWithRoomIsSharedBeforeAnotherIsDialled(t *testing.T) {
	for _, capacity := range []int64{1, 2, 3} {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.capacity = capacity
			for i := range capacity {
				a := r.start(int(i), "a", Want{})
				require.Equal(t, 1, a.conn(t).id)
				require.Equal(t, i > 0, a.got.Reused)
			}
			require.Equal(t, 2, r.get("a").Conn.id)
			s := r.Stats()
			require.Equal(t, 2, s.Active)
			require.EqualValues(t, capacity+1, s.Borrowers)
		})
	}
}

func TestOneDialServesAsManyWaitersAsItsConnectionHasRoomFor(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
		r.capacity = 3
		r.manual = true
		var all []*attempt
		for i := range 5 {
			all = append(all, r.start(i, "a", Want{}))
		}
		require.Len(t, r.pending(), 2)
		r.finishDial(nil)
		for _, a := range all[:3] {
			require.Equal(t, 1, a.conn(t).id)
		}
		all[3].waits(t)
		r.Release(all[1].entry)
		require.Equal(t, 1, all[3].conn(t).id, "room that was made goes to the first waiter")
		all[4].waits(t)
		r.finishDial(nil)
		require.Equal(t, 2, all[4].conn(t).id)
	})
}

func TestAConnectionWhoseCapacityFellIsNotLentUntilItHasRoom(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		r.capacity = 3
		e := r.get("a")
		r.get("a")
		e.Conn.capacity.Store(1)
		a := r.start(1, "a", Want{})
		a.waits(t)
		r.Release(e) // one borrower is left, and room for one
		a.waits(t)
		r.Release(e)
		require.Equal(t, 1, a.conn(t).id)
		require.Empty(t, r.closes(1))
	})
}

func TestAConnectionWithoutCapacityIsRetired(t *testing.T) {
	t.Run("when its last borrower has ended", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
			r.capacity = 3
			e := r.get("a")
			r.get("a")
			e.Conn.capacity.Store(0)
			a := r.start(1, "a", Want{})
			r.Release(e)
			a.waits(t)
			require.Empty(t, r.closes(1))
			e.Conn.capacity.Store(3) // too late: it has been found out
			r.Wake(e)
			a.waits(t)
			r.Release(e)
			require.Equal(t, []Reason{ReasonRetired}, r.closes(1))
			require.Equal(t, 2, a.conn(t).id)
		})
	})
	t.Run("when it is released", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			e.Conn.capacity.Store(0)
			r.Release(e)
			require.Equal(t, []Reason{ReasonRetired}, r.closes(1))
		})
	})
	t.Run("when it is asked for", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.idle("a", 1)
			r.conns[0].capacity.Store(0)
			require.Equal(t, 2, r.get("a").Conn.id)
			require.Equal(t, []Reason{ReasonRetired}, r.closes(1))
		})
	})
	t.Run("when the pool is told", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.idle("a", 1)
			e := r.conns[0].entry
			r.Wake(e) // nothing has changed
			require.Empty(t, r.closes(1))
			e.Conn.capacity.Store(0)
			r.Wake(e)
			require.Equal(t, []Reason{ReasonRetired}, r.closes(1))
			r.Wake(e) // it has left
			r.addsUp()
		})
	})
	t.Run("but a new one serves its requester", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.capacity = 0
			e := r.get("a")
			r.Release(e)
			require.Equal(t, []Reason{ReasonRetired}, r.closes(1))
		})
	})
}

func TestRoomThatNobodyToldOfIsFoundWhenALoanEnds(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		one, two, three := r.start(1, "a", Want{}), r.start(2, "a", Want{}), r.start(3, "a", Want{})
		e.Conn.capacity.Store(2)
		r.Release(e)
		require.Equal(t, 1, one.conn(t).id)
		require.Equal(t, 1, two.conn(t).id)
		three.waits(t)
	})
}

func TestWakeLetsWaitersTakeNewRoom(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		one, two := r.start(1, "a", Want{}), r.start(2, "a", Want{})
		e.Conn.capacity.Store(2)
		one.waits(t)
		r.Wake(e)
		require.Equal(t, 1, one.conn(t).id)
		two.waits(t)
		e.Conn.capacity.Store(3)
		r.Wake(e)
		require.Equal(t, 1, two.conn(t).id)
	})
}

func TestASharedConnectionThatFailsForOneIsClosedAfterTheLast(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		r.capacity = 3
		e := r.get("a")
		r.get("a")
		r.get("a")
		r.Discard(e, ReasonPeerClosed)
		a := r.start(1, "a", Want{})
		a.waits(t)
		r.Discard(e, ReasonError)
		require.Empty(t, r.closes(1))
		r.Release(e)
		require.Equal(t, []Reason{ReasonPeerClosed}, r.closes(1), "the first reason counts")
		require.Equal(t, 2, a.conn(t).id)
	})
}

func TestReplaceOfASharedConnectionSharesTheNewOne(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
		r.capacity = 2
		e := r.get("a")
		r.get("a")
		first := r.replace(1, e)
		first.waits(t) // with Want.Wait: the other still borrows it
		second := r.replace(2, e)
		require.Equal(t, 2, second.conn(t).id)
		require.Equal(t, []Reason{ReasonPeerClosed}, r.closes(1))
	})
}

func TestASharedConnectionRetiresThoughItIsNeverFree(t *testing.T) {
	for _, l := range []Limits{{Soft: -1, MaxRequests: 3}, {Soft: -1, MaxAge: time.Minute}} {
		bubble(t, l, func(t *testing.T, r *rig) {
			r.capacity = 100
			e := r.get("a")
			r.get("a")
			time.Sleep(time.Minute)
			third := r.get("a")
			if l.MaxAge > 0 {
				require.Equal(t, 2, third.Conn.id, "too old")
			}
			require.Equal(t, 2, r.get("a").Conn.id)
			require.Empty(t, r.closes(1))
			for e.borrowers > 0 {
				r.Release(e)
			}
			require.Len(t, r.closes(1), 1)
		})
	}
}

func TestAConnectionIsNotSharedWhileItIsChecked(t *testing.T) {
	for _, ok := range []bool{true, false} {
		bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
			r.capacity = 2
			r.idle("a", 1)
			checking := make(chan bool)
			r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, ReasonPeerClosed }
			one, two := r.start(1, "a", Want{}), r.start(2, "a", Want{})
			r.Wake(r.conns[0].entry)
			two.waits(t)
			checking <- ok
			want := 1
			if !ok {
				want = 2
			}
			require.Equal(t, want, one.conn(t).id)
			require.Equal(t, want, two.conn(t).id)
		})
	}
}
