// Package cookies keeps cookies by RFC 6265bis (draft-ietf-httpbis-rfc6265bis),
// whose sections its comments cite: what a Set-Cookie line says, whether it is
// taken, which cookies a request bears, and the files that hold them between runs.
//
// It knows nothing of sessions and requests, and asks no clock: the time comes in
// as a parameter.
package cookies

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Cookie is a stored cookie.
type Cookie struct {
	Name     string
	Value    string
	Domain   string // canonical host, without a dot in front
	HostOnly bool   // for Domain itself, not for names below it
	Path     string
	Secure   bool
	HttpOnly bool
	SameSite http.SameSite // 0: not said
	Expires  time.Time     // zero: the cookie ends with the session
	Created  time.Time
	Accessed time.Time
}

// same reports whether two cookies are one and the same to a jar (section 5.7).
func (c *Cookie) same(d *Cookie) bool {
	return c.Name == d.Name && c.Domain == d.Domain && c.HostOnly == d.HostOnly && c.Path == d.Path
}

// before reports whether c is sent before d: longer paths first, then older
// cookies (section 5.8.3).
func (c *Cookie) before(d *Cookie) bool {
	if len(c.Path) != len(d.Path) {
		return len(c.Path) > len(d.Path)
	}
	return c.Created.Before(d.Created)
}

// Pair is what is sent of a cookie.
type Pair struct{ Name, Value string }

// Size is what a pair takes in a Cookie header, with what separates it from others.
func (p Pair) Size() int { return len(p.Name) + len("=") + len(p.Value) + len("; ") }

// Append writes the pair as it stands in a Cookie header. A cookie without a name
// is its value alone (section 5.8.3).
func (p Pair) Append(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteString("; ")
	}
	if p.Name != "" {
		b.WriteString(p.Name)
		b.WriteByte('=')
	}
	b.WriteString(p.Value)
}

// Limits bound a store. Negative: none.
type Limits struct {
	CookieBytes int // of name and value; never more than 1 MiB
	PerDomain   int // cookies of a registrable domain
	Total       int // cookies
	HeaderBytes int // of the value of a Cookie header
}

// cookieBytes is how long name and value may be.
func (l *Limits) cookieBytes() int {
	if l.CookieBytes < 0 {
		return mostCookieBytes
	}
	return min(l.CookieBytes, mostCookieBytes)
}

const (
	// maxAttributeBytes bounds the value of an attribute; a longer one counts as not
	// given (section 5.6).
	maxAttributeBytes = 1024
	// mostCookieBytes bounds name and value where the limits do not: a whole response
	// head is no longer.
	mostCookieBytes = 1 << 20
	// maxLifetime is the longest that a cookie may live (section 5.5).
	maxLifetime = 400 * 24 * time.Hour
	// clockSlack is how far in the future a file may say that a cookie was created.
	clockSlack = time.Hour
)

// Why a cookie is not taken.
var (
	errControl     = errors.New("it holds a control byte")
	errTab         = errors.New("it holds a tab, which a cookie file cannot hold")
	errSeparator   = errors.New("its name, value or path holds a semicolon, or its name an equals sign")
	errSpaceAround = errors.New("there is space around its name, value or path")
	errEmpty       = errors.New("it has neither a name nor a value")
	errTooLong     = errors.New("name and value are longer than the limit")
	errLongPath    = errors.New("its path is longer than 1024 bytes")
	errBadDomain   = errors.New("its domain is no host name")
	errForeign     = errors.New("its domain is not the host's own or one above it")
	errPublic      = errors.New("its domain is a public suffix, which everybody shares")
	errInsecure    = errors.New("it is marked Secure but did not come over https")
	errOverSecure  = errors.New("a Secure cookie of the name is there, which only https may replace")
	errSameSite    = errors.New("SameSite=None needs Secure")
	errSecureName  = errors.New("a name with __Secure- needs Secure")
	errHostName    = errors.New("a name with __Host- needs Secure and Path=/, and no Domain")
	errHiddenName  = errors.New("it has no name, and a value that would be read as having one")
	errBadPath     = errors.New("its path does not begin with a slash")
)

// checkText looks at the bytes of a cookie, from wherever it came. Control bytes are
// refused by section 5.7. A tab inside is refused too, as by curl: a file of the
// Netscape format could not hold it, and what is kept must survive being saved.
func (c *Cookie) checkText() error {
	for _, s := range [...]string{c.Name, c.Value, c.Path} {
		switch {
		case hasControl(s):
			return errControl
		case strings.IndexByte(s, '\t') >= 0:
			return errTab
		case strings.IndexByte(s, ';') >= 0:
			return errSeparator
		case trim(s) != s:
			return errSpaceAround
		}
	}
	switch {
	case strings.IndexByte(c.Name, '=') >= 0:
		return errSeparator
	case c.Name == "" && strings.IndexByte(c.Value, '=') >= 0:
		return errHiddenName
	case c.Name == "" && c.Value == "":
		return errEmpty
	case len(c.Path) > maxAttributeBytes:
		return errLongPath
	}
	return nil
}

// hasControl reports whether s holds a control byte other than a tab.
func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// trim takes off the space that section 5.6 takes off: spaces and tabs.
func trim(s string) string { return strings.Trim(s, " \t") }

// hasPrefixFold is strings.HasPrefix for a prefix in lower case, whatever the case of s.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
