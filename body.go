package parley

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Body is the content of a request. The session sends it as often as it must:
// for each try it calls Open, reads what that gives to its end and closes it.
//
// Implementations must be safe for concurrent use when the request is.
type Body interface {
	// Size is the number of bytes, or -1 if it is not known: the body is then sent
	// in chunks. A body that turns out longer or shorter fails the request.
	Size() int64
	// ContentType is the value of the Content-Type header, "" for none. A header
	// set on the request itself wins over it.
	ContentType() string
	// Open gives a fresh reader from the beginning of the body. Where that cannot be
	// done a second time it returns an error that matches ErrBodyNotRewindable.
	Open() (io.ReadCloser, error)
	// Replayable reports whether Open can be called more than once.
	Replayable() bool
}

// memory is a Body whose bytes may need no reader.
type memory interface{ inMemory() []byte }

// contentOf gives the content of a body that needs no reader; nil for one that does,
// or has none.
func contentOf(b Body) []byte {
	if m, ok := b.(memory); ok {
		return m.inMemory()
	}
	return nil
}

// discardBody closes what a body that will not be sent has and nothing has opened.
func discardBody(b Body) {
	if b, ok := b.(interface{ discard() }); ok {
		b.discard()
	}
}

// untouched reports whether a body that can be read once only has not been begun, as
// when the server answered before it was touched, so that it can still be sent.
func untouched(b Body) bool {
	u, ok := b.(interface{ untouched() bool })
	return ok && u.untouched()
}

// bytesBody is a body that is held in memory.
type bytesBody struct {
	data        []byte
	contentType string
}

func (b *bytesBody) Size() int64         { return int64(len(b.data)) }
func (b *bytesBody) ContentType() string { return b.contentType }
func (b *bytesBody) Replayable() bool    { return true }
func (b *bytesBody) inMemory() []byte    { return b.data }
func (b *bytesBody) Open() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.data)), nil
}

// BytesBody gives a body of b, which must not be changed while the request is in
// use.
func BytesBody(b []byte, contentType string) Body { return &bytesBody{b, contentType} }

// maxXMLDepth bounds the nesting of what becomes XML, as encoding/xml follows a
// value that contains itself until the stack is full.
const maxXMLDepth = 10_000

// XMLBody gives v encoded as XML after the XML declaration.
func XMLBody(v any) (Body, error) {
	if nestedOver(reflect.ValueOf(v), maxXMLDepth, "xml") {
		return nil, failed("XML body from %T: nested more than %d deep, or contained in itself", v, maxXMLDepth)
	}
	b, err := xml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the XML body: %w", err)
	}
	return &bytesBody{append([]byte(xml.Header), b...), "application/xml; charset=utf-8"}, nil
}

// FormBody gives v as application/x-www-form-urlencoded. v is whatever
// [WithParams] takes.
func FormBody(v any) (Body, error) {
	params, err := paramsOf(v)
	if err != nil {
		return nil, err
	}
	q := urls.AppendQuery("", params, urls.Plus)
	return &bytesBody{[]byte(q), "application/x-www-form-urlencoded"}, nil
}

// fileBody is a file that is opened for each try.
type fileBody struct {
	path string
	size int64
	typ  string
}

// FileBody gives the content of the regular file at path, opened anew for each
// try, with the content type that its extension suggests.
func FileBody(path string) (Body, error) {
	b, err := newFileBody(path)
	if err != nil {
		return nil, err
	}
	b.typ = cmp.Or(mime.TypeByExtension(filepath.Ext(path)), "application/octet-stream")
	return b, nil
}

func newFileBody(path string) (*fileBody, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("request body: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("request body: %w", &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")})
	}
	return &fileBody{path: path, size: info.Size()}, nil
}

func (b *fileBody) Size() int64         { return b.size }
func (b *fileBody) ContentType() string { return b.typ }
func (b *fileBody) Replayable() bool    { return true }
func (b *fileBody) Open() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("request body: %w", err)
	}
	return f, nil
}

// ReaderBody gives what r reads. Its size is known, and it can be sent more than
// once, for a *bytes.Reader, *bytes.Buffer, *strings.Reader and an *os.File that
// is a regular file, each from where it stands now; the *os.File stays the
// caller's to close. Any other reader is sent in chunks and once only, and closed
// after that if it is an io.Closer.
func ReaderBody(r io.Reader) Body {
	switch r := r.(type) {
	case nil:
		return &bytesBody{}
	case *bytes.Buffer:
		return &bytesBody{data: r.Bytes()}
	case *bytes.Reader:
		at := *r
		return &snapshotBody{int64(at.Len()), func() io.Reader { again := at; return &again }}
	case *strings.Reader:
		at := *r
		return &snapshotBody{int64(at.Len()), func() io.Reader { again := at; return &again }}
	case *os.File:
		if b := sectionOf(r); b != nil {
			return b
		}
	}
	return &onceBody{r: r}
}

// sectionOf gives the rest of a regular file, nil for other files.
func sectionOf(f *os.File) Body {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	size := max(info.Size()-at, 0)
	return &snapshotBody{size, func() io.Reader { return io.NewSectionReader(f, at, size) }}
}

// snapshotBody makes a reader of its own for each try.
type snapshotBody struct {
	size int64
	open func() io.Reader
}

func (b *snapshotBody) Size() int64                  { return b.size }
func (b *snapshotBody) ContentType() string          { return "" }
func (b *snapshotBody) Replayable() bool             { return true }
func (b *snapshotBody) Open() (io.ReadCloser, error) { return sourceCloser{b.open()}, nil }

// sourceCloser closes nothing and lets the sender see the reader itself.
type sourceCloser struct{ io.Reader }

func (sourceCloser) Close() error { return nil }

// onceBody is a reader that can be read once.
type onceBody struct {
	r    io.Reader
	used atomic.Bool
}

func (b *onceBody) Size() int64         { return -1 }
func (b *onceBody) ContentType() string { return "" }
func (b *onceBody) Replayable() bool    { return false }
func (b *onceBody) Open() (io.ReadCloser, error) {
	if b.used.Swap(true) {
		return nil, fmt.Errorf("%w: a reader can be read once only; give a *bytes.Reader, a file or a Body of your own", ErrBodyNotRewindable)
	}
	if rc, ok := b.r.(io.ReadCloser); ok {
		return rc, nil
	}
	return sourceCloser{b.r}, nil
}

func (b *onceBody) untouched() bool { return !b.used.Load() }

// discard closes the reader if nothing has opened it.
func (b *onceBody) discard() {
	if c, ok := b.r.(io.Closer); ok && !b.used.Swap(true) {
		c.Close() // nothing was read from it
	}
}
