package parley

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h2"
)

// HTTP2Mode says where HTTP/2 (RFC 9113) is spoken: see [WithHTTP2].
type HTTP2Mode uint8

const (
	// HTTP2Auto speaks HTTP/2 with https servers that choose it in the handshake
	// (ALPN, RFC 7301), else HTTP/1.1. It is the default.
	HTTP2Auto HTTP2Mode = iota
	// HTTP2Off speaks HTTP/1.1.
	HTTP2Off
	// HTTP2Required speaks nothing else: a server that does not choose it, and an http
	// URL, give ErrUnsupportedProtocol.
	HTTP2Required
	// H2C speaks HTTP/2 for http URLs without asking the server (RFC 9113, section 3.3).
	// For https URLs it is HTTP2Auto.
	H2C
)

var http2Modes = [...]string{"auto", "off", "required", "h2c"}

// String names the mode: "auto", "off", "required" or "h2c".
func (m HTTP2Mode) String() string {
	if int(m) < len(http2Modes) {
		return http2Modes[m]
	}
	return fmt.Sprintf("HTTP2Mode(%d)", uint8(m))
}

// WithHTTP2 says where HTTP/2 is spoken; the default is [HTTP2Auto]. Requests with
// different modes share no connection.
//
// One connection serves as many requests at once as the server allows; another one is
// opened, within [PoolLimits], when that is full. Requests to a server that is known to
// speak HTTP/2 wait for one handshake, and those to an unknown one for at most 250 ms.
//
// What HTTP/2 has no means for is sent by HTTP/1.1 under HTTP2Auto, and fails with
// ErrUnsupportedProtocol where HTTP/2 is demanded: a CONNECT, an Upgrade, a header order,
// and credentials by NTLM or Negotiate, which hold for a connection. So is everything in a
// program from which GODEBUG=http2client=0 or the build tag nethttpomithttp2 take HTTP/2.
func WithHTTP2(mode HTTP2Mode) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if int(mode) >= len(http2Modes) {
			return failed("WithHTTP2: there is no mode %d", uint8(mode))
		}
		c.conduct.http2 = http2Said(mode) + 1
		return nil
	})
}

// http2Said is a mode, plus one: zero is for what was not said.
type http2Said uint8

func (s http2Said) mode() HTTP2Mode {
	if s == 0 {
		return HTTP2Auto
	}
	return HTTP2Mode(s - 1)
}

// wireProtocol is what the connections of a key speak.
type wireProtocol uint8

const (
	protoHTTP1    wireProtocol = iota
	protoALPN                  // HTTP/2 if the server chooses it
	protoHTTP2                 // HTTP/2 chosen by the server
	protoPrior                 // HTTP/2 without having asked
	protoRefused               // nothing: the request cannot be sent as it is demanded
	protoVariants              // how many there are
)

var alpn = [protoVariants][]string{
	protoHTTP1: {"http/1.1"}, protoALPN: {"h2", "http/1.1"}, protoHTTP2: {"h2"}, protoPrior: {"http/1.1"}, protoRefused: {"http/1.1"},
}

// spoken is what Explain says of the protocol, where it is not the usual one.
func spoken(req *Request, proto wireProtocol) string {
	switch {
	case proto == protoRefused:
		return " by HTTP/2, which cannot be"
	case proto == protoHTTP2, proto == protoPrior:
		return " by HTTP/2"
	case proto == protoHTTP1 && req.URL.Scheme == "https":
		return " by HTTP/1.1"
	}
	return ""
}

// protocolOf says what a request's connection speaks.
func (p *Pool) protocolOf(req *Request, via route) wireProtocol {
	proto := wantedProtocol(req, via)
	switch {
	case proto == protoHTTP1, proto == protoRefused, !p.only1():
		return proto
	case proto == protoALPN:
		return protoHTTP1
	}
	return protoRefused
}

// wantedProtocol is that where there is HTTP/2.
func wantedProtocol(req *Request, via route) wireProtocol {
	mode := HTTP2Auto
	if req.conduct != nil {
		mode = req.conduct.http2.mode()
	}
	https := req.URL.Scheme == "https"
	switch {
	case mode == HTTP2Off, !https && mode == HTTP2Auto:
		return protoHTTP1
	case !https && (mode == HTTP2Required || via.forwards("http")):
		return protoRefused
	case needsHTTP1(req):
		if !https || mode == HTTP2Required {
			return protoRefused
		}
		return protoHTTP1
	case !https:
		return protoPrior
	case mode == HTTP2Required:
		return protoHTTP2
	}
	return protoALPN
}

// needsHTTP1 reports whether a request asks for what HTTP/2 cannot do.
func needsHTTP1(req *Request) bool {
	if req.Method == http.MethodConnect || len(req.HeaderOrder) > 0 {
		return true
	}
	if b := req.block; b != nil && b.encoded != nil && sameMap(b.header, req.Header) {
		return false // it would not have been encoded before
	}
	for name := range req.Header {
		if strings.EqualFold(name, "Upgrade") {
			return true
		}
	}
	return provesForConnection(req.Header)
}

// checkProtocol says why a request cannot be sent as it is demanded, nil if it can.
func (p *Pool) checkProtocol(req *Request, proto wireProtocol) error {
	if proto != protoRefused {
		return nil
	}
	mode := req.conduct.http2.mode()
	why := "an http URL has no handshake to choose HTTP/2 in: use WithHTTP2(H2C)"
	switch {
	case p.only1():
		why = "this program has no HTTP/2, because of GODEBUG=http2client=0 or the build tag nethttpomithttp2"
	case needsHTTP1(req):
		why = "a CONNECT, an Upgrade, a header order and credentials for a connection need HTTP/1.1"
	case mode == H2C:
		why = "a proxy that is asked for an http URL speaks HTTP/1.1"
	}
	return because(ErrUnsupportedProtocol, fmt.Errorf("WithHTTP2 (%v): %s", mode, why))
}

// downgrade gives the key for a request whose server wants HTTP/1.1 for it.
func (p *Pool) downgrade(key connKey, req *Request) connKey {
	key.proto = protoHTTP1
	if key.https {
		key.tls = p.tls.of(req.TLSConfig, req.security, protoHTTP1)
	}
	return key
}

// maxProtocols bounds of how many keys a pool remembers what their servers chose.
const maxProtocols = 1 << 14

// protocols remembers which servers chose HTTP/2.
type protocols struct {
	mu    sync.Mutex
	known map[connKey]bool
}

func (m *protocols) learn(key connKey, http2 bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxProtocols {
		m.known = make(map[connKey]bool)
	}
	m.known[key] = http2
}

// sharing is connpool's Sharing.
func (m *protocols) sharing(key connKey) connpool.Sharing {
	switch key.proto {
	case protoHTTP2, protoPrior:
		return connpool.ShareAlways
	case protoALPN:
	default:
		return connpool.ShareNever
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch http2, known := m.known[key]; {
	case !known:
		return connpool.ShareMaybe
	case http2:
		return connpool.ShareAlways
	}
	return connpool.ShareNever
}

// http2Conn is a connection that speaks HTTP/2.
type http2Conn struct {
	*h2.Conn
	entry   atomic.Pointer[entry] // nil until the pool has it
	carried atomic.Int64          // requests so far
	alarm   *alarm                // of its streams
	users   users
}

// dialConn is connpool's Dial.
func (p *Pool) dialConn(ctx context.Context, key connKey) (*conn, error) {
	c, err := dialConn(ctx, key, &p.logins)
	if err != nil {
		if key.proto == protoHTTP2 && refusesProtocols(err) {
			return nil, because(ErrUnsupportedProtocol, fmt.Errorf("%s does not speak HTTP/2, which WithHTTP2 requires: %w", key.place(), err))
		}
		return nil, err
	}
	chosen := c.state != nil && c.state.NegotiatedProtocol == "h2"
	switch key.proto {
	case protoALPN:
		p.protocols.learn(key, chosen)
	case protoHTTP2:
		if !chosen {
			c.close(true)
			return nil, because(ErrUnsupportedProtocol, fmt.Errorf("%s does not speak HTTP/2, which WithHTTP2 requires", key.place()))
		}
	case protoPrior:
		chosen = true
	}
	if !chosen {
		return c, nil
	}
	if err := p.beginHTTP2(ctx, c); err != nil {
		return nil, connectError(ctx, fmt.Errorf("HTTP/2: %w", err))
	}
	return c, nil
}

// beginHTTP2 makes a new connection one of HTTP/2.
func (p *Pool) beginHTTP2(ctx context.Context, c *conn) error {
	own := &http2Conn{alarm: &alarm{}}
	stop := context.AfterFunc(ctx, func() { c.close(false) })
	defer stop()
	var err error
	c.sock.Begin() // for as long as there is a connection
	c.sock.WriteWithin(p.patient)
	own.Conn, err = p.http2.Open(ctx, c.rw, func() { c.close(true) }, func() {
		if e := own.entry.Load(); e != nil {
			p.conns.Wake(e)
		}
	})
	c.h2 = own
	return err
}

// opened is connpool's Opened.
func (p *Pool) opened(e *entry) {
	if own := e.Conn.h2; own != nil {
		own.entry.Store(e)
	}
}

// grows is connpool's Growing.
func grows(c *conn) bool { return c.h2 != nil && c.h2.Growing() }

// provesForConnection reports whether the caller proves who he is by a scheme that holds
// for the connection rather than the request, so that the next one would be answered in
// his name (RFC 4559, section 6).
func provesForConnection(h http.Header) bool {
	for name, values := range h {
		if !strings.EqualFold(name, "Authorization") && !strings.EqualFold(name, proxyAuthorization) {
			continue
		}
		for _, v := range values {
			scheme, _, _ := strings.Cut(v, " ")
			if strings.EqualFold(scheme, "NTLM") || strings.EqualFold(scheme, "Negotiate") {
				return true
			}
		}
	}
	return false
}

// requestHeader gives the header of a request as HTTP/2 sends it: what is about the
// connection stays behind (RFC 9113, section 8.2.2).
func (x *exchange) requestHeader() http.Header {
	if x.buf.req.Block != nil {
		return x.req.block.http2
	}
	return http2Header(x.buf.req.Header)
}

// http2Header is h itself where there is nothing to change.
func http2Header(h http.Header) http.Header {
	own := h == nil
	if own {
		h = make(http.Header)
	}
	change := func() {
		if !own {
			h, own = h.Clone(), true
		}
	}
	if h["User-Agent"] == nil {
		change()
		h["User-Agent"] = []string{""} // which is how net/http is told to send none
	}
	for _, name := range notInHTTP2 {
		if h[name] != nil {
			change()
			delete(h, name)
		}
	}
	if v := h["Te"]; v != nil && !slices.Equal(v, []string{"trailers"}) {
		change()
		if delete(h, "Te"); httpguts.HeaderValuesContainsToken(v, "trailers") {
			h["Te"] = []string{"trailers"}
		}
	}
	return h
}

// notInHTTP2 are headers that HTTP/2 says otherwise, or not at all.
var notInHTTP2 = []string{
	"Connection", "Content-Length", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Trailer", "Transfer-Encoding",
}

// checkHead cleans the head of an answer, and says what is wrong with it.
func checkHead(hr *http.Response) error {
	if hr.StatusCode < 200 || hr.StatusCode > 999 {
		return because(ErrRemoteProtocol, fmt.Errorf("status %d", hr.StatusCode))
	}
	if err := cleanLines(hr.Header); err != nil {
		return err
	}
	if v := hr.Header["Content-Length"]; len(v) > 1 || len(v) == 1 && hr.ContentLength < 0 {
		return because(ErrRemoteProtocol, errors.New("Content-Length is not one length"))
	}
	return nil
}

// cleanLines drops what has no meaning in HTTP/2 of a head or of trailers, and limits the
// number of lines.
func cleanLines(h http.Header) error {
	lines := 0
	for name, v := range h {
		lines += len(v)
		if slices.Contains(ofConnection, name) {
			delete(h, name)
		}
	}
	if lines > MaxHeaderLines {
		return because(ErrRemoteProtocol, fmt.Errorf("more than %d header lines", MaxHeaderLines))
	}
	return nil
}
