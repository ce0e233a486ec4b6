package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestRedirectPolicy_followsStopsAndFails(t *testing.T) {
	t.Parallel()
	errNo := errors.New("not there")
	var asked []string
	policy := func(_ context.Context, r *parley.Redirect) error {
		asked = append(asked, fmt.Sprint(r.Request.URL, " ", r.Response.StatusCode, " ", r.Next.Method, " ", r.Next.URL, " ", len(r.History)))
		switch r.Next.URL.Path {
		case "/stop":
			return parley.ErrStopRedirect
		case "/fail":
			return errNo
		}
		return nil
	}
	x := newCrossing(t, map[string]string{
		"http://a.test/1": leads(302, "/2"),
		"http://a.test/2": "HTTP/1.1 307 Go on\r\nLocation: /stop\r\nContent-Length: 4\r\n\r\nbody",
		"http://a.test/3": leads(302, "/4"), "http://a.test/4": leads(302, "/fail"),
	}, parley.WithRedirectPolicy(policy))

	for name, send := range entryPoints {
		t.Run(name, func(t *testing.T) {
			asked = nil
			resp, err := send(t.Context(), x.client, "POST", "http://a.test/1")
			require.NoError(t, err)
			require.Equal(t, []string{"http://a.test/1 302 GET http://a.test/2 0", "http://a.test/2 307 GET http://a.test/stop 1"}, asked)
			require.Equal(t, 307, resp.StatusCode)
			require.Len(t, resp.History, 1)
			text, err := resp.Text() // the body is there
			require.NoError(t, err)
			require.Equal(t, "body", text)
			next, err := resp.Next()
			require.NoError(t, err)
			require.Equal(t, "http://a.test/stop", next.URL.String())

			_, err = send(t.Context(), x.client, "GET", "http://a.test/3")
			require.ErrorIs(t, err, errNo)
			redirect := requireRedirectError(t, err)
			require.Same(t, errNo, redirect.Err)
			require.Equal(t, "/4", redirect.Response.Request.URL.Path)
			require.Len(t, redirect.Response.History, 1)
			for _, a := range x.seen() {
				require.NotContains(t, []string{"/stop", "/fail"}, a.URL.Path)
			}
		})
	}
	require.Zero(t, x.client.Stats().Active)
	require.Equal(t, 1, x.servers["http://a.test"].Accepted())
}

func TestRedirectPolicy_theRequestsWordWins(t *testing.T) {
	t.Parallel()
	refuse := func(context.Context, *parley.Redirect) error { return errors.New("never") }
	follow := func(context.Context, *parley.Redirect) error { return nil }
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "/2")}, parley.WithRedirectPolicy(refuse))
	_, err := x.client.Get(t.Context(), "http://a.test/1")
	require.Error(t, err)
	_, err = x.client.Get(t.Context(), "http://a.test/1", parley.WithRedirectPolicy(follow))
	require.NoError(t, err)
	_, err = x.client.Get(t.Context(), "http://a.test/1")
	require.Error(t, err, "the session is as it was")
	resp, err := x.client.Get(t.Context(), "http://a.test/1", parley.WithFollowRedirects(false))
	require.NoError(t, err, "nobody is asked about what is not followed")
	require.Equal(t, 302, resp.StatusCode)
	_, err = parley.New(parley.WithRedirectPolicy(nil))
	require.Error(t, err)
}

func TestRedirectPolicy_editsNext(t *testing.T) {
	t.Parallel()
	edit := func(change func(*parley.Request)) parley.Option {
		return parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
			change(r.Next)
			return nil
		})
	}
	set := func(raw string) func(*parley.Request) {
		return func(next *parley.Request) { next.URL = mustParse(raw) }
	}
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(307, "/2"), "http://a.test/out": leads(307, "http://b.test/2")})
	for name, tt := range map[string]struct {
		from string
		edit func(*parley.Request)
		want string // of the second request
		key  string // what became of X-Key
		err  error
	}{
		"header":                 {"1", func(next *parley.Request) { next.Header.Set("X-Key", "changed") }, "GET http://a.test/2", "changed", nil},
		"header, another origin": {"out", func(next *parley.Request) { next.Header.Set("X-Key", "meant for b") }, "GET http://b.test/2", "meant for b", nil},
		"odd name":               {"out", func(next *parley.Request) { next.Header["x-KEY"] = []string{"odd"} }, "GET http://b.test/2", "odd", nil},
		"no header":              {"1", func(next *parley.Request) { next.Header = nil }, "GET http://a.test/2", "", nil},
		"method":                 {"1", func(next *parley.Request) { next.Method = "DELETE" }, "DELETE http://a.test/2", "SECRET", nil},
		"path":                   {"1", set("http://a.test/3"), "GET http://a.test/3", "SECRET", nil},
		"another origin":         {"1", set("http://b.test/3"), "GET http://b.test/3", "", nil},
		"yet another origin":     {"out", set("http://c.test/3"), "GET http://c.test/3", "", nil},
		"back to the first":      {"out", set("http://a.test/3"), "GET http://a.test/3", "", nil},
		"written by hand":        {"1", set("HTTP://A.TEST.:80/x/../3"), "GET http://a.test/3", "SECRET", nil},
		"no URL":                 {"1", func(next *parley.Request) { next.URL = nil }, "", "", parley.ErrInvalidURL},
		"no host":                {"1", func(next *parley.Request) { next.URL = new(url.URL) }, "", "", parley.ErrInvalidURL},
		"another scheme":         {"1", set("ftp://a.test/"), "", "", parley.ErrUnsupportedProtocol},
		"malformed method":       {"1", func(next *parley.Request) { next.Method = "G T" }, "", "", parley.ErrInvalidHeader},
		"no method":              {"1", func(next *parley.Request) { next.Method = "" }, "", "", parley.ErrInvalidHeader},
	} {
		t.Run(name, func(t *testing.T) {
			x.seen()
			_, err := x.client.Get(t.Context(), "http://a.test/"+tt.from, parley.WithHeader("X-Key", "SECRET"), edit(tt.edit))
			seen := x.seen()
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Len(t, seen, 1)
				return
			}
			require.NoError(t, err)
			require.Len(t, seen, 2)
			require.Equal(t, tt.want, seen[1].String())
			require.Equal(t, tt.key, seen[1].Header.Get("X-Key"))
		})
	}
}

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func TestRedirectPolicy_mayGiveCredentials(t *testing.T) {
	t.Parallel()
	auth, err := parley.BearerAuth("for-b")
	require.NoError(t, err)
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "http://b.test/2"), "http://b.test/2": leads(302, "http://c.test/3")},
		parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
			if r.Next.URL.Host == "b.test" {
				r.Next.Auth = auth
			}
			return nil
		}))
	_, err = x.client.Get(t.Context(), "http://a.test/1")
	require.NoError(t, err)
	var sent []string
	for _, a := range x.seen() {
		sent = append(sent, a.Header.Get("Authorization"))
	}
	require.Equal(t, []string{"", "Bearer for-b", ""}, sent)
}

func TestRedirectPolicy_userInformationOfItsOwn(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(302, "http://b.test/2")},
		parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
			r.Next.URL.User = url.UserPassword("u", "p")
			return nil
		}))
	resp, err := x.client.Get(t.Context(), "http://a.test/1")
	require.NoError(t, err)
	require.Equal(t, "Basic dTpw", x.seen()[1].Header.Get("Authorization"))
	require.Nil(t, resp.Request.URL.User)
}

func TestRedirectPolicy_readyMade(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy   parley.RedirectPolicy
		from, to string
		allowed  bool
	}{
		"same host":                   {parley.SameHostRedirects(), "http://a.test/", "http://A.test:8080/x", true},
		"same host, https":            {parley.SameHostRedirects(), "http://a.test/", "https://a.test/", true},
		"host below":                  {parley.SameHostRedirects(), "http://a.test/", "http://www.a.test/", false},
		"host above":                  {parley.SameHostRedirects(), "http://www.a.test/", "http://a.test/", false},
		"same site":                   {parley.SameSiteRedirects(), "http://www.example.com/", "https://api.EXAMPLE.com/", true},
		"another site":                {parley.SameSiteRedirects(), "http://www.example.com/", "http://www.example.org/", false},
		"under one public suffix":     {parley.SameSiteRedirects(), "http://one.co.uk/", "http://two.co.uk/", false},
		"under one private suffix":    {parley.SameSiteRedirects(), "http://one.github.io/", "http://two.github.io/", false},
		"ends in the site's name":     {parley.SameSiteRedirects(), "http://example.com/", "http://notexample.com/", false},
		"a suffix itself":             {parley.SameSiteRedirects(), "http://co.uk/", "http://co.uk:81/", true},
		"same address":                {parley.SameSiteRedirects(), "http://10.0.0.1/", "http://10.0.0.1:81/", true},
		"another address":             {parley.SameSiteRedirects(), "http://10.1.0.1/", "http://10.2.0.1/", false},
		"same IPv6 address":           {parley.SameSiteRedirects(), "http://[::1]/", "http://[::1]:81/", true},
		"another IPv6 address":        {parley.SameSiteRedirects(), "http://[::1]/", "http://[::2]/", false},
		"a name without dots":         {parley.SameSiteRedirects(), "http://localhost/", "http://other/", false},
		"named host":                  {parley.AllowedHostRedirects("b.test"), "http://a.test/", "http://B.test:81/", true},
		"within the host":             {parley.AllowedHostRedirects(), "http://a.test/", "https://a.test/", true},
		"host not named":              {parley.AllowedHostRedirects("b.test"), "http://a.test/", "http://c.test/", false},
		"below a named host":          {parley.AllowedHostRedirects("b.test"), "http://a.test/", "http://x.b.test/", false},
		"below a wildcard":            {parley.AllowedHostRedirects("*.b.test"), "http://a.test/", "http://x.Y.b.test/", true},
		"the wildcard's own name":     {parley.AllowedHostRedirects("*.b.test"), "http://a.test/", "http://b.test/", false},
		"ends in the wildcard's name": {parley.AllowedHostRedirects("*.b.test"), "http://a.test/", "http://xb.test/", false},
		"a wildcard without a dot":    {parley.AllowedHostRedirects("*b.test"), "http://a.test/", "http://xb.test/", false},
		"a star alone allows nothing": {parley.AllowedHostRedirects("*"), "http://a.test/", "http://b.test/", false},
		"https":                       {parley.HTTPSRedirects(), "http://a.test/", "https://b.test/", true},
		"http":                        {parley.HTTPSRedirects(), "https://a.test/", "http://a.test/", false},
		"none of none":                {parley.RedirectPolicies(), "http://a.test/", "http://b.test/", true},
		"all of two":                  {parley.RedirectPolicies(parley.HTTPSRedirects(), parley.SameHostRedirects()), "http://a.test/", "https://a.test/", true},
		"the second of two says no":   {parley.RedirectPolicies(parley.HTTPSRedirects(), parley.SameHostRedirects()), "http://a.test/", "https://b.test/", false},
		"the first of two says no":    {parley.RedirectPolicies(parley.HTTPSRedirects(), parley.SameHostRedirects()), "http://a.test/", "http://a.test/", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := parley.NewRequest("GET", tt.from)
			require.NoError(t, err)
			next, err := parley.NewRequest("GET", tt.to+"?token=SECRET")
			require.NoError(t, err)
			err = tt.policy(t.Context(), &parley.Redirect{Request: request, Next: next})
			if tt.allowed {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, parley.ErrRedirectRefused)
			require.NotContains(t, err.Error(), "SECRET")
			require.Contains(t, err.Error(), next.URL.Host)
		})
	}
}

func TestRedirectPolicy_namesAreTakenWhenThePolicyIsMade(t *testing.T) {
	t.Parallel()
	hosts := []string{"b.test"}
	policy := parley.AllowedHostRedirects(hosts...)
	hosts[0] = "c.test"
	x := newCrossing(t, map[string]string{"http://a.test/b": leads(302, "http://b.test/"), "http://a.test/c": leads(302, "http://c.test/")},
		parley.WithRedirectPolicy(policy))
	_, err := x.client.Get(t.Context(), "http://a.test/b")
	require.NoError(t, err)
	_, err = x.client.Get(t.Context(), "http://a.test/c")
	require.ErrorIs(t, err, parley.ErrRedirectRefused)
	requireRedirectError(t, err)
}
