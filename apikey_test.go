package parley_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestAPIKeyHeader(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		return wiretest.OK(r.Header.Get("X-Api-Key"))
	}))
	key, err := parley.APIKeyHeader("x-api-key", "k1")
	require.NoError(t, err)
	client := newSession(t, parley.WithAuth(key))
	require.Equal(t, "k1", textOf(t, client, server.URL()))
	require.Equal(t, "", textOf(t, client, server.URL(), parley.WithoutAuth()))
	for _, bad := range [][2]string{{"x\n", "k"}, {"x", "SECRET\n"}, {"", "k"}} {
		_, err := parley.APIKeyHeader(bad[0], bad[1])
		require.ErrorIs(t, err, parley.ErrInvalidHeader)
		requireNoLeak(t, err)
	}
	for _, bad := range [][2]string{{"Host", "k"}, {"content-length", "1"}, {"x", ""}} {
		_, err := parley.APIKeyHeader(bad[0], bad[1])
		require.Error(t, err)
	}
}

func TestAPIKeyQuery(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	key, err := parley.APIKeyQuery("key", "a b&c")
	require.NoError(t, err)
	client := newSession(t, parley.WithAuth(key))
	for ref, want := range map[string]string{
		"/":            "/?key=a%20b%26c",
		"/?":           "/?key=a%20b%26c",
		"/?q=1&q=%20+": "/?q=1&q=%20+&key=a%20b%26c",
		"/?key=x&q=1":  "/?q=1&key=a%20b%26c",
	} {
		require.Equal(t, want, textOf(t, client, server.URL()+ref))
	}
	_, err = client.Get(t.Context(), server.URL(), parley.WithTarget("*"))
	require.ErrorIs(t, err, parley.ErrLocalProtocol)

	t.Run("it shows neither in errors nor in what prints", func(t *testing.T) {
		key, err := parley.APIKeyQuery("key", secret)
		require.NoError(t, err)
		client := derive(t, client, parley.WithAuth(key))
		resp, err := client.Get(t.Context(), server.URL())
		require.NoError(t, err)
		requireNoLeak(t, resp)
		_, err = client.Get(t.Context(), "http://127.0.0.1:1/")
		require.ErrorIs(t, err, parley.ErrConnect)
		requireNoLeak(t, err)
	})
	for _, bad := range [][2]string{{"", "k"}, {"k", ""}} {
		_, err := parley.APIKeyQuery(bad[0], bad[1])
		require.Error(t, err)
	}
}

func TestCombineAuth(t *testing.T) {
	t.Parallel()
	key, err := parley.APIKeyHeader("X-Api-Key", "k1")
	require.NoError(t, err)
	t.Run("a key and a challenge", func(t *testing.T) {
		t.Parallel()
		s := serveDigest(t, func(_ int, f map[string]string, r *wiretest.Request) string {
			if f == nil {
				return unauthorized(`nonce=n, qop=auth`)
			}
			return wiretest.OK(r.Header.Get("X-Api-Key"))
		})
		client := newSession(t, parley.WithAuth(parley.CombineAuth(key, digestAuth(t))))
		require.Equal(t, "k1", textOf(t, client, s.URL()))
	})
	t.Run("the first is the outermost", func(t *testing.T) {
		t.Parallel()
		var order []string
		named := func(name string) parley.Auth {
			return parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
				order = append(order, name)
				req.Header.Set("Authorization", name)
				return nil
			})
		}
		var got string
		client := newSession(t, parley.WithAuth(parley.CombineAuth(named("a"), named("b"))),
			parley.WithTransport(guarded(func(v string) bool { got = v; return true })))
		statusOf(t, client)
		require.Equal(t, []string{"a", "b"}, order)
		require.Equal(t, "b", got)
	})
	t.Run("an error of one is that of all", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("broken")
		client := newSession(t, parley.WithTransport(unreached(t)),
			parley.WithAuth(parley.CombineAuth(key, parley.AuthFunc(func(context.Context, *parley.Request) error { return broken }))))
		_, err := client.Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, broken)
	})
	t.Run("all together send three times at most", func(t *testing.T) {
		t.Parallel()
		sends := 0
		stubborn := stubbornAuth{4}
		client := newSession(t, parley.WithAuth(parley.CombineAuth(stubborn, key)),
			parley.WithTransport(guarded(func(string) bool { sends++; return true })))
		_, err := client.Get(t.Context(), "http://a.test/")
		require.ErrorIs(t, err, parley.ErrLocalProtocol)
		require.Equal(t, 3, sends)
	})
	t.Run("none, and nil", func(t *testing.T) {
		t.Parallel()
		client := newSession(t, parley.WithTransport(guarded(func(string) bool { return true })))
		require.Equal(t, 200, statusOf(t, client, parley.WithAuth(parley.CombineAuth())))
		_, err := client.Get(t.Context(), "http://a.test/", parley.WithAuth(parley.CombineAuth(key, nil)))
		require.ErrorContains(t, err, "nil")
		require.Equal(t, "<2 auths combined>", fmt.Sprint(parley.CombineAuth(key, nil)))
	})
}

// stubbornAuth sends as often as it says.
type stubbornAuth struct{ times int }

func (s stubbornAuth) Send(ctx context.Context, req *parley.Request, next parley.Transport) (resp *parley.Response, err error) {
	for range s.times {
		if resp, err = next.Send(ctx, req); err != nil {
			return nil, err
		}
	}
	return resp, nil
}
