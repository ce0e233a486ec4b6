package parley

import (
	"crypto/rand"
	"crypto/tls"
	"runtime"
	"sync"
	"weak"
)

// WithVerify(false) accepts whatever certificate a server shows, so that anybody on the
// way can read and change what is sent. It is for tests. Connections made so never
// serve a request that wants verification. WithVerify(true) takes it back, and
// InsecureSkipVerify of a tls.Config too.
func WithVerify(on bool) Option {
	return option(func(s *settings) error {
		s.security.verify = chosen(on)
		return nil
	})
}

// WithRootCAs trusts the certificates in a file of PEM, or in all such files of a
// directory, in place of the system's roots and those of the environment. They are
// read here and now: keep the option where many requests need it. A path that leads
// nowhere, a file without a certificate or with a broken one is an error of what the
// option is given to.
func WithRootCAs(path string) Option {
	roots, err := loadRoots(path)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithRootCAs: %w", err)
		}
		s.security.roots = roots
		return nil
	})
}

// WithClientCert shows servers that ask for it a certificate, from files of PEM: cert
// has the certificate and those that lead to an authority, key its private key. An
// empty key means that it is in the file of the certificate. They are read here and
// now. Encrypted keys are refused.
//
// A session's certificate, also one of its tls.Config, is for the origin of its base
// URL and for trusted origins ([WithTrustedOrigins]); without a base URL it is for
// whatever is asked for. A request's is for the origin of its URL. Where a redirect
// leaves the origin no certificate goes along.
func WithClientCert(cert, key string) Option {
	loaded, err := loadClientCert(cert, key)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithClientCert: %w", err)
		}
		s.security.cert = loaded
		return nil
	})
}

// WithTLSConfig sets the TLS settings for https. The pool clones cfg when it first
// meets it and knows it by its pointer from then on: changes made later have no
// effect, and two requests with different pointers never share a connection.
// [WithVerify], [WithRootCAs] and [WithClientCert] each change one thing of a copy of
// it, whether they stand beside it, or one with the session and the other with the
// request. Without it, servers are verified by the system's roots.
func WithTLSConfig(cfg *tls.Config) Option {
	return option(func(s *settings) error {
		s.tls = cfg
		return nil
	})
}

// WithProxyTLSConfig sets the TLS settings for https proxies, as [WithTLSConfig]
// does for servers. What is said of TLS with servers, such as roots, a client
// certificate or verification switched off, does not hold for proxies, nor the
// other way round. Without it, proxies are verified by the system's roots.
func WithProxyTLSConfig(cfg *tls.Config) Option {
	return option(func(s *settings) error {
		s.security.proxy = cfg
		return nil
	})
}

// security is what is said of TLS beside a tls.Config. A request shares it with its
// session; it is never changed once a request has it.
type security struct {
	verify    choice
	anonymous bool        // a certificate that the session has is not for this origin
	roots     *rootSet    // nil: not said
	system    *rootSet    // of the environment, in place of the system's; nil: none
	cert      *clientCert // nil: not said
	proxy     *tls.Config // for TLS with proxies; nil: not said
}

// over gives s, with what it leaves open taken from lower.
func (s security) over(lower *security) *security {
	if lower == nil {
		return &s
	}
	s.verify = s.verify.or(lower.verify)
	if s.cert == nil {
		s.cert, s.anonymous = lower.cert, s.anonymous || lower.anonymous
	}
	if s.roots == nil {
		s.roots = lower.roots
	}
	if s.system == nil {
		s.system = lower.system
	}
	if s.proxy == nil {
		s.proxy = lower.proxy
	}
	return &s
}

// prepareSecurity works out what requests get of the session's TLS settings: those to
// its own origins, and those to others, which never see its certificate.
func (c *Client) prepareSecurity() {
	c.security, c.foreignSecurity = nil, nil
	s := c.cfg.security
	if c.cfg.env != nil {
		s.system = c.cfg.env.roots
	}
	if s != (security{}) {
		c.security = &s
	}
	c.foreignSecurity = c.security
	if s.cert != nil || identifies(c.cfg.tls) {
		foreign := s
		foreign.cert, foreign.anonymous = nil, true
		c.foreignSecurity = &foreign
	}
}

// identifies reports whether a configuration has a client certificate to show.
func identifies(cfg *tls.Config) bool {
	return cfg != nil && (len(cfg.Certificates) > 0 || cfg.GetClientCertificate != nil)
}

// inheritSecurity takes over the session's TLS settings where the request has none.
func (r *Request) inheritSecurity(c *Client) {
	lower := c.security
	if r.foreign {
		lower = c.foreignSecurity
	}
	own := r.TLSConfig != nil // its certificate is the request's word
	if !own {
		r.TLSConfig = c.cfg.tls
	}
	if r.security == nil && (!own || lower == nil || !lower.anonymous) {
		r.security = lower
		return
	}
	var upper security
	if r.security != nil {
		upper = *r.security
	}
	merged := upper.over(lower)
	if own {
		merged.anonymous = upper.anonymous
	}
	r.security = merged
}

// applySecurity puts a layer of TLS settings over those that the request has.
func (r *Request) applySecurity(s *settings) {
	if s.security != (security{}) {
		r.security = s.security.over(r.security)
	}
	if s.tls == nil {
		return
	}
	r.TLSConfig = s.tls
	if r.security != nil && r.security.anonymous { // its certificate is the request's word
		own := *r.security
		own.anonymous = false
		r.security = &own
	}
}

// dropClientCert leaves the client certificate behind, for a request that leaves the
// origin which it was for.
func (r *Request) dropClientCert() {
	if (r.security == nil || r.security.cert == nil) && !identifies(r.TLSConfig) {
		return
	}
	var s security
	if r.security != nil {
		s = *r.security
	}
	s.cert, s.anonymous = nil, true
	r.security = &s
}

// tlsIdentity tells prepared configurations apart: a caller's by its pointer, what
// options say by its content.
type tlsIdentity struct {
	base        weak.Pointer[tls.Config]
	verify      choice
	anonymous   bool
	roots, cert fingerprint
}

// maxTLSConfigs bounds how many prepared configurations a pool remembers. Whoever needs
// more gets connections that are not shared with earlier ones.
const maxTLSConfigs = 1 << 10

// tlsConfigs keeps the prepared form of each configuration that was met, so that the
// same settings mean the same key. It holds none of the callers' own.
type tlsConfigs struct {
	mu       sync.Mutex
	prepared map[tlsIdentity]*tls.Config
	watched  map[weak.Pointer[tls.Config]]struct{}
	plain    *tls.Config
}

func newTLSConfigs() *tlsConfigs {
	return &tlsConfigs{
		prepared: make(map[tlsIdentity]*tls.Config),
		watched:  make(map[weak.Pointer[tls.Config]]struct{}),
		plain:    prepareTLS(&tls.Config{}),
	}
}

// of gives the configuration for cfg (nil: the defaults) with the changes that s asks
// for (nil: none).
func (t *tlsConfigs) of(cfg *tls.Config, s *security) *tls.Config {
	if cfg == nil && s == nil {
		return t.plain
	}
	id := tlsIdentity{}
	var roots *rootSet
	if s != nil {
		id.verify, id.anonymous = s.verify, s.anonymous
		if roots = s.roots; roots == nil && (cfg == nil || cfg.RootCAs == nil) {
			roots = s.system
		}
		if roots != nil {
			id.roots = roots.content
		}
		if s.cert != nil {
			id.cert = s.cert.content
		}
	}
	if cfg == nil && id == (tlsIdentity{}) {
		return t.plain
	}
	if cfg != nil {
		id.base = weak.Make(cfg)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.prepared[id]; known != nil {
		return known
	}
	if len(t.prepared) >= maxTLSConfigs {
		clear(t.prepared)
	}
	own := cfg
	if own == nil {
		own = &tls.Config{}
	}
	own = prepareTLS(own)
	if s != nil {
		s.adapt(own, roots)
	}
	t.prepared[id] = own
	t.watch(cfg)
	return own
}

// watch forgets what was made of cfg once the caller has forgotten cfg.
func (t *tlsConfigs) watch(cfg *tls.Config) {
	if cfg == nil {
		return
	}
	w := weak.Make(cfg)
	if _, known := t.watched[w]; known {
		return
	}
	t.watched[w] = struct{}{}
	runtime.AddCleanup(cfg, func(w weak.Pointer[tls.Config]) {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watched, w)
		for id := range t.prepared {
			if id.base == w {
				delete(t.prepared, id)
			}
		}
	}, w)
}

// adapt makes the changes in a configuration that is the pool's own.
func (s *security) adapt(cfg *tls.Config, roots *rootSet) {
	if s.verify != unsaid {
		cfg.InsecureSkipVerify = s.verify == no
	}
	if roots != nil {
		cfg.RootCAs = roots.pool
	}
	if s.cert != nil || s.anonymous {
		cfg.Certificates, cfg.GetClientCertificate = nil, nil
	}
	if s.cert != nil {
		cfg.Certificates = []tls.Certificate{s.cert.pair}
	}
}

// prepareTLS clones cfg for connections that speak HTTP/1.1 (RFC 7301).
func prepareTLS(cfg *tls.Config) *tls.Config {
	clone := cfg.Clone()
	clone.NextProtos = []string{"http/1.1"}
	if cache := cfg.ClientSessionCache; cache != nil {
		clone.ClientSessionCache = &ownSessions{cache, rand.Text() + " "}
	}
	return clone
}

// ownSessions is a part of a session cache that one configuration has for itself. A
// caller's configurations may share a cache, since tls.Config.Clone does not copy
// it; but a session that was resumed would skip the check of the peer by the one,
// or keep the client certificate of the other.
type ownSessions struct {
	cache  tls.ClientSessionCache
	prefix string
}

func (o *ownSessions) Get(key string) (*tls.ClientSessionState, bool) {
	return o.cache.Get(o.prefix + key)
}

func (o *ownSessions) Put(key string, state *tls.ClientSessionState) {
	o.cache.Put(o.prefix+key, state)
}

// forProxies gives what is said of TLS with proxies, as tlsConfigs.of takes it.
func (s *security) forProxies() (*tls.Config, *security) {
	switch {
	case s == nil:
		return nil, nil
	case s.system == nil:
		return s.proxy, nil
	}
	return s.proxy, &security{system: s.system}
}
