package charset

import (
	"bytes"
	"unicode/utf8"
)

// byNULs tells UTF-16 and UTF-32 without a byte order mark by their zeros, which other
// texts do not have: at least two of five bytes, and all at places of one kind.
func byNULs(content []byte) (c Charset, ok bool) {
	head := content[:min(len(content), maxHead)/4*4]
	if len(head) < 8 || bytes.IndexByte(head[:4], 0) < 0 {
		return Charset{}, false
	}
	var zeros [4]int
	for i, b := range head {
		if b == 0 {
			zeros[i%4]++
		}
	}
	n := len(head) / 4
	many := n * 4 / 5
	switch {
	case zeros[0] == n && zeros[1] == n && zeros[3] == 0:
		return utf32be, true
	case zeros[3] == n && zeros[2] == n && zeros[0] == 0:
		return utf32le, true
	case zeros[0] >= many && zeros[2] >= many && zeros[1]+zeros[3] == 0:
		return utf16be, true
	case zeros[1] >= many && zeros[3] >= many && zeros[0]+zeros[2] == 0:
		return utf16le, true
	}
	return Charset{}, false
}

// guess is for a text that is not UTF-8 and of which nothing is known. It looks at one
// KiB, from the first byte beyond ASCII on, and names a charset other than
// windows-1252 only where the text would be an unlikely one in all others: mistakes
// are worse than not knowing. What is not text at all stays UTF-8.
func guess(content []byte) Charset {
	first := bytes.IndexFunc(content, func(r rune) bool { return r >= utf8.RuneSelf })
	sample := content[max(first, 0):]
	sample = sample[:min(len(sample), maxHead)]
	if binary(content[:min(len(content), maxHead)]) || binary(sample) || mostlyUTF8(sample) {
		return Charset{}
	}
	name := "windows-1252"
	if found := guessCyrillic(sample); found != "" {
		name = found
	} else if found := guessEastAsian(sample); found != "" {
		name = found
	}
	c, _ := Lookup(name) // one of the standard's own names
	return c
}

// binary reports whether there are control bytes that no text has.
func binary(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\f' && r != '\r' && r != '\b' && r != 0x1b || r == 0x7f
	})
}

// mostlyUTF8 reports whether a few bytes are wrong in what else is UTF-8.
func mostlyUTF8(b []byte) bool {
	right, wrong := 0, 0
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1:
			if !utf8.FullRune(b) { // cut off by the end of the sample
				return right > 10*wrong
			}
			wrong++
		case size > 1:
			right++
		}
		b = b[size:]
	}
	return right > 10*wrong
}

// minGuess is the least number of characters beyond ASCII from which more than
// windows-1252 is read.
const minGuess = 8

// guessCyrillic tells windows-1251 from koi8-r by the eight letters that make up
// more than half of any Russian text (о е а и н т с р). In texts of other languages
// and charsets these bytes are at most a third of those beyond ASCII.
func guessCyrillic(sample []byte) string {
	for _, c := range []struct {
		name, frequent string
	}{
		{"windows-1251", "\xee\xe5\xe0\xe8\xed\xf2\xf1\xf0"},
		{"koi8-r", "\xcf\xc5\xc1\xc9\xce\xd4\xd3\xd2"},
	} {
		letters, frequent, joined := 0, 0, 0
		for i, b := range sample {
			if b < 0xc0 {
				continue
			}
			letters++
			if i > 0 && sample[i-1] >= 0xc0 {
				joined++
			}
			if bytes.IndexByte([]byte(c.frequent), b) >= 0 {
				frequent++
			}
		}
		// Letters beyond ASCII stand one by one in Western words, here side by side.
		if letters >= minGuess && frequent*100 > letters*45 && joined*10 > letters*6 {
			return c.name
		}
	}
	return ""
}

// class is what a character of an East Asian charset is.
type class uint8

const (
	bad    class = iota // no character
	rare                // one that ordinary texts hardly have
	common              // a frequent Chinese character or Korean syllable
	kana                // a Japanese syllable
	mark                // punctuation, and wide forms of ASCII
	classes
)

// guessEastAsian tells the charsets of two bytes a character by how usual the
// characters are that the bytes would be.
func guessEastAsian(sample []byte) string {
	for _, c := range []struct {
		name   string
		next   func(a, b byte) (class, int)
		likely func(n *[classes]int, all int) bool
	}{
		{"euc-jp", eucJP, japanese},
		{"shift_jis", shiftJIS, japanese},
		{"euc-kr", eucKR, chinese},
		{"gbk", gbk, chinese},
		{"big5", big5, chinese},
	} {
		n, all := count(sample, c.next)
		if all >= minGuess && n[bad] == 0 && c.likely(&n, all) {
			return c.name
		}
	}
	return ""
}

// japanese needs syllables, without which there is no sentence.
func japanese(n *[classes]int, all int) bool { return n[kana]*4 >= all && n[rare]*8 <= all }

// chinese needs nearly all characters to be frequent ones, and some to be no marks.
func chinese(n *[classes]int, all int) bool {
	return (n[common]+n[mark])*100 >= all*95 && n[common]*2 >= all && n[kana]*50 <= all
}

// count counts the characters beyond ASCII by class.
func count(sample []byte, next func(a, b byte) (class, int)) (n [classes]int, all int) {
	for i := 0; i < len(sample); {
		if sample[i] < 0x80 {
			i++
			continue
		}
		if i+1 == len(sample) {
			break // perhaps cut off
		}
		found, size := next(sample[i], sample[i+1])
		n[found]++
		all++
		i += size
	}
	return n, all
}

func within(b, low, high byte) bool { return low <= b && b <= high }

// high reports whether b is a second byte of the charsets that keep to 94 x 94.
func high(b byte) bool { return within(b, 0xa1, 0xfe) }

func eucJP(a, b byte) (class, int) {
	switch {
	case a == 0x8f: // the beginning of three bytes
		return rare, 3
	case a == 0x8e && within(b, 0xa1, 0xdf):
		return rare, 2
	case !within(a, 0xa1, 0xf4) || !high(b):
		return bad, 1
	case a == 0xa4 || a == 0xa5:
		return kana, 2
	case a <= 0xa8:
		return mark, 2
	case within(a, 0xb0, 0xcf):
		return common, 2
	}
	return rare, 2
}

func shiftJIS(a, b byte) (class, int) {
	second := within(b, 0x40, 0xfc) && b != 0x7f
	switch {
	case within(a, 0xa1, 0xdf): // narrow syllables
		return rare, 1
	case !second || !within(a, 0x81, 0x9f) && !within(a, 0xe0, 0xfc):
		return bad, 1
	case a == 0x82 && b >= 0x9f || a == 0x83 && b <= 0x96:
		return kana, 2
	case a <= 0x82:
		return mark, 2
	case within(a, 0x88, 0x97):
		return common, 2
	}
	return rare, 2
}

func eucKR(a, b byte) (class, int) {
	switch {
	case !within(a, 0x81, 0xfd) || !within(b, 0x41, 0xfe):
		return bad, 1
	case within(a, 0xb0, 0xc8) && high(b):
		return common, 2
	case within(a, 0xa1, 0xa3) && high(b):
		return mark, 2
	}
	return rare, 2
}

func gbk(a, b byte) (class, int) {
	switch {
	case within(b, 0x30, 0x39): // the beginning of four bytes
		return rare, 4
	case !within(a, 0x81, 0xfe) || !within(b, 0x40, 0xfe) || b == 0x7f:
		return bad, 1
	case within(a, 0xb0, 0xd7) && high(b):
		return common, 2
	case (a == 0xa4 || a == 0xa5) && high(b):
		return kana, 2
	case within(a, 0xa1, 0xa3) && high(b):
		return mark, 2
	}
	return rare, 2
}

func big5(a, b byte) (class, int) {
	switch {
	case !within(a, 0x81, 0xfe) || !within(b, 0x40, 0x7e) && !high(b):
		return bad, 1
	case within(a, 0xa4, 0xc6):
		return common, 2
	case within(a, 0xa1, 0xa3):
		return mark, 2
	}
	return rare, 2
}
