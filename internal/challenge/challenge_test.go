package challenge

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	digest := Challenge{Scheme: "Digest", Params: []Param{{"realm", "r"}, {"nonce", "n"}}}
	basic := Challenge{Scheme: "Basic", Params: []Param{{"realm", "b"}}}
	broken := func(c Challenge) Challenge { c.Broken = true; return c }
	for name, row := range map[string]struct {
		lines []string
		want  []Challenge
	}{
		"none":                            {},
		"empty":                           {lines: []string{"", " ", ", ,\t,"}},
		"parameters":                      {[]string{`Digest realm="r", nonce="n"`}, []Challenge{digest}},
		"unquoted":                        {[]string{`Digest realm=r, nonce=n`}, []Challenge{digest}},
		"no space":                        {[]string{`Digest realm="r",nonce="n"`}, []Challenge{digest}},
		"much space":                      {[]string{"  Digest \t realm = \"r\" ,\t, nonce\t=\tn  ,"}, []Challenge{digest}},
		"several in one line":             {[]string{`Digest realm="r", nonce=n, Basic realm="b"`}, []Challenge{digest, basic}},
		"several lines":                   {[]string{`Digest realm="r", nonce=n`, `Basic realm="b"`}, []Challenge{digest, basic}},
		"one over several lines":          {[]string{`Digest realm="r"`, `nonce=n, Basic realm="b"`}, []Challenge{digest, basic}},
		"a scheme alone":                  {[]string{"Negotiate"}, []Challenge{{Scheme: "Negotiate"}}},
		"schemes alone":                   {[]string{"Negotiate, NTLM ,Basic realm=b"}, []Challenge{{Scheme: "Negotiate"}, {Scheme: "NTLM"}, basic}},
		"token68":                         {[]string{"Negotiate YWJj/+==, Basic realm=b"}, []Challenge{{Scheme: "Negotiate", Token: "YWJj/+=="}, basic}},
		"token68 with space after it":     {[]string{"NTLM a \t"}, []Challenge{{Scheme: "NTLM", Token: "a"}}},
		"token68 and a parameter":         {[]string{"X a=, b=c"}, []Challenge{{Scheme: "X", Token: "a=", Broken: true}}},
		"escapes":                         {[]string{`X a="b\"c\\d\e", e="\""`}, []Challenge{{Scheme: "X", Params: []Param{{"a", `b"c\de`}, {"e", `"`}}}}},
		"a comma and a scheme in quotes":  {[]string{`X a="b, Basic realm=c"`}, []Challenge{{Scheme: "X", Params: []Param{{"a", "b, Basic realm=c"}}}}},
		"an empty value in quotes":        {[]string{`X a=""`}, []Challenge{{Scheme: "X", Params: []Param{{"a", ""}}}}},
		"single quotes are part of it":    {[]string{`X a='b', c='d e'`}, []Challenge{broken(Challenge{Scheme: "X", Params: []Param{{"a", "'b'"}}})}},
		"base64 without quotes":           {[]string{`X a=YWJj/+==, b=c`}, []Challenge{{Scheme: "X", Params: []Param{{"a", "YWJj/+=="}, {"b", "c"}}}}},
		"bytes beyond ASCII in quotes":    {[]string{"X a=\"\xff\u00e9\""}, []Challenge{{Scheme: "X", Params: []Param{{"a", "\xff\u00e9"}}}}},
		"a parameter before all":          {[]string{`realm="r", Basic realm="b"`}, []Challenge{basic}},
		"a parameter twice":               {[]string{`Basic realm="b", Realm="c"`}, []Challenge{broken(basic)}},
		"a comma is missing":              {[]string{`Basic realm="b" charset="UTF-8", Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "Basic"}), basic}},
		"a value is missing":              {[]string{`X a=b, c=, Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "X", Params: []Param{{"a", "b"}}}), basic}},
		"a name is missing":               {[]string{`X a=b, ="c", Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "X", Params: []Param{{"a", "b"}}}), basic}},
		"a quote without end":             {[]string{`Digest realm="r, Basic realm=b`, `Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "Digest"}), basic}},
		"a quote that ends in an escape":  {[]string{`Digest realm="r\`}, []Challenge{broken(Challenge{Scheme: "Digest"})}},
		"a quote within a value":          {[]string{`X a=b"c, d", Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "X"}), basic}},
		"junk, then a challenge":          {[]string{`@@ "a, b" {}, Basic realm=b`}, []Challenge{basic}},
		"junk at the end":                 {[]string{`Basic realm="b", @`}, []Challenge{broken(basic)}},
		"junk after a scheme":             {[]string{`X@ a=b, Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "X"}), basic}},
		"a word where a parameter should": {[]string{`X a b, Basic realm=b`}, []Challenge{broken(Challenge{Scheme: "X"}), basic}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, Parse(row.lines)) })
	}
	t.Run("names and schemes have no case", func(t *testing.T) {
		c := Parse([]string{`dIGEST REALM=r`})[0]
		require.True(t, c.Is("Digest"))
		v, ok := c.Get("realm")
		require.True(t, ok)
		require.Equal(t, "r", v)
		_, ok = c.Get("nonce")
		require.False(t, ok)
	})
	t.Run("limits", func(t *testing.T) {
		require.Len(t, Parse([]string{strings.Repeat("X,", 1000), "X"}), maxChallenges)
		c := Parse([]string{"X " + manyParams(maxParams)})[0]
		require.False(t, c.Broken)
		c = Parse([]string{"X " + manyParams(maxParams+1)})[0]
		require.True(t, c.Broken)
		require.Len(t, c.Params, maxParams)
	})
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + strings.Repeat("x", i) + "=v,")
	}
	return b.String()
}

func TestParseInfo(t *testing.T) {
	info, ok := ParseInfo([]string{`qop=auth, rspauth="abc",`, ` nextnonce = "n\"" `})
	require.True(t, ok)
	require.Equal(t, []Param{{"qop", "auth"}, {"rspauth", "abc"}, {"nextnonce", `n"`}}, info.Params)
	_, ok = ParseInfo(nil)
	require.True(t, ok)
	for _, bad := range []string{"Digest rspauth=a", "rspauth", `rspauth="a`, "rspauth=a, rspauth=b", "@"} {
		_, ok := ParseInfo([]string{bad})
		require.False(t, ok, bad)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`Digest realm="r", nonce="n", Basic realm="b\""`, "Negotiate YWJj==, NTLM", `X a = "b" ,,c=d`, `X a="`, `X a="\`, `@"`, "a=b", "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list := Parse([]string{line})
		require.LessOrEqual(t, len(list), maxChallenges)
		var again []string
		for _, c := range list {
			require.NotEmpty(t, c.Scheme)
			require.LessOrEqual(t, len(c.Params), maxParams)
			if c.Broken {
				return
			}
			require.False(t, c.Token != "" && c.Params != nil)
			again = append(again, write(c))
		}
		if len(list) < maxChallenges {
			require.Equal(t, list, Parse(again), "written again and read")
			require.Equal(t, list, Parse([]string{strings.Join(again, ", ")}), "in one line")
		}
		ParseInfo([]string{line})
	})
}

// write gives a challenge as a server would write it.
func write(c Challenge) string {
	var params []string
	for _, p := range c.Params {
		params = append(params, p.Name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Value)+`"`)
	}
	return strings.TrimSuffix(c.Scheme+" "+c.Token+strings.Join(params, ","), " ")
}
