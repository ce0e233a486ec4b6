package connpool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// warmth is a Warm that goes on.
type warmth struct {
	n    int
	err  error
	done chan struct{}
}

func (r *rig) warm(ctx context.Context, n int, want Want) *warmth {
	w := &warmth{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.n, w.err = r.Warm(ctx, "a", n, want)
	}()
	synctest.Wait()
	return w
}

func TestWarmDialsWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		limits           Limits
		idle, lent       int
		n, dialled, have int
	}{
		"all of them at once":                      {Limits{Soft: -1}, 0, 0, 3, 3, 3},
		"what is idle counts":                      {Limits{Soft: -1}, 2, 0, 3, 1, 3},
		"what is lent does not":                    {Limits{Soft: -1}, 0, 2, 3, 3, 3},
		"as many as the origin may have":           {Limits{Soft: -1, Hard: 4}, 1, 1, 9, 2, 3},
		"as many as there may be at all":           {Limits{Soft: -1, Total: 2}, 0, 1, 9, 1, 1},
		"nothing where enough is idle":             {Limits{Soft: -1}, 3, 0, 2, 0, 2},
		"nothing where nothing is asked for":       {Limits{Soft: -1}, 0, 0, 0, 0, 0},
		"nothing where less than nothing is asked": {Limits{Soft: -1}, 1, 0, -1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.limits, func(t *testing.T, r *rig) {
				var all []*Entry[string, *fakeConn]
				for range c.idle + c.lent {
					all = append(all, r.get("a"))
				}
				for _, e := range all[:c.idle] {
					r.Release(e)
				}
				r.manual = true
				w := r.warm(t.Context(), c.n, Want{})
				require.Len(t, r.pending(), c.dialled)
				for range c.dialled {
					r.finishDial(nil)
				}
				<-w.done
				require.NoError(t, w.err)
				require.Equal(t, c.have, w.n)
				require.Equal(t, c.idle+c.dialled, r.Stats().Idle)
			})
		})
	}
}

func TestWarmLooksAtWhatIsIdle(t *testing.T) {
	limits := Limits{Soft: -1, IdleTimeout: time.Minute, MaxRequests: 2}
	bubble(t, limits, func(t *testing.T, r *rig) {
		var all []*Entry[string, *fakeConn]
		for range 4 {
			all = append(all, r.get("a"))
		}
		for _, e := range all {
			time.Sleep(time.Second)
			r.Release(e)
		}
		began := time.Now()
		time.Sleep(30 * time.Second)
		all[1].Conn.stale.Store(true)
		all[3].Conn.stale.Store(true)
		n, err := r.Warm(t.Context(), "a", 4, Want{})
		require.NoError(t, err)
		require.Equal(t, 4, n)
		s := r.Stats()
		require.Equal(t, 4, s.Idle)
		require.EqualValues(t, 6, s.Dials)
		require.EqualValues(t, 2, s.Closed[ReasonPeerClosed])
		require.Zero(t, s.Reuses)

		// The others were not used, and have been idle for as long as they have.
		require.Equal(t, 1, all[0].Requests())
		time.Sleep(time.Minute - time.Since(began) - 2*time.Second)
		require.Equal(t, 3, r.Stats().Idle, "the first has been idle for its time")
		time.Sleep(2 * time.Second)
		require.Equal(t, 2, r.Stats().Idle)
	})
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		a, b := r.get("a"), r.get("a")
		r.Release(a)
		time.Sleep(time.Second)
		r.Release(b)
		for range 2 {
			_, err := r.Warm(t.Context(), "a", 2, Want{})
			require.NoError(t, err)
		}
		require.Same(t, b, r.get("a"), "the last one in is the first one out")
	})
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		a := r.get("a")
		r.Release(a)
		a.Conn.stale.Store(true)
		n, err := r.Warm(t.Context(), "a", 0, Want{})
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, 1, r.Stats().Idle, "nothing is looked at that is not asked for")
	})
}

func TestWarmTellsWhatFailed(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		r.manual = true
		w := r.warm(t.Context(), 3, Want{})
		r.finishDial(nil)
		r.finishDial(errDial)
		r.finishDial(nil)
		<-w.done
		require.ErrorIs(t, w.err, errDial)
		require.Equal(t, 2, w.n)
		require.EqualValues(t, 1, r.Stats().DialErrors)
	})
}

func TestWarmServesWhoComesMeanwhile(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		r.manual = true
		w := r.warm(t.Context(), 1, Want{Connect: time.Minute})
		a := r.start(1, "a", Want{})
		require.Len(t, r.pending(), 1, "the dial under way is enough")
		r.finishDial(nil)
		require.Equal(t, 1, a.conn(t).id)
		<-w.done
		require.Equal(t, 1, w.n)
	})
}

func TestWarmEnds(t *testing.T) {
	t.Run("with its context, while its dials go on", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.manual = true
			ctx, cancel := context.WithCancel(t.Context())
			w := r.warm(ctx, 2, Want{})
			r.finishDial(nil)
			cancel()
			<-w.done
			require.ErrorIs(t, w.err, context.Canceled)
			require.Equal(t, 1, w.n)
			r.finishDial(nil)
			require.Equal(t, 2, r.Stats().Idle)
			_, err := r.Warm(ctx, "a", 1, Want{})
			require.ErrorIs(t, err, context.Canceled)
		})
	})
	t.Run("with the bound of its dials", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.manual = true
			began := time.Now()
			w := r.warm(t.Context(), 2, Want{Connect: time.Second})
			<-w.done
			require.ErrorIs(t, w.err, context.DeadlineExceeded)
			require.Zero(t, w.n)
			require.Equal(t, time.Second, time.Since(began))
		})
	})
	t.Run("with the pool", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.manual = true
			w := r.warm(t.Context(), 2, Want{})
			require.NoError(t, r.Close())
			<-w.done
			require.ErrorIs(t, w.err, ErrClosed)
			_, err := r.Warm(t.Context(), "a", 1, Want{})
			require.ErrorIs(t, err, ErrClosed)
			_, err = r.Warm(t.Context(), "b", 1, Want{})
			require.ErrorIs(t, err, ErrClosed)
		})
	})
}

func TestWarmLeavesNothingBehindWhereThereIsNoRoom(t *testing.T) {
	bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
		r.get("b")
		n, err := r.Warm(t.Context(), "a", 1, Want{})
		require.NoError(t, err)
		require.Zero(t, n)
		require.Len(t, r.Stats().Origins, 1)
	})
}
