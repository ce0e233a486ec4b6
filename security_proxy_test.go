package parley_test

// The security cases on proxies. Those on what connections through proxies share are
// here too; S114 goes on in proxy_digest_test.go.

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// basicOf is what user:password look like in a header.
func basicOf(login string) string { return base64.StdEncoding.EncodeToString([]byte(login)) }

// loginsOf gives the values of Proxy-Authorization that a server read, "-" for a request
// without one, in the order of its connections.
func loginsOf(s *wiretest.Server) []string {
	var out []string
	for _, text := range s.Received() {
		for head := range strings.SplitSeq(text, "\r\n\r\n") {
			if !strings.Contains(head, " HTTP/1.1\r\n") {
				continue
			}
			_, value, found := strings.Cut(head, "\r\nProxy-Authorization: ")
			if !found {
				value = "-"
			}
			value, _, _ = strings.Cut(value, "\r\n")
			out = append(out, value)
		}
	}
	return out
}

func TestS024_TunnelsAreOfTheirCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()))
	for range 2 {
		for _, login := range []string{"p1:x", "p2:y", "", "P1:x", "p1:X"} {
			textOf(t, client, "https://a.test/", parley.WithProxy(withLogin(p.Server, "http", login)))
		}
	}
	require.Equal(t, 5, len(p.Asked()))
	require.Equal(t, []string{
		"Basic " + basicOf("p1:x"), "Basic " + basicOf("p2:y"), "-", "Basic " + basicOf("P1:x"), "Basic " + basicOf("p1:X"),
	}, loginsOf(p.Server))
	require.Equal(t, 5, w.secure.Accepted())
}

func TestS025_TunnelsAreOfTheirTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := wiretest.Serve(t, wiretest.Echo())
	w.names.Lead("b.test:80", b.Addr())
	p := wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "socks5h", "")))
	textOf(t, client, "http://a.test/1")
	textOf(t, client, "http://b.test/SECRET", parley.WithHeader("X-Key", "SECRET"))
	textOf(t, client, "http://a.test/2")
	require.Equal(t, []string{"SOCKS a.test:80", "SOCKS b.test:80"}, p.Asked())
	require.NotContains(t, w.clear.Text(), "SECRET")
	require.Equal(t, 2, p.Accepted())
}

func TestS030_ClearedProxyCredentialsAreGoneAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:secret")))
	without := derive(t, client, parley.WithProxy(p.URL()))
	for range 2 {
		textOf(t, client, "http://a.test/")
		textOf(t, without, "http://a.test/")
		textOf(t, client, "http://a.test/", parley.WithProxy(p.URL()))
	}
	with := "Basic " + basicOf("user:secret")
	require.Equal(t, []string{with, with, "-", "-", "-", "-"}, loginsOf(p.Server), "one connection for each")
	require.Equal(t, 2, p.Accepted())
}

func TestS032_TicketsOfAProxyAreNotOfTheServer(t *testing.T) {
	t.Parallel()
	trusted, other := wiretest.NewAuthority(t), wiretest.NewAuthority(t)
	// The two could resume each other's sessions, and one name is theirs.
	keys := [][32]byte{{1}}
	proxyTLS, serverTLS := trusted.Server(t, "h.test"), other.Server(t, "h.test")
	proxyTLS.SetSessionTicketKeys(keys)
	serverTLS.SetSessionTicketKeys(keys)
	clear := wiretest.Serve(t, wiretest.Echo())
	server := wiretest.ServeTLS(t, serverTLS, wiretest.Echo())
	names := wiretest.NewNames(map[string]string{"h.test:80": clear.Addr(), "h.test:443": server.Addr()})
	p := wiretest.NewProxyTLS(t, proxyTLS, names, "")
	cfg := trusted.Trusted()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	client := newSession(t, parley.WithProxy("https://h.test:3128"), parley.WithTLSConfig(cfg), parley.WithProxyTLSConfig(cfg),
		parley.WithDialer(wiretest.NewNames(map[string]string{"h.test:3128": p.Addr()})))
	for range 2 {
		require.Equal(t, "/first", textOf(t, client, "http://h.test/first"), "the proxy gives a ticket")
		_, err := client.Get(t.Context(), "https://h.test/SECRET")
		requireUntrusted(t, err)
		client.Pool().CloseIdle()
	}
	require.NotContains(t, server.Text(), "SECRET")
}

func TestS056_WholeURLsToAProxyAreCleanToo(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, wiretest.Echo())
	client := newSession(t, parley.WithProxy(proxy.URL()))
	for _, c := range []struct {
		url  string
		opts []parley.RequestOption
		want string
	}{
		{"http://a.test/a b", nil, "http://a.test/a%20b"},
		{"http://a.test/%00?%0d%0a#frag", nil, "http://a.test/%00?%0d%0a"},
		{"http://a.test/{x}", []parley.RequestOption{parley.WithPath("x", "a\r\nX: 1\x00# ")}, "http://a.test/a%0D%0AX%3A%201%00%23%20"},
		{"http://a.test/", []parley.RequestOption{parley.WithQuery("q", "\r\nX: 1\x00 #")}, "http://a.test/?q=%0D%0AX%3A+1%00+%23"},
	} {
		require.Equal(t, c.want, textOf(t, client, c.url, c.opts...))
	}
	before := proxy.Text()
	for _, bad := range []string{"http://a.test/\r\nX: 1", "http://a.test\r\n/", "http://a.test /"} {
		_, err := client.Get(t.Context(), bad)
		require.ErrorIs(t, err, parley.ErrInvalidURL)
	}
	for _, target := range []string{"/a\r\nX: 1", "/a b", "http://a.test/\x00", "*\n"} {
		_, err := client.Get(t.Context(), "http://a.test/", parley.WithTarget(target))
		require.Error(t, err, "%q", target)
	}
	for _, host := range []string{"a.test\r\nX: 1", "a.test/x", "u:p@a.test", "a.test:80:81", "a.test:x", "A.test", "a test"} {
		req, err := parley.NewRequest("GET", "http://a.test/")
		require.NoError(t, err)
		req.URL.Host = host
		req.Proxy, err = parley.NewProxy(proxy.URL())
		require.NoError(t, err)
		_, err = client.Pool().Send(t.Context(), req)
		require.Error(t, err, "%q", host)
	}
	require.Equal(t, before, proxy.Text())
}

func TestS062_ConnectIsWrittenLikeAnyRequest(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5h"} {
		proxy := wiretest.Serve(t, (*wiretest.Conn).Rest)
		pool, err := parley.NewPool(parley.PoolConfig{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, pool.Close()) })
		for _, host := range []string{"a.test\r\nX: 1", "a.test\r\n", "a.test\x00", "a test", "a.test/x", "u@a.test", "a.test:1:2"} {
			req, err := parley.NewRequest("GET", "https://a.test/", parley.WithProxy(withLogin(proxy, scheme, "")))
			require.NoError(t, err)
			req.URL.Host = host
			_, err = pool.Send(t.Context(), req)
			require.Error(t, err, "%q", host)
		}
		require.Empty(t, proxy.Text())
		require.Zero(t, proxy.Accepted())
	}
}

func TestS092_HeadOfAConnectAnswerIsBounded(t *testing.T) {
	t.Parallel()
	for rule, piece := range map[string]string{
		"endless lines":   "X-Line: 1\r\n",
		"an endless line": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"interim answers": "x\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Again: ",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			proxy := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadHead(); err != nil || !c.Say("HTTP/1.1 103 Early Hints\r\nX-First: ") {
					return
				}
				for c.Say(strings.Repeat(piece, 1000)) {
				}
			})
			client := newSession(t, parley.WithProxy(proxy.URL()))
			_, err := client.Get(t.Context(), "https://a.test/")
			requireProxyError(t, err, parley.PhaseConnect)
			require.ErrorIs(t, err, parley.ErrRemoteProtocol)
			require.ErrorContains(t, err, " over ")
		})
	}
}

func TestS112_ProxyCredentialsStayAtTheProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clear = wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/away" {
			return "HTTP/1.1 302 Found\r\nLocation: https://b.test/there\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK("clear")
	}))
	w.names.Lead("a.test:80", w.clear.Addr())
	const login, given = "user:SECRET1", "Bearer SECRET2"
	plain := wiretest.NewProxy(t, w.names, login)
	secure := wiretest.NewProxyTLS(t, w.ca.Server(t), w.names, login)
	dialer := direct(wiretest.NewNames(map[string]string{
		"a.test:80": w.clear.Addr(), "a.test:443": w.secure.Addr(), "b.test:443": w.secure.Addr(),
	}), plain.Server, secure.Server)
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()), parley.WithProxyTLSConfig(w.ca.Trusted()), parley.WithDialer(dialer))
	withHeader := derive(t, client, parley.WithHeader("proxy-authorization", given))
	for _, way := range []parley.RequestOption{
		parley.WithoutProxy(), parley.WithProxy(withLogin(plain.Server, "http", login)),
		parley.WithProxy(withLogin(secure.Server, "https", login)), parley.WithProxy(withLogin(plain.Server, "socks5h", login)),
	} {
		for _, url := range []string{"http://a.test/", "https://a.test/", "http://a.test/away"} {
			textOf(t, client, url, way)
			for _, c := range []struct {
				client *parley.Client
				opts   []parley.RequestOption
			}{
				{client, []parley.RequestOption{way, parley.WithHeader("Proxy-Authorization", given)}},
				{withHeader, []parley.RequestOption{way}},
			} {
				resp, err := c.client.Get(t.Context(), url, c.opts...)
				require.NoError(t, err)
				require.Contains(t, []int{200, 407}, resp.StatusCode, "what was given by hand is not what the proxy wants")
			}
		}
	}
	for _, s := range []*wiretest.Server{w.clear, w.secure} {
		requireNoSecret(t, s.Text(), "SECRET1", "SECRET2", login)
		require.NotContains(t, strings.ToLower(s.Text()), "proxy-")
	}
	require.Contains(t, plain.Text(), given, "a header that is set by hand goes to the proxy for an http URL")
	for head := range strings.SplitSeq(plain.Text()+secure.Text(), "\r\n\r\n") {
		if strings.Contains(head, "CONNECT ") {
			require.NotContains(t, head, given, "but not into the question for a tunnel")
		}
	}
}

// requireNoSecret looks for secrets as they are and in the forms that HTTP has for
// them.
func requireNoSecret(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, basicOf(secret))
		require.NotContains(t, text, url.QueryEscape(secret))
	}
}

func TestS113_TheWayIsChosenForEveryHop(t *testing.T) {
	b := wiretest.Serve(t, wiretest.Echo())
	a := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://b.test/there\r\nContent-Length: 0\r\n\r\n"
	}))
	p := wiretest.NewProxy(t, wiretest.NewNames(map[string]string{"a.test:80": a.Addr()}), "user:SECRET")
	t.Setenv("HTTP_PROXY", withLogin(p.Server, "http", "user:SECRET"))
	t.Setenv("NO_PROXY", "b.test")
	client := newSession(t, parley.WithDialer(direct(wiretest.NewNames(map[string]string{"b.test:80": b.Addr()}), p.Server)))
	require.Equal(t, "/there", textOf(t, client, "http://a.test/", parley.WithHeader("Proxy-Authorization", "Basic "+basicOf("user:SECRET"))))
	require.Equal(t, []string{"GET http://a.test/"}, p.Asked())
	require.NotContains(t, b.Text(), "Proxy-")
	requireNoSecret(t, b.Text(), "user:SECRET")
}

func TestS114_ProxiesHaveTheirOwnCredentials(t *testing.T) {
	w := newWorld(t)
	away := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 307 Temporary\r\nLocation: https://a.test/there\r\nContent-Length: 0\r\n\r\n"
	}))
	w.names.Lead("a.test:80", away.Addr())
	one, two := wiretest.NewProxy(t, w.names, "user:SECRET"), wiretest.NewProxy(t, w.names, "")
	t.Setenv("HTTP_PROXY", withLogin(one.Server, "http", "user:SECRET"))
	t.Setenv("HTTPS_PROXY", two.URL())
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()))
	require.Equal(t, "a.test/there", textOf(t, client, "http://a.test/"))
	require.Equal(t, []string{"GET http://a.test/"}, one.Asked())
	require.Equal(t, []string{"CONNECT a.test:443"}, two.Asked())
	requireNoSecret(t, two.Text(), "user:SECRET")
	require.Equal(t, []string{"-"}, loginsOf(two.Server))
	textOf(t, client, "http://b.test/", parley.WithProxy(two.URL()))
	requireNoSecret(t, two.Text(), "user:SECRET")
}

func TestS115_ConnectSaysNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "user:pass")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:pass")), parley.WithTLSConfig(w.ca.Trusted()),
		parley.WithHeader("X-Api-Key", "SECRET"), parley.WithHeader("User-Agent", "SECRET"), parley.WithBasicAuth("u", "SECRET"),
		parley.WithCookie("c", "SECRET"))
	here, err := url.Parse("https://a.test/")
	require.NoError(t, err)
	client.Jar().SetCookies(here, []*http.Cookie{{Name: "sid", Value: "SECRET"}})
	textOf(t, client, "https://a.test/SECRET?SECRET", parley.WithHeader("X-Once", "SECRET"), parley.WithHost("b.test"), parley.WithHeaderOrder("x-once"))
	head, _, _ := strings.Cut(p.Text(), "\r\n\r\n")
	require.Regexp(t, `^CONNECT a\.test:443 HTTP/1\.1\r\nHost: a\.test:443\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\nUser-Agent: parley/[0-9.]+$`, head)
}

func TestS116_OnlyA2xxMakesATunnel(t *testing.T) {
	t.Parallel()
	const refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
	for rule, c := range map[string]struct {
		answer string
		kind   error
		status int
		body   string
	}{
		"403":                             {"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nPAGE", parley.ErrProxy, 403, "PAGE"},
		"a redirect is not followed":      {"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n", parley.ErrProxy, 302, ""},
		"a body that never ends":          {"HTTP/1.1 403 Forbidden\r\n\r\n" + strings.Repeat("PAGE", 100<<10), parley.ErrProxy, 403, strings.Repeat("PAGE", 1<<10)},
		"407":                             {refusal + refusal, parley.ErrProxy, 407, ""},
		"101":                             {"HTTP/1.1 101 Switching Protocols\r\n\r\n", parley.ErrProxy, 101, ""},
		"garbage":                         {"hello world\r\n\r\n", parley.ErrRemoteProtocol, 0, ""},
		"another version":                 {"HTTP/2.0 200 OK\r\n\r\n", parley.ErrRemoteProtocol, 0, ""},
		"the end":                         {"", parley.ErrPeerClosed, 0, ""},
		"the end within the head":         {"HTTP/1.1 200 OK\r\nX-", parley.ErrPeerClosed, 0, ""},
		"a body behind the head":          {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!", parley.ErrRemoteProtocol, 0, ""},
		"an answer that nobody asked for": {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", parley.ErrRemoteProtocol, 0, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			proxy := wiretest.Serve(t, func(conn *wiretest.Conn) {
				if _, err := conn.ReadHead(); err != nil || c.answer == "" || !conn.Say(c.answer) {
					return
				}
				if c.status != 0 {
					conn.Rest()
				}
			})
			client := newSession(t, parley.WithProxy(withLogin(proxy, "http", "user:pass")), parley.WithBasicAuth("u", "SECRET"))
			_, err := client.Post(t.Context(), "https://a.test/", parley.WithText("SECRET"))
			requireProxyError(t, err, parley.PhaseConnect)
			require.ErrorIs(t, err, c.kind)
			refused := (*parley.ProxyError)(nil)
			require.Equal(t, c.status != 0, errors.As(err, &refused))
			if refused != nil {
				require.Equal(t, c.status, refused.StatusCode)
				require.Equal(t, c.body, string(refused.Body))
				require.NotContains(t, err.Error(), "PAGE", "what it says is not part of the text")
			}
			require.Equal(t, 1, strings.Count(proxy.Text(), "\r\n\r\n"))
			require.True(t, strings.HasSuffix(proxy.Text(), "\r\n\r\n"), "nothing follows the CONNECT")
			require.Equal(t, 1, proxy.Accepted())
			require.Zero(t, client.Stats().Idle)
		})
	}
	t.Run("what a 200 says of a body counts for nothing", func(t *testing.T) {
		w := newWorld(t)
		p := wiretest.NewProxy(t, w.names, "")
		p.Connected = "HTTP/1.1 299 Fine\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
		client := newSession(t, parley.WithProxy(p.URL()), parley.WithTLSConfig(w.ca.Trusted()))
		for range 2 {
			require.Equal(t, "a.test/", textOf(t, client, "https://a.test/"))
		}
		require.Equal(t, 1, p.Accepted())
	})
}

func TestS163_UsersOfAProxyAreNeverMixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	client := newSession(t)
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			login := fmt.Sprintf("user%d:password%d", i%4, i%4)
			session, err := client.With(parley.WithProxy(withLogin(p.Server, "http", login)))
			if err != nil {
				t.Error(err)
				return
			}
			defer session.Close()
			for range 10 {
				if _, err := session.Get(t.Context(), "http://a.test/"); err != nil {
					t.Error(err)
				}
				client.Pool().CloseIdle()
			}
		})
	}
	running.Wait()
	pairs := map[string]bool{}
	for i := range 4 {
		pairs["Basic "+basicOf(fmt.Sprintf("user%d:password%d", i, i))] = true
	}
	logins := loginsOf(p.Server)
	require.Len(t, logins, 80)
	for _, login := range logins {
		require.True(t, pairs[login], login)
	}
}

func TestS164_NoErrorShowsAProxyPassword(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	closed := wiretest.Serve(t, (*wiretest.Conn).Rest)
	closed.Close()
	secure := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	garbage := wiretest.Serve(t, func(c *wiretest.Conn) { c.Say("garbage\r\n\r\n"); c.Rest() })
	client := newSession(t)
	for _, proxy := range []string{
		withLogin(closed, "http", "u:SECRET"), withLogin(closed, "socks5", "u:SECRET"), withLogin(secure, "https", "u:SECRET"),
		withLogin(garbage, "http", "u:SECRET"), withLogin(garbage, "socks5h", "u:SECRET"),
		"ftp://u:SECRET@p.test", "http://u:SECRET@p.test:x",
	} {
		_, err := client.Get(t.Context(), "https://a.test/", parley.WithProxy(proxy))
		require.Error(t, err)
		requireNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err), "SECRET", "u:SECRET")
	}
}

func TestS115_HeadersForTheProxyAreItsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:pass")), parley.WithTLSConfig(w.ca.Trusted()),
		parley.WithProxyHeader("x-ticket", "SECRET1"), parley.WithProxyHeader("User-Agent", "mine"))
	textOf(t, client, "https://a.test/")
	head, _, _ := strings.Cut(p.Text(), "\r\n\r\n")
	require.Equal(t, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Authorization: Basic "+basicOf("user:pass")+
		"\r\nUser-Agent: mine\r\nX-Ticket: SECRET1", head)
	for range 2 {
		textOf(t, client, "https://a.test/")
		textOf(t, client, "https://a.test/", parley.WithProxyHeader("X-Ticket", "SECRET2"))
		textOf(t, client, "https://a.test/", parley.WithProxyHeader("X-Ticket", ""), parley.WithProxyHeader("Proxy-Authorization", "Bearer SECRET3"))
	}
	require.Len(t, p.Asked(), 3, "they are a part of what tells tunnels apart")
	require.Contains(t, p.Text(), "Proxy-Authorization: Bearer SECRET3\r\nUser-Agent: mine\r\n\r\n")
	requireNoSecret(t, w.secure.Text(), "SECRET1", "SECRET2", "SECRET3")

	names := direct(wiretest.NewNames(map[string]string{"a.test:80": w.clear.Addr()}), p.Server)
	client = derive(t, client, parley.WithDialer(names))
	textOf(t, client, "http://a.test/", parley.WithProxy(withLogin(p.Server, "socks5h", "")))
	textOf(t, client, "http://a.test/", parley.WithoutProxy())
	requireNoSecret(t, w.clear.Text(), "SECRET1")
	before := len(p.Text())
	textOf(t, client, "http://a.test/", parley.WithHeader("X-Ticket", "of the caller's"), parley.WithHeader("Proxy-Authorization", "Bearer given"))
	require.Contains(t, p.Text()[before:], "\r\nX-Ticket: SECRET1\r\n")
	require.Contains(t, p.Text()[before:], "\r\nProxy-Authorization: Bearer given\r\n")
	require.NotContains(t, p.Text()[before:], "of the caller's")

	prepared, err := parley.NewRequest("GET", "https://b.test/", parley.WithProxyHeader("X-Other", "2"))
	require.NoError(t, err)
	resp, err := client.Send(t.Context(), prepared)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Contains(t, p.Text(), "User-Agent: mine\r\nX-Other: 2\r\nX-Ticket: SECRET1\r\n\r\n")
	e, err := client.Explain(prepared)
	require.NoError(t, err)
	require.Contains(t, e.PoolKey, "with headers for the proxy")
	requireNoSecret(t, e.String(), "SECRET1")

	for _, bad := range []struct{ name, value string }{
		{"X-Ticket", "SECRET\r\nX: 1"}, {"X Ticket", "SECRET"}, {"", "SECRET"}, {"X-Ticket", "SECRET\x00"},
		{"Host", "SECRET"}, {"content-length", "5"}, {"Transfer-Encoding", "chunked"}, {"Connection", "close"}, {"Upgrade", "x"},
	} {
		_, err := parley.New(parley.WithProxyHeader(bad.name, bad.value))
		require.ErrorIs(t, err, parley.ErrInvalidHeader, bad.name)
		require.NotContains(t, err.Error(), "SECRET")
	}
}
