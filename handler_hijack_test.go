package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

const (
	switchingToEcho = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
	tunnelled       = "HTTP/1.1 200 Connection established\r\n\r\n"
)

// hijack takes the connection from a handler's writer.
func hijack(t testing.TB, w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("Hijack: %v", err)
		panic(http.ErrAbortHandler)
	}
	return conn, rw
}

// echoOn repeats what it reads until the other side ends.
func echoOn(conn net.Conn) {
	defer conn.Close()
	io.Copy(conn, conn)
}

// raw is a handler that hijacks its connection, writes text and closes it.
func raw(t testing.TB, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _ := hijack(t, w)
		defer conn.Close()
		io.WriteString(conn, text)
	}
}

func TestHandler_aHijackedConnectionIsThatOfTheResponse(t *testing.T) {
	t.Parallel()
	upgrading := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		http.NewResponseController(w).Flush() // some do; there is nothing to send yet
		conn, _ := hijack(t, w)
		io.WriteString(conn, "hello")
		echoOn(conn)
	}
	backend := parley.HandlerTransport(http.HandlerFunc(upgrading))
	for rule, c := range map[string]struct {
		method  string
		handler http.HandlerFunc
	}{
		"first the status, then the connection": {"GET", upgrading},
		"first the connection, then all at once": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			conn, _ := hijack(t, w)
			io.WriteString(conn, switchingToEcho+"hello")
			echoOn(conn)
		}},
		"through the buffers": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			conn, rw := hijack(t, w)
			rw.WriteString(switchingToEcho + "hello")
			rw.Flush()
			echoOn(conn)
		}},
		"after the handler": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			conn, _ := hijack(t, w)
			go func() {
				io.WriteString(conn, switchingToEcho+"hello")
				echoOn(conn)
			}()
		}},
		"by a reverse proxy": {"GET", (&httputil.ReverseProxy{
			Transport: parley.AsRoundTripper(backend), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "b.test"}) },
		}).ServeHTTP},
		"a tunnel": {"CONNECT", func(w http.ResponseWriter, _ *http.Request) {
			conn, _ := hijack(t, w)
			io.WriteString(conn, tunnelled+"hello")
			echoOn(conn)
		}},
		"a tunnel by status": {"CONNECT", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			conn, _ := hijack(t, w)
			io.WriteString(conn, "hello")
			echoOn(conn)
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			client := newSession(t, parley.WithHandler(c.handler), parley.WithTimeouts(parley.Timeouts{Total: guard, Read: short}))
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := client.Stream(ctx, c.method, "https://a.test:8443/", parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))
			require.NoError(t, err)
			cancel() // it is the caller's now
			conn, err := resp.Conn()
			require.NoError(t, err)
			require.Equal(t, "a.test:8443", conn.RemoteAddr().String())
			require.Equal(t, "192.0.2.1:1234", conn.LocalAddr().String())
			require.NotNil(t, resp.TLS)
			word := make([]byte, 5)
			for _, want := range []string{"hello", "first", "other"} {
				_, err = io.ReadFull(conn, word)
				require.NoError(t, err)
				require.Equal(t, want, string(word))
				next := map[string]string{"hello": "first", "first": "other"}[want]
				_, err = io.WriteString(conn, next)
				require.NoError(t, err)
			}
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(-1)))
			_, err = conn.Read(word)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, resp.Close())
		})
	}
}

// Whatever a handler writes by itself is read as over a network.
func TestHandler_aHijackedAnswerIsReadLikeAnyOther(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		text, body string
		kind       error
	}{
		"of known length":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", nil},
		"in chunks with trailers":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", "hi", nil},
		"up to the end":             {"HTTP/1.1 200 OK\r\n\r\nhi", "hi", nil},
		"an interim answer first":   {"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", nil},
		"nothing":                   {"HTTP/1.1 204 No Content\r\n\r\n", "", nil},
		"cut short":                 {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "", parley.ErrPeerClosed},
		"cut short within the head": {"HTTP/1.1 200 OK\r\nConte", "", parley.ErrPeerClosed},
		"no answer":                 {"", "", parley.ErrPeerClosed},
		"malformed":                 {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "", parley.ErrRemoteProtocol},
		"malformed chunks":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "", parley.ErrRemoteProtocol},
		"too long a head":           {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: 1\r\n", 2000) + "\r\n", "", parley.ErrRemoteProtocol},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			client := newSession(t, parley.WithHandler(raw(t, c.text)))
			var told []int
			resp, err := client.Post(t.Context(), "http://a.test", parley.WithText("unread"),
				parley.WithInformational(func(status int, _ http.Header) { told = append(told, status) }))
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
				return
			}
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, c.body, text)
			require.Equal(t, strings.Contains(c.text, "X-Sum"), resp.Trailer.Get("X-Sum") == "1")
			require.Equal(t, strings.Contains(c.text, "103"), len(told) == 1)
		})
	}
}

func TestHandler_aHijackedAnswerHasItsLimits(t *testing.T) {
	t.Parallel()
	held := func(text string) parley.ClientOption {
		return parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _ := hijack(t, w)
			io.WriteString(conn, text)
			io.Copy(io.Discard, conn) // ends with the exchange
			conn.Close()
		}))
	}
	const begun = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx"
	limits := parley.WithTimeouts(parley.Timeouts{Response: short, Read: short})
	_, err := newSession(t, held(""), limits).Get(t.Context(), "http://a.test")
	require.ErrorIs(t, err, parley.ErrResponseTimeout)
	_, err = newSession(t, held(begun), limits).Get(t.Context(), "http://a.test")
	require.ErrorIs(t, err, parley.ErrReadTimeout)
	_, err = newSession(t, held(begun), parley.WithTimeout(short)).Get(t.Context(), "http://a.test")
	require.ErrorIs(t, err, parley.ErrTotalTimeout)

	ctx, cancel := context.WithCancel(t.Context())
	resp, err := newSession(t, held(begun)).Stream(ctx, "GET", "http://a.test")
	require.NoError(t, err)
	cancel()
	_, err = resp.Bytes()
	require.ErrorIs(t, err, context.Canceled)
	resp, err = newSession(t, held(begun)).Stream(t.Context(), "GET", "http://a.test")
	require.NoError(t, err)
	require.NoError(t, resp.Close())

	boom := errors.New("boom")
	_, err = newSession(t, parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _ := hijack(t, w)
		io.WriteString(conn, begun)
		panic(boom)
	}))).Get(t.Context(), "http://a.test")
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, err, parley.ErrPeerClosed)
}

func TestHandler_hijackingHasItsTime(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		before func(http.ResponseWriter)
		want   string // "" where it is too late
	}{
		"with nothing said":           {func(http.ResponseWriter) {}, "raw"},
		"with a body begun":           {func(w http.ResponseWriter) { io.WriteString(w, "begun ") }, "raw"},
		"with a body of known length": {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "3") }, "raw"},
		"once the head is out":        {func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			result := make(chan error, 4)
			client := newSession(t, parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c.before(w)
				if rule == "with a body of known length" {
					w.WriteHeader(http.StatusOK)
				}
				conn, _, err := w.(http.Hijacker).Hijack()
				result <- err
				if err != nil {
					return
				}
				defer conn.Close()
				_, err = w.Write([]byte("x"))
				result <- err
				result <- http.NewResponseController(w).Flush()
				_, _, err = w.(http.Hijacker).Hijack()
				result <- err
				w.WriteHeader(http.StatusTeapot)
				switch rule {
				case "with nothing said":
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw")
				case "with a body begun":
					io.WriteString(conn, "3\r\nraw\r\n0\r\n\r\n")
				default:
					io.WriteString(conn, "raw")
				}
			})))
			text := textOf(t, client, "http://a.test")
			require.Equal(t, c.want, text)
			if c.want == "" {
				require.ErrorContains(t, <-result, "has begun")
				return
			}
			require.NoError(t, <-result)
			for range 3 {
				require.ErrorIs(t, <-result, http.ErrHijacked)
			}
		})
	}
}

func TestHandler_deadlines(t *testing.T) {
	t.Parallel()
	type outcome struct {
		rule string
		err  error
	}
	results := make(chan outcome, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.SetReadDeadline(time.Now().Add(short)); err != nil {
			t.Error(err)
		}
		_, err := io.ReadAll(r.Body)
		results <- outcome{"a read that waits", err}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		_, err = r.Body.Read(make([]byte, 1))
		results <- outcome{"one after that", err}
		io.WriteString(w, "answered")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetReadDeadline(time.Now().Add(short)), c.SetWriteDeadline(time.Now().Add(short)), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * short)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.Flush(), c.SetWriteDeadline(time.Now().Add(short))); err != nil {
			t.Error(err)
		}
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 1<<10))
		}
		results <- outcome{"a write that waits", err}
		results <- outcome{"a flush after that", c.Flush()}
	})
	client := newSession(t, parley.WithHandler(mux), parley.WithBaseURL("http://a.test"))
	slow, end := io.Pipe()
	resp, err := client.Post(t.Context(), "/read", parley.WithReader(slow))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "answered", text)
	require.NoError(t, end.Close())
	require.Equal(t, "body", sendText(t, client, "/moved", "body"))
	resp, err = client.Stream(t.Context(), "GET", "/write")
	require.NoError(t, err)
	for range 2 { // the writes have ended by then
		got := <-results
		require.ErrorIs(t, got.err, os.ErrDeadlineExceeded, got.rule)
	}
	for range 2 {
		got := <-results
		require.ErrorIs(t, got.err, os.ErrDeadlineExceeded, got.rule)
	}
	_, err = resp.Bytes()
	require.ErrorIs(t, err, parley.ErrPeerClosed, "the answer is broken off")
}

// sendText posts a body and gives that of the answer.
func sendText(t testing.TB, c *parley.Client, path, body string) string {
	t.Helper()
	resp, err := c.Post(t.Context(), path, parley.WithText(body))
	require.NoError(t, err, fmt.Sprint(path))
	text, err := resp.Text()
	require.NoError(t, err)
	return text
}
