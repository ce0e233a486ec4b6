package parley_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/golden"
)

// goldenFolder holds the recorded cases that belong to this module.
const goldenFolder = "testdata/golden"

// goldenPace stretches the sleeps and time limits of the cases, all by the same
// factor.
const goldenPace = 1.0 * slowness

// TestGolden runs the recorded cases of the systems that parley follows, as
// TestGolden/<topic>/<id>. GOLDEN_DIR names another folder to read them from.
func TestGolden(t *testing.T) {
	dir, own := os.Getenv("GOLDEN_DIR"), false
	if dir == "" {
		dir, own = goldenFolder, true
	}
	authority, err := golden.NewAuthority()
	require.NoError(t, err)
	tally := goldenTally{rules: map[string]int{}}
	rules := golden.Rules()
	total := 0
	for _, topic := range golden.Topics {
		cases, err := golden.Load(dir, topic)
		require.NoError(t, err)
		total += len(cases)
		t.Run(topic, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.ID, func(t *testing.T) {
					if !goldenEnv(t, c) {
						t.Parallel()
					}
					runGolden(t, c, authority, rules, &tally)
				})
			}
		})
	}
	t.Log(tally.String())
	if own && tally.ran() == total { // no case was filtered out
		for _, rule := range rules {
			if tally.rules[rule.Name] == 0 {
				t.Errorf("no case uses the rule %q any more", rule.Name)
			}
		}
	}
}

// goldenEnv sets the environment of a case. used is false where it needs none.
func goldenEnv(t *testing.T, c *golden.Case) (used bool) {
	if c.UsesProxy() {
		used = true
		for name, value := range c.Env {
			t.Setenv(name, value)
		}
	}
	if text, ok := c.Files["netrc"]; ok && c.Client.TrustEnv {
		used = true
		t.Setenv("NETRC", goldenNetrc(t, text))
	}
	return used
}

func goldenNetrc(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func runGolden(t *testing.T, c *golden.Case, authority *golden.Authority, rules []golden.Rule, tally *goldenTally) {
	lab := golden.NewLab(c, authority, goldenPace)
	defer lab.Close()
	got := driveGolden(t, c, lab, authority)
	verdict := golden.Judge(c, rules, got)
	tally.count(func() {
		for _, rule := range verdict.Rules {
			tally.rules[rule]++
		}
		switch {
		case len(verdict.Departures) > 0:
			tally.failed++
		case verdict.Same:
			tally.same++
		default:
			tally.byRule++
		}
	})
	if len(verdict.Departures) > 0 {
		t.Error(verdict.Report(c, got))
	}
}

// goldenTally counts what became of the cases.
type goldenTally struct {
	mu                   sync.Mutex
	same, byRule, failed int
	rules                map[string]int // cases to which a rule applies, by its name
}

func (g *goldenTally) count(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *goldenTally) ran() int { return g.same + g.byRule + g.failed }

func (g *goldenTally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d cases: %d as one of the systems, %d otherwise by rule, %d failed", g.ran(), g.same, g.byRule, g.failed)
	for _, rule := range slices.Sorted(maps.Keys(g.rules)) {
		fmt.Fprintf(&b, "\n  %3d under the rule: %s", g.rules[rule], rule)
	}
	return b.String()
}
