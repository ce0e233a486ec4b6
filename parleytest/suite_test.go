package parleytest_test

import (
	"flag"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// TestMain lets more tests run at once than there are processors: most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func TestSuite_thePoolPasses(t *testing.T) {
	t.Parallel()
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		pool, err := parley.NewPool(parley.PoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		return pool, parleytest.Serve(t, h)
	})
}

func TestSuite_theHandlerTransportPasses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://handler.test", "https://handler.test"} {
		t.Run(base, func(t *testing.T) {
			parleytest.TransportSuite(t, func(_ *testing.T, h http.Handler) (parley.Transport, string) {
				return parley.HandlerTransport(h), base
			})
		})
	}
}

// plainTransport is what http.DefaultTransport is, for one test.
func plainTransport(t *testing.T) *http.Transport {
	ht := &http.Transport{DialContext: (&net.Dialer{}).DialContext}
	t.Cleanup(ht.CloseIdleConnections)
	return ht
}

func TestSuite_theTransportOfNetHTTPPasses(t *testing.T) {
	t.Parallel()
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		return parley.FromRoundTripper(plainTransport(t)), parleytest.Serve(t, h)
	})
}

// There and back again: what one adapter does the other undoes.
func TestSuite_aPoolBehindBothAdaptersPasses(t *testing.T) {
	t.Parallel()
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		pool, err := parley.NewPool(parley.PoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		return parley.FromRoundTripper(parley.AsRoundTripper(pool)), parleytest.Serve(t, h)
	})
}
