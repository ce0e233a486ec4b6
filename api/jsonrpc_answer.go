package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/seed-0474a412/parley"
)

// rpcAnswer is one response object (JSON-RPC 2.0, section 5).
type rpcAnswer struct {
	id     json.RawMessage // nil: null, or none at all
	result json.RawMessage
	fault  *RPCError // in place of result
}

// parseRPCAnswer reads a response object. Where it is broken, what is known of
// its id is given all the same. An error without an id is taken for one with null, as a
// server that could not read the request has none.
func parseRPCAnswer(raw json.RawMessage) (a rpcAnswer, err error) {
	var members map[string]json.RawMessage // names are case-sensitive
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return a, invalidAnswer("it is no object")
	}
	if id := members["id"]; !rawNull(id) {
		if id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f' {
			return a, invalidAnswer("its id is neither a string nor a number nor null")
		}
		a.id = id
	}
	var version string
	if json.Unmarshal(members["jsonrpc"], &version) != nil || version != "2.0" {
		return a, invalidAnswer("its version is not 2.0")
	}
	result, hasResult := members["result"]
	fault, hasFault := members["error"]
	// Section 5 demands one of the two and not the other; servers that were made for version
	// 1.0 have both, one of them null, and mean the same.
	if hasResult && hasFault {
		hasResult, hasFault = !rawNull(result) || rawNull(fault), !rawNull(fault)
	}
	switch {
	case hasResult && hasFault:
		return a, invalidAnswer("it has both a result and an error")
	case hasFault:
		a.fault, err = parseRPCError(fault)
		return a, err
	case !hasResult:
		return a, invalidAnswer("it has neither a result nor an error")
	}
	a.result = result
	return a, nil
}

// parseRPCError reads an error object (section 5.1).
func parseRPCError(raw json.RawMessage) (*RPCError, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, invalidAnswer("its error is no object")
	}
	e := &RPCError{Data: members["data"]}
	if code := members["code"]; rawNull(code) || json.Unmarshal(code, &e.Code) != nil {
		return nil, invalidAnswer("its error has no code that is an integer")
	}
	if message := members["message"]; rawNull(message) || json.Unmarshal(message, &e.Message) != nil {
		return nil, invalidAnswer("its error has no message")
	}
	return e, nil
}

func rawNull(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == 'n' }

// idOf reads an id as a number, which is what all calls have here. ok is false for one that no
// call can have. A string of digits is another id than the number.
func idOf(raw json.RawMessage) (id uint64, ok bool) {
	if id, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return id, true
	}
	// The same value may be written as 7.0 or 7e0.
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 1 || f >= 1<<53 || f != float64(uint64(f)) {
		return 0, false
	}
	return uint64(f), true
}

// shortID is an id for an error's text.
func shortID(raw json.RawMessage) string {
	if raw == nil {
		return "null"
	}
	return shortText(string(raw), 32)
}

// rpcContent gives the JSON of an answer, nil if it has no content.
func rpcContent(resp *parley.Response) (json.RawMessage, error) {
	content, err := resp.Bytes()
	if err != nil || len(bytes.TrimSpace(content)) == 0 {
		return nil, err
	}
	var raw json.RawMessage
	return raw, resp.JSON(&raw)
}

// rpcBoth joins what the status says with what the content says.
func rpcBoth(status error, fault *RPCError) error {
	switch {
	case fault == nil:
		return status
	case status == nil:
		return fault
	}
	return fmt.Errorf("%w: %w", status, fault)
}

// rpcResult gives the result in an answer to the one call with the id.
func rpcResult(resp *parley.Response, id uint64) (callResult, error) {
	status := resp.Err()
	raw, err := rpcContent(resp)
	if err == nil && raw == nil {
		err = answerError("decode", resp, ErrMissingAnswer)
	}
	var a rpcAnswer
	if err == nil {
		a, err = parseRPCAnswer(raw)
		if err == nil && (a.id != nil || a.fault == nil) {
			if got, ok := idOf(a.id); !ok || got != id {
				err = fmt.Errorf("%w: %s in place of %d", ErrUnknownID, shortID(a.id), id)
			}
		}
		if err != nil {
			err = answerError("decode", resp, err)
		}
	}
	switch {
	case err != nil && status != nil: // what somebody else than the server of JSON-RPC says
		return callResult{}, status
	case err != nil:
		return callResult{}, err
	case status != nil || a.fault != nil:
		return callResult{}, rpcBoth(status, a.fault)
	}
	return callResult{resp, a.result}, nil
}

// rpcNoResult gives the error that an answer to notifications alone holds.
func rpcNoResult(resp *parley.Response) error {
	status := resp.Err()
	raw, err := rpcContent(resp)
	if err != nil || raw == nil {
		return status
	}
	var items []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		items = []json.RawMessage{raw}
	}
	var faults faultList
	for _, item := range items {
		if a, err := parseRPCAnswer(item); err == nil && a.fault != nil {
			faults.add(a.fault)
		}
	}
	if err := faults.err(); err != nil {
		return errors.Join(status, err)
	}
	return status
}

// maxFaults bounds how many errors of one answer are kept.
const maxFaults = 16

// faultList collects errors of one answer.
type faultList struct {
	list []error
	more int
}

func (f *faultList) add(err error) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, err)
}

func (f *faultList) err() error {
	switch {
	case len(f.list) == 0:
		return nil
	case len(f.list) == 1:
		return f.list[0]
	case f.more > 0:
		return fmt.Errorf("%w\nand %d more errors", errors.Join(f.list...), f.more)
	}
	return errors.Join(f.list...)
}
