package cookies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStore plays lines of "host/path Set-Cookie-line" with the URL in front, and looks
// at what requests bear afterwards.
func TestStore(t *testing.T) {
	type step struct {
		url, line string
		err       error
	}
	type want map[string]string
	for name, test := range map[string]struct {
		steps []step
		want  want
	}{
		"without Domain for the host only": {[]step{{"http://a.test/", "a=1", nil}},
			want{"http://a.test/": "a=1", "https://a.test:8/x": "a=1", "http://x.a.test/": "", "http://test/": ""}},
		"with Domain for the names below it": {[]step{{"http://x.a.test/", "a=1; Domain=.A.Test.", nil}},
			want{"http://a.test/": "a=1", "http://x.a.test/": "a=1", "http://y.a.test/": "a=1", "http://ba.test/": ""}},
		"Domain below the host": {[]step{{"http://a.test/", "a=1; Domain=x.a.test", errForeign}}, want{"http://x.a.test/": ""}},
		"Domain of another":     {[]step{{"http://a.test/", "a=1; Domain=b.test", errForeign}}, want{"http://b.test/": ""}},
		"Domain that is a public suffix": {[]step{{"http://a.co.uk/", "a=1; Domain=co.uk", errPublic}, {"http://a.co.uk/", "a=1; Domain=uk", errPublic}},
			want{"http://b.co.uk/": "", "http://a.co.uk/": ""}},
		"Domain of a host that is a public suffix": {[]step{{"http://co.uk/", "a=1; Domain=CO.UK.", nil}},
			want{"http://co.uk/": "a=1", "http://a.co.uk/": ""}},
		"Domain between public suffixes": {[]step{{"http://x.a.compute.amazonaws.com/", "a=1; Domain=amazonaws.com", errPublic}},
			want{"http://b.amazonaws.com/": "", "http://x.a.compute.amazonaws.com/": ""}},
		"Domain beyond ASCII": {[]step{{"http://xn--bcher-kva.test/", "a=1; Domain=b\u00fccher.test", errBadDomain}}, want{"http://xn--bcher-kva.test/": ""}},
		"Domain that is no host": {[]step{{"http://a.test/", "a=1; Domain=..a.test", errBadDomain}, {"http://a.test/", "a=1; Domain=a.test:80", errBadDomain}},
			want{"http://a.test/": ""}},
		"an address": {[]step{{"http://10.0.0.1/", "a=1; Domain=10.0.0.1", nil}, {"http://10.0.0.1/", "b=1; Domain=0.0.1", errBadDomain}, {"http://10.0.0.1/", "b=1; Domain=10.0.0.2", errForeign}, {"http://[::1]/", "c=1; Domain=[::1]", nil}},
			want{"http://10.0.0.1/": "a=1", "http://1.10.0.0.1.test/": "", "http://[::1]/": "c=1"}},
		"paths": {[]step{{"http://a.test/x/y", "a=1", nil}, {"http://a.test/x/y", "b=1; Path=/", nil}, {"http://a.test/x/y", "c=1; Path=/x/y/z", nil}},
			want{"http://a.test/": "b=1", "http://a.test/x/": "a=1; b=1", "http://a.test/xy": "b=1", "http://a.test/x/y/z?q": "c=1; a=1; b=1"}},
		"longer paths first, then older cookies": {[]step{
			{"http://a.test/", "a=1; Path=/", nil}, {"http://a.test/", "b=1; Path=/x", nil}, {"http://a.test/", "c=1; Path=/", nil},
			{"http://a.test/", "d=1; Path=/x", nil}, {"http://a.test/", "a=2; Path=/", nil}},
			want{"http://a.test/x": "b=1; d=1; a=2; c=1"}},
		"what differs in domain, path or host-only are several": {[]step{
			{"http://x.a.test/", "a=1", nil}, {"http://x.a.test/", "a=2; Domain=a.test", nil}, {"http://x.a.test/", "a=3; Domain=x.a.test", nil},
			{"http://x.a.test/", "a=4; Path=/y", nil}, {"http://x.a.test/", "A=5", nil}},
			want{"http://x.a.test/y": "a=4; a=1; a=2; a=3; A=5"}},
		"Max-Age over Expires": {[]step{
			{"http://a.test/", "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", nil}, {"http://a.test/", "b=1; Expires=Mon, 01 Jun 2099 12:00:00 GMT; Max-Age=0", nil}},
			want{"http://a.test/": "a=1"}},
		"one that has ended removes": {[]step{
			{"http://a.test/", "a=1", nil}, {"http://a.test/", "b=1", nil}, {"http://a.test/", "a=; Max-Age=-1", nil},
			{"http://a.test/", "b=; Max-Age=0; Path=/x", nil}, {"http://a.test/", "b=; Max-Age=0; Domain=a.test", nil}, {"http://a.test/", "c=; Max-Age=0", nil}},
			want{"http://a.test/": "b=1"}},
		"Secure": {[]step{{"https://a.test/", "a=1; Secure", nil}, {"http://a.test/", "b=1; Secure", errInsecure}, {"http://localhost/", "c=1; Secure", nil}},
			want{"https://a.test/": "a=1", "http://a.test/": "", "http://localhost/": "c=1"}},
		"Secure is left alone by http": {[]step{
			{"https://x.a.test/", "a=1; Secure; Path=/p; Domain=a.test", nil}, {"http://x.a.test/", "a=2; Path=/p", errOverSecure}, {"http://x.a.test/", "a=2; Path=/p/q", errOverSecure},
			{"http://y.x.a.test/", "a=2; Path=/p", errOverSecure}, {"http://a.test/", "a=; Max-Age=0; Path=/p; Domain=a.test", errOverSecure},
			{"http://a.test/", "a=2; Path=/", nil}, {"https://x.a.test/", "a=3; Path=/p; Domain=a.test", nil}},
			want{"https://x.a.test/p": "a=3"}},
		"prefixes": {[]step{
			{"https://a.test/", "__Host-a=1; Secure; Path=/", nil}, {"https://a.test/", "__Secure-b=1; Secure; Domain=a.test; Path=/x", nil},
			{"https://a.test/", "__hOST-c=1; Secure", errHostName}, {"https://a.test/", "__Host-c=1; Path=/", errHostName}, {"https://a.test/x", "__Host-c=1; Secure; Path=/x", errHostName},
			{"https://a.test/", "__Host-c=1; Secure; Path=/; Domain=a.test", errHostName}, {"https://a.test/", "__sECURE-c=1", errSecureName},
			{"http://a.test/", "__Secure-c=1; Secure", errInsecure}, {"https://a.test/", "__Host=1", nil}},
			want{"https://a.test/x": "__Secure-b=1; __Host-a=1; __Host=1"}},
		"no name": {[]step{
			{"https://a.test/", "one", nil}, {"https://a.test/", "=two", nil}, {"https://a.test/", "=__Host-a", errHiddenName}, {"https://a.test/", "__SECURE-a", errHiddenName},
			{"https://a.test/", "=a=b", errHiddenName}, {"https://a.test/", "", errEmpty}, {"https://a.test/", "=", errEmpty}},
			want{"https://a.test/": "two"}},
		"SameSite=None needs Secure": {[]step{{"https://a.test/", "a=1; SameSite=None", errSameSite}, {"https://a.test/", "b=1; SameSite=None; Secure", nil}, {"https://a.test/", "c=1; SameSite=Strict", nil}},
			want{"https://a.test/": "b=1; c=1"}},
		"sizes": {[]step{
			{"http://a.test/", "a=" + strings.Repeat("x", 4095), nil}, {"http://a.test/", "a=" + strings.Repeat("y", 4096), errTooLong},
			{"http://b.test/" + strings.Repeat("p", 1024) + "/x", "a=1", errLongPath}},
			want{"http://a.test/": "a=" + strings.Repeat("x", 4095)}},
		"bytes": {[]step{{"http://a.test/", "a=1\t2", errTab}, {"http://a.test/", "a\tb=1", errTab}, {"http://a.test/", "a=\x00", errControl}, {"http://a.test/", "a=\xff ,\"", nil}},
			want{"http://a.test/": "a=\xff ,\""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(roomy)
			for _, step := range test.steps {
				require.ErrorIs(t, set(t, s, step.url, step.line, noon), step.err, "%s %s", step.url, step.line)
			}
			for url, sent := range test.want {
				require.Equal(t, sent, header(t, s, url, noon), url)
			}
		})
	}
}

func TestStore_lifetimes(t *testing.T) {
	s := NewStore(roomy)
	for _, line := range []string{
		"a=1; Max-Age=10", "b=1; Expires=Mon, 01 Jun 2026 12:00:20 GMT", "c=1", "d=1; Max-Age=999999999999", "e=1; Expires=Mon, 01 Jun 2099 12:00:00 GMT",
	} {
		require.NoError(t, set(t, s, "http://a.test/", line, noon))
	}
	for after, sent := range map[time.Duration]string{
		0: "a=1; b=1; c=1; d=1; e=1", 9 * time.Second: "a=1; b=1; c=1; d=1; e=1",
	} {
		require.Equal(t, sent, header(t, s, "http://a.test/", noon.Add(after)), after)
	}
	require.Equal(t, "b=1; c=1; d=1; e=1", header(t, s, "http://a.test/", noon.Add(10*time.Second)))
	require.Equal(t, 4, s.Len(noon), "what has ended is gone")
	require.Equal(t, 1, s.RemoveExpired(noon.Add(20*time.Second)))
	require.Equal(t, "c=1; d=1; e=1", header(t, s, "http://a.test/", noon.Add(maxLifetime-1)))
	require.Equal(t, "c=1", header(t, s, "http://a.test/", noon.Add(maxLifetime)), "none lives longer than 400 days")
	require.NoError(t, set(t, s, "http://a.test/", "c=2; Max-Age=1", noon))
	require.NoError(t, set(t, s, "http://a.test/", "c=3", noon))
	require.Equal(t, "c=3", header(t, s, "http://a.test/", noon.Add(time.Hour)), "an end that was taken back")
}

func TestStore_keepsTheTimeOfMakingWhenReplaced(t *testing.T) {
	s := NewStore(roomy)
	require.NoError(t, set(t, s, "http://a.test/", "a=1", noon))
	require.NoError(t, set(t, s, "http://a.test/", "a=2; HttpOnly", noon.Add(time.Hour)))
	all := listed(s, noon)
	require.Equal(t, noon, all[0].Created)
	require.Equal(t, noon.Add(time.Hour), all[0].Accessed)
	require.True(t, all[0].HttpOnly)
	header(t, s, "http://a.test/", noon.Add(2*time.Hour))
	require.Equal(t, noon.Add(2*time.Hour), listed(s, noon)[0].Accessed)
}

func TestStore_shedsByDomainTheLeastUsedThatIsNotSecure(t *testing.T) {
	s := NewStore(Limits{CookieBytes: 4096, PerDomain: 3, Total: -1, HeaderBytes: -1})
	add := func(url, line string, after time.Duration) {
		require.NoError(t, set(t, s, url, line, noon.Add(after)))
	}
	add("https://a.test/", "old=1; Secure", 0)
	add("https://x.a.test/", "used=1", 1)
	add("https://y.a.test/", "unused=1", 2)
	add("https://b.test/", "another=1", 0)
	header(t, s, "https://x.a.test/", noon.Add(3))
	add("https://a.test/", "new=1", 4)
	require.Equal(t, "old=1; new=1", header(t, s, "https://a.test/", noon.Add(5)), "all names of a domain count together")
	require.Empty(t, header(t, s, "https://y.a.test/", noon.Add(5)))
	require.Equal(t, "used=1", header(t, s, "https://x.a.test/", noon.Add(2)))
	add("https://a.test/", "s1=1; Secure", 6)
	add("https://a.test/", "s2=1; Secure", 7)
	require.Equal(t, "old=1; s1=1; s2=1", header(t, s, "https://a.test/", noon.Add(8)), "Secure ones stay as long as there are others")
	add("https://a.test/", "plain=1", 9)
	require.Equal(t, "old=1; s1=1; s2=1", header(t, s, "https://a.test/", noon.Add(10)))
	add("https://a.test/", "s3=1; Secure", 11)
	require.Equal(t, 3+1, s.Len(noon))
	require.Equal(t, "another=1", header(t, s, "https://b.test/", noon.Add(12)))
}

func TestStore_shedsInAllTheLeastUsed(t *testing.T) {
	s := NewStore(Limits{CookieBytes: 4096, PerDomain: -1, Total: 3, HeaderBytes: -1})
	for i := range 3 {
		require.NoError(t, set(t, s, fmt.Sprintf("https://%d.test/", i), "a=1; Secure", noon.Add(time.Duration(i))))
	}
	header(t, s, "https://0.test/", noon.Add(5))
	require.NoError(t, set(t, s, "https://3.test/", "a=1", noon.Add(6)))
	require.Empty(t, header(t, s, "https://1.test/", noon.Add(6)))
	for _, left := range []string{"0", "2", "3"} {
		require.NotEmpty(t, header(t, s, "https://"+left+".test/", noon.Add(6)))
	}
	require.NoError(t, set(t, s, "https://4.test/", "a=1; Max-Age=1", noon.Add(7)))
	require.NoError(t, set(t, s, "https://5.test/", "a=1", noon.Add(time.Minute)))
	require.Equal(t, 3, s.Len(noon.Add(time.Minute)), "what has ended makes room first")
	require.NotEmpty(t, header(t, s, "https://3.test/", noon.Add(time.Minute)))
}

func TestStore_limitsTheHeader(t *testing.T) {
	s := NewStore(Limits{CookieBytes: 4096, PerDomain: -1, Total: -1, HeaderBytes: 20})
	for _, line := range []string{"a=12345678", "b=12345678", "c=1"} {
		require.NoError(t, set(t, s, "http://a.test/", line, noon))
	}
	require.Equal(t, "a=12345678; c=1", header(t, s, "http://a.test/", noon), "what does not fit is left out, not what follows")
	got := s.Match(nil, at(t, "http://a.test/"), noon, &Query{Used: 9, Skip: [3][]string{{"x"}, {"c"}}})
	require.Empty(t, got)
	s.SetLimits(Limits{CookieBytes: 5, PerDomain: -1, Total: -1, HeaderBytes: -1})
	require.Equal(t, "c=1", header(t, s, "http://a.test/", noon), "and a new limit removes what passes it")
	s.SetLimits(Limits{CookieBytes: -1, PerDomain: -1, Total: -1, HeaderBytes: -1})
	require.NoError(t, set(t, s, "http://a.test/", "a="+strings.Repeat("x", 1<<20-1), noon))
	require.ErrorIs(t, set(t, s, "http://a.test/", "a="+strings.Repeat("x", 1<<20), noon), errTooLong)
}

func TestStore_keepsNoPartOfALargerText(t *testing.T) {
	s := NewStore(roomy)
	head := []byte("Set-Cookie: name=value; Path=/p; Domain=a.test\r\n")
	require.NoError(t, set(t, s, "http://a.test/", string(head[12:len(head)-2]), noon))
	c := listed(s, noon)[0]
	for i := range head {
		head[i] = '?'
	}
	require.Equal(t, c, listed(s, noon)[0])
	require.Equal(t, "name=value", header(t, s, "http://a.test/p", noon))
}
