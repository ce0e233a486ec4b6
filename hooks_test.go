package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// notes are what hooks write down, in their order.
type notes []string

func (n *notes) take() []string {
	all := *n
	*n = nil
	return all
}

func (n *notes) before(name string) parley.RequestHook {
	return func(_ context.Context, req *parley.Request) error {
		*n = append(*n, name+" "+req.Method+" "+req.URL.Path)
		return nil
	}
}

func (n *notes) after(name string) parley.ResponseHook {
	return func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
		*n = append(*n, fmt.Sprint(name, " ", resp.StatusCode, " ", resp.Request.URL.Path))
		return nil, nil
	}
}

func (n *notes) middleware(name string) parley.Middleware {
	return func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			*n = append(*n, name)
			return next.Send(ctx, req)
		})
	}
}

func TestHooks_order(t *testing.T) {
	t.Parallel()
	var n notes
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")},
		parley.WithHopRequestHook(n.before("hop 1")), parley.WithRequestHook(n.before("call 1")), parley.WithRequestHook(n.before("call 2")),
		parley.WithResponseHook(n.after("call 1")), parley.WithHopResponseHook(n.after("hop 1")), parley.WithMiddleware(n.middleware("middleware")),
		parley.WithNetworkMiddleware(n.middleware("network")))
	want := []string{
		"middleware", "middleware of the request", "call 1 POST /1", "call 2 POST /1", "call 3 POST /1",
		"hop 1 POST /1", "hop 2 POST /1", "network", "hop 1 302 /1", "hop 2 302 /1",
		"hop 1 GET /2", "hop 2 GET /2", "network", "hop 1 200 /2", "hop 2 200 /2",
		"call 1 200 /2", "call 2 200 /2",
	}
	for name, send := range entryPoints {
		resp, err := send(t.Context(), x.client, "POST", "http://a.test/1",
			parley.WithRequestHook(n.before("call 3")), parley.WithResponseHook(n.after("call 2")),
			parley.WithHopRequestHook(n.before("hop 2")), parley.WithHopResponseHook(n.after("hop 2")),
			parley.WithRequestMiddleware(n.middleware("middleware of the request")))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, want, n.take(), name)
	}
	_, err := x.client.Get(t.Context(), "http://a.test/2")
	require.NoError(t, err)
	require.Equal(t, []string{"middleware", "call 1 GET /2", "call 2 GET /2", "hop 1 GET /2", "network", "hop 1 200 /2", "call 1 200 /2"}, n.take(),
		"what a request added is gone")
}

func TestHooks_anErrorEndsTheCall(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	refuse := func(context.Context, *parley.Request) error { return errNo }
	reject := func(context.Context, *parley.Response) (*parley.Response, error) { return nil, errNo }
	x := newCrossing(t, map[string]string{"http://a.test/long": "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000)},
		parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}))
	for name, tt := range map[string]struct {
		opt     parley.Option
		arrives bool
	}{
		"request": {parley.WithRequestHook(refuse), false}, "request of a hop": {parley.WithHopRequestHook(refuse), false},
		"response": {parley.WithResponseHook(reject), true}, "response of a hop": {parley.WithHopResponseHook(reject), true},
	} {
		later := 0
		count := parley.WithOptions(
			parley.WithRequestHook(func(context.Context, *parley.Request) error { later++; return nil }),
			parley.WithResponseHook(func(context.Context, *parley.Response) (*parley.Response, error) { later++; return nil, nil }))
		for entry, send := range entryPoints {
			later = 0
			_, err := send(t.Context(), x.client, "GET", "http://a.test/long", tt.opt, count)
			require.ErrorIs(t, err, errNo, entry)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "http://a.test/long", e.URL.String())
			require.Len(t, x.seen(), map[bool]int{true: 1}[tt.arrives], name)
			require.LessOrEqual(t, later, 1, "what comes after it is not asked")
		}
	}
	require.Equal(t, "GET http://a.test/2", textOf(t, x.client, "http://a.test/2"))
	require.Zero(t, x.client.Stats().Active)
}

func TestHooks_changeTheirOwnCopy(t *testing.T) {
	t.Parallel()
	change := func(_ context.Context, req *parley.Request) error {
		req.Method, req.URL.Path, req.URL.RawQuery = "PUT", "/changed", "q=1"
		req.Header.Set("X-Hook", "1")
		req.Header["User-Agent"][0] = "hook"
		req.Body = parley.BytesBody([]byte("changed"), "")
		req.HeaderOrder = append(req.HeaderOrder, "X-Hook")
		return nil
	}
	for _, opt := range []parley.Option{parley.WithRequestHook(change), parley.WithHopRequestHook(change)} {
		x := newCrossing(t, nil)
		req, err := x.client.NewRequest("POST", "http://a.test/1", parley.WithText("content"), opt)
		require.NoError(t, err)
		before := req.Clone()
		for range 2 {
			resp, err := x.client.Send(t.Context(), req)
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			require.Equal(t, "http://a.test/changed?q=1", resp.Request.URL.String())
			sent := x.seen()[0]
			require.Equal(t, "PUT http://a.test/changed?q=1 changed 1 hook", sent.String()+" "+string(sent.Content)+" "+sent.Header.Get("X-Hook")+" "+sent.UserAgent())
		}
		require.Equal(t, before.Header, req.Header)
		require.Equal(t, before.URL, req.URL)
		require.Equal(t, before.Method, req.Method)
		require.Same(t, before.Body, req.Body)
		require.Empty(t, req.HeaderOrder)
		_, err = x.client.Get(t.Context(), "http://a.test/plain")
		require.NoError(t, err)
		require.Contains(t, x.seen()[0].UserAgent(), "parley/", "the session's values are untouched")
	}
}

func TestHooks_whatTheyWriteIsSettled(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil, parley.WithCookie("c", "1"))
	for name, tt := range map[string]struct {
		change func(*parley.Request)
		want   string
		err    error
	}{
		"URL by hand":      {func(req *parley.Request) { req.URL = mustParse("HTTP://B.TEST.:80/x y/../z") }, "GET http://b.test/z", nil},
		"user information": {func(req *parley.Request) { req.URL = mustParse("http://u:p@b.test/") }, "GET http://b.test/", nil},
		"no URL":           {func(req *parley.Request) { req.URL = nil }, "", parley.ErrInvalidURL},
		"no host":          {func(req *parley.Request) { req.URL.Host = "" }, "", parley.ErrInvalidURL},
		"opaque":           {func(req *parley.Request) { req.URL.Opaque = "//c.test/" }, "", parley.ErrInvalidURL},
		"scheme":           {func(req *parley.Request) { req.URL.Scheme = "ftp" }, "", parley.ErrUnsupportedProtocol},
		"header name":      {func(req *parley.Request) { req.Header["a b"] = []string{"1"} }, "", parley.ErrInvalidHeader},
		"header value":     {func(req *parley.Request) { req.Header["A"] = []string{"1\r\n"} }, "", parley.ErrInvalidHeader},
		"no header":        {func(req *parley.Request) { req.Header = nil }, "GET http://a.test/1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			hook := func(_ context.Context, req *parley.Request) error { tt.change(req); return nil }
			for _, opt := range []parley.RequestOption{parley.WithRequestHook(hook), parley.WithHopRequestHook(hook)} {
				x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "jar", Value: "1"}})
				resp, err := x.client.Get(t.Context(), "http://a.test/1", opt)
				if tt.err != nil {
					require.ErrorIs(t, err, tt.err)
					require.Empty(t, x.seen())
					continue
				}
				require.NoError(t, err)
				require.Nil(t, resp.Request.URL.User)
				require.Equal(t, []string{tt.want}, x.way())
			}
		})
	}
}

func TestHooks_replaceTheResponse(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}))
	replace := func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
		if err := resp.Close(); err != nil {
			return nil, err
		}
		return &parley.Response{StatusCode: 299, Header: http.Header{}}, nil
	}
	for entry, send := range entryPoints {
		resp, err := send(t.Context(), x.client, "GET", "http://a.test/2", parley.WithResponseHook(replace))
		require.NoError(t, err, entry)
		require.Equal(t, 299, resp.StatusCode)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Empty(t, text)
		require.NotNil(t, resp.Request)
		require.Equal(t, 0, int(resp.Timing().Total))

		resp, err = send(t.Context(), x.client, "GET", "http://a.test/1", parley.WithHopResponseHook(replace))
		require.NoError(t, err, entry)
		require.Equal(t, 299, resp.StatusCode, "the redirect is gone")
		require.NoError(t, resp.Close())
	}
	lead := func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
		if resp.Request.URL.Path != "/5" {
			return nil, nil
		}
		return &parley.Response{StatusCode: 307, Header: http.Header{"Location": {"http://b.test/6"}}}, resp.Close()
	}
	require.Equal(t, "GET http://b.test/6", textOf(t, x.client, "http://a.test/5", parley.WithHopResponseHook(lead)), "one that a hook makes is followed")
	require.Zero(t, x.client.Stats().Active)
}

func TestHooks_bodyIsReadAfterACallAndNotOfAStream(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil)
	var active int
	hook := parley.WithResponseHook(func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
		active = x.client.Stats().Active
		if text, err := resp.Text(); err != nil || text != "GET http://a.test/1" {
			return nil, fmt.Errorf("read %q: %w", text, err)
		}
		return resp, nil
	})
	for name, send := range entryPoints {
		resp, err := send(t.Context(), x.client, "GET", "http://a.test/1", hook)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "GET http://a.test/1", text)
		require.Equal(t, name != "request" && name != "gather", active == 1, name)
	}
}

func TestHooks_bodyIsReadAlsoWhereAPolicyStopped(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 302 Found\r\nLocation: /2\r\nContent-Length: 4\r\n\r\nbody"
	x := newCrossing(t, map[string]string{"http://a.test/1": answer, "http://a.test/cut": strings.Replace(answer, " 4", " 9", 1)},
		parley.WithRedirectPolicy(func(context.Context, *parley.Redirect) error { return parley.ErrStopRedirect }),
		parley.WithTimeouts(parley.Timeouts{Read: waitLong}))
	active, failed := -1, 0
	opts := []parley.RequestOption{
		parley.WithResponseHook(func(context.Context, *parley.Response) (*parley.Response, error) {
			active = x.client.Stats().Active
			return nil, nil
		}),
		parley.WithErrorHook(func(context.Context, *parley.Request, error) error { failed++; return nil }),
	}
	require.Equal(t, "body", textOf(t, x.client, "http://a.test/1", opts...))
	require.Zero(t, active)
	_, err := x.client.Get(t.Context(), "http://a.test/cut", opts...)
	require.ErrorIs(t, err, parley.ErrReadTimeout)
	require.Equal(t, 1, failed)
}

func TestHooks_ofErrors(t *testing.T) {
	t.Parallel()
	errOther, errMiddleware := errors.New("other"), errors.New("middleware")
	var n notes
	note := func(name string, other error) parley.Option {
		return parley.WithErrorHook(func(_ context.Context, req *parley.Request, err error) error {
			n = append(n, fmt.Sprint(name, " ", req.URL.Path, " ", errors.Is(err, parley.ErrConnect)))
			return other
		})
	}
	x := newCrossing(t, map[string]string{"http://a.test/500": "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"}, note("first", nil))
	for name, send := range entryPoints {
		_, err := send(t.Context(), x.client, "GET", "http://nowhere.test/x")
		require.ErrorIs(t, err, parley.ErrConnect)
		require.Equal(t, []string{"first /x true"}, n.take(), name)
		_, err = send(t.Context(), x.client, "GET", "http://nowhere.test/x", note("second", errOther), note("third", nil))
		require.ErrorIs(t, err, errOther)
		require.NotErrorIs(t, err, parley.ErrConnect)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, []string{"first /x true", "second /x true", "third /x false"}, n.take(), name)
		resp, err := send(t.Context(), x.client, "GET", "http://a.test/500")
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Empty(t, n.take())
	}
	fail := func(parley.Transport) parley.Transport {
		return parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { return nil, errMiddleware })
	}
	d := derive(t, x.client, parley.WithMiddleware(fail))
	_, err := d.Get(t.Context(), "http://a.test/m")
	require.ErrorIs(t, err, errMiddleware)
	require.Equal(t, []string{"first /m false"}, n.take(), "what middleware says is heard too")
}

func TestHooks_ofPanics(t *testing.T) {
	t.Parallel()
	var n notes
	boom := func(context.Context, *parley.Request) error { panic("boom") }
	explode := func(parley.Transport) parley.Transport {
		return parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { panic("boom") })
	}
	after := func(context.Context, *parley.Response) (*parley.Response, error) { panic("boom") }
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}),
		parley.WithPanicHook(func(_ context.Context, req *parley.Request, value any) {
			n = append(n, fmt.Sprint(req.URL.Path, " ", value))
		}))
	for name, opts := range map[string]struct {
		session []parley.ClientOption
		request []parley.RequestOption
	}{
		"request hook": {nil, []parley.RequestOption{parley.WithRequestHook(boom)}}, "hook of a hop": {nil, []parley.RequestOption{parley.WithHopRequestHook(boom)}},
		"response hook": {nil, []parley.RequestOption{parley.WithResponseHook(after)}}, "response of a hop": {nil, []parley.RequestOption{parley.WithHopResponseHook(after)}},
		"policy":                    {nil, []parley.RequestOption{parley.WithRedirectPolicy(func(context.Context, *parley.Redirect) error { panic("boom") })}},
		"middleware":                {[]parley.ClientOption{parley.WithMiddleware(explode)}, nil},
		"middleware of the request": {nil, []parley.RequestOption{parley.WithRequestMiddleware(explode)}},
		"network middleware":        {[]parley.ClientOption{parley.WithNetworkMiddleware(explode)}, nil},
		"auth":                      {nil, []parley.RequestOption{parley.WithAuth(parley.AuthFunc(boom))}},
		"transport":                 {[]parley.ClientOption{parley.WithTransport(explode(nil))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := derive(t, x.client, opts.session...)
			for entry, send := range entryPoints {
				if entry == "gather" { // its goroutine has no caller who could recover
					continue
				}
				require.PanicsWithValue(t, "boom", func() { _, _ = send(t.Context(), d, "GET", "http://a.test/1", opts.request...) }, entry)
				require.Equal(t, []string{"/1 boom"}, n.take(), entry)
			}
			require.Equal(t, "GET http://a.test/2", textOf(t, x.client, "http://a.test/2"))
			require.Zero(t, x.client.Stats().Active)
		})
	}
}

func TestHooks_canBeLeftOut(t *testing.T) {
	t.Parallel()
	var n notes
	all := func(name string) parley.Option {
		return parley.WithOptions(parley.WithRequestHook(n.before(name)), parley.WithResponseHook(n.after(name)),
			parley.WithHopRequestHook(n.before(name)), parley.WithHopResponseHook(n.after(name)),
			parley.WithErrorHook(func(context.Context, *parley.Request, error) error { n = append(n, name); return nil }))
	}
	x := newCrossing(t, nil, all("parent"))
	heard := func(c *parley.Client, opts ...parley.RequestOption) string {
		names := map[string]bool{}
		for entry, send := range entryPoints {
			resp, err := send(t.Context(), c, "GET", "http://a.test/1", opts...)
			require.NoError(t, err, entry)
			require.NoError(t, resp.Close())
			_, err = send(t.Context(), c, "GET", "http://nowhere.test/1", opts...)
			require.Error(t, err)
			now := map[string]bool{}
			for _, note := range n.take() {
				name, _, _ := strings.Cut(note, " ")
				now[name] = true
			}
			if len(names) > 0 {
				require.Equal(t, names, now, entry)
			}
			names = now
		}
		return fmt.Sprint(names)
	}
	require.Equal(t, "map[parent:true]", heard(x.client))
	require.Equal(t, "map[]", heard(x.client, parley.WithoutHooks()))
	require.Equal(t, "map[own:true]", heard(x.client, parley.WithoutHooks(), all("own")))
	require.Equal(t, "map[]", heard(x.client, all("own"), parley.WithoutHooks()), "those set before, of the request too")
	child := derive(t, x.client, all("child"))
	require.Equal(t, "map[child:true parent:true]", heard(child))
	alone := derive(t, child, parley.WithoutHooks())
	require.Equal(t, "map[]", heard(alone))
	again := derive(t, alone, all("again"))
	require.Equal(t, "map[again:true]", heard(again))
	require.Equal(t, "map[again:true own:true]", heard(again, all("own")))
	require.Equal(t, "map[parent:true]", heard(x.client), "derived sessions do not bleed back")
	for _, opt := range []parley.Option{
		parley.WithRequestHook(nil), parley.WithResponseHook(nil), parley.WithHopRequestHook(nil), parley.WithHopResponseHook(nil), parley.WithErrorHook(nil), parley.WithPanicHook(nil),
	} {
		_, err := x.client.Get(t.Context(), "http://a.test/", opt)
		require.Error(t, err)
	}
}

func TestHooks_seeNoCredentials(t *testing.T) {
	t.Parallel()
	see := func(_ context.Context, req *parley.Request) error {
		if req.Header.Get("Authorization")+req.Header.Get("Cookie") != "" || req.URL.User != nil {
			return errors.New("there are credentials")
		}
		return nil
	}
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, parley.WithRequestHook(see), parley.WithHopRequestHook(see))
	x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "jar", Value: "1"}})
	for name, opt := range map[string]parley.Option{
		"token": parley.WithBearerToken("SECRET"), "login": parley.WithBasicAuth("u", "SECRET"),
		"function": parley.WithAuth(parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
			req.Header.Set("Authorization", "SECRET")
			return nil
		})),
	} {
		_, err := x.client.Get(t.Context(), "http://a.test/1", opt)
		require.NoError(t, err, name)
		_, err = derive(t, x.client, opt).Get(t.Context(), "http://a.test/1")
		require.NoError(t, err, name)
		for _, a := range x.seen() {
			require.NotEmpty(t, a.Header.Get("Authorization"))
			require.Equal(t, "jar=1", a.Header.Get("Cookie"))
		}
	}
	_, err := x.client.Get(t.Context(), "http://u:SECRET@a.test/1")
	require.NoError(t, err)
	require.NotEmpty(t, x.seen()[1].Header.Get("Authorization"))
}
