package parley

import (
	"os"

	"github.com/seed-0474a412/parley/internal/netrc"
)

// WithEnv(false) takes nothing from the environment: neither the logins of netrc nor
// whatever else variables of the process say. What is read is read once, when a
// session is made; an explicit option always wins over it.
//
// HTTP_PROXY and HTTPS_PROXY hold the URLs of the proxies ([NewProxy]) for http and
// https URLs, ALL_PROXY that for whichever of them says nothing, and NO_PROXY, separated
// by commas or spaces, what is reached without them: domains ("example.com" with what is
// below it, ".example.com" that alone), addresses, CIDR blocks, each with or without a
// port, or "*". Names in lower case win, and empty values count for nothing. This
// machine is always reached without a proxy. A malformed proxy fails the requests that
// would go through it. In a CGI program HTTP_PROXY counts in lower case only, as
// whoever makes a request to it can set the other.
//
// REQUESTS_CA_BUNDLE or else CURL_CA_BUNDLE name a file or directory ([WithRootCAs]) to
// verify servers by, in place of the system's roots; without them SSL_CERT_FILE and
// SSL_CERT_DIR (several directories, separated as in PATH) add to these. New fails where
// one of them leads nowhere or to something broken. No variable switches verification
// off.
//
// Logins come from the file that NETRC names, else from .netrc in the home directory
// (on Windows also _netrc). They are sent to their own machine where nothing else
// proves who sends the request, also after a redirect; the default entry is not used.
// A file that other users can read gives none: a request to a machine that it names
// fails and says so.
func WithEnv(on bool) ClientOption {
	return clientOption(func(c *clientConfig) error {
		c.noEnv = !on
		return nil
	})
}

// environment is what a session takes from the process's environment.
type environment struct {
	netrc *netrcFile // nil: none
	proxy *Proxy     // nil: none
	roots *rootFiles // nil: the system's
}

func readEnvironment() (*environment, error) {
	roots, err := environmentRoots(os.Getenv)
	if err != nil {
		return nil, err
	}
	e := &environment{netrc: environmentNetrc(), roots: roots}
	if proxies := newProxyEnv(os.Getenv); proxies != nil {
		e.proxy = &Proxy{env: proxies}
	}
	return e, nil
}

// environmentNetrc gives the file of the environment. One that is not there or cannot
// be read has no logins in it.
func environmentNetrc() *netrcFile {
	for _, path := range netrcPaths() {
		if file, err := netrc.Load(path); err == nil {
			if file.Empty() {
				return nil
			}
			return &netrcFile{file: file}
		}
	}
	return nil
}
