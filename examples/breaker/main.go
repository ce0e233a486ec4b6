// Command breaker shows where a circuit breaker goes, with github.com/sony/gobreaker, and
// a rate limit of golang.org/x/time/rate beside it. It needs no network: the server is a
// handler in the same process, and down for its first five requests.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/seed-0474a412/parley"
)

// errUnwell is what a breaker counts an answer of 500 or more as.
var errUnwell = errors.New("the server is not well")

// Breaker gives the middleware that has a circuit breaker for each host, made by
// newBreaker: once that is open, requests fail at once with gobreaker.ErrOpenState. As
// network middleware it judges each try; the policy for retries does not try again what
// the breaker refuses.
func Breaker(newBreaker func(host string) *gobreaker.CircuitBreaker[*parley.Response]) parley.Middleware {
	var breakers sync.Map // by host; for a few that are known
	return func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			b, known := breakers.Load(req.URL.Host)
			if !known {
				b, _ = breakers.LoadOrStore(req.URL.Host, newBreaker(req.URL.Host))
			}
			resp, err := b.(*gobreaker.CircuitBreaker[*parley.Response]).Execute(func() (*parley.Response, error) {
				resp, err := next.Send(ctx, req)
				if err == nil && resp.StatusCode >= http.StatusInternalServerError {
					err = errUnwell
				}
				return resp, err
			})
			if errors.Is(err, errUnwell) {
				err = nil // it is an answer all the same
			}
			return resp, err
		})
	}
}

// newBreaker opens after five failures in a row, for a tenth of a second.
func newBreaker(host string) *gobreaker.CircuitBreaker[*parley.Response] {
	return gobreaker.NewCircuitBreaker[*parley.Response](gobreaker.Settings{
		Name:        host,
		Timeout:     100 * time.Millisecond,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		// What says nothing about the host: calls that were given up, or not sent.
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, parley.ErrLimited)
		},
	})
}

func main() {
	if err := run(context.Background(), os.Stdout, time.Sleep); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, sleep func(time.Duration)) error {
	requests := 0
	server := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests <= 5 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	client, err := parley.New(
		parley.WithBaseURL("http://api.example.com"),
		parley.WithHandler(server),
		parley.WithRetry(parley.RetryPolicy{Backoff: time.Millisecond}),
		parley.WithRateLimitFor(parley.LimiterPerHost(func(string) parley.Limiter { return rate.NewLimiter(100, 10) })),
		parley.WithNetworkMiddleware(Breaker(newBreaker)),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for call := 1; call <= 4; call++ {
		if call == 4 {
			sleep(150 * time.Millisecond) // the breaker lets one through to see
		}
		resp, err := client.Get(ctx, "status")
		switch {
		case errors.Is(err, gobreaker.ErrOpenState):
			fmt.Fprintf(out, "call %d: refused, as the breaker is open; %d requests so far\n", call, requests)
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "call %d: %s, tries: %d; %d requests so far\n", call, resp.Status, len(resp.Tries), requests)
		}
	}
	return nil
}
