// Package h2 is a thin bridge to the HTTP/2 of net/http: one [http.ClientConn] over a
// connection that somebody else has dialled, with what a pool wants to know of it.
//
// The pool stays the caller's: how many streams a connection takes at this moment is
// told by [Conn.Capacity], that this has changed by a function which is called with no
// lock held (golang/go#80680 is what comes of locks).
package h2

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"
)

// Config says how connections behave. The zero value of a field means no such limit.
type Config struct {
	PingAfter   time.Duration // how long nothing may come before the peer is asked whether it is alive
	PingTimeout time.Duration // how long it has for the answer; zero means 15 s
	HeaderBytes int64         // of a response's head, as RFC 9113, section 6.5.2 counts them

	// Of these zero means what net/http takes.
	StreamWindow     int // bytes that the peer may send on a stream before they are read
	ConnWindow       int // the same of all streams together, at least twice that of RFC 9113
	MaxFrameSize     int // bytes of a frame that the peer may send
	HeaderTableSize  int // bytes of the peer's compression of headers
	RequestTableSize int // the same of this side's
}

// Transport opens connections. It holds none itself.
type Transport struct {
	t        *http.Transport
	maxFrame int
}

// connKey is the key of a context's value: the connection that is to be used.
type connKey struct{}

var errNoConn = errors.New("h2: connections are opened by Open")

// New makes a Transport. It starts nothing.
func New(cfg Config) *Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &Transport{maxFrame: cmp.Or(cfg.MaxFrameSize, defaultMaxFrame), t: &http.Transport{
		// Anything but a *tls.Conn is taken as it is, hence TLS is done already.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if nc, ok := ctx.Value(connKey{}).(net.Conn); ok {
				return nc, nil
			}
			return nil, errNoConn
		},
		Protocols:              protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: max(cfg.HeaderBytes-headerPad, 0),
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     cfg.StreamWindow,
			MaxReceiveBufferPerConnection: max(cfg.ConnWindow-initialWindow, 0), // which comes on top
			MaxReadFrameSize:              cfg.MaxFrameSize,
			MaxDecoderHeaderTableSize:     cfg.HeaderTableSize,
			MaxEncoderHeaderTableSize:     cfg.RequestTableSize,

			SendPingTimeout: cfg.PingAfter,
			PingTimeout:     cfg.PingTimeout,
		},
	}}
}

// headerPad is what net/http adds to a limit of headers, which it takes for one that
// counts them as HTTP/1.1 does.
const headerPad = 10 * 32

// initialWindow is the window of each connection and stream before anything is said of it
// (RFC 9113, section 6.9.2).
const initialWindow = 1<<16 - 1

// Available reports whether there is HTTP/2 at all: GODEBUG=http2client=0 and the build
// tag nethttpomithttp2 take it out of net/http.
func (t *Transport) Available() bool {
	nc, peer := net.Pipe()
	peer.Close()
	// HTTP/2 begins with writing, and fails here. Without it nothing is written.
	cc, err := t.t.NewClientConn(context.WithValue(context.Background(), connKey{}, nc), "http", "h2.invalid:80")
	if err == nil {
		cc.Close()
	}
	nc.Close()
	return errors.Is(err, io.ErrClosedPipe)
}

// Open begins HTTP/2 on nc (RFC 9113, section 3.4). It does not wait for the peer's
// settings. How long a write may take is for nc to know; end is what closes it. changed
// is called, on a goroutine of the connection's and with no lock held, when it may take
// more streams than it did, and when it takes none any more. On failure nc is closed.
func (t *Transport) Open(ctx context.Context, nc net.Conn, end, changed func()) (*Conn, error) {
	c := &Conn{changed: changed}
	// What the context is told about was told already, and nothing is dialled here.
	ctx = context.WithValue(context.WithoutCancel(withoutTrace{ctx}), connKey{}, newWire(nc, newEar(t, nc, end, c)))
	cc, err := t.t.NewClientConn(ctx, "http", "h2.invalid:80")
	if err != nil {
		end()
		return nil, err
	}
	c.cc.Store(cc)
	return c, nil
}

// withoutTrace is a context without values, such as a trace of net/http/httptrace.
type withoutTrace struct{ context.Context }

func (withoutTrace) Value(any) any { return nil }

// Conn is one connection. It is safe for concurrent use.
type Conn struct {
	cc      atomic.Pointer[http.ClientConn] // nil while Open runs
	changed func()

	active  atomic.Int64 // calls of RoundTrip whose Done is still to come
	calls   atomic.Int64 // of RoundTrip
	bodies  atomic.Int64 // bytes of requests that were read to be sent
	settled atomic.Bool  // the peer's first settings hold
	grown   atomic.Bool  // and changed has been called since
	closed  atomic.Bool
	full    atomic.Bool // found without room by Capacity
	looking atomic.Bool // see look
	heard   atomic.Int64
}

// Capacity is how many streams the connection can carry at this moment, those that it
// carries included; 0 if it takes none any more. Until the peer has said how many it
// allows that is one. It takes a lock for a moment, and calls nobody.
func (c *Conn) Capacity() int {
	cc := c.cc.Load()
	if c.closed.Load() || cc == nil {
		return 0
	}
	free := cc.Available()
	if free == 0 {
		c.full.Store(true)
		known := cc.InFlight()
		if known == 0 {
			return 0
		}
		if known > int(c.active.Load()) {
			c.look(forgetting)
		}
	}
	if !c.settled.Load() {
		return 1
	}
	// A stream that was given up counts until the peer shows a sign of life, so that
	// there may be no room although few are carried.
	return max(1, free+int(c.active.Load()))
}

// forgetting is how long net/http usually needs to forget a stream at most.
const forgetting = 5 * time.Millisecond

// look sees after a while whether there is room. Where net/http forgets a stream after its
// caller has done with it, and the peer has nothing to say, nobody else would tell.
func (c *Conn) look(after time.Duration) {
	if c.looking.Swap(true) {
		return
	}
	time.AfterFunc(after, func() {
		c.looking.Store(false)
		cc := c.cc.Load()
		switch {
		case c.closed.Load() || !c.full.Load():
		case cc.Available() == 0:
			if cc.InFlight() > int(c.active.Load()) {
				c.look(min(2*after, time.Second))
			}
		case c.full.Swap(false):
			c.changed()
		}
	})
}

// Growing reports whether the peer has yet to say how many streams it allows, or those
// who wait for that have yet to be told.
func (c *Conn) Growing() bool { return !c.grown.Load() && !c.closed.Load() }

// Usable reports whether the connection takes another stream, now or when there is room.
func (c *Conn) Usable() bool { return c.Capacity() > 0 && c.cc.Load().Err() == nil }

// Heard is when the peer was last heard of, as nanoseconds since 1970.
func (c *Conn) Heard() int64 { return c.heard.Load() }

// RoundTrip sends a request and waits for the head of its answer. Where more streams are
// asked for than the peer allows it waits for its turn. Done has to be called for each
// call, whatever came of it: once the body of the response is closed. A body of req is
// replaced by one that is counted.
func (c *Conn) RoundTrip(req *http.Request) (*http.Response, error) {
	cc := c.cc.Load()
	err := cc.Reserve()
	c.active.Add(1) // only now: a stream must not count as room for another
	c.calls.Add(1)
	if err != nil && !c.Usable() {
		return nil, errUnusable
	}
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = counted{req.Body, c}
	}
	return cc.RoundTrip(req)
}

// counted is the body of a request of which the bytes are counted.
type counted struct {
	io.ReadCloser
	c *Conn
}

func (b counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.bodies.Add(int64(n))
	return n, err
}

// Done says that the stream of one RoundTrip has ended.
func (c *Conn) Done() { c.active.Add(-1) }

// Close ends the connection with all its streams. It may be called again.
func (c *Conn) Close() {
	c.cc.Load().Close() // it always gives nil
}

// Bodiless reports whether the stream of a response had ended with its head.
func Bodiless(resp *http.Response) bool {
	// What stands for no body has no state, and the body of a stream has.
	return resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength <= 0 && reflect.TypeOf(resp.Body).Size() == 0
}
