package golden

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// labClient gives a lab for a case and an HTTP client that lives in it.
func labClient(t *testing.T, c *Case) (*Lab, *http.Client) {
	t.Helper()
	authority, err := NewAuthority()
	require.NoError(t, err)
	lab := NewLab(c, authority, 0.1)
	transport := &http.Transport{
		DialContext:       lab.DialContext,
		TLSClientConfig:   &tls.Config{RootCAs: authority.Pool()},
		DisableKeepAlives: true, DisableCompression: true,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		lab.Close()
	})
	return lab, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func fetch(t *testing.T, client *http.Client, method, url string, body io.Reader) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(content)
}

func TestNamesAreServedUnderTheirOrigins(t *testing.T) {
	lab, client := labClient(t, &Case{})
	for _, url := range []string{"http://a.test/x?y", "http://a.test:8080/", "https://b.test/", "https://b.test:8443/", "http://[::1]:8080/"} {
		status, text := fetch(t, client, "GET", url, nil)
		require.Equal(t, 200, status)
		require.Equal(t, "ok", text, "the answer of a case without a server")
	}
	var got []string
	for _, s := range lab.Sent() {
		got = append(got, s.Origin+s.Target)
	}
	require.Equal(t, []string{"http://a.test/x?y", "http://a.test:8080/", "https://b.test/", "https://b.test:8443/", "http://[::1]:8080/"}, got)
	require.Equal(t, 5, lab.Dials())
}

func TestAnswersAreGivenInTurn(t *testing.T) {
	_, client := labClient(t, &Case{Server: map[string][]Answer{
		"http://a.test/p": {{Status: 500}, {Status: 404, HasBody: true, Body: []byte("no")}},
		"*":               {{Status: 204}},
	}})
	for _, want := range []int{500, 404, 404} {
		status, _ := fetch(t, client, "GET", "http://a.test/p?query=left+out", nil)
		require.Equal(t, want, status)
	}
	status, text := fetch(t, client, "GET", "http://b.test/p", nil)
	require.Equal(t, 204, status)
	require.Empty(t, text)
}

func TestRequestsAreRecordedAsWritten(t *testing.T) {
	lab, client := labClient(t, &Case{})
	fetch(t, client, "POST", "http://a.test/", strings.NewReader("café"))
	fetch(t, client, "PUT", "http://a.test/", io.MultiReader(strings.NewReader("ab"), strings.NewReader("c")))
	status, text := fetch(t, client, "HEAD", "http://a.test/", nil)
	require.Equal(t, 200, status)
	require.Empty(t, text)

	sent := lab.Sent()
	require.Len(t, sent, 3)
	require.Equal(t, "content-length", sent[0].Framing)
	require.Equal(t, "café", string(sent[0].Body))
	require.Equal(t, [2]string{"Host", "a.test"}, sent[0].Headers[0])
	require.Equal(t, "chunked", sent[1].Framing)
	require.Equal(t, "abc", string(sent[1].Body))
	require.Equal(t, []string{"ab", "c"}, sent[1].Chunks)
	require.Equal(t, "none", sent[2].Framing)
}

func TestHeaderBytesAreShownOneByOne(t *testing.T) {
	lab, conn := labConn(t, &Case{}, "a.test:80")
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nhOST:a.test\r\nX: caf\xc3\xa9 \xff\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, [][2]string{{"hOST", "a.test"}, {"X", "cafÃ© ÿ"}}, lab.Sent()[0].Headers)
}

// labConn gives a lab and a connection to one of its servers.
func labConn(t *testing.T, c *Case, addr string) (*Lab, net.Conn) {
	t.Helper()
	lab, _ := labClient(t, c)
	conn, err := lab.DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return lab, conn
}

func TestARequestCutShortIsRecordedAsIncomplete(t *testing.T) {
	for name, wire := range map[string]string{
		"in its body":  "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
		"in a chunk":   "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"after chunks": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			lab, conn := labConn(t, &Case{}, "a.test:80")
			_, err := io.WriteString(conn, wire)
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			_, err = io.ReadAll(conn)
			require.NoError(t, err)
			sent := lab.Sent()
			require.Len(t, sent, 1)
			require.True(t, sent[0].Incomplete)
			require.Equal(t, "abc", string(sent[0].Body))
		})
	}
}

func TestAnswersArePlayedAsTheCaseSays(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		answer Answer
		want   string
		reset  bool
		open   bool
	}{
		"a status with a body": {Answer{Status: 404, Headers: [][2]string{{"X", "é"}}, HasBody: true, Body: []byte("no"), Close: &yes},
			"HTTP/1.1 404 Not Found\r\nX: é\r\nContent-Length: 2\r\n\r\nno", false, false},
		"a length of its own": {Answer{Status: 200, Reason: "Fine", Headers: [][2]string{{"content-length", "9"}}, Close: &yes},
			"HTTP/1.1 200 Fine\r\ncontent-length: 9\r\n\r\nok", false, false},
		"raw bytes, then the end":     {Answer{IsRaw: true, Raw: []byte("HELLO\r\n\r\n")}, "HELLO\r\n\r\n", false, false},
		"raw bytes that do not close": {Answer{IsRaw: true, Raw: []byte("HELLO"), Close: &no}, "HELLO", false, true},
		"steps":                       {Answer{IsSet: true, Steps: []Step{{Send: "a"}, {Sleep: 0.1}, {Send: "b"}}}, "ab", false, false},
		"no step at all":              {Answer{IsSet: true}, "", false, false},
		"a reset":                     {Answer{IsSet: true, Steps: []Step{{Reset: true}}}, "", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := labConn(t, &Case{Server: map[string][]Answer{"*": {tt.answer}}}, "a.test:80")
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
			require.NoError(t, err)
			got := make([]byte, len(tt.want))
			_, err = io.ReadFull(conn, got)
			require.Equal(t, tt.want, string(got))
			if tt.open {
				require.NoError(t, err)
				return
			}
			rest, err := io.ReadAll(conn)
			require.Empty(t, rest)
			if tt.reset {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestSpecialHosts(t *testing.T) {
	lab, _ := labClient(t, &Case{Special: map[string]string{"n.test": "nxdomain", "r.test": "refused", "b.test": "backlog", "d.test": "deaf"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	_, err := lab.DialContext(ctx, "tcp", "n.test:80")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
	_, err = lab.DialContext(ctx, "tcp", "*.test:80")
	require.ErrorAs(t, err, &dns, "no resolver knows such a name")
	_, err = lab.DialContext(ctx, "tcp", "r.test:80")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = lab.DialContext(ctx, "tcp", "b.test:80")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	conn, err := lab.DialContext(t.Context(), "tcp", "d.test:80")
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = io.Copy(conn, endless{})
	require.True(t, errors.Is(err, context.DeadlineExceeded) || isTimeout(err), "%v", err)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestTLSAndPlainTextMeetEachOther(t *testing.T) {
	_, conn := labConn(t, &Case{}, "a.test:443")
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadAll(conn)
	require.ErrorIs(t, err, syscall.ECONNRESET)

	_, conn = labConn(t, &Case{}, "a.test:8080")
	err = tls.Client(conn, &tls.Config{ServerName: "a.test"}).HandshakeContext(t.Context())
	var header tls.RecordHeaderError
	require.ErrorAs(t, err, &header)
}

func TestAClosedLabIsGone(t *testing.T) {
	lab, conn := labConn(t, &Case{Server: map[string][]Answer{"*": {{IsSet: true, Steps: []Step{{Sleep: 3600}}}}}}, "a.test:80")
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(lab.Sent()) == 1 }, 5*time.Second, time.Millisecond)
	lab.Close()
	_, err = lab.DialContext(t.Context(), "tcp", "a.test:80")
	require.Error(t, err)
	_, err = lab.DialContext(t.Context(), "tcp", "b.test:80")
	require.ErrorIs(t, err, net.ErrClosed)
}
