package connpool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAWaiterTakesWhicheverComesFirst(t *testing.T) {
	t.Run("a freed connection, and its dial is pooled", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
			e := r.get("a")
			r.manual = true
			a := r.start(1, "a", Want{})
			require.Len(t, r.pending(), 1)
			r.Release(e)
			require.Equal(t, 1, a.conn(t).id)
			require.True(t, a.got.Reused)
			r.finishDial(nil)
			require.Equal(t, 1, r.Stats().Idle)
			b := r.start(2, "a", Want{})
			require.Equal(t, 2, b.conn(t).id)
			require.True(t, b.got.Reused, "it lay in the pool")
		})
	})
	t.Run("its dial", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Hard: 2}, func(t *testing.T, r *rig) {
			r.get("a")
			r.manual = true
			a := r.start(1, "a", Want{})
			r.finishDial(nil)
			require.Equal(t, 2, a.conn(t).id)
			require.False(t, a.got.Reused)
		})
	})
}

func TestADialWhoseRequesterGaveUpIsFinished(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		idle int
	}{
		{"and pooled if it succeeds", nil, 1},
		{"and only counted if it fails", errDial, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Limits{Soft: -1, Hard: 1}, func(t *testing.T, r *rig) {
				r.manual = true
				a := r.start(1, "a", Want{})
				a.giveUp()
				require.ErrorIs(t, a.err, context.Canceled)
				require.Len(t, r.pending(), 1)
				require.NoError(t, r.pending()[0].ctx.Err())
				r.finishDial(c.err)
				s := r.Stats()
				require.Equal(t, c.idle, s.Idle)
				require.EqualValues(t, 1-c.idle, s.DialErrors)
				r.emptied()
			})
		})
	}
}

func TestALaterRequestTakesOverAnOrphanedDial(t *testing.T) {
	bubble(t, Limits{Soft: -1, Hard: 5}, func(t *testing.T, r *rig) {
		r.manual = true
		r.start(1, "a", Want{}).giveUp()
		b := r.start(2, "a", Want{})
		require.Len(t, r.pending(), 1, "the dial in flight serves")
		r.finishDial(nil)
		require.Equal(t, 1, b.conn(t).id)
		require.False(t, b.got.Reused)
	})
}

func TestADialIsTakenOverOnlyByOneWhoAllowsItTheTimeItHas(t *testing.T) {
	for _, c := range []struct {
		name    string
		connect time.Duration
		dials   int
	}{
		{"no bound", 0, 1},
		{"one more", 3*time.Second + 1, 1},
		{"exactly", 3 * time.Second, 1},
		{"one less", 3*time.Second - 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Limits{Hard: 5}, func(t *testing.T, r *rig) {
				r.manual = true
				a := r.start(1, "a", Want{Connect: 5 * time.Second})
				time.Sleep(2 * time.Second)
				a.giveUp()
				r.start(2, "a", Want{Connect: c.connect})
				require.Len(t, r.pending(), c.dials)
			})
		})
	}
}

func TestOneWhoCannotTakeOverADialWaitsWithItsOwnBound(t *testing.T) {
	bubble(t, Limits{Hard: 2}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.manual = true
		long := r.start(1, "a", Want{})
		short := r.start(2, "a", Want{Connect: time.Minute, Wait: 3 * time.Second})
		time.Sleep(time.Second)
		r.Discard(e, ReasonError)
		time.Sleep(10 * time.Second)
		r.pending()[1].end <- nil // the dial of the second, taken by the first
		require.Equal(t, 2, long.conn(t).id)
		short.waits(t)
		require.Equal(t, 1, r.Stats().Waiting)
		time.Sleep(2*time.Second - time.Nanosecond)
		short.waits(t)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		var err *WaitError
		require.ErrorAs(t, short.err, &err)
		require.Equal(t, 3*time.Second, err.Waited, "the time with a dial does not count")
	})
}

func TestOneWhoCannotTakeOverADialDoesNotKeepItFromTheNext(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		r.manual = true
		r.start(1, "a", Want{}).giveUp()
		short, long := r.start(2, "a", Want{Connect: time.Second}), r.start(3, "a", Want{})
		require.Equal(t, 1, r.Stats().Waiting)
		r.finishDial(nil)
		require.Equal(t, 1, short.conn(t).id, "the connection goes to the first all the same")
		long.waits(t)
	})
}

func TestDialsAreReboundToThoseWhoWait(t *testing.T) {
	bubble(t, Limits{Hard: 3}, func(t *testing.T, r *rig) {
		r.manual = true
		one, two, three := r.start(1, "a", Want{}), r.start(2, "a", Want{}), r.start(3, "a", Want{})
		four := r.start(4, "a", Want{})
		dials := r.pending()
		require.Len(t, dials, 3)
		require.Equal(t, 1, r.Stats().Waiting)

		dials[2].end <- nil // of the third, taken by the first, whose own is rebound to the third
		require.Equal(t, 1, one.conn(t).id)
		two.waits(t)
		three.waits(t)
		require.Equal(t, 1, r.Stats().Waiting, "the fourth has no dial yet")

		dials[0].end <- errDial // reaches the third alone, and its slot dials for the fourth
		synctest.Wait()
		require.ErrorIs(t, three.err, errDial)
		two.waits(t)
		four.waits(t)
		require.Zero(t, r.Stats().Waiting)
		fresh := r.pending()
		require.Len(t, fresh, 2)
		require.Equal(t, 4, fresh[1].number)

		two.giveUp() // and its dial serves the fourth if it ends first
		dials[1].end <- nil
		require.Equal(t, 2, four.conn(t).id)
		r.finishDial(errDial)
		require.EqualValues(t, 2, r.Stats().DialErrors)
		r.addsUp()
	})
}

func TestAFailedDialReachesItsRequesterAsItIs(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		r.manual = true
		one, two := r.start(1, "a", Want{}), r.start(2, "a", Want{})
		r.finishDial(errDial)
		require.True(t, one.err == errDial, "it is handed on unwrapped")
		two.waits(t)
		require.Equal(t, 2, r.pending()[0].number, "the freed slot dials for the next")
		r.finishDial(nil)
		two.conn(t)
	})
}

func TestADialHasTheValuesAndTheBoundOfItsRequestAndThePoolsLifetime(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.manual = true
		a := r.start(7, "a", Want{Connect: 5 * time.Second})
		d := r.pending()[0]
		require.Equal(t, 7, d.number)
		deadline, ok := d.ctx.Deadline()
		require.True(t, ok)
		require.Equal(t, 5*time.Second, time.Until(deadline))
		time.Sleep(5*time.Second - 1)
		a.waits(t)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, context.DeadlineExceeded, a.err)

		b := r.start(8, "a", Want{})
		d = r.pending()[0]
		_, ok = d.ctx.Deadline()
		require.False(t, ok)
		require.NoError(t, r.Pool.Close())
		synctest.Wait()
		require.ErrorIs(t, b.err, ErrClosed)
		require.Equal(t, ErrClosed, context.Cause(d.ctx))
		r.emptied()
	})
}

func TestADialThatEndsAfterCloseIsClosed(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		end := make(chan struct{})
		r.cfg.Dial = func(_ context.Context, key string) (*fakeConn, error) { // deaf to its context
			<-end
			c := &fakeConn{key: key}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.conns = append(r.conns, c)
			r.count(key, 1)
			return c, nil
		}
		first := r.start(0, "a", Want{})
		end <- struct{}{}
		first.conn(t)
		a, replay := r.start(1, "a", Want{}), r.replace(2, first.entry)
		require.NoError(t, r.Pool.Close())
		synctest.Wait()
		require.ErrorIs(t, a.err, ErrClosed)
		require.ErrorIs(t, replay.err, ErrClosed)
		close(end)
		require.Equal(t, []Reason{ReasonPoolClosed}, r.closes(2))
		require.Equal(t, []Reason{ReasonPoolClosed}, r.closes(3))
		r.emptied()
	})
}
