package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// guarded answers 200 to what Authorization values accept likes, else 401.
func guarded(accept func(authorization string) bool) parley.TransportFunc {
	return func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		if accept(req.Header.Get("Authorization")) {
			return &parley.Response{StatusCode: 200}, nil
		}
		return &parley.Response{StatusCode: 401}, nil
	}
}

// numbered is a source of tokens t1, t2, …
func numbered(asked *atomic.Int32, life time.Duration) parley.TokenSource {
	return func(context.Context) (parley.Token, error) {
		t := parley.Token{Value: fmt.Sprint("t", asked.Add(1))}
		if life != 0 {
			t.Expires = time.Now().Add(life)
		}
		return t, nil
	}
}

func tokenSession(t testing.TB, src parley.TokenSource, transport parley.Transport) *parley.Client {
	t.Helper()
	c, err := parley.New(parley.WithAuth(parley.TokenAuth(src)), parley.WithTransport(transport))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func statusOf(t testing.TB, c *parley.Client, opts ...parley.RequestOption) int {
	t.Helper()
	resp, err := c.Post(t.Context(), "http://a.test/", opts...)
	require.NoError(t, err)
	return resp.StatusCode
}

func TestTokenAuth_isLazyAndKeepsTheToken(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var last string
	client := tokenSession(t, numbered(&asked, 0), guarded(func(v string) bool { last = v; return true }))
	require.Zero(t, asked.Load())
	for range 3 {
		require.Equal(t, 200, statusOf(t, client))
	}
	require.EqualValues(t, 1, asked.Load())
	require.Equal(t, "Bearer t1", last)
}

func TestTokenAuth_typeIsTheScheme(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{"": "Bearer x", "bearer": "Bearer x", "MAC": "MAC x"} {
		var got string
		src := func(context.Context) (parley.Token, error) { return parley.Token{Value: "x", Type: typ}, nil }
		statusOf(t, tokenSession(t, src, guarded(func(v string) bool { got = v; return true })))
		require.Equal(t, want, got)
	}
}

func TestTokenAuth_renewsBeforeTheEnd(t *testing.T) {
	for name, row := range map[string]struct{ life, at time.Duration }{
		"10 s before, of a long life":       {time.Hour, time.Hour - 10*time.Second},
		"a tenth before, of a short life":   {10 * time.Second, 9 * time.Second},
		"no sooner than that of a very one": {10 * time.Millisecond, 9 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				client := tokenSession(t, numbered(&asked, row.life), guarded(func(string) bool { return true }))
				statusOf(t, client)
				time.Sleep(row.at - time.Nanosecond)
				statusOf(t, client)
				require.EqualValues(t, 1, asked.Load())
				time.Sleep(time.Nanosecond)
				statusOf(t, client)
				require.EqualValues(t, 2, asked.Load())
			})
		})
	}
	t.Run("a token that has expired already serves those who wait for it", func(t *testing.T) {
		var asked atomic.Int32
		client := tokenSession(t, numbered(&asked, -time.Hour), guarded(func(string) bool { return true }))
		require.Equal(t, 200, statusOf(t, client))
		require.Equal(t, 200, statusOf(t, client))
		require.EqualValues(t, 2, asked.Load())
	})
}

func TestTokenAuth_oneFetchForAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		slow := func(ctx context.Context) (parley.Token, error) {
			time.Sleep(time.Second)
			return numbered(&asked, 0)(ctx)
		}
		client := tokenSession(t, slow, guarded(func(string) bool { return true }))
		first, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			_, err := client.Get(first, "http://a.test/")
			if !errors.Is(err, context.Canceled) || errors.Is(err, parley.ErrAuth) {
				t.Errorf("the first: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			running.Go(func() {
				if _, err := client.Get(t.Context(), "http://a.test/"); err != nil {
					t.Errorf("another: %v", err)
				}
			})
		}
		synctest.Wait()
		cancel() // whoever began the fetch may go, the others still get it
		running.Wait()
		require.EqualValues(t, 1, asked.Load())
	})
}

func TestTokenAuth_aFetchEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var asked, running atomic.Int32
		src := func(ctx context.Context) (parley.Token, error) {
			if running.Add(1) > 1 {
				t.Error("the source was asked twice at once")
			}
			defer running.Add(-1)
			require.Equal(t, "v", ctx.Value(key{}))
			if asked.Add(1) == 1 {
				<-ctx.Done()
				time.Sleep(time.Second) // it takes a while to notice
				return parley.Token{}, ctx.Err()
			}
			return parley.Token{Value: "x"}, nil
		}
		client := tokenSession(t, src, guarded(func(string) bool { return true }))
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), time.Second)
		defer cancel()
		_, err := client.Get(ctx, "http://a.test/")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, parley.ErrTimeout)
		_, err = client.Get(ctx, "http://a.test/")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		resp, err := client.Get(context.WithValue(t.Context(), key{}, "v"), "http://a.test/")
		require.NoError(t, err)
		require.True(t, resp.OK())
		require.EqualValues(t, 2, asked.Load())
	})
}

func TestTokenAuth_renewsOnceFor401s(t *testing.T) {
	t.Parallel()
	t.Run("one request", func(t *testing.T) {
		var asked atomic.Int32
		client := tokenSession(t, numbered(&asked, 0), guarded(func(v string) bool { return v == "Bearer t2" }))
		require.Equal(t, 200, statusOf(t, client, parley.WithText("body")))
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("many requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			var n atomic.Int32
			slow := parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
				time.Sleep(time.Duration(1+n.Add(1)%3) * time.Second) // the 401s come one after the other
				return guarded(func(v string) bool { return v != "Bearer t1" })(ctx, req)
			})
			client := tokenSession(t, func(ctx context.Context) (parley.Token, error) {
				time.Sleep(time.Second)
				return numbered(&asked, 0)(ctx)
			}, slow)
			var running sync.WaitGroup
			for range 20 {
				running.Go(func() {
					if resp, err := client.Get(t.Context(), "http://a.test/"); err != nil || !resp.OK() {
						t.Error(resp, err)
					}
				})
			}
			running.Wait()
			require.EqualValues(t, 2, asked.Load())
		})
	})
	t.Run("a second 401 is returned", func(t *testing.T) {
		var asked atomic.Int32
		sends := 0
		client := tokenSession(t, numbered(&asked, 0), guarded(func(string) bool { sends++; return false }))
		require.Equal(t, 401, statusOf(t, client))
		require.Equal(t, 2, sends)
	})
	t.Run("a body that cannot be sent again leaves the 401", func(t *testing.T) {
		var asked atomic.Int32
		used := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			body, err := req.Body.Open()
			require.NoError(t, err)
			return &parley.Response{StatusCode: 401}, body.Close()
		})
		client := tokenSession(t, numbered(&asked, 0), used)
		require.Equal(t, 401, statusOf(t, client, parley.WithReader(&onlyReader{})))
		require.EqualValues(t, 1, asked.Load())
	})
	t.Run("the source can use the connection of the 401", func(t *testing.T) {
		server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			switch {
			case r.URL.Path == "/token":
				return wiretest.OK("new")
			case r.Header.Get("Authorization") == "Bearer new":
				return wiretest.OK("in")
			}
			return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
		}))
		plain := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		old := "old"
		client := derive(t, plain, parley.WithAuth(parley.TokenAuth(func(ctx context.Context) (parley.Token, error) {
			if value := old; value != "" {
				old = ""
				return parley.Token{Value: value}, nil
			}
			resp, err := plain.Get(ctx, server.URL()+"/token")
			if err != nil {
				return parley.Token{}, err
			}
			value, err := resp.Text()
			return parley.Token{Value: value}, err
		})))
		require.Equal(t, "in", textOf(t, client, server.URL()))
	})
}

func TestTokenAuth_failures(t *testing.T) {
	t.Parallel()
	ok := guarded(func(string) bool { return true })
	t.Run("of the source", func(t *testing.T) {
		broken := errors.New("broken")
		client := tokenSession(t, func(context.Context) (parley.Token, error) { return parley.Token{}, broken }, ok)
		_, err := client.Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, err, parley.ErrAuth)
		var e *parley.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, parley.PhaseAuth, e.Phase)
		require.Equal(t, parley.NotSent, e.Sent)
	})
	t.Run("what is no token", func(t *testing.T) {
		for _, bad := range []parley.Token{{}, {Value: "SECRET\r\nX: y"}, {Value: "SECRET é"}, {Value: "SECRET", Type: "a b"}, {Value: "SECRET", Type: "\n"}} {
			client := tokenSession(t, func(context.Context) (parley.Token, error) { return bad, nil }, ok)
			_, err := client.Get(t.Context(), "http://a.test/")
			require.ErrorIs(t, err, parley.ErrAuth)
			requireNoLeak(t, err)
		}
	})
	t.Run("no source", func(t *testing.T) {
		_, err := tokenSession(t, nil, ok).Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, parley.ErrAuth)
	})
	t.Run("a panic is the caller's, and the next request asks again", func(t *testing.T) {
		asked := 0
		client := tokenSession(t, func(context.Context) (parley.Token, error) {
			if asked++; asked == 1 {
				panic("source")
			}
			return parley.Token{Value: "x"}, nil
		}, ok)
		require.PanicsWithValue(t, "source", func() { statusOf(t, client) })
		require.Equal(t, 200, statusOf(t, client))
	})
	t.Run("a source that sends through its own session", func(t *testing.T) {
		var client *parley.Client
		client = tokenSession(t, func(ctx context.Context) (parley.Token, error) {
			_, err := client.Get(ctx, "http://a.test/token")
			return parley.Token{}, err
		}, ok)
		_, err := client.Get(t.Context(), "http://a.test/")
		require.ErrorContains(t, err, "WithoutAuth")
	})
}

// foreignToken is made as those of golang.org/x/oauth2 are.
type foreignToken struct {
	value string
	valid bool
}

func (f *foreignToken) Valid() bool                     { return f.valid }
func (f *foreignToken) SetAuthHeader(req *http.Request) { req.Header.Set("Authorization", f.value) }

// foreignSource gives tokens by a function.
type foreignSource func() (*foreignToken, error)

func (f foreignSource) Token() (*foreignToken, error) { return f() }

func TestOAuth2Auth(t *testing.T) {
	t.Parallel()
	session := func(t *testing.T, src foreignSource, transport parley.Transport) *parley.Client {
		return newSession(t, parley.WithAuth(parley.OAuth2Auth(src)), parley.WithTransport(transport))
	}
	t.Run("a token is asked for when the last is not valid", func(t *testing.T) {
		asked := 0
		token := &foreignToken{"Bearer x", true}
		client := session(t, func() (*foreignToken, error) { asked++; return token, nil }, guarded(func(v string) bool { return v == "Bearer x" }))
		for range 3 {
			require.Equal(t, 200, statusOf(t, client))
		}
		require.Equal(t, 1, asked)
		token.valid = false
		statusOf(t, client)
		require.Equal(t, 2, asked)
	})
	t.Run("a 401 is returned as it is", func(t *testing.T) {
		sends := 0
		client := session(t, func() (*foreignToken, error) { return &foreignToken{"Bearer x", true}, nil },
			guarded(func(string) bool { sends++; return false }))
		require.Equal(t, 401, statusOf(t, client))
		require.Equal(t, 1, sends)
	})
	t.Run("a request that gives up leaves the source at work", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			client, err := parley.New(parley.WithTransport(guarded(func(string) bool { return true })),
				parley.WithAuth(parley.OAuth2Auth(foreignSource(func() (*foreignToken, error) {
					asked++
					time.Sleep(time.Minute)
					return &foreignToken{"Bearer x", true}, nil
				}))))
			require.NoError(t, err)
			_, err = client.Get(t.Context(), "http://a.test/", parley.WithTimeout(time.Second))
			require.ErrorIs(t, err, parley.ErrTotalTimeout)
			require.Equal(t, 200, statusOf(t, client))
			require.Equal(t, 1, asked)
			require.NoError(t, client.Close())
		})
	})
	t.Run("failures", func(t *testing.T) {
		broken := errors.New("broken")
		_, err := session(t, func() (*foreignToken, error) { return nil, broken }, unreached(t)).Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, broken)
		for _, header := range []string{"", "Bearer SECRET\n"} {
			_, err = session(t, func() (*foreignToken, error) { return &foreignToken{header, true}, nil }, unreached(t)).Get(t.Context(), "http://a.test/")
			require.ErrorIs(t, err, parley.ErrAuth)
			requireNoLeak(t, err)
		}
	})
}

// unreached is a transport that nothing must reach.
func unreached(t testing.TB) parley.Transport {
	return guarded(func(string) bool { t.Error("sent"); return false })
}
