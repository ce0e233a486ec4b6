package parleytest_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

func TestTimeout_passesTheLimitOfItsPhase(t *testing.T) {
	t.Parallel()
	limits := parley.Timeouts{Pool: time.Minute, Connect: 2 * time.Minute, Write: 3 * time.Minute, Response: 4 * time.Minute, Read: 5 * time.Minute}
	for _, c := range []struct {
		phase parley.Phase
		kind  error
		sent  parley.Sent
		given time.Duration
		usual time.Duration
	}{
		{parley.PhasePool, parley.ErrPoolTimeout, parley.NotSent, limits.Pool, parley.DefaultPoolTimeout},
		{parley.PhaseConnect, parley.ErrConnectTimeout, parley.NotSent, limits.Connect, parley.DefaultConnectTimeout},
		{parley.PhaseWrite, parley.ErrWriteTimeout, parley.MaybeSent, limits.Write, parley.DefaultWriteTimeout},
		{parley.PhaseResponse, parley.ErrResponseTimeout, parley.MaybeSent, limits.Response, parley.DefaultResponseTimeout},
		{parley.PhaseRead, parley.ErrReadTimeout, parley.Answering, limits.Read, parley.DefaultReadTimeout},
	} {
		t.Run(string(c.phase), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mock := parleytest.NewMock(t)
				mock.On("POST", "*").Reply(parleytest.Timeout(c.phase))
				for limit, opts := range map[time.Duration][]parley.RequestOption{c.given: {parley.WithTimeouts(limits)}, c.usual: nil} {
					began := time.Now()
					_, err := mock.Client().Post(t.Context(), "http://h.test/", append(opts, parley.WithText("content"))...)
					require.ErrorIs(t, err, c.kind)
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					require.Equal(t, limit, time.Since(began))
					var e *parley.Error
					require.ErrorAs(t, err, &e)
					require.Equal(t, c.phase, e.Phase)
					require.Equal(t, c.sent, e.Sent)
					require.Equal(t, limit, e.Limit)
					require.Equal(t, limit, e.Elapsed)
					require.Equal(t, 1, e.Attempt)
				}

				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := mock.Client().Post(ctx, "http://h.test/", parley.WithText("content"))
				require.ErrorIs(t, err, context.DeadlineExceeded, "the context ends before")
				require.ErrorIs(t, err, parley.ErrTotalTimeout)
				require.NotErrorIs(t, err, c.kind)
				require.Equal(t, time.Second, time.Since(began))

				began = time.Now()
				_, err = mock.Client().Post(t.Context(), "http://h.test/", parley.WithText("content"), parley.WithTimeout(2*time.Second))
				require.ErrorIs(t, err, parley.ErrTotalTimeout, "Total passes before")
				require.Equal(t, 2*time.Second, time.Since(began))
			})
		})
	}
	t.Run("a phase that has no limit", func(t *testing.T) {
		mock := parleytest.NewMock(t)
		mock.On("GET", "*").Reply(parleytest.Timeout(parley.PhaseDecode))
		_, err := mock.Client().Get(t.Context(), "http://h.test/")
		require.ErrorContains(t, err, "this phase has no limit")
	})
	t.Run("without a limit it waits for the context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			mock := parleytest.NewMock(t)
			mock.On("GET", "*").Reply(parleytest.Timeout(parley.PhaseConnect))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := mock.Client().Get(ctx, "http://h.test/", parley.WithTimeouts(parley.Timeouts{Connect: parley.NoTimeout}))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
}

func TestAfter_delaysAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mock := parleytest.NewMock(t)
		mock.On("GET", "/").Reply(parleytest.After(20*time.Second, parleytest.Text(200, "late")), parleytest.After(time.Hour, parleytest.Fail(parley.ErrConnect)))
		client := mock.Client(parley.WithBaseURL("http://h.test"))
		began := time.Now()
		resp, err := client.Get(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "late", string(must(resp.Bytes())))
		require.Equal(t, 20*time.Second, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		_, err = client.Get(ctx, "")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, time.Since(began), "a delay ends with the context")
		synctest.Wait() // nothing goes on
	})
}

func TestSynctest_aStreamOfEventsWaitsBeforeItConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mock := parleytest.NewMock(t)
		events := func(text string) http.Handler {
			return parleytest.Bytes(200, "text/event-stream", []byte(text))
		}
		route := mock.On("GET", "/prices").Times(4).Reply(
			events("retry: 60000\nid: 7\ndata: first\n\n"), parleytest.Fail(parley.ErrConnect), parleytest.Status(503), events("data: last\n\n"))
		var got []string
		for e, err := range mock.Client(parley.WithBaseURL("http://h.test")).Events(t.Context(), "prices") {
			require.NoError(t, err)
			if got = append(got, e.Data); e.Data == "last" {
				break
			}
		}
		require.Equal(t, []string{"first", "last"}, got)
		calls := route.Calls()
		require.Equal(t, "7", calls[3].Header.Get("Last-Event-ID"))
		for i, longest := range []time.Duration{time.Minute, 2 * time.Minute, 2 * time.Minute} {
			wait := calls[i+1].At.Sub(calls[i].At)
			require.Less(t, wait, 2*longest) // it is jittered
			require.Greater(t, wait, 20*time.Second, "minutes have passed in this bubble, and no time outside")
		}
	})
}

func TestSynctest_idleConnectionsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := parleytest.NewClient(t, parley.WithDialer(parleytest.InMemory(t, parleytest.Text(200, "fine"))), parley.WithBaseURL("http://h.test"))
		get := func() bool {
			resp, err := client.Get(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "fine", string(must(resp.Bytes())))
			return resp.Timing().Reused
		}
		require.False(t, get())
		time.Sleep(89 * time.Second)
		require.True(t, get(), "a connection is kept for 90 s")
		time.Sleep(91 * time.Second)
		require.Zero(t, client.Stats().Idle)
		require.False(t, get(), "and not for longer")
	})
}

func TestSynctest_aPlaceInThePoolIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := parleytest.After(10*time.Second, parleytest.Status(200))
		client := parleytest.NewClient(t, parley.WithDialer(parleytest.InMemory(t, slow)), parley.WithBaseURL("http://h.test"), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		done := make(chan error)
		go func() {
			_, err := client.Get(t.Context(), "")
			done <- err
		}()
		synctest.Wait() // the one connection is in use
		began := time.Now()
		_, err := client.Get(t.Context(), "")
		require.ErrorIs(t, err, parley.ErrPoolTimeout)
		require.Equal(t, parley.DefaultPoolTimeout, time.Since(began))
		require.NoError(t, <-done)
	})
}

func TestSynctest_timeoutsOfThePool(t *testing.T) {
	t.Parallel()
	silent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "some")
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	for path, want := range map[string]struct {
		kind  error
		limit time.Duration
	}{"head": {parley.ErrResponseTimeout, parley.DefaultResponseTimeout}, "body": {parley.ErrReadTimeout, parley.DefaultReadTimeout}} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := parleytest.NewClient(t, parley.WithDialer(parleytest.InMemory(t, silent)), parley.WithBaseURL("http://h.test"))
				began := time.Now()
				_, err := client.Get(t.Context(), path)
				require.ErrorIs(t, err, want.kind)
				require.InDelta(t, want.limit, time.Since(began), float64(time.Second))
			})
		})
	}
}

func TestSynctest_aResolverForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		cache := parley.CachedResolver(resolverFunc(func(context.Context, string, string) ([]netip.Addr, error) {
			asked++
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		}), time.Hour)
		for i, want := range []int{1, 1, 2} {
			_, err := cache.LookupNetIP(t.Context(), "ip", "h.test")
			require.NoError(t, err)
			require.Equal(t, want, asked, i)
			time.Sleep(50 * time.Minute)
		}
	})
}

type resolverFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return f(ctx, network, host)
}
