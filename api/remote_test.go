package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// rpcSeen is what a server got.
type rpcSeen struct {
	Method, Target string
	Header         http.Header
	Body           string
}

// rpcServer answers with a handler and keeps what it got.
type rpcServer struct {
	URL string
	mu  sync.Mutex
	got []rpcSeen
}

func newRPCServer(t testing.TB, answer http.HandlerFunc) *rpcServer {
	t.Helper()
	f := new(rpcServer)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		f.mu.Lock()
		f.got = append(f.got, rpcSeen{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		f.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// all gives what the server got since the last call.
func (f *rpcServer) all() []rpcSeen {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.got
	f.got = nil
	return got
}

// one gives the one request that the server got.
func (f *rpcServer) one(t testing.TB) rpcSeen {
	t.Helper()
	got := f.all()
	require.Len(t, got, 1)
	return got[0]
}

// rpcSays answers with JSON.
func rpcSays(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// newRPCClient gives a session that must not leave responses open.
func newRPCClient(t testing.TB, base string, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := parley.New(append([]parley.ClientOption{parley.WithBaseURL(base), parley.WithEnv(false)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Zero(t, c.Stats().Active, "connections in use")
		require.NoError(t, c.Close())
	})
	return c
}

func TestRemote_fieldsAreMergedOverTheDefaults(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, rpcSays(200, "{}"))
	c := newRPCClient(t, server.URL)
	type channel struct {
		Channel string `json:"channel,omitempty"`
		Token   string `json:"token,omitempty"`
		Text    string `json:"text"`
	}
	defaults := api.WithDefaultFields(map[string]any{"token": "t<1>", "opts": map[string]int{"a": 1}})
	for name, test := range map[string]struct {
		opts, callOpts []parley.RequestOption
		fields         any
		want           string
	}{
		"nothing at all is an empty object":            {nil, nil, nil, `{}`},
		"the defaults alone":                           {[]parley.RequestOption{defaults}, nil, nil, `{"opts":{"a":1},"token":"t<1>"}`},
		"a field beside them":                          {[]parley.RequestOption{defaults}, nil, map[string]any{"x": 1}, `{"opts":{"a":1},"token":"t<1>","x":1}`},
		"the call's field wins":                        {[]parley.RequestOption{defaults}, nil, map[string]any{"token": "t2"}, `{"opts":{"a":1},"token":"t2"}`},
		"null wins too":                                {[]parley.RequestOption{defaults}, nil, map[string]any{"token": nil}, `{"opts":{"a":1},"token":null}`},
		"an object is replaced as a whole":             {[]parley.RequestOption{defaults}, nil, map[string]any{"opts": map[string]int{"b": 2}}, `{"opts":{"b":2},"token":"t<1>"}`},
		"a struct by its tags":                         {[]parley.RequestOption{defaults}, nil, channel{Text: "a<b"}, `{"opts":{"a":1},"text":"a<b","token":"t<1>"}`},
		"a pointer to one":                             {[]parley.RequestOption{defaults}, nil, &channel{Token: "own"}, `{"opts":{"a":1},"text":"","token":"own"}`},
		"a nil pointer has none":                       {[]parley.RequestOption{defaults}, nil, (*channel)(nil), `{"opts":{"a":1},"token":"t<1>"}`},
		"a struct of defaults":                         {[]parley.RequestOption{api.WithDefaultFields(channel{Channel: "c"})}, nil, map[string]string{"text": "x"}, `{"channel":"c","text":"x"}`},
		"later defaults win":                           {[]parley.RequestOption{defaults, api.WithDefaultFields(map[string]any{"token": 2})}, nil, nil, `{"opts":{"a":1},"token":2}`},
		"defaults of one call":                         {[]parley.RequestOption{defaults}, []parley.RequestOption{api.WithDefaultFields(map[string]any{"token": 3})}, nil, `{"opts":{"a":1},"token":3}`},
		"a default left out":                           {[]parley.RequestOption{defaults}, []parley.RequestOption{api.WithoutDefaultField("token")}, nil, `{"opts":{"a":1}}`},
		"without defaults a struct keeps its order":    {nil, nil, channel{Channel: "c", Text: "x"}, `{"channel":"c","text":"x"}`},
		"without defaults anything may be posted":      {nil, nil, []int{1, 2}, `[1,2]`},
		"large numbers of a struct stay as they are":   {[]parley.RequestOption{defaults}, nil, struct{ N uint64 }{1<<64 - 1}, `{"N":18446744073709551615,"opts":{"a":1},"token":"t<1>"}`},
		"options of requests hold for every call, too": {[]parley.RequestOption{parley.WithHeader("X-Of", "remote")}, []parley.RequestOption{parley.WithHeader("X-Of", "call")}, nil, `{}`},
	} {
		remote := api.NewRemote(c, "rpc", test.opts...)
		_, err := remote.Call(t.Context(), "do", test.fields, test.callOpts...)
		require.NoError(t, err, name)
		got := server.one(t)
		require.Equal(t, test.want, got.Body, name)
		require.Equal(t, "POST /rpc/do", got.Method+" "+got.Target)
		require.Equal(t, "application/json", got.Header.Get("Content-Type"))
		require.Equal(t, "application/json", got.Header.Get("Accept"))
		if strings.Contains(name, "options of requests") {
			require.Equal(t, "call", got.Header.Get("X-Of"))
		}
	}
}

func TestRemote_aSessionsEncoderEncodesTheFields(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, rpcSays(200, "{}"))
	c := newRPCClient(t, server.URL, parley.WithJSONEncoder(func(v any) ([]byte, error) {
		return json.MarshalIndent(v, "", " ")
	}))
	_, err := api.NewRemote(c, "", api.WithDefaultFields(map[string]any{"a": 1})).Call(t.Context(), "", nil)
	require.NoError(t, err)
	require.Equal(t, "{\n \"a\": 1\n}", server.one(t).Body)
}

func TestRemote_methodsArePathsBelowIt(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, rpcSays(200, "{}"))
	c := newRPCClient(t, server.URL+"/base?key=1")
	for name, test := range map[string]struct {
		remote *api.Remote
		method string
		want   string
	}{
		"a name with a dot":                {api.NewRemote(c, "rpc"), "users.list", "/base/rpc/users.list?key=1"},
		"a name with a slash":              {api.NewRemote(c, "rpc"), "users/list", "/base/rpc/users/list?key=1"},
		"nested":                           {api.NewRemote(c, "rpc").At("users", "list"), "", "/base/rpc/users/list?key=1"},
		"nested, then a name":              {api.NewRemote(c, "/rpc/").At("users").At("x"), "list", "/base/rpc/users/x/list?key=1"},
		"segments are escaped":             {api.NewRemote(c, "rpc").At("a/b?c#d{e}%2e"), "f g", "/base/rpc/a%2Fb%3Fc%23d%7Be%7D%252e/f%20g?key=1"},
		"a dot segment in a name is text":  {api.NewRemote(c, "rpc"), "..x", "/base/rpc/..x?key=1"},
		"the base URL itself":              {api.NewRemote(c, ""), "", "/base?key=1"},
		"right below the base URL":         {api.NewRemote(c, ""), "a:b", "/base/a%3Ab?key=1"},
		"the query stays behind the path":  {api.NewRemote(c, "rpc?v=2"), "do", "/base/rpc/do?key=1&v=2"},
		"an absolute URL":                  {api.NewRemote(c, server.URL), "do", "/do"},
		"a suffix":                         {api.NewRemote(c, "rpc", api.WithMethodSuffix(".json")), "do", "/base/rpc/do.json?key=1"},
		"a slash":                          {api.NewRemote(c, "rpc/", api.WithMethodSuffix("/")), "do", "/base/rpc/do/?key=1"},
		"a suffix of the URL itself":       {api.NewRemote(c, "rpc/", api.WithMethodSuffix("/")), "", "/base/rpc/?key=1"},
		"made from another with an option": {api.NewRemote(c, "rpc").With(api.WithMethodSuffix("/x")), "do", "/base/rpc/do/x?key=1"},
	} {
		_, err := test.remote.Call(t.Context(), test.method, nil)
		require.NoError(t, err, name)
		got := server.one(t).Target
		if name == "the query stays behind the path" {
			require.Contains(t, []string{test.want, "/base/rpc/do?v=2&key=1"}, got)
			continue
		}
		if name == "an absolute URL" {
			got, _, _ = strings.Cut(got, "?")
		}
		require.Equal(t, test.want, got, name)
	}
	for _, method := range []string{"a//b", "/a", "a/", ".", "..", "a/../b"} {
		_, err := api.NewRemote(c, "rpc").Call(t.Context(), method, nil)
		require.ErrorIs(t, err, parley.ErrInvalidURL, method)
	}
	_, err := api.NewRemote(c, "rpc").At("a", "").Call(t.Context(), "b", nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.Empty(t, server.all())
	require.Same(t, c, api.NewRemote(c, "").Client())
}

type slackError struct{ Code string }

func (e *slackError) Error() string { return "slack: " + e.Code }

type slackStatus struct {
	OK    bool
	Error string
}

func checkSlack(s slackStatus) error {
	if !s.OK {
		return &slackError{s.Error}
	}
	return nil
}

func TestRemote_checksFindFailuresIn200(t *testing.T) {
	t.Parallel()
	answer := ""
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) { rpcSays(200, answer)(w, r) })
	c := newRPCClient(t, server.URL)
	slack := api.NewRemote(c, "api", api.WithResultCheck(checkSlack))
	type user struct{ Name string }

	answer = `{"ok":true,"name":"Ada"}`
	u, err := api.Call[user](t.Context(), slack, "users.info", nil)
	require.NoError(t, err)
	require.Equal(t, user{"Ada"}, u)

	answer = `{"ok":false,"error":"not_authed","name":"x"}`
	u, err = api.Call[user](t.Context(), slack, "users.info", nil)
	var failure *slackError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "not_authed", failure.Code)
	require.ErrorContains(t, err, "/api/users.info: response: slack: not_authed")
	require.Zero(t, u)
	var whole *parley.Error
	require.ErrorAs(t, err, &whole)
	require.Equal(t, parley.Answering, whole.Sent)

	answer = `[]`
	_, err = slack.Call(t.Context(), "x", nil)
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorAs(t, err, &whole)
	require.Equal(t, parley.PhaseDecode, whole.Phase)

	// An envelope gives what is in it, and a check after it sees that.
	open := func(e struct {
		OK     bool
		Result json.RawMessage
	}) (json.RawMessage, error) {
		if !e.OK {
			return nil, errors.New("not ok")
		}
		return e.Result, nil
	}
	telegram := api.NewRemote(c, "bot", api.WithEnvelope(open), api.WithResultCheck(func(u user) error {
		if u.Name == "bad" {
			return &slackError{"bad name"}
		}
		return nil
	}))
	answer = `{"ok":true,"result":{"name":"Ada"}}`
	u, err = api.Call[user](t.Context(), telegram, "getMe", nil)
	require.NoError(t, err)
	require.Equal(t, user{"Ada"}, u)
	answer = `{"ok":true,"result":{"name":"bad"}}`
	_, err = telegram.Call(t.Context(), "getMe", nil)
	require.ErrorAs(t, err, &failure)
	answer = `{"ok":false}`
	_, err = telegram.Call(t.Context(), "getMe", nil)
	require.ErrorContains(t, err, "not ok")
	answer = `{"ok":true}`
	v, err := telegram.Call(t.Context(), "getMe", nil)
	require.NoError(t, err)
	require.Nil(t, v, "an envelope without a result")
	answer = `"text"`
	_, err = telegram.Call(t.Context(), "getMe", nil)
	require.ErrorIs(t, err, parley.ErrDecoding)
}

func TestRemote_answers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   any
		is     error
	}{
		"an object":             {200, `{"a":[1,null]}`, map[string]any{"a": []any{1.0, nil}}, nil},
		"null":                  {200, `null`, nil, nil},
		"text":                  {201, ` "x" `, "x", nil},
		"no content":            {204, ``, nil, nil},
		"an empty 200":          {200, ``, nil, parley.ErrDecoding},
		"no JSON":               {200, `<html>`, nil, parley.ErrDecoding},
		"two values":            {200, `{} {}`, nil, parley.ErrDecoding},
		"more than is allowed":  {200, `"` + strings.Repeat("x", 2000) + `"`, nil, parley.ErrBodyTooLarge},
		"deeply nested nothing": {200, strings.Repeat("[", 900), nil, parley.ErrDecoding},
	} {
		server := newRPCServer(t, rpcSays(test.status, test.body))
		got, err := api.NewRemote(newRPCClient(t, server.URL, parley.WithMaxBodyBytes(1000)), "x").Call(t.Context(), "y", nil)
		require.Equal(t, test.want, got, name)
		if test.is == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, test.is, name)
		}
	}
	server := newRPCServer(t, rpcSays(403, `{"ok":false,"error":"denied"}`))
	remote := api.NewRemote(newRPCClient(t, server.URL), "x", api.WithResultCheck(checkSlack))
	_, err := remote.Call(t.Context(), "y", nil)
	var status *parley.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, 403, status.StatusCode)
	var said slackStatus
	require.NoError(t, status.Decode(&said))
	require.Equal(t, "denied", said.Error)

	server = newRPCServer(t, rpcSays(200, `{"a":1}`))
	_, err = api.Call[[]int](t.Context(), api.NewRemote(newRPCClient(t, server.URL), "x"), "y", nil)
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorContains(t, err, "/x/y: decode: cannot decode the body as the result")
}

func TestRemote_mistakesAreToldByTheCall(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, rpcSays(200, "{}"))
	c := newRPCClient(t, server.URL)
	defaults := api.WithDefaultFields(map[string]any{"a": 1})
	for name, test := range map[string]struct {
		remote *api.Remote
		fields any
		opts   []parley.RequestOption
		says   string
	}{
		"a list over defaults":             {api.NewRemote(c, "x", defaults), []int{1}, nil, "fields are a map with string keys or a struct, not []int"},
		"defaults that are no object":      {api.NewRemote(c, "x", api.WithDefaultFields(7)), nil, nil, "WithDefaultFields: fields are a map"},
		"defaults that cannot be JSON":     {api.NewRemote(c, "x", api.WithDefaultFields(struct{ C chan int }{})), nil, nil, "encode struct { C chan int } as JSON"},
		"fields that cannot be JSON":       {api.NewRemote(c, "x", defaults), map[string]any{"c": make(chan int)}, nil, "encode map[string]interface {} as JSON"},
		"an option of a Graph":             {api.NewRemote(c, "x", api.WithGET(true)), nil, nil, "WithGET is not for this wrapper"},
		"an option of a Graph in the call": {api.NewRemote(c, "x"), nil, []parley.RequestOption{api.WithOperationName("x")}, "WithOperationName is not for this wrapper"},
		"a nil option":                     {api.NewRemote(c, "x", nil), nil, nil, "an option is nil"},
	} {
		_, err := test.remote.Call(t.Context(), "y", test.fields, test.opts...)
		require.ErrorContains(t, err, test.says, name)
		var whole *parley.Error
		require.ErrorAs(t, err, &whole, name)
		require.Equal(t, parley.NotSent, whole.Sent, name)
	}
	require.Empty(t, server.all())
}

func TestRemote_isSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	remote := api.NewRemote(newRPCClient(t, server.URL), "x", api.WithDefaultFields(map[string]any{"token": "t"}))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			got, err := api.Call[map[string]any](t.Context(), remote.At(fmt.Sprint(i)), "y", map[string]any{"i": i}, api.WithDefaultFields(map[string]any{"j": i}))
			if err != nil || got["i"] != float64(i) || got["j"] != float64(i) || got["token"] != "t" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestRemote_aCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := newRPCClient(t, server.URL)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	for _, p := range []api.Procedures{api.NewRemote(c, "x"), api.NewJSONRPC(c, "x")} {
		_, err := api.Call[any](ctx, p, "y", nil)
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err := api.Execute[any](ctx, api.NewGraph(c, "x"), "{a}", nil)
	require.ErrorIs(t, err, context.Canceled)
}

// What is derived wins over what it was derived from, and leaves that as it was.
func TestWrappers_areDerived(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) {
		graphSays(graphType, 200, `{"data":{},"jsonrpc":"2.0","id":`+r.Header.Get("X-Id")+`,"result":1}`)(w, r)
	})
	c := newRPCClient(t, server.URL)
	rpc := api.NewJSONRPC(c, "", parley.WithHeader("X-Own", "1"))
	for id, j := range []*api.JSONRPC{rpc, rpc.With(parley.WithHeader("X-Own", "2")), rpc} {
		n, err := api.Call[int](t.Context(), j, "m", nil, parley.WithHeader("X-Id", strconv.Itoa(id+1)))
		require.NoError(t, err, "ids come from one source")
		require.Equal(t, 1, n)
		require.Equal(t, []string{"1", "2", "1"}[id], server.one(t).Header.Get("X-Own"))
	}
	_, err := rpc.With(api.WithGET(true)).Call(t.Context(), "m", nil)
	require.ErrorContains(t, err, "WithGET is not for this wrapper")

	graph := api.NewGraph(c, "", parley.WithHeader("X-Own", "1"), parley.WithHeader("X-Id", "0"))
	for i, g := range []*api.Graph{graph, graph.With(api.WithGET(true), parley.WithHeader("X-Own", "2")), graph} {
		_, err := g.Execute(t.Context(), "{a}", nil)
		require.NoError(t, err)
		got := server.one(t)
		require.Equal(t, []string{"POST 1", "GET 2", "POST 1"}[i], got.Method+" "+got.Header.Get("X-Own"))
	}
	_, err = graph.With(api.WithDefaultFields(nil)).Execute(t.Context(), "{a}", nil)
	require.ErrorContains(t, err, "WithDefaultFields is not for this wrapper")
}

func TestWrappers_withoutASessionAreErrors(t *testing.T) {
	t.Parallel()
	rpc := api.NewJSONRPC(nil, "")
	_, err := rpc.Call(t.Context(), "x", nil)
	require.ErrorContains(t, err, "the session is nil")
	batch := rpc.NewBatch()
	api.BatchCall[int](batch, "x", nil)
	require.ErrorContains(t, batch.Send(t.Context()), "the session is nil")
	_, err = api.NewRemote(nil, "").At("x").Call(t.Context(), "x", nil)
	require.ErrorContains(t, err, "the session is nil")
	_, err = api.NewGraph(nil, "").Execute(t.Context(), "x", nil)
	require.ErrorContains(t, err, "the session is nil")
	for _, err := range api.NewGraph(nil, "").Subscribe(t.Context(), "x", nil) {
		require.ErrorContains(t, err, "the session is nil")
	}
}

func TestWrappers_printNothingSecret(t *testing.T) {
	t.Parallel()
	c := newRPCClient(t, "http://a.test/base?key=secret")
	const url = "http://user:secret@a.test/rpc?key=secret#secret"
	option := api.WithDefaultFields(map[string]any{"token": "secret"})
	balancer, err := api.NewBalancer("http://a.test/v1", api.BalancerConfig{Servers: api.Servers("http://b.test", "http://c.test")})
	require.NoError(t, err)
	for want, v := range map[string]interface {
		fmt.Stringer
		slog.LogValuer
	}{
		"<Remote http://a.test/rpc/users>":                     api.NewRemote(c, url, option).At("users"),
		"<JSONRPC http://a.test/rpc>":                          api.NewJSONRPC(c, url, parley.WithBearerToken("secret")),
		"<Graph http://a.test/rpc>":                            api.NewGraph(c, url, parley.WithBearerToken("secret")),
		"<Remote http://a.test/base/a/b>":                      api.NewRemote(c, "a").At("b"),
		"<Graph http://a.test/base>":                           api.NewGraph(c, ""),
		"<Remote ?>":                                           api.NewRemote(c, "http://secret%zz"),
		"<JSONRPC ?>":                                          api.NewJSONRPC(nil, "x"),
		"<Resource http://a.test/x>":                           api.NewResource(c).Join("http://user:secret@a.test/x?key=secret"),
		"<Resource ?>":                                         api.NewResource(nil),
		"<Balancer http://a.test/v1/ [2 servers, 0 left out]>": balancer,
	} {
		require.Equal(t, want, v.String())
		require.Equal(t, want, v.LogValue().String())
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			require.Equal(t, want, fmt.Sprintf(verb, v), verb)
		}
	}
}
