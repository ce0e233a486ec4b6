package main

import (
	"context"
	"io"
	"net"
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

func (c *fastHTTPClient) download(_ context.Context, t target, size int64, buf []byte) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(t.url)
	resp.StreamBody = true
	if err := c.hc.DoDeadline(req, resp, time.Now().Add(requestLimit)); err != nil {
		return err
	}
	n, err := readChunks(resp.BodyStream(), buf)
	if err != nil {
		return err
	}
	if err := resp.CloseBodyStream(); err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), n, size)
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
