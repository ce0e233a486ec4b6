package parley_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// peer is a server of HTTP/2 that says frame by frame what a test wants.
type peer struct {
	*http2.Framer
	conn *wiretest.Conn
	enc  *hpack.Encoder
	buf  bytes.Buffer
	late bool // its settings, which come before all else, are still to come
}

// servePeer starts a server with prior knowledge. The preface has been read and settings
// have been sent when script runs.
func servePeer(t *testing.T, settings []http2.Setting, script func(*peer)) *wiretest.Server {
	t.Helper()
	return wiretest.Serve(t, peerScript(settings, script))
}

// peerScript is what servePeer lets a server do.
func peerScript(settings []http2.Setting, script func(*peer)) func(*wiretest.Conn) {
	return func(c *wiretest.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.Reader, preface); err != nil {
			return
		}
		p := &peer{Framer: http2.NewFramer(c, c.Reader), conn: c, late: settings == nil}
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.AllowIllegalWrites = true
		p.enc = hpack.NewEncoder(&p.buf)
		if settings != nil {
			p.WriteSettings(settings...)
		}
		script(p)
	}
}

// request waits for the header of a request, and answers what has to be answered.
func (p *peer) request() (stream uint32, path string) {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return 0, ""
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.StreamID, f.PseudoValue("path")
		case *http2.SettingsFrame:
			if !f.IsAck() && !p.late {
				p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.WritePing(true, f.Data)
			}
		}
	}
}

// head answers with a header: names and values in turn.
func (p *peer) head(stream uint32, end bool, fields ...string) {
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(fields...), EndHeaders: true, EndStream: end})
}

func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.buf.Bytes())
}

// ok answers with a body.
func (p *peer) ok(stream uint32, body string) {
	p.head(stream, false, ":status", "200")
	p.WriteData(stream, true, []byte(body))
}

// serve answers each request with its path until the connection ends.
func (p *peer) serve() {
	for stream, path := p.request(); stream != 0; stream, path = p.request() {
		p.ok(stream, path)
	}
}

// rest reads until the connection ends.
func (p *peer) rest() {
	for stream, _ := p.request(); stream != 0; stream, _ = p.request() {
	}
}

func peerSession(t *testing.T, s *wiretest.Server, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	base := []parley.ClientOption{parley.WithBaseURL(s.URL()), parley.WithHTTP2(parley.H2C), parley.WithEnv(false)}
	return newSession(t, append(base, opts...)...)
}

func bodyText(t *testing.T, resp *parley.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	return text
}

// What the server says it has not acted on is sent again, once, whatever the method.
func TestHTTP2_WhatTheServerDidNotActOnIsSentAgainOnce(t *testing.T) {
	t.Parallel()
	refusals := map[string]func(p *peer, stream uint32){
		"refused stream": func(p *peer, stream uint32) { p.WriteRSTStream(stream, http2.ErrCodeRefusedStream); p.rest() },
		"goaway below":   func(p *peer, stream uint32) { p.WriteGoAway(0, http2.ErrCodeNo, nil); p.rest() },
		"goaway below with an error": func(p *peer, stream uint32) {
			p.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("slow down"))
			p.rest()
		},
	}
	for name, refuse := range refusals {
		for _, always := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := servePeer(t, []http2.Setting{}, func(p *peer) {
					if p.conn.Index == 0 || always {
						stream, _ := p.request()
						refuse(p, stream)
						return
					}
					p.serve()
				})
				c := peerSession(t, s)
				resp, err := c.Post(t.Context(), "once", parley.WithText("body"))
				if always {
					require.ErrorIs(t, err, parley.ErrPeerClosed)
					requireNotSent(t, err)
					require.Equal(t, 2, s.Accepted())
					return
				}
				require.Equal(t, "/once", bodyText(t, resp, err))
				require.EqualValues(t, 1, c.Stats().Replays)
				// A body that cannot be opened again is not.
			})
		}
	}
}

// A server may take fewer requests on a connection than come at once.
func TestHTTP2_WhatComesTooLateForAConnectionIsSentOnTheNext(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 100}}, func(p *peer) {
		stream, path := p.request()
		p.WriteGoAway(stream, http2.ErrCodeNo, nil)
		p.ok(stream, path)
		p.rest()
	})
	c := peerSession(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 2}), parley.WithTimeouts(parley.Timeouts{Pool: 10 * time.Second}))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			resp, err := c.Post(t.Context(), "once", parley.WithText("body"))
			if assert.NoError(t, err) {
				text, err := resp.Text()
				assert.NoError(t, err)
				assert.Equal(t, "/once", text)
			}
		})
	}
	all.Wait()
	require.GreaterOrEqual(t, s.Accepted(), 8)
}

func TestHTTP2_ARefusedBodyThatCannotBeOpenedAgainIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		stream, _ := p.request()
		p.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		p.rest()
	})
	_, err := peerSession(t, s).Post(t.Context(), "once", parley.WithReader(io.MultiReader(strings.NewReader("x"))))
	require.ErrorIs(t, err, parley.ErrPeerClosed)
	requireNotSent(t, err)
	require.Equal(t, 1, s.Accepted())
}

// What the server may have acted on is not sent again.
func TestHTTP2_WhatTheServerMayHaveActedOnIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(p *peer, stream uint32)
		want error
	}{
		"reset":                {func(p *peer, stream uint32) { p.WriteRSTStream(stream, http2.ErrCodeInternal); p.rest() }, parley.ErrPeerClosed},
		"reset by cancel":      {func(p *peer, stream uint32) { p.WriteRSTStream(stream, http2.ErrCodeCancel); p.rest() }, parley.ErrPeerClosed},
		"closed":               {func(*peer, uint32) {}, parley.ErrPeerClosed},
		"goaway, and closed":   {func(p *peer, stream uint32) { p.WriteGoAway(stream, http2.ErrCodeNo, bytes.Repeat([]byte("x"), 9999)) }, parley.ErrPeerClosed},
		"a frame out of order": {func(p *peer, stream uint32) { p.WriteContinuation(stream, true, nil); p.rest() }, parley.ErrRemoteProtocol},
		"a push": {func(p *peer, stream uint32) {
			p.WritePushPromise(http2.PushPromiseParam{StreamID: stream, PromiseID: 2, EndHeaders: true})
			p.rest()
		}, parley.ErrRemoteProtocol},
		"a head without a status": {func(p *peer, stream uint32) { p.head(stream, true, "x", "y"); p.rest() }, parley.ErrRemoteProtocol},
		"a status that is none":   {func(p *peer, stream uint32) { p.head(stream, true, ":status", "2000"); p.rest() }, parley.ErrRemoteProtocol},
		"HTTP/1.1 is required":    {func(p *peer, stream uint32) { p.WriteRSTStream(stream, http2.ErrCodeHTTP11Required); p.rest() }, parley.ErrUnsupportedProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var posts atomic.Int32
			s := servePeer(t, []http2.Setting{}, func(p *peer) {
				for {
					stream, path := p.request()
					if path == "/post" {
						posts.Add(1)
						test.end(p, stream)
						return
					}
					if stream == 0 {
						return
					}
					p.ok(stream, path)
				}
			})
			c := peerSession(t, s)
			resp, err := c.Get(t.Context(), "first")
			require.Equal(t, "/first", bodyText(t, resp, err))
			_, err = c.Post(t.Context(), "post")
			require.ErrorIs(t, err, test.want)
			require.Less(t, len(err.Error()), 600, "what a peer sent is cut")
			if name != "HTTP/1.1 is required" {
				require.EqualValues(t, 1, posts.Load())
				require.NotEqual(t, parley.NotSent, sentOf(t, err))
			}
		})
	}
}

func TestHTTP2_AReusedConnectionThatIsGoneIsReplaced(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		if p.conn.Index > 0 {
			p.serve()
			return
		}
		stream, path := p.request()
		p.ok(stream, path)
		p.request() // is sent, and never answered
	})
	c := peerSession(t, s)
	for _, path := range []string{"/first", "/again"} {
		resp, err := c.Get(t.Context(), path)
		require.Equal(t, path, bodyText(t, resp, err))
	}
	require.EqualValues(t, 1, c.Stats().Replays)
}

// A GOAWAY lets what goes on end, and takes nothing new.
func TestHTTP2_GoAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		if p.conn.Index > 0 {
			p.serve()
			return
		}
		stream, _ := p.request()
		p.head(stream, false, ":status", "200")
		p.WriteData(stream, false, []byte("begin "))
		p.WriteGoAway(stream, http2.ErrCodeNo, nil)
		<-goOn
		p.WriteData(stream, true, []byte("end"))
		p.rest()
	})
	c := peerSession(t, s)
	resp, err := c.Stream(t.Context(), "GET", "long")
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 6))
	require.NoError(t, err)
	for range 3 {
		next, err := c.Post(t.Context(), "next", parley.WithText("x"))
		require.Equal(t, "/next", bodyText(t, next, err))
	}
	close(goOn)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "end", string(rest))
	require.Equal(t, 2, s.Accepted())
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 1 && c.Stats().Active == 0 }, "the first connection is closed")
}

func TestHTTP2_AnIdleConnectionThatSaysGoodbyeLeavesThePool(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		stream, path := p.request()
		p.ok(stream, path)
		p.WriteGoAway(stream, http2.ErrCodeNo, nil)
		p.rest()
	})
	c := peerSession(t, s)
	resp, err := c.Get(t.Context(), "x")
	require.Equal(t, "/x", bodyText(t, resp, err))
	wiretest.Eventually(t, func() bool { return c.Stats().Idle == 0 }, "the connection is gone")
}

// The server's limit of streams is kept from the first moment, and when it changes.
func TestHTTP2_TheLimitOfStreamsIsTheServers(t *testing.T) {
	t.Parallel()
	grow, seen := make(chan struct{}), make(chan uint32, 10)
	s := servePeer(t, nil, func(p *peer) {
		first, _ := p.request()
		seen <- first
		// The settings come late: nobody else has sent anything until then.
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		p.WriteSettingsAck()
		p.late = false
		second, _ := p.request()
		seen <- second
		<-grow
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 4})
		streams := []uint32{first, second}
		for len(streams) < 4 {
			stream, _ := p.request()
			seen <- stream
			streams = append(streams, stream)
		}
		for _, stream := range streams {
			p.ok(stream, "done")
		}
		p.rest()
	})
	c := peerSession(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 1}), parley.WithTimeouts(parley.Timeouts{Pool: 10 * time.Second}))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := c.Get(t.Context(), "")
			assert.NoError(t, err)
		})
	}
	<-seen
	<-seen
	wiretest.Eventually(t, func() bool { return c.Stats().Waiting == 2 }, "two wait")
	close(grow)
	all.Wait()
	require.Equal(t, 1, s.Accepted())
}

// A peer that answers no ping has its connection closed, with all that goes on there.
func TestHTTP2_ADeadPeerIsFoundByPing(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		p.request()
		if p.conn.Index > 0 {
			return
		}
		p.conn.Hold() // reads and says nothing any more
	})
	pool, err := parley.NewPool(parley.PoolConfig{HTTP2: parley.HTTP2Settings{PingAfter: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond}})
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	c := peerSession(t, s, parley.WithTransport(pool))
	_, err = c.Post(t.Context(), "")
	require.ErrorIs(t, err, parley.ErrRead)
	require.Equal(t, parley.MaybeSent, sentOf(t, err))
	require.Zero(t, pool.Stats().Idle+pool.Stats().Active)
}

// After a limit has passed with no sign of life, others do not wait for the same peer.
func TestHTTP2_AConnectionThatFellSilentIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		if p.conn.Index > 0 {
			p.serve()
			return
		}
		stream, path := p.request()
		p.ok(stream, path)
		p.conn.Hold()
	})
	c := peerSession(t, s)
	resp, err := c.Get(t.Context(), "one")
	require.Equal(t, "/one", bodyText(t, resp, err))
	_, err = c.Get(t.Context(), "two", parley.WithTimeouts(parley.Timeouts{Response: 20 * time.Millisecond}))
	require.ErrorIs(t, err, parley.ErrResponseTimeout)
	resp, err = c.Get(t.Context(), "three")
	require.Equal(t, "/three", bodyText(t, resp, err))
	require.Equal(t, 2, s.Accepted())
}

// Who reads slowly holds up nobody else, and is sent no more than the window allows.
func TestHTTP2_ASlowReaderHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := startHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			w.Write(make([]byte, 16<<20))
			return
		}
		io.WriteString(w, "small")
	}, true, nil)
	c := s.session(t)
	slow, err := c.Stream(t.Context(), "GET", "big")
	require.NoError(t, err)
	for range 20 {
		resp, err := c.Get(t.Context(), "small")
		require.Equal(t, "small", bodyText(t, resp, err))
	}
	n, err := io.Copy(io.Discard, slow.Body)
	require.NoError(t, err)
	require.EqualValues(t, 16<<20, n)
	require.EqualValues(t, 1, s.conns.Load())
}

// A body that waits in its own Read does not keep a call from ending.
func TestHTTP2_ABodyThatWaitsEndsWithTheCall(t *testing.T) {
	t.Parallel()
	s := startHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, true, nil)
	c := s.session(t)
	for name, read := range map[string]bool{"head": false, "body": true} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		resp, err := c.Stream(ctx, "POST", "", parley.WithReader(r))
		require.NoError(t, err, name)
		if read {
			time.AfterFunc(5*time.Millisecond, cancel)
			_, err = io.ReadAll(resp.Body)
			require.ErrorIs(t, err, context.Canceled)
		}
		resp.Close()
		cancel()
		_, err = w.Write([]byte("x"))
		require.Error(t, err, "the body is closed")
	}
}

func TestHTTP2_ABodyThatFailsIsTheCallersError(t *testing.T) {
	t.Parallel()
	s := startHTTP2(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, false, nil)
	c := s.session(t)
	bad := errors.New("no more tape")
	for _, body := range []parley.RequestOption{
		parley.WithReader(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(bad))),
		parley.WithBody(brokenBody{bad}),
	} {
		_, err := c.Post(t.Context(), "", body)
		require.ErrorIs(t, err, bad)
	}
	resp, err := c.Get(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.EqualValues(t, 1, s.conns.Load())
}
