package parley

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Auth proves to a server who sends a request. It is middleware for one origin: Send
// puts the credentials into a copy of the request ([Request.With], [Request.Clone]),
// sends that with next, and may look at the answer and send again, as the schemes do
// that answer a challenge. Of an answer that it does not return it closes the body
// unread.
//
// Credentials go to the origin they were given for: that of the request, or for a
// session's those of its base URL and [WithTrustedOrigins]. A redirect to another
// origin leaves them behind. So next refuses a request to another origin than that of
// req, and more than three sends.
//
// An Auth that belongs to a session is used by many goroutines at once.
type Auth interface {
	Send(ctx context.Context, req *Request, next Transport) (*Response, error)
}

// AuthFunc is an [Auth] that changes the request and leaves it at that: sets a header,
// signs what is there. The request is a copy of its own.
type AuthFunc func(ctx context.Context, req *Request) error

// Send calls f and sends.
func (f AuthFunc) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	req = req.Clone()
	if err := f(ctx, req); err != nil {
		return nil, err
	}
	return next.Send(ctx, req)
}

// String names the type, as there may be secrets in the function.
func (f AuthFunc) String() string { return "<AuthFunc>" }

// WithAuth proves who sends the request. A request's word wins over its session's, a
// request's own Authorization header too, and an Authorization header that a hook or
// middleware sets wins over Basic, Digest and tokens. Nothing that was set explicitly
// is replaced by user information in a URL or by netrc.
func WithAuth(a Auth) Option {
	return option(func(s *settings) error {
		if a == nil {
			return failed("WithAuth needs an Auth; WithoutAuth sends no credentials")
		}
		s.auth = a
		return nil
	})
}

// WithBasicAuth sends user name and password with every request: see [BasicAuth].
func WithBasicAuth(user, password string) Option { return withAuth(BasicAuth(user, password)) }

// WithBearerToken sends a token with every request: see [BearerAuth].
func WithBearerToken(token string) Option { return withAuth(BearerAuth(token)) }

func withAuth(a Auth, err error) Option {
	return option(func(s *settings) error {
		if err != nil {
			return err
		}
		s.auth = a
		return nil
	})
}

// WithoutAuth sends no credentials: neither the session's, nor those of the URL or of
// netrc.
func WithoutAuth() Option {
	return option(func(s *settings) error {
		s.auth = noAuth{}
		return nil
	})
}

// noAuth is the Auth of requests that prove nothing.
type noAuth struct{}

func (noAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	return next.Send(ctx, req)
}

func (noAuth) String() string { return "none" }

// leftBehind is the Auth of a request that a redirect led to another origin. Only what
// netrc has for that origin itself may be sent, and not to those that were left.
type leftBehind struct{ origins []*url.URL }

func (leftBehind) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	return next.Send(ctx, req)
}

func (leftBehind) String() string { return "left behind" }

// BasicAuth gives user name and password (RFC 7617), encoded as UTF-8. A user name with
// a colon and control bytes in either are an error. They cross the network readable
// to anybody unless the URL is https.
func BasicAuth(user, password string) (Auth, error) {
	if err := checkLogin("Basic", user, password); err != nil {
		return nil, err
	}
	return &headerAuth{scheme: "Basic", name: "Authorization", value: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}, nil
}

// checkLogin refuses what would be another login at the server: the colon ends the
// name there.
func checkLogin(scheme, user, password string) error {
	if strings.Contains(user, ":") {
		return failed("a user name for %s authentication must not have a colon", scheme)
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if strings.ContainsFunc(user, control) || strings.ContainsFunc(password, control) {
		return failed("user name and password for %s authentication must not have control characters", scheme)
	}
	return nil
}

// BearerAuth gives a token (RFC 6750).
func BearerAuth(token string) (Auth, error) {
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, failed("a bearer token must be printable ASCII without spaces")
	}
	return &headerAuth{scheme: "Bearer", name: "Authorization", value: "Bearer " + token}, nil
}

// headerAuth sets a header that never changes.
type headerAuth struct {
	scheme, name, value string
	ofURL               bool // user information: weaker than what a session says
	// last is a session's header with this one in it, which most requests have alike.
	last atomic.Pointer[authBlock]
}

type authBlock struct{ plain, full *headerBlock }

func (a *headerAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	return next.Send(ctx, a.apply(req))
}

// apply gives a copy with the header.
func (a *headerAuth) apply(req *Request) *Request {
	if b := req.block; b != nil && b.encoded != nil && sameMap(b.header, req.Header) {
		if block := a.within(b, req.HeaderOrder); block != nil {
			out := *req
			out.Header, out.block = block.header, block
			return &out
		}
	}
	return withHeader(req, a.name, a.value)
}

// withHeader gives a copy with one header set.
func withHeader(req *Request, name, value string) *Request {
	out := *req
	out.block = nil
	out.Header = cloneHeader(req.Header)
	out.Header[name] = []string{value}
	return &out
}

// within gives a session's header with this one, encoded; nil if it cannot be. The one
// of the session that asked last is kept.
func (a *headerAuth) within(plain *headerBlock, order []string) *headerBlock {
	if last := a.last.Load(); last != nil && last.plain == plain {
		return last.full
	}
	h := cloneHeader(plain.header)
	h[a.name] = []string{a.value}
	encoded, err := h1.AppendHeader(nil, h, order)
	if err != nil || endsConnection(h) {
		return nil // for the transport to look at
	}
	full := &headerBlock{h, encoded, http2Header(h)}
	a.last.Store(&authBlock{plain, full})
	return full
}

// String names the scheme.
func (a *headerAuth) String() string { return "<" + a.scheme + " auth>" }

// userAuth gives the Basic credentials of a URL's user information; nil if there are
// none in it.
func userAuth(user *url.Userinfo) (Auth, error) {
	if !saysUser(user) {
		return nil, nil
	}
	password, _ := user.Password()
	a, err := BasicAuth(user.Username(), password)
	if err != nil {
		return nil, because(ErrInvalidURL, err)
	}
	a.(*headerAuth).ofURL = true
	return a, nil
}

// saysUser reports whether there is anything in a URL's user information.
func saysUser(user *url.Userinfo) bool {
	if user == nil {
		return false
	}
	password, _ := user.Password()
	return user.Username() != "" || password != ""
}

// takeUser takes user information out of the URL.
func (r *Request) takeUser() *url.Userinfo {
	user := r.URL.User
	r.URL.User = nil
	return user
}

// userAuth gives the credentials that a URL's user information stands for. For a name
// without a password netrc may have that.
func (r *Request) userAuth(user *url.Userinfo) (Auth, error) {
	if _, has := user.Password(); !has && r.conduct != nil && r.conduct.netrc != nil {
		if a, err := r.conduct.netrc.login(r.URL, user.Username()); a != nil || err != nil {
			return a, err
		}
	}
	return userAuth(user)
}

// settleAuth decides who a request comes from. said: its own header has a word on
// that, by being there or by having been removed. user is what its URL says.
func (c *Client) settleAuth(req *Request, said bool, user *url.Userinfo) (err error) {
	weak, _ := req.Auth.(*headerAuth)
	switch {
	case req.Auth != nil && (weak == nil || !weak.ofURL):
		if !said || setsAuthorization(req.Auth) {
			delete(req.Header, "Authorization")
		}
	case said && req.Header["Authorization"] == nil:
		req.Auth = noAuth{}
	case said:
		req.Auth = nil
	case !req.foreign && c.cfg.auth != nil:
		req.Auth = c.cfg.auth
	case req.Header["Authorization"] != nil: // the session's
		req.Auth = nil
	case saysUser(user):
		req.Auth, err = req.userAuth(user)
	case req.Auth == nil && !req.foreign:
		req.Auth = c.baseAuth
	}
	if file, ok := req.Auth.(*netrcAuth); ok && user != nil && user.Username() != "" {
		req.Auth = &netrcAuth{file.file, user.Username()}
	}
	return err
}

// setsAuthorization reports whether a is nothing but an Authorization header, so that
// there is no sense in having both.
func setsAuthorization(a Auth) bool {
	switch a := a.(type) {
	case *headerAuth:
		return a.name == "Authorization"
	case *tokenAuth, *digestAuth, *netrcAuth:
		return true
	}
	return false
}

// overrideAuth takes over what a derived session says of who asks: its own word, be it
// an Auth or a header, replaces both of parent.
func (c *clientConfig) overrideAuth(parent *clientConfig) {
	header := c.header["Authorization"]
	switch {
	case c.auth != nil:
		if header != nil && setsAuthorization(c.auth) {
			delete(c.header, "Authorization")
		}
	case parent == nil || header != nil:
	case slices.Contains(c.removed, "Authorization") && !slices.Contains(parent.removed, "Authorization"):
		c.auth = noAuth{}
	default:
		c.auth = parent.auth
		if inherited := parent.header["Authorization"]; inherited != nil {
			c.header["Authorization"] = inherited
		}
	}
}

// Authenticate gives middleware that applies a to requests that have no [Auth] of
// their own, for a stack made by hand; its place is below [Redirects].
func Authenticate(a Auth) Middleware {
	return func(next Transport) Transport {
		layer := authLayer{next}
		return TransportFunc(func(ctx context.Context, req *Request) (*Response, error) {
			if req.Auth == nil && req.Header["Authorization"] == nil {
				own := *req
				own.Auth = a
				req = &own
			}
			return layer.Send(ctx, req)
		})
	}
}

// authLayer applies the Auth of each request.
type authLayer struct{ next Transport }

func (l authLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	a, err := req.effectiveAuth()
	switch own := a.(type) {
	case nil:
		if err != nil {
			return nil, buildError(req.Method, req.URL, err)
		}
		return l.next.Send(ctx, req)
	case *headerAuth:
		return l.next.Send(ctx, own.apply(req))
	case noAuth, leftBehind:
		return l.next.Send(ctx, req)
	}
	gate := &authGate{next: l.next, req: req}
	resp, err := a.Send(ctx, req, gate)
	return complete(req, resp, err)
}

// effectiveAuth gives the request's Auth, or what netrc has for its origin.
func (r *Request) effectiveAuth() (Auth, error) {
	own := r.Header["Authorization"] != nil
	if own && setsAuthorization(r.Auth) {
		return nil, nil // a hook's, middleware's or the caller's later word
	}
	if own || r.conduct == nil || r.conduct.netrc == nil {
		return r.Auth, nil
	}
	switch a := r.Auth.(type) {
	case nil:
	case leftBehind:
		for _, u := range a.origins {
			if urls.SameOrigin(u, r.URL) {
				return a, nil
			}
		}
	default:
		return a, nil
	}
	return r.conduct.netrc.auth(r.URL)
}

// maxAuthSends is how often an Auth may send one request.
const maxAuthSends = 3

// authGate keeps an Auth to its origin.
type authGate struct {
	next  Transport
	req   *Request
	sends atomic.Int32
}

func (g *authGate) Send(ctx context.Context, req *Request) (*Response, error) {
	if req == nil || !urls.SameOrigin(g.req.URL, req.URL) {
		return nil, buildError(g.req.Method, g.req.URL, because(ErrLocalProtocol, errors.New("an Auth sends to the origin of its request only")))
	}
	if g.sends.Add(1) > maxAuthSends {
		return nil, buildError(req.Method, req.URL, because(ErrLocalProtocol, fmt.Errorf("an Auth sends a request %d times at most", maxAuthSends)))
	}
	resp, err := g.next.Send(ctx, req)
	return complete(req, resp, err)
}
