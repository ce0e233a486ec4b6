package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley"
)

// Source finds the servers of a [Balancer]: in DNS, in a registry, in a file. It is asked
// when a request comes and the last answer is older than [BalancerConfig].Refresh, by one
// goroutine at a time, while the requests go to the servers that were known; only where
// none are known they wait. It has 10 s, and must end with its context.
//
// With an error, or without any server, those that are known stay, and it is asked again
// after a second at the earliest. Servers and an error together mean that these are to be
// used though something is wrong.
type Source interface {
	Servers(ctx context.Context) ([]Server, error)
}

// SourceFunc is a function as a [Source].
type SourceFunc func(ctx context.Context) ([]Server, error)

// Servers calls f.
func (f SourceFunc) Servers(ctx context.Context) ([]Server, error) { return f(ctx) }

// AddressSource is a [Source] of all addresses that a host has, each of them a server.
type AddressSource struct {
	// URL is the base URL of the servers, https://api.example.com:8443/v1, whose host is
	// looked up; it stays the Host header and the name in their certificates.
	URL string
	// Network is "ip4" for IPv4 addresses alone, "ip6" for IPv6 addresses alone, "ip" or ""
	// for both. A machine without IPv6 needs "ip4", or a part of the servers is never reached.
	Network string
	// Resolver looks the host up; nil: [net.DefaultResolver].
	Resolver parley.Resolver
}

// Servers looks the host up. Errors are those of the resolver, or [parley.ErrInvalidURL].
func (s AddressSource) Servers(ctx context.Context) ([]Server, error) {
	base, err := newBalancedBase(s.URL)
	if err != nil {
		return nil, err
	}
	network := s.Network
	if network == "" {
		network = "ip"
	}
	if network != "ip" && network != "ip4" && network != "ip6" {
		return nil, fmt.Errorf("api: the network of an AddressSource is ip, ip4 or ip6, not %q", network)
	}
	resolver := s.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, err := resolver.LookupNetIP(ctx, network, base.url.Hostname())
	var servers []Server
	for _, a := range addresses {
		if a = a.Unmap(); network == "ip" || a.Is4() == (network == "ip4") {
			servers = append(servers, addressServer(base, a))
		}
	}
	return servers, err
}

// addressServer gives a base at one address of its host.
func addressServer(base balancedBase, a netip.Addr) Server {
	u := url.URL{Scheme: base.url.Scheme, Host: a.String(), Path: base.url.Path, RawPath: base.url.RawPath}
	if port := base.url.Port(); port != "" {
		u.Host = net.JoinHostPort(a.String(), port)
	} else if a.Is6() {
		u.Host = "[" + a.String() + "]"
	}
	return Server{URL: u.String(), Host: base.url.Host}
}

// SRVSource is a [Source] of the servers that SRV records name, with their ports, weights
// and priorities (RFC 2782). A weight of 0 counts as 1, which comes to what the RFC's
// example does: next to others a very small chance.
type SRVSource struct {
	// Name is that of the records: _api._tcp.example.com.
	Name string
	// Scheme is http or https, Path the path of the servers' base URLs. Default https and
	// none.
	Scheme, Path string
	// Resolver looks the records up; nil: [net.DefaultResolver].
	Resolver SRVResolver
}

// SRVResolver looks up SRV records; a *[net.Resolver] is one. service and proto are empty.
type SRVResolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// Servers looks the records up. A target of "." means that there is no such service, and
// is [ErrNoServer].
func (s SRVSource) Servers(ctx context.Context) ([]Server, error) {
	var resolver SRVResolver = net.DefaultResolver
	if s.Resolver != nil {
		resolver = s.Resolver
	}
	scheme := s.Scheme
	if scheme == "" {
		scheme = "https"
	}
	_, records, err := resolver.LookupSRV(ctx, "", "", s.Name)
	var servers []Server
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" {
			if err == nil {
				err = fmt.Errorf("%w: the domain of %s says that it has no such service", ErrNoServer, s.Name)
			}
			continue
		}
		servers = append(servers, Server{
			URL:    scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(r.Port))) + "/" + strings.TrimPrefix(s.Path, "/"),
			Weight: int(r.Weight), Priority: int(r.Priority),
		})
	}
	return servers, err
}

const (
	sourceTimeout = 10 * time.Second
	sourceAgain   = time.Second // after a failure
	farAway       = 1 << 62     // a time that never passes
)

// refresher asks a source when it is due.
type refresher struct {
	mu     sync.Mutex
	next   time.Time     // when to ask again
	flight chan struct{} // closed when the question under way has been answered; nil: none is
	err    error         // of the last answer
	asking sync.WaitGroup
}

// run sees to it that the servers are known. It waits only where none are.
func (r *refresher) run(ctx context.Context, b *Balancer) error {
	if b.cfg.Source == nil {
		return nil
	}
	r.mu.Lock()
	if r.flight == nil && b.lifetime.Err() == nil && !time.Now().Before(r.next) {
		r.ask(b)
	}
	flight := r.flight
	r.mu.Unlock()
	if b.known() {
		return nil
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
	if b.known() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return errorKind(ErrNoServer, r.err)
	}
	return ErrNoServer
}

// ask starts a question, which ends by itself. r.mu is held.
func (r *refresher) ask(b *Balancer) {
	flight := make(chan struct{})
	r.flight = flight
	r.asking.Go(func() {
		ctx, cancel := context.WithTimeout(b.lifetime, sourceTimeout)
		defer cancel()
		err := errSourceEnded // what stands if the source ends its goroutine
		defer func() { r.settle(b, flight, err) }()
		err = b.learn(b.cfg.Source.Servers(ctx))
	})
}

var errSourceEnded = errors.New("the source ended its goroutine")

// settle ends a question.
func (r *refresher) settle(b *Balancer, flight chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flight, r.err = nil, err
	wait := b.cfg.Refresh
	switch {
	case err != nil && wait < 0:
		wait = sourceAgain
	case err != nil:
		wait = min(wait, sourceAgain)
	case wait < 0:
		wait = farAway
	}
	r.next = time.Now().Add(wait)
	close(flight)
}

// known reports whether there are any servers.
func (b *Balancer) known() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.fleet.members) > 0
}

// learn takes over what a source said, if there are servers in it, and gives what is wrong
// with it.
func (b *Balancer) learn(servers []Server, err error) error {
	var once []Server // a source may well find one twice
	for _, s := range servers {
		if !containsServer(once, s) {
			once = append(once, s)
		}
	}
	entries, wrong := newEntries(once, b.base, b.cfg.KeepHost)
	if len(entries) > 0 {
		b.mu.Lock()
		b.fleet.set(entries)
		b.mu.Unlock()
	} else if wrong == nil && err == nil {
		err = errNoneGiven
	}
	return errors.Join(err, wrong)
}

func containsServer(servers []Server, s Server) bool {
	for _, other := range servers {
		if other.URL == s.URL && other.Host == s.Host {
			return true
		}
	}
	return false
}

// SourceError is what is wrong with the last answer of the source, nil if nothing is or if
// there was none yet.
func (b *Balancer) SourceError() error {
	b.refresh.mu.Lock()
	defer b.refresh.mu.Unlock()
	return b.refresh.err
}
