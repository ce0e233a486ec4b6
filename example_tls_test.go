package parley_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/seed-0474a412/parley"
)

// A server that nobody signed for, and that is safe all the same: its key is known.
func ExampleWithPublicKeyPins() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "it is me")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake below that is broken off
	server.StartTLS()
	defer server.Close()
	key := sha256.Sum256(server.Certificate().RawSubjectPublicKeyInfo)
	pin := "sha256/" + base64.StdEncoding.EncodeToString(key[:])

	client, err := parley.New(parley.WithVerify(false), parley.WithPublicKeyPins(pin))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), server.URL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Text())

	other := parley.WithPublicKeyPins("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	_, err = client.Get(context.Background(), server.URL, other)
	fmt.Println(errors.Is(err, parley.ErrPublicKeyPin))
	// Output:
	// it is me <nil>
	// true
}
