package parley

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Pages gets url and what its Link header calls "next" (RFC 8288), and so on until
// there is no next page. Each response has been read: see [Client.Request]. What ends
// the loop is yielded as an error, with a nil response: whatever a call fails with,
// what [Response.Err] says of a page, and ErrPageLoop for a page that was there before.
// How many pages there are is up to the server: leave the loop to stop, which leaves
// nothing open. A context that ends, ends it; WithTimeout is for each page. Ranging
// again begins with the first page again.
//
// The first page is asked for as by [Client.Get]. The options of that call and the
// values of the session go along to the next pages of the same origin and to those
// that the session trusts ([WithTrustedOrigins]). On every other origin they stay
// behind as with a redirect, but for harmless headers, also where a page after it leads
// back. A next link is complete: parameters of the call are not added to it again,
// those of the session where it does not have them; a body goes with the first page
// only.
func (c *Client) Pages(ctx context.Context, url string, opts ...RequestOption) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		req, err := c.firstPage(url, opts)
		// By digest, as a server may name URLs of any length without end.
		seen := make(map[[sha256.Size]byte]struct{})
		for err == nil && req != nil {
			page := sha256.Sum256([]byte(pageOf(req.URL)))
			if _, again := seen[page]; again {
				err = buildError(req.Method, req.URL, ErrPageLoop)
				break
			}
			seen[page] = struct{}{}
			var resp *Response
			if resp, err = c.page(ctx, req); err != nil {
				break
			}
			if !yield(resp, nil) {
				return
			}
			req, err = c.nextPage(req, resp)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// firstPage makes the request for the first page.
func (c *Client) firstPage(url string, opts []RequestOption) (*Request, error) {
	var given []string // parameters of the call
	last := requestOption(func(r *requestConfig) error {
		for _, p := range r.params {
			given = append(given, p.Key)
		}
		return nil
	})
	req, err := c.NewRequest(http.MethodGet, url, append(slices.Clip(opts), last)...)
	if err != nil {
		return nil, err
	}
	// The session's parameters of these names are not for the other pages either.
	req.omit(nil, given, nil)
	return req, nil
}

// page gets one page.
func (c *Client) page(ctx context.Context, req *Request) (*Response, error) {
	resp, err := c.sendPrepared(ctx, req, true)
	discardBody(req.Body) // nobody else has it
	if err != nil {
		return nil, err
	}
	if err := resp.Err(); err != nil {
		return nil, err
	}
	return resp, nil
}

// nextPage makes the request for the page after resp, which answered req; nil if
// there is none.
func (c *Client) nextPage(req *Request, resp *Response) (*Request, error) {
	link, ok := resp.Link("next")
	if !ok {
		return nil, nil
	}
	u := *link.URL
	if u.Scheme != "http" && u.Scheme != "https" && !urls.SameOrigin(req.URL, &u) {
		return nil, buildError(req.Method, req.URL, urlError(&urls.SchemeError{Scheme: u.Scheme}))
	}
	return c.follow(req, resp, &u), nil
}

// NewRequestFrom makes the GET request for a URL that an answer of the session names, but
// for a redirect: in the Location of a 201 or 202, in a link, within its content. ref may
// be relative to the URL that was answered. Options of the request for that answer go along
// as with [Client.Pages]: without the body and what speaks of it, to the same origin and to
// those that the session trusts. On every other origin all stays behind but harmless
// headers, also where a redirect had led away and back. opts are for the new request alone
// and go with it to wherever that leads. A ref that cannot be used is ErrInvalidURL or
// ErrUnsupportedProtocol.
//
// The request may be given another method, and is sent with [Client.Fetch] or [Client.Send].
func (c *Client) NewRequestFrom(resp *Response, ref string, opts ...RequestOption) (*Request, error) {
	if resp == nil || resp.Request == nil {
		return nil, buildError("", nil, because(ErrInvalidURL, errors.New("NewRequestFrom needs an answer to a request")))
	}
	u, err := urls.Resolve(withoutUser(resp.Request.URL), ref)
	if err != nil {
		return nil, buildError(http.MethodGet, resp.Request.URL, urlError(err))
	}
	u.User = nil // nobody is identified at the word of a server
	next := c.follow(cmp.Or(resp.hop, resp.Request), resp, u)
	next.Method, next.call, next.merged = http.MethodGet, nil, true
	return next.With(opts...)
}

// follow makes the request for u, which resp, the answer to req, names.
func (c *Client) follow(req *Request, resp *Response, u *url.URL) *Request {
	u.Fragment, u.RawFragment = "", ""
	next := req.Clone()
	next.URL, next.Target = u, ""
	next.dropContent()
	// Also where a redirect has led away from the origin and back: from there on it is
	// another server's word that is followed.
	left := leaves(req, u)
	for _, hop := range append(slices.Clip(resp.History), resp) {
		left = left || hop.Request != nil && leaves(req, hop.Request.URL)
	}
	if left {
		next.leaveOrigin(req.URL)
	}
	if !next.foreign {
		next.addParams(c.cfg.paramsFor(next), c.cfg.style)
	}
	return next
}

// leaves reports whether u is on an origin that what is meant for req must not go to.
func leaves(req *Request, u *url.URL) bool {
	return !urls.SameOrigin(req.URL, u) && !req.conduct.trusts(req.URL, u)
}
