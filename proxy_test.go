package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// world is servers behind a proxy: http://a.test and http://b.test with one server,
// https://a.test and https://b.test with another. Nothing but the proxy leads there.
type world struct {
	ca            *wiretest.Authority
	clear, secure *wiretest.Server
	names         *wiretest.Names
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{ca: wiretest.NewAuthority(t)}
	hostAndTarget := wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(r.Host + r.RequestURI)
	})
	w.clear = wiretest.Serve(t, hostAndTarget)
	w.secure = wiretest.ServeTLS(t, asServed(t, w.ca.Server(t, "a.test", "b.test")), hostAndTarget)
	w.names = wiretest.NewNames(map[string]string{
		"a.test:80": w.clear.Addr(), "b.test:80": w.clear.Addr(),
		"a.test:443": w.secure.Addr(), "b.test:443": w.secure.Addr(),
	})
	return w
}

// withLogin puts credentials into the URL of a server, and gives it another scheme.
func withLogin(s *wiretest.Server, scheme, login string) string {
	if login != "" {
		login += "@"
	}
	return scheme + "://" + login + s.Addr()
}

func TestProxy_everyKindLeadsToEveryServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const login = "us er:pa:ss@%"
	const inURL = "us%20er:pa:ss%40%25"
	for _, secure := range []bool{false, true} {
		for _, wanted := range []string{"", login} {
			var p *wiretest.Proxy
			schemes := []string{"http", "socks5h"}
			if secure {
				p = wiretest.NewProxyTLS(t, w.ca.Server(t), w.names, wanted)
				schemes = []string{"https"}
			} else {
				p = wiretest.NewProxy(t, w.names, wanted)
			}
			for _, scheme := range schemes {
				t.Run(fmt.Sprintf("%s with login %q", scheme, wanted), func(t *testing.T) {
					own := ""
					if wanted != "" {
						own = inURL
					}
					client := newSession(t, parley.WithProxy(withLogin(p.Server, scheme, own)),
						parley.WithTLSConfig(w.ca.Trusted()), parley.WithProxyTLSConfig(w.ca.Trusted()))
					before := len(p.Asked())
					for range 2 {
						for _, url := range []string{"http://a.test/x?y", "https://a.test/x?y", "http://b.test/", "https://b.test/"} {
							resp, err := client.Get(t.Context(), url)
							require.NoError(t, err)
							text, err := resp.Text()
							require.NoError(t, err)
							require.Equal(t, strings.SplitN(url, "://", 2)[1], text)
							require.Equal(t, strings.HasPrefix(url, "https:"), resp.TLS != nil)
						}
					}
					switch asked := p.Asked()[before:]; scheme {
					case "socks5h":
						require.Equal(t, []string{"SOCKS a.test:80", "SOCKS a.test:443", "SOCKS b.test:80", "SOCKS b.test:443"}, asked)
					default:
						require.Equal(t, []string{
							"GET http://a.test/x?y", "CONNECT a.test:443", "GET http://b.test/", "CONNECT b.test:443",
							"GET http://a.test/x?y", "GET http://b.test/",
						}, asked)
					}
				})
			}
		}
	}
	require.NotContains(t, w.clear.Text()+w.secure.Text(), "Proxy-")
}

func TestProxy_requestBeforeSessionAndFunction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := wiretest.NewProxy(t, w.names, ""), wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithProxy(one.URL()), parley.WithDialer(direct(w.names, one.Server, two.Server)))
	get := func(opts ...parley.RequestOption) {
		require.Equal(t, "a.test/", textOf(t, client, "http://a.test/", opts...))
	}
	get()
	require.Equal(t, []int{1, 0}, []int{len(one.Asked()), len(two.Asked())})
	get(parley.WithProxy(two.URL()))
	require.Equal(t, []int{1, 1}, []int{len(one.Asked()), len(two.Asked())}, "the request's word wins")
	get(parley.WithoutProxy())
	require.Equal(t, []int{1, 1}, []int{len(one.Asked()), len(two.Asked())}, "none is a choice as well")
	byPath := parley.WithProxyFunc(func(req *parley.Request) (*url.URL, error) {
		if req.Method == http.MethodHead {
			return nil, nil
		}
		return url.Parse(two.URL())
	})
	get(byPath)
	_, err := client.Head(t.Context(), "http://a.test/", byPath)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, []int{len(one.Asked()), len(two.Asked())})

	failure := errors.New("no way")
	_, err = client.Get(t.Context(), "http://a.test/", parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { return nil, failure }))
	requireProxyError(t, err, parley.PhaseRequest)
	require.ErrorIs(t, err, failure)
	_, err = client.Get(t.Context(), "http://a.test/", parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { return url.Parse("ftp://p.test") }))
	requireProxyError(t, err, parley.PhaseRequest)
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)

	req, err := parley.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	p, err := parley.NewProxy(two.URL())
	require.NoError(t, err)
	req.Proxy = p
	_, err = client.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, []int{len(one.Asked()), len(two.Asked())}, "the field does what the option does")
}

// direct leads to where names lead and to the servers themselves.
func direct(names *wiretest.Names, servers ...*wiretest.Server) *wiretest.Names {
	for _, s := range servers {
		names.Lead(s.Addr(), s.Addr())
	}
	return names
}

// requireProxyError checks a failure of a proxy by which no server can have seen
// the request.
func requireProxyError(t testing.TB, err error, phase parley.Phase) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, parley.ErrProxy)
	require.Equal(t, phase, e.Phase, "%v", err)
	require.Equal(t, parley.NotSent, e.Sent)
}

func TestProxy_formsOfItsURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://P.test.":                 "http://p.test:80",
		"p.test:8080":                    "http://p.test:8080",
		"u:s@p.test:8080":                "http://p.test:8080",
		"http://p.test:3128/":            "http://p.test:3128",
		"HTTPS://p.test":                 "https://p.test:443",
		"https://p.test:80":              "https://p.test:80",
		"https://p.test:443":             "https://p.test:443",
		"socks5://p.test":                "socks5://p.test:1080",
		"socks5://p.test:80":             "socks5://p.test:80",
		"socks5h://p.test:443":           "socks5h://p.test:443",
		"socks5h://u:@[::1]":             "socks5h://[::1]:1080",
		"http://u%20:%3as@127.0.0.1:080": "http://127.0.0.1:80",
	} {
		p, err := parley.NewProxy(in)
		require.NoError(t, err, in)
		require.Equal(t, "<Proxy "+want+">", p.String())
		u, err := p.For(nil)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	for in, kind := range map[string]error{
		"":                             parley.ErrInvalidURL,
		" ":                            parley.ErrInvalidURL,
		" http://p.test":               parley.ErrUnsupportedProtocol,
		"http://p.test ":               parley.ErrInvalidURL,
		"http://p.test\n":              parley.ErrInvalidURL,
		"://":                          parley.ErrUnsupportedProtocol,
		"http//p":                      parley.ErrInvalidURL,
		"http://":                      parley.ErrInvalidURL,
		"http://[bad":                  parley.ErrInvalidURL,
		"http://p.test:99999":          parley.ErrInvalidURL,
		"http://p.test/path":           parley.ErrInvalidURL,
		"http://p.test?q":              parley.ErrInvalidURL,
		"http://p.test#f":              parley.ErrInvalidURL,
		"http://p.test\r\nX: 1":        parley.ErrInvalidURL,
		"http://us%3Aer:SECRET@p.test": parley.ErrInvalidURL,
		"http://u:SECRET%0a@p.test":    parley.ErrInvalidURL,
		"socks5://:SECRET@p.test":      parley.ErrInvalidURL,
		"socks4://u:SECRET@p.test":     parley.ErrUnsupportedProtocol,
		"ftp://p.test":                 parley.ErrUnsupportedProtocol,
		"http://u:SECRET@p.test:x":     parley.ErrInvalidURL,
		"http://u:SECRET@p te.st":      parley.ErrInvalidURL,
		"socks5://u:" + strings.Repeat("SECRET", 50) + "@p.test": parley.ErrInvalidURL,
	} {
		_, err := parley.NewProxy(in)
		require.ErrorIs(t, err, kind, in)
		require.NotContains(t, err.Error(), "SECRET")
		_, err = parley.New(parley.WithProxy(in))
		require.ErrorIs(t, err, kind, "the option fails in New: %s", in)
		_, err = parley.NewRequest("GET", "http://a.test", parley.WithProxy(in))
		require.ErrorIs(t, err, kind, "and where a request is made: %s", in)
	}
	_, err := parley.New(parley.WithProxyFunc(nil))
	require.Error(t, err)
}

func TestProxy_refusalOfATunnel(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return "HTTP/1.1 403 No \xff" + strings.Repeat("way ", 100) + "\r\nX-Why: SECRET\r\nContent-Length: 4\r\n\r\nbody"
	}))
	client := newSession(t, parley.WithProxy(proxy.URL()))
	_, err := client.Get(t.Context(), "https://a.test/SECRET")
	requireProxyError(t, err, parley.PhaseConnect)
	var refused *parley.ProxyError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 403, refused.StatusCode)
	require.Equal(t, proxy.URL(), refused.Proxy)
	require.Equal(t, "a.test:443", refused.Target)
	require.Equal(t, "SECRET", refused.Header.Get("X-Why"))
	require.Contains(t, refused.Error(), `403 No \xffway`)
	require.Less(t, len(refused.Error()), 300)
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, refused), "SECRET")
	}
	require.ErrorIs(t, refused, parley.ErrProxy)

	p := wiretest.NewProxy(t, wiretest.NewNames(nil), "user:secret")
	for url, advice := range map[string]string{p.URL(): "give user and password", withLogin(p.Server, "http", "user:wrong"): "does not accept"} {
		_, err = client.Get(t.Context(), "https://a.test/", parley.WithProxy(url))
		requireProxyError(t, err, parley.PhaseConnect)
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusProxyAuthRequired, refused.StatusCode)
		require.ErrorContains(t, err, advice)
		resp, err := client.Get(t.Context(), "http://a.test/", parley.WithProxy(url))
		require.NoError(t, err, "without a tunnel it is an answer like any other")
		require.Equal(t, http.StatusProxyAuthRequired, resp.StatusCode)
	}
}

// What a proxy says with its 2xx can be seen, as long as the tunnel serves.
func TestProxy_headerOfATunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "")
	p.Connected = "HTTP/1.1 200 Connection established\r\nX-Exit: 192.0.2.9\r\nX-Exit: session 5\r\n\r\n"
	client := newSession(t, parley.WithTLSConfig(w.ca.Trusted()))
	for range 2 {
		resp, err := client.Get(t.Context(), "https://a.test/", parley.WithProxy(p.URL()))
		require.NoError(t, err)
		require.Equal(t, http.Header{"X-Exit": {"192.0.2.9", "session 5"}}, resp.ProxyHeader())
		require.Empty(t, resp.Header["X-Exit"])
		resp.ProxyHeader().Del("X-Exit") // of a copy
	}
	require.Equal(t, 1, p.Accepted())
	for _, proxy := range []string{p.URL(), withLogin(p.Server, "socks5h", "")} {
		resp, err := client.Get(t.Context(), "http://a.test/", parley.WithProxy(proxy))
		require.NoError(t, err)
		require.Nil(t, resp.ProxyHeader())
	}
	require.Nil(t, new(parley.Response).ProxyHeader())
}

func TestProxy_failuresOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "user:secret")
	gone := wiretest.Serve(t, func(c *wiretest.Conn) {})
	closed := wiretest.Serve(t, func(c *wiretest.Conn) {})
	closed.Close()
	foreign := wiretest.ServeTLS(t, wiretest.NewAuthority(t).Server(t), wiretest.Echo())
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	client := newSession(t, parley.WithDialer(&net.Dialer{Resolver: resolver}))
	for rule, c := range map[string]struct {
		url   string
		kinds []error
		text  string
	}{
		"nobody listens":               {closed.URL(), []error{parley.ErrConnect}, "proxy http://127.0.0.1"},
		"it hangs up":                  {gone.URL(), []error{parley.ErrPeerClosed}, "CONNECT with http://127.0.0.1"},
		"it is not trusted":            {foreign.URL(), []error{parley.ErrTLS}, "TLS handshake with https://127.0.0.1"},
		"SOCKS: wrong password":        {withLogin(p.Server, "socks5h", "user:other"), nil, "authentication failed"},
		"SOCKS: no password":           {withLogin(p.Server, "socks5h", ""), nil, "no acceptable authentication methods"},
		"SOCKS: no such server":        {withLogin(p.Server, "socks5h", "user:secret"), nil, "host unreachable"},
		"SOCKS: unknown name":          {withLogin(p.Server, "socks5", "user:secret"), []error{parley.ErrConnect}, "name of the server"},
		"SOCKS: not a SOCKS proxy":     {withLogin(gone, "socks5h", ""), []error{parley.ErrPeerClosed}, "SOCKS with socks5h://127"},
		"HTTP: the proxy is no server": {withLogin(p.Server, "http", "user:secret"), nil, "502"},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := client.Get(t.Context(), "https://nowhere.invalid/", parley.WithProxy(c.url))
			requireProxyError(t, err, parley.PhaseConnect)
			for _, kind := range c.kinds {
				require.ErrorIs(t, err, kind)
			}
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Empty(t, w.clear.Text()+w.secure.Text())
	require.Zero(t, client.Stats().Idle)
}

func TestProxy_poolSeesWhereConnectionsLead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxyTLS(t, w.ca.Server(t), w.names, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "https", "user:secret")), parley.WithProxyTLSConfig(w.ca.Trusted()),
		parley.WithTLSConfig(w.ca.Trusted()))
	textOf(t, client, "http://a.test/")
	textOf(t, client, "http://b.test/")
	textOf(t, client, "https://a.test/")
	var origins []string
	for _, o := range client.Stats().Origins {
		origins = append(origins, o.Origin)
	}
	require.Equal(t, []string{"http://* via " + p.URL(), "https://a.test:443 via " + p.URL()}, origins)
	require.Equal(t, 2, p.Accepted())
	require.Equal(t, "a.test/", textOf(t, client, "https://a.test/"), "an idle connection is probed through both layers of TLS")
	require.Equal(t, 2, p.Accepted())
	w.secure.Close()
	wiretest.Eventually(t, func() bool { return len(client.Stats().Origins) > 0 }, "there are connections")
}

func TestProxy_tunnelCarriesBodiesAndUpgrades(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t, "a.test"), func(c *wiretest.Conn) {
		r, err := c.ReadRequest()
		if err != nil {
			return
		}
		if r.Header.Get("Upgrade") != "" {
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			c.Rest()
			return
		}
		c.Say(wiretest.OK(fmt.Sprint(len(r.Content))))
	})
	p := wiretest.NewProxyTLS(t, ca.Server(t), wiretest.NewNames(map[string]string{"a.test:443": server.Addr()}), "")
	client := newSession(t, parley.WithProxy(p.URL()), parley.WithProxyTLSConfig(ca.Trusted()), parley.WithTLSConfig(ca.Trusted()))
	resp, err := client.Post(t.Context(), "https://a.test/", parley.WithReader(strings.NewReader(strings.Repeat("x", 1<<20))))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(1<<20), text)
	resp, err = client.Get(t.Context(), "https://a.test/", parley.WithHeader("Connection", "upgrade"), parley.WithHeader("Upgrade", "echo"))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.NoError(t, resp.Close())
}

func TestProxy_aTunnelByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := wiretest.NewProxy(t, w.names, "user:pass")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:pass")))
	textOf(t, client, "http://a.test/")
	resp, err := client.Request(t.Context(), "CONNECT", "http://b.test/")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	_, err = io.WriteString(resp.Body.(io.Writer), "GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n")
	require.NoError(t, err)
	answer := make([]byte, len(wiretest.OK("b.test/x")))
	_, err = io.ReadFull(resp.Body, answer)
	require.NoError(t, err)
	require.Equal(t, wiretest.OK("b.test/x"), string(answer))
	require.NoError(t, resp.Close())
	require.Equal(t, []string{"GET http://a.test/", "CONNECT b.test:80"}, p.Asked())
	require.Zero(t, client.Stats().Idle, "a tunnel is nobody else's")
}

func TestProxy_targetsOfOtherForms(t *testing.T) {
	t.Parallel()
	proxy := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(strings.SplitN(r.Head, "\r\n", 2)[0])
	}))
	client := newSession(t, parley.WithProxy(proxy.URL()))
	for _, c := range []struct {
		method, url string
		opt         parley.RequestOption
		want        string
	}{
		{"GET", "http://a.test:80", nil, "GET http://a.test/ HTTP/1.1"},
		{"GET", "http://[fe80::1%25eth0]:81/x?", nil, "GET http://[fe80::1]:81/x? HTTP/1.1"},
		{"OPTIONS", "http://a.test/", parley.WithTarget("*"), "OPTIONS http://a.test HTTP/1.1"},
		{"GET", "http://a.test/", parley.WithTarget("/a//../b"), "GET http://a.test/a//../b HTTP/1.1"},
		{"GET", "http://a.test/", parley.WithHost("b.test"), "GET http://a.test/ HTTP/1.1"},
	} {
		opts := []parley.RequestOption{parley.WithQueryStyle(parley.QueryPlus)}
		if c.opt != nil {
			opts = append(opts, c.opt)
		}
		resp, err := client.Request(t.Context(), c.method, c.url, opts...)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, c.want, text)
	}
	require.Equal(t, 1, proxy.Accepted())
}

func TestProxy_timeOnTheWayCountsAsConnecting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const pause = 30 * time.Millisecond
	slow := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil && c.Pause(pause) {
			c.Say("HTTP/1.1 200 OK\r\n\r\n")
			far, err := w.names.DialContext(t.Context(), "tcp", "a.test:443")
			if err != nil {
				return
			}
			defer far.Close()
			go func() {
				_, _ = io.Copy(c.Conn, far)
				c.Cut()
			}()
			_, _ = io.Copy(far, c.Reader)
		}
	})
	client := newSession(t, parley.WithProxy(slow.URL()), parley.WithTLSConfig(w.ca.Trusted()))
	resp, err := client.Get(t.Context(), "https://a.test/")
	require.NoError(t, err)
	timing := resp.Timing()
	require.GreaterOrEqual(t, timing.Connect, pause)
	require.Less(t, timing.Pool, pause)
	require.Positive(t, timing.TLS)
}

func TestProxy_limitsAndCancellationReachThrough(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t, "a.test"), wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/silent" {
			c.Hold()
			return ""
		}
		return wiretest.OK("x")
	}))
	names := wiretest.NewNames(map[string]string{"a.test:443": server.Addr()})
	plain, secure := wiretest.NewProxy(t, names, ""), wiretest.NewProxyTLS(t, ca.Server(t), names, "")
	for _, proxy := range []string{plain.URL(), secure.URL(), withLogin(plain.Server, "socks5h", "")} {
		client := newSession(t, parley.WithProxy(proxy), parley.WithProxyTLSConfig(ca.Trusted()), parley.WithTLSConfig(ca.Trusted()))
		textOf(t, client, "https://a.test/")
		_, err := client.Get(t.Context(), "https://a.test/silent", parley.WithTimeouts(parley.Timeouts{Response: 50 * time.Millisecond}))
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = client.Get(ctx, "https://a.test/silent")
		require.ErrorIs(t, err, context.Canceled)
		textOf(t, client, "https://a.test/")
		require.Equal(t, 1, client.Stats().Idle)
	}
}
