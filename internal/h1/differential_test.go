package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stricter are the answers that only net/http accepts: what this parser says
// of them, why, and an example.
var stricter = []struct{ what, why, example string }{
	{"response does not begin with HTTP/1.", "net/http takes other versions, this parser speaks HTTP/1 alone",
		"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"unknown HTTP version", "RFC 9112 knows two minor versions",
		"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"malformed status code", "a status code is three digits from 100 on after one space; net/http skips further spaces and takes 000 and signs",
		"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"control byte in the reason phrase", "RFC 9112 section 4",
		"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"},
	{"folded header line", "RFC 9112 section 5.2 leaves it to the client; folding has hidden framing fields before",
		response("A: b\r\n c\r\nContent-Length: 0\r\n")},
	{"header name is not a token", "RFC 9112 section 5.1; net/http keeps names with spaces as they are",
		response("A : b\r\nContent-Length: 0\r\n")},
	{"Transfer-Encoding in an HTTP/1.0 response", "RFC 9112 section 6.1 calls its framing faulty; net/http ignores the field",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"malformed chunk size", "RFC 9112 section 7.1; net/http takes space after the size",
		response(te) + "5 \r\nhello\r\n0\r\n\r\n"},
	{"control byte in a chunk extension", "RFC 9112 section 7.1.1: a line end within quotes is the end of the line to some and text to others",
		response(te) + "5;a=\"\r\nhello\r\n0\r\n\r\n"},
	{"lone LF in a trailer section", "trailers belong to chunked framing, where only CRLF ends a line",
		response(te) + "0\r\nX-A: 1\n\r\n\r\n"},
}

// looser are the answers that only this parser accepts: what net/http says of
// them (a pattern), why that is no reason to refuse, and an example.
var looser = []struct{ theirs, why, example string }{
	{"message cannot contain multiple Content-Length headers", "RFC 9110 section 8.6 lets equal lengths in a list count as one",
		response("Content-Length: 3, 3\r\nContent-Length: 3\r\n") + "abc"},
	{`bad Content-Length "[0-9]+([, 0-9]|\\t)+"`, "as above", response("Content-Length: 3, 3\r\n") + "abc"},
	{"bad trailer key", "what a Trailer line announces binds nobody; fields that may not stand in trailers are dropped there",
		response(te+"Trailer: Content-Length\r\n") + "0\r\n\r\n"},
}

func looseness(err error) bool {
	for _, d := range looser {
		if regexp.MustCompile(d.theirs).MatchString(err.Error()) {
			return true
		}
	}
	return false
}

func strictness(err error) bool {
	var parse *ParseError
	if !errors.As(err, &parse) {
		return false
	}
	for _, d := range stricter {
		if d.what == parse.What {
			return true
		}
	}
	return parse.Limit
}

// A verdict is what a parser made of an answer.
type verdict struct {
	status, proto string
	header        http.Header
	body          string
	ends          bool // the connection is not kept
	left          int  // bytes after the answer
	err           error
}

func ourVerdict(method string, data []byte) verdict {
	r := bytes.NewReader(data)
	br := bufio.NewReader(r)
	var h ResponseHead
	if err := ReadResponse(br, method, Limits{}, &h, nil); err != nil {
		return verdict{err: err}
	}
	var body Body
	body.Reset(br, &h, Limits{})
	all, err := io.ReadAll(&body)
	return verdict{h.Status, h.Proto, h.Header, string(all), !h.KeepAlive, r.Len() + br.Buffered(), err}
}

func theirVerdict(method string, data []byte) verdict {
	r := bytes.NewReader(data)
	br := bufio.NewReader(r)
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return verdict{err: err}
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		all, err := io.ReadAll(resp.Body)
		return verdict{resp.Status, resp.Proto, resp.Header, string(all), resp.Close, r.Len() + br.Buffered(), err}
	}
}

// FuzzAgainstNetHTTP: where this parser and net/http's both accept an answer
// they agree on it, where only one does it is for a reason named above.
func FuzzAgainstNetHTTP(f *testing.F) {
	f.Fuzz(func(t *testing.T, method string, data []byte) {
		ours, theirs := ourVerdict(method, data), theirVerdict(method, data)
		if method == http.MethodConnect && strings.HasPrefix(ours.status, "2") {
			return // net/http's parser leaves tunnels to its Transport
		}
		switch {
		case ours.err == nil && theirs.err == nil:
			require.Equal(t, theirs.status, ours.status)
			require.Equal(t, theirs.proto, ours.proto)
			require.Equal(t, theirs.body, ours.body)
			require.Equal(t, theirs.left, ours.left)
			require.True(t, ours.ends || !theirs.ends, "net/http would end the connection")
			require.Equal(t, unchanged(theirs.header), unchanged(ours.header))
		case theirs.err == nil:
			require.True(t, strictness(ours.err), "only net/http accepts %q: %v", data, ours.err)
		case ours.err == nil:
			require.True(t, looseness(theirs.err), "only this parser accepts %q: %v", data, theirs.err)
		}
	})
}

// unchanged returns what net/http does not change of a header.
func unchanged(h http.Header) http.Header {
	h = h.Clone()
	for _, key := range []string{"Transfer-Encoding", "Content-Length", "Trailer", "Connection", "Cache-Control"} {
		delete(h, key)
	}
	return h
}

func TestDifferencesFromNetHTTP(t *testing.T) {
	for _, d := range stricter {
		require.NoError(t, theirVerdict("GET", []byte(d.example)).err, d.why)
		require.Equal(t, d.what, kind(ourVerdict("GET", []byte(d.example)).err), d.why)
	}
	for _, d := range looser {
		require.NoError(t, ourVerdict("GET", []byte(d.example)).err, d.why)
		require.Regexp(t, d.theirs, theirVerdict("GET", []byte(d.example)).err, d.why)
	}
}
