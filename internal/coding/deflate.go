package coding

import (
	"bufio"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// inflate decodes deflate, which is the zlib format by the letter (RFC 9110, section
// 8.4.1.2) and plain DEFLATE from servers that took the name at its word.
type inflate struct {
	br   bufio.Reader
	zlib io.ReadCloser // nil until one was met
	raw  io.ReadCloser // nil until one was met
	from io.Reader     // the one of the two that is in use; nil: not known yet
}

var inflates = sync.Pool{New: func() any {
	d := new(inflate)
	d.br = *bufio.NewReaderSize(nil, sourceBuffer)
	return d
}}

func openDeflate(r io.Reader) (io.ReadCloser, error) {
	d := inflates.Get().(*inflate)
	d.br.Reset(r)
	return d, nil
}

// Close gives the decoder back.
func (d *inflate) Close() error {
	d.br.Reset(nil)
	d.from = nil
	inflates.Put(d)
	return nil
}

func (d *inflate) Read(p []byte) (int, error) {
	if d.from == nil {
		if err := d.begin(); err != nil {
			return 0, early(err)
		}
	}
	n, err := d.from.Read(p)
	if err == io.EOF {
		if _, more := d.br.ReadByte(); more == nil {
			err = ErrTrailing
		} else {
			err = more
		}
	}
	return n, err
}

// begin finds out by the first two bytes which of the two formats it is.
func (d *inflate) begin() (err error) {
	head, err := d.br.Peek(2)
	if err != nil {
		return err
	}
	if !isZlib(head[0], head[1]) {
		if d.raw == nil {
			d.raw = flate.NewReader(&d.br)
		} else {
			err = d.raw.(flate.Resetter).Reset(&d.br, nil)
		}
		d.from = d.raw
		return err
	}
	if d.zlib == nil {
		d.zlib, err = zlib.NewReader(&d.br)
	} else {
		err = d.zlib.(zlib.Resetter).Reset(&d.br, nil)
	}
	if err == nil {
		d.from = d.zlib
	}
	return err
}

// isZlib reports whether two bytes are the header of the zlib format (RFC 1950, section
// 2.2): method 8, a window of at most 32 KiB, and a check value. Plain DEFLATE beginning
// so would be a stored block with bits set in its padding, which no encoder writes.
func isZlib(cmf, flg byte) bool {
	return cmf&0x0f == 8 && cmf>>4 <= 7 && (uint(cmf)<<8|uint(flg))%31 == 0
}
