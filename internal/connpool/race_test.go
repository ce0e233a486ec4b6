package connpool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crowd is a pool under real goroutines. Its connections notice two borrowers at once.
type crowd struct {
	*Pool[int, *crowdConn]
	limits        Limits
	open          [4]atomic.Int64
	all           atomic.Int64
	dialled, shut atomic.Int64
	hijacked      atomic.Int64
	broken        atomic.Int64 // promises
}

type crowdConn struct {
	key, capacity int
	borrowers     atomic.Int64
	closed        atomic.Bool
}

func (c *crowdConn) Capacity() int { return c.capacity }

func newCrowd(limits Limits, capacity int) *crowd {
	c := &crowd{limits: limits}
	c.Pool = New(Config[int, *crowdConn]{
		Dial: func(ctx context.Context, key int) (*crowdConn, error) {
			if n := c.open[key].Add(1); limits.Hard > 0 && n > int64(limits.Hard) {
				c.broken.Add(1)
			}
			if n := c.all.Add(1); limits.Total > 0 && n > int64(limits.Total) {
				c.broken.Add(1)
			}
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			if rand.IntN(10) == 0 || ctx.Err() != nil {
				c.open[key].Add(-1)
				c.all.Add(-1)
				return nil, errDial
			}
			c.dialled.Add(1)
			return &crowdConn{key: key, capacity: capacity}, nil
		},
		Close: func(conn *crowdConn, _ Reason) {
			if conn.closed.Swap(true) || conn.borrowers.Load() != 0 {
				c.broken.Add(1)
			}
			c.shut.Add(1)
			c.open[conn.key].Add(-1)
			c.all.Add(-1)
		},
		Check: func(conn *crowdConn, _ time.Duration, _ bool) (bool, Reason) {
			return rand.IntN(20) != 0, ReasonPeerClosed
		},
		Limits: limits,
	})
	return c
}

// request does what a request does, in one of the ways it can go.
func (c *crowd) request() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rand.IntN(5) == 0 {
		time.AfterFunc(time.Duration(rand.IntN(300))*time.Microsecond, cancel)
	}
	want := Want{Wait: 20 * time.Second, Connect: time.Duration(rand.IntN(2)*20) * time.Second}
	e, _, err := c.Acquire(ctx, rand.IntN(len(c.open)), want)
	if err != nil {
		return err
	}
	c.use(e)
	switch n := rand.IntN(100); {
	case n < 80:
		c.Release(e)
	case n < 90:
		c.Discard(e, ReasonError)
	case n < 95:
		if e, _, err = c.Replace(ctx, e, 0, want); err != nil {
			return err
		}
		c.use(e)
		c.Release(e)
	case n < 97 && e.Conn.capacity == 1:
		c.hijacked.Add(1)
		key := e.Conn.key
		c.open[key].Add(-1)
		c.all.Add(-1)
		c.Hijack(e)
	default:
		e.LimitIdle(time.Duration(rand.IntN(1000)) * time.Microsecond)
		c.Release(e)
	}
	return nil
}

func (c *crowd) use(e *Entry[int, *crowdConn]) {
	if n := e.Conn.borrowers.Add(1); n > int64(e.Conn.capacity) || e.Conn.closed.Load() {
		c.broken.Add(1)
	}
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
	}
	e.Conn.borrowers.Add(-1)
}

func TestPoolKeepsItsPromisesUnderACrowd(t *testing.T) {
	base := Limits{
		Soft: 1, Hard: 3, IdleTimeout: 2 * time.Millisecond, SurplusIdle: 500 * time.Microsecond,
		MaxAge: 20 * time.Millisecond, MaxRequests: 50,
	}
	tight := base
	tight.Total = 2
	free := Limits{Soft: -1, Total: 5}
	for _, tc := range []struct {
		name     string
		limits   Limits
		capacity int
	}{
		{"hard limit", base, 1}, {"total limit", tight, 1}, {"only a total limit", free, 1}, {"shared", tight, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCrowd(tc.limits, tc.capacity)
			until := time.Now().Add(300 * time.Millisecond)
			var wg sync.WaitGroup
			for range 24 {
				wg.Go(func() {
					for time.Now().Before(until) {
						if err := c.request(); err != nil && !errors.Is(err, errDial) && !errors.Is(err, context.Canceled) {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Go(func() {
				for time.Now().Before(until) {
					c.Stats()
					c.SetLimits(tc.limits)
					c.CloseIdle()
					time.Sleep(5 * time.Millisecond)
				}
			})
			wg.Wait()
			require.NoError(t, c.Pool.Close())
			require.Eventually(t, func() bool {
				return c.all.Load() == 0 && len(c.Stats().Origins) == 0
			}, 10*time.Second, time.Millisecond)
			require.Zero(t, c.broken.Load(), "promises broken")
			require.Equal(t, c.dialled.Load(), c.shut.Load()+c.hijacked.Load())
			s := c.Stats()
			var closed int64
			for _, n := range s.Closed {
				closed += n
			}
			require.Equal(t, s.Dials, s.DialErrors+closed)
			require.Equal(t, c.hijacked.Load(), s.Closed[ReasonHijacked])
			require.Zero(t, c.used.Load())
		})
	}
}

func TestCloseUnderACrowdLosesNobody(t *testing.T) {
	for range 20 {
		c := newCrowd(Limits{Soft: 1, Hard: 2, Total: 3, IdleTimeout: time.Millisecond}, 1)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					if err := c.request(); errors.Is(err, ErrClosed) {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		require.NoError(t, c.Pool.Close())
		wg.Wait()
		require.Eventually(t, func() bool { return c.all.Load() == 0 }, 10*time.Second, time.Millisecond)
		require.Zero(t, c.broken.Load())
		require.Equal(t, c.dialled.Load(), c.shut.Load()+c.hijacked.Load())
	}
}
