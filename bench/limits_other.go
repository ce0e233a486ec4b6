//go:build !(linux || darwin)

package main

import (
	"errors"
	"time"
)

// cpuTime fails: the figures that matter most cannot be measured here.
func cpuTime() (time.Duration, error) {
	return 0, errors.New("the CPU time of a process is only measured on Linux and macOS")
}

// needFiles has nothing to do where descriptors are not limited by getrlimit.
func needFiles(uint64) error { return nil }
