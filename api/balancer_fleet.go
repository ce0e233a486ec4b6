package api

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// strideUnit is what one request to a server of weight 1 counts. Weights up to 65,535,
	// those of SRV records, divide it well enough, and 2^44 such requests fit a uint64.
	strideUnit = 1 << 20
	// maxCatchUp bounds what a server that was passed over makes up for: as much as 256
	// requests to a server of weight 1. On two cores 32 left the load over 3,000 requests
	// uneven by up to a seventh, as the chance of scheduling takes tens of requests from a
	// server at a time; without a bound, one that was slow for long would have to take all
	// requests until it had had as many as the others.
	maxCatchUp = 256 * strideUnit
	// errorsHalve is after how long half of a server's errors are forgotten where servers
	// are compared.
	errorsHalve = 5 * time.Second
	// latencyShare is the part of a new measurement in the average of latencies.
	latencyShare = 8
)

// fleet is the servers of a balancer and what is known of them. Time and chance come from
// outside; it does no I/O and is guarded by its owner's lock.
type fleet struct {
	members []*member
	// virtual is how far the service of all has come, in strides: see member.served.
	virtual uint64
	health  healthPolicy
	// probed: probes bring back a server that was left out, not requests.
	probed bool
	random func() float64 // in [0, 1)
}

// healthPolicy says when a server is left out, and for how long.
type healthPolicy struct {
	after     int           // failures in a row; 0: never
	base, max time.Duration // of the time that it is left out
}

// member is one server.
type member struct {
	serverTarget // where requests go; it never changes
	weight       uint64
	tier         int // RFC 2782 calls it priority: the least first

	active                     int
	requests, errors, failures uint64
	latency                    time.Duration // to the head, on the average
	lastErr                    error

	row      int       // failures since the last success
	recent   float64   // errors, half of them forgotten every errorsHalve
	recentAt time.Time // when recent was true
	served   uint64    // strides, never more than maxCatchUp behind fleet.virtual when it is chosen

	out       bool // left out
	until     time.Time
	outFor    time.Duration // the last time
	ejections int           // in a row
	returned  time.Time
	trial     bool // the one request that tries whether it is back is under way
	epoch     uint // counts ejections and returns
	probeRow  int  // failed probes in a row
}

// ticket is a request to a server.
type ticket struct {
	to    *member
	epoch uint // what the request says holds for this one only
	trial bool
	began time.Time
}

// verdict is what a request says of its server.
type verdict uint8

const (
	saysNothing     verdict = iota // the caller gave up, or could not be served by any
	saysServing                    // it works
	saysFailing                    // several in a row are too many
	saysUnreachable                // no request came through to it
)

// errorsNow is about how many errors a server had lately.
func (m *member) errorsNow(now time.Time) float64 {
	if m.recent == 0 {
		return 0
	}
	return m.recent * math.Exp2(-float64(max(now.Sub(m.recentAt), 0))/float64(errorsHalve))
}

// due reports whether a server that is left out may be tried again.
func (m *member) due(now time.Time) bool {
	return m.out && !m.trial && !now.Before(m.until)
}

// candidates appends the servers that a request may go to: of the lowest tier that has
// any, those in service and those that are due for a trial. Where there are none, what
// keeps servers out is ignored, since it is better to try than to fail. tried are those
// that this call has been to.
func (f *fleet) candidates(to []*member, now time.Time, tried []*member) []*member {
	all := to
	for _, m := range f.members {
		switch {
		case slices.Contains(tried, m):
			continue
		case m.out && (f.probed || !m.due(now)):
			continue
		case len(to) > 0 && m.tier > to[0].tier:
			continue
		case len(to) > 0 && m.tier < to[0].tier:
			to = to[:0]
		}
		to = append(to, m)
	}
	if len(to) > 0 {
		return to
	}
	for _, m := range f.members {
		if !slices.Contains(tried, m) {
			all = append(all, m)
		}
	}
	return all
}

// best gives the one of some candidates that a request goes to: the one whose trial has
// been due for longest; else of those within their share of the requests under way the one
// with the fewest errors lately, of these the one that was served least, of these any.
func (f *fleet) best(of []*member, now time.Time) *member {
	share := shareOf(of)
	var best, trial *member
	ties := 0
	for _, m := range of {
		if !f.probed && m.due(now) && (trial == nil || m.until.Before(trial.until)) {
			trial = m
		}
		switch order := f.compare(m, best, share, now); {
		case order < 0:
			best, ties = m, 1
		case order == 0:
			if ties++; f.random()*float64(ties) < 1 {
				best = m
			}
		}
	}
	if trial != nil {
		return trial
	}
	return best
}

// compare is less than 0 if a is to be preferred to b.
func (f *fleet) compare(a, b *member, share share, now time.Time) int {
	if b == nil {
		return -1
	}
	if x, y := share.exceeds(a), share.exceeds(b); x != y {
		if y {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(math.Round(a.errorsNow(now)), math.Round(b.errorsNow(now))),
		cmp.Compare(f.position(a), f.position(b)),
	)
}

// share is what some servers have to do together.
type share struct{ active, weight uint64 }

func shareOf(members []*member) share {
	var s share
	for _, m := range members {
		s.active += uint64(m.active)
		s.weight += m.weight
	}
	return s
}

// exceeds reports whether one request more would be above a server's share of all that
// are under way, rounded up; it never is for all of them. Within their shares servers
// count as equals: to prefer the one with the fewest requests to the last would let the
// chance by which requests end decide how many each gets in all, and would prefer an idle
// server, however light, to a heavy one that is not.
func (s share) exceeds(m *member) bool {
	most := ((s.active+1)*m.weight + s.weight - 1) / s.weight
	return uint64(m.active) >= most
}

// position is how far the service of a server has come.
func (f *fleet) position(m *member) uint64 {
	if f.virtual > maxCatchUp {
		return max(m.served, f.virtual-maxCatchUp)
	}
	return m.served
}

// take begins a request to a server.
func (f *fleet) take(m *member, now time.Time) ticket {
	start := f.position(m)
	m.served = start + strideUnit/m.weight
	f.virtual = max(f.virtual, start)
	m.active++
	m.requests++
	t := ticket{to: m, epoch: m.epoch, began: now}
	if !f.probed && m.due(now) {
		m.trial, t.trial = true, true
	}
	return t
}

// answered takes in how a request went. It reports whether the server was left out or
// has come back by it. notBefore, if not zero, is how long the server wants to be spared.
func (f *fleet) answered(t ticket, v verdict, err error, now time.Time, notBefore time.Duration) bool {
	m := t.to
	if t.trial && t.epoch == m.epoch {
		m.trial = false
	}
	if err != nil && v != saysNothing {
		m.errors++
		m.lastErr = err
	} else if v == saysFailing {
		m.failures++
	}
	if v == saysNothing {
		return false
	}
	if v == saysServing {
		took := now.Sub(t.began)
		if m.latency == 0 {
			m.latency = took
		}
		m.latency += (took - m.latency) / latencyShare
	} else {
		m.recent, m.recentAt = m.errorsNow(now)+1, now
	}
	if t.epoch != m.epoch { // it tells of what has been judged already
		return false
	}
	if v == saysServing {
		m.row = 0
		if m.out && !f.probed {
			f.restore(m, now)
			return true
		}
		return false
	}
	m.row++
	enough := v == saysUnreachable || m.row >= f.health.after || notBefore > 0 || t.trial
	if f.health.after == 0 || !enough || m.out && !t.trial {
		return false
	}
	f.eject(m, now, notBefore)
	return true
}

// released ends a request, whose body has come to its end.
func (f *fleet) released(t ticket, err error, now time.Time) {
	m := t.to
	m.active--
	if err != nil {
		m.errors++
		m.lastErr = err
		m.recent, m.recentAt = m.errorsNow(now)+1, now
	}
}

// eject leaves a server out, each time for twice as long, unless it had been well for as
// long as it was out before.
func (f *fleet) eject(m *member, now time.Time, atLeast time.Duration) {
	if !m.out && now.Sub(m.returned) >= m.outFor {
		m.ejections = 0
	}
	d := f.health.max
	if m.ejections < 62 && f.health.base <= f.health.max>>m.ejections {
		d = f.health.base << m.ejections
	}
	// Up to a fifth more or less, so that clients do not all come back at once.
	d += time.Duration((f.random() - 0.5) * 0.4 * float64(d))
	d = min(max(d, atLeast), f.health.max)
	m.out, m.until, m.outFor, m.trial = true, now.Add(d), d, false
	m.ejections++
	m.epoch++
	m.row = 0
}

// restore brings a server back. What it failed before has had its price.
func (f *fleet) restore(m *member, now time.Time) {
	m.out, m.trial, m.returned = false, false, now
	m.epoch++
	m.row, m.probeRow, m.recent = 0, 0, 0
	m.served = max(m.served, f.virtual)
}

// probe takes in what a probe said. Of failures in a row the second leaves the server out,
// and the first success after the time for which it is out brings it back.
func (f *fleet) probe(m *member, err error, now time.Time) bool {
	if err == nil {
		m.probeRow = 0
		if m.out && !now.Before(m.until) {
			f.restore(m, now)
			return true
		}
		return false
	}
	m.lastErr = err
	if m.probeRow++; m.out || m.probeRow < 2 {
		return false
	}
	m.out, m.until, m.outFor = true, now, 0 // the next probe that succeeds is enough
	m.epoch++
	m.row = 0
	return true
}

// set puts other servers in the place of those that are there. Those that stay keep what
// is known of them. A new one begins where the others are.
func (f *fleet) set(entries []serverEntry) {
	members := make([]*member, 0, len(entries))
	for _, e := range entries {
		m := f.find(e.key())
		if m == nil {
			m = &member{serverTarget: e.serverTarget, served: f.virtual}
		}
		m.weight, m.tier = e.weight, e.tier
		members = append(members, m)
	}
	f.members = members
}

// find gives the server with a key, nil if there is none.
func (f *fleet) find(key serverKey) *member {
	for _, m := range f.members {
		if m.key() == key {
			return m
		}
	}
	return nil
}

// newFleet makes a fleet without servers.
func newFleet(health healthPolicy) fleet {
	return fleet{health: health, random: rand.Float64}
}
