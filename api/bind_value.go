package api

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bindTexter gives the text of a single value; ok is false for nil.
type bindTexter func(v reflect.Value) (text string, ok bool, err error)

var (
	bindTextMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	bindStringer      = reflect.TypeFor[fmt.Stringer]()
	bindTime          = reflect.TypeFor[time.Time]()
	bindBytes         = reflect.TypeFor[[]byte]()
)

// texter gives how values of a type become text, nil if they are no single values. The
// rules are those of parley.WithQuery.
func (b *binder) texter(t reflect.Type) bindTexter {
	if f := b.texts[t]; f != nil {
		return f
	}
	switch {
	case t == bindTime:
		return func(v reflect.Value) (string, bool, error) {
			return v.Interface().(time.Time).Format(time.RFC3339Nano), true, nil
		}
	case t == bindBytes:
		return func(v reflect.Value) (string, bool, error) { return string(v.Bytes()), !v.IsNil(), nil }
	case t.Kind() == reflect.Interface:
		return b.anyText
	case t.Kind() == reflect.Pointer:
		return b.pointerText(t)
	}
	if f := bindMethodText(t); f != nil {
		return f
	}
	if t.Kind() != reflect.Pointer && bindMethodText(reflect.PointerTo(t)) != nil {
		f := bindMethodText(reflect.PointerTo(t)) // its methods are for a pointer
		return func(v reflect.Value) (string, bool, error) {
			p := reflect.New(t)
			p.Elem().Set(v)
			return f(p)
		}
	}
	return bindKindText(t)
}

// bindMethodText gives the text by a type's own method.
func bindMethodText(t reflect.Type) bindTexter {
	switch {
	case t.Implements(bindTextMarshaler):
		return func(v reflect.Value) (string, bool, error) {
			text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
			return string(text), true, err
		}
	case t.Implements(bindStringer):
		return func(v reflect.Value) (string, bool, error) { return v.Interface().(fmt.Stringer).String(), true, nil }
	}
	return nil
}

// bindKindText gives the text of numbers, bools and strings.
func bindKindText(t reflect.Type) bindTexter {
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) (string, bool, error) { return v.String(), true, nil }
	case reflect.Bool:
		return func(v reflect.Value) (string, bool, error) { return strconv.FormatBool(v.Bool()), true, nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) (string, bool, error) { return strconv.FormatInt(v.Int(), 10), true, nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(v reflect.Value) (string, bool, error) { return strconv.FormatUint(v.Uint(), 10), true, nil }
	case reflect.Float32, reflect.Float64:
		bits := t.Bits()
		return func(v reflect.Value) (string, bool, error) {
			format, abs := byte('f'), math.Abs(v.Float())
			if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
				format = 'e'
			}
			return strconv.FormatFloat(v.Float(), format, -1, bits), true, nil
		}
	}
	return nil
}

// pointerText is texter for a pointer, whose methods may not be for nil.
func (b *binder) pointerText(t reflect.Type) bindTexter {
	depth := 0
	for e := t; e.Kind() == reflect.Pointer || e.Kind() == reflect.Interface; e = e.Elem() {
		if depth++; depth > 4 || e.Kind() == reflect.Interface {
			return nil // it could point to itself
		}
	}
	own := b.texts[t.Elem()]
	if own == nil && t.Elem() != bindTime {
		own = bindMethodText(t)
		if own != nil {
			return func(v reflect.Value) (string, bool, error) {
				if v.IsNil() {
					return "", false, nil
				}
				return own(v)
			}
		}
	}
	inner := b.texter(t.Elem())
	if inner == nil {
		return nil
	}
	return func(v reflect.Value) (string, bool, error) {
		if v.IsNil() {
			return "", false, nil
		}
		return inner(v.Elem())
	}
}

// anyText is the text of what an interface holds, which is known only then.
func (b *binder) anyText(v reflect.Value) (string, bool, error) {
	if v.IsNil() {
		return "", false, nil
	}
	v = v.Elem()
	f := b.texter(v.Type())
	if f == nil {
		return "", false, fmt.Errorf("a %s is no single value", v.Type())
	}
	return f(v)
}

// bindTexts appends the texts of a value: none for nil, several for a slice.
type bindTexts func(dst []string, v reflect.Value) ([]string, error)

// textsOf gives how values of a type become texts, nil if they cannot; several says
// whether there may be more than one.
func (b *binder) textsOf(t reflect.Type) (texts bindTexts, several bool) {
	if one := b.texter(t); one != nil && t.Kind() != reflect.Interface {
		return func(dst []string, v reflect.Value) ([]string, error) {
			s, ok, err := one(v)
			if err != nil || !ok {
				return dst, err
			}
			return append(dst, s), nil
		}, false
	}
	switch t.Kind() {
	case reflect.Interface:
		return func(dst []string, v reflect.Value) ([]string, error) {
			if v.IsNil() {
				return dst, nil
			}
			f, _ := b.textsOf(v.Elem().Type())
			if f == nil {
				return dst, fmt.Errorf("a %s is no value, and no list of values", v.Elem().Type())
			}
			return f(dst, v.Elem())
		}, true
	case reflect.Slice, reflect.Array:
		one := b.texter(t.Elem())
		if one == nil {
			return nil, false
		}
		return func(dst []string, v reflect.Value) ([]string, error) {
			for i := range v.Len() {
				s, ok, err := one(v.Index(i))
				if err != nil {
					return dst, err
				}
				if ok {
					dst = append(dst, s)
				}
			}
			return dst, nil
		}, true
	}
	return nil, false
}

// pathValue gives how an argument becomes the value of a template's variable, and its
// kind, which is bindUndefined where only the call can tell; nil if it cannot.
func (b *binder) pathValue(t reflect.Type) (func(v reflect.Value) (bindValue, error), bindKind) {
	switch t.Kind() {
	case reflect.Interface:
		return func(v reflect.Value) (bindValue, error) {
			if v.IsNil() {
				return bindValue{}, nil
			}
			f, _ := b.pathValue(v.Elem().Type())
			if f == nil {
				return bindValue{}, fmt.Errorf("a %s is no value for a template", v.Elem().Type())
			}
			return f(v.Elem())
		}, bindUndefined
	case reflect.Map:
		if b.texter(t) == nil {
			return b.pathPairs(t), bindPairs
		}
	}
	if one := b.texter(t); one != nil {
		return func(v reflect.Value) (bindValue, error) {
			s, ok, err := one(v)
			if err != nil || !ok {
				return bindValue{}, err
			}
			return bindValue{kind: bindText, text: s}, nil
		}, bindText
	}
	texts, _ := b.textsOf(t)
	if texts == nil {
		return nil, bindUndefined
	}
	return func(v reflect.Value) (bindValue, error) {
		list, err := texts(nil, v)
		if err != nil || len(list) == 0 { // an empty list is no value (RFC 6570, section 2.3)
			return bindValue{}, err
		}
		return bindValue{kind: bindList, list: list}, nil
	}, bindList
}

// pathPairs is pathValue for a map. Pairs come in the order of their names.
func (b *binder) pathPairs(t reflect.Type) func(v reflect.Value) (bindValue, error) {
	one := b.texter(t.Elem())
	if one == nil || t.Key().Kind() != reflect.String {
		return nil
	}
	return func(v reflect.Value) (bindValue, error) {
		var pairs [][2]string
		for it := v.MapRange(); it.Next(); {
			s, ok, err := one(it.Value())
			if err != nil {
				return bindValue{}, err
			}
			if ok {
				pairs = append(pairs, [2]string{it.Key().String(), s})
			}
		}
		if len(pairs) == 0 {
			return bindValue{}, nil
		}
		slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		list := make([]string, 0, 2*len(pairs))
		for _, p := range pairs {
			list = append(list, p[0], p[1])
		}
		return bindValue{kind: bindPairs, list: list}, nil
	}
}

// bindNil reports whether v is nil.
func bindNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func:
		return v.IsNil()
	}
	return false
}

var errBindNoText = errors.New("is no text, number, bool, time or anything with a MarshalText or String method: BindText adds types")
