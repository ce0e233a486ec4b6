package sock

import (
	"errors"
	"io"
	"net"
	"os"
)

// filesOf gives the way of a connection to send files without taking them through this
// process; nil if it has none. Only a plain TCP connection of package net has: what wraps
// one may have its reasons to see every byte.
func filesOf(nc net.Conn) io.ReaderFrom {
	if tcp, ok := nc.(*net.TCPConn); ok {
		return tcp
	}
	return nil
}

// maxFilePiece is the most of a file that is sent under one deadline. It may be more than
// that of a write, as whatever the peer takes in time renews the limit; package net
// allocates a little for each piece.
const maxFilePiece = 1 << 20

// SendsFiles reports whether [Conn.SendFile] can be used.
func (c *Conn) SendsFiles() bool { return c.files != nil }

// SendFile writes n bytes of f from where it stands, which moves on, in pieces, each under
// the write limit as Write's are. Where the system can it takes them straight from the
// file (sendfile and the like). It ends early and without an error where the file does.
func (c *Conn) SendFile(f *os.File, n int64) (sent int64, err error) {
	piece := &io.LimitedReader{R: f}
	k := int64(1) // a wait that got nowhere goes on under the limit that it has
	for sent < n {
		if k > 0 {
			if err := c.begin(&c.write); err != nil {
				return sent, err
			}
		}
		piece.N = min(n-sent, maxFilePiece)
		whole := piece.N
		k, err = c.files.ReadFrom(piece)
		sent += k
		c.written.Add(k)
		if err == nil {
			c.rest(&c.write)
			if k < whole {
				return sent, nil
			}
			continue
		}
		err = c.woken(&c.write, err)
		// A peer that took some of it in time has a limit anew for the rest.
		if err != nil && (k == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return sent, err
		}
	}
	return sent, nil
}
