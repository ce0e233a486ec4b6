package parley_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
)

func TestS160_DripsDoNotRenewLimitsByHTTP2(t *testing.T) {
	t.Parallel()
	drip := func(p *peer, say func()) {
		for range 1000 {
			if !p.conn.Pause(50 * time.Millisecond) {
				return
			}
			say()
		}
	}
	const limit = 300 * time.Millisecond
	for name, test := range map[string]struct {
		script func(p *peer, stream uint32)
		limits parley.Timeouts
		want   lapse
	}{
		// How far an answer has come before its head is complete is not told by net/http.
		"a byte of the head each 50 ms": {func(p *peer, stream uint32) {
			block := p.block(":status", "200", "x-long", strings.Repeat("x", 1000))
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:1]})
			drip(p, func() {
				block = block[1:]
				p.WriteContinuation(stream, false, block[:1])
			})
		}, parley.Timeouts{Response: limit}, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, limit, parley.MaybeSent}},
		"an interim answer each 50 ms": {func(p *peer, stream uint32) {
			drip(p, func() { p.head(stream, false, ":status", "103") })
		}, parley.Timeouts{Response: limit}, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, limit, parley.MaybeSent}},
		"a ping each 50 ms": {func(p *peer, _ uint32) {
			drip(p, func() { p.WritePing(false, [8]byte{1}) })
		}, parley.Timeouts{Response: limit}, lapse{parley.ErrResponseTimeout, parley.PhaseResponse, limit, parley.MaybeSent}},
		"a byte of the body each 50 ms": {func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200")
			drip(p, func() { p.WriteData(stream, false, []byte("x")) })
		}, parley.Timeouts{Total: 1800 * time.Millisecond, Read: time.Second},
			lapse{parley.ErrTotalTimeout, parley.PhaseRead, 1800 * time.Millisecond, parley.Answering}},
		"silence in the body": {func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200")
			p.rest()
		}, parley.Timeouts{Read: short}, lapse{parley.ErrReadTimeout, parley.PhaseRead, short, parley.Answering}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servePeer(t, []http2.Setting{}, func(p *peer) {
				if stream, _ := p.request(); stream != 0 {
					test.script(p, stream)
				}
			})
			c := peerSession(t, s, parley.WithTimeouts(test.limits))
			start := time.Now()
			_, err := c.Get(t.Context(), "")
			requireLapse(t, err, start, test.want)
			requireNoneActive(t, c)
		})
	}
}

// What a peer says in frames is quoted and cut as what it says in lines is.
func TestS166_PeerBytesInFramesAreQuotedAndCut(t *testing.T) {
	t.Parallel()
	const forgery = "\n[INFO] forged \x1b[31m"
	long := forgery + strings.Repeat("x\x1b", 1<<12)
	for name, say := range map[string]func(p *peer, stream uint32){
		"the words of a GOAWAY":  func(p *peer, stream uint32) { p.WriteGoAway(stream, http2.ErrCodeInternal, []byte(long)) },
		"the code of a GOAWAY":   func(p *peer, stream uint32) { p.WriteGoAway(stream, 0xdeadbeef, nil) },
		"the code of a reset":    func(p *peer, stream uint32) { p.WriteRSTStream(stream, 0xdeadbeef); p.rest() },
		"a status":               func(p *peer, stream uint32) { p.head(stream, true, ":status", long); p.rest() },
		"the name of a header":   func(p *peer, stream uint32) { p.head(stream, true, ":status", "200", "x"+long, "y"); p.rest() },
		"the value of a header":  func(p *peer, stream uint32) { p.head(stream, true, ":status", "200", "x", long); p.rest() },
		"a name that HTTP/2 has": func(p *peer, stream uint32) { p.head(stream, true, ":status", "200", ":"+long, "y"); p.rest() },
		"a length": func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200", "content-length", long)
			p.rest()
		},
		"two lengths": func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200", "content-length", "1", "content-length", "2")
			p.rest()
		},
		"a trailer": func(p *peer, stream uint32) {
			p.head(stream, false, ":status", "200")
			p.head(stream, true, "x"+long, "y")
			p.rest()
		},
		"a frame of no kind": func(p *peer, stream uint32) {
			p.WriteRawFrame(http2.FrameType(0x1b), 0xff, stream, []byte(long))
			p.WriteRawFrame(http2.FrameData, 0, 0, []byte(long))
			p.rest()
		},
		"lines of HTTP/1.1":  func(p *peer, _ uint32) { p.conn.Say("HTTP/1.1 400 Bad\r\nX: " + long + "\r\n\r\n"); p.rest() },
		"words out of place": func(p *peer, _ uint32) { p.conn.Say(long); p.rest() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servePeer(t, []http2.Setting{}, func(p *peer) {
				if stream, _ := p.request(); stream != 0 {
					say(p, stream)
				}
			})
			_, err := peerSession(t, s, parley.WithPhaseTimeout(guard)).Post(t.Context(), "")
			require.Error(t, err)
			walk(err, func(err error) { requirePlain(t, err.Error()) })
		})
	}
}

// An answer that comes before the upload has ended: of 300 and more it stops the upload,
// else that goes on until the answer ends.
func TestHTTP2_EarlyAnswers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/413":
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			io.WriteString(w, "too large")
		case "/200":
			io.WriteString(w, "begin ")
			w.(http.Flusher).Flush()
			n, _ := io.Copy(io.Discard, r.Body)
			io.WriteString(w, strings.Repeat("x", int(n)))
		}
	}, func(t *testing.T, s *http2Server, c *parley.Client) {
		body := &endless{}
		resp, err := c.Post(t.Context(), "413", parley.WithReader(body))
		require.Equal(t, "too large", bodyText(t, resp, err))
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		r, w := io.Pipe()
		resp, err = c.Stream(t.Context(), "POST", "200", parley.WithReader(r))
		require.NoError(t, err)
		_, err = io.WriteString(w, "four")
		require.NoError(t, err)
		w.Close()
		require.Equal(t, "begin xxxx", bodyText(t, resp, err))
		_, err = resp.Conn()
		require.Error(t, err, "a stream is no connection")
		require.EqualValues(t, 1, s.conns.Load())
		requireNoneActive(t, c)
		require.LessOrEqual(t, body.closed.Load(), int64(1))
	})
}
