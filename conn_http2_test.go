package parley_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func echoProto(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }

// A connection of one's own speaks HTTP/1.1, also where others share one by HTTP/2.
func TestConn_withServersThatKnowHTTP2(t *testing.T) {
	t.Parallel()
	s := serveHTTP2(t, echoProto, nil)
	client := s.session(t)
	require.Equal(t, "HTTP/2.0", textOf(t, client, ""))
	conn := openConn(t, client, "")
	for range 2 {
		got, err := sendOn(t, client, conn, "")
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1", got)
	}
	require.Equal(t, "HTTP/2.0", textOf(t, client, ""))
	require.EqualValues(t, 2, s.conns.Load())
	demanding := derive(t, client, parley.WithHTTP2(parley.HTTP2Required))
	_, err := demanding.Open(t.Context(), "")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	req, err := demanding.NewRequest("GET", "")
	require.NoError(t, err)
	_, err = conn.Send(t.Context(), req)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	requireNotSent(t, err)
}

func TestWarm_withServersThatKnowHTTP2(t *testing.T) {
	t.Parallel()
	onBoth(t, echoProto, func(t *testing.T, s *http2Server, c *parley.Client) {
		n, err := c.Warm(t.Context(), "", 1)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		resp, err := c.Get(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "HTTP/2.0", resp.Proto)
		require.True(t, resp.Timing().Reused)
		require.EqualValues(t, 1, s.conns.Load())
	})
}
