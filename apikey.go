package parley

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"slices"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// APIKeyHeader gives a key that is sent in a header, such as X-Api-Key. Unlike a header
// that is set by [WithHeader] it is known to be a secret. A malformed name or key is
// ErrInvalidHeader; headers that HTTP itself needs cannot be used.
func APIKeyHeader(name, key string) (Auth, error) {
	if err := h1.CheckField(name, key); err != nil {
		return nil, because(ErrInvalidHeader, err)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if slices.Contains(messageHeaders, name) {
		return nil, failed("APIKeyHeader: %s says something about the message itself", name)
	}
	if key == "" {
		return nil, failed("APIKeyHeader: the key is empty")
	}
	return &headerAuth{scheme: "API key", name: name, value: key}, nil
}

// APIKeyQuery gives a key that is sent as a parameter of the query, in place of one of
// that name. It is in the URL of the request that a response was for, which prints
// without its query; servers and proxies on the way may write it into their logs, so
// that a header is the better place where the API allows it.
func APIKeyQuery(name, key string) (Auth, error) {
	if name == "" || key == "" {
		return nil, failed("APIKeyQuery: name or key is empty")
	}
	return &queryAuth{name: name, key: key}, nil
}

// queryAuth adds a parameter.
type queryAuth struct{ name, key string }

func (a *queryAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	if req.Target != "" {
		return nil, buildError(req.Method, req.URL, because(ErrLocalProtocol, errors.New("an API key cannot be added to a request target that was given as it is")))
	}
	out, u := *req, *req.URL
	u.RawQuery = urls.AppendQuery(urls.RemoveKeys(u.RawQuery, a.name), []Param{{Key: a.name, Value: a.key}}, urls.Percent)
	u.ForceQuery = false
	out.URL = &u
	return next.Send(ctx, &out)
}

// String names the scheme.
func (a *queryAuth) String() string { return "<API key auth>" }

// Format names the scheme for all verbs.
func (a *queryAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, a.String()) }

// CombineAuth applies several: the first is the outermost and sees what the server says
// after the others have done their part, so that one that answers challenges is best
// the last. All of them together send a request three times at most. Two that use the
// same header are a mistake: the last wins.
func CombineAuth(auths ...Auth) Auth { return combinedAuth(slices.Clone(auths)) }

// combinedAuth is several, the outermost first.
type combinedAuth []Auth

func (c combinedAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	if len(c) == 0 {
		return next.Send(ctx, req)
	}
	if c[0] == nil {
		return nil, buildError(req.Method, req.URL, failed("CombineAuth was given an Auth that is nil"))
	}
	resp, err := c[0].Send(ctx, req, TransportFunc(func(ctx context.Context, req *Request) (*Response, error) {
		resp, err := c[1:].Send(ctx, req, next)
		return complete(req, resp, err)
	}))
	return complete(req, resp, err)
}

// String names how many there are.
func (c combinedAuth) String() string { return fmt.Sprintf("<%d auths combined>", len(c)) }

// Format names how many there are for all verbs: those of others may print their secrets.
func (c combinedAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, c.String()) }
