package parleytest_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

func TestFail_isWhatItWouldBeOverANetwork(t *testing.T) {
	t.Parallel()
	own := errors.New("of one's own")
	for _, c := range []struct {
		err   error
		phase parley.Phase
		sent  parley.Sent
	}{
		{parley.ErrPoolTimeout, parley.PhasePool, parley.NotSent},
		{parley.ErrConnect, parley.PhaseConnect, parley.NotSent},
		{parley.ErrAddressRefused, parley.PhaseConnect, parley.NotSent},
		{parley.ErrConnectTimeout, parley.PhaseConnect, parley.NotSent},
		{parley.ErrTLS, parley.PhaseConnect, parley.NotSent},
		{parley.ErrPublicKeyPin, parley.PhaseConnect, parley.NotSent},
		{parley.ErrProxy, parley.PhaseConnect, parley.NotSent},
		{parley.ErrInvalidHeader, parley.PhaseRequest, parley.NotSent},
		{parley.ErrWrite, parley.PhaseWrite, parley.MaybeSent},
		{parley.ErrWriteTimeout, parley.PhaseWrite, parley.MaybeSent},
		{parley.ErrPeerClosed, parley.PhaseResponse, parley.MaybeSent},
		{parley.ErrResponseTimeout, parley.PhaseResponse, parley.MaybeSent},
		{parley.ErrRemoteProtocol, parley.PhaseResponse, parley.Answering},
		{parley.ErrReadTimeout, parley.PhaseRead, parley.Answering},
		{own, parley.PhaseResponse, parley.MaybeSent},
		{&parley.Error{Phase: parley.PhaseWrite, Sent: parley.NotSent, Limit: time.Second, Err: own}, parley.PhaseWrite, parley.NotSent},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			mock := parleytest.NewMock(t)
			mock.On("GET", "*").Reply(parleytest.Fail(c.err))
			_, err := mock.Client().Get(t.Context(), "http://h.test/a?token=planted")
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			if given, ok := c.err.(*parley.Error); ok {
				require.ErrorIs(t, err, given.Err)
				require.Equal(t, given.Limit, e.Limit)
			} else {
				require.ErrorIs(t, err, c.err)
			}
			if !errors.Is(c.err, parley.ErrPeerClosed) {
				require.NotErrorIs(t, err, parley.ErrPeerClosed, "how it is done does not show")
			}
			require.Equal(t, c.phase, e.Phase)
			require.Equal(t, c.sent, e.Sent)
			require.Equal(t, "GET", e.Method)
			require.Equal(t, "/a", e.URL.Path)
			require.Equal(t, 1, e.Attempt)
			require.NotContains(t, err.Error(), "planted")
		})
	}
}

func TestFail_inTheMiddleOfAnAnswer(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("GET", "*").Reply(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		parleytest.Fail(parley.ErrTooSlow).ServeHTTP(w, r)
	}))
	client := mock.Client()
	resp, err := client.Stream(t.Context(), "GET", "http://h.test/")
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.Equal(t, "some", string(b))
	require.ErrorIs(t, err, parley.ErrTooSlow)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseRead, e.Phase)
	require.Equal(t, parley.Answering, e.Sent)
	_, err = client.Get(t.Context(), "http://h.test/")
	require.ErrorIs(t, err, parley.ErrTooSlow)
}

func TestCut_breaksTheContentOff(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 3, 7, 100} {
		cut := parleytest.Cut(n, parleytest.Text(200, "content"))
		mock := parleytest.NewMock(t)
		mock.On("*", "*").Reply(cut)
		for name, client := range map[string]*parley.Client{"mock": mock.Client(parley.WithBaseURL("http://h.test")), "server": parleytest.NewServer(t, cut).Client} {
			resp, err := client.Stream(t.Context(), "GET", "")
			require.NoError(t, err, name)
			require.Equal(t, 200, resp.StatusCode)
			b, err := io.ReadAll(resp.Body)
			require.Equal(t, "content"[:min(n, 7)], string(b), name)
			require.ErrorIs(t, err, parley.ErrRead, name)
			require.NotErrorIs(t, err, parley.ErrPeerClosed, name)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
			resp, err = client.Head(t.Context(), "")
			require.NoError(t, err, "an answer without content is whole")
			require.Equal(t, 200, resp.StatusCode)
		}
	}
}

func TestCut_leavesTheWriterWhatItCanDo(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("GET", "*").Reply(parleytest.Cut(4, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2") // which would make it complete
		w.(http.Flusher).Flush()
		io.WriteString(w, "a")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		io.WriteString(w, "b")
	})))
	resp, err := mock.Client().Stream(t.Context(), "GET", "http://h.test/")
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.Equal(t, "ab", string(b))
	require.ErrorIs(t, err, parley.ErrRead)
}

func TestStall_runsIntoTheReadTimeout(t *testing.T) {
	t.Parallel()
	stall := parleytest.Stall(3, parleytest.Text(200, "content"))
	check := func(t *testing.T, client *parley.Client) {
		resp, err := client.Stream(t.Context(), "POST", "", parley.WithText("request"), parley.WithTimeouts(parley.Timeouts{Read: 50 * time.Millisecond}))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.Equal(t, "con", string(b))
		require.ErrorIs(t, err, parley.ErrReadTimeout)
	}
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		check(t, parleytest.NewServer(t, stall).Client)
	})
	t.Run("mock", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			mock := parleytest.NewMock(t)
			mock.On("POST", "/").Reply(stall)
			mock.On("GET", "/").Reply(parleytest.Stall(9, parleytest.Status(204)))
			client := mock.Client(parley.WithBaseURL("http://h.test"))
			check(t, client)
			resp, err := client.Get(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, 204, resp.StatusCode)
		})
	})
}

func TestFaults_overAServerBreakTheConnection(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Handler{
		"an error":                    parleytest.Fail(parley.ErrTLS),
		"a delay that has no time":    parleytest.After(time.Hour, parleytest.Status(200)),
		"a timeout of the response":   parleytest.Timeout(parley.PhaseResponse),
		"a timeout of connecting":     parleytest.Timeout(parley.PhaseConnect),
		"a timeout of reading a body": parleytest.Timeout(parley.PhaseRead),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := parleytest.NewServer(t, h).Client
			if name == "an error" {
				_, err := client.Post(t.Context(), "", parley.WithText("request"))
				require.ErrorIs(t, err, parley.ErrPeerClosed)
				return
			}
			_, err := client.Post(t.Context(), "", parley.WithText("request"), parley.WithPhaseTimeout(50*time.Millisecond))
			require.ErrorIs(t, err, parley.ErrTimeout)
		})
	}
}

func TestNewServer_reportsPanics(t *testing.T) {
	t.Parallel()
	reported(t, func(tb testing.TB) {
		s := parleytest.NewServer(tb, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("tea") }))
		_, err := s.Client.Get(t.Context(), "a")
		require.ErrorIs(t, err, parley.ErrPeerClosed)
	}, "the handler panicked: GET /a: tea", "faults_test.go:")
	all, _ := reports(t, func(tb testing.TB) {
		s := parleytest.NewServer(tb, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		_, err := s.Client.Get(t.Context(), "a")
		require.Error(t, err)
	})
	require.Empty(t, all, "to break a connection off is no fault of the handler")
}

func TestNewServer_remembersRequests(t *testing.T) {
	t.Parallel()
	s := parleytest.NewServer(t, parleytest.Status(200), parley.WithHeader("X-A", "1"))
	_, err := s.Client.Post(t.Context(), "a", parley.WithText("content"), parley.WithQuery("q", "x"))
	require.NoError(t, err)
	call := s.Calls()[0]
	require.Equal(t, "POST", call.Method)
	require.Equal(t, s.URL+"/a?q=x", call.URL.String())
	require.Equal(t, "1", call.Header.Get("X-A"))
	require.Equal(t, "content", string(call.Body))
}
