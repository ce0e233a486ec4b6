package parley_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// A trailer that is worked out while the body is sent arrives after it, whatever carries
// it, for each kind of body.
func TestWithTrailer_onEveryTransport(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		_, announced := r.Trailer["X-Sum"]
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		want := fmt.Sprintf("%x", sha256.Sum256(content))
		fmt.Fprint(w, announced, " ", r.ContentLength, " ", r.Trailer.Get("X-Sum") == want)
	}
	server := serveHTTP2(t, serve, nil)
	for name, c := range map[string]*parley.Client{
		"HTTP/1.1": server.session(t, parley.WithHTTP2(parley.HTTP2Off)),
		"HTTP/2":   server.session(t),
		"handler":  newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(serve))),
		"net/http": newSession(t, parley.WithBaseURL(server.URL), parley.WithTransport(parley.FromRoundTripper(server.Client().Transport))),
	} {
		for what, body := range map[string]func(io.Writer) parley.RequestOption{
			"a reader": func(sum io.Writer) parley.RequestOption {
				return parley.WithReader(io.TeeReader(inParts("some ", "content"), sum))
			},
			"an iterator": func(sum io.Writer) parley.RequestOption {
				return parley.WithChunks(func(yield func([]byte, error) bool) {
					for b := range slicesOf(nil, "some ", "content") {
						sum.Write(b)
						if !yield(b, nil) {
							return
						}
					}
				})
			},
			"bytes": func(sum io.Writer) parley.RequestOption {
				io.WriteString(sum, "some content")
				return parley.WithBytes([]byte("some content"))
			},
		} {
			sum := sha256.New()
			resp, err := c.Post(t.Context(), "x", body(sum), parley.WithTrailer("x-sum", func() string { return fmt.Sprintf("%x", sum.Sum(nil)) }))
			require.NoError(t, err, name+what)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "true -1 true", text, "%s %s", name, what)
		}
	}
}
