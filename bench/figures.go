package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// figures is what a slice, or the median of several, says of a client.
type figures struct {
	perSecond float64 // requests a second
	cpu       float64 // CPU microseconds a request
	allocs    float64 // objects allocated for a request
	bytes     float64 // bytes allocated for a request
	p50, p99  float64 // latency in microseconds
	idleBytes float64 // bytes held for an idle connection
	idleGo    float64 // goroutines for an idle connection
	redials   float64 // share of requests for which a connection was made again
}

func (r sliceResult) figures() figures {
	n := float64(r.Requests)
	return figures{
		perSecond: n / r.Elapsed.Seconds(),
		cpu:       micros(r.CPU) / n,
		allocs:    float64(r.Allocs) / n,
		bytes:     float64(r.Bytes) / n,
		p50:       micros(r.P50),
		p99:       micros(r.P99),
		idleBytes: r.IdleBytes,
		idleGo:    r.IdleGoroutines,
		redials:   float64(r.Redials) / n,
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// line is the short form, for progress.
func (f figures) line(sc scenario) string {
	if sc.Kind == kindIdle {
		return fmt.Sprintf("%s B and %.2f goroutines a connection", grouped(f.idleBytes), f.idleGo)
	}
	line := fmt.Sprintf("%s requests/s, %s µs CPU, %s allocations", grouped(f.perSecond), short(f.cpu), short(f.allocs))
	if f.redials > redialsWorthSaying {
		line += fmt.Sprintf(", %s dialled anew", percent(f.redials))
	}
	return line
}

// redialsWorthSaying is the share of requests from which on dialling weighs in
// the other figures.
const redialsWorthSaying = 0.01

func percent(share float64) string { return short(100*share) + " %" }

// metric names one of the figures.
type metric func(figures) float64

func perSecond(f figures) float64 { return f.perSecond }
func cpuMicros(f figures) float64 { return f.cpu }
func allocs(f figures) float64    { return f.allocs }
func allocated(f figures) float64 { return f.bytes }
func idleBytes(f figures) float64 { return f.idleBytes }
func idleGo(f figures) float64    { return f.idleGo }
func redials(f figures) float64   { return f.redials }

// medianFigures takes the median of each figure by itself.
func medianFigures(rounds []figures) figures {
	of := func(m metric) float64 { return median(each(rounds, m)) }
	return figures{
		perSecond: of(perSecond),
		cpu:       of(cpuMicros),
		allocs:    of(allocs),
		bytes:     of(allocated),
		p50:       of(func(f figures) float64 { return f.p50 }),
		p99:       of(func(f figures) float64 { return f.p99 }),
		idleBytes: of(idleBytes),
		idleGo:    of(idleGo),
		redials:   of(redials),
	}
}

func each(rounds []figures, m metric) []float64 {
	values := make([]float64, len(rounds))
	for i, f := range rounds {
		values[i] = m(f)
	}
	return values
}

// median of values; NaN when there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// ratio divides two figures; NaN when there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// grouped prints a whole number with commas between thousands.
func grouped(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// short prints a figure with three digits that matter, or as a whole number
// when it has more.
func short(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 99.95:
		return grouped(v)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}
