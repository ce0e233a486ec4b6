package parley_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestS083_ADownloadCutShortIsNoFile(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"a length that is not reached":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcd",
		"chunks without an end":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
		"a length that is not reached, ETag": "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 10\r\n\r\nabcd",
	} {
		t.Run(name, func(t *testing.T) {
			server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) { c.Say(answer) }))
			dir := t.TempDir()
			_, err := newSession(t).Download(t.Context(), server.URL(), filepath.Join(dir, "a"))
			require.ErrorIs(t, err, parley.ErrNetwork)
			require.NotContains(t, listing(t, dir), "a")
		})
	}
}

func TestS084_ALimitThatEndsADownloadIsAnErrorAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"chunks":                "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + strings.Repeat("x", 4096) + "\r\n0\r\n\r\n",
		"a length known before": "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", 4096),
	} {
		for _, ways := range []parley.DownloadConfig{{}, {Parallel: 4, PartSize: parley.MinPartSize}} {
			t.Run(fmt.Sprint(name, ways.Parallel), func(t *testing.T) {
				server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) { c.Say(answer) }))
				dir := t.TempDir()
				_, err := newSession(t).Download(t.Context(), server.URL(), dir, parley.WithMaxBodyBytes(1024), parley.WithDownload(ways))
				require.ErrorIs(t, err, parley.ErrBodyTooLarge)
				require.Empty(t, listing(t, dir))
			})
		}
	}
	t.Run("what was taken up counts, too", func(t *testing.T) {
		s, path := newShelf(t, 300_000), filepath.Join(t.TempDir(), "a")
		client := newSession(t)
		s.change(func() { s.cut = 200_000 })
		_, err := client.Download(t.Context(), s.URL, path)
		require.Error(t, err)
		s.change(func() { s.cut = 0 })
		_, err = client.Download(t.Context(), s.URL, path, parley.WithMaxBodyBytes(250_000))
		require.ErrorIs(t, err, parley.ErrBodyTooLarge)
		require.Empty(t, listing(t, filepath.Dir(path)))
	})
}

// A file's name is the server's choice only where the caller gives a directory.
func TestS156_NamesChosenByServersStayInTheDirectory(t *testing.T) {
	t.Parallel()
	client := newSession(t)
	for name, row := range map[string]struct{ header, path, want string }{
		"a climbing path":             {`attachment; filename="../x"`, "/f", "x"},
		"an absolute path":            {`attachment; filename="/etc/x"`, "/f", "x"},
		"a path of Windows":           {`attachment; filename=..\x`, "/f", "x"},
		"a hidden file":               {`attachment; filename=.bashrc`, "/f", "bashrc"},
		"a device":                    {`attachment; filename=CON`, "/f", "_CON"},
		"300 characters":              {`attachment; filename=` + strings.Repeat("a", 300), "/f", strings.Repeat("a", 199)},
		"a path in the extended form": {`attachment; filename*=UTF-8''..%2fx`, "/f", "x"},
		"nothing but dots":            {`attachment; filename=".."`, "/f.bin", "f.bin"},
		"a path in the URL":           {"", "/..%2fx", "x"},
		"a path of Windows in it":     {"", "/..%5c..%5cx", "x"},
		"a NUL in it":                 {"", "/a%00b", "ab"},
		"no name at all":              {"", "/", "download"},
	} {
		t.Run(name, func(t *testing.T) {
			server := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
				if row.header == "" {
					return wiretest.OK("content")
				}
				return "HTTP/1.1 200 OK\r\nContent-Disposition: " + row.header + "\r\nContent-Length: 7\r\n\r\ncontent"
			}))
			outer := t.TempDir()
			dir := filepath.Join(outer, "dir")
			require.NoError(t, os.Mkdir(dir, 0o700))
			got, err := client.Download(t.Context(), server.URL()+row.path, dir)
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, row.want), got.Path)
			require.Equal(t, []string{row.want}, listing(t, dir))
			require.Equal(t, []string{"dir"}, listing(t, outer))
		})
	}
	disposed := func(content string) func(*wiretest.Conn) {
		return wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=a\r\n" + wiretest.OK(content)[len("HTTP/1.1 200 OK\r\n"):]
		})
	}
	t.Run("a NUL is none of a header", func(t *testing.T) {
		server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=a\x00b\r\nContent-Length: 7\r\n\r\ncontent")
		}))
		dir := t.TempDir()
		_, err := client.Download(t.Context(), server.URL(), dir)
		require.ErrorIs(t, err, parley.ErrRemoteProtocol)
		require.Empty(t, listing(t, dir))
	})
	t.Run("a file that is there stays", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o600))
		_, err := client.Download(t.Context(), wiretest.Serve(t, disposed("new")).URL(), dir)
		require.ErrorIs(t, err, fs.ErrExist)
		requireFile(t, []byte("old"), filepath.Join(dir, "a"))
		require.Equal(t, []string{"a"}, listing(t, dir))
	})
	t.Run("a symbolic link is neither followed nor replaced there", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.Symlink(elsewhere, filepath.Join(dir, "a")))
		_, err := client.Download(t.Context(), wiretest.Serve(t, disposed("new")).URL(), dir)
		require.ErrorIs(t, err, fs.ErrExist)
		_, err = os.Lstat(elsewhere)
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
	t.Run("a symbolic link at the caller's path is replaced, not followed", func(t *testing.T) {
		path, elsewhere := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.WriteFile(elsewhere, []byte("old"), 0o600))
		require.NoError(t, os.Symlink(elsewhere, path))
		_, err := client.Download(t.Context(), wiretest.Serve(t, disposed("new")).URL(), path)
		require.NoError(t, err)
		requireFile(t, []byte("new"), path)
		requireFile(t, []byte("old"), elsewhere)
	})
	t.Run("a body cut short leaves the file that was there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a")
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
		server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) { c.Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnew") }))
		_, err := client.Download(t.Context(), server.URL(), path)
		require.ErrorIs(t, err, parley.ErrNetwork)
		requireFile(t, []byte("old"), path)
		require.Equal(t, []string{"a"}, listing(t, filepath.Dir(path)))
	})
}

func TestS157_NothingIsTakenUpThatOthersMayHaveMade(t *testing.T) {
	t.Parallel()
	client := newSession(t)
	names := map[string]bool{}
	s := newShelf(t, 300_000)
	for range 2 {
		dir := t.TempDir()
		require.NoError(t, os.Chmod(dir, 0o1777)) // as a directory for everybody's temporary files
		guesses := []string{"a.part", ".a.part", "a.tmp", ".a.tmp", "a.download", ".a." + strings.Repeat("A", 26) + ".part", ".a." + strings.Repeat("A", 26) + ".part.json"}
		for _, g := range guesses {
			require.NoError(t, os.WriteFile(filepath.Join(dir, g), []byte("evil"), 0o666))
		}
		var seen []string
		s.change(func() {
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "300000")
				_, _ = w.Write(s.content[:100])
				_ = http.NewResponseController(w).Flush()
				for len(seen) < len(guesses)+2 {
					seen = listing(t, dir)
					time.Sleep(time.Millisecond)
				}
				_, _ = w.Write(s.content[100:])
			})
		})
		_, err := client.Download(t.Context(), s.URL, filepath.Join(dir, "a"))
		require.NoError(t, err)
		requireFile(t, s.content, filepath.Join(dir, "a"))
		require.Equal(t, []string{""}, s.requests(), "nothing was taken up")
		for _, g := range guesses {
			requireFile(t, []byte("evil"), filepath.Join(dir, g))
		}
		for _, n := range seen {
			if strings.HasSuffix(n, ".part") && !slices.Contains(guesses, n) {
				require.False(t, names[n], "a name that was used before")
				names[n] = true
			}
		}
		require.ElementsMatch(t, append(guesses, "a"), listing(t, dir))
	}
	require.Len(t, names, 2)
}

func TestS158_AWrongDigestLeavesNoFile(t *testing.T) {
	t.Parallel()
	s, client, dir := newShelf(t, 1000), newSession(t), t.TempDir()
	path := filepath.Join(dir, "a")
	_, err := client.Download(t.Context(), s.URL, path, parley.WithIntegrity("sha256:"+sha256Of("something else")))
	require.ErrorIs(t, err, parley.ErrIntegrity)
	require.Empty(t, listing(t, dir))
	s.change(func() {})
	for _, digest := range []string{"crc32:00000000", "sha256:", "sha256-", "sha256"} {
		_, err := client.Download(t.Context(), s.URL, path, parley.WithIntegrity(digest))
		var e *parley.Error
		require.ErrorAs(t, err, &e, digest)
		require.Equal(t, parley.NotSent, e.Sent)
	}
	require.Empty(t, s.requests(), "that it cannot be checked is said before")
}

// downloadVariable makes the test binary download a file and end: see below.
const downloadVariable = "PARLEY_TEST_DOWNLOAD"

// runDownload is the main function of such a process.
func runDownload(where string) int {
	url, path, _ := strings.Cut(where, " ")
	client, err := parley.New()
	if err == nil {
		_, err = client.Download(context.Background(), url, path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestDownload_ofAProcessThatWasKilledIsTakenUp(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	const size, had = 3_000_000, 2_000_000
	s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
	hanging := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(s.content[:had])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s.change(func() { s.file = hanging }) // another process is to find it
	child := exec.CommandContext(t.Context(), program)
	child.Env = append(os.Environ(), downloadVariable+"="+s.URL+" "+path)
	require.NoError(t, child.Start())
	written := func() (n int64) {
		for _, name := range listing(t, filepath.Dir(path)) {
			if info, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err == nil {
				n = max(n, info.Size())
			}
		}
		return n
	}
	wiretest.Eventually(t, func() bool { return written() == had }, "the child has written what it got")
	// Nobody takes up what another process is writing to.
	client := newSession(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = client.Download(ctx, s.URL, path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, []string{"", ""}, s.requests())

	require.NoError(t, child.Process.Kill())
	var exit *exec.ExitError
	require.ErrorAs(t, child.Wait(), &exit)
	if status, ok := exit.Sys().(syscall.WaitStatus); ok {
		require.True(t, status.Signaled())
	}
	s.change(func() { s.file = nil })
	got, err := client.Download(t.Context(), s.URL, path)
	require.NoError(t, err)
	require.Positive(t, got.Resumed)
	require.Equal(t, []string{fmt.Sprintf(`bytes=%d- "v1"`, got.Resumed)}, s.requests())
	requireFile(t, s.content, path)
	require.Equal(t, []string{"a"}, listing(t, filepath.Dir(path)))
}
