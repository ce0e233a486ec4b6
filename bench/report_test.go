package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"one value", []float64{7}, 7},
		{"an odd number, unsorted", []float64{9, 1, 5}, 5},
		{"an even number gives the middle of two", []float64{4, 1, 3, 2}, 2.5},
		{"one wild value does not move it", []float64{2, 2, 1e9}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := append([]float64(nil), c.values...)
			require.InDelta(t, c.want, median(c.values), 0)
			require.Equal(t, before, c.values, "the values keep their order")
		})
	}
	require.True(t, math.IsNaN(median(nil)))
}

func TestFiguresOfASlice(t *testing.T) {
	f := sliceResult{Requests: 1000, Elapsed: 2 * time.Second, CPU: 5 * time.Millisecond,
		Allocs: 12000, Bytes: 2000000, P50: 1500 * time.Nanosecond, P99: 2 * time.Millisecond}.figures()
	require.Equal(t, figures{perSecond: 500, cpu: 5, allocs: 12, bytes: 2000, p50: 1.5, p99: 2000}, f)
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.6: "1,234,568", -4321: "-4,321"} {
		require.Equal(t, want, grouped(v))
	}
	for v, want := range map[float64]string{0.123: "0.12", 9.996: "10.0", 42.34: "42.3", 99.96: "100", 1234.5: "1,235"} {
		require.Equal(t, want, short(v))
	}
	require.Equal(t, "–", short(math.NaN()))
}

// sample is a run in which parley costs a third of net/http in one scenario.
func sample() results {
	o := options{rounds: 3, slice: time.Second, out: "."}
	for _, sc := range allScenarios(defaultSize, false) {
		if sc.Name == "get-16" || sc.Name == "idle-4000" || sc.Name == "origins-10" || sc.Name == "origins-10000" {
			o.scenarios = append(o.scenarios, sc)
		}
	}
	o.clients = allClients()
	res := results{options: o, cells: map[cellKey][]figures{}}
	for _, k := range o.clients {
		cpu := map[string]float64{nameRaw: 10, nameNetHTTP: 36, nameFastHTTP: 14, nameResty: 50, nameParley: 12}[k.name]
		for r := range o.rounds {
			for _, sc := range o.scenarios {
				f := figures{perSecond: 1e6 / cpu, cpu: cpu + float64(r), allocs: 11.999, bytes: 4096, idleBytes: 1000}
				res.cells[cellKey{sc.Name, k.name}] = append(res.cells[cellKey{sc.Name, k.name}], f)
			}
		}
	}
	return res
}

func TestGoalsAreJudged(t *testing.T) {
	verdicts := map[string]goalRow{}
	for _, r := range judge(sample()) {
		verdicts[r.what] = r
	}
	for _, c := range []struct {
		what, verdict string
		value         float64
	}{
		{"CPU a request beside net/http, small GET, 16 at once", "met", 13.0 / 37},
		{"CPU a request beside fasthttp with a deadline, small GET, 16 at once", "met", 13.0 / 15},
		{"CPU a request beside the raw loop, small GET, 16 at once", "met", 13.0 / 11},
		{"requests a second beside net/http, small GET, 16 at once", "met", 3},
		{"allocations a request, small GET, 16 at once", "met", 11.999},
		{"bytes allocated a request, small GET, 16 at once", "**missed**", 4},
		{"memory of an idle connection", "met", 1000.0 / 1024},
		{"goroutines of an idle connection", "met", 0},
		{"CPU a request over 10,000 origins beside 10", "met", 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			require.Equal(t, c.verdict, verdicts[c.what].verdict())
			require.InDelta(t, c.value, verdicts[c.what].value, 1e-9)
		})
	}
	require.Equal(t, "not measured", verdicts["download rate beside the raw loop"].verdict())
	row := verdicts["CPU a request beside net/http, small GET, 16 at once"]
	require.InDelta(t, 12.0/36, row.low, 1e-9)
	require.InDelta(t, 14.0/38, row.high, 1e-9)
}

func TestEveryGoalNamesAScenarioOfTheFullMatrix(t *testing.T) {
	res := results{options: options{rounds: 1}, cells: map[cellKey][]figures{}}
	for _, sc := range allScenarios(defaultSize, false) {
		for _, k := range allClients() {
			res.cells[cellKey{sc.Name, k.name}] = []figures{{perSecond: 1, cpu: 1}}
		}
	}
	for _, row := range judge(res) {
		require.NotEqual(t, "not measured", row.verdict(), row.what)
	}
}

func TestReportNamesWhoDialledAnew(t *testing.T) {
	res := sample()
	require.NotContains(t, markdown(res), "made a new connection")
	for i := range res.cells[cellKey{"get-16", nameResty}] {
		res.cells[cellKey{"get-16", nameResty}][i].redials = 0.05
	}
	require.Contains(t, markdown(res), "get-16, resty: 5.00 % of the requests made a new connection")
}

func TestReportHasATableOfRatios(t *testing.T) {
	report := markdown(sample())
	require.Contains(t, report, "| get-16 | parley | 0.35 | 1.18 | 3.00 | 0.83 |")
	require.Contains(t, report, "| get-16 | raw loop | 0.30 | 1.00 | 3.60 | 1.00 |")
	require.Contains(t, report, "| idle-4000 | parley | 1,000 | 0.00 |")
	require.NotContains(t, report, "## Transfers", "a table without rows is left out")
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "|") {
			require.True(t, strings.HasSuffix(line, "|\n"), "a broken row: %q", line)
		}
	}
}

func TestChart(t *testing.T) {
	drawing := chart(sample())
	requireXML(t, drawing)
	require.Contains(t, drawing, "prefers-color-scheme: dark")
	require.Contains(t, drawing, "µs of CPU a request")
	require.Contains(t, drawing, "requests a second</text>")
	require.Equal(t, 2*len(allClients()), strings.Count(drawing, "<rect ")-1, "a bar for each client in each panel, and the ground")
	require.Equal(t, 2, strings.Count(drawing, `class="own"`))
	require.NotContains(t, drawing, "NaN")
	without := strings.ReplaceAll(drawing, "http://www.w3.org/2000/svg", "")
	require.NotContains(t, without, "//", "nothing outside the document is referred to")
	require.NotContains(t, without, "href")
}

func TestChartOfNothing(t *testing.T) {
	drawing := chart(results{options: options{scenarios: allScenarios(quickSize, true), clients: allClients()}})
	requireXML(t, drawing)
	require.NotContains(t, drawing, "NaN")
}

func TestTicks(t *testing.T) {
	for most, want := range map[float64]float64{0: 1, 4.9: 1, 5: 1, 12: 5, 48: 10, 99: 20, 101: 50, 87000: 20000, 0.3: 0.1} {
		require.InDelta(t, want, tickStep(most), 1e-9, "for %v", most)
	}
	require.Equal(t, "20k", tickLabel(20000, 10000))
	require.Equal(t, "50", tickLabel(50, 10))
	require.Equal(t, "0.3", tickLabel(0.3, 0.1))
}

// requireXML fails unless the document is well-formed.
func requireXML(t *testing.T, doc string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestHistogramKeepsItsPromise(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{0, 1, 63, 127, 128, 129, 1000, 4095, 4096, 12345, time.Millisecond, time.Second, time.Minute} {
		b := bucketOf(d)
		require.GreaterOrEqual(t, b, last, "buckets rise with the duration")
		require.InDelta(t, float64(d), float64(bucketValue(b)), math.Max(float64(d)/64, 0.5), "%v", d)
		last = b
	}
	require.Equal(t, 0, bucketOf(-time.Second))
	require.Equal(t, histogramBuckets-1, bucketOf(math.MaxInt64))
}

func TestQuantiles(t *testing.T) {
	var a, b histogram
	require.Zero(t, a.quantile(0.5))
	for i := 1; i <= 100; i++ {
		if i%2 == 0 {
			a.add(time.Duration(i))
		} else {
			b.add(time.Duration(i))
		}
	}
	a.merge(&b)
	require.Equal(t, time.Duration(51), a.quantile(0.50))
	require.Equal(t, time.Duration(100), a.quantile(0.99))
	require.Equal(t, time.Duration(1), a.quantile(0))
	require.Equal(t, time.Duration(100), a.quantile(1))
}
