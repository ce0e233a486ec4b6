package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// feed is a server of event streams. Each request gets the next answer; after the last
// one there is none, and requests wait for their context to end.
type feed struct {
	mock  *parleytest.Mock
	route *parleytest.Route // of the answers, each of which should be asked for
	began time.Time
}

func newFeed(t *testing.T, answers ...http.Handler) *feed {
	f := &feed{mock: parleytest.NewMock(t), began: time.Now()}
	f.route = f.mock.On("GET", "http://a.test/feed").Times(len(answers)).Reply(answers...)
	f.mock.On("GET", "http://a.test/feed").Optional().Reply(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	return f
}

// asked gives the Last-Event-ID of each request.
func (f *feed) asked() (ids []string) {
	for _, call := range f.mock.Calls() {
		ids = append(ids, call.Header.Get("Last-Event-ID"))
	}
	return ids
}

// at tells when the requests came.
func (f *feed) at() (times []time.Duration) {
	for _, call := range f.mock.Calls() {
		times = append(times, call.At.Sub(f.began))
	}
	return times
}

// client makes a session to the feed.
func (f *feed) client(opts ...parley.ClientOption) *parley.Client {
	return f.mock.Client(append([]parley.ClientOption{parley.WithBaseURL("http://a.test")}, opts...)...)
}

// says answers with an event stream that ends.
func says(text string) http.Handler {
	return parleytest.Bytes(200, "text/event-stream; charset=utf-8", []byte(text))
}

// breaksAfter answers with an event stream that is cut.
func breaksAfter(text string) http.Handler { return parleytest.Cut(len(text), says(text)) }

// begins writes some of an event stream that goes on.
func begins(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
	http.NewResponseController(w).Flush()
}

// withType answers with a type and no content.
func withType(contentType string) http.Handler { return parleytest.Bytes(200, contentType, nil) }

// follow collects what the events say, up to the last one of all or an error.
func follow(ctx context.Context, c *parley.Client, last string, opts ...parley.RequestOption) (data []string, err error) {
	for e, err := range c.Events(ctx, "feed", opts...) {
		if err != nil {
			return data, err
		}
		if data = append(data, e.Data); e.Data == last {
			break
		}
	}
	return data, nil
}

func TestEvents_connectAgainWhereTheyStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t,
			says("id: 1\ndata: a\n\n"),
			says("retry: 1000\nid: 2\n\ndata: lost\nid: 3"),
			breaksAfter("data: b\n\n"),
			says("id\ndata: c\n\n"),
			says("data: d\n\n"),
		)
		c := f.client()
		data, err := follow(t.Context(), c, "d")
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c", "d"}, data)
		require.Equal(t, []string{"", "1", "2", "2", ""}, f.asked())
		between := func(i int, low, high time.Duration) {
			t.Helper()
			gap := f.at()[i] - f.at()[i-1]
			require.GreaterOrEqual(t, gap, low)
			require.LessOrEqual(t, gap, high+10*time.Millisecond)
		}
		between(1, 3*time.Second, 4500*time.Millisecond)
		between(2, 2*time.Second, 3*time.Second) // of the server's 1 s, as no event came
		between(3, time.Second, 1500*time.Millisecond)
		between(4, time.Second, 1500*time.Millisecond)
	})
}

func TestEvents_theRequestSaysWhatItIs(t *testing.T) {
	t.Parallel()
	f := newFeed(t, says("data: x\n\n"))
	c := f.client(parley.WithHeader("Accept", "application/json"), parley.WithBearerToken("token"))
	_, err := follow(t.Context(), c, "x", parley.WithHeader("Last-Event-ID", "41"), parley.WithHeader("X-Mine", "1"))
	require.NoError(t, err)
	seen := f.mock.Calls()[0].Header
	require.Equal(t, "text/event-stream", seen.Get("Accept"))
	require.Equal(t, "no-cache", seen.Get("Cache-Control"))
	require.Equal(t, "41", seen.Get("Last-Event-ID"), "the id of a former program")
	require.Equal(t, "Bearer token", seen.Get("Authorization"))
	require.Equal(t, "1", seen.Get("X-Mine"))
}

func TestEvents_endWhereTheServerOrTheRulesSaySo(t *testing.T) {
	t.Parallel()
	opened := says("data: x\n\n")
	statusOf := func(code int) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			var status *parley.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, code, status.StatusCode)
		}
	}
	is := func(kind error) func(*testing.T, error) {
		return func(t *testing.T, err error) { require.ErrorIs(t, err, kind) }
	}
	silent := func(t *testing.T, err error) { require.NoError(t, err) }
	for name, test := range map[string]struct {
		answers []http.Handler
		check   func(*testing.T, error)
	}{
		"204 at once":                       {[]http.Handler{parleytest.Status(204)}, silent},
		"204 later":                         {[]http.Handler{opened, parleytest.Status(204)}, silent},
		"another 2xx":                       {[]http.Handler{parleytest.Status(202)}, statusOf(202)},
		"205":                               {[]http.Handler{opened, parleytest.Status(205)}, statusOf(205)},
		"304":                               {[]http.Handler{opened, parleytest.Status(304)}, statusOf(304)},
		"404 at once":                       {[]http.Handler{parleytest.Status(404)}, statusOf(404)},
		"404 later":                         {[]http.Handler{opened, parleytest.Status(404)}, statusOf(404)},
		"503 at once":                       {[]http.Handler{parleytest.WithHeader("Retry-After", "1", parleytest.Status(503))}, statusOf(503)},
		"503 later goes on":                 {[]http.Handler{opened, parleytest.Status(503), parleytest.Status(429), parleytest.Status(500), parleytest.Status(204)}, silent},
		"another content type":              {[]http.Handler{withType("text/html")}, is(parley.ErrDecoding)},
		"another content type later":        {[]http.Handler{opened, withType("text/plain")}, is(parley.ErrDecoding)},
		"no content type":                   {[]http.Handler{parleytest.Status(200)}, is(parley.ErrDecoding)},
		"the content type in capitals":      {[]http.Handler{withType("Text/Event-Stream;x=y"), parleytest.Status(204)}, silent},
		"a failure at once":                 {[]http.Handler{parleytest.Fail(parley.ErrPeerClosed)}, is(parley.ErrPeerClosed)},
		"failures later go on":              {[]http.Handler{opened, parleytest.Fail(parley.ErrPeerClosed), breaksAfter(""), parleytest.Status(204)}, silent},
		"a redirect to nowhere":             {[]http.Handler{opened, parleytest.WithHeader("Location", "ftp://a.test/", parleytest.Status(307))}, is(parley.ErrUnsupportedProtocol)},
		"an event that is too large":        {[]http.Handler{says("data: " + strings.Repeat("x", 1<<20) + "\n\n")}, is(parley.ErrBodyTooLarge)},
		"an event that is just not too big": {[]http.Handler{says("data: " + strings.Repeat("x", 1<<20-6) + "\n\n"), parleytest.Status(204)}, silent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t, test.answers...)
				_, err := follow(t.Context(), f.client(), "")
				test.check(t, err)
				require.Len(t, f.asked(), len(test.answers))
			})
		})
	}
}

func TestEvents_giveUpAfterAsManyTriesAsAllowed(t *testing.T) {
	t.Parallel()
	fails := parleytest.Status(500)
	for name, test := range map[string]struct {
		policy parley.EventsPolicy
		tries  int // reconnects
	}{
		"by default":                      {parley.EventsPolicy{}, 10},
		"as the policy says":              {parley.EventsPolicy{MaxTries: 2}, 2},
		"never, and 50 were not too many": {parley.EventsPolicy{MaxTries: -1}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t, append(append([]http.Handler{says("data: x\n\n")}, slices.Repeat([]http.Handler{fails}, 50)...), parleytest.Status(204))...)
				f.route.Optional()
				c := f.client(parley.WithEventsPolicy(test.policy))
				_, err := follow(t.Context(), c, "")
				if test.policy.MaxTries >= 0 {
					require.ErrorAs(t, err, new(*parley.StatusError))
					require.Len(t, f.asked(), 1+test.tries)
				} else {
					require.NoError(t, err)
					require.Len(t, f.asked(), 2+test.tries)
				}
				at := f.at()
				for i := 1; i < len(at); i++ {
					require.LessOrEqual(t, at[i]-at[i-1], parley.DefaultEventsMaxRetry+10*time.Millisecond)
				}
			})
		})
	}
}

func TestEvents_anEventForgivesFormerFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answers []http.Handler
		for range 5 {
			answers = append(answers, says("data: x\n\n"), parleytest.Status(500), breaksAfter(": nothing\n\n"))
		}
		c := newFeed(t, append(answers, says("data: end\n\n"))...).client(parley.WithEventsPolicy(parley.EventsPolicy{MaxTries: 3}))
		data, err := follow(t.Context(), c, "end")
		require.NoError(t, err)
		require.Len(t, data, 6)
	})
}

func TestEvents_endWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]http.Handler{
		"while one is waited for":  nil,
		"while a head is":          {says("data: x\n\n"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })},
		"while a reconnect is due": {says("retry: 86400000\ndata: x\n\n")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
					c := newFeed(t, answers...).client(parley.WithEventsPolicy(parley.EventsPolicy{MaxRetry: 24 * time.Hour}))
					ctx, cancel := context.WithCancel(t.Context())
					if cause == context.DeadlineExceeded {
						ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
					} else {
						time.AfterFunc(time.Hour, cancel)
					}
					began := time.Now()
					_, err := follow(ctx, c, "")
					require.ErrorIs(t, err, cause)
					require.ErrorAs(t, err, new(*parley.Error))
					require.Equal(t, time.Hour, time.Since(began))
					cancel()
				}
				synctest.Wait()
			})
		})
	}
}

func TestEvents_leavingTheLoopClosesTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		watch := parleytest.NoLeaks(t)
		over := make(chan struct{})
		f := newFeed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begins(w, "data: x\n\n")
			<-r.Context().Done()
			close(over)
		}))
		c := f.client(watch)
		for e, err := range c.Events(t.Context(), "feed") {
			require.NoError(t, err)
			require.Equal(t, "x", e.Data)
			break
		}
		<-over
		require.Len(t, f.asked(), 1)
	})
}

func TestEvents_mayBeSilentForLongUnlessTheCallBoundsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			begins(w, "data: x\n\n")
			time.Sleep(time.Hour)
			io.WriteString(w, "data: y\n\n")
		}))
		c := f.client(parley.WithPhaseTimeout(time.Second))
		data, err := follow(t.Context(), c, "y")
		require.NoError(t, err)
		require.Equal(t, []string{"x", "y"}, data)

		f = newFeed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begins(w, "id: 5\ndata: x\n\n")
			for range 3 { // signs of life
				time.Sleep(50 * time.Second)
				begins(w, ":\n")
			}
			<-r.Context().Done()
		}), says("data: z\n\n"))
		data, err = follow(t.Context(), f.client(), "z", parley.WithTimeouts(parley.Timeouts{Read: time.Minute}))
		require.NoError(t, err)
		require.Equal(t, []string{"x", "z"}, data)
		require.Equal(t, []string{"", "5"}, f.asked())
		require.GreaterOrEqual(t, f.at()[1], 150*time.Second+time.Minute+3*time.Second)
	})
}

func TestEvents_aBodyOfAnErrorIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, parleytest.Stall(100, parleytest.Text(404, "the beginning")))
		began := time.Now()
		_, err := follow(t.Context(), f.client(), "")
		var status *parley.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, "the beginning", string(status.Body))
		require.LessOrEqual(t, time.Since(began), time.Minute)
	})
}

func TestEvents_canBeRangedOverAgain(t *testing.T) {
	t.Parallel()
	f := newFeed(t, says("id: 9\ndata: x\n\n"), says("data: x\n\n"))
	events := f.client().Events(t.Context(), "feed")
	for range 2 {
		for e, err := range events {
			require.NoError(t, err)
			require.Equal(t, "x", e.Data)
			break
		}
	}
	require.Equal(t, []string{"", ""}, f.asked(), "from the start")
}

func TestEvents_mistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c := newFeed(t).client()
	for name, opt := range map[string]parley.RequestOption{
		"a negative wait":        parley.WithEventsPolicy(parley.EventsPolicy{Retry: -1}),
		"limits that contradict": parley.WithEventsPolicy(parley.EventsPolicy{MinRetry: time.Hour}),
		"a nil option":           nil,
	} {
		_, err := follow(t.Context(), c, "", opt)
		require.ErrorContains(t, err, "invalid option", name)
	}
	for _, err := range c.Events(t.Context(), "http://a.test\\x") {
		require.ErrorIs(t, err, parley.ErrInvalidURL)
	}
	require.NoError(t, c.Close())
	_, err := follow(t.Context(), c, "")
	require.ErrorIs(t, err, parley.ErrClientClosed)
}

func TestResponseEvents_readAStreamOnce(t *testing.T) {
	t.Parallel()
	body := "id: 1\ndata: a\n\nevent: done\nretry: 5\ndata: b\n\ndata: lost"
	want := []parley.Event{{Type: "message", Data: "a", ID: "1"}, {Type: "done", Data: "b", ID: "1", Retry: 5 * time.Millisecond}}
	events := func(resp *parley.Response) (got []parley.Event, last error) {
		for e, err := range resp.Events() {
			if last = err; err == nil {
				got = append(got, e)
			}
		}
		return got, last
	}
	resp := &parley.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}
	_, err := resp.Bytes()
	require.NoError(t, err)
	for range 2 { // what was read whole can be looped over again
		got, err := events(resp)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	broken := errors.New("broken")
	got, err := events(&parley.Response{Body: io.NopCloser(io.MultiReader(strings.NewReader(body), failingReader{broken}))})
	require.ErrorIs(t, err, broken)
	require.Equal(t, want, got)

	closed := 0
	resp = &parley.Response{Body: countsCloses{strings.NewReader(body), &closed}}
	for range resp.Events() {
		break
	}
	require.Equal(t, 1, closed)
	_, err = events(&parley.Response{Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20+1)))})
	require.ErrorIs(t, err, parley.ErrBodyTooLarge)
}

// countsCloses tells how often it was closed.
type countsCloses struct {
	io.Reader
	count *int
}

func (c countsCloses) Close() error {
	*c.count++
	return nil
}
