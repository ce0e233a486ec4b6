package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/seed-0474a412/parley"
)

// bindCall is what the arguments of one call say.
type bindCall struct {
	vars   []bindValue
	url    string
	hasURL bool // in place of the template
	params parley.Params
	opts   []parley.RequestOption // the function's, then the arguments'
	last   []parley.RequestOption // options among the arguments
	body   parley.RequestOption   // nil: none
	media  parley.RequestOption   // the content type, where that is not the body's own

	form    parley.Params
	isForm  bool
	parts   []parley.Part
	isParts bool
	fields  map[string]any // nil: none

	room [4]string    // for texts that are not kept
	few  [2]bindValue // for vars
}

func (c *bindCall) add(o parley.RequestOption) { c.opts = append(c.opts, o) }

// setBody sets the body, and its content type where media is not "".
func (c *bindCall) setBody(body parley.RequestOption, media string) {
	c.body = body
	if media != "" {
		c.media = parley.WithHeader("Content-Type", media)
	}
}

// object makes the body a JSON object.
func (c *bindCall) object() {
	if c.fields == nil {
		c.fields = make(map[string]any, 4)
	}
}

// setField sets a member, and makes the objects on the way to it.
func (c *bindCall) setField(path []string, value any) error {
	within := c.fields
	for _, name := range path[:len(path)-1] {
		switch next := within[name].(type) {
		case nil:
			made := make(map[string]any, 1)
			within[name] = made
			within = made
		case map[string]any:
			within = next
		case json.RawMessage:
			members, err := jsonMembers(next)
			if err != nil {
				return fmt.Errorf("member %q: %w", name, err)
			}
			if members == nil { // null
				members = make(map[string]any, 1)
			}
			within[name] = members
			within = members
		}
	}
	within[path[len(path)-1]] = value
	return nil
}

// prepare gives the reference and the options of a call.
func (f *bindFunc) prepare(args []reflect.Value) (ref string, opts []parley.RequestOption, err error) {
	c := bindCall{opts: make([]parley.RequestOption, len(f.opts), len(f.opts)+len(args)+1)}
	copy(c.opts, f.opts)
	if n := len(f.template.vars); n <= len(c.few) {
		c.vars = c.few[:n]
	} else {
		c.vars = make([]bindValue, n)
	}
	for _, a := range f.args { // all of them, so that a body is known however it ends
		if failed := a.put(&c, args[a.index]); err == nil {
			err = failed
		}
	}
	c.gatherBody()
	if ref = c.url; !c.hasURL && err == nil {
		ref, err = f.template.expand(c.vars)
	}
	if err != nil {
		f.giveUp(c.body)
		return "", nil, callError(f.method, err)
	}
	if c.media != nil { // weaker than what an argument says
		c.opts = slices.Insert(c.opts, len(f.opts), c.media)
	}
	if len(c.params) > 0 {
		c.add(parley.WithParams(c.params))
	}
	if c.body != nil {
		c.add(c.body)
	}
	return ref, append(c.opts, c.last...), nil
}

// gatherBody makes one body of what several arguments say.
func (c *bindCall) gatherBody() {
	switch {
	case c.isForm:
		c.body = parley.WithForm(c.form)
	case c.isParts:
		c.body = parley.WithMultipart(c.parts...)
	case c.fields != nil:
		c.body = parley.WithJSON(c.fields)
	}
}

// giveUp closes what a body holds that will not be sent: the client does so for a request
// that it cannot make, as it cannot make one with a header that has no name.
func (f *bindFunc) giveUp(body parley.RequestOption) {
	if body != nil {
		_, _ = f.client.NewRequest(f.method, "", body, parley.WithHeader("", ""))
	}
}

// call is the function.
func (f *bindFunc) call(args []reflect.Value) []reflect.Value {
	if f.result.iterate != nil {
		return []reflect.Value{f.result.iterate(f, args)}
	}
	out := make([]reflect.Value, len(f.result.zero))
	copy(out, f.result.zero)
	resp, err := f.send(args)
	if resp != nil && f.result.meta >= 0 {
		meta := Meta{StatusCode: resp.StatusCode, Header: resp.Header, Response: resp}
		out[f.result.meta] = reflect.ValueOf(meta)
	}
	if err == nil && f.result.take != nil {
		err = f.result.take(resp, out)
	}
	if err != nil {
		out[len(out)-1] = reflect.ValueOf(&err).Elem()
	}
	return out
}

// send makes the call.
func (f *bindFunc) send(args []reflect.Value) (*parley.Response, error) {
	ref, opts, err := f.prepare(args)
	if err != nil {
		return nil, err
	}
	ctx, _ := args[0].Interface().(context.Context) // nil is told by the client
	if f.result.stream {
		return f.client.Stream(ctx, f.method, ref, opts...)
	}
	return f.client.Request(ctx, f.method, ref, opts...)
}
