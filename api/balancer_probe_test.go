package api_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func TestBalancer_probes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var health [2]atomic.Int64 // the status of each server's probes; 0: it hangs
		var probes, requests [2]atomic.Int64
		serve := func(i int) parley.Transport {
			health[i].Store(204)
			return parley.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/healthz" {
					requests[i].Add(1)
					return
				}
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Error("a probe has what requests have")
				}
				probes[i].Add(1)
				status := int(health[i].Load())
				if status == 0 {
					<-r.Context().Done()
					return
				}
				w.WriteHeader(status)
			}))
		}
		var changes []api.ServerStats
		b := newBalancer(t, logicalBase, api.BalancerConfig{
			Servers:  api.Servers("http://s0.test/v1", "http://s1.test/v1"),
			OnChange: func(s api.ServerStats) { changes = append(changes, s) },
		})
		c := balancedClient(t, b, parley.WithBearerToken("secret"),
			parley.WithMount("http://s0.test", serve(0)), parley.WithMount("http://s1.test", serve(1)))
		require.NoError(t, b.Probe(c, api.Probe{URL: "healthz", Interval: 10 * time.Second, Timeout: time.Second}))
		synctest.Wait()
		require.EqualValues(t, 1, probes[0].Load(), "they begin at once")
		time.Sleep(time.Minute)
		require.InDelta(t, 7, probes[0].Load(), 1)

		for _, status := range []int64{503, 302, 0} {
			health[0].Store(status)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			require.True(t, b.Stats()[0].Out, "after two that failed")
			require.Error(t, b.Stats()[0].LastError)
			before := requests[0].Load()
			for range 10 {
				_, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
			}
			require.Equal(t, before, requests[0].Load(), "no request tries it")
			health[0].Store(200)
			time.Sleep(15 * time.Second)
			synctest.Wait()
			require.False(t, b.Stats()[0].Out, "after one that succeeded")
		}
		require.Len(t, changes, 6)
		require.EqualValues(t, 30, requests[0].Load()+requests[1].Load())
		require.EqualValues(t, 30, b.Stats()[1].Requests, "probes are not counted")

		require.NoError(t, b.Close())
		before := probes[0].Load()
		time.Sleep(time.Hour)
		require.Equal(t, before, probes[0].Load())
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err, "requests can still be sent")
	})
}

func TestBalancer_healthyDecidesAboutProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)})
		c := balancedClient(t, b, parley.WithTransport(f))
		var says atomic.Bool
		require.NoError(t, b.Probe(c, api.Probe{
			Healthy: func(resp *parley.Response) bool {
				text, err := resp.Text()
				return err == nil && text == "ok" && says.Load()
			},
			Options: []parley.RequestOption{parley.WithQuery("deep", "1")},
		}))
		time.Sleep(time.Minute)
		require.True(t, b.Stats()[0].Out)
		require.Equal(t, "deep=1", f.last().URL.RawQuery)
		says.Store(true)
		time.Sleep(time.Minute)
		require.False(t, b.Stats()[0].Out)
	})
}

func TestBalancer_probesThatCannotWork(t *testing.T) {
	t.Parallel()
	f := newFarm()
	b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)})
	c := balancedClient(t, b, parley.WithTransport(f))
	other, err := parley.New(parley.WithBaseURL("http://other.test"), parley.WithTransport(f))
	require.NoError(t, err)
	require.Error(t, b.Probe(nil, api.Probe{}))
	require.ErrorContains(t, b.Probe(other, api.Probe{}), "NewClient")
	require.Error(t, b.Probe(c, api.Probe{Interval: -1}))
	require.ErrorIs(t, b.Probe(c, api.Probe{URL: "//x"}), parley.ErrInvalidURL)
	require.NoError(t, b.Probe(c, api.Probe{}))
	require.ErrorContains(t, b.Probe(c, api.Probe{}), "already")
	require.NoError(t, b.Close())
	require.ErrorContains(t, b.Probe(c, api.Probe{}), "closed")
}

// A session that does not send through the balancer says nothing of its servers.
func TestBalancer_probesThatDoNotReachIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		f.set("logical.test", refuses)
		b := newBalancer(t, logicalBase, api.BalancerConfig{Servers: api.Servers(f.urls(1)...)})
		c, err := parley.New(parley.WithBaseURL(logicalBase), parley.WithTransport(f))
		require.NoError(t, err)
		require.NoError(t, b.Probe(c, api.Probe{}))
		time.Sleep(time.Minute)
		require.False(t, b.Stats()[0].Out)
	})
}
