package api

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/seed-0474a412/parley"
)

// JSONRPC calls the methods of a server that speaks JSON-RPC 2.0 over HTTP
// (https://www.jsonrpc.org/specification). Make one with [NewJSONRPC]; its answers are
// typed with [Call] and [BatchCall].
//
// A JSONRPC is safe for concurrent use; the ids of its calls are numbers that are used
// once, from 1 up.
type JSONRPC struct {
	client *parley.Client
	url    string
	opts   []parley.RequestOption
	ids    *atomic.Uint64
	err    error // what was wrong with an option
}

// NewJSONRPC gives the methods of the server at url, which is joined to the base URL of c
// as the URLs of requests are; "" is the base URL itself. The options hold for every call;
// without a word of theirs, Accept is application/json.
func NewJSONRPC(c *parley.Client, url string, opts ...parley.RequestOption) *JSONRPC {
	j := &JSONRPC{client: c, url: url, ids: new(atomic.Uint64)}
	if c == nil {
		j.err = errNoClient
	}
	return j.With(opts...)
}

// With gives a JSONRPC for the same server with further options, which win over those of j.
// Both draw their ids from one source.
func (j *JSONRPC) With(opts ...parley.RequestOption) *JSONRPC {
	next := *j
	rest, err := splitOptions(opts, &rpcConfig{})
	next.err = errors.Join(j.err, err)
	next.opts = slices.Concat(j.opts, rest)
	return &next
}

// rpcConfig is there for splitOptions: JSONRPC has no options of its own.
type rpcConfig struct{}

// Client gives the session that j calls over.
func (j *JSONRPC) Client() *parley.Client { return j.client }

// rpcRequest is a request object (section 4). Pointers leave members out whatever encoder
// the session has.
type rpcRequest struct {
	Version string  `json:"jsonrpc"`
	Method  string  `json:"method"`
	Params  any     `json:"params,omitempty"`
	ID      *uint64 `json:"id,omitempty"` // nil: a notification
}

func newRPCRequest(method string, params any, id *uint64) (rpcRequest, error) {
	if method == "" {
		return rpcRequest{}, callError(http.MethodPost, errors.New("a JSON-RPC call needs the name of a method"))
	}
	params, err := rpcParams(params)
	if err != nil {
		return rpcRequest{}, callError(http.MethodPost, fmt.Errorf("JSON-RPC method %s: %w", shortText(method, 64), err))
	}
	return rpcRequest{"2.0", method, params, id}, nil
}

// rpcParams checks that params are a structured value (section 4.2); what would be null is
// left out.
func rpcParams(params any) (any, error) {
	kind, err := jsonKind(params)
	switch {
	case err != nil:
		return nil, err
	case kind == 0:
		return nil, nil
	case kind == '[' || kind == '{':
		return params, nil
	}
	return nil, fmt.Errorf("params are a slice or an array (by position), a map or a struct (by name), or nil, not %T", params)
}

// jsonKind gives '{' or '[' for a value that becomes an object or an array, 0 for null, and
// '"' for anything else.
func jsonKind(value any) (byte, error) {
	switch value.(type) {
	case nil:
		return 0, nil
	case json.Marshaler, encoding.TextMarshaler: // which may be anything
		encoded, err := plainJSON(value)
		switch {
		case err != nil:
			return 0, err
		case rawNull(encoded):
			return 0, nil
		case encoded[0] == '[' || encoded[0] == '{':
			return encoded[0], nil
		}
		return '"', nil
	}
	v := reflect.ValueOf(value)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return 0, nil
	case reflect.Struct:
		return '{', nil
	case reflect.Array:
		return '[', nil
	case reflect.Map:
		if v.IsNil() {
			return 0, nil
		}
		return '{', nil
	case reflect.Slice:
		if v.IsNil() {
			return 0, nil
		}
		if v.Type().Elem().Kind() != reflect.Uint8 { // else it becomes a string
			return '[', nil
		}
	}
	return '"', nil
}

// Call calls a method and gives its result as Go values. Params are given by position, as
// a slice or an array ([]any{1, "two"}), or by name, as a map or a struct; nil, also in a
// slice, a map or a pointer, sends none. Other values are an error before anything is
// sent.
//
// An error that the server answers with is a *[RPCError], also one with a null id, as it
// sends where it could not read the request. Answers of 4xx and 5xx are a
// *[parley.StatusError], and the RPCError too where they hold one. An answer that is none by
// JSON-RPC 2.0 is [ErrInvalidAnswer], one for another id [ErrUnknownID], and none at all
// [ErrMissingAnswer]. Its size is bounded by [parley.WithMaxBodyBytes].
func (j *JSONRPC) Call(ctx context.Context, method string, params any, opts ...parley.RequestOption) (any, error) {
	return Call[any](ctx, j, method, params, opts...)
}

func (j *JSONRPC) call(ctx context.Context, method string, params any, opts []parley.RequestOption) (callResult, error) {
	id := j.ids.Add(1)
	req, err := newRPCRequest(method, params, &id)
	if err != nil {
		return callResult{}, err
	}
	resp, err := j.post(ctx, req, opts)
	if err != nil {
		return callResult{}, err
	}
	return rpcResult(resp, id)
}

// Notify calls a method without asking for a result (section 4.1): a nil error says that
// the server has taken the notification, not that it has done something. Should it answer
// with an error nevertheless, that is a *[RPCError]; what else it says is of no account.
// For the params and the other errors see [JSONRPC.Call].
func (j *JSONRPC) Notify(ctx context.Context, method string, params any, opts ...parley.RequestOption) error {
	req, err := newRPCRequest(method, params, nil)
	if err != nil {
		return err
	}
	resp, err := j.post(ctx, req, opts)
	if err != nil {
		return err
	}
	return rpcNoResult(resp)
}

func (j *JSONRPC) post(ctx context.Context, body any, opts []parley.RequestOption) (*parley.Response, error) {
	rest, err := splitOptions(opts, &rpcConfig{})
	if err = errors.Join(j.err, err); err != nil {
		return nil, callError(http.MethodPost, err)
	}
	all := slices.Concat([]parley.RequestOption{acceptRPC}, j.opts, rest, []parley.RequestOption{parley.WithJSON(body)})
	return j.client.Post(ctx, j.url, all...)
}
