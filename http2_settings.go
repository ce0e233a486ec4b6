package parley

import (
	"cmp"
	"time"

	"github.com/seed-0474a412/parley/internal/h2"
)

// The settings of HTTP/2 of a pool that was given none.
const (
	DefaultPingAfter   = 30 * time.Second
	DefaultPingTimeout = 15 * time.Second
	// DefaultStreamWindow lets one response come with 80 MB/s over a line on which
	// an answer takes a tenth of a second. That is twice what net/http allows, and
	// nearly what curl does.
	DefaultStreamWindow = 8 << 20
	// DefaultConnWindow is so large that the windows of streams bind first: who does
	// not read his response must not hold up the others of the connection.
	DefaultConnWindow      = 1 << 30
	DefaultMaxFrameSize    = 16 << 10 // the least of RFC 9113: a buffer of that size stays with a connection
	DefaultHeaderTableSize = 4 << 10  // that of RFC 7541 and RFC 9113
)

// The ranges of what is said to servers (RFC 9113, sections 6.5.2 and 6.9.1).
const (
	maxWindow       = 1<<31 - 1
	leastConnWindow = 128 << 10 // net/http gives no less
	leastFrame      = 16 << 10
	maxFrame        = 1<<24 - 1
	maxTable        = 4<<20 - 1 // net/http takes no more
)

// HTTP2Settings tune the connections of a pool that speak HTTP/2. In each field zero
// means the default. A value out of its range is an error of [NewPool] and [New] that
// says the range.
//
// The limit of a response's head is no setting: it is [MaxHeadBytes], as by HTTP/1.1,
// and told to the server. Push is off.
type HTTP2Settings struct {
	// PingAfter is how long nothing may come on a connection before its server is
	// asked by a PING whether it is alive. Default 30 s; less than zero: it is never
	// asked.
	PingAfter time.Duration
	// PingTimeout is how long the server has for the answer before the connection is
	// closed with all its requests. Default 15 s.
	PingTimeout time.Duration
	// WriteTimeout closes a connection of which the server has taken no byte for so
	// long though some wait. It holds for all requests together; [Timeouts].Write
	// ends one of them. Default 30 s; less than zero: never.
	WriteTimeout time.Duration

	// StreamWindow is how many bytes of one response's body a server may send before
	// they are read. As much memory may be held for a response that nobody reads, and
	// a response comes no faster than one window in the time of a round trip. Default
	// 8 MiB; 1 to 2,147,483,647 bytes.
	StreamWindow int
	// ConnWindow is the same of all responses of a connection together. Default 1 GiB,
	// so that the windows of streams bind; 131,072 to 2,147,483,647 bytes.
	ConnWindow int
	// MaxFrameSize is the largest frame that a server may send. Larger ones save a
	// little time on a large body and delay what other streams have to say. Default 16
	// KiB; 16,384 to 16,777,215 bytes.
	MaxFrameSize int
	// HeaderTableSize is how many bytes of memory a server's compression of headers
	// may ask for on this side (RFC 7541, section 4.2). Default 4 KiB; 1 to 4,194,303
	// bytes.
	HeaderTableSize int
	// RequestTableSize is the same for headers of requests, where a server permits so
	// much. 1 means that no header is remembered. Default 4 KiB; 1 to 4,194,303 bytes.
	RequestTableSize int
}

// check says which setting is out of its range.
func (s *HTTP2Settings) check() error {
	if s.PingTimeout < 0 {
		return failed("HTTP2Settings: PingTimeout is %v, and must not be less than zero: PingAfter says whether a server is asked at all", s.PingTimeout)
	}
	for _, f := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"StreamWindow", s.StreamWindow, 1, maxWindow},
		{"ConnWindow", s.ConnWindow, leastConnWindow, maxWindow},
		{"MaxFrameSize", s.MaxFrameSize, leastFrame, maxFrame},
		{"HeaderTableSize", s.HeaderTableSize, 1, maxTable},
		{"RequestTableSize", s.RequestTableSize, 1, maxTable},
	} {
		if f.value != 0 && (f.value < f.least || f.value > f.most) {
			return failed("HTTP2Settings: %s is %d, and must be from %d to %d bytes", f.name, f.value, f.least, f.most)
		}
	}
	return nil
}

// bridge makes what begins HTTP/2 on the connections of a pool.
func (s *HTTP2Settings) bridge() *h2.Transport {
	return h2.New(h2.Config{
		PingAfter:        max(cmp.Or(s.PingAfter, DefaultPingAfter), 0),
		PingTimeout:      cmp.Or(s.PingTimeout, DefaultPingTimeout),
		HeaderBytes:      MaxHeadBytes,
		StreamWindow:     cmp.Or(s.StreamWindow, DefaultStreamWindow),
		ConnWindow:       cmp.Or(s.ConnWindow, DefaultConnWindow),
		MaxFrameSize:     cmp.Or(s.MaxFrameSize, DefaultMaxFrameSize),
		HeaderTableSize:  cmp.Or(s.HeaderTableSize, DefaultHeaderTableSize),
		RequestTableSize: cmp.Or(s.RequestTableSize, DefaultHeaderTableSize),
	})
}

// writeTimeout is WriteTimeout as it holds; less than zero: there is none.
func (s *HTTP2Settings) writeTimeout() time.Duration {
	return cmp.Or(s.WriteTimeout, DefaultWriteTimeout)
}

// WithHTTP2Settings tunes HTTP/2 on the connections of the session's own pool; see
// [HTTP2Settings]. A derived session that says it has a pool of its own, with the limits
// of the session that it is derived from; under [WithTransport] it is an error.
func WithHTTP2Settings(s HTTP2Settings) ClientOption {
	return clientOption(func(c *clientConfig) error {
		c.pool.HTTP2, c.poolSaid = s, "WithHTTP2Settings"
		return nil
	})
}
