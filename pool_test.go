package parley_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// gate is a server that answers when it is told to, and knows what it has got.
type gate struct {
	*wiretest.Server
	open chan struct{} // one answer each
	mu   sync.Mutex
	seen []string // paths, in the order of their coming
	busy int      // requests not answered
	most int
}

func newGate(t *testing.T) *gate {
	g := &gate{open: make(chan struct{})}
	g.Server = wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			g.enter(r.URL.Path)
			select {
			case <-g.open:
			case <-c.Ending():
				return
			}
			g.mu.Lock()
			g.busy--
			g.mu.Unlock()
			if !c.Say(wiretest.OK(r.URL.Path)) {
				return
			}
		}
	})
	return g
}

func (g *gate) enter(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, path)
	g.busy++
	g.most = max(g.most, g.busy)
}

func (g *gate) Busy() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy
}

// start sends requests for /0, /1, … one after the other, each once the one before
// is where it has to wait, and gives where their errors come.
func (g *gate) start(t *testing.T, c *parley.Client, n int, opts ...parley.RequestOption) <-chan error {
	t.Helper()
	errs := make(chan error, n)
	for i := range n {
		before := g.Busy() + c.Stats().Waiting
		go func() {
			_, err := c.Get(t.Context(), strconv.Itoa(i), opts...)
			errs <- err
		}()
		wiretest.Eventually(t, func() bool { return g.Busy()+c.Stats().Waiting > before }, "the request is on its way or waits")
	}
	return errs
}

// free lets n requests be answered.
func (g *gate) free(n int) {
	for range n {
		g.open <- struct{}{}
	}
}

func limited(l parley.PoolLimits) parley.ClientOption { return parley.WithPoolLimits(l) }

func TestPool_neverMoreThanTheHardLimit(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Hard: 2}))
	errs := g.start(t, c, 10)
	stats := c.Stats()
	require.Equal(t, 2, stats.Active)
	require.Equal(t, 8, stats.Waiting)
	require.Equal(t, "<Client "+g.URL()+"/ [2 active, 0 idle, 8 waiting]>", c.String())
	for range 10 {
		g.free(1)
		require.NoError(t, <-errs)
	}
	require.Equal(t, 2, g.most)
	require.Equal(t, 2, g.Accepted())
	stats = c.Stats()
	require.EqualValues(t, 2, stats.Dials)
	require.EqualValues(t, 8, stats.Reuses)
	require.EqualValues(t, 8, stats.Waits)
	require.Positive(t, stats.WaitTime)
	require.Equal(t, 2, stats.Idle)
}

func TestPool_thoseWhoWaitAreServedInTurn(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Hard: 1}))
	errs := g.start(t, c, 10)
	for range 10 {
		g.free(1)
		require.NoError(t, <-errs)
	}
	require.Equal(t, strings.Fields("/0 /1 /2 /3 /4 /5 /6 /7 /8 /9"), g.seen)
}

func TestPool_timeoutTellsTheStateOfThePool(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Hard: 8}))
	g.start(t, c, 8)
	limit := 100 * time.Millisecond
	waiting := g.start(t, c, 2) // for longer
	_, err := c.Get(t.Context(), "late", parley.WithTimeouts(parley.Timeouts{Pool: limit}))
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	require.ErrorIs(t, err, parley.ErrTimeout)
	require.Regexp(t, `^GET `+regexp.QuoteMeta(g.URL())+`/late: pool: pool timeout after [\d.]+m?s: 8 of 8 connections to `+
		regexp.QuoteMeta(g.Addr())+` in use, 3 waiting$`, err.Error())
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhasePool, e.Phase)
	require.Equal(t, parley.NotSent, e.Sent)
	require.Equal(t, limit, e.Limit)
	require.GreaterOrEqual(t, e.Elapsed, limit)
	require.Zero(t, e.Attempt)
	require.EqualValues(t, 1, c.Stats().PoolTimeouts)
	require.EqualValues(t, 1, c.Stats().Timeouts[parley.PhasePool])
	g.free(10)
	require.NoError(t, <-waiting)
	require.NoError(t, <-waiting)
}

func TestPool_aWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Hard: 1}))
	first := g.start(t, c, 1)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Get(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhasePool, e.Phase)
	require.Equal(t, parley.NotSent, e.Sent)
	require.Zero(t, c.Stats().Waiting)
	g.free(1)
	require.NoError(t, <-first)
}

func TestPool_theTotalLimitHoldsOverAllOrigins(t *testing.T) {
	t.Parallel()
	a, b := newGate(t), newGate(t)
	c := sessionTo(t, a.Server, limited(parley.PoolLimits{Total: 2}))
	toB := derivedTo(t, c, b.Server)
	errs := a.start(t, c, 2)
	_, err := toB.Get(t.Context(), "x", parley.WithTimeouts(parley.Timeouts{Pool: 100 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	require.Regexp(t, `pool timeout after [\d.]+m?s: 2 of 2 connections to all origins in use, 1 waiting$`, err.Error())
	a.free(2)
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	require.Equal(t, 2, c.Stats().Idle)

	errs = b.start(t, toB, 1) // an idle connection of the other origin makes room
	require.EqualValues(t, 1, c.Stats().Closed["made room for another origin"])
	b.free(1)
	require.NoError(t, <-errs)
	stats := c.Stats()
	require.Equal(t, 2, stats.Idle)
	require.Len(t, stats.Origins, 2)
	for _, o := range stats.Origins {
		require.Equal(t, 1, o.Idle)
		require.Contains(t, []string{a.URL(), b.URL()}, o.Origin)
	}
}

// derivedTo derives a session for another server that shares the pool.
func derivedTo(t *testing.T, c *parley.Client, s *wiretest.Server) *parley.Client {
	t.Helper()
	d, err := c.With(parley.WithBaseURL(s.URL()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// atOnce makes n requests that are on their way together, and thus n connections.
func atOnce(t *testing.T, g *gate, c *parley.Client, n int) {
	t.Helper()
	errs := g.start(t, c, n)
	g.free(n)
	for range n {
		require.NoError(t, <-errs)
	}
}

func closedBy(t *testing.T, c *parley.Client, why string, n int64) {
	t.Helper()
	wiretest.Eventually(t, func() bool { return c.Stats().Closed[why] == n }, why)
}

func TestPool_theSoftLimitKeepsTheRestForAMomentOnly(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Soft: 2, SurplusIdle: 150 * time.Millisecond}))
	atOnce(t, g, c, 5)
	require.Equal(t, 5, c.Stats().Idle)
	atOnce(t, g, c, 5)
	require.Equal(t, 5, g.Accepted(), "a burst that comes again soon dials nothing")
	closedBy(t, c, "surplus idle", 3)
	require.Equal(t, 2, c.Stats().Idle)
}

func TestPool_idleConnectionsEnd(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{IdleTimeout: 50 * time.Millisecond}))
	atOnce(t, g, c, 3)
	closedBy(t, c, "idle timeout", 3)
	require.Zero(t, c.Stats().Idle)
}

func TestPool_retiresConnections(t *testing.T) {
	t.Parallel()
	t.Run("after so many requests", func(t *testing.T) {
		t.Parallel()
		s := wiretest.Serve(t, wiretest.Echo())
		c := sessionTo(t, s, limited(parley.PoolLimits{MaxRequests: 3}))
		for range 7 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		require.Equal(t, 3, s.Accepted())
		require.EqualValues(t, 2, c.Stats().Closed["max requests"])
	})
	t.Run("after a time, but not in use", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		c := sessionTo(t, g.Server, limited(parley.PoolLimits{MaxAge: 50 * time.Millisecond}))
		errs := g.start(t, c, 1)
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 1, c.Stats().Active, "it is never taken from a request")
		g.free(1)
		require.NoError(t, <-errs)
		closedBy(t, c, "max age", 1)
		atOnce(t, g, c, 1)
		require.Equal(t, 2, g.Accepted())
	})
}

func TestPool_theLastUsedIsReusedFirst(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server)
	atOnce(t, g, c, 3)
	var last string
	for i := range 6 {
		atOnce(t, g, c, 1)
		received := g.Received()
		lens := []int{len(received[0]), len(received[1]), len(received[2])}
		used := strconv.Itoa(indexOfMax(lens))
		if i > 0 {
			require.Equal(t, last, used)
		}
		last = used
	}
}

func indexOfMax(v []int) int {
	at := 0
	for i := range v {
		if v[i] > v[at] {
			at = i
		}
	}
	return at
}

func TestPool_limitsChangeWhileItRuns(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server, limited(parley.PoolLimits{Hard: 1}))
	errs := g.start(t, c, 4)
	require.Equal(t, 1, g.Busy())
	require.NoError(t, c.Pool().SetLimits(parley.PoolLimits{Hard: 3}))
	wiretest.Eventually(t, func() bool { return g.Busy() == 3 }, "those who wait go on at once")
	require.Equal(t, 1, c.Stats().Waiting)
	g.free(4)
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 3, c.Stats().Idle)

	require.NoError(t, c.Pool().SetLimits(parley.PoolLimits{Hard: 1}))
	closedBy(t, c, "limits lowered", 2)
	require.Equal(t, 1, c.Stats().Idle)

	require.Error(t, c.Pool().SetLimits(parley.PoolLimits{Soft: 3, Hard: 2}))
	_, err := parley.New(limited(parley.PoolLimits{Soft: 3, Hard: 2}))
	require.ErrorContains(t, err, "the soft limit 3 is above the hard limit 2")
}

func TestPool_closeIdle(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server)
	atOnce(t, g, c, 3)
	errs := g.start(t, c, 1)
	c.Pool().CloseIdle()
	require.Equal(t, 1, c.Stats().Active)
	require.Zero(t, c.Stats().Idle)
	require.EqualValues(t, 2, c.Stats().Closed["idle connections closed"])
	g.free(1)
	require.NoError(t, <-errs)
}

func TestPool_closeLetsWhatRunsEnd(t *testing.T) {
	t.Parallel()
	send := make(chan struct{})
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err != nil {
			return
		}
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbef")
		<-send
		c.Say("ore")
		c.Rest()
	})
	c, err := parley.New(parley.WithBaseURL(s.URL()), limited(parley.PoolLimits{Hard: 1}))
	require.NoError(t, err)
	resp, err := c.Stream(t.Context(), http.MethodGet, "x")
	require.NoError(t, err)
	waiting := make(chan error)
	go func() {
		_, err := c.Get(t.Context(), "y")
		waiting <- err
	}()
	wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 1 }, "a request waits")

	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing again does nothing")
	require.Equal(t, "<Client "+s.URL()+"/ [closed]>", c.String())
	err = <-waiting
	require.ErrorIs(t, err, parley.ErrClientClosed)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.NotSent, e.Sent)
	_, err = c.Get(t.Context(), "z")
	require.ErrorIs(t, err, parley.ErrClientClosed)

	close(send)
	text, err := resp.Text()
	require.NoError(t, err, "a response that has begun can be read to its end")
	require.Equal(t, "before", text)
	require.Zero(t, c.Stats().Active+c.Stats().Idle)
	require.EqualValues(t, 1, c.Stats().Closed["pool closed"])
}

// slowly is a dialer that waits for a word before each connection.
type slowly struct {
	begun atomic.Int64
	word  chan struct{}
}

func (d *slowly) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.begun.Add(1)
	select {
	case <-d.word:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func TestPool_aDialOutlivesItsRequester(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	d := &slowly{word: make(chan struct{})}
	c := sessionTo(t, s, parley.WithDialer(d))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Get(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseConnect, e.Phase)
	require.Equal(t, parley.NotSent, e.Sent)
	require.Equal(t, 1, c.Stats().Dialing)
	require.Equal(t, "<Client "+s.URL()+"/ [0 active, 0 idle, 1 dialing]>", c.String())
	d.word <- struct{}{}
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 1 }, "the connection is kept")
	resp, err := c.Get(t.Context(), "y")
	require.NoError(t, err)
	require.True(t, resp.Timing().Reused)
	require.EqualValues(t, 1, d.begun.Load())
}

func TestPool_aWaiterTakesWhatComesFirst(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	d := &slowly{word: make(chan struct{}, 1)}
	d.word <- struct{}{}
	c := sessionTo(t, g.Server, parley.WithDialer(d))
	first := g.start(t, c, 1)
	second := make(chan error)
	go func() {
		_, err := c.Get(t.Context(), "second")
		second <- err
	}()
	wiretest.Eventually(t, func() bool { return d.begun.Load() == 2 }, "the second request dials")
	g.free(2) // the first connection is free before the dial has ended
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.Equal(t, 1, g.Accepted())
	d.word <- struct{}{}
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 2 }, "the dial is not wasted")
}

func TestPool_statsOfAnOrigin(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	c := sessionTo(t, g.Server)
	before := time.Now()
	errs := g.start(t, c, 2)
	stats := c.Stats()
	require.Len(t, stats.Origins, 1)
	o := stats.Origins[0]
	require.Equal(t, g.URL(), o.Origin)
	require.Equal(t, 2, o.Active)
	require.EqualValues(t, 2, o.Dials)
	require.WithinRange(t, o.Oldest, before.Add(-time.Millisecond), time.Now())
	require.Equal(t, "<Pool [2 active, 0 idle]>", c.Pool().String())
	g.free(2)
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	require.True(t, c.Stats().Origins[0].Oldest.IsZero())

	_, err := c.Get(t.Context(), "http://127.0.0.1:1/")
	require.ErrorIs(t, err, parley.ErrConnect)
	require.EqualValues(t, 1, c.Stats().DialErrors)
}

// drop makes a response that nobody closes.
//
//go:noinline
func drop(t *testing.T, c *parley.Client, opts ...parley.RequestOption) {
	resp, err := c.Stream(t.Context(), http.MethodPost, "leaky?token=secret", opts...)
	require.NoError(t, err)
	_, err = resp.Body.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestPool_findsResponsesThatWereNeverClosed(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]parley.RequestOption{
		"":                        parley.WithOptions(),
		", with a body under way": parley.WithReader(&endless{}),
	} {
		t.Run("leak"+name, func(t *testing.T) {
			ended := make(chan struct{}, 1)
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadHead(); err != nil {
					return
				}
				c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
				_, _ = io.Copy(io.Discard, c.Conn)
				ended <- struct{}{}
			})
			c := sessionTo(t, s, limited(parley.PoolLimits{Hard: 1}))
			drop(t, c, body)
			require.Equal(t, 1, c.Stats().Active)
			wiretest.Eventually(t, func() bool {
				runtime.GC()
				return c.Stats().Leaked == 1
			}, "the response is found")
			<-ended
			stats := c.Stats()
			require.Equal(t, map[string]int64{s.URL() + "/leaky?...": 1}, stats.Leaks)
			wiretest.Eventually(t, func() bool { return c.Stats().Active == 0 }, "its place is free")
			drop(t, c)
		})
	}
}

func TestPool_aResponseInUseIsNoLeak(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("content") }))
	c := sessionTo(t, s)
	for _, read := range []func(*parley.Response){
		func(r *parley.Response) { _, _ = io.ReadAll(r.Body) },
		func(r *parley.Response) { _ = r.Close() },
		func(r *parley.Response) { _, _ = r.Bytes() },
	} {
		resp, err := c.Stream(t.Context(), http.MethodGet, "x")
		require.NoError(t, err)
		body := resp.Body // the body alone keeps the exchange
		runtime.GC()
		runtime.GC()
		_, err = io.ReadFull(body, make([]byte, 3))
		require.NoError(t, err)
		read(resp)
	}
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	runtime.GC()
	runtime.GC()
	require.Zero(t, c.Stats().Leaked)
	require.Equal(t, 1, s.Accepted())
}
