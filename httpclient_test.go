package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// pair is two servers, a.test and b.test, over http and, with a handler in their place,
// https.
type pair struct{ a, b *wiretest.Server }

func newPair(t testing.TB, a, b func(*wiretest.Conn)) (*pair, parley.ClientOption) {
	p := &pair{wiretest.Serve(t, a), wiretest.Serve(t, b)}
	return p, parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:80": p.a.Addr(), "b.test:80": p.b.Addr()}))
}

// done reads an answer of net/http.
func done(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(content)
}

func TestRoundTripper_hasAuthDecodingAndTheNetworkAlone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/moved" {
			return "HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
		}
		return answer(gzipped(t, "plain"), "Content-Encoding: gzip")
	}))
	hooked := 0
	c := newSession(t, parley.WithBaseURL("http://a.test/v1"), parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:80": s.Addr()})),
		parley.WithHeader("X-Key", "1"), parley.WithQuery("q", "1"), parley.WithCookie("own", "1"), parley.WithBearerToken("token"),
		parley.WithRequestHook(func(context.Context, *parley.Request) error { hooked++; return nil }))
	rt := c.RoundTripper()
	resp, err := rt.RoundTrip(httpRequest(t, "GET", "http://a.test/x", nil))
	require.Equal(t, "plain", done(t, resp, err))
	require.True(t, resp.Uncompressed)
	require.Equal(t, "GET /x HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAuthorization: Bearer token\r\nUser-Agent: "+c.Header().Get("User-Agent")+"\r\n\r\n", s.Text())

	before := s.Text()
	resp, err = rt.RoundTrip(httpRequest(t, "GET", "http://a.test/moved", nil))
	require.Empty(t, done(t, resp, err))
	require.Equal(t, 302, resp.StatusCode)
	r := httpRequest(t, "GET", "http://a.test/x", nil)
	r.Header = http.Header{"User-Agent": {""}, "Authorization": {"mine"}, "Range": {"bytes=0-1"}}
	resp, err = rt.RoundTrip(r)
	require.Equal(t, gzipped(t, "plain"), done(t, resp, err), "a range is not decoded")
	sent := strings.TrimPrefix(s.Text(), before)
	require.Contains(t, sent, "GET /x HTTP/1.1\r\nHost: a.test\r\nAuthorization: mine\r\nRange: bytes=0-1\r\n\r\n")
	require.NotContains(t, sent, "a=b", "there is no jar")
	require.Zero(t, hooked)

	require.Equal(t, 1, c.Stats().Idle)
	rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	require.Zero(t, c.Stats().Idle)
	require.NoError(t, c.Close())
	_, err = rt.RoundTrip(httpRequest(t, "GET", "http://a.test/x", nil))
	require.ErrorIs(t, err, parley.ErrClientClosed)
}

func TestRoundTripper_limitsAreThoseThatTheSessionHasSet(t *testing.T) {
	t.Parallel()
	var got parley.Timeouts
	look := parley.WithTransport(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		got = req.Timeouts
		return &parley.Response{StatusCode: 200}, nil
	}))
	for _, test := range []struct {
		set, want parley.Timeouts
	}{
		{parley.Timeouts{}, parley.Timeouts{Response: parley.NoTimeout, Read: parley.NoTimeout}},
		{parley.Timeouts{Write: time.Hour, Read: time.Minute, Total: time.Second}, parley.Timeouts{Write: time.Hour, Response: parley.NoTimeout, Read: time.Minute}},
	} {
		c := newSession(t, look, parley.WithTimeouts(test.set))
		resp, err := c.HTTPClient().Get("http://a.test")
		require.Empty(t, done(t, resp, err))
		test.want.Pool, test.want.Connect, test.want.Total = parley.DefaultPoolTimeout, parley.DefaultConnectTimeout, parley.NoTimeout
		if test.want.Write == 0 {
			test.want.Write = parley.DefaultWriteTimeout
		}
		require.Equal(t, test.want, got)
		require.Zero(t, c.HTTPClient().Timeout)
	}
}

// What is meant for one origin does not reach another one through an http.Client,
// neither by the session's doing nor by that of net/http, which takes custom headers
// along, and does not come back once it was left behind.
func TestHTTPClient_secretsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	toB := "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://b.test/x\r\nContent-Length: 0\r\n\r\n"
	toA := "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://a.test/back\r\nContent-Length: 0\r\n\r\n"
	for _, base := range []string{"", "http://a.test"} {
		p, dialer := newPair(t,
			wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
				if r.RequestURI == "/back" {
					return wiretest.OK("back")
				}
				return toB
			}), wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return toA }))
		opts := []parley.ClientOption{dialer, parley.WithBearerToken("session-secret")}
		if base != "" {
			opts = append(opts, parley.WithBaseURL(base))
		}
		c := newSession(t, opts...).HTTPClient()
		r := httpRequest(t, "POST", "http://a.test/x", strings.NewReader("content"))
		r.Header = http.Header{"X-Api-Key": {"key-secret"}, "Cookie": {"a=cookie-secret"}, "Accept": {"text/x"}, "Content-Type": {"text/y"}}
		r.Host = "virtual.test"
		resp, err := c.Do(r)
		require.Equal(t, "back", done(t, resp, err), base)
		first, back, found := strings.Cut(p.a.Text(), "POST /back")
		require.True(t, found)
		require.Contains(t, first, "session-secret")
		require.Contains(t, first, "key-secret")
		for _, foreign := range []string{p.b.Text(), back} {
			require.NotContains(t, foreign, "secret", base)
			require.Contains(t, foreign, "Accept: text/x")
			require.Contains(t, foreign, "Content-Type: text/y")
			require.Contains(t, foreign, "content")
			require.NotContains(t, foreign, "Referer")
			require.NotContains(t, foreign, "virtual.test")
		}
	}
}

// A CheckRedirect of the caller's own takes custom headers along, but never the
// session's credentials.
func TestHTTPClient_theSessionsCredentialsStayWhateverChecksRedirects(t *testing.T) {
	t.Parallel()
	p, dialer := newPair(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://b.test/x\r\nContent-Length: 0\r\n\r\n"
	}), wiretest.Echo())
	c := newSession(t, dialer, parley.WithBearerToken("session-secret")).HTTPClient()
	c.CheckRedirect = nil
	resp, err := c.Get("http://a.test/x")
	require.Equal(t, "/x", done(t, resp, err))
	require.Contains(t, p.a.Text(), "session-secret")
	require.NotContains(t, p.b.Text(), "session-secret")

	trusting := newSession(t, dialer, parley.WithBaseURL("http://a.test"), parley.WithTrustedOrigins("http://b.test"), parley.WithBearerToken("session-secret"))
	resp, err = trusting.HTTPClient().Get("http://a.test/x")
	require.Equal(t, "/x", done(t, resp, err))
	require.Contains(t, p.b.Text(), "session-secret", "its own origin")
}

func TestHTTPClient_followsAsTheSessionDoes(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://b.test/x", http.StatusTemporaryRedirect)
		case r.URL.Path == "/once":
			http.Redirect(w, r, "/x", http.StatusFound)
		default:
			fmt.Fprintf(w, "%s%v", r.URL, r.Header["X-Policy"])
		}
	})
	refused := errors.New("refused")
	follow := func(f func(*parley.Redirect) error) parley.ClientOption {
		return parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error { return f(r) })
	}
	tests := map[string]struct {
		opts   []parley.ClientOption
		method string
		path   string
		status int
		kind   error
		text   string
	}{
		"one is followed":        {nil, "GET", "/once", 200, nil, "/x[]"},
		"twenty are":             {nil, "GET", "/loop", 302, parley.ErrTooManyRedirects, ""},
		"as many as allowed":     {[]parley.ClientOption{parley.WithMaxRedirects(1)}, "GET", "/once", 200, nil, "/x[]"},
		"no more":                {[]parley.ClientOption{parley.WithMaxRedirects(2)}, "GET", "/loop", 302, parley.ErrTooManyRedirects, ""},
		"none at all":            {[]parley.ClientOption{parley.WithMaxRedirects(0)}, "GET", "/once", 302, nil, "<a href=\"/x\">Found</a>.\n\n"},
		"not following":          {[]parley.ClientOption{parley.WithFollowRedirects(false)}, "GET", "/once", 302, nil, "<a href=\"/x\">Found</a>.\n\n"},
		"a body in clear text":   {nil, "POST", "/away", 307, parley.ErrInsecureRedirect, ""},
		"a GET in clear text":    {nil, "GET", "/away", 200, nil, "/x[]"},
		"a policy that allows":   {[]parley.ClientOption{parley.WithRedirectPolicy(parley.SameHostRedirects())}, "GET", "/once", 200, nil, "/x[]"},
		"a policy that refuses":  {[]parley.ClientOption{parley.WithRedirectPolicy(parley.SameHostRedirects())}, "GET", "/away", 307, parley.ErrRedirectRefused, ""},
		"a policy with an error": {[]parley.ClientOption{follow(func(*parley.Redirect) error { return refused })}, "GET", "/once", 302, refused, ""},
		"a policy that stops":    {[]parley.ClientOption{follow(func(*parley.Redirect) error { return parley.ErrStopRedirect })}, "GET", "/once", 302, nil, "<a href=\"/x\">Found</a>.\n\n"},
		"a policy that changes": {[]parley.ClientOption{follow(func(r *parley.Redirect) error {
			r.Next.URL.Path = "/y"
			r.Next.Header.Set("X-Policy", fmt.Sprintf("%d%s%d", len(r.History), r.Request.URL.Path, r.Response.StatusCode))
			return nil
		})}, "GET", "/once", 200, nil, "/y[0/once302]"},
		"a policy that leads away": {[]parley.ClientOption{follow(func(r *parley.Redirect) error {
			r.Next.Header.Set("X-Policy", "secret")
			r.Next.URL.Host = "b.test"
			return nil
		})}, "GET", "/once", 200, nil, "/x[]"},
		"a policy without a URL": {[]parley.ClientOption{follow(func(r *parley.Redirect) error { r.Next.URL = nil; return nil })}, "GET", "/once", 302, parley.ErrInvalidURL, ""},
	}
	for name, test := range tests {
		c := newSession(t, append(test.opts, parley.WithHandler(handler))...).HTTPClient()
		var body io.Reader
		if test.method == "POST" {
			body = strings.NewReader("content")
		}
		resp, err := c.Do(httpRequest(t, test.method, "https://a.test"+test.path, body))
		require.NotNil(t, resp, name)
		require.Equal(t, test.status, resp.StatusCode, name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
			continue
		}
		require.Equal(t, test.text, done(t, resp, err), name)
	}
}

func TestHTTPClient_sharesTheJar(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		fmt.Fprint(w, r.Header["Cookie"])
	})
	c := newSession(t, parley.WithBaseURL("https://a.test"), parley.WithHandler(handler))
	resp, err := c.HTTPClient().Get("https://a.test/x")
	require.Equal(t, "[]", done(t, resp, err))
	require.Equal(t, "[a=1]", textOf(t, c, "x"))
	resp, err = c.HTTPClient().Get("https://a.test/x")
	require.Equal(t, "[a=1]", done(t, resp, err))
	without := newSession(t, parley.WithJar(nil), parley.WithHandler(handler)).HTTPClient()
	require.Nil(t, without.Jar)
}

// An Auth that answers challenges works beneath an http.Client, with a body that can be
// sent again.
func TestHTTPClient_challengesAreAnswered(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Proof") == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "%s", content)
	})
	c := newSession(t, parley.WithBaseURL("https://a.test"), parley.WithHandler(handler), parley.WithAuth(proving{}))
	resp, err := c.HTTPClient().Post("https://a.test/x", "text/plain", strings.NewReader("content"))
	require.Equal(t, "content", done(t, resp, err))
	require.Equal(t, 200, resp.StatusCode)
}

type proving struct{}

func (proving) Send(ctx context.Context, req *parley.Request, next parley.Transport) (*parley.Response, error) {
	resp, err := next.Send(ctx, req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	resp.Close()
	req, err = req.With(parley.WithHeader("X-Proof", "1"))
	if err != nil {
		return nil, err
	}
	return next.Send(ctx, req)
}

func TestWithHTTPClient_theTransportAndTheTimeoutAreUsed(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			<-r.Context().Done()
		case "/moved":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.Redirect(w, r, "/x", http.StatusFound)
		default:
			fmt.Fprintf(w, "%s%v", r.URL.Path, r.Header["Cookie"])
		}
	}))
	t.Cleanup(s.Close)
	used := 0
	hc := &http.Client{
		Timeout: 50 * time.Millisecond,
		Jar:     panickingJar{},
		Transport: tripper(func(r *http.Request) (*http.Response, error) {
			used++
			return s.Client().Transport.RoundTrip(r)
		}),
		CheckRedirect: func(*http.Request, []*http.Request) error { panic("not used") },
	}
	c := newSession(t, parley.WithBaseURL(s.URL), parley.WithHTTPClient(hc))
	require.Equal(t, "/x[a=1]", textOf(t, c, "moved"), "redirects and cookies are the session's")
	require.Equal(t, 2, used)
	require.Equal(t, 50*time.Millisecond, c.Timeouts().Total)
	_, err := c.Get(t.Context(), "wait")
	require.ErrorIs(t, err, parley.ErrTotalTimeout)
	require.Nil(t, c.Pool())
	later := newSession(t, parley.WithHTTPClient(hc), parley.WithTimeout(time.Minute))
	require.Equal(t, time.Minute, later.Timeouts().Total, "the later word counts")
	_, err = parley.New(parley.WithHTTPClient(nil))
	require.Error(t, err)
	_, err = parley.New(parley.WithHTTPClient(hc), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	require.Error(t, err)
}

type panickingJar struct{}

func (panickingJar) SetCookies(*url.URL, []*http.Cookie) { panic("not used") }
func (panickingJar) Cookies(*url.URL) []*http.Cookie     { panic("not used") }

// A library that wants an *http.Client gets the session's credentials, pool and jar.
func ExampleClient_HTTPClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	session, err := parley.New(parley.WithBaseURL(server.URL), parley.WithBearerToken("token"))
	if err != nil {
		panic(err)
	}
	defer session.Close()
	var anySDK *http.Client = session.HTTPClient()
	resp, err := anySDK.Get(server.URL + "/me")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	fmt.Println(string(content), err)
	// Output: Bearer token <nil>
}

// A session can send through an http.Client that is there already, with its transport.
func ExampleWithHTTPClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	defer server.Close()
	session, err := parley.New(parley.WithBaseURL(server.URL), parley.WithHTTPClient(server.Client()))
	if err != nil {
		panic(err)
	}
	defer session.Close()
	resp, err := session.Get(context.Background(), "users/1")
	if err != nil {
		panic(err)
	}
	text, err := resp.Text()
	fmt.Println(text, err)
	// Output: /users/1 <nil>
}
