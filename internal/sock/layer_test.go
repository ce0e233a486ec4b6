package sock

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestSetWriteDeadline_letsALayerEndThoughThePeerReadsNothing(t *testing.T) {
	authority := wiretest.NewAuthority(t)
	for name, test := range map[string]struct {
		bound, least, most time.Duration
	}{
		"its own bound":   {0, time.Second, time.Minute},
		"an earlier wish": {20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			server, trusted := authority.Server(t), authority.Trusted()
			trusted.ServerName = "127.0.0.1"
			valid := time.Now() // for the certificate, unlike the time in the bubble
			trusted.Time = func() time.Time { return valid }
			server.SessionTicketsDisabled = true
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				c := New(near)
				layer := tls.Client(c, trusted)
				peer := tls.Server(far, server)
				go func() { _ = peer.Handshake() }()
				require.NoError(t, layer.Handshake())
				synctest.Wait() // nobody reads any more
				if test.bound > 0 {
					c.WriteBy(Now() + test.bound)
				}
				start := time.Now()
				require.Error(t, layer.Close())
				require.GreaterOrEqual(t, time.Since(start), test.least)
				require.LessOrEqual(t, time.Since(start), test.most)
				require.NoError(t, far.Close())
			})
		})
	}
}

func TestSetWriteDeadline_endsWritesAndNotReads(t *testing.T) {
	near, far := connected(t, "tcp")
	c := New(near)
	c.Begin()
	require.NoError(t, c.SetWriteDeadline(time.Now()))
	_, err := c.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = io.WriteString(far, "hello")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}
