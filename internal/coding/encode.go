package coding

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Encoder codes what is written to it. Flush writes out what it has so far; Close ends the
// coding, does not close what it writes to, and must be called once, after which it must
// not be used.
type Encoder interface {
	io.WriteCloser
	Flush() error
}

// Encode begins to code what is written, to w.
type Encode func(w io.Writer) (io.WriteCloser, error)

// LookupEncoder gives the encoder of a coding, named in lower case; nil for one that is
// not known. What it makes is an [Encoder], of the usual level of its coding. deflate is
// with the header of zlib, as RFC 9110, section 8.4.1.2, has it.
func LookupEncoder(name string) Encode {
	switch name {
	case "gzip":
		return gzips.begin
	case "deflate":
		return deflates.begin
	case "br":
		return brotlis.begin
	case "zstd":
		return zstds.begin
	}
	return nil
}

// resettable is an encoder that can be used again.
type resettable interface {
	Encoder
	Reset(io.Writer)
}

// encoders are encoders that nobody uses.
type encoders struct {
	pool sync.Pool
	new  func() (resettable, error)
}

var (
	gzips    = &encoders{new: func() (resettable, error) { return gzip.NewWriter(nil), nil }}
	deflates = &encoders{new: func() (resettable, error) { return zlib.NewWriter(nil), nil }}
	brotlis  = &encoders{new: func() (resettable, error) { return brotli.NewWriter(nil), nil }}
	// On the goroutine of who writes, with a window of which many fit into memory.
	zstds = &encoders{new: func() (resettable, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	}}
)

func (e *encoders) begin(w io.Writer) (io.WriteCloser, error) {
	enc, ok := e.pool.Get().(resettable)
	if !ok {
		var err error
		if enc, err = e.new(); err != nil {
			return nil, err
		}
	}
	enc.Reset(w)
	return &encoder{enc, e}, nil
}

// encoder is an encoder in use.
type encoder struct {
	resettable
	from *encoders
}

// Close ends the coding and gives the encoder back.
func (e *encoder) Close() error {
	err := e.resettable.Close()
	e.Reset(io.Discard)
	e.from.pool.Put(e.resettable)
	return err
}
