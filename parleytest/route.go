package parleytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Route is what a [Mock] knows of some requests: which they are and how they are answered.
// Its methods give the route itself, so that they can be written one after the other:
//
//	mock.On("POST", "https://api.example.com/users").
//		WithHeader("Idempotency-Key").
//		WithJSON(map[string]any{"name": "Ann"}).
//		Reply(parleytest.JSON(201, user))
//
// They are safe for concurrent use, also with requests; but make a route before the first
// request that it is for.
type Route struct {
	mock    *Mock
	text    string // "GET https://api.example.com/users/{id}"
	at      string // where it was made: "users_test.go:12"
	method  string
	pattern *urlPattern

	// guarded by mock.mu
	conditions []condition
	answers    []http.Handler
	times      int // exactly; below 0: at least once
	optional   bool
	through    parley.Transport // nil: nothing passes through
	count      int
}

// condition is one thing that a route wants of a request.
type condition struct {
	reads bool               // the body
	apart func(*Call) string // says in what the request differs; "": in nothing
}

// body is a condition on the whole body.
func body(apart func([]byte) string) condition {
	return condition{true, func(c *Call) string {
		if c.Truncated {
			return fmt.Sprintf("the body is longer than %d bytes, which is as far as it is compared", MaxCallBytes)
		}
		return apart(c.Body)
	}}
}

func head(apart func(*Call) string) condition {
	return condition{false, apart}
}

func (r *Route) when(c condition) *Route {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	r.conditions = append(r.conditions, c)
	return r
}

// WithHeader wants a header with each of the values, or with any if none are given.
func (r *Route) WithHeader(name string, values ...string) *Route {
	return r.when(head(func(c *Call) string { return compareHeader(c.Header, name, values) }))
}

// WithoutHeader wants a header not to be there.
func (r *Route) WithoutHeader(name string) *Route {
	return r.when(head(func(c *Call) string {
		if len(c.Header.Values(name)) > 0 {
			return "the header " + name + " should not be there"
		}
		return ""
	}))
}

// WithQuery wants a parameter in the query with each of the values, or with any if none are
// given. Other parameters may be there beside it.
func (r *Route) WithQuery(key string, values ...string) *Route {
	return r.when(head(func(c *Call) string { return compareValues("the parameter "+key, c.URL.Query()[key], values) }))
}

// WithJSON wants a body that is the JSON which v becomes ([json.RawMessage] as it is):
// spaces, the order of members and the spelling of numbers make no difference.
func (r *Route) WithJSON(v any) *Route { r.mock.tb.Helper(); return r.json("WithJSON", v, false) }

// WithJSONPart is WithJSON for objects which may have more members than v has, at any depth.
func (r *Route) WithJSONPart(v any) *Route {
	r.mock.tb.Helper()
	return r.json("WithJSONPart", v, true)
}

func (r *Route) json(option string, v any, part bool) *Route {
	r.mock.tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		r.mock.tb.Fatalf("parleytest: %s(%T) of %s: %v", option, v, r.text, err)
	}
	want, err := decodeJSON(b)
	if err != nil {
		r.mock.tb.Fatalf("parleytest: %s(%T) of %s: %v", option, v, r.text, err)
	}
	return r.when(body(func(b []byte) string { return compareJSON(b, want, part) }))
}

// WithForm wants a body with these fields as application/x-www-form-urlencoded, in any order
// and with no others.
func (r *Route) WithForm(fields url.Values) *Route {
	return r.when(body(func(b []byte) string {
		got, err := url.ParseQuery(string(b))
		if err != nil {
			return fmt.Sprintf("the body is no form (%v): %s", err, quoted(string(b)))
		}
		for _, name := range sortedKeys(fields) {
			if text := compareValues("the field "+name, got[name], fields[name]); text != "" {
				return text
			}
		}
		for _, name := range sortedKeys(got) {
			if len(got[name]) != len(fields[name]) {
				return fmt.Sprintf("the field %s is there %s, should be %s", name, times(len(got[name])), times(len(fields[name])))
			}
		}
		return ""
	}))
}

// WithBody wants a body of exactly these bytes.
func (r *Route) WithBody(content string) *Route {
	return r.when(body(func(b []byte) string {
		if string(b) != content {
			return fmt.Sprintf("the body is %s, should be %s", quoted(string(b)), quoted(content))
		}
		return ""
	}))
}

// WithBodyContaining wants a body with this text in it.
func (r *Route) WithBodyContaining(text string) *Route {
	return r.when(body(func(b []byte) string {
		if !strings.Contains(string(b), text) {
			return fmt.Sprintf("the body has no %s in it: %s", quoted(text), quoted(string(b)))
		}
		return ""
	}))
}

// Matching wants whatever ok finds in order. what says that for messages, as in "an even
// number of items". ok gets the request with up to MaxCallBytes of its body, must not keep
// or change it, and may be called for requests that are not answered by this route, also by
// several goroutines at once.
func (r *Route) Matching(what string, ok func(*Call) bool) *Route {
	return r.when(condition{true, func(c *Call) string {
		if !ok(c) {
			return "it does not have: " + what
		}
		return ""
	}})
}

// Reply says how requests are answered: the first with the first answer, the next with the
// next, and all further ones with the last. With [Route.Times] they come to an end. Calling
// it again adds answers; without it requests are answered 200 without content.
//
// An answer is any [http.Handler]: those of this package ([JSON], [Text], [Status], [File],
// [Fail], …), each in [After] or [WithHeader] if need be, or one's own, which may use
// [http.Request.PathValue] for the placeholders and what net/http gives to a handler
// besides. It runs on a goroutine of its own: see [parley.NewHandlerTransport].
func (r *Route) Reply(answers ...http.Handler) *Route {
	r.mock.tb.Helper()
	for _, h := range answers {
		if h == nil {
			r.mock.tb.Fatalf("parleytest: Reply of %s: an answer is nil", r.text)
		}
	}
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	r.answers = append(r.answers, answers...)
	return r
}

// Times says how often the route is to be called: less is reported at the end of the test,
// and once it was called that often it fits no request any more, so that a later route may.
// With 0 it fits none, and only helps to explain. Without Times a route is to be called once
// at least.
func (r *Route) Times(n int) *Route {
	r.mock.tb.Helper()
	if n < 0 {
		r.mock.tb.Fatalf("parleytest: Times(%d) of %s: a number of calls is not negative", n, r.text)
	}
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	r.times = n
	return r
}

// Optional says that nothing is wrong if the route is called less often than it may be, or
// never.
func (r *Route) Optional() *Route {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	r.optional = true
	return r
}

// PassThrough sends requests on to another transport in place of an answer; with nil to the
// network, by a pool that ends with the test. Closing another transport is the caller's
// business.
func (r *Route) PassThrough(to parley.Transport) *Route {
	r.mock.tb.Helper()
	if to == nil {
		pool, err := parley.NewPool(parley.PoolConfig{})
		if err != nil {
			r.mock.tb.Fatalf("parleytest: PassThrough of %s: %v", r.text, err)
		}
		r.mock.tb.Cleanup(func() {
			if err := pool.Close(); err != nil {
				r.mock.tb.Errorf("parleytest: closing the pool of %s: %v", r.text, err)
			}
		})
		to = pool
	}
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	r.through = to
	return r
}

// Count is how many requests the route has taken.
func (r *Route) Count() int {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	return r.count
}

// Calls gives the requests that the route has taken, the oldest first, as far as they are
// remembered.
func (r *Route) Calls() []*Call {
	return r.mock.history.list(func(c *Call) bool { return c.route == r })
}

// String names method and pattern.
func (r *Route) String() string { return r.text }
