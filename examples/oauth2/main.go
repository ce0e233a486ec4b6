// Command oauth2 shows how a session gets its tokens from golang.org/x/oauth2: by client
// credentials, and by a refresh token. The server that issues and asks for them runs in
// the same process.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/seed-0474a412/parley"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	server := httptest.NewServer(newIssuer())
	defer server.Close()
	// The token server is asked through this one; without it, through http.DefaultClient.
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, server.Client())
	if err := run(ctx, os.Stdout, server.URL); err != nil {
		log.Print(err)
		server.Close()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, server string) error {
	fmt.Fprintln(out, "client credentials: a service acts for itself")
	service := clientcredentials.Config{ClientID: "service", ClientSecret: "s3cret", TokenURL: server + "/token"}
	if err := askThrice(ctx, out, server, service.TokenSource(ctx)); err != nil {
		return err
	}

	fmt.Fprintln(out, "a refresh token: a program acts for a user who logged in before")
	program := oauth2.Config{ClientID: "program", ClientSecret: "s3cret", Endpoint: oauth2.Endpoint{TokenURL: server + "/token"}}
	kept := &oauth2.Token{AccessToken: "old", RefreshToken: "of-ann", Expiry: time.Now().Add(-time.Hour)}
	if err := askThrice(ctx, out, server, program.TokenSource(ctx, kept)); err != nil {
		return err
	}

	fmt.Fprintln(out, "a token that is revoked early: a function that asks the server each time")
	fresh := parley.TokenAuth(func(ctx context.Context) (parley.Token, error) {
		t, err := service.Token(ctx)
		if err != nil {
			return parley.Token{}, err
		}
		return parley.Token{Value: t.AccessToken, Type: t.TokenType, Expires: t.Expiry}, nil
	})
	return revoked(ctx, out, server, fresh)
}

// askThrice sends three requests with the tokens of a source.
func askThrice(ctx context.Context, out io.Writer, server string, src oauth2.TokenSource) error {
	client, err := parley.New(parley.WithBaseURL(server), parley.WithAuth(parley.OAuth2Auth(src)))
	if err != nil {
		return err
	}
	defer client.Close()
	for range 3 {
		if err := who(ctx, out, client); err != nil {
			return err
		}
	}
	return nil
}

// revoked sends a request, has the tokens revoked, and sends another.
func revoked(ctx context.Context, out io.Writer, server string, auth parley.Auth) error {
	client, err := parley.New(parley.WithBaseURL(server), parley.WithAuth(auth))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := who(ctx, out, client); err != nil {
		return err
	}
	if _, err := client.Delete(ctx, "tokens"); err != nil {
		return err
	}
	return who(ctx, out, client)
}

func who(ctx context.Context, out io.Writer, client *parley.Client) error {
	resp, err := client.Get(ctx, "whoami")
	if err != nil {
		return err
	}
	if err := resp.Err(); err != nil {
		return err
	}
	text, err := resp.Text()
	fmt.Fprintln(out, " ", text)
	return err
}

// issuer issues tokens and knows whose they are.
type issuer struct {
	mu     sync.Mutex
	issued int
	owners map[string]string
}

func newIssuer() http.Handler {
	s := &issuer{owners: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /whoami", s.whoami)
	mux.HandleFunc("DELETE /tokens", s.revoke)
	return mux
}

// token is the token endpoint (RFC 6749, section 3.2).
func (s *issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	owner := id
	if r.FormValue("grant_type") == "refresh_token" {
		owner = r.FormValue("refresh_token")
	}
	if secret != "s3cret" {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.issued++
	value := fmt.Sprint("token", s.issued)
	s.owners["Bearer "+value] = owner
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": value, "token_type": "bearer", "expires_in": 3600})
}

func (s *issuer) whoami(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	owner, known := s.owners[r.Header.Get("Authorization")]
	issued := s.issued
	s.mu.Unlock()
	if !known {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "%s, with token %d", owner, issued)
}

func (s *issuer) revoke(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.owners)
}
