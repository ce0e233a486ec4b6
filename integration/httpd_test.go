package integration

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

// httpdModules is where Debian keeps the modules of httpd.
const httpdModules = "/usr/lib/apache2/modules"

// digestRealm is the realm of /digest in testdata/httpd.conf. It has no quotes, since
// httpd would compare its own, escaped, with what it was sent, unescaped.
const digestRealm = "digest, with a comma"

// httpd starts Apache httpd with testdata/httpd.conf.
func httpd(t *testing.T) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "apache2",
		Package: "apache2-bin",
		Args:    []string{"-d", "{{dir}}", "-f", "{{dir}}/httpd.conf", "-DFOREGROUND"},
		Files: map[string]string{
			"httpd.conf":          config(t, "httpd.conf"),
			"users":               shaLine(user, password),
			"digests":             digestLines(user, password, digestRealm, "once", "brief", "counted"),
			"www/hello.txt":       "hello",
			"www/large.txt":       content(1 << 20),
			"www/page.json":       `{"items": 10}`,
			"www/gone.problem":    `{"type": "https://site.test/gone", "title": "Gone for good", "status": 410, "left": 3}`,
			"www/text.txt.latin1": "Gr\xfc\xdfe",
			"www/text.txt.utf16":  "\xff\xfeG\x00r\x00\xfc\x00\xdf\x00e\x00",
			"www/text.txt.sjis":   "\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd",
			"www/text.html":       "<!doctype html><meta charset=windows-1252>Gr\xfc\xdfe \x80",
		},
		Values: map[string]string{"Modules": httpdModules},
	})
}

// digestLines are those of a password file as htdigest writes it, one for each realm.
func digestLines(user, password string, realms ...string) string {
	var lines strings.Builder
	for _, realm := range realms {
		fmt.Fprintf(&lines, "%s:%s:%x\n", user, realm, md5.Sum([]byte(user+":"+realm+":"+password)))
	}
	return lines.String()
}

func TestHTTPDKeepsConnections(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 4, Hard: 4}))
	require.NoError(t, crowd(t, c, 50, 500, p.URL("main")+"/hello.txt", "hello"))
	require.LessOrEqual(t, c.Stats().Dials, int64(4))

	require.EqualValues(t, 500-c.Stats().Reuses, connections(t, p, 500), "as many connections as parley says")
}

func TestHTTPDClosesConnectionsWithoutAnyErrorForTheCaller(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 20, Hard: 20}))
	require.NoError(t, crowd(t, c, 50, 500, p.URL("few")+"/hello.txt", "hello"))
	require.GreaterOrEqual(t, c.Stats().Dials, int64(500/6), "httpd keeps a connection for five requests beyond the first")
}

func TestHTTPDCompresses(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	want := content(1 << 20)
	for coding, path := range map[string]string{"gzip": "gzip/large.txt", "br": "brotli/large.txt"} {
		t.Run(coding, func(t *testing.T) {
			resp, err := c.Get(t.Context(), path)
			require.NoError(t, err)
			require.True(t, resp.Uncompressed)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, want, text)

			resp, err = c.Get(t.Context(), path, parley.WithHeader("Accept-Encoding", coding))
			require.NoError(t, err)
			raw, err := resp.Bytes()
			require.NoError(t, err)
			require.Equal(t, coding, resp.Header.Get("Content-Encoding"))
			require.Less(t, len(raw), len(want)/10)
		})
	}
}

func TestHTTPDIsAskedBeforeABodyIsSent(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithHeader("Expect", "100-continue"),
		parley.WithExpectTimeout(parley.NoTimeout))
	t.Run("it wants the body", func(t *testing.T) {
		continued := 0
		resp, err := c.Post(t.Context(), "echo", parley.WithText("tea"),
			parley.WithInformational(func(status int, _ http.Header) {
				if status == http.StatusContinue {
					continued++
				}
			}))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "tea", text)
		require.Equal(t, 1, continued)
	})
	t.Run("it does not want the body", func(t *testing.T) {
		body := &watched{Reader: strings.NewReader(content(1 << 20))}
		resp, err := c.Post(t.Context(), "basic/hello.txt", parley.WithReader(body), parley.WithHeader("Content-Length", fmt.Sprint(1<<20)))
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Zero(t, body.reads, "nothing was read of a body that nobody asked for")
	})
}

// watched counts reads.
type watched struct {
	io.Reader
	reads int
}

func (w *watched) Read(p []byte) (int, error) {
	w.reads++
	return w.Reader.Read(p)
}

func TestHTTPDEchoes64MiBWhileTheyAreSent(t *testing.T) {
	const size = 64 << 20
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	sent, got := sha256.New(), sha256.New()
	resp, err := c.Stream(t.Context(), http.MethodPost, "echo", parley.WithReader(io.TeeReader(pattern(size), sent)))
	require.NoError(t, err)
	require.NoError(t, resp.Err())
	n, err := io.Copy(got, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.EqualValues(t, size, n)
	require.Equal(t, sent.Sum(nil), got.Sum(nil))
}

func TestHTTPDRefusesALargeBodyEarly(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	resp, err := c.Post(t.Context(), "echo/small", parley.WithBytes(make([]byte, 16<<20)))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

func TestHTTPDAnswersHEADWithoutABody(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithDecompression(false))
	for range 3 {
		resp, err := c.Head(t.Context(), "large.txt")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.EqualValues(t, 1<<20, resp.ContentLength)
		body, err := resp.Bytes()
		require.NoError(t, err)
		require.Empty(t, body)
	}
	require.EqualValues(t, 1, c.Stats().Dials)
}

// logged waits until the access log has as many lines as requests were answered,
// since httpd writes them after the answers.
func logged(t *testing.T, p *peer.Peer, lines int) []string {
	t.Helper()
	require.Eventually(t, func() bool { return len(p.Lines(t, "access.log")) >= lines }, 10*time.Second, 5*time.Millisecond)
	got := p.Lines(t, "access.log")
	require.Len(t, got, lines, strings.Join(got, "\n"))
	return got
}

var logLine = regexp.MustCompile(`^\d+ (\d+) \d+ "\S+ (\S+) \S+" auth=\[(.*?)\] key=\[(.*?)\] cookie=\[.*\]$`)

// visits tells of lines of the access log which port was asked for what, and whether
// secrets came along.
func visits(t *testing.T, p *peer.Peer, lines []string) []string {
	t.Helper()
	var out []string
	for _, line := range lines {
		f := logLine.FindStringSubmatch(line)
		require.NotNil(t, f, line)
		port := "other"
		if f[1] == strconv.Itoa(p.Port("main")) {
			port = "main"
		}
		with := " with"
		if f[3] == "-" && f[4] == "-" {
			with = " without"
		}
		out = append(out, port+" "+f[2]+with)
	}
	return out
}
