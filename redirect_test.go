package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestRedirect_methodAndBodyForEachStatus(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	for _, status := range redirectStatuses {
		answers[fmt.Sprintf("http://a.test/%d", status)] = leads(status, "/next")
	}
	x := newCrossing(t, answers)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"} {
		for _, status := range redirectStatuses {
			t.Run(fmt.Sprintf("%s %d", method, status), func(t *testing.T) {
				want, kept := method, true
				switch {
				case status == 303 && method == "HEAD":
					kept = false
				case status == 303, status < 303 && method == "POST":
					want, kept = "GET", false
				}
				resp, err := x.client.Request(t.Context(), method, fmt.Sprintf("http://a.test/%d", status),
					parley.WithText("content"), parley.WithHeader("X-Own", "1"), parley.WithHeader("Content-Language", "en"),
					parley.WithHeader("Digest", "x"), parley.WithTrailer("X-Sum", func() string { return "7" }))
				require.NoError(t, err)
				require.Equal(t, want, resp.Request.Method)
				seen := x.seen()
				require.Len(t, seen, 2)
				next := seen[1]
				require.Equal(t, want+" http://a.test/next", next.String())
				require.Equal(t, "1", next.Header.Get("X-Own"))
				if kept {
					require.Equal(t, "content", string(next.Content))
					require.Equal(t, "text/plain; charset=utf-8", next.Header.Get("Content-Type"))
					require.Equal(t, "en", next.Header.Get("Content-Language"))
					require.Equal(t, http.Header{"X-Sum": {"7"}}, next.Trailer)
					return
				}
				require.Empty(t, next.Content)
				for _, name := range []string{"Content-", "Transfer-Encoding", "Trailer", "Digest"} {
					require.NotContains(t, next.Head, name)
				}
			})
		}
	}
}

func TestRedirect_statusesThatAreNone(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	for _, status := range []int{200, 201, 300, 304, 305, 306, 309, 399, 401, 503} {
		answers[fmt.Sprintf("http://a.test/%d", status)] = leads(status, "/next")
	}
	x := newCrossing(t, answers)
	for u := range answers {
		resp, err := x.client.Get(t.Context(), u)
		require.NoError(t, err)
		require.Contains(t, u, strconv.Itoa(resp.StatusCode))
		require.Empty(t, resp.History)
		_, err = resp.Next()
		require.ErrorIs(t, err, http.ErrNoLocation)
	}
	require.Len(t, x.seen(), len(answers))
}

func TestRedirect_location(t *testing.T) {
	t.Parallel()
	const from = "http://a.test/dir/sub/start?q=1"
	for location, want := range map[string]string{
		"/next":                            "http://a.test/next",
		"next":                             "http://a.test/dir/sub/next",
		"./next":                           "http://a.test/dir/sub/next",
		"../next":                          "http://a.test/dir/next",
		"../../../../next":                 "http://a.test/next",
		"?q=2":                             "http://a.test/dir/sub/start?q=2",
		"//b.test/x":                       "http://b.test/x",
		"http://b.test":                    "http://b.test/",
		"http://b.test?q=1":                "http://b.test/?q=1",
		"HTTP://B.TEST:80/Next":            "http://b.test/Next",
		"http://b.test./next":              "http://b.test/next",
		"http://a.test:8080/x":             "http://a.test:8080/x",
		"http://u:p@b.test/next":           "http://b.test/next",
		"http://u:p@a.test/next":           "http://a.test/next",
		"/a b?c d":                         "http://a.test/a%20b?c%20d",
		"/caf\u00e9?\u00fc":                "http://a.test/caf%C3%A9?%C3%BC",
		"/caf\xe9":                         "http://a.test/caf%E9",
		"/a%2Fb%20c%7e?x=%26":              "http://a.test/a%2Fb%20c%7e?x=%26",
		"/a%zz%":                           "http://a.test/a%25zz%25",
		"http://b.test/x/../y/./z/%2e%2e/": "http://b.test/y/",
		"   /next \t":                      "http://a.test/next",
		"/next#own":                        "http://a.test/next#own",
		"\\\\b.test\\x":                    "http://a.test/dir/sub/%5C%5Cb.test%5Cx",
	} {
		t.Run(location, func(t *testing.T) {
			t.Parallel()
			x := newCrossing(t, map[string]string{from: leads(302, location)})
			resp, err := x.client.Get(t.Context(), from)
			require.NoError(t, err)
			require.Equal(t, want, resp.Request.URL.String())
			asked, _, _ := strings.Cut(want, "#")
			require.Equal(t, []string{"GET " + from, "GET " + asked}, x.way())
		})
	}
}

func TestRedirect_fragmentIsInherited(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/1": leads(302, "/2"), "http://a.test/2": leads(302, "http://b.test/3#two"), "http://b.test/3": leads(302, "4"),
	})
	for start, want := range map[string]string{
		"http://a.test/1":        "http://b.test/4#two",
		"http://a.test/1#one":    "http://b.test/4#two",
		"http://b.test/3#%C3%A4": "http://b.test/4#%C3%A4",
	} {
		resp, err := x.client.Get(t.Context(), start)
		require.NoError(t, err)
		require.Equal(t, want, resp.Request.URL.String())
	}
	for _, a := range x.seen() {
		require.NotContains(t, a.Head, "#")
	}
}

func TestRedirect_withoutLocationIsTheResponse(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/none":  "HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\nbody",
		"http://a.test/empty": "HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 4\r\n\r\nbody",
		"http://a.test/blank": "HTTP/1.1 302 Found\r\nLocation:  \t \r\nContent-Length: 4\r\n\r\nbody",
	})
	for _, name := range []string{"none", "empty", "blank"} {
		resp, err := x.client.Get(t.Context(), "http://a.test/"+name)
		require.NoError(t, err)
		require.Equal(t, 302, resp.StatusCode)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "body", text)
		_, err = resp.Next()
		require.ErrorIs(t, err, http.ErrNoLocation)
	}
}

func TestRedirect_malformedLocationIsAnError(t *testing.T) {
	t.Parallel()
	const from = "http://a.test/start"
	for location, want := range map[string]error{
		"http://":                        parley.ErrInvalidURL,
		"http:///x":                      parley.ErrInvalidURL,
		"http:next":                      parley.ErrInvalidURL,
		"http://b.test:abc/":             parley.ErrInvalidURL,
		"http://b.test:99999/":           parley.ErrInvalidURL,
		"http://[::1/":                   parley.ErrInvalidURL,
		"http://b\\c.test/":              parley.ErrInvalidURL,
		"http://b c.test/":               parley.ErrInvalidURL,
		"http://%62.test/":               parley.ErrInvalidURL,
		"//":                             parley.ErrInvalidURL,
		"ftp://b.test/":                  parley.ErrUnsupportedProtocol,
		"mailto:x@b.test":                parley.ErrUnsupportedProtocol,
		"/" + strings.Repeat("x", 1<<16): parley.ErrInvalidURL,
	} {
		t.Run(location[:min(len(location), 20)], func(t *testing.T) {
			t.Parallel()
			x := newCrossing(t, map[string]string{from: leads(307, location, "X-Seen: yes")})
			_, err := x.client.Get(t.Context(), from)
			require.ErrorIs(t, err, want)
			require.NotErrorIs(t, err, parley.ErrProtocol)
			redirect := requireRedirectError(t, err)
			require.Equal(t, 307, redirect.Response.StatusCode)
			require.Equal(t, "yes", redirect.Response.Header.Get("X-Seen"))
			require.Equal(t, []string{"GET " + from}, x.way())

			resp, err := x.client.Get(t.Context(), from, parley.WithFollowRedirects(false))
			require.NoError(t, err)
			_, err = resp.Next()
			require.ErrorIs(t, err, want)
			requireRedirectError(t, err)
		})
	}
}

func TestRedirect_aTargetOfTheCallersIsForOneRequest(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/odd?x": leads(307, "/next")})
	_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithTarget("/odd?x"))
	require.NoError(t, err)
	require.Equal(t, []string{"GET http://a.test/odd?x", "GET http://a.test/next"}, x.way())
}

func TestRedirect_severalLocationsMustAgree(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/same": leads(302, "/next", "Location: /next"), "http://a.test/two": leads(302, "/next", "Location: http://b.test/"),
	})
	require.Equal(t, "GET http://a.test/next", textOf(t, x.client, "http://a.test/same"))
	x.seen()
	_, err := x.client.Get(t.Context(), "http://a.test/two")
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	requireRedirectError(t, err)
	require.Len(t, x.seen(), 1)
}

// requireRedirectError demands an error about a redirect, of the usual form.
func requireRedirectError(t testing.TB, err error) *parley.RedirectError {
	t.Helper()
	var redirect *parley.RedirectError
	require.ErrorAs(t, err, &redirect)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseRedirect, e.Phase)
	require.Equal(t, parley.Answering, e.Sent)
	require.Equal(t, redirect.Response.Request.Method, e.Method)
	require.Equal(t, redirect.Response.Request.URL.String(), e.URL.String())
	require.NotNil(t, redirect.Err)
	return redirect
}

func TestRedirect_limit(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	for i := range 30 {
		answers[fmt.Sprintf("http://a.test/%d", i)] = leads(302, fmt.Sprintf("/%d", i-1))
	}
	delete(answers, "http://a.test/0")
	for _, tt := range []struct {
		name    string
		session []parley.ClientOption
		request []parley.RequestOption
		limit   int // 0: none is followed
	}{
		{"default", nil, nil, parley.DefaultMaxRedirects},
		{"session", []parley.ClientOption{parley.WithMaxRedirects(3)}, nil, 3},
		{"request", nil, []parley.RequestOption{parley.WithMaxRedirects(1)}, 1},
		{"the request's word wins", []parley.ClientOption{parley.WithMaxRedirects(3)}, []parley.RequestOption{parley.WithMaxRedirects(25)}, 25},
		{"the request says none", []parley.ClientOption{parley.WithMaxRedirects(3)}, []parley.RequestOption{parley.WithMaxRedirects(0)}, 0},
		{"the session says none", []parley.ClientOption{parley.WithMaxRedirects(0)}, nil, 0},
		{"less than none", []parley.ClientOption{parley.WithMaxRedirects(-7)}, nil, 0},
		{"the session says not", []parley.ClientOption{parley.WithFollowRedirects(false)}, nil, 0},
		{"the request says not", nil, []parley.RequestOption{parley.WithFollowRedirects(false)}, 0},
		{"the session says none, the request a number", []parley.ClientOption{parley.WithMaxRedirects(0)}, []parley.RequestOption{parley.WithMaxRedirects(2)}, 2},
		{"the session says none, the request follows", []parley.ClientOption{parley.WithMaxRedirects(0)}, []parley.RequestOption{parley.WithFollowRedirects(true)}, parley.DefaultMaxRedirects},
		{"the session says not, the request follows", []parley.ClientOption{parley.WithFollowRedirects(false)}, []parley.RequestOption{parley.WithFollowRedirects(true)}, parley.DefaultMaxRedirects},
		{"the session's limit stays", []parley.ClientOption{parley.WithFollowRedirects(false), parley.WithMaxRedirects(2)}, []parley.RequestOption{parley.WithFollowRedirects(true)}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newCrossing(t, answers, tt.session...)
			resp, err := x.client.Get(t.Context(), fmt.Sprintf("http://a.test/%d", tt.limit), tt.request...)
			require.NoError(t, err)
			require.Equal(t, "/0", resp.Request.URL.Path)
			require.Len(t, resp.History, tt.limit)
			x.seen()

			resp, err = x.client.Get(t.Context(), fmt.Sprintf("http://a.test/%d", tt.limit+1), tt.request...)
			if tt.limit == 0 {
				require.NoError(t, err)
				require.Equal(t, 302, resp.StatusCode)
				require.Empty(t, resp.History)
				require.Len(t, x.seen(), 1)
				return
			}
			require.ErrorIs(t, err, parley.ErrTooManyRedirects)
			redirect := requireRedirectError(t, err)
			require.Equal(t, 302, redirect.Response.StatusCode)
			require.Equal(t, "/1", redirect.Response.Request.URL.Path)
			require.Len(t, redirect.Response.History, tt.limit)
			require.Len(t, x.seen(), tt.limit+1)
		})
	}
}

func TestRedirect_history(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/1": leads(307, "/2"),
		"http://a.test/2": "HTTP/1.1 301 Moved\r\nLocation: http://b.test/3\r\nX-Two: 2\r\nContent-Length: 4\r\n\r\nbody",
		"http://b.test/3": leads(308, "/4"),
	})
	resp, err := x.client.Post(t.Context(), "http://a.test/1", parley.WithText("content"))
	require.NoError(t, err)
	require.Equal(t, []string{"POST http://a.test/1", "POST http://a.test/2", "GET http://b.test/3", "GET http://b.test/4"}, x.way())
	require.Len(t, resp.History, 3)
	for i, want := range []string{"307 POST http://a.test/1", "301 POST http://a.test/2", "308 GET http://b.test/3"} {
		r := resp.History[i]
		require.Equal(t, want, fmt.Sprint(r.StatusCode, " ", r.Request.Method, " ", r.Request.URL))
		require.Len(t, r.History, i)
		if i > 0 {
			require.Equal(t, resp.History[:i], r.History)
		}
		next, err := r.Next()
		require.NoError(t, err)
		require.NotNil(t, next)
	}
	require.Equal(t, "2", resp.History[1].Header.Get("X-Two"))
	_, err = resp.History[1].Bytes() // it was never read
	require.Error(t, err)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseRead, e.Phase)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "GET http://b.test/4", text)
}

func TestRedirect_historyCannotBeAppendedInto(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2"), "http://a.test/2": leads(302, "/3")})
	resp, err := x.client.Get(t.Context(), "http://a.test/1")
	require.NoError(t, err)
	first := resp.History[1].History
	_ = append(first, nil)
	require.NotNil(t, resp.History[1])
}

func TestRedirect_everyEntryPoint(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2"), "http://a.test/2": leads(302, "http://b.test/3")})
	for name, send := range entryPoints {
		t.Run(name, func(t *testing.T) {
			resp, err := send(t.Context(), x.client, "GET", "http://a.test/1")
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "GET http://b.test/3", text)
			require.Len(t, resp.History, 2)
			require.Len(t, x.seen(), 3)

			resp, err = send(t.Context(), x.client, "GET", "http://a.test/1", parley.WithFollowRedirects(false))
			require.NoError(t, err)
			require.Equal(t, 302, resp.StatusCode)
			require.NoError(t, resp.Close())
			require.Len(t, x.seen(), 1)
		})
	}
	require.Zero(t, x.client.Stats().Active)
}

func TestRedirect_totalTimeoutCoversTheChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := parley.New(parley.WithEnv(false), parley.WithTransport(slowRedirects(time.Second)), parley.WithTimeout(3500*time.Millisecond))
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, parley.ErrTotalTimeout)
		require.Equal(t, 3500*time.Millisecond, time.Since(start))
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 3500*time.Millisecond, e.Limit)
		require.NoError(t, c.Close())
	})
}

// slowRedirects is a transport that leads on and on, and takes its time.
func slowRedirects(pause time.Duration) parley.Transport {
	return parley.TransportFunc(func(ctx context.Context, _ *parley.Request) (*parley.Response, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		return &parley.Response{StatusCode: 302, Header: http.Header{"Location": {"next"}}}, nil
	})
}

func TestRedirect_cancelledBetweenHops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	sent := 0
	deaf := parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
		if sent++; sent == 3 {
			cancel()
		}
		return &parley.Response{StatusCode: 302, Header: http.Header{"Location": {"next"}}}, nil
	})
	c := wireClient(t, parley.WithEnv(false), parley.WithTransport(deaf))
	_, err := c.Get(ctx, "http://a.test/")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, sent)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseRedirect, e.Phase)
}

func TestRedirect_limitsOfTheBodyDoNotConcernIntermediateAnswers(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/big":    "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000),
		"http://a.test/coded":  "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
		"http://a.test/coding": "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Encoding: x-unknown\r\nContent-Length: 4\r\n\r\nnope",
	}, parley.WithMaxBodyBytes(100))
	for _, name := range []string{"big", "coded", "coding"} {
		resp, err := x.client.Get(t.Context(), "http://a.test/"+name)
		require.NoError(t, err, name)
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Equal(t, 1, x.servers["http://a.test"].Accepted())
}

func TestRedirect_byHandOnABarePool(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/1": leads(302, "/2", "Set-Cookie: s=1; Path=/"), "http://a.test/2": leads(302, "http://b.test/3", "Set-Cookie: s=2; Path=/"),
		"http://b.test/3": leads(302, "http://a.test/4"),
	})
	pool, err := parley.NewPool(parley.PoolConfig{Dialer: x.names})
	require.NoError(t, err)
	defer pool.Close()
	auth, err := parley.BearerAuth("SECRET")
	require.NoError(t, err)
	stack := parley.Redirects()(parley.Authenticate(auth)(parley.Cookies(parley.NewJar())(pool)))
	req, err := parley.NewRequest("GET", "http://a.test/1")
	require.NoError(t, err)
	resp, err := stack.Send(t.Context(), req)
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "GET http://a.test/4", text)
	var authorized, cookies []string
	for _, a := range x.seen() {
		cookies = append(cookies, a.Header.Get("Cookie"))
		if a.Header.Get("Authorization") != "" {
			authorized = append(authorized, a.String())
		}
	}
	require.Equal(t, []string{"GET http://a.test/1", "GET http://a.test/2"}, authorized)
	require.Equal(t, []string{"", "s=1", "", "s=2"}, cookies)
	require.Equal(t, "http://a.test/1", req.URL.String(), "the request is as it was")
	require.Empty(t, req.Header)
	require.Nil(t, req.Auth)

	_, err = stack.Send(t.Context(), &parley.Request{})
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	errDown := errors.New("down")
	_, err = parley.Redirects()(parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
		return nil, errDown
	})).Send(t.Context(), req)
	require.ErrorIs(t, err, errDown)
}
