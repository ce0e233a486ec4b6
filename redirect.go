package parley

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// DefaultMaxRedirects is how many redirects of one call are followed where nothing
// else is said.
const DefaultMaxRedirects = 20

// Redirect is what a [RedirectPolicy] decides about.
type Redirect struct {
	Request  *Request    // what was answered with a redirect; read-only
	Response *Response   // the redirect; its body has not been read
	Next     *Request    // what would be sent; may be changed
	History  []*Response // the redirects before this one, oldest first
}

// RedirectPolicy decides about one redirect: nil follows it, [ErrStopRedirect] makes
// the redirect itself the response of the call, every other error fails the call.
//
// Where Next leaves the origin of Request, everything but harmless headers has been
// taken out of it already; what the policy adds is sent. A policy that leads Next to
// yet another origin finds the same done to it afterwards.
type RedirectPolicy func(ctx context.Context, r *Redirect) error

// ErrStopRedirect is what a [RedirectPolicy] returns to get the redirect itself as the
// response.
var ErrStopRedirect = errors.New("do not follow the redirect")

// RedirectError is why a redirect was not followed. It is found with [errors.As] in
// the error of the call, beside its kind: [ErrTooManyRedirects], [ErrInvalidURL],
// [ErrUnsupportedProtocol], [ErrInsecureRedirect], [ErrBodyNotRewindable],
// [ErrRedirectRefused], or what the policy returned.
type RedirectError struct {
	// Response is the redirect, closed; its History holds those before it.
	Response *Response
	Err      error
}

// Error names the status of the redirect and the reason.
func (e *RedirectError) Error() string {
	return fmt.Sprintf("redirect by %s: %v", quoteBad(e.Response.Status, 64), e.Err)
}

// Unwrap gives the reason.
func (e *RedirectError) Unwrap() error { return e.Err }

// WithFollowRedirects(false) returns a redirect as it is instead of following it. For a
// request WithFollowRedirects(true) follows redirects whatever its session says, be it
// by WithMaxRedirects(0).
func WithFollowRedirects(on bool) Option {
	return option(func(s *settings) error {
		s.conduct.follow = chosen(on)
		return nil
	})
}

// WithMaxRedirects sets how many redirects of a call are followed; one more is
// ErrTooManyRedirects. Default 20 ([DefaultMaxRedirects]). With 0 or less none is
// followed and the redirect itself is the response. Where WithFollowRedirects(false)
// was said it changes nothing.
func WithMaxRedirects(n int) Option {
	return option(func(s *settings) error {
		if s.conduct.maxRedirects = n; n <= 0 {
			s.conduct.maxRedirects = -1
		}
		return nil
	})
}

// WithRedirectPolicy lets p decide about each redirect that would be followed. A
// session with a base URL follows redirects out of the base's path, as long as they
// stay on its origin with all that the session sends there: a policy is the place to
// forbid that.
func WithRedirectPolicy(p RedirectPolicy) Option {
	return option(func(s *settings) error {
		if p == nil {
			return failed("WithRedirectPolicy needs a policy")
		}
		s.conduct.policy = p
		return nil
	})
}

// WithRedirectHeaders names further headers that may follow a redirect to another
// origin. Those that bear credentials (Authorization, Cookie and their like) cannot be
// named: see [WithTrustedOrigins] for origins that belong together.
func WithRedirectHeaders(names ...string) Option {
	return option(func(s *settings) error {
		add := make([]string, 0, len(names))
		for _, name := range names {
			if err := h1.CheckField(name, ""); err != nil {
				return because(ErrInvalidHeader, err)
			}
			name = textproto.CanonicalMIMEHeaderKey(name)
			if slices.Contains(neverCrossing, name) {
				return failed("WithRedirectHeaders: %s bears credentials and never follows to another origin; name the origin with WithTrustedOrigins", name)
			}
			add = append(add, name)
		}
		s.conduct.crossing = joined(s.conduct.crossing, add)
		return nil
	})
}

// neverCrossing are headers that stay with their origin whatever is asked for.
var neverCrossing = []string{
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate",
	"Cookie", "Cookie2", "Set-Cookie", "Host",
}

// Redirects gives the middleware that follows redirects, for a stack made by hand. A
// [Client] has it already. It obeys the options of each request.
func Redirects() Middleware {
	return func(next Transport) Transport { return redirectLayer{next} }
}

// redirectLayer follows redirects, one hop at a time. Each hop is made from the one
// before it, so that what was left behind once stays behind.
type redirectLayer struct{ next Transport }

func (l redirectLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	var history []*Response
	for {
		if len(history) > 0 && ctx.Err() != nil { // not every transport looks
			last := history[len(history)-1]
			return nil, last.fail("redirect", PhaseRedirect, contextError(ctx))
		}
		resp, err := l.next.Send(ctx, req)
		if err != nil {
			return nil, err
		}
		if resp, err = complete(req, resp, err); err != nil {
			return nil, err
		}
		if len(history) > 0 {
			resp.History = slices.Clip(history)
		}
		resp.hop = req
		if !isRedirect(resp) {
			return resp, nil
		}
		if !req.followsRedirects() {
			return resp, nil
		}
		next, err := l.step(ctx, req, resp)
		switch {
		case errors.Is(err, ErrStopRedirect):
			return req.whole(resp)
		case err != nil:
			resp.Close() // that it could not be closed adds nothing to why it is given up
			return nil, resp.fail("redirect", PhaseRedirect, &RedirectError{Response: resp, Err: err})
		}
		resp.Close() // drains a little, so that the connection can be used again
		history = append(history, resp)
		req = next
	}
}

// step gives the next request, or why there is none.
func (l redirectLayer) step(ctx context.Context, req *Request, resp *Response) (*Request, error) {
	limit := DefaultMaxRedirects
	if c := req.conduct; c != nil && c.maxRedirects != 0 {
		limit = c.maxRedirects
	}
	if len(resp.History) >= limit {
		return nil, tooManyRedirects(limit)
	}
	next, err := req.afterRedirect(resp)
	if err != nil {
		return nil, err
	}
	if req.conduct != nil && req.conduct.policy != nil {
		chosen := *next.URL
		err := req.conduct.policy(ctx, &Redirect{Request: req, Response: resp, Next: next, History: resp.History})
		if err == nil {
			err = next.settle()
			next.Header = canonical(next.Header)
		}
		if err != nil {
			return nil, err
		}
		if !urls.SameOrigin(&chosen, next.URL) {
			next.crossOrigin(req.URL)
		}
	}
	if err := next.checkDialling(req); err != nil {
		return nil, err
	}
	if err := next.checkContent(req.URL); err != nil {
		return nil, err
	}
	return next, nil
}

func tooManyRedirects(limit int) error {
	return &cause{kind: ErrTooManyRedirects, err: fmt.Errorf("more than the allowed %d", limit)}
}

// errBodyInClear is why a body that was meant for TLS is not sent on.
var errBodyInClear error = &cause{kind: ErrInsecureRedirect, err: errors.New("the body would go out in clear text")}

// followsRedirects reports whether redirects are followed at all.
func (r *Request) followsRedirects() bool {
	return r.conduct == nil || r.conduct.follow != no && r.conduct.maxRedirects >= 0
}

// discards reports whether nobody will see the body of resp, a redirect.
func (r *Request) discards(resp *Response) bool {
	return isRedirect(resp) && r.followsRedirects()
}

// isRedirect reports whether a response leads to another URL (RFC 9110, section 15.4).
func isRedirect(resp *Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return location(resp) != ""
	}
	return false
}

func location(resp *Response) string {
	return strings.Trim(resp.Header.Get("Location"), " \t")
}

// Next gives the request that following the redirect would send, for taking one step
// by hand after [WithFollowRedirects](false). Send it with [Client.Send] or look at it
// first; the session adds nothing to it but credentials of its own and cookies of the
// jar. A response that is no redirect is [http.ErrNoLocation]; the errors are those of
// [RedirectError].
func (r *Response) Next() (*Request, error) {
	req := r.hop
	if req == nil {
		req = r.Request
	}
	if req == nil || !isRedirect(r) {
		return nil, r.fail("redirect", PhaseRedirect, http.ErrNoLocation)
	}
	next, err := req.afterRedirect(r)
	if err == nil {
		err = cmp.Or(next.checkDialling(req), next.checkContent(req.URL))
	}
	if err != nil {
		return nil, r.fail("redirect", PhaseRedirect, &RedirectError{Response: r, Err: err})
	}
	next.call = nil
	return next, nil
}

// afterRedirect makes the request that follows a redirect. Whether its body can be
// sent is for checkContent to say.
func (r *Request) afterRedirect(resp *Response) (*Request, error) {
	if all := resp.Header["Location"]; slices.ContainsFunc(all, func(other string) bool { return other != all[0] }) {
		return nil, because(ErrInvalidURL, errors.New("several Location headers that differ"))
	}
	u, err := urls.Resolve(withoutUser(r.URL), location(resp))
	if err != nil {
		return nil, urlError(err)
	}
	// Nobody is identified at the word of a server.
	u.User = nil
	if u.Fragment == "" {
		u.Fragment, u.RawFragment = r.URL.Fragment, r.URL.RawFragment
	}
	next := r.Clone()
	next.Header = canonical(next.Header) // what others wrote there must be found
	next.URL, next.Target = u, ""
	next.merged = true
	next.Method = methodAfter(r.Method, resp.StatusCode)
	if next.Method != r.Method || resp.StatusCode == http.StatusSeeOther {
		next.dropContent()
	}
	next.dropCookies(resp)
	if !urls.SameOrigin(r.URL, u) {
		next.crossOrigin(r.URL)
	}
	return next, nil
}

// dropCookies takes the cookies out of the header that a redirect has set anew in a
// jar, whose word on them counts from now on.
func (r *Request) dropCookies(redirect *Response) {
	lines := r.Header["Cookie"]
	if !redirect.stored || lines == nil {
		return
	}
	set := redirect.Cookies()
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			name, _, _ := strings.Cut(pair, "=")
			if pair != "" && !slices.ContainsFunc(set, func(c *http.Cookie) bool { return c.Name == name }) {
				kept = append(kept, pair)
			}
		}
	}
	delete(r.Header, "Cookie")
	if len(kept) > 0 {
		r.Header["Cookie"] = []string{strings.Join(kept, "; ")}
	}
}

// methodAfter gives the method that follows a redirect (RFC 9110, section 15.4): a form
// that was posted leads to a page, everything else is what it was.
func methodAfter(method string, status int) string {
	switch {
	case status == http.StatusSeeOther && method != http.MethodHead:
		return http.MethodGet
	case status <= http.StatusFound && method == http.MethodPost:
		return http.MethodGet
	}
	return method
}

// dropContent takes out the body and all that speaks of it.
func (r *Request) dropContent() {
	r.Body, r.Trailers = nil, nil
	for name := range r.Header {
		if strings.HasPrefix(name, "Content-") || slices.Contains(framing, name) {
			delete(r.Header, name)
		}
	}
}

var framing = []string{"Transfer-Encoding", "Expect", "Trailer", "Digest", "Repr-Digest"}

// checkContent refuses to send a body again that cannot be, or in clear text what was
// meant for TLS.
func (r *Request) checkContent(from *url.URL) error {
	if r.Body == nil || r.Body.Size() == 0 {
		return nil
	}
	if from.Scheme == "https" && r.URL.Scheme == "http" {
		return errBodyInClear
	}
	if untouched(r.Body) {
		return nil
	}
	if !r.Body.Replayable() {
		return &cause{kind: ErrBodyNotRewindable, err: errors.New("the redirect asks for it once more; give a *bytes.Reader, a file or a Body of your own")}
	}
	return nil
}

// crossOrigin makes the request fit for its URL, of another origin than from.
func (r *Request) crossOrigin(from *url.URL) {
	r.Host = "" // it names the server that was left
	delete(r.Header, "Host")
	if !r.conduct.trusts(from, r.URL) {
		r.leaveOrigin(from)
	}
}

// leaveOrigin leaves behind what was meant for the origin of from: everything but
// harmless headers, as the keys to APIs mostly live in headers of their own.
func (r *Request) leaveOrigin(from *url.URL) {
	var further []string
	if r.conduct != nil {
		further = r.conduct.crossing
	}
	for name := range r.Header {
		if !slices.Contains(harmless, name) && !slices.Contains(alsoHarmless, name) &&
			!slices.Contains(further, name) && (r.Body == nil || !slices.Contains(ofContent, name)) {
			delete(r.Header, name)
		}
	}
	r.Trailers, r.foreign = nil, true
	r.leaveTLS()
	switch a := r.Auth.(type) {
	case noAuth: // stays so, also for what netrc has
	case leftBehind:
		r.Auth = leftBehind{append(slices.Clip(a.origins), from)}
	default:
		r.Auth = leftBehind{[]*url.URL{from}}
	}
}

// Beside those that a session gives to every origin, these headers follow to another
// one, the second list only with the body.
var (
	alsoHarmless = []string{
		"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Expect",
	}
	ofContent = []string{
		"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Content-Location",
		"Content-Length", "Content-Md5", "Content-Range", "Transfer-Encoding", "Digest", "Repr-Digest", "Content-Digest",
	}
)

// SameHostRedirects allows redirects within one host, whatever the scheme and port.
// Like the other policies of this package it fails the call with ErrRedirectRefused.
func SameHostRedirects() RedirectPolicy {
	return func(_ context.Context, r *Redirect) error {
		if strings.EqualFold(r.Request.URL.Hostname(), r.Next.URL.Hostname()) {
			return nil
		}
		return refuse("to another host: %s", r.Next.URL)
	}
}

// SameSiteRedirects allows redirects within one registrable domain, such as from
// www.example.com to api.example.com, by the public suffix list.
func SameSiteRedirects() RedirectPolicy {
	return func(_ context.Context, r *Redirect) error {
		if site(r.Request.URL) == site(r.Next.URL) {
			return nil
		}
		return refuse("to another site: %s", r.Next.URL)
	}
}

// site is the registrable domain, or the host itself where there is none.
func site(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// AllowedHostRedirects allows redirects to the named hosts, "*.example.com" naming all
// below example.com, and within the host that the redirect came from. A port is not
// part of a name.
func AllowedHostRedirects(hosts ...string) RedirectPolicy {
	hosts = slices.Clone(hosts)
	return func(_ context.Context, r *Redirect) error {
		host := r.Next.URL.Hostname()
		if strings.EqualFold(r.Request.URL.Hostname(), host) {
			return nil
		}
		for _, h := range hosts {
			below, wild := strings.CutPrefix(h, "*")
			if strings.EqualFold(h, host) || wild && len(host) > len(below) && strings.HasPrefix(below, ".") &&
				strings.EqualFold(host[len(host)-len(below):], below) {
				return nil
			}
		}
		return refuse("to a host that was not named: %s", r.Next.URL)
	}
}

// HTTPSRedirects allows redirects to https alone.
func HTTPSRedirects() RedirectPolicy {
	return func(_ context.Context, r *Redirect) error {
		if r.Next.URL.Scheme == "https" {
			return nil
		}
		return refuse("to a scheme other than https: %s", r.Next.URL)
	}
}

func refuse(format string, to *url.URL) error {
	return &cause{kind: ErrRedirectRefused, err: fmt.Errorf(format, urls.Redacted(to))}
}

// RedirectPolicies makes one policy of several, asked in their order: a redirect is
// followed if all of them allow it.
func RedirectPolicies(policies ...RedirectPolicy) RedirectPolicy {
	policies = slices.Clone(policies)
	return func(ctx context.Context, r *Redirect) error {
		for _, p := range policies {
			if err := p(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}
}
