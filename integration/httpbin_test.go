package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

// echo is what go-httpbin tells of a request.
type echo struct {
	Method  string
	URL     string
	Args    map[string][]string
	Headers http.Header
	Data    string
	Form    map[string][]string
	JSON    any
}

func TestBinAnything(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL), parley.WithHeader("X-Session", "yes"))
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"} {
		t.Run(method, func(t *testing.T) {
			got, err := parley.As[echo](c.Request(t.Context(), method, "anything/{of}/it", parley.WithPath("of", "a/b"), parley.WithQuery("q", "tea & cake")))
			require.NoError(t, err)
			require.Equal(t, method, got.Method)
			require.Contains(t, got.URL, "/anything/a%2Fb/it?q=tea")
			require.Equal(t, []string{"tea & cake"}, got.Args["q"])
			require.Equal(t, []string{"yes"}, got.Headers["X-Session"])
		})
	}

	resp, err := c.Options(t.Context(), "anything")
	require.NoError(t, err)
	require.Contains(t, resp.Header.Get("Access-Control-Allow-Methods"), "PATCH")
	resp, err = c.Head(t.Context(), "anything")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestBinBodies(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	tests := []struct {
		name string
		body parley.RequestOption
		want echo
	}{
		{"JSON", parley.WithJSON([]int{1, 2}), echo{Data: "[1,2]", JSON: []any{1.0, 2.0}}},
		{"a form", parley.WithForm(map[string]string{"a": "ä & ö"}), echo{Data: "a=%C3%A4+%26+%C3%B6", Form: map[string][]string{"a": {"ä & ö"}}}},
		{"text", parley.WithText("grüße"), echo{Data: "grüße"}},
		{"a reader of unknown size", parley.WithReader(io.LimitReader(strings.NewReader("tea and cake"), 3)), echo{Data: "data:application/octet-stream;base64,dGVh"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parley.As[echo](c.Post(t.Context(), "post", tt.body))
			require.NoError(t, err)
			require.Equal(t, tt.want.Data, got.Data)
			require.Equal(t, tt.want.JSON, got.JSON)
			require.Equal(t, tt.want.Form["a"], got.Form["a"])
		})
	}
}

func TestBinStatusCodes(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL), parley.WithFollowRedirects(false))
	for code := 200; code < 600; code++ {
		resp, err := c.Get(t.Context(), fmt.Sprintf("status/%d", code))
		require.NoError(t, err)
		require.Equal(t, code, resp.StatusCode)
		if code < 400 {
			require.NoError(t, resp.Err())
			continue
		}
		var status *parley.StatusError
		require.ErrorAs(t, resp.Err(), &status)
		require.Equal(t, code, status.StatusCode)
	}
	require.EqualValues(t, 2, c.Stats().Dials, "no status costs the connection but 421, which asks for another one")
}

func TestBinCodings(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	for _, coding := range []string{"gzip", "deflate"} {
		resp, err := c.Get(t.Context(), coding)
		require.NoError(t, err)
		require.True(t, resp.Uncompressed, coding)
		var got echo
		require.NoError(t, resp.JSON(&got))
		require.Equal(t, "GET", got.Method, coding)
	}
}

func TestBinTextAndHeaders(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	resp, err := c.Get(t.Context(), "encoding/utf8")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Contains(t, text, "STARGΛ̊TE")

	resp, err = c.Get(t.Context(), "response-headers", parley.WithQuery("X-Tea", "green", "black"))
	require.NoError(t, err)
	require.Equal(t, []string{"green", "black"}, resp.Header.Values("X-Tea"))

	type id struct{ UUID string }
	first, err := parley.As[id](c.Get(t.Context(), "uuid"))
	require.NoError(t, err)
	second, err := parley.As[id](c.Get(t.Context(), "uuid"))
	require.NoError(t, err)
	require.NotEqual(t, first, second)
}

func TestBinConditionsAndRanges(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	for _, tt := range []struct {
		header, value string
		want          int
	}{
		{"If-None-Match", `"tea"`, http.StatusNotModified},
		{"If-None-Match", `"coffee"`, http.StatusOK},
		{"If-Match", `"coffee"`, http.StatusPreconditionFailed},
	} {
		resp, err := c.Get(t.Context(), "etag/tea", parley.WithHeader(tt.header, tt.value))
		require.NoError(t, err)
		require.Equal(t, tt.want, resp.StatusCode, tt.value)
	}
	resp, err := c.Get(t.Context(), "cache")
	require.NoError(t, err)
	resp, err = c.Get(t.Context(), "cache", parley.WithHeader("If-Modified-Since", resp.Header.Get("Last-Modified")))
	require.NoError(t, err)
	require.Equal(t, http.StatusNotModified, resp.StatusCode)

	resp, err = c.Get(t.Context(), "range/100", parley.WithHeader("Range", "bytes=26-51"))
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "abcdefghijklmnopqrstuvwxyz", text)
}

func TestBinTakesItsTime(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	t.Run("a late head", func(t *testing.T) {
		_, err := c.Get(t.Context(), "delay/5", parley.WithTimeouts(parley.Timeouts{Response: 50 * time.Millisecond}))
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		resp, err := c.Get(t.Context(), "delay/0.1")
		require.NoError(t, err)
		require.GreaterOrEqual(t, resp.Timing().Total, 100*time.Millisecond)
	})
	t.Run("a body byte by byte", func(t *testing.T) {
		slow := parley.WithQuery("numbytes", "5")
		_, err := c.Get(t.Context(), "drip?duration=5s&delay=0s", slow, parley.WithTimeouts(parley.Timeouts{Read: 50 * time.Millisecond}))
		require.ErrorIs(t, err, parley.ErrReadTimeout)
		text, err := parley.As[string](c.Get(t.Context(), "drip?duration=100ms&delay=0s", slow))
		require.NoError(t, err)
		require.Equal(t, "*****", text)
	})
	t.Run("events as they come", func(t *testing.T) {
		resp, err := c.Stream(t.Context(), http.MethodGet, "sse?count=3&duration=50ms")
		require.NoError(t, err)
		var lines []string
		for line, err := range resp.Lines() {
			require.NoError(t, err)
			lines = append(lines, line)
		}
		require.Len(t, lines, 3*3)
		require.Equal(t, "event: ping", lines[0])
		require.Contains(t, lines[7], `"id":2`)
	})
}

func TestBinStreams(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	count := 0
	resp, err := c.Stream(t.Context(), http.MethodGet, "stream/50")
	require.NoError(t, err)
	for line, err := range resp.Lines() {
		require.NoError(t, err)
		require.Contains(t, line, fmt.Sprintf(`{"id":%d,`, count))
		count++
	}
	require.Equal(t, 50, count)

	resp, err = c.Stream(t.Context(), http.MethodGet, "stream-bytes/100000?chunk_size=1000")
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.EqualValues(t, 100_000, n)

	resp, err = c.Post(t.Context(), "trailers?X-Check=fine", parley.WithText("tea"))
	require.NoError(t, err)
	_, err = resp.Bytes()
	require.NoError(t, err)
	require.Equal(t, "fine", resp.Trailer.Get("X-Check"))
	require.EqualValues(t, 1, c.Stats().Dials)
}
