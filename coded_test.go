package parley_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// encoders are the codings that a session undoes, deflate in both of its forms.
var encoders = map[string]func(w io.Writer) (io.WriteCloser, error){
	"gzip":    func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestCompression) },
	"deflate": func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, zlib.BestCompression) },
	"raw":     func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) },
	"br":      func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriterLevel(w, 5), nil },
	"zstd": func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	},
}

// nameOf gives the name of a coding for Content-Encoding.
func nameOf(encoder string) string {
	if encoder == "raw" {
		return "deflate"
	}
	return encoder
}

// coded gives text in a coding.
func coded(t testing.TB, encoder, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := encoders[encoder](&b)
	require.NoError(t, err)
	_, err = io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// codedSession is a session that gets every answer with these codings and this body,
// without any network.
func codedSession(t testing.TB, encoding string, body func() io.Reader, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := parley.New(append(opts, parley.WithBaseURL("http://a.test"), parley.WithTransport(
		parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			return &parley.Response{
				StatusCode: 200, Status: "200 OK", Request: req, ContentLength: -1, Body: io.NopCloser(body()),
				Header: http.Header{"Content-Encoding": {encoding}, "X-Asked": req.Header["Accept-Encoding"]},
			}, nil
		})))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// reading gives text again and again.
func reading(text string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(text) }
}

func TestCoded_everyCodingAndStackIsUndone(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat("The quick brown fox. ", 500)
	names := slices.Sorted(maps.Keys(encoders))
	stacks := [][]string{{"gzip", "br", "zstd"}, {"zstd", "raw", "deflate", "gzip"}, {"br", "br", "br", "br"}}
	for _, one := range names {
		stacks = append(stacks, []string{one})
		for _, two := range names {
			stacks = append(stacks, []string{one, two})
		}
	}
	for _, stack := range stacks {
		for _, text := range []string{plain, ""} {
			body, lines := text, []string{}
			for _, name := range stack {
				body, lines = coded(t, name, body), append(lines, nameOf(name))
			}
			encoding := strings.Join(lines, ", ")
			c := codedSession(t, encoding, reading(body))
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err, encoding)
			require.True(t, resp.Uncompressed)
			require.NotContains(t, resp.Header, "Content-Encoding")
			got, err := resp.Text()
			require.NoError(t, err)
			require.True(t, text == got, encoding)

			resp, err = c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			require.EqualValues(t, -1, resp.ContentLength)
			require.NoError(t, iotest.TestReader(resp.Body, []byte(text)), encoding)

			if len(body) > 1 { // else nothing would be left, which is no content
				_, err = codedSession(t, encoding, reading(body[:len(body)-1])).Get(t.Context(), "x")
				requireTruncated(t, err)
			}
		}
		c := codedSession(t, nameOf(stack[0]), reading(""))
		require.Empty(t, textOf(t, c, "x"), "nothing at all is no content")
	}
}

func TestCoded_anAnswerIsReadWholeBeforeItsConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	for name := range encoders {
		rest := ""
		if name == "gzip" {
			rest = strings.Repeat("\x00", 10_000)
		}
		body := coded(t, name, "plain text")
		s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return head("Content-Encoding: "+nameOf(name)+"\r\n"+chunkedLine) + chunk(body) + strings.TrimPrefix(chunk(rest), "0\r\n\r\n") + "0\r\nX-Trailer: 1\r\n\r\n"
		}))
		c := sessionTo(t, s)
		for range 3 {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err, name)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "plain text", text)
			require.Equal(t, "1", resp.Trailer.Get("X-Trailer"))
		}
		require.Equal(t, 1, s.Accepted(), name)
	}
}

// The end of the content is not the end of the message: what fails behind it fails.
func TestCoded_aMessageCutBehindItsContentIsAnError(t *testing.T) {
	t.Parallel()
	for name := range encoders {
		body := coded(t, name, "plain text")
		s := wiretest.Serve(t, func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil {
				c.Say(head("Content-Encoding: "+nameOf(name)+"\r\n"+chunkedLine) + chunk(body))
			}
		})
		_, err := sessionTo(t, s).Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrRead, name)
		require.NotErrorIs(t, err, parley.ErrDecoding, name)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
	}
}

func TestCoded_aFailureNamesTheCoding(t *testing.T) {
	t.Parallel()
	for encoding, want := range map[string]string{"gzip": "gzip: ", "deflate": "deflate: ", "br": "br: ", "zstd": "zstd: ", "x-gzip": "gzip: "} {
		_, err := codedSession(t, encoding, reading("no such thing")).Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrDecoding)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "no such thing")
	}
	_, err := codedSession(t, "gzip, br", reading(coded(t, "br", "no such thing"))).Get(t.Context(), "x")
	require.ErrorContains(t, err, "gzip: ")
	broken := errors.New("the line is dead")
	_, err = codedSession(t, "gzip, br", func() io.Reader { return iotest.ErrReader(broken) }).Get(t.Context(), "x")
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, parley.ErrDecoding, "what failed is not the decoding")
}

func TestCoded_closeEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	for name := range encoders {
		body := coded(t, name, "plain text")
		s := wiretest.Serve(t, func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil {
				c.Say(head("Content-Encoding: "+nameOf(name)+"\r\n"+chunkedLine) + chunk(body[:1]))
				c.Rest()
			}
		})
		c := sessionTo(t, s)
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			_, err := resp.Body.Read(make([]byte, 10))
			done <- err
		}()
		require.NoError(t, resp.Close())
		require.ErrorContains(t, <-done, "closed", name)
		_, err = resp.Body.Read(make([]byte, 10))
		require.ErrorContains(t, err, "closed", name)
		requireNoneActive(t, c)
	}
}

// A decoder that is pooled is one answer's at a time.
func TestCoded_answersOfManyGoroutinesKeepApart(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for name := range encoders {
		for i := range 4 {
			plain := strings.Repeat(fmt.Sprint("answer ", i, " "), 2000)
			body := coded(t, name, plain)
			c := codedSession(t, nameOf(name), reading(body))
			all.Go(func() {
				for n := range 20 {
					resp, err := c.Stream(t.Context(), "GET", "x")
					if !assert.NoError(t, err) {
						return
					}
					if n%3 == 0 { // left in the middle
						_, err = resp.Body.Read(make([]byte, 10))
						assert.NoError(t, err)
						assert.NoError(t, resp.Close())
						continue
					}
					text, err := resp.Text()
					assert.NoError(t, err)
					assert.True(t, plain == text, name)
				}
			})
		}
	}
	all.Wait()
}

func TestCoded_aDecodedAnswerMakesNoDecoder(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector pools forget on purpose")
	}
	buf := make([]byte, 4096)
	for name := range encoders {
		c := codedSession(t, nameOf(name), reading(coded(t, name, strings.Repeat("plain text ", 100))))
		n := testing.AllocsPerRun(50, func() {
			resp, err := c.Stream(t.Context(), "GET", "x")
			for err == nil {
				_, err = resp.Body.Read(buf)
			}
			require.Equal(t, io.EOF, err)
			require.NoError(t, resp.Close())
		})
		require.LessOrEqual(t, n, 18.0, name) // of the call; br has a few small tables for each block
	}
}

// Stacked codings make as much as they like out of a few bytes, without asking the
// connection for more, which would tell of the end of the context.
func TestCoded_theContextEndsWhatNeedsNoMoreOfTheConnection(t *testing.T) {
	t.Parallel()
	body := string(bombOf(t, "gzip"))
	for range 2 {
		body = coded(t, "gzip", body)
	}
	require.Less(t, len(body), 16<<10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := codedSession(t, "gzip, gzip, gzip", reading(body)).Stream(ctx, "GET", "x")
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
	require.NoError(t, err)
	cancel()
	n, err := io.Copy(io.Discard, resp.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorAs(t, err, new(*parley.Error))
	require.Less(t, n, int64(1<<20))
	_, err = resp.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled, "it stays")
	require.NoError(t, resp.Close())
}

// flusher is what can give out what it has taken in.
type flusher interface {
	io.WriteCloser
	Flush() error
}

// bombOf gives a body in a coding that expands to 1 GiB of zeros and is 1 MiB at the most.
// It is made of 1 MiB of them, again and again: as members, as frames, or as blocks.
func bombOf(t testing.TB, name string) []byte {
	t.Helper()
	const pieces = 1 << 10
	zeros := make([]byte, 1<<20)
	if name == "gzip" || name == "zstd" {
		return bytes.Repeat([]byte(coded(t, name, string(zeros))), pieces)
	}
	encoder := name
	if name == "deflate" {
		encoder = "raw"
	}
	var b bytes.Buffer
	w, err := encoders[encoder](&b)
	require.NoError(t, err)
	var ends [2]int
	for i := range ends {
		_, err = w.Write(zeros)
		require.NoError(t, err)
		require.NoError(t, w.(flusher).Flush())
		ends[i] = b.Len()
	}
	require.NoError(t, w.Close())
	first, again, last := b.Bytes()[:ends[0]], b.Bytes()[ends[0]:ends[1]], b.Bytes()[ends[1]:]
	bomb := slices.Concat(first, bytes.Repeat(again, pieces-1), last)
	if name == "deflate" { // RFC 1950: a header, and Adler-32, whose sums are 1 and as many as there are zeros
		bomb = slices.Concat([]byte{0x78, 0x9c}, bomb)
		bomb = binary.BigEndian.AppendUint32(bomb, uint32(pieces*len(zeros)%65521)<<16|1)
	}
	return bomb
}
