//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package partial

import (
	"os"
	"syscall"
)

// lock takes a file for whoever has it open, until it is closed, also by the end of the
// process. It reports whether that could be had.
func lock(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	return err == nil && failed == nil
}
