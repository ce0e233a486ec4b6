package h1

import (
	"net/http"
	"net/textproto"
	"strings"
)

// seenFields says which of the fields that steer the connection a header has.
type seenFields uint8

const (
	seenConnection seenFields = 1 << iota
	seenContentLength
	seenTransferEncoding
	seenKeepAlive
)

// parseFields parses the n field lines of s (RFC 9112 section 5), which ends
// with an empty line, into a header. Names are made canonical as net/textproto
// does; values, and names that came in canonical form, are parts of s.
func parseFields(s string, n int) (http.Header, seenFields, error) {
	header := make(http.Header, n)
	values := make([]string, n)
	var seen seenFields
	for i := range values {
		end := strings.IndexByte(s, '\n')
		key, value, err := parseField(strings.TrimSuffix(s[:end], "\r"))
		if err != nil {
			return nil, 0, err
		}
		s = s[end+1:]
		switch key {
		case "Connection":
			seen |= seenConnection
		case "Content-Length":
			seen |= seenContentLength
		case "Transfer-Encoding":
			seen |= seenTransferEncoding
		case "Keep-Alive":
			seen |= seenKeepAlive
		}
		if had := header[key]; had != nil {
			header[key] = append(had, value)
			continue
		}
		values[i] = value
		header[key] = values[i : i+1 : i+1]
	}
	return header, seen, nil
}

// parseField parses one line without its end.
func parseField(line string) (key, value string, err error) {
	canonical, upper := true, true
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		if classes[c]&classToken == 0 {
			break
		}
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			canonical = false
		}
		upper = c == '-'
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return "", "", badName(line, i)
	}
	key, value = line[:i], trimOWS(line[i+1:])
	if valueLen(value) < len(value) {
		return "", "", malformed("control byte in the value of header", key)
	}
	if !canonical {
		key = textproto.CanonicalMIMEHeaderKey(key)
	}
	return key, value, nil
}

// badName says what is wrong with a line whose name ends at i without a colon.
// It does not show what follows the first colon, which may be a secret.
func badName(line string, i int) error {
	name, _, colon := strings.Cut(line, ":")
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return malformed("folded header line", "")
	case !colon:
		return malformed("header line without colon", name)
	case i == 0 && name == "":
		return malformed("header line without name", name)
	}
	return malformed("header name is not a token", name)
}
