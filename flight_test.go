package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// oneByOne answers after a second with the number of the request.
type oneByOne struct {
	n      atomic.Int32
	fields []string
	size   int // of the answer; 0: just the number
}

func (s *oneByOne) serve(w http.ResponseWriter, r *http.Request) {
	n := s.n.Add(1)
	select {
	case <-time.After(time.Second):
	case <-r.Context().Done():
		return
	}
	for i := 0; i < len(s.fields); i += 2 {
		w.Header().Set(s.fields[i], s.fields[i+1])
	}
	text := strconv.Itoa(int(n))
	_, _ = io.WriteString(w, text+strings.Repeat(".", max(s.size-len(text), 0))) // the reader may be gone
}

// together makes calls at once, and gives how many answers differ.
func together(t *testing.T, calls ...func() (*parley.Response, error)) (responses []*parley.Response) {
	t.Helper()
	responses = make([]*parley.Response, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() {
			resp, err := call()
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			responses[i] = resp
		})
		synctest.Wait() // in this order
	}
	all.Wait()
	return responses
}

func getting(t *testing.T, c *parley.Client, url string, opts ...parley.RequestOption) func() (*parley.Response, error) {
	return func() (*parley.Response, error) { return c.Get(t.Context(), url, opts...) }
}

func TestMergedGets_oneRequestForAll(t *testing.T) {
	t.Parallel()
	s := &oneByOne{fields: []string{"X-Answer", "yes"}}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		responses := together(t, getting(t, c, "x"), getting(t, c, "x"), getting(t, c, "x"))
		require.EqualValues(t, 1, s.n.Load())
		for i, resp := range responses {
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "1", text)
			require.Equal(t, i > 0, resp.Timing().Merged)
			require.Equal(t, time.Second, resp.Timing().Total)
			require.Equal(t, "yes", resp.Header.Get("X-Answer"))
			resp.Header.Set("X-Answer", "changed") // it is the call's own
		}
		// What comes later is answered anew.
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.False(t, resp.Timing().Merged)
		require.EqualValues(t, 2, s.n.Load())
	}, parley.WithMergedGets(true))
}

func TestMergedGets_offByDefault(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		together(t, getting(t, c, "x"), getting(t, c, "x"))
		require.EqualValues(t, 2, s.n.Load())
		together(t, getting(t, c, "x", parley.WithMergedGets(true)), getting(t, c, "x", parley.WithMergedGets(true)))
		require.EqualValues(t, 3, s.n.Load(), "a request may say it for itself")
	})
}

func TestMergedGets_whatDiffersIsNotMerged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a, b   string
		opts   []parley.RequestOption // of b
		merged bool
	}{
		"a fragment is not sent":    {"x#a", "x#b", nil, true},
		"a placeholder":             {"x", "{p}", []parley.RequestOption{parley.WithPath("p", "x")}, true},
		"Total is each call's own":  {"x", "x", []parley.RequestOption{parley.WithTimeout(time.Hour)}, true},
		"a query":                   {"x", "x?a=b", nil, false},
		"a host":                    {"x", "http://b.test/x", nil, false},
		"a port":                    {"x", "http://a.test:81/x", nil, false},
		"a scheme":                  {"x", "https://a.test/x", nil, false},
		"a header":                  {"x", "x", []parley.RequestOption{parley.WithHeader("Accept-Language", "de")}, false},
		"a Host header":             {"x", "x", []parley.RequestOption{parley.WithHost("b.test")}, false},
		"a target":                  {"x", "x", []parley.RequestOption{parley.WithTarget("/y")}, false},
		"a method":                  {"x", "x", []parley.RequestOption{parley.WithRequestMiddleware(asHead)}, false},
		"a body":                    {"x", "x", []parley.RequestOption{parley.WithText("a")}, false},
		"a timeout":                 {"x", "x", []parley.RequestOption{parley.WithPhaseTimeout(time.Hour)}, false},
		"a TLS setting":             {"https://a.test/x", "https://a.test/x", []parley.RequestOption{parley.WithVerify(false)}, false},
		"an order of headers":       {"x", "x", []parley.RequestOption{parley.WithHeaderOrder("User-Agent")}, false},
		"what a transport may see":  {"x", "x", []parley.RequestOption{parley.WithAttribute("tenant", "b")}, false},
		"a pace":                    {"x", "x", []parley.RequestOption{parley.WithMinThroughput(1, time.Hour)}, false},
		"informational answers":     {"x", "x", []parley.RequestOption{parley.WithInformational(func(int, http.Header) {})}, false},
		"a request that wants none": {"x", "x", []parley.RequestOption{parley.WithMergedGets(false)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &oneByOne{}
			inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
				together(t, getting(t, c, test.a), getting(t, c, test.b, test.opts...))
				require.Equal(t, test.merged, s.n.Load() == 1)
			}, parley.WithMergedGets(true))
		})
	}
}

// asHead makes HEAD of a request.
func asHead(next parley.Transport) parley.Transport {
	return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
		req = req.Clone()
		req.Method = "HEAD"
		return next.Send(ctx, req)
	})
}

func TestMergedGets_neitherStreamsNorTracedCalls(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		stream := func() (*parley.Response, error) {
			resp, err := c.Stream(t.Context(), "GET", "x")
			if err == nil {
				_, err = resp.Bytes()
			}
			return resp, err
		}
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})
		traced := func() (*parley.Response, error) { return c.Get(ctx, "x") }
		together(t, stream, stream, traced, traced)
		require.EqualValues(t, 4, s.n.Load())
	}, parley.WithMergedGets(true))
}

func TestMergedGets_aCallThatEndsDoesNotEndTheOthers(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		var all sync.WaitGroup
		for i, timeout := range []time.Duration{100 * time.Millisecond, time.Hour, 200 * time.Millisecond} {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(timeout, cancel)
				began := time.Now()
				resp, err := c.Get(ctx, "x")
				if i != 1 {
					require.ErrorIs(t, err, context.Canceled)
					require.Equal(t, timeout, time.Since(began))
					return
				}
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
			})
			synctest.Wait()
		}
		all.Wait()
		require.EqualValues(t, 1, s.n.Load())
	}, parley.WithMergedGets(true))
}

func TestMergedGets_theRequestEndsWithItsLastCall(t *testing.T) {
	t.Parallel()
	var ended time.Time
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended = time.Now()
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		var all sync.WaitGroup
		for _, timeout := range []time.Duration{time.Second, 3 * time.Second} {
			all.Go(func() {
				_, err := c.Get(t.Context(), "x", parley.WithTimeout(timeout))
				require.ErrorIs(t, err, parley.ErrTotalTimeout)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, timeout, e.Limit)
				require.Equal(t, timeout, e.Elapsed)
			})
			synctest.Wait()
		}
		all.Wait()
		synctest.Wait()
		require.Equal(t, 3*time.Second, ended.Sub(began))
	}, parley.WithMergedGets(true))
}

func TestMergedGets_aFailureIsThatOfAll(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		kind   error
	}{
		"no answer": {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second); panic(http.ErrAbortHandler) }, parley.ErrPeerClosed},
		"a body that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half") // the reader may be gone
		}, parley.ErrRead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, test.answer, func(t *testing.T, c *parley.Client) {
				var all sync.WaitGroup
				var mu sync.Mutex
				seen := map[*parley.Error]bool{}
				for range 3 {
					all.Go(func() {
						_, err := c.Get(t.Context(), "x")
						require.ErrorIs(t, err, test.kind)
						var e *parley.Error
						require.ErrorAs(t, err, &e)
						mu.Lock()
						defer mu.Unlock()
						seen[e] = true
					})
				}
				all.Wait()
				require.Len(t, seen, 3, "each has an error of its own")
			}, parley.WithMergedGets(true))
		})
	}
}

func TestMergedGets_aPanicReachesEveryCall(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithMergedGets(true), parley.WithTransport(parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
		panic("of the transport")
	})))
	require.PanicsWithValue(t, "of the transport", func() { _, _ = c.Get(t.Context(), "http://a.test/") })

	body := &closeNoting{Reader: panicking{}}
	c = newSession(t, parley.WithMergedGets(true), parley.WithTransport(parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) {
		return &parley.Response{StatusCode: 200, Body: body}, nil
	})))
	require.PanicsWithValue(t, "of the body", func() { _, _ = c.Get(t.Context(), "http://a.test/") })
	require.True(t, body.closed.Load())
}

// panicking is a reader that does.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("of the body") }

// A large answer is streamed to one call, and no memory is taken for the others.
func TestMergedGets_aLargeAnswerIsForOneCall(t *testing.T) {
	t.Parallel()
	s := &oneByOne{size: parley.MaxMergedBytes + 1}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		responses := together(t, getting(t, c, "x"), getting(t, c, "x"), getting(t, c, "x"))
		require.EqualValues(t, 3, s.n.Load())
		texts := map[byte]bool{}
		for _, resp := range responses {
			b, err := resp.Bytes()
			require.NoError(t, err)
			require.Len(t, b, s.size)
			texts[b[0]] = true
		}
		require.Len(t, texts, 3)
	}, parley.WithMergedGets(true))
}

func TestMergedGets_theEndOfACallIsToldInTheBodyThatItHasForItself(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "half") // the reader may be gone
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *parley.Client) {
		for _, end := range []func() (context.Context, []parley.RequestOption, error){
			func() (context.Context, []parley.RequestOption, error) {
				return t.Context(), []parley.RequestOption{parley.WithTimeout(time.Second)}, parley.ErrTotalTimeout
			},
			func() (context.Context, []parley.RequestOption, error) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				t.Cleanup(cancel)
				return ctx, nil, context.DeadlineExceeded
			},
			func() (context.Context, []parley.RequestOption, error) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				return ctx, nil, context.Canceled
			},
		} {
			ctx, opts, kind := end()
			began := time.Now()
			_, err := c.Get(ctx, "x", opts...)
			require.ErrorIs(t, err, kind)
			require.Equal(t, time.Second, time.Since(began))
			if !errors.Is(kind, context.Canceled) {
				require.ErrorIs(t, err, parley.ErrTotalTimeout)
			}
		}
	}, parley.WithMergedGets(true))
}

// Who changes something reads it afterwards, whatever others began to read before.
func TestMergedGets_nothingIsMergedAcrossAChange(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			s.serve(w, r)
		}
	}, func(t *testing.T, c *parley.Client) {
		change := func() (*parley.Response, error) {
			if _, err := c.Put(t.Context(), "x", parley.WithText("new")); err != nil {
				return nil, err
			}
			return c.Get(t.Context(), "x")
		}
		elsewhere := func() (*parley.Response, error) {
			if _, err := c.Put(t.Context(), "http://b.test/x", parley.WithText("new")); err != nil {
				return nil, err
			}
			return c.Get(t.Context(), "x")
		}
		responses := together(t, getting(t, c, "x"), elsewhere, change)
		require.EqualValues(t, 2, s.n.Load())
		require.False(t, responses[0].Timing().Merged)
		require.True(t, responses[1].Timing().Merged)
		require.False(t, responses[2].Timing().Merged)
	}, parley.WithMergedGets(true))
}

func TestMergedGets_takeOnePlaceAmongTheLimits(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		responses := together(t, getting(t, c, "y"), getting(t, c, "x"), getting(t, c, "x"), getting(t, c, "x"))
		require.Equal(t, 4*time.Second, time.Since(began))
		for _, resp := range responses[1:] {
			require.Equal(t, []parley.Hold{{Reason: "rate limit", Wait: 3 * time.Second}}, resp.Holds())
		}
		require.EqualValues(t, 2, s.n.Load())
	}, parley.WithMergedGets(true), parley.WithRateLimit(&ticker{every: 3 * time.Second}))
}

// The second request of a call that hedges must not wait for the first.
func TestMergedGets_aHedgedRequestIsItsOwn(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			after(time.Hour, w, r, "slow")
		}
	}, func(t *testing.T, c *parley.Client) {
		began := time.Now()
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.True(t, resp.Tries[0].Hedged)
		require.Equal(t, time.Second, time.Since(began))
		require.EqualValues(t, 2, n.Load())
	}, parley.WithMergedGets(true), parley.WithRetry(parley.RetryPolicy{Hedge: time.Second}))
}

func TestMergedGets_aWaitThatWouldOutlastTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) { tells(w, 429, "Retry-After", "7") }, func(t *testing.T, c *parley.Client) {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		began := time.Now()
		_, err = c.Get(t.Context(), "x", parley.WithTimeout(5*time.Second))
		require.ErrorIs(t, err, parley.ErrLimited)
		require.Zero(t, time.Since(began))
		_, err = c.Get(t.Context(), "x")
		require.NoError(t, err)
		asLong(t, 7*time.Second, time.Since(began))
	}, parley.WithMergedGets(true), parley.WithServerLimits(parley.ServerLimits{}))
}

// An answer without a body that is for one call.
func TestMergedGets_noContentForOneCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) { tells(w, 204, "Cache-Control", "private") }, func(t *testing.T, c *parley.Client) {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, 204, resp.StatusCode)
		require.NotNil(t, resp.Request)
	}, parley.WithMergedGets(true))
}

// Over sockets, with codings, redirects, retries and many calls at once.
func TestMergedGets_overTheNetwork(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	data := gzipped(t, "content")
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		switch {
		case r.RequestURI == "/from":
			return "HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n"
		case n.Add(1)%3 == 1:
			return refusal(503)
		}
		time.Sleep(time.Millisecond)
		return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strconv.FormatInt(int64(len(data)), 16) + "\r\n" + data + "\r\n0\r\n\r\n"
	}))
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithMergedGets(true), promptly(parley.RetryPolicy{Tries: -1, Budget: &parley.RetryBudget{Burst: -1}}))
	var all sync.WaitGroup
	var merged atomic.Int32
	for range 16 {
		all.Go(func() {
			for range 25 {
				resp, err := c.Get(t.Context(), "from")
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, "content", text)
				require.Len(t, resp.History, 1)
				if resp.Timing().Merged {
					merged.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.NotZero(t, merged.Load())
	require.Less(t, int(n.Load()), 16*25*2)
	require.Zero(t, c.Stats().Active)
}

// deafly is a transport that takes no notice of contexts.
type deafly struct {
	body   *closeNoting
	header http.Header
	err    error
}

type closeNoting struct {
	io.Reader
	closed atomic.Bool
}

func (b *closeNoting) Close() error {
	b.closed.Store(true)
	return nil
}

func (d *deafly) Send(_ context.Context, req *parley.Request) (*parley.Response, error) {
	time.Sleep(time.Minute)
	if d.err != nil {
		return nil, d.err
	}
	return &parley.Response{StatusCode: 200, Header: d.header, Body: d.body, ContentLength: -1}, nil
}

func TestMergedGets_anAnswerThatNobodyWaitsForIsClosed(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{"for all": {}, "for one": {"Set-Cookie": {"a=b"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &deafly{body: &closeNoting{Reader: strings.NewReader("late")}, header: header}
			inBubble(t, nil, func(t *testing.T, c *parley.Client) {
				_, err := c.Get(t.Context(), "x", parley.WithTimeout(time.Second))
				require.ErrorIs(t, err, parley.ErrTotalTimeout)
				time.Sleep(time.Hour)
				require.True(t, d.body.closed.Load())
			}, parley.WithMergedGets(true), parley.WithTransport(d))
		})
	}
}

func TestMergedGets_anErrorOfAnotherTransport(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, c *parley.Client) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				_, err := c.Get(t.Context(), "x")
				require.ErrorIs(t, err, errBroken)
			})
		}
		all.Wait()
	}, parley.WithMergedGets(true), parley.WithTransport(&deafly{err: errBroken}))
}
