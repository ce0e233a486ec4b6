package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/seed-0474a412/parley"
)

// balanced is the balancer in front of one transport.
type balanced struct {
	*Balancer
	next parley.Transport
}

// Send sends a request to one of the servers, and if that fails to another.
func (t *balanced) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	if ctx == nil || req == nil || !t.base.owns(req.URL) {
		return t.next.Send(ctx, req) // which knows what is wrong, if something is
	}
	if _, ok := t.base.below(req.URL); !ok {
		return nil, t.fail(req, errorKind(parley.ErrInvalidURL, errOutsideBase))
	}
	if m, ok := req.Attribute(probeKey{}).(*probeCall); ok {
		return t.sendProbe(ctx, req, m)
	}
	if pin, ok := req.Attribute(pinKey{}).(string); ok {
		return t.sendTo(ctx, req, pin)
	}
	if err := t.refresh.run(ctx, t.Balancer); err != nil {
		return nil, t.fail(req, err)
	}
	var room [4]*member
	tried := room[:0]
	to, ok := t.take(req, tried)
	if !ok {
		return nil, t.fail(req, ErrNoServer)
	}
	var before error
	for {
		tried = append(tried, to.to)
		resp, err := t.try(ctx, req, to)
		if before != nil && errors.Is(err, parley.ErrBodyNotRewindable) {
			return nil, before // the body had been asked for after all
		}
		if len(tried) >= t.cfg.Tries || ctx.Err() != nil || !t.moves(req, resp, err) {
			return resp, err
		}
		if to, ok = t.take(req, tried); !ok {
			return resp, err
		}
		if resp != nil {
			resp.Close() // that it could not be closed changes nothing for the next
		}
		before = err
	}
}

// sendTo sends a request to the server that it names.
func (t *balanced) sendTo(ctx context.Context, req *parley.Request, url string) (*parley.Response, error) {
	if err := t.refresh.run(ctx, t.Balancer); err != nil {
		return nil, t.fail(req, err)
	}
	t.mu.Lock()
	i := slices.IndexFunc(t.fleet.members, func(m *member) bool { return m.base.String() == url })
	if i < 0 {
		t.mu.Unlock()
		return nil, t.fail(req, errorKind(ErrNoServer, errNotOurs))
	}
	to := t.fleet.take(t.fleet.members[i], time.Now())
	t.mu.Unlock()
	return t.try(ctx, req, to)
}

var errNotOurs = errors.New("the URL given with WithServer is none of its servers'")

// take chooses a server that has not been tried and begins a request to it.
func (t *balanced) take(req *parley.Request, tried []*member) (to ticket, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var room [16]*member
	now := time.Now()
	among := t.fleet.candidates(room[:0], now, tried)
	if len(among) == 0 {
		return ticket{}, false
	}
	if t.cfg.Choose != nil {
		if i := t.choose(req, statsOf(among)); i >= 0 && i < len(among) {
			return t.fleet.take(among[i], now), true
		}
	}
	return t.fleet.take(t.fleet.best(among, now), now), true
}

// choose asks the user's function, without the lock that is held.
func (t *balanced) choose(req *parley.Request, among []ServerStats) int {
	t.mu.Unlock()
	defer t.mu.Lock()
	return t.cfg.Choose(req, among)
}

// try sends a request to one server.
func (t *balanced) try(ctx context.Context, req *parley.Request, to ticket) (_ *parley.Response, err error) {
	answered := false
	defer func() {
		if !answered { // also by a panic
			t.concluded(to, saysNothing, nil, 0)
			t.released(to, nil)
		}
	}()
	sent, err := to.to.rewritten(req, t.base)
	if err != nil {
		return nil, t.fail(req, err)
	}
	asked, err := req.With(to.to.mark)
	if err != nil {
		return nil, err
	}
	resp, err := t.next.Send(ctx, sent)
	if err == nil && resp == nil {
		err = t.fail(req, errNoAnswer)
	}
	answered = true
	v, notBefore := t.verdict(ctx, resp, err)
	t.concluded(to, v, err, notBefore)
	if err != nil {
		t.released(to, nil)
		return nil, err
	}
	resp.Request = asked
	t.base.logical(resp, sent.URL, to.to.base, func(u *url.URL) (string, bool) { return t.belowServer(u, to.to.base) })
	resp.AfterBody(func(err error) {
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			err = nil // the caller's doing
		}
		t.released(to, err)
	})
	return resp, nil
}

var errNoAnswer = errors.New("a transport returned neither a response nor an error")

// belowServer gives what a URL has after the base of the server that it belongs to.
func (b *Balancer) belowServer(u *url.URL, first balancedBase) (string, bool) {
	if rest, ok := first.below(u); ok {
		return rest, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.fleet.members {
		if rest, ok := m.base.below(u); ok {
			return rest, true
		}
	}
	return "", false
}

// concluded takes in what a request says of its server.
func (b *Balancer) concluded(to ticket, v verdict, err error, notBefore time.Duration) {
	b.judge(to.to, func() bool { return b.fleet.answered(to, v, err, time.Now(), notBefore) })
}

// judge takes in what f does with a server, and tells if that is left out or has come back
// by it.
func (b *Balancer) judge(m *member, f func() (changed bool)) {
	var stats ServerStats
	b.mu.Lock()
	changed := f()
	if changed {
		stats = m.stats()
	}
	b.mu.Unlock()
	if changed && b.cfg.OnChange != nil {
		b.cfg.OnChange(stats)
	}
}

func (b *Balancer) released(to ticket, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fleet.released(to, err, time.Now())
}

// verdict gives what an answer or error says of the server, and how long that wants to be
// spared.
func (b *Balancer) verdict(ctx context.Context, resp *parley.Response, err error) (verdict, time.Duration) {
	if err != nil && gaveUp(ctx, err) {
		return saysNothing, 0
	}
	failed := b.cfg.Failed
	if failed == nil {
		failed = serverFailed
	}
	switch bad := failed(resp, err); {
	case !bad && err != nil:
		return saysNothing, 0
	case !bad:
		return saysServing, 0
	case err != nil && notReached(err):
		return saysUnreachable, 0
	case err != nil:
		return saysFailing, 0
	case resp.StatusCode == http.StatusServiceUnavailable:
		wait, _ := retryAfter(resp.Header, time.Now()) // 0: it says nothing
		return saysFailing, wait
	}
	return saysFailing, 0
}

// gaveUp reports whether a call failed as its caller wanted no answer any more. That the
// time for it is over is not that: a session ends the context for this too.
func gaveUp(ctx context.Context, err error) bool {
	late := errors.Is(err, parley.ErrTotalTimeout) || errors.Is(context.Cause(ctx), parley.ErrTotalTimeout)
	return !late && (errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled))
}

// serverFailed is the default of BalancerConfig.Failed.
func serverFailed(resp *parley.Response, err error) bool {
	var e *parley.Error
	switch {
	case err == nil:
		return resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout
	case !errors.As(err, &e): // of somebody else's transport
		return true
	case e.Phase == parley.PhasePool: // the limits are the caller's
		return false
	}
	return isAny(err, parley.ErrNetwork, parley.ErrTimeout, parley.ErrTLS, parley.ErrProxy, parley.ErrRemoteProtocol)
}

// notReached reports whether no connection came about.
func notReached(err error) bool {
	var e *parley.Error
	return errors.As(err, &e) && e.Sent == parley.NotSent &&
		isAny(err, parley.ErrConnect, parley.ErrConnectTimeout, parley.ErrTLS, parley.ErrProxy)
}

// moves reports whether a request that ended so may be sent to another server.
func (b *Balancer) moves(req *parley.Request, resp *parley.Response, err error) bool {
	idempotent := slices.Contains(idempotentMethods, req.Method)
	again := req.Body == nil || req.Body.Replayable()
	if err == nil {
		return idempotent && again && slices.Contains(b.cfg.MoveOn, resp.StatusCode)
	}
	var e *parley.Error
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case !errors.As(err, &e): // of somebody else's transport, so that nothing is known
		return idempotent && again
	case e.Sent == parley.NotSent:
		unasked := e.Phase == parley.PhasePool || e.Phase == parley.PhaseConnect
		return (again || unasked) &&
			isAny(err, parley.ErrNetwork, parley.ErrConnectTimeout, parley.ErrPoolTimeout, parley.ErrTLS, parley.ErrProxy)
	}
	return idempotent && again && errors.Is(err, parley.ErrNetwork)
}

func isAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
