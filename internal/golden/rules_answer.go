package golden

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// textRules say how bytes become text.
func textRules() []Rule {
	return []Rule{
		{
			Name: "a byte order mark tells the charset, and is no part of the text",
			Reason: "WHATWG Encoding section 6 and RFC 7303 section 3: no other text begins so; the systems keep it in the text or " +
				"take UTF-16 for something else",
			When: texts(func(_, _ string, body []byte) bool { _, marked := readMarked(body); return marked }),
			Then: expectText(func(_ *Case, _ string, body []byte) string { text, _ := readMarked(body); return text }),
		}, {
			Name:   "names of charsets mean what browsers take them for",
			Reason: "WHATWG Encoding section 4.2: what is labelled gb2312 is gbk, and iso-8859-1 is windows-1252, with more characters and no others",
			When: texts(func(_, charset string, _ []byte) bool {
				return slices.Contains([]string{"gb2312", "iso-8859-1"}, charset)
			}),
			Then: expectText(func(_ *Case, charset string, body []byte) string { return readAs(charset, body) }),
		}, {
			Name: "utf-7 counts as a charset that is not known",
			Reason: "WHATWG Encoding lacks it on purpose: it hides < and > from whatever checked the text before; without it " +
				"the text is UTF-8, which it nearly always is",
			When: texts(func(_, charset string, _ []byte) bool { return charset == "utf-7" }),
			Then: expectText(func(_ *Case, _ string, body []byte) string { return string(body) }),
		}, {
			Name:   "us-ascii says nothing about bytes beyond ASCII",
			Reason: "a text with such bytes is another one than the server thinks, and nearly always UTF-8; the systems lose them",
			When: texts(func(_, charset string, body []byte) bool {
				return charset == "us-ascii" && utf8.Valid(body)
			}),
			Then: expectText(func(_ *Case, _ string, body []byte) string { return string(body) }),
		}, {
			Name: "a text that is of no known charset is asked for its own word, then guessed",
			Reason: "requests guesses too, but only where the type is not text, which it takes for Latin-1 by a rule that RFC 7231 " +
				"dropped, and with less likely results; httpx loses what is not UTF-8. Unless another charset is nearly certain it is windows-1252, " +
				"as in browsers",
			When: texts(func(media, charset string, body []byte) bool {
				_, marked := readMarked(body)
				return charset == "" && !marked && !strings.HasSuffix(media, "json") && !utf8.Valid(body)
			}),
			Then: func(c *Case, e *Expected) {
				if guess := c.Seen["requests"].Replies[0].Guess; guess != "" {
					expectText(func(_ *Case, _ string, body []byte) string { return readAs(guess, body) })(c, e)
				}
			},
		}, {
			Name:   "JSON is also UTF-16 and UTF-32, by its zeros",
			Reason: "RFC 4627 section 3; httpx reads it, but shows the text as if it were UTF-8",
			When: texts(func(media, _ string, body []byte) bool {
				_, marked := readMarked(body)
				return strings.HasSuffix(media, "json") && bytes.IndexByte(body, 0) >= 0 && !marked
			}),
			Then: expectText(func(_ *Case, _ string, body []byte) string { return readUTF16(body, body[0] == 0) }),
		},
	}
}

// texts makes a predicate of one over the media type, the charset and the body of the last call's answer, where the case
// is about these.
func texts(when func(media, charset string, body []byte) bool) func(*Case) bool {
	return func(c *Case) bool {
		media, charset, body := c.answered()
		return c.Topic == "charset" && when(media, charset, body)
	}
}

// answered gives what the answer of a case with one of them says of its body, in lower case.
func (c *Case) answered() (media, charset string, body []byte) {
	for _, a := range c.Answers() {
		body = a.Body
		for _, h := range a.Headers {
			if strings.EqualFold(h[0], "Content-Type") {
				var params map[string]string
				if m, p, err := mime.ParseMediaType(h[1]); err == nil {
					media, params = m, p
				}
				charset = strings.ToLower(params["charset"])
			}
		}
	}
	return media, charset, body
}

// expectText expects what read gives for the charset and the body of the answer, also where it is to be read as JSON.
func expectText(read func(c *Case, charset string, body []byte) string) func(*Case, *Expected) {
	return func(c *Case, e *Expected) {
		_, charset, body := c.answered()
		text := read(c, charset, body)
		e.edit(func(o *Outcome) {
			last := &o.Replies[len(o.Replies)-1]
			last.Text = &text
			if c.Wants("json") {
				last.JSON = nil
				last.JSONErr = json.Unmarshal([]byte(text), &last.JSON) != nil
			}
		})
	}
}

// likeliest are the charsets of the Web for those that requests guesses. It guesses others for short Western texts,
// nearly all of which are windows-1252.
var likeliest = map[string]string{
	"GB18030": "gb18030", "gbk": "gbk", "Big5": "big5", "CP932": "shift_jis", "euc_jis_2004": "euc-jp", "CP949": "euc-kr",
	"KOI8-R": "koi8-r", "windows-1251": "windows-1251", "utf_16_le": "utf-16le",
}

func readAs(charset string, body []byte) string {
	name, ok := likeliest[charset]
	if !ok {
		name = "windows-1252"
	}
	if charset == "gb2312" {
		name = "gbk"
	}
	encoding, err := htmlindex.Get(name)
	if err != nil {
		return err.Error()
	}
	text, err := encoding.NewDecoder().Bytes(body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// readMarked reads a text that begins with a byte order mark.
func readMarked(body []byte) (text string, marked bool) {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return string(body[3:]), true
	case bytes.HasPrefix(body, []byte("\xff\xfe\x00\x00")):
		var runes []rune
		for i := 4; i+3 < len(body); i += 4 {
			runes = append(runes, rune(body[i])|rune(body[i+1])<<8|rune(body[i+2])<<16)
		}
		return string(runes), true
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		return readUTF16(body[2:], false), true
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		return readUTF16(body[2:], true), true
	}
	return "", false
}

func readUTF16(body []byte, bigEndian bool) string {
	var units []uint16
	for i := 0; i+1 < len(body); i += 2 {
		low, high := uint16(body[i]), uint16(body[i+1])
		if bigEndian {
			low, high = high, low
		}
		units = append(units, high<<8|low)
	}
	return string(utf16.Decode(units))
}

// linkRules say which links an answer has.
func linkRules() []Rule {
	return []Rule{
		{
			Name:   "the URL of a link is resolved against that of the request",
			Reason: "RFC 8288 section 3.1: a reference is of no use without what it is relative to; the systems give it as it is written",
			When: links(func(l link) bool {
				u, err := url.Parse(l.target)
				return err != nil || !u.IsAbs() || encodeIllegal(l.target, queryBytes) != l.target
			}),
			Then: expectLinks,
		}, {
			Name: "a Link header is read by its grammar",
			Reason: "RFC 8288 section 3: separators within quotes and within the target are none, quoted pairs stand for what is quoted, a tab is " +
				"a space, a parameter needs no value, and what is no link is left out; the systems cut at each of them, so that a title can bring in links",
			When: func(c *Case) bool {
				return c.Topic == "links" && slices.ContainsFunc(c.Answers(), func(a Answer) bool {
					return slices.ContainsFunc(a.Headers, func(h [2]string) bool { return oddLink.MatchString(h[1]) })
				})
			},
			Then: expectLinks,
		}, {
			Name:   "the first of several links of one relation is given",
			Reason: "with Links there are all of them; the systems keep the last",
			When: func(c *Case) bool {
				seen := map[string]bool{}
				return links(func(l link) bool {
					again := seen[l.params["rel"]]
					seen[l.params["rel"]] = true
					return again
				})(c)
			},
			Then: expectLinks,
		},
	}
}

// link is a link as it is written.
type link struct {
	target string
	params map[string]string
}

// The grammar of RFC 8288, section 3, with what is commonly forgiven: doubled semicolons and a quote that is not closed.
var (
	linkValue = regexp.MustCompile(`<([^>]*)>((?:\s*;\s*(?:[^\s=;,"]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"?|[^\s;,"]*))?)?)*)`)
	linkParam = regexp.MustCompile(`;\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|'?([^\s;,"']*)'?))?`)
	pair      = regexp.MustCompile(`\\(.)`)

	// oddLink matches what needs more than cutting at commas, semicolons and equals signs.
	oddLink = regexp.MustCompile(`"[^"]*[;=\\<][^"]*"|;\s*[\w-]+\s*(?:;|,|$)|\t|;;|<[^>]*;[^>]*>|(?:^|,)\s*(?:[^<\s,]|$)`)
)

// links makes a predicate of one over the links of the case's answer, taken in their order.
func links(when func(link) bool) func(*Case) bool {
	return func(c *Case) bool {
		return c.Topic == "links" && slices.ContainsFunc(c.links(), when)
	}
}

func (c *Case) links() []link {
	var found []link
	for _, a := range c.Answers() {
		for _, h := range a.Headers {
			for _, m := range linkValue.FindAllStringSubmatch(h[1], -1) {
				l := link{m[1], map[string]string{}}
				for _, p := range linkParam.FindAllStringSubmatch(m[2], -1) {
					if _, again := l.params[p[1]]; !again {
						l.params[p[1]] = pair.ReplaceAllString(p[2], "$1") + p[3]
					}
				}
				found = append(found, l)
			}
		}
	}
	return found
}

// expectLinks expects the links that the grammar makes of the header.
func expectLinks(c *Case, e *Expected) {
	want := map[string]map[string]string{}
	base, baseErr := url.Parse(c.Calls[len(c.Calls)-1].URL)
	for _, l := range c.links() {
		target, err := url.Parse(encodeIllegal(l.target, queryBytes+"#"))
		if err != nil || baseErr != nil {
			continue
		}
		shown := map[string]string{"url": base.ResolveReference(target).String()}
		for name, value := range l.params {
			shown[name] = value
		}
		key := l.params["rel"]
		if key == "" {
			key = shown["url"]
		}
		if want[key] == nil {
			want[key] = shown
		}
	}
	e.edit(func(o *Outcome) { o.Replies[len(o.Replies)-1].Links = want })
}
