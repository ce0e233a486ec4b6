package h1

import (
	"net/http"
)

// Bounds on chunk framing. Real servers send size lines of a few bytes; net/http
// bounds the line by 4 KiB and the excess by 16 KiB as well.
const (
	maxSizeLine   = 4 << 10  // bytes of one size line with its extensions
	maxExcess     = 16 << 10 // bytes of framing beyond what the chunks justify
	freePerChunk  = 16       // framing bytes of each chunk that are not counted
	maxSizeDigits = 16
)

// chunkPhase is the place within chunk framing (RFC 9112 section 7.1).
type chunkPhase uint8

const (
	inSize       chunkPhase = iota // in the digits of a size line
	inExtension                    // after the first semicolon
	inQuotes                       // in a quoted string of an extension
	inEscape                       // after a backslash there
	sizeLF                         // after the CR of a size line
	inData                         // before the end of a chunk's data
	dataCR                         // after the data
	dataLF                         // after the CR behind the data
	trailerStart                   // after the size line of the last chunk
	inTrailer                      // in a trailer section that is not empty
	endLF                          // after the CR of an empty one
	ended
)

// A chunkState parses chunk framing bytes, which may come in any pieces.
type chunkState struct {
	size    int64 // of the current chunk
	line    int   // bytes of the current size line
	excess  int   // framing bytes beyond what is justified
	digits  uint8
	phase   chunkPhase
	lim     Limits
	section *trailerSection // nil unless there are trailers
	trailer http.Header
}

// feed takes in framing bytes and returns how many of p it used: all, or those
// before data or the end of the body.
func (c *chunkState) feed(p []byte) (int, error) {
	for i := 0; i < len(p); {
		switch c.phase {
		case inData, ended:
			return i, nil
		case trailerStart:
			// A body without trailers, the usual one, needs no room for them.
			if p[i] == '\r' {
				c.phase = endLF
				i++
				continue
			}
			c.section = new(trailerSection)
			c.phase = inTrailer
		case inTrailer:
			n, err := c.feedTrailer(p[i:])
			if err != nil {
				return i, err
			}
			i += n
		default:
			if wrong := c.step(p[i]); wrong != "" {
				return i, malformed(wrong, string(p[max(0, i-shown/2):i+1]))
			}
			if c.line > maxSizeLine {
				return i, overLimit("bytes of chunk size line", maxSizeLine)
			}
			if c.excess > maxExcess {
				return i, overLimit("bytes of excess chunk framing", maxExcess)
			}
			i++
		}
	}
	return len(p), nil
}

// step takes in one byte outside data and trailers, and says what is wrong
// with it.
func (c *chunkState) step(b byte) (wrong string) {
	switch c.phase {
	case dataCR:
		if b != '\r' {
			return "chunk data is not followed by CRLF"
		}
		c.phase = dataLF
		return ""
	case dataLF:
		if b != '\n' {
			return "chunk data is not followed by CRLF"
		}
		c.phase, c.size, c.digits, c.line = inSize, 0, 0, 0
		return ""
	case endLF:
		if b != '\n' {
			return "lone CR in a trailer section"
		}
		c.phase = ended
		return ""
	}
	c.line++
	switch c.phase {
	case inSize:
		return c.stepSize(b)
	case sizeLF:
		if b != '\n' {
			return "lone CR in a chunk size line"
		}
		c.endSizeLine()
	default:
		return c.stepExtension(b)
	}
	return ""
}

func (c *chunkState) stepSize(b byte) (wrong string) {
	digit := unhex(b)
	switch {
	case digit >= 0:
		if c.digits == maxSizeDigits || c.size >= 1<<59 {
			return "chunk size too large"
		}
		c.digits++
		c.size = c.size<<4 | int64(digit)
	case c.digits == 0:
		return "malformed chunk size"
	case b == '\r':
		c.phase = sizeLF
	case b == ';':
		c.phase = inExtension
	default:
		return "malformed chunk size"
	}
	return ""
}

// stepExtension passes over extensions (RFC 9112 section 7.1.1), of which it
// only knows where quoted strings end: a line end inside one would be taken
// for the end of the size line by some and for text by others.
func (c *chunkState) stepExtension(b byte) (wrong string) {
	switch {
	case b == '\r' && c.phase == inExtension:
		c.phase = sizeLF
	case classes[b]&classValue == 0:
		return "control byte in a chunk extension"
	case c.phase == inEscape:
		c.phase = inQuotes
	case b == '"' && c.phase == inQuotes:
		c.phase = inExtension
	case b == '"':
		c.phase = inQuotes
	case b == '\\' && c.phase == inQuotes:
		c.phase = inEscape
	}
	return ""
}

// endSizeLine counts the chunk's framing, its last CRLF included, and goes on
// to the data.
func (c *chunkState) endSizeLine() {
	if c.size >= maxExcess {
		c.excess = 0 // the data justifies more than can have come up
	} else {
		c.excess = max(0, c.excess+c.line+2-freePerChunk-2*int(c.size))
	}
	c.phase = inData
	if c.size == 0 {
		c.phase = trailerStart
	}
}

// A trailerSection collects a trailer section that is not empty.
type trailerSection struct {
	scan blockScan
	text []byte
}

// feedTrailer takes in bytes of the trailer section (RFC 9112 section 7.1.2),
// which is bounded like a head, and returns how many of p it used.
func (c *chunkState) feedTrailer(p []byte) (int, error) {
	s := c.section
	p = p[:min(len(p), c.lim.HeadBytes-len(s.text))]
	n := s.scan.feed(p, c.lim.HeaderCount)
	ends := n >= 0
	if !ends {
		n = len(p)
	}
	s.text = append(s.text, p[:n]...)
	switch {
	case s.scan.loneLF:
		return 0, malformed("lone LF in a trailer section", "")
	case s.scan.lines > c.lim.HeaderCount:
		return 0, overLimit("number of trailer lines", c.lim.HeaderCount)
	case !ends && len(s.text) == c.lim.HeadBytes:
		return 0, overLimit("bytes of trailer section", c.lim.HeadBytes)
	case !ends:
		return n, nil
	}
	trailer, _, err := parseFields(string(s.text), s.scan.lines)
	if err != nil {
		return 0, err
	}
	for key := range trailer {
		if !trailerAllowed(key) {
			delete(trailer, key)
		}
	}
	if len(trailer) > 0 {
		c.trailer = trailer
	}
	c.section = nil
	c.phase = ended
	return n, nil
}
