package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/seed-0474a412/parley"
)

// bindPut puts an argument into a call.
type bindPut = func(c *bindCall, v reflect.Value) error

// path makes the argument the value of a variable.
func (p *bindPlan) path(t reflect.Type, name string) bindPut {
	index := slices.Index(p.fn.template.vars, name)
	if index < 0 {
		p.wrong("role path:%s: the template %q has no variable {%s}", name, p.fn.template.raw, name)
		return nil
	}
	p.given[index] = true
	value, kind := p.pathValue(t)
	if value == nil {
		p.wrong("the argument for {%s} is a %s, which %w; so are slices of those, and maps with string keys", name, t, errBindNoText)
		return nil
	}
	if p.fn.template.prefixed(index) && kind != bindText {
		if kind != bindUndefined {
			p.wrong("the argument for {%s} is a %s, of which no first characters can be taken: leave the length out of the template", name, t)
			return nil
		}
		unbound := value
		value = func(v reflect.Value) (bindValue, error) {
			out, err := unbound(v)
			if err == nil && out.kind > bindText {
				err = errors.New("is a list, of which no first characters can be taken")
			}
			return out, err
		}
	}
	return func(c *bindCall, v reflect.Value) (err error) {
		if c.vars[index], err = value(v); err != nil {
			return fmt.Errorf("variable {%s}: %w", name, err)
		}
		return nil
	}
}

// named makes the argument a parameter, a header or a cookie, or several.
func (p *bindPlan) named(t reflect.Type, role bindRole) bindPut {
	if role.name == "" {
		switch role.kind {
		case "query":
			return p.wholeQuery(t)
		case "header":
			return p.wholeHeader(t)
		}
		return p.wholeCookie(t)
	}
	texts, several := p.textsOf(t)
	if texts == nil {
		p.wrong("the argument for %s is a %s, which %w", role, t, errBindNoText)
		return nil
	}
	if several && role.kind == "cookie" && t.Kind() != reflect.Interface {
		p.wrong("the argument for %s is a %s: a cookie has one value", role, t)
		return nil
	}
	p.probe(role)
	return func(c *bindCall, v reflect.Value) error {
		values, err := texts(c.room[:0], v)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", role, err)
		case len(values) == 0:
		case role.kind == "query":
			for _, s := range values {
				c.params = append(c.params, parley.Param{Key: role.name, Value: s})
			}
		case role.kind == "cookie":
			c.add(parley.WithCookie(role.name, values[0]))
		case len(values) == 1:
			c.add(parley.WithHeader(role.name, values[0]))
		default:
			c.add(parley.WithHeaders(http.Header{role.name: slices.Clone(values)}))
		}
		return nil
	}
}

// probe checks the name of a header or a cookie.
func (p *bindPlan) probe(role bindRole) {
	switch role.kind {
	case "header":
		p.check(p.name, []parley.RequestOption{parley.WithHeader(role.name, "x")})
	case "cookie":
		p.check(p.name, []parley.RequestOption{parley.WithCookie(role.name, "x")})
	}
}

func (p *bindPlan) wholeQuery(t reflect.Type) bindPut {
	if !p.parameters(t) && t.Kind() != reflect.Interface {
		p.wrong("the argument for query is a %s: give its parameter a name (query:page), or take a struct with url tags or a map with string keys", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		if !bindNil(v) {
			c.add(parley.WithParams(v.Interface()))
		}
		return nil
	}
}

func (p *bindPlan) wholeHeader(t reflect.Type) bindPut {
	if t.Kind() != reflect.Map || t.Key().Kind() != reflect.String {
		p.wrong("the argument for header is a %s: give it a name (header:If-Match), or take an http.Header or a map with string keys", t)
		return nil
	}
	texts, _ := p.textsOf(t.Elem())
	if texts == nil {
		p.wrong("the argument for header is a %s whose values are no texts", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		h := make(http.Header, v.Len())
		for it := v.MapRange(); it.Next(); {
			values, err := texts(nil, it.Value())
			if err != nil {
				return fmt.Errorf("header %s: %w", it.Key(), err)
			}
			if len(values) > 0 {
				h[it.Key().String()] = values
			}
		}
		c.add(parley.WithHeaders(h))
		return nil
	}
}

func (p *bindPlan) wholeCookie(t reflect.Type) bindPut {
	if t != bindCookie {
		p.wrong("the argument for cookie is a %s: give it a name (cookie:sid), or take an *http.Cookie", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		if cookie := v.Interface().(*http.Cookie); cookie != nil {
			c.add(parley.WithCookie(cookie.Name, cookie.Value))
		}
		return nil
	}
}

// url makes the argument the URL in place of the template's.
func (p *bindPlan) url(t reflect.Type) bindPut {
	switch {
	case t == bindURL:
		return func(c *bindCall, v reflect.Value) error {
			if u := v.Interface().(*url.URL); u != nil {
				c.url, c.hasURL = u.String(), true
				return nil
			}
			return fmt.Errorf("%w: the argument for the URL is nil", parley.ErrInvalidURL)
		}
	case t.Kind() == reflect.String:
		return func(c *bindCall, v reflect.Value) error {
			c.url, c.hasURL = v.String(), true
			return nil
		}
	}
	p.wrong("the argument for url is a %s: take a string or a *url.URL", t)
	return nil
}

func (p *bindPlan) timeout(t reflect.Type) bindPut {
	if t != bindDuration {
		p.wrong("the argument for timeout is a %s: take a time.Duration", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		if d := time.Duration(v.Int()); d != 0 {
			c.add(parley.WithTimeout(d))
		}
		return nil
	}
}

func (p *bindPlan) auth(t reflect.Type, name string) bindPut {
	if name == "bearer" {
		text := p.texter(t)
		if text == nil {
			p.wrong("the argument for auth:bearer is a %s, which %w", t, errBindNoText)
			return nil
		}
		return func(c *bindCall, v reflect.Value) error {
			token, ok, err := text(v)
			if err != nil || !ok {
				return err
			}
			c.add(parley.WithBearerToken(token))
			return nil
		}
	}
	if !t.Implements(bindAuth) {
		p.wrong("the argument for auth is a %s: take a parley.Auth, or a token by auth:bearer", t)
		return nil
	}
	return func(c *bindCall, v reflect.Value) error {
		if !bindNil(v) {
			c.add(parley.WithAuth(v.Interface().(parley.Auth)))
		}
		return nil
	}
}

func (p *bindPlan) option(t reflect.Type) bindPut {
	switch {
	case t.Implements(bindReqOption):
		return func(c *bindCall, v reflect.Value) error {
			if !bindNil(v) {
				c.last = append(c.last, v.Interface().(parley.RequestOption))
			}
			return nil
		}
	case t.Kind() == reflect.Slice && t.Elem().Implements(bindReqOption):
		return func(c *bindCall, v reflect.Value) error {
			for i := range v.Len() {
				o, _ := v.Index(i).Interface().(parley.RequestOption)
				c.last = append(c.last, o) // a nil one is told by the client
			}
			return nil
		}
	}
	p.wrong("the argument for option is a %s: take a parley.RequestOption or ...parley.RequestOption", t)
	return nil
}
