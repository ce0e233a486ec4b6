package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/seed-0474a412/parley"
)

// bindResult is what a function makes of an answer.
type bindResult struct {
	first   []parley.RequestOption // weaker than what the function says
	stream  bool                   // the body is not read by the call
	zero    []reflect.Value        // the results of a call that failed, but for the error
	meta    int                    // where Meta goes; -1: nowhere
	take    func(resp *parley.Response, out []reflect.Value) error
	iterate func(f *bindFunc, args []reflect.Value) reflect.Value // in place of all that
}

// bindDecode fills in what a pointer points to.
type bindDecode func(resp *parley.Response, into reflect.Value) error

var (
	bindMeta       = reflect.TypeFor[Meta]()
	bindResponse   = reflect.TypeFor[*parley.Response]()
	bindReadCloser = reflect.TypeFor[io.ReadCloser]()
)

// answer finds out what the results of the function are.
func (p *bindPlan) answer(tag string) {
	r := &p.fn.result
	r.meta = -1
	n := p.typ.NumOut()
	format, path := bindFormat(tag)
	if n == 1 {
		if item, failed := bindSequence(p.typ.Out(0)); item != nil {
			if failed != bindError {
				p.wrong("gives a %s: an iterator has to be able to say what went wrong: make it an iter.Seq2[%s, error]", p.typ.Out(0), item)
				return
			}
			p.iterator(p.typ.Out(0), item, format, path)
			return
		}
	}
	if n == 0 || p.typ.Out(n-1) != bindError {
		p.wrong("has no error as its last result: every call can fail")
		return
	}
	r.zero = make([]reflect.Value, n)
	for i := range n {
		r.zero[i] = reflect.Zero(p.typ.Out(i))
	}
	switch {
	case n >= 2 && p.typ.Out(n-2) == bindMeta:
		r.meta = n - 2
		n--
	case n == 3:
		p.wrong("has three results, of which the second is a %s: api.Meta is what can stand there", p.typ.Out(1))
		return
	}
	switch {
	case n > 2:
		p.wrong("has too many results: a value, api.Meta and an error at most")
	case n == 1 && tag != "":
		p.wrong("has the tag result %q, but no result that it could be about", tag)
	case n == 1:
		r.take = func(resp *parley.Response, _ []reflect.Value) error { return resp.Err() }
	default:
		p.value(p.typ.Out(0), tag, format, path)
	}
}

// bindFormat reads the tag result: a format, and the names on the way to the value.
func bindFormat(tag string) (format string, path []string) {
	format, at, _ := strings.Cut(strings.TrimSpace(tag), " ")
	if at = strings.TrimSpace(at); at != "" {
		path = strings.Split(at, ".")
	}
	return format, path
}

// value is for a result that is not an iterator.
func (p *bindPlan) value(t reflect.Type, tag, format string, path []string) {
	r := &p.fn.result
	first, _ := bindSequence(t)
	switch {
	case first != nil:
		p.wrong("gives an iterator and an error beside it: the errors come from the loop, so that the iterator is the only result")
	case t == bindResponse && format == "stream" && path == nil:
		r.stream = true
		r.take = func(resp *parley.Response, out []reflect.Value) error {
			if err := resp.Err(); err != nil {
				resp.Close() // the status is what matters
				return err
			}
			out[0] = reflect.ValueOf(resp)
			return nil
		}
	case t == bindResponse && tag == "":
		r.take = func(resp *parley.Response, out []reflect.Value) error {
			out[0] = reflect.ValueOf(resp)
			return nil
		}
	case t == bindReadCloser && tag == "":
		r.stream = true
		r.take = func(resp *parley.Response, out []reflect.Value) error {
			if err := resp.Err(); err != nil {
				resp.Close() // the status is what matters
				return err
			}
			out[0] = reflect.ValueOf(&resp.Body).Elem()
			return nil
		}
	case t == bindResponse || t == bindReadCloser:
		p.wrong("has the tag result %q, which is not for a %s: result:\"stream\" with a *parley.Response is one that is not read", tag, t)
	default:
		decode := p.decoder(t, format, path)
		if decode == nil {
			return
		}
		r.take = func(resp *parley.Response, out []reflect.Value) error {
			v, err := bindAs(resp, t, decode)
			out[0] = v
			return err
		}
	}
}

// bindAs is parley.As with a decoder.
func bindAs(resp *parley.Response, t reflect.Type, decode bindDecode) (reflect.Value, error) {
	if err := resp.Err(); err != nil {
		return reflect.Zero(t), err
	}
	into := reflect.New(t)
	if hasNoContent(resp) {
		return into.Elem(), nil
	}
	err := decode(resp, into.Elem())
	return into.Elem(), err
}

// decoder gives how an answer becomes a value of a type; nil if it does not.
func (p *bindPlan) decoder(t reflect.Type, format string, path []string) bindDecode {
	if f := p.results[t]; f != nil {
		if format != "" {
			p.wrong("has the tag result %q, but BindResult says how a %s is made", format, t)
			return nil
		}
		return f
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		p.wrong("gives a %s, into which nothing can be decoded", t)
		return nil
	case reflect.Interface:
		if t.NumMethod() > 0 {
			p.wrong("gives a %s, an interface, for which nothing says what to make: io.ReadCloser and any are possible, and types that are none", t)
			return nil
		}
	case reflect.Struct:
		if t == bindResponse.Elem() || t == reflect.TypeFor[http.Response]() {
			p.wrong("gives a %s: make it a *parley.Response", t)
			return nil
		}
	}
	if t == reflect.TypeFor[*http.Response]() {
		p.wrong("gives a %s: make it a *parley.Response", t)
		return nil
	}
	switch format {
	case "":
		return func(resp *parley.Response, into reflect.Value) error { return resp.Decode(bindTarget(into)) }
	case "xml":
		if path == nil {
			return func(resp *parley.Response, into reflect.Value) error { return resp.XML(bindTarget(into)) }
		}
	case "json":
		if path == nil {
			return func(resp *parley.Response, into reflect.Value) error { return resp.JSON(bindTarget(into)) }
		}
		return func(resp *parley.Response, into reflect.Value) error {
			var raw json.RawMessage
			if err := resp.JSON(&raw); err != nil {
				return err
			}
			return bindMember(resp, raw, path, bindTarget(into))
		}
	}
	p.wrong("has the tag result %q, which is not for a %s: json and xml are, json also with the way to a member (json data.user)", strings.TrimSpace(format+" "+strings.Join(path, ".")), t)
	return nil
}

// bindTarget gives what is decoded into: a pointer is given what it points to, so that a
// body of another type than JSON works for it too.
func bindTarget(into reflect.Value) any {
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		return into.Interface()
	}
	return into.Addr().Interface()
}

// bindMember decodes what is at a path in a JSON object.
func bindMember(resp *parley.Response, raw json.RawMessage, path []string, v any) error {
	value, missing, err := jsonAt(raw, path)
	switch {
	case err != nil:
	case missing != nil:
		err = fmt.Errorf("there is no member %.64q", strings.Join(missing, "."))
	default:
		err = json.Unmarshal(value, v)
	}
	if err != nil {
		return answerError("decode", resp, fmt.Errorf("%w at %.64q: %w", parley.ErrDecoding, strings.Join(path, "."), err))
	}
	return nil
}
