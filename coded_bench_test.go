package parley_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
)

// benchText is 1 MiB of JSON, as an API has it.
func benchText() string {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the quick brown fox jumps over lazy dog while seven wizards mix jugs of purple liquor")
	var b strings.Builder
	for b.Len() < 1<<20 {
		fmt.Fprintf(&b, `{"id": %d, "name": "%s %s", "price": %.2f, "tags": ["%s", "%s"]},`+"\n", random.IntN(1e6),
			words[random.IntN(len(words))], words[random.IntN(len(words))], random.Float64()*1000,
			words[random.IntN(len(words))], words[random.IntN(len(words))])
	}
	return b.String()
}

// benchCoding reads streamed answers in a coding.
func benchCoding(b *testing.B, name, plain string) {
	c, err := parley.New(parley.WithBaseURL(answerer(b, coded(b, name, plain), "Content-Encoding: "+name)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Stream(context.Background(), "GET", "x")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(plain)) {
			b.Fatal(n, err)
		}
		resp.Close()
	}
}

// BenchmarkDecode_gzip is 1 MiB of JSON in gzip through a full session; to be compared
// with BenchmarkDecode_netHTTP.
func BenchmarkDecode_gzip(b *testing.B) { benchCoding(b, "gzip", benchText()) }

// BenchmarkDecode_deflate is the same in deflate.
func BenchmarkDecode_deflate(b *testing.B) { benchCoding(b, "deflate", benchText()) }

// BenchmarkDecode_br is the same in br.
func BenchmarkDecode_br(b *testing.B) { benchCoding(b, "br", benchText()) }

// BenchmarkDecode_zstd is the same in zstd.
func BenchmarkDecode_zstd(b *testing.B) { benchCoding(b, "zstd", benchText()) }

// BenchmarkDecodeSmall_gzip is 1 KiB in gzip: what a decoder costs before it decodes.
func BenchmarkDecodeSmall_gzip(b *testing.B) { benchCoding(b, "gzip", benchText()[:1024]) }

// benchNetHTTP reads answers in gzip by net/http, which decodes by itself.
func benchNetHTTP(b *testing.B, plain string) {
	url := answerer(b, coded(b, "gzip", plain), "Content-Encoding: gzip")
	transport := &http.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	c := &http.Client{Transport: transport}
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(plain)) || !resp.Uncompressed {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
}

// BenchmarkDecode_netHTTP is BenchmarkDecode_gzip by net/http.
func BenchmarkDecode_netHTTP(b *testing.B) { benchNetHTTP(b, benchText()) }

// BenchmarkDecodeSmall_netHTTP is BenchmarkDecodeSmall_gzip by net/http.
func BenchmarkDecodeSmall_netHTTP(b *testing.B) { benchNetHTTP(b, benchText()[:1024]) }
