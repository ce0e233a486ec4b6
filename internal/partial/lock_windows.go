package partial

import (
	"os"
	"syscall"
	"unsafe"
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// lock takes a file for whoever has it open, until it is closed, also by the end of the
// process. It reports whether that could be had. What is locked is a byte far behind all
// content, as others may not read what is.
func lock(f *os.File) bool {
	const failImmediately, exclusive = 1, 2
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	at := syscall.Overlapped{Offset: 0xfffffffe, OffsetHigh: 0x7fffffff}
	var ok uintptr
	err = raw.Control(func(fd uintptr) {
		ok, _, _ = lockFileEx.Call(fd, failImmediately|exclusive, 0, 1, 0, uintptr(unsafe.Pointer(&at)))
	})
	return err == nil && ok != 0
}

// unlock leaves it to closing the file.
func unlock(*os.File) {}
