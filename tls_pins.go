package parley

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// WithPublicKeyPins accepts of https servers only those with one of these public
// keys, verified as they are otherwise. A pin is the SHA-256 of a key's
// SubjectPublicKeyInfo (RFC 7469, section 2.4) in Base64: "sha256/" and 44 characters;
// curl's "sha256//" is understood too. It can be that of the server's own certificate or
// of any other in a chain by which it was verified. With verification switched off
// only the server's own counts, as nothing else of the chain is proved; such a pin alone
// is what makes a certificate safe that nobody signed.
//
// Pins hold for every https server that a session or request gets to, redirects
// included: an origin with other keys is refused, never let through. They say nothing
// of https proxies. A later option replaces an earlier one, none takes it back. Pin a spare
// key as well: who loses the only one is locked out.
//
// A server with other keys fails the call with [ErrPublicKeyPin], whose text names the
// pin of the server's own key. A malformed pin is an error of what the option is given to.
func WithPublicKeyPins(pins ...string) Option {
	set, err := parsePins(pins)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithPublicKeyPins: %w", err)
		}
		s.security.pins = set
		return nil
	})
}

// pinSet is a set of pins; an empty one takes back what was said before.
type pinSet struct {
	pins    []fingerprint
	content fingerprint // zero for an empty set
}

func parsePins(texts []string) (*pinSet, error) {
	set := &pinSet{}
	for _, text := range texts {
		rest, ok := strings.CutPrefix(text, "sha256/")
		if !ok {
			return nil, fmt.Errorf("%s is no pin: it begins with sha256/", quoteBad(text, 64))
		}
		if len(rest) == base64.StdEncoding.EncodedLen(sha256.Size)+1 {
			rest = strings.TrimPrefix(rest, "/")
		}
		hash, err := base64.StdEncoding.Strict().DecodeString(rest)
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("%s is no pin: after sha256/ come 32 bytes in Base64", quoteBad(text, 64))
		}
		set.pins = append(set.pins, fingerprint(hash))
	}
	if len(set.pins) == 0 {
		return set, nil
	}
	slices.SortFunc(set.pins, func(a, b fingerprint) int { return slices.Compare(a[:], b[:]) })
	set.pins = slices.Compact(set.pins)
	hash := sha256.New()
	for _, pin := range set.pins {
		hash.Write(pin[:])
	}
	hash.Sum(set.content[:0])
	return set, nil
}

// pinOf gives the pin of a certificate's key.
func pinOf(cert *x509.Certificate) fingerprint { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// check fails a connection whose server has none of the keys. It is called for each
// handshake, resumed ones included.
func (p *pinSet) check(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &pinError{}
	}
	has := func(cert *x509.Certificate) bool { return slices.Contains(p.pins, pinOf(cert)) }
	if len(state.VerifiedChains) == 0 && has(state.PeerCertificates[0]) {
		return nil
	}
	for _, chain := range state.VerifiedChains {
		if slices.ContainsFunc(chain, has) {
			return nil
		}
	}
	seen := pinOf(state.PeerCertificates[0])
	return &pinError{seen: "sha256/" + base64.StdEncoding.EncodeToString(seen[:])}
}

// pinError is a server with a key that is none of those pinned.
type pinError struct{ seen string }

func (e *pinError) Error() string {
	if e.seen == "" {
		return "it shows no certificate, and public keys are pinned"
	}
	return "its public key has the pin " + e.seen + ", and no key of its chain is one of those pinned"
}

// Unwrap gives ErrPublicKeyPin.
func (e *pinError) Unwrap() error { return ErrPublicKeyPin }
