package integration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// nginxH2 starts nginx with testdata/nginx-h2.conf.
func nginxH2(t *testing.T, o *origin) *peer.Peer {
	t.Helper()
	return peer.Start(t, peer.Program{
		Command: "nginx",
		Package: "nginx",
		Args:    []string{"-e", "{{dir}}/error.log", "-p", "{{dir}}", "-c", "{{dir}}/nginx.conf"},
		Files:   o.files(t, map[string]string{"nginx.conf": config(t, "nginx-h2.conf")}),
		Values:  map[string]string{"Bin": o.plain.Listener.Addr().String()},
	})
}

// onlyHTTP2 makes a session for a port where a peer is https://site.test by HTTP/2.
func (o *origin) onlyHTTP2(t *testing.T, p *peer.Peer, port string, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	opts = append([]parley.ClientOption{parley.WithBaseURL("https://site.test"), o.trust(), siteAt(p.Addr(port)), parley.WithHTTP2(parley.HTTP2Required)}, opts...)
	return session(t, opts...)
}

// uploads sends bodies, each from one of a number of goroutines, and gives the first
// error.
func uploads(ctx context.Context, c *parley.Client, atOnce, count, size int) error {
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i := range count {
		body := []byte(strings.Repeat(fmt.Sprintf("%07d\n", i), size/8))
		all.Go(func() error {
			got, err := parley.As[string](c.Put(ctx, "large", parley.WithBytes(body)))
			if want := fmt.Sprintf("%x", sha256.Sum256(body)); err == nil && got != want {
				return fmt.Errorf("upload %d: got %q, not %q", i, got, want)
			}
			return err
		})
	}
	return all.Wait()
}

// showStats tells what it took.
func showStats(t *testing.T, c *parley.Client) parley.PoolStats {
	t.Helper()
	s := c.Stats()
	t.Logf("%d dials, %d reuses, %d replays, closed: %v", s.Dials, s.Reuses, s.Replays, s.Closed)
	return s
}

func TestNginxGoesAwayAfterTenRequests(t *testing.T) {
	o := newOrigin(t)
	p := nginxH2(t, o)
	const count = 200
	for name, tt := range map[string]struct {
		do    func(c *parley.Client) error
		least int64 // connections
	}{
		"one after the other":      {func(c *parley.Client) error { return crowd(t, c, 1, count, "hello", "hello") }, count / 11},
		"all at once":              {func(c *parley.Client) error { return crowd(t, c, count, count, "hello", "hello") }, 2},
		"ten at once":              {func(c *parley.Client) error { return crowd(t, c, 10, count, "hello", "hello") }, 2},
		"uploads one by one":       {func(c *parley.Client) error { return uploads(t.Context(), c, 1, 50, 100_000) }, 50 / 11},
		"uploads, ten at once":     {func(c *parley.Client) error { return uploads(t.Context(), c, 10, count, 20_000) }, 2},
		"uploads, all at once":     {func(c *parley.Client) error { return uploads(t.Context(), c, count, count, 2_000) }, 2},
		"large uploads, ten of 30": {func(c *parley.Client) error { return uploads(t.Context(), c, 10, 30, 300_000) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := o.onlyHTTP2(t, p, "few")
			require.NoError(t, tt.do(c))
			stats := showStats(t, c)
			require.GreaterOrEqual(t, stats.Dials, tt.least)
		})
	}
}

func TestNginxTakesFourAtOnce(t *testing.T) {
	o := newOrigin(t)
	p := nginxH2(t, o)
	for name, limits := range map[string]parley.PoolLimits{"as many connections as it takes": {}, "two connections": {Soft: 2, Hard: 2}} {
		t.Run(name, func(t *testing.T) {
			c := o.onlyHTTP2(t, p, "four", parley.WithPoolLimits(limits))
			require.NoError(t, crowd(t, c, 64, 256, "hello", "hello"))
			require.NoError(t, uploads(t.Context(), c, 64, 64, 10_000))
			stats := showStats(t, c)
			if limits.Hard > 0 {
				require.LessOrEqual(t, stats.Dials, int64(limits.Hard))
			}
			require.Zero(t, stats.Replays, "nginx is never asked for more than it takes")
		})
	}
}

func TestNginxEndsIdleConnectionsOfHTTP2(t *testing.T) {
	o := newOrigin(t)
	p := nginxH2(t, o)
	c := o.onlyHTTP2(t, p, "short")
	tick := time.NewTicker(20 * time.Millisecond) // nginx's limit
	defer tick.Stop()
	for range 30 {
		<-tick.C
		require.NoError(t, crowd(t, c, 4, 4, "hello", "hello"))
	}
	showStats(t, c)
}

// patience is for servers that take themselves up again on a busy machine.
const patience = 20 * time.Second

// load keeps requests and uploads coming until it is told to stop.
type load struct {
	all  errgroup.Group
	done atomic.Int64
	stop chan struct{}
	bad  atomic.Bool // one of them failed
}

func startLoad(ctx context.Context, c *parley.Client, atOnce int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range atOnce {
		l.all.Go(func() error {
			for {
				select {
				case <-l.stop:
					return nil
				default:
				}
				if err := l.once(ctx, c, i%4 == 0); err != nil {
					l.bad.Store(true)
					return err
				}
				l.done.Add(1)
			}
		})
	}
	return l
}

func (l *load) once(ctx context.Context, c *parley.Client, upload bool) error {
	if upload {
		return uploads(ctx, c, 1, 1, 50_000)
	}
	text, err := parley.As[string](c.Get(ctx, "hello"))
	if err == nil && text != "hello" {
		err = fmt.Errorf("got %q", text)
	}
	return err
}

// until waits for something to happen to the load.
func (l *load) until(t *testing.T, happens func() bool, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return happens() || l.bad.Load() }, patience, 5*time.Millisecond, what)
	if l.bad.Load() {
		require.NoError(t, l.end())
	}
}

// goesOn waits until the load has been served a number of times more.
func (l *load) goesOn(t *testing.T, times int64) {
	t.Helper()
	goal := l.done.Load() + times
	l.until(t, func() bool { return l.done.Load() >= goal }, "the load is served")
}

// end stops the load, and gives the first error of all requests.
func (l *load) end() error {
	close(l.stop)
	return l.all.Wait()
}

func TestNginxIsReloadedUnderLoad(t *testing.T) {
	o := newOrigin(t)
	p := nginxH2(t, o)
	c := o.onlyHTTP2(t, p, "main")
	reloadUnderLoad(t, c, func() { p.Signal(t, syscall.SIGHUP) })
}

func TestHAProxyIsReloadedUnderLoad(t *testing.T) {
	o := newOrigin(t)
	p := haproxy(t, o)
	c := o.onlyHTTP2(t, p, "h2")
	reloadUnderLoad(t, c, func() {
		loads := func() int { return countMatches(p.Lines(t, "output.log"), "Loading success") }
		before := loads()
		var asked time.Time
		require.Eventually(t, func() bool {
			if time.Since(asked) > 500*time.Millisecond { // HAProxy does not hear while it takes itself up
				p.Signal(t, syscall.SIGUSR2)
				asked = time.Now()
			}
			return loads() > before
		}, patience, 5*time.Millisecond, "HAProxy has taken itself up again")
	})
}

func countMatches(lines []string, part string) int {
	count := 0
	for _, line := range lines {
		if strings.Contains(line, part) {
			count++
		}
	}
	return count
}

// reloadUnderLoad has a server take itself up again some times, while it is kept busy.
func reloadUnderLoad(t *testing.T, c *parley.Client, reload func()) {
	t.Helper()
	l := startLoad(t.Context(), c, 16)
	for range 3 {
		l.goesOn(t, 50)
		before := c.Stats().Dials
		reload() // returns before or after the connection is given up
		l.until(t, func() bool { return c.Stats().Dials > before }, "connections to what was there before are left")
	}
	l.goesOn(t, 50)
	require.NoError(t, l.end())
	showStats(t, c)
}

// TestHAProxyStopsSoftly shows that what was asked for before is answered to its end, and
// that what comes later has not been seen by anybody.
func TestHAProxyStopsSoftly(t *testing.T) {
	o := newOrigin(t)
	p := haproxy(t, o)
	c := o.onlyHTTP2(t, p, "h2")
	var open []*parley.Response
	for range 6 {
		resp, err := c.Stream(t.Context(), http.MethodGet, "large")
		require.NoError(t, err)
		defer resp.Close()
		open = append(open, resp)
	}
	p.Signal(t, syscall.SIGUSR1)
	var late *parley.Error
	wiretest.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "hello")
		return errors.As(err, &late)
	}, "HAProxy takes no more connections")
	require.ErrorIs(t, late, parley.ErrConnect)
	require.Equal(t, parley.NotSent, late.Sent)
	for _, resp := range open {
		sum := sha256.New()
		_, err := io.Copy(sum, resp.Body)
		require.NoError(t, err)
		require.Equal(t, largeDigest(), fmt.Sprintf("%x", sum.Sum(nil)))
		require.NoError(t, resp.Close())
	}
}
