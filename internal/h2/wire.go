package h2

import (
	"crypto/tls"
	"io"
	"net"
	"time"
)

// newWire gives nc as net/http is to use it.
//
// Each stream is written by a goroutine of its own that has just been started, and whose
// stack TLS fills but for some bytes: one more call on the way, even one that the compiler
// makes for an embedded interface, and the stack of each has to grow, which takes 2 us and
// more. A method of an embedded *tls.Conn is jumped to.
func newWire(nc net.Conn, e *ear) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return &secureWire{t, e}
	}
	return &plainWire{nc, e}
}

type secureWire struct {
	*tls.Conn
	ear *ear
}

func (w *secureWire) Read(p []byte) (int, error) { return w.ear.read(p) }
func (w *secureWire) Close() error               { return w.ear.close() }

type plainWire struct {
	net.Conn
	ear *ear
}

func (w *plainWire) Read(p []byte) (int, error) { return w.ear.read(p) }
func (w *plainWire) Close() error               { return w.ear.close() }

// ear hears what comes on a connection. But for close it is the reader's.
type ear struct {
	nc  net.Conn
	end func() // closes nc
	c   *Conn

	total  int // streams when it was last looked
	frames frames
}

func newEar(t *Transport, nc net.Conn, end func(), c *Conn) *ear {
	return &ear{nc: nc, end: end, c: c, frames: frames{max: t.maxFrame, windows: newWindows(c)}}
}

// read gives net/http what came, except for the frames that are kept from it.
func (e *ear) read(p []byte) (int, error) {
	if e.frames.begun {
		e.turn()
	}
	if len(p) < len(e.frames.part) {
		return 0, io.ErrShortBuffer // a bufio.Reader has more
	}
	for {
		held := e.frames.resume(p)
		n, err := e.nc.Read(p[held:])
		if err != nil && n == 0 {
			return held, err
		}
		now := time.Now()
		e.c.heard.Store(now.UnixNano())
		kept, bad := e.frames.pass(p[:held+n], e.c, now)
		if bad != nil {
			return 0, bad
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}

// turn is called when all that came has been dealt with.
func (e *ear) turn() {
	c := e.c
	grew := !c.settled.Load() && e.frames.settled
	if grew {
		c.settled.Store(true)
		c.changed()
		c.grown.Store(true) // who finds no room now need not wait; below it is told again
	}
	cc := c.cc.Load()
	if cc == nil {
		return // nobody has the connection yet
	}
	free := cc.Available()
	total := free + cc.InFlight()
	grew = grew || total > e.total || free > 0 && c.full.Load() && c.full.Swap(false)
	e.total = total
	if grew || total == 0 {
		c.changed()
	}
}

// close is called for whatever reason the connection ends.
func (e *ear) close() error {
	e.end()
	if !e.c.closed.Swap(true) {
		e.c.changed()
	}
	return nil
}
