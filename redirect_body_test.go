package parley_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestRedirect_shortBodiesAreDrainedAndTheConnectionServesOn(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"none":                 "Content-Length: 0\r\n\r\n",
		"short":                "Content-Length: 5\r\n\r\n12345",
		"2 KiB":                "Content-Length: 2048\r\n\r\n" + strings.Repeat("x", 2048),
		"chunks":               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
		"chunks with trailers": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
		"coded, but not so":    "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newCrossing(t, map[string]string{
				"http://a.test/1": "HTTP/1.1 302 Found\r\nLocation: /2\r\n" + body, "http://a.test/2": "HTTP/1.1 302 Found\r\nLocation: /3\r\n" + body,
			})
			for entry, send := range entryPoints {
				resp, err := send(t.Context(), x.client, "GET", "http://a.test/1")
				require.NoError(t, err, entry)
				_, err = resp.Bytes()
				require.NoError(t, err, entry)
			}
			require.Equal(t, 1, x.servers["http://a.test"].Accepted())
		})
	}
}

func TestRedirect_longBodiesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(*wiretest.Conn){
		"large":  func(c *wiretest.Conn) { c.Say("Content-Length: 1073741824\r\n\r\n" + strings.Repeat("x", 4096)) },
		"silent": func(c *wiretest.Conn) { c.Say("Content-Length: 10\r\n\r\n") },
		"endless": func(c *wiretest.Conn) {
			for c.Say("Transfer-Encoding: chunked\r\n\r\n"); c.Say("4\r\nbody\r\n"); {
			}
		},
		"slow": func(c *wiretest.Conn) {
			c.Say("Content-Length: 1000\r\n\r\n")
			c.Drip(strings.Repeat("x", 1000), 5*time.Millisecond)
		},
		"until the end": func(c *wiretest.Conn) { c.Say("\r\nbody") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if r, err := c.ReadRequest(); err == nil && r.URL.Path == "/1" {
					c.Say("HTTP/1.1 302 Found\r\nLocation: /2\r\n")
					body(c)
					c.Rest()
				} else if err == nil {
					c.Say(wiretest.OK("there"))
				}
			})
			c := wireClient(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 1, Hard: 1}), parley.WithEnv(false))
			start := time.Now()
			resp, err := c.Get(t.Context(), s.URL()+"/1")
			require.NoError(t, err)
			require.Less(t, time.Since(start), time.Second)
			require.Equal(t, "/2", resp.Request.URL.Path)
			require.Equal(t, 2, s.Accepted())
			_, err = resp.History[0].Body.Read(make([]byte, 1))
			require.Error(t, err)
		})
	}
}

func TestRedirect_bodiesAreSentAgain(t *testing.T) {
	t.Parallel()
	const content = "the content"
	own := &ownBody{parts: []string{"the ", "content"}, size: int64(len(content))}
	unsized := &ownBody{parts: []string{"the ", "content"}, size: -1}
	for name, body := range map[string]parley.RequestOption{
		"bytes":        parley.WithBytes([]byte(content)),
		"reader":       parley.WithReader(strings.NewReader(content)),
		"buffer":       parley.WithReader(bytes.NewBufferString(content)),
		"file":         parley.WithBodyFile(fileWith(t, "file", content)),
		"own":          parley.WithBody(own),
		"own, unsized": parley.WithBody(unsized),
	} {
		t.Run(name, func(t *testing.T) {
			x := newCrossing(t, map[string]string{"http://a.test/1": leads(307, "/2"), "http://a.test/2": leads(308, "http://b.test/3")})
			_, err := x.client.Put(t.Context(), "http://a.test/1", body)
			require.NoError(t, err)
			seen := x.seen()
			require.Len(t, seen, 3)
			for _, a := range seen {
				require.Equal(t, "PUT", a.Method)
				require.Equal(t, content, string(a.Content))
			}
		})
	}
	require.Equal(t, own.opened.Load(), own.closed.Load())
	require.EqualValues(t, 3, unsized.opened.Load())
}

func TestRedirect_bodyThatCannotBeSentAgain(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"http://a.test/307": leads(307, "/next"), "http://a.test/302": leads(302, "/next"), "http://a.test/303": leads(303, "/next"),
	})
	for name, send := range entryPoints {
		t.Run(name, func(t *testing.T) {
			_, err := send(t.Context(), x.client, "POST", "http://a.test/307", parley.WithReader(inParts("once", "only")))
			require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
			require.Equal(t, 307, requireRedirectError(t, err).Response.StatusCode)
			require.Equal(t, []string{"POST http://a.test/307"}, x.way(), "nothing half sent")

			for _, status := range []string{"302", "303"} { // the body is dropped
				resp, err := send(t.Context(), x.client, "POST", "http://a.test/"+status, parley.WithReader(inParts("once", "only")))
				require.NoError(t, err)
				require.NoError(t, resp.Close())
				require.Equal(t, []string{"POST http://a.test/" + status, "GET http://a.test/next"}, x.way())
			}
			resp, err := send(t.Context(), x.client, "POST", "http://a.test/307", parley.WithReader(inParts("once")), parley.WithFollowRedirects(false))
			require.NoError(t, err)
			_, err = resp.Next()
			require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
			require.NoError(t, resp.Close())
			x.seen()
		})
	}
	require.Zero(t, x.client.Stats().Active)
}

func TestRedirect_policyMayReplaceTheBodyThatCannotBeSentAgain(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/1": leads(307, "/2")})
	for _, body := range []parley.Body{nil, parley.BytesBody([]byte("another"), "")} {
		_, err := x.client.Post(t.Context(), "http://a.test/1", parley.WithReader(inParts("once")),
			parley.WithRedirectPolicy(func(_ context.Context, r *parley.Redirect) error {
				r.Next.Body = body
				return nil
			}))
		require.NoError(t, err)
		seen := x.seen()
		require.Equal(t, "once", string(seen[0].Content))
		require.Equal(t, map[bool]string{true: "", false: "another"}[body == nil], string(seen[1].Content))
	}
}

func TestRedirect_onceOnlyBodyThatWasNotAskedForIsStillThere(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		head, err := c.ReadHead()
		if err != nil {
			return
		}
		if strings.HasPrefix(head, "POST /1 ") {
			c.Say(leads(307, "/2"))
			c.Rest()
			return
		}
		c.Say("HTTP/1.1 100 Continue\r\n\r\n")
		if line, err := c.Reader.ReadString('\n'); err == nil && line == "7\r\n" {
			content := make([]byte, 14)
			if _, err := io.ReadFull(c.Reader, content); err == nil {
				c.Say(wiretest.OK(string(content[:7])))
			}
		}
		c.Rest()
	})
	for name, send := range entryPoints {
		c := wireClient(t, parley.WithEnv(false), parley.WithExpectTimeout(parley.NoTimeout))
		resp, err := send(t.Context(), c, http.MethodPost, s.URL()+"/1", parley.WithReader(inParts("content")), expecting)
		require.NoError(t, err, name)
		text, err := resp.Text()
		require.NoError(t, err, name)
		require.Equal(t, "content", text, name)
	}
}

func TestRedirect_keptBodyIsNotSentFromTLSInTheClear(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{
		"https://a.test/307": leads(307, "http://a.test/next"), "https://a.test/302": leads(302, "http://a.test/next"),
		"http://a.test/up": leads(308, "https://b.test/next"),
	})
	for name, send := range entryPoints {
		_, err := send(t.Context(), x.client, "POST", "https://a.test/307", parley.WithText("SECRET"))
		require.ErrorIs(t, err, parley.ErrInsecureRedirect, name)
		requireRedirectError(t, err)
		for _, ref := range []string{"https://a.test/302", "http://a.test/up"} {
			resp, err := send(t.Context(), x.client, "POST", ref, parley.WithText("SECRET"))
			require.NoError(t, err, name)
			require.NoError(t, resp.Close())
		}
		resp, err := send(t.Context(), x.client, "GET", "https://a.test/307")
		require.NoError(t, err, "without a body there is nothing to hide")
		require.NoError(t, resp.Close())
	}
	for _, a := range x.seen() {
		if a.origin == "http://a.test" && a.URL.Path == "/next" {
			require.Empty(t, a.Content)
		}
	}
}
