package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/stretchr/testify/require"
)

func TestBinResource(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	r := api.NewResource(c, parley.WithHeader("X-Own", "yes"))
	ctx := t.Context()

	got, err := api.Get[echo](ctx, r.At("anything", "a/b", "ü"), parley.WithQuery("q", "tea & cake"))
	require.NoError(t, err)
	require.Contains(t, got.URL, "/anything/a%2Fb/%C3%BC?q=tea")
	require.Equal(t, []string{"yes"}, got.Headers["X-Own"])
	got, err = api.Post[echo](ctx, r.Suffix("/").At("anything", "x"), parley.WithJSON([]int{1}))
	require.NoError(t, err)
	require.Contains(t, got.URL, "/anything/x/")
	require.Equal(t, []any{1.0}, got.JSON)

	for path, want := range map[string]any{"json": map[string]any{}, "html": "", "encoding/utf8": "", "image/png": []byte{}, "robots.txt": "", "bytes/10": []byte{}} {
		content, err := r.Join(path).Get(ctx)
		require.NoError(t, err, path)
		require.IsType(t, want, content, path)
	}
	none, err := r.At("status", "204").Delete(ctx)
	require.NoError(t, err)
	require.Nil(t, none)
	for status, want := range map[string]bool{"200": true, "404": false, "410": false} {
		exists, err := r.At("status", status).Exists(ctx)
		require.NoError(t, err)
		require.Equal(t, want, exists, status)
	}
	_, err = r.At("status", "418").Get(ctx)
	var refused *parley.StatusError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusTeapot, refused.StatusCode)

	count := 0
	for _, err := range api.Items[map[string]any](ctx, r.At("json"), api.WithItemsAt("slideshow", "slides")) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 2, count)

	moved, err := api.Get[echo](ctx, r.At("redirect", "2"))
	require.NoError(t, err)
	require.Contains(t, moved.URL, "/get")
	_, err = r.At("redirect", "1").Get(ctx, parley.WithFollowRedirects(false))
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusFound, refused.StatusCode)

	path := filepath.Join(t.TempDir(), "file")
	_, err = r.At("range", "100").Download(ctx, path)
	require.NoError(t, err)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, content, 100)
}
