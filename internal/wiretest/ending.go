package wiretest

import (
	"crypto/tls"
	"io"
	"net"
)

// Rest reads and records what comes until the peer closes the connection or the
// server ends.
func (c *Conn) Rest() {
	_, _ = io.Copy(io.Discard, c.Reader) // how it ends makes no difference
}

// Cut closes the connection beneath TLS, without a close_notify; without TLS it is
// an orderly close.
func (c *Conn) Cut() { _ = c.beneath().Close() }

// Reset closes the connection so that the peer sees a reset.
func (c *Conn) Reset() {
	nc := c.beneath()
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // failing, the peer sees an orderly end, which the test would show
	}
	_ = nc.Close()
}

// beneath gives the connection under TLS.
func (c *Conn) beneath() net.Conn {
	if tc, ok := c.Conn.(*tls.Conn); ok {
		return tc.NetConn()
	}
	return c.Conn
}
