package sock

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spiedFiles tells what was asked of a connection's own way to send files.
type spiedFiles struct {
	io.ReaderFrom
	pieces []int64
	files  int
}

func (s *spiedFiles) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		s.pieces = append(s.pieces, l.N)
		if _, ok := l.R.(*os.File); ok {
			s.files++
		}
	}
	return s.ReaderFrom.ReadFrom(r)
}

// tcpPair gives both ends of a TCP connection.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	other, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		other.Close()
	})
	return nc.(*net.TCPConn), other.(*net.TCPConn)
}

// fileOf gives an open file of n bytes that are told from each other.
func fileOf(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f, content
}

func TestSendFile_letsTheConnectionTakeFilesInPieces(t *testing.T) {
	near, far := tcpPair(t)
	c := New(near)
	require.True(t, c.SendsFiles())
	spy := &spiedFiles{ReaderFrom: c.files}
	c.files = spy
	l := c.Begin()
	c.WriteWithin(time.Minute)
	const size = 2*maxFilePiece + 1000
	f, content := fileOf(t, size)
	_, err := f.Seek(100, io.SeekStart)
	require.NoError(t, err)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		got <- b
	}()
	n, err := c.SendFile(f, size-200)
	require.NoError(t, err)
	require.EqualValues(t, size-200, n)
	require.EqualValues(t, size-200, c.Written())
	require.Equal(t, []int64{maxFilePiece, maxFilePiece, 800}, spy.pieces)
	require.Equal(t, 3, spy.files)
	at, err := f.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, size-100, at, "the file stands behind what was sent")
	require.True(t, c.End(l))
	near.Close()
	require.True(t, bytes.Equal(content[100:size-100], <-got))
}

func TestSendFile_endsWhereTheFileDoes(t *testing.T) {
	near, far := tcpPair(t)
	c := New(near)
	c.Begin()
	f, content := fileOf(t, 1000)
	n, err := c.SendFile(f, 5000)
	require.NoError(t, err)
	require.EqualValues(t, 1000, n)
	got := make([]byte, 1000)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, content, got)
}

func TestSendFile_isBoundByTheLimitOfEachPiece(t *testing.T) {
	near, _ := tcpPair(t) // nobody reads
	c := New(near)
	l := c.Begin()
	c.WriteWithin(50 * time.Millisecond)
	f, _ := fileOf(t, 16<<20)
	n, err := c.SendFile(f, 16<<20)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, n, int64(16<<20))
	c.StopWrite(l, errWhy)
	_, err = c.SendFile(f, 1)
	require.Equal(t, errWhy, err)
}

func TestSendFile_onlyOverPlainTCP(t *testing.T) {
	near, _ := tcpPair(t)
	require.False(t, New(&spy{Conn: near}).SendsFiles(), "what wraps a connection may want to see every byte")
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	require.False(t, New(pipe).SendsFiles())
}
