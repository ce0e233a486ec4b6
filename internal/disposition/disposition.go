// Package disposition finds the name that a server suggests for a file, and makes names
// safe to be used in a directory. It does no input or output, every function is safe for
// concurrent use and takes time linear in its input.
package disposition

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-0474a412/parley/internal/charset"
	"github.com/seed-0474a412/parley/internal/links"
)

// maxHeader bounds a header that is looked at. No sensible name needs as much.
const maxHeader = 4096

// MaxName is how many bytes a safe name has at most. File systems allow 255 of them; the
// rest is for what is put around the name of a file that is not complete.
const MaxName = 200

// Filename gives the name that a Content-Disposition header suggests (RFC 6266, section
// 4.3), as it is written: see [Safe]. "" is for a header that suggests none. Of filename*
// and filename the first wins.
func Filename(header string) string {
	if len(header) > maxHeader {
		return ""
	}
	_, rest, _ := strings.Cut(header, ";")
	var plain, extended string
	for rest != "" {
		var name, value string
		name, value, rest = param(rest)
		switch {
		case strings.EqualFold(name, "filename") && plain == "":
			plain = value
		case strings.EqualFold(name, "filename*") && extended == "":
			extended, _ = links.DecodeExt(value)
		}
	}
	if extended != "" {
		return extended
	}
	if !utf8.ValidString(plain) {
		latin1, _ := charset.Lookup("iso-8859-1") // one of the standard's own names
		plain = latin1.Decode([]byte(plain))
	}
	return plain
}

// param reads a parameter up to the semicolon after it. Values without quotes may have
// spaces, as many servers write them.
func param(s string) (name, value, rest string) {
	end := strings.IndexAny(s, "=;")
	if end < 0 || s[end] == ';' {
		_, rest, _ = strings.Cut(s, ";")
		return "", "", rest
	}
	name, s = strings.Trim(s[:end], " \t"), strings.TrimLeft(s[end+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		value, s = quoted(s[1:])
		_, rest, _ = strings.Cut(s, ";")
		return name, value, rest
	}
	value, rest, _ = strings.Cut(s, ";")
	return name, strings.Trim(value, " \t"), rest
}

// quoted reads a quoted string after its first quote. A backslash before anything but a
// quote or a backslash stands for itself, as it is one of the path of a machine that
// does not know better.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// Safe makes of a name that somebody else has chosen one for a file in a directory: its
// last element, without control and invisible characters, without those that file systems
// refuse, without dots at its beginning and end, and none that means a device. It gives ""
// if nothing is left.
func Safe(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, name)
	name = shorten(strings.Trim(name, " ."))
	if device(name) {
		name = "_" + name
	}
	return name
}

// shorten cuts a name to MaxName bytes less one, and leaves its extension.
func shorten(name string) string {
	const most = MaxName - 1 // a device's name becomes longer by one
	if len(name) <= most {
		return name
	}
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		ext = name[i:]
	}
	base := name[:most-len(ext)]
	for !utf8.ValidString(base) {
		base = base[:len(base)-1]
	}
	return strings.TrimRight(base, " .") + ext
}

// device reports whether Windows takes a name for a device, whatever extension it has.
func device(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	number, isPort := strings.CutPrefix(base, "COM")
	if !isPort {
		number, isPort = strings.CutPrefix(base, "LPT")
	}
	return isPort && utf8.RuneCountInString(number) == 1 && strings.Contains("0123456789¹²³", number)
}
