package parley

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/urls"
)

// WithMount sends requests for URLs under prefix through t in place of the session's
// pool or transport. A prefix is a scheme, perhaps a host, perhaps a path:
//
//	https://                       all https URLs
//	all://                         all URLs
//	https://api.example.com        that host, on the port of the scheme
//	http://api.example.com:8080    that host and port
//	all://api.example.com:*        that host with any scheme and port
//	https://*.example.com          the hosts below example.com, but not itself
//	https://api.example.com/v1     /v1 and what is below it, but not /v10
//
// Of several prefixes that match the most specific one counts: by host (a name before
// "*." with more of it before less, before none), then by port (given before "*"), then
// by the length of the path, then by scheme. The same prefix again replaces the
// transport that it had. Paths are compared as they are escaped in the URL that is sent.
//
// A prefix is looked up for every request that goes out, so that a redirect may lead
// from one transport to another; what may cross an origin is not affected by mounts.
// Network middleware is above all of them. Closing t is the caller's business. A
// malformed prefix is ErrInvalidURL.
func WithMount(prefix string, t Transport) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if t == nil {
			return failed("WithMount needs a transport")
		}
		where, err := newPattern(prefix)
		if err != nil {
			return because(ErrInvalidURL, fmt.Errorf("WithMount: %w", err))
		}
		m := mount{where, prefix, t}
		mounts := slices.DeleteFunc(slices.Clone(c.mounts), func(old mount) bool { return old.pattern == m.pattern })
		mounts = append(mounts, m)
		slices.SortStableFunc(mounts, func(a, b mount) int { return b.compare(a.pattern) })
		c.mounts = mounts
		return nil
	})
}

// mount is a transport for some URLs.
type mount struct {
	pattern
	text string // as it was given
	to   Transport
}

// pattern is what a prefix says.
type pattern struct {
	scheme string // "": any
	host   string // "": any; with a dot before it: those below
	port   string // "": that of the scheme; "*": any
	path   string // escaped, "/" or more; "": any
}

// anyPort is the port of a pattern that stands for all of them.
const anyPort = "*"

// newPattern reads a prefix.
func newPattern(prefix string) (pattern, error) {
	scheme, rest, found := strings.Cut(prefix, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" && scheme != "all" {
		return pattern{}, errors.New("a prefix begins with http://, https:// or all://")
	}
	var p pattern
	if scheme != "all" {
		p.scheme = scheme
	}
	if rest == "" {
		p.port = anyPort
		return p, nil
	}
	host, path, hasPath := strings.Cut(rest, "/")
	host, all := strings.CutSuffix(host, ":"+anyPort)
	host, below := strings.CutPrefix(host, "*.")
	u, err := urls.Parse(cmp.Or(p.scheme, "http") + "://" + host + "/" + path)
	switch {
	case err != nil:
		return pattern{}, err
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return pattern{}, errors.New("a prefix has no user information, query or fragment")
	}
	p.host, p.port = u.Hostname(), u.Port()
	if below {
		p.host = "." + p.host
	}
	if all {
		p.port = anyPort
	}
	if hasPath && path != "" {
		p.path = upperEscapes(u.EscapedPath())
	}
	return p, nil
}

// compare is above 0 if p is more specific than q.
func (p pattern) compare(q pattern) int {
	exact := func(x pattern) int {
		switch {
		case x.host == "":
			return 0
		case x.host[0] == '.':
			return 1
		}
		return 2
	}
	said := func(ok bool) int {
		if ok {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(exact(p), exact(q)),
		cmp.Compare(len(p.host), len(q.host)),
		cmp.Compare(said(p.port != anyPort), said(q.port != anyPort)),
		cmp.Compare(len(p.path), len(q.path)),
		cmp.Compare(said(p.scheme != ""), said(q.scheme != "")),
	)
}

// matches reports whether a canonical URL is under the prefix.
func (p pattern) matches(u *url.URL) bool {
	if p.scheme != "" && p.scheme != u.Scheme {
		return false
	}
	host := u.Hostname()
	switch {
	case p.host == "":
	case p.host[0] == '.':
		if len(host) <= len(p.host) || !strings.HasSuffix(host, p.host) {
			return false
		}
	case p.host != host:
		return false
	}
	if p.host != "" && p.port != anyPort && p.port != u.Port() {
		return false
	}
	if p.path == "" {
		return true
	}
	rest, ok := strings.CutPrefix(upperEscapes(u.EscapedPath()), p.path)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(p.path, "/"))
}

// upperEscapes gives a path with the digits of its escapes in upper case, which mean the
// same (RFC 3986, section 2.1).
func upperEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	b := []byte(path)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToUpper(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// mountLayer sends through the transport that is mounted for a URL.
type mountLayer struct {
	mounts []mount // the most specific first
	next   Transport
}

func (l mountLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	if m := mountFor(l.mounts, req.URL); m != nil {
		return m.to.Send(ctx, req)
	}
	return l.next.Send(ctx, req)
}

// mountFor gives the mount for a URL, nil if there is none.
func mountFor(mounts []mount, u *url.URL) *mount {
	if u == nil {
		return nil
	}
	for i := range mounts {
		if mounts[i].matches(u) {
			return &mounts[i]
		}
	}
	return nil
}
