package parleytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// compare says in what a request differs from a recorded one. Bodies are looked at only
// where the rest fits.
func (c *Cassette) compare(r, got *Recording) []difference {
	var out []difference
	if r.Method != got.Method {
		out = append(out, difference{farMethod, fmt.Sprintf("the method is %s, was %s", cut(got.Method), cut(r.Method))})
	}
	if from, to := originOf(r.URL), originOf(got.URL); !c.cfg.IgnoreOrigin && !fits(from, to) {
		out = append(out, difference{farOrigin, fmt.Sprintf("the origin is %s, was %s", cut(to), cut(from))})
	}
	if from, to := pathOf(r.URL), pathOf(got.URL); !fits(from, to) {
		out = append(out, difference{farPath + segmentsApart(from, to), fmt.Sprintf("the path is %s, was %s", cut(to), cut(from))})
	}
	for _, text := range c.fieldsApart("parameter", r.URL.Query(), got.URL.Query()) {
		out = append(out, difference{farDetail, text})
	}
	for _, name := range c.cfg.MatchHeaders {
		if text := c.headerApart(name, r.RequestHeader, got.RequestHeader); text != "" {
			out = append(out, difference{farDetail, text})
		}
	}
	if len(out) > 0 || r.incomplete {
		return out
	}
	if text := c.bodyApart(r, got); text != "" {
		out = append(out, difference{farDetail, text})
	}
	return out
}

// fits reports whether a value is what was recorded, where what is hidden may be anything.
func fits(recorded, got string) bool {
	first, rest, found := strings.Cut(recorded, parley.Hidden)
	if !found {
		return recorded == got
	}
	if !strings.HasPrefix(got, first) {
		return false
	}
	got = got[len(first):]
	for {
		var part string
		part, rest, found = strings.Cut(rest, parley.Hidden)
		if !found {
			return strings.HasSuffix(got, part)
		}
		i := strings.Index(got, part)
		if i < 0 {
			return false
		}
		got = got[i+len(part):]
	}
}

func originOf(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + portOf(scheme, u.Port())
}

func pathOf(u *url.URL) string {
	if path := plainPath(u.EscapedPath()); path != "" {
		return path
	}
	return "/"
}

func (c *Cassette) ignores(name string) bool {
	return slices.ContainsFunc(c.cfg.IgnoreParams, func(s string) bool { return strings.EqualFold(s, name) })
}

// fieldsApart says in what the parameters of a query or the fields of a form differ, whose
// order makes no difference, but for that of values with one name.
func (c *Cassette) fieldsApart(kind string, recorded, got url.Values) []string {
	var out []string
	for _, name := range sortedKeys(recorded) {
		switch from, to := recorded[name], got[name]; {
		case c.ignores(name):
		case len(to) == 0:
			out = append(out, fmt.Sprintf("the %s %s is missing", kind, cut(name)))
		case len(from) != len(to):
			out = append(out, fmt.Sprintf("the %s %s is there %s, was %s", kind, cut(name), times(len(to)), times(len(from))))
		case c.hide.hides(name):
		case !slices.EqualFunc(from, to, fits):
			out = append(out, fmt.Sprintf("the %s %s is %s, was %s", kind, cut(name), quoted(strings.Join(to, ", ")), quoted(strings.Join(from, ", "))))
		}
	}
	for _, name := range sortedKeys(got) {
		if len(recorded[name]) == 0 && !c.ignores(name) {
			out = append(out, fmt.Sprintf("the %s %s was not there", kind, cut(name)))
		}
	}
	return out
}

func (c *Cassette) headerApart(name string, recorded, got http.Header) string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	from, to := recorded[name], got[name]
	if name == "Content-Type" { // a boundary is another each time
		wasType, was := mediaTypeOf(recorded)
		isType, is := mediaTypeOf(got)
		if was["boundary"] != "" && is["boundary"] != "" && wasType == isType {
			return ""
		}
	}
	switch {
	case slices.EqualFunc(from, to, fits):
		return ""
	case len(from) == 0:
		return "the header " + name + " was not there"
	case len(to) == 0:
		return "the header " + name + " is missing"
	}
	if c.cfg.Redaction.Header(http.Header{name: {"x"}}).Get(name) != "x" {
		return "the header " + name + " is another"
	}
	return fmt.Sprintf("the header %s is %s, was %s", name, quoted(strings.Join(to, ", ")), quoted(strings.Join(from, ", ")))
}

// bodyApart says in what the bodies differ.
func (c *Cassette) bodyApart(r, got *Recording) string {
	from, to := r.RequestBody, got.RequestBody
	switch {
	case c.cfg.Body == BodyIgnored, bytes.Equal(from, to):
		return ""
	case len(from) == 0:
		return "there was no body"
	case len(to) == 0:
		return "the body is missing"
	}
	if c.cfg.Body == BodyByType {
		wasType, wasParams := mediaTypeOf(r.RequestHeader)
		isType, isParams := mediaTypeOf(got.RequestHeader)
		if wasType != isType {
			return fmt.Sprintf("the type of the body is %s, was %s", quoted(isType), quoted(wasType))
		}
		if text, understood := c.contentApart(isType, content{from, wasParams}, content{to, isParams}); understood {
			return text
		}
	}
	if fits(string(from), string(to)) {
		return ""
	}
	return fmt.Sprintf("the body is %s, was %s", quoted(string(to)), quoted(string(from)))
}

// content is a body with the parameters of its media type.
type content struct {
	data   []byte
	params map[string]string
}

// contentApart compares bodies of a type that is understood.
func (c *Cassette) contentApart(mediaType string, recorded, got content) (text string, understood bool) {
	switch {
	case mediaType == "application/x-www-form-urlencoded":
		from, err := url.ParseQuery(string(recorded.data))
		if err != nil {
			return "", false
		}
		to, err := url.ParseQuery(string(got.data))
		if err != nil {
			return "", false
		}
		return strings.Join(c.fieldsApart("field", from, to), "; "), true
	case mediaType == "multipart/form-data":
		from, err := partsOf(recorded)
		if err != nil {
			return "", false
		}
		to, err := partsOf(got)
		if err != nil {
			return "", false
		}
		return c.partsApart(from, to), true
	case isJSON(recorded.data):
		from, err := decodeJSONs(recorded.data)
		if err != nil {
			return "", false
		}
		to, err := decodeJSONs(got.data)
		if err != nil {
			return "", false
		}
		if len(from) != len(to) {
			return fmt.Sprintf("the body has %d JSON values, had %d", len(to), len(from)), true
		}
		for i := range from {
			if text := c.jsonApart("", from[i], to[i]); text != "" {
				return "in the JSON " + text, true
			}
		}
		return "", true
	}
	return "", false
}

func mediaTypeOf(h http.Header) (mediaType string, params map[string]string) {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return h.Get("Content-Type"), nil
	}
	return mediaType, params
}

// isJSON reports whether a body may be JSON, whatever its type says.
func isJSON(body []byte) bool {
	start := bytes.TrimLeft(body, " \t\r\n\ufeff")
	return len(start) > 0 && (start[0] == '{' || start[0] == '[')
}

// decodeJSONs decodes any number of values, one after the other.
func decodeJSONs(b []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out []any
	for {
		var v any
		if err := d.Decode(&v); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// jsonApart names the first place in which a value differs from a recorded one.
func (c *Cassette) jsonApart(at string, recorded, got any) string {
	switch from := recorded.(type) {
	case map[string]any:
		if to, ok := got.(map[string]any); ok {
			return c.membersApart(at, from, to)
		}
	case []any:
		if to, ok := got.([]any); ok {
			if len(from) != len(to) {
				return fmt.Sprintf("%s has %d elements, had %d", place(at), len(to), len(from))
			}
			for i := range from {
				if text := c.jsonApart(fmt.Sprintf("%s[%d]", at, i), from[i], to[i]); text != "" {
					return text
				}
			}
			return ""
		}
	case string:
		if to, ok := got.(string); from == parley.Hidden || ok && fits(from, to) {
			return ""
		}
	default:
		if jsonApart(at, got, recorded, false) == "" {
			return ""
		}
	}
	return fmt.Sprintf("%s is %s, was %s", place(at), shownJSON(got), shownJSON(recorded))
}

func (c *Cassette) membersApart(at string, recorded, got map[string]any) string {
	for _, name := range sortedKeys(recorded) {
		if c.ignores(name) {
			continue
		}
		value, there := got[name]
		if !there {
			return place(at+"."+name) + " is missing"
		}
		if c.hide.hides(name) {
			continue
		}
		if text := c.jsonApart(at+"."+name, recorded[name], value); text != "" {
			return text
		}
	}
	for _, name := range sortedKeys(got) {
		if _, there := recorded[name]; !there && !c.ignores(name) {
			return place(at+"."+name) + " was not there"
		}
	}
	return ""
}

// part is one of a multipart form.
type part struct {
	name    string
	header  textproto.MIMEHeader
	content []byte
}

// partsOf takes a multipart form apart.
func partsOf(c content) ([]part, error) {
	r := multipart.NewReader(bytes.NewReader(c.data), c.params["boundary"])
	var out []part
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		out = append(out, part{p.FormName(), p.Header, data})
	}
}

func (c *Cassette) partsApart(recorded, got []part) string {
	recorded = slices.DeleteFunc(recorded, func(p part) bool { return c.ignores(p.name) })
	got = slices.DeleteFunc(got, func(p part) bool { return c.ignores(p.name) })
	if len(recorded) != len(got) {
		return fmt.Sprintf("the form has %d parts, had %d", len(got), len(recorded))
	}
	for i, from := range recorded {
		to := got[i]
		name := cut(from.name)
		switch {
		case from.name != to.name:
			return fmt.Sprintf("part %d of the form is %s, was %s", i+1, quoted(to.name), quoted(from.name))
		case !headersFit(from.header, to.header):
			return fmt.Sprintf("the head of part %s is %s, was %s", name, quoted(headText(to.header)), quoted(headText(from.header)))
		case c.hide.hides(from.name) || fits(string(from.content), string(to.content)):
		default:
			return fmt.Sprintf("part %s is %s, was %s", name, quoted(string(to.content)), quoted(string(from.content)))
		}
	}
	return ""
}

func headersFit(recorded, got textproto.MIMEHeader) bool {
	return fits(headText(recorded), headText(got))
}

// headText gives the head of a part, by name.
func headText(h textproto.MIMEHeader) string {
	var b strings.Builder
	for _, name := range sortedKeys(h) {
		for _, v := range h[name] {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	return b.String()
}
