package parley

import (
	"time"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/sock"
)

// record is what is known of one call. Everything that is told about a call, its
// timing and its errors, is read from here.
type record struct {
	live    *exchange // the last one, while the call is in the session's stack
	start   time.Time
	attempt int32
	full    bool // the body is read to its end inside the stack
	reused  bool
	dial    *dial.Times // of a connection made for the call

	// Since start; zero for what was not reached.
	waited   time.Duration // until a connection was there
	written  time.Duration // until the request was written
	answered time.Duration // until the response's head was read
	ended    time.Duration // until the body had been read
}

// Timing tells how long the parts of a call took. A part that did not take place,
// such as the handshake on a reused connection, is zero.
type Timing struct {
	Start    time.Time
	Pool     time.Duration // waiting for a connection, without what dialling took
	DNS      time.Duration
	Connect  time.Duration // TCP
	TLS      time.Duration
	Write    time.Duration // from having a connection to the end of the request
	Response time.Duration // from the end of the request to the end of the response's head
	Read     time.Duration // from the head to the end of the body; zero until that was read
	Total    time.Duration // from the start to the last of these
	Reused   bool          // the connection had served other requests before
	Attempt  int           // 1 unless the request was sent again
}

func (r *record) timing() Timing {
	if r == nil {
		return Timing{}
	}
	d := dial.Times{}
	if r.dial != nil {
		d = *r.dial
	}
	dialled := d.DNS + d.Connect + d.TLS
	since := func(a, b time.Duration) time.Duration { return max(a-b, 0) }
	written := r.written
	if written == 0 || written > r.answered {
		written = r.answered // answered before the request had ended
	}
	return Timing{
		Start:    r.start,
		Pool:     since(r.waited, dialled),
		DNS:      d.DNS,
		Connect:  d.Connect,
		TLS:      d.TLS,
		Write:    since(written, r.waited),
		Response: since(r.answered, written),
		Read:     since(r.ended, r.answered),
		Total:    max(r.ended, r.answered),
		Reused:   r.reused,
		Attempt:  int(r.attempt),
	}
}

// since is how long the call has lasted.
func (r *record) since() time.Duration { return time.Since(r.start) }

// at is how long the call had lasted at a moment of package sock's clock.
func (r *record) at(now time.Duration) time.Duration { return now - sock.At(r.start) }
