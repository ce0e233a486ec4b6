// Package challenge reads what a server says of authentication: the challenges of
// WWW-Authenticate and Proxy-Authenticate (RFC 9110, section 11.6.1) and the
// parameters of Authentication-Info (section 11.6.3).
//
// It reads whatever a server sends, in one pass: a challenge that breaks the
// grammar is marked, and the ones beside it are read all the same.
package challenge

import "strings"

// Limits, far above what servers send: a few challenges with up to ten parameters.
const (
	maxChallenges = 32
	maxParams     = 32
)

// Challenge is one challenge, or the value of Authentication-Info, which has no
// scheme. Its texts are parts of the header.
type Challenge struct {
	Scheme string // as written; compare with Is
	Token  string // what follows the scheme in place of parameters (token68)
	Params []Param
	Broken bool // against the grammar, or with more than 32 parameters
}

// Param is a parameter. Value is without quotes and escapes.
type Param struct{ Name, Value string }

// Is reports whether the challenge has that scheme.
func (c *Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Get gives a parameter. Names are compared without case.
func (c *Challenge) Get(name string) (value string, ok bool) {
	for _, p := range c.Params {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// Parse reads the lines of a header. As the lines of a list are one list (RFC
// 9110, section 5.3), parameters without a scheme belong to the challenge of the
// line before. What follows the 32nd challenge is left out.
func Parse(lines []string) []Challenge {
	r := reader{}
	for _, line := range lines {
		r.rest = line
		for !r.full && r.element() {
		}
	}
	return r.list
}

// ParseInfo reads the lines of Authentication-Info. ok is false where they break
// the grammar.
func ParseInfo(lines []string) (info Challenge, ok bool) {
	r := reader{list: make([]Challenge, 1), info: true}
	for _, line := range lines {
		r.rest = line
		for r.element() {
		}
	}
	return r.list[0], !r.list[0].Broken
}

// reader goes through a line once.
type reader struct {
	rest string
	list []Challenge
	info bool // parameters only
	full bool
}

// element reads one element of the list: a parameter, or a scheme with what
// follows it. It returns false at the end of the line.
func (r *reader) element() bool {
	r.rest = strings.TrimLeft(r.rest, " \t,")
	if r.rest == "" {
		return false
	}
	word := r.token()
	after := strings.TrimLeft(r.rest, " \t")
	switch {
	case word == "":
		r.broken()
	case strings.HasPrefix(after, "="):
		r.rest = after[1:]
		r.param(word)
	case r.info:
		r.broken()
	default:
		r.scheme(word)
	}
	return true
}

// scheme begins a challenge and reads what follows its scheme.
func (r *reader) scheme(word string) {
	if len(r.list) == maxChallenges {
		r.full = true
		return
	}
	r.list = append(r.list, Challenge{Scheme: word})
	space := len(r.rest)
	r.rest = strings.TrimLeft(r.rest, " \t")
	switch {
	case r.rest == "" || r.rest[0] == ',':
		return
	case len(r.rest) == space:
		r.broken() // something that is neither part of a token nor space
		return
	}
	if token, after, ok := token68(r.rest); ok {
		r.list[len(r.list)-1].Token, r.rest = token, after
		return
	}
	name := r.token()
	after := strings.TrimLeft(r.rest, " \t")
	if name == "" || !strings.HasPrefix(after, "=") {
		r.broken()
		return
	}
	r.rest = after[1:]
	r.param(name)
}

// param reads a parameter after its equals sign. There may be space around that
// (RFC 9110, section 11.2).
func (r *reader) param(name string) {
	r.rest = strings.TrimLeft(r.rest, " \t")
	value, ok := r.value()
	if !ok || len(r.list) == 0 {
		r.broken()
		return
	}
	c := &r.list[len(r.list)-1]
	// Each may come once only (RFC 9110, section 11.2).
	if _, twice := c.Get(name); twice || c.Token != "" || len(c.Params) == maxParams {
		c.Broken = true
		return
	}
	c.Params = append(c.Params, Param{Name: name, Value: value})
}

// value reads a value up to the comma or the end. Outside quotes more is taken
// than a token may hold: servers write base64 without quotes.
func (r *reader) value() (value string, ok bool) {
	if strings.HasPrefix(r.rest, `"`) {
		value, ok = r.quoted()
	} else {
		end := strings.IndexAny(r.rest, " \t,\"")
		if end < 0 {
			end = len(r.rest)
		}
		value, r.rest = r.rest[:end], r.rest[end:]
		ok = value != ""
	}
	r.rest = strings.TrimLeft(r.rest, " \t")
	return value, ok && (r.rest == "" || r.rest[0] == ',')
}

// quoted reads a quoted-string (RFC 9110, section 5.6.4).
func (r *reader) quoted() (value string, ok bool) {
	text := r.rest[1:]
	end := strings.IndexAny(text, `"\`)
	if end >= 0 && text[end] == '"' {
		r.rest = text[end+1:]
		return text[:end], true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			r.rest = text[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	r.rest = ""
	return "", false
}

// broken marks the challenge that is being read and goes to the next comma that is
// not in quotes.
func (r *reader) broken() {
	if n := len(r.list); n > 0 {
		r.list[n-1].Broken = true
	}
	for r.rest != "" && r.rest[0] != ',' {
		if r.rest[0] == '"' {
			if _, ok := r.quoted(); !ok {
				return
			}
			continue
		}
		end := strings.IndexAny(r.rest[1:], `,"`)
		if end < 0 {
			r.rest = ""
			return
		}
		r.rest = r.rest[1+end:]
	}
}

// token reads a token (RFC 9110, section 5.6.2), "" if there is none.
func (r *reader) token() string {
	end := 0
	for end < len(r.rest) && isTokenByte(r.rest[end]) {
		end++
	}
	token := r.rest[:end]
	r.rest = r.rest[end:]
	return token
}

// token68 reads a token68 (RFC 9110, section 11.2) that is followed by a comma or
// by the end.
func token68(s string) (token, after string, ok bool) {
	end := 0
	for end < len(s) && (isAlphanumeric(s[end]) || strings.IndexByte("-._~+/", s[end]) >= 0) {
		end++
	}
	if end == 0 {
		return "", "", false
	}
	for end < len(s) && s[end] == '=' {
		end++
	}
	after = strings.TrimLeft(s[end:], " \t")
	return s[:end], after, after == "" || after[0] == ','
}

func isTokenByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
