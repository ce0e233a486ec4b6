package parley_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// reports collects what is reported, and fails if two reports come at a time.
type reports struct {
	t    *testing.T
	busy atomic.Bool
	mu   sync.Mutex
	list []parley.Progress
}

func (r *reports) add(p parley.Progress) {
	if r.busy.Swap(true) {
		r.t.Error("two reports at a time")
	}
	r.mu.Lock()
	r.list = append(r.list, p)
	r.mu.Unlock()
	r.busy.Store(false)
}

func (r *reports) all() []parley.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// pacedReader gives one KB at a time, a pause before each.
func pacedReader(n int, pause time.Duration) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if n == 0 {
			return 0, io.EOF
		}
		n--
		time.Sleep(pause)
		return copy(p, make([]byte, 1000)), nil
	})
}

// handled is a session whose requests h answers, within a bubble of time.
func handled(t *testing.T, h http.HandlerFunc, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	return newSession(t, append([]parley.ClientOption{parley.WithBaseURL("http://a.test"), parley.WithHandler(h)}, opts...)...)
}

func discard(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

func TestUploadProgress_comesTenTimesASecondAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &reports{t: t}
		c := handled(t, discard, parley.WithUploadProgress(seen.add))
		_, err := c.Put(t.Context(), "up", parley.WithReader(pacedReader(100, 30*time.Millisecond)), parley.WithHeader("Content-Length", "100000"))
		require.NoError(t, err)
		list := seen.all()
		require.Len(t, list, 25, "each 120 ms of 3 s")
		for i, p := range list {
			require.EqualValues(t, 4000*(i+1), p.Bytes)
			require.EqualValues(t, 100_000, p.Total)
			require.Equal(t, time.Duration(i+1)*120*time.Millisecond, p.Elapsed)
			require.InDelta(t, 100_000.0/3, p.Rate, 1)
			require.Equal(t, i == len(list)-1, p.Done)
		}
	})
}

func TestDownloadProgress_ofAnAnswerOfUnknownLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &reports{t: t}
		c := handled(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				time.Sleep(50 * time.Millisecond)
				_, _ = w.Write(make([]byte, 1000))
				w.(http.Flusher).Flush()
			}
		}, parley.WithDownloadProgress(seen.add))
		_, err := c.Get(t.Context(), "down")
		require.NoError(t, err)
		list := seen.all()
		require.GreaterOrEqual(t, len(list), 5)
		last := list[len(list)-1]
		require.EqualValues(t, 10_000, last.Bytes)
		require.EqualValues(t, -1, last.Total)
		require.True(t, last.Done)
		for i, p := range list[:len(list)-1] {
			require.False(t, p.Done)
			require.GreaterOrEqual(t, list[i+1].Bytes, p.Bytes)
		}
	})
}

// The rate follows what happens now, but not every jolt of it.
func TestProgress_theRateIsSmoothed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &reports{t: t}
		c := handled(t, discard, parley.WithUploadProgress(seen.add))
		fast, slow := pacedReader(100, 10*time.Millisecond), pacedReader(25, 200*time.Millisecond)
		_, err := c.Put(t.Context(), "up", parley.WithReader(io.MultiReader(fast, slow)))
		require.NoError(t, err)
		at := func(elapsed time.Duration) float64 {
			for _, p := range seen.all() {
				if p.Elapsed >= elapsed {
					return p.Rate
				}
			}
			return -1
		}
		require.InDelta(t, 100_000, at(900*time.Millisecond), 1000)
		require.Greater(t, at(1300*time.Millisecond), 50_000.0, "one slow report counts little")
		require.Less(t, at(5500*time.Millisecond), 20_000.0, "but in the end the slow ones count")
		list := seen.all()
		require.InDelta(t, 125_000.0/6, list[len(list)-1].Rate, 1, "the last is of the whole")
	})
}

func TestProgress_onEveryTransport(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, n/2))
	}
	server := serveHTTP2(t, serve, nil)
	for name, c := range map[string]*parley.Client{
		"HTTP/1.1": server.session(t, parley.WithHTTP2(parley.HTTP2Off)),
		"HTTP/2":   server.session(t),
		"handler":  newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(serve))),
		"net/http": newSession(t, parley.WithBaseURL(server.URL), parley.WithTransport(parley.FromRoundTripper(server.Client().Transport))),
	} {
		for _, size := range []int{10, 1 << 20} { // the small one is written at once
			up, down := &reports{t: t}, &reports{t: t}
			_, err := c.Post(t.Context(), "x", parley.WithBytes(make([]byte, size)), parley.WithUploadProgress(up.add), parley.WithDownloadProgress(down.add))
			require.NoError(t, err, name)
			require.NotEmpty(t, up.all(), name)
			last := up.all()[len(up.all())-1]
			require.Equal(t, []any{int64(size), int64(size), true}, []any{last.Bytes, last.Total, last.Done}, name)
			require.NotEmpty(t, down.all(), name)
			last = down.all()[len(down.all())-1]
			require.Equal(t, []any{int64(size / 2), true}, []any{last.Bytes, last.Done}, name)
		}
	}
}

func TestUploadProgress_beginsAnewWhenTheBodyIsSentAgain(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/here" {
			return "HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nmove"
		}
		return wiretest.OK("done")
	}))
	up, down := &reports{t: t}, &reports{t: t}
	c := sessionTo(t, s, parley.WithUploadProgress(up.add), parley.WithDownloadProgress(down.add))
	_, err := c.Post(t.Context(), "here", parley.WithText("abc"))
	require.NoError(t, err)
	require.Len(t, up.all(), 2)
	for _, p := range up.all() {
		require.Equal(t, []any{int64(3), int64(3), true}, []any{p.Bytes, p.Total, p.Done})
	}
	require.Len(t, down.all(), 1, "a redirect is not reported")
	require.EqualValues(t, 4, down.all()[0].Bytes)
}

func TestProgress_whoIsAskedAndWhoIsNot(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	session, own := &reports{t: t}, &reports{t: t}
	c := sessionTo(t, s, parley.WithUploadProgress(session.add), parley.WithDownloadProgress(session.add))
	_, err := c.Post(t.Context(), "x", parley.WithText("abc"), parley.WithUploadProgress(own.add), parley.WithDownloadProgress(nil))
	require.NoError(t, err)
	require.Empty(t, session.all())
	require.Len(t, own.all(), 1)
	_, err = c.Head(t.Context(), "x")
	require.NoError(t, err)
	require.Empty(t, session.all(), "no content, no report")
	req, err := parley.NewRequest("POST", s.URL(), parley.WithText("abc"), parley.WithUploadProgress(own.add))
	require.NoError(t, err)
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	resp, err := pool.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Len(t, own.all(), 2, "without a session")
}

// What comes is counted, not what it becomes.
func TestDownloadProgress_countsBeforeDecoding(t *testing.T) {
	t.Parallel()
	packed := gzipped(t, strings.Repeat("a", 100_000))
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(len(packed)) + "\r\n\r\n" + string(packed)
	}))
	seen := &reports{t: t}
	resp, err := sessionTo(t, s).Get(t.Context(), "x", parley.WithDownloadProgress(seen.add))
	require.NoError(t, err)
	b, err := resp.Bytes()
	require.NoError(t, err)
	require.Len(t, b, 100_000)
	require.Len(t, seen.all(), 1)
	require.Equal(t, []any{int64(len(packed)), int64(len(packed))}, []any{seen.all()[0].Bytes, seen.all()[0].Total})
}

// Calls that share an option report side by side, each for itself.
func TestProgress_ofManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	var done atomic.Int64
	c := sessionTo(t, s, parley.WithUploadProgress(func(p parley.Progress) {
		if p.Done {
			done.Add(1)
		}
	}))
	req, err := c.NewRequest("POST", "x", parley.WithReader(bytes.NewReader(make([]byte, 200_000))))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := c.Send(t.Context(), req)
			if err == nil {
				err = resp.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 8, done.Load())
}
