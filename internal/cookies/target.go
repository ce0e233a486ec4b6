package cookies

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Target is what a URL means to cookies.
type Target struct {
	host   string // canonical
	site   string // the registrable domain of host, or host where it has none
	path   string // as it is sent
	secure bool
	alone  bool // an address, or a public suffix itself: no name above or below shares cookies with it
}

// TargetOf gives the target of a URL. ok is false where there are no cookies: for
// other schemes than those of the web, and where the host is none.
func TargetOf(u *url.URL) (t Target, ok bool) {
	if u == nil {
		return Target{}, false
	}
	encrypted := false
	switch u.Scheme {
	case "https", "wss":
		encrypted = true
	case "http", "ws":
	default:
		return Target{}, false
	}
	host, err := urls.CanonicalHost(u.Hostname())
	if err != nil {
		return Target{}, false
	}
	t = targetOfHost(host)
	t.secure = t.secure || encrypted
	if t.path = u.EscapedPath(); t.path == "" || t.path[0] != '/' {
		t.path = "/"
	}
	return t, true
}

// targetOfHost gives the target of a canonical host. It is secure without TLS if what
// is sent to it does not leave the machine (Secure Contexts, section 3.1).
func targetOfHost(host string) Target {
	t := Target{host: host, site: host, path: "/", alone: true}
	if mayBeAddress(host) {
		if addr, err := netip.ParseAddr(host); err == nil {
			t.secure = addr.Unmap().IsLoopback()
			return t
		}
	}
	t.secure = host == "localhost" || strings.HasSuffix(host, ".localhost")
	if site := registrable(host); site != "" {
		t.site, t.alone = site, false
	}
	return t
}

// mayBeAddress spares the parsing, and the error that it makes, for nearly all names.
func mayBeAddress(host string) bool {
	return isDigit(host[len(host)-1]) || strings.IndexByte(host, ':') >= 0
}

// registrable gives the part of a canonical name below which one owner's names lie:
// a public suffix and one label more; "" if the name is a public suffix itself.
func registrable(name string) string {
	suffix, _ := publicsuffix.PublicSuffix(name)
	above := len(name) - len(suffix) - len(".")
	if above <= 0 {
		return ""
	}
	return name[strings.LastIndexByte(name[:above], '.')+1:]
}

// domainMatch reports whether host is domain or lies below it (section 5.1.3). An
// address is nobody's domain, so that it never comes here but as itself.
func domainMatch(host, domain string) bool {
	above := len(host) - len(domain)
	return above == 0 && host == domain || above > 0 && host[above-1] == '.' && host[above:] == domain
}

// pathMatch is section 5.1.4.
func pathMatch(path, cookie string) bool {
	switch {
	case !strings.HasPrefix(path, cookie):
		return false
	case len(path) == len(cookie), cookie[len(cookie)-1] == '/':
		return true
	}
	return path[len(cookie)] == '/'
}

// defaultPath is the path of a cookie that says none (section 5.1.4).
func (t *Target) defaultPath() string {
	return t.path[:max(1, strings.LastIndexByte(t.path, '/'))]
}
