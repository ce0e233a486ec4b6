package integration

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

// shelves are the servers that files are fetched from, and where they give the text
// large.txt in gzip to those that want it.
var shelves = map[string]struct {
	start func(t *testing.T) *peer.Peer
	coded string
}{
	"nginx": {func(t *testing.T) *peer.Peer { return nginx(t, "") }, "/large.txt"},
	"httpd": {httpd, "/gzip/large.txt"},
}

// shelve puts a file among those of a server. It is an hour old: httpd has no strong
// entity tag for what has just been changed.
func shelve(t *testing.T, p *peer.Peer, name string, data []byte, age time.Duration) {
	t.Helper()
	path := filepath.Join(p.Dir(), "www", name)
	require.NoError(t, os.WriteFile(path, data, 0o644))
	then := time.Now().Add(-age)
	require.NoError(t, os.Chtimes(path, then, then))
}

// patternOf is pattern as bytes.
func patternOf(t *testing.T, size int64) []byte {
	t.Helper()
	data, err := io.ReadAll(pattern(size))
	require.NoError(t, err)
	return data
}

// cutting makes connections that end after so many bytes were read.
func cutting(after int) parley.Dialer {
	return parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cutConn{conn, after}, nil
	})
}

type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// statuses counts those of the access log.
func statuses(t *testing.T, p *peer.Peer) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, line := range p.Lines(t, "access.log") {
		before, _, _ := strings.Cut(line, ` "`)
		count[before[strings.LastIndexByte(before, ' ')+1:]]++
	}
	return count
}

func requireDownloaded(t *testing.T, want []byte, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d bytes, %d expected", len(got), len(want))
	names, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, names, 1, "nothing else is left there")
}

func TestDownloadsFromRealServers(t *testing.T) {
	const size = 3<<20 + 7
	for name, shelf := range shelves {
		t.Run(name, func(t *testing.T) {
			p := shelf.start(t)
			url := p.URL("main") + "/pattern.bin"
			data := patternOf(t, size)
			shelve(t, p, "pattern.bin", data, time.Hour)

			t.Run("in parts at once", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				file, err := session(t).Download(t.Context(), url, path, parley.WithDownload(parley.DownloadConfig{Parallel: 4, PartSize: 256 << 10}),
					parley.WithIntegrity(fmt.Sprintf("sha256:%x", sha256.Sum256(data))))
				require.NoError(t, err)
				require.Equal(t, []string{"sha256"}, file.Verified)
				requireDownloaded(t, data, path)
				require.Eventually(t, func() bool {
					count := statuses(t, p)
					return count["200"] == 1 && count["206"] >= 3 && len(count) == 2
				}, 10*time.Second, 5*time.Millisecond)
			})
			t.Run("a connection is lost, and the next try goes on from there", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				_, err := session(t, parley.WithDialer(cutting(1<<20))).Download(t.Context(), url, path)
				require.ErrorIs(t, err, parley.ErrNetwork)
				require.NoFileExists(t, path)
				file, err := session(t).Download(t.Context(), url, path)
				require.NoError(t, err)
				require.Greater(t, file.Resumed, int64(1<<19))
				require.Equal(t, 206, file.Response.StatusCode)
				requireDownloaded(t, data, path)
			})
			t.Run("the file changed meanwhile", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				_, err := session(t, parley.WithDialer(cutting(1<<20))).Download(t.Context(), url, path)
				require.ErrorIs(t, err, parley.ErrNetwork)
				changed := append([]byte("another beginning"), data[:size-1000]...)
				shelve(t, p, "pattern.bin", changed, 10*time.Minute)
				file, err := session(t).Download(t.Context(), url, path)
				require.NoError(t, err)
				require.Zero(t, file.Resumed)
				require.Equal(t, 200, file.Response.StatusCode)
				requireDownloaded(t, changed, path)
			})
			t.Run("what is stored is the file and not its coding", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				_, err := session(t).Download(t.Context(), p.URL("main")+shelf.coded, path)
				require.NoError(t, err)
				requireDownloaded(t, []byte(content(1<<20)), path)
			})
			t.Run("unless the caller asks for that", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				file, err := session(t).Download(t.Context(), p.URL("main")+shelf.coded, path, parley.WithHeader("Accept-Encoding", "gzip"))
				require.NoError(t, err)
				require.Equal(t, "gzip", file.Response.Header.Get("Content-Encoding"))
				coded, err := os.ReadFile(path)
				require.NoError(t, err)
				z, err := gzip.NewReader(bytes.NewReader(coded))
				require.NoError(t, err)
				plain, err := io.ReadAll(z)
				require.NoError(t, err)
				require.Equal(t, content(1<<20), string(plain))
			})
			t.Run("a file that is not there", func(t *testing.T) {
				dir := t.TempDir()
				_, err := session(t).Download(t.Context(), p.URL("main")+"/none.bin", dir)
				var status *parley.StatusError
				require.ErrorAs(t, err, &status)
				require.Equal(t, 404, status.StatusCode)
				names, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Empty(t, names)
			})
		})
	}
}
