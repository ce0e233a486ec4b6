package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// anyWay parses data whole, in single bytes and in a small buffer, demands the
// same outcome, and returns it with the bytes that were left.
func anyWay(t *testing.T, method string, data []byte) (message, []byte) {
	lim := Limits{HeadBytes: 4096, HeaderCount: 20, Informational: 3}
	br := bufio.NewReader(bytes.NewReader(data))
	want, err := parse(br, method, lim)
	require.Equal(t, err == nil, want.Done)
	rest, _ := io.ReadAll(br) // of a reader of bytes, cannot fail
	for _, size := range []int{1, 5} {
		small := bufio.NewReaderSize(&pieceReader{pieces(string(data), size), io.EOF}, 16)
		got, _ := parse(small, method, lim)
		require.Equal(t, want, got)
		gotRest, _ := io.ReadAll(small)
		if err == nil {
			require.Equal(t, string(rest), string(gotRest))
		}
	}
	return want, rest
}

// FuzzResponseHead: what is accepted keeps to the rules, however the bytes come.
func FuzzResponseHead(f *testing.F) {
	f.Fuzz(func(t *testing.T, method string, data []byte) {
		m, _ := anyWay(t, method, data)
		if m.Status == "" {
			return
		}
		require.GreaterOrEqual(t, len(m.Status), 3)
		for key, values := range m.Header {
			require.NoError(t, CheckField(key, strings.Join(values, ",")))
			require.Equal(t, http.CanonicalHeaderKey(key), key)
			require.NotEmpty(t, values)
		}
		if m.Keep && method != http.MethodHead {
			require.False(t, m.Header["Content-Length"] != nil && m.Header["Transfer-Encoding"] != nil)
		}
	})
}

// FuzzChunkedBody: what is accepted is, written anew, the same body.
func FuzzChunkedBody(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		m, rest := anyWay(t, "GET", append([]byte(response(te)), data...))
		if m.Err != "" {
			return
		}
		require.True(t, bytes.HasSuffix(data[:len(data)-len(rest)], []byte("\r\n")))
		for key := range m.Trailer {
			require.NoError(t, checkTrailerName(key))
		}
		chunk := []byte(strings.Repeat("-", ChunkPrefix) + m.Body + strings.Repeat("-", ChunkSuffix))
		wire, err := AppendLastChunk(slices.Clone(FrameChunk(chunk, len(m.Body))), m.Trailer)
		require.NoError(t, err)
		again, rest := anyWay(t, "GET", append([]byte(response(te)), wire...))
		require.Empty(t, rest)
		require.Equal(t, m, again)
	})
}

// FuzzRequestWriter: whatever goes in, an accepted head with its body parses
// back as exactly one request that says the same.
func FuzzRequestWriter(f *testing.F) {
	f.Fuzz(func(t *testing.T, method, target, host, k1, v1, k2, v2, order string, flags uint8, body []byte) {
		h := RequestHead{Method: method, Target: target, Host: host, Header: http.Header{k1: {v1, v2}, k2: {v2}},
			Framing: Framing(flags & 3), ContentLength: int64(len(body)), Close: flags&4 != 0, ExpectContinue: flags&8 != 0}
		if flags&16 != 0 {
			h.Order = []string{order, "Content-Length", k2}
		}
		trailer := http.Header{}
		if flags&32 != 0 {
			trailer[k2] = []string{v1}
			h.Trailer = []string{k2}
		}
		if flags&64 != 0 {
			block, err := AppendHeader(nil, http.Header{k2: {v1}}, h.Order)
			if err != nil {
				return
			}
			h.Block = block
		}
		wire, err := AppendRequestHead(nil, &h)
		if err != nil {
			var field *FieldError
			require.ErrorAs(t, err, &field)
			require.Empty(t, wire)
			return
		}
		head := len(wire)
		switch h.Framing {
		case LengthBody:
			wire = append(wire, body...)
		case ChunkedBody:
			chunk := slices.Concat(make([]byte, ChunkPrefix), body, make([]byte, ChunkSuffix))
			wire = append(wire, FrameChunk(chunk, len(body))...)
			if wire, err = AppendLastChunk(wire, trailer); err != nil {
				return // the value of the trailer
			}
		default:
			body = nil
		}
		checkOneRequest(t, &h, string(wire), head, body)
	})
}

// checkOneRequest demands that net/http reads wire as h, body and nothing more.
func checkOneRequest(t *testing.T, h *RequestHead, wire string, head int, body []byte) {
	lines := strings.Split(wire[:head], "\r\n")
	require.Equal(t, h.Method+" "+h.Target+" HTTP/1.1", lines[0])
	if _, err := url.ParseRequestURI(h.Target); err != nil || h.Method == http.MethodConnect {
		// net/http also parses the target as a URL, where it is pickier than
		// RFC 9112 about escapes; the rest of the head is read all the same.
		wire = strings.Replace(wire, h.Target, "/", 1)
	}
	br := bufio.NewReader(strings.NewReader(wire))
	req, err := http.ReadRequest(br)
	require.NoError(t, err, "%q", wire)
	got, err := io.ReadAll(req.Body)
	require.NoError(t, err, "%q", wire)
	require.Equal(t, string(body), string(got))
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Empty(t, rest, "%q", wire)

	require.Equal(t, h.Method, req.Method)
	if strings.Contains(wire, h.Target) && req.RequestURI != "/" {
		require.Equal(t, h.Target, req.RequestURI)
	}
	if req.URL.Host == "" {
		require.Equal(t, h.Host, req.Host)
	}
	want := textHeader(h, lines[1:len(lines)-2])
	delete(req.Header, "Cache-Control") // net/http derives it from Pragma
	delete(want, "Cache-Control")
	require.Equal(t, want, req.Header, "%q", wire)
	require.Equal(t, h.Close || hasToken(want["Connection"], "close"), req.Close)
}

// textHeader makes a header of lines, and checks that they are those that h
// asks for.
func textHeader(h *RequestHead, lines []string) http.Header {
	want := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		switch key := http.CanonicalHeaderKey(name); key {
		case "Host", "Transfer-Encoding", "Trailer":
		default:
			want[key] = append(want[key], value)
		}
	}
	return want
}
