package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// declared gives the exported names of a package, and those of members as "Type.Name".
func declared(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					declare(names, s)
				}
			}
		}
	}
	return names
}

// receiver gives "Type." for a method.
func receiver(d *ast.FuncDecl) (prefix string) {
	if d.Recv == nil {
		return ""
	}
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && prefix == "" {
			prefix = id.Name + "."
		}
		return prefix == ""
	})
	return prefix
}

func declare(names map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, id := range s.Names {
			names[id.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		if fields, ok := s.Type.(*ast.StructType); ok {
			for _, f := range fields.Fields.List {
				for _, id := range f.Names {
					names[s.Name.Name+"."+id.Name] = true
				}
			}
		}
	}
}

// Whoever comes from clients or Uplink finds all public names of theirs in the tables, and
// what stands beside them is there.
func TestDocs_theTablesOfOtherLibrariesAreWhole(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	require.NoError(t, err)
	_, tables, ok := strings.Cut(string(text), "## Coming from clients")
	require.True(t, ok)
	var theirs, ours strings.Builder
	rows := 0
	for line := range strings.Lines(tables) {
		if cells := strings.Split(line, " | "); len(cells) == 2 && strings.HasPrefix(line, "| ") {
			rows++
			theirs.WriteString(cells[0] + "\n")
			ours.WriteString(cells[1])
		} else {
			theirs.WriteString(line) // what is said before a table counts too
		}
	}
	require.Greater(t, rows, 70)

	for _, name := range strings.Fields(`
		AsyncClient AsyncGraph AsyncProxy AsyncRemote AsyncResource Client Graph Proxy Remote Resource singleton
		trailing url clone request get options head post put patch delete stream run client content_type validate updater updating
		update callback create download authorize json check execute Error urls Stats add priority choice

		install returns types AiohttpClient RequestsClient TwistedClient Marshmallow build Consumer
		UplinkBuilderError InvalidRequestDefinition AnnotationError headers params form_url_encoded multipart timeout
		args response_handler error_handler inject loads dumps Path Query QueryMap Header HeaderMap Field FieldMap Part PartMap Body
		Url Timeout Context ContextMap encoded encode_none schema model from_json to_json List Dict retry when stop backoff raises status
		status_5xx RetryPredicate after_attempt after_delay NEVER jittered exponential fixed RetryBackoff ratelimit RateLimitExceeded
		Factory Converter ConverterFactory StandardConverter register_default_converter_factory keys BasicAuth ProxyAuth BearerToken
		MultiAuth ApiTokenHeader ApiTokenParam TransactionHook RequestAuditor ResponseHandler ExceptionHandler requires_consumer
		with_value session base_url auth context exceptions BaseClientException ConnectionError ConnectionTimeout ServerTimeout SSLError InvalidURL`) {
		require.Regexp(t, `\b`+name+`\b`, theirs.String())
	}

	packages := map[string]map[string]bool{"api": declared(t, "."), "parley": declared(t, "..")}
	for _, m := range regexp.MustCompile(`\b(api|parley)\.([A-Z]\w*)`).FindAllStringSubmatch(ours.String(), -1) {
		require.True(t, packages[m[1]][m[2]], "there is no %s", m[0])
	}
	// Members, and names that go on a list of one package: `api.BindBody`, `BindText`.
	for _, m := range regexp.MustCompile("(?:`|[^.\\w])(With\\w+|Bind[A-Z]\\w*|Err[A-Z]\\w*|[A-Z]\\w*\\.[A-Z]\\w*)").FindAllStringSubmatch(ours.String(), -1) {
		require.True(t, packages["api"][m[1]] || packages["parley"][m[1]], "there is no %s", m[1])
	}
}
