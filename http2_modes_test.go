package parley_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestHTTP2_Modes(t *testing.T) {
	t.Parallel()
	proto := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }
	secure, plain := startHTTP2(t, proto, true, nil), startHTTP2(t, proto, false, nil)
	for _, test := range []struct {
		mode parley.HTTP2Mode
		to   *http2Server
		opts []parley.RequestOption
		want string // of the protocol; "" is refused
	}{
		{parley.HTTP2Auto, secure, nil, "HTTP/2.0"},
		{parley.HTTP2Auto, plain, nil, "HTTP/1.1"},
		{parley.HTTP2Off, secure, nil, "HTTP/1.1"},
		{parley.HTTP2Off, plain, nil, "HTTP/1.1"},
		{parley.HTTP2Required, secure, nil, "HTTP/2.0"},
		{parley.HTTP2Required, plain, nil, ""},
		{parley.H2C, secure, nil, "HTTP/2.0"},
		{parley.H2C, plain, nil, "HTTP/2.0"},
		{parley.HTTP2Auto, secure, []parley.RequestOption{parley.WithHeaderOrder("Accept")}, "HTTP/1.1"},
		{parley.HTTP2Auto, secure, []parley.RequestOption{parley.WithHeader("Upgrade", "x"), parley.WithHeader("Connection", "upgrade")}, "HTTP/1.1"},
		{parley.HTTP2Auto, secure, []parley.RequestOption{parley.WithHeader("authorization", "negotiate abc")}, "HTTP/1.1"},
		{parley.HTTP2Required, secure, []parley.RequestOption{parley.WithHeaderOrder("Accept")}, ""},
		{parley.H2C, plain, []parley.RequestOption{parley.WithHeader("Upgrade", "x")}, ""},
	} {
		c := test.to.session(t, parley.WithHTTP2(test.mode))
		for range 2 {
			resp, err := c.Get(t.Context(), "", test.opts...)
			if test.want == "" {
				require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
				requireNotSent(t, err)
				continue
			}
			require.NoError(t, err, "%v", test)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, test.want, text, "%v", test)
			require.Equal(t, test.want, resp.Proto)
		}
	}
	_, err := parley.New(parley.WithHTTP2(99))
	require.Error(t, err)
	require.Equal(t, "HTTP2Mode(99)", parley.HTTP2Mode(99).String())
	require.Equal(t, "h2c", parley.H2C.String())
}

func TestHTTP2_ADerivedSessionMayChangeTheMode(t *testing.T) {
	t.Parallel()
	s := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }, nil)
	off := s.session(t, parley.WithHTTP2(parley.HTTP2Off))
	auto, err := off.With(parley.WithHTTP2(parley.HTTP2Auto))
	require.NoError(t, err)
	for c, want := range map[*parley.Client]string{off: "HTTP/1.1", auto: "HTTP/2.0"} {
		resp, err := c.Get(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, want, resp.Proto)
	}
	require.EqualValues(t, 2, s.conns.Load(), "different modes share no connection")
}

// An origin that is not known to speak HTTP/2, and does not: nobody waits in vain.
func TestHTTP2_AnOriginThatAnswersByHTTP1AfterAll(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, authority.Server(t), func(c *wiretest.Conn) {
		for {
			if _, err := c.ReadRequest(); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	c := newSession(t, parley.WithBaseURL("https://"+s.Addr()), parley.WithTLSConfig(authority.Trusted()), parley.WithEnv(false))
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			resp, err := c.Get(t.Context(), "")
			if assert.NoError(t, err) {
				assert.Equal(t, "HTTP/1.1", resp.Proto)
			}
		})
	}
	all.Wait()
	for _, chooses := range [][]string{nil, {"http/1.1"}} { // a server that has nothing to choose from refuses the handshake
		config := authority.Server(t)
		config.NextProtos = chooses
		s := wiretest.ServeTLS(t, config, func(c *wiretest.Conn) { _, _ = c.ReadRequest() })
		required := newSession(t, parley.WithTLSConfig(authority.Trusted()), parley.WithHTTP2(parley.HTTP2Required), parley.WithEnv(false))
		_, err := required.Get(t.Context(), "https://"+s.Addr())
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
		require.ErrorContains(t, err, "does not speak HTTP/2")
		requireNotSent(t, err)
	}
}

func TestHTTP2_ExplainNamesWhatIsSpoken(t *testing.T) {
	t.Parallel()
	for mode, want := range map[parley.HTTP2Mode]string{
		parley.HTTP2Auto: "", parley.HTTP2Off: " by HTTP/1.1", parley.HTTP2Required: " by HTTP/2",
	} {
		c := newSession(t, parley.WithHTTP2(mode), parley.WithEnv(false))
		req, err := c.NewRequest("GET", "https://a.test")
		require.NoError(t, err)
		e, err := c.Explain(req)
		require.NoError(t, err)
		require.Equal(t, "https://a.test:443"+want, e.PoolKey)
	}
}

// A program may be without HTTP/2. It must not offer what it cannot speak.
func TestHTTP2_WhereNetHTTPHasNone(t *testing.T) {
	secure := startHTTP2(t, echoProto, true, nil)
	t.Setenv("GODEBUG", "http2client=0")
	c := secure.session(t)
	require.Equal(t, "HTTP/1.1", textOf(t, c, ""))
	for mode, url := range map[parley.HTTP2Mode]string{parley.HTTP2Required: secure.URL, parley.H2C: "http://a.test"} {
		_, err := derive(t, c, parley.WithHTTP2(mode)).Get(t.Context(), url)
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
		require.ErrorContains(t, err, "http2client=0")
		requireNotSent(t, err)
	}
}
