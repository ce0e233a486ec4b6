package integration

import (
	"embed"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:embed testdata
var testdata embed.FS

// config gives a configuration file of testdata.
func config(t *testing.T, name string) string {
	t.Helper()
	text, err := testdata.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(text)
}

// user is who the servers with a password know.
const (
	user     = "Aladdin"
	password = "open: sesame"
)

// session makes a client for the time of the test. It fails the test if responses
// were left open.
func session(t *testing.T, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	opts = append([]parley.ClientOption{
		parley.WithEnv(false), // whatever the machine has in its environment
		parley.WithTimeouts(parley.Timeouts{Pool: 60 * time.Second, Connect: 20 * time.Second}),
	}, opts...)
	c, err := parley.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if c.Pool() != nil {
			stats := c.Stats()
			require.Zero(t, stats.Active, "connections still in use")
			require.Zero(t, stats.Leaked, "responses never closed: %v", stats.Leaks)
		}
		require.NoError(t, c.Close())
	})
	return c
}

// bin starts go-httpbin.
func bin(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(httpbin.New(httpbin.WithMaxDuration(5 * time.Second)))
	t.Cleanup(s.Close)
	return s
}

// content is text of size bytes that compresses.
func content(size int) string {
	const line = "the quick brown fox jumps over the lazy dog\n"
	return strings.Repeat(line, size/len(line)+1)[:size]
}

// pattern gives size bytes that do not repeat at any power of two, without holding
// them.
func pattern(size int64) io.Reader { return io.LimitReader(&counter{}, size) }

type counter struct{ at uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.at * 0x9e3779b97f4a7c15 >> 56)
		c.at++
	}
	return len(p), nil
}
