package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-0474a412/parley"
)

// The media types of answers (GraphQL over HTTP, section "Media Types").
const (
	graphMedia  = "application/graphql-response+json"
	acceptGraph = graphMedia + ", application/json;q=0.9"
)

// GraphAnswer is a well-formed answer of GraphQL.
type GraphAnswer struct {
	// Data is what the operation gave; nil if it was not executed, null if an error left
	// nothing of it.
	Data       json.RawMessage
	Errors     GraphErrors
	Extensions map[string]json.RawMessage
	// HasNext says that more of the same data will come: see [Graph.Subscribe].
	HasNext bool
	// Response is the answer of HTTP that this came in.
	Response *parley.Response
}

// Err gives the errors as [GraphErrors]; with an answer of 4xx or 5xx it is a
// *[parley.StatusError] too. nil if all went well.
func (a *GraphAnswer) Err() error {
	var status error
	if a.Response != nil {
		status = a.Response.Err()
	}
	switch {
	case len(a.Errors) == 0:
		return status
	case status == nil:
		return a.Errors
	}
	return fmt.Errorf("%w: %w", status, a.Errors)
}

// Decode decodes the data into v, and leaves v as it is where there is none. Data that
// does not fit is parley.ErrDecoding.
func (a *GraphAnswer) Decode(v any) error {
	if a.Data == nil {
		return nil
	}
	if err := json.Unmarshal(a.Data, v); err != nil {
		return answerError("decode", a.Response, fmt.Errorf("%w as the data: %w", parley.ErrDecoding, err))
	}
	return nil
}

// typedGraph decodes an answer. Data that errors have left incomplete is given beside them.
func typedGraph[T any](a *GraphAnswer) (T, error) {
	var v, none T
	failure := a.Err()
	if err := a.Decode(&v); err != nil {
		if failure != nil {
			err = fmt.Errorf("%w\n%w", failure, err)
		}
		return none, err
	}
	return v, failure
}

// readGraph reads the answer to an operation. Whatever its status, an answer of GraphQL's
// own media type is one of GraphQL; of another type it can be relied upon with status 200
// alone, as others may have made it (GraphQL over HTTP, "Processing a response" and
// appendix A).
func readGraph(resp *parley.Response) (*GraphAnswer, error) {
	status := resp.Err()
	if mediaOf(resp) != graphMedia && resp.StatusCode != 200 {
		if status == nil {
			status = answerError("decode", resp, fmt.Errorf("%w: status %d without the type %s is no answer of GraphQL", parley.ErrDecoding, resp.StatusCode, graphMedia))
		}
		return nil, status
	}
	var raw json.RawMessage
	err := resp.JSON(&raw)
	if err == nil {
		var a *GraphAnswer
		if a, err = parseGraph(raw); err == nil {
			a.Response = resp
			return a, nil
		}
		err = answerError("decode", resp, err)
	}
	if status != nil {
		err = fmt.Errorf("%w: %w", status, err)
	}
	return nil, err
}

// parseGraph reads a response (GraphQL, section 7.1): there must be data or errors.
func parseGraph(raw json.RawMessage) (*GraphAnswer, error) {
	var members map[string]json.RawMessage // names are case-sensitive
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, notGraph("it is no object")
	}
	return graphOf(members)
}

func graphOf(members map[string]json.RawMessage) (*GraphAnswer, error) {
	a := &GraphAnswer{}
	data, hasData := members["data"]
	if hasData {
		if !rawNull(data) && data[0] != '{' {
			return nil, notGraph("its data is neither an object nor null")
		}
		a.Data = data
	}
	if err := a.take(members); err != nil {
		return nil, err
	}
	if !hasData && len(a.Errors) == 0 {
		return nil, notGraph("it has neither data nor errors")
	}
	return a, nil
}

// take fills in what all payloads may have beside data. Extensions that are no object are
// as if they were not there, so that they cost nobody the data.
func (a *GraphAnswer) take(members map[string]json.RawMessage) error {
	if json.Unmarshal(members["extensions"], &a.Extensions) != nil {
		a.Extensions = nil
	}
	for name, to := range map[string]any{"errors": &a.Errors, "hasNext": &a.HasNext} {
		if member := members[name]; !rawNull(member) {
			if err := json.Unmarshal(member, to); err != nil {
				return notGraph("its %s: %w", name, err)
			}
		}
	}
	return a.Errors.check()
}

// check refuses a null among the errors.
func (e GraphErrors) check() error {
	if slices.Contains(e, nil) {
		return notGraph("one of its errors is null")
	}
	return nil
}

// ErrNotGraph says that an answer is none by the rules of GraphQL. It matches
// parley.ErrDecoding.
var ErrNotGraph error = &answerKind{"no answer by GraphQL", parley.ErrDecoding}

func notGraph(format string, args ...any) error {
	return errorKind(ErrNotGraph, fmt.Errorf(format, args...))
}

// persisted is what a server says of a persisted query.
type persisted int

const (
	persistedFine persisted = iota
	persistedNotFound
	persistedNotSupported
)

// persistedVerdict finds what an answer says of a persisted query. Older servers say it in
// application/json with a status of 4xx: it is believed there too, as all it leads to is
// that the query is sent.
func persistedVerdict(a *GraphAnswer, err error) persisted {
	if status := (*parley.StatusError)(nil); a == nil && errors.As(err, &status) {
		var raw json.RawMessage
		if status.Decode(&raw) == nil {
			a, _ = parseGraph(raw) // nil: it says nothing of the query
		}
	}
	if a == nil {
		return persistedFine
	}
	for _, e := range a.Errors {
		switch {
		case e.Message == "PersistedQueryNotFound" || e.Code() == "PERSISTED_QUERY_NOT_FOUND":
			return persistedNotFound
		case e.Message == "PersistedQueryNotSupported" || e.Code() == "PERSISTED_QUERY_NOT_SUPPORTED":
			return persistedNotSupported
		}
	}
	return persistedFine
}
