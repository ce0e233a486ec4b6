package parley_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestPeek_consumesNothing(t *testing.T) {
	t.Parallel()
	const text = "one\ntwo\nthree"
	for name, read := range map[string]func(*parley.Response) (string, error){
		"bytes": func(r *parley.Response) (string, error) {
			b, err := r.Bytes()
			return string(b), err
		},
		"text": (*parley.Response).Text,
		"body": func(r *parley.Response) (string, error) {
			b, err := io.ReadAll(r.Body)
			return string(b), err
		},
		"lines": func(r *parley.Response) (string, error) {
			var all []string
			for line, err := range r.Lines() {
				if err != nil {
					return "", err
				}
				all = append(all, line)
			}
			return strings.Join(all, "\n"), nil
		},
		"chunks": func(r *parley.Response) (all string, err error) {
			for piece, err := range r.Chunks(5) {
				if err != nil {
					return "", err
				}
				all += string(piece)
			}
			return all, nil
		},
	} {
		for _, loaded := range []bool{false, true} {
			resp := unread(iotest.HalfReader(strings.NewReader(text)))
			if loaded {
				_, err := resp.Bytes()
				require.NoError(t, err)
			}
			for _, n := range []int{2, 0, 7, 3, len(text), 100} {
				head, err := resp.Peek(n)
				require.NoError(t, err)
				require.Equal(t, text[:min(n, len(text))], string(head), name)
				require.Equal(t, len(head), cap(head), "appending to it changes nothing of the body")
			}
			got, err := read(resp)
			require.NoError(t, err, name)
			require.Equal(t, text, got, name)
		}
	}
}

func TestPeek_looksFromWhereTheBodyStands(t *testing.T) {
	t.Parallel()
	for _, loaded := range []bool{false, true} {
		resp := unread(strings.NewReader("abcdef"))
		if loaded {
			_, err := resp.Bytes()
			require.NoError(t, err)
		}
		for _, want := range []string{"abc", "bcd", "cde", "def", "ef", "f", ""} {
			head, err := resp.Peek(3)
			require.NoError(t, err)
			require.Equal(t, want, string(head))
			n, err := resp.Body.Read(make([]byte, 1))
			require.Equal(t, min(1, len(want)), n)
			if want == "" {
				require.Equal(t, io.EOF, err)
			}
		}
	}
}

func TestPeek_givesWhatCameBeforeAnErrorWhichStays(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	resp := unread(io.MultiReader(strings.NewReader("abc"), failingReader{broken}))
	head, err := resp.Peek(3)
	require.NoError(t, err)
	require.Equal(t, "abc", string(head))
	for range 2 {
		head, err = resp.Peek(4)
		require.ErrorIs(t, err, broken)
		require.Equal(t, "abc", string(head))
	}
	got, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, broken)
	require.Equal(t, "abc", string(got))
	for _, n := range []int{-1, 1<<20 + 1} {
		_, err = resp.Peek(n)
		require.ErrorContains(t, err, "Peek looks at")
	}
}

func TestPeek_ofAStreamEndsWithIt(t *testing.T) {
	t.Parallel()
	c := sessionTo(t, wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("content") })))
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	head, err := resp.Peek(4)
	require.NoError(t, err)
	require.Equal(t, "cont", string(head))
	require.NoError(t, resp.Close())
	require.Zero(t, c.Stats().Active)
	_, err = resp.Peek(4)
	require.ErrorContains(t, err, "closed")
	_, err = resp.Body.Read(make([]byte, 4))
	require.ErrorContains(t, err, "closed")

	resp, err = c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, err = resp.Peek(4)
	require.ErrorContains(t, err, "closed")
}

func TestPeek_leavesAnErrorsBodyToErr(t *testing.T) {
	t.Parallel()
	resp := unread(strings.NewReader("what was wrong"))
	resp.StatusCode, resp.Header = http.StatusTeapot, http.Header{}
	head, err := resp.Peek(4)
	require.NoError(t, err)
	require.Equal(t, "what", string(head))
	var status *parley.StatusError
	require.ErrorAs(t, resp.Err(), &status)
	require.Equal(t, "what was wrong", string(status.Body))
	head, err = resp.Peek(8)
	require.NoError(t, err)
	require.Equal(t, "what was", string(head))
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "what was wrong", text)
}
