package golden

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMalformedAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	for name, tt := range map[string]struct {
		raw  string
		want bool
	}{
		"a length":                     {ok + "Content-Length: 2\r\n\r\nok", false},
		"equal lengths":                {ok + "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok", false},
		"no reason":                    {"HTTP/1.1 200\r\n\r\n", false},
		"HTTP/1.0":                     {"HTTP/1.0 200 OK\r\n\r\nhello", false},
		"103 before the answer":        {"HTTP/1.1 103 Hints\r\nX: y\r\n\r\n" + ok + "\r\n", false},
		"more than the length":         {ok + "Content-Length: 2\r\n\r\nhello", false},
		"chunks":                       {chunked + "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n", false},
		"a length beside chunks":       {ok + "Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", false},
		"a head cut short":             {ok + "X: y", false},
		"a chunk cut short":            {chunked + "5\r\nhel", false},
		"no last chunk":                {chunked + "5\r\nhello\r\n", false},
		"a chunk without its end":      {chunked + "5\r\nhello", false},
		"another protocol":             {"SSH-2.0-x\r\n\r\n", true},
		"HTTP/2.0 as text":             {"HTTP/2.0 200 OK\r\n\r\n", true},
		"a status of four digits":      {"HTTP/1.1 1000 X\r\n\r\n", true},
		"a status below 100":           {"HTTP/1.1 099 X\r\n\r\n", true},
		"two spaces before the status": {"HTTP/1.1  200 OK\r\n\r\n", true},
		"no colon":                     {ok + "Nonsense\r\n\r\n", true},
		"space before the colon":       {ok + "X : y\r\n\r\n", true},
		"no name":                      {ok + ": y\r\n\r\n", true},
		"a folded line":                {ok + "X: a\r\n b: c\r\n\r\n", true},
		"a bare CR":                    {ok + "X: a\rb\r\n\r\n", true},
		"NUL":                          {ok + "X: a\x00b\r\n\r\n", true},
		"a fault after 100":            {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 abc\r\n\r\n", true},
		"a signed length":              {ok + "Content-Length: +5\r\n\r\n", true},
		"an empty length":              {ok + "Content-Length:\r\n\r\n", true},
		"unequal lengths":              {ok + "Content-Length: 5, 4\r\n\r\n", true},
		"a length beyond 63 bits":      {ok + "Content-Length: 9223372036854775808\r\n\r\n", true},
		"another coding":               {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", true},
		"chunks in HTTP/1.0":           {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
		"a chunk size with a prefix":   {chunked + "0x5\r\nhello\r\n0\r\n\r\n", true},
		"no chunk size":                {chunked + "\r\nhello\r\n0\r\n\r\n", true},
		"a chunk longer than its size": {chunked + "5\r\nhelloX\r\n0\r\n\r\n", true},
		"chunk lines that end with LF": {chunked + "5\nhello\n0\n\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, Answer{IsRaw: true, Raw: []byte(tt.raw)}.malformed("GET"))
		})
	}
}

func TestAuthorities(t *testing.T) {
	for url, tt := range map[string]struct {
		canonical  string
		impossible bool
	}{
		"http://a.test/":             {"a.test", false},
		"http://A.Test.:80/":         {"a.test", false},
		"https://a.test:80/":         {"a.test:80", false},
		"http://u:p@a.test:8080/":    {"a.test:8080", false},
		"http://[::1]:8080/":         {"[::1]:8080", false},
		"http://127.0.0.1/":          {"127.0.0.1", false},
		"http://a_b.test/":           {"a_b.test", false},
		"http://bücher.test/":        {"bücher.test", false},
		"http://a b.test/":           {"a b.test", true},
		"http://*.test/":             {"*.test", true},
		"http://a..test/":            {"a..test", true},
		"http://😀.test/":             {"😀.test", true},
		"http://127.1/":              {"127.1", true},
		"http://0x7f000001/":         {"0x7f000001", true},
		"http://2130706433/":         {"2130706433", true},
		"http://a%2etest/":           {"a%2etest", true},
		"http://u@b@a.test/":         {"b@a.test", true},
		`http://a.test\@b.test/path`: {"b.test", true},
	} {
		t.Run(url, func(t *testing.T) {
			a := authorityOf(url)
			require.Equal(t, tt.canonical, a.canonical())
			require.Equal(t, tt.impossible, a.impossible())
		})
	}
}
