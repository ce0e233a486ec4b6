package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// inTurn is a server that answers requests in turn, the last answer again and again. "cut"
// closes the connection, "half" in the middle of the body.
type inTurn struct {
	*wiretest.Server
	mu       sync.Mutex
	requests []*wiretest.Request
}

func serveInTurn(t testing.TB, answers ...string) *inTurn {
	t.Helper()
	s := &inTurn{}
	s.Server = wiretest.Serve(t, func(c *wiretest.Conn) {
		wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
			s.mu.Lock()
			answer := answers[min(len(s.requests), len(answers)-1)]
			s.requests = append(s.requests, r)
			s.mu.Unlock()
			switch answer {
			case "cut":
				return ""
			case "half":
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				return ""
			}
			return answer
		})(c)
	})
	return s
}

func (s *inTurn) seen() []*wiretest.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// refusal is an answer without content.
func refusal(code int, lines ...string) string {
	return fmt.Sprintf("HTTP/1.1 %d Status\r\nContent-Length: 0\r\n%s\r\n", code, strings.Join(lines, ""))
}

// hangingUp has the connection closed: the failure of one that is used again is put right
// by the pool, unasked.
const hangingUp = "Connection: close\r\n"

// promptly is a policy that does not wait.
func promptly(p parley.RetryPolicy) parley.Option {
	p.Backoff = -1
	return parley.WithRetry(p)
}

func TestRetry_whatIsTriedAgain(t *testing.T) {
	t.Parallel()
	good := wiretest.OK("good")
	for name, test := range map[string]struct {
		answers []string
		method  string
		policy  parley.RetryPolicy
		opts    []parley.RequestOption
		tries   int
		status  int // 0: it fails
	}{
		"408":                             {[]string{refusal(408), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"425":                             {[]string{refusal(425), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"429":                             {[]string{refusal(429), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"500":                             {[]string{refusal(500), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"502":                             {[]string{refusal(502), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"503":                             {[]string{refusal(503), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"504":                             {[]string{refusal(504), good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"not 400":                         {[]string{refusal(400), good}, "GET", parley.RetryPolicy{}, nil, 1, 400},
		"not 401":                         {[]string{refusal(401), good}, "GET", parley.RetryPolicy{}, nil, 1, 401},
		"not 404":                         {[]string{refusal(404), good}, "GET", parley.RetryPolicy{}, nil, 1, 404},
		"not 501":                         {[]string{refusal(501), good}, "GET", parley.RetryPolicy{}, nil, 1, 501},
		"statuses of one's own":           {[]string{refusal(404), good}, "GET", parley.RetryPolicy{Statuses: []int{404}}, nil, 2, 200},
		"no statuses at all":              {[]string{refusal(503), good}, "GET", parley.RetryPolicy{Statuses: []int{}}, nil, 1, 503},
		"the last answer is the caller's": {[]string{refusal(503)}, "GET", parley.RetryPolicy{}, nil, 3, 503},
		"as often as said":                {[]string{refusal(503)}, "GET", parley.RetryPolicy{Tries: 7}, nil, 7, 503},
		"a connection that is closed":     {[]string{"cut", "cut", good}, "GET", parley.RetryPolicy{}, nil, 3, 200},
		"a body that is cut short":        {[]string{"half", good}, "GET", parley.RetryPolicy{}, nil, 2, 200},
		"not for ever":                    {[]string{"cut"}, "GET", parley.RetryPolicy{}, nil, 3, 0},
		"not what is no HTTP":             {[]string{"SMTP ready\r\n\r\n", good}, "GET", parley.RetryPolicy{}, nil, 1, 0},
		"HEAD":                            {[]string{refusal(503), refusal(200)}, "HEAD", parley.RetryPolicy{}, nil, 2, 200},
		"PUT":                             {[]string{"cut", good}, "PUT", parley.RetryPolicy{}, nil, 2, 200},
		"DELETE":                          {[]string{"cut", good}, "DELETE", parley.RetryPolicy{}, nil, 2, 200},
		"QUERY":                           {[]string{"cut", good}, "QUERY", parley.RetryPolicy{}, nil, 2, 200},
		"not POST":                        {[]string{"cut", good}, "POST", parley.RetryPolicy{}, nil, 1, 0},
		"not PATCH":                       {[]string{"cut", good}, "PATCH", parley.RetryPolicy{}, nil, 1, 0},
		"not POST, whatever the status":   {[]string{refusal(503), good}, "POST", parley.RetryPolicy{}, nil, 1, 503},
		"POST if it is said":              {[]string{"cut", refusal(503), good}, "POST", parley.RetryPolicy{AnyMethod: true}, nil, 3, 200},
		"POST with a key": {
			[]string{"cut", refusal(503), good}, "POST", parley.RetryPolicy{}, []parley.RequestOption{parley.WithHeader("Idempotency-Key", "k")}, 3, 200,
		},
		"a request that wants no retries": {[]string{refusal(503), good}, "GET", parley.RetryPolicy{}, []parley.RequestOption{parley.WithoutRetry()}, 1, 503},
		"a request with a policy of its own": {
			[]string{refusal(503)}, "GET", parley.RetryPolicy{Tries: 9}, []parley.RequestOption{promptly(parley.RetryPolicy{Tries: 2})}, 2, 503,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveInTurn(t, test.answers...)
			c := newSession(t, parley.WithBaseURL(s.URL()), promptly(test.policy))
			resp, err := c.Request(t.Context(), test.method, "x", test.opts...)
			require.Len(t, s.seen(), test.tries)
			if test.status == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.status, resp.StatusCode)
			if len(test.opts) == 0 {
				require.Len(t, resp.Tries, test.tries)
			}
		})
	}
}

func TestRetry_whatTheServerCannotHaveSeenIsTriedAgainWhateverTheMethod(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	var dials atomic.Int32
	dialer := dialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) < 3 {
			return nil, errors.New("no way")
		}
		return new(net.Dialer).DialContext(ctx, network, s.Addr())
	})
	c := newSession(t, parley.WithDialer(dialer), promptly(parley.RetryPolicy{}))
	// Even a body that can be read once only: nothing has been read of it.
	resp, err := c.Post(t.Context(), "http://a.test/x", parley.WithReader(inParts("con", "tent")))
	require.NoError(t, err)
	require.Len(t, resp.Tries, 3)
	for _, try := range resp.Tries[:2] {
		require.True(t, try.Again)
		require.ErrorIs(t, try.Err, parley.ErrConnect)
		require.Equal(t, "cannot connect", try.Reason)
	}
	require.Equal(t, 1, s.Accepted())
}

// dialFunc is a function as a dialer.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// failingAfter is a transport whose requests fail in turn with what the server can have seen,
// the last one again and again; nil is a 503.
func failingAfter(phase parley.Phase, kind error, turns ...*parley.Sent) parley.Transport {
	var n atomic.Int32
	return parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		sent := turns[min(int(n.Add(1)), len(turns))-1]
		if sent == nil {
			return &parley.Response{StatusCode: 503, Request: req, Body: http.NoBody}, nil
		}
		return nil, &parley.Error{Op: "send", Method: req.Method, URL: req.URL, Phase: phase, Sent: *sent, Attempt: 1, Err: kind}
	})
}

func TestRetry_notSentIsSaidOfAllTries(t *testing.T) {
	t.Parallel()
	maybe, not, answering := parley.MaybeSent, parley.NotSent, parley.Answering
	for name, test := range map[string]struct {
		turns []*parley.Sent
		want  parley.Sent
	}{
		"none was sent":                         {[]*parley.Sent{&not}, not},
		"one may have been, the last was not":   {[]*parley.Sent{&maybe, &not}, maybe},
		"the second may have been":              {[]*parley.Sent{&not, &maybe, &not}, maybe},
		"one was being answered":                {[]*parley.Sent{&answering, &maybe, &not}, answering},
		"one was answered, the others were not": {[]*parley.Sent{nil, &not}, answering},
		"the last may have been":                {[]*parley.Sent{&not, &not, &maybe}, maybe},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSession(t, promptly(parley.RetryPolicy{}), parley.WithTransport(failingAfter(parley.PhaseConnect, parley.ErrConnect, test.turns...)))
			_, err := c.Post(t.Context(), "http://a.test/", parley.WithText("x"), parley.WithIdempotencyKey())
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.want, e.Sent)
			var tried *parley.RetryError
			require.ErrorAs(t, err, &tried)
			require.Len(t, tried.Tries, parley.DefaultTries)
		})
	}
	t.Run("middleware says more about it", func(t *testing.T) {
		told := errors.New("told by middleware")
		c := newSession(t, promptly(parley.RetryPolicy{}), parley.WithTransport(failingAfter(parley.PhaseConnect, parley.ErrConnect, &maybe, &not)),
			parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
				return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
					resp, err := next.Send(ctx, req)
					if err != nil {
						err = fmt.Errorf("%w: %w", told, err)
					}
					return resp, err
				})
			}))
		_, err := c.Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, told)
		require.ErrorIs(t, err, parley.ErrConnect)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, maybe, e.Sent)
		var tried *parley.RetryError
		require.ErrorAs(t, err, &tried)
	})
	t.Run("the wait for another try is cut short", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		policy := parley.RetryPolicy{Backoff: -1, OnTry: func(_ context.Context, try parley.Try) {
			if try.Number == 2 {
				cancel()
			}
		}}
		c := newSession(t, parley.WithRetry(policy), parley.WithTransport(failingAfter(parley.PhaseConnect, parley.ErrConnect, &maybe, &not)))
		_, err := c.Get(ctx, "http://a.test/")
		require.ErrorIs(t, err, context.Canceled)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, maybe, e.Sent)
	})
}

// TestRetry_aHandshakeThatBreaksIsTriedAgain also where the request was sent before, on a
// connection that was gone: the pool makes another one then.
func TestRetry_aHandshakeThatBreaksIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, sent := range []parley.Sent{parley.NotSent, parley.MaybeSent} {
		for phase, tries := range map[parley.Phase]int{parley.PhaseConnect: parley.DefaultTries, parley.PhaseResponse: 1} {
			t.Run(fmt.Sprintf("%v, %v", phase, sent), func(t *testing.T) {
				broken := fmt.Errorf("%w: %w", parley.ErrTLS, io.EOF)
				var n int
				c := newSession(t, promptly(parley.RetryPolicy{OnTry: func(context.Context, parley.Try) { n++ }}),
					parley.WithTransport(failingAfter(phase, broken, &sent)))
				_, err := c.Get(t.Context(), "https://a.test/")
				require.ErrorIs(t, err, parley.ErrTLS)
				require.Equal(t, tries, n)
			})
		}
	}
}

func TestRetry_whatWouldFailAgainIsNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		opts []parley.RequestOption
		kind error
	}{
		"a name that does not exist": {&net.DNSError{Err: "no such host", Name: "a.test", IsNotFound: true}, nil, parley.ErrConnect},
		"an address that is refused": {fmt.Errorf("%w: private", parley.ErrAddressRefused), nil, parley.ErrAddressRefused},
		"a malformed request":        {errors.New("no way"), []parley.RequestOption{parley.WithTarget("a b")}, parley.ErrLocalProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dials := 0
			dialer := dialFunc(func(context.Context, string, string) (net.Conn, error) { dials++; return nil, test.err })
			tries := 0
			c := newSession(t, parley.WithDialer(dialer), promptly(parley.RetryPolicy{OnTry: func(context.Context, parley.Try) { tries++ }}))
			_, err := c.Get(t.Context(), "http://a.test/x", test.opts...)
			require.ErrorIs(t, err, test.kind)
			require.LessOrEqual(t, dials, 1)
			require.Equal(t, 1, tries)
			require.False(t, errors.As(err, new(*parley.RetryError)), "there was nothing to decide")
		})
	}
}

func TestRetry_aStreamThatBreaksIsNotSentForAgain(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503), "half", wiretest.OK("another"))
	c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{}))
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, parley.ErrRead)
	require.Equal(t, "half", string(got))
	require.NoError(t, resp.Close())
	require.Len(t, s.seen(), 2)
	require.Len(t, resp.Tries, 2)
}

func TestRetry_bodiesAreSentWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	const content = "the content"
	for name, test := range map[string]struct {
		body  parley.RequestOption
		again bool
	}{
		"bytes":    {parley.WithBytes([]byte(content)), true},
		"a file":   {parley.WithBodyFile(fileWith(t, "f.txt", content)), true},
		"a reader": {parley.WithReader(inParts("the ", "content")), false},
		"a form":   {parley.WithMultipart(parley.FormField("f", content)), true},
		"an iterator over a reader": {
			parley.WithMultipart(parley.FormReader("f", "f.txt", inParts(content))), false,
		},
	} {
		for _, first := range []string{"cut", refusal(503)} {
			t.Run(name+" after "+first[:3], func(t *testing.T) {
				s := serveInTurn(t, first, wiretest.OK("good"))
				c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{}))
				resp, err := c.Put(t.Context(), "x", test.body)
				switch {
				case test.again:
					require.NoError(t, err)
					require.Len(t, s.seen(), 2)
					require.Equal(t, s.seen()[0].Content, s.seen()[1].Content)
					require.Contains(t, string(s.seen()[1].Content), content)
				case first == "cut":
					require.ErrorIs(t, err, parley.ErrPeerClosed)
					require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
					require.Len(t, s.seen(), 1)
				default:
					require.NoError(t, err)
					require.Equal(t, 503, resp.StatusCode)
					require.Equal(t, "the body cannot be sent again", resp.Tries[0].Reason)
				}
			})
			if !test.again {
				break // it has been read
			}
		}
	}
}

func TestRetry_theRecordSaysWhatWasDecidedAndWhy(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503, hangingUp), "cut", "half")
	var told []parley.Try
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithRetry(parley.RetryPolicy{
		Backoff: time.Millisecond, OnTry: func(_ context.Context, try parley.Try) { told = append(told, try) },
	}))
	_, err := c.Get(t.Context(), "x", parley.WithQuery("token", "SECRET"))
	e, ok := err.(*parley.Error)
	require.True(t, ok, "the error of a call is an *Error: %T", err)
	require.Equal(t, 3, e.Attempt)
	require.Equal(t, parley.PhaseRead, e.Phase)
	require.ErrorIs(t, err, parley.ErrRead)
	var failed *parley.RetryError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, told, failed.Tries)
	require.Equal(t, []string{"status 503 Status", "peer closed the connection", "3 of 3"},
		[]string{told[0].Reason, told[1].Reason, told[2].Reason})
	require.Equal(t, []bool{true, true, false}, []bool{told[0].Again, told[1].Again, told[2].Again})
	require.Equal(t, 503, told[0].Response.StatusCode)
	require.Nil(t, told[1].Response)
	require.ErrorIs(t, told[1].Err, parley.ErrPeerClosed)
	for i, try := range told {
		require.Equal(t, i+1, try.Number)
		require.Positive(t, try.Took)
		require.Less(t, try.Wait, 4*time.Millisecond)
		if i > 0 {
			require.GreaterOrEqual(t, try.Start, told[i-1].Start+told[i-1].Took)
		}
	}
	require.Contains(t, err.Error(), "tried 3 times (3 of 3): read failed")
	require.NotContains(t, err.Error(), "SECRET")

	_, err = c.Post(t.Context(), "x")
	require.ErrorAs(t, err, &failed)
	require.Contains(t, err.Error(), "not tried again (POST is not idempotent and has no Idempotency-Key)")
}

func TestRetry_judgeHasItsSay(t *testing.T) {
	t.Parallel()
	busy := wiretest.OK(`{"error":"busy"}`)
	s := serveInTurn(t, busy, refusal(503), refusal(500), wiretest.OK("{}"))
	c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{Tries: 9, Judge: func(_ context.Context, try *parley.Try) {
		if try.Response == nil {
			return
		}
		switch text, err := try.Response.Text(); {
		case err == nil && strings.Contains(text, "busy"):
			try.Again, try.Wait = true, time.Millisecond
		case try.Response.StatusCode == 500:
			try.Again = false
		}
	}}))
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, 500, resp.StatusCode)
	require.Len(t, resp.Tries, 3)
	require.Equal(t, "the policy's Judge says so", resp.Tries[0].Reason)
	require.Equal(t, time.Millisecond, resp.Tries[0].Wait)
	require.Equal(t, "the policy's Judge says so", resp.Tries[2].Reason)

	// It cannot have a body sent that is not there any more.
	s = serveInTurn(t, refusal(400))
	c = newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{Judge: func(_ context.Context, try *parley.Try) { try.Again = true }}))
	resp, err = c.Post(t.Context(), "x", parley.WithReader(inParts("a", "b")))
	require.NoError(t, err)
	require.Equal(t, 400, resp.StatusCode)
	require.Len(t, s.seen(), 1)
}

func TestRetry_ofARequestCountsWithTheSessionsBudget(t *testing.T) {
	t.Parallel()
	at := 0
	c, err := parley.New(parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { at++; w.WriteHeader(503) })))
	require.NoError(t, err)
	defer c.Close()
	for range 1000 {
		_, err := c.Get(t.Context(), "http://a.test/", promptly(parley.RetryPolicy{}))
		require.NoError(t, err)
	}
	require.Equal(t, 1000+100+199, at)
}

func TestRetry_eachHopHasItsTries(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503), refusal(302, "Location: /there\r\n"), refusal(503), refusal(503), wiretest.OK("good"))
	c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{}))
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.Len(t, resp.Tries, 3)
	require.Len(t, resp.History, 1)
	require.Len(t, resp.History[0].Tries, 2)
	require.Equal(t, 5, resp.Timing().Attempt)
}

func TestRetry_credentialsAreMadeForEachTry(t *testing.T) {
	t.Parallel()
	n := 0
	s := serveInTurn(t, refusal(503, hangingUp), "cut", wiretest.OK("good"))
	c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{}), parley.WithAuth(parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
		n++
		req.Header.Set("X-Signature", fmt.Sprint(n))
		return nil
	})))
	_, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	for i, r := range s.seen() {
		require.Equal(t, fmt.Sprint(i+1), r.Header.Get("X-Signature"))
	}
}

func TestRetry_connectionsAreKept(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503), "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nbusy\n", wiretest.OK("good"))
	for _, stream := range []bool{false, true} {
		c := newSession(t, parley.WithBaseURL(s.URL()), promptly(parley.RetryPolicy{}), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		before := s.Accepted()
		if stream {
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			require.NoError(t, resp.Close())
		} else {
			_, err := c.Get(t.Context(), "x")
			require.NoError(t, err)
		}
		require.Equal(t, 1, s.Accepted()-before)
	}
}

func TestRetry_everyRetriedAnswerIsClosed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return head(chunkedLine) + chunk(strings.Repeat("x", 100_000)) + "0\r\n\r\n"
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}),
		promptly(parley.RetryPolicy{Tries: 20, Statuses: []int{200}}))
	for range 5 {
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		require.Len(t, resp.Tries, 20)
		require.NoError(t, resp.Close())
	}
	require.Zero(t, c.Stats().Active)
}

func TestRetry_policiesThatMakeNoSenseAreErrors(t *testing.T) {
	t.Parallel()
	for _, p := range []parley.RetryPolicy{{Statuses: []int{100}}, {Statuses: []int{600}}, {Hedge: -1}} {
		_, err := parley.New(parley.WithRetry(p))
		require.Error(t, err)
		_, err = parley.Retries(p)
		require.Error(t, err)
	}
}

func TestRetries_inAStackMadeByHand(t *testing.T) {
	t.Parallel()
	n := 0
	bottom := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		if n++; n%3 != 0 {
			return &parley.Response{StatusCode: 503, Request: req}, nil
		}
		return &parley.Response{StatusCode: 200, Request: req}, nil
	})
	m, err := parley.Retries(parley.RetryPolicy{Backoff: -1})
	require.NoError(t, err)
	req, err := parley.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	resp, err := m(bottom).Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, resp.Tries, 3)
	own, err := req.With(parley.WithoutRetry())
	require.NoError(t, err)
	resp, err = m(bottom).Send(t.Context(), own)
	require.NoError(t, err)
	require.Equal(t, 503, resp.StatusCode)
}

func TestRetry_belowTheRoundTripper(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503), "cut", wiretest.OK("good"))
	c := newSession(t, promptly(parley.RetryPolicy{}))
	resp, err := c.HTTPClient().Get(s.URL() + "/x")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, s.seen(), 3)
}

func TestRetry_isExplained(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithRetry(parley.RetryPolicy{Tries: 5, Hedge: time.Second}))
	req, err := c.NewRequest("GET", "http://a.test/")
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	require.Contains(t, e.String(), "5 tries after failures and statuses [408 425 429 500 502 503 504], waits from 100ms to 10s, Retry-After up to 30s, hedged after 1s (session)")
	require.Contains(t, e.Layers, "retries")
}

func TestS033_RetriedBodiesAreNobodyElses(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	seen := sync.Map{}
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if _, again := seen.LoadOrStore(r.Header.Get("X-Id"), true); !again {
			return refusal(503)
		}
		if !strings.HasPrefix(string(r.Content), r.Header.Get("X-Id")+" ") || strings.Count(string(r.Content), " ") != 1000 {
			return refusal(400)
		}
		return wiretest.OK(r.Header.Get("X-Id"))
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithRetry(parley.RetryPolicy{Backoff: time.Millisecond, Budget: &parley.RetryBudget{Burst: -1}}))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			id := fmt.Sprint(i)
			resp, err := c.Put(t.Context(), "x", parley.WithHeader("X-Id", id), parley.WithJSON(nil), parley.WithBytes([]byte(strings.Repeat(id+" ", 1000))))
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := resp.Text(); err != nil || text != id || len(resp.Tries) != 2 {
				t.Errorf("%s: %d %q %v", id, resp.StatusCode, text, err)
			}
		})
	}
	all.Wait()
}
