package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// GraphErrors are the errors in an answer of GraphQL (GraphQL, section 7.1.2). Find it with
// [errors.As], or one of them as a *[GraphError].
type GraphErrors []*GraphError

// Error gives the first error and how many there are.
func (e GraphErrors) Error() string {
	switch len(e) {
	case 0:
		return "GraphQL: no errors"
	case 1:
		return "GraphQL: " + e[0].text()
	}
	return fmt.Sprintf("GraphQL: %s (and %d more)", e[0].text(), len(e)-1)
}

// Unwrap gives the errors one by one.
func (e GraphErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// GraphError is one error of an answer of GraphQL. Members of another type than they must
// have are as if they were not there, but for the message.
type GraphError struct {
	Message    string                     `json:"message"`
	Locations  []GraphLocation            `json:"locations,omitempty"`  // in the document
	Path       GraphPath                  `json:"path,omitempty"`       // of the field in the data that it is about; nil: of none
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"` // what the server says beside that
}

// UnmarshalJSON reads an error.
func (e *GraphError) UnmarshalJSON(data []byte) error {
	var members struct {
		Message                     string
		Locations, Path, Extensions json.RawMessage
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	*e = GraphError{Message: members.Message}
	// What is beside the message must not hide it.
	if json.Unmarshal(members.Locations, &e.Locations) != nil {
		e.Locations = nil
	}
	if json.Unmarshal(members.Path, &e.Path) != nil {
		e.Path = nil
	}
	if json.Unmarshal(members.Extensions, &e.Extensions) != nil {
		e.Extensions = nil
	}
	return nil
}

// GraphLocation is a place in a document. Both count from 1.
type GraphLocation struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Error gives message, path and code, quoted and cut. Other extensions are not part of
// it: they may hold anything.
func (e *GraphError) Error() string { return "GraphQL: " + e.text() }

func (e *GraphError) text() string {
	var b strings.Builder
	b.WriteString(shortText(e.Message, 256))
	if len(e.Path) > 0 {
		b.WriteString(" (at " + shortText(e.Path.String(), 128) + ")")
	}
	if code := e.Code(); code != "" {
		b.WriteString(" [" + shortText(code, 64) + "]")
	}
	return b.String()
}

// Code gives the extension "code", which most servers use to tell errors apart; "" if
// there is none.
func (e *GraphError) Code() string {
	var code string
	if json.Unmarshal(e.Extensions["code"], &code) != nil {
		return "" // none, or no text
	}
	return code
}

// GraphPath leads to a field of the data: each element is a string, the name of a member,
// or an int, an index that counts from 0.
type GraphPath []any

// String gives the path as "hero.friends[1].name".
func (p GraphPath) String() string {
	var b strings.Builder
	for i, element := range p {
		switch element := element.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(element) + "]")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, element)
		}
	}
	return b.String()
}

// UnmarshalJSON reads a list of strings and of numbers from 0 up.
func (p *GraphPath) UnmarshalJSON(data []byte) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return err
	}
	if elements == nil {
		*p = nil
		return nil
	}
	path := make(GraphPath, len(elements))
	for i, raw := range elements {
		var name string
		if raw[0] == '"' && json.Unmarshal(raw, &name) == nil {
			path[i] = name
			continue
		}
		index, err := strconv.ParseUint(string(raw), 10, 31)
		if err != nil {
			return errors.New("a path has names and indices only")
		}
		path[i] = int(index)
	}
	*p = path
	return nil
}
