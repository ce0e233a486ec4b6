package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

// reach does what people do with servers.
func reach(t *testing.T, c *parley.Client, w way, p protocol) {
	t.Run("small requests", func(t *testing.T) { reachSmall(t, c) })
	t.Run("large bodies", func(t *testing.T) { reachLarge(t, c) })
	t.Run("gzip", func(t *testing.T) {
		resp, err := c.Get(t.Context(), "gzip")
		require.NoError(t, err)
		require.True(t, resp.Uncompressed)
		var got struct{ Gzipped bool }
		require.NoError(t, resp.JSON(&got))
		require.True(t, got.Gzipped)
	})
	t.Run("redirects", func(t *testing.T) {
		resp, err := c.Get(t.Context(), "relative-redirect/3")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Len(t, resp.History, 3)
		got, err := parley.As[echo](c.Post(t.Context(), "redirect-to", parley.WithQuery("url", "/post"), parley.WithQuery("status_code", "307"), parley.WithText("tea")))
		require.NoError(t, err)
		require.Equal(t, "tea", got.Data)
	})
	t.Run("auth", func(t *testing.T) { reachWithPasswords(t, c) })
	http2 := p.want == "HTTP/2.0"
	if w.trailers != "" && (http2 || w.trailers != "h2") {
		t.Run("trailers", func(t *testing.T) { reachTrailers(t, c, w.trailers) })
	}
	t.Run("many at once", func(t *testing.T) {
		atOnce := 10
		if http2 {
			atOnce = 100
		}
		before := c.Stats()
		require.NoError(t, crowd(t, c, atOnce, 100, "hello", "hello"))
		after := c.Stats()
		dials := after.Dials - before.Dials
		switch {
		case http2:
			require.LessOrEqual(t, dials, int64(2), "one connection serves many: %+v", after)
		case !w.costly:
			require.LessOrEqual(t, after.Dials, int64(20), "connections are kept: %+v", after)
		}
		require.GreaterOrEqual(t, after.Reuses-before.Reuses, int64(50), "connections are kept: %+v", after)
	})
}

func reachSmall(t *testing.T, c *parley.Client) {
	ctx := t.Context()
	t.Run("GET", func(t *testing.T) {
		got, err := parley.As[echo](c.Get(ctx, "get", parley.WithQuery("q", "tea & cake"), parley.WithHeader("X-Key", "7")))
		require.NoError(t, err)
		require.Equal(t, []string{"tea & cake"}, got.Args["q"])
		require.Equal(t, []string{"7"}, got.Headers["X-Key"])
		for _, name := range []string{"Proxy-Authorization", "Proxy-Connection"} {
			require.NotContains(t, got.Headers, name, "that is for proxies")
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := c.Head(ctx, "get")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		body, err := resp.Bytes()
		require.NoError(t, err)
		require.Empty(t, body)
	})
	t.Run("POST", func(t *testing.T) {
		got, err := parley.As[echo](c.Post(ctx, "post", parley.WithJSON(map[string]int{"cups": 2})))
		require.NoError(t, err)
		require.Equal(t, map[string]any{"cups": 2.0}, got.JSON)
	})
	t.Run("what there is not", func(t *testing.T) {
		resp, err := c.Get(ctx, "status/404")
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
		var refusal *parley.StatusError
		require.ErrorAs(t, resp.Err(), &refusal)
	})
	t.Run("an answer without content", func(t *testing.T) {
		resp, err := c.Delete(ctx, "status/204")
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
	})
}

func reachLarge(t *testing.T, c *parley.Client) {
	want := largeDigest()
	for name, opt := range map[string]parley.RequestOption{
		"up, of known length":   parley.WithHeader("Content-Length", strconv.Itoa(largeSize)),
		"up, of unknown length": parley.WithHeader("X-Length", "none"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parley.As[string](c.Put(t.Context(), "large", parley.WithReader(bytes.NewReader(large())), opt))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	t.Run("down", func(t *testing.T) {
		resp, err := c.Stream(t.Context(), http.MethodGet, "large")
		require.NoError(t, err)
		defer resp.Close()
		sum := sha256.New()
		_, err = io.Copy(sum, resp.Body)
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(sum.Sum(nil)))
	})
	t.Run("left in its middle", func(t *testing.T) {
		resp, err := c.Stream(t.Context(), http.MethodGet, "large")
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 1000))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
	})
}

func reachWithPasswords(t *testing.T, c *parley.Client) {
	ctx := t.Context()
	path := "basic-auth/" + user + "/" + url.PathEscape("open: sesame")
	resp, err := c.Get(ctx, path, parley.WithBasicAuth(user, password))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, err = c.Get(ctx, path, parley.WithBasicAuth(user, "simsim"))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	digest, err := parley.DigestAuth(user, "sesame")
	require.NoError(t, err)
	resp, err = c.Get(ctx, "digest-auth/auth/"+user+"/sesame", parley.WithAuth(digest))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func reachTrailers(t *testing.T, c *parley.Client, direction string) {
	opts := []parley.RequestOption{parley.WithText("tea"), parley.WithHeader("TE", "trailers")}
	if direction == "both" {
		opts = append(opts, parley.WithTrailer("X-Sent", func() string { return "green" }))
	}
	resp, err := c.Post(t.Context(), "trailers", opts...)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "tea", text)
	require.Equal(t, "7", resp.Trailer.Get("X-Check"))
	if direction == "both" {
		require.Equal(t, "green", resp.Trailer.Get("X-Sent"))
	}
}
