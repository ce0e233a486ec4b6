package parley_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestS063_TrailersObeyTheHeaderRules(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, name := range []string{"Content-Length", "content-length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "Set-Cookie",
		"Content-Encoding", "Content-Type", "Trailer", "Connection", "Proxy-Authorization", "If-Match", "Location", "Upgrade"} {
		r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithText("x"), parley.WithTrailer(name, func() string { return "5" })))
	}
	sent := r.takes(r.call("POST", "x", parley.WithText("hello"), parley.WithTrailer("X-Sum", func() string { return "1" })))
	require.True(t, strings.HasSuffix(sent, "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), sent)
	require.Contains(t, sent, "\r\nTrailer: X-Sum\r\n")
	require.NotContains(t, sent, "Content-Length")
}

// The value of a trailer is known when the body has gone.
func TestS063_AMalformedTrailerEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, value := range badValues {
		r := newRecording(t)
		before := r.server.Text()
		_, err := r.client.Post(t.Context(), "x", parley.WithText("hello"), parley.WithTrailer("X-Sum", func() string { return value }))
		require.ErrorIs(t, err, parley.ErrInvalidHeader)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.MaybeSent, e.Sent)
		sent := strings.TrimPrefix(r.server.Received()[0], before)
		require.NotContains(t, sent, "X-Sum:")
		r.sendProbe()
		require.Equal(t, 2, r.server.Accepted())
		require.Equal(t, r.probe, r.server.Received()[1])
	}
}

func TestS064_OnlyTheEngineWritesFraming(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	five := parley.WithBytes([]byte("hello"))
	for name, opts := range map[string][]parley.RequestOption{
		"another length":     {five, parley.WithHeader("Content-Length", "3")},
		"two lengths":        {five, parley.WithHeaders(http.Header{"Content-Length": {"5", "5"}})},
		"no number":          {five, parley.WithHeader("Content-Length", "+5")},
		"hexadecimal":        {five, parley.WithHeader("Content-Length", "0x5")},
		"negative":           {five, parley.WithHeader("Content-Length", "-5")},
		"another coding":     {five, parley.WithHeader("Transfer-Encoding", "gzip")},
		"two codings":        {five, parley.WithHeader("Transfer-Encoding", "gzip, chunked")},
		"two coding fields":  {five, parley.WithHeaders(http.Header{"Transfer-Encoding": {"chunked", "chunked"}})},
		"identity":           {five, parley.WithHeader("Transfer-Encoding", "identity")},
		"length and no body": {parley.WithHeader("Content-Length", "5")},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.on(t)
			r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", opts...))
		})
	}
	for name, tt := range map[string]struct {
		header http.Header
		want   string // of the head's framing lines and the body
	}{
		"nothing said":    {http.Header{}, "Content-Length: 5\r\n\r\nhello"},
		"the same length": {http.Header{"Content-Length": {"5"}}, "Content-Length: 5\r\n\r\nhello"},
		"odd spellings mean the same": {http.Header{"content-length": {"5"}, "transfer-encoding": {"chunked"}, "TRAILER": {"X"}},
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"chunks": {http.Header{"Transfer-Encoding": {"chunked"}}, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"chunks and length": {http.Header{"Transfer-Encoding": {"chunked"}, "Content-Length": {"5"}},
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"a trailer without one": {http.Header{"Trailer": {"X-Sum"}}, "Content-Length: 5\r\n\r\nhello"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.on(t)
			sent := r.takes(r.edited(func(req *parley.Request) {
				req.Method, req.Body, req.Header = "POST", parley.BytesBody([]byte("hello"), ""), tt.header
			}))
			require.Equal(t, "POST /x HTTP/1.1\r\nHost: "+r.server.Addr()+"\r\n"+tt.want, sent)
		})
	}
}

func TestS065_AnyBodyIsFramedWhateverTheMethod(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	const body = "GET /evil HTTP/1.1\r\nHost: evils.test\r\n\r\n"
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "POST"} {
		t.Run(method, func(t *testing.T) {
			r := r.on(t)
			sent := r.takes(r.call(method, "x", parley.WithBytes([]byte(body))))
			require.Contains(t, sent, "\r\nContent-Length: 40\r\n\r\n"+body)
			sent = r.takes(r.call(method, "x", parley.WithReader(io.MultiReader(strings.NewReader(body)))))
			require.Contains(t, sent, "\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n"+body+"\r\n0\r\n\r\n")
			require.NotContains(t, sent, "Content-Length")
			sent = r.takes(r.call(method, "x"))
			require.True(t, strings.HasSuffix(sent, "\r\n\r\n"), sent)
		})
	}
}

func TestS066_ASecondUseOfARequestStartsAnew(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	req, err := r.client.NewRequest("PUT", "x", parley.WithReader(io.MultiReader(strings.NewReader("first"))), parley.WithHeader("Content-Type", "text/csv"))
	require.NoError(t, err)
	send := func(req *parley.Request) func() error {
		return func() error {
			resp, err := r.client.Send(t.Context(), req)
			if err == nil {
				err = resp.Close()
			}
			return err
		}
	}
	require.Contains(t, r.takes(send(req)), "\r\n\r\n5\r\nfirst\r\n0\r\n\r\n")
	// The stream is used up: nothing of it is sent again, and nothing in its place.
	r.refuses(parley.ErrBodyNotRewindable, send(req))

	again, err := req.With(parley.WithText("second"))
	require.NoError(t, err)
	again.Method = "POST"
	sent := r.takes(send(again))
	require.True(t, strings.HasPrefix(sent, "POST /x HTTP/1.1\r\n"), sent)
	require.True(t, strings.HasSuffix(sent, "\r\nContent-Length: 6\r\n\r\nsecond"), sent)
	require.NotContains(t, sent, "Transfer-Encoding")
	require.Equal(t, sent, r.takes(send(again)), "a request that can be sent again is the same again")

	bare := again.Clone()
	bare.Body = nil
	require.True(t, strings.HasSuffix(r.takes(send(bare)), "\r\nContent-Length: 0\r\n\r\n"))
}

func TestS066_NothingIsSentAgainOnceTheAnswerHasBegun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		half string
		want error
	}{
		"in the body":        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", parley.ErrRead},
		"in a chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", parley.ErrRead},
		"in the head":        {"HTTP/1.1 200 OK\r\nContent-Le", parley.ErrPeerClosed},
		"in the status line": {"H", parley.ErrPeerClosed},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
				if r.URL.Path == "/warm" {
					return wiretest.OK("")
				}
				c.Say(tt.half)
				return ""
			}))
			c := wireClient(t, parley.WithBaseURL(s.URL()))
			_, err := c.Get(t.Context(), "warm")
			require.NoError(t, err)
			_, err = c.Get(t.Context(), "x")
			require.ErrorIs(t, err, tt.want)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.Answering, e.Sent)
			require.Equal(t, 1, strings.Count(s.Text(), "GET /x "))
			require.Equal(t, 1, s.Accepted())
			require.Zero(t, c.Stats().Replays)
		})
	}
}

// sizedBody is a body that announces another size than it has.
type sizedBody struct {
	size   int64
	text   string
	err    error // after the text; nil: io.EOF
	closed chan struct{}
}

func (b *sizedBody) Size() int64         { return b.size }
func (b *sizedBody) ContentType() string { return "" }
func (b *sizedBody) Replayable() bool    { return true }
func (b *sizedBody) Open() (io.ReadCloser, error) {
	r := io.Reader(strings.NewReader(b.text))
	if b.err != nil {
		r = io.MultiReader(r, failingReader{b.err})
	}
	return &closeTeller{r, b.closed}, nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// closeTeller says when it is closed; a second time is a panic.
type closeTeller struct {
	io.Reader
	closed chan struct{}
}

func (c *closeTeller) Close() error {
	close(c.closed)
	return nil
}

var errSource = errors.New("the source broke")

func TestS184_ABodyOfAnotherLengthEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		err  error
		want error
	}{
		"shorter":          {"hello", nil, parley.ErrLocalProtocol},
		"empty":            {"", nil, parley.ErrLocalProtocol},
		"longer":           {"hello, hello, h", nil, parley.ErrLocalProtocol},
		"longer by one":    {"hello, hell", nil, parley.ErrLocalProtocol},
		"fails half way":   {"hello", errSource, errSource},
		"fails at once":    {"", errSource, errSource},
		"fails at the end": {"hello, hel", errSource, errSource},
	} {
		for _, announced := range []string{"by the body", "by header"} {
			t.Run(name+", "+announced, func(t *testing.T) {
				wiretest.Guard(t, guardTime)
				ended := make(chan struct{})
				s := wiretest.Serve(t, func(c *wiretest.Conn) {
					if c.Index > 0 {
						wiretest.Echo()(c)
						return
					}
					defer close(ended)
					c.Rest() // no answer: it could come before the source is found out
				})
				c := wireClient(t, parley.WithBaseURL(s.URL()))
				body := &sizedBody{10, tt.text, tt.err, make(chan struct{})}
				opts := []parley.RequestOption{parley.WithBody(body)}
				if announced == "by header" {
					body.size = -1
					opts = append(opts, parley.WithHeader("Content-Length", "10"))
				}
				_, err := c.Put(t.Context(), "x", opts...)
				require.ErrorIs(t, err, tt.want)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.MaybeSent, e.Sent)
				require.NotErrorIs(t, err, parley.ErrNetwork)
				<-body.closed
				<-ended
				_, content, _ := strings.Cut(s.Text(), "\r\n\r\n")
				require.True(t, strings.HasPrefix(tt.text[:min(len(tt.text), 10)], content), "no more than was announced: %q", content)

				resp, err := c.Get(t.Context(), "again")
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
				require.Equal(t, 2, s.Accepted())
			})
		}
	}
}

// A server that has all it was promised may answer before the source is found to
// have more. Its answer may be returned then, but its connection is not kept.
func TestS184_AnAnswerToABodyThatIsTooLongEndsTheConnection(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := newRecording(t)
		body := &sizedBody{10, "hello, hello, h", nil, make(chan struct{})}
		if _, err := r.client.Put(t.Context(), "x", parley.WithBody(body)); err != nil {
			require.ErrorIs(t, err, parley.ErrLocalProtocol)
		}
		<-body.closed
		r.sendProbe()
		require.Equal(t, 2, r.server.Accepted())
		require.NotContains(t, r.server.Received()[0], "hello, hell")
	}
}
