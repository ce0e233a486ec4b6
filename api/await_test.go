package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// awaitWork is a server whose answers are given one after the other, and when each was asked for.
type awaitWork struct {
	t       *testing.T
	began   time.Time
	answers []string // "status name=value … | content"
	asked   []string // "method host/path after"
	headers []http.Header
}

func (s *awaitWork) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, fmt.Sprintf("%s %s%s %v", r.Method, r.Host, r.URL.RequestURI(), time.Since(s.began).Round(time.Millisecond)))
	s.headers = append(s.headers, r.Header.Clone())
	if len(s.asked) > len(s.answers) {
		s.t.Errorf("asked once too often: %s", s.asked)
		return
	}
	var a struct {
		Status  int
		Header  map[string]string
		Content json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.answers[len(s.asked)-1]), &a); err != nil {
		s.t.Error(err)
	}
	for name, value := range a.Header {
		if value == "soon" {
			value = time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)
		}
		w.Header().Set(name, value)
	}
	if a.Content != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	w.Write(a.Content)
}

// awaiting runs a test in a time of its own, with a resource of a server without sockets.
func awaiting(t *testing.T, answers []string, f func(t *testing.T, s *awaitWork, r *api.Resource), opts ...parley.ClientOption) {
	synctest.Test(t, func(t *testing.T) {
		s := &awaitWork{t: t, began: time.Now(), answers: answers}
		c, err := parley.New(append([]parley.ClientOption{parley.WithHandler(s), parley.WithBaseURL("http://a.test/v1")}, opts...)...)
		require.NoError(t, err)
		f(t, s, api.NewResource(c))
		require.NoError(t, c.Close())
	})
}

// awaitByStatus is how many APIs tell of their work.
func awaitByStatus(resp *parley.Response) (done bool, result string, err error) {
	var job struct{ Status, Result string }
	if err := resp.JSON(&job); err != nil {
		return false, "", err
	}
	if job.Status == "Failed" {
		return false, "", errAwaitFailed
	}
	return job.Status == "Succeeded", job.Result, nil
}

var errAwaitFailed = errors.New("the job failed")

func TestAwait(t *testing.T) {
	status := api.WithAwaitPolicy(api.AwaitPolicy{Status: awaitByStatus})
	for rule, tt := range map[string]struct {
		method  string
		answers []string
		opts    []parley.RequestOption
		asked   []string
		want    any
	}{
		"done at once":                       {"POST", []string{`{"status":201,"content":1}`}, nil, []string{"POST a.test/v1/jobs 0s"}, 1.0},
		"done at once, with nothing to tell": {"POST", []string{`{"status":204}`}, nil, []string{"POST a.test/v1/jobs 0s"}, nil},
		"Location, with waits that grow": {
			"POST", []string{`{"status":202,"header":{"Location":"/v1/jobs/1?a=b"}}`, `{"status":202}`, `{"status":202}`, `{"status":200,"content":"x"}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/v1/jobs/1?a=b 1s", "GET a.test/v1/jobs/1?a=b 2.5s", "GET a.test/v1/jobs/1?a=b 4.75s"}, "x",
		},
		"Operation-Location before Location": {
			"PUT", []string{`{"status":202,"header":{"Location":"/no","Operation-Location":"ops/1"}}`, `{"status":200,"content":2}`}, nil,
			[]string{"PUT a.test/v1/jobs 0s", "GET a.test/v1/ops/1 1s"}, 2.0,
		},
		"Location may move": {
			"POST", []string{`{"status":202,"header":{"Location":"/1"}}`, `{"status":202,"header":{"Location":"/2"}}`, `{"status":200,"content":2}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/2 2.5s"}, 2.0,
		},
		"the resource itself": {
			"GET", []string{`{"status":202}`, `{"status":202}`, `{"status":200,"content":[1]}`}, nil,
			[]string{"GET a.test/v1/jobs 0s", "GET a.test/v1/jobs 1s", "GET a.test/v1/jobs 2.5s"}, []any{1.0},
		},
		"Retry-After in seconds": {
			"POST", []string{`{"status":202,"header":{"Location":"/1","Retry-After":"3"}}`, `{"status":202,"header":{"Retry-After":"0"}}`, `{"status":200}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 3s", "GET a.test/1 3.1s"}, nil,
		},
		"Retry-After as a date": {
			"POST", []string{`{"status":202,"header":{"Location":"/1","Retry-After":"soon"}}`, `{"status":200}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 7s"}, nil,
		},
		"a date that is over": {
			"POST", []string{`{"status":202,"header":{"Location":"/1","Retry-After":"Sun, 06 Nov 1994 08:49:37 GMT"}}`, `{"status":200}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 100ms"}, nil,
		},
		"Retry-After has a bound": {
			"POST", []string{`{"status":202,"header":{"Location":"/1","Retry-After":"86400"}}`, `{"status":202,"header":{"Retry-After":"99999999999999999999"}}`, `{"status":200}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1m0s", "GET a.test/1 2m0s"}, nil,
		},
		"303 leads to the result": {
			"POST", []string{`{"status":202,"header":{"Location":"/1"}}`, `{"status":303,"header":{"Location":"/result"}}`, `{"status":200,"content":"r"}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/result 1s"}, "r",
		},
		"a busy server is asked again": {
			"POST", []string{`{"status":202,"header":{"Location":"/1"}}`, `{"status":503,"header":{"Retry-After":"2"}}`, `{"status":429,"header":{"Retry-After":"4"}}`, `{"status":200,"content":1}`}, nil,
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/1 3s", "GET a.test/1 7s"}, 1.0,
		},
		"a DELETE ends where it is gone": {
			"DELETE", []string{`{"status":202}`, `{"status":200,"content":"still there"}`, `{"status":404,"content":"no"}`}, nil,
			[]string{"DELETE a.test/v1/jobs 0s", "GET a.test/v1/jobs 1s", "GET a.test/v1/jobs 2.5s"}, nil,
		},
		"but where the server names something, with that": {
			"DELETE", []string{`{"status":202,"header":{"Location":"/1"}}`, `{"status":200,"content":"done"}`}, nil, []string{"DELETE a.test/v1/jobs 0s", "GET a.test/1 1s"}, "done",
		},
		"a status in the content": {
			"POST", []string{`{"status":202,"header":{"Operation-Location":"/1"}}`, `{"status":200,"content":{"status":"Running"}}`, `{"status":200,"content":{"status":"Succeeded"}}`}, []parley.RequestOption{status},
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/1 2.5s"}, map[string]any{"status": "Succeeded"},
		},
		"a status that names the result": {
			"POST", []string{`{"status":202,"header":{"Operation-Location":"/1"},"content":{"status":"Running"}}`, `{"status":200,"content":{"status":"Succeeded","result":"/r?x"}}`, `{"status":200,"content":"r"}`}, []parley.RequestOption{status},
			[]string{"POST a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/r?x 1s"}, "r",
		},
		"a status from the first answer on": {
			"PUT", []string{`{"status":201,"header":{"Location":"/1"},"content":{"status":"Running"}}`, `{"status":200,"header":{"Location":"/no"},"content":{"status":"Running"}}`, `{"status":200,"content":{"status":"Succeeded"}}`}, []parley.RequestOption{status},
			[]string{"PUT a.test/v1/jobs 0s", "GET a.test/1 1s", "GET a.test/1 2.5s"}, map[string]any{"status": "Succeeded"},
		},
		"intervals of one's own": {
			"GET", []string{`{"status":202}`, `{"status":202}`, `{"status":202}`, `{"status":200}`},
			[]parley.RequestOption{api.WithAwaitPolicy(api.AwaitPolicy{Interval: 2 * time.Minute, MinInterval: time.Minute, MaxInterval: 150 * time.Second})},
			[]string{"GET a.test/v1/jobs 0s", "GET a.test/v1/jobs 2m0s", "GET a.test/v1/jobs 4m30s", "GET a.test/v1/jobs 7m0s"}, nil,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			awaiting(t, tt.answers, func(t *testing.T, s *awaitWork, r *api.Resource) {
				got, err := r.At("jobs").Await(t.Context(), tt.method, append(tt.opts, parley.WithJSON("work"), parley.WithHeader("X-Own", "1"))...)
				require.NoError(t, err)
				require.Equal(t, tt.want, got)
				require.Equal(t, tt.asked, s.asked)
				for i, h := range s.headers {
					require.Equal(t, "1", h.Get("X-Own"))
					require.Equal(t, i == 0, h.Get("Content-Type") != "", "the content goes with the first request only")
				}
			})
		})
	}
}

func TestAwait_typed(t *testing.T) {
	awaiting(t, []string{`{"status":202,"header":{"Location":"/1"}}`, `{"status":200,"content":{"N":3}}`}, func(t *testing.T, s *awaitWork, r *api.Resource) {
		got, err := api.Await[editCounter](t.Context(), r, "POST")
		require.NoError(t, err)
		require.Equal(t, editCounter{N: 3}, got)
	})
	awaiting(t, []string{`{"status":202}`, `{"status":410}`}, func(t *testing.T, s *awaitWork, r *api.Resource) {
		got, err := api.Await[*parley.Response](t.Context(), r, "DELETE")
		require.NoError(t, err)
		require.Nil(t, got)
	})
}

func TestAwait_failures(t *testing.T) {
	accepted := `{"status":202,"header":{"Location":"/1"}}`
	for rule, tt := range map[string]struct {
		answers []string
		policy  api.AwaitPolicy
		check   func(t *testing.T, err error)
	}{
		"a POST that names nothing": {[]string{`{"status":202}`}, api.AwaitPolicy{}, func(t *testing.T, err error) { require.ErrorIs(t, err, http.ErrNoLocation) }},
		"a refusal":                 {[]string{`{"status":503,"header":{"Retry-After":"1"}}`}, api.AwaitPolicy{}, wantStatus(503)},
		"a poll that fails":         {[]string{accepted, `{"status":500}`}, api.AwaitPolicy{}, wantStatus(500)},
		"busy without a time":       {[]string{accepted, `{"status":503}`}, api.AwaitPolicy{}, wantStatus(503)},
		"a monitor that is gone":    {[]string{accepted, `{"status":404}`}, api.AwaitPolicy{}, wantStatus(404)},
		"a result that is gone": {
			[]string{accepted, `{"status":200,"content":{"status":"Succeeded","result":"/r"}}`, `{"status":404}`}, api.AwaitPolicy{Status: awaitByStatus}, wantStatus(404),
		},
		"a job that failed":      {[]string{accepted, `{"status":200,"content":{"status":"Failed"}}`}, api.AwaitPolicy{Status: awaitByStatus}, func(t *testing.T, err error) { require.Equal(t, errAwaitFailed, err) }},
		"a monitor that is none": {[]string{`{"status":202,"header":{"Location":"file:///x"}}`}, api.AwaitPolicy{}, func(t *testing.T, err error) { require.ErrorIs(t, err, parley.ErrUnsupportedProtocol) }},
		"too many polls":         {[]string{accepted, `{"status":202}`, `{"status":202}`}, api.AwaitPolicy{MaxPolls: 2}, wantNotDone(2, 2500*time.Millisecond)},
		"too long":               {[]string{accepted, `{"status":202}`, `{"status":202}`}, api.AwaitPolicy{MaxTime: 2 * time.Second}, wantNotDone(2, 2*time.Second)},
		"a negative interval":    {nil, api.AwaitPolicy{Interval: -1}, func(t *testing.T, err error) { require.ErrorContains(t, err, "WithAwaitPolicy") }},
		"bounds that cross":      {nil, api.AwaitPolicy{MinInterval: 2, MaxInterval: 1}, func(t *testing.T, err error) { require.ErrorContains(t, err, "not above MaxInterval") }},
	} {
		t.Run(rule, func(t *testing.T) {
			awaiting(t, tt.answers, func(t *testing.T, s *awaitWork, r *api.Resource) {
				_, err := r.Await(t.Context(), "post", api.WithAwaitPolicy(tt.policy), parley.WithQuery("key", "secret"))
				require.Error(t, err)
				require.NotContains(t, err.Error(), "secret")
				tt.check(t, err)
				require.Len(t, s.asked, len(tt.answers))
			})
		})
	}
}

func wantStatus(status int) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		var refused *parley.StatusError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, status, refused.StatusCode)
	}
}

func wantNotDone(polls int, after time.Duration) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		var late *api.NotDoneError
		require.ErrorAs(t, err, &late)
		require.Equal(t, []any{polls, after, "/1"}, []any{late.Polls, late.Elapsed, late.Monitor.Path})
		require.ErrorIs(t, err, parley.ErrTimeout)
		require.ErrorAs(t, err, new(*parley.Error))
	}
}

// Without a bound on time the context alone ends the waiting, at once.
func TestAwait_endsWithItsContext(t *testing.T) {
	busy := make([]string, 100)
	for i := range busy {
		busy[i] = `{"status":202}`
	}
	forever := api.WithAwaitPolicy(api.AwaitPolicy{MaxTime: -1, MaxInterval: time.Hour})
	awaiting(t, busy, func(t *testing.T, s *awaitWork, r *api.Resource) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		_, err := r.Await(ctx, "GET", forever)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, parley.ErrTotalTimeout)
		require.Equal(t, 10*time.Hour, time.Since(s.began))
	})
	awaiting(t, busy, func(t *testing.T, s *awaitWork, r *api.Resource) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(errAwaitFailed) })
		_, err := r.Await(ctx, "GET", forever)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errAwaitFailed, "the cause stays reachable")
		require.ErrorAs(t, err, new(*parley.Error))
		require.Equal(t, 1500*time.Millisecond, time.Since(s.began))
	})
}

// What a server names on another origin is polled without anything that is meant for it.
func TestAwait_credentialsStayWithTheirOrigin(t *testing.T) {
	for rule, opts := range map[string][]parley.ClientOption{"with a base URL": nil, "without": {parley.WithBaseURL("http://other.test")}} {
		t.Run(rule, func(t *testing.T) {
			answers := []string{`{"status":202,"header":{"Location":"http://b.test/1"}}`, `{"status":202,"header":{"Location":"http://a.test/2"}}`, `{"status":200}`}
			awaiting(t, answers, func(t *testing.T, s *awaitWork, r *api.Resource) {
				_, err := r.Join("http://a.test/").With(parley.WithBearerToken("t"), parley.WithHeader("X-Own", "1")).Await(t.Context(), "POST", parley.WithText("x"))
				require.NoError(t, err)
				require.Equal(t, []string{"POST a.test/ 0s", "GET b.test/1 1s", "GET a.test/2 2.5s"}, s.asked)
				for i, h := range s.headers {
					want := [2]string{}
					if i == 0 {
						want = [2]string{"Bearer t", "1"}
					}
					require.Equal(t, want, [2]string{h.Get("Authorization"), h.Get("X-Own")}, i)
				}
			}, opts...)
		})
	}
}

// Over sockets, with a server that is slow to answer the poll.
func TestAwait_isCancelledInAPoll(t *testing.T) {
	t.Parallel()
	polled := make(chan struct{})
	c := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/1")
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		close(polled)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-polled
		cancel()
	}()
	_, err := api.NewResource(c).Await(ctx, "POST", parley.WithJSON(1))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, c.Stats().Active)
}
