// Package toxic is a proxy for TCP that does to connections what bad networks do:
// delays, narrow lines, pieces of odd sizes, resets, ends in the middle, silence, and
// nobody there at all. What it does at random follows from a seed.
//
// All of it holds for connections that are open already, and ends with the proxy.
package toxic

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Toxics are what happens to the bytes of one direction. The zero value passes them on.
// The chances are those of each piece that arrives, from 0 to 1.
type Toxics struct {
	Latency time.Duration // for which each piece is held back
	Jitter  time.Duration // by which that is longer at most
	Rate    int           // bytes a second; 0: no limit
	Slice   int           // bytes that are passed on together at most; 0: as they came
	Reset   float64       // the piece is lost, and the connection is reset
	Cut     float64       // a part of the piece is passed on, then the connection ends
	Silence float64       // nothing is passed on any more, while the connection stays open
}

// Weather is what happens in both directions.
type Weather struct {
	Name     string
	Up, Down Toxics // to the server, and from it
	Out      bool   // nobody is there: open connections are reset, new ones refused
}

// Proxy is the proxy. It is safe for concurrent use.
type Proxy struct {
	upstream string
	seed     uint64
	listener net.Listener
	nobody   net.Conn // holds a port at which nobody listens
	weather  atomic.Pointer[Weather]
	tasks    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	count  uint64 // of connections so far
	links  map[*link]struct{}
}

// New starts a proxy before the TCP address upstream. [Proxy.Close] ends it.
func New(upstream string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	nobody, err := net.Dial("tcp", upstream)
	if err != nil {
		l.Close()
		return nil, err
	}
	p := &Proxy{upstream: upstream, seed: seed, listener: l, nobody: nobody, links: make(map[*link]struct{})}
	p.weather.Store(&Weather{})
	p.tasks.Go(p.accept)
	return p, nil
}

// DialContext connects to the proxy, whatever the address is, or finds nobody there if
// the weather is so.
func (p *Proxy) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	to := p.listener.Addr()
	if p.weather.Load().Out {
		to = p.nobody.LocalAddr()
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.String())
}

// Set changes the weather.
func (p *Proxy) Set(w Weather) {
	p.weather.Store(&w)
	if !w.Out {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(true)
	}
}

// Open tells how many connections are passed on.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close ends the proxy and all its connections, and returns when nothing is left of them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.end(true)
	}
	p.mu.Unlock()
	err := errors.Join(p.listener.Close(), p.nobody.Close())
	p.tasks.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed: nothing else ends a listener on loopback
		}
		p.tasks.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve passes a connection on until it ends.
func (p *Proxy) serve(client *net.TCPConn) {
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, client: client, server: server.(*net.TCPConn), ended: make(chan struct{})}
	number, ok := p.add(l)
	if !ok {
		l.end(true)
		return
	}
	up := pump{l, l.client, l.server, func(w *Weather) *Toxics { return &w.Up }, rand.New(rand.NewPCG(p.seed, 2*number))}
	down := pump{l, l.server, l.client, func(w *Weather) *Toxics { return &w.Down }, rand.New(rand.NewPCG(p.seed, 2*number+1))}
	var both sync.WaitGroup
	both.Go(up.run)
	both.Go(down.run)
	both.Wait()
	l.end(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// add keeps account of a connection, and tells whether it may go on.
func (p *Proxy) add(l *link) (number uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.weather.Load().Out {
		return 0, false
	}
	p.links[l] = struct{}{}
	p.count++
	return p.count, true
}

// link is a connection on both sides of the proxy.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	once           sync.Once
	ended          chan struct{}
}

// end ends it on both sides, if it has not ended. It does not wait.
func (l *link) end(abruptly bool) {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			if abruptly {
				reset(c)
			} else {
				c.Close()
			}
		}
	})
}

// reset closes a connection so that its peer hears of it by a reset.
func reset(c *net.TCPConn) {
	c.SetLinger(0) // fails only where the connection has gone already
	c.Close()
}

// rest waits, and reports whether the connection is still there.
func (l *link) rest(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ended:
		return false
	}
}

// maxPiece is how many bytes are read at once.
const maxPiece = 16 << 10

// pump passes the bytes of one direction on.
type pump struct {
	link     *link
	from, to *net.TCPConn
	toxics   func(*Weather) *Toxics
	rand     *rand.Rand
}

// run passes on until one side ends. Where the sender has said all, the other direction
// goes on.
func (p *pump) run() {
	piece := make([]byte, maxPiece)
	silent := false
	for {
		n, err := p.from.Read(piece)
		t := p.toxics(p.link.proxy.weather.Load())
		switch silent = silent || n > 0 && p.happens(t.Silence); {
		case n == 0 || silent:
		case p.happens(t.Reset):
			p.link.end(true)
			return
		case p.happens(t.Cut):
			p.to.Write(piece[:p.rand.IntN(n)]) // whether it arrives or not, this is the end
			p.link.end(false)
			return
		case !p.pass(piece[:n], t):
			p.link.end(true)
			return
		}
		switch {
		case err == nil:
			continue
		case err != io.EOF || silent || p.to.CloseWrite() != nil:
			p.link.end(true)
		}
		return
	}
}

// happens is true by a chance.
func (p *pump) happens(chance float64) bool { return chance > 0 && p.rand.Float64() < chance }

// pass writes a piece as slowly as it has to be.
func (p *pump) pass(piece []byte, t *Toxics) bool {
	delay := t.Latency
	if t.Jitter > 0 {
		delay += time.Duration(p.rand.Int64N(int64(t.Jitter)))
	}
	if !p.link.rest(delay) {
		return false
	}
	for len(piece) > 0 {
		n := len(piece)
		if t.Slice > 0 {
			n = min(n, 1+p.rand.IntN(t.Slice))
		}
		if t.Rate > 0 {
			n = min(n, max(t.Rate/100, 1)) // a hundred times a second, so that others see an even line
			if !p.link.rest(time.Duration(n) * time.Second / time.Duration(t.Rate)) {
				return false
			}
		}
		if _, err := p.to.Write(piece[:n]); err != nil {
			return false
		}
		piece = piece[n:]
	}
	return true
}
