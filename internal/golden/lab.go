package golden

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Lab plays the servers of one case. Every host:port that is dialled has a listener of its own on loopback, started
// with the first dial, so that Host headers, default ports and absolute URLs are those of the real names. Ports 443 and
// 8443 speak TLS with certificates of the lab's [Authority].
//
// Its methods are safe for concurrent use.
type Lab struct {
	server    map[string][]Answer
	special   map[string]string
	authority *Authority
	pace      float64

	ctx    context.Context // ends with Close, and wakes every sleeping server
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	listeners map[string]net.Listener // by host:port
	conns     map[net.Conn]struct{}
	used      map[string]int // answers given, by server key
	sent      []*Sent
	dials     int
}

// NewLab makes the lab for a case. Sleeps of the script take pace times as long as written. Close frees the lab.
func NewLab(c *Case, authority *Authority, pace float64) *Lab {
	ctx, cancel := context.WithCancel(context.Background())
	return &Lab{
		server: c.Server, special: c.Special, authority: authority, pace: pace, ctx: ctx, cancel: cancel,
		listeners: map[string]net.Listener{}, conns: map[net.Conn]struct{}{}, used: map[string]int{},
	}
}

// Close ends every connection and listener, and waits for their goroutines.
func (l *Lab) Close() {
	l.cancel()
	l.mu.Lock()
	for _, listener := range l.listeners {
		_ = listener.Close() // it only stops accepting
	}
	for conn := range l.conns {
		_ = conn.Close() // the client may have been first
	}
	l.mu.Unlock()
	l.work.Wait()
}

// Sent returns what has arrived up to now. A request is entered when its head is complete.
func (l *Lab) Sent() []Sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := make([]Sent, len(l.sent))
	for i, s := range l.sent {
		sent[i] = *s
	}
	return sent
}

// Dials returns how many connections were attempted.
func (l *Lab) Dials() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

// DialContext connects to the lab's server for addr, a name and a port.
func (l *Lab) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.dials++
	l.mu.Unlock()
	kind := l.special[host]
	if kind == "" && !resolvable(host) {
		kind = "nxdomain"
	}
	switch kind {
	case "nxdomain":
		err := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	case "refused":
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case "backlog":
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	listener, err := l.listener(addr, originOf(host, port), kind == "deaf")
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, listener.Addr().String())
}

// listener returns the listener for addr, starting it the first time.
func (l *Lab) listener(addr, origin string, deaf bool) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, net.ErrClosed)
	}
	if listener, ok := l.listeners[addr]; ok {
		return listener, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.listeners[addr] = listener
	l.work.Go(func() { l.accept(listener, origin, deaf) })
	return listener, nil
}

func (l *Lab) accept(listener net.Listener, origin string, deaf bool) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed with the lab
		}
		if !l.keep(conn) {
			return
		}
		l.work.Go(func() {
			defer l.drop(conn)
			if deaf {
				<-l.ctx.Done()
				return
			}
			served := conn
			if strings.HasPrefix(origin, "https://") {
				secure := tls.Server(conn, l.authority.server)
				if err := secure.HandshakeContext(l.ctx); err != nil {
					reset(conn)
					return
				}
				served = secure
			}
			(&serverConn{lab: l, conn: served, origin: origin}).serve()
		})
	}
}

// keep takes conn into the lab's books, unless the lab is closing.
func (l *Lab) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = conn.Close() // nobody uses it
		return false
	}
	l.conns[conn] = struct{}{}
	return true
}

func (l *Lab) drop(conn net.Conn) {
	_ = conn.Close() // it may be closed already
	l.mu.Lock()
	delete(l.conns, conn)
	l.mu.Unlock()
}

// record enters a request whose head has arrived; complete fills in the rest.
func (l *Lab) record(head Sent) (complete func(Sent)) {
	entry := &head
	l.mu.Lock()
	l.sent = append(l.sent, entry)
	l.mu.Unlock()
	return func(whole Sent) {
		l.mu.Lock()
		*entry = whole
		l.mu.Unlock()
	}
}

// answer picks the next answer for a request to origin.
func (l *Lab) answer(origin, target string) Answer {
	path, _, _ := strings.Cut(target, "?")
	key := path
	if strings.HasPrefix(path, "/") {
		key = origin + path
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	answers, ok := l.server[key]
	if !ok {
		key = "*"
		answers, ok = l.server[key]
	}
	if !ok {
		return Answer{Status: 200}
	}
	n := min(l.used[key], len(answers)-1)
	l.used[key]++
	return answers[n]
}

// sleep waits, and reports whether the lab is still open.
func (l *Lab) sleep(seconds float64) bool {
	timer := time.NewTimer(time.Duration(seconds * l.pace * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// originOf names the server behind host:port as the cases do.
func originOf(host, port string) string {
	scheme, standard := "http", "80"
	if port == "443" || port == "8443" {
		scheme, standard = "https", "443"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == standard {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// resolvable tells whether a resolver would look host up at all.
func resolvable(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, b := range []byte(label) {
			switch {
			case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_':
			default:
				return false
			}
		}
	}
	return true
}

// reset closes conn so that the peer sees a reset.
func reset(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		_ = plain.SetLinger(0) // without it the peer sees an orderly end, which the case would then show
	}
	_ = conn.Close() // nothing is left to lose
}
