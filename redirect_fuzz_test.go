package parley_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// FuzzRedirect leads a request with all kinds of secrets to whatever a server says, and
// checks that it is an error or a request that may be sent, without the secrets
// wherever the origin is another one.
func FuzzRedirect(f *testing.F) {
	for _, location := range []string{
		"/next", "//b.test/", "http://a.test:80/x", "http://u:p@a.test/", "https://a.test/", "http://A.TEST./", "?q", "#f", "../..", "http:x",
		"http://a.test\\@b.test/", "http://[::1%25a]/", "\xff\xfe", "/%zz", "mailto:x", "http://a.test#@b.test/",
	} {
		f.Add(location, "http://b.test/y", uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, first, second string, kind uint8, withBody bool) {
		var sent []*parley.Request
		locations := []string{first, second}
		transport := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			sent = append(sent, req)
			if len(sent) > len(locations) {
				return &parley.Response{StatusCode: 200}, nil
			}
			return &parley.Response{
				StatusCode: redirectStatuses[int(kind)%len(redirectStatuses)],
				Header:     http.Header{"Location": {locations[len(sent)-1]}, "Set-Cookie": {"s=1"}},
			}, nil
		})
		c, err := parley.New(parley.WithEnv(false), parley.WithTransport(transport), parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"), parley.WithJar(nil))
		require.NoError(t, err)
		var opts []parley.RequestOption
		if withBody {
			opts = append(opts, parley.WithText("content"))
		}
		resp, err := c.Post(t.Context(), "http://a.test/dir/start?x#fragment", append(opts, parley.WithCookie("c", "SECRET"))...)
		if err != nil {
			var redirect *parley.RedirectError
			require.ErrorAs(t, err, &redirect)
			require.True(t, errors.Is(err, parley.ErrInvalidURL) || errors.Is(err, parley.ErrUnsupportedProtocol) || errors.Is(err, parley.ErrInsecureRedirect), "%v", err)
			require.NotContains(t, err.Error(), "SECRET")
			require.Less(t, len(err.Error()), 1024)
		} else {
			require.Len(t, resp.History, len(sent)-1)
		}
		left := false
		for _, req := range sent {
			require.Contains(t, []string{"http", "https"}, req.URL.Scheme)
			require.NotEmpty(t, req.URL.Hostname())
			require.Nil(t, req.URL.User)
			require.Empty(t, req.URL.Opaque)
			require.True(t, strings.HasPrefix(req.URL.EscapedPath(), "/"))
			again, err := parley.NewRequest("GET", req.URL.String())
			require.NoError(t, err, "what is sent can be parsed")
			require.Equal(t, req.URL.String(), again.URL.String(), "to itself")
			left = left || req.URL.Scheme != "http" || req.URL.Host != "a.test"
			for _, name := range []string{"Authorization", "X-Key", "Cookie"} {
				require.Equal(t, !left, strings.Contains(req.Header.Get(name), "SECRET"), name)
			}
			require.Equal(t, req.Body != nil, req.Header["Content-Type"] != nil)
			require.True(t, req.Method == http.MethodPost || req.Body == nil)
		}
	})
}
