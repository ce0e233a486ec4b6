package parley

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
)

const (
	// maxParts bounds the parts of one answer, which may be empty and many.
	maxParts = 10_000
	// maxBoundary bounds the boundary between parts. RFC 2046 allows 70 bytes; not
	// everybody keeps to it.
	maxBoundary = 256
)

// ResponsePart is one part of a multipart answer.
type ResponsePart struct {
	Header http.Header
	// Range says which bytes of the whole the part is, in an answer to a request for
	// several ranges; nil if the part has no Content-Range.
	Range *ContentRange
	// Body is the content of the part, as it is: a Content-Transfer-Encoding is not
	// decoded. It can be read until the loop goes on or ends; what is left of it then
	// is skipped.
	Body io.Reader

	resp *Response
}

// JSON decodes the JSON value that the part begins with into v, as soon as the value has
// come: the boundary after it, which some servers send together with the next part only,
// is not waited for. What follows the value is left in Body. A value longer than
// [WithMaxItemBytes] allows is ErrBodyTooLarge; one that is malformed, is cut short or does
// not fit v is ErrDecoding. The part must be UTF-8.
func (p *ResponsePart) JSON(v any) error {
	resp := p.resp
	if resp == nil { // made by somebody else
		resp = new(Response)
	}
	bounded := &itemReader{from: p.Body, left: resp.maxItem() + 1} // a number ends with what follows it
	d := json.NewDecoder(bounded)
	err := d.Decode(v)
	p.Body = io.MultiReader(d.Buffered(), p.Body)
	switch {
	case bounded.err == errItemEnd || d.InputOffset() > int64(resp.maxItem()):
		return resp.itemTooLarge("the JSON value of a part")
	case err == nil:
		return nil
	case bounded.err != nil && bounded.err != io.EOF:
		return bounded.err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return resp.decodeError("as the JSON value of a part", err)
}

var errItemEnd = errors.New("longer than allowed")

// itemReader reads a number of bytes, and keeps the error that ended the reading.
type itemReader struct {
	from io.Reader
	left int
	err  error
}

func (r *itemReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		r.err = errItemEnd
		return 0, r.err
	}
	n, err := r.from.Read(b[:min(len(b), r.left)])
	r.left -= n
	r.err = err
	return n, err
}

// Parts reads a multipart answer (RFC 2046: multipart/mixed, form-data, x-mixed-replace,
// and multipart/byteranges of RFC 9110), one part at a time as they arrive, without
// keeping them in memory. What comes before the first boundary and after the last is
// skipped. Parts that are multipart themselves are not taken apart.
//
// Errors end the loop: an answer that is not multipart, is malformed or ends before the
// last boundary, and a byte range whose Content-Range is malformed, are ErrDecoding; a
// header of more than [MaxHeaderLines] lines, or longer than [WithMaxItemBytes] allows,
// and more than 10,000 parts are ErrBodyTooLarge (the parts of multipart/x-mixed-replace,
// which have no end, are not counted). Leaving the loop closes a streamed response; over a
// body that has been read whole one can loop again.
func (r *Response) Parts() iter.Seq2[*ResponsePart, error] {
	return func(yield func(*ResponsePart, error) bool) {
		body, end := r.source()
		defer end()
		p, err := newPartReader(r, body)
		for err == nil {
			var part *ResponsePart
			if part, err = p.next(); err == nil && !yield(part, nil) {
				p.over()
				return
			}
		}
		if err != io.EOF {
			yield(nil, err)
		}
	}
}

// partReader takes a multipart body apart.
type partReader struct {
	resp    *Response
	body    io.Reader
	m       *multipart.Reader
	media   string
	count   int
	current *partBody
	left    int    // bytes that may be read for a header; less than 0: no header is being read
	end     string // the last boundary
	tail    []byte // of the body, since the last LF, but no more than what end may look like
	err     error
}

// maxTail is the longest tail that is looked at, with blanks after the last boundary.
const maxTail = maxBoundary + 64

// errCut stands for the end of the body, as package multipart takes one in a header for
// that of the parts.
var errCut = fmt.Errorf("before the last boundary: %w", io.ErrUnexpectedEOF)

func newPartReader(r *Response, body io.Reader) (*partReader, error) {
	p := &partReader{resp: r, body: body, left: -1}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, p.fail(fmt.Errorf("its Content-Type: %w", err))
	}
	if !strings.HasPrefix(media, "multipart/") {
		return nil, p.fail(fmt.Errorf("it is %q", quoteBad(media, 64)))
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary {
		return nil, p.fail(fmt.Errorf("a boundary must have 1 to %d bytes, not %d", maxBoundary, len(boundary)))
	}
	p.media, p.m, p.end = media, multipart.NewReader(p, boundary), "--"+boundary+"--"
	return p, nil
}

// Read reads from the body, for a header no more than is allowed.
func (p *partReader) Read(b []byte) (int, error) {
	switch {
	case p.left == 0:
		p.err = p.resp.itemTooLarge(fmt.Sprintf("the header of part %d", p.count))
		return 0, p.err
	case p.left > 0:
		b = b[:min(len(b), p.left)]
	}
	n, err := p.body.Read(b)
	if p.left > 0 {
		p.left -= n
	}
	if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
		p.tail = append(p.tail[:0], b[i+1:min(n, i+1+maxTail)]...)
	} else if len(p.tail) < maxTail {
		p.tail = append(p.tail, b[:min(n, maxTail)]...)
	}
	switch {
	case err == io.EOF:
		err = errCut
	case err != nil:
		p.err = err
	}
	return n, err
}

// fail gives an error of the reading its kind.
func (p *partReader) fail(err error) error {
	switch {
	case p.err != nil:
		return p.err
	case errors.Is(err, multipart.ErrMessageTooLarge):
		return p.tooMany("header lines in part %d", p.count)
	}
	return p.resp.decodeError("as multipart", err)
}

func (p *partReader) tooMany(format string, args ...any) error {
	return p.resp.fail("read", PhaseRead, because(ErrBodyTooLarge, fmt.Errorf("too many "+format, args...)))
}

// over ends the current part: its body cannot be read any more.
func (p *partReader) over() {
	if p.current != nil {
		p.current.err = p.resp.fail("read", PhaseRead, errPartOver)
		p.current = nil
	}
}

var errPartOver = errors.New("the loop over the parts has gone on")

// next gives the next part, io.EOF after the last one.
func (p *partReader) next() (*ResponsePart, error) {
	if last := p.current; last != nil {
		_, err := io.Copy(io.Discard, last)
		if p.over(); err != nil {
			return nil, err
		}
	}
	if p.count++; p.count > maxParts && p.media != "multipart/x-mixed-replace" {
		return nil, p.tooMany("parts: more than %d", maxParts)
	}
	p.left = p.resp.maxItem()
	raw, err := p.m.NextRawPart()
	p.left = -1
	switch {
	case err == io.EOF || errors.Is(err, errCut) && p.end == strings.TrimRight(string(p.tail), " \t"):
		return nil, io.EOF
	case err != nil:
		return nil, p.fail(err)
	}
	part := &ResponsePart{Header: http.Header(raw.Header), resp: p.resp}
	lines := 0
	for _, values := range part.Header {
		lines += len(values)
	}
	if lines > MaxHeaderLines {
		return nil, p.tooMany("header lines in part %d", p.count)
	}
	if said := part.Header.Get("Content-Range"); said != "" {
		whole, ok := parseContentRange(said)
		switch {
		case ok && whole.First >= 0:
			part.Range = &whole
		case p.media == "multipart/byteranges":
			// RFC 9110, section 14.4: such a part must not be put together with others.
			return nil, p.fail(fmt.Errorf("part %d has the Content-Range %q", p.count, quoteBad(said, 64)))
		}
	}
	p.current = &partBody{p: p, raw: raw}
	part.Body = p.current
	return part, nil
}

// partBody is the content of one part.
type partBody struct {
	p   *partReader
	raw *multipart.Part
	err error
}

func (b *partBody) Read(to []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.raw.Read(to)
	if err != nil {
		if b.err = err; err != io.EOF {
			b.err = b.p.fail(err)
		}
	}
	return n, b.err
}

// ContentRange says which bytes of the whole a body is (RFC 9110, section 14.4).
type ContentRange struct {
	First int64 // -1 where no range of what was asked for can be given (416)
	Last  int64 // the last byte, not the one after it; -1 as above
	Size  int64 // of the whole; -1: not known
}

// ContentRange gives what the Content-Range header of the answer says, a 206's or a
// 416's. ok is false where there is none, or it is malformed or not in bytes. For the
// parts of multipart/byteranges see [Response.Parts].
func (r *Response) ContentRange() (c ContentRange, ok bool) {
	if said := r.Header["Content-Range"]; len(said) == 1 {
		return parseContentRange(said[0])
	}
	return ContentRange{}, false
}

// parseContentRange reads a Content-Range.
func parseContentRange(s string) (ContentRange, bool) {
	unit, rest, _ := strings.Cut(strings.Trim(s, " \t"), " ")
	span, size, ok := strings.Cut(rest, "/")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ContentRange{}, false
	}
	c := ContentRange{First: -1, Last: -1, Size: -1}
	if size != "*" {
		if c.Size, ok = decimal(size); !ok {
			return ContentRange{}, false
		}
	}
	if span == "*" {
		return c, c.Size >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	var ok1, ok2 bool
	c.First, ok1 = decimal(first)
	c.Last, ok2 = decimal(last)
	if !ok1 || !ok2 || c.Last < c.First || c.Size >= 0 && c.Last >= c.Size {
		return ContentRange{}, false
	}
	return c, true
}

// decimal reads a number of ASCII digits alone.
func decimal(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63) // takes no sign
	return int64(n), err == nil
}
