//go:build !linux

package peer

import (
	"errors"
	"os"
	"syscall"
)

// owner says by negative numbers that the folder stays whose it is.
func owner() (uid, gid int) { return -1, -1 }

func attributes() *syscall.SysProcAttr { return nil }

func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }

func killGroup(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
