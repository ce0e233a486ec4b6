package parley

import (
	"crypto/rand"
	"slices"
)

// idempotencyKey is the header by which a server knows a request that it has seen before
// (the IETF's draft "The Idempotency-Key HTTP Header Field").
const idempotencyKey = "Idempotency-Key"

// keySaid is what is said of Idempotency-Key.
type keySaid struct{ said, made bool }

// WithIdempotencyKey gives every request whose method is not idempotent an
// Idempotency-Key of 26 random letters and digits, unless it has one: made when the
// request is made, and the same for whatever is sent of it, be it tries under
// [WithRetry], hops of a redirect or a prepared request that is sent once more. The key
// stays with the request's origin.
//
// A request with this header, whoever set it, may be tried again as if its method were
// idempotent. So it should be sent only to servers that know it.
func WithIdempotencyKey() Option { return keyOption(true) }

// WithoutIdempotencyKey takes back [WithIdempotencyKey].
func WithoutIdempotencyKey() Option { return keyOption(false) }

func keyOption(made bool) Option {
	return option(func(s *settings) error {
		s.conduct.key = keySaid{true, made}
		return nil
	})
}

// wantsKey reports whether a request is to have a key, if none is there.
func (r *Request) wantsKey() bool {
	return r.conduct != nil && r.conduct.key.made && !idempotent(r.Method) && !r.foreign
}

// addKey gives the request its key.
func (r *Request) addKey() {
	if r.wantsKey() && r.Header[idempotencyKey] == nil && !slices.Contains(r.omitted().headers, idempotencyKey) {
		r.Header[idempotencyKey] = []string{rand.Text()}
	}
}
