package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley"
)

const (
	// DefaultProbeInterval is the default of [Probe].Interval.
	DefaultProbeInterval = 5 * time.Second
	// DefaultProbeTimeout is the default of [Probe].Timeout.
	DefaultProbeTimeout = 2 * time.Second
	// maxProbes is how many servers are asked at the same time.
	maxProbes = 16
)

// Probe is how a [Balancer] asks its servers whether they are well.
type Probe struct {
	// URL is what is asked for by GET, below the base: "healthz". "" is the base itself.
	URL string
	// Interval is the time between two rounds, a tenth more or less by chance. Default 5 s.
	Interval time.Duration
	// Timeout is how long a server has to answer. Default 2 s.
	Timeout time.Duration
	// Healthy decides about an answer; it may read the body. Default: a status of 200 to 299.
	Healthy func(resp *parley.Response) bool
	// Options are for each request. Redirects are not followed unless they say so.
	Options []parley.RequestOption
}

// Probe begins to ask each server whether it is well, at once and then at intervals, until
// [Balancer.Close]. c is a session that sends through the balancer, so that probes have
// its TLS settings and credentials.
//
// A server that fails two probes in a row is left out. One that is left out, be it for
// failed requests, is tried by probes alone and not by requests any more: it comes back
// with the first that succeeds once its time has passed. Probes are not counted in Stats,
// but for LastError.
//
// It is an error if the balancer has probes already or is closed, or if c has another base
// URL's origin.
func (b *Balancer) Probe(c *parley.Client, p Probe) error {
	if c == nil || !b.base.owns(c.BaseURL()) {
		return fmt.Errorf("api: probe: the session's base URL is not below %s: probes go through a session of the balancer's (NewClient)", b.base)
	}
	if p.Interval < 0 || p.Timeout < 0 {
		return errors.New("api: probe: Interval and Timeout cannot be less than 0")
	}
	p.Interval = cmp.Or(p.Interval, DefaultProbeInterval)
	p.Timeout = cmp.Or(p.Timeout, DefaultProbeTimeout)
	p.Options = slices.Clone(p.Options)
	if p.Healthy == nil {
		p.Healthy = func(resp *parley.Response) bool { return resp.StatusCode/100 == 2 }
	}
	if _, err := c.NewRequest(http.MethodGet, p.URL, p.Options...); err != nil {
		return fmt.Errorf("api: probe: %w", err)
	}
	b.probing.mu.Lock()
	defer b.probing.mu.Unlock()
	switch {
	case b.lifetime.Err() != nil:
		return errors.New("api: probe: the balancer is closed")
	case b.probing.on:
		return errors.New("api: probe: the balancer has probes already")
	}
	b.probing.on = true
	b.mu.Lock()
	b.fleet.probed = true
	b.mu.Unlock()
	b.probing.loop.Go(func() { b.probeRounds(c, p) })
	return nil
}

// probing is the loop of the probes.
type probing struct {
	mu   sync.Mutex
	on   bool
	loop sync.WaitGroup
}

// probeRounds asks all servers again and again.
func (b *Balancer) probeRounds(c *parley.Client, p Probe) {
	for {
		b.probeRound(c, p)
		wait := time.NewTimer(time.Duration((0.9 + 0.2*rand.Float64()) * float64(p.Interval)))
		select {
		case <-wait.C:
		case <-b.lifetime.Done():
			wait.Stop()
			return
		}
	}
}

// probeRound asks all servers once.
func (b *Balancer) probeRound(c *parley.Client, p Probe) {
	b.mu.Lock()
	members := slices.Clone(b.fleet.members)
	b.mu.Unlock()
	var round sync.WaitGroup
	room := make(chan struct{}, maxProbes)
	for _, m := range members {
		room <- struct{}{}
		round.Go(func() {
			defer func() { <-room }()
			b.probeOne(c, p, m)
		})
	}
	round.Wait()
}

// probeKey is the attribute that makes a request a probe.
type probeKey struct{}

// probeCall is a probe of one server.
type probeCall struct {
	to   *member
	sent atomic.Bool // it has come to the balancer
}

// probeOne asks one server and takes in what it says.
func (b *Balancer) probeOne(c *parley.Client, p Probe, m *member) {
	ctx, cancel := context.WithTimeout(b.lifetime, p.Timeout)
	defer cancel()
	call := &probeCall{to: m}
	opts := append([]parley.RequestOption{parley.WithFollowRedirects(false)}, p.Options...)
	resp, err := c.Stream(ctx, http.MethodGet, p.URL, append(opts, parley.WithAttribute(probeKey{}, call))...)
	if err == nil {
		if !p.Healthy(resp) {
			err = fmt.Errorf("api: probe of %s: %w", m.base, errNotHealthy(resp))
		}
		resp.Close() // what it was closed for has been said
	}
	if b.lifetime.Err() != nil || !call.sent.Load() { // it says nothing of the server
		return
	}
	b.judge(m, func() bool { return b.fleet.probe(m, err, time.Now()) })
}

// errNotHealthy is what a server said that is not well.
func errNotHealthy(resp *parley.Response) error {
	return fmt.Errorf("not healthy: status %d", resp.StatusCode)
}

// sendProbe sends a probe to its server, without counting it.
func (t *balanced) sendProbe(ctx context.Context, req *parley.Request, call *probeCall) (*parley.Response, error) {
	call.sent.Store(true)
	sent, err := call.to.rewritten(req, t.base)
	if err != nil {
		return nil, t.fail(req, err)
	}
	return t.next.Send(ctx, sent)
}
