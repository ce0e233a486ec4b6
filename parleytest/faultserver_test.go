package parleytest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

const headOf10 = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

// limit is what should be passed, and patience what should not.
const (
	limit    = 100 * time.Millisecond
	patience = 20 * time.Second
)

func TestFaultServer_faults(t *testing.T) {
	t.Parallel()
	response, read := parley.Timeouts{Response: limit}, parley.Timeouts{Read: limit}
	for _, c := range []struct {
		name   string
		script parleytest.FaultScript
		kinds  []error // none: it succeeds
		body   string
		limits parley.Timeouts
	}{
		{"a proper answer", parleytest.Respond(200, "fine"), nil, "fine", parley.Timeouts{}},
		{"a slow one", parleytest.Drip("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", time.Millisecond), nil, "ab", parley.Timeouts{}},
		{"informational answers before it", parleytest.Steps(parleytest.Say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), parleytest.Pause(time.Millisecond), parleytest.Respond(200, "a")), nil, "a", parley.Timeouts{}},
		{"more content than announced", parleytest.RespondWithLength(200, 2, "abcd"), nil, "ab", parley.Timeouts{}},
		{"a body that ends with the connection", parleytest.SayAndHalfClose("HTTP/1.0 200 OK\r\n\r\nall"), nil, "all", parley.Timeouts{}},
		{"silence before the head", parleytest.SayAndStall(""), []error{parley.ErrResponseTimeout}, "", response},
		{"silence within the head", parleytest.SayAndStall("HTTP/1.1 200 OK\r\nContent-Le"), []error{parley.ErrResponseTimeout}, "", response},
		{"silence within the body", parleytest.SayAndStall(headOf10 + "some"), []error{parley.ErrReadTimeout}, "", read},
		{"the end in place of an answer", parleytest.SayAndClose(""), []error{parley.ErrPeerClosed}, "", parley.Timeouts{}},
		{"the end within the head", parleytest.SayAndClose("HTTP/1.1 200"), []error{parley.ErrPeerClosed}, "", parley.Timeouts{}},
		{"the end within the body", parleytest.SayAndClose(headOf10 + "some"), []error{parley.ErrRead, io.ErrUnexpectedEOF}, "", parley.Timeouts{}},
		{"half an end within the body", parleytest.SayAndHalfClose(headOf10 + "some"), []error{parley.ErrRead, io.ErrUnexpectedEOF}, "", parley.Timeouts{}},
		{"less content than announced", parleytest.Steps(parleytest.RespondWithLength(200, 10, "ab"), parleytest.SayAndClose("")), []error{parley.ErrNetwork}, "", parley.Timeouts{}},
		{"a reset", parleytest.SayAndReset(""), []error{parley.ErrNetwork}, "", parley.Timeouts{}},
		{"garbage", parleytest.Garbage(100), []error{parley.ErrRemoteProtocol}, "", parley.Timeouts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := parleytest.NewFaultServer(t, parleytest.EachRequest(c.script))
			client := s.Client(parley.WithTimeouts(c.limits))
			resp, err := client.Post(t.Context(), "a", parley.WithText("content"))
			if len(c.kinds) == 0 {
				require.NoError(t, err)
				require.Equal(t, c.body, string(must(resp.Bytes())))
			}
			for _, kind := range c.kinds {
				require.ErrorIs(t, err, kind)
			}
			require.Len(t, s.Requests(), 1)
			require.Equal(t, "content", string(s.Requests()[0].Body))
		})
	}
}

func TestFaultServer_faultsOfTLS(t *testing.T) {
	t.Parallel()
	as := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	invalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == reason
		}
	}
	for fault, c := range map[parleytest.TLSFault]struct {
		name string
		ok   func(error) bool
	}{
		parleytest.TLSGood:             {"nothing", func(err error) bool { return err == nil }},
		parleytest.TLSExpired:          {"expired", invalid(x509.Expired)},
		parleytest.TLSNotYetValid:      {"not valid yet", invalid(x509.Expired)},
		parleytest.TLSWrongName:        {"another name", as(new(x509.HostnameError))},
		parleytest.TLSUnknownAuthority: {"an unknown authority", as(new(x509.UnknownAuthorityError))},
		parleytest.TLSOldVersion:       {"an old version", is(parley.ErrTLS)},
		parleytest.TLSHandshakeCut:     {"cut", is(io.EOF)},
		parleytest.TLSHandshakeReset:   {"reset", is(parley.ErrTLS)},
		parleytest.TLSHandshakeStall:   {"silence", is(parley.ErrConnectTimeout)},
		parleytest.TLSGarbage:          {"garbage", as(new(tls.RecordHeaderError))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := parleytest.NewTLSFaultServer(t, fault, parleytest.EachRequest(parleytest.Respond(200, "fine")))
			var limits parley.Timeouts
			if fault == parleytest.TLSHandshakeStall {
				limits.Connect = limit
			}
			_, err := s.Client(parley.WithTimeouts(limits)).Get(t.Context(), "")
			require.True(t, c.ok(err), "%v", err)
			if err != nil {
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.NotSent, e.Sent)
				require.Empty(t, s.Requests())
			}
		})
	}
}

func TestFaultServer_sequences(t *testing.T) {
	t.Parallel()
	t.Run("by connection", func(t *testing.T) {
		t.Parallel()
		s := parleytest.NewFaultServer(t,
			parleytest.EachRequest(parleytest.SayAndClose("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na")),
			parleytest.SayAndReset(""),
			parleytest.EachRequest(parleytest.Respond(200, "c")),
		)
		client := s.Client()
		var got []string
		for range 4 {
			resp, err := client.Post(t.Context(), "")
			if err != nil {
				require.ErrorIs(t, err, parley.ErrNetwork)
				got = append(got, "error")
				continue
			}
			got = append(got, string(must(resp.Bytes())))
		}
		require.Equal(t, []string{"a", "error", "c", "c"}, got)
		require.Equal(t, 3, s.Connections())
	})
	t.Run("by request, over all connections", func(t *testing.T) {
		t.Parallel()
		s := parleytest.NewFaultServer(t, parleytest.EachRequest(parleytest.Respond(200, "a"), parleytest.SayAndReset(""), parleytest.Respond(200, "c"), parleytest.Respond(200, "d")))
		client := s.Client()
		for _, want := range []string{"a", "", "c", "d", "d"} {
			resp, err := client.Post(t.Context(), "")
			if want == "" {
				require.ErrorIs(t, err, parley.ErrNetwork)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, string(must(resp.Bytes())))
		}
		require.Equal(t, 2, s.Connections())
		conns := []int{}
		for _, r := range s.Requests() {
			conns = append(conns, r.Conn)
		}
		require.Equal(t, []int{0, 0, 1, 1, 1}, conns)
	})
	t.Run("none: every connection is closed", func(t *testing.T) {
		t.Parallel()
		_, err := parleytest.NewFaultServer(t).Client().Get(t.Context(), "")
		require.ErrorIs(t, err, parley.ErrNetwork)
	})
}

func TestFaultServer_answersBeforeTheRequestIsRead(t *testing.T) {
	t.Parallel()
	s := parleytest.NewFaultServer(t, parleytest.Steps(parleytest.Respond(413, "no"), (*parleytest.FaultConn).Rest))
	large := parley.WithReader(io.MultiReader(strings.NewReader(strings.Repeat("x", 8<<20))))
	resp, err := s.Client().Post(t.Context(), "", large)
	require.NoError(t, err)
	require.Equal(t, 413, resp.StatusCode)
	require.Empty(t, s.Requests(), "no script has read one")
	require.LessOrEqual(t, len(s.Received()[0]), parleytest.MaxRawBytes)
}

func TestFaultServer_recordsRequests(t *testing.T) {
	t.Parallel()
	s := parleytest.NewFaultServer(t, func(c *parleytest.FaultConn) {
		for {
			r, err := c.ReadRequest()
			if err != nil || !c.Say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"+r.Method[:1]) {
				return
			}
		}
	})
	client := s.Client(parley.WithoutHeader("User-Agent"), parley.WithoutHeader("Accept-Encoding"), parley.WithoutHeader("Accept"))
	_, err := client.Get(t.Context(), "a?q=1")
	require.NoError(t, err)
	_, err = client.Post(t.Context(), "b", parley.WithReader(io.MultiReader(strings.NewReader("in chunks"))), parley.WithTrailer("X-End", func() string { return "1" }))
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "c", parley.WithBytes(make([]byte, parleytest.MaxRawBytes+7)))
	require.NoError(t, err)

	r := s.Requests()
	require.Len(t, r, 3)
	require.Equal(t, "GET /a?q=1 HTTP/1.1\r\nHost: "+s.Addr()+"\r\n\r\n", r[0].Head)
	require.Equal(t, "/a?q=1", r[0].Target)
	require.Equal(t, s.Addr(), r[0].Header.Get("Host"))
	require.Equal(t, "in chunks", string(r[1].Body))
	require.True(t, r[2].Truncated)
	require.Len(t, r[2].Body, parleytest.MaxRawBytes)
	require.Equal(t, 1, s.Connections())
	require.True(t, strings.HasPrefix(s.Received()[0], r[0].Head+r[1].Head), "byte for byte")
	require.Len(t, s.Received()[0], parleytest.MaxRawBytes)
}

func TestFaultServer_reports(t *testing.T) {
	t.Parallel()
	t.Run("a script that panics", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			s := parleytest.NewFaultServer(tb, func(*parleytest.FaultConn) { panic("tea") })
			_, err := s.Client().Get(t.Context(), "")
			require.Error(t, err)
		}, "the script of connection 0 panicked: tea", "faultserver_test.go:")
	})
	t.Run("a request that is none", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			s := parleytest.NewFaultServer(tb, parleytest.EachRequest(parleytest.Respond(200, "")))
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "tea\r\n\r\n")
			require.NoError(t, err)
			_, err = io.ReadAll(conn)
			require.NoError(t, err)
		}, `connection 0: no request: malformed HTTP request "tea"`)
	})
	t.Run("a script that does not end", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("it is given some seconds to end")
		}
		stuck, began := make(chan struct{}), make(chan struct{})
		defer close(stuck)
		reported(t, func(tb testing.TB) {
			s := parleytest.NewFaultServer(tb, func(*parleytest.FaultConn) {
				close(began)
				<-stuck
			})
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			<-began
			require.NoError(t, conn.Close())
		}, "a script goes on 5s after its connection was closed", "faultserver_test.go:")
	})
	t.Run("a script that is nil", func(t *testing.T) {
		_, fatal := reports(t, func(tb testing.TB) { parleytest.NewFaultServer(tb, nil) })
		require.True(t, fatal)
	})
	t.Run("a fault that there is not", func(t *testing.T) {
		_, fatal := reports(t, func(tb testing.TB) { parleytest.NewTLSFaultServer(tb, 200) })
		require.True(t, fatal)
	})
	t.Run("nothing of clients that go away", func(t *testing.T) {
		all, _ := reports(t, func(tb testing.TB) {
			s := parleytest.NewFaultServer(tb, parleytest.EachRequest(parleytest.SayAndStall("")))
			_, err := s.Client().Get(t.Context(), "", parley.WithTimeout(limit))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		})
		require.Empty(t, all)
	})
}

func TestFaultServer_endsWithTheTest(t *testing.T) {
	t.Parallel()
	ended := make(chan bool, 2)
	began := time.Now()
	reports(t, func(tb testing.TB) {
		began := make(chan struct{})
		script := func(c *parleytest.FaultConn) {
			close(began)
			ended <- c.Pause(time.Hour)
		}
		s := parleytest.NewFaultServer(tb, script)
		go http.Get(s.URL()) // it fails when the server ends
		<-began
	})
	require.False(t, <-ended, "a pause ends with the server")
	require.Less(t, time.Since(began), patience)
}
