package parley

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFollow_filesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, below := filepath.Join(dir, "one"), filepath.Join(dir, "below")
	require.NoError(t, os.Mkdir(below, 0o700))
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(one, "1")
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		f, err := follow([]string{one, below}, func() (string, error) {
			reads++
			text, err := os.ReadFile(one)
			entries, _ := os.ReadDir(below)
			for _, e := range entries {
				text = append(text, e.Name()...)
			}
			if strings.Contains(string(text), "broken") {
				return "", errors.New("it is broken")
			}
			return string(text), err
		})
		require.NoError(t, err)
		for _, step := range []struct {
			rule  string
			act   func()
			wait  time.Duration
			value string
			reads int
			stale string
		}{
			{"nothing changes", func() {}, time.Minute, "1", 1, ""},
			{"a change is seen", func() { write(one, "22") }, followInterval, "22", 2, ""},
			{"but not before its time", func() { write(one, "333") }, followInterval - 1, "22", 2, ""},
			{"then it is", func() {}, 1, "333", 3, ""},
			{"what is new in a directory is a change", func() { write(filepath.Join(below, "x"), "") }, followInterval, "333x", 4, ""},
			{"a broken file leaves what was there", func() { write(one, "broken") }, followInterval, "333x", 5, "it is broken"},
			{"and is read again", func() {}, followInterval, "333x", 6, "it is broken"},
			{"a missing one too", func() { require.NoError(t, os.Remove(one)) }, followInterval, "333x", 6, "no such file"},
			{"until it is whole", func() { write(one, "4") }, followInterval, "4x", 7, ""},
			{"another file of the same form is a change", func() {
				info, err := os.Stat(one)
				require.NoError(t, err)
				other := filepath.Join(t.TempDir(), "other")
				write(other, "5")
				require.NoError(t, os.Chtimes(other, info.ModTime(), info.ModTime()))
				require.NoError(t, os.Rename(other, one))
			}, followInterval, "5x", 8, ""},
		} {
			step.act()
			time.Sleep(step.wait)
			require.Equal(t, step.value, f.current(), step.rule)
			require.Equal(t, step.value, f.current(), step.rule)
			require.Equal(t, step.reads, reads, step.rule)
			if step.stale == "" {
				require.NoError(t, f.stale(), step.rule)
			} else {
				require.ErrorContains(t, f.stale(), step.stale, step.rule)
			}
		}
	})
}
