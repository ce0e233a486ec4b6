package parley_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// whole is a total limit, with time for a handshake on a busy machine.
const whole = 8 * short

// stall is a way for a server to keep a call waiting, in one phase of it.
type stall struct {
	phase  parley.Phase
	sent   parley.Sent
	script func(*wiretest.Conn)
	body   parley.RequestOption
}

// stalls has one for each phase that a server can stretch.
var stalls = map[string]stall{
	"large upload that is not read": {parley.PhaseWrite, parley.MaybeSent, afterHead((*wiretest.Conn).Hold), parley.WithBody(sizedZeros(64 << 20))},
	"no answer":                     {parley.PhaseResponse, parley.MaybeSent, afterHead((*wiretest.Conn).Hold), nil},
	"a byte of the head now and then": {parley.PhaseResponse, parley.Answering, afterHead(func(c *wiretest.Conn) {
		c.Say("H")
		c.Drip("TTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 1000), short/5)
	}), nil},
	"a byte of the body now and then": {parley.PhaseRead, parley.Answering, afterHead(func(c *wiretest.Conn) {
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
		c.Drip(strings.Repeat("x", 1000), short/5)
	}), nil},
}

// overStalls runs a test for each stall on both kinds of line.
func overStalls(t testing.TB, test func(t testing.TB, l line, s stall)) {
	each(t, stalls, func(t testing.TB, s stall) {
		overLines(t, func(t testing.TB, l line) { test(t, l, s) })
	})
}

func (s stall) options() []parley.RequestOption {
	if s.body == nil {
		return nil
	}
	return []parley.RequestOption{s.body}
}

func TestTotal_BoundsEveryPhase(t *testing.T) {
	t.Parallel()
	overStalls(t, func(t testing.TB, l line, s stall) {
		server := l.serve(t, s.script)
		client := l.session(t, parley.Timeouts{Total: whole})
		start := time.Now()
		_, err := client.Put(t.Context(), server.URL(), s.options()...)
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, s.phase, whole, s.sent})
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it was not the caller's context")
		requireNoneActive(t, client)
		require.Zero(t, client.Stats().Idle)
	})
}

func TestTotal_BoundsPoolAndConnect(t *testing.T) {
	t.Parallel()
	l := line{}
	server := l.serve(t, afterHead(func(c *wiretest.Conn) {
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		c.Hold()
	}))
	t.Run("waiting for a connection", func(t *testing.T) {
		t.Parallel()
		client := l.session(t, parley.Timeouts{}, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		busy, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		start := time.Now()
		_, err = client.Get(t.Context(), server.URL(), parley.WithTimeout(short))
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhasePool, short, parley.NotSent})
		require.NoError(t, busy.Close())
		requireNoneActive(t, client)
	})
	t.Run("dialling", func(t *testing.T) {
		t.Parallel()
		dial := newHangingDialer()
		client := l.session(t, parley.Timeouts{Total: short}, parley.WithDialer(dial))
		start := time.Now()
		_, err := client.Get(t.Context(), server.URL())
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhaseConnect, short, parley.NotSent})
		dial.release()
		wiretest.Eventually(t, func() bool { return client.Stats().Dialing == 0 }, "the dial has ended")
	})
	t.Run("handshake", func(t *testing.T) {
		t.Parallel()
		mute := wiretest.Serve(t, (*wiretest.Conn).Hold)
		l := line{wiretest.NewAuthority(t)}
		client := l.session(t, parley.Timeouts{Total: short})
		start := time.Now()
		_, err := client.Get(t.Context(), "https://"+mute.Addr())
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhaseConnect, short, parley.NotSent})
		mute.Close()
		wiretest.Eventually(t, func() bool { return client.Stats().Dialing == 0 }, "the dial has ended")
	})
}

// hangingDialer dials nothing until it is released.
type hangingDialer struct {
	entered, free chan struct{}
}

func newHangingDialer() *hangingDialer {
	return &hangingDialer{entered: make(chan struct{}, 100), free: make(chan struct{})}
}

func (d *hangingDialer) release() { close(d.free) }

func (d *hangingDialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	d.entered <- struct{}{}
	select {
	case <-d.free:
		return nil, errors.New("released")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A stream is bounded up to its head; what is read after that, by Read alone.
func TestTotal_LetsGoOfAStreamAtItsHead(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, func(c *wiretest.Conn) {
			for {
				if _, err := c.ReadHead(); err != nil {
					return
				}
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
				if !c.Drip("slowness", short/3) {
					return
				}
			}
		})
		client := l.session(t, parley.Timeouts{Total: 2 * short})
		resp, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "slowness", string(content))
		req, err := client.NewRequest("GET", server.URL())
		require.NoError(t, err)
		resp, err = client.Send(t.Context(), req)
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err, "Send is bounded like Stream")
		require.Equal(t, 1, server.Accepted(), "the connection was kept")

		start := time.Now()
		_, err = client.Get(t.Context(), server.URL())
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhaseRead, 2 * short, parley.Answering})
	})
}

// Whoever sends without a session, by a pool or a connection of it, is bounded too.
func TestTotal_holdsWithoutASession(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, func(c *wiretest.Conn) {
			for {
				r, err := c.ReadRequest()
				switch {
				case err != nil:
					return
				case r.URL.Path == "/silent":
					c.Hold()
				case !c.Say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n") || !c.Drip("slowness", short/3):
					return
				}
			}
		})
		client := l.session(t, parley.Timeouts{Total: 2 * short})
		one, err := client.Open(t.Context(), server.URL())
		require.NoError(t, err)
		defer one.Close()
		for _, transport := range []parley.Transport{client.Pool(), one} {
			req, err := client.NewRequest("GET", server.URL())
			require.NoError(t, err)
			resp, err := transport.Send(t.Context(), req)
			require.NoError(t, err)
			content, err := io.ReadAll(resp.Body)
			require.NoError(t, err, "what comes after the head is bounded by Read")
			require.Equal(t, "slowness", string(content))
			require.NoError(t, resp.Close())

			req, err = client.NewRequest("GET", server.URL()+"/silent")
			require.NoError(t, err)
			start := time.Now()
			_, err = transport.Send(t.Context(), req)
			requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhaseResponse, 2 * short, parley.MaybeSent})
		}
		require.Equal(t, 2, server.Accepted())
	})
}

// The deadline of the caller's own context is a total timeout, and says whose it was.
func TestTotal_DeadlineOfTheContext(t *testing.T) {
	t.Parallel()
	overStalls(t, func(t testing.TB, l line, s stall) {
		server := l.serve(t, s.script)
		client := l.session(t, parley.Timeouts{})
		ctx, cancel := context.WithTimeout(t.Context(), whole)
		defer cancel()
		start := time.Now()
		_, err := client.Put(ctx, server.URL(), s.options()...)
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, s.phase, 0, s.sent})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		requireNoneActive(t, client)
	})
	t.Run("a stream is bounded to its last byte", func(t *testing.T) {
		t.Parallel()
		l := line{}
		server := l.serve(t, stalls["a byte of the body now and then"].script)
		client := l.session(t, parley.Timeouts{})
		ctx, cancel := context.WithTimeout(t.Context(), whole)
		defer cancel()
		start := time.Now()
		resp, err := client.Stream(ctx, "GET", server.URL())
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhaseRead, 0, parley.Answering})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, resp.Close())
		requireNoneActive(t, client)
	})
	t.Run("one that has passed already", func(t *testing.T) {
		t.Parallel()
		client := line{}.session(t, parley.Timeouts{})
		ctx, cancel := context.WithTimeout(t.Context(), -1)
		defer cancel()
		start := time.Now()
		_, err := client.Get(ctx, "http://127.0.0.1:1/")
		requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, parley.PhasePool, 0, parley.NotSent})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, client.Stats().Dials)
	})
}

// stubborn is a connection without deadlines, as some custom dialers give.
type stubborn struct{ net.Conn }

var errNoDeadlines = errors.New("no deadlines here")

func (stubborn) SetDeadline(time.Time) error      { return errNoDeadlines }
func (stubborn) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (stubborn) SetWriteDeadline(time.Time) error { return errNoDeadlines }

func withoutDeadlines() parley.ClientOption {
	return parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return stubborn{nc}, nil
	}))
}

func TestTimeout_WithoutDeadlines(t *testing.T) {
	t.Parallel()
	kinds := map[parley.Phase]error{
		parley.PhaseWrite: parley.ErrWriteTimeout, parley.PhaseResponse: parley.ErrResponseTimeout,
	}
	overStalls(t, func(t testing.TB, l line, s stall) {
		server := l.serve(t, s.script)
		each(t, map[string]func(t testing.TB){
			"phase": func(t testing.TB) {
				kind := kinds[s.phase]
				if kind == nil {
					return // a read that goes on has no limit of its own
				}
				client := l.session(t, parley.Timeouts{Write: short, Response: short}, withoutDeadlines())
				start := time.Now()
				_, err := client.Put(t.Context(), server.URL(), s.options()...)
				requireLapse(t, err, start, lapse{kind, s.phase, short, s.sent})
				requireCounted(t, client, s.phase)
			},
			"total": func(t testing.TB) {
				client := l.session(t, parley.Timeouts{Total: whole}, withoutDeadlines())
				start := time.Now()
				_, err := client.Put(t.Context(), server.URL(), s.options()...)
				requireLapse(t, err, start, lapse{parley.ErrTotalTimeout, s.phase, whole, s.sent})
				requireNoneActive(t, client)
			},
			"cancelled": func(t testing.TB) {
				client := l.session(t, parley.Timeouts{}, withoutDeadlines())
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(whole, cancel)
				_, err := client.Put(ctx, server.URL(), s.options()...)
				requireCancelled(t, err, s.phase, s.sent)
				requireNoneActive(t, client)
			},
		}, func(t testing.TB, test func(t testing.TB)) { test(t) })
	})
}

func TestTimeout_WithoutDeadlinesReadAndPauses(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, func(c *wiretest.Conn) {
			for {
				if _, err := c.ReadHead(); err != nil {
					return
				}
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
				c.Pause(short / 2)
				if c.Index > 0 {
					c.Hold()
					return
				}
				c.Say("later")
			}
		})
		client := l.session(t, parley.Timeouts{Write: short, Response: short, Read: short}, withoutDeadlines())
		resp, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		first := make([]byte, 2)
		_, err = io.ReadFull(resp.Body, first)
		require.NoError(t, err)
		time.Sleep(3 * short) // nobody waits: no limit passes
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "firstlater", string(first)+string(rest))

		time.Sleep(3 * short / 2) // idle: no limit passes either
		busy, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		require.Equal(t, 1, server.Accepted(), "the connection was used again")
		start := time.Now()
		_, err = client.Get(t.Context(), server.URL())
		requireLapse(t, err, start, lapse{parley.ErrReadTimeout, parley.PhaseRead, short, parley.Answering})
		_, err = io.ReadAll(busy.Body)
		require.NoError(t, err)
	})
}

// A peer that closes while the body is being sent is told from all limits.
func TestPeerClosesDuringTheUpload(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*wiretest.Conn){
		"at once, perhaps before the first byte": func(*wiretest.Conn) {},
		"after the head":                         afterHead(func(*wiretest.Conn) {}),
		"after some of the body":                 afterHead(func(c *wiretest.Conn) { io.CopyN(io.Discard, c.Reader, 1<<20) }),
	}, func(t testing.TB, script func(*wiretest.Conn)) {
		overLines(t, func(t testing.TB, l line) {
			server := l.serve(t, script)
			client := l.session(t, parley.Timeouts{}) // whose limits all are guard
			_, err := client.Post(t.Context(), server.URL(), parley.WithReader(zeros{}))
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, parley.ErrPeerClosed)
			require.ErrorIs(t, err, parley.ErrNetwork)
			require.NotErrorIs(t, err, parley.ErrTimeout)
			require.Equal(t, parley.PhaseWrite, e.Phase)
			require.NotEqual(t, parley.Answering, e.Sent)
			requireNoneActive(t, client)
		})
	})
}
