package wiretest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// Digest is a server's side of Digest authentication (RFC 7616) with SHA-256 and qop
// auth. It takes no count of a nonce twice.
type Digest struct {
	Login string // "user:password"

	mu    sync.Mutex
	nonce string
	seen  map[string]bool
}

// Renew makes another nonce the one that counts.
func (d *Digest) Renew(nonce string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nonce = nonce
}

// Challenge is what to answer to credentials that do not do.
func (d *Digest) Challenge(credentials string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := fmt.Sprintf("Digest realm=\"p\", nonce=%q, algorithm=SHA-256, qop=\"auth\", domain=\"/nowhere\"", d.nonce)
	if p := digestParams(credentials); p["nonce"] != "" && p["nonce"] != d.nonce {
		out += ", stale=true"
	}
	return out
}

// Accepts reports whether credentials are right for a request.
func (d *Digest) Accepts(credentials, method, target string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := digestParams(credentials)
	user, password, _ := strings.Cut(d.Login, ":")
	used := p["nonce"] + " " + p["nc"]
	if p["username"] != user || p["uri"] != target || p["nonce"] != d.nonce || p["realm"] != "p" || d.seen[used] {
		return false
	}
	want := digestSum(digestSum(user, "p", password), d.nonce, p["nc"], p["cnonce"], "auth", digestSum(method, target))
	if p["response"] != want {
		return false
	}
	if d.seen == nil {
		d.seen = make(map[string]bool)
	}
	d.seen[used] = true
	return true
}

func digestSum(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

func digestParams(credentials string) map[string]string {
	params := make(map[string]string)
	list, ok := strings.CutPrefix(credentials, "Digest ")
	if !ok {
		return params
	}
	for pair := range strings.SplitSeq(list, ", ") {
		name, value, _ := strings.Cut(pair, "=")
		params[name] = strings.Trim(value, `"`)
	}
	return params
}
