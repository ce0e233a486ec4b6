package connpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// driver does random things to a pool, one at a time, and checks after each that the pool's promises hold.
type driver struct {
	*rig
	rand    *rand.Rand
	limits  Limits
	number  int
	pending []*attempt // of Acquire, in the order of their coming
	replays []*attempt // of Replace
	held    []*attempt // have a connection
	history []string
	started []*fakeDial // dials that were in flight before this step
}

func TestPoolKeepsItsPromisesWhateverHappens(t *testing.T) {
	seeds := 120
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			d := &driver{rand: rand.New(rand.NewPCG(uint64(seed), 7))}
			d.limits = d.randomLimits()
			d.rig = newRig(t, d.limits)
			d.manual = true
			if seed%4 == 3 {
				d.capacity = 3
			}
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, limits %+v, history:", seed, d.limits)
					for _, step := range d.history {
						t.Log(step)
					}
				}
			}()
			for range 150 {
				d.step()
			}
			d.finish()
		})
	}
}

func (d *driver) randomLimits() Limits {
	choose := func(n ...int) int { return n[d.rand.IntN(len(n))] }
	return Limits{
		Soft: choose(-1, 0, 1, 2), Hard: choose(0, 1, 2, 3), Total: choose(0, 0, 1, 2, 4),
		IdleTimeout: time.Duration(choose(0, 10, 90)) * time.Second,
		SurplusIdle: time.Duration(choose(0, 1)) * time.Second,
		MaxAge:      time.Duration(choose(0, 0, 30)) * time.Second,
		MaxRequests: choose(0, 0, 1, 5),
	}
}

// step does one thing and checks.
func (d *driver) step() {
	synctest.Wait()
	d.mu.Lock()
	before, allBefore := map[string]int{}, d.all
	for key, n := range d.open {
		before[key] = n
	}
	clear(d.most)
	d.allMax = 0
	d.started = slices.Clone(d.dials)
	d.mu.Unlock()
	d.history = append(d.history, d.act())
	synctest.Wait()
	d.check(before, allBefore)
}

func pick[T any](d *driver, from []T) (T, bool) {
	if len(from) == 0 {
		var none T
		return none, false
	}
	return from[d.rand.IntN(len(from))], true
}

// act does one random thing and says what.
func (d *driver) act() string {
	switch n := d.rand.IntN(100); {
	case n < 35:
		return d.acquire()
	case n < 55:
		if f, ok := pick(d, d.pendingDials()); ok {
			err := error(nil)
			if d.rand.IntN(4) == 0 {
				err = errDial
			}
			f.end <- err
			return fmt.Sprintf("dial of %v ends: %v", f.number, err)
		}
	case n < 85:
		if a, ok := pick(d, d.held); ok {
			d.held = slices.DeleteFunc(d.held, func(b *attempt) bool { return a == b })
			return d.end(a)
		}
	case n < 90:
		if a, ok := pick(d, append(slices.Clone(d.pending), d.replays...)); ok {
			a.cancel(errors.New("tired"))
			return fmt.Sprintf("%d gives up", a.number)
		}
	case n < 94:
		wait := time.Duration(d.rand.IntN(3000)) * time.Millisecond
		if d.rand.IntN(8) == 0 {
			wait *= 20
		}
		time.Sleep(wait)
		return fmt.Sprintf("%v pass", wait)
	case n < 96:
		d.limits = d.randomLimits()
		d.SetLimits(d.limits)
		return fmt.Sprintf("limits %+v", d.limits)
	case n < 97:
		d.CloseIdle()
		return "close idle"
	default:
		if c, ok := pick(d, d.allConns()); ok {
			return d.change(c)
		}
	}
	return "nothing"
}

func (d *driver) acquire() string {
	d.number++
	want := Want{}
	if d.rand.IntN(3) == 0 {
		want.Wait = time.Duration(d.rand.IntN(2000)) * time.Millisecond
	}
	if d.rand.IntN(3) == 0 {
		want.Connect = time.Duration(1+d.rand.IntN(4)) * time.Second
	}
	key := string(rune('a' + d.rand.IntN(3)))
	d.pending = append(d.pending, d.start(d.number, key, want))
	return fmt.Sprintf("%d wants %s %+v", d.number, key, want)
}

// end ends a loan in one of the ways there are.
func (d *driver) end(a *attempt) string {
	e := a.entry
	switch n := d.rand.IntN(10); {
	case n < 6:
		if d.rand.IntN(6) == 0 {
			e.LimitIdle(time.Duration(d.rand.IntN(5)) * time.Second)
		}
		d.Release(e)
		return fmt.Sprintf("%d releases %s%d", a.number, a.key, e.Conn.id)
	case n < 7:
		d.Discard(e, ReasonError)
		return fmt.Sprintf("%d discards %s%d", a.number, a.key, e.Conn.id)
	case n < 8 && d.borrowers(e) == 1:
		d.hijack(e)
		return fmt.Sprintf("%d hijacks %s%d", a.number, a.key, e.Conn.id)
	default:
		shared := d.borrowers(e) > 1
		d.number++
		b := d.startWith(d.number, a.key, func(ctx context.Context) (*Entry[string, *fakeConn], Got, error) {
			return d.Replace(ctx, e, 0, Want{})
		})
		if shared {
			d.pending = append(d.pending, b)
		} else {
			d.replays = append(d.replays, b)
		}
		return fmt.Sprintf("%d replaces %s%d as %d", a.number, a.key, e.Conn.id, d.number)
	}
}

// change lets something happen to a connection behind the pool's back.
func (d *driver) change(c *fakeConn) string {
	if d.capacity == 1 || d.rand.IntN(2) == 0 {
		c.stale.Store(true)
		return fmt.Sprintf("%s%d becomes stale", c.key, c.id)
	}
	c.capacity.Store(int64(d.rand.IntN(5)))
	d.Wake(c.entry)
	return fmt.Sprintf("%s%d has room for %d", c.key, c.id, c.Capacity())
}

// check tests the promises at rest.
func (d *driver) check(before map[string]int, allBefore int) {
	d.settleAttempts()
	d.addsUp()
	d.checkLimits(before, allBefore)
	s := d.Stats()
	for _, row := range s.Origins {
		d.checkOrigin(row, s.Gauges)
	}
	d.checkDialOrder(s)
	d.checkExpiry()
	loans := map[*fakeConn]int{}
	for _, a := range d.held {
		loans[a.entry.Conn]++
		require.Empty(d.t, d.closes(a.entry.Conn.id), "a lent connection was closed")
	}
	for c, n := range loans {
		require.Equal(d.t, n, d.borrowers(c.entry))
		if d.capacity == 1 {
			require.Equal(d.t, 1, n, "connection %d has two borrowers", c.id)
		}
	}
	require.Len(d.t, d.held, s.Borrowers)
}

// checkLimits tests that no limit was passed, nor passed by more than it was before it was lowered.
func (d *driver) checkLimits(before map[string]int, allBefore int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, most := range d.most {
		if d.limits.Hard > 0 {
			require.LessOrEqual(d.t, most, max(d.limits.Hard, before[key]), "hard limit of %s", key)
		}
	}
	if d.limits.Total > 0 {
		require.LessOrEqual(d.t, d.allMax, max(d.limits.Total, allBefore), "total limit")
	}
}

// settleAttempts sorts the attempts that ended, and checks that connections went to those who came first.
func (d *driver) settleAttempts() {
	served := map[string]int{}
	keep := func(a *attempt) bool {
		if !a.done.Load() {
			return true
		}
		if a.err == nil {
			d.held = append(d.held, a)
			return false
		}
		var wait *WaitError
		require.True(d.t, errors.Is(a.err, errDial) || errors.Is(a.err, context.Canceled) ||
			errors.Is(a.err, context.DeadlineExceeded) || errors.As(a.err, &wait), "%v", a.err)
		return false
	}
	for _, a := range d.pending {
		if a.done.Load() && a.err == nil {
			served[a.key] = max(served[a.key], a.number)
		}
	}
	d.pending = slices.DeleteFunc(d.pending, func(a *attempt) bool { return !keep(a) })
	d.replays = slices.DeleteFunc(d.replays, func(a *attempt) bool { return !keep(a) })
	for _, a := range d.pending {
		require.Greater(d.t, a.number, served[a.key], "%d was passed by", a.number)
	}
}

// checkOrigin tests that nobody waits for what is there.
func (d *driver) checkOrigin(row OriginStats[string, *fakeConn], all Gauges) {
	pending := 0
	for _, a := range d.pending {
		if a.key == row.Key {
			pending++
		}
	}
	require.LessOrEqual(d.t, row.Waiting, pending)
	if pending > 0 {
		require.Zero(d.t, row.Idle, "%s: a connection is idle while somebody waits", row.Key)
		d.eachOrigin(func(o *origin[string, *fakeConn]) {
			for n := o.lent.head; n != nil && o.key == row.Key; n = n.next {
				e := n.value
				full := e.Conn.Capacity() <= e.borrowers || e.wornLocked(&d.limits, d.now()) != 0
				require.True(d.t, full, "room on %d while somebody waits", e.Conn.id)
			}
		})
	}
	if row.Waiting == 0 {
		return
	}
	hard := d.limits.Hard > 0 && row.Active+row.Dialing >= d.limits.Hard
	total := d.limits.Total > 0 && all.Active+all.Dialing+all.Idle >= d.limits.Total && all.Idle == 0
	require.True(d.t, hard || total, "%s: %d wait and nothing forbids a dial: %+v", row.Key, row.Waiting, row.Gauges)
}

// checkDialOrder tests that a dial was not started for somebody while another who came before could have had it.
func (d *driver) checkDialOrder(s Stats[string, *fakeConn]) {
	first := 0
	d.eachOrigin(func(o *origin[string, *fakeConn]) {
		if o.unbound == 0 || d.limits.Hard > 0 && o.slots >= d.limits.Hard {
			return
		}
		n, _ := o.firstUnboundLocked().ctx.Value(numberKey{}).(int)
		if first == 0 || n < first {
			first = n
		}
	})
	if first == 0 {
		return
	}
	for _, f := range d.pendingDials() {
		n, _ := f.number.(int)
		replay := slices.ContainsFunc(d.replays, func(a *attempt) bool { return a.number == n })
		if !slices.Contains(d.started, f) && !replay {
			require.Less(d.t, n, first, "%d dials while %d must not: %+v", n, first, s.Gauges)
		}
	}
}

// checkExpiry tests that no connection is idle past its time, and that the timer is set for the next one.
func (d *driver) checkExpiry() {
	d.eachOrigin(func(o *origin[string, *fakeConn]) {
		d.Pool.mu.Lock()
		defer d.Pool.mu.Unlock()
		rank := 0
		for n := o.idle.head; n != nil; n = n.next {
			due, why := n.value.dueLocked(&d.limits, rank)
			require.Greater(d.t, due, d.now(), "connection %d is idle: %v", n.value.Conn.id, why)
			require.True(d.t, due == never || d.armedAt != 0 && d.armedAt <= due, "the timer is not set")
			rank++
		}
	})
}

// eachOrigin looks at every origin under its lock.
func (d *driver) eachOrigin(look func(o *origin[string, *fakeConn])) {
	all, _ := d.snapshot()
	for _, o := range all {
		func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			look(o)
		}()
	}
}

func (d *driver) borrowers(e *Entry[string, *fakeConn]) int {
	e.origin.mu.Lock()
	defer e.origin.mu.Unlock()
	return e.borrowers
}

func (d *driver) allConns() []*fakeConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.conns)
}

func (d *driver) pendingDials() []*fakeDial {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.dials)
}

// finish ends everything and checks that nothing is left: with the pool open in half of the cases, closed in the
// others.
func (d *driver) finish() {
	if d.rand.IntN(2) == 0 {
		require.NoError(d.t, d.Pool.Close())
		synctest.Wait()
		for _, a := range append(d.pending, d.replays...) {
			require.True(d.t, a.done.Load(), "%d still waits after Close", a.number)
		}
		_, _, err := d.Acquire(context.Background(), "a", Want{})
		require.ErrorIs(d.t, err, ErrClosed)
		for _, a := range d.held {
			d.Release(a.entry)
		}
		d.emptied()
		return
	}
	for len(d.pending)+len(d.replays)+len(d.held)+len(d.pendingDials()) > 0 {
		for _, f := range d.pendingDials() {
			f.end <- nil
		}
		synctest.Wait()
		d.settleAttempts()
		for _, a := range d.held {
			d.Release(a.entry)
		}
		d.held = nil
		synctest.Wait()
	}
	d.addsUp()
	d.emptied()
}
