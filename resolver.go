package parley

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Resolver looks up the addresses of a host; a *[net.Resolver] is one. network is "ip".
// It must be safe for concurrent use and end with its context. The addresses are tried
// in their order, IPv4 and IPv6 taking turns, each with a head start over the next (RFC
// 8305); at most 32 are.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// resolverBox gives a resolver an identity that can be compared, whatever its type.
type resolverBox struct{ Resolver }

// WithResolver looks up names with r, for example a *[net.Resolver] or a
// [CachedResolver]: those of servers and of proxies, but not those that a proxy resolves.
// Addresses are not looked up. Connections are shared only by requests with the same
// option: make it once, not for each request.
func WithResolver(r Resolver) Option {
	var box *resolverBox
	if r != nil {
		box = &resolverBox{r}
	}
	return option(func(s *settings) error {
		if box == nil {
			return failed("WithResolver needs a resolver")
		}
		s.conduct.way = s.conduct.way.with(func(d *dialling) { d.resolver = box })
		return nil
	})
}

// system gives the resolver if it is one that a *net.Dialer can use by itself.
func (d *dialling) system() (*net.Resolver, bool) {
	if d.resolver == nil {
		return nil, false
	}
	r, ok := d.resolver.Resolver.(*net.Resolver)
	return r, ok
}

// WithResolve dials fixed addresses for a host and port, "example.com:443", instead of
// looking the host up, as curl's --resolve does; the host stays what the server is told
// and its certificate is for. The port "*" means every port that is not named itself. The
// addresses are IP addresses with a port, "127.0.0.1:8443", or without one, which leaves
// the port as it is; several are tried as [Resolver] says. It can be given for any number of
// hosts, and holds for those of proxies too, but not for names that a proxy resolves.
func WithResolve(hostport string, addresses ...string) Option {
	line, err := fixedLine(hostport, addresses)
	return option(func(s *settings) error {
		if err != nil {
			return err
		}
		s.conduct.way = s.conduct.way.with(func(d *dialling) { d.fixed = joinFixed(d.fixed, line) })
		return nil
	})
}

// fixedLine writes what WithResolve says in one way: host and port, then the addresses,
// with spaces between and a line's end behind.
func fixedLine(hostport string, addresses []string) (string, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", failed("WithResolve needs a host with a port, such as example.com:443 or example.com:*: %w", err)
	}
	if host, err = urls.CanonicalHost(host); err != nil {
		return "", failed("WithResolve: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "*" {
		if err != nil {
			return "", failed("WithResolve: the port is neither a number up to 65535 nor *")
		}
		port = strconv.FormatUint(n, 10)
	}
	if len(addresses) == 0 {
		return "", failed("WithResolve needs an address for %s", quoteBad(hostport, 128))
	}
	words := []string{net.JoinHostPort(host, port)}
	for _, text := range addresses {
		word := ""
		if a, err := netip.ParseAddrPort(text); err == nil {
			word = a.String()
		} else if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
			word = a.String()
		}
		if word == "" || strings.ContainsAny(word, " \n") {
			return "", failed("WithResolve: %s is no IP address, with or without a port", quoteBad(text, 128))
		}
		words = append(words, word)
	}
	return strings.Join(words, " ") + "\n", nil
}

// joinFixed puts the lines of top in the place of those of lower for the same hosts and
// ports. Both are in order, and so is what it gives.
func joinFixed(lower, top string) string {
	if lower == "" || top == "" {
		return lower + top
	}
	of := func(line string) string {
		name, _, _ := strings.Cut(line, " ")
		return name
	}
	lines := slices.Collect(strings.Lines(top))
	for line := range strings.Lines(lower) {
		if !slices.ContainsFunc(lines, func(other string) bool { return of(other) == of(line) }) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// fixedFor gives the addresses that are dialled in the place of address, nil if there are
// none.
func (d *dialling) fixedFor(address string) []netip.AddrPort {
	if d.fixed == "" {
		return nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil
	}
	var any string
	for line := range strings.Lines(d.fixed) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch name {
		case address:
			return addressesIn(rest, uint16(port))
		case net.JoinHostPort(host, "*"):
			any = rest
		}
	}
	return addressesIn(any, uint16(port))
}

// addressesIn reads the addresses of a line; port is for those that have none.
func addressesIn(words string, port uint16) []netip.AddrPort {
	var out []netip.AddrPort
	for word := range strings.FieldsSeq(words) {
		if a, err := netip.ParseAddrPort(word); err == nil {
			out = append(out, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		} else if a, err := netip.ParseAddr(word); err == nil {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	return out
}
