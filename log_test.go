package parley_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// records parses what a JSON logger has written.
func records(t testing.TB, log *safeBuffer) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(log.String()) {
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		out = append(out, r)
	}
	return out
}

func jsonLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// tale serves a redirect, an echo, an error and a body that is cut short.
func tale(t testing.TB) *wiretest.Server {
	return wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		switch r.URL.Path {
		case "/from":
			return leads(307, "/to")
		case "/busy":
			return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
		case "/cut":
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
			return ""
		case "/hold":
			c.Hold()
			return ""
		}
		return wiretest.OK("hello")
	}))
}

func TestLog_oneRecordForACall(t *testing.T) {
	t.Parallel()
	s := tale(t)
	var log safeBuffer
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithLogger(jsonLogger(&log, slog.LevelInfo)), parley.WithQuery("token", "x"))
	_, err := c.Post(t.Context(), "/from", parley.WithText("four"), parley.WithRoute("/{which}"))
	require.NoError(t, err)
	r := records(t, &log)
	require.Len(t, r, 1)
	duration := r[0]["duration"].(float64)
	require.Positive(t, duration)
	delete(r[0], "duration")
	delete(r[0], "time")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "http call", "method": "POST", "url": s.URL() + "/from?token=[hidden]", "route": "/{which}",
		"status": 200.0, "tries": 2.0, "reused": true, "sent": 8.0, "received": 5.0, "proto": "HTTP/1.1",
	}, r[0])
}

func TestLog_streamsAreLoggedWhenTheirBodyEnds(t *testing.T) {
	t.Parallel()
	s := tale(t)
	for name, end := range map[string]func(*parley.Response) error{
		"read":   func(r *parley.Response) error { _, err := r.Bytes(); return err },
		"copied": func(r *parley.Response) error { _, err := io.Copy(io.Discard, r.Body); return err },
		"closed": (*parley.Response).Close,
		"twice":  func(r *parley.Response) error { return errors.Join(r.Close(), r.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			c := newSession(t, parley.WithLogger(jsonLogger(&log, slog.LevelInfo)))
			resp, err := c.Stream(t.Context(), "GET", s.URL())
			require.NoError(t, err)
			require.Empty(t, log.String(), "it is not over")
			require.NoError(t, end(resp))
			r := records(t, &log)
			require.Len(t, r, 1)
			if name == "read" || name == "copied" {
				require.Equal(t, 5.0, r[0]["received"])
			}
		})
	}
}

func TestLog_failedCalls(t *testing.T) {
	t.Parallel()
	s := tale(t)
	for name, row := range map[string]struct {
		url, level, text string
		status           any
	}{
		"a status of 500 or more": {s.URL() + "/busy", "WARN", "", 503.0},
		"no connection":           {"http://127.0.0.1:1/?q=1", "WARN", "GET http://127.0.0.1:1/?...: connect: cannot connect", nil},
		"a body that is cut":      {s.URL() + "/cut", "WARN", "unexpected EOF", nil},
		"cancelled":               {s.URL() + "/hold", "INFO", "context canceled", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			c := newSession(t, parley.WithLogger(jsonLogger(&log, slog.LevelInfo)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "cancelled" {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			_, err := c.Get(ctx, row.url)
			r := records(t, &log)
			require.Len(t, r, 1)
			require.Equal(t, row.level, r[0]["level"])
			require.Equal(t, row.status, r[0]["status"])
			if err != nil {
				require.Equal(t, err.Error(), r[0]["error"], "what the caller got")
				require.Contains(t, r[0]["error"], row.text)
			}
		})
	}
	t.Run("a stream that is cut", func(t *testing.T) {
		var log safeBuffer
		c := newSession(t, parley.WithLogger(jsonLogger(&log, slog.LevelInfo)))
		resp, err := c.Stream(t.Context(), "GET", s.URL()+"/cut")
		require.NoError(t, err)
		_, err = resp.Bytes()
		require.Error(t, err)
		r := records(t, &log)
		require.Len(t, r, 1)
		require.Equal(t, err.Error(), r[0]["error"])
		require.Equal(t, 200.0, r[0]["status"])
		require.Equal(t, 5.0, r[0]["received"])
	})
}

func TestLog_debugAddsEachRequestWithItsHeaders(t *testing.T) {
	t.Parallel()
	s := tale(t)
	var log safeBuffer
	c := newSession(t, parley.WithLogger(jsonLogger(&log, slog.LevelDebug)), parley.WithHeader("X-Key", "secret"))
	_, err := c.Get(t.Context(), s.URL()+"/from")
	require.NoError(t, err)
	r := records(t, &log)
	require.Len(t, r, 3)
	for i, want := range []struct {
		path   string
		status float64
	}{{"/from", 307}, {"/to", 200}} {
		require.Equal(t, "http request", r[i]["msg"])
		require.Equal(t, float64(i+1), r[i]["number"])
		require.Equal(t, s.URL()+want.path, r[i]["url"])
		require.Equal(t, want.status, r[i]["status"])
		require.Equal(t, s.Addr(), r[i]["remote"])
		sent := r[i]["request"].(map[string]any)
		require.Equal(t, "[hidden]", sent["X-Key"])
		require.Equal(t, "*/*", sent["Accept"])
		require.Contains(t, r[i]["response"], "Content-Length")
	}
	require.Equal(t, "http call", r[2]["msg"])
}

// countingHandler counts what it is asked and told.
type countingHandler struct {
	least          slog.Level
	asked, handled atomic.Int32
	ctx            atomic.Value
}

func (h *countingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	h.asked.Add(1)
	return level >= h.least
}

func (h *countingHandler) Handle(ctx context.Context, _ slog.Record) error {
	h.ctx.Store(ctx)
	h.handled.Add(1)
	return nil
}

func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *countingHandler) WithGroup(string) slog.Handler      { return h }

type contextKey struct{}

func TestLog_levelsAreAskedFirstAndTheContextIsPassedOn(t *testing.T) {
	t.Parallel()
	s := tale(t)
	h := &countingHandler{least: slog.LevelWarn}
	c := newSession(t, parley.WithLogger(slog.New(h)), parley.WithBaseURL(s.URL()))
	ctx := context.WithValue(t.Context(), contextKey{}, "value")
	_, err := c.Get(ctx, "/")
	require.NoError(t, err)
	require.Zero(t, h.handled.Load(), "Info is not enabled")
	_, err = c.Get(ctx, "/busy")
	require.NoError(t, err)
	require.EqualValues(t, 1, h.handled.Load())
	require.Equal(t, "value", h.ctx.Load().(context.Context).Value(contextKey{}))
	_, err = c.Get(ctx, "/busy", parley.WithLogger(nil))
	require.NoError(t, err)
	require.EqualValues(t, 1, h.handled.Load(), "a request can take it back")
	other := &countingHandler{least: slog.LevelDebug}
	_, err = c.Get(ctx, "/busy", parley.WithLogger(slog.New(other)))
	require.NoError(t, err)
	require.EqualValues(t, 1, h.handled.Load(), "a request's logger is in the place of its session's")
	require.EqualValues(t, 2, other.handled.Load(), "the call, and its request for Debug")
}

func TestLog_callsOfForeignHands(t *testing.T) {
	t.Parallel()
	s := tale(t)
	for name, row := range map[string]struct {
		opts []parley.ClientOption
		send func(c *parley.Client) error
	}{
		"an http.Client of the session": {nil, func(c *parley.Client) error {
			resp, err := c.HTTPClient().Post(s.URL(), "text/plain", struct{ io.Reader }{strings.NewReader("four")})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}},
		"a foreign transport": {[]parley.ClientOption{parley.WithTransport(parley.FromRoundTripper(&http.Transport{DisableKeepAlives: true}))}, func(c *parley.Client) error {
			_, err := c.Post(t.Context(), s.URL(), parley.WithReader(struct{ io.Reader }{strings.NewReader("four")}))
			return err
		}},
		"a handler": {[]parley.ClientOption{parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			if err == nil {
				_, err = io.WriteString(w, "hello")
			}
			if err != nil {
				panic(err)
			}
		}))}, func(c *parley.Client) error {
			_, err := c.Post(t.Context(), s.URL(), parley.WithReader(struct{ io.Reader }{strings.NewReader("four")}))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			c := newSession(t, append(row.opts, parley.WithLogger(jsonLogger(&log, slog.LevelInfo)))...)
			require.NoError(t, row.send(c))
			r := records(t, &log)
			require.Len(t, r, 1)
			require.Equal(t, []any{"POST", 200.0, 1.0, 4.0, 5.0}, []any{r[0]["method"], r[0]["status"], r[0]["tries"], r[0]["sent"], r[0]["received"]})
		})
	}
}

func TestLog_costsNothingWhereItIsNotEnabled(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	answer := []byte(wiretest.OK("hello"))
	measure := func(opts ...parley.ClientOption) float64 {
		c := newSession(t, append(opts, parley.WithBaseURL("http://a.test"), parley.WithHTTP2(parley.HTTP2Off),
			parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) {
				return &cannedConn{answer: answer}, nil
			})))...)
		least := math.Inf(1) // what else goes on in the program counts too
		for range 3 {
			least = min(least, testing.AllocsPerRun(100, func() {
				if _, err := c.Get(context.Background(), "/"); err != nil {
					t.Error(err)
				}
			}))
		}
		return least
	}
	silent := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	require.Equal(t, measure(), measure(parley.WithLogger(silent)))
}

// BenchmarkLogged is a small GET of which a record is made, without a network.
func BenchmarkLogged(b *testing.B) {
	answer := []byte(wiretest.OK("hello"))
	for name, level := range map[string]slog.Level{"off": slog.LevelError, "info": slog.LevelInfo, "debug": slog.LevelDebug} {
		b.Run(name, func(b *testing.B) {
			c, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithLogger(jsonLogger(io.Discard, level)),
				parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) {
					return &cannedConn{answer: answer}, nil
				})))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(context.Background(), "/"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestLog_aResponseThatIsNeverClosedIsToldOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome"
	}))
	var log safeBuffer
	c := sessionTo(t, s, parley.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	for n := range 3 {
		drop(t, c)
		wiretest.Eventually(t, func() bool {
			runtime.GC()
			return c.Stats().Leaked == int64(n+1) && c.Stats().Active == 0
		}, "the response is found")
	}
	wiretest.Eventually(t, func() bool { return strings.Contains(log.String(), "http response not closed") }, "it is told")
	require.Contains(t, log.String(), `level=WARN msg="http response not closed" url=`+s.URL()+"/leaky?...\n")
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.NotContains(t, log.String(), "secret")
}
