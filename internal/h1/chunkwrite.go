package h1

import (
	"net/http"
	"slices"
)

// Room that FrameChunk needs around the data of a chunk: before it for the
// size line (16 hexadecimal digits and CRLF), after it for CRLF.
const (
	ChunkPrefix = 18
	ChunkSuffix = 2
)

// FrameChunk makes a chunk (RFC 9112 section 7.1) around the n bytes of data
// at buf[ChunkPrefix:] without moving them, and returns the bytes to write, a
// part of buf. At least ChunkSuffix bytes of buf must follow the data. For an
// n of 0 it returns nothing, since an empty chunk would end the body.
func FrameChunk(buf []byte, n int) []byte {
	if n == 0 {
		return nil
	}
	const digits = "0123456789abcdef"
	end := ChunkPrefix + n
	copy(buf[end:end+ChunkSuffix], "\r\n")
	start := ChunkPrefix - 2
	copy(buf[start:ChunkPrefix], "\r\n")
	for size := uint(n); size > 0; size >>= 4 {
		start--
		buf[start] = digits[size&0xf]
	}
	return buf[start : end+ChunkSuffix]
}

// AppendLastChunk appends the end of a chunked body: the empty chunk and the
// trailer section, sorted by name. On error, a *FieldError, it returns dst
// unchanged.
func AppendLastChunk(dst []byte, trailer http.Header) ([]byte, error) {
	b := append(dst, "0\r\n"...)
	if len(trailer) > 0 {
		var room [keyRoom]string
		keys := room[:0]
		for key, values := range trailer {
			if err := checkTrailerName(key); err != nil {
				return dst, err
			}
			if err := checkKey(key, values); err != nil {
				return dst, err
			}
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			b = appendValues(b, key, trailer[key])
		}
	}
	return append(b, "\r\n"...), nil
}
