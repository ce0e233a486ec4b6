package parley_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// observed is a session of which all is looked at that its options can say: what
// goes out, what the request says of itself, what it explains, and who is called.
type observed struct {
	*crossing
	notes notes
}

// source is where an explained value comes from, which is another matter.
var source = regexp.MustCompile(`\((default|session|derived session|request)\)`)

func (o *observed) look(t *testing.T, c *parley.Client, opts ...parley.RequestOption) string {
	t.Helper()
	o.notes.take()
	o.seen()
	req, err := c.NewRequest("GET", "items/{id}", opts...)
	require.NoError(t, err)
	explained, err := c.Explain(req)
	require.NoError(t, err)
	resp, err := c.Get(t.Context(), "items/{id}", opts...)
	require.NoError(t, err)
	var out strings.Builder
	fmt.Fprintln(&out, source.ReplaceAllString(explained.String(), ""))
	fmt.Fprintln(&out, req.Timeouts, req.ExpectTimeout, req.MaxBodyBytes, req.HeaderOrder, req.Attribute("key"), req.OnInformational != nil)
	fmt.Fprintf(&out, "%p %s\n", req.TLSConfig, resp.Header.Get("Content-Encoding"))
	for _, a := range o.seen() {
		fmt.Fprintln(&out, a.Head)
	}
	fmt.Fprintln(&out, strings.Join(o.notes.take(), "\n"))
	return out.String()
}

// TestOverride_everyValueOfASessionCanBeReplacedOrRemoved takes each option that may be
// said of a session and of a request: for one request it replaces or removes what the
// session says, on a derived session it holds for all requests of that, and neither
// leaves a trace on the session, its parent or its siblings.
func TestOverride_everyValueOfASessionCanBeReplacedOrRemoved(t *testing.T) {
	t.Parallel()
	o := &observed{}
	policy := func(context.Context, *parley.Redirect) error { return nil }
	inform := func(int, http.Header) {}
	of := func(name string, n int) []parley.Option { // all that there is to say
		return []parley.Option{
			parley.WithHeader("X-Own", name), parley.WithHeaders(http.Header{"X-More": {name, "more"}}), parley.WithHeaderOrder("X-Own", "X-"+name),
			parley.WithQuery("own", name+" 1"), parley.WithParams(map[string]string{"more": name}),
			parley.WithCookie("own", name), parley.WithPath("id", name), parley.WithBearerToken(name),
			parley.WithRequestHook(o.notes.before(name + " call")), parley.WithResponseHook(o.notes.after(name + " call")),
			parley.WithHopRequestHook(o.notes.before(name + " hop")), parley.WithHopResponseHook(o.notes.after(name + " hop")),
			parley.WithTimeouts(parley.Timeouts{Response: 10*time.Second + time.Duration(n)*time.Second}),
			parley.WithExpectTimeout(time.Duration(n) * time.Second), parley.WithMaxBodyBytes(1000 + int64(n)),
			parley.WithMaxRedirects(n), parley.WithAttribute("key", name), parley.WithTLSConfig(&tls.Config{ServerName: name}),
			parley.WithCharset(map[string]string{"session": "latin1", "request": "utf-8"}[name]),
		}
	}
	var session []parley.ClientOption
	for _, opt := range of("session", 7) {
		session = append(session, opt)
	}
	o.crossing = newCrossing(t, nil, append(session, parley.WithBaseURL("http://a.test/"), parley.WithInformational(inform))...)
	parent := o.client
	c := derive(t, parent, parley.WithHeader("X-Of-Child", "1"))
	sibling := derive(t, parent, parley.WithHeader("X-Of-Sibling", "1"))
	plain := map[*parley.Client]string{}
	for _, each := range []*parley.Client{parent, c, sibling} {
		plain[each] = o.look(t, each)
		require.Equal(t, plain[each], o.look(t, each))
	}
	rows := map[string]struct {
		opt        parley.Option
		want, gone string // in what is seen
	}{
		"WithoutHeader":             {parley.WithoutHeader("x-own"), "", "X-Own: session"},
		"WithoutHeader of parley's": {parley.WithoutHeader("User-Agent"), "", "User-Agent: parley"},
		"WithoutQuery":              {parley.WithoutQuery("own"), "", "own=session+1"},
		"WithQuery, no value":       {parley.WithQuery("more"), "", "more=session"},
		"WithQueryStyle":            {parley.WithQueryStyle(parley.QueryPercent), "own=session%201", "own=session+1"},
		"WithoutCookie":             {parley.WithoutCookie("own"), "", "Cookie: own=session"},
		"WithoutCookie, header":     {parley.WithoutHeader("Cookie"), "", "Cookie: own"},
		"WithoutAuth":               {parley.WithoutAuth(), "", "Authorization: Bearer"},
		"WithBasicAuth":             {parley.WithBasicAuth("u", "p"), "Authorization: Basic dTpw", "Bearer session"},
		"Authorization":             {parley.WithHeader("Authorization", "own"), "Authorization: own", "Bearer session"},
		"WithoutHooks":              {parley.WithoutHooks(), "", "session call"},
		"WithTimeout":               {parley.WithTimeout(time.Minute), "Total: 1m0s", ""},
		"WithPhaseTimeout":          {parley.WithPhaseTimeout(time.Minute), "Response: 1m0s", "Response: 17s"},
		"no timeout":                {parley.WithTimeouts(parley.Timeouts{Response: parley.NoTimeout}), "Response: none", "Response: 17s"},
		"no limit":                  {parley.WithMaxBodyBytes(-1), "MaxBodyBytes: none", "MaxBodyBytes: 1007"},
		"WithFollowRedirects":       {parley.WithFollowRedirects(false), "not followed", "at most 7"},
		"WithMaxRedirects":          {parley.WithMaxRedirects(0), "not followed", "at most 7"},
		"WithRedirectPolicy":        {parley.WithRedirectPolicy(policy), "RedirectPolicy", ""},
		"WithDecompression":         {parley.WithDecompression(false), "as it comes", "Accept-Encoding"},
		"WithOptions":               {parley.WithOptions(parley.WithHeader("X-Own", "1"), parley.WithoutAuth()), "X-Own: 1", "Authorization: "},
	}
	for i, opt := range of("request", 9) {
		rows[fmt.Sprint("option ", i)] = struct {
			opt        parley.Option
			want, gone string
		}{opt: opt}
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			seen := o.look(t, c, row.opt)
			require.NotEqual(t, plain[c], seen)
			require.Contains(t, plain[c], row.gone)
			require.Contains(t, seen, row.want)
			if row.gone != "" {
				require.NotContains(t, seen, row.gone)
			}
			for each, want := range plain {
				require.Equal(t, want, o.look(t, each), "after a request")
			}
			child := derive(t, c, row.opt)
			require.Equal(t, seen, o.look(t, child), "a session says the same")
			require.NotEqual(t, seen, o.look(t, child, parley.WithHeader("X-New", "1")))
			require.Equal(t, seen, o.look(t, derive(t, child)), "and hands it on")
			for each, want := range plain {
				require.Equal(t, want, o.look(t, each), "after a derived session")
			}
			require.Same(t, c.Pool(), child.Pool())
			require.Same(t, c.Jar(), child.Jar())
		})
	}
}

func TestOverride_derivedSessionsShareTheJarUnlessTheyHaveTheirOwn(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/set": leads(302, "/end", "Set-Cookie: s=1; Path=/")})
	shared, none := derive(t, x.client), derive(t, x.client, parley.WithJar(nil))
	_, err := none.Get(t.Context(), "http://a.test/set")
	require.NoError(t, err)
	require.Empty(t, x.client.Jar().Cookies(mustParse("http://a.test/")))
	_, err = shared.Get(t.Context(), "http://a.test/set")
	require.NoError(t, err)
	require.Len(t, x.client.Jar().Cookies(mustParse("http://a.test/")), 1)
	require.Nil(t, none.Jar())
}

func TestOverride_verificationOffForOneRequestMarksNothing(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"https://a.test/": ""})
	strict := derive(t, x.client, parley.WithTLSConfig(&tls.Config{}))
	for range 2 {
		_, err := strict.Get(t.Context(), "https://a.test/x")
		require.ErrorIs(t, err, parley.ErrTLS)
		resp, err := strict.Get(t.Context(), "https://a.test/x", parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Equal(t, []string{"GET https://a.test/x", "GET https://a.test/x"}, x.way())
}
