package parley_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// answering is a transport that keeps the request and answers 200 by itself.
func answering(sent **parley.Request) parley.Transport {
	return parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		*sent = req
		return &parley.Response{StatusCode: 200, Status: "200 OK"}, nil
	})
}

// does is a transport that is a function of nothing.
func does(f func() (*parley.Response, error)) parley.Transport {
	return parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { return f() })
}

// noting is middleware that writes down what passes.
func noting(log *[]string, name string) parley.Middleware {
	return func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			*log = append(*log, name+" >")
			resp, err := next.Send(ctx, req)
			*log = append(*log, name+" <")
			return resp, err
		})
	}
}

func TestTransport_anyOfThemCanBePutInThePoolsPlace(t *testing.T) {
	t.Parallel()
	var sent *parley.Request
	c := newSession(t, parley.WithTransport(answering(&sent)), parley.WithBaseURL("http://a.test/v1"), parley.WithHeader("X-A", "1"))
	for name, call := range map[string]func() (*parley.Response, error){
		"Get":    func() (*parley.Response, error) { return c.Get(t.Context(), "x") },
		"Stream": func() (*parley.Response, error) { return c.Stream(t.Context(), "GET", "x") },
		"with a limit": func() (*parley.Response, error) {
			return c.Stream(t.Context(), "GET", "x", parley.WithTimeout(time.Minute), parley.WithMaxBodyBytes(1))
		},
	} {
		resp, err := call()
		require.NoError(t, err, name)
		require.Equal(t, "http://a.test/v1/x", sent.URL.String(), name)
		require.Equal(t, "1", sent.Header.Get("X-A"), name)
		require.NotNil(t, resp.Body, name)
		require.Equal(t, "http://a.test/v1/x", resp.Request.URL.String(), name)
		content, err := resp.Bytes()
		require.NoError(t, err, name)
		require.Empty(t, content, name)
		require.NoError(t, resp.Err(), name)
		require.NoError(t, resp.Close(), name)
		require.Zero(t, resp.Timing().Pool, name)
	}
	require.Nil(t, c.Pool())
	require.Zero(t, c.Stats())
	require.Equal(t, "<Client http://a.test/v1>", c.String())
}

func TestTransport_aPoolCanBeSharedBySessionsAndOutlivesThem(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	pool, err := parley.NewPool(parley.PoolConfig{Limits: parley.PoolLimits{Hard: 1}, Dialer: wiretest.NewNames(map[string]string{"a.test:80": s.Addr()})})
	require.NoError(t, err)
	for range 2 {
		c, err := parley.New(parley.WithTransport(pool))
		require.NoError(t, err)
		require.Equal(t, "/x", textOf(t, c, "http://a.test/x"))
		require.Same(t, pool, c.Pool())
		require.NoError(t, c.Close())
	}
	req, err := parley.NewRequest("GET", "http://a.test/alone")
	require.NoError(t, err)
	resp, err := pool.Send(t.Context(), req)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "/alone", text, "a pool alone is a transport too")
	require.Contains(t, s.Text(), lines("GET /alone HTTP/1.1", "Host: a.test"))
	require.Equal(t, 1, s.Accepted())
	require.NoError(t, pool.Close())
	_, err = pool.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrClientClosed)
}

func TestTransport_middlewareIsCalledFromTheOutsideToTheNetwork(t *testing.T) {
	t.Parallel()
	var log []string
	c := newSession(t, parley.WithBaseURL("http://a.test"),
		parley.WithTransport(does(func() (*parley.Response, error) {
			log = append(log, "transport")
			return &parley.Response{StatusCode: 200}, nil
		})),
		parley.WithNetworkMiddleware(noting(&log, "n1"), noting(&log, "n2")),
		parley.WithMiddleware(noting(&log, "s1"), noting(&log, "s2")))
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "s1 > s2 > n1 > n2 > transport n2 < n1 < s2 < s1 <", strings.Join(log, " "))

	log = nil
	child := derive(t, c, parley.WithMiddleware(noting(&log, "s3")), parley.WithNetworkMiddleware(noting(&log, "n3")))
	_, err = child.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "s1 > s2 > s3 > n1 > n2 > n3 > transport n3 < n2 < n1 < s3 < s2 < s1 <", strings.Join(log, " "))
}

// Session middleware sees the call as the user does, network middleware what goes
// over the wire.
func TestTransport_networkMiddlewareSeesCookiesAndCodedBodies(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return answer(gzipped(t, "plain"), "Content-Encoding: gzip", "Set-Cookie: a=1")
	}))
	var cookies, codings []string
	look := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			resp, err := next.Send(ctx, req)
			if err == nil {
				cookies = append(cookies, req.Header.Get("Cookie"))
				codings = append(codings, resp.Header.Get("Content-Encoding"))
			}
			return resp, err
		})
	}
	c := sessionTo(t, s, parley.WithMiddleware(look), parley.WithNetworkMiddleware(look))
	for range 2 {
		require.Equal(t, "plain", textOf(t, c, "x"))
	}
	require.Equal(t, []string{"", "", "a=1", ""}, cookies)
	require.Equal(t, []string{"gzip", "", "gzip", ""}, codings)
}

func TestTransport_middlewareMayAnswerByItself(t *testing.T) {
	t.Parallel()
	own := func(parley.Transport) parley.Transport {
		return does(func() (*parley.Response, error) {
			return &parley.Response{StatusCode: 503, Status: "503 Own", ContentLength: -1, Body: io.NopCloser(strings.NewReader("own"))}, nil
		})
	}
	empty := func(parley.Transport) parley.Transport {
		return does(func() (*parley.Response, error) { return &parley.Response{StatusCode: 503, Status: "503 Own"}, nil })
	}
	for name, opt := range map[string]parley.ClientOption{
		"session": parley.WithMiddleware(own), "network": parley.WithNetworkMiddleware(own),
		"session, without a body": parley.WithMiddleware(empty), "network, without a body": parley.WithNetworkMiddleware(empty),
	} {
		c := newSession(t, opt, parley.WithBaseURL("http://a.test"))
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err, name)
		text, err := resp.Text()
		require.NoError(t, err, name)
		if strings.Contains(name, "without") {
			require.Empty(t, text, name)
		} else {
			require.Equal(t, "own", text, name)
		}
		require.EqualError(t, resp.Err(), "GET http://a.test/x: status 503 Own", name)
		_, err = parley.As[string](c.Stream(t.Context(), "GET", "x"))
		require.EqualError(t, err, "GET http://a.test/x: status 503 Own", name)
		require.Zero(t, c.Stats().Dials, name)
	}
}

func TestTransport_neitherAResponseNorAnErrorIsAnError(t *testing.T) {
	t.Parallel()
	nothing := does(func() (*parley.Response, error) { return nil, nil })
	for name, opt := range map[string]parley.ClientOption{
		"transport":          parley.WithTransport(nothing),
		"middleware":         parley.WithMiddleware(func(parley.Transport) parley.Transport { return nothing }),
		"network middleware": parley.WithNetworkMiddleware(func(parley.Transport) parley.Transport { return nothing }),
	} {
		c := newSession(t, opt)
		for call, err := range map[string]error{
			"Get":    second(c.Get(t.Context(), "http://a.test/x")),
			"Stream": second(c.Stream(t.Context(), "GET", "http://a.test/x")),
		} {
			require.ErrorContains(t, err, "GET http://a.test/x: ", "%s, %s", name, call)
			require.ErrorContains(t, err, "neither a response nor an error", "%s, %s", name, call)
			require.ErrorAs(t, err, new(*parley.Error), "%s, %s", name, call)
		}
	}
}

func second(_ *parley.Response, err error) error { return err }

func TestTransport_foreignErrorsBecomeErrorsThatSayWhatWasCalled(t *testing.T) {
	t.Parallel()
	own := errors.New("own failure\nof two lines")
	c := newSession(t, parley.WithTransport(does(func() (*parley.Response, error) { return nil, own })))
	_, err := c.Get(t.Context(), "http://me:secret@a.test/x?key=secret")
	require.ErrorIs(t, err, own)
	require.EqualError(t, err, `GET http://a.test/x?...: own failure\nof two lines`)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.MaybeSent, e.Sent, "nobody knows")
	require.Equal(t, "GET", e.Method)
	require.Nil(t, e.URL.User)
	require.False(t, e.Timeout())

	mine := &parley.Error{Op: "own", Method: "GET", Sent: parley.NotSent, Err: parley.ErrProxy}
	c = newSession(t, parley.WithTransport(does(func() (*parley.Response, error) { return nil, mine })))
	_, err = c.Get(t.Context(), "http://a.test/x")
	require.Same(t, mine, err, "one that is there already is not wrapped again")
}

func TestTransport_aBodyThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	c := newSession(t, parley.WithTransport(does(func() (*parley.Response, error) {
		return &parley.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(io.MultiReader(strings.NewReader("some"), failingReader{broken}))}, nil
	})))
	_, err := c.Get(t.Context(), "http://a.test/x")
	require.ErrorIs(t, err, broken)
	require.ErrorAs(t, err, new(*parley.Error))
	resp, err := c.Stream(t.Context(), "GET", "http://a.test/x")
	require.NoError(t, err)
	content, err := resp.Bytes()
	require.ErrorIs(t, err, broken)
	require.Empty(t, content)
}

// hesitant gives nothing on every other read, as readers may.
type hesitant struct {
	r    io.Reader
	give bool
}

func (s *hesitant) Read(p []byte) (int, error) {
	if s.give = !s.give; s.give {
		return 0, nil
	}
	return s.r.Read(p)
}

func TestTransport_aBodyThatIsLongerThanAnnouncedIsAnError(t *testing.T) {
	t.Parallel()
	for announced, fails := range map[int64]bool{-1: false, 4: false, 3: true} {
		c := newSession(t, parley.WithTransport(does(func() (*parley.Response, error) {
			body := &hesitant{r: iotest.OneByteReader(strings.NewReader("body"))}
			return &parley.Response{StatusCode: 200, ContentLength: announced, Body: io.NopCloser(body)}, nil
		})))
		resp, err := c.Get(t.Context(), "http://a.test/x")
		if fails {
			require.ErrorContains(t, err, "GET http://a.test/x: unexpected EOF: more than the announced 3 bytes")
			continue
		}
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "body", text)
	}
}

func TestTransport_totalAndCancellationReachIt(t *testing.T) {
	t.Parallel()
	waits := parley.TransportFunc(func(ctx context.Context, _ *parley.Request) (*parley.Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c := newSession(t, parley.WithTransport(waits))
	_, err := c.Get(t.Context(), "http://a.test/x", parley.WithTimeout(time.Millisecond))
	require.ErrorIs(t, err, parley.ErrTotalTimeout)
	require.NotErrorIs(t, err, context.Canceled)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Timeout())
	require.Equal(t, time.Millisecond, e.Limit)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Get(ctx, "http://a.test/x")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, parley.ErrTimeout)
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = c.Get(ctx, "http://a.test/x")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, parley.ErrTotalTimeout)
}

// Middleware works on copies, so that the same request can be sent again.
func TestTransport_middlewareChangesACopy(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	sign := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			changed, err := req.With(parley.WithHeader("X-Signed", req.Method+" "+req.URL.Path), parley.WithQuery("t", "1"), parley.WithoutHeader("X-A"))
			if err != nil {
				return nil, err
			}
			return next.Send(ctx, changed)
		})
	}
	c := sessionTo(t, s, bare, parley.WithHeader("X-A", "1"), parley.WithQuery("q", "1"), parley.WithNetworkMiddleware(sign))
	req, err := c.NewRequest("GET", "x")
	require.NoError(t, err)
	for range 2 {
		before := s.Text()
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, lines("GET /x?q=1&t=1 HTTP/1.1", "Host: "+s.Addr(), "X-Signed: GET /x"), strings.TrimPrefix(s.Text(), before))
		require.Equal(t, http.Header{"X-A": {"1"}}, req.Header)
		require.Equal(t, "q=1", req.URL.RawQuery)
	}
}

// Middleware decides how a call is made, here by host: through which proxy, with which TLS,
// to which address, within which time.
func TestTransport_middlewareOverridesHowACallIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := wiretest.NewProxy(t, w.names, "")
	other := wiretest.NewAuthority(t)
	strange := wiretest.ServeTLS(t, other.Server(t, "c.test"), telling("strange"))
	silent := wiretest.Serve(t, (*wiretest.Conn).Hold)
	ways := map[string]parley.RequestOption{
		"a.test": parley.WithOptions(parley.WithProxy(proxy.URL()), parley.WithRootCAs(rootsOf(t, w.ca))),
		"c.test": parley.WithOptions(parley.WithRootCAs(rootsOf(t, other)), parley.WithResolve("c.test:443", strange.Addr())),
		"d.test": parley.WithOptions(parley.WithDialer(wiretest.NewNames(map[string]string{"d.test:80": silent.Addr()})),
			parley.WithTimeouts(parley.Timeouts{Response: short})),
	}
	byHost := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			own, known := ways[req.URL.Hostname()]
			if !known {
				return next.Send(ctx, req)
			}
			changed, err := req.With(own)
			if err != nil {
				return nil, err
			}
			return next.Send(ctx, changed)
		})
	}
	for place, opt := range map[string]parley.ClientOption{
		"around the call":     parley.WithMiddleware(byHost),
		"next to the network": parley.WithNetworkMiddleware(byHost),
	} {
		t.Run(place, func(t *testing.T) {
			asked := len(proxy.Asked())
			c := newSession(t, opt)
			require.Equal(t, "a.test/", textOf(t, c, "https://a.test/"))
			require.Equal(t, []string{"CONNECT a.test:443"}, proxy.Asked()[asked:])
			require.Equal(t, "strange c.test /", textOf(t, c, "https://c.test/"))
			_, err := c.Get(t.Context(), "http://d.test/")
			require.ErrorIs(t, err, parley.ErrResponseTimeout)
		})
	}
}

func TestTransport_attributesAreReadInMiddlewareAndNotSent(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	type key string
	var seen []any
	look := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			seen = append(seen, req.Attribute(key("op")), req.Attribute(key("team")), req.Attribute("op"))
			return next.Send(ctx, req)
		})
	}
	c := sessionTo(t, s, bare, parley.WithMiddleware(look), parley.WithAttribute(key("team"), "library"), parley.WithAttribute(key("op"), "any"))
	require.Equal(t, lines("GET /x HTTP/1.1", "Host: "+s.Addr()), wireOf(t, s, c, "x", parley.WithAttribute(key("op"), "list")))
	wireOf(t, s, c, "x")
	require.Equal(t, []any{"list", "library", nil, "any", "library", nil}, seen)
}
