package charset

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncode_isStrict(t *testing.T) {
	for name, test := range map[string]struct {
		label, text, want string
		known, fails      bool
	}{
		"utf-8":                    {"UTF-8", "ü€", "ü€", true, false},
		"utf-8 as it is":           {"utf8", "a\xff", "a\xff", true, false},
		"latin-1":                  {"iso-8859-1", "ü", "\xfc", true, false},
		"latin-1 has no euro":      {"iso-8859-1", "€", "", true, true},
		"by another name":          {"latin1", "ü", "\xfc", true, false},
		"windows-1252 has a euro":  {"windows-1252", "€", "\x80", true, false},
		"ASCII":                    {"us-ascii", "a", "a", true, false},
		"ASCII has nothing beyond": {"us-ascii", "ü", "", true, true},
		"two bytes":                {"Shift_JIS", "日本", "\x93\xfa\x96\x7b", true, false},
		"utf-16 bears a mark":      {"utf-16", "a", "\xfe\xff\x00a", true, false},
		"utf-16le does not":        {"utf-16le", "a", "a\x00", true, false},
		"not UTF-8":                {"iso-8859-1", "a\xff", "", true, true},
		"unknown":                  {"klingon", "a", "", false, false},
		"a name without a table":   {"ebcdic-us", "a", "", false, false},
		"no name":                  {"", "a", "", false, false},
		"a name with a space":      {" utf-16", "a", "", false, false},
		"a line break":             {"utf-16\r\n", "a", "", false, false},
	} {
		content, known, err := Encode(test.label, test.text)
		require.Equal(t, test.known, known, name)
		require.Equal(t, test.fails, err != nil, "%s: %v", name, err)
		require.Equal(t, test.want, string(content), name)
	}
}
