package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// bindVars are the variables of the examples in RFC 6570, section 3.2.
var bindVars = map[string]bindValue{
	"count": bindListOf("one", "two", "three"), "dom": bindListOf("example", "com"), "dub": bindTextOf("me/too"), "hello": bindTextOf("Hello World!"),
	"half": bindTextOf("50%"), "var": bindTextOf("value"), "who": bindTextOf("fred"), "base": bindTextOf("http://example.com/home/"), "path": bindTextOf("/foo/bar"),
	"list": bindListOf("red", "green", "blue"), "keys": {kind: bindPairs, list: []string{"semi", ";", "dot", ".", "comma", ","}},
	"v": bindTextOf("6"), "x": bindTextOf("1024"), "y": bindTextOf("768"), "empty": bindTextOf(""), "odd": bindTextOf("é\x00\xff"), "pre": bindTextOf("a%2Fb%zz"),
}

func bindTextOf(s string) bindValue    { return bindValue{kind: bindText, text: s} }
func bindListOf(s ...string) bindValue { return bindValue{kind: bindList, list: s} }

func bindExpanded(template string) (string, error) {
	t, err := newBindTemplate(template)
	if err != nil {
		return "", err
	}
	values := make([]bindValue, len(t.vars))
	for i, name := range t.vars {
		values[i] = bindVars[name]
	}
	return t.expand(values)
}

// The examples of RFC 6570, sections 3.2.1 to 3.2.9, but for those that are refused.
func TestBindTemplate_expandsAsTheRFCDoes(t *testing.T) {
	for template, want := range map[string]string{
		"{count}": "one,two,three", "{count*}": "one,two,three", "{/count}": "/one,two,three", "{/count*}": "/one/two/three",
		"{;count}": ";count=one,two,three", "{;count*}": ";count=one;count=two;count=three",
		"{?count}": "?count=one,two,three", "{?count*}": "?count=one&count=two&count=three", "?z{&count*}": "?z&count=one&count=two&count=three",

		"{var}": "value", "{hello}": "Hello%20World%21", "{half}": "50%25", "O{empty}X{var}": "", "?O{empty}X": "?OX", "?O{undef}X": "?OX",
		"{x,y}": "1024,768", "{x,hello,y}": "1024,Hello%20World%21,768", "?{x,empty}": "?1024,", "?{x,undef}": "?1024", "?{undef,y}": "?768",
		"{var:3}": "val", "{var:30}": "value", "{list}": "red,green,blue", "{list*}": "red,green,blue",
		"{keys}": "semi,%3B,dot,.,comma,%2C", "{keys*}": "semi=%3B,dot=.,comma=%2C",

		"{+var}": "value", "{+hello}": "Hello%20World!", "{+half}": "50%25", "{base}index": "http%3A%2F%2Fexample.com%2Fhome%2Findex",
		"{+base}index": "http://example.com/home/index", "{+path}/here": "/foo/bar/here", "here?ref={+path}": "here?ref=/foo/bar",
		"up{+path}{var}/here": "up/foo/barvalue/here", "{+x,hello,y}": "1024,Hello%20World!,768", "{+path,x}/here": "/foo/bar,1024/here",
		"{+path:6}/here": "/foo/b/here", "{+list}": "red,green,blue", "{+list*}": "red,green,blue",
		"{+keys}": "semi,;,dot,.,comma,,", "{+keys*}": "semi=;,dot=.,comma=,",

		"{#var}": "#value", "{#hello}": "#Hello%20World!", "{#half}": "#50%25", "foo{#empty}": "foo#", "foo{#undef}": "foo",
		"{#x,hello,y}": "#1024,Hello%20World!,768", "{#path,x}/here": "#/foo/bar,1024/here", "{#path:6}/here": "#/foo/b/here",
		"{#list}": "#red,green,blue", "{#list*}": "#red,green,blue", "{#keys}": "#semi,;,dot,.,comma,,", "{#keys*}": "#semi=;,dot=.,comma=,",

		"{.who}": ".fred", "{.who,who}": ".fred.fred", "{.half,who}": ".50%25.fred", "www{.dom*}": "www.example.com", "X{.var}": "X.value",
		"X{.empty}": "X.", "X{.undef}": "X", "X{.var:3}": "X.val", "X{.list}": "X.red,green,blue", "X{.list*}": "X.red.green.blue",
		"X{.keys}": "X.semi,%3B,dot,.,comma,%2C", "X{.keys*}": "X.semi=%3B.dot=..comma=%2C", "X{.empty_keys*}": "X",

		"{/who}": "/fred", "{/who,who}": "/fred/fred", "{/half,who}": "/50%25/fred", "{/who,dub}": "/fred/me%2Ftoo", "{/var}": "/value",
		"{/var,undef}": "/value", "{/var,x}/here": "/value/1024/here", "{/var:1,var}": "/v/value", "{/list}": "/red,green,blue",
		"{/list*}": "/red/green/blue", "{/list*,path:4}": "/red/green/blue/%2Ffoo", "{/keys}": "/semi,%3B,dot,.,comma,%2C",
		"{/keys*}": "/semi=%3B/dot=./comma=%2C",

		"{;who}": ";who=fred", "{;half}": ";half=50%25", "{;empty}": ";empty", "{;v,empty,who}": ";v=6;empty;who=fred", "{;v,bar,who}": ";v=6;who=fred",
		"{;x,y}": ";x=1024;y=768", "{;x,y,empty}": ";x=1024;y=768;empty", "{;x,y,undef}": ";x=1024;y=768", "{;hello:5}": ";hello=Hello",
		"{;list}": ";list=red,green,blue", "{;list*}": ";list=red;list=green;list=blue", "{;keys}": ";keys=semi,%3B,dot,.,comma,%2C",
		"{;keys*}": ";semi=%3B;dot=.;comma=%2C",

		"{?who}": "?who=fred", "{?half}": "?half=50%25", "{?x,y}": "?x=1024&y=768", "{?x,y,empty}": "?x=1024&y=768&empty=",
		"{?x,y,undef}": "?x=1024&y=768", "{?var:3}": "?var=val", "{?list}": "?list=red,green,blue", "{?list*}": "?list=red&list=green&list=blue",
		"{?keys}": "?keys=semi,%3B,dot,.,comma,%2C", "{?keys*}": "?semi=%3B&dot=.&comma=%2C",
		"?fixed=yes{&who}": "?fixed=yes&who=fred", "?fixed=yes{&x,y,empty}": "?fixed=yes&x=1024&y=768&empty=", "?fixed=yes{&var:3}": "?fixed=yes&var=val",
		"?fixed=yes{&keys*}": "?fixed=yes&semi=%3B&dot=.&comma=%2C",

		// beyond the examples: bytes, escapes that are there already, literals
		"{odd}": "%C3%A9%00%FF", "{odd:1}": "%C3%A9", "{odd:3}": "%C3%A9%00%FF", "{+pre}": "a%2Fb%25zz", "{pre}": "a%252Fb%25zz", "é{var}": "%C3%A9value",
		// a query that is begun by what has a value
		"a{?undef}{&x}": "a?x=1024", "a{?undef}&b=1": "a?b=1", "a{?undef}{&undef}": "a", "a{?undef}{#x}": "a#1024",
		"a{?undef}&b={x}{&y}": "a?b=1024&y=768",
		"":                    "", "users": "users", "https://h.test{/undef}{?x}": "https://h.test?x=1024", "https://h.test/{x}": "https://h.test/1024",
	} {
		got, err := bindExpanded(template)
		if want == "" && template != "" {
			require.ErrorIs(t, err, parley.ErrInvalidURL, template)
			continue
		}
		require.NoError(t, err, template)
		if want != "" && strings.IndexByte("/?#", want[0]) < 0 && !strings.HasPrefix(template, "https:") {
			want = "/" + want
		}
		require.Equal(t, want, got, template)
	}
}

func TestBindTemplate_refusesWhatWouldChangeThePath(t *testing.T) {
	for _, test := range []struct {
		template string
		value    bindValue
	}{
		{"users/{x}", bindTextOf("")},
		{"users/{x}", bindValue{}},
		{"users/{x}/repos", bindTextOf("..")},
		{"users/{x}", bindTextOf(".")},
		{"users/.{x}", bindTextOf(".")},
		{"users/{x}{x}", bindTextOf(".")},
		{"users/%2e{x}", bindTextOf(".")},
		{"users/{x};v=1", bindTextOf("..")},
		{"users/{+x}", bindTextOf("a/../../b")},
		{"users/{+x}", bindTextOf("%2e%2E/b")},
		{"users/{+x}", bindTextOf("..;/b")},
		{"users{/x}", bindTextOf("")},
		{"users{/x*}", bindListOf("a", "", "b")},
		{"users{/x*}", bindListOf("a", "..", "b")},
		{"users/{.x}", bindTextOf(".")},
		{"users/{.x}", bindTextOf("")},
		{"users/{+x}", bindTextOf("")},
		{"users/{x}/", bindListOf("")},
	} {
		tmpl, err := newBindTemplate(test.template)
		require.NoError(t, err)
		got, err := tmpl.expand([]bindValue{test.value})
		require.ErrorIs(t, err, parley.ErrInvalidURL, "%s with %v gives %q", test.template, test.value, got)
	}
}

func TestBindTemplate_saysWhatIsWrong(t *testing.T) {
	for template, want := range map[string]string{
		"a}":                 "has a } without its {",
		"{a":                 "has a { without its }",
		"{}":                 "has the variable \"\"",
		"{a b}":              "has the variable \"a b\"",
		"{a..b}":             "has the variable \"a..b\"",
		"{.}":                "has the variable \"\"",
		"{a,}":               "has the variable \"\"",
		"{=a}":               "has the variable \"=a\"",
		"{a:}":               "has the length \"\": 1 to 9999",
		"{a:0}":              "has the length \"0\": 1 to 9999",
		"{a:10000}":          "has the length \"10000\"",
		"{a:1x}":             "has the length \"1x\"",
		"{a:-1}":             "has the length \"-1\"",
		"{%zz}":              "has the variable",
		"a b":                "has a ' ': write %20",
		"a\x00":              "write %00",
		"a%2":                "has a % without two hexadecimal digits",
		`a\b`:                "write %5C",
		"a{?x}{?y}":          "stands after {?…}",
		"a{?x}&z=1{?y}":      "begins a query where there is one already",
		"a?b=1{?x}":          "begins a query where there is one already",
		"a{&x}":              "goes on with a query that nothing has begun",
		"a{?x}b":             "goes on with \"b\" after {?…}",
		"a{?x}{y}":           "stands after {?…}",
		"https://{x}/a":      "could become a part of the host",
		"https://h{x}/a":     "could become a part of the host",
		"https://h{.x}/a":    "could become a part of the host",
		"https://h{/x}.test": "goes on with \".test\" where the host may end",
		"https://h{/x}{y}":   "could become a part of the host",
	} {
		_, err := newBindTemplate(template)
		require.ErrorContains(t, err, want, template)
	}
}

func TestBindTemplate_givesARouteWithoutValues(t *testing.T) {
	for template, want := range map[string]string{
		"users/{user}/repos{?page}": "users/{user}/repos",
		"{/a,b*}{#c}":               "/{a,b}",
		"files/{+path}?x={y}":       "files/{path}",
		"https://h.test/v1/{a}":     "/v1/{a}",
		"https://h.test{?a}":        "",
		"":                          "",
	} {
		tmpl, err := newBindTemplate(template)
		require.NoError(t, err)
		require.Equal(t, want, tmpl.route(), template)
	}
}

// Whatever the template and the values are, a request stays at its origin, and below the
// base path unless the template is a whole URL.
func FuzzBindTemplate(f *testing.F) {
	for _, template := range []string{"users/{x}", "{+x}/{y}", "{/x*}{.y}{;x}{?y*}", "a{?x}{&y}#{x}", "https://h.test{/x}{?y}", "{x:3}{+y:1}", "//{x}", "?{x}", "%2e{x}/", "http:{+x}"} {
		f.Add(template, "a/b", "..")
		f.Add(template, "//evil.test", `\evil.test`)
		f.Add(template, "%2e%2e/", "http://evil.test/?#")
		f.Add(template, "é\xff\x00", "\r\nX: y")
	}
	client, err := parley.New(parley.WithBaseURL("https://api.test/v1/x"), parley.WithEnv(false))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { client.Close() })
	f.Fuzz(func(t *testing.T, template, x, y string) {
		tmpl, err := newBindTemplate(template)
		if err != nil {
			return
		}
		given := []bindValue{bindTextOf(x), bindTextOf(y), bindListOf(x, y), {kind: bindPairs, list: []string{x, y}}, {}}
		values := make([]bindValue, len(tmpl.vars))
		for shift := range given {
			for i := range values {
				values[i] = given[(i+shift)%len(given)]
			}
			ref, err := tmpl.expand(values)
			if err != nil {
				continue
			}
			req, err := client.NewRequest("GET", ref)
			if err != nil {
				continue
			}
			if tmpl.absolute {
				want, err := url.Parse(tmpl.raw[:tmpl.path])
				if err == nil && want.User == nil {
					require.Equal(t, strings.ToLower(want.Scheme), req.URL.Scheme)
					require.Equal(t, bindHostOf(t, client, tmpl.raw[:tmpl.path]), req.URL.Host)
				}
				continue
			}
			require.Equal(t, "https://api.test", req.URL.Scheme+"://"+req.URL.Host)
			require.True(t, req.URL.Path == "/v1/x" || strings.HasPrefix(req.URL.EscapedPath(), "/v1/x/"), req.URL.EscapedPath())
			require.NotContains(t, req.URL.EscapedPath()+"/", "/../")
		}
	})
}

// bindHostOf gives the host that an origin has without values behind it.
func bindHostOf(t *testing.T, c *parley.Client, origin string) string {
	req, err := c.NewRequest("GET", origin)
	require.NoError(t, err)
	return req.URL.Host
}
