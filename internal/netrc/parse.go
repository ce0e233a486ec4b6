package netrc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Mistakes. None of them quotes the file: any word of it may be a password.
var (
	errNoValue     = errors.New("a value is missing")
	errTwice       = errors.New("the entry has two values for one thing; the line that begins the next entry may be missing")
	errUnknownWord = errors.New("expected machine, default, login, password, account or macdef; a value with spaces needs double quotes")
	errQuote       = errors.New("a quoted value does not end on its line")
	errAfterQuote  = errors.New("a space is missing after a quoted value")
	errIncomplete  = errors.New("the entry needs a login and a password")
)

// parsedEntry is an entry with what only the parser asks.
type parsedEntry struct {
	Entry
	isDefault                       bool
	hasLogin, hasPassword, hasOther bool
}

// parser goes through a file once, word by word.
type parser struct {
	path    string
	rest    []byte
	line    int  // of the first byte of rest
	fresh   bool // no word of that line has been read
	entries []parsedEntry
}

// word is a word of the file.
type word struct {
	text   string
	line   int
	quoted bool
	first  bool // on its line
	err    error
}

func parse(path string, data []byte) []parsedEntry {
	p := &parser{path: path, rest: bytes.TrimPrefix(data, []byte("\ufeff")), line: 1, fresh: true}
	p.file()
	for i := range p.entries {
		e := &p.entries[i]
		if e.Err == nil && (!e.hasLogin || !e.hasPassword) {
			p.spoil(e, e.Line, errIncomplete)
		}
	}
	return p.entries
}

// file reads entries up to the end. lost is set between a mistake and the line
// that begins the next entry.
func (p *parser) file() {
	lost := false
	for {
		w, ok := p.keyword()
		if !ok {
			return
		}
		resumes := w.first && (w.is("machine") || w.is("default") || w.is("macdef"))
		if lost && !resumes {
			continue
		}
		err := p.statement(w)
		lost = err != nil
		if lost {
			if n := len(p.entries); n > 0 {
				p.spoil(&p.entries[n-1], w.line, err)
			}
		}
	}
}

// statement reads what follows a word that should be a keyword.
func (p *parser) statement(w word) error {
	var e *parsedEntry
	if n := len(p.entries); n > 0 {
		e = &p.entries[n-1]
	}
	switch {
	case w.err != nil:
		return w.err
	case w.is("default"):
		p.entries = append(p.entries, parsedEntry{Entry: Entry{Line: w.line}, isDefault: true})
		return nil
	case w.is("machine"):
		// Appended first, so that what is wrong is no mistake of the entry before.
		p.entries = append(p.entries, parsedEntry{Entry: Entry{Line: w.line}})
		name, err := p.value(w)
		p.entries[len(p.entries)-1].Machine = name
		return err
	case w.is("macdef"):
		p.macro()
		return nil
	case e == nil:
		return errUnknownWord // it belongs to no entry
	case w.is("login"), w.is("user"):
		return p.field(w, &e.Login, &e.hasLogin)
	case w.is("password"):
		return p.field(w, &e.Password, &e.hasPassword)
	case w.is("account"):
		var account string // of no use to HTTP
		return p.field(w, &account, &e.hasOther)
	}
	return errUnknownWord
}

// field reads one of an entry's values.
func (p *parser) field(w word, to *string, has *bool) error {
	value, err := p.value(w)
	if err != nil {
		return err
	}
	if *has {
		return errTwice
	}
	*to, *has = value, true
	return nil
}

// value reads the value of a keyword. A bare keyword that begins another line is
// taken for what it looks like, not for the value.
func (p *parser) value(of word) (string, error) {
	before := *p
	w, ok := p.next()
	switch {
	case !ok:
		return "", errNoValue
	case w.err != nil:
		return "", w.err
	case w.line != of.line && w.isKeyword():
		*p = before
		return "", errNoValue
	}
	return w.text, nil
}

// keyword gives the next word that is not in a comment.
func (p *parser) keyword() (word, bool) {
	for {
		w, ok := p.next()
		if !ok || w.quoted || !strings.HasPrefix(w.text, "#") {
			return w, ok
		}
		p.skipLine()
	}
}

// spoil marks an entry as one that gives no credentials. The first mistake counts.
func (p *parser) spoil(e *parsedEntry, line int, err error) {
	if e.Err == nil {
		e.Password = ""
		e.Err = fmt.Errorf("netrc file %q, line %d: %w", p.path, line, err)
	}
}

// macro skips a macro, up to an empty line or the end.
func (p *parser) macro() {
	p.skipLine() // its name
	for len(p.rest) > 0 {
		empty := p.rest[0] == '\n' || bytes.HasPrefix(p.rest, []byte("\r\n"))
		p.skipLine()
		if empty {
			return
		}
	}
}

// skipLine goes to the beginning of the next line.
func (p *parser) skipLine() {
	p.fresh = true
	end := bytes.IndexByte(p.rest, '\n')
	if end < 0 {
		p.rest = nil
		return
	}
	p.rest = p.rest[end+1:]
	p.line++
}

// next gives the next word. ok is false at the end.
func (p *parser) next() (w word, ok bool) {
	i := 0
	for ; i < len(p.rest) && isSpace(p.rest[i]); i++ {
		if p.rest[i] == '\n' {
			p.line++
			p.fresh = true
		}
	}
	p.rest = p.rest[i:]
	if len(p.rest) == 0 {
		return word{}, false
	}
	w = word{line: p.line, first: p.fresh}
	p.fresh = false
	if p.rest[0] == '"' {
		w.quoted = true
		w.text, w.err = p.quoted()
		return w, true
	}
	end := bytes.IndexAny(p.rest, " \t\r\n")
	if end < 0 {
		end = len(p.rest)
	}
	w.text = string(p.rest[:end])
	p.rest = p.rest[end:]
	return w, true
}

// quoted reads a quoted value. After one that does not end, the parser is at the
// end of its line.
func (p *parser) quoted() (string, error) {
	var text []byte
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '\n':
			p.rest = p.rest[i:]
			return "", errQuote
		case c == '"':
			p.rest = p.rest[i+1:]
			if len(p.rest) > 0 && !isSpace(p.rest[0]) {
				return "", errAfterQuote
			}
			return string(text), nil
		case c == '\\' && i+1 < len(p.rest) && p.rest[i+1] != '\n':
			i++
			text = append(text, unescape(p.rest[i]))
		default:
			text = append(text, c)
		}
	}
	p.rest = nil
	return "", errQuote
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// is reports whether a word is that keyword.
func (w word) is(keyword string) bool {
	return w.err == nil && !w.quoted && strings.EqualFold(w.text, keyword)
}

func (w word) isKeyword() bool {
	for _, k := range []string{"machine", "default", "login", "user", "password", "account", "macdef"} {
		if w.is(k) {
			return true
		}
	}
	return false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
