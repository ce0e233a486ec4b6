package parley_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// emptyFiles serves files of zeros, "/SIZE", and ranges of them. While cut is set each
// answer ends after a MiB.
type emptyFiles struct {
	*wiretest.Server
	cut  atomic.Bool
	zero []byte
}

func serveEmptyFiles(t testing.TB) *emptyFiles {
	t.Helper()
	s := &emptyFiles{zero: make([]byte, 256<<10)}
	s.Server = wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil || !s.answer(c, r) {
				return
			}
		}
	})
	return s
}

func (s *emptyFiles) answer(c *wiretest.Conn, r *wiretest.Request) bool {
	size, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil {
		return false
	}
	from, to, head := int64(0), size, "HTTP/1.1 200 OK\r\n"
	if asked, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		first, last, _ := strings.Cut(asked, "-")
		if from, err = strconv.ParseInt(first, 10, 64); err != nil {
			return false
		}
		if last != "" {
			if to, err = strconv.ParseInt(last, 10, 64); err != nil {
				return false
			}
			to++
		}
		head = fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n", from, to-1, size)
	}
	if !c.Say(head + fmt.Sprintf("Etag: \"zero\"\r\nAccept-Ranges: bytes\r\nContent-Length: %d\r\n\r\n", to-from)) {
		return false
	}
	if s.cut.Load() {
		to = min(to, from+1<<20)
	}
	for from < to {
		n, err := c.Write(s.zero[:min(to-from, int64(len(s.zero)))])
		if err != nil {
			return false
		}
		from += int64(n)
	}
	return !s.cut.Load()
}

// allocatedBy is all that was allocated while f ran, freed again or not.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// 4 GiB, or some MiB in an ordinary run, come down in constant memory: as a stream; to the
// end of a file of which an earlier try has fetched all but that; and, an eighth of it, as
// a file in parts. So all of it passes through the exchange and the file has its length,
// but little of it is ever on a disk. It runs alone, as others allocate too.
func TestSoak_aHugeFileComesDownInConstantMemory(t *testing.T) {
	size, part, bound := int64(64<<20), int64(1<<20), uint64(4<<20)
	if os.Getenv("PARLEY_SOAK") != "" {
		size, part, bound = 4<<30, parley.DefaultPartSize, 16<<20
	}
	s := serveEmptyFiles(t)
	c := sessionTo(t, s.Server)
	_, err := c.Get(t.Context(), "1")
	require.NoError(t, err)
	t.Run("as a stream", func(t *testing.T) {
		buf := make([]byte, 64<<10)
		require.Less(t, allocatedBy(func() {
			resp, err := c.Stream(t.Context(), "GET", fmt.Sprint(size))
			require.NoError(t, err)
			defer resp.Close()
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
			require.NoError(t, err)
			require.Equal(t, size, n)
		}), bound)
	})
	t.Run("to the end of a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "huge")
		s.cut.Store(true)
		_, err := c.Download(t.Context(), fmt.Sprint(size), path)
		require.ErrorIs(t, err, parley.ErrRead)
		s.cut.Store(false)
		begun, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".huge.*.part"))
		require.NoError(t, err)
		require.Len(t, begun, 1)
		require.NoError(t, os.Truncate(begun[0], size-4*part)) // as if so much had come: it has holes
		var file *parley.DownloadResult
		require.Less(t, allocatedBy(func() { file, err = c.Download(t.Context(), fmt.Sprint(size), path) }), bound)
		require.NoError(t, err)
		require.Equal(t, size, file.Size)
		require.Equal(t, size-4*part, file.Resumed)
		require.Equal(t, []string{"huge"}, listing(t, filepath.Dir(path)))
	})
	t.Run("as a file in parts", func(t *testing.T) {
		sum := sha256.New()
		for left := size / 8; left > 0; left -= int64(len(s.zero)) {
			sum.Write(s.zero)
		}
		var file *parley.DownloadResult
		require.Less(t, allocatedBy(func() {
			file, err = c.Download(t.Context(), fmt.Sprint(size/8), filepath.Join(t.TempDir(), "parts"),
				parley.WithDownload(parley.DownloadConfig{Parallel: 4, PartSize: part}),
				parley.WithIntegrity("sha256-"+base64.StdEncoding.EncodeToString(sum.Sum(nil))))
		}), bound)
		require.NoError(t, err)
		require.Equal(t, size/8, file.Size)
		require.Equal(t, []string{"sha256"}, file.Verified)
	})
}
