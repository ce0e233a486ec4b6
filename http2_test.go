package parley_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// http2Server is a server of net/http that speaks HTTP/2, and counts its connections.
type http2Server struct {
	*httptest.Server
	conns atomic.Int64
	trust *tls.Config
}

// serveHTTP2 starts a server with TLS; change, if not nil, may set it up.
func serveHTTP2(t *testing.T, h http.HandlerFunc, change func(*http.Server)) *http2Server {
	t.Helper()
	return startHTTP2(t, h, true, change)
}

func startHTTP2(t *testing.T, h http.HandlerFunc, secure bool, change func(*http.Server)) *http2Server {
	t.Helper()
	s := &http2Server{Server: httptest.NewUnstartedServer(h)}
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if change != nil {
		change(s.Config)
	}
	if secure {
		authority := wiretest.NewAuthority(t)
		s.trust = authority.Trusted()
		s.TLS = authority.Server(t, "a.test", "b.test")
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// session is a session that trusts the server; its URLs are relative to it.
func (s *http2Server) session(t *testing.T, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	base := []parley.ClientOption{parley.WithBaseURL(s.URL), parley.WithEnv(false)}
	if s.trust != nil {
		base = append(base, parley.WithTLSConfig(s.trust))
	} else {
		base = append(base, parley.WithHTTP2(parley.H2C))
	}
	return newSession(t, append(base, opts...)...)
}

// onBoth runs a test with TLS and with prior knowledge.
func onBoth(t *testing.T, h http.HandlerFunc, f func(t *testing.T, s *http2Server, c *parley.Client)) {
	t.Helper()
	for name, secure := range map[string]bool{"h2": true, "h2c": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startHTTP2(t, h, secure, nil)
			f(t, s, s.session(t))
		})
	}
}

func TestHTTP2_AnExchangeIsAsByHTTP1(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s host=%s length=%d ua=%s",
			r.Proto, r.Method, r.RequestURI, r.Host, r.ContentLength, r.UserAgent()))
		w.Write(body)
	}, func(t *testing.T, s *http2Server, c *parley.Client) {
		host := s.Listener.Addr().String()
		for name, test := range map[string]struct {
			method, target string
			opts           []parley.RequestOption
			seen, body     string
		}{
			"GET":            {"GET", "/a%2Fb/?q=%20x", nil, "HTTP/2.0 GET /a%2Fb/?q=%20x host=" + host + " length=0 ua=parley", ""},
			"POST in memory": {"POST", "p", []parley.RequestOption{parley.WithText("hello")}, "HTTP/2.0 POST /p host=" + host + " length=5", "hello"},
			"POST of a reader": {"POST", "p", []parley.RequestOption{parley.WithReader(io.MultiReader(strings.NewReader("stream")))},
				"HTTP/2.0 POST /p host=" + host + " length=-1", "stream"},
			"POST of nothing": {"POST", "p", nil, "HTTP/2.0 POST /p host=" + host + " length=0", ""},
			"a host":          {"GET", "p", []parley.RequestOption{parley.WithHost("b.test")}, "HTTP/2.0 GET /p host=b.test", ""},
			"no user agent": {"GET", "p", []parley.RequestOption{parley.WithoutHeader("User-Agent"), parley.WithHeader("Connection", "x-one"), parley.WithHeader("TE", "gzip")},
				"HTTP/2.0 GET /p host=" + host + " length=0 ua=", ""},
			"two slashes": {"GET", "/x//y", nil, "HTTP/2.0 GET /x//y host=", ""},
		} {
			t.Run(name, func(t *testing.T) {
				resp, err := c.Request(t.Context(), test.method, test.target, test.opts...)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(resp.Header.Get("X-Seen"), test.seen), resp.Header.Get("X-Seen"))
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, test.body, text)
				require.Equal(t, "HTTP/2.0", resp.Proto)
				require.Equal(t, "200 OK", resp.Status)
				require.Equal(t, s.trust != nil, resp.TLS != nil)
				require.NotNil(t, resp.Timing().RemoteAddr)
			})
		}
		require.EqualValues(t, 1, s.conns.Load())
	})
}

func TestHTTP2_ALeadingPairOfSlashesIsAPath(t *testing.T) {
	t.Parallel()
	s := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI+" "+r.Host) }, nil)
	resp, err := s.session(t).Get(t.Context(), s.URL+"//b.test/x?y")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "//b.test/x?y "+s.Listener.Addr().String(), text)
}

func TestHTTP2_AnswersWithoutABodyLeaveTheConnectionAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/head":
			w.Header().Set("Content-Length", "1234")
		}
	}, func(t *testing.T, _ *http2Server, c *parley.Client) {
		for _, test := range []struct {
			method, path string
			length       int64
		}{{"GET", "204", 0}, {"GET", "304", 0}, {"HEAD", "head", 1234}, {"GET", "empty", 0}} {
			resp, err := c.Stream(t.Context(), test.method, test.path)
			require.NoError(t, err)
			require.Equal(t, test.length, resp.ContentLength, test.path)
			require.Zero(t, c.Stats().Active, test.path)
			require.Equal(t, 1, c.Stats().Idle, test.path)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Empty(t, body)
		}
	})
}

func TestHTTP2_TrailersGoBothWays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Check"))
		w.Header().Set(http.TrailerPrefix+"X-More", "unannounced")
	}, func(t *testing.T, _ *http2Server, c *parley.Client) {
		n := 0
		resp, err := c.Post(t.Context(), "", parley.WithText("data"), parley.WithTrailer("x-check", func() string { n++; return "c" + fmt.Sprint(n) }))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "data", text)
		require.Equal(t, http.Header{"X-Sum": {"c1"}, "X-More": {"unannounced"}}, resp.Trailer)
	})
}

func TestHTTP2_ManyAtOnceShareOneConnection(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		io.Copy(w, r.Body)
	}, func(t *testing.T, s *http2Server, c *parley.Client) {
		if s.trust != nil {
			c = s.session(t, parley.WithHTTP2(parley.HTTP2Required)) // for which none waits only 250 ms
		}
		var all sync.WaitGroup
		errs := make(chan error, 128)
		for i := range 128 {
			all.Go(func() {
				for j := range 3 {
					want := strings.Repeat(fmt.Sprint(i, j), 100)
					resp, err := c.Post(t.Context(), "", parley.WithText(want))
					if err == nil {
						if text, bad := resp.Text(); bad != nil || text != want {
							err = fmt.Errorf("%d: %w", len(text), bad)
						}
					}
					if err != nil {
						errs <- err
						return
					}
				}
			})
		}
		all.Wait()
		select {
		case err := <-errs:
			t.Fatal(err)
		default:
		}
		require.EqualValues(t, 1, s.conns.Load(), "the first requests wait for one handshake, and then share")
		require.Equal(t, 1, c.Stats().Idle)
		require.Zero(t, c.Stats().Active)
	})
}

func TestHTTP2_AnotherConnectionIsOpenedWhenOneIsFull(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	release := make(chan struct{})
	s := serveHTTP2(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		<-release
		now.Add(-1)
	}, func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 4} })
	c := s.session(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 3}), parley.WithTimeouts(parley.Timeouts{Pool: 10 * time.Second}))
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			_, err := c.Get(t.Context(), "")
			assert.NoError(t, err)
		})
	}
	wiretest.Eventually(t, func() bool { return now.Load() == 12 && s.conns.Load() == 3 }, "three connections with four streams each")
	require.Equal(t, 3, c.Stats().Active)
	close(release)
	all.Wait()
	require.EqualValues(t, 12, most.Load())
	require.EqualValues(t, 3, s.conns.Load())
}

func TestHTTP2_InterimAnswersAndHooks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/many" {
			for range parley.MaxInformational + 1 {
				w.WriteHeader(103)
			}
		}
		body, _ := io.ReadAll(r.Body) // sends 100 Continue if asked to
		if r.URL.Path != "/other" {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(103)
			w.Header().Del("Link")
		}
		w.Write(body)
	}, func(t *testing.T, _ *http2Server, c *parley.Client) {
		var mu sync.Mutex
		var told []string
		say := func(what string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf(what, args...))
		}
		trace := &httptrace.ClientTrace{
			GetConn: func(string) { say("get") },
			GotConn: func(i httptrace.GotConnInfo) { say("got reused=%v %v", i.Reused, i.Conn != nil) },
			WroteHeaderField: func(k string, v []string) {
				if k == ":method" {
					say("field %v", v)
				}
			},
			WroteHeaders:         func() { say("headers") },
			Wait100Continue:      func() { say("wait") },
			Got100Continue:       func() { say("100") },
			WroteRequest:         func(i httptrace.WroteRequestInfo) { say("request %v", i.Err) },
			GotFirstResponseByte: func() { say("first") },
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				say("1xx %d %s", code, h.Get("Link"))
				// The session may be used, on the same connection too.
				if code == 103 {
					_, err := c.Get(t.Context(), "other")
					return err
				}
				return nil
			},
		}
		ctx := httptrace.WithClientTrace(t.Context(), trace)
		resp, err := c.Post(ctx, "", parley.WithText("body"), parley.WithHeader("Expect", "100-continue"))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "body", text)
		mu.Lock()
		all := strings.Join(told, "\n")
		mu.Unlock()
		for _, inOrder := range [][]string{
			{"get", "got reused=false true", "field [POST]", "headers", "first", "100", "1xx 100"},
			{"headers", "wait"}, {"headers", "request <nil>"},
			{"get", "1xx 100", "1xx 103 </style.css>; rel=preload"},
		} {
			left := all
			for _, what := range inOrder {
				_, after, found := strings.Cut(left, what)
				require.True(t, found, "%s is missing in\n%s", what, all)
				left = after
			}
		}
		bad := errors.New("enough")
		trace.Got1xxResponse = func(int, textproto.MIMEHeader) error { return bad }
		_, err = c.Get(ctx, "")
		require.ErrorIs(t, err, bad)
		require.Equal(t, parley.Answering, sentOf(t, err))

		var seen []int
		_, err = c.Get(t.Context(), "", parley.WithInformational(func(status int, h http.Header) { seen = append(seen, status) }))
		require.NoError(t, err)
		require.Equal(t, []int{103}, seen)
		_, err = c.Get(t.Context(), "many", parley.WithInformational(func(int, http.Header) {}))
		require.ErrorIs(t, err, parley.ErrRemoteProtocol)
	})
}

func TestHTTP2_ABodyThatWaitsForLeaveMayBeRefused(t *testing.T) {
	t.Parallel()
	s := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			time.Sleep(20 * time.Millisecond)
			io.Copy(w, r.Body)
		case "/no":
			w.WriteHeader(417)
		}
	}, nil)
	c := s.session(t)
	body := parley.BytesBody([]byte("body"), "text/plain")
	resp, err := c.Post(t.Context(), "no", parley.WithBody(body), parley.WithHeader("Expect", "100-continue"))
	require.NoError(t, err)
	require.Equal(t, 417, resp.StatusCode)
	resp, err = c.Post(t.Context(), "late", parley.WithBody(body), parley.WithHeader("Expect", "100-continue"), parley.WithExpectTimeout(time.Millisecond))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "body", text)
	require.EqualValues(t, 1, s.conns.Load())
}

func TestHTTP2_LargeBodiesBothWays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(t *testing.T, _ *http2Server, c *parley.Client) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than every window
		resp, err := c.Stream(t.Context(), "POST", "", parley.WithReader(bytes.NewReader(data)))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		require.Zero(t, c.Stats().Active)
	})
}

func TestHTTP2_ACancelledStreamLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/head" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/body" {
			<-r.Context().Done()
			return
		}
		io.Copy(w, r.Body)
	}, func(t *testing.T, s *http2Server, c *parley.Client) {
		pr, pw := io.Pipe()
		other, err := c.Stream(t.Context(), "POST", "other", parley.WithReader(pr))
		require.NoError(t, err)
		for name, end := range map[string]func(path string) error{
			"while the head is waited for": func(string) error {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Millisecond, cancel)
				_, err := c.Get(ctx, "head")
				return err
			},
			"while the body is read": func(string) error {
				ctx, cancel := context.WithCancel(t.Context())
				resp, err := c.Stream(ctx, "GET", "body")
				require.NoError(t, err)
				time.AfterFunc(5*time.Millisecond, cancel)
				_, err = io.ReadAll(resp.Body)
				return err
			},
			"while the body is sent": func(string) error {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Millisecond, cancel)
				r, w := io.Pipe()
				defer w.Close()
				_, err := c.Post(ctx, "head", parley.WithReader(r))
				return err
			},
			"by a limit of the whole": func(string) error {
				_, err := c.Get(t.Context(), "head", parley.WithTimeout(5*time.Millisecond))
				require.ErrorIs(t, err, parley.ErrTotalTimeout)
				return context.Canceled
			},
			"by closing the body": func(string) error {
				resp, err := c.Stream(t.Context(), "GET", "body")
				require.NoError(t, err)
				require.NoError(t, resp.Close())
				_, err = resp.Body.Read(make([]byte, 1))
				require.Error(t, err)
				return context.Canceled
			},
			"by closing the body while it is read": func(string) error {
				resp, err := c.Stream(t.Context(), "GET", "body")
				require.NoError(t, err)
				time.AfterFunc(5*time.Millisecond, func() { resp.Close() })
				_, err = io.ReadAll(resp.Body)
				require.Error(t, err)
				return context.Canceled
			},
		} {
			require.ErrorIs(t, end(name), context.Canceled, name)
		}
		io.WriteString(pw, " and end")
		pw.Close()
		all, err := io.ReadAll(other.Body)
		require.NoError(t, err)
		require.Equal(t, "begin and end", string(all))
		require.EqualValues(t, 1, s.conns.Load())
		require.Equal(t, 1, c.Stats().Idle)
	})
}

func TestHTTP2_PhasesHaveTheirLimits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}, func(t *testing.T, _ *http2Server, c *parley.Client) {
		const limit = 30 * time.Millisecond
		for name, test := range map[string]struct {
			path   string
			limits parley.Timeouts
			opts   []parley.RequestOption
			want   error
			phase  parley.Phase
			sent   parley.Sent
		}{
			"response": {"head", parley.Timeouts{Response: limit}, nil, parley.ErrResponseTimeout, parley.PhaseResponse, parley.MaybeSent},
			"read":     {"read", parley.Timeouts{Read: limit}, nil, parley.ErrReadTimeout, parley.PhaseRead, parley.Answering},
			"write": {"head", parley.Timeouts{Write: limit}, []parley.RequestOption{parley.WithBytes(make([]byte, 4<<20))},
				parley.ErrWriteTimeout, parley.PhaseWrite, parley.MaybeSent},
		} {
			opts := append(test.opts, parley.WithTimeouts(test.limits))
			_, err := c.Request(t.Context(), "POST", test.path, opts...)
			require.ErrorIs(t, err, test.want, name)
			require.ErrorIs(t, err, parley.ErrTimeout, name)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.phase, e.Phase, name)
			require.Equal(t, test.sent, e.Sent, name)
			require.Equal(t, limit, e.Limit, name)
			require.True(t, e.Timeout())
			require.EqualValues(t, 1, c.Stats().Timeouts[test.phase], name)
		}
	})
}

func TestHTTP2_ThePoolEndsConnections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits parley.PoolLimits
		reason string
		after  func(c *parley.Client)
	}{
		"idle":           {parley.PoolLimits{IdleTimeout: time.Millisecond}, "idle timeout", nil},
		"after requests": {parley.PoolLimits{MaxRequests: 1}, "max requests", nil},
		"of age":         {parley.PoolLimits{MaxAge: time.Nanosecond}, "max age", nil},
		"closed":         {parley.PoolLimits{}, "pool closed", func(c *parley.Client) { c.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveHTTP2(t, func(http.ResponseWriter, *http.Request) {}, nil)
			c := s.session(t, parley.WithPoolLimits(test.limits))
			_, err := c.Get(t.Context(), "")
			require.NoError(t, err)
			if test.after != nil {
				test.after(c)
			}
			wiretest.Eventually(t, func() bool { return c.Stats().Closed[test.reason] == 1 }, test.reason)
			require.Zero(t, c.Stats().Idle)
		})
	}
}

func TestHTTP2_AnIdleConnectionThatTheServerClosedLeavesThePool(t *testing.T) {
	t.Parallel()
	s := serveHTTP2(t, func(http.ResponseWriter, *http.Request) {}, nil)
	c := s.session(t)
	_, err := c.Get(t.Context(), "")
	require.NoError(t, err)
	s.CloseClientConnections()
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 0 }, "the connection is gone")
	_, err = c.Post(t.Context(), "", parley.WithReader(strings.NewReader("once")))
	require.NoError(t, err)
	require.EqualValues(t, 2, s.conns.Load())
}
