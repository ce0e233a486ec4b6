package parleytest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// send is what a transport does, with the right way of doing it beneath.
type send func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error)

// changed makes the right answer wrong.
func changed(f func(*parley.Response)) send {
	return func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		resp, err := right.Send(ctx, req)
		if err == nil {
			f(resp)
		}
		return resp, err
	}
}

// lasting is a body that Close leaves as it is.
type lasting struct{ io.Reader }

func (lasting) Close() error { return nil }

// broken are transports with one fault each, and the check that has to find it.
var broken = map[string]struct {
	check string
	send  send
}{
	"a header is lost":              {"an answer has all its parts", changed(func(r *parley.Response) { r.Header = http.Header{} })},
	"the response names no request": {"an answer has all its parts", changed(func(r *parley.Response) { r.Request = nil })},
	"the request gets a header": {"what was left out is not added", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		other := req.Clone()
		other.Header["Cookie"] = []string{"a=1"}
		return right.Send(ctx, other)
	}},
	"the request is modified": {"a request is not modified", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		req.Header["X-Mine"] = []string{"1"}
		return right.Send(ctx, req)
	}},
	"trailers are lost": {"trailers both ways", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		other := req.Clone()
		other.Trailers = nil
		return right.Send(ctx, other)
	}},
	"interim answers are dropped": {"informational answers come before the head", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		other := req.Clone()
		other.OnInformational = nil
		return right.Send(ctx, other)
	}},
	"the whole body is read first": {"streams both ways at once", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		resp, err := right.Send(ctx, req)
		if err == nil {
			_, err = resp.Bytes()
		}
		return resp, err
	}},
	"Close leaves the body readable": {"reading after the end and after Close", changed(func(r *parley.Response) { r.Body = lasting{r.Body} })},
	"an ended context is ignored": {"a context that has ended sends nothing", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		return right.Send(context.WithoutCancel(ctx), req)
	}},
	"limits are ignored": {"timeouts of the phases", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		other := req.Clone()
		other.Timeouts = parley.Timeouts{Response: time.Second, Read: time.Second}
		return right.Send(ctx, other)
	}},
	"errors have no kind": {"a connection that breaks", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		resp, err := right.Send(ctx, req)
		if err != nil {
			err = errors.New("it failed")
		}
		return resp, err
	}},
	"a response beside an error": {"requests that cannot be sent", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		resp, err := right.Send(ctx, req)
		if err != nil {
			resp = new(parley.Response)
		}
		return resp, err
	}},
	"a goroutine is left over": {"redirects and errors come back as they are", func(ctx context.Context, req *parley.Request, right parley.Transport) (*parley.Response, error) {
		go func() { select {} }()
		return right.Send(ctx, req)
	}},
}

const brokenVariable = "PARLEYTEST_BROKEN"

// TestBroken runs the suite over the transport that the environment names, as
// TestSuite_findsFaults asks for.
func TestBroken(t *testing.T) {
	fault, asked := broken[os.Getenv(brokenVariable)]
	if !asked {
		t.Skip("it is run by TestSuite_findsFaults")
	}
	parleytest.TransportSuite(t, func(_ *testing.T, h http.Handler) (parley.Transport, string) {
		right := parley.HandlerTransport(h)
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			return fault.send(ctx, req, right)
		}), "http://handler.test"
	})
}

func TestSuite_findsFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strings.Contains(name, "goroutine") {
				t.Skip("the suite gives them some seconds to end")
			}
			run := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestBroken$/^"+strings.ReplaceAll(fault.check, " ", "_")+"$")
			run.Env = append(os.Environ(), brokenVariable+"="+name)
			out, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+strings.ReplaceAll(fault.check, " ", "_")) {
				t.Errorf("%q should have failed: %v\n%s", fault.check, err, out)
			}
		})
	}
}
