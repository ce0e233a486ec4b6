package h1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// head reads one response head from wire, after which the peer is silent.
func head(t *testing.T, method, wire string) ResponseHead {
	t.Helper()
	var h ResponseHead
	br := bufio.NewReader(&pieceReader{[]string{wire}, errBlocked})
	require.NoError(t, ReadResponse(br, method, Limits{}, &h, nil), wire)
	return h
}

func TestHeadIsReadInFull(t *testing.T) {
	m := eachWay(t, "GET", "HTTP/1.1 404 Not  Found \x80\t!\r\ncontent-type:text/plain\r\nX-a: 1\r\nx-A:\t 2 \t\r\nSet-Cookie: a=b\r\n"+
		"EMPTY:\r\nContent-Length: 3\r\nX-Obs: \xe4\r\n\r\nabc", Limits{})
	require.Equal(t, message{Status: "404 Not  Found \x80\t!", Body: "abc", Length: 3, Keep: true, Done: true, Header: http.Header{
		"Content-Type": {"text/plain"}, "X-A": {"1", "2"}, "Set-Cookie": {"a=b"}, "Empty": {""}, "Content-Length": {"3"}, "X-Obs": {"\xe4"},
	}}, m)
	h := head(t, "GET", "HTTP/1.0 200\r\n\r\n")
	require.Equal(t, ResponseHead{StatusCode: 200, Status: "200", Proto: "HTTP/1.0", Header: http.Header{}, Framing: CloseBody, ContentLength: -1}, h)
}

func TestValuesOfOneNameDoNotShareRoomWithOthers(t *testing.T) {
	h := head(t, "GET", response("A: 1\r\nB: 2\r\nContent-Length: 0\r\n"))
	h.Header["A"] = append(h.Header["A"], "x")
	require.Equal(t, []string{"2"}, h.Header["B"])
}

func TestKeepAlive(t *testing.T) {
	const length = "Content-Length: 0\r\n"
	for _, tt := range []struct {
		wire string
		want bool
	}{
		{"HTTP/1.1 200 OK\r\n" + length, true},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length, false},
		{"HTTP/1.1 200 OK\r\nConnection: x,\tCLOSE \r\n" + length, false},
		{"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\n" + length, false},
		{"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\n" + length, false},
		{"HTTP/1.1 200 OK\r\nConnection: closed\r\n" + length, true},
		{"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\n" + length, true},
		{"HTTP/1.0 200 OK\r\n" + length, false},
		{"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + length, true},
		{"HTTP/1.0 200 OK\r\nConnection: Keep-Alive, close\r\n" + length, false},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", false},
		{"HTTP/1.1 200 OK\r\n", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", true},
		{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\n" + length, false},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n", false},
		{"HTTP/1.1 204 No Content\r\n", true},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", true},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", false},
		{"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", false},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", true},
	} {
		require.Equal(t, tt.want, head(t, "GET", tt.wire+"\r\n").KeepAlive, tt.wire)
	}
	require.True(t, head(t, "HEAD", "HTTP/1.1 200 OK\r\n\r\n").KeepAlive)
	require.False(t, head(t, "CONNECT", "HTTP/1.1 200 OK\r\n\r\n").KeepAlive)
	require.True(t, head(t, "CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n").KeepAlive)
}

func TestIdleTimeoutIsTheServersWord(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"timeout=5": 5 * time.Second, "max=100, Timeout = 7": 7 * time.Second, "timeout=99999999999999": 24 * time.Hour,
		"timeout=9223372036854775807": 24 * time.Hour, "timeout=": 0, "timeout": 0, "timeout=-1": 0, "timeout=1.5": 0, "timeout=\"5\"": 0,
		"timeout=x, timeout=3": 3 * time.Second, "timeout=99999999999999999999": 0, "max=4": 0, "": 0,
	} {
		h := head(t, "GET", response("Content-Length: 0\r\nKeep-Alive: "+value+"\r\n"))
		require.Equal(t, want, h.IdleTimeout, value)
		require.True(t, h.KeepAlive, value)
	}
}

func TestInformationalAnswersAreShownAndSkipped(t *testing.T) {
	const wire = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n" +
		"HTTP/1.1 199 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	m := eachWay(t, "GET", wire, Limits{})
	require.Equal(t, "200 OK", m.Status)
	require.True(t, m.Keep)

	var statuses []int
	var links []string
	on1xx := func(status int, header http.Header) error {
		statuses, links = append(statuses, status), append(links, header["Link"]...)
		return nil
	}
	var h ResponseHead
	require.NoError(t, ReadResponse(bufio.NewReader(strings.NewReader(wire)), "GET", Limits{}, &h, on1xx))
	require.Equal(t, []int{100, 103, 199}, statuses)
	require.Equal(t, []string{"a", "b"}, links)
	require.Equal(t, http.Header{"Content-Length": {"2"}}, h.Header)

	stop := errors.New("stop")
	err := ReadResponse(bufio.NewReader(strings.NewReader(wire)), "GET", Limits{}, &h, func(int, http.Header) error { return stop })
	require.Equal(t, stop, err)

	m = eachWay(t, "GET", "HTTP/1.1 103 x\nA: b\n\n"+response("Content-Length: 0\r\n"), Limits{})
	require.False(t, m.Keep, "a lone LF in any head ends reuse")
}

func TestSwitchingProtocolsIsFinal(t *testing.T) {
	m := eachWay(t, "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\n", Limits{})
	require.Equal(t, "101 Switching", m.Status)
	require.Empty(t, m.Err)
	require.Zero(t, m.Length)
}

func TestErrorsOfTheReaderComeBackUnchanged(t *testing.T) {
	const wire = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"
	for _, size := range []int{16, 4096} {
		for i := range wire {
			for _, broken := range []error{io.EOF, iotest.ErrTimeout} {
				var h ResponseHead
				err := ReadResponse(bufio.NewReaderSize(&pieceReader{[]string{wire[:i]}, broken}, size), "GET", Limits{}, &h, nil)
				if broken == io.EOF && i > 0 {
					broken = io.ErrUnexpectedEOF
				}
				require.Equal(t, broken, err, "after %d bytes", i)
			}
		}
	}
}

func TestWhatIsNotHTTPIsNoticedAtOnce(t *testing.T) {
	for wire, got := range map[string]string{
		"SSH-2.0-OpenSSH_9.9":             `"SSH-2.0-OpenSSH_9.9"`,
		"\x15\x03\x01\x00\x02\x02F":       `"\x15\x03\x01\x00\x02\x02F"`,
		"HTTP/2.0 200 OK":                 `"HTTP/2.0 200 OK"`,
		"H\x00":                           `"H\x00"`,
		"\r\nHTTP/1.1 200 OK":             `"\r\nHTTP/1.1 200 OK"`,
		"220 " + strings.Repeat("x", 100): `"220 ` + strings.Repeat("x", 60) + `"...`,
	} {
		var h ResponseHead
		err := ReadResponse(bufio.NewReader(&pieceReader{[]string{wire}, errBlocked}), "GET", Limits{}, &h, nil)
		require.Equal(t, &ParseError{What: "response does not begin with HTTP/1.", Got: got}, err)
		require.NotEmpty(t, rejected(t, "GET", wire).Err)
	}
}

func TestS166_ErrorsShowPeerBytesQuotedAndCut(t *testing.T) {
	const forged = "\n[INFO] forged \x1b[31m\u2028\xff"
	long := forged[1:] + strings.Repeat("\x1b", 1<<20-2000)
	for _, wire := range []string{
		forged, "HTTP/1.1 " + long, "HTTP/1.1 200 " + long + "\r\n\r\n", response(long + ": x\r\n"), response("X" + long + "\r\n"),
		response("X: " + long + "\r\n"), response("Content-Length: " + strings.Repeat("9", 1<<19) + "\r\n"),
		response("Transfer-Encoding: " + strings.Repeat("\xff", 1<<19) + "\r\n"),
		response("Transfer-Encoding: chunked\r\n") + long, response("Transfer-Encoding: chunked\r\n") + "5;" + long,
		response("Transfer-Encoding: chunked\r\n") + "0\r\n" + long + "\r\n\r\n",
	} {
		_, err := parse(bufio.NewReader(strings.NewReader(wire)), "GET", Limits{})
		var parse *ParseError
		if !errors.As(err, &parse) {
			require.Equal(t, io.ErrUnexpectedEOF, err)
			continue
		}
		text := err.Error()
		require.Less(t, len(text), 1<<10)
		for _, c := range []byte(text) {
			require.True(t, ' ' <= c && c < 0x7f, "%q", text)
		}
	}
}

func TestErrorsDoNotShowHeaderValues(t *testing.T) {
	for _, line := range []string{"Set-Cookie: SECRET\x00", "Set-Cookie : SECRET", ": SECRET", " folded: SECRET", "\tSECRET", "X\x01: SECRET"} {
		_, err := parse(bufio.NewReader(strings.NewReader(response(line+"\r\n"))), "GET", Limits{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "SECRET", line)
	}
}

func TestReadResponseTakesFourAllocations(t *testing.T) {
	br := bufio.NewReader(&loopReader{text: typicalHead})
	var h ResponseHead
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if err := ReadResponse(br, "GET", Limits{}, &h, nil); err != nil {
			t.Fatal(err)
		}
	}), 5.0, "the string of the head, the values, and the map in two parts; one to spare")
}
