package parley_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// turned is a coding of one's own: each byte plus one.
type turned struct {
	r      io.Reader
	closed *int
}

func (d turned) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	for i := range p[:n] {
		p[i]--
	}
	return n, err
}

func (d turned) Close() error {
	*d.closed++
	return nil
}

// turning is that coding, and counts what is closed.
func turning(name string, closed *int) parley.ContentCoding {
	return parley.ContentCoding{Name: name, Decode: func(r io.Reader) (io.ReadCloser, error) { return turned{r, closed}, nil }}
}

func turn(text string) string {
	return strings.Map(func(r rune) rune { return r + 1 }, text)
}

func TestContentCoding_oneOfTheSessionsOwnIsAskedForAndUndone(t *testing.T) {
	t.Parallel()
	closed := 0
	own := parley.WithContentCoding(turning("Turned", &closed))
	c := codedSession(t, "TURNED", reading(turn("plain text")), own)
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, allCodings+", turned", resp.Header.Get("X-Asked"))
	require.True(t, resp.Uncompressed)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "plain text", text)
	require.Equal(t, 1, closed)

	resp, err = c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	_, err = resp.Body.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.NoError(t, resp.Close())
	require.Equal(t, 2, closed, "closed once, also in the middle")

	resp, err = c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Equal(t, 2, closed, "not begun, not closed")

	for encoding, body := range map[string]string{
		"turned, gzip": coded(t, "gzip", turn("plain text")), "turned, turned": turn(turn("plain text")),
	} {
		require.Equal(t, "plain text", textOf(t, codedSession(t, encoding, reading(body), own), "x"))
	}
	require.Equal(t, turn("plain text"), textOf(t, codedSession(t, "turned", reading(turn("plain text"))), "x"), "a session without it")
}

func TestContentCoding_whoIsAskedForIt(t *testing.T) {
	t.Parallel()
	closed := 0
	own, body := parley.WithContentCoding(turning("turned", &closed)), turn("plain text")
	const all = allCodings + ", turned"
	c := codedSession(t, "turned", reading(body), own)
	for name, test := range map[string]struct {
		session *parley.Client
		opts    []parley.RequestOption
		asked   string
	}{
		"a derived session":               {derive(t, c), nil, all},
		"derived with it":                 {derive(t, codedSession(t, "turned", reading(body)), own), nil, all},
		"given twice":                     {derive(t, c, own), nil, all},
		"of a foreign origin":             {derive(t, c, parley.WithBaseURL("http://b.test")), nil, all},
		"switched off":                    {c, []parley.RequestOption{parley.WithDecompression(false)}, ""},
		"switched on again":               {derive(t, c, parley.WithDecompression(false)), []parley.RequestOption{parley.WithDecompression(true)}, all},
		"the caller's own word":           {c, []parley.RequestOption{parley.WithHeader("Accept-Encoding", "turned")}, "turned"},
		"the session's own word":          {derive(t, c, parley.WithHeader("Accept-Encoding", "br")), nil, "br"},
		"the session's own word, earlier": {codedSession(t, "turned", reading(body), parley.WithHeader("Accept-Encoding", "br"), own), nil, "br"},
		"nothing asked for":               {codedSession(t, "turned", reading(body), parley.WithoutHeader("Accept-Encoding"), own), nil, ""},
		"only encoded by": {codedSession(t, "turned", reading(body), parley.WithContentCoding(parley.ContentCoding{
			Name: "turned", Encode: func(w io.Writer) (io.WriteCloser, error) { return nil, nil },
		})), nil, allCodings},
	} {
		resp, err := test.session.Get(t.Context(), "http://a.test/x", test.opts...)
		require.NoError(t, err, name)
		require.Equal(t, test.asked, resp.Header.Get("X-Asked"), name)
		require.Equal(t, test.asked == all, resp.Uncompressed, name)
	}
	req, err := c.NewRequest("GET", "http://a.test/x")
	require.NoError(t, err)
	resp, err := codedSession(t, "turned", reading(body)).Send(t.Context(), req)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "plain text", text, "what the request asked for, whichever session sends it")
}

func TestContentCoding_oneThatIsKnownIsReplaced(t *testing.T) {
	t.Parallel()
	closed := 0
	c := codedSession(t, "gzip", reading(turn("plain text")), parley.WithContentCoding(turning("gzip", &closed)))
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, allCodings, resp.Header.Get("X-Asked"))
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "plain text", text)
	require.Equal(t, "plain text", textOf(t, codedSession(t, "x-gzip", reading(turn("plain text")), parley.WithContentCoding(turning("gzip", &closed))), "x"))

	again := derive(t, c, parley.WithContentCoding(parley.ContentCoding{
		Name: "gzip", Decode: func(io.Reader) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("other")), nil },
	}))
	_, err = again.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrDecoding, "it has read nothing of what there is")
	require.Equal(t, "plain text", textOf(t, c, "x"), "the session that it was derived from is as before")

	encoder := parley.WithContentCoding(parley.ContentCoding{Name: "gzip", Encode: func(io.Writer) (io.WriteCloser, error) { return nil, nil }})
	c = codedSession(t, "gzip", reading(coded(t, "gzip", "plain text")), encoder)
	require.Equal(t, "plain text", textOf(t, c, "x"), "an encoder alone leaves the decoder")
}

func TestContentCoding_whatFailsIsADecodingError(t *testing.T) {
	t.Parallel()
	fault := errors.New("a fault of its own")
	decode := func(f func(r io.Reader) (io.ReadCloser, error)) error {
		_, err := codedSession(t, "own", reading("content"), parley.WithContentCoding(parley.ContentCoding{Name: "own", Decode: f})).Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrDecoding)
		require.ErrorContains(t, err, "own: ")
		require.ErrorAs(t, err, new(*parley.Error))
		return err
	}
	require.ErrorIs(t, decode(func(io.Reader) (io.ReadCloser, error) { return nil, fault }), fault)
	require.ErrorIs(t, decode(func(io.Reader) (io.ReadCloser, error) { return nil, io.EOF }), io.ErrUnexpectedEOF)
	require.ErrorContains(t, decode(func(io.Reader) (io.ReadCloser, error) { return nil, nil }), "no reader")
	require.ErrorIs(t, decode(func(r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(r, 3), iotest.ErrReader(fault))), nil
	}), fault)
	require.ErrorIs(t, decode(func(r io.Reader) (io.ReadCloser, error) { return badEnd{r, fault}, nil }), fault)
	require.ErrorIs(t, decode(func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(idle{}), nil }), io.ErrNoProgress)
	require.ErrorContains(t, decode(func(r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(r, 3)), nil
	}), "after its end")
}

// badEnd fails as it is closed.
type badEnd struct {
	io.Reader
	err error
}

func (c badEnd) Close() error { return c.err }

// idle gives nothing, and does not end.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestContentCoding_anEmptyBodyIsNotDecoded(t *testing.T) {
	t.Parallel()
	c := codedSession(t, "own", reading(""), parley.WithContentCoding(parley.ContentCoding{
		Name: "own", Decode: func(io.Reader) (io.ReadCloser, error) { panic("nothing to decode") },
	}))
	require.Empty(t, textOf(t, c, "x"))
}

func TestContentCoding_aBadOneIsRefused(t *testing.T) {
	t.Parallel()
	decode := func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil }
	for _, name := range []string{"", " ", "a b", "a,b", "a;q=1", "identity", "IDENTITY", "*", "a\r\nb", "ä"} {
		_, err := parley.New(parley.WithContentCoding(parley.ContentCoding{Name: name, Decode: decode}))
		require.ErrorContains(t, err, "WithContentCoding", "%q", name)
	}
	_, err := parley.New(parley.WithContentCoding(parley.ContentCoding{Name: "own"}))
	require.ErrorContains(t, err, "neither Decode nor Encode")
	coding := parley.ContentCoding{Name: "own", Decode: decode}
	require.Equal(t, "<ContentCoding own> <ContentCoding own> <ContentCoding own>", fmt.Sprintf("%v %+v %d", coding, coding, coding))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "coding", coding)
	require.Contains(t, log.String(), "<ContentCoding own>")
}

// A session's coding is undone under RoundTripper, too.
func TestContentCoding_holdsBelowRoundTripper(t *testing.T) {
	t.Parallel()
	closed := 0
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return answer(turn("plain text"), "Content-Encoding: turned", "X-Asked: "+r.Header.Get("Accept-Encoding"))
	}))
	hc := sessionTo(t, s, parley.WithContentCoding(turning("turned", &closed))).HTTPClient()
	hr, err := http.NewRequestWithContext(t.Context(), "GET", s.URL(), nil)
	require.NoError(t, err)
	resp, err := hc.Do(hr)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "plain text", string(content))
	require.Equal(t, allCodings+", turned", resp.Header.Get("X-Asked"))
	require.True(t, resp.Uncompressed)
}
