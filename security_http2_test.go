package parley_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// misbehaving starts a peer that lets do answer the first request of its first
// connection, and answers all others with their path.
func misbehaving(t *testing.T, settings []http2.Setting, do func(p *peer, stream uint32)) *wiretest.Server {
	t.Helper()
	wiretest.Guard(t, guardTime)
	return servePeer(t, settings, func(p *peer) {
		if p.conn.Index == 0 {
			stream, _ := p.request()
			do(p, stream)
		}
		p.serve()
	})
}

// requireAnew demands that the next request is answered on another connection, on which
// the one after it goes too.
func requireAnew(t *testing.T, c *parley.Client, s *wiretest.Server) {
	t.Helper()
	for range 2 {
		require.Equal(t, "/next", textOf(t, c, "next"))
	}
	require.Equal(t, 2, s.Accepted())
}

// What is about a connection of HTTP/1.1 is not seen, wherever it comes.
func TestS168_HeadersOfTheConnectionDoNotPass(t *testing.T) {
	t.Parallel()
	hop := []string{
		"transfer-encoding", "chunked", "connection", "x-secret", "keep-alive", "timeout=5",
		"proxy-connection", "keep-alive", "upgrade", "h2c", "x-kept", "kept",
	}
	s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
		p.head(stream, false, append([]string{":status", "103"}, hop...)...)
		p.head(stream, false, append([]string{":status", "200", "trailer", "x-kept"}, hop...)...)
		p.WriteData(stream, false, []byte("5\r\nhello\r\n0\r\n\r\n"))
		p.head(stream, true, hop...)
	})
	c := peerSession(t, s)
	var interim []http.Header
	resp, err := c.Get(t.Context(), "", parley.WithInformational(func(_ int, h http.Header) { interim = append(interim, h.Clone()) }))
	if err != nil { // a later net/http may refuse such a head
		require.ErrorIs(t, err, parley.ErrRemoteProtocol)
		return
	}
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "5\r\nhello\r\n0\r\n\r\n", text, "a body is what it is, whatever a header says of its coding")
	kept := http.Header{"X-Kept": {"kept"}}
	require.Equal(t, kept, resp.Header)
	require.Equal(t, kept, resp.Trailer)
	require.Equal(t, []http.Header{kept}, interim)
	require.EqualValues(t, -1, resp.ContentLength)
}

func TestS168_ALengthIsOneLength(t *testing.T) {
	t.Parallel()
	for name, lengths := range map[string][]string{
		"two":           {"5", "6"},
		"two in one":    {"5, 6"},
		"a sign":        {"+5"},
		"less than one": {"-5"},
		"hexadecimal":   {"0x5"},
		"words":         {"five"},
		"spaces":        {" 5 "},
		"none":          {""},
		"too large":     {"99999999999999999999"},
		"a good one":    {"5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				fields := []string{":status", "200"}
				for _, v := range lengths {
					fields = append(fields, "content-length", v)
				}
				p.head(stream, false, fields...)
				p.WriteData(stream, true, []byte("hello"))
			})
			resp, err := peerSession(t, s).Get(t.Context(), "")
			if name == "a good one" {
				require.Equal(t, "hello", bodyText(t, resp, err))
				require.Equal(t, []string{"5"}, resp.Header["Content-Length"])
				return
			}
			require.ErrorIs(t, err, parley.ErrRemoteProtocol)
			require.Equal(t, parley.Answering, sentOf(t, err))
		})
	}
}

// A body is as long as was said, not longer and not shorter.
func TestS168_TheLengthHolds(t *testing.T) {
	t.Parallel()
	for length, want := range map[string]error{"4": parley.ErrRemoteProtocol, "6": parley.ErrPeerClosed, "0": parley.ErrRemoteProtocol} {
		s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200", "content-length", length)
			p.WriteData(stream, true, []byte("hello"))
		})
		_, err := peerSession(t, s).Get(t.Context(), "")
		require.ErrorIs(t, err, want, length)
	}
}

// Frames can be no smaller than 16 KiB: a client that believes otherwise writes for ever.
func TestS169_SizesOfFramesOutsideTheirRange(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{0, 1, 1 << 24} {
		t.Run(strconv.Itoa(int(size)), func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guardTime)
			s := servePeer(t, nil, func(p *peer) {
				p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: size})
				p.rest()
			})
			other := servePeer(t, []http2.Setting{}, (*peer).serve)
			c := peerSession(t, s)
			_, err := c.Post(t.Context(), "", parley.WithHeader("X-Large", strings.Repeat("x", 100<<10)))
			if !errors.Is(err, parley.ErrRemoteProtocol) { // the connection was over before the request
				require.ErrorIs(t, err, parley.ErrPeerClosed)
			}
			require.Less(t, len(s.Text()), 1<<20, "it does not write on and on")
			require.Equal(t, "/", textOf(t, c, other.URL()), "other hosts are unaffected")
		})
	}
}

// A head ends, or the connection does.
func TestS170_EndlessContinuation(t *testing.T) {
	boundless := map[string]func(p *peer, stream uint32) (sent int){
		"of 16 KiB each": func(p *peer, stream uint32) (sent int) {
			piece := p.block("x-large", strings.Repeat("\xff", 10<<10)) // not compressed
			for p.WriteContinuation(stream, false, piece) == nil && sent < 10_000*len(piece) {
				sent += len(piece)
			}
			return sent
		},
		"of nothing": func(p *peer, stream uint32) (sent int) {
			many := bytes.Repeat(frameBytes(func(f *http2.Framer) { f.WriteContinuation(stream, false, nil) }), 1000)
			for sent < 1000*len(many) {
				if _, err := p.conn.Write(many); err != nil {
					break
				}
				sent += len(many)
			}
			return sent
		},
	}
	for name, pour := range boundless {
		t.Run(name, func(t *testing.T) {
			sent := make(chan int, 1)
			s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(":status", "200")})
				sent <- pour(p, stream)
			})
			c := peerSession(t, s)
			boundedHeap(t, func() {
				_, err := c.Get(t.Context(), "")
				require.ErrorIs(t, err, parley.ErrRemoteProtocol)
			})
			require.Less(t, <-sent, 32<<20, "most of which is in the buffers of sockets")
			requireAnew(t, c, s)
		})
	}
}

// frameBytes gives frames as they are sent.
func frameBytes(write func(f *http2.Framer)) []byte {
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	write(f)
	return out.Bytes()
}

// Few bytes that stand for many are a head that is too large.
func TestS171_CompressionBombs(t *testing.T) {
	const table = 4096 - 32 - 1 // the largest entry with a name of one letter
	entry := append([]byte{0x40, 0x01, 'x', 0x7f}, 0xe0, 0x1e)
	for name, block := range map[string][]byte{
		// A header that is remembered (RFC 7541, section 6.2.1), and referred to.
		"an entry referred to": append(append(entry, strings.Repeat("v", table)...), bytes.Repeat([]byte{0xbe}, 10_000)...),
		"a larger table":       {0x3f, 0xe1, 0xff, 0xff, 0x07},
		"a number without end": append([]byte{0x7f}, bytes.Repeat([]byte{0xff}, 1000)...),
		"a code cut short":     {0x40, 0x81, 0xff, 0x81, 0xff},
		"a code that ends it":  {0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				block := append(p.block(":status", "200"), block...)
				p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: true})
			})
			c := peerSession(t, s)
			boundedHeap(t, func() {
				_, err := c.Get(t.Context(), "")
				require.ErrorIs(t, err, parley.ErrRemoteProtocol)
			})
			require.Equal(t, "/next", textOf(t, c, "next"))
		})
	}
}

// A server is told that nothing may be pushed, and what it pushes is an error.
func TestS173_PushIsRefused(t *testing.T) {
	t.Parallel()
	s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
		block := p.block(":method", "GET", ":scheme", "http", ":path", "/pushed", ":authority", "a.test", "cookie", "a=b")
		p.WritePushPromise(http2.PushPromiseParam{StreamID: stream, PromiseID: 2, BlockFragment: block, EndHeaders: true})
		p.head(2, false, ":status", "200", "set-cookie", "pushed=1")
		p.WriteData(2, true, []byte("pushed"))
		p.ok(stream, "late")
	})
	c := peerSession(t, s)
	_, err := c.Get(t.Context(), "")
	require.ErrorIs(t, err, parley.ErrRemoteProtocol)
	requireAnew(t, c, s)
	req, err := c.NewRequest("GET", "pushed")
	require.NoError(t, err)
	require.Empty(t, c.Jar().Cookies(req.URL))
	require.Equal(t, "/pushed", textOf(t, c, "pushed"))

	first := http2.NewFramer(nil, strings.NewReader(strings.TrimPrefix(s.Received()[0], http2.ClientPreface)))
	f, err := first.ReadFrame()
	require.NoError(t, err)
	push, said := f.(*http2.SettingsFrame).Value(http2.SettingEnablePush)
	require.True(t, said)
	require.Zero(t, push)
}

// A peer that is dead, or says goodbye and no more, holds nobody up for ever.
func TestS175_APeerThatFallsSilent(t *testing.T) {
	t.Parallel()
	const soon = 30 * time.Millisecond
	for name, silence := range map[string]func(p *peer, stream uint32){
		"after its settings": func(*peer, uint32) {},
		"after a goodbye":    func(p *peer, stream uint32) { p.WriteGoAway(stream, http2.ErrCodeNo, nil) },
		"amid a body": func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200")
			p.WriteData(stream, false, []byte("x"))
		},
		"amid a frame": func(p *peer, _ uint32) { p.conn.Say("\x00\x00\x08\x06") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				silence(p, stream)
				p.conn.Hold() // reads nothing, either
			})
			_, err := peerSession(t, s).Get(t.Context(), "", parley.WithTimeouts(parley.Timeouts{Response: soon, Read: soon}))
			require.ErrorIs(t, err, parley.ErrTimeout)

			s = misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				silence(p, stream)
				p.conn.Hold()
			})
			pool, err := parley.NewPool(parley.PoolConfig{HTTP2: parley.HTTP2Settings{PingAfter: soon, PingTimeout: soon}})
			require.NoError(t, err)
			defer pool.Close()
			asking := peerSession(t, s, parley.WithTransport(pool))
			_, err = asking.Post(t.Context(), "")
			require.ErrorIs(t, err, parley.ErrNetwork, "the ping is not answered")
			require.Zero(t, pool.Stats().Active+pool.Stats().Idle)
			requireAnew(t, asking, s)
		})
	}
}

// The module asks for versions in which the known flaws of its HTTP/2 are mended.
func TestS178_TheModuleRequiresPatchedVersions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	required := map[string]string{"go": "1.26.3", "golang.org/x/net": "v0.61.0"}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || required[words[0]] == "" {
			continue
		}
		require.GreaterOrEqual(t, versionNumbers(t, words[1]), versionNumbers(t, required[words[0]]), line)
		delete(required, words[0])
	}
	require.Empty(t, required, "are not named")
}

// versionNumbers makes a number of a version, to compare it.
func versionNumbers(t *testing.T, version string) (n int) {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	require.Len(t, parts, 3)
	for _, part := range parts {
		i, err := strconv.Atoi(part)
		require.NoError(t, err)
		n = n*1000 + i
	}
	return n
}
