package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun pins what the program prints: the second call trips the breaker, the third goes
// out no more, and the fourth finds the server well again.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, time.Sleep))
		require.Equal(t, `call 1: 503 Service Unavailable, tries: 3; 3 requests so far
call 2: refused, as the breaker is open; 5 requests so far
call 3: refused, as the breaker is open; 5 requests so far
call 4: 200 OK, tries: 1; 6 requests so far
`, out.String())
	})
}
