package parley

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unique"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/urls"
)

// WithDialer makes connections with d, for example a *net.Dialer or a [DialerFunc]. Where
// it is said of one request it is for the origin of that request alone: a redirect to
// another one fails with ErrRedirectRefused.
//
// [WithUnixSocket], [WithLocalAddr] and [WithDialGuard] need a *net.Dialer, of which they
// use a copy; with any other d they are an error of [New], or of the request, that matches
// [errors.ErrUnsupported]. With [WithResolver] and [WithResolve] d is asked for addresses
// in place of names.
func WithDialer(d Dialer) Option {
	var box *dialerBox
	if d != nil {
		box = &dialerBox{d}
	}
	return option(func(s *settings) error {
		if box == nil {
			return failed("WithDialer needs a dialer")
		}
		s.conduct.dialer = box
		return nil
	})
}

// WithUnixSocket sends requests to the Unix socket at path, whatever host and port their
// URLs have: these are what the server is told, and what its certificate is for. An @
// before a name is Linux' abstract socket of that name. The proxies of the environment
// do not count then, any other is an error.
//
// A session's socket is where all its requests go, redirects too. That of one request is
// for its origin alone: a redirect to another one fails with ErrRedirectRefused.
//
// An URL can say the same for itself, with the path percent-encoded in the place of the
// host: http+unix://%2Frun%2Fapp.sock/v1. The server is told the host "localhost", the jar
// has no cookies for it, and no redirect or link leads to such a URL, unless it is
// relative to one (ErrUnsupportedProtocol). A program that takes URLs from others
// refuses them by [WithDialGuard].
func WithUnixSocket(path string) Option {
	return option(func(s *settings) error {
		if path == "" || strings.IndexByte(path, 0) >= 0 {
			return failed("WithUnixSocket needs the path of a socket")
		}
		s.conduct.way = s.conduct.way.with(func(d *dialling) { d.socket = path })
		return nil
	})
}

// WithLocalAddr makes connections from a local IP address, such as "192.0.2.7" or
// "2001:db8::7"; addresses of the other family are then not tried. It has no meaning for
// Unix sockets.
func WithLocalAddr(addr string) Option {
	local, err := netip.ParseAddr(addr)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithLocalAddr needs an IP address without a port: %w", err)
		}
		s.conduct.way = s.conduct.way.with(func(d *dialling) { d.local = local.Unmap() })
		return nil
	})
}

// dialling is what is said of making connections, beside the dialer. It is comparable, as
// it tells connections apart.
type dialling struct {
	socket   string // path of a Unix socket; "": none
	resolver *resolverBox
	fixed    string // lines of addresses: see fixedLine
	local    netip.Addr
	guard    *guardBox
}

// way is a dialling that takes no more room than a pointer; zero if nothing is said.
type way struct{ handle unique.Handle[dialling] }

func (w way) said() bool { return w != way{} }

func (w way) get() dialling {
	if !w.said() {
		return dialling{}
	}
	return w.handle.Value()
}

func (w way) with(change func(*dialling)) way {
	d := w.get()
	change(&d)
	return way{unique.Make(d)}
}

// over gives w, with what it leaves open taken from lower.
func (w way) over(lower way) way {
	if !w.said() || !lower.said() {
		return cmpWay(w, lower)
	}
	top := w.get()
	return lower.with(func(d *dialling) {
		d.socket = cmp.Or(top.socket, d.socket)
		d.resolver = cmp.Or(top.resolver, d.resolver)
		d.fixed = joinFixed(d.fixed, top.fixed)
		d.local = cmp.Or(top.local, d.local)
		d.guard = cmp.Or(top.guard, d.guard)
	})
}

func cmpWay(a, b way) way {
	if a.said() {
		return a
	}
	return b
}

// way gives how the connections for a request are made.
func (r *Request) way() way {
	var w way
	if r.conduct != nil {
		w = r.conduct.way
	}
	if r.URL.Scheme == urls.UnixScheme {
		return w.with(func(d *dialling) { d.socket = r.URL.Host })
	}
	return w
}

// dialerFor gives the dialer of a request, nil for the default.
func (r *Request) dialerFor() *dialerBox {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.dialer
}

// suffix tells it where connections are named, without what has no name.
func (w way) suffix() string {
	d := w.get()
	text := ""
	if d.socket != "" {
		text = " over " + quoteBad(d.socket, 128)
	}
	if d.local.IsValid() {
		text += " from " + d.local.String()
	}
	return text
}

// check tells of settings that the dialer d has no means for.
func (w way) check(d *dialerBox) error {
	said := w.get()
	if _, ok := d.Dialer.(*net.Dialer); ok || said == (dialling{}) {
		return nil
	}
	names := said.ofDialer()
	if names == "" {
		return nil
	}
	return cannotHonour(names, fmt.Sprintf("a dialer of type %T", d.Dialer), "use a *net.Dialer, or let the dialer do it")
}

// ofDialer names what can be had with a *net.Dialer only.
func (d *dialling) ofDialer() string {
	var names []string
	if d.socket != "" {
		names = append(names, "WithUnixSocket")
	}
	if d.local.IsValid() {
		names = append(names, "WithLocalAddr")
	}
	if d.guard != nil {
		names = append(names, "WithDialGuard")
	}
	return strings.Join(names, ", ")
}

// names tells what of w only a transport that dials can honour for an address.
func (w way) names(address string) []string {
	d := w.get()
	var names []string
	if only := d.ofDialer(); only != "" {
		names = append(names, only)
	}
	if d.resolver != nil {
		names = append(names, "WithResolver")
	}
	if d.fixedFor(address) != nil {
		names = append(names, "WithResolve")
	}
	return names
}

// routeBeside gives the route of a request that has something to say of dialling, if that
// goes together.
func (p *Pool) routeBeside(ctx context.Context, req *Request, w way) (route, error) {
	d := req.dialerFor()
	if d == nil {
		d = p.dialer
	}
	if err := w.check(d); err != nil {
		return route{}, err
	}
	said := w.get()
	if p := req.Proxy.at(req.URL); said.socket != "" && (p == nil || p.env != nil) {
		return route{}, nil
	}
	via, _, err := req.Proxy.route(req)
	if err != nil || via.direct() {
		return via, err
	}
	if said.socket != "" {
		return via, failed("no proxy leads to a Unix socket of this machine: add WithoutProxy")
	}
	if said.guard != nil {
		// The proxy connects to it, and nobody else can judge.
		if a, err := netip.ParseAddrPort(net.JoinHostPort(req.URL.Hostname(), portOf(req))); err == nil {
			return via, said.guard.judge(ctx, a)
		}
	}
	return via, nil
}

// portOf gives the port that a request's URL means.
func portOf(req *Request) string {
	if req.URL.Scheme == "https" {
		return cmp.Or(req.URL.Port(), "443")
	}
	return cmp.Or(req.URL.Port(), "80")
}

// checkDialling refuses to follow a redirect away from the origin for which the request
// was given a dialer or a socket: neither is a server to steer it, nor its choice to be
// forgotten.
func (r *Request) checkDialling(from *Request) error {
	if r.conduct == nil || !r.conduct.bound || urls.SameOrigin(from.URL, r.URL) {
		return nil
	}
	return because(ErrRedirectRefused, errors.New("the request's own dialer or Unix socket is for its origin alone: set it for the session, or follow by hand"))
}

// connect makes a plain connection to address, or to what takes its place.
func (k connKey) connect(ctx context.Context, address string, t *dial.Times) (net.Conn, error) {
	if !k.way.said() {
		return dial.TCP(ctx, k.dialer, address, t)
	}
	said := k.way.get()
	if said.socket != "" {
		if said.guard != nil {
			return nil, because(ErrAddressRefused, errors.New("a dial guard allows no Unix socket"))
		}
		return dial.Unix(ctx, k.dialer, said.socket, t)
	}
	d := said.dialer(k.dialer)
	fixed := said.fixedFor(address)
	_, system := said.system()
	switch {
	case fixed != nil:
	case said.resolver == nil, system && d != dial.Dialer(k.dialer):
		return dial.TCP(ctx, d, address, t)
	default:
		var err error
		if fixed, err = dial.Lookup(ctx, said.resolver, address, t); err != nil {
			return nil, err
		}
	}
	return dial.Race(ctx, d, fixed, t)
}

// dialer gives the dialer with what is said of it: box itself, or a copy of the
// *net.Dialer in it.
func (d *dialling) dialer(box *dialerBox) dial.Dialer {
	own, ok := box.Dialer.(*net.Dialer)
	resolver, system := d.system()
	if !ok || !system && !d.local.IsValid() && d.guard == nil {
		return box
	}
	nd := *own
	if system {
		nd.Resolver = resolver
	}
	if d.local.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.local, 0))
	}
	if d.guard != nil {
		d.guard.watch(&nd)
	}
	return &nd
}

// addressOf looks up where address leads, for a proxy that wants to be told, and has it
// judged.
func (k connKey) addressOf(ctx context.Context, address string, t *dial.Times) (string, error) {
	said := k.way.get()
	found := said.fixedFor(address)
	if found == nil {
		var resolver dial.Resolver = dial.ResolverOf(k.dialer.Dialer)
		if said.resolver != nil {
			resolver = said.resolver
		}
		var err error
		if found, err = dial.Lookup(ctx, resolver, address, t); err != nil {
			return "", err
		}
	}
	best := dial.Best(found)
	if said.guard != nil {
		if err := said.guard.judge(ctx, best); err != nil {
			return "", err
		}
	}
	return best.String(), nil
}
