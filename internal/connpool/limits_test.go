package connpool

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHardBoundsTheConnectionsOfAnOrigin(t *testing.T) {
	for _, hard := range []int{-1, 0, 1, 2, 3} {
		t.Run(fmt.Sprint(hard), func(t *testing.T) {
			bubble(t, Limits{Soft: -1, Hard: hard}, func(t *testing.T, r *rig) {
				allowed := hard
				if hard <= 0 {
					allowed = 20
				}
				r.manual = true
				for i := range allowed {
					r.start(i, "a", Want{})
				}
				require.Len(t, r.pending(), allowed, "dials count")
				extra := r.start(99, "a", Want{})
				if hard <= 0 {
					require.Len(t, r.pending(), allowed+1)
					return
				}
				require.Len(t, r.pending(), allowed)
				extra.waits(t)
				other := r.start(100, "b", Want{})
				require.Len(t, r.pending(), allowed+1, "another origin has its own limit")
				other.giveUp()
			})
		})
	}
}

func TestTheSlotIsHeldUntilCloseHasReturned(t *testing.T) {
	bubble(t, Limits{Hard: 1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		closing := make(chan struct{})
		shut := r.cfg.Close
		r.cfg.Close = func(c *fakeConn, why Reason) {
			<-closing
			shut(c, why)
		}
		a := r.start(1, "a", Want{})
		go r.Discard(e, ReasonError)
		a.waits(t)
		require.Equal(t, 1, r.Stats().Closing)
		r.addsUp()
		close(closing)
		require.Equal(t, 2, a.conn(t).id)
	})
}

func TestTotalClosesTheIdlestOfAnotherOriginBeforeAnyoneWaits(t *testing.T) {
	for _, c := range []struct {
		total  int
		closed []int
	}{
		{2, []int{2, 3}}, // three idle and a limit lowered below them: the idlest goes at once
		{3, []int{2}},
		{4, nil},
		{0, nil},
	} {
		t.Run(fmt.Sprint(c.total), func(t *testing.T) {
			bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
				first, second, third := r.get("a"), r.get("b"), r.get("c")
				for _, e := range []*Entry[string, *fakeConn]{second, third, first} {
					time.Sleep(time.Second)
					r.Release(e)
				}
				r.SetLimits(Limits{Soft: -1, Total: c.total})
				d := r.start(4, "d", Want{})
				require.Equal(t, 4, d.conn(t).id)
				require.Zero(t, d.got.Waited)
				for id := 1; id <= 3; id++ {
					want := 0
					for i, closed := range c.closed {
						if id == closed {
							want = 1
							why := ReasonMadeRoom
							if i+1 < len(c.closed) {
								why = ReasonLimits
							}
							require.Equal(t, []Reason{why}, r.closes(id))
						}
					}
					require.Len(t, r.closes(id), want)
				}
				r.Release(d.entry)
				r.emptied()
			})
		})
	}
}

func TestTheIdlestIsFoundAlthoughOriginsWereUsedSince(t *testing.T) {
	bubble(t, Limits{Soft: -1, Total: 3}, func(t *testing.T, r *rig) {
		for _, key := range []string{"a", "b", "c"} {
			r.idle(key, 1)
			time.Sleep(time.Second)
		}
		r.idle("a", 1) // now b is the idlest
		time.Sleep(time.Second)
		r.idle("b", 1) // now c is
		time.Sleep(time.Second)
		r.get("d")
		require.Empty(t, r.closes(1))
		require.Empty(t, r.closes(2))
		require.Equal(t, []Reason{ReasonMadeRoom}, r.closes(3))
		busy := r.get("a") // what is lent makes no room
		r.get("e")
		require.Equal(t, []Reason{ReasonMadeRoom}, r.closes(2))
		a := r.start(1, "f", Want{})
		a.waits(t)
		r.Release(busy)
		require.Equal(t, []Reason{ReasonMadeRoom}, r.closes(1))
		a.conn(t)
	})
}

func TestOneQueueAcrossOriginsUnderTheTotalLimit(t *testing.T) {
	t.Run("a freed connection makes room for another origin whose waiter was first", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			b, a := r.start(1, "b", Want{}), r.start(2, "a", Want{})
			r.Release(e)
			require.Equal(t, []Reason{ReasonMadeRoom}, r.closes(1))
			require.Equal(t, 2, b.conn(t).id)
			a.waits(t)
			r.Release(b.entry)
			require.Equal(t, "a", a.conn(t).key)
		})
	})
	t.Run("its own origin's waiter goes first if it came first", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			a, b := r.start(1, "a", Want{}), r.start(2, "b", Want{})
			r.Release(e)
			require.Equal(t, 1, a.conn(t).id)
			b.waits(t)
			r.Release(a.entry)
			require.Equal(t, 2, b.conn(t).id)
		})
	})
	t.Run("also if its origin is at its hard limit", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Hard: 1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			a, b := r.start(1, "a", Want{}), r.start(2, "b", Want{})
			r.Release(e)
			require.Equal(t, 1, a.conn(t).id)
			b.waits(t)
		})
	})
	t.Run("a slot left by one who found other room goes to the first", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 2}, func(t *testing.T, r *rig) {
			r.capacity = 2
			full := r.get("a")
			r.get("a")
			r.Release(r.get("a")) // the second connection
			checking := make(chan bool)
			r.cfg.Check = func(*fakeConn, time.Duration, bool) (bool, Reason) { return <-checking, ReasonPeerClosed }
			a, b := r.start(1, "a", Want{}), r.start(2, "b", Want{})
			r.Release(full)
			b.waits(t)
			checking <- false
			require.Equal(t, 1, a.conn(t).id)
			require.Equal(t, "b", b.conn(t).key)
		})
	})
	t.Run("a freed slot goes to the first of all, and nobody new passes", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			var queue []*attempt
			for i, key := range []string{"b", "c", "a", "b", "d"} {
				queue = append(queue, r.start(i, key, Want{}))
			}
			for i, w := range queue {
				w.waits(t)
				r.Discard(e, ReasonError)
				w.conn(t)
				e = w.entry
				for _, later := range queue[i+1:] {
					later.waits(t)
				}
			}
		})
	})
	t.Run("one at its hard limit does not hold up the others", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Hard: 1, Total: 2}, func(t *testing.T, r *rig) {
			r.get("a")
			b := r.get("b")
			a, c := r.start(1, "a", Want{}), r.start(2, "c", Want{})
			r.Release(b)
			c.conn(t)
			a.waits(t)
		})
	})
	t.Run("one that gave up leaves no hole", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			b, c := r.start(1, "b", Want{}), r.start(2, "c", Want{})
			b.giveUp()
			r.Release(e)
			require.Equal(t, "c", c.conn(t).key)
		})
	})
	t.Run("a failed dial's slot goes to the next", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			r.manual = true
			a, b := r.start(1, "a", Want{}), r.start(2, "b", Want{})
			r.finishDial(errDial)
			require.ErrorIs(t, a.err, errDial)
			r.finishDial(nil)
			b.conn(t)
		})
	})
	t.Run("an orphaned dial's connection makes room", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			r.manual = true
			r.start(1, "a", Want{}).giveUp()
			b := r.start(2, "b", Want{})
			r.finishDial(nil)
			require.Equal(t, []Reason{ReasonMadeRoom}, r.closes(1))
			r.finishDial(nil)
			b.conn(t)
		})
	})
	t.Run("a hijacked connection leaves room", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, Total: 1}, func(t *testing.T, r *rig) {
			e := r.get("a")
			b := r.start(2, "b", Want{})
			r.Hijack(e)
			b.conn(t)
		})
	})
}

func TestNoMoreRoomIsMadeThanIsNeeded(t *testing.T) {
	bubble(t, Limits{Soft: -1, Total: 2}, func(t *testing.T, r *rig) {
		r.idle("a", 1)
		b := r.get("b")
		closing := make(chan struct{})
		shut := r.cfg.Close
		r.cfg.Close = func(c *fakeConn, why Reason) {
			<-closing
			shut(c, why)
		}
		c := r.start(1, "c", Want{})
		r.Release(b) // a's connection is being closed for c already
		require.Equal(t, 1, r.Stats().Idle)
		require.Equal(t, 1, r.Stats().Closing)
		close(closing)
		require.Equal(t, 3, c.conn(t).id)
		require.Empty(t, r.closes(2))
	})
}

func TestRaisedLimitsServeTheWaitersAtOnce(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, to   Limits
		dials      int
		firstOrder []any
	}{
		{"hard", Limits{Hard: 1}, Limits{Hard: 2}, 3, nil},
		{"no hard", Limits{Hard: 1}, Limits{}, 4, nil},
		{"total", Limits{Total: 2}, Limits{Total: 3}, 1, []any{1}},
		{"total by two", Limits{Total: 2}, Limits{Total: 4}, 2, []any{1, 2}},
		{"no total", Limits{Total: 2}, Limits{}, 4, nil},
		{"hard under total", Limits{Hard: 1, Total: 3}, Limits{Hard: 3, Total: 4}, 2, []any{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.from, func(t *testing.T, r *rig) {
				r.get("a")
				r.get("b")
				r.manual = true
				for i, key := range []string{"b", "a", "a", "b"} {
					r.start(i+1, key, Want{})
				}
				r.SetLimits(c.to)
				if c.name == "hard" {
					require.Len(t, r.pending(), 2)
					return
				}
				dials := r.pending()
				require.Len(t, dials, c.dials)
				for i, number := range c.firstOrder {
					require.Contains(t, c.firstOrder, dials[i].number)
					require.NotZero(t, number)
				}
			})
		})
	}
}

func TestLoweredLimitsCloseIdleConnectionsAndOthersWhenTheyAreFree(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Limits
	}{
		{"hard", Limits{Soft: -1, Hard: 2}},
		{"total", Limits{Soft: -1, Total: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
				entries := []*Entry[string, *fakeConn]{r.get("a"), r.get("a"), r.get("a"), r.get("a")}
				r.Release(entries[0])
				r.SetLimits(c.l)
				require.Equal(t, []Reason{ReasonLimits}, r.closes(1))
				for id := 2; id <= 4; id++ {
					require.Empty(t, r.closes(id), "it is lent")
				}
				r.Release(entries[1])
				require.Equal(t, []Reason{ReasonLimits}, r.closes(2))
				r.Release(entries[2])
				r.Release(entries[3])
				require.Equal(t, 2, r.Stats().Idle)
				r.emptied()
			})
		})
	}
}

func TestLoweredLimitsCountWhatIsBeingClosed(t *testing.T) {
	bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
		e := r.get("a")
		r.idle("a", 3)
		closing := make(chan struct{})
		shut := r.cfg.Close
		r.cfg.Close = func(c *fakeConn, why Reason) {
			<-closing
			shut(c, why)
		}
		go r.Discard(e, ReasonError)
		synctest.Wait()
		r.SetLimits(Limits{Soft: -1, Hard: 3})
		require.Equal(t, 3, r.Stats().Idle)
		close(closing)
	})
}

func TestMaxRequestsRetiresAFreeConnection(t *testing.T) {
	for _, limit := range []int{1, 2, 3} {
		bubble(t, Limits{Soft: -1, Hard: 1, MaxRequests: limit}, func(t *testing.T, r *rig) {
			for range limit - 1 {
				r.Release(r.get("a"))
				require.Empty(t, r.closes(1))
			}
			e := r.get("a")
			next := r.start(1, "a", Want{})
			r.Release(e)
			require.Equal(t, []Reason{ReasonMaxRequests}, r.closes(1))
			require.Equal(t, 2, next.conn(t).id, "its slot dials for the waiter")
		})
	}
}

func TestMaxAgeRetiresAFreeConnection(t *testing.T) {
	const age = 10 * time.Minute
	for _, c := range []struct {
		name    string
		age     time.Duration
		retired bool
	}{
		{"before the earliest end", age - age/10 - 1, false},
		{"at the latest end", age, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Limits{Soft: -1, Hard: 1, MaxAge: age}, func(t *testing.T, r *rig) {
				e := r.get("a")
				time.Sleep(c.age)
				require.Empty(t, r.closes(1), "it is lent")
				r.Release(e)
				if c.retired {
					require.Equal(t, []Reason{ReasonMaxAge}, r.closes(1))
				} else {
					require.Empty(t, r.closes(1))
				}
			})
		})
	}
	t.Run("idle ones go when their time has come", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, MaxAge: age}, func(t *testing.T, r *rig) {
			e := r.get("a")
			r.Release(e)
			time.Sleep(time.Duration(e.expires-e.born) - 1)
			require.Empty(t, r.closes(1))
			time.Sleep(time.Nanosecond)
			require.Equal(t, []Reason{ReasonMaxAge}, r.closes(1))
		})
	})
	t.Run("the spread is drawn for each", func(t *testing.T) {
		bubble(t, Limits{Soft: -1, MaxAge: age}, func(t *testing.T, r *rig) {
			r.idle("a", 200)
			least, most := instant(math.MaxInt64), instant(0)
			for _, c := range r.conns {
				d := c.entry.expires - c.entry.born
				least, most = min(least, d), max(most, d)
			}
			require.GreaterOrEqual(t, least, instant(age-age/10))
			require.LessOrEqual(t, most, instant(age))
			require.Greater(t, most-least, instant(age/20))
		})
	})
	t.Run("a changed limit counts for those that are there", func(t *testing.T) {
		bubble(t, Limits{Soft: -1}, func(t *testing.T, r *rig) {
			r.idle("a", 1)
			e := r.get("b")
			time.Sleep(age)
			r.SetLimits(Limits{Soft: -1, MaxAge: age})
			require.Equal(t, []Reason{ReasonMaxAge}, r.closes(1))
			r.Release(e)
			require.Equal(t, []Reason{ReasonMaxAge}, r.closes(2))
		})
	})
}

func TestManyOriginsLeaveNothingBehind(t *testing.T) {
	bubble(t, Limits{Soft: 1, IdleTimeout: time.Minute}, func(t *testing.T, r *rig) {
		for i := range 1000 {
			r.Release(r.get(fmt.Sprint(i)))
		}
		require.Len(t, r.Stats().Origins, 1000)
		time.Sleep(time.Minute)
		synctest.Wait()
		s := r.Stats()
		require.Empty(t, s.Origins)
		require.Empty(t, r.origins)
		require.EqualValues(t, 1000, s.Dials, "the totals survive")
		require.EqualValues(t, 1000, s.Closed[ReasonIdleTimeout])
		require.Zero(t, r.armedAt)
	})
}
