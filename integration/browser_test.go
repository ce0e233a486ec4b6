package integration

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

// What a browser makes of the pool's page: its policy lets the page's own script run, and
// that shows the figures.
func TestThePoolsPageInABrowser(t *testing.T) {
	browser := peer.Find(t, "chromium", "chromium")
	s := bin(t)
	c := session(t, parley.WithBaseURL(s.URL))
	for range 3 {
		_, err := c.Get(t.Context(), "status/200")
		require.NoError(t, err)
	}
	open, err := c.Stream(t.Context(), http.MethodGet, "bytes/100000", parley.WithQuery("token", "hunter2"))
	require.NoError(t, err)
	defer open.Close()
	mux := http.NewServeMux()
	mux.Handle("/debug/parley", parley.PoolHandler(c))
	pages := httptest.NewServer(mux)
	defer pages.Close()
	dir, err := os.MkdirTemp("", "browser")
	require.NoError(t, err)
	defer os.RemoveAll(dir) // its last process may be writing yet
	var shown []byte
	for try := 0; try < 3; try++ { // a browser may be slow to get going on a busy machine
		cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
			"--user-data-dir="+filepath.Join(dir, strconv.Itoa(try)), "--virtual-time-budget=5000", "--timeout=20000", "--dump-dom", pages.URL+"/debug/parley")
		cmd.WaitDelay = 10 * time.Second
		if shown, err = cmd.Output(); err == nil && len(shown) > 0 {
			break
		}
		t.Logf("try %d: %v", try, err)
	}
	dom := string(shown)
	require.Contains(t, dom, "Client "+s.URL+"/ [1 active, 0 idle]</h1>")
	require.Contains(t, dom, `<div><b>4</b>requests</div>`)
	require.Contains(t, dom, `<div><b>75 %</b>reused</div>`)
	oldest := "GET " + s.URL + "/bytes/100000"
	require.Contains(t, dom, `<td class="name" title="`+s.URL+`">`+s.URL+`<div>longest: `+oldest+`</div></td>`)
	require.NotContains(t, dom, "hunter2")
	require.Contains(t, dom, `<li>Nothing.</li>`)
}
