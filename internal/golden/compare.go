package golden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// maxRecorded is the length, in characters, at which texts in the cases were cut.
const maxRecorded = 20000

// Compare says in which points got departs from want, another outcome of the same case. It compares what matters for
// the topic: the set of headers and not their order or the case of their names, the kind of an error, the decoded body.
//
// Levelled are the defaults that every client chooses for itself: where the case says nothing of User-Agent and
// Accept-Encoding one value equals another, and "Connection: keep-alive" is left out, for it is what HTTP/1.1 does
// without being told (RFC 9112, section 9.3). Outside the topic headers, Accept and a Content-Length of 0 are left
// out too, and always the order, the quotes and a default algorithm of Digest credentials. Chunk boundaries carry no
// meaning (RFC 9112, section 7.1) and are not compared.
func (c *Case) Compare(want, got Outcome) []string {
	d := diff{c: c}
	if len(want.Replies) != len(got.Replies) {
		d.add("number of replies", len(want.Replies), len(got.Replies))
		return d.found
	}
	for i := range want.Replies {
		d.at = ""
		if len(want.Replies) > 1 {
			d.at = fmt.Sprintf("call %d: ", i+1)
		}
		d.reply(want.Replies[i], got.Replies[i], len(got.Sent) == 0)
	}
	if c.Topic == "errors" {
		return d.found // there it is only the end that counts
	}
	d.at = ""
	if want.Count != 0 && want.Count == len(got.Sent) {
		got.Sent = slices.Concat(got.Sent[:2], got.Sent[len(got.Sent)-1:])
	} else if want.Count != 0 || len(want.Sent) != len(got.Sent) {
		d.add("number of requests sent", max(want.Count, len(want.Sent)), len(got.Sent))
		return d.found
	}
	for i := range want.Sent {
		d.at = fmt.Sprintf("request %d: ", i+1)
		d.sent(want.Sent[i], got.Sent[i])
	}
	return d.found
}

// diff collects the points in which two outcomes differ.
type diff struct {
	c     *Case
	at    string
	found []string
}

func (d *diff) add(what string, want, got any) {
	d.found = append(d.found, fmt.Sprintf("%s%s: want %s, got %s", d.at, what, shorten(want), shorten(got)))
}

func (d *diff) text(what, want, got string) {
	if w := []rune(want); len(w) >= maxRecorded {
		g := []rune(got)
		want, got = string(w[:maxRecorded]), string(g[:min(len(g), maxRecorded)])
	}
	if want != got {
		d.add(what, want, got)
	}
}

func (d *diff) reply(want, got Reply, unsent bool) {
	switch {
	case want.Failure == nil && got.Failure == nil:
	case want.Failure == nil:
		d.add("reply", fmt.Sprint("status ", want.Status), got.Failure)
		return
	case got.Failure == nil:
		d.add("reply", want.Failure, fmt.Sprint("status ", got.Status))
		return
	default:
		if !want.Failure.covers(got.Failure, unsent) {
			d.add("error", want.Failure.Kinds, got.Failure)
		}
		return
	}
	if want.Status != got.Status {
		d.add("status", want.Status, got.Status)
	}
	if d.c.Topic == "redirects" {
		d.hops(want, got)
	}
	if want.Text != nil {
		d.text("text", *want.Text, deref(got.Text))
	}
	if want.Reason != nil { // httpx leaves out what is not ASCII
		d.text("reason", asciiOnly(*want.Reason), asciiOnly(deref(got.Reason)))
	}
	if want.Headers != nil {
		d.responseHeaders(want.Headers, got.Headers)
	}
	if (want.Raised == nil) != (got.Raised == nil) || want.Raised != nil && !want.Raised.covers(got.Raised, false) {
		d.add("error of the status", want.Raised, got.Raised)
	}
	if want.Links != nil && !reflect.DeepEqual(want.Links, got.Links) {
		d.add("links", want.Links, got.Links)
	}
	if d.c.Wants("json") {
		if want.JSONErr != got.JSONErr {
			d.add("error of the JSON", want.JSONErr, got.JSONErr)
		}
		if !reflect.DeepEqual(want.JSON, got.JSON) {
			d.add("JSON", want.JSON, got.JSON)
		}
	}
}

// hops compares the way that redirects took.
func (d *diff) hops(want, got Reply) {
	d.text("URL of the response", plainURL(want.URL), plainURL(got.URL))
	if len(want.History) != len(got.History) {
		d.add("history", want.History, got.History)
		return
	}
	for i, w := range want.History {
		if g := got.History[i]; w.Status != g.Status || w.Method != g.Method || plainURL(w.URL) != plainURL(g.URL) {
			d.add("history", w, g)
		}
	}
	if d.c.Wants("next") {
		if w, g := want.Next, got.Next; (w == nil) != (g == nil) || w != nil && (w.Method != g.Method || w.URL != g.URL) {
			d.add("next step", w, g)
		}
	}
}

// plainURL writes a URL without user information, which httpx leaves in and which says nothing of where a request
// went, and with a path, which some leave out.
func plainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	u.User = nil
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
}

// responseHeaders compares fields of one name as one list. Bytes beyond ASCII are one character each in one system and
// UTF-8 in the other.
func (d *diff) responseHeaders(want, got http.Header) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w, g := strings.Join(want[name], ", "), strings.Join(got[name], ", ")
		if w != g && w != asLatin1(g) && asLatin1(w) != g {
			d.add("header "+name, w, g)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			d.add("header "+name, nil, got[name])
		}
	}
}

func (d *diff) sent(want, got Sent) {
	d.text("method", want.Method, got.Method)
	d.text("URL", want.Origin+want.Target, got.Origin+got.Target)
	if w, g := d.framing(want), d.framing(got); w != g {
		d.add("framing", w, g)
	}
	if w, g := d.fields(want), d.fields(got); !slices.Equal(w, g) {
		d.add("headers", without(w, g), without(g, w))
	}
	if want.Incomplete != got.Incomplete {
		d.add("incomplete", want.Incomplete, got.Incomplete)
	}
	if d.c.Sends("json") || d.c.Sends("json_special") {
		if !sameJSON(want.Body, got.Body) {
			d.add("JSON body", want.Body, got.Body)
		}
		return
	}
	d.text("body", string(want.Body), string(got.Body))
}

func (d *diff) framing(s Sent) string {
	if d.c.Topic != "headers" && s.Framing == "content-length" && len(s.Body) == 0 {
		return "none"
	}
	return s.Framing
}

// fields gives the header lines that count, levelled, as "name: value" in the order of names.
func (d *diff) fields(s Sent) []string {
	var lines []string
	for _, field := range s.Headers {
		name, value := strings.ToLower(field[0]), field[1]
		switch name {
		case "user-agent", "accept-encoding":
			if d.c.Topic != "headers" {
				continue
			}
			if !d.c.names(name) {
				value = "(default)"
			}
		case "accept":
			if d.c.Topic != "headers" {
				continue
			}
		case "connection":
			if d.c.Topic != "headers" || !d.c.names(name) && value == "keep-alive" {
				continue
			}
		case "authorization":
			value = levelDigest(value)
		case "content-length": // the value follows from the body, which is compared
			if d.framing(s) == "none" {
				continue
			}
			value = "(length)"
		}
		lines = append(lines, name+": "+value)
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, ":")
		nameB, _, _ := strings.Cut(b, ":")
		return strings.Compare(nameA, nameB)
	})
	return lines
}

// names reports whether the input of the case says something about a header, if only that it be left out.
func (c *Case) names(header string) bool {
	named := func(f Field) bool { return strings.EqualFold(f.Name, header) }
	return slices.ContainsFunc(c.Client.Headers.List, named) ||
		slices.ContainsFunc(c.Calls, func(call Call) bool { return slices.ContainsFunc(call.Headers.List, named) })
}

// covers reports whether got is of a kind that f allows.
func (f *Failure) covers(got *Failure, unsent bool) bool {
	return slices.ContainsFunc(f.Kinds, func(kind string) bool {
		return kind == Unsent && unsent || slices.Contains(got.Kinds, kind)
	})
}

func (f *Failure) String() string {
	if f == nil {
		return "no error"
	}
	return fmt.Sprintf("%v (%s)", f.Kinds, f.Text)
}

// sameJSON compares two JSON texts up to spacing, escapes and the writing of numbers. The order of members counts.
func sameJSON(a, b []byte) bool {
	x, errX := decodeValue(a)
	y, errY := decodeValue(b)
	if errX != nil || errY != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(plainNumbers(x), plainNumbers(y))
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case Object:
		for i := range v {
			v[i].Value = plainNumbers(v[i].Value)
		}
	}
	return v
}

// without returns the lines of a that b has not.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
}

func asciiOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 || r == '\ufffd' {
			return -1
		}
		return r
	}, text)
}

func deref(text *string) string {
	if text == nil {
		return "(none)"
	}
	return *text
}

// shorten prints a value for the report.
func shorten(v any) string {
	var text string
	switch v := v.(type) {
	case string:
		text = fmt.Sprintf("%q", v)
	case []byte:
		text = fmt.Sprintf("%q", v)
	case []string:
		text = fmt.Sprintf("%q", v)
	default:
		text = fmt.Sprint(v)
	}
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return text
}

// String sums an outcome up in a few lines.
func (o Outcome) String() string {
	var b strings.Builder
	for _, s := range o.Sent {
		fmt.Fprintf(&b, "\n      sent %s %s%s", s.Method, s.Origin, s.Target)
		for _, field := range s.Headers {
			fmt.Fprintf(&b, " | %s: %s", field[0], shorten(field[1]))
		}
		if len(s.Body) > 0 {
			fmt.Fprintf(&b, " | body %s", shorten(s.Body))
		}
	}
	for _, r := range o.Replies {
		if r.Failure != nil {
			fmt.Fprintf(&b, "\n      failed %s", shorten(r.Failure))
			continue
		}
		fmt.Fprintf(&b, "\n      status %d", r.Status)
		if r.Text != nil {
			fmt.Fprintf(&b, " | text %s", shorten(*r.Text))
		}
		if r.Raised != nil {
			fmt.Fprintf(&b, " | raised %s", shorten(r.Raised))
		}
		if r.Links != nil {
			fmt.Fprintf(&b, " | links %s", shorten(r.Links))
		}
		if r.JSON != nil || r.JSONErr {
			fmt.Fprintf(&b, " | JSON %s, failed %t", shorten(r.JSON), r.JSONErr)
		}
	}
	return b.String()
}
