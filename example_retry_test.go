package parley_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/seed-0474a412/parley"
)

// busyAtFirst answers 503 to all but every third request.
func busyAtFirst() http.Handler {
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

func ExampleWithRetry() {
	client, err := parley.New(parley.WithHandler(busyAtFirst()), parley.WithRetry(parley.RetryPolicy{
		Backoff: time.Millisecond,
		OnTry: func(_ context.Context, t parley.Try) {
			fmt.Println(t.Number, t.Response.StatusCode, t.Again, t.Reason)
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), "http://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, len(resp.Tries))
	// Output:
	// 1 503 true status 503 Service Unavailable
	// 2 503 true status 503 Service Unavailable
	// 3 200 false it was answered
	// 200 OK 3
}

// A POST is not repeated unless something says that it may be.
func ExampleWithIdempotencyKey() {
	client, err := parley.New(parley.WithHandler(busyAtFirst()), parley.WithRetry(parley.RetryPolicy{Backoff: time.Millisecond}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Post(context.Background(), "http://example.com/orders", parley.WithText("tea"))
	fmt.Println(resp.Status, resp.Tries[0].Reason, err)

	resp, err = client.Post(context.Background(), "http://example.com/orders", parley.WithText("tea"), parley.WithIdempotencyKey())
	fmt.Println(resp.Status, len(resp.Tries), len(resp.Request.Header.Get("Idempotency-Key")), err)
	// Output:
	// 503 Service Unavailable POST is not idempotent and has no Idempotency-Key <nil>
	// 200 OK 2 26 <nil>
}

func ExampleRetryError() {
	client, err := parley.New(parley.WithRetry(parley.RetryPolicy{Backoff: time.Millisecond}), parley.WithTransport(parley.TransportFunc(
		func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			return nil, &parley.Error{Op: "send", Method: req.Method, URL: req.URL, Phase: parley.PhaseConnect, Sent: parley.NotSent, Err: parley.ErrConnect}
		})))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Get(context.Background(), "http://example.com/")
	fmt.Println(err)
	var failed *parley.RetryError
	if errors.As(err, &failed) {
		fmt.Println(len(failed.Tries), errors.Is(err, parley.ErrConnect))
	}
	// Output:
	// GET http://example.com/: connect: tried 3 times (3 of 3): cannot connect
	// 3 true
}
