package charset

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/ianaindex"
)

// Encode writes text in the charset that IANA knows by a name, strictly: a character
// that the charset does not have is an error, as are bytes that are not UTF-8 unless
// UTF-8 is what is wanted. known is false where there is no such charset.
func Encode(label, text string) (content []byte, known bool, err error) {
	if strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "utf8") {
		return []byte(text), true, nil
	}
	if label == "" || len(label) > maxLabel || strings.TrimSpace(label) != label {
		return nil, false, nil
	}
	enc, err := ianaindex.MIME.Encoding(label)
	if err != nil || enc == nil { // nil: a name without a table
		return nil, false, nil
	}
	if !utf8.ValidString(text) {
		return nil, true, errors.New("the text is not UTF-8 to begin with")
	}
	content, err = enc.NewEncoder().Bytes([]byte(text))
	return content, true, err
}
