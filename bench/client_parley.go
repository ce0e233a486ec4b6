package main

import (
	"context"
	"crypto/tls"
	"io"

	"github.com/seed-0474a412/parley"
)

// parleyClient is parley with its own defaults and a pool as large as the
// scenario asks.
type parleyClient struct {
	session *parley.Client
	based   bool
}

func newParleyClient(s setup) (client, error) {
	limits := parley.PoolLimits{Soft: s.conns, Hard: s.conns, IdleTimeout: idleLimit}
	if s.fresh {
		limits.MaxRequests = 1
	}
	opts := []parley.ClientOption{parley.WithPoolLimits(limits)}
	if s.roots != nil {
		opts = append(opts, parley.WithTLSConfig(&tls.Config{RootCAs: s.roots, SessionTicketsDisabled: !s.resume}))
	}
	if s.proxy != "" {
		opts = append(opts, parley.WithProxy(s.proxy))
	}
	if s.base != "" {
		opts = append(opts, parley.WithBaseURL(s.base))
	}
	if s.dial != nil {
		opts = append(opts, parley.WithDialer(parley.DialerFunc(s.dial)))
	}
	session, err := parley.New(opts...)
	if err != nil {
		return nil, err
	}
	return &parleyClient{session: session, based: s.base != ""}, nil
}

// where is the reference that a user of a session would write.
func (c *parleyClient) where(t target) string {
	if c.based {
		return t.path
	}
	return t.url
}

// check reads the answer's body into memory.
func (c *parleyClient) check(resp *parley.Response, want int64) error {
	body, err := resp.Bytes()
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode, int64(len(body)), want)
}

func (c *parleyClient) get(ctx context.Context, t target) error {
	resp, err := c.session.Get(ctx, c.where(t))
	if err != nil {
		return err
	}
	return c.check(resp, bodySize)
}

func (c *parleyClient) post(ctx context.Context, t target, json []byte) error {
	resp, err := c.session.Post(ctx, c.where(t), parley.WithBody(parley.BytesBody(json, "application/json")))
	if err != nil {
		return err
	}
	return c.check(resp, int64(len(okBody)))
}

func (c *parleyClient) download(ctx context.Context, t target, size int64, buf []byte) error {
	resp, err := c.session.Stream(ctx, "GET", c.where(t))
	if err != nil {
		return err
	}
	defer resp.Close()
	n, err := readChunks(resp.Body, buf)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode, n, size)
}

func (c *parleyClient) upload(ctx context.Context, t target, r io.Reader, size int64) error {
	resp, err := c.session.Put(ctx, c.where(t), parley.WithBody(sizedBody{parley.ReaderBody(r), size}))
	if err != nil {
		return err
	}
	return c.check(resp, int64(len(okBody)))
}

func (c *parleyClient) save(ctx context.Context, t target, path string, size int64) error {
	file, err := c.session.Download(ctx, c.where(t), path)
	if err != nil {
		return err
	}
	return checkAnswer(file.Response.StatusCode, file.Size, size)
}

func (c *parleyClient) send(ctx context.Context, t target, path string, _ int64) error {
	resp, err := c.session.Put(ctx, c.where(t), parley.WithBodyFile(path))
	if err != nil {
		return err
	}
	return c.check(resp, int64(len(okBody)))
}

func (c *parleyClient) close() error { return c.session.Close() }

// sizedBody is a reader of known length, so that it goes out with a
// Content-Length as with the other clients.
type sizedBody struct {
	parley.Body
	size int64
}

func (b sizedBody) Size() int64 { return b.size }
