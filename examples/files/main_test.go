package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun pins what the program prints, and that each way leads to the same file.
func TestRun(t *testing.T) {
	files := newStore()
	server := httptest.NewServer(files)
	defer server.Close()
	var out bytes.Buffer
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), &out, server.URL, files, dir))
	require.Equal(t, `a file goes up as it is
  sent 1100000 of 1100000 bytes
  1100000 bytes arrived
the same in gzip
  less than a twentieth of them arrived: true
a form with a field and files
  field title: what was sold
  file report.csv, text/csv: 1100000 bytes
  file read me.txt, text/plain: 15 bytes
down into a directory, under the name that the server suggests
  REPORT.CSV, 1100000 bytes, found to be right by [sha256]
a connection is lost, and the next call goes on from there
  lost; nothing stands there: true
  550000 of 1100000 bytes were there already; found to be right by [sha256]
four requests at once fetch parts of it
  1100000 bytes, found to be right by [sha256]
what is not what it should be never stands there
  another digest; nothing stands there: true
`, out.String())
	want, err := os.ReadFile(filepath.Join(dir, "report.csv"))
	require.NoError(t, err)
	for _, name := range []string{"downloads/REPORT.CSV", "again.csv", "parts.csv"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), name)
	}
}
