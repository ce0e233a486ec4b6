package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/stretchr/testify/require"
)

// notebook is a server that writes down what it got.
type notebook struct {
	*httptest.Server
	got chan string
}

func newNotebook(t *testing.T) *notebook {
	t.Helper()
	l := &notebook{got: make(chan string, 1)}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		var out bytes.Buffer
		fmt.Fprintf(&out, "%s %s\nHost: %s\n", r.Method, r.RequestURI, r.Host)
		if len(r.TransferEncoding) > 0 || r.ContentLength != 0 {
			fmt.Fprintf(&out, "length %d, %v\n", r.ContentLength, r.TransferEncoding)
		}
		if err := r.Header.Write(&out); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&out, "\n%q", body)
		l.got <- out.String()
	}))
	t.Cleanup(l.Close)
	return l
}

// byCurl runs a command line in a shell.
func (l *notebook) byCurl(t *testing.T, line string) string {
	t.Helper()
	line = strings.Replace(line, "curl ", "curl --disable --silent --show-error --noproxy '*' --max-time 20 ", 1)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	cmd.Env = append(os.Environ(), "http_proxy=", "PATH="+filepath.Dir(peer.Find(t, "curl", "curl"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", line, out)
	return <-l.got
}

func (l *notebook) byParley(t *testing.T, c *parley.Client, req *parley.Request) string {
	t.Helper()
	resp, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	return <-l.got
}

// TestCurlSendsWhatParleySends runs the command lines that requests are given as.
func TestCurlSendsWhatParleySends(t *testing.T) {
	l := newNotebook(t)
	file := filepath.Join(t.TempDir(), "it's a file")
	require.NoError(t, os.WriteFile(file, []byte("line\nfile \x00\xff"), 0o600))
	c := session(t, parley.WithBaseURL(l.URL+"/v1"), parley.WithHeader("X-Session", "it's $HOME"))
	type opts []parley.RequestOption
	for name, row := range map[string]struct {
		method, url string
		opts        opts
	}{
		"a plain GET":                {"GET", "users?q=a+b&empty=&x", nil},
		"brackets in the query":      {"GET", "users?filter[a]={b}&c=%5B1-3%5D", nil},
		"HEAD":                       {"HEAD", "users", nil},
		"OPTIONS":                    {"OPTIONS", "users", nil},
		"DELETE":                     {"DELETE", "users/1", nil},
		"a form":                     {"POST", "users", opts{parley.WithForm(map[string]string{"a": "1 2", "b": "&'\"$(x)`y`\\"})}},
		"JSON":                       {"POST", "users", opts{parley.WithJSON(map[string]any{"name": "O'Hara", "ä": "\n\t"})}},
		"lines":                      {"PUT", "users", opts{parley.WithText("one\ntwo\r\nthree\n")}},
		"text that begins with an @": {"PATCH", "users", opts{parley.WithText("@/etc/passwd")}},
		"NUL and other bytes":        {"POST", "users", opts{parley.WithBytes([]byte("a\x00b\\n\xff\x01%s%%'\n"))}},
		"no content for POST":        {"POST", "users", nil},
		"no content for PUT":         {"PUT", "users", nil},
		"content for GET":            {"GET", "users", opts{parley.WithText("q")}},
		"content for QUERY":          {"QUERY", "users", opts{parley.WithJSON(1)}},
		"a file":                     {"POST", "users", opts{parley.WithBodyFile(file)}},
		"chunks":                     {"POST", "users", opts{parley.WithText("chunked"), parley.WithHeader("Transfer-Encoding", "chunked")}},
		"multipart":                  {"POST", "users", opts{parley.WithMultipart(parley.FormField("a", "1"), parley.FormBytes("f", "ü.bin", []byte{0, 1, 2}))}},
		"Basic":                      {"GET", "users", opts{parley.WithBasicAuth("user", "pass:'word")}},
		"Bearer":                     {"GET", "users", opts{parley.WithBearerToken("abc.def")}},
		"cookies":                    {"GET", "users", opts{parley.WithCookie("a", "1"), parley.WithCookie("b", "x'y")}},
		"without what curl adds":     {"GET", "users", opts{parley.WithoutHeader("Accept"), parley.WithoutHeader("User-Agent"), parley.WithoutHeader("Accept-Encoding")}},
		"an empty header":            {"GET", "users", opts{parley.WithHeader("X-Empty", "")}},
		"a header of two lines":      {"GET", "users", opts{parley.WithHeaders(http.Header{"X-Two": {"1", "2"}})}},
		"another host":               {"GET", "users", opts{parley.WithHost("other.test:8080")}},
		"another target":             {"GET", "users", opts{parley.WithTarget("/a/../b?x")}},
		"bytes beyond ASCII":         {"GET", "ü/€?ö=ß", opts{parley.WithHeader("X-Text", "grüße")}},
		"Expect":                     {"POST", "users", opts{parley.WithText("x"), parley.WithHeader("Expect", "100-continue")}},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := c.NewRequest(row.method, row.url, row.opts...)
			require.NoError(t, err)
			line, err := req.CurlWithSecrets()
			require.NoError(t, err)
			want := l.byParley(t, c, req)
			require.Equal(t, want, l.byCurl(t, line), line)
			t.Run("and back", func(t *testing.T) {
				again, err := parley.ParseCurl(line)
				require.NoError(t, err, line)
				require.Equal(t, want, l.byParley(t, session(t, parley.WithoutHeader("Accept-Encoding")), again), line)
			})
			redacted, err := req.Curl()
			require.NoError(t, err)
			if strings.Contains(redacted, "[hidden]") {
				hidden := l.byCurl(t, redacted)
				require.Contains(t, hidden, "[hidden]", "the line runs all the same")
			}
		})
	}
}

// TestCurlSendsWhatWasSent takes the requests that redirects and the jar led to.
func TestCurlSendsWhatWasSent(t *testing.T) {
	l := newNotebook(t)
	c := session(t, parley.WithBasicAuth("user", "word"))
	for _, cookie := range []string{"a=1", "b=2"} {
		name, value, _ := strings.Cut(cookie, "=")
		u, err := c.NewRequest("GET", l.URL)
		require.NoError(t, err)
		c.Jar().SetCookies(u.URL, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	}
	resp, err := c.Get(t.Context(), l.URL+"/x")
	require.NoError(t, err)
	want := <-l.got
	require.Contains(t, want, "Cookie: a=1; b=2")
	line, err := resp.Request.CurlWithSecrets()
	require.NoError(t, err)
	require.Equal(t, want, l.byCurl(t, line), line)
}

var boundary = regexp.MustCompile(`-*[0-9a-zA-Z]{16,}`)

// TestParleySendsWhatCurlSends runs command lines as people write them.
func TestParleySendsWhatCurlSends(t *testing.T) {
	l := newNotebook(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/text.txt", []byte("one\r\ntwo\n"), 0o600))
	require.NoError(t, os.WriteFile(dir+"/data.json", []byte("{\"a\": 1}\n"), 0o600))
	for name, line := range map[string]string{
		"no flags":                 `curl URL/x`,
		"one word of flags":        `curl -sSXDELETE URL/x`,
		"a value with its flag":    `curl -XPUT -da=1 URL/x`,
		"lines with a backslash":   "curl -X POST \\\n  -H 'X-A: 1' \\\n  --data 'a=1' \\\n  URL/x",
		"-d twice":                 `curl -d a=1 -d 'b=2 3' URL/x`,
		"-d with a file":           `curl -d @DIR/text.txt -d end URL/x`,
		"--data-binary":            `curl --data-binary @DIR/text.txt URL/x`,
		"a file and more":          `curl --data-binary @DIR/text.txt --data-raw @x URL/x`,
		"--data-urlencode":         `curl --data-urlencode 'a=1 &ü' --data-urlencode 'x y' --data-urlencode =z/ --data-urlencode f@DIR/text.txt URL/x`,
		"-G":                       `curl -G -d a=1 --data-urlencode 'b=2 3' 'URL/x?c=3'`,
		"--json":                   `curl --json '{"a":1}' URL/x`,
		"--json with a file":       `curl --json @DIR/data.json URL/x`,
		"--json and own headers":   `curl --json '1' -H 'Content-Type: application/x' -H 'Accept: text/x' URL/x`,
		"own content type":         `curl -d '<a/>' -H 'content-type: text/xml' URL/x`,
		"no content type":          `curl -d x -H 'Content-Type:' URL/x`,
		"-I":                       `curl -I URL/x`,
		"-u":                       `curl -u 'user:pass:word' URL/x`,
		"-b":                       `curl -b 'a=1; b=2' URL/x`,
		"-A, -e and -r":            `curl -A 'Agent/1' -e http://from.test/ -r 0-9 URL/x`,
		"--oauth2-bearer":          `curl --oauth2-bearer token URL/x`,
		"-T":                       `curl -T DIR/text.txt -H Expect: URL/x`,
		"-T to a folder":           `curl -T DIR/text.txt -H Expect: URL/x/`,
		"-F":                       `curl -F 'a=1' -F 'f=@DIR/text.txt;type=text/x;filename=other.txt' -F 'g=<DIR/data.json' -F 'h="x;y";type=text/y' --form-string 'i=@no;type=z' URL/x`,
		"an empty header":          `curl -H 'X-Empty;' URL/x`,
		"$'…'":                     `curl -d '' --data-raw 'tab	nl' URL/x`,
		"quotes of all kinds":      `curl -H "X-A: \"q\" 'r' \\ \$x" -H X-B:\ s URL/x`,
		"output":                   `curl -o /dev/null -w '%{http_code}' -i -v -L URL/x 2>/dev/null`,
		"--request-target":         `curl --request-target '/a?b' URL/x`,
		"the path alone as a name": `curl 'URL'`,
		"a comment":                `curl URL/x # not this`,
	} {
		t.Run(name, func(t *testing.T) {
			line = strings.NewReplacer("URL", l.URL, "DIR", dir).Replace(line)
			want := l.byCurl(t, line)
			req, err := parley.ParseCurl(strings.TrimSuffix(line, " 2>/dev/null"))
			require.NoError(t, err)
			c := session(t, parley.WithoutHeader("Accept-Encoding"), parley.WithHeader("User-Agent", userAgentOf(want)))
			got := l.byParley(t, c, req)
			if name == "-F" { // the boundaries differ, in their length too
				require.Equal(t, comparableForm(want), comparableForm(got))
				return
			}
			require.Equal(t, want, got)
		})
	}
}

var length = regexp.MustCompile(`length \d+|Content-Length: \d+\r\n`)

func comparableForm(text string) string {
	return length.ReplaceAllString(boundary.ReplaceAllString(text, "boundary"), "")
}

func userAgentOf(head string) string {
	_, after, _ := strings.Cut(head, "User-Agent: ")
	agent, _, _ := strings.Cut(after, "\r\n")
	return agent
}
