package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/seed-0474a412/parley/parleytest"
)

const logicalBase = "http://logical.test/v1"

// newBalancer makes a balancer that is closed after the test.
func newBalancer(t testing.TB, base string, cfg api.BalancerConfig) *api.Balancer {
	t.Helper()
	b, err := api.NewBalancer(base, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// balancedClient makes a session of a balancer.
func balancedClient(t testing.TB, b *api.Balancer, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := b.NewClient(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// farm is servers in memory, http://s0.test/v1 and so on, that are told how to answer.
type farm struct {
	mu     sync.Mutex
	answer map[string]func(*parley.Request) (*parley.Response, error) // by host; nil: "ok"
	got    []*parley.Request
}

func newFarm() *farm {
	return &farm{answer: map[string]func(*parley.Request) (*parley.Response, error){}}
}

// urls gives the base URLs of n servers.
func (f *farm) urls(n int) []string {
	urls := make([]string, n)
	for i := range urls {
		urls[i] = fmt.Sprintf("http://s%d.test/v1", i)
	}
	return urls
}

func (f *farm) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	f.mu.Lock()
	f.got = append(f.got, req)
	answer := f.answer[req.URL.Host]
	f.mu.Unlock()
	if answer != nil {
		return answer(req)
	}
	return textAnswer(200, "ok"), nil
}

// hosts gives the hosts of the requests so far, and forgets them.
func (f *farm) hosts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	hosts := make([]string, len(f.got))
	for i, req := range f.got {
		hosts[i] = req.URL.Host
	}
	f.got = nil
	return hosts
}

// last gives the last request.
func (f *farm) last() *parley.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[len(f.got)-1]
}

// set says how a server answers from now on.
func (f *farm) set(host string, answer func(*parley.Request) (*parley.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[host] = answer
}

func textAnswer(status int, text string, header ...string) *parley.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &parley.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(text))}
}

// says answers with a status and headers.
func says(status int, header ...string) func(*parley.Request) (*parley.Response, error) {
	return func(*parley.Request) (*parley.Response, error) { return textAnswer(status, "text", header...), nil }
}

// fails answers with an error.
func fails(sent parley.Sent, phase parley.Phase, kind error) func(*parley.Request) (*parley.Response, error) {
	return func(req *parley.Request) (*parley.Response, error) {
		return nil, &parley.Error{Op: "send", Method: req.Method, URL: req.URL, Phase: phase, Sent: sent, Err: kind}
	}
}

var refuses = fails(parley.NotSent, parley.PhaseConnect, parley.ErrConnect)

func TestBalancer_keepsTheContractOfTransports(t *testing.T) {
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		b := newBalancer(t, "http://logical.test", api.BalancerConfig{Servers: api.Servers(parleytest.Serve(t, h))})
		pool, err := parley.NewPool(parley.PoolConfig{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, pool.Close()) })
		return idleCloser{b.Middleware()(pool), pool}, "http://logical.test"
	})
}

// idleCloser lets the suite see that no goroutine is left.
type idleCloser struct {
	parley.Transport
	pool *parley.Pool
}

func (c idleCloser) CloseIdle() { c.pool.CloseIdle() }

func TestBalancer_whatMovesToAnotherServer(t *testing.T) {
	t.Parallel()
	text, once := parley.WithText("text"), parley.WithReader(io.MultiReader(strings.NewReader("once")))
	connect, write, response, pool := parley.PhaseConnect, parley.PhaseWrite, parley.PhaseResponse, parley.PhasePool
	type answer = func(*parley.Request) (*parley.Response, error)
	for name, test := range map[string]struct {
		method string
		first  answer
		body   parley.RequestOption
		moves  bool
	}{
		"a GET that found no connection":           {"GET", refuses, nil, true},
		"a POST that found no connection":          {"POST", refuses, text, true},
		"even with a body that can be read once":   {"POST", refuses, once, true},
		"a POST that waited too long to connect":   {"POST", fails(parley.NotSent, connect, parley.ErrConnectTimeout), text, true},
		"a POST whose handshake failed":            {"POST", fails(parley.NotSent, connect, parley.ErrTLS), text, true},
		"a POST that the proxy did not let pass":   {"POST", fails(parley.NotSent, connect, parley.ErrProxy), text, true},
		"a POST that found no room in the pool":    {"POST", fails(parley.NotSent, pool, parley.ErrPoolTimeout), text, true},
		"a POST that was not written":              {"POST", fails(parley.NotSent, write, parley.ErrWrite), text, true},
		"not if its body had been read":            {"POST", fails(parley.NotSent, write, parley.ErrWrite), once, false},
		"a GET on a connection that failed":        {"GET", fails(parley.MaybeSent, response, parley.ErrPeerClosed), nil, true},
		"a GET whose body was cut short":           {"GET", fails(parley.Answering, parley.PhaseRead, parley.ErrRead), nil, true},
		"a PUT on a connection that failed":        {"PUT", fails(parley.MaybeSent, write, parley.ErrWrite), text, true},
		"not if its body can be read once":         {"PUT", fails(parley.MaybeSent, write, parley.ErrWrite), once, false},
		"a DELETE too":                             {"DELETE", fails(parley.MaybeSent, response, parley.ErrRead), nil, true},
		"a QUERY too":                              {"QUERY", fails(parley.MaybeSent, response, parley.ErrRead), text, true},
		"not a POST on one":                        {"POST", fails(parley.MaybeSent, response, parley.ErrPeerClosed), text, false},
		"not a PATCH on one":                       {"PATCH", fails(parley.MaybeSent, response, parley.ErrPeerClosed), text, false},
		"not a GET that had no answer in time":     {"GET", fails(parley.MaybeSent, response, parley.ErrResponseTimeout), nil, false},
		"nor one whose answer is no HTTP":          {"GET", fails(parley.Answering, response, parley.ErrRemoteProtocol), nil, false},
		"nor one that cannot be sent":              {"GET", fails(parley.NotSent, parley.PhaseRequest, parley.ErrInvalidHeader), nil, false},
		"nor one that was cancelled":               {"GET", fails(parley.NotSent, connect, context.Canceled), nil, false},
		"a GET that a foreign transport failed":    {"GET", func(*parley.Request) (*parley.Response, error) { return nil, errors.New("no") }, nil, true},
		"not a POST that one failed":               {"POST", func(*parley.Request) (*parley.Response, error) { return nil, errors.New("no") }, text, false},
		"a GET whose transport returned nothing":   {"GET", func(*parley.Request) (*parley.Response, error) { return nil, nil }, nil, true},
		"not an answer":                            {"GET", says(500), nil, false},
		"but one with a status that was named":     {"GET", says(503), nil, true},
		"not to a POST":                            {"POST", says(503), text, false},
		"nor to a PUT whose body can be read once": {"PUT", says(503), once, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm()
			first := true
			for _, host := range []string{"s0.test", "s1.test"} {
				f.set(host, func(req *parley.Request) (*parley.Response, error) {
					if first {
						first = false
						return test.first(req)
					}
					return textAnswer(200, "ok"), nil
				})
			}
			b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(2)...), MoveOn: []int{503}})
			c := balancedClient(t, b, parley.WithTransport(f))
			var opts []parley.RequestOption
			if test.body != nil {
				opts = append(opts, test.body)
			}
			resp, err := c.Request(t.Context(), test.method, "x", opts...)
			if test.moves {
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
			} else {
				require.True(t, err != nil || resp.StatusCode != 200)
			}
			hosts := f.hosts()
			require.Len(t, slices.Compact(hosts), map[bool]int{true: 2, false: 1}[test.moves])
			for _, s := range b.Stats() {
				require.Zero(t, s.Active)
			}
		})
	}
}

func TestBalancer_triesAreBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ servers, tries, want int }{
		"three by default":               {5, 0, 3},
		"as many as is said":             {5, 4, 4},
		"each server once":               {2, 9, 2},
		"one where another is forbidden": {5, -1, 1},
	} {
		f := newFarm()
		for i := range test.servers {
			f.set(fmt.Sprintf("s%d.test", i), refuses)
		}
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(test.servers)...), Tries: test.tries})
		_, err := balancedClient(t, b, parley.WithTransport(f)).Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrConnect, name)
		var e *parley.Error
		require.ErrorAs(t, err, &e, name)
		require.Contains(t, e.URL.Host, ".test", "an error names the server")
		hosts := f.hosts()
		slices.Sort(hosts)
		require.Len(t, slices.Compact(hosts), test.want, name)
	}
}

func TestBalancer_anEndedContextStopsIt(t *testing.T) {
	t.Parallel()
	f := newFarm()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 3 {
		f.set(fmt.Sprintf("s%d.test", i), func(req *parley.Request) (*parley.Response, error) {
			cancel()
			return refuses(req)
		})
	}
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(3)...)})
	_, err := balancedClient(t, b, parley.WithTransport(f)).Get(ctx, "x")
	require.Error(t, err)
	require.Len(t, f.hosts(), 1)
	for _, s := range b.Stats() {
		require.False(t, s.Out, "who was asked by somebody who gave up has not failed")
	}
}

func TestBalancer_aRequestIsUnderWayUntilItsBodyEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		use    func(t *testing.T, resp *parley.Response)
		body   io.ReadCloser
		errors uint64
	}{
		"read to its end": {func(t *testing.T, resp *parley.Response) {
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "text", text)
		}, io.NopCloser(strings.NewReader("text")), 0},
		"closed before": {func(t *testing.T, resp *parley.Response) { require.NoError(t, resp.Close()) }, io.NopCloser(strings.NewReader("text")), 0},
		"cut short": {func(t *testing.T, resp *parley.Response) {
			_, err := resp.Bytes()
			require.Error(t, err)
		}, io.NopCloser(io.MultiReader(strings.NewReader("te"), brokenReader{})), 1},
	} {
		f := newFarm()
		f.set("s0.test", func(*parley.Request) (*parley.Response, error) {
			resp := textAnswer(200, "")
			resp.Body = test.body
			return resp, nil
		})
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)})
		resp, err := balancedClient(t, b, parley.WithTransport(f)).Stream(t.Context(), http.MethodGet, "x")
		require.NoError(t, err)
		require.Equal(t, 1, b.Stats()[0].Active, name)
		test.use(t, resp)
		s := b.Stats()[0]
		require.Equal(t, api.ServerStats{
			URL: "http://s0.test/v1/", Weight: 1, Requests: 1, Errors: test.errors, Latency: s.Latency, LastError: s.LastError,
		}, s, name)
		require.Equal(t, test.errors > 0, s.LastError != nil)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBalancer_bodiesInMemoryAndPanicsHoldNothing(t *testing.T) {
	t.Parallel()
	f := newFarm()
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(2)...)})
	c := balancedClient(t, b, parley.WithTransport(f), parley.WithNetworkMiddleware(parley.Reading()))
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	for _, host := range []string{"s0.test", "s1.test"} {
		f.set(host, func(*parley.Request) (*parley.Response, error) { panic("a transport's") })
	}
	require.PanicsWithValue(t, "a transport's", func() { _, _ = c.Get(t.Context(), "x") })
	for _, s := range b.Stats() {
		require.Zero(t, s.Active)
		require.Zero(t, s.Errors)
	}
}

func TestBalancer_bodiesThatAreReadBelowItMoveToo(t *testing.T) {
	t.Parallel()
	f := newFarm()
	first := true
	for _, host := range []string{"s0.test", "s1.test"} {
		f.set(host, func(*parley.Request) (*parley.Response, error) {
			resp := textAnswer(200, "whole")
			if first {
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("who"), brokenReader{}))
			}
			first = false
			return resp, nil
		})
	}
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(2)...)})
	c := balancedClient(t, b, parley.WithTransport(f), parley.WithNetworkMiddleware(parley.Reading()))
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "whole", text)
}

func TestBalancer_anUpgradeIsUnderWayUntilItIsClosed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(c.Conn, c.Reader)
		}
	})
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(s.URL())})
	resp, err := balancedClient(t, b).Stream(t.Context(), http.MethodGet, "x", parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))
	require.NoError(t, err)
	conn, err := resp.Conn()
	require.NoError(t, err)
	require.Equal(t, s.Addr(), conn.RemoteAddr().String(), "it is the connection itself")
	_, err = io.WriteString(conn, "ping")
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, 1, b.Stats()[0].Active)
	require.NoError(t, conn.Close())
	require.Zero(t, b.Stats()[0].Active)
}

func TestBalancer_chooseDecides(t *testing.T) {
	t.Parallel()
	f := newFarm()
	var asked [][]api.ServerStats
	cfg := api.BalancerConfig{Servers: api.Servers(f.urls(3)...), Choose: func(req *parley.Request, among []api.ServerStats) int {
		asked = append(asked, among)
		switch req.Method {
		case http.MethodPost:
			return slices.IndexFunc(among, func(s api.ServerStats) bool { return s.URL == "http://s0.test/v1/" })
		case http.MethodGet:
			return slices.IndexFunc(among, func(s api.ServerStats) bool { return s.URL == "http://s2.test/v1/" })
		}
		return len(among)
	}}
	b := newBalancer(t, logicalBase, cfg)
	c := balancedClient(t, b, parley.WithTransport(f))
	for range 4 {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		_, err = c.Post(t.Context(), "x")
		require.NoError(t, err)
	}
	require.Equal(t, slices.Repeat([]string{"s2.test", "s0.test"}, 4), f.hosts())
	for range 3 {
		_, err := c.Put(t.Context(), "x")
		require.NoError(t, err)
	}
	require.Equal(t, "s1.test", f.hosts()[0], "who chooses none leaves it to the balancer")

	asked = nil
	f.set("s0.test", refuses)
	_, err := c.Post(t.Context(), "x")
	require.NoError(t, err)
	require.Len(t, asked, 2)
	require.Len(t, asked[0], 3)
	require.Len(t, asked[1], 2, "a server that was tried is no candidate")
	asked = nil
	_, err = c.Post(t.Context(), "x")
	require.NoError(t, err)
	require.Len(t, asked[0], 2, "nor is one that is left out")
}

func TestBalancer_toOneServer(t *testing.T) {
	t.Parallel()
	f := newFarm()
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(3)...)})
	c := balancedClient(t, b, parley.WithTransport(f))
	for range 5 {
		resp, err := c.Get(t.Context(), "x", api.WithServer("http://S1.test:80/v1"))
		require.NoError(t, err)
		require.Equal(t, "http://s1.test/v1/", api.ServedBy(resp))
	}
	f.set("s1.test", refuses)
	for range 3 {
		_, err := c.Get(t.Context(), "x", api.WithServer("http://s1.test/v1"))
		require.ErrorIs(t, err, parley.ErrConnect, "to no other, also when it is left out")
	}
	_, err := c.Get(t.Context(), "x", api.WithServer("http://other.test/"))
	require.ErrorIs(t, err, api.ErrNoServer)
	require.Empty(t, api.ServedBy(nil))
}

func TestBalancer_serversChangeWhileRequestsAreUnderWay(t *testing.T) {
	t.Parallel()
	f := newFarm()
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)})
	c := balancedClient(t, b, parley.WithTransport(f))
	resp, err := c.Stream(t.Context(), http.MethodGet, "x")
	require.NoError(t, err)
	require.NoError(t, b.SetServers(api.Servers("http://s1.test/v1", "http://s2.test/v1")...))
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "ok", text)
	f.hosts()
	for range 4 {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
	}
	hosts := f.hosts()
	slices.Sort(hosts)
	require.Equal(t, []string{"s1.test", "s1.test", "s2.test", "s2.test"}, hosts)
	for _, bad := range [][]api.Server{nil, api.Servers("http://s1.test", "ftp://s2.test"), api.Servers("http://s1.test", "http://s1.test:80/")} {
		require.Error(t, b.SetServers(bad...))
		require.Len(t, b.Stats(), 2, "nothing has changed")
	}
}

func TestNewBalancer_refusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	one := api.Servers("http://s0.test")
	for name, test := range map[string]struct {
		base string
		cfg  api.BalancerConfig
		says string
		kind error
	}{
		"a base that is no URL":            {"logical.test", api.BalancerConfig{Servers: one}, "", parley.ErrInvalidURL},
		"a base of another scheme":         {"ftp://logical.test", api.BalancerConfig{Servers: one}, "", parley.ErrUnsupportedProtocol},
		"a base with credentials":          {"http://u:p@logical.test", api.BalancerConfig{Servers: one}, "session", parley.ErrInvalidURL},
		"a base with a query":              {"http://logical.test/?a", api.BalancerConfig{Servers: one}, "query", parley.ErrInvalidURL},
		"no servers":                       {logicalBase, api.BalancerConfig{}, "neither Servers nor a Source", nil},
		"a server that is no URL":          {logicalBase, api.BalancerConfig{Servers: api.Servers("10.0.0.1:80")}, "", parley.ErrInvalidURL},
		"a server with credentials":        {logicalBase, api.BalancerConfig{Servers: api.Servers("http://u:secret@s0.test")}, "session", parley.ErrInvalidURL},
		"a server twice":                   {logicalBase, api.BalancerConfig{Servers: api.Servers("http://s0.test", "http://S0.test:80/")}, "twice", nil},
		"a weight below zero":              {logicalBase, api.BalancerConfig{Servers: []api.Server{{URL: "http://s0.test", Weight: -1}}}, "weight", nil},
		"a weight above all":               {logicalBase, api.BalancerConfig{Servers: []api.Server{{URL: "http://s0.test", Weight: 65536}}}, "weight", nil},
		"a Host that is none":              {logicalBase, api.BalancerConfig{Servers: []api.Server{{URL: "http://s0.test", Host: "a b"}}}, "", parley.ErrInvalidHeader},
		"secrets in clear text":            {"https://logical.test", api.BalancerConfig{Servers: one}, "clear text", parley.ErrInvalidURL},
		"a time that goes back":            {logicalBase, api.BalancerConfig{Servers: one, EjectFor: -1}, "EjectAfter", nil},
		"the greatest time that goes back": {logicalBase, api.BalancerConfig{Servers: one, MaxEject: -1}, "EjectAfter", nil},
	} {
		_, err := api.NewBalancer(test.base, test.cfg)
		require.Error(t, err, name)
		require.ErrorContains(t, err, test.says, name)
		require.NotContains(t, err.Error(), "secret", name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
		}
	}
}
