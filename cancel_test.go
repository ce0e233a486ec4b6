package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// requireCancelled checks the error of a call whose context was cancelled.
func requireCancelled(t testing.TB, err error, phase parley.Phase, sent parley.Sent) {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, parley.ErrTimeout)
	require.NotErrorIs(t, err, parley.ErrNetwork)
	require.False(t, e.Timeout())
	require.Equal(t, phase, e.Phase)
	require.Equal(t, sent, e.Sent)
	require.Zero(t, e.Limit)
}

// cancelDuring makes a call, cancels it once ready holds, and gives its error. The
// call has to end soon after.
func cancelDuring(t testing.TB, ready func() bool, call func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(ctx) }()
	wiretest.Eventually(t, ready, "the call has come to where it is to be cancelled")
	time.Sleep(short / 5) // until it waits there; an earlier cancellation is as good a test
	start := time.Now()
	cancel()
	err := <-ended
	require.Less(t, time.Since(start), patience)
	return err
}

// callOf gives a call of Put.
func callOf(c *parley.Client, url string, opts ...parley.RequestOption) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.Put(ctx, url, opts...)
		return err
	}
}

func TestCancel_OnTheWire(t *testing.T) {
	t.Parallel()
	overStalls(t, func(t testing.TB, l line, s stall) {
		server := l.serve(t, s.script)
		client := l.session(t, parley.Timeouts{})
		request := func() bool {
			// The script answers what it has read of the request, or holds it.
			return strings.Contains(server.Text(), "\r\n\r\n") && client.Stats().Active == 1
		}
		err := cancelDuring(t, request, callOf(client, server.URL(), s.options()...))
		if s.sent == parley.Answering && s.phase == parley.PhaseResponse {
			s.sent = sentOf(t, err) // the first byte may not have come
		}
		requireCancelled(t, err, s.phase, s.sent)
		requireNoneActive(t, client)
		require.Zero(t, client.Stats().Idle)
		require.Empty(t, client.Stats().Timeouts)
	})
}

// sentOf gives what an error says was sent, which must not be nothing.
func sentOf(t testing.TB, err error) parley.Sent {
	t.Helper()
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.NotEqual(t, parley.NotSent, e.Sent)
	return e.Sent
}

func TestCancel_WaitingForTheServersWord(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead((*wiretest.Conn).Hold))
		client := l.session(t, parley.Timeouts{}, parley.WithExpectTimeout(parley.NoTimeout))
		err := cancelDuring(t, func() bool { return strings.Contains(server.Text(), "\r\n\r\n") },
			callOf(client, server.URL(), parley.WithHeader("Expect", "100-continue"), parley.WithText("body")))
		requireCancelled(t, err, parley.PhaseWrite, parley.MaybeSent)
		require.NotContains(t, server.Text(), "body")
		requireNoneActive(t, client)
	})
}

func TestCancel_WaitingForAConnection(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) {
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		c.Hold()
	}))
	client := line{}.session(t, parley.Timeouts{}, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
	busy, err := client.Stream(t.Context(), "GET", server.URL())
	require.NoError(t, err)
	err = cancelDuring(t, func() bool { return client.Stats().Waiting == 1 }, callOf(client, server.URL()))
	requireCancelled(t, err, parley.PhasePool, parley.NotSent)
	require.Equal(t, [2]int{1, 0}, [2]int{client.Stats().Active, client.Stats().Waiting})
	require.NoError(t, busy.Close())
	requireNoneActive(t, client)
}

// A dial whose requester gave up is finished, and its connection serves the next.
func TestCancel_Dialling(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	free := make(chan struct{})
	client := line{}.session(t, parley.Timeouts{}, parley.WithDialer(parley.DialerFunc(
		func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-free:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		})))
	err := cancelDuring(t, func() bool { return client.Stats().Dialing == 1 }, callOf(client, server.URL()))
	requireCancelled(t, err, parley.PhaseConnect, parley.NotSent)
	require.Equal(t, 1, client.Stats().Dialing)
	close(free)
	wiretest.Eventually(t, func() bool { return client.Stats().Idle == 1 }, "the connection is pooled")
	require.Equal(t, "/next", textOf(t, client, server.URL()+"/next"))
	require.Equal(t, 1, server.Accepted())
}

func TestCancel_Handshake(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, (*wiretest.Conn).Hold)
	client := line{wiretest.NewAuthority(t)}.session(t, parley.Timeouts{Connect: 3 * short})
	err := cancelDuring(t, func() bool { return server.Accepted() == 1 }, callOf(client, "https://"+server.Addr()))
	requireCancelled(t, err, parley.PhaseConnect, parley.NotSent)
	wiretest.Eventually(t, func() bool { return client.Stats().Dialing == 0 }, "the dial ends by its own limit")
	require.Zero(t, client.Stats().Idle)
}

func TestCancel_BeforeTheCall(t *testing.T) {
	t.Parallel()
	client := line{}.session(t, parley.Timeouts{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.Get(ctx, "http://127.0.0.1:1/")
	requireCancelled(t, err, parley.PhasePool, parley.NotSent)
	require.Zero(t, client.Stats().Dials)
}

func TestCancel_GivesTheCause(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, afterHead((*wiretest.Conn).Hold))
	client := line{}.session(t, parley.Timeouts{})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(short/2, func() { cancel(io.ErrClosedPipe) })
	_, err := client.Get(ctx, server.URL())
	requireCancelled(t, err, parley.PhaseResponse, parley.MaybeSent)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestCancel_ReadingAStream(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			c.Hold()
		}))
		client := l.session(t, parley.Timeouts{Total: guard})
		read := make(chan struct{}, 1)
		err := cancelDuring(t, func() bool { return len(read) == 1 }, func(ctx context.Context) error {
			resp, err := client.Stream(ctx, "GET", server.URL())
			if err != nil {
				return err
			}
			defer resp.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
				return err
			}
			read <- struct{}{}
			_, err = resp.Body.Read(make([]byte, 5))
			return err
		})
		requireCancelled(t, err, parley.PhaseRead, parley.Answering)
		requireNoneActive(t, client)
		require.Zero(t, client.Stats().Idle)
	})
}

// After an upgrade the connection is the caller's, and the context lets go of it.
func TestCancel_LetsGoAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, c.Reader)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		resp, limit := upgraded(ctx, t, l, server.URL())
		cancel()
		time.Sleep(2 * limit) // no limit holds any more
		raw := resp.Body.(io.ReadWriteCloser)
		_, err := io.WriteString(raw, "ping")
		require.NoError(t, err)
		word := make([]byte, 4)
		_, err = io.ReadFull(raw, word)
		require.NoError(t, err)
		require.Equal(t, "ping", string(word))
		require.NoError(t, raw.Close())
	})
}

// A call that ends while the answer to its upgrade is read has failed: nobody gets a
// connection that is stopped.
func TestCancel_AtTheMomentOfAnUpgrade(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			c.Rest()
		}))
		client := l.session(t, parley.Timeouts{})
		ctx, cancel := context.WithCancel(t.Context())
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: cancel})
		_, err := client.Get(ctx, server.URL(), parley.WithHeader("Connection", "upgrade"), parley.WithHeader("Upgrade", "echo"))
		requireCancelled(t, err, parley.PhaseResponse, parley.Answering)
		requireNoneActive(t, client)
		require.Zero(t, client.Stats().Idle)
	})
}

// upgraded asks for an upgrade under limits that are as short as the machine allows.
func upgraded(ctx context.Context, t testing.TB, l line, url string) (*parley.Response, time.Duration) {
	t.Helper()
	for limit := short; ; limit *= 2 {
		client := l.session(t, parley.Timeouts{Total: limit, Read: limit, Write: limit})
		resp, err := client.Get(ctx, url, parley.WithHeader("Connection", "upgrade"), parley.WithHeader("Upgrade", "echo"))
		if errors.Is(err, parley.ErrTimeout) && limit < guard {
			continue // a handshake alone takes longer here
		}
		require.NoError(t, err)
		return resp, limit
	}
}

// A context that ends at the very moment at which the answer is complete either
// cancels the call or comes too late; whoever gets the connection next never
// notices.
func TestCancel_AtTheMomentOfTheAnswer(t *testing.T) {
	t.Parallel()
	overLines(t, func(t testing.TB, l line) {
		server := l.serve(t, wiretest.Echo())
		client := l.session(t, parley.Timeouts{}, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		start := time.Now()
		require.Equal(t, "/first", textOf(t, client, server.URL()+"/first"))
		// How long a call is left alone follows the end of the calls, however long they take.
		wanted := time.Since(start)
		cancelled, completed := 0, 0
		rounds := 2000
		if l.authority != nil {
			rounds = 150 // each cancelled one costs a handshake
		}
		const enough = 4 * time.Second // on a slow machine
		for i := 0; i < rounds && time.Since(start) < enough; i++ {
			ctx, cancel := context.WithCancel(t.Context())
			after := wanted
			var moment sync.WaitGroup
			moment.Go(func() {
				for start := time.Now(); time.Since(start) < after; {
				}
				cancel()
			})
			target := fmt.Sprintf("/disturbed/%d", i)
			resp, err := client.Get(ctx, server.URL()+target)
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
				cancelled++
				wanted += wanted/16 + time.Microsecond
			} else {
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, target, text)
				completed++
				wanted -= wanted / 16
			}
			target = fmt.Sprintf("/next/%d", i)
			require.Equal(t, target, textOf(t, client, server.URL()+target))
			moment.Wait()
		}
		require.Positive(t, completed, "the moment never came too late")
		require.Positive(t, cancelled, "the moment never came in time")
		requireNoneActive(t, client)
	})
}
