package api

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

var (
	bindContext   = reflect.TypeFor[context.Context]()
	bindError     = reflect.TypeFor[error]()
	bindReqOption = reflect.TypeFor[parley.RequestOption]()
	bindURL       = reflect.TypeFor[*url.URL]()
	bindDuration  = reflect.TypeFor[time.Duration]()
	bindAuth      = reflect.TypeFor[parley.Auth]()
	bindCookie    = reflect.TypeFor[*http.Cookie]()
	bindPart      = reflect.TypeFor[parley.Part]()
)

// bindFunc is a function of a declaration, ready to be called.
type bindFunc struct {
	client   *parley.Client
	method   string
	template *bindTemplate
	opts     []parley.RequestOption // of each call, the weakest first
	args     []bindArg
	result   bindResult
}

// bindArg puts one argument into a call.
type bindArg struct {
	index int // among the arguments
	put   func(c *bindCall, v reflect.Value) error
}

// bindPlan is a function while it is being looked at.
type bindPlan struct {
	*binder
	name     string
	typ      reflect.Type
	media    string // of bodies
	template string // without the base
	fn       *bindFunc
	given    []bool          // the variables that have an argument
	said     map[string]bool // the roles that there are
	bodyRole string          // the role that makes the body; "": none does
}

// bindRole is what an argument is for.
type bindRole struct{ kind, name string }

// String gives the role as the tag args has it.
func (r bindRole) String() string {
	if r.name == "" {
		return r.kind
	}
	return r.kind + ":" + r.name
}

// wrong notes a mistake of the function.
func (p *bindPlan) wrong(format string, args ...any) { p.fail(p.name, format, args...) }

// function makes what a field is filled in with; nil if something is wrong.
func (b *binder) function(name string, f reflect.StructField, pattern string, scope bindScope) func([]reflect.Value) []reflect.Value {
	mistakes := len(b.errs)
	p := &bindPlan{
		binder: b, name: name, typ: f.Type, media: scope.media,
		fn:   &bindFunc{client: scope.client},
		said: make(map[string]bool),
	}
	if media, ok := f.Tag.Lookup("body"); ok {
		p.media = media
	}
	if tag, ok := f.Tag.Lookup("base"); ok {
		p.wrong("has the tag base %q, which is for structs: write it into the template", tag)
	}
	ok := p.pattern(pattern, scope.base)
	for _, o := range b.tagOptions(name, f) {
		p.fn.opts = append(p.fn.opts, o)
	}
	p.fn.opts = slices.Concat(b.each, p.fn.opts, b.specialFor(name))
	if p.typ.NumIn() == 0 || p.typ.In(0) != bindContext {
		p.wrong("does not take a context.Context first: every call needs one")
	} else if ok {
		p.arguments(f.Tag)
	}
	p.answer(f.Tag.Get("result"))
	if len(b.errs) > mistakes || !p.settle() {
		return nil
	}
	return p.fn.call
}

// pattern reads the tag http; it reports whether the arguments can be looked at.
func (p *bindPlan) pattern(pattern, base string) bool {
	method, template, _ := strings.Cut(strings.TrimSpace(pattern), " ")
	template = strings.TrimSpace(template)
	if !bindToken(method) {
		p.wrong(`http %q has no method: write one like "GET users/{id}"`, pattern)
		return false
	}
	p.fn.method, p.template = method, template
	t, err := newBindTemplate(bindJoin(base, template))
	if err != nil {
		p.wrong("template %q %w", bindJoin(base, template), err)
		return false
	}
	p.fn.template = t
	p.given = make([]bool, len(t.vars))
	return true
}

// bindToken reports whether s can be a method (RFC 9110, section 9.1), without the letters of
// lower case that no method in use has. Anything else is a template without its method.
func bindToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// arguments finds out what each argument is for.
func (p *bindPlan) arguments(tag reflect.StructTag) {
	var roles []bindRole
	if text, ok := tag.Lookup("args"); ok {
		roles = p.readRoles(text)
	} else {
		roles = p.guessRoles()
	}
	if roles == nil {
		return
	}
	for i, role := range roles {
		if role.kind != "" {
			p.argument(i+1, role)
		}
	}
	for i, given := range p.given {
		if !given && !p.said["url"] {
			p.wrong("the template has the variable {%s}, for which there is no argument", p.fn.template.vars[i])
		}
	}
	if p.said["url"] && p.template != "" {
		p.wrong("has an argument for the URL and the template %q: leave one of them out", p.template)
	}
}

// bindOptionType reports whether a type says by itself that it is for options.
func bindOptionType(t reflect.Type) bool {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Implements(bindReqOption)
}

// readRoles reads the tag args: a role for each argument, nil if they do not fit.
func (p *bindPlan) readRoles(text string) []bindRole {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	arguments := p.typ.NumIn() - 1
	options := 0
	for i := range arguments {
		if bindOptionType(p.typ.In(i + 1)) {
			options++
		}
	}
	if len(words) != arguments && len(words) != arguments-options {
		p.wrong("args %q has %d roles for %d arguments after the context", text, len(words), arguments)
		return nil
	}
	implied := len(words) != arguments
	roles := make([]bindRole, 0, arguments)
	ok := true
	for i := range arguments {
		if implied && bindOptionType(p.typ.In(i+1)) {
			roles = append(roles, bindRole{kind: "option"})
			continue
		}
		word := words[0]
		words = words[1:]
		role, known := p.readRole(word)
		ok = ok && known
		roles = append(roles, role)
	}
	if !ok {
		return nil
	}
	return roles
}

// bindRoles are the roles, and whether they take a name.
var bindRoles = map[string]bool{
	"path": true, "query": true, "header": true, "cookie": true, "body": true, "form": true, "part": true,
	"field": true, "url": false, "timeout": false, "auth": true, "option": false,
}

// readRole reads one role.
func (p *bindPlan) readRole(word string) (bindRole, bool) {
	kind, name, named := strings.Cut(word, ":")
	takes, known := bindRoles[kind]
	switch {
	case known && named && name == "":
		p.wrong("role %q has no name after the colon", word)
	case known && named && !takes:
		p.wrong("role %q takes no name: write %s", word, kind)
	case known && kind == "path" && !named:
		p.wrong("role path needs the name of a variable, as in path:user")
	case known && kind == "auth" && named && name != "bearer":
		p.wrong("role %q: write auth or auth:bearer", word)
	case known:
		return bindRole{kind, name}, true
	case !named && slices.Contains(p.fn.template.vars, word):
		return bindRole{"path", word}, true
	default:
		p.wrong("%q is no variable of the template %q, and no role: path, query, header, cookie, body, form, part, field, url, timeout, auth or option", word, p.fn.template.raw)
	}
	return bindRole{}, false
}

// guessRoles gives the roles where no tag does: variables, then a body or parameters.
func (p *bindPlan) guessRoles() []bindRole {
	arguments := p.typ.NumIn() - 1
	roles := make([]bindRole, arguments)
	vars := p.fn.template.vars
	guessed := false
	for i := range arguments {
		t := p.typ.In(i + 1)
		switch {
		case bindOptionType(t):
			roles[i].kind = "option"
		case len(vars) > 0:
			roles[i] = bindRole{"path", vars[0]}
			vars = vars[1:]
		case p.bodyMethod() && !guessed:
			roles[i].kind, guessed = "body", true
		case p.parameters(t) && !guessed:
			roles[i].kind, guessed = "query", true
		default:
			p.wrong("nothing says what argument %d (%s) after the context is for: give all of them a role, as in args:%q", i+1, t, "id, query:page, body")
			return nil
		}
	}
	return roles
}

// bodyMethod reports whether a method is one that sends something.
func (p *bindPlan) bodyMethod() bool {
	switch p.fn.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, "QUERY":
		return true
	}
	return false
}

// parameters reports whether a type holds parameters with their names.
func (p *bindPlan) parameters(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return p.texter(t) == nil
	case reflect.Map:
		return t.Key().Kind() == reflect.String
	case reflect.Slice:
		return t == reflect.TypeFor[parley.Params]()
	}
	return false
}

// argument takes over one argument with its role.
func (p *bindPlan) argument(index int, role bindRole) {
	t := p.typ.In(index)
	key := role.String()
	switch role.kind {
	case "header":
		key = strings.ToLower(key)
	case "body", "auth":
		key = role.kind
	}
	if p.said[key] && role.kind != "option" && (role.name != "" || role.kind == "body" || role.kind == "url" || role.kind == "timeout" || role.kind == "auth") {
		p.wrong("has two arguments for %s", key)
		return
	}
	p.said[key] = true
	var put func(*bindCall, reflect.Value) error
	switch role.kind {
	case "path":
		put = p.path(t, role.name)
	case "query", "header", "cookie":
		put = p.named(t, role)
	case "body", "form", "part", "field":
		if !p.bodyAllowed(role) {
			return
		}
		put = p.content(t, role)
	case "url":
		put = p.url(t)
	case "timeout":
		put = p.timeout(t)
	case "auth":
		put = p.auth(t, role.name)
	case "option":
		put = p.option(t)
	}
	if put != nil {
		p.fn.args = append(p.fn.args, bindArg{index, put})
	}
}

// bodyAllowed reports whether an argument may be a part of the body.
func (p *bindPlan) bodyAllowed(role bindRole) bool {
	switch p.fn.method {
	case http.MethodGet, http.MethodHead, http.MethodTrace:
		p.wrong("%s has no body, and %s would be one: use another method, or a query", p.fn.method, role)
		return false
	}
	if p.bodyRole != "" && p.bodyRole != role.kind {
		p.wrong("has two bodies: %s and %s; there can be one", p.bodyRole, role.kind)
		return false
	}
	p.bodyRole = role.kind
	return true
}

// settle checks what needs the whole, and completes the function.
func (p *bindPlan) settle() bool {
	fn := p.fn
	first := fn.result.first
	if !p.said["url"] {
		if !p.reachable() {
			return false
		}
		route := fn.template.route()
		if base := p.client.BaseURL(); base != nil && !fn.template.absolute {
			route = strings.TrimSuffix(base.EscapedPath(), "/") + "/" + strings.TrimPrefix(route, "/")
		}
		first = append(first, parley.WithRoute(route))
	}
	fn.opts = slices.Concat(first, fn.opts)
	return true
}

// reachable reports whether the template leads anywhere, with any value for its variables.
func (p *bindPlan) reachable() bool {
	t := p.fn.template
	if p.client.BaseURL() == nil && !t.absolute {
		p.wrong("the template %q is relative and the client has no base URL: give it parley.WithBaseURL, or write a whole URL", t.raw)
		return false
	}
	samples := make([]bindValue, len(t.vars))
	for i := range samples {
		samples[i] = bindValue{kind: bindText, text: "x"}
	}
	ref, err := t.expand(samples)
	if err == nil {
		_, err = p.client.NewRequest(p.fn.method, ref)
	}
	if of := (*parley.Error)(nil); errors.As(err, &of) {
		err = of.Err
	}
	if err != nil {
		p.wrong("the template %q cannot be used: %w", t.raw, err)
	}
	return err == nil
}

// bindSequence gives what an iterator yields: iter.Seq2 of two types, or iter.Seq of one.
func bindSequence(t reflect.Type) (first, second reflect.Type) {
	if t.Kind() != reflect.Func {
		return nil, nil
	}
	switch {
	case t.CanSeq2():
		return t.In(0).In(0), t.In(0).In(1)
	case t.CanSeq():
		return t.In(0).In(0), nil
	}
	return nil, nil
}

// bindAnySeq ranges over an iterator that reflect holds.
func bindAnySeq(v reflect.Value, fallible bool) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		if !fallible {
			for item := range v.Seq() {
				if !yield(item.Interface(), nil) {
					return
				}
			}
			return
		}
		for item, failed := range v.Seq2() {
			err, _ := failed.Interface().(error)
			if !yield(item.Interface(), err) {
				return
			}
		}
	}
}
