package api

import (
	"fmt"
	"io"
	"maps"
	"mime"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/seed-0474a412/parley"
)

var (
	bindBodyType = reflect.TypeFor[parley.Body]()
	bindReader   = reflect.TypeFor[io.Reader]()
	bindString   = reflect.TypeFor[string]()
)

const (
	bindJSON = "application/json"
	bindXML  = "application/xml"
	bindForm = "application/x-www-form-urlencoded"
)

// bindMedia gives the media type for what a role says of a format.
func bindMedia(format string) string {
	switch format {
	case "json":
		return bindJSON
	case "xml":
		return bindXML
	case "form":
		return bindForm
	case "text":
		return "text/plain; charset=utf-8"
	}
	return format
}

// content makes the argument the body, or a part of it.
func (p *bindPlan) content(t reflect.Type, role bindRole) bindPut {
	switch role.kind {
	case "form":
		return p.form(t, role)
	case "part":
		return p.part(t, role)
	case "field":
		return p.field(t, role)
	}
	return p.body(t, role.name)
}

// body makes the argument the whole body.
func (p *bindPlan) body(t reflect.Type, named string) bindPut {
	said := bindMedia(named)
	if said == "" {
		said = bindMedia(p.media)
	}
	if said != "" {
		if _, _, err := mime.ParseMediaType(said); err != nil || !strings.Contains(said, "/") {
			p.wrong("the format of the body is %q: json, xml, form, text and media types are known", said)
			return nil
		}
	}
	if f := p.bodies[t]; f != nil {
		return func(c *bindCall, v reflect.Value) error {
			b, err := f(v)
			if err != nil {
				return err
			}
			c.setBody(parley.WithBody(b), "")
			return nil
		}
	}
	if raw := p.rawBody(t, said, named != ""); raw != nil {
		return raw
	}
	if t.Kind() == reflect.Interface {
		return func(c *bindCall, v reflect.Value) error {
			if v.IsNil() {
				return nil
			}
			v = v.Elem()
			// What cannot be a body is told as a mistake of its own, as it was not known before.
			once := &bindPlan{binder: &binder{typ: p.typ, encoders: p.encoders, texts: p.texts, bodies: p.bodies}, name: p.name, media: p.media, fn: &bindFunc{}}
			put := once.body(v.Type(), named)
			if put == nil {
				return once.errs[0]
			}
			return put(c, v)
		}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		p.wrong("the argument for body is a %s, which is no body: take a struct, a map, []byte, an io.Reader or a parley.Body, or add BindBody[%s]", t, t)
		return nil
	}
	encode := p.encoder(said)
	if encode == nil {
		p.wrong("nothing encodes a %s as %s: BindEncoder adds that", t, said)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		if bindNil(v) {
			return nil
		}
		return encode(c, v.Interface())
	}
}

// encoder gives how values become a body of a media type, nil if that is not known.
func (p *bindPlan) encoder(said string) func(c *bindCall, v any) error {
	media, _, _ := mime.ParseMediaType(said)
	if said == "" {
		media = bindJSON
	}
	if f := p.encoders[media]; f != nil {
		typ := said
		if typ == "" {
			typ = media
		}
		return func(c *bindCall, v any) error {
			b, err := f(v)
			if err != nil {
				return fmt.Errorf("encode %T as %s: %w", v, media, err)
			}
			c.setBody(parley.WithBody(parley.BytesBody(b, typ)), "")
			return nil
		}
	}
	own := func(plain string) string { // the header where it is not what parley writes
		if said == plain {
			return ""
		}
		return said
	}
	switch {
	case media == bindJSON, strings.HasSuffix(media, "+json"):
		return func(c *bindCall, v any) error { c.setBody(parley.WithJSON(v), own(bindJSON)); return nil }
	case media == bindXML, media == "text/xml", strings.HasSuffix(media, "+xml"):
		return func(c *bindCall, v any) error { c.setBody(parley.WithXML(v), own(bindXML)); return nil }
	case media == bindForm:
		return func(c *bindCall, v any) error { c.setBody(parley.WithForm(v), own(bindForm)); return nil }
	}
	return nil
}

// rawBody is for what is sent as it is; nil for other types. asked says that the role
// itself names the format.
func (p *bindPlan) rawBody(t reflect.Type, said string, asked bool) bindPut {
	if !asked { // the format of the struct is for values that need one
		said = ""
	}
	first, second := bindSequence(t)
	switch {
	case t.Implements(bindBodyType):
		return func(c *bindCall, v reflect.Value) error {
			if !bindNil(v) {
				c.setBody(parley.WithBody(v.Interface().(parley.Body)), said)
			}
			return nil
		}
	case t.Implements(bindReader):
		return func(c *bindCall, v reflect.Value) error {
			if !bindNil(v) {
				c.setBody(parley.WithReader(v.Interface().(io.Reader)), said)
			}
			return nil
		}
	case t == bindBytes:
		return func(c *bindCall, v reflect.Value) error {
			if !v.IsNil() {
				c.setBody(parley.WithBody(parley.BytesBody(v.Bytes(), said)), "")
			}
			return nil
		}
	case t == bindString:
		if said == "" {
			said = bindMedia("text")
		}
		return func(c *bindCall, v reflect.Value) error {
			c.setBody(parley.WithBody(parley.BytesBody([]byte(v.String()), said)), "")
			return nil
		}
	case first != nil && (second == nil || second == bindError):
		fallible := second != nil
		return func(c *bindCall, v reflect.Value) error {
			if !v.IsNil() {
				c.setBody(parley.WithBody(parley.JSONLinesBody2(bindAnySeq(v, fallible))), said)
			}
			return nil
		}
	}
	return nil
}

// form makes the argument a field of a form, or several.
func (p *bindPlan) form(t reflect.Type, role bindRole) bindPut {
	if role.name == "" {
		if !p.parameters(t) && t.Kind() != reflect.Interface {
			p.wrong("the argument for form is a %s: give its field a name (form:title), or take a struct with url tags or a map with string keys", t)
			return nil
		}
		return func(c *bindCall, v reflect.Value) error {
			c.isForm = true
			if bindNil(v) {
				return nil
			}
			params, err := parley.ParamsOf(v.Interface())
			c.form = append(c.form, params...)
			return err
		}
	}
	texts, _ := p.textsOf(t)
	if texts == nil {
		p.wrong("the argument for %s is a %s, which %w", role, t, errBindNoText)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		c.isForm = true
		values, err := texts(c.room[:0], v)
		if err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
		for _, s := range values {
			c.form = append(c.form, parley.Param{Key: role.name, Value: s})
		}
		return nil
	}
}

// part makes the argument a part of a multipart form, or several.
func (p *bindPlan) part(t reflect.Type, role bindRole) bindPut {
	one := p.onePart(t, role.name)
	if one == nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		if each := p.onePart(t.Elem(), role.name); each != nil {
			one = func(c *bindCall, v reflect.Value) error {
				for i := range v.Len() {
					if err := each(c, v.Index(i)); err != nil {
						return err
					}
				}
				return nil
			}
		}
	}
	switch {
	case one != nil:
	case role.name == "" && p.parameters(t):
		one = func(c *bindCall, v reflect.Value) error {
			if !bindNil(v) {
				c.parts = append(c.parts, parley.FormFields(v.Interface())...)
			}
			return nil
		}
	case role.name == "":
		p.wrong("the argument for part is a %s: give it a name (part:photo), or take a parley.Part, a struct with url tags or a map with string keys", t)
		return nil
	default:
		p.wrong("the argument for %s is a %s, which is no part: take a single value, []byte, an io.Reader, a struct, a parley.Body, a parley.Part, or a slice of those", role, t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		c.isParts = true
		return one(c, v)
	}
}

// onePart gives how a value becomes one part; nil if it does not.
func (p *bindPlan) onePart(t reflect.Type, name string) bindPut {
	switch {
	case t == bindPart:
		return func(c *bindCall, v reflect.Value) error {
			part := v.Interface().(parley.Part)
			if part.Name == "" {
				part.Name = name
			}
			c.parts = append(c.parts, part)
			return nil
		}
	case name == "":
		return nil
	}
	if file := bindFilePart(t, name); file != nil {
		return bindAddPart(file)
	}
	if t.Kind() == reflect.Interface {
		return func(c *bindCall, v reflect.Value) error {
			if v.IsNil() {
				return nil
			}
			one := p.onePart(v.Elem().Type(), name)
			if one == nil {
				return fmt.Errorf("part:%s: a %s is no part", name, v.Elem().Type())
			}
			return one(c, v.Elem())
		}
	}
	if text := p.texter(t); text != nil {
		return func(c *bindCall, v reflect.Value) error {
			s, ok, err := text(v)
			if err != nil {
				return fmt.Errorf("part:%s: %w", name, err)
			}
			if ok {
				c.parts = append(c.parts, parley.FormField(name, s))
			}
			return nil
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct || t.Kind() == reflect.Map {
		return bindAddPart(func(v reflect.Value) parley.Part { return parley.FormJSON(name, v.Interface()) })
	}
	return nil
}

// bindAddPart adds a part unless its value is nil.
func bindAddPart(part func(v reflect.Value) parley.Part) bindPut {
	return func(c *bindCall, v reflect.Value) error {
		if !bindNil(v) {
			c.parts = append(c.parts, part(v))
		}
		return nil
	}
}

// bindFilePart gives the part of what is content already; nil for other types.
func bindFilePart(t reflect.Type, name string) func(v reflect.Value) parley.Part {
	switch {
	case t.Implements(bindBodyType):
		return func(v reflect.Value) parley.Part { return parley.Part{Name: name, Body: v.Interface().(parley.Body)} }
	case t.Implements(bindReader):
		return func(v reflect.Value) parley.Part {
			r := v.Interface().(io.Reader)
			if file, ok := r.(*os.File); ok {
				return parley.FormReader(name, filepath.Base(file.Name()), file)
			}
			return parley.FormReader(name, name, r)
		}
	case t == bindBytes:
		return func(v reflect.Value) parley.Part { return parley.FormBytes(name, name, v.Bytes()) }
	}
	return nil
}

// field makes the argument a member of a JSON object, or several.
func (p *bindPlan) field(t reflect.Type, role bindRole) bindPut {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		p.wrong("the argument for %s is a %s, which is no JSON", role, t)
		return nil
	}
	if role.name != "" {
		path := strings.Split(role.name, ".")
		for i, name := range path {
			whole := i == len(path)-1
			at := "field within " + strings.Join(path[:i+1], ".")
			if name == "" {
				p.wrong("%s has an empty name between its dots", role)
				return nil
			}
			if p.said["field leaf "+strings.Join(path[:i+1], ".")] || whole && p.said[at] {
				p.wrong("%s is a member of what another argument is, or holds one", role)
				return nil
			}
			p.said[at] = true
		}
		p.said["field leaf "+role.name] = true
		return func(c *bindCall, v reflect.Value) error {
			c.object()
			if bindNil(v) {
				return nil
			}
			return c.setField(path, v.Interface())
		}
	}
	if !p.parameters(t) && t.Kind() != reflect.Interface {
		p.wrong("the argument for field is a %s: give it a name (field:title), or take a struct or a map with string keys", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		c.object()
		if bindNil(v) {
			return nil
		}
		members, err := jsonMembers(v.Interface())
		maps.Copy(c.fields, members)
		return err
	}
}
