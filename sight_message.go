package parley

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-0474a412/parley/internal/h1"
)

// maxFieldText bounds the value of a header in what is told of it.
const maxFieldText = 8 << 10

// field is one line of a head.
type field struct{ name, value string }

// head gives the request line and the header lines of a request as they may be shown, in
// the order and the spelling in which HTTP/1.1 sends them to a server.
func (r *redaction) head(req *Request) (line string, fields []field) {
	line, fields, err := r.rawHead(req)
	if err != nil { // it cannot be sent: this is what it would be
		return quoteBad(req.Method, 32) + " " + r.url(req.URL),
			sortedFields(canonical(req.Header), r.ofRequest)
	}
	for i, f := range fields {
		fields[i].value = quoteBad(f.value, maxFieldText)
	}
	return line, fields
}

// rawHead is head with the bytes as they are sent.
func (r *redaction) rawHead(req *Request) (line string, fields []field, err error) {
	h := h1.RequestHead{Method: req.Method, Target: req.Target, Host: req.Host, Order: req.HeaderOrder, Header: r.header(canonical(req.Header))}
	route{}.proxyFields(req, &h, "")
	var p plan
	if err := p.frame(req, &h); err != nil {
		return "", nil, err
	}
	p.address(req, &h, false)
	h.Target = r.target(h.Target)
	out, err := h1.AppendRequestHead(nil, &h)
	if err != nil {
		return "", nil, err
	}
	line, rest, _ := strings.Cut(string(out), "\r\n")
	for text := range strings.SplitSeq(rest, "\r\n") {
		if name, value, ok := strings.Cut(text, ":"); ok {
			fields = append(fields, field{name, strings.Trim(value, " \t")})
		}
	}
	return line, fields, nil
}

// answerFields gives the header lines of an answer as they may be shown, by name.
func (r *redaction) answerFields(h http.Header) []field {
	return sortedFields(canonical(h), r.ofAnswer)
}

func sortedFields(h http.Header, show func(name, value string) string) []field {
	out := make([]field, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			// They are parts of the whole head, which must not be kept.
			out = append(out, field{strings.Clone(quoteBad(name, 256)), strings.Clone(quoteBad(show(name, v), maxFieldText))})
		}
	}
	return out
}

// capture keeps the beginning of a body and counts all of it.
type capture struct {
	data         []byte
	total, limit int64
	mediaType    string   // in lower case, without parameters
	contentType  string   // as it was given
	codings      []string // in the order in which they were applied
}

// expect says what the header tells of the body.
func (c *capture) expect(h http.Header, limit int64) {
	if c.limit = limit; limit == 0 {
		return
	}
	c.contentType = quoteBad(strings.Clone(h.Get("Content-Type")), 256)
	if typ, _, err := mime.ParseMediaType(c.contentType); err == nil {
		c.mediaType = typ
	}
	names, n, err := contentCodings(h)
	if err != nil {
		names, n = [maxCodings]string{"too many codings"}, 1
	}
	for _, name := range names[:n] {
		c.codings = append(c.codings, strings.Clone(name))
	}
}

func (c *capture) add(p []byte) {
	c.total += int64(len(p))
	if room := c.limit - int64(len(c.data)); room > 0 {
		c.data = append(c.data, p[:min(room, int64(len(p)))]...)
	}
}

// again forgets what came, as it comes anew.
func (c *capture) again() { c.data, c.total = nil, 0 }

// content is a body as it may be shown.
type content struct {
	data  []byte
	total int64  // as it was transferred
	cut   bool   // there is more than data
	coded string // the codings that were undone; "": none
	note  string // why data is not there; "": it is
}

// shown gives no more than limit bytes of the body, decoded, as it may be shown.
func (c *capture) shown(s *sighting, limit int64) content {
	redact := s.of.how.redaction
	data := c.data[:min(int64(len(c.data)), limit)]
	out := content{total: c.total, cut: c.total > int64(len(data))}
	if len(data) == 0 {
		return out
	}
	if len(c.codings) > 0 {
		out.coded = quoteBad(strings.Join(c.codings, ", "), 64)
		plain, ok := c.decode(s.req, limit, &out)
		switch {
		case ok:
			data = plain
		case redact == nil || !redact.all: // there may be secrets in what nobody can read now
			out.note = "coded as " + out.coded
			return out
		default:
			out.coded = ""
		}
	}
	out.data = redact.content(c.mediaType, data)
	return out
}

// decode undoes the codings as far as what is there goes, and gives no more than limit
// bytes. ok is false where nothing comes of it.
func (c *capture) decode(req *Request, limit int64, out *content) (data []byte, ok bool) {
	out.cut = c.total > int64(len(c.data))
	var r io.Reader = bytes.NewReader(c.data)
	for _, name := range slices.Backward(c.codings) {
		open, _ := req.decoder(name)
		if open == nil {
			return nil, false
		}
		dec, err := open(r)
		if err != nil {
			return nil, false
		}
		defer dec.Close() // what it says adds nothing
		r = dec
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(data)) > limit {
		data, out.cut = data[:limit], true
	}
	out.cut = out.cut || err != nil
	return data, err == nil || len(data) > 0
}

// isText reports whether data can be shown on a terminal and in a document as it is. cut
// says that its end may be in the middle of a character.
func isText(data []byte, cut bool) bool {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1:
			return cut && len(data) < utf8.UTFMax && !utf8.FullRune(data)
		case r == '\t' || r == '\n' || r == '\r':
		case unicode.IsControl(r):
			return false
		}
		data = data[n:]
	}
	return true
}
