package parley

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Client is a session: it owns a pool of connections, a cookie jar, a base URL,
// default headers and parameters, and timeouts. Make one for an application, or
// one for each API, and keep it.
//
// A Client does not change after [New], but for its jar and its pool, and is safe
// for any number of goroutines. Nothing runs in the background for a client that
// is not used.
type Client struct {
	// cfg is behind a pointer: for a verb that does not fit fmt shows even the hidden
	// fields of what holds a Client, but follows no second pointer.
	cfg      *clientConfig
	base     *urls.Base // nil: none
	timeouts Timeouts
	own      profile // for the base URL's origin and trusted ones; for all without a base
	foreign  profile // for other origins
	shares   bool    // requests may share the header of the profile
	direct   bool    // nothing of the user's lies between a call and the pool
	auth     Auth    // for requests that get the session's values
	baseAuth Auth    // of the base URL's user information
	conduct  *conduct
	proxy    *Proxy    // nil: the direct way
	security *security // nil: nothing is said of TLS
	// foreignSecurity is security for other origins than those that get the session's
	// values.
	foreignSecurity *security
	// coding is Accept-Encoding for requests that are decoded though the session's
	// others are not.
	coding []string

	budget  *RetryBudget // of policies that have none
	pool    *Pool        // nil under WithTransport
	owns    bool         // Close closes pool
	closed  atomic.Bool
	network Transport
	lower   Transport // auth and all beneath it, without cookies
	stack   Transport
}

// profile is what a session gives to requests of one kind of origin.
type profile struct {
	block  *headerBlock
	decode bool // Accept-Encoding is parley's own
}

// harmless are the headers that go along to an origin other than the base URL's.
var harmless = []string{"Accept", "Accept-Encoding", "Accept-Language", "Accept-Charset", "User-Agent"}

// New makes a session. Its errors are about options: a base URL that cannot be
// used (ErrInvalidURL), a malformed header (ErrInvalidHeader), limits that
// contradict each other.
func New(opts ...ClientOption) (*Client, error) {
	return newClient(nil, opts)
}

// With gives a derived session: what opts do not say is as in c. It shares c's pool
// and jar unless they replace them. Middleware is added inside that of c.
func (c *Client) With(opts ...ClientOption) (*Client, error) {
	return newClient(c, opts)
}

func newClient(parent *Client, opts []ClientOption) (*Client, error) {
	c := &Client{cfg: new(clientConfig)}
	if parent != nil {
		*c.cfg = *parent.cfg
		c.cfg.parent = parent.cfg
		c.cfg.header = parent.cfg.header.Clone()
		c.cfg.poolSaid = ""
		c.cfg.onClose = nil
		c.cfg.auth = nil // see overrideAuth
		delete(c.cfg.header, "Authorization")
	} else {
		c.cfg.header = defaultHeader()
	}
	for _, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("parley: new client: %w", errNilOption)
		}
		if err := o.applyClient(c.cfg); err != nil {
			return nil, fmt.Errorf("parley: new client: %w", err)
		}
	}
	c.cfg.overrideAuth(c.cfg.parent)
	if err := c.prepare(parent); err != nil {
		return nil, fmt.Errorf("parley: new client: %w", err)
	}
	return c, nil
}

// prepare works out once what every request needs.
func (c *Client) prepare(parent *Client) error {
	c.timeouts = c.cfg.timeouts.over(defaultTimeouts)
	switch {
	case c.cfg.noEnv:
		c.cfg.env = nil
	case c.cfg.env == nil:
		env, err := readEnvironment()
		if err != nil {
			return err
		}
		c.cfg.env = env
	}
	if err := c.prepareBase(); err != nil {
		return err
	}
	if err := c.prepareHeaders(); err != nil {
		return err
	}
	c.prepareConduct()
	if err := c.conduct.checkCompression(); err != nil {
		return err
	}
	c.prepareSecurity()
	c.proxy = c.cfg.proxy
	if c.cfg.env != nil {
		c.proxy = c.proxy.over(c.cfg.env.proxy)
	}
	if !c.cfg.jarSet {
		c.cfg.jar, c.cfg.jarSet = NewJar(), true
	}
	return c.prepareStack(parent)
}

func (c *Client) prepareBase() error {
	if !c.cfg.baseSet {
		return nil
	}
	u, err := parseURL(c.cfg.base)
	if err != nil {
		return err
	}
	if u.RawQuery != "" {
		replaced := slices.Clone(c.cfg.removedParams)
		for _, p := range c.cfg.params {
			replaced = append(replaced, p.Key)
		}
		u.RawQuery = urls.RemoveKeys(u.RawQuery, replaced...)
	}
	if c.baseAuth, err = userAuth(u.User); err != nil {
		return err
	}
	u.User = nil
	if c.base, err = urls.NewBase(u); err != nil {
		return urlError(err)
	}
	return nil
}

// prepareConduct works out what requests share, and who they come from.
func (c *Client) prepareConduct() {
	conduct := c.cfg.conduct
	if conduct.trusted = c.cfg.trusted; c.base != nil {
		conduct.trusted = joined(c.cfg.trusted, []*url.URL{c.base.URL()})
	}
	if c.cfg.env != nil && !c.cfg.noNetrc {
		conduct.netrc = c.cfg.env.netrc
	}
	if conduct.said() {
		c.conduct = &conduct
	}
	c.auth = c.cfg.auth
	if c.auth == nil && c.cfg.header["Authorization"] == nil {
		c.auth = c.baseAuth
	}
}

func (c *Client) prepareHeaders() error {
	h := c.cfg.header
	decode := !c.cfg.ownEncoding && h["Accept-Encoding"] != nil
	if c.cfg.raw == yes && decode {
		c.coding = h["Accept-Encoding"]
		h = h.Clone()
		delete(h, "Accept-Encoding")
		decode = false
	}
	var err error
	if c.own, err = newProfile(h, c.cfg.order, decode); err != nil {
		return err
	}
	few := make(http.Header)
	for _, name := range harmless {
		if v := h[name]; v != nil {
			few[name] = v
		}
	}
	c.foreign, err = newProfile(few, c.cfg.order, decode)
	return err
}

func newProfile(h http.Header, order []string, decode bool) (profile, error) {
	encoded, err := h1.AppendHeader(nil, h, order)
	if err != nil {
		return profile{}, because(ErrInvalidHeader, err)
	}
	if endsConnection(h) || slices.ContainsFunc(messageHeaders, func(name string) bool { return h[name] != nil }) {
		return profile{block: &headerBlock{header: h}, decode: decode}, nil
	}
	return profile{block: &headerBlock{h, encoded, http2Header(h)}, decode: decode}, nil
}

// messageHeaders are looked at for each message.
var messageHeaders = []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "Upgrade", proxyAuthorization}

// prepareStack puts the layers together, the innermost first.
func (c *Client) prepareStack(parent *Client) error {
	switch {
	case c.cfg.transport != nil && c.cfg.poolSaid != "":
		return failed("%s is for the session's own pool; under WithTransport give that to the transport", c.cfg.poolSaid)
	case c.cfg.transport != nil:
		c.network = c.cfg.transport
		c.pool, _ = c.cfg.transport.(*Pool)
	case parent != nil && parent.pool != nil && c.cfg.poolSaid == "":
		c.pool = parent.pool
		c.network = c.pool
	default:
		pool, err := NewPool(c.cfg.pool)
		if err != nil {
			return err
		}
		c.pool, c.owns, c.network = pool, true, pool
	}
	if c.pool != nil {
		if err := c.cfg.conduct.way.check(cmp.Or(c.cfg.conduct.dialer, c.pool.dialer)); err != nil {
			return err
		}
	}
	c.shares = len(c.cfg.middleware)+len(c.cfg.network)+len(c.cfg.mounts) == 0 && c.pool != nil
	_, ours := c.cfg.jar.(*Jar)
	c.direct = c.shares && (c.cfg.jar == nil || ours)
	if c.budget = new(RetryBudget); parent != nil {
		c.budget = parent.budget
	}
	t := c.network
	if len(c.cfg.mounts) > 0 {
		t = mountLayer{c.cfg.mounts, t}
	}
	if c.pool == nil || len(c.cfg.mounts) > 0 {
		t = completeLayer{t}
	}
	// Beneath the middleware, which may answer by itself, send several requests or add
	// credentials.
	t = limitLayer{t, new(flights)}
	t = sightLayer{t}
	if len(c.cfg.network) > 0 {
		t = completeLayer{chain(t, c.cfg.network)}
	}
	c.lower = retryLayer{authLayer{decodeLayer{t}}, c.budget}
	if c.cfg.jar != nil {
		layer := newCookieLayer(t, c.cfg.jar)
		layer.without, layer.none = c.cfg.removedCookie, slices.Contains(c.cfg.removed, "Cookie")
		t = layer
	}
	t = authLayer{decodeLayer{t}}
	t = redirectLayer{hopLayer{retryLayer{readLayer{t}, c.budget}}}
	c.stack = watchLayer{chain(callLayer{t}, c.cfg.middleware)}
	return nil
}

// completeLayer fills in what the session relies on and what transports and
// middleware of others may leave open.
type completeLayer struct{ next Transport }

func (l completeLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	resp, err := l.next.Send(ctx, req)
	return complete(req, resp, err)
}

func complete(req *Request, resp *Response, err error) (*Response, error) {
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, errNoResponse
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Request == nil {
		resp.Request = req
	}
	return resp, nil
}

var errNoResponse = errors.New("a transport or middleware returned neither a response nor an error")

// readLayer reads the bodies of calls that want them whole, so that a body cut
// short is a failure of the exchange and not of a reader later on.
type readLayer struct{ next Transport }

func (l readLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	resp, err := l.next.Send(ctx, req)
	if err != nil || req.discards(resp) {
		return resp, err
	}
	return req.whole(resp)
}

// whole reads the body of the answer if the call wants it read.
func (r *Request) whole(resp *Response) (*Response, error) {
	if r.call == nil || !r.call.full || switched(r.Method, resp.StatusCode) {
		return resp, nil
	}
	if _, err := resp.Bytes(); err != nil {
		return nil, err
	}
	return resp, nil
}

// NewRequest makes a request with the session's values merged in, without sending
// it. Whatever session sends it later adds nothing to it but cookies of its jar.
func (c *Client) NewRequest(method, url string, opts ...RequestOption) (*Request, error) {
	k, err := c.newCall(method, url, opts, true)
	if err != nil {
		return nil, err
	}
	k.req.call = nil
	return &k.req, nil
}

// Send sends a request through the session's stack and returns the response with
// its body unread: read it to its end or close it. A request that was made without
// a session gets the session's values first.
func (c *Client) Send(ctx context.Context, req *Request) (*Response, error) {
	return c.sendPrepared(ctx, req, false)
}

// Fetch is Send for those who want the whole body of the answer: it is read before the
// call returns, as by [Client.Request].
func (c *Client) Fetch(ctx context.Context, req *Request) (*Response, error) {
	return c.sendPrepared(ctx, req, true)
}

func (c *Client) sendPrepared(ctx context.Context, req *Request, full bool) (*Response, error) {
	if req == nil {
		return nil, buildError("", nil, errNoURL)
	}
	if !req.merged {
		var err error
		if req, err = c.merge(req); err != nil {
			return nil, err
		}
	}
	k := &call{req: *req}
	if err := k.req.settle(); err != nil {
		return nil, buildError(req.Method, req.URL, err)
	}
	k.req.call = &k.rec
	k.rec.began = sock.Now()
	return c.do(ctx, k, full)
}

var errNoContext = failed("the context is nil")

// do sends a call through the stack under its total timeout.
func (c *Client) do(ctx context.Context, k *call, full bool) (*Response, error) {
	if ctx == nil {
		return nil, buildError(k.req.Method, k.req.URL, errNoContext)
	}
	if c.closed.Load() {
		return nil, buildError(k.req.Method, k.req.URL, ErrClientClosed)
	}
	k.rec.full, k.rec.direct = full, c.direct && k.req.plain()
	k.req.conduct = k.req.conduct.measured()
	total := k.req.Timeouts.Total
	if total <= 0 {
		return c.send(ctx, k)
	}
	k.rec.due = sock.Now() + total
	limited, stop, release := limitTotal(ctx, total)
	resp, err := c.send(limited, k)
	if err != nil || full || resp.Body == http.NoBody {
		release()
		return resp, err
	}
	stop()
	resp.Body = afterBody(resp.Body, release)
	return resp, nil
}

// send goes through the stack, under the eyes of those who want to see the call.
func (c *Client) send(ctx context.Context, k *call) (*Response, error) {
	if how := k.req.sight(); how != nil {
		return how.watch(ctx, k, c.carry)
	}
	return c.carry(ctx, k)
}

func (c *Client) carry(ctx context.Context, k *call) (*Response, error) {
	resp, err := c.throughStack(ctx, k)
	if resp, err = complete(&k.req, resp, err); err != nil {
		return nil, k.wrap(ctx, err)
	}
	if resp, err = k.req.whole(resp); err != nil { // hooks and middleware may have made it
		return nil, k.wrap(ctx, err)
	}
	return resp, nil
}

// throughStack sends. A panic of middleware passes on, but keeps no connection.
func (c *Client) throughStack(ctx context.Context, k *call) (*Response, error) {
	returned := false
	defer func() {
		if x := k.rec.live.Swap(nil); x != nil && !returned {
			x.abandon()
		}
	}()
	resp, err := c.stack.Send(ctx, &k.req)
	returned = true
	return resp, err
}

// wrap makes an *Error of what middleware or a foreign transport returned.
func (k *call) wrap(ctx context.Context, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = contextError(ctx)
	}
	return &Error{
		Op: "send", Method: k.req.Method, URL: withoutUser(k.req.URL),
		Attempt: int(k.rec.attempts.Load()), Elapsed: k.rec.since(), Limit: totalOf(err), Err: err,
	}
}

// Request sends a request and reads the whole body of the answer: see
// [Response.Bytes] and its sisters. Answers of every status are responses, not
// errors: see [Response.Err].
func (c *Client) Request(ctx context.Context, method, url string, opts ...RequestOption) (*Response, error) {
	return c.oneCall(ctx, method, url, opts, true)
}

// Stream sends a request and returns the response with its body unread: read it to
// its end or close it.
func (c *Client) Stream(ctx context.Context, method, url string, opts ...RequestOption) (*Response, error) {
	return c.oneCall(ctx, method, url, opts, false)
}

// oneCall makes a request that nobody else has, so that a body which can be read
// once only is of no use if nothing has opened it.
func (c *Client) oneCall(ctx context.Context, method, url string, opts []RequestOption, full bool) (*Response, error) {
	k, err := c.newCall(method, url, opts, false)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, k, full)
	discardBody(k.req.Body)
	return resp, err
}

// Get sends a GET request and reads the answer: see [Client.Request].
func (c *Client) Get(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodGet, url, opts...)
}

// Head sends a HEAD request: see [Client.Request].
func (c *Client) Head(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodHead, url, opts...)
}

// Options sends an OPTIONS request and reads the answer: see [Client.Request].
func (c *Client) Options(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodOptions, url, opts...)
}

// Post sends a POST request and reads the answer: see [Client.Request]. The body
// is an option: [WithJSON], [WithForm], [WithReader], …
func (c *Client) Post(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodPost, url, opts...)
}

// Put sends a PUT request and reads the answer: see [Client.Post].
func (c *Client) Put(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodPut, url, opts...)
}

// Patch sends a PATCH request and reads the answer: see [Client.Post].
func (c *Client) Patch(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodPatch, url, opts...)
}

// Delete sends a DELETE request and reads the answer: see [Client.Request].
func (c *Client) Delete(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, http.MethodDelete, url, opts...)
}

// Query sends a QUERY request and reads the answer: see [Client.Post]. QUERY asks a
// question by its content, as GET does by its URL (RFC 10008): it is safe and idempotent, so
// that it may be sent again where a GET may, if its body can. The content should have a media type, which tells the server how to read it.
//
// A redirect with status 301, 302, 307 or 308 is followed by the same QUERY with its
// content; only POST becomes GET after 301 and 302. 303 leads to a GET of the answer.
func (c *Client) Query(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return c.Request(ctx, methodQuery, url, opts...)
}

// BaseURL gives a copy of the base URL without user information, nil if there is
// none.
func (c *Client) BaseURL() *url.URL {
	if c.base == nil {
		return nil
	}
	return withoutUser(c.base.URL())
}

// Header gives a copy of the default headers.
func (c *Client) Header() http.Header { return c.own.block.header.Clone() }

// Timeouts gives the timeouts that apply where a request does not say otherwise.
func (c *Client) Timeouts() Timeouts { return c.timeouts }

// Jar gives the live cookie jar, nil if there is none: a *[Jar] unless [WithJar] gave
// another.
func (c *Client) Jar() http.CookieJar { return c.cfg.jar }

// Pool gives the session's pool, nil if it sends through a transport of another
// kind.
func (c *Client) Pool() *Pool { return c.pool }

// Stats gives a snapshot of the pool.
func (c *Client) Stats() PoolStats {
	if c.pool == nil {
		return PoolStats{}
	}
	return c.pool.Stats()
}

// String shows the base URL and the pool: <Client https://api.example.com/ [2
// active, 1 idle]>. It bears no secrets.
func (c *Client) String() string {
	s := "<Client"
	if c.base != nil {
		u := c.base.URL()
		u.RawQuery = ""
		s += " " + urls.Redacted(u)
	}
	switch {
	case c.closed.Load():
		s += " [closed]"
	case c.pool != nil:
		s += " " + c.pool.gauges()
	}
	return s + ">"
}

// Close ends the session: later calls fail with ErrClientClosed. If the pool is
// its own, calls that wait for a connection fail too, idle connections are closed
// now and those in use when their response ends. A derived session closes only
// what it made itself. Closing again does nothing.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.owns {
		defer c.pool.Close() // always nil; also when a hook panics
	}
	var errs []error
	for _, f := range slices.Backward(c.cfg.onClose) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
