package api

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	errDown = errors.New("down")
	epoch   = time.Unix(1_700_000_000, 0)
)

// newTestFleet makes a fleet of servers with these weights, of one tier, without chance.
func newTestFleet(t *testing.T, health healthPolicy, weights ...int) *fleet {
	t.Helper()
	f := newFleet(health)
	f.random = func() float64 { return 0.5 }
	f.set(testEntries(t, weights...))
	return &f
}

func testEntries(t *testing.T, weights ...int) []serverEntry {
	t.Helper()
	base, err := newBalancedBase("http://logical.test")
	require.NoError(t, err)
	var servers []Server
	for i, w := range weights {
		servers = append(servers, Server{URL: fmt.Sprintf("http://s%d.test", i), Weight: w})
	}
	entries, err := newEntries(servers, base, false)
	require.NoError(t, err)
	return entries
}

var testHealth = healthPolicy{after: 3, base: time.Second, max: 10 * time.Second}

// send begins a request as a call does that has been to no server yet.
func (f *fleet) send(now time.Time, tried ...*member) ticket {
	return f.take(f.best(f.candidates(nil, now, tried), now), now)
}

// end ends a request, all of it.
func (f *fleet) end(t ticket, v verdict, now time.Time) bool {
	var err error
	if v == saysUnreachable {
		err = errDown
	}
	changed := f.answered(t, v, err, now, 0)
	f.released(t, nil, now)
	return changed
}

func TestFleet_oneRequestAfterTheOtherIsSharedExactly(t *testing.T) {
	t.Parallel()
	for name, weights := range map[string][]int{
		"equal servers":   {1, 1, 1},
		"by their weight": {1, 2, 3},
		"by great weight": {65535, 65535, 32768},
		"unset is one":    {0, 0, 3},
	} {
		f := newTestFleet(t, testHealth, weights...)
		total := 0
		for _, w := range weights {
			total += max(w, 1)
		}
		const n = 6000
		for range n {
			f.end(f.send(epoch), saysServing, epoch)
		}
		for i, m := range f.members {
			want := float64(n) * float64(max(weights[i], 1)) / float64(total)
			require.InDelta(t, want, float64(m.requests), max(2, want/1000), "%s: server %d", name, i)
		}
	}
}

// Many at once, each taking a while by chance, served by equal servers.
func TestFleet_loadIsEvenWhateverTheRequestsTake(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []int{1, 2, 3, 4, 16, 100} {
		for _, weights := range [][]int{{1, 1, 1}, {1, 2, 5}} {
			chance := rand.New(rand.NewPCG(1, uint64(atOnce)))
			f := newTestFleet(t, testHealth, weights...)
			f.random = chance.Float64
			type running struct {
				ticket
				until time.Time
			}
			var now = epoch
			var under []running
			const n = 6000
			for range n {
				if len(under) == atOnce {
					slices.SortFunc(under, func(a, b running) int { return a.until.Compare(b.until) })
					now = under[0].until
					f.end(under[0].ticket, saysServing, now)
					under = under[1:]
				}
				took := time.Duration(chance.ExpFloat64() * float64(10*time.Millisecond))
				under = append(under, running{f.send(now), now.Add(took)})
			}
			total := 0
			for _, w := range weights {
				total += w
			}
			for i, m := range f.members {
				want := float64(n*weights[i]) / float64(total)
				require.InEpsilon(t, want, float64(m.requests), 0.1, "%d at once, weights %v, server %d", atOnce, weights, i)
			}
		}
	}
}

func TestFleet_theOrderOfTheChoice(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(a, b *member)
		want    int
	}{
		"those within their share of active ones":  {func(a, b *member) { a.active, b.recent, b.recentAt, b.served = 1, 9, epoch, 99 }, 1},
		"within it active ones do not count":       {func(a, b *member) { a.active, b.active, b.served = 3, 4, 99 }, 0},
		"shares are by weight":                     {func(a, b *member) { a.active, a.weight, a.served, b.active = 2, 3, 99, 1 }, 0},
		"an idle one is no better for being light": {func(a, b *member) { a.active, a.weight, b.served = 1, 3, 99 }, 0},
		"then the fewest errors":                   {func(a, b *member) { a.recent, a.recentAt, b.served = 2, epoch, 99 }, 1},
		"errors are forgotten":                     {func(a, b *member) { a.recent, a.recentAt, b.served = 2, epoch.Add(-time.Minute), 99 }, 0},
		"then the one that was served least":       {func(a, b *member) { a.served = 1 }, 1},
		"a lower priority number before all that":  {func(a, b *member) { a.active, b.tier = 50, 1 }, 0},
		"one that is left out not at all":          {func(a, b *member) { a.out, a.until, b.active = true, epoch.Add(1), 50 }, 1},
		"the others stand by for one left out":     {func(a, b *member) { a.out, a.until, b.tier = true, epoch.Add(1), 1 }, 1},
		"one that is due for its trial before all": {func(a, b *member) { a.out, a.until, a.active = true, epoch, 50 }, 0},
		"but only one request tries it":            {func(a, b *member) { a.out, a.until, a.trial, b.active = true, epoch, true, 50 }, 1},
		"no trial out of its turn":                 {func(a, b *member) { a.out, a.until, a.tier = true, epoch, 1 }, 1},
		"with all out the usual order": {func(a, b *member) {
			a.out, a.until, a.active, b.out, b.until = true, epoch.Add(1), 1, true, epoch.Add(9)
		}, 1},
	} {
		f := newTestFleet(t, testHealth, 1, 1)
		test.prepare(f.members[0], f.members[1])
		require.Same(t, f.members[test.want], f.send(epoch).to, name)
	}
}

func TestFleet_equalsAreChosenByChance(t *testing.T) {
	t.Parallel()
	var first [3]int
	for range 300 {
		f := newTestFleet(t, testHealth, 1, 1, 1)
		f.random = rand.Float64
		first[slices.Index(f.members, f.send(epoch).to)]++
	}
	for _, n := range first {
		require.Positive(t, n, "one of them is never the first: 1 in 10^52 by chance")
	}
}

func TestFleet_aServerIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		health    healthPolicy
		verdicts  []verdict
		notBefore time.Duration
		out       time.Duration // 0: it is not
	}{
		"after one connection that did not come about": {testHealth, []verdict{saysUnreachable}, 0, time.Second},
		"not after fewer failures than in a row":       {testHealth, []verdict{saysFailing, saysFailing}, 0, 0},
		"after so many failures":                       {testHealth, []verdict{saysFailing, saysFailing, saysFailing}, 0, time.Second},
		"not if one in between was served":             {testHealth, []verdict{saysFailing, saysFailing, saysServing, saysFailing}, 0, 0},
		"nothing is said by those given up":            {testHealth, []verdict{saysFailing, saysNothing, saysFailing, saysNothing, saysFailing}, 0, time.Second},
		"as long as it asks for":                       {testHealth, []verdict{saysFailing}, 3 * time.Second, 3 * time.Second},
		"but not for longer than the bound":            {testHealth, []verdict{saysFailing}, time.Hour, 10 * time.Second},
		"and no shorter than otherwise":                {testHealth, []verdict{saysFailing}, time.Millisecond, time.Second},
		"never where that is said":                     {healthPolicy{0, time.Second, time.Second}, []verdict{saysUnreachable, saysUnreachable, saysFailing, saysFailing, saysFailing}, time.Second, 0},
	} {
		f := newTestFleet(t, test.health, 1)
		for _, v := range test.verdicts {
			to := f.send(epoch)
			f.answered(to, v, nil, epoch, test.notBefore)
			f.released(to, nil, epoch)
		}
		require.Equal(t, test.out > 0, f.members[0].out, name)
		if test.out > 0 {
			require.Equal(t, test.out, f.members[0].until.Sub(epoch), name)
		}
	}
}

func TestFleet_theTimeGrowsAndIsForgotten(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	m, now := f.members[0], epoch
	down := func() time.Duration {
		require.True(t, f.end(f.take(m, now), saysUnreachable, now))
		return m.until.Sub(now)
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		require.Equal(t, want*time.Second, down(), "ejection %d", i)
		now = m.until
	}
	require.True(t, f.end(f.send(now), saysServing, now), "its trial brings it back")
	require.False(t, m.out)
	now = now.Add(5 * time.Second)
	require.Equal(t, 10*time.Second, down(), "it was well for less than it had been out")
	now = m.until
	require.True(t, f.end(f.send(now), saysServing, now))
	now = now.Add(10 * time.Second)
	require.Equal(t, time.Second, down(), "it was well for as long")
}

func TestFleet_chanceIsBounded(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 200 {
		f := newTestFleet(t, testHealth, 1)
		f.random = rand.Float64
		m := f.members[0]
		f.end(f.take(m, epoch), saysUnreachable, epoch)
		d := m.until.Sub(epoch)
		require.GreaterOrEqual(t, d, 800*time.Millisecond)
		require.LessOrEqual(t, d, 1200*time.Millisecond)
		seen[d] = true
	}
	require.Greater(t, len(seen), 100)
}

func TestFleet_oneRequestTriesAServerAgain(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	bad, good := f.members[0], f.members[1]
	f.end(f.take(bad, epoch), saysUnreachable, epoch)
	for range 10 {
		require.Same(t, good, f.send(epoch.Add(time.Second-1)).to)
	}
	now := epoch.Add(time.Second)
	trial := f.send(now)
	require.Same(t, bad, trial.to)
	for range 10 {
		require.Same(t, good, f.send(now).to, "the others keep away")
	}
	require.False(t, f.end(trial, saysNothing, now), "a trial that was given up says nothing")
	trial = f.send(now)
	require.Same(t, bad, trial.to, "the next one tries")
	require.True(t, f.end(trial, saysFailing, now), "one failure is enough for a trial")
	require.Equal(t, 2*time.Second, bad.until.Sub(now))
	require.Same(t, good, f.send(now).to)
	now = bad.until
	require.True(t, f.end(f.send(now), saysServing, now))
	require.Same(t, bad, f.send(now).to, "it is back, and has less to do")
}

func TestFleet_requestsFromBeforeAnEjectionAreNoNews(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1)
	m := f.members[0]
	var early []ticket
	for range 6 {
		early = append(early, f.take(m, epoch))
	}
	require.True(t, f.end(early[0], saysUnreachable, epoch))
	for _, to := range early[1:5] {
		require.False(t, f.end(to, saysUnreachable, epoch.Add(2*time.Second)))
	}
	require.Equal(t, epoch.Add(time.Second), m.until, "a burst of failures counts once")
	require.False(t, f.end(early[5], saysServing, epoch), "nor does a success from before bring it back")
	require.True(t, m.out)
	require.Zero(t, m.active)
	require.Equal(t, uint64(5), m.errors)
}

func TestFleet_withAllOutTheFirstThatAnswersIsBack(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1, 1)
	for _, m := range f.members {
		f.end(f.take(m, epoch), saysUnreachable, epoch)
	}
	seen := map[*member]int{}
	for range 9 {
		to := f.send(epoch)
		seen[to.to]++
		f.end(to, saysUnreachable, epoch)
	}
	for _, m := range f.members {
		require.Equal(t, 3, seen[m], "they take turns")
		require.Equal(t, epoch.Add(time.Second), m.until, "and are out no longer for it")
	}
	to := f.send(epoch)
	require.True(t, f.end(to, saysServing, epoch))
	require.False(t, to.to.out)
	require.Same(t, to.to, f.send(epoch).to)
}

func TestFleet_whoComesBackIsNotFlooded(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	bad := f.members[0]
	f.end(f.take(bad, epoch), saysUnreachable, epoch)
	for range 1000 {
		f.end(f.send(epoch), saysServing, epoch)
	}
	now := bad.until
	f.end(f.send(now), saysServing, now)
	before := bad.requests
	for range 100 {
		f.end(f.send(now), saysServing, now)
	}
	require.InDelta(t, 50, float64(bad.requests-before), 1)
}

func TestFleet_whoWasPassedOverCatchesUpALittle(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	slow := f.members[0]
	held := f.take(slow, epoch)
	for range 1000 {
		f.end(f.send(epoch), saysServing, epoch)
	}
	f.end(held, saysServing, epoch)
	before := slow.requests
	for range 600 {
		f.end(f.send(epoch), saysServing, epoch)
	}
	require.InDelta(t, 300+maxCatchUp/strideUnit/2, float64(slow.requests-before), 2)
}

func TestFleet_probesTakeTheTrialsPlace(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	f.probed = true
	bad, good := f.members[0], f.members[1]
	require.False(t, f.probe(bad, errDown, epoch), "one failure may be chance")
	require.True(t, f.probe(bad, errDown, epoch))
	later := epoch.Add(time.Hour)
	require.Same(t, good, f.send(later).to, "no request tries it")
	require.True(t, f.probe(bad, nil, epoch))
	require.False(t, bad.out)

	f.end(f.take(bad, epoch), saysUnreachable, epoch)
	require.False(t, f.probe(bad, nil, epoch), "not before its time: it had failed requests")
	require.True(t, f.probe(bad, nil, epoch.Add(time.Second)))
}

func TestFleet_serversThatStayKeepWhatIsKnown(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, testHealth, 1, 1)
	kept, gone := f.members[0], f.members[1]
	f.end(f.take(kept, epoch), saysUnreachable, epoch)
	held := f.take(gone, epoch)
	f.set(testEntries(t, 5))
	require.Equal(t, []*member{kept}, f.members)
	require.Equal(t, uint64(5), kept.weight)
	require.True(t, kept.out)
	f.end(held, saysServing, epoch)
	require.Zero(t, gone.active, "what was under way ends")
	f.set(testEntries(t, 1, 1))
	require.NotSame(t, gone, f.members[1])
}

// model is a fleet as slow and plain as can be: it keeps what happened and works out the
// rest anew.
type model struct {
	servers map[*member]*modelServer
	virtual float64
}

type modelServer struct {
	weight, served         float64
	tier, under            int
	errs                   []time.Time // since it came back
	row, ejections         int
	out, trial             bool
	until, returned        time.Time
	outFor                 time.Duration
	requests, errors, fail int
}

func (s *modelServer) errorsAt(now time.Time) (n float64) {
	for _, at := range s.errs {
		n += math.Exp2(-float64(now.Sub(at)) / float64(errorsHalve))
	}
	return math.Round(n)
}

// allowed gives all that the rules allow to be chosen.
func (m *model) allowed(order []*member, now time.Time, tried []*member) []*member {
	keep := func(from []*member, f func(*modelServer) bool) (kept []*member) {
		for _, x := range from {
			if f(m.servers[x]) {
				kept = append(kept, x)
			}
		}
		return kept
	}
	least := func(from []*member, f func(*modelServer) float64) []*member {
		lowest := math.Inf(1)
		for _, x := range from {
			lowest = min(lowest, f(m.servers[x]))
		}
		return keep(from, func(s *modelServer) bool { return f(s) == lowest })
	}
	untried := slices.DeleteFunc(slices.Clone(order), func(x *member) bool { return slices.Contains(tried, x) })
	due := func(s *modelServer) bool { return s.out && !s.trial && !now.Before(s.until) }
	left := keep(untried, func(s *modelServer) bool { return !s.out || due(s) })
	if len(left) == 0 {
		left = untried
	} else {
		left = least(left, func(s *modelServer) float64 { return float64(s.tier) })
		if trials := keep(left, due); len(trials) > 0 {
			return least(trials, func(s *modelServer) float64 { return float64(s.until.UnixNano()) })
		}
	}
	all, weights := 1.0, 0.0
	for _, x := range left {
		all, weights = all+float64(m.servers[x].under), weights+m.servers[x].weight
	}
	left = keep(left, func(s *modelServer) bool { return float64(s.under) < math.Ceil(all*s.weight/weights) })
	left = least(left, func(s *modelServer) float64 { return s.errorsAt(now) })
	return least(left, func(s *modelServer) float64 { return max(s.served, m.virtual-maxCatchUp) })
}

func TestFleet_behavesAsAPlainModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		runModel(t, rand.New(rand.NewPCG(seed, 7)))
	}
}

type modelTicket struct {
	ticket
	age int // ejections and returns of its server before it
}

func runModel(t *testing.T, chance *rand.Rand) {
	f := newTestFleet(t, testHealth)
	m := &model{servers: map[*member]*modelServer{}}
	ages := map[*member]int{}
	now := epoch
	reset := func() {
		entries := testEntries(t, make([]int, 1+chance.IntN(5))...)
		for i := range entries {
			entries[i].weight, entries[i].tier = uint64(1<<chance.IntN(3)), chance.IntN(4)/3
		}
		f.set(entries)
		for i, x := range f.members {
			if m.servers[x] == nil {
				m.servers[x] = &modelServer{served: m.virtual}
			}
			m.servers[x].weight, m.servers[x].tier = float64(entries[i].weight), entries[i].tier
		}
	}
	reset()
	var under []modelTicket
	for range 400 {
		switch chance.IntN(20) {
		case 0:
			reset()
		case 1, 2, 3:
			now = now.Add(time.Duration(chance.IntN(3000)) * time.Millisecond)
		case 4, 5, 6, 7, 8, 9, 10, 11, 12:
			var tried []*member
			if chance.IntN(3) == 0 {
				tried = append(tried, f.members[chance.IntN(len(f.members))])
			}
			among := f.candidates(nil, now, tried)
			allowed := m.allowed(f.members, now, tried)
			if len(among) == 0 {
				require.Empty(t, allowed)
				continue
			}
			to := f.take(f.best(among, now), now)
			require.Contains(t, allowed, to.to)
			s := m.servers[to.to]
			start := max(s.served, m.virtual-maxCatchUp)
			s.served, m.virtual = start+math.Floor(strideUnit/s.weight), max(m.virtual, start)
			s.under++
			s.requests++
			trial := s.out && !s.trial && !now.Before(s.until)
			require.Equal(t, trial, to.trial)
			s.trial = s.trial || trial
			under = append(under, modelTicket{to, ages[to.to]})
		default:
			if len(under) == 0 {
				continue
			}
			i := chance.IntN(len(under))
			to := under[i]
			under = slices.Delete(under, i, i+1)
			v := []verdict{saysServing, saysServing, saysServing, saysFailing, saysUnreachable, saysNothing}[chance.IntN(6)]
			f.end(to.ticket, v, now)
			m.end(to, ages, v, now)
		}
		for _, x := range f.members {
			s := m.servers[x]
			require.Equal(t, modelServer{
				under: s.under, requests: s.requests, errors: s.errors, fail: s.fail, out: s.out, trial: s.trial, until: s.until,
			}, modelServer{
				under: x.active, requests: int(x.requests), errors: int(x.errors), fail: int(x.failures), out: x.out, trial: x.trial, until: x.until,
			})
		}
	}
}

func (m *model) end(to modelTicket, ages map[*member]int, v verdict, now time.Time) {
	s := m.servers[to.to]
	s.under--
	switch v {
	case saysUnreachable:
		s.errors++
	case saysFailing:
		s.fail++
	}
	if v == saysFailing || v == saysUnreachable {
		s.errs = append(s.errs, now)
	}
	if to.age != ages[to.to] {
		return
	}
	if to.trial {
		s.trial = false
	}
	switch v {
	case saysServing:
		s.row = 0
		if s.out {
			s.out, s.trial, s.returned, s.errs = false, false, now, nil
			s.served = max(s.served, m.virtual)
			ages[to.to]++
		}
	case saysFailing, saysUnreachable:
		s.row++
		if (v == saysUnreachable || s.row >= testHealth.after || to.trial) && (!s.out || to.trial) {
			if !s.out && now.Sub(s.returned) >= s.outFor {
				s.ejections = 0
			}
			s.outFor = min(testHealth.base*time.Duration(math.Exp2(float64(s.ejections))), testHealth.max)
			s.ejections++
			s.out, s.trial, s.row, s.until = true, false, 0, now.Add(s.outFor)
			ages[to.to]++
		}
	}
}
