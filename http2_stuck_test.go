package parley_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// counting is a body without end, of which the bytes are counted.
type counting struct{ n atomic.Int64 }

func (z *counting) Read(p []byte) (int, error) {
	z.n.Add(int64(len(p)))
	return len(p), nil
}

// A server that takes nothing any more from one request holds up no other for longer than
// that one's own limits say, although all that is written goes one way.
func TestHTTP2_AServerThatTakesNothing(t *testing.T) {
	t.Parallel()
	const much = 1 << 20
	for name, test := range map[string]struct {
		data int  // that comes of the response that is looked at
		end  bool // and is all of it
		do   func(t *testing.T, ctx context.Context, cancel context.CancelFunc, resp *parley.Response)
	}{
		"a body that is closed": {much, false, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			require.NoError(t, resp.Close())
		}},
		"a body that is closed with its end": {10, true, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			require.NoError(t, resp.Close())
		}},
		"a body that is closed while it is read": {0, false, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			time.AfterFunc(10*time.Millisecond, func() { resp.Close() })
			_, err := io.ReadAll(resp.Body)
			require.Error(t, err)
		}},
		"a body that is read": {10, true, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Len(t, body, 10)
		}},
		"a limit": {0, false, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			_, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, parley.ErrReadTimeout)
		}},
		"a limit, though there is much to read": {much, false, func(t *testing.T, _ context.Context, _ context.CancelFunc, resp *parley.Response) {
			_, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, parley.ErrReadTimeout)
		}},
		"a context that ends": {0, false, func(t *testing.T, _ context.Context, cancel context.CancelFunc, resp *parley.Response) {
			time.AfterFunc(10*time.Millisecond, cancel)
			_, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, context.Canceled)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guardTime)
			stuck := make(chan struct{})
			s := servePeer(t, []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}}, func(p *peer) {
				p.WriteWindowUpdate(0, 1<<30)
				first, _ := p.request()
				p.head(first, false, ":status", "200")
				p.request() // and reads nothing of its body
				select {
				case <-stuck:
				case <-p.conn.Ending():
					return
				}
				for left := test.data; left > 0; left -= 10 << 10 {
					p.WriteData(first, false, make([]byte, min(left, 10<<10)))
				}
				if test.end {
					p.WriteData(first, true, nil)
				}
				p.conn.Hold()
			})
			c := peerSession(t, s, parley.WithTimeouts(parley.Timeouts{Read: 300 * time.Millisecond}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, err := c.Stream(ctx, "GET", "looked-at")
			require.NoError(t, err)
			body := &counting{}
			uploading, stop := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() {
				_, err := c.Post(uploading, "stuck", parley.WithReader(body))
				over <- err
			}()
			seen := int64(0)
			wiretest.Eventually(t, func() bool {
				time.Sleep(20 * time.Millisecond)
				before := seen
				seen = body.n.Load()
				return seen > 0 && seen == before
			}, "the upload is stuck")
			close(stuck)
			test.do(t, ctx, cancel, resp)
			stop()
			require.Error(t, <-over)
		})
	}
}

// A server that allows no streams is not dialled again and again.
func TestHTTP2_AServerThatAllowsNoStreams(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	s := servePeer(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 0}}, (*peer).rest)
	c := peerSession(t, s, parley.WithTimeouts(parley.Timeouts{Pool: 200 * time.Millisecond, Response: 200 * time.Millisecond}))
	for range 3 {
		_, err := c.Get(t.Context(), "")
		if !errors.Is(err, parley.ErrTimeout) { // it was sent before the server had said so
			require.ErrorIs(t, err, parley.ErrNetwork)
		}
	}
	require.LessOrEqual(t, s.Accepted(), 6)
}
