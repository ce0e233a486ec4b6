package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// tokenIssuer issues tokens, and has an API that takes the last one.
type tokenIssuer struct {
	mu      sync.Mutex
	t       *testing.T
	forms   []url.Values
	headers []http.Header
	answer  func(n int) string // to request n, from 1; "!" before it makes it a 400
	issued  int
	used    []string // Authorization of the API's requests
	revoked bool
}

func (s *tokenIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
			s.t.Error(r.Method, err)
		}
		s.forms, s.headers, s.revoked = append(s.forms, r.PostForm), append(s.headers, r.Header), false
		s.issued++
		text := s.answer(s.issued)
		w.Header().Set("Content-Type", "application/json")
		if text[0] == '!' {
			w.WriteHeader(http.StatusBadRequest)
			text = text[1:]
		}
		fmt.Fprint(w, text)
		return
	}
	s.used = append(s.used, r.Header.Get("Authorization"))
	if s.revoked {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// authorizing runs a test in a time of its own.
func authorizing(t *testing.T, answer func(n int) string, f func(t *testing.T, s *tokenIssuer, r *api.Resource)) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenIssuer{t: t, answer: answer}
		c, err := parley.New(parley.WithHandler(s), parley.WithBaseURL("http://a.test"))
		require.NoError(t, err)
		f(t, s, api.NewResource(c).At("token"))
		require.NoError(t, c.Close())
	})
}

// useToken sends a request of the API.
func useToken(t *testing.T, c *parley.Client) error {
	t.Helper()
	resp, err := c.Get(t.Context(), "things")
	if err != nil {
		return err
	}
	return resp.Err()
}

func TestAuthorize_request(t *testing.T) {
	for rule, tt := range map[string]struct {
		grant api.Grant
		opts  []parley.RequestOption
		form  url.Values
		auth  string
	}{
		"client credentials": {
			api.Grant{ClientID: "me", ClientSecret: "s3cret", Scopes: []string{"read", "write"}}, nil,
			url.Values{"grant_type": {"client_credentials"}, "scope": {"read write"}}, "Basic bWU6czNjcmV0",
		},
		"id and secret are encoded before they are put together": {
			api.Grant{ClientID: "a:b", ClientSecret: "c d%"}, nil, url.Values{"grant_type": {"client_credentials"}}, "Basic YSUzQWI6YytkJTI1",
		},
		"the secret in the content": {
			api.Grant{ClientID: "me", ClientSecret: "s", InBody: true}, nil,
			url.Values{"grant_type": {"client_credentials"}, "client_id": {"me"}, "client_secret": {"s"}}, "",
		},
		"no secret, and a code": {
			api.Grant{Type: "authorization_code", ClientID: "me", Params: parley.Params{{Key: "code", Value: "c"}, {Key: "code_verifier", Value: "v"}}}, nil,
			url.Values{"grant_type": {"authorization_code"}, "client_id": {"me"}, "code": {"c"}, "code_verifier": {"v"}}, "",
		},
		"a password, and another way to say who asks": {
			api.Grant{Type: "password", Params: parley.Params{{Key: "username", Value: "ann"}, {Key: "password", Value: "p"}}},
			[]parley.RequestOption{parley.WithBasicAuth("x", "y")},
			url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"p"}}, "Basic eDp5",
		},
	} {
		t.Run(rule, func(t *testing.T) {
			authorizing(t, func(int) string { return `{"access_token":"t1","token_type":"bearer"}` }, func(t *testing.T, s *tokenIssuer, r *api.Resource) {
				c, err := r.Authorize(t.Context(), tt.grant, tt.opts...)
				require.NoError(t, err)
				require.NoError(t, useToken(t, c))
				require.NoError(t, useToken(t, c))
				require.Equal(t, []url.Values{tt.form}, s.forms, "one token serves all requests")
				require.Equal(t, tt.auth, s.headers[0].Get("Authorization"))
				require.Equal(t, "application/json", s.headers[0].Get("Accept"))
				require.Equal(t, []string{"Bearer t1", "Bearer t1"}, s.used)
				require.NoError(t, useToken(t, r.Client()))
				require.Equal(t, "", s.used[2], "the session that it is derived from stays as it was")
			})
		})
	}
}

func TestAuthorize_renews(t *testing.T) {
	grant := func(of url.Values) string { return of.Get("grant_type") + of.Get("refresh_token") }
	for rule, tt := range map[string]struct {
		kind    string
		answers []string
		revoke  bool
		asked   []string
		fails   bool
	}{
		"with the refresh token when it expires": {
			"authorization_code", []string{`{"access_token":"1","expires_in":60,"refresh_token":"r1"}`, `{"access_token":"2","expires_in":"60"}`, `{"access_token":"3","refresh_token":"r3"}`}, false,
			[]string{"authorization_code", "refresh_tokenr1", "refresh_tokenr1"}, false,
		},
		"with the one that it was replaced by": {
			"password", []string{`{"access_token":"1","expires_in":60,"refresh_token":"r1"}`, `{"access_token":"2","expires_in":60,"refresh_token":"r2"}`, `{"access_token":"3"}`}, false,
			[]string{"password", "refresh_tokenr1", "refresh_tokenr2"}, false,
		},
		"when it is refused": {
			"client_credentials", []string{`{"access_token":"1"}`, `{"access_token":"2"}`, `{"access_token":"3"}`}, true,
			[]string{"client_credentials", "client_credentials", "client_credentials"}, false,
		},
		"with the grant, when the refresh token is not good any more": {
			"password", []string{`{"access_token":"1","expires_in":60,"refresh_token":"r1"}`, `!{"error":"invalid_grant"}`, `{"access_token":"2","expires_in":60}`, `{"access_token":"3"}`}, false,
			[]string{"password", "refresh_tokenr1", "password", "password"}, false,
		},
		"not with a code that has been used": {"authorization_code", []string{`{"access_token":"1","expires_in":60}`}, false, []string{"authorization_code"}, true},
		"nor after its refresh token": {
			"authorization_code", []string{`{"access_token":"1","expires_in":60,"refresh_token":"r1"}`, `!{"error":"invalid_grant"}`}, false,
			[]string{"authorization_code", "refresh_tokenr1"}, true,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			authorizing(t, func(n int) string { return tt.answers[n-1] }, func(t *testing.T, s *tokenIssuer, r *api.Resource) {
				c, err := r.Authorize(t.Context(), api.Grant{Type: tt.kind})
				require.NoError(t, err)
				for range 3 {
					err = errors.Join(err, useToken(t, c))
					time.Sleep(time.Minute)
					s.revoked = tt.revoke
				}
				var asked []string
				for _, form := range s.forms {
					asked = append(asked, grant(form))
				}
				require.Equal(t, tt.asked, asked)
				if tt.fails {
					require.ErrorIs(t, err, parley.ErrAuth)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "Bearer 3", s.used[len(s.used)-1])
			})
		})
	}
}

func TestAuthorize_failures(t *testing.T) {
	for rule, tt := range map[string]struct {
		answer string
		code   string
		kind   error
	}{
		"a refusal":               {`!{"error":"invalid_client","error_description":"secret text","error_uri":"https://a.test/help"}`, "invalid_client", nil},
		"a refusal in a 200":      {`{"error":"bad_verification_code"}`, "bad_verification_code", nil},
		"a refusal of other form": {`!{"message":"no"}`, "", nil},
		"no token":                {`{"token":"x"}`, "", parley.ErrAuth},
		"no JSON":                 {`access_token=x`, "", parley.ErrDecoding},
		"a time that is none":     {`{"access_token":"x","expires_in":"soon"}`, "", parley.ErrDecoding},
	} {
		t.Run(rule, func(t *testing.T) {
			authorizing(t, func(int) string { return tt.answer }, func(t *testing.T, s *tokenIssuer, r *api.Resource) {
				_, err := r.Authorize(t.Context(), api.Grant{ClientID: "me", ClientSecret: "s3cret"})
				require.Error(t, err)
				require.NotContains(t, err.Error(), "secret")
				var refused *api.OAuthError
				require.Equal(t, tt.code != "", errors.As(err, &refused))
				if tt.code != "" {
					require.Equal(t, tt.code, refused.Code)
					require.ErrorContains(t, refused, tt.code)
				}
				if tt.answer[0] == '!' {
					require.ErrorAs(t, err, new(*parley.StatusError))
				}
				if tt.kind != nil {
					require.ErrorIs(t, err, tt.kind)
				}
			})
		})
	}
	authorizing(t, func(int) string { return `{"access_token":"with space"}` }, func(t *testing.T, s *tokenIssuer, r *api.Resource) {
		c, err := r.Authorize(t.Context(), api.Grant{})
		require.NoError(t, err)
		require.ErrorIs(t, useToken(t, c), parley.ErrAuth)
	})
}

// Neither the token nor the secret goes where it is not meant for.
func TestAuthorize_staysWithItsOrigin(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	seen := func(_ http.ResponseWriter, r *http.Request) { got[r.Host] = r.Header.Get("Authorization") }
	moved := false
	c := resourceClient(t, parley.WithBaseURL("http://api.test"), parley.WithHeader("X-Key", "k"), parley.WithHandler(resourceHosts{
		"auth.test": func(w http.ResponseWriter, r *http.Request) {
			if moved {
				http.Redirect(w, r, "http://evil.test/", http.StatusTemporaryRedirect)
				return
			}
			if r.Header.Get("X-Key") != "" {
				t.Error("what is meant for the API went to the token endpoint")
			}
			serveJSON(w, `{"access_token":"t","token_type":"Bearer"}`)
		},
		"api.test": seen, "other.test": seen,
		"evil.test": func(http.ResponseWriter, *http.Request) { t.Error("the secret was sent on") },
	}))
	tokens := api.NewResource(c).Join("http://auth.test/token")
	session, err := tokens.Authorize(t.Context(), api.Grant{ClientID: "me", ClientSecret: "s", InBody: true})
	require.NoError(t, err)
	for _, url := range []string{"x", "http://other.test/"} {
		_, err := session.Get(t.Context(), url)
		require.NoError(t, err)
	}
	require.Equal(t, map[string]string{"api.test": "Bearer t", "other.test": ""}, got)
	moved = true
	_, err = tokens.Authorize(t.Context(), api.Grant{ClientID: "me", ClientSecret: "s", InBody: true})
	require.ErrorAs(t, err, new(*parley.StatusError))
}

// However many requests are sent at once, a refused token is renewed once.
func TestAuthorize_isSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := &tokenIssuer{t: t, answer: func(n int) string { return fmt.Sprintf(`{"access_token":"t%d"}`, n) }}
	c := resourceClient(t, parley.WithHandler(s), parley.WithBaseURL("http://a.test"))
	session, err := api.NewResource(c).At("token").Authorize(t.Context(), api.Grant{})
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := useToken(t, session); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Len(t, s.forms, 1)
	require.Len(t, s.used, 8)
}
