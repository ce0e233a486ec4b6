package parley

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
)

// fileSource is the reader of a body that may come to a stretch of a regular file, which
// the system can send by itself. What is not taken by way of stretch is read.
type fileSource interface {
	// stretch gives the file and how much of it may be taken from where it stands; nil
	// where something else comes next.
	stretch() (*os.File, int64)
	// passed is told how much of the stretch was taken.
	passed(n int64)
}

// filesIn gives the stretches of files in a body, nil if there are none.
func filesIn(body io.Reader) fileSource {
	switch b := body.(type) {
	case fileSource:
		return b
	case *os.File:
		if info, err := b.Stat(); err == nil && info.Mode().IsRegular() {
			return wholeFile{b}
		}
	}
	return nil
}

// wholeFile is a body that is a file and nothing else.
type wholeFile struct{ f *os.File }

func (w wholeFile) stretch() (*os.File, int64) { return w.f, math.MaxInt64 }
func (wholeFile) passed(int64)                 {}

// maxStretch is the most of a file that is sent before anybody is told of it.
const maxStretch = 1 << 20

// files gives the stretches of files in the body that the connection can send by itself.
func (u *upload) files() fileSource {
	if u.conn.rw != u.conn.sock || !u.conn.sock.SendsFiles() {
		return nil // TLS, or a connection of somebody's own
	}
	return filesIn(u.body)
}

// sendFile sends what comes next of a file, at most left bytes; nothing if it is not
// worth the trouble, as it goes together with what comes before or after it.
func (u *upload) sendFile(files fileSource, left int64) (int64, error) {
	f, n := files.stretch()
	if n = min(n, left, maxStretch); f == nil || n <= uploadPiece {
		return 0, nil
	}
	select {
	case <-u.quit:
		return 0, errStopped
	default:
	}
	n, err := u.conn.sock.SendFile(f, n)
	files.passed(n)
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		err = asSourceError(err)
	}
	return n, err
}
