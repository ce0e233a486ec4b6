//go:build unix

package parley_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Not in parallel: the umask is the whole program's.
func TestS051_filesAreTheOwnersAlone(t *testing.T) {
	for _, umask := range []int{0, 0o777} {
		before := syscall.Umask(umask)
		t.Cleanup(func() { syscall.Umask(before) })
		for name, format := range cookieFormats {
			dir := t.TempDir()
			require.NoError(t, os.Chmod(dir, 0o700))
			path := filepath.Join(dir, "jar")
			mode := func() os.FileMode {
				info, err := os.Stat(path)
				require.NoError(t, err)
				return info.Mode().Perm()
			}
			require.NoError(t, format.save(filled(t), path), name)
			require.Equal(t, os.FileMode(0o600), mode(), name)
			require.NoError(t, os.Chmod(path, 0o644))
			require.NoError(t, format.save(filled(t), path), name)
			require.Equal(t, os.FileMode(0o600), mode(), "%s, written again", name)
		}
		syscall.Umask(before)
	}
}
