package parley

import (
	"fmt"
	"mime"

	"github.com/seed-0474a412/parley/internal/charset"
)

// TextBody gives s as text/plain in a charset, whose name goes into the content type as
// it is given here: "utf-8", "iso-8859-1", "shift_jis", "utf-16" or any other name that
// IANA has registered. Names mean exactly what they say, unlike where an answer is read:
// iso-8859-1 has no euro sign and us-ascii nothing beyond ASCII. "utf-16" is big-endian
// with a byte order mark.
//
// A text with a character that the charset does not have is an error, as is a charset
// that is not known.
func TextBody(s, charsetName string) (Body, error) {
	b, known, err := charset.Encode(charsetName, s)
	switch {
	case !known:
		return nil, failed("unknown charset %q: utf-8, iso-8859-1 and shift_jis are some that are known", quoteBad(charsetName, 32))
	case err != nil:
		return nil, fmt.Errorf("%w: the text cannot be written in %s: %w", errInvalidOption, quoteBad(charsetName, 32), err)
	}
	return &bytesBody{b, mime.FormatMediaType("text/plain", map[string]string{"charset": charsetName})}, nil
}

// WithText sends s as text/plain in UTF-8.
func WithText(s string) RequestOption {
	return WithBody(BytesBody([]byte(s), "text/plain; charset=utf-8"))
}

// WithTextCharset sends s as text/plain in another charset than UTF-8: see [TextBody].
func WithTextCharset(s, charsetName string) RequestOption {
	return withBody(TextBody(s, charsetName))
}
