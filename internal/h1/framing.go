package h1

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxIdleTimeout bounds what a server can say about its idle connections.
const maxIdleTimeout = 24 * time.Hour

// setFraming finds the framing of the body (RFC 9112 section 6.3), its length,
// and whether the connection lasts.
func (h *ResponseHead) setFraming(method string, seen seenFields) error {
	if method == http.MethodConnect && h.StatusCode/100 == 2 {
		return nil // a tunnel; framing fields are ignored (RFC 9110 section 9.3.6)
	}
	chunked, length, err := h.announced(seen)
	if err != nil {
		return err
	}
	h.setKeepAlive(seen)
	h.ContentLength = length
	switch {
	case h.StatusCode < 200 || h.StatusCode == http.StatusNoContent:
		// Neither field may be there (RFC 9110 section 8.6, RFC 9112 section
		// 6.1). A server that sends one may send the body too.
		h.KeepAlive = h.KeepAlive && !chunked && length <= 0 && h.StatusCode != http.StatusSwitchingProtocols
		h.ContentLength = 0
	case method == http.MethodHead || h.StatusCode == http.StatusNotModified:
	case chunked:
		h.Framing = ChunkedBody
	case length >= 0:
		h.Framing = LengthBody
	default:
		h.Framing = CloseBody
		h.KeepAlive = false
	}
	return nil
}

// announced returns what Transfer-Encoding and Content-Length say; a length of
// -1 means that there is none.
func (h *ResponseHead) announced(seen seenFields) (chunked bool, length int64, err error) {
	length = -1
	if seen&seenContentLength != 0 {
		if length, err = parseContentLength(h.Header["Content-Length"]); err != nil {
			return false, 0, err
		}
	}
	if seen&seenTransferEncoding == 0 {
		return false, length, nil
	}
	codings := h.Header["Transfer-Encoding"]
	if h.Minor == 0 {
		return false, 0, malformed("Transfer-Encoding in an HTTP/1.0 response", codings[0])
	}
	if len(codings) != 1 || !equalFold(codings[0], "chunked") {
		return false, 0, malformed("Transfer-Encoding is not chunked alone", strings.Join(codings[:min(len(codings), shown)], ", "))
	}
	delete(h.Header, "Content-Length")
	return true, -1, nil
}

// parseContentLength accepts one decimal number, repeated or not, in one line
// or in several (RFC 9110 section 8.6).
func parseContentLength(values []string) (int64, error) {
	length := int64(-1)
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			n, ok := parseDecimal(trimOWS(member), 19)
			if !ok {
				return 0, malformed("malformed Content-Length", v)
			}
			if length >= 0 && n != length {
				return 0, malformed("contradictory Content-Length", v)
			}
			length = n
		}
	}
	return length, nil
}

// parseDecimal accepts one to maxDigits ASCII digits that fit an int64.
func parseDecimal(s string, maxDigits int) (int64, bool) {
	if s == "" || len(s) > maxDigits {
		return 0, false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// setKeepAlive applies RFC 9112 section 9.3, and takes the server's word on
// idle connections.
func (h *ResponseHead) setKeepAlive(seen seenFields) {
	h.KeepAlive = h.Minor == 1
	if seen&seenConnection != 0 {
		tokens := h.Header["Connection"]
		h.KeepAlive = !hasToken(tokens, "close") && (h.KeepAlive || hasToken(tokens, "keep-alive"))
	}
	const both = seenContentLength | seenTransferEncoding
	if seen&both == both {
		h.KeepAlive = false
	}
	if seen&seenKeepAlive == 0 {
		return
	}
	seconds, ok := keepAliveTimeout(h.Header["Keep-Alive"])
	switch {
	case !ok:
	case seconds == 0:
		h.KeepAlive = false
	default:
		h.IdleTimeout = min(time.Duration(min(seconds, math.MaxInt32))*time.Second, maxIdleTimeout)
	}
}

// keepAliveTimeout returns the first well-formed timeout parameter, in seconds
// (RFC 2068 section 19.7.1.1). Anything else in the field is ignored.
func keepAliveTimeout(values []string) (int64, bool) {
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			name, value, _ := strings.Cut(member, "=")
			if !equalFold(trimOWS(name), "timeout") {
				continue
			}
			if n, ok := parseDecimal(trimOWS(value), 19); ok {
				return n, true
			}
		}
	}
	return 0, false
}
