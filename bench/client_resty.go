package main

import (
	"context"
	"io"
	"net/http"
	"os"

	"resty.dev/v3"
)

// restyClient is resty with its own defaults and enough idle connections that
// none is dialled twice.
type restyClient struct {
	rc        *resty.Client
	transport *http.Transport
	based     bool
}

func newRestyClient(s setup) (client, error) {
	rc := resty.NewWithTransportSettings(&resty.TransportSettings{
		MaxIdleConns:        s.conns,
		MaxIdleConnsPerHost: s.conns,
		IdleConnTimeout:     idleLimit,
	})
	if s.base != "" {
		rc.SetBaseURL(s.base)
	}
	t, err := rc.HTTPTransport()
	if err != nil {
		return nil, err
	}
	if s.dial != nil {
		t.DialContext = s.dial
	}
	return &restyClient{rc: rc, transport: t, based: s.base != ""}, nil
}

// where is the reference that a user of a session would write.
func (c *restyClient) where(t target) string {
	if c.based {
		return t.path
	}
	return t.url
}

func (c *restyClient) get(ctx context.Context, t target) error {
	resp, err := c.rc.R().SetContext(ctx).Get(c.where(t))
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), int64(len(resp.Bytes())), bodySize)
}

func (c *restyClient) post(ctx context.Context, t target, json []byte) error {
	resp, err := c.rc.R().SetContext(ctx).SetContentType("application/json").SetBody(json).Post(c.where(t))
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), int64(len(resp.Bytes())), int64(len(okBody)))
}

// read gets a body of size bytes as a stream, which take reads.
func (c *restyClient) read(ctx context.Context, t target, size int64, take func(io.Reader) (int64, error)) error {
	resp, err := c.rc.R().SetContext(ctx).SetResponseDoNotParse(true).Get(c.where(t))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := take(resp.Body)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), n, size)
}

func (c *restyClient) download(ctx context.Context, t target, size int64, buf []byte) error {
	return c.read(ctx, t, size, func(r io.Reader) (int64, error) { return readChunks(r, buf) })
}

func (c *restyClient) save(ctx context.Context, t target, path string, size int64) error {
	return c.read(ctx, t, size, func(r io.Reader) (int64, error) { return saveBody(path, r) })
}

func (c *restyClient) send(ctx context.Context, t target, path string, size int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return c.upload(ctx, t, file, size) // which closes it
}

func (c *restyClient) upload(ctx context.Context, t target, r io.Reader, size int64) error {
	resp, err := c.rc.R().SetContext(ctx).SetContentLength(size).SetBody(r).Put(c.where(t))
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), int64(len(resp.Bytes())), int64(len(okBody)))
}

func (c *restyClient) close() error {
	c.transport.CloseIdleConnections()
	return c.rc.Close()
}
