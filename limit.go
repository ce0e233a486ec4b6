package parley

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// limits are what holds requests back before they go out, and what merges them.
type limits struct {
	rates  []*rateLimit
	alone  bool          // rates of the session are left out
	server *serverLimits // nil: what servers say of their limits is not obeyed
	gates  *originGates  // nil: any number at once
	merge  choice
}

func (l *limits) said() bool { return l.holdBack() || l.alone || l.merge != unsaid }

// holdBack reports whether there is anything that a request may have to wait for.
func (l *limits) holdBack() bool { return len(l.rates) > 0 || l.server != nil || l.gates != nil }

// over gives l, with what it leaves open taken from earlier.
func (l limits) over(earlier limits) limits {
	if !l.alone {
		l.rates, l.alone = joined(earlier.rates, l.rates), earlier.alone
	}
	if l.server == nil {
		l.server = earlier.server
	}
	if l.gates == nil {
		l.gates = earlier.gates
	}
	l.merge = l.merge.or(earlier.merge)
	return l
}

// Hold is a wait of a request before it went out, by [WithRateLimit],
// [WithServerLimits] or [WithAdaptiveConcurrency].
type Hold struct {
	Reason string
	Wait   time.Duration
}

// String gives "2s: rate limit".
func (h Hold) String() string { return fmt.Sprintf("%v: %s", h.Wait, h.Reason) }

// leastHold is how long a wait takes that is worth telling of, where it is not known
// otherwise whether there was one.
const leastHold = time.Millisecond

// Holds tells what held the requests of the call back before they went out, in their
// order: those of all tries, hops and challenges. What a single try waited for is in
// [Try].
func (r *Response) Holds() []Hold {
	if r.rec == nil {
		return nil
	}
	return r.rec.call.holds.since(nil)
}

// holdList is a list of holds that several goroutines may add to.
type holdList struct{ last atomic.Pointer[holdEntry] }

type holdEntry struct {
	Hold
	before *holdEntry
}

func (l *holdList) add(h Hold) {
	e := &holdEntry{Hold: h}
	for {
		if e.before = l.last.Load(); l.last.CompareAndSwap(e.before, e) {
			return
		}
	}
}

// addAll adds those of another list.
func (l *holdList) addAll(other *holdList) {
	for _, h := range other.since(nil) {
		l.add(h)
	}
}

// since gives what was added after mark, nil for all, in its order.
func (l *holdList) since(mark *holdEntry) (holds []Hold) {
	for e := l.last.Load(); e != nil && e != mark; e = e.before {
		holds = append(holds, e.Hold)
	}
	slices.Reverse(holds)
	return holds
}

// Limits gives the middleware that holds requests back and merges them as their options
// say ([WithRateLimit], [WithMergedGets]), for a stack made by hand; its place is next to
// the transport, beneath all that answers requests or sends further ones.
func Limits() Middleware {
	return func(next Transport) Transport { return limitLayer{completeLayer{next}, new(flights)} }
}

// limitLayer holds back and merges what goes out. It is next to the transport, so that
// it sees requests as they are sent, with their cookies and credentials.
type limitLayer struct {
	next    Transport
	flights *flights
}

func (l limitLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	c := req.conduct
	switch {
	case c == nil || !c.limits.said():
		return l.next.Send(ctx, req)
	case c.limits.merge == yes:
		// What is merged knows the deadline of none of its calls.
		if err := c.limits.inTime(ctx, req); err != nil {
			return nil, err
		}
		return l.flights.send(ctx, req, l.hold)
	}
	return l.hold(ctx, req)
}

// hold sends a request once it may go out.
func (l limitLayer) hold(ctx context.Context, req *Request) (*Response, error) {
	how := &req.conduct.limits
	if !how.holdBack() {
		return l.next.Send(ctx, req)
	}
	p := passage{ctx: ctx, req: req, how: how}
	defer p.end()
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.sent = true
	began := sock.Now()
	resp, err := l.next.Send(ctx, req)
	p.answered(resp, err, sock.Now()-began)
	return resp, err
}

// passage is the way of one request through its limits.
type passage struct {
	ctx   context.Context
	req   *Request
	how   *limits
	quota quotaPass
	held  time.Duration // what the server's limits have asked for so far
	slot  *originSlot   // nil: none is held, or it is the body's
	sent  bool
	holds holdList // of a request that belongs to no call
}

// enter waits for everything that there is to wait for; for a place among the requests to
// the origin last, as that is taken from others.
func (p *passage) enter() (err error) {
	for {
		if p.how.server != nil {
			if err := p.how.server.enter(p); err != nil {
				return err
			}
		}
		for _, r := range p.how.rates {
			if err := r.wait(p); err != nil {
				return err
			}
		}
		if p.how.gates != nil {
			if p.slot, err = p.how.gates.enter(p); err != nil {
				return err
			}
		}
		// The server may have refused others meanwhile.
		if p.how.server == nil || p.how.server.stillOpen(&p.quota) {
			return nil
		}
		p.end()
	}
}

// answered learns from what became of the request.
func (p *passage) answered(resp *Response, err error, took time.Duration) {
	if p.how.server != nil {
		p.how.server.learn(&p.quota, resp, err)
	}
	if s := p.slot; s != nil {
		s.judge(resp, err, took)
		if err == nil && s.keepFor(p.req, resp) {
			p.slot = nil
		}
	}
	if resp != nil && p.req.call == nil {
		p.tellIn(resp)
	}
}

// end gives back what is still held.
func (p *passage) end() {
	if p.slot != nil {
		p.slot.Release()
		p.slot = nil
	}
	if p.how.server != nil {
		p.how.server.end(&p.quota, !p.sent)
	}
}

// note writes a wait down.
func (p *passage) note(reason string, wait time.Duration) {
	list := &p.holds
	if p.req.call != nil {
		list = &p.req.call.holds
	}
	list.add(Hold{reason, wait})
}

// tellIn has a response tell of the waits of a request that belongs to no call.
func (p *passage) tellIn(resp *Response) {
	resp.record(p.req).call.holds.addAll(&p.holds)
}

// record gives the record of the response, made if its transport keeps none.
func (r *Response) record(req *Request) *record {
	if r.rec == nil {
		r.rec = &record{call: req.call}
		if req.call == nil {
			r.rec.call = &callRecord{began: sock.Now()}
		}
	}
	return r.rec
}

// fail makes the error of a request that has not gone out.
func (p *passage) fail(limit time.Duration, err error) *Error {
	e := &Error{Op: "send", Method: p.req.Method, URL: withoutUser(p.req.URL), Phase: PhaseLimit, Sent: NotSent, Limit: cmp.Or(totalOf(err), limit), Err: err}
	if c := p.req.call; c != nil {
		e.Attempt, e.Elapsed = int(c.attempts.Load()), c.since()
	}
	return e
}

// interrupted is fail for a context that has ended.
func (p *passage) interrupted(ctx context.Context) *Error { return p.fail(0, contextError(ctx)) }
