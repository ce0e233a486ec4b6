package h1

import (
	"bufio"
	"net/http"
	"strings"
	"time"
)

// Limits on what a peer may send. A field of 0 or less means its default.
type Limits struct {
	HeadBytes     int // bytes of all heads of one answer together, and of its trailer section
	HeaderCount   int // header lines of one head, or of a trailer section
	Informational int // 1xx answers before the final one
}

// The defaults of Limits.
const (
	DefaultHeadBytes     = 1 << 20
	DefaultHeaderCount   = 1000
	DefaultInformational = 8
)

func (l Limits) orDefaults() Limits {
	if l.HeadBytes <= 0 {
		l.HeadBytes = DefaultHeadBytes
	}
	if l.HeaderCount <= 0 {
		l.HeaderCount = DefaultHeaderCount
	}
	if l.Informational <= 0 {
		l.Informational = DefaultInformational
	}
	return l
}

// ResponseHead is what ReadResponse makes of a response head. Its strings are
// parts of one string that holds the whole head: who keeps one of them for
// long clones it.
type ResponseHead struct {
	StatusCode int    // 100 to 999
	Status     string // code and reason as on the wire, such as "200 OK"
	Proto      string // "HTTP/1.1" or "HTTP/1.0"
	Minor      int    // 1 or 0

	// Header is as received, under canonical names, but for a Content-Length
	// beside Transfer-Encoding, which is removed. It is never nil after
	// ReadResponse.
	Header http.Header

	// Framing says how the body ends, given the request's method.
	Framing Framing

	// ContentLength is the length of the body, -1 if it is unknown. In answers
	// to HEAD and in a 304 it is the announced length.
	ContentLength int64

	// KeepAlive says that, as far as the head tells, the connection can carry
	// another request once the body was read: by version, Connection and
	// framing. It is false if a line ended with a lone LF, and after a 101 or
	// a 2xx to CONNECT, which end HTTP on the connection.
	KeepAlive bool

	// IdleTimeout is how long the server says it keeps an idle connection, by
	// "Keep-Alive: timeout=", at most 24 hours; 0 if it does not say. A
	// timeout of 0 seconds clears KeepAlive instead.
	IdleTimeout time.Duration
}

// ReadResponse reads heads from br until a final one or a 101, and fills h,
// whose earlier content is dropped; after an error h has no meaning. The
// method is that of the request. on1xx, if not nil, gets each informational
// answer before the final one; its error ends the reading.
//
// Errors are *ParseError, those of on1xx, and those of the reader underneath,
// unchanged; io.EOF means that nothing came at all, a later end is
// io.ErrUnexpectedEOF. After any error the connection cannot be used further.
func ReadResponse(br *bufio.Reader, method string, lim Limits, h *ResponseHead, on1xx func(status int, header http.Header) error) error {
	lim = lim.orDefaults()
	used, loneLF := 0, false
	for informational := 0; ; informational++ {
		head, scan, err := readHead(br, used, &lim)
		if err != nil {
			return err
		}
		used += len(head)
		loneLF = loneLF || scan.loneLF
		*h = ResponseHead{}
		end := strings.IndexByte(head, '\n')
		if err := h.parseStatusLine(strings.TrimSuffix(head[:end], "\r")); err != nil {
			return err
		}
		header, seen, err := parseFields(head[end+1:], scan.lines-1)
		if err != nil {
			return err
		}
		h.Header = header
		if err := h.setFraming(method, seen); err != nil {
			return err
		}
		if h.StatusCode >= 200 || h.StatusCode == http.StatusSwitchingProtocols {
			h.KeepAlive = h.KeepAlive && !loneLF
			return nil
		}
		if informational == lim.Informational {
			return overLimit("number of informational responses", lim.Informational)
		}
		if on1xx != nil {
			if err := on1xx(h.StatusCode, h.Header); err != nil {
				return err
			}
		}
	}
}

// parseStatusLine parses a status line (RFC 9112 section 4), without its end,
// that begins with prefix. The space before an empty reason may be missing, as
// some servers leave it out.
func (h *ResponseHead) parseStatusLine(line string) error {
	const version = len(prefix) + 1 // of "HTTP/1.1"
	if len(line) < version+4 || line[version] != ' ' {
		return malformed("malformed status line", line)
	}
	switch line[len(prefix)] {
	case '0':
		h.Proto = "HTTP/1.0"
	case '1':
		h.Proto, h.Minor = "HTTP/1.1", 1
	default:
		return malformed("unknown HTTP version", line)
	}
	h.Status = line[version+1:]
	for _, c := range []byte(h.Status[:3]) {
		if !isDigit(c) {
			return malformed("malformed status code", line)
		}
		h.StatusCode = h.StatusCode*10 + int(c-'0')
	}
	if h.StatusCode < 100 || len(h.Status) > 3 && h.Status[3] != ' ' {
		return malformed("malformed status code", line)
	}
	if valueLen(h.Status) < len(h.Status) {
		return malformed("control byte in the reason phrase", line)
	}
	return nil
}
