package parley

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Latency tells how long the answers of an origin took, from the moment at which a request
// had its connection to the end of the answer's head. The percentiles are upper bounds of
// the steps of a histogram, at most half as much again as the truth.
type Latency struct {
	Count              int64
	P50, P90, P99, Max time.Duration
}

const (
	// latencySteps are two to an octave from a microsecond to half an hour.
	latencySteps = 64
	// maxMeasured bounds how many origins are measured. Further ones are not.
	maxMeasured = 1000
)

// latencyMeter holds the histograms of a pool's origins. A nil one measures nothing.
type latencyMeter struct {
	mu      sync.RWMutex
	origins map[connKey]*histogram
}

type histogram struct {
	steps [latencySteps]atomic.Int64
	max   atomic.Int64
}

// MeasureLatency has the pool measure latencies from now on: see [OriginStats]. It costs
// each request a look into a table.
func (p *Pool) MeasureLatency() {
	p.meter.CompareAndSwap(nil, &latencyMeter{origins: make(map[connKey]*histogram)})
}

// measure notes an answer whose head has come.
func (p *Pool) measure(r *record, e *entry) {
	if m := p.meter.Load(); m != nil {
		m.observe(e.Key(), r.answered-r.waited)
	}
}

func (m *latencyMeter) observe(key connKey, d time.Duration) {
	m.mu.RLock()
	h := m.origins[key]
	m.mu.RUnlock()
	if h == nil {
		if h = m.add(key); h == nil {
			return
		}
	}
	h.steps[stepOf(d)].Add(1)
	for old := h.max.Load(); int64(d) > old && !h.max.CompareAndSwap(old, int64(d)); old = h.max.Load() {
	}
}

// add makes a histogram; nil if there are too many.
func (m *latencyMeter) add(key connKey) *histogram {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.origins[key]
	if h == nil && len(m.origins) < maxMeasured {
		h = new(histogram)
		m.origins[key] = h
	}
	return h
}

// stepOf gives the step that a duration counts for: two for each power of two of
// microseconds, from [1, 1.5) and [1.5, 2) on. What is shorter or longer counts for the
// first or the last.
func stepOf(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 1))
	octave := bits.Len64(us) - 1
	step := 2 * octave
	if octave > 0 && us>>(octave-1)&1 == 1 {
		step++
	}
	return min(step, latencySteps-1)
}

// boundOf gives the end of a step.
func boundOf(step int) time.Duration {
	us := time.Microsecond << (step / 2)
	if step%2 == 0 && step > 0 {
		return us + us/2
	}
	return 2 * us
}

func (m *latencyMeter) read(key connKey) Latency {
	if m == nil {
		return Latency{}
	}
	m.mu.RLock()
	h := m.origins[key]
	m.mu.RUnlock()
	if h == nil {
		return Latency{}
	}
	var counts [latencySteps]int64
	out := Latency{Max: time.Duration(h.max.Load())}
	for i := range counts {
		counts[i] = h.steps[i].Load()
		out.Count += counts[i]
	}
	percentile := func(share float64) time.Duration {
		sum, want := int64(0), max(int64(share*float64(out.Count)+0.5), 1)
		for i, n := range counts {
			if sum += n; sum >= want {
				return min(boundOf(i), out.Max)
			}
		}
		return 0
	}
	out.P50, out.P90, out.P99 = percentile(0.5), percentile(0.9), percentile(0.99)
	return out
}
