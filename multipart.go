package parley

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/h1"
)

// Part is one field or one file of a multipart/form-data body (RFC 7578). Make one
// with [FormField], [FormFile], [FormBytes], [FormReader] or [FormJSON], and change
// its fields before it goes into a body, or fill in a Part by hand. A Part may be
// used in several bodies if its Body can be sent more than once.
type Part struct {
	// Name is the name of the field; there must be one. In names and file names a
	// quote is sent as %22, CR as %0D and LF as %0A, as browsers do, and a backslash
	// as it is, but for the last one of a name, %5C, which would escape the quote
	// after it. What is beyond ASCII is sent in UTF-8. Other control bytes are
	// ErrInvalidHeader.
	Name string
	// FileName makes the part a file. It is sent as given, with its directories if it
	// has any. "": a plain field.
	FileName string
	// ContentType is the media type. "": that of Header, else that of Body, else, for
	// a file, the one that the extension of FileName stands for, else what the first
	// 512 bytes look like where they are in memory or in a file, else
	// application/octet-stream. A charset is never guessed to be UTF-8. A plain field
	// has none.
	ContentType string
	// Header holds further header lines of the part, under the rules of every header.
	// Content-Disposition is made from Name and FileName and cannot be in it.
	Header http.Header
	// Body is the content; nil: empty. A size that is known must be right, or else the
	// request fails.
	Body Body

	err error // what was wrong with the arguments of a constructor
}

// FormField gives a plain field.
func FormField(name, value string) Part {
	return Part{Name: name, Body: BytesBody([]byte(value), "")}
}

// FormFields gives a plain field for each value in v, which is whatever [FormBody]
// takes, by the same rules: nil values are left out, slices repeat their name. What
// is wrong with v is told by [MultipartBody].
func FormFields(v any) []Part {
	params, err := paramsOf(v)
	if err != nil {
		return []Part{{err: err}}
	}
	parts := make([]Part, len(params))
	for i, p := range params {
		parts[i] = FormField(p.Key, p.Value)
	}
	return parts
}

// FormFile gives the regular file at path, opened anew for each try. FileName is the
// last element of path. A file that is not there is told by [MultipartBody].
func FormFile(name, path string) Part {
	p := Part{Name: name, FileName: filepath.Base(path)}
	file, err := newFileBody(path)
	if err != nil {
		p.err = err
		return p
	}
	p.Body = file
	return p
}

// FormBytes gives a file of data, which must not be changed while the body is in use.
// With a filename of "" it is a plain field.
func FormBytes(name, filename string, data []byte) Part {
	return Part{Name: name, FileName: filename, Body: BytesBody(data, "")}
}

// FormReader gives a file of what r reads: see [ReaderBody] for when its length is
// known and when it can be sent more than once. With a filename of "" it is a plain
// field.
func FormReader(name, filename string, r io.Reader) Part {
	return Part{Name: name, FileName: filename, Body: ReaderBody(r)}
}

// FormJSON gives a field with v as JSON, of the type application/json. It is encoded when
// the body is made: by [WithMultipart] together with the request and by its encoder (see
// [WithJSONEncoder]), by [MultipartBody] as [JSONBody] does. What cannot be encoded is
// told then.
func FormJSON(name string, v any) Part {
	return Part{Name: name, Body: &jsonValue{value: v}}
}

// MultipartBody gives parts as multipart/form-data (RFC 7578), in their order. Its
// size is known if that of every part is, and it can be sent more than once if every
// part can. It is read as it is sent: each part is opened when its turn comes and
// closed after it. A part that turns out longer or shorter than it said fails the
// request with ErrLocalProtocol.
//
// The boundary is random (128 bits), so that no content can hold it. A Content-Type
// header given to the request for such a body may name another:
// "multipart/form-data; boundary=own" (1 to 70 of the characters of RFC 2046, section
// 5.1.1, or ErrInvalidHeader), and then it is for the caller to know that no content
// holds it. One that names none gets that of the body.
//
// The error is about the first part that cannot be sent: ErrInvalidHeader for a name,
// a header or a media type, fs.ErrNotExist and the like for a file. The readers of
// the parts are left alone then.
func MultipartBody(parts ...Part) (Body, error) {
	m, err := newMultipart(parts, nil)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// WithMultipart sends fields and files as an HTML form does: see [MultipartBody]. The
// body is made together with the request, and what is wrong with a part is told then. Of
// several options that give a body the last one counts: the fields of a form are parts
// too, see [FormFields].
func WithMultipart(parts ...Part) RequestOption {
	return WithBody(formBody{parts: slices.Clone(parts)})
}

// formBody is a form that becomes a body together with its request.
type formBody struct {
	Body  // nil: nothing asks it before it is settled
	parts []Part
}

func (f formBody) settle(how *conduct) (Body, error) {
	m, err := newMultipart(f.parts, how)
	if err != nil {
		f.discard()
		return nil, err
	}
	return m, nil
}

// discard closes the readers that nothing has opened.
func (f formBody) discard() {
	for _, p := range f.parts {
		discardBody(p.Body)
	}
}

// multipartBody is a body of parts that were checked.
type multipartBody struct {
	parts    []*checkedPart
	boundary string
	size     int64        // -1: not known
	whole    *bytesBody   // all of it, if it is in memory and small
	once     bool         // one of the parts can be read once only
	used     *atomic.Bool // a part was perhaps opened
}

// checkedPart is a part as it is sent.
type checkedPart struct {
	place int // from 0
	name  string
	lines string // its header, with the empty line
	body  Body
	data  []byte // in place of body, where it is in memory
	waits bool   // body may take its time, to be opened and to be read
	size  int64  // -1: not known
}

// label is what errors call a part.
func (p *checkedPart) label() string {
	return fmt.Sprintf("part %d (%s) of the multipart body", p.place+1, quoteBad(p.name, 32))
}

func newMultipart(parts []Part, how *conduct) (*multipartBody, error) {
	m := &multipartBody{parts: make([]*checkedPart, len(parts)), used: new(atomic.Bool)}
	for i, p := range parts {
		checked := &checkedPart{place: i, name: p.Name}
		if err := checked.take(p, how); err != nil {
			return nil, fmt.Errorf("%s: %w", checked.label(), err)
		}
		m.parts[i] = checked
		m.once = m.once || !checked.body.Replayable()
	}
	var random [16]byte
	rand.Read(random[:]) // it never fails
	return m.bounded(hex.EncodeToString(random[:])), nil
}

// take checks a part and takes over what is sent of it.
func (p *checkedPart) take(from Part, how *conduct) (err error) {
	if from.err != nil {
		return from.err
	}
	if p.body, err = settled(from.Body, how); err != nil {
		return err
	}
	if p.body == nil {
		p.body = &bytesBody{}
	}
	p.size, p.data = max(p.body.Size(), -1), contentOf(p.body)
	switch p.body.(type) {
	case *bytesBody:
		if p.data == nil {
			p.data = []byte{} // nothing, but known
		}
	case *fileBody, *snapshotBody:
	default:
		p.waits = p.data == nil
	}
	p.lines, err = from.lines(p.body)
	return err
}

// bounded gives the body with another boundary.
func (m *multipartBody) bounded(boundary string) *multipartBody {
	b := *m
	b.boundary, b.whole = boundary, nil
	b.size = int64(len(b.ending()))
	small := true
	for i, p := range b.parts {
		small = small && p.data != nil
		if p.size < 0 || b.size < 0 {
			b.size = -1
			continue
		}
		b.size += int64(len(b.opening(i))) + p.size
		if b.size < 0 { // more than there are numbers for
			b.size = -1
		}
	}
	if small && b.size >= 0 && b.size <= maxInline {
		data := make([]byte, 0, b.size)
		for i, p := range b.parts {
			data = append(append(data, b.opening(i)...), p.data...)
		}
		b.whole = &bytesBody{data: append(data, b.ending()...)}
	}
	return &b
}

// opening is what comes before the content of part i (RFC 2046, section 5.1.1).
func (m *multipartBody) opening(i int) string {
	start := "\r\n--"
	if i == 0 {
		start = "--"
	}
	return start + m.boundary + "\r\n" + m.parts[i].lines
}

// ending is what comes after the last part.
func (m *multipartBody) ending() string {
	if len(m.parts) == 0 {
		return "--" + m.boundary + "--\r\n"
	}
	return "\r\n--" + m.boundary + "--\r\n"
}

func (m *multipartBody) Size() int64      { return m.size }
func (m *multipartBody) Replayable() bool { return !m.once }
func (m *multipartBody) inMemory() []byte {
	if m.whole == nil {
		return nil
	}
	return m.whole.data
}
func (m *multipartBody) ContentType() string {
	return mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": m.boundary})
}

func (m *multipartBody) Open() (io.ReadCloser, error) {
	if m.whole != nil {
		return m.whole.Open()
	}
	if m.once && m.begun() {
		return nil, errPartsUsed
	}
	return &multipartReader{body: m, text: m.before(0)}, nil
}

var errPartsUsed = fmt.Errorf("%w: a part of the multipart body can be read once only; give bytes, a *bytes.Reader or a file", ErrBodyNotRewindable)

// before is what stands before the content of part i, or after the last part.
func (m *multipartBody) before(i int) string {
	if i < len(m.parts) {
		return m.opening(i)
	}
	return m.ending()
}

// begun reports whether a part that can be read once only was begun, as far as is known:
// the bodies of others do not tell, but fail when they are opened.
func (m *multipartBody) begun() bool {
	return m.used.Load() || slices.ContainsFunc(m.parts, func(p *checkedPart) bool {
		own, tells := p.body.(interface{ untouched() bool })
		return tells && !p.body.Replayable() && !own.untouched()
	})
}

// untouched reports whether it is certain that no such part was begun.
func (m *multipartBody) untouched() bool {
	return !m.begun() && !slices.ContainsFunc(m.parts, func(p *checkedPart) bool {
		return !p.body.Replayable() && !untouched(p.body)
	})
}

// discard closes the readers that nothing has opened.
func (m *multipartBody) discard() {
	for _, p := range m.parts {
		discardBody(p.body)
	}
}

// accordingTo gives body and Content-Type for a request on which the caller has set
// that header.
func (m *multipartBody) accordingTo(given []string) (*multipartBody, []string, error) {
	const name = "Content-Type"
	if len(given) != 1 {
		return nil, nil, because(ErrInvalidHeader, &h1.FieldError{Name: name, Pos: -1, What: "is not one media type"})
	}
	if kind, _, _ := strings.Cut(given[0], "/"); !strings.EqualFold(strings.TrimSpace(kind), "multipart") {
		return m, given, nil
	}
	_, params, err := mime.ParseMediaType(given[0])
	if err != nil {
		return nil, nil, because(ErrInvalidHeader, &h1.FieldError{Name: name, Pos: -1, What: "is no media type with parameters as RFC 9110 section 8.3.1 has them"})
	}
	boundary, ok := params["boundary"]
	switch {
	case !ok:
		_, own, _ := strings.Cut(m.ContentType(), ";")
		return m, []string{strings.TrimRight(given[0], " \t;") + ";" + own}, nil
	case !validBoundary(boundary):
		return nil, nil, because(ErrInvalidHeader, &h1.FieldError{Name: name, Pos: -1, What: "has a boundary that is not 1 to 70 characters of RFC 2046 section 5.1.1"})
	}
	return m.bounded(boundary), given, nil
}

// validBoundary checks a boundary by RFC 2046, section 5.1.1.
func validBoundary(s string) bool {
	bad := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("'()+_,-./:=? ", r)
	}
	return len(s) >= 1 && len(s) <= 70 && !strings.HasSuffix(s, " ") && !strings.ContainsFunc(s, bad)
}

// lines checks and writes the header of a part.
func (p *Part) lines(body Body) (string, error) {
	if p.Name == "" {
		return "", failed("it has no name")
	}
	disposition := `form-data; name="` + escapeName(p.Name) + `"`
	if p.FileName != "" {
		disposition += `; filename="` + escapeName(p.FileName) + `"`
	}
	further := canonical(p.Header)
	if further["Content-Disposition"] != nil {
		return "", because(ErrInvalidHeader, errors.New("Content-Disposition is made from Name and FileName: set these"))
	}
	contentType, err := p.contentType(body, further["Content-Type"])
	if err != nil {
		return "", err
	}
	var b strings.Builder
	write := func(name, value string) error {
		if err := h1.CheckField(name, value); err != nil {
			return because(ErrInvalidHeader, err)
		}
		b.WriteString(name + ": " + value + "\r\n")
		return nil
	}
	err = write("Content-Disposition", disposition)
	if err == nil && contentType != "" {
		err = write("Content-Type", contentType)
	}
	for _, name := range slices.Sorted(maps.Keys(further)) {
		if name == "Content-Type" {
			continue
		}
		for _, value := range further[name] {
			err = cmp.Or(err, write(name, value))
		}
	}
	return b.String() + "\r\n", err
}

// nameEscapes is how the HTML standard writes names into a multipart form.
var nameEscapes = strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A")

// escapeName makes a name fit for a quoted string. Browsers leave a backslash alone,
// and servers take it as it is; but before the closing quote most of them take it as
// an escape, and what follows as a part of the name.
func escapeName(s string) string {
	s = nameEscapes.Replace(s)
	if strings.HasSuffix(s, `\`) {
		s = strings.TrimSuffix(s, `\`) + "%5C"
	}
	return s
}

// contentType gives the media type of a part, "" for none.
func (p *Part) contentType(body Body, given []string) (string, error) {
	if len(given) > 1 {
		return "", because(ErrInvalidHeader, &h1.FieldError{Name: "Content-Type", Pos: -1, What: "is not one media type"})
	}
	typ := p.ContentType
	if typ == "" && len(given) == 1 {
		typ = given[0]
	}
	if typ = cmp.Or(typ, body.ContentType()); typ == "" && p.FileName != "" {
		var err error
		if typ, err = guessType(p.FileName, body); err != nil {
			return "", err
		}
	}
	if typ == "" {
		return "", nil
	}
	if kind, _, err := mime.ParseMediaType(typ); err != nil || !strings.Contains(kind, "/") {
		return "", because(ErrInvalidHeader, &h1.FieldError{Name: "Content-Type", Pos: -1, What: "is no media type"})
	}
	return typ, nil
}

// sniffLen is how much of a content tells what it is, see [http.DetectContentType].
const sniffLen = 512

// guessType gives the type of a file by its extension, else by its first bytes,
// without the charset that package mime adds to every text: neither tells it.
func guessType(filename string, body Body) (string, error) {
	const guessed = "; charset=utf-8"
	if typ := mime.TypeByExtension(path.Ext(filename)); typ != "" {
		return strings.TrimSuffix(typ, guessed), nil
	}
	data := contentOf(body)
	switch body.(type) {
	case *fileBody, *snapshotBody: // reading these takes nothing from what is sent
		r, err := body.Open()
		if err != nil {
			return "", err
		}
		defer r.Close() // it was only read
		data = make([]byte, sniffLen)
		n, err := io.ReadFull(r, data)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return "", fmt.Errorf("request body: %w", err)
		}
		data = data[:n]
	default:
		if data == nil && body.Size() != 0 {
			return "application/octet-stream", nil
		}
	}
	return strings.TrimSuffix(http.DetectContentType(data), guessed), nil
}
