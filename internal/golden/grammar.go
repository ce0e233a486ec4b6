package golden

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// token reports whether text is a token (RFC 9110, section 5.6.2).
func token(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// legalValue reports whether a header value has no byte that RFC 9110, section 5.5, forbids.
func legalValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// malformed reports whether an answer that is given as a whole breaks the grammar or the framing rules of RFC 9112. What
// is only cut short is not malformed.
func (a Answer) malformed(method string) bool {
	if !a.IsRaw {
		return false
	}
	rest := string(a.Raw)
	for {
		head, body, ok := strings.Cut(rest, "\r\n\r\n")
		if !ok {
			return false
		}
		lines := strings.Split(head, "\r\n")
		status, version, ok := statusLine(lines[0])
		if !ok || slices.ContainsFunc(lines[1:], malformedLine) {
			return true
		}
		if status/100 == 1 && status != 101 {
			rest = body
			continue
		}
		return malformedFraming(lines[1:], version, method, status, body)
	}
}

// statusLine reads a status line (RFC 9112, section 4) of HTTP/1.0 or HTTP/1.1.
func statusLine(line string) (status int, version string, ok bool) {
	version, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	known := version == "HTTP/1.1" || version == "HTTP/1.0"
	return status, version, known && err == nil && len(code) == 3 && status >= 100 && legalValue(reason)
}

func malformedLine(line string) bool {
	name, value, ok := strings.Cut(line, ":")
	return !ok || !token(name) || !legalValue(value)
}

func malformedFraming(lines []string, version, method string, status int, body string) bool {
	var lengths, codings []string
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		for member := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(name) {
			case "content-length":
				lengths = append(lengths, strings.Trim(member, " \t"))
			case "transfer-encoding":
				codings = append(codings, strings.ToLower(strings.Trim(member, " \t")))
			}
		}
	}
	for _, length := range lengths {
		if _, err := strconv.ParseUint(length, 10, 63); err != nil || length != lengths[0] {
			return true
		}
	}
	if codings == nil {
		return false
	}
	if version == "HTTP/1.0" || !slices.Equal(codings, []string{"chunked"}) {
		return true
	}
	return method != "HEAD" && status >= 200 && status != 204 && status != 304 && malformedChunks(body)
}

// malformedChunks looks for a fault in a chunked body (RFC 9112, section 7.1).
func malformedChunks(body string) bool {
	for {
		line, rest, ok := strings.Cut(body, "\r\n")
		if !ok {
			return strings.Contains(body, "\n")
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(digits, 16, 63)
		switch {
		case err != nil:
			return true
		case size == 0, uint64(len(rest)) < size:
			return false
		case !strings.HasPrefix(rest[size:], "\r\n"):
			return len(rest) >= int(size)+2
		}
		body = rest[size+2:]
	}
}

// authority is who a URL says to talk to.
type authority struct{ scheme, user, host, port string }

func authorityOf(text string) authority {
	w := takeApart(text)
	a := authority{scheme: w.scheme, host: w.authority}
	if user, host, ok := strings.Cut(a.host, "@"); ok {
		a.user, a.host = user, host
	}
	if i := strings.LastIndexByte(a.host, ':'); i > strings.LastIndexByte(a.host, ']') {
		a.host, a.port = a.host[:i], a.host[i+1:]
	}
	return a
}

// canonical writes host and port in their one form, as far as ASCII goes.
func (a authority) canonical() string {
	host := strings.TrimSuffix(strings.ToLower(a.host), ".")
	if a.port == "" || a.scheme == "http" && a.port == "80" || a.scheme == "https" && a.port == "443" {
		return host
	}
	return host + ":" + a.port
}

// impossible reports whether no server can have that name: it holds what no name holds, or some resolver would take it
// for an address that others do not see in it.
func (a authority) impossible() bool {
	if strings.ContainsAny(a.user+a.host, `\ `) {
		return true
	}
	if a.host == "" || strings.HasPrefix(a.host, "[") {
		return false
	}
	if addr, err := netip.ParseAddr(a.host); err == nil && addr.Is4() {
		return false
	}
	if !isASCII(a.host) { // RFC 5892, section 2.6: symbols are not allowed
		return strings.ContainsFunc(a.host, unicode.IsSymbol)
	}
	labels := strings.Split(strings.TrimSuffix(a.host, "."), ".")
	_, err := strconv.ParseUint(strings.ToLower(labels[len(labels)-1]), 0, 64)
	return !resolvable(a.host) || err == nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}
