//go:build !race

package snippets_test

// buildFlags are those with which the packages have been built for this test.
var buildFlags []string
