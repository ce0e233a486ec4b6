package parley

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/h1"
)

// ProxyError is an HTTP proxy's refusal to make a tunnel, beneath an ErrProxy: its answer
// to CONNECT was not a 2xx. Proxies that a tunnel is asked of for want of credentials
// answer 407.
type ProxyError struct {
	Proxy      string // its URL, without credentials
	Target     string // host and port that the tunnel was to lead to
	StatusCode int
	Status     string // as the proxy wrote it, such as "407 Proxy Authentication Required"
	Header     http.Header
	Body       []byte // the beginning of its explanation, at most 4 KiB, as far as it came at once
	advice     string
}

// Error names proxy, target and status, but nothing of header and body.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("%s refuses a tunnel to %s: %s%s", e.Proxy, e.Target, quoteBad(e.Status, 128), e.advice)
}

// Unwrap gives ErrProxy.
func (e *ProxyError) Unwrap() error { return ErrProxy }

// Format prints Error for all verbs.
func (e *ProxyError) Format(s fmt.State, verb rune) { printSafe(s, verb, e.Error()) }

// LogValue logs Error.
func (e *ProxyError) LogValue() slog.Value { return slog.StringValue(e.Error()) }

// ProxyHeader is a copy of the header with which an HTTP proxy granted the tunnel of the
// response's connection, be that new or one that had served before: some name there the
// address or session that they chose. It is nil where there was no CONNECT. What comes with
// a refusal is in [ProxyError].
func (r *Response) ProxyHeader() http.Header {
	if r.rec == nil || r.rec.facts == nil {
		return nil
	}
	return r.rec.facts.tunnel.Clone()
}

// dialThrough makes a connection that goes through a proxy, and answers the challenge of
// one that is asked for a tunnel. Each CONNECT has a connection of its own: after a
// refusal there is none that could lead anywhere.
func dialThrough(ctx context.Context, key connKey, logins *proxyLogins) (*conn, error) {
	hop := key.proxy.hop()
	var rounds *proxyRounds
	if key.https {
		rounds = logins.begin(key.proxy, hop)
	}
	for {
		login, err := rounds.sign(ctx, http.MethodConnect, key.target(), nil)
		if err != nil {
			return nil, because(ErrProxy, err)
		}
		c, err := dialHop(ctx, key, hop, rounds, login)
		var refused *ProxyError
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusProxyAuthRequired {
			if err == nil || refused != nil {
				rounds.taken()
			}
			return c, err
		}
		again, failed := rounds.again(refused.Header)
		switch {
		case failed != nil:
			return nil, because(ErrProxy, failed)
		case !again:
			return nil, err
		}
	}
}

// dialHop makes one connection through a proxy. login is what the proxy gets in place of
// its usual credentials; "" for these.
func dialHop(ctx context.Context, key connKey, hop hop, rounds *proxyRounds, login string) (*conn, error) {
	c, err := openConn(ctx, key, hop.address())
	if err != nil {
		if err = connectError(ctx, fmt.Errorf("proxy %v: %w", key.proxy, err)); errors.Is(err, ErrConnect) {
			err = because(ErrProxy, err)
		}
		return nil, err
	}
	// Whatever waits for the proxy or the server ends with the context.
	stop := context.AfterFunc(ctx, func() { c.sock.Close() })
	err = c.through(ctx, key, hop, rounds, login)
	if !stop() && err == nil {
		err = dialEnded(ctx, context.Cause(ctx))
	}
	if err != nil {
		c.sock.Close()
		return nil, err
	}
	return c, nil
}

// through does what has to be done on a connection to a proxy before a request.
func (c *conn) through(ctx context.Context, key connKey, hop hop, rounds *proxyRounds, login string) error {
	times := &c.facts.dial
	began, resolved := time.Now(), times.DNS
	if hop.scheme == "https" {
		var own dial.Times
		tc, err := dial.TLS(ctx, c.sock, key.proxyTLS, hop.host, &own)
		if err != nil {
			return proxyError(ctx, key, "TLS handshake", because(ErrTLS, explainTLS(hop.host, "WithProxyTLSConfig", err)))
		}
		c.tls, c.rw = tc, overTLS{tc, c.sock}
	}
	step, err := c.tunnel(ctx, key, hop, rounds, login)
	times.Connect += time.Since(began) - (times.DNS - resolved)
	if err != nil {
		return proxyError(ctx, key, step, err)
	}
	if !key.https {
		return nil
	}
	return c.secure(ctx, key)
}

// overTLS is TLS with a proxy beneath TLS with a server. The goodbye of the upper one
// tells that nothing was cut off, and after it the lower one can send none.
type overTLS struct {
	*tls.Conn
	beneath io.Closer
}

func (o overTLS) Close() error { return o.beneath.Close() }

// tunnel asks the proxy for a connection to the server, if it needs one, and names
// what it did.
func (c *conn) tunnel(ctx context.Context, key connKey, hop hop, rounds *proxyRounds, login string) (step string, err error) {
	switch {
	case hop.socks():
		target := key.target()
		if hop.scheme == "socks5" {
			if target, err = key.addressOf(ctx, target, &c.facts.dial); err != nil {
				return "name of the server", because(ErrConnect, err)
			}
		}
		var login *dial.Login
		if hop.login != (dial.Login{}) {
			login = &hop.login
		}
		return "SOCKS", dial.SOCKS5(c.rw, target, login)
	case key.https:
		head := h1.RequestHead{Method: http.MethodConnect, Target: key.target(), Host: key.target()}
		head.Header = http.Header{"User-Agent": {userAgent}}
		maps.Copy(head.Header, hop.header(login))
		header, err := dial.Connect(c.rw, &head, headLimits)
		if err == nil {
			c.facts.tunnel = header
			err = rounds.informed(header)
		}
		return "CONNECT", connectFailed(key, hop, err)
	}
	return "", nil
}

// connectFailed gives a failure of CONNECT its kind.
func connectFailed(key connKey, hop hop, err error) error {
	var refused *dial.Refused
	var malformed *h1.ParseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		e := &ProxyError{
			Proxy: key.proxy.String(), Target: key.target(),
			StatusCode: refused.StatusCode, Status: refused.Status, Header: refused.Header, Body: refused.Body,
		}
		if e.StatusCode == http.StatusProxyAuthRequired {
			e.advice = "; it does not accept user and password of its URL"
			if hop.basic == "" && hop.login == (dial.Login{}) {
				e.advice = "; give user and password in its URL"
			}
		}
		return e
	case errors.As(err, &malformed), errors.Is(err, dial.ErrSurplus):
		return because(ErrRemoteProtocol, err)
	}
	return err
}

// proxyError gives the failure of one step on the way through a proxy its kind.
func proxyError(ctx context.Context, key connKey, step string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = because(ErrPeerClosed, io.ErrUnexpectedEOF)
	}
	if refused := (*ProxyError)(nil); errors.As(err, &refused) {
		return because(ErrProxy, refused)
	}
	err = fmt.Errorf("%s with %v: %w", step, key.proxy, orClosed(err))
	if ctx.Err() != nil {
		return dialEnded(ctx, err)
	}
	return because(ErrProxy, err)
}

// target is the server's address as a proxy is told it: a zone is known here alone.
func (k connKey) target() string {
	host := k.host
	for i := range len(host) {
		if host[i] == '%' {
			host = host[:i]
			break
		}
	}
	return net.JoinHostPort(host, k.port)
}
