package connpool

import "time"

// Gauges are what there is at one moment.
type Gauges struct {
	Active    int // connections lent
	Idle      int // connections in the pool
	Dialing   int // dials in flight
	Closing   int // connections whose Close is running
	Waiting   int // requests that wait and have no dial under way
	Borrowers int // loans: more than Active where connections are shared
}

// Counters only grow.
type Counters struct {
	Dials        int64         // dials started
	DialErrors   int64         // dials that failed
	Reuses       int64         // loans of connections that had served before or lain idle
	Waits        int64         // requests that had to wait with no dial under way
	WaitTime     time.Duration // of these, together
	WaitTimeouts int64         // of these, those that ended in a *WaitError
	// Single counts those of Closed that were lent once at most, without those of ReasonHijacked.
	Single int64
	// Closed counts the connections that left the pool, by Reason.
	Closed [reasonCount]int64
}

// Stats describe a pool. Dials is the sum of DialErrors, all of Closed, Dialing, Active, Idle and Closing.
type Stats[K comparable, C Conn] struct {
	Gauges
	Counters                     // also of origins that have no row any more
	Origins  []OriginStats[K, C] // in no order; an origin without connections, dials and waiters has none
}

// OriginStats describe one origin. Its counters begin anew when it comes back after having had nothing left.
type OriginStats[K comparable, C Conn] struct {
	Key K
	Gauges
	Counters
	// Oldest is when the longest-lent connection was lent; the zero Time if none is.
	Oldest time.Time
	// Longest is that connection; the zero C if none is. It may be somebody else's by now.
	Longest C
	// Peak is how many connections were lent at once, at most.
	Peak int
}

// Stats takes time in proportion to the number of origins. Each row is of one moment, the whole is not.
func (p *Pool[K, C]) Stats() Stats[K, C] {
	all, gone := p.snapshot()
	s := Stats[K, C]{Counters: gone, Origins: make([]OriginStats[K, C], 0, len(all))}
	for _, o := range all {
		o.mu.Lock()
		row := o.statsLocked()
		empty := o.emptyLocked()
		o.mu.Unlock()
		s.Gauges.add(&row.Gauges)
		s.Counters.add(&row.Counters)
		if !empty {
			s.Origins = append(s.Origins, row)
		}
	}
	return s
}

func (o *origin[K, C]) statsLocked() OriginStats[K, C] {
	row := OriginStats[K, C]{Key: o.key, Counters: o.counters, Gauges: Gauges{
		Active: o.lent.n, Idle: o.idle.n, Dialing: o.dialing, Closing: o.closing,
		Waiting: o.unbound, Borrowers: o.borrowers,
	}, Peak: o.peak}
	if e := o.lent.front(); e != nil {
		row.Longest = e.Conn
		row.Oldest = o.pool.epoch.Add(time.Duration(e.lentAt))
	}
	return row
}

func (g *Gauges) add(other *Gauges) {
	g.Active += other.Active
	g.Idle += other.Idle
	g.Dialing += other.Dialing
	g.Closing += other.Closing
	g.Waiting += other.Waiting
	g.Borrowers += other.Borrowers
}

func (c *Counters) add(other *Counters) {
	c.Dials += other.Dials
	c.DialErrors += other.DialErrors
	c.Reuses += other.Reuses
	c.Waits += other.Waits
	c.WaitTime += other.WaitTime
	c.WaitTimeouts += other.WaitTimeouts
	c.Single += other.Single
	for i, n := range other.Closed {
		c.Closed[i] += n
	}
}

func (c *Counters) closed(why Reason) {
	if why >= reasonCount {
		why = ReasonError
	}
	c.Closed[why]++
}
