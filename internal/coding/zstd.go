package coding

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow is the largest window that a zstd body may have (RFC 9659, section 3).
const maxZstdWindow = 8 << 20

// unzstd decodes zstd (RFC 8878): any number of frames, one after the other.
type unzstd struct{ d *zstd.Decoder }

var unzstds sync.Pool // of *unzstd

func openZstd(r io.Reader) (io.ReadCloser, error) {
	u, ok := unzstds.Get().(*unzstd)
	if !ok {
		// On one goroutine, the reader's own, so that a decoder that is dropped leaves
		// nothing behind. For a stream the limit of memory is one of the window.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(maxZstdWindow))
		if err != nil {
			return nil, err
		}
		u = &unzstd{d}
	}
	return u, u.d.Reset(r)
}

func (u *unzstd) Read(p []byte) (int, error) { return u.d.Read(p) }

// Close gives the decoder back.
func (u *unzstd) Close() error {
	err := u.d.Reset(nil)
	unzstds.Put(u)
	return err
}
