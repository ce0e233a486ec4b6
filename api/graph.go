package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/seed-0474a412/parley"
)

// Graph executes operations of a GraphQL server over HTTP, by the GraphQL-over-HTTP
// specification (https://graphql.github.io/graphql-over-http/). Make one with [NewGraph];
// its answers are typed with [Execute] and [Subscribe].
//
// A Graph is safe for concurrent use. It remembers one thing: that its server does not
// support persisted queries.
type Graph struct {
	client *parley.Client
	url    string
	opts   []parley.RequestOption
	how    graphConfig
	plain  *atomic.Bool // the server does not support persisted queries
}

// NewGraph gives the GraphQL server at url, which is joined to the base URL of c as the
// URLs of requests are; "" is the base URL itself. Options are those of this package
// ([WithOperationName], [WithExtensions], [WithGET], [WithPersistedQueries]) and any of
// requests, which hold for every operation. What is wrong with them is told by the first.
func NewGraph(c *parley.Client, url string, opts ...parley.RequestOption) *Graph {
	g := &Graph{client: c, url: url, plain: new(atomic.Bool)}
	if c == nil {
		g.how.err = errNoClient
	}
	return g.With(opts...)
}

// With gives a Graph for the same server with further options, which win over those of g.
func (g *Graph) With(opts ...parley.RequestOption) *Graph {
	next := *g
	rest, err := splitOptions(opts, &next.how)
	if err != nil {
		next.how.err = errors.Join(next.how.err, err)
	}
	next.opts = slices.Concat(g.opts, rest)
	return &next
}

// Client gives the session that g calls over.
func (g *Graph) Client() *parley.Client { return g.client }

// graphConfig is what options say of a Graph. Its map is never changed.
type graphConfig struct {
	operation  string
	extensions map[string]any
	get        bool
	persisted  bool
	err        error // what was wrong with an option
}

// WithOperationName says which operation of a document of several a [Graph] executes.
func WithOperationName(name string) parley.RequestOption {
	return newWrapperOption("WithOperationName", func(how *graphConfig) { how.operation = name })
}

// WithExtensions sends extensions with an operation of a [Graph]: the members of a map
// with string keys, or of a struct by its json tags. A later one of the same name wins.
func WithExtensions(extensions any) parley.RequestOption {
	more, err := fieldsOf(extensions)
	return newWrapperOption("WithExtensions", func(how *graphConfig) {
		if err != nil {
			how.err = errors.Join(how.err, fmt.Errorf("WithExtensions: %w", err))
			return
		}
		how.extensions = mergedFields(how.extensions, more)
	})
}

// WithGET(true) has a [Graph] send operations by GET, with all they have in the URL, so
// that caches can answer them. Whatever is not for certain a query is refused before it is
// sent, and so are files. Some servers refuse GET without a header that browsers do not send
// by themselves: two that are in use for that go along, Apollo-Require-Preflight and
// GraphQL-Require-Preflight, as they do with files.
func WithGET(on bool) parley.RequestOption {
	return newWrapperOption("WithGET", func(how *graphConfig) { how.get = on })
}

// WithPersistedQueries(true) has a [Graph] send the SHA-256 digest of a document in its
// place, and the document only where the server does not know it yet (Apollo's automatic
// persisted queries). A server that says that it does not support them gets documents from
// then on. Operations with files, and those of [Subscribe], always have their document.
func WithPersistedQueries(on bool) parley.RequestOption {
	return newWrapperOption("WithPersistedQueries", func(how *graphConfig) { how.persisted = on })
}

// Execute executes a query or a mutation and decodes its data, which is an object, into a
// T:
//
//	type Hero struct{ Hero struct{ Name string } }
//	hero, err := api.Execute[Hero](ctx, graph, `query ($id: ID!) { hero(id: $id) { name } }`, map[string]any{"id": 7})
//
// Errors that the answer holds are [GraphErrors]. An operation may have given a part of its
// data all the same: it is returned beside the error, with nothing where fields failed.
// For vars, opts and the other errors see [Graph.Execute]; data that does not fit T is
// parley.ErrDecoding.
func Execute[T any](ctx context.Context, g *Graph, query string, vars any, opts ...parley.RequestOption) (T, error) {
	answer, err := g.Execute(ctx, query, vars, opts...)
	if err != nil {
		var none T
		return none, err
	}
	return typedGraph[T](answer)
}

// Execute executes a query or a mutation. vars are its variables: a map with string keys
// or a struct, with files as [NewUpload] gives them, or nil.
//
// Any well-formed answer of GraphQL is returned, with its errors in it; an answer of the
// type application/graphql-response+json is one whatever its status, one of another type
// with status 200 alone. Otherwise answers of 4xx and 5xx are a *[parley.StatusError], and
// what is no answer of GraphQL is [ErrNotGraph] or, if it is no JSON either,
// parley.ErrDecoding. Its size is bounded by [parley.WithMaxBodyBytes].
func (g *Graph) Execute(ctx context.Context, query string, vars any, opts ...parley.RequestOption) (*GraphAnswer, error) {
	c, err := g.newCall(query, vars, opts, "query")
	if err != nil {
		return nil, callError("", err)
	}
	if c.how.persisted && c.files == nil && !g.plain.Load() {
		return c.persisted(ctx)
	}
	return c.exchange(ctx, sendDocument)
}

// graphRequest is what a request says (GraphQL over HTTP, "Request Parameters").
type graphRequest struct {
	Query         *string        `json:"query,omitempty"`
	OperationName *string        `json:"operationName,omitempty"`
	Variables     any            `json:"variables,omitempty"`
	Extensions    map[string]any `json:"extensions,omitempty"`
}

// graphCall is one operation on its way.
type graphCall struct {
	graph *Graph
	query string
	vars  any // nil: none
	files *uploadForm
	how   graphConfig
	opts  []parley.RequestOption
}

// newCall checks an operation. By GET it must be of one of the kinds.
func (g *Graph) newCall(query string, vars any, opts []parley.RequestOption, getKinds ...string) (*graphCall, error) {
	c := &graphCall{graph: g, query: query, how: g.how}
	rest, err := splitOptions(opts, &c.how)
	if err = errors.Join(c.how.err, err); err != nil {
		return nil, err
	}
	c.opts = slices.Concat(g.opts, rest)
	if kind, err := jsonKind(vars); err != nil || kind != 0 && kind != '{' {
		return nil, errors.Join(fmt.Errorf("variables are a map with string keys, a struct or nil, not %T", vars), err)
	} else if kind != 0 {
		c.vars = vars
	}
	if c.vars, c.files, err = takeUploads(c.vars); err != nil {
		return nil, err
	}
	if !c.how.get {
		return c, nil
	}
	kind, err := operationKind(query, c.how.operation)
	switch {
	case err != nil:
		return nil, fmt.Errorf("WithGET is for what is known to change nothing: %w", err)
	case !slices.Contains(getKinds, kind):
		return nil, fmt.Errorf("a %s must not be sent by GET: WithGET(false) sends it by POST", kind)
	case c.files != nil:
		return nil, errors.New("files cannot be sent by GET: WithGET(false) sends them by POST")
	}
	return c, nil
}

// sending is what of a document is sent.
type sending int

const (
	sendDocument sending = iota
	sendDigest
	sendBoth
)

// request gives what is sent.
func (c *graphCall) request(what sending) graphRequest {
	r := graphRequest{Variables: c.vars, Extensions: c.how.extensions}
	if c.how.operation != "" {
		r.OperationName = &c.how.operation
	}
	if what != sendDigest {
		r.Query = &c.query
	}
	if what != sendDocument {
		digest := sha256.Sum256([]byte(c.query))
		r.Extensions = maps.Clone(r.Extensions)
		if r.Extensions == nil {
			r.Extensions = make(map[string]any)
		}
		r.Extensions["persistedQuery"] = map[string]any{"version": 1, "sha256Hash": hex.EncodeToString(digest[:])}
	}
	return r
}

// preflight are headers by which servers know that no page of another site has made a
// browser send the request.
var preflight = parley.WithOptions(
	parley.WithHeader("Apollo-Require-Preflight", "true"), parley.WithHeader("GraphQL-Require-Preflight", "true"),
)

// encoded gives the method and the options of a request. before are defaults that the
// caller's options replace.
func (c *graphCall) encoded(what sending, before ...parley.RequestOption) (method string, opts []parley.RequestOption, err error) {
	req := c.request(what)
	switch {
	case c.how.get:
		params, err := getParams(req)
		if err != nil {
			return "", nil, err
		}
		return http.MethodGet, slices.Concat(before, []parley.RequestOption{preflight}, c.opts, []parley.RequestOption{parley.WithParams(params)}), nil
	case c.files != nil:
		parts, err := c.files.form(req)
		if err != nil {
			return "", nil, err
		}
		return http.MethodPost, slices.Concat(before, []parley.RequestOption{preflight}, c.opts, []parley.RequestOption{parley.WithMultipart(parts...)}), nil
	}
	return http.MethodPost, slices.Concat(before, c.opts, []parley.RequestOption{parley.WithJSON(req)}), nil
}

// getParams gives a request as parameters of a URL.
func getParams(req graphRequest) (parley.Params, error) {
	var params parley.Params
	if req.Query != nil {
		params = append(params, parley.Param{Key: "query", Value: *req.Query})
	}
	if req.OperationName != nil {
		params = append(params, parley.Param{Key: "operationName", Value: *req.OperationName})
	}
	if req.Variables != nil {
		variables, err := plainJSON(req.Variables)
		if err != nil {
			return nil, err
		}
		params = append(params, parley.Param{Key: "variables", Value: string(variables)})
	}
	if len(req.Extensions) > 0 {
		extensions, err := plainJSON(req.Extensions)
		if err != nil {
			return nil, err
		}
		params = append(params, parley.Param{Key: "extensions", Value: string(extensions)})
	}
	return params, nil
}

// exchange sends the operation and reads the answer.
func (c *graphCall) exchange(ctx context.Context, what sending) (*GraphAnswer, error) {
	method, opts, err := c.encoded(what, parley.WithHeader("Accept", acceptGraph))
	if err != nil {
		return nil, callError("", err)
	}
	resp, err := c.graph.client.Request(ctx, method, c.graph.url, opts...)
	if err != nil {
		return nil, err
	}
	return readGraph(resp)
}

// persisted sends the digest first, and the document where that is not enough.
func (c *graphCall) persisted(ctx context.Context) (*GraphAnswer, error) {
	answer, err := c.exchange(ctx, sendDigest)
	verdict := persistedVerdict(answer, err)
	if verdict == persistedNotFound {
		answer, err = c.exchange(ctx, sendBoth)
		verdict = persistedVerdict(answer, err)
	}
	if verdict == persistedNotSupported {
		c.graph.plain.Store(true)
		return c.exchange(ctx, sendDocument)
	}
	return answer, err
}
