package h1

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// AppendHeader appends the lines of h, without an empty line at their end: the
// names in order first, in that order and spelling, the others sorted. What
// RequestHead.Header says of single names holds here too. On error, a
// *FieldError, it returns dst unchanged.
func AppendHeader(dst []byte, h http.Header, order []string) ([]byte, error) {
	var w fieldWriter
	b, err := w.append(dst, h, order)
	if err != nil {
		return dst, err
	}
	return b, nil
}

// keyRoom is how many header names are sorted without an allocation.
const keyRoom = 32

// A fieldWriter writes a header, and the engine's own lines if it has a head.
type fieldWriter struct {
	head *RequestHead
	done [len(engineNames)]bool // engine lines that were written, or are not needed
}

func (w *fieldWriter) append(b []byte, h http.Header, order []string) ([]byte, error) {
	if len(h) == 0 && len(order) == 0 {
		return w.appendRest(b), nil
	}
	var room [keyRoom]string
	keys := room[:0]
	for key, values := range h {
		if err := checkKey(key, values); err != nil {
			return b, err
		}
		if !w.skips(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if w.head != nil && w.head.Close && closes(keys, h) {
		w.done[engineConnection] = true
	}
	for _, name := range order {
		for i, key := range keys {
			if key != "" && equalFold(key, name) {
				b = appendValues(b, name, h[key])
				keys[i] = "" // not a name that checkKey lets pass
			}
		}
		b = w.appendNamed(b, name)
	}
	for _, key := range keys {
		if key != "" {
			b = appendValues(b, key, h[key])
		}
	}
	return w.appendRest(b), nil
}

// skips reports whether key is never written from a caller's header.
func (w *fieldWriter) skips(key string) bool {
	switch len(key) {
	case len("Host"):
		return equalFold(key, "Host")
	case len("Content-Length"):
		return equalFold(key, "Content-Length")
	case len("Transfer-Encoding"):
		return equalFold(key, "Transfer-Encoding")
	case len("Trailer"):
		return equalFold(key, "Trailer")
	case len("Expect"):
		return w.head != nil && w.head.ExpectContinue && equalFold(key, "Expect")
	}
	return false
}

// appendNamed writes the engine's line called name, if there is one.
func (w *fieldWriter) appendNamed(b []byte, name string) []byte {
	if w.head == nil {
		return b
	}
	for i, engine := range engineNames {
		if !w.done[i] && equalFold(engine, name) {
			w.done[i] = true
			return w.head.appendEngine(b, i, name)
		}
	}
	return b
}

// appendRest writes those of the engine's lines that are still missing.
func (w *fieldWriter) appendRest(b []byte) []byte {
	if w.head == nil {
		return b
	}
	for i, name := range engineNames {
		if !w.done[i] {
			b = w.head.appendEngine(b, i, name)
		}
	}
	return b
}

// checkKey checks one header name with its values. Those that are not written
// are checked all the same: a bad one is a mistake worth knowing of.
func checkKey(key string, values []string) error {
	if err := checkName(key); err != nil {
		return err
	}
	for _, v := range values {
		if err := checkValue(key, v); err != nil {
			return err
		}
		if equalFold(key, "Connection") {
			if err := checkTokens(key, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// closes reports whether a Connection line of h says close.
func closes(keys []string, h http.Header) bool {
	for _, key := range keys {
		if equalFold(key, "Connection") && hasToken(h[key], "close") {
			return true
		}
	}
	return false
}

func appendValues(b []byte, name string, values []string) []byte {
	for _, v := range values {
		b = appendField(b, name, trimOWS(v))
	}
	return b
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// checkTrailerName refuses names that may not be sent in a trailer section.
func checkTrailerName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if !trailerAllowed(http.CanonicalHeaderKey(name)) {
		return &FieldError{Name: name, Pos: -1, What: "not allowed in a trailer"}
	}
	return nil
}

// trailerAllowed reports whether the field called key, in canonical form, may
// come after the body. Fields for framing, routing, authentication, request
// modifiers and response control may not (RFC 9110 section 6.5.1), nor those
// that change what the client keeps.
func trailerAllowed(key string) bool {
	switch key {
	case "Cookie", "Cookie2", "Set-Cookie", "Set-Cookie2", "Location", "Upgrade",
		"Strict-Transport-Security", "Alt-Svc", "Clear-Site-Data":
		return false
	}
	return !strings.HasPrefix(key, "Proxy-") && httpguts.ValidTrailerHeader(key)
}
