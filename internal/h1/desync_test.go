package h1

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const te = "Transfer-Encoding: chunked\r\n"

func TestS067_ChunkedWinsOverLengthAndTheConnectionEnds(t *testing.T) {
	for _, fields := range []string{"Content-Length: 3\r\n" + te, te + "Content-Length: 3\r\n", "content-length: 3\r\ntransfer-encoding: CHUNKED\r\n"} {
		m := eachWay(t, "GET", response(fields)+"5\r\nhello\r\n0\r\n\r\n", Limits{})
		require.Equal(t, "hello", m.Body)
		require.False(t, m.Keep)
		require.Equal(t, int64(-1), m.Length)
		require.NotContains(t, m.Header, "Content-Length")
	}
	rejected(t, "GET", response("Content-Length: x\r\n"+te))
}

func TestS068_ContentLengthsMustAgree(t *testing.T) {
	for _, fields := range []string{"3\r\nContent-Length: 5", "3, 5", "5\r\nContent-Length:", "3,", ",3", "3,,3", "3;3", "3 3"} {
		rejected(t, "GET", response("Content-Length: "+fields+"\r\n")+"hello")
	}
	for _, fields := range []string{"3\r\nContent-Length: 3", "3, 3", "3 ,\t3", "3\r\nA: b\r\ncontent-length: 3, 03"} {
		m := eachWay(t, "GET", response("Content-Length: "+fields+"\r\n")+"abc", Limits{})
		require.Equal(t, "abc", m.Body)
		require.True(t, m.Keep)
	}
}

func TestS069_ContentLengthIsDigits(t *testing.T) {
	for _, value := range []string{"+5", "-5", "1 2", "0x5", "5_0", "٥", "5;", "", "99999999999999999999", "9223372036854775808",
		"0000000000000000000005", "5.0", "5e1", "\"5\"", "5\x0b"} {
		rejected(t, "GET", response("Content-Length: "+value+"\r\n")+"hello")
		rejected(t, "HEAD", response("Content-Length: "+value+"\r\n"))
	}
	require.Equal(t, "hello", eachWay(t, "GET", response("Content-Length: 005\r\n")+"hello", Limits{}).Body)
	require.Equal(t, int64(1<<63-1), head(t, "GET", response("Content-Length: 9223372036854775807\r\n")).ContentLength)
}

func TestS070_TransferEncodingIsChunkedAlone(t *testing.T) {
	for _, fields := range []string{": xchunked", ": chunked, identity", ": identity, chunked", ": chunked, chunked", ": chunked\r\nTransfer-Encoding: chunked",
		": chunked\x0b", `: "chunked"`, ": \x0bchunked", ": identity", ": gzip", ": ", ": chunked;q=1", ": chunked,", ": \xa0chunked", " : chunked",
		": gzip, chunked"} {
		rejected(t, "GET", response("Transfer-Encoding"+fields+"\r\n")+"5\r\nhello\r\n0\r\n\r\n")
	}
	rejected(t, "GET", "HTTP/1.0 200 OK\r\n"+te+"\r\n5\r\nhello\r\n0\r\n\r\n")
	rejected(t, "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"+te+"\r\n0\r\n\r\n")
	for _, value := range []string{"chunked", "Chunked", "\tCHUNKED "} {
		m := eachWay(t, "GET", response("Transfer-Encoding: "+value+"\r\n")+"5\r\nhello\r\n0\r\n\r\n", Limits{})
		require.Equal(t, "hello", m.Body)
		require.True(t, m.Keep)
	}
}

// chunked parses a chunked body that must be refused after some data.
func chunked(t *testing.T, wire, data string) {
	t.Helper()
	m := rejected(t, "GET", response(te)+wire)
	require.Equal(t, data, m.Body, "%q", wire)
}

func TestS071_ChunkSizesAreHexadecimalDigits(t *testing.T) {
	for _, size := range []string{"f0000000000000003", "10000000000000000", "00000000000000005", "8000000000000000", "ffffffffffffffff", "0x5", "+5", "-1", "5 ", " 5", "5\t",
		"5_0", "", "g", "5g", "٥", "5,", "5 ;a=b"} {
		chunked(t, size+"\r\nhello\r\n0\r\n\r\n", "")
		chunked(t, "3\r\nabc\r\n"+size+"\r\nhello\r\n0\r\n\r\n", "abc")
	}
	for _, size := range []string{"5", "05", "0000000000000005"} {
		require.Equal(t, "hello", eachWay(t, "GET", response(te)+size+"\r\nhello\r\n0\r\n\r\n", Limits{}).Body)
	}
	require.Equal(t, strings.Repeat("x", 0xaB), eachWay(t, "GET", response(te)+"aB\r\n"+strings.Repeat("x", 0xab)+"\r\n000\r\n\r\n", Limits{}).Body)
	_, err := parse(bufio.NewReader(strings.NewReader(response(te)+"7fffffffffffffff\r\nhello")), "GET", Limits{})
	require.EqualError(t, err, "unexpected EOF", "the greatest size fits")
}

func TestS072_SizeLinesEndWithCRLF(t *testing.T) {
	for _, wire := range []string{"5\nhello\r\n0\r\n\r\n", "5;a=\n0\r\n\r\n", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", "5\r\rhello", "5;a\rb\r\nhello", "5;a=\"\\\r\n\"\r\n",
		"5;a\x00\r\nhello", "5;\x7f\r\nhello", "0\n\r\n", "0\r\r\n"} {
		chunked(t, wire, "")
	}
	for _, extension := range []string{";a=b;c=\"d e\"", ";", ";a", "; a = b ", ";a=\"\\\"\"", ";\xe4", ";a=\"x;y\"\tz"} {
		m := eachWay(t, "GET", response(te)+"5"+extension+"\r\nhello\r\n0"+extension+"\r\n\r\n", Limits{})
		require.Equal(t, "hello", m.Body)
	}
}

func TestS073_ChunkDataEndsWithCRLF(t *testing.T) {
	for _, wire := range []string{"5\r\nhelloXX0\r\n\r\n", "5\r\nhello\n\n0\r\n\r\n", "5\r\nhello\r\r0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\rX0\r\n\r\n",
		"5\r\nhello \r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n"} {
		chunked(t, wire, "hello")
	}
}

func TestS074_TrailersAreParsedAndSteerNothing(t *testing.T) {
	m := eachWay(t, "GET", response(te)+"5\r\nhello\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nx-sum: 1\r\nX-Sum:\t2\r\nTransfer-Encoding: gzip\r\n\r\n", Limits{})
	require.Equal(t, message{Status: "200 OK", Header: http.Header{"Transfer-Encoding": {"chunked"}}, Trailer: http.Header{"X-Sum": {"1", "2"}},
		Body: "hello", Length: -1, Keep: true, Done: true}, m)
	var all strings.Builder
	for _, name := range forbiddenTrailers {
		all.WriteString(name + ": 1\r\n")
	}
	m = eachWay(t, "GET", response(te)+"0\r\n"+all.String()+"\r\n", Limits{})
	require.True(t, m.Done)
	require.Nil(t, m.Trailer)
	for _, section := range []string{"X-A : 1\r\n\r\n", "X-A\r\n\r\n", "X-A: 1\n\r\n", "X-A: 1\r\n\n", "\n", "X-A: 1\r\n folded\r\n\r\n", "X-A: a\rb\r\n\r\n", "X-A: \x00\r\n\r\n",
		"\rX-A: 1\r\n\r\n", " X-A: 1\r\n\r\n", ": 1\r\n\r\n"} {
		chunked(t, "5\r\nhello\r\n0\r\n"+section, "hello")
	}
}

func TestS075_NamesAreTokensBeforeTheColon(t *testing.T) {
	for _, line := range []string{"Transfer-Encoding : chunked", "Content Length: 5", "Content\rLength: 5", ": x", "NoColon", "Content-Length\t: 5",
		"A\"b: c", "Ä: x", "A\x7f: x", "\r: x", "A: b\r\r\nContent-Length : 5"} {
		rejected(t, "GET", response(line+"\r\n")+"hello")
		rejected(t, "GET", response("Content-Length: 5\r\n"+line+"\r\n")+"hello")
	}
}

func TestS076_ALoneCRIsAnErrorAndALoneLFEndsReuse(t *testing.T) {
	for _, fields := range []string{"A: b\rContent-Length: 5\r\n", "A: b\r\n\rX: c\r\n", "A: b\r\r\n", "\rA: b\r\n", "A:\rb\r\n", "A: b\r\n\r\r\n"} {
		rejected(t, "GET", response(fields))
	}
	rejected(t, "GET", "HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n")
	rejected(t, "GET", "HTTP/1.1 200\rOK\r\nContent-Length: 0\r\n\r\n")
	for _, wire := range []string{"HTTP/1.1 200 OK\nA: b\nContent-Length: 5\n\nhello", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\nA: b\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\nhello"} {
		m := eachWay(t, "GET", wire, Limits{})
		require.Equal(t, "hello", m.Body)
		require.Equal(t, []string{"b"}, m.Header["A"])
		require.False(t, m.Keep)
	}
}

func TestS077_FoldedLinesAreErrors(t *testing.T) {
	for _, fields := range []string{" Content-Length: 5\r\n", "A: b\r\n Content-Length: 0\r\nContent-Length: 5\r\n", "A: b\r\n\tc\r\n", "A: b\r\n \r\n", "\tA: b\r\n"} {
		rejected(t, "GET", response(fields)+"hello")
	}
}

func TestS078_ControlBytesAreErrors(t *testing.T) {
	for _, line := range []string{"X: a\x00b", "X\x00: a", "X: a\x01", "Transfer-Encoding\x00: chunked", "X: \x7f", "X: \x1b[31m", "X: \x00"} {
		rejected(t, "GET", response(line+"\r\nContent-Length: 0\r\n"))
	}
	rejected(t, "GET", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n")
	rejected(t, "GET", "HTTP/1.1 200 \x7f\r\nContent-Length: 0\r\n\r\n")
}

func TestS083_ABodyCutShortIsAnError(t *testing.T) {
	const length, chunks = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhelloworld", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5;a=\"b\"\r\nhello\r\n05\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n"
	for _, wire := range []string{length, chunks} {
		require.Equal(t, "helloworld", eachWay(t, "GET", wire, Limits{}).Body)
		for i := strings.Index(wire, "\r\n\r\n") + 4; i < len(wire); i++ {
			for _, size := range []int{16, 4096} {
				m, err := parse(bufio.NewReaderSize(strings.NewReader(wire[:i]), size), "GET", Limits{})
				require.EqualError(t, err, "unexpected EOF", "cut after %d bytes", i)
				require.False(t, m.Done)
				require.True(t, strings.HasPrefix("helloworld", m.Body))
			}
		}
	}
	m, err := parse(bufio.NewReader(strings.NewReader(response("")+"to the end")), "GET", Limits{})
	require.NoError(t, err, "without other framing the close is the end")
	require.Equal(t, "to the end", m.Body)
	require.True(t, m.Done)
	require.False(t, m.Keep)
}

func TestS185_StatusLine(t *testing.T) {
	for _, line := range []string{"hello world", "HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200", "ICY 200 OK", "HTTP/1.1 099 x",
		"HTTP/1.1 200OK", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.2 200 OK", "HTTP/1.10 200 OK", "HTTP/1. 200 OK", "http/1.1 200 OK",
		"HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 +20 OK", "HTTP/1.1 2 0 OK", " HTTP/1.1 200 OK", "HTTP/01.1 200 OK", "HTTP/1.1 ２00 OK", ""} {
		rejected(t, "GET", line+"\r\nContent-Length: 0\r\n\r\n")
	}
	for line, status := range map[string]string{"HTTP/1.1 200": "200", "HTTP/1.1 200 ": "200 ", "HTTP/1.0 999 odd": "999 odd", "HTTP/1.1 200  a\tb": "200  a\tb"} {
		require.Equal(t, status, eachWay(t, "GET", line+"\r\nContent-Length: 0\r\n\r\n", Limits{}).Status)
	}
}

func TestS186_AnswersThatNeverHaveABody(t *testing.T) {
	for _, fields := range []string{"Content-Length: 5\r\n", te, te + "Content-Length: 5\r\n"} {
		for _, tt := range []struct {
			method, status string
			length         int64
		}{{"HEAD", "200 OK", 5}, {"GET", "204 No Content", 0}, {"GET", "304 Not Modified", 5}, {"CONNECT", "200 OK", 0}, {"CONNECT", "299 x", 0}} {
			m := eachWay(t, tt.method, "HTTP/1.1 "+tt.status+"\r\n"+fields+"\r\n", Limits{})
			require.Empty(t, m.Body)
			require.Empty(t, m.Err)
			if fields == "Content-Length: 5\r\n" {
				require.Equal(t, tt.length, m.Length)
			}
		}
	}
	require.Equal(t, "hello", eachWay(t, "CONNECT", "HTTP/1.1 407 Auth\r\nContent-Length: 5\r\n\r\nhello", Limits{}).Body)
	require.Empty(t, eachWay(t, "CONNECT", response("Content-Length: x\r\nTransfer-Encoding: y\r\n"), Limits{}).Err)
	require.Equal(t, int64(-1), eachWay(t, "HEAD", response(""), Limits{}).Length)
}
