package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-0474a412/parley/internal/urls"
)

// AsRoundTripper makes t an [http.RoundTripper], for whatever takes one. It keeps to
// the contract of that interface: the request is not modified and its body always
// closed, a request can be cancelled by its context and by its Cancel channel, trailers
// go both ways, and after a 101 the response's Body can be written.
//
// Nothing is added to the request; "User-Agent: " with an empty value sends none, as
// with net/http. User information in the URL is left out, which an [http.Client] has
// turned into a header before. A body of unknown length is sent in chunks. One that
// GetBody gives anew can be sent again. A known length beside trailers gives way to
// chunks. As its callers bring time limits of their own, those for the
// response and for reading ([Timeouts]) are none.
//
// Errors are *[Error] where t's are. t must not be nil.
func AsRoundTripper(t Transport) http.RoundTripper {
	return &roundTripper{next: t, adapt: func(_ *http.Request, req *Request) error {
		req.Timeouts = Timeouts{Response: NoTimeout, Read: NoTimeout, Total: NoTimeout}
		return nil
	}}
}

// roundTripper is a Transport as an http.RoundTripper.
type roundTripper struct {
	next  Transport
	adapt func(hr *http.Request, req *Request) error // gives the request what it is to have beside
	idle  func()                                     // closes idle connections; nil: next may know how
}

// CloseIdleConnections closes the connections that are idle now, where the transport
// has any of its own.
func (rt *roundTripper) CloseIdleConnections() {
	if rt.idle != nil {
		rt.idle()
		return
	}
	switch t := rt.next.(type) {
	case *Pool:
		t.CloseIdle()
	case interface{ CloseIdleConnections() }:
		t.CloseIdleConnections()
	}
}

// String names the type; there may be secrets within.
func (rt *roundTripper) String() string { return "<RoundTripper>" }

// Format prints String for all verbs.
func (rt *roundTripper) Format(s fmt.State, verb rune) { printSafe(s, verb, rt.String()) }

// RoundTrip sends one request.
func (rt *roundTripper) RoundTrip(hr *http.Request) (*http.Response, error) {
	if hr == nil {
		return nil, buildError("", nil, errNoURL)
	}
	body := newHTTPBody(hr)
	sent := false
	defer func() {
		if !sent { // also by a panic
			body.discard()
		}
	}()
	req, err := requestOf(hr)
	if err != nil {
		return nil, buildError(hr.Method, hr.URL, err)
	}
	if body != nil {
		req.Body = body
	}
	if err := rt.adapt(hr, req); err != nil {
		return nil, buildError(hr.Method, hr.URL, err)
	}
	ctx, release := withCancelChannel(hr)
	resp, err := rt.next.Send(ctx, req)
	if resp, err = complete(req, resp, err); err != nil {
		release()
		return nil, err
	}
	sent = true
	body.discard() // what nobody has opened by now, nobody will
	return responseFor(hr, req, resp, release), nil
}

// requestOf makes a Request of an http.Request, without its body.
func requestOf(hr *http.Request) (*Request, error) {
	if hr.URL == nil {
		return nil, errNoURL
	}
	given := *withoutUser(hr.URL)
	given.Opaque = ""
	u, err := urls.Settle(&given)
	if err != nil {
		return nil, urlError(err)
	}
	req := &Request{Method: hr.Method, URL: u, merged: true}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	switch target := hr.URL.RequestURI(); {
	case req.Method == http.MethodConnect:
		req.Target = hr.URL.Opaque
	case target != urls.Target(u) && plainTarget(target): // else as parley writes it
		req.Target = target
	}
	if hr.Host != "" && hr.Host != hr.URL.Host {
		req.Host = hr.Host
	}
	req.Header = maps.Clone(canonical(hr.Header))
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		delete(req.Header, name)
	}
	if v, given := req.Header["User-Agent"]; given && (len(v) == 0 || v[0] == "") {
		delete(req.Header, "User-Agent")
	}
	if hr.Close && !httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close") {
		req.Header["Connection"] = append(slices.Clip(req.Header["Connection"]), "close")
	}
	if len(hr.TransferEncoding) > 0 && hr.TransferEncoding[0] == "chunked" && hr.Body != nil && hr.Body != http.NoBody {
		req.Header["Transfer-Encoding"] = []string{"chunked"}
	}
	for name := range hr.Trailer {
		req.Trailers = append(req.Trailers, Trailer{textproto.CanonicalMIMEHeaderKey(name), func() string {
			return strings.Join(hr.Trailer[name], ", ")
		}})
	}
	slices.SortFunc(req.Trailers, func(a, b Trailer) int { return strings.Compare(a.Name, b.Name) })
	return req, nil
}

// plainTarget reports whether a target can be written as it is.
func plainTarget(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' })
}

// withCancelChannel gives the context of an http.Request, ended also by its Cancel
// channel.
func withCancelChannel(hr *http.Request) (ctx context.Context, release func()) {
	ctx = hr.Context()
	//lint:ignore SA1019 callers of net/http may still use it
	ended := hr.Cancel
	if ended == nil {
		return ctx, nothing
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ended:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

func nothing() {}

// httpBody is the body of an http.Request.
type httpBody struct {
	first   io.ReadCloser
	again   func() (io.ReadCloser, error) // nil: it can be read once only
	size    int64
	mu      sync.Mutex
	touched bool
}

// newHTTPBody gives the body of an http.Request, nil if it has none. A length of 0 beside
// a body means that it is not known.
func newHTTPBody(hr *http.Request) *httpBody {
	if hr.Body == nil || hr.Body == http.NoBody {
		return nil
	}
	size := hr.ContentLength
	if size <= 0 {
		size = -1
	}
	return &httpBody{first: hr.Body, again: hr.GetBody, size: size}
}

func (b *httpBody) Size() int64         { return b.size }
func (b *httpBody) ContentType() string { return "" }
func (b *httpBody) Replayable() bool    { return b.again != nil }

func (b *httpBody) Open() (io.ReadCloser, error) {
	b.mu.Lock()
	first := !b.touched
	b.touched = true
	b.mu.Unlock()
	switch {
	case first:
		return b.first, nil
	case b.again == nil:
		return nil, fmt.Errorf("%w: the http.Request has no GetBody", ErrBodyNotRewindable)
	}
	return b.again()
}

// discard closes the body if nothing has opened it.
func (b *httpBody) discard() {
	if b == nil {
		return
	}
	b.mu.Lock()
	open := b.touched
	b.touched = true
	b.mu.Unlock()
	if !open {
		b.first.Close() // nothing was read from it
	}
}

// responseFor makes an http.Response. release frees what the call holds.
func responseFor(hr *http.Request, req *Request, resp *Response, release func()) *http.Response {
	out := &http.Response{
		Status: resp.Status, StatusCode: resp.StatusCode, Proto: resp.Proto, Header: resp.Header,
		ContentLength: resp.ContentLength, Uncompressed: resp.Uncompressed, Request: hr, TLS: resp.TLS,
		Close: httpguts.HeaderValuesContainsToken(resp.Header["Connection"], "close"),
	}
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	var ok bool
	if out.ProtoMajor, out.ProtoMinor, ok = http.ParseHTTPVersion(resp.Proto); !ok {
		out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, 1
	}
	if out.Status == "" {
		out.Status = fmt.Sprintf("%03d %s", out.StatusCode, http.StatusText(out.StatusCode))
	}
	if te := out.Header["Transfer-Encoding"]; te != nil {
		out.TransferEncoding = te
		delete(out.Header, "Transfer-Encoding")
	}
	if switched(req.Method, resp.StatusCode) {
		out.Body = afterBody(resp.Body, release)
		return out
	}
	announceTrailers(out)
	if resp.Body == http.NoBody {
		release()
		out.Body = http.NoBody
		if req.Method != http.MethodHead && resp.ContentLength < 0 {
			out.ContentLength = 0
		}
		return out
	}
	out.Body = &httpResponseBody{body: resp.Body, from: resp, to: out, release: release}
	return out
}

// announceTrailers fills in the names of the trailers that are to come.
func announceTrailers(out *http.Response) {
	lines := out.Header["Trailer"]
	delete(out.Header, "Trailer")
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t")); !httpguts.ValidTrailerHeader(name) {
				continue
			}
			if out.Trailer == nil {
				out.Trailer = make(http.Header)
			}
			out.Trailer[name] = nil
		}
	}
}

// httpResponseBody fills in the trailers when it ends.
type httpResponseBody struct {
	body    io.ReadCloser
	from    *Response
	to      *http.Response
	release func()
}

func (b *httpResponseBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF && len(b.from.Trailer) > 0 {
		if b.to.Trailer == nil {
			b.to.Trailer = make(http.Header)
		}
		maps.Copy(b.to.Trailer, b.from.Trailer)
	}
	b.release()
	if errors.Is(err, errBodyClosed) {
		err = fmt.Errorf("%w: %w", http.ErrBodyReadAfterClose, err)
	}
	return n, err
}

func (b *httpResponseBody) Close() error {
	err := b.body.Close()
	b.release()
	return err
}
