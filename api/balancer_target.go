package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-0474a412/parley"
)

// maxWeight is the greatest weight of a server, that of SRV records (RFC 2782).
const maxWeight = 65535

// Server is one of the servers behind a [Balancer].
type Server struct {
	// URL is the server's base URL, whose path stands for the path of the balancer's base.
	// It has neither user information nor query.
	URL string
	// Weight is the server's share of the requests beside that of the others of its
	// priority: 0 means 1, the most is 65,535.
	Weight int
	// Priority orders servers: those with the least number get all requests as long as one
	// of them is in service, the others stand by.
	Priority int
	// Host is the Host header, and the name in the certificate of an https server, where
	// they are not those of URL, for example where URL has an address. Default: those of
	// URL, or with [BalancerConfig].KeepHost those of the balancer's base.
	Host string
}

// Servers gives servers of the same weight.
func Servers(urls ...string) []Server {
	servers := make([]Server, len(urls))
	for i, u := range urls {
		servers[i] = Server{URL: u}
	}
	return servers
}

// serverTarget is where requests to a server go.
type serverTarget struct {
	base balancedBase
	host string        // Host header; "": that of the URL
	name string        // in the certificate; "": that of the URL
	mark parley.Option // marks a request as sent there: see ServedBy
}

// serverKey tells servers apart.
type serverKey struct{ url, host string }

func (t *serverTarget) key() serverKey { return serverKey{t.base.String(), t.host} }

// serverEntry is a server with its place among the others.
type serverEntry struct {
	serverTarget
	weight uint64
	tier   int
}

// newEntries checks servers. It gives those that can be used, each once, and what is wrong
// with the others.
func newEntries(servers []Server, base balancedBase, keepHost bool) ([]serverEntry, error) {
	entries := make([]serverEntry, 0, len(servers))
	seen := make(map[serverKey]bool, len(servers))
	var errs []error
	for _, s := range servers {
		e, err := newEntry(s, base, keepHost)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case seen[e.key()]:
			errs = append(errs, fmt.Errorf("the server %s is there twice: give it a weight", e.base))
			continue
		}
		seen[e.key()] = true
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}

func newEntry(s Server, base balancedBase, keepHost bool) (serverEntry, error) {
	own, err := newBalancedBase(s.URL)
	switch {
	case err != nil:
		return serverEntry{}, fmt.Errorf("server: %w", err)
	case s.Weight < 0 || s.Weight > maxWeight:
		return serverEntry{}, fmt.Errorf("the weight of %s is not between 0 and %d", own, maxWeight)
	case base.url.Scheme == "https" && own.url.Scheme != "https":
		return serverEntry{}, fmt.Errorf("%w: what is meant for %s would go to %s in clear text: give an https server, or a base of http", parley.ErrInvalidURL, base, own)
	}
	if s.Host != "" {
		if _, err := parley.NewRequest(http.MethodGet, s.URL, parley.WithHost(s.Host)); err != nil {
			return serverEntry{}, fmt.Errorf("server: %w", err)
		}
	}
	e := serverEntry{weight: uint64(max(s.Weight, 1)), tier: s.Priority}
	e.base, e.mark = own, parley.WithAttribute(servedKey{}, own.text)
	if e.host = s.Host; e.host == "" && keepHost {
		e.host = base.url.Host
	}
	if e.host != "" && own.url.Scheme == "https" {
		e.name = (&url.URL{Host: e.host}).Hostname()
	}
	_, err = e.rewritten(&parley.Request{Method: http.MethodGet, URL: base.url}, base)
	return e, err
}

// balancedBase is a base URL.
type balancedBase struct {
	url  *url.URL
	path string // escaped, without a slash at the end
	text string // with one
}

func newBalancedBase(text string) (balancedBase, error) {
	req, err := parley.NewRequest(http.MethodGet, text)
	switch {
	case err != nil:
		return balancedBase{}, err
	case req.Auth != nil:
		return balancedBase{}, fmt.Errorf("%w: %s has user information: give credentials to the session", parley.ErrInvalidURL, req.URL)
	case req.URL.RawQuery != "" || req.URL.ForceQuery || req.URL.Fragment != "":
		return balancedBase{}, fmt.Errorf("%w: a base URL has neither query nor fragment", parley.ErrInvalidURL)
	}
	path := strings.TrimSuffix(req.URL.EscapedPath(), "/")
	return balancedBase{req.URL, path, req.URL.Scheme + "://" + req.URL.Host + path + "/"}, nil
}

func (b balancedBase) String() string { return b.text }

// owns reports whether u is on the origin of the base.
func (b balancedBase) owns(u *url.URL) bool {
	return u != nil && u.Scheme == b.url.Scheme && u.Host == b.url.Host
}

// below gives what the path of u has after that of the base.
func (b balancedBase) below(u *url.URL) (rest string, ok bool) {
	if !b.owns(u) {
		return "", false
	}
	return b.belowPath(u.EscapedPath())
}

func (b balancedBase) belowPath(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, b.path)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// moved gives the URL that is to the base what u is to another one with the path from;
// rest is what u has after that.
func (b balancedBase) moved(u *url.URL, from, rest string) (*url.URL, error) {
	v := *u
	v.Scheme, v.Host = b.url.Scheme, b.url.Host
	if b.path == from && rest != "" {
		return &v, nil
	}
	escaped := b.path + rest
	if escaped == "" {
		escaped = "/"
	}
	path, err := url.PathUnescape(escaped)
	v.Path, v.RawPath = path, escaped
	return &v, err
}

// rewritten gives a request as the server gets it. The header is shared.
func (t *serverTarget) rewritten(req *parley.Request, base balancedBase) (*parley.Request, error) {
	rest, ok := base.below(req.URL)
	if !ok {
		return nil, errOutsideBase
	}
	u, err := t.base.moved(req.URL, base.path, rest)
	if err != nil {
		return nil, errorKind(parley.ErrInvalidURL, err)
	}
	sent := *req
	sent.URL = u
	if t.host != "" && sent.Host == "" && sent.Header["Host"] == nil {
		sent.Host = t.host
	}
	if t.name == "" {
		return &sent, nil
	}
	return sent.With(parley.WithServerName(t.name))
}

var errOutsideBase = errors.New("the URL is on the balancer's origin, but not below its base: give the balancer a base with a shorter path")
