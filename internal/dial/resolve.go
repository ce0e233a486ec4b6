package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Resolver is what *net.Resolver has.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ResolverOf gives the resolver that d uses, if that can be known, and else the
// system's.
func ResolverOf(d Dialer) Resolver {
	if nd, ok := d.(*net.Dialer); ok && nd.Resolver != nil {
		return nd.Resolver
	}
	return net.DefaultResolver
}

// MaxAddresses is how many addresses of a name are tried.
const MaxAddresses = 32

// Lookup gives the addresses that address ("host:port") stands for, at least one and
// at most MaxAddresses. What is an address already is not looked up.
func Lookup(ctx context.Context, r Resolver, address string, t *Times) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %q: %w", address, err)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(port))}, nil
	}
	start := time.Now()
	found, err := r.LookupNetIP(ctx, "ip", host)
	t.DNS += time.Since(start)
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for _, a := range found[:min(len(found), MaxAddresses)] {
		if a.IsValid() {
			all = append(all, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		}
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Err: "the resolver gave no address", Name: host, IsNotFound: true}
	}
	return all, nil
}

// Best chooses from addresses, of which there is one at least, for somebody else who
// is to connect to it: the first of IPv4 if there is one, as he may know nothing else.
func Best(addresses []netip.AddrPort) netip.AddrPort {
	for _, a := range addresses {
		if a.Addr().Is4() {
			return a
		}
	}
	return addresses[0]
}
