package peer

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsLeftOfAProgram starts one that takes no notice of being asked to end
// and has a child.
func TestNothingIsLeftOfAProgram(t *testing.T) {
	p, err := start("/bin/sh", Program{Args: []string{"-c", `
		sleep 1000 &
		echo $! > pids
		trap 'echo asked >> pids' TERM
		while :; do sleep 0.1; done`}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(p.Dir())) })
	require.Eventually(t, func() bool { return len(p.Lines(t, "pids")) == 1 }, 10*time.Second, 5*time.Millisecond)
	child := p.Lines(t, "pids")[0]
	require.True(t, alive(t, child))

	info, err := os.Stat(filepath.Join(p.Dir(), "pids"))
	require.NoError(t, err)
	uid, _ := owner()
	require.Equal(t, uid, uidOf(info), "root is not the one who runs it")

	require.NoError(t, p.stop(300*time.Millisecond))
	require.Eventually(t, func() bool { return !alive(t, child) }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, p.Lines(t, "pids"), "asked")
}

// alive reports whether a process runs; one that has ended may still wait to be
// collected.
func alive(t *testing.T, pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func uidOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
