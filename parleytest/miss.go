package parleytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ErrUnexpected is matched by the error of a request for which a [Mock] has no route, or
// a [Cassette] no recording.
var ErrUnexpected = errors.New("unexpected request")

// difference is one point in which a request is not what a route wants.
type difference struct {
	far  int // how much it says against the route being meant
	text string
}

const (
	farDetail = 2 // a header, a parameter, the body
	farSpent  = 1 // it was called as often as it may be
	farMethod = 4
	farPath   = 4 // and one more for each segment
	farOrigin = 8
)

// nearest explains a request by the route that it misses by least.
func nearest(c *Call, misses []miss) string {
	what := c.Method + " " + withoutQuery(c)
	if len(misses) == 0 {
		return what + ": the mock has no routes; without one that says PassThrough nothing goes to the network"
	}
	return what + ": " + nearestOf("route", misses)
}

// nearestOf names the least of some misses, one at least, and what it consists of.
func nearestOf(kind string, misses []miss) string {
	best := slices.MinFunc(misses, func(a, b miss) int { return a.far() - b.far() })
	texts := make([]string, len(best.differences))
	for i, d := range best.differences {
		texts[i] = d.text
	}
	return fmt.Sprintf("the nearest %s is %s, but %s", kind, best.of, strings.Join(texts, "; "))
}

// miss is a route, or a recording, that a request does not fit.
type miss struct {
	of          string
	differences []difference
}

func (m miss) far() int {
	n := 0
	for _, d := range m.differences {
		n += d.far
	}
	return n
}

// withoutQuery is a URL for a message: there may be secrets in the query.
func withoutQuery(c *Call) string {
	u := *c.URL
	u.RawQuery, u.ForceQuery = "", false
	return cut(u.String())
}

// maxShown bounds a value in a message.
const maxShown = 120

func cut(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}

func quoted(s string) string { return strconv.Quote(cut(s)) }

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// compareValues says in what the values of a name differ from those wanted, each of which
// has to be among them; with none wanted any will do.
func compareValues(what string, got, want []string) string {
	if len(got) == 0 {
		return what + " is missing"
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			if isSecret(what) {
				return what + " is another"
			}
			return fmt.Sprintf("%s is %s, should be %s", what, quoted(strings.Join(got, ", ")), quoted(w))
		}
	}
	return ""
}

// isSecret reports whether a header or parameter is likely to bear a credential, which
// does not belong in messages.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "api_key", "signature"}, func(s string) bool {
		return strings.Contains(name, s)
	})
}

// compareJSON says in what a body differs from a JSON value. Where part is set, objects
// may have members beside those wanted.
func compareJSON(body []byte, want any, part bool) string {
	got, err := decodeJSON(body)
	if err != nil {
		return fmt.Sprintf("the body is no JSON (%v): %s", err, quoted(string(body)))
	}
	if text := jsonApart("", got, want, part); text != "" {
		return "in the JSON " + text
	}
	return ""
}

// decodeJSON decodes one value and nothing more, with numbers as they are written.
func decodeJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows the value")
	}
	return v, nil
}

// jsonApart names the first place in which two values differ.
func jsonApart(at string, got, want any, part bool) string {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			return objectsApart(at, got, want, part)
		}
	case []any:
		if got, ok := got.([]any); ok {
			if len(got) != len(want) {
				return fmt.Sprintf("%s has %d elements, should have %d", place(at), len(got), len(want))
			}
			for i := range want {
				if text := jsonApart(fmt.Sprintf("%s[%d]", at, i), got[i], want[i], part); text != "" {
					return text
				}
			}
			return ""
		}
	case json.Number:
		if got, ok := got.(json.Number); ok && sameNumber(got, want) {
			return ""
		}
	default:
		if _, composite := got.([]any); !composite {
			if _, composite = got.(map[string]any); !composite && got == want {
				return ""
			}
		}
	}
	if isSecret(at) {
		return place(at) + " is another"
	}
	return fmt.Sprintf("%s is %s, should be %s", place(at), shownJSON(got), shownJSON(want))
}

func objectsApart(at string, got, want map[string]any, part bool) string {
	for _, name := range sortedKeys(want) {
		value, there := got[name]
		if !there {
			return place(at+"."+name) + " is missing"
		}
		if text := jsonApart(at+"."+name, value, want[name], part); text != "" {
			return text
		}
	}
	for _, name := range sortedKeys(got) {
		if _, wanted := want[name]; !wanted && !part {
			return place(at+"."+name) + " should not be there"
		}
	}
	return ""
}

// sameNumber compares numbers by value, integers exactly.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if x, err := a.Int64(); err == nil {
		if y, err := b.Int64(); err == nil {
			return x == y
		}
	}
	x, errA := a.Float64()
	y, errB := b.Float64()
	return errA == nil && errB == nil && x == y
}

func place(at string) string {
	if at == "" {
		return "the value"
	}
	return cut(at)
}

func shownJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	return cut(string(b))
}

// compareHeader is compareValues for a header.
func compareHeader(h http.Header, name string, want []string) string {
	return compareValues("the header "+name, h.Values(name), want)
}
