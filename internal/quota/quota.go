// Package quota reads what servers say of their rate limits: the fields RateLimit and
// RateLimit-Policy of the IETF's draft-ietf-httpapi-ratelimit-headers in the forms that
// it had over time, the fields RateLimit-Limit, -Remaining and -Reset of its older
// versions, and those with X-RateLimit in their names, which nobody has written down.
package quota

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Window is what one policy of a server allows.
type Window struct {
	Name   string        // of the policy
	Limit  int64         // requests in all; 0: not said
	Left   int64         // of these, now
	Reset  time.Duration // until there are more
	Span   time.Duration // for which Limit is meant; 0: not said
	Counts bool          // each request takes one; else Left counts something else, such as bytes
}

// maxWindows bounds what is taken from one answer.
const maxWindows = 8

// Forever is the longest time that is told.
const Forever = time.Duration(math.MaxInt64)

// Read gives what an answer says that came at now. What is malformed says nothing, and so
// does an answer out of a cache, which tells of the past.
func Read(h http.Header, now time.Time) []Window {
	if age, ok := integer(h.Get("Age")); ok && age > 0 {
		return nil
	}
	if list := h["Ratelimit"]; len(list) > 0 {
		if found, ok := current(list, h["Ratelimit-Policy"]); ok {
			return found
		}
	}
	for _, prefix := range [...]string{"Ratelimit-", "X-Ratelimit-", "X-Rate-Limit-"} {
		if w, ok := older(h, prefix, now); ok {
			return []Window{w}
		}
	}
	return nil
}

// current reads RateLimit as a list of policies with their parameters r and t, or as the
// dictionary with the members limit, remaining and reset that it was up to version 07.
func current(lines, policyLines []string) (found []Window, ok bool) {
	members, ok := parse(lines)
	if !ok || len(members) > maxWindows {
		return nil, false
	}
	if w, old := dictionary(members); old {
		return []Window{w}, w.Reset >= 0
	}
	policies, _ := parse(policyLines) // informative: without them there is less to know
	for _, m := range members {
		w := Window{Name: m.name, Counts: true, Reset: -1}
		var said bool
		if w.Left, said = integer(m.params["r"]); !said {
			return nil, false
		}
		w.Reset = seconds(m.params["t"])
		unit := m.params["qu"]
		for _, p := range policies {
			if p.name != m.name {
				continue
			}
			w.Limit, _ = integer(p.params["q"])
			w.Span = max(seconds(p.params["w"]), 0)
			unit = cmp.Or(unit, p.params["qu"])
			if w.Reset < 0 && w.Span > 0 { // no later than that
				w.Reset = w.Span
			}
		}
		switch unit {
		case "", "request", "requests":
		case "concurrent-requests": // is no rate
			continue
		default:
			w.Counts, w.Limit, w.Span = false, 0, 0
		}
		if w.Reset >= 0 {
			found = append(found, w)
		}
	}
	return found, true
}

func dictionary(members []member) (w Window, ok bool) {
	w = Window{Name: "RateLimit", Counts: true, Reset: -1}
	for _, m := range members {
		switch n, number := integer(m.value); {
		case !number:
		case m.name == "limit":
			w.Limit = n
		case m.name == "remaining":
			w.Left, ok = n, true
		case m.name == "reset":
			w.Reset = seconds(m.value)
		}
	}
	return w, ok
}

// older reads three fields that have a prefix in common.
func older(h http.Header, prefix string, now time.Time) (w Window, ok bool) {
	left, ok := integer(first(h[prefix+"Remaining"]))
	if !ok {
		return Window{}, false
	}
	w = Window{Name: strings.TrimSuffix(prefix, "-"), Left: left, Counts: true}
	w.Limit, _ = integer(first(h[prefix+"Limit"]))
	w.Reset = reset(first(h[prefix+"Reset"]), h, now)
	return w, w.Reset >= 0
}

// What a number means that tells of a reset: seconds from now on, or since 1970, in
// seconds or milliseconds. The bounds lie decades from what any of them can be.
const (
	leastEpoch      = 9e8
	leastEpochMilli = 1e11
)

// reset gives the time to the moment that text tells, less than 0 if it tells none. A
// moment is compared with the server's clock, if it shows that.
func reset(text string, h http.Header, now time.Time) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return -1
	}
	if n >= leastEpoch {
		if n >= leastEpochMilli {
			n /= 1e3
		}
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		n = max(n-float64(now.UnixMilli())/1e3, 0)
	}
	if n >= Forever.Seconds() {
		return Forever
	}
	return time.Duration(n * float64(time.Second))
}

// first gives the first number of a list: servers add their policies as further ones.
func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	v, _, _ := strings.Cut(lines[0], ",")
	v, _, _ = strings.Cut(v, ";")
	return strings.Trim(v, " \t")
}

// integer reads one of structured fields (RFC 9651, section 3.3.1) that is not negative.
func integer(s string) (int64, bool) {
	if s == "" || len(s) > 15 || strings.TrimLeft(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// seconds gives what an integer tells, less than 0 if it is none.
func seconds(s string) time.Duration {
	n, ok := integer(s)
	switch {
	case !ok:
		return -1
	case n > int64(Forever/time.Second):
		return Forever
	}
	return time.Duration(n) * time.Second
}
