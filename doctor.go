package parley

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Finding is something that [Client.Doctor] noticed.
type Finding struct {
	Origin string // as in [OriginStats]; "" for what is of the whole pool
	Text   string // what is the case, with its figures
	Advice string // what may be done about it
}

// String gives text and advice.
func (f Finding) String() string { return f.Text + ". " + f.Advice + "." }

// Doctor looks at the figures of the pool ([PoolStats]) for what slows programs down or
// wears servers out, and says in sentences what they point to: connections that serve one
// request only, requests that wait for others, responses that are not closed, servers that
// end connections early, dials and requests that fail. What has hardly been used gives no
// findings, and neither does a session without a pool.
//
// The wording may change; it is for people. It bears no secrets.
func (c *Client) Doctor() []Finding {
	if c.pool == nil {
		return nil
	}
	return c.pool.Doctor()
}

// Doctor is that of [Client.Doctor].
func (p *Pool) Doctor() []Finding { return diagnose(p.Stats(), p.Limits(), time.Now()) }

// What is worth a sentence.
const (
	fewest        = 20               // connections closed, or dialled, before shares of them mean anything
	markedShare   = 0.5              // of connections that served a single request
	staleShare    = 0.2              // of connections that servers closed while they were idle
	failingShare  = 0.1              // of dials
	fewEvents     = 5                // failures that may be chance
	longWait      = time.Millisecond // for a connection, on average
	longBorrowing = 5 * time.Minute  // of a connection
)

// doctor writes findings down.
type doctor struct {
	stats    PoolStats
	limits   PoolLimits
	now      time.Time
	findings []Finding
}

func diagnose(s PoolStats, l PoolLimits, now time.Time) []Finding {
	d := &doctor{stats: s, limits: l, now: now}
	for i := range s.Origins {
		o := &s.Origins[i]
		d.waits(o)
		d.borrowing(o)
		d.singleUse(o)
		d.stale(o)
		d.dials(o)
	}
	d.leaks()
	d.timeouts()
	d.replays()
	return d.findings
}

func (d *doctor) add(origin, advice, format string, args ...any) {
	d.findings = append(d.findings, Finding{origin, sentence(fmt.Sprintf(format, args...)), sentence(advice)})
}

// sentence begins s with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// waits looks for requests that wait for connections which others use.
func (d *doctor) waits(o *OriginStats) {
	if o.Waits == 0 {
		return
	}
	average := o.WaitTime / time.Duration(o.Waits)
	if average < longWait && o.PoolTimeouts == 0 && o.Waiting == 0 {
		return
	}
	text := fmt.Sprintf("%s waited for one of %s to %s, %v on average", count(o.Waits, "request"),
		limited(d.limits.Hard), o.Origin, rounded(average))
	if o.PoolTimeouts > 0 {
		text += fmt.Sprintf("; %d gave up", o.PoolTimeouts)
	}
	if o.Waiting > 0 {
		text += fmt.Sprintf("; %d are waiting now, with %d in use", o.Waiting, o.Active)
	}
	advice := "raise PoolLimits.Hard, send fewer requests at once, or look for responses that are read slowly or not closed"
	if d.limits.Total > 0 {
		advice = "raise PoolLimits.Total or Hard, send fewer requests at once, or look for responses that are read slowly or not closed"
	}
	d.add(o.Origin, advice, "%s", text)
}

// borrowing looks for a connection that somebody may have forgotten.
func (d *doctor) borrowing(o *OriginStats) {
	if o.Oldest.IsZero() {
		return
	}
	if since := d.now.Sub(o.Oldest); since >= longBorrowing {
		text := fmt.Sprintf("a connection to %s has been in use for %v", o.Origin, rounded(since))
		if o.OldestRequest != "" {
			text += ", by " + o.OldestRequest
		}
		d.add(o.Origin, "if that is no event stream, upgrade or download, a response is not read to its end or closed", "%s", text)
	}
}

// singleUse looks for connections that are made for one request.
func (d *doctor) singleUse(o *OriginStats) {
	closed, most := int64(0), ""
	for _, why := range slices.Sorted(maps.Keys(o.Closed)) {
		switch n := o.Closed[why]; {
		case why == "hijacked", why == "pool closed", why == "idle connections closed":
		default:
			if closed += n; most == "" || n > o.Closed[most] {
				most = why
			}
		}
	}
	if closed < fewest || float64(o.Single) < markedShare*float64(closed) {
		return
	}
	share := math.Round(100 * min(float64(o.Single)/float64(closed), 1))
	text := fmt.Sprintf("%.0f %% of %d connections to %s were closed after one use, mostly for: %s", share, closed, o.Origin, most)
	advice := "look at why the requests or the server end their connections"
	switch most {
	case "surplus idle":
		text += fmt.Sprintf("; soft limit %d, and up to %d in use at once", d.limits.Soft, o.Peak)
		advice = fmt.Sprintf("raise PoolLimits.Soft towards %d, or SurplusIdle above %v", o.Peak, d.limits.SurplusIdle)
	case "idle timeout":
		advice = "requests are too far apart for PoolLimits.IdleTimeout, or the server's Keep-Alive hint is short"
	case "not reusable":
		advice = "the server or the requests say \"Connection: close\", or bodies are closed before their end: read them"
	case "max requests":
		advice = "raise PoolLimits.MaxRequests"
	case "max age":
		advice = "raise PoolLimits.MaxAge"
	case "made room for another origin":
		advice = "raise PoolLimits.Total: origins take each other's connections away"
	case "peer closed while idle":
		advice = "the server keeps idle connections for a shorter time than the requests are apart"
	case "error":
		advice = "look at the errors of the requests: calls that fail, are cancelled or time out cost their connections"
	}
	d.add(o.Origin, advice, "%s", text)
}

// stale looks for servers that close idle connections before the pool does.
func (d *doctor) stale(o *OriginStats) {
	gone := o.Closed["peer closed while idle"] + o.Closed["replaced"]
	if used := o.Dials - o.DialErrors; gone >= fewEvents && used >= fewest && float64(gone) >= staleShare*float64(used) {
		d.add(o.Origin, "set PoolLimits.IdleTimeout below the time after which the server, or what stands before it, closes them",
			"%d of %d connections to %s were closed by the server while they were idle, or as a request came", gone, used, o.Origin)
	}
	if n := o.Closed["unexpected data while idle"]; n > 0 {
		d.add(o.Origin, "the server, or something before it, answers more than it is asked; such answers are never given to a request",
			"%s to %s received bytes that nobody had asked for", count(n, "idle connection"), o.Origin)
	}
}

// dials looks for connections that cannot be made.
func (d *doctor) dials(o *OriginStats) {
	if o.DialErrors >= fewEvents && float64(o.DialErrors) >= failingShare*float64(o.Dials) {
		d.add(o.Origin, "look at the errors: names that are not found, refused or blocked connections, certificates; see Timeouts.Connect",
			"%d of %d dials to %s failed", o.DialErrors, o.Dials, o.Origin)
	}
}

// leaks tells of responses that nobody closed.
func (d *doctor) leaks() {
	if d.stats.Leaked == 0 {
		return
	}
	urls := slices.SortedFunc(maps.Keys(d.stats.Leaks), func(a, b string) int {
		return cmp.Or(cmp.Compare(d.stats.Leaks[b], d.stats.Leaks[a]), cmp.Compare(a, b))
	})
	const shown = 3
	from := strings.Join(urls[:min(shown, len(urls))], ", ")
	if len(urls) > shown {
		from += ", …"
	}
	d.add("", "close every response of Stream and Send, also those with an error status",
		"%s dropped without being closed, from %s", were(d.stats.Leaked, "response"), from)
}

// timeouts tells of the limits that end requests.
func (d *doctor) timeouts() {
	for _, phase := range countedPhases {
		n := d.stats.Timeouts[phase]
		if n < fewEvents || phase == PhasePool {
			continue // the waits tell of it
		}
		advice := map[Phase]string{
			PhaseConnect:  "the way to the server or its TLS is slow: see Timeouts.Connect",
			PhaseWrite:    "servers take requests slowly: see Timeouts.Write",
			PhaseResponse: "servers answer slowly: see Timeouts.Response",
			PhaseRead:     "bodies stall: see Timeouts.Read",
		}[phase]
		d.add("", advice, "%s ended by the %s timeout", were(n, "request"), phase)
	}
}

// replays tells of requests that met a connection which was gone.
func (d *doctor) replays() {
	requests := d.stats.Dials - d.stats.DialErrors + d.stats.Reuses
	if n := d.stats.Replays; n >= fewEvents && requests >= fewest && float64(n) >= staleShare/10*float64(requests) {
		d.add("", "servers close connections as they are used again: a shorter PoolLimits.IdleTimeout spares the second try",
			"%d of %d requests were sent again, since the connection had been closed", n, requests)
	}
}

// limited gives a limit in words.
func limited(hard int) string {
	if hard <= 0 {
		return "the connections"
	}
	return count(int64(hard), "connection")
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func were(n int64, what string) string {
	if n == 1 {
		return "1 " + what + " was"
	}
	return count(n, what) + " were"
}

// rounded leaves out of a duration what nobody reads.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
