package parley_test

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// fallbackServer chooses HTTP/2, and wants HTTP/1.1 for everything below /old.
type fallbackServer struct {
	*wiretest.Server
	wanted   atomic.Int64 // requests that were refused
	old, now atomic.Int64 // connections of HTTP/1.1 and of HTTP/2
}

func serveFallback(t *testing.T, authority *wiretest.Authority, byHTTP1 func(c *wiretest.Conn)) *fallbackServer {
	t.Helper()
	s := &fallbackServer{}
	config := authority.Server(t)
	config.NextProtos = []string{"h2", "http/1.1"}
	s.Server = wiretest.ServeTLS(t, config, func(c *wiretest.Conn) {
		if c.TLS.NegotiatedProtocol != "h2" {
			s.old.Add(1)
			byHTTP1(c)
			return
		}
		if _, err := io.ReadFull(c.Reader, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		s.now.Add(1)
		p := &peer{Framer: http2.NewFramer(c, c.Reader), conn: c}
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.enc = hpack.NewEncoder(&p.buf)
		p.WriteSettings()
		for stream, path := p.request(); stream != 0; stream, path = p.request() {
			if strings.HasPrefix(path, "/old") {
				s.wanted.Add(1)
				p.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
				continue
			}
			p.ok(stream, "by HTTP/2: "+path)
		}
	})
	return s
}

// What a server wants HTTP/1.1 for it gets by that, on a connection beside that of HTTP/2,
// which goes on. Nothing of the request is lost.
func TestHTTP2_AServerMayWantHTTP1ForARequest(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	s := serveFallback(t, authority, func(c *wiretest.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			c.Say(wiretest.OK(strings.Join([]string{"by HTTP/1.1:", r.Method, r.RequestURI, r.Header.Get("X-Mine"), string(r.Content)}, " ")))
		}
	})
	c := newSession(t, parley.WithBaseURL("https://"+s.Addr()), parley.WithTLSConfig(authority.Trusted()), parley.WithEnv(false))
	require.Equal(t, "by HTTP/2: /new", textOf(t, c, "new"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			resp, err := c.Post(t.Context(), "old?q=1", parley.WithText("body"), parley.WithHeader("X-Mine", "mine"))
			if !assert.NoError(t, err) {
				return
			}
			text, err := resp.Text()
			assert.NoError(t, err)
			assert.Equal(t, "by HTTP/1.1: POST /old?q=1 mine body", text)
			assert.Equal(t, "HTTP/1.1", resp.Proto)
			assert.Equal(t, 2, resp.Timing().Attempt)
		})
		all.Go(func() { assert.Equal(t, "by HTTP/2: /new", textOf(t, c, "new")) })
	}
	all.Wait()
	require.EqualValues(t, 4, s.wanted.Load(), "each is refused once")
	require.EqualValues(t, 1, s.now.Load(), "there is one connection of HTTP/2")
	require.EqualValues(t, 4, c.Stats().Replays)
	require.Zero(t, c.Stats().Active)

	// A body that cannot be had again is not sent twice.
	_, err := c.Post(t.Context(), "old", parley.WithReader(io.MultiReader(strings.NewReader("once"))))
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	requireNotSent(t, err)
	// Nor does a session that demands HTTP/2 fall back.
	_, err = derive(t, c, parley.WithHTTP2(parley.HTTP2Required)).Get(t.Context(), "old")
	require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	requireNotSent(t, err)
}

// Falling back is tried once, whatever comes of it.
func TestHTTP2_FallingBackIsTriedOnce(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	s := serveFallback(t, authority, func(c *wiretest.Conn) { _, _ = c.ReadRequest() }) // and closes
	c := newSession(t, parley.WithBaseURL("https://"+s.Addr()), parley.WithTLSConfig(authority.Trusted()), parley.WithEnv(false))
	for i := range int64(2) {
		_, err := c.Get(t.Context(), "old")
		require.ErrorIs(t, err, parley.ErrPeerClosed)
		require.Equal(t, parley.MaybeSent, sentOf(t, err))
		require.Equal(t, i+1, s.wanted.Load())
		require.Equal(t, i+1, s.old.Load())
	}
	require.Zero(t, c.Stats().Active)
	require.Equal(t, "by HTTP/2: /new", textOf(t, c, "new"))
}
