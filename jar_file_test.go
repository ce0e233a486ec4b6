package parley_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// cookieFormats are the two kinds of file.
var cookieFormats = map[string]struct {
	save, load func(*parley.Jar, string) error
}{
	"JSON":     {(*parley.Jar).Save, (*parley.Jar).Load},
	"Netscape": {(*parley.Jar).SaveNetscape, (*parley.Jar).LoadNetscape},
}

func filled(t testing.TB) *parley.Jar {
	jar := parley.NewJar()
	cookiesTo(t, jar, "https://www.a.test/", "host=1; Secure; HttpOnly; SameSite=Strict", "domain=2; Domain=a.test; Max-Age=1000", "session=3; Path=/x")
	return jar
}

func TestJar_savesAndLoads(t *testing.T) {
	for name, format := range cookieFormats {
		path := filepath.Join(t.TempDir(), "jar")
		jar := filled(t)
		require.NoError(t, format.save(jar, path), name)
		again := parley.NewJar()
		require.NoError(t, format.load(again, path), name)
		require.Equal(t, inJar(jar), inJar(again), name)
		if name == "JSON" {
			require.Equal(t, slices.Collect(jar.All()), slices.Collect(again.All()))
		}
		cookiesTo(t, again, "https://www.a.test/", "more=4", "host=new; Secure")
		require.NoError(t, format.load(again, path), "loading adds to what is there")
		require.ElementsMatch(t, []string{"session=3", "host=1", "domain=2", "more=4"},
			strings.Split(cookiesTo(t, again, "https://www.a.test/x"), "; "))
		require.NoError(t, format.save(parley.NewJar(), path), name)
		empty := parley.NewJar()
		require.NoError(t, format.load(empty, path), name)
		require.Zero(t, empty.Len())
		left, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		require.Len(t, left, 1, "no other file is left")
	}
}

func TestJar_readsWhatOthersWrote(t *testing.T) {
	jar := parley.NewJar()
	require.NoError(t, jar.LoadNetscape("testdata/cookies.txt"))
	require.Equal(t, []string{
		"sid=0123456789abcdef example.com/ secure", "theme=dark example.com/ host-only", "empty= www.example.com/app host-only",
	}, inJar(jar))
	c, err := jar.Get("sid", "example.com", "/")
	require.NoError(t, err)
	require.True(t, c.HttpOnly)
	theme, err := jar.Get("theme", "", "")
	require.NoError(t, err)
	require.True(t, theme.Expires.IsZero())
}

func TestJar_loadingTellsDamageFromBadRecords(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "jar")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	jar := filled(t)
	before := inJar(jar)
	for name, row := range map[string]struct {
		format, text string
		line         string
	}{
		"JSON cut short":     {"JSON", "{\"version\": 1,\n\"cookies\": [\n{\"domain\":\"a.test\",", "line 3: the file is cut short"},
		"JSON malformed":     {"JSON", "{\"version\": 1,\n\"cookies\": [\n}", "line 3: "},
		"no JSON":            {"JSON", "# Netscape", "line 1: "},
		"empty":              {"JSON", "", "empty"},
		"Netscape cut short": {"Netscape", "b.test\tFALSE\t/\tFALSE\t0\ta\t1\nb.test\tFALSE\t/\tFAL", "line 2: the file is cut short"},
		"empty too":          {"Netscape", "", "empty"},
	} {
		err := cookieFormats[row.format].load(jar, write(row.text))
		require.ErrorIs(t, err, parley.ErrCookieFile, name)
		require.NotErrorIs(t, err, parley.ErrInvalidCookie, name)
		require.ErrorContains(t, err, row.line, name)
		require.Equal(t, before, inJar(jar), name)
	}
	err := jar.LoadNetscape(write("b.test\tFALSE\t/\tFALSE\t0\tb\tSECRET;\nb.test\tFALSE\t/\tFALSE\t0\tgood\t1\nSECRET\n"))
	require.ErrorIs(t, err, parley.ErrInvalidCookie)
	require.NotErrorIs(t, err, parley.ErrCookieFile)
	require.ErrorContains(t, err, "line 1: ")
	require.ErrorContains(t, err, "; line 3: ")
	require.NotContains(t, err.Error(), "SECRET")
	require.NotContains(t, err.Error(), "\n")
	require.Equal(t, "good=1", cookiesTo(t, jar, "http://b.test/"))
	require.NoError(t, jar.SaveNetscape(filepath.Join(dir, "jar")), "what was left out was named, and is no reason not to save")

	err = jar.Load(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, parley.ErrCookieFile)
	require.NoError(t, jar.Save(filepath.Join(dir, "none")))
}

func TestJar_saveReplacesWhatItMay(t *testing.T) {
	jar := filled(t)
	dir := t.TempDir()
	require.ErrorContains(t, jar.Save(""), "name of a file")
	require.ErrorContains(t, jar.Save(dir), "regular file")
	require.ErrorIs(t, jar.Save(filepath.Join(dir, "none", "jar")), fs.ErrNotExist)
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	require.NoError(t, os.Symlink(target, link))
	require.ErrorContains(t, jar.Save(link), "regular file")
	kept, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "kept", string(kept))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestJar_writersAndReadersThatFail(t *testing.T) {
	boom := errors.New("boom")
	jar := filled(t)
	require.ErrorIs(t, jar.WriteJSON(writerFunc(func([]byte) (int, error) { return 0, boom })), boom)
	require.ErrorIs(t, jar.WriteNetscape(writerFunc(func([]byte) (int, error) { return 0, boom })), boom)
	for _, err := range []error{jar.ReadJSON(iotest.ErrReader(boom)), jar.ReadNetscape(iotest.ErrReader(boom))} {
		require.ErrorIs(t, err, boom)
		require.NotErrorIs(t, err, parley.ErrCookieFile)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
