package parley_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// linesOf loops over the lines of a response, whose body comes in pieces.
func linesOf(t testing.TB, body io.Reader) (got []string, last error) {
	t.Helper()
	resp := &parley.Response{StatusCode: 200, Body: io.NopCloser(body)}
	for line, err := range resp.Lines() {
		if err != nil {
			require.Empty(t, line)
			require.NoError(t, last, "an error is the last thing")
			last = err
			continue
		}
		got = append(got, line)
	}
	return got, last
}

func TestLines_endWithLFOrCRLFOrCRWhereverTheyAreCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                       nil,
		"a":                      {"a"},
		"a\n":                    {"a"},
		"a\r":                    {"a"},
		"a\r\n":                  {"a"},
		"\n":                     {""},
		"\r\n\r\n":               {"", ""},
		"\r\r\n\n":               {"", "", ""},
		"\n\r":                   {"", ""},
		"a\nb\r\nc\rd":           {"a", "b", "c", "d"},
		"one\r\n\r\n\ntwo\r\rx ": {"one", "", "", "two", "", "x "},
		"é\u2028ü\v\f\x00\n\x85": {"é\u2028ü\v\f\x00", "\x85"},
	} {
		for cut := range len(text) + 1 {
			got, err := linesOf(t, io.MultiReader(strings.NewReader(text[:cut]), strings.NewReader(text[cut:])))
			require.NoError(t, err, "%q cut at %d", text, cut)
			require.Equal(t, want, got, "%q cut at %d", text, cut)
		}
		got, err := linesOf(t, iotest.OneByteReader(strings.NewReader(text)))
		require.NoError(t, err, "%q byte by byte", text)
		require.Equal(t, want, got, "%q byte by byte", text)
		got, err = linesOf(t, iotest.DataErrReader(strings.NewReader(text)))
		require.NoError(t, err, "%q with its end", text)
		require.Equal(t, want, got, "%q with its end", text)
	}
}

func TestLines_areBounded(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	fits := strings.Repeat("a", limit)
	for name, test := range map[string]struct {
		text string
		want []string
		long bool
	}{
		"the longest":           {"x\n" + fits + "\n" + fits + "\r\ny", []string{"x", fits, fits, "y"}, false},
		"the longest, no end":   {fits, []string{fits}, false},
		"a byte more":           {"x\n" + fits + "a\ny", []string{"x"}, true},
		"a byte more, no end":   {fits + "a", nil, true},
		"much more":             {strings.Repeat(fits, 3), nil, true},
		"much more, and an end": {fits + fits[:limit/2] + "\n", nil, true},
	} {
		for way, r := range map[string]io.Reader{
			"at once": strings.NewReader(test.text), "in halves": iotest.HalfReader(strings.NewReader(test.text)),
		} {
			got, err := linesOf(t, r)
			require.True(t, equal(test.want, got), "%s, %s: %d lines", name, way, len(got))
			if !test.long {
				require.NoError(t, err, name)
				continue
			}
			require.ErrorIs(t, err, parley.ErrBodyTooLarge, name)
			require.EqualError(t, err, "read: body too large: a line is longer than 1048576 bytes (WithMaxItemBytes)", name)
		}
	}
}

// equal spares the tests the printing of long texts.
func equal(a, b []string) bool {
	return strings.Join(a, "\n") == strings.Join(b, "\n") && len(a) == len(b)
}

func TestLines_anErrorComesAfterWhatIsWhole(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, err := linesOf(t, io.MultiReader(strings.NewReader("one\ntwo\npart"), failingReader{broken}))
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"one", "two"}, got)
}

// pieces answers in chunks, each when the test says so.
func pieces(t *testing.T, next <-chan string) *parley.Client {
	return sessionTo(t, wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err != nil {
			return
		}
		c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			select {
			case piece, more := <-next:
				if !more {
					c.Say("0\r\n\r\n")
					c.Rest()
					return
				}
				c.Say(chunk(piece))
			case <-c.Ending():
				return
			}
		}
	}))
}

func TestLines_areGivenAsTheyArrive(t *testing.T) {
	t.Parallel()
	next := make(chan string, 1)
	c := pieces(t, next)
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	next <- "first\r" // its LF may never come
	count := 0
	for line, err := range resp.Lines() {
		require.NoError(t, err)
		count++
		switch count {
		case 1:
			require.Equal(t, "first", line)
			next <- "\nsecond\n"
		case 2:
			require.Equal(t, "second", line)
			next <- "last"
			close(next)
		case 3:
			require.Equal(t, "last", line)
		}
	}
	require.Equal(t, 3, count)
	require.Zero(t, c.Stats().Active)
}

func TestLines_leavingTheLoopClosesTheStream(t *testing.T) {
	t.Parallel()
	next := make(chan string, 1)
	c := pieces(t, next)
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	next <- "first\nsecond\n"
	for line, err := range resp.Lines() {
		require.NoError(t, err)
		require.Equal(t, "first", line)
		break
	}
	require.Zero(t, c.Stats().Active)
	_, err = resp.Body.Read(make([]byte, 1))
	require.ErrorContains(t, err, "closed")
	count := 0
	for _, err = range resp.Lines() {
		count++
	}
	require.Equal(t, 1, count)
	require.ErrorContains(t, err, "closed", "a stream is read once")
}

func TestChunks_givePiecesAsTheyArrive(t *testing.T) {
	t.Parallel()
	next := make(chan string, 1)
	c := pieces(t, next)
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	next <- "abcde"
	var got []string
	for piece, err := range resp.Chunks(3) {
		require.NoError(t, err)
		got = append(got, string(piece))
		switch strings.Join(got, "") {
		case "abcde":
			next <- "f"
		case "abcdef":
			close(next)
		}
	}
	require.Equal(t, "abcdef", strings.Join(got, ""))
	for _, piece := range got {
		require.LessOrEqual(t, len(piece), 3)
	}
	require.Zero(t, c.Stats().Active)
}

func TestChunks_leavingTheLoopOrABadSizeClosesTheStream(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 0, -1} {
		next := make(chan string, 1)
		c := pieces(t, next)
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		next <- "abc"
		for piece, err := range resp.Chunks(size) {
			if size > 0 {
				require.NoError(t, err)
				require.Equal(t, "a", string(piece))
			} else {
				require.ErrorContains(t, err, "Chunks needs a size above 0")
			}
			break
		}
		require.Zero(t, c.Stats().Active, size)
	}
}

func TestChunks_endWithTheErrorOfTheBody(t *testing.T) {
	t.Parallel()
	next := make(chan string, 1)
	c := pieces(t, next)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := c.Stream(ctx, "GET", "x")
	require.NoError(t, err)
	next <- "abc"
	var last error
	count := 0
	for _, err := range resp.Chunks(10) {
		count++
		last = err
		cancel()
	}
	require.Equal(t, 2, count)
	require.ErrorIs(t, last, context.Canceled)
	require.ErrorAs(t, last, new(*parley.Error))
	require.Zero(t, c.Stats().Active)
}
