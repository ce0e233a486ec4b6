package parley

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
)

// WithIntegrity says what the content of the answer has to be, by its digest. s is
// metadata of subresource integrity ("sha256-" and the digest in base64; also sha384 and
// sha512), or the digest in hexadecimal as command line tools print it ("sha256:9f86…").
// Where there are several, separated by spaces, those of the strongest algorithm count,
// and one of them has to match. "" takes back what the session says.
//
// Content that is not what it should be is ErrIntegrity instead of its end. Whoever reads
// a stream has seen all of it by then: act on it after the end. Answers that are no
// success are not looked at, nor those without content. [Client.Download] leaves no file.
func WithIntegrity(s string) Option {
	want, err := parseIntegrity(s)
	return option(func(o *settings) error {
		if err != nil {
			return failed("WithIntegrity: %w", err)
		}
		o.conduct.integrity = want
		return nil
	})
}

// algorithm is a way to make digests.
type algorithm struct {
	name     string // of subresource integrity
	field    string // as Repr-Digest names it (RFC 9530, section 5); "" if it is not for that
	strength int
	make     func() hash.Hash
}

var algorithms = []algorithm{
	{"sha256", "sha-256", 1, sha256.New},
	{"sha384", "", 2, sha512.New384},
	{"sha512", "sha-512", 3, sha512.New},
}

// contentMD5 is that of the Content-MD5 header (RFC 1864).
var contentMD5 = algorithm{"md5", "", 0, md5.New}

// integrity is what content has to be: one of several digests by one algorithm. One
// without digests allows anything.
type integrity struct {
	by   algorithm
	sums [][]byte
}

// none reports whether nothing is demanded.
func (w *integrity) none() bool { return w == nil || len(w.sums) == 0 }

// add adds a digest, if its algorithm is not weaker than that of the others.
func (w *integrity) add(by algorithm, sum []byte) {
	switch {
	case len(w.sums) == 0 || by.strength > w.by.strength:
		w.by, w.sums = by, [][]byte{sum}
	case by.strength == w.by.strength:
		w.sums = append(w.sums, sum)
	}
}

func parseIntegrity(s string) (*integrity, error) {
	want := new(integrity)
	for token := range strings.FieldsSeq(s) {
		by, sum, err := parseDigest(token)
		if err != nil {
			return nil, err
		}
		want.add(by, sum)
	}
	return want, nil
}

func parseDigest(token string) (by algorithm, sum []byte, err error) {
	i := strings.IndexAny(token, "-:")
	if i < 0 {
		return by, nil, fmt.Errorf(`%q is no digest: it has the form "sha256-" and base64, or "sha256:" and hexadecimal`, quoteBad(token, 64))
	}
	for _, by := range algorithms {
		if !strings.EqualFold(by.name, token[:i]) {
			continue
		}
		if token[i] == ':' {
			sum, err = hex.DecodeString(token[i+1:])
		} else {
			text, _, _ := strings.Cut(token[i+1:], "?") // options, of which there are none yet
			sum, err = unbase64(text)
		}
		if err != nil || len(sum) != by.make().Size() {
			return by, nil, fmt.Errorf("%q is no digest by %s", quoteBad(token, 128), by.name)
		}
		return by, sum, nil
	}
	return by, nil, fmt.Errorf("unknown algorithm %q: use sha256, sha384 or sha512", quoteBad(token[:i], 32))
}

// unbase64 takes both alphabets, with padding or without, as subresource integrity does.
func unbase64(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}

// announced is what the fields of an answer say of its content before codings of the
// transfer: Repr-Digest (RFC 9530, section 3), and where there is none Content-MD5. What
// cannot be understood is passed over, as the RFC demands.
func announced(h http.Header) *integrity {
	want := new(integrity)
	for _, line := range h["Repr-Digest"] {
		for member := range strings.SplitSeq(line, ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(member), "=")
			for _, by := range algorithms {
				if by.field == "" || by.field != strings.TrimSpace(key) {
					continue
				}
				if sum, ok := byteSequence(value); ok && len(sum) == by.make().Size() {
					want.add(by, sum)
				}
			}
		}
	}
	if v := h["Content-Md5"]; len(want.sums) == 0 && len(v) == 1 {
		if sum, err := base64.StdEncoding.DecodeString(v[0]); err == nil && len(sum) == md5.Size {
			want.add(contentMD5, sum)
		}
	}
	return want
}

// byteSequence reads one of structured fields (RFC 9651, section 3.3.5), without its
// parameters.
func byteSequence(s string) ([]byte, bool) {
	s, _, _ = strings.Cut(s, ";")
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, false
	}
	sum, err := base64.StdEncoding.DecodeString(s[1 : len(s)-1])
	return sum, err == nil
}

// String gives the first digest in hexadecimal.
func (w *integrity) String() string { return fmt.Sprintf("%s:%x", w.by.name, w.sums[0]) }

// check says what is wrong with content that gave sum.
func (w *integrity) check(sum []byte) error {
	for _, s := range w.sums {
		if bytes.Equal(s, sum) {
			return nil
		}
	}
	return &cause{kind: ErrIntegrity, err: fmt.Errorf("it has %s:%x, not %v", w.by.name, sum, w)}
}

// guard lets the body of a successful answer end only if it is what the caller expects.
func (r *Request) guard(resp *Response) {
	if r.conduct == nil || r.conduct.integrity.none() || r.Method == http.MethodHead || switched(r.Method, resp.StatusCode) {
		return
	}
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299, resp.StatusCode == http.StatusNoContent:
		return
	}
	want := r.conduct.integrity
	resp.Body = &guardedBody{ReadCloser: resp.Body, resp: resp, want: want, sum: want.by.make()}
}

// guardedBody makes the digest of what is read.
type guardedBody struct {
	io.ReadCloser
	resp *Response
	want *integrity

	mu  sync.Mutex
	sum hash.Hash
	err error // what was found at the end; nil: not there yet
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Write(p[:n]) // never fails
	if err != io.EOF {
		return n, err
	}
	if b.err == nil {
		b.err = io.EOF
		if wrong := b.want.check(b.sum.Sum(nil)); wrong != nil {
			b.err = b.resp.fail("read", PhaseRead, wrong)
		}
	}
	return n, b.err
}
