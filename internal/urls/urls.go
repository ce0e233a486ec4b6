// Package urls holds what a session knows about http and https URLs: strict
// parsing, canonical hosts, joining to a base, path parameters and query
// merging. It does no input or output, and every function is safe for
// concurrent use and takes time linear in its input.
//
// A URL is parsed once, by RFC 3986, and all later code works with the parsed
// value. The [url.URL] values made here are consistent: String, EscapedPath and
// RequestURI give exactly the bytes that go on the wire, and parsing the string
// again gives the same value. They are also canonical where RFC 3986, section
// 6.2, says that nothing is lost by it: scheme and host in lower case, no
// default or empty port, no dot segments, "/" for an empty path. Everything
// else that is legal stays byte for byte as it was written.
package urls

import (
	"strconv"
	"strings"
)

// MaxBytes is the longest URL or reference accepted, in bytes, before and after
// percent-encoding. Browsers and servers stop between 8 KiB and 2 MiB.
const MaxBytes = 64 << 10

// maxQuoted is how many bytes of the input an error may quote.
const maxQuoted = 64

// Error reports a URL, a reference or a host that cannot be used.
type Error struct {
	// Reason says what is wrong and what to do. It never contains user
	// information and quotes at most 64 bytes of the input.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// SchemeError reports a URL whose scheme is not supported, or not there.
type SchemeError struct {
	// Scheme is what was found, cut to 64 bytes. It is empty where it might
	// be a user name.
	Scheme string
}

// Error names the scheme and what would be accepted.
func (e *SchemeError) Error() string {
	if e.Scheme == "" {
		return "unsupported scheme: a URL begins with http:// or https://"
	}
	return "unsupported scheme " + strconv.QuoteToASCII(e.Scheme) +
		": a URL begins with http:// or https://, a relative reference with a colon in its first segment with ./"
}

// invalid returns an Error with a fixed text.
func invalid(reason string) error { return &Error{Reason: reason} }

// invalidPart returns an Error that quotes part, cut short. An input with an
// '@' may hold user information in an unexpected place, so that none of it is
// quoted then.
func invalidPart(reason, part, input string) error {
	if strings.IndexByte(input, '@') >= 0 {
		return &Error{Reason: reason}
	}
	return &Error{Reason: reason + ": " + quote(part)}
}

// quote returns s cut to maxQuoted bytes as a quoted printable ASCII string.
func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
