package parley

import (
	"io"
	"net/http"
	"sync"
)

// switched reports whether an answer ends HTTP on its connection, so that what
// follows it is no content (RFC 9110, sections 7.8 and 9.3.6).
func switched(method string, status int) bool {
	return status == http.StatusSwitchingProtocols || method == http.MethodConnect && status/100 == 2
}

// upgraded is the Body after a 101 or a CONNECT that succeeded: the connection
// itself, with what was read ahead, and no limits.
type upgraded struct {
	c    *conn
	mu   sync.Mutex
	left []byte // read ahead
}

// upgrade takes the connection out of the pool and hands it to the response. From
// here on neither the context nor any timeout applies (RFC 9110, section 7.8).
func (x *exchange) upgrade() {
	c := x.conn()
	b := x.buf
	ahead, _ := b.br.Peek(b.br.Buffered()) // that much is there
	u := &upgraded{c: c, left: append([]byte(nil), ahead...)}
	x.ended = true
	clean := x.stop == nil || x.stop()
	if x.up != nil && !x.up.finish(true) {
		clean = false
	}
	err := c.sock.Release()
	x.buf = nil
	b.free()
	x.pool.conns.Hijack(x.entry)
	x.resp.Body = u
	if err != nil || !clean {
		c.close(false) // reading and writing it fail from now on
	}
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
	return u.c.rw.Read(p)
}

func (u *upgraded) Write(p []byte) (int, error) { return u.c.rw.Write(p) }

// Close closes the connection.
func (u *upgraded) Close() error { return u.c.rw.Close() }

var _ io.ReadWriteCloser = (*upgraded)(nil)
