package parley

import "io"

// SetClientNonce makes the client nonces of a Digest auth known beforehand, as the
// recorded cases need it.
func SetClientNonce(a Auth, nonce func() (string, error)) { a.(*digestAuth).clientNonce = nonce }

// NewClientNonce makes a client nonce of a source other than crypto/rand.
func NewClientNonce(random io.Reader) (string, error) { return newClientNonce(random) }
