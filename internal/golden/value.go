package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Fields are named values in the order of the case: headers, parameters or a form.
type Fields struct {
	Given  bool // there, and not null
	IsText bool // given as one text, not yet taken apart
	Text   string
	List   []Field
}

// Field is one named value. Value is nil (Python's None), bool, string, [json.Number], []any or [Object].
type Field struct {
	Name  string
	Value any
}

// Get returns the last value given under name, and whether there is one.
func (f Fields) Get(name string) (value any, ok bool) {
	for _, field := range f.List {
		if field.Name == name {
			value, ok = field.Value, true
		}
	}
	return value, ok
}

// UnmarshalJSON reads an object, a list of pairs, a text or null.
func (f *Fields) UnmarshalJSON(data []byte) error {
	v, err := decodeValue(data)
	if err != nil {
		return err
	}
	*f = Fields{Given: v != nil}
	switch v := v.(type) {
	case nil:
	case string:
		f.IsText, f.Text = true, v
	case Object:
		f.List = v
	case []any:
		for _, item := range v {
			pair, ok := item.([]any)
			if !ok || len(pair) != 2 {
				return fmt.Errorf("%v is no pair", item)
			}
			name, ok := pair[0].(string)
			if !ok {
				return fmt.Errorf("%v is no name", pair[0])
			}
			f.List = append(f.List, Field{Name: name, Value: pair[1]})
		}
	default:
		return fmt.Errorf("%T cannot hold fields", v)
	}
	return nil
}

// Object is a JSON object that keeps its order.
type Object []Field

// MarshalJSON writes the members in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(field.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// decodeValue reads one JSON value, keeping the order of objects and the text of numbers.
func decodeValue(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := nextValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func nextValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := nextValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		object := Object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			text, ok := name.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no member name", name)
			}
			v, err := nextValue(d)
			if err != nil {
				return nil, err
			}
			object = append(object, Field{Name: text, Value: v})
		}
		_, err := d.Token()
		return object, err
	}
	return token, nil
}
