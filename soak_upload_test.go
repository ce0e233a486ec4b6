package parley_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// countingServer answers a request with the size of its content, of which it keeps and
// records nothing.
func countingServer(c *wiretest.Conn) {
	br := bufio.NewReader(c.Conn)
	buf := make([]byte, 64<<10)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, buf)
		if err != nil || !c.Say(wiretest.OK(fmt.Sprint(n))) {
			return
		}
	}
}

// A file of 4 GiB, or a few MiB in an ordinary run, goes up in constant memory: as it is,
// and in a form with a field before it. It runs alone, as others allocate too.
func TestSoak_aHugeFileGoesUpInConstantMemory(t *testing.T) {
	size, bound := int64(64<<20), uint64(4<<20)
	if os.Getenv("PARLEY_SOAK") != "" {
		size, bound = 4<<30, 16<<20 // handing over a piece of 256 KiB costs some hundred bytes
	}
	path := filepath.Join(t.TempDir(), "sparse.bin")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	authority := wiretest.NewAuthority(t)
	servers := map[string]*wiretest.Server{"plain": wiretest.Serve(t, countingServer)}
	if size <= 64<<20 && !raceEnabled { // the cipher's speed is not what this is about
		servers["TLS"] = wiretest.ServeTLS(t, authority.Server(t), countingServer)
	}
	form, err := parley.MultipartBody(parley.FormField("title", "a large file"), parley.FormFile("file", path))
	require.NoError(t, err)
	file, err := parley.FileBody(path)
	require.NoError(t, err)
	for name, s := range servers {
		c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
		_, err := c.Get(t.Context(), "warm")
		require.NoError(t, err)
		for what, body := range map[string]parley.Body{"file": file, "form": form} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := c.Put(t.Context(), "up", parley.WithBody(body))
			runtime.ReadMemStats(&after)
			require.NoError(t, err, "%s %s", name, what)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(body.Size()), text, "%s %s", name, what)
			require.GreaterOrEqual(t, body.Size(), size)
			// All that was allocated, freed again or not.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, bound, "%s %s", name, what)
		}
	}
}
