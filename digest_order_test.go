package parley_test

import (
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

// orderly is a server that wants the counts of each nonce in order and ends a nonce
// that comes otherwise, as Squid does. It leaves the password unchecked.
type orderly struct {
	mu     sync.Mutex
	issued int
	counts map[string]string // the last of each nonce that is valid
}

var nonceAndCount = regexp.MustCompile(`nonce="(\w+)".* nc=(\w{8})`)

func (o *orderly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for range 10 { // others overtake
		runtime.Gosched()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if proof := nonceAndCount.FindStringSubmatch(r.Header.Get("Authorization")); proof != nil {
		if last, valid := o.counts[proof[1]]; valid && proof[2] > last {
			o.counts[proof[1]] = proof[2]
			return
		}
		delete(o.counts, proof[1])
	}
	o.issued++
	nonce := fmt.Sprintf("n%d", o.issued)
	o.counts[nonce] = "00000000"
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Digest realm="r", qop="auth", nonce=%q, stale=true`, nonce))
	w.WriteHeader(http.StatusUnauthorized)
}

func TestDigestWhereCountsMustBeInOrder(t *testing.T) {
	server := &orderly{counts: make(map[string]string)}
	auth, err := parley.DigestAuth("Mufasa", "Circle of Life")
	require.NoError(t, err)
	c, err := parley.New(parley.WithHandler(server), parley.WithAuth(auth), parley.WithEnv(false))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	requests := func(yield func(*parley.Request) bool) {
		for range 1000 {
			req, err := c.NewRequest(http.MethodGet, "http://a.test/")
			require.NoError(t, err)
			if !yield(req) {
				return
			}
		}
	}
	for result := range c.Gather(t.Context(), 20, requests) {
		require.NoError(t, result.Err)
		require.Equal(t, http.StatusOK, result.Response.StatusCode, "request %d", result.Index)
	}
}
