package cookies

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Received is what a server, or a program in its place, says of a cookie. Its text
// may be part of a larger one.
type Received struct {
	Name, Value   string
	Domain, Path  string // "" counts as not given
	Secure        bool
	HttpOnly      bool
	SameSite      http.SameSite
	MaxAge        int64 // seconds; 0 and less: it ends at once
	HasMaxAge     bool
	Expires       time.Time
	HasExpires    bool
	International bool // a Domain beyond ASCII is converted; a server's makes the cookie invalid
}

// Parse reads the value of a Set-Cookie header (section 5.6). Bytes of name and value
// are taken as they are: nothing is decoded, and quotes are part of the value. Of
// several attributes of one name the last counts; unknown ones and unusable values
// count as not there.
func Parse(line string) (Received, error) {
	if hasControl(line) {
		return Received{}, errControl
	}
	pair, attributes, _ := strings.Cut(line, ";")
	var r Received
	name, value, named := strings.Cut(pair, "=")
	if !named {
		name, value = "", pair
	}
	r.Name, r.Value = trim(name), trim(value)
	for attributes != "" {
		var attribute string
		attribute, attributes, _ = strings.Cut(attributes, ";")
		name, value, _ := strings.Cut(attribute, "=")
		if value = trim(value); len(value) <= maxAttributeBytes {
			r.attribute(trim(name), value)
		}
	}
	return r, nil
}

func (r *Received) attribute(name, value string) {
	switch {
	case strings.EqualFold(name, "Expires"):
		if t, ok := ParseDate(value); ok {
			r.Expires, r.HasExpires = t, true
		}
	case strings.EqualFold(name, "Max-Age"):
		if n, ok := parseMaxAge(value); ok {
			r.MaxAge, r.HasMaxAge = n, true
		}
	case strings.EqualFold(name, "Domain"):
		r.Domain = value
	case strings.EqualFold(name, "Path"):
		if value == "" || value[0] != '/' {
			value = ""
		}
		r.Path = value
	case strings.EqualFold(name, "Secure"):
		r.Secure = true
	case strings.EqualFold(name, "HttpOnly"):
		r.HttpOnly = true
	case strings.EqualFold(name, "SameSite"):
		r.SameSite = parseSameSite(value)
	}
}

// parseMaxAge reads seconds, never more than a cookie may live, and 0 for all that
// ends at once.
func parseMaxAge(value string) (seconds int64, ok bool) {
	digits, negative := strings.CutPrefix(value, "-")
	if digits == "" || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	if negative {
		return 0, true
	}
	const most = int64(maxLifetime / time.Second)
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil { // all are digits: there are too many
		return most, true
	}
	return min(n, most), true
}

// parseSameSite gives 0 for what the RFC does not know.
func parseSameSite(value string) http.SameSite {
	switch {
	case strings.EqualFold(value, "None"):
		return http.SameSiteNoneMode
	case strings.EqualFold(value, "Strict"):
		return http.SameSiteStrictMode
	case strings.EqualFold(value, "Lax"):
		return http.SameSiteLaxMode
	}
	return 0
}

// FromHTTP takes a cookie of net/http as a server would have sent it.
func FromHTTP(c *http.Cookie) Received {
	r := Received{
		Name: trim(c.Name), Value: trim(c.Value), Domain: trim(c.Domain), Path: trim(c.Path),
		Secure: c.Secure, HttpOnly: c.HttpOnly, Expires: c.Expires, HasExpires: !c.Expires.IsZero(),
		MaxAge: int64(c.MaxAge), HasMaxAge: c.MaxAge != 0, International: true,
	}
	if c.Quoted {
		r.Value = `"` + c.Value + `"`
	}
	if r.Path == "" || r.Path[0] != '/' {
		r.Path = ""
	}
	if c.SameSite != http.SameSiteDefaultMode {
		r.SameSite = c.SameSite
	}
	if !r.HasExpires && c.RawExpires != "" && len(c.RawExpires) <= maxAttributeBytes {
		r.Expires, r.HasExpires = ParseDate(c.RawExpires)
	}
	return r
}
