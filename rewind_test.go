package parley_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// Whatever asks for a body a second time: one that cannot be opened twice fails the call
// before anything of the second try is sent, one that can is sent whole.
func TestRewind_isWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	const content = "the content"
	digest := func() parley.Option {
		a, err := parley.DigestAuth("user", "secret")
		require.NoError(t, err)
		return parley.WithAuth(a)
	}
	// Each server answers the first try with what asks for a second one.
	seconds := map[string]struct {
		first string // "": the connection is closed
		opt   parley.Option
	}{
		"a redirect":                {"HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", nil},
		"a redirect for good":       {"HTTP/1.1 308 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", nil},
		"a challenge":               {"HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n", digest()},
		"a connection that is gone": {"", nil},
	}
	bodies := map[string]struct {
		body  func() parley.RequestOption
		again bool
	}{
		"a reader":    {func() parley.RequestOption { return parley.WithReader(inParts("the ", "content")) }, false},
		"an iterator": {func() parley.RequestOption { return parley.WithChunks(slicesOf(nil, "the ", "content")) }, false},
		"a form with a reader": {func() parley.RequestOption {
			return parley.WithMultipart(parley.FormReader("f", "f.txt", inParts(content)))
		}, false},
		"bytes":            {func() parley.RequestOption { return parley.WithBytes([]byte(content)) }, true},
		"a file":           {func() parley.RequestOption { return parley.WithBodyFile(fileWith(t, "f.txt", content)) }, true},
		"a strings.Reader": {func() parley.RequestOption { return parley.WithReader(strings.NewReader(content)) }, true},
		"an iterator that can be ranged over again": {func() parley.RequestOption {
			return parley.WithBody(parley.Rewindable(parley.ChunksBody(slicesOf(nil, content))))
		}, true},
		"a form": {func() parley.RequestOption { return parley.WithMultipart(parley.FormField("f", content)) }, true},
		"JSON":   {func() parley.RequestOption { return parley.WithJSON(content) }, true},
	}
	for why, second := range seconds {
		for what, test := range bodies {
			t.Run(what+" after "+why, func(t *testing.T) {
				t.Parallel()
				s := wiretest.Serve(t, refusesFirst(second.first))
				opts := []parley.ClientOption{}
				if second.opt != nil {
					opts = append(opts, second.opt)
				}
				c := sessionTo(t, s, opts...)
				_, err := c.Head(t.Context(), "warm")
				require.NoError(t, err)
				resp, err := c.Put(t.Context(), "here", test.body())
				if !test.again {
					require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
					require.Equal(t, 1, strings.Count(s.Text(), "PUT "), "nothing of a second try")
					return
				}
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Contains(t, text, content)
				require.Equal(t, 2, strings.Count(s.Text(), content))
			})
		}
	}
}

// refusesFirst answers the first PUT with text, or by closing the connection if that is
// "", and every other one with its content.
func refusesFirst(text string) func(*wiretest.Conn) {
	var puts atomic.Int32
	return func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			if r.Method == "PUT" {
				if puts.Add(1) == 1 {
					if text == "" || !c.Say(text) {
						return
					}
					continue
				}
			}
			if !c.Say(answerTo(r)) {
				return
			}
		}
	}
}

// answerTo gives the content back, but not to HEAD.
func answerTo(r *wiretest.Request) string {
	if r.Method == "HEAD" {
		return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	}
	return wiretest.OK(string(r.Content))
}
