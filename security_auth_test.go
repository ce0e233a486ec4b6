package parley_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Tests of the security cases about who a request comes from: sections 12 and 17, and
// of the first those about challenges.

// redirectStatuses are those that are followed.
var redirectStatuses = []int{301, 302, 303, 307, 308}

// movedTo is a script that answers everything with a redirect.
func movedTo(status int, location string) func(*wiretest.Conn) {
	return wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location)
	})
}

// twoHosts leads a.test and b.test to servers of these scripts.
func twoHosts(t testing.TB, a, b func(*wiretest.Conn)) (dialer parley.ClientOption, serverA, serverB *wiretest.Server) {
	t.Helper()
	serverA, serverB = wiretest.Serve(t, a), wiretest.Serve(t, b)
	names := wiretest.NewNames(map[string]string{"a.test:80": serverA.Addr(), "b.test:80": serverB.Addr()})
	return parley.WithDialer(names), serverA, serverB
}

// loginsAt gives the Basic credentials of each request that a server got, "" for none.
func loginsAt(t testing.TB, s *wiretest.Server) []string {
	t.Helper()
	var all []string
	for line := range strings.SplitSeq(strings.ReplaceAll(s.Text(), "\x00", "\r\n"), "\r\n") {
		if strings.HasSuffix(line, " HTTP/1.1") {
			all = append(all, "")
		}
		if value, ok := strings.CutPrefix(line, "Authorization: "); ok {
			decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(value, "Basic "))
			require.NoError(t, err, value)
			all[len(all)-1] = string(decoded)
		}
	}
	return all
}

// requireUnseen checks that a server has read nothing of the secret.
func requireUnseen(t testing.TB, s *wiretest.Server) {
	t.Helper()
	for _, form := range forms() {
		require.NotContains(t, s.Text(), form)
	}
}

func TestS012_AuthStaysSilentOnOtherOrigins(t *testing.T) {
	t.Parallel()
	digest, err := parley.DigestAuth("u", secret)
	require.NoError(t, err)
	key, err := parley.APIKeyHeader("X-Api-Key", secret)
	require.NoError(t, err)
	inQuery, err := parley.APIKeyQuery("key", secret)
	require.NoError(t, err)
	token := parley.TokenAuth(func(context.Context) (parley.Token, error) { return parley.Token{Value: secret}, nil })
	for name, auth := range map[string]parley.Option{
		"Basic": parley.WithBasicAuth("u", secret), "Bearer": parley.WithBearerToken(secret), "Digest": parley.WithAuth(digest),
		"API key": parley.WithAuth(key), "API key in the query": parley.WithAuth(inQuery), "token source": parley.WithAuth(token),
		"combined": parley.WithAuth(parley.CombineAuth(key, token)),
	} {
		for _, status := range redirectStatuses {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				t.Parallel()
				dialer, a, b := twoHosts(t, movedTo(status, "http://b.test/x"), wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
					return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=r\r\n" +
						"WWW-Authenticate: Bearer\r\nWWW-Authenticate: Digest realm=r, nonce=n, qop=auth\r\n\r\n"
				}))
				resp, err := newSession(t, dialer, auth).Get(t.Context(), "http://a.test/")
				require.NoError(t, err)
				require.Equal(t, 401, resp.StatusCode)
				require.Equal(t, 1, strings.Count(a.Text(), "GET "))
				require.Equal(t, 1, strings.Count(b.Text(), "GET "))
				require.NotContains(t, b.Text(), "Authorization")
				requireUnseen(t, b)
			})
		}
	}
}

func TestS013_DigestStateIsOfOneOrigin(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	script := func(name string) func(*wiretest.Conn) {
		return wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			f := credentials(r.Header.Get("Authorization"))
			before, _ := seen.LoadOrStore(name, []string(nil))
			seen.Store(name, append(before.([]string), f["nonce"]))
			if f == nil {
				return unauthorized(fmt.Sprintf(`nonce="of %s", qop=auth`, name))
			}
			return wiretest.OK("in")
		})
	}
	dialer, _, _ := twoHosts(t, script("a"), script("b"))
	client := newSession(t, dialer, parley.WithAuth(digestAuth(t)))
	for _, url := range []string{"http://a.test/", "http://b.test/", "http://a.test/", "http://b.test/"} {
		require.Equal(t, "in", textOf(t, client, url))
	}
	for _, name := range []string{"a", "b"} {
		got, _ := seen.Load(name)
		require.Equal(t, []string{"", "of " + name, "of " + name}, got)
	}
}

func TestS139_NetrcIsLookedUpForEachHop(t *testing.T) {
	t.Setenv("NETRC", netrcFile(t, "machine a.test login u password "+secret))
	for _, status := range redirectStatuses {
		dialer, a, b := twoHosts(t, movedTo(status, "http://b.test/"), wiretest.Echo())
		textOf(t, newSession(t, dialer), "http://a.test/")
		require.Equal(t, []string{"u:" + secret}, loginsAt(t, a))
		require.Equal(t, []string{""}, loginsAt(t, b))
	}
}

func TestS140_NetrcIsLookedUpByTheHostOfTheURL(t *testing.T) {
	t.Setenv("NETRC", netrcFile(t, "machine good.test login u password "+secret))
	for url, want := range map[string]string{
		"http://good.test:@evil.test/": "Basic " + basicOf("good.test:"),
		"http://good.test@evil.test/":  "Basic " + basicOf("good.test:"),
		"http://evil.test/good.test":   "",
		"http://evil.test/?good.test":  "",
		"http://good.test.evil.test/":  "",
		"http://evilgood.test/":        "",
		"http://GOOD.test./":           "Basic " + basicOf("u:"+secret),
		"https://good.test:8443/":      "Basic " + basicOf("u:"+secret),
	} {
		require.Equal(t, want, askedAs(t, url), url)
	}
}

func TestS141_AnEntryBorrowsNothing(t *testing.T) {
	for name, rest := range map[string]string{
		"without both":          "machine b.test",
		"with a login":          "machine b.test login v",
		"default without both":  "default",
		"default with a login":  "default login v",
		"with an empty line":    "\nmachine b.test\n\n",
		"a value is missing":    "machine b.test login v password",
		"the default is whole":  "default login v password q",
		"broken before the end": "machine b.test login v nonsense password q",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NETRC", netrcFile(t, "machine a.test login u password "+secret+"\n"+rest))
			dialer, a, b := twoHosts(t, movedTo(302, "http://b.test/"), wiretest.Echo())
			textOf(t, newSession(t, dialer), "http://a.test/")
			require.Equal(t, []string{"u:" + secret}, loginsAt(t, a))
			require.Equal(t, []string{""}, loginsAt(t, b))
			requireUnseen(t, b)
		})
	}
}

// With a user in the URL and no password anywhere for that one, the password is empty.
func TestS143_AUserInTheURLGetsNoOtherPassword(t *testing.T) {
	t.Setenv("NETRC", netrcFile(t, "machine a.test login x password "+secret+"\nmachine a.test login u password p"))
	basic := func(pair string) string { return "Basic " + basicOf(pair) }
	require.Equal(t, basic("user:"), askedAs(t, "http://user@a.test/"))
	require.Equal(t, asUP, askedAs(t, "http://u@a.test/"))
	require.Equal(t, basic("x:"), askedAs(t, "http://x:@a.test/"), "an empty password was given")
	require.Equal(t, basic("x:y"), askedAs(t, "http://x:y@a.test/"))
}

func TestS144_NetrcRevivesNothing(t *testing.T) {
	t.Setenv("NETRC", netrcFile(t, "machine a.test login wrong password wrong\nmachine b.test login u password p"))
	for name, opt := range map[string]parley.Option{
		"auth": parley.WithBearerToken(secret), "header": parley.WithHeader("Authorization", "Bearer "+secret),
	} {
		for _, status := range redirectStatuses {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				dialer, a, b := twoHosts(t, movedTo(status, "http://b.test/"), wiretest.Echo())
				_, err := newSession(t, dialer).Get(t.Context(), "http://a.test/", opt)
				require.NoError(t, err)
				require.Contains(t, a.Text(), "Authorization: Bearer "+secret+"\r\n")
				require.NotContains(t, a.Text(), "Basic")
				require.Equal(t, []string{"u:p"}, loginsAt(t, b))
				requireUnseen(t, b)
			})
		}
	}
}

func TestS145_NetrcFilesOfAnyKind(t *testing.T) {
	for name, text := range map[string]string{
		"ends in a login":      "machine a.test login",
		"ends in a password":   "machine a.test login u password",
		"an unclosed quote":    `machine a.test login u password "SECRET`,
		"an unclosed escape":   `machine a.test login u password "SECRET\`,
		"a line of 10 MiB":     "machine a.test login u password " + strings.Repeat("SECRET", 10<<20/6),
		"a macro without end":  "macdef x\nmachine a.test login u password SECRET",
		"words without an end": "machine a.test login u password SECRET and more",
		"bytes":                "\x00\xff\xfe machine\x00 a.test",
		"a password of bytes":  "machine a.test login u password \xff\x00",
	} {
		t.Run(name, func(t *testing.T) {
			path := netrcFile(t, text)
			t.Setenv("NETRC", path)
			var got string
			client := newSession(t, parley.WithTransport(guarded(func(v string) bool { got = v; return true })))
			_, err := client.Get(t.Context(), "http://a.test/")
			if err != nil {
				require.Contains(t, err.Error(), "line 1")
				requireNoLeak(t, err)
			}
			require.Empty(t, got)
			if _, err = parley.NetrcAuth(path, true); err != nil {
				requireNoLeak(t, err)
			}
		})
	}
	t.Run("a file that others can read", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("file modes say nothing there")
		}
		t.Setenv("NETRC", netrcFile(t, "machine a.test login u password SECRET", 0o640))
		reached := guarded(func(v string) bool { return v == "" })
		client := newSession(t, parley.WithTransport(reached))
		_, err := client.Get(t.Context(), "http://a.test/")
		require.ErrorContains(t, err, "chmod 600")
		require.ErrorContains(t, err, "WithoutAuth")
		requireNoLeak(t, err)
		_, err = client.Get(t.Context(), "http://u@a.test/")
		require.ErrorContains(t, err, "chmod 600")
		for url, opt := range map[string]parley.Option{
			"http://b.test/": nil, "http://a.test/": parley.WithoutAuth(), "http://u@a.test/": parley.WithoutAuth(),
		} {
			var opts []parley.RequestOption
			if opt != nil {
				opts = append(opts, opt)
			}
			resp, err := client.Get(t.Context(), url, opts...)
			require.NoError(t, err)
			require.True(t, resp.OK())
		}
		_, err = newSession(t, parley.WithTransport(reached), parley.WithEnv(false)).Get(t.Context(), "http://a.test/")
		require.NoError(t, err)
	})
}

func TestS147_AWrongProofIsAnError(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, _ *wiretest.Request) string {
		if f == nil {
			return unauthorized(`nonce=n, qop=auth`)
		}
		return withInfo(`rspauth="00000000000000000000000000000000"`, "in")
	})
	_, err := digestSession(t, s).Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrAuth)
}

func TestS148_ClientNoncesAreRandom(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, _ *wiretest.Request) string {
		if f == nil {
			return unauthorized(`nonce=n, qop=auth`)
		}
		return wiretest.OK("in")
	})
	client := digestSession(t, s)
	for range 10 {
		textOf(t, client, "x")
	}
	nonces := s.fields("cnonce")[1:]
	for range 10_000 {
		nonce, err := parley.NewClientNonce(nil)
		require.NoError(t, err)
		nonces = append(nonces, nonce)
	}
	slices.Sort(nonces)
	require.Len(t, slices.Compact(nonces), 10_010)
	for _, nonce := range nonces {
		require.Len(t, nonce, 32)
	}
	failing := errors.New("no entropy")
	for _, source := range []io.Reader{iotest.ErrReader(failing), io.MultiReader(bytes.NewReader(make([]byte, 15)), iotest.ErrReader(failing))} {
		_, err := parley.NewClientNonce(source)
		require.ErrorIs(t, err, failing)
	}
	_, err := parley.NewClientNonce(bytes.NewReader(make([]byte, 15)))
	require.Error(t, err, "a source that ends early")
}

func TestS149_DigestParametersAreNotMixedUp(t *testing.T) {
	t.Parallel()
	t.Run("the strongest algorithm and qop are used", func(t *testing.T) {
		t.Parallel()
		s := serveDigest(t, func(_ int, f map[string]string, _ *wiretest.Request) string {
			if f == nil {
				return unauthorized(`nonce=n, qop="auth,auth-int", algorithm=MD5, Digest realm=r, nonce=n, qop="auth,auth-int", algorithm=SHA-256`)
			}
			return wiretest.OK(f["algorithm"] + " " + f["qop"])
		})
		require.Equal(t, "SHA-256 auth-int", textOf(t, digestSession(t, s), "x"))
	})
	t.Run("no count comes twice", func(t *testing.T) {
		t.Parallel()
		for name, info := range map[string]string{"one nonce": `qop=auth`, "two in turn": `nextnonce=m`} {
			s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
				switch {
				case f == nil:
					return unauthorized(`nonce=n, qop=auth`)
				case n%2 == 0:
					return withInfo(`nextnonce=n`, "in")
				}
				return withInfo(info, "in")
			})
			client := digestSession(t, s)
			var running sync.WaitGroup
			for range 20 {
				running.Go(func() {
					for range 3 {
						if resp, err := client.Get(t.Context(), "x"); err != nil || !resp.OK() {
							t.Error(name, resp, err)
						}
					}
				})
			}
			running.Wait()
			var used []string
			for i, count := range s.fields("nc") {
				if count != "" {
					used = append(used, s.fields("nonce")[i]+count)
				}
			}
			require.Len(t, used, 60)
			slices.Sort(used)
			require.Len(t, slices.Compact(used), 60, name)
		}
	})
	t.Run("the uri is that of the request after a redirect", func(t *testing.T) {
		t.Parallel()
		s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
			switch {
			case r.URL.Path == "/old":
				return "HTTP/1.1 302 Found\r\nLocation: /new?x\r\nContent-Length: 0\r\n\r\n"
			case f == nil:
				return unauthorized(`nonce=n, qop=auth`)
			}
			return wiretest.OK(f["uri"])
		})
		require.Equal(t, "/new?x", textOf(t, digestSession(t, s), "old"))
	})
	t.Run("an endless stale nonce ends", func(t *testing.T) {
		t.Parallel()
		open := true
		s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
			if open && f != nil {
				return wiretest.OK("in")
			}
			return unauthorized(fmt.Sprintf(`nonce=n%d, qop=auth, stale=true`, n))
		})
		client := digestSession(t, s)
		textOf(t, client, "x")
		open = false
		for _, want := range []int{2, 3} { // with a nonce that is known, and with none
			before := len(s.fields("nc"))
			resp, err := client.Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, 401, resp.StatusCode)
			require.Len(t, s.fields("nc"), before+want)
		}
	})
	t.Run("what is not known is not answered", func(t *testing.T) {
		t.Parallel()
		for _, params := range []string{`nonce=n, qop=auth, algorithm=NEVER`, `nonce=n, qop=never`, `nonce=n, nonce=m`, `qop=auth`} {
			s := serveDigest(t, func(int, map[string]string, *wiretest.Request) string { return unauthorized(params) })
			resp, err := digestSession(t, s).Get(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, 401, resp.StatusCode)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "no", text, "the answer is there to be read")
			require.Equal(t, []string{""}, s.fields("response"))
			require.NotContains(t, s.Text(), "Authorization")
		}
	})
}

func TestS192_RejectedCredentialsAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	refusing := func(n int, _ map[string]string, _ *wiretest.Request) string {
		return fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=\"r%[1]d\"\r\n"+
			"WWW-Authenticate: Bearer\r\nWWW-Authenticate: Digest realm=\"r%[1]d\", nonce=\"n%[1]d\", qop=auth\r\n\r\n", n)
	}
	next := 0
	for name, row := range map[string]struct {
		auth  parley.Option
		sends int
	}{
		"Digest": {parley.WithAuth(digestAuth(t)), 2},
		"Basic":  {parley.WithBasicAuth("u", "p"), 1},
		"Bearer": {parley.WithBearerToken("t"), 1},
		"token source": {parley.WithAuth(parley.TokenAuth(func(context.Context) (parley.Token, error) {
			next++
			return parley.Token{Value: fmt.Sprint("t", next)}, nil
		})), 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveDigest(t, refusing)
			client := newSession(t, row.auth)
			for range 2 {
				before := len(s.fields("nc"))
				resp, err := client.Get(t.Context(), s.URL())
				require.NoError(t, err)
				require.Equal(t, 401, resp.StatusCode)
				require.Len(t, s.fields("nc"), before+row.sends)
			}
			before := len(s.fields("nc"))
			_, err := client.Post(t.Context(), s.URL(), parley.WithReader(&onlyReader{strings.NewReader("payload")}))
			if name == "Digest" {
				require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
			} else {
				require.NoError(t, err)
			}
			require.Len(t, s.fields("nc"), before+1)
		})
	}
}

// Basic over clear text is sent where it is asked for, as the documentation says.
func TestS193_LoginsAreWhatTheServerReads(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(user, password string) (parley.Auth, error){"Basic": parley.BasicAuth, "Digest": parley.DigestAuth} {
		for _, login := range [][2]string{{"a:SECRET", "p"}, {"a\nSECRET", "p"}, {"a", "SECRET\x00"}, {"\x7fSECRET", "p"}, {"a", "SECRET\r\nX: y"}} {
			_, err := make(login[0], login[1])
			require.Error(t, err, name)
			requireNoLeak(t, err)
		}
	}
	for _, raw := range []string{"http://a%3AB:SECRET@a.test/", "http://a%0a:SECRET@a.test/", "http://a:SECRET%00@a.test/"} {
		_, err := newSession(t, parley.WithTransport(unreached(t))).Get(t.Context(), raw)
		require.ErrorIs(t, err, parley.ErrInvalidURL)
		requireNoLeak(t, err)
	}
	for _, login := range [][2]string{{"user", "p:ä"}, {"ü", "中 \u00e4"}, {"", ""}, {"", ":"}} {
		server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			user, password, ok := r.BasicAuth()
			return wiretest.OK(fmt.Sprintf("%q %q %t", user, password, ok))
		}))
		got := textOf(t, newSession(t, parley.WithBasicAuth(login[0], login[1])), server.URL())
		require.Equal(t, fmt.Sprintf("%q %q true", login[0], login[1]), got)
	}
}

func TestS198_AuthPrintsWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	digest, err := parley.DigestAuth("u", secret)
	require.NoError(t, err)
	basic, err := parley.BasicAuth("u", secret)
	require.NoError(t, err)
	bearer, err := parley.BearerAuth(secret)
	require.NoError(t, err)
	header, err := parley.APIKeyHeader("X-Key", secret)
	require.NoError(t, err)
	query, err := parley.APIKeyQuery("key", secret)
	require.NoError(t, err)
	file, err := parley.NetrcAuth(netrcFile(t, "machine a.test login u password "+secret+"\ndefault login u password "+secret), true)
	require.NoError(t, err)
	token := parley.Token{Value: secret}
	source := parley.TokenAuth(func(context.Context) (parley.Token, error) { return token, nil })
	oauth2 := parley.OAuth2Auth(foreignSource(func() (*foreignToken, error) { return &foreignToken{"Bearer " + secret, true}, nil }))
	challenged := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		if req.Header.Get("Authorization") == "" && req.URL.RawQuery == "" {
			return &parley.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Digest realm=r, nonce=n"}}}, nil
		}
		return &parley.Response{StatusCode: 200}, nil
	})
	for want, v := range map[string]any{
		"<Digest auth>": digest, "<Basic auth>": basic, "<Bearer auth>": bearer, "<netrc auth>": file,
		"<token auth>": source, "<Bearer token>": token, "<2 auths combined>": parley.CombineAuth(header, oauth2),
		"<API key auth>": query,
	} {
		t.Run(want, func(t *testing.T) {
			if a, ok := v.(parley.Auth); ok { // what it has learnt is as secret
				require.Equal(t, 200, statusOf(t, newSession(t, parley.WithTransport(challenged)), parley.WithAuth(a)))
			}
			require.Equal(t, want, fmt.Sprint(v))
			require.Equal(t, want, fmt.Sprintf("%+v", v))
			for _, held := range []any{v, &v, []any{v}, struct{ V any }{v}, map[string]any{"v": v}} {
				requireNoLeak(t, held)
			}
		})
	}
	t.Run("several in one", func(t *testing.T) {
		requireNoLeak(t, parley.CombineAuth(digest, basic, bearer, header, query, file, source, oauth2))
		client := newSession(t, parley.WithAuth(parley.CombineAuth(digest, header)))
		requireNoLeak(t, client)
		requireNoLeak(t, parley.WithAuth(query))
	})
}
