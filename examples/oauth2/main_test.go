package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun pins what the program prints: one token serves three requests, and a revoked
// one is replaced within the request that finds out.
func TestRun(t *testing.T) {
	server := httptest.NewServer(newIssuer())
	defer server.Close()
	var out bytes.Buffer
	require.NoError(t, run(context.WithValue(t.Context(), oauth2.HTTPClient, server.Client()), &out, server.URL))
	require.Equal(t, `client credentials: a service acts for itself
  service, with token 1
  service, with token 1
  service, with token 1
a refresh token: a program acts for a user who logged in before
  of-ann, with token 2
  of-ann, with token 2
  of-ann, with token 2
a token that is revoked early: a function that asks the server each time
  service, with token 3
  service, with token 4
`, out.String())
}
