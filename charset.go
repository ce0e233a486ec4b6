package parley

import (
	"github.com/seed-0474a412/parley/internal/charset"
)

// charsetKey is the attribute under which a request carries WithCharset.
type charsetKey struct{}

// WithCharset says in which charset answers are written, whatever they say
// themselves: any name of the WHATWG Encoding Standard ("utf-8", "windows-1252",
// "shift_jis", …), or utf-32. It is for [Response.Text] and all that decodes text. ""
// takes back what the session says.
func WithCharset(name string) Option {
	c, ok := charset.Lookup(name)
	return option(func(s *settings) error {
		var forced *charset.Charset // nil: none
		switch {
		case ok:
			forced = &c
		case name != "":
			return failed("WithCharset: unknown charset %q; utf-8, windows-1252 and shift_jis are some that are known", quoteBad(name, 32))
		}
		s.attrs = &attribute{charsetKey{}, forced, s.attrs}
		return nil
	})
}

// Text gives the body as a string in UTF-8. Its charset is, in this order:
//
//   - what [WithCharset] says
//   - that of the byte order mark, which is no part of the text
//   - that of the Content-Type, if the name is known (and not us-ascii, which says
//     nothing about other bytes)
//   - what the text says itself: the meta tag of HTML, the declaration of XML, the
//     @charset of a style sheet
//   - UTF-8, if the body is that, or UTF-16 or UTF-32 by its zeros
//   - a guess from 1 KiB of the text: one of the Chinese, Japanese, Korean and Russian
//     charsets where that is nearly certain, else windows-1252; what is not text at
//     all stays UTF-8
//
// JSON is UTF-8, UTF-16 or UTF-32 (RFC 8259, RFC 4627), and the charset of the
// Content-Type counts only where it is none of these; XML that says nothing is UTF-8.
// Names mean what they do in browsers: iso-8859-1 is read as windows-1252.
//
// Bytes that the charset does not have become U+FFFD. The text is at most three times
// as long as the body.
func (r *Response) Text() (string, error) {
	b, err := r.Bytes()
	if err != nil {
		return "", err
	}
	media, declared := r.contentType()
	return r.charsetOf(b, charset.KindOf(media), declared).Decode(b), nil
}

// Charset names the charset by which Text reads the body, as the WHATWG Encoding
// Standard writes it: "utf-8", "windows-1252". For a body that has not been read it is
// what [WithCharset] or the Content-Type says, or "".
func (r *Response) Charset() string {
	media, declared := r.contentType()
	kind := charset.KindOf(media)
	if r.loaded {
		return r.charsetOf(r.content, kind, declared).Name()
	}
	if c := r.forcedCharset(); c != nil {
		return c.Name()
	}
	if c, ok := charset.Lookup(declared); ok && kind != charset.JSON {
		return c.Name()
	}
	return ""
}

func (r *Response) contentType() (media, declared string) {
	if v := r.Header["Content-Type"]; len(v) > 0 {
		return charset.OfType(v[0])
	}
	return "", ""
}

// charsetOf finds out how content is written.
func (r *Response) charsetOf(content []byte, kind charset.Kind, declared string) charset.Charset {
	if c := r.forcedCharset(); c != nil {
		return *c
	}
	return charset.Find(content, kind, declared)
}

func (r *Response) forcedCharset() *charset.Charset {
	if r.Request == nil {
		return nil
	}
	return r.Request.attrs.charset()
}

// charset gives what WithCharset says, nil for nothing.
func (a *attribute) charset() *charset.Charset {
	c, _ := a.get(charsetKey{}).(*charset.Charset)
	return c
}

// unicode gives content, which is of the kind named, as UTF-8 without a byte order
// mark; content itself where it is that already.
func (r *Response) unicode(content []byte, kind charset.Kind) []byte {
	_, declared := r.contentType()
	c := r.charsetOf(content, kind, declared)
	if c.IsUTF8() {
		return charset.WithoutMark(content)
	}
	return []byte(c.Decode(content))
}
