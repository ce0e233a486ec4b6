package urls

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	tests := []struct{ name, host, want string }{
		{"lower case", "A.Test", "a.test"},
		{"one trailing dot", "a.test.", "a.test"},
		{"one label", "localhost", "localhost"},
		{"hyphens anywhere", "-a-.r3---b.test", "-a-.r3---b.test"},
		{"underscore", "_dns.a_b.test", "_dns.a_b.test"},
		{"a label of 63 bytes", label + ".test", label + ".test"},
		{"a name of 253 bytes", strings.Repeat(label+".", 3) + label[:61], strings.Repeat(label+".", 3) + label[:61]},
		{"digits in front of letters", "4chan.1a", "4chan.1a"},
		{"a number that is not last", "127.test", "127.test"},
		{"0x before no number", "0xg", "0xg"},
		{"IPv4", "127.0.0.1", "127.0.0.1"},
		{"IPv4 with a trailing dot", "127.0.0.1.", "127.0.0.1"},
		{"IPv4 in full-width digits", "１２７.0.0.1", "127.0.0.1"},
		{"IPv6", "2001:DB8::0:1", "2001:db8::1"},
		{"IPv6 in brackets", "[::1]", "::1"},
		{"IPv6 with a zone", "fe80::1%eth0", "fe80::1%eth0"},
		{"IPv6 with a zone in brackets", "[fe80::1%25eth0]", "fe80::1%eth0"},
		{"IPv6 that maps IPv4", "::ffff:127.0.0.1", "::ffff:127.0.0.1"},
		{"international", "bücher.test", "xn--bcher-kva.test"},
		{"international in upper case", "BÜCHER.TEST", "xn--bcher-kva.test"},
		{"international in parts", "bu\u0308cher.test", "xn--bcher-kva.test"},
		{"sharp s by IDNA 2008", "straße.test", "xn--strae-oqa.test"},
		{"final sigma by IDNA 2008", "βόλος.test", "xn--nxasmm1c.test"},
		{"right to left", "אבג.test", "xn--4dbcd.test"},
		{"Devanagari", "उदाहरण.test", "xn--p1b6ci4b4b3a.test"},
		{"ideographic full stop", "a\u3002test", "a.test"},
		{"ideographic full stop at the end", "é.test\u3002", "xn--9ca.test"},
		{"middle dot between two l", "l·l.test", "xn--ll-0ea.test"},
		{"underscore beside an international label", "a_b.é.test", "a_b.xn--9ca.test"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := CanonicalHost(test.host)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			again, err := CanonicalHost(got)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
}

func TestCanonicalHostRefuses(t *testing.T) {
	label := strings.Repeat("a", 63)
	tests := []struct{ name, host string }{
		{"nothing", ""},
		{"a dot", "."},
		{"two trailing dots", "a.test.."},
		{"an empty label", "a..test"},
		{"a leading dot", ".a.test"},
		{"a label of 64 bytes", label + "a.test"},
		{"a last label of 64 bytes", "test." + label + "a"},
		{"a name of 254 bytes", strings.Repeat(label+".", 3) + label[:62]},
		{"an international label that is long as punycode", strings.Repeat("é", 63) + ".test"},
		{"a short dotted form", "127.1"},
		{"a hexadecimal form", "0x7f.1"},
		{"a hexadecimal number", "0x7f000001"},
		{"a hexadecimal last label", "a.0x7f"},
		{"a lone 0x", "0x"},
		{"a decimal number", "2130706433"},
		{"an octal form", "0177.0.0.1"},
		{"five numbers", "1.2.3.4.5"},
		{"a number over 255", "256.0.0.1"},
		{"a number after a name", "a.1"},
		{"a short form in full-width digits", "１２７.１"},
		{"a number with a trailing dot", "127.1."},
		{"percent-encoding", "a%2etest"},
		{"a space", "a b"},
		{"a slash", "a/b"},
		{"an at sign", "a@b"},
		{"a control byte", "a\r\nb"},
		{"a DEL", "a\x7fb"},
		{"a star", "*.test"},
		{"no UTF-8", "a\xff.test"},
		{"fake punycode", "xn--example-.com"},
		{"fake punycode in upper case", "XN--example-.com"},
		{"punycode of nothing", "xn--.test"},
		{"punycode of ASCII", "xn--a-.test"},
		{"punycode that does not decode", "xn--999999999.test"},
		{"punycode of a symbol", "xn--e28h.test"},
		{"punycode of upper case", "xn--a-hea.test"},
		{"a symbol", "\u2603.test"},
		{"an emoji", "\U0001f600.test"},
		{"a character that becomes several, with a slash", "a\u2100b.test"},
		{"a full-width number sign", "a\uff03b.test"},
		{"a zero-width joiner without context", "a\u200db.test"},
		{"mixed directions", "אa.test"},
		{"tatweel", "\u0640\u0628.test"},
		{"brackets around a name", "[a.test]"},
		{"brackets around IPv4", "[127.0.0.1]"},
		{"an unclosed bracket", "[::1"},
		{"a bracket behind", "::1]"},
		{"a colon in a name", "a:80"},
		{"IPv6 of nine groups", "1:2:3:4:5:6:7:8:9"},
		{"a zone in an unencoded form", "[fe80::1%eth0]"},
		{"a zone with a slash", "fe80::1%a/b"},
		{"a long address", "[" + strings.Repeat("0:", 10000) + "]"},
		{"a long name", strings.Repeat("é", 100000)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := CanonicalHost(test.host)
			var invalid *Error
			require.ErrorAs(t, err, &invalid)
			require.Empty(t, got)
			require.Less(t, len(err.Error()), 500)
		})
	}
}
