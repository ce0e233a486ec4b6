package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// seen is what a fake server got.
type seen struct {
	Path, Login, Type, Agent, Body string
}

// fake records requests and lets a handler answer them.
type fake struct {
	*httptest.Server
	mu  sync.Mutex
	got []seen
}

func newFake(t *testing.T, answer http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(f.recording(answer))
	t.Cleanup(f.Close)
	return f
}

// fakes says how fakes are spoken with.
type fakes struct {
	http2     bool
	authority *wiretest.Authority
}

// byBoth runs a test with fakes that are spoken with by HTTP/1.1, and with ones that
// want TLS and HTTP/2.
func byBoth(t *testing.T, test func(t *testing.T, by fakes)) {
	t.Helper()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) { test(t, fakes{http2, wiretest.NewAuthority(t)}) })
	}
}

func (by fakes) start(t *testing.T, answer http.HandlerFunc) *fake {
	t.Helper()
	if !by.http2 {
		return newFake(t, answer)
	}
	f := &fake{}
	f.Server = httptest.NewUnstartedServer(f.recording(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "by HTTP/2, please", http.StatusHTTPVersionNotSupported)
			return
		}
		answer(w, r)
	}))
	f.TLS, f.EnableHTTP2 = by.authority.Server(t), true
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// session is a session that trusts the fakes.
func (by fakes) session(t *testing.T, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	return session(t, append([]parley.ClientOption{parley.WithTLSConfig(by.authority.Trusted())}, opts...)...)
}

func (f *fake) recording(answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		f.got = append(f.got, seen{r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), string(body)})
		f.mu.Unlock()
		answer(w, r)
	})
}

// take gives what came since the last call.
func (f *fake) take() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.got
	f.got = nil
	return got
}

// tokens is a fake that issues token-1, token-2 and so on. The first is valid for a
// time so short that a careful client takes it for expired.
func tokens(t *testing.T, by fakes) *fake {
	t.Helper()
	issued := 0
	return by.start(t, func(w http.ResponseWriter, r *http.Request) {
		issued++ // the source is asked by one at a time
		lives := 3600
		if issued == 1 {
			lives = 1
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("token-%d", issued), "token_type": "Bearer", "expires_in": lives}); err != nil {
			t.Error(err)
		}
	})
}

func TestOAuth2ClientCredentials(t *testing.T) { byBoth(t, testOAuth2ClientCredentials) }

func testOAuth2ClientCredentials(t *testing.T, by fakes) {
	api := by.start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "tea") })
	tests := []struct {
		name string
		get  func(t *testing.T, ctx context.Context, conf *clientcredentials.Config) (string, error)
	}{
		{"the library's client over the session's", func(t *testing.T, ctx context.Context, conf *clientcredentials.Config) (string, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+"/menu", nil)
			require.NoError(t, err)
			resp, err := conf.Client(ctx).Do(req)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			return string(text), err
		}},
		{"a session with the library's tokens", nil},
	}
	form := "grant_type=client_credentials&scope=read"
	want := []seen{{"/token", "Basic QWxhZGRpbjpvcGVuJTNBK3Nlc2FtZQ==", "application/x-www-form-urlencoded", "", form}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			issuer := tokens(t, by)
			conf := &clientcredentials.Config{
				ClientID: user, ClientSecret: password, TokenURL: issuer.URL + "/token",
				Scopes: []string{"read"}, AuthStyle: oauth2.AuthStyleInHeader,
			}
			beneath := by.session(t)
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, beneath.HTTPClient())
			get := tt.get
			if get == nil {
				c := by.session(t, parley.WithBaseURL(api.URL), parley.WithAuth(parley.OAuth2Auth(conf.TokenSource(ctx))))
				get = func(t *testing.T, ctx context.Context, _ *clientcredentials.Config) (string, error) {
					return parley.As[string](c.Get(ctx, "menu"))
				}
			}
			text, err := get(t, ctx, conf)
			require.NoError(t, err)
			require.Equal(t, "tea", text)
			got := issuer.take()
			require.NotEmpty(t, got[0].Agent, "it went through the session")
			for i := range got {
				got[i].Agent = ""
			}
			require.Equal(t, want, got)
			got = api.take()
			require.Len(t, got, 1)
			require.Equal(t, "/menu", got[0].Path)
			require.Equal(t, "Bearer token-1", got[0].Login)
		})
	}
}

func TestOAuth2RenewsTokens(t *testing.T) { byBoth(t, testOAuth2RenewsTokens) }

func testOAuth2RenewsTokens(t *testing.T, by fakes) {
	api, issuer := by.start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "tea") }), tokens(t, by)
	beneath := by.session(t)
	conf := &clientcredentials.Config{ClientID: user, ClientSecret: password, TokenURL: issuer.URL + "/token", AuthStyle: oauth2.AuthStyleInParams}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, beneath.HTTPClient())
	c := by.session(t, parley.WithBaseURL(api.URL), parley.WithAuth(parley.OAuth2Auth(conf.TokenSource(ctx))))
	_, err := parley.As[string](c.Get(t.Context(), "first"))
	require.NoError(t, err)
	require.NoError(t, crowd(t, c, 20, 100, "later", "tea"))
	require.Len(t, issuer.take(), 2, "one for the first request, one for all that came later")
	for i, got := range api.take() {
		if i == 0 {
			require.Equal(t, "Bearer token-1", got.Login)
			continue
		}
		require.Equal(t, "Bearer token-2", got.Login)
	}
}

func TestOAuth2Refused(t *testing.T) {
	issuer := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	})
	beneath := session(t)
	conf := &clientcredentials.Config{ClientID: user, ClientSecret: "simsim", TokenURL: issuer.URL, AuthStyle: oauth2.AuthStyleInHeader}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, beneath.HTTPClient())
	c := session(t, parley.WithAuth(parley.OAuth2Auth(conf.TokenSource(ctx))))
	_, err := c.Get(t.Context(), issuer.URL)
	require.ErrorIs(t, err, parley.ErrAuth)
	var why *oauth2.RetrieveError
	require.ErrorAs(t, err, &why)
	require.Equal(t, "invalid_client", why.ErrorCode)
}
