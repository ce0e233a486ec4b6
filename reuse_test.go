package parley_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// leavesAtReuse is a script whose first connections answer one request each and do
// as last says when the next one has come; later connections answer all.
func leavesAtReuse(connections int, last func(c *wiretest.Conn)) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		if c.Index >= connections {
			answerContent(c)
			return
		}
		if _, err := c.ReadRequest(); err != nil || !c.Say(wiretest.OK("first")) {
			return
		}
		if _, err := c.ReadRequest(); err == nil {
			last(c)
		}
	}
}

// answerContent answers every request with its content.
func answerContent(c *wiretest.Conn) {
	wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(string(r.Content)) })(c)
}

func leave(*wiretest.Conn) {}

var over = map[bool]string{true: " over TLS"}

func TestReplay_ofARequestThatMetAConnectionBeingClosed(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	once := func() parley.RequestOption { return parley.WithReader(inParts("con", "tent")) }
	again := func() parley.RequestOption {
		return parley.WithBody(&ownBody{parts: []string{"con", "tent"}, size: -1})
	}
	memory := func() parley.RequestOption { return parley.WithBytes([]byte("content")) }
	nothing := func() parley.RequestOption { return parley.WithOptions() }
	tests := map[string]struct {
		method string
		body   func() parley.RequestOption
		replay bool
	}{
		"GET":                                {"GET", nothing, true},
		"HEAD":                               {"HEAD", nothing, true},
		"OPTIONS":                            {"OPTIONS", nothing, true},
		"DELETE with a body":                 {"DELETE", memory, true},
		"PUT":                                {"PUT", memory, true},
		"PUT of a body that opens again":     {"PUT", again, true},
		"PUT of a reader":                    {"PUT", once, false},
		"GET of a reader":                    {"GET", once, false},
		"POST":                               {"POST", memory, false},
		"POST without a body":                {"POST", nothing, false},
		"POST of a body that opens again":    {"POST", again, false},
		"PATCH":                              {"PATCH", memory, false},
		"a method that nobody knows":         {"FROBNICATE", nothing, false},
		"a known method in another spelling": {"Get2", nothing, false},
	}
	for name, test := range tests {
		for kind, end := range map[string]func(*wiretest.Conn){"closed": leave, "reset": (*wiretest.Conn).Reset, "cut": (*wiretest.Conn).Cut} {
			for _, secure := range []bool{false, true} {
				t.Run(name+" "+kind+over[secure], func(t *testing.T) {
					t.Parallel()
					script := leavesAtReuse(1, end)
					s := wiretest.Serve(t, script)
					if secure {
						s = wiretest.ServeTLS(t, authority.Server(t), script)
					}
					c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
					_, err := c.Get(t.Context(), "first")
					require.NoError(t, err)
					resp, err := c.Request(t.Context(), test.method, "second", test.body())
					if !test.replay {
						require.ErrorIs(t, err, parley.ErrNetwork)
						bodyAlone := strings.HasSuffix(name, "of a reader")
						require.Equal(t, bodyAlone, errors.Is(err, parley.ErrBodyNotRewindable), "the reason why it was not sent again: %v", err)
						var e *parley.Error
						require.ErrorAs(t, err, &e)
						require.Equal(t, parley.MaybeSent, e.Sent)
						require.Equal(t, 1, e.Attempt)
						require.Equal(t, 1, s.Accepted())
						require.Zero(t, c.Stats().Replays)
						return
					}
					require.NoError(t, err)
					require.Equal(t, 2, resp.Timing().Attempt)
					require.False(t, resp.Timing().Reused)
					require.Equal(t, 2, s.Accepted())
					require.EqualValues(t, 1, c.Stats().Replays)
					require.EqualValues(t, 1, c.Stats().Closed["replaced"], "%v", c.Stats().Closed)
					received := s.Received()
					require.Equal(t, received[0][strings.Index(received[0], test.method+" /second"):], received[1], "the same again")
				})
			}
		}
	}
}

func TestReplay_opensTheBodyAnew(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, leavesAtReuse(1, leave))
	c := sessionTo(t, s)
	_, err := c.Get(t.Context(), "first")
	require.NoError(t, err)
	body := &ownBody{parts: []string{"con", "tent"}, size: 7}
	resp, err := c.Put(t.Context(), "second", parley.WithBody(body))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "content", text)
	require.EqualValues(t, 2, body.opened.Load())
	wiretest.Eventually(t, func() bool { return body.closed.Load() == 2 }, "each is closed")
}

func TestReplay_isNeverDoneTwice(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if c.Index == 0 {
			leavesAtReuse(1, leave)(c)
			return
		}
		_, _ = c.ReadRequest()
	})
	c := sessionTo(t, s)
	_, err := c.Get(t.Context(), "first")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "second")
	require.ErrorIs(t, err, parley.ErrPeerClosed)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 2, e.Attempt)
	require.Equal(t, 2, s.Accepted())
	require.EqualValues(t, 1, c.Stats().Replays)
}

func TestReplay_isNotDone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		last     func(*wiretest.Conn)
		sent     parley.Sent
		want     error
		requests string // before the one that fails
	}{
		"on a connection that is new":      {nil, parley.MaybeSent, parley.ErrPeerClosed, ""},
		"after a byte of the answer":       {func(c *wiretest.Conn) { c.Say("H") }, parley.Answering, parley.ErrPeerClosed, "x"},
		"after a head":                     {func(c *wiretest.Conn) { c.Say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n") }, parley.Answering, parley.ErrRead, "x"},
		"after an interim answer":          {func(c *wiretest.Conn) { c.Say("HTTP/1.1 103 Early Hints\r\n\r\n") }, parley.Answering, parley.ErrPeerClosed, "x"},
		"after something that is not HTTP": {func(c *wiretest.Conn) { c.Say("SSH-2.0-x\r\n") }, parley.Answering, parley.ErrRemoteProtocol, "x"},
		"after a timeout":                  {(*wiretest.Conn).Rest, parley.MaybeSent, parley.ErrResponseTimeout, "x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if test.requests != "" {
					leavesAtReuse(1, test.last)(c)
				} else {
					_, _ = c.ReadRequest()
				}
			})
			c := sessionTo(t, s, parley.WithTimeouts(parley.Timeouts{Response: 100 * time.Millisecond}))
			if test.requests != "" {
				_, err := c.Get(t.Context(), "first")
				require.NoError(t, err)
			}
			_, err := c.Get(t.Context(), "second")
			require.ErrorIs(t, err, test.want)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.sent, e.Sent)
			require.Equal(t, 1, e.Attempt)
			require.Equal(t, 1, s.Accepted())
			require.Zero(t, c.Stats().Replays)
			require.Zero(t, c.Stats().Idle)
		})
	}
}

func TestReplay_isNotDoneForACancelledRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := wiretest.Serve(t, leavesAtReuse(1, func(*wiretest.Conn) { cancel() }))
	c := sessionTo(t, s)
	_, err := c.Get(t.Context(), "first")
	require.NoError(t, err)
	_, err = c.Get(ctx, "second")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, s.Accepted())
	require.Zero(t, c.Stats().Active+c.Stats().Idle)
}

// breakable dials connections whose writes can be made to fail.
type breakable struct {
	mu    sync.Mutex
	conns []*breaking
}

func (d *breakable) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := breakAfter(1<<40)(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, nc.(*breaking))
	return nc, nil
}

func (d *breakable) breakFirst() { d.conns[0].left.Store(0) }

func TestReplay_ofWhatWasNotWrittenAtAll(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   func() parley.RequestOption
		replay bool
	}{
		"in memory":               {func() parley.RequestOption { return parley.WithBytes([]byte("content")) }, true},
		"a body that opens again": {func() parley.RequestOption { return parley.WithBody(&ownBody{parts: []string{"content"}, size: 7}) }, true},
		"a reader that goes on":   {func() parley.RequestOption { return parley.WithReader(inParts("content")) }, false},
		"no body":                 {func() parley.RequestOption { return parley.WithOptions() }, true},
		"larger than one piece":   {func() parley.RequestOption { return parley.WithBytes(make([]byte, 100_000)) }, true},
	} {
		t.Run("POST "+name, func(t *testing.T) {
			t.Parallel()
			broken := make(chan struct{})
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if c.Index > 0 {
					answerContent(c)
					return
				}
				if _, err := c.ReadRequest(); err == nil {
					c.Say(wiretest.OK(""))
				}
				<-broken
				c.Pause(waitLong) // then the peer is gone
			})
			d := &breakable{}
			c := sessionTo(t, s, parley.WithDialer(d))
			_, err := c.Get(t.Context(), "first")
			require.NoError(t, err)
			d.breakFirst()
			close(broken)
			_, err = c.Post(t.Context(), "second", test.body())
			if !test.replay {
				require.ErrorIs(t, err, parley.ErrWrite)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.NotSent, e.Sent)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 1, c.Stats().Replays)
			require.Equal(t, 2, s.Accepted())
		})
	}
}

func TestReuse_aConnectionFoundDeadCostsNothing(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	tests := map[string]struct {
		end func(*wiretest.Conn)
		why string
	}{
		"closed": {leave, "peer closed while idle"},
		"cut":    {(*wiretest.Conn).Cut, "peer closed while idle"},
		"reset":  {(*wiretest.Conn).Reset, "peer closed while idle"},
		"chatty": {func(c *wiretest.Conn) { c.Say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"); c.Rest() }, "unexpected data while idle"},
	}
	for name, test := range tests {
		for _, secure := range []bool{false, true} {
			t.Run("POST "+name+over[secure], func(t *testing.T) {
				t.Parallel()
				idle := make(chan struct{})
				ended := make(chan struct{})
				script := func(c *wiretest.Conn) {
					if c.Index > 0 {
						answerContent(c)
						return
					}
					if _, err := c.ReadRequest(); err != nil {
						return
					}
					c.Say(wiretest.OK(""))
					<-idle
					time.AfterFunc(waitLong, func() { close(ended) }) // loopback needs less
					test.end(c)
				}
				s := wiretest.Serve(t, script)
				if secure {
					s = wiretest.ServeTLS(t, authority.Server(t), script)
				}
				c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
				_, err := c.Get(t.Context(), "first")
				require.NoError(t, err)
				close(idle)
				<-ended
				resp, err := c.Post(t.Context(), "second", parley.WithReader(inParts("content")))
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, "content", text)
				require.Equal(t, 1, resp.Timing().Attempt)
				require.Zero(t, c.Stats().Replays)
				require.EqualValues(t, 1, c.Stats().Closed[test.why], "%v", c.Stats().Closed)
			})
		}
	}
}

func TestReuse_whatTheAnswerSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer string
		reused bool
	}{
		"HTTP/1.1":                    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true},
		"chunks":                      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", true},
		"no content":                  {"HTTP/1.1 204 No Content\r\n\r\n", true},
		"not modified":                {"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", true},
		"an error":                    {"HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nx", true},
		"Connection: close":           {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", false},
		"close among others":          {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx", false},
		"HTTP/1.0":                    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false},
		"HTTP/1.0 with keep-alive":    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", true},
		"HTTP/1.0 keep-alive, no end": {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx", false},
		"up to the close":             {"HTTP/1.1 200 OK\r\n\r\nx", false},
		"a byte too much":             {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", false},
		"an answer too much":          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny", false},
		"a keep-alive of 0 seconds":   {"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 1\r\n\r\nx", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadRequest(); err != nil {
					return
				}
				c.Say(test.answer)
				if strings.HasSuffix(test.answer, "\r\n\r\nx") && !strings.Contains(test.answer, "Content-Length") {
					return
				}
				answerContent(c)
			})
			c := sessionTo(t, s)
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			if test.reused {
				require.Equal(t, 1, c.Stats().Idle)
				resp, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				require.True(t, resp.Timing().Reused)
				require.Equal(t, 1, s.Accepted())
				return
			}
			require.Zero(t, c.Stats().Idle)
			require.Zero(t, c.Stats().Active)
		})
	}
}

func TestReuse_theServersHintShortensTheIdleTime(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/hint" {
			return "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK("")
	}))
	c := sessionTo(t, s)
	start := time.Now()
	_, err := c.Get(t.Context(), "hint")
	require.NoError(t, err)
	require.Equal(t, 1, c.Stats().Idle)
	wiretest.Eventually(t, func() bool { return c.Stats().Closed["idle timeout"] == 1 }, "it is closed before the server would")
	require.Greater(t, time.Since(start), 500*time.Millisecond)
	require.Zero(t, c.Stats().Idle)
}

func TestReuse_aStreamThatWasClosedEarly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size   int
		reused bool
	}{
		"little left":    {1 << 10, true},
		"2 KiB left":     {2 << 10, true},
		"too much left":  {2<<10 + 1, false},
		"very much left": {100 << 20, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				for {
					if _, err := c.ReadRequest(); err != nil {
						return
					}
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(test.size) + "\r\n\r\n")
					_, _ = io.CopyN(c.Conn, &endless{}, int64(test.size)) // the client may leave
				}
			})
			c := sessionTo(t, s)
			resp, err := c.Stream(t.Context(), http.MethodGet, "x")
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			require.NoError(t, resp.Close(), "closing again does nothing")
			_, err = resp.Body.Read(make([]byte, 1))
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			require.Equal(t, test.reused, c.Stats().Idle == 1)
			require.Zero(t, c.Stats().Active)
		})
	}
}
