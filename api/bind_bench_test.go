package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// bindBenchClient answers at once, without a network, so that what is measured is the making
// of requests and the reading of answers.
func bindBenchClient(b testing.TB) *parley.Client {
	return bindSession(b, "http://api.test/v1", parley.WithTransport(parley.TransportFunc(
		func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			return &parley.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
				Body: io.NopCloser(strings.NewReader(`{"title":"a"}`)), ContentLength: 13,
			}, nil
		})))
}

// bindByHand are the functions of bindBenchDecl as one would write them.
type bindByHand struct{ c *parley.Client }

func (h bindByHand) Get(ctx context.Context, user string) (bindNote, error) {
	return parley.As[bindNote](h.c.Get(ctx, "users/{user}", parley.WithPath("user", user)))
}

func (h bindByHand) List(ctx context.Context, user, sort string, o bindPaging) (bindNote, error) {
	return parley.As[bindNote](h.c.Get(ctx, "users/{user}/notes", parley.WithPath("user", user), parley.WithParams(o), parley.WithHeader("X-Sort", sort)))
}

func (h bindByHand) Put(ctx context.Context, user string, n bindNote) error {
	resp, err := h.c.Put(ctx, "users/{user}/note", parley.WithPath("user", user), parley.WithJSON(n))
	if err != nil {
		return err
	}
	return resp.Err()
}

type bindBenchDecl struct {
	Get  func(ctx context.Context, user string) (bindNote, error)                     `http:"GET users/{user}"`
	List func(ctx context.Context, user, sort string, o bindPaging) (bindNote, error) `http:"GET users/{user}/notes" args:"user, header:X-Sort, query"`
	Put  func(ctx context.Context, user string, n bindNote) error                     `http:"PUT users/{user}/note"`
}

// Reflection is done when a declaration is bound; a call costs a few allocations for its
// arguments and results. Those of the pools beneath come and go for both.
func TestBind_costsLittleMoreThanByHand(t *testing.T) {
	c := bindBenchClient(t)
	hand, v := bindByHand{c}, bound[bindBenchDecl](t, c)
	allocations := func(call func() error) float64 {
		return testing.AllocsPerRun(200, func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		})
	}
	ctx := t.Context()
	for name, calls := range map[string][2]func() error{
		"get": {
			func() error { _, err := hand.Get(ctx, "ada"); return err },
			func() error { _, err := v.Get(ctx, "ada"); return err },
		},
		"list": {
			func() error { _, err := hand.List(ctx, "ada", "up", bindPaging{Page: 2}); return err },
			func() error { _, err := v.List(ctx, "ada", "up", bindPaging{Page: 2}); return err },
		},
		"put": {
			func() error { return hand.Put(ctx, "ada", bindNote{Title: "a"}) },
			func() error { return v.Put(ctx, "ada", bindNote{Title: "a"}) },
		},
	} {
		byHand, bound := allocations(calls[0]), allocations(calls[1])
		require.LessOrEqual(t, bound, byHand+8, "%s: %v by hand", name, byHand)
	}
}

// What a declaration costs beside the same written by hand.
func BenchmarkBind(b *testing.B) {
	c := bindBenchClient(b)
	hand, v := bindByHand{c}, bound[bindBenchDecl](b, c)
	ctx := context.Background()
	o := bindPaging{Page: 2}
	for _, bench := range []struct {
		name string
		call func() error
	}{
		{"get/by hand", func() error { _, err := hand.Get(ctx, "ada"); return err }},
		{"get/bound", func() error { _, err := v.Get(ctx, "ada"); return err }},
		{"list/by hand", func() error { _, err := hand.List(ctx, "ada", "up", o); return err }},
		{"list/bound", func() error { _, err := v.List(ctx, "ada", "up", o); return err }},
		{"put/by hand", func() error { return hand.Put(ctx, "ada", bindNote{Title: "a"}) }},
		{"put/bound", func() error { return v.Put(ctx, "ada", bindNote{Title: "a"}) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
