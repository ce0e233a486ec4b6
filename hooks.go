package parley

import (
	"context"
	"slices"
)

// RequestHook sees a request before it is sent. The request is a copy of its own, to
// be changed as it likes: the URL, the header map and the fields. An error ends the
// call.
type RequestHook func(ctx context.Context, req *Request) error

// ResponseHook sees a response. It gives back the response that the caller gets: the
// one it was given, also for nil, or another one, after having closed the first. An
// error ends the call and closes the response.
type ResponseHook func(ctx context.Context, resp *Response) (*Response, error)

// ErrorHook sees the error of a call that failed and gives the error that the caller
// gets; nil leaves it as it is.
type ErrorHook func(ctx context.Context, req *Request, err error) error

// PanicHook is told of a panic in middleware, a hook or a transport of the user's. The
// panic goes on afterwards.
type PanicHook func(ctx context.Context, req *Request, value any)

// hooks are the hooks of a session or a request, each kind in its order.
type hooks struct {
	request     []RequestHook
	response    []ResponseHook
	hopRequest  []RequestHook
	hopResponse []ResponseHook
	failure     []ErrorHook
	panics      []PanicHook
	alone       bool // those of the session are left out
}

func (h *hooks) empty() bool { return !h.ofCall() && !h.ofHops() && !h.watching() && !h.alone }

func (h *hooks) ofCall() bool { return len(h.request)+len(h.response) > 0 }

func (h *hooks) watching() bool { return len(h.failure)+len(h.panics) > 0 }

func (h *hooks) ofHops() bool { return len(h.hopRequest)+len(h.hopResponse) > 0 }

// after gives the hooks of earlier and then those of h.
func (h hooks) after(earlier hooks) hooks {
	if h.alone {
		return h
	}
	return hooks{
		request:     joined(earlier.request, h.request),
		response:    joined(earlier.response, h.response),
		hopRequest:  joined(earlier.hopRequest, h.hopRequest),
		hopResponse: joined(earlier.hopResponse, h.hopResponse),
		failure:     joined(earlier.failure, h.failure),
		panics:      joined(earlier.panics, h.panics),
		alone:       earlier.alone,
	}
}

// WithRequestHook calls f once a call, before the request is sent and whatever becomes
// of it below: redirects, challenges, further tries. The hooks of the session come
// first, then those of the request, each in their order.
func WithRequestHook(f RequestHook) Option {
	return hookOption(f == nil, "WithRequestHook", func(h *hooks) { h.request = append(slices.Clip(h.request), f) })
}

// WithResponseHook calls f once a call, with the response that redirects and
// challenges led to: see [WithRequestHook] for the order. After [Client.Get] and its
// sisters its body has been read, after [Client.Stream] it has not.
func WithResponseHook(f ResponseHook) Option {
	return hookOption(f == nil, "WithResponseHook", func(h *hooks) { h.response = append(slices.Clip(h.response), f) })
}

// WithHopRequestHook calls f for every hop of a call: the first request and each that
// follows a redirect. Credentials and cookies of the jar are added later.
func WithHopRequestHook(f RequestHook) Option {
	return hookOption(f == nil, "WithHopRequestHook", func(h *hooks) { h.hopRequest = append(slices.Clip(h.hopRequest), f) })
}

// WithHopResponseHook calls f for the response of every hop of a call, each redirect
// among them. The body of a redirect has not been read.
func WithHopResponseHook(f ResponseHook) Option {
	return hookOption(f == nil, "WithHopResponseHook", func(h *hooks) { h.hopResponse = append(slices.Clip(h.hopResponse), f) })
}

// WithErrorHook calls f for a call that failed, after all else, middleware too. An
// answer with a status of 400 or more is no failure, and a call whose request could not
// be made is none yet.
func WithErrorHook(f ErrorHook) Option {
	return hookOption(f == nil, "WithErrorHook", func(h *hooks) { h.failure = append(slices.Clip(h.failure), f) })
}

// WithPanicHook calls f when what the user brought into a call panics.
func WithPanicHook(f PanicHook) Option {
	return hookOption(f == nil, "WithPanicHook", func(h *hooks) { h.panics = append(slices.Clip(h.panics), f) })
}

func hookOption(missing bool, name string, add func(*hooks)) Option {
	return option(func(s *settings) error {
		if missing {
			return failed("%s needs a function", name)
		}
		add(&s.conduct.hooks)
		return nil
	})
}

// WithoutHooks leaves out all hooks that were set before: for a request those of its
// session, for a derived session those that it would inherit.
func WithoutHooks() Option {
	return option(func(s *settings) error {
		s.conduct.hooks = hooks{alone: true}
		return nil
	})
}

// callLayer runs what belongs to the call as a whole: the middleware of the request
// and the hooks.
type callLayer struct{ next Transport }

func (l callLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	c := req.conduct
	if c == nil || len(c.middleware) == 0 && !c.hooks.ofCall() {
		return l.next.Send(ctx, req)
	}
	next := l.next
	if c.hooks.ofCall() {
		next = hookedTransport{next, c.hooks.request, c.hooks.response}
	}
	return chain(next, c.middleware).Send(ctx, req)
}

// watchLayer tells of errors and panics. It is around everything else.
type watchLayer struct{ next Transport }

func (l watchLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	c := req.conduct
	if c == nil || !c.hooks.watching() {
		return l.next.Send(ctx, req)
	}
	return c.hooks.watch(ctx, req, l.next)
}

// watch sends and tells of errors and panics.
func (h *hooks) watch(ctx context.Context, req *Request, next Transport) (*Response, error) {
	if len(h.panics) > 0 {
		defer func() {
			if value := recover(); value != nil {
				for _, f := range h.panics {
					f(ctx, req, value)
				}
				panic(value)
			}
		}()
	}
	resp, err := next.Send(ctx, req)
	if resp, err = complete(req, resp, err); err == nil {
		return resp, nil
	}
	for _, f := range h.failure {
		if other := f(ctx, req, err); other != nil {
			err = other
		}
	}
	return nil, err
}

// hopLayer runs the hooks of every hop.
type hopLayer struct{ next Transport }

func (l hopLayer) Send(ctx context.Context, req *Request) (*Response, error) {
	c := req.conduct
	if c == nil || !c.hooks.ofHops() {
		return l.next.Send(ctx, req)
	}
	return hookedTransport{l.next, c.hooks.hopRequest, c.hooks.hopResponse}.Send(ctx, req)
}

// hookedTransport runs hooks before and after sending.
type hookedTransport struct {
	next     Transport
	request  []RequestHook
	response []ResponseHook
}

func (t hookedTransport) Send(ctx context.Context, req *Request) (*Response, error) {
	if len(t.request) > 0 {
		req = req.Clone()
		for _, f := range t.request {
			if err := f(ctx, req); err != nil {
				return nil, err
			}
			if err := req.settle(); err != nil {
				return nil, buildError(req.Method, req.URL, err)
			}
		}
	}
	resp, err := t.next.Send(ctx, req)
	if resp, err = complete(req, resp, err); err != nil {
		return nil, err
	}
	for _, f := range t.response {
		other, err := f(ctx, resp)
		if err != nil {
			resp.Close() // that it could not be closed adds nothing to why it is given up
			return nil, err
		}
		if other != nil {
			resp, _ = complete(req, other, nil) // it is there
		}
	}
	return resp, nil
}
