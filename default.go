package parley

import (
	"context"
	"net/http"
	"sync"
)

// version is the library's, as it stands in the User-Agent.
const version = "0.1.0"

const userAgent = "parley/" + version

// session is the shared one behind the functions of the package. It keeps no cookies
// and takes no logins from netrc, since its users do not know of each other.
var session = sync.OnceValues(func() (*Client, error) {
	return New(WithJar(nil), clientOption(func(c *clientConfig) error {
		c.noNetrc = true
		return nil
	}))
})

// do sends a request over the shared session and reads the answer:
// see [Client.Request]. Programs that send more than a few requests make a
// [Client].
func do(ctx context.Context, method, url string, opts []RequestOption) (*Response, error) {
	c, err := session()
	if err != nil {
		return nil, err
	}
	return c.Request(ctx, method, url, opts...)
}

// Get sends a GET request over one shared session that keeps no cookies and takes no
// logins from netrc: see [Client.Get].
func Get(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodGet, url, opts)
}

// Head sends a HEAD request over the shared session: see [Get].
func Head(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodHead, url, opts)
}

// Options sends an OPTIONS request over the shared session: see [Get].
func Options(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodOptions, url, opts)
}

// Post sends a POST request over the shared session: see [Get].
func Post(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodPost, url, opts)
}

// Put sends a PUT request over the shared session: see [Get].
func Put(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodPut, url, opts)
}

// Patch sends a PATCH request over the shared session: see [Get].
func Patch(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodPatch, url, opts)
}

// Delete sends a DELETE request over the shared session: see [Get].
func Delete(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, http.MethodDelete, url, opts)
}

// Query sends a QUERY request over the shared session: see [Client.Query].
func Query(ctx context.Context, url string, opts ...RequestOption) (*Response, error) {
	return do(ctx, methodQuery, url, opts)
}

// Stream sends a request over the shared session and returns the response with its
// body unread: see [Client.Stream].
func Stream(ctx context.Context, method, url string, opts ...RequestOption) (*Response, error) {
	c, err := session()
	if err != nil {
		return nil, err
	}
	return c.Stream(ctx, method, url, opts...)
}
