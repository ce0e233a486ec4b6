package parley_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestDownload_inPartsAtOnce(t *testing.T) {
	t.Parallel()
	const size = 1_000_000
	parts := parley.WithDownload(parley.DownloadConfig{Parallel: 4, PartSize: parley.MinPartSize})
	t.Run("each byte once", func(t *testing.T) {
		s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
		others := make(chan struct{})
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch said := r.Header.Get("Range"); {
			case said == "": // gives the others time
				w.Header().Set("Accept-Ranges", "bytes")
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(s.content[:size/2])
				_ = http.NewResponseController(w).Flush()
				<-others
				_, _ = w.Write(s.content[size/2:])
				return
			case strings.HasSuffix(said, fmt.Sprint("-", size-1)):
				close(others)
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
		})
		got, err := client.Download(t.Context(), s.URL, path, parts)
		require.NoError(t, err)
		require.Equal(t, int64(size), got.Size)
		requireFile(t, s.content, path)
		asked := s.requests()
		require.Equal(t, "", asked[0])
		require.Contains(t, asked, fmt.Sprintf(`bytes=%d-%d "v1"`, size/65536*65536, size-1))
		slices.Sort(asked)
		require.Len(t, slices.Compact(asked), len(asked))
	})
	t.Run("of a small pool", func(t *testing.T) {
		s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
		client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}), parley.WithTimeouts(parley.Timeouts{Pool: time.Millisecond}))
		_, err := client.Download(t.Context(), s.URL, path, parts)
		require.NoError(t, err)
		requireFile(t, s.content, path)
	})
	t.Run("by one request if the server knows no ranges", func(t *testing.T) {
		s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(s.content) })
		_, err := client.Download(t.Context(), s.URL, path, parts)
		require.NoError(t, err)
		requireFile(t, s.content, path)
		require.Len(t, s.requests(), 1)
	})
	t.Run("by one request if it cannot be told whether it changes", func(t *testing.T) {
		s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
		s.etag = ""
		_, err := client.Download(t.Context(), s.URL, path, parts)
		require.NoError(t, err)
		require.Len(t, s.requests(), 1)
	})
	t.Run("taken up, at once or not", func(t *testing.T) {
		for _, then := range []int{1, 4} {
			s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
			dir := filepath.Dir(path)
			s.change(func() {
				s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.Header.Get("Range"), fmt.Sprint("-", size-1)) {
						wiretest.Eventually(t, func() bool { return noted(dir, `"from":0`) }, "the first part is there")
						panic(http.ErrAbortHandler)
					}
					if r.Header.Get("Range") == "" { // leaves the other end to other requests
						w.Header().Set("Accept-Ranges", "bytes")
						w.Header().Set("Content-Length", fmt.Sprint(size))
						_, _ = w.Write(s.content[:size/2])
						_ = http.NewResponseController(w).Flush()
						<-r.Context().Done()
						return
					}
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
				})
			})
			_, err := client.Download(t.Context(), s.URL, path, parts)
			require.ErrorIs(t, err, parley.ErrNetwork)
			s.change(func() { s.file = nil })
			got, err := client.Download(t.Context(), s.URL, path, parley.WithDownload(parley.DownloadConfig{Parallel: then, PartSize: parley.MinPartSize}))
			require.NoError(t, err)
			require.Positive(t, got.Resumed)
			require.Zero(t, got.Resumed%parley.MinPartSize%(size%parley.MinPartSize))
			requireFile(t, s.content, path)
			require.Equal(t, []string{"a"}, listing(t, dir))
		}
	})
	t.Run("anew by one request if it changes meanwhile", func(t *testing.T) {
		s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
		first := s.content
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				w.Header().Set("Accept-Ranges", "bytes")
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(first[:size/2])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // another request finds the change
				return
			}
			s.mu.Lock()
			if s.etag == `"v1"` {
				s.content, s.etag, s.file = random(size+7), `"v2"`, nil
			}
			content, etag := s.content, s.etag
			s.mu.Unlock()
			w.Header().Set("Etag", etag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
		got, err := client.Download(t.Context(), s.URL, path, parts)
		require.NoError(t, err)
		require.Equal(t, int64(size+7), got.Size)
		requireFile(t, s.content, path)
	})
	t.Run("but not for ever", func(t *testing.T) {
		s, client, dir := newShelf(t, size), newSession(t), t.TempDir()
		n := 0
		s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			n++
			w.Header().Set("Etag", fmt.Sprintf(`"%d"`, n))
			s.mu.Unlock()
			if r.Header.Get("Range") != "" {
				r.Header.Del("If-Range")
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
				return
			}
			w.Header().Set("Accept-Ranges", "bytes")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
		})
		_, err := client.Download(t.Context(), s.URL, filepath.Join(dir, "a"), parts)
		require.NoError(t, err, "one request needs no other")
		requireFile(t, s.content, filepath.Join(dir, "a"))
	})
}

func TestDownload_rangesThatAreNotThoseAskedFor(t *testing.T) {
	t.Parallel()
	const size, had = 500_000, 200_000
	client := newSession(t)
	for name, row := range map[string]struct {
		status int
		rng    string
		from   int // of what is sent
		to     int
		ok     bool
	}{
		"the rest":                      {206, "bytes 200000-499999/500000", had, size, true},
		"no range":                      {206, "", had, size, false},
		"another unit":                  {206, "items 200000-499999/500000", had, size, false},
		"from elsewhere":                {206, "bytes 100000-499999/500000", 100_000, size, false},
		"beyond the end":                {206, "bytes 200000-500000/500000", had, size, false},
		"backwards":                     {206, "bytes 200000-199999/500000", had, size, false},
		"not a number":                  {206, "bytes 200000-x/500000", had, size, false},
		"a number that is too large":    {206, "bytes 200000-9223372036854775807/9223372036854775808", had, size, false},
		"a length that it does not say": {206, "bytes 200000-499999/500000", had, size - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newShelf(t, size), t.TempDir()
			path := filepath.Join(dir, "a")
			s.change(func() { s.cut = had })
			_, err := client.Download(t.Context(), s.URL, path)
			require.Error(t, err)
			s.change(func() {
				s.cut = 0
				s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if row.rng != "" {
						w.Header().Set("Content-Range", row.rng)
					}
					w.Header().Set("Content-Length", fmt.Sprint(row.to-row.from))
					w.WriteHeader(row.status)
					_, _ = w.Write(s.content[row.from:row.to])
				})
			})
			_, err = client.Download(t.Context(), s.URL, path)
			if row.ok {
				require.NoError(t, err)
				requireFile(t, s.content, path)
				return
			}
			require.ErrorIs(t, err, parley.ErrRemoteProtocol)
			require.NotContains(t, listing(t, dir), "a")
		})
	}
	t.Run("less than was asked for is asked for again", func(t *testing.T) {
		s, path := newShelf(t, size), filepath.Join(t.TempDir(), "a")
		s.change(func() { s.cut = had })
		_, err := client.Download(t.Context(), s.URL, path)
		require.Error(t, err)
		s.change(func() {
			s.cut = 0
			s.file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var from int
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
				r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+99_999))
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
			})
		})
		_, err = client.Download(t.Context(), s.URL, path)
		require.NoError(t, err)
		requireFile(t, s.content, path)
		require.Equal(t, []string{`bytes=200000- "v1"`, `bytes=300000-499999 "v1"`, `bytes=400000-499999 "v1"`}, s.requests())
	})
}

func TestDownload_tellsHowFarItIs(t *testing.T) {
	t.Parallel()
	const size, had = 1_000_000, 200_000
	s, client, path := newShelf(t, size), newSession(t), filepath.Join(t.TempDir(), "a")
	var told []parley.Progress
	follow := parley.WithDownloadProgress(func(p parley.Progress) { told = append(told, p) })
	s.change(func() { s.cut = had })
	_, err := client.Download(t.Context(), s.URL, path, follow)
	require.Error(t, err)
	for _, p := range told {
		require.False(t, p.Done)
		require.LessOrEqual(t, p.Bytes, int64(had))
	}
	for _, ways := range []parley.DownloadConfig{{Parallel: 4, PartSize: parley.MinPartSize}, {Fresh: true}} {
		s.change(func() { s.cut, told = 0, nil })
		_, err = client.Download(t.Context(), s.URL, path, follow, parley.WithDownload(ways))
		require.NoError(t, err)
		require.NotEmpty(t, told)
		for i, p := range told {
			require.Equal(t, int64(size), p.Total)
			require.Equal(t, i == len(told)-1, p.Done)
			if !ways.Fresh {
				require.GreaterOrEqual(t, p.Bytes, int64(had), "what was there counts")
			}
		}
		last := told[len(told)-1]
		require.Equal(t, int64(size), last.Bytes)
		fetched := float64(size)
		if !ways.Fresh {
			fetched -= had
		}
		require.InEpsilon(t, fetched/last.Elapsed.Seconds(), last.Rate, 0.01, "of what was transferred")
	}
}

// noted reports whether what is written down beside a part in dir says something.
func noted(dir, what string) bool {
	notes, err := filepath.Glob(filepath.Join(dir, ".*.json"))
	for _, n := range notes {
		if b, failed := os.ReadFile(n); err == nil && failed == nil && strings.Contains(string(b), what) {
			return true
		}
	}
	return false
}
