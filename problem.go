package parley

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/charset"
	"github.com/seed-0474a412/parley/internal/urls"
)

const (
	// maxErrorBody is how much of an error's body StatusError.Body holds.
	maxErrorBody = 4 << 10
	// maxErrorDocument is how much of an error's body is read ahead where it is JSON
	// or XML, and the size up to which it is looked at for problem details.
	maxErrorDocument = 64 << 10
)

// StatusError is what [Response.Err] gives for a 4xx or 5xx answer. Find it with
// [errors.As] to ask for what the server said:
//
//	var status *parley.StatusError
//	if errors.As(err, &status) && status.Decode(&apiError) == nil { … }
type StatusError struct {
	Method     string
	URL        *url.URL // without user information
	StatusCode int
	Status     string // "404 Not Found"
	Header     http.Header
	Body       []byte // the first 4 KiB of the decoded body
	// Problem is what the answer says of the error by RFC 9457; nil if it says
	// nothing in that way. It is found with [errors.As], too.
	Problem *Problem
	// Cause is the body as the type that [WithErrorType] names; nil if it names none, or
	// if the body is not of that type. It is found with [errors.As], too.
	Cause error

	answer *Response // with what was read of the body; nil: Body is all there is
	cut    bool      // the body goes on
}

// Error names method, URL and status. The body is not part of it, nor is the problem:
// they may hold anything.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %s", quoteBad(e.Method, 32), urls.Redacted(e.URL), quoteBad(e.Status, 128))
}

// Unwrap gives Cause and Problem, where they are there.
func (e *StatusError) Unwrap() []error {
	var out []error
	if e.Cause != nil {
		out = append(out, e.Cause)
	}
	if e.Problem != nil {
		out = append(out, e.Problem)
	}
	return out
}

// Decode decodes the body of the error into v: see [Response.Decode]. Of a streamed
// response the first 64 KiB are there if they are JSON or XML, and 4 KiB of anything
// else; a body that goes on after that is ErrDecoding.
func (e *StatusError) Decode(v any) error {
	answer := e.answer
	if answer == nil {
		answer = &Response{StatusCode: e.StatusCode, Status: e.Status, Header: e.Header}
		answer.setContent(e.Body)
	}
	if e.cut {
		return answer.decodeError("", fmt.Errorf("only its first %d bytes were read: read the response before asking it for the error", len(answer.content)))
	}
	return answer.Decode(v)
}

// Err gives a *[StatusError] for a 4xx or 5xx answer and nil for all others. For a
// streamed response it reads up to 4 KiB of the body, or 64 KiB if that is JSON or
// XML; they stay readable.
func (r *Response) Err() error {
	if r.OK() {
		return nil
	}
	return r.statusError()
}

// statusError is Err for an answer of any status.
func (r *Response) statusError() *StatusError {
	e := &StatusError{StatusCode: r.StatusCode, Status: r.Status, Header: r.Header.Clone()}
	if r.Request != nil {
		e.Method, e.URL = r.Request.Method, withoutUser(r.Request.URL)
	}
	media, _ := r.contentType()
	kind := charset.KindOf(media)
	e.answer = &Response{StatusCode: r.StatusCode, Status: r.Status, Header: r.Header, Request: r.Request, rec: r.rec}
	if r.loaded {
		e.answer.setContent(r.content)
	} else {
		limit := maxErrorBody
		if kind == charset.JSON || kind == charset.XML {
			limit = maxErrorDocument
		}
		head, whole := r.readAhead(limit)
		e.answer.setContent(head)
		e.cut = !whole
	}
	content := e.answer.content
	e.Body = bytes.Clone(content[:min(len(content), maxErrorBody)])
	if !e.cut && len(content) <= maxErrorDocument {
		e.Problem = e.answer.problem(media)
	}
	e.Cause = r.cause(e)
	return e
}

// readAhead gives the beginning of the body, of at most limit bytes, which stays
// readable, and whether that is all of it.
func (r *Response) readAhead(limit int) (head []byte, whole bool) {
	// One byte more tells a body of the right size from a larger one.
	head, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err == nil && len(head) <= limit {
		err = io.EOF
	}
	r.Body = &prefixed{head: head, err: err, rest: r.Body}
	return head[:min(len(head), limit)], err == io.EOF
}

// prefixed gives back bytes that were read ahead, then the error that ended the
// reading, if one did, or the rest.
type prefixed struct {
	head []byte
	err  error
	rest io.ReadCloser
	over atomic.Bool // it was closed
}

func (p *prefixed) Read(b []byte) (int, error) {
	if p.over.Load() {
		return p.rest.Read(b) // which says so
	}
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.rest.Read(b)
}

func (p *prefixed) Close() error {
	p.over.Store(true)
	return p.rest.Close()
}

// peek gives the next n bytes, or as many as there are; see [Response.Peek].
func (p *prefixed) peek(n int) ([]byte, error) {
	if p.over.Load() {
		_, err := p.rest.Read(make([]byte, 1))
		return nil, err
	}
	for len(p.head) < n && p.err == nil {
		if cap(p.head) < n {
			p.head = append(make([]byte, 0, n), p.head...)
		}
		var got int
		got, p.err = p.rest.Read(p.head[len(p.head):n])
		p.head = p.head[:len(p.head)+got]
	}
	if len(p.head) >= n {
		return p.head[:n:n], nil
	}
	return p.head[:len(p.head):len(p.head)], notEOF(p.err)
}

// Problem is what a server says of an error in the form of RFC 9457
// (application/problem+json, or +xml). Members of another type than they must have are
// as if they were not there (section 3.1).
type Problem struct {
	Type       string // a URI reference, as it is written; "about:blank" if there is none
	Title      string // for all problems of this type
	Status     int    // as the server that made it says; 0: not said
	Detail     string // for this occurrence
	Instance   string // a URI reference that names this occurrence
	Extensions map[string]json.RawMessage
}

// Error gives type and title, quoted and cut. Detail and extensions are not part of
// it: they may hold what belongs to one user only.
func (p *Problem) Error() string {
	text := "problem " + quoteBad(p.Type, 128)
	if p.Title != "" {
		text += ": " + quoteBad(p.Title, 128)
	}
	return text
}

// problem reads the problem details of an answer, nil if there are none.
func (r *Response) problem(media string) *Problem {
	p := &Problem{Type: "about:blank"}
	switch {
	case strings.EqualFold(media, "application/problem+json"):
		if err := r.JSON(p); err != nil {
			return nil // the status says enough, and Decode says what is wrong
		}
	case strings.EqualFold(media, "application/problem+xml"):
		if err := r.XML(p); err != nil {
			return nil
		}
	default:
		return nil
	}
	return p
}

// UnmarshalJSON reads an object with problem details.
func (p *Problem) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if members == nil {
		return errors.New("problem details are an object")
	}
	*p = Problem{Type: "about:blank"}
	for name, to := range map[string]any{
		"type": &p.Type, "title": &p.Title, "status": &p.Status, "detail": &p.Detail, "instance": &p.Instance,
	} {
		if value, ok := members[name]; ok {
			_ = json.Unmarshal(value, to) // of another type: as if it were not there
			delete(members, name)
		}
	}
	if len(members) > 0 {
		p.Extensions = members
	}
	return nil
}

// UnmarshalXML reads a problem element (RFC 9457, appendix B). Extensions that hold
// text alone become JSON strings; others are left out.
func (p *Problem) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var document struct {
		Members []struct {
			XMLName xml.Name
			Text    string     `xml:",chardata"`
			Inner   []struct{} `xml:",any"`
		} `xml:",any"`
	}
	if start.Name.Local != "problem" {
		return errors.New("problem details are an element <problem>")
	}
	if err := d.DecodeElement(&document, &start); err != nil {
		return err
	}
	members := make(map[string]json.RawMessage, len(document.Members))
	for _, m := range document.Members {
		text := strings.TrimSpace(m.Text)
		value, err := json.Marshal(text)
		if err != nil {
			return err
		}
		if m.XMLName.Local == "status" {
			value = []byte(text) // a number, or as if it were not there
			if !json.Valid(value) {
				continue
			}
		}
		if _, again := members[m.XMLName.Local]; !again && len(m.Inner) == 0 {
			members[m.XMLName.Local] = value
		}
	}
	object, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return p.UnmarshalJSON(object)
}
