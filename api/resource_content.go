package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Request sends a request with any method and reads the answer, for those who want more of
// it than its content, such as its header.
func (r *Resource) Request(ctx context.Context, method string, opts ...parley.RequestOption) (*parley.Response, error) {
	switch {
	case r.err != nil:
		return nil, r.unsent(method, opts)
	case r.from == nil:
		return succeeded(r.client.Request(ctx, method, r.reference(), r.with(opts)...))
	}
	req, err := r.newRequest(method, opts)
	if err != nil {
		return nil, err
	}
	return succeeded(r.client.Fetch(ctx, req))
}

// Stream sends a request and returns the answer with its body unread: read it to its end
// or close it.
func (r *Resource) Stream(ctx context.Context, method string, opts ...parley.RequestOption) (*parley.Response, error) {
	switch {
	case r.err != nil:
		return nil, r.unsent(method, opts)
	case r.from == nil:
		return succeeded(r.client.Stream(ctx, method, r.reference(), r.with(opts)...))
	}
	req, err := r.newRequest(method, opts)
	if err != nil {
		return nil, err
	}
	return succeeded(r.client.Send(ctx, req))
}

// Get gives the content of the resource. JSON, also +json, is what package json makes of
// it in an any; text of all kinds is a string; everything else is a []byte. Nothing, as in
// a 204, is nil. See the function [Get] for content of a type that is known.
func (r *Resource) Get(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodGet, opts...))
}

// Post sends content to the resource, which is an option such as [parley.WithJSON], and
// gives that of the answer: see [Resource.Get].
func (r *Resource) Post(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodPost, opts...))
}

// Put replaces the resource by the content of an option: see [Resource.Post].
func (r *Resource) Put(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodPut, opts...))
}

// Patch changes the resource as the content of an option says: see [Resource.Post].
func (r *Resource) Patch(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodPatch, opts...))
}

// Delete removes the resource, and gives the content of the answer: see [Resource.Get].
func (r *Resource) Delete(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodDelete, opts...))
}

// Options asks what can be done with the resource, and gives the content of the answer: see
// [Resource.Get]. What servers say in the header Allow is found with [Resource.Request].
func (r *Resource) Options(ctx context.Context, opts ...parley.RequestOption) (any, error) {
	return contentOf[any](r.Request(ctx, http.MethodOptions, opts...))
}

// Head gives the header that a GET would be answered with.
func (r *Resource) Head(ctx context.Context, opts ...parley.RequestOption) (http.Header, error) {
	resp, err := r.Request(ctx, http.MethodHead, opts...)
	if err != nil {
		return nil, err
	}
	return resp.Header, nil
}

// Get gives the content of a resource as a T, decoded by its media type: see
// [parley.Response.Decode]. A string gets the text of any answer, a []byte its content, an
// any what [Resource.Get] gives, and a *[parley.Response] is the answer itself, whose body
// has been read. An answer without content gives the zero value. For content that is not to
// be held in memory see [Items], [Resource.Stream] and [Resource.Download].
func Get[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodGet, opts...))
}

// Post is [Resource.Post] for an answer of a type that is known: see [Get].
func Post[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodPost, opts...))
}

// Put is [Resource.Put] for an answer of a type that is known: see [Get].
func Put[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodPut, opts...))
}

// Patch is [Resource.Patch] for an answer of a type that is known: see [Get].
func Patch[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodPatch, opts...))
}

// Delete is [Resource.Delete] for an answer of a type that is known: see [Get].
func Delete[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodDelete, opts...))
}

// Options is [Resource.Options] for an answer of a type that is known: see [Get].
func Options[T any](ctx context.Context, r *Resource, opts ...parley.RequestOption) (T, error) {
	return contentOf[T](r.Request(ctx, http.MethodOptions, opts...))
}

// succeeded makes an error of every answer but a 2xx.
func succeeded(resp *parley.Response, err error) (*parley.Response, error) {
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	err = refusalOf(resp)
	resp.Close() // the status is what matters
	return nil, err
}

// refusalOf gives a *parley.StatusError for an answer of any status.
func refusalOf(resp *parley.Response) error {
	if err := resp.Err(); err != nil {
		return err
	}
	return &parley.StatusError{
		Method: resp.Request.Method, URL: resp.Request.URL,
		StatusCode: resp.StatusCode, Status: resp.Status, Header: resp.Header.Clone(),
	}
}

// contentOf gives the content of an answer that has been read, for use around a call.
func contentOf[T any](resp *parley.Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	if whole, ok := any(&v).(**parley.Response); ok {
		*whole = resp
		return v, nil
	}
	content, err := resp.Bytes()
	if err != nil || len(content) == 0 {
		return v, err
	}
	if anything, ok := any(&v).(*any); ok {
		*anything, err = untyped(resp, content)
		return v, err
	}
	return parley.As[T](resp, nil)
}

// untyped gives content by its media type.
func untyped(resp *parley.Response, content []byte) (any, error) {
	media := mediaOf(resp)
	switch {
	case isJSON(media):
		var v any
		err := resp.Decode(&v)
		return v, err
	case strings.HasPrefix(media, "text/"):
		return resp.Text()
	}
	return bytes.Clone(content), nil
}
