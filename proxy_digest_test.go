package parley_test

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// digestProxy starts a proxy that demands Digest of user:SECRET.
func digestProxy(t testing.TB, w *world, offers string) *wiretest.Proxy {
	t.Helper()
	p := wiretest.NewProxy(t, w.names, "")
	p.Offers, p.Digest = offers, &wiretest.Digest{Login: "user:SECRET"}
	p.Digest.Renew("first")
	return p
}

// schemesOf gives the schemes that a proxy was sent, "-" for none.
func schemesOf(p *wiretest.Proxy) string {
	var out []string
	for _, login := range loginsOf(p.Server) {
		scheme, _, _ := strings.Cut(login, " ")
		out = append(out, scheme)
	}
	return strings.Join(out, " ")
}

func TestProxyDigest_answersAChallengeOnce(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		offers, login string
		opts          []parley.ClientOption
		first, later  string // schemes of the first request and of two more
		status        int    // of the first
	}{
		"after Basic was no good":        {"", "user:SECRET", nil, "Basic Digest", "Digest Digest", 200},
		"without Basic":                  {"", "user:SECRET", []parley.ClientOption{parley.WithProxyDigest(true)}, "- Digest", "Digest Digest", 200},
		"as the last word":               {"", "user:SECRET", []parley.ClientOption{parley.WithProxyDigest(true), parley.WithProxyDigest(false)}, "Basic Digest", "Digest Digest", 200},
		"a password refused as Basic":    {"Proxy-Authenticate: Basic realm=\"p\"\r\n", "user:SECRET", nil, "Basic", "Basic Basic", 407},
		"both are on offer":              {"Proxy-Authenticate: Basic realm=\"p\"\r\n", "user:SECRET", []parley.ClientOption{parley.WithProxyDigest(true)}, "- Digest", "Digest Digest", 200},
		"a wrong password is tried once": {"", "user:wrong", []parley.ClientOption{parley.WithProxyDigest(true)}, "- Digest", "- Digest - Digest", 407},
		"no password":                    {"", "", []parley.ClientOption{parley.WithProxyDigest(true)}, "-", "- -", 407},
		"a header of the caller's wins":  {"", "user:SECRET", []parley.ClientOption{parley.WithProxyHeader("Proxy-Authorization", "Bearer x")}, "Bearer", "Bearer Bearer", 407},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+rule, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				p := digestProxy(t, w, c.offers)
				client := newSession(t, append(c.opts, parley.WithProxy(withLogin(p.Server, "http", c.login)), parley.WithTLSConfig(w.ca.Trusted()))...)
				want := c.first
				for i := range 3 {
					resp, err := client.Get(t.Context(), scheme+"://a.test/x?y", afterwards)
					var refused *parley.ProxyError
					switch {
					case c.status == 200:
						require.NoError(t, err)
						require.Equal(t, 200, resp.StatusCode)
						require.Empty(t, resp.Request.Header["Proxy-Authorization"])
					case scheme == "https":
						require.ErrorIs(t, err, parley.ErrProxy)
						require.True(t, errors.As(err, &refused))
						require.Equal(t, 407, refused.StatusCode)
						requireNoSecret(t, err.Error(), "SECRET", "wrong")
					default:
						require.NoError(t, err)
						require.Equal(t, 407, resp.StatusCode)
					}
					if i == 2 {
						want += " " + c.later
					}
				}
				require.Equal(t, want, schemesOf(p))
				if c.status == 200 {
					require.Len(t, p.Asked(), 3)
				}
				requireNoSecret(t, w.clear.Text()+w.secure.Text(), "Proxy-", "Digest", "SECRET")
				require.NotContains(t, p.Text(), "SECRET")
			})
		}
	}
}

func TestProxyDigest_newNoncesAndBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := make(chan string, 10)
	w.clear = wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		content <- string(r.Content)
		return wiretest.OK("done")
	}))
	w.names.Lead("a.test:80", w.clear.Addr())
	p := digestProxy(t, w, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:SECRET")), parley.WithProxyDigest(true), parley.WithTLSConfig(w.ca.Trusted()))
	unknown := func() io.Reader { return io.MultiReader(strings.NewReader("body")) }
	_, err := client.Post(t.Context(), "http://a.test/", parley.WithReader(unknown()))
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
	require.ErrorIs(t, err, parley.ErrProxy)
	for _, opt := range []parley.RequestOption{parley.WithReader(unknown()), parley.WithText("body"), parley.WithReader(bytes.NewReader([]byte("body")))} {
		resp, err := client.Post(t.Context(), "http://a.test/", opt)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "body", <-content)
	}
	before := len(loginsOf(p.Server))
	p.Digest.Renew("second")
	resp, err := client.Post(t.Context(), "http://a.test/", parley.WithText("again"))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "again", <-content)
	require.Len(t, loginsOf(p.Server)[before:], 2, "a nonce that has ended is renewed by one more round")
	p.Digest.Renew("third")
	require.Equal(t, "a.test/", textOf(t, client, "https://a.test/"))
	require.Empty(t, content)
	require.Contains(t, p.Text(), `uri="a.test:443"`)
	require.Contains(t, p.Text(), `uri="http://a.test/"`)
	require.NoError(t, resp.Close())
	requireNoneActive(t, client)
}

func TestProxyDigest_countsOfManyRequestsAreTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := digestProxy(t, w, "")
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:SECRET")), parley.WithTLSConfig(w.ca.Trusted()))
	textOf(t, client, "http://a.test/")
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for range 4 {
				resp, err := client.Get(t.Context(), []string{"http", "https"}[i%2]+"://a.test/", afterwards)
				if err != nil || resp.StatusCode != 200 {
					t.Error(resp, err)
				}
			}
		})
	}
	running.Wait()
	require.Len(t, p.Asked(), 33)
	require.Len(t, loginsOf(p.Server), 34, "one challenge for all")
}

func TestS114_DigestOfAProxyIsItsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := digestProxy(t, w, ""), wiretest.NewProxy(t, w.names, "")
	client := newSession(t, parley.WithProxy(withLogin(one.Server, "http", "user:SECRET")), parley.WithTLSConfig(w.ca.Trusted()))
	for _, address := range []string{"http://a.test/", "https://a.test/"} {
		textOf(t, client, address)
		textOf(t, client, address, parley.WithProxy(other.URL()))
		before := len(loginsOf(one.Server))
		if resp, err := client.Get(t.Context(), address, parley.WithProxy(one.URL())); err == nil {
			require.Equal(t, 407, resp.StatusCode)
		}
		require.Equal(t, []string{"-"}, loginsOf(one.Server)[before:], "without credentials there are none")
		before = len(loginsOf(one.Server))
		resp, err := client.Get(t.Context(), address, parley.WithProxy(withLogin(one.Server, "http", "user:SECRET2")), parley.WithProxyDigest(true))
		if err == nil {
			require.Equal(t, 407, resp.StatusCode)
		}
		require.NotContains(t, strings.Join(loginsOf(one.Server)[before:before+1], ""), "nonce", "another user starts anew")
	}
	require.NotContains(t, other.Text(), "Proxy-Authorization")
	require.NotContains(t, w.clear.Text()+w.secure.Text(), "Proxy-")

	// A server that asks as a proxy would gets nothing.
	asking := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 407 Asking\r\nProxy-Authenticate: Digest realm=\"p\", nonce=\"first\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
	}))
	u, err := url.Parse(asking.URL())
	require.NoError(t, err)
	u.User = url.UserPassword("user", "SECRET")
	resp, err := client.Get(t.Context(), u.String(), parley.WithoutProxy())
	require.NoError(t, err)
	require.Equal(t, 407, resp.StatusCode)
	require.Equal(t, 1, strings.Count(asking.Text(), "GET "))
	require.NotContains(t, asking.Text(), "Proxy-")
}

// A proxy that explains itself at length keeps its connection for the answer.
func TestProxyDigest_aLongRefusalCostsNoConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := digestProxy(t, w, "")
	p.Page = strings.Repeat("why ", 4<<10)
	client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:SECRET")), parley.WithProxyDigest(true))
	for range 2 {
		resp, err := client.Post(t.Context(), "http://a.test/", parley.WithText("body"))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Equal(t, "- Digest Digest", schemesOf(p))
	require.Equal(t, 1, p.Accepted())
}

func TestProxyDigest_nextnonceAndProof(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		for _, prove := range []string{"", "right", "wrong"} {
			t.Run(scheme+" "+prove, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				p := digestProxy(t, w, "")
				p.Digest.Next, p.Digest.Prove = []string{"second", "third"}, prove
				client := newSession(t, parley.WithProxy(withLogin(p.Server, "http", "user:SECRET")), parley.WithProxyDigest(true), parley.WithTLSConfig(w.ca.Trusted()))
				for range 3 {
					resp, err := client.Get(t.Context(), scheme+"://a.test/", afterwards)
					if prove == "wrong" {
						require.ErrorIs(t, err, parley.ErrAuth)
						require.ErrorIs(t, err, parley.ErrProxy)
						require.ErrorContains(t, err, "Proxy-Authentication-Info")
						return
					}
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)
				}
				require.Equal(t, "- Digest Digest Digest", schemesOf(p), "no request is refused for its nonce")
				for _, nonce := range []string{"first", "second", "third"} {
					require.Equal(t, 1, strings.Count(p.Text(), `nonce="`+nonce+`"`))
				}
			})
		}
	}
}
