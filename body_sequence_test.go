package parley_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// slicesOf gives texts as an iterator of byte slices, all in one buffer, and err at the
// end if it is not nil.
func slicesOf(err error, texts ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buf []byte
		for _, text := range texts {
			if buf = append(buf[:0], text...); !yield(buf, nil) {
				return
			}
		}
		if err != nil {
			yield([]byte("not sent"), err)
		}
	}
}

func TestSequence_onTheWire(t *testing.T) {
	t.Parallel()
	type row struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	rows := []row{{1, "<a>"}, {2, "b"}}
	long := strings.Repeat("x", 64<<10)
	const chunked, lines = "Transfer-Encoding: chunked\r\n\r\n", "Content-Type: application/x-ndjson\r\n"
	for name, test := range map[string]struct {
		body   parley.RequestOption
		header []string
		want   string // after the line of the host
	}{
		"byte slices":            {parley.WithChunks(slicesOf(nil, "ab", "", "c")), nil, chunked + "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"},
		"none":                   {parley.WithChunks(slicesOf(nil)), nil, chunked + "0\r\n\r\n"},
		"a slice beyond 64 KiB":  {parley.WithChunks(slicesOf(nil, long+"ab")), nil, chunked + "10000\r\n" + long + "\r\n2\r\nab\r\n0\r\n\r\n"},
		"with a type of its own": {parley.WithChunks(slicesOf(nil, "a")), []string{"Content-Type", "a/b"}, "Content-Type: a/b\r\n" + chunked + "1\r\na\r\n0\r\n\r\n"},
		"with a length":          {parley.WithChunks(slicesOf(nil, "ab", "c")), []string{"Content-Length", "3"}, "Content-Length: 3\r\n\r\nabc"},
		"lines of JSON": {parley.WithJSONLines(slices.Values(rows)), nil, lines + chunked +
			"16\r\n" + `{"id":1,"name":"<a>"}` + "\n\r\n" + "14\r\n" + `{"id":2,"name":"b"}` + "\n\r\n0\r\n\r\n"},
		"lines that could fail": {parley.WithJSONLines2(func(yield func(any, error) bool) { yield(nil, nil) }), nil, lines + chunked + "5\r\nnull\n\r\n0\r\n\r\n"},
	} {
		s := wiretest.Serve(t, wiretest.Echo())
		opts := []parley.RequestOption{test.body}
		if test.header != nil {
			opts = append(opts, parley.WithHeader(test.header[0], test.header[1]))
		}
		_, err := sessionTo(t, s, bare).Post(t.Context(), "up", opts...)
		require.NoError(t, err, name)
		require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+test.want, s.Text(), name)
	}
}

func TestSequence_linesAreEncodedByTheEncoderOfTheRequest(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, parley.WithJSONEncoder(shouting))
	_, err := c.Post(t.Context(), "up", parley.WithJSONLines(slices.Values([]string{"a"})))
	require.NoError(t, err)
	require.Contains(t, s.Text(), "4\r\n\"A\"\n\r\n0\r\n")
	_, err = c.Post(t.Context(), "up", parley.WithJSONLines(slices.Values([]string{"b"})), parley.WithJSONEncoder(func(v any) ([]byte, error) {
		b, err := json.Marshal(v)
		return append(b, '\n'), err
	}))
	require.NoError(t, err)
	require.Contains(t, s.Text(), "4\r\n\"b\"\n\r\n0\r\n")
}

func TestSequence_whatCannotBeALineFailsTheRequest(t *testing.T) {
	t.Parallel()
	why := errors.New("no more rows")
	indent := parley.WithJSONEncoder(func(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") })
	for name, test := range map[string]struct {
		body parley.RequestOption
		want string
		kind error
	}{
		"an error of the iterator":    {parley.WithChunks(slicesOf(why, "ab")), "no more rows", why},
		"at once":                     {parley.WithChunks(slicesOf(why)), "no more rows", why},
		"of one over values":          {parley.WithJSONLines2(func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, why) }), "no more rows", why},
		"a value that is no JSON":     {parley.WithJSONLines(slices.Values([]any{1, make(chan int)})), "encode chan int as JSON", nil},
		"an encoder that breaks them": {parley.WithJSONLines(slices.Values([]any{[]int{1}})), "breaks lines", nil},
	} {
		s := wiretest.Serve(t, wiretest.Echo())
		opts := []parley.RequestOption{test.body}
		if strings.Contains(test.want, "breaks") {
			opts = append(opts, indent)
		}
		_, err := sessionTo(t, s).Post(t.Context(), "up", opts...)
		require.ErrorContains(t, err, test.want, name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
		}
		var e *parley.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, parley.PhaseWrite, e.Phase, name)
		require.NotErrorIs(t, err, parley.ErrNetwork, name)
		require.NotContains(t, s.Text(), "not sent", name)
		require.NotContains(t, s.Text(), "0\r\n\r\n", "the body is not ended as if it were whole: "+name)
	}
}

// Each element is there before the next one is made, whatever carries it.
func TestSequence_isSentAsItComes(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	serve := func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				seen <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}
	http2 := serveHTTP2(t, serve, nil)
	http1 := startHTTP2(t, serve, true, nil)
	for name, c := range map[string]*parley.Client{
		"HTTP/1.1": http1.session(t, parley.WithHTTP2(parley.HTTP2Off)),
		"HTTP/2":   http2.session(t),
		"handler":  newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(serve))),
		"net/http": newSession(t, parley.WithBaseURL(http1.URL), parley.WithTransport(parley.FromRoundTripper(http1.Client().Transport))),
	} {
		numbers := func(yield func(int) bool) {
			for i := range 3 {
				if !yield(i) {
					return
				}
				select {
				case got := <-seen:
					if got != fmt.Sprintf("%d\n", i) {
						t.Errorf("%s: %q in place of %d", name, got, i)
					}
				case <-time.After(guardTime):
					t.Errorf("%s: %d was not seen", name, i)
				}
			}
		}
		_, err := c.Post(t.Context(), "up", parley.WithJSONLines(numbers))
		require.NoError(t, err, name)
	}
}

func TestSequence_isRangedOverOnceUnlessItIsRewindable(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/here" {
			return "HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(string(r.Content))
	}))
	c := sessionTo(t, s)
	var ranged atomic.Int32
	seq := func(yield func([]byte, error) bool) {
		ranged.Add(1)
		yield([]byte("abc"), nil)
	}
	body := parley.WithChunks(seq)
	_, err := c.Post(t.Context(), "here", body)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
	_, err = c.Post(t.Context(), "there", body)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable, "the option has been used")
	require.EqualValues(t, 1, ranged.Load())

	again := parley.Rewindable(parley.ChunksBody(seq))
	require.True(t, again.Replayable())
	for range 2 {
		resp, err := c.Post(t.Context(), "here", parley.WithBody(again))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "abc", text)
	}
	require.EqualValues(t, 5, ranged.Load())
	require.NotContains(t, s.Text(), "chunked\r\n\r\n0\r\n", "never an empty body in its place")

	once := parley.ReaderBody(inParts("a"))
	require.Same(t, once, parley.Rewindable(once), "a reader stays what it is")
}

// A body that waits for 100 Continue and is not wanted is not begun.
func TestSequence_thatWasNotAskedForIsStillThere(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err != nil {
			return
		}
		c.Say("HTTP/1.1 307 There\r\nLocation: /there\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		c.Rest()
	})
	other := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	var ranged atomic.Int32
	body := parley.ChunksBody(func(yield func([]byte, error) bool) {
		ranged.Add(1)
		yield([]byte("abc"), nil)
	})
	req, err := c.NewRequest("POST", "here", parley.WithBody(body), parley.WithHeader("Expect", "100-continue"),
		parley.WithExpectTimeout(parley.NoTimeout), parley.WithFollowRedirects(false))
	require.NoError(t, err)
	resp, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Zero(t, ranged.Load())
	_, err = sessionTo(t, other).Post(t.Context(), "there", parley.WithBody(body))
	require.NoError(t, err)
	require.Contains(t, other.Text(), "3\r\nabc\r\n0\r\n")
}

func TestSequence_isLeftWhenTheRequestEnds(t *testing.T) {
	t.Parallel()
	refusing := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err != nil {
			return
		}
		// An iterator that was not begun is not left.
		if _, err := c.Reader.ReadByte(); err == nil {
			c.Say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			c.Rest()
		}
	})
	left := make(chan struct{})
	endless := func(yield func([]byte, error) bool) {
		defer close(left)
		for yield([]byte("more"), nil) {
		}
	}
	resp, err := sessionTo(t, refusing).Post(t.Context(), "up", parley.WithChunks(endless))
	require.NoError(t, err)
	require.Equal(t, 413, resp.StatusCode)
	select {
	case <-left:
	case <-time.After(guardTime):
		t.Fatal("the iterator was not left")
	}
}

func TestSequence_readsByHand(t *testing.T) {
	t.Parallel()
	body := parley.ChunksBody(slicesOf(nil, "abc", "de"))
	require.EqualValues(t, -1, body.Size())
	require.Equal(t, "<Body of an iterator >", fmt.Sprint(body))
	r, err := body.Open()
	require.NoError(t, err)
	got := make([]byte, 2)
	for _, want := range []string{"ab", "c", "de"} {
		n, err := r.Read(got)
		require.NoError(t, err)
		require.Equal(t, want, string(got[:n]))
	}
	_, err = r.Read(got)
	require.Equal(t, io.EOF, err)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err = body.Open()
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)

	other, err := parley.Rewindable(parley.JSONLinesBody(slices.Values([]int{1, 2}))).Open()
	require.NoError(t, err)
	require.NoError(t, other.Close())
	_, err = other.Read(got)
	require.Error(t, err)
	require.NotEqual(t, io.EOF, err, "what was not read is no end")
}
