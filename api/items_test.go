package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// collectItems gives the elements and the errors of a loop.
func collectItems[T any](ctx context.Context, r *api.Resource, opts ...parley.RequestOption) (all []T, errs []error) {
	for v, err := range api.Items[T](ctx, r, opts...) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, v)
	}
	return all, errs
}

func TestItems_ofOneAnswer(t *testing.T) {
	t.Parallel()
	r := api.NewResource(resourceSession(t, serveTyped))
	type thing struct{ N int }
	want := []thing{{1}, {2}}
	for rule, tt := range map[string]struct {
		media, content string
		at             []string
	}{
		"an array":                 {"application/json", `[{"n":1},{"n":2}]`, nil},
		"an array of a type +json": {"application/hal+json; v=1", `[{"n":1},{"n":2}]`, nil},
		"an array in an object":    {"application/json", `{"data":{"total":2,"items":[{"n":1},{"n":2}]},"more":null}`, []string{"data", "items"}},
		"JSON lines":               {"application/jsonl", "{\"n\":1}\n\n{\"n\":2}", nil},
		"NDJSON":                   {"Application/X-NDJSON", "{\"n\":1}\r\n{\"n\":2}\n", nil},
	} {
		t.Run(rule, func(t *testing.T) {
			got, errs := collectItems[thing](t.Context(), r, parley.WithQuery("type", tt.media), parley.WithQuery("content", tt.content), api.WithItemsAt(tt.at...))
			require.Empty(t, errs)
			require.Equal(t, want, got)
		})
	}
	lines, errs := collectItems[string](t.Context(), r, parley.WithQuery("type", "text/csv"), parley.WithQuery("content", "a,b\nc,d"))
	require.Empty(t, errs)
	require.Equal(t, []string{"a,b", "c,d"}, lines)
	for rule, status := range map[string]string{"no content": "204", "empty content": "200"} {
		lines, errs = collectItems[string](t.Context(), r, parley.WithQuery("type", "application/json"), parley.WithQuery("status", status))
		require.Empty(t, errs, rule)
		require.Empty(t, lines, rule)
	}

	got, errs := collectItems[thing](t.Context(), r, parley.WithQuery("type", "application/json"), parley.WithQuery("content", `[{"n":1},{"n":"x"},{"n":2}]`))
	require.Equal(t, want, got, "what does not fit is left out by a loop that goes on")
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], parley.ErrDecoding)
	for _, tt := range [][2]string{{"application/json", `{"n":1}`}, {"application/json", `[{"n":1},`}, {"image/png", "x"}, {"text/plain", "x"}} {
		_, errs := collectItems[thing](t.Context(), r, parley.WithQuery("type", tt[0]), parley.WithQuery("content", tt[1]))
		require.Len(t, errs, 1, tt)
		require.ErrorIs(t, errs[0], parley.ErrDecoding, tt)
	}
	require.Zero(t, r.Client().Stats().Active)
}

// An answer that does not end is read as it comes, and a loop that is left closes it.
func TestItems_streams(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintln(w, n)
			if n == 3 {
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				<-r.Context().Done()
			}
		}
		ended <- r.Context().Err()
	})
	r := api.NewResource(c)
	for n, err := range api.Items[int](t.Context(), r) {
		require.NoError(t, err)
		if n == 3 {
			break
		}
	}
	require.Error(t, <-ended)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for n, err := range api.Items[int](ctx, r) {
		if last = err; n == 3 {
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Error(t, <-ended)
	require.Zero(t, c.Stats().Active)
}

// serveBook has 5 numbers on pages of 2.
func serveBook(requests *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		q := r.URL.Query()
		number := func(name string, otherwise int) int {
			n, err := strconv.Atoi(q.Get(name))
			if err != nil {
				return otherwise
			}
			return n
		}
		from := number("offset", (number("page", 1)-1)*2)
		if cursor := q.Get("after"); cursor != "" {
			from = number("after", 0)
		}
		from = min(from, 5)
		to := min(from+2, 5)
		items := []string{}
		for n := from; n < to; n++ {
			items = append(items, strconv.Itoa(n))
		}
		next, cursor, number2 := `""`, "null", "false"
		if to < 5 {
			u := *r.URL
			q.Set("offset", strconv.Itoa(to))
			u.RawQuery = q.Encode()
			w.Header().Set("Link", "<"+u.String()+`>; rel="next"`)
			next, cursor, number2 = strconv.Quote(u.RequestURI()), strconv.Quote(strconv.Itoa(to)), strconv.Itoa(to)
		}
		if r.Header.Get("X-Own") != "1" || q.Get("q") != "a b" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		serveJSON(w, fmt.Sprintf(`{"items":[%s],"links":{"next":%s},"cursor":%s,"number":%s}`, strings.Join(items, ","), next, cursor, number2))
	}
}

func TestItems_ofPages(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	r := api.NewResource(resourceSession(t, serveBook(&requests)), parley.WithHeader("X-Own", "1"), parley.WithQuery("q", "a b"), api.WithItemsAt("items"))
	own := func(p *api.Page) (*parley.Request, error) {
		if p.Index == 2 {
			return nil, nil
		}
		return p.With(parley.WithQuery("offset", strconv.Itoa((p.Index+1)*2)))
	}
	for rule, tt := range map[string]struct {
		pager    api.Pager
		opts     []parley.RequestOption
		from     int
		requests int
	}{
		"Link headers":               {api.LinkPages(), nil, 0, 3},
		"URLs in the content":        {api.URLPages("links", "next"), nil, 0, 3},
		"a cursor":                   {api.CursorPages("after", "cursor"), nil, 0, 3},
		"a cursor that is a number":  {api.CursorPages("after", "number"), nil, 0, 3},
		"numbers":                    {api.NumberedPages("page"), nil, 0, 4},
		"numbers from another start": {api.NumberedPages("page"), []parley.RequestOption{parley.WithQuery("page", "2")}, 2, 3},
		"offsets":                    {api.OffsetPages("offset"), nil, 0, 4},
		"offsets from another start": {api.OffsetPages("offset"), []parley.RequestOption{parley.WithQuery("offset", "3")}, 3, 2},
		"one's own":                  {own, nil, 0, 3},
		"a missing member ends":      {api.CursorPages("after", "meta", "cursor"), []parley.RequestOption{parley.WithQuery("offset", "4")}, 4, 1},
	} {
		t.Run(rule, func(t *testing.T) {
			requests.Store(0)
			got, errs := collectItems[int](t.Context(), r, append(tt.opts, api.WithPager(tt.pager))...)
			require.Empty(t, errs)
			require.Equal(t, []int{0, 1, 2, 3, 4}[tt.from:], got)
			require.EqualValues(t, tt.requests, requests.Load())
		})
	}
	requests.Store(0)
	for n, err := range api.Items[int](t.Context(), r, api.WithPager(api.LinkPages())) {
		require.NoError(t, err)
		if n == 2 {
			break
		}
	}
	require.EqualValues(t, 2, requests.Load(), "no page is asked for before it is wanted")
	require.Zero(t, r.Client().Stats().Active)
}

func TestItems_ofPagesEndsWithWhatWentWrong(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/loop":
			serveJSON(w, `{"items":[1],"next":"loop?x=1"}`)
		case "/v1/deaf":
			serveJSON(w, `{"items":[1],"next":"same"}`)
		case "/v1/broken":
			w.Header().Set("Link", `<broken>; rel=next`)
			serveJSON(w, `{"items":[1,`)
		case "/v1/misfit":
			serveJSON(w, `{"items":[1,"x",3]}`)
		case "/v1/empty":
		case "/v1/odd":
			serveJSON(w, `{"items":[1],"next":{"a":1}}`)
		case "/v1/flat":
			serveJSON(w, `{"items":[1],"next":1}`)
		case "/v1/gone":
			serveJSON(w, `{"items":[1],"next":"nowhere"}`)
		case "/v1/scheme":
			serveJSON(w, `{"items":[1],"next":"file:///etc/passwd"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	r := api.NewResource(c, api.WithItemsAt("items"))
	mine, aStatus := errors.New("mine"), errors.New("a StatusError")
	for path, tt := range map[string]struct {
		pager api.Pager
		items []int
		kind  error
	}{
		"loop":   {api.URLPages("next"), []int{1, 1}, parley.ErrPageLoop},
		"deaf":   {api.NumberedPages("page"), []int{1, 1}, parley.ErrPageLoop},
		"deaf?":  {api.CursorPages("after", "next"), []int{1, 1}, parley.ErrPageLoop},
		"broken": {api.LinkPages(), []int{1}, parley.ErrDecoding},
		"misfit": {api.LinkPages(), []int{1, 3}, parley.ErrDecoding},
		"empty":  {api.URLPages("next"), nil, nil},
		"odd":    {api.URLPages("next"), []int{1}, parley.ErrDecoding},
		"flat":   {api.URLPages("next", "href"), []int{1}, parley.ErrDecoding},
		"gone":   {api.URLPages("next"), []int{1}, aStatus},
		"scheme": {api.URLPages("next"), []int{1}, parley.ErrUnsupportedProtocol},
		"flat?":  {func(*api.Page) (*parley.Request, error) { return nil, mine }, []int{1}, mine},
		"flat?a": {func(p *api.Page) (*parley.Request, error) { return p.With(parley.WithJSON(1)) }, []int{1, 1}, parley.ErrPageLoop},
	} {
		got, errs := collectItems[int](t.Context(), r.Join(path), api.WithPager(tt.pager))
		require.Equal(t, tt.items, got, path)
		switch {
		case tt.kind == nil:
			require.Empty(t, errs, path)
		case tt.kind == aStatus:
			require.Len(t, errs, 1, path)
			require.ErrorAs(t, errs[0], new(*parley.StatusError), path)
		default:
			require.Len(t, errs, 1, path)
			require.ErrorIs(t, errs[0], tt.kind, path)
		}
	}
	for n, err := range api.Items[int](t.Context(), r.Join("misfit"), api.WithPager(api.LinkPages())) {
		if err != nil {
			require.ErrorContains(t, err, "in element 1")
			break // there as well
		}
		require.Equal(t, 1, n)
	}
	_, errs := collectItems[int](t.Context(), r.Join("flat?page=x"), api.WithPager(api.NumberedPages("page")))
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "no number")
}

// The next page on another origin gets nothing that is meant for the first one's.
func TestItems_ofPagesLeavesCredentialsBehind(t *testing.T) {
	t.Parallel()
	page := func(next string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", next)
			serveJSON(w, fmt.Sprintf(`[%q]`, r.Host+" "+r.Header.Get("Authorization")+r.Header.Get("X-Own")))
		}
	}
	c := resourceClient(t, parley.WithBearerToken("t"), parley.WithHandler(resourceHosts{
		"a.test": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/2" {
				page("")(w, r)
				return
			}
			page(`<http://b.test/>; rel=next`)(w, r)
		},
		"b.test": page(`<http://a.test/2>; rel=next`),
	}))
	r := api.NewResource(c, parley.WithHeader("X-Own", "1")).Join("http://a.test")
	got, errs := collectItems[string](t.Context(), r, api.WithPager(api.LinkPages()))
	require.Empty(t, errs)
	require.Equal(t, []string{"a.test Bearer t1", "b.test ", "a.test "}, got)
}

// A body that is sent once only is not compared, and one that fails ends the loop.
func TestItems_ofPagesNamedInABody(t *testing.T) {
	t.Parallel()
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		serveJSON(w, `["`+string(body)+`"]`)
	})
	pager := func(p *api.Page) (*parley.Request, error) {
		switch p.Index {
		case 0:
			return p.With(parley.WithReader(io.MultiReader(strings.NewReader("a"))))
		case 1:
			return p.With(parley.WithReader(io.MultiReader(strings.NewReader("b"))))
		}
		return p.With(parley.WithBodyFile(t.TempDir() + "/none"))
	}
	got, errs := collectItems[string](t.Context(), api.NewResource(c), api.WithPager(pager))
	require.Equal(t, []string{"", "a", "b"}, got)
	require.Len(t, errs, 1)
}
