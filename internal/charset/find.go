package charset

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// Kind is what is known about the form of a text by its media type.
type Kind uint8

// The kinds, by where such a text names its own charset.
const (
	Plain Kind = iota // nowhere
	HTML              // in a meta tag
	XML               // in its declaration
	JSON              // nowhere, but it is Unicode always
	CSS               // in an @charset rule
)

// KindOf gives the kind for a media type without parameters, in any case.
func KindOf(media string) Kind {
	is := func(name string) bool { return strings.EqualFold(media, name) }
	ends := func(suffix string) bool {
		return len(media) >= len(suffix) && strings.EqualFold(media[len(media)-len(suffix):], suffix)
	}
	switch {
	case is("application/json"), is("text/json"), ends("+json"):
		return JSON
	case is("text/html"):
		return HTML
	case is("application/xml"), is("text/xml"), ends("+xml"):
		return XML
	case is("text/css"):
		return CSS
	}
	return Plain
}

// maxHead is how far into a text its own word about its charset is looked for, and
// how much of it a guess is made from.
const maxHead = 1024

// Find gives the charset of content: by its byte order mark, by declared (a name
// from elsewhere, "" for none), by its own word, and at last by looking at the
// bytes. A name that is not known counts as none.
//
// A byte order mark comes first, as the Encoding Standard (section 6.1) and RFC 7303
// (section 3) have it: no text of another charset begins with these bytes, while a
// server's configured charset is often not that of the file.
func Find(content []byte, kind Kind, declared string) Charset {
	if c, ok := byMark(content); ok {
		return c
	}
	if kind == JSON {
		return findJSON(content, declared)
	}
	if declared != "" && !isASCII(declared) {
		if c, ok := Lookup(declared); ok {
			return c
		}
	}
	if c, ok := ownWord(content, kind); ok {
		return c
	}
	if c, ok := byNULs(content); ok {
		return c
	}
	// XML that does not say otherwise is UTF-8 (XML 1.0, section 4.3.3).
	if kind == XML || utf8.Valid(content) {
		return Charset{}
	}
	return guess(content)
}

// isASCII reports whether a name is that of ASCII. It says nothing about bytes beyond
// it, so that these are looked at as if there were no name; without any, the text is
// UTF-8.
func isASCII(label string) bool {
	label = strings.TrimSpace(label)
	return strings.EqualFold(label, "us-ascii") || strings.EqualFold(label, "ascii")
}

// findJSON is for JSON, which is Unicode: UTF-8 (RFC 8259, section 8.1), formerly also
// UTF-16 and UTF-32, told apart by the zeros among the first four bytes (RFC 4627,
// section 3). A charset parameter has no meaning, and is looked at only for what is
// none of these.
func findJSON(content []byte, declared string) Charset {
	if len(content) >= 4 {
		switch zeros := [4]bool{content[0] == 0, content[1] == 0, content[2] == 0, content[3] == 0}; zeros {
		case [4]bool{true, true, true, false}:
			return utf32be
		case [4]bool{true, false, true, false}:
			return utf16be
		case [4]bool{false, true, true, true}:
			return utf32le
		case [4]bool{false, true, false, true}:
			return utf16le
		}
	}
	c, ok := Lookup(declared)
	if !ok || c.enc == nil {
		return Charset{}
	}
	// JSON text has no raw escape byte: with one it is of the charsets that switch by it.
	if utf8.Valid(content) && bytes.IndexByte(content, 0x1b) < 0 {
		return Charset{}
	}
	return c
}

// ownWord gives the charset that a text names itself.
func ownWord(content []byte, kind Kind) (c Charset, ok bool) {
	head := content[:min(len(content), maxHead)]
	switch kind {
	case HTML:
		c, ok = byMeta(head)
	case XML:
		c, ok = byDeclaration(head)
	case CSS:
		// Exactly these bytes (CSS Syntax, section 3.2).
		if rest, found := bytes.CutPrefix(head, []byte(`@charset "`)); found {
			if label, _, closed := bytes.Cut(rest, []byte(`";`)); closed {
				c, ok = Lookup(string(label))
			}
		}
	}
	if ok && (strings.HasPrefix(c.name, "utf-16") || strings.HasPrefix(c.name, "utf-32")) {
		// Then these words could not have been read byte by byte.
		return Charset{}, true
	}
	return c, ok
}

// byMeta gives the charset of a meta tag of HTML.
func byMeta(head []byte) (c Charset, ok bool) {
	if !mentionsCharset(head) {
		return Charset{}, false
	}
	// Without a tag the library looks at the bytes: it says windows-1252 of ASCII, and
	// UTF-8 with an é before it. A tag says the same both times.
	text := make([]byte, 0, maxHead)
	text = append(text, "é"...)
	for _, b := range head[:min(len(head), maxHead-len("é"))] {
		text = append(text, min(b, 0x7f))
	}
	_, name, _ := charset.DetermineEncoding(text[len("é"):], "")
	_, other, _ := charset.DetermineEncoding(text, "")
	if name != other {
		return Charset{}, false
	}
	return Lookup(name)
}

// mentionsCharset reports whether the word stands in b, in any case.
func mentionsCharset(b []byte) bool {
	word := []byte("charset")
	for {
		i := bytes.IndexAny(b, "cC")
		if i < 0 || len(b)-i < len(word) {
			return false
		}
		if bytes.EqualFold(b[i:i+len(word)], word) {
			return true
		}
		b = b[i+1:]
	}
}

// byDeclaration gives the encoding of an XML declaration (XML 1.0, section 2.8).
func byDeclaration(head []byte) (c Charset, ok bool) {
	declaration, found := bytes.CutPrefix(head, []byte("<?xml"))
	if !found {
		return Charset{}, false
	}
	declaration, _, found = bytes.Cut(declaration, []byte("?>"))
	if !found {
		return Charset{}, false
	}
	_, rest, found := bytes.Cut(declaration, []byte("encoding"))
	if !found {
		return Charset{}, false
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("="))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if !found || len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return Charset{}, false
	}
	label, _, found := bytes.Cut(rest[1:], rest[:1])
	if !found || isASCII(string(label)) {
		return Charset{}, false
	}
	return Lookup(string(label))
}

// OfType takes a Content-Type apart: the media type without its parameters, and the
// charset among these, "" if there is none. It is lenient, since the one is of use
// without the other.
func OfType(contentType string) (media, charset string) {
	media, rest, _ := strings.Cut(contentType, ";")
	media = strings.Trim(media, " \t")
	for rest != "" {
		end := strings.IndexAny(rest, "=;")
		if end < 0 {
			break
		}
		name, separator := strings.Trim(rest[:end], " \t"), rest[end]
		rest = strings.TrimLeft(rest[end+1:], " \t")
		if separator == ';' {
			continue
		}
		var value string
		if value, rest = paramValue(rest); strings.EqualFold(name, "charset") {
			return media, value
		}
	}
	return media, ""
}

// paramValue cuts the value of a parameter off. Quoted pairs stay as they are: no
// charset has any in its name.
func paramValue(s string) (value, rest string) {
	if s != "" && s[0] == '"' {
		i := 1
		for i < len(s) && s[i] != '"' {
			if s[i] == '\\' {
				i++
			}
			i++
		}
		i = min(i, len(s))
		_, rest, _ = strings.Cut(s[i:], ";")
		return s[1:i], rest
	}
	value, rest, _ = strings.Cut(s, ";")
	// Some servers write single quotes, which have no meaning in HTTP.
	return strings.Trim(value, " \t'"), rest
}
