package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// feed is a server of event streams. Each request gets the next answer; after the last
// one there is none, and requests wait for their context to end.
type feed struct {
	answers []func(w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	began time.Time
	asked []string        // the Last-Event-ID of each request
	at    []time.Duration // when they came
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.asked)
	f.asked = append(f.asked, r.Header.Get("Last-Event-ID"))
	f.at = append(f.at, time.Since(f.began))
	f.mu.Unlock()
	if n < len(f.answers) {
		f.answers[n](w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// says answers with an event stream that ends.
func says(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, text)
	}
}

// breaksAfter answers with an event stream that is cut.
func breaksAfter(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		says(text)(w, r)
		http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond) // what was written counts for nothing after a panic
		panic(http.ErrAbortHandler)
	}
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// client makes a session to the feed.
func (f *feed) client(t *testing.T, opts ...parley.ClientOption) *parley.Client {
	f.began = time.Now()
	c, err := parley.New(append([]parley.ClientOption{parley.WithEnv(false), parley.WithBaseURL("http://a.test"), parley.WithHandler(f)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

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
		f := &feed{answers: []func(http.ResponseWriter, *http.Request){
			says("id: 1\ndata: a\n\n"),
			says("retry: 1000\nid: 2\n\ndata: lost\nid: 3"),
			breaksAfter("data: b\n\n"),
			says("id\ndata: c\n\n"),
			says("data: d\n\n"),
		}}
		c := f.client(t)
		data, err := follow(t.Context(), c, "d")
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c", "d"}, data)
		require.Equal(t, []string{"", "1", "2", "2", ""}, f.asked)
		between := func(i int, low, high time.Duration) {
			t.Helper()
			gap := f.at[i] - f.at[i-1]
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
	var seen http.Header
	f := &feed{answers: []func(http.ResponseWriter, *http.Request){func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		says("data: x\n\n")(w, r)
	}}}
	c := f.client(t, parley.WithHeader("Accept", "application/json"), parley.WithBearerToken("token"))
	_, err := follow(t.Context(), c, "x", parley.WithHeader("Last-Event-ID", "41"), parley.WithHeader("X-Mine", "1"))
	require.NoError(t, err)
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
		answers []func(http.ResponseWriter, *http.Request)
		check   func(*testing.T, error)
	}{
		"204 at once":                       {[]func(http.ResponseWriter, *http.Request){status(204)}, silent},
		"204 later":                         {[]func(http.ResponseWriter, *http.Request){opened, status(204)}, silent},
		"another 2xx":                       {[]func(http.ResponseWriter, *http.Request){status(202)}, statusOf(202)},
		"205":                               {[]func(http.ResponseWriter, *http.Request){opened, status(205)}, statusOf(205)},
		"304":                               {[]func(http.ResponseWriter, *http.Request){opened, status(304)}, statusOf(304)},
		"404 at once":                       {[]func(http.ResponseWriter, *http.Request){status(404)}, statusOf(404)},
		"404 later":                         {[]func(http.ResponseWriter, *http.Request){opened, status(404)}, statusOf(404)},
		"503 at once":                       {[]func(http.ResponseWriter, *http.Request){status(503, "Retry-After", "1")}, statusOf(503)},
		"503 later goes on":                 {[]func(http.ResponseWriter, *http.Request){opened, status(503), status(429), status(500), status(204)}, silent},
		"another content type":              {[]func(http.ResponseWriter, *http.Request){status(200, "Content-Type", "text/html")}, is(parley.ErrDecoding)},
		"another content type later":        {[]func(http.ResponseWriter, *http.Request){opened, status(200, "Content-Type", "text/plain")}, is(parley.ErrDecoding)},
		"no content type":                   {[]func(http.ResponseWriter, *http.Request){status(200)}, is(parley.ErrDecoding)},
		"the content type in capitals":      {[]func(http.ResponseWriter, *http.Request){status(200, "Content-Type", "Text/Event-Stream;x=y"), status(204)}, silent},
		"a failure at once":                 {[]func(http.ResponseWriter, *http.Request){func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, is(parley.ErrPeerClosed)},
		"failures later go on":              {[]func(http.ResponseWriter, *http.Request){opened, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, breaksAfter(""), status(204)}, silent},
		"a redirect to nowhere":             {[]func(http.ResponseWriter, *http.Request){opened, status(307, "Location", "ftp://a.test/")}, is(parley.ErrUnsupportedProtocol)},
		"an event that is too large":        {[]func(http.ResponseWriter, *http.Request){says("data: " + strings.Repeat("x", 1<<20) + "\n\n")}, is(parley.ErrBodyTooLarge)},
		"an event that is just not too big": {[]func(http.ResponseWriter, *http.Request){says("data: " + strings.Repeat("x", 1<<20-6) + "\n\n"), status(204)}, silent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &feed{answers: test.answers}
				c := f.client(t)
				_, err := follow(t.Context(), c, "")
				test.check(t, err)
				require.Len(t, f.asked, len(test.answers))
			})
		})
	}
}

func TestEvents_giveUpAfterAsManyTriesAsAllowed(t *testing.T) {
	t.Parallel()
	fails := status(500)
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
				f := &feed{answers: []func(http.ResponseWriter, *http.Request){says("data: x\n\n")}}
				for range 50 {
					f.answers = append(f.answers, fails)
				}
				f.answers = append(f.answers, status(204))
				c := f.client(t, parley.WithEventsPolicy(test.policy))
				_, err := follow(t.Context(), c, "")
				if test.policy.MaxTries >= 0 {
					require.ErrorAs(t, err, new(*parley.StatusError))
					require.Len(t, f.asked, 1+test.tries)
				} else {
					require.NoError(t, err)
					require.Len(t, f.asked, 2+test.tries)
				}
				for i := 1; i < len(f.at); i++ {
					require.LessOrEqual(t, f.at[i]-f.at[i-1], parley.DefaultEventsMaxRetry+10*time.Millisecond)
				}
			})
		})
	}
}

func TestEvents_anEventForgivesFormerFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{}
		for range 5 {
			f.answers = append(f.answers, says("data: x\n\n"), status(500), breaksAfter(": nothing\n\n"))
		}
		f.answers = append(f.answers, says("data: end\n\n"))
		c := f.client(t, parley.WithEventsPolicy(parley.EventsPolicy{MaxTries: 3}))
		data, err := follow(t.Context(), c, "end")
		require.NoError(t, err)
		require.Len(t, data, 6)
	})
}

func TestEvents_endWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]func(http.ResponseWriter, *http.Request){
		"while one is waited for":  nil,
		"while a head is":          {says("data: x\n\n"), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"while a reconnect is due": {says("retry: 86400000\ndata: x\n\n")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &feed{answers: answers}
				c := f.client(t, parley.WithEventsPolicy(parley.EventsPolicy{MaxRetry: 24 * time.Hour}))
				for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
					f.asked = nil
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
		over := make(chan struct{})
		f := &feed{answers: []func(http.ResponseWriter, *http.Request){func(w http.ResponseWriter, r *http.Request) {
			says("data: x\n\n")(w, r)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(over)
		}}}
		c := f.client(t)
		for e, err := range c.Events(t.Context(), "feed") {
			require.NoError(t, err)
			require.Equal(t, "x", e.Data)
			break
		}
		<-over
		require.Len(t, f.asked, 1)
	})
}

func TestEvents_mayBeSilentForLongUnlessTheCallBoundsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			says("data: x\n\n")(w, r)
			http.NewResponseController(w).Flush()
			time.Sleep(time.Hour)
			io.WriteString(w, "data: y\n\n")
		}
		f := &feed{answers: []func(http.ResponseWriter, *http.Request){slow}}
		c := f.client(t, parley.WithPhaseTimeout(time.Second))
		data, err := follow(t.Context(), c, "y")
		require.NoError(t, err)
		require.Equal(t, []string{"x", "y"}, data)

		f.asked, f.at = nil, nil
		f.answers = []func(http.ResponseWriter, *http.Request){
			func(w http.ResponseWriter, r *http.Request) {
				says("id: 5\ndata: x\n\n")(w, r)
				for range 3 { // signs of life
					http.NewResponseController(w).Flush()
					time.Sleep(50 * time.Second)
					io.WriteString(w, ":\n")
				}
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, says("data: z\n\n"),
		}
		data, err = follow(t.Context(), c, "z", parley.WithTimeouts(parley.Timeouts{Read: time.Minute}))
		require.NoError(t, err)
		require.Equal(t, []string{"x", "z"}, data)
		require.Equal(t, []string{"", "5"}, f.asked)
		require.GreaterOrEqual(t, f.at[1], 150*time.Second+time.Minute+3*time.Second)
	})
}

func TestEvents_aBodyOfAnErrorIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{answers: []func(http.ResponseWriter, *http.Request){func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, "the beginning")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}}}
		began := time.Now()
		_, err := follow(t.Context(), f.client(t), "")
		var status *parley.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, "the beginning", string(status.Body))
		require.LessOrEqual(t, time.Since(began), time.Minute)
	})
}

func TestEvents_canBeRangedOverAgain(t *testing.T) {
	t.Parallel()
	f := &feed{answers: []func(http.ResponseWriter, *http.Request){
		says("id: 9\ndata: x\n\n"), says("data: x\n\n"),
	}}
	events := f.client(t).Events(t.Context(), "feed")
	for range 2 {
		for e, err := range events {
			require.NoError(t, err)
			require.Equal(t, "x", e.Data)
			break
		}
	}
	require.Equal(t, []string{"", ""}, f.asked, "from the start")
}

func TestEvents_mistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c := (&feed{}).client(t)
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
