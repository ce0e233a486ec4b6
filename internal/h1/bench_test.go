package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A loopReader gives the same bytes again and again, as many at a time as the
// caller has room for, without end.
type loopReader struct {
	text string
	at   int
}

func (r *loopReader) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

const typicalHead = "HTTP/1.1 200 OK\r\n" +
	"Date: Mon, 02 Nov 2026 10:11:12 GMT\r\n" +
	"Content-Type: application/json; charset=utf-8\r\n" +
	"Content-Length: 0\r\n" +
	"Server: nginx/1.28.0\r\n" +
	"Vary: Accept-Encoding\r\n\r\n"

func BenchmarkReadResponse(b *testing.B) {
	many := strings.Replace(typicalHead, "\r\n\r\n", "\r\n"+
		"Cache-Control: private, max-age=0\r\nEtag: \"0123456789abcdef\"\r\n"+
		"Strict-Transport-Security: max-age=31536000; includeSubDomains\r\nX-Content-Type-Options: nosniff\r\n"+
		"X-Frame-Options: DENY\r\nX-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n"+
		"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\nConnection: keep-alive\r\n\r\n", 1)
	for _, bm := range []struct{ name, head string }{
		{"5_headers", typicalHead},
		{"5_headers_lower_case", strings.ToLower(strings.Replace(typicalHead, "HTTP", "http", 1))},
		{"14_headers", many},
	} {
		head := strings.Replace(bm.head, "http/1.1 200 ok", "HTTP/1.1 200 OK", 1)
		b.Run(bm.name, func(b *testing.B) {
			br := bufio.NewReaderSize(&loopReader{text: head}, 4<<10)
			var h ResponseHead
			b.ReportAllocs()
			b.SetBytes(int64(len(head)))
			for b.Loop() {
				if err := ReadResponse(br, http.MethodGet, Limits{}, &h, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendRequestHead(b *testing.B) {
	block, err := AppendHeader(nil, http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate, br, zstd"}, "User-Agent": {"parley/1"},
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		name string
		head RequestHead
	}{
		{"block", RequestHead{Method: "GET", Target: "/get?a=1", Host: "a.test:8080", Block: block}},
		{"block_and_3_headers", RequestHead{Method: "POST", Target: "/post", Host: "a.test", Block: block,
			Header:  http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer 0123456789"}, "X-Id": {"1"}},
			Framing: LengthBody, ContentLength: 1024}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			buf := make([]byte, 0, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := AppendRequestHead(buf, &bm.head); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBodyRead(b *testing.B) {
	chunks := func(size int) string {
		chunk := make([]byte, ChunkPrefix+size+ChunkSuffix)
		last, err := AppendLastChunk(nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		return strings.Repeat(string(FrameChunk(chunk, size)), 1<<20/size) + string(last)
	}
	for _, bm := range []struct {
		name string
		head ResponseHead
		text string
	}{
		{"length_1MiB", ResponseHead{Framing: LengthBody, ContentLength: 1 << 20}, strings.Repeat("x", 1<<20)},
		{"chunks_of_1", ResponseHead{Framing: ChunkedBody}, chunks(1)},
		{"chunks_of_4KiB", ResponseHead{Framing: ChunkedBody}, chunks(4 << 10)},
		{"chunks_of_32KiB", ResponseHead{Framing: ChunkedBody}, chunks(32 << 10)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			br := bufio.NewReaderSize(&loopReader{text: bm.text}, 4<<10)
			p := make([]byte, 32<<10)
			var body Body
			b.ReportAllocs()
			b.SetBytes(1 << 20)
			for b.Loop() {
				body.Reset(br, &bm.head, Limits{})
				for total := 0; ; {
					n, err := body.Read(p)
					total += n
					if err == io.EOF && total == 1<<20 {
						break
					}
					if err != nil {
						b.Fatal(total, err)
					}
				}
			}
		})
	}
}

// The standard library beside it, for scale.
func BenchmarkNetHTTPReadResponse(b *testing.B) {
	br := bufio.NewReaderSize(&loopReader{text: typicalHead}, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := http.ReadResponse(br, nil); err != nil {
			b.Fatal(err)
		}
	}
}

var sink []byte

func BenchmarkFrameChunk(b *testing.B) {
	buf := bytes.Repeat([]byte("x"), ChunkPrefix+1000+ChunkSuffix)
	for b.Loop() {
		sink = FrameChunk(buf, 1000)
	}
}
