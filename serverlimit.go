package parley

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/lru"
	"github.com/seed-0474a412/parley/internal/quota"
	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// ServerLimits says how what servers tell of their rate limits is obeyed: see
// [WithServerLimits]. Zero fields mean the defaults.
type ServerLimits struct {
	// MaxWait bounds how long a server may hold a request back. After that the next one
	// is sent to see whether it still means what it said. Default 1 min; less than 0 is an
	// error.
	MaxWait time.Duration
	// By, if not nil, names what a request counts for where a server counts apart: the
	// key to its API where that is not in Authorization, or the part of the API, such as
	// "search". Default: all requests to an origin with the same Authorization count
	// together. The request is read-only. By must be safe for concurrent use.
	By func(*Request) string
}

// DefaultMaxServerWait is that of [ServerLimits].MaxWait.
const DefaultMaxServerWait = time.Minute

// WithServerLimits has a session learn from its answers what a server allows, and keep to
// that before it is refused: while nothing is left, requests wait for the reset instead of
// going out in vain, at random up to a tenth longer (1 s at most), so that not all come
// back at once. What is learnt counts for one origin and one value of the
// Authorization header:
//
//   - a 429, 503, or 403 with Retry-After (RFC 9110, section 10.2.3; the latter as GitHub
//     does it)
//   - RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers), also as they
//     were up to version 07; a policy whose unit is not requests is not counted, but
//     waited for when nothing is left of it, and "concurrent-requests" means nothing
//   - RateLimit-Remaining, RateLimit-Reset and RateLimit-Limit of older versions
//   - the same with X-RateLimit- or X-Rate-Limit-, the reset in seconds from now on or
//     since 1970
//
// Between answers what is left is counted down for each request that goes out. After a
// reset as many requests go out as the server has said that there are in all; all that
// wait, if it has not said that.
//
// A wait that would outlast the deadline of the context or Timeouts.Total is not begun,
// and one of more than MaxWait in all, as when many requests wait for few, ends: both are
// [ErrLimited]. Sessions derived from this one share what was learnt, unless they have the
// option anew. At most 1,000 origins and credentials are remembered. It is one of the
// limits below retries: see [WithRateLimit].
func WithServerLimits(l ServerLimits) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if l.MaxWait < 0 {
			return failed("WithServerLimits: MaxWait must not be negative; leave the option out to wait for nothing")
		}
		l.MaxWait = cmp.Or(l.MaxWait, DefaultMaxServerWait)
		c.conduct.limits.server = &serverLimits{ServerLimits: l, states: lru.New[quotaKey, *quotaState](maxQuotaStates, nil)}
		return nil
	})
}

const (
	maxQuotaStates = 1000
	// maxPolicies bounds how many policies of one server are remembered.
	maxPolicies = 8
	// maxPolicyName bounds what is remembered of their names.
	maxPolicyName = 64
	// sameReset is how far two answers may differ about one reset, which they tell in
	// whole seconds.
	sameReset = 1500 * time.Millisecond
	// unknownSpan is how long what there is after a reset has to last, unless the server
	// has said that or says anything new before.
	unknownSpan = time.Second
	maxJitter   = time.Second
)

// serverLimits is what a session has learnt.
type serverLimits struct {
	ServerLimits

	mu     sync.Mutex
	states *lru.Map[quotaKey, *quotaState]
}

// quotaKey is whose requests a server counts together.
type quotaKey struct {
	origin     string
	credential [sha256.Size]byte // so that none is kept
	by         string
}

// quotaState is guarded by the mutex of its serverLimits.
type quotaState struct {
	windows  map[string]*quotaWindow // by the policy's name
	refusals int                     // how often an answer said that nothing is left
	begun    int                     // requests that were let through
	underWay int                     // of these, now
}

// quotaWindow is what is known of one policy until its reset.
type quotaWindow struct {
	name    string
	limit   int64         // 0: not known
	span    time.Duration // for which that is meant
	left    int64         // requests that may still be sent, if it counts
	until   time.Duration // as package sock counts
	counts  bool
	guessed bool // made after a reset, without a word of the server
}

// quotaPass is what a request has taken.
type quotaPass struct {
	state    *quotaState // nil: it has ended
	taken    []*quotaWindow
	refusals int  // of the state, as is the next
	begun    int  // with this one
	alone    bool // no other was under way
}

// origin names where a request goes.
func (r *Request) origin() string { return r.URL.Scheme + "://" + urls.HostPort(r.URL) }

func (s *serverLimits) keyOf(req *Request) quotaKey {
	key := quotaKey{origin: req.origin()}
	if values := req.Header["Authorization"]; len(values) > 0 {
		key.credential = sha256.Sum256([]byte(strings.Join(values, "\x00")))
	}
	if s.By != nil {
		key.by = s.By(req)
	}
	return key
}

// enter waits until the server has something left for the request, and takes it.
func (s *serverLimits) enter(p *passage) error {
	key := s.keyOf(p.req)
	for {
		due, why := s.take(key, &p.quota)
		if due <= 0 {
			return nil
		}
		p.held += due
		due += rand.N(min(due/10, maxJitter) + 1)
		if err := s.refuse(p, due, why); err != nil {
			return err
		}
		began := sock.Now()
		err := wait(p.ctx, due)
		p.note(serverReason(why), sock.Now()-began)
		if err != nil {
			return p.interrupted(p.ctx)
		}
	}
}

// refuse gives the error of a request that must not wait for so long, nil if it may.
func (s *serverLimits) refuse(p *passage, due time.Duration, why string) error {
	limited := func(text string, args ...any) error {
		return p.fail(0, &cause{
			kind: ErrLimited, detail: fmt.Sprintf("for another %v", due.Round(time.Millisecond)),
			err: fmt.Errorf("%s; %s", serverReason(why), fmt.Sprintf(text, args...)),
		})
	}
	switch {
	case p.held > s.MaxWait:
		return limited("it would take longer than the %v that WithServerLimits allows", s.MaxWait)
	case due >= p.req.timeLeft(p.ctx):
		return limited("the deadline comes before")
	}
	return nil
}

func serverReason(policy string) string { return "the server's limit " + policy }

// inTime gives the error of a request that the server would have wait beyond its deadline.
func (l *limits) inTime(ctx context.Context, req *Request) error {
	due, why := l.serverWait(req)
	if due <= 0 {
		return nil
	}
	return l.server.refuse(&passage{ctx: ctx, req: req, how: l}, due, why)
}

// serverWait tells how long a request would have to wait now, and for which policy.
func (l *limits) serverWait(req *Request) (due time.Duration, why string) {
	if l.server == nil {
		return 0, ""
	}
	key := l.server.keyOf(req)
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	if state, ok := l.server.states.Get(key); ok {
		return state.blocked(sock.Now())
	}
	return 0, ""
}

// take takes a request out of every policy, or tells how long to wait, and for which.
func (s *serverLimits) take(key quotaKey, p *quotaPass) (due time.Duration, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.states.Get(key)
	if !ok {
		state = &quotaState{windows: make(map[string]*quotaWindow)}
		s.states.Put(key, state)
	}
	if due, why = state.blocked(sock.Now()); due > 0 {
		return due, why
	}
	state.begun++
	state.underWay++
	*p = quotaPass{state: state, refusals: state.refusals, begun: state.begun, alone: state.underWay == 1}
	for _, w := range state.windows {
		if w.counts {
			w.left--
			p.taken = append(p.taken, w)
		}
	}
	return 0, ""
}

// blocked tells how long nothing is left, and of what. What has been reset is brought up
// to date.
func (st *quotaState) blocked(now time.Duration) (due time.Duration, why string) {
	for name, w := range st.windows {
		if now >= w.until && !w.renew(now) {
			delete(st.windows, name)
			continue
		}
		if w.left <= 0 && w.until-now > due {
			due, why = w.until-now, w.name
		}
	}
	return due, why
}

// renew begins the next window if it is known how much there is in it, and if it matters.
func (w *quotaWindow) renew(now time.Duration) bool {
	if !w.counts || w.limit == 0 || w.left > 0 {
		return false
	}
	w.left, w.until, w.guessed = w.limit, now+w.span, true
	return true
}

// stillOpen reports whether a request that has been let through may go out now. If the
// server has refused others meanwhile, it has to wait with them.
func (s *serverLimits) stillOpen(p *quotaPass) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.refusals == p.state.refusals {
		return true
	}
	due, _ := p.state.blocked(sock.Now())
	return due <= 0
}

// learn takes in what became of a request.
func (s *serverLimits) learn(p *quotaPass, resp *Response, err error) {
	if err != nil {
		e := (*Error)(nil)
		s.end(p, errors.As(err, &e) && e.Sent == NotSent)
		return
	}
	now := time.Now()
	windows := quota.Read(resp.Header, now)
	asked := refusedFor(resp, now)
	if asked > 0 {
		windows = append(windows, quota.Window{Name: "Retry-After", Reset: asked})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state, at := p.state, sock.Now()
	exact := p.alone && p.begun == state.begun
	p.endLocked()
	for _, w := range windows {
		if asked > 0 && w.Left == 0 {
			w.Reset = asked // it takes precedence, says the draft
		}
		if w.Left == 0 && w.Reset > 0 {
			state.refusals++
		}
		w.Span = min(cmp.Or(w.Span, unknownSpan), s.MaxWait)
		state.update(w, at, at+min(w.Reset, s.MaxWait), exact)
	}
}

// end ends what has not ended otherwise. A request that was not sent puts back what it
// has taken.
func (s *serverLimits) end(p *quotaPass, unsent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.state == nil {
		return
	}
	if unsent {
		for _, w := range p.taken {
			w.left++
		}
	}
	p.endLocked()
}

func (p *quotaPass) endLocked() {
	p.state.underWay--
	p.state, p.taken = nil, nil
}

// refusedFor gives what a refusal asks for with Retry-After; 0 if it is none.
func refusedFor(resp *Response, now time.Time) time.Duration {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusForbidden:
		return retryAfter(resp.Header.Get("Retry-After"), now, math.MaxInt64)
	}
	return 0
}

// update takes in what an answer says of a policy. exact says that its request was the
// only one, so that what it says of the number that is left is so; else others may be
// under way that it does not count, and answers may come in another order than they were
// given.
func (st *quotaState) update(said quota.Window, now, until time.Duration, exact bool) {
	name := strings.Clone(said.Name[:min(len(said.Name), maxPolicyName)])
	w := st.windows[name]
	switch {
	case w == nil && !st.room(now):
	case w == nil, exact, now >= w.until, until > w.until+sameReset && !w.guessed: // or another window
		st.windows[name] = &quotaWindow{
			name: quoteBad(name, maxPolicyName), limit: said.Limit, left: said.Left, until: until, counts: said.Counts,
			span: said.Span,
		}
	case w.guessed:
		w.left, w.limit, w.until, w.guessed = min(w.left, said.Left), said.Limit, until, false
	case until < w.until-sameReset: // an answer that was long under way
	default:
		w.left, w.limit = min(w.left, said.Left), said.Limit
	}
}

// room reports whether one more policy can be remembered.
func (st *quotaState) room(now time.Duration) bool {
	if len(st.windows) >= maxPolicies {
		st.blocked(now) // forgets those that are over
	}
	return len(st.windows) < maxPolicies
}
