package parley

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/urls"
)

// explainDialling tells how connections are made, in what is not the default.
func (c *Client) explainDialling(req *Request) []Setting {
	var out []Setting
	add := func(name, value string, same func(*clientConfig) bool) {
		s := Setting{name, quoteBad(value, 256), SourceRequest}
		if same(c.cfg) {
			s.Source = c.cfg.source(same)
		}
		out = append(out, s)
	}
	if d := req.dialerFor(); d != nil {
		add("Dialer", fmt.Sprintf("%T", d.Dialer), func(p *clientConfig) bool { return p.conduct.dialer == d })
	}
	said := req.way().get()
	if said.socket != "" {
		add("UnixSocket", said.socket, func(p *clientConfig) bool {
			return req.URL.Scheme != urls.UnixScheme && p.conduct.way.get().socket == said.socket
		})
	}
	if said.resolver != nil {
		add("Resolver", fmt.Sprintf("%T", said.resolver.Resolver), func(p *clientConfig) bool {
			return p.conduct.way.get().resolver == said.resolver
		})
	}
	for line := range strings.Lines(said.fixed) {
		from, to, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		add("Resolve", from+" to "+strings.ReplaceAll(to, " ", ", "), func(p *clientConfig) bool {
			return slices.Contains(slices.Collect(strings.Lines(p.conduct.way.get().fixed)), line)
		})
	}
	if said.local.IsValid() {
		add("LocalAddr", said.local.String(), func(p *clientConfig) bool { return p.conduct.way.get().local == said.local })
	}
	if said.guard != nil {
		add("DialGuard", funcName(said.guard.allows), func(p *clientConfig) bool { return p.conduct.way.get().guard == said.guard })
	}
	return out
}
