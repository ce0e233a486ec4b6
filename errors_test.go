package parley_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// kinds are all sentinels, each with those that it also is.
var kinds = map[error][]error{
	parley.ErrTimeout:             {os.ErrDeadlineExceeded},
	parley.ErrPoolTimeout:         {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrConnectTimeout:      {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrWriteTimeout:        {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrResponseTimeout:     {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrReadTimeout:         {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrTotalTimeout:        {parley.ErrTimeout, os.ErrDeadlineExceeded},
	parley.ErrNetwork:             nil,
	parley.ErrConnect:             {parley.ErrNetwork},
	parley.ErrRead:                {parley.ErrNetwork},
	parley.ErrWrite:               {parley.ErrNetwork},
	parley.ErrPeerClosed:          {parley.ErrNetwork},
	parley.ErrProtocol:            nil,
	parley.ErrLocalProtocol:       {parley.ErrProtocol},
	parley.ErrInvalidHeader:       {parley.ErrLocalProtocol, parley.ErrProtocol},
	parley.ErrRemoteProtocol:      {parley.ErrProtocol},
	parley.ErrProxy:               nil,
	parley.ErrTLS:                 nil,
	parley.ErrPublicKeyPin:        {parley.ErrTLS},
	parley.ErrUnsupportedProtocol: nil,
	parley.ErrInvalidURL:          nil,
	parley.ErrTooManyRedirects:    nil,
	parley.ErrInsecureRedirect:    nil,
	parley.ErrBodyNotRewindable:   nil,
	parley.ErrDecoding:            nil,
	parley.ErrBodyTooLarge:        nil,
	parley.ErrPageLoop:            nil,
	parley.ErrClientClosed:        nil,
}

func TestErrors_formATree(t *testing.T) {
	t.Parallel()
	for kind, wider := range kinds {
		within := fmt.Errorf("wrapped: %w", &parley.Error{Op: "send", Err: fmt.Errorf("%w: %w", kind, io.EOF)})
		for other := range kinds {
			is := other == kind || contains(wider, other)
			require.Equal(t, is, errors.Is(kind, other), "%v is %v", kind, other)
			require.Equal(t, is, errors.Is(within, other), "%v is %v", within, other)
		}
		require.Equal(t, contains(wider, os.ErrDeadlineExceeded), errors.Is(kind, os.ErrDeadlineExceeded), kind)
		require.NotErrorIs(t, kind, context.DeadlineExceeded)
		require.ErrorIs(t, within, io.EOF, "the cause stays reachable")
		require.Regexp(t, `^[A-Za-z ]+$`, kind.Error())
	}
}

func contains(list []error, err error) bool {
	for _, e := range list {
		if e == err {
			return true
		}
	}
	return false
}

// failure is what a failing call says of itself.
type failure struct {
	kind  error
	also  []error
	phase parley.Phase
	sent  parley.Sent
	text  string // after method and URL
}

// requireFailure checks an error for GET URL/x?key=SECRET.
func requireFailure(t *testing.T, err error, base string, want failure) {
	t.Helper()
	require.ErrorIs(t, err, want.kind)
	for _, also := range want.also {
		require.ErrorIs(t, err, also)
	}
	for kind := range kinds {
		if kind != want.kind && !contains(kinds[want.kind], kind) && !contains(want.also, kind) {
			require.NotErrorIs(t, err, kind)
		}
	}
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, []any{want.phase, want.sent, "GET", "SECRET"}, []any{e.Phase, e.Sent, e.Method, e.URL.Query().Get("key")})
	require.Nil(t, e.URL.User)
	require.Positive(t, e.Elapsed)
	require.Equal(t, errors.Is(err, parley.ErrTimeout), e.Timeout())
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.Equal(t, e.Timeout(), ne.Timeout())
	require.Equal(t, e.Timeout(), e.Temporary())
	text := err.Error()
	require.True(t, strings.HasPrefix(text, "GET "+base+"/x?...: "+string(want.phase)+": "+want.text), text)
	require.NotContains(t, text, "SECRET")
	require.NotContains(t, text, "\n")
}

// Whoever gets an error can tell what went wrong, where, and whether the server can
// have seen the request.
func TestErrors_ofEveryFailureNameKindPhaseAndWhatWasSent(t *testing.T) {
	t.Parallel()
	say := func(text string) func(*wiretest.Conn) {
		return func(c *wiretest.Conn) {
			if _, err := c.ReadRequest(); err == nil {
				c.Say(text)
			}
		}
	}
	reset := func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err == nil {
			c.Reset()
		}
	}
	hold := func(text string) func(*wiretest.Conn) {
		return func(c *wiretest.Conn) {
			if _, err := c.ReadRequest(); err == nil && c.Say(text) {
				c.Hold()
			}
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
	soon := []parley.RequestOption{parley.WithTimeouts(parley.Timeouts{Response: 20 * time.Millisecond})}
	later := []parley.RequestOption{parley.WithTimeouts(parley.Timeouts{Response: 250 * time.Millisecond})}
	soonBody := []parley.RequestOption{parley.WithTimeouts(parley.Timeouts{Read: 20 * time.Millisecond})}
	for name, test := range map[string]struct {
		script func(*wiretest.Conn)
		opts   []parley.RequestOption
		want   failure
	}{
		"closed instead of an answer": {say(""), nil, failure{parley.ErrPeerClosed, []error{io.ErrUnexpectedEOF}, "response", parley.MaybeSent, "peer closed the connection"}},
		"reset instead of an answer":  {reset, nil, failure{parley.ErrPeerClosed, []error{parley.ErrRead, syscall.ECONNRESET}, "response", parley.MaybeSent, "read failed: "}},
		"closed within the head":      {say("HTTP/1.1 200"), nil, failure{parley.ErrPeerClosed, []error{io.ErrUnexpectedEOF}, "response", parley.Answering, "peer closed the connection"}},
		"closed within the body":      {say(head + "\r\nbody"), nil, failure{parley.ErrRead, []error{io.ErrUnexpectedEOF}, "read", parley.Answering, "read failed: "}},
		"no HTTP":                     {say("SSH-2.0-OpenSSH_9.9\r\n"), nil, failure{parley.ErrRemoteProtocol, nil, "response", parley.Answering, `invalid response: `}},
		"a malformed header":          {say("HTTP/1.1 200 OK\r\nA B: c\r\n\r\n"), nil, failure{parley.ErrRemoteProtocol, nil, "response", parley.Answering, `invalid response: `}},
		"a malformed chunk":           {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), nil, failure{parley.ErrRemoteProtocol, nil, "read", parley.Answering, `invalid response: `}},
		"no answer":                   {hold(""), soon, failure{parley.ErrResponseTimeout, nil, "response", parley.MaybeSent, "response timeout after 20ms"}},
		"half an answer":              {hold("HTTP/1.1 200"), later, failure{parley.ErrResponseTimeout, nil, "response", parley.Answering, "response timeout after 250ms"}},
		"half a body":                 {hold(head + "\r\nbody"), soonBody, failure{parley.ErrReadTimeout, nil, "read", parley.Answering, "read timeout after 20ms"}},
		"too slow as a whole": {
			hold(head + "\r\nbody"), []parley.RequestOption{parley.WithTimeout(250 * time.Millisecond)},
			failure{parley.ErrTotalTimeout, nil, "read", parley.Answering, "total timeout after 250ms"},
		},
		"a body over the limit": {say(head + "\r\nlong body"), []parley.RequestOption{parley.WithMaxBodyBytes(8)}, failure{parley.ErrBodyTooLarge, nil, "read", parley.Answering, "body too large: more than the allowed 8 bytes"}},
		"a body that is no gzip": {
			say(head + "Content-Encoding: gzip\r\n\r\nlong body"), nil, failure{parley.ErrDecoding, nil, "decode", parley.Answering, "cannot decode the body: gzip: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, test.script)
			c := newSession(t, parley.WithBaseURL(strings.Replace(s.URL(), "//", "//me:SECRET@", 1)))
			_, err := c.Get(t.Context(), "x?key=SECRET", test.opts...)
			requireFailure(t, err, s.URL(), test.want)
			require.Zero(t, c.Stats().Active)
		})
	}
}

func TestErrors_beforeARequestIsSentSayThatItWasNot(t *testing.T) {
	t.Parallel()
	authority, stranger := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	secure := wiretest.ServeTLS(t, authority.Server(t), wiretest.Echo())
	silent := wiretest.Serve(t, (*wiretest.Conn).Hold)
	refused := wiretest.Serve(t, wiretest.Echo())
	refused.Close()
	limits := parley.WithTimeouts(parley.Timeouts{Connect: 20 * time.Millisecond})
	for name, test := range map[string]struct {
		base string
		opts []parley.ClientOption
		want failure
		as   any
	}{
		"refused":      {refused.URL(), nil, failure{parley.ErrConnect, []error{syscall.ECONNREFUSED}, "connect", parley.NotSent, "cannot connect: "}, new(*net.OpError)},
		"unknown name": {"http://a.test", []parley.ClientOption{parley.WithDialer(wiretest.NewNames(nil))}, failure{parley.ErrConnect, nil, "connect", parley.NotSent, "cannot connect: "}, new(*net.DNSError)},
		"not trusted": {
			secure.URL(), []parley.ClientOption{parley.WithTLSConfig(stranger.Trusted())}, failure{parley.ErrTLS, nil, "connect", parley.NotSent, "TLS failed: "},
			new(x509.UnknownAuthorityError),
		},
		"no handshake": {"https://" + silent.Addr(), []parley.ClientOption{limits}, failure{parley.ErrConnectTimeout, nil, "connect", parley.NotSent, "connect timeout after 20ms"}, nil},
		"no TLS":       {"https://" + wiretest.Serve(t, func(c *wiretest.Conn) { c.Say("HTTP/1.1 400 Bad\r\n\r\n") }).Addr(), nil, failure{parley.ErrTLS, nil, "connect", parley.NotSent, "TLS failed: "}, nil},
	} {
		c := newSession(t, append(test.opts, parley.WithBaseURL(test.base))...)
		_, err := c.Get(t.Context(), "x?key=SECRET")
		requireFailure(t, err, test.base, test.want)
		if test.as != nil {
			require.ErrorAs(t, err, test.as, name)
		}
		require.Equal(t, int64(1), c.Stats().DialErrors, name)
	}
}

func TestErrors_ofThePoolSayWhatItIsBusyWith(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}), parley.WithTimeouts(parley.Timeouts{Pool: 20 * time.Millisecond}))
	held, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "x?key=SECRET")
	requireFailure(t, err, s.URL(), failure{
		parley.ErrPoolTimeout, nil, "pool", parley.NotSent,
		"pool timeout after 20ms: 1 of 1 connections to " + s.Addr() + " in use, 1 waiting",
	})
	require.NoError(t, held.Close())
}

func TestError_textIsOneLineOfPrintableASCII(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("http://me:SECRET@a.test/p?key=SECRET#f")
	require.NoError(t, err)
	for want, e := range map[string]*parley.Error{
		"GET http://a.test/p?...: read: network error":        {Op: "send", Method: "GET", URL: u, Phase: parley.PhaseRead, Err: parley.ErrNetwork},
		"GET: request: invalid URL":                           {Op: "build", Method: "GET", Phase: parley.PhaseRequest, Err: parley.ErrInvalidURL},
		"http://a.test/p?...: network error":                  {URL: u, Err: parley.ErrNetwork},
		"network error":                                       {Err: parley.ErrNetwork},
		`G\nT http://a.test/p?...: two\nlines\x00 "\u00e9"`:   {Method: "G\nT", URL: u, Err: errors.New("two\nlines\x00 \"é\"")},
		"GET http://a.test/p?...: read: no cause was given":   {Op: "send", Method: "GET", URL: u, Phase: parley.PhaseRead},
		strings.Repeat("M", 32) + "...: request: long method": {Method: strings.Repeat("M", 99), Phase: parley.PhaseRequest, Err: errors.New("long method")},
	} {
		require.EqualError(t, e, want)
		require.Equal(t, want, fmt.Sprintf("%v", e))
		require.NotContains(t, fmt.Sprintf("%+v %s %q", e, e, e), "SECRET")
	}
	require.Equal(t, []string{"not sent", "maybe sent", "answering"},
		[]string{parley.NotSent.String(), parley.MaybeSent.String(), parley.Answering.String()})
	long := &parley.Error{Method: "GET", Err: errors.New(strings.Repeat("a", 5000))}
	require.Less(t, len(long.Error()), 1000)
	var unknown parley.Error
	require.Equal(t, parley.MaybeSent, unknown.Sent, "what is unknown may have been sent")
	require.False(t, unknown.Timeout())
}
