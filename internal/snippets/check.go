package snippets

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Imports are the packages that snippets may use without importing them. The name of each
// is the last element of its path.
var Imports = []string{
	"github.com/seed-0474a412/parley", "github.com/seed-0474a412/parley/api", "github.com/seed-0474a412/parley/parleytest",
	"bufio", "bytes", "context", "crypto/sha256", "crypto/tls", "crypto/x509", "encoding/json", "encoding/xml", "errors", "fmt", "io", "iter", "log",
	"log/slog", "maps", "mime/multipart", "net", "net/http", "net/http/cookiejar", "net/http/httptest", "net/http/httptrace", "net/http/httputil",
	"net/netip", "net/textproto", "net/url", "os", "path/filepath", "slices", "strings", "sync", "syscall", "testing", "testing/synctest", "time",
}

// Checker compiles snippets, as far as it takes to know that they are right: it parses
// them and checks their types. It is for one goroutine.
type Checker struct {
	fset     *token.FileSet
	importer types.Importer
	paths    map[string]string // of Imports, by name
	prelude  *ast.File
}

// NewChecker makes a checker with a file of declarations that all snippets may use. What
// packages export is asked of the go command, which builds what it has not built yet;
// flags are for it, such as "-race" where the packages have been built with that already.
func NewChecker(prelude string, flags ...string) (*Checker, error) {
	exports, err := exportData(flags)
	if err != nil {
		return nil, err
	}
	c := &Checker{fset: token.NewFileSet(), paths: map[string]string{}}
	c.importer = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		file, ok := exports[path]
		if !ok {
			return nil, fmt.Errorf("package %s is not among those that snippets may use", path)
		}
		return os.Open(file)
	})
	for _, p := range Imports {
		c.paths[path.Base(p)] = p
	}
	c.prelude, err = parser.ParseFile(c.fset, prelude, nil, 0)
	return c, err
}

// exportData gives the files in which the go command has what packages export.
func exportData(flags []string) (map[string]string, error) {
	list := exec.Command("go", slices.Concat([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}, flags, Imports)...)
	var complaint bytes.Buffer
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", list.Args[:3], err, complaint.Bytes())
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, file, _ := strings.Cut(strings.TrimSpace(line), "="); file != "" {
			files[path] = file
		}
	}
	return files, nil
}

// Check tells what is wrong with the snippets of a page, of each the first mistake.
func (c *Checker) Check(p *Page) error {
	var wrong []error
	given := map[*Snippet][]*ast.File{nil: {c.prelude}}
	for _, s := range p.Snippets {
		files, ok := given[s.Given]
		if !ok {
			file, err := c.parse(s.Given.Code, "", "")
			files = []*ast.File{c.prelude, file}
			if err == nil {
				err = c.types(files)
			}
			if err != nil {
				wrong = append(wrong, place(p, *s.Given, err))
				files = files[:1]
			}
			given[s.Given] = files
		}
		if err := c.snippet(s.Code, files); err != nil {
			wrong = append(wrong, place(p, s, err))
		}
	}
	return errors.Join(wrong...)
}

// place says where a mistake is.
func place(p *Page, s Snippet, err error) error {
	text := err.Error()
	if syntax := (scanner.ErrorList{}); errors.As(err, &syntax) {
		text = syntax[0].Msg
	} else if mistake := (types.Error{}); errors.As(err, &mistake) {
		text = mistake.Msg
	}
	line := s.Line + max(lineOf(err)-2, 0) // the first line of what is compiled is made by parse
	return fmt.Errorf("%s:%d: %s\n\t%s", p.Name, line, text, strings.ReplaceAll(s.Code, "\n", "\n\t"))
}

// lineOf gives the line of a mistake in what is compiled, 0 if it is not known.
func lineOf(err error) int {
	if syntax := (scanner.ErrorList{}); errors.As(err, &syntax) {
		return syntax[0].Pos.Line
	}
	if mistake := (types.Error{}); errors.As(err, &mistake) {
		return mistake.Fset.Position(mistake.Pos).Line
	}
	return 0
}

// shape is something that a snippet may be: what stands before and after it where it is
// compiled.
type shape struct{ before, after string }

var (
	whole        = shape{}
	expression   = shape{"func _() { _ =", "}"}
	typeName     = shape{"func _() { type _ =", "}"}
	statements   = shape{"func _() {", "\n}"}
	head         = shape{"func _() {", " {} }"}
	returnsError = shape{"func _() error {", "\npanic(0) }"}
	returnsBoth  = shape{"func _() (any, error) {", "\npanic(0) }"}
)

// shapes says what code may be, what is likeliest first.
func shapes(code string) []shape {
	if e, err := parser.ParseExpr(code); err == nil {
		if _, call := e.(*ast.CallExpr); call {
			return []shape{statements, expression}
		}
		return []shape{expression, typeName}
	}
	return []shape{whole, statements, head, returnsError, returnsBoth}
}

// snippet checks code as what it may be, beside what is given. The error is that of the
// first shape in which it can be parsed, or of the one in which most of it can.
func (c *Checker) snippet(code string, given []*ast.File) error {
	var syntax, mistake error
	furthest := 0
	for _, s := range shapes(leftOut(code)) {
		file, err := c.parse(code, s.before, s.after)
		if err != nil {
			if at := lineOf(err); at > furthest {
				furthest, syntax = at, err
			}
			continue
		}
		err = c.types(append(slices.Clone(given), file))
		if err == nil {
			return nil
		}
		mistake = cmp.Or(mistake, err)
	}
	return cmp.Or(mistake, syntax)
}

// parse makes a file of code, with the imports that it needs.
func (c *Checker) parse(code, before, after string) (*ast.File, error) {
	code = leftOut(code)
	source := func(imports string) string {
		if strings.HasPrefix(code, "package ") {
			return "\n" + code
		}
		return "package page; " + imports + before + "\n" + code + after
	}
	file, err := parser.ParseFile(c.fset, "", source(""), 0)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, id := range file.Unresolved {
		if path, ok := c.paths[id.Name]; ok {
			needed[path] = true
		}
	}
	imports := ""
	for _, path := range slices.Sorted(maps.Keys(needed)) {
		imports += fmt.Sprintf("import %q; ", path)
	}
	return parser.ParseFile(c.fset, "", source(imports), 0)
}

// leftOut puts something that compiles in the place of code that is left out.
func leftOut(code string) string {
	code = strings.ReplaceAll(code, "{ … }", "{ panic(0) }")
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) == "…" {
			lines[i] = "println()"
		}
	}
	return strings.Join(lines, "\n")
}

// types checks the types of files together, or those of the last alone if it is a program
// of its own. That a variable is not used is no mistake of a snippet.
func (c *Checker) types(files []*ast.File) error {
	last := files[len(files)-1]
	if last.Name.Name != c.prelude.Name.Name {
		files = []*ast.File{last}
	}
	var wrong error
	conf := types.Config{Importer: c.importer, Error: func(err error) {
		if mistake := (types.Error{}); wrong == nil && (!errors.As(err, &mistake) || !mistake.Soft) {
			wrong = err
		}
	}}
	_, _ = conf.Check(last.Name.Name, c.fset, files, nil) // it has told Error of its error
	return wrong
}
