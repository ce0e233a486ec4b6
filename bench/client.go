package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"time"
)

// requestLimit bounds a request where a client wants a deadline: far above
// anything that a loopback server takes, also for gigabytes that go to a disk.
const requestLimit = 5 * time.Minute

// idleLimit keeps connections open for as long as any slice lasts.
const idleLimit = 10 * time.Minute

// chunkSize is the piece in which every client's large bodies are read and the
// raw loop's are written, so that no client gains by larger pieces alone.
const chunkSize = 64 << 10

// target is where a request goes.
type target struct {
	base string // http://host:port
	path string
	url  string // base and path
	slot int    // which connection serves it, for a client that has no pool
}

func newTarget(base, path string, slot int) target {
	return target{base: base, path: path, url: base + path, slot: slot}
}

// client is what the scenarios ask of each client that is measured. Its methods
// may be called at once from many goroutines, but not for the same slot. Every
// method fails on an answer other than 200 with a body of the expected length.
type client interface {
	get(ctx context.Context, t target) error
	post(ctx context.Context, t target, json []byte) error
	// download reads a body of size bytes through buf, without keeping it.
	download(ctx context.Context, t target, size int64, buf []byte) error
	// upload sends size bytes read from r.
	upload(ctx context.Context, t target, r io.Reader, size int64) error
	// save stores a body of size bytes as the file path.
	save(ctx context.Context, t target, path string, size int64) error
	// send sends the file path, which has size bytes.
	send(ctx context.Context, t target, path string, size int64) error
	close() error
}

// dialFunc connects to whatever name it is given.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// setup is how a client is to be made.
type setup struct {
	addr  string   // the server
	base  string   // the one origin of all requests; empty when there are many
	conns int      // the most connections open at one time
	dial  dialFunc // nil: the client's own way to connect

	roots  *x509.CertPool // whom to trust with TLS
	proxy  string         // URL of the proxy; empty: none
	fresh  bool           // a new connection for each request
	resume bool           // sessions of TLS are resumed
}

// clientKind is a client that can be measured.
type clientKind struct {
	name         string
	module       string // module path, for the version in the report; empty: part of Go
	takesContext bool
	allWays      bool // is measured with TLS, HTTP/2 and proxies, too
	decodes      bool // content codings by itself
	make         func(setup) (client, error)
}

func (k clientKind) title() string { return k.name }

// Names that the report compares by.
const (
	nameRaw      = "raw loop"
	nameNetHTTP  = "net/http"
	nameFastHTTP = "fasthttp"
	nameResty    = "resty"
	nameParley   = "parley"
)

func allClients() []clientKind {
	return []clientKind{
		{name: nameRaw, make: newRawClient},
		{name: nameNetHTTP, takesContext: true, allWays: true, decodes: true, make: newNetHTTPClient},
		{name: nameFastHTTP, module: "github.com/valyala/fasthttp", make: newFastHTTPClient},
		{name: nameResty, module: "resty.dev/v3", takesContext: true, decodes: true, make: newRestyClient},
		{name: nameParley, takesContext: true, allWays: true, decodes: true, make: newParleyClient},
	}
}

// checkAnswer is the check that every client makes of an answer.
func checkAnswer(status int, got, want int64) error {
	if status != 200 {
		return fmt.Errorf("status %d, want 200", status)
	}
	if got != want {
		return fmt.Errorf("a body of %d bytes, want %d", got, want)
	}
	return nil
}

// readChunks reads r to its end through buf, the same way for every client:
// io.Copy would let each choose pieces of its own.
func readChunks(r io.Reader, buf []byte) (int64, error) {
	var total int64
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// pattern is a body of a given length that takes no memory: it can only be read.
type pattern struct{ left int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(p.left, int64(len(b))))
	p.left -= int64(n)
	return n, nil
}

// oneListener connects every name to the server. Its connections are reset when
// closed: thousands of them waiting in TIME_WAIT would use up the ports.
func oneListener(addr string) dialFunc {
	var d net.Dialer
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}
