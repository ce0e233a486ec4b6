package parley_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/api.txt anew")

// packageDoc gives the package's documentation, and what its positions mean.
func packageDoc(t *testing.T) (*doc.Package, *token.FileSet) {
	t.Helper()
	found, err := build.ImportDir(".", 0)
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range found.GoFiles {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/seed-0474a412/parley")
	require.NoError(t, err)
	return p, fset
}

// exported is an exported name of the package.
type exported struct {
	line       string // its declaration
	documented bool
}

// surface collects what users of the package can name.
type surface struct {
	fset  *token.FileSet
	names []exported
}

func (s *surface) add(documented bool, format string, args ...any) {
	s.names = append(s.names, exported{fmt.Sprintf(format, args...), documented})
}

// text prints a type or a signature on one line.
func (s *surface) text(t *testing.T, node any) string {
	var b bytes.Buffer
	require.NoError(t, printer.Fprint(&b, s.fset, node))
	return strings.Join(strings.Fields(b.String()), " ")
}

func (s *surface) values(t *testing.T, values []*doc.Value) {
	for _, v := range values {
		for _, spec := range v.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			for _, name := range spec.Names {
				if name.IsExported() {
					s.add(v.Doc != "" || spec.Doc != nil || spec.Comment != nil, "%s %s", v.Decl.Tok, name.Name)
				}
			}
		}
	}
}

func (s *surface) functions(t *testing.T, functions []*doc.Func) {
	for _, f := range functions {
		signature := strings.TrimPrefix(s.text(t, f.Decl.Type), "func")
		if f.Recv == "" {
			s.add(f.Doc != "", "func %s%s", f.Name, signature)
		} else {
			s.add(f.Doc != "", "method (%s) %s%s", f.Recv, f.Name, signature)
		}
	}
}

func (s *surface) members(t *testing.T, of *doc.Type) {
	spec := of.Decl.Specs[0].(*ast.TypeSpec)
	switch underlying := spec.Type.(type) {
	case *ast.StructType:
		s.add(of.Doc != "", "type %s struct", of.Name)
		s.fields(t, of, underlying.Fields)
	case *ast.InterfaceType:
		s.add(of.Doc != "", "type %s interface", of.Name)
		s.fields(t, of, underlying.Methods)
	default:
		s.add(of.Doc != "", "type %s %s", of.Name, s.text(t, spec.Type))
	}
}

// fields adds those of a struct or an interface. A short struct may be explained as
// a whole.
func (s *surface) fields(t *testing.T, of *doc.Type, list *ast.FieldList) {
	for _, f := range list.List {
		documented := f.Doc != nil || f.Comment != nil || of.Doc != ""
		for _, name := range f.Names {
			if name.IsExported() {
				s.add(documented, "field %s.%s %s", of.Name, name.Name, s.text(t, f.Type))
			}
		}
		if len(f.Names) == 0 {
			s.add(documented, "field %s %s", of.Name, s.text(t, f.Type))
		}
	}
}

func surfaceOf(t *testing.T) []exported {
	t.Helper()
	p, fset := packageDoc(t)
	require.NotEmpty(t, p.Doc)
	s := &surface{fset: fset}
	s.values(t, p.Consts)
	s.values(t, p.Vars)
	s.functions(t, p.Funcs)
	for _, of := range p.Types {
		s.members(t, of)
		s.values(t, of.Consts)
		s.values(t, of.Vars)
		s.functions(t, of.Funcs)
		s.functions(t, of.Methods)
	}
	slices.SortFunc(s.names, func(a, b exported) int { return strings.Compare(a.line, b.line) })
	return s.names
}

func TestDoc_everyExportedNameIsExplained(t *testing.T) {
	t.Parallel()
	for _, name := range surfaceOf(t) {
		assert.True(t, name.documented, "%s has no comment", name.line)
	}
}

// What users can name is a promise: a change of it is made on purpose, with
//
//	go test . -run TestDoc_thePublicFace -update
func TestDoc_thePublicFaceChangesOnPurpose(t *testing.T) {
	t.Parallel()
	const path = "testdata/api.txt"
	var got strings.Builder
	for _, name := range surfaceOf(t) {
		got.WriteString(name.line + "\n")
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "the public face has changed: see the comment of this test")
}
