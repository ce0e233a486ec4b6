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

// budget is a limiter that allows so many requests in all. One that allows so many a
// second is golang.org/x/time/rate.NewLimiter.
type budget struct{ left int }

func (b *budget) Wait(context.Context) error {
	if b.left == 0 {
		return errors.New("the budget is spent")
	}
	b.left--
	return nil
}

func ExampleWithRateLimit() {
	client, err := parley.New(parley.WithHandler(http.NotFoundHandler()), parley.WithRateLimit(&budget{left: 1}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		_, err = client.Get(context.Background(), "http://example.com/")
		fmt.Println(err)
	}
	fmt.Println(errors.Is(err, parley.ErrLimited))
	// Output:
	// <nil>
	// GET http://example.com/: limit: held back by a limit: the budget is spent
	// true
}

func ExampleLimiterPerHost() {
	client, err := parley.New(parley.WithHandler(http.NotFoundHandler()), parley.WithRateLimitFor(parley.LimiterPerHost(
		func(host string) parley.Limiter {
			fmt.Println("a limiter for", host)
			return &budget{left: 5}
		})))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, url := range []string{"http://a.example.com/", "http://b.example.com/", "http://a.example.com/more"} {
		if _, err := client.Get(context.Background(), url); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// a limiter for a.example.com
	// a limiter for b.example.com
}

// A server that has refused is left alone for as long as it wants. A call whose deadline
// comes before does not wait in vain.
func ExampleWithServerLimits() {
	refusing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	client, err := parley.New(parley.WithHandler(refusing), parley.WithServerLimits(parley.ServerLimits{}), parley.WithTimeout(10*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), "http://example.com/")
	fmt.Println(resp.Status, err)
	_, err = client.Get(context.Background(), "http://example.com/")
	var failed *parley.Error
	fmt.Println(errors.Is(err, parley.ErrLimited), errors.As(err, &failed) && failed.Sent == parley.NotSent)
	// Output:
	// 429 Too Many Requests <nil>
	// true true
}

func ExampleClient_Concurrency() {
	refusing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	client, err := parley.New(parley.WithHandler(refusing), parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{Initial: 20}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if _, err := client.Get(context.Background(), "http://example.com/"); err != nil {
			log.Fatal(err)
		}
		for _, at := range client.Concurrency() {
			fmt.Println(at.Origin, at.Limit)
		}
	}
	// Output:
	// http://example.com:80 14
	// http://example.com:80 9
	// http://example.com:80 6
}

// What bounds a call, as its session explains it.
func ExampleWithMergedGets() {
	client, err := parley.New(
		parley.WithRateLimit(&budget{left: 100}), parley.WithServerLimits(parley.ServerLimits{}),
		parley.WithAdaptiveConcurrency(parley.ConcurrencyPolicy{}), parley.WithMergedGets(true),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	req, err := client.NewRequest("GET", "http://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	explained, err := client.Explain(req)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range explained.Settings {
		switch s.Name {
		case "RateLimit", "ServerLimits", "Concurrency", "MergedGets":
			fmt.Println(s)
		}
	}
	// Output:
	// RateLimit: *parley_test.budget (session)
	// ServerLimits: obeyed, at most for 1m0s (session)
	// Concurrency: 10 at once, from 1 to 100, latency up to 2 times the usual (session)
	// MergedGets: merged while in flight (session)
}
