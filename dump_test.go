package parley_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// messages keeps each Write by itself.
type messages struct {
	mu  sync.Mutex
	all []string
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, string(p))
	return len(p), nil
}

// text gives all messages, without what differs from one time to the next.
func (m *messages) text(s *wiretest.Server) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.ReplaceAll(strings.Join(m.all, "~\n"), s.Addr(), "a.test")
	text = regexp.MustCompile(`at \d\d:\d\d:\d\d\.\d\d\d`).ReplaceAllString(text, "at TIME")
	return regexp.MustCompile(`(in|after) [0-9.]+(µs|ms|s)`).ReplaceAllString(text, "$1 TIME")
}

func TestDump_showsBothWays(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/1" {
			return "HTTP/1.1 307 Over There\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Type: text/plain\r\nServer: s\r\nContent-Length: 6\r\n\r\nhello\n"
	}))
	var out messages
	c := newSession(t, parley.WithDump(&out, 100), parley.WithoutHeader("Accept-Encoding"), parley.WithHeader("User-Agent", "test"),
		parley.WithHeaderOrder("user-agent"))
	_, err := c.Put(t.Context(), s.URL()+"/1?key=k&q=1", parley.WithText("content"))
	require.NoError(t, err)
	require.Equal(t, `--> 1.1 PUT http://a.test/1?key=[hidden]&q=1 at TIME
PUT /1?key=[hidden]&q=1 HTTP/1.1
Host: a.test
user-agent: test
Accept: */*
Content-Type: text/plain; charset=utf-8
Content-Length: 7

content

~
<-- 1.1 307 in TIME from a.test
HTTP/1.1 307 Over There
Content-Length: 0
Location: /2

~
--> 1.2 PUT http://a.test/2 at TIME
PUT /2 HTTP/1.1
Host: a.test
user-agent: test
Accept: */*
Content-Type: text/plain; charset=utf-8
Content-Length: 7

content

~
<-- 1.2 200 in TIME from a.test, reused
HTTP/1.1 200 OK
Content-Length: 6
Content-Type: text/plain
Server: s
X-Two: [hidden]
X-Two: [hidden]

hello

`, out.text(s))
}

func TestDump_bodies(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := io.WriteString(z, strings.Repeat("text ", 100))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	coded := func(name, body string) string {
		return "HTTP/1.1 200 OK\r\nContent-Encoding: " + name + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	for name, row := range map[string]struct {
		answer string
		opts   []parley.RequestOption
		limit  int64
		want   []string
	}{
		"a long one":             {wiretest.OK(strings.Repeat("x", 50)), nil, 10, []string{"\nxxxxxxxxxx\n[the first 10 of 50 bytes]\n"}},
		"cut in a character":     {wiretest.OK("äöü"), nil, 3, []string{"\nä\xc3\n[the first 3 of 6 bytes]\n"}},
		"heads alone":            {wiretest.OK("hello"), []parley.RequestOption{parley.WithText("content")}, -1, []string{"[7 bytes]\n", "[5 bytes]\n"}},
		"binary":                 {wiretest.OK("a\x00\x1b[2J"), nil, 100, []string{"00000000  61 00 1b 5b 32 4a "}},
		"coded":                  {coded("gzip", zipped.String()), nil, 1000, []string{strings.Repeat("text ", 100), "[decoded from gzip, " + strconv.Itoa(zipped.Len()) + " bytes]"}},
		"coded and cut":          {coded("gzip", zipped.String()), nil, 20, []string{"[the beginning, decoded from gzip, of "}},
		"in an unknown coding":   {coded("rot13", "frperg"), nil, 100, []string{"[6 bytes, coded as rot13]"}},
		"from a reader":          {wiretest.OK(""), []parley.RequestOption{parley.WithReader(struct{ io.Reader }{strings.NewReader("streamed")})}, 100, []string{"Transfer-Encoding: chunked\n\nstreamed\n"}},
		"compressed on its way":  {wiretest.OK(""), []parley.RequestOption{parley.WithText(strings.Repeat("y", 30)), parley.WithCompression("gzip")}, 100, []string{"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", "[decoded from gzip"}},
		"with a measured upload": {wiretest.OK(""), []parley.RequestOption{parley.WithText("once"), parley.WithUploadProgress(func(parley.Progress) {})}, 100, []string{"\nonce\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return row.answer }))
			var out messages
			c := newSession(t, parley.WithDump(&out, row.limit))
			resp, err := c.Stream(t.Context(), "POST", s.URL(), row.opts...)
			require.NoError(t, err)
			_, err = resp.Bytes()
			require.NoError(t, err)
			for _, want := range row.want {
				require.Contains(t, out.text(s), want)
			}
			require.NotContains(t, out.text(s), "\x1b", "a terminal obeys no answer")
		})
	}
}

func TestDump_messagesOfConcurrentCallsStayWhole(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	var out bytes.Buffer // which no two may write to
	c := newSession(t, parley.WithDump(&out, 100), parley.WithBaseURL(s.URL()))
	var wg sync.WaitGroup
	const calls = 20
	for range calls {
		wg.Go(func() {
			_, err := c.Post(t.Context(), "/", parley.WithText("content"))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, message := range regexp.MustCompile(`(?m)^(?:-->|<--) `).Split(out.String(), -1)[1:] {
		require.Regexp(t, `^\d+\.1 (POST|200) `, message)
		require.Equal(t, 1, strings.Count(message, "HTTP/1.1"))
	}
	for i := 1; i <= calls; i++ {
		require.Contains(t, out.String(), "--> "+strconv.Itoa(i)+".1 ")
		require.Contains(t, out.String(), "<-- "+strconv.Itoa(i)+".1 ")
	}
}

func TestDump_aCallWithoutAnswerIsSeenToo(t *testing.T) {
	t.Parallel()
	var out messages
	c := newSession(t, parley.WithDump(&out, 100))
	_, err := c.Post(t.Context(), "http://127.0.0.1:1/?q=1", parley.WithReader(struct{ io.Reader }{strings.NewReader("x")}))
	require.Error(t, err)
	require.Len(t, out.all, 1)
	require.Contains(t, out.all[0], "--> 1.1 POST http://127.0.0.1:1/?q=1 ")
	require.Contains(t, out.all[0], "!!! 1.1 after ")
	require.Contains(t, out.all[0], err.Error())
	_, err = c.Get(t.Context(), "http://127.0.0.1:1/", parley.WithDump(nil, 0))
	require.Error(t, err)
	require.Len(t, out.all, 1, "a request can take it back")
}
