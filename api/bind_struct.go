package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// binder goes through a declaration and collects what is wrong with it.
type binder struct {
	client   *parley.Client
	typ      reflect.Type
	all      []parley.ClientOption  // of every call, where a session can have them
	each     []parley.RequestOption // of every call, where it cannot
	special  []bindSpecial
	encoders map[string]func(any) ([]byte, error) // by media type in lower case
	texts    map[reflect.Type]bindTexter
	bodies   map[reflect.Type]func(reflect.Value) (parley.Body, error)
	results  map[reflect.Type]func(*parley.Response, reflect.Value) error
	names    map[string]bool // the functions, and the groups with a false
	errs     []error
}

// bindSpecial is what BindMethod says.
type bindSpecial struct {
	name string
	opts []parley.RequestOption
}

// bindScope is what holds for all functions of a struct.
type bindScope struct {
	prefix string                // of names: "Users."
	base   string                // before their templates
	media  string                // of bodies; "": JSON
	opts   []parley.ClientOption // what tags say
	within []reflect.Type        // the structs around
	client *parley.Client        // with all that holds for the struct
}

// bindTags are the tags that Bind reads.
var bindTags = []string{"http", "args", "header", "query", "timeout", "body", "base", "result"}

func newBinder(c *parley.Client, t reflect.Type) *binder {
	return &binder{
		client: c, typ: t,
		encoders: make(map[string]func(any) ([]byte, error)),
		texts:    make(map[reflect.Type]bindTexter),
		bodies:   make(map[reflect.Type]func(reflect.Value) (parley.Body, error)),
		results:  make(map[reflect.Type]func(*parley.Response, reflect.Value) error),
		names:    make(map[string]bool),
	}
}

// fail notes a mistake.
func (b *binder) fail(field, format string, args ...any) {
	name := b.typ.Name()
	if name == "" {
		name = b.typ.String()
	}
	b.errs = append(b.errs, &BindError{Type: name, Field: field, Err: fmt.Errorf(format, args...)})
}

// check reports whether options can be put into a request. It notes the first that cannot.
func (b *binder) check(field string, opts []parley.RequestOption) bool {
	if b.client == nil { // which is told by itself
		return false
	}
	ref := "" // the base
	if b.client.BaseURL() == nil {
		ref = "http://bind.invalid/"
	}
	if _, err := b.client.NewRequest(http.MethodPost, ref, opts...); err != nil {
		if of := (*parley.Error)(nil); errors.As(err, &of) {
			err = of.Err // its URL means nothing
		}
		b.fail(field, "an option cannot be used: %w", err)
		return false
	}
	return true
}

// bind fills in the functions of v, which is a T.
func (b *binder) bind(v reflect.Value) {
	switch {
	case b.client == nil:
		b.fail("", "no client: make one with parley.New")
		return
	case v.Kind() != reflect.Struct:
		b.fail("", "is a %s: declare a struct whose fields are functions", v.Kind())
		return
	}
	b.fields(v, bindScope{})
	if len(b.names) == 0 && len(b.errs) == 0 {
		b.fail("", `has no functions to fill in: declare them as fields with a tag like http:"GET users/{id}"`)
	}
	for _, s := range b.special {
		if _, ok := b.names[s.name]; !ok {
			b.fail(s.name, "BindMethod names a function that is not there; there are: %s", strings.Join(slices.Sorted(maps.Keys(b.names)), ", "))
		}
	}
}

// fields fills in the functions of a struct.
func (b *binder) fields(v reflect.Value, scope bindScope) {
	t := v.Type()
	scope.within = append(slices.Clip(scope.within), t)
	for i := range t.NumField() {
		if f := t.Field(i); f.Name == "_" {
			scope = b.defaults(f, scope)
		}
	}
	scope.client = b.derived(scope)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		name := scope.prefix + f.Name
		pattern, tagged := f.Tag.Lookup("http")
		switch {
		case pattern == "-":
		case !f.IsExported() && (!f.Anonymous || f.Type.Kind() == reflect.Func):
			if tag := bindTagOf(f); tag != "" {
				b.fail(name, "has the tag %s but is not exported, so that it cannot be filled in: write it with a capital letter", tag)
			}
		case f.Type.Kind() == reflect.Func:
			if !tagged {
				b.fail(name, `is a function without a tag http: write one like http:"GET users/{id}", or http:"-" to leave it alone (its tag is %q)`, f.Tag)
				continue
			}
			b.names[name] = true
			if fn := b.function(name, f, pattern, scope); fn != nil {
				v.Field(i).Set(reflect.MakeFunc(f.Type, fn))
			}
		case tagged:
			b.fail(name, "has a tag http but is a %s: only functions can be called", f.Type)
		default:
			b.group(v.Field(i), f, name, scope)
		}
	}
}

// derived gives the client for the functions of a struct. What holds for all of them is its
// session's, so that it goes where the values of sessions go, and to no other origin.
func (b *binder) derived(scope bindScope) *parley.Client {
	if len(scope.opts)+len(b.all) == 0 {
		return b.client
	}
	c, err := b.client.With(slices.Concat(scope.opts, b.all)...)
	if err != nil {
		b.fail(strings.TrimSuffix(scope.prefix, "."), "the options cannot be used: %w", err)
		return b.client
	}
	return c
}

// bindTagOf gives the first tag that a field has for Bind, "" for none.
func bindTagOf(f reflect.StructField) string {
	for _, tag := range bindTags {
		if _, ok := f.Tag.Lookup(tag); ok {
			return tag
		}
	}
	return ""
}

// group fills in a struct within the struct, if it has functions with tags.
func (b *binder) group(v reflect.Value, f reflect.StructField, name string, scope bindScope) {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !bindHasFunctions(t, nil) {
		if tag := bindTagOf(f); tag != "" {
			b.fail(name, "has the tag %s but is a %s: that is for functions, for structs with functions, and for blank fields", tag, f.Type)
		}
		return
	}
	if slices.Contains(scope.within, t) {
		b.fail(name, "is a %s within itself: declare a struct of its own for it", t)
		return
	}
	if f.Type.Kind() == reflect.Pointer {
		if !v.CanSet() {
			b.fail(name, "is embedded by a pointer and not exported, so that it cannot be made: embed the struct itself")
			return
		}
		v.Set(reflect.New(t))
		v = v.Elem()
	}
	scope = b.defaults(f, scope)
	if !f.Anonymous {
		scope.prefix = name + "."
		b.names[name] = false
	}
	b.fields(v, scope)
}

// bindHasFunctions reports whether a struct has a field with a tag http, at any depth.
func bindHasFunctions(t reflect.Type, within []reflect.Type) bool {
	if slices.Contains(within, t) {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if _, tagged := f.Tag.Lookup("http"); tagged {
			return true
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && (f.IsExported() || f.Anonymous) && bindHasFunctions(inner, append(slices.Clip(within), t)) {
			return true
		}
	}
	return false
}

// defaults gives the scope with what the tags of a blank field or a group add to it.
func (b *binder) defaults(f reflect.StructField, scope bindScope) bindScope {
	name := scope.prefix + f.Name
	for _, tag := range []string{"http", "args", "result"} {
		if _, ok := f.Tag.Lookup(tag); ok && f.Name == "_" {
			b.fail(name, "has the tag %s, which is for functions", tag)
		}
	}
	if base, ok := f.Tag.Lookup("base"); ok {
		if strings.ContainsAny(base, "?#") {
			b.fail(name, "base %q has a query or a fragment: it is put before the paths of the functions", base)
		}
		scope.base = bindJoin(scope.base, base)
	}
	if media, ok := f.Tag.Lookup("body"); ok {
		scope.media = media
	}
	for _, o := range b.tagOptions(name, f) {
		scope.opts = append(slices.Clip(scope.opts), o)
	}
	return scope
}

// bindJoin puts a base before a template.
func bindJoin(base, template string) string {
	switch {
	case base == "" || bindAuthority(template) > 0:
		return template
	case template == "" || strings.HasPrefix(template, "?") || strings.HasPrefix(template, "#"),
		strings.HasPrefix(template, "{/"), strings.HasPrefix(template, "{?"), strings.HasPrefix(template, "{#"):
		return base + template
	case strings.HasPrefix(template, "//"):
		return template // which is refused, and says why
	}
	return strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(template, "/")
}

// tagOptions gives what the tags header, query and timeout say.
func (b *binder) tagOptions(name string, f reflect.StructField) []parley.Option {
	var opts []parley.Option
	add := func(o parley.Option) {
		if b.check(name, []parley.RequestOption{o}) {
			opts = append(opts, o)
		}
	}
	if lines, ok := f.Tag.Lookup("header"); ok {
		for line := range strings.SplitSeq(lines, "\n") {
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				b.fail(name, `header %q is not of the form "Name: value"; several are separated by \n`, line)
				continue
			}
			add(parley.WithHeader(strings.TrimSpace(key), strings.TrimSpace(value)))
		}
	}
	if query, ok := f.Tag.Lookup("query"); ok {
		params, err := bindQuery(query)
		if err != nil {
			b.fail(name, "query %q: %w", query, err)
		} else {
			add(parley.WithParams(params))
		}
	}
	if text, ok := f.Tag.Lookup("timeout"); ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			b.fail(name, `timeout %q is no duration above 0, such as "1m30s"`, text)
		} else {
			add(parley.WithTimeout(d))
		}
	}
	return opts
}

// bindQuery reads parameters as they stand in a URL, in their order.
func bindQuery(s string) (parley.Params, error) {
	var params parley.Params
	for pair := range strings.SplitSeq(s, "&") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, errors.New("is not of the form a=1&b=2")
		}
		name, err := url.QueryUnescape(key)
		if err != nil {
			return nil, err
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return nil, err
		}
		params = append(params, parley.Param{Key: name, Value: text})
	}
	return params, nil
}

// specialFor gives what BindMethod says of a function or the groups that it is in.
func (b *binder) specialFor(name string) []parley.RequestOption {
	var opts []parley.RequestOption
	for _, s := range b.special {
		if s.name == name || strings.HasPrefix(name, s.name+".") {
			opts = append(opts, s.opts...)
		}
	}
	return opts
}
