// Package memconn has connections within a process: two ends, with a bounded buffer for
// each direction, so that both may write before either reads.
package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Conn is one end of a connection. It is safe for concurrent use. What was written before
// an end was closed can still be read at the other.
type Conn struct {
	in, out       *half
	local, remote net.Addr
}

// Pipe makes a connection whose ends are at the addresses near and far. size is how many
// bytes each end may be ahead of the other's reads.
func Pipe(size int, near, far net.Addr) (a, b *Conn) {
	there, back := newHalf(size), newHalf(size)
	return &Conn{in: back, out: there, local: near, remote: far}, &Conn{in: there, out: back, local: far, remote: near}
}

// Read reads what the other end has written, and gives io.EOF once that has closed.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write gives the other end p, waiting for it to read. Once that has closed it fails with
// io.ErrClosedPipe.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite ends what the other end reads, and lets it go on writing.
func (c *Conn) CloseWrite() error {
	c.out.endWrites()
	return nil
}

// Close closes this end; reads and writes that wait fail with net.ErrClosed, as do later
// ones. It may be called again.
func (c *Conn) Close() error {
	c.out.endWrites()
	c.in.endReads()
	return nil
}

// LocalAddr is the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline has reads fail with os.ErrDeadlineExceeded from t on; zero is never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline has writes fail with os.ErrDeadlineExceeded from t on; zero is never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// half is one direction.
type half struct {
	size int

	mu              sync.Mutex
	changed         sync.Cond
	buf             []byte
	written, unread bool // the writer, the reader has ended it
	readBy, writeBy deadline
}

func newHalf(size int) *half {
	h := &half{size: size}
	h.changed.L = &h.mu
	return h
}

// deadline is when reads or writes fail. The timer only wakes those that wait.
type deadline struct {
	at    time.Time // zero: never
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (h *half) setDeadline(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 && !h.written && !h.unread {
		d.timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.unread:
			return 0, net.ErrClosed
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			if h.buf = h.buf[n:]; len(h.buf) == 0 {
				h.buf = nil
			}
			h.changed.Broadcast()
			return n, nil
		case h.written:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (total int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.written:
			return total, net.ErrClosed
		case h.unread:
			return total, io.ErrClosedPipe
		case h.writeBy.passed():
			return total, os.ErrDeadlineExceeded
		}
		if n := min(h.size-len(h.buf), len(p)); n > 0 {
			h.buf = append(h.buf, p[:n]...)
			p = p[n:]
			total += n
			h.changed.Broadcast()
		}
		if len(p) == 0 {
			return total, nil
		}
		h.changed.Wait()
	}
}

func (h *half) endWrites() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.written = true
	h.writeBy.stop()
	h.changed.Broadcast()
}

func (h *half) endReads() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unread = true
	h.buf = nil
	h.readBy.stop()
	h.writeBy.stop()
	h.changed.Broadcast()
}
