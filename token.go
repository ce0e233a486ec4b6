package parley

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
)

// Token is what a [TokenSource] gives. It prints without its value, also as JSON, which
// is how many logs are written.
type Token struct {
	Value   string    `json:"-"` // printable ASCII without spaces
	Type    string    // the scheme of the Authorization header; "": Bearer
	Expires time.Time // zero: never
}

// String names the scheme.
func (t Token) String() string { return "<" + quoteBad(t.scheme(), 32) + " token>" }

// Format names the scheme for all verbs.
func (t Token) Format(s fmt.State, verb rune) { printSafe(s, verb, t.String()) }

// LogValue logs the scheme.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// scheme gives the type. OAuth 2 servers write bearer in any case (RFC 6749, section
// 7.1), and some take it in this one only.
func (t Token) scheme() string {
	if t.Type == "" || strings.EqualFold(t.Type, "bearer") {
		return "Bearer"
	}
	return t.Type
}

// TokenSource gets a new token, say by a login or with a refresh token. It is asked
// only when one is needed, by one goroutine at a time, and must not give the same one
// again while it may have been revoked: a source with a memory of its own should forget
// what it gave before.
//
// Its context has the values of the request that needed the token first, and ends when
// no request waits for it any more.
type TokenSource func(ctx context.Context) (Token, error)

// TokenAuth sends tokens of a source. The first request gets one, and all that come
// meanwhile wait for it, as long as their own contexts allow. It is renewed shortly
// before it expires (10 s, or a tenth of its life if that is less), and when the server
// answers 401: once for all requests that had it refused, each of which is then sent
// once more if its body can be. The second 401, or one to a request that cannot be
// sent again, is what the call returns. A source that fails is ErrAuth, with its error.
//
// The value is made to be kept by a session, and safe for concurrent use.
func TokenAuth(src TokenSource) Auth {
	a := &tokenAuth{renews: true, ends: true}
	if src != nil {
		a.source = func(ctx context.Context) (*credential, error) {
			t, err := src(ctx)
			if err != nil {
				return nil, err
			}
			return t.credential(time.Now())
		}
	}
	return a
}

// Most of what a token's life is shortened by, for clocks that differ and for the way
// to the server.
const maxTokenMargin = 10 * time.Second

// credential gives the header for a token that was got at now.
func (t Token) credential(now time.Time) (*credential, error) {
	header := t.scheme() + " " + t.Value
	if t.Value == "" || strings.ContainsFunc(t.Value, func(r rune) bool { return r <= ' ' || r > '~' }) || h1.CheckField(t.scheme(), "") != nil {
		return nil, errNoToken
	}
	if t.Expires.IsZero() {
		return &credential{header, func() bool { return true }}, nil
	}
	life := t.Expires.Sub(now)
	renew := t.Expires.Add(-min(maxTokenMargin, life/10))
	return &credential{header, func() bool { return time.Now().Before(renew) }}, nil
}

// OAuth2Auth sends the tokens of a TokenSource of golang.org/x/oauth2 (whose type is
// not named here, so that this package does not need that one): client credentials,
// refresh tokens and whatever else it offers.
//
//	auth := parley.OAuth2Auth(conf.TokenSource(ctx))
//
// The source is asked, once for all requests that wait, when there is no token yet or
// the last one is not Valid any more. It takes no context: a request that gives up does
// not end its work. A source that fails is ErrAuth, with its error, such as
// *oauth2.RetrieveError.
//
// A 401 is returned as it is, for the source cannot be told to forget a token that it
// takes for valid. Where tokens are revoked early use [TokenAuth] with a function that
// asks anew each time; the program in examples/oauth2 shows both.
func OAuth2Auth[T interface {
	Valid() bool
	SetAuthHeader(*http.Request)
}](src interface{ Token() (T, error) }) Auth {
	a := &tokenAuth{}
	if src != nil {
		a.source = func(context.Context) (*credential, error) {
			t, err := src.Token()
			if err != nil {
				return nil, err
			}
			r := &http.Request{Header: make(http.Header)}
			t.SetAuthHeader(r)
			header := r.Header.Get("Authorization")
			if header == "" || h1.CheckField("Authorization", header) != nil {
				return nil, errNoToken
			}
			return &credential{header, t.Valid}, nil
		}
	}
	return a
}

// tokenAuth keeps a credential and gets new ones.
type tokenAuth struct {
	source func(ctx context.Context) (*credential, error) // nil: the caller gave none
	renews bool                                           // on a 401
	ends   bool                                           // with its context

	mu      sync.Mutex
	current *credential // nil: none yet
	fetch   *tokenFetch // nil: none is under way
}

// credential is the value of an Authorization header.
type credential struct {
	header string
	valid  func() bool // whether requests may begin with it
}

// String names what it is.
func (a *tokenAuth) String() string { return "<token auth>" }

// Format names what it is for all verbs.
func (a *tokenAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, a.String()) }

// Send sends with the current token and, if that is refused, with the next one.
func (a *tokenAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	c, err := a.get(ctx, nil)
	if err != nil {
		return nil, tokenError(ctx, req, err)
	}
	resp, err := next.Send(ctx, withHeader(req, "Authorization", c.header))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !a.renews || !canSendAgain(req.Body) {
		return resp, err
	}
	// The source may need the connection of that answer.
	resp.Close() // drains a little, so that the connection can be used again
	if c, err = a.get(ctx, c); err != nil {
		return nil, tokenError(ctx, req, err)
	}
	return next.Send(ctx, withHeader(req, "Authorization", c.header))
}

func tokenError(ctx context.Context, req *Request, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = contextError(ctx)
	} else {
		err = because(ErrAuth, err)
	}
	e := buildError(req.Method, req.URL, err)
	e.Op, e.Phase, e.Limit = "auth", PhaseAuth, totalOf(err)
	return e
}

// fetching marks the context of a source's call.
type fetching struct{ a *tokenAuth }

var (
	errNoToken     = errors.New("the token source gave something else than a token: it must be printable ASCII without spaces, its type a word")
	errNoSource    = failed("there is no token source")
	errOwnSource   = errors.New("the token source sends a request that would ask it for a token: send that one WithoutAuth")
	errSourceEnded = errors.New("the token source ended its goroutine")
)

// get gives a credential other than the refused one, nil if none was.
func (a *tokenAuth) get(ctx context.Context, refused *credential) (*credential, error) {
	if a.source == nil {
		return nil, errNoSource
	}
	for {
		a.mu.Lock()
		if c := a.current; c != nil && c != refused && c.valid() {
			a.mu.Unlock()
			return c, nil
		}
		if ctx.Value(fetching{a}) != nil {
			a.mu.Unlock()
			return nil, errOwnSource
		}
		f := a.fetch
		if f == nil {
			f = a.startLocked(ctx)
		}
		if !f.abandoned {
			f.waiters++
			a.mu.Unlock()
			return a.wait(ctx, f)
		}
		a.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tokenFetch is one call of the source.
type tokenFetch struct {
	done   chan struct{} // closed when the last three fields are there
	cancel context.CancelFunc

	waiters   int  // guarded by tokenAuth.mu, as is the next
	abandoned bool // nobody waited any more: it was told to end

	got      *credential
	err      error
	panicked any
}

// startLocked calls the source on a goroutine of its own, which ends with that: the
// request that is the first to need a token may be gone before the others.
func (a *tokenAuth) startLocked(ctx context.Context) *tokenFetch {
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), fetching{a}, true))
	f := &tokenFetch{done: make(chan struct{}), cancel: cancel, err: errSourceEnded}
	a.fetch = f
	go a.run(ctx, f)
	return f
}

func (a *tokenAuth) run(ctx context.Context, f *tokenFetch) {
	defer f.cancel()
	defer func() {
		f.panicked = recover() // it is the waiters' to deal with
		a.mu.Lock()
		a.fetch = nil
		if f.got != nil {
			a.current = f.got
		}
		a.mu.Unlock()
		close(f.done)
	}()
	f.got, f.err = a.source(ctx)
}

// wait waits for a fetch. The last one that gives up tells it to end.
func (a *tokenAuth) wait(ctx context.Context, f *tokenFetch) (*credential, error) {
	select {
	case <-f.done:
		if f.panicked != nil {
			panic(f.panicked)
		}
		return f.got, f.err
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.waiters--; f.waiters == 0 && a.ends {
		f.abandoned = true
		f.cancel()
	}
	return nil, ctx.Err()
}
