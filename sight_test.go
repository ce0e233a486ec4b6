package parley_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestSight_ByHTTP2(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	var log, dump safeBuffer
	c, err := parley.New(parley.WithTLSConfig(&tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}),
		parley.WithLogger(jsonLogger(&log, slog.LevelInfo)), parley.WithDump(&dump, 100), parley.WithEnv(false))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	resp, err := c.Post(t.Context(), s.URL, parley.WithReader(struct{ io.Reader }{strings.NewReader("content")}))
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", resp.Proto)
	r := records(t, &log)
	require.Len(t, r, 1)
	require.Equal(t, []any{"HTTP/2.0", 7.0, 7.0}, []any{r[0]["proto"], r[0]["sent"], r[0]["received"]})
	require.Contains(t, dump.String(), "HTTP/2.0 200 OK\n")
	require.Equal(t, 2, strings.Count(dump.String(), "\ncontent\n"))
}

func TestSight_anUpgradeIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil && c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello") {
			c.Hold()
		}
	})
	o := newOutputs()
	c := newSession(t, o.options()...)
	resp, err := c.Stream(t.Context(), "GET", s.URL(), parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "x"))
	require.NoError(t, err)
	require.Contains(t, o.log.String(), `"status":101`, "the call is over")
	conn, err := resp.Conn()
	require.NoError(t, err)
	b := make([]byte, 5)
	_, err = io.ReadFull(conn, b)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	require.NoError(t, conn.Close())
}

func TestSight_aFileIsCounted(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	path := filepath.Join(t.TempDir(), "file")
	content := strings.Repeat("x", 300_000)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	for name, by := range map[string]parley.ClientOption{"where nobody sees it": nil, "where it is dumped": parley.WithDump(io.Discard, 10)} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			c := newSession(t, parley.WithLogger(jsonLogger(&log, slog.LevelInfo)))
			if by != nil {
				c = derive(t, c, by)
			}
			resp, err := c.Post(t.Context(), s.URL(), parley.WithBodyFile(path))
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, 300_000.0, records(t, &log)[0]["sent"])
			require.True(t, strings.Contains(s.Text(), content))
		})
	}
}

func TestSight_aResponseThatIsDroppedIsNoticed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome"
	}))
	o := newOutputs()
	c := newSession(t, o.options()...)
	func() {
		resp, err := c.Stream(context.Background(), "GET", s.URL())
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
	}()
	wiretest.Eventually(t, func() bool {
		runtime.GC()
		return c.Stats().Leaked == 1 && c.Stats().Active == 0
	}, "nothing that sees the call holds its response")
}

func TestSight_bodiesThatAreSentAgain(t *testing.T) {
	t.Parallel()
	auth, err := parley.DigestAuth("user", "word")
	require.NoError(t, err)
	var asked atomic.Bool
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if !asked.Swap(true) {
			return "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(r.Header.Get("Authorization")[:6])
	}))
	o := newOutputs()
	c := newSession(t, o.options()...)
	_, err = c.Post(t.Context(), s.URL(), parley.WithAuth(auth), parley.WithMultipart(parley.FormField("a", "b")))
	require.NoError(t, err)
	call := o.recorder.Calls()[0]
	require.Equal(t, 2, call.Tries)
	require.Equal(t, []int{401, 200}, []int{call.Requests[0].Status, call.Requests[1].Status})
	require.Equal(t, call.Requests[0].Sent+call.Requests[1].Sent, call.Sent)
	require.Positive(t, call.Requests[1].Sent)
	require.Equal(t, 2, strings.Count(o.dump.String(), "name=\"a\""))
}

func TestSight_eachSeesAsMuchOfABodyAsItIsTo(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	var dump safeBuffer
	h, r := parley.NewHAR(parley.HARConfig{MaxBodyBytes: 4}), parley.NewRecorder(1)
	c := newSession(t, parley.WithDump(&dump, 2), parley.WithHAR(h), parley.WithRecorder(r))
	_, err := c.Post(t.Context(), s.URL(), parley.WithText("abcdef"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(dump.String(), "\nab\n[the first 2 of 6 bytes]\n"))
	require.Equal(t, "abcd", archived(t, h)[0].Request.PostData.Text)
	var out strings.Builder
	require.NoError(t, r.WriteHAR(&out))
	require.NotContains(t, out.String(), "ab")
}
