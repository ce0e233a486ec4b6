package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestSent_ofAReplayThatFailedCountsTheFirstTry(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, leavesAtReuse(1, leave))
	var dials atomic.Int64
	c := sessionTo(t, s, parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("no way there")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	})))
	_, err := c.Get(t.Context(), "first")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "second")
	require.ErrorIs(t, err, parley.ErrConnect)
	require.EqualValues(t, 2, dials.Load())
	requireSent(t, err, parley.MaybeSent, "the server has read it on the first connection")
}

// holding is a connection whose writes reach the peer but do not return until it is
// closed or its deadline moves.
type holding struct {
	net.Conn
	armed *atomic.Bool
	quiet chan struct{}
}

func (c *holding) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.armed.Load() {
		<-c.quiet
	}
	return n, err
}

func TestSent_isNotDeniedWhileAWriteGoesOn(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			close(seen)
		}
		c.Hold()
	})
	armed, quiet := new(atomic.Bool), make(chan struct{})
	armed.Store(true)
	c := sessionTo(t, s, parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		return &holding{nc, armed, quiet}, err
	})))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-seen
		cancel()
	}()
	_, err := c.Post(ctx, "x", parley.WithReader(inParts("content")))
	close(quiet)
	require.ErrorIs(t, err, context.Canceled)
	requireSent(t, err, parley.MaybeSent, "the server has read the head")
}

func TestExchange_aPanicLeavesTheConnectionFree(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 103 Early Hints\r\n\r\n" + wiretest.OK("ok")
	}))
	for name, opt := range map[string]parley.RequestOption{
		"told of an interim answer": parley.WithInformational(func(int, http.Header) { panic("here") }),
		"opening the body":          parley.WithBody(panicky{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := parley.NewPool(parley.PoolConfig{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, pool.Close()) })
			req, err := parley.NewRequest("GET", s.URL(), opt)
			require.NoError(t, err)
			require.PanicsWithValue(t, "here", func() { _, _ = pool.Send(t.Context(), req) })
			require.Zero(t, pool.Stats().Active)
		})
	}
}

// panicky is a body that cannot be opened without harm.
type panicky struct{}

func (panicky) Size() int64                  { return 1 }
func (panicky) ContentType() string          { return "" }
func (panicky) Replayable() bool             { return true }
func (panicky) Open() (io.ReadCloser, error) { panic("here") }

func TestExchange_aResponseThatMiddlewareDropsIsNoticed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("content") }))
	dropping := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			if _, err := next.Send(ctx, req); err != nil {
				return nil, err
			}
			return nil, errors.New("not to my liking")
		})
	}
	c := sessionTo(t, s, parley.WithNetworkMiddleware(dropping))
	_, err := c.Get(t.Context(), "x")
	require.ErrorContains(t, err, "not to my liking")
	wiretest.Eventually(t, func() bool {
		runtime.GC()
		return c.Stats().Leaked == 1 && c.Stats().Active == 0
	}, "the connection is free")
}

func TestReuse_anAnswerTooManyNeverReachesWhoeverWaits(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	for name, cfg := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := strings.Repeat("x", 10_000)
			waiting := make(chan struct{})
			script := wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
				if r.RequestURI != "/first" {
					return wiretest.OK("mine")
				}
				<-waiting
				return wiretest.OK(content) + wiretest.OK("poison")
			})
			var s *wiretest.Server
			if cfg {
				s = wiretest.ServeTLS(t, authority.Server(t), script)
			} else {
				s = wiretest.Serve(t, script)
			}
			c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()), parley.WithPoolLimits(parley.PoolLimits{Hard: 1, Soft: 1}))
			var done sync.WaitGroup
			done.Go(func() {
				_, err := c.Get(t.Context(), "first")
				if err != nil {
					t.Error(err)
				}
			})
			wiretest.Eventually(t, func() bool { return c.Stats().Active == 1 }, "the first is on its way")
			done.Go(func() {
				resp, err := c.Post(t.Context(), "second")
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := resp.Text()
				if text != "mine" {
					t.Errorf("got %q", text)
				}
			})
			wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 1 }, "the second waits")
			close(waiting)
			done.Wait()
		})
	}
}

func requireSent(t testing.TB, err error, want parley.Sent, why string) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.Sent, why)
}

func TestExchange_middlewareMaySendSeveralAtOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("content") }))
	hedging := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			type result struct {
				resp *parley.Response
				err  error
			}
			results := make([]result, 3)
			var all sync.WaitGroup
			for i := range results {
				all.Go(func() { results[i].resp, results[i].err = next.Send(ctx, req) })
			}
			all.Wait()
			for _, r := range results[1:] {
				if r.err == nil {
					r.resp.Close()
				}
			}
			return results[0].resp, results[0].err
		})
	}
	for name, where := range map[string]func(...parley.Middleware) parley.ClientOption{
		"around the session": parley.WithMiddleware, "at the network": parley.WithNetworkMiddleware,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sessionTo(t, s, where(hedging))
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "content", text)
			requireNoneActive(t, c)
		})
	}
}

func TestExchange_aDroppedResponseEndsItsUpload(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n") // of which nothing comes
		}
		c.Rest()
	})
	c := sessionTo(t, s)
	body := mute{make(chan struct{})}
	func() {
		_, err := c.Stream(t.Context(), "POST", "x", parley.WithReader(body))
		require.NoError(t, err)
	}()
	wiretest.Eventually(t, func() bool {
		runtime.GC()
		return c.Stats().Leaked == 1 && c.Stats().Active == 0
	}, "the connection is free")
	<-body.closed
}

// mute is a body that gives nothing until it is closed.
type mute struct{ closed chan struct{} }

func (b mute) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.ErrClosedPipe
}

func (b mute) Close() error {
	close(b.closed)
	return nil
}

func TestCancel_theCauseOfAContextIsNotTakenForTheFailure(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) { c.Hold() })
	for _, kind := range []error{parley.ErrConnectTimeout, parley.ErrClientClosed, parley.ErrTLS, parley.ErrInvalidURL} {
		t.Run(kind.Error(), func(t *testing.T) {
			t.Parallel()
			c := sessionTo(t, s, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}))
			ctx, cancel := context.WithCancelCause(t.Context())
			first := make(chan error)
			go func() {
				_, err := c.Get(ctx, "x")
				first <- err
			}()
			wiretest.Eventually(t, func() bool { return c.Stats().Active == 1 }, "the first has the connection")
			second := make(chan error)
			go func() {
				_, err := c.Get(ctx, "x")
				second <- err
			}()
			wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 1 }, "the second waits")
			cancel(fmt.Errorf("a sister failed: %w", kind))
			for _, errs := range []chan error{second, first} {
				err := <-errs
				require.ErrorIs(t, err, context.Canceled)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Zero(t, e.Limit)
			}
			require.Empty(t, c.Stats().Timeouts)
		})
	}
}

func TestGather_anyLimitIsFine(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	reqs := func(yield func(*parley.Request) bool) {
		for range 5 {
			req, err := c.NewRequest("GET", "x")
			if err != nil || !yield(req) {
				return
			}
		}
	}
	n := 0
	for r := range c.Gather(t.Context(), math.MaxInt, reqs) {
		require.NoError(t, r.Err)
		n++
	}
	require.Equal(t, 5, n)
}

func TestPool_nothingGivenIsAnError(t *testing.T) {
	t.Parallel()
	p, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Send(t.Context(), nil)
	require.Error(t, err)
	req, err := parley.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	//lint:ignore SA1012 that is the case
	_, err = p.Send(nil, req)
	require.Error(t, err)
}

func TestDialer_neitherAConnectionNorAnErrorIsAnError(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) { return nil, nil })))
	_, err := c.Get(t.Context(), "http://a.test/")
	require.ErrorIs(t, err, parley.ErrConnect)
}

// leaving is a body whose Read ends its goroutine.
type leaving struct{}

func (leaving) Read([]byte) (int, error) { runtime.Goexit(); return 0, nil }

func TestUpload_aReadThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) { c.Rest() })
	c := sessionTo(t, s)
	_, err := c.Post(t.Context(), "x", parley.WithReader(leaving{}))
	require.Error(t, err)
	require.False(t, errors.Is(err, io.EOF))
}

func TestTimeout_theLongestIsNone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, answerContent)
	c := sessionTo(t, s, parley.WithPhaseTimeout(math.MaxInt64), parley.WithTimeout(math.MaxInt64), parley.WithExpectTimeout(math.MaxInt64))
	for _, body := range []parley.RequestOption{parley.WithText("content"), parley.WithReader(inParts("con", "tent"))} {
		resp, err := c.Post(t.Context(), "x", body)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "content", text)
	}
}

func TestChunks_anySizeIsFine(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	for b, err := range resp.Chunks(math.MaxInt) {
		require.NoError(t, err)
		require.Equal(t, "/x", string(b))
	}
}

func TestStream_withNoBodyHoldsNoContext(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return "HTTP/1.1 204 No Content\r\n\r\n" }))
	var seen context.Context
	spy := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			seen = ctx
			return next.Send(ctx, req)
		})
	}
	c := sessionTo(t, s, parley.WithMiddleware(spy))
	_, err := c.Stream(t.Context(), "GET", "x", parley.WithTimeout(time.Hour))
	require.NoError(t, err)
	require.Error(t, seen.Err(), "nothing is left that it could end")
}

func TestUpload_ofBytesInChunksMayBeAnsweredEarly(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
		c.Rest()
	})
	c := sessionTo(t, s)
	for range 20 {
		resp, err := c.Post(t.Context(), "x", parley.WithBytes(make([]byte, 1<<20)), parley.WithHeader("Transfer-Encoding", "chunked"))
		require.NoError(t, err)
		require.Equal(t, 413, resp.StatusCode)
	}
}

// lazy is a connection that takes nothing and says nothing of it.
type lazy struct{ net.Conn }

func (lazy) Write([]byte) (int, error) { return 0, nil }

func TestDialer_aConnectionThatTakesNothingIsAnError(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, answerContent)
	c := sessionTo(t, s, parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		return lazy{nc}, err
	})), parley.WithPhaseTimeout(time.Second))
	_, err := c.Post(t.Context(), "x", parley.WithText(strings.Repeat("x", 100)))
	require.ErrorIs(t, err, parley.ErrWrite)
}
