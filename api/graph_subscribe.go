package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/seed-0474a412/parley"
)

// acceptStream is what [Subscribe] asks for: events, then parts in the formats that servers
// name, then a single answer.
const acceptStream = "text/event-stream, " +
	"multipart/mixed;incrementalSpec=v0.2;q=0.9, multipart/mixed;deferSpec=20220824;q=0.9, multipart/mixed;subscriptionSpec=1.0;q=0.9, " +
	graphMedia + ";q=0.8, application/json;q=0.7"

// Subscribe executes a subscription, or a query with @defer or @stream, and gives its
// results as they come, each decoded into a T. For a query every step gives all data that
// has come so far.
//
//	for tick, err := range api.Subscribe[Tick](ctx, graph, `subscription { price { value } }`, nil) {
//
// A result with errors comes with [GraphErrors], and with the data that it has; the loop
// goes on if it is not left. So it does after a result that does not fit T
// (parley.ErrDecoding). For other errors, which end the loop, see [Graph.Subscribe].
func Subscribe[T any](ctx context.Context, g *Graph, query string, vars any, opts ...parley.RequestOption) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for answer, err := range g.Subscribe(ctx, query, vars, opts...) {
			var v T
			if err == nil {
				v, err = typedGraph[T](answer)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// Subscribe executes a subscription, or a query with @defer or @stream, and gives its
// results as they come. What the server delivers of a query later is merged into the
// data that came before: Data is all so far, and HasNext says that there is more to come.
// Each result is encoded anew, so that many small steps of something large take their
// time, and it grows with what the server sends, which [parley.WithMaxBodyBytes] bounds.
//
// The server may send events (the distinct connections mode of
// https://github.com/enisdenjo/graphql-sse), parts (multipart/mixed: incremental delivery
// over HTTP, in its formats of 2022 and of the draft with pending results, and Apollo's
// subscriptions with heartbeats), or a single answer, as [Graph.Execute] has it. An Accept
// header in opts chooses among them.
//
// Errors that are no answer of the server end the loop: those of [Graph.Execute], a result
// that is no GraphQL or has no place in the data ([ErrNotGraph]), one longer than
// [parley.WithMaxItemBytes] allows (parley.ErrBodyTooLarge), and a stream that ends before
// the server said that it is complete, which is parley.ErrRead and io.ErrUnexpectedEOF;
// nothing connects again by itself. A server may be silent for ever unless opts say
// otherwise by Timeouts.Read. Leaving the loop ends the subscription; ranging again begins
// a new one. WithPersistedQueries does not count here.
func (g *Graph) Subscribe(ctx context.Context, query string, vars any, opts ...parley.RequestOption) iter.Seq2[*GraphAnswer, error] {
	return func(yield func(*GraphAnswer, error) bool) {
		resp, err := g.open(ctx, query, vars, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Close()
		var payloads iter.Seq2[json.RawMessage, error]
		var merge graphMerge
		switch media := mediaOf(resp); {
		case media == "text/event-stream" && resp.StatusCode == 200:
			payloads = eventPayloads(resp)
		case media == "multipart/mixed" && resp.StatusCode == 200:
			payloads = partPayloads(resp, &merge)
		default:
			yield(readGraph(resp))
			return
		}
		for raw, err := range payloads {
			var answer *GraphAnswer
			if err == nil {
				if answer, err = merge.next(raw); err != nil {
					err = answerError("decode", resp, err)
				}
			}
			switch {
			case err != nil:
				yield(nil, err)
				return
			case answer == nil:
				continue
			}
			if answer.Response = resp; !yield(answer, nil) {
				return
			}
		}
		if merge.hasNext {
			yield(nil, graphCut(resp))
		}
	}
}

// open sends an operation whose answer is a stream.
func (g *Graph) open(ctx context.Context, query string, vars any, opts []parley.RequestOption) (*parley.Response, error) {
	c, err := g.newCall(query, vars, opts, "query", "subscription")
	if err != nil {
		return nil, callError("", err)
	}
	method, all, err := c.encoded(sendDocument,
		parley.WithHeader("Accept", acceptStream), parley.WithHeader("Cache-Control", "no-cache"),
		parley.WithTimeouts(parley.Timeouts{Response: parley.NoTimeout, Read: parley.NoTimeout}),
	)
	if err != nil {
		return nil, callError("", err)
	}
	return g.client.Stream(ctx, method, g.url, all...)
}

// maxEventLines bounds the data of an event that comes in several lines, each of which
// WithMaxItemBytes bounds.
const maxEventLines = 16 << 20

// eventPayloads gives the data of the "next" events up to a "complete". Unlike what is
// built for an EventSource ([parley.Response.Events]) it sees a "complete" without data
// too, as servers send it.
func eventPayloads(resp *parley.Response) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		var kind string
		var data []byte
		first := true
		for line, err := range resp.Lines() {
			if err != nil {
				yield(nil, err)
				return
			}
			if first {
				first, line = false, strings.TrimPrefix(line, "\uFEFF")
			}
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case line == "" && kind == "complete":
				return
			case line == "":
				// The protocol knows no other events, and clients skip them.
				if kind == "next" && data != nil && !yield(data, nil) {
					return
				}
				kind, data = "", nil
			case name == "event":
				kind = value
			case name == "data" && data == nil:
				data = append([]byte{}, value...)
			case name == "data":
				if len(data)+len(value) > maxEventLines {
					yield(nil, answerError("decode", resp, fmt.Errorf("%w: an event of more than %d bytes in several lines", parley.ErrBodyTooLarge, maxEventLines)))
					return
				}
				data = append(append(data, '\n'), value...)
			}
		}
		yield(nil, graphCut(resp))
	}
}

// graphCut is the error of a stream that ended too early.
func graphCut(resp *parley.Response) error {
	return answerError("read", resp, fmt.Errorf("%w: before the operation was complete: %w", parley.ErrRead, io.ErrUnexpectedEOF))
}

// partPayloads gives the payloads in the parts of an answer, each as soon as it has come.
func partPayloads(resp *parley.Response, merge *graphMerge) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for part, err := range resp.Parts() {
			var raw json.RawMessage
			if err == nil {
				err = part.JSON(&raw)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			payloads, err := unwrapPayload(raw)
			if err != nil {
				yield(nil, answerError("decode", resp, err))
				return
			}
			awaited := merge.hasNext
			for _, payload := range payloads {
				if !yield(payload, nil) {
					return
				}
			}
			if awaited && !merge.hasNext { // it was the last; the end need not be waited for
				return
			}
			if err := endOfPart(resp, part); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// unwrapPayload gives the payloads in a part: none in a heartbeat, and what is in the
// wrapper of Apollo's subscriptions (subscriptionSpec=1.0), where errors beside the payload
// end the subscription.
func unwrapPayload(raw json.RawMessage) ([]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, notGraph("a payload is no object")
	}
	payload, wrapped := members["payload"]
	if !wrapped {
		if len(members) == 0 {
			return nil, nil
		}
		return []json.RawMessage{raw}, nil
	}
	var payloads []json.RawMessage
	if !rawNull(payload) {
		payloads = append(payloads, payload)
	}
	if errs := members["errors"]; !rawNull(errs) {
		last, err := plainJSON(map[string]json.RawMessage{"errors": errs})
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, last)
	}
	return payloads, nil
}

// endOfPart checks that nothing but blanks follows the payload.
func endOfPart(resp *parley.Response, part *parley.ResponsePart) error {
	var blank [64]byte
	for {
		n, err := part.Body.Read(blank[:])
		for _, c := range blank[:n] {
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				return answerError("decode", resp, notGraph("more follows after a payload"))
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
