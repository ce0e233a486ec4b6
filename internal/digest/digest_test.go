package digest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/challenge"
)

func choose(lines ...string) *Challenge { return Choose(challenge.Parse(lines)) }

// fields takes the Authorization header apart.
func fields(t *testing.T, header string) map[string]string {
	t.Helper()
	list := challenge.Parse([]string{header})
	require.Len(t, list, 1)
	require.False(t, list[0].Broken)
	m := map[string]string{}
	for _, p := range list[0].Params {
		m[p.Name] = p.Value
	}
	return m
}

func TestExamplesOfRFC7616(t *testing.T) {
	t.Run("3.9.1: SHA-256 and MD5", func(t *testing.T) {
		md5 := `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, ` +
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
		sha := strings.Replace(md5, "MD5", "SHA-256", 1)
		for algorithm, want := range map[string]string{
			"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
			"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		} {
			lines := []string{md5}
			if algorithm == "SHA-256" {
				lines = []string{md5, sha} // the stronger one is taken
			}
			c := choose(lines...)
			k := NewKey(c, "Mufasa", "Circle of Life", "")
			header := k.Header(&Message{
				Method: "GET", URI: "/dir/index.html", Nonce: c.Nonce, Count: 1,
				ClientNonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			})
			require.Equal(t, map[string]string{
				"username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html", "algorithm": algorithm,
				"nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "nc": "00000001",
				"cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "qop": "auth", "response": want,
				"opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
			}, fields(t, header))
		}
	})
	t.Run("3.9.2: SHA-512-256, charset and userhash, as its erratum 4897 corrects them", func(t *testing.T) {
		c := choose(`Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, ` +
			`nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", ` +
			`charset=UTF-8, userhash=true`)
		k := NewKey(c, "Jäsøn Doe", "Secret, or not?", "")
		f := fields(t, k.Header(&Message{
			Method: "GET", URI: "/doe.json", Nonce: c.Nonce, Count: 1, ClientNonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
		}))
		require.Equal(t, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", f["username"])
		require.Equal(t, "true", f["userhash"])
		require.Equal(t, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", f["response"])
	})
}

func TestExampleOfRFC2617(t *testing.T) {
	c := choose(`Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`)
	k := NewKey(c, "Mufasa", "Circle Of Life", "")
	f := fields(t, k.Header(&Message{Method: "GET", URI: "/dir/index.html", Nonce: c.Nonce, Count: 1, ClientNonce: "0a4f113b"}))
	require.Equal(t, "6629fae49393a05397450978507c4ef1", f["response"])
	require.NotContains(t, f, "algorithm", "what the server did not name")
}

// What no RFC has an example of, computed with another program.
func TestOtherForms(t *testing.T) {
	for name, row := range map[string]struct {
		challenge string
		integrity bool
		want      string
	}{
		"no qop":           {``, false, "9ba6af9e9d881e3de881cfbf15e4ac71"},
		"an empty qop":     {`, qop=""`, false, "9ba6af9e9d881e3de881cfbf15e4ac71"},
		"SHA-256-sess":     {`, qop=auth, algorithm=sha-256-SESS`, false, "503f1ec576e1b7888d46cfe4129ff8ab7490e1bfcd30f124b91e652cf81baf13"},
		"MD5-sess":         {`, qop=auth, algorithm="MD5-sess"`, false, "75ad28d4e07991e2bc1bc6f355a1b408"},
		"SHA-512-256-sess": {`, qop=auth, algorithm=SHA-512-256-sess`, false, "5c021ec1a94a6a0b896ec1aaf88d3115f346d0333e659f4c028880252f78a640"},
		"auth-int":         {`, qop="auth-int"`, true, "40510a37bb3ec08d1b9327bffa9dfaec"},
	} {
		t.Run(name, func(t *testing.T) {
			c := choose(`Digest realm="r", nonce="abc"` + row.challenge)
			k := NewKey(c, "user", "pass", "0a4f113b0a4f113b")
			h := k.NewHash()
			h.Write([]byte("payload"))
			m := &Message{
				Method: "GET", URI: "/p", Nonce: "abc", Count: 1, ClientNonce: "0a4f113b0a4f113b",
				Integrity: row.integrity, BodyHash: BodyHash(h),
			}
			require.Equal(t, row.want, fields(t, k.Header(m))["response"])
		})
	}
}

func TestChoose(t *testing.T) {
	for name, row := range map[string]struct {
		lines []string
		want  string // the algorithm; "": none
	}{
		"none":                           {[]string{`Basic realm="r"`}, ""},
		"MD5 by default":                 {[]string{`digest realm="r", nonce=n`}, "MD5"},
		"an empty realm":                 {[]string{`Digest realm="", nonce=n`}, "MD5"},
		"no realm":                       {[]string{`Digest nonce=n`}, ""},
		"no nonce":                       {[]string{`Digest realm=r`}, ""},
		"an empty nonce":                 {[]string{`Digest realm=r, nonce=""`}, ""},
		"an unknown algorithm":           {[]string{`Digest realm=r, nonce=n, algorithm=NEVER`}, ""},
		"an algorithm beyond the RFC":    {[]string{`Digest realm=r, nonce=n, algorithm=SHA-512`}, ""},
		"an unknown qop":                 {[]string{`Digest realm=r, nonce=n, qop=other`}, ""},
		"single quotes":                  {[]string{`Digest realm='r', nonce='n', qop='auth'`}, ""},
		"a known qop too":                {[]string{`Digest realm=r, nonce=n, qop="other, AUTH"`}, "MD5"},
		"a session without qop":          {[]string{`Digest realm=r, nonce=n, algorithm=MD5-sess`}, ""},
		"broken":                         {[]string{`Digest realm=r, nonce=n, nonce=n`}, ""},
		"the strongest, last":            {[]string{`Digest realm=r, nonce=n`, `Basic realm=r`, `Digest realm=r, nonce=n, algorithm=SHA-512-256`}, "SHA-512-256"},
		"the strongest, first":           {[]string{`Digest realm=r, nonce=n, algorithm=SHA-256, Digest realm=r, nonce=n, algorithm=MD5`}, "SHA-256"},
		"the first of equals":            {[]string{`Digest realm=r, nonce=n, qop=auth, algorithm=MD5-sess`, `Digest realm=r, nonce=n`}, "MD5-sess"},
		"what can be answered is chosen": {[]string{`Digest realm=r, nonce=n, algorithm=NEVER`, `Digest realm=r, nonce=n`}, "MD5"},
	} {
		t.Run(name, func(t *testing.T) {
			c := choose(row.lines...)
			if row.want == "" {
				require.Nil(t, c)
				return
			}
			require.Equal(t, row.want, c.algorithm.name)
		})
	}
	t.Run("fields", func(t *testing.T) {
		c := choose(`Digest realm="r", nonce="n", stale=TRUE, domain="/a  http://b.test/", qop="auth-int", opaque=o`)
		require.True(t, c.Stale)
		require.Equal(t, []string{"/a", "http://b.test/"}, c.Domain)
		offered, only := c.Integrity()
		require.True(t, offered && only && c.Counts() && !c.Session())
	})
}

func TestHeaderQuotes(t *testing.T) {
	c := choose(`Digest realm="a\"b\\c", nonce="n\"", opaque="\\", qop=auth`)
	k := NewKey(c, `us"er\x`, "p", "")
	header := k.Header(&Message{Method: "GET", URI: `/"`, Nonce: c.Nonce, Count: 0x1f, ClientNonce: "c"})
	f := fields(t, header)
	require.Equal(t, []string{`us"er\x`, `a"b\c`, `n"`, `\`, `/"`, "0000001f"},
		[]string{f["username"], f["realm"], f["nonce"], f["opaque"], f["uri"], f["nc"]})
	require.Contains(t, header, `username="us\"er\\x"`)
}

func TestUserName(t *testing.T) {
	for name, row := range map[string]struct{ challenge, user, want string }{
		"plain":                      {``, "user", `username="user",`},
		"beyond ASCII, charset":      {`, charset=UTF-8`, "Jäsøn D\"", `username*=UTF-8''J%C3%A4s%C3%B8n%20D%22,`},
		"beyond ASCII, none":         {``, "Jä", `username="Jä",`},
		"ASCII, charset":             {`, charset=UTF-8`, "user", `username="user",`},
		"hashed":                     {`, userhash=true`, "user", `username="f2014bc543adfc117d6000879437967d", userhash=true,`},
		"hashing that is not wanted": {`, userhash=false`, "user", `username="user",`},
	} {
		t.Run(name, func(t *testing.T) {
			c := choose(`Digest realm="r", nonce="n", qop=auth` + row.challenge)
			header := NewKey(c, row.user, "p", "").Header(&Message{Method: "GET", URI: "/", Nonce: "n", Count: 1})
			require.True(t, strings.HasPrefix(header, "Digest "+row.want), header)
		})
	}
}

func TestProof(t *testing.T) {
	c := choose(`Digest realm="r", nonce="abc", qop="auth,auth-int"`)
	k := NewKey(c, "user", "pass", "")
	m := &Message{Method: "GET", URI: "/p", Nonce: "abc", Count: 1, ClientNonce: "cc"}
	right := sum(lookUp(""), k.ha1, "abc", "00000001", "cc", "auth", sum(lookUp(""), "", "/p"))
	whole := sum(lookUp(""), k.ha1, "abc", "00000001", "cc", "auth-int", sum(lookUp(""), "", "/p", "bodyhash"))
	for name, row := range map[string]struct {
		info  string
		given bool
		want  bool
	}{
		"right":                {`rspauth="` + right + `"`, true, true},
		"right with the rest":  {`qop=auth, rspauth="` + strings.ToUpper(right) + `", cnonce="cc", nc=00000001`, true, true},
		"over the body":        {`qop=auth-int, rspauth="` + whole + `"`, true, true},
		"wrong":                {`rspauth="` + strings.Repeat("0", 32) + `"`, true, false},
		"empty":                {`rspauth=""`, true, false},
		"of another qop":       {`qop=auth, rspauth="` + whole + `"`, true, false},
		"an unknown qop":       {`qop=other, rspauth="` + right + `"`, true, false},
		"another client nonce": {`rspauth="` + right + `", cnonce="dd"`, true, false},
		"another count":        {`rspauth="` + right + `", nc=00000002`, true, false},
		"none":                 {`nextnonce="n"`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			info, ok := challenge.ParseInfo([]string{row.info})
			require.True(t, ok)
			p := k.ReadProof(&info, m)
			require.Equal(t, row.given, p.Given())
			require.Equal(t, row.want, k.Check(&p, m, "bodyhash"))
		})
	}
	t.Run("without qop", func(t *testing.T) {
		k := NewKey(choose(`Digest realm="r", nonce="abc"`), "user", "pass", "")
		info, _ := challenge.ParseInfo([]string{`rspauth="` + sum(lookUp(""), k.ha1, "abc", sum(lookUp(""), "", "/p")) + `", nextnonce=x`})
		p := k.ReadProof(&info, &Message{URI: "/p", Nonce: "abc"})
		require.True(t, k.Check(&p, &Message{Method: "GET", URI: "/p", Nonce: "abc"}, ""))
		require.Equal(t, "x", p.NextNonce)
	})
}

func TestKeyPrintsNothing(t *testing.T) {
	k := NewKey(choose(`Digest realm="r", nonce="abc"`), "user", "pass", "")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		require.Equal(t, "<Digest key>", fmt.Sprintf(verb, k))
	}
}
