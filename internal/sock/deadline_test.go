package sock

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeadline_isMovedOnceInALimitHoweverManyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, s, far := piped(t, false)
		c.ReadWithin(30 * time.Second)
		go say(far, 5000, 20*time.Millisecond)
		read(t, c, 1000) // 20 s
		require.EqualValues(t, 1, s.moves.Load())
		read(t, c, 4000) // 100 s in all
		require.LessOrEqual(t, s.moves.Load(), int64(4))
	})
}

func TestDeadline_isNotTouchedWithoutLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, s, far := piped(t, false)
		go say(far, 10, time.Hour)
		read(t, c, 10)
		require.True(t, c.End(l))
		require.Zero(t, s.moves.Load())
	})
}

func TestDeadline_surviveManyLoansUnmoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, s, far := piped(t, false)
		go say(far, 100, 10*time.Millisecond)
		for range 100 {
			require.True(t, c.End(l))
			l = c.Begin()
			c.WriteWithin(30 * time.Second)
			c.ReadBy(Now() + 30*time.Second)
			read(t, c, 1)
		}
		require.EqualValues(t, 1, s.moves.Load())
	})
}

func TestReadWithin_boundsEachWaitAndNotTheirSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.ReadWithin(time.Second)
		go say(far, 10, 900*time.Millisecond)
		read(t, c, 10)
		took, err := failure(t, c)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, took)
	})
}

func TestReadWithin_countsFromTheWaitAndNotFromTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, _ := piped(t, false)
		c.ReadWithin(time.Second)
		time.Sleep(time.Minute)
		took, err := failure(t, c)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, took)
	})
}

func TestReadWithin_ofLessThanNothingIsNoBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.ReadWithin(time.Second)
		c.ReadWithin(-1)
		go say(far, 1, 24*time.Hour)
		read(t, c, 1)
	})
}

func TestReadWithin_afterATimeoutReadsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.ReadWithin(time.Second)
		took, _ := failure(t, c)
		require.Equal(t, time.Second, took)
		go say(far, 1, 900*time.Millisecond)
		read(t, c, 1)
	})
}

func TestReadBy_isNotRenewedBySingleBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		start := time.Now()
		c.ReadBy(Now() + time.Second)
		go say(far, 9, 100*time.Millisecond)
		read(t, c, 9)
		_, err := failure(t, c)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestReadBy_reachesAReadThatWaitsAlready(t *testing.T) {
	tests := map[string]struct {
		before, after time.Duration // limits from the start; 0: none
		want          time.Duration
	}{
		"a first limit":    {0, 3 * time.Second, 3 * time.Second},
		"an earlier one":   {time.Minute, 3 * time.Second, 3 * time.Second},
		"a later one":      {3 * time.Second, time.Minute, time.Minute},
		"none":             {3 * time.Second, 0, time.Hour},
		"one that is over": {time.Minute, time.Nanosecond, time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, l, _, _ := piped(t, false)
				start := Now()
				by := func(d time.Duration) {
					if d == 0 {
						c.ReadBy(0)
						return
					}
					c.ReadBy(start + d)
				}
				by(test.before)
				go func() {
					time.Sleep(time.Second)
					by(test.after)
				}()
				time.AfterFunc(time.Hour, func() { c.Interrupt(l, io.ErrClosedPipe) })
				took, _ := failure(t, c)
				require.Equal(t, test.want, took)
			})
		})
	}
}

func TestBegin_leavesNothingOfTheLastLoansLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, _, far := piped(t, false)
		c.ReadBy(Now() + time.Second)
		c.WriteWithin(time.Second)
		go say(far, 1, 0)
		read(t, c, 1)
		require.True(t, c.End(l))

		c.Begin()
		go say(far, 1, time.Hour) // the deadline of the last loan passes meanwhile
		read(t, c, 1)
		go func() {
			time.Sleep(time.Hour)
			_, _ = io.ReadFull(far, make([]byte, 3))
		}()
		n, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.EqualValues(t, 3, c.Written())
	})
}

func TestWrite_goesInPiecesThatEachRenewTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, s, far := piped(t, false)
		c.WriteWithin(time.Second)
		const pieces = 8
		go func() {
			piece := make([]byte, maxPiece)
			for range pieces {
				time.Sleep(900 * time.Millisecond)
				_, _ = io.ReadFull(far, piece)
			}
		}()
		start := time.Now()
		n, err := c.Write(make([]byte, pieces*maxPiece))
		require.NoError(t, err)
		require.Equal(t, pieces*maxPiece, n)
		require.EqualValues(t, pieces*maxPiece, c.Written())
		require.EqualValues(t, 256<<10, s.longest.Load())
		require.Equal(t, pieces*900*time.Millisecond, time.Since(start))
	})
}

func TestWrite_goesOnForAPeerThatTakesSomeWithinTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.WriteWithin(time.Second)
		var got int
		done := make(chan struct{})
		go func() {
			defer close(done)
			bit := make([]byte, 10<<10) // a fortieth of what is written
			for got < 400<<10 {
				time.Sleep(300 * time.Millisecond)
				n, err := io.ReadFull(far, bit)
				if got += n; err != nil {
					return
				}
			}
		}()
		n, err := c.Write(make([]byte, 400<<10))
		<-done
		require.NoError(t, err)
		require.Equal(t, 400<<10, n)
		require.Equal(t, 400<<10, got)
	})
}

func TestWrite_saysHowMuchAPeerTookThatStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.WriteWithin(time.Second)
		go func() { _, _ = io.ReadFull(far, make([]byte, maxPiece+1000)) }()
		start := time.Now()
		n, err := c.Write(make([]byte, 1<<20))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, maxPiece+1000, n)
		require.EqualValues(t, maxPiece+1000, c.Written())
		// What was taken in the second piece's time renewed it once.
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestWriteBy_boundsAllWritesByOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		start := time.Now()
		c.WriteBy(Now() + time.Second)
		go func() {
			for range 3 {
				time.Sleep(300 * time.Millisecond)
				_, _ = io.ReadFull(far, make([]byte, 10))
			}
		}()
		for range 3 {
			_, err := c.Write(make([]byte, 10))
			require.NoError(t, err)
		}
		n, err := c.Write(make([]byte, 10))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Zero(t, n)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestTime_isTheClockOfNow(t *testing.T) {
	before := time.Now()
	at := Time(Now())
	after := time.Now()
	require.False(t, at.Before(before), "by the monotonic clock")
	require.False(t, at.After(after))
}

func TestWrite_ofNothingIsFine(t *testing.T) {
	c, _, _, _ := piped(t, false)
	c.WriteWithin(time.Second)
	c.Conn = emptyOnly{c.Conn}
	n, err := c.Write(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// emptyOnly takes a write without bytes as a socket does.
type emptyOnly struct{ net.Conn }

func (emptyOnly) Write(p []byte) (int, error) { return len(p), nil }

func TestWrite_andReadHaveLimitsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, false)
		c.WriteWithin(time.Second)
		go func() { _, _ = io.ReadFull(far, make([]byte, 3)) }()
		_, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		go say(far, 1, time.Hour)
		read(t, c, 1)
		c.ReadWithin(time.Second)
		took, _ := failure(t, c)
		require.Equal(t, time.Second, took)
		go func() {
			time.Sleep(500 * time.Millisecond)
			_, _ = io.ReadFull(far, make([]byte, 3))
		}()
		_, err = c.Write([]byte("abc"))
		require.NoError(t, err)
	})
}
