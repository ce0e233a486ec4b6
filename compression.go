package parley

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-0474a412/parley/internal/coding"
	"github.com/seed-0474a412/parley/internal/h1"
)

// maxCodedAhead is up to which size a body in memory is coded when its request is made,
// so that its length is known.
const maxCodedAhead = 1 << 20

// identity is the coding that is none.
const identity = "identity"

// WithCompression codes the bodies of requests and says so in Content-Encoding: by
// "gzip", "zstd", "br", "deflate" or a coding that the session was given with
// [WithContentCoding]. Any other is an error of [New] or of the request. "identity" sends bodies as they are, whatever the session says. It is for servers that
// are known to decode what they get; those that do not answer 415 or worse.
//
// A body in memory of up to 1 MiB is coded when the request is made, and has a
// Content-Length. All others are coded as they are sent, in chunks, and again each time
// they are sent; what an iterator gives ([WithChunks], [WithJSONLines]) is flushed piece
// by piece. A Content-Length of the caller's is ErrInvalidHeader then. Bodies without
// content stay as they are, and so do those of requests that have a Content-Encoding
// already.
func WithCompression(name string) Option {
	return option(func(s *settings) error {
		s.conduct.sending.coding = strings.ToLower(name)
		if name == "" {
			return failed(`WithCompression needs the name of a coding, such as "gzip", or "identity" for none`)
		}
		return nil
	})
}

// checkCompression says what is wrong with the coding of a session.
func (c *conduct) checkCompression() error {
	_, err := c.bodyCoding()
	return err
}

// bodyCoding gives what codes the bodies of requests, nil if nothing does.
func (c *conduct) bodyCoding() (coding.Encode, error) {
	if c == nil || c.sending.coding == "" || c.sending.coding == identity {
		return nil, nil
	}
	name := c.sending.coding
	if own := c.codings.named(name).Encode; own != nil {
		return own, nil
	}
	if known := coding.LookupEncoder(name); known != nil {
		return known, nil
	}
	return nil, failed("WithCompression: there is no coding %q to send: gzip, zstd, br and deflate are known, others come with WithContentCoding", quoteBad(name, 32))
}

// coded is a body that compress has made.
type coded interface{ original() Body }

// compress codes the body of the request if that is wanted.
func (r *Request) compress() error {
	if r.Body == nil || r.Body.Size() == 0 || r.Header["Content-Encoding"] != nil || slices.Contains(r.omitted().headers, "Content-Encoding") {
		return nil
	}
	encode, err := r.conduct.bodyCoding()
	if err != nil || encode == nil {
		return err
	}
	if r.Header["Content-Length"] != nil {
		return because(ErrInvalidHeader, &h1.FieldError{Name: "Content-Length", Pos: -1, What: "cannot be that of a body under WithCompression; leave it out"})
	}
	name := r.conduct.sending.coding
	if data := contentOf(r.Body); data != nil && len(data) <= maxCodedAhead {
		out, err := codeAll(encode, data)
		if err != nil {
			return fmt.Errorf("code the body by %s: %w", name, err)
		}
		r.Body = &compressedBytes{bytesBody{out, r.Body.ContentType()}, r.Body}
	} else {
		r.Body = &compressedBody{r.Body, name, encode}
	}
	r.Header["Content-Encoding"] = []string{name}
	return nil
}

// uncompress takes back what compress did, for a copy of the request about whose body
// something else is said.
func (r *Request) uncompress(rc *requestConfig) {
	c, ok := r.Body.(coded)
	given := rc.header["Content-Encoding"] != nil || slices.Contains(rc.removed, "Content-Encoding")
	if !ok || rc.body == nil && rc.conduct.sending.coding == "" && !given {
		return
	}
	r.Body = c.original()
	if !given {
		delete(r.Header, "Content-Encoding")
	}
}

func codeAll(encode coding.Encode, data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := encode(&out)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return out.Bytes(), err
}

// compressedBytes is a body that was coded when its request was made.
type compressedBytes struct {
	bytesBody
	plain Body
}

func (b *compressedBytes) original() Body { return b.plain }

// compressedBody is a body that is coded while it is sent.
type compressedBody struct {
	plain  Body
	name   string
	encode coding.Encode
}

func (b *compressedBody) Size() int64         { return -1 }
func (b *compressedBody) ContentType() string { return b.plain.ContentType() }
func (b *compressedBody) Replayable() bool    { return b.plain.Replayable() }
func (b *compressedBody) untouched() bool     { return untouched(b.plain) }
func (b *compressedBody) discard()            { discardBody(b.plain) }
func (b *compressedBody) original() Body      { return b.plain }
func (b *compressedBody) Open() (io.ReadCloser, error) {
	source, err := b.plain.Open()
	if err != nil {
		return nil, err
	}
	_, live := b.plain.(*seqBody)
	return &compressedReader{source: source, body: b, live: live}, nil
}

// Format names the coding and the plain body for all verbs.
func (b *compressedBody) Format(s fmt.State, verb rune) {
	printSafe(s, verb, fmt.Sprintf("<Body by %s of %T>", b.name, b.plain))
}

// compressedReader reads from a body and gives it coded. It holds what one Read of the body
// made, and no more.
type compressedReader struct {
	source io.ReadCloser
	body   *compressedBody
	live   bool // what comes must not wait for more
	closed atomic.Bool

	mu  sync.Mutex // of the one that reads
	enc io.WriteCloser
	out bytes.Buffer
	err error // what every further Read gives, once out is empty
}

// Read is for one goroutine at a time; Close may run meanwhile.
func (r *compressedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	n, err := r.read(p)
	r.mu.Unlock()
	if r.closed.Load() {
		r.leave() // Close could not
	}
	return n, err
}

func (r *compressedReader) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for empty := 0; r.out.Len() == 0; {
		if r.err != nil {
			return 0, r.err
		}
		n, err := r.step()
		if err != nil {
			r.err = err
			continue
		}
		if empty++; n > 0 {
			empty = 0
		} else if empty > maxEmptyReads {
			return 0, io.ErrNoProgress
		}
	}
	return r.out.Read(p)
}

// step codes what the body gives next. io.EOF says that this was all.
func (r *compressedReader) step() (n int, err error) {
	if r.closed.Load() {
		return 0, errReadAfterClose
	}
	if r.enc == nil {
		if r.enc, err = r.body.encode(&r.out); err != nil {
			return 0, r.failed(err)
		}
	}
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	n, err = r.source.Read((*buf)[:uploadPiece])
	if n < 0 || n > uploadPiece {
		return 0, errors.New("the request body's Read returned an impossible count")
	}
	if n > 0 {
		if _, err := r.enc.Write((*buf)[:n]); err != nil {
			return n, r.failed(err)
		}
		if f, ok := r.enc.(interface{ Flush() error }); ok && r.live {
			if err := f.Flush(); err != nil {
				return n, r.failed(err)
			}
		}
	}
	if err == io.EOF {
		enc := r.enc
		r.enc = nil
		if err := enc.Close(); err != nil {
			return n, r.failed(err)
		}
	}
	return n, err
}

func (r *compressedReader) failed(err error) error {
	return fmt.Errorf("code the body by %s: %w", r.body.name, err)
}

// Close closes the body and leaves the encoder, at once or when the Read that goes on has
// returned.
func (r *compressedReader) Close() error {
	r.closed.Store(true)
	err := r.source.Close()
	r.leave()
	return err
}

// leave ends an encoder that is not in use right now.
func (r *compressedReader) leave() {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if r.enc != nil {
		enc := r.enc
		r.enc = nil
		enc.Close() // nobody wants what it still has
	}
	if r.err == nil {
		r.err = errReadAfterClose
	}
	r.out = bytes.Buffer{}
}
