package parley_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/coding"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// unpacked decodes what was sent by a coding.
func unpacked(t *testing.T, name string, content []byte) string {
	t.Helper()
	r, err := coding.Lookup(name)(bytes.NewReader(content))
	require.NoError(t, err, name)
	b, err := io.ReadAll(r)
	require.NoError(t, err, name)
	require.NoError(t, r.Close())
	return string(b)
}

// keeper answers requests and keeps the last of them.
func keeper(t *testing.T) (*wiretest.Server, func() *wiretest.Request) {
	t.Helper()
	var last atomic.Pointer[wiretest.Request]
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		last.Store(r)
		if r.URL.Path == "/here" {
			return "HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK("")
	}))
	return s, last.Load
}

func TestWithCompression_everyCodingOfEveryKindOfBody(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("all work and no play ", 60_000) // more than is coded ahead
	path := fileWith(t, "f.txt", long)
	for _, name := range []string{"gzip", "deflate", "br", "zstd"} {
		for what, test := range map[string]struct {
			body   parley.RequestOption
			plain  string
			typ    string
			length bool
		}{
			"text":               {parley.WithText("hello"), "hello", "text/plain; charset=utf-8", true},
			"JSON":               {parley.WithJSON([]int{1, 2}), "[1,2]", "application/json", true},
			"bytes":              {parley.WithBytes([]byte(long)), long, "", false},
			"a text of a reader": {parley.WithReader(strings.NewReader(long)), long, "", false},
			"any reader":         {parley.WithReader(inParts("ab", "c")), "abc", "", false},
			"an empty reader":    {parley.WithReader(inParts()), "", "", false},
			"a file":             {parley.WithBodyFile(path), long, "text/plain; charset=utf-8", false},
			"an iterator":        {parley.WithChunks(slicesOf(nil, "ab", "c")), "abc", "", false},
		} {
			s, last := keeper(t)
			_, err := sessionTo(t, s).Post(t.Context(), "there", test.body, parley.WithCompression(strings.ToUpper(name)))
			require.NoError(t, err, name+what)
			r := last()
			require.Equal(t, []string{name}, r.Header["Content-Encoding"], name+what)
			require.Equal(t, test.typ, r.Header.Get("Content-Type"), name+what)
			require.Equal(t, test.length, r.ContentLength >= 0, name+what)
			require.True(t, unpacked(t, name, r.Content) == test.plain, name+what)
		}
	}
}

func TestWithCompression_whatIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts []parley.RequestOption
		want string
	}{
		"no body":                   {nil, "Content-Length: 0\r\n\r\n"},
		"an empty body":             {[]parley.RequestOption{parley.WithBytes(nil)}, "Content-Length: 0\r\n\r\n"},
		"what the caller has coded": {[]parley.RequestOption{parley.WithBytes([]byte("abc")), parley.WithHeader("content-encoding", "own")}, "Content-Encoding: own\r\nContent-Length: 3\r\n\r\nabc"},
		"a header that is removed":  {[]parley.RequestOption{parley.WithBytes([]byte("abc")), parley.WithoutHeader("Content-Encoding")}, "Content-Length: 3\r\n\r\nabc"},
		"the request's word: none":  {[]parley.RequestOption{parley.WithBytes([]byte("abc")), parley.WithCompression("identity")}, "Content-Length: 3\r\n\r\nabc"},
	} {
		s := wiretest.Serve(t, wiretest.Echo())
		_, err := sessionTo(t, s, bare, parley.WithCompression("gzip")).Post(t.Context(), "up", test.opts...)
		require.NoError(t, err, name)
		require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+test.want, s.Text(), name)
	}
}

func TestWithCompression_whatCannotBe(t *testing.T) {
	t.Parallel()
	_, err := parley.New(parley.WithCompression("lzma"))
	require.ErrorContains(t, err, `no coding "lzma"`)
	_, err = parley.New(parley.WithCompression(""))
	require.ErrorContains(t, err, "needs the name of a coding")
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	_, err = c.Post(t.Context(), "up", parley.WithText("a"), parley.WithCompression("lzma"))
	require.ErrorContains(t, err, `no coding "lzma"`)
	_, err = c.Post(t.Context(), "up", parley.WithReader(inParts("abc")), parley.WithHeader("Content-Length", "3"), parley.WithCompression("gzip"))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	require.ErrorContains(t, err, "leave it out")
	require.Zero(t, s.Accepted())
}

func TestWithCompression_isSentAgainFromTheBeginning(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 200_000)
	s, last := keeper(t)
	c := sessionTo(t, s, parley.WithCompression("zstd"))
	_, err := c.Post(t.Context(), "here", parley.WithReader(strings.NewReader(long)))
	require.NoError(t, err)
	require.Equal(t, "/there", last().URL.Path)
	require.Equal(t, "zstd", last().Header.Get("Content-Encoding"))
	require.True(t, unpacked(t, "zstd", last().Content) == long)
	_, err = c.Post(t.Context(), "here", parley.WithReader(inParts("abc")))
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
}

func TestWithCompression_byACodingOfTheCallers(t *testing.T) {
	t.Parallel()
	var closed atomic.Int32
	s, last := keeper(t)
	c := sessionTo(t, s, parley.WithCompression("rot13"), parley.WithContentCoding(parley.ContentCoding{
		Name: "rot13",
		Encode: func(w io.Writer) (io.WriteCloser, error) {
			return &rot13{w, &closed}, nil
		},
	}))
	_, err := c.Post(t.Context(), "there", parley.WithReader(inParts("hello ", "world")))
	require.NoError(t, err)
	require.Equal(t, "uryyb jbeyq", string(last().Content))
	require.Equal(t, "rot13", last().Header.Get("Content-Encoding"))
	_, err = c.Post(t.Context(), "there", parley.WithText("hello"))
	require.NoError(t, err)
	require.Equal(t, "uryyb", string(last().Content))
	require.EqualValues(t, 2, closed.Load())
}

// rot13 is a coding that anybody can check.
type rot13 struct {
	w      io.Writer
	closed *atomic.Int32
}

func (r *rot13) Write(p []byte) (int, error) {
	out := bytes.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' {
			return 'a' + (c-'a'+13)%26
		}
		return c
	}, p)
	_, err := r.w.Write(out)
	return len(p), err
}

func (r *rot13) Close() error {
	r.closed.Add(1)
	return nil
}

func TestWithCompression_flushesWhatAnIteratorGives(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	server := serveHTTP2(t, func(_ http.ResponseWriter, r *http.Request) {
		d, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return
		}
		defer d.Close()
		buf := make([]byte, 100)
		for {
			n, err := d.Read(buf)
			if n > 0 {
				seen <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}, nil)
	numbers := func(yield func(int) bool) {
		for i := range 3 {
			if !yield(i) {
				return
			}
			select {
			case got := <-seen:
				if got != fmt.Sprintf("%d\n", i) {
					t.Errorf("%q in place of %d", got, i)
				}
			case <-time.After(guardTime):
				t.Errorf("%d was not seen", i)
			}
		}
	}
	_, err := server.session(t, parley.WithCompression("zstd")).Post(t.Context(), "up", parley.WithJSONLines(numbers))
	require.NoError(t, err)
}

func TestWithCompression_aBodyThatFailsFailsTheRequest(t *testing.T) {
	t.Parallel()
	why := errors.New("disk on fire")
	s := wiretest.Serve(t, wiretest.Echo())
	_, err := sessionTo(t, s, parley.WithCompression("gzip")).Post(t.Context(), "up", parley.WithChunks(slicesOf(why, "ab")))
	require.ErrorIs(t, err, why)
	require.NotContains(t, s.Text(), "0\r\n\r\n")
}

// A body is coded at most once, whatever is done to its request.
func TestWithCompression_ofARequestThatIsChanged(t *testing.T) {
	t.Parallel()
	s, last := keeper(t)
	c := sessionTo(t, s, parley.WithCompression("gzip"))
	send := func(req *parley.Request, err error) (coding, plain string) {
		t.Helper()
		require.NoError(t, err)
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		coding = last().Header.Get("Content-Encoding")
		if coding == "" {
			return "", string(last().Content)
		}
		return coding, unpacked(t, coding, last().Content)
	}
	long := strings.Repeat("x", 2<<20)
	for _, text := range []string{"short", long} {
		made, err := c.NewRequest("POST", "there", parley.WithText(text))
		require.NoError(t, err)
		for name, test := range map[string]struct {
			opts          []parley.RequestOption
			coding, plain string
		}{
			"not at all":        {nil, "gzip", text},
			"in something else": {[]parley.RequestOption{parley.WithHeader("X", "y")}, "gzip", text},
			"in its body":       {[]parley.RequestOption{parley.WithText("other")}, "gzip", "other"},
			"in its coding":     {[]parley.RequestOption{parley.WithCompression("zstd")}, "zstd", text},
			"to have none":      {[]parley.RequestOption{parley.WithCompression("identity")}, "", text},
			"to an empty body":  {[]parley.RequestOption{parley.WithBytes(nil)}, "", ""},
		} {
			coding, plain := send(made.With(test.opts...))
			require.Equal(t, test.coding, coding, name)
			require.True(t, plain == test.plain, name)
		}
	}
	coding, plain := send(parley.NewRequest("POST", s.URL()+"/there", parley.WithText("without a session")))
	require.Equal(t, "gzip", coding)
	require.Equal(t, "without a session", plain)
}

func TestWithCompression_closesTheBodyAndTheEncoderHoweverItEnds(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) {
		if _, err := c.Reader.ReadByte(); err == nil { // of the body: without any there may be no encoder
			c.Say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			c.Rest()
		}
	}))
	var closed atomic.Int32
	source := &closeCounter{Reader: readerFunc(func(p []byte) (int, error) { return copy(p, "more"), nil })}
	c := sessionTo(t, s, parley.WithCompression("own"), parley.WithContentCoding(parley.ContentCoding{
		Name: "own", Encode: func(w io.Writer) (io.WriteCloser, error) { return &rot13{w, &closed}, nil },
	}))
	resp, err := c.Post(t.Context(), "up", parley.WithReader(source))
	require.NoError(t, err)
	require.Equal(t, 413, resp.StatusCode)
	wiretest.Eventually(t, func() bool { return closed.Load() == 1 && source.closed.Load() == 1 }, "both are closed once")
}

// It runs alone, as others allocate too.
func TestWithCompression_streamsInLittleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop what they are given")
	}
	path := fileWith(t, "large", "")
	require.NoError(t, os.Truncate(path, 32<<20))
	body, err := parley.FileBody(path)
	require.NoError(t, err)
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithTransport(parley.TransportFunc(
		func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			r, err := req.Body.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			n, err := io.Copy(io.Discard, r)
			return &parley.Response{StatusCode: 200, Header: http.Header{"X-Size": {fmt.Sprint(n)}}}, err
		})))
	send := func() {
		resp, err := c.Put(t.Context(), "up", parley.WithBody(body), parley.WithCompression("gzip"))
		require.NoError(t, err)
		require.Less(t, len(resp.Header.Get("X-Size")), 7)
	}
	send() // the encoder is made
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	send()
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))
}

func TestExplain_tellsHowBodiesAreSent(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithCompression("gzip"), parley.WithJSONEncoder(shouting),
		parley.WithUploadProgress(func(parley.Progress) {}))
	req, err := c.NewRequest("POST", "x", parley.WithJSON(1), parley.WithDownloadProgress(func(parley.Progress) {}))
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	var got []string
	for _, s := range e.Settings {
		switch s.Name {
		case "JSONEncoder", "Compression", "UploadProgress", "DownloadProgress":
			got = append(got, s.Name+" "+string(s.Source))
			require.NotEmpty(t, s.Value)
		}
	}
	require.Equal(t, []string{"JSONEncoder session", "Compression session", "UploadProgress session", "DownloadProgress request"}, got)
}
