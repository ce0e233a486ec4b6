package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Resource is a URL under a session, with methods that give what is there: an answer other
// than a 2xx is an error, and content is given by its type. It does not change, is safe for
// concurrent use, and costs little to make.
//
//	github := api.NewResource(client) // whose base URL is https://api.github.com
//	repos, err := api.Get[[]Repo](ctx, github.At("users", user, "repos"))
//
// # Errors
//
// What the server refuses is a *[parley.StatusError], also a 3xx that was not followed, such
// as a 304. Problem details (RFC 9457) are found in it with [errors.As] as a
// *[parley.Problem], and so is the API's own error type if [parley.WithErrorType] names it.
// Everything else is a *[parley.Error]. Whatever At, Join and Suffix find wrong is what the
// first call fails with, before anything is sent.
type Resource struct {
	client *parley.Client
	opts   []parley.RequestOption
	origin string // scheme and authority; "": the session's base URL
	path   string // below origin or base, escaped, without a slash before it
	query  string // as it is written
	suffix string
	from   *parley.Request // what requests are made of where a server named the resource; nil: the session's values
	err    error           // what was wrong with the making of it
}

// NewResource gives the resource at the base URL of a session. opts are for all its
// requests and those of what is made of it. A session without a base URL needs a whole URL
// to begin with: NewResource(c).Join("https://api.example.com/v1").
//
// A program needs one session for an API, however many parts of it use that. Made when it
// is first wanted, and never again:
//
//	var github = sync.OnceValues(func() (*api.Resource, error) {
//		client, err := parley.New(parley.WithBaseURL("https://api.github.com"))
//		if err != nil {
//			return nil, err
//		}
//		return api.NewResource(client), nil
//	})
//
// Then github() gives the same resource everywhere, with its connections, cookies and
// credentials, or the same error.
func NewResource(c *parley.Client, opts ...parley.RequestOption) *Resource {
	r := &Resource{client: c, opts: slices.Clone(opts)}
	if c == nil {
		r.err = errNoClient
	}
	return r
}

// At gives the resource below this one that the segments name. Each is escaped as one
// segment of the path, whatever it holds: At("a/b") is a%2Fb. "", "." and ".." name
// nothing below a resource and are ErrInvalidURL.
func (r *Resource) At(segments ...string) *Resource {
	if r.err != nil || len(segments) == 0 {
		return r
	}
	out := *r
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return r.failed(fmt.Errorf("%w: a segment of the path must not be %q", parley.ErrInvalidURL, s))
		}
		out.path = joinResourcePaths(out.path, escapeSegment(s))
	}
	return &out
}

// escapeSegment escapes all but unreserved characters (RFC 3986, section 2.3), as
// parley.WithPath does.
func escapeSegment(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// joinResourcePaths puts one slash between two paths.
func joinResourcePaths(path, below string) string {
	if path == "" || below == "" || strings.HasSuffix(path, "/") {
		return path + below
	}
	return path + "/" + below
}

// Join gives the resource that a reference leads to. The path of a relative one, with or
// without a slash before it, follows that of the resource, as with a session's base URL;
// its query joins what was there. One that climbs above the resource is ErrInvalidURL.
// Where the path has placeholders, such as "users/{user}", [parley.WithPath] fills them.
//
// An absolute URL is used as it is. On another origin than this resource's the options of
// the resource stay behind, as the session's values do: With says what may go there.
func (r *Resource) Join(ref string) *Resource {
	if r.err != nil || ref == "" {
		return r
	}
	ref, _, _ = strings.Cut(ref, "#")
	path, query, _ := strings.Cut(ref, "?")
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ":") {
		return r.elsewhere(path, query)
	}
	if strings.HasPrefix(path, "//") || strings.HasPrefix(path, `\`) || strings.HasPrefix(path, `/\`) {
		return r.failed(fmt.Errorf("%w: reference begins with two slashes or a backslash: write a whole URL, or a path", parley.ErrInvalidURL))
	}
	path = strings.TrimPrefix(path, "/")
	if climbsAbove(path) {
		return r.failed(fmt.Errorf("%w: reference climbs above the resource", parley.ErrInvalidURL))
	}
	out := *r
	out.path = joinResourcePaths(r.path, path)
	out.query = joinResourceQueries(r.query, query)
	return &out
}

// elsewhere gives the resource at an absolute URL, or at what the session will refuse.
func (r *Resource) elsewhere(path, query string) *Resource {
	out := *r
	out.origin, out.path = splitOrigin(path)
	out.query = query
	from, to := r.originURL(), out.originURL()
	if from != nil && to != nil && !sharesOrigin(from, to) {
		out.opts, out.from = nil, nil
	}
	return &out
}

// splitOrigin takes a URL without query apart: before and after the slash that ends its
// authority.
func splitOrigin(text string) (origin, path string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text, ""
	}
	authority, path, _ := strings.Cut(rest, "/")
	return scheme + "://" + authority, path
}

// originURL gives a URL on the origin of the resource, nil if there is none yet.
func (r *Resource) originURL() *url.URL {
	if r.origin == "" {
		return r.client.BaseURL()
	}
	req, err := parley.NewRequest(http.MethodGet, r.origin) // which brings it into its one form
	if err != nil {
		return nil // the session says so with the first call
	}
	return req.URL
}

// sharesOrigin compares URLs in the form that parley gives them.
func sharesOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// climbsAbove reports whether a relative path leads above where it begins, also where its dots
// are escaped, as in %2e%2e.
func climbsAbove(path string) bool {
	depth := 0
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

func joinResourceQueries(a, b string) string {
	if a == "" || b == "" || strings.HasSuffix(a, "&") {
		return a + b
	}
	return a + "&" + b
}

// Suffix gives the resource with a text at the end of its path, and of the paths of all
// that is below it, in place of the slashes there: "/" for an API that wants each URL to
// end with a slash, ".json" for one that tells formats apart in this way. "" takes it away
// again. What a server names, as with Create and Await, is used as it is.
func (r *Resource) Suffix(suffix string) *Resource {
	if r.err != nil {
		return r
	}
	if strings.ContainsAny(suffix, `?#\`) || climbsAbove("x"+suffix) {
		return r.failed(fmt.Errorf("%w: a suffix is a part of the path", parley.ErrInvalidURL))
	}
	out := *r
	out.suffix = suffix
	return &out
}

// With gives the resource with further options for all its requests, and for those of what
// is made of it.
func (r *Resource) With(opts ...parley.RequestOption) *Resource {
	out := *r
	out.opts = r.with(opts)
	return &out
}

// Client gives the session.
func (r *Resource) Client() *parley.Client { return r.client }

// URL gives the URL that requests without options of their own go to.
func (r *Resource) URL() (*url.URL, error) {
	req, err := r.newRequest(http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	return req.URL, nil
}

// reference gives what the session is asked for.
func (r *Resource) reference() string {
	path, query := r.path, r.query
	if r.suffix != "" {
		path = strings.TrimRight(path, "/")
		if path == "" && r.origin == "" {
			return r.suffixedBase()
		}
		if path += r.suffix; r.origin != "" {
			path = strings.TrimPrefix(path, "/")
		}
	}
	if r.origin != "" {
		path = r.origin + "/" + path
	}
	if query != "" {
		path += "?" + query
	}
	return path
}

// suffixedBase gives the base URL itself with the suffix. No relative reference leads to
// https://h/v1.json from https://h/v1.
func (r *Resource) suffixedBase() string {
	base, query := r.client.BaseURL(), r.query
	text := r.suffix
	if base != nil && !strings.HasPrefix(r.suffix, "/") {
		query = joinResourceQueries(base.RawQuery, query)
		base.RawQuery, base.ForceQuery = "", false
		text = base.String() + r.suffix
		if strings.Trim(base.Path, "/") != "" {
			text = strings.TrimRight(base.String(), "/") + r.suffix
		}
	}
	if query != "" {
		text += "?" + query
	}
	return text
}

// newRequest prepares a request.
func (r *Resource) newRequest(method string, opts []parley.RequestOption) (*parley.Request, error) {
	if r.err != nil {
		return nil, r.unsent(method, opts)
	}
	if r.from == nil {
		return r.client.NewRequest(method, r.reference(), r.with(opts)...)
	}
	at, err := parley.NewRequest(method, r.reference())
	if err != nil {
		return nil, err
	}
	req := r.from.Clone()
	req.Method, req.URL = at.Method, at.URL
	return req.With(r.with(opts)...)
}

// with gives the options of a request.
func (r *Resource) with(opts []parley.RequestOption) []parley.RequestOption {
	return slices.Concat(r.opts, opts)
}

// failed gives a resource that fails all calls.
func (r *Resource) failed(err error) *Resource {
	out := *r
	out.err = err
	return &out
}

// unsent is the error of a call of a resource that could not be made.
func (r *Resource) unsent(method string, opts []parley.RequestOption) error {
	if r.client != nil {
		// A reader that was given for the body is closed, as always where no request is made.
		_, _ = r.client.NewRequest(method, "//", opts...) // which is no reference
	}
	return callError(method, r.err)
}
