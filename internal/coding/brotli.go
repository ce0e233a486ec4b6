package coding

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
)

// unbrotli decodes br (RFC 7932). Its window is at most 16 MiB, the most that the format
// has, and no larger than what is decoded at once.
type unbrotli struct{ r brotli.Reader }

var unbrotlis = sync.Pool{New: func() any { return new(unbrotli) }}

func openBrotli(r io.Reader) (io.ReadCloser, error) {
	d := unbrotlis.Get().(*unbrotli)
	return d, d.r.Reset(r)
}

func (d *unbrotli) Read(p []byte) (int, error) { return d.r.Read(p) }

// Close gives the decoder back.
func (d *unbrotli) Close() error {
	err := d.r.Reset(nil)
	unbrotlis.Put(d)
	return err
}
