// Package coding decodes content codings (RFC 9110, section 8.4.1): gzip, deflate, br and
// zstd.
//
// A decoder reads from its source no earlier than it is read from, never runs ahead of it,
// and gives an error for whatever is not wholly what its coding says: for what ends early,
// for a checksum that is wrong, and, but for gzip, for anything that follows. Decoders come
// from a pool and go back when they are closed.
package coding

import (
	"errors"
	"io"
)

// Accept names the codings as Accept-Encoding does.
const Accept = "gzip, deflate, br, zstd"

// ErrTrailing says that something follows a coded body.
var ErrTrailing = errors.New("there is data after its end")

// Open begins to decode r, which has at least one byte. The reader must be closed once,
// and not be used after that.
type Open func(r io.Reader) (io.ReadCloser, error)

// Lookup gives the decoder of a coding, named in lower case; nil for one that is not known.
func Lookup(name string) Open {
	switch name {
	case "gzip":
		return openGzip
	case "deflate":
		return openDeflate
	case "br":
		return openBrotli
	case "zstd":
		return openZstd
	}
	return nil
}

// early gives err, or io.ErrUnexpectedEOF for the end of a source that has no right to end.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
