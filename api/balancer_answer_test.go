package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestBalancer_whatAServerGets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		base, serverPath, ref string
		target                string // of the request
		host                  string // "": the server's own
		server                api.Server
		keep                  bool
		opts                  []parley.RequestOption
	}{
		"the path after the base's":            {"http://l.test/v1", "/v1", "users/7?a=b", "/v1/users/7?a=b", "", api.Server{}, false, nil},
		"below a path of its own":              {"http://l.test", "/deep/app/", "users/7", "/deep/app/users/7", "", api.Server{}, false, nil},
		"below none":                           {"http://l.test/v1", "", "users", "/users", "", api.Server{}, false, nil},
		"the base itself":                      {"http://l.test/v1", "/app", "", "/app", "", api.Server{}, false, nil},
		"the base itself, below none":          {"http://l.test/v1", "", "", "/", "", api.Server{}, false, nil},
		"escapes as they are":                  {"http://l.test/v1", "/a%2Fb", "x%2Fy/%7e?q=%20", "/a%2Fb/x%2Fy/%7e?q=%20", "", api.Server{}, false, nil},
		"the host of the base where kept":      {"http://l.test:81/v1", "", "x", "/x", "l.test:81", api.Server{}, true, nil},
		"its own Host where it has one":        {"http://l.test/v1", "", "x", "/x", "own.test", api.Server{Host: "own.test"}, true, nil},
		"a request's Host before all":          {"http://l.test/v1", "", "x", "/x", "mine.test", api.Server{Host: "own.test"}, true, []parley.RequestOption{parley.WithHost("mine.test")}},
		"a request's Host header in any case":  {"http://l.test/v1", "", "x", "/x", "mine.test", api.Server{}, true, []parley.RequestOption{parley.WithHeader("Host", "mine.test")}},
		"the target of the request as it is":   {"http://l.test/v1", "/app", "x", "/%zz", "", api.Server{}, false, []parley.RequestOption{parley.WithTarget("/%zz")}},
		"a base in another spelling is itself": {"HTTP://L.test:80/v1/", "/v1", "users", "/v1/users", "", api.Server{}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadHead(); err == nil {
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			test.server.URL = s.URL() + test.serverPath
			b := newBalancer(t, test.base, api.BalancerConfig{Servers: []api.Server{test.server}, KeepHost: test.keep})
			c := balancedClient(t, b)
			resp, err := c.Get(t.Context(), test.ref, test.opts...)
			require.NoError(t, err)
			host := test.host
			if host == "" {
				host = s.Addr()
			}
			require.Contains(t, s.Text(), "GET "+test.target+" HTTP/1.1\r\n")
			require.Contains(t, s.Text(), "\r\nHost: "+host+"\r\n")
			require.Equal(t, strings.TrimSuffix(s.URL()+test.serverPath, "/")+"/", api.ServedBy(resp))
			require.Equal(t, "l.test", resp.Request.URL.Hostname(), "to the session it is the base that answered")
		})
	}
}

func TestBalancer_otherRequestsPass(t *testing.T) {
	t.Parallel()
	f := newFarm()
	c := balancedClient(t, newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)}), parley.WithTransport(f))
	for _, ref := range []string{"http://elsewhere.test/v1/x", "http://logical.test:8080/v1/x", "https://logical.test/v1/x"} {
		resp, err := c.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Empty(t, api.ServedBy(resp))
		require.Equal(t, ref, resp.Request.URL.String())
	}
	for _, ref := range []string{"http://logical.test/v2", "http://logical.test/v10", "http://logical.test/"} {
		_, err := c.Get(t.Context(), ref)
		require.ErrorIs(t, err, parley.ErrInvalidURL, "nothing is sent to a host that need not exist")
		require.ErrorContains(t, err, "not below its base")
	}
}

func TestBalancer_answersSpeakOfTheBase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		base, server string // paths
		header       string
		said, want   string
	}{
		"an absolute location on the server":       {"/v1", "/v1", "Location", "http://s0.test/v1/x?a#b", "http://logical.test/v1/x?a#b"},
		"on another server":                        {"/v1", "/v1", "Location", "http://s1.test/v1/x", "http://logical.test/v1/x"},
		"in another spelling":                      {"/v1", "/v1", "Location", "HTTP://S0.test:80/v1/x", "http://logical.test/v1/x"},
		"a relative one stays":                     {"/v1", "/v1", "Location", "/v1/x", "/v1/x"},
		"also one below the request":               {"/v1", "/v1", "Location", "x?y", "x?y"},
		"but not where paths differ":               {"/v1", "/app", "Location", "/app/x", "http://logical.test/v1/x"},
		"nor one beside the base":                  {"/v1", "/app", "Location", "/login", "http://s0.test/login"},
		"nor one that leaves the base":             {"/v1", "/v1", "Location", "/login", "http://s0.test/login"},
		"the server's base itself":                 {"", "/app", "Location", "http://s0.test/app", "http://logical.test/"},
		"outside a server's base":                  {"/v1", "/v1", "Location", "http://s0.test/v10", "http://s0.test/v10"},
		"elsewhere":                                {"/v1", "/v1", "Location", "http://other.test/v1/x", "http://other.test/v1/x"},
		"another port is elsewhere":                {"/v1", "/v1", "Location", "http://s0.test:81/v1/x", "http://s0.test:81/v1/x"},
		"without a scheme":                         {"/v1", "/v1", "Location", "//s1.test/v1/x", "http://logical.test/v1/x"},
		"user information is dropped":              {"/v1", "/v1", "Location", "http://u:p@s0.test/v1/x", "http://logical.test/v1/x"},
		"what is malformed stays":                  {"/v1", "/app", "Location", "http://[", "http://["},
		"what is empty stays":                      {"/v1", "/app", "Location", " ", " "},
		"the location of the content":              {"/v1", "/v1", "Content-Location", "http://s0.test/v1/x", "http://logical.test/v1/x"},
		"the targets of links":                     {"/v1", "/v1", "Link", `<http://s0.test/v1/x>; rel=next, <http://other.test/>; t="<http://s0.test/v1/no>", </v1/y>; rel=a`, `<http://logical.test/v1/x>; rel=next, <http://other.test/>; t="<http://s0.test/v1/no>", </v1/y>; rel=a`},
		"malformed links stay":                     {"/v1", "/v1", "Link", `<http://s0.test/v1/x>; t="\"<`, `<http://logical.test/v1/x>; t="\"<`},
		"links without an end stay":                {"/v1", "/v1", "Link", `<http://s0.test/v1/x`, `<http://s0.test/v1/x`},
		"cookie paths":                             {"/v1", "/app", "Set-Cookie", "a=b; path=/app/x; Secure", "a=b; path=/v1/x; Secure"},
		"the path of the base":                     {"", "/app", "Set-Cookie", "a=b; Path=/app", "a=b; Path=/"},
		"other cookie paths stay":                  {"/v1", "/app", "Set-Cookie", "a=Path=/app; Path=/apps", "a=Path=/app; Path=/apps"},
		"cookies without one too":                  {"/v1", "/app", "Set-Cookie", "a=b; HttpOnly", "a=b; HttpOnly"},
		"cookie paths stay where the paths do":     {"/v1", "/v1", "Set-Cookie", "a=b; Path=/v1/x", "a=b; Path=/v1/x"},
		"other headers stay":                       {"/v1", "/app", "X-Location", "http://s0.test/app/x", "http://s0.test/app/x"},
		"dot segments do not lead out of the base": {"/v1", "/app", "Location", "http://s0.test/app/../login", "http://s0.test/app/../login"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm()
			f.set("s0.test", says(200, test.header, test.said))
			b := newBalancer(t, "http://logical.test"+test.base, api.BalancerConfig{
				Servers: api.Servers("http://s0.test"+test.server, "http://s1.test"+test.server),
			})
			c := balancedClient(t, b, parley.WithTransport(f))
			resp, err := c.Get(t.Context(), "some/thing", api.WithServer("http://s0.test"+test.server))
			require.NoError(t, err)
			require.Equal(t, []string{test.want}, resp.Header.Values(test.header))
		})
	}
}

func TestBalancer_theSessionTalksToOneOrigin(t *testing.T) {
	t.Parallel()
	f := newFarm()
	for _, host := range []string{"s0.test", "s1.test", "s2.test"} {
		f.set(host, func(req *parley.Request) (*parley.Response, error) {
			switch path := req.URL.Path; path {
			case "/v1/login":
				return textAnswer(302, "", "Location", "http://"+host+"/v1/home", "Set-Cookie", "session=1; Path=/"), nil
			case "/v1/away":
				return textAnswer(302, "", "Location", "http://foreign.test/"), nil
			case "/v1/out":
				return textAnswer(302, "", "Location", "http://"+host+"/admin"), nil
			}
			return textAnswer(200, "ok"), nil
		})
	}
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(3)...)})
	c := balancedClient(t, b, parley.WithTransport(f), parley.WithBearerToken("secret"), parley.WithHeader("X-Key", "key"))
	get := func(ref string) *parley.Request {
		resp, err := c.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		return f.last()
	}
	bears := func(req *parley.Request, yes bool, why string) {
		require.Equal(t, yes, req.Header.Get("Authorization") != "", why)
		require.Equal(t, yes, req.Header.Get("X-Key") != "", why)
		require.Equal(t, yes, req.Header.Get("Cookie") != "", why)
	}
	bears(get("login"), true, "a redirect to a server is one to the base")
	require.Equal(t, "/v1/home", f.last().URL.Path)
	for range 6 {
		bears(get("x"), true, "every server gets what is the base's")
	}
	require.Subset(t, f.hosts(), []string{"s0.test", "s1.test", "s2.test"})
	bears(get("away"), false, "another origin does not")
	require.Equal(t, "foreign.test", f.last().URL.Host)
	bears(get("out"), false, "nor a server outside its base")
	require.Equal(t, "/admin", f.last().URL.Path)
	bears(get("http://s1.test/v1/x"), false, "nor one that is asked by its own name")
}
