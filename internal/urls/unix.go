package urls

import (
	"net/url"
	"strings"
)

// UnixScheme is the scheme of HTTP over a Unix socket. Its URLs have the path of the
// socket for a host, percent-encoded: http+unix://%2Frun%2Fapp.sock/v1. In the
// [url.URL] the host is decoded. There is no RFC for them; others write them so too.
const UnixScheme = "http+unix"

// UnixHost is what servers are told for a host where the host is a socket (RFC 9110,
// section 7.2, wants one).
const UnixHost = "localhost"

// parseSocket parses the authority of a UnixScheme URL.
func parseSocket(u *url.URL, authority string) error {
	path := decode(authority)
	switch {
	case strings.IndexByte(authority, '@') >= 0:
		return invalid("user information, or an '@' that must be percent-encoded as %40, in the URL of a Unix socket")
	case authority == "" || !strings.HasPrefix(path, "/"):
		return invalid("no absolute path of a socket: write it with %2F for each slash, as in http+unix://%2Frun%2Fapp.sock/")
	case strings.IndexByte(path, 0) >= 0:
		return invalid("NUL in the path of a socket")
	}
	u.Host = path
	return nil
}

// resolved refuses a UnixScheme URL at the word of a server, which is not to choose
// among the sockets of this machine.
func resolved(ref string) (*url.URL, error) {
	if name, _, _ := splitScheme(ref); strings.EqualFold(name, UnixScheme) {
		return nil, &SchemeError{Scheme: UnixScheme}
	}
	return Parse(ref)
}
