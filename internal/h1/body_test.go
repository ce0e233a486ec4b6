package h1

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

const (
	lengthWire  = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
	chunkedWire = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n01\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\nX-T: 2\r\n\r\n"
	closeWire   = "HTTP/1.1 200 OK\r\n\r\nhello world"
)

// bodyOf reads the head from br and returns the body behind it.
func bodyOf(t *testing.T, br *bufio.Reader, lim Limits) *Body {
	t.Helper()
	var h ResponseHead
	require.NoError(t, ReadResponse(br, "GET", lim, &h, nil))
	body := new(Body)
	body.Reset(br, &h, lim)
	return body
}

func TestBodyKeepsTheRulesOfReaders(t *testing.T) {
	for _, wire := range []string{lengthWire, chunkedWire, closeWire} {
		for _, size := range []int{16, 4096} {
			body := bodyOf(t, bufio.NewReaderSize(strings.NewReader(wire), size), Limits{})
			require.NoError(t, iotest.TestReader(body, []byte("hello world")), wire)
			body = bodyOf(t, bufio.NewReaderSize(iotest.DataErrReader(strings.NewReader(wire)), size), Limits{})
			require.NoError(t, iotest.TestReader(body, []byte("hello world")), wire)
		}
	}
}

func TestTheZeroBodyIsEmpty(t *testing.T) {
	var body Body
	require.True(t, body.Done())
	n, err := body.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
	done, err := body.Drain(0)
	require.NoError(t, err)
	require.True(t, done)
}

// A stutter gives one byte at a time, and an error that passes before each.
type stutter struct {
	r     io.Reader
	ready bool
}

func (s *stutter) Read(p []byte) (int, error) {
	s.ready = !s.ready
	if s.ready {
		return 0, iotest.ErrTimeout
	}
	return s.r.Read(p[:1])
}

func TestABodyGoesOnAfterATimeoutAtAnyByte(t *testing.T) {
	for _, wire := range []string{lengthWire, chunkedWire, closeWire} {
		head := strings.Index(wire, "\r\n\r\n") + 4
		for _, room := range []int{1, 3, 4096} {
			br := bufio.NewReaderSize(io.MultiReader(strings.NewReader(wire[:head]), &stutter{r: strings.NewReader(wire[head:])}), 16)
			body := bodyOf(t, br, Limits{})
			var got []byte
			p := make([]byte, room)
			timeouts := 0
			for {
				n, err := body.Read(p)
				got = append(got, p[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					require.Equal(t, iotest.ErrTimeout, err)
					timeouts++
				}
			}
			require.Equal(t, "hello world", string(got))
			require.GreaterOrEqual(t, timeouts, len(wire)-head)
			require.True(t, body.Done())
			if wire == chunkedWire {
				require.Equal(t, "1", body.Trailer().Get("X-Sum"))
			}
		}
	}
}

func TestTheEndComesWithTheLastBytesWhereItIsKnown(t *testing.T) {
	for _, wire := range []string{lengthWire, chunkedWire} {
		body := bodyOf(t, bufio.NewReader(&pieceReader{[]string{wire}, errBlocked}), Limits{})
		require.False(t, body.Done())
		p := make([]byte, 11)
		n, err := body.Read(p)
		require.Equal(t, "hello world", string(p[:n]))
		require.Equal(t, io.EOF, err)
		require.True(t, body.Done())
	}
	body := bodyOf(t, bufio.NewReader(&pieceReader{[]string{response("Content-Length: 0\r\n")}, errBlocked}), Limits{})
	require.True(t, body.Done(), "nothing to read")

	rest := strings.Index(chunkedWire, "0\r\nX-Sum")
	body = bodyOf(t, bufio.NewReader(&pieceReader{[]string{chunkedWire[:rest], chunkedWire[rest:]}, errBlocked}), Limits{})
	n, err := body.Read(make([]byte, 20))
	require.Equal(t, 11, n)
	require.NoError(t, err, "data does not wait for the end")
	n, err = body.Read(make([]byte, 20))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
}

func TestErrorsOfTheBodyStay(t *testing.T) {
	body := bodyOf(t, bufio.NewReader(strings.NewReader(response(te)+"5\r\nhelloXX0\r\n\r\n")), Limits{})
	_, err := io.ReadAll(body)
	var parse *ParseError
	require.ErrorAs(t, err, &parse)
	_, again := body.Read(make([]byte, 9))
	require.Equal(t, err, again)
	_, again = body.Drain(100)
	require.Equal(t, err, again)
	require.False(t, body.Done())

	body = bodyOf(t, bufio.NewReader(&pieceReader{[]string{lengthWire[:len(lengthWire)-2]}, io.EOF}), Limits{})
	_, err = io.ReadAll(body)
	require.Equal(t, io.ErrUnexpectedEOF, err)
	_, err = body.Drain(100)
	require.Equal(t, io.ErrUnexpectedEOF, err)
}

// A countReader remembers how much it was asked for at most.
type countReader struct {
	io.Reader
	most int
}

func (r *countReader) Read(p []byte) (int, error) {
	r.most = max(r.most, len(p))
	return r.Reader.Read(p)
}

func TestLargeReadsPassTheBufferBy(t *testing.T) {
	const size = 1 << 20
	for _, wire := range []string{
		response("Content-Length: 1048576\r\n") + strings.Repeat("x", size),
		response(te) + "100000\r\n" + strings.Repeat("x", size) + "\r\n0\r\n\r\n",
		response("") + strings.Repeat("x", size),
	} {
		r := &countReader{Reader: strings.NewReader(wire)}
		body := bodyOf(t, bufio.NewReader(r), Limits{})
		p := make([]byte, size)
		n, err := io.ReadFull(body, p)
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.Greater(t, r.most, size/2)
	}
}

func TestDrainTakesNoMoreThanItMay(t *testing.T) {
	for _, wire := range []string{lengthWire, chunkedWire} {
		raw := len(wire) - strings.Index(wire, "\r\n\r\n") - 4
		for limit := range raw + 2 {
			for _, size := range []int{16, 4096} {
				br := bufio.NewReaderSize(io.MultiReader(iotest.OneByteReader(strings.NewReader(wire+more)), iotest.ErrReader(errBlocked)), size)
				body := bodyOf(t, br, Limits{})
				done, err := body.Drain(limit)
				require.NoError(t, err)
				require.Equal(t, limit >= raw, done, "%d of %d", limit, raw)
				require.Equal(t, done, body.Done())
				if done {
					rest, err := io.ReadAll(br)
					require.Equal(t, errBlocked, err)
					require.Equal(t, more, string(rest))
				}
			}
		}
	}
	body := bodyOf(t, bufio.NewReader(strings.NewReader(closeWire)), Limits{})
	done, err := body.Drain(100)
	require.NoError(t, err)
	require.False(t, done, "a connection that ends with the body is not worth it")
}

func TestDrainReadsNothingInVain(t *testing.T) {
	for _, wire := range []string{response("Content-Length: 5000\r\n"), response(te) + "1388\r\n"} {
		body := bodyOf(t, bufio.NewReader(&pieceReader{[]string{wire}, errBlocked}), Limits{})
		done, err := body.Drain(2048)
		require.NoError(t, err)
		require.False(t, done)
	}
}

func TestDrainPassesErrorsOn(t *testing.T) {
	for _, wire := range []string{lengthWire, chunkedWire} {
		for i := strings.Index(wire, "\r\n\r\n") + 4; i < len(wire); i++ {
			body := bodyOf(t, bufio.NewReader(&pieceReader{[]string{wire[:i]}, io.EOF}), Limits{})
			_, err := body.Drain(2048)
			require.Equal(t, io.ErrUnexpectedEOF, err)
			body = bodyOf(t, bufio.NewReader(&pieceReader{[]string{wire[:i]}, errBlocked}), Limits{})
			_, err = body.Drain(2048)
			require.Equal(t, errBlocked, err)
		}
	}
	body := bodyOf(t, bufio.NewReader(strings.NewReader(response(te)+"5\r\nhelloX")), Limits{})
	_, err := body.Drain(2048)
	var parse *ParseError
	require.True(t, errors.As(err, &parse))
}

func TestWhatWasWrittenReadsBack(t *testing.T) {
	var wire []byte
	want := ""
	buf := make([]byte, ChunkPrefix+5000+ChunkSuffix)
	for _, n := range []int{1, 15, 16, 17, 255, 256, 4095, 4096, 5000} {
		data := strings.Repeat("d", n)
		copy(buf[ChunkPrefix:], data)
		wire = append(wire, FrameChunk(buf, n)...)
		want += data
	}
	wire, err := AppendLastChunk(wire, map[string][]string{"X-Sum": {"1"}})
	require.NoError(t, err)
	for _, size := range []int{16, 4096} {
		br := bufio.NewReaderSize(strings.NewReader(response(te)+string(wire)), size)
		body := bodyOf(t, br, Limits{})
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, "1", body.Trailer().Get("X-Sum"))
	}
}

func TestReadingABodyTakesNoMemory(t *testing.T) {
	h := ResponseHead{Framing: ChunkedBody}
	br := bufio.NewReader(&loopReader{text: "5;a=b\r\nhello\r\n0\r\n\r\n"})
	var body Body
	p := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		body.Reset(br, &h, Limits{})
		for !body.Done() {
			if _, err := body.Read(p); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
	}))
}
