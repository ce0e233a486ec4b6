package parley_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestS036_cookiesOfARedirectBelongToWhoSetThem(t *testing.T) {
	t.Parallel()
	b := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	a := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return lines("HTTP/1.1 302 Found", "Location: http://b.test/", "Set-Cookie: a=1", "Set-Cookie: x=1; Domain=b.test", "Content-Length: 0")
	}))
	c := newSession(t, parley.WithDialer(wiretest.NewNames(map[string]string{"a.test:80": a.Addr(), "b.test:80": b.Addr()})))
	require.Empty(t, textOf(t, c, "http://a.test/"))
	require.NotContains(t, b.Text(), "Cookie")
	require.Equal(t, []string{"a=1 a.test/ host-only"}, inJar(c.Jar().(*parley.Jar)))
}

func TestS037_hostOnlySurvivesSaving(t *testing.T) {
	for name, format := range cookieFormats {
		jar := parley.NewJar()
		cookiesTo(t, jar, "http://example.test/", "host=1", "domain=1; Domain=example.test")
		path := filepath.Join(t.TempDir(), "jar")
		require.NoError(t, format.save(jar, path), name)
		again := parley.NewJar()
		require.NoError(t, format.load(again, path), name)
		for _, j := range []*parley.Jar{jar, again, again.Copy()} {
			require.Equal(t, "host=1; domain=1", cookiesTo(t, j, "http://example.test/"), name)
			require.Equal(t, "domain=1", cookiesTo(t, j, "http://sub.example.test/"), name)
		}
	}
}

func TestS038_domainsMatchAtALabel(t *testing.T) {
	jar := parley.NewJar()
	cookiesTo(t, jar, "http://ample.test/", "a=1; Domain=ample.test")
	cookiesTo(t, jar, "http://example.test/", "b=1; Domain=ample.test", "c=1; Domain=xample.test")
	require.Empty(t, cookiesTo(t, jar, "http://example.test/"))
	require.Equal(t, "a=1", cookiesTo(t, jar, "http://x.ample.test/"))
	require.Equal(t, 1, jar.Len())
}

func TestS039_noCookiesForPublicSuffixes(t *testing.T) {
	for _, domain := range []string{"co.uk", "CO.UK", "co.uk.", ".co.uk", "com", "uk", "Co.Uk.", ".UK"} {
		for _, host := range []string{"evil.co.uk", "evil.co.uk.", "EVIL.CO.UK", "a.evil.co.uk", "co.uk", "co.uk."} {
			jar := parley.NewJar()
			cookiesTo(t, jar, "http://"+host+"/", "a=1; Domain="+domain)
			jar.SetCookies(&url.URL{Scheme: "http", Host: host}, []*http.Cookie{{Name: "b", Value: "1", Domain: domain}})
			for _, good := range []string{"good.co.uk", "good.co.uk.", "x.good.co.uk"} {
				require.Empty(t, cookiesTo(t, jar, "http://"+good+"/"), "%s from %s", domain, host)
			}
			itself := strings.EqualFold(strings.Trim(domain, "."), strings.Trim(host, "."))
			require.Equal(t, itself, cookiesTo(t, jar, "http://co.uk/") == "a=1; b=1", "%s from %s", domain, host)
			for c := range jar.All() {
				require.True(t, c.HostOnly, "%s from %s", domain, host)
			}
		}
	}
}

func TestS040_addressesAreNoDomains(t *testing.T) {
	jar := parley.NewJar()
	for i, domain := range []string{"0.0.1", ".0.0.1", "1", "127.0.0.1", ".127.0.0.1"} {
		cookiesTo(t, jar, "http://127.0.0.1/", fmt.Sprintf("c%d=1; Domain=%s", i, domain))
	}
	for i, domain := range []string{":1", "[::1]", "::1", "[::2]", "1"} {
		cookiesTo(t, jar, "http://[::1]/", fmt.Sprintf("c%d=1; Domain=%s", i, domain))
	}
	for _, other := range []string{"127.0.0.2", "10.0.0.1", "1.127.0.0.1.test", "[::2]", "[1::1]"} {
		require.Empty(t, cookiesTo(t, jar, "http://"+other+"/"), other)
	}
	require.Equal(t, "c3=1; c4=1", cookiesTo(t, jar, "http://127.0.0.1:8080/"))
	require.Equal(t, "c1=1; c2=1", cookiesTo(t, jar, "https://[0:0::1]/"))
	for c := range jar.All() {
		require.True(t, c.HostOnly)
	}
}

func TestS041_oddDomainsAndURLs(t *testing.T) {
	for _, domain := range []string{".", "..", "", " ", "\t", "..."} {
		jar := parley.NewJar()
		cookiesTo(t, jar, "http://a.test/", "a=1; Domain="+domain)
		require.Equal(t, []string{"a=1 a.test/ host-only"}, inJar(jar), "%q", domain)
		require.Empty(t, cookiesTo(t, jar, "http://b.test/"), "%q", domain)
		require.Empty(t, cookiesTo(t, jar, "http://x.a.test/"), "%q", domain)
	}
	jar := parley.NewJar()
	for _, domain := range []string{"%2e", "..a.test", "a..test", "a.test:80", "http://a.test", "*.a.test", "a.test/", "\xff", "a\u3002test"} {
		cookiesTo(t, jar, "http://a.test/", "a=1; Domain="+domain)
		require.Empty(t, inJar(jar), "%q", domain)
	}
	cookiesTo(t, jar, "http://a.test/", "a=1")
	for _, u := range []*url.URL{
		nil, {}, mustURL(t, "http:///x"), mustURL(t, "file:///x"), {Scheme: "http", Host: ":80"}, {Scheme: "http", Host: "."}, {Scheme: "http", Host: "[", Opaque: "x"},
		{Scheme: "http", Host: "a.test\x00"}, {Scheme: "http", Host: strings.Repeat("a.", 200)}, {Host: "a.test"},
	} {
		require.Empty(t, jar.Cookies(u), "%v", u)
		jar.SetCookies(u, []*http.Cookie{{Name: "b", Value: "1"}})
		require.ErrorIs(t, jar.Set(u, &http.Cookie{Name: "b", Value: "1"}), parley.ErrInvalidCookie)
	}
	require.Equal(t, 1, jar.Len())
}

func TestS042_pathsMatchAtASegment(t *testing.T) {
	jar := parley.NewJar()
	cookiesTo(t, jar, "http://a.test/", "a=1; Path=/any")
	for path, want := range map[string]string{"/any": "a=1", "/any/": "a=1", "/any/x": "a=1", "/any?q": "a=1", "/anybad/": "", "/an": "", "/Any": "", "/": ""} {
		require.Equal(t, want, cookiesTo(t, jar, "http://a.test"+path), path)
	}
}

func TestS043_secureStaysSecure(t *testing.T) {
	for _, line := range []string{"a=1;\tSecure", "a=1; \tSecure\t;x", "a=1;secure", "a=1; SECURE =x"} {
		jar := parley.NewJar()
		cookiesTo(t, jar, "https://a.test/", line)
		require.Empty(t, cookiesTo(t, jar, "http://a.test/", "a=2", "a=3; Domain=a.test", "a=; Max-Age=0"), line)
		require.Equal(t, "a=1", cookiesTo(t, jar, "https://a.test/"), line)
		require.Empty(t, cookiesTo(t, jar, "http://a.test/", "a=2; Secure"), line)
		require.Equal(t, 1, jar.Len(), line)
	}
}

func TestS044_prefixesHoldForTheNameAsItCame(t *testing.T) {
	jar := parley.NewJar()
	cookiesTo(t, jar, "https://x.test/p", "%5f_Host-a=1; Path=/p")
	require.Equal(t, []string{"%5f_Host-a=1 x.test/p host-only"}, inJar(jar))
	jar.Clear()
	cookiesTo(t, jar, "https://x.test/p", "__Host-a=1; Secure; Domain=x.test; Path=/", "__Host-a=1; Path=/p; Secure", "__Host-a=1; Secure", "__host-a=1; Path=/",
		"__Secure-a=1", "=__Host-a=1", "__Host-a; Secure")
	cookiesTo(t, jar, "http://x.test/", "__Secure-a=1", "__Secure-a=1; Secure", "__Host-a=1; Secure; Path=/")
	require.Empty(t, inJar(jar))
}

func TestS045_nothingIsDecoded(t *testing.T) {
	jar := parley.NewJar()
	cookiesTo(t, jar, "http://a.test/", "a=%0d%0aX:1; SameSite=NoneOfYourBusiness; Odd=\"x\"")
	require.Equal(t, "a=%0d%0aX:1", cookiesTo(t, jar, "http://a.test/"))
	c, err := jar.Get("a", "", "")
	require.NoError(t, err)
	require.Equal(t, "%0d%0aX:1", c.Value)
	require.Zero(t, c.SameSite)
}

func TestS046_controlBytesAreRefused(t *testing.T) {
	t.Parallel()
	jar := parley.NewJar()
	for b := range 256 {
		if c := string([]byte{byte(b)}); b < ' ' && b != '\t' || b == 0x7f {
			cookiesTo(t, jar, "http://a.test/", "a=x"+c+"y", "a"+c+"=1", "a=1; Path=/"+c, "a=1; X"+c, "a=1;"+c, c+"a=1")
			require.Zero(t, jar.Len(), "%#x", b)
			require.ErrorIs(t, jar.Set(mustURL(t, "http://a.test"), &http.Cookie{Name: "a", Value: "x" + c}), parley.ErrInvalidCookie)
		}
	}
	for _, c := range []*http.Cookie{{Name: "v", Value: "1\r\nX: 1"}, {Name: "v", Value: "1;b=2"}, {Name: "v;", Value: "1"}, {Name: "v,", Value: "1"}} {
		require.ErrorIs(t, jar.Set(mustURL(t, "http://a.test"), c), parley.ErrInvalidCookie)
		_, err := parley.NewRequest("GET", "http://a.test", parley.WithCookie(c.Name, c.Value))
		require.ErrorIs(t, err, parley.ErrInvalidHeader)
	}
	require.Zero(t, jar.Len())

	// On the wire such a line makes the whole answer invalid, so that the jar never sees it.
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return answer("", "Set-Cookie: c=ok", "Set-Cookie: a=x\x01y", "Set-Cookie: b=\x7f")
	}))
	c := sessionTo(t, s, parley.WithJar(jar))
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, parley.ErrRemoteProtocol)
	cookiesTo(t, jar, "http://a.test/", "a=x\x01y", "b=\x7f", "c=ok")
	require.Equal(t, "c=ok", cookiesTo(t, jar, "http://a.test/"))
	require.Equal(t, 1, jar.Len())
}

func TestS047_serversCannotFillTheJar(t *testing.T) {
	t.Parallel()
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("c%d=1", i)
	}
	jar := parley.NewJar()
	cookiesTo(t, jar, "http://many.test/", many...)
	require.Equal(t, parley.DefaultCookiesPerResponse, jar.Len())
	for i := range 200 {
		cookiesTo(t, jar, "http://a.example.test/", fmt.Sprintf("c%03d=%s; Domain=example.test", i, strings.Repeat("x", 4000)))
	}
	require.Equal(t, parley.DefaultCookiesPerResponse+parley.DefaultCookiesPerDomain, jar.Len())
	for _, name := range []string{"c001", "c020"} { // c000 was sent all the time
		_, err := jar.Get(name, "example.test", "")
		require.ErrorIs(t, err, parley.ErrNoCookie, "those not used for longest are gone")
	}
	cookiesTo(t, jar, "http://a.example.test/", "big="+strings.Repeat("x", 4094))
	_, err := jar.Get("big", "", "")
	require.ErrorIs(t, err, parley.ErrNoCookie)
	sent := cookiesTo(t, jar, "http://b.example.test/")
	require.NotEmpty(t, sent)
	require.LessOrEqual(t, len(sent), parley.DefaultCookieHeaderBytes)
	req, err := parley.NewRequest("GET", "http://b.example.test/", parley.WithCookie("own", strings.Repeat("y", 6000)))
	require.NoError(t, err)
	require.LessOrEqual(t, len(cookiesWith(t, jar, req)), parley.DefaultCookieHeaderBytes, "with the request's own cookies")

	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := newSession(t, parley.WithJar(jar), parley.WithDialer(wiretest.NewNames(map[string]string{"b.example.test:80": s.Addr()})))
	require.Equal(t, sent, textOf(t, c, "http://b.example.test/"))
}

func TestS048_hostileDatesAndAges(t *testing.T) {
	const day = 24 * time.Hour
	for line, ends := range map[string]time.Duration{
		"Max-Age=9223372036854775807": 400 * day, "Max-Age=99999999999999999999999": 400 * day, "Max-Age=1" + strings.Repeat("0", 1000): 400 * day,
		"Max-Age=-9223372036854775808": 0, "Max-Age=-99999999999999999999999": 0, "Max-Age=0": 0,
		"Expires=Fri, 31 Dec 9999 23:59:59 GMT": 400 * day, "Expires=Mon, 01 Jan 1601 00:00:00 GMT": 0,
		"Expires=" + strings.Repeat(" 1", 32<<10): -1, "Expires=" + strings.Repeat("1", 64<<10): -1, "Expires=" + strings.Repeat("1:", 32<<10): -1,
		"Max-Age=" + strings.Repeat("9", 64<<10): -1, // longer than an attribute may be: as if it were not there
	} {
		jar := parley.NewJar()
		began := time.Now()
		cookiesTo(t, jar, "http://a.test/", "a=1; "+line)
		require.Less(t, time.Since(began), time.Second)
		if ends == 0 {
			require.Zero(t, jar.Len(), "%.40s", line)
			continue
		}
		c, err := jar.Get("a", "", "")
		require.NoError(t, err, "%.40s", line)
		if ends < 0 {
			require.True(t, c.Expires.IsZero(), "%.40s", line)
			continue
		}
		require.WithinDuration(t, began.Add(ends), c.Expires, time.Minute, "%.40s", line)
	}
}

func TestS049_parsingIsLinear(t *testing.T) {
	jar := parley.NewJar()
	cost := func(line string) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			cookiesTo(t, jar, "http://a.test/", line)
			best = min(best, time.Since(began))
		}
		return best
	}
	for name, line := range map[string]func(n int) string{
		"semicolons":    func(n int) string { return "a=1" + strings.Repeat(";", n) },
		"backslashes":   func(n int) string { return `a="` + strings.Repeat(`\`, n) + `"` },
		"pairs":         func(n int) string { return strings.Repeat("a=", n/2) },
		"attributes":    func(n int) string { return "a=1" + strings.Repeat(";Path=/", n/7) },
		"dates":         func(n int) string { return "a=1" + strings.Repeat(";Expires=1 Jan 2030 0:0:0", n/25) },
		"spaces":        func(n int) string { return strings.Repeat(" \t", n/2) + "a=1" },
		"quoted values": func(n int) string { return "a=" + strings.Repeat(`"`, n) },
	} {
		small, large := cost(line(16<<10)), cost(line(64<<10))
		require.Less(t, large, 10*4*small+10*time.Millisecond, name)
	}
	cookiesTo(t, jar, "http://b.test/", "(.*)+$=1")
	c, err := jar.Get("(.*)+$", "b.test", "")
	require.NoError(t, err)
	require.Equal(t, "1", c.Value)
	_, err = jar.Get("xx$", "", "")
	require.ErrorIs(t, err, parley.ErrNoCookie)
}

func TestS050_filesLoseNothing(t *testing.T) {
	printable := ""
	for c := ' '; c <= '~'; c++ {
		if c != ';' {
			printable += string(c)
		}
	}
	dir := t.TempDir()
	for name, format := range cookieFormats {
		path := filepath.Join(dir, name)
		jar := parley.NewJar()
		cookiesTo(t, jar, "https://a.test/", "largest="+strings.Repeat("x", 4096-len("largest")), "printable=x"+printable+"x", "tab=1\t2")
		require.NoError(t, format.save(jar, path))
		again := parley.NewJar()
		require.NoError(t, format.load(again, path))
		require.Equal(t, inJar(jar), inJar(again), name)
		require.Equal(t, 2, again.Len(), "what a file cannot hold is not taken")
	}

	long := "a.test\tFALSE\t/\tFALSE\t0\tlong\t" + strings.Repeat("x", 1<<20) + "\n"
	text := "a.test\tFALSE\t/\tFALSE\t0\tone\t1\nbroken\n" + long + "a.test\tFALSE\t/\tFALSE\t0\ttwo\t2\n"
	path := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	jar := parley.NewJar()
	err := jar.LoadNetscape(path)
	require.ErrorIs(t, err, parley.ErrInvalidCookie)
	require.ErrorContains(t, err, "line 2: ")
	require.ErrorContains(t, err, "line 3: ")
	require.Equal(t, "one=1; two=2", cookiesTo(t, jar, "http://a.test/"))

	for name, format := range cookieFormats {
		damaged := filepath.Join(dir, "damaged")
		require.NoError(t, os.WriteFile(damaged, []byte("{\"version\":1,\n\"cookies\":["), 0o600))
		require.ErrorIs(t, format.load(jar, damaged), parley.ErrCookieFile, name)
		require.ErrorIs(t, format.save(jar, damaged), parley.ErrCookieFile, name)
		kept, err := os.ReadFile(damaged)
		require.NoError(t, err)
		require.Equal(t, "{\"version\":1,\n\"cookies\":[", string(kept), name)
		require.NoError(t, os.Rename(damaged, damaged+".old"))
		require.NoError(t, format.save(jar, damaged), name)
		require.NoError(t, format.load(jar, damaged), name)
	}
	require.Error(t, jar.Save(""))
	_, err = os.Stat("none")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestS051_loadedRecordsAreCheckedAsIfAServerHadSetThem(t *testing.T) {
	jar := parley.NewJar()
	netscape := []string{
		".com\tTRUE\t/\tFALSE\t0\ta\t1", ".co.uk\tTRUE\t/\tFALSE\t0\ta\t1", "com\tTRUE\t/\tFALSE\t0\ta\t1", "a.test\tFALSE\t/\tFALSE\t0\ta\t1\r2",
		"a.test\tFALSE\t/\tFALSE\t0\t__Secure-a\t1", "10.0.0.1\tTRUE\t/\tFALSE\t0\ta\t1", "a.test\tFALSE\tx\tFALSE\t0\ta\t1", "\tTRUE\t/\tFALSE\t0\ta\t1",
	}
	for _, line := range netscape {
		require.ErrorIs(t, jar.ReadNetscape(strings.NewReader(line+"\n")), parley.ErrInvalidCookie, "%q", line)
	}
	for _, record := range []string{
		`{"domain":"com","subdomains":true,"path":"/","name":"a","value":"1"}`, `{"domain":"a.test","path":"/","name":"a","value":"1\r\nX: 1"}`,
		`{"domain":"a.test","path":"/","name":"a\r\n","value":"1"}`, `{"domain":"a.test","path":"/\r\n","name":"a","value":"1"}`,
	} {
		require.ErrorIs(t, jar.ReadJSON(strings.NewReader(`{"cookies":[`+record+`]}`)), parley.ErrInvalidCookie, record)
	}
	require.Zero(t, jar.Len())
	// A lifetime counts from now, whatever the file says.
	require.NoError(t, jar.ReadNetscape(strings.NewReader("a.test\tFALSE\t/\tFALSE\t99999999999\ta\t1\n")))
	c := slices.Collect(jar.All())[0]
	require.WithinDuration(t, time.Now().Add(400*24*time.Hour), c.Expires, time.Minute)
}

func TestS052_theRequestsOwnCookieWins(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(cookieEcho))
	c := sessionTo(t, s)
	textOf(t, c, "200?sid=user1;path=/")
	require.Equal(t, "sid=user2", textOf(t, c, "x", parley.WithCookie("sid", "user2")))
	require.Equal(t, "sid=user2", textOf(t, c, "x", parley.WithHeader("Cookie", "sid=user2")))
	require.Equal(t, "sid=user1", textOf(t, c, "x"))
	require.Equal(t, "sid=user2", textOf(t, c, "200?sid=user3;path=/", parley.WithCookie("sid", "user2")))
	require.Equal(t, "sid=user3", textOf(t, c, "x"), "answers change the jar alone")
}

// The Host header says nothing about cookies (see also S017).
func TestCookies_areChosenByTheURL(t *testing.T) {
	jar := parley.NewJar()
	cookiesTo(t, jar, "http://trusted.test/", "a=1")
	req, err := parley.NewRequest("GET", "http://a.test/", parley.WithHost("trusted.test"))
	require.NoError(t, err)
	require.Empty(t, cookiesWith(t, jar, req, "b=2"))
	require.Equal(t, []string{"b=2 a.test/ host-only", "a=1 trusted.test/ host-only"}, inJar(jar))
}
