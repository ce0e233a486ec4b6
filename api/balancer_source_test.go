package api_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// zone is the records of a DNS server.
type zone struct {
	srv map[string][]dnsmessage.SRVResource
	ip  map[string][]netip.Addr
}

// serve runs a DNS server on loopback for as long as the test, and gives what asks it.
func (z zone) serve(t *testing.T) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := z.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) answer(question []byte) ([]byte, error) {
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(q.Name.String())
	of := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionDesired: head.RecursionDesired},
		Questions: []dnsmessage.Question{q},
	}
	if z.srv[name] == nil && z.ip[name] == nil {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, r := range z.srv[name] {
		if q.Type == dnsmessage.TypeSRV {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: of, Body: &r})
		}
	}
	for _, a := range z.ip[name] {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: of, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: of, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return reply.Pack()
}

func srvRecord(priority, weight, port uint16, target string) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port, Target: dnsmessage.MustNewName(target)}
}

func TestSRVSource_asksDNS(t *testing.T) {
	t.Parallel()
	resolver := zone{srv: map[string][]dnsmessage.SRVResource{
		"_api._tcp.example.test.": {
			srvRecord(1, 60, 8080, "a.example.test."), srvRecord(1, 0, 8081, "b.example.test."), srvRecord(2, 10, 8080, "c.example.test."),
		},
		"_gone._tcp.example.test.": {srvRecord(0, 0, 0, ".")},
	}}.serve(t)
	servers, err := api.SRVSource{Name: "_api._tcp.example.test", Path: "/v1", Resolver: resolver}.Servers(t.Context())
	require.NoError(t, err)
	slices.SortFunc(servers, func(a, b api.Server) int { return strings.Compare(a.URL, b.URL) })
	require.Equal(t, []api.Server{
		{URL: "https://a.example.test:8080/v1", Weight: 60, Priority: 1},
		{URL: "https://b.example.test:8081/v1", Weight: 0, Priority: 1},
		{URL: "https://c.example.test:8080/v1", Weight: 10, Priority: 2},
	}, servers)

	_, err = api.SRVSource{Name: "_gone._tcp.example.test", Resolver: resolver}.Servers(t.Context())
	require.ErrorIs(t, err, api.ErrNoServer)
	_, err = api.SRVSource{Name: "_none._tcp.example.test", Resolver: resolver}.Servers(t.Context())
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
}

func TestAddressSource_asksDNS(t *testing.T) {
	t.Parallel()
	resolver := zone{ip: map[string][]netip.Addr{
		"api.example.test.": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")},
	}}.serve(t)
	for name, test := range map[string]struct {
		source api.AddressSource
		want   []api.Server
	}{
		"all addresses": {api.AddressSource{URL: "https://API.example.test:8443/v1"}, []api.Server{
			{URL: "https://192.0.2.1:8443/v1", Host: "api.example.test:8443"},
			{URL: "https://192.0.2.2:8443/v1", Host: "api.example.test:8443"},
			{URL: "https://[2001:db8::1]:8443/v1", Host: "api.example.test:8443"},
		}},
		"those of IPv4": {api.AddressSource{URL: "http://api.example.test/", Network: "ip4"}, []api.Server{
			{URL: "http://192.0.2.1/", Host: "api.example.test"}, {URL: "http://192.0.2.2/", Host: "api.example.test"},
		}},
		"those of IPv6": {api.AddressSource{URL: "http://api.example.test", Network: "ip6"}, []api.Server{
			{URL: "http://[2001:db8::1]/", Host: "api.example.test"},
		}},
	} {
		test.source.Resolver = resolver
		servers, err := test.source.Servers(t.Context())
		require.NoError(t, err, name)
		slices.SortFunc(servers, func(a, b api.Server) int { return strings.Compare(a.URL, b.URL) })
		require.Equal(t, test.want, servers, name)
	}
	_, err := api.AddressSource{URL: "http://none.example.test", Resolver: resolver}.Servers(t.Context())
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	_, err = api.AddressSource{URL: "none.example.test", Resolver: resolver}.Servers(t.Context())
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	_, err = api.AddressSource{URL: "http://api.example.test", Network: "tcp", Resolver: resolver}.Servers(t.Context())
	require.Error(t, err)
}

// From DNS to the bytes: the servers' addresses, the host's name in the request and in the
// certificate.
func TestBalancer_findsAnHTTPSServerByDNS(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, authority.Server(t, "api.example.test"), func(c *wiretest.Conn) {
		for {
			if _, err := c.ReadHead(); err != nil {
				return
			}
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	resolver := zone{ip: map[string][]netip.Addr{"api.example.test.": {netip.MustParseAddr("127.0.0.1")}}}.serve(t)
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	name := "api.example.test:" + port
	b := newBalancer(t, "https://"+name, api.BalancerConfig{Source: api.AddressSource{URL: "https://" + name, Resolver: resolver}})
	c := balancedClient(t, b, parley.WithTLSConfig(authority.Trusted()))
	for range 3 {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, "https://127.0.0.1:"+port+"/", api.ServedBy(resp))
	}
	require.Contains(t, s.Text(), "Host: "+name+"\r\n")
	require.Equal(t, 1, s.Accepted(), "connections are used again")
}

// script is a source that gives what it is told.
type script struct {
	mu      sync.Mutex
	servers []api.Server
	err     error
	takes   time.Duration
	asked   int
	atOnce  int
	most    int
}

func (s *script) Servers(ctx context.Context) ([]api.Server, error) {
	s.mu.Lock()
	s.asked++
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	takes := s.takes
	s.mu.Unlock()
	var gone error
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		gone = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atOnce--
	if gone != nil {
		return nil, gone
	}
	return s.servers, s.err
}

// count gives how often it was asked.
func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *script) set(err error, takes time.Duration, urls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.takes, s.servers = err, takes, api.Servers(urls...)
}

func TestBalancer_asksItsSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, source := newFarm(), new(script)
		source.set(nil, time.Second, "http://s0.test/v1")
		b := newBalancer(t, logicalBase, api.BalancerConfig{Source: source, Refresh: 10 * time.Second})
		c := balancedClient(t, b, parley.WithTransport(f))
		get := func() string {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			return strings.TrimSuffix(strings.TrimPrefix(api.ServedBy(resp), "http://"), ".test/v1/")
		}
		require.Zero(t, source.count(), "nothing is asked before a request")
		began := time.Now()
		var first sync.WaitGroup
		for range 5 {
			first.Go(func() { require.Equal(t, "s0", get()) })
		}
		first.Wait()
		require.Equal(t, time.Second, time.Since(began), "the first requests wait")
		require.Equal(t, 1, source.count(), "for one answer")

		time.Sleep(9 * time.Second)
		get()
		require.Equal(t, 1, source.count(), "it is not due")
		time.Sleep(time.Second)
		source.set(nil, 3*time.Second, "http://s1.test/v1")
		began = time.Now()
		for range 5 {
			require.Equal(t, "s0", get(), "the servers that are known serve")
		}
		require.Zero(t, time.Since(began), "and nobody waits")
		time.Sleep(4 * time.Second)
		require.Equal(t, 2, source.count())
		require.Equal(t, "s1", get())

		for name, bad := range map[string]func(){
			"an error":           func() { source.set(errors.New("no answer"), 0) },
			"no server":          func() { source.set(nil, 0) },
			"no usable server":   func() { source.set(nil, 0, "ftp://s2.test") },
			"never any answer":   func() { source.set(nil, time.Hour) },
			"an error in a hour": func() { source.set(errors.New("no answer"), time.Hour) },
		} {
			time.Sleep(30 * time.Second)
			get()
			time.Sleep(30 * time.Second)
			bad()
			get()
			time.Sleep(11 * time.Second)
			require.Equal(t, "s1", get(), "after %s the servers stay", name)
			require.Error(t, b.SourceError(), name)
			time.Sleep(12 * time.Second)
			source.set(nil, 0, "http://s1.test/v1")
			get()
			time.Sleep(2 * time.Second)
			get()
			time.Sleep(2 * time.Second)
			require.NoError(t, b.SourceError(), "it is asked again before the next time is due: %s", name)
		}
		time.Sleep(time.Minute)
		source.set(errors.New("half of it"), 0, "http://s2.test/v1", "ftp://s3.test", "http://s2.test/v1")
		get()
		time.Sleep(time.Second)
		require.Equal(t, "s2", get(), "what can be used is used")
		require.ErrorContains(t, b.SourceError(), "half of it")
		require.ErrorIs(t, b.SourceError(), parley.ErrUnsupportedProtocol)
		synctest.Wait()
		require.Equal(t, 1, source.most, "one goroutine asks at a time")
	})
}

func TestBalancer_withoutAnAnswerOfItsSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, source := newFarm(), new(script)
		noAnswer := errors.New("no answer")
		source.set(noAnswer, 0)
		b := newBalancer(t, logicalBase, api.BalancerConfig{Source: source, Refresh: -1})
		c := balancedClient(t, b, parley.WithTransport(f))
		get := func(opts ...parley.RequestOption) error {
			_, err := c.Post(t.Context(), "x", opts...)
			return err
		}
		for range 3 {
			err := get()
			require.ErrorIs(t, err, api.ErrNoServer)
			require.ErrorIs(t, err, noAnswer)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.NotSent, e.Sent)
		}
		require.Equal(t, 1, source.count(), "not with every request")
		time.Sleep(time.Second)
		source.set(nil, 5*time.Second, "http://s0.test/v1")
		began := time.Now()
		err := get(parley.WithTimeout(2 * time.Second))
		require.ErrorIs(t, err, parley.ErrTotalTimeout, "a call waits no longer than it may")
		require.Equal(t, 2*time.Second, time.Since(began))
		require.NoError(t, get(), "that one gave up changes nothing for the others")
		require.Equal(t, 2, source.count())
		time.Sleep(1000 * time.Hour)
		require.NoError(t, get())
		synctest.Wait()
		require.Equal(t, 2, source.count(), "once only, where that is said")
	})
}

func TestBalancer_serversBesideASource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, source := newFarm(), new(script)
		source.set(nil, time.Second, "http://s1.test/v1")
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers("http://s0.test/v1"), Source: source})
		c := balancedClient(t, b, parley.WithTransport(f))
		for range 2 {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, []string{"s0.test", "s1.test"}, f.hosts())
	})
}

func TestBalancer_closeEndsTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, source := newFarm(), new(script)
		source.set(nil, time.Hour)
		b := newBalancer(t, logicalBase, api.BalancerConfig{Source: source})
		c := balancedClient(t, b, parley.WithTransport(f))
		var waiting sync.WaitGroup
		waiting.Go(func() {
			_, err := c.Get(t.Context(), "x")
			require.ErrorIs(t, err, api.ErrNoServer)
		})
		synctest.Wait()
		require.NoError(t, b.Close())
		waiting.Wait()
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, api.ErrNoServer)
		require.Equal(t, 1, source.count(), "and nothing is asked afterwards")
	})
}

func TestBalancer_aSourceThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	b := newBalancer(t, logicalBase, api.BalancerConfig{Source: api.SourceFunc(func(context.Context) ([]api.Server, error) {
		asked.Add(1)
		runtime.Goexit()
		return nil, nil
	})})
	_, err := balancedClient(t, b, parley.WithTransport(newFarm())).Get(t.Context(), "x")
	require.ErrorIs(t, err, api.ErrNoServer)
	require.ErrorContains(t, err, "ended its goroutine")
}
