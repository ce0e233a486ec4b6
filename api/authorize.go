package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// Grant is what [Resource.Authorize] asks for a token with (RFC 6749). It prints without
// what is secret in it.
type Grant struct {
	// Type is the grant_type: "client_credentials", which is the default, "password",
	// "authorization_code", "refresh_token", or the URI of an extension.
	Type string
	// ClientID and ClientSecret say which program asks, by HTTP Basic (section 2.3.1); one
	// that has no secret sends its ClientID as a parameter.
	ClientID, ClientSecret string
	// InBody sends ClientSecret as a parameter too, for servers that do not know Basic.
	InBody bool
	// Scopes are what the token is to be good for.
	Scopes []string
	// Params are whatever else the grant needs: username and password; code, redirect_uri
	// and code_verifier; refresh_token; audience; …
	Params parley.Params
}

// String names the type of the grant.
func (g Grant) String() string { return "<" + strconv.QuoteToASCII(g.kind()) + " grant>" }

// Format prints String for all verbs.
func (g Grant) Format(s fmt.State, _ rune) {
	io.WriteString(s, g.String()) // fmt keeps the error of its writer
}

// LogValue logs String.
func (g Grant) LogValue() slog.Value { return slog.StringValue(g.String()) }

// MarshalJSON gives String, for the sake of what logs values as JSON.
func (g Grant) MarshalJSON() ([]byte, error) { return json.Marshal(g.String()) }

func (g Grant) kind() string {
	if g.Type == "" {
		return "client_credentials"
	}
	return g.Type
}

// renewable reports whether the same grant can be used again: a code is for once.
func (g Grant) renewable() bool { return g.kind() != "authorization_code" }

// options give the request for a token. With a refresh token it is that which is used
// (section 6).
func (g Grant) options(refresh string) []parley.RequestOption {
	form := parley.Params{{Key: "grant_type", Value: g.kind()}}
	if refresh != "" {
		form = parley.Params{{Key: "grant_type", Value: "refresh_token"}, {Key: "refresh_token", Value: refresh}}
	} else {
		if len(g.Scopes) > 0 {
			form = append(form, parley.Param{Key: "scope", Value: strings.Join(g.Scopes, " ")})
		}
		form = append(form, g.Params...)
	}
	opts := []parley.RequestOption{
		parley.WithHeader("Accept", "application/json"),
		parley.WithFollowRedirects(false), // nobody else may get the secret
		parley.WithErrorType[*OAuthError](),
	}
	switch {
	case g.ClientID == "":
	case g.ClientSecret == "" || g.InBody:
		form = append(form, parley.Param{Key: "client_id", Value: g.ClientID})
		if g.ClientSecret != "" {
			form = append(form, parley.Param{Key: "client_secret", Value: g.ClientSecret})
		}
	default: // both are encoded as in a form before they are put together
		opts = append(opts, parley.WithBasicAuth(url.QueryEscape(g.ClientID), url.QueryEscape(g.ClientSecret)))
	}
	return append(opts, parley.WithForm(form))
}

// OAuthError is what a server says of a request for a token that it refuses (RFC 6749,
// section 5.2). It is found with [errors.As], as is the *[parley.StatusError] that came
// with it.
type OAuthError struct {
	Code        string // "invalid_client", "invalid_grant", …
	Description string // for programmers, in English
	URI         string // of a page about the error
}

// Error names the code, quoted and cut.
func (e *OAuthError) Error() string {
	return fmt.Sprintf("the server gives no token: %+.64q", e.Code)
}

// UnmarshalJSON reads the error's members; an object that names none is no such error.
func (e *OAuthError) UnmarshalJSON(data []byte) error {
	var members struct {
		Error            string
		ErrorDescription string `json:"error_description"`
		ErrorURI         string `json:"error_uri"`
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if members.Error == "" {
		return errors.New("no error of OAuth 2")
	}
	*e = OAuthError{Code: members.Error, Description: members.ErrorDescription, URI: members.ErrorURI}
	return nil
}

// Authorize gets a token of OAuth 2 from the resource, which is the server's token
// endpoint, and gives a session that sends it: one derived from the resource's own, with
// its pool and jar. The token goes where that session's values go: to the origin of its base
// URL and those that it trusts, or, without a base URL, to whatever the program asks for.
//
//	client, err := api.NewResource(c).Join("https://auth.example.com/token").Authorize(ctx, api.Grant{
//		ClientID: id, ClientSecret: secret, Scopes: []string{"repo"},
//	})
//
// The session renews it by itself, shortly before it expires and when it is refused (see
// [parley.TokenAuth]): with the refresh token, if the server has given one, else with the
// same grant again. A grant that cannot be used again, such as a code, ends then in an
// error that matches [parley.ErrAuth].
//
// opts are for all requests for tokens; ctx is for the first one alone. What the server
// refuses is an [OAuthError]. Redirects are not followed.
func (r *Resource) Authorize(ctx context.Context, g Grant, opts ...parley.RequestOption) (*parley.Client, error) {
	g.Scopes, g.Params = slices.Clone(g.Scopes), slices.Clone(g.Params)
	t := &tokenFetcher{endpoint: r.With(opts...), grant: g}
	first, err := t.fetch(ctx)
	if err != nil {
		return nil, err
	}
	auth := parley.TokenAuth(func(ctx context.Context) (parley.Token, error) {
		if token := first; token.Value != "" {
			first = parley.Token{}
			return token, nil
		}
		return t.fetch(ctx)
	})
	return r.client.With(parley.WithAuth(auth))
}

// tokenFetcher gets tokens, one after the other.
type tokenFetcher struct {
	endpoint *Resource
	grant    Grant
	asked    bool
	refresh  string // the refresh token; "": none
}

var errGrantUsed = errors.New("the grant cannot be used again and the server gave no refresh token: Authorize anew")

// fetch gets a token.
func (t *tokenFetcher) fetch(ctx context.Context) (parley.Token, error) {
	if t.refresh != "" {
		token, err := t.ask(ctx, t.refresh)
		var refused *OAuthError
		if err == nil || !errors.As(err, &refused) || refused.Code != "invalid_grant" {
			return token, err
		}
		// It is not valid any more; another try would not make it so.
		t.refresh = ""
		if !t.grant.renewable() {
			return parley.Token{}, err
		}
	}
	if t.asked && !t.grant.renewable() {
		return parley.Token{}, errGrantUsed
	}
	token, err := t.ask(ctx, "")
	t.asked = t.asked || err == nil
	return token, err
}

// ask sends a request for a token.
func (t *tokenFetcher) ask(ctx context.Context, refresh string) (parley.Token, error) {
	asked := time.Now() // the token's life began no earlier
	resp, err := t.endpoint.Request(ctx, http.MethodPost, t.grant.options(refresh)...)
	if err != nil {
		return parley.Token{}, err
	}
	var answer struct {
		AccessToken  string      `json:"access_token"`
		TokenType    string      `json:"token_type"`
		ExpiresIn    json.Number `json:"expires_in"` // some servers write a text
		RefreshToken string      `json:"refresh_token"`
	}
	if err := resp.JSON(&answer); err != nil {
		return parley.Token{}, err
	}
	if answer.AccessToken == "" {
		refused := new(OAuthError)
		if resp.JSON(refused) == nil { // some servers say so in a 200
			return parley.Token{}, answerError("auth", resp, refused)
		}
		return parley.Token{}, answerError("auth", resp, fmt.Errorf("%w: there is no access_token in the answer", parley.ErrAuth))
	}
	if answer.RefreshToken != "" {
		t.refresh = answer.RefreshToken
	}
	token := parley.Token{Value: answer.AccessToken, Type: answer.TokenType}
	if seconds, err := answer.ExpiresIn.Float64(); err == nil && seconds > 0 && seconds < math.MaxInt32 {
		token.Expires = asked.Add(time.Duration(seconds * float64(time.Second)))
	}
	return token, nil
}
