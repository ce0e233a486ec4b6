package h2

import (
	"encoding/binary"
	"errors"
)

const (
	// maxWindow is the largest window of flow control (RFC 9113, section 6.9.1).
	maxWindow = 1<<31 - 1
	// settingWindow is SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, section 6.5.2).
	settingWindow = 0x4
	// manyStreams is of how many streams the windows are remembered, once or twice.
	manyStreams = 4096
	// trusted is how much a peer has to have been sent to be believed.
	trusted = 1 << 30
)

// errWindow is the error of a connection whose peer let a window grow beyond maxWindow.
var errWindow = errors.New("http2: a window of flow control is larger than allowed")

// windows sees to it that the window of no stream becomes too large: up to Go 1.26.8 the
// update that does so makes net/http lock itself out of the connection, with all that goes
// on there, for ever.
//
// How much of its window a stream has used is not known here. Until a GiB was sent, it is
// enough to let no stream have more than the largest window altogether, and to hold the
// rest back; a peer that has taken so much is believed. It belongs to the goroutine that
// reads.
type windows struct {
	c       *Conn
	initial int64
	setting [settingBytes]byte // one of SETTINGS
	parts   int                // how much of it has come

	recent, older map[uint32]granted
}

// granted is what a peer has granted a stream beyond the initial window.
type granted struct{ passed, held int64 }

func newWindows(c *Conn) *windows {
	return &windows{c: c, initial: initialWindow}
}

// update judges an update for a stream, given its payload, in which it leaves what may be
// passed on. It reports whether that is anything.
func (w *windows) update(stream uint32, payload []byte) (useful bool, err error) {
	more := int64(binary.BigEndian.Uint32(payload) & maxWindow)
	if more == 0 {
		return true, nil // net/http has the error for it
	}
	sent := w.c.bodies.Load()
	g := w.of(stream)
	g.held += more
	if w.initial+g.passed+g.held-sent > maxWindow {
		return false, errWindow
	}
	now := min(g.held, maxWindow)
	if sent < trusted {
		now = max(min(now, maxWindow-w.initial-g.passed), 0)
	}
	g.passed += now
	g.held -= now
	w.recent[stream] = g
	binary.BigEndian.PutUint32(payload, uint32(now))
	return now > 0, nil
}

// of gives what is known of a stream.
func (w *windows) of(stream uint32) granted {
	if g, ok := w.recent[stream]; ok {
		return g
	}
	if w.recent == nil || len(w.recent) >= manyStreams {
		w.recent, w.older = make(map[uint32]granted), w.recent
	}
	return w.older[stream]
}

// set follows the payload of SETTINGS, of which p came.
func (w *windows) set(p []byte) {
	for len(p) > 0 {
		n := copy(w.setting[w.parts:], p)
		p = p[n:]
		if w.parts += n; w.parts < settingBytes {
			return
		}
		w.parts = 0
		value := int64(binary.BigEndian.Uint32(w.setting[2:]))
		if binary.BigEndian.Uint16(w.setting[:]) == settingWindow && value <= maxWindow {
			w.initial = value
		}
	}
}
