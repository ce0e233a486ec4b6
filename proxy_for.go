package parley

import (
	"fmt"
	"net/url"
	"slices"
)

// WithProxyFor sends requests for URLs under prefix through the proxy at url, whatever is
// said of all URLs: prefixes are those of [WithMount], proxies those of [NewProxy].
//
//	parley.WithProxyFor("https://", "http://proxy.example.com:3128")        // by scheme
//	parley.WithProxyFor("all://*.corp.example:*", "socks5h://jump.example") // by host
//
// Of several prefixes the most specific one counts, and the same prefix again replaces
// the proxy that it had. For other URLs holds what is said otherwise, be it by the session
// or the environment. [WithProxy], [WithProxyFunc] and [WithoutProxy] are about all URLs:
// given after it, or to a request of a session that has it, they take its place.
func WithProxyFor(prefix, url string) Option {
	p, err := NewProxy(url)
	if err != nil {
		return option(func(*settings) error { return failed("WithProxyFor: %w", err) })
	}
	return withProxyFor("WithProxyFor", prefix, p)
}

// WithoutProxyFor sends requests for URLs under prefix directly: see [WithProxyFor].
func WithoutProxyFor(prefix string) Option {
	return withProxyFor("WithoutProxyFor", prefix, &Proxy{})
}

func withProxyFor(name, prefix string, to *Proxy) Option {
	where, err := newPattern(prefix)
	p := &Proxy{parts: []proxyPart{{where, prefix, to}}}
	return option(func(s *settings) error {
		if err != nil {
			return because(ErrInvalidURL, fmt.Errorf("%s: %w", name, err))
		}
		s.proxy = p.over(s.proxy)
		return nil
	})
}

// proxyPart is the proxy for some URLs.
type proxyPart struct {
	pattern
	text string // as it was given
	to   *Proxy
}

// over gives p, with what it leaves open taken from lower; both may be nil.
func (p *Proxy) over(lower *Proxy) *Proxy {
	switch {
	case p == nil:
		return lower
	case len(p.parts) == 0 || p.rest != nil || lower == nil:
		return p
	}
	merged := &Proxy{parts: slices.Clone(p.parts), rest: lower}
	if len(lower.parts) > 0 {
		merged.rest = lower.rest
	}
	for _, part := range lower.parts {
		if !slices.ContainsFunc(p.parts, func(own proxyPart) bool { return own.pattern == part.pattern }) {
			merged.parts = append(merged.parts, part)
		}
	}
	slices.SortStableFunc(merged.parts, func(a, b proxyPart) int { return b.compare(a.pattern) })
	return merged
}

// part gives the one that a URL is under; nil if there is none.
func (p *Proxy) part(u *url.URL) *proxyPart {
	if p == nil {
		return nil
	}
	for i := range p.parts {
		if p.parts[i].matches(u) {
			return &p.parts[i]
		}
	}
	return nil
}

// at gives what holds for a URL; nil if nothing was said. It has no parts.
func (p *Proxy) at(u *url.URL) *Proxy {
	if p == nil || len(p.parts) == 0 {
		return p
	}
	if part := p.part(u); part != nil {
		return part.to
	}
	return p.rest
}

// holds reports whether other is p or a part of it.
func (p *Proxy) holds(other *Proxy) bool {
	return p != nil && (p == other || p.rest == other ||
		slices.ContainsFunc(p.parts, func(part proxyPart) bool { return part.to == other }))
}
