package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

const kilobyte = 1 << 10

// goal is one thing that parley is meant to reach.
type goal struct {
	what    string
	measure func(lookup) float64 // NaN where the run did not measure it
	limit   float64
	atLeast bool   // the limit is the least, not the most
	unit    string // follows the figures
}

// lookup gives the figures of a scenario and a client: of one round, or the
// medians of all.
type lookup func(scenario, client string) (figures, bool)

// against is the ratio of parley's figure to another client's.
func against(m metric, scenario, other string) func(lookup) float64 {
	return between(m, cellKey{scenario, nameParley}, cellKey{scenario, other})
}

// between is the ratio of the figures of any two cells.
func between(m metric, a, b cellKey) func(lookup) float64 {
	return func(r lookup) float64 {
		x, okX := r(a.scenario, a.client)
		y, okY := r(b.scenario, b.client)
		if !okX || !okY {
			return math.NaN()
		}
		return ratio(m(x), m(y))
	}
}

// plain is parley's figure itself, divided by unit.
func plain(m metric, scenario string, unit float64) func(lookup) float64 {
	return func(r lookup) float64 {
		f, ok := r(scenario, nameParley)
		if !ok {
			return math.NaN()
		}
		return m(f) / unit
	}
}

// goals lists them. Their scenarios are named as in the full matrix: a quick
// run, whose figures mean nothing, has only some.
func goals() []goal {
	var list []goal
	for _, n := range []string{"16", "128"} {
		sc, at := "get-"+n, ", small GET, "+n+" at once"
		list = append(list,
			goal{what: "CPU a request beside net/http" + at, measure: against(cpuMicros, sc, nameNetHTTP), limit: 0.5, unit: " ×"},
			goal{what: "CPU a request beside fasthttp with a deadline" + at, measure: against(cpuMicros, sc, nameFastHTTP), limit: 1.0, unit: " ×"},
			goal{what: "CPU a request beside the raw loop" + at, measure: against(cpuMicros, sc, nameRaw), limit: 1.3, unit: " ×"},
			goal{what: "requests a second beside net/http" + at, measure: against(perSecond, sc, nameNetHTTP), limit: 2, atLeast: true, unit: " ×"},
			goal{what: "allocations a request" + at, measure: plain(allocs, sc, 1), limit: 12},
			goal{what: "bytes allocated a request" + at, measure: plain(allocated, sc, kilobyte), limit: 2.5, unit: " KB"},
		)
	}
	list = append(list,
		goal{what: "memory of an idle connection", measure: plain(idleBytes, "idle-4000", kilobyte), limit: 1.2, unit: " KB"},
		goal{what: "goroutines of an idle connection", measure: plain(idleGo, "idle-4000", 1), limit: 0},
	)
	for _, sc := range []string{"download", "upload", "download-file", "upload-file"} {
		list = append(list,
			goal{what: sc + " rate beside the raw loop", measure: against(perSecond, sc, nameRaw), limit: 0.9, atLeast: true, unit: " ×"},
			// Constant memory: what a transfer allocates is small beside its size.
			goal{what: "memory allocated, " + sc, measure: plain(allocated, sc, kilobyte), limit: 1024, unit: " KB"},
		)
	}
	return append(list, goal{
		what:    "rate of decoding gzip beside net/http",
		measure: against(perSecond, "decode", nameNetHTTP), limit: 1, atLeast: true, unit: " ×",
	}, goal{
		what:    "CPU a request beside net/http, HTTP/2, 128 streams at once",
		measure: against(cpuMicros, "h2-128", nameNetHTTP), limit: 1.05, unit: " ×",
	}, goal{
		what:    "CPU a request over 10,000 origins beside 10",
		measure: between(cpuMicros, cellKey{"origins-10000", nameParley}, cellKey{"origins-10", nameParley}),
		limit:   1.5, unit: " ×",
	})
}

// met tells whether a measured value reaches the goal. Values are compared as
// they are printed, so that the table does not contradict itself.
func (g goal) met(v float64) bool {
	v = math.Round(v*100) / 100
	if g.atLeast {
		return v >= g.limit
	}
	return v <= g.limit
}

func (g goal) target() string {
	word := "at most "
	if g.atLeast {
		word = "at least "
	}
	return word + strconv.FormatFloat(g.limit, 'f', -1, 64) + g.unit
}

// goalRow is a goal with what the run says of it.
type goalRow struct {
	goal
	value     float64 // from the medians
	low, high float64 // over the single rounds
}

func (r goalRow) verdict() string {
	switch {
	case math.IsNaN(r.value):
		return "not measured"
	case r.met(r.value):
		return "met"
	default:
		return "**missed**"
	}
}

func (r goalRow) spread() string {
	if math.IsNaN(r.value) {
		return "–"
	}
	return fmt.Sprintf("%s to %s", short(r.low), short(r.high))
}

// judge compares a run with the goals.
func judge(res results) []goalRow {
	var rows []goalRow
	for _, g := range goals() {
		row := goalRow{goal: g, value: g.measure(res.median)}
		var single []float64
		for i := range res.options.rounds {
			if v := g.measure(res.round(i)); !math.IsNaN(v) {
				single = append(single, v)
			}
		}
		if len(single) > 0 {
			row.low, row.high = slices.Min(single), slices.Max(single)
		}
		rows = append(rows, row)
	}
	return rows
}

// median gives the medians of a cell's rounds.
func (r results) median(scenario, client string) (figures, bool) {
	rounds := r.cells[cellKey{scenario, client}]
	return medianFigures(rounds), len(rounds) > 0
}

// round gives the figures of round i.
func (r results) round(i int) lookup {
	return func(scenario, client string) (figures, bool) {
		rounds := r.cells[cellKey{scenario, client}]
		if i >= len(rounds) {
			return figures{}, false
		}
		return rounds[i], true
	}
}
