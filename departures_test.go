package parley_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/golden"
)

// TestDeparturesAreDocumented keeps the users' table and the rules of the recorded
// cases the same.
func TestDeparturesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/departures.md")
	require.NoError(t, err)
	for _, rule := range golden.Rules() {
		require.Contains(t, string(doc), "| "+rule.Name+" | "+rule.Reason+" |\n")
	}
}
