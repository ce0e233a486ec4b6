package h1

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// get is a request that is written without complaint.
func get() RequestHead {
	return RequestHead{Method: "GET", Target: "/", Host: "a.test"}
}

// refused demands a *FieldError, and that nothing was written.
func refused(t *testing.T, h RequestHead) *FieldError {
	t.Helper()
	before := make([]byte, 3, 4096)
	got, err := AppendRequestHead(before, &h)
	var field *FieldError
	require.ErrorAs(t, err, &field, "%+v", h)
	require.Len(t, got, 3)
	return field
}

func written(t *testing.T, h RequestHead) string {
	t.Helper()
	b, err := AppendRequestHead(nil, &h)
	require.NoError(t, err)
	return string(b)
}

func TestRequestHeadIsWrittenInAFixedOrder(t *testing.T) {
	header := http.Header{"X-B": {"2", " 3 "}, "X-A": {""}, "x-c": {"4"}, "Connection": {"TE"}}
	block, err := AppendHeader(nil, http.Header{"Accept": {"*/*"}, "Host": {"evil"}}, nil)
	require.NoError(t, err)
	base := RequestHead{Method: "POST", Target: "/p?q", Host: "a.test:80", Block: block, Header: header,
		Framing: LengthBody, ContentLength: 5}
	tests := []struct {
		name   string
		change func(*RequestHead)
		want   string
	}{
		{"sorted, engine lines last", func(h *RequestHead) {},
			"Host: a.test:80\nAccept: */*\nConnection: TE\nX-A: \nX-B: 2\nX-B: 3\nx-c: 4\nContent-Length: 5\n"},
		{"nothing but Host", func(h *RequestHead) { *h = get(); h.Method, h.Target, h.Host = "POST", "/p?q", "" },
			"Host: \n"},
		{"a length of 0 is written", func(h *RequestHead) { h.Block, h.Header, h.ContentLength = nil, nil, 0 },
			"Host: a.test:80\nContent-Length: 0\n"},
		{"chunks and trailers", func(h *RequestHead) {
			h.Block, h.Header, h.Framing, h.Trailer = nil, nil, ChunkedBody, []string{"X-Sum", "X-T"}
		}, "Host: a.test:80\nTransfer-Encoding: chunked\nTrailer: X-Sum, X-T\n"},
		{"close and expect", func(h *RequestHead) { h.Block, h.Header, h.Close, h.ExpectContinue = nil, nil, true, true },
			"Host: a.test:80\nContent-Length: 5\nConnection: close\nExpect: 100-continue\n"},
		{"close is not said twice", func(h *RequestHead) {
			h.Block, h.Header, h.Close = nil, http.Header{"connection": {"TE, Close"}}, true
		}, "Host: a.test:80\nconnection: TE, Close\nContent-Length: 5\n"},
		{"expect is not said twice", func(h *RequestHead) {
			h.Block, h.Header, h.ExpectContinue = nil, http.Header{"expect": {"100-continue"}}, true
		}, "Host: a.test:80\nContent-Length: 5\nExpect: 100-continue\n"},
		{"order and spelling", func(h *RequestHead) {
			h.Block, h.Order = nil, []string{"X-C", "content-LENGTH", "x-b", "HOST", "X-Absent", "x-B"}
		}, "HOST: a.test:80\nX-C: 4\ncontent-LENGTH: 5\nx-b: 2\nx-b: 3\nConnection: TE\nX-A: \n"},
		{"an order folds ASCII letters only", func(h *RequestHead) {
			h.Block, h.Header, h.Order = nil, http.Header{"Kind": {"1"}}, []string{"\u212aind", "Content-Length"}
		}, "Host: a.test:80\nContent-Length: 5\nKind: 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := base
			tt.change(&h)
			want := "POST /p?q HTTP/1.1\n" + tt.want + "\n"
			require.Equal(t, strings.ReplaceAll(want, "\n", "\r\n"), written(t, h))
		})
	}
}

func TestManyHeadersAreSorted(t *testing.T) {
	h := get()
	h.Header = http.Header{}
	want := "GET / HTTP/1.1\r\nHost: a.test\r\n"
	for i := range 3 * keyRoom {
		key := "X-" + string([]byte{'A' + byte(i/26), 'A' + byte(i%26)})
		h.Header[key] = []string{"v"}
		want += key + ": v\r\n"
	}
	require.Equal(t, want+"\r\n", written(t, h))
}

func TestTargetHasOneOfFourForms(t *testing.T) {
	for _, tt := range []struct{ method, target, host string }{
		{"GET", "/", "a.test"}, {"GET", "//x", "a.test"}, {"GET", "/%zz?\"<>", "a.test"}, {"GET", "/", ""},
		{"OPTIONS", "*", ""}, {"GET", "http://a.test", "a.test"}, {"GET", "http://a.test:1?q", "a.test:1"},
		{"GET", "https://[::1]:8/p", "[::1]:8"}, {"CONNECT", "a.test:443", "a.test:443"}, {"CONNECT", "[::1]:1", "[::1]:1"},
	} {
		got := written(t, RequestHead{Method: tt.method, Target: tt.target, Host: tt.host})
		require.Equal(t, tt.method+" "+tt.target+" HTTP/1.1\r\nHost: "+tt.host+"\r\n\r\n", got)
	}
	for _, tt := range []struct{ method, target, host string }{
		{"GET", "a.test", "a.test"}, {"GET", "a.test:80", "a.test"}, {"GET", "?q", "a.test"}, {"GET", "1http://a.test/", "a.test"},
		{"GET", "http:///p", "a.test"}, {"GET", "http://u:p@a.test/", "a.test"}, {"GET", "http:a", "a.test"}, {"GET", "://a.test", "a.test"},
		{"GET", "http://a.test:x/", "a.test"}, {"GET", "h_p://a.test/", "a.test"}, {"GET", "http://a.test/", ""},
		{"CONNECT", "a.test", "a.test"}, {"CONNECT", "a.test:", "a.test"}, {"CONNECT", "/", "a.test"}, {"CONNECT", "*", "a.test"},
		{"CONNECT", ":443", "a.test"}, {"CONNECT", "a.test:443/", "a.test"}, {"CONNECT", "a.test:65536", "a.test"}, {"CONNECT", "a.test:1", ""},
		{"GET", "", "a.test"}, {"CONNECT", "", "a.test"},
	} {
		refused(t, RequestHead{Method: tt.method, Target: tt.target, Host: tt.host})
	}
}

func TestFramingThatARequestCannotHave(t *testing.T) {
	for name, change := range map[string]func(*RequestHead){
		"until close":              func(h *RequestHead) { h.Framing = CloseBody },
		"unknown":                  func(h *RequestHead) { h.Framing = 9 },
		"negative length":          func(h *RequestHead) { h.Framing, h.ContentLength = LengthBody, -1 },
		"trailers without chunks":  func(h *RequestHead) { h.Framing, h.Trailer = LengthBody, []string{"X-A"} },
		"trailer name not a token": func(h *RequestHead) { h.Framing, h.Trailer = ChunkedBody, []string{"X A"} },
		"body with CONNECT": func(h *RequestHead) {
			h.Method, h.Target, h.Framing = "CONNECT", "a.test:1", ChunkedBody
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := get()
			change(&h)
			refused(t, h)
		})
	}
}

func TestS053_ControlBytesInValuesAreRefused(t *testing.T) {
	for _, value := range []string{"a\r\nX: 1", "a\nX: 1", "a\r", "\n", "a\x00b", "a\x7f", "\r\n\r\nGET / HTTP/1.1"} {
		for _, name := range []string{"X-A", "x-a", "Host", "Content-Length", "Connection", "Trailer", "User-Agent", "Cookie"} {
			h := get()
			h.Header = http.Header{"Accept": {"*/*"}, name: {"fine", value}}
			require.Equal(t, name, refused(t, h).Name)
			_, err := AppendHeader(nil, h.Header, []string{name})
			require.Error(t, err)
			require.Error(t, CheckField(name, value))
		}
		last, err := AppendLastChunk(nil, http.Header{"X-A": {value}})
		require.Error(t, err)
		require.Empty(t, last)
	}
	h := get()
	h.Header = http.Header{"X-A": {"a\tb"}}
	require.Contains(t, written(t, h), "\r\nX-A: a\tb\r\n")
}

func TestS054_NamesAreTokens(t *testing.T) {
	for _, name := range []string{"", "A B", "A:", "A\r\nB", " A", "A\t", "Ä", "(x)", "A\x00"} {
		h := get()
		h.Header = http.Header{name: {"v"}}
		refused(t, h)
		h.Header[name] = nil
		refused(t, h)
		require.Error(t, CheckField(name, ""))
		_, err := AppendLastChunk(nil, h.Header)
		require.Error(t, err)
		h = get()
		h.Framing, h.Trailer = ChunkedBody, []string{name}
		refused(t, h)
	}
	require.NoError(t, CheckField("!#$%&'*+-.^_`|~09azAZ", ""))
}

func TestS055_MethodIsAToken(t *testing.T) {
	for _, method := range []string{"GET /x HTTP/1.1\r\nX: 1\r\n\r\nGET", "GE T", "GET\n", "", "GET\x00", "GÄT", "G:T"} {
		h := get()
		h.Method = method
		refused(t, h)
		require.False(t, ValidMethod(method))
	}
	h := get()
	h.Method = "M-SEARCH"
	require.Equal(t, "M-SEARCH / HTTP/1.1\r\nHost: a.test\r\n\r\n", written(t, h))
	require.True(t, ValidMethod("M-SEARCH"))
}

func TestS056_TargetHasNoSpaceControlByteOrFragment(t *testing.T) {
	for _, bad := range []string{" ", "\r", "\n", "\t", "\x00", "\x7f", "#", "ä", "\xff", " HTTP/1.1\r\nX: 1"} {
		for _, target := range []string{"/a" + bad + "b", "/?q=" + bad, bad, "/" + bad, "http://a.test/" + bad, "http://a" + bad + ".test/"} {
			h := get()
			h.Target = target
			refused(t, h)
		}
	}
	h := get()
	h.Target = "/%00%0d%0A%20"
	require.True(t, strings.HasPrefix(written(t, h), "GET /%00%0d%0A%20 HTTP/1.1\r\n"))
}

func TestS057_RunesAreNeverCutToBytes(t *testing.T) {
	const runes = "\u010d\u010a\u0120"
	h := get()
	h.Target = "/" + runes
	refused(t, h)
	h = get()
	h.Header = http.Header{"X-A": {runes}}
	require.Contains(t, written(t, h), "\r\nX-A: \xc4\x8d\xc4\x8a\xc4\xa0\r\n")
}

func TestS058_HostIsAHostWithOptionalPort(t *testing.T) {
	for _, host := range []string{"a\r\nX: 1", "a b", "a/b", "a@b", "a?b", "a#b", "[::1", "::1", "[::1]x", "[1.2.3.4]", "[::1%25eth0]", "[]",
		"a:b", "a:65536", "a:1:2", ":80", "a\\b", "a%", "a%zz", "ä", "a\x00", " a", "a ", "[v1.x]", "a:000080", "a:+8", "a,b\x7f"} {
		h := get()
		h.Host = host
		require.Equal(t, "Host", refused(t, h).Name, host)
		require.False(t, ValidHost(host), host)
	}
	for _, host := range []string{"a", "a.test:80", "a:", "1.2.3.4:65535", "[::1]", "[::ffff:1.2.3.4]:8", "xn--a.test.", "a_b", "a%20b", "~!$&'()*+,;="} {
		require.True(t, ValidHost(host), host)
	}
	require.False(t, ValidHost(""))
}

func TestS061_ConnectionIsAListOfTokens(t *testing.T) {
	for _, value := range []string{"", "a b", "a,,b", "upgrade, \"x\"", "a;b", ","} {
		h := get()
		h.Header = http.Header{"Connection": {value}}
		refused(t, h)
	}
	h := get()
	h.Header = http.Header{"Connection": {"Upgrade, X-A"}, "Upgrade": {"websocket"}}
	require.Contains(t, written(t, h), "\r\nConnection: Upgrade, X-A\r\nUpgrade: websocket\r\n")
}

func TestS062_ConnectIsCheckedLikeAnyOther(t *testing.T) {
	connect := RequestHead{Method: "CONNECT", Target: "a.test:443", Host: "a.test:443", Header: http.Header{}}
	for name, change := range map[string]func(*RequestHead){
		"target": func(h *RequestHead) { h.Target = "a.test:443\r\nX: 1" },
		"host":   func(h *RequestHead) { h.Host = "a.test:443\r\nX: 1" },
		"header": func(h *RequestHead) { h.Header = http.Header{"Proxy-Authorization": {"a\r\nX: 1"}} },
	} {
		t.Run(name, func(t *testing.T) {
			h := connect
			change(&h)
			refused(t, h)
		})
	}
}

var forbiddenTrailers = []string{"Content-Length", "content-length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "Set-Cookie",
	"Content-Encoding", "Trailer", "Connection", "Proxy-Authorization", "Proxy-Connection", "If-Match", "Content-Type", "Location", "Upgrade"}

func TestS063_TrailersObeyTheHeaderRules(t *testing.T) {
	for _, name := range forbiddenTrailers {
		b, err := AppendLastChunk([]byte("abc"), http.Header{name: {"5"}})
		var field *FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, "abc", string(b))
		h := get()
		h.Framing, h.Trailer = ChunkedBody, []string{"X-A", name}
		require.Equal(t, name, refused(t, h).Name)
	}
	b, err := AppendLastChunk([]byte("abc"), http.Header{"X-B": {"2", "3"}, "X-A": {" 1"}})
	require.NoError(t, err)
	require.Equal(t, "abc0\r\nX-A: 1\r\nX-B: 2\r\nX-B: 3\r\n\r\n", string(b))
	b, err = AppendLastChunk(nil, nil)
	require.NoError(t, err)
	require.Equal(t, "0\r\n\r\n", string(b))
}

func TestS064_OnlyTheEngineWritesFraming(t *testing.T) {
	h := get()
	h.Header = http.Header{"content-length": {"3"}, "Content-Length": {"10"}, "Transfer-Encoding": {"chunked"},
		"TRANSFER-encoding": {"gzip"}, "host": {"evil.test"}, "Trailer": {"X"}, "X-A": {"1"}}
	h.Framing, h.ContentLength = LengthBody, 5
	const want = "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n"
	require.Equal(t, want, written(t, h))
	h.Order = []string{"Host", "X-A", "Content-Length", "Transfer-Encoding"}
	require.Equal(t, want, written(t, h))
	h.Framing = NoBody
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\n\r\n", written(t, h))
}

func TestS065_AnyBodyIsFramedWhateverTheMethod(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
		h := RequestHead{Method: method, Target: "/", Host: "a.test", Framing: LengthBody, ContentLength: 40}
		require.Contains(t, written(t, h), "\r\nContent-Length: 40\r\n\r\n")
		h.Framing = ChunkedBody
		require.Contains(t, written(t, h), "\r\nTransfer-Encoding: chunked\r\n\r\n")
		h.Framing = NoBody
		require.NotContains(t, written(t, h), "-Length")
	}
}

func TestS165_ErrorsNameTheHeaderAndNotTheValue(t *testing.T) {
	for _, h := range []http.Header{
		{"Authorization": {"Bearer SECRET\n"}}, {"Cookie": {"a=SECRET\x01"}}, {"Proxy-Authorization": {"\rSECRET"}}, {"Connection": {"SECRET x"}},
	} {
		r := get()
		r.Header = h
		err := refused(t, r)
		require.NotContains(t, err.Error(), "SECRET")
		for name := range h {
			require.Contains(t, err.Error(), name)
		}
	}
	err := CheckField("Authorization", "Bearer SECRET\n")
	require.EqualError(t, err, `header "Authorization": control byte in the value at byte 13`)
	err = CheckField(strings.Repeat("x", 100)+"\n[INFO] forged \x1b[31m", "")
	require.EqualError(t, err, `header "`+strings.Repeat("x", 64)+`"...: name is not a token at byte 100`)
	h := get()
	h.Target = "/?token=SECRET\n"
	require.NotContains(t, refused(t, h).Error(), "SECRET")
}

func TestFrameChunkWritesAroundTheData(t *testing.T) {
	for _, tt := range []struct {
		n    int
		size string
	}{{1, "1"}, {9, "9"}, {15, "f"}, {16, "10"}, {255, "ff"}, {0x12345, "12345"}} {
		data := strings.Repeat("d", tt.n)
		buf := []byte(strings.Repeat("-", ChunkPrefix) + data + strings.Repeat("-", ChunkSuffix) + "tail")
		require.Equal(t, tt.size+"\r\n"+data+"\r\n", string(FrameChunk(buf, tt.n)))
		require.Equal(t, "tail", string(buf[len(buf)-4:]))
	}
	require.Empty(t, FrameChunk(make([]byte, ChunkPrefix+ChunkSuffix), 0), "an empty chunk would end the body")
}

func TestWritingTakesNoMemory(t *testing.T) {
	h := get()
	h.Framing, h.Close = ChunkedBody, true
	h.Header = http.Header{"X-B": {"1"}, "X-A": {"2"}}
	h.Order = []string{"Host", "X-B"}
	buf := make([]byte, 0, 4096)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := AppendRequestHead(buf, &h); err != nil {
			t.Fatal(err)
		}
	}))
}
