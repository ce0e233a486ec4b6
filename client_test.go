package parley_test

import (
	"context"
	"errors"
	"fmt"
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

// answer is an answer of 200 with content and further header lines.
func answer(content string, header ...string) string {
	return lines(append([]string{"HTTP/1.1 200 OK", fmt.Sprintf("Content-Length: %d", len(content))}, header...)...) + content
}

// lines is the head of a message.
func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n\r\n" }

// wireOf gives what a GET makes the server read, as text. The session's only
// connection is the server's latest.
func wireOf(t testing.TB, s *wiretest.Server, c *parley.Client, ref string, opts ...parley.RequestOption) string {
	t.Helper()
	before := s.Text()
	_, err := c.Get(t.Context(), ref, opts...)
	require.NoError(t, err)
	return strings.TrimPrefix(strings.TrimPrefix(s.Text(), before), "\x00")
}

func TestClient_sendsFewHeadersByItselfAndEachCanBeReplacedOrRemoved(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	host := "Host: " + s.Addr()
	agent := "User-Agent: " + sessionTo(t, s).Header().Get("User-Agent")
	require.Regexp(t, `^User-Agent: parley/\d+\.\d+\.\d+$`, agent)
	for name, test := range map[string]struct {
		opts []parley.Option
		want string
	}{
		"defaults": {nil, lines("GET /x HTTP/1.1", host, "Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd", agent)},
		"replaced": {
			[]parley.Option{parley.WithHeader("user-agent", "own/1"), parley.WithHeader("ACCEPT", "text/html"), parley.WithHeader("Accept-Encoding", "br")},
			lines("GET /x HTTP/1.1", host, "Accept: text/html", "Accept-Encoding: br", "User-Agent: own/1"),
		},
		"removed": {
			[]parley.Option{parley.WithoutHeader("user-agent"), parley.WithoutHeader("Accept"), parley.WithoutHeader("Accept-Encoding")},
			lines("GET /x HTTP/1.1", host),
		},
		"several values": {
			[]parley.Option{bare, parley.WithHeaders(http.Header{"X-A": {"1", "2"}, "x-b": {"3"}})},
			lines("GET /x HTTP/1.1", host, "X-A: 1", "X-A: 2", "X-B: 3"),
		},
	} {
		option := parley.WithOptions(test.opts...)
		require.Equal(t, test.want, wireOf(t, s, sessionTo(t, s, option), "x"), "%s, by the session", name)
		require.Equal(t, test.want, wireOf(t, s, sessionTo(t, s), "x", option), "%s, by the request", name)
	}
}

// verb is a method of a session that sends a request.
type verb = func(*parley.Client, context.Context, string, ...parley.RequestOption) (*parley.Response, error)

var verbs = map[string]verb{
	"GET": (*parley.Client).Get, "HEAD": (*parley.Client).Head, "OPTIONS": (*parley.Client).Options,
	"POST": (*parley.Client).Post, "PUT": (*parley.Client).Put, "PATCH": (*parley.Client).Patch, "DELETE": (*parley.Client).Delete,
}

// methodEcho is a script that answers with the method and the content.
var methodEcho = wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
	text := wiretest.OK(r.Method + " " + string(r.Content))
	if r.Method == http.MethodHead {
		text = text[:strings.Index(text, "HEAD")]
	}
	return text
})

func TestClient_everyVerbReadsTheAnswerAndGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, methodEcho)
	c := sessionTo(t, s)
	for method, send := range verbs {
		resp, err := send(c, t.Context(), "x", parley.WithText("body"))
		require.NoError(t, err, method)
		require.Equal(t, "[0 active, 1 idle]>", c.String()[strings.Index(c.String(), "["):], method)
		text, err := resp.Text()
		require.NoError(t, err)
		if method == http.MethodHead {
			require.Empty(t, text)
			require.EqualValues(t, len("HEAD body"), resp.ContentLength)
			continue
		}
		require.Equal(t, method+" body", text)
	}
	require.Equal(t, 1, s.Accepted())
	resp, err := c.Request(t.Context(), "PURGE", "x")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "PURGE ", text)
}

func TestClient_methodsThatHTTPKnowsAreSentInUpperCase(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, methodEcho)
	c := sessionTo(t, s)
	for given, sent := range map[string]string{"get": "GET ", "Post": "POST ", "dElEtE": "DELETE ", "purge": "purge ", "Link": "Link "} {
		resp, err := c.Request(t.Context(), given, "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, sent, text)
	}
}

func TestClient_aStreamHoldsItsConnectionUntilItIsReadOrClosed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, methodEcho)
	c := sessionTo(t, s)
	for name, end := range map[string]func(*parley.Response) error{
		"read":   func(r *parley.Response) error { _, err := r.Bytes(); return err },
		"closed": (*parley.Response).Close,
	} {
		resp, err := c.Stream(t.Context(), "POST", "x", parley.WithText("body"))
		require.NoError(t, err)
		require.Equal(t, 1, c.Stats().Active, name)
		require.NoError(t, end(resp))
		require.Equal(t, 0, c.Stats().Active, name)
		require.Equal(t, 1, c.Stats().Idle, name)
	}
}

func TestClient_baseURLIsAPrefix(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	for _, test := range []struct{ base, ref, target string }{
		{"/v1", "users", "/v1/users"},
		{"/v1", "/users", "/v1/users"},
		{"/v1", "./users", "/v1/users"},
		{"/v1/", "users", "/v1/users"},
		{"/v1", "", "/v1"},
		{"/v1/", "", "/v1/"},
		{"", "", "/"},
		{"/v1", "a/../b/", "/v1/b/"},
		{"/v1?key=1", "users?page=2", "/v1/users?key=1&page=2"},
		{"/v1?key=1&page=1", "users?page=2", "/v1/users?key=1&page=2"},
		{"/v1", s.URL() + "/other?a", "/other?a"},
	} {
		c := newSession(t, parley.WithBaseURL(s.URL()+test.base))
		require.Equal(t, test.target, textOf(t, c, test.ref), "%s and %s", test.base, test.ref)
	}
	for _, ref := range []string{"//evil.test/x", `\x`, "../x", "a/../../x"} {
		_, err := newSession(t, parley.WithBaseURL(s.URL()+"/v1")).Get(t.Context(), ref)
		require.ErrorIs(t, err, parley.ErrInvalidURL, ref)
	}
}

func TestClient_withoutABaseURLTheURLMustBeAbsolute(t *testing.T) {
	t.Parallel()
	c := newSession(t)
	for _, ref := range []string{"users", "/users", "", "a.test/x"} {
		_, err := c.Get(t.Context(), ref)
		require.ErrorIs(t, err, parley.ErrInvalidURL, ref)
	}
	require.Nil(t, c.BaseURL())
}

// An international name is looked up and sent in its ASCII form (RFC 5890).
func TestClient_internationalHosts(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(r.Host) }))
	names := wiretest.NewNames(map[string]string{"xn--bcher-kva.test:80": s.Addr()})
	c := newSession(t, parley.WithDialer(names), parley.WithBaseURL("http://Bücher.test"))
	require.Equal(t, "xn--bcher-kva.test", textOf(t, c, "x"))
	require.Equal(t, "xn--bcher-kva.test", textOf(t, c, "http://BÜCHER.test/x"))
	require.Equal(t, 1, s.Accepted())
}

func TestClient_userInformationBecomesBasicCredentialsAndNeverShows(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(r.Header.Get("Authorization"))
	}))
	const password = "s3cret"
	with := strings.Replace(s.URL(), "http://", "http://me:"+password+"@", 1)
	c := newSession(t, parley.WithBaseURL(with+"/v1"))
	const basic = "Basic bWU6czNjcmV0"
	require.Equal(t, basic, textOf(t, c, "x"))
	require.Equal(t, basic, textOf(t, newSession(t), with+"/x"))
	require.Equal(t, "Bearer t", textOf(t, c, "x", parley.WithHeader("Authorization", "Bearer t")), "what is set by hand wins")
	require.Empty(t, textOf(t, c, "x", parley.WithoutHeader("Authorization")))
	require.Equal(t, basic, textOf(t, c, "x"), "for that one request only")

	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Nil(t, resp.Request.URL.User)
	_, failed := c.Get(t.Context(), "x?"+password, parley.WithHeader("bad name", "x"))
	require.Error(t, failed)
	_, closed := newSession(t).Get(t.Context(), with+":1/x")
	require.Error(t, closed)
	for _, shown := range []string{c.String(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), failed.Error(), closed.Error(), s.Text()} {
		require.NotContains(t, shown, password)
	}
}

func TestClient_gettersGiveCopies(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, parley.WithHeaders(http.Header{"X-A": {"1"}}))
	before := wireOf(t, s, c, "x")
	h := c.Header()
	h["X-A"][0] = "changed"
	h.Set("X-B", "added")
	u := c.BaseURL()
	u.Host, u.Path = "evil.test", "/changed"
	require.Equal(t, before, wireOf(t, s, c, "x"))
}

func TestClient_limitsAreOnByDefault(t *testing.T) {
	t.Parallel()
	require.Equal(t, parley.Timeouts{
		Pool: 5 * time.Second, Connect: 5 * time.Second,
		Write: 30 * time.Second, Response: 30 * time.Second, Read: 30 * time.Second, Total: parley.NoTimeout,
	}, newSession(t).Timeouts())
	require.Equal(t, []time.Duration{90 * time.Second, time.Second, 10 * time.Minute},
		[]time.Duration{parley.DefaultIdleTimeout, parley.DefaultSurplusIdle, parley.DefaultMaxAge})
	require.Equal(t, []int{10, 100}, []int{parley.DefaultSoftLimit, parley.DefaultHardLimit})
	c := newSession(t, parley.WithPhaseTimeout(time.Minute), parley.WithTimeout(time.Hour))
	require.Equal(t, parley.Timeouts{
		Pool: time.Minute, Connect: time.Minute, Write: time.Minute, Response: time.Minute, Read: time.Minute, Total: time.Hour,
	}, c.Timeouts())
}

func TestClient_showsItsPool(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/v1/wait" {
			<-release
		}
		return wiretest.OK("")
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()+"/v1?key=SECRET"), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	name := "<Client " + s.URL() + "/v1"
	require.Equal(t, name+" [0 active, 0 idle]>", c.String())
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			_, err := c.Get(t.Context(), "wait?key=2")
			assert.NoError(t, err)
		})
	}
	wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 2 && c.Stats().Active == 1 }, "two requests wait for the third")
	require.Equal(t, name+" [1 active, 0 idle, 2 waiting]>", c.String())
	require.Equal(t, c.String(), fmt.Sprintf("%#v", c))
	require.Equal(t, "<Pool [1 active, 0 idle, 2 waiting]>", fmt.Sprintf("%v", c.Pool()))
	require.Equal(t, "<Pool [1 active, 0 idle, 2 waiting]>", fmt.Sprintf("%#v", c.Pool()))
	close(release)
	calls.Wait()

	stats := c.Stats()
	require.Equal(t, []int64{1, 0, 2, 2}, []int64{stats.Dials, stats.DialErrors, stats.Reuses, stats.Waits})
	require.Positive(t, stats.WaitTime)
	require.Len(t, stats.Origins, 1)
	origin := stats.Origins[0]
	require.Equal(t, s.URL(), origin.Origin)
	require.Equal(t, []int64{1, 2, 2}, []int64{origin.Dials, origin.Reuses, origin.Waits})
	require.Equal(t, []int{0, 1, 0}, []int{origin.Active, origin.Idle, origin.Waiting})

	c.Pool().CloseIdle()
	require.Equal(t, name+" [0 active, 0 idle]>", c.String())
	require.NoError(t, c.Close())
	require.Equal(t, name+" [closed]>", c.String())
	require.Equal(t, "<Client [0 active, 0 idle]>", newSession(t).String())
}

func TestClient_limitsCanBeRaisedWhileRequestsWait(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		<-release
		return wiretest.OK("")
	}))
	c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			_, err := c.Get(t.Context(), "x")
			assert.NoError(t, err)
		})
	}
	wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 2 }, "two wait")
	require.NoError(t, c.Pool().SetLimits(parley.PoolLimits{Hard: 3}))
	wiretest.Eventually(t, func() bool { return c.Stats().Active == 3 }, "none waits")
	require.Error(t, c.Pool().SetLimits(parley.PoolLimits{Soft: 3, Hard: 2}))
	close(release)
	calls.Wait()
}

func TestClient_idleConnectionsCanBeClosedAtOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	require.Equal(t, "/x", textOf(t, c, "x"))
	held, err := c.Stream(t.Context(), "GET", "held")
	require.NoError(t, err)
	require.Equal(t, "/y", textOf(t, c, "y"))
	c.Pool().CloseIdle()
	stats := c.Stats()
	require.Equal(t, []int{1, 0}, []int{stats.Active, stats.Idle}, "one in use is left alone")
	text, err := held.Text()
	require.NoError(t, err)
	require.Equal(t, "/held", text)
	require.Equal(t, "/z", textOf(t, c, "z"))
	require.Equal(t, 2, s.Accepted())
}

func TestClient_aDerivedSessionSharesPoolAndJar(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return answer("", "Set-Cookie: sid=1") }))
	parent := sessionTo(t, s, bare, parley.WithHeader("X-A", "parent"), parley.WithHeader("X-B", "parent"))
	child := derive(t, parent, parley.WithHeader("X-A", "child"), parley.WithBaseURL(s.URL()+"/v2"))
	host := "Host: " + s.Addr()
	require.Equal(t, lines("GET /x HTTP/1.1", host, "X-A: parent", "X-B: parent"), wireOf(t, s, parent, "x"))
	require.Equal(t, lines("GET /v2/x HTTP/1.1", host, "Cookie: sid=1", "X-A: child", "X-B: parent"), wireOf(t, s, child, "x"))
	require.Equal(t, lines("GET /x HTTP/1.1", host, "Cookie: sid=1", "X-A: parent", "X-B: parent"), wireOf(t, s, parent, "x"))
	require.Equal(t, 1, s.Accepted())
	require.Same(t, parent.Pool(), child.Pool())

	require.NoError(t, child.Close())
	_, err := child.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrClientClosed)
	_, err = parent.Get(t.Context(), "x")
	require.NoError(t, err, "the parent goes on")
	require.Equal(t, 1, s.Accepted(), "on the same connection")
}

func TestClient_aDerivedSessionClosesWhatItMadeItself(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	parent := sessionTo(t, s)
	child := derive(t, parent, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	require.NotSame(t, parent.Pool(), child.Pool())
	for _, c := range []*parley.Client{parent, child} {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
	}
	require.Equal(t, 2, s.Accepted())
	require.NoError(t, child.Close())
	require.Equal(t, 0, child.Stats().Idle)
	require.Equal(t, 1, parent.Stats().Idle)
}

func TestClient_closingTheParentEndsItsPoolForAll(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	parent := sessionTo(t, s)
	child := derive(t, parent)
	require.NoError(t, parent.Close())
	_, err := child.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrClientClosed)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.NotSent, e.Sent)
	require.Zero(t, s.Accepted())
}

func TestClient_closeRunsItsHooksOnceTheLastFirst(t *testing.T) {
	t.Parallel()
	var order []int
	first, second := errors.New("first"), errors.New("second")
	c, err := parley.New(
		parley.WithCloseHook(func() error { order = append(order, 1); return first }),
		parley.WithCloseHook(func() error { order = append(order, 2); return nil }),
		parley.WithCloseHook(func() error { order = append(order, 3); return second }))
	require.NoError(t, err)
	child, err := c.With()
	require.NoError(t, err)
	require.NoError(t, child.Close(), "they are the parent's")
	err = c.Close()
	require.ErrorIs(t, err, first)
	require.ErrorIs(t, err, second)
	require.NoError(t, c.Close(), "closing again does nothing")
	require.Equal(t, []int{3, 2, 1}, order)
}

func TestClient_afterCloseEveryCallFails(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	prepared, err := c.NewRequest("GET", "x")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	calls := map[string]func() error{
		"Stream": func() error { _, err := c.Stream(t.Context(), "GET", "x"); return err },
		"Send":   func() error { _, err := c.Send(t.Context(), prepared); return err },
		"Gather": func() error {
			for r := range c.Gather(t.Context(), 2, func(yield func(*parley.Request) bool) { yield(prepared) }) {
				return r.Err
			}
			return nil
		},
	}
	for method, send := range verbs {
		calls[method] = func() error { _, err := send(c, t.Context(), "x"); return err }
	}
	for name, call := range calls {
		err := call()
		require.ErrorIs(t, err, parley.ErrClientClosed, name)
		var e *parley.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, parley.NotSent, e.Sent, name)
		require.Contains(t, err.Error(), s.URL()+"/x", name)
	}
	require.Equal(t, 1, s.Accepted())
}

func TestClient_aNilContextIsAnError(t *testing.T) {
	t.Parallel()
	var none context.Context
	_, err := newSession(t).Get(none, "http://a.test/x")
	require.ErrorContains(t, err, "context is nil")
}

func TestClient_isSafeForManyGoroutines(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		n := r.Header.Get("X-N")
		return answer(r.RequestURI+" "+n, "Set-Cookie: n="+n)
	}))
	c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 8}), parley.WithQuery("s", "1"))
	var calls sync.WaitGroup
	for i := range 50 {
		n := fmt.Sprint(i)
		child := derive(t, c, parley.WithHeader("X-N", n))
		calls.Go(func() {
			for range 4 {
				resp, err := child.Get(t.Context(), "{id}", parley.WithPath("id", n), parley.WithQuery("q", n))
				if !assert.NoError(t, err) {
					return
				}
				text, err := resp.Text()
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("/%d?s=1&q=%d %d", i, i, i), text)
				assert.NotEmpty(t, c.String())
				assert.NotEmpty(t, c.Header())
			}
		})
	}
	calls.Wait()
	require.LessOrEqual(t, s.Accepted(), 8)
}
