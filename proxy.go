package parley

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"unique"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Proxy says how requests get to their servers. The zero value is the direct way.
// Make others with [NewProxy], or let [WithProxy], [WithProxyFor], [WithProxyFunc] and
// [WithoutProxy] do it.
//
// An http URL goes through an http or https proxy as a request to the proxy with the
// whole URL in it (RFC 9112, section 3.2.2), so that the proxy sees its header,
// Authorization included. These connections are shared by all such URLs and
// count as one origin for the limits of the pool. Everything else goes through a
// tunnel: CONNECT (RFC 9110, section 9.3.6) with an http or https proxy, which sees
// nothing of the request but host and port, or SOCKS5 (RFC 1928).
//
// Credentials in a proxy's URL are for the proxy alone and are never seen by a server. An
// HTTP proxy gets them as Basic, or by Digest where it asks for that: [WithProxyDigest]. A
// Proxy-Authorization header that is set by hand is sent where an HTTP proxy reads
// it, in the place of these: with an http URL that goes through an http or https proxy,
// and with a CONNECT request of the caller's own. In any other request it is left out.
// [WithProxyHeader] adds what else a proxy is to be told.
//
// A Proxy does not change and is safe for concurrent use. It prints without
// credentials.
type Proxy struct {
	fixed  route
	choose func(*Request) (*url.URL, error)
	env    *proxyEnv
	parts  []proxyPart // for some URLs, the most specific first; nil: for all the same
	rest   *Proxy      // for all others, without parts; nil: not said
}

// NewProxy gives the proxy at a URL: scheme, host, port, and user and
// password if it wants them, percent-encoded where they hold reserved characters. The
// schemes are
//
//	http     HTTP proxy; also what a URL without scheme means; port 80 unless given
//	https    HTTP proxy that is spoken to over TLS: see [WithProxyTLSConfig]; port 443
//	socks5   SOCKS5 proxy that is given addresses: names are resolved here; port 1080
//	socks5h  SOCKS5 proxy that is given names and resolves them; port 1080
//
// Other schemes are ErrUnsupportedProtocol, URLs that are malformed or have a path,
// query or fragment ErrInvalidURL.
func NewProxy(url string) (*Proxy, error) {
	r, err := parseRoute(url)
	if err != nil {
		return nil, err
	}
	return &Proxy{fixed: r}, nil
}

// WithProxy sends requests through the proxy at url: see [NewProxy]. It wins over
// the proxies of the environment and NO_PROXY.
func WithProxy(url string) Option {
	p, err := NewProxy(url)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithProxy: %w", err)
		}
		s.proxy = p
		return nil
	})
}

// WithoutProxy sends requests directly, whatever the session or the environment says.
func WithoutProxy() Option {
	p := &Proxy{}
	return option(func(s *settings) error {
		s.proxy = p
		return nil
	})
}

// WithProxyFunc asks f for each request, each hop of a redirect and each try of its
// own, through which proxy it goes: a URL as [NewProxy] takes it, nil for the direct
// way. An error fails the request, matching ErrProxy. f must be safe for concurrent
// use and must not change the request, which may be a part of a call going on.
func WithProxyFunc(f func(*Request) (*url.URL, error)) Option {
	p := &Proxy{choose: f}
	return option(func(s *settings) error {
		if f == nil {
			return failed("WithProxyFunc needs a function")
		}
		s.proxy = p
		return nil
	})
}

// For gives the URL of the proxy that a request with this setting goes through,
// without credentials; nil if it goes the direct way. It fails where sending the
// request would: for a malformed value in the environment or an error of the function.
func (p *Proxy) For(req *Request) (*url.URL, error) {
	if p != nil && (p.env != nil || len(p.parts) > 0) && (req == nil || req.URL == nil) {
		return nil, errNoURL
	}
	r, _, err := p.route(req)
	if err != nil || r.direct() {
		return nil, err
	}
	h := r.hop()
	return &url.URL{Scheme: h.scheme, Host: h.address()}, nil
}

// route says where a request goes, and which variable of the environment says so, if
// one does. A nil Proxy is the direct way.
func (p *Proxy) route(req *Request) (r route, variable string, err error) {
	if p != nil && len(p.parts) > 0 {
		p = p.at(req.URL)
	}
	switch {
	case p == nil:
		return route{}, "", nil
	case p.choose != nil:
		r, err = chosenRoute(p.choose, req)
		return r, "", err
	case p.env != nil:
		return p.env.route(req.URL)
	}
	return p.fixed, "", nil
}

func chosenRoute(choose func(*Request) (*url.URL, error), req *Request) (route, error) {
	u, err := choose(req)
	if err == nil && u == nil {
		return route{}, nil
	}
	var r route
	if err == nil {
		r, err = parseRoute(u.String())
	}
	if err != nil {
		return route{}, because(ErrProxy, fmt.Errorf("WithProxyFunc: %w", err))
	}
	return r, nil
}

// String shows the proxy without credentials: <Proxy http://p.test:3128>.
func (p Proxy) String() string {
	switch {
	case len(p.parts) > 0:
		return "<Proxy by URL>"
	case p.choose != nil:
		return "<Proxy by function>"
	case p.env != nil:
		return "<Proxy of the environment>"
	case p.fixed.direct():
		return "<Proxy none>"
	}
	return "<Proxy " + p.fixed.String() + ">"
}

// Format prints String for all verbs.
func (p Proxy) Format(s fmt.State, verb rune) { printSafe(s, verb, p.String()) }

// LogValue logs String.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// hop is a proxy by all that tells it and the connections through it from others.
type hop struct {
	scheme, host, port string
	basic              string     // value of Proxy-Authorization; "": none
	fields             string     // header lines of WithProxyHeader
	login              dial.Login // for SOCKS, and for Digest
}

func (h *hop) address() string { return net.JoinHostPort(h.host, h.port) }

// Format keeps the credentials out.
func (h hop) Format(s fmt.State, verb rune) { printSafe(s, verb, h.scheme+"://"+h.address()) }

func (h *hop) socks() bool { return h.scheme == "socks5" || h.scheme == "socks5h" }

// route is the way to servers through a proxy; the zero value is the direct one. Two
// are equal if all of the proxy is. Package fmt follows one pointer into a hidden field
// where a verb does not fit, but not a second one: hence the handle of a handle.
type route struct {
	handle unique.Handle[unique.Handle[hop]]
}

func (r route) direct() bool { return r == route{} }

// hop gives the proxy of a route that has one.
func (r route) hop() hop { return r.handle.Value().Value() }

// forwards reports whether requests for a URL of this scheme are made to the proxy, with
// the whole URL in them.
func (r route) forwards(scheme string) bool {
	if scheme != "http" || r.direct() {
		return false
	}
	h := r.hop()
	return !h.socks()
}

// String gives the proxy's URL without credentials.
func (r route) String() string {
	if r.direct() {
		return ""
	}
	h := r.hop()
	return h.scheme + "://" + h.address()
}

// parseRoute reads the URL of a proxy. Its errors hold no credentials.
func parseRoute(text string) (route, error) {
	if text == "" {
		return route{}, because(ErrInvalidURL, errors.New("the URL of the proxy is empty: for the direct way there is WithoutProxy"))
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "http", text
	}
	h := hop{scheme: strings.ToLower(scheme)}
	switch h.scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return route{}, because(ErrUnsupportedProtocol, fmt.Errorf("a proxy's URL begins with http://, https://, socks5:// or socks5h://, not with %q", quoteBad(h.scheme, 32)))
	}
	u, err := urls.Parse("http://" + rest)
	if err != nil {
		return route{}, urlError(err)
	}
	if u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return route{}, because(ErrInvalidURL, errors.New("the URL of a proxy is scheme, host and port: no path, query or fragment"))
	}
	h.host = u.Hostname()
	if h.port = u.Port(); h.port == "" {
		h.port = defaultProxyPort(h.scheme, rest)
	}
	if u.User != nil {
		if err := h.takeLogin(u.User); err != nil {
			return route{}, because(ErrInvalidURL, err)
		}
	}
	return route{unique.Make(unique.Make(h))}, nil
}

// defaultProxyPort gives the port of a proxy whose URL has none, or has port 80, which
// is none for http.
func defaultProxyPort(scheme, rest string) string {
	if scheme == "http" {
		return "80"
	}
	if u, err := urls.Parse("https://" + rest); err == nil && u.Port() != "" {
		return u.Port()
	}
	if scheme == "https" {
		return "443"
	}
	return "1080"
}

// takeLogin takes over user and password in the form in which the proxy gets them.
func (h *hop) takeLogin(user *url.Userinfo) error {
	name := user.Username()
	password, _ := user.Password()
	for _, text := range []string{name, password} {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("user or password of the proxy hold a control byte")
		}
	}
	if h.socks() {
		if name == "" || len(name) > 255 || len(password) > 255 { // RFC 1929, section 2
			return errors.New("user and password of a SOCKS proxy have at most 255 bytes, and the user at least one")
		}
		h.login = dial.Login{User: name, Password: password}
		return nil
	}
	if strings.Contains(name, ":") { // RFC 7617, section 2
		return errors.New("a proxy's user cannot hold a colon")
	}
	h.login = dial.Login{User: name, Password: password}
	h.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
	return nil
}
