package urls

import (
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS014_UserInformationStaysWithItsAuthority(t *testing.T) {
	base, err := Parse("http://u:SECRET@a.test/x")
	require.NoError(t, err)
	for _, ref := range []string{"//b.test/y", "http://b.test/y", "//a.test/y", "http://a.test/y"} {
		got, err := Resolve(base, ref)
		require.NoError(t, err, ref)
		require.Nil(t, got.User, ref)
		require.NotContains(t, got.String(), "SECRET", ref)
	}
	for _, ref := range []string{"https:/y", "https:y", "https:///y"} {
		_, err := Resolve(base, ref)
		require.Error(t, err, ref)
		require.NotContains(t, err.Error(), "SECRET", ref)
	}
	got, err := Resolve(base, "/y")
	require.NoError(t, err)
	require.Equal(t, "http://u:SECRET@a.test/y", got.String())
}

func TestS056_NoControlByteReachesTheTarget(t *testing.T) {
	const attack = "a b\r\nX: 1\x00#\t\x7f"
	b := newBase(t, "http://a.test/v1")
	base := b.URL()
	for _, raw := range []string{"/" + attack, "/?q=" + attack, "/#" + attack} {
		_, err := Parse("http://a.test" + raw)
		require.ErrorAs(t, err, new(*Error), "in a URL")
		_, err = b.JoinInto(new(url.URL), raw)
		require.ErrorAs(t, err, new(*Error), "in a reference")
		_, err = Resolve(base, raw)
		require.ErrorAs(t, err, new(*Error), "in a redirect")
	}

	ref, _, err := Expand("/{p}", []Param{{"p", attack}})
	require.NoError(t, err)
	ref += "?" + AppendQuery("", []Param{{attack, attack}}, Plus)
	var u url.URL
	_, err = b.JoinInto(&u, ref)
	require.NoError(t, err)
	requireTargetBytes(t, Target(&u))
	require.Equal(t, "/v1/"+attack, u.Path)
	require.Equal(t, []string{attack}, u.Query()[attack])
	requireConsistent(t, &u)

	kept, err := Parse("http://a.test/%00%0d%0a?%00%0d%0a")
	require.NoError(t, err)
	require.Equal(t, "/%00%0d%0a?%00%0d%0a", Target(kept), "encoded octets stay encoded")

	require.Equal(t, "/%0D%0A?%0D%0A", Target(&url.URL{Path: "/\r\n", RawQuery: "\r\n"}), "a URL changed by hand")
}

func TestS057_RunesAreNeverCut(t *testing.T) {
	const wide = "\u010d\u010a\u0120"
	u, err := Parse("http://a.test/" + wide + "?" + wide)
	require.NoError(t, err)
	require.Equal(t, "/%C4%8D%C4%8A%C4%A0?%C4%8D%C4%8A%C4%A0", Target(u))
	require.Equal(t, "%C4%8D%C4%8A%C4%A0=", AppendQuery("", []Param{{wide, ""}}, Plus))
	require.Equal(t, "/%C4%8D%C4%8A%C4%A0", Target(&url.URL{Path: "/" + wide}))
}

// The bound of each step is far above what linear work costs and far below what
// quadratic work would.
func TestS096_LongURLsCostLinearTime(t *testing.T) {
	var query strings.Builder
	for i := range 30000 {
		query.WriteString("&" + strconv.FormatInt(int64(i), 36))
	}
	ampersands := strings.Repeat("&", 30000)
	for name, tail := range map[string]string{
		"at signs":             strings.Repeat("@", 50000),
		"at signs in a path":   "/" + strings.Repeat("@", 50000),
		"encoded dots":         "/" + strings.Repeat("%2e", 20000),
		"too many escapes":     "/" + strings.Repeat("%2e", 50000),
		"encoded dot segments": "/" + strings.Repeat("%2e%2e/", 9000),
		"climbing":             "/" + strings.Repeat("../", 20000),
		"descending, climbing": "/" + strings.Repeat("a/", 12000) + strings.Repeat("../", 12000),
		"too much climbing":    "/" + strings.Repeat("../", 50000),
		"stray percent signs":  "/" + strings.Repeat("%", 20000),
		"parameters":           "/?" + query.String()[1:],
		"empty parameters":     "/?" + ampersands,
		"slashes":              "/x" + strings.Repeat("/", 60000),
		"braces":               "/" + strings.Repeat("{", 60000),
		"a long host":          strings.Repeat("a", 100000),
		"a long dotted host":   strings.Repeat("a.", 30000),
		"a long foreign host":  strings.Repeat("é", 30000),
		"a foreign label":      strings.Repeat("\u0300", 500),
		"long punycode":        strings.Repeat("xn--", 15000),
		"a long address":       "[" + strings.Repeat(":", 60000) + "]",
		"a long port":          "a:" + strings.Repeat("0", 60000),
		"a long user":          strings.Repeat("%41:", 15000) + "@a",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBase(t, "http://a.test/v1?"+strings.TrimPrefix(query.String(), "&")[:30000])
			base := b.URL()
			start := time.Now()
			var u url.URL
			for _, raw := range []string{"http://a.test" + tail, "http://" + tail} {
				if ParseInto(&u, raw) == nil {
					_ = HasKey(u.RawQuery, "zzzzz")
					_ = RemoveKeys(u.RawQuery, "a", "b")
					_ = AppendQuery(u.RawQuery, params("a=1"), Plus)
				}
				_, _ = Resolve(base, raw)
				_, _ = b.JoinInto(&u, raw)
			}
			_, _ = Resolve(base, tail)
			_, _ = b.JoinInto(&u, tail)
			_, _, _ = Expand(tail, params("a=1"))
			_, _ = CanonicalHost(tail)
			require.Less(t, time.Since(start), 2*time.Second)
		})
	}
}

func TestS122_OneViewOfTheAuthority(t *testing.T) {
	for raw, host := range map[string]string{
		"http://a.test#@evil.test/":     "a.test",
		"http://a.test?@evil.test/":     "a.test",
		"http://a.test/@evil.test/":     "a.test",
		`http://a.test\@evil.test/`:     "",
		"http://a.test;@evil.test/":     "evil.test", // RFC 3986: user 'a.test;'
		"http://a.test:80@evil.test/":   "evil.test", // user 'a.test', password '80'
		"http://a.test:81@evil.test/":   "evil.test",
		"http://a.test!@evil.test/":     "evil.test",
		"http://u@a.test@evil.test/":    "",
		"http://u:p@x@evil.test/":       "",
		"http://a.test:80:90/":          "",
		"http:///evil.test":             "",
		"http:evil.test":                "",
		"http:/evil.test":               "",
		"http://a.test:81.evil.test/":   "",
		"http://a.test:81#@evil.test/":  "a.test:81",
		"http://a.test:81?@evil.test/":  "a.test:81",
		"http://a.test%23@evil.test/":   "evil.test",
		"http://a.test &@evil.test/":    "",
		"http://a.test\t@evil.test/":    "",
		"http://a.test%@evil.test/":     "",
		"http://a.test\u00a0@evil.test": "",
	} {
		u, err := Parse(raw)
		if host == "" {
			require.ErrorAs(t, err, new(*Error), raw)
			continue
		}
		require.NoError(t, err, raw)
		require.Equal(t, host, u.Host, raw)
		requireConsistent(t, u)
	}
}

func TestS123_NoPercentEncodingInHosts(t *testing.T) {
	for _, raw := range []string{
		"http://a.test%2F10.0.0.1/", "http://%61.test/", "http://127%2E0.0.1/", "http://a%00b/", "http://a.test%40evil.test/",
		"http://[::1%2541%41]/", "http://[%3A:1]/", "http://a.test%/", "http://%C3%A9.test/",
	} {
		_, err := Parse(raw)
		require.ErrorAs(t, err, new(*Error), raw)
	}
	u, err := Parse("http://[fe80::1%25eth0]/")
	require.NoError(t, err)
	require.Equal(t, "fe80::1%eth0", u.Hostname())
}

func TestS124_InternationalHostsHaveOneForm(t *testing.T) {
	for raw, host := range map[string]string{
		"http://a.test\uFF03@evil.test/":    "",
		"http://a.test\uFF0Fevil.test/":     "",
		"http://a.test\uFF1A80/":            "",
		"http://a.test\uFF20evil.test/":     "",
		"http://a\u2100b.test/":             "",
		"http://a\u2488.test/":              "",
		"http://stra\u00dfe.test/":          "xn--strae-oqa.test",
		"http://xn--strae-oqa.test/":        "xn--strae-oqa.test",
		"http://XN--STRAE-OQA.test/":        "xn--strae-oqa.test",
		"http://xn--a-.test/":               "",
		"http://xn--example-.com/":          "",
		"http://xn--.test/":                 "",
		"http://a\u3002test/":               "a.test",
		"http://\uff41.test/":               "a.test",
		"http://a\u00ad.test/":              "a.test",
		"http://xn--n3h.test/":              "", // a symbol
		"http://\uff11\uff12\uff17.1/":      "",
		"http://xn\u2010-strae-oqa.test/":   "",
		"http://\uff58n--example-.com/":     "",
		"http://\u212aelvin.test/":          "kelvin.test",
		"http://\uff11\uff10.0.0.1:81/x?y#": "10.0.0.1:81",
	} {
		u, err := Parse(raw)
		if host == "" {
			require.ErrorAs(t, err, new(*Error), "%+q", raw)
			continue
		}
		require.NoError(t, err, "%+q", raw)
		require.Equal(t, host, u.Host, "%+q", raw)
		require.Equal(t, host, HostHeader(u))
		require.True(t, strings.HasPrefix(HostPort(u), host))
		requireConsistent(t, u)
	}
}

func TestS125_BracketsHoldIPv6Only(t *testing.T) {
	for _, raw := range []string{
		"http://[a.test]/", "http://[127.0.0.1]/", "http://[::1]a.test/", "http://a[::1]/", "http://[::1]:99999/", "http://::1/",
		"http://[]/", "http://[::1/", "http://::1]/", "http://[[::1]]/", "http://[::1][::2]/", "http://[::1]:/x:", "http://[v1.a]/",
		"http://[::1]80/", "http://[::1%25]/", "http://[::1]:8080:1/", "http://[::1.2.3]/", "http://[::ffff:1.2.3.4:80]/",
	} {
		u, err := Parse(raw)
		if raw == "http://[::1]:/x:" { // an empty port is one (RFC 3986, section 3.2.3)
			require.NoError(t, err)
			require.Equal(t, "[::1]", u.Host)
			continue
		}
		require.ErrorAs(t, err, new(*Error), raw)
	}
}

func TestS126_NothingIsStripped(t *testing.T) {
	for _, raw := range []string{
		"\x01http://a.test", " http://a.test", "http://a.test ", "\thttp://a.test", "http://a.test\n", "ht\ntp://a.test",
		"http://a.te\tst/", "http:/\t/a.test/", "http://a.test/\r", "\ufeffhttp://a.test/", "\u00a0http://a.test/",
	} {
		_, err := Parse(raw)
		require.ErrorAs(t, err, new(*Error), "%q", raw)
	}
	base, err := Parse("http://a.test/")
	require.NoError(t, err)
	got, err := Resolve(base, "  \thttp://b.test/  ")
	require.NoError(t, err)
	require.Equal(t, "http://b.test/", got.String())
	_, err = Resolve(base, "\nhttp://b.test/")
	require.ErrorAs(t, err, new(*Error))
}

func TestS127_PoliciesSeeTheCanonicalHost(t *testing.T) {
	for raw, hostPort := range map[string]string{
		"http://A.TEST./":              "a.test:80",
		"http://a.test:080/":           "a.test:80",
		"http://a.test:/":              "a.test:80",
		"HTTP://a.test:00000000000080": "a.test:80",
		"http://0x7f.1/":               "",
		"http://0X7F000001/":           "",
		"http://2130706433/":           "",
		"http://127.1/":                "",
		"http://127.0.0.1./":           "127.0.0.1:80",
		"http://017700000001/":         "",
		"http://127.0.0.01/":           "",
		"http://[0:0::1]/":             "[::1]:80",
	} {
		u, err := Parse(raw)
		if hostPort == "" {
			require.ErrorAs(t, err, new(*Error), raw)
			continue
		}
		require.NoError(t, err, raw)
		require.Equal(t, hostPort, HostPort(u), raw)
	}
}

func TestS128_ReferencesCannotReplaceTheHostUnseen(t *testing.T) {
	b := newBase(t, "http://a.test/v1/?key=SECRET")
	var u url.URL
	same, err := b.JoinInto(&u, "http://evil.test/")
	require.NoError(t, err)
	require.False(t, same, "the caller keeps the session's values back")
	require.Equal(t, "http://evil.test/", u.String(), "the base's parameters stay behind")

	for _, ref := range []string{"//evil.test/x", `\\evil.test`, `/\evil.test`, "///evil.test", `\/evil.test`, "\t//evil.test", " //evil.test"} {
		_, err := b.JoinInto(&u, ref)
		require.ErrorAs(t, err, new(*Error), ref)
	}
	for ref, want := range map[string]string{
		"?x":            "http://a.test/v1/?key=SECRET&x",
		"#x":            "http://a.test/v1/?key=SECRET#x",
		"a/b":           "http://a.test/v1/a/b?key=SECRET",
		".//evil.test":  "http://a.test/v1//evil.test?key=SECRET",
		"x/..//evil":    "http://a.test/v1//evil?key=SECRET",
		"@evil.test":    "http://a.test/v1/@evil.test?key=SECRET",
		".evil.test":    "http://a.test/v1/.evil.test?key=SECRET",
		"%2f%2fevil":    "http://a.test/v1/%2f%2fevil?key=SECRET",
		"/./\\evil":     "http://a.test/v1/%5Cevil?key=SECRET",
		"./http://evil": "http://a.test/v1/http://evil?key=SECRET",
	} {
		same, err := b.JoinInto(&u, ref)
		require.NoError(t, err, ref)
		require.True(t, same, ref)
		require.Equal(t, want, u.String(), ref)
		requireConsistent(t, &u)
	}

	ref, used, err := Expand("{p}", []Param{{"p", "..//evil.test"}})
	require.NoError(t, err)
	require.Equal(t, []string{"p"}, used)
	_, err = b.JoinInto(&u, ref)
	require.NoError(t, err)
	require.Equal(t, "http://a.test/v1/..%2F%2Fevil.test?key=SECRET", u.String())

	root := newBase(t, "http://a.test")
	_, err = root.JoinInto(&u, ".//evil.test/x")
	require.NoError(t, err)
	require.Equal(t, "a.test", u.Host)
	requireConsistent(t, &u)
}

func TestS129_JoiningStaysBelowTheBase(t *testing.T) {
	b := newBase(t, "http://a.test/v1")
	for _, ref := range []string{"../x", "%2e%2e/x", "./..//x", "x/../../y", ".%2e", "/..", "/%2E./x", "..?q", "..#f", "a//../../../x"} {
		_, err := b.JoinInto(new(url.URL), ref)
		require.ErrorAs(t, err, new(*Error), ref)
	}
	byHand := &url.URL{Scheme: "http", Host: "a.test", Path: "//evil.test/x"}
	again, err := Parse(byHand.String())
	require.NoError(t, err)
	require.Equal(t, "a.test", again.Host)
	require.Equal(t, "//evil.test/x", again.Path)
}

func TestS130_CredentialsCannotBecomeTheHost(t *testing.T) {
	const name, password = "u@x", "p@evil.test:80/#?%"
	raw := (&url.URL{Scheme: "http", User: url.UserPassword(name, password), Host: "a.test"}).String()
	u, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, "a.test:80", HostPort(u))
	require.Equal(t, name, u.User.Username())
	got, _ := u.User.Password()
	require.Equal(t, password, got)
	require.NotContains(t, Redacted(u), "evil")
	require.Equal(t, "/", Target(u))
	requireConsistent(t, u)

	_, err = Parse("http://" + name + ":" + password + "@a.test/")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "evil")
}

func TestS131_HostsAreCheckedBeforeUse(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, host := range []string{"a\x00b.test", label + "a", strings.Repeat(label+".", 3) + label[:62], "a..b", ""} {
		_, err := CanonicalHost(host)
		require.ErrorAs(t, err, new(*Error), "%q", host)
		_, err = Parse("http://" + host + "/")
		require.ErrorAs(t, err, new(*Error), "%q", host)
		_, err = NewBase(&url.URL{Scheme: "http", Host: host, Path: "/"})
		require.Error(t, err, "%q", host)
	}
}

func TestS133_UnknownSchemesLeaveNothingBehind(t *testing.T) {
	base, err := Parse("http://a.test/")
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept error
	for i := range 100000 {
		_, kept = Resolve(base, "s"+strconv.Itoa(i)+"://b.test/")
		if kept == nil {
			t.Fatal("an unknown scheme was accepted")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.ErrorAs(t, kept, new(*SchemeError))
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20))
}

func TestS134_RedirectsToOtherSchemesAreTold(t *testing.T) {
	base, err := Parse("https://a.test/")
	require.NoError(t, err)
	for _, ref := range []string{
		"file:///etc/passwd", "ftp://b", "unix:/run/x.sock:/y", "http+unix://%2Frun%2Fx/y", "data:,x", "javascript:1", "gopher://",
	} {
		_, err := Resolve(base, ref)
		require.ErrorAs(t, err, new(*SchemeError), ref)
	}
	got, err := Resolve(base, "//b.test")
	require.NoError(t, err)
	require.Equal(t, "https://b.test/", got.String())
}
