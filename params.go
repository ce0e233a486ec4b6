package parley

import (
	"encoding"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-querystring/query"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Param is one query parameter or form field.
type Param = urls.Param

// Params are parameters in the order in which they are to be sent.
type Params []Param

// QueryStyle says how added parameters write a space.
type QueryStyle = urls.Style

// The query styles.
const (
	QueryPlus    = urls.Plus    // a space as "+", as HTML forms do; the default
	QueryPercent = urls.Percent // a space as "%20"
)

// ParamsOf gives what [WithParams] and [WithForm] make of v, to be looked at, or joined
// with more before it is sent. Its error says what v should be.
func ParamsOf(v any) (Params, error) {
	params, err := paramsOf(v)
	return slices.Clone(params), err
}

// paramsOf flattens what WithParams and WithForm take: Params, url.Values, a map
// with string keys, or a struct with `url` tags. Maps are sent in the order of
// their keys. A nil value is left out, a slice repeats its key.
func paramsOf(v any) ([]Param, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case Params:
		return v, nil
	case url.Values:
		return fromLists(v), nil
	case map[string][]string:
		return fromLists(v), nil
	case map[string]string:
		out := make([]Param, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, Param{Key: k, Value: v[k]})
		}
		return out, nil
	}
	rv := reflect.ValueOf(v)
	if nestedOver(rv, maxParamDepth, "url") {
		return nil, failed("parameters from %T: nested more than %d deep, or contained in themselves", v, maxParamDepth)
	}
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil, nil
		}
		rv = rv.Elem()
	}
	switch {
	case rv.Kind() == reflect.Struct:
		values, err := query.Values(v)
		if err != nil {
			return nil, fmt.Errorf("%w: parameters from %T: %w", errInvalidOption, v, err)
		}
		return fromLists(values), nil
	case rv.Kind() == reflect.Map && rv.Type().Key().Kind() == reflect.String:
		return fromMap(rv)
	}
	return nil, fmt.Errorf("%w: parameters from %T: give Params, url.Values, a map with string keys or a struct with url tags", errInvalidOption, v)
}

// maxParamDepth bounds the nesting of what parameters and forms are made of. The
// encoders follow it without a limit of their own, also in circles.
const maxParamDepth = 32

// nestedOver reports whether there is a way of more than depth steps from v into
// its fields, elements and what they point to. Fields that are not exported, or
// that tag excludes by "-", do not count, nor does what encodes itself.
func nestedOver(v reflect.Value, depth int, tag string) bool {
	if depth < 0 {
		return true
	}
	if !v.IsValid() || slices.ContainsFunc(encoderTypes, v.Type().Implements) {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return nestedOver(v.Elem(), depth-1, tag)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if (f.IsExported() || f.Anonymous) && f.Tag.Get(tag) != "-" && nestedOver(v.Field(i), depth-1, tag) {
				return true
			}
		}
	case reflect.Map:
		if isScalar(v.Type().Elem()) {
			return false
		}
		for it := v.MapRange(); it.Next(); {
			if nestedOver(it.Value(), depth-1, tag) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if isScalar(v.Type().Elem()) {
			return false
		}
		for i := range v.Len() {
			if nestedOver(v.Index(i), depth-1, tag) {
				return true
			}
		}
	}
	return false
}

var encoderTypes = []reflect.Type{reflect.TypeFor[query.Encoder](), reflect.TypeFor[xml.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}

// isScalar reports whether values of t contain no others.
func isScalar(t reflect.Type) bool {
	return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String
}

func fromLists(v map[string][]string) []Param {
	out := make([]Param, 0, len(v))
	for _, k := range slices.Sorted(maps.Keys(v)) {
		for _, s := range v[k] {
			out = append(out, Param{Key: k, Value: s})
		}
	}
	return out
}

func fromMap(rv reflect.Value) ([]Param, error) {
	keys := rv.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	var out []Param
	for _, k := range keys {
		values, err := paramValues(rv.MapIndex(k).Interface())
		if err != nil {
			return nil, fmt.Errorf("%w: parameter %q: %w", errInvalidOption, k.String(), err)
		}
		for _, s := range values {
			out = append(out, Param{Key: k.String(), Value: s})
		}
	}
	return out, nil
}

// paramValues gives the texts of one value: none for nil, several for a slice.
func paramValues(v any) ([]string, error) {
	rv := reflect.ValueOf(v)
	if rv.IsValid() && (rv.Kind() == reflect.Slice || rv.Kind() == reflect.Array) && rv.Type().Elem().Kind() != reflect.Uint8 {
		var out []string
		for i := range rv.Len() {
			s, ok, err := paramText(rv.Index(i).Interface())
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, s)
			}
		}
		return out, nil
	}
	s, ok, err := paramText(v)
	if err != nil || !ok {
		return nil, err
	}
	return []string{s}, nil
}

// paramText gives the text of a scalar; ok is false for nil.
func paramText(v any) (text string, ok bool, err error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && rv.IsNil() {
		return "", false, nil // its methods may not be for a nil pointer
	}
	switch v := v.(type) {
	case nil:
		return "", false, nil
	case string:
		return v, true, nil
	case []byte:
		return string(v), true, nil
	case time.Time:
		return v.Format(time.RFC3339Nano), true, nil
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		return string(b), true, err
	case fmt.Stringer:
		return v.String(), true, nil
	}
	switch rv.Kind() {
	case reflect.Pointer:
		return paramText(rv.Elem().Interface())
	case reflect.String:
		return rv.String(), true, nil
	case reflect.Bool:
		return strconv.FormatBool(rv.Bool()), true, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(rv.Int(), 10), true, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(rv.Uint(), 10), true, nil
	case reflect.Float32, reflect.Float64:
		return floatText(rv.Float(), rv.Type().Bits()), true, nil
	}
	return "", false, fmt.Errorf("%T is no single value; flatten it first", v)
}

// floatText writes a number as JSON does: with an exponent only where the digits
// would be very many.
func floatText(f float64, bits int) string {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, bits)
}
