package parley

import (
	"net/http"
	"net/url"
	"slices"
)

// clientConfig is what the options of a session say.
type clientConfig struct {
	settings
	parent     *clientConfig // of the session that this one is derived from
	base       string
	baseSet    bool
	pool       PoolConfig // of the session's own pool
	poolSaid   string     // the option that spoke of it; "": none did
	jar        http.CookieJar
	jarSet     bool
	noEnv      bool
	noNetrc    bool
	env        *environment // nil until it has been read
	transport  Transport
	mounts     []mount // the most specific first
	middleware []Middleware
	network    []Middleware
	trusted    []*url.URL
	onClose    []func() error
}

// WithBaseURL sets the URL that relative references are joined to. Its path is a
// prefix: with base https://h/v1, "users", "/users" and "./users" all mean
// https://h/v1/users. User information in it gives Basic credentials for its
// origin.
func WithBaseURL(u string) ClientOption {
	return clientOption(func(c *clientConfig) error {
		c.base, c.baseSet = u, true
		return nil
	})
}

// WithPoolLimits sets the limits of the session's own pool. A derived session that says
// it has a pool of its own, with the HTTP/2 settings of the session that it is derived
// from; under [WithTransport] it is an error.
func WithPoolLimits(l PoolLimits) ClientOption {
	return clientOption(func(c *clientConfig) error {
		c.pool.Limits, c.poolSaid = l, "WithPoolLimits"
		return nil
	})
}

// WithJar sets the cookie jar, a [Jar] or any other; nil means none, so that no cookie
// is kept. Sessions may share one.
func WithJar(jar http.CookieJar) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if isNilJar(jar) {
			jar = nil
		}
		c.jar, c.jarSet = jar, true
		return nil
	})
}

// WithTransport sends through t in place of the session's own pool. Closing t is
// the caller's business.
func WithTransport(t Transport) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if t == nil {
			return failed("WithTransport needs a transport")
		}
		c.transport = t
		return nil
	})
}

// WithMiddleware puts middleware around the whole session: it sees each call
// once, whatever happens below. The first is the outermost. [WithRequestMiddleware]
// does the same for one request.
func WithMiddleware(m ...Middleware) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if hasNil(m) {
			return failed("WithMiddleware needs middleware, not nil")
		}
		c.middleware = joined(c.middleware, m)
		return nil
	})
}

// WithNetworkMiddleware puts middleware next to the transport: it sees every
// request as it goes out. The first is the outermost.
func WithNetworkMiddleware(m ...Middleware) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if hasNil(m) {
			return failed("WithNetworkMiddleware needs middleware, not nil")
		}
		c.network = append(slices.Clip(c.network), m...)
		return nil
	})
}

func hasNil(m []Middleware) bool {
	return slices.ContainsFunc(m, func(m Middleware) bool { return m == nil })
}

// WithTrustedOrigins names further origins ("https://uploads.example.com") that
// the session's headers, parameters and cookies by option may go to. Without
// it they only go to the base URL's origin, and to everywhere where there is
// no base URL.
func WithTrustedOrigins(origins ...string) ClientOption {
	return clientOption(func(c *clientConfig) error {
		for _, o := range origins {
			u, err := parseURL(o)
			if err != nil {
				return err
			}
			c.trusted = append(slices.Clip(c.trusted), u)
		}
		return nil
	})
}

// WithCloseHook calls f when the session is closed, the last hook first. Its error
// is part of what Close returns.
func WithCloseHook(f func() error) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if f == nil {
			return failed("WithCloseHook needs a function")
		}
		c.onClose = append(slices.Clip(c.onClose), f)
		return nil
	})
}
