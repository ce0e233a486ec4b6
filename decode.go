package parley

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley/internal/coding"
)

// acceptEncoding is what a session asks for by default; only these codings, and those
// that were given to the session, are decoded, and only where a session asked for them by
// itself.
const acceptEncoding = coding.Accept

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
	req.keepPace(resp)
	req.measure(resp)
	if req.decode && len(resp.Header["Content-Encoding"]) > 0 && hasContent(req, resp) {
		if err := decodeBody(ctx, req, resp); err != nil {
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

// decodeBody replaces the body by its decoded form. Where one of several codings was not
// asked for, all stay as they are.
func decodeBody(ctx context.Context, req *Request, resp *Response) error {
	codings, n, err := contentCodings(resp.Header)
	if err != nil {
		return resp.fail("decode", PhaseDecode, because(ErrDecoding, err))
	}
	if n == 0 {
		return nil
	}
	b := &codedBody{raw: resp.Body, resp: resp, ctx: ctx}
	if b.layers = b.one[:0]; n > 1 {
		b.layers = make([]layer, 0, n)
	}
	for i := n - 1; i >= 0; i-- { // the last that was applied is the first to be undone
		open, own := req.decoder(codings[i])
		if open == nil {
			return nil
		}
		b.layers = append(b.layers, layer{body: b, name: codings[i], open: open, own: own})
	}
	b.join(req.MaxBodyBytes)
	resp.Body = b
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	resp.Uncompressed = true
	return nil
}

// decoder gives what decodes a coding, nil if nothing does, and whether it is parley's
// own.
func (r *Request) decoder(name string) (open coding.Open, own bool) {
	if name == "x-gzip" { // RFC 9110, section 8.4.1.3
		name = "gzip"
	}
	if given := r.codings().named(name); given.Decode != nil {
		return given.Decode, false
	}
	return coding.Lookup(name), true
}

// contentCodings gives the codings in the order in which they were applied, in lower case
// and without identity, and how many they are.
func contentCodings(h http.Header) (names [maxCodings]string, n int, err error) {
	members := 0
	for _, line := range h["Content-Encoding"] {
		for c := range strings.SplitSeq(line, ",") {
			if members++; members > maxCodings {
				return names, 0, fmt.Errorf("more than %d content codings", maxCodings)
			}
			if c = strings.ToLower(strings.Trim(c, " \t")); c != "" && c != "identity" {
				names[n] = c
				n++
			}
		}
	}
	return names, n, nil
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
	return b.resp.tooLarge(b.limit)
}

// tooLarge is the error of a body that is larger than MaxBodyBytes.
func (r *Response) tooLarge(limit int64) error {
	return r.fail("read", PhaseRead, because(ErrBodyTooLarge, fmt.Errorf("more than the allowed %d bytes", limit)))
}
