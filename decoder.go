package parley

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-0474a412/parley/internal/charset"
)

// mediaDecoder is what WithDecoder adds.
type mediaDecoder struct {
	media   string // in lower case, perhaps with a wildcard
	decode  func(r io.Reader, v any) error
	request bool // said of one request
}

// decoderKey is the attribute under which a request carries its decoders.
type decoderKey struct{}

// WithDecoder says how bodies of a media type are decoded by [Response.Decode], and with
// it by [As] and [StatusError.Decode], in place of what parley does with them, if that is
// anything. mediaType is one type ("application/yaml"), all types with a suffix
// ("application/*+cbor", "*/*+yaml"), all of a kind ("image/*"), or all there are
// ("*/*"), which is also for answers that name none. Of several that fit, the request's
// wins over the session's, then the more exact, then the one that was given last. nil
// leaves such types to parley.
//
// decode reads from r, which holds the whole body without its content codings, and fills
// in v, which is what Decode was given; its failures are ErrDecoding. It is called by any
// number of goroutines at once. Of a *string and a *[]byte parley fills in the body itself,
// whatever its type.
func WithDecoder(mediaType string, decode func(r io.Reader, v any) error) Option {
	d := mediaDecoder{media: strings.ToLower(mediaType), decode: decode}
	return decoderOption{d}
}

type decoderOption struct{ d mediaDecoder }

func (o decoderOption) applyClient(c *clientConfig) error   { return o.add(&c.settings, false) }
func (o decoderOption) applyRequest(r *requestConfig) error { return o.add(&r.settings, true) }

func (o decoderOption) add(s *settings, request bool) error {
	if !validPattern(o.d.media) {
		return failed("WithDecoder: %q is no media type; application/yaml and application/*+cbor are", quoteBad(o.d.media, 64))
	}
	d := o.d
	d.request = request
	s.attrs = &attribute{decoderKey{}, &d, s.attrs}
	return nil
}

// validPattern reports whether s is a media type without parameters (RFC 9110, section
// 8.3.1), perhaps with wildcards.
func validPattern(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	if !ok || !httpguts.ValidHeaderFieldName(kind) || !httpguts.ValidHeaderFieldName(sub) {
		return false
	}
	anyKind, anySub := kind == "*", strings.HasPrefix(sub, "*")
	if sub != "*" {
		sub = strings.TrimPrefix(sub, "*+")
	}
	return (anyKind || !strings.Contains(kind, "*")) && (!anyKind || anySub) && sub != "" && (sub == "*" || !strings.Contains(sub, "*"))
}

// fits gives how exactly the decoder is for a media type in lower case; 0: not at all.
func (d *mediaDecoder) fits(media string) int {
	if d.media == media {
		return 4
	}
	if d.media == "*/*" {
		return 1
	}
	kind, sub, _ := strings.Cut(d.media, "/")
	ofKind, ofSub, _ := strings.Cut(media, "/")
	if kind != "*" && kind != ofKind {
		return 0
	}
	suffix, suffixed := strings.CutPrefix(sub, "*+")
	_, has, _ := cutLast(ofSub, "+")
	switch {
	case suffixed && has == suffix:
		return 3
	case sub == "*":
		return 2
	}
	return 0
}

// cutLast is strings.Cut at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// decoderFor gives what the request and its session say of a media type in lower case,
// nil for nothing.
func (a *attribute) decoderFor(media string) func(io.Reader, any) error {
	var best *mediaDecoder
	rank := 0
	for ; a != nil; a = a.next {
		d, ok := a.value.(*mediaDecoder)
		if !ok || a.key != (decoderKey{}) {
			continue
		}
		n := d.fits(media)
		if n > 0 && d.request {
			n += 10
		}
		if n > rank {
			best, rank = d, n
		}
	}
	if best == nil {
		return nil
	}
	return best.decode
}

// Decode decodes the body into v by its media type:
//
//   - what [WithDecoder] was given for
//   - JSON, also +json: see [Response.JSON]; also for an answer that names no type
//   - XML, also +xml: see [Response.XML]
//   - application/x-www-form-urlencoded, into a *[url.Values], *[Params],
//     *map[string]string (the first value of each name) or a pointer to a struct with
//     `url` tags, as [WithForm] takes them
//   - text, into an [encoding.TextUnmarshaler] or an *any, which becomes a string
//
// A *string gets the text of any answer ([Response.Text]), a *[]byte a copy of its
// content. A malformed body is ErrDecoding, and so is a type that v cannot be decoded
// from.
func (r *Response) Decode(v any) error {
	switch v := v.(type) {
	case *[]byte:
		b, err := r.Bytes()
		*v = bytes.Clone(b)
		return err
	case *string:
		s, err := r.Text()
		*v = s
		return err
	}
	media, _ := r.contentType()
	media = strings.ToLower(media)
	if r.Request != nil {
		if decode := r.Request.attrs.decoderFor(media); decode != nil {
			return r.decodeBy(decode, media, v)
		}
	}
	kind := charset.KindOf(media)
	switch {
	case media == "", kind == charset.JSON:
		return r.JSON(v)
	case kind == charset.XML:
		return r.XML(v)
	case media == "application/x-www-form-urlencoded":
		return r.form(v)
	case strings.HasPrefix(media, "text/"):
		if ok, err := r.textInto(v); ok {
			return err
		}
	}
	if _, err := r.Bytes(); err != nil {
		return err
	}
	return r.decodeError("", fmt.Errorf("no decoder for %q into %T; WithDecoder adds one", quoteBad(media, 64), v))
}

// decodeBy decodes by a function of the user's.
func (r *Response) decodeBy(decode func(io.Reader, any) error, media string, v any) error {
	content, err := r.Bytes()
	if err != nil {
		return err
	}
	if err := decode(bytes.NewReader(content), v); err != nil {
		return r.decodeError(quoteBad(media, 64), err)
	}
	return nil
}

// textInto fills in what can be made of a text; ok is false where v cannot.
func (r *Response) textInto(v any) (ok bool, err error) {
	into, unmarshals := v.(encoding.TextUnmarshaler)
	anything, is := v.(*any)
	if is && anything == nil || !unmarshals && !is {
		return false, nil
	}
	text, err := r.Text()
	switch {
	case err != nil:
		return true, err
	case is:
		*anything = text
		return true, nil
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return true, r.decodeError("as text", errors.New("a nil pointer cannot be decoded into"))
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		return true, r.decodeError("as text", err)
	}
	return true, nil
}

// form decodes a form into v.
func (r *Response) form(v any) error {
	content, err := r.Bytes()
	if err != nil {
		return err
	}
	fields, err := parseForm(string(content))
	if err == nil {
		err = fillForm(fields, v)
	}
	if err != nil {
		return r.decodeError("as a form", err)
	}
	return nil
}

// errorTypeKey is the attribute under which a request carries WithErrorType.
type errorTypeKey struct{}

// WithErrorType decodes the body of a 4xx or 5xx answer into an E, as
// [StatusError.Decode] does, which then is [StatusError].Cause and is found in the error by
// [errors.As]:
//
//	client, err := parley.New(parley.WithErrorType[*APIError]())
//	…
//	user, err := parley.As[User](client.Get(ctx, "users/1"))
//	if failure := (*APIError)(nil); errors.As(err, &failure) { … }
//
// A body that is no E leaves the StatusError as it is. WithErrorType[error] takes back
// what the session says.
func WithErrorType[E error]() Option {
	t := reflect.TypeFor[E]()
	decode := func(e *StatusError) error {
		var v E
		if t.Kind() == reflect.Pointer {
			v = reflect.New(t.Elem()).Interface().(E)
			if e.Decode(v) != nil {
				return nil
			}
			return v
		}
		if e.Decode(&v) != nil {
			return nil
		}
		return v
	}
	of := &errorType{t.String(), decode}
	if t.Kind() == reflect.Interface {
		of = nil
	}
	return option(func(s *settings) error {
		s.attrs = &attribute{errorTypeKey{}, of, s.attrs}
		return nil
	})
}

// errorType is what WithErrorType names.
type errorType struct {
	name   string
	decode func(*StatusError) error
}

// errorType gives what WithErrorType says, nil for nothing.
func (a *attribute) errorType() *errorType {
	of, _ := a.get(errorTypeKey{}).(*errorType)
	return of
}

// cause decodes the body of an error into the type that was given for it.
func (r *Response) cause(e *StatusError) error {
	if r.Request == nil {
		return nil
	}
	of := r.Request.attrs.errorType()
	if of == nil {
		return nil
	}
	return of.decode(e)
}

// explainDecoders tells how bodies are understood.
func (r *Request) explainDecoders(add func(name, value string, isDefault bool, same func(*clientConfig) bool)) {
	if forced := r.attrs.charset(); forced != nil {
		add("Charset", forced.Name(), false, func(p *clientConfig) bool { return p.attrs.charset() == forced })
	}
	for a := r.attrs; a != nil; a = a.next {
		if d, ok := a.value.(*mediaDecoder); ok && a.key == (decoderKey{}) {
			by := "as parley does"
			if d.decode != nil {
				by = funcName(d.decode)
			}
			add("Decoder of "+d.media, by, false, func(p *clientConfig) bool { return p.attrs.has(d) })
		}
	}
	if of := r.attrs.errorType(); of != nil {
		add("ErrorType", of.name, false, func(p *clientConfig) bool { return p.attrs.errorType() == of })
	}
}

// has reports whether d is in the list.
func (a *attribute) has(d *mediaDecoder) bool {
	for ; a != nil; a = a.next {
		if a.value == any(d) {
			return true
		}
	}
	return false
}
