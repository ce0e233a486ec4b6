package parley_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestIdempotencyKey_isTheSameForAllTries(t *testing.T) {
	t.Parallel()
	s := serveInTurn(t, refusal(503), "cut", refusal(307, "Location: /there\r\n"), refusal(500), wiretest.OK("good"), wiretest.OK("good"), wiretest.OK("good"))
	c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithIdempotencyKey(), promptly(parley.RetryPolicy{}))
	resp, err := c.Post(t.Context(), "x", parley.WithText("content"))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, s.seen(), 5)
	key := s.seen()[0].Header["Idempotency-Key"]
	require.Len(t, key, 1)
	require.Regexp(t, `^[A-Z2-7]{26}$`, key[0])
	for _, r := range s.seen() {
		require.Equal(t, key, r.Header["Idempotency-Key"])
	}
	_, err = c.Post(t.Context(), "x")
	require.NoError(t, err)
	require.NotEqual(t, key, s.seen()[5].Header["Idempotency-Key"], "another request has another")
}

func TestIdempotencyKey_whoGetsOne(t *testing.T) {
	t.Parallel()
	foreign := serveInTurn(t, wiretest.OK("good"))
	strange := foreign.URL()
	for name, test := range map[string]struct {
		method, url string
		opts        []parley.RequestOption
		want        string // "": none; "*": any
	}{
		"POST":                          {"POST", "x", nil, "*"},
		"PATCH":                         {"PATCH", "x", []parley.RequestOption{parley.WithText("a")}, "*"},
		"not GET":                       {"GET", "x", nil, ""},
		"not PUT":                       {"PUT", "x", nil, ""},
		"one's own":                     {"POST", "x", []parley.RequestOption{parley.WithHeader("Idempotency-Key", "mine")}, "mine"},
		"not where it is taken away":    {"POST", "x", []parley.RequestOption{parley.WithoutHeader("Idempotency-Key")}, ""},
		"not where it is not wanted":    {"POST", "x", []parley.RequestOption{parley.WithoutIdempotencyKey()}, ""},
		"not a stranger":                {"POST", strange, nil, ""},
		"on demand for a single method": {"GET", "x", []parley.RequestOption{parley.WithHeader("Idempotency-Key", "k")}, "k"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveInTurn(t, wiretest.OK("good"))
			c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithIdempotencyKey())
			send := func(do func() error) {
				to := s
				if test.url == strange {
					to = foreign
				}
				before := len(to.seen())
				require.NoError(t, do())
				require.Len(t, to.seen(), before+1)
				got := to.seen()[before].Header.Get("Idempotency-Key")
				if test.want == "*" {
					require.NotEmpty(t, got)
				} else {
					require.Equal(t, test.want, got)
				}
			}
			send(func() error { _, err := c.Request(t.Context(), test.method, test.url, test.opts...); return err })
			url := test.url
			if url != strange {
				url = s.URL() + "/x"
			}
			req, err := parley.NewRequest(test.method, url, test.opts...)
			require.NoError(t, err)
			send(func() error {
				resp, err := c.Send(t.Context(), req)
				if err == nil {
					err = resp.Close()
				}
				return err
			})
		})
	}
}

// Whoever sends the key says that the server knows it, so that even without a policy a
// request which was lost with an idle connection is sent again.
func TestS195_AKeyLetsALostRequestBeSentAgain(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		s := serveInTurn(t, wiretest.OK("good"), "cut", wiretest.OK("good"))
		c := newSession(t, parley.WithBaseURL(s.URL()))
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		opts := []parley.RequestOption{parley.WithText("content")}
		if keyed {
			opts = append(opts, parley.WithIdempotencyKey())
		}
		_, err = c.Post(t.Context(), "x", opts...)
		if keyed {
			require.NoError(t, err)
			require.Len(t, s.seen(), 3)
			continue
		}
		require.ErrorIs(t, err, parley.ErrPeerClosed)
		require.Len(t, s.seen(), 2)
	}
}
