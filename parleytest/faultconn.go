package parleytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// FaultConn is a connection of a [FaultServer] as its script sees it. It is for the script
// alone, but for the methods that close it.
type FaultConn struct {
	Index int // of the connection at its server, from 0

	server *FaultServer
	raw    net.Conn // beneath TLS
	conn   net.Conn
	reader *bufio.Reader
	broken bool   // writing has failed: the client is gone
	read   []byte // guarded by server.mu
}

// RawRequest is a request as a script has read it.
type RawRequest struct {
	Conn      int // the connection that it came on: see FaultConn.Index
	Method    string
	Target    string
	Header    http.Header // with Host
	Head      string      // as it was sent, up to and with the empty line
	Body      []byte      // its content, without chunks; up to MaxRawBytes
	Truncated bool        // the content is longer than Body
}

func (r *RawRequest) clone() *RawRequest {
	out := *r
	out.Header, out.Body = r.Header.Clone(), bytes.Clone(r.Body)
	return &out
}

// begin makes the connection ready for its script.
func (c *FaultConn) begin() { c.reader = bufio.NewReader(recordingReader{c}) }

// recordingReader keeps what is read.
type recordingReader struct{ c *FaultConn }

func (r recordingReader) Read(p []byte) (int, error) {
	n, err := r.c.conn.Read(p)
	s := r.c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	r.c.read = append(r.c.read, p[:min(n, MaxRawBytes-len(r.c.read))]...)
	return n, err
}

// ReadHead reads up to and with the next empty line. [io.EOF] says that the client has
// closed the connection before.
func (c *FaultConn) ReadHead() (string, error) {
	var head strings.Builder
	for begun := false; ; { // a line that is longer than the buffer
		line, err := c.reader.ReadSlice('\n')
		head.Write(line)
		goesOn := begun
		begun = errors.Is(err, bufio.ErrBufferFull)
		switch {
		case begun:
		case err == io.EOF && head.Len() > 0:
			return head.String(), io.ErrUnexpectedEOF
		case err != nil:
			return head.String(), err
		case !goesOn && (string(line) == "\r\n" || string(line) == "\n"):
			return head.String(), nil
		}
		if head.Len() > MaxRawBytes {
			return "", fmt.Errorf("a head of more than %d bytes", MaxRawBytes)
		}
	}
}

// ReadRequest reads one request with its content and records it. io.EOF says that there is
// none. A request that is no HTTP/1 is also reported through testing.TB. The content of one
// with "Expect: 100-continue" comes only when the script has sent that.
func (c *FaultConn) ReadRequest() (*RawRequest, error) {
	head, err := c.ReadHead()
	if err != nil {
		return nil, err
	}
	parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		err = fmt.Errorf("no request: %w: %s", err, quoted(head))
		c.server.report("connection %d: %v", c.Index, err)
		return nil, err
	}
	parsed.Header.Set("Host", parsed.Host)
	r := &RawRequest{Conn: c.Index, Method: parsed.Method, Target: parsed.RequestURI, Header: parsed.Header, Head: head}
	err = c.readContent(r, parsed)
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) < MaxRawRequests {
		s.requests = append(s.requests, r.clone())
	}
	return r, err
}

// readContent reads a body and nothing behind it.
func (c *FaultConn) readContent(r *RawRequest, parsed *http.Request) error {
	chunked := parsed.ContentLength < 0
	var from io.Reader = io.LimitReader(c.reader, max(parsed.ContentLength, 0))
	if chunked {
		from = httputil.NewChunkedReader(c.reader)
	}
	var kept bytes.Buffer
	n, err := io.Copy(&kept, io.LimitReader(from, MaxRawBytes))
	if err == nil {
		var more int64
		more, err = io.Copy(io.Discard, from)
		n, r.Truncated = n+more, more > 0
	}
	r.Body = kept.Bytes()
	switch {
	case err != nil:
		return err
	case !chunked && n < parsed.ContentLength:
		return io.ErrUnexpectedEOF
	}
	for chunked { // the trailers
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
	}
	return nil
}

// Rest reads what comes until the client closes the connection or the server ends.
func (c *FaultConn) Rest() {
	_, _ = io.Copy(io.Discard, c.reader) // how it ends makes no difference
}

// Say writes text, and reports whether the client took it.
func (c *FaultConn) Say(text string) bool {
	_, err := io.WriteString(c.conn, text)
	c.broken = c.broken || err != nil
	return err == nil
}

// Drip writes text byte by byte with a pause before each, and reports whether all of it was
// written.
func (c *FaultConn) Drip(text string, pause time.Duration) bool {
	for i := range len(text) {
		if !c.Pause(pause) || !c.Say(text[i:i+1]) {
			return false
		}
	}
	return true
}

// Pause waits, and reports whether the server still goes on.
func (c *FaultConn) Pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.server.ending:
		return false
	}
}

// Hold is silent until the client closes the connection or the server ends. What comes
// meanwhile is read.
func (c *FaultConn) Hold() { c.Rest() }

// HalfClose ends what the server says, with a close_notify in TLS, and leaves the connection
// open for what the client says.
func (c *FaultConn) HalfClose() {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails if the client is gone
	}
}

// Close closes the connection in good order, with a close_notify in TLS. Bytes that the
// client has sent and nobody has read make a reset of it: see [FaultConn.Rest].
func (c *FaultConn) Close() { _ = c.conn.Close() } // fails if it was closed

// Cut closes the connection without a word of TLS.
func (c *FaultConn) Cut() { _ = c.raw.Close() } // fails if it was closed

// Reset closes the connection so that the client sees a reset.
func (c *FaultConn) Reset() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // failing, the client sees an orderly end, which the test shows
	}
	c.Cut()
}
