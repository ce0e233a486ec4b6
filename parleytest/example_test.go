package parleytest_test

import (
	"net/http"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// A transport of one's own that counts requests, and the test that it keeps the contract.
func ExampleTransportSuite() {
	test := func(t *testing.T) { // func TestMyTransport(t *testing.T)
		parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
			pool, err := parley.NewPool(parley.PoolConfig{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			return counting(pool), parleytest.Serve(t, h) // counting is a parley.Middleware
		})
	}
	_ = test
}

func counting(next parley.Transport) parley.Transport { return next }
