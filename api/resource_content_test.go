package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// serveTyped answers with the content type and the content that the query names.
func serveTyped(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header()["Content-Type"] = q["type"]
	if status := q.Get("status"); status == "204" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	io.WriteString(w, q.Get("content"))
}

func TestResource_contentByItsType(t *testing.T) {
	t.Parallel()
	r := api.NewResource(resourceSession(t, serveTyped))
	for rule, tt := range map[string]struct {
		media, content string
		want           any
	}{
		"JSON":                    {"application/json", `{"a":[1,null]}`, map[string]any{"a": []any{1.0, nil}}},
		"JSON with parameters":    {"Application/JSON; charset=utf-8", `"x"`, "x"},
		"JSON of another name":    {"application/vnd.github.v3+json", `[true]`, []any{true}},
		"problem details":         {"application/problem+json", `{}`, map[string]any{}},
		"text":                    {"text/plain", "hello", "hello"},
		"text in another charset": {"text/plain; charset=iso-8859-1", "gr\xfc\xdfe", "grüße"},
		"HTML is text":            {"text/html", "<p>", "<p>"},
		"bytes":                   {"application/octet-stream", "\x00\x01", []byte{0, 1}},
		"XML is bytes":            {"application/xml", "<a/>", []byte("<a/>")},
		"no type is bytes":        {"", "{}", []byte("{}")},
		"nothing at all":          {"application/json", "", nil},
	} {
		t.Run(rule, func(t *testing.T) {
			opts := []parley.RequestOption{parley.WithQuery("content", tt.content)}
			if tt.media != "" {
				opts = append(opts, parley.WithQuery("type", tt.media))
			}
			got, err := r.Get(t.Context(), opts...)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			same, err := api.Get[any](t.Context(), r, opts...)
			require.NoError(t, err)
			require.Equal(t, tt.want, same)
			text, err := api.Get[string](t.Context(), r, opts...)
			require.NoError(t, err)
			content, err := api.Get[[]byte](t.Context(), r, opts...)
			require.NoError(t, err)
			require.Equal(t, tt.content, string(content))
			if s, ok := tt.want.(string); ok && strings.HasPrefix(tt.media, "text/") {
				require.Equal(t, s, text)
			}
		})
	}
	for name, of := range map[string]any{"a value": 0, "a pointer": (*int)(nil)} {
		var got any
		var err error
		if _, ok := of.(int); ok {
			got, err = api.Get[int](t.Context(), r, parley.WithQuery("status", "204"))
		} else {
			got, err = api.Get[*int](t.Context(), r, parley.WithQuery("status", "204"))
		}
		require.NoError(t, err, name)
		require.Equal(t, of, got, name)
	}
	resp, err := api.Get[*parley.Response](t.Context(), r, parley.WithQuery("content", "x"), parley.WithQuery("type", "a/b"))
	require.NoError(t, err)
	require.Equal(t, "a/b", resp.Header.Get("Content-Type"))
	raw, err := api.Get[json.RawMessage](t.Context(), r, parley.WithQuery("content", `{"n":9007199254740993}`), parley.WithQuery("type", "text/json"))
	require.NoError(t, err)
	require.JSONEq(t, `{"n":9007199254740993}`, string(raw))
	_, err = r.Get(t.Context(), parley.WithQuery("content", "{"), parley.WithQuery("type", "application/json"))
	require.ErrorIs(t, err, parley.ErrDecoding)
	_, err = api.Get[io.ReadCloser](t.Context(), r, parley.WithQuery("content", "{}"), parley.WithQuery("type", "application/json"))
	require.ErrorIs(t, err, parley.ErrDecoding)
}

// A type that the session has a decoder for is decoded by it.
func TestGet_decodesAsTheSessionSays(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, serveTyped, parley.WithDecoder("application/upper", func(r io.Reader, v any) error {
		b, err := io.ReadAll(r)
		v.(*struct{ S string }).S = strings.ToUpper(string(b))
		return err
	}))
	got, err := api.Get[struct{ S string }](t.Context(), api.NewResource(c), parley.WithQuery("content", "x"), parley.WithQuery("type", "application/upper"))
	require.NoError(t, err)
	require.Equal(t, "X", got.S)
}

func TestResource_methods(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Method", r.Method)
		serveJSON(w, `["`+r.Method+`","`+r.Header.Get("Content-Type")+`","`+string(body)+`"]`)
	})
	r, ctx, body := api.NewResource(c).At("x"), t.Context(), parley.WithJSON(1)
	type triple [3]string
	get := func(v any, err error) any {
		require.NoError(t, err)
		return v
	}
	pair := func(v triple, err error) any { return get(v, err) }
	for method, tt := range map[string]struct{ untyped, typed any }{
		"GET":     {get(r.Get(ctx)), pair(api.Get[triple](ctx, r))},
		"DELETE":  {get(r.Delete(ctx)), pair(api.Delete[triple](ctx, r))},
		"OPTIONS": {get(r.Options(ctx)), pair(api.Options[triple](ctx, r))},
		"POST":    {get(r.Post(ctx, body)), pair(api.Post[triple](ctx, r, body))},
		"PUT":     {get(r.Put(ctx, body)), pair(api.Put[triple](ctx, r, body))},
		"PATCH":   {get(r.Patch(ctx, body)), pair(api.Patch[triple](ctx, r, body))},
	} {
		want := triple{method}
		if strings.HasPrefix(method, "P") {
			want = triple{method, "application/json", "1"}
		}
		require.Equal(t, []any{want[0], want[1], want[2]}, tt.untyped, method)
		require.Equal(t, want, tt.typed, method)
	}
	header, err := r.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, "HEAD", header.Get("X-Method"))
	resp, err := r.Request(ctx, "PURGE")
	require.NoError(t, err)
	require.Equal(t, "PURGE", resp.Header.Get("X-Method"))
	resp, err = r.Stream(ctx, "GET")
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Zero(t, c.Stats().Active)
}

// resourceFailure is an API's own error type.
type resourceFailure struct{ Code string }

func (e *resourceFailure) Error() string { return "code " + e.Code }

func TestResource_errorsAreStatusErrors(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/problem":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"type":"https://api.test/no-credit","title":"no credit","balance":30}`)
		case "/v1/own":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"code":"taken"}`)
		case "/v1/unchanged":
			w.WriteHeader(http.StatusNotModified)
		case "/v1/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}, parley.WithFollowRedirects(false))
	r := api.NewResource(c, parley.WithErrorType[*resourceFailure]())
	for path, status := range map[string]int{"problem": 403, "own": 409, "unchanged": 304, "moved": 302} {
		for name, call := range resourceCalls(t, r.At(path)) {
			if name == "Download" || name == "Authorize" {
				continue // which have rules of their own for some of them
			}
			var refused *parley.StatusError
			require.ErrorAs(t, call(t.Context()), &refused, "%s %s", name, path)
			require.Equal(t, status, refused.StatusCode)
		}
	}
	require.Zero(t, c.Stats().Active, "what was refused is not left open")

	_, err := r.At("problem").Get(t.Context())
	var problem *parley.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "no credit", problem.Title)
	require.JSONEq(t, "30", string(problem.Extensions["balance"]))
	_, err = api.Get[int](t.Context(), r.At("own"))
	var own *resourceFailure
	require.ErrorAs(t, err, &own)
	require.Equal(t, "taken", own.Code)
}
