package parley_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// shelf is a server of one file.
type shelf struct {
	*httptest.Server
	file http.Handler // serves content under etag; replaced by tests that want something else

	mu      sync.Mutex
	content []byte
	etag    string
	asked   []string // Range and If-Range of each request
	cut     int      // answers end after so many bytes of content; 0: they do not
}

func newShelf(t *testing.T, size int) *shelf {
	t.Helper()
	s := &shelf{content: random(size), etag: `"v1"`}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// random makes content that does not repeat.
func random(size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(size)})
	b := make([]byte, size)
	_, _ = r.Read(b) // never fails
	return b
}

func (s *shelf) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	content, etag, cut, file := s.content, s.etag, s.cut, s.file
	s.mu.Unlock()
	if cut > 0 {
		w = &cutWriter{w, cut}
	}
	if etag != "" {
		w.Header().Set("Etag", etag)
	}
	if file != nil {
		file.ServeHTTP(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// change does something to what is served.
func (s *shelf) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.asked = nil
}

func (s *shelf) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// cutWriter ends the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) >= w.left {
		_, _ = w.ResponseWriter.Write(p[:w.left])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= len(p)
	return w.ResponseWriter.Write(p)
}

// listing gives the names in a directory.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func requireFile(t testing.TB, want []byte, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d bytes, %d expected", len(got), len(want))
}

func TestDownload(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 300_000)
	client := newSession(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.bin")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	got, err := client.Download(t.Context(), s.URL+"/x/file.bin?token=1", path)
	require.NoError(t, err)
	require.Equal(t, path, got.Path)
	require.Equal(t, int64(300_000), got.Size)
	require.Zero(t, got.Resumed)
	require.Empty(t, got.Verified)
	require.Equal(t, `"v1"`, got.Response.Header.Get("Etag"))
	requireFile(t, s.content, path)
	require.Equal(t, []string{"a.bin"}, listing(t, dir))
	require.Equal(t, []string{""}, s.requests())
	require.Equal(t, 1, client.Stats().Idle, "the connection can be used again")

	t.Run("into a directory, under the last element of the URL", func(t *testing.T) {
		dir := t.TempDir()
		got, err := client.Download(t.Context(), s.URL+"/x/file.bin?token=1", dir)
		require.NoError(t, err)
		require.Equal(t, filepath.Join(dir, "file.bin"), got.Path)
		requireFile(t, s.content, got.Path)
		_, err = client.Download(t.Context(), s.URL+"/x/file.bin", dir)
		require.ErrorIs(t, err, fs.ErrExist, "nothing is replaced there")
		require.Equal(t, []string{"file.bin"}, listing(t, dir))
	})
	t.Run("an existing file is kept if the caller says so", func(t *testing.T) {
		s.change(func() {})
		_, err := client.Download(t.Context(), s.URL, path, parley.WithDownload(parley.DownloadConfig{NoReplace: true}))
		require.ErrorIs(t, err, fs.ErrExist)
		require.Empty(t, s.requests(), "nothing was asked for in vain")
	})
}

func TestDownload_toARelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newShelf(t, 1000)
	got, err := newSession(t).Download(t.Context(), s.URL, "b.bin")
	require.NoError(t, err)
	require.Equal(t, "b.bin", got.Path)
	requireFile(t, s.content, "b.bin")
}

func TestDownload_refuses(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 100)
	client := newSession(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for name, row := range map[string]struct {
		path string
		opt  parley.RequestOption
		says string
	}{
		"no path":                     {"", parley.WithOptions(), "path"},
		"a directory that is not":     {filepath.Join(dir, "no", "a"), parley.WithOptions(), "no such file"},
		"nor one by its name":         {filepath.Join(dir, "no") + string(filepath.Separator), parley.WithOptions(), "file does not exist"},
		"a range":                     {path, parley.WithHeader("Range", "bytes=1-"), "Range"},
		"too many at once":            {path, parley.WithDownload(parley.DownloadConfig{Parallel: 65}), "Parallel"},
		"fewer than none at once":     {path, parley.WithDownload(parley.DownloadConfig{Parallel: -1}), "Parallel"},
		"parts that are hardly parts": {path, parley.WithDownload(parley.DownloadConfig{PartSize: 1000}), "PartSize"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Download(t.Context(), s.URL, row.path, row.opt)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.NotSent, e.Sent)
			require.ErrorContains(t, err, row.says)
		})
	}
	var none context.Context
	_, err := client.Download(none, s.URL, path)
	require.ErrorContains(t, err, "context is nil")
	_, err = client.Get(t.Context(), s.URL, parley.WithDownload(parley.DownloadConfig{}))
	require.ErrorContains(t, err, "Client.Download")
	require.Empty(t, s.requests())
	require.Empty(t, listing(t, dir))
}

func TestDownload_answersWithoutAFile(t *testing.T) {
	t.Parallel()
	client := newSession(t)
	for name, row := range map[string]struct {
		status int
		check  func(t *testing.T, err error)
	}{
		"not found": {404, func(t *testing.T, err error) {
			var status *parley.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, "gone", string(status.Body))
		}},
		"no content":                      {204, func(t *testing.T, err error) { require.ErrorIs(t, err, parley.ErrRemoteProtocol) }},
		"a part that was not asked for":   {206, func(t *testing.T, err error) { require.ErrorIs(t, err, parley.ErrRemoteProtocol) }},
		"a redirect that leads nowhere":   {302, func(t *testing.T, err error) { require.ErrorIs(t, err, parley.ErrRemoteProtocol) }},
		"not modified, which nobody asks": {304, func(t *testing.T, err error) { require.ErrorIs(t, err, parley.ErrRemoteProtocol) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, 100)
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, "gone")
			})
			dir := t.TempDir()
			_, err := client.Download(t.Context(), s.URL, filepath.Join(dir, "a"))
			row.check(t, err)
			require.Empty(t, listing(t, dir))
		})
	}
}

func TestDownload_resumes(t *testing.T) {
	t.Parallel()
	const size, had = 500_000, 200_000
	client := newSession(t)
	// interrupted leaves a download that was cut.
	interrupted := func(t *testing.T, s *shelf, path string) {
		t.Helper()
		s.change(func() { s.cut = had })
		_, err := client.Download(t.Context(), s.URL, path)
		require.ErrorIs(t, err, parley.ErrRead)
		_, err = os.Lstat(path)
		require.ErrorIs(t, err, fs.ErrNotExist, "nothing of a failed download stands at the target")
		s.change(func() { s.cut = 0 })
	}
	begin := func(t *testing.T) (*shelf, string) {
		t.Helper()
		s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
		interrupted(t, s, path)
		return s, path
	}
	t.Run("from where it was cut", func(t *testing.T) {
		s, path := begin(t)
		require.Len(t, listing(t, filepath.Dir(path)), 2)
		got, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		require.Equal(t, int64(had), got.Resumed)
		require.Equal(t, int64(size), got.Size)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=200000- "v1"`}, s.requests())
		require.Equal(t, []string{"a"}, listing(t, filepath.Dir(path)))
	})
	t.Run("in a directory, where the server names the file", func(t *testing.T) {
		s, dir := newShelf(t, size), t.TempDir()
		s.change(func() { s.cut = had })
		_, err := client.Download(t.Context(), s.URL+"/n.bin", dir)
		require.ErrorIs(t, err, parley.ErrRead)
		s.change(func() { s.cut = 0 })
		got, err := client.Download(t.Context(), s.URL+"/n.bin", dir)
		require.NoError(t, err)
		require.Equal(t, int64(had), got.Resumed)
		requireFile(t, s.content, filepath.Join(dir, "n.bin"))
		require.Equal(t, []string{"", `bytes=200000- "v1"`}, s.requests())
	})
	t.Run("after the end of its context", func(t *testing.T) {
		s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
		ctx, cancel := context.WithCancel(t.Context())
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(s.content[:had])
			_ = http.NewResponseController(w).Flush()
			for len(listing(t, filepath.Dir(path))) < 2 {
				time.Sleep(time.Millisecond)
			}
			cancel()
			<-r.Context().Done()
		})
		_, err := client.Download(ctx, s.URL, path)
		require.ErrorIs(t, err, context.Canceled)
		s.change(func() { s.file = nil })
		_, err = client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		requireFile(t, s.content, path)
	})
	t.Run("anew, if the file has changed", func(t *testing.T) {
		s, path := begin(t)
		s.change(func() { s.content, s.etag = random(size+1), `"v2"` })
		got, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		require.Zero(t, got.Resumed)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=200000- "v1"`}, s.requests(), "If-Range spares a second request")
	})
	t.Run("anew, if the server ignores ranges", func(t *testing.T) {
		s, path := begin(t)
		s.change(func() {
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(s.content) })
		})
		got, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		require.Zero(t, got.Resumed)
		requireFile(t, s.content, path)
	})
	t.Run("anew, if there are no such bytes any more", func(t *testing.T) {
		s, path := begin(t)
		s.change(func() {
			s.content = s.content[:1000]
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Range")
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
			})
		})
		_, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=200000- "v1"`, ""}, s.requests())
	})
	t.Run("anew, if the part is one of another file", func(t *testing.T) {
		s, path := begin(t)
		s.change(func() {
			s.content, s.etag = random(size+5), `"v2"`
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Range")
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
			})
		})
		_, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=200000- "v1"`, ""}, s.requests())
	})
	t.Run("with what was complete but not in its place", func(t *testing.T) {
		s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = os.Mkdir(path, 0o700) // in the way
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
		})
		_, err := client.Download(t.Context(), s.URL, path)
		require.Error(t, err)
		require.NoError(t, os.Remove(path))
		s.change(func() { s.file = nil })
		got, err := client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		require.Equal(t, int64(size), got.Resumed)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=499999- "v1"`}, s.requests(), "one byte tells whether it has changed")
	})
	t.Run("not at the caller's wish", func(t *testing.T) {
		s, path := begin(t)
		got, err := client.Download(t.Context(), s.URL, path, parley.WithDownload(parley.DownloadConfig{Fresh: true}))
		require.NoError(t, err)
		require.Zero(t, got.Resumed)
		require.Equal(t, []string{""}, s.requests())
	})
	t.Run("not another URL's", func(t *testing.T) {
		s, path := begin(t)
		_, err := client.Download(t.Context(), s.URL+"/other", path)
		require.NoError(t, err)
		require.Equal(t, []string{""}, s.requests())
		requireFile(t, s.content, path)
	})
}

func TestDownload_keepsOnlyWhatCanBeTakenUp(t *testing.T) {
	t.Parallel()
	const size, cut = 500_000, 200_000
	client := newSession(t)
	old := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	for name, row := range map[string]struct {
		header http.Header
		cfg    parley.DownloadConfig
		asked  string // by the next try
	}{
		"by an entity tag":                      {http.Header{"Etag": {`"x"`}}, parley.DownloadConfig{}, `bytes=200000- "x"`},
		"by a date":                             {http.Header{"Last-Modified": {old}}, parley.DownloadConfig{}, "bytes=200000- " + old},
		"not by a weak entity tag":              {http.Header{"Etag": {`W/"x"`}, "Last-Modified": {old}}, parley.DownloadConfig{}, ""},
		"not by a date of just now":             {http.Header{"Last-Modified": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}, parley.DownloadConfig{}, ""},
		"not by nothing":                        {http.Header{}, parley.DownloadConfig{}, ""},
		"not where there are no ranges":         {http.Header{"Etag": {`"x"`}, "Accept-Ranges": {"none"}}, parley.DownloadConfig{}, ""},
		"not if the content is coded":           {http.Header{"Etag": {`"x"`}, "Content-Encoding": {"gzip"}}, parley.DownloadConfig{}, ""},
		"not if the caller wants nothing of it": {http.Header{"Etag": {`"x"`}}, parley.DownloadConfig{Fresh: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newShelf(t, size), t.TempDir()
			s.etag, s.cut = "", cut
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for k, v := range row.header {
					w.Header()[k] = v
				}
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(s.content)
			})
			_, err := client.Download(t.Context(), s.URL, filepath.Join(dir, "a"), parley.WithDownload(row.cfg))
			require.ErrorIs(t, err, parley.ErrRead)
			require.Equal(t, row.asked != "", len(listing(t, dir)) == 2, listing(t, dir))
			s.change(func() { s.cut = 0 })
			_, err = client.Download(t.Context(), s.URL, filepath.Join(dir, "a"))
			require.NoError(t, err)
			require.Equal(t, []string{row.asked}, s.requests())
			require.Equal(t, []string{"a"}, listing(t, dir))
		})
	}
}

func TestDownload_checksDigests(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 100_000)
	client := newSession(t)
	of256, of5 := sha256.Sum256(s.content), md5.Sum(s.content)
	base := base64.StdEncoding.EncodeToString
	right, wrong := "sha-256=:"+base(of256[:])+":", "sha-256=:"+base(make([]byte, 32))+":"
	for name, row := range map[string]struct {
		header   http.Header
		opt      parley.RequestOption
		verified []string // nil: it fails
	}{
		"the caller's":                        {nil, parley.WithIntegrity("sha256-" + base(of256[:])), []string{"sha256"}},
		"a wrong one of the caller's":         {nil, parley.WithIntegrity("sha256-" + base(make([]byte, 32))), nil},
		"Repr-Digest":                         {http.Header{"Repr-Digest": {right}}, parley.WithOptions(), []string{"sha256"}},
		"both":                                {http.Header{"Repr-Digest": {right}}, parley.WithIntegrity("sha256-" + base(of256[:])), []string{"sha256", "sha256"}},
		"a wrong Repr-Digest":                 {http.Header{"Repr-Digest": {wrong}}, parley.WithOptions(), nil},
		"Repr-Digest by unknown ways":         {http.Header{"Repr-Digest": {"md5=:AAAA:, x=1, sha-256=AAAA"}}, parley.WithOptions(), []string{}},
		"one of several that is known":        {http.Header{"Repr-Digest": {"md5=:AAAA:", right + ";x=y"}}, parley.WithOptions(), []string{"sha256"}},
		"Content-MD5":                         {http.Header{"Content-Md5": {base(of5[:])}}, parley.WithOptions(), []string{"md5"}},
		"a wrong Content-MD5":                 {http.Header{"Content-Md5": {base(make([]byte, 16))}}, parley.WithOptions(), nil},
		"Repr-Digest counts before the other": {http.Header{"Content-Md5": {base(make([]byte, 16))}, "Repr-Digest": {right}}, parley.WithOptions(), []string{"sha256"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.change(func() {
				s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for k, v := range row.header {
						w.Header()[k] = v
					}
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
				})
			})
			for _, ways := range []parley.DownloadConfig{{}, {Parallel: 3, PartSize: parley.MinPartSize}} {
				dir := t.TempDir()
				got, err := client.Download(t.Context(), s.URL, filepath.Join(dir, "a"), row.opt, parley.WithDownload(ways))
				if row.verified == nil {
					require.ErrorIs(t, err, parley.ErrIntegrity)
					require.Empty(t, listing(t, dir), "what is wrong is not kept")
					continue
				}
				require.NoError(t, err)
				require.ElementsMatch(t, row.verified, got.Verified)
			}
		})
	}
	t.Run("also of what was taken up", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a")
		s.change(func() { s.cut, s.file = 50_000, nil })
		_, err := client.Download(t.Context(), s.URL, path)
		require.Error(t, err)
		s.change(func() { s.cut = 0 })
		got, err := client.Download(t.Context(), s.URL, path, parley.WithIntegrity("sha256-"+base(of256[:])))
		require.NoError(t, err)
		require.Equal(t, int64(50_000), got.Resumed)
		require.Equal(t, []string{"sha256"}, got.Verified)
	})
}
