package parley

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
)

// followInterval is how often files are looked at, at most.
const followInterval = time.Second

// followed is what was read from files, and is read again when they change: a process
// may outlive its certificates. The files are looked at by requests that need them;
// nothing runs in between.
type followed[T any] struct {
	paths []string // files, and directories of files
	read  func() (T, error)

	next atomic.Int64 // when to look again, by sock.Now; a later look moves it first
	now  atomic.Pointer[reading[T]]
}

// reading is what was read at one time. It does not change.
type reading[T any] struct {
	value T
	marks []mark
	stale error // why a later state of the files could not be read; nil: there is none
}

// mark tells the state of a file from others.
type mark struct {
	path string
	info os.FileInfo
}

// follow reads the files for the first time.
func follow[T any](paths []string, read func() (T, error)) (*followed[T], error) {
	f := &followed[T]{paths: paths, read: read}
	// They are marked first, so that a change while they are read is seen later.
	marks, err := marksOf(paths)
	if err != nil {
		return nil, err
	}
	value, err := read()
	if err != nil {
		return nil, err
	}
	f.now.Store(&reading[T]{value: value, marks: marks})
	f.next.Store(int64(sock.Now() + followInterval))
	return f, nil
}

// current gives what the files say, as of followInterval ago at most. Files that are
// missing or broken leave it at what they said before, and are looked at again.
func (f *followed[T]) current() T {
	now := sock.Now()
	if due := f.next.Load(); int64(now) >= due && f.next.CompareAndSwap(due, int64(now+followInterval)) {
		f.look()
	}
	return f.now.Load().value
}

// stale says why what is in use is not what the files say; nil if it is.
func (f *followed[T]) stale() error { return f.now.Load().stale }

// look reads the files if they have changed. Of those that look at the same time, which
// takes a look longer than followInterval, the last one counts.
func (f *followed[T]) look() {
	before := f.now.Load()
	marks, err := marksOf(f.paths)
	if err == nil && before.stale == nil && sameMarks(marks, before.marks) {
		return
	}
	var value T
	if err == nil {
		value, err = f.read()
	}
	if err != nil {
		f.now.Store(&reading[T]{value: before.value, marks: before.marks, stale: err})
		return
	}
	f.now.Store(&reading[T]{value: value, marks: marks})
}

// marksOf looks at files, and at all that is in directories.
func marksOf(paths []string) ([]mark, error) {
	var out []mark
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		out = append(out, mark{path, info})
		if !info.IsDir() {
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			file := filepath.Join(path, entry.Name())
			if info, err := os.Stat(file); err == nil { // a link may lead nowhere
				out = append(out, mark{file, info})
			}
		}
	}
	return out, nil
}

// sameMarks reports whether nothing has changed, as far as can be seen from outside.
func sameMarks(a, b []mark) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i].info, b[i].info
		if a[i].path != b[i].path || !os.SameFile(x, y) || x.Size() != y.Size() || !x.ModTime().Equal(y.ModTime()) {
			return false
		}
	}
	return true
}

// noteStale adds to the failure of a handshake that files which it depends on have changed
// and cannot be read, as that may be why.
func (s *security) noteStale(err error) error {
	stale := s.stale()
	if stale == nil || !errors.Is(err, ErrTLS) {
		return err
	}
	return fmt.Errorf("%w%s", err, staleText(stale))
}

// staleText says that files could not be read again; "" if there is no such thing.
func staleText(stale error) string {
	if stale == nil {
		return ""
	}
	return "; its files have changed since they were read, but " + quoteBad(stale.Error(), 256)
}
