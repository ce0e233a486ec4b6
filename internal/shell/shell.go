// Package shell reads and writes words of a command line as the shells of POSIX do (Shell
// Command Language, section 2.2), with the $'…' that bash, zsh and ksh have too.
package shell

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Word is a word, or an operator such as "|".
type Word struct {
	Text     string
	Operator bool
}

// errNUL is for what no argument of a program can hold.
var errNUL = errors.New("a NUL byte, which no argument can hold")

// Quote gives s so that a shell takes it for one word, whatever is in it but NUL.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Split splits one command line into its words. Nothing is substituted: variables,
// commands and the like are an error, as is what is not closed.
func Split(line string) ([]Word, error) {
	l := lexer{rest: line}
	for {
		done, err := l.next()
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", len(line)-len(l.rest), err)
		}
		if done {
			return l.words, nil
		}
	}
}

// lexer reads a command line from left to right.
type lexer struct {
	rest   string
	words  []Word
	word   strings.Builder
	inWord bool
}

// end ends the word that is being read.
func (l *lexer) end() {
	if l.inWord {
		l.words = append(l.words, Word{Text: l.word.String()})
		l.word.Reset()
		l.inWord = false
	}
}

func (l *lexer) add(s string) {
	l.word.WriteString(s)
	l.inWord = true
}

// next reads a bit more.
func (l *lexer) next() (done bool, err error) {
	if l.rest == "" {
		l.end()
		return true, nil
	}
	c := l.rest[0]
	switch {
	case c == 0:
		return false, errNUL
	case c == ' ' || c == '\t':
		l.rest = l.rest[1:]
		l.end()
	case c == '\n' || strings.HasPrefix(l.rest, "\r\n"):
		return true, l.newline()
	case c == '#' && !l.inWord:
		if i := strings.IndexByte(l.rest, '\n'); i >= 0 {
			l.rest = l.rest[i:]
		} else {
			l.rest = ""
		}
	case c == '\'':
		return false, l.single()
	case c == '"':
		return false, l.double()
	case c == '\\':
		l.backslash()
	case c == '$' || c == '`':
		return false, l.dollar()
	case strings.IndexByte("|&;<>()", c) >= 0:
		l.end()
		l.words = append(l.words, Word{Text: l.rest[:1], Operator: true})
		l.rest = l.rest[1:]
	default:
		l.add(l.rest[:1])
		l.rest = l.rest[1:]
	}
	return false, nil
}

// newline ends the command; nothing may follow it but empty lines and comments.
func (l *lexer) newline() error {
	l.end()
	if len(l.words) == 0 {
		l.rest = strings.TrimLeft(l.rest, "\r\n")
		for {
			done, err := l.next()
			if done || err != nil {
				return err
			}
		}
	}
	for more := range strings.Lines(l.rest) {
		if more = strings.TrimSpace(more); more != "" && more[0] != '#' {
			return errors.New("a second command; a line that goes on ends with a backslash and nothing after it")
		}
	}
	l.rest = ""
	return nil
}

func (l *lexer) single() error {
	text, rest, ok := strings.Cut(l.rest[1:], "'")
	if !ok {
		return errors.New("a single quote that is not closed")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return errNUL
	}
	l.add(text)
	l.rest = rest
	return nil
}

// backslash quotes one byte, or joins two lines.
func (l *lexer) backslash() {
	after := l.rest[1:]
	switch {
	case strings.HasPrefix(after, "\r\n"):
		l.rest = after[2:]
	case strings.HasPrefix(after, "\n"):
		l.rest = after[1:]
	case after == "":
		l.add(`\`)
		l.rest = ""
	default:
		l.add(after[:1])
		l.rest = after[1:]
	}
}

func (l *lexer) double() error {
	l.add("")
	l.rest = l.rest[1:]
	for l.rest != "" {
		switch c := l.rest[0]; {
		case c == '"':
			l.rest = l.rest[1:]
			return nil
		case c == 0:
			return errNUL
		case c == '\\' && len(l.rest) > 1:
			switch after := l.rest[1]; after {
			case '\n':
			case '$', '`', '"', '\\':
				l.add(l.rest[1:2])
			default:
				l.add(l.rest[:2])
			}
			l.rest = l.rest[2:]
		case c == '`' || c == '$' && substitutes(l.rest[1:]):
			return errSubstitution
		default:
			l.add(l.rest[:1])
			l.rest = l.rest[1:]
		}
	}
	return errors.New("a double quote that is not closed")
}

var errSubstitution = errors.New("a variable or a command to be substituted; put its value there, or quote it with '…'")

// substitutes reports whether a shell puts something else in the place of a dollar sign
// with this after it.
func substitutes(after string) bool {
	if after == "" {
		return false
	}
	c := after[0]
	return c == '{' || c == '(' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("*@#?!$-", c) >= 0
}

// dollar reads what begins with a dollar sign outside of quotes.
func (l *lexer) dollar() error {
	after := l.rest[1:]
	switch {
	case l.rest[0] == '`' || substitutes(after):
		return errSubstitution
	case strings.HasPrefix(after, "'"):
		return l.ansi()
	case strings.HasPrefix(after, `"`):
		l.rest = after
		return nil
	}
	l.add("$")
	l.rest = after
	return nil
}

// simpleEscapes are those of $'…' that stand for one byte.
var simpleEscapes = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

// ansi reads $'…'.
func (l *lexer) ansi() error {
	l.add("")
	l.rest = l.rest[2:]
	for l.rest != "" {
		c := l.rest[0]
		switch {
		case c == '\'':
			l.rest = l.rest[1:]
			return nil
		case c == 0:
			return errNUL
		case c != '\\' || len(l.rest) == 1:
			l.add(l.rest[:1])
			l.rest = l.rest[1:]
		default:
			if err := l.escape(); err != nil {
				return err
			}
		}
	}
	return errors.New("a $' that is not closed")
}

// escape reads one escape of $'…'.
func (l *lexer) escape() error {
	c := l.rest[1]
	if b, ok := simpleEscapes[c]; ok {
		l.add(string([]byte{b}))
		l.rest = l.rest[2:]
		return nil
	}
	digits, base, most := l.rest[2:], 16, 0
	switch {
	case c == 'x':
		most = 2
	case c == 'u':
		most = 4
	case c == 'U':
		most = 8
	case c >= '0' && c <= '7':
		digits, base, most = l.rest[1:], 8, 3
	case c == 'c' && len(digits) > 0:
		l.add(string([]byte{digits[0] & 0x1f}))
		l.rest = digits[1:]
		return nil
	}
	n := 0
	for n < most && n < len(digits) && isDigit(digits[n], base) {
		n++
	}
	if n == 0 { // a backslash like any other
		l.add(l.rest[:2])
		l.rest = l.rest[2:]
		return nil
	}
	value, err := strconv.ParseUint(digits[:n], base, 32)
	if err != nil {
		return err
	}
	l.rest = digits[n:]
	switch {
	case value == 0 || most <= 3 && value&0xff == 0:
		return errNUL
	case most <= 3:
		l.add(string([]byte{byte(value)}))
	case value > utf8.MaxRune || !utf8.ValidRune(rune(value)):
		return errors.New("an escape that stands for no character")
	default:
		l.add(string(rune(value)))
	}
	return nil
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(c), base, 8)
	return err == nil
}

// QuotePercentB gives data, NUL bytes too, so that printf '%b' with it as its argument
// writes data.
func QuotePercentB(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c >= ' ' && c < 0x7f:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\0%03o`, c)
		}
	}
	return Quote(b.String())
}

// PercentB gives what printf '%b' writes for its argument.
func PercentB(arg string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(arg); i++ {
		if arg[i] != '\\' || i+1 == len(arg) {
			out = append(out, arg[i])
			continue
		}
		i++
		c := arg[i]
		if c == '0' {
			n := 0
			for n < 3 && i+1+n < len(arg) && isDigit(arg[i+1+n], 8) {
				n++
			}
			value, _ := strconv.ParseUint("0"+arg[i+1:i+1+n], 8, 16) // digits alone
			out = append(out, byte(value))
			i += n
			continue
		}
		b, ok := simpleEscapes[c]
		if !ok || strings.IndexByte(`abfnrtv\`, c) < 0 {
			return nil, fmt.Errorf("the escape \\%c in an argument of printf", c)
		}
		out = append(out, b)
	}
	return out, nil
}
