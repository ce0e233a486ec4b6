package parley

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/cookies"
)

// Cookies is the middleware that sends a jar's cookies and stores those of every
// answer, as a session does with its own jar. Cookies that the request has already stay,
// and of the same name win. A nil jar keeps no cookies.
func Cookies(jar http.CookieJar) Middleware {
	return func(next Transport) Transport {
		if isNilJar(jar) {
			return next
		}
		return newCookieLayer(next, jar)
	}
}

// isNilJar also tells a nil *Jar, which an interface hides.
func isNilJar(jar http.CookieJar) bool {
	own, ok := jar.(*Jar)
	return jar == nil || ok && own == nil
}

// cookieLayer sends the jar's cookies and stores those of every answer.
type cookieLayer struct {
	next    Transport
	own     *Jar           // the jar if it is parley's
	other   http.CookieJar // the jar if it is not
	without []string       // names that the session does not send
	none    bool           // it sends none
}

func newCookieLayer(next Transport, jar http.CookieJar) cookieLayer {
	if own, ok := jar.(*Jar); ok {
		return cookieLayer{next: next, own: own}
	}
	return cookieLayer{next: next, other: jar}
}

func (l cookieLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	if !l.none {
		req = l.addTo(req)
	}
	resp, err := l.next.Send(ctx, req)
	if err != nil || resp == nil {
		return nil, err
	}
	lines := resp.Header["Set-Cookie"]
	resp.stored = resp.stored || len(lines) > 0
	switch {
	case len(lines) == 0:
	case l.own != nil:
		l.own.receive(req.URL, lines)
	default:
		// Header values are slices of the whole head: a jar that keeps a cookie
		// must not keep that.
		kept := make([]string, len(lines))
		for i, line := range lines {
			kept[i] = strings.Clone(line)
		}
		l.other.SetCookies(req.URL, (&http.Response{Header: http.Header{"Set-Cookie": kept}}).Cookies())
	}
	return resp, nil
}

// addTo gives the request with the jar's cookies, or as it is where there are none.
// The URL says which, whatever the Host header says.
func (l cookieLayer) addTo(req *Request) *Request {
	var few [32]cookies.Pair
	pairs := few[:0]
	switch {
	case l.other != nil:
		pairs = l.ofOther(pairs, req)
	case !l.own.isEmpty():
		pairs = l.own.match(pairs, req.URL, l.query(req))
	}
	if len(pairs) == 0 || slices.Contains(req.omitted().headers, "Cookie") {
		return req
	}
	changed := *req
	changed.Header = cloneHeader(req.Header)
	changed.Header["Cookie"] = []string{joinCookies(pairs, req.Header["Cookie"])}
	changed.block = nil
	return &changed
}

// query leaves out what the request has itself, and what it does not want.
func (l cookieLayer) query(req *Request) cookies.Query {
	q := cookies.Query{Skip: [...][]string{l.without, req.omitted().cookies, nil}}
	if lines := req.Header["Cookie"]; len(lines) > 0 {
		q.Skip[2] = cookieNames(lines)
		for _, line := range lines {
			q.Used += len(line) + len("; ")
		}
	}
	return q
}

// ofOther asks a jar that is not parley's.
func (l cookieLayer) ofOther(pairs []cookies.Pair, req *Request) []cookies.Pair {
	list := l.other.Cookies(req.URL)
	if len(list) == 0 {
		return nil
	}
	q := l.query(req)
	for _, c := range list {
		if c == nil || q.Skips(c.Name) {
			continue
		}
		value := c.Value
		if c.Quoted {
			value = `"` + value + `"`
		}
		pairs = append(pairs, cookies.Pair{Name: c.Name, Value: value})
	}
	return pairs
}

// joinCookies writes the jar's cookies and then the request's own (RFC 6265bis,
// section 5.8.3).
func joinCookies(pairs []cookies.Pair, own []string) string {
	size := 0
	for _, p := range pairs {
		size += p.Size()
	}
	for _, line := range own {
		size += len(line) + len("; ")
	}
	var b strings.Builder
	b.Grow(size)
	for _, p := range pairs {
		p.Append(&b)
	}
	for _, line := range own {
		if line != "" {
			b.WriteString("; ")
			b.WriteString(line)
		}
	}
	return b.String()
}

// isEmpty reports, for the price of two loads, that there is nothing to send.
func (j *Jar) isEmpty() bool {
	core := j.core.Load()
	return core == nil || core.store.Empty()
}

func cookieNames(lines []string) []string {
	var names []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			names = append(names, name)
		}
	}
	return names
}
