package snippets_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/snippets"
)

const prelude = "testdata/prelude.go"

func newChecker(t *testing.T) *snippets.Checker {
	t.Helper()
	c, err := snippets.NewChecker(prelude, buildFlags...)
	require.NoError(t, err)
	return c
}

func parse(t *testing.T, path string) *snippets.Page {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	p, err := snippets.Parse(path, string(text))
	require.NoError(t, err)
	return p
}

// pages gives the paths of the project's pages.
func pages(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return append(paths, "../../README.md")
}

// least is how many snippets there are at least on the pages that are made of them, so
// that a change of the tables' headings does not go unnoticed.
var least = map[string]int{
	"README.md": 60, "from-requests.md": 80, "from-httpx.md": 80, "from-nethttp.md": 80, "from-resty.md": 80, "when-it-goes-wrong.md": 60,
}

func TestPages_everySnippetCompiles(t *testing.T) {
	c := newChecker(t)
	found := map[string]int{}
	for _, path := range pages(t) {
		p := parse(t, path)
		found[filepath.Base(path)] = len(p.Snippets)
		assert.NoError(t, c.Check(p))
	}
	for page, n := range least {
		assert.GreaterOrEqual(t, found[page], n, page)
	}
}

func TestPages_everyLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	for _, path := range pages(t) {
		for _, l := range parse(t, path).Links {
			if strings.Contains(l.Code, "://") {
				continue
			}
			file, section, _ := strings.Cut(l.Code, "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			text, err := os.ReadFile(target)
			if assert.NoError(t, err, "%s:%d", path, l.Line) && section != "" {
				assert.Contains(t, anchors(string(text)), section, "%s:%d", path, l.Line)
			}
		}
	}
}

// anchors gives the names by which a page's headings are linked to.
func anchors(page string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

func TestPages_readmeNamesThemAll(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, path := range pages(t) {
		if name := filepath.Base(path); name != "README.md" {
			assert.Contains(t, string(readme), "](docs/"+name+")")
		}
	}
}

func TestCheck(t *testing.T) {
	c := newChecker(t)
	for _, tt := range []struct{ name, page, wrong string }{
		{"a call", "```go\nclient.Get(ctx, \"x\")\n```", ""},
		{"a call of what is not there", "```go\nclient.Fetsh(ctx, \"x\")\n```", "page.md:2: client.Fetsh undefined"},
		{"a wrong argument", "```go\nclient.Get(ctx, 7)\n```", "page.md:2: cannot use 7"},
		{"a missing argument", "```go\nclient.Get()\n```", "page.md:2: not enough arguments"},
		{"an option of requests is none of a session", "```go\nparley.New(parley.WithJSON(u))\n```", "page.md:2: cannot use parley.WithJSON(u)"},
		{"a field that is not there", "```go\nparley.PoolLimits{Soft: 1, Hart: 2}\n```", "unknown field Hart"},
		{"several lines", "a\n\n```go\nx := 1\ny := x.z\n```", "page.md:5: x.z undefined"},
		{"an error in a function", "```go\nfunc f() int {\n\treturn \"\"\n}\n```", "page.md:3: cannot use \"\""},
		{"what cannot be parsed", "```go\nx()\nif {\n```", "page.md:3: missing condition"},
		{"a name that nobody has declared", "```go\nunheard.Of()\n```", "page.md:2: undefined: unheard"},
		{"a package that is not among those", "```go\nimport \"net/smtp\"\n\nvar c smtp.Client\n```", "could not import net/smtp"},
		{"a program", "```go\npackage main\n\nfunc main() {}\n```", ""},
		{"a program that is wrong", "```go\npackage main\n\nfunc main() { return 1 }\n```", "page.md:4: too many return values"},
		{"a statement that returns", "```go\nif err != nil {\n\treturn err\n}\n```", ""},
		{"a statement that returns too much", "```go\nreturn 1, 2, 3\n```", "page.md:2: "},
		{"variables that are not used", "```go\nresp, err := client.Get(ctx, path)\n```", ""},
		{"left out", "```go\nfor {\n\t…\n}\nf := func() error { … }\n```", ""},
		{"left out of a value", "```go\n[]func() error{func() error { … }}\n```", ""},
		{"the head of a loop", "```go\nfor line, err := range resp.Lines()\n```", ""},
		{"the head of a loop over nothing", "```go\nfor line, err := range resp.Bytes()\n```", "page.md:2: "},
		{"a type", "```go\n*parley.Error\n```", ""},
		{"a type that is not there", "```go\n*parley.Mistake\n```", "undefined: parley.Mistake"},
		{"a value", "```go\nresp.StatusCode\n```", ""},
		{"another language", "```python\nimport requests\n```", ""},
		{"a cell", "| you wrote | you write |\n| --- | --- |\n| `x()` | `client.Close()` |", ""},
		{"a wrong cell", "| you wrote | you write |\n| --- | --- |\n| `x()` | `client.Open()` |", "page.md:3: not enough arguments"},
		{"the second of a cell", "| you write |\n| --- |\n| `path`, or `m` |", "page.md:3: undefined: m"},
		{"a bar in a cell", "| you write |\n| --- |\n| `len(path) \\| 1` |", ""},
		{"backticks in a cell", "| you write |\n| --- |\n| `` _ = `x` + 1 `` |", "page.md:3: "},
		{"a cell of another column", "| you wrote |\n| --- |\n| `x()` |", ""},
		{"a page's own declarations", "<!-- go\nvar mine int\n-->\n```go\nmine = 1\n```", ""},
		{"declarations hold up to the next", "<!-- go\nvar a int\n-->\n<!-- go\nvar b int\n-->\n```go\na\n```", "page.md:8: undefined: a"},
		{"wrong declarations of a page", "<!-- go\nvar mine In\n-->\n```go\n1\n```", "page.md:2: undefined: In"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := snippets.Parse("page.md", tt.page)
			require.NoError(t, err)
			err = c.Check(p)
			if tt.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.wrong)
			}
		})
	}
}

func TestParse_malformedPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, page, wrong string }{
		{"a block without an end", "x\n```go\nx()\n", "page.md:2: there is no \"```\" after this"},
		{"a comment without an end", "<!-- go\n", "page.md:1: there is no \"-->\" after this"},
		{"a row that is too short", "| a | b |\n| --- | --- |\n| c |", "page.md:3: a row of 1 cells in a table of 2"},
		{"a bar that splits code", "| a | b |\n| --- | --- |\n| `c | d` | e |", "page.md:3: a row of 3 cells in a table of 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := snippets.Parse("page.md", tt.page)
			require.EqualError(t, err, tt.wrong)
		})
	}
}

func TestParse_links(t *testing.T) {
	t.Parallel()
	p, err := snippets.Parse("page.md", "see [a](b.md), `[]T(v)`\n\n| [c](d.md#e) |\n| --- |\n")
	require.NoError(t, err)
	require.Equal(t, []snippets.Snippet{{Line: 1, Code: "b.md"}, {Line: 3, Code: "d.md#e"}}, p.Links)
}

func TestNewChecker_errors(t *testing.T) {
	t.Parallel()
	_, err := snippets.NewChecker("testdata/nothing.go", buildFlags...)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = snippets.NewChecker(prelude, "-no-such-flag")
	require.ErrorContains(t, err, "-no-such-flag")
}
