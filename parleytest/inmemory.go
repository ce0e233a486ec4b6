package parleytest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/memconn"
)

// inMemoryBuffer is how far each end of a connection in memory may be ahead of the other.
const inMemoryBuffer = 64 << 10

// InMemory runs h on a server of net/http, with HTTP/1.1 and without TLS, that has no socket:
// the dialer that it returns connects with it in memory, whatever the address. With
// [parley.WithDialer] a session's pool works as over a network, and in a bubble of
// testing/synctest its waits take no time: for connections to expire, for a place in
// the pool, for bytes. The server ends with the test.
func InMemory(tb testing.TB, h http.Handler) parley.Dialer {
	tb.Helper()
	if h == nil {
		tb.Fatal("parleytest: InMemory needs a handler")
	}
	l := &memoryListener{conns: make(chan net.Conn), ended: make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("parleytest: closing the server in memory: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			tb.Errorf("parleytest: the server in memory: %v", err)
		}
	})
	return l
}

// memoryListener is a listener and the dialer to it.
type memoryListener struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

// DialContext connects.
func (l *memoryListener) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	near, far := memconn.Pipe(inMemoryBuffer, memoryAddr("client"), memoryAddr(address))
	var err error
	select {
	case l.conns <- far:
		return near, nil
	case <-l.ended:
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: memoryAddr(address), Err: err}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr("server") }

// memoryAddr is an address of a connection that has none.
type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }
