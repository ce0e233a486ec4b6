package parley_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// landscape is a server behind every name there is, and what was seen of the
// requests on their way to it.
type landscape struct {
	server *wiretest.Server
	client *parley.Client

	mu      sync.Mutex
	dialled []string // addresses that the dialer was asked for
	passed  []string // scheme and host of the URLs that middleware saw
	arrived []string // Host lines and targets that the server read
}

func newLandscape(t *testing.T, opts ...parley.ClientOption) *landscape {
	l := &landscape{}
	l.server = wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.arrived = append(l.arrived, r.Host+" "+r.RequestURI)
		return wiretest.OK("")
	}))
	see := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			l.mu.Lock()
			l.passed = append(l.passed, req.URL.Scheme+"://"+req.URL.Host)
			l.mu.Unlock()
			return next.Send(ctx, req)
		})
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		l.mu.Lock()
		l.dialled = append(l.dialled, address)
		l.mu.Unlock()
		var d net.Dialer
		return d.DialContext(ctx, network, l.server.Addr())
	}
	l.client = newSession(t, append([]parley.ClientOption{
		parley.WithDialer(parley.DialerFunc(dial)), parley.WithMiddleware(see), parley.WithNetworkMiddleware(see),
	}, opts...)...)
	return l
}

// take gives what was seen since it was called last.
func (l *landscape) take() (dialled, passed, arrived []string) {
	l.client.Pool().CloseIdle()
	l.mu.Lock()
	defer l.mu.Unlock()
	dialled, passed, arrived = l.dialled, l.passed, l.arrived
	l.dialled, l.passed, l.arrived = nil, nil, nil
	return dialled, passed, arrived
}

// requireAt checks that a request went to one place, whoever looked.
func (l *landscape) requireAt(t *testing.T, err error, host, target string) {
	t.Helper()
	require.NoError(t, err)
	dialled, passed, arrived := l.take()
	address := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		address = net.JoinHostPort(strings.Trim(host, "[]"), "80")
	}
	require.Equal(t, []string{address}, dialled, "what was dialled")
	require.Equal(t, []string{"http://" + host, "http://" + host}, passed, "what middleware saw")
	require.Equal(t, []string{host + " " + target}, arrived, "what the server read")
}

// requireNowhere checks that a request was refused and nobody heard of it.
func (l *landscape) requireNowhere(t *testing.T, err error, kind error) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, kind)
	require.Equal(t, parley.PhaseRequest, e.Phase)
	require.Equal(t, parley.NotSent, e.Sent)
	dialled, passed, arrived := l.take()
	require.Empty(t, dialled)
	require.Empty(t, passed)
	require.Empty(t, arrived)
}

func TestS127_RequestsMadeByHandAreNoWayAround(t *testing.T) {
	t.Parallel()
	l := newLandscape(t)
	for _, host := range []string{"A.TEST.", "a.test:080", "A.test"} {
		t.Run(fmt.Sprintf("a session makes %q canonical", host), func(t *testing.T) {
			req := &parley.Request{Method: "GET", URL: &url.URL{Scheme: "http", User: url.UserPassword("u", "p"), Host: host}}
			resp, err := l.client.Send(t.Context(), req)
			l.requireAt(t, err, "a.test", "/")
			require.Equal(t, []string{"Basic dTpw"}, resp.Request.Header["Authorization"])
			require.Equal(t, host, req.URL.Host, "the caller's request is left alone")
		})
		t.Run(fmt.Sprintf("a pool refuses %q", host), func(t *testing.T) {
			req := &parley.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}
			_, err := l.client.Pool().Send(t.Context(), req)
			require.Error(t, err)
			l.requireSilent(t)
		})
	}
	for _, host := range []string{"0x7f.1", "2130706433", "127.1", "a.test:http", "a.test:65536", "a.test:+80", "a\u3002test"} {
		t.Run(fmt.Sprintf("both refuse %q", host), func(t *testing.T) {
			req := &parley.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}
			_, err := l.client.Send(t.Context(), req)
			l.requireNowhere(t, err, parley.ErrInvalidURL)
			_, err = l.client.Pool().Send(t.Context(), req)
			require.Error(t, err)
			l.requireSilent(t)
		})
	}
}

// target is a URL and the host that it leads to; "" means an error.
type target struct{ url, host string }

// visit tries each URL as that of a request, as base URL and, where it has nothing behind
// the authority, as that of a proxy.
func visit(t *testing.T, targets []target) {
	l := newLandscape(t)
	for _, row := range targets {
		t.Run(fmt.Sprintf("%q as request", row.url), func(t *testing.T) {
			_, err := l.client.Get(t.Context(), row.url)
			if row.host == "" {
				l.requireNowhere(t, err, parley.ErrInvalidURL)
				return
			}
			require.NoError(t, err)
			_, _, arrived := l.take()
			require.Len(t, arrived, 1)
			_, path, _ := strings.Cut(arrived[0], " ")
			_, err = l.client.Get(t.Context(), row.url)
			l.requireAt(t, err, row.host, path)
		})
		t.Run(fmt.Sprintf("%q as base", row.url), func(t *testing.T) {
			c, err := l.client.With(parley.WithBaseURL(row.url))
			if row.host == "" {
				require.ErrorIs(t, err, parley.ErrInvalidURL)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.host, c.BaseURL().Host)
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, row.host, resp.Request.URL.Host)
			_, passed, arrived := l.take()
			require.Equal(t, []string{"http://" + row.host, "http://" + row.host}, passed)
			require.True(t, strings.HasPrefix(arrived[0], row.host+" "), arrived[0])
		})
		t.Run(fmt.Sprintf("%q as proxy", row.url), func(t *testing.T) {
			c, err := l.client.With(parley.WithProxy(row.url))
			if row.host == "" {
				require.Error(t, err)
				return
			}
			if err != nil { // a path or query is none of a proxy's
				require.ErrorIs(t, err, parley.ErrInvalidURL)
				require.Regexp(t, `[?#]|/@`, row.url)
				return
			}
			_, err = c.Get(t.Context(), "http://target.test/")
			require.NoError(t, err)
			dialled, _, arrived := l.take()
			address := row.host
			if _, _, err := net.SplitHostPort(address); err != nil {
				address = net.JoinHostPort(strings.Trim(address, "[]"), "80")
			}
			require.Equal(t, []string{address}, dialled)
			require.Equal(t, []string{"target.test http://target.test/"}, arrived)
		})
	}
}

func TestS122_OneViewOfTheAuthority(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"http://a.test#@evil.test/", "a.test"},
		{"http://a.test?@evil.test/", "a.test"},
		{"http://a.test/@evil.test/", "a.test"},
		{`http://a.test\@evil.test/`, ""},
		{"http://a.test;@evil.test/", "evil.test"}, // user information by RFC 3986, to everybody here
		{"http://a.test:80@evil.test/", "evil.test"},
		{"http://u@a.test@evil.test/", ""},
		{"http://a.test:80:90/", ""},
		{"http:///evil.test", ""},
		{"http:evil.test", ""},
		{"http:/evil.test", ""},
		{"http://", ""},
		{"http://@/", ""},
		{"http://:80/", ""},
		{"http://a.test:8080/", "a.test:8080"},
		{"http://a.test:/", "a.test"},
	})
}

func TestS123_NoPercentEncodingInHosts(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"http://a.test%2F10.0.0.1/", ""},
		{"http://%61.test/", ""},
		{"http://127%2E0.0.1/", ""},
		{"http://a%00b/", ""},
		{"http://a.test%40evil.test/", ""},
		{"http://a.test%3a80/", ""},
	})
}

func TestS124_HostsAreASCIIBeforeAnyUse(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"http://a.test\uFF03@evil.test/", ""},
		{"http://a.test\uFF0Fevil.test/", ""},
		{"http://a\u2100b.test/", ""},
		{"http://stra\u00dfe.test/", "xn--strae-oqa.test"},
		{"http://xn--a-.test/", ""},
		{"http://xn--example-.com/", ""},
		{"http://a\u3002test/", "a.test"},
		{"http://\uff41.test/", "a.test"},
		{"http://b\u00fccher.test:8080/", "xn--bcher-kva.test:8080"},
	})
}

func TestS125_BracketsHoldIPv6Alone(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"http://[a.test]/", ""},
		{"http://[127.0.0.1]/", ""},
		{"http://[::1]a.test/", ""},
		{"http://a[::1]/", ""},
		{"http://[::1]:99999/", ""},
		{"http://[::1]:-1/", ""},
		{"http://[::1]:+80/", ""},
		{"http://[::1", ""},
		{"http://::1]/", ""},
		{"http://::1/", ""},
		{"http://[]/", ""},
		{"http://[::1]/", "[::1]"},
		{"http://[::1]:65535/", "[::1]:65535"},
		{"http://[0:0::0001]:80/", "[::1]"},
	})
}

func TestS126_NothingIsStripped(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"\x01http://a.test", ""},
		{" http://a.test", ""},
		{"http://a.test ", ""},
		{"\thttp://a.test", ""},
		{"http://a.test\n", ""},
		{"ht\ntp://a.test", ""},
		{"http://a.te\tst/", ""},
		{"http://a.te st/", ""},
		{"http://a.test/\r\nX: y", ""},
		{"http://a.test/\x7f", ""},
		{"http://a.test/\x00", ""},
		{"http:\n//a.test/", ""},
	})
}

func TestS127_PoliciesSeeTheCanonicalHost(t *testing.T) {
	t.Parallel()
	visit(t, []target{
		{"http://A.TEST./", "a.test"},
		{"HTTP://a.test:080/", "a.test"},
		{"http://a.test:00080/", "a.test"},
		{"http://a.test../", ""},
		{"http://0x7f.1/", ""},
		{"http://2130706433/", ""},
		{"http://127.1/", ""},
		{"http://0177.0.0.1/", ""},
		{"http://127.0.0.1./", "127.0.0.1"},
		{"http://1.2.3.256/", ""},
	})
}

func TestS128_BaseURLHoldsItsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "SECRET"
	l := newLandscape(t,
		parley.WithBaseURL("http://user:"+secret+"@a.test/v1/"), parley.WithHeader("X-API-Key", secret),
		parley.WithQuery("key", secret), parley.WithCookie("sid", secret))
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + secret))
	t.Run("another origin gets none of them", func(t *testing.T) {
		for _, ref := range []string{"http://evil.test/", "HTTP://EVIL.test./", "http://evil.test:80/"} {
			_, err := l.client.Get(t.Context(), ref)
			l.requireAt(t, err, "evil.test", "/")
		}
		_, err := l.client.Get(t.Context(), "http://a.test:8080/")
		l.requireAt(t, err, "a.test:8080", "/")
		require.NotContains(t, l.server.Text(), secret)
		require.NotContains(t, l.server.Text(), encoded)
	})
	t.Run("nor does a request made by hand", func(t *testing.T) {
		req, err := parley.NewRequest("GET", "http://evil.test/x")
		require.NoError(t, err)
		resp, err := l.client.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		l.requireAt(t, nil, "evil.test", "/x")
		require.NotContains(t, l.server.Text(), secret)
		require.NotContains(t, l.server.Text(), encoded)
	})
	t.Run("a reference that looks like an authority is an error", func(t *testing.T) {
		for _, ref := range []string{
			"//evil.test/x", `\\evil.test`, `/\evil.test`, "///evil.test", `\evil.test`, `/\/evil.test`,
			"evil.test:80/x", "../x", "..", "x/../../y", "%2e%2e/x", "javascript:x",
		} {
			_, err := l.client.Get(t.Context(), ref)
			kind := parley.ErrInvalidURL
			if slices.Contains([]string{"javascript:x", "evil.test:80/x"}, ref) {
				kind = parley.ErrUnsupportedProtocol
			}
			l.requireNowhere(t, err, kind)
		}
	})
	t.Run("a path parameter is one segment", func(t *testing.T) {
		for value, path := range map[string]string{
			"..//evil.test": "..%2F%2Fevil.test", "?x": "%3Fx", "#x": "%23x", "a/b": "a%2Fb", `\evil.test`: "%5Cevil.test",
			"http://evil.test/": "http%3A%2F%2Fevil.test%2F", "%2e%2e": "%252e%252e", "a b": "a%20b",
		} {
			_, err := l.client.Get(t.Context(), "{p}/end", parley.WithPath("p", value))
			l.requireAt(t, err, "a.test", "/v1/"+path+"/end?key="+secret)
		}
		for _, value := range []string{"", ".", ".."} {
			_, err := l.client.Get(t.Context(), "{p}/end", parley.WithPath("p", value))
			l.requireNowhere(t, err, parley.ErrInvalidURL)
		}
	})
	require.NotContains(t, l.server.Text(), "evil.test\r\nX-Api-Key")
}

func TestS129_JoiningStaysBelowTheBase(t *testing.T) {
	t.Parallel()
	l := newLandscape(t, parley.WithBaseURL("http://a.test/v1"))
	for ref, path := range map[string]string{
		"x": "/v1/x", "/x": "/v1/x", "./x": "/v1/x", "": "/v1", "a/../x": "/v1/x", "a/./x": "/v1/a/x", "x/..": "/v1/",
		".%2fx": "/v1/.%2fx",
	} {
		_, err := l.client.Get(t.Context(), ref)
		l.requireAt(t, err, "a.test", path)
	}
	for _, ref := range []string{"../x", "%2e%2e/x", "./..//x", ".%2E/x", "a/../../x", "/../x"} {
		_, err := l.client.Get(t.Context(), ref)
		l.requireNowhere(t, err, parley.ErrInvalidURL)
	}
	t.Run("a path set by hand stays a path", func(t *testing.T) {
		for path, want := range map[string]string{
			"//evil.test/x": "//evil.test/x", "//evil.test": "//evil.test", `\\evil.test`: "%5C%5Cevil.test", "/a b": "/a%20b",
		} {
			req, err := l.client.NewRequest("GET", "x")
			require.NoError(t, err)
			u := *req.URL
			u.Path, u.RawPath = path, ""
			req.URL = &u
			resp, err := l.client.Send(t.Context(), req)
			if err != nil { // refusing it is as good
				l.requireSilent(t)
				continue
			}
			require.NoError(t, resp.Close())
			if !strings.HasPrefix(want, "/") {
				want = "/" + want
			}
			l.requireAt(t, nil, "a.test", want)
		}
	})
}

// requireSilent checks that nothing was dialled or sent.
func (l *landscape) requireSilent(t *testing.T) {
	t.Helper()
	dialled, _, arrived := l.take()
	require.Empty(t, dialled)
	require.Empty(t, arrived)
}

func TestS130_UserInformationStaysApart(t *testing.T) {
	t.Parallel()
	const user, password = "u@x", "p@evil.test:80/#?%"
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	l := newLandscape(t)
	for name, raw := range map[string]string{
		"encoded by net/url": (&url.URL{Scheme: "http", User: url.UserPassword(user, password), Host: "a.test", Path: "/p"}).String(),
		"encoded by hand":    "http://u%40x:p%40evil.test%3A80%2F%23%3F%25@a.test/p",
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := l.client.Get(t.Context(), raw)
			l.requireAt(t, err, "a.test", "/p")
			require.Equal(t, []string{want}, resp.Request.Header["Authorization"])
			require.Nil(t, resp.Request.URL.User)
			received := l.server.Received()
			require.Contains(t, received[len(received)-1], "Authorization: "+want+"\r\n")
			require.NotContains(t, l.server.Text(), "evil")
		})
		t.Run(name+" in a base URL", func(t *testing.T) {
			c, err := l.client.With(parley.WithBaseURL(raw))
			require.NoError(t, err)
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, []string{want}, resp.Request.Header["Authorization"])
			l.requireAt(t, nil, "a.test", "/p/x")
		})
	}
	t.Run("by option", func(t *testing.T) {
		resp, err := l.client.Get(t.Context(), "http://a.test/p", parley.WithBasicAuth(user, password))
		l.requireAt(t, err, "a.test", "/p")
		require.Equal(t, []string{want}, resp.Request.Header["Authorization"])
	})
	t.Run("of a proxy", func(t *testing.T) {
		_, err := l.client.Get(t.Context(), "http://a.test/p", parley.WithProxy((&url.URL{Scheme: "http", User: url.UserPassword(user, password), Host: "p.test"}).String()))
		require.NoError(t, err)
		dialled, _, _ := l.take()
		require.Equal(t, []string{"p.test:80"}, dialled)
		received := l.server.Received()
		require.Contains(t, received[len(received)-1], "Proxy-Authorization: "+want+"\r\n")
		require.NotContains(t, l.server.Text(), "evil")
	})
}

func TestS131_HostsAreCheckedBeforeTheDialer(t *testing.T) {
	t.Parallel()
	l := newLandscape(t)
	label := strings.Repeat("a", 64)
	name := strings.Repeat("a.", 126) + "aa" // 254 bytes
	for _, host := range []string{"a\x00b.test", label + ".test", name, "a..test", ".test", "a_b\x01.test", "a b.test", "a,b.test", "a.test\xff"} {
		t.Run(fmt.Sprintf("%.20q as text", host), func(t *testing.T) {
			_, err := l.client.Get(t.Context(), "http://"+host+"/")
			l.requireNowhere(t, err, parley.ErrInvalidURL)
		})
		t.Run(fmt.Sprintf("%.20q in a request made by hand", host), func(t *testing.T) {
			req := &parley.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}
			_, err := l.client.Send(t.Context(), req)
			l.requireNowhere(t, err, parley.ErrInvalidURL)
			_, err = l.client.Pool().Send(t.Context(), req)
			kind := parley.ErrInvalidURL
			if errors.Is(err, parley.ErrInvalidHeader) { // the Host line cannot hold it
				kind = parley.ErrInvalidHeader
			}
			l.requireNowhere(t, err, kind)
		})
	}
	_, err := l.client.Get(t.Context(), "http://"+name[1:]+"/")
	l.requireNowhere(t, err, parley.ErrInvalidURL) // begins with a dot
	_, err = l.client.Get(t.Context(), "http://"+label[1:]+".test/")
	l.requireAt(t, err, label[1:]+".test", "/")
}

// Not parallel: it measures the heap.
func TestS133_UnknownSchemesLeaveNothingBehind(t *testing.T) {
	l := newLandscape(t)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 100_000 {
		_, err := l.client.Get(t.Context(), fmt.Sprintf("s%d://a.test/", i))
		if i%1000 == 0 {
			l.requireNowhere(t, err, parley.ErrUnsupportedProtocol)
		} else if err == nil {
			t.Fatal("an unknown scheme was taken")
		}
	}
	after := heap()
	require.Less(t, after, before+1<<20, "the heap grew from %d to %d bytes", before, after)
	require.Empty(t, l.client.Stats().Origins)

	for made, kind := range map[string]error{
		"ftp": parley.ErrUnsupportedProtocol, "unix": parley.ErrUnsupportedProtocol,
		"": parley.ErrInvalidURL, "http ": parley.ErrInvalidURL,
	} {
		req := &parley.Request{Method: "GET", URL: &url.URL{Scheme: made, Host: "a.test", Path: "/"}}
		_, err := l.client.Send(t.Context(), req)
		l.requireNowhere(t, err, kind)
		_, err = l.client.Pool().Send(t.Context(), req)
		l.requireNowhere(t, err, parley.ErrUnsupportedProtocol)
	}
}
