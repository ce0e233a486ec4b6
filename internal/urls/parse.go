package urls

import (
	"net/url"
	"strings"
)

// Parse parses an absolute URL as described for [ParseInto].
func Parse(raw string) (*url.URL, error) {
	u := new(url.URL)
	if err := ParseInto(u, raw); err != nil {
		return nil, err
	}
	return u, nil
}

// ParseInto parses an absolute http, https or [UnixScheme] URL into dst, replacing all of it.
// A plain URL costs no allocation: the fields are parts of raw.
//
// Spaces, non-ASCII text and other bytes that RFC 3986 does not allow in a
// path, a query or a fragment are percent-encoded, and a percent sign that
// begins no escape becomes %25. Dot segments, also those written with %2e, are
// resolved (section 5.2.4). Control bytes anywhere, spaces at the ends, a
// backslash, a space or a second '@' in the authority, and a URL longer than
// [MaxBytes] are errors. User information is decoded into dst.User.
//
// Any other scheme gives a [*SchemeError], everything else an
// [*Error]; dst is then unchanged.
func ParseInto(dst *url.URL, raw string) error {
	// The plain form may add one byte, the path of a URL without any.
	if len(raw) < MaxBytes && parsePlain(dst, raw) {
		return nil
	}
	return parseFull(dst, raw)
}

// parsePlain parses the common form, http(s)://host[:port][/path][?query] with
// nothing to encode or to make canonical. It reports false, with dst unchanged,
// for everything else.
func parsePlain(dst *url.URL, raw string) bool {
	var scheme, defaultPort string
	var i int
	switch {
	case strings.HasPrefix(raw, "http://"):
		scheme, defaultPort, i = "http", "80", len("http://")
	case strings.HasPrefix(raw, "https://"):
		scheme, defaultPort, i = "https", "443", len("https://")
	default:
		return false
	}
	start := i
	for i < len(raw) && classes[raw[i]]&inName != 0 {
		i++
	}
	name := raw[start:i]
	if checkName(name) != "" || strings.Contains(name, punycodePrefix) {
		return false
	}
	if i < len(raw) && raw[i] == ':' {
		digits := i + 1
		for i++; i < len(raw) && '0' <= raw[i] && raw[i] <= '9'; i++ {
		}
		port, ok := canonicalPort(raw[digits:i], defaultPort)
		if !ok || len(port) != i-digits || port == "" {
			return false
		}
	}
	host := raw[start:i]
	// Anything else, such as an '@', still belongs to the authority.
	if i < len(raw) && raw[i] != '/' && raw[i] != '?' {
		return false
	}

	path, rawPath, i, ok := plainPath(raw, i)
	if !ok {
		return false
	}
	query, ok := plainQuery(raw, i)
	if !ok {
		return false
	}
	if path == "" {
		path = "/"
	}
	*dst = url.URL{Scheme: scheme, Host: host, Path: path, RawPath: rawPath, RawQuery: query, ForceQuery: i < len(raw) && query == ""}
	return true
}

// Settle gives a URL that was written by hand, field by field, as [Parse] gives it: what
// may not stand in a path, a query or a fragment is percent-encoded there.
func Settle(u *url.URL) (*url.URL, error) {
	if u.Opaque != "" {
		return nil, invalid("opaque part in the URL: set Host and Path")
	}
	v := *u
	v.RawQuery, v.OmitHost = encode(v.RawQuery, inQuery), false
	return Parse(v.String())
}

// Settled reports whether u is seen at a glance to be as [Parse] would give it, without
// user information and fragment. It may say no of a URL that is.
func Settled(u *url.URL) bool {
	defaultPort := "80"
	switch u.Scheme {
	case "http":
	case "https":
		defaultPort = "443"
	default:
		return false
	}
	if u.User != nil || u.Opaque != "" || u.OmitHost || u.Fragment != "" || u.RawFragment != "" || u.RawQuery != "" && u.ForceQuery {
		return false
	}
	name, port, hasPort := strings.Cut(u.Host, ":")
	for i := range len(name) {
		if classes[name[i]]&inName == 0 {
			return false
		}
	}
	if checkName(name) != "" || strings.Contains(name, punycodePrefix) {
		return false
	}
	if canonical, ok := canonicalPort(port, defaultPort); hasPort && (!ok || canonical != port || port == "") {
		return false
	}
	path, rawPath, end, ok := plainPath(u.Path, 0)
	if !ok || end != len(u.Path) || rawPath != u.RawPath || !strings.HasPrefix(path, "/") {
		return false
	}
	for i := range len(u.RawQuery) {
		if classes[u.RawQuery[i]]&inQuery == 0 && !isEscape(u.RawQuery, i) {
			return false
		}
	}
	return len(u.Host)+len(u.Path)+len(u.RawQuery) < MaxBytes-len("https://?")
}

// plainPath reads a path that needs neither encoding nor resolving from raw at
// i up to the end or a '?', and says where it ended.
func plainPath(raw string, i int) (path, rawPath string, end int, ok bool) {
	start := i
	var seen class
	previous := byte('/')
	for ; i < len(raw); i++ {
		c := raw[i]
		if classes[c]&inPath == 0 {
			if c == '?' {
				break
			}
			return "", "", i, false
		}
		if c == '.' && previous == '/' {
			return "", "", i, false
		}
		seen |= classes[c]
		previous = c
	}
	path = raw[start:i]
	if seen&inRawPath != 0 {
		rawPath = path
	}
	return path, rawPath, i, true
}

// plainQuery reads a query that needs no encoding, with its '?' at i, up to the
// end of raw.
func plainQuery(raw string, i int) (query string, ok bool) {
	if i == len(raw) {
		return "", true
	}
	query = raw[i+1:]
	for j := range len(query) {
		if classes[query[j]]&inQuery == 0 && !isEscape(query, j) {
			return "", false
		}
	}
	return query, true
}

// parseFull parses any URL; see ParseInto.
func parseFull(dst *url.URL, raw string) error {
	if err := checkText(raw); err != nil {
		return err
	}
	name, rest, ok := splitScheme(raw)
	if !ok {
		path, _, _, _ := splitTail(raw) // a query may hold secrets
		return invalidPart("no scheme: write http:// or https:// before the host", path, raw)
	}
	scheme, err := knownScheme(name, rest)
	if err != nil {
		return err
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if !ok {
		return invalid("no host: two slashes must follow " + scheme + ":")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	u := url.URL{Scheme: scheme}
	if scheme == UnixScheme {
		err = parseSocket(&u, rest[:end])
	} else {
		err = parseAuthority(&u, rest[:end], raw)
	}
	if err != nil {
		return err
	}
	path, query, hasQuery, fragment := splitTail(rest[end:])
	path, _ = resolveDots(encode(strings.TrimPrefix(path, "/"), inPath))
	setPath(&u, "/"+path)
	setQuery(&u, query, hasQuery)
	setFragment(&u, encode(fragment, inQuery))
	if err := checkLength(&u); err != nil {
		return err
	}
	*dst = u
	return nil
}

// checkText refuses what no URL or reference may hold: control bytes, spaces at
// the ends, and more than MaxBytes.
func checkText(raw string) error {
	if len(raw) > MaxBytes {
		return errTooLong()
	}
	if raw == "" {
		return nil
	}
	for i := range len(raw) {
		if raw[i] < ' ' || raw[i] == 0x7f {
			return invalid("control byte in the URL: percent-encode it")
		}
	}
	if raw[0] == ' ' || raw[len(raw)-1] == ' ' {
		return invalid("space before or after the URL: remove it")
	}
	return nil
}

// checkLength refuses a URL that encoding or joining made longer than MaxBytes.
func checkLength(u *url.URL) error {
	// net/url escapes user information more eagerly than others write it,
	// so that only the whole text tells the length.
	n := len(u.Host) + 3*len(u.Path) + len(u.RawPath) + len(u.RawQuery) + 3*len(u.Fragment) + len(u.RawFragment)
	if u.User != nil {
		n += len(u.User.String())
	}
	if n > MaxBytes-len("https://@?#")-len("%25") && len(u.String()) > MaxBytes {
		return errTooLong()
	}
	return nil
}

func errTooLong() error { return invalid("URL longer than 64 KiB") }

// splitScheme splits s after its scheme (RFC 3986, section 3.1). ok is false
// where s has none.
func splitScheme(s string) (scheme, rest string, ok bool) {
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= s[i] && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		case i > 0 && s[i] == ':':
			return s[:i], s[i+1:], true
		default:
			return "", s, false
		}
	}
	return "", s, false
}

// knownScheme returns the lower-case form of a scheme that is supported. rest is what
// follows the colon.
func knownScheme(name, rest string) (string, error) {
	switch {
	case strings.EqualFold(name, "http"):
		return "http", nil
	case strings.EqualFold(name, "https"):
		return "https", nil
	case strings.EqualFold(name, UnixScheme):
		return UnixScheme, nil
	}
	// 'user:password@host' without a scheme looks like one.
	if strings.IndexByte(rest, '@') >= 0 && !strings.HasPrefix(rest, "//") && !strings.EqualFold(name, "mailto") {
		return "", &SchemeError{}
	}
	return "", &SchemeError{Scheme: strings.Clone(name[:min(len(name), maxQuoted)])}
}

// splitTail splits what follows the authority, or a relative reference, into
// path, query and fragment.
func splitTail(s string) (path, query string, hasQuery bool, fragment string) {
	s, fragment, _ = strings.Cut(s, "#")
	path, query, hasQuery = strings.Cut(s, "?")
	return path, query, hasQuery, fragment
}

// resolveDots removes the dot segments of an escaped path that is given without
// its leading slash (RFC 3986, section 5.2.4). above reports whether a segment
// would have climbed above the path's beginning, where it stays instead.
func resolveDots(path string) (resolved string, above bool) {
	if !hasDots(path) {
		return path, false
	}
	out := make([]byte, 0, len(path))
	for more := true; more; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		switch dots(segment) {
		case 1:
		case 2:
			if len(out) == 0 {
				above = true
				continue
			}
			out = out[:len(out)-1]
			out = out[:lastSlash(out)+1]
		default:
			out = append(out, segment...)
			if more {
				out = append(out, '/')
			}
		}
	}
	return string(out), above
}

// hasDots reports whether a path has a dot segment.
func hasDots(path string) bool {
	for more := true; more; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		if dots(segment) > 0 {
			return true
		}
	}
	return false
}

// dots returns 1 for the segment ".", 2 for "..", also where the dots are
// written as %2e, and else 0.
func dots(segment string) int {
	n := 0
	for len(segment) > 0 {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
			segment = segment[3:]
		default:
			return 0
		}
		if n++; n > 2 {
			return 0
		}
	}
	return n
}

// lastSlash returns the index of the last slash of b, or -1.
func lastSlash(b []byte) int {
	i := len(b) - 1
	for i >= 0 && b[i] != '/' {
		i--
	}
	return i
}
