package parley_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// events writes down what a trace is told, one line each.
type events struct {
	mu     sync.Mutex
	lines  []string
	counts map[string]int
	refuse error // what Got1xxResponse gives
}

func (e *events) add(name string, more ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts == nil {
		e.counts = make(map[string]int)
	}
	e.counts[name]++
	e.lines = append(e.lines, strings.TrimSpace(name+" "+fmt.Sprintln(more...)))
}

func (e *events) count(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[name]
}

func (e *events) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.lines, "\n")
}

// after waits until name was told n times, and reports whether the server goes on.
func (e *events) after(c *wiretest.Conn, name string, n int) bool {
	for e.count(name) < n {
		if !c.Pause(time.Millisecond) {
			return false
		}
	}
	return true
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// trace has all hooks but WroteHeaderField, as everyone sends other headers.
func (e *events) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(hostPort string) { e.add("GetConn", hostPort) },
		GotConn: func(info httptrace.GotConnInfo) {
			e.add("GotConn", "reused:", info.Reused, "idle:", info.WasIdle, info.IdleTime > 0)
		},
		PutIdleConn:          func(err error) { e.add("PutIdleConn", outcome(err)) },
		GotFirstResponseByte: func() { e.add("GotFirstResponseByte") },
		Got100Continue:       func() { e.add("Got100Continue") },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			e.add("Got1xxResponse", code, header)
			return e.refuse
		},
		DNSStart:          func(info httptrace.DNSStartInfo) { e.add("DNSStart", info.Host) },
		DNSDone:           func(info httptrace.DNSDoneInfo) { e.add("DNSDone", outcome(info.Err)) },
		ConnectStart:      func(network, addr string) { e.add("ConnectStart", network, addr) },
		ConnectDone:       func(network, addr string, err error) { e.add("ConnectDone", network, addr, outcome(err)) },
		TLSHandshakeStart: func() { e.add("TLSHandshakeStart") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			e.add("TLSHandshakeDone", state.HandshakeComplete, outcome(err))
		},
		WroteHeaders:    func() { e.add("WroteHeaders") },
		Wait100Continue: func() { e.add("Wait100Continue") },
		WroteRequest:    func(info httptrace.WroteRequestInfo) { e.add("WroteRequest", outcome(info.Err)) },
	}
}

// round is a request of a scenario.
type round struct {
	method string
	header http.Header
	body   func(*events) io.Reader // of unknown length; nil: none
	unread bool                    // the body of the answer is closed at once
}

// told is a scenario that a trace is told of, with any client.
type told struct {
	script func(*events) func(*wiretest.Conn)
	tls    bool
	alien  bool // the server's certificate is not trusted
	dialer parley.Dialer
	url    string  // in place of the server's
	rounds []round // nil: one GET
	refuse error   // what Got1xxResponse gives
	fails  bool    // the last round does
	shows  string  // an event without which the scenario is none
}

// tracedClient sends one request and reads the answer.
type tracedClient func(ctx context.Context, url string, e *events, r round) error

func viaNetHTTP(t *testing.T, cfg *tls.Config, d parley.Dialer) tracedClient {
	transport := &http.Transport{DialContext: d.DialContext, TLSClientConfig: cfg, ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	return func(ctx context.Context, url string, e *events, r round) error {
		req, err := http.NewRequestWithContext(ctx, r.method, url, nil)
		require.NoError(t, err)
		req.Header = r.header.Clone()
		if req.Header == nil {
			req.Header = make(http.Header)
		}
		if r.body != nil {
			req.Body, req.ContentLength = io.NopCloser(r.body(e)), -1
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		if !r.unread {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		return errors.Join(err, resp.Body.Close())
	}
}

func viaParley(t *testing.T, cfg *tls.Config, d parley.Dialer) tracedClient {
	c := newSession(t, parley.WithDialer(d), parley.WithTLSConfig(cfg), parley.WithExpectTimeout(time.Minute))
	return func(ctx context.Context, url string, e *events, r round) error {
		opts := []parley.RequestOption{parley.WithHeaders(r.header)}
		if r.body != nil {
			opts = append(opts, parley.WithReader(r.body(e)))
		}
		resp, err := c.Stream(ctx, r.method, url, opts...)
		if err != nil {
			return err
		}
		if !r.unread {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		return errors.Join(err, resp.Close())
	}
}

// eventsOf plays a scenario. Addresses, which differ, are gone from the result.
func (s *told) eventsOf(t *testing.T, client func(*testing.T, *tls.Config, parley.Dialer) tracedClient) string {
	e := &events{refuse: s.refuse}
	authority := wiretest.NewAuthority(t)
	trusted := authority.Trusted()
	if s.alien {
		trusted = wiretest.NewAuthority(t).Trusted()
	}
	script := s.script
	if script == nil {
		script = answerWritten
	}
	var server *wiretest.Server
	if s.tls {
		server = wiretest.ServeTLS(t, authority.Server(t), script(e))
	} else {
		server = wiretest.Serve(t, script(e))
	}
	dialer, url := s.dialer, s.url
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	if url == "" {
		url = server.URL()
	}
	send := client(t, trusted, dialer)
	rounds := s.rounds
	if rounds == nil {
		rounds = []round{{method: "GET"}}
	}
	ctx := httptrace.WithClientTrace(t.Context(), e.trace())
	for i, r := range rounds {
		err := send(ctx, url, e, r)
		require.Equal(t, s.fails && i == len(rounds)-1, err != nil, "%v", err)
		if s.refuse != nil {
			require.ErrorIs(t, err, s.refuse)
		}
		wiretest.Eventually(t, func() bool { return e.count("WroteRequest") == e.count("GotConn") }, "every request has an end")
	}
	return strings.ReplaceAll(e.String(), server.Addr(), "SERVER")
}

// answerWritten answers each request of a connection once the trace was told that it
// was written, so that the order of events is always the same.
func answerWritten(e *events) func(*wiretest.Conn) { return answerWith(e, wiretest.OK("body")) }

func answerWith(e *events, text string) func(*wiretest.Conn) {
	n := e.count("WroteRequest")
	return wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		if n++; !e.after(c, "WroteRequest", n) {
			return ""
		}
		return text
	})
}

// with is a script that answers with a text.
func with(text string) func(*events) func(*wiretest.Conn) {
	return func(e *events) func(*wiretest.Conn) { return answerWith(e, text) }
}

// staleScript ends the first connection when its second request has come.
func staleScript(e *events) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		for n := 1; ; n++ {
			_, err := c.ReadRequest()
			if err != nil || !e.after(c, "WroteRequest", n+2*c.Index) || c.Index == 0 && n == 2 || !c.Say(wiretest.OK("x")) {
				return
			}
		}
	}
}

// continueScript sends a 100 once it is waited for, and then the answer.
func continueScript(e *events) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err != nil || !e.after(c, "Wait100Continue", 1) || !c.Say("HTTP/1.1 100 Continue\r\n\r\n") {
			return
		}
		if e.refuse == nil && e.after(c, "WroteRequest", 1) {
			c.Say(wiretest.OK("done"))
		}
		c.Hold()
	}
}

// refusalScript does not want the body.
func refusalScript(e *events) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil && e.after(c, "Wait100Continue", 1) {
			c.Say("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// afterEvent is a body that comes once a trace was told of an event.
func afterEvent(name string) func(*events) io.Reader {
	return func(e *events) io.Reader { return &lateBody{e: e, name: name, left: strings.NewReader("content")} }
}

// large is a body that net/http does not only put into a buffer, whose failure it does
// not tell.
func large(*events) io.Reader { return strings.NewReader(strings.Repeat("x", 64<<10)) }

type lateBody struct {
	e    *events
	name string
	left io.Reader
}

func (b *lateBody) Read(p []byte) (int, error) {
	for end := time.Now().Add(5 * time.Second); b.e.count(b.name) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return 0, errors.New("there was no " + b.name)
		}
	}
	return b.left.Read(p)
}

// unwritable is a connection that cannot be written.
type unwritable struct{ net.Conn }

func (m unwritable) Write([]byte) (int, error) {
	m.Close()
	return 0, errUnwritable
}

var errUnwritable = errors.New("cannot be written")

var unwritableDialer = parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	return unwritable{nc}, err
})

// lost is a dialer that finds no name server.
var lost = &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no name server")
}}}

func TestTrace_isToldTheSameAsByNetHTTP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	expects := http.Header{"Expect": {"100-continue"}}
	stop := errors.New("no hints, please")
	const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	get := round{method: "GET"}
	for name, scenario := range map[string]told{
		"a new connection":                       {shows: "PutIdleConn ok"},
		"a connection that was idle":             {rounds: []round{get, get}, shows: "GotConn reused: true idle: true true"},
		"TLS":                                    {tls: true, shows: "TLSHandshakeDone true ok"},
		"TLS that fails":                         {tls: true, alien: true, fails: true, shows: "TLSHandshakeDone false failed"},
		"a body":                                 {rounds: []round{{method: "POST", body: afterEvent("WroteHeaders")}}, shows: "WroteRequest ok"},
		"an answer without content":              {script: with("HTTP/1.1 204 No Content\r\n\r\n"), shows: "PutIdleConn ok"},
		"an answer that is not read":             {script: with("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx"), rounds: []round{{method: "GET", unread: true}}, shows: "GotFirstResponseByte"},
		"an answer that ends the connection":     {script: with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), shows: "GotFirstResponseByte"},
		"early hints":                            {script: with(hints + hints + wiretest.OK("x")), shows: "Got1xxResponse 103 map[Link:[</a>]]"},
		"early hints that are refused":           {script: with(hints + wiretest.OK("x")), refuse: stop, fails: true, shows: "Got1xxResponse 103 map[Link:[</a>]]"},
		"100 Continue":                           {script: continueScript, rounds: []round{{method: "POST", header: expects, body: afterEvent("Got1xxResponse")}}, shows: "Got100Continue"},
		"100 Continue where nobody waits":        {script: with("HTTP/1.1 100 Continue\r\n\r\n" + wiretest.OK("x")), shows: "Got1xxResponse 100 map[]"},
		"a body that the server refuses":         {script: refusalScript, rounds: []round{{method: "POST", header: expects, body: afterEvent("Got1xxResponse")}}, shows: "Wait100Continue"},
		"a dial that is refused":                 {url: "http://" + l.Addr().String(), fails: true, shows: "ConnectDone tcp " + l.Addr().String() + " failed"},
		"a name that nobody knows":               {dialer: lost, url: "http://a.test", fails: true, shows: "DNSDone failed"},
		"a write that fails":                     {dialer: unwritableDialer, rounds: []round{{method: "POST", body: large}}, fails: true, shows: "WroteRequest failed"},
		"a connection that was closed meanwhile": {script: staleScript, rounds: []round{get, get}, shows: "GotConn reused: true idle: true true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guard)
			want := scenario.eventsOf(t, viaNetHTTP)
			require.Contains(t, strings.Split(want, "\n"), scenario.shows, want)
			require.Equal(t, want, scenario.eventsOf(t, viaParley))
		})
	}
}
