package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/parleytest"
)

// bindAPIError is what the API of the tests says of an error.
type bindAPIError struct {
	Code string `json:"code"`
}

func (e *bindAPIError) Error() string { return e.Code }

// bindAnswers serves a canned answer for each path.
func bindAnswers(t testing.TB, opts ...parley.ClientOption) *parley.Client {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if contentType != "" {
				w.Header().Set("Content-Type", contentType)
			}
			w.Header().Set("X-Rate", "9")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/note", answer(200, "application/json", `{"title":"a","data":{"user":{"title":"in"}}}`))
	mux.HandleFunc("/xml", answer(200, "application/xml", `<note><title>x</title></note>`))
	mux.HandleFunc("/octets", answer(200, "application/octet-stream", `{"title":"o"}`))
	mux.HandleFunc("/text", answer(200, "text/plain", "one\ntwo\n"))
	mux.HandleFunc("/empty", answer(204, "", ""))
	mux.HandleFunc("/missing", answer(404, "application/json", `{"code":"gone"}`))
	mux.HandleFunc("/array", answer(200, "application/json", `[{"title":"a"},{"title":1},{"title":"c"}]`))
	mux.HandleFunc("/within", answer(200, "application/json", `{"data":{"items":[{"title":"a"},{"title":"b"}]}}`))
	mux.HandleFunc("/ndjson", answer(200, "application/x-ndjson", "{\"title\":\"a\"}\n{\"title\":\"b\"}\n"))
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
			http.Error(w, "this is a stream of events", http.StatusNotAcceptable)
			return
		}
		answer(200, "text/event-stream", "event: note\ndata: {\"title\":\"a\"}\n\ndata: {\"title\":\"b\"}\n\n")(w, r)
	})
	mux.HandleFunc("/parts", answer(200, "multipart/mixed; boundary=b", "--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"))
	mux.HandleFunc("/pages", func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		if page == "" {
			w.Header().Set("Link", `</pages?page=2>; rel="next"`)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"items":[{"title":"a%s"}]}`, page)
	})
	return bindSession(t, "http://api.test", append(opts, parley.WithHandler(mux))...)
}

func bindCollect[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		require.NoError(t, err)
		all = append(all, v)
	}
	return all
}

func TestBind_givesWhatTheResultIs(t *testing.T) {
	type declaration struct {
		Note    func(context.Context) (bindNote, error)                `http:"GET note"`
		Pointer func(context.Context) (*bindNote, error)               `http:"GET note"`
		XML     func(context.Context) (*bindNote, error)               `http:"GET xml"`
		Any     func(context.Context) (any, error)                     `http:"GET note"`
		Map     func(context.Context) (map[string]any, error)          `http:"GET note"`
		Forced  func(context.Context) (bindNote, error)                `http:"GET octets" result:"json"`
		Within  func(context.Context) (bindNote, error)                `http:"GET note" result:"json data.user"`
		Lost    func(context.Context) (bindNote, error)                `http:"GET note" result:"json data.owner.x"`
		Octets  func(context.Context) (bindNote, error)                `http:"GET octets"`
		Text    func(context.Context) (string, error)                  `http:"GET text"`
		Bytes   func(context.Context) ([]byte, error)                  `http:"GET text"`
		Empty   func(context.Context) (*bindNote, error)               `http:"GET empty"`
		Head    func(context.Context) (api.Meta, error)                `http:"HEAD note"`
		Meta    func(context.Context) (bindNote, api.Meta, error)      `http:"GET note"`
		Missing func(context.Context) (*bindNote, api.Meta, error)     `http:"GET missing"`
		Whole   func(context.Context) (*parley.Response, error)        `http:"GET missing"`
		Stream  func(context.Context) (*parley.Response, error)        `http:"GET text" result:"stream"`
		Gone    func(context.Context) (*parley.Response, error)        `http:"GET missing" result:"stream"`
		Reader  func(context.Context) (io.ReadCloser, api.Meta, error) `http:"GET text"`
		NoRead  func(context.Context) (io.ReadCloser, error)           `http:"GET missing"`
		Nothing func(context.Context) error                            `http:"GET missing"`
		Done    func(context.Context) error                            `http:"GET text"`
	}
	v := bound[declaration](t, bindAnswers(t), api.BindOptions(parley.WithErrorType[*bindAPIError]()))
	ctx := t.Context()

	n, err := v.Note(ctx)
	require.NoError(t, err)
	require.Equal(t, bindNote{Title: "a"}, n)
	p, err := v.Pointer(ctx)
	require.NoError(t, err)
	require.Equal(t, &bindNote{Title: "a"}, p)
	p, err = v.XML(ctx)
	require.NoError(t, err)
	require.Equal(t, &bindNote{Title: "x"}, p)
	anything, err := v.Any(ctx)
	require.NoError(t, err)
	require.Equal(t, "a", anything.(map[string]any)["title"])
	m, err := v.Map(ctx)
	require.NoError(t, err)
	require.Equal(t, "a", m["title"])
	n, err = v.Forced(ctx)
	require.NoError(t, err)
	require.Equal(t, bindNote{Title: "o"}, n)
	n, err = v.Within(ctx)
	require.NoError(t, err)
	require.Equal(t, bindNote{Title: "in"}, n)
	_, err = v.Lost(ctx)
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorContains(t, err, `no member "data.owner"`)
	var whole *parley.Error
	require.ErrorAs(t, err, &whole)
	require.Equal(t, "decode GET /note", whole.Op+" "+whole.Method+" "+whole.URL.Path)
	_, err = v.Octets(ctx)
	require.ErrorIs(t, err, parley.ErrDecoding)

	s, err := v.Text(ctx)
	require.NoError(t, err)
	require.Equal(t, "one\ntwo\n", s)
	b, err := v.Bytes(ctx)
	require.NoError(t, err)
	require.Equal(t, "one\ntwo\n", string(b))
	p, err = v.Empty(ctx)
	require.NoError(t, err)
	require.Nil(t, p)

	meta, err := v.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, "9", meta.Header.Get("X-Rate"))
	n, meta, err = v.Meta(ctx)
	require.NoError(t, err)
	require.Equal(t, bindNote{Title: "a"}, n)
	require.Equal(t, 200, meta.StatusCode)
	require.Equal(t, "/note", meta.Response.Request.URL.Path)
	p, meta, err = v.Missing(ctx)
	require.Nil(t, p)
	require.Equal(t, 404, meta.StatusCode)
	var status *parley.StatusError
	require.ErrorAs(t, err, &status)
	var own *bindAPIError
	require.ErrorAs(t, err, &own)
	require.Equal(t, "gone", own.Code)

	resp, err := v.Whole(ctx)
	require.NoError(t, err, "a whole answer is one of any status")
	require.Equal(t, 404, resp.StatusCode)
	resp, err = v.Stream(ctx)
	require.NoError(t, err)
	s, err = resp.Text()
	require.NoError(t, err)
	require.Equal(t, "one\ntwo\n", s)
	resp, err = v.Gone(ctx)
	require.ErrorAs(t, err, &status)
	require.Nil(t, resp)
	r, meta, err := v.Reader(ctx)
	require.NoError(t, err)
	require.Equal(t, 200, meta.StatusCode)
	b, err = io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, "one\ntwo\n", string(b))
	r, err = v.NoRead(ctx)
	require.ErrorAs(t, err, &own)
	require.Nil(t, r)
	require.ErrorAs(t, v.Nothing(ctx), &status)
	require.NoError(t, v.Done(ctx))

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, meta, err = v.Meta(canceled)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, meta)
}

func TestBind_iteratesOverWhatComes(t *testing.T) {
	type declaration struct {
		Array   func(context.Context) iter.Seq2[bindNote, error]              `http:"GET array"`
		Within  func(context.Context) iter.Seq2[*bindNote, error]             `http:"GET within" result:"array data.items"`
		Lines   func(context.Context) iter.Seq2[bindNote, error]              `http:"GET ndjson"`
		Forced  func(context.Context) iter.Seq2[map[string]string, error]     `http:"GET ndjson" result:"jsonlines"`
		Text    func(context.Context) iter.Seq2[string, error]                `http:"GET text"`
		Tagged  func(context.Context) iter.Seq2[string, error]                `http:"GET ndjson" result:"lines"`
		Chunks  func(context.Context) iter.Seq2[[]byte, error]                `http:"GET text"`
		Events  func(context.Context) iter.Seq2[parley.Event, error]          `http:"GET events"`
		Data    func(context.Context) iter.Seq2[bindNote, error]              `http:"POST events" result:"events"`
		Raw     func(context.Context) iter.Seq2[string, error]                `http:"GET events" result:"events"`
		Follow  func(context.Context) iter.Seq2[parley.Event, error]          `http:"GET events" result:"follow"`
		Parts   func(context.Context) iter.Seq2[*parley.ResponsePart, error]  `http:"GET parts"`
		Pages   func(context.Context) iter.Seq2[map[string][]bindNote, error] `http:"GET pages" result:"pages"`
		Items   func(context.Context) iter.Seq2[[]bindNote, error]            `http:"GET pages" result:"pages items"`
		Empty   func(context.Context) iter.Seq2[bindNote, error]              `http:"GET empty"`
		Missing func(context.Context) iter.Seq2[bindNote, error]              `http:"GET missing"`
		Unknown func(context.Context) iter.Seq2[bindNote, error]              `http:"GET octets"`
		Lost    func(context.Context, string) iter.Seq2[[]bindNote, error]    `http:"GET {path}" result:"pages"`
	}
	v := bound[declaration](t, bindAnswers(t))
	ctx := t.Context()
	a, b := bindNote{Title: "a"}, bindNote{Title: "b"}

	var titles []string
	for n, err := range v.Array(ctx) {
		if err != nil {
			require.ErrorIs(t, err, parley.ErrDecoding)
			n.Title = "bad"
		}
		titles = append(titles, n.Title)
	}
	require.Equal(t, []string{"a", "bad", "c"}, titles, "an element that does not fit does not end the loop")
	require.Equal(t, []*bindNote{&a, &b}, bindCollect(t, v.Within(ctx)))
	require.Equal(t, []bindNote{a, b}, bindCollect(t, v.Lines(ctx)))
	require.Equal(t, []map[string]string{{"title": "a"}, {"title": "b"}}, bindCollect(t, v.Forced(ctx)))
	require.Equal(t, []string{"one", "two"}, bindCollect(t, v.Text(ctx)))
	require.Equal(t, []string{`{"title":"a"}`, `{"title":"b"}`}, bindCollect(t, v.Tagged(ctx)))
	require.Equal(t, [][]byte{[]byte("one\ntwo\n")}, bindCollect(t, v.Chunks(ctx)))
	require.Equal(t, []parley.Event{{Type: "note", Data: `{"title":"a"}`}, {Type: "message", Data: `{"title":"b"}`}}, bindCollect(t, v.Events(ctx)))
	require.Equal(t, []bindNote{a, b}, bindCollect(t, v.Data(ctx)))
	require.Equal(t, []string{`{"title":"a"}`, `{"title":"b"}`}, bindCollect(t, v.Raw(ctx)))
	seq := v.Pages(ctx)
	for range 2 { // it begins anew
		require.Equal(t, []map[string][]bindNote{{"items": {a}}, {"items": {{Title: "a2"}}}}, bindCollect(t, seq))
	}
	require.Equal(t, [][]bindNote{{a}, {{Title: "a2"}}}, bindCollect(t, v.Items(ctx)))
	require.Empty(t, bindCollect(t, v.Empty(ctx)))

	for event, err := range v.Follow(ctx) {
		require.NoError(t, err)
		require.Equal(t, "note", event.Type)
		break // it would go on for ever
	}
	var parts []string
	for part, err := range v.Parts(ctx) {
		require.NoError(t, err)
		content, err := io.ReadAll(part.Body)
		require.NoError(t, err)
		parts = append(parts, string(content))
	}
	require.Equal(t, []string{"one", "two"}, parts)

	for name, test := range map[string]struct {
		seq  iter.Seq2[bindNote, error]
		want func(err error) bool
	}{
		"an error by the status":  {v.Missing(ctx), func(err error) bool { var s *parley.StatusError; return errors.As(err, &s) }},
		"a type that is no items": {v.Unknown(ctx), func(err error) bool { return errors.Is(err, parley.ErrDecoding) }},
	} {
		n := 0
		for _, err := range test.seq {
			require.True(t, test.want(err), "%s: %v", name, err)
			n++
		}
		require.Equal(t, 1, n, name)
	}
	for _, err := range v.Lost(ctx, "..") {
		require.ErrorIs(t, err, parley.ErrInvalidURL)
	}
	for _, err := range v.Lost(ctx, "missing") {
		var status *parley.StatusError
		require.ErrorAs(t, err, &status)
	}
}

// One function is tried again, one as the session says, one not at all.
func TestBind_retriesAsEachFunctionSays(t *testing.T) {
	type declaration struct {
		Read    func(ctx context.Context) (bindNote, error)           `http:"GET note"`
		Items   func(ctx context.Context) iter.Seq2[bindNote, error]  `http:"GET notes"`
		Write   func(ctx context.Context, n bindNote) error           `http:"PUT note"`
		Submit  func(ctx context.Context, n bindNote) (string, error) `http:"POST notes"`
		Delete  func(ctx context.Context) (api.Meta, error)           `http:"DELETE note"`
		Inherit func(ctx context.Context) error                       `http:"GET other"`
	}
	var tries atomic.Int32
	c := bindSession(t, "http://api.test", parley.WithRetry(parley.RetryPolicy{Tries: 2, Backoff: -1}),
		parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			content, err := io.ReadAll(r.Body)
			if err != nil || r.Method[0] == 'P' && string(content) != `{"title":"a"}` {
				t.Errorf("%s %v", content, err)
			}
			if tries.Add(1) < 4 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			text := `{"title":"read"}`
			switch {
			case r.Method == http.MethodPost:
				text = "sent"
			case r.URL.Path == "/notes":
				text = `[{"title":"one"}]`
			}
			io.WriteString(w, text)
		})))
	four := parley.RetryPolicy{Tries: 4, Backoff: -1}
	anyMethod := four
	anyMethod.AnyMethod = true
	v := bound[declaration](t, c,
		api.BindMethod("Read", parley.WithRetry(four)), api.BindMethod("Items", parley.WithRetry(four)),
		api.BindMethod("Write", parley.WithRetry(four)), api.BindMethod("Submit", parley.WithRetry(anyMethod)),
		api.BindMethod("Delete", parley.WithoutRetry()),
	)
	ctx := t.Context()
	for name, call := range map[string]struct {
		call func() error
		want int32
	}{
		"its own": {func() error {
			note, err := v.Read(ctx)
			require.Equal(t, bindNote{Title: "read"}, note)
			return err
		}, 4},
		"before the first element": {func() error {
			for note, err := range v.Items(ctx) {
				require.NoError(t, err)
				require.Equal(t, bindNote{Title: "one"}, note)
			}
			return nil
		}, 4},
		"with its body": {func() error { return v.Write(ctx, bindNote{Title: "a"}) }, 4},
		"a POST that may be sent twice": {func() error {
			text, err := v.Submit(ctx, bindNote{Title: "a"})
			require.Equal(t, "sent", text)
			return err
		}, 4},
		"none": {func() error {
			meta, err := v.Delete(ctx)
			require.Equal(t, 503, meta.StatusCode)
			require.ErrorAs(t, err, new(*parley.StatusError))
			return nil
		}, 1},
		"the session's": {func() error {
			require.ErrorAs(t, v.Inherit(ctx), new(*parley.StatusError))
			return nil
		}, 2},
	} {
		tries.Store(0)
		require.NoError(t, call.call(), name)
		require.Equal(t, call.want, tries.Load(), name)
	}
}

func TestBind_standsOnAnyTransport(t *testing.T) {
	type declaration struct {
		Get func(ctx context.Context, id int) (bindNote, error) `http:"GET notes/{id}"`
	}
	content := func(path string) string { return fmt.Sprintf(`{"title":%q}`, path) }
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, content(r.URL.Path))
	})
	mock := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		return &parley.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
			Body: io.NopCloser(strings.NewReader(content(req.URL.Path))), ContentLength: -1,
		}, nil
	})
	base := parleytest.Serve(t, handler) + "/v1"
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	for name, o := range map[string]parley.ClientOption{
		"its own pool":             parley.WithHeader("X-A", "1"),
		"a handler in the process": parley.WithHandler(handler),
		"a round tripper":          parley.WithTransport(parley.FromRoundTripper(rt)),
		"a mock":                   parley.WithTransport(mock),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := bound[declaration](t, bindSession(t, base, o)).Get(t.Context(), 7)
			require.NoError(t, err)
			require.Equal(t, bindNote{Title: "/v1/notes/7"}, got)
		})
	}
	t.Run("a mock of parleytest", func(t *testing.T) {
		mock := parleytest.NewMock(t)
		mock.On("GET", "http://api.test/v1/notes/{id}").Reply(parleytest.Status(503), parleytest.JSON(200, bindNote{Title: "mocked"}))
		v := bound[declaration](t, mock.Client(parley.WithBaseURL("http://api.test/v1")))
		_, err := v.Get(t.Context(), 7)
		require.ErrorAs(t, err, new(*parley.StatusError))
		got, err := v.Get(t.Context(), 7)
		require.NoError(t, err)
		require.Equal(t, bindNote{Title: "mocked"}, got)
	})
}

func TestBind_isSafeForManyGoroutines(t *testing.T) {
	type declaration struct {
		Echo func(ctx context.Context, id int, q []string, n bindNote) (bindNote, api.Meta, error) `http:"POST echo/{id}" args:"id, query:q, body"`
		All  func(ctx context.Context, id int) iter.Seq2[bindNote, error]                          `http:"GET {id}"`
	}
	c := bindSession(t, "http://api.test", parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `[{"title":%q}]`, r.URL.Path)
			return
		}
		w.Header().Set("X-Query", r.URL.RawQuery)
		io.Copy(w, r.Body)
	})))
	v := bound[declaration](t, c, api.BindOptions(parley.WithHeader("X-A", "1")), api.BindMethod("Echo", parley.WithHeader("X-B", "1")))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 20 {
				id := g*100 + i
				want := bindNote{Title: fmt.Sprint(id)}
				got, meta, err := v.Echo(t.Context(), id, []string{want.Title, "x"}, want)
				if err != nil || got != want || meta.Header.Get("X-Query") != "q="+want.Title+"&q=x" {
					t.Errorf("%d: %v, %q, %v", id, got, meta.Header.Get("X-Query"), err)
				}
				for n, err := range v.All(t.Context(), id) {
					if err != nil || n.Title != fmt.Sprintf("/%d", id) {
						t.Errorf("%d: %v, %v", id, n, err)
					}
				}
			}
		})
	}
	all.Wait()
}
