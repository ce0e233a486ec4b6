package parley

import (
	"context"
	"iter"
	"sync"
)

// Result is what became of one request of [Client.Gather].
type Result struct {
	Index    int // of the request in the sequence, from 0
	Request  *Request
	Response *Response // its body has been read; nil if Err is set
	Err      error
}

// Gather sends requests, at most limit at once (0 or less: 1), and yields what
// became of them as they complete, with the bodies read. The next request is taken
// from reqs when there is room for it, on the goroutine that ranges over the
// results. Leaving the loop cancels what is still under way and waits for its end.
func (c *Client) Gather(ctx context.Context, limit int, reqs iter.Seq[*Request]) iter.Seq[Result] {
	limit = max(limit, 1)
	return func(yield func(Result) bool) {
		if ctx == nil {
			yield(Result{Err: buildError("", nil, errNoContext)})
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		results, left := make(chan Result), make(chan struct{})
		var running sync.WaitGroup
		defer running.Wait()
		defer close(left)
		defer cancel()
		next, stop := iter.Pull(reqs)
		defer stop()
		inFlight := 0
		more := true
		for index := 0; ; index++ {
			for inFlight > 0 {
				r, ok := receive(results, inFlight == limit || !more)
				if !ok {
					break
				}
				inFlight--
				if !yield(r) {
					return
				}
			}
			if !more {
				return
			}
			var req *Request
			if req, more = next(); !more {
				continue
			}
			inFlight++
			running.Go(func() {
				resp, err := c.sendPrepared(ctx, req, true)
				select {
				case results <- Result{Index: index, Request: req, Response: resp, Err: err}:
				case <-left:
					if resp != nil {
						resp.Close() // nobody hears of it
					}
				}
			})
		}
	}
}

// receive takes a result that is there, or waits for one.
func receive(results <-chan Result, wait bool) (r Result, ok bool) {
	if wait {
		return <-results, true
	}
	select {
	case r = <-results:
		return r, true
	default:
		return r, false
	}
}
