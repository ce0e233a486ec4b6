package integration

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// curl runs curl against p, which it knows as site.test and below.site.test, and gives
// the body of the answer.
func curl(t *testing.T, p *peer.Peer, args ...string) string {
	t.Helper()
	fixed := []string{"--disable", "--silent", "--show-error", "--fail", "--location", "--noproxy", "*",
		"--connect-to", "site.test:80:" + p.Addr("main"), "--connect-to", "below.site.test:80:" + p.Addr("main")}
	cmd := exec.CommandContext(t.Context(), peer.Find(t, "curl", "curl"), append(fixed, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// TestCookiesTxtIsTheOneOfCurl lets each of the two go on with the cookies of the other.
func TestCookiesTxtIsTheOneOfCurl(t *testing.T) {
	p := nginx(t, "")
	names := wiretest.NewNames(map[string]string{"site.test:80": p.Addr("main"), "below.site.test:80": p.Addr("main")})
	jar := parley.NewJar()
	c := session(t, parley.WithDialer(names), parley.WithJar(jar))
	file := filepath.Join(t.TempDir(), "cookies.txt")
	// What is sent is the cookies that both know, so that there must be some.
	pages := map[string]int{
		"http://site.test/cookies/show":       3,
		"http://site.test/room/cookies":       3,
		"http://below.site.test/cookies/show": 1,
	}
	same := func(t *testing.T) {
		t.Helper()
		for page, count := range pages {
			text, err := parley.As[string](c.Get(t.Context(), page))
			require.NoError(t, err)
			require.Len(t, cookiesOf(text), count, page)
			require.ElementsMatch(t, cookiesOf(curl(t, p, "--cookie", file, page)), cookiesOf(text), page)
		}
	}
	t.Run("saved by curl", func(t *testing.T) {
		curl(t, p, "--cookie-jar", file, "http://site.test/cookies/set")
		require.NoError(t, jar.LoadNetscape(file))
		same(t)
	})
	t.Run("saved by parley", func(t *testing.T) {
		jar.Clear()
		_, err := c.Get(t.Context(), "http://site.test/cookies/set")
		require.NoError(t, err)
		require.NoError(t, jar.SaveNetscape(file))
		same(t)
	})
	t.Run("saved by both in turn", func(t *testing.T) {
		curl(t, p, "--cookie", file, "--cookie-jar", file, "http://site.test/cookies/show")
		jar.Clear()
		require.NoError(t, jar.LoadNetscape(file))
		same(t)
		require.NoError(t, jar.SaveNetscape(file))
		same(t)
	})
}
