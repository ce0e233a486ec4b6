package parley

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley/internal/challenge"
	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/digest"
	"github.com/seed-0474a412/parley/internal/h1"
)

// WithProxyDigest(true) uses the user and password of an HTTP proxy's URL for Digest
// authentication alone (RFC 7616): nothing of them is sent before the proxy asks with a
// 407, and never the password itself. Without it they are sent as Basic right away,
// and a proxy that refuses this and knows Digest gets that. Either way a pool remembers
// for each proxy what it asked for, so that one request alone needs a second round;
// one whose body cannot be sent again then fails with ErrBodyNotRewindable.
//
// WithProxyDigest(false) takes it back. It means nothing to other proxies, and
// nothing where [WithProxyHeader] sets Proxy-Authorization.
func WithProxyDigest(only bool) Option {
	return option(func(s *settings) error {
		s.conduct.proxyHeader = (&proxyHeader{digest: chosen(only)}).over(s.conduct.proxyHeader)
		return nil
	})
}

// maxProxyLogins is how many proxies with their credentials a pool remembers. What is
// forgotten costs a round trip.
const maxProxyLogins = 64

// proxyLogins are what is known of proxies that want Digest, each with its credentials
// apart from all others.
type proxyLogins struct {
	mu     sync.Mutex
	logins []*proxyLogin // the latest first
}

// proxyLogin is one proxy with one user.
type proxyLogin struct {
	via    route
	url    *url.URL // which stands for the proxy where others have an origin
	digest *digestAuth
}

// of gives what is known of a proxy.
func (l *proxyLogins) of(via route, h hop) *proxyLogin {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.logins, func(p *proxyLogin) bool { return p.via == via }); i >= 0 {
		known := l.logins[i]
		l.logins = toFront(l.logins, i)
		return known
	}
	p := &proxyLogin{via: via, url: &url.URL{Scheme: h.scheme, Host: h.address()}, digest: newDigestAuth(h.login.User, h.login.Password)}
	l.logins = slices.Insert(l.logins, 0, p)
	if len(l.logins) > maxProxyLogins {
		l.logins = slices.Delete(l.logins, maxProxyLogins, len(l.logins))
	}
	return p
}

// digests reports whether a proxy's challenge can be answered.
func (h hop) digests() bool {
	if h.socks() || h.login == (dial.Login{}) {
		return false
	}
	for line := range strings.Lines(h.fields) {
		if strings.HasPrefix(line, proxyAuthorization+":") {
			return false
		}
	}
	return true
}

// proxyRounds are the sends of one request, or CONNECT, until the proxy takes it. A nil
// one sends no Digest and answers nothing.
type proxyRounds struct {
	login *proxyLogin
	basic bool // without a challenge, the password is sent as it is
	sends int
	known bool // the first was sent with a nonce that had been there before
	space *digestSpace
	m     *digest.Message
}

// begin starts the rounds of a request that goes to the proxy of via.
func (l *proxyLogins) begin(via route, h hop) *proxyRounds {
	if !h.digests() {
		return nil
	}
	login := l.of(via, h)
	space := login.digest.state.find(login.url)
	return &proxyRounds{login: login, basic: h.basic != "", known: space != nil, space: space}
}

// sign gives the credentials for the next send; "" for those that the proxy gets anyway.
func (r *proxyRounds) sign(ctx context.Context, method, uri string, body Body) (string, error) {
	if r == nil {
		return "", nil
	}
	r.sends++
	r.m = &digest.Message{Method: method, URI: uri}
	if r.space == nil {
		return "", nil
	}
	return r.login.digest.sign(ctx, r.space, r.m, body)
}

// again takes a 407 and reports whether to send again. A password that was refused as
// Basic is not tried once more as Digest.
func (r *proxyRounds) again(header http.Header) (bool, error) {
	if r == nil {
		return false, nil
	}
	list := challenge.Parse(header["Proxy-Authenticate"])
	c := digest.Choose(list)
	refused := r.space == nil && r.basic && slices.ContainsFunc(list, func(c challenge.Challenge) bool { return c.Is("Basic") })
	if c == nil || refused || !answersAgain(c, r.sends, r.known, r.space, r.m) {
		r.login.digest.state.forget(r.space)
		return false, nil
	}
	c.Domain = nil // it is for all that the proxy is asked for (RFC 7616, section 3.3)
	var err error
	r.space, err = r.login.digest.learn(r.login.url, c, r.space)
	return err == nil, err
}

// taken is told that the proxy did not refuse the last send.
func (r *proxyRounds) taken() {
	if r != nil && r.sends > 1 {
		r.keep()
	}
}

// proxyInfo is what a proxy says of credentials that were right: a proof of its own, and the
// nonce that it wants next (RFC 7615, section 4; RFC 7616, section 3.5).
const proxyInfo = "Proxy-Authentication-Info"

// informed reads what comes with the answer to a CONNECT that was taken.
func (r *proxyRounds) informed(header http.Header) error {
	if r == nil {
		return nil
	}
	p, ok := readProof(header[proxyInfo], r.space, r.m)
	switch {
	case !ok:
		return nil
	case p.Given() && !r.space.key.Check(&p, r.m, digest.BodyHash(r.space.key.NewHash())):
		return wrongProof(proxyInfo)
	case p.NextNonce != "":
		r.login.digest.state.renew(r.space, p.NextNonce)
	}
	return nil
}

// proven is informed for the response to a request that the proxy forwarded.
func (r *proxyRounds) proven(resp *Response) (*Response, error) {
	if r == nil {
		return resp, nil
	}
	return r.login.digest.checkProof(resp, proxyInfo, r.space, r.m)
}

// keep lets all requests use what the last challenge asks for.
func (r *proxyRounds) keep() { r.login.digest.state.keep(r.space) }

// sendThrough sends a request that the proxy of via forwards, and answers a challenge.
func (x *exchange) sendThrough(via route, h hop) (*Response, error) {
	rounds := x.pool.logins.begin(via, h)
	uri := forwardedTarget(x.req)
	for {
		login, err := rounds.sign(x.ctx, x.req.Method, uri, x.req.Body)
		if err != nil {
			return nil, x.fail(PhaseAuth, NotSent, because(ErrProxy, err))
		}
		resp, err := x.carry(via, login)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusProxyAuthRequired {
			rounds.taken()
			return rounds.proven(resp)
		}
		again, err := rounds.again(resp.Header)
		if err == nil && !again {
			return resp, nil
		}
		if err == nil && !canSendAgain(x.req.Body) {
			rounds.keep() // for others
			err = because(ErrBodyNotRewindable, errors.New("the proxy asks for credentials first; give a *bytes.Reader, a file "+
				"or a Body of your own, or send another request before it"))
		}
		x.discard(maxRefusal)
		if err != nil {
			return nil, resp.fail("send", PhaseAuth, because(ErrProxy, err))
		}
		x = x.pool.newExchange(x.ctx, x.req, x.rec.call)
	}
}

// forwardedTarget gives the request target that a proxy sees.
func forwardedTarget(req *Request) string {
	var p plan
	h := h1.RequestHead{Target: req.Target, Host: req.Host, Header: canonical(req.Header)}
	p.address(req, &h, true)
	return h.Target
}
