package urls

import (
	"math"
	"net/url"
	"strings"
)

// maxRedacted bounds a URL in an error text, in bytes.
const maxRedacted = 256

// splitPort splits the host of a URL into host, with its brackets, and port.
func splitPort(hostport string) (host, port string) {
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		return hostport[:i], hostport[i+1:]
	}
	return hostport, ""
}

// HostPort returns the address to dial for u, with the default port of its
// scheme where it has none. An IPv6 address is in brackets, with its zone.
func HostPort(u *url.URL) string {
	if u.Scheme == UnixScheme {
		return UnixHost + ":" + defaultPort(u.Scheme)
	}
	host, port := splitPort(u.Host)
	if port != "" {
		return u.Host
	}
	return host + ":" + defaultPort(u.Scheme)
}

// HostHeader returns the value of the Host field for u (RFC 9110, section
// 7.2): without the default port, and without a zone, which has meaning on this
// machine only (RFC 6874, section 1). For a Unix socket it is "localhost".
func HostHeader(u *url.URL) string {
	if u.Scheme == UnixScheme {
		return UnixHost
	}
	host, port := splitPort(u.Host)
	if strings.HasPrefix(host, "[") {
		if i := strings.IndexByte(host, '%'); i >= 0 {
			host = host[:i] + "]"
		}
	}
	switch {
	case port == "" || port == defaultPort(u.Scheme):
		return host
	case len(host)+len(":")+len(port) == len(u.Host):
		return u.Host
	}
	return host + ":" + port
}

// SameOrigin reports whether a and b have scheme, host and port in common (RFC
// 6454, section 5). Hosts are compared as they are but for case, which is exact
// for URLs made by this package. A nil URL has no origin.
func SameOrigin(a, b *url.URL) bool {
	if a == nil || b == nil || !strings.EqualFold(a.Scheme, b.Scheme) {
		return false
	}
	if a.Host == b.Host {
		return a.Host != ""
	}
	if strings.EqualFold(a.Scheme, UnixScheme) {
		return false // the path of a file is what it is
	}
	hostA, portA := splitPort(a.Host)
	hostB, portB := splitPort(b.Host)
	if portA == "" {
		portA = defaultPort(strings.ToLower(a.Scheme))
	}
	if portB == "" {
		portB = defaultPort(strings.ToLower(b.Scheme))
	}
	return strings.EqualFold(hostA, hostB) && portA == portB
}

// Redacted returns u for error texts and logs: scheme, host and path, "?..." in
// place of a query, neither user information nor fragment; printable ASCII, cut
// to 256 bytes. It accepts any URL, also nil, which gives "".
func Redacted(u *url.URL) string {
	if u == nil {
		return ""
	}
	out := appendPlain(make([]byte, 0, maxRedacted+len("...")), u, maxRedacted)
	if u.RawQuery != "" && u.Opaque == "" {
		out = append(out, "?..."...)
	}
	if len(out) > maxRedacted {
		out = append(out[:maxRedacted], "..."...)
	}
	return string(out)
}

// Plain returns scheme, host and path of u, whole and in printable ASCII: without user
// information, query and fragment. It accepts any URL that is not nil; of an opaque one
// it tells the scheme alone.
func Plain(u *url.URL) string { return string(appendPlain(nil, u, math.MaxInt)) }

// appendPlain appends scheme, host and path of u, up to a little over limit bytes.
func appendPlain(out []byte, u *url.URL, limit int) []byte {
	if u.Scheme != "" {
		out = appendPrintable(out, u.Scheme, limit)
		out = append(out, ':')
	}
	if u.Opaque != "" {
		// What follows the scheme may be anything, credentials too.
		return append(out, "..."...)
	}
	if u.Host != "" {
		host := u.Host
		if u.Scheme == UnixScheme {
			host = url.PathEscape(host)
		}
		host = host[strings.LastIndexByte(host, '@')+1:]
		out = appendPrintable(append(out, "//"...), host, limit)
	}
	path := u.EscapedPath()
	if u.Host != "" && path != "" && path[0] != '/' {
		out = append(out, '/')
	}
	return appendPrintable(out, path, limit)
}

// appendPrintable appends s, with escapes for what is not printable ASCII, until dst is
// longer than limit bytes.
func appendPrintable(dst []byte, s string, limit int) []byte {
	for i := 0; i < len(s) && len(dst) <= limit; i++ {
		if c := s[i]; c > ' ' && c < 0x7f {
			dst = append(dst, c)
		} else {
			dst = appendEscaped(dst, c)
		}
	}
	return dst
}

// Target returns the request target of u in origin-form (RFC 9112, section
// 3.2.1): the path, at least "/", and the query with its question mark, also an
// empty one. It holds bytes from 0x21 to 0x7e only and no '#', whatever is in u.
func Target(u *url.URL) string {
	path := u.EscapedPath()
	if u.RawQuery == "" && !u.ForceQuery && strings.HasPrefix(path, "/") {
		return path
	}
	return string(AppendTarget(make([]byte, 0, len(path)+len(u.RawQuery)+len("/?")), u))
}

// AppendTarget appends what [Target] returns.
func AppendTarget(dst []byte, u *url.URL) []byte {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		dst = append(dst, '/')
	}
	dst = append(dst, path...)
	if u.RawQuery == "" && !u.ForceQuery {
		return dst
	}
	dst = append(dst, '?')
	for i := range len(u.RawQuery) {
		if c := u.RawQuery[i]; c > ' ' && c < 0x7f && c != '#' {
			dst = append(dst, c)
		} else {
			dst = appendEscaped(dst, c)
		}
	}
	return dst
}
