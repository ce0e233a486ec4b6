package integration

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// nginx starts nginx with testdata/nginx.conf. bin is the address of what stands
// behind its /bin/, "" if the test does not use it.
func nginx(t *testing.T, bin string) *peer.Peer {
	t.Helper()
	if bin == "" {
		bin = "127.0.0.1:9" // the discard service
	}
	return peer.Start(t, peer.Program{
		Command: "nginx",
		Package: "nginx",
		Args:    []string{"-e", "{{dir}}/error.log", "-p", "{{dir}}", "-c", "{{dir}}/nginx.conf"},
		Files: map[string]string{
			"nginx.conf":           config(t, "nginx.conf"),
			"users":                shaLine(user, password),
			"www/hello.txt":        "hello",
			"www/large.txt":        content(1 << 20),
			"www/folder/hello.txt": "hello from the folder",
			"uploads/.keep":        "",
		},
		Values: map[string]string{"Bin": bin},
	})
}

// shaLine is a line of a password file as htpasswd -s writes it.
func shaLine(user, password string) string {
	sum := sha1.Sum([]byte(password))
	return user + ":{SHA}" + base64.StdEncoding.EncodeToString(sum[:]) + "\n"
}

// crowd sends count requests from a number of goroutines at once and gives the first
// error; an answer other than 200 with the content wanted is one.
func crowd(t *testing.T, c *parley.Client, goroutines, count int, url, want string, opts ...parley.RequestOption) error {
	t.Helper()
	requests := func(yield func(*parley.Request) bool) {
		for range count {
			req, err := c.NewRequest(http.MethodGet, url, opts...)
			require.NoError(t, err)
			if !yield(req) {
				return
			}
		}
	}
	answers := 0
	for result := range c.Gather(t.Context(), goroutines, requests) {
		text, err := parley.As[string](result.Response, result.Err)
		if err != nil {
			return fmt.Errorf("request %d: %w", result.Index, err)
		}
		if text != want {
			return fmt.Errorf("request %d: got %q", result.Index, text)
		}
		answers++
	}
	require.Equal(t, count, answers)
	return nil
}

// connections tells how many connections the first count requests of the access log came
// by; each line begins with what tells one from the others.
func connections(t *testing.T, p *peer.Peer, count int) int {
	t.Helper()
	seen := make(map[string]bool)
	for _, line := range logged(t, p, count) {
		id, _, _ := strings.Cut(line, " ")
		seen[id] = true
	}
	return len(seen)
}

func TestNginxSeesNoMoreConnectionsThanTheHardLimit(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 4, Hard: 4}))
	require.NoError(t, crowd(t, c, 50, 500, p.URL("main")+"/hello", "hello"))
	require.EqualValues(t, 500-c.Stats().Reuses, connections(t, p, 500))
	require.LessOrEqual(t, c.Stats().Dials, int64(4))

	// All but the one that asks are idle for nginx too, once it has seen the end of those
	// that looked whether it listens.
	wiretest.Eventually(t, func() bool {
		text, err := parley.As[string](c.Get(t.Context(), p.URL("main")+"/status"))
		require.NoError(t, err)
		return strings.HasSuffix(text, fmt.Sprintf("Reading: 0 Writing: 1 Waiting: %d \n", c.Stats().Idle-1))
	}, "the counts of nginx are those of parley")
}

func TestNginxClosesConnectionsWithoutAnyErrorForTheCaller(t *testing.T) {
	p := nginx(t, "")
	tests := []struct {
		port, rule string
		check      func(t *testing.T, s parley.PoolStats)
	}{
		{"few", "after five requests", func(t *testing.T, s parley.PoolStats) {
			require.GreaterOrEqual(t, s.Dials, int64(100))
		}},
		{"none", "after every answer", func(t *testing.T, s parley.PoolStats) {
			require.GreaterOrEqual(t, s.Dials, int64(500))
			require.Zero(t, s.Reuses)
		}},
		{"short", "soon after they became idle", func(*testing.T, parley.PoolStats) {}},
		{"announced", "at an announced time", func(t *testing.T, s parley.PoolStats) {
			require.LessOrEqual(t, s.Dials, int64(20))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 20, Hard: 20}))
			require.NoError(t, crowd(t, c, 50, 500, p.URL(tt.port)+"/", tt.port))
			tt.check(t, c.Stats())
		})
	}
	t.Run("after five requests, over redirects", func(t *testing.T) {
		c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 20, Hard: 20}))
		require.NoError(t, crowd(t, c, 50, 500, p.URL("few")+"/moved", "few"))
		require.GreaterOrEqual(t, c.Stats().Dials, int64(200))
	})
}

// TestNginxEndsAConnectionWhileItIsTakenUpAgain meets the moment in which the server
// closes an idle connection and the client sends on it: a GET is sent again by itself.
func TestNginxEndsAConnectionWhileItIsTakenUpAgain(t *testing.T) {
	p := nginx(t, "")
	c := session(t)
	tick := time.NewTicker(20 * time.Millisecond) // nginx's limit
	defer tick.Stop()
	for range 40 {
		<-tick.C
		require.NoError(t, crowd(t, c, 4, 4, p.URL("short")+"/", "short"))
	}
	t.Logf("%d reuses, %d replays, closed: %v", c.Stats().Reuses, c.Stats().Replays, c.Stats().Closed)
}

func TestNginxKeepAliveHeaderShortensTheIdleTime(t *testing.T) {
	p := nginx(t, "")
	c := session(t)
	resp, err := c.Get(t.Context(), p.URL("announced")+"/")
	require.NoError(t, err)
	require.Equal(t, "timeout=1", resp.Header.Get("Keep-Alive"))
	require.Eventually(t, func() bool { return c.Stats().Idle == 0 }, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, c.Stats().Closed["peer closed while idle"], "parley closes before the server does")
}

func TestNginxCompressesInChunksWithTrailers(t *testing.T) {
	p := nginx(t, "")
	c := session(t)
	want := content(1 << 20)
	t.Run("decoded", func(t *testing.T) {
		resp, err := c.Get(t.Context(), p.URL("main")+"/large.txt")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, want, text)
		require.Len(t, resp.Trailer.Get("X-Check"), 1024)
	})
	t.Run("raw", func(t *testing.T) {
		resp, err := c.Get(t.Context(), p.URL("main")+"/large.txt", parley.WithHeader("Accept-Encoding", "gzip"))
		require.NoError(t, err)
		raw, err := resp.Bytes()
		require.NoError(t, err)
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
		require.Less(t, len(raw), len(want)/10)
	})
	t.Run("not compressed", func(t *testing.T) {
		resp, err := c.Get(t.Context(), p.URL("main")+"/large.txt", parley.WithDecompression(false))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, want, text)
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := c.Head(t.Context(), p.URL("main")+"/large.txt")
		require.NoError(t, err)
		body, err := resp.Bytes()
		require.NoError(t, err)
		require.Empty(t, body)
	})
	require.EqualValues(t, 1, c.Stats().Dials)
}

func TestNginxServesRangesAndConditions(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithDecompression(false))
	whole := content(1 << 20)
	resp, err := c.Get(t.Context(), "large.txt", parley.WithHeader("Range", "bytes=100-199"))
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, whole[100:200], text)

	resp, err = c.Get(t.Context(), "large.txt", parley.WithHeader("Range", "bytes=2000000-"))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode)

	resp, err = c.Get(t.Context(), "room/nothing-here")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	resp, err = c.Head(t.Context(), "large.txt")
	require.NoError(t, err)
	resp, err = c.Get(t.Context(), "large.txt", parley.WithHeader("If-None-Match", resp.Header.Get("ETag")))
	require.NoError(t, err)
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
	require.EqualValues(t, 1, c.Stats().Dials)
}

func TestNginxLargeHeaders(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")))
	resp, err := c.Get(t.Context(), "big-headers")
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Len(t, resp.Header.Get("X-Big"), 8<<10)
	require.Len(t, resp.Header.Get("X-Bigger"), 56<<10)

	resp, err = c.Get(t.Context(), "hello", parley.WithHeader("X-Long", strings.Repeat("x", 7<<10)))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)

	resp, err = c.Get(t.Context(), "hello", parley.WithHeader("X-Long", strings.Repeat("x", 100<<10)))
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)

	resp, err = c.Get(t.Context(), "hello", parley.WithQuery("q", strings.Repeat("x", 100<<10)))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestURITooLong, resp.StatusCode)
}

func TestNginxRefusesALargeBodyEarly(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for name, body := range map[string]parley.Body{
		"announced": parley.BytesBody(make([]byte, 64<<20), ""),
		"in chunks": parley.ReaderBody(pattern(64 << 20)),
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := c.Put(t.Context(), "limited/file", parley.WithBody(body))
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		})
	}
}

func TestNginxTakes64MiBAndGivesThemBack(t *testing.T) {
	const size = 64 << 20
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for name, known := range map[string]bool{"announced": true, "in-chunks": false} {
		t.Run(name, func(t *testing.T) {
			sent := sha256.New()
			opts := []parley.RequestOption{parley.WithReader(io.TeeReader(pattern(size), sent))}
			if known {
				opts = append(opts, parley.WithHeader("Content-Length", fmt.Sprint(size)))
			}
			resp, err := c.Put(t.Context(), "upload/"+name, opts...)
			require.NoError(t, err)
			require.Equal(t, http.StatusCreated, resp.StatusCode)

			got := sha256.New()
			resp, err = c.Stream(t.Context(), http.MethodGet, "upload/"+name)
			require.NoError(t, err)
			n, err := io.Copy(got, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			require.EqualValues(t, size, n)
			require.Equal(t, hex.EncodeToString(sent.Sum(nil)), hex.EncodeToString(got.Sum(nil)))
		})
	}
	require.EqualValues(t, 1, c.Stats().Dials)
}

// TestNginxSendsSlowly shows that limits of time count from the last byte, and that a
// body that is left in its middle costs its connection and nothing else.
func TestNginxSendsSlowly(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")))
	_, err := c.Get(t.Context(), "slow/large.txt", parley.WithTimeout(300*time.Millisecond))
	require.ErrorIs(t, err, parley.ErrTotalTimeout)

	ctx, cancel := context.WithCancel(t.Context())
	resp, err := c.Stream(ctx, http.MethodGet, "slow/large.txt")
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, resp.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, resp.Close())

	resp, err = c.Stream(t.Context(), http.MethodGet, "slow/large.txt")
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, resp.Close())

	text, err := parley.As[string](c.Get(t.Context(), "hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", text)
	require.EqualValues(t, 1, c.Stats().Idle)
}

func TestNginxBeforeAnotherServer(t *testing.T) {
	backend := bin(t)
	p := nginx(t, backend.Listener.Addr().String())
	c := session(t, parley.WithBaseURL(p.URL("main")+"/bin"))
	type echo struct {
		Method  string
		Data    string
		JSON    map[string]any
		Form    map[string][]string
		Headers http.Header
	}
	got, err := parley.As[echo](c.Post(t.Context(), "post", parley.WithJSON(map[string]any{"tea": "green"})))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tea": "green"}, got.JSON)
	got, err = parley.As[echo](c.Put(t.Context(), "put", parley.WithForm(map[string]string{"a": "1 & 2"})))
	require.NoError(t, err)
	require.Equal(t, []string{"1 & 2"}, got.Form["a"])

	lines := 0
	resp, err := c.Stream(t.Context(), http.MethodGet, "stream/20")
	require.NoError(t, err)
	for _, err := range resp.Lines() {
		require.NoError(t, err)
		lines++
	}
	require.Equal(t, 20, lines)
	require.EqualValues(t, 1, c.Stats().Dials)
}
