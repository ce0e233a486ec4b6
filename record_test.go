package parley_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestTiming_namesTheEndsOfTheConnection(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	for name, s := range map[string]*wiretest.Server{
		"plain": wiretest.Serve(t, wiretest.Echo()),
		"TLS":   wiretest.ServeTLS(t, authority.Server(t), wiretest.Echo()),
	} {
		c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
		var local net.Addr
		for _, reused := range []bool{false, true} {
			resp, err := c.Get(t.Context(), "x")
			require.NoError(t, err, name)
			timing := resp.Timing()
			require.Equal(t, reused, timing.Reused, name)
			require.Equal(t, s.Addr(), timing.RemoteAddr.String(), name)
			require.IsType(t, &net.TCPAddr{}, timing.LocalAddr, name)
			require.NotEqual(t, timing.RemoteAddr, timing.LocalAddr, name)
			require.Equal(t, "HTTP/1.1", timing.Protocol, name)
			if reused {
				require.Equal(t, local, timing.LocalAddr, name)
			}
			local = timing.LocalAddr
		}
	}
}

// nameless is a connection that does not know its ends.
type nameless struct{ net.Conn }

func (nameless) LocalAddr() net.Addr  { return nil }
func (nameless) RemoteAddr() net.Addr { return nil }

func TestTiming_anEndThatIsNotKnownIsNil(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	var sent *parley.Request
	for name, opt := range map[string]parley.ClientOption{
		"a connection without addresses": parley.WithDialer(parley.DialerFunc(func(context.Context, string, string) (net.Conn, error) {
			nc, err := net.Dial("tcp", s.Addr())
			return nameless{nc}, err
		})),
		"no connection": parley.WithTransport(answering(&sent)),
	} {
		resp, err := newSession(t, opt).Get(t.Context(), "http://a.test/")
		require.NoError(t, err, name)
		timing := resp.Timing()
		require.Nil(t, timing.RemoteAddr, name)
		require.Nil(t, timing.LocalAddr, name)
		require.Equal(t, resp.Proto, timing.Protocol, name)
	}
}

func TestTiming_theFirstByteIsTheHeadsEndWhereItComesInOnePiece(t *testing.T) {
	t.Parallel()
	const pause = 20 * time.Millisecond
	c := sessionTo(t, wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		c.Pause(pause)
		return wiretest.OK("body")
	})))
	resp, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	require.GreaterOrEqual(t, resp.Timing().FirstByte, pause/2)
	require.Equal(t, resp.Timing().Response, resp.Timing().FirstByte)
}

func TestTiming_eachResponseOfACallTellsOfItsOwnRequest(t *testing.T) {
	t.Parallel()
	const pause = 40 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			time.Sleep(pause)
			http.Redirect(w, r, "/b", http.StatusFound)
		}
	}))
	defer server.Close()
	resp, err := newSession(t).Get(t.Context(), server.URL+"/a")
	require.NoError(t, err)
	first, last := resp.History[0].Timing(), resp.Timing()
	require.Zero(t, first.Before)
	require.GreaterOrEqual(t, first.Response, pause)
	require.GreaterOrEqual(t, last.Before, pause)
	require.Less(t, last.Pool, last.Before)
	require.GreaterOrEqual(t, last.Total, last.Before+last.Pool+last.Write+last.Response)
	require.Equal(t, 2, last.Attempt)
}
