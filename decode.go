package parley

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// acceptEncoding is what a session asks for by default; only these codings are
// decoded, and only where a session asked for them by itself.
const acceptEncoding = "gzip"

// maxCodings bounds the content codings of one answer, counted over all lines and
// commas.
const maxCodings = 4

// decodeLayer turns coded bodies into plain ones and bounds their size.
type decodeLayer struct{ next Transport }

func (l decodeLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	resp, err := l.next.Send(ctx, req)
	if err != nil || switched(req.Method, resp.StatusCode) {
		return resp, err
	}
	if req.decode && len(resp.Header["Content-Encoding"]) > 0 && hasContent(req, resp) {
		if err := decodeBody(req, resp); err != nil {
			if resp, err = refuseBody(req, resp, err); err != nil {
				return nil, err
			}
		}
	}
	req.guard(resp)
	if req.MaxBodyBytes > 0 {
		return boundBody(req, resp)
	}
	return resp, nil
}

// hasContent reports whether the answer's header speaks of a body that is there
// (RFC 9110, section 6.4.1) and whole: a part of a coded body cannot be decoded.
func hasContent(req *Request, resp *Response) bool {
	return req.Method != http.MethodHead && resp.StatusCode != http.StatusNoContent &&
		resp.StatusCode != http.StatusNotModified && resp.StatusCode != http.StatusPartialContent &&
		resp.ContentLength != 0 && req.Header["Range"] == nil
}

// decodeBody replaces the body by its decoded form. Codings that were not asked
// for stay as they are.
func decodeBody(req *Request, resp *Response) error {
	codings, err := contentCodings(resp.Header)
	if err != nil {
		return resp.fail("decode", PhaseDecode, because(ErrDecoding, err))
	}
	for _, c := range codings {
		if c != "gzip" && c != "x-gzip" {
			return nil
		}
	}
	if len(codings) == 0 {
		return nil
	}
	for range codings {
		resp.Body = &gzipBody{raw: resp.Body, resp: resp}
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	resp.Uncompressed = true
	return nil
}

// contentCodings gives the codings in the order in which they were applied,
// without identity.
func contentCodings(h http.Header) ([]string, error) {
	var out []string
	n := 0
	for _, line := range h["Content-Encoding"] {
		for c := range strings.SplitSeq(line, ",") {
			if n++; n > maxCodings {
				return nil, fmt.Errorf("more than %d content codings", maxCodings)
			}
			if c = strings.ToLower(strings.Trim(c, " \t")); c != "" && c != "identity" {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// maxEmptyMembers bounds the members without content that a gzip body may have.
// Tools that join files leave a few; any number of them costs time and gives nothing.
const maxEmptyMembers = 1000

// gunzip is a decoder with the buffer that it reads from, which lasts from one
// member to the next.
type gunzip struct {
	z  gzip.Reader
	br bufio.Reader
}

var gunzips = sync.Pool{New: func() any { return new(gunzip) }}

// gzipBody decodes gzip (RFC 1952). Nothing is read before the first Read.
type gzipBody struct {
	raw  io.ReadCloser
	resp *Response
	mu   sync.Mutex
	d    *gunzip
	err  error

	inside  bool // a member was begun
	content bool // it has given something
	empty   int  // members that gave nothing
}

func (g *gzipBody) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil || len(p) == 0 {
		return 0, g.err
	}
	if g.d == nil {
		g.d = gunzips.Get().(*gunzip)
		g.d.br.Reset(g.raw)
	}
	n, err := g.read(p)
	if err != nil {
		g.finish(err)
	}
	return n, g.err
}

// read reads from one member after the other.
func (g *gzipBody) read(p []byte) (int, error) {
	for {
		if !g.inside {
			if err := g.begin(); err != nil {
				return 0, err
			}
		}
		n, err := g.d.z.Read(p)
		g.content = g.content || n > 0
		if err != io.EOF {
			return n, err
		}
		g.inside = false
		if !g.content {
			if g.empty++; g.empty > maxEmptyMembers {
				return 0, fmt.Errorf("more than %d members without content", maxEmptyMembers)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// begin reads the header of the next member; io.EOF says that there is none. A body
// without any is taken as the empty content that it is meant for by servers which
// set the header all the same.
func (g *gzipBody) begin() error {
	if _, err := g.d.br.Peek(1); err != nil {
		return err
	}
	if err := g.d.z.Reset(&g.d.br); err != nil {
		if err == io.EOF { // within the header
			return io.ErrUnexpectedEOF
		}
		return err
	}
	g.d.z.Multistream(false)
	g.inside, g.content = true, false
	return nil
}

// finish gives the decoder back; err is what ended the reading.
func (g *gzipBody) finish(err error) {
	if g.err == nil {
		if g.err = err; err != io.EOF {
			g.err = g.wrap(err)
		}
	}
	if g.d != nil {
		g.d.br.Reset(nil)
		gunzips.Put(g.d)
		g.d = nil
	}
}

// wrap tells errors of the coding from those of the connection beneath.
func (g *gzipBody) wrap(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	return g.resp.fail("decode", PhaseDecode, because(ErrDecoding, fmt.Errorf("gzip: %w", err)))
}

func (g *gzipBody) Close() error {
	err := g.raw.Close() // ends a read that waits, which holds the lock
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.finish(errBodyClosed)
		g.err = g.resp.closedError()
	}
	return err
}

// boundBody enforces MaxBodyBytes.
func boundBody(req *Request, resp *Response) (*Response, error) {
	b := &boundedBody{ReadCloser: resp.Body, resp: resp, limit: req.MaxBodyBytes, left: req.MaxBodyBytes}
	if resp.ContentLength > req.MaxBodyBytes && hasContent(req, resp) {
		return refuseBody(req, resp, b.tooLarge())
	}
	resp.Body = b
	return resp, nil
}

// refuseBody gives up a response whose body must not be read, or, where it is just a
// step on the way to another one, only the reading.
func refuseBody(req *Request, resp *Response, err error) (*Response, error) {
	if req.discards(resp) || resp.StatusCode == http.StatusUnauthorized {
		resp.Body = &refusedBody{resp.Body, err}
		return resp, nil
	}
	resp.Close() // that it could not be closed adds nothing to why it is given up
	return nil, err
}

// refusedBody can be closed only.
type refusedBody struct {
	io.ReadCloser
	err error
}

func (b *refusedBody) Read([]byte) (int, error) { return 0, b.err }

// boundedBody counts what is read, over all ways to read.
type boundedBody struct {
	io.ReadCloser
	resp        *Response
	limit, left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	// One byte more than allowed tells a body of the right size from a larger one.
	if b.left < int64(len(p)) {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.ReadCloser.Close()
		return n - 1, b.tooLarge()
	}
	return n, err
}

func (b *boundedBody) tooLarge() error {
	return b.resp.fail("read", PhaseRead, &cause{kind: ErrBodyTooLarge, err: fmt.Errorf("more than the allowed %d bytes", b.limit)})
}
