package parleytest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// FaultServer is a server on loopback that says exactly what its scripts say, byte for byte,
// be it HTTP or not. It is for what a Mock cannot show: the pool's own behaviour with peers
// that are slow, broken or hostile. What it reads is recorded.
//
// It ends with the test, with all its connections. A script that panics, that does not end
// then, or that cannot make sense of a request is reported through [testing.TB].
type FaultServer struct {
	tb       testing.TB
	listener net.Listener
	tls      *tlsServer // nil: plain
	scripts  []FaultScript
	ending   chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex
	conns    []*FaultConn
	requests []*RawRequest
	problems []string
	ended    bool
}

// FaultScript is what a server does on a connection, or in answer to a request
// ([EachRequest]). It runs on a goroutine of its own for each connection; the connection is
// closed when the script of the connection returns.
type FaultScript func(c *FaultConn)

// The bounds of what a FaultServer remembers. What is beyond is read, but not kept.
const (
	MaxRawBytes    = 1 << 20 // of each connection, and of the body of each request
	MaxRawRequests = 1000    // the first
)

// scriptPatience is how long a script may go on once its connection has been closed.
const scriptPatience = 5 * time.Second

// NewFaultServer starts a server. The first connection plays the first script, the next one
// the next, and all that follow the last; without scripts all are closed at once.
//
//	s := parleytest.NewFaultServer(t, parleytest.EachRequest(
//		parleytest.Respond(200, "fine"),
//		parleytest.SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
//	))
//	client := s.Client()
func NewFaultServer(tb testing.TB, scripts ...FaultScript) *FaultServer {
	tb.Helper()
	return startFaults(tb, nil, scripts)
}

// NewTLSFaultServer is NewFaultServer with TLS, in which something may be wrong. The
// scripts begin once the handshake has succeeded.
func NewTLSFaultServer(tb testing.TB, fault TLSFault, scripts ...FaultScript) *FaultServer {
	tb.Helper()
	return startFaults(tb, newTLSServer(tb, fault), scripts)
}

func startFaults(tb testing.TB, t *tlsServer, scripts []FaultScript) *FaultServer {
	tb.Helper()
	for _, script := range scripts {
		if script == nil {
			tb.Fatal("parleytest: a script of a FaultServer is nil")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("parleytest: starting a FaultServer: %v", err)
	}
	s := &FaultServer{tb: tb, listener: l, tls: t, scripts: scripts, ending: make(chan struct{})}
	s.running.Go(s.accept)
	tb.Cleanup(s.end)
	return s
}

// URL is the server's URL, without a slash at its end.
func (s *FaultServer) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Addr is the address to dial.
func (s *FaultServer) Addr() string { return s.listener.Addr().String() }

// Client makes a session with the server as its base URL, which trusts the authority of
// [FaultServer.Roots]: see [NewClient].
func (s *FaultServer) Client(opts ...parley.ClientOption) *parley.Client {
	s.tb.Helper()
	first := []parley.ClientOption{parley.WithBaseURL(s.URL())}
	if s.tls != nil {
		first = append(first, parley.WithTLSConfig(&tls.Config{RootCAs: s.Roots()}))
	}
	return NewClient(s.tb, append(first, opts...)...)
}

// Roots is the authority that has signed the server's certificate; for
// [TLSUnknownAuthority] another one. Without TLS it is nil.
func (s *FaultServer) Roots() *x509.CertPool {
	if s.tls == nil {
		return nil
	}
	return s.tls.roots
}

// Connections is how many connections have been accepted.
func (s *FaultServer) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Requests gives the requests that scripts have read, in that order.
func (s *FaultServer) Requests() []*RawRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*RawRequest, len(s.requests))
	for i, r := range s.requests {
		out[i] = r.clone()
	}
	return out
}

// Received gives the bytes that were read so far, by connection; with TLS the plain text.
// They may be more than the scripts have asked for.
func (s *FaultServer) Received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.conns))
	for i, c := range s.conns {
		out[i] = string(c.read)
	}
	return out
}

func (s *FaultServer) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			s.mu.Lock()
			ended := s.ended
			s.mu.Unlock()
			if !ended {
				s.report("accepting connections: %v", err)
			}
			return
		}
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			nc.Close()
			return
		}
		c := &FaultConn{Index: len(s.conns), server: s, raw: nc, conn: nc}
		s.conns = append(s.conns, c)
		s.running.Go(func() { s.serve(c) })
		s.mu.Unlock()
	}
}

// serve plays the script of one connection.
func (s *FaultServer) serve(c *FaultConn) {
	defer c.Close()
	defer func() {
		if v := recover(); v != nil {
			s.report("the script of connection %d panicked: %v\n%s", c.Index, v, debug.Stack())
		}
	}()
	if s.tls != nil && !s.tls.shakeHands(c) || len(s.scripts) == 0 {
		return
	}
	c.begin()
	s.scripts[min(c.Index, len(s.scripts)-1)](c)
}

// report notes what will fail the test.
func (s *FaultServer) report(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < maxReports {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// end closes everything and waits for the scripts.
func (s *FaultServer) end() {
	s.tb.Helper()
	s.mu.Lock()
	s.ended = true
	conns := s.conns
	s.mu.Unlock()
	close(s.ending)
	if err := s.listener.Close(); err != nil {
		s.report("closing the listener: %v", err)
	}
	for _, c := range conns {
		c.Cut()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(scriptPatience):
		s.report("a script goes on %v after its connection was closed; the goroutines:\n%s", scriptPatience, strings.Join(allStacks(), "\n\n"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.problems {
		s.tb.Errorf("parleytest: FaultServer: %s", text)
	}
}
