package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is how long one attempt has for itself before the next one starts
// beside it: the Connection Attempt Delay of RFC 8305, section 5.
const attemptDelay = 250 * time.Millisecond

// Race connects to one of several addresses, of which there is one at least, as RFC
// 8305, section 5, has it: in their order with the families taking turns, each with a
// head start over the next, which begins at once where one fails. The error is that of
// the first to fail. The context bounds it.
func Race(ctx context.Context, d Dialer, addresses []netip.AddrPort, t *Times) (net.Conn, error) {
	return timed(ctx, t, func(ctx context.Context) (net.Conn, error) { return race(ctx, d, interleaved(addresses)) })
}

type attempt struct {
	nc  net.Conn
	err error
}

func race(ctx context.Context, d Dialer, addresses []netip.AddrPort) (net.Conn, error) {
	if len(addresses) == 1 {
		return d.DialContext(ctx, "tcp", addresses[0].String())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan attempt, len(addresses))
	running := 0
	start := func() {
		address := addresses[0].String()
		addresses = addresses[1:]
		running++
		go func() {
			a := attempt{err: errEnded} // what stands if the dialer ends its goroutine
			defer func() { ended <- a }()
			a.nc, a.err = d.DialContext(ctx, "tcp", address)
		}()
	}
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	var first error
	for start(); running > 0; {
		select {
		case a := <-ended:
			running--
			if a.err == nil && a.nc != nil {
				if running > 0 {
					go closeLate(ended, running)
				}
				return a.nc, nil
			}
			if first == nil {
				first = a.err
			}
		case <-timer.C:
		}
		if len(addresses) > 0 && ctx.Err() == nil {
			start()
			timer.Reset(attemptDelay)
		}
	}
	return nil, first
}

var errEnded = errors.New("the dialer ended its goroutine")

// closeLate closes what the attempts that lost come to. They were cancelled.
func closeLate(ended <-chan attempt, running int) {
	for ; running > 0; running-- {
		if a := <-ended; a.nc != nil {
			a.nc.Close()
		}
	}
}

// interleaved orders addresses so that the families take turns, beginning with that of
// the first (RFC 8305, section 4).
func interleaved(addresses []netip.AddrPort) []netip.AddrPort {
	var same, other []netip.AddrPort
	for _, a := range addresses {
		if a.Addr().Is4() == addresses[0].Addr().Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	out := make([]netip.AddrPort, 0, len(addresses))
	for i := range same {
		out = append(out, same[i])
		if i < len(other) {
			out = append(out, other[i])
		}
	}
	if len(other) > len(same) {
		out = append(out, other[len(same):]...)
	}
	return out
}
