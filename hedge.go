package parley

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// sentTry is what became of one of the requests that a try sent.
type sentTry struct {
	resp     *Response
	err      error
	n        int // of the request, from 0
	panicked bool
	value    any // of the panic
}

// once makes one try: a request and, where that is slow and the policy hedges, another one
// beside it.
func (r *retrying) once(ctx context.Context) (resp *Response, hedged bool, err error) {
	if !r.hedges() {
		resp, err = r.next.Send(ctx, r.req)
		resp, err = complete(r.req, resp, err)
		return resp, false, err
	}
	h := hedge{retrying: r, results: make(chan sentTry, 2)}
	return h.run(ctx)
}

// hedges reports whether a second request may be sent beside the first.
func (r *retrying) hedges() bool {
	return r.policy.Hedge > 0 && safe(r.req.Method) && r.req.replayable() && r.req.Header["Upgrade"] == nil
}

// saysMore reports whether the outcome is rather what became of the try than another one
// that failed: as an answer, or since the server can have seen this request and not the other.
func (o *sentTry) saysMore(than sentTry) bool {
	if than.err == nil || o.err == nil {
		return than.err != nil
	}
	return sentOf(o.err) != NotSent && sentOf(than.err) == NotSent
}

// hedge is a try of up to two requests.
type hedge struct {
	*retrying
	results chan sentTry // has room for all
	ends    []context.CancelFunc
	pending int
}

func (h *hedge) run(ctx context.Context) (*Response, bool, error) {
	h.launch(ctx)
	timer := time.NewTimer(h.policy.Hedge)
	defer timer.Stop()
	late := timer.C
	var bad *sentTry // the first to end, if not well
	for {
		select {
		case <-late:
			late = nil
			if h.budget.withdraw() {
				h.launch(ctx)
			}
		case o := <-h.results:
			h.pending--
			if h.pending > 0 && !h.good(o) {
				bad = &o
				continue
			}
			if bad != nil && bad.saysMore(o) {
				o, bad = *bad, &o
			}
			h.leave(bad, o)
			return h.settle(o)
		}
	}
}

// launch sends the request once more.
func (h *hedge) launch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	h.ends = append(h.ends, cancel)
	h.pending++
	n := len(h.ends) - 1
	go func() {
		o := sentTry{n: n, panicked: true}
		defer func() {
			if o.panicked {
				o.value = recover() // goes on where the call was made
			}
			h.results <- o
		}()
		o.resp, o.err = h.next.Send(ctx, h.req)
		o.resp, o.err = complete(h.req, o.resp, o.err)
		o.panicked = false
	}()
}

// good reports whether there is nothing to hope for from another request.
func (h *hedge) good(o sentTry) bool {
	return o.panicked || o.err == nil && !slices.Contains(h.policy.Statuses, o.resp.StatusCode)
}

// leave ends what is not needed: what ended before, and what is still under way.
func (h *hedge) leave(bad *sentTry, chosen sentTry) {
	if bad != nil && bad.resp != nil {
		bad.resp.Close() // nobody sees it
	}
	for n, end := range h.ends {
		if n != chosen.n {
			end()
		}
	}
	if h.pending == 0 {
		return
	}
	go func() {
		for range h.pending {
			if o := <-h.results; o.resp != nil {
				o.resp.Close()
			}
		}
	}()
}

// settle gives what was chosen to the caller. Its context lives as long as its body.
func (h *hedge) settle(o sentTry) (*Response, bool, error) {
	hedged, end := len(h.ends) > 1, h.ends[o.n]
	switch {
	case o.panicked:
		end()
		panic(o.value)
	case o.err != nil:
		end()
		return nil, hedged, o.err
	case o.resp.loaded || o.resp.Body == http.NoBody:
		end()
	default:
		o.resp.Body = afterBody(o.resp.Body, end)
	}
	return o.resp, hedged, nil
}
