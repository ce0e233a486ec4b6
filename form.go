package parley

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// parseForm reads application/x-www-form-urlencoded (WHATWG URL, section 5.1), in its
// order. What is escaped badly is an error.
func parseForm(s string) (Params, error) {
	var out Params
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p := Param{}
		var err error
		if p.Key, err = url.QueryUnescape(name); err == nil {
			p.Value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, errors.New("a percent sign without two hexadecimal digits") // the value may be a secret
		}
		out = append(out, p)
	}
	return out, nil
}

// fillForm puts the fields of a form into v.
func fillForm(fields Params, v any) error {
	lists := make(url.Values, len(fields))
	for _, f := range fields {
		lists[f.Key] = append(lists[f.Key], f.Value)
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return fmt.Errorf("give a pointer, not %T", v)
	}
	switch v := v.(type) {
	case *Params:
		*v = fields
		return nil
	case *url.Values:
		*v = lists
		return nil
	case *map[string][]string:
		*v = lists
		return nil
	case *any:
		*v = lists
		return nil
	case *map[string]string:
		*v = make(map[string]string, len(lists))
		for name, values := range lists {
			(*v)[name] = values[0]
		}
		return nil
	}
	if rv = pointedTo(rv.Elem()); rv.Kind() != reflect.Struct {
		return fmt.Errorf("give a pointer to url.Values, Params, a map of strings or a struct, not %T", v)
	}
	return fillStruct(lists, rv)
}

// fillStruct sets the fields of a struct by their `url` tags, in the notation of
// github.com/google/go-querystring. What the form does not name stays as it is.
func fillStruct(lists url.Values, rv reflect.Value) error {
	for i := range rv.NumField() {
		f := rv.Type().Field(i)
		tag, tagged := f.Tag.Lookup("url")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			if err := fillStruct(lists, rv.Field(i)); err != nil {
				return err
			}
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		values, ok := lists[name]
		separator := ""
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "comma":
				separator = ","
			case "space":
				separator = " "
			case "semicolon":
				separator = ";"
			case "brackets":
				values, ok = lists[name+"[]"]
			}
		}
		if !ok {
			continue
		}
		if separator != "" && len(values) == 1 {
			values = strings.Split(values[0], separator)
		}
		if err := fillField(rv.Field(i), values, ","+options+","); err != nil {
			return fmt.Errorf("field %q: %w", quoteBad(name, 64), err)
		}
	}
	return nil
}

// fillField sets one field: a slice from all values, anything else from the first.
func fillField(rv reflect.Value, values []string, options string) error {
	rv = pointedTo(rv)
	if rv.Kind() != reflect.Slice || rv.Addr().Type().Implements(textUnmarshaler) {
		return fillValue(rv, values[0], options)
	}
	list := reflect.MakeSlice(rv.Type(), len(values), len(values))
	for i, text := range values {
		if err := fillValue(list.Index(i), text, options); err != nil {
			return err
		}
	}
	rv.Set(list)
	return nil
}

// pointedTo follows pointers, and makes what they point to.
func pointedTo(rv reflect.Value) reflect.Value {
	for ; rv.Kind() == reflect.Pointer; rv = rv.Elem() {
		if rv.IsNil() {
			rv.Set(reflect.New(rv.Type().Elem()))
		}
	}
	return rv
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// fillValue sets one value. Errors do not hold the text, which may be a secret.
func fillValue(rv reflect.Value, text, options string) error {
	rv = pointedTo(rv)
	if moment, is := rv.Addr().Interface().(*time.Time); is {
		if unit, ok := timeUnit(options); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("is no number of %s", unit)
			}
			*moment = unitTime(n, unit)
			return nil
		}
	}
	if into, ok := rv.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := into.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("is no %s", rv.Type())
		}
		return nil
	}
	var err error
	switch rv.Kind() {
	case reflect.String:
		rv.SetString(text)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		rv.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, rv.Type().Bits())
		rv.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 10, rv.Type().Bits())
		rv.SetUint(n)
	case reflect.Float32, reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, rv.Type().Bits())
		rv.SetFloat(x)
	default:
		return fmt.Errorf("a %s cannot be read from one value", rv.Type())
	}
	if err != nil {
		return fmt.Errorf("is no %s", rv.Type())
	}
	return nil
}

// timeUnit gives the unit of a time that is a number.
func timeUnit(options string) (unit string, ok bool) {
	for option, unit := range map[string]string{",unix,": "seconds", ",unixmilli,": "milliseconds", ",unixnano,": "nanoseconds"} {
		if strings.Contains(options, option) {
			return unit, true
		}
	}
	return "", false
}

func unitTime(n int64, unit string) time.Time {
	switch unit {
	case "seconds":
		return time.Unix(n, 0)
	case "milliseconds":
		return time.UnixMilli(n)
	}
	return time.Unix(0, n)
}
