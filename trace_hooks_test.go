package parley_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func traced(t *testing.T, trace *httptrace.ClientTrace) context.Context {
	return httptrace.WithClientTrace(t.Context(), trace)
}

func TestTrace_theHeaderFieldsAreThoseOfTheWire(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	for name, opts := range map[string][]parley.RequestOption{
		"in one piece": {parley.WithHeaders(http.Header{"X-Two": {"1", "2: 3"}, "X-Empty": {""}}), parley.WithHeaderOrder("x-TWO")},
		"an upload":    {parley.WithReader(strings.NewReader("content"))},
	} {
		var head strings.Builder
		ctx := traced(t, &httptrace.ClientTrace{
			WroteHeaderField: func(key string, values []string) {
				for _, v := range values {
					head.WriteString(key + ": " + v + "\r\n")
				}
			},
			WroteHeaders: func() { head.WriteString("\r\n") },
		})
		before := s.Text()
		_, err := sessionTo(t, s).Post(ctx, "x", opts...)
		require.NoError(t, err, name)
		_, wire, _ := strings.Cut(strings.TrimPrefix(s.Text(), before), "\r\n")
		require.True(t, strings.HasPrefix(wire, head.String()), "%s: %q is not %q", name, head.String(), wire)
		require.Contains(t, head.String(), "Host: "+s.Addr(), name)
	}
}

func TestTrace_showsTheConnectionOfTheDialerOrTheHandshake(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	for want, s := range map[net.Conn]*wiretest.Server{
		&net.TCPConn{}: wiretest.Serve(t, wiretest.Echo()),
		&tls.Conn{}:    wiretest.ServeTLS(t, authority.Server(t), wiretest.Echo()),
	} {
		var got net.Conn
		resp, err := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted())).
			Get(traced(t, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { got = info.Conn }}), "x")
		require.NoError(t, err)
		require.IsType(t, want, got)
		require.Equal(t, got.RemoteAddr(), resp.Timing().RemoteAddr)
		require.Equal(t, got.LocalAddr(), resp.Timing().LocalAddr)
	}
}

func TestTrace_throughAProxyTheConnectionLeadsToTheProxy(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	e := &events{}
	resp, err := newSession(t, parley.WithProxy(s.URL())).Get(traced(t, e.trace()), "http://a.test/x")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(e.String(), "GetConn "+s.Addr()+"\nConnectStart tcp "+s.Addr()), e)
	require.Equal(t, s.Addr(), resp.Timing().RemoteAddr.String())
}

func TestTrace_eachRequestOfACallIsTold(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.RequestURI == "/a" {
			return "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
		}
		return wiretest.OK(r.RequestURI)
	}))
	e := &events{}
	_, err := sessionTo(t, s).Get(traced(t, e.trace()), "a")
	require.NoError(t, err)
	for _, name := range []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte", "PutIdleConn"} {
		require.Equal(t, 2, e.count(name), name)
	}
	require.Equal(t, 1, e.count("ConnectDone"))
}

// A dial goes on when its request has given up, and is told to that request's trace.
func TestTrace_aDialIsToldToTheRequestThatStartedIt(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	dialling, goOn := make(chan struct{}), make(chan struct{})
	c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}),
		parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			close(dialling)
			<-goOn
			return new(net.Dialer).DialContext(ctx, network, address)
		})))
	first, second := &events{}, &events{}
	ctx, cancel := context.WithCancel(traced(t, first.trace()))
	errs := make(chan error, 2)
	go func() {
		_, err := c.Get(ctx, "1")
		errs <- err
	}()
	<-dialling
	cancel()
	require.ErrorIs(t, <-errs, context.Canceled)
	go func() {
		_, err := c.Get(traced(t, second.trace()), "2")
		errs <- err
	}()
	wiretest.Eventually(t, func() bool { return second.count("GetConn") == 1 }, "the second request is on its way")
	close(goOn)
	require.NoError(t, <-errs)
	require.Equal(t, []int{1, 0, 1}, []int{first.count("GetConn"), first.count("GotConn"), first.count("ConnectDone")})
	require.Equal(t, []int{1, 1, 0}, []int{second.count("GetConn"), second.count("GotConn"), second.count("ConnectDone")})
}

func TestTrace_whyAConnectionIsNotKept(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	why := func(opts parley.PoolLimits, meanwhile func(*parley.Client)) error {
		c := sessionTo(t, s, parley.WithPoolLimits(opts))
		told := errors.New("nothing was told")
		resp, err := c.Stream(traced(t, &httptrace.ClientTrace{PutIdleConn: func(err error) { told = err }}), "GET", "x")
		require.NoError(t, err)
		meanwhile(c)
		_, err = resp.Bytes()
		require.NoError(t, err)
		return told
	}
	nothing := func(*parley.Client) {}
	require.NoError(t, why(parley.PoolLimits{}, nothing))
	require.ErrorContains(t, why(parley.PoolLimits{MaxRequests: 1}, nothing), "max requests")
	require.ErrorIs(t, why(parley.PoolLimits{}, func(c *parley.Client) { c.Close() }), parley.ErrClientClosed)
}

func TestTrace_theErrorOfARequestThatWasNotWritten(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Hold()
		}
	})
	for name, test := range map[string]struct {
		opts []parley.ClientOption
		body io.Reader
		ends bool // the context, soon after the head was written
		want error
	}{
		"the body cannot be read": {body: io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) { return 0, broken })), want: broken},
		"the context ends":        {body: readerFunc(func(p []byte) (int, error) { return len(p), nil }), ends: true, want: context.Canceled},
		"one piece":               {opts: []parley.ClientOption{parley.WithDialer(unwritableDialer)}, want: errUnwritable},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan error, 1)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteHeaders: func() {
				if test.ends {
					time.AfterFunc(10*time.Millisecond, cancel)
				}
			},
			WroteRequest: func(info httptrace.WroteRequestInfo) { told <- info.Err },
		})
		var opts []parley.RequestOption
		if test.body != nil {
			opts = append(opts, parley.WithReader(test.body))
		}
		_, err := sessionTo(t, s, test.opts...).Post(ctx, "x", opts...)
		require.ErrorIs(t, err, test.want, name)
		require.ErrorIs(t, <-told, test.want, name)
		cancel()
	}
}

func TestTrace_anAnswerThatStopsTheUploadIsTold(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil && c.Say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n") {
			c.Hold()
		}
	})
	told := make(chan error, 1)
	ctx := traced(t, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) { told <- info.Err }})
	resp, err := sessionTo(t, s).Post(ctx, "x", parley.WithReader(readerFunc(func(p []byte) (int, error) { return len(p), nil })))
	require.NoError(t, err)
	require.Equal(t, 413, resp.StatusCode)
	require.Error(t, <-told)
}

func TestTrace_aRefused100ContinueSendsNoBody(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		defer ended.Store(true)
		if _, err := c.ReadHead(); err == nil && c.Say("HTTP/1.1 100 Continue\r\n\r\n") {
			_, _ = c.Reader.ReadByte() // recorded, if there is one
		}
	})
	stop := errors.New("stop")
	c := sessionTo(t, s)
	ctx := traced(t, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return stop }})
	_, err := c.Post(ctx, "x", parley.WithText("content"), parley.WithHeader("Expect", "100-continue"), parley.WithExpectTimeout(time.Minute))
	require.ErrorIs(t, err, stop)
	require.NotErrorIs(t, err, parley.ErrNetwork, "it is the caller's own error")
	wiretest.Eventually(t, ended.Load, "the connection is closed")
	require.True(t, strings.HasSuffix(s.Text(), "\r\n\r\n"), "%q", s.Text())
	requireNoneActive(t, c)
}

func TestTrace_hooksMayUseTheSession(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, authority.Server(t), wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return "HTTP/1.1 103 Early Hints\r\n\r\n" + wiretest.OK(r.RequestURI)
	}))
	c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
	var resp *parley.Response
	var err error
	var calls atomic.Int32
	use := func() {
		_, err := c.Get(t.Context(), "inner")
		require.NoError(t, err)
		calls.Add(1)
	}
	resp, err = c.Stream(traced(t, &httptrace.ClientTrace{
		GetConn:              func(string) { use(); c.Pool().CloseIdle() },
		GotConn:              func(httptrace.GotConnInfo) { use() },
		PutIdleConn:          func(error) { use(); require.NoError(t, resp.Close()) },
		GotFirstResponseByte: use,
		Got1xxResponse:       func(int, textproto.MIMEHeader) error { use(); return nil },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { use() },
		WroteHeaders:         use,
		WroteRequest:         func(httptrace.WroteRequestInfo) { use() },
	}), "GET", "outer")
	require.NoError(t, err)
	require.NoError(t, resp.Close(), "with the body unread, but short")
	wiretest.Eventually(t, func() bool { return calls.Load() == 8 }, "all hooks have run")
	requireNoneActive(t, c)
}

func TestTrace_aPanicOfAHookPassesOnAndKeepsNoConnection(t *testing.T) {
	t.Parallel()
	type panicking func(trace *httptrace.ClientTrace, boom func())
	hooks := map[string]panicking{
		"GetConn":              func(t *httptrace.ClientTrace, boom func()) { t.GetConn = func(string) { boom() } },
		"GotConn":              func(t *httptrace.ClientTrace, boom func()) { t.GotConn = func(httptrace.GotConnInfo) { boom() } },
		"PutIdleConn":          func(t *httptrace.ClientTrace, boom func()) { t.PutIdleConn = func(error) { boom() } },
		"GotFirstResponseByte": func(t *httptrace.ClientTrace, boom func()) { t.GotFirstResponseByte = boom },
		"Got1xxResponse": func(t *httptrace.ClientTrace, boom func()) {
			t.Got1xxResponse = func(int, textproto.MIMEHeader) error { boom(); return nil }
		},
		"WroteHeaderField": func(t *httptrace.ClientTrace, boom func()) { t.WroteHeaderField = func(string, []string) { boom() } },
		"WroteHeaders":     func(t *httptrace.ClientTrace, boom func()) { t.WroteHeaders = boom },
		"WroteRequest": func(t *httptrace.ClientTrace, boom func()) {
			t.WroteRequest = func(httptrace.WroteRequestInfo) { boom() }
		},
	}
	for name, hook := range hooks {
		for _, content := range []string{"", "body"} {
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
				return "HTTP/1.1 103 Early Hints\r\n\r\n" + wiretest.OK(content)
			}))
			c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
			trace := &httptrace.ClientTrace{}
			hook(trace, func() { panic("boom") })
			req, err := parley.NewRequest("GET", s.URL())
			require.NoError(t, err)
			for sender, send := range map[string]func(context.Context) (*parley.Response, error){
				"the session": func(ctx context.Context) (*parley.Response, error) { return c.Get(ctx, "x") },
				"the pool":    func(ctx context.Context) (*parley.Response, error) { return c.Pool().Send(ctx, req) },
			} {
				require.PanicsWithValue(t, "boom", func() {
					resp, err := send(traced(t, trace))
					require.NoError(t, err)
					_, err = resp.Bytes()
					require.NoError(t, err)
				}, "%s by %s", name, sender)
				require.Zero(t, c.Stats().Active, "%s by %s", name, sender)
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err, "%s by %s: the only slot is free", name, sender)
			}
		}
	}
}

func TestTrace_aPanicBeforeTheReplayKeepsNoConnection(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err == nil && c.Say(wiretest.OK("x")) {
			_, _ = c.ReadRequest() // and ends
		}
	})
	c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	asked := 0
	ctx := traced(t, &httptrace.ClientTrace{GetConn: func(string) {
		if asked++; asked == 2 {
			panic("boom")
		}
	}})
	req, err := parley.NewRequest("GET", s.URL())
	require.NoError(t, err)
	require.PanicsWithValue(t, "boom", func() { _, _ = c.Pool().Send(ctx, req) })
	require.Zero(t, c.Stats().Active)
	_, err = c.Get(t.Context(), "x")
	require.NoError(t, err, "the only slot is free")
}

func TestTrace_aHookMayEndTheGoroutineOfADial(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	var ended atomic.Int32
	s := wiretest.ServeTLS(t, authority.Server(t), func(c *wiretest.Conn) {
		_, _ = c.Reader.ReadByte()
		ended.Add(1)
	})
	c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
	_, err := c.Get(traced(t, &httptrace.ClientTrace{
		TLSHandshakeDone: func(tls.ConnectionState, error) { runtime.Goexit() },
	}), "x")
	require.ErrorIs(t, err, parley.ErrConnect)
	wiretest.Eventually(t, func() bool { return ended.Load() == 1 }, "the connection is closed")
	require.EqualValues(t, 1, c.Stats().DialErrors)
}

func TestTiming_theFirstByteComesBeforeTheHeadsEnd(t *testing.T) {
	t.Parallel()
	for name, trace := range map[string]bool{"with a trace": true, "without": false} {
		came := make(chan struct{})
		s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
			c.Say("HTTP/1.1 200 OK\r\n")
			if trace {
				<-came
			}
			c.Pause(30 * time.Millisecond)
			return "Content-Length: 0\r\n\r\n"
		}))
		ctx := t.Context()
		if trace {
			ctx = traced(t, &httptrace.ClientTrace{GotFirstResponseByte: func() { close(came) }})
		}
		resp, err := sessionTo(t, s).Get(ctx, "x")
		require.NoError(t, err, name)
		timing := resp.Timing()
		require.Positive(t, timing.FirstByte, name)
		require.LessOrEqual(t, timing.FirstByte, timing.Response, name)
		if trace {
			require.Less(t, timing.FirstByte, timing.Response, name)
		}
	}
}
