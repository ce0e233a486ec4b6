//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestProbe_findsWhatThePeerHasDone(t *testing.T) {
	tests := map[string]struct {
		peer func(t *testing.T, far net.Conn)
		want State
	}{
		"nothing": {func(*testing.T, net.Conn) {}, Quiet},
		"closed":  {func(t *testing.T, far net.Conn) { require.NoError(t, far.Close()) }, Gone},
		"half closed": {func(t *testing.T, far net.Conn) {
			require.NoError(t, far.(interface{ CloseWrite() error }).CloseWrite())
		}, Gone},
		"said a byte":   {func(t *testing.T, far net.Conn) { write(t, far, "x") }, Chatty},
		"said and left": {func(t *testing.T, far net.Conn) { write(t, far, "HTTP/1.1 408"); far.Close() }, Chatty},
		"reset": {func(t *testing.T, far net.Conn) {
			if tcp, ok := far.(*net.TCPConn); ok {
				require.NoError(t, tcp.SetLinger(0))
			}
			require.NoError(t, far.Close())
		}, Gone},
	}
	for _, network := range []string{"tcp", "unix"} {
		for name, test := range tests {
			t.Run(network+" "+name, func(t *testing.T) {
				near, far := connected(t, network)
				c := New(near)
				require.Equal(t, Quiet, c.Probe())
				test.peer(t, far)
				becomes(t, test.want, c.Probe)
				require.Equal(t, test.want, c.Probe(), "asking changes nothing")
			})
		}
	}
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
}

func TestProbe_takesNothingAway(t *testing.T) {
	near, far := connected(t, "tcp")
	c := New(near)
	write(t, far, "hello")
	becomes(t, Chatty, c.Probe)
	got := make([]byte, 5)
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.Equal(t, Quiet, c.Probe())
}

func TestProbe_worksAfterADeadlineHasPassed(t *testing.T) {
	near, far := connected(t, "tcp")
	c := New(near)
	l := c.Begin()
	c.ReadBy(Now() + time.Millisecond)
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.True(t, c.End(l))
	require.Equal(t, Quiet, c.Probe())
	require.NoError(t, far.Close())
	becomes(t, Gone, c.Probe)
}

func TestProbe_ofWhatWasClosedHere(t *testing.T) {
	near, _ := connected(t, "tcp")
	c := New(near)
	require.NoError(t, c.Close())
	require.Equal(t, Gone, c.Probe())
}

func TestProbe_cannotAskWhatIsNoSocket(t *testing.T) {
	c, _, _, _ := piped(t, false)
	require.Equal(t, Unknown, c.Probe())
	require.Equal(t, Unknown, c.ProbeThrough(c))
}

func TestProbe_costsNoMemory(t *testing.T) {
	near, _ := connected(t, "tcp")
	c := New(near)
	require.Zero(t, testing.AllocsPerRun(100, func() { c.Probe() }))
}

// dam lets through half of what is written once it is shut, and the rest when it is
// opened.
type dam struct {
	net.Conn
	mu   sync.Mutex
	shut bool
	rest []byte
}

func (d *dam) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shut {
		return d.Conn.Write(p)
	}
	d.rest = append(d.rest, p[len(p)/2:]...)
	_, err := d.Conn.Write(p[:len(p)/2])
	return len(p), err
}

func (d *dam) turn(t *testing.T, shut bool) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = shut
	_, err := d.Conn.Write(d.rest)
	require.NoError(t, err)
	d.rest = nil
}

// tickets is a session cache that counts what it was given.
type tickets struct{ n atomic.Int64 }

func (c *tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *tickets) Put(string, *tls.ClientSessionState)        { c.n.Add(1) }

// secured is a TLS connection over a Conn, and its peer.
type secured struct {
	sock   *Conn
	loan   Loan
	layer  *tls.Conn
	server *tls.Conn
	dam    *dam
	cache  *tickets
}

func secure(t *testing.T, version uint16) *secured {
	t.Helper()
	near, far := connected(t, "tcp")
	authority := wiretest.NewAuthority(t)
	s := &secured{sock: New(near), dam: &dam{Conn: far}, cache: &tickets{}}
	s.loan = s.sock.Begin()
	cfg := authority.Trusted()
	cfg.ServerName, cfg.ClientSessionCache = "127.0.0.1", s.cache
	cfg.MinVersion, cfg.MaxVersion = version, version
	s.layer = tls.Client(s.sock, cfg)
	s.server = tls.Server(s.dam, authority.Server(t))
	shaken := make(chan error, 1)
	go func() { shaken <- s.server.Handshake() }()
	require.NoError(t, s.layer.Handshake())
	require.NoError(t, <-shaken)
	return s
}

func (s *secured) probe() State { return s.sock.ProbeThrough(s.layer) }

// usable shows that bytes go both ways.
func (s *secured) usable(t *testing.T) {
	t.Helper()
	for range 3 {
		write(t, s.layer, "ping")
		expect(t, s.server, "ping")
		write(t, s.server, "pong")
		expect(t, s.layer, "pong")
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func eachVersion(t *testing.T, f func(t *testing.T, s *secured)) {
	t.Helper()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) { f(t, secure(t, version)) })
	}
}

func TestProbeThrough_takesInSessionTicketsAndLeavesTheLayerWhole(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *secured) {
		// TLS 1.2 sends its ticket within the handshake, TLS 1.3 after it.
		require.Eventually(t, func() bool {
			require.Equal(t, Quiet, s.probe())
			return s.cache.n.Load() > 0
		}, 5*time.Second, time.Millisecond)
		for range 100 {
			require.Equal(t, Quiet, s.probe())
		}
		s.usable(t)
		require.Equal(t, Quiet, s.probe())
		s.usable(t)
		require.True(t, s.sock.End(s.loan))
	})
}

func TestProbeThrough_worksAfterADeadlineHasPassed(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *secured) {
		s.usable(t)
		s.sock.ReadBy(Now() + time.Millisecond)
		time.Sleep(5 * time.Millisecond) // the deadline is on the connection and passes there
		require.True(t, s.sock.End(s.loan))
		require.Equal(t, Quiet, s.probe())
		write(t, s.server, "x")
		becomes(t, Chatty, s.probe)
		s.sock.Begin()
		s.usable(t)
	})
}

func TestProbeThrough_findsWhatThePeerHasDone(t *testing.T) {
	tests := map[string]struct {
		peer func(t *testing.T, s *secured)
		want State
	}{
		"close_notify": {func(t *testing.T, s *secured) { require.NoError(t, s.server.Close()) }, Gone},
		"half close":   {func(t *testing.T, s *secured) { require.NoError(t, s.server.CloseWrite()) }, Gone},
		"cut":          {func(t *testing.T, s *secured) { require.NoError(t, s.dam.Close()) }, Gone},
		"reset": {func(t *testing.T, s *secured) {
			require.NoError(t, s.dam.Conn.(*net.TCPConn).SetLinger(0))
			require.NoError(t, s.dam.Close())
		}, Gone},
		"data":        {func(t *testing.T, s *secured) { write(t, s.server, "x") }, Chatty},
		"data, close": {func(t *testing.T, s *secured) { write(t, s.server, "x"); s.server.Close() }, Chatty},
		"no TLS":      {func(t *testing.T, s *secured) { write(t, s.dam.Conn, "HTTP/1.1 408 Request Timeout\r\n\r\n") }, Gone},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, s *secured) {
				s.usable(t)
				require.Equal(t, Quiet, s.probe())
				test.peer(t, s)
				becomes(t, test.want, s.probe)
			})
		})
	}
}

func TestProbeThrough_halfARecordIsNoHarm(t *testing.T) {
	eachVersion(t, func(t *testing.T, s *secured) {
		s.usable(t)
		s.dam.turn(t, true)
		write(t, s.server, "a record in two halves")
		require.Eventually(t, s.sock.readable, 5*time.Second, time.Millisecond)
		for range 10 {
			require.Equal(t, Quiet, s.probe(), "nothing can be said of it yet")
		}
		s.dam.turn(t, false)
		becomes(t, Chatty, s.probe)
		expect(t, s.layer, " record in two halves") // the probe took its first byte
		s.usable(t)
	})
}
