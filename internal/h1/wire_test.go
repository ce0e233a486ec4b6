package h1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// errBlocked stands for a peer that says no more but stays connected: whoever
// meets it has waited for bytes that it did not need.
var errBlocked = errors.New("waited for more")

// A pieceReader gives its pieces one at a time, then end.
type pieceReader struct {
	pieces []string
	end    error
}

func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 && r.pieces[0] == "" {
		r.pieces = r.pieces[1:]
	}
	if len(r.pieces) == 0 {
		return 0, r.end
	}
	n := copy(p, r.pieces[0])
	r.pieces[0] = r.pieces[0][n:]
	return n, nil
}

func pieces(s string, size int) []string {
	var all []string
	for len(s) > size {
		all, s = append(all, s[:size]), s[size:]
	}
	return append(all, s)
}

// A message is what became of one response.
type message struct {
	Status     string
	Header     http.Header
	Trailer    http.Header
	Body       string
	Length     int64
	Keep, Done bool
	Err        string // What of a *ParseError, or the text of any other error
}

// parse reads one response to its end.
func parse(br *bufio.Reader, method string, lim Limits) (m message, err error) {
	var h ResponseHead
	if err := ReadResponse(br, method, lim, &h, nil); err != nil {
		return message{Err: kind(err)}, err
	}
	m = message{Status: h.Status, Header: h.Header, Length: h.ContentLength, Keep: h.KeepAlive}
	var body Body
	body.Reset(br, &h, lim)
	data, err := io.ReadAll(&body)
	m.Body, m.Trailer, m.Done, m.Err = string(data), body.Trailer(), body.Done(), kind(err)
	return m, err
}

func kind(err error) string {
	var parse *ParseError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &parse):
		return parse.What
	}
	return err.Error()
}

// more is what a hostile peer sends behind a response.
const more = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!"

// eachWay parses wire as a whole, in pieces of several sizes, split at every
// byte, and with more after it, through buffers of several sizes; the outcome
// must be the same. After wire the peer stays silent. It returns the outcome.
func eachWay(t *testing.T, method, wire string, lim Limits) message {
	t.Helper()
	want, err := parse(bufio.NewReader(&pieceReader{[]string{wire}, errBlocked}), method, lim)
	check := func(how string, size int, all ...string) {
		t.Helper()
		br := bufio.NewReaderSize(&pieceReader{all, errBlocked}, size)
		got, _ := parse(br, method, lim)
		require.Equal(t, want, got, "%s: %q", how, wire)
	}
	for _, size := range []int{1, 2, 3, 7} {
		check("pieces", 4096, pieces(wire, size)...)
		check("pieces in a small buffer", 16, pieces(wire, size)...)
	}
	for i := range wire {
		check("split", 4096, wire[:i], wire[i:])
	}
	br := bufio.NewReader(strings.NewReader(wire + more))
	got, _ := parse(br, method, lim)
	require.Equal(t, want, got, "more after: %q", wire)
	if err == nil {
		require.True(t, want.Done)
		rest, err := io.ReadAll(br)
		require.NoError(t, err)
		require.Equal(t, more, string(rest), "bytes after the message: %q", wire)
	}
	return want
}

// rejected demands a *ParseError, whichever way the bytes come.
func rejected(t *testing.T, method, wire string) message {
	t.Helper()
	m := eachWay(t, method, wire, Limits{})
	_, err := parse(bufio.NewReader(strings.NewReader(wire+more)), method, Limits{})
	var parse *ParseError
	require.ErrorAs(t, err, &parse, "%q gave %+v", wire, m)
	require.False(t, m.Done)
	return m
}

func response(fields string) string {
	return "HTTP/1.1 200 OK\r\n" + fields + "\r\n"
}
