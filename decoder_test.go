package parley_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// marking is a decoder that leaves its name and what it has read.
func marking(name string) func(io.Reader, any) error {
	return func(r io.Reader, v any) error {
		content, err := io.ReadAll(r)
		*v.(*mark) = mark{name + ": " + string(content)}
		return err
	}
}

type mark struct{ Text string }

// typed serves a content with the media type that the path names.
func typed(t *testing.T, content string, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		media := strings.TrimPrefix(r.URL.Path, "/")
		if media == "" {
			return answer(content)
		}
		return answer(content, "Content-Type: "+media+"; charset=utf-8")
	}))
	return sessionTo(t, s, opts...)
}

func TestDecoder_theOneThatFitsBestDecodes(t *testing.T) {
	t.Parallel()
	c := typed(t, `{"Text":"own"}`,
		parley.WithDecoder("*/*", marking("any")),
		parley.WithDecoder("application/*", marking("kind")),
		parley.WithDecoder("application/*+cbor", marking("suffix")),
		parley.WithDecoder("*/*+yaml", marking("any suffix")),
		parley.WithDecoder("application/YAML", marking("exact")),
		parley.WithDecoder("application/vnd.b+json", nil),
		parley.WithDecoder("application/twice", marking("first")), parley.WithDecoder("application/twice", marking("last")),
	)
	for media, want := range map[string]string{
		"application/yaml": "exact", "Application/Yaml": "exact", "application/x.y+cbor": "suffix", "application/a+b+CBOR": "suffix",
		"text/x+yaml": "any suffix", "application/cbor": "kind", "application/json": "kind", "image/png": "any", "": "any",
		"application/+cbor": "suffix", "application/twice": "last",
	} {
		got, err := parley.As[mark](c.Get(t.Context(), "/"+media))
		require.NoError(t, err, media)
		require.Equal(t, want+`: {"Text":"own"}`, got.Text, media)
	}
	got, err := parley.As[mark](c.Get(t.Context(), "/application/vnd.b+json"))
	require.NoError(t, err)
	require.Equal(t, "own", got.Text, "nil is parley's own")
	text, err := parley.As[string](c.Get(t.Context(), "/application/yaml"))
	require.NoError(t, err)
	require.Equal(t, `{"Text":"own"}`, text, "a string is the text of any answer")
}

func TestDecoder_theRequestsWordWins(t *testing.T) {
	t.Parallel()
	c := typed(t, `{"Text":"own"}`, parley.WithDecoder("application/x+json", marking("session")))
	derived := derive(t, c, parley.WithDecoder("application/x+json", marking("derived")))
	for name, test := range map[string]struct {
		c    *parley.Client
		opts []parley.RequestOption
		want string
	}{
		"session": {c, nil, "session: "}, "derived": {derived, nil, "derived: "},
		"request":               {c, []parley.RequestOption{parley.WithDecoder("application/x+json", marking("request"))}, "request: "},
		"request, less exact":   {c, []parley.RequestOption{parley.WithDecoder("*/*", marking("request"))}, "request: "},
		"request, parley's own": {c, []parley.RequestOption{parley.WithDecoder("application/*+json", nil)}, ""},
		"request, another":      {c, []parley.RequestOption{parley.WithDecoder("application/yaml", marking("request"))}, "session: "},
	} {
		want := test.want + `{"Text":"own"}`
		if test.want == "" {
			want = "own"
		}
		for range 2 {
			got, err := parley.As[mark](test.c.Get(t.Context(), "application/x+json", test.opts...))
			require.NoError(t, err, name)
			require.Equal(t, want, got.Text, name)
		}
		req, err := parley.NewRequest("GET", test.c.BaseURL().String()+"application/x+json", test.opts...)
		require.NoError(t, err)
		got, err := parley.As[mark](test.c.Send(t.Context(), req))
		require.NoError(t, err, name)
		require.Equal(t, want, got.Text, name)
	}
}

func TestDecoder_itsFailureIsADecodingError(t *testing.T) {
	t.Parallel()
	fault := errors.New("a fault of its own")
	c := typed(t, "content", parley.WithDecoder("application/yaml", func(io.Reader, any) error { return fault }))
	resp, err := c.Get(t.Context(), "application/yaml")
	require.NoError(t, err)
	err = resp.Decode(new(mark))
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorIs(t, err, fault)
	require.ErrorContains(t, err, "application/yaml")
	_, err = parley.As[mark](c.Get(t.Context(), "image/png"))
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorContains(t, err, `no decoder for "image/png" into *parley_test.mark; WithDecoder adds one`)
	_, err = parley.As[mark](c.Get(t.Context(), "application/yaml", parley.WithMaxBodyBytes(3)))
	require.ErrorIs(t, err, parley.ErrBodyTooLarge)
	for _, media := range []string{"", "yaml", "application/", "/yaml", "a/b/c", "a /b", "application/*+", "*/yaml", "app*/yaml", "application/y*", "application/*yaml", "a/b; c=d"} {
		_, err := parley.New(parley.WithDecoder(media, marking("x")))
		require.ErrorContains(t, err, "is no media type", media)
		_, err = parley.NewRequest("GET", "http://a.test/", parley.WithDecoder(media, marking("x")))
		require.ErrorContains(t, err, "is no media type", media)
	}
}

func TestDecoder_isExplained(t *testing.T) {
	t.Parallel()
	c, err := parley.New(parley.WithDecoder("application/yaml", marking("x")), parley.WithErrorType[*apiError]())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	req, err := c.NewRequest("GET", "http://a.test/", parley.WithDecoder("text/*", nil))
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	require.Regexp(t, `Decoder of text/\*: as parley does \(request\)`, e.String())
	require.Regexp(t, `Decoder of application/yaml: .*marking.* \(session\)`, e.String())
	require.Contains(t, e.String(), "ErrorType: *parley_test.apiError (session)")
}

func TestDecode_textGoesIntoWhatReadsText(t *testing.T) {
	t.Parallel()
	c := typed(t, "192.0.2.1")
	addr, err := parley.As[netip.Addr](c.Get(t.Context(), "text/plain"))
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), addr)
	anything, err := parley.As[any](c.Get(t.Context(), "text/html"))
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", anything)
	_, err = parley.As[time.Time](c.Get(t.Context(), "text/plain"))
	require.ErrorIs(t, err, parley.ErrDecoding)
	for _, v := range []any{(*netip.Addr)(nil), (*any)(nil), new(int), mark{}} {
		resp, err := c.Get(t.Context(), "text/plain")
		require.NoError(t, err)
		require.ErrorIs(t, resp.Decode(v), parley.ErrDecoding, "%T", v)
	}
}

// label is a string of one's own, grade a type that reads text, and base embedded.
type (
	label string
	grade struct{ n int }
	base  struct {
		ID int `url:"id"`
	}
	order struct {
		base
		Name    string     `url:"name"`
		Label   label      `url:"label"`
		On      bool       `url:"on"`
		Off     bool       `url:"off,int"`
		Price   float64    `url:"price"`
		Small   int8       `url:"small"`
		Count   uint       `url:"count"`
		Tags    []string   `url:"tag"`
		IDs     []int      `url:"ids,comma"`
		Listed  []string   `url:"listed,brackets"`
		Level   grade      `url:"level"`
		Levels  []*grade   `url:"levels"`
		When    time.Time  `url:"when"`
		Since   *time.Time `url:"since,unix"`
		Pointer *int       `url:"pointer"`
		Absent  *int       `url:"absent"`
		Plain   string
		Hidden  string          `url:"-"`
		Deep    struct{ A int } `url:"deep"`
		Nothing chan int        `url:"nothing"`
	}
)

func (l *grade) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "level %d", &l.n)
	return err
}

func TestDecode_formsFillStructs(t *testing.T) {
	t.Parallel()
	const form = "id=7&name=J%C3%BCrgen+W%26&label=l&on=true&off=1&price=1.5&small=-8&count=9&tag=a&tag=b&ids=1,2,3" +
		"&listed%5B%5D=x&listed%5B%5D=y&level=level+4&levels=level+5&levels=level+6&when=2024-01-02T03:04:05Z&since=1700000000" +
		"&pointer=3&Plain=p&Hidden=h&unknown=1&&;=;"
	got, err := parley.As[*order](typed(t, form).Get(t.Context(), "application/x-www-form-urlencoded"))
	require.NoError(t, err)
	three, since := 3, time.Unix(1700000000, 0)
	require.Equal(t, &order{
		base: base{7}, Name: "Jürgen W&", Label: "l", On: true, Off: true, Price: 1.5, Small: -8, Count: 9, Tags: []string{"a", "b"},
		IDs: []int{1, 2, 3}, Listed: []string{"x", "y"}, Level: grade{4}, Levels: []*grade{{5}, {6}},
		When: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Since: &since, Pointer: &three, Plain: "p",
	}, got)
	for _, bad := range []string{
		"id=seven", "on=perhaps", "price=x", "small=128", "count=-1", "ids=1,x", "level=4", "when=now", "since=now", "deep=1", "nothing=1", "name=%zz", "%=1",
	} {
		_, err := parley.As[order](typed(t, bad).Get(t.Context(), "application/x-www-form-urlencoded"))
		require.ErrorIs(t, err, parley.ErrDecoding, bad)
		_, value, _ := strings.Cut(bad, "=")
		if len(value) > 2 {
			require.NotContains(t, strings.TrimPrefix(err.Error(), "GET "), ": "+value, "the value may be a secret")
		}
	}
}

func TestDecode_formsFillMapsAndLists(t *testing.T) {
	t.Parallel()
	c := typed(t, "b=1&a=2&b=3&c")
	get := func(v any) error {
		resp, err := c.Get(t.Context(), "application/x-www-form-urlencoded")
		require.NoError(t, err)
		return resp.Decode(v)
	}
	var values url.Values
	require.NoError(t, get(&values))
	require.Equal(t, url.Values{"a": {"2"}, "b": {"1", "3"}, "c": {""}}, values)
	var lists map[string][]string
	require.NoError(t, get(&lists))
	require.Equal(t, map[string][]string(values), lists)
	var first map[string]string
	require.NoError(t, get(&first))
	require.Equal(t, map[string]string{"a": "2", "b": "1", "c": ""}, first)
	var params parley.Params
	require.NoError(t, get(&params))
	require.Equal(t, parley.Params{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b", Value: "3"}, {Key: "c", Value: ""}}, params)
	var anything any
	require.NoError(t, get(&anything))
	require.Equal(t, values, anything)
	for _, v := range []any{order{}, (*order)(nil), new(int), nil, new([]string)} {
		require.ErrorIs(t, get(v), parley.ErrDecoding, "%T", v)
	}
}

// What WithForm sends Decode reads.
func TestDecode_readsWhatWithFormWrites(t *testing.T) {
	t.Parallel()
	type sent struct {
		Name string    `url:"name"`
		Tags []string  `url:"tag"`
		IDs  []int     `url:"ids,comma"`
		When time.Time `url:"when,unix"`
		On   bool      `url:"on,int"`
		Up   float32   `url:"up"`
	}
	want := sent{"a & b=c+d", []string{"x", "y z"}, []int{1, 2}, time.Unix(1700000000, 0), true, 0.25}
	body, err := parley.FormBody(want)
	require.NoError(t, err)
	r, err := body.Open()
	require.NoError(t, err)
	form, err := io.ReadAll(r)
	require.NoError(t, err)
	got, err := parley.As[sent](typed(t, string(form)).Get(t.Context(), "application/x-www-form-urlencoded"))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// apiError is an API's own error.
type apiError struct {
	Code  int    `json:"code"`
	Token string `json:"token"`
}

func (e *apiError) Error() string { return fmt.Sprint("api error ", e.Code) }

// plainError is one that is no pointer.
type plainError struct{ Code int }

func (e plainError) Error() string { return "plain" }

// failingWith answers with a status and a body of a media type.
func failingWith(t *testing.T, media, body string, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return strings.Replace(answer(body, "Content-Type: "+media), "200 OK", "422 Unprocessable Content", 1)
	}))
	return sessionTo(t, s, opts...)
}

func TestErrorType_isFoundInTheError(t *testing.T) {
	t.Parallel()
	const body = `{"code":7,"token":"SECRET"}`
	c := failingWith(t, "application/json", body, parley.WithErrorType[*apiError]())
	for name, call := range map[string]func(opts ...parley.RequestOption) error{
		"As": func(opts ...parley.RequestOption) error {
			_, err := parley.As[mark](c.Get(t.Context(), "x", opts...))
			return err
		},
		"read": func(opts ...parley.RequestOption) error {
			resp, err := c.Get(t.Context(), "x", opts...)
			require.NoError(t, err)
			return resp.Err()
		},
		"streamed": func(opts ...parley.RequestOption) error {
			resp, err := c.Stream(t.Context(), "GET", "x", opts...)
			require.NoError(t, err)
			defer resp.Close()
			return resp.Err()
		},
	} {
		err := call()
		var own *apiError
		require.ErrorAs(t, err, &own, name)
		require.Equal(t, &apiError{7, "SECRET"}, own, name)
		var status *parley.StatusError
		require.ErrorAs(t, err, &status, name)
		require.Equal(t, 422, status.StatusCode)
		require.Same(t, own, status.Cause)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, status, status), "SECRET", name)

		var plain plainError
		require.ErrorAs(t, call(parley.WithErrorType[plainError]()), &plain, "%s: the request's word wins", name)
		require.Equal(t, plainError{7}, plain)
		require.NotErrorAs(t, call(parley.WithErrorType[error]()), &own, "%s: taken back", name)
	}
}

func TestErrorType_whatIsNoneLeavesTheStatus(t *testing.T) {
	t.Parallel()
	for media, body := range map[string]string{
		"text/html": "<p>down</p>", "application/json": `{"code":"seven"}`, "image/png": "x", "application/problem+json": `{"code":1`,
	} {
		_, err := parley.As[mark](failingWith(t, media, body, parley.WithErrorType[*apiError]()).Get(t.Context(), "x"))
		var status *parley.StatusError
		require.ErrorAs(t, err, &status, media)
		require.NoError(t, status.Cause, media)
		require.NotErrorAs(t, err, new(*apiError), media)
	}
	c := failingWith(t, "application/problem+json", `{"title":"no","code":7}`, parley.WithErrorType[*apiError]())
	_, err := parley.As[mark](c.Get(t.Context(), "x"))
	require.ErrorAs(t, err, new(*apiError))
	require.ErrorAs(t, err, new(*parley.Problem), "both are there")
	c = failingWith(t, "application/yaml", "code: 7", parley.WithErrorType[*apiError](),
		parley.WithDecoder("application/yaml", func(r io.Reader, v any) error { return json.Unmarshal([]byte(`{"code":8}`), v) }))
	_, err = parley.As[mark](c.Get(t.Context(), "x"))
	var own *apiError
	require.ErrorAs(t, err, &own)
	require.Equal(t, 8, own.Code, "by the decoder of its type")
	resp, err := typed(t, `{"code":1}`, parley.WithErrorType[*apiError]()).Get(t.Context(), "application/json")
	require.NoError(t, err)
	require.NoError(t, resp.Err(), "what is no error is none")
}

// FuzzDecode_form reads any form into all that forms fill.
func FuzzDecode_form(f *testing.F) {
	f.Add("id=7&name=a%20b&tag=x&tag=y&ids=1,2&when=2024-01-02T03:04:05Z")
	f.Add("&&==&a&%&b=%zz;c")
	f.Fuzz(func(t *testing.T, form string) {
		resp := &parley.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(form)), ContentLength: -1}
		resp.Header = map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}
		var params parley.Params
		var values url.Values
		err := resp.Decode(&params)
		require.Equal(t, err == nil, resp.Decode(&values) == nil)
		count := 0
		for _, v := range values {
			count += len(v)
		}
		require.Len(t, params, count)
		if err := resp.Decode(new(order)); err != nil {
			require.ErrorIs(t, err, parley.ErrDecoding)
		}
		if std, stdErr := url.ParseQuery(form); stdErr == nil && err == nil {
			require.Equal(t, len(std), len(values))
			for name, v := range std {
				require.Equal(t, v, values[name])
			}
		}
	})
}
