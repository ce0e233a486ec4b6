package parley_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

const (
	// short is a limit that a test lets pass, and patience how much later than it
	// the call may end on a busy machine.
	short    = 150 * slowness * time.Millisecond
	patience = 5 * time.Second // less than the limits that are not to pass
)

// line makes servers and sessions that talk in clear or over TLS.
type line struct{ authority *wiretest.Authority }

// each runs a test for every row, all at once however many processors there are: what
// they do mostly is to wait.
func each[V any](t testing.TB, rows map[string]V, test func(t testing.TB, row V)) {
	t.Helper()
	var running sync.WaitGroup
	for name, row := range rows {
		running.Go(func() {
			one := &trial{TB: t, name: name}
			defer one.finish()
			test(one, row)
		})
	}
	running.Wait()
}

// trial is one of several tests that share a testing.T.
type trial struct {
	testing.TB
	name     string
	cleanups []func()
}

// Cleanup runs f when the trial has ended, without waiting for the other tests that
// the testing.T has.
func (t *trial) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *trial) finish() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func (t *trial) Name() string { return t.TB.Name() + "/" + t.name }

func (t *trial) Errorf(format string, args ...any) {
	t.Helper()
	t.TB.Errorf("%s: %s", t.name, fmt.Sprintf(format, args...))
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	t.FailNow()
}

// FailNow ends this trial and no other.
func (t *trial) FailNow() {
	t.Fail()
	runtime.Goexit()
}

// overLines runs a test on both kinds of line.
func overLines(t testing.TB, test func(t testing.TB, l line)) {
	t.Helper()
	each(t, map[string]line{"plain": {}, "TLS": {wiretest.NewAuthority(t)}}, test)
}

func (l line) serve(t testing.TB, script func(*wiretest.Conn)) *wiretest.Server {
	t.Helper()
	if l.authority == nil {
		return wiretest.Serve(t, script)
	}
	return wiretest.ServeTLS(t, l.authority.Server(t), script)
}

// session makes a session whose limits are long but for those in limits, so that no
// other limit than the one in question can pass.
func (l line) session(t testing.TB, limits parley.Timeouts, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	opts = append([]parley.ClientOption{parley.WithPhaseTimeout(guard), parley.WithTimeouts(limits)}, opts...)
	if l.authority != nil {
		opts = append(opts, parley.WithTLSConfig(l.authority.Trusted()))
	}
	return newSession(t, opts...)
}

// afterHead is a script that reads the head of a request and goes on with then.
func afterHead(then func(*wiretest.Conn)) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			then(c)
		}
	}
}

// lapse is what a call that ran into a limit has to say.
type lapse struct {
	kind  error
	phase parley.Phase
	limit time.Duration
	sent  parley.Sent
}

var timeoutKinds = []error{
	parley.ErrPoolTimeout, parley.ErrConnectTimeout, parley.ErrWriteTimeout, parley.ErrResponseTimeout,
	parley.ErrReadTimeout, parley.ErrTotalTimeout,
}

// requireLapse checks the error of a call that began at start.
func requireLapse(t testing.TB, err error, start time.Time, want lapse) {
	t.Helper()
	took := time.Since(start)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, want.kind)
	require.ErrorIs(t, err, parley.ErrTimeout)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	for _, kind := range timeoutKinds {
		require.Equal(t, kind == want.kind, errors.Is(err, kind), "matches %v", kind)
	}
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	require.Equal(t, want.phase, e.Phase)
	require.Equal(t, want.limit, e.Limit)
	require.Equal(t, want.sent, e.Sent)
	require.GreaterOrEqual(t, e.Elapsed, want.limit)
	require.LessOrEqual(t, e.Elapsed, took)
	require.Less(t, took, want.limit+patience)
	require.NotErrorIs(t, err, context.Canceled)
}

// requireCounted checks that the pool counted one timeout, and that nothing of the
// call is left in it.
func requireCounted(t testing.TB, c *parley.Client, phase parley.Phase) {
	t.Helper()
	require.Equal(t, map[parley.Phase]int64{phase: 1}, c.Stats().Timeouts)
	requireNoneActive(t, c)
	require.Zero(t, c.Stats().Idle, "a connection that failed is not kept")
}

func TestTimeout_Pool(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			c.Hold()
		}))
		client := l.session(t, parley.Timeouts{Pool: short}, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		busy, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		start := time.Now()
		_, err = client.Get(t.Context(), server.URL())
		requireLapse(t, err, start, lapse{parley.ErrPoolTimeout, parley.PhasePool, short, parley.NotSent})
		require.ErrorContains(t, err, "1 of 1 connections to "+server.Addr()+" in use")
		require.EqualValues(t, 1, client.Stats().PoolTimeouts)
		require.NoError(t, busy.Close())
		requireCounted(t, client, parley.PhasePool)
	})
}

func TestTimeout_Connect(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		client := l.session(t, parley.Timeouts{Connect: short}, parley.WithDialer(parley.DialerFunc(
			func(ctx context.Context, network, address string) (net.Conn, error) {
				<-ctx.Done() // as a peer that does not answer
				return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
			})))
		scheme := "http"
		if l.authority != nil {
			scheme = "https"
		}
		start := time.Now()
		_, err := client.Get(t.Context(), scheme+"://a.test/")
		requireLapse(t, err, start, lapse{parley.ErrConnectTimeout, parley.PhaseConnect, short, parley.NotSent})
		var op *net.OpError
		require.ErrorAs(t, err, &op, "what net says of it stays reachable")
		requireCounted(t, client, parley.PhaseConnect)
	})
}

func TestTimeout_Handshake(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*wiretest.Conn){
		"silent from the start": func(c *wiretest.Conn) { c.Hold() },
		"silent after the hello": func(c *wiretest.Conn) {
			c.Reader.Peek(5)
			c.Hold()
		},
		"a byte now and then": func(c *wiretest.Conn) {
			c.Drip("\x16\x03\x03\x40\x00"+strings.Repeat("\x00", 1000), short/5)
		},
	}, func(t testing.TB, script func(*wiretest.Conn)) {
		server := wiretest.Serve(t, script)
		l := line{wiretest.NewAuthority(t)}
		client := l.session(t, parley.Timeouts{Connect: short})
		start := time.Now()
		_, err := client.Get(t.Context(), "https://"+server.Addr())
		requireLapse(t, err, start, lapse{parley.ErrConnectTimeout, parley.PhaseConnect, short, parley.NotSent})
		require.ErrorContains(t, err, "TLS handshake", "the stage is named")
		requireCounted(t, client, parley.PhaseConnect)
	})
}

// zeros gives endless zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestTimeout_Write(t *testing.T) {
	t.Parallel()
	big := make([]byte, 32<<20)
	each(t, map[string]func() parley.RequestOption{
		"in memory":            func() parley.RequestOption { return parley.WithBytes(big) },
		"of a known length":    func() parley.RequestOption { return parley.WithReader(bytes.NewReader(big)) },
		"of unknown length":    func() parley.RequestOption { return parley.WithReader(zeros{}) },
		"of a type of its own": func() parley.RequestOption { return parley.WithBody(sizedZeros(len(big))) },
	}, func(t testing.TB, body func() parley.RequestOption) {
		overLines(t, func(t testing.TB, l line) {
			server := l.serve(t, afterHead((*wiretest.Conn).Hold))
			client := l.session(t, parley.Timeouts{Write: short})
			start := time.Now()
			_, err := client.Post(t.Context(), server.URL(), body())
			requireLapse(t, err, start, lapse{parley.ErrWriteTimeout, parley.PhaseWrite, short, parley.MaybeSent})
			requireCounted(t, client, parley.PhaseWrite)
		})
	})
}

// sizedZeros is a body of so many zeros that is not in memory.
type sizedZeros int64

func (z sizedZeros) Size() int64       { return int64(z) }
func (sizedZeros) ContentType() string { return "" }
func (sizedZeros) Replayable() bool    { return true }
func (z sizedZeros) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, int64(z))), nil
}

// The answer has begun, but the upload that goes on beside it gets no further.
func TestTimeout_WriteAfterAnEarlyAnswer(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			c.Hold()
		}))
		client := l.session(t, parley.Timeouts{Write: short})
		start := time.Now()
		_, err := client.Post(t.Context(), server.URL(), parley.WithReader(zeros{}))
		requireLapse(t, err, start, lapse{parley.ErrWriteTimeout, parley.PhaseWrite, short, parley.Answering})
		requireCounted(t, client, parley.PhaseWrite)
	})
}

// A peer that takes bytes all the time does not run into the limit, however long
// the whole takes.
func TestTimeout_WriteIsForEachWait(t *testing.T) {
	t.Parallel()
	const size, limit = 16 << 20, 6 * short
	// The kernel says that there is room again when a third of its buffer is free: the
	// smaller that is, the steadier it sees the peer take bytes.
	smallSteps := parley.DialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = nc.(*net.TCPConn).SetWriteBuffer(128 << 10)
		}
		return nc, err
	})
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			piece := make([]byte, size/40)
			for range 40 {
				if _, err := io.ReadFull(c.Reader, piece); err != nil || !c.Pause(short/4) {
					return
				}
			}
			rest, err := io.CopyN(io.Discard, c.Reader, size%40)
			if err == nil && rest == size%40 {
				c.Say(wiretest.OK("all"))
			}
			c.Hold()
		}))
		client := l.session(t, parley.Timeouts{Write: limit}, parley.WithDialer(smallSteps))
		start := time.Now()
		resp, err := client.Post(t.Context(), server.URL(), parley.WithBytes(make([]byte, size)))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "all", text)
		require.Greater(t, time.Since(start), limit, "the test was too quick to show anything")
	})
}

func TestTimeout_Response(t *testing.T) {
	t.Parallel()
	const limit = 4 * short // the server has to have said something
	type way struct {
		sent   parley.Sent
		script func(*wiretest.Conn)
	}
	each(t, map[string]way{
		"accepted and never answered": {parley.MaybeSent, (*wiretest.Conn).Hold},
		"a byte of the head now and then": {parley.Answering, func(c *wiretest.Conn) {
			c.Say("H")
			c.Drip("TTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 1000), short/5)
		}},
		"one line after another": {parley.Answering, func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\n")
			for c.Pause(short/5) && c.Say("X-Line: x\r\n") {
			}
		}},
		"interim answers now and then": {parley.Answering, func(c *wiretest.Conn) {
			for c.Say("HTTP/1.1 103 Early Hints\r\n\r\n") && c.Pause(limit/6) {
			}
		}},
	}, func(t testing.TB, row way) {
		each(t, map[string]parley.RequestOption{
			"no body": parley.WithBody(nil), "large body": parley.WithBytes(make([]byte, 100<<10)),
		}, func(t testing.TB, body parley.RequestOption) {
			overLines(t, func(t testing.TB, l line) {
				server := l.serve(t, func(c *wiretest.Conn) {
					if _, err := c.ReadRequest(); err == nil {
						row.script(c)
					}
				})
				client := l.session(t, parley.Timeouts{Response: limit})
				start := time.Now()
				_, err := client.Post(t.Context(), server.URL(), body)
				requireLapse(t, err, start, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, limit, row.sent})
				requireCounted(t, client, parley.PhaseResponse)
			})
		})
	})
}

// The limit for the answer counts from the end of the request.
func TestTimeout_ResponseDoesNotCountTheUpload(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("all") }))
		client := l.session(t, parley.Timeouts{Response: short})
		body, w := io.Pipe()
		go func() {
			for range 5 {
				time.Sleep(short / 2)
				io.WriteString(w, "piece")
			}
			w.Close()
		}()
		resp, err := client.Post(t.Context(), server.URL(), parley.WithReader(body))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
	})
}

// What middleware does before it sends is no part of any phase.
func TestTimeout_ResponseDoesNotCountMiddleware(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, wiretest.Echo())
		pause := false
		client := l.session(t, parley.Timeouts{Response: short, Write: short}, parley.WithNetworkMiddleware(
			func(next parley.Transport) parley.Transport {
				return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
					if pause {
						time.Sleep(3 * short / 2)
					}
					return next.Send(ctx, req)
				})
			}))
		textOf(t, client, server.URL())
		pause = true
		require.Equal(t, "/late", textOf(t, client, server.URL()+"/late"))
	})
}

func TestTimeout_Read(t *testing.T) {
	t.Parallel()
	each(t, map[string]string{
		"by length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"chunked":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"to close":  "HTTP/1.1 200 OK\r\n\r\nhello",
	}, func(t testing.TB, wire string) {
		overLines(t, func(t testing.TB, l line) {
			server := l.serve(t, afterHead(func(c *wiretest.Conn) {
				c.Say(wire)
				c.Hold()
			}))
			client := l.session(t, parley.Timeouts{Read: short})
			start := time.Now()
			_, err := client.Get(t.Context(), server.URL())
			want := lapse{parley.ErrReadTimeout, parley.PhaseRead, short, parley.Answering}
			requireLapse(t, err, start, want)
			requireCounted(t, client, parley.PhaseRead)

			start = time.Now()
			resp, err := client.Stream(t.Context(), "GET", server.URL())
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.Equal(t, "hello", string(text), "what came is there")
			requireLapse(t, err, start, want)
			_, again := resp.Body.Read(make([]byte, 1))
			require.Equal(t, err, again)
			require.NoError(t, resp.Close())
			requireNoneActive(t, client)
		})
	})
}

// A body that comes slowly but steadily is no timeout, nor is a slow consumer.
func TestTimeout_ReadIsForEachWait(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nfirst")
			c.Drip("then slow", short/4)
			c.Hold()
		}))
		client := l.session(t, parley.Timeouts{Read: 3 * short / 2, Write: short / 2, Response: short})
		resp, err := client.Stream(t.Context(), "GET", server.URL())
		require.NoError(t, err)
		time.Sleep(2 * short) // the consumer's own time counts for nothing
		first := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, first)
		require.NoError(t, err)
		time.Sleep(2 * short)
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "firstthen slow", string(first)+string(rest))
		require.Equal(t, 1, client.Stats().Idle)
	})
}

func TestTimeout_NoTimeout(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
			c.Pause(3 * short / 2)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			c.Pause(3 * short / 2)
			return "late"
		}))
		tight := parley.Timeouts{Response: short, Read: short, Write: short, Total: short}
		none := parley.Timeouts{
			Pool: parley.NoTimeout, Connect: parley.NoTimeout, Write: parley.NoTimeout,
			Response: parley.NoTimeout, Read: parley.NoTimeout, Total: parley.NoTimeout,
		}
		client := l.session(t, tight)
		require.Equal(t, "late", textOf(t, client, server.URL(), parley.WithTimeouts(none)), "a request lifts its session's limits")
		require.Equal(t, "late", textOf(t, derive(t, client, parley.WithTimeouts(none)), server.URL()))
	})
}

func TestTimeout_Inheritance(t *testing.T) {
	t.Parallel()
	client := newSession(t, parley.WithTimeouts(parley.Timeouts{Response: time.Second, Read: parley.NoTimeout}))
	require.Equal(t, parley.Timeouts{
		Pool: parley.DefaultPoolTimeout, Connect: parley.DefaultConnectTimeout, Write: parley.DefaultWriteTimeout,
		Response: time.Second, Read: parley.NoTimeout, Total: parley.NoTimeout,
	}, client.Timeouts(), "a session's word before the defaults")
	require.Equal(t, 3*time.Second, derive(t, client, parley.WithPhaseTimeout(3*time.Second)).Timeouts().Read)
	require.Equal(t, parley.NoTimeout, derive(t, client, parley.WithTimeout(time.Minute)).Timeouts().Read)

	req, err := client.NewRequest("GET", "http://a.test/", parley.WithTimeouts(parley.Timeouts{Read: time.Minute, Pool: parley.NoTimeout}))
	require.NoError(t, err)
	require.Equal(t, parley.Timeouts{
		Pool: parley.NoTimeout, Connect: parley.DefaultConnectTimeout, Write: parley.DefaultWriteTimeout,
		Response: time.Second, Read: time.Minute, Total: parley.NoTimeout,
	}, req.Timeouts, "a request's word before its session's")

	l := line{}
	server := l.serve(t, afterHead((*wiretest.Conn).Hold))
	patient := l.session(t, parley.Timeouts{})
	start := time.Now()
	_, err = patient.Get(t.Context(), server.URL(), parley.WithTimeouts(parley.Timeouts{Response: short}))
	requireLapse(t, err, start, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, short, parley.MaybeSent})
	start = time.Now()
	_, err = derive(t, patient, parley.WithPhaseTimeout(short)).Get(t.Context(), server.URL())
	requireLapse(t, err, start, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, short, parley.MaybeSent})
}
