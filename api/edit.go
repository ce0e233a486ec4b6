package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley"
)

// EditPolicy says how [Edit] works. Zero fields mean the defaults.
type EditPolicy struct {
	// MaxTries is how often a change is tried where somebody else was faster. Default 5
	// ([DefaultEditTries]).
	MaxTries int
	// Unconditional puts the change also where the server gives nothing by which it could
	// tell that somebody else was faster, whose change is lost then.
	Unconditional bool
}

// DefaultEditTries is the default of [EditPolicy].MaxTries.
const DefaultEditTries = 5

// editKey is the attribute under which a request carries its policy.
type editKey struct{}

// WithEditPolicy says how [Edit] works.
func WithEditPolicy(p EditPolicy) parley.Option { return parley.WithAttribute(editKey{}, p) }

// ErrNoValidator is what [Edit] ends with where a server gives neither a strong entity tag
// nor a date of the last change, so that a PUT could undo what somebody else has changed
// meanwhile, and nobody would notice. See [EditPolicy].Unconditional.
var ErrNoValidator = errors.New("the answer has neither a strong ETag nor Last-Modified to make the change depend on; EditPolicy.Unconditional puts it all the same")

// Edit changes JSON: it gets the resource, lets change work on it and puts it back, under
// the condition that it is still what it was. If it is not (412), all is done again, with
// what the resource is then; after the last try the 412 is the error. change may therefore
// be called several times, each time with a new T; an error of its own ends Edit, before
// anything is put, and is returned as it is. Edit gives the T that was put.
//
// The condition is If-Match with the entity tag, or, where there is none or only a weak one,
// which cannot serve (RFC 9110, section 13.1.1), If-Unmodified-Since, which does not see
// changes within one second. Without either it is [ErrNoValidator].
//
// A PUT that was sent again, as the answer to it was lost on the way, meets the 412 of its own
// first sending, and the change is made once more. Where that matters change has to see by the
// T whether it has been made.
//
// What T has no place for is not put back: if it does not know all fields of the resource,
// use a map[string]any or [json.RawMessage] for the rest. A number that becomes an any is a
// [json.Number], as a float64 would change large ones. opts are for both requests.
func Edit[T any](ctx context.Context, r *Resource, change func(*T) error, opts ...parley.RequestOption) (T, error) {
	var none T
	if change == nil {
		return none, r.failed(errors.New("Edit needs a function that changes what was got")).unsent(http.MethodGet, opts)
	}
	for try := 1; ; try++ {
		// A tag of what was coded on the way is not that of the resource for many servers.
		got, err := r.Request(ctx, http.MethodGet, append([]parley.RequestOption{parley.WithDecompression(false)}, opts...)...)
		if err != nil {
			return none, err
		}
		policy, _ := got.Request.Attribute(editKey{}).(EditPolicy)
		condition, err := policy.condition(got)
		if err != nil {
			return none, err
		}
		v, err := editable[T](got)
		if err != nil {
			return none, err
		}
		if err := change(&v); err != nil {
			return none, err
		}
		put := append(opts[:len(opts):len(opts)], parley.WithJSON(v))
		if condition != nil {
			put = append(put, condition)
		}
		_, err = r.Request(ctx, http.MethodPut, put...)
		if err == nil {
			return v, nil
		}
		var status *parley.StatusError
		if !errors.As(err, &status) || status.StatusCode != http.StatusPreconditionFailed {
			return none, err
		}
		if try >= policy.tries() {
			return none, fmt.Errorf("api: somebody else was faster in each of %d tries: %w", try, err)
		}
	}
}

func (p EditPolicy) tries() int {
	if p.MaxTries <= 0 {
		return DefaultEditTries
	}
	return p.MaxTries
}

// condition gives the header that makes a PUT depend on what was got; nil for none.
func (p EditPolicy) condition(got *parley.Response) (parley.RequestOption, error) {
	if tag := got.Header.Get("ETag"); isStrongTag(tag) {
		return parley.WithHeader("If-Match", tag), nil
	}
	if date := got.Header.Get("Last-Modified"); date != "" {
		if _, err := http.ParseTime(date); err == nil {
			return parley.WithHeader("If-Unmodified-Since", date), nil
		}
	}
	if p.Unconditional {
		return nil, nil
	}
	return nil, answerError("edit", got, ErrNoValidator)
}

// isStrongTag reports whether s is a strong entity tag (RFC 9110, section 8.8.3).
func isStrongTag(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	return !strings.ContainsFunc(s[1:len(s)-1], func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f })
}

// editable decodes JSON so that what is encoded again is the same.
func editable[T any](got *parley.Response) (T, error) {
	var v T
	if media := mediaOf(got); media != "" && !isJSON(media) {
		return v, answerError("edit", got, fmt.Errorf("%w: Edit is for JSON, not for %.64q", parley.ErrDecoding, media))
	}
	var raw json.RawMessage
	if err := got.JSON(&raw); err != nil {
		return v, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, answerError("edit", got, fmt.Errorf("%w: %w", parley.ErrDecoding, err))
	}
	return v, nil
}
