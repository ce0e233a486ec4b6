//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import "syscall"

const canPeek = true

// probe holds what a peek needs, so that none allocates.
type probe struct {
	control func(fd uintptr)
	buf     [1]byte
	n       int
	err     error
}

// RawConn.Control is used and not RawConn.Read, as the latter never calls its
// function once an old deadline has passed.
func (p *probe) init() {
	p.control = func(fd uintptr) {
		for {
			p.n, _, p.err = syscall.Recvfrom(int(fd), p.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if p.err != syscall.EINTR {
				return
			}
		}
	}
}

// peek looks at the next byte. ok is false when there is none yet; n is 0 at the
// end of the stream.
func (p *probe) peek(raw syscall.RawConn) (n int, ok bool, err error) {
	if err := raw.Control(p.control); err != nil {
		return 0, false, err
	}
	switch p.err {
	case nil:
		return p.n, true, nil
	case syscall.EAGAIN:
		return 0, false, nil
	default:
		return 0, false, p.err
	}
}
