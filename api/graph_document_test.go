package api

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperationsOf_findsWhatCanBeExecuted(t *testing.T) {
	t.Parallel()
	op := func(kind, name string) graphOperation { return graphOperation{kind, name} }
	for document, want := range map[string][]graphOperation{
		"":                      nil,
		" # mutation { a }\r\n": nil,
		"{ a }":                 {op("query", "")},
		"\uFEFF,{a{b}}":         {op("query", "")},
		"query { a }":           {op("query", "")},
		"query Q { a }":         {op("query", "Q")},
		"query query { a }":     {op("query", "query")},
		"query mutation { a }":  {op("query", "mutation")},
		"query Q($a: [Int!]! = [1, 2], $b: In = {x: {y: 1}}) @d(a: {b: 1}) { a(b: $b) }": {op("query", "Q")},
		"query @d { a }":                       {op("query", "")},
		"query($a: String = \"{\\\"}\") { a }": {op("query", "")},
		"query($a: String = \"\"\"{\\\"\"\" \" \"\"\") { a }mutation M{b}": {op("query", ""), op("mutation", "M")},
		"fragment mutation on T { a } { b }":                               {op("query", "")},
		"fragment F on T @d(x: \"}\") { a } mutation{b}":                   {op("mutation", "")},
		"subscription S { a } # {\nquery Q_1 { a }":                        {op("subscription", "S"), op("query", "Q_1")},
		"{ mutation { a } }":                                               {op("query", "")},
		"{ a(s: \"mutation {\") # }\n }":                                   {op("query", "")},
		"{ a(s: \"\\\\\") } mutation { b }":                                {op("query", ""), op("mutation", "")},
		"{ a(s: \"\") } mutation { b }":                                    {op("query", ""), op("mutation", "")},
	} {
		got, err := operationsOf(document)
		require.NoError(t, err, document)
		require.Equal(t, want, got, document)
	}
	for _, document := range []string{
		"{", "}", "query", "query Q", "query Q(", "query Q($a: Int { a }", "query Q) { a }", "{ a", "{ a } }", "{ a(s: \"x) }", "{ a(s: \"x\n\") }", "{ a(s: \"\"\"x\") }",
		"\"text\" { a }", "type A { a: Int }", "mutations { a }", "4", "é { a }", "fragment F on T", "{ a(s: \"\\", "\"", "\"\"\"", "{ a(s: \"\"\"\\", "Query { a }",
	} {
		_, err := operationsOf(document)
		require.ErrorIs(t, err, errDocument, document)
	}
}

// FuzzOperationsOf looks at what holds for all documents.
func FuzzOperationsOf(f *testing.F) {
	for _, document := range []string{
		"{ a }", "query Q($a: [Int!]! = [1, 2]) @d(a: {b: 1}) { a(b: \"}\") }", "fragment F on T { a } mutation M { b } # x", "subscription { a(s: \"\"\"x\\\"\"\"y\"\"\") }", "query Q(", "\"",
	} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document string) {
		all, err := operationsOf(document)
		if err != nil {
			require.ErrorIs(t, err, errDocument)
			return
		}
		// With an operation behind it, a whole document has one more.
		more, err := operationsOf(document + "\nmutation Last { a }")
		require.NoError(t, err)
		require.Equal(t, append(all, graphOperation{"mutation", "Last"}), more)
		for _, o := range all {
			require.Contains(t, []string{"query", "mutation", "subscription"}, o.kind)
			require.Contains(t, document, o.name)
			require.False(t, o.kind == "mutation" && !strings.Contains(document, "mutation"))
		}
	})
}
