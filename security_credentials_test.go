package parley_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Section 1 of the list of known vulnerabilities: what may cross an origin. These have
// no test, or parts of them have none:
//
//	S012, S013 are in security_auth_test.go
//	S015 not offered: no Referer is ever made; the test shows that none is
//	S018 by HTTP/2 is in security_matrix_test.go

// unseen demands that nothing that looks like the secret has reached an origin, and
// none of these headers.
func (x *crossing) unseen(t *testing.T, origin string, names ...string) {
	t.Helper()
	text := x.servers[origin].Text()
	for _, form := range forms() {
		require.NotContains(t, text, form)
	}
	for _, name := range names {
		require.NotContains(t, strings.ToLower(text), "\n"+strings.ToLower(name)+":")
	}
}

// eachStatus runs a test with a redirect of each status from a.test/start to location.
func eachStatus(t *testing.T, location string, test func(t *testing.T, answers map[string]string)) {
	for _, status := range redirectStatuses {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			test(t, map[string]string{"http://a.test/start": leads(status, location)})
		})
	}
}

func TestS001_AuthorizationNotSentToOtherHost(t *testing.T) {
	t.Parallel()
	const value = "Bearer SECRET"
	setter := parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
		req.Header.Set("Authorization", value)
		return nil
	})
	hook := func(_ context.Context, req *parley.Request) error {
		req.Header.Set("Authorization", value)
		return nil
	}
	eachStatus(t, "http://b.test/x", func(t *testing.T, answers map[string]string) {
		for name, opt := range map[string]parley.Option{
			"header": parley.WithHeader("Authorization", value), "token": parley.WithBearerToken("SECRET"),
			"login": parley.WithBasicAuth("SECRET", "SECRET"), "function": parley.WithAuth(setter), "hook": parley.WithRequestHook(hook),
		} {
			for _, ofSession := range []bool{true, false} {
				session, request := []parley.ClientOption{opt}, []parley.RequestOption(nil)
				if !ofSession {
					session, request = nil, []parley.RequestOption{opt}
				}
				x := newCrossing(t, answers, session...)
				resp, err := x.client.Get(t.Context(), "http://a.test/start", request...)
				require.NoError(t, err, name)
				require.Equal(t, "http://b.test/x", resp.Request.URL.String())
				require.Equal(t, 1, strings.Count(x.servers["http://a.test"].Text(), "Authorization: "), name)
				x.unseen(t, "http://b.test", "Authorization")
			}
		}
	})
}

func TestS002_CookieHeaderNotSentToOtherHost(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/x", func(t *testing.T, answers map[string]string) {
		x := newCrossing(t, answers)
		x.client.Jar().SetCookies(mustParse("http://b.test/"), []*http.Cookie{{Name: "k", Value: "v"}})
		_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithHeader("Cookie", "sid=SECRET"))
		require.NoError(t, err)
		require.Equal(t, []string{"k=v"}, x.seen()[1].Header["Cookie"])
		x.unseen(t, "http://b.test")
	})
}

func TestS003_CookiesOfARequestStayWithItsOrigin(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/back", func(t *testing.T, answers map[string]string) {
		answers["http://b.test/back"] = leads(302, "http://a.test/end")
		x := newCrossing(t, answers)
		_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithCookie("p", "SECRET"))
		require.NoError(t, err)
		seen := x.seen()
		require.Len(t, seen, 3)
		require.Equal(t, "p=SECRET", seen[0].Header.Get("Cookie"))
		require.Empty(t, seen[2].Header["Cookie"])
		x.unseen(t, "http://b.test", "Cookie")
		for _, u := range []string{"http://a.test/", "http://b.test/"} {
			require.Empty(t, x.client.Jar().Cookies(mustParse(u)))
		}
	})
}

// credentialHeaders are all names under which credentials travel.
var credentialHeaders = []string{
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "WWW-Authenticate", "Cookie", "Cookie2",
}

func TestS004_NoCredentialHeaderIsSentToOtherHost(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/x", func(t *testing.T, answers map[string]string) {
		for _, name := range credentialHeaders {
			x := newCrossing(t, answers)
			_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithHeader(name, "SECRET"))
			require.NoError(t, err)
			x.unseen(t, "http://b.test", name)
		}
	})
}

func TestS005_SchemeChangeIsAnOriginChange(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{"https://a.test": "http://a.test", "http://a.test": "https://a.test"} {
		for _, status := range redirectStatuses {
			x := newCrossing(t, map[string]string{from + "/start": leads(status, to+"/x"), "https://a.test/": ""}, parley.WithBearerToken("SECRET"))
			_, err := x.client.Get(t.Context(), from+"/start", parley.WithHeader("Cookie", "c=SECRET"), parley.WithHeader("X-Key", "SECRET"))
			require.NoError(t, err)
			require.Len(t, x.seen(), 2)
			x.unseen(t, to, "Authorization", "Cookie", "X-Key")
		}
	}
}

func TestS006_PortIsPartOfTheOrigin(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://a.test:8080/x", func(t *testing.T, answers map[string]string) {
		answers["http://a.test/same"] = strings.Replace(answers["http://a.test/start"], ":8080", ":80", 1)
		x := newCrossing(t, answers, parley.WithBearerToken("SECRET"))
		opts := []parley.RequestOption{parley.WithHeader("Cookie", "c=SECRET"), parley.WithHeader("X-Key", "SECRET")}
		_, err := x.client.Get(t.Context(), "http://a.test/start", opts...)
		require.NoError(t, err)
		x.unseen(t, "http://a.test:8080", "Authorization", "Cookie", "X-Key")
		x.seen()
		_, err = x.client.Get(t.Context(), "http://a.test/same", opts...)
		require.NoError(t, err)
		last := x.seen()[1]
		for _, name := range []string{"Authorization", "Cookie", "X-Key"} {
			require.Contains(t, last.Header.Get(name), "SECRET")
		}
	})
}

func TestS007_HostsAreComparedWhole(t *testing.T) {
	t.Parallel()
	for location, address := range map[string]string{
		"http://[::1%25.a.test]/": "[::1%.a.test]:80", "http://nota.test/": "nota.test:80", "http://www.a.test/": "www.a.test:80",
		"http://a.test.evil.test/": "a.test.evil.test:80", "http://test/": "test:80",
	} {
		other := wiretest.Serve(t, wiretest.Echo())
		x := newCrossing(t, map[string]string{"http://a.test/start": leads(307, location)}, parley.WithBearerToken("SECRET"))
		x.names.Lead(address, other.Addr())
		x.servers["other"] = other
		_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithHeader("Cookie", "c=SECRET"))
		require.NoError(t, err, location)
		require.NotEmpty(t, other.Text())
		x.unseen(t, "other", "Authorization", "Cookie")
	}
}

func TestS008_WhatWasLeftBehindStaysBehind(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/1", func(t *testing.T, answers map[string]string) {
		for _, then := range []string{"http://b.test/2", "http://a.test/2"} {
			answers["http://b.test/1"] = leads(307, then)
			x := newCrossing(t, answers, parley.WithBasicAuth("u", "SECRET"), parley.WithHeader("X-Key", "SECRET"))
			_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithCookie("c", "SECRET"))
			require.NoError(t, err)
			seen := x.seen()
			require.Len(t, seen, 3)
			require.Contains(t, seen[0].Head, "SECRET")
			for _, a := range seen[1:] {
				for _, form := range forms() {
					require.NotContains(t, a.Head, form)
				}
				require.Empty(t, a.Header["Authorization"])
			}
		}
	})
}

func TestS009_AllValuesOfANameStayBehind(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/x", func(t *testing.T, answers map[string]string) {
		x := newCrossing(t, answers)
		_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithHeaders(http.Header{
			"Authorization": {"SECRET 1", "SECRET 2"}, "Cookie": {"a=SECRET", "b=SECRET"},
		}))
		require.NoError(t, err)
		require.Equal(t, 4, strings.Count(x.servers["http://a.test"].Text(), "SECRET"))
		x.unseen(t, "http://b.test", "Authorization", "Cookie")
	})
}

func TestS010_NamesAreFoundInAnySpelling(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"authorization", "AUTHORIZATION", "aUtHoRiZaTiOn", "cookie", "x-KEY"} {
		edit := func(_ context.Context, req *parley.Request) error {
			req.Header[name] = []string{"SECRET"}
			return nil
		}
		for way, opts := range map[string][]parley.RequestOption{
			"option":  {parley.WithHeader(name, "SECRET")},
			"map":     {parley.WithHeaders(http.Header{name: {"SECRET"}})},
			"spelled": {parley.WithHeader(name, "SECRET"), parley.WithHeaderOrder(name)},
			"hook":    {parley.WithRequestHook(edit)},
			"middleware": {parley.WithRequestMiddleware(func(next parley.Transport) parley.Transport {
				return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
					req = req.Clone()
					req.Header[name] = []string{"SECRET"}
					return next.Send(ctx, req)
				})
			})},
		} {
			x := newCrossing(t, map[string]string{"http://a.test/start": leads(307, "http://b.test/x")})
			_, err := x.client.Get(t.Context(), "http://a.test/start", opts...)
			require.NoError(t, err)
			require.Contains(t, x.servers["http://a.test"].Text(), "SECRET", way)
			x.unseen(t, "http://b.test", name)
		}
	}
}

func TestS011_CustomHeadersStayBehind(t *testing.T) {
	t.Parallel()
	names := []string{
		"X-API-Key", "Api-Key", "X-Auth-Token", "X-CSRF-Token", "X-XSRF-Token", "X-Amz-Security-Token", "Token", "X-Mine",
	}
	eachStatus(t, "http://b.test/x", func(t *testing.T, answers map[string]string) {
		answers["http://a.test/same"] = strings.Replace(answers["http://a.test/start"], "http://b.test", "", 1)
		for _, ofSession := range []bool{true, false} {
			var session []parley.ClientOption
			var request []parley.RequestOption
			for _, name := range names {
				if ofSession {
					session = append(session, parley.WithHeader(name, "SECRET"))
				} else {
					request = append(request, parley.WithHeader(name, "SECRET"))
				}
			}
			x := newCrossing(t, answers, append(session, parley.WithHeader("Accept-Language", "de"), parley.WithHeader("User-Agent", "me"))...)
			_, err := x.client.Get(t.Context(), "http://a.test/start", append(request, parley.WithHeader("If-None-Match", `"x"`))...)
			require.NoError(t, err)
			x.unseen(t, "http://b.test", names...)
			crossed := x.seen()[1].Header
			require.Equal(t, []string{"de", "me", `"x"`}, []string{crossed.Get("Accept-Language"), crossed.Get("User-Agent"), crossed.Get("If-None-Match")})
			_, err = x.client.Get(t.Context(), "http://a.test/same", request...)
			require.NoError(t, err)
			for _, name := range names {
				require.Equal(t, "SECRET", x.arrived[1].Header.Get(name))
			}
		}
	})
}

func TestS014_UserInformationStaysWithItsURL(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"//b.test/y", "http://b.test/y", "https:/y", "/y", "http://a.test/y", "http://other:word@a.test/y"} {
		x := newCrossing(t, map[string]string{"http://a.test/x": leads(307, location)})
		resp, err := x.client.Get(t.Context(), "http://user:SECRET@a.test/x")
		seen := x.seen()
		user, password, _ := seen[0].BasicAuth()
		require.Equal(t, "user SECRET", user+" "+password)
		x.unseen(t, "http://b.test", "Authorization")
		if location == "https:/y" {
			require.ErrorIs(t, err, parley.ErrInvalidURL)
			requireHidden(t, texts(err))
			continue
		}
		require.NoError(t, err)
		require.Len(t, seen, 2)
		require.Nil(t, resp.Request.URL.User)
		require.Nil(t, resp.History[0].Request.URL.User)
		if seen[1].origin == "http://a.test" { // the same origin: the same credentials, not those of the Location
			user, password, _ := seen[1].BasicAuth()
			require.Equal(t, "user SECRET", user+" "+password)
		}
	}
}

// requireHidden demands that nothing in text looks like the secret.
func requireHidden(t testing.TB, text string) {
	t.Helper()
	for _, form := range forms() {
		require.NotContains(t, text, form)
	}
}

func TestS015_NoRefererIsMade(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/p": leads(302, "http://b.test/"), "https://a.test/p": leads(302, "http://b.test/"), "http://b.test/": leads(302, "/end"),
	})
	for _, from := range []string{"http://u:SECRET@a.test/p#FRAG", "https://u:SECRET@a.test/p#FRAG"} {
		_, err := x.client.Get(t.Context(), from)
		require.NoError(t, err)
	}
	for _, a := range x.seen() {
		require.Empty(t, a.Header["Referer"])
		require.NotContains(t, a.Head, "FRAG")
	}
}

func TestS016_AClearedHeaderIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, nil)
	for _, opts := range [][]parley.RequestOption{{parley.WithHeader("Referer", "http://x.test/SECRET")}, nil, {parley.WithoutHeader("Referer")}} {
		_, err := x.client.Get(t.Context(), "http://a.test/", opts...)
		require.NoError(t, err)
	}
	seen := x.seen()
	require.NotEmpty(t, seen[0].Header["Referer"])
	require.Empty(t, seen[1].Header["Referer"])
	require.Empty(t, seen[2].Header["Referer"])
	set, err := x.client.With(parley.WithHeader("Referer", "http://x.test/"))
	require.NoError(t, err)
	cleared, err := set.With(parley.WithoutHeader("Referer"))
	require.NoError(t, err)
	_, err = set.Get(t.Context(), "http://a.test/")
	require.NoError(t, err)
	_, err = cleared.Get(t.Context(), "http://a.test/")
	require.NoError(t, err)
	_, err = set.Get(t.Context(), "http://a.test/", parley.WithoutHeader("Referer"))
	require.NoError(t, err)
	seen = x.seen()
	require.NotEmpty(t, seen[0].Header["Referer"])
	require.Empty(t, seen[1].Header["Referer"])
	require.Empty(t, seen[2].Header["Referer"])
}

func TestS017_AHostHeaderIsForOneRequestOnOneOrigin(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/start": leads(307, "http://b.test/x"), "http://a.test/same": leads(307, "/x")})
	x.client.Jar().SetCookies(mustParse("http://trusted.test/"), []*http.Cookie{{Name: "sid", Value: "SECRET"}})
	x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "a", Value: "1"}})
	for _, host := range []parley.RequestOption{parley.WithHost("trusted.test"), parley.WithHeader("Host", "trusted.test")} {
		_, err := x.client.Get(t.Context(), "http://a.test/start", host)
		require.NoError(t, err)
		_, err = x.client.Get(t.Context(), "http://a.test/same", host)
		require.NoError(t, err)
		_, err = x.client.Get(t.Context(), "http://a.test/plain")
		require.NoError(t, err)
		var hosts, cookies []string
		for _, a := range x.seen() {
			hosts, cookies = append(hosts, a.Host), append(cookies, a.Header.Get("Cookie"))
		}
		require.Equal(t, []string{"trusted.test", "b.test", "trusted.test", "trusted.test", "a.test"}, hosts)
		require.Equal(t, []string{"a=1", "", "a=1", "a=1", "a=1"}, cookies)
	}
}

func TestS018_EveryWayLeavesCredentialsBehind(t *testing.T) {
	t.Parallel()
	ways := map[string]func(*crossing, ...parley.RequestOption) error{
		"pages": func(x *crossing, opts ...parley.RequestOption) error {
			for _, err := range x.client.Pages(t.Context(), "http://a.test/start", opts...) {
				return err
			}
			return nil
		},
		"events": func(x *crossing, opts ...parley.RequestOption) error {
			for e, err := range x.client.Events(t.Context(), "http://a.test/start", opts...) {
				require.Equal(t, "x", e.Data)
				return err
			}
			return nil
		},
		"download": func(x *crossing, opts ...parley.RequestOption) error {
			file, err := x.client.Download(t.Context(), "http://a.test/start", filepath.Join(t.TempDir(), "file"), opts...)
			if err == nil {
				requireFile(t, []byte("data: x\n\n"), file.Path)
			}
			return err
		},
		"step by step": func(x *crossing, opts ...parley.RequestOption) error {
			resp, err := x.client.Get(t.Context(), "http://a.test/start", append(opts, parley.WithFollowRedirects(false))...)
			for err == nil && resp.StatusCode >= 300 {
				var next *parley.Request
				if next, err = resp.Next(); err == nil {
					resp, err = x.client.Send(t.Context(), next)
				}
			}
			if err == nil {
				err = resp.Close()
			}
			return err
		},
	}
	for name, send := range entryPoints {
		ways[name] = func(x *crossing, opts ...parley.RequestOption) error {
			resp, err := send(t.Context(), x.client, "GET", "http://a.test/start", opts...)
			if err == nil {
				err = resp.Close()
			}
			return err
		}
	}
	for name, send := range ways {
		t.Run(name, func(t *testing.T) {
			for _, status := range redirectStatuses {
				x := newCrossing(t, map[string]string{
					"http://a.test/start": leads(status, "http://b.test/x"), "http://b.test/x": leads(status, "http://a.test/y"),
					"http://a.test/y": streams("data: x\n\n"),
				}, parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"))
				require.NoError(t, send(x, parley.WithCookie("c", "SECRET")))
				seen := x.seen()
				require.Len(t, seen, 3)
				require.Equal(t, 3, strings.Count(seen[0].Head, "SECRET"))
				requireHidden(t, seen[1].Head+seen[2].Head)
				x.unseen(t, "http://b.test", credentialHeaders...)
			}
		})
	}
}

func TestS018_TriesLeaveCredentialsBehind(t *testing.T) {
	t.Parallel()
	twice := parley.WithRetry(parley.RetryPolicy{Backoff: -1, Judge: func(_ context.Context, try *parley.Try) { try.Again = try.Number == 1 }})
	for _, status := range redirectStatuses {
		x := newCrossing(t, map[string]string{
			"http://a.test/start": leads(status, "http://b.test/x"), "http://b.test/x": leads(status, "http://a.test/y"),
		}, parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"), twice)
		_, err := x.client.Get(t.Context(), "http://a.test/start", parley.WithCookie("c", "SECRET"))
		require.NoError(t, err)
		seen := x.seen()
		require.Len(t, seen, 6)
		for i, r := range seen {
			if i < 2 {
				require.Equal(t, 3, strings.Count(r.Head, "SECRET"))
			} else {
				requireHidden(t, r.Head)
			}
		}
		x.unseen(t, "http://b.test", credentialHeaders...)
	}
}

func TestS018_ThroughProxiesToo(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/start": leads(307, "http://b.test/x"), "https://a.test/start": leads(307, "https://b.test/x"),
	})
	proxy := wiretest.NewProxy(t, x.names, "")
	x.names.Lead(proxy.Addr(), proxy.Addr())
	for _, scheme := range []string{"http", "https"} {
		resp, err := x.client.Get(t.Context(), scheme+"://a.test/start", parley.WithProxy("http://"+proxy.Addr()),
			parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"), parley.WithCookie("c", "SECRET"))
		require.NoError(t, err)
		require.Equal(t, "b.test", resp.Request.URL.Host)
		require.Contains(t, x.servers[scheme+"://a.test"].Text(), "SECRET")
		x.unseen(t, scheme+"://b.test", credentialHeaders...)
	}
	require.Len(t, proxy.Asked(), 4)
	for _, scheme := range []string{"http", "https"} {
		for _, err := range x.client.Events(t.Context(), scheme+"://a.test/start", parley.WithProxy("http://"+proxy.Addr()), parley.WithBearerToken("SECRET")) {
			require.ErrorIs(t, err, parley.ErrDecoding, "it is none")
		}
		x.unseen(t, scheme+"://b.test", credentialHeaders...)
	}
	require.Greater(t, len(proxy.Asked()), 4)
	for _, scheme := range []string{"http", "https"} {
		before := len(proxy.Asked())
		file, err := x.client.Download(t.Context(), scheme+"://a.test/start", t.TempDir(), parley.WithProxy("http://"+proxy.Addr()), parley.WithBearerToken("SECRET"))
		require.NoError(t, err)
		require.Equal(t, "x", filepath.Base(file.Path), "the name is that of the URL that gave the content")
		require.Equal(t, "b.test", file.Response.Request.URL.Host)
		require.GreaterOrEqual(t, len(proxy.Asked()), before)
		x.unseen(t, scheme+"://b.test", credentialHeaders...)
	}
}

func TestS019_APolicyConfinesRedirects(t *testing.T) {
	t.Parallel()
	var seen []string
	confine := func(_ context.Context, r *parley.Redirect) error {
		seen = append(seen, r.Request.URL.Path+" -> "+r.Next.URL.Path)
		if !strings.HasPrefix(r.Next.URL.Path, "/api/") {
			return parley.ErrRedirectRefused
		}
		return nil
	}
	for _, status := range redirectStatuses {
		seen = nil
		x := newCrossing(t, map[string]string{"http://a.test/api/1": leads(status, "x"), "http://a.test/api/x": leads(status, "/other")},
			parley.WithBaseURL("http://a.test/api"), parley.WithBearerToken("SECRET"), parley.WithRedirectPolicy(confine))
		_, err := x.client.Get(t.Context(), "1")
		require.ErrorIs(t, err, parley.ErrRedirectRefused)
		require.Equal(t, "/api/x", requireRedirectError(t, err).Response.Request.URL.Path)
		require.Equal(t, []string{"/api/1 -> /api/x", "/api/x -> /other"}, seen)
		require.Equal(t, []string{"GET http://a.test/api/1", "GET http://a.test/api/x"}, x.way())
		// Without one a redirect on the same origin may leave the path: WithRedirectPolicy says so.
		free, err := x.client.With(parley.WithRedirectPolicy(func(context.Context, *parley.Redirect) error { return nil }))
		require.NoError(t, err)
		_, err = free.Get(t.Context(), "1")
		require.NoError(t, err)
		require.Contains(t, x.way(), "GET http://a.test/other")
	}
}
