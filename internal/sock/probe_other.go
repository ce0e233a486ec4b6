//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sock

import (
	"errors"
	"syscall"
)

const canPeek = false

type probe struct{}

func (*probe) init() {}

func (*probe) peek(syscall.RawConn) (int, bool, error) {
	return 0, false, errors.ErrUnsupported
}
