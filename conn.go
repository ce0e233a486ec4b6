package parley

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Dialer makes network connections; a *net.Dialer is one. It must be safe for
// concurrent use. The connections that it gives are checked before they are used
// again if they implement [syscall.Conn]. Its context has the values of the request
// for which it dials; a *net.Dialer tells a trace in it: see [Pool.Send].
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// DialerFunc is a function as a [Dialer].
type DialerFunc func(ctx context.Context, network, address string) (net.Conn, error)

// DialContext calls f.
func (f DialerFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// dialerBox gives a dialer an identity that can be compared, whatever its type.
type dialerBox struct{ Dialer }

// connKey is everything that makes two connections different. A connection never
// serves a request with another key.
type connKey struct {
	https      bool
	host, port string
	tls        *tls.Config // the pool's clone
	dialer     *dialerBox
	proxy      route       // host and port are empty where it is asked for URLs of all of them
	proxyTLS   *tls.Config // the pool's clone, for an https proxy
	way        way         // what is said of dialling
	proto      wireProtocol
}

func (k connKey) scheme() string {
	if k.https {
		return "https"
	}
	return "http"
}

func (k connKey) address() string { return net.JoinHostPort(k.host, k.port) }

// serverName names for people whose certificate is wanted.
func (k connKey) serverName() string {
	if other := k.tls.ServerName; other != "" && other != k.host {
		return k.host + " as " + quoteBad(other, 256)
	}
	return k.host
}

// place names in short what the connections lead to.
func (k connKey) place() string {
	if k.host == "" {
		return "the proxy " + k.proxy.String()
	}
	return k.address()
}

func (k connKey) origin() string {
	switch {
	case k.proxy.direct():
		return k.scheme() + "://" + k.address() + k.way.suffix()
	case k.host == "":
		return "http://* via " + k.proxy.String()
	}
	return k.scheme() + "://" + k.address() + " via " + k.proxy.String() + k.way.suffix()
}

type entry = connpool.Entry[connKey, *conn]

// conn is one connection. It belongs to the pool or to one exchange.
type conn struct {
	sock  *sock.Conn
	rw    net.Conn             // sock, or TLS over it
	tls   *tls.Conn            // the uppermost TLS, if any, be it with the server or a proxy
	state *tls.ConnectionState // of TLS with the server
	facts *connFacts
	h2    *http2Conn // nil: HTTP/1.1
	held  *Conn      // whose it is for as long as it lives; nil: the pool's
	// cancel is sock.Cancel, made once. It is what the end of a context calls, so
	// that nothing of a response is held by a context.
	cancel func()
	user   user // by HTTP/1.1
}

// Capacity is one for HTTP/1.1, which answers one request at a time.
func (c *conn) Capacity() int {
	if c.h2 != nil {
		return c.h2.Capacity()
	}
	return 1
}

// goodbyeWait is how long a peer may take to take the few bytes of a close_notify.
const goodbyeWait = 50 * time.Millisecond

// close ends the connection. A polite close tells a TLS peer that nothing was cut
// off; it is for idle connections.
func (c *conn) close(polite bool) {
	if polite && c.tls != nil {
		c.sock.WriteBy(sock.Now() + goodbyeWait)
		c.tls.Close()
		return
	}
	c.sock.Close()
}

// probe looks whether an idle connection can be used.
func (c *conn) probe() sock.State {
	if c.tls != nil {
		return c.sock.ProbeThrough(c.tls)
	}
	return c.sock.Probe()
}

// unprobedIdle is how long a connection that cannot be asked may have been idle to
// carry a request that cannot be sent again.
const unprobedIdle = time.Second

// checkConn is connpool's Check.
func checkConn(c *conn, idle time.Duration, strict bool) (bool, connpool.Reason) {
	if c.h2 != nil { // somebody reads it all the time
		return c.h2.Usable(), connpool.ReasonPeerClosed
	}
	switch c.probe() {
	case sock.Quiet:
		return true, 0
	case sock.Gone:
		return false, connpool.ReasonPeerClosed
	case sock.Chatty:
		return false, connpool.ReasonUnexpected
	}
	if strict && idle > unprobedIdle {
		return false, connpool.ReasonUnverifiable
	}
	return true, 0
}

// checkTarget refuses hosts and ports that did not come from a URL parsed by this
// package, before any dialer or resolver sees them. To ask here and not for each
// request is enough, as they never have a connection that could be used again.
func checkTarget(name, port string) error {
	host, err := urls.CanonicalHost(name)
	if err != nil {
		return because(ErrInvalidURL, err)
	}
	if host != name {
		return because(ErrInvalidURL, fmt.Errorf("the host is not in its canonical form, which is %s", host))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return because(ErrInvalidURL, errors.New("the port is not a number up to 65535"))
	}
	return nil
}

// dialConn makes a connection by the way that its key says.
func dialConn(ctx context.Context, key connKey, logins *proxyLogins) (*conn, error) {
	if key.host != "" {
		if err := checkTarget(key.host, key.port); err != nil {
			return nil, err
		}
	}
	if !key.proxy.direct() {
		return dialThrough(ctx, key, logins)
	}
	c, err := openConn(ctx, key, key.address())
	if err != nil {
		return nil, connectError(ctx, err)
	}
	if key.https {
		if err := c.secure(ctx, key); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// openConn makes a plain connection to address, of the server or the proxy.
func openConn(ctx context.Context, key connKey, address string) (*conn, error) {
	c := &conn{facts: new(connFacts)}
	nc, err := key.connect(ctx, address, &c.facts.dial)
	if err != nil {
		return nil, err
	}
	c.facts.remote, c.facts.local = nc.RemoteAddr(), nc.LocalAddr()
	c.sock = sock.New(nc)
	c.rw = c.sock
	c.cancel = c.sock.Cancel
	return c, nil
}

// secure performs the TLS handshake with the server, over whatever leads to it.
func (c *conn) secure(ctx context.Context, key connKey) error {
	tc, err := dial.TLS(ctx, c.rw, key.tls, key.host, &c.facts.dial)
	if err != nil {
		return tlsError(ctx, key.serverName(), err)
	}
	state := tc.ConnectionState()
	c.tls, c.rw, c.state = tc, tc, &state
	return nil
}

// connectError gives a failure of the dialer its kind.
func connectError(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return because(ErrConnectTimeout, err)
		}
		return because(ErrConnect, err)
	}
	return dialEnded(ctx, err)
}

// dialEnded says why a dial was given up: its limit, or the end of the pool.
func dialEnded(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return because(ErrConnectTimeout, err)
	}
	return because(ErrClientClosed, err)
}

// tlsError gives the failure of a handshake with host its kind.
func tlsError(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return dialEnded(ctx, fmt.Errorf("TLS handshake: %w", err))
	}
	return because(ErrTLS, explainTLS(host, "WithRootCAs", err))
}
