package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// A file stands at its path once it is complete. The server gave its digest, too.
func ExampleClient_Download() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="greeting.txt"`)
		w.Header().Set("Repr-Digest", "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:")
		w.Header().Set("Etag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("hello world"))
	}))
	defer server.Close()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	client, err := parley.New()
	if err != nil {
		panic(err)
	}
	defer client.Close()

	file, err := client.Download(context.Background(), server.URL, dir)
	if err != nil {
		panic(err)
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		panic(err)
	}
	fmt.Println(filepath.Base(file.Path), file.Size, file.Verified)
	fmt.Println(string(content))
	// Output:
	// greeting.txt 11 [sha256]
	// hello world
}

// Content that is not what its digest says is an error.
func ExampleWithIntegrity() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello word")
	}))
	defer server.Close()
	client, err := parley.New()
	if err != nil {
		panic(err)
	}
	defer client.Close()

	_, err = client.Get(context.Background(), server.URL,
		parley.WithIntegrity("sha256-uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="))
	fmt.Println(errors.Is(err, parley.ErrIntegrity))
	// Output: true
}
