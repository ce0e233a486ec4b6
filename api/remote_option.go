package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/seed-0474a412/parley"
)

// wrapperOption is a setting of a wrapper that stands among the options of requests. C is
// the settings of the wrapper that it belongs to. A request itself takes it for nothing.
type wrapperOption[C any] struct {
	parley.RequestOption
	name  string
	apply func(*C)
}

func newWrapperOption[C any](name string, apply func(*C)) parley.RequestOption {
	return wrapperOption[C]{parley.WithOptions(), name, apply}
}

func (o wrapperOption[C]) optionName() string { return o.name }

// splitOptions applies to how what is said of the wrapper, and gives the rest. One that
// belongs to another wrapper is an error.
func splitOptions[C any](opts []parley.RequestOption, how *C) (rest []parley.RequestOption, err error) {
	for _, o := range opts {
		switch own := o.(type) {
		case wrapperOption[C]:
			own.apply(how)
		case interface{ optionName() string }:
			err = errors.Join(err, fmt.Errorf("%s is not for this wrapper", own.optionName()))
		default:
			rest = append(rest, o)
		}
	}
	return rest, err
}

// remoteConfig is what options say of a Remote. Its lists and maps are never changed.
type remoteConfig struct {
	fields map[string]any
	suffix string
	open   []func(json.RawMessage) (json.RawMessage, error)
	err    error // what was wrong with an option
}

func (how *remoteConfig) fail(err error) { how.err = errors.Join(how.err, err) }

// WithDefaultFields has every call of a [Remote] send these fields beside its own: the
// members of a map with string keys, or of a struct by its json tags. They are merged by
// name at the top level of the object alone: a call's own field replaces a default, also
// by null, and an object within is replaced as a whole. Of several WithDefaultFields the
// later one wins in the same way, so that one given to a call wins over the Remote's.
//
// A token among them is content, not a credential of the session: a redirect with status 307
// or 308 takes it along wherever it leads, unless [parley.WithRedirectPolicy] forbids that.
func WithDefaultFields(fields any) parley.RequestOption {
	more, err := fieldsOf(fields)
	return newWrapperOption("WithDefaultFields", func(how *remoteConfig) {
		if err != nil {
			how.fail(fmt.Errorf("WithDefaultFields: %w", err))
			return
		}
		how.fields = mergedFields(how.fields, more)
	})
}

// WithoutDefaultField leaves out a default of a [Remote], for one call or for a Remote
// made by [Remote.With].
func WithoutDefaultField(name string) parley.RequestOption {
	return newWrapperOption("WithoutDefaultField", func(how *remoteConfig) {
		how.fields = maps.Clone(how.fields)
		delete(how.fields, name)
	})
}

// WithResultCheck has every answer of a [Remote] looked at, for APIs that tell of their
// failures in an answer with status 200:
//
//	api.WithResultCheck(func(s struct{ OK bool; Error string }) error {
//		if !s.OK {
//			return &SlackError{s.Error}
//		}
//		return nil
//	})
//
// Each answer is decoded into an S beside what the call decodes it into. An error of check
// is that of the call, and found in it by [errors.As]; an answer that is no S is
// parley.ErrDecoding. Checks and envelopes are used in the order in which they were given.
// check is called by several goroutines at once.
func WithResultCheck[S any](check func(S) error) parley.RequestOption {
	return withOpening("WithResultCheck", func(answer json.RawMessage) (json.RawMessage, error) {
		var s S
		if err := json.Unmarshal(answer, &s); err != nil {
			return nil, fmt.Errorf("%w as %T: %w", parley.ErrDecoding, s, err)
		}
		return answer, check(s)
	})
}

// WithEnvelope has every answer of a [Remote] opened: it is decoded into an E, and what
// open gives of it is the result of the call, or its error. It is for APIs that put their
// results into an object such as {"ok": true, "result": …}. A result of nil is none: the
// call gives a zero value. For the rest see [WithResultCheck].
func WithEnvelope[E any](open func(E) (json.RawMessage, error)) parley.RequestOption {
	return withOpening("WithEnvelope", func(answer json.RawMessage) (json.RawMessage, error) {
		var e E
		if err := json.Unmarshal(answer, &e); err != nil {
			return nil, fmt.Errorf("%w as %T: %w", parley.ErrDecoding, e, err)
		}
		return open(e)
	})
}

func withOpening(name string, open func(json.RawMessage) (json.RawMessage, error)) parley.RequestOption {
	return newWrapperOption(name, func(how *remoteConfig) {
		how.open = append(how.open[:len(how.open):len(how.open)], open)
	})
}

// WithMethodSuffix ends the path of every call of a [Remote] with suffix, such as "/" or
// ".json".
func WithMethodSuffix(suffix string) parley.RequestOption {
	return newWrapperOption("WithMethodSuffix", func(how *remoteConfig) { how.suffix = suffix })
}

// mergedFields gives the members of both, the later winning, and leaves both as they are.
func mergedFields(fields, later map[string]any) map[string]any {
	merged := make(map[string]any, len(fields)+len(later))
	maps.Copy(merged, fields)
	maps.Copy(merged, later)
	return merged
}

// fieldsOf gives the members of an object. Values of a map[string]any stay as they are,
// for the session's encoder.
func fieldsOf(v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return maps.Clone(v), nil
	}
	return jsonMembers(v)
}
