package main

import (
	"context"
	"io"
	"net/http"

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

func (c *restyClient) download(ctx context.Context, t target, size int64, buf []byte) error {
	resp, err := c.rc.R().SetContext(ctx).SetResponseDoNotParse(true).Get(c.where(t))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := readChunks(resp.Body, buf)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode(), n, size)
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
