// Package snippets finds the Go code in this project's pages of Markdown and checks that
// it compiles, so that no page shows what does not exist any more.
//
// Two kinds of code are looked at:
//
//   - blocks between ```go and ```
//   - in tables, everything between backticks in a column that is headed by one of
//     [Columns]. Such a column has nothing else between backticks.
//
// A snippet may be a whole file, declarations, statements, the head of a for or an if, an
// expression or a type. "{ … }" stands for a body that is left out, of a function or a
// block, and "…" on a line of its own for statements that are.
//
// Packages are imported by themselves (see [Imports]). What else a snippet takes for granted,
// such as ctx, client and err, is declared in testdata/prelude.go for all pages, and in a
// comment that readers do not see for what follows it on a page, up to the next of its kind:
//
//	<!-- go
//	type Repo struct{ Name string }
//	var seq iter.Seq[Repo]
//	-->
package snippets

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Columns are the headings of the columns of tables that hold Go code.
var Columns = []string{"you write", "you wrote with net/http", "it matches", "how to look", "what to do", "one line"}

// Snippet is a piece of Go code on a page.
type Snippet struct {
	Line  int // on which it begins, from 1
	Code  string
	Given *Snippet // the declarations before it on the page; nil if there are none
}

// Page is what is of interest on a page.
type Page struct {
	Name     string // of the file, for messages
	Snippets []Snippet
	Links    []Snippet // the targets of links
}

const (
	fence        = "```"
	preludeBegin = "<!-- go"
	preludeEnd   = "-->"
)

// Parse reads a page. The error tells of the first block without an end, or row of a
// table that has not as many cells as its heading.
func Parse(name, text string) (*Page, error) { return ParseColumns(name, text, Columns...) }

// ParseColumns is Parse with other columns than those that hold Go code.
func ParseColumns(name, text string, columns ...string) (*Page, error) {
	p := &reader{page: &Page{Name: name}, lines: strings.Split(text, "\n"), columns: columns}
	for p.at < len(p.lines) {
		var err error
		switch line := p.lines[p.at]; {
		case strings.HasPrefix(line, fence):
			var code Snippet
			if code, err = p.block(fence); line == fence+"go" {
				p.add(code)
			}
		case line == preludeBegin:
			var given Snippet
			given, err = p.block(preludeEnd)
			p.given = &given
		case strings.HasPrefix(line, "|"):
			err = p.table()
		default:
			p.links(line)
			p.at++
		}
		if err != nil {
			return nil, err
		}
	}
	return p.page, nil
}

type reader struct {
	page  *Page
	lines []string
	at    int // the line that is next
	given *Snippet

	columns []string
}

func (r *reader) add(s Snippet) {
	s.Given = r.given
	r.page.Snippets = append(r.page.Snippets, s)
}

// block reads lines up to one that is end.
func (r *reader) block(end string) (Snippet, error) {
	begin := r.at + 1
	length := slices.Index(r.lines[begin:], end)
	if length < 0 {
		return Snippet{}, fmt.Errorf("%s:%d: there is no %q after this", r.page.Name, begin, end)
	}
	r.at = begin + length + 1
	return Snippet{Line: begin + 1, Code: strings.Join(r.lines[begin:begin+length], "\n")}, nil
}

// table reads the rows of a table.
func (r *reader) table() error {
	heading := cells(r.lines[r.at])
	for first := r.at; r.at < len(r.lines) && strings.HasPrefix(r.lines[r.at], "|"); r.at++ {
		row := cells(r.lines[r.at])
		if len(row) != len(heading) {
			return fmt.Errorf("%s:%d: a row of %d cells in a table of %d", r.page.Name, r.at+1, len(row), len(heading))
		}
		r.links(r.lines[r.at])
		for i, cell := range row {
			if r.at > first && slices.Contains(r.columns, heading[i]) {
				for _, code := range spans(cell) {
					r.add(Snippet{Line: r.at + 1, Code: code})
				}
			}
		}
	}
	return nil
}

// cells gives the cells of a row. A bar within a cell has a backslash before it, also
// between backticks.
func cells(line string) []string {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, bar)
	row := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
	for i, cell := range row {
		row[i] = strings.TrimSpace(strings.ReplaceAll(cell, bar, "|"))
	}
	return row
}

var backticks = regexp.MustCompile("`+")

// spans gives what stands between runs of backticks of the same length.
func spans(cell string) []string {
	var all []string
	for {
		begin := backticks.FindStringIndex(cell)
		if begin == nil {
			return all
		}
		run, rest := cell[begin[0]:begin[1]], cell[begin[1]:]
		end := closing(rest, run)
		if end < 0 {
			cell = rest
			continue
		}
		code := rest[:end]
		if len(code) > 2 && code[0] == ' ' && code[len(code)-1] == ' ' { // as in "`` `x` ``"
			code = code[1 : len(code)-1]
		}
		all = append(all, code)
		cell = rest[end+len(run):]
	}
}

// closing finds the run of backticks that ends what run began; -1 if there is none.
func closing(s, run string) int {
	for _, at := range backticks.FindAllStringIndex(s, -1) {
		if s[at[0]:at[1]] == run {
			return at[0]
		}
	}
	return -1
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// links keeps the targets of the links outside of code.
func (r *reader) links(line string) {
	for _, code := range spans(line) {
		line = strings.Replace(line, code, "", 1)
	}
	for _, found := range link.FindAllStringSubmatch(line, -1) {
		r.page.Links = append(r.page.Links, Snippet{Line: r.at + 1, Code: found[1]})
	}
}
