package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-0474a412/parley"
)

// Batch is several calls and notifications of a [JSONRPC] that are sent as one request
// (JSON-RPC 2.0, section 6):
//
//	batch := rpc.NewBatch()
//	sum := api.BatchCall[int](batch, "sum", []int{1, 2, 4})
//	batch.Notify("log", []any{"summed up"})
//	if err := batch.Send(ctx); err != nil {
//		return err
//	}
//	n, err := sum.Result()
//
// A Batch is sent once, and is for one goroutine until that has ended. What is added to it
// later is not sent.
type Batch struct {
	rpc      *JSONRPC
	requests []rpcRequest
	slots    map[uint64]*batchSlot // the calls by id
	sent     bool
	err      error // what was wrong with a call
}

// batchSlot is where the answer to a call goes.
type batchSlot struct {
	result   callResult
	err      error
	answered bool
}

// BatchResult is the result of a call in a [Batch].
type BatchResult[T any] struct {
	batch *Batch
	slot  *batchSlot
}

// NewBatch gives an empty batch.
func (j *JSONRPC) NewBatch() *Batch {
	return &Batch{rpc: j, slots: make(map[uint64]*batchSlot)}
}

// Len gives the number of calls and notifications.
func (b *Batch) Len() int { return len(b.requests) }

// BatchCall adds a call to a batch. For the params see [JSONRPC.Call]; what is wrong with
// them is told by [Batch.Send], which then sends nothing.
func BatchCall[T any](b *Batch, method string, params any) *BatchResult[T] {
	id := b.rpc.ids.Add(1)
	slot := new(batchSlot)
	if b.sent {
		slot.err = errSentTwice
	}
	b.slots[id] = slot
	b.add(method, params, &id)
	return &BatchResult[T]{b, slot}
}

// Notify adds a notification.
func (b *Batch) Notify(method string, params any) { b.add(method, params, nil) }

func (b *Batch) add(method string, params any, id *uint64) {
	req, err := newRPCRequest(method, params, id)
	if err != nil {
		b.err = errors.Join(b.err, err)
	}
	b.requests = append(b.requests, req)
}

// Result gives the result of the call, once its batch has been sent. It is an error where
// the server answered the call with one (*[RPCError]), did not answer it
// ([ErrMissingAnswer]), or did so several times ([ErrDuplicateID]), where the answer is
// none by JSON-RPC 2.0 ([ErrInvalidAnswer]) or does not fit T (parley.ErrDecoding), and
// where the batch failed as a whole. It may be asked for again.
func (r *BatchResult[T]) Result() (T, error) {
	var v, none T
	err := r.slot.err
	switch {
	case !r.batch.sent:
		err = errNotSent
	case err == nil:
		err = r.slot.result.decode(&v)
	}
	if err != nil {
		return none, err
	}
	return v, nil
}

var (
	errNotSent   = errors.New("api: the batch has not been sent")
	errSentTwice = errors.New("api: the batch has been sent already: make a new one")
)

// Send sends the batch; one without anything in it is not sent. The error is about the
// batch as a whole: what the call failed with, an answer that is none to a batch, a status
// of 4xx or 5xx, errors of the server that are for no call (*[RPCError] with a null id)
// and answers with an id of no call ([ErrUnknownID]). What is about one call alone is told
// by its result. Answers may come in any order; those that could be told apart are in
// their results also where Send gives an error.
func (b *Batch) Send(ctx context.Context, opts ...parley.RequestOption) error {
	if b.sent {
		return errSentTwice
	}
	b.sent = true
	if b.err != nil {
		return b.failed(b.err)
	}
	if len(b.requests) == 0 {
		return nil
	}
	resp, err := b.rpc.post(ctx, b.requests, opts)
	if err != nil {
		return b.failed(err)
	}
	if len(b.slots) == 0 {
		return rpcNoResult(resp)
	}
	return b.take(resp)
}

// failed gives every call that has no answer the error of all.
func (b *Batch) failed(err error) error {
	for _, slot := range b.slots {
		if !slot.answered {
			slot.err = err
		}
	}
	return err
}

// take gives each call its answer.
func (b *Batch) take(resp *parley.Response) error {
	status := resp.Err()
	raw, err := rpcContent(resp)
	if err != nil {
		if status != nil {
			err = status
		}
		return b.failed(err)
	}
	var items []json.RawMessage
	switch {
	case raw == nil && status != nil:
		return b.failed(status)
	case raw == nil:
		return b.failed(answerError("decode", resp, ErrMissingAnswer))
	case raw[0] != '[':
		// One error in place of all answers: the server could not read the batch.
		a, err := parseRPCAnswer(raw)
		switch {
		case err == nil && a.fault != nil && a.id == nil:
			return b.failed(rpcBoth(status, a.fault))
		case status != nil:
			return b.failed(status)
		case err == nil:
			err = invalidAnswer("one answer in place of a batch of them")
		}
		return b.failed(answerError("decode", resp, err))
	}
	if err := json.Unmarshal(raw, &items); err != nil {
		return b.failed(answerError("decode", resp, invalidAnswer("%w", err)))
	}
	stray := b.match(resp, items)
	for _, slot := range b.slots {
		if !slot.answered {
			if slot.err = status; status == nil {
				slot.err = answerError("decode", resp, ErrMissingAnswer)
			}
		}
	}
	if status != nil && stray != nil {
		return fmt.Errorf("%w: %w", status, stray)
	}
	return errors.Join(status, stray)
}

// match gives the answers to the calls that they are for, by their ids, and the errors
// that are for none.
func (b *Batch) match(resp *parley.Response, items []json.RawMessage) error {
	var stray faultList
	for i, item := range items {
		a, err := parseRPCAnswer(item)
		id, ok := idOf(a.id)
		slot := b.slots[id]
		if err != nil {
			err = answerError("decode", resp, err)
		}
		switch {
		case a.id == nil && a.fault != nil:
			stray.add(a.fault)
		case a.id == nil && err != nil:
			stray.add(fmt.Errorf("answer %d of the batch: %w", i, err))
		case !ok || slot == nil:
			stray.add(answerError("decode", resp, fmt.Errorf("%w: %s", ErrUnknownID, shortID(a.id))))
		case slot.answered: // which of them is right cannot be known
			slot.result, slot.err = callResult{}, answerError("decode", resp, fmt.Errorf("%w: id %d", ErrDuplicateID, id))
		default:
			slot.answered = true
			if slot.result, slot.err = (callResult{resp, a.result}), err; a.fault != nil {
				slot.err = a.fault
			}
		}
	}
	return stray.err()
}
