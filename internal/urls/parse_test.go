package urls

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireConsistent checks what holds for every URL made by the package: text
// and parts say the same, in this parser and in net/url.
func requireConsistent(t *testing.T, u *url.URL) {
	t.Helper()
	text := u.String()
	require.LessOrEqual(t, len(text), MaxBytes)

	again, err := Parse(text)
	require.NoError(t, err, "%q", text)
	require.Equal(t, u, again, "%q parsed again", text)

	standard, err := url.Parse(text)
	require.NoError(t, err, "%q", text)
	require.Equal(t, u, standard, "%q parsed by net/url", text)

	target := Target(u)
	require.Equal(t, target, u.RequestURI())
	require.True(t, strings.HasPrefix(target, "/"), "%q", target)
	requireTargetBytes(t, target)
	require.Equal(t, target, string(AppendTarget(nil, u)))
}

func requireTargetBytes(t *testing.T, target string) {
	t.Helper()
	for i := range len(target) {
		if target[i] < 0x21 || target[i] > 0x7e || target[i] == '#' {
			t.Fatalf("byte %#x in target %q", target[i], target)
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"a plain URL stays as it is", "http://a.test/p?q=1", "http://a.test/p?q=1"},
		{"an empty path becomes a slash", "http://a.test", "http://a.test/"},
		{"an empty path before a query becomes a slash", "http://a.test?a=1", "http://a.test/?a=1"},
		{"scheme and host are lower case", "HTTPS://A.Test/Path", "https://a.test/Path"},
		{"the default port goes", "http://a.test:80/", "http://a.test/"},
		{"the default port of https goes", "https://a.test:443/", "https://a.test/"},
		{"the other scheme's port stays", "https://a.test:80/", "https://a.test:80/"},
		{"an empty port goes", "http://a.test:/p", "http://a.test/p"},
		{"zeros before a port go", "http://a.test:08080/", "http://a.test:8080/"},
		{"the highest port", "http://a.test:65535/", "http://a.test:65535/"},
		{"a trailing dot goes", "http://a.test./", "http://a.test/"},
		{"an underscore is allowed", "http://a_b.a.test/p", "http://a_b.a.test/p"},
		{"an empty query keeps its question mark", "http://a.test/p?", "http://a.test/p?"},
		{"a question mark inside a query stays", "http://a.test/p?a=b?c=d", "http://a.test/p?a=b?c=d"},
		{"a fragment stays", "http://a.test/p?a#f(1)!", "http://a.test/p?a#f(1)!"},
		{"an empty fragment goes", "http://a.test/p#", "http://a.test/p"},
		{"double slashes stay", "http://a.test//a//b", "http://a.test//a//b"},
		{"reserved characters stay", "http://a.test/a:b@c!d$e&f'g(h)i*j+k,l;m=n", "http://a.test/a:b@c!d$e&f'g(h)i*j+k,l;m=n"},
		{"escapes keep their case", "http://a.test/a%2fb%c3%A9?x=%2f%2F", "http://a.test/a%2fb%c3%A9?x=%2f%2F"},
		{"escapes of unreserved characters stay", "http://a.test/%41?%41", "http://a.test/%41?%41"},
		{"a stray percent sign is encoded", "http://a.test/a%2Fb%zz%20c%", "http://a.test/a%2Fb%25zz%20c%25"},
		{"spaces and text in other scripts are encoded", "http://a.test/café/a b?q=é 中", "http://a.test/caf%C3%A9/a%20b?q=%C3%A9%20%E4%B8%AD"},
		{"bytes that are no UTF-8 are encoded", "http://a.test/\xff", "http://a.test/%FF"},
		{"what RFC 3986 forbids in a path is encoded", "http://a.test/a\"b<c>d`e{f}g|h^i[j]k\\l", "http://a.test/a%22b%3Cc%3Ed%60e%7Bf%7Dg%7Ch%5Ei%5Bj%5Dk%5Cl"},
		{"what RFC 3986 forbids in a query is encoded", "http://a.test/p?a=/?:@!$'()*,;[]{}|^\\`\"<>", "http://a.test/p?a=/?:@!$'()*,;%5B%5D%7B%7D%7C%5E%5C%60%22%3C%3E"},
		{"dot segments are resolved", "http://a.test/a/../b/./c/..", "http://a.test/b/"},
		{"encoded dot segments are resolved", "http://a.test/a/%2e%2E/b", "http://a.test/b"},
		{"dot segments end at the root", "http://a.test/../../b", "http://a.test/b"},
		{"three dots are a name", "http://a.test/.../.b/c.", "http://a.test/.../.b/c."},
		{"dots in a query stay", "http://a.test/?../..", "http://a.test/?../.."},
		{"user information is kept", "http://u:p%3A@a.test/", "http://u:p%3A@a.test/"},
		{"empty user information goes", "http://@a.test/p", "http://a.test/p"},
		{"an IPv4 address", "http://127.0.0.1:8080/", "http://127.0.0.1:8080/"},
		{"an IPv6 address is written short", "http://[2001:DB8:0::1]:80/", "http://[2001:db8::1]/"},
		{"an IPv6 zone is kept", "http://[fe80::1%25eth0]:8080/", "http://[fe80::1%25eth0]:8080/"},
		{"an international host is converted", "http://BÜCHER.test/", "http://xn--bcher-kva.test/"},
		{"punycode is kept", "http://xn--bcher-kva.test/", "http://xn--bcher-kva.test/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u, err := Parse(test.raw)
			require.NoError(t, err)
			require.Equal(t, test.want, u.String())
			requireConsistent(t, u)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, raw string }{
		{"nothing", ""},
		{"no scheme", "a.test/p"},
		{"no scheme but slashes", "//a.test/p"},
		{"a scheme without its colon", "http//a.test/p"},
		{"no slashes", "http:a.test/p"},
		{"one slash", "http:/a.test/p"},
		{"no host", "http://"},
		{"no host but a path", "http:///p"},
		{"no host but a port", "http://:80/"},
		{"no host but a user", "http://u@"},
		{"no host but a user and a path", "http://u@/"},
		{"a port too high", "http://a.test:65536/"},
		{"a negative port", "http://a.test:-1/"},
		{"a port with a sign", "http://a.test:+80/"},
		{"a port in letters", "http://a.test:http/"},
		{"a port of many digits", "http://a.test:" + strings.Repeat("9", 1000) + "/"},
		{"a space in the host", "http://a b.test/"},
		{"a star in the host", "http://*.test/"},
		{"an empty label", "http://a..test/"},
		{"two trailing dots", "http://a.test../"},
		{"a symbol in the host", "http://\U0001f600.test/"},
		{"an unclosed bracket", "http://[::1/p"},
		{"a zone without %25", "http://[fe80::1%eth0]/"},
		{"an empty zone", "http://[fe80::1%25]/"},
		{"an encoded zone", "http://[fe80::1%25a%20b]/"},
		{"a tab", "http://a.test/a\tb"},
		{"a NUL", "http://a.test/a\x00b"},
		{"a DEL", "http://a.test/a\x7fb"},
		{"a leading space", " http://a.test/"},
		{"a trailing space", "http://a.test/ "},
		{"a space in the user name", "http://a b@a.test/"},
		{"a stray percent sign in the password", "http://u:100%@a.test/"},
		{"a bracket in the password", "http://u:[@a.test/"},
		{"64 KiB and a byte", "http://a.test/" + strings.Repeat("a", MaxBytes)},
		{"64 KiB once encoded", "http://a.test/" + strings.Repeat(" ", MaxBytes/2) + "a"},
		{"64 KiB once completed", "http://a.test?" + strings.Repeat("a", MaxBytes-len("http://a.test?"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dst := url.URL{Host: "unchanged"}
			err := ParseInto(&dst, test.raw)
			var invalid *Error
			require.ErrorAs(t, err, &invalid)
			require.NotEmpty(t, invalid.Reason)
			require.Less(t, len(err.Error()), 500)
			require.Equal(t, url.URL{Host: "unchanged"}, dst)
			u, err := Parse(test.raw)
			require.Error(t, err)
			require.Nil(t, u)
		})
	}
}

func TestParseTellsOtherSchemes(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for raw, scheme := range map[string]string{
		"ftp://a.test/p":     "ftp",
		"FILE:///etc/passwd": "FILE",
		"ws://a.test/p":      "ws",
		"mailto:x@a.test":    "mailto",
		"a.test:8080/p":      "a.test",
		"users:search":       "users",
		"user:SECRET@a.test": "", // no scheme but a name
		long + "://a.test/":  long[:64],
		"data:,x":            "data",
		"javascript:1":       "javascript",
	} {
		var scheme1 *SchemeError
		_, err := Parse(raw)
		require.ErrorAs(t, err, &scheme1, raw)
		require.Equal(t, scheme, scheme1.Scheme)
		require.Less(t, len(err.Error()), 300)
		require.NotContains(t, err.Error(), `"user"`)
		require.NotContains(t, err.Error(), "SECRET")
	}
}

func TestErrorsNeverShowUserInformationOrQuery(t *testing.T) {
	for _, raw := range []string{
		"http://me:SECRET@a b.test/", "http://me:SECRET@a.test:99999/", "http://me:SECRET@@a.test/", "http://me:SECRET%@a.test/",
		"http://me:SECRET@[::1/", "http://me:SECRET@a%2F.test/", "http://me:SECRET@127.1/", "http://me:SECRET/x@a.test/",
		"http://me:SECRET#@a.test/", "me:SECRET@a.test", "//me:SECRET@a.test", "a.test/p?key=SECRET", "http://me:SECRET\\@a.test/",
		"http://me:SECRET@\xff/", "http://me:SECRET@\U0001f600/",
	} {
		_, err := Parse(raw)
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), "SECRET", raw)
		require.NotContains(t, err.Error(), `"me`, raw)
	}
}

func TestPlainAndFullParserAgree(t *testing.T) {
	for _, raw := range []string{
		"http://a.test", "http://a.test/", "https://a.test:8443/p/q?x=1&y=%20", "http://a.test?", "http://a.test/a(b)!*'?x",
		"http://1.2.3.4/x", "http://a_b.test:0/", "http://a.test//x", "http://a.test/x.y/z..",
	} {
		var plain, full url.URL
		require.True(t, parsePlain(&plain, raw), raw)
		require.NoError(t, parseFull(&full, raw))
		require.Equal(t, full, plain, raw)
	}
}

func TestEveryByteInEveryPart(t *testing.T) {
	for c := range 256 {
		for _, form := range []string{"http://a.test/x%sy", "http://a.test/?x%sy", "http://a.test/#x%sy", "http://u%sx@a.test/", "http://a%sx.test/"} {
			raw := strings.Replace(form, "%s", string([]byte{byte(c)}), 1)
			u, err := Parse(raw)
			if err != nil {
				continue
			}
			requireConsistent(t, u)
			if standard, err := url.Parse(raw); err == nil {
				require.Equal(t, strings.ToLower(standard.Hostname()), u.Hostname(), raw)
			}
		}
	}
}

func TestSchemeErrorText(t *testing.T) {
	require.Contains(t, (&SchemeError{}).Error(), "http://")
	require.Contains(t, (&SchemeError{Scheme: "f\x01tp"}).Error(), `"f\x01tp"`)
	require.Equal(t, "why", (&Error{Reason: "why"}).Error())
	require.False(t, errors.As(error(&Error{}), new(*SchemeError)))
}
