package cookies

import (
	"net/http"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/urls"
)

// cookie decides whether what t's server says of a cookie is taken (section 5.7), and
// gives the cookie. gone means that it only ends one that is there. Whether a Secure
// cookie stands in its way is left to the store.
func (r *Received) cookie(t *Target, limits *Limits, now time.Time) (c Cookie, gone bool, err error) {
	c = Cookie{
		Name: r.Name, Value: r.Value, Path: r.Path,
		Secure: r.Secure, HttpOnly: r.HttpOnly, SameSite: r.SameSite, Accessed: now,
	}
	if c.Path == "" {
		c.Path = t.defaultPath()
	}
	if err := c.checkText(); err != nil {
		return Cookie{}, false, err
	}
	if len(c.Name)+len(c.Value) > limits.cookieBytes() {
		return Cookie{}, false, errTooLong
	}
	if c.Domain, c.HostOnly, err = r.scope(t); err != nil {
		return Cookie{}, false, err
	}
	if err := c.checkFlags(t, r.Path != ""); err != nil {
		return Cookie{}, false, err
	}
	c.Expires = r.ends(now)
	return c, !c.Expires.IsZero() && !c.Expires.After(now), nil
}

// ends gives when the cookie ends: Max-Age wins over Expires.
func (r *Received) ends(now time.Time) time.Time {
	latest := now.Add(maxLifetime)
	switch {
	case r.HasMaxAge && r.MaxAge <= 0:
		return now
	case r.HasMaxAge && r.MaxAge < int64(maxLifetime/time.Second):
		return now.Add(time.Duration(r.MaxAge) * time.Second)
	case r.HasMaxAge, r.HasExpires && r.Expires.After(latest):
		return latest
	case r.HasExpires:
		return wall(r.Expires)
	}
	return time.Time{}
}

// scope gives the hosts that the cookie is for.
//
// A Domain must not be above the registrable domain of the host. That is a little
// more than the RFC asks, which lets a name between two public suffixes pass.
func (r *Received) scope(t *Target) (domain string, hostOnly bool, err error) {
	given := strings.TrimPrefix(r.Domain, ".")
	if strings.Trim(given, ".") == "" {
		return t.host, true, nil
	}
	if !r.International && strings.ContainsFunc(given, func(r rune) bool { return r >= 0x80 }) {
		return "", false, errBadDomain
	}
	domain, err = urls.CanonicalHost(given)
	switch {
	case err != nil:
		return "", false, errBadDomain
	case t.alone && domain == t.host:
		return t.host, true, nil
	case t.alone, !domainMatch(t.host, domain):
		return "", false, errForeign
	case len(domain) < len(t.site):
		return "", false, errPublic
	}
	return domain, false, nil
}

// checkFlags looks at Secure and at what names promise. Names are compared as they
// were sent, whatever their case (section 5.7).
func (c *Cookie) checkFlags(t *Target, pathGiven bool) error {
	switch {
	case c.Secure && !t.secure:
		return errInsecure
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		return errSameSite
	case hasPrefixFold(c.Name, "__secure-") && !c.Secure:
		return errSecureName
	case hasPrefixFold(c.Name, "__host-") && !(c.Secure && c.HostOnly && pathGiven && c.Path == "/"):
		return errHostName
	case c.Name == "" && (hasPrefixFold(c.Value, "__secure-") || hasPrefixFold(c.Value, "__host-")):
		return errHiddenName
	}
	return nil
}

// checkRecord decides whether a cookie from a file is taken: if a server over https
// could have set it just so.
func (c *Cookie) checkRecord(limits *Limits, now time.Time) error {
	host, err := urls.CanonicalHost(strings.TrimPrefix(c.Domain, "."))
	if err != nil {
		return errBadDomain
	}
	if c.Path == "" || c.Path[0] != '/' {
		return errBadPath
	}
	t := targetOfHost(host)
	t.secure = true
	r := Received{Name: c.Name, Value: c.Value, Path: c.Path, Secure: c.Secure, HttpOnly: c.HttpOnly, SameSite: c.SameSite}
	if !c.HostOnly {
		if t.alone {
			return errPublic
		}
		r.Domain = host
	}
	taken, _, err := r.cookie(&t, limits, now)
	if err != nil {
		return err
	}
	c.Domain = taken.Domain
	if latest := now.Add(maxLifetime); c.Expires.After(latest) {
		c.Expires = latest
	}
	if c.Created.After(now.Add(clockSlack)) {
		c.Created = now
	}
	if c.Accessed.IsZero() || c.Accessed.After(now) {
		c.Accessed = now
	}
	return nil
}
