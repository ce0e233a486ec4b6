package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley"
)

// handlerSaying is a handler that answers every request with this.
func handlerSaying(status int, body string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// A decoder is chosen by the media type of the answer.
func ExampleWithDecoder() {
	server := handlerSaying(200, "title: Parley\npages: 7\n", "Content-Type", "application/x-lines")
	client, _ := parley.New(parley.WithHandler(server), parley.WithBaseURL("http://library.test"),
		parley.WithDecoder("application/x-lines", func(r io.Reader, v any) error {
			fields, ok := v.(*map[string]string)
			if !ok {
				return fmt.Errorf("%T is no *map[string]string", v)
			}
			*fields = map[string]string{}
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				name, value, _ := strings.Cut(lines.Text(), ": ")
				(*fields)[name] = value
			}
			return lines.Err()
		}))
	defer client.Close()

	book, err := parley.As[map[string]string](client.Get(context.Background(), "books/7"))
	fmt.Println(book["title"], book["pages"], err)
	// Output: Parley 7 <nil>
}

// libraryError is what the library says of an error.
type libraryError struct {
	Reason string `json:"reason"`
}

func (e *libraryError) Error() string { return "the library: " + e.Reason }

// Bodies of errors have a type of their own.
func ExampleWithErrorType() {
	server := handlerSaying(409, `{"reason": "lent"}`, "Content-Type", "application/json")
	client, _ := parley.New(parley.WithHandler(server), parley.WithBaseURL("http://library.test"),
		parley.WithErrorType[*libraryError]())
	defer client.Close()

	_, err := parley.As[book](client.Get(context.Background(), "books/7"))
	if failure := (*libraryError)(nil); errors.As(err, &failure) {
		fmt.Println(failure.Reason)
	}
	// Output: lent
}

// A session can undo a coding that parley does not know, and asks for it.
func ExampleWithContentCoding() {
	server := handlerSaying(200, "crnpr jvgu lbh", "Content-Encoding", "rot13", "Content-Type", "text/plain")
	rot13 := func(r rune) rune {
		if r < 'a' || r > 'z' {
			return r
		}
		return 'a' + (r-'a'+13)%26
	}
	client, _ := parley.New(parley.WithHandler(server), parley.WithBaseURL("http://library.test"),
		parley.WithContentCoding(parley.ContentCoding{Name: "rot13", Decode: func(r io.Reader) (io.ReadCloser, error) {
			text, err := io.ReadAll(r)
			return io.NopCloser(strings.NewReader(strings.Map(rot13, string(text)))), err
		}}))
	defer client.Close()

	text, err := parley.As[string](client.Get(context.Background(), "secret"))
	fmt.Println(text, err)
	fmt.Println(client.Header().Get("Accept-Encoding"))
	// Output:
	// peace with you <nil>
	// gzip, deflate, br, zstd, rot13
}
