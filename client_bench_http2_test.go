package parley_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-0474a412/parley"
)

// benchBody is what the benchmarks of HTTP/2 ask for.
var benchBody = strings.Repeat("x", 1024)

// benchHeader is its header, but for its length and date.
var benchHeader = map[string]string{
	"content-type": "application/json", "cache-control": "no-cache", "etag": `"33a64df5"`, "vary": "Accept-Encoding", "server": "bench",
}

// BenchmarkGet_http2 is BenchmarkGet by HTTP/2 over TLS: one stream at a time, and 64 for
// each core. What the server allocates counts, too.
func BenchmarkGet_http2(b *testing.B) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range benchHeader {
			w.Header().Set(name, value)
		}
		_, _ = io.WriteString(w, benchBody)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	b.Cleanup(s.Close)
	c, err := parley.New(parley.WithBaseURL(s.URL), parley.WithVerify(false), parley.WithHTTP2(parley.HTTP2Required))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	get(b, context.Background(), c)
	b.Run("one stream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			get(b, context.Background(), c)
		}
	})
	b.Run("many streams", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				get(b, context.Background(), c)
			}
		})
	})
}

// BenchmarkOverhead_http2 is a small GET by HTTP/2 without a network, TLS and a server that
// does anything, beside the same by net/http.
func BenchmarkOverhead_http2(b *testing.B) {
	dialer := parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) { return newCannedHTTP2(), nil })
	b.Run("parley", func(b *testing.B) {
		c, err := parley.New(parley.WithBaseURL("http://api.example.com/v1"), parley.WithHTTP2(parley.H2C), parley.WithDialer(dialer))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		manyStreams(b, func() { get(b, context.Background(), c) })
	})
	b.Run("net/http", func(b *testing.B) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: protocols, DialContext: dialer}
		defer transport.CloseIdleConnections()
		c := &http.Client{Transport: transport}
		manyStreams(b, func() {
			resp, err := c.Get("http://api.example.com/v1/things/1")
			if err != nil {
				b.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 1024 {
				b.Fatal(len(body), err)
			}
		})
	})
}

// manyStreams calls f from 64 goroutines for each core.
func manyStreams(b *testing.B, f func()) {
	f()
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f()
		}
	})
}

// cannedHTTP2 is a connection whose peer answers every request at once, from memory.
type cannedHTTP2 struct {
	header, data []byte // frames of the answer, for stream 0

	mu     sync.Mutex
	come   *sync.Cond
	sent   []byte // of the client's, what is no whole frame yet
	skip   int    // bytes of the preface to come
	left   []byte // to be read
	read   int    // how much of it has been
	closed bool
	silent bool // it answers nothing
}

func newCannedHTTP2() *cannedHTTP2 {
	var block, frames bytes.Buffer
	enc := hpack.NewEncoder(&block)
	field := func(name, value string) {
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true}) // never in a table
	}
	field(":status", "200")
	field("date", "Sat, 01 Jan 2028 00:00:00 GMT")
	field("content-length", "1024")
	for name, value := range benchHeader {
		field(name, value)
	}
	f := http2.NewFramer(&frames, nil)
	f.AllowIllegalWrites = true
	_ = f.WriteHeaders(http2.HeadersFrameParam{BlockFragment: block.Bytes(), EndHeaders: true})
	c := &cannedHTTP2{header: bytes.Clone(frames.Bytes()), skip: len(http2.ClientPreface)}
	frames.Reset()
	_ = f.WriteData(0, true, []byte(benchBody))
	c.data = bytes.Clone(frames.Bytes())
	frames.Reset()
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000})
	_ = f.WriteSettingsAck()
	_ = f.WriteWindowUpdate(0, 1<<30)
	c.left = frames.Bytes()
	c.come = sync.NewCond(&c.mu)
	return c
}

const frameHeaderLen = 9

func (c *cannedHTTP2) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, p...)
	if n := min(c.skip, len(c.sent)); n > 0 {
		c.sent, c.skip = c.sent[n:], c.skip-n
	}
	for len(c.sent) >= frameHeaderLen {
		end := frameHeaderLen + int(c.sent[0])<<16 + int(c.sent[1])<<8 + int(c.sent[2])
		if len(c.sent) < end {
			break
		}
		if http2.FrameType(c.sent[3]) == http2.FrameHeaders && !c.silent {
			for _, frame := range [][]byte{c.header, c.data} {
				at := len(c.left)
				c.left = append(c.left, frame...)
				copy(c.left[at+5:], c.sent[5:frameHeaderLen])
			}
			c.come.Signal()
		}
		c.sent = append(c.sent[:0], c.sent[end:]...)
	}
	return len(p), nil
}

func (c *cannedHTTP2) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.left) == 0 && !c.closed {
		c.come.Wait()
	}
	if c.closed {
		return 0, net.ErrClosed
	}
	n := copy(p, c.left[c.read:])
	if c.read += n; c.read == len(c.left) {
		c.left, c.read = c.left[:0], 0
	}
	return n, nil
}

func (c *cannedHTTP2) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.come.Signal()
	return nil
}

func (c *cannedHTTP2) LocalAddr() net.Addr              { return nil }
func (c *cannedHTTP2) RemoteAddr() net.Addr             { return nil }
func (c *cannedHTTP2) SetDeadline(time.Time) error      { return nil }
func (c *cannedHTTP2) SetReadDeadline(time.Time) error  { return nil }
func (c *cannedHTTP2) SetWriteDeadline(time.Time) error { return nil }
