package parley

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"syscall"
)

// DialGuard decides whether a connection may be made to an address: nil allows it, any
// error refuses it. network is "tcp". An IPv4 address comes as one, however it was
// written. It must be safe for concurrent use, and ends with its context, which is that
// of the dial.
type DialGuard func(ctx context.Context, network string, addr netip.AddrPort) error

// WithDialGuard has g judge every address just before a connection is made to it, for
// services that fetch URLs which others supply. What is judged is the address that is
// dialled, so that no name, no answer of a name server that changes (DNS rebinding) and
// no redirect leads around it. Of several addresses of a name the refused ones are left
// out; if none remains the call fails, matching ErrAddressRefused and ErrConnect, and
// nothing was sent. Unix sockets, also by an http+unix URL, are always refused.
//
// The addresses of proxies are judged like all others, those of the environment too. Of
// what is asked of a proxy, those addresses are judged that are known here: in the URL,
// or looked up for a socks5 proxy. Names that a proxy resolves are its own affair: where
// a proxy may be allowed to reach more than this program, it has to judge them.
//
// Connections are shared only by requests with the same guard: make the option once, not
// for each request ([PublicAddressesOnly] is always the same). The request's guard takes
// the place of the session's.
func WithDialGuard(g DialGuard) Option {
	box := boxGuard(g)
	return option(func(s *settings) error {
		if box == nil {
			return failed("WithDialGuard needs a function")
		}
		s.conduct.way = s.conduct.way.with(func(d *dialling) { d.guard = box })
		return nil
	})
}

// PublicAddressesOnly gives a guard that refuses every address which is not one of the
// public internet: private, loopback, link-local, multicast, unspecified, those of
// carriers' NAT, for documentation, benchmarks and protocols, and the addresses at
// which clouds tell machines about themselves. IPv6 addresses that stand for IPv4 ones
// are judged by these (RFC 4291, section 2.5.5.2; RFC 6052, section 2.1), those of
// Teredo and 6to4 refused. What it cannot know is a NAT64 prefix of the network's own.
//
// A guard of the user's can allow more, and ask it about the rest.
func PublicAddressesOnly() DialGuard { return publicOnly }

// notPublic are the blocks that are not, of the registries of special-purpose addresses
// (RFC 6890); of IPv6 those inside 2000::/3, which alone is handed out.
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // where Azure talks to its machines
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

var errNotPublic = errors.New("not an address of the public internet")

func publicOnly(_ context.Context, _ string, addr netip.AddrPort) error {
	a := addr.Addr().Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !globalUnicast.Contains(a) {
		return errNotPublic
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return errNotPublic
		}
	}
	return nil
}

// guardBox gives a guard an identity that can be compared.
type guardBox struct{ allows DialGuard }

// publicBox is that of PublicAddressesOnly, which is one function whoever asks for it.
var publicBox = &guardBox{publicOnly}

func boxGuard(g DialGuard) *guardBox {
	switch {
	case g == nil:
		return nil
	case reflect.ValueOf(g).Pointer() == reflect.ValueOf(publicOnly).Pointer(): // no closure, hence the same
		return publicBox
	}
	return &guardBox{g}
}

// judge asks the guard.
func (g *guardBox) judge(ctx context.Context, addr netip.AddrPort) error {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if err := g.allows(ctx, "tcp", addr); err != nil {
		return because(ErrAddressRefused, fmt.Errorf("%v: %w", addr, err))
	}
	return nil
}

// watch has d ask the guard before each connection, and then what d asks by itself.
func (g *guardBox) watch(d *net.Dialer) {
	own, plain := d.ControlContext, d.Control
	d.Control = nil
	d.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return because(ErrAddressRefused, err)
		}
		if err := g.judge(ctx, addr); err != nil {
			return err
		}
		switch {
		case own != nil:
			return own(ctx, network, address, c)
		case plain != nil:
			return plain(network, address, c)
		}
		return nil
	}
}
