package parley

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/sock"
)

// Conn is one connection of a [Pool], for requests that are to go by it and by no other.
// Make one with [Pool.Open] or [Client.Open], and close it.
//
// It counts as a connection in use within the limits of its pool and serves nobody else
// until it is closed. It carries requests for the origin that it was opened for, with the
// same settings of proxy, TLS and dialling: any other fails, matching
// [errors.ErrUnsupported], and is not sent. It never connects again by itself: once it
// is gone, be it that the server closed it, that a response was not read to its end, or
// that it was upgraded ([Response.Conn]), every request fails with ErrConnClosed.
//
// It is a [Transport], so that [Client.With] and [WithTransport] make a session of it. It
// is safe for concurrent use. It speaks HTTP/1.1, also with servers that know HTTP/2 (a
// request that demands HTTP/2 fails as above): one request goes at a time, and the next
// waits, at most for [Timeouts].Pool, until the response before it was read to its end or
// closed.
type Conn struct {
	pool  *Pool
	key   connKey
	entry *entry
	turn  chan struct{} // holds one token while no request is under way; who has it owns the connection
	gone  chan struct{} // closed once why is there

	mu     sync.Mutex
	why    error // nil: it can be used
	served bool
	freed  time.Duration // when the last request ended
}

// Open opens a connection to the origin of a URL, or takes one that is idle. Of the
// options those count that say how connections are made: proxy, TLS, dialling, timeouts.
// It waits where the limits demand it. The errors are those of [Pool.Send] up to having
// a connection.
func (p *Pool) Open(ctx context.Context, url string, opts ...RequestOption) (*Conn, error) {
	req, err := NewRequest(http.MethodGet, url, opts...)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, req)
}

// Open opens one connection of the session's pool to the origin of a URL, joined to the
// base URL, with the session's settings: see [Pool.Open]. Requests for it are made with
// [Client.NewRequest] and sent with [Conn.Send], or by a session of its own:
//
//	one, err := client.With(parley.WithTransport(conn))
//
// A session without a pool fails, matching [errors.ErrUnsupported].
func (c *Client) Open(ctx context.Context, url string, opts ...RequestOption) (*Conn, error) {
	req, p, err := c.reach(url, opts)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, req)
}

// reach makes a request that shows how connections to a URL are made, and finds the pool
// that makes them.
func (c *Client) reach(url string, opts []RequestOption) (*Request, *Pool, error) {
	req, err := c.NewRequest(http.MethodGet, url, opts...)
	if err != nil {
		return nil, nil, err
	}
	p := c.pool
	if m := mountFor(c.cfg.mounts, req.URL); m != nil {
		p, _ = m.to.(*Pool)
	}
	switch {
	case c.closed.Load():
		err = ErrClientClosed
	case p == nil:
		err = fmt.Errorf("the session has no pool for it: %w", errors.ErrUnsupported)
	default:
		return req, p, nil
	}
	return nil, nil, buildError("", req.URL, err)
}

// opening is what is known before a connection is made for a request; keyOf gives its key.
func (p *Pool) opening(ctx context.Context, req *Request, op string, keyOf func(*Request, route) (connKey, error)) (connKey, Timeouts, error) {
	limit := req.Timeouts.over(defaultTimeouts)
	if ctx == nil {
		return connKey{}, limit, openError(op, req.URL, PhaseRequest, errNoContext)
	}
	err := checkRequest(req)
	var via route
	if err == nil {
		via, err = p.routeOf(ctx, req)
	}
	var key connKey
	if err == nil {
		key, err = keyOf(req, via)
	}
	if err != nil {
		return connKey{}, limit, openError(op, req.URL, PhaseRequest, err)
	}
	return key, limit, nil
}

func openError(op string, u *url.URL, phase Phase, err error) *Error {
	return &Error{Op: op, URL: withoutUser(u), Phase: phase, Sent: NotSent, Err: err}
}

// failOpening makes the error of a connection that did not come about.
func (p *Pool) failOpening(ctx context.Context, op string, req *Request, key connKey, limit Timeouts, got connpool.Got, err error) error {
	phase, passed, err := p.acquireError(ctx, key, limit, got, err)
	if passed > 0 {
		p.countTimeout(phase)
	}
	e := openError(op, req.URL, phase, err)
	e.Limit, e.Elapsed = passed, got.Waited+got.Dialing
	return e
}

func (p *Pool) open(ctx context.Context, req *Request) (*Conn, error) {
	key, limit, err := p.opening(ctx, req, "open", p.heldKey)
	if err != nil {
		return nil, err
	}
	e, got, err := p.acquire(ctx, key, connpool.Want{Wait: limit.Pool, Connect: limit.Connect, Strict: true})
	if err != nil {
		return nil, p.failOpening(ctx, "open", req, key, limit, got, err)
	}
	c := &Conn{
		pool: p, key: key, entry: e, served: got.Reused, freed: sock.Now(),
		turn: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	c.turn <- struct{}{}
	e.Conn.held = c
	return c, nil
}

// Send sends a request on the connection and returns the response with its body unread.
// What [Pool.Send] says of traces holds here too. Nothing is ever sent twice.
func (c *Conn) Send(ctx context.Context, req *Request) (*Response, error) {
	if err := checkSend(ctx, req); err != nil {
		return nil, err
	}
	if limitsItself(req) {
		return sendWithin(ctx, req, c.send)
	}
	return c.send(ctx, req)
}

func (c *Conn) send(ctx context.Context, req *Request) (*Response, error) {
	x := c.pool.newExchange(ctx, req, req.call)
	err := checkRequest(req)
	var via route
	if err == nil {
		via, err = c.pool.routeOf(ctx, req)
	}
	if err == nil {
		err = c.checkKey(req, via)
	}
	if err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	plan, err := x.plan(via, "")
	if err != nil {
		return nil, x.fail(PhaseRequest, NotSent, err)
	}
	x.buf.trace = httptrace.ContextClientTrace(ctx)
	returned := false
	defer func() {
		if !returned {
			x.abandon()
		}
	}()
	resp, err := c.carry(x, &plan)
	returned = true
	return resp, err
}

// checkKey refuses a request that the connection was not made for.
func (c *Conn) checkKey(req *Request, via route) error {
	key, err := c.pool.heldKey(req, via)
	if err == nil && key != c.key {
		err = cannotHonour("what it asks for", "the connection to "+c.key.origin(), "another origin, proxy, TLS or way of dialling needs a Conn of its own")
	}
	return err
}

// heldKey gives the key of a Conn, whose connection nobody shares.
func (p *Pool) heldKey(req *Request, via route) (connKey, error) {
	key := p.keyOf(req, via)
	switch key.proto {
	case protoHTTP1, protoALPN:
		return p.downgrade(key, req), nil
	}
	return key, cannotHonour("HTTP/2 alone", "a Conn", "it speaks HTTP/1.1")
}

// carry sends the request of x when its turn has come.
func (c *Conn) carry(x *exchange, plan *plan) (*Response, error) {
	if x.buf.trace != nil {
		x.tellGetConn(c.key)
	}
	x.buf.now = sock.Now()
	x.rec.entered = x.buf.now
	got, err := c.take(x)
	if err != nil {
		x.buf.free()
		x.buf, x.ended = nil, true
		return nil, err
	}
	x.note(c.entry, got)
	if failure := x.run(got, plan); failure != nil {
		x.end(failure.reason)
		return nil, failure.err
	}
	return &x.resp, nil
}

// take waits for the turn of x and looks whether the connection is still there.
func (c *Conn) take(x *exchange) (connpool.Got, error) {
	if err := c.await(x); err != nil {
		return connpool.Got{}, err
	}
	now := sock.Now()
	c.mu.Lock()
	why := c.why
	got := connpool.Got{Reused: c.served, Waited: now - x.buf.now, Idle: max(now-c.freed, 0)}
	c.served = true
	c.mu.Unlock()
	if why == nil {
		ok, reason := checkConn(c.entry.Conn, got.Idle, !x.req.repeatable())
		if ok {
			return got, nil
		}
		c.end(errors.New(reason.String()), reason)
	} else { // closed at this very moment
		c.pool.conns.Discard(c.entry, connpool.ReasonNotReusable)
	}
	return got, x.fail(PhasePool, NotSent, c.Err())
}

// await takes the token.
func (c *Conn) await(x *exchange) error {
	select {
	case <-c.gone:
		return x.fail(PhasePool, NotSent, c.Err())
	case <-c.turn:
		return nil
	default:
	}
	var late <-chan time.Time
	if x.limit.Pool > 0 {
		timer := time.NewTimer(x.limit.Pool)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.turn:
		return nil
	case <-c.gone:
		return x.fail(PhasePool, NotSent, c.Err())
	case <-x.ctx.Done():
		return x.fail(PhasePool, NotSent, contextError(x.ctx))
	case <-late:
		c.pool.countTimeout(PhasePool)
		e := x.fail(PhasePool, NotSent, timedOut(ErrPoolTimeout, x.limit.Pool, errConnBusy))
		e.Limit = x.limit.Pool
		return e
	}
}

var errConnBusy = errors.New("the connection is busy with another request: read its response to the end or close it")

// end ends the connection, which the caller owns, unless it has ended already.
func (c *Conn) end(why error, reason connpool.Reason) {
	c.over(why)
	c.pool.conns.Discard(c.entry, reason)
}

// over says why there are no more requests. The first reason stands.
func (c *Conn) over(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overLocked(why)
}

func (c *Conn) overLocked(why error) {
	if c.why == nil {
		c.why = because(ErrConnClosed, why)
		close(c.gone)
	}
}

var (
	errConnLast   = errors.New("the last response was the last of its connection")
	errConnFailed = errors.New("the last request failed on it, or its response was not read to the end")
	errConnHanded = errors.New("an upgrade handed it over to the caller")
)

// released takes the connection back from an exchange: for another one, or for a reason
// not to.
func (c *Conn) released(keep bool, reason connpool.Reason) {
	c.mu.Lock()
	c.freed = sock.Now()
	if keep && c.why == nil {
		c.turn <- struct{}{} // there is room: the exchange had taken it
		c.mu.Unlock()
		return
	}
	if reason == 0 {
		reason = connpool.ReasonNotReusable
		c.overLocked(errConnLast)
	} else {
		c.overLocked(errConnFailed)
	}
	c.mu.Unlock()
	c.pool.conns.Discard(c.entry, reason)
}

// Err is why the connection carries no more requests, matching ErrConnClosed; nil as long
// as nothing is known against it. It does not look at the connection.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// Close closes the connection, also during a request, which then fails with
// [context.Canceled]; its response still has to be closed. It always returns nil, and may
// be called again.
func (c *Conn) Close() error {
	c.mu.Lock()
	first := c.why == nil
	c.overLocked(net.ErrClosed)
	c.mu.Unlock()
	if !first {
		return nil
	}
	select {
	case <-c.turn:
		c.pool.conns.Discard(c.entry, connpool.ReasonNotReusable)
	default: // who has it gives it back
		c.entry.Conn.cancel()
	}
	return nil
}

// RemoteAddr is where the connection leads, which is the proxy if there is one; nil if
// its dialer does not tell. It must not be changed.
func (c *Conn) RemoteAddr() net.Addr { return c.entry.Conn.facts.remote }

// LocalAddr is where the connection begins; nil if its dialer does not tell. It must not
// be changed.
func (c *Conn) LocalAddr() net.Addr { return c.entry.Conn.facts.local }

// TLS is what TLS with the server has settled, nil without it. It must not be changed.
func (c *Conn) TLS() *tls.ConnectionState { return c.entry.Conn.state }

// String names what it leads to: <Conn https://api.example.com:443>.
func (c *Conn) String() string {
	state := ""
	if c.Err() != nil {
		state = " [closed]"
	}
	return "<Conn " + c.key.origin() + state + ">"
}

// GoString is String.
func (c *Conn) GoString() string { return c.String() }
