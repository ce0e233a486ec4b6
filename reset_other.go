//go:build !windows

package parley

import "syscall"

// resets are what a connection fails with that the peer has reset.
var resets = []error{syscall.ECONNRESET, syscall.EPIPE}
