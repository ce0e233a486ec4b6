// Package links parses Link headers (RFC 8288). It does no input or output, every
// function is safe for concurrent use and takes time linear in its input.
package links

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/seed-0474a412/parley/internal/charset"
)

// MaxLinks is how many links of one answer are looked at, and MaxParams how many
// parameters of one link: a few bytes of the header become a few hundred in memory.
const (
	MaxLinks  = 256
	MaxParams = 64
)

// Param is one parameter of a link.
type Param struct {
	Name  string // in lower case
	Value string // without quotes; "" also where there is none
}

// Value is one link as it is written.
type Value struct {
	Target string
	Params []Param
}

// Get gives the first value of a parameter: what comes again counts no more (RFC
// 8288, section 3.4). name is in lower case.
func (v Value) Get(name string) (value string, ok bool) {
	for _, p := range v.Params {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Parse gives the links of the lines of a Link header, in their order (RFC 8288,
// appendix B.2). What is malformed is passed over up to the next comma outside of a
// quoted string.
func Parse(lines []string) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		left := MaxLinks
		for _, line := range lines {
			for rest := line; ; {
				var v Value
				var ok bool
				rest = strings.TrimLeft(rest, " \t,")
				if rest == "" {
					break
				}
				if v, rest, ok = parseLink(rest); ok {
					if left--; left < 0 || !yield(v) {
						return
					}
				}
				rest = skip(rest)
			}
		}
	}
}

// skip passes over what is left of a link, up to a comma or the end.
func skip(s string) string {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return s[i:]
		case '"':
			_, rest := quoted(s[i+1:])
			i = len(s) - len(rest) - 1
		}
	}
	return ""
}

// parseLink reads <target> and the parameters after it.
func parseLink(s string) (v Value, rest string, ok bool) {
	if s[0] != '<' {
		return v, s, false
	}
	end := strings.IndexByte(s, '>')
	if end < 0 {
		return v, "", false
	}
	v.Target, rest = strings.Trim(s[1:end], " \t"), s[end+1:]
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] != ';' {
			return v, rest, true
		}
		var p Param
		p, rest = parseParam(strings.TrimLeft(rest[1:], " \t"))
		if p.Name != "" && len(v.Params) < MaxParams {
			v.Params = append(v.Params, p)
		}
	}
}

// parseParam reads a name, and a value if there is one (RFC 8288, appendix B.3).
func parseParam(s string) (p Param, rest string) {
	end := len(s)
	if i := strings.IndexAny(s, " \t=;,"); i >= 0 {
		end = i
	}
	p.Name, rest = strings.ToLower(s[:end]), strings.TrimLeft(s[end:], " \t")
	if rest == "" || rest[0] != '=' {
		return p, rest
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if rest != "" && rest[0] == '"' {
		p.Value, rest = quoted(rest[1:])
		return p, rest
	}
	end = len(rest)
	if i := strings.IndexAny(rest, ";,"); i >= 0 {
		end = i
	}
	p.Value, rest = strings.TrimRight(rest[:end], " \t"), rest[end:]
	// Some servers write single quotes, which have no meaning in HTTP.
	if n := len(p.Value); n >= 2 && p.Value[0] == '\'' && p.Value[n-1] == '\'' {
		p.Value = p.Value[1 : n-1]
	}
	return p, rest
}

// quoted reads a quoted string (RFC 9110, section 5.6.4) after its first quote. One
// that is not closed goes on to the end.
func quoted(s string) (value, rest string) {
	var unescaped []byte
	escaped := false
	from := 0 // what is before it stands in unescaped
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			if !escaped {
				return s[:i], s[i+1:]
			}
			return string(append(unescaped, s[from:i]...)), s[i+1:]
		case '\\':
			unescaped, escaped = append(unescaped, s[from:i]...), true
			i++
			from = min(i, len(s))
		}
	}
	if !escaped {
		return s, ""
	}
	return string(append(unescaped, s[from:]...)), ""
}

// DecodeExt decodes the value of a parameter whose name ends with an asterisk (RFC
// 8187): charset'language'text, the text percent-encoded. The charset is UTF-8, or
// ISO-8859-1 as in RFC 5987 before it. Control characters are refused, for the text
// is one to be shown.
func DecodeExt(value string) (text string, ok bool) {
	label, rest, found := strings.Cut(value, "'")
	_, encoded, again := strings.Cut(rest, "'")
	if !found || !again {
		return "", false
	}
	decoded := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		b := encoded[i]
		if b == '%' {
			if i+2 >= len(encoded) {
				return "", false
			}
			high, okHigh := unhex(encoded[i+1])
			low, okLow := unhex(encoded[i+2])
			if !okHigh || !okLow {
				return "", false
			}
			b, i = high<<4|low, i+2
		} else if b >= 0x80 {
			return "", false
		}
		decoded = append(decoded, b)
	}
	switch {
	case strings.EqualFold(label, "utf-8"):
		if !utf8.Valid(decoded) {
			return "", false
		}
		text = string(decoded)
	case strings.EqualFold(label, "iso-8859-1"):
		latin1, _ := charset.Lookup("iso-8859-1") // one of the standard's own names
		text = latin1.Decode(decoded)
	default:
		return "", false
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	return text, true
}

func unhex(b byte) (value byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
