package parley

import (
	"crypto/rand"
	"io"
)

// SetClientNonce makes the client nonces of a Digest auth known beforehand, as the
// recorded cases need it.
func SetClientNonce(a Auth, nonce func() (string, error)) { a.(*digestAuth).clientNonce = nonce }

// NewClientNonce makes a client nonce of a source, crypto/rand if it is nil.
func NewClientNonce(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	return newClientNonce(random)
}

// Diagnose is what Doctor says of figures.
var Diagnose = diagnose
