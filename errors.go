package parley

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/urls"
)

// kind is a sentinel that belongs to wider ones, so that errors.Is(err,
// ErrTimeout) also holds for an ErrConnectTimeout.
type kind struct {
	text  string
	wider error
}

func (k *kind) Error() string { return k.text }

func (k *kind) Is(target error) bool {
	return k.wider != nil && errors.Is(k.wider, target)
}

// The kinds of failure. Every error of this package matches one or more of them
// with [errors.Is]:
//
//	ErrTimeout              also os.ErrDeadlineExceeded
//	    ErrPoolTimeout      no connection came free within Timeouts.Pool
//	    ErrConnectTimeout   DNS, TCP, proxy and TLS took longer than Timeouts.Connect
//	    ErrWriteTimeout     the peer took no byte for Timeouts.Write
//	    ErrResponseTimeout  no whole response head within Timeouts.Response
//	    ErrReadTimeout      no byte of the body for Timeouts.Read
//	    ErrTooSlow          the body came slower than WithMinThroughput allows
//	    ErrTotalTimeout     the call took longer than Timeouts.Total, or than its context allows
//	ErrNetwork
//	    ErrConnect          name not found, connection refused, network unreachable, …
//	        ErrAddressRefused   by WithDialGuard
//	    ErrConnClosed       a Conn that can carry no more requests
//	    ErrRead             the connection failed while reading
//	    ErrWrite            the connection failed while writing
//	    ErrPeerClosed       the peer closed the connection instead of answering
//	ErrProtocol
//	    ErrLocalProtocol    the request cannot be put into HTTP
//	        ErrInvalidHeader    a header name, header value or method is malformed
//	    ErrRemoteProtocol   the answer is no HTTP, or breaks its rules or limits
//	ErrProxy                no way through the proxy, with the kind of what failed there; see ProxyError
//	ErrTLS                  the handshake failed, by the server's certificate or otherwise
//	    ErrPublicKeyPin     the server has none of the pinned keys
//	ErrLimited              held back by WithRateLimit, WithServerLimits or WithAdaptiveConcurrency,
//	                        the latter after Timeouts.Pool, with ErrPoolTimeout
//	ErrUnsupportedProtocol, ErrInvalidURL, ErrTooManyRedirects,
//	ErrInsecureRedirect, ErrRedirectRefused, ErrBodyNotRewindable, ErrDecoding,
//	ErrBodyTooLarge, ErrIntegrity, ErrAuth, ErrClientClosed
//	ErrInvalidCookie, ErrNoCookie, ErrAmbiguousCookie, ErrCookieFile: see Jar
//
// Where a RetryPolicy was at work, a *RetryError between Error and kind tells of the
// tries; errors.Is looks through it.
//
// A cancelled context matches [context.Canceled], a context's own deadline
// [context.DeadlineExceeded] beside ErrTotalTimeout. The errors of net, tls and
// x509 beneath stay reachable with [errors.As].
var (
	ErrTimeout         error = &kind{text: "timeout", wider: os.ErrDeadlineExceeded}
	ErrPoolTimeout     error = &kind{text: "pool timeout", wider: ErrTimeout}
	ErrConnectTimeout  error = &kind{text: "connect timeout", wider: ErrTimeout}
	ErrWriteTimeout    error = &kind{text: "write timeout", wider: ErrTimeout}
	ErrResponseTimeout error = &kind{text: "response timeout", wider: ErrTimeout}
	ErrReadTimeout     error = &kind{text: "read timeout", wider: ErrTimeout}
	ErrTooSlow         error = &kind{text: "transfer too slow", wider: ErrTimeout}
	ErrTotalTimeout    error = &kind{text: "total timeout", wider: ErrTimeout}

	ErrNetwork    error = &kind{text: "network error"}
	ErrConnect    error = &kind{text: "cannot connect", wider: ErrNetwork}
	ErrConnClosed error = &kind{text: "connection is closed", wider: ErrNetwork}
	ErrRead       error = &kind{text: "read failed", wider: ErrNetwork}
	ErrWrite      error = &kind{text: "write failed", wider: ErrNetwork}
	ErrPeerClosed error = &kind{text: "peer closed the connection", wider: ErrNetwork}

	ErrAddressRefused error = &kind{text: "address refused", wider: ErrConnect}

	ErrProtocol       error = &kind{text: "protocol error"}
	ErrLocalProtocol  error = &kind{text: "invalid request", wider: ErrProtocol}
	ErrInvalidHeader  error = &kind{text: "invalid header", wider: ErrLocalProtocol}
	ErrRemoteProtocol error = &kind{text: "invalid response", wider: ErrProtocol}

	ErrProxy               error = &kind{text: "proxy failed"}
	ErrTLS                 error = &kind{text: "TLS failed"}
	ErrPublicKeyPin        error = &kind{text: "public key is not pinned", wider: ErrTLS}
	ErrLimited             error = &kind{text: "held back by a limit"}
	ErrUnsupportedProtocol error = &kind{text: "unsupported protocol"}
	ErrInvalidURL          error = &kind{text: "invalid URL"}
	ErrTooManyRedirects    error = &kind{text: "too many redirects"}
	ErrInsecureRedirect    error = &kind{text: "redirect from https to http"}
	ErrRedirectRefused     error = &kind{text: "redirect refused"}
	ErrBodyNotRewindable   error = &kind{text: "request body cannot be sent again"}
	ErrDecoding            error = &kind{text: "cannot decode the body"}
	ErrBodyTooLarge        error = &kind{text: "body too large"}
	ErrIntegrity           error = &kind{text: "the content is not what its digest says"}
	ErrAuth                error = &kind{text: "authentication failed"}
	ErrPageLoop            error = &kind{text: "pages lead back to one that was read"}
	ErrClientClosed        error = &kind{text: "client is closed"}

	ErrInvalidCookie   error = &kind{text: "invalid cookie"}
	ErrNoCookie        error = &kind{text: "no such cookie"}
	ErrAmbiguousCookie error = &kind{text: "several such cookies"}
	ErrCookieFile      error = &kind{text: "damaged cookie file"}
)

// errInvalidOption is wrapped by every error about an option's value.
var errInvalidOption = errors.New("invalid option")

// Sent says whether the server can have seen a request that failed. Whatever is
// not known for certain is MaybeSent, which is also the zero value.
type Sent uint8

const (
	MaybeSent Sent = iota // some of the request was written; the server may have acted on it
	NotSent               // no byte of the request was written: the server cannot have seen it
	Answering             // the server began to answer
)

// or gives what is so of a request that was sent twice: the server can have seen it if it
// can have seen either.
func (s Sent) or(other Sent) Sent {
	switch {
	case s == NotSent:
		return other
	case other == NotSent:
		return s
	}
	return max(s, other)
}

// String gives "maybe sent", "not sent" or "answering".
func (s Sent) String() string {
	switch s {
	case NotSent:
		return "not sent"
	case Answering:
		return "answering"
	default:
		return "maybe sent"
	}
}

// Phase is the part of a call in which it failed.
type Phase string

// The phases of a call, in their order.
const (
	PhaseRequest  Phase = "request"  // building the request: URL, options, body
	PhaseLimit    Phase = "limit"    // waiting for limits that let it go out
	PhasePool     Phase = "pool"     // waiting for a connection
	PhaseConnect  Phase = "connect"  // DNS, TCP, proxy, TLS
	PhaseWrite    Phase = "write"    // sending the request
	PhaseResponse Phase = "response" // waiting for the response head
	PhaseRead     Phase = "read"     // reading the response body
	PhaseDecode   Phase = "decode"   // decoding the body
	PhaseRedirect Phase = "redirect" // following a redirect
	PhaseAuth     Phase = "auth"     // proving who sends the request
	PhaseRetry    Phase = "retry"    // waiting for another try
)

// Error is what every failed call returns. Ask it with [errors.Is] for one of
// the kinds (see [ErrTimeout]), with [errors.As] for the fields. It implements
// [net.Error].
//
// Its text never bears credentials: URL has no user information, and the query is
// left out of the text. Bytes that came from the peer are quoted and cut.
type Error struct {
	Op      string        // what was done: "send", "read", "build", …
	Method  string        // of the request
	URL     *url.URL      // of the request, without user information; nil if there was none yet
	Phase   Phase         // where it failed
	Sent    Sent          // whether the server can have seen the request, by any of its tries
	Attempt int           // 1 for the first try; 0 if nothing was tried
	Elapsed time.Duration // since the call began
	Limit   time.Duration // the timeout that was passed; 0 if it was none
	Err     error         // the kind and the cause
}

// maxErrorText bounds the text of an error, whatever a peer or a user's own
// error put into it.
const maxErrorText = 700

// Error gives one line of printable ASCII: method, URL, phase, kind and cause.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Method != "" {
		b.WriteString(quoteBad(e.Method, 32))
		if e.URL != nil {
			b.WriteByte(' ')
		}
	}
	if e.URL != nil {
		b.WriteString(urls.Redacted(e.URL))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Phase != "" {
		b.WriteString(string(e.Phase))
		b.WriteString(": ")
	}
	if e.Err == nil { // made by somebody else
		b.WriteString("no cause was given")
	} else {
		b.WriteString(quoteBad(e.Err.Error(), maxErrorText))
	}
	return b.String()
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a time limit ended the call.
func (e *Error) Timeout() bool { return errors.Is(e.Err, ErrTimeout) }

// Temporary is there for net.Error and says the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// quoteBad makes s one line of printable ASCII of at most n bytes.
func quoteBad(s string, n int) string {
	bad := func(r rune) bool { return r < ' ' || r > '~' }
	if len(s) > n {
		s = s[:n] + "..."
	}
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	q := strconv.QuoteToASCII(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	if len(q) > n {
		q = q[:n] + "..."
	}
	return q
}

// cause joins a kind with what is beneath. Its text is the kind's, with detail
// and cause after it.
type cause struct {
	kind   error
	detail string
	err    error // may be nil
}

func (c *cause) Error() string {
	s := c.kind.Error()
	if c.detail != "" {
		s += " " + c.detail
	}
	if c.err != nil {
		s += ": " + c.err.Error()
	}
	return s
}

func (c *cause) Unwrap() []error {
	if c.err == nil {
		return []error{c.kind}
	}
	return []error{c.kind, c.err}
}

func because(kind, err error) error { return &cause{kind: kind, err: err} }

func timedOut(kind error, limit time.Duration, err error) error {
	c := &cause{kind: kind, err: err}
	if limit > 0 {
		c.detail = "after " + limit.String()
	}
	return c
}

// contextError turns the end of a context into what callers match: Canceled, or
// a total timeout that is also DeadlineExceeded.
func contextError(ctx context.Context) error {
	err := context.Cause(ctx)
	if t := (*totalTimeout)(nil); errors.As(err, &t) {
		return t
	}
	plain := ctx.Err()
	if plain == nil {
		plain = context.Canceled
	}
	if err != nil && !errors.Is(err, plain) {
		err = fmt.Errorf("%w: %w", plain, err)
	} else {
		err = plain
	}
	if errors.Is(plain, context.DeadlineExceeded) {
		return because(ErrTotalTimeout, err)
	}
	return err
}

// totalOf gives the Total that was passed if that is what err says, else 0.
func totalOf(err error) time.Duration {
	if t := (*totalTimeout)(nil); errors.As(err, &t) {
		return t.limit
	}
	return 0
}

// totalTimeout is the cause with which a call's own context ends when
// Timeouts.Total has passed.
type totalTimeout struct{ limit time.Duration }

func (t *totalTimeout) Error() string        { return "total timeout after " + t.limit.String() }
func (t *totalTimeout) Is(target error) bool { return errors.Is(ErrTotalTimeout, target) }

// buildError is a failure before anything was sent.
func buildError(method string, u *url.URL, err error) *Error {
	return &Error{Op: "build", Method: method, URL: withoutUser(u), Phase: PhaseRequest, Sent: NotSent, Err: err}
}

func withoutUser(u *url.URL) *url.URL {
	if u == nil || u.User == nil {
		return u
	}
	v := *u
	v.User = nil
	return &v
}

// urlError gives an error of package urls its kind.
func urlError(err error) error {
	if s := (*urls.SchemeError)(nil); errors.As(err, &s) {
		return because(ErrUnsupportedProtocol, err)
	}
	return because(ErrInvalidURL, err)
}
