package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// crossing is a session between several origins, and all that arrived at them. What
// an origin answers is told by origin and target ("http://a.test/start"); where nothing
// is told it answers 200 with what it was asked.
type crossing struct {
	client  *parley.Client
	names   *wiretest.Names
	servers map[string]*wiretest.Server // by origin

	mu      sync.Mutex
	arrived []arrival
}

// arrival is a request that an origin has read.
type arrival struct {
	*wiretest.Request
	origin string
}

func (a arrival) String() string { return a.Method + " " + a.origin + a.RequestURI }

// plainOrigins and tlsOrigins are those of a crossing.
var (
	plainOrigins = []string{"http://a.test", "http://b.test", "http://c.test", "http://a.test:8080", "http://www.a.test"}
	tlsOrigins   = []string{"https://a.test", "https://b.test"}
)

func newCrossing(t testing.TB, answers map[string]string, opts ...parley.ClientOption) *crossing {
	t.Helper()
	x := &crossing{names: wiretest.NewNames(nil), servers: map[string]*wiretest.Server{}}
	for _, origin := range plainOrigins {
		x.add(origin, wiretest.Serve(t, x.script(origin, answers)))
	}
	opts = append([]parley.ClientOption{parley.WithDialer(x.names), parley.WithEnv(false)}, opts...)
	if strings.Contains(fmt.Sprint(answers), "https://") {
		authority := wiretest.NewAuthority(t)
		for _, origin := range tlsOrigins {
			host := strings.TrimPrefix(origin, "https://")
			x.add(origin, wiretest.ServeTLS(t, asServed(t, authority.Server(t, host)), x.script(origin, answers)))
		}
		opts = append([]parley.ClientOption{parley.WithTLSConfig(authority.Trusted())}, opts...)
	}
	client, err := parley.New(asSpoken(t, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	x.client = client
	return x
}

func (x *crossing) add(origin string, s *wiretest.Server) {
	x.servers[origin] = s
	u, err := url.Parse(origin)
	if err != nil {
		panic(err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	x.names.Lead(u.Hostname()+":"+port, s.Addr())
}

func (x *crossing) script(origin string, answers map[string]string) func(*wiretest.Conn) {
	return wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		x.mu.Lock()
		x.arrived = append(x.arrived, arrival{r, origin})
		x.mu.Unlock()
		if text, ok := answers[origin+r.RequestURI]; ok {
			return text
		}
		said := r.Method + " " + origin + r.RequestURI
		if r.Method == http.MethodHead {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(said)) + "\r\n\r\n"
		}
		return wiretest.OK(said)
	})
}

// seen gives the requests that have arrived since it was asked last.
func (x *crossing) seen() []arrival {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.arrived
	x.arrived = nil
	return all
}

// way gives the same as methods and URLs.
func (x *crossing) way() []string {
	var way []string
	for _, a := range x.seen() {
		way = append(way, a.String())
	}
	return way
}

// leads is a redirect without a body.
func leads(status int, location string, headers ...string) string {
	text := fmt.Sprintf("HTTP/1.1 %d %s\r\nLocation: %s\r\nContent-Length: 0\r\n", status, http.StatusText(status), location)
	return text + strings.Join(append(headers, "\r\n"), "\r\n")
}

// entryPoints are the ways to send a request.
var entryPoints = map[string]func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error){
	"request": func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Request(ctx, method, url, opts...)
	},
	"stream": func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Stream(ctx, method, url, opts...)
	},
	"prepared": func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error) {
		req, err := c.NewRequest(method, url, opts...)
		if err != nil {
			return nil, err
		}
		return c.Send(ctx, req)
	},
	"without a session": func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error) {
		req, err := parley.NewRequest(method, url, opts...)
		if err != nil {
			return nil, err
		}
		return c.Send(ctx, req)
	},
	"gather": func(ctx context.Context, c *parley.Client, method, url string, opts ...parley.RequestOption) (*parley.Response, error) {
		req, err := c.NewRequest(method, url, opts...)
		if err != nil {
			return nil, err
		}
		for result := range c.Gather(ctx, 1, slices.Values([]*parley.Request{req})) {
			return result.Response, result.Err
		}
		return nil, errors.New("no result")
	},
}
