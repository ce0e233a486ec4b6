package parley_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// tripper is a function as an http.RoundTripper.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// netHTTP is net/http's transport with the names given.
func netHTTP(t testing.TB, names *wiretest.Names) *http.Transport {
	t.Helper()
	ht := &http.Transport{DialContext: names.DialContext}
	t.Cleanup(ht.CloseIdleConnections)
	return ht
}

// overNetHTTP is a session through net/http's transport, to a server that is a.test.
func overNetHTTP(t testing.TB, s *wiretest.Server, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	names := wiretest.NewNames(map[string]string{"a.test:80": s.Addr(), "a.test:443": s.Addr()})
	return newSession(t, append([]parley.ClientOption{
		parley.WithBaseURL("http://a.test"), parley.WithTransport(parley.FromRoundTripper(netHTTP(t, names))),
	}, opts...)...)
}

func TestFromRoundTripper_whatIsSentIsWhatThePoolSends(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*parley.Client) (*parley.Response, error){
		"a plain session": func(c *parley.Client) (*parley.Response, error) { return c.Get(t.Context(), "x?y=1") },
		"no headers at all": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "x", parley.WithoutHeader("User-Agent"), parley.WithoutHeader("Accept"), parley.WithHeader("Accept-Encoding", "br"))
		},
		"a body": func(c *parley.Client) (*parley.Response, error) {
			return c.Post(t.Context(), "x", parley.WithText("abc"))
		},
		"an empty POST": func(c *parley.Client) (*parley.Response, error) { return c.Post(t.Context(), "x") },
		"chunks": func(c *parley.Client) (*parley.Response, error) {
			return c.Put(t.Context(), "x", parley.WithReader(inParts()))
		},
		"chunks of a DELETE": func(c *parley.Client) (*parley.Response, error) {
			return c.Delete(t.Context(), "x", parley.WithReader(inParts()))
		},
		"trailers": func(c *parley.Client) (*parley.Response, error) {
			return c.Post(t.Context(), "x", parley.WithText("abc"), parley.WithTrailer("X-T", func() string { return "1" }))
		},
		"a host of its own": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "x", parley.WithHost("b.test:81"))
		},
		"an escaped path": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "a%2Fb/%C3%A9//c;d?q=a+b%20")
		},
		"closing": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "x", parley.WithHeader("Connection", "close"))
		},
		"HEAD": func(c *parley.Client) (*parley.Response, error) { return c.Head(t.Context(), "x") },
		"a range": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "x", parley.WithHeader("Range", "bytes=1-2"))
		},
		"for a proxy, by hand": func(c *parley.Client) (*parley.Response, error) {
			return c.Get(t.Context(), "x", parley.WithHeader("Proxy-Authorization", "secret"))
		},
	}
	head := func(s *wiretest.Server) string {
		head, body, _ := strings.Cut(s.Text(), "\r\n\r\n")
		first, fields, _ := strings.Cut(head, "\r\n")
		byLine := strings.Split(fields, "\r\n")
		slices.Sort(byLine)
		return first + "\n" + strings.Join(byLine, "\n") + "\n\n" + body
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got [2]string
			for i := range got {
				s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
					if r.Method == "HEAD" {
						return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
					}
					return wiretest.OK("ok")
				}))
				c := overNetHTTP(t, s)
				if i == 0 {
					c = newSession(t, parley.WithBaseURL("http://a.test"), parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:80": s.Addr()})))
				}
				resp, err := call(c)
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
				if name != "CONNECT" {
					require.EqualValues(t, 2, resp.ContentLength)
				}
				require.NoError(t, resp.Close())
				got[i] = head(s)
			}
			require.Equal(t, got[0], got[1])
		})
	}
}

// net/http decodes by itself what it has asked for by itself.
func TestFromRoundTripper_rawMeansRaw(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return answer(gzipped(t, "plain"), "Content-Encoding: gzip", "X-Asked: "+r.Header.Get("Accept-Encoding"))
	}))
	c := overNetHTTP(t, s)
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "plain", text)
	require.True(t, resp.Uncompressed)
	for _, opt := range []parley.RequestOption{parley.WithDecompression(false), parley.WithoutHeader("Accept-Encoding")} {
		resp, err = c.Get(t.Context(), "x", opt)
		require.NoError(t, err)
		raw, err := resp.Bytes()
		require.NoError(t, err)
		require.Equal(t, gzipped(t, "plain"), string(raw))
		require.Equal(t, "identity", resp.Header.Get("X-Asked"))
		require.False(t, resp.Uncompressed)
	}
}

func TestFromRoundTripper_refusesWhatItCannotHonour(t *testing.T) {
	t.Parallel()
	sent := 0
	rt := tripper(func(*http.Request) (*http.Response, error) { sent++; return &http.Response{StatusCode: 200}, nil })
	c := newSession(t, parley.WithTransport(parley.FromRoundTripper(rt)))
	tests := map[string]parley.RequestOption{
		"WithTarget":         parley.WithTarget("/raw"),
		"WithHeaderOrder":    parley.WithHeaderOrder("Accept"),
		"WithTLSConfig":      parley.WithTLSConfig(&tls.Config{}),
		"WithClientCert":     parley.WithClientCertFunc(func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }),
		"WithMinTLSVersion":  parley.WithMinTLSVersion(tls.VersionTLS13),
		"WithServerName":     parley.WithServerName("b.test"),
		"WithPublicKeyPins":  parley.WithPublicKeyPins("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		"WithKeyLogFile":     parley.WithKeyLogFile(fileOf(t, "keys")),
		"a proxy":            parley.WithProxy("http://p.test"),
		"WithProxyHeader":    parley.WithProxyHeader("X", "1"),
		"WithProxyTLSConfig": parley.WithProxyTLSConfig(&tls.Config{}),
		"WithExpectTimeout":  parley.WithOptions(parley.WithExpectTimeout(time.Second), parley.WithHeader("Expect", "100-continue")),
	}
	for name, opt := range tests {
		_, err := c.Post(t.Context(), "https://a.test", opt, parley.WithText("x"))
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.ErrorContains(t, err, name)
		requireSent(t, err, parley.NotSent, name)
	}
	_, err := derive(t, c, parley.WithDialer(&net.Dialer{})).Get(t.Context(), "http://a.test")
	require.ErrorContains(t, err, "WithDialer")
	_, err = c.Get(t.Context(), "http://a.test", parley.WithoutProxy())
	require.ErrorIs(t, err, errors.ErrUnsupported, "it may have a proxy")
	require.Zero(t, sent)
	_, err = c.Get(t.Context(), "http://a.test", parley.WithTLSConfig(&tls.Config{}))
	require.NoError(t, err, "there is no TLS to set")

	s := wiretest.Serve(t, wiretest.Echo())
	require.Equal(t, "/x", textOf(t, overNetHTTP(t, s), "x", parley.WithoutProxy()), "an http.Transport without a proxy")
}

func TestFromRoundTripper_proxiesOfTheEnvironmentAreItsOwnBusiness(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://p.test:1")
	s := wiretest.Serve(t, wiretest.Echo())
	require.Equal(t, "/x", textOf(t, overNetHTTP(t, s), "x"))
}

func TestFromRoundTripper_errorsHaveTheirKinds(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	says := func(text string) func(*wiretest.Conn) {
		return func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil {
				c.Say(text)
			}
		}
	}
	closed := wiretest.Serve(t, (*wiretest.Conn).Rest)
	closed.Close()
	mine := errors.New("my own")
	names := wiretest.NewNames(map[string]string{
		"closed.test:80":  closed.Addr(),
		"tls.test:443":    wiretest.ServeTLS(t, authority.Server(t, "tls.test"), wiretest.Echo()).Addr(),
		"plain.test:443":  wiretest.Serve(t, func(c *wiretest.Conn) { c.Say(wiretest.OK("x")) }).Addr(),
		"gone.test:80":    wiretest.Serve(t, says("")).Addr(),
		"reset.test:80":   wiretest.Serve(t, func(c *wiretest.Conn) { c.ReadHead(); c.Reset() }).Addr(),
		"garbage.test:80": wiretest.Serve(t, says("garbage\r\n\r\n")).Addr(),
		"half.test:80":    wiretest.Serve(t, says("HTTP/1.1 200 OK\r\nContent-Le")).Addr(),
		"silent.test:443": wiretest.Serve(t, (*wiretest.Conn).Rest).Addr(),
		"silent.test:80":  wiretest.Serve(t, (*wiretest.Conn).Rest).Addr(),
		"cut.test:80":     wiretest.Serve(t, says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")).Addr(),
		"chunks.test:80":  wiretest.Serve(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")).Addr(),
	})
	plain := netHTTP(t, names)
	proxied := netHTTP(t, names)
	proxied.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "nowhere.test:80"})
	limited := netHTTP(t, names)
	limited.TLSHandshakeTimeout, limited.ResponseHeaderTimeout = 50*time.Millisecond, 50*time.Millisecond
	tests := map[string]struct {
		rt    http.RoundTripper
		url   string
		kind  error
		phase parley.Phase
		sent  parley.Sent
		as    any
	}{
		"a name that is none":      {plain, "http://nowhere.test", parley.ErrConnect, parley.PhaseConnect, parley.NotSent, new(*net.DNSError)},
		"refused":                  {plain, "http://closed.test", parley.ErrConnect, parley.PhaseConnect, parley.NotSent, new(*net.OpError)},
		"an unknown authority":     {plain, "https://tls.test", parley.ErrTLS, parley.PhaseConnect, parley.NotSent, new(x509.UnknownAuthorityError)},
		"no TLS":                   {plain, "https://plain.test", parley.ErrTLS, parley.PhaseConnect, parley.NotSent, nil},
		"no proxy":                 {proxied, "http://a.test", parley.ErrProxy, parley.PhaseConnect, parley.NotSent, new(*net.OpError)},
		"a handshake that is late": {limited, "https://silent.test", parley.ErrConnectTimeout, parley.PhaseConnect, parley.NotSent, nil},
		"a head that is late":      {limited, "http://silent.test", parley.ErrResponseTimeout, parley.PhaseResponse, parley.MaybeSent, nil},
		"no answer":                {plain, "http://gone.test", parley.ErrPeerClosed, parley.PhaseResponse, parley.MaybeSent, nil},
		"a reset":                  {plain, "http://reset.test", parley.ErrPeerClosed, parley.PhaseResponse, parley.MaybeSent, nil},
		"no HTTP":                  {plain, "http://garbage.test", parley.ErrRemoteProtocol, parley.PhaseResponse, parley.Answering, nil},
		"half a head":              {plain, "http://half.test", parley.ErrRemoteProtocol, parley.PhaseResponse, parley.Answering, nil},
		"half a body":              {plain, "http://cut.test", parley.ErrRead, parley.PhaseRead, parley.Answering, nil},
		"one of its own":           {tripper(func(*http.Request) (*http.Response, error) { return nil, mine }), "http://a.test", mine, parley.PhaseResponse, parley.MaybeSent, nil},
		"neither":                  {tripper(func(*http.Request) (*http.Response, error) { return nil, nil }), "http://a.test", nil, parley.PhaseResponse, parley.MaybeSent, nil},
		"a dial error of its own":  {tripper(func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: mine} }), "http://a.test", mine, parley.PhaseConnect, parley.NotSent, nil},
		"chunks that are none":     {plain, "http://chunks.test", parley.ErrRead, parley.PhaseRead, parley.Answering, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newSession(t, parley.WithTransport(parley.FromRoundTripper(test.rt)))
			_, err := c.Get(t.Context(), test.url)
			require.Error(t, err)
			if test.kind != nil {
				require.ErrorIs(t, err, test.kind)
			}
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.phase, e.Phase, err)
			require.Equal(t, test.sent, e.Sent, err)
			require.Equal(t, 1, e.Attempt)
			if test.as != nil {
				require.ErrorAs(t, err, test.as)
			}
		})
	}
}

func TestFromRoundTripper_connectAndPoolHaveTheirLimits(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/hold" {
			c.Hold()
		}
		return wiretest.OK("x")
	}))
	over := make(chan struct{}) // net/http lets a dial go on
	defer close(over)
	stuck := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		httptrace.ContextClientTrace(ctx).ConnectStart("tcp", "a.test:80")
		<-over
		return nil, errors.New("never")
	}}
	c := newSession(t, parley.WithTransport(parley.FromRoundTripper(stuck)))
	_, err := c.Get(t.Context(), "http://a.test", parley.WithTimeouts(parley.Timeouts{Connect: 30 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrConnectTimeout)
	requireSent(t, err, parley.NotSent, "there was no connection")

	one := netHTTP(t, wiretest.NewNames(map[string]string{"a.test:80": s.Addr()}))
	one.MaxConnsPerHost = 1
	c = newSession(t, parley.WithTransport(parley.FromRoundTripper(one)))
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan error, 1)
	go func() {
		_, err := c.Get(ctx, "http://a.test/hold")
		held <- err
	}()
	wiretest.Eventually(t, func() bool { return strings.Contains(s.Text(), "/hold") }, "the first request arrives")
	_, err = c.Get(t.Context(), "http://a.test/x", parley.WithTimeouts(parley.Timeouts{Pool: 30 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	requireSent(t, err, parley.NotSent, "there was no connection")
	cancel()
	require.ErrorIs(t, <-held, context.Canceled)
}

// The limits also hold for what tells nothing of itself and ignores its context but
// for the bodies that it is given.
func TestFromRoundTripper_limitsHoldForAnyOfThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Second
		out, in := io.Pipe()
		rt := tripper(func(r *http.Request) (*http.Response, error) {
			switch r.URL.Path {
			case "/wait":
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			case "/reads":
				defer r.Body.Close()
				time.Sleep(2 * limit)
				return nil, errors.New("gave up")
			}
			return &http.Response{StatusCode: 200, Status: "200 OK", ContentLength: -1, Body: out}, nil
		})
		c, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithTransport(parley.FromRoundTripper(rt)), parley.WithPhaseTimeout(limit))
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Get(t.Context(), "wait")
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		_, err = c.Get(t.Context(), "wait", parley.WithTimeout(limit/2))
		require.ErrorIs(t, err, parley.ErrTotalTimeout)
		require.NotErrorIs(t, err, parley.ErrResponseTimeout)
		_, err = c.Post(t.Context(), "reads", parley.WithText("x"))
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		require.ErrorContains(t, err, "gave up")
		go in.Write([]byte("x"))
		_, err = c.Get(t.Context(), "body")
		require.ErrorIs(t, err, parley.ErrReadTimeout)
		synctest.Wait()
	})
}

func TestFromRoundTripper_aPanicPassesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	body := closing{strings.NewReader("x"), func() { close(closed) }}
	rt := tripper(func(*http.Request) (*http.Response, error) { panic("oh") })
	for name, opts := range map[string][]parley.RequestOption{
		"plain":          {parley.WithReader(body)},
		"with informing": {parley.WithInformational(func(int, http.Header) {})},
	} {
		c := newSession(t, parley.WithTransport(parley.FromRoundTripper(rt)))
		require.PanicsWithValue(t, "oh", func() { _, _ = c.Post(t.Context(), "http://a.test", opts...) }, name)
	}
	<-closed
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 103 Early Hints\r\n\r\n" + wiretest.OK("x")
	}))
	require.PanicsWithValue(t, "told", func() {
		_, _ = overNetHTTP(t, s).Get(t.Context(), "x", parley.WithInformational(func(int, http.Header) { panic("told") }))
	})
}

// closing is a reader that calls f when it is closed.
type closing struct {
	io.Reader
	f func()
}

func (c closing) Close() error {
	c.f()
	return nil
}

func TestFromRoundTripper_anUpgradeIsAConnection(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, upgrades(switching))
	c := overNetHTTP(t, s, parley.WithPhaseTimeout(passes))
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := c.Stream(ctx, "GET", "x", asksForEcho)
	require.NoError(t, err)
	echoes(t, resp.Body)
	cancel()
	conn, err := resp.Conn()
	require.NoError(t, err)
	echoes(t, conn)
	require.Equal(t, s.Addr(), conn.RemoteAddr().String())
	require.NotNil(t, conn.LocalAddr())
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "timeout")
	require.NoError(t, conn.Close())
}

// What rt holds may be secret.
func TestFromRoundTripper_printsWithoutWhatIsInIt(t *testing.T) {
	t.Parallel()
	type secretive struct {
		http.RoundTripper
		Token string
	}
	for _, v := range []any{
		parley.FromRoundTripper(&secretive{Token: "geheim"}), parley.AsRoundTripper(parley.FromRoundTripper(&secretive{Token: "geheim"})),
		parley.HandlerTransport(http.StripPrefix("geheim", nil)),
	} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			require.NotContains(t, fmt.Sprintf(form, v), "geheim", form)
		}
	}
}

func TestS168_headersOfAConnectionAreNotTakenOverFromHTTP2(t *testing.T) {
	t.Parallel()
	header := http.Header{"Connection": {"x"}, "Keep-Alive": {"x"}, "Proxy-Connection": {"x"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "X-A": {"1"}}
	for major, want := range map[int]int{2: 1, 1: len(header)} {
		rt := tripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ProtoMajor: major, Header: header.Clone()}, nil
		})
		resp, err := newSession(t, parley.WithTransport(parley.FromRoundTripper(rt))).Get(t.Context(), "http://a.test")
		require.NoError(t, err)
		require.Len(t, resp.Header, want)
		require.Equal(t, "1", resp.Header.Get("X-A"))
	}
}

func TestFromRoundTripper_connectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/moved" {
			return "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nmoved"
		}
		return "HTTP/1.1 204 No Content\r\n\r\n"
	}))
	c := overNetHTTP(t, s)
	for range 30 {
		_, err := c.Put(t.Context(), "x", parley.WithText("content"))
		require.NoError(t, err)
		_, err = c.Get(t.Context(), "moved")
		require.NoError(t, err)
	}
	// net/http takes a connection back on a goroutine of its own, so that now and then the
	// next of these 90 requests comes too early and dials.
	require.Less(t, s.Accepted(), 10)
}

// net/http sends a request that is marked as safe again by GetBody, as the pool does by
// Open.
func TestFromRoundTripper_bodiesThatCanBeOpenedAgainAreSentAgain(t *testing.T) {
	t.Parallel()
	for again, body := range map[bool]func() parley.Body{
		true:  func() parley.Body { return parley.BytesBody([]byte("content"), "") },
		false: func() parley.Body { return parley.ReaderBody(io.MultiReader(strings.NewReader("content"))) },
	} {
		s := wiretest.Serve(t, leavesAtReuse(1, leave))
		c := overNetHTTP(t, s)
		put := func() error {
			_, err := c.Put(t.Context(), "x", parley.WithBody(body()), parley.WithHeader("Idempotency-Key", "1"), parley.WithTrailer("X-T", func() string { return "t" }))
			return err
		}
		require.NoError(t, put())
		err := put()
		require.Equal(t, again, err == nil, err)
	}
}

func TestFromRoundTripper_aPeerThatTakesNothingIsLate(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Hold()
		}
	})
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	_, err := overNetHTTP(t, s).Post(t.Context(), "x", parley.WithReader(endless), parley.WithTimeouts(parley.Timeouts{Write: 50 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrWriteTimeout)
	requireSent(t, err, parley.MaybeSent, "some of it was taken")
}

// A URL that was written field by field goes out as the pool would write it.
func TestFromRoundTripper_urlsWrittenByHandAreEscaped(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"a.test:80": s.Addr()})
	transport := parley.FromRoundTripper(netHTTP(t, names))
	req, err := parley.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	req.URL.Path, req.URL.RawQuery = "/a b", "q=ü x"
	resp, err := transport.Send(t.Context(), req)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "/a%20b?q=%C3%BC%20x", text)
	idle, ok := transport.(interface{ CloseIdleConnections() })
	require.True(t, ok)
	idle.CloseIdleConnections()
	_, err = transport.Send(t.Context(), nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}
