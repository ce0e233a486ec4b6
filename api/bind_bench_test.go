package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
)

// benchClient answers at once, without a network, so that what is measured is the making
// of requests and the reading of answers.
func benchClient(b *testing.B) *parley.Client {
	return bindSession(b, "http://api.test/v1", parley.WithTransport(parley.TransportFunc(
		func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			return &parley.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
				Body: io.NopCloser(strings.NewReader(`{"title":"a"}`)), ContentLength: 13,
			}, nil
		})))
}

// byHand are the functions of bindBench as one would write them.
type byHand struct{ c *parley.Client }

func (h byHand) Get(ctx context.Context, user string) (note, error) {
	return parley.As[note](h.c.Get(ctx, "users/{user}", parley.WithPath("user", user)))
}

func (h byHand) List(ctx context.Context, user, sort string, o paging) (note, error) {
	return parley.As[note](h.c.Get(ctx, "users/{user}/notes", parley.WithPath("user", user), parley.WithParams(o), parley.WithHeader("X-Sort", sort)))
}

func (h byHand) Put(ctx context.Context, user string, n note) error {
	resp, err := h.c.Put(ctx, "users/{user}/note", parley.WithPath("user", user), parley.WithJSON(n))
	if err != nil {
		return err
	}
	return resp.Err()
}

type bindBench struct {
	Get  func(ctx context.Context, user string) (note, error)                 `http:"GET users/{user}"`
	List func(ctx context.Context, user, sort string, o paging) (note, error) `http:"GET users/{user}/notes" args:"user, header:X-Sort, query"`
	Put  func(ctx context.Context, user string, n note) error                 `http:"PUT users/{user}/note"`
}

// What a declaration costs beside the same written by hand.
func BenchmarkBind(b *testing.B) {
	c := benchClient(b)
	hand, v := byHand{c}, bound[bindBench](b, c)
	ctx := context.Background()
	o := paging{Page: 2}
	for _, bench := range []struct {
		name string
		call func() error
	}{
		{"get/by hand", func() error { _, err := hand.Get(ctx, "ada"); return err }},
		{"get/bound", func() error { _, err := v.Get(ctx, "ada"); return err }},
		{"list/by hand", func() error { _, err := hand.List(ctx, "ada", "up", o); return err }},
		{"list/bound", func() error { _, err := v.List(ctx, "ada", "up", o); return err }},
		{"put/by hand", func() error { return hand.Put(ctx, "ada", note{Title: "a"}) }},
		{"put/bound", func() error { return v.Put(ctx, "ada", note{Title: "a"}) }},
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
