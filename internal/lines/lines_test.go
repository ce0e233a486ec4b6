package lines

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// collect gives all lines, and what ended them.
func collect(r io.Reader, limit int) (got []string, ended bool, err error) {
	s := New(r, limit)
	for {
		line, err := s.Next()
		if err != nil {
			return got, ended, err
		}
		got = append(got, string(line))
		ended = s.Ended()
	}
}

func TestNext_saysWhetherALineHadAnEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"a": false, "a\n": true, "a\r": true, "a\r\n": true, "a\nb": false, "\n": true} {
		for cut := range len(text) + 1 {
			_, ended, err := collect(io.MultiReader(strings.NewReader(text[:cut]), strings.NewReader(text[cut:])), 10)
			require.Equal(t, io.EOF, err)
			require.Equal(t, want, ended, "%q", text)
		}
	}
}

func TestNext_boundsEveryLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"12345\n12345\r12345\r\n12345": io.EOF, "123456": ErrTooLong, "123456\n": ErrTooLong, "1\n123456\r": ErrTooLong, "": io.EOF,
	} {
		_, _, err := collect(strings.NewReader(text), 5)
		require.Equal(t, want, err, "%q", text)
		_, _, err = collect(iotest.OneByteReader(strings.NewReader(text)), 5)
		require.Equal(t, want, err, "%q byte by byte", text)
	}
}

// A large buffer full of short lines is read through once and not once a line.
func TestNext_searchesNoByteTwice(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, end := range []string{"\r", "\n"} {
		s := New(strings.NewReader(strings.Repeat("a", size)+end+strings.Repeat(end, size)), size)
		n, seen := 0, 0
		for {
			_, err := s.Next()
			if err != nil {
				require.Equal(t, io.EOF, err)
				break
			}
			if n++; n > 1 && len(s.buf) == seen && end == "\r" && s.lf != len(s.buf) {
				t.Fatal("it was forgotten that the buffer has no LF")
			}
			seen = len(s.buf)
		}
		require.Equal(t, size+1, n)
	}
}

// FuzzNext compares lines with what a simple splitter says, fed at once and byte by byte.
func FuzzNext(f *testing.F) {
	for _, seed := range []string{"", "a", "a\nb\r\nc\rd", "\r\r\n\n\r", "\n", strings.Repeat("x", 40) + "\n", "\ufeffa\x00\n"} {
		f.Add([]byte(seed), 20)
	}
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = max(limit, 0) % 1000
		got, ended, err := collect(bytes.NewReader(data), limit)
		slow, slowEnded, slowErr := collect(iotest.OneByteReader(bytes.NewReader(data)), limit)
		require.Equal(t, got, slow)
		require.Equal(t, ended, slowEnded)
		require.Equal(t, err, slowErr)

		var want []string
		text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
		for len(text) > 0 {
			line, rest, _ := strings.Cut(text, "\n")
			if len(line) > limit {
				require.Equal(t, ErrTooLong, err)
				require.Equal(t, want, got)
				return
			}
			want, text = append(want, line), rest
		}
		require.Equal(t, io.EOF, err)
		require.Equal(t, want, got)
	})
}

func TestNext_givesTheErrorOfTheStreamAfterWholeLines(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, _, err := collect(io.MultiReader(strings.NewReader("one\ntwo\npart"), iotest.ErrReader(broken)), 10)
	require.Equal(t, broken, err)
	require.Equal(t, []string{"one", "two"}, got)
}

func BenchmarkNext(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 10_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := New(bytes.NewReader(text), 1<<20)
		for {
			if _, err := s.Next(); err != nil {
				break
			}
		}
	}
}
