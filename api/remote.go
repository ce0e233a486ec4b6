package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Remote calls procedures by POST of a JSON object (RPC), each at a URL of its own below
// that of the Remote. Make one with [NewRemote]; its answers are typed with [Call].
//
// A Remote does not change and is safe for concurrent use.
type Remote struct {
	client *parley.Client
	url    string
	path   []string // of segments below url, not escaped
	opts   []parley.RequestOption
	how    remoteConfig
}

// NewRemote gives the procedures below url, which is joined to the base URL of c as the
// URLs of requests are; "" is the base URL itself. Options are those of this package
// ([WithDefaultFields], [WithResultCheck], [WithEnvelope], [WithMethodSuffix]) and any of
// requests, which hold for every call; without a word of theirs, Accept is application/json.
// What is wrong with them is told by the first call.
func NewRemote(c *parley.Client, url string, opts ...parley.RequestOption) *Remote {
	r := &Remote{client: c, url: url}
	if c == nil {
		r.how.fail(errNoClient)
	}
	return r.With(opts...)
}

// With gives a Remote with further options, which win over those of r.
func (r *Remote) With(opts ...parley.RequestOption) *Remote {
	next := *r
	rest, err := splitOptions(opts, &next.how)
	if err != nil {
		next.how.fail(err)
	}
	next.opts = slices.Concat(r.opts, rest)
	return &next
}

// At gives the procedures further down: r.At("users", "list") is where r calls the method
// "users/list". A segment may hold anything but nothing, "." and "..", which the calls
// refuse as parley.ErrInvalidURL; it is escaped.
func (r *Remote) At(segments ...string) *Remote {
	next := *r
	next.path = slices.Concat(r.path, segments)
	return &next
}

// Client gives the session that r calls over.
func (r *Remote) Client() *parley.Client { return r.client }

// Procedures is what [Call] calls: a [Remote] or a [JSONRPC].
type Procedures interface {
	call(ctx context.Context, method string, args any, opts []parley.RequestOption) (callResult, error)
}

// callResult is what a call gave, as JSON; nil for nothing.
type callResult struct {
	resp *parley.Response
	raw  json.RawMessage
}

func (c callResult) decode(v any) error {
	if c.raw == nil {
		return nil
	}
	if err := json.Unmarshal(c.raw, v); err != nil {
		return answerError("decode", c.resp, fmt.Errorf("%w as the result: %w", parley.ErrDecoding, err))
	}
	return nil
}

// Call calls a method of a [Remote] or a [JSONRPC] and decodes its result, which is JSON,
// into a T:
//
//	user, err := api.Call[User](ctx, slack, "users.info", map[string]any{"user": id})
//
// What args and opts may be, and the errors, see [Remote.Call] and [JSONRPC.Call]; a
// result that does not fit T is parley.ErrDecoding.
func Call[T any](ctx context.Context, p Procedures, method string, args any, opts ...parley.RequestOption) (T, error) {
	var v, none T
	result, err := p.call(ctx, method, args, opts)
	if err == nil {
		err = result.decode(&v)
	}
	if err != nil {
		return none, err
	}
	return v, nil
}

// Call posts fields to the URL of method and gives the answer's JSON as Go values. The
// method is a path below the URL of r: "users.list" or "users/list", whose segments are
// escaped; "" is that URL itself. Fields are a map with string keys or a struct, merged
// over the defaults ([WithDefaultFields]); nil is an empty object. Where there are no
// defaults, any other value that can be JSON is posted as it is.
//
// Answers of 4xx and 5xx are a *[parley.StatusError], those that are not JSON
// parley.ErrDecoding, whatever their content type; what checks and envelopes say of an
// answer comes after that. Answers without content (204, 205) give nil, without a check.
// Their size is bounded by [parley.WithMaxBodyBytes].
func (r *Remote) Call(ctx context.Context, method string, fields any, opts ...parley.RequestOption) (any, error) {
	return Call[any](ctx, r, method, fields, opts...)
}

func (r *Remote) call(ctx context.Context, method string, fields any, opts []parley.RequestOption) (callResult, error) {
	how := r.how
	rest, err := splitOptions(opts, &how)
	if err != nil {
		how.fail(err)
	}
	if how.err != nil {
		return callResult{}, callError(http.MethodPost, how.err)
	}
	target, err := r.target(method, how.suffix)
	if err != nil {
		return callResult{}, callError(http.MethodPost, err)
	}
	body, err := how.body(fields)
	if err != nil {
		return callResult{}, callError(http.MethodPost, err)
	}
	all := slices.Concat([]parley.RequestOption{acceptRPC}, r.opts, rest, []parley.RequestOption{parley.WithJSON(body)})
	resp, err := r.client.Post(ctx, target, all...)
	if err != nil {
		return callResult{}, err
	}
	return how.result(resp)
}

var acceptRPC = parley.WithHeader("Accept", "application/json")

// body gives what is posted.
func (how *remoteConfig) body(fields any) (any, error) {
	if len(how.fields) == 0 && fields != nil {
		return fields, nil
	}
	own, err := fieldsOf(fields)
	if err != nil {
		return nil, err
	}
	return mergedFields(how.fields, own), nil
}

// result gives what an answer holds.
func (how *remoteConfig) result(resp *parley.Response) (callResult, error) {
	if err := resp.Err(); err != nil {
		return callResult{}, err
	}
	if hasNoContent(resp) {
		return callResult{}, nil
	}
	var raw json.RawMessage
	if err := resp.JSON(&raw); err != nil {
		return callResult{}, err
	}
	for _, open := range how.open {
		var err error
		if raw, err = open(raw); err != nil { // the API's own, unless the answer is another than was thought
			return callResult{}, answerError("check", resp, err)
		}
		if raw == nil {
			break
		}
	}
	return callResult{resp, raw}, nil
}

// target gives the URL of a method.
func (r *Remote) target(method, suffix string) (string, error) {
	segments := r.path
	if method != "" {
		segments = slices.Concat(r.path, strings.Split(method, "/"))
	}
	return remotePath(r.url, segments, suffix)
}

// remotePath gives the reference of what is below base, whose query stays behind the path.
func remotePath(base string, segments []string, suffix string) (string, error) {
	path, tail := base, ""
	if i := strings.IndexAny(base, "?#"); i >= 0 {
		path, tail = base[:i], base[i:]
	}
	if len(segments) > 0 {
		path = strings.TrimRight(path, "/")
	}
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return "", fmt.Errorf("%w: %q is no segment of a method's path", parley.ErrInvalidURL, s)
		}
		path += "/" + escapeSegment(s)
	}
	if suffix != "" {
		path = strings.TrimRight(path, "/") + strings.ReplaceAll(escapeSegment(suffix), "%2F", "/")
	}
	return path + tail, nil
}
