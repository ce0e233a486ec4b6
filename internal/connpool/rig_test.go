package connpool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errDial = errors.New("no route")

// fakeConn is a connection whose every move is counted.
type fakeConn struct {
	id       int
	key      string
	capacity atomic.Int64
	stale    atomic.Bool // fails its check
	entry    *Entry[string, *fakeConn]
	closed   []Reason // guarded by rig.mu
}

func (c *fakeConn) Capacity() int { return int(c.capacity.Load()) }

// fakeDial is a dial in flight that a test ends.
type fakeDial struct {
	key    string
	ctx    context.Context
	number any // of the request that started it
	end    chan error
}

// rig is a pool over fake connections. Unless manual is set, dials succeed at once.
type rig struct {
	*Pool[string, *fakeConn]
	t        *testing.T
	manual   bool
	capacity int64

	mu    sync.Mutex
	conns []*fakeConn
	dials []*fakeDial // in flight, manual only
	// open counts dials in flight and connections not yet closed; most is the highest it has been since it was reset.
	open, most  map[string]int
	all, allMax int
}

func newRig(t *testing.T, limits Limits) *rig {
	r := &rig{t: t, capacity: 1, open: map[string]int{}, most: map[string]int{}}
	r.Pool = New(Config[string, *fakeConn]{
		Dial:   r.dial,
		Opened: func(e *Entry[string, *fakeConn]) { e.Conn.entry = e },
		Close:  r.close,
		Check: func(c *fakeConn, _ time.Duration, _ bool) (bool, Reason) {
			return !c.stale.Load(), ReasonPeerClosed
		},
		Limits: limits,
	})
	t.Cleanup(func() { _ = r.Pool.Close() })
	return r
}

type numberKey struct{}

func (r *rig) dial(ctx context.Context, key string) (*fakeConn, error) {
	d := &fakeDial{key: key, ctx: ctx, number: ctx.Value(numberKey{}), end: make(chan error, 1)}
	r.mu.Lock()
	r.count(key, 1)
	if r.manual {
		r.dials = append(r.dials, d)
	} else {
		d.end <- nil
	}
	r.mu.Unlock()
	var err error
	select {
	case err = <-d.end:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.dials {
		if other == d {
			r.dials = append(r.dials[:i:i], r.dials[i+1:]...)
		}
	}
	if err != nil {
		r.count(key, -1)
		return nil, err
	}
	c := &fakeConn{id: len(r.conns) + 1, key: key}
	c.capacity.Store(r.capacity)
	r.conns = append(r.conns, c)
	return c, nil
}

// count is called with mu held.
func (r *rig) count(key string, n int) {
	r.open[key] += n
	r.all += n
	r.most[key] = max(r.most[key], r.open[key])
	r.allMax = max(r.allMax, r.all)
}

func (r *rig) close(c *fakeConn, why Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.closed = append(c.closed, why)
	r.count(c.key, -1)
}

// pending lists the dials in flight once everything has come to rest.
func (r *rig) pending() []*fakeDial {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*fakeDial(nil), r.dials...)
}

// closes lists why connection id was closed, once everything has come to rest.
func (r *rig) closes(id int) []Reason {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Reason(nil), r.conns[id-1].closed...)
}

// finishDial ends the oldest dial in flight.
func (r *rig) finishDial(err error) {
	r.t.Helper()
	dials := r.pending()
	require.NotEmpty(r.t, dials, "no dial is in flight")
	dials[0].end <- err
	synctest.Wait()
}

// attempt is an Acquire or Replace on a goroutine of its own.
type attempt struct {
	number int
	key    string
	cancel context.CancelCauseFunc
	done   atomic.Bool
	entry  *Entry[string, *fakeConn]
	got    Got
	err    error
	began  time.Time
	took   time.Duration
}

// start begins an Acquire and waits until it rests.
func (r *rig) start(number int, key string, want Want) *attempt {
	return r.startWith(number, key, func(ctx context.Context) (*Entry[string, *fakeConn], Got, error) {
		return r.Acquire(ctx, key, want)
	})
}

func (r *rig) startWith(
	number int, key string, f func(context.Context) (*Entry[string, *fakeConn], Got, error),
) *attempt {
	a := &attempt{number: number, key: key, began: time.Now()}
	var ctx context.Context
	ctx, a.cancel = context.WithCancelCause(context.WithValue(context.Background(), numberKey{}, number))
	go func() {
		a.entry, a.got, a.err = f(ctx)
		a.took = time.Since(a.began)
		a.done.Store(true)
		a.cancel(nil)
	}()
	synctest.Wait()
	return a
}

// conn is the connection that the attempt got, or the test fails.
func (a *attempt) conn(t *testing.T) *fakeConn {
	t.Helper()
	synctest.Wait()
	require.True(t, a.done.Load(), "the request still waits")
	require.NoError(t, a.err)
	return a.entry.Conn
}

// giveUp cancels the attempt and waits for its end.
func (a *attempt) giveUp() {
	a.cancel(nil)
	synctest.Wait()
}

func (a *attempt) waits(t *testing.T) {
	t.Helper()
	synctest.Wait()
	require.False(t, a.done.Load(), "the request does not wait any more")
}

// get acquires at once, or the test fails.
func (r *rig) get(key string) *Entry[string, *fakeConn] {
	r.t.Helper()
	a := r.start(0, key, Want{})
	a.conn(r.t)
	return a.entry
}

// idle makes n idle connections.
func (r *rig) idle(key string, n int) {
	r.t.Helper()
	entries := make([]*Entry[string, *fakeConn], n)
	for i := range entries {
		entries[i] = r.get(key)
	}
	for _, e := range entries {
		r.Release(e)
	}
}

// hijack takes a connection out of the pool and out of the count, the latter first: its slot may dial at once.
func (r *rig) hijack(e *Entry[string, *fakeConn]) {
	r.mu.Lock()
	r.count(e.Key(), -1)
	r.mu.Unlock()
	r.Hijack(e)
}

// addsUp checks that the statistics agree with themselves and with what was counted outside.
func (r *rig) addsUp() {
	r.t.Helper()
	s := r.Stats()
	var closed int64
	for _, n := range s.Closed {
		closed += n
	}
	held := int64(s.Active + s.Idle + s.Closing + s.Dialing)
	require.Equal(r.t, s.Dials, s.DialErrors+closed+held, "dials: %+v", s)
	var rows Gauges
	for _, row := range s.Origins {
		rows.add(&row.Gauges)
		require.Equal(r.t, row.Active > 0, !row.Oldest.IsZero())
		require.Equal(r.t, row.Active > 0, row.Longest != nil)
	}
	require.Equal(r.t, s.Gauges, rows)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.EqualValues(r.t, r.all, held)
}

// emptied closes the pool and checks that nothing is left and nothing was lost.
func (r *rig) emptied() {
	r.t.Helper()
	require.NoError(r.t, r.Pool.Close())
	synctest.Wait()
	r.addsUp()
	s := r.Stats()
	require.Equal(r.t, Gauges{}, s.Gauges)
	require.Empty(r.t, s.Origins)
	r.Pool.mapMu.Lock()
	require.Empty(r.t, r.Pool.origins, "the map of origins did not empty itself")
	r.Pool.mapMu.Unlock()
	r.Pool.mu.Lock()
	require.Zero(r.t, r.armedAt, "the timer is set")
	require.Zero(r.t, r.need)
	require.Zero(r.t, r.making)
	require.Empty(r.t, r.needs.items)
	require.Empty(r.t, r.due.items)
	require.Empty(r.t, r.idlest.items)
	r.Pool.mu.Unlock()
	require.Zero(r.t, r.used.Load())
	require.Zero(r.t, r.waiting.Load())
	r.mu.Lock()
	defer r.mu.Unlock()
	hijacked := 0
	for _, c := range r.conns {
		if c.entry.state == stateGone && len(c.closed) == 0 {
			hijacked++
			continue
		}
		require.Len(r.t, c.closed, 1, "connection %d", c.id)
	}
	require.EqualValues(r.t, s.Closed[ReasonHijacked], hijacked)
}

// bubble runs a test with a rig under a fake clock.
func bubble(t *testing.T, limits Limits, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, limits)) })
}
