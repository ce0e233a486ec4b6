package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// header is that of a frame (RFC 9113, section 4.1).
type header struct {
	length      int
	kind, flags byte
	stream      uint32
}

// defaultMaxFrame is how long a frame may be without its header, if nothing else is said
// (RFC 9113, section 4.2): what net/http takes.
const defaultMaxFrame = 1 << 20

// frameHeader is the length of a header as it is sent.
const frameHeader = 9

// The types of frames that are told apart, and their flags (RFC 9113, section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameSettings     = 0x4
	framePushPromise  = 0x5
	frameWindowUpdate = 0x8
	frameContinuation = 0x9 // the last one that net/http knows

	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8

	prioritySize = 5
	updateSize   = 4
	settingBytes = 6 // of one setting
)

func parseHeader(p []byte) header {
	return header{
		length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]),
		kind:   p[3], flags: p[4],
		stream: binary.BigEndian.Uint32(p[5:]) & (1<<31 - 1),
	}
}

// net/http does its duty for every frame that comes, however many, and has no measure for
// those that serve nobody: pings, settings, empty frames, those of streams that are over.
// A peer that sends nothing else keeps a core busy for as long as the connection lives,
// and its requests do not end it. Hence each such frame costs a unit, and what makes
// frames come brings some: a peer that runs out of them is cut off. One that behaves sends
// a few for each request, and at most two for each frame of data in either direction.
const (
	maxSpare     = 10_000 // units at the beginning, and at most
	spareASecond = 1_000
	spareARound  = 16 // for each request
	spareAFrame  = 2  // for each frame of data
	bytesASpare  = 64 // of the bodies of requests
	sizeASpare   = 16 << 10
	maxPadded    = 1 + 255 // the length of a frame of data that may be nothing but padding
)

// errFlood is the error of a connection whose peer sent too many frames that serve nobody.
var errFlood = errors.New("http2: too many frames that serve no request")

// errNoSettings is that of one whose peer began with something else (RFC 9113, section 3.4).
var errNoSettings = errors.New("http2: the first frame is not SETTINGS")

// frames follows the frames that come.
type frames struct {
	max     int  // how long one may be without its header
	begun   bool // the header of the first frame has come
	settled bool // all of it has
	left    int  // bytes of the present frame that are still to come
	drop    bool // which is not passed on
	set     bool // which is one of settings
	block   bool // a header block goes on (RFC 9113, section 4.3)
	part    [frameHeader + updateSize]byte
	parts   int // bytes in part, of the next frame

	windows *windows

	spare int       // units left, less what was not yet added
	since time.Time // when units were added last
	calls int64     // how many had been made then
	sent  int64     // and how much of their bodies was sent
}

// resume puts the beginning of a frame that came last into p.
func (f *frames) resume(p []byte) int {
	n := copy(p, f.part[:f.parts])
	f.parts = 0
	return n
}

// pass judges what came and leaves in p what net/http is to read, which it gives the
// length of. A header of which only a part has come waits for the rest.
func (f *frames) pass(p []byte, c *Conn, now time.Time) (kept int, err error) {
	for at := 0; at < len(p); {
		rest := p[at:]
		if f.left == 0 {
			whole, err := f.begin(rest, c, now)
			if err != nil {
				return 0, err
			}
			if !whole {
				f.parts = copy(f.part[:], rest)
				break
			}
		} else if f.set {
			f.windows.set(rest[:min(f.left, len(rest))])
		}
		n := min(f.left, len(rest))
		if !f.drop {
			if kept != at {
				copy(p[kept:], rest[:n])
			}
			kept += n
		}
		at += n
		if f.left -= n; f.left == 0 {
			f.settled = true
		}
	}
	return kept, nil
}

// begin judges a frame by its header, if that has come as a whole.
func (f *frames) begin(p []byte, c *Conn, now time.Time) (whole bool, err error) {
	if len(p) < frameHeader {
		return false, nil
	}
	h := parseHeader(p)
	updates := h.kind == frameWindowUpdate && h.length == updateSize && h.stream != 0
	if updates && len(p) < frameHeader+updateSize {
		return false, nil
	}
	if !f.begun {
		// What an HTTP/1.1 server says net/http recognises.
		if h.kind != frameSettings && !bytes.HasPrefix(p, []byte("HTTP/1.")) {
			return false, errNoSettings
		}
		f.begun = true
		f.spare, f.since = maxSpare, now
	}
	f.left = frameHeader + h.length
	f.drop = f.skips(h)
	if !f.pays(h, c, now) {
		return false, errFlood
	}
	f.set = h.kind == frameSettings && h.flags&flagAck == 0
	switch {
	case f.set:
		f.windows.set(p[frameHeader:min(f.left, len(p))])
	case updates:
		var useful bool
		useful, err = f.windows.update(h.stream, p[frameHeader:frameHeader+updateSize])
		f.drop = f.drop || !useful && !f.block
	case h.kind == frameHeaders, h.kind == framePushPromise, h.kind == frameContinuation:
		f.block = h.flags&flagEndHeaders == 0
	}
	return true, err
}

// skips reports whether a frame is kept from net/http. Those of an unknown type are to be
// ignored (RFC 9113, section 5.5), and those of priority may be (section 5.3.2). net/http
// does so, but writes a line to the log for each. It sees to those that are an error: too
// large, amid a header block, or a priority that is none.
func (f *frames) skips(h header) bool {
	switch {
	case f.block || h.length > f.max:
		return false
	case h.kind == framePriority:
		return h.length == prioritySize && h.stream != 0
	}
	return h.kind > frameContinuation
}

// pays takes what a frame costs, and reports whether there was enough.
func (f *frames) pays(h header, c *Conn, now time.Time) bool {
	cost := 1
	switch {
	case h.kind == frameSettings:
		cost += h.length / settingBytes
	case h.kind > frameContinuation:
		cost += h.length / sizeASpare
	case h.kind == frameData && c.active.Load() > 0 && (h.length > maxPadded || h.length > 0 && h.flags&flagPadded == 0):
		cost = -spareAFrame
	}
	f.spare = min(f.spare-cost, maxSpare)
	return f.spare >= 0 || f.refill(c, now)
}

// refill adds the units that time, requests and their bodies have brought, and reports
// whether there are any.
func (f *frames) refill(c *Conn, now time.Time) bool {
	calls, sent := c.calls.Load(), c.bodies.Load()
	for _, more := range []int64{
		int64(now.Sub(f.since) / (time.Second / spareASecond)),
		(calls - f.calls) * spareARound,
		(sent - f.sent) / bytesASpare,
	} {
		f.spare += int(min(max(more, 0), maxSpare))
	}
	f.spare = min(f.spare, maxSpare)
	f.since, f.calls, f.sent = now, calls, sent
	return f.spare >= 0
}
