package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"
)

// algorithm is a hash algorithm of IANA's registry for Digest. A session's key is
// made with the first nonce of the server and of the client (RFC 7616, section
// 3.4.2).
type algorithm struct {
	name    string
	hash    func() hash.Hash
	session bool
	rank    int // the higher the stronger
}

var algorithms = []algorithm{
	{"MD5", md5.New, false, 1},
	{"MD5-sess", md5.New, true, 1},
	{"SHA-256", sha256.New, false, 2},
	{"SHA-256-sess", sha256.New, true, 2},
	{"SHA-512-256", sha512.New512_256, false, 3},
	{"SHA-512-256-sess", sha512.New512_256, true, 3},
}

// lookUp finds an algorithm by the name that a server gives it; "" is MD5 (RFC
// 7616, section 3.3). nil: it is not known.
func lookUp(name string) *algorithm {
	if name == "" {
		return &algorithms[0]
	}
	for i := range algorithms {
		if strings.EqualFold(algorithms[i].name, name) {
			return &algorithms[i]
		}
	}
	return nil
}
