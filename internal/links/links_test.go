package links

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse_readsTheGrammarAndPassesOverTheRest(t *testing.T) {
	t.Parallel()
	next := Value{"/2", []Param{{"rel", "next"}}}
	for name, test := range map[string]struct {
		lines []string
		want  []Value
	}{
		"one":                           {[]string{`</2>; rel="next"`}, []Value{next}},
		"unquoted":                      {[]string{`</2>;rel=next`}, []Value{next}},
		"single quotes":                 {[]string{`</2>; rel='next'`}, []Value{next}},
		"several on a line":             {[]string{`</2>; rel=next, </9>; rel="last"`}, []Value{next, {"/9", []Param{{"rel", "last"}}}}},
		"several lines":                 {[]string{`</2>; rel=next`, `</9>`}, []Value{next, {"/9", nil}}},
		"space and tabs":                {[]string{"\t</2>\t ;\trel \t=\t\"next\" \t, "}, []Value{next}},
		"empty elements":                {[]string{",, </2>;; rel=next;,;,"}, []Value{next}},
		"names in any case":             {[]string{`</2>; REL=next`}, []Value{next}},
		"no value, and an empty one":    {[]string{`<a>; nopush; x=; y=""`}, []Value{{"a", []Param{{"nopush", ""}, {"x", ""}, {"y", ""}}}}},
		"separators in quotes":          {[]string{`<a>; title="b, <c>; rel=d"`}, []Value{{"a", []Param{{"title", "b, <c>; rel=d"}}}}},
		"separators in the target":      {[]string{`<a?b=1;c=2,3 "x>; rel=next`}, []Value{{`a?b=1;c=2,3 "x`, []Param{{"rel", "next"}}}}},
		"escapes":                       {[]string{`<a>; title="b \"c\" \\ \d"; rel=next`}, []Value{{"a", []Param{{"title", `b "c" \ d`}, {"rel", "next"}}}}},
		"a target of nothing":           {[]string{`<>; rel=next`, `< /2 >; rel=next`}, []Value{{"", []Param{{"rel", "next"}}}, next}},
		"a quote that is not closed":    {[]string{`<a>; title="b, </2>; rel=next`, `</2>; rel=next`}, []Value{{"a", []Param{{"title", "b, </2>; rel=next"}}}, next}},
		"a quote that ends in a slash":  {[]string{`<a>; title="b\`, `<a>; title="\"\`}, []Value{{"a", []Param{{"title", "b"}}}, {"a", []Param{{"title", `"`}}}}},
		"more after a quoted string":    {[]string{`<a>; title="b"c; rel=d, </2>; rel=next`}, []Value{{"a", []Param{{"title", "b"}}}, next}},
		"more after the target":         {[]string{`<a> b "c, <d>", </2>; rel=next`}, []Value{{"a", nil}, next}},
		"no link, then one":             {[]string{`garbage, </2>; rel=next`}, []Value{next}},
		"no link, with one in quotes":   {[]string{`x "a, <evil>; rel=next", </2>; rel=next`}, []Value{next}},
		"a target that is not closed":   {[]string{`<a; rel=next, b`, `</2>; rel=next`}, []Value{next}},
		"nothing":                       {[]string{"", ",", " , ", "<", ";"}, nil},
		"as it is written, all of them": {[]string{`</2>; rel=a; rel=b`}, []Value{{"/2", []Param{{"rel", "a"}, {"rel", "b"}}}}},
	} {
		require.Equal(t, test.want, slices.Collect(Parse(test.lines)), name)
	}
	v := Value{"", []Param{{"rel", "a"}, {"rel", "b"}}}
	rel, ok := v.Get("rel")
	require.True(t, ok)
	require.Equal(t, "a", rel, "the first counts")
	_, ok = v.Get("title")
	require.False(t, ok)
}

func TestParse_canBeLeft(t *testing.T) {
	t.Parallel()
	for v := range Parse([]string{"<a>, <b>"}) {
		require.Equal(t, "a", v.Target)
		break
	}
}

// The shapes that have made parsers of such headers slow or hungry.
func TestParse_isLinearAndBounded(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, unit := range map[string]string{
		"commas": ",", "quotes": `"`, "escapes": `\`, "targets": "<>,", "open targets": "<", "parameters": ";a", "spaces": " ", "latin": "\xa0",
		"quoted": `"",`, "half links": `<a>;x="`, "semicolons": ";", "equals": "=", "open and closed": "<>", "escaped quotes": `\"`, "tabs and commas": "\t,",
	} {
		for _, before := range []string{"", "<a>", `<a>;b="`, `<a>;b=`, "x"} {
			line := before + strings.Repeat(unit, size/len(unit))
			began := time.Now()
			n, params := 0, 0
			for v := range Parse([]string{line}) {
				n++
				params = max(params, len(v.Params))
			}
			assert.LessOrEqual(t, n, MaxLinks, name)
			assert.LessOrEqual(t, params, MaxParams, name)
			// Quadratic would be minutes.
			assert.Less(t, time.Since(began), 2*time.Second, "%s after %q", name, before)
		}
	}
}

func TestDecodeExt(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"UTF-8''caf%C3%A9": "café", "utf-8'en'%e2%82%ac%20rates": "€ rates", "ISO-8859-1''%A3%20rates": "£ rates", "UTF-8''": "",
		"UTF-8'de'plain": "plain",
	} {
		text, ok := DecodeExt(value)
		require.True(t, ok, value)
		require.Equal(t, want, text, value)
	}
	for _, value := range []string{
		"", "plain", "UTF-8'plain", "UTF-8''%", "UTF-8''%4", "UTF-8''%4g", "UTF-8''%g4", "UTF-8''%FF", "koi8-r''%C1", "''a", "UTF-8''é",
		"UTF-8''a%0D%0Ab", "UTF-8''%7F", "iso-8859-1''%00",
	} {
		_, ok := DecodeExt(value)
		require.False(t, ok, value)
	}
}

// wellFormed matches one link by the grammar of RFC 8288, section 3, with the values
// that have no quoted pairs.
var wellFormed = regexp.MustCompile("^<([^>]*)>((?:[ \t]*;[ \t]*[!#$&+.^_`|~0-9A-Za-z*-]+(?:=(?:[!#$&+.^_`|~0-9A-Za-z*-]+|\"[^\"\\\\]*\"))?)*)$")

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`</2>; rel="next", <b>;title*=UTF-8''caf%C3%A9; hreflang=de`, `<a>;b="c\"`, `x "a, <b>" , <c>`, `<a>;b='c'`, "<a>;;=,;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		all := slices.Collect(Parse([]string{line}))
		require.LessOrEqual(t, len(all), MaxLinks)
		require.Equal(t, len(all), len(slices.Collect(Parse([]string{line + ","}))), "an empty element is nothing")
		for _, v := range all {
			require.NotContains(t, v.Target, ">")
			for _, p := range v.Params {
				require.NotEmpty(t, p.Name)
				require.Equal(t, strings.ToLower(p.Name), p.Name)
				require.LessOrEqual(t, len(p.Value), len(line))
				DecodeExt(p.Value)
			}
		}
		if m := wellFormed.FindStringSubmatch(line); m != nil {
			require.Len(t, all, 1)
			require.Equal(t, strings.Trim(m[1], " \t"), all[0].Target)
			require.Equal(t, m[2] == "", len(all[0].Params) == 0)
		}
	})
}
