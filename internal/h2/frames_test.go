package h2

import (
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// pieces is a connection of which only the reading matters: each Read gives n bytes.
type pieces struct {
	net.Conn
	data []byte
	n    int
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(c.n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

// frame makes the bytes of frames.
func frame(write func(f *http2.Framer)) []byte {
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	write(f)
	return out.Bytes()
}

// listen gives the reading side of a connection.
func listen(nc net.Conn) (net.Conn, *ear) {
	e := newEar(New(Config{}), nc, func() {}, &Conn{changed: func() {}})
	return newWire(nc, e), e
}

// Whatever net/http would only write to the log is left out, at whichever byte it is split.
func TestWire_leavesOutWhatIsIgnored(t *testing.T) {
	t.Parallel()
	settings := frame(func(f *http2.Framer) { f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) })
	ping := frame(func(f *http2.Framer) { f.WritePing(false, [8]byte{1, 2, 3}) })
	block := frame(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("abc")})
		f.WriteRawFrame(0xa, 0, 1, []byte("amid a block: an error"))
		f.WriteContinuation(1, true, []byte("d"))
	})
	wrong := frame(func(f *http2.Framer) {
		f.WriteRawFrame(http2.FramePriority, 0, 1, []byte("four"))
		f.WriteRawFrame(http2.FramePriority, 0, 0, []byte("five5"))
		f.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, []byte("five5"))
		f.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, make([]byte, 4))
		f.WriteWindowUpdate(0, 77)
	})
	ignored := frame(func(f *http2.Framer) {
		f.WritePriority(1, http2.PriorityParam{StreamDep: 3})
		f.WriteRawFrame(0xc, 0, 0, []byte("an origin"))
		f.WriteRawFrame(0xff, 0xff, 9, nil)
	})
	data := bytes.Join([][]byte{settings, ignored, ping, ignored, block, wrong, ignored, ping, ignored}, nil)
	want := bytes.Join([][]byte{settings, ping, block, wrong, ping}, nil)
	for n := 1; n <= len(data); n++ {
		nc, _ := listen(&pieces{data: bytes.Clone(data), n: n})
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, want, got, n)
	}
	// What ends amid a frame is passed on as it came.
	for n := range len(settings) + len(ping) {
		cut := append(bytes.Clone(settings), ping...)[:n]
		nc, _ := listen(&pieces{data: bytes.Clone(cut), n: 5})
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, cut, got[:n:n])
	}
}

func TestWire_aBufferThatIsTooShort(t *testing.T) {
	t.Parallel()
	nc, _ := listen(&pieces{})
	_, err := nc.Read(make([]byte, 9))
	require.ErrorIs(t, err, io.ErrShortBuffer)
}

// A legitimate frame that net/http does not know is no reason for a line in the log.
func TestConn_unknownFramesAreNotLogged(t *testing.T) {
	var lines bytes.Buffer
	log.SetOutput(&lines)
	defer log.SetOutput(os.Stderr)
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		stream := p.request()
		p.WriteRawFrame(0xa, 0, 0, []byte("alternative"))
		p.WritePriority(stream, http2.PriorityParam{StreamDep: 3})
		p.ok(stream)
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	require.NoError(t, exchange(t, c, newRequest(t.Context(), t, "GET", nil)))
	c.Close()
	s.Close()
	require.Empty(t, lines.String())
}

// flood lets copies of a frame come.
func flood(t *testing.T, e *ear, frame []byte, times int) error {
	t.Helper()
	e.nc.(*pieces).data = bytes.Repeat(frame, times)
	_, err := io.Copy(io.Discard, reader(e.read))
	return err
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// begun is a connection of which the settings have come.
func begun(t *testing.T, n int) *ear {
	t.Helper()
	_, e := listen(&pieces{n: n})
	require.NoError(t, flood(t, e, frame(func(f *http2.Framer) { f.WriteSettings() }), 1))
	return e
}

func TestWire_whatFramesCost(t *testing.T) {
	t.Parallel()
	begun := func() *ear { return begun(t, 1<<20) }
	ping := frame(func(f *http2.Framer) { f.WritePing(false, [8]byte{}) })
	data := frame(func(f *http2.Framer) { f.WriteData(1, false, []byte("x")) })
	for name, one := range map[string][]byte{
		"ping": ping, "ping's answer": frame(func(f *http2.Framer) { f.WritePing(true, [8]byte{}) }),
		"settings":         frame(func(f *http2.Framer) { f.WriteSettings() }),
		"settings' answer": frame(func(f *http2.Framer) { f.WriteSettingsAck() }),
		"reset":            frame(func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeCancel) }),
		"window":           frame(func(f *http2.Framer) { f.WriteWindowUpdate(1, 1) }),
		"all the window":   frame(func(f *http2.Framer) { f.WriteWindowUpdate(0, 1) }),
		"empty data":       frame(func(f *http2.Framer) { f.WriteData(1, false, nil) }),
		"padding":          frame(func(f *http2.Framer) { f.WriteDataPadded(1, false, nil, make([]byte, 255)) }),
		"a head":           frame(func(f *http2.Framer) { f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true}) }),
		"more of a head":   frame(func(f *http2.Framer) { f.WriteContinuation(1, false, nil) }),
		"priority":         frame(func(f *http2.Framer) { f.WritePriority(1, http2.PriorityParam{}) }),
		"unknown":          frame(func(f *http2.Framer) { f.WriteRawFrame(0xbb, 0, 0, nil) }),
		"goodbye":          frame(func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeNo, nil) }),
		"nobody's data":    data,
		"a push": frame(func(f *http2.Framer) {
			f.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}),
		"unknown, longer": frame(func(f *http2.Framer) { f.WriteRawFrame(0xbb, 0, 0, make([]byte, 100)) }),
	} {
		e := begun()
		require.NoError(t, flood(t, e, one, maxSpare/2), name)
		require.ErrorIs(t, flood(t, e, one, 2*maxSpare), errFlood, name)
		require.Equal(t, Malformed, KindOf(errFlood))
	}
	many := frame(func(f *http2.Framer) { f.WriteSettings(make([]http2.Setting, 100)...) })
	require.ErrorIs(t, flood(t, begun(), many, maxSpare/50), errFlood, "each setting counts")

	t.Run("data costs nothing while somebody waits for it", func(t *testing.T) {
		e := begun()
		e.c.active.Store(1)
		require.NoError(t, flood(t, e, data, 3*maxSpare))
		require.NoError(t, flood(t, e, append(bytes.Repeat(ping, spareAFrame), data...), 3*maxSpare))
	})
	t.Run("requests bring some", func(t *testing.T) {
		e := begun()
		for range maxSpare {
			e.c.calls.Add(1)
			require.NoError(t, flood(t, e, ping, spareARound))
		}
	})
	t.Run("their bodies bring some", func(t *testing.T) {
		e := begun()
		for range maxSpare {
			e.c.bodies.Add(3 * bytesASpare)
			require.NoError(t, flood(t, e, ping, 2))
		}
	})
	t.Run("time brings some", func(t *testing.T) {
		e := begun()
		e.frames.since = time.Now().Add(-time.Hour)
		require.NoError(t, flood(t, e, ping, 2*maxSpare-10))
		require.ErrorIs(t, flood(t, e, ping, 2*maxSpare), errFlood, "but never more than there was")
	})
}

// No stream is let have a window that is too large, which net/http once could not take.
func TestWindows(t *testing.T) {
	t.Parallel()
	const room = maxWindow - initialWindow
	type step struct {
		sent    int64 // of all bodies, since the last step
		initial int64 // of windows; -1: not changed
		update  uint32
		want    int64 // of which is passed on; -1: an error
	}
	for name, steps := range map[string][]step{
		"up to the largest":           {{0, -1, 1, 1}, {0, -1, room - 1, room - 1}},
		"too much at once":            {{0, -1, room + 1, -1}},
		"too much by and by":          {{0, -1, room - 1, room - 1}, {0, -1, 1, 1}, {0, -1, 1, -1}},
		"what was sent may come back": {{0, -1, room, room}, {100, -1, 99, 0}, {100, -1, 100, 0}, {100, -1, 102, -1}},
		"what is held back comes later": {
			{0, -1, room - 10, room - 10}, {100, -1, 50, 10}, {1000, -1, 100, 0}, {trusted, -1, 1000, 1140},
		},
		"a larger window to begin with":  {{0, maxWindow - 5, 5, 5}, {0, -1, 1, -1}},
		"a smaller window to begin with": {{0, 0, maxWindow, maxWindow}, {0, 10, 1, -1}},
		"nothing is net/http's error":    {{0, -1, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 7, 1000} {
				e := begun(t, n)
				for _, s := range steps {
					e.c.bodies.Add(s.sent)
					e.nc.(*pieces).data = frame(func(f *http2.Framer) {
						if s.initial >= 0 {
							f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 9},
								http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(s.initial)})
						}
						f.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, binary.BigEndian.AppendUint32(nil, s.update))
					})
					got, err := io.ReadAll(reader(e.read))
					if s.want < 0 {
						require.ErrorIs(t, err, errWindow)
						require.Equal(t, Malformed, KindOf(err))
						break
					}
					require.NoError(t, err)
					passed := int64(0)
					if s.initial >= 0 {
						got = got[frameHeader+2*settingBytes:]
					}
					if len(got) > 0 {
						require.Len(t, got, frameHeader+updateSize)
						passed = int64(binary.BigEndian.Uint32(got[len(got)-updateSize:]))
					}
					require.Equal(t, s.want, passed, s)
				}
			}
		})
	}
}

// The windows of how many streams are remembered is bounded.
func TestWindows_ofManyStreams(t *testing.T) {
	t.Parallel()
	e := begun(t, 1000)
	for stream := range uint32(2*manyStreams + 1) {
		e.c.calls.Add(1)
		for range 2 {
			require.NoError(t, flood(t, e, frame(func(f *http2.Framer) { f.WriteWindowUpdate(stream*2+1, 1) }), 1))
		}
		require.LessOrEqual(t, len(e.frames.windows.recent)+len(e.frames.windows.older), 2*manyStreams)
		require.EqualValues(t, 2, e.frames.windows.of(stream*2+1).passed)
	}
}

// The same with net/http: neither the request nor the connection hangs.
func TestConn_aWindowThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		p.WriteWindowUpdate(p.request(), maxWindow)
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	body, more := io.Pipe()
	defer more.Close()
	err := exchange(t, c, newRequest(t.Context(), t, "POST", body))
	require.Equal(t, Malformed, KindOf(err), "%v", err)
	require.False(t, c.Usable())
}

// The windows that net/http and wire count are the same ones.
func TestConn_aLargeUploadPassesItsWindows(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		var stream uint32
		for got := 0; got < size; {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				stream = f.StreamID
				p.WriteWindowUpdate(stream, maxWindow-(1<<16-1))
			case *http2.DataFrame:
				if n := len(f.Data()); n > 0 {
					got += n
					p.WriteWindowUpdate(0, uint32(n))
					p.WriteWindowUpdate(stream, uint32(n))
				}
			}
		}
		p.ok(stream)
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	require.NoError(t, exchange(t, c, newRequest(t.Context(), t, "POST", bytes.NewReader(make([]byte, size)))))
	wiretest.Eventually(t, c.Usable, "nothing is wrong with it")
}
