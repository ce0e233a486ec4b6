package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/seed-0474a412/parley"
)

// Pager gives the request for the page that follows one, nil after the last one. It is
// asked when the loop of [Items] wants more than the page has, never by two goroutines of
// one loop at once. Besides the ready ones it may be any function that makes the request
// with [Page.To] or [Page.With]:
//
//	func byLastID(p *api.Page) (*parley.Request, error) {
//		var list struct {
//			HasMore bool `json:"has_more"`
//			Data    []struct{ ID string }
//		}
//		if err := p.Response.JSON(&list); err != nil || !list.HasMore || len(list.Data) == 0 {
//			return nil, err
//		}
//		return p.With(parley.WithQuery("starting_after", list.Data[len(list.Data)-1].ID))
//	}
type Pager func(p *Page) (*parley.Request, error)

// Page is one page of [Items].
type Page struct {
	Response *parley.Response // its body has been read
	Index    int              // from 0
	Items    int              // how many elements it had

	client  *parley.Client
	request *parley.Request
	same    bool // as the page before
}

// To gives the request for a URL that the page names, which may be relative to that of the
// page. What the options of the call say goes along as with [parley.Client.Pages].
func (p *Page) To(ref string) (*parley.Request, error) {
	return p.client.NewRequestFrom(p.Response, ref)
}

// With gives the request for the page with further options, such as another value of a
// query parameter.
func (p *Page) With(opts ...parley.RequestOption) (*parley.Request, error) {
	return p.request.With(opts...)
}

// LinkPages follows the relation "next" of the Link header (RFC 8288).
func LinkPages() Pager {
	return func(p *Page) (*parley.Request, error) {
		link, ok := p.Response.Link("next")
		if !ok {
			return nil, nil
		}
		return p.To(link.URL.String())
	}
}

// URLPages follows the URL that stands in each page, found by the names of members:
// URLPages("links", "next"). Where there is none, or null or "", the pages end.
func URLPages(path ...string) Pager {
	return func(p *Page) (*parley.Request, error) {
		ref, err := p.text(path)
		if err != nil || ref == "" {
			return nil, err
		}
		return p.To(ref)
	}
}

// CursorPages sets a query parameter to the cursor that stands in each page, a string or a
// number, found by the names of members: CursorPages("after", "meta", "next_cursor"). Where
// there is none, or null, false or "", the pages end.
func CursorPages(param string, path ...string) Pager {
	return func(p *Page) (*parley.Request, error) {
		cursor, err := p.text(path)
		if err != nil || cursor == "" {
			return nil, err
		}
		return p.With(parley.WithQuery(param, cursor))
	}
}

// NumberedPages counts a query parameter up, from the value that the first request has for
// it, or 1. The first page without elements is the last one. A page with elements that is
// the same as the one before it is [parley.ErrPageLoop]: the server does not know the
// parameter.
func NumberedPages(param string) Pager {
	return func(p *Page) (*parley.Request, error) { return p.count(param, 1, 1) }
}

// OffsetPages counts a query parameter up by the number of elements of each page, from the
// value that the first request has for it, or 0. It ends as [NumberedPages] does.
func OffsetPages(param string) Pager {
	return func(p *Page) (*parley.Request, error) { return p.count(param, 0, p.Items) }
}

// count gives the request in which a parameter is larger by step; first is what it is where
// the request does not say.
func (p *Page) count(param string, first, step int) (*parley.Request, error) {
	switch {
	case p.Items == 0:
		return nil, nil
	case p.same:
		return nil, answerError("decode", p.Response, fmt.Errorf("%w: the pages do not change with the parameter %.64q", parley.ErrPageLoop, param))
	}
	now := first
	if query := p.request.URL.Query(); query.Has(param) {
		var err error
		if now, err = strconv.Atoi(query.Get(param)); err != nil {
			return nil, answerError("build", p.Response, fmt.Errorf("the parameter %.64q of the first page is no number", param))
		}
	}
	return p.With(parley.WithQuery(param, strconv.Itoa(now+step)))
}

// text gives the string or the number at a path within the page, "" where there is none.
func (p *Page) text(path []string) (string, error) {
	var value json.RawMessage
	if content, err := p.Response.Bytes(); err != nil || len(content) == 0 {
		return "", err
	}
	if err := p.Response.JSON(&value); err != nil {
		return "", err
	}
	wrong := func(err error) error {
		return answerError("decode", p.Response, fmt.Errorf("%w: where the next page should stand in the answer, %q: %w", parley.ErrDecoding, path, err))
	}
	value, _, err := jsonAt(value, path)
	if err != nil {
		return "", wrong(err)
	}
	switch string(value) {
	case "", "null", "false":
		return "", nil
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text, nil
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil {
		return number.String(), nil
	}
	return "", wrong(errors.New("what is there is neither text nor a number"))
}
