package parley_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// sessionTo makes a session whose base URL is the server's.
func sessionTo(t testing.TB, s *wiretest.Server, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := parley.New(asSpoken(t, append([]parley.ClientOption{parley.WithBaseURL(s.URL())}, opts...)...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// bare leaves out what a session sends by itself.
var bare = parley.WithOptions(
	parley.WithoutHeader("Accept"), parley.WithoutHeader("Accept-Encoding"), parley.WithoutHeader("User-Agent"))

// tap counts the writes that reach the connections it dials.
type tap struct{ writes atomic.Int64 }

func (d *tap) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tapped{nc.(*net.TCPConn), d}, nil
}

type tapped struct {
	*net.TCPConn
	tap *tap
}

func (c *tapped) Write(p []byte) (int, error) {
	c.tap.writes.Add(1)
	return c.TCPConn.Write(p)
}

func TestUpload_headAndSmallBodyGoInOneWrite(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	servers := map[string]*wiretest.Server{
		"plain": wiretest.Serve(t, wiretest.Echo()),
		"TLS":   wiretest.ServeTLS(t, authority.Server(t), wiretest.Echo()),
	}
	tests := map[string]struct {
		size   int
		server string
		writes int64
	}{
		"no body":                  {0, "plain", 1},
		"1 KiB":                    {1 << 10, "plain", 1},
		"3 KiB":                    {3 << 10, "plain", 1},
		"up to 64 KiB in a second": {64 << 10, "plain", 2},
		"1 KiB in one record":      {1 << 10, "TLS", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tap := &tap{}
			c := sessionTo(t, servers[test.server], parley.WithDialer(tap), parley.WithTLSConfig(authority.Trusted()))
			_, err := c.Get(t.Context(), "warm") // the handshake is over
			require.NoError(t, err)
			tap.writes.Store(0)
			_, err = c.Post(t.Context(), "x", parley.WithBytes(make([]byte, test.size)))
			require.NoError(t, err)
			require.Equal(t, test.writes, tap.writes.Load())
		})
	}
}

// ownBody is a Body as a user would write one.
type ownBody struct {
	parts  []string // one for each Read
	size   int64
	opened atomic.Int64
	closed atomic.Int64
}

func (b *ownBody) Size() int64         { return b.size }
func (b *ownBody) ContentType() string { return "text/x-own" }
func (b *ownBody) Replayable() bool    { return true }
func (b *ownBody) Open() (io.ReadCloser, error) {
	b.opened.Add(1)
	return &ownReader{slices.Clone(b.parts), b}, nil
}

type ownReader struct {
	left []string
	body *ownBody
}

func (r *ownReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left[0])
	if r.left[0] = r.left[0][n:]; r.left[0] == "" {
		r.left = r.left[1:]
	}
	return n, nil
}

func (r *ownReader) Close() error {
	r.body.closed.Add(1)
	return nil
}

// inParts gives a reader that no one knows the length of.
func inParts(parts ...string) io.Reader { return &ownReader{parts, &ownBody{}} }

// fileWith makes a file with content.
func fileWith(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// openAt opens a file and moves to an offset.
func openAt(t *testing.T, path string, offset int64) *os.File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.Seek(offset, io.SeekStart)
	require.NoError(t, err)
	return f
}

func TestUpload_everyKindOfBodyOnTheWire(t *testing.T) {
	t.Parallel()
	type pair struct {
		A int    `json:"a" xml:"a" url:"a"`
		B string `json:"b" xml:"b" url:"b"`
	}
	buffer := bytes.NewBufferString("skipped rest")
	buffer.Next(len("skipped "))
	reader := strings.NewReader("skipped rest")
	_, err := reader.Seek(int64(len("skipped ")), io.SeekStart)
	require.NoError(t, err)
	file := fileWith(t, "f.txt", "skipped rest")
	pipe, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.WriteString("piped")
	require.NoError(t, err)
	require.NoError(t, w.Close())

	const chunked = "Transfer-Encoding: chunked\r\n"
	tests := map[string]struct {
		body parley.RequestOption
		want string // header lines after Host, empty line, body
	}{
		"bytes":                  {parley.WithBytes([]byte("\x00\r\n\xff")), "Content-Length: 4\r\n\r\n\x00\r\n\xff"},
		"no bytes":               {parley.WithBytes(nil), "Content-Length: 0\r\n\r\n"},
		"text":                   {parley.WithText("grüß"), "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\ngrüß"},
		"JSON":                   {parley.WithJSON(pair{1, "<&>"}), "Content-Type: application/json\r\nContent-Length: 17\r\n\r\n" + `{"a":1,"b":"<&>"}`},
		"XML":                    {parley.WithXML(pair{1, "<"}), "Content-Type: application/xml; charset=utf-8\r\nContent-Length: 71\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<pair><a>1</a><b>&lt;</b></pair>"},
		"form of a struct":       {parley.WithForm(pair{1, "x y&"}), "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\na=1&b=x+y%26"},
		"form in order":          {parley.WithForm(parley.Params{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}}), "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nz=1&a=2"},
		"bytes.Reader":           {parley.WithReader(bytes.NewReader([]byte("abc"))), "Content-Length: 3\r\n\r\nabc"},
		"strings.Reader":         {parley.WithReader(reader), "Content-Length: 4\r\n\r\nrest"},
		"bytes.Buffer":           {parley.WithReader(buffer), "Content-Length: 4\r\n\r\nrest"},
		"os.File":                {parley.WithReader(openAt(t, file, 0)), "Content-Length: 12\r\n\r\nskipped rest"},
		"os.File from an offset": {parley.WithReader(openAt(t, file, 8)), "Content-Length: 4\r\n\r\nrest"},
		"os.File past its end":   {parley.WithReader(openAt(t, file, 100)), "Content-Length: 0\r\n\r\n"},
		"a pipe":                 {parley.WithReader(pipe), chunked + "\r\n5\r\npiped\r\n0\r\n\r\n"},
		"file by path":           {parley.WithBodyFile(file), "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n\r\nskipped rest"},
		"one chunk for each Read": {parley.WithReader(inParts("ab", "0123456789abcdef!", "c")),
			chunked + "\r\n2\r\nab\r\n11\r\n0123456789abcdef!\r\n1\r\nc\r\n0\r\n\r\n"},
		"an empty reader":        {parley.WithReader(inParts()), chunked + "\r\n0\r\n\r\n"},
		"a nil reader":           {parley.WithReader(nil), "Content-Length: 0\r\n\r\n"},
		"data together with EOF": {parley.WithReader(iotest.DataErrReader(inParts("ab"))), chunked + "\r\n2\r\nab\r\n0\r\n\r\n"},
		"a Body of known size":   {parley.WithBody(&ownBody{parts: []string{"ab", "c"}, size: 3}), "Content-Type: text/x-own\r\nContent-Length: 3\r\n\r\nabc"},
		"a Body of unknown size": {parley.WithBody(&ownBody{parts: []string{"ab", "c"}, size: -1}),
			"Content-Type: text/x-own\r\n" + chunked + "\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Echo())
			c := sessionTo(t, s, bare)
			_, err := c.Post(t.Context(), "up", test.body)
			require.NoError(t, err)
			require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+test.want, s.Text())
		})
	}
}

func TestUpload_whatTheHeaderSaysOfFraming(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		opts []parley.RequestOption
		want string // "" if it fails before anything is sent
	}{
		"the length of a reader": {
			[]parley.RequestOption{parley.WithReader(inParts("ab", "c")), parley.WithHeader("Content-Length", "3")},
			"Content-Length: 3\r\n\r\nabc",
		},
		"a length that agrees": {
			[]parley.RequestOption{parley.WithText("abc"), parley.WithHeader("content-length", "3"), parley.WithoutHeader("Content-Type")},
			"Content-Length: 3\r\n\r\nabc",
		},
		"a length that does not": {[]parley.RequestOption{parley.WithText("abc"), parley.WithHeader("Content-Length", "4")}, ""},
		"no number":              {[]parley.RequestOption{parley.WithReader(inParts()), parley.WithHeader("Content-Length", "-1")}, ""},
		"chunks of what is known": {
			[]parley.RequestOption{parley.WithBytes([]byte("abc")), parley.WithHeader("Transfer-Encoding", "chunked")},
			"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		},
		"another coding":      {[]parley.RequestOption{parley.WithText("abc"), parley.WithHeader("Transfer-Encoding", "gzip")}, ""},
		"a content type":      {[]parley.RequestOption{parley.WithText("a"), parley.WithHeader("Content-Type", "x/y")}, "Content-Type: x/y\r\nContent-Length: 1\r\n\r\na"},
		"no content type":     {[]parley.RequestOption{parley.WithText("a"), parley.WithoutHeader("Content-Type")}, "Content-Length: 1\r\n\r\na"},
		"Expect without body": {[]parley.RequestOption{parley.WithHeader("Expect", "100-continue")}, "Content-Length: 0\r\n\r\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Echo())
			_, err := sessionTo(t, s, bare).Post(t.Context(), "up", test.opts...)
			if test.want == "" {
				require.ErrorIs(t, err, parley.ErrInvalidHeader)
				require.Zero(t, s.Accepted())
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.NotSent, e.Sent)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+test.want, s.Text())
		})
	}
}

func TestUpload_aSessionThatExpectsDoesSoForContentAlone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare, parley.WithHeader("Expect", "100-continue"))
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "GET /x HTTP/1.1\r\nHost: "+s.Addr()+"\r\n\r\n", s.Text())
	require.Equal(t, "100-continue", c.Header().Get("Expect"), "the session's header is not changed")
}

func TestUpload_whichMethodsSayThatTheyHaveNoBody(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"POST": "Content-Length: 0\r\n", "PUT": "Content-Length: 0\r\n", "PATCH": "Content-Length: 0\r\n",
		"GET": "", "HEAD": "", "DELETE": "", "OPTIONS": "", "PROPFIND": "",
	} {
		t.Run(method, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("") }))
			_, err := sessionTo(t, s, bare).Request(t.Context(), method, "x")
			require.NoError(t, err)
			require.Equal(t, method+" /x HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+want+"\r\n", s.Text())
		})
	}
}

func TestUpload_everyMethodMayHaveABody(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"} {
		t.Run(method, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("") }))
			_, err := sessionTo(t, s, bare).Request(t.Context(), method, "x", parley.WithBytes([]byte("abc")))
			require.NoError(t, err)
			require.Equal(t, method+" /x HTTP/1.1\r\nHost: "+s.Addr()+"\r\nContent-Length: 3\r\n\r\nabc", s.Text())
		})
	}
}

func TestUpload_trailersAreWorkedOutAtTheEnd(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare)
	var seen int
	body := readerFunc(func(p []byte) (int, error) {
		if seen == 3 {
			return 0, io.EOF
		}
		seen++
		return copy(p, "ab"), nil
	})
	_, err := c.Post(t.Context(), "up", parley.WithReader(body),
		parley.WithTrailer("x-sum", func() string { return fmt.Sprint(2 * seen) }),
		parley.WithTrailer("X-Done", func() string { return "yes" }))
	require.NoError(t, err)
	require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Done\r\n\r\n"+
		strings.Repeat("2\r\nab\r\n", 3)+"0\r\nX-Done: yes\r\nX-Sum: 6\r\n\r\n", s.Text())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestUpload_aTrailerThatCannotBeSentFailsTheRequest(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	_, err := c.Post(t.Context(), "up", parley.WithText("x"), parley.WithTrailer("X", func() string { return "a\r\nb: c" }))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	require.NotContains(t, s.Text(), "b: c")
	_, err = c.Post(t.Context(), "up", parley.WithText("x"), parley.WithTrailer("Content-Length", func() string { return "1" }))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
}

func TestUpload_ofADeclaredLengthThatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body *ownBody
		want string
	}{
		"shorter": {&ownBody{parts: []string{"ab"}, size: 5}, "the body ended after 2 of 5 bytes"},
		"empty":   {&ownBody{size: 5}, "the body ended after 0 of 5 bytes"},
		"longer":  {&ownBody{parts: []string{"ab", "cd"}, size: 3}, "the body is longer than the announced 3 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// A body that is whole is answered late, so that the sender finds out first.
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadRequest(); err == nil && c.Pause(waitLong) {
					c.Say(wiretest.OK(""))
				}
			})
			c := sessionTo(t, s)
			_, err := c.Post(t.Context(), "up", parley.WithBody(test.body))
			require.ErrorIs(t, err, parley.ErrLocalProtocol)
			require.NotErrorIs(t, err, parley.ErrNetwork)
			require.ErrorContains(t, err, test.want)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.PhaseWrite, e.Phase)
			require.Equal(t, parley.MaybeSent, e.Sent)
			require.EqualValues(t, 1, test.body.closed.Load())
			wiretest.Eventually(t, func() bool { return c.Stats().Active+c.Stats().Idle == 0 }, "the connection is closed")
			require.NotContains(t, s.Text(), "abcd", "no more than was announced")
		})
	}
}

func TestUpload_aReaderThatFails(t *testing.T) {
	t.Parallel()
	why := errors.New("disk on fire")
	tests := map[string]struct {
		reader io.Reader
		want   error
	}{
		"at once":              {iotest.ErrReader(why), why},
		"in the middle":        {io.MultiReader(inParts("ab"), iotest.ErrReader(why)), why},
		"with a timeout":       {iotest.ErrReader(os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
		"by giving nothing":    {readerFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress},
		"by an impossible sum": {readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), nil},
	}
	for name, test := range tests {
		for _, size := range []string{"", "1000"} {
			t.Run(name+" length "+size, func(t *testing.T) {
				s := wiretest.Serve(t, wiretest.Echo())
				c := sessionTo(t, s)
				opts := []parley.RequestOption{parley.WithReader(test.reader)}
				if size != "" {
					opts = append(opts, parley.WithHeader("Content-Length", size))
				}
				_, err := c.Post(t.Context(), "up", opts...)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.PhaseWrite, e.Phase)
				require.NotErrorIs(t, err, parley.ErrNetwork)
				require.NotErrorIs(t, err, parley.ErrWriteTimeout, "a reader's timeout is not the connection's")
				require.ErrorContains(t, err, "request body")
				if test.want != nil {
					require.ErrorIs(t, err, test.want)
				}
				if !byHTTP2(t) {
					require.Zero(t, c.Stats().Idle)
				}
			})
		}
	}
}

func TestUpload_aBodyThatCannotBeOpenedCostsNoConnection(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	path := fileWith(t, "gone", "x")
	body, err := parley.FileBody(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	_, err = c.Post(t.Context(), "up", parley.WithBody(body))
	require.ErrorIs(t, err, os.ErrNotExist)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.NotSent, e.Sent)
	require.Equal(t, parley.PhaseRequest, e.Phase)
	_, err = c.Get(t.Context(), "next")
	require.NoError(t, err)
	require.Equal(t, 1, s.Accepted())
}

func TestUpload_aReaderIsSentOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	req, err := c.NewRequest(http.MethodPut, "up", parley.WithReader(inParts("ab")))
	require.NoError(t, err)
	resp, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	_, err = c.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
}

func TestUpload_aRequestIsSentByManyAtOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(string(r.Content)) }))
	c := sessionTo(t, s)
	file := fileWith(t, "f", strings.Repeat("0123456789", 20_000))
	req, err := c.NewRequest(http.MethodPut, "up", parley.WithReader(openAt(t, file, 100)))
	require.NoError(t, err)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			resp, err := c.Send(t.Context(), req)
			if err == nil {
				var b []byte
				if b, err = resp.Bytes(); err == nil && len(b) != 199_900 {
					err = fmt.Errorf("%d bytes", len(b))
				}
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}
