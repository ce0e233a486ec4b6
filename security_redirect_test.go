package parley_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// The list of known vulnerabilities as far as it is about redirects: of sections 4 to 6
// and 10 to 15 what has to do with them, section 11 whole.

func TestS055_MethodsOfRedirectedRequestsAreTokens(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/start": leads(307, "/next")})
	for _, method := range []string{"GET /x HTTP/1.1\r\nX: 1\r\n\r\nGET", "GE T", "GET\n", ""} {
		set := func(_ context.Context, req *parley.Request) error {
			req.Method = method
			return nil
		}
		for name, opt := range map[string]parley.RequestOption{
			"hook": parley.WithRequestHook(set), "hook of each hop": parley.WithHopRequestHook(set),
			"policy": parley.WithRedirectPolicy(func(ctx context.Context, r *parley.Redirect) error { return set(ctx, r.Next) }),
		} {
			_, err := x.client.Get(t.Context(), "http://a.test/start", opt)
			require.ErrorIs(t, err, parley.ErrInvalidHeader, name)
		}
	}
	for _, a := range x.seen() {
		require.Equal(t, "GET http://a.test/start", a.String())
	}
	_, err := x.client.Request(t.Context(), "M-SEARCH", "http://a.test/start")
	require.NoError(t, err)
	require.Equal(t, []string{"M-SEARCH http://a.test/start", "M-SEARCH http://a.test/next"}, x.way())
}

func TestS056_TargetsOfRedirectsAreEncodedOrRefused(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"/a b?c d":       "GET /a%20b?c%20d HTTP/1.1\r\n",
		"/%00%0d%0A?%00": "GET /%00%0d%0A?%00 HTTP/1.1\r\n",
		"/ä?ä":           "GET /%C3%A4?%C3%A4 HTTP/1.1\r\n",
		"/\"<>^`{|}":     "GET /%22%3C%3E%5E%60%7B%7C%7D HTTP/1.1\r\n",
		"?a=\"b\"#c d":   "GET /start?a=%22b%22 HTTP/1.1\r\n",
	} {
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)})
		_, err := x.client.Get(t.Context(), "http://a.test/start")
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(x.seen()[1].Head, want), location)
	}
}

func TestS087_DrainingARedirectDecodesNothing(t *testing.T) {
	t.Parallel()
	data := bombOf(t, "gzip")
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/start" {
			return fmt.Sprintf("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(data), data)
		}
		return wiretest.OK("there")
	}))
	c := wireClient(t, parley.WithEnv(false))
	start := time.Now()
	resp, err := c.Get(t.Context(), s.URL()+"/start")
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Less(t, time.Since(start), time.Second)
}

func TestS090_TheLimitOfTheBodyHoldsAfterARedirect(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/start":   leads(302, "/chunks"),
		"http://a.test/chunks":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + strings.Repeat("x", 2048) + "\r\n0\r\n\r\n",
		"http://a.test/start2":  leads(302, "/length"),
		"http://a.test/length":  "HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n",
		"http://a.test/stopped": "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 4294967296\r\n\r\n",
	}, parley.WithMaxBodyBytes(1024))
	for _, ref := range []string{"start", "start2"} {
		_, err := x.client.Get(t.Context(), "http://a.test/"+ref)
		require.ErrorIs(t, err, parley.ErrBodyTooLarge)
	}
	stop := parley.WithRedirectPolicy(func(context.Context, *parley.Redirect) error { return parley.ErrStopRedirect })
	for _, opt := range []parley.RequestOption{stop, parley.WithFollowRedirects(false)} {
		_, err := x.client.Get(t.Context(), "http://a.test/stopped", opt)
		require.ErrorIs(t, err, parley.ErrBodyTooLarge)
	}
}

func TestS096_LongLocationsTakeLinearTime(t *testing.T) {
	t.Parallel()
	const many = 50_000
	for name, location := range map[string]string{
		"@": "http://" + strings.Repeat("@", many), "%2e": "/" + strings.Repeat("%2e", many/3), "../": "/" + strings.Repeat("../", many/3),
		"parameters": "?" + strings.Repeat("a=b&", many/4), "host": "http://" + strings.Repeat("a", 2*many) + "/", "xn--": "http://" + strings.Repeat("xn--a.", many/6),
		"too long": "/" + strings.Repeat("%2e%2e/", many),
	} {
		t.Run(name, func(t *testing.T) {
			x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)})
			start := time.Now()
			_, err := x.client.Get(t.Context(), "http://a.test/start")
			require.Less(t, time.Since(start), time.Second)
			if err != nil {
				require.ErrorIs(t, err, parley.ErrInvalidURL)
				requireRedirectError(t, err)
				require.Less(t, len(err.Error()), 1024)
			}
		})
	}
}

func TestS098_RefusedRedirectsAndFailingHooksFreeTheConnection(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	fail := func(context.Context, *parley.Response) (*parley.Response, error) { return nil, errNo }
	x := newCrossing(t, map[string]string{
		"http://a.test/go":   "HTTP/1.1 307 Go\r\nLocation: /next\r\nContent-Length: 5\r\n\r\n12345",
		"http://a.test/bad":  "HTTP/1.1 307 Go\r\nLocation: ftp://x\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 4096),
		"http://a.test/loop": leads(302, "/loop"),
	}, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1, Total: 1}))
	for name, tt := range map[string]struct {
		ref  string
		opts []parley.RequestOption
		want error
	}{
		"refused":       {"go", []parley.RequestOption{parley.WithRedirectPolicy(func(context.Context, *parley.Redirect) error { return errNo })}, errNo},
		"no URL":        {"bad", nil, parley.ErrUnsupportedProtocol},
		"too many":      {"loop", nil, parley.ErrTooManyRedirects},
		"response hook": {"next", []parley.RequestOption{parley.WithResponseHook(fail)}, errNo},
		"hook of a hop": {"go", []parley.RequestOption{parley.WithHopResponseHook(fail)}, errNo},
		"once only":     {"go", []parley.RequestOption{parley.WithReader(inParts("x"))}, parley.ErrBodyNotRewindable},
	} {
		t.Run(name, func(t *testing.T) {
			for entry, send := range entryPoints {
				for range 10 {
					body := &ownBody{parts: []string{"x"}, size: 1}
					_, err := send(t.Context(), x.client, "POST", "http://a.test/"+tt.ref, append([]parley.RequestOption{parley.WithBody(body)}, tt.opts...)...)
					require.ErrorIs(t, err, tt.want, entry)
					require.Equal(t, body.opened.Load(), body.closed.Load())
				}
			}
			_, err := x.client.Get(t.Context(), "http://a.test/next")
			require.NoError(t, err)
			require.Zero(t, x.client.Stats().Active)
		})
	}
}

func TestS122_LocationsHaveOneAuthority(t *testing.T) {
	t.Parallel()
	for location, host := range map[string]string{ // "": refused
		"http://b.test#@evil.test/": "b.test", "http://b.test?@evil.test/": "b.test",
		"http://b.test\\@evil.test/": "", "http://u@b.test@evil.test/": "", "http://b.test:80:90/": "", "http:///evil.test": "",
		"http:evil.test": "", "http:/evil.test": "", "http://b.test;@evil.test/": "evil.test", "http://b.test:80@evil.test/": "evil.test",
		// percent-encoding, odd characters, brackets
		"http://b.test%2F10.0.0.1/": "", "http://%61.test/": "", "http://127%2E0.0.1/": "", "http://b%00/": "",
		"http://b.test\uFF03@evil.test/": "", "http://a\u2100b.test/": "", "http://xn--a-.test/": "",
		"http://[b.test]/": "", "http://[127.0.0.1]/": "", "http://[::1]b.test/": "", "http://b[::1]/": "", "http://[::1]:99999/": "", "http://::1/": "",
		"http://stra\u00dfe.test/": "xn--strae-oqa.test", "http://b\u3002test/": "b.test",
		// one form
		"http://B.TEST./": "b.test", "http://b.test:080/": "b.test", "  http://b.test/ \t": "b.test",
		// no way around
		"/\\evil.test": "a.test", "\\\\evil.test": "a.test", "/..//evil.test": "a.test", "///evil.test": "",
	} {
		t.Run(location, func(t *testing.T) {
			t.Parallel()
			var decided []string
			x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)},
				parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
					decided = append(decided, r.Next.URL.Host)
					return nil
				}))
			for _, name := range []string{"evil.test:80", "xn--strae-oqa.test:80"} {
				x.names.Lead(name, x.servers["http://c.test"].Addr())
			}
			resp, err := x.client.Get(t.Context(), "http://a.test/start")
			if host == "" {
				require.ErrorIs(t, err, parley.ErrInvalidURL)
				require.Empty(t, decided)
				require.Equal(t, []string{"a.test:80"}, x.names.Asked())
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{host}, decided, "what the policy saw")
			require.Equal(t, host, resp.Request.URL.Host)
			asked := x.names.Asked()
			require.Equal(t, host+":80", asked[len(asked)-1])
			require.Equal(t, host, x.seen()[1].Host)
		})
	}
}

func TestS134_RedirectsLeadToHTTPAlone(t *testing.T) {
	t.Parallel()
	for _, location := range []string{
		"file:///etc/passwd", "ftp://b", "unix:/run/x.sock:/y", "http+unix://x", "data:,x", "javascript:1", "gopher://", "ws://b.test/",
	} {
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)}, parley.WithBearerToken("SECRET"))
		_, err := x.client.Get(t.Context(), "http://a.test/start")
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol, location)
		require.Equal(t, 302, requireRedirectError(t, err).Response.StatusCode)
		require.Equal(t, []string{"a.test:80"}, x.names.Asked())
	}
	x := newCrossing(t, map[string]string{"https://a.test/start": leads(302, "//b.test/x"), "https://a.test/down": leads(302, "http://b.test/x")})
	resp, err := x.client.Get(t.Context(), "https://a.test/start", parley.WithRedirectPolicy(parley.HTTPSRedirects()))
	require.NoError(t, err)
	require.Equal(t, "https://b.test/x", resp.Request.URL.String())
	_, err = x.client.Get(t.Context(), "https://a.test/down", parley.WithRedirectPolicy(parley.HTTPSRedirects()))
	require.ErrorIs(t, err, parley.ErrRedirectRefused)
}

func TestS135_WhoeverSwitchesRedirectsOffIsHeard(t *testing.T) {
	t.Parallel()
	off := map[string]parley.Option{"follow": parley.WithFollowRedirects(false), "maximum": parley.WithMaxRedirects(0)}
	for name, opt := range off {
		for _, ofSession := range []bool{true, false} {
			session, request := []parley.ClientOption{opt}, []parley.RequestOption(nil)
			if !ofSession {
				session, request = []parley.ClientOption{parley.WithMaxRedirects(7)}, []parley.RequestOption{opt}
			}
			x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, session...)
			for entry, send := range entryPoints {
				resp, err := send(t.Context(), x.client, "GET", "http://a.test/1", request...)
				require.NoError(t, err)
				require.Equal(t, 302, resp.StatusCode, entry+" "+name)
				require.NoError(t, resp.Close())
				require.Len(t, x.seen(), 1)
			}
			for resp, err := range x.client.Pages(t.Context(), "http://a.test/1", request...) {
				require.NoError(t, err)
				require.Equal(t, 302, resp.StatusCode)
			}
			require.Len(t, x.seen(), 1)
			for _, err := range x.client.Events(t.Context(), "http://a.test/1", request...) {
				var status *parley.StatusError
				require.ErrorAs(t, err, &status)
				require.Equal(t, 302, status.StatusCode)
			}
			require.Len(t, x.seen(), 1)
		}
	}
	x := newCrossing(t, map[string]string{"http://a.test/3": leads(302, "/2"), "http://a.test/2": leads(302, "/1"), "http://a.test/1": leads(302, "/0")})
	for entry, send := range entryPoints {
		resp, err := send(t.Context(), x.client, "GET", "http://a.test/2", parley.WithMaxRedirects(2))
		require.NoError(t, err, entry)
		require.NoError(t, resp.Close())
		_, err = send(t.Context(), x.client, "GET", "http://a.test/3", parley.WithMaxRedirects(2))
		require.ErrorIs(t, err, parley.ErrTooManyRedirects, entry)
		require.Len(t, x.seen(), 6)
	}
}

func TestS136_ADroppedBodyTakesItsHeadersAlong(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303} {
		for _, body := range []parley.RequestOption{parley.WithJSON("SECRET"), parley.WithReader(inParts("SECRET")), parley.WithOptions(expecting, parley.WithHeader("Transfer-Encoding", "chunked"), parley.WithExpectTimeout(time.Millisecond))} {
			x := newCrossing(t, map[string]string{"http://a.test/start": leads(status, "/next")})
			_, err := x.client.Post(t.Context(), "http://a.test/start", body, parley.WithTrailer("X-Sum", func() string { return "1" }))
			require.NoError(t, err)
			next := x.seen()[1]
			require.Equal(t, "GET", next.Method)
			for _, name := range []string{"Content-", "Transfer-Encoding", "Expect", "Trailer", "SECRET"} {
				require.NotContains(t, next.Head, name)
			}
			require.Empty(t, next.Content)
		}
	}
}

func TestS137_AKeptBodyCrossesWithoutCredentials(t *testing.T) {
	t.Parallel()
	for _, status := range []int{307, 308} {
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(status, "http://b.test/x"), "https://a.test/start": leads(status, "http://b.test/x")},
			parley.WithBearerToken("SECRET"), parley.WithHeader("X-Api-Key", "SECRET"))
		_, err := x.client.Post(t.Context(), "http://a.test/start", parley.WithJSON(1))
		require.NoError(t, err)
		next := x.seen()[1]
		require.Equal(t, "POST 1 application/json", fmt.Sprint(next.Method, " ", string(next.Content), " ", next.Header.Get("Content-Type")))
		x.unseen(t, "http://b.test", "Authorization", "X-Api-Key")

		for name, tt := range map[string]struct {
			from string
			opts []parley.RequestOption
			want error
		}{
			"refused":   {"http", []parley.RequestOption{parley.WithJSON(1), parley.WithRedirectPolicy(parley.SameHostRedirects())}, parley.ErrRedirectRefused},
			"in clear":  {"https", []parley.RequestOption{parley.WithJSON(1)}, parley.ErrInsecureRedirect},
			"once only": {"http", []parley.RequestOption{parley.WithReader(inParts("x", "y"))}, parley.ErrBodyNotRewindable},
		} {
			_, err := x.client.Post(t.Context(), tt.from+"://a.test/start", tt.opts...)
			require.ErrorIs(t, err, tt.want, name)
			require.Len(t, x.seen(), 1, name)
		}
	}
}

func TestS138_LocationsAreEncodedAnew(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{"/\xff\xfe": "/%FF%FE", "/a b": "/a%20b", "/\u00e4": "/%C3%A4", "/a\tb": ""} {
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)})
		_, err := x.client.Get(t.Context(), "http://a.test/start")
		if want == "" {
			require.ErrorIs(t, err, parley.ErrInvalidURL)
			continue
		}
		require.NoError(t, err)
		line, _, _ := strings.Cut(x.seen()[1].Head, "\r\n")
		require.Equal(t, "GET "+want+" HTTP/1.1", line)
	}
	for _, location := range []string{"/a\x01b", "/a\x00b", "/a\rb", "/a\x7fb"} { // no field value has them
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(302, location)})
		_, err := x.client.Get(t.Context(), "http://a.test/start")
		require.Error(t, err)
		require.True(t, errors.Is(err, parley.ErrRemoteProtocol) || errors.Is(err, parley.ErrInvalidURL), "%v", err)
		require.Len(t, x.seen(), 1)
	}
}

func TestS160_TheTotalLimitCoversRedirects(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		c.Pause(20 * time.Millisecond)
		return leads(302, "/again")
	}))
	c := wireClient(t, parley.WithEnv(false))
	const limit = 150 * time.Millisecond
	_, err := c.Get(t.Context(), s.URL(), parley.WithTimeout(limit), parley.WithMaxRedirects(1000))
	require.ErrorIs(t, err, parley.ErrTotalTimeout) // with a limit for each hop there would be a thousand of them
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, limit, e.Limit)
}

func TestS162_FollowedRedirectsAndHooksFreeTheirSlot(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/start": "HTTP/1.1 307 Go\r\nLocation: /next\r\nContent-Length: 4\r\n\r\nbody"},
		parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}))
	boom := func(context.Context, *parley.Response) (*parley.Response, error) { panic("boom") }
	for range 100 {
		_, err := x.client.Post(t.Context(), "http://a.test/start", parley.WithText("content"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, x.servers["http://a.test"].Accepted())
	for range 20 {
		for _, opt := range []parley.RequestOption{parley.WithResponseHook(boom), parley.WithHopResponseHook(boom)} {
			require.PanicsWithValue(t, "boom", func() {
				_, _ = x.client.Stream(t.Context(), "POST", "http://a.test/start", parley.WithText("content"), opt)
			})
		}
	}
	_, err := x.client.Get(t.Context(), "http://a.test/next")
	require.NoError(t, err)
	require.Zero(t, x.client.Stats().Active)
}

func TestS164_RedirectsAndHistoryHoldNoCredentials(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/ok": leads(302, "http://user:SECRET@b.test/x?SECRET"), "http://a.test/bad": leads(302, "http://user:SECRET@b.test:x/?SECRET"),
		"http://a.test/odd": leads(302, "ftp://user:SECRET@b.test/?SECRET"), "http://b.test/x?SECRET": leads(302, "?SECRET"),
	}, parley.WithBasicAuth("u", "SECRET"))
	for _, ref := range []string{"ok", "bad", "odd"} {
		_, err := x.client.Get(t.Context(), "http://u:SECRET@a.test/"+ref)
		require.Error(t, err)
		requireHidden(t, texts(err))
	}
	_, err := x.client.Get(t.Context(), "http://u:SECRET@a.test/ok", parley.WithRedirectPolicy(parley.SameSiteRedirects()))
	require.ErrorIs(t, err, parley.ErrRedirectRefused)
	requireHidden(t, texts(err))
	resp, err := x.client.Get(t.Context(), "http://u:SECRET@a.test/ok", parley.WithMaxRedirects(1), parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
		r.Next.URL.RawQuery = ""
		return nil
	}))
	require.NoError(t, err)
	for _, r := range append(resp.History, resp) {
		require.Nil(t, r.Request.URL.User)
		require.NotContains(t, r.Request.URL.String(), "SECRET")
	}
}

func TestS166_WhatARedirectSaysIsQuotedAndCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60_000)
	for _, answer := range []string{
		leads(302, "ftp://\x1b[31m"+long), leads(302, "http://\x1b[31m"+long), leads(302, "x\x1b[31m:"+long),
		"HTTP/1.1 302 \xff" + long + "\r\nLocation: ftp://x\r\nContent-Length: 0\r\n\r\n",
	} {
		x := newCrossing(t, map[string]string{"http://a.test/start": answer})
		_, err := x.client.Get(t.Context(), "http://a.test/start")
		require.Error(t, err)
		require.Less(t, len(err.Error()), 1024)
		require.NotContains(t, err.Error(), "\x1b")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestS190_ChainsEnd(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return leads(302, r.RequestURI+"&SECRET=1", fmt.Sprintf("Set-Cookie: c=%d", len(r.RequestURI)))
	}))
	c := wireClient(t, parley.WithEnv(false))
	_, err := c.Get(t.Context(), s.URL()+"/?x")
	require.ErrorIs(t, err, parley.ErrTooManyRedirects)
	redirect := requireRedirectError(t, err)
	require.Len(t, redirect.Response.History, parley.DefaultMaxRedirects)
	requireHidden(t, texts(err))
	require.Equal(t, 1, s.Accepted())

	// A query that doubles reaches the limit of a Location before that of the chain.
	s = wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return leads(302, r.RequestURI+r.RequestURI)
	}))
	_, err = c.Get(t.Context(), s.URL()+"/0123456789", parley.WithMaxRedirects(100))
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.Less(t, len(requireRedirectError(t, err).Response.History), 20)
}

func TestS191_BodiesOfRedirectsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"1 GiB": "Content-Length: 1073741824\r\n\r\nxxxx", "silent": "Content-Length: 5\r\n\r\n", "endless": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4\r\nbody\r\n", 10_000),
	} {
		for _, status := range redirectStatuses {
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if r, err := c.ReadRequest(); err == nil && r.URL.Path == "/start" {
					c.Say(fmt.Sprintf("HTTP/1.1 %d X\r\nLocation: /next\r\n%s", status, rest))
					c.Rest()
				} else if err == nil {
					c.Say(wiretest.OK(""))
				}
			})
			c := wireClient(t, parley.WithEnv(false))
			start := time.Now()
			_, err := c.Get(t.Context(), s.URL()+"/start")
			require.NoError(t, err, name)
			require.Less(t, time.Since(start), time.Second)
			require.Equal(t, 2, s.Accepted())
		}
	}
}
