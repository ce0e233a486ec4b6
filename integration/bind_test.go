package integration

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// binAPI declares a part of go-httpbin.
type binAPI struct {
	_ struct{} `header:"X-Declared: yes" query:"static=1"`

	Anything func(ctx context.Context, method string, tags []string, token string) (echo, error)      `http:"GET anything/{method}" args:"method, query:tag, auth:bearer"`
	Create   func(ctx context.Context, v any) (echo, api.Meta, error)                                 `http:"POST anything"`
	Edit     func(ctx context.Context, id int, name string, age *int) (echo, error)                   `http:"PATCH anything/{id}" args:"id, field:user.name, field:user.age"`
	Form     func(ctx context.Context, name string, tags []string) (echo, error)                      `http:"POST anything" args:"form:name, form:tag"`
	Status   func(ctx context.Context, code int) error                                                `http:"GET status/{code}"`
	Lines    func(ctx context.Context, n int) iter.Seq2[struct{ ID int }, error]                      `http:"GET stream/{n}" result:"jsonlines"`
	Bytes    func(ctx context.Context, n int) ([]byte, error)                                         `http:"GET bytes/{n}"`
	Stream   func(ctx context.Context, n int) (io.ReadCloser, error)                                  `http:"GET stream-bytes/{n}"`
	Redirect func(ctx context.Context, n int, opts ...parley.RequestOption) (*parley.Response, error) `http:"GET redirect/{n}"`
	Events   func(ctx context.Context, count int) iter.Seq2[parley.Event, error]                      `http:"GET sse{?count}" query:"duration=10ms&delay=1ms"`
	Cookies  func(ctx context.Context, sid string) (map[string]any, error)                            `http:"GET cookies" args:"cookie:sid"`
	ETag     func(ctx context.Context, tag, match string) (*parley.Response, error)                   `http:"GET etag/{tag}" args:"tag, header:If-None-Match"`
}

func TestBinBound(t *testing.T) {
	v, err := api.Bind[binAPI](session(t, parley.WithBaseURL(bin(t).URL)))
	require.NoError(t, err)
	ctx := t.Context()

	got, err := v.Anything(ctx, "a b/c", []string{"x", "y"}, "t0ken")
	require.NoError(t, err)
	require.Contains(t, got.URL, "/anything/a%20b%2Fc?")
	require.Equal(t, map[string][]string{"static": {"1"}, "tag": {"x", "y"}}, got.Args)
	require.Equal(t, []string{"yes"}, got.Headers["X-Declared"])
	require.Equal(t, []string{"Bearer t0ken"}, got.Headers["Authorization"])

	got, meta, err := v.Create(ctx, map[string]int{"n": 1})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, meta.StatusCode)
	require.Equal(t, map[string]any{"n": 1.0}, got.JSON)
	got, _, err = v.Create(ctx, strings.NewReader("read"))
	require.NoError(t, err)
	require.Contains(t, got.Data, "cmVhZA==")

	got, err = v.Edit(ctx, 7, "Ada", nil)
	require.NoError(t, err)
	require.Equal(t, "PATCH", got.Method)
	require.Equal(t, map[string]any{"user": map[string]any{"name": "Ada"}}, got.JSON)

	got, err = v.Form(ctx, "ä & ö", []string{"1", "2"})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"name": {"ä & ö"}, "tag": {"1", "2"}}, got.Form)

	var status *parley.StatusError
	require.ErrorAs(t, v.Status(ctx, 418), &status)
	require.Equal(t, 418, status.StatusCode)
	require.NoError(t, v.Status(ctx, 204))

	var ids []int
	for line, err := range v.Lines(ctx, 3) {
		require.NoError(t, err)
		ids = append(ids, line.ID)
	}
	require.Equal(t, []int{0, 1, 2}, ids)

	content, err := v.Bytes(ctx, 100)
	require.NoError(t, err)
	require.Len(t, content, 100)
	r, err := v.Stream(ctx, 1000)
	require.NoError(t, err)
	content, err = io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Len(t, content, 1000)

	resp, err := v.Redirect(ctx, 2)
	require.NoError(t, err)
	require.Len(t, resp.History, 2)
	resp, err = v.Redirect(ctx, 2, parley.WithFollowRedirects(false))
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, resp.StatusCode)

	events := 0
	for event, err := range v.Events(ctx, 3) {
		require.NoError(t, err)
		require.NotEmpty(t, event.Data)
		events++
	}
	require.Equal(t, 3, events)

	cookies, err := v.Cookies(ctx, "1")
	require.NoError(t, err)
	require.Contains(t, cookies, "cookies")
	resp, err = v.ETag(ctx, "abc", `"abc"`)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
}

func TestBinBoundParts(t *testing.T) {
	type uploads struct {
		Do func(ctx context.Context, title string, file []byte, more ...parley.Part) (struct {
			Form, Files map[string][]string
		}, error) `http:"POST post" args:"part:title, part:file, part"`
	}
	v, err := api.Bind[uploads](session(t, parley.WithBaseURL(bin(t).URL)))
	require.NoError(t, err)
	got, err := v.Do(t.Context(), "Tom", []byte("meow"), parley.FormField("more", "1"))
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"title": {"Tom"}, "more": {"1"}}, got.Form)
	require.Equal(t, []string{"meow"}, got.Files["file"])
}
