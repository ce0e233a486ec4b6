package parley_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// The connect limit covers the way from TCP to the end of the handshake; what a
// peer can do in it is also told apart in TestTimeout_Handshake.
func TestS159_ConnectLimitCoversTheHandshake(t *testing.T) {
	t.Parallel()
	type way struct {
		script func(*wiretest.Conn)
		dialer parley.ClientOption
		stage  string
	}
	each(t, map[string]way{
		"nobody answers the dial": {(*wiretest.Conn).Hold, parley.WithDialer(newHangingDialer()), "context deadline"},
		"accepted, then silent":   {(*wiretest.Conn).Hold, nil, "TLS handshake"},
		"silent after the hello": {func(c *wiretest.Conn) {
			c.Reader.Peek(100)
			c.Hold()
		}, nil, "TLS handshake"},
		"half a server hello": {func(c *wiretest.Conn) {
			c.Reader.Peek(5)
			c.Say("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
			c.Hold()
		}, nil, "TLS handshake"},
	}, func(t testing.TB, row way) {
		server := wiretest.Serve(t, row.script)
		opts := []parley.ClientOption{parley.WithTimeouts(parley.Timeouts{Connect: short})}
		if row.dialer != nil {
			opts = append(opts, row.dialer)
		}
		client := newSession(t, opts...)
		start := time.Now()
		_, err := client.Get(t.Context(), "https://"+server.Addr())
		requireLapse(t, err, start, lapse{parley.ErrConnectTimeout, parley.PhaseConnect, short, parley.NotSent})
		require.ErrorContains(t, err, row.stage)
	})
}

func TestS160_DripsDoNotRenewLimits(t *testing.T) {
	t.Parallel()
	drip := func(head, rest string) func(*wiretest.Conn) {
		return afterHead(func(c *wiretest.Conn) {
			c.Say(head)
			c.Drip(strings.Repeat(rest, 1000), 50*time.Millisecond)
		})
	}
	type way struct {
		script func(*wiretest.Conn)
		limits parley.Timeouts
		want   lapse
	}
	each(t, map[string]way{
		"a byte of the head each 50 ms": {
			drip("HTTP/1.1 200 OK\r\nX-Long: ", "x"), parley.Timeouts{Response: 300 * time.Millisecond},
			lapse{parley.ErrResponseTimeout, parley.PhaseResponse, 300 * time.Millisecond, parley.Answering},
		},
		"a byte of interim answers each 50 ms": {
			drip("HTTP/1.1 103 Early Hints\r\n", "Link: x\r\n"), parley.Timeouts{Response: 300 * time.Millisecond},
			lapse{parley.ErrResponseTimeout, parley.PhaseResponse, 300 * time.Millisecond, parley.Answering},
		},
		"a byte of the body each 50 ms": {
			drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x"),
			parley.Timeouts{Total: 1800 * time.Millisecond, Read: time.Second},
			lapse{parley.ErrTotalTimeout, parley.PhaseRead, 1800 * time.Millisecond, parley.Answering},
		},
		"a byte of chunk framing each 50 ms": {
			drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
			parley.Timeouts{Total: 1800 * time.Millisecond, Read: time.Second},
			lapse{parley.ErrTotalTimeout, parley.PhaseRead, 1800 * time.Millisecond, parley.Answering},
		},
		"silence in the body": {
			afterHead(func(c *wiretest.Conn) {
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
				c.Hold()
			}), parley.Timeouts{Read: short},
			lapse{parley.ErrReadTimeout, parley.PhaseRead, short, parley.Answering},
		},
	}, func(t testing.TB, row way) {
		overLines(t, func(t testing.TB, l line) {
			server := l.serve(t, row.script)
			client := l.session(t, row.limits)
			start := time.Now()
			_, err := client.Get(t.Context(), server.URL())
			requireLapse(t, err, start, row.want)
		})
	})
}

func TestS161_CancelledRequestsDisturbNobody(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		// The answer comes in pieces, so that there is something to cut.
		text := r.RequestURI + strings.Repeat(".", 2000) + string(r.Content)
		if !c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text[:len(text)/2])) {
			return ""
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		return text[len(text)/2:]
	}))
	cancelHalf(t, newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 8}), parley.WithPhaseTimeout(guard)), server.URL())
}

func TestS161_CancelledStreamsDisturbNobody(t *testing.T) {
	t.Parallel()
	server := startHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body) // cut short where the request was cancelled
		io.WriteString(w, r.RequestURI+strings.Repeat(".", 1000))
		w.(http.Flusher).Flush()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		io.WriteString(w, strings.Repeat(".", 1000)+string(content))
	}, false, nil)
	cancelHalf(t, server.session(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 2}), parley.WithPhaseTimeout(guard)), server.URL)
}

// cancelHalf sends a thousand requests, twenty at once, and cancels every other one at
// some moment. The server answers with target, dots and content.
func cancelHalf(t *testing.T, client *parley.Client, server string) {
	t.Helper()
	var running sync.WaitGroup
	for worker := range 20 {
		running.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("/%d/%d", worker, i)
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, cancel)
				}
				resp, err := client.Post(ctx, server+id, parley.WithText(id))
				switch {
				case err == nil:
					if text, err := resp.Text(); err != nil || text != id+strings.Repeat(".", 2000)+id {
						t.Errorf("%s got %.40q, %v", id, text, err)
					}
				case i%2 == 1 || !errors.Is(err, context.Canceled):
					t.Errorf("%s: %v", id, err)
				}
				cancel()
			}
		})
	}
	running.Wait()
	requireNoneActive(t, client)
}

// Whatever becomes of a request, its place in the pool becomes free.
func TestS162_EveryPathFreesItsPlace(t *testing.T) {
	t.Parallel()
	bad := "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip."
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(bytes.Repeat([]byte("x"), 100_000))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		switch r.URL.Path {
		case "/307":
			return "HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 4\r\n\r\nbody"
		case "/hints":
			return "HTTP/1.1 103 Early Hints\r\n\r\n" + wiretest.OK("x")
		case "/head":
			return "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"
		case "/gzip":
			return bad
		case "/large":
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.String())
		case "/broken":
			return "HTTP/1.1 200 OK\r\nbroken\r\n\r\n"
		case "/cut", "/panic-on-error":
			return ""
		}
		return wiretest.OK(strings.Repeat("x", 8000))
	}))
	failing := errors.New("middleware says no")
	client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}), parley.WithPhaseTimeout(guard),
		parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
			return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
				if req.URL.Path == "/panic-before" {
					panic("before")
				}
				resp, err := next.Send(ctx, req)
				switch req.URL.Path {
				case "/panic-after":
					panic("after")
				case "/panic-on-error":
					panic(err)
				case "/error-after":
					resp.Close()
					return nil, failing
				}
				return resp, err
			})
		}))
	do := func(method, path string, opts ...parley.RequestOption) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		resp, err := client.Stream(t.Context(), method, server.URL()+path, opts...)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Close()
		}
		return err
	}
	for name, row := range map[string]struct {
		run   func() error
		fails bool
	}{
		"a redirect that is not followed": {func() error { return do("POST", "/307", parley.WithText("x")) }, false},
		"HEAD":                            {func() error { return do("HEAD", "/head") }, false},
		"a coding that is none":           {func() error { return do("GET", "/gzip") }, true},
		"a body above the limit":          {func() error { return do("GET", "/large", parley.WithMaxBodyBytes(1000)) }, true},
		"no HTTP":                         {func() error { return do("GET", "/broken") }, true},
		"a closed connection":             {func() error { return do("GET", "/cut") }, true},
		"a body that cannot be opened":    {func() error { return do("POST", "/", parley.WithBody(unopened{})) }, true},
		"a body that fails": {func() error {
			return do("POST", "/", parley.WithReader(io.MultiReader(strings.NewReader("x"), failingBody{})))
		}, true},
		"a malformed request":        {func() error { return do("BAD METHOD", "/") }, true},
		"a panic before sending":     {func() error { return do("GET", "/panic-before") }, true},
		"a panic with the response":  {func() error { return do("GET", "/panic-after") }, true},
		"an error with the response": {func() error { return do("GET", "/error-after") }, true},
		"a stream that is not read": {func() error {
			resp, err := client.Stream(t.Context(), "GET", server.URL())
			if err != nil {
				return err
			}
			return resp.Close()
		}, false},
		"a context that has ended": {func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := client.Get(ctx, server.URL())
			return err
		}, true},
		"a waiter that gives up": {func() error {
			busy, err := client.Stream(t.Context(), "GET", server.URL())
			if err != nil {
				return err
			}
			defer busy.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
			defer cancel()
			_, err = client.Get(ctx, server.URL())
			if n := client.Stats().Waiting; n != 0 {
				return nil // fails the test: the waiter is in the queue still
			}
			return err
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				require.Equal(t, row.fails, row.run() != nil)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := client.Get(ctx, server.URL())
			require.NoError(t, err)
			requireNoneActive(t, client)
		})
	}
}

// unopened is a body that cannot be opened, failingBody a reader that fails.
type unopened struct{}

func (unopened) Size() int64                  { return 5 }
func (unopened) ContentType() string          { return "" }
func (unopened) Replayable() bool             { return true }
func (unopened) Open() (io.ReadCloser, error) { return nil, errors.New("no such body") }

type failingBody struct{}

func (failingBody) Read([]byte) (int, error) { return 0, errors.New("the source failed") }

func TestS163_SessionsAreDerivedWhileRequestsRun(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		user, password, _ := r.BasicAuth()
		return wiretest.OK(strings.Join([]string{user, password, r.Header.Get("X-User"), r.URL.Query().Get("user")}, " "))
	}))
	base := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 8}), parley.WithPhaseTimeout(guard))
	var current struct {
		sync.Mutex
		client *parley.Client
	}
	configs := []*tls.Config{ca.Trusted(), ca.Trusted()}
	derived := func(i int) *parley.Client {
		id := fmt.Sprint(i)
		return derive(t, base, parley.WithBaseURL(strings.Replace(server.URL(), "https://", "https://"+id+":"+id+"@", 1)),
			parley.WithHeader("X-User", id), parley.WithQuery("user", id), parley.WithTLSConfig(configs[i%2]))
	}
	current.client = derived(0)
	u, err := url.Parse(server.URL())
	require.NoError(t, err)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 40 {
				current.Lock()
				c := current.client
				current.Unlock()
				resp, err := c.Get(t.Context(), "x", parley.WithQuery("n", "1"))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := resp.Text()
				parts := strings.Fields(text)
				if err != nil || len(parts) != 4 || parts[0] != parts[1] || parts[1] != parts[2] || parts[2] != parts[3] {
					t.Errorf("a mix of settings: %q, %v", text, err)
				}
			}
		})
	}
	for i := range 60 {
		next := derived(i)
		current.Lock()
		current.client = next
		current.Unlock()
		base.Jar().SetCookies(u, []*http.Cookie{{Name: "c", Value: fmt.Sprint(i)}})
		require.NoError(t, base.Pool().SetLimits(parley.PoolLimits{Hard: 1 + i%8, Soft: 1}))
		base.Pool().CloseIdle()
		_ = base.Stats()
		time.Sleep(time.Millisecond)
	}
	running.Wait()
	requireNoneActive(t, base)
}

func TestS195_OnlyWhatMayRunTwiceIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		method string
		body   parley.RequestOption
		again  bool
	}{
		{"GET", nil, true},
		{"HEAD", nil, true},
		{"OPTIONS", nil, true},
		{"DELETE", nil, true},
		{"PUT", parley.WithText("x"), true},
		{"PUT", parley.WithReader(io.LimitReader(strings.NewReader("x"), 1)), false}, // can be read once only
		{"POST", parley.WithText("x"), false},
		{"POST", nil, false},
		{"PATCH", parley.WithText("x"), false},
		{"OTHER", nil, false},
	} {
		t.Run(fmt.Sprintf("%s with %T", row.method, row.body), func(t *testing.T) {
			var mu sync.Mutex
			counted := 0
			server := wiretest.Serve(t, func(c *wiretest.Conn) {
				for n := 0; ; n++ {
					r, err := c.ReadRequest()
					if err != nil {
						return
					}
					if r.Method == row.method && r.RequestURI == "/counted" {
						mu.Lock()
						counted++
						mu.Unlock()
					}
					if n > 0 {
						return // counted, and closed instead of answered
					}
					c.Say("HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
			client := newSession(t)
			textOf(t, client, server.URL()+"/first")
			var opts []parley.RequestOption
			if row.body != nil {
				opts = append(opts, row.body)
			}
			resp, err := client.Request(t.Context(), row.method, server.URL()+"/counted", opts...)
			mu.Lock()
			defer mu.Unlock()
			if row.again {
				require.NoError(t, err)
				require.Equal(t, 2, resp.Timing().Attempt)
				require.Equal(t, 2, counted)
				require.EqualValues(t, 1, client.Stats().Replays)
				return
			}
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, parley.ErrNetwork)
			require.Equal(t, parley.MaybeSent, e.Sent)
			require.Equal(t, 1, e.Attempt)
			require.Equal(t, 1, counted)
		})
	}
}

// A request is sent again once at most, and not when an answer had begun.
func TestS195_ReplayHasAnEnd(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, second string) (*wiretest.Server, error) {
		var mu sync.Mutex
		requests := 0
		server := wiretest.Serve(t, func(c *wiretest.Conn) {
			for {
				if _, err := c.ReadRequest(); err != nil {
					return
				}
				mu.Lock()
				requests++
				n := requests
				mu.Unlock()
				if n > 1 {
					c.Say(second)
					return
				}
				c.Say(wiretest.OK("first"))
			}
		})
		client := newSession(t)
		textOf(t, client, server.URL())
		_, err := client.Get(t.Context(), server.URL())
		return server, err
	}
	t.Run("the second try fails too", func(t *testing.T) {
		server, err := run(t, "")
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, parley.ErrPeerClosed)
		require.Equal(t, 2, e.Attempt)
		require.Equal(t, 2, server.Accepted())
	})
	t.Run("the answer had begun", func(t *testing.T) {
		server, err := run(t, "HTTP/1.1 2")
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.Answering, e.Sent)
		require.Equal(t, 1, e.Attempt)
		require.Equal(t, 1, server.Accepted())
	})
}

func TestS196_CloseWhileRequestsRun(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			switch r.RequestURI {
			case "/idle":
				c.Say(wiretest.OK("idle"))
			case "/events":
				c.Say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n")
				c.Hold()
				return
			case "/stream":
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
				fallthrough
			default:
				c.Hold()
				return
			}
		}
	})
	client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 90}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	textOf(t, client, server.URL()+"/idle")

	ends := make(chan error, 100)
	for i := range 100 { // ten of them wait for a connection
		go func() {
			if i%2 == 0 {
				_, err := client.Get(ctx, server.URL()+"/slow")
				ends <- err
				return
			}
			if i%4 == 1 {
				var last error
				for _, last = range client.Events(ctx, server.URL()+"/events") {
				}
				ends <- last
				return
			}
			resp, err := client.Stream(ctx, "GET", server.URL()+"/stream")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Close()
			}
			ends <- err
		}()
	}
	wiretest.Eventually(t, func() bool { s := client.Stats(); return s.Active == 90 && s.Waiting == 10 }, "all run or wait")
	require.NoError(t, client.Close())
	require.NoError(t, client.Close())
	for range 10 {
		err := <-ends
		require.ErrorIs(t, err, parley.ErrClientClosed, "those that waited end at once")
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.NotSent, e.Sent)
	}
	_, err := client.Get(t.Context(), server.URL())
	require.ErrorIs(t, err, parley.ErrClientClosed)

	cancelled := time.Now()
	cancel()
	for range 90 {
		require.ErrorIs(t, <-ends, context.Canceled, "those that ran end with their context")
	}
	require.Less(t, time.Since(cancelled), 2*time.Second)
	requireNoneActive(t, client)
	require.Zero(t, client.Stats().Idle)
}
