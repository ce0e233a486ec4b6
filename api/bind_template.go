package api

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed-0474a412/parley"
)

// bindTemplate is a URI template (RFC 6570, level 4) of which it is known for every
// expression in which part of the URL it stands. It departs from the RFC where a value
// could change more than its own place:
//
//   - in the path {+x} escapes "?" and "#", and in the query "#"
//   - the names of {?x*} are escaped as values are
//   - {&x} after a {?y} that has no value begins the query
//
// What it gives is not safe by itself: [bindTemplate.expand] says what is refused there,
// and joining to the base URL, which is the client's, refuses the rest.
type bindTemplate struct {
	raw      string
	pieces   []bindPiece
	vars     []string // the names of the variables, in the order of their first place
	absolute bool     // begins with scheme and authority, which hold no variable
	path     int      // where the path begins in an absolute one
}

// bindPiece is a literal or an expression.
type bindPiece struct {
	literal string
	vars    []bindVar // nil: a literal
	op      bindOperator
	where   bindPlace
}

// bindVar is a variable in an expression.
type bindVar struct {
	index   int // in the template's vars
	name    string
	prefix  int // in characters; 0: all
	explode bool
}

// bindPlace is a part of a URL.
type bindPlace uint8

const (
	bindInPath bindPlace = iota
	bindInQuery
	bindInFragment
)

// bindOperator is a row of the table in appendix A of RFC 6570.
type bindOperator struct {
	sign     byte // 0: none
	first    string
	separate string
	named    bool
	ifEmpty  string
	reserved bool // reserved characters stay as they are
}

var bindOperators = []bindOperator{
	{0, "", ",", false, "", false},
	{'+', "", ",", false, "", true},
	{'#', "#", ",", false, "", true},
	{'.', ".", ".", false, "", false},
	{'/', "/", "/", false, "", false},
	{';', ";", ";", true, "", false},
	{'?', "?", "&", true, "=", false},
	{'&', "&", "&", true, "=", false},
}

// bindValue is what a variable stands for.
type bindValue struct {
	kind bindKind
	text string
	list []string // of a list; of pairs, names and values in turn
}

type bindKind uint8

const (
	bindUndefined bindKind = iota
	bindText
	bindList
	bindPairs
)

// newBindTemplate reads a template. Its errors say what to write.
func newBindTemplate(raw string) (*bindTemplate, error) {
	p := bindTemplateParser{t: &bindTemplate{raw: raw}}
	rest := raw
	for rest != "" {
		i := strings.IndexAny(rest, "{}")
		switch {
		case i < 0:
			i = len(rest)
		case rest[i] == '}':
			return nil, errors.New("has a } without its {: write %7D for a brace of the URL's own")
		}
		if i > 0 {
			if err := p.literal(rest[:i]); err != nil {
				return nil, err
			}
			rest = rest[i:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return nil, errors.New("has a { without its }: write %7B for a brace of the URL's own")
		}
		if err := p.expression(rest[1:end]); err != nil {
			return nil, fmt.Errorf("%s %w", rest[:end+1], err)
		}
		rest = rest[end+1:]
	}
	return p.t, nil
}

// bindTemplateParser knows how far a template has been read.
type bindTemplateParser struct {
	t         *bindTemplate
	where     bindPlace
	openHost  bool // nothing has ended the authority for certain
	openQuery bool // only {?x} has begun the query, which it does if it has a value
}

// literal takes over what stands between expressions (RFC 6570, section 2.1).
func (p *bindTemplateParser) literal(s string) error {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '%' && !bindEscape(s[i:]):
			return errors.New("has a % without two hexadecimal digits: write %25")
		case c <= ' ' || c == 0x7f || strings.IndexByte(`"'<>\^|`+"`", c) >= 0:
			return fmt.Errorf("has a %q: write %%%02X", c, c)
		case c >= utf8.RuneSelf:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	s = b.String()
	rest := s
	if len(p.t.pieces) == 0 {
		if n := bindAuthority(s); n > 0 {
			p.t.absolute, p.t.path, p.openHost = true, n, n == len(s)
			rest = s[n:]
		}
	} else if p.openHost {
		if strings.IndexByte("/?#", s[0]) < 0 {
			return fmt.Errorf("goes on with %q where the host may end: write a / before it", s)
		}
		p.openHost = false
	}
	if p.openQuery && s[0] != '&' && s[0] != '#' {
		return fmt.Errorf("goes on with %q after {?…}: write &name=value", s)
	}
	p.openQuery = false
	p.t.pieces = append(p.t.pieces, bindPiece{literal: s, where: p.where})
	for i := range len(rest) {
		switch {
		case rest[i] == '?' && p.where == bindInPath:
			p.where = bindInQuery
		case rest[i] == '#':
			p.where = bindInFragment
		}
	}
	return nil
}

// bindAuthority gives where scheme and authority of an absolute URL end, 0 if s is none.
func bindAuthority(s string) int {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/?#:") {
		return 0
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return len(s) - len(rest) + i
	}
	return len(s)
}

// expression reads what stands between braces (RFC 6570, sections 2.2 to 2.4).
func (p *bindTemplateParser) expression(s string) error {
	op := bindOperators[0]
	for _, o := range bindOperators[1:] {
		if s != "" && s[0] == o.sign {
			op, s = o, s[1:]
			break
		}
	}
	if err := p.enter(op); err != nil {
		return err
	}
	piece := bindPiece{op: op, where: p.where}
	for spec := range strings.SplitSeq(s, ",") {
		v, err := p.variable(spec)
		if err != nil {
			return err
		}
		piece.vars = append(piece.vars, v)
	}
	p.t.pieces = append(p.t.pieces, piece)
	return nil
}

// enter goes to the part of the URL that an operator leads to.
func (p *bindTemplateParser) enter(op bindOperator) error {
	if p.openHost && op.sign != '/' && op.sign != '?' && op.sign != '#' {
		return errors.New("could become a part of the host, which must not depend on an argument: write a / before it, or give the whole URL in an argument (url)")
	}
	if p.openQuery && op.sign != '&' && op.sign != '#' {
		return errors.New("stands after {?…}: put its variables into that, or write {&…}")
	}
	switch op.sign {
	case '?':
		if p.where != bindInPath {
			return errors.New("begins a query where there is one already: write {&…}")
		}
		p.where, p.openQuery = bindInQuery, true
	case '&':
		if p.where != bindInQuery {
			return errors.New("goes on with a query that nothing has begun: write {?…}")
		}
	case '#':
		p.where, p.openQuery = bindInFragment, false
	}
	return nil
}

// variable reads one variable with its modifier.
func (p *bindTemplateParser) variable(spec string) (bindVar, error) {
	v := bindVar{name: spec}
	if name, ok := strings.CutSuffix(spec, "*"); ok {
		v.name, v.explode = name, true
	} else if name, length, ok := strings.Cut(spec, ":"); ok {
		v.name = name
		for _, c := range []byte(length) {
			if c < '0' || c > '9' || len(length) > 4 {
				v.prefix = 0
				break
			}
			v.prefix = v.prefix*10 + int(c-'0')
		}
		if v.prefix == 0 {
			return v, fmt.Errorf("has the length %q: 1 to 9999 are allowed", length)
		}
	}
	if !bindVarName(v.name) {
		return v, fmt.Errorf("has the variable %q: names are of letters, digits, _ and dots between", v.name)
	}
	for i, name := range p.t.vars {
		if name == v.name {
			v.index = i
			return v, nil
		}
	}
	v.index = len(p.t.vars)
	p.t.vars = append(p.t.vars, v.name)
	return v, nil
}

// bindVarName reports whether s names a variable (RFC 6570, section 2.3).
func bindVarName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case c == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.':
		case bindEscape(s[i:]):
			i += 2
		default:
			return false
		}
	}
	return s != ""
}

// bindEscape reports whether s begins with a percent escape.
func bindEscape(s string) bool {
	return len(s) >= 3 && s[0] == '%' && bindHex(s[1]) && bindHex(s[2])
}

func bindHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// prefixed reports whether a variable has a length anywhere.
func (t *bindTemplate) prefixed(index int) bool {
	for _, piece := range t.pieces {
		for _, v := range piece.vars {
			if v.index == index && v.prefix > 0 {
				return true
			}
		}
	}
	return false
}

// route gives the path of the template as it is written, for a label.
func (t *bindTemplate) route() string {
	var b strings.Builder
	for i, piece := range t.pieces {
		if piece.where != bindInPath {
			break
		}
		text := piece.literal
		if i == 0 {
			text = text[t.path:]
		}
		if piece.vars != nil {
			names := make([]string, len(piece.vars))
			for i, v := range piece.vars {
				names[i] = v.name
			}
			text = strings.TrimSuffix(piece.op.first, "#") + "{" + strings.Join(names, ",") + "}"
		}
		if end := strings.IndexAny(text, "?#"); end >= 0 {
			b.WriteString(text[:end])
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

// expand gives the reference for values, one for each of the template's variables. It
// begins with a slash unless it is absolute, empty or a query alone, so that nothing in it
// can become a scheme. Refused are, in the path, an expression that gives nothing where
// it brings no separator of its own, an empty segment by {/x}, and a segment "." or "..":
// all of them would make another path than the template shows.
func (t *bindTemplate) expand(values []bindValue) (string, error) {
	var room [128]byte
	out := room[:0]
	start := t.path
	if !t.absolute { // dropped again where another begins it
		out = append(out, '/')
		start = 1
	}
	begin := len(out)
	query := false
	for _, piece := range t.pieces {
		before := len(out)
		if piece.vars == nil {
			out = append(out, piece.literal...)
		} else {
			out = piece.expand(out, values)
			if err := piece.check(values, len(out) == before); err != nil {
				return "", err
			}
		}
		if len(out) == before {
			continue
		}
		if piece.where == bindInQuery && !query && out[before] == '&' {
			out[before] = '?'
		}
		query = query || piece.where == bindInQuery || piece.vars == nil && strings.IndexByte(piece.literal, '?') >= 0
	}
	path := out[start:]
	if i := bytes.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	for segment := range bytes.SplitSeq(path, []byte("/")) {
		if bindDots(segment) {
			return "", fmt.Errorf("%w: the template %q gets a segment %q, which would change the path", parley.ErrInvalidURL, t.raw, segment)
		}
	}
	if !t.absolute && (len(out) == begin || strings.IndexByte("/?#", out[begin]) >= 0) {
		out = out[begin:]
	}
	return string(out), nil
}

// bindDots reports whether a segment is "." or "..", perhaps escaped, or would be one
// without its parameters, which some servers cut off.
func bindDots(segment []byte) bool {
	dots := 0
	for len(segment) > 0 && segment[0] != ';' {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
			segment = segment[3:]
		default:
			return false
		}
		dots++
	}
	return dots == 1 || dots == 2
}

// check refuses what leaves a hole in the path.
func (p *bindPiece) check(values []bindValue, nothing bool) error {
	if p.where != bindInPath {
		return nil
	}
	switch {
	case nothing && (p.op.sign == 0 || p.op.sign == '+'):
		return fmt.Errorf("%w: no value for {%s} in the path, where it has to have one; {/%s} may be left out", parley.ErrInvalidURL, p.names(), p.names())
	case p.op.sign == '/':
		for _, v := range p.vars {
			if values[v.index].hasEmpty() {
				return fmt.Errorf("%w: empty value for {/%s} in the path", parley.ErrInvalidURL, v.name)
			}
		}
	}
	return nil
}

func (p *bindPiece) names() string {
	names := make([]string, len(p.vars))
	for i, v := range p.vars {
		names[i] = v.name
	}
	return strings.Join(names, ",")
}

// hasEmpty reports whether a part of the value would be an empty segment.
func (v *bindValue) hasEmpty() bool {
	switch v.kind {
	case bindText:
		return v.text == ""
	case bindList:
		for _, s := range v.list {
			if s == "" {
				return true
			}
		}
	}
	return false
}

// expand appends the expression (RFC 6570, section 3.2.1).
func (p *bindPiece) expand(out []byte, values []bindValue) []byte {
	first := true
	for i := range p.vars {
		v := &p.vars[i]
		value := &values[v.index]
		if value.kind == bindUndefined {
			continue
		}
		if first {
			out = append(out, p.op.first...)
			first = false
		} else {
			out = append(out, p.op.separate...)
		}
		switch {
		case value.kind == bindText:
			out = p.text(out, v, value.text)
		case v.explode:
			out = p.exploded(out, v, value)
		default:
			out = p.joined(out, v, value)
		}
	}
	return out
}

// text appends a single value.
func (p *bindPiece) text(out []byte, v *bindVar, text string) []byte {
	if v.prefix > 0 {
		n := 0
		for i := range text { // a byte that is not UTF-8 counts as one character
			if n == v.prefix {
				text = text[:i]
				break
			}
			n++
		}
	}
	if p.op.named {
		out = append(out, v.name...)
		if text == "" {
			return append(out, p.op.ifEmpty...)
		}
		out = append(out, '=')
	}
	return p.escape(out, text)
}

// joined appends a list or pairs as one value, separated by commas.
func (p *bindPiece) joined(out []byte, v *bindVar, value *bindValue) []byte {
	if p.op.named {
		out = append(append(out, v.name...), '=')
	}
	for i, s := range value.list {
		if i > 0 {
			out = append(out, ',')
		}
		out = p.escape(out, s)
	}
	return out
}

// exploded appends the members of a list or pairs each by itself.
func (p *bindPiece) exploded(out []byte, v *bindVar, value *bindValue) []byte {
	step := 1
	if value.kind == bindPairs {
		step = 2
	}
	for i := 0; i < len(value.list); i += step {
		if i > 0 {
			out = append(out, p.op.separate...)
		}
		member := value.list[i+step-1]
		switch {
		case value.kind == bindPairs:
			out = p.escape(out, value.list[i])
		case p.op.named:
			out = append(out, v.name...)
		default:
			out = p.escape(out, member)
			continue
		}
		if member == "" && p.op.named {
			out = append(out, p.op.ifEmpty...)
			continue
		}
		out = p.escape(append(out, '='), member)
	}
	return out
}

// escape appends s with escapes for all but unreserved characters, and, where the
// operator says so, reserved ones and escapes (RFC 6570, section 3.2.1).
func (p *bindPiece) escape(out []byte, s string) []byte {
	const reserved = ":/?#[]@!$&'()*+,;="
	for i := range len(s) {
		c := s[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
		if p.op.reserved && !plain {
			switch {
			case c == '?' && p.where == bindInPath, c == '#' && p.where != bindInFragment:
			case c == '%':
				plain = bindEscape(s[i:])
			default:
				plain = strings.IndexByte(reserved, c) >= 0
			}
		}
		if plain {
			out = append(out, c)
		} else {
			const digits = "0123456789ABCDEF"
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return out
}
