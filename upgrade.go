package parley

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/sock"
)

// switched reports whether an answer ends HTTP on its connection, so that what
// follows it is no content (RFC 9110, sections 7.8 and 9.3.6).
func switched(method string, status int) bool {
	return status == http.StatusSwitchingProtocols || method == http.MethodConnect && status/100 == 2
}

// Conn gives the connection that a 101 or a CONNECT which succeeded handed over, with
// what had been read ahead of it. Context and timeouts of the call do not apply to it
// any more; it is the caller's, who closes it. It is the same stream as Body: use
// either. The addresses are nil, and setting a deadline fails with
// [os.ErrNoDeadline], where a foreign transport keeps them to itself.
//
// Every other response, also one to a request that asked for an upgrade in vain, is
// an error that matches ErrProtocol; its body can still be read.
func (r *Response) Conn() (net.Conn, error) {
	method := ""
	if r.Request != nil {
		method = r.Request.Method
	}
	if switched(method, r.StatusCode) {
		switch body := r.Body.(type) {
		case connBody:
			if c := body.netConn(); c != nil {
				return c, nil
			}
		case net.Conn:
			return body, nil
		}
		if w, ok := r.Body.(io.ReadWriteCloser); ok {
			return &foreignConn{ReadWriteCloser: w}, nil
		}
	}
	return nil, r.fail("upgrade", PhaseResponse, because(ErrProtocol, fmt.Errorf("a response %s is no upgrade", quoteBad(r.Status, 64))))
}

// connBody is a Body that may be a connection in some wrapping.
type connBody interface{ netConn() net.Conn }

// foreignConn is the writable body of somebody else's transport as a connection.
type foreignConn struct {
	io.ReadWriteCloser
	beneath net.Conn // for addresses and deadlines; nil: not known
}

func (c *foreignConn) LocalAddr() net.Addr {
	if c.beneath == nil {
		return nil
	}
	return c.beneath.LocalAddr()
}

func (c *foreignConn) RemoteAddr() net.Addr {
	if c.beneath == nil {
		return nil
	}
	return c.beneath.RemoteAddr()
}

func (c *foreignConn) SetDeadline(t time.Time) error {
	if c.beneath == nil {
		return os.ErrNoDeadline
	}
	return c.beneath.SetDeadline(t)
}

func (c *foreignConn) SetReadDeadline(t time.Time) error {
	if c.beneath == nil {
		return os.ErrNoDeadline
	}
	return c.beneath.SetReadDeadline(t)
}

func (c *foreignConn) SetWriteDeadline(t time.Time) error {
	if c.beneath == nil {
		return os.ErrNoDeadline
	}
	return c.beneath.SetWriteDeadline(t)
}

// hookedConn is a connection whose end is told to the body that it was.
type hookedConn struct {
	net.Conn
	body *hookedBody
}

func (c *hookedConn) Close() error { return c.body.Close() }

// netConn gives the connection beneath.
func (b *hookedBody) netConn() net.Conn {
	switch body := b.ReadCloser.(type) {
	case connBody:
		if c := body.netConn(); c != nil {
			return &hookedConn{c, b}
		}
	case net.Conn:
		return &hookedConn{body, b}
	}
	if w, ok := b.ReadCloser.(io.ReadWriteCloser); ok {
		return &hookedConn{&foreignConn{ReadWriteCloser: w}, b}
	}
	return nil
}

// upgraded is the Body after a 101 or a CONNECT that succeeded: the connection
// itself, with what was read ahead, and no limits.
type upgraded struct {
	net.Conn
	mu   sync.Mutex
	left []byte // read ahead
}

// upgrade takes the connection out of the pool and hands it to the response. From
// here on neither the context nor any timeout applies (RFC 9110, section 7.8); if one of
// them has ended the call at this very moment the exchange fails.
func (x *exchange) upgrade() *failure {
	c := x.conn()
	if x.stop != nil && !x.stop() {
		return &failure{reason: connpool.ReasonError, err: x.failIO(PhaseResponse, Answering, sock.ErrCancelled)}
	}
	b := x.buf
	ahead, _ := b.br.Peek(b.br.Buffered()) // that much is there
	u := &upgraded{Conn: c.rw, left: append([]byte(nil), ahead...)}
	x.ended = true
	clean := x.up == nil || x.up.finish(true)
	err := c.sock.Release()
	x.buf = nil
	b.free()
	if c.held != nil {
		c.held.over(errConnHanded)
	}
	x.pool.conns.Hijack(x.entry)
	x.resp.Body = u
	if err != nil || !clean {
		c.close(false) // reading and writing it fail from now on
	}
	return nil
}

func (u *upgraded) Read(p []byte) (int, error) {
	u.mu.Lock()
	if len(u.left) > 0 {
		n := copy(p, u.left)
		u.left = u.left[n:]
		u.mu.Unlock()
		return n, nil
	}
	u.mu.Unlock()
	return u.Conn.Read(p)
}
