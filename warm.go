package parley

import (
	"context"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/sock"
)

// Warm opens connections to the origin of a URL, joined to the base URL, ahead of need, so
// that n are idle, and returns when they are there or could not be made. It opens as many
// as are missing from those that are idle and still there, all at once, with the settings
// that a request with these options would have. It gives how many of the n there are.
//
// The limits of the pool hold: where they leave no slots that are free, and that nobody
// waits for, there are fewer, which is no error. What is idle beyond [PoolLimits].Soft
// stays for SurplusIdle only. A connection that speaks HTTP/2 serves many requests, so that
// one is mostly enough. The error is that of the first connection that could not be
// made, in the form of those of [Pool.Send], or the end of ctx, after which those under way
// are still finished and kept. A session without a pool fails, matching
// [errors.ErrUnsupported].
func (c *Client) Warm(ctx context.Context, url string, n int, opts ...RequestOption) (int, error) {
	req, p, err := c.reach(url, opts)
	if err != nil {
		return 0, err
	}
	return p.warm(ctx, req, n)
}

func (p *Pool) warm(ctx context.Context, req *Request, n int) (int, error) {
	key, limit, err := p.opening(ctx, req, "warm", p.usualKey)
	if err != nil {
		return 0, err
	}
	began := sock.Now()
	got, err := p.conns.Warm(ctx, key, n, connpool.Want{Connect: limit.Connect})
	if err != nil {
		return got, p.failOpening(ctx, "warm", req, key, limit, connpool.Got{Dialing: sock.Now() - began}, err)
	}
	return got, nil
}

// usualKey gives the key under which a request looks for connections.
func (p *Pool) usualKey(req *Request, via route) (connKey, error) {
	key := p.keyOf(req, via)
	return key, p.checkProtocol(req, key.proto)
}

// CloseIdle closes the connections of the session's pool that are idle now, also those of
// other sessions that share it.
func (c *Client) CloseIdle() {
	if c.pool != nil {
		c.pool.CloseIdle()
	}
}
