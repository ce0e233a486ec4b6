// Package wiretest is support for tests that look at single bytes: servers that
// play a script and record what they read, names that lead to them, certificates
// for them, and a guard against tests that hang.
//
// Everything that it starts ends with the test that started it.
package wiretest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a listener on loopback that runs a script for every connection.
type Server struct {
	listener net.Listener
	tls      *tls.Config
	script   func(*Conn)
	ending   chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex
	conns    []*Conn
	accepted int
	ended    bool
}

// Conn is a connection as a script sees it. What is read through it is recorded.
type Conn struct {
	net.Conn
	Reader *bufio.Reader        // use it for all reading
	Index  int                  // of the connection at its server, from 0
	TLS    *tls.ConnectionState // nil without TLS

	server *Server
	mu     sync.Mutex
	read   bytes.Buffer
	framed bool // speaks HTTP/2: its bytes are not recorded
}

// Request is a request as it was read: its head byte for byte, and what net/http
// makes of it, with the body read to its end.
type Request struct {
	*http.Request
	Head    string // as it was sent, up to and with the empty line
	Content []byte
}

// Serve starts a server for plain connections. script runs on a goroutine of its own
// for every connection, which is closed when it returns.
func Serve(t testing.TB, script func(*Conn)) *Server {
	t.Helper()
	return start(t, nil, script)
}

// ServeTLS is Serve with TLS. script runs once the handshake has succeeded.
func ServeTLS(t testing.TB, cfg *tls.Config, script func(*Conn)) *Server {
	t.Helper()
	return start(t, cfg, script)
}

func start(t testing.TB, cfg *tls.Config, script func(*Conn)) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return startAt(t, l, cfg, script)
}

// ServeAt is Serve at a TCP address of the caller's choice, on another host of loopback.
func ServeAt(t testing.TB, address string, script func(*Conn)) *Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	must(t, err)
	return startAt(t, l, nil, script)
}

// ServeUnix is Serve at a Unix socket, which should be in a directory of the test's own.
func ServeUnix(t testing.TB, path string, script func(*Conn)) *Server {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	return startAt(t, l, nil, script)
}

func startAt(t testing.TB, l net.Listener, cfg *tls.Config, script func(*Conn)) *Server {
	s := &Server{listener: l, tls: cfg, script: script, ending: make(chan struct{})}
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.accepted++
		if s.ended {
			nc.Close()
		} else {
			c := &Conn{Conn: nc, server: s, Index: len(s.conns)}
			s.conns = append(s.conns, c)
			s.running.Go(func() { s.serve(c, nc) })
		}
		s.mu.Unlock()
	}
}

func (s *Server) serve(c *Conn, nc net.Conn) {
	defer nc.Close()
	if s.tls != nil {
		tc := tls.Server(nc, s.tls)
		if tc.Handshake() != nil {
			return
		}
		state := tc.ConnectionState()
		s.mu.Lock()
		c.Conn, c.TLS = tc, &state
		s.mu.Unlock()
		defer tc.Close()
	}
	c.Reader = bufio.NewReader(recorder{c})
	s.script(c)
}

// Close ends the server with all its connections and waits for the scripts. It is
// called at the end of the test.
func (s *Server) Close() {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	conns := s.conns
	s.mu.Unlock()
	if !ended {
		close(s.ending)
		s.listener.Close()
		for _, c := range conns {
			s.mu.Lock()
			nc := c.Conn
			s.mu.Unlock()
			if tc, ok := nc.(*tls.Conn); ok {
				nc = tc.NetConn() // its own Close would wait to say goodbye
			}
			nc.Close()
		}
	}
	s.running.Wait()
}

// Addr is the address to dial.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the server's URL, without a slash at its end.
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Accepted is how many connections were accepted.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Received gives what was read so far, by connection. With TLS it is the plain text, by
// HTTP/2 the requests as HTTP/1.1 would have written them.
func (s *Server) Received() []string {
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	out := make([]string, len(conns))
	for i, c := range conns {
		c.mu.Lock()
		out[i] = c.read.String()
		c.mu.Unlock()
	}
	return out
}

// Text gives all that was read so far, over all connections.
func (s *Server) Text() string { return strings.Join(s.Received(), "\x00") }

// Ending is closed when the server closes: a script that waits looks at it.
func (c *Conn) Ending() <-chan struct{} { return c.server.ending }

// Pause waits, and reports whether the server still goes on.
func (c *Conn) Pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.server.ending:
		return false
	}
}

// Hold keeps the connection open and silent until the server ends.
func (c *Conn) Hold() { <-c.server.ending }

// Say writes, and reports whether the peer took it.
func (c *Conn) Say(text string) bool {
	_, err := io.WriteString(c.Conn, text)
	return err == nil
}

// Drip writes text byte by byte with a pause before each. It reports whether all of
// it was written.
func (c *Conn) Drip(text string, pause time.Duration) bool {
	for i := range len(text) {
		if !c.Pause(pause) || !c.Say(text[i:i+1]) {
			return false
		}
	}
	return true
}

// ReadHead reads up to and with the next empty line.
func (c *Conn) ReadHead() (string, error) {
	var head strings.Builder
	for {
		line, err := c.Reader.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), err
		}
		if line == "\r\n" || line == "\n" {
			return head.String(), nil
		}
	}
}

// ReadRequest reads one request with its body. io.EOF says that there is none.
func (c *Conn) ReadRequest() (*Request, error) {
	head, err := c.ReadHead()
	if err != nil {
		return nil, err
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), c.Reader)))
	if err != nil {
		return nil, err
	}
	// The reader of the line above holds no byte of the next request, as the client
	// sends none before this one is answered.
	content, err := io.ReadAll(req.Body)
	return &Request{Request: req, Head: head, Content: content}, err
}

// recorder reads for a connection.
type recorder struct{ c *Conn }

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.c.Conn.Read(p)
	r.c.mu.Lock()
	if !r.c.framed {
		r.c.read.Write(p[:n])
	}
	r.c.mu.Unlock()
	return n, err
}
