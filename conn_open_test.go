package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// openConn opens a connection that ends with the test.
func openConn(t *testing.T, c *parley.Client, url string, opts ...parley.RequestOption) *parley.Conn {
	t.Helper()
	conn, err := c.Open(t.Context(), url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// sendOn sends a GET on a connection and gives the body.
func sendOn(t *testing.T, c *parley.Client, conn *parley.Conn, url string) (string, error) {
	t.Helper()
	req, err := c.NewRequest("GET", url)
	require.NoError(t, err)
	resp, err := conn.Send(t.Context(), req)
	if err != nil {
		return "", err
	}
	return resp.Text()
}

// byNumber answers with the number of the connection and the path.
func byNumber() func(*wiretest.Conn) {
	return wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(fmt.Sprintf("%d %s", c.Index, r.URL.Path))
	})
}

func TestConn_isOneConnectionForItsOwner(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	client := newSession(t, parley.WithBaseURL(server.URL()))
	conn := openConn(t, client, "")
	require.Equal(t, server.Addr(), conn.RemoteAddr().String())
	require.NotNil(t, conn.LocalAddr())
	require.Nil(t, conn.TLS())
	require.Equal(t, "<Conn http://"+server.Addr()+">", conn.String())
	require.Equal(t, 1, client.Stats().Active)
	for i := range 3 {
		got, err := sendOn(t, client, conn, fmt.Sprintf("own%d", i))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("0 /own%d", i), got)
		require.Equal(t, fmt.Sprintf("1 /x%d", i), textOf(t, client, fmt.Sprintf("x%d", i)), "others have theirs")
	}
	one := derive(t, client, parley.WithTransport(conn))
	require.Equal(t, "0 /session", textOf(t, one, "session"))
	require.NoError(t, conn.Err())
	require.NoError(t, conn.Close())
	require.NoError(t, conn.Close())
	require.ErrorIs(t, conn.Err(), parley.ErrConnClosed)
	require.ErrorIs(t, conn.Err(), net.ErrClosed)
	_, err := sendOn(t, client, conn, "late")
	require.ErrorIs(t, err, parley.ErrConnClosed)
	requireNotSent(t, err)
	require.Contains(t, fmt.Sprintf("%v %+v", conn, conn), "[closed]")
	require.Zero(t, client.Stats().Active)
	require.Equal(t, 2, server.Accepted())
}

func TestConn_countsWithinTheLimits(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}), parley.WithTimeouts(parley.Timeouts{Pool: 20 * time.Millisecond}))
	require.Equal(t, "0 /", textOf(t, client, server.URL()))
	conn := openConn(t, client, server.URL())
	got, err := sendOn(t, client, conn, server.URL())
	require.NoError(t, err)
	require.Equal(t, "0 /", got, "an idle one is taken")
	_, err = client.Get(t.Context(), server.URL())
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	_, err = client.Open(t.Context(), server.URL())
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	requireNotSent(t, err)
	client.CloseIdle()
	require.NoError(t, conn.Err())
	require.NoError(t, conn.Close())
	require.Equal(t, "1 /", textOf(t, client, server.URL()))
}

func TestConn_oneRequestAtATime(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	client := newSession(t)
	conn := openConn(t, client, server.URL())
	req, err := client.NewRequest("GET", server.URL()+"/first", parley.WithTimeouts(parley.Timeouts{Pool: 20 * time.Millisecond}))
	require.NoError(t, err)
	first, err := conn.Send(t.Context(), req)
	require.NoError(t, err)
	_, err = conn.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrPoolTimeout)
	require.ErrorContains(t, err, "read its response to the end")
	requireNotSent(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = conn.Send(ended, req)
	require.ErrorIs(t, err, context.Canceled)
	waiting := make(chan error, 1)
	go func() {
		_, err := sendOn(t, client, conn, server.URL()+"/second")
		waiting <- err
	}()
	_, err = first.Text()
	require.NoError(t, err)
	require.NoError(t, <-waiting)
	require.Equal(t, 1, server.Accepted())
}

// What it cannot do it does not do by another connection.
func TestConn_neverConnectsAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		want string // in the error of the request after it
	}{
		"the server says that it was the last": {"/last", "the last response was the last"},
		"the server closes without a word":     {"/cut", "peer closed while idle"},
		"the server says what nobody asked":    {"/chat", "unexpected data while idle"},
	} {
		read, done := make(chan struct{}), make(chan struct{})
		server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
			defer close(done)
			switch r.URL.Path {
			case "/last":
				return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
			case "/cut":
				c.Say(wiretest.OK(""))
				c.Cut()
				return ""
			}
			c.Say(wiretest.OK(""))
			<-read
			c.Say("HTTP/1.1 408 Request Timeout\r\n\r\n")
			return ""
		}))
		client := newSession(t)
		conn := openConn(t, client, server.URL())
		_, err := sendOn(t, client, conn, server.URL()+c.path)
		require.NoError(t, err, name)
		close(read)
		<-done
		_, err = sendOn(t, client, conn, server.URL()+c.path)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorIs(t, err, parley.ErrConnClosed)
		require.ErrorIs(t, err, parley.ErrNetwork)
		requireNotSent(t, err)
		require.Equal(t, 1, server.Accepted(), name)
		require.Zero(t, client.Stats().Active, "it counts no more")
	}
}

func TestConn_failsWithItsRequest(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		if r.URL.Path == "/long" {
			return "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx"
		}
		c.Cut()
		return ""
	}))
	client := newSession(t)
	conn := openConn(t, client, server.URL())
	_, err := sendOn(t, client, conn, server.URL()+"/cut")
	require.ErrorIs(t, err, parley.ErrPeerClosed)
	_, err = sendOn(t, client, conn, server.URL())
	require.ErrorIs(t, err, parley.ErrConnClosed)
	require.Equal(t, 1, server.Accepted())
	require.Zero(t, client.Stats().Replays)

	conn = openConn(t, client, server.URL())
	req, err := client.NewRequest("GET", server.URL()+"/long")
	require.NoError(t, err)
	resp, err := conn.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	_, err = conn.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrConnClosed)

	conn = openConn(t, client, server.URL())
	resp, err = conn.Send(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = resp.Bytes()
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, resp.Close())
	requireNoneActive(t, client)
}

func TestConn_carriesOnlyWhatItWasOpenedFor(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	server := wiretest.ServeTLS(t, ca.Server(t), byNumber())
	other := wiretest.Serve(t, byNumber())
	trusted := parley.WithTLSConfig(ca.Trusted())
	client := newSession(t, trusted)
	conn := openConn(t, client, server.URL())
	require.True(t, conn.TLS().HandshakeComplete)
	got, err := sendOn(t, client, conn, server.URL()+"/x")
	require.NoError(t, err)
	require.Equal(t, "0 /x", got)
	for what, opts := range map[string][]parley.RequestOption{
		"another origin":      {nil},
		"without TLS checked": {parley.WithVerify(false)},
		"a proxy":             {parley.WithProxy("http://proxy.test")},
		"another dialer":      {parley.WithDialer(&net.Dialer{})},
		"an address":          {parley.WithLocalAddr("127.0.0.1")},
	} {
		url := server.URL()
		if opts[0] == nil {
			url, opts = other.URL(), nil
		}
		req, err := client.NewRequest("GET", url, opts...)
		require.NoError(t, err)
		_, err = conn.Send(t.Context(), req)
		require.ErrorIs(t, err, errors.ErrUnsupported, what)
		requireNotSent(t, err)
	}
	require.NoError(t, conn.Err())
	require.Zero(t, other.Accepted())
	_, err = conn.Send(t.Context(), nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}

func TestConn_isHandedOverByAnUpgrade(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			if r.Header.Get("Upgrade") == "" {
				c.Say(wiretest.OK("plain"))
				continue
			}
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			line, _ := c.Reader.ReadString('\n')
			c.Say(line)
			return
		}
	})
	client := newSession(t)
	conn := openConn(t, client, server.URL())
	got, err := sendOn(t, client, conn, server.URL())
	require.NoError(t, err)
	require.Equal(t, "plain", got)
	req, err := client.NewRequest("GET", server.URL(), parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))
	require.NoError(t, err)
	resp, err := conn.Send(t.Context(), req)
	require.NoError(t, err)
	raw, err := resp.Conn()
	require.NoError(t, err)
	defer raw.Close()
	_, err = conn.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrConnClosed)
	require.NoError(t, conn.Close(), "the connection is the upgrade's")
	_, err = fmt.Fprintln(raw, "hello")
	require.NoError(t, err)
	line, err := bufio.NewReader(raw).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
	require.Zero(t, client.Stats().Active)
}

func TestPoolOpen_failures(t *testing.T) {
	t.Parallel()
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	_, err = pool.Open(t.Context(), "ftp://a.test/")
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = pool.Open(t.Context(), "http://"+l.Addr().String())
	require.ErrorIs(t, err, parley.ErrConnect)
	requireNotSent(t, err)
	server := wiretest.Serve(t, byNumber())
	conn, err := pool.Open(t.Context(), server.URL(), parley.WithLocalAddr("127.0.0.1"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, pool.Close())
	_, err = pool.Open(t.Context(), server.URL())
	require.ErrorIs(t, err, parley.ErrClientClosed)
	foreign := newSession(t, parley.WithTransport(parley.TransportFunc(nil)))
	_, err = foreign.Open(t.Context(), server.URL())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = foreign.Warm(t.Context(), server.URL(), 1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	foreign.CloseIdle()
}

func TestConn_tellsATraceLikeAPool(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, byNumber())
	client := newSession(t)
	conn := openConn(t, client, server.URL())
	for i := range 2 {
		req, err := client.NewRequest("GET", server.URL())
		require.NoError(t, err)
		resp, err := conn.Send(t.Context(), req)
		require.NoError(t, err)
		_, err = resp.Bytes()
		require.NoError(t, err)
		timing := resp.Timing()
		require.Equal(t, i > 0, timing.Reused)
		require.Equal(t, 1, timing.Attempt)
	}
}
