package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/graph-gophers/graphql-go"
	"github.com/graph-gophers/graphql-go/relay"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/stretchr/testify/require"
)

const teaSchema = `
	type Query {
		tea(id: ID!): Tea
		teas(first: Int = 2, kinds: [Kind!]): [Tea!]!
	}
	type Mutation { brew(input: Brew!): Tea! }
	type Subscription { cups(of: ID!, n: Int!): Cup! }
	enum Kind { GREEN BLACK }
	input Brew { name: String!, kind: Kind = BLACK, minutes: Float }
	type Tea { id: ID!, name: String!, kind: Kind!, price: Float }
	type Cup { number: Int!, tea: Tea! }
`

type teaResolver struct{}

type tea struct {
	ID    graphql.ID
	Name  string
	Kind  string
	price float64 // less than 0: nobody knows
}

type teaError struct{}

func (teaError) Error() string              { return "nobody knows the price" }
func (teaError) Extensions() map[string]any { return map[string]any{"code": "NO_PRICE", "since": 1662} }
func (t tea) Price() (*float64, error) {
	if t.price < 0 {
		return nil, teaError{}
	}
	return &t.price, nil
}

var teas = []tea{{"1", "Sencha", "GREEN", 7.5}, {"2", "Assam", "BLACK", -1}, {"3", "Bancha", "GREEN", 5}}

func (*teaResolver) Tea(args struct{ ID graphql.ID }) *tea {
	for _, t := range teas {
		if t.ID == args.ID {
			return &t
		}
	}
	return nil
}

func (*teaResolver) Teas(args struct {
	First int32
	Kinds *[]string
}) (found []tea) {
	for _, t := range teas {
		for _, k := range *args.Kinds {
			if t.Kind == k && len(found) < int(args.First) {
				found = append(found, t)
			}
		}
	}
	return found
}

func (*teaResolver) Brew(args struct {
	Input struct {
		Name    string
		Kind    string
		Minutes *float64
	}
}) (*tea, error) {
	if args.Input.Minutes == nil {
		return nil, errors.New("for how long?")
	}
	return &tea{"9", args.Input.Name, args.Input.Kind, *args.Input.Minutes}, nil
}

type cup struct {
	Number int32
	Tea    tea
}

func (*teaResolver) Cups(ctx context.Context, args struct {
	Of graphql.ID
	N  int32
}) <-chan *cup {
	cups := make(chan *cup)
	go func() {
		defer close(cups)
		t := (&teaResolver{}).Tea(struct{ ID graphql.ID }{args.Of})
		for i := int32(1); t != nil && i <= args.N; i++ {
			select {
			case cups <- &cup{i, *t}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return cups
}

// teaHouse serves the schema: at /plain by the library's own handler, at /graphql in the
// manner of the GraphQL-over-HTTP specification, with events for who accepts them.
func teaHouse(schema *graphql.Schema) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/plain", &relay.Handler{Schema: schema})
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, r *http.Request) {
		var params struct {
			Query         string
			OperationName string
			Variables     map[string]any
		}
		var err error
		if r.Method == http.MethodGet {
			q := r.URL.Query()
			params.Query, params.OperationName = q.Get("query"), q.Get("operationName")
			if v := q.Get("variables"); v != "" {
				err = json.Unmarshal([]byte(v), &params.Variables)
			}
		} else {
			err = json.NewDecoder(r.Body).Decode(&params)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if accept := r.Header.Get("Accept"); len(accept) > 17 && accept[:17] == "text/event-stream" {
			pour(w, r, schema, params.Query, params.OperationName, params.Variables)
			return
		}
		answer := schema.Exec(r.Context(), params.Query, params.OperationName, params.Variables)
		w.Header().Set("Content-Type", "application/graphql-response+json; charset=utf-8")
		switch {
		case len(answer.Data) == 0:
			w.WriteHeader(http.StatusBadRequest)
		case len(answer.Errors) > 0:
			w.WriteHeader(294)
		}
		json.NewEncoder(w).Encode(answer)
	})
	return mux
}

func pour(w http.ResponseWriter, r *http.Request, schema *graphql.Schema, query, operation string, variables map[string]any) {
	w.Header().Set("Content-Type", "text/event-stream")
	results, err := schema.Subscribe(r.Context(), query, operation, variables)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for result := range results {
		text, err := json.Marshal(result)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "event: next\ndata: %s\n\n", text)
		w.(http.Flusher).Flush()
	}
	fmt.Fprint(w, "event: complete\n\n")
}

func TestGraphQL(t *testing.T) { byBoth(t, testGraphQL) }

func testGraphQL(t *testing.T, by fakes) {
	schema := graphql.MustParseSchema(teaSchema, &teaResolver{}, graphql.UseFieldResolvers())
	server := httptest.NewUnstartedServer(teaHouse(schema))
	if server.EnableHTTP2 = by.http2; by.http2 {
		server.TLS = by.authority.Server(t)
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	c := by.session(t, parley.WithBaseURL(server.URL))

	type teaData struct {
		ID, Name, Kind string
		Price          *float64
	}
	type list struct{ Teas []teaData }
	for _, path := range []string{"plain", "graphql"} {
		t.Run(path, func(t *testing.T) {
			graph := api.NewGraph(c, path)
			const query = `query Two($kinds: [Kind!]) { teas(kinds: $kinds) { id name kind price } } query Other { tea(id: 1) { name } }`
			got, err := api.Execute[list](t.Context(), graph, query, map[string]any{"kinds": []string{"GREEN"}}, api.WithOperationName("Two"))
			require.NoError(t, err)
			require.Len(t, got.Teas, 2)
			require.Equal(t, "Sencha", got.Teas[0].Name)
			require.Equal(t, 7.5, *got.Teas[0].Price)

			got, err = api.Execute[list](t.Context(), graph, query, map[string]any{"kinds": []string{"BLACK"}}, api.WithOperationName("Two"))
			require.Equal(t, []teaData{{"2", "Assam", "BLACK", nil}}, got.Teas, "what there is comes beside the error")
			var one *api.GraphError
			require.ErrorAs(t, err, &one)
			require.Equal(t, "nobody knows the price", one.Message)
			require.Equal(t, api.GraphPath{"teas", 0, "price"}, one.Path)
			require.Equal(t, "NO_PRICE", one.Code())
			require.JSONEq(t, "1662", string(one.Extensions["since"]))

			brewed, err := api.Execute[struct{ Brew teaData }](t.Context(), graph, `mutation ($in: Brew!) { brew(input: $in) { name kind } }`,
				map[string]any{"in": map[string]any{"name": "Earl Grey", "minutes": 3.5}})
			require.NoError(t, err)
			require.Equal(t, teaData{Name: "Earl Grey", Kind: "BLACK"}, brewed.Brew)

			answer, err := graph.Execute(t.Context(), `{ coffee { name } }`, nil)
			require.NoError(t, err, "an answer of GraphQL that says what is wrong")
			require.Nil(t, answer.Data)
			require.ErrorAs(t, answer.Err(), &one)
			require.NotEmpty(t, one.Locations)
			require.Equal(t, path == "graphql", errors.As(answer.Err(), new(*parley.StatusError)))
		})
	}

	graph := api.NewGraph(c, "graphql", api.WithGET(true))
	got, err := api.Execute[struct{ Tea *teaData }](t.Context(), graph, `query ($id: ID!) { tea(id: $id) { name } }`, map[string]any{"id": "3"})
	require.NoError(t, err)
	require.Equal(t, "Bancha", got.Tea.Name)

	type poured struct {
		Cups struct {
			Number int
			Tea    teaData
		}
	}
	const subscription = `subscription ($n: Int!) { cups(of: 1, n: $n) { number tea { name } } }`
	var numbers []int
	for cup, err := range api.Subscribe[poured](t.Context(), graph, subscription, map[string]any{"n": 3}) {
		require.NoError(t, err)
		require.Equal(t, "Sencha", cup.Cups.Tea.Name)
		numbers = append(numbers, cup.Cups.Number)
	}
	require.Equal(t, []int{1, 2, 3}, numbers)
	for cup, err := range api.Subscribe[poured](t.Context(), api.NewGraph(c, "graphql"), subscription, map[string]any{"n": 1 << 30}) {
		require.NoError(t, err)
		if cup.Cups.Number == 5 {
			break // which ends the subscription at the server
		}
	}
	for _, err := range api.Subscribe[poured](t.Context(), graph, `subscription { spoons }`, nil) {
		require.ErrorAs(t, err, new(api.GraphErrors))
	}
}
