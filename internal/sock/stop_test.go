package sock

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errWhy = errors.New("why")

func TestStop_endsAWaitAtOnceWithItsReason(t *testing.T) {
	tests := map[string]struct {
		stop        func(*Conn, Loan)
		read, write error // nil: goes on
	}{
		"Cancel":    {func(c *Conn, _ Loan) { c.Cancel() }, ErrCancelled, ErrCancelled},
		"Interrupt": {func(c *Conn, l Loan) { c.Interrupt(l, errWhy) }, errWhy, errWhy},
		"StopWrite": {func(c *Conn, l Loan) { c.StopWrite(l, errWhy) }, nil, errWhy},
	}
	for name, test := range tests {
		for _, refuse := range []bool{false, true} {
			if refuse && name == "StopWrite" {
				continue // where nothing but closing helps, reading ends too: see below
			}
			t.Run(name+map[bool]string{true: " without deadlines"}[refuse], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, l, _, far := piped(t, refuse)
					start := time.Now()
					time.AfterFunc(time.Second, func() { test.stop(c, l) })
					written := make(chan error, 1)
					go func() {
						_, err := c.Write([]byte("nobody reads this"))
						written <- err
					}()
					if test.read != nil {
						took, err := failure(t, c)
						require.Equal(t, test.read, err)
						require.Equal(t, time.Second, took)
					}
					require.Equal(t, test.write, <-written)
					require.Equal(t, time.Second, time.Since(start))
					if test.read == nil {
						go say(far, 1, time.Minute)
						read(t, c, 1)
					}
					_, err := c.Write([]byte("x"))
					require.Equal(t, test.write, err, "a later write")
					require.False(t, c.End(l), "not fit for another loan")
				})
			})
		}
	}
}

func TestStopWrite_withoutDeadlinesLeavesReadingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, s, far := piped(t, true)
		c.WriteWithin(time.Second)
		written := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("nobody reads this"))
			written <- err
		}()
		synctest.Wait()
		c.StopWrite(l, errWhy)
		go say(far, 1, time.Minute)
		read(t, c, 1)
		require.False(t, s.closed.Load())
		c.Interrupt(l, io.ErrClosedPipe)
		require.Error(t, <-written)
		require.True(t, s.closed.Load())
		_, err := c.Write([]byte("x"))
		require.Error(t, err)
		require.False(t, c.End(l))
	})
}

func TestResumeWrite_makesTheConnectionFitAgain(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, l, _, far := piped(t, refuse)
			c.WriteWithin(time.Second)
			c.StopWrite(l, errWhy)
			c.ResumeWrite(l - 1)
			_, err := c.Write([]byte("x"))
			require.Equal(t, errWhy, err, "another loan's word does not count")
			c.ResumeWrite(l)
			require.True(t, c.End(l))
			l = c.Begin()
			go func() {
				time.Sleep(time.Minute)
				_, _ = io.ReadFull(far, make([]byte, 1))
			}()
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			require.True(t, c.End(l))
		})
	}
}

func TestResumeWrite_doesNotUndoACancellation(t *testing.T) {
	c, l, _, _ := piped(t, false)
	c.StopWrite(l, errWhy)
	c.Cancel()
	c.ResumeWrite(l)
	_, err := c.Write([]byte("x"))
	require.Equal(t, ErrCancelled, err)
	require.False(t, c.End(l))
}

func TestStop_refusesEveryLaterMove(t *testing.T) {
	tests := map[string]func(*Conn){
		"ReadWithin": func(c *Conn) { c.ReadWithin(time.Hour) },
		"ReadBy":     func(c *Conn) { c.ReadBy(Now() + time.Hour) },
		"ReadBy(0)":  func(c *Conn) { c.ReadBy(0) },
		"Begin":      func(c *Conn) { c.Begin() },
		"another":    func(c *Conn) { c.Interrupt(c.loan, errWhy); c.StopWrite(c.loan, errWhy) },
	}
	for name, move := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, s, far := piped(t, false)
				c.Cancel()
				moves := s.moves.Load()
				move(c)
				go say(far, 1, 0)
				took, err := failure(t, c)
				require.Equal(t, ErrCancelled, err, "the first reason stays")
				require.Zero(t, took)
				require.Equal(t, moves, s.moves.Load())
				far.Close()
				synctest.Wait()
			})
		})
	}
}

func TestStop_isSafeAgainstReadsThatSetTheirLimits(t *testing.T) {
	for range 200 {
		c, _, _, far := piped(t, false)
		go func() {
			for i := 0; ; i++ {
				if _, err := far.Write([]byte{1}); err != nil {
					return
				}
			}
		}()
		ended := make(chan error, 1)
		go func() {
			for {
				c.ReadBy(Now() + time.Hour)
				if _, err := c.Read(make([]byte, 1)); err != nil {
					ended <- err
					return
				}
			}
		}()
		time.AfterFunc(50*time.Microsecond, c.Cancel)
		select {
		case err := <-ended:
			require.Equal(t, ErrCancelled, err)
		case <-time.After(5 * time.Second):
			t.Fatal("a limit that was set later undid the cancellation")
		}
		far.Close()
	}
}

func TestLoan_ofThePastStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, old, s, far := piped(t, false)
		require.True(t, c.End(old))
		require.False(t, c.End(old), "a loan ends once")
		l := c.Begin()
		c.Interrupt(old, errWhy)
		c.StopWrite(old, errWhy)
		require.Zero(t, s.moves.Load())
		go say(far, 1, time.Second)
		read(t, c, 1)
		require.False(t, c.End(old))
		require.True(t, c.End(l))
	})
}

func TestEnd_ofALoanThatTimedOutIsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, _, _ := piped(t, false)
		c.ReadWithin(time.Second)
		_, err := failure(t, c)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.True(t, c.End(l), "whether it is fit for more, the exchange knows")
	})
}

func TestRelease_liftsEverything(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, l, s, far := piped(t, refuse)
			c.ReadBy(Now() + time.Second)
			c.WriteWithin(time.Second)
			require.NoError(t, c.Release())
			go say(far, 1, time.Hour)
			read(t, c, 1)
			go func() {
				time.Sleep(time.Hour)
				_, _ = io.ReadFull(far, make([]byte, 1))
			}()
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			c.Interrupt(l, errWhy) // the loan is over
			require.False(t, c.End(l))
			require.False(t, s.closed.Load())
		})
	}
}

func TestRelease_failsAfterAStop(t *testing.T) {
	c, _, _, _ := piped(t, false)
	c.Cancel()
	require.Equal(t, ErrCancelled, c.Release())
	_, err := c.Write([]byte("x"))
	require.Equal(t, ErrCancelled, err)
}

func TestErrors_ofTheConnectionComeThrough(t *testing.T) {
	c, _, _, far := piped(t, false)
	c.ReadWithin(time.Minute)
	far.Close()
	_, err := c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// Without deadlines a timer closes the connection.

func TestNoDeadlines_aTimerClosesInTime(t *testing.T) {
	tests := map[string]func(*Conn){
		"ReadWithin": func(c *Conn) { c.ReadWithin(time.Second) },
		"ReadBy":     func(c *Conn) { c.ReadBy(Now() + time.Second) },
		"ReadBy for a wait that began": func(c *Conn) {
			time.AfterFunc(time.Millisecond, func() { c.ReadBy(Now() + 999*time.Millisecond) })
		},
	}
	for name, limit := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, l, s, _ := piped(t, true)
				limit(c)
				took, err := failure(t, c)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Second, took)
				require.True(t, s.closed.Load())
				require.False(t, c.End(l))
			})
		})
	}
	for name, limit := range map[string]func(*Conn){
		"WriteWithin": func(c *Conn) { c.WriteWithin(time.Second) },
		"WriteBy":     func(c *Conn) { c.WriteBy(Now() + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, s, _ := piped(t, true)
				limit(c)
				start := time.Now()
				_, err := c.Write([]byte("nobody reads this"))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Second, time.Since(start))
				require.True(t, s.closed.Load())
			})
		})
	}
}

func TestNoDeadlines_limitsThatAreMovedMoveTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, far := piped(t, true)
		c.ReadBy(Now() + time.Second)
		go say(far, 2, 800*time.Millisecond)
		read(t, c, 1)
		c.ReadBy(Now() + time.Second)
		read(t, c, 1)
		c.ReadBy(0)
		go say(far, 1, time.Hour)
		read(t, c, 1)
	})
}

func TestNoDeadlines_onlyWaitsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, s, far := piped(t, true)
		c.ReadWithin(time.Second)
		c.WriteBy(Now() + time.Second)
		go say(far, 1, 0)
		read(t, c, 1)
		go func() { _, _ = io.ReadFull(far, make([]byte, 1)) }()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		time.Sleep(time.Minute) // the caller is busy with what was read
		require.False(t, s.closed.Load())
		c.ReadWithin(0)
		go say(far, 1, time.Minute) // and the write's limit is none of the read's
		read(t, c, 1)
		require.True(t, c.End(l))
	})
}

func TestNoDeadlines_anEndedLoanIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, s, far := piped(t, true)
		c.ReadBy(Now() + time.Second)
		go say(far, 1, 0)
		read(t, c, 1)
		require.True(t, c.End(l))
		time.Sleep(time.Minute)
		require.False(t, s.closed.Load())
	})
}
