package parley_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// S034: answers are shared by nobody but those who asked for the same as nobody in
// particular.
func TestS034_answersAreNotSharedAcrossOriginsOrUsers(t *testing.T) {
	t.Parallel()
	who := wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		time.Sleep(20 * time.Millisecond)
		return wiretest.OK(r.Host + " " + r.Header.Get("Authorization") + r.Header.Get("Cookie") + r.Header.Get("X-Api-Key"))
	})
	a, b := wiretest.Serve(t, who), wiretest.Serve(t, who)
	c := newSession(t, parley.WithMergedGets(true), parley.WithJar(nil))
	type ask struct {
		url  string
		opts []parley.RequestOption
		want string
	}
	hostOf := func(s *wiretest.Server) string {
		u, err := url.Parse(s.URL())
		require.NoError(t, err)
		return u.Host
	}
	var asks []ask
	for _, s := range []*wiretest.Server{a, b} {
		for _, user := range []string{"one", "two"} {
			asks = append(asks,
				ask{s.URL() + "/x", []parley.RequestOption{parley.WithBearerToken(user)}, hostOf(s) + " Bearer " + user},
				ask{s.URL() + "/x", []parley.RequestOption{parley.WithCookie("user", user)}, hostOf(s) + " user=" + user},
				ask{s.URL() + "/x", []parley.RequestOption{parley.WithHeader("X-Api-Key", user)}, hostOf(s) + " " + user},
			)
		}
		asks = append(asks, ask{s.URL() + "/x", nil, hostOf(s) + " "})
	}
	var all sync.WaitGroup
	for _, q := range asks {
		all.Go(func() {
			resp, err := c.Get(t.Context(), q.url, q.opts...)
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, q.want, text)
			require.False(t, resp.Timing().Merged)
		})
	}
	all.Wait()
}

func TestS034_requestsWithCredentialsAreNotMerged(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]parley.RequestOption{
		"Authorization":                {parley.WithBearerToken("one")},
		"a cookie":                     {parley.WithCookie("a", "b")},
		"Proxy-Authorization":          {parley.WithHeader("Proxy-Authorization", "Basic eA==")},
		"a header that is not known":   {parley.WithHeader("X-Api-Key", "k")},
		"one that is spelled its own":  {parley.WithRequestMiddleware(spelled("x-api-key"))},
		"credentials of an Auth":       {parley.WithAuth(parley.AuthFunc(func(_ context.Context, r *parley.Request) error { r.Header.Set("X-Sign", "s"); return nil }))},
		"a function that chooses ways": {parley.WithProxyFunc(func(*parley.Request) (*url.URL, error) { return nil, nil })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &oneByOne{}
			inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
				together(t, getting(t, c, "x", opts...), getting(t, c, "x", opts...))
				require.EqualValues(t, 2, s.n.Load())
			}, parley.WithMergedGets(true))
		})
	}
	t.Run("cookies of the jar, and what network middleware adds", func(t *testing.T) {
		t.Parallel()
		s := &oneByOne{}
		add := func(next parley.Transport) parley.Transport {
			return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
				if req.URL.Path == "/signed" {
					req = req.Clone()
					req.Header.Set("Authorization", "of the context")
				}
				return next.Send(ctx, req)
			})
		}
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				w.Header().Set("Set-Cookie", "user=one; path=/account")
				return
			}
			s.serve(w, r)
		}, func(t *testing.T, c *parley.Client) {
			_, err := c.Get(t.Context(), "login")
			require.NoError(t, err)
			together(t, getting(t, c, "account"), getting(t, c, "account"), getting(t, c, "signed"), getting(t, c, "signed"))
			require.EqualValues(t, 4, s.n.Load())
		}, parley.WithMergedGets(true), parley.WithNetworkMiddleware(add))
	})
}

// spelled sends a header under a name as it is written.
func spelled(name string) parley.Middleware {
	return func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			req = req.Clone()
			req.Header[name] = []string{"k"}
			return next.Send(ctx, req)
		})
	}
}

func TestS034_answersForOneUserAreNotShared(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fields []string
		shared bool
	}{
		"Set-Cookie":           {[]string{"Set-Cookie", "a=b"}, false},
		"private":              {[]string{"Cache-Control", "max-age=60, Private"}, false},
		"private for a field":  {[]string{"Cache-Control", `private="x-user"`}, false},
		"no-store":             {[]string{"Cache-Control", "no-store"}, false},
		"Vary: *":              {[]string{"Vary", "accept, *"}, false},
		"public":               {[]string{"Cache-Control", "public, max-age=60"}, true},
		"Vary by what is sent": {[]string{"Vary", "Accept"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &oneByOne{fields: test.fields}
			inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
				responses := together(t, getting(t, c, "x"), getting(t, c, "x"), getting(t, c, "x"))
				if test.shared {
					require.EqualValues(t, 1, s.n.Load())
					return
				}
				require.EqualValues(t, 3, s.n.Load())
				seen := map[string]bool{}
				for _, resp := range responses {
					text, err := resp.Text()
					require.NoError(t, err)
					seen[text] = true
				}
				require.Len(t, seen, 3, "each answer went to one call")
			}, parley.WithMergedGets(true), parley.WithJar(nil))
		})
	}
}

// Sessions that differ share nothing, also when one is derived from the other.
func TestS034_sessionsDoNotShareAnswers(t *testing.T) {
	t.Parallel()
	s := &oneByOne{}
	inBubble(t, s.serve, func(t *testing.T, c *parley.Client) {
		d, err := c.With()
		require.NoError(t, err)
		together(t, getting(t, c, "x"), getting(t, d, "x"))
		require.EqualValues(t, 2, s.n.Load())
	}, parley.WithMergedGets(true))
}
