package wiretest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy is a forward proxy: HTTP with whole URLs and CONNECT, and SOCKS5, all on one
// port. Like every Server it records what it reads; of a tunnel that is what goes
// through it. It reaches the servers that its names lead to.
type Proxy struct {
	*Server
	Names     *Names
	Connected string  // its answer to a CONNECT that leads somewhere; set it before the first
	Digest    *Digest // what it demands in place of a login; set it before the first
	Offers    string  // further challenges of its 407, as lines of a header; set it before the first
	Page      string  // the body of its 407 to Digest; set it before the first
	login     string

	mu    sync.Mutex
	asked []string
}

// NewProxy starts a proxy. login, as "user:password", is what it demands; "" nothing.
func NewProxy(t testing.TB, names *Names, login string) *Proxy {
	t.Helper()
	return newProxy(t, nil, names, login)
}

func newProxy(t testing.TB, cfg *tls.Config, names *Names, login string) *Proxy {
	p := &Proxy{Names: names, login: login, Connected: "HTTP/1.1 200 Connection established\r\n\r\n"}
	p.Server = start(t, cfg, p.serve)
	return p
}

// NewProxyTLS starts a proxy that is spoken to over TLS.
func NewProxyTLS(t testing.TB, cfg *tls.Config, names *Names, login string) *Proxy {
	t.Helper()
	return newProxy(t, cfg, names, login)
}

// Asked gives what was asked for and granted, in order: "GET http://a.test/x", "CONNECT
// a.test:443", "SOCKS a.test:443".
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *Proxy) granted(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *Proxy) serve(c *Conn) {
	first, err := c.Reader.Peek(1)
	if err != nil {
		return
	}
	if first[0] == 5 {
		p.serveSOCKS(c)
		return
	}
	for p.serveHTTP(c) {
	}
}

// serveHTTP answers one request and reports whether another may follow.
func (p *Proxy) serveHTTP(c *Conn) bool {
	r, err := c.ReadRequest()
	if err != nil {
		return false
	}
	info := ""
	if d := p.Digest; d != nil {
		given := r.Header.Get("Proxy-Authorization")
		if !d.Accepts(given, r.Method, r.RequestURI) {
			return c.Say("HTTP/1.1 407 Proxy Authentication Required\r\n" + p.Offers + "Proxy-Authenticate: " + d.Challenge(given) +
				"\r\nContent-Length: " + strconv.Itoa(len(p.Page)) + "\r\n\r\n" + p.Page)
		}
		info = d.Info(given, r.RequestURI)
	}
	if p.login != "" && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.login)) {
		return c.Say("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n")
	}
	if r.Method == http.MethodConnect {
		p.granted("CONNECT " + r.RequestURI)
		good := p.Connected
		if info != "" {
			good = strings.Replace(good, "\r\n", "\r\nProxy-Authentication-Info: "+info+"\r\n", 1)
		}
		p.tunnel(c, r.RequestURI, good, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return false
	}
	p.granted(r.Method + " " + r.RequestURI)
	return p.forward(c, r, info)
}

// forward sends a request on as proxies do: without what was for the proxy. info is said
// of its credentials, "" for nothing.
func (p *Proxy) forward(c *Conn, r *Request, info string) bool {
	transport := &http.Transport{DialContext: p.Names.DialContext, DisableKeepAlives: true, DisableCompression: true}
	out := r.Request.Clone(context.Background())
	out.Body, out.ContentLength = io.NopCloser(strings.NewReader(string(r.Content))), int64(len(r.Content))
	out.Header.Del("Proxy-Authorization")
	resp, err := transport.RoundTrip(out)
	if err != nil {
		return c.Say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
	}
	defer resp.Body.Close()
	resp.Close = false
	if info != "" {
		resp.Header.Set("Proxy-Authentication-Info", info)
	}
	return resp.Write(c.Conn) == nil
}

// tunnel connects c with the server at address, saying good first, or bad if there is
// none.
func (p *Proxy) tunnel(c *Conn, address, good, bad string) {
	far, err := p.Names.DialContext(context.Background(), "tcp", address)
	if err != nil {
		c.Say(bad)
		return
	}
	defer far.Close()
	if !c.Say(good) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c.Conn, far) // how a tunnel ends makes no difference
		c.Cut()
	})
	_, _ = io.Copy(far, c.Reader)
	far.Close()
	back.Wait()
}

// serveSOCKS speaks SOCKS5 (RFC 1928, RFC 1929).
func (p *Proxy) serveSOCKS(c *Conn) {
	methods, ok := c.take(2)
	if !ok {
		return
	}
	offered, ok := c.take(int(methods[1]))
	if !ok {
		return
	}
	switch {
	case p.login == "":
		c.Say("\x05\x00")
	case slices.Contains(offered, 2):
		if !p.checkLogin(c) {
			return
		}
	default:
		c.Say("\x05\xff")
		return
	}
	head, ok := c.take(4)
	if !ok {
		return
	}
	var host string
	switch head[3] {
	case 1, 4:
		ip, ok := c.take(map[byte]int{1: 4, 4: 16}[head[3]])
		if !ok {
			return
		}
		host = net.IP(ip).String()
	default:
		size, _ := c.take(1)
		name, ok := c.take(int(size[0]))
		if !ok {
			return
		}
		host = string(name)
	}
	port, ok := c.take(2)
	if !ok {
		return
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port))))
	p.granted("SOCKS " + address)
	const none = "\x00\x01\x00\x00\x00\x00\x00\x00"
	p.tunnel(c, address, "\x05\x00"+none, "\x05\x04"+none)
}

func (p *Proxy) checkLogin(c *Conn) bool {
	c.Say("\x05\x02")
	head, ok := c.take(2)
	if !ok {
		return false
	}
	user, _ := c.take(int(head[1]))
	size, _ := c.take(1)
	password, ok := c.take(int(size[0]))
	if !ok || string(user)+":"+string(password) != p.login {
		c.Say("\x01\x01")
		return false
	}
	return c.Say("\x01\x00")
}

// take reads n bytes; after a failure it gives zeros.
func (c *Conn) take(n int) ([]byte, bool) {
	b := make([]byte, n)
	_, err := io.ReadFull(c.Reader, b)
	return b, err == nil
}
