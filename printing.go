package parley

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Whatever holds headers, cookies or bodies prints as one line without them, under
// every verb of package fmt (but %p, which asks no type) and in log/slog. The methods have value receivers where
// a value is likely to be printed as part of another.

// String names method and URL, without the query: <Request GET https://a.test/x>.
func (r Request) String() string {
	return "<Request " + quoteBad(r.Method, 32) + " " + urls.Redacted(r.URL) + ">"
}

// Format prints String for all verbs.
func (r Request) Format(s fmt.State, verb rune) { printSafe(s, verb, r.String()) }

// LogValue logs String.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String names status, method and URL, without the query:
// <Response 200 OK to GET https://a.test/x>.
func (r Response) String() string {
	text := "<Response " + quoteBad(r.Status, 128)
	if r.Request != nil {
		text += " to " + quoteBad(r.Request.Method, 32) + " " + urls.Redacted(r.Request.URL)
	}
	return text + ">"
}

// Format prints String for all verbs.
func (r Response) Format(s fmt.State, verb rune) { printSafe(s, verb, r.String()) }

// LogValue logs String.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String tells in one line what was tried, what came of it and what follows, without
// secrets.
func (t Try) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<Try %d", t.Number)
	if t.Request != nil {
		fmt.Fprintf(&b, " of %s %s", quoteBad(t.Request.Method, 32), urls.Redacted(t.Request.URL))
	}
	switch {
	case t.Err != nil:
		fmt.Fprintf(&b, ": %s", quoteBad(t.Err.Error(), maxErrorText))
	case t.Response != nil:
		fmt.Fprintf(&b, ": %s", quoteBad(t.Response.Status, 128))
	}
	for _, h := range t.Holds {
		fmt.Fprintf(&b, "; held back for %v", h)
	}
	if t.Again {
		fmt.Fprintf(&b, "; another in %v", t.Wait)
	}
	if t.Reason != "" {
		fmt.Fprintf(&b, " (%s)", t.Reason)
	}
	return b.String() + ">"
}

// Format prints String for all verbs.
func (t Try) Format(s fmt.State, verb rune) { printSafe(s, verb, t.String()) }

// MarshalJSON gives String, for the sake of what logs values as JSON.
func (t Try) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// LogValue logs String.
func (t Try) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Format prints Error for all verbs: what was tried is there to be read.
func (e *RetryError) Format(s fmt.State, verb rune) { printSafe(s, verb, e.Error()) }

// Format prints String for all verbs.
func (c *Client) Format(s fmt.State, verb rune) { printSafe(s, verb, c.String()) }

// LogValue logs String.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Format prints Error for all verbs: the header and the body of the answer are there
// to be read, not to be logged.
func (e *StatusError) Format(s fmt.State, verb rune) { printSafe(s, verb, e.Error()) }

// Format names size and content type for all verbs.
func (b *bytesBody) Format(s fmt.State, verb rune) {
	printSafe(s, verb, fmt.Sprintf("<Body of %d bytes %s>", len(b.data), quoteBad(b.contentType, 128)))
}

// Format names size and number of parts for all verbs.
func (m *multipartBody) Format(s fmt.State, verb rune) {
	size := "unknown size"
	if m.size >= 0 {
		size = strconv.FormatInt(m.size, 10) + " bytes"
	}
	printSafe(s, verb, fmt.Sprintf("<Body of %d parts, %s multipart/form-data>", len(m.parts), size))
}

// String names the part and its file: <Part photo cat.jpg>.
func (p Part) String() string {
	text := "<Part " + quoteBad(p.Name, 64)
	if p.FileName != "" {
		text += " " + quoteBad(p.FileName, 128)
	}
	return text + ">"
}

// Format prints String for all verbs.
func (p Part) Format(s fmt.State, verb rune) { printSafe(s, verb, p.String()) }

// MarshalJSON gives String, for the sake of what logs values as JSON.
func (p Part) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// LogValue logs String.
func (p Part) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Format names the scheme for all verbs.
func (a *headerAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, a.String()) }

// Format names the type for all verbs: there may be secrets in the function.
func (f AuthFunc) Format(s fmt.State, verb rune) { printSafe(s, verb, f.String()) }

// Format prints String for all verbs.
func (j *Jar) Format(s fmt.State, verb rune) { printSafe(s, verb, j.String()) }

// LogValue logs String.
func (j *Jar) LogValue() slog.Value { return slog.StringValue(j.String()) }

// Format prints String for all verbs.
func (c StoredCookie) Format(s fmt.State, verb rune) { printSafe(s, verb, c.String()) }

// LogValue logs String.
func (c StoredCookie) LogValue() slog.Value { return slog.StringValue(c.String()) }

// printSafe writes text as a verb of fmt would write a string, flags for width
// included, and as it is for verbs that would look into a value.
func printSafe(s fmt.State, verb rune, text string) {
	switch verb {
	case 's', 'q', 'x', 'X':
		fmt.Fprintf(s, fmt.FormatString(s, verb), text)
		return
	}
	width, _ := s.Width()
	if s.Flag('-') {
		width = -width
	}
	if width != 0 {
		fmt.Fprintf(s, "%*s", width, text)
		return
	}
	io.WriteString(s, text) // fmt keeps the error of its writer
}
