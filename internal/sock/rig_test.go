package sock

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spy counts what reaches a connection, and may refuse deadlines.
type spy struct {
	net.Conn
	refuse  bool
	moves   atomic.Int64 // of a deadline
	longest atomic.Int64 // of all writes
	closed  atomic.Bool
}

var errNoDeadlines = errors.New("no deadlines here")

func (s *spy) moved(move func(time.Time) error, t time.Time) error {
	s.moves.Add(1)
	if s.refuse {
		return errNoDeadlines
	}
	return move(t)
}

func (s *spy) SetDeadline(t time.Time) error      { return s.moved(s.Conn.SetDeadline, t) }
func (s *spy) SetReadDeadline(t time.Time) error  { return s.moved(s.Conn.SetReadDeadline, t) }
func (s *spy) SetWriteDeadline(t time.Time) error { return s.moved(s.Conn.SetWriteDeadline, t) }

func (s *spy) Write(p []byte) (int, error) {
	s.longest.Store(max(s.longest.Load(), int64(len(p))))
	return s.Conn.Write(p)
}

func (s *spy) Close() error {
	s.closed.Store(true)
	return s.Conn.Close()
}

// piped gives a Conn over one end of a net.Pipe, on loan, and the other end.
func piped(t *testing.T, refuse bool) (*Conn, Loan, *spy, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	s := &spy{Conn: near, refuse: refuse}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	c := New(s)
	return c, c.Begin(), s, far
}

// say writes one byte after a pause, n times.
func say(far net.Conn, n int, pause time.Duration) {
	for range n {
		time.Sleep(pause)
		if _, err := far.Write([]byte{'x'}); err != nil {
			return
		}
	}
}

// read reads n bytes one by one.
func read(t *testing.T, c *Conn, n int) {
	t.Helper()
	var b [1]byte
	for range n {
		_, err := io.ReadFull(c, b[:])
		require.NoError(t, err)
	}
}

// failure reads one byte, which must not come, and gives how long it took and the
// error.
func failure(t *testing.T, c *Conn) (time.Duration, error) {
	t.Helper()
	start := time.Now()
	n, err := c.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Error(t, err)
	return time.Since(start), err
}

// connected gives both ends of a connection over a listener on loopback or a Unix
// socket.
func connected(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	defer l.Close()
	near, err = net.Dial(network, l.Addr().String())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// becomes waits until probe finds the state wanted: what the peer has done takes a
// moment to arrive.
func becomes(t *testing.T, want State, probe func() State) {
	t.Helper()
	require.Eventually(t, func() bool { return probe() == want }, 5*time.Second, time.Millisecond)
}
