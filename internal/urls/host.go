package urls

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	punycodePrefix = "xn--"
	maxLabelBytes  = 63  // RFC 1035, section 2.3.4
	maxNameBytes   = 253 // RFC 1035, section 2.3.4, without the length bytes of the wire form
	// maxWrittenName bounds a name before it is converted: punycode spends
	// at least a byte on a character, UTF-8 at most four.
	maxWrittenName = 4 * maxNameBytes
)

// lookup converts names by the rules of IDNA 2008 for looking them up (RFC
// 5891, section 5). What may be in the ASCII form is checked afterwards.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.Transitional(false), idna.StrictDomainName(false))

// CanonicalHost returns the one form of a host by which it is compared, dialled
// and named: a name in ASCII and lower case without its trailing dot, an IPv4
// address as dotted quad, an IPv6 address as RFC 5952 writes it, without
// brackets.
//
// International names are converted by IDNA 2008 and checked again as ASCII
// names. Refused are labels that pretend to be punycode, numbers that are no
// dotted quad ("127.1", "0x7f.1"), percent-encoding, labels over 63 and names
// over 253 bytes. An IPv6 address may come with or without brackets and with a
// zone, which follows "%25" inside brackets (RFC 6874), "%" outside and in the
// result.
func CanonicalHost(host string) (string, error) {
	inner, bracket := strings.CutPrefix(host, "[")
	if bracket {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed {
			return "", invalidPart("missing ']' after an IPv6 address", host, host)
		}
		return canonicalIPv6(inner, "%25", host)
	}
	if strings.IndexByte(host, ':') >= 0 {
		return canonicalIPv6(host, "%", host)
	}
	return canonicalName(host, host)
}

// canonicalIPv6 returns the canonical form of an IPv6 address whose zone, if
// any, follows the given mark.
func canonicalIPv6(text, zoneMark, input string) (string, error) {
	const reason = "brackets hold something other than an IPv6 address, with its zone after %25"
	if len(text) > maxNameBytes {
		return "", invalidPart(reason, text, input)
	}
	address, zone, hasZone := strings.Cut(text, zoneMark)
	addr, err := netip.ParseAddr(address)
	if err != nil || !addr.Is6() || addr.Zone() != "" || hasZone && !validZone(zone) {
		return "", invalidPart(reason, text, input)
	}
	return addr.WithZone(zone).String(), nil
}

// validZone reports whether a zone needs no encoding, as those of all systems
// but Windows' long names.
func validZone(zone string) bool {
	for i := range len(zone) {
		if classes[zone[i]]&unreserved == 0 {
			return false
		}
	}
	return zone != ""
}

// canonicalName returns the canonical form of a name or an IPv4 address.
func canonicalName(name, input string) (string, error) {
	if len(name) > maxWrittenName || !utf8.ValidString(name) {
		return "", invalidPart("host is too long or not UTF-8", name, input)
	}
	ascii := true
	for i := range len(name) {
		switch c := name[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '%':
			return "", invalidPart("percent-encoding in the host: write the name itself", name, input)
		case classes[c|0x20]&inName == 0 && classes[c]&inName == 0:
			return "", invalidPart("host holds a byte that no name has", name, input)
		}
	}
	canonical := strings.ToLower(name)
	if !ascii {
		converted, err := lookup.ToASCII(name)
		if err != nil {
			return "", invalidPart("host is no valid international name", name, input)
		}
		canonical = converted
	}
	canonical = strings.TrimSuffix(canonical, ".")
	if reason := checkName(canonical); reason != "" {
		return "", invalidPart(reason, name, input)
	}
	if !validPunycode(canonical) {
		return "", invalidPart("host is no valid international name", name, input)
	}
	return canonical, nil
}

// checkName says what is wrong with a name that should be canonical ASCII, or
// returns "". Labels may begin with any of letters, digits, hyphen and
// underscore, since such names are in use.
func checkName(name string) (reason string) {
	if name == "" {
		return "host is empty"
	}
	if len(name) > maxNameBytes {
		return "host is longer than 253 bytes"
	}
	label := 0 // where the current one begins
	for i := range len(name) {
		if classes[name[i]]&inName == 0 {
			return "host holds a byte that no name has"
		}
		if i-label >= maxLabelBytes && name[i] != '.' {
			return "host has a label longer than 63 bytes"
		}
		if name[i] == '.' {
			if i == label {
				return "host has an empty label"
			}
			label = i + 1
		}
	}
	if label == len(name) {
		return "host has an empty label"
	}
	if isNumber(name[label:]) {
		if addr, err := netip.ParseAddr(name); err != nil || !addr.Is4() {
			return "host is a number but no IPv4 address: write it as a dotted quad"
		}
	}
	return ""
}

// isNumber reports whether the last label of a name would make some resolver
// read the name as an IPv4 address.
func isNumber(label string) bool {
	if c := label[0]; c < '0' || c > '9' {
		return false
	}
	hexadecimal := strings.HasPrefix(label, "0x")
	if hexadecimal {
		label = label[2:]
	}
	for i := range len(label) {
		if v := unhex(label[i]); v < 0 || v > 9 && !hexadecimal {
			return false
		}
	}
	return true
}

// validPunycode reports whether every label of a canonical name that is marked
// as punycode decodes to an international label. ToUnicode refuses labels that
// another form stands for, such as those with capitals.
func validPunycode(name string) bool {
	if !strings.Contains(name, punycodePrefix) {
		return true
	}
	for label := range strings.SplitSeq(name, ".") {
		if !strings.HasPrefix(label, punycodePrefix) {
			continue
		}
		decoded, err := lookup.ToUnicode(label)
		if err != nil || !isInternational(decoded) {
			return false
		}
	}
	return true
}

// isInternational reports whether a label has a character beyond ASCII and none
// that RFC 5892 disallows. The lookup profile follows the mapping of UTS 46,
// which lets symbols such as emoji pass.
func isInternational(label string) bool {
	beyond := false
	for _, r := range label {
		if r < utf8.RuneSelf {
			continue
		}
		beyond = true
		if !validRune(r) {
			return false
		}
	}
	return beyond
}

// validRune reports whether RFC 5892 allows a character beyond ASCII in a label:
// letters, marks and digits, with the exceptions of its section 2.6 and the
// joiners, whose contexts the lookup profile checks.
func validRune(r rune) bool {
	switch r {
	case 0x00b7, 0x0375, 0x05f3, 0x05f4, 0x06fd, 0x06fe, 0x0f0b, 0x200c, 0x200d, 0x3007, 0x30fb:
		return true
	case 0x0640, 0x07fa, 0x302e, 0x302f, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035, 0x303b:
		return false
	}
	return unicode.In(r, unicode.L, unicode.Mn, unicode.Mc, unicode.Nd)
}

// parseAuthority parses [userinfo@]host[:port] (RFC 3986, section 3.2) into
// u.User and u.Host; u.Scheme is set. input is the whole text, for errors.
func parseAuthority(u *url.URL, authority, input string) error {
	if strings.ContainsAny(authority, "\\ ") {
		return invalid("backslash or space in the host: a host ends at the first slash")
	}
	info, host, hasInfo := strings.Cut(authority, "@")
	if !hasInfo {
		info, host = "", authority
	}
	if strings.IndexByte(host, '@') >= 0 {
		return invalid("more than one '@' before the path: percent-encode those of user name and password as %40")
	}
	if info != "" {
		user, err := parseUser(info)
		if err != nil {
			return err
		}
		u.User = user
	}
	name, port := host, ""
	if end := strings.LastIndexByte(host, ':'); end > strings.LastIndexByte(host, ']') {
		name, port = host[:end], host[end+1:]
	}
	switch {
	case name == "":
		return invalid("no host: write one after " + u.Scheme + "://")
	case name[0] != '[' && strings.IndexByte(name, ':') >= 0:
		return invalid("more than one colon in the host: an IPv6 address needs brackets")
	}
	canonical, err := canonicalIn(name, input)
	if err != nil {
		return err
	}
	port, ok := canonicalPort(port, defaultPort(u.Scheme))
	if !ok {
		// Not quoted: it may be a password that should have been encoded.
		return invalid("port is not a number from 0 to 65535")
	}
	if port != "" {
		canonical += ":" + port
	}
	u.Host = canonical
	return nil
}

// canonicalIn returns the canonical form of a host inside a URL, with brackets.
func canonicalIn(name, input string) (string, error) {
	if name[0] != '[' {
		return canonicalName(name, input)
	}
	if name[len(name)-1] != ']' {
		return "", invalidPart("missing ']' after an IPv6 address", name, input)
	}
	canonical, err := canonicalIPv6(name[1:len(name)-1], "%25", input)
	if err != nil {
		return "", err
	}
	return "[" + canonical + "]", nil
}

// parseUser parses user information and decodes it.
func parseUser(info string) (*url.Userinfo, error) {
	for i := range len(info) {
		if classes[info[i]]&inUser == 0 && !isEscape(info, i) {
			return nil, invalid("user name or password holds a byte that must be percent-encoded")
		}
	}
	name, password, hasPassword := strings.Cut(info, ":")
	if hasPassword {
		return url.UserPassword(decode(name), decode(password)), nil
	}
	return url.User(decode(name)), nil
}

// canonicalPort returns a port without leading zeros, and "" for the default
// one. ok is false where it is no number from 0 to 65535.
func canonicalPort(port, defaultPort string) (canonical string, ok bool) {
	if port == "" {
		return "", true
	}
	for len(port) > 1 && port[0] == '0' {
		port = port[1:]
	}
	// ParseUint would also report a sign as an error, but it allocates one.
	if len(port) > 5 || port[0] < '0' || port[0] > '9' {
		return "", false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false
	}
	if port == defaultPort {
		return "", true
	}
	return port, true
}

// defaultPort returns the port of a scheme.
func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
