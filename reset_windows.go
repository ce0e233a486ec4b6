package parley

import "syscall"

// resets are what a connection fails with that the peer has reset: WSAECONNABORTED
// and WSAECONNRESET.
var resets = []error{syscall.Errno(10053), syscall.WSAECONNRESET}
