package parley_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// saying answers every request with one text.
func saying(t *testing.T, text string) *parley.Client {
	t.Helper()
	return sessionTo(t, wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return text })))
}

type user struct {
	XMLName xml.Name `json:"-" xml:"user"`
	ID      int      `json:"id" xml:"id,attr"`
}

func TestResponse_isReadInAnyOrderAndAgain(t *testing.T) {
	t.Parallel()
	const content = `{"id":7}`
	c := saying(t, answer(content, "Content-Type: application/json"))
	ways := map[string]func(*parley.Response) (string, error){
		"Bytes": func(r *parley.Response) (string, error) { b, err := r.Bytes(); return string(b), err },
		"Text":  (*parley.Response).Text,
		"JSON": func(r *parley.Response) (string, error) {
			var u user
			err := r.JSON(&u)
			require.Equal(t, 7, u.ID)
			return content, err
		},
		"Decode": func(r *parley.Response) (string, error) {
			var u user
			err := r.Decode(&u)
			require.Equal(t, 7, u.ID)
			return content, err
		},
		"Lines": func(r *parley.Response) (string, error) {
			for line, err := range r.Lines() {
				return line, err
			}
			return "", nil
		},
		"Chunks": func(r *parley.Response) (string, error) {
			var all strings.Builder
			for piece, err := range r.Chunks(3) {
				if err != nil {
					return "", err
				}
				all.Write(piece)
			}
			return all.String(), nil
		},
	}
	for first, one := range ways {
		for second, other := range ways {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			streamed, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			_, err = streamed.Bytes()
			require.NoError(t, err)
			for _, r := range []*parley.Response{resp, streamed} {
				for range 2 {
					for _, read := range []func(*parley.Response) (string, error){one, other} {
						got, err := read(r)
						require.NoError(t, err, "%s and %s", first, second)
						require.Equal(t, content, got, "%s and %s", first, second)
					}
				}
			}
		}
	}
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	_, err = resp.Text()
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, content, string(got), "the body is there, too")
	require.NoError(t, resp.Close())
	require.NoError(t, resp.Close())
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, content, text, "also when it was closed")
}

func TestResponse_readingAClosedBodyIsAnError(t *testing.T) {
	t.Parallel()
	c := saying(t, answer(strings.Repeat("a", 5000)))
	zipped := saying(t, answer(gzipped(t, "text"), "Content-Encoding: gzip"))
	for name, open := range map[string]func() (*parley.Response, error){
		"read":     func() (*parley.Response, error) { return c.Get(t.Context(), "x") },
		"streamed": func() (*parley.Response, error) { return c.Stream(t.Context(), "GET", "x") },
		"limited": func() (*parley.Response, error) {
			return c.Stream(t.Context(), "GET", "x", parley.WithMaxBodyBytes(9000))
		},
		"coded": func() (*parley.Response, error) { return zipped.Stream(t.Context(), "GET", "x") },
	} {
		resp, err := open()
		require.NoError(t, err, name)
		require.NoError(t, resp.Close(), name)
		require.NoError(t, resp.Close(), name)
		for range 2 {
			_, err = resp.Body.Read(make([]byte, 1))
			require.ErrorContains(t, err, "/x: read: the response has been closed", name)
			require.ErrorAs(t, err, new(*parley.Error), name)
		}
	}
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	content, err := resp.Bytes()
	require.ErrorContains(t, err, "the response has been closed")
	require.Empty(t, content)
}

func TestResponse_isDecodedByItsMediaType(t *testing.T) {
	t.Parallel()
	const asJSON, asXML = `{"id":7}`, `<?xml version="1.0"?><user id="7"/>`
	for media, content := range map[string]string{
		"application/json": asJSON, "Application/JSON; charset=utf-8": asJSON, "application/problem+json": asJSON, "text/json": asJSON, "": asJSON,
		"application/json;;": asJSON, "application/xml": asXML, "text/xml; charset=utf-8": asXML, "application/atom+xml": asXML,
	} {
		c := saying(t, answer(content, "Content-Type: "+media))
		got, err := parley.As[user](c.Get(t.Context(), "x"))
		require.NoError(t, err, media)
		require.Equal(t, 7, got.ID, media)
		text, err := parley.As[string](c.Get(t.Context(), "x"))
		require.NoError(t, err, media)
		require.Equal(t, content, text, media)
	}
	for media, content := range map[string]string{
		"text/html": "<p>", "application/octet-stream": "{}", "application/json": `{"id":"seven"}`, "application/problem+json": `{"id":7`, "text/xml": "<user",
	} {
		c := saying(t, answer(content, "Content-Type: "+media))
		got, err := parley.As[user](c.Get(t.Context(), "x"))
		require.ErrorIs(t, err, parley.ErrDecoding, media)
		require.ErrorContains(t, err, "/x: decode: cannot decode the body", media)
		require.Zero(t, got.ID, media)
		var e *parley.Error
		require.ErrorAs(t, err, &e, media)
		require.Equal(t, []any{parley.PhaseDecode, parley.Answering, 1}, []any{e.Phase, e.Sent, e.Attempt}, media)
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.ErrorIs(t, resp.Decode(new(user)), parley.ErrDecoding, media)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, content, text, "what could not be decoded is still there")
	}
	// By name the content type does not matter.
	resp, err := saying(t, answer(asJSON, "Content-Type: text/plain")).Get(t.Context(), "x")
	require.NoError(t, err)
	require.NoError(t, resp.JSON(new(user)))
	resp, err = saying(t, answer(asXML)).Get(t.Context(), "x")
	require.NoError(t, err)
	var got user
	require.NoError(t, resp.XML(&got))
	require.Equal(t, 7, got.ID)
}

func TestAs_givesWhateverTypeIsAskedFor(t *testing.T) {
	t.Parallel()
	const content = `{"id":7}`
	c := saying(t, answer(content, "Content-Type: application/json"))
	for _, call := range []func() (*parley.Response, error){
		func() (*parley.Response, error) { return c.Get(t.Context(), "x") },
		func() (*parley.Response, error) { return c.Stream(t.Context(), "GET", "x") },
	} {
		value, err := parley.As[user](call())
		require.NoError(t, err)
		require.Equal(t, 7, value.ID)
		pointer, err := parley.As[*user](call())
		require.NoError(t, err)
		require.Equal(t, 7, pointer.ID)
		text, err := parley.As[string](call())
		require.NoError(t, err)
		require.Equal(t, content, text)
		textPointer, err := parley.As[*string](call())
		require.NoError(t, err)
		require.Equal(t, content, *textPointer)
		raw, err := parley.As[[]byte](call())
		require.NoError(t, err)
		require.Equal(t, content, string(raw))
		anything, err := parley.As[any](call())
		require.NoError(t, err)
		require.Equal(t, map[string]any{"id": 7.0}, anything)
		table, err := parley.As[map[string]int](call())
		require.NoError(t, err)
		require.Equal(t, map[string]int{"id": 7}, table)
	}
	require.Zero(t, c.Stats().Active, "streams are closed")
}

func TestAs_anAnswerWithoutContentGivesTheZeroValue(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]string{"204": "204 No Content", "205": "205 Reset Content"} {
		c := saying(t, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		if name == "204" {
			c = saying(t, "HTTP/1.1 "+status+"\r\n\r\n")
		}
		value, err := parley.As[user](c.Delete(t.Context(), "x"))
		require.NoError(t, err, name)
		require.Zero(t, value, name)
		pointer, err := parley.As[*user](c.Delete(t.Context(), "x"))
		require.NoError(t, err, name)
		require.Nil(t, pointer, name)
	}
	value, err := parley.As[user](saying(t, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").Head(t.Context(), "x"))
	require.NoError(t, err)
	require.Zero(t, value)
	_, err = parley.As[user](saying(t, answer("", "Content-Type: application/json")).Get(t.Context(), "x"))
	require.ErrorIs(t, err, parley.ErrDecoding, "an empty body is no JSON")
}

func TestAs_passesErrorsOn(t *testing.T) {
	t.Parallel()
	own := errors.New("own")
	_, err := parley.As[user](nil, own)
	require.Same(t, own, err)
	c := saying(t, strings.Replace(answer(`{"id":7,"why":"gone"}`, "Content-Type: application/json"), "200 OK", "410 Gone", 1))
	value, err := parley.As[user](c.Stream(t.Context(), "GET", "x"))
	var status *parley.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, 410, status.StatusCode)
	require.JSONEq(t, `{"id":7,"why":"gone"}`, string(status.Body))
	require.Zero(t, value)
	require.Zero(t, c.Stats().Active)
}

func TestResponse_errIsForAnswersOf400AndMore(t *testing.T) {
	t.Parallel()
	for status, fails := range map[string]bool{"200 OK": false, "204 No Content": false, "304 Not Modified": false, "400 Bad": true, "404 Not Found": true, "503 ": true, "599 X": true} {
		c := saying(t, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		if strings.HasPrefix(status, "204") {
			c = saying(t, "HTTP/1.1 "+status+"\r\n\r\n")
		}
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err, "an answer is no error")
		require.Equal(t, !fails, resp.OK(), status)
		require.Equal(t, fails, resp.Err() != nil, status)
	}
}

func TestResponse_errCarriesTheBodyAndLeavesItReadable(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"short": "no such user", "empty": "", "as long as is kept": strings.Repeat("a", 4096), "longer": strings.Repeat("0123456789", 1000),
	} {
		s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return strings.Replace(answer(gzipped(t, content), "Content-Encoding: gzip", "X-A: 1"), "200 OK", "404 Not Found", 1)
		}))
		c := sessionTo(t, s)
		full, err := c.Get(t.Context(), "x?key=SECRET")
		require.NoError(t, err, name)
		streamed, err := c.Stream(t.Context(), "GET", "x?key=SECRET")
		require.NoError(t, err, name)
		for _, resp := range []*parley.Response{full, streamed} {
			var first *parley.StatusError
			for range 2 {
				var status *parley.StatusError
				require.ErrorAs(t, resp.Err(), &status, name)
				require.Equal(t, content[:min(len(content), 4096)], string(status.Body), "decoded, and no more than 4 KiB")
				if first == nil {
					first = status
				}
				require.Equal(t, first, status, "asking again gives the same")
			}
			require.Equal(t, []any{"GET", 404, "404 Not Found", "1", s.URL() + "/x?key=SECRET"},
				[]any{first.Method, first.StatusCode, first.Status, first.Header.Get("X-A"), first.URL.String()}, name)
			require.EqualError(t, first, "GET "+s.URL()+"/x?...: status 404 Not Found", name)
			first.Body = append(first.Body[:0], "changed"...)
			first.Header.Set("X-A", "changed")
			text, err := resp.Text()
			require.NoError(t, err, name)
			require.Equal(t, content, text, name)
			require.Equal(t, "1", resp.Header.Get("X-A"), "the error has a copy")
		}
		require.Zero(t, c.Stats().Active, name)
	}
}

func TestResponse_errOfABodyThatBreaksOffKeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err == nil {
			c.Say("HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nsome")
		}
	})
	resp, err := sessionTo(t, s).Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	var status *parley.StatusError
	require.ErrorAs(t, resp.Err(), &status)
	require.Equal(t, "some", string(status.Body))
	got, err := io.ReadAll(resp.Body)
	require.Equal(t, "some", string(got))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, resp.Close())
}

func TestResponse_tellsWhatItIs(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	reply := wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 201 Made It\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunk("body") + "0\r\nX-Sum: 42\r\n\r\n"
	})
	for name, s := range map[string]*wiretest.Server{"plain": wiretest.Serve(t, reply), "TLS": wiretest.ServeTLS(t, authority.Server(t), reply)} {
		c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
		resp, err := c.Stream(t.Context(), "GET", "x?a=1")
		require.NoError(t, err, name)
		require.Equal(t, []any{201, "201 Made It", "HTTP/1.1", int64(-1), name == "TLS"},
			[]any{resp.StatusCode, resp.Status, resp.Proto, resp.ContentLength, resp.TLS != nil}, name)
		require.Equal(t, http.Header{"X-A": {"1", "2"}, "Trailer": {"X-Sum"}}, without(resp.Header, "Transfer-Encoding"), name)
		require.Equal(t, s.URL()+"/x?a=1", resp.Request.URL.String(), name)
		require.Empty(t, resp.Trailer, "it follows the body")
		require.Empty(t, resp.History)
		text, err := resp.Text()
		require.NoError(t, err, name)
		require.Equal(t, "body", text, name)
		require.Equal(t, http.Header{"X-Sum": {"42"}}, resp.Trailer, name)

		timing := resp.Timing()
		require.False(t, timing.Reused, name)
		require.Equal(t, 1, timing.Attempt, name)
		require.Positive(t, timing.Connect, name)
		require.Equal(t, name == "TLS", timing.TLS > 0, name)
		require.Positive(t, timing.Response, name)
		require.GreaterOrEqual(t, timing.Total, timing.Connect+timing.TLS+timing.Response, name)
		again, err := c.Get(t.Context(), "x")
		require.NoError(t, err, name)
		require.True(t, again.Timing().Reused, name)
		require.Zero(t, again.Timing().Connect, name)
	}
}

func without(h http.Header, name string) http.Header {
	h = h.Clone()
	h.Del(name)
	return h
}

func TestResponse_aHeadThatIsTooLargeIsAnError(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"bytes": "X-A: " + strings.Repeat("a", parley.MaxHeadBytes) + "\r\n",
		"lines": strings.Repeat("X-A: a\r\n", parley.MaxHeaderLines+1),
	} {
		c := saying(t, "HTTP/1.1 200 OK\r\n"+header+"Content-Length: 0\r\n\r\n")
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrRemoteProtocol, name)
		require.Less(t, len(err.Error()), 1000, name)
		require.Equal(t, 0, c.Stats().Idle, name)
	}
}
