package parley_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// The shared session is made once a process, so that one of its own shows what it
// takes from the environment.
func TestDefault_takesNoLoginsFromNetrc(t *testing.T) {
	if url := os.Getenv("PARLEY_TEST_DEFAULT"); url != "" {
		_, err := parley.Get(t.Context(), url)
		require.NoError(t, err)
		client := newSession(t)
		_, err = client.Get(t.Context(), url)
		require.NoError(t, err)
		return
	}
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	file := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(file, []byte("machine 127.0.0.1 login u password p\n"), 0o600))
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	test.Env = append(os.Environ(), "PARLEY_TEST_DEFAULT="+server.URL(), "PARLEY_TEST_NETRC="+file)
	out, err := test.CombinedOutput()
	require.NoError(t, err, "%s", out)
	received := server.Received()
	require.Len(t, received, 2)
	require.NotContains(t, received[0], "Authorization", "the shared session")
	require.Contains(t, received[1], "Authorization: Basic", "a session")
}
