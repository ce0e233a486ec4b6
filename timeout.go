package parley

import (
	"context"
	"time"
)

// NoTimeout as a value in [Timeouts] means to wait for ever. (Zero means to
// inherit: a request from its session, a session from the defaults.)
const NoTimeout time.Duration = -1

// The limits that apply where none were given.
const (
	DefaultPoolTimeout     = 5 * time.Second
	DefaultConnectTimeout  = 5 * time.Second
	DefaultWriteTimeout    = 30 * time.Second
	DefaultResponseTimeout = 30 * time.Second
	DefaultReadTimeout     = 30 * time.Second

	// DefaultExpectTimeout is how long a request with "Expect: 100-continue"
	// waits for the server's word before it sends its body all the same.
	DefaultExpectTimeout = time.Second
)

// Timeouts bound the phases of a call. In each field zero means to inherit and
// [NoTimeout] to wait for ever. For [Client.Events] Response and Read do not count unless
// they are given with the call.
type Timeouts struct {
	// Pool bounds the wait for a connection when all that the limits allow are
	// in use. Default 5 s. Passing it is ErrPoolTimeout.
	Pool time.Duration
	// Connect bounds the making of one connection: DNS, TCP, proxy and TLS
	// together. Default 5 s. Passing it is ErrConnectTimeout.
	Connect time.Duration
	// Write bounds each wait for the peer to take more bytes, not the whole
	// body. Default 30 s. Passing it is ErrWriteTimeout.
	Write time.Duration
	// Response bounds the time from the end of the request to the end of the
	// response's head; single bytes do not renew it. Default 30 s. Passing it is
	// ErrResponseTimeout.
	Response time.Duration
	// Read bounds each wait for more bytes of the body, not the whole body.
	// Default 30 s. Passing it is ErrReadTimeout.
	Read time.Duration
	// Total bounds the whole call: for Get and its sisters up to the last byte of
	// the body, for Stream and Send up to the response's head. No default.
	// Passing it is ErrTotalTimeout.
	Total time.Duration
}

var defaultTimeouts = Timeouts{
	Pool:     DefaultPoolTimeout,
	Connect:  DefaultConnectTimeout,
	Write:    DefaultWriteTimeout,
	Response: DefaultResponseTimeout,
	Read:     DefaultReadTimeout,
	Total:    NoTimeout,
}

// complete reports whether nothing is left to inherit.
func (t *Timeouts) complete() bool {
	return t.Pool != 0 && t.Connect != 0 && t.Write != 0 && t.Response != 0 && t.Read != 0 && t.Total != 0
}

// over fills what t leaves open from base.
func (t Timeouts) over(base Timeouts) Timeouts {
	pick := func(a, b time.Duration) time.Duration {
		if a != 0 {
			return a
		}
		return b
	}
	return Timeouts{
		Pool:     pick(t.Pool, base.Pool),
		Connect:  pick(t.Connect, base.Connect),
		Write:    pick(t.Write, base.Write),
		Response: pick(t.Response, base.Response),
		Read:     pick(t.Read, base.Read),
		Total:    pick(t.Total, base.Total),
	}
}

// limitTotal gives a context that ends limit from now with a cause that names
// the limit. stop lifts the limit and leaves the context alive; release frees
// what the context holds and ends it.
func limitTotal(ctx context.Context, limit time.Duration) (limited context.Context, stop func(), release func()) {
	limited, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(&totalTimeout{limit}) })
	return limited, func() { timer.Stop() }, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}
