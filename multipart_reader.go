package parley

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// multipartReader reads a multipart body, one part after the other. What lies in
// memory and in files is given together, as far as there is room; what comes from
// other sources is given as it comes.
type multipartReader struct {
	body   *multipartBody
	part   int    // the current part; after the last one: the ending
	text   string // that stands before the content of the part
	inside bool   // the content of the part was begun
	data   []byte // of the content, where it is in memory
	left   int64  // of the source; -1: not known
	begun  bool
	err    error   // that ended it
	beyond [1]byte // what should not come

	mu     sync.Mutex
	source io.ReadCloser // of the content; nil: none is open
	closed bool
}

// Read gives the next bytes. It is for one goroutine at a time; Close may run
// meanwhile.
func (r *multipartReader) Read(p []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err = r.read(p)
	r.err = err
	return n, err
}

func (r *multipartReader) read(p []byte) (n int, err error) {
	if !r.begun {
		r.begun = true
		if r.body.once && r.body.used.Swap(true) {
			return 0, errPartsUsed
		}
	}
	for n < len(p) {
		if k := r.copyMemory(p[n:]); k > 0 {
			n += k
			continue
		}
		source, err := r.current()
		switch {
		case err != nil:
			return n, err
		case r.part == len(r.body.parts):
			return n, io.EOF
		case n > 0 && r.body.parts[r.part].waits && (source != nil || !r.inside):
			return n, nil // what is there need not wait for it
		case source == nil:
			err = r.step()
		default:
			var k int
			var ended bool
			k, ended, err = r.readSource(source, p[n:])
			n += k
			switch {
			case err == nil && ended:
				err = r.endSource()
			case err == nil && k == 0:
				return n, nil
			}
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// copyMemory gives what needs no source.
func (r *multipartReader) copyMemory(p []byte) int {
	n := copy(p, r.text)
	r.text = r.text[n:]
	k := copy(p[n:], r.data)
	r.data = r.data[k:]
	return n + k
}

// current gives the open source, if there is one.
func (r *multipartReader) current() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, os.ErrClosed
	}
	return r.source, nil
}

// step begins the content of the part or, after it, goes on to the next.
func (r *multipartReader) step() error {
	if r.inside {
		r.part++
		r.inside, r.text = false, r.body.before(r.part)
		return nil
	}
	r.inside = true
	p := r.body.parts[r.part]
	if p.data != nil {
		r.data = p.data
		return nil
	}
	source, err := p.body.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", p.label(), err)
	}
	r.left = p.size
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.source = source
	}
	r.mu.Unlock()
	if closed {
		source.Close() // nothing was read from it
		return os.ErrClosed
	}
	return nil
}

// stretch gives the file of the part, if that is one and nothing stands before it.
func (r *multipartReader) stretch() (*os.File, int64) {
	if r.err != nil || !r.inside || len(r.text) > 0 || r.left <= 0 {
		return nil, 0
	}
	if _, ok := r.body.parts[r.part].body.(*fileBody); !ok {
		return nil, 0
	}
	source, err := r.current()
	if err != nil {
		return nil, 0
	}
	f, _ := source.(*os.File)
	return f, r.left
}

// passed goes on behind what was taken of the stretch.
func (r *multipartReader) passed(n int64) { r.left -= n }

// readSource reads from the open source. ended says that its content is complete.
func (r *multipartReader) readSource(source io.Reader, p []byte) (n int, ended bool, err error) {
	part := r.body.parts[r.part]
	switch {
	case r.left == 0:
		p = r.beyond[:]
	case r.left > 0:
		p = p[:min(int64(len(p)), r.left)]
	}
	n, err = source.Read(p)
	_, closed := r.current()
	switch {
	case closed != nil:
		return 0, false, closed // whatever the source says of being closed
	case n < 0 || n > len(p):
		return 0, false, fmt.Errorf("%s: %w", part.label(), errors.New("its Read returned an impossible count"))
	case r.left == 0 && n > 0:
		return 0, false, &cause{kind: ErrLocalProtocol, err: fmt.Errorf("%s is longer than the announced %d bytes", part.label(), part.size)}
	case r.left > 0:
		r.left -= int64(n)
	}
	switch {
	case err == io.EOF && r.left > 0:
		return n, false, &cause{kind: ErrLocalProtocol, err: fmt.Errorf("%s ended after %d of %d bytes", part.label(), part.size-r.left, part.size)}
	case err != nil && err != io.EOF:
		err = fmt.Errorf("%s: %w", part.label(), err)
	case err == io.EOF:
		return n, true, nil
	}
	return n, false, err
}

// endSource closes the source of a part that is complete.
func (r *multipartReader) endSource() error {
	r.mu.Lock()
	source := r.source
	r.source = nil
	r.mu.Unlock()
	if source == nil {
		return os.ErrClosed
	}
	if err := source.Close(); err != nil {
		return fmt.Errorf("%s: %w", r.body.parts[r.part].label(), err)
	}
	return nil
}

// Close closes the part that is open. It unblocks a Read that waits for it, if
// closing the part does. Parts whose turn has not come stay unopened.
func (r *multipartReader) Close() error {
	r.mu.Lock()
	source := r.source
	r.source, r.closed = nil, true
	r.mu.Unlock()
	if source == nil {
		return nil
	}
	return source.Close()
}
