package parley

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/seed-0474a412/parley/internal/urls"
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
// directory, in place of the system's roots and those of the environment. A path that
// leads nowhere, a file without a certificate or with a broken one is an error of what
// the option is given to. They are read here and now, and again when they change, as
// those of [WithClientCert] are.
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

// WithTLSConfig sets the TLS settings for https. The pool clones cfg when it first
// meets it and knows it by its pointer from then on: changes made later have no
// effect, and two requests with different pointers never share a connection.
// [WithVerify], [WithRootCAs], [WithClientCert] and their kin each change one thing of a
// copy of it, whether they stand beside it, or one with the session and the other with
// the request. Without it, servers are verified by the system's roots.
//
// TLS sessions are resumed: each pool keeps those of each kind of TLS settings to
// itself, be it in a cache of its own or in a part of ClientSessionCache. There is no
// such cache for a configuration that has SessionTicketsDisabled, GetClientCertificate or
// VerifyPeerCertificate, which a resumed session would not ask.
func WithTLSConfig(cfg *tls.Config) Option {
	return option(func(s *settings) error {
		s.tls = cfg
		return nil
	})
}

// WithMinTLSVersion refuses servers that speak only versions of TLS below this one, such as
// tls.VersionTLS13. Without it, or a MinVersion of a tls.Config, TLS 1.2 is the least.
// Lower ones than that, for servers that know no better, are broken and no protection
// from an attacker. What is no version is an error of what the option is given to.
func WithMinTLSVersion(version uint16) Option {
	return option(func(s *settings) error {
		if version < tls.VersionTLS10 || version > tls.VersionTLS13 {
			return failed("WithMinTLSVersion takes tls.VersionTLS10 to tls.VersionTLS13, not %#04x", version)
		}
		s.security.least = version
		return nil
	})
}

// WithServerName asks servers for the certificate of this name, or address, and
// verifies it in place of the URL's host, for servers that are reached by another name
// than their own. A tls.Config's ServerName does the same. The URL and the Host header
// ([WithHost]) stay as they are. Like a certificate of [WithClientCert] the name is for
// the origins of the session or request that it is said of, and stays behind where a
// redirect leaves them. What is no name is ErrInvalidURL.
func WithServerName(name string) Option {
	canonical, err := urls.CanonicalHost(name)
	return option(func(s *settings) error {
		if err != nil {
			return because(ErrInvalidURL, fmt.Errorf("WithServerName: %w", err))
		}
		s.security.name = canonical
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
	roots     *rootFiles  // nil: not said
	system    *rootFiles  // of the environment, in place of the system's; nil: none
	cert      *clientCert // nil: not said
	proxy     *tls.Config // for TLS with proxies; nil: not said
	least     uint16      // version; 0: not said
	name      string      // of the server; "": that of the URL
	pins      *pinSet     // nil: not said
	keyLog    *keyLog     // nil: not said
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
	s.proxy, s.pins, s.keyLog = cmp.Or(s.proxy, lower.proxy), cmp.Or(s.pins, lower.pins), cmp.Or(s.keyLog, lower.keyLog)
	s.least, s.name = cmp.Or(s.least, lower.least), cmp.Or(s.name, lower.name)
	return &s
}

// stale says what of the files that are in use has changed and cannot be read; nil if
// nothing has.
func (s *security) stale() error {
	if s == nil {
		return nil
	}
	return cmp.Or(s.cert.stale(), s.roots.stale(), s.system.stale())
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
	if s.cert != nil || s.name != "" || identifies(c.cfg.tls) {
		foreign := s
		foreign.leaveOrigin(c.cfg.tls)
		c.foreignSecurity = &foreign
	}
}

// leaveOrigin takes back what is for one origin alone.
func (s *security) leaveOrigin(cfg *tls.Config) {
	if s.cert != nil || identifies(cfg) {
		s.cert, s.anonymous = nil, true
	}
	s.name = ""
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

// leaveTLS leaves behind what is for the origin that a request leaves: the client
// certificate and the name that its server goes by.
func (r *Request) leaveTLS() {
	if (r.security == nil || r.security.cert == nil && r.security.name == "") && !identifies(r.TLSConfig) {
		return
	}
	var s security
	if r.security != nil {
		s = *r.security
	}
	s.leaveOrigin(r.TLSConfig)
	r.security = &s
}

// tlsIdentity tells prepared configurations apart: a caller's by its pointer, what
// options say by its content.
type tlsIdentity struct {
	base              weak.Pointer[tls.Config]
	verify            choice
	anonymous         bool
	roots, cert, pins fingerprint
	least             uint16
	name, keyLog      string
	proto             wireProtocol
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
	plain    [protoVariants]atomic.Pointer[tls.Config] // made when they are first needed
}

func newTLSConfigs() *tlsConfigs {
	return &tlsConfigs{
		prepared: make(map[tlsIdentity]*tls.Config),
		watched:  make(map[weak.Pointer[tls.Config]]struct{}),
	}
}

// usual gives the configuration of who says nothing of TLS.
func (t *tlsConfigs) usual(proto wireProtocol) *tls.Config {
	place := &t.plain[proto]
	if cfg := place.Load(); cfg != nil {
		return cfg
	}
	if own := resume(prepareTLS(&tls.Config{}, proto)); place.CompareAndSwap(nil, own) {
		return own
	}
	return place.Load() // somebody else's, who came first
}

// of gives the configuration for cfg (nil: the defaults) with the changes that s asks
// for (nil: none) and for what is to be spoken.
func (t *tlsConfigs) of(cfg *tls.Config, s *security, proto wireProtocol) *tls.Config {
	if cfg == nil && s == nil {
		return t.usual(proto)
	}
	id, now := s.identity(cfg)
	id.proto = proto
	if cfg == nil && id == (tlsIdentity{proto: proto}) {
		return t.usual(proto)
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
	own = prepareTLS(own, proto)
	if s != nil {
		s.adapt(own, now)
	}
	resume(own)
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

// readings are what the files of settings said when they were looked at.
type readings struct {
	roots *rootSet
	cert  *keyPair
}

// identity tells what s (nil: nothing) makes of cfg (nil: the defaults) from all else.
func (s *security) identity(cfg *tls.Config) (id tlsIdentity, now readings) {
	if s == nil {
		return id, now
	}
	id.verify, id.anonymous, id.least, id.name = s.verify, s.anonymous, s.least, s.name
	roots := s.roots
	if roots == nil && (cfg == nil || cfg.RootCAs == nil) {
		roots = s.system
	}
	if roots != nil {
		now.roots = roots.current()
		id.roots = now.roots.content
	}
	if s.cert != nil {
		now.cert = s.cert.current()
		id.cert = now.cert.content
	}
	if s.pins != nil {
		id.pins = s.pins.content
	}
	if s.keyLog != nil {
		id.keyLog = s.keyLog.path
	}
	return id, now
}

// adapt makes the changes in a configuration that is the pool's own.
func (s *security) adapt(cfg *tls.Config, now readings) {
	if s.verify != unsaid {
		cfg.InsecureSkipVerify = s.verify == no
	}
	if now.roots != nil {
		cfg.RootCAs = now.roots.pool
	}
	if s.cert != nil || s.anonymous {
		cfg.Certificates, cfg.GetClientCertificate = nil, nil
	}
	if s.cert != nil {
		s.cert.show(cfg, now.cert)
	}
	if s.least != 0 {
		cfg.MinVersion = s.least
	}
	if s.name != "" {
		cfg.ServerName = s.name
	}
	if s.keyLog != nil && s.keyLog.path != "" {
		cfg.KeyLogWriter = s.keyLog
	}
	if s.pins != nil && len(s.pins.pins) > 0 {
		s.pin(cfg)
	}
}

// pin adds the check of the pins to what a configuration checks already. Unlike
// VerifyPeerCertificate it is asked of resumed sessions too.
func (s *security) pin(cfg *tls.Config) {
	earlier, pins := cfg.VerifyConnection, s.pins
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if earlier != nil {
			if err := earlier(state); err != nil {
				return err
			}
		}
		return pins.check(state)
	}
}

// sessionCacheSize is how many servers of one kind of TLS settings have sessions
// that can be resumed.
const sessionCacheSize = 128

// resume gives a configuration that is the pool's own a cache of sessions, unless it has
// one or a resumed session would leave somebody unasked.
func resume(cfg *tls.Config) *tls.Config {
	if cfg.ClientSessionCache == nil && !cfg.SessionTicketsDisabled && cfg.GetClientCertificate == nil && cfg.VerifyPeerCertificate == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
	return cfg
}

// prepareTLS clones cfg for connections that speak proto (RFC 7301).
func prepareTLS(cfg *tls.Config, proto wireProtocol) *tls.Config {
	clone := cfg.Clone()
	clone.NextProtos = slices.Clone(alpn[proto])
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
	case s.system == nil && s.keyLog == nil:
		return s.proxy, nil
	}
	return s.proxy, &security{system: s.system, keyLog: s.keyLog}
}
