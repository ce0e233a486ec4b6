package parley_test

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Events arrive as they are sent, a lost connection is made again, and leaving the loop
// ends the exchange, by either protocol.
func TestEvents_byEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guard)
			left := make(chan struct{}, 10)
			answered := make(chan string)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "id: %s\ndata: %s\n\n", r.Header.Get("Last-Event-ID")+"x", r.Proto)
				http.NewResponseController(w).Flush()
				select {
				case <-answered: // the client has got it
					panic(http.ErrAbortHandler)
				case <-r.Context().Done():
					left <- struct{}{}
				}
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			c := newSession(t, parley.WithEnv(false), parley.WithTLSConfig(server.Client().Transport.(*http.Transport).TLSClientConfig), hastily)
			var ids []string
			for e, err := range c.Events(t.Context(), server.URL) {
				require.NoError(t, err)
				require.Equal(t, proto, e.Data)
				if ids = append(ids, e.ID); len(ids) == 3 {
					break
				}
				answered <- ""
			}
			require.Equal(t, []string{"x", "xx", "xxx"}, ids)
			<-left
			requireNoneActive(t, c)
		})
	}
}

// flushing is a coder.
type flushing interface {
	io.WriteCloser
	Flush() error
}

// A coded stream gives its events when the server flushes them, not when its buffers are
// full.
func TestEvents_comeInTimeThroughEveryCoding(t *testing.T) {
	t.Parallel()
	coders := map[string]func(io.Writer) flushing{
		"gzip": func(w io.Writer) flushing { return gzip.NewWriter(w) },
		"br":   func(w io.Writer) flushing { return brotli.NewWriter(w) },
		"deflate": func(w io.Writer) flushing {
			z, err := flate.NewWriter(w, flate.BestSpeed)
			require.NoError(t, err)
			return z
		},
		"zstd": func(w io.Writer) flushing {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			require.NoError(t, err)
			return z
		},
	}
	for name, coder := range coders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guard)
			next := make(chan string)
			c := newSession(t, parley.WithEnv(false), parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Accept-Encoding"), name) {
					panic("not asked for")
				}
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Content-Encoding", name)
				z := coder(w)
				defer z.Close()
				for data := range next {
					fmt.Fprintf(z, "data: %s\n\n", data)
					z.Flush()
					http.NewResponseController(w).Flush()
				}
			})))
			go func() { next <- "0" }()
			n := 0
			for e, err := range c.Events(t.Context(), "feed") {
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(n), e.Data)
				if n++; n == 5 {
					break
				}
				next <- fmt.Sprint(n)
			}
			close(next)
		})
	}
}

// A stream that a caller ends from another goroutine, by its context, ends at once even
// while the server is silent.
func TestEvents_manyEndWithTheirContextAtOnce(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err == nil {
			c.Say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n")
			open.Add(1)
			c.Hold()
		}
	})
	c := newSession(t, parley.WithBaseURL(s.URL()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := make(chan error)
	for range 20 {
		go func() {
			var last error
			for _, last = range c.Events(ctx, "x") {
			}
			ends <- last
		}()
	}
	wiretest.Eventually(t, func() bool { return open.Load() == 20 }, "all are connected")
	cancelled := time.Now()
	cancel()
	for range 20 {
		require.ErrorIs(t, <-ends, context.Canceled)
	}
	require.Less(t, time.Since(cancelled), 2*time.Second)
	requireNoneActive(t, c)
}
