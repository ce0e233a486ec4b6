package h1

import (
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Byte classes of RFC 9110 section 5.6.2 (tchar) and section 5.5
// (field-content, with tab and obs-text), and those of RFC 3986 that may
// stand in a registered name as they are.
const (
	classToken = 1 << iota
	classValue
	className
)

var classes = makeClasses()

func makeClasses() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		if httpguts.IsTokenRune(rune(c)) {
			t[i] |= classToken
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[i] |= classValue
		}
		if isAlnum(c) || strings.IndexByte("-._~!$&'()*+,;=", c) >= 0 {
			t[i] |= className
		}
	}
	return t
}

func isAlnum(c byte) bool { return isAlpha(c) || isDigit(c) }
func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// ValidMethod reports whether s can be a request method: a token of RFC 9110
// section 9.1.
func ValidMethod(s string) bool {
	return s != "" && tokenLen(s) == len(s)
}

// ValidHost reports whether s can stand in a Host line: a registered name, an
// IPv4 address or an IPv6 address in brackets, with an optional port (RFC 9110
// section 7.2, RFC 3986 section 3.2.2). Neither an empty name nor a zone is
// taken: a zone means nothing to the peer (RFC 6874 section 4).
func ValidHost(s string) bool {
	n := hostLen(s)
	return n > 0 && validPort(s[n:])
}

// hostLen returns the length of the host at the beginning of s, 0 if there is
// none.
func hostLen(s string) int {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return 0
		}
		if addr, err := netip.ParseAddr(s[1:end]); err != nil || !addr.Is6() || addr.Zone() != "" {
			return 0
		}
		return end + 1
	}
	i := 0
	for i < len(s) {
		switch c := s[i]; {
		case classes[c]&className != 0:
			i++
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			i += 3
		default:
			return i
		}
	}
	return i
}

// validPort accepts nothing, or a colon and a port that fits 16 bits; the
// port may be empty (RFC 3986 section 3.2.3).
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > 6 {
		return false
	}
	port := 0
	for _, c := range []byte(s[1:]) {
		if !isDigit(c) {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port <= 0xffff
}

// CheckField reports, as a *FieldError, what keeps a header line from being
// written: the name must be a token (RFC 9110 section 5.1), the value must
// have no control bytes but tab (section 5.5).
func CheckField(name, value string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return checkValue(name, value)
}

func checkName(name string) error {
	if name == "" {
		return &FieldError{Pos: -1, What: "empty header name"}
	}
	if n := tokenLen(name); n < len(name) {
		return &FieldError{Name: name, Pos: n, What: "name is not a token"}
	}
	return nil
}

func checkValue(name, value string) error {
	if n := valueLen(value); n < len(value) {
		return &FieldError{Name: name, Pos: n, What: "control byte in the value"}
	}
	return nil
}

// checkTokens checks a comma-separated list of tokens, such as the value of
// Connection (RFC 9110 section 7.6.1).
func checkTokens(name, value string) error {
	for member := range strings.SplitSeq(value, ",") {
		if t := trimOWS(member); t == "" || tokenLen(t) < len(t) {
			return &FieldError{Name: name, Pos: -1, What: "value is not a list of tokens"}
		}
	}
	return nil
}

// tokenLen returns the length of the token at the beginning of s.
func tokenLen(s string) int {
	for i := range len(s) {
		if classes[s[i]]&classToken == 0 {
			return i
		}
	}
	return len(s)
}

// valueLen returns the number of bytes at the beginning of s that may stand in
// a header value or reason phrase.
func valueLen(s string) int {
	for i := range len(s) {
		if classes[s[i]]&classValue == 0 {
			return i
		}
	}
	return len(s)
}

// trimOWS removes the white space around a value that is not part of it (RFC
// 9110 section 5.5).
func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// equalFold compares ASCII case-insensitively. strings.EqualFold would also
// fold letters outside ASCII onto ASCII ones.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// hasToken reports whether one of the comma-separated lists in values has the
// member token, which is given in lower case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			if equalFold(trimOWS(member), token) {
				return true
			}
		}
	}
	return false
}
