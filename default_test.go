package parley_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

func TestDefault_functionsOfThePackageNeedNoSession(t *testing.T) {
	t.Parallel()
	server := parleytest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1"})
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		io.WriteString(w, strings.Join([]string{r.Method, r.URL.RequestURI(), string(body), r.Header.Get("Cookie"), r.UserAgent()[:7]}, "|"))
	}))
	type function = func(context.Context, string, ...parley.RequestOption) (*parley.Response, error)
	for method, call := range map[string]function{
		"GET": parley.Get, "OPTIONS": parley.Options, "POST": parley.Post, "PUT": parley.Put, "PATCH": parley.Patch, "DELETE": parley.Delete,
		"HEAD": parley.Head,
		"LINK": func(ctx context.Context, url string, opts ...parley.RequestOption) (*parley.Response, error) {
			return parley.Stream(ctx, "LINK", url, opts...)
		},
	} {
		for range 2 {
			resp, err := call(t.Context(), server.URL+"/x", parley.WithQuery("q", "1"), parley.WithText("body"))
			require.NoError(t, err, method)
			text, err := resp.Text()
			require.NoError(t, err, method)
			want := method + "|/x?q=1|body||parley/"
			if method == "HEAD" {
				want = ""
			}
			require.Equal(t, want, text, "no cookie is kept")
		}
	}
	_, err := parley.Get(t.Context(), "x")
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	_, err = parley.Stream(t.Context(), "GET", "x")
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}
