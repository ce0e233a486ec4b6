package main

import (
	"bytes"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTour pins what a newcomer sees.
func TestTour(t *testing.T) {
	server := httptest.NewServer(httpbin.New())
	defer server.Close()
	var out bytes.Buffer
	require.NoError(t, walk(t.Context(), &out, server.URL))
	want := `
base URL, default header, query
  the server saw q="tea & cake", X-Tour: quickstart, User-Agent: parley/0.1.0

JSON out and in
  sent and got back {Hello:world Times:3}

redirects, cookies and a login
  302 Found led from /cookies/set to /cookies
  the jar has theme=dark
  Digest login: 200 OK after 2 attempts

a stream, line by line
  {"id":0,"args":{}...
  {"id":1,"args":{}...
  {"id":2,"args":{}...

an error, matched by kind
  response timeout in phase "response" after 100ms; the server may have seen the request: true
  and a status that is an error when asked: 418 I'm a teapot

twelve requests over four connections
  12 answers, N requests waited for a connection, N were reused
  <Client http://127.0.0.1:N/ [0 active, N idle]>
`
	got := regexp.MustCompile(`\b\d+ (requests|were|idle)|127\.0\.0\.1:\d+`).ReplaceAllStringFunc(out.String(), func(s string) string {
		return regexp.MustCompile(`\d+( |$)`).ReplaceAllString(s, "N$1")
	})
	require.Equal(t, want, got)
}
