package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

func TestBinRedirects(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL), parley.WithHeader("X-Session", "yes"))
	for _, kind := range []string{"redirect/%d", "relative-redirect/%d", "absolute-redirect/%d"} {
		t.Run(kind, func(t *testing.T) {
			resp, err := c.Get(t.Context(), fmt.Sprintf(kind, 6))
			require.NoError(t, err)
			require.Len(t, resp.History, 6)
			require.Equal(t, "/get", resp.Request.URL.Path)
			for i, hop := range resp.History {
				require.Equal(t, http.StatusFound, hop.StatusCode)
				require.Len(t, hop.History, i)
			}
			got, err := parley.As[echo](resp, err)
			require.NoError(t, err)
			require.Equal(t, []string{"yes"}, got.Headers["X-Session"], "it is the session's own origin")

			_, err = c.Get(t.Context(), fmt.Sprintf(kind, 21))
			require.ErrorIs(t, err, parley.ErrTooManyRedirects)
			var redirect *parley.RedirectError
			require.ErrorAs(t, err, &redirect)
			require.Len(t, redirect.Response.History, 20)

			resp, err = c.Get(t.Context(), fmt.Sprintf(kind, 21), parley.WithMaxRedirects(21))
			require.NoError(t, err)
			require.Len(t, resp.History, 21)

			resp, err = c.Get(t.Context(), fmt.Sprintf(kind, 2), parley.WithFollowRedirects(false))
			require.NoError(t, err)
			require.Equal(t, http.StatusFound, resp.StatusCode)
		})
	}
	require.EqualValues(t, 1, c.Stats().Dials, "redirects do not cost the connection")
}

func TestBinRedirectsStepByStep(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	resp, err := c.Get(t.Context(), "redirect/3", parley.WithFollowRedirects(false))
	require.NoError(t, err)
	steps := 0
	for resp.StatusCode == http.StatusFound {
		next, err := resp.Next()
		require.NoError(t, err)
		resp, err = c.Send(t.Context(), next)
		require.NoError(t, err)
		_, err = resp.Bytes()
		require.NoError(t, err)
		steps++
	}
	require.Equal(t, 3, steps)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestBinRedirectsByEveryStatus(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	tests := []struct {
		status       int
		method, want string // "": not followed
		body         bool
	}{
		{301, "POST", "GET", false},
		{302, "POST", "GET", false},
		{303, "POST", "GET", false},
		{307, "POST", "POST", true},
		{308, "POST", "POST", true},
		{301, "PUT", "PUT", true},
		{302, "PUT", "PUT", true},
		{303, "PUT", "GET", false},
		{307, "PUT", "PUT", true},
		{303, "DELETE", "GET", false},
		{300, "POST", "", false},
		{304, "GET", "", false},
		{305, "POST", "", false},
		{306, "POST", "", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.method), func(t *testing.T) {
			resp, err := c.Request(t.Context(), tt.method, "redirect-to", parley.WithQuery("url", "/anything"),
				parley.WithQuery("status_code", fmt.Sprint(tt.status)), parley.WithText("tea"))
			require.NoError(t, err)
			if tt.want == "" {
				require.Equal(t, tt.status, resp.StatusCode)
				return
			}
			got, err := parley.As[echo](resp, err)
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Method)
			if tt.body {
				require.Equal(t, "tea", got.Data)
				require.Equal(t, []string{"text/plain; charset=utf-8"}, got.Headers["Content-Type"])
			} else {
				require.Empty(t, got.Data)
				require.NotContains(t, got.Headers, "Content-Type")
			}
		})
	}
}

func TestBinRedirectsToOtherOriginsLeaveTheSessionBehind(t *testing.T) {
	home, away := bin(t), bin(t)
	base, err := url.Parse(home.URL)
	require.NoError(t, err)
	base.User = url.UserPassword(user, password)
	c := session(t, parley.WithBaseURL(base.String()), parley.WithHeader("X-Api-Key", "secret"), parley.WithCookie("id", "7"))
	got, err := parley.As[echo](c.Get(t.Context(), "get"))
	require.NoError(t, err)
	require.Contains(t, got.Headers, "Authorization")
	require.Contains(t, got.Headers, "X-Api-Key")
	require.Contains(t, got.Headers, "Cookie")

	there := away.URL + "/get"
	got, err = parley.As[echo](c.Get(t.Context(), "redirect-to", parley.WithQuery("url", there)))
	require.NoError(t, err)
	require.Equal(t, there, got.URL)
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "Referer"} {
		require.NotContains(t, got.Headers, name)
	}
	require.Contains(t, got.Headers, "User-Agent")

	// What was left behind stays so when the way leads back home.
	back := away.URL + "/redirect-to?" + url.Values{"url": {home.URL + "/get"}}.Encode()
	got, err = parley.As[echo](c.Get(t.Context(), "redirect-to", parley.WithQuery("url", back)))
	require.NoError(t, err)
	require.Equal(t, home.URL+"/get", got.URL)
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
		require.NotContains(t, got.Headers, name)
	}
}

func TestBinCookies(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	show := func(resp *parley.Response, err error) map[string]string {
		t.Helper()
		got, err := parley.As[struct{ Cookies map[string]string }](resp, err)
		require.NoError(t, err)
		return got.Cookies
	}
	require.Empty(t, show(c.Get(t.Context(), "cookies")))
	require.Equal(t, map[string]string{"tea": "green", "cake": "yes"},
		show(c.Get(t.Context(), "cookies/set", parley.WithQuery("tea", "green"), parley.WithQuery("cake", "yes"))),
		"a cookie set by a redirect goes to where that leads")
	require.Equal(t, map[string]string{"tea": "black", "cake": "yes", "one": "off"},
		show(c.Get(t.Context(), "cookies", parley.WithCookie("tea", "black"), parley.WithCookie("one", "off"))))
	require.Equal(t, map[string]string{"cake": "yes"}, show(c.Get(t.Context(), "cookies/delete", parley.WithQuery("tea", ""))))
	require.Empty(t, show(c.Get(t.Context(), "cookies", parley.WithoutCookie("cake"))))

	derived, err := c.With(parley.WithJar(nil))
	require.NoError(t, err)
	require.Empty(t, show(derived.Get(t.Context(), "cookies/set", parley.WithQuery("tea", "green"))))
	require.Equal(t, map[string]string{"cake": "yes"}, show(c.Get(t.Context(), "cookies")))
}

func TestBinAuth(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	basic := parley.WithBasicAuth(user, "sesame")
	tests := []struct {
		name, path string
		auth       parley.Option
		want       int
	}{
		{"basic", "basic-auth/Aladdin/sesame", basic, 200},
		{"basic, another password", "basic-auth/Aladdin/simsim", basic, 401},
		{"basic, none", "basic-auth/Aladdin/sesame", parley.WithoutAuth(), 401},
		{"hidden basic", "hidden-basic-auth/Aladdin/sesame", basic, 200},
		{"hidden basic, none", "hidden-basic-auth/Aladdin/sesame", parley.WithoutAuth(), 404},
		{"bearer", "bearer", parley.WithBearerToken("abc.def"), 200},
		{"bearer, none", "bearer", parley.WithoutAuth(), 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := c.Get(t.Context(), tt.path, tt.auth)
			require.NoError(t, err)
			require.Equal(t, tt.want, resp.StatusCode)
		})
	}
}

func TestBinAuthOfTheURL(t *testing.T) {
	server := bin(t)
	at, err := url.Parse(server.URL + "/basic-auth/Aladdin/open%20sesame")
	require.NoError(t, err)
	at.User = url.UserPassword(user, "open sesame")
	resp, err := session(t).Get(t.Context(), at.String())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Nil(t, resp.Request.URL.User)
}

func TestBinHooks(t *testing.T) {
	var calls, hops []string
	c := session(t, parley.WithBaseURL(bin(t).URL),
		parley.WithRequestHook(func(_ context.Context, req *parley.Request) error {
			calls = append(calls, req.URL.Path)
			req.Header.Set("X-Hook", "yes")
			return nil
		}),
		parley.WithHopResponseHook(func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
			hops = append(hops, fmt.Sprint(resp.StatusCode, " ", resp.Request.URL.Path))
			return resp, nil
		}))
	got, err := parley.As[echo](c.Get(t.Context(), "redirect/2"))
	require.NoError(t, err)
	require.Equal(t, []string{"yes"}, got.Headers["X-Hook"])
	require.Equal(t, []string{"/redirect/2"}, calls)
	require.Equal(t, []string{"302 /redirect/2", "302 /relative-redirect/1", "200 /get"}, hops)
}
