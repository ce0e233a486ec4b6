// Package charset finds out in which charset a text is written, and decodes it. It
// does no input or output, every function is safe for concurrent use, takes time
// linear in its input and gives at most three bytes of text for each byte of it.
//
// Names of charsets mean what the WHATWG Encoding Standard says, as in browsers:
// what calls itself gb2312 is read as gbk, and iso-8859-1 as windows-1252, of which
// they are parts. UTF-32 is known beside them.
package charset

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// Charset is a charset. The zero value is UTF-8.
type Charset struct {
	name string
	enc  encoding.Encoding // nil: UTF-8
}

// Name gives the name of the Encoding Standard, in lower case, such as "utf-8".
func (c Charset) Name() string {
	if c.IsUTF8() {
		return "utf-8"
	}
	return c.name
}

// IsUTF8 reports whether it is UTF-8.
func (c Charset) IsUTF8() bool { return c.enc == nil }

// The charsets that the Encoding Standard lacks, and those that are found by looking
// at the bytes.
var (
	utf16le = Charset{"utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)}
	utf16be = Charset{"utf-16be", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)}
	utf32le = Charset{"utf-32le", utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)}
	utf32be = Charset{"utf-32be", utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)}
)

// maxLabel bounds the labels that are looked up; the longest that is known has 19
// bytes.
const maxLabel = 64

// Lookup finds a charset by one of its names. Case and surrounding white space do
// not matter.
func Lookup(label string) (c Charset, ok bool) {
	label = strings.Trim(label, " \t\r\n\f")
	if strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "utf8") {
		return Charset{}, true
	}
	if label == "" || len(label) > maxLabel {
		return Charset{}, false
	}
	switch strings.ToLower(label) {
	case "utf-32", "utf-32le":
		return utf32le, true
	case "utf-32be":
		return utf32be, true
	}
	enc, name := charset.Lookup(label)
	switch name {
	case "":
		return Charset{}, false
	case "replacement":
		// The standard has no decoder for these, as they hide ASCII from filters.
		return Charset{}, false
	case "utf-8":
		return Charset{}, true
	}
	return Charset{name, enc}, true
}

// marks are the byte order marks, longer ones before those that they begin with.
var marks = []struct {
	mark    string
	charset Charset
}{
	{"\xef\xbb\xbf", Charset{}},
	{"\xff\xfe\x00\x00", utf32le},
	{"\x00\x00\xfe\xff", utf32be},
	{"\xff\xfe", utf16le},
	{"\xfe\xff", utf16be},
}

// byMark tells the charset by the byte order mark.
func byMark(content []byte) (c Charset, ok bool) {
	if len(content) < 2 || content[0] < 0xef && content[0] != 0 {
		return Charset{}, false
	}
	for _, m := range marks {
		if len(content) >= len(m.mark) && string(content[:len(m.mark)]) == m.mark {
			return m.charset, true
		}
	}
	return Charset{}, false
}

// WithoutMark gives content, which is UTF-8, without its byte order mark.
func WithoutMark(content []byte) []byte { return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) }

// Decode gives content as UTF-8, without the charset's byte order mark. Bytes that
// the charset does not have become U+FFFD.
func (c Charset) Decode(content []byte) string {
	for _, m := range marks {
		if m.charset.Name() == c.Name() {
			content = bytes.TrimPrefix(content, []byte(m.mark))
		}
	}
	if c.enc == nil && utf8.Valid(content) {
		return string(content)
	}
	enc := c.enc
	if enc == nil {
		enc = unicode.UTF8
	}
	var b strings.Builder
	b.Grow(len(content) + len(content)/8)
	w := transform.NewWriter(&b, enc.NewDecoder())
	// A decoder replaces what it cannot read, and a Builder takes everything: there
	// is nothing that could fail.
	_, _ = w.Write(content)
	_ = w.Close()
	return b.String()
}
