package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed-0474a412/parley"
)

// movedServer leads /old to /new, and away to another host.
func movedServer() *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusMovedPermanently))
	mux.Handle("/away", http.RedirectHandler("http://elsewhere.test/", http.StatusFound))
	mux.HandleFunc("/new", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization")) })
	return httptest.NewServer(mux)
}

// Redirects are followed; what led to the answer is its history.
func Example_redirects() {
	server := movedServer()
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		panic(err)
	}
	defer client.Close()

	resp, err := client.Get(context.Background(), "old")
	if err != nil {
		panic(err)
	}
	fmt.Println(resp.StatusCode, resp.Request.URL.Path)
	for _, hop := range resp.History {
		fmt.Println("by", hop.StatusCode, hop.Request.URL.Path)
	}
	// Output:
	// 200 /new
	// by 301 /old
}

// A policy decides about each redirect. Those of the package fail the call with
// ErrRedirectRefused; the error holds the redirect.
func ExampleWithRedirectPolicy() {
	server := movedServer()
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL), parley.WithRedirectPolicy(parley.SameHostRedirects()))
	if err != nil {
		panic(err)
	}
	defer client.Close()

	_, err = client.Get(context.Background(), "away")
	fmt.Println(errors.Is(err, parley.ErrRedirectRefused))
	var refused *parley.RedirectError
	if errors.As(err, &refused) {
		fmt.Println(refused.Response.StatusCode, refused.Response.Header.Get("Location"))
	}
	// Output:
	// true
	// 302 http://elsewhere.test/
}

// Redirects can be followed by hand, a step at a time.
func ExampleResponse_Next() {
	server := movedServer()
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL), parley.WithFollowRedirects(false))
	if err != nil {
		panic(err)
	}
	defer client.Close()

	resp, err := client.Get(context.Background(), "old")
	for err == nil {
		fmt.Println(resp.StatusCode, resp.Request.URL.Path)
		resp.Close()
		var next *parley.Request
		if next, err = resp.Next(); err == nil {
			resp, err = client.Send(context.Background(), next)
		}
	}
	fmt.Println(errors.Is(err, http.ErrNoLocation))
	// Output:
	// 301 /old
	// 200 /new
	// true
}

// Whatever proves who sends a request can be written as a function. It sees a copy of
// the request, on the origin that it is meant for and no other.
func ExampleAuthFunc() {
	server := movedServer()
	defer server.Close()
	pizza := parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
		req.Header.Set("Authorization", "Pizza "+strings.ToUpper(req.Method))
		return nil
	})
	text, err := parley.As[string](parley.Get(context.Background(), server.URL+"/who", parley.WithAuth(pizza)))
	if err != nil {
		panic(err)
	}
	fmt.Println(text)
	// Output: Pizza GET
}

// Hooks look at requests and responses, of the call as a whole or of every hop.
func ExampleWithHopResponseHook() {
	server := movedServer()
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL),
		parley.WithHopResponseHook(func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
			fmt.Println(resp.StatusCode, resp.Request.URL.Path)
			return resp, nil
		}),
		parley.WithResponseHook(func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
			return resp, resp.Err() // a status of 400 or more fails the call
		}))
	if err != nil {
		panic(err)
	}
	defer client.Close()

	_, err = client.Get(context.Background(), "old")
	fmt.Println(err)
	_, err = client.Get(context.Background(), "nowhere")
	var status *parley.StatusError
	fmt.Println(errors.As(err, &status) && status.StatusCode == http.StatusNotFound)
	// Output:
	// 301 /old
	// 200 /new
	// <nil>
	// 404 /nowhere
	// true
}

// Explain tells what would be sent and where each value comes from.
func ExampleClient_Explain() {
	client, err := parley.New(parley.WithBaseURL("https://api.example.com/v1"), parley.WithBasicAuth("me", "secret"))
	if err != nil {
		panic(err)
	}
	defer client.Close()

	req, err := client.NewRequest("GET", "users/{user}", parley.WithPath("user", "7"), parley.WithHeader("Accept", "text/plain"))
	if err != nil {
		panic(err)
	}
	explanation, err := client.Explain(req)
	if err != nil {
		panic(err)
	}
	fmt.Println(explanation.Route, explanation.Auth)
	for _, header := range explanation.Headers {
		fmt.Println(header)
	}
	// Output:
	// /v1/users/{user} Auth: <Basic auth> (session)
	// Host: api.example.com (session)
	// Accept: text/plain (request)
	// Accept-Encoding: gzip, deflate, br, zstd (default)
	// User-Agent: parley/0.1.0 (default)
}
