//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package partial

import (
	"os"
	"syscall"
)

// lock takes a file for whoever has it open, until it is closed, also by the end of the
// process. It reports whether that could be had.
func lock(f *os.File) bool { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) }

// unlock gives it back. Closing it does not while a process that is about to become
// another program has a copy of the descriptor.
func unlock(f *os.File) { flock(f, syscall.LOCK_UN) }

func flock(f *os.File, how int) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), how) })
	return err == nil && failed == nil
}
