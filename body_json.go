package parley

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// jsonEncoder encodes a value as JSON.
type jsonEncoder func(v any) ([]byte, error)

// encodeJSON is the encoder where no other is given: without HTML escaping, which is for
// JSON within a page and makes other bytes of the text, and without a newline.
func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// encode encodes v. The error names its type.
func (e jsonEncoder) encode(v any) ([]byte, error) {
	if e == nil {
		e = encodeJSON
	}
	b, err := e(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	return b, nil
}

// WithJSONEncoder lets f encode all that becomes JSON: [WithJSON], [FormJSON] and the
// values of [WithJSONLines]. nil is the default again: encoding/json without HTML
// escaping. What f gives is sent as it is. It may be called by several goroutines at
// once.
func WithJSONEncoder(f func(v any) ([]byte, error)) Option {
	return option(func(s *settings) error {
		if f == nil {
			f = encodeJSON
		}
		s.conduct.sending.encode = f
		return nil
	})
}

// JSONBody gives v encoded as JSON by encoding/json, without a newline at its end and
// without HTML escaping. The error names the type of a value that cannot be encoded.
func JSONBody(v any) (Body, error) {
	return jsonEncoder(nil).body(v)
}

func (e jsonEncoder) body(v any) (Body, error) {
	b, err := e.encode(v)
	if err != nil {
		return nil, err
	}
	return &bytesBody{b, "application/json"}, nil
}

// WithJSON sends v as JSON, with the content type application/json. It is encoded when
// the request is made, by the encoder that holds for it: see [WithJSONEncoder]. A value
// that cannot be encoded fails the call before anything is sent, with an error that names
// its type.
func WithJSON(v any) RequestOption { return WithBody(&jsonValue{value: v}) }

// unsettled is a body that is made together with its request, as the settings of that
// say.
type unsettled interface {
	settle(how *conduct) (Body, error)
}

// settled gives a body as the settings say.
func settled(b Body, how *conduct) (Body, error) {
	if u, ok := b.(unsettled); ok {
		return u.settle(how)
	}
	return b, nil
}

// jsonValue is a value that will be JSON. Outside of a request it is encoded by the
// default.
type jsonValue struct {
	value any

	once  sync.Once
	plain Body // nil: err
	err   error
}

func (b *jsonValue) settle(how *conduct) (Body, error) { return how.encoder().body(b.value) }

func (b *jsonValue) body() (Body, error) {
	b.once.Do(func() { b.plain, b.err = JSONBody(b.value) })
	return b.plain, b.err
}

func (b *jsonValue) Size() int64 {
	if body, err := b.body(); err == nil {
		return body.Size()
	}
	return -1
}

func (b *jsonValue) ContentType() string { return "application/json" }
func (b *jsonValue) Replayable() bool    { return true }
func (b *jsonValue) Open() (io.ReadCloser, error) {
	body, err := b.body()
	if err != nil {
		return nil, err
	}
	return body.Open()
}

// Format names the type of the value for all verbs.
func (b *jsonValue) Format(s fmt.State, verb rune) {
	printSafe(s, verb, fmt.Sprintf("<Body of a %T as JSON>", b.value))
}
