package parleytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// NewTransport makes a transport whose requests for URLs below baseURL are answered by h.
// What it starts it ends with t.Cleanup. A transport that goes over a network gives
// [Serve](t, h) as its baseURL; one that does not makes up an http URL.
type NewTransport func(t *testing.T, h http.Handler) (transport parley.Transport, baseURL string)

// TransportSuite checks a [parley.Transport] against the contract: what arrives and what
// comes back, requests left unmodified, bodies closed exactly once, trailers and
// informational answers, contexts that end before, in the middle of and after the head,
// timeouts, errors with their kinds and [parley.Sent], use by many goroutines, and no
// goroutine left over. Each check is a subtest with a transport of its own; it takes a
// second or two.
//
// A transport that keeps idle connections with goroutines should have a method
// CloseIdleConnections or CloseIdle, or be an io.Closer, for the last of these.
func TransportSuite(t *testing.T, newTransport NewTransport) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			r := &rig{T: t, handler: http.NotFoundHandler()}
			r.transport, r.base = newTransport(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.handler.ServeHTTP(w, q) }))
			if r.transport == nil {
				t.Fatal("newTransport gave no transport")
			}
			r.base = strings.TrimSuffix(r.base, "/")
			r.withoutLeaks(func(ctx context.Context) {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				r.ctx = ctx
				c.run(r)
			})
		})
	}
}

// check is one rule of the contract.
type check struct {
	name string
	run  func(*rig)
}

var checks = []check{
	{"an answer has all its parts", anAnswerHasAllItsParts},
	{"a request arrives as it is", aRequestArrivesAsItIs},
	{"a request is not modified", aRequestIsNotModified},
	{"what was left out is not added", whatWasLeftOutIsNotAdded},
	{"some answers have no body", someAnswersHaveNoBody},
	{"redirects and errors come back as they are", redirectsComeBack},
	{"bodies of the request", bodiesOfTheRequest},
	{"large bodies both ways", largeBodies},
	{"streams both ways at once", streamsBothWays},
	{"trailers both ways", trailersBothWays},
	{"informational answers come before the head", informationalAnswers},
	{"the body of the request is closed once", requestBodiesAreClosedOnce},
	{"a body that fails or lies about its length", bodiesThatFail},
	{"reading after the end and after Close", readingAfterTheEnd},
	{"Close ends a Read that waits", closeEndsARead},
	{"a context that has ended sends nothing", contextEndedBefore},
	{"a context ends the wait for the head", contextEndsTheHead},
	{"a context ends the body", contextEndsTheBody},
	{"timeouts of the phases", timeoutsOfThePhases},
	{"a connection that breaks", connectionsThatBreak},
	{"an upgrade hands over the connection", upgradesAreConnections},
	{"requests that cannot be sent", requestsThatCannotBeSent},
	{"many goroutines at once", manyAtOnce},
}

// patience is how long anything that should happen may take.
const patience = 20 * time.Second

// short is a limit that is meant to be passed.
const short = 50 * time.Millisecond

// rig is one check with its transport.
type rig struct {
	*testing.T
	ctx       context.Context
	transport parley.Transport
	base      string
	handler   http.Handler // set before the first request
}

// request makes a request for a path below the base URL.
func (r *rig) request(method, path string, opts ...parley.RequestOption) *parley.Request {
	r.Helper()
	req, err := parley.NewRequest(method, r.base+path, opts...)
	if err != nil {
		r.Fatalf("making a request: %v", err)
	}
	return req
}

// send sends a request that has to succeed.
func (r *rig) send(req *parley.Request) *parley.Response {
	r.Helper()
	resp, err := r.transport.Send(r.ctx, req)
	if err != nil {
		r.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	r.complete(req, resp)
	return resp
}

// complete checks what every response has.
func (r *rig) complete(req *parley.Request, resp *parley.Response) {
	r.Helper()
	switch {
	case resp == nil:
		r.Fatal("neither a response nor an error")
	case resp.Body == nil:
		r.Error("the response has no Body")
	case resp.Header == nil:
		r.Error("the response has no Header")
	case resp.Request == nil:
		r.Error("the response has no Request")
	case resp.Request.URL.Path != req.URL.Path:
		r.Errorf("the response is to a request for %s, not %s", resp.Request.URL.Path, req.URL.Path)
	}
}

// read reads a body to its end.
func (r *rig) read(resp *parley.Response) string {
	r.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatalf("reading the body: %v", err)
	}
	r.close(resp)
	return string(b)
}

func (r *rig) close(resp *parley.Response) {
	r.Helper()
	if err := resp.Body.Close(); err != nil {
		r.Errorf("closing the body: %v", err)
	}
}

// equal compares two values.
func equal[T comparable](r *rig, what string, got, want T) {
	r.Helper()
	if got != want {
		r.Errorf("%s: %v, should be %v", what, got, want)
	}
}

// fails sends a request that has to fail.
func (r *rig) fails(ctx context.Context, req *parley.Request, kinds ...error) *parley.Error {
	r.Helper()
	resp, err := r.transport.Send(ctx, req)
	if err == nil {
		resp.Body.Close()
		r.Fatalf("a response %s, should be an error: %v", resp.Status, kinds)
	}
	if resp != nil {
		r.Error("a response beside the error")
	}
	return r.judge(err, kinds...)
}

// judge looks at an error.
func (r *rig) judge(err error, kinds ...error) *parley.Error {
	r.Helper()
	for _, kind := range kinds {
		if !errors.Is(err, kind) {
			r.Errorf("the error is not %q: %v", kind, err)
		}
	}
	var e *parley.Error
	if !errors.As(err, &e) {
		r.Fatalf("the error is no *parley.Error: %T %v", err, err)
	}
	if e.Method == "" && e.URL != nil {
		r.Error("the error names no method")
	}
	return e
}

// readFails reads a body that has to fail with these kinds.
func (r *rig) readFails(resp *parley.Response, kinds ...error) *parley.Error {
	r.Helper()
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		r.Fatalf("the body came to an orderly end after %d bytes, should be an error: %v", len(b), kinds)
	}
	resp.Body.Close() // how it ends after an error makes no difference
	return r.judge(err, kinds...)
}

// eventually waits for what another goroutine is about to do.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(patience / 2); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("still not so: %s", what)
		}
	}
}

// runs counts the checks, so that each has a label of its own.
var runs atomic.Int64

// withoutLeaks runs f and looks for goroutines that it has left, by a label which they
// inherit.
func (r *rig) withoutLeaks(f func(context.Context)) {
	r.Helper()
	label := "run " + strconv.FormatInt(runs.Add(1), 10)
	pprof.Do(context.Background(), pprof.Labels("parleytest", label), f)
	if r.Failed() {
		return
	}
	r.closeIdle()
	var left string
	ok := func() bool {
		left = withLabel(label)
		return left == ""
	}
	for end := time.Now().Add(patience / 4); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("goroutines are left over:\n%s", left)
		}
	}
}

// closeIdle closes connections that are rightly kept.
func (r *rig) closeIdle() {
	switch t := r.transport.(type) {
	case interface{ CloseIdleConnections() }:
		t.CloseIdleConnections()
	case interface{ CloseIdle() }:
		t.CloseIdle()
	case io.Closer:
		if err := t.Close(); err != nil {
			r.Errorf("closing the transport: %v", err)
		}
	}
}

// withLabel gives the stacks of the goroutines with a label.
func withLabel(label string) string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return err.Error()
	}
	var out []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(stack, strconv.Quote(label)) {
			out = append(out, stack)
		}
	}
	return strings.Join(out, "\n\n")
}
