package parley

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/sse"
	"github.com/seed-0474a412/parley/internal/urls"
)

// Event is one server-sent event (HTML standard, section 9.2).
type Event struct {
	Type  string        // "message" where the server names none
	Data  string        // its lines are joined by LF
	ID    string        // the last event id that the server told, be it with an earlier event
	Retry time.Duration // the wait before a reconnect that the server told last; 0: none, or at once
}

// Events reads the body as an event stream, event by event as they arrive, whatever its
// status and content type: for streams that end, such as the answer to a POST. For one
// that is to go on for ever see [Client.Events], which connects again.
//
// What stands after the last blank line is dropped, as the standard demands; a body that
// is cut short is an error all the same. Bytes that are not UTF-8 become U+FFFD. A line, or
// the data of an event, longer than 1 MiB, or what [WithMaxItemBytes] says, is
// ErrBodyTooLarge. Leaving the loop closes a streamed response; over a body that has been
// read whole one can loop again. A server may be silent for no longer than Timeouts.Read.
func (r *Response) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		body, end := r.source()
		defer end()
		for s := sse.NewReader(body, r.maxItem(), ""); ; {
			e, err := s.Next()
			if err != nil {
				if err != io.EOF {
					yield(Event{}, r.eventError(err))
				}
				return
			}
			if !yield(Event(e), nil) {
				return
			}
		}
	}
}

// eventError gives an error of reading events its kind.
func (r *Response) eventError(err error) error {
	if err == sse.ErrTooLarge {
		return r.itemTooLarge("a line or the data of an event")
	}
	return err
}

// EventsPolicy says how [Client.Events] connects again. Zero fields mean the defaults.
type EventsPolicy struct {
	// Retry is the wait before a reconnect until the server says another. It doubles
	// with each that leads to no event. Default 3 s.
	Retry time.Duration
	// MinRetry and MaxRetry bound every wait, whatever the server says of it.
	// Defaults 100 ms and 2 minutes.
	MinRetry, MaxRetry time.Duration
	// MaxTries is how many reconnects in a row may lead to no event. The next failure
	// ends the loop. Default 10; less than 0: any number.
	MaxTries int
}

// The defaults of [EventsPolicy].
const (
	DefaultEventsRetry    = 3 * time.Second
	DefaultEventsMinRetry = 100 * time.Millisecond
	DefaultEventsMaxRetry = 2 * time.Minute
	DefaultEventsMaxTries = 10
)

// eventsKey is the attribute under which a request carries WithEventsPolicy.
type eventsKey struct{}

// WithEventsPolicy sets how [Client.Events] connects again.
func WithEventsPolicy(p EventsPolicy) Option {
	whole := p.complete()
	return option(func(s *settings) error {
		if min(p.Retry, p.MinRetry, p.MaxRetry) < 0 || whole.MinRetry > whole.MaxRetry {
			return failed("WithEventsPolicy: waits must not be negative, and MinRetry (%v) not above MaxRetry (%v)", whole.MinRetry, whole.MaxRetry)
		}
		s.attrs = &attribute{eventsKey{}, whole, s.attrs}
		return nil
	})
}

// complete fills in the defaults.
func (p EventsPolicy) complete() EventsPolicy {
	return EventsPolicy{
		Retry:    cmp.Or(p.Retry, DefaultEventsRetry),
		MinRetry: cmp.Or(p.MinRetry, DefaultEventsMinRetry),
		MaxRetry: cmp.Or(p.MaxRetry, DefaultEventsMaxRetry),
		MaxTries: cmp.Or(p.MaxTries, DefaultEventsMaxTries),
	}
}

// wait gives how long to wait before a reconnect, the given number of failures after
// the last event: base, doubled each time, with up to half as much again so that
// clients which lost their server at once do not return at once, and no less than least
// unless that is beyond the limits.
func (p EventsPolicy) wait(base time.Duration, failures int, least time.Duration) time.Duration {
	d := max(min(base, p.MaxRetry), p.MinRetry)
	for ; failures > 1 && d < p.MaxRetry; failures-- {
		d = min(2*d, p.MaxRetry)
	}
	d = min(max(d, least), p.MaxRetry)
	return min(d+rand.N(d/2+1), p.MaxRetry)
}

// Events gets url as an event stream and connects again whenever it ends or is cut, as
// an EventSource of browsers does, until the loop is left, its context ends, or
// something speaks against it. What that was is yielded as the last error; a server that
// answers 204 ends the loop without one.
//
// The first connection has to succeed: whatever a call fails with ends the loop, a status
// other than 200 with a *[StatusError], another content type than text/event-stream
// with ErrDecoding. After that a connection that is lost, cannot be made or times out, and
// a status of 408, 429, 500, 502, 503 or 504, lead to a wait and another try, by
// [WithEventsPolicy]; the server sets the wait by its retry field and by Retry-After. Every
// other failure ends the loop as at first; so does an event that is too large
// ([WithMaxItemBytes]) or a body that is ([WithMaxBodyBytes], for each connection).
//
// Each try sends the request anew, through redirects from the original URL on, with the
// session's credentials. It bears Last-Event-ID where the server has told an id, as long as
// that fits a header of 4 KiB, to the origin alone that told it; an id does not
// outlive a move to another origin. A Last-Event-ID header among opts is the id to begin
// with, to take up a stream where a former program has left it.
//
// The limits Response and Read of a session do not count here, as streams may be silent
// for long. Given in opts they do: WithTimeouts(Timeouts{Read: time.Minute}) connects again
// after a minute without a byte. Total bounds each try up to the head of its answer.
// Ranging again begins from the start.
func (c *Client) Events(ctx context.Context, url string, opts ...RequestOption) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s, err := c.newEventStream(url, opts)
		if err == nil {
			defer discardBody(s.req.Body)
			err = s.run(ctx, yield)
		}
		if err != nil && err != errLoopLeft {
			yield(Event{}, err)
		}
	}
}

// errLoopLeft says that nobody wants more events.
var errLoopLeft = errors.New("the loop was left")

// maxEventID bounds the id that is sent to a server.
const maxEventID = 4 << 10

// maxErrorWait bounds the reading of an error's body in place of Timeouts.Read.
const maxErrorWait = 10 * time.Second

// eventStream is one loop of [Client.Events].
type eventStream struct {
	client *Client
	req    *Request
	policy EventsPolicy

	id       string        // the last event id
	giver    *url.URL      // the origin that told it
	retry    time.Duration // before doubling
	opened   bool          // events could have come
	failures int           // since the last event
}

func (c *Client) newEventStream(url string, opts []RequestOption) (*eventStream, error) {
	before := []RequestOption{
		WithHeader("Accept", "text/event-stream"), WithHeader("Cache-Control", "no-cache"),
		WithTimeouts(Timeouts{Response: NoTimeout, Read: NoTimeout}),
	}
	req, err := c.NewRequest(http.MethodGet, url, append(before, opts...)...)
	if err != nil {
		return nil, err
	}
	s := &eventStream{client: c, req: req, giver: req.URL, id: req.Header.Get("Last-Event-Id")}
	delete(req.Header, "Last-Event-Id")
	policy, ok := req.Attribute(eventsKey{}).(EventsPolicy)
	if !ok {
		policy = EventsPolicy{}.complete()
	}
	s.policy, s.retry = policy, policy.Retry
	how := conduct{}
	if req.conduct != nil {
		how = *req.conduct
	}
	how.hooks.hopRequest = slices.Concat([]RequestHook{s.identify}, how.hooks.hopRequest)
	req.conduct = &how
	return s, nil
}

// identify tells a server the id that it gave. It sees every hop of a call, so that no
// other server gets it.
func (s *eventStream) identify(_ context.Context, req *Request) error {
	if s.id != "" && len(s.id) <= maxEventID && urls.SameOrigin(s.giver, req.URL) && h1.CheckField("Last-Event-Id", s.id) == nil {
		req.Header["Last-Event-Id"] = []string{s.id}
	}
	return nil
}

// run connects again and again. It gives nil for a 204.
func (s *eventStream) run(ctx context.Context, yield func(Event, error) bool) error {
	for {
		began := time.Now()
		resp, err := s.open(ctx)
		var least time.Duration // to wait
		switch {
		case err != nil:
			var again bool
			if least, again = s.mayReopen(err); !again {
				return err
			}
		case resp == nil:
			return nil
		default:
			s.opened = true
			if err = s.read(resp, yield); err == errLoopLeft || errors.Is(err, ErrBodyTooLarge) {
				return err
			}
		}
		if ctx.Err() != nil {
			return err
		}
		if time.Since(began) >= s.policy.MaxRetry {
			s.failures = 0 // so slow a sequence is no burden
		}
		if s.failures++; s.policy.MaxTries >= 0 && s.failures > s.policy.MaxTries {
			return err
		}
		if err := s.wait(ctx, least); err != nil {
			return err
		}
	}
}

// open sends the request once. It gives nil for a 204.
func (s *eventStream) open(ctx context.Context) (*Response, error) {
	resp, err := s.client.sendPrepared(ctx, s.req, false)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil, resp.Close()
	}
	if err := checkEvents(resp); err != nil {
		resp.Close() // that it is no event stream says more
		return nil, err
	}
	from := s.req.URL
	if resp.Request != nil && resp.Request.URL != nil {
		from = resp.Request.URL
	}
	if !urls.SameOrigin(s.giver, from) {
		s.id, s.giver = "", from
	}
	return resp, nil
}

// checkEvents reports whether an answer is an event stream.
func checkEvents(resp *Response) error {
	if resp.StatusCode != http.StatusOK {
		body := resp.Body
		late := time.AfterFunc(maxErrorWait, func() { body.Close() })
		defer late.Stop()
		return resp.statusError()
	}
	if media, _ := resp.contentType(); !strings.EqualFold(media, "text/event-stream") {
		return resp.decodeError("as an event stream", fmt.Errorf("it is %q", quoteBad(media, 64)))
	}
	return nil
}

// read yields the events of a connection and gives what ended it, errLoopLeft if that
// was not the server.
func (s *eventStream) read(resp *Response, yield func(Event, error) bool) error {
	defer resp.Close()
	r := sse.NewReader(resp.Body, resp.maxItem(), s.id)
	for {
		e, err := r.Next()
		s.id = r.LastID()
		if d, told := r.Retry(); told {
			s.retry = d
		}
		switch {
		case err == io.EOF:
			return resp.fail("read", PhaseRead, because(ErrPeerClosed, errStreamEnded))
		case err != nil:
			return resp.eventError(err)
		}
		s.failures = 0
		if !yield(Event(e), nil) {
			return errLoopLeft
		}
	}
}

var errStreamEnded = errors.New("the event stream has ended")

// mayReopen reports whether another try may mend what a try failed with, and how long
// the server wants to be left alone.
func (s *eventStream) mayReopen(err error) (least time.Duration, ok bool) {
	if !s.opened {
		return 0, false
	}
	if status := (*StatusError)(nil); errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return retryAfter(status.Header.Get("Retry-After"), time.Now(), s.policy.MaxRetry), true
		}
		return 0, false
	}
	if errors.Is(err, ErrAddressRefused) || errors.Is(err, ErrConnClosed) {
		return 0, false
	}
	return 0, errors.Is(err, ErrNetwork) || errors.Is(err, ErrTimeout) || errors.Is(err, ErrRemoteProtocol)
}

// wait lets the time before a reconnect pass.
func (s *eventStream) wait(ctx context.Context, least time.Duration) error {
	timer := time.NewTimer(s.policy.wait(s.retry, s.failures, least))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Error{
			Op: "send", Method: s.req.Method, URL: withoutUser(s.req.URL), Phase: PhasePool, Sent: NotSent, Err: contextError(ctx),
		}
	}
}

// retryAfter reads a Retry-After (RFC 9110, section 10.2.3), never longer than limit; 0
// for none, for a past date, and for what is neither a number of seconds nor a date.
func retryAfter(v string, now time.Time, limit time.Duration) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		if n > uint64(limit/time.Second) {
			return limit
		}
		return time.Duration(n) * time.Second
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), limit)
}
