package parley

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// ClientOption is a setting of a session, for [New] and [Client.With].
type ClientOption interface{ applyClient(*clientConfig) error }

// RequestOption is a setting of one request. A request's word wins over its
// session's.
type RequestOption interface{ applyRequest(*requestConfig) error }

// Option is a setting that may be made for a session and for one request alike.
type Option interface {
	ClientOption
	RequestOption
}

// settings is one layer of what may be said of a session and of a request.
type settings struct {
	header        http.Header // values set, by canonical name
	removed       []string    // canonical names removed
	ownEncoding   bool        // Accept-Encoding is the caller's
	order         []string
	params        []Param
	removedParams []string
	style         QueryStyle
	styled        bool
	path          []Param
	cookies       []Param
	removedCookie []string
	timeouts      Timeouts
	expect        time.Duration
	tls           *tls.Config
	proxy         *Proxy
	security      security
	maxBody       int64  // 0: not said; negative: no limit
	raw           choice // yes: no decoding
	inform        func(status int, header http.Header)
	attrs         *attribute
	auth          Auth // nil: not said
	conduct       conduct
}

// attribute is a list of keys and values, the newest first.
type attribute struct {
	key, value any
	next       *attribute
}

// get gives the newest value for key, nil if there is none.
func (a *attribute) get(key any) any {
	for ; a != nil; a = a.next {
		if a.key == key {
			return a.value
		}
	}
	return nil
}

type option func(*settings) error

func (o option) applyClient(c *clientConfig) error   { return o(&c.settings) }
func (o option) applyRequest(r *requestConfig) error { return o(&r.settings) }

type clientOption func(*clientConfig) error

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }

type requestOption func(*requestConfig) error

func (o requestOption) applyRequest(r *requestConfig) error { return o(r) }

// failed is an option that reports what was wrong with its arguments.
func failed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errInvalidOption, fmt.Errorf(format, args...))
}

// WithOptions makes one option of several, applied in their order.
func WithOptions(opts ...Option) Option { return several(opts) }

// WithClientOptions makes one option of several for a session, applied in their order.
func WithClientOptions(opts ...ClientOption) ClientOption {
	return clientOption(func(c *clientConfig) error {
		for _, o := range opts {
			if o == nil {
				return errNilOption
			}
			if err := o.applyClient(c); err != nil {
				return err
			}
		}
		return nil
	})
}

type several []Option

func (s several) applyClient(c *clientConfig) error {
	for _, o := range s {
		if o == nil {
			return errNilOption
		}
		if err := o.applyClient(c); err != nil {
			return err
		}
	}
	return nil
}

func (s several) applyRequest(r *requestConfig) error {
	for _, o := range s {
		if o == nil {
			return errNilOption
		}
		if err := o.applyRequest(r); err != nil {
			return err
		}
	}
	return nil
}

var errNilOption = failed("an option is nil")

// applyAll puts the options of a request into rc.
func applyAll(opts []RequestOption, rc *requestConfig) error {
	for _, o := range opts {
		if o == nil {
			return errNilOption
		}
		if err := o.applyRequest(rc); err != nil {
			return err
		}
	}
	if rc.download != nil {
		return failed("WithDownload is for Client.Download")
	}
	return nil
}

// WithHeader sets a header to one value, in place of all values that it had. A
// malformed name or value is ErrInvalidHeader. Content-Length, Transfer-Encoding
// and Trailer are worked out from the body: see [Request.Header].
func WithHeader(name, value string) Option {
	return option(func(s *settings) error { return s.setHeader(name, []string{value}) })
}

// WithHeaders sets every header in h, each in place of all values that it had.
func WithHeaders(h http.Header) Option {
	h = h.Clone()
	return option(func(s *settings) error {
		for name, values := range h {
			if err := s.setHeader(name, slices.Clone(values)); err != nil {
				return err
			}
		}
		return nil
	})
}

// WithoutHeader removes a header, also one that parley would send by itself, such
// as User-Agent, or Cookie with whatever the jar and earlier options put there.
func WithoutHeader(name string) Option {
	return option(func(s *settings) error {
		name := textproto.CanonicalMIMEHeaderKey(name)
		delete(s.header, name)
		if name == "Cookie" {
			s.cookies = nil
		}
		if !slices.Contains(s.removed, name) {
			s.removed = append(slices.Clip(s.removed), name)
		}
		return nil
	})
}

func (s *settings) setHeader(name string, values []string) error {
	for _, v := range values {
		if err := h1.CheckField(name, v); err != nil {
			return because(ErrInvalidHeader, err)
		}
	}
	if err := h1.CheckField(name, ""); err != nil {
		return because(ErrInvalidHeader, err)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	s.ownEncoding = s.ownEncoding || name == "Accept-Encoding"
	if s.header == nil {
		s.header = make(http.Header, 4)
	}
	s.header[name] = values
	s.removed = without(s.removed, name)
	return nil
}

// without gives list without name, never changing list itself.
func without(list []string, name string) []string {
	i := slices.Index(list, name)
	if i < 0 {
		return list
	}
	return slices.Concat(list[:i], list[i+1:])
}

// WithHeaderOrder sets the order and the spelling in which headers are written:
// those named come first, as they are spelled here, the others after them in
// alphabetical order. Host always is the first.
func WithHeaderOrder(names ...string) Option {
	names = slices.Clone(names)
	return option(func(s *settings) error {
		for _, n := range names {
			if err := h1.CheckField(n, ""); err != nil {
				return because(ErrInvalidHeader, err)
			}
		}
		s.order = names
		return nil
	})
}

// WithQuery sets the query parameter key to values, in place of what the session
// had for it. What is written in the URL itself stays as it is. Without values
// it is [WithoutQuery].
func WithQuery(key string, values ...string) Option {
	if len(values) == 0 {
		return WithoutQuery(key)
	}
	return option(func(s *settings) error {
		params := make([]Param, len(values))
		for i, v := range values {
			params[i] = Param{Key: key, Value: v}
		}
		s.setParams(params)
		return nil
	})
}

// WithParams sets query parameters from [Params] (kept in their order),
// [url.Values], a map with string keys (sent in the order of the keys), or a
// struct with `url` tags as github.com/google/go-querystring reads them. Nil
// values are left out; slices repeat their key.
func WithParams(v any) Option {
	return option(func(s *settings) error {
		params, err := paramsOf(v)
		if err != nil {
			return err
		}
		s.setParams(params)
		return nil
	})
}

// setParams replaces by key.
func (s *settings) setParams(params []Param) {
	s.params = urls.MergeParams(s.params, params)
	for _, p := range params {
		s.removedParams = without(s.removedParams, p.Key)
	}
}

// WithoutQuery removes a query parameter that the session or its base URL has.
func WithoutQuery(key string) Option {
	return option(func(s *settings) error {
		s.params = slices.DeleteFunc(slices.Clone(s.params), func(p Param) bool { return p.Key == key })
		s.removedParams = append(slices.Clip(s.removedParams), key)
		return nil
	})
}

// WithQueryStyle chooses how added parameters write a space. Default [QueryPlus].
func WithQueryStyle(style QueryStyle) Option {
	return option(func(s *settings) error {
		s.style, s.styled = style, true
		return nil
	})
}

// WithPath gives the value for {name} in the path of the URL. It is escaped as one
// segment, whatever it holds; "", "." and ".." are ErrInvalidURL, and so are a
// placeholder without a value and a request's value without a placeholder. Where neither
// session nor request give any value, braces in a URL are no placeholders.
func WithPath(name, value string) Option {
	return option(func(s *settings) error {
		s.path = setParam(s.path, name, value)
		return nil
	})
}

// WithCookie sends a cookie without storing it in the jar.
func WithCookie(name, value string) Option {
	return option(func(s *settings) error {
		if err := checkCookie(name, value); err != nil {
			return err
		}
		s.cookies = setParam(s.cookies, name, value)
		s.removedCookie = without(s.removedCookie, name)
		return nil
	})
}

// WithoutCookie leaves out a cookie that the session sends, from an option or
// from its jar.
func WithoutCookie(name string) Option {
	return option(func(s *settings) error {
		s.cookies = slices.DeleteFunc(slices.Clone(s.cookies), func(p Param) bool { return p.Key == name })
		s.removedCookie = append(slices.Clip(s.removedCookie), name)
		return nil
	})
}

// setParam gives list with name set, never changing list itself.
func setParam(list []Param, name, value string) []Param {
	list = slices.DeleteFunc(slices.Clone(list), func(p Param) bool { return p.Key == name })
	return append(list, Param{Key: name, Value: value})
}

// WithTimeout bounds the whole call: [Timeouts].Total.
func WithTimeout(d time.Duration) Option { return WithTimeouts(Timeouts{Total: d}) }

// WithPhaseTimeout bounds each phase of the call but not the call as a whole: all
// fields of [Timeouts] except Total.
func WithPhaseTimeout(d time.Duration) Option {
	return WithTimeouts(Timeouts{Pool: d, Connect: d, Write: d, Response: d, Read: d})
}

// WithTimeouts sets those timeouts that are not zero.
func WithTimeouts(t Timeouts) Option {
	return option(func(s *settings) error {
		s.timeouts = t.over(s.timeouts)
		return nil
	})
}

// WithExpectTimeout sets how long a request with the header "Expect:
// 100-continue" waits for the server's word before it sends its body all the
// same. Default 1 s ([DefaultExpectTimeout]); [NoTimeout] waits for ever.
func WithExpectTimeout(d time.Duration) Option {
	return option(func(s *settings) error {
		s.expect = d
		return nil
	})
}

// WithMaxBodyBytes bounds the response's body, counted after decoding. A larger
// one is ErrBodyTooLarge. Zero or less: no bound, the default.
func WithMaxBodyBytes(n int64) Option {
	return option(func(s *settings) error {
		if s.maxBody = n; n <= 0 {
			s.maxBody = -1
		}
		return nil
	})
}

// WithDecompression(false) gives bodies as they came, without decoding their
// Content-Encoding, and asks for none.
//
// By default a session asks for gzip, deflate, br and zstd, and what
// [WithContentCoding] has added, and decodes the answers to that, up to four codings
// on top of each other; the header then lacks Content-Encoding and Content-Length, and
// [Response].Uncompressed is set. What came in any other coding, what a caller's own
// Accept-Encoding has asked for, and a part of a content (206) stays as it came. Data
// that is cut short, corrupt, or followed by other data is ErrDecoding; only what
// follows gzip is dropped, as browsers do. A decoder holds at most 32 KiB of a body for
// gzip and deflate, 8 MiB for zstd (RFC 9659) and 16 MiB for br, as far as the body
// wants them.
func WithDecompression(on bool) Option {
	return option(func(s *settings) error {
		s.raw = chosen(!on)
		return nil
	})
}

// WithInformational calls f for each 1xx answer (other than 101) that comes before
// the response, such as 103 Early Hints, on the goroutine that sends the request.
// f must not keep the header. It is called after the Got1xxResponse of an
// [net/http/httptrace.ClientTrace] in the context, which can end the call.
func WithInformational(f func(status int, header http.Header)) Option {
	return option(func(s *settings) error {
		s.inform = f
		return nil
	})
}

// WithAttribute attaches a value to the request for middleware to read with
// [Request.Attribute]. It is not sent. Like a context's, the key should be of a
// type of the caller's own.
func WithAttribute(key, value any) Option {
	comparable := key != nil && reflect.ValueOf(key).Comparable()
	return option(func(s *settings) error {
		if !comparable {
			return failed("WithAttribute needs a key that can be compared, not %T", key)
		}
		s.attrs = &attribute{key, value, s.attrs}
		return nil
	})
}

// WithRoute sets the label that [Request.Route] gives.
func WithRoute(label string) RequestOption { return WithAttribute(routeKey{}, label) }

// requestConfig is what the options of one request say.
type requestConfig struct {
	settings
	body     Body
	host     string
	target   string
	trailers []Trailer
	download *DownloadConfig // nil: not said
}

// WithBody sets the body.
func WithBody(b Body) RequestOption {
	return requestOption(func(r *requestConfig) error {
		r.body = b
		return nil
	})
}

func withBody(b Body, err error) RequestOption {
	return requestOption(func(r *requestConfig) error {
		r.body = b
		return err
	})
}

// WithXML sends v as XML: see [XMLBody].
func WithXML(v any) RequestOption { return withBody(XMLBody(v)) }

// WithForm sends v as an HTML form does: see [FormBody].
func WithForm(v any) RequestOption { return withBody(FormBody(v)) }

// WithBytes sends b, without a content type. b must not be changed until the
// request has ended.
func WithBytes(b []byte) RequestOption { return WithBody(BytesBody(b, "")) }

// WithReader sends what r reads: see [ReaderBody].
func WithReader(r io.Reader) RequestOption {
	return WithBody(ReaderBody(r))
}

// WithBodyFile sends the file at path: see [FileBody].
func WithBodyFile(path string) RequestOption { return withBody(FileBody(path)) }

// WithTrailer sends a trailer after a body of unknown length; value is called
// when the body has been sent. A request with trailers is always sent in chunks.
func WithTrailer(name string, value func() string) RequestOption {
	return requestOption(func(r *requestConfig) error {
		if value == nil {
			return failed("trailer %q: no function for its value", name)
		}
		if err := h1.CheckField(name, ""); err != nil {
			return because(ErrInvalidHeader, err)
		}
		r.trailers = append(slices.Clip(r.trailers), Trailer{textproto.CanonicalMIMEHeaderKey(name), value})
		return nil
	})
}

// WithRequestMiddleware puts middleware around this request, inside that of its
// session: it sees the call once, whatever happens below. The first is the outermost.
func WithRequestMiddleware(m ...Middleware) RequestOption {
	return requestOption(func(r *requestConfig) error {
		if hasNil(m) {
			return failed("WithRequestMiddleware needs middleware, not nil")
		}
		r.conduct.middleware = joined(r.conduct.middleware, m)
		return nil
	})
}

// WithHost sets the Host header of this request; it is not where the request
// goes, and nothing is remembered of it.
func WithHost(host string) RequestOption {
	return requestOption(func(r *requestConfig) error {
		if !h1.ValidHost(host) {
			return because(ErrInvalidHeader, errors.New("WithHost takes a host with or without a port"))
		}
		r.host = host
		return nil
	})
}

// WithTarget sets the request target byte for byte in place of the URL's path and
// query, such as "*" for OPTIONS or a path that must not be normalised.
func WithTarget(target string) RequestOption {
	return requestOption(func(r *requestConfig) error {
		r.target = target
		return nil
	})
}

// checkCookie refuses a cookie that cannot be sent.
func checkCookie(name, value string) error {
	if err := cookieFault(name, value); err != nil {
		return because(ErrInvalidHeader, err)
	}
	return nil
}

// cookieFault says what could end the cookie or the header (RFC 6265bis, section
// 4.1.1).
func cookieFault(name, value string) error {
	bad := func(s, chars string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(chars, r) })
	}
	if name == "" || bad(name, ` ;,="`) {
		return errors.New("a cookie's name must be a token")
	}
	if bad(value, ";") {
		return fmt.Errorf("the value of cookie %q has a semicolon or a control byte", quoteBad(name, 32))
	}
	return nil
}
