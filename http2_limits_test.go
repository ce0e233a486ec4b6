package parley_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// silentHTTP2 gives sessions one connection by HTTP/2 whose peer takes everything, says its
// settings and nothing else.
func silentHTTP2(t *testing.T) (c *parley.Client, dials *int) {
	t.Helper()
	dials = new(int)
	c, err := parley.New(
		parley.WithBaseURL("http://a.test"), parley.WithHTTP2(parley.H2C), parley.WithEnv(false),
		parley.WithHTTP2Settings(parley.HTTP2Settings{PingAfter: -1}),
		parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) {
			*dials++
			peer := newCannedHTTP2()
			peer.silent = true
			return peer, nil
		})))
	require.NoError(t, err)
	return c, dials
}

func TestHTTP2_limitsOfStreamsOnOneConnectionAreEachTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dials := silentHTTP2(t)
		defer c.Close()
		start := time.Now()
		type end struct {
			path string
			at   time.Duration
			err  error
		}
		ends := make(chan end, 8)
		ask := func(path string, limit time.Duration) {
			_, err := c.Get(t.Context(), path, parley.WithTimeouts(parley.Timeouts{Response: limit}))
			ends <- end{path, time.Since(start), err}
		}
		go ask("/first", 20*time.Second) // it opens the connection
		synctest.Wait()
		for path, limit := range map[string]time.Duration{"/3": 3 * time.Second, "/1": time.Second, "/2": 2 * time.Second, "/1h": time.Hour} {
			go ask(path, limit)
		}
		time.Sleep(500 * time.Millisecond)
		go ask("/soon", 200*time.Millisecond) // before what was the next to end
		want := []end{
			{"/soon", 700 * time.Millisecond, nil}, {"/1", time.Second, nil}, {"/2", 2 * time.Second, nil},
			{"/3", 3 * time.Second, nil}, {"/first", 20 * time.Second, nil}, {"/1h", time.Hour, nil},
		}
		for _, w := range want {
			got := <-ends
			require.ErrorIs(t, got.err, parley.ErrResponseTimeout)
			require.Equal(t, w, end{got.path, got.at, nil})
		}
		require.Equal(t, 1, *dials)
	})
}

func TestHTTP2_limitsThatWereLiftedEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := silentHTTP2(t)
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := c.Get(ctx, "/", parley.WithTimeouts(parley.Timeouts{Response: time.Second}))
			gone <- err
		}()
		stays := make(chan error, 1)
		go func() {
			_, err := c.Get(t.Context(), "/", parley.WithTimeouts(parley.Timeouts{Response: time.Minute}))
			stays <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		start := time.Now()
		require.ErrorIs(t, <-stays, parley.ErrResponseTimeout)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestHTTP2_ADroppedResponseIsNoticed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ends bool // the stream, before the response is dropped
		opts []parley.RequestOption
	}{
		"though its stream goes on": {false, nil},
		"with a request's body":     {true, []parley.RequestOption{parley.WithText("body")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servePeer(t, []http2.Setting{}, func(p *peer) {
				stream, _ := p.request()
				p.head(stream, false, ":status", "200")
				p.WriteData(stream, test.ends, []byte("body"))
				p.rest()
			})
			c := peerSession(t, s)
			func() {
				resp, err := c.Stream(t.Context(), "POST", "/", test.opts...)
				require.NoError(t, err)
				_, err = resp.Body.Read(make([]byte, 2))
				require.NoError(t, err)
			}()
			wiretest.Eventually(t, func() bool {
				runtime.GC()
				return c.Stats().Leaked == 1 && c.Stats().Active == 0
			}, "the stream is given up")
		})
	}
}
