// Package digest computes what Digest authentication sends and checks (RFC 7616):
// MD5, SHA-256 and SHA-512-256 with their session forms, qop auth and auth-int,
// hashed user names, and without qop what RFC 2069 had. It keeps no state: which
// nonce is used how often is the caller's business.
package digest

import (
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/seed-0474a412/parley/internal/challenge"
)

// Challenge is a challenge that can be answered. Its texts are copies.
type Challenge struct {
	Realm  string
	Nonce  string
	Opaque string
	Domain []string // URI references of what the credentials are for; none: the origin
	Stale  bool     // the credentials were right, but not the nonce

	named     string // the algorithm as the server writes it; "": not at all
	algorithm *algorithm
	auth      bool // qop values on offer; neither: none is used
	integrity bool
	userHash  bool
	utf8      bool
}

// Integrity reports whether the server offers to protect bodies (qop auth-int), and
// only whether nothing else can be used.
func (c *Challenge) Integrity() (offered, only bool) { return c.integrity, c.integrity && !c.auth }

// Counts reports whether uses of the nonce are counted, which they are with a qop.
func (c *Challenge) Counts() bool { return c.auth || c.integrity }

// Session reports whether the key is bound to the first nonces.
func (c *Challenge) Session() bool { return c.algorithm.session }

// Same reports whether two challenges lead to one key, but for their nonces.
func (c *Challenge) Same(other *Challenge) bool {
	return c.Realm == other.Realm && c.Opaque == other.Opaque && c.named == other.named && c.auth == other.auth &&
		c.integrity == other.integrity && c.userHash == other.userHash && c.utf8 == other.utf8
}

// Choose gives the strongest of the challenges that can be answered, of equals the
// server's first; nil if there is none. Those of other schemes, with an unknown
// algorithm or qop, and those that lack something cannot.
func Choose(list []challenge.Challenge) *Challenge {
	var best *Challenge
	for i := range list {
		c := read(&list[i])
		if c != nil && (best == nil || c.algorithm.rank > best.algorithm.rank) {
			best = c
		}
	}
	return best
}

// read gives a challenge if it can be answered.
func read(from *challenge.Challenge) *Challenge {
	if from.Broken || !from.Is("Digest") {
		return nil
	}
	get := func(name string) string {
		v, _ := from.Get(name)
		return strings.Clone(v)
	}
	c := &Challenge{
		Realm: get("realm"), Nonce: get("nonce"), Opaque: get("opaque"),
		Stale:     strings.EqualFold(get("stale"), "true"),
		Domain:    strings.Fields(get("domain")),
		named:     get("algorithm"),
		userHash:  strings.EqualFold(get("userhash"), "true"),
		utf8:      strings.EqualFold(get("charset"), "UTF-8"),
		algorithm: lookUp(get("algorithm")),
	}
	qop := get("qop")
	for option := range strings.SplitSeq(qop, ",") {
		switch option = strings.Trim(option, " \t"); {
		case strings.EqualFold(option, "auth"):
			c.auth = true
		case strings.EqualFold(option, "auth-int"):
			c.integrity = true
		}
	}
	_, hasRealm := from.Get("realm")
	switch {
	case !hasRealm || c.Nonce == "" || c.algorithm == nil:
		return nil
	case strings.Trim(qop, " \t") != "" && !c.Counts():
		return nil
	case c.algorithm.session && !c.Counts():
		// The server needs the client's nonce, which goes along with a qop only.
		return nil
	}
	return c
}

// Key is a user's secret for a challenge and the nonces after it.
type Key struct {
	c    *Challenge
	user string
	ha1  string
}

// NewKey makes a key. clientNonce is used where the challenge is for a session, and
// must then be that of every message.
func NewKey(c *Challenge, user, password, clientNonce string) *Key {
	k := &Key{c: c, user: user, ha1: sum(c.algorithm, user, c.Realm, password)}
	if c.algorithm.session {
		k.ha1 = sum(c.algorithm, k.ha1, c.Nonce, clientNonce)
	}
	return k
}

// Format prints nothing of the key for all verbs.
func (k *Key) Format(s fmt.State, _ rune) { io.WriteString(s, "<Digest key>") }

// Message is a request as far as its credentials depend on it.
type Message struct {
	Method      string
	URI         string // the request target that is sent
	Nonce       string
	ClientNonce string
	Count       uint32 // how often the nonce has been used, with this message
	Integrity   bool   // qop auth-int, which needs BodyHash
	BodyHash    string
}

// NewHash gives the hash for a body.
func (k *Key) NewHash() hash.Hash { return k.c.algorithm.hash() }

// BodyHash gives the form of a body's hash that a message has.
func BodyHash(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// Header gives the value of the Authorization header (RFC 7616, section 3.4).
func (k *Key) Header(m *Message) string {
	c := k.c
	var b strings.Builder
	b.WriteString("Digest ")
	k.writeUser(&b)
	writeQuoted(&b, ", realm=", c.Realm)
	writeQuoted(&b, ", nonce=", m.Nonce)
	writeQuoted(&b, ", uri=", m.URI)
	writeQuoted(&b, ", response=", k.response(m, m.Method))
	if c.named != "" {
		b.WriteString(", algorithm=" + c.named)
	}
	if c.Opaque != "" {
		writeQuoted(&b, ", opaque=", c.Opaque)
	}
	if qop := k.qop(m); qop != "" {
		fmt.Fprintf(&b, ", qop=%s, nc=%08x", qop, m.Count)
		writeQuoted(&b, ", cnonce=", m.ClientNonce)
	}
	return b.String()
}

// writeUser writes the name: hashed where the server wants that, so that only it
// can tell who it is, and else in the extended notation where it knows UTF-8 and
// the name needs it (RFC 7616, sections 3.4 and 3.4.4).
func (k *Key) writeUser(b *strings.Builder) {
	switch {
	case k.c.userHash:
		writeQuoted(b, "username=", sum(k.c.algorithm, k.user, k.c.Realm))
		b.WriteString(", userhash=true")
	case k.c.utf8 && !isASCII(k.user):
		b.WriteString("username*=UTF-8''" + escapeExtended(k.user))
	default:
		writeQuoted(b, "username=", k.user)
	}
}

func (k *Key) qop(m *Message) string {
	switch {
	case m.Integrity:
		return "auth-int"
	case k.c.Counts():
		return "auth"
	}
	return ""
}

// response computes a request's response (RFC 7616, sections 3.4.1 to 3.4.3), and
// with an empty method the server's (section 3.5).
func (k *Key) response(m *Message, method string) string {
	a := k.c.algorithm
	parts := []string{method, m.URI}
	if m.Integrity {
		parts = append(parts, m.BodyHash)
	}
	ha2 := sum(a, parts...)
	qop := k.qop(m)
	if qop == "" {
		return sum(a, k.ha1, m.Nonce, ha2) // RFC 2069, section 2.1.2
	}
	return sum(a, k.ha1, m.Nonce, fmt.Sprintf("%08x", m.Count), m.ClientNonce, qop, ha2)
}

// Proof is what a server says in Authentication-Info (RFC 7616, section 3.5).
type Proof struct {
	NextNonce string // "": none
	Integrity bool   // Response covers the body of the answer
	response  string
	has       bool
	sound     bool // what it repeats of the request is right
}

// ReadProof reads Authentication-Info about the answer to a message.
func (k *Key) ReadProof(info *challenge.Challenge, m *Message) Proof {
	get := func(name string) string {
		v, _ := info.Get(name)
		return strings.Clone(v)
	}
	p := Proof{NextNonce: get("nextnonce"), response: get("rspauth"), Integrity: m.Integrity, sound: true}
	_, p.has = info.Get("rspauth")
	if qop, ok := info.Get("qop"); ok {
		p.Integrity = strings.EqualFold(qop, "auth-int")
		p.sound = p.Integrity || strings.EqualFold(qop, "auth")
	}
	if nonce, ok := info.Get("cnonce"); ok && nonce != m.ClientNonce {
		p.sound = false
	}
	if count, ok := info.Get("nc"); ok && !strings.EqualFold(count, fmt.Sprintf("%08x", m.Count)) {
		p.sound = false
	}
	return p
}

// Given reports whether the server has proved anything.
func (p *Proof) Given() bool { return p.has }

// Check reports whether the server knows the password. bodyHash is that of the
// answer's body and used if p.Integrity.
func (k *Key) Check(p *Proof, m *Message, bodyHash string) bool {
	answer := *m
	answer.Integrity, answer.BodyHash = p.Integrity, bodyHash
	want := k.response(&answer, "")
	return p.sound && subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(p.response))) == 1
}

// sum hashes parts with colons between them, in hexadecimal digits.
func sum(a *algorithm, parts ...string) string {
	h := a.hash()
	for i, part := range parts {
		if i > 0 {
			io.WriteString(h, ":") // a hash takes everything
		}
		io.WriteString(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeQuoted writes a quoted-string (RFC 9110, section 5.6.4).
func writeQuoted(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteByte('"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	b.WriteByte('"')
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// escapeExtended encodes a value for the extended notation of parameters (RFC 8187,
// section 3.2.1).
func escapeExtended(s string) string {
	const digits, plain = "0123456789ABCDEF", "!#$&+-.^_`|~"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}
