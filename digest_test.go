package parley_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/challenge"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// digestServer records the fields of the Digest credentials that it gets, nil for a
// request without them.
type digestServer struct {
	*wiretest.Server
	mu   sync.Mutex
	seen []map[string]string
}

// serveDigest answers each request with what reply gives for its credentials. n counts
// the requests from 1.
func serveDigest(t testing.TB, reply func(n int, f map[string]string, r *wiretest.Request) string) *digestServer {
	t.Helper()
	s := &digestServer{}
	s.Server = wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		f := credentials(r.Header.Get("Authorization"))
		s.mu.Lock()
		s.seen = append(s.seen, f)
		n := len(s.seen)
		s.mu.Unlock()
		return reply(n, f, r)
	}))
	return s
}

// credentials takes the Digest credentials of an Authorization header apart.
func credentials(header string) map[string]string {
	list := challenge.Parse([]string{header})
	if len(list) != 1 || list[0].Broken || !list[0].Is("Digest") {
		return nil
	}
	f := map[string]string{}
	for _, p := range list[0].Params {
		f[p.Name] = p.Value
	}
	return f
}

// fields gives what arrived, one after the other.
func (s *digestServer) fields(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.seen))
	for i, f := range s.seen {
		out[i] = f[name]
	}
	return out
}

// unauthorized is a 401 with a Digest challenge of the realm r.
func unauthorized(params string) string {
	return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Digest realm=\"r\", " + params + "\r\n\r\nno"
}

// door opens to whoever has a nonce, and asks for it else.
func door(params string) func(int, map[string]string, *wiretest.Request) string {
	return func(_ int, f map[string]string, _ *wiretest.Request) string {
		if f == nil {
			return unauthorized(params)
		}
		return wiretest.OK("in")
	}
}

// withInfo is an answer with Authentication-Info.
func withInfo(info, content string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nAuthentication-Info: %s\r\nContent-Length: %d\r\n\r\n%s", info, len(content), content)
}

func md5Hex(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// proof computes what a server that knows user "u" and password "p" of the realm r says
// of a request, with body the hash of the content, for auth-int.
func proof(f map[string]string, body ...string) string {
	second := append([]string{"", f["uri"]}, body...)
	return md5Hex(md5Hex("u", "r", "p"), f["nonce"], f["nc"], f["cnonce"], f["qop"], md5Hex(second...))
}

func digestAuth(t testing.TB) parley.Auth {
	t.Helper()
	a, err := parley.DigestAuth("u", "p")
	require.NoError(t, err)
	return a
}

func digestSession(t testing.TB, s *digestServer, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	return newSession(t, append(opts, parley.WithBaseURL(s.URL()), parley.WithAuth(digestAuth(t)))...)
}

func TestDigest_aNonceIsUsedAgainWithARisingCount(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, door(`nonce="n1", qop="auth", opaque="o"`))
	client := digestSession(t, s)
	for range 3 {
		require.Equal(t, "in", textOf(t, client, "x?a=b"))
	}
	require.Equal(t, []string{"", "00000001", "00000002", "00000003"}, s.fields("nc"))
	require.Equal(t, 1, s.Accepted(), "the connection of the 401 is used again")
	nonces := s.fields("cnonce")
	require.NotEqual(t, nonces[1], nonces[2])
	for _, f := range s.seen[1:] {
		require.Equal(t, "/x?a=b", f["uri"])
		require.Equal(t, "o", f["opaque"])
		require.Equal(t, md5Hex(md5Hex("u", "r", "p"), "n1", f["nc"], f["cnonce"], "auth", md5Hex("GET", "/x?a=b")), f["response"])
	}
}

func TestDigest_theURIIsTheTargetThatIsSent(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
		if f == nil {
			return unauthorized(`nonce=n, qop=auth`)
		}
		return wiretest.OK(fmt.Sprint(f["uri"] == r.RequestURI))
	})
	client := digestSession(t, s)
	for _, target := range []string{"/a%20b/ü?q=ü \"x\"&y", "/p?", "/"} {
		require.Equal(t, "true", textOf(t, client, strings.ReplaceAll(target, " ", "%20")))
	}
	require.Equal(t, "true", textOf(t, client, "/x", parley.WithTarget("/other//target?x")))
}

func TestDigest_nextnonceIsTheNextOne(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
		switch {
		case f == nil:
			return unauthorized(`nonce="n1", qop=auth`)
		case n == 3:
			return withInfo(`nextnonce="n1"`, "in") // one that was used before
		}
		return withInfo(`nextnonce="n2"`, "in")
	})
	client := digestSession(t, s)
	for range 4 {
		textOf(t, client, "x")
	}
	require.Equal(t, []string{"", "n1", "n2", "n1", "n2"}, s.fields("nonce"))
	require.Equal(t, []string{"", "00000001", "00000001", "00000002", "00000002"}, s.fields("nc"))
}

func TestDigest_aSessionKeyKeepsItsClientNonce(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
		if f == nil {
			return unauthorized(`nonce="n1", qop=auth, algorithm=MD5-sess`)
		}
		return withInfo(`nextnonce="n2"`, "in")
	})
	client := digestSession(t, s)
	textOf(t, client, "x")
	textOf(t, client, "x")
	f := s.seen[2]
	require.Equal(t, "n2", f["nonce"])
	require.Equal(t, s.seen[1]["cnonce"], f["cnonce"])
	key := md5Hex(md5Hex("u", "r", "p"), "n1", f["cnonce"])
	require.Equal(t, md5Hex(key, "n2", f["nc"], f["cnonce"], "auth", md5Hex("GET", "/x")), f["response"])
}

func TestDigest_staleNonces(t *testing.T) {
	t.Parallel()
	t.Run("a known nonce that is stale is renewed in one call", func(t *testing.T) {
		t.Parallel()
		s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
			switch n {
			case 1:
				return unauthorized(`nonce="n1", qop=auth`)
			case 3:
				return unauthorized(`nonce="n2", qop=auth, stale=true`)
			}
			return wiretest.OK("in")
		})
		client := digestSession(t, s)
		require.Equal(t, "in", textOf(t, client, "x"))
		require.Equal(t, "in", textOf(t, client, "x"))
		require.Equal(t, []string{"", "n1", "n1", "n2"}, s.fields("nonce"))
	})
	t.Run("a server that lost its nonces may ask anew", func(t *testing.T) {
		t.Parallel()
		s := serveDigest(t, func(n int, f map[string]string, _ *wiretest.Request) string {
			switch n {
			case 1:
				return unauthorized(`nonce="old", qop=auth`)
			case 3:
				return unauthorized(`nonce="new", qop=auth`)
			}
			return wiretest.OK("in")
		})
		client := digestSession(t, s)
		require.Equal(t, "in", textOf(t, client, "x"))
		require.Equal(t, "in", textOf(t, client, "x"))
		require.Equal(t, []string{"", "old", "old", "new"}, s.fields("nonce"))
	})
}

func TestDigest_aProtectionSpaceHasABorder(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
		if f == nil {
			return unauthorized(`nonce=n, qop=auth, domain="/a http://elsewhere.test/b /c/"`)
		}
		return wiretest.OK("in")
	})
	client := digestSession(t, s)
	textOf(t, client, "a/x")
	for path, known := range map[string]bool{"a": true, "a/y": true, "a?q": true, "ab": false, "b": false, "c/d": true, "c": false} {
		before := len(s.fields("nc"))
		require.Equal(t, "in", textOf(t, client, path))
		want := 2
		if known {
			want = 1
		}
		require.Equal(t, want, len(s.fields("nc"))-before, path)
	}
}

func TestDigest_realmsMayShareANonce(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
		if f["realm"] != r.URL.Path {
			return fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm=%q, nonce=n, qop=auth\r\n\r\n", r.URL.Path)
		}
		return wiretest.OK("in")
	})
	client := digestSession(t, s)
	for range 2 {
		require.Equal(t, "in", textOf(t, client, "a"))
		require.Equal(t, "in", textOf(t, client, "b"))
	}
	counts := s.fields("nc")[1:]
	require.Equal(t, "00000006", counts[len(counts)-1])
	slices.Sort(counts)
	require.Len(t, slices.Compact(counts), len(counts), "a nonce is counted, whatever the realm")
}

func TestDigest_protectedBodies(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, qop string) *digestServer {
		return serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
			if f == nil {
				return unauthorized(`nonce="n", qop="` + qop + `"`)
			}
			second := []string{r.Method, "/x"}
			if f["qop"] == "auth-int" {
				second = append(second, md5Hex(string(r.Content)))
			}
			want := md5Hex(md5Hex("u", "r", "p"), "n", f["nc"], f["cnonce"], f["qop"], md5Hex(second...))
			return wiretest.OK(fmt.Sprint(f["response"] == want, " ", f["qop"]))
		})
	}
	text := func(t *testing.T, resp *parley.Response, err error) string {
		require.NoError(t, err)
		got, err := resp.Text()
		require.NoError(t, err)
		return got
	}
	t.Run("a body that can be read twice is hashed", func(t *testing.T) {
		t.Parallel()
		client := digestSession(t, serve(t, "auth,auth-int"))
		for _, body := range []parley.RequestOption{
			parley.WithText("payload"), parley.WithReader(strings.NewReader(strings.Repeat("x", 100_000))), parley.WithBytes(nil),
		} {
			resp, err := client.Post(t.Context(), "x", body)
			require.Equal(t, "true auth-int", text(t, resp, err))
		}
		require.Equal(t, "true auth-int", textOf(t, client, "x"))
	})
	once := func() parley.RequestOption { return parley.WithReader(&onlyReader{strings.NewReader("payload")}) }
	t.Run("another one is sent without protection", func(t *testing.T) {
		t.Parallel()
		client := digestSession(t, serve(t, "auth,auth-int"))
		textOf(t, client, "x")
		resp, err := client.Post(t.Context(), "x", once())
		require.Equal(t, "true auth", text(t, resp, err))
	})
	t.Run("unless the server wants that", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "auth-int")
		client := digestSession(t, s)
		textOf(t, client, "x")
		_, err := client.Post(t.Context(), "x", once())
		require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
		require.Len(t, s.fields("nc"), 2)
	})
	t.Run("a body that cannot be read fails the call", func(t *testing.T) {
		t.Parallel()
		client := digestSession(t, serve(t, "auth-int"))
		textOf(t, client, "x")
		broken := errors.New("broken")
		_, err := client.Post(t.Context(), "x", parley.WithBody(brokenBody{broken}))
		require.ErrorIs(t, err, broken)
	})
}

// brokenBody is a body that can be opened again and again, and never read.
type brokenBody struct{ err error }

func (b brokenBody) Size() int64                  { return 7 }
func (b brokenBody) ContentType() string          { return "" }
func (b brokenBody) Replayable() bool             { return true }
func (b brokenBody) Open() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(b.err)), nil }

// onlyReader hides what else a reader can do.
type onlyReader struct{ r *strings.Reader }

func (o *onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

func TestDigest_aBodyIsSentAgainOnlyIfItCanBe(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, door(`nonce=n, qop=auth`))
	once := func() parley.RequestOption { return parley.WithReader(&onlyReader{strings.NewReader("payload")}) }
	client := digestSession(t, s)
	_, err := client.Post(t.Context(), "x", once())
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseAuth, e.Phase)
	require.Equal(t, parley.Answering, e.Sent)
	requireNoneActive(t, client)

	t.Run("what was learnt serves the next", func(t *testing.T) {
		resp, err := client.Post(t.Context(), "x", once())
		require.NoError(t, err)
		require.True(t, resp.OK())
	})
	t.Run("a body that was not touched goes with the answer", func(t *testing.T) {
		sends := 0
		client := newSession(t, parley.WithAuth(digestAuth(t)), parley.WithTransport(parley.TransportFunc(
			func(_ context.Context, req *parley.Request) (*parley.Response, error) {
				if sends++; sends == 1 {
					return &parley.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {`Digest realm=r, nonce=n`}}}, nil
				}
				body, err := req.Body.Open()
				require.NoError(t, err)
				content, err := io.ReadAll(body)
				require.NoError(t, errors.Join(err, body.Close()))
				require.Equal(t, "payload", string(content))
				return &parley.Response{StatusCode: 200}, nil
			})))
		resp, err := client.Post(t.Context(), "http://a.test/", once())
		require.NoError(t, err)
		require.True(t, resp.OK())
	})
}

func TestDigest_theServersProof(t *testing.T) {
	t.Parallel()
	get := func(t *testing.T, answer func(f map[string]string) string) (string, error) {
		s := serveDigest(t, func(_ int, f map[string]string, _ *wiretest.Request) string {
			if f == nil {
				return unauthorized(`nonce=n, qop=auth`)
			}
			return answer(f)
		})
		client := digestSession(t, s)
		resp, err := client.Stream(t.Context(), "GET", "x")
		if err != nil {
			requireNoneActive(t, client)
			return "", err
		}
		defer resp.Close()
		return resp.Text()
	}
	integrity := func(f map[string]string, content string) string {
		f["qop"] = "auth-int"
		return `qop=auth-int, rspauth="` + proof(f, content) + `"`
	}
	var coded bytes.Buffer
	z := gzip.NewWriter(&coded)
	_, err := z.Write([]byte("in"))
	require.NoError(t, errors.Join(err, z.Close()))
	for name, row := range map[string]struct {
		answer func(f map[string]string) string
		wrong  bool
	}{
		"right":           {func(f map[string]string) string { return withInfo(`rspauth="`+proof(f)+`"`, "in") }, false},
		"none":            {func(f map[string]string) string { return withInfo(`qop=auth`, "in") }, false},
		"nothing to read": {func(f map[string]string) string { return withInfo(`@`, "in") }, false},
		"wrong":           {func(f map[string]string) string { return withInfo(`rspauth="`+md5Hex("x")+`"`, "in") }, true},
		"of another request": {func(f map[string]string) string {
			f["uri"] = "/y"
			return withInfo(`rspauth="`+proof(f)+`"`, "in")
		}, true},
		"right, over the body":         {func(f map[string]string) string { return withInfo(integrity(f, md5Hex("in")), "in") }, false},
		"wrong, over the body":         {func(f map[string]string) string { return withInfo(integrity(f, md5Hex("out")), "in") }, true},
		"wrong, over a body of length": {func(f map[string]string) string { return withInfo(integrity(f, md5Hex("x")), "") }, true},
		"over a body that was decoded": {func(f map[string]string) string {
			return strings.Replace(withInfo(integrity(f, md5Hex("out")), coded.String()), "Content-Length", "Content-Encoding: gzip\r\nContent-Length", 1)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := get(t, row.answer)
			if !row.wrong {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, parley.ErrAuth)
			requireNoLeak(t, err)
		})
	}
}

func TestDigest_whatIsForgottenCostsARoundTrip(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
		if f == nil {
			return fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm=%[1]q, nonce=%[1]q, qop=auth, domain=%[1]q\r\n\r\n", r.URL.Path)
		}
		return wiretest.OK("in")
	})
	client := digestSession(t, s)
	const spaces = 65 // one more than are remembered
	for round := range 2 {
		for i := range spaces {
			require.Equal(t, "in", textOf(t, client, fmt.Sprint("p", i)), round)
		}
	}
	textOf(t, client, fmt.Sprint("p", spaces-1))
	require.Len(t, s.fields("nc"), 2*spaces*2+1)
}

func TestDigest_refusesNamesThatMeanSomethingElse(t *testing.T) {
	t.Parallel()
	for _, login := range [][2]string{{"a:b", "p"}, {"a\nb", "p"}, {"a", "p\x00"}} {
		_, err := parley.DigestAuth(login[0], login[1])
		require.Error(t, err)
	}
}

func TestDigest_aFailingSourceOfNonces(t *testing.T) {
	t.Parallel()
	failing := errors.New("no entropy")
	for name, params := range map[string]string{"each message": `nonce=n, qop=auth`, "each session": `nonce=n, qop=auth, algorithm=MD5-sess`} {
		t.Run(name, func(t *testing.T) {
			s := serveDigest(t, door(params))
			a := digestAuth(t)
			parley.SetClientNonce(a, func() (string, error) { return "", failing })
			client := newSession(t, parley.WithAuth(a))
			_, err := client.Get(t.Context(), s.URL())
			require.ErrorIs(t, err, failing)
			require.ErrorIs(t, err, parley.ErrAuth)
			require.Len(t, s.fields("nc"), 1)
			requireNoneActive(t, client)
		})
	}
}

func TestDigest_oneValueServesManySessions(t *testing.T) {
	t.Parallel()
	s := serveDigest(t, door(`nonce=n, qop=auth`))
	a := digestAuth(t)
	for range 2 {
		req, err := parley.NewRequest("GET", s.URL())
		require.NoError(t, err)
		pool, err := parley.NewPool(parley.PoolConfig{})
		require.NoError(t, err)
		resp, err := parley.Authenticate(a)(pool).Send(context.Background(), req)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.NoError(t, pool.Close())
	}
	require.Equal(t, []string{"", "00000001", "00000002"}, s.fields("nc"))
}
