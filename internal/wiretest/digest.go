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
	Login string   // "user:password"
	Next  []string // the nonces that it names, and wants, one after the other; set it before the first request
	Prove string   // "right" or "wrong": the proof that it gives; "": none; set it before the first request

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

// Info gives what to say of credentials that were accepted, and makes the next nonce the
// one that counts; "" for nothing.
func (d *Digest) Info(credentials, target string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	p := digestParams(credentials)
	user, password, _ := strings.Cut(d.Login, ":")
	switch d.Prove {
	case "right":
		sum := digestSum(digestSum(user, "p", password), p["nonce"], p["nc"], p["cnonce"], "auth", digestSum("", target))
		out = append(out, fmt.Sprintf("rspauth=%q", sum))
	case "wrong":
		out = append(out, fmt.Sprintf("rspauth=%q", digestSum(user)))
	}
	if len(d.Next) > 0 {
		d.nonce, d.Next = d.Next[0], d.Next[1:]
		out = append(out, fmt.Sprintf("nextnonce=%q", d.nonce))
	}
	return strings.Join(out, ", ")
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
