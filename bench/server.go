package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// What the server answers. The lengths are known to both sides, so that the raw
// loop can read an answer without parsing it.
const (
	bodySize     = 1 << 10
	headSize     = 4 << 10   // most bytes of a request's head, and of a small request
	transferSize = 256 << 10 // bytes that the server reads or writes at once in a large body
	countDigits  = 10        // width of each number in an answer to /counts
	countWidth   = 3 * countDigits
)

const (
	pathGet      = "/small"
	pathPost     = "/json"
	pathUpload   = "/upload"
	pathCounts   = "/counts"    // connections open, accepted so far, and resumed
	pathDownload = "/download/" // and the number of bytes
	pathCoded    = "/coded/"    // and the number of bytes that are left once it is decoded
	pathHold     = "/hold/"     // and the number of requests that are answered together
)

// smallBody is the body of an answer to pathGet: JSON, as most APIs send.
func smallBody() string {
	const head, tail = `{"id":1,"data":"`, `"}`
	return head + strings.Repeat("x", bodySize-len(head)-len(tail)) + tail
}

// answerHead is the head of every answer: the fields that a server behind a
// proxy typically sends, with a body of n bytes.
func answerHead(n int64) string {
	return "HTTP/1.1 200 OK\r\n" +
		"Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Length: " + strconv.FormatInt(n, 10) + "\r\n" +
		"Cache-Control: max-age=0, private, must-revalidate\r\n" +
		"ETag: W/\"0815-a1b2c3d4e5f6\"\r\n" +
		"Server: bench\r\n" +
		"Vary: Accept-Encoding\r\n" +
		"X-Request-Id: 00000000-0000-4000-8000-000000000000\r\n\r\n"
}

const okBody = `{"ok":true,"id":"00000000-0000-4000-8000-000000000000"}`

func answerGet() []byte { return []byte(answerHead(bodySize) + smallBody()) }
func answerOK() []byte  { return []byte(answerHead(int64(len(okBody))) + okBody) }

// server answers with constant bytes and looks at a request only as far as it
// must, so that what is measured is the client. One goroutine serves each
// connection; requests are not pipelined.
type server struct {
	get, ok, slab  []byte
	secure         *tls.Config // of HTTP/1.1 over TLS; nil: there is none
	open, accepted atomic.Int64
	resumed        atomic.Int64 // handshakes of TLS that resumed a session
	transfers      sync.Pool    // *[transferSize]byte, held only during an upload

	mu    sync.Mutex
	held  map[int]*barrier // by number of requests that it holds back
	coded map[int64][]byte // answers in gzip, by size of what is in them
}

// barrier holds requests back until as many as were announced have come.
type barrier struct {
	missing int
	full    chan struct{}
}

func newServer() *server {
	return &server{
		get:       answerGet(),
		ok:        answerOK(),
		slab:      bytes.Repeat([]byte("parley, a stream. "), transferSize/18+1)[:transferSize],
		transfers: sync.Pool{New: func() any { return new([transferSize]byte) }},
		held:      map[int]*barrier{},
		coded:     map[int64][]byte{},
	}
}

// serve accepts connections until the listener is closed.
func (s *server) serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		s.accepted.Add(1)
		s.open.Add(1)
		go func() {
			defer s.open.Add(-1)
			defer c.Close()
			if t, ok := c.(*tls.Conn); ok && !s.shake(t) {
				return
			}
			s.serveConn(c)
		}()
	}
}

// serveConn answers request after request until the peer closes or sends what
// the server does not understand; the client then reports a closed connection.
func (s *server) serveConn(c net.Conn) {
	buf := make([]byte, headSize)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		n += m
		if err != nil {
			return
		}
		end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
		if end < 0 {
			if n == len(buf) {
				return
			}
			continue
		}
		if !s.answer(c, buf[:end+4], buf[end+4:n]) {
			return
		}
		n = 0
	}
}

// answer reads what is missing of the request, whose body began with rest, and
// answers it. It reports whether the connection can be used again.
func (s *server) answer(c net.Conn, head, rest []byte) bool {
	method, target, ok := bytes.Cut(head, []byte(" "))
	if !ok {
		return false
	}
	if string(method) == http.MethodConnect {
		return len(rest) == 0 && s.tunnel(c)
	}
	if head[0] != 'G' {
		return s.swallow(c, head, int64(len(rest))) && write(c, s.ok)
	}
	end := bytes.IndexByte(target, ' ')
	if end < 0 || len(rest) > 0 {
		return false
	}
	path := string(target[:end])
	if whole, ok := strings.CutPrefix(path, "http://"); ok { // what a proxy is asked for
		_, path, _ = strings.Cut(whole, "/")
		path = "/" + path
	}
	switch {
	case path == pathGet:
		return write(c, s.get)
	case path == pathCounts:
		body := fmt.Sprintf("%0*d%0*d%0*d", countDigits, s.open.Load(), countDigits, s.accepted.Load(), countDigits, s.resumed.Load())
		return write(c, []byte(answerHead(int64(len(body)))+body))
	case strings.HasPrefix(path, pathDownload):
		size, err := strconv.ParseInt(path[len(pathDownload):], 10, 64)
		return err == nil && s.stream(c, size)
	case strings.HasPrefix(path, pathCoded):
		answer, err := s.codedAnswer(path[len(pathCoded):])
		return err == nil && write(c, answer)
	case strings.HasPrefix(path, pathHold):
		n, err := strconv.Atoi(path[len(pathHold):])
		if err != nil {
			return false
		}
		s.hold(n)
		return write(c, s.get)
	}
	return false
}

// swallow reads a body of Content-Length bytes, of which have were read before.
func (s *server) swallow(c net.Conn, head []byte, have int64) bool {
	size, ok := contentLength(head)
	if !ok || have > size {
		return false
	}
	if have == size {
		return true
	}
	buf := s.transfers.Get().(*[transferSize]byte)
	defer s.transfers.Put(buf)
	for have < size {
		n, err := c.Read(buf[:min(transferSize, size-have)])
		have += int64(n)
		if err != nil {
			return false
		}
	}
	return true
}

// contentLength finds the field's value in a request's head.
func contentLength(head []byte) (int64, bool) {
	const name = "\r\ncontent-length:"
	for at := 0; at+len(name) < len(head); {
		i := bytes.IndexByte(head[at:], '\r')
		if i < 0 || at+i+len(name) > len(head) {
			return 0, false
		}
		at += i
		if bytes.EqualFold(head[at:at+len(name)], []byte(name)) {
			value, _, _ := bytes.Cut(head[at+len(name):], []byte("\r\n"))
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n, err == nil && n >= 0
		}
		at++
	}
	return 0, false
}

// stream answers with a body of size bytes.
func (s *server) stream(c net.Conn, size int64) bool {
	if !write(c, []byte(answerHead(size))) {
		return false
	}
	for size > 0 {
		n := min(size, int64(len(s.slab)))
		if !write(c, s.slab[:n]) {
			return false
		}
		size -= n
	}
	return true
}

// codedAnswer is an answer in gzip, which is made once for each size.
func (s *server) codedAnswer(size string) ([]byte, error) {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coded[n] == nil {
		body, err := codedBody(n)
		if err != nil {
			return nil, err
		}
		head := strings.TrimSuffix(answerHead(int64(len(body))), "\r\n") + "Content-Encoding: gzip\r\n\r\n"
		s.coded[n] = append([]byte(head), body...)
	}
	return s.coded[n], nil
}

// hold returns once n requests are in it at the same time.
func (s *server) hold(n int) {
	s.mu.Lock()
	b := s.held[n]
	if b == nil {
		b = &barrier{missing: n, full: make(chan struct{})}
		s.held[n] = b
	}
	b.missing--
	if b.missing <= 0 {
		close(b.full)
		delete(s.held, n)
	}
	s.mu.Unlock()
	<-b.full
}

func write(c net.Conn, p []byte) bool {
	_, err := c.Write(p)
	return err == nil
}

// counts is how many connections the server has open and how many it has accepted
// so far, without the one that asks, and how many of them resumed a session of TLS.
type counts struct{ open, accepted, resumed int64 }

// countConn is a connection of the harness's own, opened before anything is
// measured, so that asking dials nothing.
type countConn struct{ c net.Conn }

func dialCounts(addr string) (*countConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("asking the server for its connections: %w", err)
	}
	return &countConn{c: c}, nil
}

func (cc *countConn) close() error { return cc.c.Close() }

func (cc *countConn) ask() (counts, error) {
	if _, err := io.WriteString(cc.c, "GET "+pathCounts+" HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return counts{}, fmt.Errorf("asking the server for its connections: %w", err)
	}
	answer := make([]byte, len(answerHead(countWidth))+countWidth)
	if _, err := io.ReadFull(cc.c, answer); err != nil {
		return counts{}, fmt.Errorf("asking the server for its connections: %w", err)
	}
	digits := string(answer[len(answer)-countWidth:])
	var numbers [countWidth / countDigits]int64
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.ParseInt(digits[i*countDigits:][:countDigits], 10, 64); err != nil {
			return counts{}, fmt.Errorf("asking the server for its connections: %w", err)
		}
	}
	return counts{open: numbers[0] - 1, accepted: numbers[1] - 1, resumed: numbers[2]}, nil
}
