package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// WithItemsAt says where in a JSON answer [Items] finds its array: by the names of members,
// ("data", "items") for {"data": {"items": []}}. By default the array is the answer itself.
func WithItemsAt(path ...string) parley.Option {
	return parley.WithAttribute(itemsPathKey{}, slices.Clone(path))
}

// WithPager lets [Items] go on from page to page: see [LinkPages], [URLPages],
// [CursorPages], [NumberedPages] and [OffsetPages]. By default there is one answer, of any
// length.
func WithPager(p Pager) parley.Option { return parley.WithAttribute(pagerKey{}, p) }

// The attributes under which a request carries what its items are.
type (
	itemsPathKey struct{}
	pagerKey     struct{}
)

// Items gets the resource and loops over its elements:
//
//	for repo, err := range api.Items[Repo](ctx, github.At("users", user, "repos"), api.WithPager(api.LinkPages())) {
//
// They come as they arrive, in memory that does not grow with their number: the elements of
// a JSON array ([WithItemsAt] says where it is), the values of JSON lines (application/jsonl,
// application/x-ndjson and their like), or, where T is string, the lines of a text. With a
// [Pager] they are the elements of the arrays of all pages, each of which is read whole.
// [parley.WithMaxItemBytes] bounds an element, [parley.WithMaxBodyBytes] an answer.
//
// An element that does not fit T is [parley.ErrDecoding], and a loop that does not end there
// goes on with the next one. All else ends the loop: what a call fails with, also for a
// status other than 2xx, and [parley.ErrPageLoop] for a page that was there before. Leaving
// the loop leaves nothing open. Ranging again asks again.
func Items[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		req, err := r.newRequest(http.MethodGet, opts)
		if err != nil {
			yield(none, err)
			return
		}
		path, _ := req.Attribute(itemsPathKey{}).([]string)
		if pager, _ := req.Attribute(pagerKey{}).(Pager); pager != nil {
			pagedItems(ctx, &pageWalk{client: r.client, pager: pager, path: path}, req, yield)
			return
		}
		resp, err := succeeded(r.client.Send(ctx, req))
		if err != nil {
			yield(none, err)
			return
		}
		elementsOf[T](resp, path)(yield)
	}
}

// elementsOf gives the elements of a streamed answer by its media type.
func elementsOf[T any](resp *parley.Response, path []string) iter.Seq2[T, error] {
	media := mediaOf(resp)
	switch {
	case hasNoContent(resp), resp.ContentLength == 0:
		return noElements[T](resp, nil)
	case isJSONLines(media):
		return parley.JSONLines[T](resp, nil)
	case media == "" || isJSON(media):
		return parley.JSONArray[T](resp, nil, path...)
	case strings.HasPrefix(media, "text/"):
		if lines, ok := any(resp.Lines()).(iter.Seq2[T, error]); ok {
			return lines
		}
	}
	var v T
	return noElements[T](resp, answerError("decode", resp, fmt.Errorf("%w: no items of type %T in an answer of type %.64q", parley.ErrDecoding, v, media)))
}

// noElements gives no element but what is wrong, if anything is, and closes the answer.
func noElements[T any](resp *parley.Response, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		resp.Close() // nothing of it is of use
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// pagedItems loops over the elements of pages, of which req is for the first.
func pagedItems[T any](ctx context.Context, p *pageWalk, req *parley.Request, yield func(T, error) bool) {
	var none T
	for {
		page, err := p.get(ctx, req)
		if err != nil {
			yield(none, err)
			return
		}
		// Raw elements fit whatever they are, so that all errors are of the page.
		for raw, err := range p.elements(page) {
			if err != nil {
				yield(none, err)
				return
			}
			page.Items++
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				v, err = none, answerError("decode", page.Response, fmt.Errorf("%w in element %d: %w", parley.ErrDecoding, page.Items-1, err))
				if !yield(v, err) {
					return
				}
				continue
			}
			if !yield(v, nil) {
				return
			}
		}
		if req, err = p.pager(page); err != nil {
			yield(none, err)
			return
		}
		if req == nil {
			return
		}
	}
}

// pageWalk is one way through the pages of a resource.
type pageWalk struct {
	client *parley.Client
	pager  Pager
	path   []string
	count  int
	seen   map[pageDigest]struct{} // what was asked for
	last   pageDigest              // the content of the page before
}

// pageDigest stands for a URL or a content. A server may name URLs of any length without end.
type pageDigest [sha256.Size]byte

// get gets a page.
func (p *pageWalk) get(ctx context.Context, req *parley.Request) (*Page, error) {
	key, ok, err := pageDigestOf(req)
	if err != nil {
		return nil, err
	}
	if _, again := p.seen[key]; again && ok {
		return nil, &parley.Error{Op: "build", Method: req.Method, URL: req.URL, Phase: parley.PhaseRequest, Sent: parley.NotSent, Err: parley.ErrPageLoop}
	}
	if p.seen == nil {
		p.seen = make(map[pageDigest]struct{})
	}
	p.seen[key] = struct{}{}
	resp, err := succeeded(p.client.Fetch(ctx, req))
	if err != nil {
		return nil, err
	}
	content, err := resp.Bytes()
	if err != nil {
		return nil, err
	}
	page := &Page{Response: resp, Index: p.count, client: p.client, request: req}
	now := sha256.Sum256(content)
	page.same = p.count > 0 && now == p.last
	p.last = now
	p.count++
	return page, nil
}

// pageDigestOf stands for what is asked for, with the body, in which some APIs name the page.
// ok is false where that can be read once only.
func pageDigestOf(req *parley.Request) (key pageDigest, ok bool, err error) {
	h := sha256.New()
	io.WriteString(h, req.Method+" "+req.URL.String()+"\n") // a hash never fails
	if req.Body != nil {
		if !req.Body.Replayable() {
			return key, false, nil
		}
		body, err := req.Body.Open()
		if err != nil {
			return key, false, err
		}
		defer body.Close() // it was only read
		if _, err := io.Copy(h, body); err != nil {
			return key, false, err
		}
	}
	return pageDigest(h.Sum(nil)), true, nil
}

// elements gives the elements of a page.
func (p *pageWalk) elements(page *Page) iter.Seq2[json.RawMessage, error] {
	content, err := page.Response.Bytes()
	if err == nil && len(content) == 0 {
		return func(func(json.RawMessage, error) bool) {}
	}
	return parley.JSONArray[json.RawMessage](page.Response, err, p.path...)
}
