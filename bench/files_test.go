package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryClientSendsAndSavesFilesWhole(t *testing.T) {
	addr := startTestServer(t)
	const size = 3*transferSize + 7
	for _, k := range allClients() {
		if k.name == nameFastHTTP {
			continue // its goroutines outlive it: TestEveryClientIsMeasured has it in another process
		}
		t.Run(k.name, func(t *testing.T) {
			base := "http://" + addr
			c, err := k.make(setup{addr: addr, base: base, conns: 1})
			require.NoError(t, err)
			defer func() { require.NoError(t, c.close()) }()
			dir := t.TempDir()
			sent, saved := fileOf(dir, "sent", 0), fileOf(dir, "saved", 0)
			require.NoError(t, makeSparse(sent, size))
			for range 2 { // over the connection of the first, and what it saved
				require.NoError(t, c.send(t.Context(), newTarget(base, pathUpload, 0), sent, size))
				require.NoError(t, c.save(t.Context(), newTarget(base, pathDownload+"786439", 0), saved, size))
			}
			content, err := os.ReadFile(saved)
			require.NoError(t, err)
			slab := newServer().slab
			require.True(t, string(content) == strings.Repeat(string(slab), 3)+string(slab[:7]))
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			require.Len(t, names, 2, "nothing else is left there")
			require.Error(t, c.send(t.Context(), newTarget(base, pathUpload, 0), filepath.Join(dir, "none"), size))
		})
	}
}

func TestCodedAnswersHoldWhatTheySay(t *testing.T) {
	const size = 1<<20 + 3
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+startTestServer(t)+pathCoded+"1048579", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "gzip") // so that net/http leaves it as it is
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
	require.Less(t, resp.ContentLength, int64(size/3))
	z, err := gzip.NewReader(resp.Body)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, z)
	require.NoError(t, err)
	require.Equal(t, int64(size), n)
}
