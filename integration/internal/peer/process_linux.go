package peer

import (
	"errors"
	"os"
	"syscall"
)

// nobody is the user and group without rights of its own, by Linux's custom.
const nobody = 65534

// owner tells whose the program's folder is to be.
func owner() (uid, gid int) {
	if os.Geteuid() == 0 {
		return nobody, nobody
	}
	return os.Geteuid(), os.Getegid()
}

// attributes puts the program into a group of its own, so that its children can be
// ended with it, and ends it if the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attr
}

func interrupt(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// killGroup ends what is left of the group.
func killGroup(pid int) error {
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
