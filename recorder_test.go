package parley_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
)

func recordedPaths(calls []parley.RecordedCall) string {
	var out []string
	for _, c := range calls {
		out = append(out, c.URL[strings.LastIndexByte(c.URL, '/')+1:])
	}
	return strings.Join(out, " ")
}

func TestRecorder_keepsTheLastAndTheFailed(t *testing.T) {
	t.Parallel()
	r := parley.NewRecorder(2)
	c := newSession(t, parley.WithRecorder(r), parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasPrefix(req.URL.Path, "/bad"):
			w.WriteHeader(404)
		case req.URL.Path == "/abort":
			panic(http.ErrAbortHandler)
		}
	})))
	for _, path := range []string{"bad1", "1", "bad2", "abort", "2", "3"} {
		resp, err := c.Get(t.Context(), path)
		require.Equal(t, path == "abort", err != nil)
		require.True(t, err != nil || resp.OK() != strings.HasPrefix(path, "bad"))
	}
	require.Equal(t, "2 3", recordedPaths(r.Calls()))
	require.Equal(t, "bad2 abort", recordedPaths(r.Failed()))
	require.Contains(t, r.String(), "6 calls, 3 failed\nthe last 2 that failed:\n")
	failed := r.Failed()
	require.Equal(t, 404, failed[0].Status)
	require.True(t, failed[0].Failed())
	require.Contains(t, failed[1].Error, "GET http://a.test/abort: ")

	var out bytes.Buffer
	require.NoError(t, r.WriteHAR(&out))
	require.NoError(t, har.Check(out.Bytes()))
	archive, err := har.Decode(&out, 1<<20)
	require.NoError(t, err)
	require.Len(t, archive.Log.Entries, 4, "each call once")
	data, err := json.Marshal(r)
	require.NoError(t, err)
	var back struct {
		Total, Failures int
		Failed, Last    []parley.RecordedCall
	}
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, []int{6, 3, 2, 2}, []int{back.Total, back.Failures, len(back.Failed), len(back.Last)})

	r.Reset()
	require.Empty(t, r.Calls())
	require.Empty(t, r.Failed())
	out.Reset()
	require.NoError(t, r.WriteHAR(&out))
	require.NoError(t, har.Check(out.Bytes()))
}

func TestRecorder_keepsAllRequestsOfACall(t *testing.T) {
	t.Parallel()
	s := tale(t)
	r := parley.NewRecorder(0)
	c := newSession(t, parley.WithRecorder(r), parley.WithHeader("X-Key", "secret"), parley.WithRequestID(parley.RequestID{}))
	_, err := c.Put(t.Context(), s.URL()+"/from", parley.WithText("four"))
	require.NoError(t, err)
	calls := r.Calls()
	require.Len(t, calls, 1)
	call := calls[0]
	require.Equal(t, []any{"PUT", 200, 2, int64(8), int64(5)}, []any{call.Method, call.Status, call.Tries, call.Sent, call.Received})
	require.Len(t, call.RequestID, 32)
	require.Len(t, call.Requests, 2)
	first, second := call.Requests[0], call.Requests[1]
	require.Equal(t, []any{307, "HTTP/1.1", false, s.Addr()}, []any{first.Status, first.Proto, first.Reused, first.RemoteAddr})
	require.Equal(t, []any{200, true, int64(4), int64(5)}, []any{second.Status, second.Reused, second.Sent, second.Received})
	require.Equal(t, "[hidden]", first.RequestHeader.Get("X-Key"))
	require.Equal(t, "/to", first.ResponseHeader.Get("Location"))
	require.GreaterOrEqual(t, call.Duration, second.Duration)
	require.False(t, call.Start.After(first.Start))
}

func TestRecorder_isBounded(t *testing.T) {
	t.Parallel()
	r := parley.NewRecorder(3)
	c := newSession(t, parley.WithRecorder(r), parley.WithMaxRedirects(200), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
		w.Header().Set("Server", strings.Repeat("s", 10_000))
		if n := len(req.URL.RawQuery); n < 100 {
			http.Redirect(w, req, "/?"+strings.Repeat("x", n+1), http.StatusFound)
		}
	})))
	_, err := c.Get(t.Context(), "http://a.test/?x", parley.WithHeader("User-Agent", strings.Repeat("u", 10_000)))
	require.NoError(t, err)
	data, err := json.Marshal(r.Calls())
	require.NoError(t, err)
	require.Less(t, len(data), 1<<20)
	call := r.Calls()[0]
	require.Len(t, call.Requests, 32)
	require.Equal(t, 100, call.Tries)
	require.Len(t, call.Requests[0].RequestHeader.Get("User-Agent"), 256+len("..."))
}

func TestRecorder_isSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := parley.NewRecorder(5)
	archive := parley.NewHAR(parley.HARConfig{MaxEntries: 5})
	c := newSession(t, parley.WithRecorder(r), parley.WithHAR(archive), parley.WithHandler(http.NotFoundHandler()))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				_, err := c.Get(t.Context(), "http://a.test/")
				if err != nil {
					t.Error(err)
				}
				_ = r.String()
				if err := r.WriteHAR(new(bytes.Buffer)); err != nil {
					t.Error(err)
				}
				if _, err := archive.WriteTo(new(bytes.Buffer)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, r.Calls(), 5)
	require.Equal(t, 5, archive.Len())
}
