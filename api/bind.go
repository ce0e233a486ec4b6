package api

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Bind makes a client of a declaration: T is a struct whose fields are functions, each with
// a tag that says what it sends. Bind fills them in.
//
//	type GitHub struct {
//		_ struct{} `header:"Accept: application/vnd.github+json" timeout:"10s"`
//
//		User   func(ctx context.Context, login string) (User, error)                        `http:"GET users/{login}"`
//		Repos  func(ctx context.Context, user string, o ListOptions) ([]Repo, error)        `http:"GET users/{user}/repos"`
//		Search func(ctx context.Context, q string, page *int) (Found, error)                `http:"GET search/repositories{?q,page}"`
//		Create func(ctx context.Context, r NewRepo) (Repo, error)                           `http:"POST user/repos"`
//		Edit   func(ctx context.Context, owner, repo, etag string, r NewRepo) (Repo, error) `http:"PATCH repos/{owner}/{repo}" args:"owner, repo, header:If-Match, body"`
//		Star   func(ctx context.Context, owner, repo string) error                          `http:"PUT user/starred/{owner}/{repo}"`
//	}
//
//	gh, err := api.Bind[GitHub](client)
//	…
//	repos, err := gh.Repos(ctx, "ada", ListOptions{Sort: "updated"})
//
// The whole declaration is checked before anything is sent. The error of Bind joins a
// [*BindError] for each mistake there is, which names the field; T is nil then. What
// takes reflection is done here, but for a few allocations a call. What comes out may be used
// by any number of goroutines at once, as the client may. It holds plain functions: a test of
// a program that uses it fills in functions of its own, without Bind, and an interface of the
// program's own is implemented by methods that call them.
//
// # The request
//
// The tag http has the method and a URI template (RFC 6570, level 4), which the client joins
// to its base URL by its own rules, or a whole URL. A value stands for itself alone: in the
// path {user} becomes a part of one segment whatever it holds, {+file} may have slashes, and
// what is empty, or makes a segment "." or "..", fails the call with parley.ErrInvalidURL.
// {/x}, {.x}, {;x}, {?x} and {&x} are left out with what belongs to them where x is nil; a
// map is as many pairs, in the order of their names.
// No argument changes the host, but one that is a whole URL (url).
//
// The first argument is the context. The others, where no tag args says what they are for,
// are the variables of the template, in the order of their first place in it. After those
// may come a struct, a map or another body, as JSON for POST, PUT, PATCH and QUERY, or as
// query parameters for other methods; and parley.RequestOption or ...parley.RequestOption,
// whose word is the last. The tag args has a role for each argument but the context, in
// their order, separated by commas; a role for options may be left out:
//
//	user, path:user    the variable {user} of the template
//	query:page         a parameter; "query" alone: a struct with url tags or a map, as for parley.WithParams
//	header:If-Match    a header; "header" alone: an http.Header or a map of strings
//	cookie:sid         a cookie, which is not stored; "cookie" alone: an *http.Cookie
//	body               the body, as JSON; body:xml, body:form, body:application/yaml in another format
//	form:name          a field of a form; "form" alone: a struct or a map
//	part:photo         a part of a multipart form; "part" alone: a parley.Part, a struct or a map
//	field:user.name    a member of a JSON object, perhaps within others; "field" alone: a struct or a map
//	url                the URL, whole or relative to the base, in place of the template
//	timeout            a time.Duration, for parley.WithTimeout
//	auth, auth:bearer  a parley.Auth; a token
//	option             a parley.RequestOption, parley.Option, or a slice of them
//
// Values become text as for parley.WithQuery: numbers, bools and strings, time.Time by RFC
// 3339, what has a MarshalText or String method, pointers to those; [BindText] is for other
// types. A slice is sent as several values where there may be several. What is nil is left
// out. A timeout of 0 says nothing.
//
// A body that is a []byte, a string, an io.Reader or a parley.Body is sent as it is, with the
// content type that body: names (text/plain for a string if it names none); an iter.Seq and
// an iter.Seq2 with an error as lines of JSON. A part is a field if it is a single value or a
// struct (which goes as JSON), and a file if it is a []byte, an io.Reader (named as the field
// is), or an *os.File (named as that is); a parley.Part says everything by itself.
//
// Tags beside http set what is the same in each call: header:"Accept: text/plain\nX-A: b",
// query:"sort=asc&page=1", timeout:"5s", and body:"form" for the format of bodies. On a blank
// field they hold for all functions of the struct, and base:"v3/" is put before their
// templates. A field that is a struct, or a pointer to one, with functions in it is a group:
// its name and a dot precede the names of its functions, and its own tags hold for all of
// them. What is embedded adds no name.
//
// # The answer
//
// The last result is the error: what the call fails with, and a *parley.StatusError for 4xx
// and 5xx. Before it may come, by the type:
//
//	(none)              nothing else is wanted
//	T                   the body, decoded by media type as by parley.As; also string, []byte
//	*parley.Response    the answer, read, of any status: it is for the caller to look at that
//	io.ReadCloser       the body as it comes, to be closed
//	T, Meta             one of those, with status and header; Meta alone is possible too
//
// A function whose one result is an iter.Seq2[T, error] makes its call when it is ranged
// over, again each time, and yields what comes as it comes: the elements of a JSON array,
// JSON by the line, the data of server-sent events, by the media type of the answer; for
// T = parley.Event events, *parley.ResponsePart parts, []byte pieces, string lines of text
// that is no JSON. The first error that ends the loop is yielded.
//
// The tag result says what the type does not: a format, and the way to the value in a JSON
// object, as in result:"json data.user".
//
//	json, xml           decode as that, whatever the media type is
//	stream              a *parley.Response whose body is not read, to be closed, and no 4xx or 5xx
//	array, jsonlines    an iterator over the elements of a JSON array, perhaps at "data.items"; over lines of JSON
//	lines, chunks       an iterator over lines of text; over pieces ([]byte)
//	events, follow      an iterator over events of one answer; by parley.Client.Events, which connects again
//	pages               an iterator over pages by their Link headers: each is decoded into a T
//
// # What it stands on
//
// c may stand on anything: a server, parley.WithHandler, parley.FromRoundTripper. What it
// says of redirects, limits, hooks, decoders (parley.WithDecoder) and errors
// (parley.WithErrorType) holds here as well. Every request bears its template as the route
// ([parley.Request.Route]). Of what is said twice the more exact wins: the session, tags of
// structs from the outermost in, [BindOptions], tags of the function, [BindMethod], arguments,
// options among the arguments. Those before the tags of the function are the values of a
// session derived from c, and stay behind where an argument or a template leads to another
// origin, unless c trusts it (parley.WithTrustedOrigins); the others go along.
func Bind[T any](c *parley.Client, opts ...BindOption) (*T, error) {
	out := new(T)
	b := newBinder(c, reflect.TypeFor[T]())
	for i, o := range opts {
		if o.apply == nil {
			b.fail("", "option %d is empty: make it with BindOptions, BindMethod or another of its kind", i+1)
			continue
		}
		o.apply(b)
	}
	b.bind(reflect.ValueOf(out).Elem())
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return out, nil
}

// BindError is one mistake in a declaration, or in an option about it.
type BindError struct {
	Type  string // the struct: "GitHub"
	Field string // the field in it: "Create", "Users.Get"; "" if it is none
	Err   error  // what is wrong, and what to do
}

// Error gives type, field and what is wrong.
func (e *BindError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("bind %s: %v", e.Type, e.Err)
	}
	return fmt.Sprintf("bind %s.%s: %v", e.Type, e.Field, e.Err)
}

// Unwrap gives Err.
func (e *BindError) Unwrap() error { return e.Err }

// Meta is what a function of [Bind] tells of its answer beside the value. It is filled in
// also where that is an error by its status, and zero where there was no answer.
type Meta struct {
	StatusCode int
	Header     http.Header
	Response   *parley.Response // all of it
}

// BindOption is a setting for [Bind].
type BindOption struct{ apply func(*binder) }

// BindOptions sets options of every call, which hold as if the session had them: they go to
// no other origin than its values do. A body, or whatever else can be sent once only, does
// not belong there.
func BindOptions(opts ...parley.RequestOption) BindOption {
	return BindOption{func(b *binder) {
		if !b.check("", opts) {
			return
		}
		for _, o := range opts {
			if session, ok := o.(parley.ClientOption); ok {
				b.all = append(b.all, session)
			} else {
				b.each = append(b.each, o)
			}
		}
	}}
}

// BindMethod sets options of the calls of one function, or of all those of a group, by its
// name: "Create", "Users.Get", "Users". They are what is special to it, such as
// parley.WithRequestMiddleware, parley.WithResponseHook or another timeout.
func BindMethod(name string, opts ...parley.RequestOption) BindOption {
	return BindOption{func(b *binder) {
		if b.check(name, opts) {
			b.special = append(b.special, bindSpecial{name: name, opts: opts})
		}
	}}
}

// BindEncoder says how bodies of a media type are encoded that arguments name by it
// (body:application/yaml) and that are no bytes already. It also replaces how json, xml and
// form are, by application/json, application/xml and application/x-www-form-urlencoded. For
// the way back there is parley.WithDecoder. encode may be called by several goroutines at
// once.
func BindEncoder(mediaType string, encode func(v any) ([]byte, error)) BindOption {
	return BindOption{func(b *binder) {
		switch kind, sub, ok := strings.Cut(mediaType, "/"); {
		case !ok || kind == "" || sub == "" || strings.ContainsAny(mediaType, "*,; \t"):
			b.fail("", "BindEncoder: %q is no media type; application/yaml is", mediaType)
		case encode == nil:
			b.fail("", "BindEncoder %s: no function", mediaType)
		default:
			b.encoders[strings.ToLower(mediaType)] = encode
		}
	}}
}

// BindText says how values of the type T, which is no interface, become text in the path,
// the query, headers, cookies and forms, in place of what is done with them else. f may be
// called by several goroutines at once.
func BindText[T any](f func(T) (string, error)) BindOption {
	return BindOption{func(b *binder) {
		if bindTyped[T](b, "BindText", f == nil) {
			b.texts[reflect.TypeFor[T]()] = func(v reflect.Value) (string, bool, error) {
				s, err := f(v.Interface().(T))
				return s, true, err
			}
		}
	}}
}

// BindBody says how an argument of the type T, which is no interface, becomes a body. f may
// be called by several goroutines at once.
func BindBody[T any](f func(T) (parley.Body, error)) BindOption {
	return BindOption{func(b *binder) {
		if bindTyped[T](b, "BindBody", f == nil) {
			b.bodies[reflect.TypeFor[T]()] = func(v reflect.Value) (parley.Body, error) { return f(v.Interface().(T)) }
		}
	}}
}

// BindResult says how an answer becomes a result of the type T, which is no interface. f gets
// answers below 400 that have content, whose body has been read. It may be called by several
// goroutines at once.
func BindResult[T any](f func(*parley.Response) (T, error)) BindOption {
	return BindOption{func(b *binder) {
		if bindTyped[T](b, "BindResult", f == nil) {
			b.results[reflect.TypeFor[T]()] = func(resp *parley.Response, into reflect.Value) error {
				v, err := f(resp)
				if err == nil {
					into.Set(reflect.ValueOf(&v).Elem())
				}
				return err
			}
		}
	}}
}

// bindTyped reports whether an option can be for T; it says why it cannot.
func bindTyped[T any](b *binder, option string, none bool) bool {
	t := reflect.TypeFor[T]()
	switch {
	case none:
		b.fail("", "%s[%s]: no function", option, t)
	case t.Kind() == reflect.Interface:
		b.fail("", "%s[%s]: types are compared exactly, and no value is of an interface's type: name the type itself", option, t)
	default:
		return true
	}
	return false
}
