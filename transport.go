package parley

import "context"

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

// chain wraps t in m, the first of them outermost.
func chain(t Transport, m []Middleware) Transport {
	for i := len(m) - 1; i >= 0; i-- {
		t = m[i](t)
	}
	return t
}
