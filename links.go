package parley

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-0474a412/parley/internal/links"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Link is one link of an answer's Link header (RFC 8288).
type Link struct {
	// URL is what the link leads to, resolved against the URL of the request. Only
	// links that lead elsewhere than http and https keep user information.
	URL *url.URL
	// Rel holds the relation types as they are written; case does not count. It is
	// empty for a link without any, which the RFC does not allow but some servers send.
	Rel []string
	// Anchor is what the link leads from; nil: from what was requested.
	Anchor *url.URL
	// Title describes the link: title*, decoded, or title.
	Title string
	// Type is the media type that is to be expected, Media what it is meant for.
	Type, Media string
	// HrefLang holds the languages that are to be expected.
	HrefLang []string
	// Params holds all parameters in their order, names in lower case, values without
	// their quotes and otherwise as they are written.
	Params []Param
}

// HasRel reports whether rel is among the relation types, in any case.
func (l Link) HasRel(rel string) bool {
	for _, r := range l.Rel {
		if strings.EqualFold(r, rel) {
			return true
		}
	}
	return false
}

// Links gives the links of the Link header in their order, the first 256 of them.
// What is malformed and what does not lead to a URL is left out. They are worked out
// anew with each call.
func (r *Response) Links() []Link {
	var all []Link
	for v := range links.Parse(r.Header["Link"]) {
		if l, ok := r.link(v); ok {
			all = append(all, l)
		}
	}
	return all
}

// Link gives the first link from what was requested with the relation type rel, in
// any case, such as "next". One with an anchor leads from something else, unless that
// is a part of what was requested.
func (r *Response) Link(rel string) (l Link, ok bool) {
	for v := range links.Parse(r.Header["Link"]) {
		if types, _ := v.Get("rel"); !(Link{Rel: strings.Fields(types)}).HasRel(rel) {
			continue
		}
		if l, ok := r.link(v); ok && (l.Anchor == nil || r.isAbout(l.Anchor)) {
			return l, true
		}
	}
	return Link{}, false
}

// isAbout reports whether u is what was requested, or a part of it.
func (r *Response) isAbout(u *url.URL) bool { return pageOf(u) == pageOf(r.Request.URL) }

// pageOf gives a URL as text without its fragment.
func pageOf(u *url.URL) string {
	page := *withoutUser(u)
	page.Fragment, page.RawFragment = "", ""
	return page.String()
}

// link makes a Link of what was parsed. ok is false if there is no URL in it.
func (r *Response) link(v links.Value) (l Link, ok bool) {
	if l.URL, ok = r.linked(v.Target); !ok {
		return Link{}, false
	}
	if anchor, given := v.Get("anchor"); given {
		if l.Anchor, ok = r.linked(anchor); !ok {
			return Link{}, false
		}
	}
	types, _ := v.Get("rel")
	l.Rel = strings.Fields(types)
	l.Type, _ = v.Get("type")
	l.Media, _ = v.Get("media")
	extended, _ := v.Get("title*")
	if l.Title, ok = links.DecodeExt(extended); !ok {
		l.Title, _ = v.Get("title")
	}
	for _, p := range v.Params {
		if p.Name == "hreflang" {
			l.HrefLang = append(l.HrefLang, p.Value)
		}
		l.Params = append(l.Params, Param{Key: p.Name, Value: p.Value})
	}
	return l, true
}

// linked resolves a reference of a link. Of other schemes than http and https any URL
// will do, since nothing is fetched from there.
func (r *Response) linked(ref string) (u *url.URL, ok bool) {
	if r.Request == nil {
		return nil, false
	}
	u, err := urls.Resolve(withoutUser(r.Request.URL), ref)
	if err == nil {
		return withoutUser(u), true
	}
	if scheme := (*urls.SchemeError)(nil); errors.As(err, &scheme) {
		u, err = url.Parse(ref)
		return u, err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https"
	}
	return nil, false
}

// Location gives the URL of the Location header, resolved against that of the
// request: where a redirect leads, or what a 201 answer speaks of. Without one it is
// [http.ErrNoLocation], and a malformed one is ErrInvalidURL or
// ErrUnsupportedProtocol. User information is left out of it.
func (r *Response) Location() (*url.URL, error) {
	ref := location(r)
	if ref == "" || r.Request == nil {
		return nil, r.fail("location", PhaseResponse, http.ErrNoLocation)
	}
	u, err := urls.Resolve(withoutUser(r.Request.URL), ref)
	if err != nil {
		return nil, r.fail("location", PhaseResponse, urlError(err))
	}
	u.User = nil
	if u.Fragment == "" && isRedirect(r) { // RFC 9110, section 10.2.2
		u.Fragment, u.RawFragment = r.Request.URL.Fragment, r.Request.URL.RawFragment
	}
	return u, nil
}

// Cookies gives the cookies that the answer sets, as it sets them: whether a jar takes
// them is another question. Malformed ones are left out.
func (r *Response) Cookies() []*http.Cookie {
	return (&http.Response{Header: r.Header}).Cookies()
}
