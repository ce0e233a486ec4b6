package parley_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// netrcFile lays down a file that its owner alone can read, or as mode says.
func netrcFile(t testing.TB, text string, mode ...os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	for _, m := range mode {
		require.NoError(t, os.Chmod(path, m))
	}
	return path
}

// askedAs gives the Authorization that a request to url arrives with.
func askedAs(t testing.TB, url string, opts ...parley.ClientOption) string {
	t.Helper()
	var got string
	client := newSession(t, append(opts, parley.WithTransport(guarded(func(v string) bool { got = v; return true })))...)
	_, err := client.Get(t.Context(), url)
	require.NoError(t, err)
	return got
}

// The Basic credentials of two logins.
const (
	asUP = "Basic dTpw" // u:p
	asDQ = "Basic ZDpx" // d:q
)

func TestNetrcAuth(t *testing.T) {
	t.Parallel()
	path := netrcFile(t, "machine a.test login u password p\nmachine broken.test login\nmachine half.test login u\ndefault login d password q\n")
	for name, row := range map[string]struct {
		url        string
		useDefault bool
		want       string
	}{
		"a machine of the file":             {"http://a.test/", false, asUP},
		"whatever the port":                 {"https://a.test:8443/", false, asUP},
		"one that is not in it":             {"http://b.test/", false, ""},
		"below one of the file":             {"http://sub.a.test/", false, ""},
		"the default, where asked for":      {"http://b.test/", true, asDQ},
		"no default for a broken entry":     {"http://broken.test/", true, ""},
		"no default for an incomplete one":  {"http://half.test/", true, ""},
		"the user that the URL names":       {"http://u@a.test/", false, asUP},
		"another user than the URL names":   {"http://x@a.test/", true, ""},
		"the default for the user it names": {"http://d@b.test/", true, asDQ},
		"no default for another user":       {"http://x@b.test/", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := parley.NetrcAuth(path, row.useDefault)
			require.NoError(t, err)
			require.Equal(t, row.want, askedAs(t, row.url, parley.WithAuth(a)))
		})
	}
	t.Run("a login that Basic cannot carry", func(t *testing.T) {
		t.Parallel()
		a, err := parley.NetrcAuth(netrcFile(t, "machine a.test login u:SECRET password SECRET"), false)
		require.NoError(t, err)
		_, err = newSession(t, parley.WithAuth(a), parley.WithTransport(unreached(t))).Get(t.Context(), "http://a.test/")
		require.ErrorContains(t, err, "line 1")
		requireNoLeak(t, err)
	})
	t.Run("files that cannot be used", func(t *testing.T) {
		t.Parallel()
		_, err := parley.NetrcAuth(filepath.Join(t.TempDir(), "none"), false)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = parley.NetrcAuth(t.TempDir(), false)
		require.Error(t, err)
		if runtime.GOOS != "windows" {
			_, err = parley.NetrcAuth(netrcFile(t, "", 0o644), false)
			require.ErrorContains(t, err, "chmod 600")
		}
	})
}

func TestNetrcAuth_theFileOfTheEnvironment(t *testing.T) {
	t.Setenv("NETRC", netrcFile(t, "machine a.test login u password p"))
	a, err := parley.NetrcAuth("", false)
	require.NoError(t, err)
	require.Equal(t, asUP, askedAs(t, "http://a.test/", parley.WithAuth(a), parley.WithEnv(false)))

	home := t.TempDir()
	t.Setenv("NETRC", "")
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	_, err = parley.NetrcAuth("", false)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(home, ".netrc"), []byte("machine a.test login u password p"), 0o600))
	require.Equal(t, asUP, askedAs(t, "http://a.test/"))
}
