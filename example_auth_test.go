package parley_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// lockedServer opens to Digest, to the token "t2" and to an API key, and says which.
func lockedServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials := r.Header.Get("Authorization")
		switch {
		case strings.HasPrefix(credentials, "Digest "), credentials == "Bearer t2":
			scheme, _, _ := strings.Cut(credentials, " ")
			fmt.Fprint(w, "in by ", scheme, r.Header.Get("X-Api-Key"))
		default:
			w.Header().Set("WWW-Authenticate", `Digest realm="door", nonce="n", qop="auth", algorithm=SHA-256`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
}

// A challenge is answered; the nonce then serves the requests after it, so keep the
// value, or the session that has it.
func ExampleDigestAuth() {
	server := lockedServer()
	defer server.Close()
	digest, err := parley.DigestAuth("ann", "s3cret")
	if err != nil {
		log.Fatal(err)
	}
	client, _ := parley.New(parley.WithBaseURL(server.URL), parley.WithAuth(digest))
	defer client.Close()

	resp, err := client.Get(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	text, _ := resp.Text()
	fmt.Println(resp.StatusCode, text)
	fmt.Println(digest) // shows no secret
	// Output:
	// 200 in by Digest
	// <Digest auth>
}

// A token is fetched when the first request needs one, and again when it is about to
// expire or the server refuses it.
func ExampleTokenAuth() {
	server := lockedServer()
	defer server.Close()
	logins := 0
	login := func(context.Context) (parley.Token, error) {
		logins++ // asks a server, in real life
		return parley.Token{Value: fmt.Sprint("t", logins), Expires: time.Now().Add(time.Hour)}, nil
	}
	client, _ := parley.New(parley.WithBaseURL(server.URL), parley.WithAuth(parley.TokenAuth(login)))
	defer client.Close()

	for range 3 { // the first finds its token refused
		resp, err := client.Get(context.Background(), "")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.Text())
	}
	fmt.Println(logins, "logins")
	// Output:
	// in by Bearer <nil>
	// in by Bearer <nil>
	// in by Bearer <nil>
	// 2 logins
}

// Some servers want a key of the program beside the login of a user.
func ExampleCombineAuth() {
	server := lockedServer()
	defer server.Close()
	key, err := parley.APIKeyHeader("X-Api-Key", ", with a key")
	if err != nil {
		log.Fatal(err)
	}
	digest, err := parley.DigestAuth("ann", "s3cret")
	if err != nil {
		log.Fatal(err)
	}
	client, _ := parley.New(parley.WithAuth(parley.CombineAuth(key, digest)))
	defer client.Close()

	resp, err := client.Get(context.Background(), server.URL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Text())
	// Output: in by Digest, with a key <nil>
}
