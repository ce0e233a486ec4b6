package parley_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestS117_NoOtherWayThanTheOneAskedFor(t *testing.T) {
	t.Parallel()
	var first string
	proxy := wiretest.Serve(t, func(c *wiretest.Conn) {
		b, err := c.Reader.Peek(1)
		if err == nil {
			first = fmt.Sprintf("%x", b)
		}
	})
	names := direct(wiretest.NewNames(nil), proxy)
	client := newSession(t, parley.WithDialer(names))
	_, err := client.Get(t.Context(), "http://a.test/", parley.WithProxy(withLogin(proxy, "https", "")))
	requireProxyError(t, err, parley.PhaseConnect)
	proxy.Close()
	require.Equal(t, "16", first, "a TLS handshake")
	for _, bad := range []string{"socks4://p.test", "ftp://p.test", "://", "http//p.test"} {
		_, err := client.Get(t.Context(), "http://a.test/", parley.WithProxy(bad))
		require.Error(t, err, bad)
	}
	require.Equal(t, []string{proxy.Addr()}, names.Asked(), "never past the proxy")
}

func TestS118_SpellingsOfWhatNeedsNoProxy(t *testing.T) {
	for _, c := range []struct {
		rules, url string
		proxied    bool
	}{
		{"localhost", "http://localhost./", false},
		{"localhost", "http://LOCALHOST/", false},
		{"", "http://localhost/", false},
		{"", "http://127.0.0.1/", false},
		{"", "http://127.9.9.9:81/", false},
		{"", "http://[::1]/", false},
		{"", "http://[::ffff:127.0.0.1]/", false},
		{"", "http://0.0.0.0/", true}, // an address like others; NO_PROXY may name it
		{"0.0.0.0", "http://0.0.0.0/", false},
		{".example.test", "http://[fe80::1%25.example.test]/", true},
		{"fe80::/10", "http://[fe80::1%25eth0]/", false},
		{"fe80::1", "http://[fe80::1%25eth0]/", false},
		{"example.test", "http://badexample.test/", true},
		{"example.test", "http://www.Example.Test./", false},
		{"example.test", "http://example.test/", false},
		{".example.test", "http://example.test/", true},
		{".example.test", "http://www.example.test/", false},
		{"*.example.test", "http://www.example.test/", false},
		{"Example.Test.", "http://example.test/", false},
		{"a.test b.test,c.test", "http://b.test/", false},
		{"example.test:8080", "http://example.test/", true},
		{"example.test:8080", "http://example.test:8080/", false},
		{"example.test:443", "https://example.test/", false},
		{"10.0.0.0/8", "http://10.1.2.3/", false},
		{"10.0.0.0/8", "http://[::ffff:10.1.2.3]/", false},
		{"10.0.0.0/8", "http://11.1.2.3/", true},
		{"[2001:db8::1]", "http://[2001:DB8:0::1]/", false},
		{"[2001:db8::1]:81", "http://[2001:db8::1]:81/", false},
		{"2001:db8::/32", "https://[2001:db8::2]/", false},
		{"1", "http://10.1.2.3/", true},
		{"bücher.test", "http://xn--bcher-kva.test/", false},
		{"*", "http://a.test/", false},
	} {
		t.Run(c.rules+" for "+c.url, func(t *testing.T) {
			t.Setenv("ALL_PROXY", "http://p.test")
			t.Setenv("NO_PROXY", c.rules)
			value, _, _ := explainedProxy(t, newSession(t), c.url)
			require.Equal(t, c.proxied, value != "none", value)
		})
	}
}

func TestS119_HeaderOfAVisitorChoosesNoProxy(t *testing.T) {
	t.Setenv("REQUEST_METHOD", "GET")
	t.Setenv("HTTP_PROXY", "http://evil.test")
	proxyOf := func(opts ...parley.ClientOption) string {
		value, _, _ := explainedProxy(t, newSession(t, opts...), "http://a.test/")
		return value
	}
	require.Equal(t, "none", proxyOf())
	t.Setenv("http_proxy", "http://mine.test")
	require.Equal(t, "http://mine.test:80 of http_proxy", proxyOf())
	require.Equal(t, "none", proxyOf(parley.WithEnv(false)))
}

func TestS120_SOCKSNamesStayNames(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, (*wiretest.Conn).Rest)
	// Whoever asks this resolver for a name fails the test.
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a name was resolved here")
		return nil, io.ErrUnexpectedEOF
	}}
	client := newSession(t, parley.WithProxy(withLogin(proxy, "socks5h", "")), parley.WithDialer(&net.Dialer{Resolver: resolver}))
	long := strings.Repeat(strings.Repeat("x", 63)+".", 4) + "test"
	_, err := client.Get(t.Context(), "http://"+long+"/")
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.Zero(t, proxy.Accepted())

	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	upgraded := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello")
		}
	})
	w.names.Lead("c.test:80", upgraded.Addr())
	feed := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return streams("data: x\n\n") }))
	w.names.Lead("d.test:80", feed.Addr())
	client = newSession(t, parley.WithProxy(withLogin(p.Server, "socks5h", "")), parley.WithDialer(&net.Dialer{Resolver: resolver}))
	textOf(t, client, "http://a.test/")
	resp, err := client.Stream(t.Context(), "GET", "http://a.test/stream")
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	resp, err = client.Get(t.Context(), "http://c.test/", parley.WithHeader("Connection", "upgrade"), parley.WithHeader("Upgrade", "x"))
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(all))
	require.NoError(t, resp.Close())
	events := 0
	for e, err := range client.Events(t.Context(), "http://d.test/feed", hastily) {
		require.NoError(t, err)
		require.Equal(t, "x", e.Data)
		if events++; events == 2 {
			break // the second came by another request
		}
	}
	file, err := client.Download(t.Context(), "http://a.test/file", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "file", filepath.Base(file.Path))
	require.Equal(t, []string{"SOCKS a.test:80", "SOCKS c.test:80", "SOCKS d.test:80"}, slices.Compact(p.Asked()))
}

func TestS120_SOCKSAnswersOfAllKinds(t *testing.T) {
	t.Parallel()
	const granted = "\x05\x00" + "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	answering := func(text string, drip bool) *wiretest.Server {
		return wiretest.Serve(t, func(c *wiretest.Conn) {
			if drip {
				if !c.Drip(text[:2], time.Millisecond) {
					return
				}
				c.Drip(text[2:], time.Millisecond)
			} else {
				c.Say(text)
			}
			c.Rest()
		})
	}
	client := newSession(t)
	for rule, c := range map[string]struct {
		text string
		drip bool
		ok   bool
	}{
		"byte by byte":                     {granted + answer, true, true},
		"with a name as address":           {"\x05\x00\x05\x00\x00\x03\x04name\x00\x50" + answer, true, true},
		"with an address of IPv6":          {"\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 18) + answer, false, true},
		"another version":                  {"\x04\x00", false, false},
		"no method":                        {"\x05\xff", false, false},
		"refused":                          {"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", false, false},
		"another version later":            {"\x05\x00\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00", false, false},
		"an unknown kind of address":       {"\x05\x00\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00", false, false},
		"HTTP instead: \n[INFO] \x1b[31m ": {"HTTP/1.1 400 Bad\r\n\r\n", false, false},
	} {
		proxy := answering(c.text, c.drip)
		resp, err := client.Get(t.Context(), "http://a.test/SECRET", parley.WithProxy(withLogin(proxy, "socks5h", "")))
		if c.ok {
			require.NoError(t, err, rule)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			continue
		}
		requireProxyError(t, err, parley.PhaseConnect)
		require.NotContains(t, proxy.Text(), "SECRET", rule)
	}
	short := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := io.ReadFull(c.Reader, make([]byte, 3)); err == nil {
			c.Say("\x05\x00\x05\x00")
		}
	})
	_, err := client.Get(t.Context(), "http://a.test/", parley.WithProxy(withLogin(short, "socks5h", "")))
	requireProxyError(t, err, parley.PhaseConnect)
	require.ErrorIs(t, err, parley.ErrPeerClosed)
}

func TestS121_NoHopPassesTheProxy(t *testing.T) {
	t.Parallel()
	b := wiretest.Serve(t, wiretest.Echo())
	a := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://b.test/there\r\nContent-Length: 0\r\n\r\n"
	}))
	p := wiretest.NewProxy(t, wiretest.NewNames(map[string]string{"a.test:80": a.Addr(), "b.test:80": b.Addr()}), "")
	names := direct(wiretest.NewNames(nil), p.Server)
	client := newSession(t, parley.WithProxy(p.URL()), parley.WithDialer(names))
	require.Equal(t, "/there", textOf(t, client, "http://a.test/"))
	require.Equal(t, []string{"GET http://a.test/", "GET http://b.test/there"}, p.Asked())
	require.Equal(t, []string{p.Addr()}, names.Asked())
	// Nor does another try.
	d := serveInTurn(t, refusal(503), wiretest.OK("at last"))
	p.Names.Lead("d.test:80", d.Addr())
	require.Equal(t, "at last", textOf(t, client, "http://d.test/", promptly(parley.RetryPolicy{})))
	require.Equal(t, []string{"GET http://d.test/", "GET http://d.test/"}, p.Asked()[2:])
	// Nor does a round of authentication.
	c := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.Header.Get("Authorization") == "" {
			return "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK("in")
	}))
	p.Names.Lead("c.test:80", c.Addr())
	auth, err := parley.DigestAuth("user", "password")
	require.NoError(t, err)
	require.Equal(t, "in", textOf(t, client, "http://c.test/", parley.WithAuth(auth)))
	require.Equal(t, []string{"GET http://c.test/", "GET http://c.test/"}, p.Asked()[4:])
	require.Equal(t, []string{p.Addr()}, names.Asked())
}

func TestS142_CredentialsAreOfTheRequestNotTheConnection(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if strings.Contains(r.RequestURI, "//a.test") {
			return "HTTP/1.1 302 Found\r\nLocation: http://b.test/there\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(r.RequestURI)
	}))
	client := newSession(t, parley.WithProxy(withLogin(proxy, "http", "p:q")))
	require.Equal(t, "http://b.test/there", textOf(t, client, "http://u:SECRET@a.test/"))
	require.Equal(t, 1, proxy.Accepted())
	first, second, _ := strings.Cut(proxy.Text(), "\r\n\r\n")
	require.Contains(t, first, "\r\nAuthorization: Basic "+basicOf("u:SECRET"))
	require.NotContains(t, second, "\r\nAuthorization:")
	require.Contains(t, second, "\r\nProxy-Authorization: Basic "+basicOf("p:q"))
}

func TestS146_A407OfAServerIsAnAnswer(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	challenge := func(status string) func(*wiretest.Conn) {
		return wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
			return "HTTP/1.1 " + status + "\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
		})
	}
	const status = "407 Proxy Authentication Required"
	clear, secure := wiretest.Serve(t, challenge(status)), wiretest.ServeTLS(t, ca.Server(t, "a.test"), challenge(status))
	names := wiretest.NewNames(map[string]string{"a.test:80": clear.Addr(), "a.test:443": secure.Addr()})
	p := wiretest.NewProxy(t, names, "user:SECRET")
	client := newSession(t, parley.WithTLSConfig(ca.Trusted()), parley.WithDialer(direct(wiretest.NewNames(map[string]string{
		"a.test:80": clear.Addr(), "a.test:443": secure.Addr(),
	}), p.Server)))
	for _, c := range []struct {
		url string
		way parley.RequestOption
	}{
		{"http://a.test/", parley.WithoutProxy()},
		{"https://a.test/", parley.WithProxy(withLogin(p.Server, "http", "user:SECRET"))},
		{"http://a.test/", parley.WithProxy(withLogin(p.Server, "socks5h", "user:SECRET"))},
	} {
		resp, err := client.Get(t.Context(), c.url, c.way)
		require.NoError(t, err)
		require.Equal(t, http.StatusProxyAuthRequired, resp.StatusCode)
	}
	requireNoSecret(t, clear.Text()+secure.Text(), "user:SECRET")
	require.Equal(t, 2, strings.Count(clear.Text(), "GET /"), "and asked once each")
	require.Equal(t, 1, strings.Count(secure.Text(), "GET /"))
}

func TestS159_ConnectLimitCoversTheWayThroughAProxy(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	silent := func(c *wiretest.Conn) { c.Hold() }
	afterConnect := func(say string) func(c *wiretest.Conn) {
		return func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil && c.Say(say) {
				c.Hold()
			}
		}
	}
	type way struct {
		scheme string
		script func(*wiretest.Conn)
		stage  string
	}
	each(t, map[string]way{
		"TLS with the proxy": {"https", silent, "TLS handshake with https://"},
		"CONNECT over TLS":   {"https+", silent, "CONNECT with https://"},
		"SOCKS greeting":     {"socks5h", silent, "SOCKS with socks5h://"},
		"SOCKS request":      {"socks5h", func(c *wiretest.Conn) { c.Say("\x05\x00"); c.Hold() }, "SOCKS with socks5h://"},
		"CONNECT":            {"http", silent, "CONNECT with http://"},
		"CONNECT answered for ever": {"http", func(c *wiretest.Conn) {
			c.Drip("HTTP/1.1 200 OK\r\nX-Slow: "+strings.Repeat("x", 1000), 10*time.Millisecond)
		}, "CONNECT with http://"},
		"TLS with the server":          {"http", afterConnect("HTTP/1.1 200 OK\r\n\r\n"), "TLS handshake"},
		"TLS with the server over TLS": {"https+", afterConnect("HTTP/1.1 200 OK\r\n\r\n"), "TLS handshake"},
	}, func(t testing.TB, row way) {
		scheme, over := strings.CutSuffix(row.scheme, "+")
		var proxy *wiretest.Server
		if over {
			proxy = wiretest.ServeTLS(t, ca.Server(t), row.script)
		} else {
			proxy = wiretest.Serve(t, row.script)
		}
		const limit = 200 * time.Millisecond
		client := newSession(t, parley.WithTimeouts(parley.Timeouts{Connect: limit}), parley.WithProxyTLSConfig(ca.Trusted()),
			parley.WithProxy(withLogin(proxy, scheme, "")))
		start := time.Now()
		_, err := client.Get(t.Context(), "https://a.test/")
		requireLapse(t, err, start, lapse{parley.ErrConnectTimeout, parley.PhaseConnect, limit, parley.NotSent})
		require.ErrorContains(t, err, row.stage)
	})
}

func TestS165_S166_S198_ProxiesPrintWithoutSecrets(t *testing.T) {
	t.Parallel()
	const secret = "http://user:SECRET@p.test"
	p, err := parley.NewProxy(secret)
	require.NoError(t, err)
	socks, err := parley.NewProxy("socks5://user:SECRET@p.test")
	require.NoError(t, err)
	client := newSession(t, parley.WithProxy(secret))
	req, err := client.NewRequest("GET", "http://a.test/", parley.WithProxy(secret))
	require.NoError(t, err)
	shown, err := client.Explain(req)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "proxy", p, "value", *p, "socks", socks, "request", req, "explained", shown, "stats", client.Stats())
	texts := []string{log.String()}
	for _, v := range []any{p, *p, socks, *socks, []any{p, *p}, struct{ P *parley.Proxy }{p}, struct{ p parley.Proxy }{*p}, struct{ p *parley.Proxy }{socks}, req, *req, client, shown} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T", "%t"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
	}
	requireNoSecret(t, strings.Join(texts, "\n"), "SECRET", "user:SECRET", fmt.Sprintf("%x", "SECRET"))
	require.Equal(t, "<Proxy http://p.test:80>", fmt.Sprint(p))
	for _, bad := range []string{"http://user:SECRET\r@p.test", "http://user:SECRET%0d@p.test", "http://user:SECRET@p.test/\n[INFO] forged", "s\x1b://user:SECRET@p.test"} {
		_, err := parley.NewProxy(bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "SECRET")
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x1b")
	}
	proxy := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 407 \t[INFO] forged \xe2\x80\xa8" + strings.Repeat("x", 100<<10) + "\r\n\r\n")
		}
	})
	_, err = client.Get(t.Context(), "https://a.test/", parley.WithProxy(withLogin(proxy, "http", "user:SECRET")))
	requireProxyError(t, err, parley.PhaseConnect)
	require.NotContains(t, err.Error(), "SECRET")
	require.Less(t, len(err.Error()), 1<<10)
	require.NotContains(t, err.Error(), "\t")
}

func TestS188_MalformedProxyOfTheEnvironmentFailsTheRequest(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:SECRET@[bad")
	t.Setenv("http_proxy", " ")
	names := wiretest.NewNames(nil)
	client := newSession(t, parley.WithDialer(names))
	_, err := client.Get(t.Context(), "https://a.test/")
	requireProxyError(t, err, parley.PhaseRequest)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.ErrorContains(t, err, "HTTPS_PROXY")
	require.NotContains(t, err.Error(), "SECRET")
	require.Empty(t, names.Asked(), "nothing went past it")

	server := wiretest.Serve(t, wiretest.Echo())
	names.Lead("a.test:80", server.Addr())
	require.Equal(t, "/", textOf(t, client, "http://a.test/"), "an empty value means none")
	_, err = client.Get(t.Context(), "https://a.test/", parley.WithoutProxy())
	require.NotErrorIs(t, err, parley.ErrProxy)
	require.Equal(t, []string{"a.test:80", "a.test:443"}, names.Asked())
}

func TestS189_WholeURLsHoldWhatAServerMayKnow(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("") }))
	client := newSession(t, parley.WithProxy(proxy.URL()))
	resp, err := client.Get(t.Context(), "http://u:SECRET@a.test:80/p?q#F")
	require.NoError(t, err)
	require.Equal(t, "http://a.test/p?q#F", resp.Request.URL.String())
	line, rest, _ := strings.Cut(proxy.Text(), "\r\n")
	require.Equal(t, "GET http://a.test/p?q HTTP/1.1", line)
	require.Contains(t, rest, "Authorization: Basic "+basicOf("u:SECRET"))
	require.NotContains(t, proxy.Text(), "SECRET")

	// Nor is there anything in a URL by hand.
	req, err := parley.NewRequest("GET", "http://a.test/x")
	require.NoError(t, err)
	req.URL.User, req.URL.Fragment = url.UserPassword("u", "SECRET"), "F"
	req.Proxy, err = parley.NewProxy(proxy.URL())
	require.NoError(t, err)
	resp, err = client.Pool().Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Contains(t, proxy.Text(), "GET http://a.test/x HTTP/1.1\r\n")
	require.NotContains(t, proxy.Text(), "SECRET")
}
