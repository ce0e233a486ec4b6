package parley_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestHandler_streamsAnswersWhileTheyAreWritten(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for line := range next {
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		}
	})))
	resp, err := streamAfter(t, c, func() { next <- "one" })
	require.NoError(t, err)
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "one", lines.Text())
	next <- "two"
	require.True(t, lines.Scan())
	require.Equal(t, "two", lines.Text())
	close(next)
	require.False(t, lines.Scan())
	require.NoError(t, lines.Err())
	require.NoError(t, resp.Close())
}

// streamAfter streams a GET while f runs.
func streamAfter(t *testing.T, c *parley.Client, f func()) (*parley.Response, error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	resp, err := c.Stream(t.Context(), "GET", "x")
	<-done
	return resp, err
}

// A handler that is ahead of its reader waits.
func TestHandler_buffersNoMoreThanABound(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	stopped := make(chan error, 1)
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		total := 0
		for {
			n, err := w.Write(make([]byte, 1000))
			total += n
			if err != nil {
				written <- total
				stopped <- err
				return
			}
		}
	})))
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 10_000))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Less(t, <-written, 200_000)
	require.ErrorIs(t, <-stopped, io.ErrClosedPipe)
}

func TestHandler_theContextIsTheCalls(t *testing.T) {
	t.Parallel()
	type key struct{}
	ended := make(chan error, 1)
	seen := make(chan any, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Context().Value(key{})
		if r.URL.Path == "/head" {
			w.(http.Flusher).Flush()
		}
		if r.URL.Path != "/done" {
			<-r.Context().Done()
		}
		ctx := r.Context()
		go func() {
			<-ctx.Done()
			ended <- ctx.Err()
		}()
	})
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(handler))
	base := context.WithValue(t.Context(), key{}, "mine")
	tests := map[string]func(){
		"cancelled before the head": func() {
			ctx, cancel := context.WithCancel(base)
			time.AfterFunc(10*time.Millisecond, cancel)
			_, err := c.Get(ctx, "x")
			requireCancelled(t, err, parley.PhaseResponse, parley.MaybeSent)
		},
		"cancelled in the body": func() {
			ctx, cancel := context.WithCancel(base)
			resp, err := c.Stream(ctx, "GET", "head")
			require.NoError(t, err)
			cancel()
			_, err = io.ReadAll(resp.Body)
			requireCancelled(t, err, parley.PhaseRead, parley.Answering)
		},
		"closed early": func() {
			resp, err := c.Stream(base, "GET", "head")
			require.NoError(t, err)
			require.NoError(t, resp.Close())
		},
		"a total timeout": func() {
			_, err := c.Get(base, "x", parley.WithTimeout(20*time.Millisecond))
			require.ErrorIs(t, err, parley.ErrTotalTimeout)
		},
		"the handler returns": func() {
			_, err := c.Get(base, "done")
			require.NoError(t, err)
		},
	}
	for name, f := range tests {
		f()
		require.Nil(t, <-seen, name)
		require.ErrorIs(t, <-ended, context.Canceled, name)
	}
}

func TestHandler_panicsAreErrorsOrPassedOn(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begin")
		switch r.URL.Path {
		case "/flushed", "/flushed-abort":
			w.(http.Flusher).Flush()
		}
		switch r.URL.Path {
		case "/exit":
			runtime.Goexit()
		case "/abort", "/flushed-abort":
			panic(http.ErrAbortHandler)
		}
		panic(cause)
	})
	read := func(transport parley.Transport, path string) (err error) {
		req, err := parley.NewRequest("GET", "http://a.test/"+path)
		require.NoError(t, err)
		resp, err := transport.Send(t.Context(), req)
		if err == nil {
			defer resp.Close()
			_, err = resp.Bytes()
		}
		return err
	}
	for _, path := range []string{"panic", "flushed", "exit", "abort", "flushed-abort"} {
		err := read(parley.HandlerTransport(handler), path)
		require.ErrorIs(t, err, parley.ErrPeerClosed, path)
		sent := parley.MaybeSent
		if strings.HasPrefix(path, "flushed") {
			sent = parley.Answering
		}
		requireSent(t, err, sent, path)
		var p *parley.HandlerPanic
		if path != "panic" && path != "flushed" {
			require.False(t, errors.As(err, &p), path)
			continue
		}
		require.ErrorAs(t, err, &p)
		require.Equal(t, cause, p.Value)
		require.Contains(t, string(p.Stack), "TestHandler_panics")
		require.ErrorIs(t, err, cause)
		require.Contains(t, err.Error(), "the handler panicked: cause")
	}
	passing, err := parley.NewHandlerTransport(parley.HandlerConfig{Handler: handler, PassPanics: true})
	require.NoError(t, err)
	for _, path := range []string{"panic", "flushed"} {
		require.PanicsWithValue(t, cause, func() { _ = read(passing, path) }, path)
	}
	for _, path := range []string{"exit", "abort", "flushed-abort"} {
		require.ErrorIs(t, read(passing, path), parley.ErrPeerClosed, path)
	}
	c := newSession(t, parley.WithTransport(passing), parley.WithBaseURL("http://a.test"))
	require.PanicsWithValue(t, cause, func() { _, _ = c.Get(t.Context(), "flushed") })
}

func TestHandler_theRequestIsThatOfAServer(t *testing.T) {
	t.Parallel()
	var got *http.Request
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })
	c := newSession(t, parley.WithHandler(handler))
	resp, err := c.Get(t.Context(), "https://user:secret@a.test:8443/x?q=1#part", parley.WithHost("b.test"))
	require.NoError(t, err)
	require.Equal(t, "/x?q=1", got.RequestURI)
	require.Equal(t, "/x?q=1", got.URL.String())
	require.Equal(t, "b.test", got.Host)
	require.Equal(t, "192.0.2.1:1234", got.RemoteAddr)
	require.NotNil(t, got.TLS)
	require.EqualValues(t, tls.VersionTLS13, got.TLS.Version)
	require.True(t, got.TLS.HandshakeComplete)
	require.Equal(t, "a.test", got.TLS.ServerName)
	require.Same(t, got.TLS, resp.TLS)
	addr, ok := got.Context().Value(http.LocalAddrContextKey).(net.Addr)
	require.True(t, ok)
	require.Equal(t, "a.test:8443", addr.String())
	for want, opt := range map[string]parley.RequestOption{
		"config.test": parley.WithTLSConfig(&tls.Config{ServerName: "config.test"}),
		"option.test": parley.WithOptions(parley.WithTLSConfig(&tls.Config{ServerName: "config.test"}), parley.WithServerName("option.test")),
	} {
		resp, err := c.Get(t.Context(), "https://a.test", opt)
		require.NoError(t, err)
		require.Equal(t, want, resp.TLS.ServerName, "a name that is set by hand")
	}

	named, err := parley.NewHandlerTransport(parley.HandlerConfig{Handler: handler, RemoteAddr: "10.0.0.1:9"})
	require.NoError(t, err)
	c = derive(t, c, parley.WithTransport(named))
	resp, err = c.Get(t.Context(), "http://a.test")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.1:9", got.RemoteAddr)
	require.Nil(t, got.TLS)
	require.Nil(t, resp.TLS)
	require.Positive(t, resp.Timing().Total)
}

func TestHandler_saysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	_, err := parley.NewHandlerTransport(parley.HandlerConfig{})
	require.Error(t, err)
	_, err = parley.New(parley.WithHandler(nil))
	require.Error(t, err)
	c := newSession(t, parley.WithTransport(parley.HandlerTransport(nil)))
	_, err = c.Get(t.Context(), "http://a.test")
	require.ErrorContains(t, err, "needs a handler")
	requireSent(t, err, parley.NotSent, "there is nobody to send to")

	c = newSession(t, parley.WithHandler(ok))
	_, err = c.Get(t.Context(), "https://a.test", parley.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{{}}}))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	requireSent(t, err, parley.NotSent, "it was refused")
	_, err = c.Get(t.Context(), "https://a.test", parley.WithPublicKeyPins("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = c.Get(t.Context(), "https://a.test", parley.WithTLSConfig(&tls.Config{}), parley.WithProxy("http://p.test"), parley.WithHeaderOrder("X"))
	require.NoError(t, err, "settings of a connection mean nothing where there is none")
}

// The limits hold as they do over a network, and under a clock that is not real.
func TestHandler_timeoutsHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Second
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				for range 5 {
					time.Sleep(limit - time.Second)
					fmt.Fprint(w, "x")
					w.(http.Flusher).Flush()
				}
			case "/reads":
				for range 5 {
					time.Sleep(limit - time.Second)
					if _, err := r.Body.Read(make([]byte, 1)); err != nil {
						return
					}
				}
				io.Copy(io.Discard, r.Body)
			default:
				<-r.Context().Done()
			}
		})
		c, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithHandler(handler), parley.WithPhaseTimeout(limit))
		require.NoError(t, err)
		defer c.Close()
		began := time.Now()
		_, err = c.Get(t.Context(), "wait")
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		require.Equal(t, limit, time.Since(began))
		_, err = c.Post(t.Context(), "wait", parley.WithText("a body that nobody reads"))
		require.ErrorIs(t, err, parley.ErrWriteTimeout)
		requireSent(t, err, parley.MaybeSent, "the handler was called")
		resp, err := c.Get(t.Context(), "slow")
		require.NoError(t, err, "each wait is within its limit")
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "xxxxx", text)
		resp, err = c.Post(t.Context(), "reads", parley.WithText("a body that is read slowly"))
		require.NoError(t, err, "each wait is within its limit")
		require.Equal(t, 200, resp.StatusCode)

		req, err := parley.NewRequest("GET", "http://a.test/wait", parley.WithTimeout(limit/2))
		require.NoError(t, err)
		_, err = parley.HandlerTransport(handler).Send(t.Context(), req)
		require.ErrorIs(t, err, parley.ErrTotalTimeout, "also without a session")
		synctest.Wait()
	})
}

// A handler that reads a body gets it only when it asks for it.
func TestHandler_expectIsAnswered(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(w, r.Body)
	})
	var told []int
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(handler), parley.WithHeader("Expect", "100-continue"),
		parley.WithInformational(func(status int, _ http.Header) { told = append(told, status) }))
	resp, err := c.Post(t.Context(), "x", parley.WithText("body"))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "body", text)
	require.Equal(t, []int{100}, told)
	told = nil
	resp, err = c.Post(t.Context(), "refuse", parley.WithReader(readerThatMustNotBeRead(t)))
	require.NoError(t, err)
	require.Equal(t, http.StatusExpectationFailed, resp.StatusCode)
	require.Empty(t, told)
}

func readerThatMustNotBeRead(t *testing.T) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		t.Error("the body was read")
		return 0, io.EOF
	})
}

// A session has all its manners over a handler.
func TestHandler_isEnoughForAWholeSession(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusFound))
	mux.HandleFunc("/new", func(w http.ResponseWriter, r *http.Request) {
		cookie, _ := r.Cookie("a")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		user, _, _ := r.BasicAuth()
		fmt.Fprint(w, cookie, user)
	})
	mux.HandleFunc("/zipped", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, gzipped(t, "plain"))
	})
	c := newSession(t, parley.WithBaseURL("https://a.test"), parley.WithHandler(mux), parley.WithBasicAuth("me", "secret"))
	require.Equal(t, "me", textOf(t, c, "old"))
	require.Equal(t, "a=1me", textOf(t, c, "old"))
	require.Equal(t, "plain", textOf(t, c, "zipped"))
}

// Nothing is switched without a connection to switch.
func TestHandler_anUpgradeHasNoConnection(t *testing.T) {
	t.Parallel()
	handler := parley.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }))
	resp, err := newSession(t, parley.WithTransport(handler)).Get(t.Context(), "http://a.test")
	require.NoError(t, err)
	_, err = resp.Conn()
	require.ErrorIs(t, err, parley.ErrProtocol, "there is nothing to write to")
}

// Who traces the call hears of informational answers, and can end it.
func TestHandler_aTraceIsTold(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.Copy(w, r.Body)
	})))
	refused := errors.New("refused")
	for _, want := range []error{nil, refused} {
		var told []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
			told = append(told, status)
			return want
		}})
		_, err := c.Post(ctx, "http://a.test", parley.WithText("body"), parley.WithHeader("Expect", "100-continue"))
		require.ErrorIs(t, err, want)
		require.Equal(t, http.StatusEarlyHints, told[0])
		if want == nil {
			require.Equal(t, []int{http.StatusEarlyHints, http.StatusContinue}, told)
		}
	}
}
