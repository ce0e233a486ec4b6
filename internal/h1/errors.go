package h1

import (
	"strconv"
	"strings"
)

// shown is the number of bytes of a name or of a peer's text that an error
// repeats.
const shown = 64

// A FieldError says which part of a request cannot be written. It never holds
// the value, which may be a secret.
type FieldError struct {
	Name string // header name as given; empty for the method, the target and the framing
	Pos  int    // byte offset in the name or value that What speaks of, -1 for none
	What string // what is wrong, in words
}

// Error returns one line of printable ASCII.
func (e *FieldError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		b.WriteString("header ")
		b.WriteString(quote(e.Name))
		b.WriteString(": ")
	}
	b.WriteString(e.What)
	if e.Pos >= 0 {
		b.WriteString(" at byte ")
		b.WriteString(strconv.Itoa(e.Pos))
	}
	return b.String()
}

// A ParseError says how the peer broke the protocol, or which limit it passed.
// The connection that it came from is of no further use.
type ParseError struct {
	What  string // what is wrong, in words
	Got   string // what came instead, quoted, at most 64 bytes of it; may be empty
	Limit bool   // a limit was passed; the message need not be malformed
}

// Error returns one line of printable ASCII.
func (e *ParseError) Error() string {
	if e.Got == "" {
		return e.What
	}
	return e.What + ": " + e.Got
}

func malformed(what, got string) error {
	return &ParseError{What: what, Got: quote(got)}
}

func overLimit(what string, limit int) error {
	return &ParseError{What: what + " over " + strconv.Itoa(limit), Limit: true}
}

// quote returns the beginning of s in quotes, as printable ASCII on one line.
func quote(s string) string {
	if len(s) > shown {
		return strconv.QuoteToASCII(s[:shown]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
