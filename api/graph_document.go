package api

import (
	"errors"
	"strings"
)

// graphOperation is an operation of a document.
type graphOperation struct {
	kind string // "query", "mutation" or "subscription"
	name string // "": none
}

// errDocument says that a document could not be taken apart.
var errDocument = errors.New("the document is no GraphQL as far as its operations can be told")

// operationKind gives the kind of the operation that a request for name executes. It is
// an error if that is not certain.
func operationKind(document, name string) (string, error) {
	operations, err := operationsOf(document)
	if err != nil {
		return "", err
	}
	kind := ""
	for _, o := range operations {
		if name != "" && o.name != name {
			continue
		}
		if kind != "" {
			return "", errors.New("the document has several operations: WithOperationName says which is meant")
		}
		kind = o.kind
	}
	if kind == "" {
		return "", errors.New("the document has no such operation")
	}
	return kind, nil
}

// operationsOf finds the operations of an executable document (GraphQL, section 2.3),
// without looking into them.
func operationsOf(document string) (all []graphOperation, err error) {
	s := graphScanner{text: strings.TrimPrefix(document, "\uFEFF")}
	for {
		token := s.next()
		switch token {
		case "":
			return all, s.err
		case "{":
			all = append(all, graphOperation{kind: "query"})
			err = s.skip(1)
		case "query", "mutation", "subscription":
			o := graphOperation{kind: token}
			if token = s.next(); isNameStart(token) {
				o.name, token = token, s.next()
			}
			all = append(all, o)
			err = s.skipSelection(token)
		case "fragment":
			err = s.skipSelection(s.next())
		default:
			return nil, errDocument
		}
		if err != nil {
			return nil, err
		}
	}
}

// graphScanner gives the tokens of a document (section 2.1), as far as they matter here.
type graphScanner struct {
	text string
	err  error // a string without an end
}

// next gives a name, or one byte of anything else; `"` for a string; "" at the end.
func (s *graphScanner) next() string {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n,\uFEFF")
		if !strings.HasPrefix(s.text, "#") {
			break
		}
		end := strings.IndexAny(s.text, "\r\n")
		if end < 0 {
			end = len(s.text)
		}
		s.text = s.text[end:]
	}
	switch {
	case s.text == "":
		return ""
	case s.text[0] == '"':
		return s.str()
	}
	n := 0
	for n < len(s.text) && (isNameStart(s.text[n:]) || n > 0 && s.text[n] >= '0' && s.text[n] <= '9') {
		n++
	}
	n = max(n, 1)
	token := s.text[:n]
	s.text = s.text[n:]
	return token
}

// str skips a string or a block string (section 2.9.4).
func (s *graphScanner) str() string {
	end, escape := `"`, `\`
	if strings.HasPrefix(s.text, `"""`) {
		end, escape = `"""`, `\"""`
	}
	for rest := s.text[len(end):]; rest != ""; {
		switch {
		case strings.HasPrefix(rest, end):
			s.text = rest[len(end):]
			return `"`
		case strings.HasPrefix(rest, escape):
			rest = rest[min(len(rest), max(len(escape), 2)):]
		case end == `"` && (rest[0] == '\n' || rest[0] == '\r'):
			rest = ""
		default:
			rest = rest[1:]
		}
	}
	s.text, s.err = "", errDocument
	return ""
}

// skipSelection skips what stands before a selection set, beginning with token, and that.
func (s *graphScanner) skipSelection(token string) error {
	for ; token != "{"; token = s.next() {
		switch token {
		case "(", "[":
			if err := s.skip(1); err != nil {
				return err
			}
		case "", ")", "]", "}":
			return errDocument
		}
	}
	return s.skip(1)
}

// skip skips to the end of what has been opened. Brackets of different kinds are not told
// apart: a document in which they do not match is for the server to refuse.
func (s *graphScanner) skip(depth int) error {
	for depth > 0 {
		switch s.next() {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case "":
			return errDocument
		}
	}
	return nil
}

func isNameStart(s string) bool {
	return s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}
