package parley_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// allCodings is what a session asks for.
const allCodings = "gzip, deflate, br, zstd"

// zipping answers every request with a gzip body, whatever it asked for. For HEAD it
// sends the head only, for a Range the path's status.
func zipping(t *testing.T) *wiretest.Server {
	zipped := gzipped(t, "plain text")
	return wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		text := answer(zipped, "Content-Encoding: gzip", "X-Accept-Encoding: "+strings.Join(r.Header["Accept-Encoding"], "|"))
		if r.Method == http.MethodHead {
			text = strings.TrimSuffix(text, zipped)
		}
		if r.URL.Path == "/partial" {
			text = strings.Replace(text, "200 OK", "206 Partial Content", 1)
		}
		return text
	}))
}

func TestDecode_whatParleyAskedForIsDecoded(t *testing.T) {
	t.Parallel()
	s := zipping(t)
	c := sessionTo(t, s)
	zipped := len(gzipped(t, "plain text"))
	for name, call := range map[string]func() (*parley.Response, error){
		"read":     func() (*parley.Response, error) { return c.Get(t.Context(), "x") },
		"streamed": func() (*parley.Response, error) { return c.Stream(t.Context(), "GET", "x") },
		"of a foreign origin": func() (*parley.Response, error) {
			return derive(t, c, parley.WithBaseURL("http://other.test")).Get(t.Context(), s.URL()+"/x")
		},
		"of a request made alone": func() (*parley.Response, error) {
			req, err := parley.NewRequest("GET", s.URL()+"/x")
			require.NoError(t, err)
			return c.Send(t.Context(), req)
		},
		"asked for again": func() (*parley.Response, error) {
			off := derive(t, c, parley.WithDecompression(false))
			return off.Get(t.Context(), "x", parley.WithDecompression(true))
		},
		"asked for again, made alone": func() (*parley.Response, error) {
			req, err := parley.NewRequest("GET", s.URL()+"/x", parley.WithDecompression(true))
			require.NoError(t, err)
			return derive(t, c, parley.WithDecompression(false)).Send(t.Context(), req)
		},
		"asked for again by a derived session": func() (*parley.Response, error) {
			off := derive(t, c, parley.WithDecompression(false))
			return derive(t, off, parley.WithDecompression(true)).Get(t.Context(), "x")
		},
	} {
		resp, err := call()
		require.NoError(t, err, name)
		require.Equal(t, allCodings, resp.Header.Get("X-Accept-Encoding"), name)
		require.True(t, resp.Uncompressed, name)
		require.EqualValues(t, -1, resp.ContentLength, name)
		require.NotContains(t, resp.Header, "Content-Encoding", name)
		require.NotContains(t, resp.Header, "Content-Length", name)
		text, err := resp.Text()
		require.NoError(t, err, name)
		require.Equal(t, "plain text", text, name)
	}
	require.NotEqual(t, zipped, len("plain text"))
}

func TestDecode_whatOthersAskedForIsRaw(t *testing.T) {
	t.Parallel()
	s := zipping(t)
	c := sessionTo(t, s)
	zipped := gzipped(t, "plain text")
	for name, test := range map[string]struct {
		session parley.Option
		ref     string
		opts    []parley.RequestOption
		asked   string
	}{
		"own Accept-Encoding":       {nil, "x", []parley.RequestOption{parley.WithHeader("Accept-Encoding", "gzip")}, "gzip"},
		"of the session":            {parley.WithHeader("Accept-Encoding", "gzip"), "x", nil, "gzip"},
		"none":                      {nil, "x", []parley.RequestOption{parley.WithoutHeader("Accept-Encoding")}, ""},
		"none, for the session":     {parley.WithoutHeader("Accept-Encoding"), "x", nil, ""},
		"off":                       {nil, "x", []parley.RequestOption{parley.WithDecompression(false)}, ""},
		"off, for the session":      {parley.WithDecompression(false), "x", nil, ""},
		"off, with own":             {parley.WithDecompression(false), "x", []parley.RequestOption{parley.WithHeader("Accept-Encoding", "gzip")}, "gzip"},
		"on, with own":              {parley.WithDecompression(false), "x", []parley.RequestOption{parley.WithDecompression(true), parley.WithHeader("Accept-Encoding", "br")}, "br"},
		"on, without":               {parley.WithDecompression(false), "x", []parley.RequestOption{parley.WithDecompression(true), parley.WithoutHeader("Accept-Encoding")}, ""},
		"a range":                   {nil, "x", []parley.RequestOption{parley.WithHeader("Range", "bytes=0-3")}, ""},
		"partial without a range":   {nil, "partial", nil, allCodings},
		"removed, then on for once": {parley.WithoutHeader("Accept-Encoding"), "x", []parley.RequestOption{parley.WithDecompression(true)}, ""},
	} {
		session := c
		if test.session != nil {
			session = derive(t, c, test.session)
		}
		resp, err := session.Get(t.Context(), test.ref, test.opts...)
		require.NoError(t, err, name)
		require.Equal(t, test.asked, resp.Header.Get("X-Accept-Encoding"), name)
		require.False(t, resp.Uncompressed, name)
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"), name)
		require.EqualValues(t, len(zipped), resp.ContentLength, name)
		content, err := resp.Bytes()
		require.NoError(t, err, name)
		require.Equal(t, zipped, string(content), name)
	}
	resp, err := c.Head(t.Context(), "x")
	require.NoError(t, err)
	require.False(t, resp.Uncompressed)
	require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
	require.EqualValues(t, len(zipped), resp.ContentLength)
}

func TestDecode_codingsThatWereNotAskedForStay(t *testing.T) {
	t.Parallel()
	for coding, decoded := range map[string]bool{
		"compress": false, "gzip, compress": false, "br, unknown, gzip": false, "compress, gzip": false, "unknown": false, "": false, "identity": false, "x-br": false,
		"GZIP": true, "x-gzip": true, "identity, gzip": true,
	} {
		s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return answer(gzipped(t, "plain text"), "Content-Encoding: "+coding)
		}))
		resp, err := sessionTo(t, s).Get(t.Context(), "x")
		require.NoError(t, err, coding)
		require.Equal(t, decoded, resp.Uncompressed, coding)
		text, err := resp.Text()
		require.NoError(t, err, coding)
		require.Equal(t, decoded, text == "plain text", coding)
		if !decoded {
			require.Equal(t, []string{coding}, resp.Header["Content-Encoding"])
		}
	}
}

func TestDecode_anAnswerWithoutContentIsNotDecoded(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"204 No Content", "304 Not Modified"} {
		s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return "HTTP/1.1 " + status + "\r\nContent-Encoding: gzip\r\n\r\n"
		}))
		resp, err := sessionTo(t, s).Get(t.Context(), "x")
		require.NoError(t, err)
		require.False(t, resp.Uncompressed)
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"), "it says what a GET would have got")
	}
}

// A body that ends too early is an error however it is read, and what came before
// is given to readers of a stream.
func TestDecode_aBodyCutShortIsAnError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("line of text\n", 2000)
	zipped := gzipped(t, long)
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return answer(zipped[:len(zipped)-12], "Content-Encoding: gzip")
	}))
	c := sessionTo(t, s)
	_, err := c.Get(t.Context(), "x")
	requireTruncated(t, err)
	_, err = parley.As[string](c.Stream(t.Context(), "GET", "x"))
	requireTruncated(t, err)

	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	requireTruncated(t, err)
	require.NotEmpty(t, got)
	require.True(t, strings.HasPrefix(long, string(got)))
	_, err = resp.Body.Read(make([]byte, 1))
	requireTruncated(t, err)
	require.NoError(t, resp.Close())
}

func requireTruncated(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseDecode, e.Phase)
	require.Equal(t, parley.Answering, e.Sent)
}

func TestDecode_maxBodyBytesHoldsForEveryWayToRead(t *testing.T) {
	t.Parallel()
	const limit = 1000
	body := strings.Repeat("a", limit)
	ways := map[string]func(*parley.Response) error{
		"Bytes":  func(r *parley.Response) error { _, err := r.Bytes(); return err },
		"Text":   func(r *parley.Response) error { _, err := r.Text(); return err },
		"JSON":   func(r *parley.Response) error { return r.JSON(new(string)) },
		"XML":    func(r *parley.Response) error { return r.XML(new(string)) },
		"Decode": func(r *parley.Response) error { return r.Decode(new([]byte)) },
		"As":     func(r *parley.Response) error { _, err := parley.As[string](r, nil); return err },
		"Body":   func(r *parley.Response) error { _, err := io.Copy(io.Discard, r.Body); return err },
		"Lines": func(r *parley.Response) (last error) {
			for _, err := range r.Lines() {
				last = err
			}
			return last
		},
		"Chunks": func(r *parley.Response) (last error) {
			for _, err := range r.Chunks(64) {
				last = err
			}
			return last
		},
	}
	for _, coded := range []bool{false, true} {
		s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			if coded {
				return answer(gzipped(t, body+"a"), "Content-Encoding: gzip")
			}
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body) + chunk("a") + "0\r\n\r\n"
		}))
		c := sessionTo(t, s, parley.WithMaxBodyBytes(limit))
		for name, read := range ways {
			name = fmt.Sprintf("%s, coded: %v", name, coded)
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err, name)
			err = read(resp)
			require.ErrorIs(t, err, parley.ErrBodyTooLarge, name)
			require.ErrorContains(t, err, "more than the allowed 1000 bytes", name)
			require.ErrorAs(t, err, new(*parley.Error), name)
			resp, err = c.Stream(t.Context(), "GET", "x", parley.WithMaxBodyBytes(limit+1))
			require.NoError(t, err, name)
			require.NotErrorIs(t, read(resp), parley.ErrBodyTooLarge, name)
			require.NoError(t, resp.Close(), name)
		}
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrBodyTooLarge)
		require.Len(t, textOf(t, c, "x", parley.WithMaxBodyBytes(0)), limit+1, "a request may have no bound")
		require.Zero(t, c.Stats().Active)
	}
}
