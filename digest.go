package parley

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"

	"github.com/seed-0474a412/parley/internal/challenge"
	"github.com/seed-0474a412/parley/internal/digest"
	"github.com/seed-0474a412/parley/internal/urls"
)

// DigestAuth answers the challenges of Digest authentication (RFC 7616) with user name
// and password, encoded as UTF-8. A user name with a colon and control bytes in either
// are an error.
//
// Of several challenges the strongest is answered: SHA-512-256 before SHA-256 before
// MD5, and qop auth-int before auth where the body can be read beforehand. A challenge
// of another algorithm or qop is not answered, and the 401 is what the call returns,
// as it is where the password was wrong.
//
// The first request to a server is sent without credentials; later ones, from whatever
// session, use the nonce it gave, as long as that lasts, and need no second round.
// Where a body cannot be sent again and there is no nonce yet the call fails with
// ErrBodyNotRewindable; another request before it avoids that.
//
// A server that proves its knowledge of the password in Authentication-Info (section
// 3.5) and does so wrongly fails the call with ErrAuth, for a proof that covers the body
// at the body's end. One that covers a body which parley has decoded cannot be checked
// and is not.
//
// The value is made to be kept: what it learns of nonces is lost with it. It is safe
// for concurrent use and remembers at most 64 protection spaces.
func DigestAuth(user, password string) (Auth, error) {
	if err := checkLogin("Digest", user, password); err != nil {
		return nil, err
	}
	return newDigestAuth(user, password), nil
}

func newDigestAuth(user, password string) *digestAuth {
	return &digestAuth{user: user, password: password, clientNonce: func() (string, error) { return newClientNonce(rand.Reader) }}
}

// digestAuth answers challenges. What it has learnt is in its state.
type digestAuth struct {
	user, password string
	clientNonce    func() (string, error)
	state          digestState
}

// String names the scheme.
func (d *digestAuth) String() string { return "<Digest auth>" }

// Format names the scheme for all verbs.
func (d *digestAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, d.String()) }

// newClientNonce gives 128 random bits in hexadecimal digits.
func newClientNonce(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("no random bytes for a client nonce: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Send sends with the nonce that is known, if any, and answers a challenge.
func (d *digestAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	space := d.state.find(req.URL)
	known := space != nil
	for sends := 1; ; sends++ {
		out, m, err := d.authorize(ctx, req, space)
		if err != nil {
			return nil, err
		}
		resp, err := next.Send(ctx, out)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			if sends > 1 {
				d.state.keep(space)
			}
			return d.checkProof(resp, "Authentication-Info", space, m)
		}
		c := digest.Choose(challenge.Parse(resp.Header["Www-Authenticate"]))
		if c == nil || !answersAgain(c, sends, known, space, m) {
			d.state.forget(space)
			return resp, nil
		}
		if space, err = d.learn(req.URL, c, space); err == nil && !canSendAgain(req.Body) {
			d.state.keep(space) // for others
			err = &cause{kind: ErrBodyNotRewindable, err: errors.New("the server asks for credentials first; give a *bytes.Reader, a file " +
				"or a Body of your own, or send another request before it")}
		}
		resp.Close() // drains a little, so that the connection can be used again
		if err != nil {
			return nil, resp.fail("auth", PhaseAuth, err)
		}
	}
}

// answersAgain reports whether to answer a challenge. What was refused once with that
// password is not tried again: that would lock accounts. A stale nonce is no refusal
// (RFC 7616, section 3.3), but one more try is enough for it.
func answersAgain(c *digest.Challenge, sends int, known bool, space *digestSpace, m *digest.Message) bool {
	switch {
	case sends == 1 && !known:
		return true
	case sends == 1: // with a nonce that may have ended, or with what is for another realm
		return c.Stale || c.Nonce != m.Nonce || c.Realm != space.challenge.Realm
	}
	return sends == 2 && !known && c.Stale
}

// authorize gives a copy with credentials, and what they are about. Without a space
// the request goes as it is.
func (d *digestAuth) authorize(ctx context.Context, req *Request, space *digestSpace) (*Request, *digest.Message, error) {
	m := &digest.Message{Method: req.Method, URI: req.Target}
	if space == nil {
		return req, m, nil
	}
	if m.URI == "" {
		m.URI = urls.Target(req.URL)
	}
	value, err := d.sign(ctx, space, m, req.Body)
	if err != nil {
		return nil, nil, buildError(req.Method, req.URL, err)
	}
	return withHeader(req, "Authorization", value), m, nil
}

// sign gives the credentials for a message with a body, if it has one.
func (d *digestAuth) sign(ctx context.Context, space *digestSpace, m *digest.Message, body Body) (string, error) {
	readable := body == nil || body.Replayable()
	offered, only := space.challenge.Integrity()
	if only && !readable {
		return "", &cause{kind: ErrBodyNotRewindable,
			err: errors.New("it has to be hashed beforehand (qop auth-int); give a *bytes.Reader, a file or a Body of your own")}
	}
	if m.Integrity = offered && readable; m.Integrity {
		h := space.key.NewHash()
		if err := hashBody(ctx, h, body); err != nil {
			return "", fmt.Errorf("hash the body: %w", err)
		}
		m.BodyHash = digest.BodyHash(h)
	}
	if m.ClientNonce = space.session; m.ClientNonce == "" {
		var err error
		if m.ClientNonce, err = d.clientNonce(); err != nil {
			return "", because(ErrAuth, err)
		}
	}
	var ok bool
	if m.Nonce, m.Count, ok = d.state.use(space); !ok {
		return "", because(ErrAuth, errors.New("the nonce has been used as often as can be counted"))
	}
	return space.key.Header(m), nil
}

// learn makes a protection space of a challenge of u, unless it is known already, and
// lets all requests use it. Where the nonce comes in place of a stale one, that of before,
// it is kept for others only once it has served: a server that wants the counts of a
// nonce in order, such as Squid, ends it when requests overtake each other, and the next
// try of a request must not be disturbed by others in its turn.
func (d *digestAuth) learn(u *url.URL, c *digest.Challenge, before *digestSpace) (*digestSpace, error) {
	if c.Stale {
		d.state.forget(before)
	}
	if known := d.state.same(u, c); known != nil {
		return known, nil
	}
	session := ""
	if c.Session() {
		var err error
		if session, err = d.clientNonce(); err != nil {
			return nil, because(ErrAuth, err)
		}
	}
	space := d.state.counted(&digestSpace{
		origin: originOf(u), challenge: c, session: session,
		key: digest.NewKey(c, d.user, d.password, session), paths: protected(u, c.Domain),
	})
	if !c.Stale {
		d.state.keep(space)
	}
	return space, nil
}

// checkProof looks at the field Authentication-Info, or a proxy's of that kind (RFC 7615,
// sections 3 and 4): the server's proof, and the next nonce.
func (d *digestAuth) checkProof(resp *Response, field string, space *digestSpace, m *digest.Message) (*Response, error) {
	p, ok := readProof(resp.Header[field], space, m)
	if !ok {
		return resp, nil // no proof; none is demanded
	}
	check := func(h hash.Hash) error {
		if space.key.Check(&p, m, digest.BodyHash(h)) {
			return nil
		}
		return resp.fail("auth", PhaseAuth, wrongProof(field))
	}
	switch {
	case !p.Given(), p.Integrity && resp.Uncompressed:
	case p.Integrity && resp.Body != http.NoBody:
		resp.Body = &provenBody{ReadCloser: resp.Body, sum: space.key.NewHash(), check: check}
	default:
		if err := check(space.key.NewHash()); err != nil {
			resp.Close() // that it could not be closed adds nothing to why it is given up
			return nil, err
		}
	}
	if p.NextNonce != "" {
		d.state.renew(space, p.NextNonce)
	}
	return resp, nil
}

// readProof reads the lines of Authentication-Info. ok is false where they say nothing.
func readProof(lines []string, space *digestSpace, m *digest.Message) (p digest.Proof, ok bool) {
	if space == nil || len(lines) == 0 {
		return p, false
	}
	info, ok := challenge.ParseInfo(lines)
	if !ok {
		return p, false
	}
	return space.key.ReadProof(&info, m), true
}

func wrongProof(field string) error {
	err := because(ErrAuth, errors.New("the proof that the other side knows the password is wrong ("+field+": rspauth)"))
	if field == proxyInfo {
		return because(ErrProxy, err)
	}
	return err
}

// provenBody checks a proof that covers the body, at its end.
type provenBody struct {
	io.ReadCloser
	sum   hash.Hash
	check func(hash.Hash) error
	err   error // at the end
}

func (b *provenBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.sum.Write(p[:n])
	if err == io.EOF {
		if failed := b.check(b.sum); failed != nil {
			err = failed
		}
		b.err = err
	}
	return n, err
}

// hashBody reads a body from its beginning to its end.
func hashBody(ctx context.Context, h hash.Hash, body Body) error {
	if body == nil {
		return nil
	}
	if data := contentOf(body); data != nil {
		h.Write(data)
		return nil
	}
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close() // only read
	buf := make([]byte, 32<<10)
	for {
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// canSendAgain reports whether a body can be sent after a first try.
func canSendAgain(body Body) bool {
	return body == nil || body.Size() == 0 || body.Replayable() || untouched(body)
}
