package integration

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

// digestAuth is a fresh one.
func digestAuth(t *testing.T, password string) parley.Option {
	t.Helper()
	a, err := parley.DigestAuth(user, password)
	require.NoError(t, err)
	return parley.WithAuth(a)
}

func TestBinDigest(t *testing.T) {
	c := session(t, parley.WithBaseURL(bin(t).URL))
	for _, algorithm := range []string{"", "/MD5", "/SHA-256"} {
		t.Run("by default"+algorithm, func(t *testing.T) {
			path := "digest-auth/auth/Aladdin/sesame" + algorithm
			auth := digestAuth(t, "sesame")
			for range 3 {
				got, err := parley.As[struct{ Authenticated bool }](c.Get(t.Context(), path, auth))
				require.NoError(t, err)
				require.True(t, got.Authenticated)
			}
			resp, err := c.Get(t.Context(), path, digestAuth(t, "simsim"))
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		})
	}
}

// proofs are what httpd's log tells of requests with Digest credentials.
type proofs struct {
	refused   int                 // answered with 401
	used      map[string][]string // the counts seen, by nonce
	different int                 // nonces
}

var (
	nonceParam = regexp.MustCompile(`nonce=\\"(.*?)\\"`)
	countParam = regexp.MustCompile(`nc=([0-9a-f]{8})`)
)

func readProofs(t *testing.T, lines []string) proofs {
	t.Helper()
	p := proofs{used: make(map[string][]string)}
	for _, line := range lines {
		if strings.Contains(line, ` 401 "`) {
			p.refused++
		}
		nonce, count := nonceParam.FindStringSubmatch(line), countParam.FindStringSubmatch(line)
		if nonce == nil {
			require.Contains(t, line, "auth=[-]")
			continue
		}
		require.NotNil(t, count, line)
		p.used[nonce[1]] = append(p.used[nonce[1]], count[1])
	}
	p.different = len(p.used)
	return p
}

func TestHTTPDDigestNeedsOneChallenge(t *testing.T) {
	for _, path := range []string{"digest", "counted"} {
		t.Run(path, func(t *testing.T) {
			p := httpd(t)
			c := session(t, parley.WithBaseURL(p.URL("main")), digestAuth(t, password))
			for range 20 {
				text, err := parley.As[string](c.Get(t.Context(), path+"/hello.txt", parley.WithQuery("q", "a b", `"c"`)))
				require.NoError(t, err)
				require.Equal(t, "hello", text)
			}
			got := readProofs(t, logged(t, p, 21))
			require.Equal(t, 1, got.refused)
			require.Equal(t, 1, got.different)
			for _, counts := range got.used {
				for i, count := range counts {
					require.Equal(t, fmt.Sprintf("%08x", i+1), count)
				}
			}
			require.EqualValues(t, 1, c.Stats().Dials, "a challenge does not cost the connection")
		})
	}
}

func TestHTTPDDigestUnderManyRequestsAtOnce(t *testing.T) {
	const atOnce, count = 200, 600
	p := httpd(t)
	var sent atomic.Int64
	c := session(t, parley.WithBaseURL(p.URL("main")), digestAuth(t, password),
		parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
			return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
				sent.Add(1)
				return next.Send(ctx, req)
			})
		}))
	require.NoError(t, crowd(t, c, atOnce, count, "digest/hello.txt", "hello"))
	got := readProofs(t, logged(t, p, int(sent.Load())))
	require.Equal(t, int(sent.Load())-count, got.refused)
	require.LessOrEqual(t, got.refused, atOnce, "only those that began before the first answer")
	for nonce, counts := range got.used {
		seen := make(map[string]bool)
		for _, count := range counts {
			require.False(t, seen[count], "count %s of nonce %s was used twice", count, nonce)
			seen[count] = true
		}
	}
}

func TestHTTPDDigestWithAStaleNonce(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), digestAuth(t, password))
	for round := range 2 {
		if round > 0 {
			<-time.After(1500 * time.Millisecond) // httpd's limit is one second
		}
		resp, err := c.Get(t.Context(), "brief/hello.txt")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	got := readProofs(t, logged(t, p, 4))
	require.Equal(t, 2, got.refused)
	require.Equal(t, 3, got.different, "httpd gives the next nonce in time; that was stale too")
}

func TestHTTPDDigestTakesTheNextNonce(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), digestAuth(t, password))
	for range 10 {
		resp, err := c.Get(t.Context(), "once/hello.txt")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, resp.Header.Get("Authentication-Info"), "nextnonce=")
	}
	got := readProofs(t, logged(t, p, 11))
	require.Equal(t, 1, got.refused)
	require.Equal(t, 10, got.different)
}

func TestHTTPDDigestRefused(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	wrong := digestAuth(t, "simsim")
	for range 2 {
		resp, err := c.Get(t.Context(), "digest/hello.txt", wrong)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	}
	got := readProofs(t, logged(t, p, 4))
	require.Equal(t, 4, got.refused, "a password that was refused is not tried again in the same call")
}

func TestHTTPDDigestWithABody(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for name, body := range map[string]string{"small": "tea", "large": content(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			auth := digestAuth(t, password)
			for range 2 {
				resp, err := c.Post(t.Context(), "digest-echo", parley.WithText(body), auth)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, body, text)
			}
		})
	}
	t.Run("that can be read once", func(t *testing.T) {
		auth := digestAuth(t, password)
		post := func(opts ...parley.RequestOption) (*parley.Response, error) {
			return c.Post(t.Context(), "digest-echo", append(opts, auth, parley.WithReader(pattern(100_000)))...)
		}
		_, err := post()
		require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
		resp, err := post()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, "the nonce is known now")
	})
	t.Run("that can be read once, and is asked for first", func(t *testing.T) {
		resp, err := c.Post(t.Context(), "digest-echo", parley.WithReader(pattern(100_000)), digestAuth(t, password),
			parley.WithHeader("Expect", "100-continue"), parley.WithExpectTimeout(parley.NoTimeout))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		echoed, err := resp.Bytes()
		require.NoError(t, err)
		require.Len(t, echoed, 100_000)
	})
}

func TestHTTPDDigestAndRedirects(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), digestAuth(t, password))
	resp, err := c.Get(t.Context(), "to-digest")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	text, err := parley.As[string](c.Post(t.Context(), "to-digest-echo", parley.WithText("tea")))
	require.NoError(t, err)
	require.Equal(t, "tea", text)

	resp, err = c.Get(t.Context(), "to-other-digest")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "another origin, though the realm is the same")
	seen := visits(t, p, logged(t, p, 8))
	require.Contains(t, seen, "other /digest/hello.txt without")
}
