package golden

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Rule says where the client under test departs from the recorded systems, or which of them it follows, and why.
//
// When looks at the input of a case only, so that the rule also holds for cases that nobody has seen. Then changes what
// is expected of it. The rules that apply to a case change it one after the other.
type Rule struct {
	Name   string
	Reason string
	When   func(*Case) bool
	Then   func(*Case, *Expected)
}

// Expected is what may come of a case; one of the alternatives must.
type Expected struct {
	Alternatives []Alternative
}

// An Alternative is an outcome and where it comes from: a system, or a rule.
type Alternative struct {
	From    string
	Outcome Outcome
}

// A Verdict is what [Judge] found.
type Verdict struct {
	Rules      []string // that apply to the case
	Same       bool     // the client did what one of the systems did
	Followed   string   // the alternative that was met
	Departures []string // where none was: how each was missed
	Expected   Expected
}

// systems are those whose behaviour may be followed without a rule, in the order of preference. The base URL of the
// systems other than httpx is resolved as RFC 3986 does, which drops the last segment of its path.
func systems(c *Case) []string {
	switch {
	case c.UsesResource():
		return []string{"clients"}
	case c.Topic == "base_url":
		return []string{"httpx"}
	}
	return []string{"httpx", "requests"}
}

// Judge compares what the client did with what the systems did, as amended by the rules that apply.
func Judge(c *Case, rules []Rule, got Outcome) Verdict {
	var v Verdict
	for _, system := range systems(c) {
		if outcome, ok := c.Seen[system]; ok {
			v.Expected.add(system, outcome)
		}
	}
	v.Same = slices.ContainsFunc(v.Expected.Alternatives, func(a Alternative) bool {
		return len(c.Compare(a.Outcome, got)) == 0
	})
	for _, rule := range rules {
		if rule.When(c) {
			v.Rules = append(v.Rules, rule.Name)
			rule.Then(c, &v.Expected)
		}
	}
	for _, alternative := range v.Expected.Alternatives {
		departures := c.Compare(alternative.Outcome, got)
		if len(departures) == 0 {
			v.Followed, v.Departures = alternative.From, nil
			return v
		}
		for _, departure := range departures {
			v.Departures = append(v.Departures, alternative.From+": "+departure)
		}
	}
	if len(v.Departures) == 0 {
		v.Departures = []string{"nothing is expected of this case"}
	}
	return v
}

// Report prints a case that departs: what the client did, what the systems did, and how they differ.
func (v Verdict) Report(c *Case, got Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s departs from what the systems did\n", c.Topic, c.ID)
	if c.Note != "" {
		fmt.Fprintf(&b, "    note: %s\n", c.Note)
	}
	if len(v.Rules) > 0 {
		fmt.Fprintf(&b, "    rules: %s\n", strings.Join(v.Rules, "; "))
	}
	fmt.Fprintf(&b, "    parley:%s\n", got)
	for _, system := range slices.Sorted(maps.Keys(c.Seen)) {
		fmt.Fprintf(&b, "    %s:%s\n", system, c.Seen[system])
	}
	for _, departure := range v.Departures {
		fmt.Fprintf(&b, "    not %s\n", departure)
	}
	return b.String()
}

func (e *Expected) add(from string, outcome Outcome) {
	e.Alternatives = append(e.Alternatives, Alternative{From: from, Outcome: outcome})
}

// follow expects what one system did, if that was recorded.
func follow(system string) func(*Case, *Expected) {
	return func(c *Case, e *Expected) {
		if outcome, ok := c.Seen[system]; ok {
			e.Alternatives = nil
			e.add(system, outcome)
		}
	}
}

// fail expects the last call to fail with one of the kinds.
func fail(kinds ...string) func(*Case, *Expected) {
	return func(c *Case, e *Expected) {
		e.edit(func(o *Outcome) {
			if len(o.Replies) == 0 {
				return
			}
			o.Replies[len(o.Replies)-1] = Reply{Failure: &Failure{Kinds: kinds, Text: "by rule"}}
		})
	}
}

// refuse expects the call to fail with one of the kinds before anything is sent.
func refuse(kinds ...string) func(*Case, *Expected) {
	return func(c *Case, e *Expected) {
		fail(kinds...)(c, e)
		e.edit(func(o *Outcome) { o.Sent = nil })
	}
}

// edit changes a copy of every alternative.
func (e *Expected) edit(change func(*Outcome)) {
	changed := make([]Alternative, len(e.Alternatives))
	for i, alternative := range e.Alternatives {
		alternative.From = "the rule, from " + strings.TrimPrefix(alternative.From, "the rule, from ")
		o := alternative.Outcome
		o.Replies, o.Sent = slices.Clone(o.Replies), slices.Clone(o.Sent)
		for i := range o.Sent {
			o.Sent[i].Headers = slices.Clone(o.Sent[i].Headers)
		}
		change(&o)
		alternative.Outcome = o
		changed[i] = alternative
	}
	e.Alternatives = changed
}
