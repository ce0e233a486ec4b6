package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// logical makes an answer one of the balancer's base: what it says of URLs below those of
// servers is said of those below the base, as reverse proxies do it. sent is what was
// asked; find gives what a URL has after the base of the server that it belongs to.
//
// It changes Location, Content-Location and Link, and the paths of cookies where those of
// the server are others than those of the base.
func (b balancedBase) logical(resp *parley.Response, sent *url.URL, server balancedBase, find func(*url.URL) (string, bool)) {
	translate := func(ref string) string { return b.translate(ref, sent, server.path == b.path, find) }
	for _, name := range []string{"Location", "Content-Location"} {
		rewriteEach(resp.Header, name, translate)
	}
	rewriteEach(resp.Header, "Link", func(line string) string { return translateLinks(line, translate) })
	if b.path != server.path {
		rewriteEach(resp.Header, "Set-Cookie", func(line string) string { return b.cookie(line, server) })
	}
}

// rewriteEach rewrites the values of a header. Those that change are put into a new slice,
// since the old one may be the transport's.
func rewriteEach(h http.Header, name string, f func(string) string) {
	old := h[name]
	for i, v := range old {
		now := f(v)
		if now == v {
			continue
		}
		if &h[name][0] == &old[0] {
			h[name] = slices.Clone(old)
		}
		h[name][i] = now
	}
}

// translate gives a reference of an answer as one below the base. One that leads elsewhere
// stays; a relative one of those becomes absolute, since it would mean another URL below
// the base.
func (b balancedBase) translate(ref string, sent *url.URL, samePath bool, find func(*url.URL) (string, bool)) string {
	trimmed := strings.Trim(ref, " \t")
	u, err := url.Parse(trimmed)
	if err != nil || trimmed == "" {
		return ref
	}
	relative := !u.IsAbs() && u.Host == "" && u.User == nil
	u = sent.ResolveReference(u)
	rest, ok := find(canonicalOrigin(u))
	switch {
	case ok && relative && samePath:
		return ref
	case ok:
		return b.said(u, rest, ref)
	case relative:
		return u.String()
	}
	return ref
}

func (b balancedBase) said(u *url.URL, rest, otherwise string) string {
	moved, err := b.moved(u, anyPath, rest)
	if err != nil {
		return otherwise
	}
	moved.User = nil
	return moved.String()
}

// anyPath is a path that no base has.
const anyPath = "?"

// canonicalOrigin gives a URL with its scheme and host in the form in which requests have
// them, so that they can be compared.
func canonicalOrigin(u *url.URL) *url.URL {
	origin := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	req, err := parley.NewRequest(http.MethodGet, origin.String())
	if err != nil {
		return u
	}
	v := *u
	v.Scheme, v.Host = req.URL.Scheme, req.URL.Host
	return &v
}

// translateLinks rewrites the targets of a Link header (RFC 8288, section 3): what is
// between < and >, but not in a quoted string.
func translateLinks(line string, translate func(string) string) string {
	var out strings.Builder
	for line != "" {
		i := strings.IndexAny(line, `<"`)
		if i < 0 {
			break
		}
		end := -1
		if line[i] == '<' {
			end = strings.IndexByte(line[i:], '>')
		} else {
			end = quotedEnd(line[i:])
		}
		if end < 0 { // malformed; nobody will find a link in it
			break
		}
		if line[i] == '<' {
			out.WriteString(line[:i+1] + translate(line[i+1:i+end]) + ">")
		} else {
			out.WriteString(line[:i+end+1])
		}
		line = line[i+end+1:]
	}
	return out.String() + line
}

// quotedEnd gives where the quoted string that s begins with ends, less than 0 for
// nowhere.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// cookie gives a Set-Cookie line with its path as one below the base, where it is one
// below the server's. A cookie without a path gets that of the request, which is below the
// base already.
func (b balancedBase) cookie(line string, server balancedBase) string {
	parts := strings.Split(line, ";")
	for i, part := range parts[1:] {
		name, value, ok := strings.Cut(part, "=")
		if !ok || !strings.EqualFold(strings.Trim(name, " \t"), "Path") {
			continue
		}
		path := strings.Trim(value, " \t")
		rest, below := server.belowPath(path)
		switch {
		case below && b.path+rest == "":
			parts[i+1] = name + "=/"
		case below:
			parts[i+1] = name + "=" + b.path + rest
		}
	}
	return strings.Join(parts, ";")
}
