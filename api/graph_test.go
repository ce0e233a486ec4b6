package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

const graphType = "application/graphql-response+json; charset=utf-8"

// graphSays answers with a type.
func graphSays(contentType string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestGraph_requestsByPOST(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, graphSays(graphType, 200, `{"data":{}}`))
	c := newRPCClient(t, server.URL)
	type vars struct {
		ID int `json:"id"`
	}
	for name, test := range map[string]struct {
		query string
		vars  any
		opts  []parley.RequestOption
		want  string
	}{
		"a query":              {"{ a <b> }", nil, nil, `{"query":"{ a <b> }"}`},
		"variables in a map":   {"q", map[string]any{"id": nil}, nil, `{"query":"q","variables":{"id":null}}`},
		"in a struct":          {"q", vars{7}, nil, `{"query":"q","variables":{"id":7}}`},
		"through a pointer":    {"q", &vars{7}, nil, `{"query":"q","variables":{"id":7}}`},
		"nil in a pointer":     {"q", (*vars)(nil), nil, `{"query":"q"}`},
		"nil in a map":         {"q", map[string]any(nil), nil, `{"query":"q"}`},
		"as JSON":              {"q", json.RawMessage(`{"id":1}`), nil, `{"query":"q","variables":{"id":1}}`},
		"an operation's name":  {"q", nil, []parley.RequestOption{api.WithOperationName("Hero")}, `{"query":"q","operationName":"Hero"}`},
		"extensions are added": {"q", nil, []parley.RequestOption{api.WithExtensions(map[string]any{"b": 2})}, `{"query":"q","extensions":{"a":1,"b":2}}`},
		"the later one wins":   {"q", nil, []parley.RequestOption{api.WithExtensions(map[string]any{"a": 2})}, `{"query":"q","extensions":{"a":2}}`},
	} {
		graph := api.NewGraph(c, "graphql")
		if strings.Contains(test.want, "extensions") {
			graph = api.NewGraph(c, "graphql", api.WithExtensions(struct {
				A int `json:"a"`
			}{1}))
		}
		_, err := graph.Execute(t.Context(), test.query, test.vars, test.opts...)
		require.NoError(t, err, name)
		got := server.one(t)
		require.Equal(t, test.want, got.Body, name)
		require.Equal(t, "POST /graphql", got.Method+" "+got.Target)
		require.Equal(t, "application/json", got.Header.Get("Content-Type"))
		require.Equal(t, "application/graphql-response+json, application/json;q=0.9", got.Header.Get("Accept"))
	}
	graph := api.NewGraph(c, "graphql")
	for _, vars := range []any{7, "x", []int{1}, json.RawMessage(`[1]`), json.RawMessage(`{`)} {
		_, err := graph.Execute(t.Context(), "q", vars)
		require.ErrorContains(t, err, "variables are a map with string keys, a struct or nil", "%v", vars)
	}
	_, err := graph.Execute(t.Context(), "q", map[string]any{"c": make(chan int)})
	require.ErrorContains(t, err, "encode api.graphRequest as JSON")
	_, err = graph.Execute(t.Context(), "q", nil, api.WithExtensions([]int{1}))
	require.ErrorContains(t, err, "WithExtensions: fields are a map")
	_, err = graph.Execute(t.Context(), "q", nil, api.WithMethodSuffix("x"))
	require.ErrorContains(t, err, "WithMethodSuffix is not for this wrapper")
	_, err = api.NewGraph(c, "", api.WithMethodSuffix("x")).Execute(t.Context(), "q", nil)
	require.ErrorContains(t, err, "WithMethodSuffix is not for this wrapper")
	require.Empty(t, server.all())
	require.Same(t, c, graph.Client())
}

type graphHero struct {
	Hero *struct {
		Name    string
		Friends []*struct{ Name *string }
	}
}

func TestGraph_dataAndErrorsAreBothGiven(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, graphSays(graphType, 294, `{
		"errors": [
			{"message": "no such friend", "locations": [{"line": 6, "column": 7}], "path": ["hero", "friends", 1, "name"], "extensions": {"code": "NOT_FOUND", "n": 1}},
			{"message": "slow"}
		],
		"data": {"hero": {"name": "R2-D2", "friends": [{"name": "Luke"}, {"name": null}, null]}},
		"extensions": {"cost": 3}
	}`))
	graph := api.NewGraph(newRPCClient(t, server.URL), "graphql")
	hero, err := api.Execute[graphHero](t.Context(), graph, "{ hero { name friends { name } } }", nil)
	require.Equal(t, "R2-D2", hero.Hero.Name)
	require.Equal(t, "Luke", *hero.Hero.Friends[0].Name)
	require.Nil(t, hero.Hero.Friends[1].Name)
	require.Nil(t, hero.Hero.Friends[2])
	var all api.GraphErrors
	require.ErrorAs(t, err, &all)
	require.Len(t, all, 2)
	require.EqualError(t, err, "GraphQL: no such friend (at hero.friends[1].name) [NOT_FOUND] (and 1 more)")
	var one *api.GraphError
	require.ErrorAs(t, err, &one)
	require.Equal(t, &api.GraphError{
		Message: "no such friend", Locations: []api.GraphLocation{{Line: 6, Column: 7}}, Path: api.GraphPath{"hero", "friends", 1, "name"},
		Extensions: map[string]json.RawMessage{"code": json.RawMessage(`"NOT_FOUND"`), "n": json.RawMessage(`1`)},
	}, one)
	require.Equal(t, "NOT_FOUND", one.Code())
	require.Empty(t, all[1].Code())
	require.NotErrorAs(t, err, new(*parley.StatusError), "294 is a success")

	answer, err := graph.Execute(t.Context(), "{ hero { name } }", nil)
	require.NoError(t, err, "an answer of GraphQL")
	require.Len(t, answer.Errors, 2)
	require.JSONEq(t, "3", string(answer.Extensions["cost"]))
	require.Equal(t, 294, answer.Response.StatusCode)
	require.ErrorIs(t, answer.Decode(new([]int)), parley.ErrDecoding)

	// Data that does not fit hides no error.
	wrong, err := api.Execute[struct{ Hero int }](t.Context(), graph, "{ hero { name } }", nil)
	require.Zero(t, wrong)
	require.ErrorAs(t, err, &all)
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.ErrorIs(t, (&api.GraphAnswer{Data: json.RawMessage("1")}).Decode(new(string)), parley.ErrDecoding)
	require.EqualError(t, api.GraphErrors{}, "GraphQL: no errors")
	require.NotContains(t, (&api.GraphError{Message: "a\nb", Path: api.GraphPath{"\n"}}).Error(), "\n")
}

func TestGraph_whatIsAnAnswer(t *testing.T) {
	t.Parallel()
	const data, failed, plain = `{"data":{"a":1}}`, `{"errors":[{"message":"bad"}]}`, "application/json"
	for name, test := range map[string]struct {
		typ    string
		status int
		body   string
		data   bool
		errors bool
		is     error
	}{
		"data":                                     {graphType, 200, data, true, false, nil},
		"data, as plain JSON":                      {plain, 200, data, true, false, nil},
		"data without a type":                      {"", 200, data, true, false, nil},
		"the type in upper case":                   {"Application/GraphQL-Response+JSON", 400, failed, false, true, nil},
		"errors alone":                             {graphType, 200, failed, false, true, nil},
		"errors alone, as plain JSON":              {plain, 200, failed, false, true, nil},
		"null for data":                            {graphType, 200, `{"data":null,"errors":[{"message":"bad"}]}`, false, true, nil},
		"null for data without errors":             {graphType, 200, `{"data":null}`, false, false, nil},
		"no errors in the list":                    {graphType, 200, `{"data":{"a":1},"errors":[]}`, true, false, nil},
		"null for errors":                          {plain, 200, `{"data":{"a":1},"errors":null}`, true, false, nil},
		"a status is one of GraphQL by its type":   {graphType, 400, failed, false, true, nil},
		"so is 500":                                {graphType, 500, failed, false, true, nil},
		"data with a status":                       {graphType, 400, data, true, false, nil},
		"a status with plain JSON is none":         {plain, 400, failed, false, false, nil},
		"nor is one with text":                     {"text/plain", 502, `bad gateway`, false, false, nil},
		"any other success with plain JSON":        {plain, 203, data, false, false, parley.ErrDecoding},
		"neither data nor errors":                  {graphType, 200, `{}`, false, false, api.ErrNotGraph},
		"an empty list of errors":                  {graphType, 200, `{"errors":[]}`, false, false, api.ErrNotGraph},
		"members in upper case":                    {graphType, 200, `{"DATA":{"a":1}}`, false, false, api.ErrNotGraph},
		"a list for data":                          {graphType, 200, `{"data":[1]}`, false, false, api.ErrNotGraph},
		"a number for data":                        {graphType, 200, `{"data":1}`, false, false, api.ErrNotGraph},
		"text for errors":                          {graphType, 200, `{"errors":"bad"}`, false, false, api.ErrNotGraph},
		"a number for an error":                    {graphType, 200, `{"errors":[1]}`, false, false, api.ErrNotGraph},
		"null for an error":                        {graphType, 200, `{"errors":[null]}`, false, false, api.ErrNotGraph},
		"a message that is none":                   {graphType, 200, `{"errors":[{"message":1}]}`, false, false, api.ErrNotGraph},
		"a path with a fraction":                   {graphType, 200, `{"errors":[{"message":"x","path":[1.5]}]}`, false, true, nil},
		"a path with a negative index":             {graphType, 200, `{"errors":[{"message":"x","path":[-1]}]}`, false, true, nil},
		"a path that is null":                      {graphType, 200, `{"errors":[{"message":"x","path":null,"locations":null}]}`, false, true, nil},
		"extensions that are a list":               {graphType, 200, `{"data":{"a":1},"extensions":[],"errors":[{"message":"x","extensions":[],"locations":{}}]}`, true, true, nil},
		"a list":                                   {graphType, 200, `[` + data + `]`, false, false, api.ErrNotGraph},
		"null":                                     {plain, 200, `null`, false, false, api.ErrNotGraph},
		"no JSON":                                  {plain, 200, `<html>`, false, false, parley.ErrDecoding},
		"nothing":                                  {plain, 200, ``, false, false, parley.ErrDecoding},
		"cut short":                                {graphType, 200, data[:10], false, false, parley.ErrDecoding},
		"no answer, whatever its type, and status": {graphType, 500, `{}`, false, false, api.ErrNotGraph},
		"huge": {graphType, 200, `{"data":{"a":"` + strings.Repeat("x", 5000) + `"}}`, false, false, parley.ErrBodyTooLarge},
	} {
		server := newRPCServer(t, graphSays(test.typ, test.status, test.body))
		graph := api.NewGraph(newRPCClient(t, server.URL, parley.WithMaxBodyBytes(4000)), "")
		got, err := api.Execute[map[string]any](t.Context(), graph, "{a}", nil)
		if test.data {
			require.Equal(t, map[string]any{"a": 1.0}, got, name)
		} else {
			require.Empty(t, got, name)
		}
		if test.errors {
			require.ErrorAs(t, err, new(api.GraphErrors), name)
		} else {
			require.NotErrorAs(t, err, new(api.GraphErrors), name)
		}
		if test.status >= 400 {
			require.ErrorAs(t, err, new(*parley.StatusError), name)
		} else {
			require.NotErrorAs(t, err, new(*parley.StatusError), name)
		}
		if test.is != nil {
			require.ErrorIs(t, err, test.is, name)
		}
		if test.is == nil && !test.errors && test.status < 400 {
			require.NoError(t, err, name)
		}
	}
}

func TestGraph_byGET(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, graphSays(graphType, 200, `{"data":{}}`))
	graph := api.NewGraph(newRPCClient(t, server.URL), "graphql?v=1", api.WithGET(true))
	const query = "query Hero($id: ID!) { hero(id: $id) { name } }"
	_, err := graph.Execute(t.Context(), query, map[string]any{"id": "a&b+c"}, api.WithOperationName("Hero"), api.WithExtensions(map[string]any{"x": "<"}))
	require.NoError(t, err)
	got := server.one(t)
	require.Equal(t, "GET", got.Method)
	require.Empty(t, got.Body)
	require.Empty(t, got.Header.Get("Content-Type"))
	require.Equal(t, "true true", got.Header.Get("Apollo-Require-Preflight")+" "+got.Header.Get("Graphql-Require-Preflight"))
	require.Equal(t, "/graphql?v=1&query=query+Hero%28%24id%3A+ID%21%29+%7B+hero%28id%3A+%24id%29+%7B+name+%7D+%7D&operationName=Hero"+
		"&variables=%7B%22id%22%3A%22a%26b%2Bc%22%7D&extensions=%7B%22x%22%3A%22%3C%22%7D", got.Target)
	_, err = graph.Execute(t.Context(), "{a}", nil)
	require.NoError(t, err)
	require.Equal(t, "/graphql?v=1&query=%7Ba%7D", server.one(t).Target)
	_, err = graph.Execute(t.Context(), "mutation { a }", nil, api.WithGET(false))
	require.NoError(t, err, "the call's word wins")
	require.Equal(t, "POST", server.one(t).Method)

	for document, says := range map[string]string{
		"mutation { a }":                 "a mutation must not be sent by GET",
		"subscription { a }":             "a subscription must not be sent by GET",
		"query A { a } mutation B { b }": "WithOperationName says which is meant",
		"":                               "no such operation",
		"{":                              "no GraphQL",
		"type A {a}":                     "no GraphQL",
	} {
		_, err := graph.Execute(t.Context(), document, nil)
		require.ErrorContains(t, err, says, document)
	}
	_, err = graph.Execute(t.Context(), "query A { a } mutation B { b }", nil, api.WithOperationName("B"))
	require.ErrorContains(t, err, "a mutation must not be sent by GET")
	_, err = graph.Execute(t.Context(), "query A { a } mutation B { b }", nil, api.WithOperationName("C"))
	require.ErrorContains(t, err, "no such operation")
	_, err = graph.Execute(t.Context(), "query($f: Upload) { a }", map[string]any{"f": api.NewUpload(parley.FormBytes("", "", nil))})
	require.ErrorContains(t, err, "files cannot be sent by GET")
	_, err = graph.Execute(t.Context(), "{a}", map[string]any{"c": func() {}})
	require.ErrorContains(t, err, "encode map[string]interface {} as JSON")
	require.Empty(t, server.all())
	_, err = graph.Execute(t.Context(), "query A { a } mutation B { b }", nil, api.WithOperationName("A"))
	require.NoError(t, err)
}

// persistedServer knows documents by their digests. It tells in the manner of the older and
// of the newer servers.
type persistedServer struct {
	mu      sync.Mutex
	known   map[string]string
	support bool
	status  int
	forget  bool
}

func (s *persistedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	query, extensions := r.URL.Query().Get("query"), r.URL.Query().Get("extensions")
	if r.Method == http.MethodPost {
		var body struct {
			Query      string
			Extensions json.RawMessage
		}
		json.NewDecoder(r.Body).Decode(&body)
		query, extensions = body.Query, string(body.Extensions)
	}
	var said struct {
		PersistedQuery *struct {
			Version    int
			Sha256Hash string
		}
	}
	json.Unmarshal([]byte(extensions), &said)
	p := said.PersistedQuery
	switch {
	case p != nil && !s.support:
		rpcSays(s.status, `{"errors":[{"message":"PersistedQueryNotSupported"}]}`)(w, r)
		return
	case p != nil && query != "" && !s.forget:
		s.known[p.Sha256Hash] = query
	case p != nil && s.known[p.Sha256Hash] == "":
		rpcSays(s.status, `{"errors":[{"message":"not here","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`)(w, r)
		return
	case p != nil:
		query = s.known[p.Sha256Hash]
	}
	w.Header().Set("Cache-Control", fmt.Sprint(p != nil))
	rpcSays(200, fmt.Sprintf(`{"data":{"ran":%q}}`, query))(w, r)
}

func TestGraph_persistedQueries(t *testing.T) {
	t.Parallel()
	const query = "{ __typename }"
	const digest = `{"persistedQuery":{"sha256Hash":"7f56e67dd21ab3f30d1ff8b7bed08893f0a0db86449836189b361dd1e56ddb4b","version":1}}`
	for _, get := range []bool{false, true} {
		for _, status := range []int{200, 400} {
			known := &persistedServer{known: make(map[string]string), support: true, status: status}
			server := newRPCServer(t, known.ServeHTTP)
			graph := api.NewGraph(newRPCClient(t, server.URL), "", api.WithPersistedQueries(true), api.WithGET(get))
			sent := func(got rpcSeen) (query, extensions string) {
				if get {
					require.Equal(t, "GET", got.Method)
					u, err := url.Parse(got.Target)
					require.NoError(t, err)
					return u.Query().Get("query"), u.Query().Get("extensions")
				}
				var body struct {
					Query      string
					Extensions json.RawMessage
				}
				require.NoError(t, json.Unmarshal([]byte(got.Body), &body))
				require.Equal(t, body.Query != "", strings.Contains(got.Body, `"query"`))
				return body.Query, string(body.Extensions)
			}
			run := func() []rpcSeen {
				got, err := api.Execute[struct{ Ran string }](t.Context(), graph, query, nil)
				require.NoError(t, err)
				require.Equal(t, query, got.Ran)
				return server.all()
			}
			got := run()
			require.Len(t, got, 2)
			for i, want := range []string{"", query} {
				document, extensions := sent(got[i])
				require.Equal(t, want, document)
				require.Equal(t, digest, extensions)
			}
			require.Len(t, run(), 1, "it is known now")

			known.mu.Lock()
			known.support = false
			known.mu.Unlock()
			got = run()
			require.Len(t, got, 2)
			document, extensions := sent(got[1])
			require.Equal(t, query, document)
			require.Empty(t, extensions)
			require.Len(t, run(), 1, "that it is not supported is remembered")
			require.Len(t, run(), 1)
		}
	}
	// A server that never learns gets the document once.
	forgetful := &persistedServer{known: make(map[string]string), support: true, status: 200, forget: true}
	server := newRPCServer(t, forgetful.ServeHTTP)
	graph := api.NewGraph(newRPCClient(t, server.URL), "", api.WithPersistedQueries(true))
	_, err := graph.Execute(t.Context(), query, nil)
	require.NoError(t, err)
	_, err = api.Execute[any](t.Context(), graph, query, nil)
	var one *api.GraphError
	require.ErrorAs(t, err, &one)
	require.Equal(t, "PERSISTED_QUERY_NOT_FOUND", one.Code())
	require.Len(t, server.all(), 4)
	_, err = graph.Execute(t.Context(), query, nil, api.WithPersistedQueries(false))
	require.NoError(t, err)
	require.Equal(t, `{"query":"{ __typename }"}`, server.one(t).Body)
	// Other errors are no reason to send anything again.
	broken := newRPCServer(t, graphSays(graphType, 400, `{"errors":[{"message":"bad"}]}`))
	graph = api.NewGraph(newRPCClient(t, broken.URL), "", api.WithPersistedQueries(true))
	_, err = api.Execute[any](t.Context(), graph, query, nil)
	require.ErrorAs(t, err, &one)
	require.Len(t, broken.all(), 1)
}

func TestGraph_isSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	known := &persistedServer{known: make(map[string]string), support: false, status: 200}
	server := newRPCServer(t, known.ServeHTTP)
	graph := api.NewGraph(newRPCClient(t, server.URL), "", api.WithPersistedQueries(true), api.WithExtensions(map[string]any{"a": 1}))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			query := fmt.Sprintf("{ a%d }", i)
			got, err := api.Execute[struct{ Ran string }](t.Context(), graph, query, nil, api.WithExtensions(map[string]any{"i": i}))
			if err != nil || got.Ran != query {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// FuzzGraph answers an operation with the input. What is given out of it stands in it.
func FuzzGraph(f *testing.F) {
	for _, answer := range []string{
		`{"data":{"a":1}}`, `{"data":null,"errors":[{"message":"x","path":["a",0],"locations":[{"line":1,"column":2}],"extensions":{"code":"A"}}]}`, `{"errors":[]}`,
		`{}`, ``, `null`, `[]`, `{"data":{"a":1},"errors":null,"extensions":{"b":[1]},"hasNext":true}`, `{"errors":[{"message":1}]}`, "\xff\xfe{\x00}\x00",
	} {
		f.Add(answer, true)
		f.Add(answer, false)
	}
	var typ, text string
	c, err := parley.New(parley.WithEnv(false), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		graphSays(typ, 200, text)(w, r)
	})))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, answer string, plain bool) {
		if typ, text = graphType, answer; plain {
			typ = "application/json"
		}
		got, err := api.NewGraph(c, "http://a.test/").Execute(t.Context(), "{a}", nil)
		if err != nil {
			require.ErrorIs(t, err, parley.ErrDecoding)
			require.Less(t, len(err.Error()), 2000)
			return
		}
		require.True(t, got.Data != nil || len(got.Errors) > 0)
		if failure := got.Err(); failure != nil {
			require.Less(t, len(failure.Error()), 2000)
		}
		if json.Valid([]byte(answer)) {
			var members map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(answer), &members))
			require.Equal(t, string(members["data"]), string(got.Data))
			var list []any
			if members["errors"] != nil {
				require.NoError(t, json.Unmarshal(members["errors"], &list))
			}
			require.Len(t, got.Errors, len(list))
		}
	})
}
