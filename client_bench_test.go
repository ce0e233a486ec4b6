package parley_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// answerer serves one fixed answer to whatever ends in an empty line, without
// allocating.
func answerer(b *testing.B, body string, header ...string) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"Cache-Control: no-cache\r\nEtag: \"33a64df5\"\r\nVary: Accept-Encoding\r\nServer: bench\r\n" +
		strings.Join(append(header, ""), "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func benchClient(b *testing.B, opts ...parley.ClientOption) *parley.Client {
	b.Helper()
	c, err := parley.New(append([]parley.ClientOption{parley.WithBaseURL(answerer(b, strings.Repeat("x", 1024)))}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func get(b *testing.B, ctx context.Context, c *parley.Client) {
	resp, err := c.Get(ctx, "/things/1")
	if err != nil {
		b.Fatal(err)
	}
	if body, err := resp.Bytes(); err != nil || len(body) != 1024 {
		b.Fatal(len(body), err)
	}
}

// BenchmarkGet is a small GET read to its end through a full session.
func BenchmarkGet(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		get(b, context.Background(), c)
	}
}

// BenchmarkGetCancellable has a context that can end, as a server's handler has.
func BenchmarkGetCancellable(b *testing.B) {
	c := benchClient(b)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		get(b, ctx, c)
	}
}

// BenchmarkGetParallel is the same by 16 goroutines for each core.
func BenchmarkGetParallel(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get(b, context.Background(), c)
		}
	})
}

// BenchmarkNewRequest is the making of a request alone, with one header of its
// own.
func BenchmarkNewRequest(b *testing.B) {
	c, err := parley.New(parley.WithBaseURL("http://api.example.com/v1"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.NewRequest("GET", "/things/1", parley.WithHeader("X-Request-Id", "1")); err != nil {
			b.Fatal(err)
		}
	}
}

// cannedConn answers every write at once, from memory.
type cannedConn struct {
	net.Conn
	answer []byte
	left   []byte
}

func (c *cannedConn) Write(p []byte) (int, error) {
	c.left = c.answer
	return len(p), nil
}

func (c *cannedConn) Read(p []byte) (int, error) {
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *cannedConn) Close() error                     { return nil }
func (c *cannedConn) LocalAddr() net.Addr              { return nil }
func (c *cannedConn) RemoteAddr() net.Addr             { return nil }
func (c *cannedConn) SetDeadline(time.Time) error      { return nil }
func (c *cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *cannedConn) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkOverhead is a small GET without a network: what parley itself costs.
func BenchmarkOverhead(b *testing.B) {
	body := strings.Repeat("x", 1024)
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"Cache-Control: no-cache\r\nEtag: \"33a64df5\"\r\nVary: Accept-Encoding\r\nServer: bench\r\n" +
		"Content-Length: 1024\r\n\r\n" + body)
	c, err := parley.New(parley.WithBaseURL("http://api.example.com/v1"),
		parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) {
			return &cannedConn{answer: answer}, nil
		})))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		get(b, context.Background(), c)
	}
}
