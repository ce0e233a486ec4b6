package parleytest

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-0474a412/parley"
)

// Mock is a [parley.Transport] that answers requests by routes, in the same process. Use it
// in place of the network ([parley.WithTransport], or [Mock.Client] for a whole session),
// for some URLs of a session ([parley.WithMount]), or for code that takes an
// http.RoundTripper ([parley.AsRoundTripper]).
//
// Nothing goes to the network unless a route says [Route.PassThrough]. A request that fits
// no route fails with an error that matches [ErrUnexpected] and names the route that it
// misses by least, and in what it does. Those requests, routes that were called less often
// than they should be, and handlers that panicked are reported through [testing.TB] at the
// end of the test.
//
// Everything above a transport works as over a network: redirects, cookies, decoding, all
// timeouts but Pool and Connect, cancellation, trailers, upgrades. In a bubble of
// testing/synctest delays and timeouts take no time.
//
// A Mock is safe for concurrent use.
type Mock struct {
	tb      testing.TB
	history history
	panics  panics

	mu         sync.Mutex
	routes     []*Route
	unexpected []string // at most maxReports
	missed     int
}

// maxReports is how many reports of one kind are made of a test.
const maxReports = 10

// NewMock makes a mock without routes, for one test.
func NewMock(tb testing.TB) *Mock {
	tb.Helper()
	m := &Mock{tb: tb}
	tb.Cleanup(m.report)
	return m
}

// Client makes a session over the mock: [NewClient] with [parley.WithTransport].
func (m *Mock) Client(opts ...parley.ClientOption) *parley.Client {
	m.tb.Helper()
	return NewClient(m.tb, append([]parley.ClientOption{parley.WithTransport(m)}, opts...)...)
}

// On adds a route for a method, "*" for any, and the URLs of a pattern:
//
//	https://api.example.com/users        that URL, with any query
//	https://api.example.com/users?page=2 with at least these parameters
//	https://api.example.com/users/{id}   a segment in place of {id}: see Call.Values
//	https://*.example.com:*/files/*      any text in place of a star, slashes too; any port
//	all://api.example.com/               http and https; without a path the path is "/"
//	/users/{path...}                     on any origin; {path...} is the rest, slashes too
//	*                                    everything
//
// Without a port it is that of the scheme. Paths are compared as they are once their escapes
// are read; a slash at the end counts. [Route] has further conditions, and says what the
// answer is.
//
// Of several routes that fit the one that was made first takes the request, if it has not
// been called as often as it may be. A malformed pattern ends the test.
func (m *Mock) On(method, pattern string) *Route {
	m.tb.Helper()
	p, err := newPattern(pattern)
	if err != nil {
		m.tb.Fatalf("parleytest: the pattern %q: %v", pattern, err)
	}
	r := &Route{mock: m, text: method + " " + pattern, method: method, pattern: p, times: -1}
	if _, file, line, ok := runtime.Caller(1); ok {
		r.at = fmt.Sprintf("%s:%d", filepath.Base(file), line)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = append(m.routes, r)
	return r
}

// Calls gives the requests that were made, the oldest first, as far as they are remembered
// ([MaxCalls]); also those that fitted no route.
func (m *Mock) Calls() []*Call { return m.history.list(func(*Call) bool { return true }) }

// String counts the routes.
func (m *Mock) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("<Mock of %d routes>", len(m.routes))
}

// report says at the end of the test what did not happen, and what should not have.
func (m *Mock) report() {
	m.tb.Helper()
	m.panics.report(m.tb)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range m.unexpected {
		m.tb.Errorf("parleytest: unexpected request: %s", text)
	}
	if more := m.missed - len(m.unexpected); more > 0 {
		m.tb.Errorf("parleytest: and %d more unexpected requests", more)
	}
	for _, r := range m.routes {
		switch {
		case r.optional || r.count >= r.times && r.times >= 0 || r.times < 0 && r.count > 0:
		case r.times < 0:
			m.tb.Errorf("parleytest: %s (%s) was never called; say Optional if that is right", r.text, r.at)
		default:
			m.tb.Errorf("parleytest: %s (%s) was called %s, should be %s", r.text, r.at, times(r.count), times(r.times))
		}
	}
}

// choose finds the route for a request and says which call of it this is, from 1. read
// fetches the body, and is called if a route asks for that. An error that matches
// ErrUnexpected says that there is no route.
func (m *Mock) choose(c *Call, read func() error) (*Route, int, error) {
	m.mu.Lock()
	routes := m.routes[:len(m.routes):len(m.routes)]
	m.mu.Unlock()
	var misses []miss
	for _, r := range routes {
		differences, err := r.compare(c, read)
		switch {
		case err != nil:
			return nil, 0, err
		case len(differences) == 0:
			if n := r.take(); n > 0 {
				return r, n, nil
			}
			differences = []difference{{farSpent, r.spent()}}
		}
		misses = append(misses, miss{r.text + " (" + r.at + ")", differences})
	}
	return nil, 0, fmt.Errorf("%w: %s", ErrUnexpected, nearest(c, misses))
}

// passing finds the route of a request that is to pass through, and counts the call, if
// that can be told without the body.
func (m *Mock) passing(c *Call) *Route {
	m.mu.Lock()
	routes := m.routes[:len(m.routes):len(m.routes)]
	m.mu.Unlock()
	for _, r := range routes {
		differences, err := r.compare(c, func() error { return errBodyUnread })
		switch {
		case err != nil:
			return nil
		case len(differences) > 0 || r.isSpent():
		case r.passesTo() != nil && r.take() > 0:
			return r
		default:
			return nil
		}
	}
	return nil
}

// errBodyUnread says that a condition asks for the body.
var errBodyUnread = errors.New("the body has not been read")

// compare says in what a request differs from what the route wants. The body is looked at
// only where the rest fits.
func (r *Route) compare(c *Call, read func() error) ([]difference, error) {
	r.mock.mu.Lock()
	conditions := r.conditions[:len(r.conditions):len(r.conditions)]
	r.mock.mu.Unlock()
	var out []difference
	if r.method != "*" && r.method != c.Method {
		out = append(out, difference{farMethod, fmt.Sprintf("the method is %s, should be %s", cut(c.Method), r.method)})
	}
	out = append(out, r.pattern.compare(c.URL)...)
	reads := false
	for _, condition := range conditions {
		if reads = reads || condition.reads; condition.reads {
			continue
		}
		if text := condition.apart(c); text != "" {
			out = append(out, difference{farDetail, text})
		}
	}
	if len(out) > 0 || !reads {
		return out, nil
	}
	if err := read(); err != nil {
		return nil, err
	}
	seen := r.mock.history.copyOf(c)
	seen.Values = r.pattern.values(c.URL)
	for _, condition := range conditions {
		if !condition.reads {
			continue
		}
		if text := condition.apart(seen); text != "" {
			out = append(out, difference{farDetail, text})
		}
	}
	return out, nil
}

// take counts a call and gives its number, 0 if there may be no other.
func (r *Route) take() int {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	if r.times >= 0 && r.count >= r.times {
		return 0
	}
	r.count++
	return r.count
}

func (r *Route) isSpent() bool {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	return r.times >= 0 && r.count >= r.times
}

func (r *Route) passesTo() parley.Transport {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	return r.through
}

func (r *Route) spent() string {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	if r.times == 0 {
		return "it is never to be called (Times)"
	}
	return fmt.Sprintf("it has been called %s, as often as it may be (Times)", times(r.times))
}

// answer gives the handler for the nth call, from 1.
func (r *Route) answer(n int) http.Handler {
	r.mock.mu.Lock()
	defer r.mock.mu.Unlock()
	if len(r.answers) == 0 {
		return Status(http.StatusOK)
	}
	return r.answers[min(n, len(r.answers))-1]
}
