package parley

import (
	"cmp"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/sock"
)

// callRecord is what all exchanges of a call share. Middleware may send several
// requests of one call at once.
type callRecord struct {
	began    time.Duration // as package sock counts
	due      time.Duration // when the call has to have its answer, by Timeouts.Total; 0: whenever
	full     bool          // the body is read to its end inside the stack
	direct   bool          // nothing of the user's lies before the transport, to take time
	attempts atomic.Int32
	live     atomic.Pointer[exchange] // the last one, while the call is in the session's stack
	seen     *callSight               // nil: nobody looks
	holds    holdList                 // what its requests waited for before they went out
}

// since is how long the call has lasted.
func (r *callRecord) since() time.Duration { return sock.Now() - r.began }

// record is what is known of one exchange. What is told about it, its timing and its
// errors, is read from here.
type record struct {
	call    *callRecord
	attempt int32 // of the call
	reused  bool  // the connection had served before
	merged  bool  // it is another call's, which asked for the same
	facts   *connFacts

	// Moments as package sock counts them; zero for what was not reached.
	entered  time.Duration // the transport was given the request
	waited   time.Duration // a connection was there
	written  time.Duration // the request was written
	first    time.Duration // a part of the head had come and the rest was waited for
	answered time.Duration // the response's head was read
	ended    time.Duration // the body had been read
}

// since is how long the call has lasted.
func (r *record) since() time.Duration { return r.call.since() }

// Timing tells how long the parts of a call took, and on what connection. A part
// that did not take place, such as the handshake on a reused connection, is zero; so
// is what a transport that is no [Pool] does not tell. Each response of a call
// that took several requests tells of its own; Before holds the time of those before
// it. For events as they happen see [Pool.Send].
type Timing struct {
	Start     time.Time     // of the call
	Before    time.Duration // redirects, challenges and tries before this request, and middleware
	Pool      time.Duration // from then to having a connection, without what dialling took
	DNS       time.Duration // looking up the name
	Connect   time.Duration // TCP, and what a proxy wants before the way is free
	TLS       time.Duration // the handshake with the server
	Write     time.Duration // from having a connection to the end of the request; zero for one of up to 4 KiB, which waits for nobody
	FirstByte time.Duration // from the end of the request to the first byte of an answer, be it of a 1xx; not after Response
	Response  time.Duration // from the end of the request to the end of the response's head
	Read      time.Duration // from the head to the end of the body; zero until that was read
	Total     time.Duration // from the start to the last of these
	Reused    bool          // the connection had served other requests before
	Attempt   int           // 1 unless the request was sent again
	Merged    bool          // the answer is that of another call which asked for the same: see WithMergedGets

	// RemoteAddr is where the connection leads, which is the proxy if there is one,
	// and LocalAddr where it begins, both as the dialer's connection tells them. They
	// are nil if it does not, and must not be changed.
	RemoteAddr, LocalAddr net.Addr
	// Protocol is what was spoken: "HTTP/1.1".
	Protocol string
}

// connFacts are what is known of a connection for as long as it lives.
type connFacts struct {
	dial          dial.Times
	remote, local net.Addr
	tunnel        http.Header // of the proxy's answer to CONNECT; nil: it was not asked
}

func (r *record) timing() Timing {
	if r == nil {
		return Timing{}
	}
	facts := connFacts{}
	if r.facts != nil {
		facts = *r.facts
	}
	d := facts.dial
	if r.reused {
		d = dial.Times{}
	}
	between := func(a, b time.Duration) time.Duration { return max(b-a, 0) }
	written, ended := r.written, cmp.Or(r.ended, r.answered)
	if written == 0 || written > r.answered {
		written = r.answered // answered before the request had ended
	}
	first := cmp.Or(r.first, r.answered)
	return Timing{
		Start:      time.Now().Add(-r.since()),
		Before:     between(r.call.began, r.entered),
		Pool:       between(d.DNS+d.Connect+d.TLS, r.waited-r.entered),
		DNS:        d.DNS,
		Connect:    d.Connect,
		TLS:        d.TLS,
		Write:      between(r.waited, written),
		FirstByte:  between(written, first),
		Response:   between(written, r.answered),
		Read:       between(r.answered, ended),
		Total:      between(r.call.began, ended),
		Reused:     r.reused,
		Attempt:    int(r.attempt),
		Merged:     r.merged,
		RemoteAddr: facts.remote,
		LocalAddr:  facts.local,
	}
}
