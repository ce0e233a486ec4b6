package api_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// What a balancer adds to a request, next to the same session without one.
func BenchmarkBalancer(b *testing.B) {
	answers := parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
		return &parley.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})
	balanced := func(n int) *parley.Client {
		bal := newBalancer(b, logicalBase, api.BalancerConfig{Servers: api.Servers(newFarm().urls(n)...)})
		return balancedClient(b, bal, parley.WithTransport(answers))
	}
	alone, err := parley.New(parley.WithBaseURL(logicalBase), parley.WithTransport(answers))
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]*parley.Client{"without": alone, "3 servers": balanced(3), "100 servers": balanced(100)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(b.Context(), "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
