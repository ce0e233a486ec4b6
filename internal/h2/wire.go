package h2

import (
	"crypto/tls"
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

	total int // streams when it was last looked
	first [frameHeader]byte
	got   int64
}

// frameHeader is the length of a frame's header, which begins with 24 bits for the length
// of what follows (RFC 9113, section 4.1).
const frameHeader = 9

// hadSettings reports whether the first frame has come, which is that of the settings
// (RFC 9113, section 3.4).
func (e *ear) hadSettings() bool {
	length := int64(e.first[0])<<16 | int64(e.first[1])<<8 | int64(e.first[2])
	return e.got >= frameHeader+length
}

func (e *ear) read(p []byte) (int, error) {
	if e.got > 0 {
		e.turn()
	}
	n, err := e.nc.Read(p)
	if n > 0 {
		if e.got < frameHeader {
			copy(e.first[e.got:], p[:n])
		}
		e.got += int64(n)
		e.c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// turn is called when all that came has been dealt with.
func (e *ear) turn() {
	c := e.c
	grew := !c.settled.Load() && e.hadSettings()
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
