package urls

import (
	"net/url"
	"strings"
)

// Base is a base URL prepared for joining. It is immutable and safe for
// concurrent use.
type Base struct {
	url url.URL // canonical, without fragment

	// The path with a slash at its end, decoded and escaped.
	path, escapedPath string

	length int // of the whole, in bytes
}

// NewBase returns the base for u. The path of u is a prefix for all relative
// references, its query joins theirs, its fragment is dropped. An error is of
// the kinds that [Parse] returns.
func NewBase(u *url.URL) (*Base, error) {
	if u == nil {
		return nil, invalid("no base URL")
	}
	b := new(Base)
	if err := ParseInto(&b.url, u.String()); err != nil {
		return nil, err
	}
	b.url.Fragment, b.url.RawFragment = "", ""
	b.length = len(b.url.String())
	b.path, b.escapedPath = b.url.Path, b.url.EscapedPath()
	// An escaped slash at the end of the path is no separator.
	if !strings.HasSuffix(b.escapedPath, "/") {
		b.path += "/"
		b.escapedPath += "/"
	}
	return b, nil
}

// URL returns a copy of the base URL.
func (b *Base) URL() *url.URL {
	u := b.url
	return &u
}

// JoinInto joins a reference to the base and stores the result in dst,
// replacing all of it.
//
// An absolute URL is used as it is. The path of every other reference, with or
// without a slash before it, follows the path of the base; "" is the base
// itself. A reference that begins with two slashes or a backslash, one that
// would climb above the path of the base, also by %2e%2e, and one with a colon
// in its first segment are errors, for they look like something else to one
// reader or another. The query of the base comes first, without the keys that
// the reference sets anew. Encoding, limits and errors are those of
// [ParseInto]; after an error dst is unchanged.
//
// sameOrigin reports whether the result has scheme, host and port of the base.
// With a nil base the reference must be absolute, and sameOrigin is true, since
// there is no origin to leave.
func (b *Base) JoinInto(dst *url.URL, ref string) (sameOrigin bool, err error) {
	if b == nil {
		return true, ParseInto(dst, ref)
	}
	if b.joinPlain(dst, ref) {
		return true, nil
	}
	return b.joinFull(dst, ref)
}

// joinPlain joins a relative reference that needs neither encoding nor
// resolving. It reports false, with dst unchanged, for everything else.
func (b *Base) joinPlain(dst *url.URL, ref string) bool {
	if b.length+len(ref)+len("/&") > MaxBytes {
		return false
	}
	rest := strings.TrimPrefix(ref, "/")
	if rest == "" || rest[0] == '/' || rest[0] == '?' {
		return false
	}
	path, rawPath, end, ok := plainPath(rest, 0)
	if !ok || colonFirst(path) {
		return false
	}
	query, ok := plainQuery(rest, end)
	if !ok {
		return false
	}
	if b.url.RawQuery != "" {
		query = mergeQueries(b.url.RawQuery, query)
	}
	forced := query == "" && (end < len(rest) || b.url.ForceQuery)
	if rawPath != "" || b.url.RawPath != "" {
		rawPath = b.escapedPath + path
	}
	*dst = url.URL{
		Scheme: b.url.Scheme, User: b.url.User, Host: b.url.Host,
		Path: b.path + path, RawPath: rawPath, RawQuery: query, ForceQuery: forced,
	}
	return true
}

// joinFull joins any reference; see JoinInto.
func (b *Base) joinFull(dst *url.URL, ref string) (sameOrigin bool, err error) {
	if err := checkText(ref); err != nil {
		return false, err
	}
	if _, _, absolute := splitScheme(ref); absolute {
		if err := ParseInto(dst, ref); err != nil {
			return false, err
		}
		return dst.Scheme == b.url.Scheme && dst.Host == b.url.Host, nil
	}
	if strings.HasPrefix(ref, "//") || strings.HasPrefix(ref, `\`) || strings.HasPrefix(ref, `/\`) {
		return false, invalid("reference begins with two slashes or a backslash: write a whole URL, or a path")
	}
	path, query, hasQuery, fragment := splitTail(ref)
	if colonFirst(path) {
		return false, errColonFirst()
	}
	u := b.url
	if path != "" {
		relative, above := resolveDots(encode(strings.TrimPrefix(path, "/"), inPath))
		if above {
			return false, invalidPart("reference climbs above the path of the base URL: use another base, or a whole URL", path, ref)
		}
		setPath(&u, b.escapedPath+relative)
	}
	if hasQuery {
		u.RawQuery = mergeQueries(b.url.RawQuery, encode(query, inQuery))
		u.ForceQuery = u.RawQuery == ""
	}
	setFragment(&u, encode(fragment, inQuery))
	if err := checkLength(&u); err != nil {
		return false, err
	}
	*dst = u
	return true, nil
}

// colonFirst reports whether the first segment of a relative reference holds a
// colon, which RFC 3986, section 4.2, forbids.
func colonFirst(path string) bool {
	for i := range len(path) {
		if path[i] == '/' {
			return false
		}
		if path[i] == ':' {
			return true
		}
	}
	return false
}

func errColonFirst() error {
	return invalid("colon in the first segment of a relative reference: write ./ before it, or a whole URL")
}

// Resolve resolves a reference that came from a server, such as a Location
// header or a link, against the URL of its document (RFC 3986, section 5.2).
// Spaces and tabs around it are ignored. The fragment is the reference's own.
// User information stays only where the authority does: a reference with a
// scheme or an authority has just what it brings. Encoding, limits and errors
// are those of [ParseInto], but that a [UnixScheme] URL is a [*SchemeError]: only what
// is relative to one leads to a socket. base must be an absolute URL made by this package.
func Resolve(base *url.URL, ref string) (*url.URL, error) {
	if base == nil || base.Host == "" {
		return nil, invalid("no URL to resolve the reference against")
	}
	if len(ref) > MaxBytes {
		return nil, errTooLong()
	}
	ref = strings.Trim(ref, " \t")
	if err := checkText(ref); err != nil {
		return nil, err
	}
	if _, _, absolute := splitScheme(ref); absolute {
		return resolved(ref)
	}
	if strings.HasPrefix(ref, "//") {
		return resolved(base.Scheme + ":" + ref)
	}
	path, query, hasQuery, fragment := splitTail(ref)
	if colonFirst(path) {
		return nil, errColonFirst()
	}
	u := &url.URL{Scheme: base.Scheme, User: base.User, Host: base.Host}
	whole := base.EscapedPath()
	switch {
	case path == "":
		if !hasQuery {
			query, hasQuery = base.RawQuery, base.ForceQuery
		}
	case path[0] == '/':
		whole = path
	default:
		whole = whole[:strings.LastIndexByte(whole, '/')+1] + path
	}
	resolved, _ := resolveDots(encode(strings.TrimPrefix(whole, "/"), inPath))
	setPath(u, "/"+resolved)
	setQuery(u, query, hasQuery)
	setFragment(u, encode(fragment, inQuery))
	if err := checkLength(u); err != nil {
		return nil, err
	}
	return u, nil
}
