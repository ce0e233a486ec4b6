package parley

import (
	"context"
	"slices"
)

// Transport sends one request and returns the answer with its body unread; the
// caller closes it. [Pool] is the transport that talks to the network; every
// layer of a session is a Transport around the next one.
//
// Send never modifies its request: a layer that changes something works on a copy
// ([Request.With], [Request.Clone]). It is safe for any number of goroutines. It
// returns either a response or an error, and ends when ctx does. Errors are
// *[Error] where the transport is parley's own.
type Transport interface {
	Send(ctx context.Context, req *Request) (*Response, error)
}

// TransportFunc is a function as a [Transport].
type TransportFunc func(ctx context.Context, req *Request) (*Response, error)

// Send calls f.
func (f TransportFunc) Send(ctx context.Context, req *Request) (*Response, error) {
	return f(ctx, req)
}

// Middleware wraps a transport in another. It is called once, when the session is
// made; what it returns is called for every request.
type Middleware func(next Transport) Transport

// checkSend refuses what no transport can send.
func checkSend(ctx context.Context, req *Request) error {
	switch {
	case req == nil:
		return buildError("", nil, errNoURL)
	case ctx == nil:
		return buildError(req.Method, req.URL, errNoContext)
	}
	return nil
}

// chain wraps t in m, the first of them outermost.
func chain(t Transport, m []Middleware) Transport {
	for i := len(m) - 1; i >= 0; i-- {
		t = m[i](t)
	}
	return t
}

// The layers of a session as middleware, for a stack made by hand. In their order, the
// outermost first, with what is left out of no effect:
//
//	CallHooks, Redirects, HopHooks, Retries, Reading, Authenticate, Decoding, Cookies, Limits
//
// What is wrapped in them may leave Body and Request of its responses open.

// Decoding gives the middleware that decodes content codings and bounds the size of
// bodies ([WithMaxBodyBytes]). A request that was made without a session and says
// nothing of codings asks for those that can be decoded, unless it wants a range or
// bodies as they come ([WithDecompression]).
func Decoding() Middleware {
	return func(next Transport) Transport {
		layer := decodeLayer{completeLayer{next}}
		return TransportFunc(func(ctx context.Context, req *Request) (*Response, error) {
			if !req.settled && req.rawResponses != yes && req.Header["Accept-Encoding"] == nil && req.Header["Range"] == nil &&
				!slices.Contains(req.omitted().headers, "Accept-Encoding") {
				req = req.Clone()
				req.askCoding([]string{acceptEncoding})
			}
			return layer.Send(ctx, req)
		})
	}
}

// Reading gives the middleware that reads every body to its end, so that one which is
// cut short is an error of Send. It leaves alone what follows a 101 or a CONNECT that
// succeeded, and the bodies of redirects that will be followed.
func Reading() Middleware {
	return func(next Transport) Transport {
		return TransportFunc(func(ctx context.Context, req *Request) (*Response, error) {
			resp, err := next.Send(ctx, req)
			if resp, err = complete(req, resp, err); err != nil || switched(req.Method, resp.StatusCode) || req.discards(resp) {
				return resp, err
			}
			if _, err := resp.Bytes(); err != nil {
				return nil, err
			}
			return resp, nil
		})
	}
}

// CallHooks gives the middleware that runs the hooks and the middleware which a request
// brings along ([WithRequestHook], [WithResponseHook], [WithErrorHook],
// [WithPanicHook], [WithRequestMiddleware]).
func CallHooks() Middleware {
	return func(next Transport) Transport { return callLayer{completeLayer{next}} }
}

// HopHooks gives the middleware that runs the hooks of each hop
// ([WithHopRequestHook], [WithHopResponseHook]).
func HopHooks() Middleware {
	return func(next Transport) Transport { return hopLayer{completeLayer{next}} }
}
