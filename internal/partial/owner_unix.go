//go:build unix

package partial

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// owned reports whether a file is the user's own, has one name, and nobody else has access
// to it.
func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Uid) == int64(os.Geteuid()) && stat.Nlink == 1 && info.Mode().Perm()&0o077 == 0
}

// unsynced reports whether err says that directories cannot be synchronised here.
func unsynced(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
