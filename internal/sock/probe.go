package sock

import (
	"io"
	"net"
	"time"
)

// probeWait bounds a read of bytes that are known to be there.
const probeWait = 50 * time.Millisecond

// nothingYet is what a read gives in probe mode when no byte waits. It is a
// temporary net.Error, after which a tls.Conn is as whole as before.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

var errNothingYet net.Error = nothingYet{}

// State is what an idle connection is found in.
type State uint8

const (
	Quiet   State = iota // open, and nothing to read
	Chatty               // bytes nobody asked for
	Gone                 // closed by the peer, or broken
	Unknown              // the connection cannot be asked
)

// Probe looks, without waiting, whether an idle plain connection is still open.
// Only the owner may call it.
func (c *Conn) Probe() State {
	if c.raw == nil {
		return Unknown
	}
	n, ok, err := c.probe.peek(c.raw)
	switch {
	case err != nil:
		return Gone
	case !ok:
		return Quiet
	case n == 0:
		return Gone
	default:
		return Chatty
	}
}

// ProbeThrough does the same for a connection with a layer above it, such as a
// *tls.Conn, by a read of one byte of the layer: session tickets are taken in, a
// close_notify shows as the end, and the layer stays usable.
func (c *Conn) ProbeThrough(layer io.Reader) State {
	if c.raw == nil {
		return Unknown
	}
	// A deadline of an earlier loan may have passed. What is there can be read at
	// once, and a connection that does not give it then is no good.
	c.ReadWithin(probeWait)
	c.probing = true
	n, err := layer.Read(c.one[:])
	c.probing = false
	c.ReadWithin(0)
	switch {
	case n > 0:
		return Chatty
	case err == errNothingYet:
		return Quiet
	default:
		return Gone
	}
}

// readable reports whether a read would find bytes, the end or an error.
func (c *Conn) readable() bool {
	_, ok, err := c.probe.peek(c.raw)
	return ok || err != nil
}
