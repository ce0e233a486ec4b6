package h2

import (
	"errors"
	"strings"
)

// errUnusable is net/http's error for a connection that takes no further request.
var errUnusable = errors.New("http2: client conn not usable")

// Code is an error code of HTTP/2 (RFC 9113, section 7).
type Code uint32

// The codes that matter here.
const (
	codeRefusedStream  Code = 0x7
	codeHTTP11Required Code = 0xd
)

var codeNames = []string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String is the name of the code.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "an unknown error"
}

// StreamError has the fields of that of golang.org/x/net/http2, which is how net/http
// lets its own be found with errors.As.
type StreamError struct {
	StreamID uint32
	Code     Code
	Cause    error
}

// Error names the code.
func (e StreamError) Error() string { return "stream error " + e.Code.String() }

// Kind is what an error of [Conn.RoundTrip] or of a body means.
type Kind uint8

// The kinds of errors.
const (
	Other     Kind = iota // the connection failed, or nothing is known
	Unsent                // the peer has not acted on the request, and never will
	HTTP1                 // the same, as it wants HTTP/1.1 for it
	Reset                 // the peer ended the stream
	Closed                // the peer ended the connection
	Lost                  // the peer did not answer a ping
	Broken                // the connection was closed from this side, as net/http does when writing another stream fails
	Malformed             // the peer broke the rules of HTTP
	TooLarge              // the header of the request is larger than the peer takes; nothing was sent
)

// KindOf is the one place that knows the errors of net/http. Those that it keeps to itself
// are known by their text; the tests let a peer cause each of them.
func KindOf(err error) Kind {
	var stream StreamError
	if errors.As(err, &stream) {
		peers := stream.Cause != nil && stream.Cause.Error() == "received from peer"
		switch {
		case stream.Code == codeRefusedStream && peers:
			return Unsent
		case stream.Code == codeHTTP11Required && peers:
			return HTTP1
		case peers:
			return Reset
		}
		return Malformed
	}
	for _, own := range []error{errFlood, errNoSettings, errWindow} {
		if errors.Is(err, own) {
			return Malformed
		}
	}
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		for _, known := range knownErrors {
			if strings.HasPrefix(text, known.prefix) {
				return known.kind
			}
		}
	}
	return Other
}

var knownErrors = []struct {
	prefix string
	kind   Kind
}{
	{"http2: client conn not usable", Unsent},
	{"http2: client conn could not be established", Unsent},
	{"http2: Transport received Server's graceful shutdown GOAWAY", Unsent}, // beyond its last stream
	{"http2: Transport received GOAWAY from server", Unsent},                // the same, for the first of all streams
	{"http2: server sent GOAWAY and closed the connection", Closed},
	{"http2: client connection lost", Lost},
	{"http2: client connection force closed via ClientConn.Close", Broken}, // net/http's way to end the others
	{"http2: request header list larger than peer's advertised limit", TooLarge},
	{"connection error: ", Malformed},
	{"http2: frame too large", Malformed},
	{"http2: failed reading the frame payload: http2: frame too large", Malformed}, // an answer by HTTP/1.1
	{"net/http: server replied with more than declared Content-Length", Malformed},
}

// maxText is how much of an error's text is shown: some quote what the peer sent.
const maxText = 200

// Brief gives err with a text that is not too long.
func Brief(err error) error {
	if len(err.Error()) <= maxText {
		return err
	}
	return &brief{err}
}

type brief struct{ err error }

func (b *brief) Error() string { return strings.ToValidUTF8(b.err.Error()[:maxText], "") + "..." }

// The whole of it can be asked, and is not shown.

func (b *brief) Is(target error) bool { return errors.Is(b.err, target) }
func (b *brief) As(target any) bool   { return errors.As(b.err, target) }
