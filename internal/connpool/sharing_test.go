package connpool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// shares is a rig whose dials are ended by hand and whose connections are said to be shared.
func shares(t *testing.T, l Limits, s Sharing, f func(t *testing.T, r *rig, say func(Sharing))) {
	bubble(t, l, func(t *testing.T, r *rig) {
		r.manual = true
		var now atomic.Int32
		now.Store(int32(s))
		r.cfg.Sharing = func(string) Sharing { return Sharing(now.Load()) }
		f(t, r, func(s Sharing) { now.Store(int32(s)) })
	})
}

func TestRequestsToASharedOriginWaitForOneDial(t *testing.T) {
	shares(t, Limits{Soft: -1}, ShareAlways, func(t *testing.T, r *rig, _ func(Sharing)) {
		r.capacity = 2
		one, two, three := r.start(1, "a", Want{}), r.start(2, "a", Want{}), r.start(3, "a", Want{})
		time.Sleep(time.Hour)
		require.Len(t, r.pending(), 1)
		r.finishDial(nil)
		require.Equal(t, 1, one.conn(t).id)
		require.Equal(t, 1, two.conn(t).id)
		require.Len(t, r.pending(), 1, "the connection is full: one more is dialled for the rest")
		r.finishDial(nil)
		require.Equal(t, 2, three.conn(t).id)
	})
}

func TestRequestsToASharedOriginWaitForAConnectionThatGrows(t *testing.T) {
	shares(t, Limits{Soft: -1, Total: 5}, ShareAlways, func(t *testing.T, r *rig, _ func(Sharing)) {
		var growing atomic.Bool
		growing.Store(true)
		r.cfg.Growing = func(*fakeConn) bool { return growing.Load() }
		one, two := r.start(1, "a", Want{}), r.start(2, "a", Want{})
		require.Len(t, r.pending(), 1)
		r.finishDial(nil)
		c := one.conn(t)
		two.waits(t)
		require.Empty(t, r.pending())
		c.capacity.Store(2)
		growing.Store(false)
		r.Wake(c.entry)
		require.Equal(t, 1, two.conn(t).id)
	})
}

func TestRequestsToAnUnknownOriginWaitAMomentForTheFirstDial(t *testing.T) {
	t.Run("and share its connection", func(t *testing.T) {
		shares(t, Limits{Soft: -1}, ShareMaybe, func(t *testing.T, r *rig, say func(Sharing)) {
			r.capacity = 100
			one, two := r.start(1, "a", Want{}), r.start(2, "a", Want{})
			require.Len(t, r.pending(), 1)
			say(ShareAlways)
			r.finishDial(nil)
			require.Equal(t, 1, one.conn(t).id)
			require.Equal(t, 1, two.conn(t).id)
		})
	})
	t.Run("dial when it cannot be shared", func(t *testing.T) {
		shares(t, Limits{Soft: -1}, ShareMaybe, func(t *testing.T, r *rig, say func(Sharing)) {
			r.start(1, "a", Want{})
			r.start(2, "a", Want{})
			r.start(3, "a", Want{})
			require.Len(t, r.pending(), 1)
			say(ShareNever)
			r.finishDial(nil)
			require.Len(t, r.pending(), 2)
			r.finishDial(nil)
			r.finishDial(nil)
		})
	})
	t.Run("dial when it takes long", func(t *testing.T) {
		shares(t, Limits{Soft: -1}, ShareMaybe, func(t *testing.T, r *rig, _ func(Sharing)) {
			for i := range 3 {
				r.start(i, "a", Want{})
			}
			time.Sleep(sharePatience - 1)
			require.Len(t, r.pending(), 1)
			time.Sleep(time.Nanosecond)
			require.Len(t, r.pending(), 3)
			r.start(4, "a", Want{})
			require.Len(t, r.pending(), 4, "who comes later does not wait again")
			for range 4 {
				r.finishDial(nil)
			}
		})
	})
	t.Run("dial when it fails", func(t *testing.T) {
		shares(t, Limits{Soft: -1}, ShareMaybe, func(t *testing.T, r *rig, _ func(Sharing)) {
			for i := range 3 {
				r.start(i, "a", Want{})
			}
			require.Len(t, r.pending(), 1)
			r.finishDial(errDial)
			require.Len(t, r.pending(), 2)
			r.finishDial(nil)
			r.finishDial(nil)
		})
	})
}

func TestWhoWaitedLongEnoughForAnothersDialStartsItsOwn(t *testing.T) {
	shares(t, Limits{Soft: -1, Hard: 2}, ShareAlways, func(t *testing.T, r *rig, _ func(Sharing)) {
		r.start(1, "a", Want{})
		r.start(2, "a", Want{Wait: time.Second})
		third := r.start(3, "a", Want{Wait: 2 * time.Second})
		require.Len(t, r.pending(), 1)
		time.Sleep(time.Second)
		require.Len(t, r.pending(), 2)
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, third.done.Load())
		require.ErrorAs(t, third.err, new(*WaitError), "there is no slot left for a dial")
		r.finishDial(nil)
		r.finishDial(nil)
	})
}

// What was idle is lent to one who checks it first. Others who come meanwhile wait for that rather than dial.
func TestRequestsToASharedOriginWaitForAConnectionThatIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		capacity int64
		passes   bool
		dials    int
	}{
		"and share it":               {100, true, 0},
		"and dial where it is full":  {1, true, 1},
		"and dial where it is stale": {100, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			shares(t, Limits{Soft: -1}, ShareAlways, func(t *testing.T, r *rig, _ func(Sharing)) {
				r.capacity = test.capacity
				first := r.start(1, "a", Want{})
				synctest.Wait()
				r.finishDial(nil)
				r.Release(first.conn(t).entry)
				checking := make(chan bool)
				r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, ReasonPeerClosed }
				one := r.start(2, "a", Want{})
				two := r.start(3, "a", Want{})
				require.Empty(t, r.pending())
				checking <- test.passes
				require.Len(t, r.pending(), test.dials)
				for range test.dials {
					r.finishDial(nil)
				}
				require.NotNil(t, one.conn(t))
				require.NotNil(t, two.conn(t))
			})
		})
	}
}
