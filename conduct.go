package parley

import (
	"net/url"
	"slices"

	"github.com/seed-0474a412/parley/internal/urls"
)

// choice is a setting that can be left open.
type choice uint8

const (
	unsaid choice = iota
	yes
	no
)

func chosen(on bool) choice {
	if on {
		return yes
	}
	return no
}

// or gives c, or what was said before where c is open.
func (c choice) or(earlier choice) choice {
	if c != unsaid {
		return c
	}
	return earlier
}

// conduct is how a call is carried out, beside what is sent. Requests share it with
// their session; it is never changed once a request has it. A nil one is the default.
type conduct struct {
	follow       choice
	maxRedirects int // 0: DefaultMaxRedirects; less: none
	policy       RedirectPolicy
	crossing     []string // canonical names of further headers that may leave the origin

	trusted []*url.URL // with the base URL: origins that the session's values may go to
	netrc   *netrcFile // nil: not used

	dialer      *dialerBox // nil: the pool's
	way         way        // how connections are made
	bound       bool       // dialer or socket are for one origin: see checkDialling
	http2       http2Said
	proxyHeader *proxyHeader // nil: none
	pace        pace         // zero: any

	sending    sending
	integrity  *integrity   // nil: not said
	retry      *RetryPolicy // nil: not said
	key        keySaid
	limits     limits
	hooks      hooks
	middleware []Middleware // of the request alone
	codings    codings      // beside parley's own
	sight      *sight       // who sees the call; nil: not said
}

// said reports whether anything differs from the default.
func (c *conduct) said() bool {
	return c.follow != unsaid || c.maxRedirects != 0 || c.policy != nil || len(c.crossing) > 0 ||
		len(c.trusted) > 0 || c.netrc != nil || c.dialer != nil || c.way.said() || c.http2 != 0 || c.proxyHeader != nil || c.pace != (pace{}) ||
		c.sending.said() || c.integrity != nil || c.retry != nil || c.key.said || c.limits.said() ||
		!c.hooks.empty() || len(c.middleware) > 0 || len(c.codings) > 0 || c.sight != nil
}

// plain reports whether nothing of the user's, and nothing that waits, lies between the
// call and the transport.
func (r *Request) plain() bool {
	if c := r.conduct; c != nil && (c.limits.said() || !c.hooks.empty() || c.policy != nil || len(c.middleware) > 0) {
		return false
	}
	switch r.Auth.(type) {
	case nil, *headerAuth, noAuth, leftBehind:
		return true
	}
	return false
}

// over gives c where it says something, else what was said before it.
func (c *conduct) over(earlier *conduct) *conduct {
	switch {
	case earlier == nil || c == earlier:
		return c
	case c == nil:
		return earlier
	}
	out := *earlier
	out.follow = c.follow.or(earlier.follow)
	switch {
	case c.maxRedirects != 0:
		out.maxRedirects = c.maxRedirects
	case c.follow == yes && out.maxRedirects < 0:
		out.maxRedirects = 0 // none was said before; now they are to be followed
	}
	if c.policy != nil {
		out.policy = c.policy
	}
	out.crossing = joined(earlier.crossing, c.crossing)
	out.trusted = joined(earlier.trusted, c.trusted)
	if c.netrc != nil {
		out.netrc = c.netrc
	}
	if c.dialer != nil {
		out.dialer = c.dialer
	}
	out.way = c.way.over(earlier.way)
	out.bound = c.bound || earlier.bound
	if c.http2 != 0 {
		out.http2 = c.http2
	}
	out.proxyHeader = c.proxyHeader.over(earlier.proxyHeader)
	out.sending = c.sending.over(earlier.sending)
	if c.integrity != nil {
		out.integrity = c.integrity
	}
	if c.retry != nil {
		out.retry = c.retry
	}
	if c.key.said {
		out.key = c.key
	}
	out.limits = c.limits.over(earlier.limits)
	if c.pace != (pace{}) {
		out.pace = c.pace
	}
	out.hooks = c.hooks.after(earlier.hooks)
	out.middleware = joined(earlier.middleware, c.middleware)
	if c.codings != nil {
		out.codings = c.codings
	}
	out.sight = c.sight.over(earlier.sight)
	return &out
}

// joined gives a and b in one list that shares nothing that can be appended to.
func joined[T any](a, b []T) []T {
	switch {
	case len(b) == 0:
		return slices.Clip(a)
	case len(a) == 0:
		return slices.Clip(b)
	}
	return slices.Concat(a, b)
}

// trusts reports whether what is meant for one of two origins may go to the other:
// both are the session's own, by its base URL or by WithTrustedOrigins.
func (c *conduct) trusts(from, to *url.URL) bool {
	if c == nil {
		return false
	}
	known := func(u *url.URL) bool {
		return slices.ContainsFunc(c.trusted, func(t *url.URL) bool { return urls.SameOrigin(t, u) })
	}
	return known(to) && known(from)
}
