package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
		var block, trailer http.Header
		if flags&16 != 0 {
			h.Order = []string{order, "Content-Length", k2}
		}
		if flags&32 != 0 {
			h.Trailer, trailer = []string{k2}, http.Header{k2: {v1}}
		}
		if flags&64 != 0 {
			block = http.Header{k2: {v1}}
		}
		wire, err := writeRequest(&h, block, trailer, body)
		if err != nil {
			var field *FieldError
			require.ErrorAs(t, err, &field)
			return
		}
		if h.Framing == NoBody {
			body = nil
		}
		require.True(t, strings.HasPrefix(wire, method+" "+target+" HTTP/1.1\r\n"))
		if _, err := url.ParseRequestURI(target); err != nil || method == http.MethodConnect {
			// net/http also parses the target as a URL, where it is pickier than
			// RFC 9112 about escapes; the rest of the head is read all the same.
			wire, target = method+" /"+wire[len(method)+1+len(target):], "/"
		}
		br := bufio.NewReader(strings.NewReader(wire))
		req, err := http.ReadRequest(br)
		require.NoError(t, err, "%q", wire)
		got, err := io.ReadAll(req.Body)
		require.NoError(t, err, "%q", wire)
		rest, err := io.ReadAll(br)
		require.NoError(t, err)
		require.Empty(t, rest, "%q", wire)

		require.Equal(t, method, req.Method)
		require.Equal(t, target, req.RequestURI)
		if req.URL.Host == "" { // net/http prefers the host of an absolute target
			require.Equal(t, host, req.Host)
		}
		require.Equal(t, string(body), string(got))
		want := saidBy(&h, block)
		require.Equal(t, hasToken(want["Connection"], "close"), req.Close)
		require.Equal(t, sorted(want), sorted(req.Header), "%q", wire)
		if trailer != nil {
			require.Equal(t, []string{trimOWS(v1)}, req.Trailer[http.CanonicalHeaderKey(k2)])
		}
	})
}

// writeRequest returns the request as a whole.
func writeRequest(h *RequestHead, block, trailer http.Header, body []byte) (string, error) {
	var err error
	if h.Block, err = AppendHeader(nil, block, h.Order); err != nil {
		return "", err
	}
	wire, err := AppendRequestHead(nil, h)
	if err != nil {
		return "", err
	}
	switch h.Framing {
	case LengthBody:
		wire = append(wire, body...)
	case ChunkedBody:
		chunk := slices.Concat(make([]byte, ChunkPrefix), body, make([]byte, ChunkSuffix))
		wire = append(wire, FrameChunk(chunk, len(body))...)
		if wire, err = AppendLastChunk(wire, trailer); err != nil {
			return "", err
		}
	}
	return string(wire), nil
}

// saidBy returns the header, under canonical names, that h must put on the
// wire, without what net/http keeps elsewhere.
func saidBy(h *RequestHead, block http.Header) http.Header {
	all := http.Header{}
	for _, part := range []http.Header{block, h.Header} {
		for key, values := range part {
			for _, v := range values {
				all.Add(key, trimOWS(v))
			}
		}
	}
	for _, key := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		all.Del(key)
	}
	if h.ExpectContinue {
		all.Del("Expect")
		for _, v := range valuesOf(block, "Expect") {
			all.Add("Expect", trimOWS(v))
		}
		all.Add("Expect", "100-continue")
	}
	if h.Framing == LengthBody {
		all.Set("Content-Length", strconv.FormatInt(h.ContentLength, 10))
	}
	if h.Close && !hasToken(valuesOf(h.Header, "Connection"), "close") {
		all.Add("Connection", "close")
	}
	return all
}

// valuesOf returns the values of h's names that are name but for case.
func valuesOf(h http.Header, name string) (all []string) {
	for key, values := range h {
		if http.CanonicalHeaderKey(key) == name {
			all = append(all, values...)
		}
	}
	return all
}

// sorted makes headers comparable: the order of different spellings of one
// name does not count, nor what net/http makes of Pragma.
func sorted(h http.Header) http.Header {
	for _, values := range h {
		slices.Sort(values)
	}
	delete(h, "Cache-Control")
	return h
}
