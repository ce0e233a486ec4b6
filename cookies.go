package parley

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// newJar gives the jar of a session that was given none: RFC 6265 with the public
// suffix list.
func newJar() (http.CookieJar, error) {
	jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	if err != nil {
		return nil, err
	}
	return &lazyJar{jar: jar}, nil
}

// lazyJar spares the lookup until a first cookie has been stored.
type lazyJar struct {
	jar  http.CookieJar
	some atomic.Bool
}

func (j *lazyJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	if len(cookies) > 0 {
		j.jar.SetCookies(u, cookies)
		j.some.Store(true)
	}
}

func (j *lazyJar) Cookies(u *url.URL) []*http.Cookie {
	if !j.some.Load() {
		return nil
	}
	return j.jar.Cookies(u)
}

// cookieLayer sends the jar's cookies and stores those of every answer.
type cookieLayer struct {
	next    Transport
	jar     http.CookieJar
	without []string // names that the session does not send
	none    bool     // it sends none
}

func (l cookieLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	if cookies := l.jar.Cookies(req.URL); len(cookies) > 0 && !l.none {
		req = l.withCookies(req, cookies)
	}
	resp, err := l.next.Send(ctx, req)
	if err != nil {
		return nil, err
	}
	if lines := resp.Header["Set-Cookie"]; len(lines) > 0 {
		// Header values are slices of the whole head: a jar that keeps a cookie
		// must not keep that.
		own := make([]string, len(lines))
		for i, line := range lines {
			own[i] = strings.Clone(line)
		}
		l.jar.SetCookies(req.URL, (&http.Response{Header: http.Header{"Set-Cookie": own}}).Cookies())
	}
	return resp, nil
}

// withCookies joins the jar's cookies to those that the request has; of the same
// name the request's own is sent.
func (l cookieLayer) withCookies(req *Request, cookies []*http.Cookie) *Request {
	omitted := req.omitted()
	if slices.Contains(omitted.headers, "Cookie") {
		return req
	}
	leftOut := slices.Concat(cookieNames(req.Header["Cookie"]), omitted.cookies, l.without)
	add := make([]Param, 0, len(cookies))
	for _, c := range cookies {
		if !slices.Contains(leftOut, c.Name) {
			value := c.Value
			if c.Quoted {
				value = `"` + value + `"`
			}
			add = append(add, Param{Key: c.Name, Value: value})
		}
	}
	if len(add) == 0 {
		return req
	}
	changed := *req
	changed.Header = req.Header.Clone()
	changed.block = nil
	changed.addCookies(add)
	return &changed
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
