package quota

import "strings"

// member is one member of a list of structured fields, or of a dictionary if it has a
// value (RFC 9651, sections 3.1 and 3.2).
type member struct {
	name   string
	value  string
	params map[string]string
}

// parse reads a list whose members are strings or tokens, or a dictionary. Values are
// given as they are written, strings without their quotes.
func parse(lines []string) (members []member, ok bool) {
	p := parser{strings.Join(lines, ",")}
	for {
		p.space()
		if p.rest == "" {
			return members, len(members) > 0
		}
		m := member{params: make(map[string]string)}
		if m.name, ok = p.bare(); !ok || len(members) == maxMembers {
			return nil, false
		}
		if p.skip('=') {
			if m.value, ok = p.bare(); !ok {
				return nil, false
			}
		}
		if !p.parameters(m.params) {
			return nil, false
		}
		members = append(members, m)
		p.space()
		if p.rest != "" && !p.skip(',') {
			return nil, false
		}
	}
}

// What is more than any server has to say.
const (
	maxMembers = 64
	maxParams  = 64
)

type parser struct{ rest string }

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *parser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// parameters reads what follows an item (section 3.1.2).
func (p *parser) parameters(into map[string]string) (ok bool) {
	for {
		p.space()
		if !p.skip(';') {
			return true
		}
		p.space()
		key, ok := p.bare()
		if !ok || len(into) == maxParams {
			return false
		}
		value := "?1"
		if p.skip('=') {
			if value, ok = p.bare(); !ok {
				return false
			}
		}
		into[key] = value
	}
}

// bare reads a bare item: a string, a byte sequence, or what has neither quotes nor
// anything that separates.
func (p *parser) bare() (string, bool) {
	if p.skip('"') {
		return p.quoted()
	}
	if p.skip(':') {
		text, rest, closed := strings.Cut(p.rest, ":")
		p.rest = rest
		return text, closed
	}
	n := strings.IndexAny(p.rest, " \t,;=\"")
	if n < 0 {
		n = len(p.rest)
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text, text != ""
}

// quoted reads a string behind its first quote (section 3.3.3).
func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\':
			if i++; i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(p.rest[i])
		case c < ' ' || c > '~':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
