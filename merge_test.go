package parley_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// setting is one kind of value that a session, a derived session and a request may
// have, and a way to see what of it is in a request.
type setting struct {
	with    func(value string) parley.Option
	without parley.Option
	of      func(*parley.Request) string
}

var settings = map[string]setting{
	"header": {
		func(v string) parley.Option { return parley.WithHeader("X-A", v) }, parley.WithoutHeader("X-A"),
		func(r *parley.Request) string { return r.Header.Get("X-A") },
	},
	"header by another spelling": {
		func(v string) parley.Option { return parley.WithHeaders(http.Header{"x-a": {v}}) }, parley.WithoutHeader("x-A"),
		func(r *parley.Request) string { return r.Header.Get("X-A") },
	},
	"parameter": {
		func(v string) parley.Option { return parley.WithQuery("a", v) }, parley.WithoutQuery("a"),
		func(r *parley.Request) string { return strings.TrimPrefix(r.URL.RawQuery, "a=") },
	},
	"parameter without values": {
		func(v string) parley.Option { return parley.WithParams(map[string]string{"a": v}) }, parley.WithQuery("a"),
		func(r *parley.Request) string { return strings.TrimPrefix(r.URL.RawQuery, "a=") },
	},
	"cookie": {
		func(v string) parley.Option { return parley.WithCookie("a", v) }, parley.WithoutCookie("a"),
		func(r *parley.Request) string { return strings.TrimPrefix(r.Header.Get("Cookie"), "a=") },
	},
}

// Every kind of value follows the same rules, and the same word removes it.
func TestMerge_theLaterWordWins(t *testing.T) {
	t.Parallel()
	const none, remove = "", "-"
	for name, s := range settings {
		opts := func(word string) []parley.Option {
			switch word {
			case none:
				return nil
			case remove:
				return []parley.Option{s.without}
			}
			return []parley.Option{s.with(word)}
		}
		for _, test := range []struct{ session, derived, request, want string }{
			{none, none, none, ""},
			{"1", none, none, "1"},
			{"1", "2", none, "2"},
			{"1", "2", "3", "3"},
			{"1", none, "3", "3"},
			{none, none, "3", "3"},
			{none, "2", "3", "3"},
			{"1", remove, none, ""},
			{"1", remove, "3", "3"},
			{"1", none, remove, ""},
			{"1", "2", remove, ""},
			{none, none, remove, ""},
			{remove, "2", none, "2"},
		} {
			session := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithOptions(opts(test.session)...))
			derived := derive(t, session, parley.WithOptions(opts(test.derived)...))
			req, err := derived.NewRequest("GET", "x", parley.WithOptions(opts(test.request)...))
			require.NoError(t, err)
			require.Equal(t, test.want, s.of(req), "%s: %+v", name, test)

			// A request made without a session gets the session's values when it is sent.
			alone, err := parley.NewRequest("GET", "http://a.test/x", parley.WithOptions(opts(test.request)...))
			require.NoError(t, err)
			require.Equal(t, test.want, s.of(sentBy(t, derived, alone)), "%s: %+v, made alone", name, test)
			require.Equal(t, strings.Trim(test.request, "-"), s.of(alone), "sending changes nothing in it")
		}
	}
}

// sentBy gives the request as it comes to the transport.
func sentBy(t testing.TB, c *parley.Client, req *parley.Request) *parley.Request {
	t.Helper()
	var sent *parley.Request
	through := derive(t, c, parley.WithTransport(answering(&sent)))
	resp, err := through.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	return sent
}

func TestMerge_aRequestsWordHoldsForThatRequestOnly(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare,
		parley.WithHeaders(http.Header{"X-A": {"1", "2"}}), parley.WithQuery("a", "1"), parley.WithCookie("a", "1"),
		parley.WithPath("v", "v1"), parley.WithHeaderOrder("x-a"))
	want := lines("GET /v1/x?a=1 HTTP/1.1", "Host: "+s.Addr(), "x-a: 1", "x-a: 2", "Cookie: a=1")
	require.Equal(t, want, wireOf(t, s, c, "{v}/x"))
	for name, opts := range map[string][]parley.RequestOption{
		"replaced": {
			parley.WithHeader("X-A", "other"), parley.WithQuery("a", "other"), parley.WithCookie("a", "other"),
			parley.WithPath("v", "other"), parley.WithHeaderOrder("other"),
		},
		"removed": {parley.WithoutHeader("X-A"), parley.WithoutQuery("a"), parley.WithoutCookie("a")},
		"added":   {parley.WithHeader("X-B", "1"), parley.WithQuery("b", "1"), parley.WithCookie("b", "1")},
	} {
		require.NotEqual(t, want, wireOf(t, s, c, "{v}/x", opts...), name)
		require.Equal(t, want, wireOf(t, s, c, "{v}/x"), "after a request with values %s", name)
		child := derive(t, c)
		require.NotEqual(t, want, wireOf(t, s, child, "{v}/x", opts...), name)
		require.Equal(t, want, wireOf(t, s, child, "{v}/x"), name)
	}
}

// A request that was prepared is the caller's: whatever is done to it reaches neither
// the session nor another request.
func TestMerge_aPreparedRequestIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare, parley.WithHeaders(http.Header{"X-A": {"1", "2"}}), parley.WithQuery("a", "1"), parley.WithHeaderOrder("X-A"))
	shared := parley.WithHeaders(http.Header{"X-B": {"1"}})
	want := wireOf(t, s, c, "x", shared)
	change := func(req *parley.Request, err error) {
		require.NoError(t, err)
		for name := range req.Header {
			req.Header[name][0] = "changed"
		}
		for i := range req.HeaderOrder {
			req.HeaderOrder[i] = "X-B"
		}
		req.Header.Add("X-A", "added")
		req.URL.RawQuery, req.URL.Host = "changed", "b.test"
	}
	change(c.NewRequest("GET", "x", shared))
	change(c.NewRequest("GET", "x"))
	change(parley.NewRequest("GET", s.URL()+"/x", shared))
	require.Equal(t, want, wireOf(t, s, c, "x", shared))
}

func TestMerge_aRequestIsMergedOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return answer("", "Set-Cookie: jar=of-the-second")
	}))
	first := sessionTo(t, s, bare, parley.WithHeader("X-A", "first"), parley.WithQuery("a", "first"), parley.WithCookie("a", "first"), parley.WithTimeout(time.Minute))
	second := sessionTo(t, s, parley.WithHeader("X-A", "second"), parley.WithHeader("X-B", "second"), parley.WithQuery("b", "second"),
		parley.WithCookie("b", "second"), parley.WithTimeout(time.Hour), parley.WithAttribute("key", "second"))
	_, err := second.Get(t.Context(), "fill")
	require.NoError(t, err)
	req, err := first.NewRequest("GET", "x")
	require.NoError(t, err)
	host := "Host: " + s.Addr()
	for range 2 {
		before := s.Text()
		resp, err := second.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, lines("GET /x?a=first HTTP/1.1", host, "Cookie: jar=of-the-second; a=first", "X-A: first"),
			strings.TrimPrefix(s.Text(), before), "nothing of the second session but its jar")
		require.Nil(t, resp.Request.Attribute("key"))
	}
	require.Equal(t, time.Minute, req.Timeouts.Total)
	require.Equal(t, "a=first", req.Header.Get("Cookie"), "sending changes nothing")
}

func TestMerge_aRequestMadeAloneGetsTheSessionsValuesWhereverItIsSent(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	host := "Host: " + s.Addr()
	req, err := parley.NewRequest("GET", s.URL()+"/x?q=1", parley.WithHeader("X-A", "own"), parley.WithCookie("a", "own"), parley.WithoutHeader("User-Agent"))
	require.NoError(t, err)
	for _, name := range []string{"one", "two"} {
		c := sessionTo(t, s, parley.WithoutHeader("Accept"), parley.WithoutHeader("Accept-Encoding"),
			parley.WithHeader("X-A", name), parley.WithHeader("X-B", name), parley.WithQuery("q", name), parley.WithQuery("r", name),
			parley.WithCookie("a", name), parley.WithCookie("b", name))
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		received := s.Received()
		require.Equal(t, lines("GET /x?q=1&r="+name+" HTTP/1.1", host, "Cookie: a=own; b="+name, "X-A: own", "X-B: "+name), received[len(received)-1])
	}
	require.Equal(t, "/x?q=1", req.URL.RequestURI())
}

func TestMerge_aRequestMayBeChangedBetweenPreparingAndSending(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, bare, parley.WithHeader("X-A", "1"))
	req, err := c.NewRequest("GET", "x?a=1")
	require.NoError(t, err)
	req.Method, req.URL.Path, req.URL.RawQuery = "PUT", "/y", "b=2"
	req.Header.Set("X-A", "2")
	req.Header["X-B"] = []string{"3", "4"}
	req.Body = parley.BytesBody([]byte("hi"), "")
	req.HeaderOrder = []string{"x-b"}
	for range 2 {
		before := s.Text()
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, lines("PUT /y?b=2 HTTP/1.1", "Host: "+s.Addr(), "x-b: 3", "x-b: 4", "X-A: 2", "Content-Length: 2")+"hi",
			strings.TrimLeft(strings.TrimPrefix(s.Text(), before), "\x00"))
	}
}

func TestMerge_oneRequestMayBeSentByManyAtOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return answer(r.Method+" "+r.RequestURI+" "+r.Header.Get("X-A")+" "+string(r.Content), "Set-Cookie: c=1")
	}))
	c := sessionTo(t, s, parley.WithHeader("X-A", "1"), parley.WithQuery("q", "1"), parley.WithPoolLimits(parley.PoolLimits{Hard: 8}))
	prepared, err := c.NewRequest("PUT", "x", parley.WithText("body"))
	require.NoError(t, err)
	alone, err := parley.NewRequest("PUT", s.URL()+"/x", parley.WithText("body"))
	require.NoError(t, err)
	var calls sync.WaitGroup
	for i := range 50 {
		req := []*parley.Request{prepared, alone}[i%2]
		calls.Go(func() {
			resp, err := c.Send(t.Context(), req)
			if !assert.NoError(t, err) {
				return
			}
			text, err := resp.Text()
			assert.NoError(t, err)
			assert.Equal(t, "PUT /x?q=1 1 body", text)
		})
	}
	calls.Wait()
}

// Only what is harmless goes along to another origin, unless it is trusted.
func TestMerge_anotherOriginGetsOnlyWhatIsHarmless(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	names := wiretest.NewNames(map[string]string{
		"a.test:80": s.Addr(), "b.test:80": s.Addr(), "a.test:8080": s.Addr(), "uploads.test:80": s.Addr(),
	})
	session := []parley.ClientOption{
		parley.WithDialer(names), parley.WithBaseURL("http://me:secret@a.test/v1?key=secret"), parley.WithTrustedOrigins("http://uploads.test"),
		parley.WithHeaders(http.Header{
			"Accept": {"text/plain"}, "Accept-Language": {"en"}, "User-Agent": {"own"}, "X-Api-Key": {"secret"}, "Authorization": {"secret"},
			"Content-Type": {"secret"}, "Range": {"bytes=0-1"}, "Referer": {"secret"}, "Cookie": {"sid=secret"},
		}),
		parley.WithQuery("token", "secret"), parley.WithCookie("own", "secret"), parley.WithTimeout(time.Minute),
	}
	c := newSession(t, session...)
	harmless := []string{"Accept: text/plain", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en", "User-Agent: own"}
	foreign := func(host string, more ...string) string {
		return lines(append([]string{"GET /x HTTP/1.1", "Host: " + host}, append(harmless, more...)...)...)
	}
	sent := func(ref string, opts ...parley.RequestOption) string {
		c.Pool().CloseIdle()
		return wireOf(t, s, c, ref, opts...)
	}
	require.Equal(t, foreign("b.test"), sent("http://b.test/x"))
	require.Equal(t, foreign("a.test:8080"), sent("http://a.test:8080/x"), "another port is another origin")
	require.Equal(t, foreign("b.test", "X-Api-Key: for b"), sent("http://b.test/x", parley.WithHeader("X-Api-Key", "for b")), "what the request says goes")
	for _, ref := range []string{"http://a.test/x", "http://A.test:80/x", "http://uploads.test/x"} {
		got := sent(ref)
		require.Contains(t, got, "GET /x?token=secret HTTP/1.1\r\n", ref)
		require.Contains(t, got, "\r\nX-Api-Key: secret\r\n", ref)
		require.Contains(t, got, "\r\nCookie: sid=secret; own=secret\r\n", ref)
	}
	req, err := c.NewRequest("GET", "http://b.test/x")
	require.NoError(t, err)
	require.Equal(t, time.Minute, req.Timeouts.Total, "limits hold everywhere")
	alone, err := parley.NewRequest("GET", "http://b.test/x")
	require.NoError(t, err)
	require.Equal(t, req.Header, sentBy(t, c, alone).Header)
	require.Equal(t, "http://b.test/x", sentBy(t, c, alone).URL.String())

	everywhere := newSession(t, append(session, parley.WithBaseURL("http://b.test"))...)
	req, err = everywhere.NewRequest("GET", "http://b.test/x")
	require.NoError(t, err)
	require.Equal(t, "secret", req.Header.Get("X-Api-Key"), "the origin is that of the base URL in force")
}

func TestMerge_withoutABaseURLTheSessionsValuesGoEverywhere(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithHeader("X-A", "1"), parley.WithQuery("a", "1"))
	for _, host := range []string{"http://a.test", "https://b.test"} {
		req, err := c.NewRequest("GET", host)
		require.NoError(t, err)
		require.Equal(t, host+"/?a=1", req.URL.String())
		require.Equal(t, "1", req.Header.Get("X-A"))
	}
}

func TestMerge_parameters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		base, ref string
		session   []parley.ClientOption
		request   []parley.RequestOption
		want      string
	}{
		"in the order in which they were given": {
			session: []parley.ClientOption{parley.WithQuery("z", "1"), parley.WithQuery("a", "2")},
			request: []parley.RequestOption{parley.WithQuery("y", "3"), parley.WithQuery("b", "4")}, want: "z=1&a=2&y=3&b=4",
		},
		"a replaced one stays in its place": {
			session: []parley.ClientOption{parley.WithQuery("z", "1"), parley.WithQuery("a", "2")},
			request: []parley.RequestOption{parley.WithQuery("z", "3", "4")}, want: "z=3&z=4&a=2",
		},
		"what is written stays byte for byte": {
			ref: "x?b=%7e&c=a%20b&d=+&&e", request: []parley.RequestOption{parley.WithQuery("a", "~ +")}, want: "b=%7e&c=a%20b&d=+&&e&a=~+%2B",
		},
		"what is written wins over the session": {
			ref: "x?a=1", session: []parley.ClientOption{parley.WithQuery("a", "2"), parley.WithQuery("b", "3")}, want: "a=1&b=3",
		},
		"what is written stays beside the request's": {
			ref: "x?a=1", request: []parley.RequestOption{parley.WithQuery("a", "2")}, want: "a=1&a=2",
		},
		"those of the base URL are the session's": {
			base: "?a=1&b=2", request: []parley.RequestOption{parley.WithQuery("a", "3")}, want: "b=2&a=3",
		},
		"a request removes one of the base URL": {
			base: "?a=1&b=2", request: []parley.RequestOption{parley.WithoutQuery("a")}, want: "b=2",
		},
		"a session removes one of the base URL": {
			base: "?a=1&b=2", session: []parley.ClientOption{parley.WithoutQuery("a")}, want: "b=2",
		},
		"a space as the session says": {
			session: []parley.ClientOption{parley.WithQueryStyle(parley.QueryPercent), parley.WithQuery("a", "b c")},
			request: []parley.RequestOption{parley.WithQuery("d", "e f")}, want: "a=b%20c&d=e%20f",
		},
		"a space as the request says": {
			session: []parley.ClientOption{parley.WithQueryStyle(parley.QueryPercent), parley.WithQuery("a", "b c")},
			request: []parley.RequestOption{parley.WithQueryStyle(parley.QueryPlus)}, want: "a=b+c",
		},
		"empty values are sent": {request: []parley.RequestOption{parley.WithQuery("a", "")}, want: "a="},
	} {
		c := newSession(t, append(test.session, parley.WithBaseURL("http://a.test"+test.base))...)
		req, err := c.NewRequest("GET", test.ref, test.request...)
		require.NoError(t, err, name)
		require.Equal(t, test.want, req.URL.RawQuery, name)
	}
}

func TestMerge_settingsOfTheRequestWin(t *testing.T) {
	t.Parallel()
	type key struct{}
	tell := func(int, http.Header) {}
	c := newSession(t, parley.WithBaseURL("http://a.test"),
		parley.WithTimeouts(parley.Timeouts{Pool: 1, Read: 2}), parley.WithExpectTimeout(3), parley.WithMaxBodyBytes(4),
		parley.WithHeaderOrder("A"), parley.WithAttribute(key{}, "session"), parley.WithAttribute("other", "session"))
	plain, err := c.NewRequest("GET", "x")
	require.NoError(t, err)
	require.Equal(t, []any{time.Duration(1), time.Duration(2), parley.DefaultWriteTimeout, time.Duration(3), int64(4), []string{"A"}, "session"},
		[]any{plain.Timeouts.Pool, plain.Timeouts.Read, plain.Timeouts.Write, plain.ExpectTimeout, plain.MaxBodyBytes, plain.HeaderOrder, plain.Attribute(key{})})
	require.Nil(t, plain.OnInformational)

	opts := []parley.RequestOption{
		parley.WithTimeouts(parley.Timeouts{Read: 20, Total: 50}), parley.WithExpectTimeout(30), parley.WithMaxBodyBytes(0),
		parley.WithHeaderOrder("B"), parley.WithAttribute(key{}, "request"), parley.WithInformational(tell),
	}
	req, err := c.NewRequest("GET", "x", opts...)
	require.NoError(t, err)
	alone, err := parley.NewRequest("GET", "http://a.test/x", opts...)
	require.NoError(t, err)
	for _, r := range []*parley.Request{req, sentBy(t, c, alone)} {
		require.Equal(t, []any{time.Duration(1), time.Duration(20), time.Duration(50), time.Duration(30), []string{"B"}, "request", "session"},
			[]any{r.Timeouts.Pool, r.Timeouts.Read, r.Timeouts.Total, r.ExpectTimeout, r.HeaderOrder, r.Attribute(key{}), r.Attribute("other")})
		require.Negative(t, r.MaxBodyBytes, "no bound")
		require.NotNil(t, r.OnInformational)
	}
}

func TestMerge_TLSOfTheRequestWins(t *testing.T) {
	t.Parallel()
	trusted, stranger := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, trusted.Server(t), wiretest.Echo())
	c := sessionTo(t, s, parley.WithTLSConfig(stranger.Trusted()))
	_, err := c.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrTLS)
	require.Equal(t, "/x", textOf(t, c, "x", parley.WithTLSConfig(trusted.Trusted())))
	_, err = c.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrTLS, "for that one request only")
	require.Equal(t, "/x", textOf(t, derive(t, c, parley.WithTLSConfig(trusted.Trusted())), "x"))
}
