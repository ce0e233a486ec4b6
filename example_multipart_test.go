package parley_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-0474a412/parley"
)

// formCounter answers a form with what was in it.
func formCounter() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for p, err := parts.NextPart(); err == nil; p, err = parts.NextPart() {
			n, _ := io.Copy(io.Discard, p)
			fmt.Fprintf(w, "%s %q %s, %d bytes\n", p.FormName(), p.FileName(), p.Header.Get("Content-Type"), n)
		}
	}))
}

func ExampleWithMultipart() {
	server := formCounter()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL))
	defer client.Close()
	dir, err := os.MkdirTemp("", "form")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	photo := filepath.Join(dir, "cat.jpg")
	if err := os.WriteFile(photo, []byte("\xff\xd8\xff"), 0o600); err != nil {
		log.Fatal(err)
	}

	resp, err := client.Post(context.Background(), "photos", parley.WithMultipart(
		parley.FormField("title", "A cat"),
		parley.FormJSON("tags", []string{"cat", "sofa"}),
		parley.FormFile("photo", photo),
		parley.FormReader("log", "log.txt", io.MultiReader(strings.NewReader("as it "), strings.NewReader("comes"))),
	))
	if err != nil {
		log.Fatal(err)
	}
	text, _ := resp.Text()
	fmt.Print(text)
	// Output:
	// title "" , 5 bytes
	// tags "" application/json, 14 bytes
	// photo "cat.jpg" image/jpeg, 3 bytes
	// log "log.txt" text/plain, 11 bytes
}

func ExampleFormFields() {
	type meta struct {
		Title  string `url:"title"`
		Public bool   `url:"public"`
	}
	parts := parley.FormFields(meta{Title: "A cat", Public: true})
	parts = append(parts, parley.FormBytes("photo", "cat.png", []byte("\x89PNG\r\n\x1a\n")))
	body, err := parley.MultipartBody(parts...)
	fmt.Println(parts, err)
	fmt.Println(body)
	// Output:
	// [<Part public> <Part title> <Part photo cat.png>] <nil>
	// <Body of 3 parts, 359 bytes multipart/form-data>
}
