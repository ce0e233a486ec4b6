package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// bindMistakes gives the mistakes of a declaration, as "field: text".
func bindMistakes[T any](c *parley.Client, opts ...api.BindOption) []string {
	v, err := api.Bind[T](c, opts...)
	if v != nil || err == nil {
		return []string{fmt.Sprintf("no mistake: %v, %v", v, err)}
	}
	var all []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var one *api.BindError
		if !errors.As(err, &one) {
			return []string{fmt.Sprintf("no BindError: %v", err)}
		}
		all = append(all, one.Field+": "+one.Err.Error())
	}
	return all
}

type (
	// bindCtx is the context, for shorter declarations.
	bindCtx = context.Context
	// bindRecursive holds itself.
	bindRecursive struct {
		Get  func(bindCtx) error `http:"GET a"`
		Next *bindRecursive
	}
	bindHidden struct {
		Get func(bindCtx) error `http:"GET a"`
	}
	bindChans  chan int
	bindCaller func(bindCtx) error
)

func TestBind_saysEveryMistake(t *testing.T) {
	c := bindSession(t, "http://api.test/v1")
	noBase, err := parley.New(parley.WithEnv(false))
	require.NoError(t, err)
	defer noBase.Close()
	for name, test := range map[string]struct {
		got  []string
		want []string // the beginning of each
	}{
		// the whole
		"no client":    {bindMistakes[bindNoArgs](nil), []string{": no client: make one with parley.New"}},
		"no struct":    {bindMistakes[int](c), []string{": is a int: declare a struct"}},
		"an interface": {bindMistakes[io.Reader](c), []string{": is a interface: declare a struct"}},
		"no functions": {bindMistakes[struct{ A int }](c), []string{`: has no functions to fill in: declare them as fields with a tag like http:"GET users/{id}"`}},
		"no base URL": {bindMistakes[bindNoArgs](noBase),
			[]string{`Do: the template "users" is relative and the client has no base URL: give it parley.WithBaseURL, or write a whole URL`}},

		// fields
		"a function without a tag": {bindMistakes[struct{ Do func(bindCtx) error }](c), []string{"Do: is a function without a tag http"}},
		"a tag on what is no function": {bindMistakes[struct {
			Do string `http:"GET x"`
		}](c), []string{"Do: has a tag http but is a string"}},
		"a tag on what is not exported": {bindMistakes[struct {
			Is func(bindCtx) error `http:"GET x"`
			do func(bindCtx) error `http:"GET x"`
			x  int                 `args:"id"`
		}](c), []string{"do: has the tag http but is not exported", "x: has the tag args but is not exported"}},
		"a tag that does nothing": {bindMistakes[struct {
			Do    func(bindCtx) error `http:"GET x"`
			Limit int                 `query:"a=1"`
		}](c), []string{"Limit: has the tag query but is a int"}},
		"tags of functions on a blank field": {bindMistakes[struct {
			_  struct{}            `http:"GET x" args:"id" result:"json"`
			Do func(bindCtx) error `http:"GET x"`
		}](c), []string{"_: has the tag http, which is for functions", "_: has the tag args", "_: has the tag result"}},
		"a struct within itself": {bindMistakes[bindRecursive](c), []string{"Next: is a api_test.bindRecursive within itself"}},
		"a pointer that cannot be set": {bindMistakes[struct{ *bindHidden }](c),
			[]string{"bindHidden: is embedded by a pointer and not exported"}},
		"an embedded function that is not exported": {bindMistakes[struct {
			bindCaller `http:"GET x"`
			Do         func(bindCtx) error `http:"GET x"`
		}](c), []string{"bindCaller: has the tag http but is not exported"}},
		"in a group": {bindMistakes[struct {
			Users struct {
				Get func(bindCtx, string) error `http:"GET {id}/{x}"`
			}
		}](c), []string{"Users.Get: the template has the variable {x}, for which there is no argument"}},

		// defaults
		"a header without a colon": {bindMistakes[struct {
			_  struct{}            `header:"Accept"`
			Do func(bindCtx) error `http:"GET x"`
		}](c), []string{`_: header "Accept" is not of the form "Name: value"`}},
		"a header that cannot be sent": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET x" header:"X A: 1"`
		}](c), []string{"Do: an option cannot be used: invalid header"}},
		"a query that is none": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET x" query:"a"`
			Un func(bindCtx) error `http:"GET x" query:"a=%zz"`
		}](c), []string{`Do: query "a": is not of the form a=1&b=2`, `Un: query "a=%zz": invalid URL escape`}},
		"a timeout that is none": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET x" timeout:"10"`
			No func(bindCtx) error `http:"GET x" timeout:"-1s"`
		}](c), []string{`Do: timeout "10" is no duration above 0`, `No: timeout "-1s" is no duration above 0`}},
		"a base with a query": {bindMistakes[struct {
			_  struct{}            `base:"v3?x=1"`
			Do func(bindCtx) error `http:"GET x"`
		}](c), []string{`_: base "v3?x=1" has a query`, `Do: `}[:1]},
		"a base on a function": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET x" base:"v3"`
		}](c), []string{`Do: has the tag base "v3", which is for structs`}},

		// method and template
		"no method": {bindMistakes[struct {
			Do func(bindCtx) error `http:"/users"`
		}](c), []string{`Do: http "/users" has no method: write one like "GET users/{id}"`}},
		"a method in lower case": {bindMistakes[struct {
			Do func(bindCtx) error `http:"get users"`
		}](c), []string{`Do: http "get users" has no method`}},
		"nothing": {bindMistakes[struct {
			Do func(bindCtx) error `http:""`
		}](c), []string{`Do: http "" has no method`}},
		"a broken template": {bindMistakes[struct {
			Do func(bindCtx, string) error `http:"GET users/{id"`
		}](c), []string{`Do: template "users/{id" has a { without its }`}},
		"a host by a variable": {bindMistakes[struct {
			Do func(bindCtx, string) error `http:"GET https://{host}/a"`
		}](c),
			[]string{`Do: template "https://{host}/a" {host} could become a part of the host`}},
		"two slashes": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET //evil.test/x"`
		}](c),
			[]string{`Do: the template "//evil.test/x" cannot be used: invalid URL`}},
		"a way up": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET ../x"`
		}](c), []string{`Do: the template "../x" cannot be used: invalid URL`}},
		"another scheme": {bindMistakes[struct {
			Do func(bindCtx) error `http:"GET ftp://h.test/x"`
		}](c), []string{`Do: the template "ftp://h.test/x" cannot be used: unsupported protocol`}},

		// signatures
		"no context": {bindMistakes[struct {
			Do func(string) error `http:"GET x/{id}"`
		}](c), []string{"Do: does not take a context.Context first"}},
		"no argument": {bindMistakes[struct {
			Do func() error `http:"GET x"`
		}](c), []string{"Do: does not take a context.Context first"}},
		"no error": {bindMistakes[struct {
			Do func(bindCtx) bindNote `http:"GET x"`
		}](c), []string{"Do: has no error as its last result"}},
		"no result": {bindMistakes[struct {
			Do func(bindCtx) `http:"GET x"`
		}](c), []string{"Do: has no error as its last result"}},
		"too many results": {bindMistakes[struct {
			Do func(bindCtx) (bindNote, bindNote, api.Meta, error) `http:"GET x"`
		}](c), []string{"Do: has too many results"}},
		"no Meta": {bindMistakes[struct {
			Do func(bindCtx) (bindNote, int, error) `http:"GET x"`
		}](c), []string{"Do: has three results, of which the second is a int: api.Meta"}},
		"an iterator that cannot fail": {bindMistakes[struct {
			Do func(bindCtx) iter.Seq[bindNote] `http:"GET x"`
		}](c),
			[]string{"Do: gives a iter.Seq[github.com/seed-0474a412/parley/api_test.bindNote]: an iterator has to be able to say what went wrong"}},
		"an iterator and an error": {bindMistakes[struct {
			Do func(bindCtx) (iter.Seq2[bindNote, error], error) `http:"GET x"`
		}](c), []string{"Do: gives an iterator and an error beside it"}},
		"results of no use": {bindMistakes[struct {
			A func(bindCtx) (chan int, error)        `http:"GET x"`
			B func(bindCtx) (io.Reader, error)       `http:"GET x"`
			D func(bindCtx) (parley.Response, error) `http:"GET x"`
			E func(bindCtx) (*http.Response, error)  `http:"GET x"`
			F func(bindCtx) iter.Seq2[func(), error] `http:"GET x"`
		}](c), []string{"A: gives a chan int", "B: gives a io.Reader, an interface", "D: gives a parley.Response: make it a *parley.Response", "E: gives a *http.Response: make it", "F: gives a func()"}},
		"result tags of no use": {bindMistakes[struct {
			A func(bindCtx) error                          `http:"GET x" result:"json"`
			B func(bindCtx) (bindNote, error)              `http:"GET x" result:"yaml"`
			D func(bindCtx) (bindNote, error)              `http:"GET x" result:"xml a.b"`
			E func(bindCtx) (*parley.Response, error)      `http:"GET x" result:"json"`
			F func(bindCtx) iter.Seq2[bindNote, error]     `http:"GET x" result:"lines"`
			G func(bindCtx) iter.Seq2[bindNote, error]     `http:"GET x" result:"json"`
			H func(bindCtx) iter.Seq2[bindNote, error]     `http:"GET x" result:"jsonlines a"`
			I func(bindCtx) iter.Seq2[bindNote, error]     `http:"GET x" result:"follow"`
			J func(bindCtx) iter.Seq2[parley.Event, error] `http:"POST x" result:"follow"`
			K func(bindCtx) iter.Seq2[bindNote, error]     `http:"POST x" result:"pages"`
			L func(bindCtx) (bindNote, error)              `http:"GET x" result:"stream"`
			M func(bindCtx) iter.Seq2[string, error]       `http:"GET x" result:"chunks"`
		}](c), []string{
			`A: has the tag result "json", but no result`, `B: has the tag result "yaml", which is not for a api_test.bindNote: json and xml are`,
			`D: has the tag result "xml a.b"`, `E: has the tag result "json", which is not for a *parley.Response`,
			`F: has the tag result "lines", which is not for an iterator over api_test.bindNote`, `G: has the tag result "json": array, jsonlines`,
			`H: has the tag result "jsonlines a": only an array`, `I: has the tag result:"follow"`, `J: has the tag result "follow", which is for GET, not for POST`,
			`K: has the tag result "pages", which is for GET`, `L: has the tag result "stream", which is not for`, `M: has the tag result "chunks", which is not`,
		}},

		// roles
		"an unknown role": {bindMistakes[struct {
			Do func(bindCtx, string, int) error `http:"GET x/{id}" args:"id, qery:page"`
		}](c),
			[]string{`Do: "qery:page" is no variable of the template "x/{id}", and no role: path, query, header,`}},
		"a variable that is not there": {bindMistakes[struct {
			Do func(bindCtx, string) error         `http:"GET x/{id}" args:"user"`
			Of func(bindCtx, string, string) error `http:"GET x/{id}" args:"id, path:user"`
		}](c), []string{`Do: "user" is no variable of the template "x/{id}"`, `Of: role path:user: the template "x/{id}" has no variable {user}`}},
		"a variable without an argument": {bindMistakes[struct {
			Do func(bindCtx, string) error `http:"GET x/{id}/{y}"`
		}](c), []string{"Do: the template has the variable {y}"}},
		"an argument without a role": {bindMistakes[struct {
			A func(bindCtx, string, int) error        `http:"GET x/{id}"`
			B func(bindCtx, bindNote, bindNote) error `http:"POST x"`
			D func(bindCtx, []string) error           `http:"GET x"`
			E func(bindCtx, time.Time) error          `http:"GET x"`
		}](c), []string{"A: nothing says what argument 2 (int) after the context is for", "B: nothing says what argument 2 (api_test.bindNote)", "D: nothing says what argument 1 ([]string)", "E: nothing says what argument 1 (time.Time)"}},
		"too few and too many roles": {bindMistakes[struct {
			A func(bindCtx, string, int) error `http:"GET x/{id}" args:"id"`
			B func(bindCtx, string) error      `http:"GET x/{id}" args:"id, query:a, query:b"`
		}](c), []string{`A: args "id" has 1 roles for 2 arguments`, `B: args "id, query:a, query:b" has 3 roles for 1 arguments`}},
		"roles with names they do not take, and without": {bindMistakes[struct {
			A func(bindCtx, string) error `http:"GET x" args:"url:x"`
			B func(bindCtx, string) error `http:"GET x/{id}" args:"path"`
			D func(bindCtx, string) error `http:"GET x" args:"header:"`
			E func(bindCtx, string) error `http:"GET x" args:"auth:basic"`
		}](c), []string{`A: role "url:x" takes no name`, "B: role path needs the name of a variable", `D: role "header:" has no name`, `E: role "auth:basic": write auth or auth:bearer`}},
		"roles twice": {bindMistakes[struct {
			A func(bindCtx, string, string) error               `http:"GET x" args:"query:a, query:a"`
			B func(bindCtx, string, string) error               `http:"GET x/{id}" args:"id, path:id"`
			D func(bindCtx, string, string) error               `http:"GET x" args:"header:X-A, header:x-a"`
			E func(bindCtx, time.Duration, time.Duration) error `http:"GET x" args:"timeout, timeout"`
			F func(bindCtx, bindNote, bindNote) error           `http:"POST x" args:"body, body:xml"`
			G func(bindCtx, int, int) error                     `http:"POST x" args:"field:a.b, field:a"`
			H func(bindCtx, int, int) error                     `http:"POST x" args:"field:a, field:a.b"`
		}](c), []string{"A: has two arguments for query:a", "B: has two arguments for path:id", "D: has two arguments for header:x-a",
			"E: has two arguments for timeout", "F: has two arguments for body", "G: field:a is a member of what another", "H: field:a.b is a member of what another"}},
		"two bodies": {bindMistakes[struct {
			A func(bindCtx, bindNote, string) error `http:"POST x" args:"body, form:a"`
			B func(bindCtx, string, string) error   `http:"POST x" args:"part:a, field:b"`
		}](c), []string{"A: has two bodies: body and form", "B: has two bodies: part and field"}},
		"a body on GET": {bindMistakes[struct {
			A func(bindCtx, bindNote) error `http:"GET x" args:"body"`
			B func(bindCtx, string) error   `http:"HEAD x" args:"form:a"`
		}](c), []string{"A: GET has no body, and body would be one", "B: HEAD has no body, and form:a would be one"}},
		"a URL and a template": {bindMistakes[struct {
			Do func(bindCtx, string) error `http:"GET x" args:"url"`
		}](c), []string{`Do: has an argument for the URL and the template "x"`}},

		// types
		"types that are no text": {bindMistakes[struct {
			A func(bindCtx, bindChans) error      `http:"GET x/{id}"`
			B func(bindCtx, bindNote) error       `http:"GET x/{id}"`
			D func(bindCtx, func()) error         `http:"GET x" args:"query:a"`
			E func(bindCtx, complex128) error     `http:"GET x" args:"header:X-A"`
			F func(bindCtx, []string) error       `http:"GET x" args:"cookie:a"`
			G func(bindCtx, map[int]string) error `http:"GET x/{id}"`
			H func(bindCtx, []string) error       `http:"GET x/{id:3}"`
			I func(bindCtx, bindNote) error       `http:"GET x" args:"auth:bearer"`
			J func(bindCtx, *any) error           `http:"GET x" args:"query:a"`
			K func(bindCtx, bindNote) error       `http:"POST x" args:"form:a"`
		}](c), []string{
			"A: the argument for {id} is a api_test.bindChans, which is no text, number, bool, time or anything with a MarshalText or String method: BindText adds types",
			"B: the argument for {id} is a api_test.bindNote, which is no text", "D: the argument for query:a is a func(), which is no text",
			"E: the argument for header:X-A is a complex128", "F: the argument for cookie:a is a []string: a cookie has one value",
			"G: the argument for {id} is a map[int]string", "H: the argument for {id} is a []string, of which no first characters can be taken",
			"I: the argument for auth:bearer is a api_test.bindNote", "J: the argument for query:a is a *interface {}", "K: the argument for form:a is a api_test.bindNote",
		}},
		"types that do not fit a role": {bindMistakes[struct {
			A func(bindCtx, string) error              `http:"GET x" args:"query"`
			B func(bindCtx, string) error              `http:"GET x" args:"header"`
			D func(bindCtx, string) error              `http:"GET x" args:"cookie"`
			E func(bindCtx, int) error                 `http:"GET" args:"url"`
			F func(bindCtx, int) error                 `http:"GET x" args:"timeout"`
			G func(bindCtx, string) error              `http:"GET x" args:"auth"`
			H func(bindCtx, string) error              `http:"GET x" args:"option"`
			I func(bindCtx, chan int) error            `http:"POST x" args:"body"`
			J func(bindCtx, string) error              `http:"POST x" args:"form"`
			K func(bindCtx, string) error              `http:"POST x" args:"part"`
			L func(bindCtx, chan int) error            `http:"POST x" args:"part:a"`
			M func(bindCtx, int) error                 `http:"POST x" args:"field"`
			N func(bindCtx, func()) error              `http:"POST x" args:"field:a"`
			O func(bindCtx, map[string]bindNote) error `http:"GET x" args:"header"`
			P func(bindCtx, int) error                 `http:"POST x" args:"field:a..b"`
		}](c), []string{
			"A: the argument for query is a string: give its parameter a name (query:page)", "B: the argument for header is a string: give it a name",
			"D: the argument for cookie is a string: give it a name", "E: the argument for url is a int: take a string or a *url.URL",
			"F: the argument for timeout is a int: take a time.Duration", "G: the argument for auth is a string: take a parley.Auth, or a token by auth:bearer",
			"H: the argument for option is a string", "I: the argument for body is a chan int, which is no body", "J: the argument for form is a string: give its field a name",
			"K: the argument for part is a string: give it a name", "L: the argument for part:a is a chan int, which is no part", "M: the argument for field is a int: give it a name",
			"N: the argument for field:a is a func(), which is no JSON", "O: the argument for header is a map[string]api_test.bindNote", "P: field:a..b has an empty name",
		}},
		"names that cannot be sent": {bindMistakes[struct {
			A func(bindCtx, string) error `http:"GET x" args:"header:X A"`
			B func(bindCtx, string) error `http:"GET x" args:"cookie:a=b"`
		}](c), []string{"A: an option cannot be used: invalid header", "B: an option cannot be used: invalid header"}},
		"formats that nobody knows": {bindMistakes[struct {
			A func(bindCtx, bindNote) error `http:"POST x" args:"body:yaml"`
			B func(bindCtx, bindNote) error `http:"POST x" args:"body:application/yaml"`
			D func(bindCtx, bindNote) error `http:"POST x" body:"a/b/c"`
		}](c), []string{`A: the format of the body is "yaml": json, xml, form, text and media types are known`, "B: nothing encodes a api_test.bindNote as application/yaml: BindEncoder adds that",
			`D: the format of the body is "a/b/c"`}},

		// options
		"an option for what is not there": {bindMistakes[bindNoArgs](c, api.BindMethod("Get", parley.WithHeader("X-A", "1"))),
			[]string{"Get: BindMethod names a function that is not there; there are: Do"}},
		"an option that cannot be used": {bindMistakes[bindNoArgs](c, api.BindOptions(parley.WithHeader("X A", "1")), api.BindMethod("Do", nil), api.BindMethod("Do", parley.WithPath("a", "b"))),
			[]string{": an option cannot be used: invalid header", "Do: an option cannot be used: invalid option: an option is nil", `Do: an option cannot be used: invalid URL`}},
		"converters that are none": {bindMistakes[bindNoArgs](c, api.BindOption{}, api.BindEncoder("yaml", nil), api.BindEncoder("a/b", nil), api.BindText[int](nil),
			api.BindBody(func(fmt.Stringer) (parley.Body, error) { return nil, nil }), api.BindResult[bindNote](nil)),
			[]string{": option 1 is empty", `: BindEncoder: "yaml" is no media type`, ": BindEncoder a/b: no function", ": BindText[int]: no function",
				": BindBody[fmt.Stringer]: types are compared exactly", ": BindResult[api_test.bindNote]: no function"}},
		"all at once": {bindMistakes[struct {
			A func(bindCtx, string) bindNote `http:"GET x"`
			B func(string) error             `http:"x"`
		}](c), []string{"A: nothing says what argument 1 (string)", "A: has no error as its last result", `B: http "x" has no method`, "B: does not take a context.Context first"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Len(t, test.got, len(test.want), "%q", test.got)
			for i, want := range test.want {
				require.True(t, strings.HasPrefix(test.got[i], want), "%q\nis not %q", test.got[i], want)
			}
		})
	}
}

func TestBindError_namesTypeAndField(t *testing.T) {
	type GitHub struct {
		Get func(context.Context) error `http:"users"`
	}
	c := bindSession(t, "http://api.test")
	_, err := api.Bind[GitHub](c)
	require.EqualError(t, err, `bind GitHub.Get: http "users" has no method: write one like "GET users/{id}"`)
	var one *api.BindError
	require.ErrorAs(t, err, &one)
	require.Equal(t, "GitHub", one.Type)
	require.Equal(t, "Get", one.Field)

	_, err = api.Bind[GitHub](c, api.BindOptions(parley.WithHeader("X A", "")))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	require.ErrorContains(t, err, "bind GitHub: an option cannot be used")
}

// Nothing of what other packages do with structs is in the way.
func TestBind_leavesAloneWhatIsNotItsBusiness(t *testing.T) {
	type declaration struct {
		Do      func(context.Context) error `http:"GET x"`
		Created time.Time
		Client  *http.Client `json:"client"`
		Type    reflect.Type
		Other   func() `http:"-"`
	}
	v := bound[declaration](t, bindSession(t, "http://api.test"))
	require.NotNil(t, v.Do)
	require.Nil(t, v.Client)
}
