package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Sizes of the chart in pixels.
const (
	chartWidth  = 980
	panelWidth  = 460
	panelGap    = 30
	marginX     = 15
	nameWidth   = 78 // clients' names, left of the bars
	valueWidth  = 62 // figures, right of the longest bar
	barHeight   = 16
	barGap      = 4
	groupGap    = 34 // before each scenario, with its title
	chartTop    = 50
	axisHeight  = 52
	targetTicks = 5
)

// chartStyle follows the reader's light or dark scheme; the chart brings its own
// ground, so that it can be read on any page.
const chartStyle = `
    text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328;
      paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round; }
    .ground { fill: #ffffff; }
    .title { font-size: 14px; font-weight: 600; }
    .group { font-weight: 600; }
    .quiet { fill: #59636e; }
    .grid { stroke: #d1d9e0; stroke-width: 1; }
    .axis { stroke: #59636e; stroke-width: 1; }
    .other { fill: #9aa4b0; }
    .floor { fill: #ffffff; stroke: #818b98; stroke-dasharray: 3 2; }
    .own { fill: #0969da; }
    .strong { font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; stroke: #0d1117; }
      .ground { fill: #0d1117; }
      .quiet { fill: #9198a1; }
      .grid { stroke: #2f3742; }
      .axis { stroke: #9198a1; }
      .other { fill: #656c76; }
      .floor { fill: #0d1117; stroke: #9198a1; }
      .own { fill: #4493f8; }
    }
`

// panel is one half of the chart: one figure of every client and scenario.
type panel struct {
	title string // of the panel
	axis  string // of the axis
	of    metric
	x     int
}

// bar is one client in one scenario.
type bar struct {
	client string
	f      figures
}

// group is the bars of one scenario.
type group struct {
	title string
	bars  []bar
}

// chart draws the small requests as two panels of bars, as an SVG document that
// refers to nothing outside it.
func chart(res results) string {
	groups := chartGroups(res)
	height := chartTop + axisHeight
	for _, g := range groups {
		height += groupGap + len(g.bars)*(barHeight+barGap)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+"\n",
		chartWidth, height, chartWidth, height)
	b.WriteString(`  <title id="t">CPU time a request and requests a second of each client</title>` + "\n")
	fmt.Fprintf(&b, "  <desc id=\"d\">%s</desc>\n", html.EscapeString(describe(groups)))
	fmt.Fprintf(&b, "  <style>%s  </style>\n", chartStyle)
	fmt.Fprintf(&b, `  <rect class="ground" width="%d" height="%d"/>`+"\n", chartWidth, height)
	for _, p := range []panel{
		{title: "CPU time a request (less is better)", axis: "µs of CPU a request", of: cpuMicros, x: marginX},
		{title: "Requests a second (more is better)", axis: "requests a second", of: perSecond, x: marginX + panelWidth + panelGap},
	} {
		p.draw(&b, groups, height)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// chartGroups picks the scenarios of small requests to one origin, without TLS and proxies.
func chartGroups(res results) []group {
	var groups []group
	for _, sc := range res.options.scenarios {
		if sc.PerCallCtx || sc.Way != wayPlain || sc.Kind != kindGet && sc.Kind != kindPost {
			continue
		}
		g := group{title: sc.what}
		for _, k := range res.options.clients {
			if f, ok := res.median(sc.Name, k.name); ok {
				g.bars = append(g.bars, bar{client: k.name, f: f})
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// describe says in words what the chart shows, for those who cannot see it.
func describe(groups []group) string {
	var parts []string
	for _, g := range groups {
		for _, b := range g.bars {
			parts = append(parts, fmt.Sprintf("%s, %s: %s µs, %s requests a second", g.title, b.client, short(b.f.cpu), grouped(b.f.perSecond)))
		}
	}
	return strings.Join(parts, "; ")
}

// draw writes one panel. Gridlines come first, so that bars cover them.
func (p panel) draw(b *strings.Builder, groups []group, height int) {
	left := p.x + nameWidth
	length := float64(panelWidth - nameWidth - valueWidth)
	bottom := height - axisHeight
	most := 0.0
	for _, g := range groups {
		for _, bar := range g.bars {
			most = math.Max(most, p.of(bar.f))
		}
	}
	step := tickStep(most)
	scale := 0.0
	if most > 0 {
		scale = length / (math.Ceil(most/step) * step)
	}

	fmt.Fprintf(b, `  <text class="title" x="%d" y="28">%s</text>`+"\n", p.x, html.EscapeString(p.title))
	for v := 0.0; most > 0 && v < most+step; v += step {
		x := float64(left) + v*scale
		class := "grid"
		if v == 0 {
			class = "axis"
		}
		fmt.Fprintf(b, `  <line class="%s" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", class, x, chartTop, x, bottom+4)
		fmt.Fprintf(b, `  <text class="quiet" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x, bottom+19, tickLabel(v, step))
	}
	fmt.Fprintf(b, `  <text class="quiet" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
		float64(left)+length/2, bottom+39, html.EscapeString(p.axis))

	y := chartTop
	for _, g := range groups {
		fmt.Fprintf(b, `  <text class="group" x="%d" y="%d">%s</text>`+"\n", left+5, y+groupGap-9, html.EscapeString(g.title))
		y += groupGap
		for _, bar := range g.bars {
			p.drawBar(b, bar, left, y, scale)
			y += barHeight + barGap
		}
	}
}

// drawBar writes a client's name, its bar and its figure.
func (p panel) drawBar(b *strings.Builder, bar bar, left, y int, scale float64) {
	class, weight := "other", "quiet"
	switch bar.client {
	case nameRaw:
		class = "floor"
	case nameParley:
		class, weight = "own", "strong"
	}
	value := p.of(bar.f)
	width := value * scale
	textY := y + barHeight - 4
	fmt.Fprintf(b, `  <text class="%s" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", weight, left-8, textY, html.EscapeString(bar.client))
	fmt.Fprintf(b, `  <rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n", class, left, y, width, barHeight)
	fmt.Fprintf(b, `  <text class="%s" x="%.1f" y="%d">%s</text>`+"\n", weight, float64(left)+width+6, textY, short(value))
}

// tickStep is the round number of which about targetTicks make most.
func tickStep(most float64) float64 {
	if most <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most/targetTicks)))
	for _, m := range []float64{1, 2, 5} {
		if most/(m*power) <= targetTicks {
			return m * power
		}
	}
	return 10 * power
}

// tickLabel prints a tick, with as many decimals as its step needs and
// thousands as k.
func tickLabel(v, step float64) string {
	switch {
	case v >= 1000 && step >= 1000:
		return grouped(v/1000) + "k"
	case step >= 1:
		return grouped(v)
	default:
		return fmt.Sprintf("%.*f", int(math.Ceil(-math.Log10(step))), v)
	}
}
