package parley

import (
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// call is what one call allocates.
type call struct {
	req Request
	url url.URL
	rec callRecord
}

// newCall makes a request of the session's values and the options. private asks
// for a header of its own.
func (c *Client) newCall(method, ref string, opts []RequestOption, private bool) (*call, error) {
	k := &call{}
	k.rec.began = sock.Now()
	req := &k.req
	req.Method, req.URL, req.call, req.merged = normalMethod(method), &k.url, &k.rec, true
	req.settled = true
	var rc *requestConfig
	if len(opts) > 0 || len(c.cfg.path) > 0 {
		rc = &requestConfig{}
		if err := applyAll(opts, rc); err != nil {
			return nil, rc.giveUp(buildError(req.Method, targetOf(c.base, ref), err))
		}
		expanded, err := expandPath(ref, c.cfg.path, rc.path)
		if err != nil {
			return nil, rc.giveUp(buildError(req.Method, targetOf(c.base, ref), err))
		}
		if expanded != ref {
			req.attrs = &attribute{key: routeKey{}, value: routeOf(c.base, ref)}
		}
		ref = expanded
	}
	same, err := c.base.JoinInto(&k.url, ref)
	if err != nil {
		return nil, rc.giveUp(buildError(req.Method, nil, urlError(err)))
	}
	req.foreign = !same && !c.trusts(&k.url)
	p := &c.own
	if req.foreign {
		p = &c.foreign
	}
	req.decode = p.decode
	c.inherit(req)
	if rc == nil && !private && c.shares && k.url.User == nil && !req.wantsKey() && (req.foreign || len(c.cfg.cookies) == 0) {
		req.Header, req.block = p.block.header, p.block
		if !req.foreign {
			req.Auth = c.auth
		}
		if !req.foreign && len(c.cfg.params) > 0 {
			req.addParams(c.cfg.paramsFor(req), c.cfg.style)
		}
		return k, nil
	}
	if rc == nil {
		rc = &requestConfig{}
	}
	req.Header = cloneHeader(p.block.header)
	if err := c.mergeOptions(req, rc, ref); err != nil {
		return nil, rc.giveUp(buildError(req.Method, req.URL, err))
	}
	if _, late := rc.body.(unsettled); late {
		k.rec.began = sock.Now() // the caller's encoder may have taken its time
	}
	if private { // to be changed as the caller likes
		req.Header, req.HeaderOrder = req.Header.Clone(), slices.Clone(req.HeaderOrder)
	}
	return k, nil
}

// mergeOptions puts what the options of a request say over what the session says. ref
// is the reference as it was given.
func (c *Client) mergeOptions(req *Request, rc *requestConfig, ref string) error {
	user := req.takeUser()
	if rc.raw == no && c.coding != nil {
		req.askCoding(c.coding)
	}
	c.dropReplaced(req.URL, ref, rc.params)
	var session *settings
	if !req.foreign {
		session = &c.cfg.settings
	}
	if err := req.apply(rc, session); err != nil {
		return err
	}
	said := rc.header["Authorization"] != nil || slices.Contains(rc.removed, "Authorization")
	return c.settleAuth(req, said, user)
}

// giveUp closes the reader of a body that nobody will open: the request was not made
// because of err.
func (rc *requestConfig) giveUp(err error) error {
	if rc != nil {
		discardBody(rc.body)
	}
	return err
}

// dropReplaced takes those parameters of the base URL out of u that the request
// has values for, unless its own reference has them too.
func (c *Client) dropReplaced(u *url.URL, ref string, params []Param) {
	if c.base == nil || u.RawQuery == "" || len(params) == 0 {
		return
	}
	_, own, _ := strings.Cut(ref, "?")
	own, _, _ = strings.Cut(own, "#")
	var replaced []string
	for _, p := range params {
		if !urls.HasKey(own, p.Key) {
			replaced = append(replaced, p.Key)
		}
	}
	u.RawQuery = urls.RemoveKeys(u.RawQuery, replaced...)
}

// askCoding asks for the content codings that parley decodes.
func (r *Request) askCoding(coding []string) {
	r.Header["Accept-Encoding"] = coding[:len(coding):len(coding)]
	r.decode = true
}

// cloneHeader leaves room for a few more.
func cloneHeader(h http.Header) http.Header {
	out := make(http.Header, len(h)+3)
	for k, v := range h {
		out[k] = v[:len(v):len(v)]
	}
	return out
}

// inherit gives a request the session's settings where it has none.
func (c *Client) inherit(req *Request) {
	s := &c.cfg.settings
	req.Timeouts = req.Timeouts.over(c.timeouts)
	if req.ExpectTimeout == 0 {
		req.ExpectTimeout = s.expect
	}
	if req.HeaderOrder == nil {
		req.HeaderOrder = s.order
	}
	req.inheritSecurity(c)
	req.Proxy = req.Proxy.over(c.proxy)
	if req.MaxBodyBytes == 0 {
		req.MaxBodyBytes = s.maxBody
	}
	req.rawResponses = req.rawResponses.or(s.raw)
	if req.OnInformational == nil {
		req.OnInformational = s.inform
	}
	req.attrs = joinAttributes(req.attrs, s.attrs)
	req.conduct = req.conduct.over(c.conduct)
}

// settle brings what may have been written by hand into the one form that all layers
// see. User information in the URL proves who asks where nothing else does.
func (r *Request) settle() error {
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	switch {
	case r.URL == nil:
		return errNoURL
	case urls.Settled(r.URL):
		return nil
	}
	u, err := urls.Settle(r.URL)
	if err != nil {
		return urlError(err)
	}
	r.URL = u
	_, left := r.Auth.(leftBehind)
	if user := r.takeUser(); saysUser(user) && (left || r.Auth == nil) {
		r.Auth, err = r.userAuth(user)
	}
	return err
}

// trusts reports whether the session's values may go to u.
func (c *Client) trusts(u *url.URL) bool {
	return slices.ContainsFunc(c.cfg.trusted, func(t *url.URL) bool { return urls.SameOrigin(t, u) })
}

// merge gives a copy of a request that was made without a session, with the
// session's values in it.
func (c *Client) merge(req *Request) (*Request, error) {
	if req.URL == nil {
		return nil, buildError(req.Method, nil, errNoURL)
	}
	// Whoever wrote the URL by hand gets the one form of it that all layers see.
	u, err := urls.Settle(req.URL)
	if err != nil {
		return nil, buildError(req.Method, req.URL, urlError(err))
	}
	out := req.Clone()
	out.merged, out.settled = true, true
	out.URL = u
	out.foreign = c.base != nil && !urls.SameOrigin(c.base.URL(), u) && !c.trusts(u)
	c.inherit(out)
	user := out.takeUser()
	p := &c.own
	if out.foreign {
		p = &c.foreign
	}
	out.Header = canonical(out.Header)
	said := out.Header["Authorization"] != nil || slices.Contains(req.omitted().headers, "Authorization")
	for name, values := range p.block.header {
		if _, given := out.Header[name]; !given && !slices.Contains(req.omitted().headers, name) {
			out.Header[name] = values[:len(values):len(values)]
			if name == "Accept-Encoding" {
				out.decode = p.decode
			}
		}
	}
	out.addKey()
	if err := c.settleAuth(out, said, user); err != nil {
		return nil, buildError(req.Method, out.URL, err)
	}
	_, given := out.Header["Accept-Encoding"]
	switch {
	case out.rawResponses == yes:
		out.setRaw(yes)
	case out.rawResponses == no && c.coding != nil && !given && !slices.Contains(req.omitted().headers, "Accept-Encoding"):
		out.askCoding(c.coding)
	}
	out.askPlainParts()
	if err := out.compress(); err != nil {
		return nil, buildError(req.Method, out.URL, err)
	}
	if !out.foreign {
		s := &c.cfg.settings
		out.addParams(s.paramsFor(out), s.style)
		own := cookieNames(out.Header["Cookie"])
		out.addCookies(slices.DeleteFunc(slices.Clone(s.cookiesFor(out)), func(p Param) bool { return slices.Contains(own, p.Key) }))
	}
	return out, nil
}

// canonical gives h with canonical names: h itself if it has no others. Names that a
// caller wrote into the map by hand must mean what they say.
func canonical(h http.Header) http.Header {
	odd := false
	for name := range h {
		odd = odd || textproto.CanonicalMIMEHeaderKey(name) != name
	}
	if !odd {
		return h
	}
	out := make(http.Header, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key := textproto.CanonicalMIMEHeaderKey(name)
		out[key] = append(slices.Clip(out[key]), h[name]...)
	}
	return out
}

// defaultHeader is what a session sends where nothing is said.
func defaultHeader() http.Header {
	return http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {acceptEncoding},
		"User-Agent":      {userAgent},
	}
}
