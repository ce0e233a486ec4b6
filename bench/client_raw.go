package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
)

// rawClient is the floor: it sends bytes that were made before, reads as many
// as the answer is known to have, and parses nothing.
type rawClient struct {
	dial     dialFunc
	addr     string
	conns    []net.Conn // by slot, dialled at the slot's first use
	bufs     [][]byte   // by slot, made at the slot's first upload
	answers  sync.Pool  // *[answerSize]byte: an idle connection holds no buffer
	requests map[string][]byte
	getLen   int
	okLen    int
}

// answerSize holds the longest small answer.
const answerSize = 4 << 10

func newRawClient(s setup) (client, error) {
	c := &rawClient{
		dial:     s.dial,
		addr:     s.addr,
		conns:    make([]net.Conn, s.conns),
		bufs:     make([][]byte, s.conns),
		answers:  sync.Pool{New: func() any { return new([answerSize]byte) }},
		getLen:   len(answerGet()),
		okLen:    len(answerOK()),
		requests: map[string][]byte{},
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	c.requests[pathGet] = rawHead("GET", pathGet, "")
	c.requests[pathPost] = append(
		rawHead("POST", pathPost, "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(bodySize)+"\r\n"),
		smallBody()...)
	return c, nil
}

// rawHead is a request's head with the fields that the other clients send.
func rawHead(method, path, fields string) []byte {
	return []byte(method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: raw/1\r\n" +
		"Accept: */*\r\nAccept-Encoding: gzip\r\n" + fields + "\r\n")
}

// conn returns the slot's connection and makes it at the first use.
func (c *rawClient) conn(ctx context.Context, slot int) (net.Conn, error) {
	if c.conns[slot] == nil {
		conn, err := c.dial(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}
		c.conns[slot] = conn
	}
	return c.conns[slot], nil
}

// exchange sends request and reads an answer of size bytes.
func (c *rawClient) exchange(ctx context.Context, slot int, request []byte, size int) error {
	conn, err := c.conn(ctx, slot)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	buf := c.answers.Get().(*[answerSize]byte)
	defer c.answers.Put(buf)
	_, err = io.ReadFull(conn, buf[:size])
	return err
}

func (c *rawClient) get(ctx context.Context, t target) error {
	request, ok := c.requests[t.path]
	if !ok {
		request = rawHead("GET", t.path, "")
	}
	return c.exchange(ctx, t.slot, request, c.getLen)
}

func (c *rawClient) post(ctx context.Context, t target, json []byte) error {
	if len(json) != bodySize {
		return fmt.Errorf("the raw loop can only send its own body of %d bytes", bodySize)
	}
	return c.exchange(ctx, t.slot, c.requests[pathPost], c.okLen)
}

func (c *rawClient) download(ctx context.Context, t target, size int64, buf []byte) error {
	conn, err := c.conn(ctx, t.slot)
	if err != nil {
		return err
	}
	if _, err := conn.Write(rawHead("GET", t.path, "")); err != nil {
		return err
	}
	for left := int64(len(answerHead(size))) + size; left > 0; {
		n, err := conn.Read(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

func (c *rawClient) upload(ctx context.Context, t target, r io.Reader, size int64) error {
	conn, err := c.conn(ctx, t.slot)
	if err != nil {
		return err
	}
	if _, err := conn.Write(rawHead("PUT", t.path, "Content-Length: "+strconv.FormatInt(size, 10)+"\r\n")); err != nil {
		return err
	}
	if c.bufs[t.slot] == nil {
		c.bufs[t.slot] = make([]byte, chunkSize)
	}
	// A plain writer: with the connection itself io.CopyBuffer would not use buf.
	if _, err := io.CopyBuffer(writerOnly{conn}, r, c.bufs[t.slot]); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, c.bufs[t.slot][:c.okLen])
	return err
}

// save reads the head, whose length is known, and stores what follows.
func (c *rawClient) save(ctx context.Context, t target, path string, size int64) error {
	conn, err := c.conn(ctx, t.slot)
	if err != nil {
		return err
	}
	if _, err := conn.Write(rawHead("GET", t.path, "")); err != nil {
		return err
	}
	buf := c.answers.Get().(*[answerSize]byte)
	defer c.answers.Put(buf)
	if _, err := io.ReadFull(conn, buf[:len(answerHead(size))]); err != nil {
		return err
	}
	n, err := saveBody(path, io.LimitReader(conn, size))
	if err != nil {
		return err
	}
	return checkAnswer(200, n, size)
}

// send lets the system copy the file, where it can (sendfile).
func (c *rawClient) send(ctx context.Context, t target, path string, size int64) error {
	conn, err := c.conn(ctx, t.slot)
	if err != nil {
		return err
	}
	if _, err := conn.Write(rawHead("PUT", t.path, "Content-Length: "+strconv.FormatInt(size, 10)+"\r\n")); err != nil {
		return err
	}
	if err := withFile(path, func(f *os.File) error {
		_, err := io.Copy(conn, f)
		return err
	}); err != nil {
		return err
	}
	buf := c.answers.Get().(*[answerSize]byte)
	defer c.answers.Put(buf)
	_, err = io.ReadFull(conn, buf[:c.okLen])
	return err
}

func (c *rawClient) close() error {
	var err error
	for _, conn := range c.conns {
		if conn == nil {
			continue
		}
		if e := conn.Close(); e != nil && err == nil {
			err = e
		}
	}
	return err
}
