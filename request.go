package parley

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Request is a request ready to be sent: session and request values have been
// merged into it. Make one with [Client.NewRequest] or [NewRequest].
//
// Its fields may be changed until it is sent. Sending does not change it, so that
// it can be sent again, also by several goroutines at once, if its body can. The
// Request of a response must be treated as read-only: parts of it may be shared
// with the session.
type Request struct {
	// Method is a token; it is written as it is.
	Method string
	// URL is absolute and bears no user information.
	URL *url.URL
	// Header holds the headers to send, without those that frame the message:
	// Content-Length and Transfer-Encoding follow from the body. A Content-Length
	// here gives the length of a body whose size is not known and must agree with
	// one that is; "Transfer-Encoding: chunked" sends any body in chunks; Host is
	// taken for [Request.Host]; "Connection: close" closes the connection
	// afterwards. "Expect: 100-continue" waits for the server before the body goes.
	Header http.Header
	// Body is the content; nil for none. Its content type goes along where it was
	// given by an option; who sets this field sets the header too.
	Body Body

	Host            string        // Host header where it is not the URL's
	Target          string        // request target where it is not the URL's
	Timeouts        Timeouts      // zero fields: the defaults
	ExpectTimeout   time.Duration // see WithExpectTimeout; 0: the default
	HeaderOrder     []string      // see WithHeaderOrder
	Trailers        []Trailer     // sent after the body, in chunks
	MaxBodyBytes    int64         // bound of the response's decoded body; 0 or less: none
	Auth            Auth          // see WithAuth; nil: the session's
	TLSConfig       *tls.Config   // see WithTLSConfig; nil: the defaults
	Proxy           *Proxy        // see WithProxy; nil: a session's or the environment's choice, else none
	OnInformational func(status int, header http.Header)

	security     *security // nil: nothing is said
	attrs        *attribute
	block        *headerBlock // encoded form of Header, valid while Header is the block's own
	call         *callRecord
	conduct      *conduct   // nil: the default
	without      *omissions // nil: none
	merged       bool       // a session has merged its values in
	settled      bool       // its header is what a session made of it
	foreign      bool       // goes to an origin that the session's values must not go to
	decode       bool       // Accept-Encoding is parley's own: answers are decoded
	rawResponses choice     // see WithDecompression: bodies as they came
}

// Trailer is a header field that follows the body. Value is called once the body
// has been sent.
type Trailer struct {
	Name  string
	Value func() string
}

// omissions are names that a session must not add to a request. They are not
// changed once they are a request's.
type omissions struct{ headers, params, cookies []string }

// omit adds names to those that a session must not add.
func (r *Request) omit(headers, params, cookies []string) {
	if len(headers)+len(params)+len(cookies) == 0 {
		return
	}
	old := r.omitted()
	r.without = &omissions{
		headers: slices.Concat(old.headers, headers),
		params:  slices.Concat(old.params, params),
		cookies: slices.Concat(old.cookies, cookies),
	}
}

func (r *Request) omitted() omissions {
	if r.without == nil {
		return omissions{}
	}
	return *r.without
}

// headerBlock is a header with its encoded form, made once for a session. encoded
// is nil for a header that says something about each message.
type headerBlock struct {
	header  http.Header
	encoded []byte
	http2   http.Header // as HTTP/2 sends it; not for one that is not encoded
}

// NewRequest makes a request without a session: url must be absolute, and only
// what the options say is in it. A session that sends it adds its own values.
func NewRequest(method, url string, opts ...RequestOption) (*Request, error) {
	var rc requestConfig
	req := &Request{Method: normalMethod(method), Header: make(http.Header)}
	if err := applyAll(opts, &rc); err != nil {
		return nil, buildError(req.Method, targetOf(nil, url), err)
	}
	ref, err := expandPath(url, nil, rc.path)
	if err != nil {
		return nil, buildError(req.Method, targetOf(nil, url), err)
	}
	if ref != url {
		req.attrs = &attribute{key: routeKey{}, value: routeOf(nil, url)}
	}
	if req.URL, err = parseURL(ref); err != nil {
		return nil, buildError(req.Method, nil, err)
	}
	user := req.takeUser()
	if err := req.apply(&rc, nil); err != nil {
		return nil, buildError(req.Method, req.URL, err)
	}
	if req.Auth == nil && req.Header["Authorization"] == nil {
		if req.Auth, err = userAuth(user); err != nil {
			return nil, buildError(req.Method, req.URL, err)
		}
	}
	return req, nil
}

// With gives a changed copy, for middleware that must not modify the request it
// was given. WithPath has no meaning here and is an error.
func (r *Request) With(opts ...RequestOption) (*Request, error) {
	var rc requestConfig
	if err := applyAll(opts, &rc); err != nil {
		return nil, buildError(r.Method, r.URL, err)
	}
	if rc.path != nil {
		return nil, buildError(r.Method, r.URL, failed("WithPath: the URL has been built already"))
	}
	c := r.Clone()
	for _, p := range rc.params {
		rc.removedParams = append(rc.removedParams, p.Key)
	}
	switch { // who asks is said by the last word, whatever its form
	case rc.auth != nil:
		delete(c.Header, "Authorization")
	case rc.header["Authorization"] != nil:
		c.Auth = nil
	case slices.Contains(rc.removed, "Authorization"):
		c.Auth = noAuth{}
	}
	if err := c.apply(&rc, nil); err != nil {
		return nil, buildError(r.Method, r.URL, err)
	}
	return c, nil
}

// Clone gives a copy whose URL, header and lists may be changed freely. The body
// is shared.
func (r *Request) Clone() *Request {
	c := *r
	if r.URL != nil {
		u := *r.URL
		c.URL = &u
	}
	c.Header = r.Header.Clone()
	if c.Header == nil {
		c.Header = make(http.Header)
	}
	c.block = nil
	c.HeaderOrder = slices.Clone(r.HeaderOrder)
	c.Trailers = slices.Clone(r.Trailers)
	return &c
}

// Attribute gives the value that was attached for key with [WithAttribute], the
// request's before the session's; nil if there is none.
func (r *Request) Attribute(key any) any {
	return r.attrs.get(key)
}

// apply puts one layer of values over those that the request has. Its Header and
// URL must be its own. session, if not nil, has the parameters and cookies that
// the layer is merged with.
func (r *Request) apply(rc *requestConfig, session *settings) error {
	s := &rc.settings
	for _, name := range s.removed {
		delete(r.Header, name)
	}
	r.omit(s.removed, s.removedParams, s.removedCookie)
	maps.Copy(r.Header, s.header)
	if s.header["Accept-Encoding"] != nil || slices.Contains(s.removed, "Accept-Encoding") {
		r.decode = false
	}
	if len(s.removedParams) > 0 {
		r.URL.RawQuery = urls.RemoveKeys(r.URL.RawQuery, s.removedParams...)
	}
	params, cookies, style := s.params, s.cookies, s.style
	if session != nil {
		params = urls.MergeParams(session.paramsFor(r), params)
		cookies = urls.MergeParams(session.cookiesFor(r), cookies)
		if !s.styled {
			style = session.style
		}
	}
	r.addParams(params, style)
	r.addCookies(cookies)
	r.applyScalars(s)
	r.attrs = joinAttributes(s.attrs, r.attrs)
	r.askPlainParts()
	r.addKey()
	return r.applyOwn(rc)
}

// paramsFor gives the session's parameters for a request: those whose key the URL
// does not have already and that were not removed.
func (s *settings) paramsFor(r *Request) []Param {
	omitted := r.omitted().params
	drop := func(p Param) bool {
		return slices.Contains(omitted, p.Key) || r.URL.RawQuery != "" && urls.HasKey(r.URL.RawQuery, p.Key)
	}
	if !slices.ContainsFunc(s.params, drop) {
		return s.params
	}
	return slices.DeleteFunc(slices.Clone(s.params), drop)
}

// cookiesFor gives the session's option cookies for a request, without those that
// were removed.
func (s *settings) cookiesFor(r *Request) []Param {
	omitted := r.omitted()
	switch {
	case slices.Contains(omitted.headers, "Cookie"):
		return nil
	case len(s.cookies) == 0 || len(omitted.cookies) == 0:
		return s.cookies
	}
	return slices.DeleteFunc(slices.Clone(s.cookies), func(p Param) bool { return slices.Contains(omitted.cookies, p.Key) })
}

// applyScalars takes over those settings where the later word simply wins.
func (r *Request) applyScalars(s *settings) {
	r.Timeouts = s.timeouts.over(r.Timeouts)
	if s.expect != 0 {
		r.ExpectTimeout = s.expect
	}
	if s.order != nil {
		r.HeaderOrder = slices.Clone(s.order)
	}
	r.applySecurity(s)
	r.Proxy = s.proxy.over(r.Proxy)
	if s.maxBody != 0 {
		r.MaxBodyBytes = s.maxBody
	}
	if s.raw != unsaid {
		r.setRaw(s.raw)
	}
	if s.auth != nil {
		r.Auth = s.auth
	}
	if s.conduct.said() {
		s.conduct.bound = s.conduct.dialer != nil || s.conduct.way.get().socket != ""
		r.conduct = s.conduct.over(r.conduct)
	}
	if s.inform != nil {
		r.OnInformational = s.inform
	}
}

func (r *Request) setRaw(raw choice) {
	r.rawResponses = raw
	if raw == yes && r.decode {
		r.decode = false
		delete(r.Header, "Accept-Encoding")
	}
}

// askPlainParts asks for no coding of a range: a part of a coded body is of no use,
// since it cannot be decoded.
func (r *Request) askPlainParts() {
	if r.decode && r.Header["Range"] != nil {
		r.decode = false
		delete(r.Header, "Accept-Encoding")
	}
}

// applyOwn takes over what only a request has.
func (r *Request) applyOwn(rc *requestConfig) error {
	r.uncompress(rc)
	if rc.body != nil {
		body, err := settled(rc.body, r.conduct)
		if err != nil {
			return err
		}
		r.Body = body
		if typ := body.ContentType(); typ != "" && rc.header["Content-Type"] == nil && !slices.Contains(r.omitted().headers, "Content-Type") {
			if err := h1.CheckField("Content-Type", typ); err != nil {
				return because(ErrInvalidHeader, err)
			}
			r.Header["Content-Type"] = []string{typ}
		}
	}
	if given := rc.header["Content-Type"]; given != nil {
		if m, ok := r.Body.(*multipartBody); ok {
			body, typ, err := m.accordingTo(given)
			if err != nil {
				return err
			}
			r.Body, r.Header["Content-Type"] = body, typ
		}
	}
	if err := r.compress(); err != nil {
		return err
	}
	if rc.host != "" {
		r.Host = rc.host
	}
	if rc.target != "" {
		r.Target = rc.target
	}
	r.Trailers = append(slices.Clip(r.Trailers), rc.trailers...)
	return nil
}

func (r *Request) addParams(params []Param, style QueryStyle) {
	if len(params) > 0 {
		r.URL.RawQuery = urls.AppendQuery(r.URL.RawQuery, params, style)
		r.URL.ForceQuery = false
	}
}

// addCookies joins cookies to the Cookie header (RFC 6265, section 5.4).
func (r *Request) addCookies(cookies []Param) {
	if len(cookies) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString(strings.Join(r.Header["Cookie"], "; "))
	for _, c := range cookies {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.Key + "=" + c.Value)
	}
	r.Header["Cookie"] = []string{b.String()}
}

// routeKey is the attribute that holds the route.
type routeKey struct{}

// Route gives a label for requests that differ only in the values of their path:
// "/users/{user}" for "users/{user}" under a base URL, with [WithPath]. It is "" where
// the path had no placeholders, unless [WithRoute] has set it.
func (r *Request) Route() string {
	route, _ := r.Attribute(routeKey{}).(string)
	return route
}

// routeOf gives the path of a reference with its placeholders, below the base.
func routeOf(base *urls.Base, ref string) string {
	path, absolute := urls.Path(ref)
	if base != nil && !absolute {
		return strings.TrimSuffix(base.URL().EscapedPath(), "/") + "/" + strings.TrimLeft(strings.TrimPrefix(path, "./"), "/")
	}
	return path
}

// joinAttributes puts front before back, leaving both as they are.
func joinAttributes(front, back *attribute) *attribute {
	if front == nil || back == nil {
		return cmpOr(front, back)
	}
	return &attribute{front.key, front.value, joinAttributes(front.next, back)}
}

func cmpOr(a, b *attribute) *attribute {
	if a != nil {
		return a
	}
	return b
}

// usualMethods are written in upper case however they were given; other methods
// are case-sensitive and left alone (RFC 9110, section 9.1).
var usualMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}

// methodQuery is the method of RFC 10008, for which net/http has no name.
const methodQuery = "QUERY"

func normalMethod(m string) string {
	for _, u := range usualMethods {
		if m == u {
			return m
		}
	}
	for _, u := range usualMethods {
		if strings.EqualFold(m, u) {
			return u
		}
	}
	return m
}

// idempotent reports whether a method may be repeated without asking (RFC 9110,
// section 9.2.2; for QUERY RFC 10008, section 2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", methodQuery:
		return true
	}
	return false
}

// expandPath fills the placeholders of a reference.
func expandPath(ref string, session, own []Param) (string, error) {
	if len(session) == 0 && len(own) == 0 {
		return ref, nil
	}
	expanded, used, err := urls.Expand(ref, urls.MergeParams(session, own))
	if err != nil {
		return "", urlError(err)
	}
	for _, p := range own {
		if !slices.Contains(used, p.Key) {
			return "", because(ErrInvalidURL, fmt.Errorf("WithPath(%q): the path has no placeholder {%s}", quoteBad(p.Key, 32), quoteBad(p.Key, 32)))
		}
	}
	return expanded, nil
}

// targetOf gives the URL that a reference leads to, for errors about something
// else than the reference; nil if it leads nowhere.
func targetOf(base *urls.Base, ref string) *url.URL {
	u := new(url.URL)
	if _, err := base.JoinInto(u, ref); err != nil {
		return nil
	}
	return u
}

// parseURL parses an absolute URL.
func parseURL(s string) (*url.URL, error) {
	u, err := urls.Parse(s)
	if err != nil {
		return nil, urlError(err)
	}
	return u, nil
}

var errNoURL = because(ErrInvalidURL, errors.New("the request has no URL: make it with NewRequest"))
