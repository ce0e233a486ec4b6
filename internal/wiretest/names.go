package wiretest

import (
	"context"
	"net"
	"slices"
	"sync"
)

// Names is a dialer that leads addresses such as "a.test:80" to others. An address
// that it does not know fails as a name that does not exist, so that no test leaves
// the machine. It is safe for concurrent use.
type Names struct {
	mu    sync.Mutex
	to    map[string]string
	asked []string
}

// NewNames gives a dialer with the addresses in to.
func NewNames(to map[string]string) *Names {
	n := &Names{to: make(map[string]string)}
	for from, addr := range to {
		n.to[from] = addr
	}
	return n
}

// Lead adds an address.
func (n *Names) Lead(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to[from] = to
}

// DialContext dials what address leads to.
func (n *Names) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.asked = append(n.asked, address)
	to, known := n.to[address]
	n.mu.Unlock()
	if !known {
		host, _, _ := net.SplitHostPort(address)
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// Asked gives the addresses that were dialled, in order.
func (n *Names) Asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}
