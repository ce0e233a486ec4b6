package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Exists asks with HEAD whether there is something: true for a 2xx, false for 404 and 410,
// an error for everything else.
func (r *Resource) Exists(ctx context.Context, opts ...parley.RequestOption) (bool, error) {
	_, err := r.Request(ctx, http.MethodHead, opts...)
	if saysGone(err) {
		return false, nil
	}
	return err == nil, err
}

// saysGone reports whether a server said that there is nothing.
func saysGone(err error) bool {
	var status *parley.StatusError
	return errors.As(err, &status) && (status.StatusCode == http.StatusNotFound || status.StatusCode == http.StatusGone)
}

// Create posts v as JSON and gives the resource that came of it: what Location names, or
// where a 303 led. Content of another kind is an option, and v is nil then.
//
// The new resource is used as the server named it, without a suffix, and on the origin of
// this one it has its options. To another origin neither they nor the session's values go
// along: see [parley.Client.NewRequestFrom].
//
// An answer without Location is [http.ErrNoLocation], though the server may have created
// something: use Post where the content of the answer tells of it.
func (r *Resource) Create(ctx context.Context, v any, opts ...parley.RequestOption) (*Resource, error) {
	if v != nil {
		opts = append([]parley.RequestOption{parley.WithJSON(v)}, opts...)
	}
	resp, err := r.Request(ctx, http.MethodPost, opts...)
	if err != nil {
		return nil, err
	}
	u, err := resp.Location()
	if n := len(resp.History); err != nil && n > 0 && resp.History[n-1].StatusCode == http.StatusSeeOther {
		u, err = resp.Request.URL, nil
	}
	if err != nil {
		return nil, err
	}
	return r.named(resp, u)
}

// named gives the resource that a server names in an answer.
func (r *Resource) named(resp *parley.Response, u *url.URL) (*Resource, error) {
	asked, home := resp.Request.URL, true // home: no other origin has had a word in it
	if len(resp.History) > 0 {
		asked = resp.History[0].Request.URL
	}
	for _, hop := range resp.History {
		home = home && sharesOrigin(asked, hop.Request.URL)
	}
	home = home && sharesOrigin(asked, resp.Request.URL) && sharesOrigin(asked, u)
	out := NewResource(r.client)
	if home {
		out.opts, out.from = r.opts, r.from
	} else {
		req, err := r.client.NewRequestFrom(resp, u.String())
		if err != nil {
			return nil, err
		}
		out.from = req
	}
	whole, _, _ := strings.Cut(u.String(), "#")
	path, query, _ := strings.Cut(whole, "?")
	out.origin, out.path = splitOrigin(path)
	out.query = query
	return out, nil
}

// Update changes those fields of the resource that are given, and gives the content of the
// answer: a PATCH with fields, a map or a struct, as JSON. [WithMergePatch] makes it a
// merge patch.
func (r *Resource) Update(ctx context.Context, fields any, opts ...parley.RequestOption) (any, error) {
	return r.Patch(ctx, append([]parley.RequestOption{parley.WithJSON(fields)}, opts...)...)
}

// WithMergePatch sends the JSON of [Resource.Update] or a Patch with the type
// application/merge-patch+json (RFC 7396), in which null removes a field.
func WithMergePatch() parley.RequestOption {
	return parley.WithHeader("Content-Type", "application/merge-patch+json")
}

// Download fetches the resource to a file or into a directory: see
// [parley.Client.Download]. One that [Resource.Create] has found on another origin cannot
// be downloaded: use Join with its URL.
func (r *Resource) Download(ctx context.Context, path string, opts ...parley.RequestOption) (*parley.DownloadResult, error) {
	if r.err != nil {
		return nil, r.unsent(http.MethodGet, opts)
	}
	if r.from != nil {
		return nil, r.failed(errDownloadElsewhere).unsent(http.MethodGet, opts)
	}
	return r.client.Download(ctx, r.reference(), path, r.with(opts)...)
}

var errDownloadElsewhere = fmt.Errorf("a server named the resource, on another origin: Join its URL to one that may go there: %w", errors.ErrUnsupported)
