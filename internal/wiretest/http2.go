package wiretest

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// http2Preface is how a connection of HTTP/2 begins (RFC 9113, section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n"

// speaksHTTP2 waits for the first bytes, and reports whether they are of HTTP/2.
func (c *Conn) speaksHTTP2() bool {
	first, err := c.Reader.Peek(3)
	return err == nil && strings.HasPrefix(http2Preface, string(first))
}

// answerHTTP2 is Answer for a peer that speaks HTTP/2: what reply gives is said by that.
// In place of the bytes that were read, requests are recorded as HTTP/1.1 would write
// them.
func (c *Conn) answerHTTP2(reply func(c *Conn, r *Request) string) {
	c.mu.Lock()
	c.framed = true
	c.read.Reset()
	c.mu.Unlock()
	handler := http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r, err := c.translate(hr)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		text := reply(c, r)
		if text == "" {
			c.Cut()
			return
		}
		say(w, hr, text)
	})
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	server.Protocols.SetUnencryptedHTTP2(true) // TLS, where it is, has been done
	conns := make(oneConn, 1)
	conns <- buffered{c, sync.OnceFunc(func() { close(conns) })}
	_ = server.Serve(conns) // always an error: that of the second Accept
}

// oneConn is a listener with one connection.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// buffered reads what a connection's reader has, and tells of its end.
type buffered struct {
	*Conn
	closed func()
}

func (b buffered) Read(p []byte) (int, error) { return b.Reader.Read(p) }

func (b buffered) Close() error {
	b.closed()
	return b.Conn.Close()
}

// translate reads a request, and records it.
func (c *Conn) translate(hr *http.Request) (*Request, error) {
	var head strings.Builder
	head.WriteString(hr.Method + " " + hr.RequestURI + " HTTP/1.1\r\nHost: " + hr.Host + "\r\n")
	if err := hr.Header.Write(&head); err != nil {
		return nil, err
	}
	head.WriteString("\r\n")
	content, err := io.ReadAll(hr.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.WriteString(head.String())
	c.read.Write(content)
	return &Request{Request: hr, Head: head.String(), Content: content}, err
}

// say answers with text, which is of HTTP/1.1. An answer that is malformed resets the
// stream, and one that is cut short never ends.
func say(w http.ResponseWriter, hr *http.Request, text string) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		resp, err := http.ReadResponse(r, hr)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		h := w.Header()
		clear(h)
		h["Date"], h["Content-Type"] = nil, nil // which net/http would add
		for name, values := range resp.Header {
			h[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if resp.StatusCode < 200 {
			continue
		}
		if resp.ContentLength < 0 {
			w.(http.Flusher).Flush() // or net/http would announce the length of a short one
		}
		if _, err = io.Copy(w, resp.Body); err != nil {
			w.(http.Flusher).Flush()
			<-hr.Context().Done()
			return
		}
		for name, values := range resp.Trailer {
			h[http.TrailerPrefix+name] = values
		}
		return
	}
}
