package parley_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// passes is a limit that an upgrade meets and that has passed later in the test.
const passes = 300 * time.Millisecond

// upgrades is a script that answers with text and from there on sends back what
// comes.
func upgrades(text string) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err != nil {
			return
		}
		c.Say(text)
		_, _ = io.Copy(c.Conn, c.Reader)
	}
}

var asksForEcho = parley.WithOptions(parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))

// echoes shows that a body is a connection to an echo.
func echoes(t *testing.T, body io.ReadCloser) {
	t.Helper()
	w, ok := body.(io.ReadWriteCloser)
	require.True(t, ok, "the body of an upgrade can be written")
	for range 3 {
		_, err := io.WriteString(w, "ping")
		require.NoError(t, err)
		got := make([]byte, 4)
		_, err = io.ReadFull(w, got)
		require.NoError(t, err)
		require.Equal(t, "ping", string(got))
	}
}

func TestUpgrade_handsOverTheConnection(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	type call = func(context.Context, *parley.Client, ...parley.RequestOption) (*parley.Response, error)
	get := func(ctx context.Context, c *parley.Client, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Get(ctx, "x", opts...)
	}
	stream := func(ctx context.Context, c *parley.Client, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Stream(ctx, http.MethodGet, "x", opts...)
	}
	connect := func(ctx context.Context, c *parley.Client, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Request(ctx, http.MethodConnect, "x", append(opts, parley.WithTarget("far.test:443"))...)
	}
	upload := func(ctx context.Context, c *parley.Client, opts ...parley.RequestOption) (*parley.Response, error) {
		return c.Stream(ctx, http.MethodPost, "x", append(opts, parley.WithReader(inParts()))...)
	}
	tests := map[string]struct {
		call   call
		answer string
		opts   []parley.RequestOption
	}{
		"Stream":                           {stream, switching, nil},
		"Get":                              {get, switching, nil},
		"with a bound of the body":         {get, switching, []parley.RequestOption{parley.WithMaxBodyBytes(3)}},
		"with a total timeout":             {stream, switching, []parley.RequestOption{parley.WithTimeout(passes)}},
		"Get with a total timeout":         {get, switching, []parley.RequestOption{parley.WithTimeout(passes)}},
		"with phase timeouts":              {stream, switching, []parley.RequestOption{parley.WithPhaseTimeout(passes)}},
		"with a length that means nothing": {get, strings.Replace(switching, "\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n", 1), nil},
		"with a coding that means nothing": {get, strings.Replace(switching, "\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1), nil},
		"CONNECT":                          {connect, "HTTP/1.1 200 OK\r\n\r\n", nil},
		"CONNECT with a coding":            {connect, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n", nil},
		"CONNECT with a bound":             {connect, "HTTP/1.1 200 OK\r\n\r\n", []parley.RequestOption{parley.WithMaxBodyBytes(3)}},
		"after an upload":                  {upload, switching, nil},
	}
	for name, test := range tests {
		for _, secure := range []bool{false, true} {
			t.Run(name+over[secure], func(t *testing.T) {
				t.Parallel()
				script := upgrades(test.answer + "read ahead")
				if strings.HasPrefix(name, "after") {
					script = func(c *wiretest.Conn) {
						if _, err := c.ReadRequest(); err != nil {
							return
						}
						c.Say(test.answer + "read ahead")
						_, _ = io.Copy(c.Conn, c.Reader)
					}
				}
				s := wiretest.Serve(t, script)
				if secure {
					s = wiretest.ServeTLS(t, authority.Server(t), script)
				}
				c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := test.call(ctx, c, append(test.opts, asksForEcho)...)
				require.NoError(t, err)
				ahead := make([]byte, len("read ahead"))
				_, err = io.ReadFull(resp.Body, ahead)
				require.NoError(t, err)
				require.Equal(t, "read ahead", string(ahead))
				echoes(t, resp.Body)

				cancel() // neither context nor timeouts apply any more
				if strings.HasSuffix(name, "timeout") || strings.HasSuffix(name, "timeouts") {
					time.Sleep(passes + passes/4)
				}
				echoes(t, resp.Body)

				stats := c.Stats()
				require.Zero(t, stats.Active+stats.Idle)
				require.EqualValues(t, 1, stats.Closed["hijacked"])
				other, err := test.call(t.Context(), c, append(test.opts, asksForEcho)...)
				require.NoError(t, err, "its place in the pool is free")
				require.NoError(t, other.Close())

				require.NoError(t, c.Close())
				echoes(t, resp.Body)
				require.NoError(t, resp.Close())
				_, err = resp.Body.(io.Writer).Write([]byte("x"))
				require.Error(t, err)
			})
		}
	}
}

func TestUpgrade_aCloseEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, upgrades(switching))
	c := sessionTo(t, s)
	resp, err := c.Stream(t.Context(), http.MethodGet, "x", asksForEcho)
	require.NoError(t, err)
	time.AfterFunc(20*time.Millisecond, func() { resp.Body.Close() })
	_, err = resp.Body.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
}

func TestUpgrade_aCancellationBeforeItCounts(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, (*wiretest.Conn).Rest)
	c := sessionTo(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Stream(ctx, http.MethodGet, "x", asksForEcho)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, c.Stats().Active+c.Stats().Idle)
}

// interim is one interim answer as a callback saw it.
type interim struct {
	status int
	link   string
}

func TestInformational_answersAreTold(t *testing.T) {
	t.Parallel()
	const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
	tests := map[string]struct {
		before string
		want   []interim
		fails  bool
	}{
		"none":         {"", nil, false},
		"103":          {hints, []interim{{103, "</a.css>"}}, false},
		"100 unasked":  {"HTTP/1.1 100 Continue\r\n\r\n", []interim{{100, ""}}, false},
		"several":      {"HTTP/1.1 102 Processing\r\n\r\n" + hints, []interim{{102, ""}, {103, "</a.css>"}}, false},
		"unknown":      {"HTTP/1.1 199 Whatever\r\n\r\n", []interim{{199, ""}}, false},
		"eight":        {strings.Repeat(hints, 8), repeat(interim{103, "</a.css>"}, 8), false},
		"nine":         {strings.Repeat(hints, 9), repeat(interim{103, "</a.css>"}, 8), true},
		"with lengths": {"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", []interim{{103, ""}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return test.before + wiretest.OK("done") }))
			var got []interim
			c := sessionTo(t, s, parley.WithInformational(func(status int, h http.Header) {
				got = append(got, interim{status, h.Get("Link")})
			}))
			resp, err := c.Get(t.Context(), "x")
			require.Equal(t, test.want, got)
			if test.fails {
				require.ErrorIs(t, err, parley.ErrRemoteProtocol)
				if !byHTTP2(t) {
					require.Zero(t, c.Stats().Idle)
				}
				return
			}
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "done", text)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, 1, c.Stats().Idle)
		})
	}
}

func repeat(i interim, n int) []interim {
	all := make([]interim, n)
	for k := range all {
		all[k] = i
	}
	return all
}

func TestInformational_answersDoNotRenewTheResponseTimeout(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err != nil {
			return
		}
		for c.Pause(20*time.Millisecond) && c.Say("HTTP/1.1 102 Processing\r\n\r\n") {
		}
	})
	c := sessionTo(t, s)
	_, err := c.Get(t.Context(), "x", parley.WithTimeouts(parley.Timeouts{Response: 70 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrResponseTimeout)
}

func TestUpgrade_connIsTheConnection(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	for _, secure := range []bool{false, true} {
		for name, opts := range map[string][]parley.RequestOption{"": nil, " with a total timeout": {parley.WithTimeout(time.Minute)}} {
			s := wiretest.Serve(t, upgrades(switching+"read ahead"))
			if secure {
				s = wiretest.ServeTLS(t, authority.Server(t), upgrades(switching+"read ahead"))
			}
			c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
			resp, err := c.Stream(t.Context(), http.MethodGet, "x", append(opts, asksForEcho)...)
			require.NoError(t, err)
			conn, err := resp.Conn()
			require.NoError(t, err, over[secure]+name)
			ahead := make([]byte, len("read ahead"))
			_, err = io.ReadFull(conn, ahead)
			require.NoError(t, err)
			require.Equal(t, "read ahead", string(ahead))
			echoes(t, conn)
			require.Equal(t, s.Addr(), conn.RemoteAddr().String())
			require.NotNil(t, conn.LocalAddr())

			require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "deadlines are the caller's")
			if !secure { // crypto/tls gives a connection up after that
				require.NoError(t, conn.SetReadDeadline(time.Time{}))
				echoes(t, conn)
			}
			require.NoError(t, conn.SetWriteDeadline(time.Unix(1, 0)))
			_, err = conn.Write([]byte("x"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, conn.SetDeadline(time.Time{}))
			require.NoError(t, conn.Close())
			_, err = resp.Body.Read(make([]byte, 1))
			require.Error(t, err)
		}
	}
}

func TestUpgrade_connIsAnErrorWhereThereIsNone(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("no upgrade") }))
	resp, err := sessionTo(t, s).Get(t.Context(), "x", asksForEcho)
	require.NoError(t, err)
	_, err = resp.Conn()
	require.ErrorIs(t, err, parley.ErrProtocol)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "no upgrade", text)

	var theirs struct {
		io.Reader
		io.Writer
		io.Closer
	}
	theirs.Closer = io.NopCloser(nil)
	foreign := newSession(t, parley.WithTransport(does(func() (*parley.Response, error) {
		return &parley.Response{StatusCode: http.StatusSwitchingProtocols, Body: theirs}, nil
	})))
	resp, err = foreign.Get(t.Context(), "http://a.test")
	require.NoError(t, err)
	conn, err := resp.Conn()
	require.NoError(t, err)
	require.Nil(t, conn.LocalAddr())
	require.Nil(t, conn.RemoteAddr())
	require.ErrorIs(t, conn.SetDeadline(time.Now()), os.ErrNoDeadline)
	require.ErrorIs(t, conn.SetReadDeadline(time.Now()), os.ErrNoDeadline)
	require.ErrorIs(t, conn.SetWriteDeadline(time.Now()), os.ErrNoDeadline)
	require.NoError(t, conn.Close())
}
