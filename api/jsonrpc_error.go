package api

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-0474a412/parley"
)

// Codes of errors that JSON-RPC 2.0 defines (section 5.1). Those from -32099 to -32000 are
// the server's, all above and below that range an application's.
const (
	CodeParseError     = -32700 // the server got what is not JSON
	CodeInvalidRequest = -32600 // … or JSON that is no request
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternalError  = -32603
)

// RPCError is the error that a server of JSON-RPC answers with (section 5.1). Find it with
// [errors.As]; errors.Is(err, &api.RPCError{Code: api.CodeMethodNotFound}) asks for a code.
type RPCError struct {
	Code    int
	Message string
	Data    json.RawMessage // what the server says beside that; nil: nothing
}

// Error gives code and message, quoted and cut. Data is not part of it: it may hold
// anything.
func (e *RPCError) Error() string {
	return fmt.Sprintf("JSON-RPC error %d: %s", e.Code, shortText(e.Message, 256))
}

// Is reports whether target is an RPCError with the same code.
func (e *RPCError) Is(target error) bool {
	t, ok := target.(*RPCError)
	return ok && t.Code == e.Code
}

// Decode decodes Data into v. parley.ErrDecoding says that there is none, or that it does
// not fit.
func (e *RPCError) Decode(v any) error {
	if e.Data == nil {
		return fmt.Errorf("%w: the JSON-RPC error has no data", parley.ErrDecoding)
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("%w of the JSON-RPC error's data: %w", parley.ErrDecoding, err)
	}
	return nil
}

// answerKind is a way in which an answer breaks the rules.
type answerKind struct {
	text  string
	wider error
}

func (k *answerKind) Error() string        { return k.text }
func (k *answerKind) Is(target error) bool { return k.wider != nil && errors.Is(k.wider, target) }

// What can be wrong with an answer by the rules of JSON-RPC 2.0. All match
// ErrInvalidAnswer, which matches parley.ErrDecoding.
var (
	ErrInvalidAnswer error = &answerKind{"no answer by JSON-RPC 2.0", parley.ErrDecoding}
	ErrMissingAnswer error = &answerKind{"the call has no answer", ErrInvalidAnswer}
	ErrUnknownID     error = &answerKind{"the answer has the id of no call", ErrInvalidAnswer}
	ErrDuplicateID   error = &answerKind{"the call has several answers", ErrInvalidAnswer}
)

func invalidAnswer(format string, args ...any) error {
	return errorKind(ErrInvalidAnswer, fmt.Errorf(format, args...))
}
