package parley_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// library is the server behind the examples.
func library() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/books/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "0" {
			http.Error(w, "no such book", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"id": r.PathValue("id"), "lang": r.URL.Query().Get("lang")})
	})
	mux.HandleFunc("POST /v1/books", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("GET /v1/log", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "opened\nlent\nreturned")
	})
	mux.HandleFunc("GET /v1/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /v1/shelves/{page}", func(w http.ResponseWriter, r *http.Request) {
		if page := r.PathValue("page"); page != "3" {
			w.Header().Set("Link", fmt.Sprintf(`<%c?lang=en>; rel="next"; title="shelf %c"`, page[0]+1, page[0]+1))
		}
		fmt.Fprintf(w, "shelf %s", r.PathValue("page"))
	})
	mux.HandleFunc("DELETE /v1/books/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"type":"https://library.example/lent","title":"The book is lent","due":"2026-12-01"}`)
	})
	return httptest.NewServer(mux)
}

type book struct {
	ID   string `json:"id"`
	Lang string `json:"lang"`
}

func Example() {
	server := library()
	defer server.Close()
	client, err := parley.New(
		parley.WithBaseURL(server.URL+"/v1"),
		parley.WithQuery("lang", "en"),
		parley.WithTimeout(10*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	b, err := parley.As[book](client.Get(ctx, "books/{id}", parley.WithPath("id", "7")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", b)

	resp, err := client.Post(ctx, "books", parley.WithJSON(book{ID: "8", Lang: "fr"}))
	if err != nil {
		log.Fatal(err)
	}
	text, _ := resp.Text()
	fmt.Println(resp.Status, text)
	// Output:
	// {ID:7 Lang:en}
	// 201 Created {"id":"8","lang":"fr"}
}

func ExampleAs() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	_, err := parley.As[book](client.Get(context.Background(), "books/0"))
	var status *parley.StatusError
	if errors.As(err, &status) {
		fmt.Printf("%d: %s", status.StatusCode, status.Body)
	}
	// Output: 404: no such book
}

func ExampleClient_Stream() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	resp, err := client.Stream(context.Background(), "GET", "log")
	if err != nil {
		log.Fatal(err)
	}
	for line, err := range resp.Lines() { // closes the response
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(line)
	}
	// Output:
	// opened
	// lent
	// returned
}

func ExampleClient_With() {
	client, _ := parley.New(parley.WithBaseURL("https://api.example.com"), parley.WithHeader("X-Api-Key", "secret"))
	defer client.Close()

	// The same pool and jar, without the key.
	guest, _ := client.With(parley.WithoutHeader("X-Api-Key"))
	defer guest.Close()
	fmt.Println(client.Header().Get("X-Api-Key") != "", guest.Header().Get("X-Api-Key") != "")
	fmt.Println(guest)
	// Output:
	// true false
	// <Client https://api.example.com/ [0 active, 0 idle]>
}

func ExampleClient_Gather() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	requests := func(yield func(*parley.Request) bool) {
		for id := range 20 {
			req, err := client.NewRequest("GET", "books/{id}", parley.WithPath("id", fmt.Sprint(id)))
			if err != nil || !yield(req) {
				return
			}
		}
	}
	found := 0
	for r := range client.Gather(context.Background(), 4, requests) {
		if r.Err == nil && r.Response.OK() {
			found++
		}
	}
	fmt.Println(found, "books")
	// Output: 19 books
}

func ExampleError() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	_, err := client.Get(context.Background(), "slow", parley.WithTimeouts(parley.Timeouts{Response: 50 * time.Millisecond}))
	fmt.Println(errors.Is(err, parley.ErrResponseTimeout), errors.Is(err, parley.ErrTimeout))
	var failure *parley.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Phase, failure.Limit, failure.Sent)
	}
	// Output:
	// true true
	// response 50ms maybe sent
}

// A jar is kept from one run of a program to the next.
func ExampleJar() {
	dir, err := os.MkdirTemp("", "jar")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cookies.json")

	jar := parley.NewJar()
	if err := jar.Load(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Print(err) // a damaged file, or records that were left out
	}
	client, err := parley.New(parley.WithJar(jar))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	shop := &url.URL{Scheme: "https", Host: "shop.example.com"}
	if err := jar.Set(shop, &http.Cookie{Name: "theme", Value: "dark", Domain: "example.com", Path: "/", MaxAge: 3600}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(jar.Set(shop, &http.Cookie{Name: "theme", Value: "dark", Domain: "com"}))
	for c := range jar.All() {
		fmt.Println(c, c.Value)
	}
	fmt.Println(jar, jar.Save(path))
	// Output:
	// parley: set cookie "theme" for https://shop.example.com: invalid cookie: its domain is a public suffix, which everybody shares
	// <Cookie theme for example.com/> dark
	// <Jar 1 cookies> <nil>
}

func ExampleWithMiddleware() {
	server := library()
	defer server.Close()
	logged := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			req, err := req.With(parley.WithHeader("X-Trace", "abc")) // a changed copy
			if err != nil {
				return nil, err
			}
			resp, err := next.Send(ctx, req)
			if err == nil {
				fmt.Println(req.Method, req.URL.Path, resp.StatusCode)
			}
			return resp, err
		})
	}
	client, _ := parley.New(parley.WithBaseURL(server.URL+"/v1"), parley.WithMiddleware(logged))
	defer client.Close()
	if _, err := client.Get(context.Background(), "books/1"); err != nil {
		log.Fatal(err)
	}
	// Output: GET /v1/books/1 200
}

func ExampleParams() {
	client, _ := parley.New(parley.WithBaseURL("https://api.example.com/search?v=2"))
	defer client.Close()
	req, _ := client.NewRequest("GET", "", parley.WithParams(parley.Params{{Key: "q", Value: "tea & cake"}, {Key: "page", Value: "1"}}))
	fmt.Println(req.URL)

	type paging struct {
		Page int    `url:"page"`
		Sort string `url:"sort,omitempty"`
	}
	req, _ = client.NewRequest("GET", "", parley.WithParams(paging{Page: 2}), parley.WithoutQuery("v"))
	fmt.Println(req.URL)
	// Output:
	// https://api.example.com/search?v=2&q=tea+%26+cake&page=1
	// https://api.example.com/search?page=2
}

func ExampleWithReader() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	// A reader of unknown length is sent in chunks, as it gives them.
	resp, err := client.Post(context.Background(), "books", parley.WithReader(io.MultiReader(strings.NewReader("a "), strings.NewReader("book"))))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Text())
	// Output: a book <nil>
}

func ExampleClient_Pages() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	for page, err := range client.Pages(context.Background(), "shelves/1") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(page.Text())
	}
	// Output:
	// shelf 1 <nil>
	// shelf 2 <nil>
	// shelf 3 <nil>
}

func ExampleResponse_Link() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	resp, err := client.Get(context.Background(), "shelves/1")
	if err != nil {
		log.Fatal(err)
	}
	if next, ok := resp.Link("next"); ok {
		fmt.Println(next.URL.RequestURI(), next.Title)
	}
	// Output: /v1/shelves/2?lang=en shelf 2
}

func ExampleProblem() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	_, err := parley.As[book](client.Delete(context.Background(), "books/7"))
	var problem *parley.Problem
	if errors.As(err, &problem) && problem.Type == "https://library.example/lent" {
		fmt.Println(problem.Title, string(problem.Extensions["due"]))
	}
	// Output: The book is lent "2026-12-01"
}

func ExampleStatusError_Decode() {
	server := library()
	defer server.Close()
	client, _ := parley.New(parley.WithBaseURL(server.URL + "/v1"))
	defer client.Close()

	_, err := parley.As[book](client.Delete(context.Background(), "books/7"))
	var status *parley.StatusError
	var lent struct{ Due string }
	if errors.As(err, &status) && status.Decode(&lent) == nil {
		fmt.Println(status.StatusCode, lent.Due)
	}
	// Output: 409 2026-12-01
}

// Proxies can be chosen for each request, by host, scheme or anything else.
func ExampleWithProxyFunc() {
	office := &url.URL{Scheme: "socks5h", Host: "proxy.example.com:1080"}
	client, err := parley.New(parley.WithProxyFunc(func(req *parley.Request) (*url.URL, error) {
		if strings.HasSuffix(req.URL.Hostname(), ".internal") {
			return office, nil
		}
		return nil, nil // directly
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, u := range []string{"https://wiki.internal/", "https://example.com/"} {
		req, err := client.NewRequest("GET", u)
		if err != nil {
			log.Fatal(err)
		}
		proxy, err := req.Proxy.For(req)
		fmt.Println(u, "by", proxy, err)
	}
	// Output:
	// https://wiki.internal/ by socks5h://proxy.example.com:1080 <nil>
	// https://example.com/ by <nil> <nil>
}
