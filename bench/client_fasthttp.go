package main

import (
	"context"
	"io"
	"net"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

// fastHTTPClient is fasthttp with requests and responses from its pools, and a
// deadline for each request: without one it would be the only client here that
// waits for ever.
type fastHTTPClient struct{ hc *fasthttp.Client }

func newFastHTTPClient(s setup) (client, error) {
	hc := &fasthttp.Client{
		MaxConnsPerHost:     s.conns,
		MaxIdleConnDuration: idleLimit,
		MaxConnWaitTimeout:  requestLimit,
	}
	if s.dial != nil {
		hc.Dial = func(addr string) (net.Conn, error) {
			return s.dial(context.Background(), "tcp", addr)
		}
	}
	return &fastHTTPClient{hc: hc}, nil
}

// do sends a request prepared by fill and checks the answer.
func (c *fastHTTPClient) do(t target, want int64, fill func(*fasthttp.Request)) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(t.url)
	if fill != nil {
		fill(req)
	}
	if err := c.hc.DoDeadline(req, resp, time.Now().Add(requestLimit)); err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), int64(len(resp.Body())), want)
}

func (c *fastHTTPClient) get(_ context.Context, t target) error {
	return c.do(t, bodySize, nil)
}

func (c *fastHTTPClient) post(_ context.Context, t target, json []byte) error {
	return c.do(t, int64(len(okBody)), func(req *fasthttp.Request) {
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(json)
	})
}

// read gets a body of size bytes as a stream, which take reads.
func (c *fastHTTPClient) read(t target, size int64, take func(io.Reader) (int64, error)) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(t.url)
	resp.StreamBody = true
	if err := c.hc.DoDeadline(req, resp, time.Now().Add(requestLimit)); err != nil {
		return err
	}
	n, err := take(resp.BodyStream())
	if err != nil {
		return err
	}
	if err := resp.CloseBodyStream(); err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), n, size)
}

func (c *fastHTTPClient) download(_ context.Context, t target, size int64, buf []byte) error {
	return c.read(t, size, func(r io.Reader) (int64, error) { return readChunks(r, buf) })
}

func (c *fastHTTPClient) save(_ context.Context, t target, path string, size int64) error {
	return c.read(t, size, func(r io.Reader) (int64, error) { return saveBody(path, r) })
}

func (c *fastHTTPClient) send(ctx context.Context, t target, path string, size int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return c.upload(ctx, t, file, size) // which closes it
}

func (c *fastHTTPClient) upload(_ context.Context, t target, r io.Reader, size int64) error {
	return c.do(t, int64(len(okBody)), func(req *fasthttp.Request) {
		req.Header.SetMethod(fasthttp.MethodPut)
		req.SetBodyStream(r, int(size))
	})
}

func (c *fastHTTPClient) close() error {
	c.hc.CloseIdleConnections()
	return nil
}
