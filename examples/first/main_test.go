package main

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReadme keeps the README's first program the one that is compiled here.
func TestReadme(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	_, program, _ := strings.Cut(string(source), "\n")
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\n"+program+"```\n")
}

func TestFirst(t *testing.T) {
	server := httptest.NewServer(httpbin.New())
	defer server.Close()
	defer func(args []string) { os.Args = args }(os.Args)
	os.Args = []string{"first", server.URL}
	main()
}
