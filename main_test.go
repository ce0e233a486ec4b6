package parley_test

import (
	"cmp"
	"crypto/x509"
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// sideBySide is how many tests run at once. Most of them wait, so that there may be
// more than processors; but those with time limits must not wait for a processor.
const sideBySide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	clearEnvironment()
	if where := os.Getenv(downloadVariable); where != "" {
		os.Exit(runDownload(where))
	}
	// Package x509 reads the system's roots once, and must not while a test has set
	// variables that it looks at.
	if _, err := x509.SystemCertPool(); err != nil {
		panic(err)
	}
	if f := flag.Lookup("test.parallel"); !raceEnabled && f.Value.String() == f.DefValue {
		if err := f.Value.Set(sideBySide); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// clearEnvironment takes away what a session would find in the environment of
// whoever runs the tests: logins, proxies and certificates.
func clearEnvironment() {
	if err := os.Setenv("NETRC", cmp.Or(os.Getenv("PARLEY_TEST_NETRC"), os.DevNull)); err != nil {
		panic(err)
	}
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
	} {
		for _, name := range []string{name, strings.ToLower(name)} {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
}
