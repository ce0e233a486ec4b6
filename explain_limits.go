package parley

import (
	"fmt"
	"slices"
)

// explainLimits tells what a request has to wait for before it goes out, and whether it
// may be merged, where something is said of it.
func (c *Client) explainLimits(req *Request, add func(name, value string, isDefault bool, same func(*clientConfig) bool)) {
	if req.conduct == nil {
		return
	}
	said := &req.conduct.limits
	if said.alone && len(said.rates) == 0 {
		add("RateLimit", "none", false, func(p *clientConfig) bool { return p.conduct.limits.alone })
	}
	for _, r := range said.rates {
		add("RateLimit", r.name, false, func(p *clientConfig) bool { return slices.Contains(p.conduct.limits.rates, r) })
	}
	if s := said.server; s != nil {
		value := fmt.Sprintf("obeyed, at most for %v", s.MaxWait)
		if s.By != nil {
			value += ", by " + funcName(s.By)
		}
		add("ServerLimits", value, false, func(p *clientConfig) bool { return p.conduct.limits.server == s })
	}
	if g := said.gates; g != nil {
		value := fmt.Sprintf("%d at once, from %d to %d", g.Limit(req.origin()), g.policy.Min, g.policy.Max)
		if g.policy.Tolerance > 0 {
			value += fmt.Sprintf(", latency up to %v times the usual", g.policy.Tolerance)
		}
		add("Concurrency", value, false, func(p *clientConfig) bool { return p.conduct.limits.gates == g })
	}
	if said.merge != unsaid {
		value := "not merged"
		if said.merge == yes {
			value = "merged while in flight"
		}
		add("MergedGets", value, false, func(p *clientConfig) bool { return p.conduct.limits.merge == said.merge })
	}
}
