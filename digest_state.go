package parley

import (
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley/internal/digest"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Limits of what a digestAuth remembers. Most are used with one server; what is
// forgotten costs a round trip.
const (
	maxDigestSpaces = 64
	maxDigestNonces = 256
)

// digestSpace is a protection space (RFC 7616, section 3.3): what one challenge of an
// origin is for. All but the nonce is fixed.
type digestSpace struct {
	origin    *url.URL
	challenge *digest.Challenge
	key       *digest.Key
	session   string   // the client nonce that the key was made with; "": each message has its own
	paths     []string // where it is; nil: the whole origin
	nonce     *usedNonce
}

// usedNonce counts the uses of a nonce. It outlives the space, for no count may ever
// come twice, whatever challenge brings the nonce again.
type usedNonce struct {
	origin *url.URL
	value  string
	count  uint32
}

// digestState is what is known of all servers, the latest first.
type digestState struct {
	mu     sync.Mutex
	spaces []*digestSpace
	nonces []*usedNonce
}

// find gives the innermost space that u is in, nil if there is none.
func (s *digestState) find(u *url.URL) *digestSpace {
	s.mu.Lock()
	defer s.mu.Unlock()
	best, depth := -1, -1
	for i, space := range s.spaces {
		if space.nonce.count == math.MaxUint32 || !urls.SameOrigin(space.origin, u) {
			continue
		}
		if d := space.depth(u); d > depth {
			best, depth = i, d
		}
	}
	if best < 0 {
		return nil
	}
	space := s.spaces[best]
	s.spaces = toFront(s.spaces, best)
	return space
}

// depth tells how closely a space fits u; -1: not at all.
func (d *digestSpace) depth(u *url.URL) int {
	if d.paths == nil {
		return 0
	}
	depth := -1
	path := u.EscapedPath()
	for _, p := range d.paths {
		if rest, ok := strings.CutPrefix(path, p); ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(p, "/")) {
			depth = max(depth, len(p))
		}
	}
	return depth
}

// same gives the space of a challenge that has been learnt already.
func (s *digestState) same(u *url.URL, c *digest.Challenge) *digestSpace {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, space := range s.spaces {
		if space.challenge.Same(c) && space.nonce.value == c.Nonce && urls.SameOrigin(space.origin, u) {
			return space
		}
	}
	return nil
}

// counted gives a new space the counter of its nonce.
func (s *digestState) counted(space *digestSpace) *digestSpace {
	s.mu.Lock()
	defer s.mu.Unlock()
	space.nonce = s.nonceLocked(space.origin, space.challenge.Nonce)
	return space
}

// keep remembers a space in place of the one of the same realm, for all to use.
func (s *digestState) keep(space *digestSpace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.spaces, space) {
		return
	}
	s.spaces = slices.DeleteFunc(s.spaces, func(other *digestSpace) bool {
		return other.challenge.Realm == space.challenge.Realm && urls.SameOrigin(other.origin, space.origin)
	})
	s.spaces = slices.Insert(s.spaces, 0, space)
	if len(s.spaces) > maxDigestSpaces {
		s.spaces = slices.Delete(s.spaces, maxDigestSpaces, len(s.spaces))
	}
}

// nonceLocked gives the counter of a nonce.
func (s *digestState) nonceLocked(origin *url.URL, value string) *usedNonce {
	i := slices.IndexFunc(s.nonces, func(n *usedNonce) bool { return n.value == value && urls.SameOrigin(n.origin, origin) })
	if i >= 0 {
		n := s.nonces[i]
		s.nonces = toFront(s.nonces, i)
		return n
	}
	n := &usedNonce{origin: origin, value: value}
	s.nonces = slices.Insert(s.nonces, 0, n)
	if len(s.nonces) > maxDigestNonces {
		s.nonces = slices.Delete(s.nonces, maxDigestNonces, len(s.nonces))
	}
	return n
}

// use gives the nonce of a space with a count that it has not had yet; ok is false
// where there is none left.
func (s *digestState) use(space *digestSpace) (nonce string, count uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if space.nonce.count == math.MaxUint32 {
		return "", 0, false
	}
	space.nonce.count++
	return space.nonce.value, space.nonce.count, true
}

// renew makes another nonce that of a space.
func (s *digestState) renew(space *digestSpace, nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space.nonce = s.nonceLocked(space.origin, nonce)
}

// forget drops a space whose credentials were refused; nil is none.
func (s *digestState) forget(space *digestSpace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spaces = slices.DeleteFunc(s.spaces, func(other *digestSpace) bool { return other == space })
}

// protected gives the paths that a challenge's domain names on the origin of u, nil if
// it names nothing at all. What is on other origins is not for these credentials.
func protected(u *url.URL, domain []string) []string {
	if len(domain) == 0 {
		return nil
	}
	paths := make([]string, 0, len(domain))
	for _, ref := range domain {
		if p, err := urls.Resolve(u, ref); err == nil && urls.SameOrigin(p, u) {
			paths = append(paths, strings.Clone(p.EscapedPath()))
		}
	}
	return paths
}

// originOf gives what is left of u as an origin.
func originOf(u *url.URL) *url.URL {
	return &url.URL{Scheme: strings.Clone(u.Scheme), Host: strings.Clone(u.Host)}
}

func toFront[T any](list []T, i int) []T {
	item := list[i]
	copy(list[1:i+1], list[:i])
	list[0] = item
	return list
}
