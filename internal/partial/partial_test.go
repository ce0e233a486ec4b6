package partial

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var note = Note{Key: "k", ETag: `"1"`, Total: 10}

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// begun makes a part that has content.
func begun(t *testing.T, d *Dir, content string) *File {
	t.Helper()
	f, err := d.Create("a.txt", note)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	require.NoError(t, err)
	return f
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func content(t *testing.T, f *File) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	require.NoError(t, err)
	return string(b)
}

func TestFile_isMovedToItsPlaceWhole(t *testing.T) {
	dir := t.TempDir()
	f := begun(t, open(t, dir), "0123456789")
	for _, n := range names(t, dir) {
		require.True(t, strings.HasPrefix(n, ".a.txt."), n)
		info, err := os.Lstat(filepath.Join(dir, n))
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, fs.FileMode(0o600), info.Mode())
		}
	}
	require.NoError(t, f.Commit(false))
	require.Equal(t, []string{"a.txt"}, names(t, dir))
	b, err := os.ReadFile(filepath.Join(dir, "a.txt"))
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(b))
	usual := filepath.Join(dir, "usual")
	require.NoError(t, os.WriteFile(usual, nil, 0o666))
	want, err := os.Stat(usual)
	require.NoError(t, err)
	got, err := os.Stat(filepath.Join(dir, "a.txt"))
	require.NoError(t, err)
	require.Equal(t, want.Mode(), got.Mode(), "as the user's other files")
}

func TestFile_replacesOnlyIfToldTo(t *testing.T) {
	dir := t.TempDir()
	target, elsewhere := filepath.Join(dir, "a.txt"), filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(elsewhere, []byte("other"), 0o600))
	require.NoError(t, os.Symlink(elsewhere, target))
	d := open(t, dir)
	f := begun(t, d, "new")
	require.ErrorIs(t, f.Commit(false), fs.ErrExist)
	require.NoError(t, f.Commit(true))
	info, err := os.Lstat(target)
	require.NoError(t, err)
	require.True(t, info.Mode().IsRegular(), "a link is replaced, not followed")
	b, err := os.ReadFile(elsewhere)
	require.NoError(t, err)
	require.Equal(t, "other", string(b))
	require.Equal(t, []string{"a.txt"}, names(t, dir))
}

func TestFile_isTakenUpAgain(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	require.NoError(t, begun(t, d, "0123").Keep())
	f, err := d.Find("a.txt", "k")
	require.NoError(t, err)
	require.NotNil(t, f)
	require.Equal(t, note, f.Note())
	require.Equal(t, "0123", content(t, f))
	missing, err := f.Missing(10)
	require.NoError(t, err)
	require.Equal(t, []Span{{4, 10}}, missing)
	missing, err = f.Missing(-1)
	require.NoError(t, err)
	require.Equal(t, []Span{{4, -1}}, missing)
	missing, err = f.Missing(3)
	require.NoError(t, err)
	require.Equal(t, []Span{{0, 3}}, missing, "what is longer is another file")

	again, err := d.Find("a.txt", "k")
	require.NoError(t, err)
	require.Nil(t, again, "one at a time")
	require.NoError(t, f.Keep())

	f, err = d.Find("a.txt", "k")
	require.NoError(t, err)
	require.NoError(t, f.Restart(Note{Key: "k", ETag: `"2"`, Total: 5}))
	require.Empty(t, content(t, f))
	missing, err = f.Missing(5)
	require.NoError(t, err)
	require.Equal(t, []Span{{0, 5}}, missing)
	require.NoError(t, f.Discard())
	require.Empty(t, names(t, dir))
}

func TestFile_rememberSpans(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	f := begun(t, d, "01")
	require.NoError(t, f.Scatter())
	_, err := f.WriteAt([]byte("89"), 8)
	require.NoError(t, err)
	require.NoError(t, f.Have(Span{8, 10}))
	_, err = f.WriteAt([]byte("4"), 4) // not told of
	require.NoError(t, err)
	require.NoError(t, f.Keep())
	f, err = d.Find("a.txt", "k")
	require.NoError(t, err)
	missing, err := f.Missing(10)
	require.NoError(t, err)
	require.Equal(t, []Span{{2, 8}}, missing)
	require.NoError(t, f.Have(Span{2, 5}))
	require.NoError(t, f.Have(Span{5, 8}))
	missing, err = f.Missing(10)
	require.NoError(t, err)
	require.Empty(t, missing)
	require.NoError(t, f.Commit(true))
	require.Equal(t, []string{"a.txt"}, names(t, dir))
}

func TestFind_takesUpNothingThatMayBeSomebodyElses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are others there")
	}
	// each gets a directory with a part that could be taken up.
	for name, spoil := range map[string]func(t *testing.T, dir, part string){
		"a directory that all may write to": func(t *testing.T, dir, _ string) { require.NoError(t, os.Chmod(dir, 0o1777)) },
		"a part that others may read":       func(t *testing.T, _, part string) { require.NoError(t, os.Chmod(part, 0o644)) },
		"a note that others may write to":   func(t *testing.T, _, part string) { require.NoError(t, os.Chmod(part+".json", 0o666)) },
		"a part with two names": func(t *testing.T, dir, part string) {
			require.NoError(t, os.Link(part, filepath.Join(dir, "x")))
		},
		"a symbolic link": func(t *testing.T, _, part string) {
			moved := filepath.Join(t.TempDir(), "x")
			require.NoError(t, os.Rename(part, moved))
			require.NoError(t, os.Symlink(moved, part))
		},
		"no note":     func(t *testing.T, _, part string) { require.NoError(t, os.Remove(part+".json")) },
		"half a note": func(t *testing.T, _, part string) { require.NoError(t, os.Truncate(part+".json", 20)) },
		"a note of a later version": func(t *testing.T, _, part string) {
			b, err := os.ReadFile(part + ".json")
			require.NoError(t, err)
			b = []byte(strings.Replace(string(b), `"version":1`, `"version":2`, 1))
			require.NoError(t, os.WriteFile(part+".json", b, 0o600))
		},
		"a directory of that name": func(t *testing.T, _, part string) {
			require.NoError(t, os.Remove(part))
			require.NoError(t, os.Mkdir(part, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir)
			f := begun(t, d, "0123")
			part := filepath.Join(dir, f.part)
			require.NoError(t, f.Keep())
			spoil(t, dir, part)
			f, err := open(t, dir).Find("a.txt", "k")
			require.NoError(t, err)
			require.Nil(t, f)
		})
	}
	t.Run("another key, another name", func(t *testing.T) {
		d := open(t, t.TempDir())
		require.NoError(t, begun(t, d, "0123").Keep())
		for _, other := range []struct{ name, key string }{{"a.txt", "other"}, {"a", "k"}, {"a.txt.b", "k"}} {
			f, err := d.Find(other.name, other.key)
			require.NoError(t, err)
			require.Nil(t, f)
		}
	})
}

func TestKeep_leavesNothingThatNobodyCouldTakeUp(t *testing.T) {
	dir := t.TempDir()
	f, err := open(t, dir).Create("a.txt", Note{Key: "k", Total: 10})
	require.NoError(t, err)
	require.NoError(t, f.Keep())
	require.Empty(t, names(t, dir))
}

func TestFind_removesAllButOne(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	a, b := begun(t, d, "0123"), begun(t, d, "01")
	require.NotEqual(t, a.part, b.part)
	require.NoError(t, a.Keep())
	require.NoError(t, b.Keep())
	f, err := d.Find("a.txt", "k")
	require.NoError(t, err)
	require.NotNil(t, f)
	require.Len(t, names(t, dir), 2)
	require.NoError(t, f.Discard())
}

func TestCreate_ofALongName(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	long := strings.Repeat("ä", 127)
	f, err := d.Create(long, note)
	require.NoError(t, err)
	require.NoError(t, f.Keep())
	f, err = d.Find(long, "k")
	require.NoError(t, err)
	require.NotNil(t, f)
	require.NoError(t, f.Commit(false))
	require.Equal(t, []string{long}, names(t, dir))
}

func TestGaps(t *testing.T) {
	for name, row := range map[string]struct {
		done  []Span
		total int64
		want  []Span
	}{
		"nothing":             {nil, 5, []Span{{0, 5}}},
		"nothing of nothing":  {nil, 0, nil},
		"all":                 {[]Span{{0, 5}}, 5, nil},
		"the middle":          {[]Span{{1, 3}}, 5, []Span{{0, 1}, {3, 5}}},
		"in any order":        {[]Span{{4, 5}, {0, 1}}, 5, []Span{{1, 4}}},
		"touching":            {[]Span{{2, 4}, {0, 2}}, 5, []Span{{4, 5}}},
		"one within another":  {[]Span{{0, 4}, {1, 2}}, 5, []Span{{4, 5}}},
		"overlapping by some": {[]Span{{0, 3}, {2, 4}}, 4, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, gaps(merged(row.done), row.total)) })
	}
	require.False(t, valid([]Span{{0, 6}}, 5))
	require.False(t, valid([]Span{{-1, 2}}, 5))
	require.False(t, valid([]Span{{2, 2}}, 5))
}
