package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestPrepared_responseSaysWhatWentOut(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2", "Set-Cookie: later=2; Path=/")},
		parley.WithHeader("X-Session", "1"), parley.WithBearerToken("token"))
	x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "jar", Value: "1", Path: "/"}})
	for name, send := range entryPoints {
		x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "later", MaxAge: -1, Path: "/"}})
		resp, err := send(t.Context(), x.client, "POST", "http://a.test/1", parley.WithText("content"), parley.WithCookie("own", "1"))
		require.NoError(t, err, name)
		require.NoError(t, resp.Close())
		seen := x.seen()
		for i, r := range append(slices.Clone(resp.History), resp) {
			sent := seen[i].Header.Clone()
			sent.Del("Content-Length") // framing, which the body says
			require.Equal(t, sent, r.Request.Header, name)
			require.Equal(t, seen[i].Method+" "+seen[i].origin+seen[i].RequestURI, r.Request.Method+" "+r.Request.URL.String())
			require.Equal(t, "Bearer token", r.Request.Header.Get("Authorization"))
		}
		require.Equal(t, "jar=1; own=1", seen[0].Header.Get("Cookie"))
		require.Equal(t, "jar=1; later=2; own=1", seen[1].Header.Get("Cookie"))
	}
}

func TestPrepared_isSentTwiceWhereItsBodyCanBe(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil)
	body := &ownBody{parts: []string{"con", "tent"}, size: 7}
	for name, opt := range map[string]parley.RequestOption{
		"bytes": parley.WithBytes([]byte("content")), "reader": parley.WithReader(strings.NewReader("content")), "own": parley.WithBody(body),
	} {
		for _, prepare := range []func(string, string, ...parley.RequestOption) (*parley.Request, error){x.client.NewRequest, parley.NewRequest} {
			req, err := prepare("PUT", "http://a.test/", opt)
			require.NoError(t, err)
			for range 3 {
				resp, err := x.client.Send(t.Context(), req)
				require.NoError(t, err, name)
				require.NoError(t, resp.Close())
				require.Equal(t, "content", string(x.seen()[0].Content))
			}
		}
	}
	for _, prepare := range []func(string, string, ...parley.RequestOption) (*parley.Request, error){x.client.NewRequest, parley.NewRequest} {
		req, err := prepare("PUT", "http://a.test/", parley.WithReader(inParts("con", "tent")))
		require.NoError(t, err)
		resp, err := x.client.Send(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Len(t, x.seen(), 1)
		_, err = x.client.Send(t.Context(), req)
		require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.NotSent, e.Sent)
		require.Empty(t, x.seen())
	}
}

func TestPrepared_keepsItsSessionsValuesOnAnyOther(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, parley.WithHeader("X-From", "first"), parley.WithBasicAuth("first", "p"),
		parley.WithFollowRedirects(false), parley.WithCookie("first", "1"))
	var n notes
	second := wireClient(t, parley.WithEnv(false), parley.WithDialer(x.names), parley.WithHeader("X-From", "second"), parley.WithHeader("X-Second", "1"),
		parley.WithBasicAuth("second", "p"), parley.WithRequestHook(n.before("second")), parley.WithCookie("second", "1"))
	for i, c := range []*parley.Client{x.client, second} {
		c.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: fmt.Sprint("jar", i), Value: "1"}})
	}
	req, err := x.client.NewRequest("GET", "http://a.test/1")
	require.NoError(t, err)
	resp, err := second.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, 302, resp.StatusCode)
	require.NoError(t, resp.Close())
	sent := x.seen()[0]
	user, _, _ := sent.BasicAuth()
	require.Equal(t, "first first jar1=1; first=1", user+" "+sent.Header.Get("X-From")+" "+sent.Header.Get("Cookie"))
	require.Empty(t, sent.Header.Get("X-Second"))
	require.Empty(t, n)
}

func TestPrepared_URLWrittenByHand(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil, parley.WithHeader("X-Session", "1"))
	for raw, want := range map[string]string{
		"http://b.test/x y":        "GET http://b.test/x%20y",
		"HTTP://B.TEST.:80/a/../b": "GET http://b.test/b",
		"http://u:p@b.test/":       "GET http://b.test/",
		"http://b.test":            "GET http://b.test/",
		"ftp://b.test/":            "",
		"http:///x":                "",
		"/x":                       "",
		"http://b_%.test/":         "",
	} {
		for _, prepare := range []func(string, string, ...parley.RequestOption) (*parley.Request, error){x.client.NewRequest, parley.NewRequest} {
			req, err := prepare("GET", "http://a.test/")
			require.NoError(t, err)
			u, err := http.NewRequest("GET", raw, nil)
			if err != nil {
				continue
			}
			req.URL = u.URL
			before := *u.URL
			resp, err := x.client.Send(t.Context(), req)
			require.Equal(t, before, *req.URL, "sending changes nothing")
			if want == "" {
				require.Error(t, err, raw)
				require.Empty(t, x.seen())
				continue
			}
			require.NoError(t, err, raw)
			require.Nil(t, resp.Request.URL.User)
			require.NoError(t, resp.Close())
			sent := x.seen()[0]
			require.Equal(t, want, sent.String())
			require.Equal(t, strings.Contains(raw, "@"), sent.Header.Get("Authorization") == "Basic dTpw")
		}
	}
	req, err := x.client.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	req.URL, req.Header = nil, nil
	_, err = x.client.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	_, err = x.client.Send(t.Context(), nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	req.URL = mustParse("http://a.test/")
	x.client.Jar().SetCookies(req.URL, []*http.Cookie{{Name: "jar", Value: "1"}})
	resp, err := x.client.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Equal(t, "jar=1", x.seen()[0].Header.Get("Cookie"))
}

func TestPrepared_theLastWordOnWhoAsksWins(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil)
	own := parley.WithHeader("Authorization", "own")
	bearer := func(token string) parley.Option { return parley.WithBearerToken(token) }
	function := parley.WithAuth(parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
		req.Header.Set("Authorization", "function")
		return nil
	}))
	digest, err := parley.DigestAuth("u", "p")
	require.NoError(t, err)
	key, err := parley.APIKeyHeader("X-Key", "k")
	require.NoError(t, err)
	token := parley.TokenAuth(func(context.Context) (parley.Token, error) { return parley.Token{Value: "t"}, nil })
	byHand := func(req *parley.Request) { req.Header.Set("Authorization", "hand") }
	type (
		session = []parley.ClientOption
		request = []parley.RequestOption
	)
	for name, tt := range map[string]struct {
		session, derived session
		request          request
		with             request
		edit             func(*parley.Request)
		want             string
	}{
		"session":                               {session: session{bearer("1")}, want: "Bearer 1"},
		"session, header and auth":              {session: session{own, bearer("1")}, want: "Bearer 1"},
		"derived session":                       {session: session{bearer("1")}, derived: session{bearer("2")}, want: "Bearer 2"},
		"derived session says nothing":          {session: session{bearer("1")}, derived: session{parley.WithHeader("X", "1")}, want: "Bearer 1"},
		"derived session, the parent's header":  {session: session{own}, derived: session{parley.WithHeader("X", "1")}, want: "own"},
		"derived session by header":             {session: session{bearer("1")}, derived: session{own}, want: "own"},
		"derived session over a header":         {session: session{own}, derived: session{bearer("2")}, want: "Bearer 2"},
		"derived session removes it":            {session: session{bearer("1")}, derived: session{parley.WithoutAuth()}, want: ""},
		"derived session removes the header":    {session: session{own}, derived: session{parley.WithoutHeader("Authorization")}, want: ""},
		"derived session removes what auth set": {session: session{bearer("1")}, derived: session{parley.WithoutHeader("authorization")}, want: ""},
		"derived session without both":          {session: session{own}, derived: session{parley.WithoutAuth()}, want: ""},
		"request":                               {session: session{bearer("1")}, request: request{bearer("3")}, want: "Bearer 3"},
		"request by header":                     {session: session{bearer("1")}, request: request{own}, want: "own"},
		"request by header over a function":     {session: session{function}, request: request{own}, want: "own"},
		"request over a header":                 {session: session{own}, request: request{bearer("3")}, want: "Bearer 3"},
		"request, header and auth":              {request: request{own, bearer("3")}, want: "Bearer 3"},
		"request without":                       {session: session{bearer("1")}, request: request{parley.WithoutAuth()}, want: ""},
		"request without, the session's header": {session: session{own}, request: request{parley.WithoutAuth()}, want: ""},
		"request without, its own header":       {session: session{bearer("1")}, request: request{parley.WithoutAuth(), own}, want: "own"},
		"request removes the header":            {session: session{bearer("1")}, request: request{parley.WithoutHeader("authorization")}, want: ""},
		"changed by With":                       {session: session{bearer("1")}, with: request{bearer("4")}, want: "Bearer 4"},
		"changed by With to a header":           {session: session{bearer("1")}, with: request{own}, want: "own"},
		"a function changed to a header":        {session: session{function}, with: request{own}, want: "own"},
		"a header changed by With":              {session: session{own}, with: request{bearer("4")}, want: "Bearer 4"},
		"removed by With":                       {session: session{bearer("1")}, with: request{parley.WithoutHeader("Authorization")}, want: ""},
		"left out by With":                      {session: session{bearer("1")}, with: request{parley.WithoutAuth()}, want: ""},
		"Digest and a header by hand":           {session: session{parley.WithAuth(digest)}, edit: byHand, want: "hand"},
		"a token and a header by hand":          {session: session{parley.WithAuth(token)}, edit: byHand, want: "hand"},
		"a header over a token":                 {session: session{parley.WithAuth(token)}, request: request{own}, want: "own"},
		"a header and a token":                  {session: session{own, parley.WithAuth(token)}, want: "Bearer t"},
		"a key and a header":                    {session: session{own, parley.WithAuth(key)}, want: "own"},
		"a key and a header by hand":            {session: session{parley.WithAuth(key)}, edit: byHand, want: "hand"},
		"header by hand":                        {session: session{bearer("1")}, edit: byHand, want: "hand"},
	} {
		t.Run(name, func(t *testing.T) {
			c := derive(t, derive(t, x.client, tt.session...), tt.derived...)
			if tt.with == nil && tt.edit == nil {
				for entry, send := range entryPoints {
					resp, err := send(t.Context(), c, "GET", "http://a.test/", tt.request...)
					require.NoError(t, err)
					require.NoError(t, resp.Close())
					require.Equal(t, tt.want, x.seen()[0].Header.Get("Authorization"), entry)
				}
				return
			}
			req, err := c.NewRequest("GET", "http://a.test/", tt.request...)
			require.NoError(t, err)
			if tt.edit != nil {
				tt.edit(req)
			} else {
				req, err = req.With(tt.with...)
				require.NoError(t, err)
			}
			resp, err := c.Send(t.Context(), req)
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			require.Equal(t, tt.want, x.seen()[0].Header.Get("Authorization"))
			hook := func(_ context.Context, own *parley.Request) error {
				if changed, err := own.With(tt.with...); err == nil {
					*own = *changed
				}
				if tt.edit != nil {
					tt.edit(own)
				}
				return nil
			}
			_, err = c.Get(t.Context(), "http://a.test/", append(tt.request, parley.WithRequestHook(hook))...)
			require.NoError(t, err)
			require.Equal(t, tt.want, x.seen()[0].Header.Get("Authorization"), "by a hook")
		})
	}
}

func TestPrepared_isSentByManyAtOnce(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(307, "/2", "Set-Cookie: s=1; Path=/"), "http://a.test/2": leads(307, "http://b.test/3")},
		parley.WithBearerToken("token"), parley.WithPoolLimits(parley.PoolLimits{Soft: 8, Hard: 8}),
		parley.WithRequestHook(func(_ context.Context, req *parley.Request) error { req.Header.Add("X-Hook", "1"); return nil }),
		parley.WithHopRequestHook(func(_ context.Context, req *parley.Request) error { req.Header.Add("X-Hop", "1"); return nil }))
	req, err := x.client.NewRequest("POST", "http://a.test/1", parley.WithText("content"))
	require.NoError(t, err)
	var running sync.WaitGroup
	errs := make(chan error, 64)
	for range cap(errs) {
		running.Go(func() {
			resp, err := x.client.Send(t.Context(), req)
			if err == nil {
				var text string
				if text, err = resp.Text(); err == nil && text != "POST http://b.test/3" {
					err = errors.New(text)
				}
			}
			errs <- err
		})
	}
	running.Wait()
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	for _, a := range x.seen() {
		require.Equal(t, "content", string(a.Content))
		require.LessOrEqual(t, len(a.Header["X-Hook"]), 1)
		require.LessOrEqual(t, len(a.Header["X-Hop"]), 1, "the hook of a hop works on a copy that does not go on to the next")
	}
	require.Empty(t, req.Header["X-Hook"])
}
