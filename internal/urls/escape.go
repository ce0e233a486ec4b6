package urls

import (
	"net/url"
	"strings"
)

// class says in which parts of a URL a byte may stand as it is.
type class uint8

const (
	inPath     class = 1 << iota // RFC 3986, section 3.3: pchar without escapes, and '/'
	inQuery                      // section 3.4 and 3.5: pchar, '/' and '?'
	inName                       // lower-case host names: letters, digits, '-', '.', '_'
	inUser                       // section 3.2.1: unreserved, sub-delims, ':'
	unreserved                   // section 2.3
	inRawPath                    // legal in a path, though net/url would escape it
)

// classes maps each byte to its classes.
var classes = func() (t [256]class) {
	set := func(bytes string, c class) {
		for i := range len(bytes) {
			t[bytes[i]] |= c
		}
	}
	const (
		lower     = "abcdefghijklmnopqrstuvwxyz"
		digits    = "0123456789"
		subDelims = "!$&'()*+,;="
	)
	alphanumeric := lower + strings.ToUpper(lower) + digits
	set(alphanumeric+"-._~", inPath|inQuery|inUser|unreserved)
	set(subDelims+":", inPath|inQuery|inUser)
	set("@/", inPath|inQuery)
	set("?", inQuery)
	set(lower+digits+"-._", inName)
	set("!'()*", inRawPath)
	return t
}()

const upperHex = "0123456789ABCDEF"

// unhex returns the value of a hexadecimal digit, or a negative number.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// isEscape reports whether s has a percent escape at i.
func isEscape(s string, i int) bool {
	return s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0
}

// appendEscaped appends c as a percent escape.
func appendEscaped(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// encode percent-encodes what is not legal in s. Valid escapes stay as they
// are, a percent sign that begins none becomes %25.
func encode(s string, legal class) string {
	extra := 0
	for i := range len(s) {
		if classes[s[i]]&legal == 0 && !isEscape(s, i) {
			extra += 2
		}
	}
	if extra == 0 {
		return s
	}
	out := make([]byte, 0, len(s)+extra)
	for i := range len(s) {
		if classes[s[i]]&legal == 0 && !isEscape(s, i) {
			out = appendEscaped(out, s[i])
		} else {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// decode resolves the valid percent escapes of s and leaves all else.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if isEscape(s, i) {
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		} else {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// setPath stores an escaped path as net/url would: RawPath is only set where
// the default escaping of Path differs.
func setPath(u *url.URL, escaped string) {
	var seen class
	percent := false
	for i := range len(escaped) {
		seen |= classes[escaped[i]]
		percent = percent || escaped[i] == '%'
	}
	u.Path, u.RawPath = escaped, ""
	switch {
	case percent:
		u.Path = decode(escaped)
		if u.EscapedPath() != escaped {
			u.RawPath = escaped
		}
	case seen&inRawPath != 0:
		u.RawPath = escaped
	}
}

// setFragment stores an escaped fragment as net/url would.
func setFragment(u *url.URL, escaped string) {
	u.Fragment, u.RawFragment = decode(escaped), ""
	if u.EscapedFragment() != escaped {
		u.RawFragment = escaped
	}
}

// setQuery stores a query as written, with illegal bytes encoded. present tells
// an empty query from none.
func setQuery(u *url.URL, query string, present bool) {
	u.RawQuery = encode(query, inQuery)
	u.ForceQuery = present && query == ""
}
