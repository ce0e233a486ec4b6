package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
)

func TestCaddyCompresses(t *testing.T) {
	want := content(1 << 20)
	p := peer.Start(t, peer.Program{
		Command: "caddy",
		Package: "caddy",
		Args:    []string{"run", "--adapter", "caddyfile", "--config", "{{dir}}/Caddyfile"},
		Files:   map[string]string{"Caddyfile": config(t, "Caddyfile.codings"), "www/large.txt": want},
	})
	c := session(t, parley.WithBaseURL(p.URL("main")))
	raw, err := c.Get(t.Context(), "large.txt", parley.WithHeader("Accept-Encoding", c.Header().Get("Accept-Encoding")))
	require.NoError(t, err)
	require.Equal(t, "zstd", raw.Header.Get("Content-Encoding"))
	resp, err := c.Get(t.Context(), "large.txt")
	require.NoError(t, err)
	require.True(t, resp.Uncompressed)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, want, text)
}
