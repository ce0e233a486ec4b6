package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func TestBalancer_whatCountsAgainstAServer(t *testing.T) {
	t.Parallel()
	on := func(f func(*parley.Response, error) bool) func(*parley.Response, error) bool { return f }
	for name, test := range map[string]struct {
		answer func(*parley.Request) (*parley.Response, error)
		failed func(*parley.Response, error) bool
		times  int // after so many it is left out; 0: never
	}{
		"a connection that did not come about":  {refuses, nil, 1},
		"one that took too long":                {fails(parley.NotSent, parley.PhaseConnect, parley.ErrConnectTimeout), nil, 1},
		"a handshake that failed":               {fails(parley.NotSent, parley.PhaseConnect, parley.ErrTLS), nil, 1},
		"no answer in time":                     {fails(parley.MaybeSent, parley.PhaseResponse, parley.ErrResponseTimeout), nil, 3},
		"a deadline of the call's":              {fails(parley.MaybeSent, parley.PhaseResponse, parley.ErrTotalTimeout), nil, 3},
		"a connection that broke":               {fails(parley.MaybeSent, parley.PhaseResponse, parley.ErrPeerClosed), nil, 3},
		"an answer that is no HTTP":             {fails(parley.Answering, parley.PhaseResponse, parley.ErrRemoteProtocol), nil, 3},
		"502":                                   {says(502), nil, 3},
		"503":                                   {says(503), nil, 3},
		"504":                                   {says(504), nil, 3},
		"503 with a time":                       {says(503, "Retry-After", "1"), nil, 1},
		"503 with a date":                       {says(503, "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), nil, 1},
		"503 with a date of the past":           {says(503, "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), nil, 3},
		"503 with no time":                      {says(503, "Retry-After", "soon"), nil, 3},
		"not 500":                               {says(500), nil, 0},
		"not 429":                               {says(429, "Retry-After", "1"), nil, 0},
		"not a full pool":                       {fails(parley.NotSent, parley.PhasePool, parley.ErrPoolTimeout), nil, 0},
		"not a request that cannot be sent":     {fails(parley.NotSent, parley.PhaseRequest, parley.ErrInvalidHeader), nil, 0},
		"not a body that cannot be read":        {fails(parley.MaybeSent, parley.PhaseWrite, errors.New("reading the request body")), nil, 0},
		"not a cancelled call":                  {fails(parley.MaybeSent, parley.PhaseResponse, context.Canceled), nil, 0},
		"an error of a foreign transport":       {func(*parley.Request) (*parley.Response, error) { return nil, errors.New("no") }, nil, 3},
		"what is said to":                       {says(500), on(func(r *parley.Response, _ error) bool { return r != nil && r.StatusCode == 500 }), 3},
		"not what is said not to":               {refuses, on(func(*parley.Response, error) bool { return false }), 0},
		"a cancelled call whatever is said":     {fails(parley.MaybeSent, parley.PhaseResponse, context.Canceled), on(func(*parley.Response, error) bool { return true }), 0},
		"all connections that did not, as said": {refuses, on(func(_ *parley.Response, err error) bool { return errors.Is(err, parley.ErrConnect) }), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm()
			f.set("s0.test", test.answer)
			var changes []api.ServerStats
			b := newBalancer(t, logicalBase, api.BalancerConfig{
				Servers: api.Servers(f.urls(1)...), Failed: test.failed, OnChange: func(s api.ServerStats) { changes = append(changes, s) },
			})
			c := balancedClient(t, b, parley.WithTransport(f))
			for i := range max(test.times, 5) {
				require.Equal(t, test.times > 0 && i >= test.times, b.Stats()[0].Out, "after %d", i)
				_, _ = c.Get(t.Context(), "x") // what it gives is the subject of other tests
			}
			s := b.Stats()[0]
			require.Equal(t, test.times > 0, s.Out)
			require.Len(t, changes, min(test.times, 1))
			if s.Out {
				require.True(t, changes[0].Out)
				require.Equal(t, 1, changes[0].Ejections)
			}
			require.Zero(t, s.Active)
			require.Equal(t, uint64(max(test.times, 5)), s.Requests)
		})
	}
}

func TestBalancer_retryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		f.set("s0.test", says(503, "Retry-After", "30"))
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(2)...), MoveOn: []int{503}, MaxEject: time.Minute})
		c := balancedClient(t, b, parley.WithTransport(f))
		get := func() {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
		}
		for !b.Stats()[0].Out {
			get()
		}
		f.hosts()
		time.Sleep(29 * time.Second)
		get()
		require.Equal(t, []string{"s1.test"}, f.hosts())
		f.set("s0.test", nil)
		time.Sleep(2 * time.Second)
		get()
		require.Equal(t, []string{"s0.test"}, f.hosts())
		require.False(t, b.Stats()[0].Out)
		require.Equal(t, 1, b.Stats()[0].Ejections)
	})
}

func TestBalancer_aServerThatHangsIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, limited := range map[string]func(context.Context, *parley.Client) error{
		"for a session's timeout": func(ctx context.Context, c *parley.Client) error {
			_, err := c.Get(ctx, "x", parley.WithTimeout(time.Second), api.WithServer("http://s0.test"))
			return err
		},
		"for a context's deadline": func(ctx context.Context, c *parley.Client) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := c.Get(ctx, "x", api.WithServer("http://s0.test"))
			return err
		},
		"but not for those who give up": func(ctx context.Context, c *parley.Client) error {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			_, err := c.Get(ctx, "x", api.WithServer("http://s0.test"))
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			hangs := parley.HandlerTransport(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			b := newBalancer(t, "http://logical.test", api.BalancerConfig{Servers: api.Servers("http://s0.test", "http://s1.test")})
			c := balancedClient(t, b, parley.WithTransport(hangs))
			for range 3 {
				require.False(t, b.Stats()[0].Out, name)
				require.Error(t, limited(t.Context(), c), name)
			}
			require.Equal(t, !strings.HasPrefix(name, "but not"), b.Stats()[0].Out, name)
		})
	}
}
