package memconn

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type place string

func (p place) Network() string { return "mem" }
func (p place) String() string  { return string(p) }

func pipe(t *testing.T, size int) (a, b *Conn) {
	a, b = Pipe(size, place("a"), place("b"))
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	return a, b
}

func TestPipe_isAConnectionLikeOthers(t *testing.T) {
	for _, size := range []int{1 << 10, 64 << 10} {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			a, b := Pipe(size, place("a"), place("b"))
			return a, b, func() { a.Close(); b.Close() }, nil
		})
	}
}

func TestPipe_hasRoomForWhatNobodyReadsYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t, 4)
		for _, c := range []*Conn{a, b} {
			n, err := c.Write([]byte("1234"))
			require.NoError(t, err)
			require.Equal(t, 4, n)
		}
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		n, err := a.Write([]byte("5"))
		require.ErrorContains(t, err, "timeout")
		require.Zero(t, n)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestPipe_endsOnBothSides(t *testing.T) {
	a, b := pipe(t, 64)
	_, err := io.WriteString(a, "last words")
	require.NoError(t, err)
	require.NoError(t, a.CloseWrite())
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	text, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "last words", string(text))
	_, err = io.WriteString(b, "answer")
	require.NoError(t, err, "one half is open")
	require.NoError(t, b.Close())
	text, err = io.ReadAll(a)
	require.NoError(t, err)
	require.Equal(t, "answer", string(text))
	require.NoError(t, a.Close())
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)

	a, b = pipe(t, 64)
	require.NoError(t, b.Close())
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Equal(t, "a", a.LocalAddr().String())
	require.Equal(t, "b", a.RemoteAddr().String())
	require.Equal(t, "a", b.RemoteAddr().String())
}
