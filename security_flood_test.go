package parley_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
)

// A peer that sends frames without end, of which none is of use, is cut off: no request
// waits for it longer than its limit, and the next one finds another connection.
func TestS172_FloodsOfFrames(t *testing.T) {
	most := 1_000_000
	if testing.Short() {
		most /= 10 // it is over long before, in any case
	}
	settings := func(s ...http2.Setting) func(f *http2.Framer, stream uint32) {
		return func(f *http2.Framer, _ uint32) { f.WriteSettings(s...) }
	}
	window := http2.SettingInitialWindowSize
	for name, test := range map[string]struct {
		body  bool // the flood comes after a head
		frame func(f *http2.Framer, stream uint32)
	}{
		"pings":               {false, func(f *http2.Framer, _ uint32) { f.WritePing(false, [8]byte{}) }},
		"answers to no pings": {false, func(f *http2.Framer, _ uint32) { f.WritePing(true, [8]byte{}) }},
		"settings":            {false, settings()},
		"windows that change": {false, settings(http2.Setting{ID: window, Val: 0}, http2.Setting{ID: window, Val: 1<<31 - 1})},
		"limits that change": {false, settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1},
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})},
		"tables that change": {false, settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0},
			http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1 << 30})},
		"many settings": {false, func(f *http2.Framer, _ uint32) {
			f.WriteSettings(make([]http2.Setting, 2000)...)
		}},
		"resets of other streams":   {false, func(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream+100, http2.ErrCodeCancel) }},
		"windows of the stream":     {false, func(f *http2.Framer, stream uint32) { f.WriteWindowUpdate(stream, 1) }},
		"windows of other streams":  {false, func(f *http2.Framer, stream uint32) { f.WriteWindowUpdate(stream+100, 1) }},
		"windows of the connection": {false, func(f *http2.Framer, _ uint32) { f.WriteWindowUpdate(0, 1) }},
		"goodbyes":                  {false, func(f *http2.Framer, stream uint32) { f.WriteGoAway(stream, http2.ErrCodeNo, []byte("bye")) }},
		"priorities":                {false, func(f *http2.Framer, stream uint32) { f.WritePriority(stream, http2.PriorityParam{StreamDep: 3}) }},
		"unknown frames":            {false, func(f *http2.Framer, stream uint32) { f.WriteRawFrame(0xbb, 0, stream, []byte("what")) }},
		"heads of no stream": {false, func(f *http2.Framer, stream uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream + 1, BlockFragment: []byte{0x88}, EndHeaders: true})
		}},
		"interim answers": {false, func(f *http2.Framer, stream uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte("\x08\x03100"), EndHeaders: true})
		}},
		"data of nothing":      {true, func(f *http2.Framer, stream uint32) { f.WriteData(stream, false, nil) }},
		"data of mere padding": {true, func(f *http2.Framer, stream uint32) { f.WriteDataPadded(stream, false, nil, make([]byte, 255)) }},
	} {
		t.Run(name, func(t *testing.T) {
			poured := make(chan struct{})
			s := misbehaving(t, []http2.Setting{}, func(p *peer, stream uint32) {
				var rest sync.WaitGroup
				rest.Go(p.conn.Rest) // so that nobody waits for the client's answers
				defer rest.Wait()
				if test.body {
					p.head(stream, false, ":status", "200")
				}
				many := bytes.Repeat(frameBytes(func(f *http2.Framer) { test.frame(f, stream) }), 1000)
				for range most / 1000 {
					if _, err := p.conn.Write(many); err != nil {
						break
					}
				}
				close(poured)
			})
			c := peerSession(t, s)
			boundedHeap(t, func() {
				_, err := c.Get(t.Context(), "", parley.WithTimeouts(parley.Timeouts{Response: 5 * time.Second, Read: 5 * time.Second}))
				if !errors.Is(err, parley.ErrTimeout) {
					require.ErrorIs(t, err, parley.ErrRemoteProtocol)
				}
				<-poured
			})
			requireAnew(t, c, s)
		})
	}
}

// Those who take their time do not pay for what others would have: a connection that is
// used for long may see any number of frames.
func TestS172_APeerThatBehavesIsNotCutOff(t *testing.T) {
	t.Parallel()
	s := servePeer(t, []http2.Setting{}, func(p *peer) {
		for stream, _ := p.request(); stream != 0; stream, _ = p.request() {
			p.WriteWindowUpdate(0, 1)
			p.WriteWindowUpdate(stream, 1)
			p.WritePing(false, [8]byte{})
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
			p.head(stream, false, ":status", "200")
			for range 100 {
				p.WriteData(stream, false, []byte("x"))
				p.WritePing(true, [8]byte{})
			}
			p.WriteData(stream, true, nil)
		}
	})
	c := peerSession(t, s)
	for range 200 { // with 20,000 frames that are of no use
		require.Equal(t, strings.Repeat("x", 100), textOf(t, c, "x"))
	}
	require.Equal(t, 1, s.Accepted())
}

// A peer that floods and takes no answers blocks its own connection, and no more than that.
func TestS172_AFloodWhoseAnswersAreNotTaken(t *testing.T) {
	t.Parallel()
	s := misbehaving(t, []http2.Setting{}, func(p *peer, _ uint32) {
		pings := bytes.Repeat(frameBytes(func(f *http2.Framer) { f.WritePing(false, [8]byte{}) }), 1000)
		for {
			if _, err := p.conn.Write(pings); err != nil {
				return
			}
		}
	})
	c := peerSession(t, s)
	began := time.Now()
	_, err := c.Get(t.Context(), "", parley.WithTimeouts(parley.Timeouts{Response: time.Second}))
	if !errors.Is(err, parley.ErrTimeout) {
		require.ErrorIs(t, err, parley.ErrRemoteProtocol)
	}
	require.Less(t, time.Since(began), guardTime)
	requireAnew(t, c, s)
}
